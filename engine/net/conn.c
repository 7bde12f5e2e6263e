/*
 * conn.c: the life of a connection, from what it wants to what is in flight: see conn.h. A
 * descriptor is closed only when nothing of it is with the ring: closing earlier would neither end
 * a receive nor tell the peer, so the end is always shutdown, last completions, close.
 */
#include "net/conn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#define OUT_BYTES (4 * KIB) /* a piece of output memory; more is allocated and freed */
#define SPARE_OUT_MAX 4096  /* pieces kept */
#define BULK_REQUESTS 4     /* small inputs after a large one before multishot is worth it again */

_Static_assert(offsetof(struct net_conn, timer) == 0, "timers are cast to connections");

/* --- output memory ---------------------------------------------------------------------------- */

static void out_give(struct edge *edge, struct out *out) {
    if (out->capacity == OUT_BYTES && edge->spare_out_count < SPARE_OUT_MAX) {
        memcpy(out->data, &edge->spare_out, sizeof edge->spare_out);
        edge->spare_out = out->data;
        edge->spare_out_count++;
    } else {
        free(out->data);
    }
    *out = (struct out){0};
}

static bool out_reserve(struct edge *edge, struct out *out, usize bytes, usize bytes_max) {
    usize needed = out->bytes + bytes;
    if (needed <= out->capacity) {
        return true;
    }
    if (needed > bytes_max) {
        return false;
    }
    if (out->data == NULL && needed <= OUT_BYTES && edge->spare_out != NULL) {
        out->data = edge->spare_out;
        memcpy(&edge->spare_out, out->data, sizeof edge->spare_out);
        edge->spare_out_count--;
        out->capacity = OUT_BYTES;
        return true;
    }
    usize capacity = MAX(out->capacity, OUT_BYTES);
    while (capacity < needed) {
        capacity *= 2;
    }
    char *data = realloc(out->data, capacity);
    if (data == NULL) {
        return false;
    }
    out->data = data;
    out->capacity = capacity;
    return true;
}

static bool out_add(struct edge *edge, struct out *out, const void *data, usize bytes,
                    usize bytes_max) {
    if (!out_reserve(edge, out, bytes, bytes_max)) {
        return false;
    }
    memcpy(out->data + out->bytes, data, bytes);
    out->bytes += bytes;
    return true;
}

/* --- lists ------------------------------------------------------------------------------------ */

static void list_add(struct net_conn *conn, enum conn_list_kind kind) {
    if (conn->listed[kind]) {
        return;
    }
    struct conn_list *list = &conn->edge->list[kind];
    conn->listed[kind] = true;
    conn->next[kind] = NULL;
    if (list->last == NULL) {
        list->first = conn;
    } else {
        list->last->next[kind] = conn;
    }
    list->last = conn;
}

struct net_conn *conn_list_pop(struct edge *edge, enum conn_list_kind kind) {
    struct conn_list *list = &edge->list[kind];
    struct net_conn *conn = list->first;
    if (conn != NULL) {
        list->first = conn->next[kind];
        if (list->first == NULL) {
            list->last = NULL;
        }
        conn->listed[kind] = false;
    }
    return conn;
}

void conn_mark_dirty(struct net_conn *conn) {
    list_add(conn, LIST_DIRTY);
}

/* --- handshakes under way --------------------------------------------------------------------- */

static void count_handshakes(struct edge *edge, u32 count) {
    edge->shaking_count = count;
    atomic_store_explicit(&edge->stat_tls_handshakes, count, memory_order_relaxed);
}

static void end_handshake(struct net_conn *conn) {
    struct edge *edge = conn->edge;
    if (!conn->shaking) {
        return;
    }
    conn->shaking = false;
    *(conn->older != NULL ? &conn->older->newer : &edge->shaking_oldest) = conn->newer;
    *(conn->newer != NULL ? &conn->newer->older : &edge->shaking_newest) = conn->older;
    count_handshakes(edge, edge->shaking_count - 1);
}

/* OpenSSL takes much memory for one, so there are only so many. The oldest makes way for one more:
 * its peer had the time to answer that all the others together took, and who only begins them keeps
 * nobody out. */
