/*
 * book.h: an account's own prices: what one event of a feature earns, and what the tokens of a
 * model cost. A book is immutable: a change makes a new one, so that any number of threads read
 * without a lock. Who shares a book and when it ends is the business of prices.c.
 */
#ifndef MARGIN_PRICE_BOOK_H
#define MARGIN_PRICE_BOOK_H

#include "price/table.h"

struct feature_price {
    struct slice feature;
    struct slice unit_label;
    i64 revenue;      /* picodollars an event, whatever its usage */
    i64 effective_ms; /* since when this amount holds */
    i64 created_ms;   /* since when the feature has a price at all */
};

/* Picodollars a token; the last two are -1 where the account left them open. */
struct model_price {
    struct slice provider; /* as price_provider_normalise() gives it; empty: of any provider */
    struct slice model;    /* as price_name_normalise() gives it */
    i64 input;
    i64 output;
    i64 cached;
    i64 cache_write;
    i64 updated_ms;
};

struct price_book {
    u64 stamp;      /* no two books of a process have the same */
    u64 seed;       /* of the hash below */
    u32 references; /* prices.c's, under its lock */
    u32 feature_count;
    u32 model_count;
    u32 slot_mask;
    struct feature_price *features; /* ascending by feature */
    struct model_price *models;     /* ascending by model, then provider */
    struct price_rates *rates;      /* of each model */
    u64 *slots;                     /* features: high half of the hash and index + 1, or 0 */
    char *text;
};

/* Copies everything. Neither list has to be in order, but no feature and no (provider, model) may
 * be there twice. ERR_NO_MEMORY; ERR_SYSTEM without randomness. */
enum err price_book_make(const struct feature_price *features, u32 feature_count,
                         const struct model_price *models, u32 model_count,
                         struct price_book **out);
void price_book_free(struct price_book *book);

/* Indexes into features and models, or PRICE_NONE. Names of models are normalised. */
u32 price_book_feature(const struct price_book *book, struct slice feature);
u32 price_book_model(const struct price_book *book, struct slice provider, struct slice model);

/* Ascending by bytes; a prefix comes first. */
int price_compare_text(struct slice a, struct slice b);

#endif
