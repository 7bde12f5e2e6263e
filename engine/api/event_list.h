/*
 * event_list.h: one page of the events that match a filter, in a chosen order. Events lie in the
 * log in the order of their arrival, which is not the order of any column, so a page is found with
 * a bounded heap: one pass keeps the best offset + limit entries (24 bytes each) and the rows of
 * the page alone are read whole. For pages by time the pass goes through the log's blocks in the
 * order of time and ends where nothing can follow that belongs to the page.
 *
 * Reads the log: reader threads only.
 */
#ifndef MARGIN_API_EVENT_LIST_H
#define MARGIN_API_EVENT_LIST_H

#include "agg/agg.h"
#include "api/event_object.h"
#include "query/query.h"
#include "store.h"

enum sort_kind { SORT_NUMBER, SORT_DIM, SORT_SOURCE };

struct sort {
    const char *name; /* as the API's sort_by */
    enum sort_kind kind;
    u32 column; /* enum event_number or enum store_dim */
};

struct event_list {
    struct store_filter filter;
    struct query count; /* the same events as a plan without groups; not used with `by_scan` */
    bool by_scan;       /* the filter has a trace or an agent, which no bucket knows */
    u32 left_out;       /* value id of the event name to leave out; DIM_NONE: none */
    struct sort sort;
    bool ascending; /* ties: always descending id. Absent values count as the least */
    u64 offset;
    u32 limit; /* at most PAGE_EVENTS_MAX */
};

/* What `text` names, or the order by time. */
struct sort event_list_sort(struct slice text);

/* Ids of the page, in order, at most `limit`. *total counts all events that match. ERR_LIMIT: a
 * page behind PAGE_DEPTH_MAX that is not past the end; else what storage or query say. */
enum err event_list_page(struct agg *agg, struct store *store, const struct event_list *list,
                         u64 *ids, u32 *count, u64 *total);

/* Writes the event objects of `ids`, in their order, as elements of an array. Ids that the filter
 * does not match are left out. */
enum err event_list_write(struct store *store, const struct event_object *object,
                          const struct store_filter *filter, const u64 *ids, u32 count,
                          struct json_writer *json);

#endif
