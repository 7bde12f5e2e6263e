/*
 * traces.c: the list of traces, newest first. The account's list of traces comes in chunks that
 * know their latest start; chunks are taken in the order of that bound, and as soon as enough
 * traces are later than all chunks that are left, the rest need not be looked at. Everything is
 * done in slices: traces may begin meanwhile, which are not in the answer, or grow.
 */
#include "agg/state.h"
#include "query/query.h"

#include <stdlib.h>
#include <string.h>

#define TRACES_PAGE_MAX ((u32)1 << 20) /* offset + limit */
#define SLICE_CHUNKS 64                /* looked at while the writer waits */
#define SLICE_BOUNDS 16384

struct found {
    i64 start;
    u32 trace;
};

struct finder {
    struct agg *agg;
    u32 known;  /* traces when it began; later ones are not in the answer */
    u32 living; /* of them, those with events */
    const struct account *account;
    u32 epoch; /* of the account's list of traces */
    bool gone; /* they were all removed meanwhile */
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

/* Lets the writer in; false: the list is another one now. */
static bool breathe(struct finder *finder) {
    agg_read_unlock(finder->agg);
    agg_read_lock(finder->agg);
    finder->gone = finder->account->trace_epoch != finder->epoch;
    return !finder->gone;
}

/* Looks at one chunk; returns how many of its traces are in the window. */
static u32 search_chunk(struct finder *finder, const struct account *account, u32 chunk) {
    u32 first = chunk * TRACE_CHUNK;
    u32 end = MIN(first + TRACE_CHUNK, finder->known);
    u32 inside = 0;
    for (u32 i = first; i < end; i++) {
        u32 index = list_at(&account->traces, i);
        const struct trace *trace = array_at(&finder->agg->traces, index);
        if (trace->spans > 0 && trace->start >= finder->from && trace->start < finder->to) {
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
static u32 search(struct finder *finder, const struct account *account,
                  const struct chunk_bound *bounds, u32 count) {
    bool all = finder->from == INT64_MIN && finder->to == INT64_MAX;
    u32 total = 0;
    for (u32 i = 0; i < count && bounds[i].newest >= finder->from; i++) {
        bool full = finder->count == finder->keep;
        if (all && full && (finder->keep == 0 || bounds[i].newest < finder->found[0].start)) {
            break;
        }
        if (i > 0 && i % SLICE_CHUNKS == 0 && !breathe(finder)) {
            break;
        }
        total += search_chunk(finder, account, bounds[i].chunk);
    }
    return all ? finder->living : total;
}

/* The start is the one it was found with, so that starts descend. */
static void summarize(const struct agg *agg, const struct found *found, struct trace_summary *out) {
    const struct trace *trace = array_at(&agg->traces, found->trace);
    struct slice id = id_of(agg, found->trace);
    *out = (struct trace_summary){
        .id_bytes = (u32)id.bytes,
        .start_ms = found->start,
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

/* The bounds of all chunks, newest first. */
static void read_bounds(struct finder *finder, const struct account *account,
                        struct chunk_bound *bounds, u32 count) {
    bool sorted = true;
    for (u32 i = 0; i < count; i++) {
        if (i > 0 && i % SLICE_BOUNDS == 0 && !breathe(finder)) {
            return;
        }
        u32 chunk = count - 1 - i;
        bounds[i] = (struct chunk_bound){account->trace_newest[chunk], chunk};
        sorted = sorted && (i == 0 || bounds[i - 1].newest >= bounds[i].newest);
    }
    if (!sorted) {
        agg_read_unlock(finder->agg);
        qsort(bounds, count, sizeof *bounds, bound_descending);
        agg_read_lock(finder->agg);
        finder->gone = account->trace_epoch != finder->epoch;
    }
}

/* Takes the page off the heap, the last in order first. */
static u32 take_page(struct finder *finder, u32 offset, struct trace_summary *out) {
    u32 got = finder->count;
    for (u32 left = got; left > offset; left--) {
        struct found last = finder->found[0];
        finder->found[0] = finder->found[left - 1];
        sink(finder, 0, left - 1);
        summarize(finder->agg, &last, &out[left - 1 - offset]);
    }
    return got > offset ? got - offset : 0;
}

u32 query_trace_count(struct agg *agg, u32 account) {
    agg_read_lock(agg);
    const struct account *record = account_seen(agg, account);
    u32 count = record == NULL ? 0 : record->traces.count - record->traces_dead;
    agg_read_unlock(agg);
    return count;
}

/* Looks with the memory it was given; false: all traces were removed meanwhile. */
static bool find_page(struct finder *finder, struct chunk_bound *bounds, u32 chunks, u32 offset,
                      struct trace_summary *out, u32 *count, u32 *total) {
    read_bounds(finder, finder->account, bounds, chunks);
    if (!finder->gone) {
        *total = search(finder, finder->account, bounds, chunks);
    }
    if (!finder->gone) {
        *count = take_page(finder, offset, out);
    }
    return !finder->gone;
}

/* What a finder begins with, under one lock. */
static void begin(struct finder *finder, u32 account) {
    finder->account = account_seen(finder->agg, account);
    finder->known = finder->account == NULL ? 0 : finder->account->traces.count;
    finder->living = finder->account == NULL ? 0 : finder->known - finder->account->traces_dead;
    finder->epoch = finder->account == NULL ? 0 : finder->account->trace_epoch;
}

enum err query_traces(struct agg *agg, u32 account, i64 from, i64 to, u32 offset, u32 limit,
                      struct trace_summary *out, u32 *count, u32 *total) {
    *count = 0;
    *total = 0;
    u64 keep = (u64)offset + limit;
    struct finder finder = {.agg = agg, .from = from, .to = to};
    agg_read_lock(agg);
    begin(&finder, account);
    agg_read_unlock(agg);
    finder.keep = offset >= finder.known ? 0 : (u32)MIN(keep, finder.known);
    if (finder.known == 0) {
        return ERR_OK;
    }
    if (finder.keep > TRACES_PAGE_MAX) {
        return ERR_LIMIT;
    }
    u32 chunks = (u32)(((u64)finder.known + TRACE_CHUNK - 1) / TRACE_CHUNK);
    struct chunk_bound *bounds = malloc(chunks * sizeof *bounds);
    finder.found = malloc((finder.keep + 1) * sizeof *finder.found);
    enum err err = bounds == NULL || finder.found == NULL ? ERR_NO_MEMORY : ERR_OK;
    bool gone = false;
    if (err == ERR_OK) {
        agg_read_lock(agg);
        gone = finder.account->trace_epoch != finder.epoch ||
               !find_page(&finder, bounds, chunks, offset, out, count, total);
        agg_read_unlock(agg);
    }
    free(bounds);
    free(finder.found);
    /* There are fewer then: once more. */
    return gone ? query_traces(agg, account, from, to, offset, limit, out, count, total) : err;
}
