/*
 * edge.c: listeners and the loop. A turn is one wait for completions; protocols run as these are
 * handed out; then the owner's hooks; then every connection that changed is settled once, and what
 * that queues is submitted by the next wait.
 */
#include "net/edge.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "net/conn.h"

#define BACKLOG 4096

/* How edge_wake() knows whether a system call is needed: only a sleeping loop must be woken. */
enum wake_state { LOOP_RUNS, LOOP_SLEEPS, LOOP_IS_WOKEN };

/* --- creation --------------------------------------------------------------------------------- */

static enum err parse_address(const struct net_listener *with, struct sockaddr_storage *address,
                              socklen_t *bytes) {
    struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)address;
    memset(address, 0, sizeof *address);
    if (inet_pton(AF_INET, with->host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(with->port);
        *bytes = sizeof *v4;
        return ERR_OK;
    }
    if (inet_pton(AF_INET6, with->host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(with->port);
        *bytes = sizeof *v6;
        return ERR_OK;
    }
    return ERR_INVALID;
}

/* SO_REUSEPORT before bind() joins whoever listens there, even another server; set between bind()
 * and listen() it only lets others in. So the first edge finds a taken port out. */
static bool bind_and_listen(int fd, const struct sockaddr *address, socklen_t bytes, bool share) {
    int on = 1;
    return fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
           (!share || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0) &&
           /* accepted connections inherit it */
           setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0 &&
           bind(fd, address, bytes) == 0 &&
           setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0 &&
           listen(fd, BACKLOG) == 0;
}

/* What an operator can do about it. */
static const char *listen_advice(int error) {
    switch (error) {
    case EADDRINUSE:
        return ": stop what listens there, or choose another port";
    case EADDRNOTAVAIL:
        return ": no address of this machine";
    case EACCES:
        return ": start as root with --user, or choose a port from 1024 on";
    default:
        return "";
    }
}

static enum err listen_on(struct listener *listener, bool share, char *why, usize why_bytes) {
    struct sockaddr_storage address;
    socklen_t bytes;
    if (parse_address(&listener->with, &address, &bytes) != ERR_OK) {
        snprintf(why, why_bytes, "\"%s\" is not a numeric address", listener->with.host);
        return ERR_INVALID;
    }
    listener->fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool good = bind_and_listen(listener->fd, (struct sockaddr *)(void *)&address, bytes, share);
    if (!good) {
        int error = errno;
        snprintf(why, why_bytes, "cannot listen on %s port %u: %s%s", listener->with.host,
                 listener->with.port, strerror(error), listen_advice(error));
        return error == EADDRINUSE ? ERR_LOCKED : ERR_SYSTEM;
    }
    bytes = sizeof address;
    check(getsockname(listener->fd, (struct sockaddr *)(void *)&address, &bytes) == 0);
    listener->port =
        ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)(void *)&address)->sin6_port
                                            : ((struct sockaddr_in *)(void *)&address)->sin_port);
    return ERR_OK;
}

struct probe {
    int wake_fd;
    enum err err;
    char cause[256];
};

static void *probe_uring(void *argument) {
    struct probe *probe = argument;
    struct ring *ring;
    probe->err = ring_uring_create(1, probe->wake_fd, &ring, probe->cause, sizeof probe->cause);
    if (probe->err == ERR_OK) {
        ring->ops->destroy(ring);
    }
    return NULL;
}

/* The ring itself is made later, by the thread that runs it; here we only learn whether it can. The
 * probe has a thread of its own, for a ring that goes away interrupts system calls of its thread.
 */
static enum err decide_kind(struct edge *edge, char *why, usize why_bytes) {
    if (edge->options.kind == EDGE_EPOLL) {
        edge->kind = EDGE_EPOLL;
        return ERR_OK;
    }
    struct probe probe = {.wake_fd = edge->wake_fd};
    pthread_t thread;
    if (pthread_create(&thread, NULL, probe_uring, &probe) != 0) {
        snprintf(why, why_bytes, "no thread to try io_uring in");
        return ERR_SYSTEM;
    }
    pthread_join(thread, NULL);
    if (probe.err == ERR_OK) {
        edge->kind = EDGE_URING;
        return ERR_OK;
    }
    if (edge->options.kind == EDGE_URING) {
        snprintf(why, why_bytes, "%s", probe.cause);
        return ERR_SYSTEM;
    }
    log_warn("edge_falls_back", "using=epoll cause=\"%s\"", probe.cause);
    edge->kind = EDGE_EPOLL;
    return ERR_OK;
}

