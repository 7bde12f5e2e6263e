/* draft.c: one event's values, checked by their rules and stored in its row (fields.h). */
#include "event/fields.h"

#include "json/number.h"
#include "json/time.h"

#include <string.h>

void draft_begin(struct draft *draft, struct event_batch *batch, u32 row, i64 now_ms,
                 struct time_cache *times) {
    *draft = (struct draft){.batch = batch, .row = row, .now_ms = now_ms, .times = times};
}

/* --- texts -------------------------------------------------------------------------------------
 */

static const char *put_text(struct draft *draft, const struct field_rule *rule,
                            const struct json_value *value) {
    if (value->kind != JSON_STRING) {
        return rule->complaint;
    }
    usize bytes = value_bytes(value);
    if (value->escaped) {
        draft->change |= TEXT_BIT(rule->column);
    }
    if (bytes == 0 && rule->kind == FIELD_KIND_KEY) {
        draft->change &= ~TEXT_BIT(rule->column);
        return NULL;
    }
    if (bytes == 0 || bytes > rule->bytes_max) {
        return rule->complaint;
    }
    draft_set_text(draft, (enum event_text)rule->column, value->data, value->bytes);
    return NULL;
}

static char lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* "usd" is the default and as absent; another unit is kept, and its cost is not dollars. */
static const char *put_unit(struct draft *draft, const struct field_rule *rule,
                            const struct json_value *value) {
    const char *complaint = put_text(draft, rule, value);
    if (complaint != NULL) {
        return complaint;
    }
    char unit[EVENT_COST_UNIT_MAX];
    usize bytes = json_unescape(json_value_slice(value), unit, sizeof unit);
    if (bytes == 3 && lower(unit[0]) == 'u' && lower(unit[1]) == 's' && lower(unit[2]) == 'd') {
        draft->present &= ~TEXT_BIT(TEXT_COST_UNIT);
        draft->change &= ~TEXT_BIT(TEXT_COST_UNIT);
        return NULL;
    }
    for (usize i = 0; i < bytes; i++) {
        if (lower(unit[i]) != unit[i]) {
            draft->change |= TEXT_BIT(TEXT_COST_UNIT);
        }
    }
    draft->flags |= EVENT_FLAG_FOREIGN_UNIT;
    return NULL;
}

static const char *put_time(struct draft *draft, const struct field_rule *rule,
                            const struct json_value *value) {
    char plain[64];
    struct slice text = json_value_slice(value);
    if (value->kind == JSON_STRING && value->escaped) {
        text.bytes = json_unescape(text, plain, sizeof plain);
        text.data = plain;
    }
    i64 time;
    if (value->kind != JSON_STRING || (value->escaped && text.bytes > sizeof plain) ||
        !time_parse(text, &time)) {
        return rule->complaint;
    }
    if (time < EVENT_TIME_MIN) {
        return "the event's time is before 2000-01-01";
    }
    if (time > draft->now_ms + EVENT_TIME_AHEAD_MS) {
        return "the event's time is more than 24 hours ahead";
    }
    time_remember(draft->times, text);
    draft_set_number(draft, NUM_TIME, time);
    return NULL;
}

/* --- numbers -----------------------------------------------------------------------------------
 */

/* The number's text; false if the value is none. `plain` holds what had to be unescaped. */
static bool number_text(const struct field_rule *rule, const struct json_value *value,
                        char plain[64], struct slice *text) {
    *text = json_value_slice(value);
    if (value->kind == JSON_NUMBER) {
        return true;
    }
    if (value->kind != JSON_STRING || !rule->numeric_text) {
        return false;
    }
    if (value->escaped) {
        text->bytes = json_unescape(*text, plain, 64);
        text->data = plain;
        if (text->bytes > 64) {
            return false;
        }
    }
    return text->bytes > 0 && number_scan(text->data, text->data + text->bytes) == text->bytes;
}

static const char *put_scaled(struct draft *draft, const struct field_rule *rule,
                              const struct json_value *value, u32 scale,
                              enum number_rounding rounding, i64 least, i64 most) {
    char plain[64];
    struct slice text;
    i64 number;
    if (!number_text(rule, value, plain, &text) ||
        number_scale(text, scale, rounding, &number) != ERR_OK || number < least || number > most ||
        (least == 0 && number_is_negative(text))) {
        return rule->complaint;
    }
    draft_set_number(draft, (enum event_number)rule->column, number);
    return NULL;
}

/* --- objects -----------------------------------------------------------------------------------
 */

