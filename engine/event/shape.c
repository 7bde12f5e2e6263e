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
    u32 text_bytes;      /* used of shape->text */
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

/* The literal under way ends here. */
static bool close_literal(struct learner *learner, const char *end) {
    struct shape *shape = learner->shape;
    usize bytes = (usize)(end - learner->literal);
    const char *quote = memchr(learner->literal, '"', bytes);
    if (quote == NULL || shape->literal_count == SHAPE_LITERALS_MAX ||
        bytes > SHAPE_TEXT_MAX - learner->text_bytes) {
        return false;
    }
    struct shape_literal *literal = &shape->literal[shape->literal_count++];
    *literal = (struct shape_literal){
        .text = (u16)learner->text_bytes,
        .bytes = (u16)bytes,
        .quote = (u16)quotes_before(learner, learner->literal),
        .before = (u16)(quote - learner->literal),
    };
    memcpy(shape->text + learner->text_bytes, learner->literal, bytes);
    learner->text_bytes += (u32)bytes;
    if (learner->number_open != 0) {
        shape->number[learner->number_open - 1].before = literal->before;
        learner->number_open = 0;
    }
    if (learner->span_open != 0) {
        shape->span[learner->span_open - 1].to_after =
            (i16)((i32)learner->span_after - literal->before);
        learner->span_open = 0;
    }
    return true;
}

static void add_known_text(struct shape *shape, u32 field, u16 quote) {
    const struct field_rule *rule = &field_rules[field];
    if (rule->kind == FIELD_KIND_TIME) {
        shape->has_time = true;
        shape->time_quote = quote;
        shape->present |= NUM_BIT(NUM_TIME);
    } else if (rule->kind == FIELD_KIND_UNIT) {
        shape->has_unit = true;
        shape->unit_quote = quote;
    } else {
        shape->value[shape->text_count++] =
            (struct shape_text){quote, rule->bytes_max, rule->column};
        shape->present |= TEXT_BIT(rule->column);
    }
}

static bool add_string(struct learner *learner, u32 field, const struct json_value *value) {
    if (!close_literal(learner, value->data)) {
        return false;
    }
    if (field != FIELD_UNKNOWN) {
        add_known_text(learner->shape, field, (u16)(quotes_before(learner, value->data) - 1));
    }
    learner->literal = value->data + value->bytes;
    return true;
}

static bool add_number(struct learner *learner, u32 field, const struct json_value *value) {
    struct shape *shape = learner->shape;
    if (!close_literal(learner, value->data) || shape->number_count == SHAPE_NUMBERS_MAX) {
        return false;
    }
    shape->number[shape->number_count++] = (struct shape_number){
        .quote = (u16)(quotes_before(learner, value->data) - 1),
        .after = (u16)(value->data - quote_before(value->data)),
        .field = (u8)(field == FIELD_UNKNOWN ? INGEST_FIELDS : field),
    };
    learner->number_open = shape->number_count;
    learner->literal = value->data + value->bytes;
    if (field != FIELD_UNKNOWN) {
        u8 column = field_rules[field].column;
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
    if (learner->number_open == 0) {
        return close_literal(learner, end);
    }
    if (memchr(learner->literal, '"', (usize)(end - learner->literal)) != NULL) {
        return close_literal(learner, end);
    }
    usize bytes = (usize)(end - learner->literal);
    if (bytes > SHAPE_TEXT_MAX - learner->text_bytes || learner->span_open != 0) {
        return false;
    }
    shape->number[learner->number_open - 1].last = true;
    shape->last_text = (u16)learner->text_bytes;
    shape->last_bytes = (u16)bytes;
    memcpy(shape->text + learner->text_bytes, learner->literal, bytes);
    return true;
}

bool shape_learn(struct shape *shape, struct slice event, const struct field_table *table) {
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
#define LEARN_ANYWAY 256 /* without credit, one miss in so many is learned */

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
    predictor->hits = 0;
    predictor->misses = 0;
    predictor->times = (struct time_cache){.date = {0}};
}

void predictor_restart(struct predictor *predictor) {
    predictor->window_begin = NULL;
}

/* Moves the window to begin at `at`. */
static void move_window(struct predictor *predictor, const char *at, const char *body_end) {
    usize bytes = MIN((usize)(body_end - at), (usize)SCAN_WINDOW_MAX);
    predictor->scan->index(at, bytes, &predictor->window);
    predictor->window_begin = at;
    predictor->next_quote = 0;
}

/* Brings next_quote to the first quote at or behind `at`. */
static void seek(struct predictor *predictor, const char *at, const char *body_end) {
    const struct scan_window *window = &predictor->window;
    if (predictor->window_begin == NULL || at >= predictor->window_begin + window->bytes) {
        move_window(predictor, at, body_end);
        return;
    }
    u32 offset = (u32)(at - predictor->window_begin);
    while (predictor->next_quote < window->quote_count &&
           window->quote[predictor->next_quote] < offset) {
        predictor->next_quote++;
    }
}

static bool try_shape(struct predictor *predictor, u32 index, const char *at, const char *body_end,
                      struct draft *draft, const char **end) {
    const struct shape *shape = &predictor->shape[index];
    if (predictor->window.quote_count - predictor->next_quote < shape->quotes) {
        /* The event may go on behind the window. */
        if (predictor->window_begin == at ||
            predictor->window_begin + predictor->window.bytes == body_end) {
            return false;
        }
        move_window(predictor, at, body_end);
        if (predictor->window.quote_count < shape->quotes) {
            return false;
        }
    }
    struct shape_try try = {
        .shape = shape,
        .window = &predictor->window,
        .scan = predictor->scan,
        .base = predictor->window_begin,
        .at = at,
        .body_end = body_end,
        .first = predictor->next_quote,
    };
    if (!predictor->match(&try, &predictor->times, draft, end)) {
        return false;
    }
    predictor->next_quote += shape->quotes;
    return true;
}

bool predictor_match(struct predictor *predictor, const char *at, const char *body_end,
                     struct draft *draft, const char **end) {
    if (!predictor->on || predictor->shape_count == 0) {
        return false;
    }
    seek(predictor, at, body_end);
    u32 index = predictor->current;
    for (u32 i = 0; i < predictor->shape_count; i++) {
        if (likely(try_shape(predictor, index, at, body_end, draft, end))) {
            predictor->hits++;
            predictor->current = index;
            predictor->credit = MIN(predictor->credit + 1, CREDIT_MAX);
            return true;
        }
        index = index + 1 == predictor->shape_count ? 0 : index + 1;
    }
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
