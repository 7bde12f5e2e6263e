/* shape.c: learning shapes, and which of them to try (shape.h). */
#include "event/shape.h"

#include "json/number.h"

#include <string.h>

/* --- learning ----------------------------------------------------------------------------------
 */

/* A walk over an event that is known to be good JSON. */
struct learner {
    struct json_cursor cursor;
    struct shape *shape;
    const struct field_table *table;
    const char *event;
    const char *literal; /* where the literal under way begins */
    u32 number_open;     /* index + 1 of a number that still lacks its `before` */
    u32 span_open;       /* index + 1 of a span whose end waits for the next quote */
    u32 span_after;      /* it ends so many bytes behind `literal` */
    u32 seen;            /* fields */
};

static u32 count_byte(const char *from, const char *to, char wanted) {
    u32 count = 0;
    for (; from < to; from++) {
        count += *from == wanted;
    }
    return count;
}

/* Quotes of the event before `at`. */
static u32 quotes_before(const struct learner *learner, const char *at) {
    return count_byte(learner->event, at, '"');
}

static const char *quote_before(const char *at) {
    do {
        at--;
    } while (*at != '"');
    return at;
}

/* Cuts a literal into pieces. Each is tied to the quote before its start, the first one to the
 * literal's first quote if none comes before. */
static bool add_pieces(struct learner *learner, const char *end, const char *first_quote) {
    struct shape *shape = learner->shape;
    const char *quote = first_quote;
    for (const char *at = learner->literal; at < end; at += SHAPE_PIECE) {
        while (at > quote && quote_before(at + 1) > quote) {
            quote = quote_before(at + 1);
        }
        ptrdiff_t after = at - quote;
        if (shape->piece_count == SHAPE_PIECES_MAX || after > SHAPE_PIECE || after < -SHAPE_PIECE) {
            return false;
        }
        u32 index = shape->piece_count++;
        usize bytes = MIN((usize)(end - at), (usize)SHAPE_PIECE);
        shape->piece[index].quote = (u16)quotes_before(learner, quote);
        shape->piece[index].after = (i16)after;
        memcpy(shape->literal[index], at, bytes);
        memset(shape->mask[index], 0xff, bytes);
        if (after < 0) {
            shape->before_max = MAX(shape->before_max, (u16)-after);
        }
    }
    return true;
}

/* The literal under way ends here. */
static bool close_literal(struct learner *learner, const char *end) {
    struct shape *shape = learner->shape;
    const char *quote = memchr(learner->literal, '"', (usize)(end - learner->literal));
    if (quote == NULL || !add_pieces(learner, end, quote)) {
        return false;
    }
    u32 before = (u32)(quote - learner->literal);
    if (learner->number_open != 0) {
        shape->number[learner->number_open - 1].before = (u16)before;
        learner->number_open = 0;
    }
    if (learner->span_open != 0) {
        shape->span[learner->span_open - 1].to_after = (i16)(learner->span_after - before);
        learner->span_open = 0;
    }
    return true;
}

static bool add_known_text(struct shape *shape, u32 field, u16 quote) {
    const struct field_rule *rule = &field_rules[field];
    if (rule->kind == FIELD_KIND_TIME) {
        shape->has_time = true;
        shape->time_quote = quote;
        shape->present |= NUM_BIT(NUM_TIME);
        return true;
    }
    if (rule->kind == FIELD_KIND_UNIT) {
        shape->has_unit = true;
        shape->unit_quote = quote;
        return true;
    }
    if (shape->text_count == SHAPE_TEXTS_MAX) {
        return false;
    }
    usize cell = offsetof(struct event_batch, ref) +
                 rule->column * sizeof(struct text_ref) * EVENT_BATCH_STRIDE;
    shape->text[shape->text_count++] = (struct shape_text){(u32)cell, quote, rule->bytes_max};
    shape->present |= TEXT_BIT(rule->column);
    return true;
}

static bool add_string(struct learner *learner, u32 field, const struct json_value *value) {
    if (!close_literal(learner, value->data)) {
        return false;
    }
    learner->literal = value->data + value->bytes;
    u16 quote = (u16)(quotes_before(learner, value->data) - 1);
    return field == FIELD_UNKNOWN || add_known_text(learner->shape, field, quote);
}

