/*
 * session.c: frames in, calls out, replies gathered. A frame that lies whole in the bytes received
 * is handled where it lies; one that does not is put together in a pool block that an ingest
 * handler may adopt, and what is missing of a large one is received straight into that block.
 *
 * Backpressure: a connection that does not read its replies, or has too many requests unanswered,
 * is no longer read. What had been received by then waits in `pending`.
 */
#include "wire/session.h"

#include "event.h"
#include "version.h"

#define HANDSHAKE_NS ((u64)10 * 1000000000)
#define FRAME_NS ((u64)60 * 1000000000) /* for a frame to come in whole */
#define HANDSHAKE_BYTES_MAX 1024        /* of a frame before the key is known */
#define OUT_BYTES_SEND (64 * KIB)
#define OUT_BYTES_KEEP (1 * MIB) /* a larger buffer is freed again */
#define BODY_SLACK (64 * KIB)    /* so that an adopted body has room for what decoding adds */
#define KEY_CHECK_MS 1000        /* how long a revoked key may go on */

void wire_server_init(struct wire_server *server, const struct wire_service *service, void *context,
                      struct pool *pool) {
    *server = (struct wire_server){.service = service, .context = context, .pool = pool};
    buf_init(&server->out, WIRE_FRAME_BYTES_MAX + 2 * OUT_BYTES_SEND);
}

void wire_server_free(struct wire_server *server) {
    check(server->reading == NULL);
    if (server->service->server_closed != NULL) {
        server->service->server_closed(server);
    }
    buf_free(&server->out);
}

/* --- replies ---------------------------------------------------------------------------------- */

static void send_out(struct wire_session *session) {
    struct buf *out = &session->server->out;
    if (out->bytes > 0 && !session->gone) {
        session->server->io->send(session->conn, out->data, out->bytes);
    }
    buf_clear(out);
    if (out->capacity > OUT_BYTES_KEEP) {
        buf_free(out);
    }
}

char *wire_reply_begin(struct wire_session *session, usize payload_bytes_max) {
    struct wire_server *server = session->server;
    check(server->reading == NULL || server->reading == session);
    char *header = buf_reserve(&server->out, WIRE_HEADER_BYTES + payload_bytes_max);
    if (header == NULL) {
        server->out.failed = false; /* what is in the buffer is whole; only this does not fit */
        return NULL;
    }
    return header + WIRE_HEADER_BYTES;
}

void wire_reply_end(struct wire_session *session, u8 type, u32 request, const char *payload_end) {
    struct buf *out = &session->server->out;
    char *header = out->data + out->bytes;
    const char *payload = header + WIRE_HEADER_BYTES;
    usize payload_bytes = (usize)(payload_end - payload);
    check(out->bytes + WIRE_HEADER_BYTES + payload_bytes <= out->capacity);
    frame_seal(header, type, request, payload, payload_bytes);
    out->bytes += WIRE_HEADER_BYTES + payload_bytes;
    if (session->server->reading == NULL || out->bytes > OUT_BYTES_SEND) {
        send_out(session);
    }
}

void wire_reply_error(struct wire_session *session, u32 request, enum wire_error code,
                      const char *text) {
    usize text_bytes = strnlen(text, 512);
    char *to = wire_reply_begin(session, 4 + text_bytes);
    if (to == NULL) {
        return; /* the client's time-out tells it */
    }
    to = wire_write_u16(to, (u16)code);
    to = wire_write_u16(to, 0);
    memcpy(to, text, text_bytes);
    wire_reply_end(session, WIRE_ERROR, request, to + text_bytes);
}

void wire_reply_empty(const struct wire_call *call) {
    char *to = wire_reply_begin(call->session, 0);
    if (to != NULL) {
        wire_reply_end(call->session, call->type | WIRE_REPLY, call->request, to);
    }
}