static const char *put_object(struct draft *draft, const struct field_rule *rule,
                              const struct json_value *value, usize bytes_max) {
    if (value->kind != JSON_OBJECT || value->bytes > bytes_max ||
        value->depth > EVENT_PROPERTIES_DEPTH_MAX) {
        return rule->complaint;
    }
    draft_set_text(draft, (enum event_text)rule->column, value->data, value->bytes);
    return NULL;
}

/* A walk over a meta object that has been checked as JSON. */
struct meta_walk {
    struct json_cursor cursor;
    struct json_value name;  /* of the member found last */
    struct json_value value; /* of it */
};

static struct meta_walk meta_walk(struct slice meta) {
    struct meta_walk walk = {.cursor = json_cursor(meta.data, meta.bytes, &scan_scalar)};
    return walk;
}

static bool meta_next(struct meta_walk *walk) {
    struct json_cursor *cursor = &walk->cursor;
    cursor->at++; /* the brace or the comma */
    json_space(cursor);
    if (json_peek(cursor) != '"') {
        return false;
    }
    check(json_step_name(cursor, &walk->name));
    check(json_step_value(cursor, JSON_DEPTH_MAX, &walk->value));
    json_space(cursor);
    return true;
}

static bool walk_to_link(struct meta_walk *walk) {
    while (meta_next(walk)) {
        if (walk->name.bytes == sizeof META_LINK - 1 &&
            memcmp(walk->name.data, META_LINK, sizeof META_LINK - 1) == 0) {
            return true;
        }
    }
    return false;
}

bool meta_is_link(struct slice meta) {
    if (likely(memmem(meta.data, meta.bytes, META_LINK, sizeof META_LINK - 1) == NULL)) {
        return false;
    }
    struct meta_walk walk = meta_walk(meta);
    return walk_to_link(&walk);
}

usize meta_link(struct slice meta, char out[META_LINK_MAX]) {
    struct meta_walk walk = meta_walk(meta);
    if (!walk_to_link(&walk) || walk.value.kind != JSON_STRING) {
        return 0;
    }
    usize bytes = json_unescape(json_value_slice(&walk.value), out, META_LINK_MAX);
    return bytes <= META_LINK_MAX ? bytes : 0;
}

static bool is_bare(u8 kind) {
    return kind == JSON_NUMBER || kind == JSON_TRUE || kind == JSON_FALSE;
}

/* Bytes of the normalised object: no space, no nulls, every value in quotes. *bare counts values
 * that get quotes, *keys the members; false if a value can not become a string. */
static bool meta_measure(struct slice meta, usize *bytes, u32 *keys, u32 *bare, bool *nulls) {
    struct meta_walk walk = meta_walk(meta);
    *keys = 0;
    *bare = 0;
    *bytes = 2;
    *nulls = false;
    while (meta_next(&walk)) {
        if (walk.value.kind == JSON_NULL) {
            *nulls = true;
            continue;
        }
        if (walk.value.kind != JSON_STRING && !is_bare(walk.value.kind)) {
            return false;
        }
        *bare += is_bare(walk.value.kind);
        *bytes += (usize)(*keys > 0) + walk.name.bytes + walk.value.bytes + 5;
        (*keys)++;
    }
    return true;
}

/* The end of a string that has been checked, or NULL if a backslash comes first. 8 bytes a step:
 * the lowest byte that is a quote or a backslash becomes 0 and is found as such. */
static const char *plain_string_end(const char *at) {
    const u64 ones = 0x0101010101010101;
    for (;; at += 8) {
        u64 word;
        memcpy(&word, at, sizeof word);
        u64 quote = word ^ ones * '"';
        u64 backslash = word ^ ones * '\\';
        u64 stops = ((quote - ones) & ~quote) | ((backslash - ones) & ~backslash);
        stops &= ones << 7;
        if (stops != 0) {
            at += (u32)__builtin_ctzll(stops) / 8;
            return *at == '"' ? at : NULL;
        }
    }
}

/* The members of an object of strings without escapes or space between, as most are; it is its own
 * normal form. False: it is another. *link: as meta_is_link(). */
static bool meta_count_usual(struct slice meta, u32 *keys, bool *link) {
    const char *at = meta.data;
    *keys = 0;
    *link = false;
    do {
        const char *name = at + 2; /* behind the brace or comma and the quote */
        const char *name_end = at[1] == '"' ? plain_string_end(name) : NULL;
        if (name_end == NULL || name_end[1] != ':' || name_end[2] != '"') {
            return false;
        }
        const char *end = plain_string_end(name_end + 3);
        if (end == NULL) {
            return false;
        }
        *link |= name_end - name == sizeof META_LINK - 1 &&
                 memcmp(name, META_LINK, sizeof META_LINK - 1) == 0;
        (*keys)++;
        at = end + 1;
    } while (*at == ',');
    return *at == '}';
}

