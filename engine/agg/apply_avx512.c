/*
 * apply_avx512.c: the kernel for processors with AVX-512 (Ice Lake, Zen 4 and later). What eight
 * events add is read from their columns at once and turned into eight rows. A row is one register,
 * so the seven rows that an event adds to are summed side by side, their ranges are tested with one
 * branch, and only then are they stored. Whatever is out of the ordinary is found before anything
 * has changed, and such an event takes the common path: see apply_event().
 */
#include "agg/apply.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define BLOCK 8
#define COLUMN_AHEAD 32 /* how far ahead columns are fetched, in events */
#define LANE_COUNTS 6   /* of a row's eight: events, durations, unpriced, stamp */
#define ITEM_LAST 14    /* of its sixteen */

/* What a block of events adds. */
struct block {
    struct row row[BLOCK];
    u32 part[BLOCK]; /* of their tallies */
    __mmask8 odd;    /* take the common path */
    __mmask8 texts;  /* have an agent or a trace */
};

/* Where the figures take events in the ordinary way. */
struct bounds {
    i64 from; /* ms */
    i64 month_from;
    i64 to;
    bool snapshot; /* one runs: old bytes are to be kept */
};

/* --- reading ---------------------------------------------------------------------------------- */

struct places {
    __m256i rows;
    u32 first;
    bool near; /* neighbours, as nearly always */
    __mmask8 valid;
};

static inline struct places places_of(const u32 *rows, u32 count) {
    struct places places = {.first = rows[0], .valid = (__mmask8)((1u << count) - 1)};
    const __m256i steps = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    __m256i near = _mm256_add_epi32(_mm256_set1_epi32((i32)rows[0]), steps);
    places.rows = _mm256_mask_loadu_epi32(near, places.valid, rows);
    places.near = _mm256_cmpneq_epu32_mask(places.rows, near) == 0;
    return places;
}

static inline __m512i read64(struct places places, const i64 *column) {
    __builtin_prefetch(column + places.first + COLUMN_AHEAD);
    return likely(places.near) ? _mm512_loadu_si512(column + places.first)
                               : _mm512_mask_i32gather_epi64(_mm512_setzero_si512(), places.valid,
                                                             places.rows, column, 8);
}

static inline __m256i read32(struct places places, const u32 *column) {
    return likely(places.near) ? _mm256_loadu_si256((const __m256i *)(column + places.first))
                               : _mm256_mmask_i32gather_epi32(_mm256_setzero_si256(), places.valid,
                                                              places.rows, column, 4);
}

static inline __m256i read8(struct places places, const u8 *column) {
    if (likely(places.near)) {
        return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(column + places.first)));
    }
    /* The three bytes behind an element are of the batch, too. */
    __m256i words =
        _mm256_mmask_i32gather_epi32(_mm256_setzero_si256(), places.valid, places.rows, column, 1);
    return _mm256_and_si256(words, _mm256_set1_epi32(255));
}

/* Eight rows from the eight numbers of each. */
static inline void transpose(struct row *out, const __m512i *in) {
    __m512i pair[8];
    __m512i four[8];
#pragma GCC unroll 16
    for (u32 i = 0; i < 8; i += 2) {
        pair[i] = _mm512_unpacklo_epi64(in[i], in[i + 1]);
        pair[i + 1] = _mm512_unpackhi_epi64(in[i], in[i + 1]);
    }
#pragma GCC unroll 16
    for (u32 i = 0; i < 2; i++) { /* 128-bit pieces of events i, i + 2 | i + 4, i + 6 */
        four[i] = _mm512_shuffle_i64x2(pair[i], pair[i + 2], 0x88);
        four[i + 2] = _mm512_shuffle_i64x2(pair[i], pair[i + 2], 0xdd);
        four[i + 4] = _mm512_shuffle_i64x2(pair[i + 4], pair[i + 6], 0x88);
        four[i + 6] = _mm512_shuffle_i64x2(pair[i + 4], pair[i + 6], 0xdd);
    }
#pragma GCC unroll 16
    for (u32 i = 0; i < 4; i++) {
        _mm512_store_si512(&out[i], _mm512_shuffle_i64x2(four[i], four[i + 4], 0x88));
        _mm512_store_si512(&out[i + 4], _mm512_shuffle_i64x2(four[i], four[i + 4], 0xdd));
    }
}

