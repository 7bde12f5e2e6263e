/* json_peer.c: the only user of jansson: see json_peer.h. */
#include "tests/support/json_peer.h"

#include <jansson.h>

void *json_peer_load(struct slice text, enum peer_verdict *verdict) {
    json_error_t error;
    json_t *value = json_loadb(text.bytes == 0 ? "" : text.data, text.bytes,
                               JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &error);
    *verdict = PEER_GOOD;
    if (value == NULL) {
        enum json_error_code code = json_error_code(&error);
        bool unable = code == json_error_numeric_overflow || code == json_error_duplicate_key;
        *verdict = unable ? PEER_UNABLE : PEER_BAD;
    }
    return value;
}

void json_peer_free(void *value) {
    json_decref(value);
}

enum peer_kind json_peer_kind(const void *value) {
    static const enum peer_kind kinds[] = {
        [JSON_OBJECT] = PEER_OBJECT, [JSON_ARRAY] = PEER_ARRAY, [JSON_STRING] = PEER_TEXT,
        [JSON_INTEGER] = PEER_WHOLE, [JSON_REAL] = PEER_REAL,   [JSON_TRUE] = PEER_TRUTH,
        [JSON_FALSE] = PEER_TRUTH,   [JSON_NULL] = PEER_NULL,
    };
    return value == NULL ? PEER_NONE : kinds[json_typeof((const json_t *)value)];
}

bool json_peer_truth(const void *value) {
    return json_is_true((const json_t *)value);
}

i64 json_peer_whole(const void *value) {
    return json_integer_value(value);
}

double json_peer_real(const void *value) {
    return json_number_value(value);
}

struct slice json_peer_text(const void *value) {
    return (struct slice){json_string_value(value), json_string_length(value)};
}

usize json_peer_count(const void *value) {
    return json_peer_kind(value) == PEER_OBJECT ? json_object_size(value) : json_array_size(value);
}

const void *json_peer_element(const void *value, usize index) {
    return json_array_get(value, index);
}

const void *json_peer_member(const void *value, struct slice name) {
    return json_object_getn(value, name.bytes == 0 ? "" : name.data, name.bytes);
}