static const char *put_meta(struct draft *draft, const struct field_rule *rule,
                            const struct json_value *value) {
    struct slice meta = json_value_slice(value);
    usize bytes = meta.bytes;
    u32 keys;
    u32 bare = 0;
    bool nulls = false;
    bool link;
    if (value->kind != JSON_OBJECT || value->bytes > EVENT_META_MAX) {
        return rule->complaint;
    }
    if (!meta_count_usual(meta, &keys, &link)) {
        if (!meta_measure(meta, &bytes, &keys, &bare, &nulls)) {
            return rule->complaint;
        }
        link = meta_is_link(meta);
    }
    if (keys > EVENT_META_KEYS_MAX || bytes > EVENT_META_MAX) {
        return rule->complaint;
    }
    if (bare > 0 || nulls) {
        draft->change |= TEXT_BIT(TEXT_META);
    }
    draft->flags |= link ? EVENT_FLAG_LINK : 0;
    draft_set_text(draft, TEXT_META, value->data, value->bytes);
    return NULL;
}

static const char *put_any_meta(struct draft *draft, const struct field_rule *rule,
                                const struct json_value *value) {
    const char *complaint = put_object(draft, rule, value, EVENT_META_MAX);
    if (complaint == NULL && meta_is_link(json_value_slice(value))) {
        draft->flags |= EVENT_FLAG_LINK;
    }
    return complaint;
}

/* --- by kind -----------------------------------------------------------------------------------
 */

const char *draft_put(struct draft *draft, const struct field_rule *rule,
                      const struct json_value *value) {
    switch ((enum field_kind)rule->kind) {
    case FIELD_KIND_TEXT:
    case FIELD_KIND_KEY:
        return put_text(draft, rule, value);
    case FIELD_KIND_UNIT:
        return put_unit(draft, rule, value);
    case FIELD_KIND_TIME:
        return put_time(draft, rule, value);
    case FIELD_KIND_MONEY:
        return put_scaled(draft, rule, value, 12, NUMBER_HALF_EVEN, -EVENT_MONEY_MAX,
                          EVENT_MONEY_MAX);
    case FIELD_KIND_USAGE:
        return put_scaled(draft, rule, value, 6, NUMBER_HALF_UP,
                          rule->numeric_text ? 0 : -EVENT_USAGE_MAX, EVENT_USAGE_MAX);
    case FIELD_KIND_TOKENS:
        return put_scaled(draft, rule, value, 0, NUMBER_EXACT, 0, EVENT_TOKENS_MAX);
    case FIELD_KIND_DURATION:
        return put_scaled(draft, rule, value, 0, NUMBER_HALF_UP, 0, EVENT_DURATION_MAX);
    case FIELD_KIND_PROPERTIES:
        return put_object(draft, rule, value, EVENT_PROPERTIES_MAX);
    case FIELD_KIND_META:
        return put_meta(draft, rule, value);
    case FIELD_KIND_ANY_META:
        return put_any_meta(draft, rule, value);
    case FIELD_KIND_BODY:
        return NULL;
    case FIELD_KIND_REF:
    case FIELD_KIND_OTHER:
        break;
    }
    check(rule->kind < FIELD_KIND_REF);
    return NULL;
}

static i64 number_or_0(const struct draft *draft, enum event_number number) {
    bool given = (draft->present & NUM_BIT(number)) != 0;
    return given ? draft->batch->number[number][draft->row] : 0;
}

const char *draft_check_tokens(const struct draft *draft) {
    i64 parts = number_or_0(draft, NUM_CACHED) + number_or_0(draft, NUM_CACHE_WRITE);
    return parts <= number_or_0(draft, NUM_INPUT)
               ? NULL
               : "cachedInputTokens and cacheWriteTokens together exceed inputTokens";
}

