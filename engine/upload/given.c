/* given.c: members of uploaded objects (given.h). */
#include "upload/given.h"

bool given_read(struct json_reader *reader, struct given *given) {
    *given = (struct given){.kind = json_read_kind(reader)};
    given->is_there = given->kind != JSON_NULL;
    return given->kind == JSON_STRING ? json_read_string(reader, &given->text)
                                      : json_read_raw(reader, &given->text);
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct slice given_trim(struct slice text) {
    while (text.bytes > 0 && is_blank(text.data[0])) {
        text.data++;
        text.bytes--;
    }
    while (text.bytes > 0 && is_blank(text.data[text.bytes - 1])) {
        text.bytes--;
    }
    return text;
}

bool given_is_amount(struct slice text, u32 scale, i64 most, i64 *out) {
    return text.bytes > 0 && number_scan(text.data, text.data + text.bytes) == text.bytes &&
           number_scale(text, scale, NUMBER_HALF_EVEN, out) == ERR_OK && *out <= most &&
           *out >= -most;
}

const char *given_text(const struct given *given, usize bytes_max, const char *complaint,
                       struct slice *out) {
    if (!given->is_there) {
        return NULL;
    }
    struct slice text = given_trim(given->text);
    if (given->kind != JSON_STRING || text.bytes == 0 || text.bytes > bytes_max) {
        return complaint;
    }
    *out = text;
    return NULL;
}

const char *given_amount(const struct given *given, u32 scale, i64 least, i64 most,
                         const char *complaint, i64 *out) {
    i64 value;
    if (!given->is_there) {
        return NULL;
    }
    if (given->kind != JSON_NUMBER || !given_is_amount(given->text, scale, most, &value) ||
        value < least) {
        return complaint;
    }
    *out = value;
    return NULL;
}