/* The stream makes no sense any more: say why, then close. */
static void end_session(struct wire_session *session, u32 request, enum wire_error code,
                        const char *text) {
    wire_reply_error(session, request, code, text);
    send_out(session);
    session->state = WIRE_ENDED;
    session->timer_ns = 0;
    session->server->io->close_after_send(session->conn);
}

/* --- deadlines -------------------------------------------------------------------------------- */

static void set_deadline(struct wire_session *session) {
    u64 frame = session->frame_deadline_ns;
    u64 timer = session->timer_ns;
    u64 deadline = frame == 0 ? timer : timer == 0 ? frame : MIN(frame, timer);
    session->server->io->set_deadline(session->conn, deadline);
}

void wire_session_set_timer(struct wire_session *session, u64 at_ns) {
    session->timer_ns = at_ns;
    if (!session->gone) {
        set_deadline(session);
    }
}

/* A frame has begun to come in and is not whole, or no longer so. */
static void note_partial(struct wire_session *session, bool partial) {
    if (session->state != WIRE_OPEN || partial == (session->frame_deadline_ns != 0)) {
        return;
    }
    session->frame_deadline_ns = partial ? session->server->io->monotonic_ns() + FRAME_NS : 0;
    set_deadline(session);
}

/* --- keys ------------------------------------------------------------------------------------- */

static enum wire_error check_key(struct wire_session *session, i64 now_ms) {
    struct wire_server *server = session->server;
    session->checked_ms = now_ms;
    return server->service->authenticate(server->context, server->io->peer(session->conn),
                                         (struct slice){session->key, session->key_bytes}, now_ms,
                                         &session->account, &session->scopes);
}

static const char *text_of_refusal(enum wire_error refusal) {
    switch (refusal) {
    case WIRE_GUESSING:
        return "too many unknown, revoked or expired keys from this address; try again in a minute";
    case WIRE_BUSY:
        return "the keys cannot be read now; try again";
    case WIRE_INTERNAL:
        return "what is stored of this key is damaged; the server's log says more";
    default:
        return "unknown, revoked or expired key";
    }
}

/* Looks again now and then; a clock that was set back is no excuse. False: the session has ended.
 */
static bool may_go_on(struct wire_session *session, u32 request, i64 now_ms) {
    i64 age_ms = now_ms - session->checked_ms;
    if (likely(age_ms >= 0 && age_ms < KEY_CHECK_MS)) {
        return true;
    }
    enum wire_error refusal = check_key(session, now_ms);
    if (refusal != 0) {
        end_session(session, request, refusal, text_of_refusal(refusal));
    }
    return refusal == 0;
}

/* --- time --------------------------------------------------------------------------------------
 */

void wire_session_expired(struct wire_session *session) {
    u64 now_ns = session->server->io->monotonic_ns();
    if (session->frame_deadline_ns != 0 && now_ns >= session->frame_deadline_ns) {
        session->frame_deadline_ns = 0;
        end_session(session, 0, WIRE_BAD_FRAME, "no whole frame came in time");
        return;
    }
    if (session->timer_ns != 0 && now_ns >= session->timer_ns) {
        session->timer_ns = 0;
        if (!may_go_on(session, 0, session->server->io->wall_ms())) {
            return; /* what is subscribed to would be sent for ever */
        }
        session->server->service->timer(session, now_ns);
    }
    set_deadline(session);
}

/* --- calls ------------------------------------------------------------------------------------ */