void draft_finish(struct draft *draft) {
    struct event_batch *batch = draft->batch;
    u32 row = draft->row;
    if ((draft->present & NUM_BIT(NUM_TIME)) == 0) {
        draft_set_number(draft, NUM_TIME, draft->now_ms);
        draft->flags |= EVENT_FLAG_TIME_DEFAULT;
    }
    if ((draft->present & NUM_BIT(NUM_USAGE)) == 0) {
        i64 tokens = number_or_0(draft, NUM_INPUT) + number_or_0(draft, NUM_OUTPUT);
        draft_set_number(draft, NUM_USAGE, tokens * MICRO_PER_UNIT);
    }
    batch->present[row] = draft->present;
    batch->cost_source[row] = (draft->present & NUM_BIT(NUM_COST)) != 0 ? COST_EXPLICIT : COST_NONE;
    batch->revenue_source[row] =
        (draft->present & NUM_BIT(NUM_REVENUE)) != 0 ? REVENUE_EXPLICIT : REVENUE_NONE;
    batch->flags[row] = draft->flags;
}

void draft_fill(struct event_batch *batch, u32 first, u32 count, i64 now_ms) {
    for (u32 row = first; row < first + count; row++) {
        batch->series[row] = SERIES_UNRESOLVED;
        batch->created[row] = now_ms;
    }
    memset(batch->source + first, SOURCE_SDK, count);
    memset(batch->granularity + first, GRANULARITY_EVENT, count);
}

/* --- settling ----------------------------------------------------------------------------------
 */

/* `"meta":` stands right before the object, and nobody needs it any more: its 7 bytes take the
 * quotes that up to 3 values get. */
#define META_NAME_BYTES 7
#define META_BARE_IN_PLACE (META_NAME_BYTES / 2)

static struct slice text_at(const struct event_batch *batch, u32 row, enum event_text text) {
    struct text_ref ref = batch->ref[text][row];
    return (struct slice){batch->text + ref.offset, ref.bytes};
}

usize draft_settle_bytes(const struct event_batch *batch, u32 row, u32 change) {
    if ((change & TEXT_BIT(TEXT_META)) == 0) {
        return 0;
    }
    usize bytes;
    u32 keys;
    u32 bare;
    bool nulls;
    check(meta_measure(text_at(batch, row, TEXT_META), &bytes, &keys, &bare, &nulls));
    return bare <= META_BARE_IN_PLACE ? 0 : bytes;
}

static char *put_bytes(char *to, const char *from, usize bytes) {
    memmove(to, from, bytes);
    return to + bytes;
}

/* Writes the normalised object to `to`, which may lie up to META_NAME_BYTES before the original:
 * it never catches up with what is still to be read. */
static usize meta_write(struct slice meta, char *to) {
    struct meta_walk walk = meta_walk(meta);
    char *begin = to;
    bool comma = false;
    /* The first brace is passed before it may be overwritten. */
    while (meta_next(&walk)) {
        if (walk.value.kind == JSON_NULL) {
            continue;
        }
        *to++ = comma ? ',' : '{';
        comma = true;
        *to++ = '"';
        to = put_bytes(to, walk.name.data, walk.name.bytes);
        *to++ = '"';
        *to++ = ':';
        *to++ = '"';
        to = put_bytes(to, walk.value.data, walk.value.bytes);
        *to++ = '"';
    }
    if (!comma) {
        *to++ = '{';
    }
    *to++ = '}';
    return (usize)(to - begin);
}

static void settle_meta(struct event_batch *batch, u32 row) {
    struct text_ref *ref = &batch->ref[TEXT_META][row];
    struct slice meta = text_at(batch, row, TEXT_META);
    usize bytes = draft_settle_bytes(batch, row, TEXT_BIT(TEXT_META));
    if (bytes == 0) {
        u32 offset = ref->offset - META_NAME_BYTES;
        *ref = (struct text_ref){offset, (u32)meta_write(meta, batch->text + offset)};
        return;
    }
    u32 offset = batch->text_bytes;
    check(bytes <= batch->text_bytes_max - offset);
    check(meta_write(meta, batch->text + offset) == bytes);
    batch->text_bytes += (u32)bytes;
    *ref = (struct text_ref){offset, (u32)bytes};
}

void draft_settle(struct event_batch *batch, u32 row, u32 change) {
    for (; change != 0; change &= change - 1) {
        u32 column = (u32)__builtin_ctz(change);
        struct text_ref *ref = &batch->ref[column][row];
        char *text = batch->text + ref->offset;
        if (column == TEXT_META) {
            settle_meta(batch, row);
            continue;
        }
        struct slice escaped = {text, ref->bytes};
        ref->bytes = (u32)json_unescape(escaped, text, ref->bytes);
        for (u32 i = 0; column == TEXT_COST_UNIT && i < ref->bytes; i++) {
            text[i] = lower(text[i]);
        }
    }
}
