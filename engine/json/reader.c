/* reader.c: see reader.h. A thin state (which levels are open) over the cursor's steps. */
#include "json/reader.h"

struct json_reader json_reader(char *data, usize bytes) {
    struct json_reader reader = {.cursor = json_cursor(data, bytes, scan_best()), .value = true};
    json_space(&reader.cursor);
    return reader;
}

static bool fail_at(struct json_reader *reader, const char *at, enum err code, const char *text) {
    if (reader->error.code == ERR_OK) {
        usize position = (usize)(at - reader->cursor.begin);
        reader->error = (struct json_error){code, text, position};
    }
    return false;
}

/* Takes over the failure of a cursor step. */
static bool fail_step(struct json_reader *reader) {
    return fail_at(reader, reader->cursor.error_at, ERR_INVALID, reader->cursor.error);
}

bool json_read_refuse(struct json_reader *reader, enum err code, const char *text) {
    return fail_at(reader, reader->cursor.at, code, text);
}

/* A value is due and nothing failed so far. */
static bool is_due(struct json_reader *reader) {
    if (reader->error.code != ERR_OK) {
        return false;
    }
    check(reader->value);
    return true;
}

enum json_kind json_read_kind(struct json_reader *reader) {
    if (!is_due(reader)) {
        return JSON_NULL;
    }
    switch (json_peek(&reader->cursor)) {
    case '{':
        return JSON_OBJECT;
    case '[':
        return JSON_ARRAY;
    case '"':
        return JSON_STRING;
    case 't':
        return JSON_TRUE;
    case 'f':
        return JSON_FALSE;
    case 'n':
        return JSON_NULL;
    default:
        return JSON_NUMBER;
    }
}

/* --- levels ------------------------------------------------------------------------------------
 */

static bool enter(struct json_reader *reader, bool object) {
    if (!is_due(reader)) {
        return false;
    }
    const char *at = reader->cursor.at;
    if (!json_take(&reader->cursor, object ? '{' : '[')) {
        return fail_at(reader, at, ERR_INVALID,
                       object ? "expected an object" : "expected an array");
    }
    if (reader->depth == JSON_DEPTH_MAX) {
        return fail_at(reader, at, ERR_INVALID, "nested too deeply");
    }
    u64 bit = (u64)1 << reader->depth++;
    reader->objects = object ? reader->objects | bit : reader->objects & ~bit;
    reader->first = true;
    reader->value = false;
    return true;
}

bool json_read_object(struct json_reader *reader) {
    return enter(reader, true);
}

bool json_read_array(struct json_reader *reader) {
    return enter(reader, false);
}

/* Moves to the next element of the innermost level; false at its end (left then) or on failure. */
static bool step_next(struct json_reader *reader, bool object) {
    if (reader->error.code != ERR_OK) {
        return false;
    }
    check(reader->depth > 0 && !reader->value);
    check((reader->objects >> (reader->depth - 1) & 1) == object);
    struct json_cursor *cursor = &reader->cursor;
    json_space(cursor);
    if (json_take(cursor, object ? '}' : ']')) {
        reader->depth--;
        reader->first = false;
        return false;
    }
    if (!reader->first && !json_take(cursor, ',')) {
        return fail_at(reader, cursor->at, ERR_INVALID,
                       "expected ',' or the end of the array or object");
    }
    reader->first = false;
    json_space(cursor);
    return true;
}

/* The escaped string in its own place, as the header promises; the text belongs to the caller, who
 * gave it as writable. */
static struct slice resolve(const struct json_value *value) {
    struct slice text = json_value_slice(value);
    if (value->escaped) {
        text.bytes = json_unescape(text, (char *)(uintptr_t)value->data, value->bytes);
    }
    return text;
}

bool json_read_member(struct json_reader *reader, struct slice *name) {
    struct json_value value;
    if (!step_next(reader, true)) {
        return false;
    }
    const char *at = reader->cursor.at;
    if (!json_step_name(&reader->cursor, &value)) {
        return fail_step(reader);
    }
    if (reader->cursor.lone_surrogate) {
        return fail_at(reader, at, ERR_INVALID, "a lone surrogate in a string");
    }
    *name = resolve(&value);
    reader->value = true;
    return true;
}

bool json_read_element(struct json_reader *reader) {
    if (!step_next(reader, false)) {
        return false;
    }
    reader->value = true;
    return true;
}

/* --- values ------------------------------------------------------------------------------------
 */

/* Reads the due value whatever it is. */
static bool read_value(struct json_reader *reader, struct json_value *value) {
    if (!is_due(reader)) {
        return false;
    }
    const char *at = reader->cursor.at;
    if (!json_step_value(&reader->cursor, JSON_DEPTH_MAX - reader->depth, value)) {
        return fail_step(reader);
    }
    if (reader->cursor.lone_surrogate) {
        return fail_at(reader, at, ERR_INVALID, "a lone surrogate in a string");
    }
    reader->value = false;
    return true;
}

static bool read_kind(struct json_reader *reader, enum json_kind kind, struct json_value *value,
                      const char *complaint) {
    const char *at = reader->cursor.at;
    if (!read_value(reader, value)) {
        return false;
    }
    return value->kind == kind || fail_at(reader, at, ERR_INVALID, complaint);
}

bool json_read_null(struct json_reader *reader) {
    struct json_value value;
    return is_due(reader) && json_peek(&reader->cursor) == 'n' && read_value(reader, &value);
}

bool json_read_bool(struct json_reader *reader, bool *out) {
    struct json_value value;
    const char *at = reader->cursor.at;
    if (!read_value(reader, &value)) {
        return false;
    }
    if (value.kind != JSON_TRUE && value.kind != JSON_FALSE) {
        return fail_at(reader, at, ERR_INVALID, "expected true or false");
    }
    *out = value.kind == JSON_TRUE;
    return true;
}

bool json_read_string(struct json_reader *reader, struct slice *out) {
    struct json_value value;
    if (!read_kind(reader, JSON_STRING, &value, "expected a string")) {
        return false;
    }
    *out = resolve(&value);
    return true;
}

bool json_read_decimal(struct json_reader *reader, u32 scale, enum number_rounding rounding,
                       i64 *out) {
    struct json_value value;
    const char *at = reader->cursor.at;
    if (!read_kind(reader, JSON_NUMBER, &value, "expected a number")) {
        return false;
    }
    enum err err = number_scale(json_value_slice(&value), scale, rounding, out);
    if (err == ERR_INVALID) {
        return fail_at(reader, at, err, "a number with more decimals than allowed");
    }
    return err == ERR_OK || fail_at(reader, at, err, "a number out of range");
}

bool json_read_i64(struct json_reader *reader, i64 *out) {
    return json_read_decimal(reader, 0, NUMBER_EXACT, out);
}

bool json_read_raw(struct json_reader *reader, struct slice *out) {
    struct json_value value;
    if (!read_value(reader, &value)) {
        return false;
    }
    bool quoted = value.kind == JSON_STRING;
    *out = (struct slice){value.data - quoted, value.bytes + 2 * (usize)quoted};
    return true;
}

bool json_read_skip(struct json_reader *reader) {
    struct json_value value;
    return read_value(reader, &value);
}

bool json_read_finish(struct json_reader *reader) {
    if (reader->error.code != ERR_OK) {
        return false;
    }
    check(reader->depth == 0 && !reader->value);
    return json_step_end(&reader->cursor) || fail_step(reader);
}
