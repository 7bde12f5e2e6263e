/*
 * row.h: the accumulator of everything: 64 bytes, one cache line. A row is the sum of some events
 * of one series in one bucket of time, or of one cell in one band of age. Its small fields overflow
 * by design: then the row is emptied into a wide sum of its own, which is exact, and counting goes
 * on from zero. So the common case is four 16-byte additions and one test.
 *
 * Bounds that make the test cheap: money and usage stay within +-2^62, tokens and durations below
 * 2^31, counts below 2^15; then one addition cannot wrap, and leaving the range is seen in one bit.
 */
#ifndef MARGIN_AGG_ROW_H
#define MARGIN_AGG_ROW_H

#include "agg/array.h"
#include "base.h"
#include "event.h"

struct row {
    i64 cost;
    i64 revenue;
    i64 usage;
    u32 duration_ms;
    u32 series; /* owner; ROW_FREE if none */
    u32 input;
    u32 output;
    u32 cached;
    u32 cache_write;
    u16 events;
    u16 durations;
    u16 unpriced;
    u16 stamp; /* low bits of the bucket number, so that a cursor can tell its row */
    u32 last;  /* latest event, ms from the bucket's start */
    u32 wide;  /* index of the wide sum; 0: none */
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct row) == 64, "a row is a cache line");

#define ROW_FREE UINT32_MAX

/* Exact sums. Counts are modulo 2^64, so that taking rows away again is exact too. */
struct sums {
    i128 cost;
    i128 revenue;
    i128 usage;
    u64 events;
    u64 input;
    u64 output;
    u64 cached;
    u64 cache_write;
    u64 duration_ms;
    u64 durations;
    u64 unpriced;
};
_Static_assert(sizeof(struct sums) == 112, "no padding, for snapshots");

/* Two of the eight words of a row. */
typedef u64 row_pair __attribute__((vector_size(16), may_alias));

/* What one event adds. Written in the pieces in which it is read, or the processor could not pass
 * the one on to the other without a detour through the cache. */
struct delta {
    union {
        struct row row; /* defined if !wide, its money always */
        row_pair pairs[4];
    };
    struct sums sums; /* defined if wide */
    bool wide;        /* a field is out of a row's range */
};

#define ROW_MONEY_MAX ((i64)1 << 62)
#define ROW_COUNT_MAX (1u << 15)
#define ROW_TOKENS_MAX (1u << 31)

static inline i64 delta_number(const struct event_batch *batch, u32 index,
                               enum event_number number) {
    return event_has_number(batch, index, number) ? batch->number[number][index] : 0;
}

static inline bool row_money_fits(i64 value) {
    return value >= -ROW_MONEY_MAX && value < ROW_MONEY_MAX;
}

/* The sums of an event whose fields do not fit a row. */
void delta_read_wide(struct delta *delta, const struct event_batch *batch, u32 index);

static inline __attribute__((always_inline)) void
delta_read(struct delta *delta, const struct event_batch *batch, u32 index) {
    bool foreign = (batch->flags[index] & EVENT_FLAG_FOREIGN_UNIT) != 0;
    i64 cost = foreign ? 0 : delta_number(batch, index, NUM_COST);
    i64 revenue = delta_number(batch, index, NUM_REVENUE);
    i64 usage = delta_number(batch, index, NUM_USAGE);
    u64 input = (u64)delta_number(batch, index, NUM_INPUT);
    u64 output = (u64)delta_number(batch, index, NUM_OUTPUT);
    u64 cached = (u64)delta_number(batch, index, NUM_CACHED);
    u64 cache_write = (u64)delta_number(batch, index, NUM_CACHE_WRITE);
    u64 duration = (u64)delta_number(batch, index, NUM_DURATION);
    u64 durations = event_has_number(batch, index, NUM_DURATION);
    u64 unpriced = batch->cost_source[index] == COST_UNPRICED;
    delta->pairs[0] = (row_pair){(u64)cost, (u64)revenue};
    delta->pairs[1] = (row_pair){(u64)usage, duration & UINT32_MAX};
    delta->pairs[2] =
        (row_pair){(input & UINT32_MAX) | output << 32, (cached & UINT32_MAX) | cache_write << 32};
    delta->pairs[3] = (row_pair){1 | durations << 16 | unpriced << 32, 0};
    delta->wide = (input | output | cached | cache_write | duration) >= ROW_TOKENS_MAX ||
                  !row_money_fits(cost) || !row_money_fits(revenue) || !row_money_fits(usage);
    if (unlikely(delta->wide)) {
        delta_read_wide(delta, batch, index);
    }
}

