/* wire_peer.c: see wire_peer.h. */
#include "wire_peer.h"

#include <stdlib.h>

#include "base/hash.h"

u64 wire_peer_now_ns = 1000000000;

static void io_send(void *conn, const void *data, usize bytes) {
    struct wire_peer *peer = conn;
    check(!peer->session.gone);
    buf_put(&peer->sent, data, bytes);
}

static usize io_output_bytes(const void *conn) {
    return ((const struct wire_peer *)conn)->unsent;
}

static void io_close_after_send(void *conn) {
    ((struct wire_peer *)conn)->closing = true;
}

static void io_pause(void *conn) {
    struct wire_peer *peer = conn;
    check(!peer->paused);
    peer->paused = true;
    peer->pauses++;
}

static void io_resume(void *conn) {
    struct wire_peer *peer = conn;
    check(peer->paused);
    peer->paused = false;
}

static void io_set_deadline(void *conn, u64 deadline_ns) {
    ((struct wire_peer *)conn)->deadline_ns = deadline_ns;
}

static void io_hold(void *conn) {
    ((struct wire_peer *)conn)->holds++;
}

static void io_release(void *conn) {
    check(((struct wire_peer *)conn)->holds-- > 0);
}

static u64 io_monotonic_ns(void) {
    return wire_peer_now_ns;
}

static i64 io_wall_ms(void) {
    return (i64)(wire_peer_now_ns / 1000000);
}

static const char *io_peer(const void *conn) {
    (void)conn;
    return "192.0.2.1";
}

static const struct wire_io io = {
    io_send,         io_output_bytes, io_close_after_send, io_pause, io_resume,
    io_set_deadline, io_hold,         io_release,          io_peer,  io_monotonic_ns,
    io_wall_ms,
};

/* --- the service ------------------------------------------------------------------------------ */

static enum wire_error authenticate(void *context, const char *address, struct slice key,
                                    i64 now_ms, u32 *account, u32 *scopes) {
    const struct wire_peer *peer = context;
    (void)now_ms;
    check(strcmp(address, "192.0.2.1") == 0);
    *account = 7;
    *scopes = 3;
    bool good = !peer->revoked && key.bytes == 4 && memcmp(key.data, "good", 4) == 0;
    return good ? 0 : WIRE_UNAUTHORIZED;
}

static bool ready(void *context) {
    return context != NULL;
}

static void ingest(struct wire_call *call) {
    struct wire_peer *peer = call->session->server->context;
    u64 hash = hash64(call->payload.data, call->payload.bytes, 0);
    if (call->body.data != NULL) {
        check(call->body.data == call->payload.data);
        memset(call->body.data + call->payload.bytes, 0, EVENT_TEXT_PADDING);
        pool_give(peer->pool, call->body);
        call->body.data = NULL;
    }
    char *to = wire_reply_begin(call->session, 8);
    check(to != NULL);
    wire_reply_end(call->session, call->type | WIRE_REPLY, call->request, wire_write_u64(to, hash));
}

static void echo(struct wire_call *call) {
    char *to = wire_reply_begin(call->session, call->payload.bytes);
    if (to == NULL) {
        wire_reply_error(call->session, call->request, WIRE_LIMIT, "too long");
        return;
    }
    memcpy(to, call->payload.data, call->payload.bytes);
    wire_reply_end(call->session, call->type | WIRE_REPLY, call->request, to + call->payload.bytes);
}

static void answer_later(struct wire_call *call) {
    struct wire_peer *peer = call->session->server->context;
    check(peer->waiting_count < WIRE_PEER_WAITING_MAX);
    peer->waiting[peer->waiting_count++] = call->request;
    wire_session_begin(call->session);
}

static void set_timer(struct wire_call *call) {
    wire_session_set_timer(call->session, wire_peer_now_ns + 5000000);
    wire_reply_empty(call);
}

static void timer(struct wire_session *session, u64 now_ns) {
    check(now_ns == wire_peer_now_ns);
    char *to = wire_reply_begin(session, 0);
    wire_reply_end(session, WIRE_PUSH, 0, to);
}

