/*
 * agg.c: making the figures and adding events to them.
 *
 * An event adds to six rows: its series' minute (hour and day follow later: fold.c), the series'
 * newest band, and those of customer, feature, model and cost type. Each is one cache line, and
 * most are cold; so a slice of events is walked by three hands, the first fetching the series, the
 * second what the series points to, well ahead of the one that adds.
 */
#include "agg/agg.h"

#include "agg/state.h"

#include <stdlib.h>
#include <string.h>

#define SLICE_EVENTS 1024 /* applied while readers wait */
#define HAND_ROWS 12      /* how far each hand is ahead, in events */
#define HAND_SERIES 26
#define KINDS_COLD 2 /* customers and features; models and cost types are few and warm */

#define RECORDS_MAX (UINT32_MAX - ((u32)1 << 16))
#define TIME_MAX ((i64)1 << 46) /* ms; bucket numbers fit 32 bits */
#define MINUTES_DEFAULT 180
#define ADVANCE_ROWS 32768 /* about two milliseconds */
#define RANKED_MIN 2048    /* fewer customers are looked at one by one as fast */
#define MINUTES_MAX (7 * 24 * 60)

struct array *agg_array(struct agg *agg, u32 id) {
    struct array *fixed[] = {
        [ARRAY_DIMS] = &agg->dims,     [ARRAY_HASHES] = &agg->hashes,
        [ARRAY_SERIES] = &agg->series, [ARRAY_AGENTS] = &agg->agents,
        [ARRAY_TEXTS] = &agg->texts,   [ARRAY_ENTITIES] = &agg->entities,
        [ARRAY_CELLS] = &agg->cells,   [ARRAY_RESTS] = &agg->rests,
        [ARRAY_BANDS] = &agg->bands,   [ARRAY_WIDES] = &agg->wides,
        [ARRAY_TRACES] = &agg->traces,
    };
    check(id < ARRAYS);
    if (id >= ARRAY_ROWS) {
        return &agg->width[id - ARRAY_ROWS].rows;
    }
    return id >= ARRAY_VALUES ? &agg->values[id - ARRAY_VALUES] : fixed[id];
}

static bool arrays_init(struct agg *agg) {
    static const struct {
        u32 record_bytes;
        u32 shift;
        u64 record_max;
    } shape[] = {
        [ARRAY_DIMS] = {sizeof(u32) * STORE_DIMS, SHIFT_DIMS, SERIES_MAX},
        [ARRAY_HASHES] = {sizeof(struct hash128), 13, SERIES_MAX},
        [ARRAY_SERIES] = {sizeof(struct series), SHIFT_SERIES, SERIES_MAX},
        [ARRAY_AGENTS] = {sizeof(struct value), 12, DIM_VALUES_MAX},
        [ARRAY_TEXTS] = {TEXT_UNIT_BYTES, 14, RECORDS_MAX},
        [ARRAY_ENTITIES] = {sizeof(struct entity), SHIFT_ENTITIES, SERIES_MAX * (u64)2},
        [ARRAY_CELLS] = {sizeof(struct cell), SHIFT_CELLS, SERIES_MAX * (u64)2},
        [ARRAY_RESTS] = {sizeof(struct cell_rest), SHIFT_CELLS, SERIES_MAX * (u64)2},
        [ARRAY_BANDS] = {sizeof(struct row), SHIFT_ROWS, RECORDS_MAX},
        [ARRAY_WIDES] = {sizeof(struct sums), 11, RECORDS_MAX},
        [ARRAY_TRACES] = {sizeof(struct trace), 11, TRACES_MAX},
        [ARRAY_VALUES] = {sizeof(struct value), 12, DIM_VALUES_MAX},
        [ARRAY_ROWS] = {sizeof(struct row), SHIFT_ROWS, RECORDS_MAX},
    };
    if (!array_init(&agg->links, &agg->heap, &agg->undo, ARRAYS, sizeof(struct link), SHIFT_LINKS,
                    SERIES_MAX) ||
        !array_init(&agg->owners, &agg->heap, &agg->undo, ARRAYS, sizeof(struct owner),
                    SHIFT_OWNERS, SERIES_MAX * (u64)2)) { /* rebuilt, not saved */
        return false;
    }
    for (u32 id = 0; id < ARRAYS; id++) {
        u32 like = id >= ARRAY_ROWS ? ARRAY_ROWS : MIN(id, (u32)ARRAY_VALUES);
        struct array *array = agg_array(agg, id);
        if (!array_init(array, &agg->heap, &agg->undo, id, shape[like].record_bytes,
                        shape[like].shift, shape[like].record_max)) {
            return false;
        }
        bool none = id == ARRAY_ENTITIES || id == ARRAY_CELLS || id == ARRAY_RESTS ||
                    id == ARRAY_BANDS || id == ARRAY_WIDES ||
                    id >= ARRAY_ROWS; /* record 0 stands for none */
        if (none && !array_reserve(array, PARTITION_CHUNK)) {
            return false;
        }
        array->count = id >= ARRAY_ROWS ? PARTITION_CHUNK : none;
        if (id >= ARRAY_ROWS) {
            ((struct row *)array_at(array, 0))->series = ROW_FREE;
        }
    }
    return true;
}