enum err edge_create(const struct edge_options *options, struct edge **out, char *why,
                     usize why_bytes) {
    check(options->listener_count <= LISTENERS_MAX && options->connections_max > 0);
    struct edge *edge = calloc(1, sizeof *edge);
    if (edge == NULL) {
        snprintf(why, why_bytes, "no memory");
        return ERR_NO_MEMORY;
    }
    edge->options = *options;
    edge->listener_count = options->listener_count;
    for (u32 at = 0; at < options->listener_count; at++) {
        edge->listener[at] = (struct listener){.with = options->listeners[at], .fd = -1};
        edge->session_bytes =
            MAX(edge->session_bytes, options->listeners[at].protocol->session_bytes);
    }
    edge->conn = calloc(options->connections_max, sizeof *edge->conn);
    edge->text = malloc(TLS_TEXT_BYTES);
    edge->wake_fd = eventfd(0, EFD_CLOEXEC);
    enum err err = ERR_OK;
    if (edge->conn == NULL || edge->text == NULL || edge->wake_fd < 0) {
        snprintf(why, why_bytes, "no memory or descriptor");
        err = ERR_NO_MEMORY;
    }
    for (u32 at = 0; at < edge->listener_count && err == ERR_OK; at++) {
        err = listen_on(&edge->listener[at], options->share_ports, why, why_bytes);
    }
    if (err == ERR_OK) {
        err = decide_kind(edge, why, why_bytes);
    }
    if (err == ERR_OK && edge->kind == EDGE_EPOLL) {
        err =
            ring_epoll_create(options->connections_max, edge->wake_fd, &edge->ring, why, why_bytes);
    }
    if (err != ERR_OK) {
        edge_destroy(edge);
        return err;
    }
    *out = edge;
    return ERR_OK;
}

u16 edge_port(const struct edge *edge, u32 listener) {
    check(listener < edge->listener_count);
    return edge->listener[listener].port;
}

void edge_destroy(struct edge *edge) {
    if (edge == NULL) {
        return;
    }
    conn_free_all(edge);
    if (edge->ring != NULL) {
        edge->ring->ops->destroy(edge->ring);
    }
    for (u32 at = 0; at < edge->listener_count; at++) {
        if (edge->listener[at].fd >= 0) {
            close(edge->listener[at].fd);
        }
    }
    if (edge->wake_fd >= 0) {
        close(edge->wake_fd);
    }
    free(edge->conn);
    free(edge->text);
    free(edge);
}

/* --- other threads ---------------------------------------------------------------------------- */

void edge_wake(struct edge *edge) {
    if (atomic_exchange(&edge->wake, LOOP_IS_WOKEN) == LOOP_SLEEPS) {
        u64 one = 1;
        ssize_t ignored = write(edge->wake_fd, &one, sizeof one);
        (void)ignored;
    }
}

void edge_stop(struct edge *edge) {
    atomic_store(&edge->stop, true);
    edge_wake(edge);
}

void edge_get_stats(const struct edge *edge, struct edge_stats *out) {
    *out = (struct edge_stats){
        .connections = atomic_load_explicit(&edge->stat_connections, memory_order_relaxed),
        .accepted = atomic_load_explicit(&edge->stat_accepted, memory_order_relaxed),
        .refused = atomic_load_explicit(&edge->stat_refused, memory_order_relaxed),
        .received_bytes = atomic_load_explicit(&edge->stat_received, memory_order_relaxed),
        .sent_bytes = atomic_load_explicit(&edge->stat_sent, memory_order_relaxed),
        .starved = atomic_load_explicit(&edge->stat_starved, memory_order_relaxed),
        .expired = atomic_load_explicit(&edge->stat_expired, memory_order_relaxed),
        .tls_established = atomic_load_explicit(&edge->stat_tls_established, memory_order_relaxed),
        .tls_refused = atomic_load_explicit(&edge->stat_tls_refused, memory_order_relaxed),
        .tls_handshakes = atomic_load_explicit(&edge->stat_tls_handshakes, memory_order_relaxed),
        .tls_cut = atomic_load_explicit(&edge->stat_tls_cut, memory_order_relaxed),
    };
}