static const struct wire_service service = {
    .authenticate = authenticate,
    .ready = ready,
    .handler = {[WIRE_INGEST_JSON] = ingest,
                [WIRE_INGEST_NATIVE] = ingest,
                [WIRE_POINT] = echo,
                [WIRE_AGGREGATE] = answer_later,
                [WIRE_SUBSCRIBE] = set_timer},
    .timer = timer,
};

/* --- the peer --------------------------------------------------------------------------------- */

void wire_peer_open_with(struct wire_peer *peer, const struct wire_service *with, void *context,
                         struct pool *pool) {
    memset(peer, 0, sizeof *peer);
    buf_init(&peer->sent, 256 * MIB);
    wire_server_init(&peer->server, with, context, pool);
    peer->server.io = &io;
    wire_session_open(&peer->session, &peer->server, peer);
}

void wire_peer_open(struct wire_peer *peer, usize pool_bytes) {
    struct pool *pool;
    check(pool_create(pool_bytes, &pool) == ERR_OK);
    wire_peer_open_with(peer, &service, peer, pool);
    peer->pool = pool;
}

void wire_peer_close(struct wire_peer *peer) {
    wire_session_closed(&peer->session);
    while (peer->waiting_count > 0) {
        wire_peer_answer(peer);
    }
    check(peer->holds == 0);
    wire_server_free(&peer->server);
    if (peer->pool != NULL) {
        pool_destroy(peer->pool); /* checks that all blocks came back */
    }
    buf_free(&peer->sent);
}

static usize receive_direct(struct wire_peer *peer, const char *data, usize bytes) {
    char *into;
    usize wanted;
    if (!wire_session_direct(&peer->session, &into, &wanted)) {
        return 0;
    }
    check(wanted >= NET_DIRECT_BYTES_MIN);
    usize given = MIN(wanted, bytes);
    memcpy(into, data, given);
    wire_session_received(&peer->session, given);
    return given;
}

void wire_peer_receive(struct wire_peer *peer, const char *data, usize bytes) {
    usize direct = receive_direct(peer, data, bytes);
    if (direct > 0) {
        data += direct;
        bytes -= direct;
    }
    char *copy = malloc(bytes > 0 ? bytes : 1);
    check(copy != NULL);
    memcpy(copy, data, bytes);
    wire_session_receive(&peer->session, copy, bytes);
    free(copy);
}

void wire_peer_answer(struct wire_peer *peer) {
    check(peer->waiting_count > 0);
    u32 request = peer->waiting[0];
    memmove(peer->waiting, peer->waiting + 1, --peer->waiting_count * sizeof peer->waiting[0]);
    char *to = wire_reply_begin(&peer->session, 4);
    check(to != NULL);
    wire_reply_end(&peer->session, WIRE_AGGREGATE | WIRE_REPLY, request,
                   wire_write_u32(to, request));
    wire_session_end(&peer->session);
}

void wire_peer_frame(struct buf *out, u8 type, u32 request, const void *payload, usize bytes) {
    char *header = buf_reserve(out, WIRE_HEADER_BYTES + bytes);
    check(header != NULL);
    if (bytes > 0) {
        memcpy(header + WIRE_HEADER_BYTES, payload, bytes);
    }
    frame_seal(header, type, request, header + WIRE_HEADER_BYTES, bytes);
    out->bytes += WIRE_HEADER_BYTES + bytes;
}

void wire_peer_greet(struct buf *out, const char *key) {
    char hello[WIRE_HELLO_BYTES] = WIRE_MAGIC "\x01\0\x01";
    wire_peer_frame(out, WIRE_HELLO, 1, hello, sizeof hello);
    wire_peer_frame(out, WIRE_AUTH, 2, key, strlen(key));
}

bool wire_peer_next(const struct wire_peer *peer, usize *at, struct wire_header *header,
                    struct slice *payload) {
    if (*at == peer->sent.bytes) {
        return false;
    }
    check(peer->sent.bytes - *at >= WIRE_HEADER_BYTES);
    check(frame_read_header(peer->sent.data + *at, header) == NULL);
    check(peer->sent.bytes - *at - WIRE_HEADER_BYTES >= header->bytes);
    *payload = (struct slice){peer->sent.data + *at + WIRE_HEADER_BYTES, header->bytes};
    check(frame_check(header, payload->data));
    *at += WIRE_HEADER_BYTES + (usize)header->bytes;
    return true;
}