static bool agg_init(struct agg *agg, const struct agg_options *options) {
    pthread_rwlockattr_t attributes;
    pthread_rwlockattr_init(&attributes);
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    bool locked = pthread_rwlock_init(&agg->lock, &attributes) == 0;
    pthread_rwlockattr_destroy(&attributes);
    if (!locked) {
        return false;
    }
    heap_init(&agg->heap);
    agg->seed = options->seed;
    agg->minutes_kept =
        options->minutes_kept == 0 ? MINUTES_DEFAULT : MIN(options->minutes_kept, (u32)MINUTES_MAX);
    agg->advance_rows = options->advance_rows == 0 ? ADVANCE_ROWS : options->advance_rows;
    agg->ranked_min = options->ranked_min == 0 ? RANKED_MIN : options->ranked_min;
    agg->series_max = options->series_max == 0 ? SERIES_MAX : options->series_max;
    agg->trace_max = options->trace_max == 0 ? TRACES_MAX : options->trace_max;
    agg->agent_max = options->agent_max == 0 ? DIM_VALUES_MAX : options->agent_max;
    agg->oldest = INT64_MAX;
    agg->newest = INT64_MIN;
    width_init(&agg->width[WIDTH_MINUTE], MINUTE_MS);
    width_init(&agg->width[WIDTH_HOUR], HOUR_MS);
    width_init(&agg->width[WIDTH_DAY], DAY_MS);
    agg->accounts = calloc(ACCOUNTS_MAX, sizeof *agg->accounts);
    agg->changed = calloc(CHANGED_RING, sizeof *agg->changed);
    return agg->accounts != NULL && agg->changed != NULL && arrays_init(agg) && rankings_init(agg);
}

enum err agg_create(const struct agg_options *options, struct agg **out) {
    struct agg *agg = calloc(1, sizeof *agg);
    if (agg == NULL) {
        return ERR_NO_MEMORY;
    }
    if (!agg_init(agg, options)) {
        agg_destroy(agg);
        return ERR_NO_MEMORY;
    }
    agg_memory_publish(agg);
    *out = agg;
    return ERR_OK;
}

void agg_destroy(struct agg *agg) {
    if (agg == NULL) {
        return;
    }
    agg_snapshot_end(agg);
    rankings_free(agg);
    heap_destroy(&agg->heap);
    pthread_rwlock_destroy(&agg->lock);
    free(agg->accounts);
    free(agg->changed);
    free(agg->pending);
    free(agg);
}

bool agg_account_make(struct agg *agg, u32 account) {
    if (agg->accounts[account] != NULL) {
        return true;
    }
    agg->accounts[account] = heap_take(&agg->heap, sizeof(struct account));
    agg->account_max = MAX(agg->account_max, account + 1);
    return agg->accounts[account] != NULL;
}

void agg_memory_publish(struct agg *agg) {
    __atomic_store_n(&agg->memory_bytes, agg->heap.bytes_out, __ATOMIC_RELAXED);
}

u64 agg_memory_bytes(const struct agg *agg) {
    return __atomic_load_n(&agg->memory_bytes, __ATOMIC_RELAXED);
}