static void begin_handshake(struct net_conn *conn) {
    struct edge *edge = conn->edge;
    if (edge->shaking_count == TLS_HANDSHAKES_MAX) {
        stat_add(&edge->stat_tls_cut, 1);
        conn_kill(edge->shaking_oldest);
    }
    conn->shaking = true;
    conn->older = edge->shaking_newest;
    conn->newer = NULL;
    *(conn->older != NULL ? &conn->older->newer : &edge->shaking_oldest) = conn;
    edge->shaking_newest = conn;
    count_handshakes(edge, edge->shaking_count + 1);
}

/* Of its first message too little has come to begin with. */
static bool awaits_hello(const struct net_conn *conn) {
    return conn->tls != NULL && !conn->opened && !conn->shaking && !conn->listed[LIST_HELLO];
}

/* --- life ------------------------------------------------------------------------------------- */

static struct net_conn *take_conn(struct edge *edge) {
    struct net_conn *conn = edge->spare;
    if (conn != NULL) {
        edge->spare = conn->next[LIST_DIRTY];
        return conn;
    }
    if (edge->slots_used == edge->options.connections_max) {
        return NULL;
    }
    conn = calloc(1, sizeof *conn);
    void *session = conn == NULL ? NULL : malloc(MAX(edge->session_bytes, (usize)1));
    if (session == NULL) {
        free(conn);
        return NULL;
    }
    conn->edge = edge;
    conn->session = session;
    conn->slot = edge->slots_used++;
    edge->conn[conn->slot] = conn;
    return conn;
}

static void give_conn(struct net_conn *conn) {
    conn->fd = -1;
    conn->next[LIST_DIRTY] = conn->edge->spare;
    conn->edge->spare = conn;
}

/* A peer that takes nothing of its answers for the idle time is gone or means harm, whatever else
 * it sends and whoever works for it: what waits for it is memory that others need. */
static u64 stalled_at(const struct net_conn *conn) {
    u64 idle_ns = conn->edge->options.idle_ns;
    return conn->sending && !conn->dead && idle_ns != 0 ? conn->sent_ns + idle_ns : UINT64_MAX;
}

/* While bytes are being sent, only the peer's taking them counts. */
static u64 idle_at(const struct net_conn *conn) {
    u64 idle_ns = conn->edge->options.idle_ns;
    bool counts = conn->deadline_ns == 0 && idle_ns != 0 && (!conn->sending || conn->dead);
    return counts ? conn->active_ns + idle_ns : UINT64_MAX;
}

static void set_timer(struct net_conn *conn) {
    u64 due = conn->deadline_ns != 0 ? conn->deadline_ns : idle_at(conn);
    wheel_set(&conn->edge->wheel, &conn->timer, MIN(due, stalled_at(conn)));
}

static void open_session(struct net_conn *conn) {
    conn->opened = true;
    memset(conn->session, 0, conn->protocol->session_bytes);
    conn->protocol->open(conn->session, conn, conn->context);
}

/* Records that TLS wants sent. Their bound is for peers that make it answer and do not read. */
static bool take_records(void *context, const void *records, usize bytes) {
    struct net_conn *conn = context;
    return out_add(conn->edge, &conn->sealed, records, bytes, NET_SEALED_BYTES_MAX);
}

bool conn_open(struct edge *edge, const struct listener *listener, int fd) {
    const struct net_listener *with = &listener->with;
    struct net_conn *conn = edge->stopping ? NULL : take_conn(edge);
    struct tls *tls = NULL;
    if (conn != NULL && with->tls != NULL) {
        tls = tls_open(with->tls, with->protocol->alpn, take_records, conn);
    }
    if (conn == NULL || (with->tls != NULL && tls == NULL)) {
        stat_add(&edge->stat_refused, 1);
        close(fd);
        if (conn != NULL) {
            give_conn(conn);
        }
        return false;
    }
    *conn = (struct net_conn){
        .edge = edge,
        .protocol = with->protocol,
        .context = with->context,
        .session = conn->session,
        .tls = tls,
        .fd = fd,
        .slot = conn->slot,
        .generation = conn->generation + 1,
        .active_ns = edge->now_ns,
        .deadline_ns = tls != NULL ? edge->now_ns + edge->options.handshake_ns : 0,
    };
    edge->open_count++;
    stat_add(&edge->stat_accepted, 1);
    atomic_store_explicit(&edge->stat_connections, edge->open_count, memory_order_relaxed);
    set_timer(conn);
    conn_mark_dirty(conn);
    if (tls == NULL) {
        open_session(conn);
    }
    return true;
}

