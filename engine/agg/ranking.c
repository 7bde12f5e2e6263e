/*
 * ranking.c: keys that catch up with the ring of changes. The ring says what each event added, so
 * that catching up reads the ring from front to back and the keys it changes, and none of the
 * records that the writer is working on: to take those over from another processor's cache, and
 * it to take them back, cost both sides more than the addition.
 */
#include "agg/ranking.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RANKINGS_MAX 12
#define BUILD_SLICE 2048     /* customers looked at while the writer waits */
#define CATCH_UP_SLICE 16384 /* changes added while the writer waits */
#define KEEP_SLICE 2048      /* and while whoever asks waits for the keeper */
#define READY_WAIT_NS 300000 /* whoever asks waits so long for it: a few of its slices */
#define CHANGES_A_CUSTOMER 8 /* as many cost about as much as looking at a customer once */
#define STARTS_MAX 4
#define HAND_KEYS 48 /* how far ahead of the addition what it needs is fetched */
#define HAND_ENTITIES 24
#define HAND_CELLS 16
#define HAND_BANDS 8

struct rankings {
    pthread_mutex_t mutex; /* taken before the read lock, never while holding it */
    struct ranking slot[RANKINGS_MAX];
    u32 count;
    u64 uses;
    _Atomic u32 waiting; /* the keeper lets them in */
};

bool rankings_init(struct agg *agg) {
    agg->rankings = calloc(1, sizeof *agg->rankings);
    return agg->rankings != NULL && pthread_mutex_init(&agg->rankings->mutex, NULL) == 0;
}

static void ranking_clear(struct ranking *ranking) {
    free(ranking->keys);
    free(ranking->greatest);
    free(ranking->reached);
    free(ranking->best);
    *ranking = (struct ranking){0};
}

void rankings_free(struct agg *agg) {
    if (agg->rankings == NULL) {
        return;
    }
    for (u32 i = 0; i < RANKINGS_MAX; i++) {
        ranking_clear(&agg->rankings->slot[i]);
    }
    pthread_mutex_destroy(&agg->rankings->mutex);
    free(agg->rankings);
}

/* --- keys ------------------------------------------------------------------------------------- */

/* The measure of one row with its wide sum, and the events in it. */
static inline i128 row_measure(const struct agg *agg, u32 measure, const struct row *row,
                               u64 *events) {
    const struct sums *wide = array_at(&agg->wides, row->wide); /* number 0 is all zeros */
    *events += row->events + wide->events;
    switch ((enum measure)measure) {
    case MEASURE_EVENTS:
        return (i128)row->events + wide->events;
    case MEASURE_COST:
        return row->cost + wide->cost;
    case MEASURE_REVENUE:
        return row->revenue + wide->revenue;
    case MEASURE_MARGIN:
        return (i128)row->revenue - row->cost + (wide->revenue - wide->cost);
    case MEASURE_USAGE:
        return row->usage + wide->usage;
    case MEASURE_LAST_SEEN:
        break;
    }
    return 0;
}

static i128 entity_key(const struct agg *agg, const struct ranking_key *key, u32 index) {
    const struct entity *entity = entity_at(agg, index);
    if (key->present_only != 0 && entity->key[0] == DIM_NONE) {
        return RANKING_NONE;
    }
    i128 value = 0;
    u64 events = 0;
    i64 last = INT64_MIN;
    for (u32 class = 0; class < CLASSES; class ++) {
        if (entity->cell[class] == 0 || (key->class_mask >> class & 1) == 0) {
            continue;
        }
        const struct cell *cell = cell_at(agg, entity->cell[class]);
        const u32 *older = rest_at(agg, entity->cell[class])->band;
        u64 before = events;
        for (u32 band = 0; band < BANDS; band++) {
            if ((key->band_mask >> band & 1) != 0) {
                const struct row *row = band_of(agg, &cell->newest, older, band);
                value += row_measure(agg, key->measure, row, &events);
            }
        }
        last = events != before ? MAX(last, row_seen(&cell->newest)) : last;
    }
    if (events == 0) {
        return RANKING_NONE;
    }
    value = key->measure == MEASURE_LAST_SEEN ? (i128)last : value;
    return key->ascending != 0 ? -value : value;
}

