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
    const char *literal;     /* where the literal under way begins */
    struct shape_step value; /* the value before it: a step that lacks its literal */
    u32 seen;                /* fields */
};

/* The literal under way ends here: cut into pieces, each with room for a byte behind it. */
static bool close_literal(struct learner *learner, const char *end) {
    struct shape *shape = learner->shape;
    for (const char *at = learner->literal; at < end; at += SHAPE_PIECE - 1) {
        if (shape->step_count == SHAPE_STEPS_MAX) {
            return false;
        }
        struct shape_step *step = &shape->step[shape->step_count++];
        *step = learner->value;
        learner->value = (struct shape_step){.kind = SHAPE_NOTHING};
        step->bytes = (u8)MIN(end - at, SHAPE_PIECE - 1);
        memcpy(step->literal, at, step->bytes);
        memset(step->mask, 0xff, step->bytes);
    }
    return true;
}

/* The value that the next literal follows. */
static void open_literal(struct learner *learner, const struct json_value *value,
                         struct shape_step step) {
    step.usual = value->bytes;
    learner->value = step;
    learner->literal = value->data + value->bytes;
}

static bool add_string(struct learner *learner, u32 field, const struct json_value *value) {
    struct shape *shape = learner->shape;
    struct shape_step step = {.kind = SHAPE_STRING};
    if (field != FIELD_UNKNOWN) {
        const struct field_rule *rule = &field_rules[field];
        if (rule->kind == FIELD_KIND_TIME) {
            step.kind = SHAPE_TIME;
            shape->has_time = true;
            shape->present |= NUM_BIT(NUM_TIME);
        } else if (rule->kind == FIELD_KIND_UNIT) {
            step.kind = SHAPE_UNIT;
        } else {
            step.kind = SHAPE_TEXT;
            step.bytes_max = rule->bytes_max;
            step.cell = (u32)(offsetof(struct event_batch, ref) +
                              rule->column * sizeof(struct text_ref) * EVENT_BATCH_STRIDE);
            shape->present |= TEXT_BIT(rule->column);
        }
    }
    bool good = close_literal(learner, value->data);
    open_literal(learner, value, step);
    return good;
}

/* Behind the last literal comes a digit, or else a minus sign: nothing else goes for a number, and
 * no other literal fits where this one does. */
static void add_class(struct shape *shape, char first) {
    struct shape_step *step = &shape->step[shape->step_count - 1];
    step->mask[step->bytes] = first == '-' ? 0xff : 0xf0;
    step->literal[step->bytes] = (char)(first & step->mask[step->bytes]);
}

static bool add_number(struct learner *learner, u32 field, const struct json_value *value) {
    struct shape *shape = learner->shape;
    struct shape_step step = {.kind = SHAPE_NUMBER};
    if (field != FIELD_UNKNOWN) {
        u8 column = field_rules[field].column;
        u8 kind = field_rules[field].kind;
        bool money = kind == FIELD_KIND_MONEY;
        step.kind = money || kind == FIELD_KIND_USAGE ? SHAPE_DECIMAL : SHAPE_WHOLE;
        step.scale = money ? 12 : 6;
        step.most = money ? EVENT_MONEY_MAX : EVENT_USAGE_MAX;
        step.field = (u8)field;
        step.cell =
            (u32)(offsetof(struct event_batch, number) + column * sizeof(i64) * EVENT_BATCH_STRIDE);
        shape->present |= NUM_BIT(column);
        shape->check_parts |= column == NUM_CACHED || column == NUM_CACHE_WRITE;
    }
    if (!close_literal(learner, value->data)) {
        return false;
    }
    add_class(shape, value->data[0]);
    open_literal(learner, value, step);
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
    struct shape_span span = {
        .from_step = (u16)shape->step_count,
        .from_after = (u16)(from - learner->literal),
        .bytes_max = rule->kind == FIELD_KIND_META ? EVENT_META_MAX : EVENT_PROPERTIES_MAX,
        .column = rule->column,
    };
    if (!learn_inside(learner, false, levels) || shape->span_count == SHAPE_SPANS_MAX) {
        return false;
    }
    const char *to = learner->cursor.at;
    span.to_step = (u16)shape->step_count;
    span.to_after = (u16)(to - learner->literal);
    shape->span[shape->span_count++] = span;
    if (field == FIELD_META && meta_is_link((struct slice){from, (usize)(to - from)})) {
        shape->flags |= EVENT_FLAG_LINK;
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
        .literal = event.data,
    };
    if (!learn_inside(&learner, true, SHAPE_NESTING_MAX) ||
        !close_literal(&learner, learner.cursor.at)) {
        return false;
    }
    shape->add_usage = (shape->present & NUM_BIT(NUM_USAGE)) == 0;
    shape->flags |= shape->has_time ? 0 : EVENT_FLAG_TIME_DEFAULT;
    shape->cost_source = (shape->present & NUM_BIT(NUM_COST)) != 0 ? COST_EXPLICIT : COST_NONE;
    shape->revenue_source =
        (shape->present & NUM_BIT(NUM_REVENUE)) != 0 ? REVENUE_EXPLICIT : REVENUE_NONE;
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
    predictor->shape_count = 0;
    predictor->current = 0;
    predictor->replace = 0;
    predictor->credit = CREDIT_MAX;
    predictor->trust = TRUST_MAX;
    predictor->rest = 0;
    predictor->hits = 0;
    predictor->misses = 0;
}

