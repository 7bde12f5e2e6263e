/* fields.c: the tables of members, and finding and reading them (fields.h). */
#include "event/fields.h"

#include "base/hash.h"

#include <string.h>

#define DIGITS_OF(limit) #limit
#define DIGITS(limit) DIGITS_OF(limit)
#define TEXT_RULE(name, kind, column, max)                                                         \
    { name, kind, column, max, false, name " must be a string of 1 to " DIGITS(max) " bytes" }
#define TOKENS_RULE(name, column)                                                                  \
    { name, FIELD_KIND_TOKENS, column, 0, false, name " must be a whole number from 0 to 2^40" }
#define MONEY_RULE(name, column, numeric_text)                                                     \
    {                                                                                              \
        name, FIELD_KIND_MONEY, column, 0, numeric_text,                                           \
            name " must be a number of dollars of at most 9000000 either way"                      \
    }
#define USAGE_COMPLAINT " must be a number of at most 9.2e12 either way"

const struct field_rule field_rules[INGEST_FIELDS] = {
    [FIELD_EVENT_NAME] = TEXT_RULE("eventName", FIELD_KIND_TEXT, TEXT_EVENT_NAME, EVENT_NAME_MAX),
    [FIELD_CUSTOMER] =
        TEXT_RULE("customerReferenceId", FIELD_KIND_TEXT, TEXT_CUSTOMER, EVENT_CUSTOMER_MAX),
    [FIELD_FEATURE] = TEXT_RULE("featureKey", FIELD_KIND_TEXT, TEXT_FEATURE, EVENT_FEATURE_MAX),
    [FIELD_TIMESTAMP] = {"timestamp", FIELD_KIND_TIME, NUM_TIME, 0, false,
                         "timestamp must be an RFC 3339 time"},
    [FIELD_COST] = MONEY_RULE("costAmount", NUM_COST, false),
    [FIELD_COST_UNIT] = TEXT_RULE("costUnit", FIELD_KIND_UNIT, TEXT_COST_UNIT, EVENT_COST_UNIT_MAX),
    [FIELD_REVENUE] = MONEY_RULE("revenueAmount", NUM_REVENUE, false),
    [FIELD_USAGE] = {"usageUnits", FIELD_KIND_USAGE, NUM_USAGE, 0, false,
                     "usageUnits" USAGE_COMPLAINT},
    [FIELD_MODEL] = TEXT_RULE("model", FIELD_KIND_TEXT, TEXT_MODEL, EVENT_MODEL_MAX),
    [FIELD_PROVIDER] =
        TEXT_RULE("modelProvider", FIELD_KIND_TEXT, TEXT_PROVIDER, EVENT_PROVIDER_MAX),
    [FIELD_INPUT] = TOKENS_RULE("inputTokens", NUM_INPUT),
    [FIELD_OUTPUT] = TOKENS_RULE("outputTokens", NUM_OUTPUT),
    [FIELD_CACHED] = TOKENS_RULE("cachedInputTokens", NUM_CACHED),
    [FIELD_CACHE_WRITE] = TOKENS_RULE("cacheWriteTokens", NUM_CACHE_WRITE),
    [FIELD_REASONING] = TOKENS_RULE("reasoningTokens", NUM_REASONING),
    [FIELD_PROPERTIES] = {"properties", FIELD_KIND_PROPERTIES, TEXT_PROPERTIES, 0, false,
                          "properties must be an object of at most 32 KiB, nested 16 levels deep"},
    [FIELD_META] = {"meta", FIELD_KIND_META, TEXT_META, 0, false,
                    "meta must be an object of at most 64 strings and 8 KiB"},
    [FIELD_KEY] = TEXT_RULE("idempotencyKey", FIELD_KIND_KEY, TEXT_KEY, EVENT_KEY_MAX),
    [FIELD_TRACE] = TEXT_RULE("traceId", FIELD_KIND_TEXT, TEXT_TRACE, EVENT_TRACE_MAX),
    [FIELD_SPAN] = TEXT_RULE("spanId", FIELD_KIND_TEXT, TEXT_SPAN, EVENT_TRACE_MAX),
    [FIELD_PARENT] = TEXT_RULE("parentSpanId", FIELD_KIND_TEXT, TEXT_PARENT, EVENT_TRACE_MAX),
    [FIELD_AGENT] = TEXT_RULE("agentId", FIELD_KIND_TEXT, TEXT_AGENT, EVENT_AGENT_MAX),
    [FIELD_DURATION] = {"durationMs", FIELD_KIND_DURATION, NUM_DURATION, 0, false,
                        "durationMs must be a number of milliseconds from 0 to 2^40"},
    [FIELD_COST_TYPE] = TEXT_RULE("costType", FIELD_KIND_TEXT, TEXT_COST_TYPE, EVENT_COST_TYPE_MAX),
    [FIELD_REQUEST_BODY] = {"requestBody", FIELD_KIND_BODY, TEXT_REFS, 0, false, "requestBody"},
    [FIELD_RESPONSE_BODY] = {"responseBody", FIELD_KIND_BODY, TEXT_REFS, 0, false, "responseBody"},
};

