/*
 * table.c: hash tables of indexes, and lists. A slot keeps 32 bits of the hash beside the index:
 * probing and growing never touch the records. Removal shifts back, so that there are no
 * tombstones. Tables and lists grow piece by piece: a millisecond at most at a time.
 */
#include "agg/state.h"

#include <string.h>

#define PLACES_MIN 8

/* The fingerprint is also where the slot belongs: its first bits choose the part, its last ones the
 * place in it. */
static u32 fingerprint(u64 hash) {
    return (u32)(hash >> 32) ^ (u32)hash;
}

static u32 part_of(u32 print) {
    return print >> (32 - TABLE_PARTS_SHIFT);
}

static void put(struct table_part *part, u64 slot) {
    u32 place = (u32)(slot >> 32) & part->mask;
    while (part->slots[place] != 0) {
        place = (place + 1) & part->mask;
    }
    part->slots[place] = slot;
}

bool table_reserve(struct table *table, struct heap *heap, u64 hash) {
    struct table_part *part = &table->part[part_of(fingerprint(hash))];
    u64 places = part->slots == NULL ? 0 : (u64)part->mask + 1;
    if (((u64)part->count + 1) * 4 <= places * 3) {
        return true;
    }
    u64 larger = MAX(places * 2, (u64)PLACES_MIN);
    u64 *slots = heap_take(heap, larger * sizeof(u64));
    if (slots == NULL) {
        return false;
    }
    struct table_part old = *part;
    part->slots = slots;
    part->mask = (u32)(larger - 1);
    for (u64 place = 0; place < places; place++) {
        if (old.slots[place] != 0) {
            put(part, old.slots[place]);
        }
    }
    heap_give(heap, old.slots, places * sizeof(u64));
    return true;
}

void table_put(struct table *table, u64 hash, u32 index) {
    u32 print = fingerprint(hash);
    struct table_part *part = &table->part[part_of(print)];
    check(part->slots != NULL && part->count < part->mask);
    put(part, (u64)print << 32 | (index + 1));
    part->count++;
    table->count++;
}

void table_remove(struct table *table, u64 hash, u32 index) {
    u32 print = fingerprint(hash);
    struct table_part *part = &table->part[part_of(print)];
    u64 slot = (u64)print << 32 | (index + 1);
    u32 place = print & part->mask;
    while (part->slots[place] != slot) {
        check(part->slots[place] != 0);
        place = (place + 1) & part->mask;
    }
    u32 hole = place;
    for (;;) {
        place = (place + 1) & part->mask;
        u64 next = part->slots[place];
        if (next == 0) {
            break;
        }
        u32 home = (u32)(next >> 32) & part->mask;
        if (((place - home) & part->mask) >= ((place - hole) & part->mask)) {
            part->slots[hole] = next;
            hole = place;
        }
    }
    part->slots[hole] = 0;
    part->count--;
    table->count--;
}

u32 table_next(const struct table *table, u64 hash, u32 *cursor) {
    u32 print = fingerprint(hash);
    const struct table_part *part = &table->part[part_of(print)];
    if (part->slots == NULL) {
        return UINT32_MAX;
    }
    for (;;) {
        u64 slot = part->slots[(print + *cursor) & part->mask];
        (*cursor)++;
        if (slot == 0) {
            return UINT32_MAX;
        }
        if ((u32)(slot >> 32) == print) {
            return (u32)slot - 1;
        }
    }
}

/* --- lists ------------------------------------------------------------------------------------ */

#define LIST_FIRST 16
#define DIRECTORY_FIRST 8 /* chunks */

/* The first chunk doubles until it is whole. */
static bool grow_first(struct list *list, struct heap *heap) {
    u32 capacity = MAX(list->capacity * 2, (u32)LIST_FIRST);
    if (list->chunks == NULL) {
        list->chunks = heap_take(heap, DIRECTORY_FIRST * sizeof *list->chunks);
    }
    u32 *at = list->chunks == NULL ? NULL : heap_take(heap, capacity * sizeof *at);
    if (at == NULL) {
        return false;
    }
    if (list->capacity > 0) {
        memcpy(at, list->chunks[0], list->count * sizeof *at);
        heap_give(heap, list->chunks[0], list->capacity * sizeof *at);
    }
    list->chunks[0] = at;
    list->capacity = capacity;
    return true;
}

static u32 directory_places(u32 chunk_count) {
    u32 places = DIRECTORY_FIRST;
    while (places < chunk_count) {
        places *= 2;
    }
    return places;
}

static bool add_chunk(struct list *list, struct heap *heap) {
    u32 count = list->capacity >> LIST_SHIFT;
    u32 places = directory_places(count);
    if (count == places) {
        u32 **chunks = heap_take(heap, places * 2 * sizeof *chunks);
        if (chunks == NULL) {
            return false;
        }
        memcpy(chunks, list->chunks, count * sizeof *chunks);
        heap_give(heap, list->chunks, places * sizeof *chunks);
        list->chunks = chunks;
    }
    u32 *at = heap_take(heap, LIST_CHUNK * sizeof *at);
    if (at == NULL) {
        return false;
    }
    list->chunks[count] = at;
    list->capacity += LIST_CHUNK;
    return true;
}

bool list_push(struct list *list, struct heap *heap, u32 number) {
    if (list->count == list->capacity &&
        !(list->capacity < LIST_CHUNK ? grow_first(list, heap) : add_chunk(list, heap))) {
        return false;
    }
    list->chunks[list->count >> LIST_SHIFT][list->count & (LIST_CHUNK - 1)] = number;
    list->count++;
    return true;
}

void list_free(struct list *list, struct heap *heap) {
    if (list->chunks == NULL) {
        return;
    }
    u32 count = (list->capacity + LIST_CHUNK - 1) >> LIST_SHIFT;
    for (u32 i = 0; i < count; i++) {
        heap_give(heap, list->chunks[i], MIN(list->capacity, LIST_CHUNK) * sizeof(u32));
    }
    heap_give(heap, list->chunks, directory_places(count) * sizeof *list->chunks);
    *list = (struct list){0};
}