static void free_conn(struct net_conn *conn) {
    struct edge *edge = conn->edge;
    edge->ring->ops->forget(edge->ring, conn->fd, conn->slot);
    close(conn->fd);
    wheel_remove(&edge->wheel, &conn->timer);
    end_handshake(conn);
    tls_close(conn->tls);
    conn->tls = NULL;
    out_give(edge, &conn->out);
    out_give(edge, &conn->clear);
    out_give(edge, &conn->sealed);
    out_give(edge, &conn->flight);
    out_give(edge, &conn->stash);
    give_conn(conn);
    edge->open_count--;
    atomic_store_explicit(&edge->stat_connections, edge->open_count, memory_order_relaxed);
}

void conn_free_all(struct edge *edge) {
    for (u32 slot = 0; slot < edge->slots_used; slot++) {
        struct net_conn *conn = edge->conn[slot];
        if (conn->fd >= 0) {
            close(conn->fd);
        }
        tls_close(conn->tls);
        free(conn->out.data);
        free(conn->clear.data);
        free(conn->sealed.data);
        free(conn->flight.data);
        free(conn->stash.data);
        free(conn->session);
        free(conn);
    }
    while (edge->spare_out != NULL) {
        void *piece = edge->spare_out;
        memcpy(&edge->spare_out, piece, sizeof edge->spare_out);
        free(piece);
    }
}

void conn_kill(struct net_conn *conn) {
    if (!conn->dead) {
        conn->dead = true;
        end_handshake(conn);
        shutdown(conn->fd, SHUT_RDWR); /* ends what is in flight; close() alone would not */
        conn_mark_dirty(conn);
    }
}

/* --- settling --------------------------------------------------------------------------------- */

static void drop_output(struct net_conn *conn) {
    out_give(conn->edge, &conn->out);
    out_give(conn->edge, &conn->clear);
    conn->clear_at = 0;
}

/* Makes records of some of the output, no more than a flight should hold: so what a slow peer makes
 * us keep is the output that the protocol knows of, and little else. */
static void seal(struct net_conn *conn) {
    if (conn->clear_at == conn->clear.bytes) {
        out_give(conn->edge, &conn->clear);
        conn->clear = conn->out;
        conn->clear_at = 0;
        conn->out = (struct out){0};
    }
    usize bytes = MIN(conn->clear.bytes - conn->clear_at, NET_SEAL_BYTES);
    if (bytes > 0 && !tls_put(conn->tls, conn->clear.data + conn->clear_at, bytes)) {
        drop_output(conn);
        conn_kill(conn);
        return;
    }
    conn->clear_at += bytes;
    if (conn->closing && conn->clear_at == conn->clear.bytes && conn->out.bytes == 0) {
        tls_end(conn->tls);
        conn->ended = true;
    }
}

static void settle_output(struct net_conn *conn) {
    struct edge *edge = conn->edge;
    if (conn->tls != NULL && !conn->sending && !conn->dead) {
        seal(conn);
    }
    if (conn->dead) {
        drop_output(conn);
        out_give(edge, &conn->sealed);
        return;
    }
    struct out *ready = conn->tls != NULL ? &conn->sealed : &conn->out;
    if (!conn->sending && ready->bytes > 0) {
        struct out empty = conn->flight;
        conn->flight = *ready;
        *ready = empty;
        conn->flight_sent = 0;
        conn->sending = true;
        conn->sent_ns = edge->now_ns;
        edge->ring->ops->send(edge->ring, conn->fd, conn->slot, conn->generation, conn->flight.data,
                              conn->flight.bytes);
    }
    if (conn->closing && !conn->finished && !conn->sending) {
        conn->finished = true;
        shutdown(conn->fd, SHUT_WR);
        net_set_deadline(conn, edge->now_ns + LINGER_NS);
    }
}