static void group_measure(struct ranking *ranking, u32 group) {
    u32 first = group * RANKING_GROUP;
    u32 end = MIN(first + RANKING_GROUP, ranking->count);
    i128 greatest = RANKING_NONE;
    for (u32 place = first; place < end; place++) {
        greatest = MAX(greatest, ranking->keys[place]);
    }
    ranking->greatest[group] = greatest;
}

static inline void key_set(struct ranking *ranking, u32 place, i128 key) {
    i128 old = ranking->keys[place];
    u32 group = place / RANKING_GROUP;
    ranking->keys[place] = key;
    ranking->present += (key != RANKING_NONE);
    ranking->present -= (old != RANKING_NONE);
    if (unlikely(key >= ranking->bound)) {
        ranking->reached[group] |= (u64)1 << place % RANKING_GROUP;
    }
    if (key >= ranking->greatest[group]) {
        ranking->greatest[group] = key;
    } else if (old == ranking->greatest[group]) {
        group_measure(ranking, group);
    }
}

/* --- catching up ------------------------------------------------------------------------------ */

static const struct list *customers_of(const struct agg *agg, const struct ranking *ranking) {
    const struct account *account = account_at(agg, ranking->key.account);
    return account == NULL ? NULL : &account->entities[KIND_CUSTOMER];
}

static bool ranking_reserve(struct ranking *ranking, u32 count) {
    if (count <= ranking->capacity) {
        return true;
    }
    u32 capacity = MAX(count + count / 2, 1024u) / RANKING_GROUP * RANKING_GROUP + RANKING_GROUP;
    i128 *keys = realloc(ranking->keys, capacity * sizeof *keys);
    if (keys == NULL) {
        return false;
    }
    ranking->keys = keys;
    i128 *greatest = realloc(ranking->greatest, capacity / RANKING_GROUP * sizeof *greatest);
    if (greatest == NULL) {
        return false;
    }
    ranking->greatest = greatest;
    u64 *reached = realloc(ranking->reached, capacity / RANKING_GROUP * sizeof *reached);
    if (reached == NULL) {
        return false;
    }
    ranking->reached = reached;
    ranking->capacity = capacity;
    return true;
}

/* Asks for what looking at a customer needs, some customers before. Inlined by force: see
 * apply.h. */
static inline __attribute__((always_inline)) void fetch_ahead(const struct agg *agg,
                                                              const struct ranking *ranking,
                                                              const struct list *list, u32 place) {
    u32 class = (u32)__builtin_ctz(ranking->key.class_mask | 1u << CLASSES) % CLASSES;
    if (place + HAND_BANDS < list->count) {
        const struct entity *entity = entity_at(agg, list_at(list, place + HAND_BANDS));
        const u32 *band = rest_at(agg, entity->cell[class])->band;
        for (u32 mask = ranking->key.band_mask >> 1; mask != 0; mask &= mask - 1) {
            __builtin_prefetch(band_at(agg, band[__builtin_ctz(mask)]));
        }
    }
    if (place + HAND_ENTITIES < list->count) {
        __builtin_prefetch(entity_at(agg, list_at(list, place + HAND_ENTITIES)));
    }
    if (place + HAND_CELLS < list->count) {
        u32 entity = list_at(list, place + HAND_CELLS);
        __builtin_prefetch(cell_at(agg, entity_at(agg, entity)->cell[class]));
        __builtin_prefetch(rest_at(agg, entity_at(agg, entity)->cell[class]));
    }
}

