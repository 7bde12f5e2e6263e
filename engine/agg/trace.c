/*
 * trace.c: traces and agents, which are found by the event's own texts, not by its series.
 *
 * A trace is the sum of its spans plus the few facts the list shows. The traces of an account are
 * listed in the order in which they began to be known, which is nearly that of their start; each
 * chunk of the list knows the latest start in it, so that "newest first" looks at few of them.
 */
#include "agg/numbers.h"
#include "agg/state.h"
#include "base/hash.h"

#include <string.h>

#define COST_TYPES_MAX 5
#define SWEPT_A_STEP 32

/* --- agents ----------------------------------------------------------------------------------- */

static u32 agent_make(struct agg *agg, u32 account, struct slice text) {
    check(text.bytes <= UINT16_MAX);
    u32 kept = agg_text_keep_final(agg, text);
    u64 hash = agg_value_hash(agg, account, text);
    check(kept != UINT32_MAX && table_reserve(&agg->agent_table, &agg->heap, hash));
    u32 id = array_add(&agg->agents);
    u32 cell = agg_cell_make(agg);
    *(struct value *)array_at(&agg->agents, id) = (struct value){
        .text = kept, .account = account, .text_bytes = (u16)text.bytes, .entity = cell};
    table_put(&agg->agent_table, hash, id);
    check(list_push(&account_at(agg, account)->agents, &agg->heap, id));
    return id;
}

void agg_agent_add(struct agg *agg, const struct event_batch *batch, u32 index,
                   const struct delta *delta) {
    struct slice text = event_text_of(batch, index, TEXT_AGENT);
    u32 account = dims_of(agg, batch->series[index])[DIM_ACCOUNT];
    u32 agent = value_find(agg, account, STORE_DIMS, text);
    if (agent == DIM_NONE && (agg->agents.count >= agg->agent_max || !agg_text_fits(agg))) {
        __atomic_add_fetch(&agg->agents_left_out, 1, __ATOMIC_RELAXED);
        return;
    }
    if (agent == DIM_NONE) {
        agent = agent_make(agg, account, text);
    }
    u32 cell = value_at(agg, STORE_DIMS, agent)->entity;
    agg_cell_add(agg, cell, 0, batch->number[NUM_TIME][index], delta);
}

/* --- traces ----------------------------------------------------------------------------------- */

static u32 units_of(usize bytes) {
    return (u32)((bytes + TEXT_UNIT_BYTES - 1) / TEXT_UNIT_BYTES);
}

/* Into the place of a text that nothing names any more, or a new one. */
static u32 text_in_place_of(struct agg *agg, const struct trace *dead, struct slice id) {
    u32 units = units_of(id.bytes);
    if (units > units_of(dead->text_bytes)) {
        return agg_text_keep_final(agg, id);
    }
    for (u32 i = 0; i < units; i++) {
        usize at = (usize)i * TEXT_UNIT_BYTES;
        memcpy(array_edit(&agg->texts, dead->text + i), id.data + at,
               MIN(id.bytes - at, (usize)TEXT_UNIT_BYTES));
    }
    return dead->text;
}

bool agg_trace_give(struct agg *agg, u32 index) {
    return list_push(&agg->dead_traces, &agg->heap, index);
}

static bool newest_reserve(struct agg *agg, struct account *account) {
    u32 chunk = account->traces.count / TRACE_CHUNK;
    if (chunk < account->trace_newest_capacity) {
        return true;
    }
    u32 capacity = MAX(account->trace_newest_capacity * 2, 8u);
    i64 *newest = heap_take(&agg->heap, capacity * sizeof *newest);
    if (newest == NULL) {
        return false;
    }
    if (chunk > 0) {
        memcpy(newest, account->trace_newest, chunk * sizeof *newest);
    }
    heap_give(&agg->heap, account->trace_newest, account->trace_newest_capacity * sizeof *newest);
    account->trace_newest = newest;
    account->trace_newest_capacity = capacity;
    return true;
}