/* As delta_read(). Returns those that are out of a row's range. */
static inline __mmask8 rows_read(struct row *out, const struct event_batch *batch,
                                 struct places places, __m256i present) {
    __m512i number[NUM_COUNT];
#pragma GCC unroll 16
    for (u32 i = 0; i < NUM_COUNT; i++) {
        if (i != NUM_TIME && i != NUM_REASONING) {
            __mmask8 has = _mm256_test_epi32_mask(present, _mm256_set1_epi32((i32)NUM_BIT(i)));
            number[i] = _mm512_setzero_si512();
            if (has != 0) { /* columns that nobody has are not touched */
                number[i] = _mm512_maskz_mov_epi64(has, read64(places, batch->number[i]));
            }
        }
    }
    __mmask8 foreign = _mm256_test_epi32_mask(read8(places, batch->flags),
                                              _mm256_set1_epi32(EVENT_FLAG_FOREIGN_UNIT));
    __mmask8 unpriced = _mm256_cmpeq_epi32_mask(read8(places, batch->cost_source),
                                                _mm256_set1_epi32(COST_UNPRICED));
    __mmask8 durations =
        _mm256_test_epi32_mask(present, _mm256_set1_epi32((i32)NUM_BIT(NUM_DURATION)));
    number[NUM_COST] = _mm512_maskz_mov_epi64((__mmask8)~foreign, number[NUM_COST]);

    const __m512i half = _mm512_set1_epi64(ROW_MONEY_MAX);
    __m512i money = _mm512_add_epi64(number[NUM_COST], half);
    money = _mm512_or_si512(money, _mm512_add_epi64(number[NUM_REVENUE], half));
    money = _mm512_or_si512(money, _mm512_add_epi64(number[NUM_USAGE], half));
    __m512i counts = _mm512_or_si512(number[NUM_INPUT], number[NUM_OUTPUT]);
    counts = _mm512_or_si512(counts, _mm512_or_si512(number[NUM_CACHED], number[NUM_CACHE_WRITE]));
    counts = _mm512_or_si512(counts, number[NUM_DURATION]);
    __mmask8 wide = _mm512_movepi64_mask(money) |
                    _mm512_cmpge_epu64_mask(counts, _mm512_set1_epi64(ROW_TOKENS_MAX));

    __m512i tally = _mm512_set1_epi64(1);
    tally = _mm512_mask_or_epi64(tally, durations, tally, _mm512_set1_epi64((i64)1 << 16));
    tally = _mm512_mask_or_epi64(tally, unpriced, tally, _mm512_set1_epi64((i64)1 << 32));
    const __m512i lanes[8] = {
        number[NUM_COST],
        number[NUM_REVENUE],
        number[NUM_USAGE],
        number[NUM_DURATION],
        _mm512_or_si512(number[NUM_INPUT], _mm512_slli_epi64(number[NUM_OUTPUT], 32)),
        _mm512_or_si512(number[NUM_CACHED], _mm512_slli_epi64(number[NUM_CACHE_WRITE], 32)),
        tally,
        _mm512_setzero_si512(),
    };
    transpose(out, lanes);
    return wide;
}

/* As tally_part(). */
static inline __m256i parts_of(const struct event_batch *batch, struct places places,
                               __m256i present) {
    const __m256i both = _mm256_set1_epi32((i32)(NUM_BIT(NUM_INPUT) | NUM_BIT(NUM_OUTPUT)));
    __mmask8 known = _mm256_cmpeq_epi32_mask(_mm256_and_si256(present, both), both);
    __m256i part =
        _mm256_mullo_epi32(read8(places, batch->source), _mm256_set1_epi32(REVENUE_SOURCES));
    part = _mm256_slli_epi32(_mm256_add_epi32(part, read8(places, batch->revenue_source)), 1);
    return _mm256_mask_add_epi32(part, known, part, _mm256_set1_epi32(1));
}

