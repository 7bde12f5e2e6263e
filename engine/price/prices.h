/*
 * prices.h: the prices in force: the price table and the books of the accounts. All of it changes
 * while events come in, so a moment of it is an immutable view: whoever prices takes a view, and a
 * change makes the next one. A view lives as long as somebody holds it.
 *
 * A change is in force for every event that is decoded after the call that made it has returned.
 */
#ifndef MARGIN_PRICE_PRICES_H
#define MARGIN_PRICE_PRICES_H

#include "price/book.h"

struct prices; /* thread safe */
struct price_view;

/* Takes the table, also on ERR_NO_MEMORY. */
enum err prices_create(struct price_table *table, struct prices **out);
/* Nobody holds a view any more. */
void prices_destroy(struct prices *prices);

/* The view of now; give it back. Not for the path of an event: takes a lock for a moment. */
const struct price_view *prices_acquire(struct prices *prices);
void prices_release(struct prices *prices, const struct price_view *view);
/* Whether the view is the newest. One load: the path asks it for each request. */
bool prices_is_current(const struct prices *prices, const struct price_view *view);

/* Changes with every change of prices. */
u64 prices_version(struct prices *prices);

/* Lifetime: the view's. */
const struct price_table *price_view_table(const struct price_view *view);
/* NULL: the account has no prices of its own. */
const struct price_book *price_view_book(const struct price_view *view, u32 account);

/* Changes are made in two steps, so that one can be written down between them: the plan takes all
 * memory that is needed, after it nothing can fail. From a plan to its prices_finish() other
 * changes wait. The table and the book are taken, also on ERR_NO_MEMORY. A NULL book: the account
 * has none any more. */
struct price_plan {
    struct price_view *view;
};
enum err prices_plan_table(struct prices *prices, struct price_table *table,
                           struct price_plan *plan);
enum err prices_plan_book(struct prices *prices, u32 account, struct price_book *book,
                          struct price_plan *plan);
/* The plan is in force when this returns, or given up. */
void prices_finish(struct prices *prices, struct price_plan *plan, bool in_force);

/* Both steps at once. */
enum err prices_set_table(struct prices *prices, struct price_table *table);
enum err prices_set_book(struct prices *prices, u32 account, struct price_book *book);

/* --- look-ups -------------------------------------------------------------------------------- */

/* The account's own price for a model, as an index into its book, or PRICE_NONE. Names are matched
 * by rules 1, 2, 4 and 5 of the price table (exact, dated snapshot, region or variant, path); a
 * price for this provider goes before one for any. `provider` as in events: empty if not given. */
u32 prices_find_own(const struct price_table *table, const struct price_book *book,
                    struct slice provider, struct slice model);

/* What an event of the account would be priced by now: its own price, else the table's. Picodollars
 * per million tokens; -1 where there is none. False: neither knows the model. */
struct price_quote {
    i64 input;
    i64 output;
    i64 cached_input;
    i64 cache_write;
    bool own;
};
bool prices_quote(struct prices *prices, u32 account, struct slice provider, struct slice model,
                  struct price_quote *quote);

/* An own price as it is listed. Lifetime: the book's. */
struct price_listing price_book_listing(const struct price_book *book, u32 model);

#endif