/* The start of a trace only ever moves back, so the chunk's bound stays one. */
static bool list_trace(struct agg *agg, struct account *account, i64 start, u32 index) {
    if (!newest_reserve(agg, account)) {
        return false;
    }
    i64 *newest = &account->trace_newest[account->traces.count / TRACE_CHUNK];
    *newest = account->traces.count % TRACE_CHUNK == 0 ? start : MAX(*newest, start);
    return list_push(&account->traces, &agg->heap, index);
}

bool agg_trace_list(struct agg *agg, u32 index) {
    const struct trace *trace = array_at(&agg->traces, index);
    struct account *account = account_at(agg, trace->account);
    return account != NULL && list_trace(agg, account, trace->start, index);
}

struct hash128 agg_trace_hash(const struct agg *agg, u32 account, struct slice id) {
    return hash128(id.bytes == 0 ? "" : id.data, id.bytes, agg->seed ^ hash_mix(account));
}

u32 agg_trace_find(const struct agg *agg, struct hash128 hash) {
    u32 cursor = 0;
    for (;;) {
        u32 index = table_next(&agg->trace_table, hash.low, &cursor);
        if (index == UINT32_MAX) {
            return UINT32_MAX;
        }
        const struct trace *trace = array_at(&agg->traces, index);
        if (trace->hash.low == hash.low && trace->hash.high == hash.high) {
            return index;
        }
    }
}

bool agg_trace_known(const struct agg *agg, struct hash128 hash) {
    return agg_trace_find(agg, hash) != UINT32_MAX;
}

static u32 trace_make(struct agg *agg, u32 account, struct slice id, struct hash128 hash,
                      i64 start) {
    check(id.bytes <= EVENT_TRACE_MAX);
    struct list *dead = &agg->dead_traces;
    u32 index = dead->count > 0 ? list_at(dead, --dead->count) : array_add(&agg->traces);
    struct trace *trace = array_edit(&agg->traces, index);
    u32 kept = text_in_place_of(agg, trace, id);
    check(kept != UINT32_MAX && table_reserve(&agg->trace_table, &agg->heap, hash.low));
    *trace = (struct trace){.hash = hash,
                            .start = start,
                            .duration_max = -1,
                            .account = account,
                            .text = kept,
                            .text_bytes = (u16)id.bytes,
                            .root_series = SERIES_UNRESOLVED};
    table_put(&agg->trace_table, hash.low, index);
    check(agg_trace_list(agg, index));
    return index;
}

static int text_compare(const struct agg *agg, u32 a, u32 b) {
    struct slice left = agg_value_text(agg, DIM_COST_TYPE, a);
    struct slice right = agg_value_text(agg, DIM_COST_TYPE, b);
    int order = memcmp(left.data, right.data, MIN(left.bytes, right.bytes));
    return order != 0 ? order : (left.bytes > right.bytes) - (left.bytes < right.bytes);
}

/* Keeps the first few of all cost types in ascending order, whatever order they come in. */
static void cost_type_add(const struct agg *agg, struct trace *trace, u32 value) {
    u32 at = 0;
    while (at < trace->cost_type_count) {
        if (trace->cost_type[at] == value) {
            return;
        }
        if (text_compare(agg, trace->cost_type[at], value) > 0) {
            break;
        }
        at++;
    }
    if (at == COST_TYPES_MAX) {
        return;
    }
    u32 kept = MIN((u32)trace->cost_type_count, (u32)COST_TYPES_MAX - 1);
    memmove(trace->cost_type + at + 1, trace->cost_type + at,
            (kept - at) * sizeof trace->cost_type[0]);
    trace->cost_type[at] = value;
    trace->cost_type_count = (u16)(kept + 1);
}

void agg_trace_earn(struct agg *agg, u32 account, struct slice id, i128 more) {
    u32 found = agg_trace_find(agg, agg_trace_hash(agg, account, id));
    if (found != UINT32_MAX) {
        ((struct trace *)array_edit(&agg->traces, found))->revenue += more;
    }
}

void agg_traces_drop(struct agg *agg, struct account *account) {
    for (u32 i = 0; i < account->traces.count; i++) {
        u32 index = list_at(&account->traces, i);
        struct trace *trace = array_edit(&agg->traces, index);
        table_remove(&agg->trace_table, trace->hash.low, index);
        trace->spans = 0;
        agg_trace_give(agg, index); /* or it stays behind */
    }
    list_free(&account->traces, &agg->heap);
    heap_give(&agg->heap, account->trace_newest,
              account->trace_newest_capacity * sizeof *account->trace_newest);
    account->trace_newest = NULL;
    account->trace_newest_capacity = 0;
    account->traces_dead = 0;
    account->trace_epoch++;
}

