/* agg.c: making the figures, their lock, and the slices in which events are added to them. */
#include "agg/agg.h"

#include "agg/apply.h"
#include "agg/expire.h"
#include "agg/state.h"

#include <stdlib.h>
#include <string.h>

#define SLICE_EVENTS 1024 /* applied while readers wait */

#define RECORDS_MAX (UINT32_MAX - ((u32)1 << 16))
#define TIME_MAX ((i64)1 << 46) /* ms; bucket numbers fit 32 bits */
#define MINUTES_DEFAULT 180
#define ADVANCE_ROWS 32768 /* about two milliseconds */
#define RANKED_MIN 2048    /* fewer customers are looked at one by one as fast */
#define MINUTES_MAX (7 * 24 * 60)

struct array *agg_array(struct agg *agg, u32 id) {
    struct array *fixed[] = {
        [ARRAY_DIMS] = &agg->dims,
        [ARRAY_HASHES] = &agg->hashes,
        [ARRAY_SERIES] = &agg->series,
        [ARRAY_BEGUN] = &agg->begun,
        [ARRAY_AGENTS] = &agg->agents,
        [ARRAY_TEXTS] = &agg->texts,
        [ARRAY_ENTITIES] = &agg->entities,
        [ARRAY_CELLS] = &agg->cells,
        [ARRAY_RESTS] = &agg->rests,
        [ARRAY_BANDS] = &agg->bands,
        [ARRAY_WIDES] = &agg->wides,
        [ARRAY_TRACES] = &agg->traces,
        [ARRAY_TALLIES] = &agg->tallies.tallies,
        [ARRAY_TALLY_ROWS] = &agg->tallies.rows,
        [ARRAY_TALLY_KEYS] = &agg->tallies.keys,
        [ARRAY_ACTIVITY] = &agg->months.activity,
        [ARRAY_MONTHS] = &agg->months.rows,
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
        [ARRAY_BEGUN] = {sizeof(i64), SHIFT_BEGUN, SERIES_MAX},
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
    if (!tallies_init(agg) || !months_init(agg) || !pairs_init(agg)) {
        return false;
    }
    for (u32 id = 0; id < ARRAYS; id++) {
        u32 like = id >= ARRAY_ROWS ? ARRAY_ROWS : MIN(id, (u32)ARRAY_VALUES);
        struct array *array = agg_array(agg, id);
        bool made = id >= ARRAY_TALLIES && id <= ARRAY_MONTHS;
        if (!made && !array_init(array, &agg->heap, &agg->undo, id, shape[like].record_bytes,
                                 shape[like].shift, shape[like].record_max)) {
            return false;
        }
        bool none = made || id == ARRAY_ENTITIES || id == ARRAY_CELLS || id == ARRAY_RESTS ||
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
    agg->caps = options->caps;
    agg->apply = options->plain ? apply_slice_plain : apply_best();
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
    free(agg->promises.slot);
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
    __atomic_store_n(&agg->memory_bytes, agg->heap.bytes_out + agg->undo.bytes, __ATOMIC_RELAXED);
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

i64 agg_check_rows(const struct agg *agg, const struct event_batch *batch, const u32 *rows,
                   u32 count) {
    i64 newest = 0;
    for (u32 i = 0; i < count; i++) {
        i64 time = batch->number[NUM_TIME][rows[i]];
        check(batch->series[rows[i]] < agg->settled && time >= 0 && time < TIME_MAX);
        check(batch->source[rows[i]] < EVENT_SOURCES &&
              batch->revenue_source[rows[i]] < REVENUE_SOURCES);
        newest = MAX(newest, time);
    }
    return newest;
}

void agg_apply(struct agg *agg, const struct event_batch *batch, const u32 *rows, u32 count) {
    i64 newest = agg_check_rows(agg, batch, rows, count);
    if (newest > agg->now + EVENT_TIME_AHEAD_MS) { /* replaying: events know the time better */
        agg_advance(agg, newest - EVENT_TIME_AHEAD_MS);
    }
    agg->reserved_events -= MIN(agg->reserved_events, (u64)count);
    for (u32 first = 0; first < count; first += SLICE_EVENTS) {
        pthread_rwlock_wrlock(&agg->lock);
        u32 slice = MIN(count - first, (u32)SLICE_EVENTS);
        agg->apply(agg, batch, rows + first, slice);
        if (unlikely(agg->followed != NULL)) {
            agg_expire_applied(agg->followed, batch, rows + first, slice);
        }
        agg_memory_publish(agg);
        pthread_rwlock_unlock(&agg->lock);
    }
    __atomic_add_fetch(&agg->version, 1, __ATOMIC_RELEASE);
}