/* Takes in some of the customers that are new to the ranking. */
static bool ranking_extend(const struct agg *agg, struct ranking *ranking,
                           const struct list *list) {
    u32 end = MIN(list->count, ranking->count + BUILD_SLICE);
    if (!ranking_reserve(ranking, end)) {
        return false;
    }
    while (ranking->count < end) {
        u32 place = ranking->count++;
        fetch_ahead(agg, ranking, list, place);
        if (place % RANKING_GROUP == 0) {
            ranking->greatest[place / RANKING_GROUP] = RANKING_NONE;
            ranking->reached[place / RANKING_GROUP] = 0;
        }
        ranking->keys[place] = RANKING_NONE;
        key_set(ranking, place, entity_key(agg, &ranking->key, list_at(list, place)));
    }
    return true;
}

static const struct change *change_at(const struct agg *agg, u64 position) {
    return &agg->changed[position % CHANGED_RING];
}

/* What the event added to a sum. */
static inline i128 change_measure(const struct change *change, u32 measure) {
    switch ((enum measure)measure) {
    case MEASURE_EVENTS:
        return 1;
    case MEASURE_COST:
        return change->cost;
    case MEASURE_REVENUE:
        return change->revenue;
    case MEASURE_MARGIN:
        return (i128)change->revenue - change->cost;
    case MEASURE_USAGE:
        return change->usage;
    case MEASURE_LAST_SEEN:
        break;
    }
    return 0;
}

static inline bool change_counts(const struct ranking *ranking, const struct change *change,
                                 u32 none) {
    const struct ranking_key *key = &ranking->key;
    u32 place = mark_place(change->customer);
    return change->account == key->account && place < ranking->count &&
           (key->class_mask >> mark_class(change->customer) & 1) != 0 &&
           (key->band_mask >> change->band & 1) != 0 && place != none;
}

static inline void add_change(const struct agg *agg, struct ranking *ranking,
                              const struct list *list, const struct change *change, u32 none) {
    if (!change_counts(ranking, change, none)) {
        return;
    }
    u32 place = mark_place(change->customer);
    if (ranking->key.measure == MEASURE_LAST_SEEN) { /* no sum: looked up anew */
        key_set(ranking, place, entity_key(agg, &ranking->key, list_at(list, place)));
        return;
    }
    i128 known = ranking->keys[place] != RANKING_NONE ? ranking->keys[place] : 0;
    i128 more = change_measure(change, ranking->key.measure);
    key_set(ranking, place, ranking->key.ascending != 0 ? known - more : known + more);
}

/* The place of the customer who does not count; UINT32_MAX: there is none. */
static u32 place_left_out(const struct agg *agg, const struct ranking *ranking) {
    u32 none = account_at(agg, ranking->key.account)->none[KIND_CUSTOMER];
    return ranking->key.present_only == 0 || none == 0 ? UINT32_MAX : entity_at(agg, none)->place;
}

/* Takes in the next changes, some of them. */
static void ranking_catch_up(const struct agg *agg, struct ranking *ranking,
                             const struct list *list, u32 most) {
    u64 until = MIN(agg->changed_count, ranking->changed_seen + most);
    u32 none = place_left_out(agg, ranking);
    for (u64 at = ranking->changed_seen; at < until; at++) {
        if (at + HAND_KEYS < until) {
            u32 place = mark_place(change_at(agg, at + HAND_KEYS)->customer);
            if (place < ranking->count) {
                __builtin_prefetch(&ranking->keys[place], 1);
            }
        }
        add_change(agg, ranking, list, change_at(agg, at), none);
    }
    ranking->changed_seen = until;
}

/* Readers with different mutexes may do so at once; what they write is the same. */
void changes_want(struct agg *agg) {
    __atomic_store_n(&agg->changed_until, agg->changed_count + CHANGED_RING, __ATOMIC_RELAXED);
}

/* Can the ranking be caught up, and for less than looking at everybody? */
static bool ranking_can_catch_up(const struct agg *agg, const struct ranking *ranking) {
    const u32 all = (1u << BANDS) - 1;
    u64 most = MIN((u64)CHANGED_RING, CHANGES_A_CUSTOMER * (u64)MAX(ranking->count, 1024u));
    return (ranking->layout == agg->layout || ranking->key.band_mask == all) &&
           agg->changed_count - ranking->changed_seen <= most;
}