static inline struct bounds bounds_of(const struct agg *agg) {
    i64 from = agg->fold[WIDTH_MINUTE].next + MINUTE_MS; /* before, minutes are folded already, */
    from = MAX(from, agg->edge[0] + HOUR_MS);            /* bands are not the newest, */
    from = MAX(from, agg->tallies.edge);                 /* hours are no longer kept, */
    from = MAX(from, agg->months.start);                 /* it is another month */
    bool snapshot = (agg->series.snap_end | agg->cells.snap_end | agg->tallies.rows.snap_end |
                     agg->width[WIDTH_MINUTE].rows.snap_end) != 0;
    return (struct bounds){from, agg->months.start, agg->months.end, snapshot};
}

static inline void block_read(struct block *block, const struct bounds *bounds,
                              const struct event_batch *batch, const u32 *rows, u32 count) {
    const __m256i texts = _mm256_set1_epi32((i32)(TEXT_BIT(TEXT_AGENT) | TEXT_BIT(TEXT_TRACE)));
    struct places places = places_of(rows, count);
    __m256i present = read32(places, batch->present);
    __m512i time = read64(places, batch->number[NUM_TIME]);
    block->odd = rows_read(block->row, batch, places, present) |
                 _mm512_cmplt_epi64_mask(time, _mm512_set1_epi64(bounds->from)) |
                 _mm512_cmpge_epi64_mask(time, _mm512_set1_epi64(bounds->to));
    block->texts = _mm256_test_epi32_mask(present, texts);
    _mm256_storeu_si256((__m256i *)block->part, parts_of(batch, places, present));
}

/* --- adding ----------------------------------------------------------------------------------- */

/* The rows that an event adds to; those after the first two have the time in full. */
enum target {
    TARGET_MINUTE,
    TARGET_TALLY,
    TARGET_SERIES,
    TARGET_CELLS,
    TARGETS = TARGET_CELLS + KINDS
};

static __attribute__((noinline)) void keep_old(struct agg *agg, const struct series *series,
                                               u32 index) {
    array_edit(&agg->series, index);
    array_edit(&agg->width[WIDTH_MINUTE].rows, series->row[WIDTH_MINUTE]);
    array_edit(&agg->tallies.rows, series->tally_row);
    for (u32 kind = 0; kind < KINDS; kind++) {
        array_edit(&agg->cells, series->cell[kind]);
    }
}

/* Adds to the rows; false, and nothing has changed: some sum is out of range, or some time differs
 * in its high bits. */
static inline __attribute__((always_inline)) bool add_rows(struct agg *agg, struct row *const *rows,
                                                           const struct row *added, i64 time,
                                                           const struct bounds *bounds, u32 index) {
    const i64 high = (i64)((u64)1 << 63);
    const i64 both = (i64)0x8000000080000000u;
    const i64 counts = 0x0000800080008000;
    const i64 stamps = (i64)((u64)UINT16_MAX << 48);
    /* What is out of +-2^62 has the first bit set once 2^62 is added. */
    const __m512i half =
        _mm512_setr_epi64(ROW_MONEY_MAX, ROW_MONEY_MAX, ROW_MONEY_MAX, 0, 0, 0, 0, 0);
    const __m512i over = _mm512_setr_epi64(high, high, high, (i64)1 << 31, both, both, counts, 0);
    const __m512i over_seen =
        _mm512_setr_epi64(high, high, high, (i64)1 << 31, both, both, counts | stamps, 0);
    const __mmask16 last = 1 << ITEM_LAST;
    u64 seen = (u64)time + 1;
    __m512i stamp = _mm512_maskz_set1_epi64(1 << LANE_COUNTS, (i64)(seen >> 32 << 48));
    __m512i add = _mm512_load_si512(added);
    __m512i sum[TARGETS];
    __m512i bad = _mm512_setzero_si512();
#pragma GCC unroll 16
    for (u32 i = 0; i < TARGETS; i++) {
        sum[i] = _mm512_add_epi64(_mm512_load_si512(rows[i]), add);
        __m512i shown = _mm512_add_epi64(sum[i], half);
        if (i < TARGET_SERIES) {
            bad = _mm512_ternarylogic_epi64(bad, shown, over, 0xf8); /* bad | (shown & over) */
        } else {
            shown = _mm512_xor_si512(shown, stamp);
            bad = _mm512_ternarylogic_epi64(bad, shown, over_seen, 0xf8);
        }
    }
    if (unlikely(_mm512_test_epi64_mask(bad, bad) != 0)) {
        return false;
    }
    if (unlikely(bounds->snapshot)) {
        keep_old(agg, series_at(agg, index), index);
    }
    u32 time_of[TARGETS] = {(u32)((u64)time % MINUTE_MS), (u32)((u64)time % HOUR_MS)};
#pragma GCC unroll 16
    for (u32 i = 0; i < TARGETS; i++) {
        __m512i at = _mm512_set1_epi32((i32)(i < TARGET_SERIES ? time_of[i] : (u32)seen));
        _mm512_store_si512(rows[i], _mm512_mask_max_epu32(sum[i], last, sum[i], at));
    }
    return true;
}