/* --- the loop --------------------------------------------------------------------------------- */

static void on_accept(struct edge *edge, const struct ring_event *event) {
    struct listener *listener = &edge->listener[event->slot];
    listener->armed = event->more;
    if (event->result >= 0) {
        conn_open(edge, listener, event->result);
        return;
    }
    switch (event->result) {
    case -EMFILE:
    case -ENFILE:
    case -ENOMEM:
    case -ENOBUFS:
        /* Trying again at once would fail at once. */
        listener->retry_ns = edge->now_ns + ACCEPT_BACKOFF_NS;
        if (edge->now_ns - edge->complained_ns > (u64)1000000000) {
            edge->complained_ns = edge->now_ns;
            log_warn("accept_refused", "cause=\"%s\" connections=%u", strerror(-event->result),
                     edge->open_count);
        }
        break;
    default: /* the client was gone already, or we stop */
        break;
    }
}

static void on_event(void *context, const struct ring_event *event) {
    struct edge *edge = context;
    if (event->op == RING_WAKE) {
        return; /* what it means is in edge->wake */
    }
    edge->did_something = true;
    if (edge->clock_is_stale) { /* the wait may have been long */
        edge->now_ns = clock_monotonic_ns();
        edge->clock_is_stale = false;
    }
    if (event->op == RING_ACCEPT) {
        on_accept(edge, event);
        return;
    }
    check(event->slot < edge->slots_used);
    struct net_conn *conn = edge->conn[event->slot];
    if (conn->fd < 0 || (conn->generation & 0xfffffff) != event->generation) {
        return; /* of an earlier connection in this slot */
    }
    if (event->op == RING_RECEIVE) {
        conn_on_receive(conn, event);
    } else {
        conn_on_send(conn, event);
    }
}

static void arm_listeners(struct edge *edge) {
    for (u32 at = 0; at < edge->listener_count && !edge->stopping; at++) {
        struct listener *listener = &edge->listener[at];
        if (!listener->armed && listener->retry_ns <= edge->now_ns) {
            listener->armed = true;
            edge->ring->ops->accept(edge->ring, listener->fd, at);
        }
    }
}

static u64 wait_ns(const struct edge *edge) {
    u64 next = wheel_next_ns(&edge->wheel);
    for (u32 at = 0; at < edge->listener_count; at++) {
        if (!edge->listener[at].armed && !edge->stopping) {
            next = MIN(next, edge->listener[at].retry_ns);
        }
    }
    if (next == UINT64_MAX) {
        return UINT64_MAX;
    }
    return next <= edge->now_ns ? 0 : next - edge->now_ns;
}

static void run_timers(struct edge *edge) {
    struct wheel_node *node;
    while ((node = wheel_pop(&edge->wheel, edge->now_ns)) != NULL) {
        edge->did_something = true;
        conn_on_timer((struct net_conn *)node);
    }
}

static void call_back(struct edge *edge) {
    struct net_conn *conn;
    while ((conn = conn_list_pop(edge, LIST_BACK)) != NULL) {
        edge->did_something = true;
        conn_call_back(conn);
    }
}

/* What is begun is ended first: or many who come at once would wait until they are cut off. */
static struct net_conn *next_to_shake(struct edge *edge) {
    struct net_conn *conn = conn_list_pop(edge, LIST_SHAKING);
    return conn != NULL ? conn : conn_list_pop(edge, LIST_HELLO);
}

/* Handshakes that are due, for as long as large receives may take; the others go on after a look at
 * what else has come. */
static void shake_hands(struct edge *edge) {
    struct net_conn *conn = next_to_shake(edge);
    if (conn == NULL) {
        return;
    }
    u64 end_ns = clock_monotonic_ns() + RING_LARGE_NS;
    edge->did_something = true;
    do {
        conn_shake(conn);
    } while (clock_monotonic_ns() < end_ns && (conn = next_to_shake(edge)) != NULL);
}