#define REF_RULE(name) TEXT_RULE(name, FIELD_KIND_REF, TEXT_REFS, EVENT_CUSTOMER_MAX)

const struct field_rule client_rules[CLIENT_FIELDS] = {
    [CLIENT_EVENT_NAME] = TEXT_RULE("eventName", FIELD_KIND_TEXT, TEXT_EVENT_NAME, EVENT_NAME_MAX),
    [CLIENT_KEY] = TEXT_RULE("eventIdempotencyKey", FIELD_KIND_KEY, TEXT_KEY, EVENT_KEY_MAX),
    [CLIENT_OCCURRED] = {"occurredAt", FIELD_KIND_TIME, NUM_TIME, 0, false,
                         "occurredAt must be an RFC 3339 time"},
    [CLIENT_FEATURE_ID] = TEXT_RULE("featureId", FIELD_KIND_REF, TEXT_REFS, EVENT_FEATURE_MAX),
    [CLIENT_FEATURE_KEY] = TEXT_RULE("featureKey", FIELD_KIND_REF, TEXT_REFS, EVENT_FEATURE_MAX),
    [CLIENT_CUSTOMER_ID] = REF_RULE("customerId"),
    [CLIENT_STRIPE_CUSTOMER] = REF_RULE("stripeCustomerId"),
    [CLIENT_CUSTOMER_REFERENCE] = REF_RULE("customerReferenceId"),
    [CLIENT_SUBSCRIPTION] = REF_RULE("subscriptionId"),
    [CLIENT_ENTITLEMENT] = REF_RULE("entitlementId"),
    [CLIENT_INVOICE] = REF_RULE("invoiceId"),
    [CLIENT_FLOW] = TEXT_RULE("flowId", FIELD_KIND_TEXT, TEXT_TRACE, EVENT_TRACE_MAX),
    [CLIENT_USAGE] = {"usageUnits", FIELD_KIND_USAGE, NUM_USAGE, 0, true,
                      "usageUnits must be a number from 0 to 9.2e12"},
    [CLIENT_COST] = MONEY_RULE("costAmount", NUM_COST, true),
    [CLIENT_REVENUE] = MONEY_RULE("revenueAmount", NUM_REVENUE, true),
    [CLIENT_META] = {"meta", FIELD_KIND_ANY_META, TEXT_META, 0, false,
                     "meta must be an object of at most 8 KiB, nested 16 levels deep"},
    [CLIENT_COST_INPUT] = {"costInput", FIELD_KIND_OTHER, 0, 0, false,
                           "costInput must be an object"},
    [COST_INPUT_MODEL] = TEXT_RULE("model", FIELD_KIND_TEXT, TEXT_MODEL, EVENT_MODEL_MAX),
    [COST_INPUT_PROVIDER] =
        TEXT_RULE("modelProvider", FIELD_KIND_TEXT, TEXT_PROVIDER, EVENT_PROVIDER_MAX),
    [COST_INPUT_INPUT] = TOKENS_RULE("inputTokens", NUM_INPUT),
    [COST_INPUT_OUTPUT] = TOKENS_RULE("outputTokens", NUM_OUTPUT),
    [COST_INPUT_CACHED] = TOKENS_RULE("cachedInputTokens", NUM_CACHED),
    [COST_INPUT_CACHE_WRITE] = TOKENS_RULE("cacheWriteTokens", NUM_CACHE_WRITE),
    [COST_INPUT_REASONING] = TOKENS_RULE("reasoningTokens", NUM_REASONING),
    [COST_INPUT_UNITS] = {"costUnits", FIELD_KIND_OTHER, NUM_INPUT, 0, true,
                          "costUnits must be a number from 0 to 2^40"},
};