static enum shape_number_kind number_kind(u32 field) {
    if (field == FIELD_UNKNOWN) {
        return SHAPE_UNUSED;
    }
    u8 kind = field_rules[field].kind;
    return kind == FIELD_KIND_MONEY   ? SHAPE_MONEY
           : kind == FIELD_KIND_USAGE ? SHAPE_USAGE
                                      : SHAPE_WHOLE;
}

static bool add_number(struct learner *learner, u32 field, const struct json_value *value) {
    struct shape *shape = learner->shape;
    if (!close_literal(learner, value->data) || shape->number_count == SHAPE_NUMBERS_MAX) {
        return false;
    }
    u8 column = field == FIELD_UNKNOWN ? 0 : field_rules[field].column;
    shape->number[shape->number_count++] = (struct shape_number){
        .cell =
            (u32)(offsetof(struct event_batch, number) + column * sizeof(i64) * EVENT_BATCH_STRIDE),
        .quote = (u16)(quotes_before(learner, value->data) - 1),
        .after = (u16)(value->data - quote_before(value->data)),
        .kind = (u8)number_kind(field),
        .field = (u8)field,
    };
    learner->number_open = shape->number_count;
    learner->literal = value->data + value->bytes;
    if (field != FIELD_UNKNOWN) {
        shape->present |= NUM_BIT(column);
        shape->check_parts |= column == NUM_CACHED || column == NUM_CACHE_WRITE;
    }
    return true;
}

static bool learn_value(struct learner *learner, u32 field, u32 levels);

/* The members or elements of what opens at the cursor. */
static bool learn_inside(struct learner *learner, bool top, u32 levels) {
    struct json_cursor *cursor = &learner->cursor;
    bool object = *cursor->at++ == '{';
    char closing = object ? '}' : ']';
    json_space(cursor);
    if (levels == 0) {
        return false;
    }
    while (!json_take(cursor, closing)) {
        u32 field = FIELD_UNKNOWN;
        if (object) {
            struct json_value name;
            check(json_step_name(cursor, &name));
            field = top ? field_find(learner->table, json_value_slice(&name)) : FIELD_UNKNOWN;
        }
        if (field != FIELD_UNKNOWN) {
            u32 bit = (u32)1 << field;
            if ((learner->seen & bit) != 0) {
                return false;
            }
            learner->seen |= bit;
        }
        if (!learn_value(learner, field, levels - 1)) {
            return false;
        }
        json_space(cursor);
        json_take(cursor, ',');
        json_space(cursor);
    }
    return true;
}

/* An object that is kept as it stands. Its values are read as those of unknown members are. */
static bool learn_span(struct learner *learner, u32 field, u32 levels) {
    struct shape *shape = learner->shape;
    const struct field_rule *rule = &field_rules[field];
    const char *from = learner->cursor.at;
    if (!learn_inside(learner, false, levels)) {
        return false;
    }
    const char *to = learner->cursor.at;
    const char *last = quote_before(to);
    if (shape->span_count == SHAPE_SPANS_MAX || learner->span_open != 0) {
        return false;
    }
    struct shape_span *span = &shape->span[shape->span_count++];
    *span = (struct shape_span){
        .from_quote = (u16)(quotes_before(learner, from) - 1),
        .from_after = (u16)(from - quote_before(from)),
        .to_quote = (u16)(quotes_before(learner, to) - 1),
        .to_after = (i16)(to - last),
        .bytes_max = rule->kind == FIELD_KIND_META ? EVENT_META_MAX : EVENT_PROPERTIES_MAX,
        .column = rule->column,
    };
    if (field == FIELD_META && meta_is_link((struct slice){from, (usize)(to - from)})) {
        shape->flags |= EVENT_FLAG_LINK;
    }
    if (last < learner->literal) {
        /* A number ends the object: its end is counted from the quote that comes next. */
        span->to_quote++;
        learner->span_open = shape->span_count;
        learner->span_after = (u32)(to - learner->literal);
    }
    shape->present |= TEXT_BIT(rule->column);
    return true;
}

static bool learn_value(struct learner *learner, u32 field, u32 levels) {
    struct json_cursor *cursor = &learner->cursor;
    char first = json_peek(cursor);
    if (first == '{' || first == '[') {
        return field == FIELD_UNKNOWN ? learn_inside(learner, false, levels)
                                      : learn_span(learner, field, levels);
    }
    struct json_value value;
    check(json_step_value(cursor, 1, &value));
    if (value.kind == JSON_STRING) {
        return add_string(learner, field, &value);
    }
    if (value.kind == JSON_NUMBER) {
        return add_number(learner, field, &value);
    }
    return true; /* a word stays part of the literal */
}

