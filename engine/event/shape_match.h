/*
 * shape_match.h: the body of shape_match (shape.h), included once for each instruction set with two
 * things defined: MATCH_NAME, the function's name, and pieces_differ(), which tells whether the
 * bytes between the values are other than the shape's. (tidy: allow inclusion, for that reason.)
 *
 * The loops go by kind of value, not by order of members, so that each branch goes the same way all
 * the time. What is wrong is collected and looked at late: a wrong guess is rare.
 */
#include "event/shape.h"
#include "json/number.h"

#include <string.h>

/* Where things are: the event's quotes, and the text they are offsets into. */
struct match_places {
    const u16 *quote;
    const char *base;
};

static inline bool match_texts(const struct shape *shape, struct match_places places,
                               struct draft *draft) {
    char *cells = (char *)draft->batch + draft->row * sizeof(struct text_ref);
    u32 base = (u32)(places.base - draft->batch->text);
    /* A length below 1 or past its bound leaves a sign bit here. */
    u32 wrong = 0;
    for (u32 i = 0; i < shape->text_count; i++) {
        const struct shape_text *text = &shape->text[i];
        u32 begin = places.quote[text->quote] + 1u;
        u32 bytes = places.quote[text->quote + 1] - begin;
        wrong |= (bytes - 1) | (text->bytes_max - bytes);
        struct text_ref ref = {base + begin, bytes};
        memcpy(cells + text->cell, &ref, sizeof ref);
    }
    return (wrong >> 31) == 0;
}

/* A number that is not of the short forms, by the rule of its member. */
static __attribute__((noinline)) bool match_other_number(const struct shape_number *number,
                                                         const char *at, usize bytes,
                                                         struct draft *draft) {
    if (number_scan(at, at + bytes) != bytes) {
        return false;
    }
    struct json_value value = {at, (u32)bytes, JSON_NUMBER, false, 0};
    return number->kind == SHAPE_UNUSED ||
           draft_put(draft, &field_rules[number->field], &value) == NULL;
}

/* One number's value by the rule of its member. */
static inline bool match_number_value(const struct shape_number *number, const char *at,
                                      usize bytes, struct draft *draft) {
    i64 value;
    bool good = false;
    if (likely(number->kind == SHAPE_WHOLE)) {
        good = bytes - 1 < 8 && number_whole8(at, bytes, &value);
    } else if (number->kind == SHAPE_MONEY) {
        good = number_scale_short(at, bytes, 12, &value) && value <= EVENT_MONEY_MAX;
    } else if (number->kind == SHAPE_USAGE) {
        good = number_scale_short(at, bytes, 6, &value) && value <= EVENT_USAGE_MAX;
    }
    if (unlikely(!good)) {
        return match_other_number(number, at, bytes, draft);
    }
    memcpy((char *)draft->batch + draft->row * sizeof value + number->cell, &value, sizeof value);
    return true;
}

/* Bytes of the number at `at`, which only its own end bounds. */
static inline usize last_number_bytes(const char *at, const char *end) {
    usize bytes = 0;
    while (at + bytes < end && at[bytes] != '}' && (u8)at[bytes] > ' ') {
        bytes++;
    }
    return bytes;
}

/* The numbers; *behind_last is set where the last value of the event is one. */
static inline bool match_numbers(const struct shape_try *try, struct match_places places,
                                 struct draft *draft, const char **behind_last) {
    const struct shape *shape = try->shape;
    for (u32 i = 0; i < shape->number_count; i++) {
        const struct shape_number *number = &shape->number[i];
        const char *at = places.base + places.quote[number->quote] + number->after;
        usize bytes;
        if (unlikely(number->last)) {
            bytes = last_number_bytes(at, try->body_end);
            *behind_last = at + bytes;
        } else {
            bytes = (usize)(places.base + places.quote[number->quote + 1] - number->before - at);
        }
        if (unlikely(bytes - 1 >= 63 || !match_number_value(number, at, bytes, draft))) {
            return false;
        }
    }
    return true;
}

static inline bool match_time(const struct shape *shape, struct match_places places,
                              struct time_cache *times, struct draft *draft) {
    const char *at = places.base + places.quote[shape->time_quote] + 1;
    usize bytes = places.quote[shape->time_quote + 1] - places.quote[shape->time_quote] - 1u;
    i64 *cell = &draft->batch->number[NUM_TIME][draft->row];
    if (unlikely(bytes != 24 || !time_parse_cached(times, at, cell))) {
        struct slice text = {at, bytes};
        if (!time_parse(text, cell)) {
            return false;
        }
        time_remember(times, text);
    }
    return *cell >= EVENT_TIME_MIN && *cell <= draft->now_ms + EVENT_TIME_AHEAD_MS;
}

static inline bool match_spans(const struct shape *shape, struct match_places places,
                               struct draft *draft) {
    for (u32 i = 0; i < shape->span_count; i++) {
        const struct shape_span *span = &shape->span[i];
        const char *from = places.base + places.quote[span->from_quote] + span->from_after;
        const char *to = places.base + places.quote[span->to_quote] + span->to_after;
        if (to - from > span->bytes_max) {
            return false;
        }
        draft_set_text(draft, (enum event_text)span->column, from, (usize)(to - from));
    }
    return true;
}