static void call_hello(struct wire_session *session, const struct wire_call *call) {
    struct wire_reader reader = wire_reader(call->payload);
    const char *magic = wire_take(&reader, WIRE_MAGIC_BYTES);
    u16 oldest = wire_read_u16(&reader);
    u16 newest = wire_read_u16(&reader);
    if (reader.failed || memcmp(magic, WIRE_MAGIC, WIRE_MAGIC_BYTES) != 0) {
        end_session(session, call->request, WIRE_BAD_FRAME, "not a hello of this protocol");
        return;
    }
    if (oldest > WIRE_VERSION || newest < WIRE_VERSION) {
        end_session(session, call->request, WIRE_BAD_VERSION,
                    "this server speaks protocol version 1 only");
        return;
    }
    struct slice version = SLICE("margind/" MARGIN_VERSION);
    char *to = wire_reply_begin(session, WIRE_HELLO_REPLY_BYTES + version.bytes);
    if (to == NULL) {
        return;
    }
    memcpy(to, WIRE_MAGIC, WIRE_MAGIC_BYTES);
    to = wire_write_u16(to + WIRE_MAGIC_BYTES, WIRE_VERSION);
    to = wire_write_u16(to, 0);
    to = wire_write_u32(to, (u32)WIRE_FRAME_BYTES_MAX);
    to = wire_write_u32(to, WIRE_EVENTS_MAX);
    to = wire_write_u32(to, WIRE_IN_FLIGHT_MAX);
    memcpy(to, version.data, version.bytes);
    wire_reply_end(session, WIRE_HELLO | WIRE_REPLY, call->request, to + version.bytes);
    session->state = WIRE_AWAIT_AUTH;
}

static void call_auth(struct wire_session *session, const struct wire_call *call) {
    if (!session->server->service->ready(session->server->context)) {
        end_session(session, call->request, WIRE_BUSY, "the server is starting; try again soon");
        return;
    }
    bool fits = call->payload.bytes <= sizeof session->key;
    session->key_bytes = fits ? (u8)call->payload.bytes : 0;
    memcpy(session->key, call->payload.data, session->key_bytes);
    enum wire_error refusal = check_key(session, call->now_ms); /* one that is too long is empty */
    if (refusal != 0) {
        end_session(session, call->request, refusal, text_of_refusal(refusal));
        return;
    }
    char *to = wire_reply_begin(session, 8);
    if (to != NULL) {
        to = wire_write_u32(to, session->account);
        to = wire_write_u32(to, session->scopes);
        wire_reply_end(session, WIRE_AUTH | WIRE_REPLY, call->request, to);
        session->state = WIRE_OPEN;
        session->frame_deadline_ns = 0;
        set_deadline(session);
    }
}

static void call_ping(struct wire_session *session, const struct wire_call *call) {
    usize bytes = call->payload.bytes;
    char *to = bytes <= WIRE_PING_BYTES_MAX ? wire_reply_begin(session, bytes) : NULL;
    if (to == NULL) {
        wire_reply_error(session, call->request, WIRE_LIMIT, "a ping has at most 1024 bytes");
        return;
    }
    memcpy(to, call->payload.data, bytes);
    wire_reply_end(session, WIRE_PING | WIRE_REPLY, call->request, to + bytes);
}

static void call_open(struct wire_session *session, struct wire_call *call) {
    const struct wire_service *service = session->server->service;
    if (call->type == WIRE_PING) {
        call_ping(session, call);
        return;
    }
    if (call->type >= WIRE_REQUESTS || service->handler[call->type] == NULL) {
        end_session(session, call->request, WIRE_BAD_FRAME, "unknown type of request");
        return;
    }
    if (may_go_on(session, call->request, call->now_ms)) {
        service->handler[call->type](call);
    }
}

/* The frame of session->header is whole. */
static void handle_frame(struct wire_session *session, const char *payload, i64 now_ms) {
    struct wire_call call = {.session = session,
                             .request = session->header.request,
                             .type = session->header.type,
                             .payload = {payload, session->header.bytes},
                             .body = session->body,
                             .now_ms = now_ms};
    session->body = (struct block){NULL, 0};
    if (!frame_check(&session->header, payload)) {
        end_session(session, call.request, WIRE_BAD_FRAME, "the checksum does not fit the frame");
    } else if (session->state == WIRE_OPEN) {
        call_open(session, &call);
    } else if (session->state == WIRE_AWAIT_HELLO && call.type == WIRE_HELLO) {
        call_hello(session, &call);
    } else if (session->state == WIRE_AWAIT_AUTH && call.type == WIRE_AUTH) {
        call_auth(session, &call);
    } else {
        end_session(session, call.request, WIRE_BAD_FRAME, "hello comes first, then the key");
    }
    pool_give(session->server->pool, call.body);
}

