/* write.c: see write.h. */
#include "json/write.h"

#include "json/time.h"

#include <string.h>

/* Before an element: the comma, if one came before. */
static void begin_element(struct json_writer *json) {
    if (json->comma) {
        buf_put_char(json->out, ',');
    }
    json->comma = true;
}

static void open_level(struct json_writer *json, char c) {
    begin_element(json);
    buf_put_char(json->out, c);
    json->comma = false;
}

static void close_level(struct json_writer *json, char c) {
    buf_put_char(json->out, c);
    json->comma = true;
}

void json_object_begin(struct json_writer *json) {
    open_level(json, '{');
}

void json_object_end(struct json_writer *json) {
    close_level(json, '}');
}

void json_array_begin(struct json_writer *json) {
    open_level(json, '[');
}

void json_array_end(struct json_writer *json) {
    close_level(json, ']');
}

static void put_escaped(struct buf *out, u8 c) {
    static const char hex[] = "0123456789abcdef";
    static const char names[32] = {
        ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't'};
    char text[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
    if (c == '"' || c == '\\') {
        text[1] = (char)c;
        buf_put(out, text, 2);
    } else if (names[c] != 0) {
        text[1] = names[c];
        buf_put(out, text, 2);
    } else {
        buf_put(out, text, 6);
    }
}

/* Runs of ordinary characters are copied whole. */
static void put_quoted(struct buf *out, struct slice text) {
    buf_put_char(out, '"');
    usize from = 0;
    for (usize i = 0; i < text.bytes; i++) {
        u8 c = (u8)text.data[i];
        if (unlikely(c < 0x20 || c == '"' || c == '\\')) {
            buf_put(out, text.data + from, i - from);
            put_escaped(out, c);
            from = i + 1;
        }
    }
    if (from < text.bytes) {
        buf_put(out, text.data + from, text.bytes - from);
    }
    buf_put_char(out, '"');
}

void json_key(struct json_writer *json, const char *name) {
    begin_element(json);
    put_quoted(json->out, (struct slice){name, strlen(name)});
    buf_put_char(json->out, ':');
    json->comma = false;
}

void json_null(struct json_writer *json) {
    json_raw(json, SLICE("null"));
}

void json_bool(struct json_writer *json, bool value) {
    json_raw(json, value ? SLICE("true") : SLICE("false"));
}

void json_i64(struct json_writer *json, i64 value) {
    begin_element(json);
    buf_put_i64(json->out, value);
}

void json_u64(struct json_writer *json, u64 value) {
    begin_element(json);
    buf_put_u64(json->out, value);
}

void json_string(struct json_writer *json, struct slice text) {
    begin_element(json);
    put_quoted(json->out, text);
}

void json_text(struct json_writer *json, const char *text) {
    json_string(json, (struct slice){text, strlen(text)});
}

#define DECIMAL_DIGITS_MAX 40 /* of a 128-bit number: 39 */

void json_decimal(struct json_writer *json, i128 value, u32 scale) {
    check(scale < DECIMAL_DIGITS_MAX);
    begin_element(json);
    char text[2 * DECIMAL_DIGITS_MAX];
    usize at = sizeof text;
    u128 rest = value < 0 ? 0 - (u128)value : (u128)value;
    /* From the last decimal to the front; nothing is written while all decimals so far are 0. */
    for (u32 i = 0; i < scale; i++, rest /= 10) {
        char digit = (char)('0' + (int)(rest % 10));
        if (digit != '0' || at < sizeof text) {
            text[--at] = digit;
        }
    }
    if (at < sizeof text) {
        text[--at] = '.';
    }
    do {
        text[--at] = (char)('0' + (int)(rest % 10));
        rest /= 10;
    } while (rest > 0);
    if (value < 0) {
        text[--at] = '-';
    }
    buf_put(json->out, text + at, sizeof text - at);
}

void json_time(struct json_writer *json, i64 time_ms) {
    char text[TIME_TEXT_BYTES + 2];
    text[0] = '"';
    time_format(time_ms, text + 1);
    text[TIME_TEXT_BYTES + 1] = '"';
    json_raw(json, (struct slice){text, sizeof text});
}

void json_raw(struct json_writer *json, struct slice value) {
    begin_element(json);
    buf_put_slice(json->out, value);
}
