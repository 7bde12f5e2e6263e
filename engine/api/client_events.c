/*
 * client_events.c: POST /api/v1/client/events, one event a request. A repeated key is told apart
 * here (409), because a client that sends one event wants to know what became of it.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "api/auth.h"
#include "api/context.h"
#include "api/error.h"
#include "api/event_limit.h"
#include "api/latency.h"
#include "api/routes.h"
#include "base/clock.h"
#include "base/hash.h"

#define UUID_BYTES 36

struct request {
    struct ingest ingest;
    struct http_call *call;
    u64 start_ns;
};

static enum call_outcome fail(struct http_call *call, enum err err) {
    switch (err) {
    case ERR_BUSY:
    case ERR_NO_MEMORY:
    case ERR_NO_SPACE:
        buf_put_text(&call->headers, "Retry-After: 1\r\n");
        return error_client(call, 503, "overloaded", "nothing was stored; try again", NULL);
    case ERR_INVALID:
    case ERR_LIMIT:
        return error_client(call, 400, "validation_failed", "the event is not valid", NULL);
    default:
        return error_client(call, 500, "internal_error", "nothing was stored", NULL);
    }
}

static enum call_outcome refuse_event(struct http_call *call, const char *text, usize bytes) {
    struct buf message;
    buf_init(&message, 4 * KIB);
    buf_put(&message, text, bytes);
    buf_put_char(&message, '\0');
    error_client(call, 400, "validation_failed",
                 message.failed ? "the event is not valid" : message.data, NULL);
    buf_free(&message);
    return CALL_DONE;
}

static enum call_outcome refuse_body(struct http_call *call, const struct decode_error *error) {
    struct buf message;
    buf_init(&message, KIB);
    buf_put_text(&message, error->text);
    if (error->position > 0) {
        buf_put_format(&message, " at byte %zu", error->position);
    }
    refuse_event(call, message.data, message.bytes);
    buf_free(&message);
    return CALL_DONE;
}

static void write_answer(struct http_call *call) {
    call->status = 201;
    buf_put_slice(&call->reply, SLICE("{\"success\":true,\"data\":{}}"));
}

static void on_done(struct ingest *ingest) {
    struct request *request = ingest->context;
    struct http_call *call = request->call;
    event_limit_warn(call->context, ingest->account, call->now_ms);
    if (ingest->err != ERR_OK) {
        fail(call,
             ingest->err == ERR_LIMIT ? ERR_BUSY : ingest->err); /* of the server, not of it */
    } else if (ingest->duplicates > 0) {
        error_client(call, 409, "conflict", "an event with this key exists", "duplicate_event");
    } else if (ingest->reject_count > 0) {
        struct text_ref message = ingest->rejects[0].message;
        refuse_event(call, ingest->reject_text.data + message.offset, message.bytes);
    } else {
        write_answer(call);
    }
    ingest_free(ingest);
    latency_record(LATENCY_CLIENT, request->start_ns, clock_monotonic_ns());
    free(request);
    http_call_finish(call);
}

/* Version 4 in form. The bits are a keyed hash of a counter: the key is drawn once a thread, so an
 * event costs no system call, and no value comes twice. */
static bool make_uuid(struct context *context, char out[UUID_BYTES]) {
    static const char digits[] = "0123456789abcdef";
    while (context->uuid_seed == 0) {
        if (getrandom(&context->uuid_seed, sizeof context->uuid_seed, 0) !=
            (ssize_t)sizeof context->uuid_seed) {
            return false;
        }
    }
    u64 block[2] = {++context->uuid_count, context->uuid_seed};
    struct hash128 bits = hash128(block, sizeof block, context->uuid_seed);
    u8 bytes[16];
    memcpy(bytes, &bits, sizeof bytes);
    bytes[6] = (u8)((bytes[6] & 0x0f) | 0x40);
    bytes[8] = (u8)((bytes[8] & 0x3f) | 0x80);
    usize at = 0;
    for (u32 i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            out[at++] = '-';
        }
        out[at++] = digits[bytes[i] >> 4];
        out[at++] = digits[bytes[i] & 15];
    }
    check(at == UUID_BYTES);
    return true;
}

/* The header's key, without blanks around it; else, where the body cannot hold one, a fresh one.
 * The body's own key is found by the decoder; a name spelled with escapes is left to it too. */
static bool event_key(struct http_call *call, char uuid[UUID_BYTES], struct slice *key) {
    static const char member[] = "eventIdempotencyKey";
    struct slice text = {NULL, 0};
    http_call_header(call, "x-idempotency-key", &text);
    while (text.bytes > 0 && text.data[0] == ' ') {
        text = (struct slice){text.data + 1, text.bytes - 1};
    }
    while (text.bytes > 0 && text.data[text.bytes - 1] == ' ') {
        text.bytes--;
    }
    *key = text;
    if (text.bytes > 0 ||
        memmem(call->body.data, call->body.bytes, member, sizeof member - 1) != NULL ||
        memchr(call->body.data, '\\', call->body.bytes) != NULL) {
        return true;
    }
    *key = (struct slice){uuid, UUID_BYTES};
    return make_uuid(call->context, uuid);
}

enum call_outcome client_events_handle(struct http_call *call) {
    struct identity identity;
    enum auth_outcome outcome = auth_client(call, &identity);
    if (outcome != AUTH_OK) {
        return auth_refuse_client(call, outcome);
    }
    struct event_limit limit;
    if (!event_limit_allows(call->context, identity.account, call->now_ms, &limit)) {
        return error_client(call, 429, "rate_limited",
                            "the plan's events of this month are used up", "event_limit");
    }
    if (call->body.bytes == 0) {
        return error_client(call, 400, "validation_failed", "the body is empty", NULL);
    }
    struct slice key;
    char uuid[UUID_BYTES];
    if (!event_key(call, uuid, &key)) {
        return fail(call, ERR_NO_MEMORY);
    }
    if (key.bytes > EVENT_KEY_MAX) {
        return error_client(call, 400, "validation_failed",
                            "X-Idempotency-Key is longer than 255 bytes", NULL);
    }
    struct request *request = calloc(1, sizeof *request);
    if (request == NULL) {
        return fail(call, ERR_NO_MEMORY);
    }
    request->call = call;
    request->start_ns = clock_monotonic_ns();
    struct ingest *ingest = &request->ingest;
    *ingest = (struct ingest){.account = identity.account, .done = on_done, .context = request};
    struct context *context = call->context;
    struct decode_error error = {0, NULL};
    enum err err =
        front_ingest_client(context->front, ingest, call->body, key, call->now_ms, &error);
    if (err == ERR_OK) {
        door_count_events(context, &identity, 1, call->now_ms);
        return CALL_PENDING;
    }
    free(request);
    return err == ERR_INVALID && error.text != NULL ? refuse_body(call, &error) : fail(call, err);
}
