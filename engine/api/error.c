/* error.c: the two shapes of an error body, written in one place. */
#include "api/error.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "http/reply.h"
#include "json/write.h"

enum call_outcome error_reply(struct http_call *call, u16 status, const char *code,
                              const char *text) {
    call->status = status;
    buf_clear(&call->reply);
    struct json_writer json = json_writer(&call->reply);
    json_object_begin(&json);
    json_key(&json, "error");
    json_text(&json, text);
    json_key(&json, "code");
    json_text(&json, code);
    json_object_end(&json);
    return CALL_DONE;
}

enum call_outcome error_invalid(struct http_call *call, const char *text) {
    return error_reply(call, 400, "invalid_request", text);
}

enum call_outcome error_invalid_at(struct http_call *call, const char *text, usize position) {
    struct buf message;
    buf_init(&message, KIB);
    buf_put_format(&message, "%s at byte %zu", text, position);
    buf_put_char(&message, '\0');
    error_invalid(call, message.failed ? text : message.data);
    buf_free(&message);
    return CALL_DONE;
}

enum call_outcome error_not_found(struct http_call *call, const char *text) {
    return error_reply(call, 404, "not_found", text);
}

enum call_outcome error_overloaded(struct http_call *call, const char *text) {
    buf_put_text(&call->headers, "Retry-After: 1\r\n");
    return error_reply(call, 503, "overloaded", text);
}

enum call_outcome error_of(struct http_call *call, enum err err) {
    switch (err) {
    case ERR_BUSY:
        return error_overloaded(call, "too many requests wait; try again");
    case ERR_NO_MEMORY:
        return error_overloaded(call, "out of memory; nothing was done");
    case ERR_NO_SPACE:
        return error_overloaded(call, "the disk is full; nothing was stored");
    case ERR_NOT_FOUND:
        return error_not_found(call, "not found");
    case ERR_LIMIT:
        return error_invalid(call, "the answer would pass a limit; narrow the request");
    case ERR_INVALID:
        return error_invalid(call, "the request is not valid");
    case ERR_CORRUPT:
        return error_reply(call, 500, "internal", "a damaged part of the log was met");
    default:
        return error_reply(call, 500, "internal", "the server failed; nothing was stored");
    }
}

/* Joins what a user reports to a line of the log. */
static void put_error_id(struct json_writer *json, const char *message) {
    static _Atomic u32 count;
    char id[32];
    u32 number = atomic_fetch_add_explicit(&count, 1, memory_order_relaxed);
    snprintf(id, sizeof id, "%llx-%x", (unsigned long long)clock_wall_ms(), number);
    log_error("client_error", "error_id=%s message=\"%s\"", id, message);
    json_key(json, "errorId");
    json_text(json, id);
}

enum call_outcome error_client(struct http_call *call, u16 status, const char *code,
                               const char *message, const char *detail) {
    call->status = status;
    buf_clear(&call->reply);
    struct json_writer json = json_writer(&call->reply);
    json_object_begin(&json);
    json_key(&json, "success");
    json_bool(&json, false);
    json_key(&json, "error");
    json_object_begin(&json);
    json_key(&json, "code");
    json_text(&json, code);
    json_key(&json, "message");
    json_text(&json, message);
    if (detail != NULL) {
        json_key(&json, "detail");
        json_text(&json, detail);
    }
    if (status == 500) {
        put_error_id(&json, message);
    }
    json_object_end(&json);
    json_object_end(&json);
    return CALL_DONE;
}

bool error_is_client(const struct http_call *call) {
    return call->path.bytes >= sizeof ERROR_CLIENT_PREFIX - 1 &&
           memcmp(call->path.data, ERROR_CLIENT_PREFIX, sizeof ERROR_CLIENT_PREFIX - 1) == 0;
}

void error_refusal(struct http_call *call, const char *text) {
    const char *code = http_status_code(call->status);
    if (error_is_client(call)) {
        error_client(call, call->status, call->status == 400 ? "validation_failed" : code, text,
                     NULL);
    } else {
        error_reply(call, call->status, code, text);
    }
}
