/*
 * session.c: the state machine of session.h. Input goes through feed(), which serves it piece by
 * piece according to the state and stops where a handler keeps the call; every way a request can
 * end goes through finish_request(), which writes the reply and clears the way for the next one.
 */
#include "http/session.h"

#include <string.h>

#include "event.h"
#include "http/inflate.h"

#define REPLY_KEEP_BYTES (16 * KIB) /* reply memory a connection keeps between requests */
#define HEAD_BLOCK_BYTES (4 * KIB)

_Static_assert(offsetof(struct http_session, call) == 0, "calls are cast to sessions");

static void give_back(struct http_session *session, struct block *block) {
    pool_give(session->server->pool, *block);
    *block = (struct block){NULL, 0};
}

/* --- holding ------------------------------------------------------------------------------------
 */

/* The session outlives its connection while a handler has the call or input waits to be served. */
static void update_hold(struct http_session *session) {
    bool wanted = session->pending || session->waiting_end > 0;
    if (wanted == session->held) {
        return;
    }
    session->held = wanted;
    if (wanted) {
        session->io->hold(session->conn);
    } else {
        session->io->release(session->conn);
    }
}

static void release_request(struct http_session *session) {
    give_back(session, &session->head_block);
    give_back(session, &session->body_block);
    session->head_bytes = 0;
    session->body = NULL;
}

static void drop_waiting(struct http_session *session) {
    give_back(session, &session->waiting);
    session->waiting_at = 0;
    session->waiting_end = 0;
}

static void release_all(struct http_session *session) {
    release_request(session);
    drop_waiting(session);
    buf_free(&session->call.reply);
    buf_free(&session->call.headers);
    session->state = HTTP_ENDED;
}

/* --- replies ------------------------------------------------------------------------------------
 */

static void end_connection(struct http_session *session) {
    session->state = HTTP_ENDED;
    drop_waiting(session);
    session->io->close_after_send(session->conn);
}

static void send_reply(struct http_session *session) {
    struct http_call *call = &session->call;
    const struct http_io *io = session->io;
    bool is_head = call->method == HTTP_HEAD;
    if (call->reply.failed || call->headers.failed) {
        static const char text[] = "{\"error\":\"the answer is too large\",\"code\":\"internal\"}";
        buf_clear(&call->headers);
        buf_clear(&call->reply);
        buf_put(&call->reply, text, sizeof text - 1);
        call->status = 500;
        call->content_type = "application/json";
    }
    bool has_body = http_status_has_body(call->status);
    http_count_answer(session->server->answers, call->status);
    struct http_reply reply = {
        .status = call->status,
        .content_type = call->content_type,
        .content_bytes = call->reply.bytes,
        .close = session->close,
        .request_id = {session->request_id, session->request_id_bytes},
        .now_ms = call->now_ms,
    };
    char head[HTTP_REPLY_HEAD_MAX + 2];
    usize bytes = http_reply_head(&reply, head);
    if (call->headers.bytes > 0) {
        io->send(session->conn, head, bytes);
        io->send(session->conn, call->headers.data, call->headers.bytes);
        bytes = 0;
    }
    memcpy(head + bytes, "\r\n", 2);
    io->send(session->conn, head, bytes + 2);
    if (has_body && !is_head) {
        io->send(session->conn, call->reply.data, call->reply.bytes);
    }
}

/* The reply is complete: sends it and makes the session ready for the next request. */
static void finish_request(struct http_session *session) {
    struct http_call *call = &session->call;
    session->close = session->close || call->close || !session->head.keep_alive;
    send_reply(session);
    if (call->reply.capacity > REPLY_KEEP_BYTES) {
        buf_free(&call->reply);
    }
    if (call->headers.capacity > REPLY_KEEP_BYTES) {
        buf_free(&call->headers);
    }
    release_request(session);
    if (session->close) {
        end_connection(session);
        return;
    }
    http_head_init(&session->head);
    session->line_skipped = false;
    session->state = HTTP_READ_HEAD;
    session->io->set_deadline(session->conn, 0);
}

static void reset_reply(struct http_call *call) {
    call->status = 200;
    call->content_type = "application/json";
    call->close = false;
    call->user = NULL;
    memset(call->caller, 0, sizeof call->caller);
    buf_clear(&call->reply);
    buf_clear(&call->headers);
}

/* Answers in the name of the HTTP layer. If the body has not been read the connection closes,
 * unless the rest is short enough to be read over. */
