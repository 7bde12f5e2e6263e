/* ranking.c: keys that catch up with the ring of changes. */
#include "agg/ranking.h"

#include <stdlib.h>
#include <string.h>

#define RANKINGS_MAX 8
#define BUILD_SLICE 2048 /* customers looked at while the writer waits */
#define CATCH_UP_MAX (CHANGED_RING / 2)
#define PREFETCH_AHEAD 24
#define PREFETCH_NEAR 12

struct rankings {
    pthread_mutex_t mutex; /* taken before the read lock, never while holding it */
    struct ranking slot[RANKINGS_MAX];
    u32 count;
    u64 uses;
};

bool rankings_init(struct agg *agg) {
    agg->rankings = calloc(1, sizeof *agg->rankings);
    return agg->rankings != NULL && pthread_mutex_init(&agg->rankings->mutex, NULL) == 0;
}

static void ranking_clear(struct ranking *ranking) {
    free(ranking->keys);
    free(ranking->greatest);
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
static inline i128 row_measure(const struct agg *agg, u32 measure, u32 index, u64 *events) {
    const struct row *row = band_at(agg, index);
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
        u64 before = events;
        for (u32 band = 0; band < BANDS; band++) {
            if ((key->band_mask >> band & 1) != 0 && cell->band[band] != 0) {
                value += row_measure(agg, key->measure, cell->band[band], &events);
            }
        }
        last = events != before ? MAX(last, cell->last) : last;
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

static void key_set(struct ranking *ranking, u32 place, i128 key) {
    i128 old = ranking->keys[place];
    u32 group = place / RANKING_GROUP;
    ranking->keys[place] = key;
    ranking->present += (key != RANKING_NONE);
    ranking->present -= (old != RANKING_NONE);
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
    ranking->capacity = capacity;
    return true;
}

/* Takes in customers that are new to the ranking, letting the writer in between. */
static bool ranking_extend(struct agg *agg, struct ranking *ranking) {
    const struct list *list = customers_of(agg, ranking);
    while (list != NULL && ranking->count < list->count) {
        u32 end = MIN(list->count, ranking->count + BUILD_SLICE);
        if (!ranking_reserve(ranking, end)) {
            return false;
        }
        while (ranking->count < end) {
            u32 place = ranking->count++;
            if (place % RANKING_GROUP == 0) {
                ranking->greatest[place / RANKING_GROUP] = RANKING_NONE;
            }
            ranking->keys[place] = RANKING_NONE;
            key_set(ranking, place, entity_key(agg, &ranking->key, list_at(list, place)));
        }
        if (ranking->count < list->count) {
            agg_read_unlock(agg);
            agg_read_lock(agg);
        }
    }
    return true;
}

static u32 changed_owner(const struct agg *agg, u64 position) {
    u32 cell = agg->changed[position % CHANGED_RING];
    return *(const u32 *)array_at(&agg->owners, cell);
}

static void ranking_catch_up(const struct agg *agg, struct ranking *ranking) {
    u32 last = 0;
    for (u64 at = ranking->changed_seen; at < agg->changed_count; at++) {
        if (at + PREFETCH_AHEAD < agg->changed_count) {
            u32 cell = agg->changed[(at + PREFETCH_AHEAD) % CHANGED_RING];
            __builtin_prefetch(cell_at(agg, cell));
            __builtin_prefetch(array_at(&agg->owners, cell));
        }
        if (at + PREFETCH_NEAR < agg->changed_count) { /* what the ones before point to */
            u32 cell = agg->changed[(at + PREFETCH_NEAR) % CHANGED_RING];
            __builtin_prefetch(entity_at(agg, changed_owner(agg, at + PREFETCH_NEAR)));
            __builtin_prefetch(band_at(agg, cell_at(agg, cell)->band[0]));
        }
        u32 index = changed_owner(agg, at);
        if (index == last) {
            continue;
        }
        last = index;
        const struct entity *entity = entity_at(agg, index);
        if (entity->account == ranking->key.account && entity->place < ranking->count) {
            key_set(ranking, entity->place, entity_key(agg, &ranking->key, index));
        }
    }
    ranking->changed_seen = agg->changed_count;
}

/* Past so many changes it is cheaper to look at everybody once. */
static u64 catch_up_max(const struct ranking *ranking) {
    return MIN(CATCH_UP_MAX, MAX(ranking->count, 1024u));
}

static bool ranking_refresh(struct agg *agg, struct ranking *ranking) {
    const u32 all = (1u << BANDS) - 1;
    bool moved = ranking->layout != agg->layout && ranking->key.band_mask != all;
    if (moved || agg->changed_count - ranking->changed_seen > catch_up_max(ranking)) {
        ranking->count = 0;
        ranking->present = 0;
        ranking->changed_seen = agg->changed_count;
    }
    ranking->layout = agg->layout;
    if (!ranking_extend(agg, ranking)) {
        return false;
    }
    if (agg->changed_count - ranking->changed_seen <= CHANGED_RING &&
        (ranking->layout == agg->layout || ranking->key.band_mask == all)) {
        ranking_catch_up(agg, ranking);
    } else {
        ranking->changed_seen = 0; /* outrun while building: the caller finds it stale */
        ranking->layout = agg->layout - 1;
    }
    return true;
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
    bool made = ranking->used == 0;
    ranking->used = ++rankings->uses;
    agg_read_lock(agg);
    if (made) {
        ranking->changed_seen = agg->changed_count;
        ranking->layout = agg->layout;
    }
    bool good = ranking_refresh(agg, ranking);
    bool stale = ranking->layout != agg->layout || ranking->changed_seen != agg->changed_count;
    if (good && !stale) {
        *out = ranking;
        return ERR_OK;
    }
    ranking_clear(ranking);
    ranking_give(agg);
    return good ? ERR_BUSY : ERR_NO_MEMORY;
}

bool ranking_is_ready(struct agg *agg, const struct ranking_key *key) {
    struct rankings *rankings = agg->rankings;
    if (pthread_mutex_trylock(&rankings->mutex) != 0) {
        return false;
    }
    bool ready = false;
    for (u32 i = 0; i < RANKINGS_MAX; i++) {
        const struct ranking *ranking = &rankings->slot[i];
        if (ranking->used != 0 && memcmp(&ranking->key, key, sizeof *key) == 0) {
            bool moved = ranking->layout != agg->layout && key->band_mask != (1u << BANDS) - 1;
            ready = !moved && agg->changed_count - ranking->changed_seen <= catch_up_max(ranking);
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

/* The k-th greatest of the values (k from 1), by repeated partition; reorders them. */
static i128 kth_greatest(i128 *values, u32 count, u32 k) {
    u32 low = 0;
    u32 high = count - 1;
    while (low < high) {
        i128 pivot = values[low + (high - low) / 2];
        u32 left = low;
        u32 right = high;
        for (;;) {
            while (values[left] > pivot) {
                left++;
            }
            while (values[right] < pivot) {
                right--;
            }
            if (left >= right) {
                break;
            }
            i128 swap = values[left];
            values[left++] = values[right];
            values[right--] = swap;
        }
        if (k - 1 <= right) {
            high = right;
        } else {
            low = right + 1;
        }
    }
    return values[k - 1];
}

bool ranking_best(const struct ranking *ranking, u32 k, u32 *places, u32 *count) {
    u32 groups = (ranking->count + RANKING_GROUP - 1) / RANKING_GROUP;
    u32 room = *count;
    i128 bound = RANKING_NONE + 1;
    *count = 0;
    if (groups > k && k > 0) {
        i128 *values = malloc(groups * sizeof *values);
        if (values == NULL) {
            return false;
        }
        memcpy(values, ranking->greatest, groups * sizeof *values);
        bound = MAX(bound, kth_greatest(values, groups, k));
        free(values);
    }
    for (u32 group = 0; group < groups; group++) {
        if (ranking->greatest[group] < bound) {
            continue;
        }
        u32 end = MIN((group + 1) * RANKING_GROUP, ranking->count);
        for (u32 place = group * RANKING_GROUP; place < end; place++) {
            if (ranking->keys[place] >= bound) {
                if (*count == room) {
                    return false;
                }
                places[(*count)++] = place;
            }
        }
    }
    return true;
}
