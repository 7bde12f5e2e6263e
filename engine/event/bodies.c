/* bodies.c: see bodies.h. */
#include "event/bodies.h"

#include <string.h>

#define REQUEST_NAME "\"requestBody\":"
#define RESPONSE_NAME "\"responseBody\":"
#define NAMES_BYTES (sizeof REQUEST_NAME + sizeof RESPONSE_NAME + 2) /* braces, comma */
#define DROPPED "\"body_dropped\":\"true\""
#define DROPPED_BYTES (sizeof DROPPED + 3)

/* --- noting ------------------------------------------------------------------------------------
 */

/* Characters of a string, else bytes of JSON. */
static bool is_too_long(const struct json_value *value) {
    usize bytes = value->bytes;
    if (value->kind == JSON_STRING && value->escaped && bytes > EVENT_BODY_MAX) {
        bytes = json_unescape(json_value_slice(value), NULL, 0);
    }
    return bytes > EVENT_BODY_MAX;
}

static struct text_ref take(const struct event_batch *batch, const struct members *members,
                            enum field field, bool *dropped) {
    const struct json_value *value = &members->value[field];
    if ((members->given >> field & 1) == 0) {
        return (struct text_ref){0, 0};
    }
    if (is_too_long(value)) {
        *dropped = true;
        return (struct text_ref){0, 0};
    }
    u32 quote = value->kind == JSON_STRING;
    return (struct text_ref){(u32)(value->data - batch->text) - quote, value->bytes + 2 * quote};
}

struct body_note bodies_note(const struct event_batch *batch, u32 row,
                             const struct members *members) {
    struct body_note note = {.row = row};
    note.request = take(batch, members, FIELD_REQUEST_BODY, &note.dropped);
    note.response = take(batch, members, FIELD_RESPONSE_BODY, &note.dropped);
    return note;
}

/* --- settling ----------------------------------------------------------------------------------
 */

usize bodies_bytes(const struct event_batch *batch, const struct body_note *note) {
    usize bytes = (usize)note->request.bytes + note->response.bytes;
    bytes += bytes > 0 ? NAMES_BYTES : 0;
    if (note->dropped) {
        bytes += event_text_of(batch, note->row, TEXT_PROPERTIES).bytes + DROPPED_BYTES;
    }
    return bytes;
}

static char *put(char *to, const char *from, usize bytes) {
    memcpy(to, from, bytes);
    return to + bytes;
}

static char *put_body(char *to, const struct event_batch *batch, const char *name,
                      struct text_ref body) {
    to = put(to, name, strlen(name));
    return put(to, batch->text + body.offset, body.bytes);
}

/* The text that ends at `end` and begins behind all others becomes the event's. */
static void set_text(struct event_batch *batch, u32 row, enum event_text text, const char *end) {
    u32 bytes = (u32)(end - (batch->text + batch->text_bytes));
    check(bytes <= batch->text_bytes_max - batch->text_bytes);
    batch->ref[text][row] = (struct text_ref){batch->text_bytes, bytes};
    batch->present[row] |= TEXT_BIT(text);
    batch->text_bytes += bytes;
}

static void add_bodies(struct event_batch *batch, const struct body_note *note) {
    char *to = batch->text + batch->text_bytes;
    *to++ = '{';
    if (note->request.bytes > 0) {
        to = put_body(to, batch, REQUEST_NAME, note->request);
    }
    if (note->request.bytes > 0 && note->response.bytes > 0) {
        *to++ = ',';
    }
    if (note->response.bytes > 0) {
        to = put_body(to, batch, RESPONSE_NAME, note->response);
    }
    *to++ = '}';
    set_text(batch, note->row, TEXT_REFS, to);
    batch->flags[note->row] |= EVENT_FLAG_BODIES;
}

/* One more member, the last: it counts, whatever the properties say already. */
static void add_dropped(struct event_batch *batch, u32 row) {
    struct slice properties = event_text_of(batch, row, TEXT_PROPERTIES);
    char *to = batch->text + batch->text_bytes;
    char *begin = to;
    if (properties.bytes > 0) {
        to = put(to, properties.data, properties.bytes - 1);
        while (to[-1] == ' ' || to[-1] == '\t' || to[-1] == '\r' || to[-1] == '\n') {
            to--;
        }
    } else {
        *to++ = '{';
    }
    if (to - begin > 1) {
        *to++ = ',';
    }
    to = put(to, DROPPED, sizeof DROPPED - 1);
    *to++ = '}';
    set_text(batch, row, TEXT_PROPERTIES, to);
}

void bodies_settle(struct event_batch *batch, const struct body_note *note) {
    check(bodies_bytes(batch, note) <= batch->text_bytes_max - batch->text_bytes);
    if (note->request.bytes > 0 || note->response.bytes > 0) {
        add_bodies(batch, note);
    }
    if (note->dropped) {
        add_dropped(batch, note->row);
    }
}

/* --- reading -----------------------------------------------------------------------------------
 */

void bodies_split(struct slice text, struct slice *request, struct slice *response) {
    *request = *response = (struct slice){NULL, 0};
    if (text.bytes == 0) {
        return;
    }
    struct json_cursor cursor = json_cursor(text.data, text.bytes, scan_best());
    if (!json_take(&cursor, '{')) {
        return;
    }
    struct json_value name;
    struct json_value value;
    while (json_peek(&cursor) == '"' && json_step_name(&cursor, &name)) {
        const char *from = cursor.at;
        if (!json_step_value(&cursor, JSON_DEPTH_MAX, &value)) {
            return;
        }
        struct slice body = {from, (usize)(cursor.at - from)};
        bool is_request = name.bytes == sizeof "requestBody" - 1;
        *(is_request ? request : response) = body;
        json_take(&cursor, ',');
    }
}