void predictor_restart(struct predictor *predictor, const char *body_end) {
    predictor->body_end = body_end;
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
    if (unlikely(!predictor->match(predictor, at, draft, end))) {
        note_failure(predictor);
        return false;
    }
    predictor->hits++;
    predictor->credit = MIN(predictor->credit + 1, CREDIT_MAX);
    predictor->trust = MIN(predictor->trust + TRUST_A_MATCH, TRUST_MAX);
    return true;
}

/* --- keeping -----------------------------------------------------------------------------------
 */

/* How many steps two shapes have in common from the start. */
static u32 count_common(const struct shape *a, const struct shape *b) {
    u32 count = 0;
    while (count < MIN(a->step_count, b->step_count) &&
           a->step[count].bytes == b->step[count].bytes &&
           memcmp(a->step[count].literal, b->step[count].literal, SHAPE_PIECE) == 0 &&
           memcmp(a->step[count].mask, b->step[count].mask, SHAPE_PIECE) == 0) {
        count++;
    }
    return count;
}

/* Forgets that a shape was an alternative to others. */
static void unlink_shape(struct predictor *predictor, u32 index) {
    for (u32 i = 0; i < predictor->shape_count; i++) {
        for (u32 k = 0; k < predictor->shape[i].step_count; k++) {
            predictor->shape[i].step[k].others &= (u16) ~(1u << index);
        }
    }
}

/* Enters where the shape parts from each of the others. */
static void link_shape(struct predictor *predictor, u32 index) {
    struct shape *shape = &predictor->shape[index];
    for (u32 i = 0; i < predictor->shape_count; i++) {
        struct shape *other = &predictor->shape[i];
        if (i != index) {
            u32 common = count_common(shape, other);
            shape->step[common].others |= (u16)(1u << i);
            other->step[common].others |= (u16)(1u << index);
        }
    }
}

/* Whether one of the shapes would have matched, but for a value. */
static bool is_known(const struct predictor *predictor, const struct shape *shape) {
    for (u32 i = 0; i < predictor->shape_count; i++) {
        const struct shape *other = &predictor->shape[i];
        if (count_common(shape, other) == MIN(shape->step_count, other->step_count)) {
            return true;
        }
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
    if (!shape_learn(&predictor->learned, event, table) ||
        is_known(predictor, &predictor->learned)) {
        return;
    }
    bool room = predictor->shape_count < SHAPES_MAX;
    u32 index = room ? predictor->shape_count : predictor->replace;
    unlink_shape(predictor, index);
    predictor->shape[index] = predictor->learned;
    predictor->shape_count += room;
    link_shape(predictor, index);
    predictor->current = index;
    predictor->replace = (index + 1) % SHAPES_MAX;
}