/* Brings the keys up to now, letting the writer in between: those of the first `count` customers
 * are always what they were when the event `changed_seen` was next. ERR_BUSY: outrun again and
 * again. */
static enum err ranking_refresh(struct agg *agg, struct ranking *ranking) {
    u32 starts = 0;
    for (;;) {
        const struct list *list = customers_of(agg, ranking);
        changes_want(agg);
        if (list == NULL) {
            return ERR_NOT_FOUND;
        }
        if (!ranking_can_catch_up(agg, ranking)) {
            if (starts++ == STARTS_MAX) {
                return ERR_BUSY;
            }
            ranking->count = 0;
            ranking->present = 0;
            ranking->changed_seen = agg->changed_count;
            ranking->layout = agg->layout;
        }
        ranking_catch_up(agg, ranking, list, CATCH_UP_SLICE);
        bool caught_up = ranking->changed_seen == agg->changed_count;
        if (caught_up && !ranking_extend(agg, ranking, list)) {
            return ERR_NO_MEMORY;
        }
        if (caught_up && ranking->count == list->count) {
            return ERR_OK;
        }
        agg_read_unlock(agg);
        agg_read_lock(agg);
    }
}

/* --- taking ----------------------------------------------------------------------------------- */

static struct ranking *slot_of(struct rankings *rankings, const struct ranking_key *key) {
    struct ranking *oldest = &rankings->slot[0];
    for (u32 i = 0; i < RANKINGS_MAX; i++) {
        struct ranking *ranking = &rankings->slot[i];
        if (ranking->used != 0 && memcmp(&ranking->key, key, sizeof *key) == 0) {
            return ranking;
        }
        oldest = ranking->used < oldest->used ? ranking : oldest;
    }
    ranking_clear(oldest);
    oldest->key = *key;
    return oldest;
}

enum err ranking_take(struct agg *agg, const struct ranking_key *key, struct ranking **out) {
    struct rankings *rankings = agg->rankings;
    pthread_mutex_lock(&rankings->mutex);
    struct ranking *ranking = slot_of(rankings, key);
    ranking->used = ++rankings->uses;
    ranking->kept_ms = KEPT_FOR_MS;
    agg_read_lock(agg);
    enum err err = ranking_refresh(agg, ranking);
    if (err != ERR_OK) {
        ranking_clear(ranking);
        ranking_give(agg);
        return err;
    }
    *out = ranking;
    return ERR_OK;
}

/* Do they all stand at this moment? Caller holds the read lock. */
static bool all_caught_up(const struct agg *agg, struct ranking *const *rankings, u32 count) {
    for (u32 i = 0; i < count; i++) {
        if (!ranking_can_catch_up(agg, rankings[i]) ||
            rankings[i]->changed_seen != agg->changed_count ||
            rankings[i]->count != customers_of(agg, rankings[i])->count) {
            return false;
        }
    }
    return true;
}

/* With the read lock held at the end. */
static enum err refresh_all(struct agg *agg, struct ranking *const *rankings, u32 count) {
    enum err err = ERR_BUSY;
    for (u32 try = 0; try < STARTS_MAX * 2 && err == ERR_BUSY; try++) {
        for (u32 i = 0; i < count; i++) {
            err = ranking_refresh(agg, rankings[i]);
            if (err != ERR_OK) {
                ranking_clear(rankings[i]);
                return err;
            }
        }
        err = all_caught_up(agg, rankings, count) ? ERR_OK : ERR_BUSY;
    }
    return err;
}