/* Does the protocol name memory for the next bytes, and are these the socket's? */
static bool wants_direct(const struct net_conn *conn, char **into, usize *bytes) {
    return conn->tls == NULL && !conn->closing && conn->protocol->direct != NULL &&
           conn->protocol->direct(conn->session, into, bytes);
}

static void start_receive(struct net_conn *conn) {
    struct edge *edge = conn->edge;
    char *into;
    usize bytes;
    if (wants_direct(conn, &into, &bytes)) {
        conn->receiving = RECEIVE_DIRECT;
        conn->bulk = BULK_REQUESTS;
        edge->ring->ops->receive_into(edge->ring, conn->fd, conn->slot, conn->generation, into,
                                      MIN(bytes, (usize)INT32_MAX));
        return;
    }
    conn->receiving = conn->bulk > 0 ? RECEIVE_ONCE : RECEIVE_FOR_EVER;
    edge->ring->ops->receive(edge->ring, conn->fd, conn->slot, conn->generation, conn->bulk == 0);
}

/* Whether there is a place for what comes. Also that of a connection which is about to end is read,
 * and thrown away: or its peer would see it broken off before it has read our last words. */
static bool takes_input(const struct net_conn *conn) {
    if (conn->closing || conn->peer_ended) {
        return true;
    }
    if (conn->tls != NULL && !conn->opened) {
        return conn->stash.bytes < TLS_TEXT_BYTES;
    }
    return !conn->paused && conn->stash.bytes == 0;
}

static void settle_input(struct net_conn *conn) {
    struct edge *edge = conn->edge;
    bool wanted = !conn->dead && !conn->input_ended && !edge->stopping && takes_input(conn);
    if (conn->receiving == RECEIVE_IDLE) {
        if (wanted) {
            start_receive(conn);
        } else if (edge->stopping) {
            conn->input_ended = true;
        }
        return;
    }
    char *into;
    usize bytes;
    bool go_direct =
        wanted && conn->receiving == RECEIVE_FOR_EVER && wants_direct(conn, &into, &bytes);
    /* A dead connection's receive ends by the shutdown. */
    if ((!wanted || go_direct) && !conn->cancelling && !conn->dead) {
        conn->cancelling = true;
        edge->ring->ops->cancel_receive(edge->ring, conn->slot, conn->generation);
    }
}

/* Beside the flight. */
static bool has_output(const struct net_conn *conn) {
    return conn->out.bytes > 0 || conn->clear_at < conn->clear.bytes || conn->sealed.bytes > 0;
}

void conn_settle(struct net_conn *conn) {
    if (conn->closing || conn->dead || (conn->input_ended && awaits_hello(conn))) {
        out_give(conn->edge, &conn->stash);
    }
    settle_output(conn);
    settle_input(conn);
    bool ended = conn->input_ended || conn->peer_ended;
    bool input_over = conn->dead || conn->edge->stopping || (ended && conn->stash.bytes == 0);
    bool is_read = conn->receiving != RECEIVE_IDLE && !conn->peer_ended;
    if (input_over && !is_read && !conn->closed_told) {
        conn->closed_told = true;
        if (conn->opened) {
            conn->protocol->closed(conn->session);
        }
    }
    if (conn->tls != NULL && conn->closed_told && conn->holds == 0 && !conn->closing) {
        conn->closing = true; /* so that the peer is told that this is all */
        conn_mark_dirty(conn);
    }
    if (conn->dead && conn->full) { /* who waits for room must not wait for ever */
        conn->full = false;
        if (conn->protocol->drained != NULL && conn->holds > 0) {
            conn->protocol->drained(conn->session);
        }
    }
    bool quiet = conn->receiving == RECEIVE_IDLE && !conn->sending && !has_output(conn);
    bool listed = conn->listed[LIST_DIRTY] || conn->listed[LIST_BACK] || conn->listed[LIST_HELLO] ||
                  conn->listed[LIST_SHAKING];
    if (conn->closed_told && quiet && conn->holds == 0 && !listed) {
        free_conn(conn);
    }
}