/* What follows the last value. */
static bool learn_end(struct learner *learner) {
    struct shape *shape = learner->shape;
    const char *end = learner->cursor.at;
    usize bytes = (usize)(end - learner->literal);
    if (memchr(learner->literal, '"', bytes) != NULL) {
        shape->end_after = (i16)(end - quote_before(end));
        return close_literal(learner, end);
    }
    if (learner->number_open == 0 || learner->span_open != 0 || bytes > SHAPE_TAIL_MAX) {
        return false;
    }
    shape->number[learner->number_open - 1].last = true;
    shape->tail_bytes = (u16)bytes;
    memcpy(shape->tail, learner->literal, bytes);
    return true;
}

/* Makes the shape of an event that the plain reader has accepted without anything to settle. False:
 * it has none (too large, escapes, repeated members, arrays of numbers). */
static bool shape_learn(struct shape *shape, struct slice event, const struct field_table *table) {
    if (event.bytes > SHAPE_EVENT_MAX || memchr(event.data, '\\', event.bytes) != NULL) {
        return false;
    }
    memset(shape, 0, sizeof *shape);
    struct learner learner = {
        .cursor = json_cursor(event.data, event.bytes, &scan_scalar),
        .shape = shape,
        .table = table,
        .event = event.data,
        .literal = event.data,
    };
    if (!learn_inside(&learner, true, SHAPE_NESTING_MAX) || !learn_end(&learner)) {
        return false;
    }
    shape->add_usage = (shape->present & NUM_BIT(NUM_USAGE)) == 0;
    shape->flags |= shape->has_time ? 0 : EVENT_FLAG_TIME_DEFAULT;
    shape->cost_source = (shape->present & NUM_BIT(NUM_COST)) != 0 ? COST_EXPLICIT : COST_NONE;
    shape->revenue_source =
        (shape->present & NUM_BIT(NUM_REVENUE)) != 0 ? REVENUE_EXPLICIT : REVENUE_NONE;
    shape->before_first = (u16)((const char *)memchr(event.data, '"', event.bytes) - event.data);
    shape->quotes = count_byte(event.data, event.data + event.bytes, '"');
    for (usize i = 0; i < event.bytes; i++) {
        shape->controls += (u8)event.data[i] < 0x20;
    }
    return true;
}

/* --- predicting --------------------------------------------------------------------------------
 */

#define CREDIT_MAX 64
#define CREDIT_LEARN 16  /* learning costs about as much as this many matches save */
#define LEARN_ANYWAY 512 /* without credit, one miss in so many is learned */
#define TRUST_MAX 64     /* failed tries in a row, after enough good ones, until there is a rest */
#define TRUST_A_MATCH 2  /* a match saves about what so many failed tries cost */
#define TRUST_RESTED 4   /* failed tries after a rest until the next */
#define REST 256         /* events */

static shape_match_fn *match_of(const struct scan_kernel *scan) {
#if defined(__x86_64__)
    if (scan == &scan_avx512) {
        return shape_match_avx512;
    }
    if (scan == &scan_avx2) {
        return shape_match_avx2;
    }
#endif
    (void)scan;
    return shape_match_scalar;
}

void predictor_init(struct predictor *predictor, const struct scan_kernel *scan, bool on) {
    predictor->on = on;
    predictor->scan = scan;
    predictor->match = match_of(scan);
    predictor->window_begin = NULL;
    predictor->shape_count = 0;
    predictor->current = 0;
    predictor->replace = 0;
    predictor->credit = CREDIT_MAX;
    predictor->trust = TRUST_MAX;
    predictor->rest = 0;
    predictor->hits = 0;
    predictor->misses = 0;
    predictor->times = (struct time_cache){.date = {0}};
}

void predictor_restart(struct predictor *predictor, const char *body_begin, const char *body_end) {
    predictor->window_begin = NULL;
    predictor->body_begin = body_begin;
    predictor->body_end = body_end;
}

/* Moves the window so that it holds what follows `at`, and a few bytes before it: pieces may begin
 * before their quote. */
