/*
 * shape_match.h: the body of shape_match (shape.h), included once for each instruction set with
 * MATCH_NAME, the function's name, and three functions defined:
 *   find_quote      bytes before the first quote of the MATCH_REACH bytes at `at`, which are
 *                   readable; MATCH_REACH if there is none among them. *special becomes not 0 if a
 *                   byte before it is a backslash, a control character or above ASCII;
 *   find_near       the same of MATCH_NEAR bytes, in less time;
 *   literal_differs whether the SHAPE_PIECE bytes at `at`, which are readable, are not the literal.
 * (tidy: allow inclusion, for that reason.)
 */
#include "event/shape.h"
#include "json/number.h"

#include <string.h>

_Static_assert(MATCH_REACH <= EVENT_TEXT_PADDING && SHAPE_PIECE <= EVENT_TEXT_PADDING,
               "what begins inside the body may be loaded whole");

/* --- strings -----------------------------------------------------------------------------------
 */

static __attribute__((noinline)) usize find_far(const char *at, const char *body_end,
                                                u64 *special) {
    usize bytes = 0;
    usize found;
    do {
        found = find_quote(at + bytes, special);
        bytes += found;
    } while (found == MATCH_REACH && bytes < (usize)(body_end - at));
    return bytes;
}

static inline usize string_bytes(struct shape_step *step, const char *at, const char *body_end,
                                 u64 *special) {
    if (step->usual != SHAPE_VARIES) {
        /* Hidden from the compiler that they are the same: so what comes next has its place without
         * waiting for what is found. */
        usize usual = step->usual;
        __asm__("" : "+r"(usual));
        if (likely(find_quote(at, special) == step->usual)) {
            return usual;
        }
        step->usual = SHAPE_VARIES;
    }
    usize bytes = find_near(at, special);
    return likely(bytes < MATCH_NEAR) ? bytes : find_far(at, body_end, special);
}

/* A time of another form or day than the last one. */
static __attribute__((noinline)) bool match_other_time(struct predictor *predictor,
                                                       struct draft *draft, struct shape_step *step,
                                                       const char *at, usize *bytes) {
    u64 special = 0;
    *bytes = string_bytes(step, at, predictor->body_end, &special);
    struct slice text = {at, *bytes};
    if (!time_parse(text, &draft->batch->number[NUM_TIME][draft->row])) {
        return false;
    }
    time_remember(draft->times, text);
    return true;
}

static inline bool match_time(struct predictor *predictor, struct draft *draft,
                              struct shape_step *step, const char *at, usize *bytes) {
    i64 *cell = &draft->batch->number[NUM_TIME][draft->row];
    *bytes = TIME_TEXT_BYTES;
    if (unlikely(!time_parse_cached(draft->times, at, cell)) &&
        !match_other_time(predictor, draft, step, at, bytes)) {
        return false;
    }
    return *cell >= EVENT_TIME_MIN && *cell <= draft->now_ms + EVENT_TIME_AHEAD_MS;
}

/* --- numbers -----------------------------------------------------------------------------------
 */

/* A number that is not of the short forms, by the rule of its member. */
static __attribute__((noinline)) bool match_other_number(struct draft *draft,
                                                         const struct shape_step *step,
                                                         const char *at, const char *body_end,
                                                         usize *bytes) {
    *bytes = number_scan(at, body_end);
    struct json_value value = {at, (u32)*bytes, JSON_NUMBER, false, 0};
    return *bytes > 0 && (step->kind == SHAPE_NUMBER ||
                          draft_put(draft, &field_rules[step->field], &value) == NULL);
}

/* Of an unknown member: any number will do. */
static __attribute__((noinline)) bool match_unused_number(const char *at, const char *body_end,
                                                          usize *bytes) {
    i64 value;
    *bytes = number_decimal_short(at, 6, &value);
    *bytes = *bytes > 0 ? *bytes : number_scan(at, body_end);
    return *bytes > 0;
}

/* --- the walk ----------------------------------------------------------------------------------
 */

/* Reads the value at `at`. Of what is not of the usual form no more than the place of its end need
 * be right: the literal behind it is looked at next. */
static inline bool match_value(struct predictor *predictor, struct draft *draft,
                               struct shape_step *step, const char *at, usize *bytes,
                               u64 *special) {
    struct event_batch *batch = draft->batch;
    char *cell;
    i64 value = 0;
    if (step->kind == SHAPE_TEXT) {
        *bytes = string_bytes(step, at, predictor->body_end, special);
        struct text_ref ref = {(u32)(at - batch->text), (u32)*bytes};
        cell = (char *)batch + draft->row * sizeof ref + step->cell;
        memcpy(cell, &ref, sizeof ref);
        return *bytes - 1 < step->bytes_max;
    }
    if (step->kind == SHAPE_WHOLE) {
        *bytes = number_whole_short(at, &value);
    } else if (step->kind == SHAPE_DECIMAL) {
        *bytes = number_decimal_short(at, step->scale, &value);
        *bytes = likely(value <= step->most) ? *bytes : 0;
    } else if (step->kind == SHAPE_TIME) {
        return match_time(predictor, draft, step, at, bytes);
    } else if (step->kind == SHAPE_STRING) {
        *bytes = string_bytes(step, at, predictor->body_end, special);
        return true;
    } else if (step->kind == SHAPE_UNIT) {
        *bytes = 3;
        return memcmp(at, "usd", 3) == 0;
    } else if (step->kind == SHAPE_NUMBER) {
        return match_unused_number(at, predictor->body_end, bytes);
    } else {
        *bytes = 0;
        return true;
    }
    if (unlikely(*bytes == 0)) {
        return match_other_number(draft, step, at, predictor->body_end, bytes);
    }
    cell = (char *)batch + draft->row * sizeof value + step->cell;
    memcpy(cell, &value, sizeof value);
    return true;
}