/* --- events of the loop ----------------------------------------------------------------------- */

static void deliver(struct net_conn *conn, const char *data, usize bytes) {
    if (conn->closing || conn->dead || conn->edge->stopping) {
        return; /* read only so that the peer gets to read our last words */
    }
    if (conn->paused || conn->stash.bytes > 0) {
        if (!out_add(conn->edge, &conn->stash, data, bytes, NET_STASH_BYTES_MAX)) {
            conn_kill(conn);
        }
        return;
    }
    conn->protocol->receive(conn->session, data, bytes);
    char *into;
    usize wanted;
    if (conn->receiving == RECEIVE_FOR_EVER && wants_direct(conn, &into, &wanted)) {
        conn_mark_dirty(conn);
    }
}

/* TLS is over before it was established, or broke. What goes out is its alert, or, to a peer that
 * does not speak it, a word of the protocol's own. */
static void refuse_peer(struct net_conn *conn, enum tls_answer answer) {
    char text[REFUSAL_BYTES_MAX];
    stat_add(&conn->edge->stat_tls_refused, 1);
    log_line(LOG_DEBUG, "tls_refused", "peer=%s listener=%s why=\"%s\"", net_peer(conn),
             conn->protocol->name, tls_why(conn->tls));
    drop_output(conn);
    conn->ended = true;
    if (answer == TLS_PLAIN && conn->protocol->refuse_plain != NULL) {
        take_records(conn, text, conn->protocol->refuse_plain(text, sizeof text));
    }
    net_close_after_send(conn);
}

/* What came over TLS. All of it becomes text at once: what a paused session does not take waits
 * like that of any other. */
static void unseal(struct net_conn *conn, const char *data, usize bytes) {
    const struct net_protocol *protocol = conn->protocol;
    enum tls_answer answer = TLS_TEXT;
    tls_give(conn->tls, data, bytes);
    while (!conn->closing && !conn->dead && !conn->edge->stopping &&
           (answer == TLS_TEXT || answer == TLS_ESTABLISHED)) {
        char *into = conn->edge->text;
        usize room = TLS_TEXT_BYTES;
        usize count;
        bool direct = conn->opened && !conn->paused && conn->stash.bytes == 0 &&
                      protocol->direct != NULL && protocol->direct(conn->session, &into, &room);
        answer = tls_take(conn->tls, into, room, &count);
        if (answer == TLS_ESTABLISHED) {
            stat_add(&conn->edge->stat_tls_established, 1);
            end_handshake(conn);
            net_set_deadline(conn, 0);
            open_session(conn);
        } else if (answer == TLS_TEXT && direct) {
            protocol->received(conn->session, count);
        } else if (answer == TLS_TEXT) {
            deliver(conn, into, count);
        }
    }
    tls_give(conn->tls, NULL, 0); /* those bytes are the ring's */
    if (answer == TLS_ENDED) {
        conn->peer_ended = true;
    } else if (answer == TLS_PLAIN || answer == TLS_BROKEN) {
        refuse_peer(conn, answer);
    }
    if (conn->sealed.bytes > 0 || conn->peer_ended) {
        conn_mark_dirty(conn);
    }
}

/* A step of a handshake costs as much as a hundred small requests, so it waits for these; and who
 * sends a few bytes of one and waits costs nothing else. */
static void shake_later(struct net_conn *conn, const char *data, usize bytes) {
    if (conn->closing || conn->dead || conn->edge->stopping) {
        return;
    }
    if (!out_add(conn->edge, &conn->stash, data, bytes, NET_STASH_BYTES_MAX)) {
        conn_kill(conn);
        return;
    }
    if (conn->shaking || tls_may_begin(conn->stash.data, conn->stash.bytes)) {
        list_add(conn, conn->shaking ? LIST_SHAKING : LIST_HELLO);
    }
    if (!takes_input(conn)) {
        conn_mark_dirty(conn);
    }
}