/* --- bytes ------------------------------------------------------------------------------------ */

static bool read_header(struct wire_session *session, const char *head) {
    const char *why = frame_read_header(head, &session->header);
    if (why == NULL && session->state != WIRE_OPEN && session->header.bytes > HANDSHAKE_BYTES_MAX) {
        why = "a frame before the key is at most 1024 bytes";
    }
    if (why != NULL) {
        end_session(session, session->header.request, WIRE_BAD_FRAME, why);
        return false;
    }
    return true;
}

static void begin_payload(struct wire_session *session) {
    bool json = session->header.type == WIRE_INGEST_JSON;
    usize bytes = session->header.bytes + EVENT_TEXT_PADDING + (json ? BODY_SLACK : 0);
    session->body = pool_take(session->server->pool, bytes);
    session->discard = session->body.data == NULL;
    session->body_bytes = 0;
    session->in_payload = true;
}

/* So many bytes more of the payload are in the block. */
static void add_payload(struct wire_session *session, usize bytes, i64 now_ms) {
    session->body_bytes += bytes;
    if (session->body_bytes < session->header.bytes) {
        return;
    }
    session->in_payload = false;
    if (session->discard) {
        wire_reply_error(session, session->header.request, WIRE_BUSY,
                         "no memory for the request now; try again");
    } else {
        handle_frame(session, session->body.data, now_ms);
    }
}

static usize take_payload(struct wire_session *session, const char *data, usize bytes, i64 now_ms) {
    usize taken = MIN(bytes, session->header.bytes - session->body_bytes);
    if (!session->discard && taken > 0) {
        memcpy(session->body.data + session->body_bytes, data, taken);
    }
    add_payload(session, taken, now_ms);
    return taken;
}

/* Takes a header from the front of the bytes, and the payload too if it is all there. */
static usize take_frame(struct wire_session *session, const char *data, usize bytes, i64 now_ms) {
    usize taken = MIN(bytes, WIRE_HEADER_BYTES - session->head_bytes);
    const char *head = data;
    if (session->head_bytes > 0 || taken < WIRE_HEADER_BYTES) {
        memcpy(session->head + session->head_bytes, data, taken);
        session->head_bytes += (u32)taken;
        if (session->head_bytes < WIRE_HEADER_BYTES) {
            return taken;
        }
        head = session->head;
        session->head_bytes = 0;
    }
    if (!read_header(session, head)) {
        return bytes;
    }
    if (bytes - taken < session->header.bytes) {
        begin_payload(session);
        return taken;
    }
    handle_frame(session, data + taken, now_ms);
    return taken + session->header.bytes;
}

static bool must_stall(struct wire_session *session) {
    struct wire_server *server = session->server;
    return session->in_flight >= WIRE_IN_FLIGHT_MAX ||
           server->io->output_bytes(session->conn) + server->out.bytes > WIRE_OUTPUT_BYTES_MAX;
}

/* Handles what it can of the bytes; returns how many it took, fewer than all if it stalled. */
static usize feed(struct wire_session *session, const char *data, usize bytes) {
    struct wire_server *server = session->server;
    i64 now_ms = server->io->wall_ms();
    usize at = 0;
    server->reading = session;
    while (at < bytes && session->state != WIRE_ENDED) {
        if (must_stall(session)) {
            session->stalled = true;
            break;
        }
        at += session->in_payload ? take_payload(session, data + at, bytes - at, now_ms)
                                  : take_frame(session, data + at, bytes - at, now_ms);
    }
    server->reading = NULL;
    send_out(session);
    if (session->state == WIRE_ENDED) {
        return bytes;
    }
    note_partial(session, session->in_payload || session->head_bytes > 0);
    return at;
}