static inline bool is_literal(const struct shape_step *step, const char *at, const char *body_end) {
    return likely(at + step->bytes <= body_end) && likely(!literal_differs(at, step));
}

/* The literal behind the value at `at` is not that of step number `index`. A number may be longer
 * than it seemed: 5.0, 1e3. Or the event goes on like another shape: which one; NULL if none. */
static __attribute__((noinline)) struct shape *match_other(struct predictor *predictor,
                                                           struct draft *draft, struct shape *shape,
                                                           u32 index, const char *at,
                                                           usize *bytes) {
    const char *body_end = predictor->body_end;
    struct shape_step *step = &shape->step[index];
    if (step->kind >= SHAPE_NUMBER) {
        if (!match_other_number(draft, step, at, body_end, bytes)) {
            return NULL;
        }
        if (is_literal(step, at + *bytes, body_end)) {
            return shape;
        }
    }
    for (u32 others = step->others; others != 0; others &= step->others) {
        shape = &predictor->shape[__builtin_ctz(others)];
        step = &shape->step[index];
        if (is_literal(step, at + *bytes, body_end)) {
            return shape;
        }
    }
    return NULL;
}

/* Goes along the event. Returns the shape that it has, and where it ends; NULL if it has none of
 * the known ones. */
static inline struct shape *match_walk(struct predictor *predictor, struct draft *draft,
                                       const char *at, const char **end, u64 *special) {
    struct shape *shape = &predictor->shape[predictor->current];
    const char *body_end = predictor->body_end;
    const char *text = draft->batch->text;
    u32 *literal = predictor->literal;
    struct shape_step *last = shape->step + shape->step_count;
    for (struct shape_step *step = shape->step; step < last; step++) {
        usize bytes;
        if (unlikely(!match_value(predictor, draft, step, at, &bytes, special))) {
            return NULL;
        }
        if (unlikely(!is_literal(step, at + bytes, body_end))) {
            u32 index = (u32)(step - shape->step);
            shape = match_other(predictor, draft, shape, index, at, &bytes);
            if (shape == NULL) {
                return NULL;
            }
            step = &shape->step[index];
            last = shape->step + shape->step_count;
        }
        at += bytes;
        *literal++ = (u32)(at - text);
        at += step->bytes;
    }
    *end = at;
    return shape;
}

/* --- the event ---------------------------------------------------------------------------------
 */

static inline bool match_spans(const struct predictor *predictor, const struct shape *shape,
                               struct draft *draft) {
    for (u32 i = 0; i < shape->span_count; i++) {
        const struct shape_span *span = &shape->span[i];
        u32 begin = predictor->literal[span->from_step] + span->from_after;
        u32 bytes = predictor->literal[span->to_step] + span->to_after - begin;
        if (bytes > span->bytes_max) {
            return false;
        }
        draft_set_text(draft, (enum event_text)span->column, draft->batch->text + begin, bytes);
    }
    return true;
}

/* A string has bytes that are special: look closely. */
static __attribute__((noinline)) bool match_strings(const struct predictor *predictor,
                                                    const struct shape *shape, const char *text) {
    for (u32 i = 1; i < shape->step_count; i++) {
        const char *at = text + predictor->literal[i - 1] + shape->step[i - 1].bytes;
        const char *end = text + predictor->literal[i];
        bool high = false;
        if (shape->step[i].kind < SHAPE_NUMBER &&
            (predictor->scan->text_stop(at, end, &high) != end ||
             (high && predictor->scan->utf8_prefix(at, (usize)(end - at)) != (usize)(end - at)))) {
            return false;
        }
    }
    return true;
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

bool MATCH_NAME(struct predictor *predictor, const char *at, struct draft *draft,
                const char **end) {
    const char *event_end;
    u64 special = 0;
    const struct shape *shape = match_walk(predictor, draft, at, &event_end, &special);
    if (shape == NULL || !match_spans(predictor, shape, draft) ||
        (unlikely(special != 0) && !match_strings(predictor, shape, draft->batch->text))) {
        return false;
    }
    draft->present = shape->present;
    if (shape->check_parts && draft_check_tokens(draft) != NULL) {
        return false;
    }
    match_finish(shape, draft);
    predictor->current = (u32)(shape - predictor->shape);
    *end = event_end;
    return true;
}
