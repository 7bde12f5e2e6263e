/*
 * event_object.h: the event object of the API (Observe, section 4), written in one place for lists,
 * single events and spans. Any thread.
 */
#ifndef MARGIN_API_EVENT_OBJECT_H
#define MARGIN_API_EVENT_OBJECT_H

#include "agg/agg.h"
#include "customer/book.h"
#include "event.h"
#include "price/prices.h"
#include "json/write.h"

/* The columns a scan must bring for it. */
#define EVENT_OBJECT_COLUMNS (~(u32)0 & ~(TEXT_BIT(TEXT_REFS) | (TEXT_BIT(SERIES_TEXTS) - 1)))

#define EVENT_BODIES_COLUMNS TEXT_BIT(TEXT_REFS) /* and for bodies these */

struct event_object {
    const struct agg *agg;
    struct prices *prices;
    const struct book *book; /* of the account, for the names of customers */
    bool bodies;             /* also request_body and response_body */
};

/* `batch` comes from the log: its series stands for the dimensions. */
void event_object_write(struct json_writer *json, const struct event_object *object,
                        const struct event_batch *batch, u32 row);

/* tokens * price / 1e6 in millionths of a dollar, R6. `price` is picodollars per million tokens. */
i128 event_object_part_cost(i64 tokens, i64 price);

#endif