static void keep_pending(struct wire_session *session, const char *data, usize bytes) {
    struct pool *pool = session->server->pool;
    usize total = session->pending_bytes + bytes;
    struct block grown = {NULL, 0};
    if (total <= WIRE_PENDING_BYTES_MAX) {
        grown = session->pending.data == NULL
                    ? pool_take(pool, total)
                    : pool_grow(pool, session->pending, session->pending_bytes, total);
    }
    if (grown.data == NULL) {
        end_session(session, 0, WIRE_BUSY, "too many requests while answers were not read");
        return;
    }
    session->pending = grown;
    memcpy(grown.data + session->pending_bytes, data, bytes);
    session->pending_bytes = total;
}

static void drop_pending(struct wire_session *session) {
    pool_give(session->server->pool, session->pending);
    session->pending = (struct block){NULL, 0};
    session->pending_bytes = 0;
}

void wire_session_open(struct wire_session *session, struct wire_server *server, void *conn) {
    check(server->io != NULL);
    session->server = server;
    session->conn = conn;
    session->frame_deadline_ns = server->io->monotonic_ns() + HANDSHAKE_NS;
    set_deadline(session);
}

void wire_session_receive(struct wire_session *session, const char *data, usize bytes) {
    if (session->state == WIRE_ENDED || session->gone) {
        return;
    }
    usize taken = session->stalled ? 0 : feed(session, data, bytes);
    if (taken < bytes) {
        bool first = session->pending_bytes == 0;
        keep_pending(session, data + taken, bytes - taken);
        if (first && session->state != WIRE_ENDED) {
            session->server->io->pause(session->conn);
        }
    }
}

bool wire_session_direct(struct wire_session *session, char **into, usize *bytes) {
    if (session->state != WIRE_OPEN || !session->in_payload || session->discard ||
        session->stalled || session->header.bytes - session->body_bytes < NET_DIRECT_BYTES_MIN ||
        must_stall(session)) {
        return false;
    }
    *into = session->body.data + session->body_bytes;
    *bytes = session->header.bytes - session->body_bytes;
    return true;
}

void wire_session_received(struct wire_session *session, usize bytes) {
    if (session->state != WIRE_OPEN) {
        return; /* given up meanwhile */
    }
    check(session->in_payload && bytes <= session->header.bytes - session->body_bytes);
    struct wire_server *server = session->server;
    server->reading = session;
    add_payload(session, bytes, server->io->wall_ms());
    server->reading = NULL;
    send_out(session);
    if (session->state == WIRE_OPEN) {
        note_partial(session, session->in_payload);
    }
}

/* Goes on with what waits, if the reason for stalling is over. */
static void go_on(struct wire_session *session) {
    if (!session->stalled || session->gone || session->state == WIRE_ENDED || must_stall(session)) {
        return;
    }
    session->stalled = false;
    usize taken = feed(session, session->pending.data, session->pending_bytes);
    if (session->stalled) {
        session->pending_bytes -= taken;
        memmove(session->pending.data, session->pending.data + taken, session->pending_bytes);
        return;
    }
    drop_pending(session);
    if (session->state != WIRE_ENDED) {
        session->server->io->resume(session->conn);
    }
}

void wire_session_drained(struct wire_session *session) {
    go_on(session);
}

void wire_session_closed(struct wire_session *session) {
    session->gone = true;
    session->state = WIRE_ENDED;
    if (session->server->service->closed != NULL) {
        session->server->service->closed(session);
    }
    drop_pending(session);
    pool_give(session->server->pool, session->body);
    session->body = (struct block){NULL, 0};
    explicit_bzero(session->key, sizeof session->key);
}

void wire_session_begin(struct wire_session *session) {
    session->in_flight++;
    session->server->io->hold(session->conn);
}

void wire_session_end(struct wire_session *session) {
    check(session->in_flight > 0);
    session->in_flight--;
    go_on(session);
    session->server->io->release(session->conn);
}