void conn_shake(struct net_conn *conn) {
    struct out stash = conn->stash;
    if (!conn->shaking && !conn->dead) {
        begin_handshake(conn);
    }
    conn->stash = (struct out){0};
    unseal(conn, stash.data, stash.bytes);
    out_give(conn->edge, &stash);
    conn_mark_dirty(conn);
}

void conn_on_receive(struct net_conn *conn, const struct ring_event *event) {
    bool direct = conn->receiving == RECEIVE_DIRECT;
    if (!event->more) {
        conn->receiving = RECEIVE_IDLE;
        conn->cancelling = false;
        conn_mark_dirty(conn);
    }
    if (event->result > 0) {
        usize bytes = (usize)event->result;
        conn->active_ns = conn->edge->now_ns;
        stat_add(&conn->edge->stat_received, bytes);
        if (conn->tls != NULL && conn->opened) {
            unseal(conn, event->data, bytes);
        } else if (conn->tls != NULL) {
            shake_later(conn, event->data, bytes);
        } else if (!direct) {
            if (conn->bulk > 0 && bytes < NET_DIRECT_BYTES_MIN / 4) {
                conn->bulk--;
            }
            deliver(conn, event->data, bytes);
        } else if (!conn->closing && !conn->dead) {
            conn->protocol->received(conn->session, bytes);
        }
        return;
    }
    switch (event->result) {
    case 0:
        conn->input_ended = true;
        break;
    case -ENOBUFS:
        stat_add(&conn->edge->stat_starved, 1);
        break;
    case -ECANCELED:
    case -EAGAIN:
    case -EINTR:
        break;
    default:
        conn_kill(conn);
    }
    conn_mark_dirty(conn);
}

void conn_on_send(struct net_conn *conn, const struct ring_event *event) {
    struct edge *edge = conn->edge;
    conn->active_ns = edge->now_ns;
    conn->sent_ns = edge->now_ns;
    if (event->result > 0) {
        stat_add(&edge->stat_sent, (u64)event->result);
        conn->flight_sent += (usize)event->result;
    } else if (event->result != -EINTR && event->result != -EAGAIN) {
        conn_kill(conn);
    }
    if (!conn->dead && conn->flight_sent < conn->flight.bytes) {
        edge->ring->ops->send(edge->ring, conn->fd, conn->slot, conn->generation,
                              conn->flight.data + conn->flight_sent,
                              conn->flight.bytes - conn->flight_sent);
        return;
    }
    conn->sending = false;
    out_give(edge, &conn->flight);
    if (conn->full && !conn->dead && net_output_bytes(conn) <= NET_OUTPUT_BYTES_LOW) {
        conn->full = false;
        if (conn->protocol->drained != NULL && (!conn->closed_told || conn->holds > 0)) {
            conn->protocol->drained(conn->session);
        }
    }
    if (has_output(conn) || conn->closing || conn->dead || conn->closed_told) {
        conn_mark_dirty(conn);
    }
}

/* A slow peer's reading shows in the kernel's queue long before there is room for more. */
static bool took_something(struct net_conn *conn) {
    int unsent = 0;
    int before = conn->unsent;
    if (ioctl(conn->fd, SIOCOUTQ, &unsent) != 0) {
        return false;
    }
    conn->unsent = unsent;
    return unsent != before;
}

void conn_on_timer(struct net_conn *conn) {
    struct edge *edge = conn->edge;
    u64 now = edge->now_ns;
    bool stalled = stalled_at(conn) <= now;
    if ((stalled || idle_at(conn) <= now) && took_something(conn)) {
        conn->sent_ns = conn->active_ns = now;
        set_timer(conn);
        return;
    }
    if (stalled) {
        stat_add(&edge->stat_expired, 1);
        conn_kill(conn);
        set_timer(conn);
        return;
    }
    u64 due = conn->deadline_ns != 0 ? conn->deadline_ns : idle_at(conn);
    if (due > now) {
        set_timer(conn);
        return;
    }
    if (conn->deadline_ns == 0 && conn->holds > 0) {
        conn->active_ns = now; /* somebody works for it, so it is not idle */
        set_timer(conn);
        return;
    }
    stat_add(&edge->stat_expired, conn->finished ? 0 : 1);
    bool ask = conn->deadline_ns != 0 && conn->opened && conn->protocol->expired != NULL &&
               !conn->closing && !conn->closed_told && !conn->dead;
    conn->deadline_ns = 0;
    conn->active_ns = now;
    if (ask) {
        conn->protocol->expired(conn->session);
    } else {
        conn_kill(conn);
    }
    set_timer(conn);
}

