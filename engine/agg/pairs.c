/* pairs.c: sets of pairs, in parts that grow one by one, so that no growth takes long. */
#include "agg/pairs.h"

#include "agg/state.h"
#include "base/hash.h"

#define SLOTS_MIN 8

bool pairs_init(struct agg *agg) {
    return array_init(&agg->pairs.counts, &agg->heap, &agg->undo, ARRAYS,
                      sizeof(struct pair_counts), SHIFT_ENTITIES, SERIES_MAX * (u64)2);
}

static u32 place_of(const u64 *slots, u32 mask, u64 pair) {
    u32 place = (u32)hash_mix(pair) & mask;
    while (slots[place] != 0 && slots[place] != pair) {
        place = (place + 1) & mask;
    }
    return place;
}

int pair_set_add(struct pair_set *set, struct heap *heap, u64 pair) {
    u32 number = (u32)(hash_mix(pair) >> 32) % PAIR_PARTS;
    u32 places = set->part[number].slots == NULL ? 0 : set->part[number].mask + 1;
    u64 *slots = set->part[number].slots;
    if (places > 0 && slots[place_of(slots, places - 1, pair)] == pair) {
        return 0;
    }
    if (((u64)set->part[number].count + 1) * 4 > (u64)places * 3) {
        u32 larger = MAX(places * 2, (u32)SLOTS_MIN);
        slots = heap_take(heap, larger * sizeof *slots);
        if (slots == NULL) {
            return -1;
        }
        for (u32 i = 0; i < places; i++) {
            u64 known = set->part[number].slots[i];
            if (known != 0) {
                slots[place_of(slots, larger - 1, known)] = known;
            }
        }
        heap_give(heap, set->part[number].slots, places * sizeof *slots);
        set->part[number].slots = slots;
        set->part[number].mask = larger - 1;
    }
    slots[place_of(slots, set->part[number].mask, pair)] = pair;
    set->part[number].count++;
    return 1;
}

static struct pair_counts *counts_edit(struct agg *agg, u32 entity) {
    struct array *counts = &agg->pairs.counts;
    if (entity >= counts->count) {
        if (!array_reserve(counts, entity + 1 - counts->count)) {
            return NULL;
        }
        counts->count = entity + 1;
    }
    return array_at(counts, entity);
}

static bool note(struct agg *agg, enum pair_kind kind, u64 pair) {
    int added = pair == 0 ? 0 : pair_set_add(&agg->pairs.set[kind], &agg->heap, pair);
    if (added <= 0) {
        return added == 0;
    }
    struct pair_counts *counts = counts_edit(agg, (u32)(pair >> 32));
    if (counts == NULL) {
        return false;
    }
    if (kind == PAIR_MODEL_FEATURE) {
        counts->features++;
    } else {
        counts->customers++;
    }
    return true;
}

static u64 pair_make(const struct agg *agg, enum kind kind, u32 account, u32 cell, u32 value) {
    const struct owner *owner = array_fast(&agg->owners, cell, SHIFT_OWNERS, sizeof(struct owner));
    u32 entity = list_at(&account_at(agg, account)->entities[kind], owner->place);
    return value == DIM_NONE ? 0 : (u64)entity << 32 | value;
}

void pairs_of(const struct agg *agg, u32 series, u64 pair[PAIR_KINDS]) {
    const u32 *dims = dims_of(agg, series);
    const u32 *cell = series_at(agg, series)->cell;
    u32 account = dims[DIM_ACCOUNT];
    bool live = dims[DIM_SOURCE] != SOURCE_STRIPE;
    u32 customer = live ? dims[DIM_CUSTOMER] : DIM_NONE;
    u32 feature = live ? dims[DIM_FEATURE] : DIM_NONE;
    pair[PAIR_FEATURE_CUSTOMER] =
        pair_make(agg, KIND_FEATURE, account, cell[KIND_FEATURE], customer);
    pair[PAIR_MODEL_CUSTOMER] = pair_make(agg, KIND_MODEL, account, cell[KIND_MODEL], customer);
    pair[PAIR_MODEL_FEATURE] = pair_make(agg, KIND_MODEL, account, cell[KIND_MODEL], feature);
}

bool pairs_note(struct agg *agg, u32 series) {
    u64 pair[PAIR_KINDS];
    bool good = true;
    pairs_of(agg, series, pair);
    for (u32 kind = 0; kind < PAIR_KINDS && good; kind++) {
        good = note(agg, (enum pair_kind)kind, pair[kind]);
    }
    return good;
}

/* Removal shifts back, so that there are no tombstones. */
static void set_remove(struct pair_set *set, u64 pair) {
    u32 number = (u32)(hash_mix(pair) >> 32) % PAIR_PARTS;
    u64 *slots = set->part[number].slots;
    u32 mask = set->part[number].mask;
    check(slots != NULL);
    u32 hole = place_of(slots, mask, pair);
    check(slots[hole] == pair);
    for (u32 place = (hole + 1) & mask; slots[place] != 0; place = (place + 1) & mask) {
        u32 home = (u32)hash_mix(slots[place]) & mask;
        if (((place - home) & mask) >= ((place - hole) & mask)) {
            slots[hole] = slots[place];
            hole = place;
        }
    }
    slots[hole] = 0;
    set->part[number].count--;
}

void pairs_forget(struct agg *agg, enum pair_kind kind, u64 pair) {
    set_remove(&agg->pairs.set[kind], pair);
    struct pair_counts *counts = array_at(&agg->pairs.counts, (u32)(pair >> 32));
    if (kind == PAIR_MODEL_FEATURE) {
        counts->features--;
    } else {
        counts->customers--;
    }
}

struct pair_counts pairs_counts(const struct agg *agg, u32 entity) {
    const struct array *counts = &agg->pairs.counts;
    return entity < counts->count ? *(const struct pair_counts *)array_at(counts, entity)
                                  : (struct pair_counts){0};
}
