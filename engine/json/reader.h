/*
 * reader.h: typed reading of a request body, one step at a time and without a tree:
 *
 *     struct json_reader r = json_reader(data, bytes);
 *     if (json_read_object(&r)) {
 *         while (json_read_member(&r, &name)) {
 *             if (slice_is(name, "limit")) json_read_i64(&r, &limit);
 *             else json_read_skip(&r);
 *         }
 *     }
 *     if (!json_read_finish(&r)) refuse(r.error);
 *
 * After json_read_member or json_read_element says true, exactly one value is read or skipped. The
 * first failure sticks: every later step returns false, so the error is looked at once, at the end.
 * Strings with escapes are unescaped in place; a text without escapes is not written to. Slices
 * point into the text and last as long as it does. Strict RFC 8259, UTF-8 checked, depth bounded by
 * JSON_DEPTH_MAX, NUL characters removed from strings, lone surrogates refused.
 */
#ifndef MARGIN_JSON_READER_H
#define MARGIN_JSON_READER_H

#include "json/cursor.h"
#include "json/number.h"

struct json_error {
    enum err code; /* ERR_OK, ERR_INVALID (not JSON, or not the type), ERR_LIMIT (out of range) */
    const char *text; /* static */
    usize position;   /* byte offset in the text */
};

struct json_reader {
    struct json_cursor cursor;
    struct json_error error;
    u64 objects; /* bit d: level d is an object, else an array */
    u32 depth;   /* levels open */
    bool first;  /* nothing read yet in the innermost level */
    bool value;  /* a value is due */
};

struct json_reader json_reader(char *data, usize bytes);

/* The kind of the value that is due, without reading it. JSON_NULL too if there was a failure. */
enum json_kind json_read_kind(struct json_reader *reader);

bool json_read_object(struct json_reader *reader); /* enters the object that is due */
/* The next member's name, or false at the object's end, which is then left. */
bool json_read_member(struct json_reader *reader, struct slice *name);
bool json_read_array(struct json_reader *reader);   /* enters the array that is due */
bool json_read_element(struct json_reader *reader); /* false at the array's end */

bool json_read_null(struct json_reader *reader); /* takes the value if it is null, else no error */
bool json_read_bool(struct json_reader *reader, bool *out);
bool json_read_string(struct json_reader *reader, struct slice *out);
bool json_read_i64(struct json_reader *reader, i64 *out); /* 5, 5.0 and 5e0, but not 5.5 */
/* A number as a count of 10^-scale units; see number.h. */
bool json_read_decimal(struct json_reader *reader, u32 scale, enum number_rounding rounding,
                       i64 *out);
bool json_read_raw(struct json_reader *reader, struct slice *out); /* any value, its bytes */
bool json_read_skip(struct json_reader *reader);

/* Nothing but space follows, and nothing failed. */
bool json_read_finish(struct json_reader *reader);

/* Fails the read with the caller's own complaint about the value read last. Always false. */
bool json_read_refuse(struct json_reader *reader, enum err code, const char *text);

static inline bool slice_is(struct slice text, const char *wanted) {
    usize bytes = __builtin_strlen(wanted);
    return text.bytes == bytes && (bytes == 0 || __builtin_memcmp(text.data, wanted, bytes) == 0);
}

#endif