static void move_window(struct predictor *predictor, const char *at) {
    const char *begin = at - MIN((usize)(at - predictor->body_begin), (usize)SHAPE_PIECE);
    usize bytes = MIN((usize)(predictor->body_end - begin), (usize)SCAN_WINDOW_MAX);
    predictor->scan->index(begin, bytes, &predictor->window);
    predictor->window_begin = begin;
    predictor->window_for = at;
    predictor->next_quote = 0;
}

/* Moves next_quote to the first quote at or behind `at`. */
static void skip_quotes(struct predictor *predictor, const char *at) {
    const struct scan_window *window = &predictor->window;
    u32 offset = (u32)(at - predictor->window_begin);
    while (predictor->next_quote < window->quote_count &&
           window->quote[predictor->next_quote] < offset) {
        predictor->next_quote++;
    }
}

/* Brings the window to the event at `at`. */
static void seek(struct predictor *predictor, const char *at) {
    if (unlikely(predictor->window_begin == NULL ||
                 at >= predictor->window_begin + predictor->window.bytes)) {
        move_window(predictor, at);
    }
    skip_quotes(predictor, at);
}

/* Whether the window holds at least the event's quotes. With one more, behind the event's, all of
 * the event is in it; else the window is moved, unless that would not help. */
static bool has_quotes(struct predictor *predictor, const char *at, u32 quotes) {
    const struct scan_window *window = &predictor->window;
    if (likely(window->quote_count - predictor->next_quote > quotes)) {
        return true;
    }
    if (predictor->window_for != at &&
        predictor->window_begin + window->bytes != predictor->body_end) {
        move_window(predictor, at);
        skip_quotes(predictor, at);
    }
    return window->quote_count - predictor->next_quote >= quotes;
}

static bool try_shape(struct predictor *predictor, u32 index, const char *at, struct draft *draft,
                      const char **end) {
    const struct shape *shape = &predictor->shape[index];
    if (!has_quotes(predictor, at, shape->quotes)) {
        return false;
    }
    struct shape_try try = {
        .shape = shape,
        .window = &predictor->window,
        .scan = predictor->scan,
        .base = predictor->window_begin,
        .at = at,
        .body_end = predictor->body_end,
        .first = predictor->next_quote,
    };
    if (!predictor->match(&try, &predictor->times, draft, end)) {
        return false;
    }
    predictor->next_quote += shape->quotes;
    return true;
}

/* Where events never look alike, trying each of them costs a third of what reading it does; so
 * after a number of failures most events are not tried for a while. */
static void note_failure(struct predictor *predictor) {
    if (predictor->trust-- <= 0) {
        predictor->trust = TRUST_RESTED;
        predictor->rest = REST;
    }
}

bool predictor_match(struct predictor *predictor, const char *at, struct draft *draft,
                     const char **end) {
    if (!predictor->on || predictor->shape_count == 0) {
        return false;
    }
    if (unlikely(predictor->rest > 0)) {
        predictor->rest--;
        return false;
    }
    seek(predictor, at);
    u32 index = predictor->current;
    for (u32 i = 0; i < predictor->shape_count; i++) {
        if (likely(try_shape(predictor, index, at, draft, end))) {
            predictor->hits++;
            predictor->current = index;
            predictor->credit = MIN(predictor->credit + 1, CREDIT_MAX);
            predictor->trust = MIN(predictor->trust + TRUST_A_MATCH, TRUST_MAX);
            return true;
        }
        index = index + 1 == predictor->shape_count ? 0 : index + 1;
    }
    note_failure(predictor);
    return false;
}

void predictor_learn(struct predictor *predictor, struct slice event,
                     const struct field_table *table) {
    if (!predictor->on) {
        return;
    }
    predictor->misses++;
    if (predictor->credit < CREDIT_LEARN && predictor->misses % LEARN_ANYWAY != 0) {
        return;
    }
    predictor->credit -= CREDIT_LEARN;
    bool room = predictor->shape_count < SHAPES_MAX;
    u32 index = room ? predictor->shape_count : predictor->replace;
    if (shape_learn(&predictor->shape[index], event, table)) {
        predictor->shape_count += room;
        predictor->current = index;
        predictor->replace = (index + 1) % SHAPES_MAX;
    } else if (!room) {
        /* The shape that stood there is spoilt: let the last one take its place. */
        predictor->shape_count--;
        if (index != predictor->shape_count) {
            predictor->shape[index] = predictor->shape[predictor->shape_count];
        }
        predictor->current = 0;
    }
}