void conn_call_back(struct net_conn *conn) {
    if (conn->later) {
        conn->later = false;
        if (conn->protocol->later != NULL) {
            conn->protocol->later(conn->session);
        }
    }
    if (!conn->paused && conn->stash.bytes > 0) {
        struct out stash = conn->stash;
        conn->stash = (struct out){0};
        if (!conn->closed_told) {
            deliver(conn, stash.data, stash.bytes);
        }
        out_give(conn->edge, &stash);
    }
    conn_mark_dirty(conn);
}

/* --- for protocols ---------------------------------------------------------------------------- */

void net_send(struct net_conn *conn, const void *data, usize bytes) {
    if (conn->dead || conn->finished || conn->ended || bytes == 0) {
        return;
    }
    conn->active_ns = conn->edge->now_ns;
    if (!out_add(conn->edge, &conn->out, data, bytes, NET_OUTPUT_BYTES_MAX)) {
        conn_kill(conn); /* half an answer would be worse than none */
        return;
    }
    if (net_output_bytes(conn) >= NET_OUTPUT_BYTES_HIGH) {
        conn->full = true;
    }
    if (!conn->sending) {
        conn_mark_dirty(conn);
    }
}

usize net_output_bytes(const struct net_conn *conn) {
    return conn->out.bytes + conn->clear.bytes - conn->clear_at +
           (conn->sending ? conn->flight.bytes - conn->flight_sent : 0);
}

void net_close_after_send(struct net_conn *conn) {
    conn->closing = true;
    conn_mark_dirty(conn);
}

void net_pause(struct net_conn *conn) {
    if (!conn->paused) {
        conn->paused = true;
        conn_mark_dirty(conn);
    }
}

void net_resume(struct net_conn *conn) {
    if (conn->paused) {
        conn->paused = false;
        list_add(conn, LIST_BACK);
    }
}

void net_call_later(struct net_conn *conn) {
    conn->later = true;
    list_add(conn, LIST_BACK);
}

void net_set_deadline(struct net_conn *conn, u64 deadline_ns) {
    conn->deadline_ns = deadline_ns;
    set_timer(conn);
}

void net_hold(struct net_conn *conn) {
    conn->holds++;
}

void net_release(struct net_conn *conn) {
    check(conn->holds > 0);
    conn->holds--;
    conn->active_ns = conn->edge->now_ns; /* idleness begins now */
    if (conn->holds == 0 && conn->closed_told) {
        conn_mark_dirty(conn);
    }
}

bool net_is_closed(const struct net_conn *conn) {
    return conn->dead || conn->finished || conn->ended;
}

bool net_is_secure(const struct net_conn *conn) {
    return conn->tls != NULL;
}

const char *net_peer(const struct net_conn *conn) {
    struct net_conn *mutable = (struct net_conn *)(uintptr_t)conn; /* a cache, filled when asked */
    if (conn->peer[0] == 0) {
        struct sockaddr_storage address = {0};
        socklen_t bytes = sizeof address;
        const void *from = NULL;
        if (getpeername(conn->fd, (struct sockaddr *)(void *)&address, &bytes) == 0) {
            from = address.ss_family == AF_INET6
                       ? (const void *)&((struct sockaddr_in6 *)(void *)&address)->sin6_addr
                       : (const void *)&((struct sockaddr_in *)(void *)&address)->sin_addr;
        }
        if (from == NULL ||
            inet_ntop(address.ss_family, from, mutable->peer, sizeof mutable->peer) == NULL) {
            memcpy(mutable->peer, "unknown", 8);
        }
    }
    return conn->peer;
}
