/* array.c: chunk directory and the undo log of a snapshot. */
#include "agg/array.h"

#include <stdlib.h>
#include <string.h>

bool array_init(struct array *array, struct heap *heap, struct undo *undo, u32 id, u32 record_bytes,
                u32 shift, u64 record_max) {
    *array = (struct array){.record_bytes = record_bytes,
                            .shift = shift,
                            .id = id,
                            .heap = heap,
                            .undo = undo,
                            .chunk_max = (u32)((record_max >> shift) + 1)};
    usize taken = heap->bytes_out;
    array->chunks = heap_take(heap, array->chunk_max * sizeof(char *));
    heap->bytes_out = taken; /* of so wide a directory hardly a page will be touched */
    return array->chunks != NULL;
}

bool array_reserve(struct array *array, u32 count) {
    u64 wanted = (((u64)array->count + count) >> array->shift) + 1;
    if (wanted > array->chunk_max) {
        return false;
    }
    while (array->chunk_count < wanted) {
        char *chunk = heap_take(array->heap, (usize)array->record_bytes << array->shift);
        if (chunk == NULL) {
            return false;
        }
        array->chunks[array->chunk_count++] = chunk;
    }
    return true;
}

u32 array_push(struct array *array) {
    u32 index = array->count;
    check(index >> array->shift < array->chunk_count);
    array->count++;
    return index;
}

void array_pop(struct array *array) {
    check(array->count > 0);
    array->count--;
    memset(array_edit(array, array->count), 0, array->record_bytes);
}

u32 array_add(struct array *array) {
    u32 index = array->free_head;
    if (index != 0) {
        void *record = array_edit(array, index);
        memcpy(&array->free_head, record, sizeof(u32));
        memset(record, 0, array->record_bytes);
        return index;
    }
    check(array_reserve(array, 1));
    return array_push(array);
}

void array_give(struct array *array, u32 index) {
    check(index != 0 && index < array->count);
    memcpy(array_edit(array, index), &array->free_head, sizeof(u32));
    array->free_head = index;
}

void array_save(struct array *array, u32 index) {
    u64 bit = (u64)1 << (index % 64);
    if (index < array->snap_copied || (array->snap_bits[index / 64] & bit) != 0) {
        return;
    }
    array->snap_bits[index / 64] |= bit;
    struct undo *undo = array->undo;
    usize bytes = sizeof(struct undo_entry) + array->record_bytes;
    if (undo->failed) {
        return;
    }
    if (undo->last == NULL || undo->last->bytes + bytes > UNDO_SLAB_BYTES) {
        struct undo_slab *slab = malloc(sizeof *slab + UNDO_SLAB_BYTES);
        if (slab == NULL) {
            undo->failed = true;
            return;
        }
        slab->next = NULL;
        slab->bytes = 0;
        undo->bytes += UNDO_SLAB_BYTES;
        *(undo->last == NULL ? &undo->first : &undo->last->next) = slab;
        undo->last = slab;
    }
    struct undo_entry entry = {array->id, index};
    char *out = undo->last->data + undo->last->bytes;
    memcpy(out, &entry, sizeof entry);
    memcpy(out + sizeof entry, array_at(array, index), array->record_bytes);
    undo->last->bytes += bytes;
}

bool array_snap_begin(struct array *array) {
    array->snap_bits = calloc((usize)array->count / 64 + 1, sizeof(u64));
    if (array->snap_bits == NULL) {
        return false;
    }
    array->snap_copied = 0;
    array->snap_end = array->count;
    return true;
}

u64 *array_snap_end(struct array *array) {
    u64 *bits = array->snap_bits;
    array->snap_bits = NULL;
    array->snap_end = 0;
    array->snap_copied = 0;
    return bits;
}

void undo_free(struct undo *undo) {
    while (undo->first != NULL) {
        struct undo_slab *next = undo->first->next;
        free(undo->first);
        undo->first = next;
    }
    *undo = (struct undo){0};
}