static void refuse(struct http_session *session, u16 status, const char *text) {
    struct http_call *call = &session->call;
    call->status = status;
    call->content_type = "application/json";
    buf_clear(&call->reply);
    if (session->server->refusal != NULL) {
        session->server->refusal(call, text);
    } else {
        buf_put_format(&call->reply, "{\"error\":\"%s\",\"code\":\"%s\"}", text,
                       http_status_code(status));
    }
    if (status == 503) {
        buf_put_text(&call->headers, "Retry-After: 1\r\n");
    }
    call->now_ms = session->io->wall_ms();
    finish_request(session);
}

/* Before an answer that does not wait for the body. Returns how much of it is still to come. */
static usize decide_close(struct http_session *session) {
    const struct http_head *head = &session->head;
    usize left = head->has_length ? (usize)MIN(head->content_bytes, (u64)SIZE_MAX / 2) : 0;
    bool skip = !head->is_chunked && left <= HTTP_DISCARD_BYTES_MAX && !head->expects_continue;
    session->close = session->close || (!skip && (left > 0 || head->is_chunked));
    return left;
}

/* And after it. */
static void discard_body(struct http_session *session, usize left) {
    if (session->state == HTTP_READ_HEAD && left > 0) {
        session->state = HTTP_DISCARD_BODY;
        session->body_bytes = 0;
        session->body_end = left;
        session->io->set_deadline(session->conn,
                                  session->io->monotonic_ns() + session->server->body_ns);
    }
}

/* The reply is complete before the body has come. */
static void answer_early(struct http_session *session) {
    usize left = decide_close(session);
    session->call.now_ms = session->io->wall_ms();
    finish_request(session);
    discard_body(session, left);
}

/* Refuses before the body has come. */
static void refuse_early(struct http_session *session, u16 status, const char *text) {
    usize left = decide_close(session);
    refuse(session, status, text);
    discard_body(session, left);
}

/* Nothing can be said about where the next request begins. */
static void refuse_and_close(struct http_session *session, u16 status, const char *text) {
    session->close = true;
    refuse(session, status, text);
}

/* --- calling ------------------------------------------------------------------------------------
 */

static void call_handler(struct http_session *session) {
    struct http_call *call = &session->call;
    call->body = (struct slice){session->body, session->body_bytes};
    call->now_ms = session->io->wall_ms();
    session->state = HTTP_CALLING;
    session->io->set_deadline(session->conn, UINT64_MAX);
    if (session->route->handler(call) == CALL_PENDING) {
        session->pending = true;
        update_hold(session);
        return;
    }
    finish_request(session);
}

static void body_complete(struct http_session *session) {
    if (session->body != NULL) {
        memset(session->body + session->body_bytes, 0, EVENT_TEXT_PADDING);
    }
    if (session->head.coding == CODING_NONE || session->body_bytes == 0) {
        call_handler(session);
        return;
    }
    struct block expanded;
    usize bytes;
    enum err err = http_inflate(
        session->head.coding, (struct slice){session->body, session->body_bytes},
        session->route->body_bytes_max, HTTP_BODY_SLACK, session->server->pool, &expanded, &bytes);
    switch (err) {
    case ERR_OK:
        break;
    case ERR_LIMIT:
        refuse(session, 413, "the expanded request body is too large");
        return;
    case ERR_NO_MEMORY:
        refuse(session, 503, "no memory for the request, try again");
        return;
    default:
        refuse(session, 400, "the compressed request body is damaged, or its window above 32 MiB");
        return;
    }
    give_back(session, &session->body_block);
    session->body_block = expanded;
    session->body = expanded.data;
    session->body_bytes = bytes;
    session->body_in_head = false;
    memset(session->body + bytes, 0, EVENT_TEXT_PADDING);
    call_handler(session);
}

/* --- the head is complete ------------------------------------------------------------------------
 */

static void keep_request_id(struct http_session *session) {
    struct slice id;
    session->request_id_bytes = 0;
    if (!http_call_header(&session->call, "x-request-id", &id) || id.bytes > HTTP_REQUEST_ID_MAX) {
        return;
    }
    for (usize at = 0; at < id.bytes; at++) {
        char c = id.data[at];
        bool word = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!word && memchr("-_.:/+=@", c, 8) == NULL) {
            return;
        }
    }
    memcpy(session->request_id, id.data, id.bytes);
    session->request_id_bytes = (u8)id.bytes;
}

/* The route of the last request serves again if this is the same path; exact patterns win over all
 * others, so there is nothing to search for. */
