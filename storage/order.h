/*
 * order.h: the blocks of a log by the time of their events, for whoever looks for the newest or the
 * oldest few: what is behind them by time is never read, wherever it lies in the log.
 */
#ifndef MARGIN_STORAGE_ORDER_H
#define MARGIN_STORAGE_ORDER_H

#include "storage/log.h"

struct order {
    struct log_span *spans; /* a heap: the first block is the next one */
    usize count;
    bool newest; /* blocks with later events first, else those with earlier ones */
};

/* Takes note of the blocks that may hold what the filter's ids and times allow, as of now.
 * ERR_NO_MEMORY. */
enum err order_make(struct order *order, struct log *log, const struct store_filter *filter,
                    bool newest);
/* The next block; false: there is none. */
bool order_next(struct order *order, struct log_span *out);
void order_free(struct order *order);

/* An event's place in the order: by time, and where that is equal the greater id first. */
struct order_place {
    i64 time;
    u64 id;
};
/* The place of the first event that a block, or a part of one, may have. */
struct order_place order_first(bool newest, const struct log_span *span);
bool order_before(bool newest, struct order_place a, struct order_place b);

#endif