static inline void sums_add_row(struct sums *sums, const struct row *row) {
    sums->cost += row->cost;
    sums->revenue += row->revenue;
    sums->usage += row->usage;
    sums->events += row->events;
    sums->input += row->input;
    sums->output += row->output;
    sums->cached += row->cached;
    sums->cache_write += row->cache_write;
    sums->duration_ms += row->duration_ms;
    sums->durations += row->durations;
    sums->unpriced += row->unpriced;
}

/* Empties the row into its wide sum, then adds the delta there or to the row. */
void row_add_slow(struct row *row, const struct delta *delta, struct array *wides);
/* Moves what `from` counts out of `row` (a row that contains it) into `into`. */
void row_subtract(struct row *row, const struct row *from, struct array *wides);
/* Takes an event's part out of a row that has it. */
void row_take(struct row *row, const struct delta *delta, struct array *wides);
void row_merge(struct row *row, const struct row *from, struct array *wides);
/* No events: whatever it has been through. */
bool row_is_empty(const struct row *row, const struct array *wides);
/* Empties the row: what it counts, and when; gives its wide sum back. */
void row_empty(struct row *row, struct array *wides);
/* Row and wide sum together. */
void row_read(const struct row *row, const struct array *wides, struct sums *sums);

/* Where rows of buckets have stamp and last, those of the newest band have when their owner was
 * last seen: time + 1, its high and low bits, 0 for never. */
static inline i64 row_seen(const struct row *row) {
    i64 seen = (i64)row->stamp << 32 | row->last;
    return seen == 0 ? INT64_MIN : seen - 1;
}

static inline void row_see(struct row *row, i64 time) {
    if (time > row_seen(row)) {
        row->stamp = (u16)((u64)(time + 1) >> 32);
        row->last = (u32)(u64)(time + 1);
    }
}

/* How the time of a row moves on with an event: not, to the offset in its bucket, or to the time
 * when its owner was seen. */
enum row_time { TIME_NONE, TIME_LAST, TIME_SEEN };

/* Adds an event. The row must have been opened with array_edit(). The time is the event's, from the
 * bucket's start for TIME_LAST. */
static inline __attribute__((always_inline)) void row_add(struct row *row,
                                                          const struct delta *delta,
                                                          struct array *wides, enum row_time kind,
                                                          i64 time) {
    const row_pair high = {(u64)1 << 63, (u64)1 << 63};
    const row_pair usage_lane = {UINT64_MAX, 0};
    const row_pair usage_high = {(u64)1 << 63, (u64)1 << 31};
    const row_pair token_high = {0x8000000080000000u, 0x8000000080000000u};
    const row_pair count_high = {0x0000800080008000u, 0};
    row_pair *out = (row_pair *)(void *)row;
    const row_pair *in = delta->pairs;
    row_pair money = out[0] + in[0];
    row_pair usage = out[1] + in[1];
    row_pair tokens = out[2] + in[2]; /* 32-bit lanes stay below 2^32: no carry between them */
    row_pair counts = out[3] + in[3];
    row_pair bad = (money ^ (money + money)) & high;
    bad |= (usage ^ ((usage + usage) & usage_lane)) & usage_high;
    bad |= tokens & token_high;
    bad |= counts & count_high;
    if (unlikely(delta->wide || (bad[0] | bad[1]) != 0)) {
        row_add_slow(row, delta, wides);
        if (kind == TIME_LAST) {
            row->last = MAX(row->last, (u32)time);
        } else if (kind == TIME_SEEN) {
            row_see(row, time);
        }
        return;
    }
    /* Stored in the pieces in which the next addition reads it. */
    u64 last = kind == TIME_SEEN ? (u64)time + 1 : (u64)time;
    bool later = kind == TIME_SEEN && unlikely(counts[0] >> 48 != last >> 32);
    if (kind != TIME_NONE && !later) {
        counts[1] = (counts[1] & ~(u64)UINT32_MAX) | MAX((u32)counts[1], (u32)last);
    }
    out[0] = money;
    out[1] = usage;
    out[2] = tokens;
    out[3] = counts;
    if (later) {
        row_see(row, time);
    }
}

#endif