static bool is_same_route(const struct http_session *session) {
    const struct http_call *call = &session->call;
    const struct http_route *route = session->route;
    if (route == NULL || route->method != call->method) {
        return false;
    }
    usize bytes = strlen(route->pattern);
    return call->path.bytes == bytes && memcmp(route->pattern, call->path.data, bytes) == 0 &&
           memchr(route->pattern, '{', bytes) == NULL;
}

/* Finds the handler and decodes what it gets; false: the request has been refused. */
static bool find_route(struct http_session *session) {
    struct http_call *call = &session->call;
    struct slice query = http_range_of(session->head_block.data, session->head.query);
    char *decoded = session->head_block.data + session->head_bytes;
    call->capture_count = 0;
    call->param_count = 0;
    if (!is_same_route(session)) {
        struct http_match match;
        http_route_find(session->server->router, call->method, call->path, &match);
        session->route = match.route;
        if (match.route == NULL && match.methods == 0) {
            refuse_early(session, 404, "no such path; /docs lists all there are");
            return false;
        }
        if (match.route == NULL && session->server->preflight != NULL &&
            session->server->preflight(call, match.methods)) {
            answer_early(session);
            return false;
        }
        if (match.route == NULL) {
            http_put_methods(&call->headers, "Allow", match.methods);
            refuse_early(session, 405, "this path does not know the method");
            return false;
        }
        for (u32 at = 0; at < match.capture_count; at++) {
            i64 bytes = http_percent_decode(match.capture[at], false, decoded);
            if (bytes < 0) {
                refuse_early(session, 400, "malformed percent-encoding in the path, or not UTF-8");
                return false;
            }
            call->capture[at] = (struct slice){decoded, (usize)bytes};
            decoded += bytes;
        }
        call->capture_count = match.capture_count;
    }
    if (query.bytes > 0 &&
        http_query_read(query, decoded, call->param, &call->param_count) != ERR_OK) {
        refuse_early(session, 400, "malformed query string, not UTF-8, or too many parameters");
        return false;
    }
    return true;
}

/* Strangers could otherwise take all the memory there is for bodies by announcing some, and have
 * bombs expanded. */
static bool is_admitted(struct http_session *session) {
    struct http_call *call = &session->call;
    call->now_ms = session->io->wall_ms();
    return session->server->admit == NULL || session->server->admit(call);
}

/* Memory for the body: small ones follow the head and the text decoded from it. False: answered. */
static bool place_body(struct http_session *session) {
    const struct http_head *head = &session->head;
    usize used = session->head_bytes + head->path.bytes + head->query.bytes;
    usize bytes = head->is_chunked ? HEAD_BLOCK_BYTES : (usize)head->content_bytes;
    session->body_in_head =
        !head->is_chunked && used + bytes + EVENT_TEXT_PADDING <= session->head_block.capacity;
    bool may_grow = !session->body_in_head || head->coding != CODING_NONE;
    if (may_grow && !is_admitted(session)) {
        answer_early(session);
        return false;
    }
    if (session->body_in_head) {
        session->body = session->head_block.data + used;
        return true;
    }
    session->body_block = pool_take(session->server->pool, bytes + HTTP_BODY_SLACK);
    session->body = session->body_block.data;
    if (session->body == NULL) {
        refuse_early(session, 503, "no memory for the request, try again");
    }
    return session->body != NULL;
}

static void begin_body(struct http_session *session) {
    const struct http_head *head = &session->head;
    session->body_bytes = 0;
    session->progress_bytes = 0;
    if (!head->is_chunked && head->content_bytes == 0) {
        session->body = NULL;
        call_handler(session);
        return;
    }
    if (head->coding == CODING_UNKNOWN) {
        refuse_early(session, 415, "unsupported Content-Encoding, use gzip or zstd");
        return;
    }
    if (head->content_bytes > session->route->body_bytes_max) {
        refuse_early(session, 413, "the request body is too large");
        return;
    }
    if (!place_body(session)) {
        return;
    }
    session->state = head->is_chunked ? HTTP_READ_CHUNKS : HTTP_READ_BODY;
    session->body_end =
        head->is_chunked ? session->route->body_bytes_max : (usize)head->content_bytes;
    session->chunked = (struct http_chunked){0};
    session->expecting = head->expects_continue;
    session->io->set_deadline(session->conn,
                              session->io->monotonic_ns() + session->server->body_ns);
}

