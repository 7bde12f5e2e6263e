/* native_text.c: see native_text.h. The work is done by the JSON kernels, which are vectorised. */
#include "event/native_text.h"

#include <string.h>

#include "json/cursor.h"

bool native_text_is_clean(const char *data, usize bytes) {
    return bytes == 0 ||
           (memchr(data, 0, bytes) == NULL && scan_best()->utf8_prefix(data, bytes) == bytes);
}

bool native_text_lower_is_usd(char *data, usize bytes) {
    for (usize i = 0; i < bytes; i++) {
        if (data[i] >= 'A' && data[i] <= 'Z') {
            data[i] = (char)(data[i] + ('a' - 'A'));
        }
    }
    return bytes == 3 && memcmp(data, "usd", 3) == 0;
}

bool native_text_is_object(const char *data, usize bytes) {
    struct json_cursor cursor = json_cursor(data, bytes, scan_best());
    struct json_value value;
    return json_peek(&cursor) == '{' && json_step_value(&cursor, JSON_DEPTH_MAX, &value) &&
           cursor.at == cursor.end && value.depth <= EVENT_PROPERTIES_DEPTH_MAX &&
           !cursor.lone_surrogate;
}

/* One member whose value is a string, and the space around it. */
static bool step_member(struct json_cursor *cursor) {
    struct json_value name;
    struct json_value value;
    json_space(cursor);
    if (json_peek(cursor) != '"' || !json_step_name(cursor, &name)) {
        return false;
    }
    json_space(cursor);
    if (json_peek(cursor) != '"' || !json_step_string(cursor, &value)) {
        return false;
    }
    json_space(cursor);
    return true;
}

bool native_text_is_meta(const char *data, usize bytes) {
    struct json_cursor cursor = json_cursor(data, bytes, scan_best());
    if (!json_take(&cursor, '{')) {
        return false;
    }
    json_space(&cursor);
    u32 keys = 0;
    if (json_peek(&cursor) != '}') {
        do {
            if (!step_member(&cursor) || ++keys > EVENT_META_KEYS_MAX) {
                return false;
            }
        } while (json_take(&cursor, ','));
    }
    return json_take(&cursor, '}') && cursor.at == cursor.end && !cursor.lone_surrogate;
}
