/*
 * index.h: steps over JSON by a list of its quotes. A vector kernel lists those of a window first
 * (scan.h); then a string ends where the list says, and nobody looks for the end byte by byte. The
 * processor need not have read one string to begin with the next.
 *
 * A step accepts only what the cursor's step would accept, with the same value; on any doubt (an
 * error, a window too small, half of a surrogate pair) it says no, and the cursor (cursor.h) reads
 * the same bytes again and decides. So what is wrong with a text is said by the cursor alone.
 *
 * A text needs SCAN_PADDING readable bytes behind its end, and no byte of it may change meanwhile.
 */
#ifndef MARGIN_JSON_INDEX_H
#define MARGIN_JSON_INDEX_H

#include "json/cursor.h"

struct json_index {
    const struct scan_kernel *scan;
    const char *text_end;
    const char *begin;     /* of the window; NULL: there is none yet */
    const char *end;       /* of the window */
    const u16 *quotes_end; /* of its list */
    const u16 *next;       /* a quote near the place that will be asked for next */
    usize usual;           /* bytes that a caller most likely wants there */
    struct scan_window window;
};

/* Where a reader is. NULL instead of a place is the doubt. */
struct json_place {
    const char *at;
    const u16 *quote; /* in the window's list, the first one that is not before `at` */
};
#define JSON_NO_PLACE ((struct json_place){NULL, 0})

/* Before each text. */
void json_index_begin(struct json_index *index, const char *text_end);

/* The place `at`, which is in no string, in a window with at least `bytes` from there on, or all
 * of the text that is left. `bytes` <= SCAN_WINDOW_MAX. */
struct json_place json_index_seek(struct json_index *index, const char *at, usize bytes);

/* --- steps ----------------------------------------------------------------------------------- */

const char *json_index_space_slow(const char *at, const char *end);

/* Where the space at `at` ends; most often it is a single blank. */
static inline const char *json_index_space(const struct json_index *index, const char *at) {
    if (unlikely((u8)*at <= ' ')) {
        if (unlikely(*at != ' ' || (u8)at[1] <= ' ')) {
            return json_index_space_slow(at, index->end);
        }
        at++;
    }
    return at;
}

/* Whether a range of the window has a special byte. */
static inline bool json_index_special(const struct json_index *index, const char *text,
                                      usize bytes) {
    const struct scan_window *window = &index->window;
    usize from = (usize)(text - index->begin);
    for (usize left = bytes; left > 0;) {
        usize step = MIN(left, SCAN_BLOCK - from % SCAN_BLOCK);
        if (window->special[from / SCAN_BLOCK] >> from % SCAN_BLOCK << (SCAN_BLOCK - step) != 0) {
            return true;
        }
        from += step;
        left -= step;
    }
    return false;
}

/* What a string with special bytes is made of. */
enum json_index_kind { JSON_INDEX_PLAIN, JSON_INDEX_ESCAPED, JSON_INDEX_DOUBT };
enum json_index_kind json_index_look(const struct json_index *index, const char *text, usize bytes);

/* The string whose opening quote is at the place. */
static inline struct json_place json_index_string(const struct json_index *index,
                                                  struct json_place place, struct slice *out,
                                                  bool *escaped) {
    const u16 *next = place.quote + 2;
    if (unlikely(next > index->quotes_end)) {
        return JSON_NO_PLACE;
    }
    const char *end = index->begin + place.quote[1];
    *out = (struct slice){place.at + 1, (usize)(end - (place.at + 1))};
    *escaped = false;
    if (unlikely(index->window.any_special) && json_index_special(index, out->data, out->bytes)) {
        enum json_index_kind kind = json_index_look(index, out->data, out->bytes);
        if (unlikely(kind == JSON_INDEX_DOUBT)) {
            return JSON_NO_PLACE;
        }
        *escaped = kind == JSON_INDEX_ESCAPED;
    }
    return (struct json_place){end + 1, next};
}

/* `"name" :` and the space around. */
static inline struct json_place json_index_name(const struct json_index *index,
                                                struct json_place place, struct slice *name,
                                                bool *escaped) {
    if (unlikely(*place.at != '"')) {
        place.at = json_index_space(index, place.at);
        if (*place.at != '"') {
            return JSON_NO_PLACE;
        }
    }
    place = json_index_string(index, place, name, escaped);
    if (unlikely(place.at == NULL)) {
        return place;
    }
    if (unlikely(*place.at != ':')) {
        place.at = json_index_space(index, place.at);
        if (*place.at != ':') {
            return JSON_NO_PLACE;
        }
    }
    place.at = json_index_space(index, place.at + 1);
    return place;
}

/* How many of the 8 bytes at `at` are digits before one that is none. */
static inline usize json_index_digits(const char *at) {
    u64 word;
    __builtin_memcpy(&word, at, sizeof word);
    word ^= 0x3030303030303030;
    /* A byte past 9 gets its highest bit; what it may carry goes to bytes behind it. */
    u64 others = ((word + 0x7676767676767676) | word) & 0x8080808080808080;
    return others != 0 ? (usize)__builtin_ctzll(others) / 8 : 8;
}

/* Bytes of a number without sign and exponent, with at most 7 digits before the dot and as many
 * behind it; 0: it is another, or none. */
static inline usize json_index_number(const char *at) {
    usize bytes = json_index_digits(at);
    if (unlikely(bytes - 1 >= 7 || (*at == '0' && bytes > 1))) {
        return 0;
    }
    if (at[bytes] == '.') {
        usize decimals = json_index_digits(at + bytes + 1);
        if (unlikely(decimals - 1 >= 7)) {
            return 0;
        }
        bytes += 1 + decimals;
    }
    return unlikely((at[bytes] | 0x20) == 'e') ? 0 : bytes;
}

/* What is no string and no number as above. */
struct json_place json_index_other(const struct json_index *index, struct json_place place,
                                   u32 depth_room, struct json_value *out);

/* Any value, as json_step_value(). */
static inline struct json_place json_index_value(const struct json_index *index,
                                                 struct json_place place, u32 depth_room,
                                                 struct json_value *out) {
    if (*place.at == '"') {
        struct slice text;
        bool escaped;
        place = json_index_string(index, place, &text, &escaped);
        if (unlikely(place.at == NULL)) {
            return place;
        }
        *out = (struct json_value){text.data, (u32)text.bytes, JSON_STRING, escaped, 0};
        return place;
    }
    usize bytes = json_index_number(place.at);
    if (likely(bytes != 0)) {
        *out = (struct json_value){place.at, (u32)bytes, JSON_NUMBER, false, 0};
        place.at += bytes;
        return place;
    }
    return json_index_other(index, place, depth_room, out);
}

#endif
