/* movement.h: how each customer's monthly recurring revenue has moved in the last 60 days. Pure. */
#ifndef MARGIN_CUSTOMER_MOVEMENT_H
#define MARGIN_CUSTOMER_MOVEMENT_H

#include "customer/book.h"

#define MOVEMENT_DAYS 60

enum movement_category {
    MOVEMENT_NEW,
    MOVEMENT_EXPANSION,
    MOVEMENT_CONTRACTION,
    MOVEMENT_CHURNED,
    MOVEMENT_STABLE,
    MOVEMENT_CATEGORIES
};
const char *movement_text(enum movement_category category);

struct movement {
    u32 customer; /* index in the book */
    enum movement_category category;
    i128 current; /* active subscriptions */
    i128 prior;   /* all subscriptions made so long ago, active or not */
};

struct movements {
    struct movement *list; /* by the size of the change, stable ones last, then by customer id */
    u32 count;
    i128 sum[MOVEMENT_CATEGORIES]; /* of changes, without sign */
};

/* Of customers with either: the sums of all, and the first `wanted` of the list. ERR_NO_MEMORY. */
enum err movements_make(const struct book *book, i64 now_ms, u64 wanted, struct movements *out);
void movements_free(struct movements *movements);

#endif