static void settle_all(struct edge *edge) {
    struct net_conn *conn;
    while ((conn = conn_list_pop(edge, LIST_DIRTY)) != NULL) {
        conn_settle(conn);
    }
}

static void begin_stop(struct edge *edge) {
    edge->stopping = true;
    for (u32 at = 0; at < edge->listener_count; at++) {
        shutdown(edge->listener[at].fd, SHUT_RDWR); /* refuses new ones and ends the accept */
    }
    for (u32 slot = 0; slot < edge->slots_used; slot++) {
        if (edge->conn[slot]->fd >= 0) {
            conn_mark_dirty(edge->conn[slot]);
        }
    }
}

/* One turn: what completed, what other threads want, what waited for the loop; what came of that
 * goes out before large bodies are looked at. Then one look at the whole by the owner, and at last
 * everything that has changed goes out with the next wait. */
static void turn(struct edge *edge, u64 timeout_ns) {
    int runs = LOOP_RUNS;
    if (edge->list[LIST_BACK].first != NULL || edge->list[LIST_SHAKING].first != NULL ||
        edge->list[LIST_HELLO].first != NULL ||
        !atomic_compare_exchange_strong(&edge->wake, &runs, LOOP_SLEEPS)) {
        timeout_ns = 0;
    }
    edge->did_something = false;
    edge->clock_is_stale = true;
    edge->ring->ops->turn(edge->ring, timeout_ns, on_event, edge);
    edge->now_ns = clock_monotonic_ns();
    if (atomic_exchange(&edge->wake, LOOP_RUNS) == LOOP_IS_WOKEN) {
        edge->did_something = true;
        if (edge->options.on_wake != NULL) {
            edge->options.on_wake(edge->options.context);
        }
    }
    if (atomic_load(&edge->stop) && !edge->stopping) {
        begin_stop(edge);
    }
    shake_hands(edge);
    call_back(edge);
    run_timers(edge);
    settle_all(edge);
    edge->ring->ops->take_large(edge->ring, on_event, edge);
    if (edge->did_something && edge->options.on_turn != NULL) {
        edge->options.on_turn(edge->options.context);
    }
    arm_listeners(edge);
    settle_all(edge);
}

/* An epoll ring exists already; io_uring's belongs to the thread that makes it. */
static bool have_ring(struct edge *edge) {
    char cause[256];
    if (edge->ring != NULL) {
        return true;
    }
    if (ring_uring_create(edge->options.connections_max, edge->wake_fd, &edge->ring, cause,
                          sizeof cause) == ERR_OK) {
        return true;
    }
    log_warn("edge_falls_back", "using=epoll cause=\"%s\"", cause);
    edge->kind = EDGE_EPOLL;
    if (ring_epoll_create(edge->options.connections_max, edge->wake_fd, &edge->ring, cause,
                          sizeof cause) == ERR_OK) {
        return true;
    }
    log_error("edge_stops", "cause=\"%s\"", cause);
    return false;
}

void edge_begin(struct edge *edge) {
    (void)have_ring(edge);
}

void edge_run(struct edge *edge, u64 grace_ns) {
    if (!have_ring(edge)) {
        return;
    }
    edge->now_ns = clock_monotonic_ns();
    wheel_init(&edge->wheel, edge->now_ns);
    arm_listeners(edge);
    while (!edge->stopping) {
        turn(edge, wait_ns(edge));
    }
    u64 grace_end = edge->now_ns + grace_ns;
    while (edge->open_count > 0 && edge->now_ns < grace_end) {
        turn(edge, MIN(wait_ns(edge), grace_end - edge->now_ns));
    }
    /* Grace is over: break what is left, and wait until the kernel has let go of our memory. What
     * is still held keeps its session until edge_destroy(). */
    bool busy = true;
    for (u32 tries = 0; busy && tries < 100; tries++) {
        busy = false;
        for (u32 slot = 0; slot < edge->slots_used; slot++) {
            struct net_conn *conn = edge->conn[slot];
            if (conn->fd >= 0) {
                conn_kill(conn);
                busy =
                    busy || conn->sending || conn->receiving != RECEIVE_IDLE || !conn->closed_told;
            }
        }
        turn(edge, busy ? (u64)10000000 : 0);
    }
    edge->ring->ops->destroy(edge->ring);
    edge->ring = NULL;
}
