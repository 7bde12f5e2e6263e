/*
 * cursor.h: a position in a JSON text and the steps over it, each fully strict (RFC 8259). The
 * typed reader (reader.h) and the event decoder are built on it. It keeps no tree: a value is a
 * range of the text, already checked.
 *
 * A step returns false once the text is not JSON; error and error_at say what and where, and stay
 * as the first failure left them. Nothing is read outside [begin, end).
 */
#ifndef MARGIN_JSON_CURSOR_H
#define MARGIN_JSON_CURSOR_H

#include "base.h"
#include "limits.h"
#include "json/scan.h"

enum json_kind {
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT,
};

struct json_cursor {
    const char *at;
    const char *begin;
    const char *end;
    const struct scan_kernel *scan;
    const char *error;    /* static text; NULL while all is well */
    const char *error_at; /* where in the text */
    bool lone_surrogate;  /* a string had a \u surrogate without its other half; callers clear it */
};

/* A value's place in the text: for strings what is between the quotes, for others all of it. */
struct json_value {
    const char *data;
    u32 bytes;
    u8 kind;      /* enum json_kind */
    bool escaped; /* a string with backslashes in it */
    u8 depth;     /* of arrays and objects: levels, 1 for one without others inside */
};

static inline struct json_cursor json_cursor(const char *data, usize bytes,
                                             const struct scan_kernel *scan) {
    return (struct json_cursor){.at = data, .begin = data, .end = data + bytes, .scan = scan};
}

static inline struct slice json_value_slice(const struct json_value *value) {
    return (struct slice){value->data, value->bytes};
}

/* Records the first failure; always false. */
bool json_fail(struct json_cursor *cursor, const char *at, const char *error);

/* Passes over white space. */
void json_space_slow(struct json_cursor *cursor);
static inline void json_space(struct json_cursor *cursor) {
    if (unlikely(cursor->at < cursor->end && (u8)*cursor->at <= ' ')) {
        json_space_slow(cursor);
    }
}

/* The next byte, or NUL at the end (a NUL byte in the text is no JSON, so the two need not be told
 * apart). */
static inline char json_peek(const struct json_cursor *cursor) {
    return likely(cursor->at < cursor->end) ? *cursor->at : 0;
}

/* Takes `wanted` if it is next. */
static inline bool json_take(struct json_cursor *cursor, char wanted) {
    bool is = json_peek(cursor) == wanted;
    cursor->at += is;
    return is;
}

/* A string; the cursor is at its opening quote or the step fails. */
bool json_step_string(struct json_cursor *cursor, struct json_value *out);

/* `"name" :` and the space around; leaves the cursor at the value. */
bool json_step_name(struct json_cursor *cursor, struct json_value *name);

/* Any value, checked to its end. It may nest `depth_room` levels deep (<= JSON_DEPTH_MAX). The
 * cursor is at its first byte, not at space. */
bool json_step_value(struct json_cursor *cursor, u32 depth_room, struct json_value *out);

/* The end of the text, but for space. */
bool json_step_end(struct json_cursor *cursor);

/* Writes the string's characters to `to` with escapes resolved and NUL characters removed, at most
 * `to_bytes`, and returns how many bytes there are in all. `to` may be the string's own place. The
 * escapes have been checked; a lone surrogate becomes U+FFFD. */
usize json_unescape(struct slice escaped, char *to, usize to_bytes);

#endif
