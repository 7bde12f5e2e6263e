/*
 * cursor.c: see cursor.h. Nesting is followed with one bit a level instead of recursion, so depth
 * costs no stack and has its bound in the type.
 */
#include "json/cursor.h"

#include "json/number.h"

#include <string.h>

_Static_assert(JSON_DEPTH_MAX <= 64, "a level is a bit of a u64");

static const char text_no_value[] = "expected a value";
static const char text_no_name[] = "expected a name in quotes";
static const char text_no_colon[] = "expected ':' after a name";
static const char text_no_comma[] = "expected ',' or the end of the array or object";
static const char text_no_end[] = "unexpected bytes after the value";
static const char text_open_string[] = "a string has no closing quote";
static const char text_control[] = "a control character in a string";
static const char text_escape[] = "an escape that JSON does not have";
static const char text_utf8[] = "invalid UTF-8";
static const char text_number[] = "a malformed number";
static const char text_depth[] = "nested too deeply";

bool json_fail(struct json_cursor *cursor, const char *at, const char *error) {
    if (cursor->error == NULL) {
        cursor->error = error;
        cursor->error_at = at;
    }
    return false;
}

void json_space_slow(struct json_cursor *cursor) {
    const char *at = cursor->at;
    while (at < cursor->end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t')) {
        at++;
    }
    cursor->at = at;
}

/* --- strings -----------------------------------------------------------------------------------
 */

/* Four hexadecimal digits as a number, or -1. */
static i32 read_hex4(const char *at) {
    i32 value = 0;
    for (int i = 0; i < 4; i++) {
        u8 c = (u8)at[i];
        u8 letter = c | 0x20;
        if (c >= '0' && c <= '9') {
            value = value * 16 + (c - '0');
        } else if (letter >= 'a' && letter <= 'f') {
            value = value * 16 + (letter - 'a' + 10);
        } else {
            return -1;
        }
    }
    return value;
}

static bool is_high_surrogate(i32 unit) {
    return unit >= 0xd800 && unit < 0xdc00;
}

static bool is_low_surrogate(i32 unit) {
    return unit >= 0xdc00 && unit < 0xe000;
}

/* Bytes of the escape at `at` (a backslash), or 0 if it is none. */
static usize check_escape(struct json_cursor *cursor, const char *at) {
    usize room = (usize)(cursor->end - at);
    if (room < 2) {
        return 0;
    }
    if (at[1] != 'u') {
        return at[1] != 0 && strchr("\"\\/bfnrt", at[1]) != NULL ? 2 : 0;
    }
    i32 unit = room >= 6 ? read_hex4(at + 2) : -1;
    if (unit < 0) {
        return 0;
    }
    if (is_high_surrogate(unit) && room >= 12 && at[6] == '\\' && at[7] == 'u' &&
        is_low_surrogate(read_hex4(at + 8))) {
        return 12;
    }
    if (is_high_surrogate(unit) || is_low_surrogate(unit)) {
        cursor->lone_surrogate = true;
    }
    return 6;
}

bool json_step_string(struct json_cursor *cursor, struct json_value *out) {
    if (json_peek(cursor) != '"') {
        return json_fail(cursor, cursor->at, text_no_value);
    }
    const char *begin = cursor->at + 1;
    const char *at = begin;
    bool high = false;
    out->escaped = false;
    for (;;) {
        at = cursor->scan->text_stop(at, cursor->end, &high);
        if (unlikely(at == cursor->end)) {
            return json_fail(cursor, at, text_open_string);
        }
        if (likely(*at == '"')) {
            break;
        }
        usize escape = *at == '\\' ? check_escape(cursor, at) : 0;
        if (escape == 0) {
            return json_fail(cursor, at, *at == '\\' ? text_escape : text_control);
        }
        out->escaped = true;
        at += escape;
    }
    usize bytes = (usize)(at - begin);
    if (unlikely(high)) {
        usize good = cursor->scan->utf8_prefix(begin, bytes);
        if (good != bytes) {
            return json_fail(cursor, begin + good, text_utf8);
        }
    }
    out->data = begin;
    out->bytes = (u32)bytes;
    out->kind = JSON_STRING;
    out->depth = 0;
    cursor->at = at + 1;
    return true;
}

static usize put_utf8(u32 code, char out[4]) {
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xe0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3f));
        out[2] = (char)(0x80 | (code & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3f));
    out[2] = (char)(0x80 | (code >> 6 & 0x3f));
    out[3] = (char)(0x80 | (code & 0x3f));
    return 4;
}

/* Resolves one escape into `out`; returns its bytes and sets *taken to the escape's. */
static usize resolve_escape(const char *at, const char *end, char out[4], usize *taken) {
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t";
    if (at[1] != 'u') {
        *taken = 2;
        out[0] = to[strchr(from, at[1]) - from];
        return 1;
    }
    *taken = 6;
    i32 unit = read_hex4(at + 2);
    if (unit == 0) {
        return 0;
    }
    if (is_high_surrogate(unit) && end - at >= 12 && at[6] == '\\' && at[7] == 'u') {
        i32 low = read_hex4(at + 8);
        if (is_low_surrogate(low)) {
            *taken = 12;
            return put_utf8(0x10000 + (((u32)unit & 0x3ff) << 10 | ((u32)low & 0x3ff)), out);
        }
    }
    bool lone = is_high_surrogate(unit) || is_low_surrogate(unit);
    return put_utf8(lone ? 0xfffd : (u32)unit, out);
}

