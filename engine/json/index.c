/* index.c: see index.h. Here is what events seldom have, and moving the window. */
#include "json/index.h"

#include "json/number.h"

#include <string.h>

#define WINDOW_LEAST (2 * KIB) /* as few events are listed in vain if it is moved past them */
_Static_assert(WINDOW_LEAST <= SCAN_WINDOW_MAX, "a window has room for it");

void json_index_begin(struct json_index *index, const char *text_end) {
    index->text_end = text_end;
    index->begin = NULL;
    index->end = NULL;
}

struct json_place json_index_seek(struct json_index *index, const char *at, usize bytes) {
    const struct scan_window *window = &index->window;
    usize left = (usize)(index->text_end - at);
    if (index->begin == NULL || at < index->begin || index->end < at + MIN(bytes, left)) {
        usize wanted = MIN(MAX(bytes, WINDOW_LEAST), left);
        index->scan->index(at, wanted, &index->window);
        index->begin = at;
        index->end = at + wanted;
        index->quotes_end = window->quote + window->quote_count;
        index->next = window->quote;
    }
    const u16 *quote = index->next;
    if (quote > window->quote && index->begin + quote[-1] >= at) {
        quote = window->quote;
    }
    while (index->quotes_end - quote > 8 && index->begin + quote[8] < at) {
        quote += 8;
    }
    while (quote < index->quotes_end && index->begin + *quote < at) {
        quote++;
    }
    return (struct json_place){at, quote};
}

const char *json_index_space_slow(const char *at, const char *end) {
    while (at < end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t')) {
        at++;
    }
    return at;
}

enum json_index_kind json_index_look(const struct json_index *index, const char *text,
                                     usize bytes) {
    struct json_value value;
    struct json_cursor cursor = json_cursor(text - 1, bytes + 2, index->scan);
    if (!json_step_string(&cursor, &value) || cursor.lone_surrogate) {
        return JSON_INDEX_DOUBT;
    }
    return value.escaped ? JSON_INDEX_ESCAPED : JSON_INDEX_PLAIN;
}

/* A number with a sign or an exponent or of many digits, or a word. */
static struct json_place pass_scalar(const struct json_index *index, struct json_place place,
                                     struct json_value *out) {
    struct json_cursor cursor = json_cursor(place.at, (usize)(index->end - place.at), index->scan);
    if (!json_step_value(&cursor, 1, out)) {
        return JSON_NO_PLACE;
    }
    place.at = cursor.at;
    return place;
}

/* What arrays and objects a reader is in. */
struct levels {
    u64 objects; /* the lowest bit stands for the innermost one: it is an object */
    u32 open;
};

/* Behind an element: closes as many levels as end here; then, unless all are closed, passes the
 * comma and the name of the next one. */
static inline struct json_place pass_to_next(const struct json_index *index,
                                             struct json_place place, struct levels *levels) {
    while (levels->open > 0) {
        bool object = (levels->objects & 1) != 0;
        struct slice name;
        bool escaped;
        place.at = json_index_space(index, place.at);
        if (*place.at == ',') {
            place.at = json_index_space(index, place.at + 1);
            return object ? json_index_name(index, place, &name, &escaped) : place;
        }
        if (*place.at != (object ? '}' : ']')) {
            return JSON_NO_PLACE;
        }
        place.at++;
        levels->objects >>= 1;
        levels->open--;
    }
    return place;
}

/* Opens an array or object. *empty: it has no element and is still to be closed. */
static inline struct json_place pass_open(const struct json_index *index, struct json_place place,
                                          struct levels *levels, bool *empty) {
    char first = *place.at;
    bool object = first == '{';
    struct slice name;
    bool escaped;
    levels->objects = levels->objects << 1 | object;
    levels->open++;
    place.at = json_index_space(index, place.at + 1);
    *empty = *place.at == first + ('}' - '{');
    return *empty || !object ? place : json_index_name(index, place, &name, &escaped);
}
_Static_assert('}' - '{' == ']' - '[', "pass_open counts on it");

static struct json_place pass_nested(const struct json_index *index, struct json_place place,
                                     u32 depth_room, struct json_value *out) {
    const char *begin = place.at;
    struct levels levels = {0, 0};
    u32 deepest = 0;
    do {
        struct json_value inner;
        bool due = false; /* another element, or what is inside of this one */
        if (*place.at != '{' && *place.at != '[') {
            place = json_index_value(index, place, 0, &inner);
        } else if (levels.open == depth_room) {
            return JSON_NO_PLACE;
        } else {
            bool empty;
            place = pass_open(index, place, &levels, &empty);
            deepest = MAX(deepest, levels.open);
            due = !empty;
        }
        if (place.at != NULL && !due) {
            place = pass_to_next(index, place, &levels);
        }
        if (place.at == NULL || place.at >= index->end) {
            break;
        }
    } while (levels.open > 0);
    if (place.at == NULL || levels.open > 0) {
        return JSON_NO_PLACE;
    }
    u8 kind = *begin == '{' ? JSON_OBJECT : JSON_ARRAY;
    *out = (struct json_value){begin, (u32)(place.at - begin), kind, false, (u8)deepest};
    return place;
}

struct json_place json_index_other(const struct json_index *index, struct json_place place,
                                   u32 depth_room, struct json_value *out) {
    if (unlikely(place.at >= index->end)) {
        return JSON_NO_PLACE;
    }
    bool nested = *place.at == '{' || *place.at == '[';
    return nested ? pass_nested(index, place, depth_room, out) : pass_scalar(index, place, out);
}