struct agg_left_out agg_left_out(const struct agg *agg) {
    return (struct agg_left_out){__atomic_load_n(&agg->traces_left_out, __ATOMIC_RELAXED),
                                 __atomic_load_n(&agg->agents_left_out, __ATOMIC_RELAXED)};
}

u64 agg_version(const struct agg *agg) {
    return __atomic_load_n(&agg->version, __ATOMIC_ACQUIRE);
}

void agg_read_lock(struct agg *agg) {
    pthread_rwlock_rdlock(&agg->lock);
}

void agg_read_unlock(struct agg *agg) {
    pthread_rwlock_unlock(&agg->lock);
}

/* --- applying --------------------------------------------------------------------------------- */

u32 agg_cell_make(struct agg *agg) {
    u32 index = array_add(&agg->cells);
    check(array_add(&agg->rests) == index);
    ((struct cell *)array_at(&agg->cells, index))->newest.series = UINT32_MAX;
    ((struct cell_rest *)array_at(&agg->rests, index))->first = INT64_MAX;
    return index;
}

/* The event may be the cell's first: only the rest knows exactly. */
static __attribute__((noinline)) void see_first(struct agg *agg, u32 index, struct cell *cell,
                                                i64 time) {
    struct cell_rest *rest = record_edit(&agg->rests, index, SHIFT_CELLS, sizeof *rest);
    rest->first = MIN(rest->first, time);
    cell->newest.series = (u32)(rest->first >> FIRST_SHIFT);
}

static __attribute__((noinline)) void add_older(struct agg *agg, u32 index, struct cell *cell,
                                                u32 band, i64 time, const struct delta *delta) {
    struct cell_rest *rest = record_edit(&agg->rests, index, SHIFT_CELLS, sizeof *rest);
    row_add(band_edit(agg, NULL, rest->band, band), delta, &agg->wides, TIME_NONE, 0);
    row_see(&cell->newest, time);
}

static inline __attribute__((always_inline)) void add_cell(struct agg *agg, u32 index, u32 band,
                                                           i64 time, const struct delta *delta) {
    struct cell *cell = record_edit(&agg->cells, index, SHIFT_CELLS, sizeof *cell);
    if (unlikely((u64)time >> FIRST_SHIFT <= cell->newest.series)) {
        see_first(agg, index, cell, time);
    }
    if (likely(band == 0)) {
        row_add(&cell->newest, delta, &agg->wides, TIME_SEEN, time);
    } else {
        add_older(agg, index, cell, band, time, delta);
    }
}

void agg_cell_add(struct agg *agg, u32 index, u32 band, i64 time, const struct delta *delta) {
    add_cell(agg, index, band, time, delta);
}

/* Adds to the series' row of one width, through the cursor if it still fits. Returns the row. */
static inline __attribute__((always_inline)) u32 add_width(struct agg *agg, enum width kind,
                                                           u32 index, struct series *series,
                                                           i64 time, const struct delta *delta) {
    struct width_rows *width = &agg->width[kind];
    const i64 ms = width_ms(kind);
    u32 bucket = (u32)(time / ms);
    u32 at = series->row[kind];
    if (unlikely(!cursor_fits(width, at, index, bucket))) {
        at = partition_row(agg, kind, bucket, index);
        series->row[kind] = at;
    }
    struct row *row = row_edit(&width->rows, at);
    row_add(row, delta, &agg->wides, TIME_LAST, time - (i64)bucket * ms);
    return at;
}

/* An event that comes for a bucket which is folded already, or no longer kept, goes to the wider
 * ones, too. Returns the row of the hour it was added to; 0: none. */
static u32 add_late(struct agg *agg, u32 index, struct series *series, i64 time,
                    const struct delta *delta) {
    u32 hour_row = 0;
    if (time >= agg->width[WIDTH_MINUTE].edge) {
        u32 row = add_width(agg, WIDTH_MINUTE, index, series, time, delta);
        if (!agg_is_folded(agg, WIDTH_MINUTE, time, row)) {
            return 0;
        }
    }
    if (time >= agg->width[WIDTH_HOUR].edge) {
        hour_row = add_width(agg, WIDTH_HOUR, index, series, time, delta);
        if (!agg_is_folded(agg, WIDTH_HOUR, time, hour_row)) {
            return hour_row;
        }
    }
    add_width(agg, WIDTH_DAY, index, series, time, delta);
    return hour_row;
}