/* --- names to members --------------------------------------------------------------------------
 */

/* A name that is too short gives what is no name's. */
static inline u32 name_slot(u64 multiplier, const char *name, usize bytes) {
    u32 first;
    u16 last;
    memcpy(&first, name, sizeof first);
    memcpy(&last, name + bytes - sizeof last, sizeof last);
    u64 key = ((u64)last << 32 | first) + bytes;
    return (u32)((key * multiplier) >> (64 - FIELD_TABLE_BITS));
}

/* Puts all names in; false if two want one slot. */
static bool try_names(struct field_table *table, u32 first, u32 count) {
    for (u32 i = 0; i < ARRAY_COUNT(table->slot); i++) {
        table->slot[i] = (struct field_name){.index = FIELD_UNKNOWN};
    }
    for (u32 i = first; i < first + count; i++) {
        const char *text = table->rules[i].name;
        struct field_name name = {.bytes = (u32)strlen(text), .index = i};
        check(name.bytes >= FIELD_NAME_MIN && name.bytes <= FIELD_NAME_MAX);
        memcpy(name.word, text, name.bytes);
        memset(name.mask, 0xff, name.bytes);
        u32 slot = name_slot(table->multiplier, text, name.bytes);
        if (table->slot[slot].bytes != 0) {
            return false;
        }
        table->slot[slot] = name;
    }
    return true;
}

void field_table_init(struct field_table *table, const struct field_rule *rules, u32 first,
                      u32 count) {
    table->rules = rules;
    table->multiplier = 1;
    do {
        table->multiplier *= 0x9e3779b97f4a7c15u;
        check(table->multiplier != 1);
    } while (!try_names(table, first, count));
}

/* Not 0 if the name's word number `i` is another. */
static inline u64 name_differs(const struct field_name *name, const char *text, usize i) {
    u64 word;
    memcpy(&word, text + sizeof word * i, sizeof word);
    return (word ^ name->word[i]) & name->mask[i];
}
_Static_assert(FIELD_NAME_MAX == 24, "a name is three words");

static inline u32 find_name(const struct field_table *table, struct slice text) {
    const struct field_name *name =
        &table->slot[name_slot(table->multiplier, text.data, text.bytes)];
    u64 different = (text.bytes ^ name->bytes) | name_differs(name, text.data, 0) |
                    name_differs(name, text.data, 1) | name_differs(name, text.data, 2);
    /* Without a branch: which names come nobody can guess. */
    return name->index | (-(u32)(different != 0) & FIELD_UNKNOWN);
}
_Static_assert(((FIELD_UNKNOWN + 1) & FIELD_UNKNOWN) == 0, "all bits of a member's index");
u32 field_find(const struct field_table *table, struct slice name) {
    return find_name(table, name);
}

/* As field_find, for a name with escapes. */
static __attribute__((noinline)) u32 find_escaped(const struct field_table *table,
                                                  struct slice name) {
    char plain[2 + FIELD_NAME_MAX] = "";
    usize bytes = json_unescape(name, plain + 2, FIELD_NAME_MAX);
    return bytes > FIELD_NAME_MAX ? FIELD_UNKNOWN
                                  : field_find(table, (struct slice){plain + 2, bytes});
}