/* `head_block` holds the whole head. */
static void begin_request(struct http_session *session) {
    struct http_call *call = &session->call;
    const struct http_head *head = &session->head;
    session->close = false;
    session->expecting = false;
    call->method = head->method;
    call->path = http_range_of(session->head_block.data, head->path);
    reset_reply(call);
    keep_request_id(session);
    if (session->server->begin != NULL) {
        session->server->begin(call);
    }
    if (!find_route(session)) {
        return;
    }
    call->route = session->route;
    if (session->server->enter != NULL && !session->server->enter(call)) {
        answer_early(session);
        return;
    }
    begin_body(session);
}

static void head_malformed(struct http_session *session) {
    session->call.method = HTTP_GET; /* so that the error has a body */
    session->call.path = (struct slice){0};
    session->request_id_bytes = 0;
    reset_reply(&session->call);
    refuse_and_close(session, session->head.status, session->head.error);
}

/* --- input --------------------------------------------------------------------------------------
 */

/* A block for a head of `bytes`, the text decoded from it and, if it fits, a small body. */
static bool reserve_head(struct http_session *session, usize bytes) {
    usize needed = bytes + HEAD_BLOCK_BYTES / 4;
    struct block block = session->head_block;
    if (block.data == NULL) {
        block = pool_take(session->server->pool, MAX(needed, HEAD_BLOCK_BYTES));
    } else {
        block = pool_grow(session->server->pool, block, session->head_bytes, needed);
    }
    if (block.data == NULL) {
        session->call.method = HTTP_GET;
        session->call.path = (struct slice){0};
        reset_reply(&session->call);
        refuse_and_close(session, 503, "no memory for the request, try again");
        return false;
    }
    session->head_block = block;
    return true;
}

/* Copies a complete head, and sees to it that what is decoded from it has room behind it. */
static void take_head(struct http_session *session, const char *data, usize bytes) {
    usize decoded = (usize)session->head.path.bytes + session->head.query.bytes;
    usize body = session->head.has_length && session->head.content_bytes < HEAD_BLOCK_BYTES / 2
                     ? (usize)session->head.content_bytes + EVENT_TEXT_PADDING
                     : 0;
    if (!reserve_head(session, bytes + decoded + body)) {
        return;
    }
    if (data != NULL) {
        memcpy(session->head_block.data, data, bytes);
    }
    session->head_bytes = bytes;
    begin_request(session);
}

/* One empty line before a request is forgiven: some clients end bodies with it. */
static bool skips_line(struct http_session *session, const char *data) {
    bool skips =
        session->head.scanned == 0 && !session->line_skipped && data[0] == '\r' && data[1] == '\n';
    session->line_skipped = session->line_skipped || skips;
    return skips;
}

static usize feed_head(struct http_session *session, const char *data, usize bytes) {
    struct http_head *head = &session->head;
    usize head_bytes;
    if (session->head_bytes == 0) { /* the usual case: the head is here, whole */
        usize skip = bytes >= 2 && skips_line(session, data) ? 2 : 0;
        enum http_head_answer answer =
            http_head_parse(head, data + skip, bytes - skip, &head_bytes);
        if (answer == HEAD_CONSUMED) {
            take_head(session, data + skip, head_bytes);
            return skip + head_bytes;
        }
        if (answer == HEAD_MALFORMED) {
            head_malformed(session);
            return bytes;
        }
        session->io->set_deadline(session->conn,
                                  session->io->monotonic_ns() + session->server->head_ns);
        if (bytes > skip && reserve_head(session, bytes - skip)) {
            memcpy(session->head_block.data, data + skip, bytes - skip);
            session->head_bytes = bytes - skip;
        }
        return bytes;
    }
    usize before = session->head_bytes;
    usize part = MIN(bytes, HTTP_HEAD_BYTES_MAX + 1 - before);
    if (!reserve_head(session, before + part)) {
        return bytes;
    }
    char *start = session->head_block.data;
    memcpy(start + before, data, part);
    session->head_bytes += part;
    if (session->head_bytes >= 2 && skips_line(session, start)) {
        session->head_bytes -= 2;
        memmove(start, start + 2, session->head_bytes);
        if (session->head_bytes == 0) {
            return part;
        }
    }
    switch (http_head_parse(head, start, session->head_bytes, &head_bytes)) {
    case HEAD_CONSUMED:
        part -= session->head_bytes - head_bytes;
        session->head_bytes = head_bytes;
        take_head(session, NULL, head_bytes);
        break;
    case HEAD_INCOMPLETE:
        break;
    case HEAD_MALFORMED:
        head_malformed(session);
        return bytes;
    }
    return part;
}