/* Adds an event of the block; false, and nothing has changed: it takes the common path. */
static inline __attribute__((always_inline)) bool add_known(struct agg *agg,
                                                            const struct event_batch *batch, u32 i,
                                                            const struct block *block, u32 k,
                                                            const struct bounds *bounds) {
    u32 index = batch->series[i];
    i64 time = batch->number[NUM_TIME][i];
    u32 minute = (u32)((u64)time / MINUTE_MS);
    u32 hour = (u32)((u64)time / HOUR_MS);
    struct series *series = array_fast(&agg->series, index, SHIFT_SERIES, sizeof *series);
    const struct width_rows *minutes = &agg->width[WIDTH_MINUTE];
    i64 seen = row_seen(&series->newest);
    if (unlikely(!cursor_fits(minutes, series->row[WIDTH_MINUTE], index, minute) ||
                 !tally_cursor_fits(agg, series, block->part[k], hour) || time < series->first ||
                 seen < bounds->month_from || seen >= bounds->to)) {
        return false;
    }
    struct row *rows[TARGETS] = {row_at(&minutes->rows, series->row[WIDTH_MINUTE]),
                                 row_at(&agg->tallies.rows, series->tally_row), &series->newest};
#pragma GCC unroll 16
    for (u32 kind = 0; kind < KINDS; kind++) {
        struct cell *cell = array_fast(&agg->cells, series->cell[kind], SHIFT_CELLS, sizeof *cell);
        rows[TARGET_CELLS + kind] = &cell->newest;
    }
    if (unlikely(!add_rows(agg, rows, &block->row[k], time, bounds, index))) {
        return false;
    }
    changes_note(agg, batch->account, rows[TARGET_CELLS + KIND_CUSTOMER],
                 rows[TARGET_CELLS + KIND_FEATURE], 0, &block->row[k]);
    if (unlikely((block->texts >> k & 1) != 0)) {
        apply_texts(agg, batch, i);
    }
    agg->newest =
        MAX(agg->newest, time); /* its series has an earlier one, so it is not the oldest */
    return true;
}

void apply_slice_avx512(struct agg *agg, const struct event_batch *batch, const u32 *rows,
                        u32 count) {
    struct block block;
    for (u32 at = 0; at < MIN(count, (u32)HAND_SERIES); at++) {
        hand_series(agg, batch, rows[at]);
    }
    for (u32 at = 0; at < MIN(count, (u32)HAND_ROWS); at++) {
        hand_rows(agg, batch, rows[at]);
    }
    for (u32 from = 0; from < count; from += BLOCK) {
        u32 some = MIN(count - from, (u32)BLOCK);
        struct bounds bounds = bounds_of(agg);
        block_read(&block, &bounds, batch, rows + from, some);
        for (u32 k = 0; k < some; k++) {
            u32 at = from + k;
            if (at + HAND_SERIES < count) {
                hand_series(agg, batch, rows[at + HAND_SERIES]);
            }
            if (at + HAND_ROWS < count) {
                hand_rows(agg, batch, rows[at + HAND_ROWS]);
            }
            if (unlikely((block.odd >> k & 1) != 0 ||
                         !add_known(agg, batch, rows[at], &block, k, &bounds))) {
                apply_event(agg, batch, rows[at]);
            }
        }
    }
}

#endif
