/*
 * directory_merge.h: what an account's directory will be: the lists a book is made from, and how
 * they follow from the book of before and what a source says now. Pure but for the look at the
 * figures.
 */
#ifndef MARGIN_CUSTOMER_DIRECTORY_MERGE_H
#define MARGIN_CUSTOMER_DIRECTORY_MERGE_H

#include "customer/directory.h"

struct directory_lists { /* zero at first */
    struct profile *profiles;
    bool *is_changed; /* the profile is not as it was */
    struct product *products;
    struct subscription *subscriptions;
    struct slice *gone; /* customers that are no longer in it */
    u32 profile_count;
    u32 product_count;
    u32 subscription_count;
    u32 gone_count;
    u32 profile_capacity;
    u32 product_capacity;
    u32 subscription_capacity;
    u32 gone_capacity;
    struct directory_texts *texts; /* copies */
};

/* Add one; `copied`: with its texts, which are else the caller's for as long as the lists last.
 * ERR_NO_MEMORY. ERR_LIMIT. */
enum err directory_lists_profile(struct directory_lists *lists, const struct profile *profile,
                                 bool copied);
enum err directory_lists_product(struct directory_lists *lists, const struct product *product,
                                 bool copied);
enum err directory_lists_subscription(struct directory_lists *lists,
                                      const struct subscription *subscription, bool copied);
/* As book_make(). */
enum err directory_lists_book(const struct directory_lists *lists, struct book **out);
/* Leaves them empty. */
void directory_lists_free(struct directory_lists *lists);

/* The lists after directory_replace(); with its errors. They use the texts of book and set. */
enum err directory_merge(struct directory_lists *lists, struct agg *agg, u32 account,
                         const struct book *old, const struct directory_set *set, i64 now_ms);

#endif