/* The event has a block with an escape, a control character or a byte above ASCII in or beside it:
 * look closely. */
static __attribute__((noinline)) bool match_special(const struct shape_try *try, usize from,
                                                    usize to) {
    const struct scan_window *window = try->window;
    u32 controls = 0;
    bool high = false;
    for (usize block = from / SCAN_BLOCK; block * SCAN_BLOCK < to; block++) {
        u64 mask = ~(u64)0;
        if (block == from / SCAN_BLOCK) {
            mask <<= from % SCAN_BLOCK;
        }
        if (to - block * SCAN_BLOCK < SCAN_BLOCK) {
            mask &= ((u64)1 << (to - block * SCAN_BLOCK)) - 1;
        }
        if (window->special[block] == 0) {
            continue;
        }
        if ((window->backslash[block] & mask) != 0) {
            return false;
        }
        controls += (u32)__builtin_popcountll(window->control[block] & mask);
        high |= (window->high[block] & mask) != 0;
    }
    return controls == try->shape->controls &&
           (!high || try->scan->utf8_prefix(try->base + from, to - from) == to - from);
}

static inline bool match_plain_bytes(const struct shape_try *try, const char *end) {
    usize from = (usize)(try->at - try->base);
    usize to = (usize)(end - try->base);
    if (to > try->window->bytes) {
        return false;
    }
    usize first = from / SCAN_BLOCK;
    usize blocks = (to - 1) / SCAN_BLOCK + 1 - first;
    u64 special = 0;
    for (; unlikely(blocks > 8); first += 8, blocks -= 8) {
        u64 flags;
        memcpy(&flags, try->window->special + first, sizeof flags);
        special |= flags;
    }
    u64 flags;
    memcpy(&flags, try->window->special + first, sizeof flags);
    special |= flags << (8 * (8 - blocks) & 63);
    if (likely(special == 0)) {
        return try->shape->controls == 0;
    }
    return match_special(try, from, to);
}

/* Where the event ends; NULL if what follows its last value is not what the shape has there. */
static inline const char *match_end(const struct shape_try *try, struct match_places places,
                                    const char *behind_last) {
    const struct shape *shape = try->shape;
    if (likely(behind_last == NULL)) {
        return places.base + places.quote[shape->quotes - 1] + shape->end_after;
    }
    if (try->body_end - behind_last < shape->tail_bytes ||
        memcmp(behind_last, shape->tail, shape->tail_bytes) != 0) {
        return NULL;
    }
    return behind_last + shape->tail_bytes;
}

static inline bool match_unit(const struct shape *shape, struct match_places places) {
    const u16 *quote = places.quote + shape->unit_quote;
    return quote[1] - quote[0] == 4 && memcmp(places.base + quote[0] + 1, "usd", 3) == 0;
}

/* What draft_finish() does, with the questions answered when the shape was learned. */
static inline void match_finish(const struct shape *shape, struct draft *draft) {
    struct event_batch *batch = draft->batch;
    u32 row = draft->row;
    batch->present[row] = shape->present | NUM_BIT(NUM_TIME) | NUM_BIT(NUM_USAGE);
    batch->flags[row] = shape->flags;
    batch->cost_source[row] = shape->cost_source;
    batch->revenue_source[row] = shape->revenue_source;
    if (!shape->has_time) {
        batch->number[NUM_TIME][row] = draft->now_ms;
    }
    if (shape->add_usage) {
        bool input = (shape->present & NUM_BIT(NUM_INPUT)) != 0;
        bool output = (shape->present & NUM_BIT(NUM_OUTPUT)) != 0;
        i64 tokens = (input ? batch->number[NUM_INPUT][row] : 0) +
                     (output ? batch->number[NUM_OUTPUT][row] : 0);
        batch->number[NUM_USAGE][row] = tokens * MICRO_PER_UNIT;
    }
}

bool MATCH_NAME(const struct shape_try *try, struct time_cache *times, struct draft *draft,
                const char **end) {
    const struct shape *shape = try->shape;
    struct match_places places = {try->window->quote + try->first, try->base};
    if (places.base + places.quote[0] - shape->before_first != try->at ||
        places.quote[0] < shape->before_max || pieces_differ(shape, places.quote, places.base)) {
        return false;
    }
    const char *behind_last = NULL;
    if (!match_texts(shape, places, draft) || !match_numbers(try, places, draft, &behind_last)) {
        return false;
    }
    const char *event_end = match_end(try, places, behind_last);
    if (event_end == NULL || !match_plain_bytes(try, event_end) ||
        (shape->has_time && !match_time(shape, places, times, draft)) ||
        (shape->has_unit && !match_unit(shape, places)) || !match_spans(shape, places, draft)) {
        return false;
    }
    draft->present = shape->present;
    if (shape->check_parts && draft_check_tokens(draft) != NULL) {
        return false;
    }
    match_finish(shape, draft);
    *end = event_end;
    return true;
}
