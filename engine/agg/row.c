/* row.c: the rare cases of rows. */
#include "agg/row.h"

#include <string.h>

void delta_read_wide(struct delta *delta, const struct event_batch *batch, u32 index) {
    delta->sums = (struct sums){
        .cost = delta->row.cost,
        .revenue = delta->row.revenue,
        .usage = delta->row.usage,
        .events = 1,
        .input = (u64)delta_number(batch, index, NUM_INPUT),
        .output = (u64)delta_number(batch, index, NUM_OUTPUT),
        .cached = (u64)delta_number(batch, index, NUM_CACHED),
        .cache_write = (u64)delta_number(batch, index, NUM_CACHE_WRITE),
        .duration_ms = (u64)delta_number(batch, index, NUM_DURATION),
        .durations = delta->row.durations,
        .unpriced = delta->row.unpriced,
    };
}

static void sums_add(struct sums *sums, const struct sums *more) {
    sums->cost += more->cost;
    sums->revenue += more->revenue;
    sums->usage += more->usage;
    sums->events += more->events;
    sums->input += more->input;
    sums->output += more->output;
    sums->cached += more->cached;
    sums->cache_write += more->cache_write;
    sums->duration_ms += more->duration_ms;
    sums->durations += more->durations;
    sums->unpriced += more->unpriced;
}

static void sums_subtract(struct sums *sums, const struct sums *less) {
    sums->cost -= less->cost;
    sums->revenue -= less->revenue;
    sums->usage -= less->usage;
    sums->events -= less->events;
    sums->input -= less->input;
    sums->output -= less->output;
    sums->cached -= less->cached;
    sums->cache_write -= less->cache_write;
    sums->duration_ms -= less->duration_ms;
    sums->durations -= less->durations;
    sums->unpriced -= less->unpriced;
}

static void row_clear(struct row *row) {
    row->cost = row->revenue = row->usage = 0;
    row->duration_ms = row->input = row->output = row->cached = row->cache_write = 0;
    row->events = row->durations = row->unpriced = 0;
}

/* The row's wide sum with the row's content in it; the row counts from zero again. */
static struct sums *spill(struct row *row, struct array *wides) {
    if (row->wide == 0) {
        row->wide = array_add(wides);
    }
    struct sums *wide = array_edit(wides, row->wide);
    sums_add_row(wide, row);
    row_clear(row);
    return wide;
}

void row_add_slow(struct row *row, const struct delta *delta, struct array *wides) {
    struct sums *wide = spill(row, wides);
    if (delta->wide) {
        sums_add(wide, &delta->sums);
    } else {
        sums_add_row(wide, &delta->row);
    }
}

static bool small_fits(const struct row *row) {
    return row->input < ROW_TOKENS_MAX && row->output < ROW_TOKENS_MAX &&
           row->cached < ROW_TOKENS_MAX && row->cache_write < ROW_TOKENS_MAX &&
           row->duration_ms < ROW_TOKENS_MAX && row->events < ROW_COUNT_MAX &&
           row->durations < ROW_COUNT_MAX && row->unpriced < ROW_COUNT_MAX;
}

/* Both operations wrap harmlessly: within the ranges of rows no addition of two can overflow, and
 * a difference below zero looks like a field above its range. */
static struct row combined(const struct row *a, const struct row *b, bool subtract) {
    u32 sign = subtract ? UINT32_MAX : 1;
    i64 money_sign = subtract ? -1 : 1;
    return (struct row){
        .cost = (i64)((u64)a->cost + (u64)(b->cost * money_sign)),
        .revenue = (i64)((u64)a->revenue + (u64)(b->revenue * money_sign)),
        .usage = (i64)((u64)a->usage + (u64)(b->usage * money_sign)),
        .duration_ms = a->duration_ms + b->duration_ms * sign,
        .input = a->input + b->input * sign,
        .output = a->output + b->output * sign,
        .cached = a->cached + b->cached * sign,
        .cache_write = a->cache_write + b->cache_write * sign,
        .events = (u16)(a->events + b->events * sign),
        .durations = (u16)(a->durations + b->durations * sign),
        .unpriced = (u16)(a->unpriced + b->unpriced * sign),
        .series = a->series,
        .stamp = a->stamp,
        .last = a->last,
        .wide = a->wide,
    };
}

static bool fits(const struct row *row) {
    return small_fits(row) && row_money_fits(row->cost) && row_money_fits(row->revenue) &&
           row_money_fits(row->usage);
}

void row_subtract(struct row *row, const struct row *from, struct array *wides) {
    struct row rest = combined(row, from, true);
    if (from->wide == 0 && fits(&rest)) {
        *row = rest;
        return;
    }
    struct sums less = {0};
    row_read(from, wides, &less);
    sums_subtract(spill(row, wides), &less);
}

void row_take(struct row *row, const struct delta *delta, struct array *wides) {
    if (delta->wide) {
        sums_subtract(spill(row, wides), &delta->sums);
        return;
    }
    struct row from = delta->row;
    from.wide = 0;
    row_subtract(row, &from, wides);
}

bool row_is_empty(const struct row *row, const struct array *wides) {
    u64 events = row->events;
    if (row->wide != 0) {
        events += ((const struct sums *)array_at(wides, row->wide))->events;
    }
    return events == 0;
}

void row_empty(struct row *row, struct array *wides) {
    if (row->wide != 0) {
        array_give(wides, row->wide);
        row->wide = 0;
    }
    row_clear(row);
    row->last = 0;
}

void row_merge(struct row *row, const struct row *from, struct array *wides) {
    struct row both = combined(row, from, false);
    if (from->wide == 0 && fits(&both)) {
        *row = both;
        return;
    }
    struct sums more = {0};
    row_read(from, wides, &more);
    sums_add(spill(row, wides), &more);
}

void row_read(const struct row *row, const struct array *wides, struct sums *sums) {
    sums_add_row(sums, row);
    if (row->wide != 0) {
        sums_add(sums, array_at(wides, row->wide));
    }
}
