/*
 * table.h: the price table as its own files see it. Everything is computed once, at load: absent
 * prices are replaced by what stands for them, and each combination of period, time of day and
 * tier has its rates ready, so that costing an event is a choice and five multiplications.
 */
#ifndef MARGIN_PRICE_TABLE_H
#define MARGIN_PRICE_TABLE_H

#include "price/price.h"

#define PRICE_NAME_MAX 255 /* bytes of a provider, model or alias; longer names match nothing */
#define PRICE_ENTRIES_MAX 65536
#define PRICE_PROVIDERS_MAX 256
#define PRICE_FALLBACKS_MAX 8
#define PRICE_NO_PROVIDER UINT32_MAX

/* What one token costs, in picodollars, and one request. All are known: absent ones have been
 * replaced by the input or output price. */
struct price_rates {
    i64 input;
    i64 output;
    i64 cached;
    i64 cache_write;
    i64 reasoning;
    i64 request_fee;
};

struct price_hours { /* minutes since midnight UTC; past midnight where from > to */
    u32 from;
    u32 to; /* exclusive */
};

/* Prices from a date on. Its rates are a matrix: row 0 outside all hours, row h within hours h - 1;
 * column 0 below all tiers, column t above tier t - 1. */
struct price_period {
    i64 from_ms; /* INT64_MIN: since ever */
    u32 rates;   /* index of rates[row 0][column 0]; columns are adjacent */
    u32 tiers;   /* index of the first tier's bound, ascending */
    u32 tier_count;
    u32 hours;
    u32 hour_count;
};

struct price_entry {
    struct price_listing listing;
    u32 periods;
    u32 period_count;
    bool flat; /* one period without tiers and hours: always the first rates */
};

enum provider_kind { PROVIDER_PLAIN, PROVIDER_BEDROCK, PROVIDER_OPENROUTER };

struct price_provider {
    struct slice name;
    enum provider_kind kind;
    u32 fallback[PRICE_FALLBACKS_MAX];
    u32 fallback_count;
    u32 prefixes; /* its prefix aliases in table->prefixes, longest first */
    u32 prefix_count;
};

/* A lower-case name and what it stands for: an entry (names, prefixes), or a provider. */
struct price_name {
    struct slice text;
    u32 provider;
    u32 entry;
};

struct price_table {
    char *text; /* all names */
    struct price_provider *providers;
    struct price_name *provider_names; /* names and aliases of providers */
    struct price_name *model_prefixes; /* which imply a provider, longest first */
    struct price_name *names;          /* exact names of entries */
    struct price_name *prefixes;       /* prefix aliases by provider, longest first */
    u32 *slots;                        /* hash table over names: index + 1, or 0 */
    struct price_entry *entries;
    struct price_period *periods;
    struct price_rates *rates;
    i64 *tiers;
    struct price_hours *hours;
    u32 provider_count;
    u32 provider_name_count;
    u32 model_prefix_count;
    u32 name_count;
    u32 prefix_count;
    u32 slot_mask;
    u32 entry_count;
    i64 updated_ms;
};

/* Index of a provider by any spelling, or PRICE_NO_PROVIDER. */
u32 price_provider_find(const struct price_table *table, struct slice text);
/* The provider a model name implies, or PRICE_NO_PROVIDER. */
u32 price_provider_infer(const struct price_table *table, struct slice model);
/* As price_find(), within a provider and its fallbacks. */
u32 price_find_within(const struct price_table *table, u32 provider, struct slice model);

u64 price_name_hash(u32 provider, struct slice lower);

/* Lower-cases and trims a name into `out`. Returns its length, or 0 if it is empty or too long. */
usize price_name_normalise(struct slice text, char out[PRICE_NAME_MAX]);
/* The same for providers, where '_' and ' ' are spelled '-'. */
usize price_provider_normalise(struct slice text, char out[PRICE_NAME_MAX]);

/* The rates of an entry for a request of this time and total input. */
const struct price_rates *price_rates_at(const struct price_table *table,
                                         const struct price_entry *entry, i64 time_ms, i64 input);

/* Up to so many tokens of a kind, costs are known to fit 64 bits: twice as many tokens at the
 * highest rate, and the highest fee, come to less than EVENT_MONEY_MAX. */
#define PRICE_FEW_TOKENS_BITS 24
#define PRICE_RATE_MAX (((i64)1 << 36) - 1)
#define PRICE_FEE_MAX ((i64)1 << 60)
_Static_assert((((i64)1 << (PRICE_FEW_TOKENS_BITS + 1)) * PRICE_RATE_MAX) + PRICE_FEE_MAX <
                   EVENT_MONEY_MAX,
               "a cost of few tokens fits");

/* The formula of the price table. False where the cost passes EVENT_MONEY_MAX, or where parts pass
 * their whole (cached and written tokens the input). Reasoning tokens are information from the
 * caller that no rule ties to the output, so what passes it is ignored. */
static inline bool price_rates_cost(const struct price_rates *rates,
                                    const struct price_tokens *tokens, i64 *cost) {
    i64 uncached = tokens->input - tokens->cached - tokens->cache_write;
    i64 reasoning = MIN(tokens->reasoning, tokens->output);
    u64 any =
        (u64)(tokens->input | tokens->output | tokens->cached | tokens->cache_write | uncached);
    if (likely(any >> PRICE_FEW_TOKENS_BITS == 0)) {
        *cost = uncached * rates->input + tokens->cached * rates->cached +
                tokens->cache_write * rates->cache_write +
                (tokens->output - reasoning) * rates->output + reasoning * rates->reasoning +
                rates->request_fee;
        return true;
    }
    i128 sum = (i128)uncached * rates->input + (i128)tokens->cached * rates->cached +
               (i128)tokens->cache_write * rates->cache_write +
               (i128)(tokens->output - reasoning) * rates->output +
               (i128)reasoning * rates->reasoning + rates->request_fee;
    if (uncached < 0 || sum > EVENT_MONEY_MAX) {
        return false;
    }
    *cost = (i64)sum;
    return true;
}

#endif
