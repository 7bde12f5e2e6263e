/*
 * table.c: hash tables of indexes, and lists. A slot keeps 32 bits of the hash beside the index:
 * probing and growing never touch the records. Removal shifts back, so that there are no
 * tombstones.
 */
#include "agg/state.h"

#include <string.h>

/* The fingerprint is also where the slot belongs, so a table holds at most 2^32 places. */
static u32 fingerprint(u64 hash) {
    return (u32)(hash >> 32) ^ (u32)hash;
}

static void put(struct table *table, u64 slot) {
    u32 place = (u32)(slot >> 32) & table->mask;
    while (table->slots[place] != 0) {
        place = (place + 1) & table->mask;
    }
    table->slots[place] = slot;
}

bool table_reserve(struct table *table, struct heap *heap, u32 count) {
    u64 wanted = ((u64)table->count + count) * 4 / 3 + 1;
    u64 places = table->slots == NULL ? 0 : (u64)table->mask + 1;
    if (wanted <= places) {
        return true;
    }
    u64 larger = MAX(places * 2, (u64)64);
    while (larger < wanted) {
        larger *= 2;
    }
    u64 *slots = heap_take(heap, larger * sizeof(u64));
    if (slots == NULL) {
        return false;
    }
    struct table old = *table;
    table->slots = slots;
    table->mask = (u32)(larger - 1);
    for (u64 place = 0; place < places; place++) {
        if (old.slots[place] != 0) {
            put(table, old.slots[place]);
        }
    }
    heap_give(heap, old.slots, places * sizeof(u64));
    return true;
}

void table_put(struct table *table, u64 hash, u32 index) {
    check(table->slots != NULL && table->count < table->mask);
    put(table, (u64)fingerprint(hash) << 32 | (index + 1));
    table->count++;
}

void table_remove(struct table *table, u64 hash, u32 index) {
    u64 slot = (u64)fingerprint(hash) << 32 | (index + 1);
    u32 place = fingerprint(hash) & table->mask;
    while (table->slots[place] != slot) {
        check(table->slots[place] != 0);
        place = (place + 1) & table->mask;
    }
    u32 hole = place;
    for (;;) {
        place = (place + 1) & table->mask;
        u64 next = table->slots[place];
        if (next == 0) {
            break;
        }
        u32 home = (u32)(next >> 32) & table->mask;
        if (((place - home) & table->mask) >= ((place - hole) & table->mask)) {
            table->slots[hole] = next;
            hole = place;
        }
    }
    table->slots[hole] = 0;
    table->count--;
}

u32 table_next(const struct table *table, u64 hash, u32 *cursor) {
    if (table->slots == NULL) {
        return UINT32_MAX;
    }
    u32 print = fingerprint(hash);
    for (;;) {
        u64 slot = table->slots[(print + *cursor) & table->mask];
        (*cursor)++;
        if (slot == 0) {
            return UINT32_MAX;
        }
        if ((u32)(slot >> 32) == print) {
            return (u32)slot - 1;
        }
    }
}

bool list_push(struct list *list, struct heap *heap, u32 number) {
    if (list->count == list->capacity) {
        u32 capacity = MAX(list->capacity * 2, 16u);
        u32 *at = heap_take(heap, capacity * sizeof(u32));
        if (at == NULL) {
            return false;
        }
        if (list->count > 0) {
            memcpy(at, list->at, list->count * sizeof(u32));
        }
        heap_give(heap, list->at, list->capacity * sizeof(u32));
        list->at = at;
        list->capacity = capacity;
    }
    list->at[list->count++] = number;
    return true;
}