usize json_unescape(struct slice escaped, char *to, usize to_bytes) {
    const char *at = escaped.data;
    const char *end = at + escaped.bytes;
    usize bytes = 0;
    while (at < end) {
        char piece[4];
        usize piece_bytes = 1;
        usize taken = 1;
        if (*at == '\\') {
            piece_bytes = resolve_escape(at, end, piece, &taken);
        } else {
            piece[0] = *at;
        }
        for (usize i = 0; i < piece_bytes; i++, bytes++) {
            if (bytes < to_bytes) {
                to[bytes] = piece[i];
            }
        }
        at += taken;
    }
    return bytes;
}

bool json_step_name(struct json_cursor *cursor, struct json_value *name) {
    if (json_peek(cursor) != '"') {
        return json_fail(cursor, cursor->at, text_no_name);
    }
    if (!json_step_string(cursor, name)) {
        return false;
    }
    json_space(cursor);
    if (!json_take(cursor, ':')) {
        return json_fail(cursor, cursor->at, text_no_colon);
    }
    json_space(cursor);
    return true;
}

/* --- any value ---------------------------------------------------------------------------------
 */

static bool step_word(struct json_cursor *cursor, const char *word, usize bytes) {
    if ((usize)(cursor->end - cursor->at) < bytes || memcmp(cursor->at, word, bytes) != 0) {
        return json_fail(cursor, cursor->at, text_no_value);
    }
    cursor->at += bytes;
    return true;
}

/* A value that is no array and no object. */
static bool step_scalar(struct json_cursor *cursor, struct json_value *out) {
    const char *begin = cursor->at;
    char first = json_peek(cursor);
    bool good;
    if (first == '"') {
        return json_step_string(cursor, out);
    }
    if (first == '-' || (u8)(first - '0') < 10) {
        usize bytes = number_scan(begin, cursor->end);
        if (bytes == 0) {
            return json_fail(cursor, begin, text_number);
        }
        cursor->at += bytes;
        out->kind = JSON_NUMBER;
        good = true;
    } else if (first == 't') {
        out->kind = JSON_TRUE;
        good = step_word(cursor, "true", 4);
    } else if (first == 'f') {
        out->kind = JSON_FALSE;
        good = step_word(cursor, "false", 5);
    } else {
        out->kind = JSON_NULL;
        good = step_word(cursor, "null", 4);
    }
    out->data = begin;
    out->bytes = (u32)(cursor->at - begin);
    out->escaped = false;
    out->depth = 0;
    return good;
}

/* Where a walk through arrays and objects is. */
struct nesting {
    u64 objects; /* bit d: level d is an object */
    u32 depth;   /* levels open */
    u32 deepest;
};

static bool in_object(const struct nesting *nesting) {
    return (nesting->objects >> (nesting->depth - 1) & 1) != 0;
}

/* Closes as many levels as end here; then, unless all are closed, passes the comma before the next
 * element, and its name if it has one. */
static bool step_to_next(struct json_cursor *cursor, struct nesting *nesting) {
    while (nesting->depth > 0) {
        json_space(cursor);
        bool object = in_object(nesting);
        if (json_take(cursor, ',')) {
            json_space(cursor);
            struct json_value name;
            return !object || json_step_name(cursor, &name);
        }
        if (!json_take(cursor, object ? '}' : ']')) {
            return json_fail(cursor, cursor->at, text_no_comma);
        }
        nesting->depth--;
    }
    return true;
}

/* Opens an array or object. *empty: it has no element and is closed again. */
static bool step_open(struct json_cursor *cursor, struct nesting *nesting, u32 depth_room,
                      bool *empty) {
    bool object = *cursor->at == '{';
    if (nesting->depth == depth_room) {
        return json_fail(cursor, cursor->at, text_depth);
    }
    u64 bit = (u64)1 << nesting->depth++;
    nesting->objects = object ? nesting->objects | bit : nesting->objects & ~bit;
    nesting->deepest = MAX(nesting->deepest, nesting->depth);
    cursor->at++;
    json_space(cursor);
    *empty = json_peek(cursor) == (object ? '}' : ']');
    struct json_value name;
    return *empty || !object || json_step_name(cursor, &name);
}

bool json_step_value(struct json_cursor *cursor, u32 depth_room, struct json_value *out) {
    const char *begin = cursor->at;
    char first = json_peek(cursor);
    if (first != '{' && first != '[') {
        return step_scalar(cursor, out);
    }
    struct nesting nesting = {0};
    do {
        bool empty = false;
        struct json_value inner;
        char next = json_peek(cursor);
        if (next == '{' || next == '[') {
            if (!step_open(cursor, &nesting, depth_room, &empty)) {
                return false;
            }
            if (!empty) {
                continue;
            }
        } else if (!step_scalar(cursor, &inner)) {
            return false;
        }
        if (!step_to_next(cursor, &nesting)) {
            return false;
        }
    } while (nesting.depth > 0);
    out->data = begin;
    out->bytes = (u32)(cursor->at - begin);
    out->kind = first == '{' ? JSON_OBJECT : JSON_ARRAY;
    out->escaped = false;
    out->depth = (u8)nesting.deepest;
    return true;
}

bool json_step_end(struct json_cursor *cursor) {
    json_space(cursor);
    return cursor->at == cursor->end || json_fail(cursor, cursor->at, text_no_end);
}
