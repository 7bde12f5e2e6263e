/* numbers.c: see numbers.h. */
#include "agg/numbers.h"

#include "base/hash.h"

#include <stdlib.h>

#define SLOTS_FIRST 1024

static u32 place_of(const struct number_set *set, u64 number) {
    u32 place = (u32)hash_mix(number) & set->mask;
    while (set->slots[place] != 0 && set->numbers[set->slots[place] - 1] != number) {
        place = (place + 1) & set->mask;
    }
    return place;
}

u32 number_set_find(const struct number_set *set, u64 number) {
    return set->slots == NULL ? UINT32_MAX : set->slots[place_of(set, number)] - 1;
}

static bool grow(struct number_set *set) {
    u32 slots = set->slots == NULL ? SLOTS_FIRST : (set->mask + 1) * 2;
    u64 *numbers = realloc(set->numbers, slots / 2 * sizeof *numbers);
    if (numbers == NULL) {
        return false;
    }
    set->numbers = numbers;
    free(set->slots);
    set->slots = calloc(slots, sizeof *set->slots);
    if (set->slots == NULL) {
        return false;
    }
    set->mask = slots - 1;
    set->capacity = slots / 2;
    for (u32 i = 0; i < set->count; i++) {
        set->slots[place_of(set, set->numbers[i])] = i + 1;
    }
    return true;
}

u32 number_set_put(struct number_set *set, u64 number) {
    if (set->count == set->capacity && !grow(set)) {
        return UINT32_MAX;
    }
    u32 place = place_of(set, number);
    if (set->slots[place] == 0) {
        set->numbers[set->count++] = number;
        set->slots[place] = set->count;
    }
    return set->slots[place] - 1;
}

void number_set_free(struct number_set *set) {
    free(set->numbers);
    free(set->slots);
    *set = (struct number_set){0};
}