static void apply_event(struct agg *agg, const struct event_batch *batch, u32 i) {
    u32 index = batch->series[i];
    i64 time = batch->number[NUM_TIME][i];
    struct delta delta;
    delta_read(&delta, batch, i);
    struct series *series = record_edit(&agg->series, index, SHIFT_SERIES, sizeof *series);
    u32 hour_row = 0;
    if (likely(time >= agg->fold[WIDTH_MINUTE].next + MINUTE_MS)) {
        add_width(agg, WIDTH_MINUTE, index, series, time, &delta);
    } else {
        hour_row = add_late(agg, index, series, time, &delta);
    }
    u32 band = agg_band_of(agg, time, hour_row);
    if (unlikely(time < series->first)) {
        series->first = time;
    }
    if (likely(band == 0)) {
        row_add(&series->newest, &delta, &agg->wides, TIME_SEEN, time);
    } else {
        struct row *row = band_edit(agg, NULL, series->band, band);
        row_add(row, &delta, &agg->wides, TIME_NONE, 0);
        row_see(&series->newest, time);
    }
    changes_note(agg, series->cell[KIND_CUSTOMER], band, &delta);
    for (u32 kind = 0; kind < KINDS; kind++) {
        add_cell(agg, series->cell[kind], band, time, &delta);
    }
    if (event_has_text(batch, i, TEXT_AGENT)) {
        agg_agent_add(agg, batch, i, &delta);
    }
    if (event_has_text(batch, i, TEXT_TRACE)) {
        agg_trace_add(agg, batch, i, delta.row.cost);
    }
    agg->oldest = MIN(agg->oldest, time);
    agg->newest = MAX(agg->newest, time);
}

/* Inlined by force: gcc takes a function that only prefetches for one without effect, and drops the
 * call. */
static inline __attribute__((always_inline)) void
hand_rows(const struct agg *agg, const struct event_batch *batch, u32 i) {
    const struct series *series = series_at(agg, batch->series[i]);
    __builtin_prefetch(row_at(&agg->width[WIDTH_MINUTE].rows, series->row[WIDTH_MINUTE]), 1);
    for (u32 kind = 0; kind < KINDS_COLD; kind++) {
        __builtin_prefetch(cell_at(agg, series->cell[kind]), 1);
    }
}

static void apply_slice(struct agg *agg, const struct event_batch *batch, const u32 *rows,
                        u32 count) {
    for (u32 at = 0; at < count + HAND_SERIES; at++) {
        if (at < count) {
            const struct series *series = series_at(agg, batch->series[rows[at]]);
            __builtin_prefetch(series);
            __builtin_prefetch(&series->newest, 1);
        }
        if (at >= HAND_SERIES - HAND_ROWS && at - (HAND_SERIES - HAND_ROWS) < count) {
            hand_rows(agg, batch, rows[at - (HAND_SERIES - HAND_ROWS)]);
        }
        if (at >= HAND_SERIES) {
            apply_event(agg, batch, rows[at - HAND_SERIES]);
        }
    }
}

void agg_apply(struct agg *agg, const struct event_batch *batch, const u32 *rows, u32 count) {
    i64 newest = 0;
    for (u32 i = 0; i < count; i++) {
        i64 time = batch->number[NUM_TIME][rows[i]];
        check(batch->series[rows[i]] < agg->settled && time >= 0 && time < TIME_MAX);
        newest = MAX(newest, time);
    }
    if (newest > agg->now + EVENT_TIME_AHEAD_MS) { /* replaying: events know the time better */
        agg_advance(agg, newest - EVENT_TIME_AHEAD_MS);
    }
    agg->reserved_events -= MIN(agg->reserved_events, (u64)count);
    for (u32 first = 0; first < count; first += SLICE_EVENTS) {
        pthread_rwlock_wrlock(&agg->lock);
        apply_slice(agg, batch, rows + first, MIN(count - first, (u32)SLICE_EVENTS));
        pthread_rwlock_unlock(&agg->lock);
    }
    agg_memory_publish(agg);
    __atomic_add_fetch(&agg->version, 1, __ATOMIC_RELEASE);
}