enum err ranking_columns(struct agg *agg, const struct ranking_key *keys, u32 columns,
                         i128 *column[RANKING_COLUMNS], u32 *count, u64 *layout) {
    struct rankings *rankings = agg->rankings;
    struct ranking *taken[RANKING_COLUMNS];
    check(columns <= RANKING_COLUMNS);
    pthread_mutex_lock(&rankings->mutex);
    for (u32 i = 0; i < columns; i++) { /* so many slots that none takes another's */
        taken[i] = slot_of(rankings, &keys[i]);
        taken[i]->used = ++rankings->uses;
        taken[i]->kept_ms = KEPT_FOR_MS;
    }
    agg_read_lock(agg);
    enum err err = refresh_all(agg, taken, columns);
    *layout = agg->layout;
    agg_read_unlock(agg); /* the keys stay as they are: they belong to the mutex */
    if (err == ERR_OK) {
        *count = taken[0]->count;
        column[0] = malloc((usize)columns * (*count + 1u) * sizeof(i128));
        err = column[0] == NULL ? ERR_NO_MEMORY : ERR_OK;
    }
    for (u32 i = 0; i < columns && err == ERR_OK; i++) {
        column[i] = column[0] + (usize)i * *count;
        memcpy(column[i], taken[i]->keys, *count * sizeof(i128));
    }
    pthread_mutex_unlock(&rankings->mutex);
    return err;
}

/* Some of what is to be done; true: there is more, by a slice at least. */
static bool ranking_keep(struct agg *agg, struct ranking *ranking) {
    agg_read_lock(agg);
    enum err err = ERR_OK;
    u64 behind = agg->changed_count - ranking->changed_seen;
    /* While events expire, each step of that makes it all of no use again. */
    if (behind >= KEEP_SLICE && !agg->expiring) {
        const struct list *list = customers_of(agg, ranking);
        if (list != NULL && ranking->count == list->count && ranking_can_catch_up(agg, ranking)) {
            changes_want(agg);
            ranking_catch_up(agg, ranking, list, KEEP_SLICE);
        } else {
            err = ranking_refresh(agg, ranking);
        }
    }
    bool more =
        err == ERR_OK && !agg->expiring && agg->changed_count - ranking->changed_seen >= KEEP_SLICE;
    agg_read_unlock(agg);
    if (err != ERR_OK) {
        ranking_clear(ranking);
    }
    return more;
}

/* In slices: whoever asks meanwhile does not wait for all of it, and finds less to do. */
bool rankings_keep(struct agg *agg, u32 ms) {
    struct rankings *rankings = agg->rankings;
    bool any = false;
    for (u32 i = 0; i < RANKINGS_MAX; i++) {
        struct ranking *ranking = &rankings->slot[i];
        u32 passed_ms = ms;
        bool more = true;
        while (more) {
            pthread_mutex_lock(&rankings->mutex);
            ranking->kept_ms -= MIN(ranking->kept_ms, passed_ms);
            more = ranking->kept_ms > 0 && ranking_keep(agg, ranking);
            any = any || ranking->kept_ms > 0;
            pthread_mutex_unlock(&rankings->mutex);
            more = more && atomic_load(&rankings->waiting) == 0;
            passed_ms = 0;
        }
    }
    return any;
}

/* For one who cannot wait long. */
static bool lock_soon(struct rankings *rankings) {
    if (pthread_mutex_trylock(&rankings->mutex) == 0) {
        return true;
    }
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += READY_WAIT_NS;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    atomic_fetch_add(&rankings->waiting, 1);
    bool locked = pthread_mutex_timedlock(&rankings->mutex, &until) == 0;
    atomic_fetch_sub(&rankings->waiting, 1);
    return locked;
}

bool ranking_is_ready(struct agg *agg, const struct ranking_key *key) {
    struct rankings *rankings = agg->rankings;
    if (!lock_soon(rankings)) {
        return false;
    }
    bool ready = false;
    for (u32 i = 0; i < RANKINGS_MAX; i++) {
        const struct ranking *ranking = &rankings->slot[i];
        if (ranking->used != 0 && memcmp(&ranking->key, key, sizeof *key) == 0) {
            ready = ranking_can_catch_up(agg, ranking);
        }
    }
    pthread_mutex_unlock(&rankings->mutex);
    return ready;
}

void ranking_give(struct agg *agg) {
    agg_read_unlock(agg);
    pthread_mutex_unlock(&agg->rankings->mutex);
}

/* --- selecting -------------------------------------------------------------------------------- */

