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

static bool note(struct agg *agg, enum pair_kind kind, u32 entity, u32 value) {
    if (value == DIM_NONE) {
        return true;
    }
    int added = pair_set_add(&agg->pairs.set[kind], &agg->heap, (u64)entity << 32 | value);
    if (added <= 0) {
        return added == 0;
    }
    struct pair_counts *counts = counts_edit(agg, entity);
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

static u32 entity_of_cell(const struct agg *agg, enum kind kind, u32 account, u32 cell) {
    const struct owner *owner = array_fast(&agg->owners, cell, SHIFT_OWNERS, sizeof(struct owner));
    return list_at(&account_at(agg, account)->entities[kind], owner->place);
}

bool pairs_note(struct agg *agg, u32 series) {
    const u32 *dims = dims_of(agg, series);
    const u32 *cell = series_at(agg, series)->cell;
    if (dims[DIM_SOURCE] == SOURCE_STRIPE) {
        return true;
    }
    u32 feature = entity_of_cell(agg, KIND_FEATURE, dims[DIM_ACCOUNT], cell[KIND_FEATURE]);
    u32 model = entity_of_cell(agg, KIND_MODEL, dims[DIM_ACCOUNT], cell[KIND_MODEL]);
    return note(agg, PAIR_FEATURE_CUSTOMER, feature, dims[DIM_CUSTOMER]) &&
           note(agg, PAIR_MODEL_CUSTOMER, model, dims[DIM_CUSTOMER]) &&
           note(agg, PAIR_MODEL_FEATURE, model, dims[DIM_FEATURE]);
}

struct pair_counts pairs_counts(const struct agg *agg, u32 entity) {
    const struct array *counts = &agg->pairs.counts;
    return entity < counts->count ? *(const struct pair_counts *)array_at(counts, entity)
                                  : (struct pair_counts){0};
}
