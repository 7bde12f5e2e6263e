/*
 * upload_events.c: POST /api/data/upload/events-csv, events as rows of a text. A reader thread
 * makes the text into bodies as the ingest endpoint takes them; the front thread sends them down
 * that endpoint's path, one after the other, and answers for all of them together.
 */
#include <stdlib.h>
#include <string.h>

#include "api/auth.h"
#include "api/context.h"
#include "api/error.h"
#include "api/event_limit.h"
#include "api/ingest_answer.h"
#include "api/routes.h"
#include "upload/event_csv.h"

struct request {
    struct job job;
    struct http_call *call;
    struct identity identity;
    bool captures;
    enum err err; /* of reading */
    struct event_csv csv;
    u32 body_count;
    u32 sent; /* bodies that are on their way or done */
    struct ingest ingest[EVENT_CSV_BODIES];
};

static void finish(struct request *request) {
    struct http_call *call = request->call;
    for (u32 i = 0; i < request->sent; i++) {
        ingest_free(&request->ingest[i]);
    }
    event_csv_free(&request->csv);
    free(request);
    http_call_finish(call);
}

static void refuse_text(struct http_call *call, const struct event_csv *csv) {
    if (csv->error_line == 0 && csv->error_at != SIZE_MAX) {
        error_invalid_at(call, csv->error, csv->error_at);
    } else if (csv->error_line == 0) {
        error_invalid(call, csv->error);
    } else {
        struct buf text;
        buf_init(&text, KIB);
        buf_put_format(&text, "line %u: %s", csv->error_line, csv->error);
        buf_put_char(&text, '\0');
        error_invalid(call, text.failed ? csv->error : text.data);
        buf_free(&text);
    }
}

/* --- on the front thread ------------------------------------------------------------------------
 */

static void on_done(struct ingest *ingest);

/* Sends the next body down the path. */
static enum err send_next(struct request *request) {
    struct context *context = request->call->context;
    const struct buf *body = &request->csv.body[request->sent];
    struct ingest *ingest = &request->ingest[request->sent];
    struct pool *pool = front_pool(context->front);
    struct block block = pool_take(pool, body->bytes + EVENT_TEXT_PADDING);
    if (block.data == NULL) {
        return ERR_BUSY;
    }
    memcpy(block.data, body->data, body->bytes);
    memset((char *)block.data + body->bytes, 0, EVENT_TEXT_PADDING);
    *ingest = (struct ingest){.account = request->identity.account,
                              .captures = request->captures,
                              .done = on_done,
                              .context = request};
    struct decode_error error;
    enum err err =
        front_ingest(context->front, ingest, block, body->bytes, request->call->now_ms, &error);
    if (err == ERR_OK) {
        request->sent++;
        door_count_events(context, &request->identity, ingest->sent, request->call->now_ms);
    }
    return err == ERR_INVALID ? ERR_SYSTEM : err; /* the body is ours: it decodes */
}

/* The body of that number was not stored. What was stored before stays; with idempotency keys the
 * same text may be sent again. */
static void refuse_rest(struct request *request, u32 failed, enum err err) {
    struct http_call *call = request->call;
    u32 stored = 0;
    for (u32 i = 0; i < request->sent; i++) {
        stored += request->ingest[i].accepted;
    }
    if (stored == 0) {
        error_of(call, err == ERR_LIMIT ? ERR_BUSY : err);
        return;
    }
    struct buf text;
    buf_init(&text, KIB);
    buf_put_format(&text, "rows from %u on were not stored; the %u good ones before were",
                   failed * INGEST_EVENTS_MAX, stored);
    buf_put_char(&text, '\0');
    error_overloaded(call, text.failed ? "not all rows were stored" : text.data);
    buf_free(&text);
}

static void on_done(struct ingest *ingest) {
    struct request *request = ingest->context;
    struct http_call *call = request->call;
    enum err err = ingest->err;
    u32 failed = request->sent - 1;
    if (err == ERR_OK && request->sent < request->body_count) {
        failed = request->sent;
        err = send_next(request);
        if (err == ERR_OK) {
            return;
        }
    }
    event_limit_warn(call->context, request->identity.account, call->now_ms);
    if (err == ERR_OK) {
        ingest_answer(call, request->ingest, request->body_count, &request->csv);
    } else {
        refuse_rest(request, failed, err);
    }
    finish(request);
}

static void on_read(struct job *job) {
    struct request *request = job->context;
    struct http_call *call = request->call;
    enum err err = job->dropped ? ERR_BUSY : request->err;
    if (err == ERR_OK) {
        request->body_count = (request->csv.row_count + INGEST_EVENTS_MAX - 1) / INGEST_EVENTS_MAX;
        err = send_next(request);
    }
    if (err == ERR_OK) {
        return;
    }
    if (err == ERR_INVALID) {
        refuse_text(call, &request->csv);
    } else if (err == ERR_LIMIT) {
        error_reply(call, 413, "too_large", "a thousand rows are more than 16 MiB");
    } else {
        error_of(call, err);
    }
    finish(request);
}

/* --- on the reader thread -----------------------------------------------------------------------
 */

static void read_text(struct job *job) {
    struct request *request = job->context;
    struct http_call *call = request->call;
    request->err = event_csv_read(&request->csv, (char *)call->body.data, call->body.bytes);
}

enum call_outcome upload_events_handle(struct http_call *call) {
    struct context *context = call->context;
    struct identity identity;
    struct event_limit limit;
    if (!auth_require(call, &identity)) {
        return CALL_DONE;
    }
    if (!event_limit_allows(context, identity.account, call->now_ms, &limit)) {
        return event_limit_refuse(call, &limit);
    }
    struct request *request = calloc(1, sizeof *request);
    if (request == NULL) {
        return error_of(call, ERR_NO_MEMORY);
    }
    request->call = call;
    request->identity = identity;
    request->captures = limit.captures;
    event_csv_init(&request->csv);
    request->job = (struct job){
        .run = read_text, .done = on_read, .context = request, .front = context->front};
    enum err err = front_job(context->front, &request->job);
    if (err != ERR_OK) {
        event_csv_free(&request->csv);
        free(request);
        return error_of(call, err);
    }
    return CALL_PENDING;
}
