/* numbers.c: see numbers.h. */
#include "agg/numbers.h"

#include "base/hash.h"

#include <stdlib.h>

#define NUMBERS_FIRST 256
#define SLOTS_FIRST 8

static u32 place_of(const struct number_set *set, const struct number_part *part, u64 number,
                    u64 hash) {
    u32 place = (u32)hash & part->mask;
    while (part->slots[place] != 0 && set->numbers[part->slots[place] - 1] != number) {
        place = (place + 1) & part->mask;
    }
    return place;
}

static u32 part_of(u64 hash) {
    return (u32)(hash >> 32) % NUMBER_PARTS;
}

u32 number_set_find(const struct number_set *set, u64 number) {
    u64 hash = hash_mix(number);
    const struct number_part *part = &set->part[part_of(hash)];
    return part->slots == NULL ? UINT32_MAX : part->slots[place_of(set, part, number, hash)] - 1;
}

static bool grow_numbers(struct number_set *set) {
    u32 capacity = MAX(set->capacity * 2, (u32)NUMBERS_FIRST);
    u64 *numbers = realloc(set->numbers, capacity * sizeof *numbers); /* large ones do not move */
    if (numbers != NULL) {
        set->numbers = numbers;
        set->capacity = capacity;
    }
    return numbers != NULL;
}

static bool grow_part(const struct number_set *set, struct number_part *part) {
    u32 places = part->slots == NULL ? 0 : part->mask + 1;
    u32 larger = MAX(places * 2, (u32)SLOTS_FIRST);
    const u32 *old = part->slots;
    struct number_part next = {calloc(larger, sizeof *next.slots), larger - 1, part->count};
    if (next.slots == NULL) {
        return false;
    }
    for (u32 i = 0; i < places; i++) {
        if (old[i] != 0) {
            u64 number = set->numbers[old[i] - 1];
            next.slots[place_of(set, &next, number, hash_mix(number))] = old[i];
        }
    }
    free(part->slots);
    *part = next;
    return true;
}

u32 number_set_put(struct number_set *set, u64 number) {
    u64 hash = hash_mix(number);
    struct number_part *part = &set->part[part_of(hash)];
    bool full = part->slots == NULL || part->count * 2 > part->mask;
    if ((set->count == set->capacity && !grow_numbers(set)) || (full && !grow_part(set, part))) {
        return UINT32_MAX;
    }
    u32 *slot = &part->slots[place_of(set, part, number, hash)];
    if (*slot == 0) {
        set->numbers[set->count++] = number;
        *slot = set->count;
        part->count++;
    }
    return *slot - 1;
}

void number_set_free(struct number_set *set) {
    free(set->numbers);
    for (u32 i = 0; i < NUMBER_PARTS; i++) {
        free(set->part[i].slots);
    }
    *set = (struct number_set){0};
}
