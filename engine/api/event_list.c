/* event_list.c: heap, narrowing and the pass over the log behind one page of events. */
#include "api/event_list.h"

#include <stdlib.h>
#include <string.h>

#include "api/event_rows.h"

#define ABSENT INT64_MIN
#define HEAP_FIRST 1024

/* One candidate: what it is ordered by, and its id. */
struct entry {
    i64 number;
    u64 id;
    u32 value; /* value id of a dimension */
};

/* The best `size_max` entries so far; the worst of them is the root. */
struct heap {
    const struct agg *agg;
    const struct event_list *list;
    struct entry *entries;
    usize size;
    usize size_max;
    usize capacity;
};

static const struct sort sorts[] = {
    {"timestamp", SORT_NUMBER, NUM_TIME},
    {"event_name", SORT_DIM, DIM_EVENT_NAME},
    {"feature_key", SORT_DIM, DIM_FEATURE},
    {"customer_id", SORT_DIM, DIM_CUSTOMER},
    {"model", SORT_DIM, DIM_MODEL},
    {"source", SORT_SOURCE, 0},
    {"usage_units", SORT_NUMBER, NUM_USAGE},
    {"cost_amount", SORT_NUMBER, NUM_COST},
    {"revenue_amount", SORT_NUMBER, NUM_REVENUE},
    {"duration_ms", SORT_NUMBER, NUM_DURATION},
};

struct sort event_list_sort(struct slice text) {
    for (u32 i = 0; i < ARRAY_COUNT(sorts); i++) {
        if (strlen(sorts[i].name) == text.bytes &&
            memcmp(sorts[i].name, text.data, text.bytes) == 0) {
            return sorts[i];
        }
    }
    return sorts[0];
}

/* --- order ----------------------------------------------------------------------------------- */

static int compare_texts(struct slice a, struct slice b) {
    int order = memcmp(a.data, b.data, MIN(a.bytes, b.bytes));
    return order != 0 ? order : (a.bytes > b.bytes) - (a.bytes < b.bytes);
}

static int compare_values(const struct heap *heap, u32 a, u32 b) {
    if (a == b || a == DIM_NONE || b == DIM_NONE) {
        return (a != DIM_NONE) - (b != DIM_NONE);
    }
    enum store_dim dim = (enum store_dim)heap->list->sort.column;
    return compare_texts(agg_value_text(heap->agg, dim, a), agg_value_text(heap->agg, dim, b));
}

/* True if `a` comes before `b` in the list. */
static bool before(const struct heap *heap, const struct entry *a, const struct entry *b) {
    int order;
    switch (heap->list->sort.kind) {
    case SORT_DIM:
        order = compare_values(heap, a->value, b->value);
        break;
    case SORT_SOURCE:
        order = strcmp(event_source_text((enum event_source)a->value),
                       event_source_text((enum event_source)b->value));
        break;
    default:
        order = (a->number > b->number) - (a->number < b->number);
    }
    if (order != 0) {
        return heap->list->ascending ? order < 0 : order > 0;
    }
    return a->id > b->id;
}

static void sift_down(struct heap *heap, usize at) {
    struct entry *entries = heap->entries;
    for (;;) {
        usize worst = at;
        for (usize child = 2 * at + 1; child <= 2 * at + 2 && child < heap->size; child++) {
            if (before(heap, &entries[worst], &entries[child])) {
                worst = child;
            }
        }
        if (worst == at) {
            return;
        }
        struct entry moved = entries[at];
        entries[at] = entries[worst];
        entries[worst] = moved;
        at = worst;
    }
}

