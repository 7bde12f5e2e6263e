/*
 * write.h: JSON out. Commas are placed by the writer; strings are escaped; numbers are exact
 * decimals. Output goes to a `struct buf`; a full buffer is seen in buf->failed at the end.
 */
#ifndef MARGIN_JSON_WRITE_H
#define MARGIN_JSON_WRITE_H

#include "base/buf.h"

struct json_writer {
    struct buf *out;
    bool comma; /* the next element needs a comma before it */
};

static inline struct json_writer json_writer(struct buf *out) {
    return (struct json_writer){out, false};
}

void json_object_begin(struct json_writer *json);
void json_object_end(struct json_writer *json);
void json_array_begin(struct json_writer *json);
void json_array_end(struct json_writer *json);
void json_key(struct json_writer *json, const char *name); /* then exactly one value */

void json_null(struct json_writer *json);
void json_bool(struct json_writer *json, bool value);
void json_i64(struct json_writer *json, i64 value);
void json_u64(struct json_writer *json, u64 value);
void json_string(struct json_writer *json, struct slice text);
void json_text(struct json_writer *json, const char *text);
/* value / 10^scale in plain decimal notation, trailing zeros dropped: (70500000, 12) is 0.0000705.
 */
void json_decimal(struct json_writer *json, i128 value, u32 scale);
/* YYYY-MM-DDTHH:MM:SS.mmmZ in quotes. */
void json_time(struct json_writer *json, i64 time_ms);
/* Text that is JSON already. */
void json_raw(struct json_writer *json, struct slice value);

#endif
