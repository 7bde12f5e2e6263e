/*
 * fields.h: what an event may say: the members of the two request bodies, their rules, and how a
 * member's value becomes a cell of the batch. Values are checked and stored here, one by one; which
 * member comes when and what is missing is the caller's business (decode.c, client.c, shape.c).
 *
 * The bytes of the body are only looked at. Where a text has to be changed (unescaped, lower-cased,
 * normalised) its column is noted in draft.change, and draft_settle() changes it once the whole
 * body is known to be good.
 */
#ifndef MARGIN_EVENT_FIELDS_H
#define MARGIN_EVENT_FIELDS_H

#include "event.h"
#include "json/index.h"
#include "json/number.h"
#include "json/time.h"

/* Members of an ingest event, in the order in which violations are reported. */
enum field {
    FIELD_EVENT_NAME,
    FIELD_CUSTOMER,
    FIELD_FEATURE,
    FIELDS_REQUIRED, /* the ones above */
    FIELD_TIMESTAMP = FIELDS_REQUIRED,
    FIELD_COST,
    FIELD_COST_UNIT,
    FIELD_REVENUE,
    FIELD_USAGE,
    FIELD_MODEL,
    FIELD_PROVIDER,
    FIELD_INPUT,
    FIELD_OUTPUT,
    FIELD_CACHED,
    FIELD_CACHE_WRITE,
    FIELD_REASONING,
    FIELD_PROPERTIES,
    FIELD_META,
    FIELD_KEY,
    FIELD_TRACE,
    FIELD_SPAN,
    FIELD_PARENT,
    FIELD_AGENT,
    FIELD_DURATION,
    FIELD_COST_TYPE,
    FIELDS_ALWAYS, /* the ones above; the rest are unknown members unless bodies are captured */
    FIELD_REQUEST_BODY = FIELDS_ALWAYS,
    FIELD_RESPONSE_BODY,
    INGEST_FIELDS
};

/* Members of a single event (Observe 3), likewise; those of costInput are among them. */
enum client_field {
    CLIENT_EVENT_NAME,
    CLIENT_KEY,
    CLIENT_OCCURRED,
    CLIENT_FEATURE_ID,
    CLIENT_FEATURE_KEY,
    CLIENT_CUSTOMER_ID,
    CLIENT_STRIPE_CUSTOMER,
    CLIENT_CUSTOMER_REFERENCE,
    CLIENT_SUBSCRIPTION,
    CLIENT_ENTITLEMENT,
    CLIENT_INVOICE,
    CLIENT_FLOW,
    CLIENT_USAGE,
    CLIENT_COST,
    CLIENT_REVENUE,
    CLIENT_META,
    CLIENT_COST_INPUT,
    CLIENT_FIELDS_TOP,
    COST_INPUT_MODEL = CLIENT_FIELDS_TOP,
    COST_INPUT_PROVIDER,
    COST_INPUT_INPUT,
    COST_INPUT_OUTPUT,
    COST_INPUT_CACHED,
    COST_INPUT_CACHE_WRITE,
    COST_INPUT_REASONING,
    COST_INPUT_UNITS,
    CLIENT_FIELDS
};

enum field_kind {
    FIELD_KIND_TEXT,       /* a string of 1..bytes_max bytes */
    FIELD_KIND_KEY,        /* the same, but "" is as absent */
    FIELD_KIND_UNIT,       /* a cost unit */
    FIELD_KIND_TIME,       /* RFC 3339 */
    FIELD_KIND_MONEY,      /* dollars */
    FIELD_KIND_USAGE,      /* units */
    FIELD_KIND_TOKENS,     /* a whole number */
    FIELD_KIND_DURATION,   /* milliseconds */
    FIELD_KIND_PROPERTIES, /* any object */
    FIELD_KIND_META,       /* an object of strings, or of what becomes strings */
    FIELD_KIND_ANY_META,   /* any object, within the size of meta */
    FIELD_KIND_BODY,       /* any value; kept by event/bodies.c */
    FIELD_KIND_REF,        /* a Platform id: a string that the caller uses */
    FIELD_KIND_OTHER       /* the caller's business */
};

struct field_rule {
    const char *name;
    u8 kind;               /* enum field_kind */
    u8 column;             /* enum event_text or event_number */
    u16 bytes_max;         /* of a text */
    bool numeric_text;     /* a number may come as a string */
    const char *complaint; /* names the member; static */
};

extern const struct field_rule field_rules[INGEST_FIELDS];
extern const struct field_rule client_rules[CLIENT_FIELDS];

/* Finds a member's index by its name: a perfect hash of the name's first 4 and last 2 bytes and its
 * length, and one comparison. */
#define FIELD_NAME_MIN 4
#define FIELD_NAME_MAX 24
#define FIELD_TABLE_BITS 6
struct field_table {
    const struct field_rule *rules;
    u64 multiplier; /* one that leads no two names to the same slot */
    struct field_name {
        _Alignas(64) u64 word[FIELD_NAME_MAX / 8];
        u64 mask[FIELD_NAME_MAX / 8]; /* ones where the name has bytes */
        u32 bytes;
        u32 index; /* into rules */
    } slot[1 << FIELD_TABLE_BITS];
};
#define FIELD_UNKNOWN 31u /* of 32 members the one that nobody knows */

void field_table_init(struct field_table *table, const struct field_rule *rules, u32 first,
                      u32 count);