/* The k-th greatest key (k from 1), by repeated partition; reorders them. */
static i128 kth_greatest(struct ranked *all, u32 count, u32 k) {
    u32 low = 0;
    u32 high = count - 1;
    while (low < high) {
        i128 pivot = all[low + (high - low) / 2].key;
        u32 left = low;
        u32 right = high;
        for (;;) {
            while (all[left].key > pivot) {
                left++;
            }
            while (all[right].key < pivot) {
                right--;
            }
            if (left >= right) {
                break;
            }
            struct ranked swap = all[left];
            all[left++] = all[right];
            all[right--] = swap;
        }
        if (k - 1 <= right) {
            high = right;
        } else {
            low = right + 1;
        }
    }
    return all[k - 1].key;
}

/* Sets a bound that at least k keys reach: the k-th of the groups' maxima. False: no memory. */
static bool bound_of_groups(struct ranking *ranking, u32 groups, u32 k) {
    i128 bound = RANKING_NONE + 1;
    if (groups > k && k > 0) {
        struct ranked *maxima = malloc(groups * sizeof *maxima);
        if (maxima == NULL) {
            return false;
        }
        for (u32 group = 0; group < groups; group++) {
            maxima[group] = (struct ranked){ranking->greatest[group], group};
        }
        bound = MAX(bound, kth_greatest(maxima, groups, k));
        free(maxima);
    }
    ranking->bound = bound;
    for (u32 group = 0; group < groups; group++) {
        ranking->reached[group] = ranking->greatest[group] >= bound ? UINT64_MAX : 0;
    }
    return true;
}

static bool best_add(struct ranking *ranking, u32 place) {
    if (ranking->best_count == ranking->best_capacity) {
        u32 capacity = MAX(2 * ranking->best_capacity, 256u);
        struct ranked *best =
            capacity > RANKED_MAX ? NULL : realloc(ranking->best, capacity * sizeof *best);
        if (best == NULL) {
            return false;
        }
        ranking->best = best;
        ranking->best_capacity = capacity;
    }
    ranking->best[ranking->best_count++] = (struct ranked){ranking->keys[place], place};
    return true;
}

/* Takes those that reach the bound. False: there are more than `most`, or no memory. */
static bool take_reached(struct ranking *ranking, u32 groups, u32 most) {
    ranking->best_count = 0;
    for (u32 group = 0; group < groups; group++) {
        u64 reached = ranking->reached[group];
        for (u64 left = reached; left != 0; left &= left - 1) {
            u32 place = group * RANKING_GROUP + (u32)__builtin_ctzll(left);
            if (place >= ranking->count || ranking->keys[place] < ranking->bound) {
                reached &= ~(left & -left);
            } else if (ranking->best_count == most || !best_add(ranking, place)) {
                return false;
            }
        }
        ranking->reached[group] = reached;
    }
    return true;
}

/* Drops those that are not among the best k. */
static void cut(struct ranking *ranking, u32 k) {
    i128 last = kth_greatest(ranking->best, ranking->best_count, k);
    u32 kept = 0;
    for (u32 i = 0; i < ranking->best_count; i++) {
        ranking->best[kept] = ranking->best[i];
        kept += ranking->best[i].key >= last;
    }
    ranking->best_count = kept;
}

/* Most times the bound that the question before left still has enough keys above it, and few. */
bool ranking_best(struct ranking *ranking, u32 k) {
    u32 groups = (ranking->count + RANKING_GROUP - 1) / RANKING_GROUP;
    bool good =
        take_reached(ranking, groups, 4 * k) && ranking->best_count >= MIN(k, ranking->present);
    if (!good &&
        (!bound_of_groups(ranking, groups, k) || !take_reached(ranking, groups, RANKED_MAX))) {
        return false;
    }
    u32 some = k + k / 4; /* so that it holds although some of the best get worse */
    if (ranking->best_count > some) {
        ranking->bound = kth_greatest(ranking->best, ranking->best_count, some);
    }
    if (ranking->best_count > k) {
        cut(ranking, k);
    }
    return true;
}
