/*
 * call.c: what a handler may ask of its call. A call is the first member of its session, so that
 * handlers need to know nothing of sessions.
 */
#include "http/call.h"

#include <string.h>

#include "event.h"
#include "http/session.h"

static bool find_header(const struct http_call *call, const char *lower_name, bool last,
                        struct slice *value) {
    const struct http_session *session = (const struct http_session *)call;
    usize name_bytes = strlen(lower_name);
    const char *data = session->head_block.data;
    *value = (struct slice){NULL, 0};
    bool found = false;
    for (u32 at = 0; at < session->head.field_count && (last || !found); at++) {
        const struct http_field *field = &session->head.field[at];
        if (field->name.bytes == name_bytes &&
            http_text_is(http_range_of(data, field->name), lower_name)) {
            *value = http_range_of(data, field->value);
            found = true;
        }
    }
    return found;
}

bool http_call_header(const struct http_call *call, const char *lower_name, struct slice *value) {
    return find_header(call, lower_name, false, value);
}

bool http_call_last_header(const struct http_call *call, const char *lower_name,
                           struct slice *value) {
    return find_header(call, lower_name, true, value);
}

bool http_call_param(const struct http_call *call, const char *name, struct slice *value) {
    usize bytes = strlen(name);
    for (u32 at = 0; at < call->param_count; at++) {
        if (call->param[at].name.bytes == bytes &&
            memcmp(call->param[at].name.data, name, bytes) == 0) {
            *value = call->param[at].value;
            return true;
        }
    }
    *value = (struct slice){NULL, 0};
    return false;
}

const char *http_call_peer(const struct http_call *call) {
    const struct http_session *session = (const struct http_session *)call;
    return session->io->peer(session->conn);
}

bool http_call_is_secure(const struct http_call *call) {
    const struct http_session *session = (const struct http_session *)call;
    return session->io->is_secure(session->conn);
}

struct block http_call_take_body(struct http_call *call) {
    struct http_session *session = (struct http_session *)call;
    struct block block = session->body_block;
    session->body_block = (struct block){NULL, 0};
    if (block.data != NULL || call->body.bytes == 0 || session->head_block.data == NULL) {
        return block;
    }
    /* A small body lies in the head's block. Copying it keeps the headers with the call; without
     * memory for that, the head makes way. */
    block = pool_take(session->server->pool, call->body.bytes + EVENT_TEXT_PADDING);
    if (block.data == NULL) {
        block = session->head_block;
        session->head_block = (struct block){NULL, 0};
        session->head.field_count = 0;
        call->path.bytes = 0;
        call->capture_count = 0;
        call->param_count = 0;
        memmove(block.data, call->body.data, call->body.bytes + EVENT_TEXT_PADDING);
        call->body.data = block.data;
        return block;
    }
    memcpy(block.data, call->body.data, call->body.bytes + EVENT_TEXT_PADDING);
    call->body.data = block.data;
    return block;
}
