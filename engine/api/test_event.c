/*
 * test_event.c: POST /api/events/test, one made-up event of a feature, so that a new user sees the
 * whole path at work. The event goes through the same ingest as any other and is read back from the
 * log.
 */
#include <stdlib.h>
#include <string.h>

#include "api/auth.h"
#include "api/context.h"
#include "api/error.h"
#include "api/event_limit.h"
#include "api/event_rows.h"
#include "api/reading.h"
#include "api/routes.h"
#include "api/slow.h"
#include "json/reader.h"
#include "json/write.h"

#define BODY_BYTES_MAX (4 * KIB)

struct request {
    struct ingest ingest;
    struct http_call *call;
    u32 account;
    u64 id; /* of the event, once stored */
};

static void work_read(struct http_call *call, u32 account) {
    struct request *request = call->user;
    struct context *context = call->context;
    struct event_object object = reading_object(context, account, false);
    struct store_filter filter = store_filter_all;
    filter.dim_mask = 1u << DIM_ACCOUNT;
    filter.dim_value[DIM_ACCOUNT] = account;
    struct event_rows rows;
    event_rows_init(&rows);
    enum err err = event_rows_fetch(&rows, context->store, &object, &filter, &request->id, 1);
    reading_object_end(context, &object);
    if (err == ERR_OK && rows.count == 1) {
        buf_put_slice(&call->reply, event_rows_text(&rows, &rows.rows[0]));
    } else {
        error_of(call, err != ERR_OK ? err : ERR_CORRUPT);
    }
    event_rows_free(&rows);
    free(request);
}

static void on_done(struct ingest *ingest) {
    struct request *request = ingest->context;
    struct http_call *call = request->call;
    enum err err = ingest->err == ERR_OK && ingest->accepted == 0 ? ERR_INVALID : ingest->err;
    request->id = ingest->first_id;
    ingest_free(ingest);
    call->user = request;
    event_limit_warn(call->context, request->account, call->now_ms);
    if (err != ERR_OK) {
        error_of(call, err);
    } else if (slow_reply(call, request->account, work_read) == CALL_PENDING) {
        return; /* work_read() frees the request */
    }
    free(request);
    http_call_finish(call);
}

/* Reads {"featureKey"}. NULL, or why not. */
static const char *read_feature(const struct http_call *call, struct slice *feature) {
    struct json_reader reader = json_reader((char *)call->body.data, call->body.bytes);
    struct slice name;
    *feature = (struct slice){NULL, 0};
    if (json_read_object(&reader)) {
        while (json_read_member(&reader, &name)) {
            if (slice_is(name, "featureKey")) {
                json_read_string(&reader, feature);
            } else {
                json_read_skip(&reader);
            }
        }
    }
    if (!json_read_finish(&reader)) {
        return reader.error.text;
    }
    bool fits = feature->bytes > 0 && feature->bytes <= EVENT_FEATURE_MAX;
    return fits ? NULL : "featureKey must be a string of 1 to 128 bytes";
}

static void write_body(struct buf *body, struct slice feature) {
    struct json_writer json = json_writer(body);
    buf_put_text(body, "{\"events\":[{\"eventName\":\"test_event\",\"featureKey\":");
    json_string(&json, feature);
    buf_put_text(body, ",\"customerReferenceId\":\"test_customer\",\"model\":\"gpt-4o\","
                       "\"inputTokens\":1000,\"outputTokens\":500,\"durationMs\":500}]}");
}

static enum err send(struct http_call *call, struct request *request, struct slice feature) {
    struct context *context = call->context;
    struct buf body;
    buf_init(&body, BODY_BYTES_MAX);
    write_body(&body, feature);
    struct pool *pool = front_pool(context->front);
    struct block block = pool_take(pool, BODY_BYTES_MAX + EVENT_TEXT_PADDING);
    enum err err = body.failed || block.data == NULL ? ERR_NO_MEMORY : ERR_OK;
    if (err == ERR_OK) {
        memcpy(block.data, body.data, body.bytes);
        struct decode_error error;
        err =
            front_ingest(context->front, &request->ingest, block, body.bytes, call->now_ms, &error);
    } else {
        pool_give(pool, block);
    }
    buf_free(&body);
    return err;
}

enum call_outcome test_event_handle(struct http_call *call) {
    struct identity identity;
    struct event_limit limit;
    if (!auth_require(call, &identity)) {
        return CALL_DONE;
    }
    if (!event_limit_allows(call->context, identity.account, call->now_ms, &limit)) {
        return event_limit_refuse(call, &limit);
    }
    struct slice feature;
    const char *why = read_feature(call, &feature);
    if (why != NULL) {
        return error_invalid(call, why);
    }
    struct request *request = calloc(1, sizeof *request);
    if (request == NULL) {
        return error_of(call, ERR_NO_MEMORY);
    }
    request->call = call;
    request->account = identity.account;
    request->ingest =
        (struct ingest){.account = identity.account, .done = on_done, .context = request};
    enum err err = send(call, request, feature);
    if (err == ERR_OK) {
        return CALL_PENDING;
    }
    free(request);
    return error_of(call, err);
}
