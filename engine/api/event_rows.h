/*
 * event_rows.h: events read from the log and written as JSON at once, in the order of the log; the
 * caller puts them into another order. So no event is ever copied field by field.
 *
 * Reads the log: reader threads only.
 */
#ifndef MARGIN_API_EVENT_ROWS_H
#define MARGIN_API_EVENT_ROWS_H

#include "api/event_object.h"
#include "store.h"

struct event_row {
    u64 id;
    i64 time_ms;
    u32 offset; /* its object in event_rows.text */
    u32 bytes;
    struct text_ref span; /* ids of a span, likewise; 0 bytes: absent */
    struct text_ref parent;
};

struct event_rows {
    struct event_row *rows; /* ascending id */
    u32 count;
    u32 capacity;
    struct buf text;
    bool damaged; /* a damaged block was passed over: events may be missing */
};

void event_rows_init(struct event_rows *rows);
void event_rows_free(struct event_rows *rows);

/* The events of `ids` (any order, no repeats) that match the filter. */
enum err event_rows_fetch(struct event_rows *rows, struct store *store,
                          const struct event_object *object, const struct store_filter *filter,
                          const u64 *ids, u32 count);

/* Every event that matches the filter. ERR_LIMIT: more than `max`. */
enum err event_rows_read(struct event_rows *rows, struct store *store,
                         const struct event_object *object, const struct store_filter *filter,
                         u32 max);

/* NULL if it was not found. */
const struct event_row *event_rows_find(const struct event_rows *rows, u64 id);
struct slice event_rows_text(const struct event_rows *rows, const struct event_row *row);

/* The next batch of a scan. A damaged block is logged and passed over, so that one bad sector does
 * not hide the rest; batch->count 0 is the end. */
enum err event_rows_next(struct store_scan *scan, const struct event_batch **batch);

#endif