/* A slow body is given up; one that flows is not, however large. */
static void note_progress(struct http_session *session, usize bytes) {
    session->progress_bytes += bytes;
    if (session->progress_bytes >= HTTP_PROGRESS_BYTES) {
        session->progress_bytes = 0;
        session->io->set_deadline(session->conn,
                                  session->io->monotonic_ns() + session->server->body_ns);
    }
}

static usize feed_body(struct http_session *session, const char *data, usize bytes) {
    usize part = MIN(bytes, session->body_end - session->body_bytes);
    memcpy(session->body + session->body_bytes, data, part);
    session->body_bytes += part;
    if (session->body_bytes == session->body_end) {
        body_complete(session);
    } else {
        note_progress(session, part);
    }
    return part;
}

static usize feed_discard(struct http_session *session, usize bytes) {
    usize part = MIN(bytes, session->body_end - session->body_bytes);
    session->body_bytes += part;
    if (session->body_bytes == session->body_end) {
        session->state = HTTP_READ_HEAD;
        session->io->set_deadline(session->conn, 0);
    }
    return part;
}

/* Adds a part of a chunked body; false: refused. */
static bool add_chunk(struct http_session *session, struct slice part) {
    usize bytes = session->body_bytes + part.bytes;
    if (bytes > session->body_end) {
        refuse_and_close(session, 413, "the request body is too large");
        return false;
    }
    if (bytes + HTTP_BODY_SLACK > session->body_block.capacity) {
        struct block larger = pool_grow(session->server->pool, session->body_block,
                                        session->body_bytes, bytes + HTTP_BODY_SLACK);
        if (larger.data == NULL) {
            refuse_and_close(session, 503, "no memory for the request, try again");
            return false;
        }
        session->body_block = larger;
        session->body = larger.data;
    }
    memcpy(session->body + session->body_bytes, part.data, part.bytes);
    session->body_bytes = bytes;
    note_progress(session, part.bytes);
    return true;
}

static usize feed_chunks(struct http_session *session, const char *data, usize bytes) {
    usize at = 0;
    for (;;) {
        usize used;
        struct slice part;
        switch (http_chunked_read(&session->chunked, data + at, bytes - at, &used, &part)) {
        case CHUNKED_PAYLOAD:
            if (!add_chunk(session, part)) {
                return bytes;
            }
            at += used;
            break;
        case CHUNKED_MORE:
            return bytes;
        case CHUNKED_DONE:
            body_complete(session);
            return at + used;
        case CHUNKED_MALFORMED:
            refuse_and_close(session, 400, "the chunked request body is malformed");
            return bytes;
        }
    }
}

/* Serves what it can of the input and returns how much that was: less than all when a handler keeps
 * the call or too much output waits. */
static usize feed(struct http_session *session, const char *data, usize bytes) {
    usize at = 0;
    while (at < bytes) {
        switch (session->state) {
        case HTTP_READ_HEAD:
            if (session->io->output_bytes(session->conn) >= NET_OUTPUT_BYTES_HIGH) {
                session->blocked = true;
                return at;
            }
            at += feed_head(session, data + at, bytes - at);
            break;
        case HTTP_READ_BODY:
            at += feed_body(session, data + at, bytes - at);
            break;
        case HTTP_READ_CHUNKS:
            at += feed_chunks(session, data + at, bytes - at);
            break;
        case HTTP_DISCARD_BODY:
            at += feed_discard(session, bytes - at);
            break;
        case HTTP_CALLING:
            return at;
        case HTTP_ENDED:
            return bytes;
        }
    }
    return at;
}

static void keep_waiting(struct http_session *session, const char *data, usize bytes) {
    if (session->state == HTTP_ENDED) {
        return;
    }
    usize end = session->waiting_end;
    struct block block = end == 0
                             ? pool_take(session->server->pool, bytes)
                             : pool_grow(session->server->pool, session->waiting, end, end + bytes);
    if (block.data == NULL) { /* the client did not wait for its answer, and gets none */
        session->close = true;
        if (!session->pending) {
            end_connection(session);
        }
        return;
    }
    session->waiting = block;
    memcpy(block.data + end, data, bytes);
    session->waiting_end = end + bytes;
    if (session->waiting_end - session->waiting_at >= HTTP_WAITING_BYTES_MAX && !session->paused) {
        session->paused = true;
        session->io->pause(session->conn);
    }
    update_hold(session);
}

