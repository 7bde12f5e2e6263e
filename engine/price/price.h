/*
 * price.h: the model price table and the cost of an event. Prices are picodollars a token, so every
 * cost is exact in integers. The embedded table is compiled in by tools/embed from
 * engine/price/data.
 */
#ifndef MARGIN_PRICE_PRICE_H
#define MARGIN_PRICE_PRICE_H

#include "event.h"

struct price_table; /* immutable once loaded: any thread may read it */

#define PRICE_NONE UINT32_MAX

/* What a table is made from. Without (NULL) models or providers: the built-in ones. The lines of
 * `extra` (models, too) go before those of `models`: they take the place of the line of the same
 * provider and model, which leaves them its aliases, and any alias they name is theirs. */
struct price_sources {
    struct slice models;
    struct slice providers;
    struct slice extra;
    i64 updated_ms; /* the date of these prices; 0: that of the built-in ones */
};
/* ERR_INVALID with one line in `why`. */
enum err price_table_make(const struct price_sources *sources, struct price_table **out, char *why,
                          usize why_bytes);

/* Parses the two JSON files. ERR_INVALID with one line in `why`. */
enum err price_table_load(struct slice models_json, struct slice providers_json,
                          struct price_table **out, char *why, usize why_bytes);
enum err price_table_load_embedded(struct price_table **out, char *why, usize why_bytes);
void price_table_free(struct price_table *table);

/* Index of the price entry, or PRICE_NONE. An empty provider means "not given". */
u32 price_find(const struct price_table *table, struct slice provider, struct slice model);

/* The provider a model name implies; empty if none. Lifetime: the table's. */
struct slice price_infer_provider(const struct price_table *table, struct slice model);

struct price_tokens {
    i64 input; /* total, cached and cache_write included */
    i64 output;
    i64 cached;
    i64 cache_write;
    i64 reasoning; /* part of output */
};

/* Cost in picodollars at the event's time. False if it does not fit 64 bits (or EVENT_MONEY_MAX).
 */
bool price_cost(const struct price_table *table, u32 price, i64 time_ms,
                const struct price_tokens *tokens, i64 *cost);

/* For GET /api/pricing/models: entry i of price_count(); absent prices are -1. */
struct price_listing {
    struct slice provider;
    struct slice model;
    i64 input; /* picodollars per million tokens */
    i64 output;
    i64 cached_input;
    i64 cache_write;
};
u32 price_count(const struct price_table *table);
struct price_listing price_list(const struct price_table *table, u32 index);
i64 price_updated_ms(const struct price_table *table); /* the "prices as of" date */

/* The step of the path: for events first .. first + count of the batch fills in the inferred
 * TEXT_PROVIDER, NUM_COST with cost_source where no explicit cost came (the account's own price of
 * the model goes before the table's), and NUM_REVENUE with revenue_source (Observe 2.4). Uses the
 * prices that are in force when it is called. The cache keeps answers for repeated names, one a
 * front thread. Events whose cost does not fit are listed in `overflow` (indexes, at most `count`)
 * and must be rejected by the caller. */
struct prices; /* prices.h */
struct price_cache;
enum err price_cache_create(struct prices *prices, struct price_cache **out);
void price_cache_destroy(struct price_cache *cache);
void price_events(struct price_cache *cache, struct event_batch *batch, u32 first, u32 count,
                  u32 *overflow, u32 *overflow_count);

/* What an event earns that came without revenueAmount (Observe 2.4, from step 3 on), by a book of
 * prices.h (NULL: none). REVENUE_NONE: 0. */
struct price_book;
enum revenue_source price_attribute(const struct price_book *book, struct slice customer,
                                    struct slice feature, i64 *amount);

#endif
