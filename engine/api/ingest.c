/*
 * ingest.c: POST /api/events/ingest. The body's memory goes to the pipeline as it is; the answer is
 * written when the events are durable and visible.
 */
#include <stdlib.h>
#include <string.h>

#include "api/auth.h"
#include "api/context.h"
#include "api/error.h"
#include "api/event_limit.h"
#include "api/ingest_answer.h"
#include "api/latency.h"
#include "api/routes.h"
#include "base/clock.h"

struct request {
    struct ingest ingest;
    struct http_call *call;
    u64 start_ns;
};

static void on_done(struct ingest *ingest) {
    struct request *request = ingest->context;
    struct http_call *call = request->call;
    if (ingest->err == ERR_OK) {
        event_limit_warn(call->context, ingest->account, call->now_ms);
        ingest_answer(call, ingest, 1, NULL);
    } else if (ingest->err == ERR_LIMIT) { /* of the server, not of the request: never a 400 */
        error_overloaded(call, "a bound of the server is reached; nothing was stored");
    } else {
        error_of(call, ingest->err);
    }
    ingest_free(ingest);
    latency_record(LATENCY_INGEST, request->start_ns, clock_monotonic_ns());
    free(request);
    http_call_finish(call);
}

enum call_outcome ingest_handle(struct http_call *call) {
    struct identity identity;
    struct event_limit limit;
    if (!auth_require(call, &identity)) {
        return CALL_DONE;
    }
    if (!event_limit_allows(call->context, identity.account, call->now_ms, &limit)) {
        return event_limit_refuse(call, &limit);
    }
    if (call->body.bytes == 0) {
        return error_invalid(call, "the body is empty; send {\"events\": [...]}");
    }
    struct request *request = calloc(1, sizeof *request);
    if (request == NULL) {
        return error_of(call, ERR_NO_MEMORY);
    }
    request->call = call;
    request->start_ns = clock_monotonic_ns();
    struct ingest *ingest = &request->ingest;
    *ingest = (struct ingest){.account = identity.account,
                              .captures = limit.captures,
                              .done = on_done,
                              .context = request};
    struct context *context = call->context;
    struct decode_error error = {0, NULL};
    struct block body = http_call_take_body(call);
    usize bytes = call->body.bytes;
    if (body.data != call->body.data) {
        /* The block holds the head too; the pipeline wants the body at its start. */
        memmove(body.data, call->body.data, bytes + EVENT_TEXT_PADDING);
    }
    enum err err = front_ingest(context->front, ingest, body, bytes, call->now_ms, &error);
    if (err == ERR_OK) {
        door_count_events(context, &identity, ingest->sent, call->now_ms);
        return CALL_PENDING;
    }
    free(request);
    if (err == ERR_INVALID && error.text != NULL) {
        return error_invalid_at(call, error.text, error.position);
    }
    return error_of(call, err);
}
