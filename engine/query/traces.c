/*
 * traces.c: the list of traces, newest first. The account's list of traces comes in chunks that
 * know their latest start; chunks are taken in the order of that bound, and as soon as enough
 * traces are later than all chunks that are left, the rest need not be looked at.
 */
#include "agg/state.h"
#include "query/query.h"

#include <stdlib.h>
#include <string.h>

#define TRACES_PAGE_MAX ((u32)1 << 20) /* offset + limit */

struct found {
    i64 start;
    u32 trace;
};

struct finder {
    struct agg *agg;
    u32 account;
    i64 from;
    i64 to;
    struct found *found; /* a heap: the root is the last in order */
    u32 count;
    u32 keep;
};

static struct slice id_of(const struct agg *agg, u32 index) {
    const struct trace *trace = array_at(&agg->traces, index);
    return (struct slice){array_at(&agg->texts, trace->text), trace->text_bytes};
}

/* Below 0: a comes first. Ties by id ascending. */
static int compare(const struct agg *agg, const struct found *a, const struct found *b) {
    if (a->start != b->start) {
        return a->start > b->start ? -1 : 1;
    }
    struct slice left = id_of(agg, a->trace);
    struct slice right = id_of(agg, b->trace);
    int order = memcmp(left.data, right.data, MIN(left.bytes, right.bytes));
    return order != 0 ? order : (left.bytes > right.bytes) - (left.bytes < right.bytes);
}

static void sink(struct finder *finder, u32 at, u32 count) {
    struct found *found = finder->found;
    struct found item = found[at];
    for (;;) {
        u32 child = 2 * at + 1;
        if (child >= count) {
            break;
        }
        if (child + 1 < count && compare(finder->agg, &found[child + 1], &found[child]) > 0) {
            child++;
        }
        if (compare(finder->agg, &found[child], &item) <= 0) {
            break;
        }
        found[at] = found[child];
        at = child;
    }
    found[at] = item;
}

static void offer(struct finder *finder, u32 trace, i64 start) {
    struct found item = {start, trace};
    if (finder->count < finder->keep) {
        u32 at = finder->count++;
        while (at > 0 && compare(finder->agg, &item, &finder->found[(at - 1) / 2]) > 0) {
            finder->found[at] = finder->found[(at - 1) / 2];
            at = (at - 1) / 2;
        }
        finder->found[at] = item;
    } else if (finder->keep > 0 && compare(finder->agg, &item, &finder->found[0]) < 0) {
        finder->found[0] = item;
        sink(finder, 0, finder->count);
    }
}

/* Looks at one chunk; returns how many of its traces are in the window. */
static u32 search_chunk(struct finder *finder, const struct account *account, u32 chunk) {
    u32 first = chunk * TRACE_CHUNK;
    u32 end = MIN(first + TRACE_CHUNK, account->traces.count);
    u32 inside = 0;
    for (u32 i = first; i < end; i++) {
        u32 index = list_at(&account->traces, i);
        const struct trace *trace = array_at(&finder->agg->traces, index);
        if (trace->start >= finder->from && trace->start < finder->to) {
            inside++;
            offer(finder, index, trace->start);
        }
    }
    return inside;
}

struct chunk_bound {
    i64 newest;
    u32 chunk;
};

static int bound_descending(const void *left, const void *right) {
    const struct chunk_bound *a = left;
    const struct chunk_bound *b = right;
    return (a->newest < b->newest) - (a->newest > b->newest);
}

/* With the window open at both ends the total is known beforehand, and the search may stop early;
 * else every chunk that reaches into the window is looked at, for the total. */
static u32 search(struct finder *finder, const struct account *account, struct chunk_bound *bounds,
                  u32 count) {
    bool all = finder->from == INT64_MIN && finder->to == INT64_MAX;
    u32 total = 0;
    for (u32 i = 0; i < count && bounds[i].newest >= finder->from; i++) {
        bool full = finder->count == finder->keep;
        if (all && full && (finder->keep == 0 || bounds[i].newest < finder->found[0].start)) {
            break;
        }
        total += search_chunk(finder, account, bounds[i].chunk);
    }
    return all ? account->traces.count : total;
}

static void summarize(const struct agg *agg, u32 index, struct trace_summary *out) {
    const struct trace *trace = array_at(&agg->traces, index);
    struct slice id = id_of(agg, index);
    *out = (struct trace_summary){
        .id_bytes = (u32)id.bytes,
        .start_ms = trace->start,
        .spans = trace->spans,
        .cost = trace->cost,
        .revenue = trace->revenue,
        .duration_max_ms = trace->duration_max,
        .root_series = trace->root_series,
        .cost_type_count = trace->cost_type_count,
    };
    memcpy(out->id, id.data, id.bytes);
    memcpy(out->cost_type, trace->cost_type, sizeof out->cost_type);
}

static enum err search_account(struct finder *finder, const struct account *account, u32 *total) {
    u32 chunks = (account->traces.count + TRACE_CHUNK - 1) / TRACE_CHUNK;
    struct chunk_bound *bounds = malloc((chunks + 1) * sizeof *bounds);
    if (bounds == NULL) {
        return ERR_NO_MEMORY;
    }
    bool sorted = true;
    for (u32 i = 0; i < chunks; i++) {
        bounds[i] = (struct chunk_bound){account->trace_newest[chunks - 1 - i], chunks - 1 - i};
        sorted = sorted && (i == 0 || bounds[i - 1].newest >= bounds[i].newest);
    }
    if (!sorted) {
        qsort(bounds, chunks, sizeof *bounds, bound_descending);
    }
    *total = search(finder, account, bounds, chunks);
    free(bounds);
    return ERR_OK;
}

enum err query_traces(struct agg *agg, u32 account, i64 from, i64 to, u32 offset, u32 limit,
                      struct trace_summary *out, u32 *count, u32 *total) {
    *count = 0;
    *total = 0;
    u64 keep = (u64)offset + limit;
    struct finder finder = {.agg = agg, .account = account, .from = from, .to = to};
    agg_read_lock(agg);
    const struct account *record = account_at(agg, account);
    if (record == NULL || record->traces.count == 0) {
        agg_read_unlock(agg);
        return ERR_OK;
    }
    finder.keep = offset >= record->traces.count ? 0 : (u32)MIN(keep, record->traces.count);
    enum err err = finder.keep > TRACES_PAGE_MAX ? ERR_LIMIT : ERR_OK;
    finder.found = malloc((MIN(finder.keep, TRACES_PAGE_MAX) + 1) * sizeof *finder.found);
    if (err == ERR_OK && finder.found == NULL) {
        err = ERR_NO_MEMORY;
    }
    if (err == ERR_OK) {
        err = search_account(&finder, record, total);
    }
    if (err == ERR_OK) {
        u32 got = finder.count;
        for (u32 left = got; left > 0; left--) { /* takes the last in order off the heap */
            struct found last = finder.found[0];
            finder.found[0] = finder.found[left - 1];
            sink(&finder, 0, left - 1);
            if (left - 1 >= offset) {
                summarize(agg, last.trace, &out[left - 1 - offset]);
            }
        }
        *count = got > offset ? got - offset : 0;
    }
    agg_read_unlock(agg);
    free(finder.found);
    return err;
}