static enum err heap_push(struct heap *heap, struct entry entry) {
    if (heap->size == heap->size_max) {
        if (heap->size > 0 && before(heap, &entry, &heap->entries[0])) {
            heap->entries[0] = entry;
            sift_down(heap, 0);
        }
        return ERR_OK;
    }
    if (heap->size == heap->capacity) {
        usize capacity = MAX(heap->capacity * 2, (usize)HEAP_FIRST);
        struct entry *entries = realloc(heap->entries, capacity * sizeof *entries);
        if (entries == NULL) {
            return ERR_NO_MEMORY;
        }
        heap->entries = entries;
        heap->capacity = capacity;
    }
    usize at = heap->size++;
    while (at > 0 && before(heap, &heap->entries[(at - 1) / 2], &entry)) {
        heap->entries[at] = heap->entries[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap->entries[at] = entry;
    return ERR_OK;
}

/* Turns the heap into a list, best first: the worst goes to the end again and again. */
static usize heap_sort(struct heap *heap) {
    usize count = heap->size;
    while (heap->size > 1) {
        struct entry worst = heap->entries[0];
        heap->entries[0] = heap->entries[--heap->size];
        heap->entries[heap->size] = worst;
        sift_down(heap, 0);
    }
    return count;
}

/* --- one pass over the log -------------------------------------------------------------------- */

static struct entry make_entry(const struct event_list *list, const struct event_batch *batch,
                               u32 row, const u32 *dims) {
    struct entry entry = {.id = batch->id[row]};
    switch (list->sort.kind) {
    case SORT_DIM:
        entry.value = dims[list->sort.column];
        break;
    case SORT_SOURCE:
        entry.value = batch->source[row];
        break;
    default:
        entry.number = event_has_number(batch, row, (enum event_number)list->sort.column)
                           ? batch->number[list->sort.column][row]
                           : ABSENT;
    }
    return entry;
}

static enum err take_batch(struct heap *heap, const struct event_batch *batch, u64 *matches) {
    for (u32 row = 0; row < batch->count; row++) {
        const u32 *dims = agg_series_dims(heap->agg, batch->series[row]);
        if (heap->list->left_out != DIM_NONE && dims[DIM_EVENT_NAME] == heap->list->left_out) {
            continue;
        }
        ++*matches;
        enum err err = heap_push(heap, make_entry(heap->list, batch, row, dims));
        if (err != ERR_OK) {
            return err;
        }
    }
    return ERR_OK;
}

static enum err scan(struct heap *heap, struct store *store, u64 *matches) {
    const struct event_list *list = heap->list;
    bool by_number = list->sort.kind == SORT_NUMBER;
    bool by_time = by_number && list->sort.column == NUM_TIME && !list->by_scan;
    struct store_scan_options options = {.filter = list->filter,
                                         .newest_first = !by_time || !list->ascending,
                                         .by_time = by_time,
                                         .bare = list->sort.kind != SORT_SOURCE,
                                         .columns = NUM_BIT(NUM_TIME)};
    options.columns |= by_number ? NUM_BIT(list->sort.column) : 0;
    struct store_scan *pass;
    enum err err = store_scan_open(store, &options, &pass);
    if (err != ERR_OK) {
        return err;
    }
    *matches = 0;
    const struct event_batch *batch;
    while ((err = event_rows_next(pass, &batch)) == ERR_OK && batch->count > 0) {
        err = take_batch(heap, batch, matches);
        if (err != ERR_OK) {
            break;
        }
        if (by_time && heap->size == heap->size_max) {
            store_scan_narrow(pass, heap->entries[0].number, heap->entries[0].id);
        }
    }
    store_scan_close(pass);
    return err;
}

/* --- the page --------------------------------------------------------------------------------- */

/* Counts from memory where it can; then the pass needs to see only what the page needs. */
static enum err count_events(struct agg *agg, struct store *store, const struct event_list *list,
                             u64 *total) {
    struct query_result result;
    const char *why;
    enum err err = query_run(agg, store, &list->count, &result, &why);
    if (err == ERR_OK) {
        *total = result.total.events;
        query_result_free(&result);
    }
    return err;
}

enum err event_list_page(struct agg *agg, struct store *store, const struct event_list *list,
                         u64 *ids, u32 *count, u64 *total) {
    u64 wanted = list->offset > PAGE_DEPTH_MAX ? PAGE_DEPTH_MAX + 1 : list->offset + list->limit;
    *count = 0;
    if (!list->by_scan) {
        enum err err = count_events(agg, store, list, total);
        if (err != ERR_OK || list->offset >= *total) {
            return err;
        }
        if (wanted > PAGE_DEPTH_MAX) {
            return ERR_LIMIT;
        }
        wanted = MIN(wanted, *total); /* there are no others to look for */
    }
    struct heap heap = {.agg = agg, .list = list, .size_max = MIN(wanted, PAGE_DEPTH_MAX)};
    u64 matches;
    enum err err = scan(&heap, store, &matches);
    if (err == ERR_OK && list->by_scan) {
        *total = matches;
        err = wanted > PAGE_DEPTH_MAX && list->offset < matches ? ERR_LIMIT : ERR_OK;
    }
    usize found = heap_sort(&heap);
    for (usize at = list->offset; err == ERR_OK && at < found && *count < list->limit; at++) {
        ids[(*count)++] = heap.entries[at].id;
    }
    free(heap.entries);
    if (*count > 0) { /* what came in between is counted if it is shown */
        *total = MAX(*total, list->offset + *count);
    }
    return err;
}

enum err event_list_write(struct store *store, const struct event_object *object,
                          const struct store_filter *filter, const u64 *ids, u32 count,
                          struct json_writer *json) {
    struct event_rows rows;
    event_rows_init(&rows);
    enum err err = event_rows_fetch(&rows, store, object, filter, ids, count);
    for (u32 i = 0; err == ERR_OK && i < count; i++) {
        const struct event_row *row = event_rows_find(&rows, ids[i]);
        if (row != NULL) {
            json_raw(json, event_rows_text(&rows, row));
        }
    }
    event_rows_free(&rows);
    return err;
}
