/*
 * wire_ingest.c: the two ingest requests. The answer comes once the events are durable; the session
 * is held until then.
 */
#include <stdio.h>
#include <stdlib.h>

#include "api/event_limit.h"
#include "api/wire_service.h"
#include "event/native.h"

struct wire_ingest {
    struct ingest ingest;
    struct wire_session *session;
    u32 request;
    u8 type;
    i64 now_ms;
};

static void reply(struct wire_session *session, u8 type, u32 request, const struct ingest *ingest) {
    usize bytes = WIRE_INGESTED_BYTES + 6 * (usize)ingest->reject_count + ingest->reject_text.bytes;
    char *to = wire_reply_begin(session, bytes);
    if (to == NULL) {
        wire_reply_error(session, request, WIRE_INTERNAL,
                         "the events are stored, but there was no memory for the answer");
        return;
    }
    to = wire_write_u32(to, ingest->sent);
    to = wire_write_u32(to, ingest->accepted);
    to = wire_write_u32(to, ingest->rejected);
    to = wire_write_u32(to, ingest->duplicates);
    to = wire_write_u32(to, ingest->conflicts);
    to = wire_write_u32(to, ingest->reject_count);
    to = wire_write_u64(to, ingest->first_id);
    for (u32 i = 0; i < ingest->reject_count; i++) {
        struct text_ref message = ingest->rejects[i].message;
        to = wire_write_u32(to, ingest->rejects[i].index);
        to = wire_write_text(
            to, (struct slice){message.bytes == 0 ? "" : ingest->reject_text.data + message.offset,
                               message.bytes});
    }
    wire_reply_end(session, type | WIRE_REPLY, request, to);
}

static void done(struct ingest *ingest) {
    struct wire_ingest *wire = ingest->context;
    if (ingest->err == ERR_OK) {
        event_limit_warn(wire_service_context(wire->session), ingest->account, wire->now_ms);
        reply(wire->session, wire->type, wire->request, ingest);
    } else { /* a bound of the server is not the request's fault */
        enum err err = ingest->err == ERR_LIMIT ? ERR_BUSY : ingest->err;
        wire_service_error(wire->session, wire->request, err);
    }
    ingest_free(ingest);
    wire_session_end(wire->session);
    free(wire);
}

static struct wire_ingest *begin(struct wire_call *call) {
    struct event_limit limit;
    if (!wire_service_may(call, SCOPE_EVENTS_WRITE)) {
        return NULL;
    }
    if (!event_limit_allows(wire_service_context(call->session), call->session->account,
                            call->now_ms, &limit)) {
        wire_reply_error(call->session, call->request, WIRE_LIMIT,
                         "the plan's events of this month are used up");
        return NULL;
    }
    struct wire_ingest *wire = calloc(1, sizeof *wire);
    if (wire == NULL) {
        wire_service_error(call->session, call->request, ERR_NO_MEMORY);
        return NULL;
    }
    wire->session = call->session;
    wire->request = call->request;
    wire->type = call->type;
    wire->now_ms = call->now_ms;
    wire->ingest.account = call->session->account;
    wire->ingest.done = done;
    wire->ingest.context = wire;
    wire_session_begin(call->session);
    return wire;
}

/* The pipeline did not take the request. */
static void refuse(struct wire_ingest *wire, enum err err, const struct decode_error *error) {
    if (err == ERR_INVALID) {
        char text[160];
        snprintf(text, sizeof text, "%s at byte %zu", error->text, error->position);
        wire_reply_error(wire->session, wire->request, WIRE_INVALID, text);
    } else {
        wire_service_error(wire->session, wire->request, err);
    }
    wire_session_end(wire->session);
    free(wire);
}

/* The payload in a block of its own: the one it came in, or a copy. */
static struct block take_body(struct wire_call *call) {
    struct block body = call->body;
    call->body.data = NULL;
    if (body.data == NULL) {
        body = pool_take(call->session->server->pool, call->payload.bytes + EVENT_TEXT_PADDING);
        if (body.data != NULL) {
            memcpy(body.data, call->payload.data, call->payload.bytes);
        }
    }
    return body;
}

void wire_ingest_json(struct wire_call *call) {
    struct wire_ingest *wire = begin(call);
    if (wire == NULL) {
        return;
    }
    struct decode_error error = {0, "not acceptable"};
    struct block body = take_body(call);
    enum err err = ERR_BUSY;
    if (body.data != NULL) {
        err = front_ingest(wire_service_context(call->session)->front, &wire->ingest, body,
                           call->payload.bytes, call->now_ms, &error);
    }
    if (err != ERR_OK) {
        refuse(wire, err, &error);
    }
}

void wire_ingest_native(struct wire_call *call) {
    struct wire_ingest *wire = begin(call);
    if (wire == NULL) {
        return;
    }
    struct decode_error error = {0, "not acceptable"};
    enum err err = front_ingest_native(wire_service_context(call->session)->front, &wire->ingest,
                                       native_decode, call->payload, call->now_ms, &error);
    if (err != ERR_OK) {
        refuse(wire, err, &error);
    }
}