/* 2 bytes before the name, and FIELD_NAME_MAX from its begin on are readable. */
u32 field_find(const struct field_table *table, struct slice name);

/* The members of one object. */
struct members {
    struct json_value value[32];
    u32 given;         /* bit f: value[f] is there and not null */
    u32 lone;          /* bit f: a string in it has a lone surrogate */
    bool unknown_lone; /* so has a name or an unknown member */
};
_Static_assert(INGEST_FIELDS <= FIELD_UNKNOWN && CLIENT_FIELDS <= FIELD_UNKNOWN,
               "a member is a bit of a u32");

static inline void members_begin(struct members *members) {
    members->given = 0;
    members->lone = 0;
    members->unknown_lone = false;
}

/* Reads the object at the cursor; of a repeated member the last one stays. False: not JSON. The
 * members found so far are kept, so that two objects can fill one set. */
bool members_read(struct json_cursor *cursor, const struct field_table *table, u32 depth_room,
                  struct members *members);
/* The same for the object at `at`, by the list of quotes: its end, or NULL, and then members_read
 * must decide. */
const char *members_read_index(struct json_index *index, const char *at,
                               const struct field_table *table, u32 depth_room,
                               struct members *members);

/* An event on its way into row `row`. */
struct draft {
    struct event_batch *batch;
    u32 row;
    u32 present;
    u32 change; /* TEXT_BIT of columns that draft_settle() has work for */
    u8 flags;
    i64 now_ms;
    struct time_cache *times;
};

void draft_begin(struct draft *draft, struct event_batch *batch, u32 row, i64 now_ms,
                 struct time_cache *times);

/* Stores a member's value by its rule. Returns NULL or the complaint. */
const char *draft_put(struct draft *draft, const struct field_rule *rule,
                      const struct json_value *value);

/* cachedInputTokens and cacheWriteTokens are parts of inputTokens. NULL or the complaint. */
const char *draft_check_tokens(const struct draft *draft);

/* Fills in what has a default, and the row's columns that depend on the event. */
void draft_finish(struct draft *draft);
/* Fills the columns that are the same for all events of a request. */
void draft_fill(struct event_batch *batch, u32 first, u32 count, i64 now_ms);

static inline void draft_set_number(struct draft *draft, enum event_number number, i64 value) {
    draft->batch->number[number][draft->row] = value;
    draft->present |= NUM_BIT(number);
}

static inline void draft_set_text(struct draft *draft, enum event_text text, const char *data,
                                  usize bytes) {
    draft->batch->ref[text][draft->row] =
        (struct text_ref){(u32)(data - draft->batch->text), (u32)bytes};
    draft->present |= TEXT_BIT(text);
}

/* As draft_put(), with the usual values stored on the spot. As long as the body's padding is
 * readable behind it, a short number may be loaded in whole words. */
static inline const char *draft_put_usual(struct draft *draft, const struct field_rule *rule,
                                          const struct json_value *value) {
    bool plain = value->kind == JSON_STRING && !value->escaped;
    i64 number;
    bool good = false;
    switch ((enum field_kind)rule->kind) {
    case FIELD_KIND_TEXT:
    case FIELD_KIND_KEY:
        if (likely(plain && value->bytes - 1 < rule->bytes_max)) {
            draft_set_text(draft, (enum event_text)rule->column, value->data, value->bytes);
            return NULL;
        }
        break;
    case FIELD_KIND_TIME:
        good = plain && value->bytes == 24 &&
               time_parse_cached(draft->times, value->data, &number) && number >= EVENT_TIME_MIN &&
               number <= draft->now_ms + EVENT_TIME_AHEAD_MS;
        break;
    case FIELD_KIND_TOKENS:
    case FIELD_KIND_DURATION:
        good = value->kind == JSON_NUMBER && value->bytes <= 8 &&
               number_whole8(value->data, value->bytes, &number);
        break;
    case FIELD_KIND_MONEY:
        good = value->kind == JSON_NUMBER &&
               number_scale_short(value->data, value->bytes, 12, &number) &&
               number <= EVENT_MONEY_MAX;
        break;
    case FIELD_KIND_USAGE:
        good = value->kind == JSON_NUMBER &&
               number_scale_short(value->data, value->bytes, 6, &number) &&
               number <= EVENT_USAGE_MAX;
        break;
    default:
        break;
    }
    if (unlikely(!good)) {
        return draft_put(draft, rule, value);
    }
    draft_set_number(draft, (enum event_number)rule->column, number);
    return NULL;
}

/* Bytes of free text that draft_settle() would need for these columns of a row. */
usize draft_settle_bytes(const struct event_batch *batch, u32 row, u32 change);
/* Unescapes, lower-cases and normalises the columns noted in `change`. */
void draft_settle(struct event_batch *batch, u32 row, u32 change);

/* Whether a meta object, checked as JSON, has a member `stripe_customer_id`: EVENT_FLAG_LINK. A
 * name with escapes in it is another. */
#define META_LINK "stripe_customer_id"
bool meta_is_link(struct slice meta);
/* What it says, if it is a string of 1 to META_LINK_MAX bytes, unescaped into `out`; else 0. */
#define META_LINK_MAX 255
usize meta_link(struct slice meta, char out[META_LINK_MAX]);

/* Bytes of a string once it is unescaped. */
static inline usize value_bytes(const struct json_value *value) {
    return likely(!value->escaped) ? value->bytes : json_unescape(json_value_slice(value), NULL, 0);
}

#endif