/* Sends 100 Continue if the body that was announced with Expect has not begun to come. */
static void answer_expectation(struct http_session *session) {
    if (session->expecting) {
        session->expecting = false;
        if (session->body_bytes == 0 && session->chunked.overhead_bytes == 0) {
            session->io->send(session->conn, "HTTP/1.1 100 Continue\r\n\r\n", 25);
        }
    }
}

void http_session_open(struct http_session *session, const struct http_server *server,
                       const struct http_io *io, void *conn) {
    session->server = server;
    session->io = io;
    session->conn = conn;
    session->state = HTTP_READ_HEAD;
    http_head_init(&session->head);
    session->call.context = server->context;
    buf_init(&session->call.reply, REPLY_BYTES_MAX);
    buf_init(&session->call.headers, HTTP_HEAD_BYTES_MAX);
}

void http_session_receive(struct http_session *session, const char *data, usize bytes) {
    usize used = 0;
    if (session->waiting_end == 0 && !session->blocked) {
        used = feed(session, data, bytes);
        answer_expectation(session);
    }
    if (used < bytes) {
        keep_waiting(session, data + used, bytes - used);
    }
}

/* Goes on with what waited. */
void http_session_later(struct http_session *session) {
    if (session->blocked || session->pending) {
        return;
    }
    if (session->io->is_closed(session->conn)) {
        drop_waiting(session);
    }
    if (session->waiting_end > 0) {
        usize left = session->waiting_end - session->waiting_at;
        session->waiting_at += feed(session, session->waiting.data + session->waiting_at, left);
        if (session->waiting_at >= session->waiting_end) {
            drop_waiting(session);
        }
        answer_expectation(session);
    }
    if (session->waiting_end == 0 && session->paused) {
        session->paused = false;
        session->io->resume(session->conn);
    }
    if (session->input_ended && !session->pending && !session->blocked) {
        release_all(session);
    }
    update_hold(session);
}

void http_session_drained(struct http_session *session) {
    if (session->blocked) {
        session->blocked = false;
        session->io->call_later(session->conn);
    }
}

bool http_session_direct(struct http_session *session, char **into, usize *bytes) {
    if (session->state != HTTP_READ_BODY || session->waiting_end > 0 ||
        session->body_end - session->body_bytes < NET_DIRECT_BYTES_MIN) {
        return false;
    }
    *into = session->body + session->body_bytes;
    *bytes = session->body_end - session->body_bytes;
    return true;
}

void http_session_received(struct http_session *session, usize bytes) {
    if (session->state != HTTP_READ_BODY) {
        return; /* given up meanwhile */
    }
    check(bytes <= session->body_end - session->body_bytes);
    session->body_bytes += bytes;
    if (session->body_bytes == session->body_end) {
        body_complete(session);
    } else {
        note_progress(session, bytes);
    }
}

void http_session_closed(struct http_session *session) {
    session->input_ended = true;
    if (!session->held) {
        release_all(session);
    } else if (session->io->is_closed(session->conn)) {
        drop_waiting(session);
        session->blocked = false;
        if (!session->pending) {
            release_all(session);
        }
        update_hold(session);
    }
}

/* Too slow. The body's memory stays: the edge may still be receiving into it. */
void http_session_expired(struct http_session *session) {
    bool in_request = session->state == HTTP_READ_BODY || session->state == HTTP_READ_CHUNKS ||
                      (session->state == HTTP_READ_HEAD && session->head_bytes > 0);
    if (session->state == HTTP_READ_HEAD) {
        session->call.method = HTTP_GET;
        session->request_id_bytes = 0;
    }
    if (in_request) {
        struct block body = session->body_block;
        struct block head = session->head_block;
        session->body_block = (struct block){NULL, 0};
        session->head_block = (struct block){NULL, 0};
        reset_reply(&session->call);
        refuse_and_close(session, 408, "the request came too slowly");
        session->body_block = body;
        session->head_block = head;
        return;
    }
    end_connection(session);
}

/* --- for handlers -------------------------------------------------------------------------------
 */

void http_call_finish(struct http_call *call) {
    struct http_session *session = (struct http_session *)call;
    check(session->pending);
    session->pending = false;
    finish_request(session);
    bool more = session->waiting_end > 0 || session->paused;
    if (more && !session->io->is_closed(session->conn)) {
        session->io->call_later(session->conn);
        update_hold(session);
        return;
    }
    drop_waiting(session);
    if (session->input_ended) {
        release_all(session);
    }
    update_hold(session);
}
