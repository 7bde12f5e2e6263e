/*
 * book.h: an account's customers, subscriptions and products (its own plans) in memory.
 *
 * Any number of threads read a book without a lock while one changes it: customers are only ever
 * added, and what changes of one is a few words, each written whole. Products and subscriptions
 * never change: other ones make another book (directory.c), which says how long a book lasts.
 *
 * Money is picodollars. Texts last as long as the book.
 */
#ifndef MARGIN_CUSTOMER_BOOK_H
#define MARGIN_CUSTOMER_BOOK_H

#include "base.h"
#include "limits.h"

#include <stdatomic.h>

/* Where an object comes from. The numbers are on disk. */
enum directory_source {
    DIRECTORY_NONE, /* of a customer: from events, and what somebody set of it */
    DIRECTORY_UPLOAD,
    DIRECTORY_STRIPE,
    DIRECTORY_SOURCES
};

/* Who says whether a customer is internal. On disk, too. */
enum internal_by {
    INTERNAL_BY_ID,     /* its id begins "_internal" */
    INTERNAL_BY_SOURCE, /* the upload said so */
    INTERNAL_BY_HAND    /* stays, whatever is uploaded, unless an upload says otherwise */
};

#define INTERNAL_PREFIX "_internal"
bool customer_is_internal(struct slice id); /* by its id */

struct profile { /* of a customer; empty texts: there is none */
    struct slice id;
    struct slice name;
    struct slice email;
    struct slice segment;
    struct slice stripe; /* id of the Stripe customer */
    enum directory_source source;
    enum internal_by internal_by;
    bool internal;
    i64 created_ms;
    i64 updated_ms;
};

struct product { /* a plan that the account sells */
    enum directory_source source;
    struct slice id;
    struct slice name;
    struct slice billing_model; /* empty: not given */
    i64 price;                  /* of interval_months */
    u32 interval_months;        /* at least 1 */
};

#define BOOK_NONE UINT32_MAX

struct subscription {
    enum directory_source source;
    struct slice id;
    struct slice customer_id;
    struct slice product_id;    /* empty: none */
    struct slice pricing_model; /* "flat", "metered", "tiered", "hybrid"; empty: not given */
    bool has_unit_price;
    bool has_override;
    bool active;
    i64 unit_price;
    i64 mrr_override;
    i64 period_start_ms; /* 0: not given */
    i64 period_end_ms;   /* likewise */
    i64 created_ms;

    /* Set by book_make(). */
    u32 customer; /* its index */
    u32 product;  /* BOOK_NONE: no such plan */
    u32 next;     /* of the same customer, the next older one; BOOK_NONE: none */
    i64 mrr;      /* what it is worth a month, if active */
};

/* One customer. What changes is atomic; the rest is set before others see it. */
struct book_customer {
    const char *text; /* id, name, email, segment, one behind the other */
    u8 bytes[4];      /* of each */
    u32 first_subscription;
    i64 created_ms;
    _Atomic i64 updated_ms;
    _Atomic(const struct slice *) stripe; /* NULL: none */
    _Atomic u32 flags;                    /* see book.c */
    u32 source;
    i128 mrr;
};
_Static_assert(CUSTOMER_TEXT_MAX <= UINT8_MAX && EVENT_CUSTOMER_MAX <= UINT8_MAX, "they fit bytes");

/* Customers never move: each chunk is twice as large as the one before. */
#define BOOK_CHUNK_FIRST 16
#define BOOK_CHUNKS 17
_Static_assert((u64)BOOK_CHUNK_FIRST *((1u << BOOK_CHUNKS) - 1) >= CUSTOMERS_MAX, "they suffice");

struct book {
    u64 stamp;      /* no two books of a process have the same */
    u32 references; /* directory.c's, under its lock */
    u32 ordered;    /* so many customers are in the order of their ids: those it was made with */
    _Atomic u32 count;
    _Atomic(struct book_table *) by_id;
    _Atomic(struct book_table *) by_stripe;
    struct book_customer *chunks[BOOK_CHUNKS];
    struct product *products; /* by price, then id */
    u32 product_count;
    u32 subscription_count;
    struct subscription *subscriptions; /* newest first, then by id */
    i128 mrr;                           /* of all */
    u32 active_count;                   /* subscriptions */
    struct book_block *blocks;          /* the texts' memory */
};

/* Copies everything. Products come to lie by price, ascending, then by id; subscriptions newest
 * first, then by id. A customer that only a subscription names must be among the profiles.
 * ERR_INVALID: an id stands twice (among customers; among products, subscriptions of one source),
 * or a customer is missing. ERR_LIMIT; ERR_NO_MEMORY. */
enum err book_make(const struct profile *profiles, u32 profile_count,
                   const struct product *products, u32 product_count,
                   const struct subscription *subscriptions, u32 subscription_count,
                   struct book **out);
void book_free(struct book *book);

/* --- reading: any thread ---------------------------------------------------------------------- */

u32 book_count(const struct book *book); /* customers; only grows */
/* Index of a customer, or BOOK_NONE. */
u32 book_find(const struct book *book, struct slice id);
u32 book_find_stripe(const struct book *book, struct slice stripe);
struct slice book_id(const struct book *book, u32 index);
struct profile book_profile(const struct book *book, u32 index);
/* What the customer is called: its name, or else its id, also of one that is not in the book. */
struct slice book_name(const struct book *book, struct slice id);
/* Monthly recurring revenue of a customer; 0 of one that is not in the book. */
i128 book_mrr(const struct book *book, struct slice id);
/* The customer's record: its mrr, its first_subscription (the newest, or BOOK_NONE). */
const struct book_customer *book_at(const struct book *book, u32 index);

/* --- changing: one thread at a time ------------------------------------------------------------
 */

/* One more customer, not known yet. */
enum err book_add(struct book *book, const struct profile *profile);
/* Gives a customer that has none a link. */
enum err book_set_stripe(struct book *book, u32 index, struct slice stripe, i64 now_ms);
void book_set_internal(struct book *book, u32 index, bool internal, i64 now_ms);
/* Makes room: the next one of the two before succeeds. ERR_LIMIT; ERR_NO_MEMORY. */
enum err book_reserve(struct book *book);

#endif
