/*
 * sales.h: what an account sells and to whom: {"customers", "plans", "subscriptions"}, each a
 * list that may be left out. Together they are one upload and replace the one before as a whole;
 * each subscription is an event besides, so that what it brings is in the figures of revenue.
 */
#ifndef MARGIN_UPLOAD_SALES_H
#define MARGIN_UPLOAD_SALES_H

#include "customer/directory.h"
#include "upload/upload.h"

struct sales {
    struct upload upload; /* problems, error, and the events as rows; positions are of their list */
    struct profile *customers; /* owned, as all lists; texts point into the body */
    struct product *plans;
    struct subscription *subscriptions;
    u32 customer_count;
    u32 plan_count;
    u32 subscription_count;
    char *ids; /* of subscriptions that came without */
};

void sales_init(struct sales *sales, i64 now_ms);
void sales_free(struct sales *sales);

/* As upload_read(). */
enum err sales_read(struct sales *sales, char *body, usize bytes);

/* The events of what was uploaded last, as sales_read() makes them: into an upload of that kind. */
enum err sales_events(struct upload *upload, const struct book *book);

/* What the directory is to hold. */
struct directory_set sales_set(const struct sales *sales);

#endif