void agg_trace_add(struct agg *agg, const struct event_batch *batch, u32 index, i64 cost) {
    u32 series = batch->series[index];
    const u32 *dims = dims_of(agg, series);
    struct slice id = event_text_of(batch, index, TEXT_TRACE);
    struct hash128 hash = agg_trace_hash(agg, dims[DIM_ACCOUNT], id);
    i64 time = batch->number[NUM_TIME][index];
    u32 found = agg_trace_find(agg, hash);
    bool full = agg->traces.count >= agg->trace_max && agg->dead_traces.count == 0;
    if (found == UINT32_MAX && (full || !agg_text_fits(agg))) {
        __atomic_add_fetch(&agg->traces_left_out, 1, __ATOMIC_RELAXED);
        return;
    }
    if (found == UINT32_MAX) {
        found = trace_make(agg, dims[DIM_ACCOUNT], id, hash, time);
    }
    agg_trace_take(agg, array_edit(&agg->traces, found), batch, index, cost);
}

void agg_trace_take(const struct agg *agg, struct trace *trace, const struct event_batch *batch,
                    u32 index, i64 cost) {
    u32 series = batch->series[index];
    i64 time = batch->number[NUM_TIME][index];
    if (time < trace->start || trace->root_series == SERIES_UNRESOLVED) {
        trace->start = time;
        trace->root_series = series;
    }
    trace->spans++;
    trace->cost += cost;
    if (event_has_number(batch, index, NUM_REVENUE)) {
        trace->revenue += batch->number[NUM_REVENUE][index];
    }
    if (event_has_number(batch, index, NUM_DURATION)) {
        trace->duration_max = MAX(trace->duration_max, batch->number[NUM_DURATION][index]);
    }
    cost_type_add(agg, trace, dims_of(agg, series)[DIM_COST_TYPE]);
}

bool agg_trace_settle(struct agg *agg, u32 index, const struct trace *fact) {
    struct trace *trace = array_edit(&agg->traces, index);
    if (fact->spans == 0) {
        table_remove(&agg->trace_table, trace->hash.low, index);
        trace->spans = 0;
        account_at(agg, trace->account)->traces_dead++;
        return false;
    }
    struct trace next = *fact;
    next.hash = trace->hash;
    next.account = trace->account;
    next.text = trace->text;
    next.text_bytes = trace->text_bytes;
    *trace = next;
    return true;
}

static void newest_give(struct agg *agg, struct account *account) {
    heap_give(&agg->heap, account->trace_newest,
              account->trace_newest_capacity * sizeof *account->trace_newest);
    account->trace_newest = NULL;
    account->trace_newest_capacity = 0;
}

/* The list that was swept takes the other one's place. */
static void sweep_swap(struct agg *agg, struct trace_sweep *sweep, struct account *account) {
    list_free(&account->traces, &agg->heap);
    newest_give(agg, account);
    account->traces = sweep->swept.traces;
    account->trace_newest = sweep->swept.trace_newest;
    account->trace_newest_capacity = sweep->swept.trace_newest_capacity;
    account->traces_dead = 0;
    account->trace_epoch++;
    sweep->swept = (struct account){0};
    sweep->place = 0;
}

bool agg_traces_sweep(struct agg *agg, struct trace_sweep *sweep) {
    struct account *account = account_at(agg, sweep->account);
    if (account == NULL || sweep->place >= account->traces.count) {
        if (account != NULL && account->traces.count > 0) {
            sweep_swap(agg, sweep, account);
        }
        sweep->account++;
        return true;
    }
    bool good = true;
    u32 end = MIN(sweep->place + SWEPT_A_STEP, account->traces.count);
    while (sweep->place < end && good) {
        u32 index = list_at(&account->traces, sweep->place++);
        const struct trace *trace = array_at(&agg->traces, index);
        good = trace->spans == 0 || list_trace(agg, &sweep->swept, trace->start, index);
    }
    return good;
}