/* One `"name": value`. */
static bool read_member(struct json_cursor *cursor, const struct field_table *table, u32 depth_room,
                        struct members *members) {
    struct json_value name;
    cursor->lone_surrogate = false;
    if (!json_step_name(cursor, &name)) {
        return false;
    }
    members->unknown_lone |= cursor->lone_surrogate;
    cursor->lone_surrogate = false;

    u32 field = name.escaped ? find_escaped(table, json_value_slice(&name))
                             : find_name(table, json_value_slice(&name));
    struct json_value *value = &members->value[field];
    if (!json_step_value(cursor, depth_room, value)) {
        return false;
    }
    if (field == FIELD_UNKNOWN) {
        members->unknown_lone |= cursor->lone_surrogate;
        return true;
    }
    u32 bit = (u32)1 << field;
    members->given = value->kind == JSON_NULL ? members->given & ~bit : members->given | bit;
    members->lone = cursor->lone_surrogate ? members->lone | bit : members->lone & ~bit;
    return true;
}

bool members_read(struct json_cursor *cursor, const struct field_table *table, u32 depth_room,
                  struct members *members) {
    check(json_peek(cursor) == '{');
    cursor->at++;
    json_space(cursor);
    if (json_take(cursor, '}')) {
        return true;
    }
    for (;;) {
        if (!read_member(cursor, table, depth_room, members)) {
            return false;
        }
        json_space(cursor);
        if (json_take(cursor, '}')) {
            return true;
        }
        if (!json_take(cursor, ',')) {
            return json_fail(cursor, cursor->at, "expected ',' or '}' after a member");
        }
        json_space(cursor);
    }
}

/* The object at the place, and where it ends. */
static struct json_place walk_members(const struct json_index *index, struct json_place place,
                                      const struct field_table *table, u32 depth_room,
                                      struct members *members) {
    u32 given = members->given;
    place.at = json_index_space(index, place.at + 1);
    bool more = *place.at != '}';
    while (more) {
        struct slice name;
        bool escaped;
        place = json_index_name(index, place, &name, &escaped);
        if (unlikely(place.at == NULL)) {
            return place;
        }
        u32 field = unlikely(escaped) ? find_escaped(table, name) : find_name(table, name);
        struct json_value *value = &members->value[field];
        place = json_index_value(index, place, depth_room, value);
        if (unlikely(place.at == NULL)) {
            return place;
        }
        u32 bit = (u32)1 << field;
        given |= bit;
        if (unlikely(value->kind == JSON_NULL)) {
            given ^= bit;
        }
        more = *place.at == ',';
        if (unlikely(!more)) {
            place.at = json_index_space(index, place.at);
            more = *place.at == ',';
        }
        place.at += more;
    }
    members->given = given & ~((u32)1 << FIELD_UNKNOWN);
    bool good = *place.at == '}' && place.at < index->end;
    place.at = good ? place.at + 1 : NULL;
    return place;
}

const char *members_read_index(struct json_index *index, const char *at,
                               const struct field_table *table, u32 depth_room,
                               struct members *members) {
    u32 given = members->given;
    struct json_place place = json_index_seek(index, at, index->usual);
    struct json_place end = walk_members(index, place, table, depth_room, members);
    /* Where much of a window was left it is hardly that: each small event that is in doubt would
     * have a whole one listed for itself. */
    bool is_small = index->end != index->text_end && index->end < at + SCAN_WINDOW_MAX / 2;
    if (unlikely(end.at == NULL && is_small)) {
        members->given = given;
        place = json_index_seek(index, at, SCAN_WINDOW_MAX);
        end = walk_members(index, place, table, depth_room, members);
    }
    if (unlikely(end.at == NULL)) {
        members->given = given;
        return NULL;
    }
    index->next = end.quote;
    index->usual = MIN((usize)(end.at - at) * 5 / 4, SCAN_WINDOW_MAX);
    return end.at;
}
