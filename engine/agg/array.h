/*
 * array.h: records of one size, numbered from 0, in chunks that never move, and the means to write
 * them to a snapshot while they change.
 *
 * Snapshot: a fuzzy copy and its undo log. The copier takes records in ascending order as they are;
 * the writer, before it first changes a record that the copier has not reached, keeps the old bytes
 * in the undo log, which is copied last. Loading puts the old bytes back over the fuzzy ones. So
 * the normal path pays one comparison, and a snapshot costs at most one copy of each record, spread
 * over the events that touch them: there is no moment at which everything stops.
 */
#ifndef MARGIN_AGG_ARRAY_H
#define MARGIN_AGG_ARRAY_H

#include "agg/heap.h"
#include "base.h"

struct undo_slab {
    struct undo_slab *next;
    usize bytes; /* in use */
    char data[]; /* undo_entry and record, repeated */
};

struct undo_entry {
    u32 array;
    u32 index;
};

/* The old records of a running snapshot; one for all arrays. */
struct undo {
    struct undo_slab *first;
    struct undo_slab *last;
    usize bytes; /* of its slabs */
    bool failed; /* no memory for it: the snapshot is void, the figures are not */
};

struct array {
    char **chunks;
    u32 count;
    u32 record_bytes;
    u32 shift; /* records a chunk, as a power of two */
    u32 chunk_count;
    u32 chunk_max;
    u32 id;
    u32 free_head;   /* recycled records, linked through their first word; 0: none */
    u32 snap_end;    /* records in the running snapshot; 0: none runs */
    u32 snap_copied; /* records below are copied */
    u64 *snap_bits;  /* records whose old bytes are in the undo log */
    struct heap *heap;
    struct undo *undo;
};

#define UNDO_SLAB_BYTES MIB

/* `record_max` bounds the count. False: no memory. */
bool array_init(struct array *array, struct heap *heap, struct undo *undo, u32 id, u32 record_bytes,
                u32 shift, u64 record_max);
/* Makes room for `count` more records. False: no memory, or past record_max. */
bool array_reserve(struct array *array, u32 count);
/* The number of a new zeroed record; room must have been made. */
u32 array_push(struct array *array);
void array_pop(struct array *array); /* takes back the last one */
/* A zeroed record, recycled or new, for callers that cannot fail (their memory is reserved). */
u32 array_add(struct array *array);
void array_give(struct array *array, u32 index); /* for array_add to recycle; not record 0 */

static inline void *array_at(const struct array *array, u32 index) {
    return array->chunks[index >> array->shift] +
           (usize)(index & (((u32)1 << array->shift) - 1)) * array->record_bytes;
}

/* As array_at where the shape is known when compiling: saves a multiplication. */
static inline void *array_fast(const struct array *array, u32 index, u32 shift, u32 record_bytes) {
    return array->chunks[index >> shift] + (usize)(index & (((u32)1 << shift) - 1)) * record_bytes;
}

/* Keeps the record's old bytes if the running snapshot still needs them. */
void array_save(struct array *array, u32 index);

/* The record, to be changed. */
static inline void *array_edit(struct array *array, u32 index) {
    if (unlikely(index < array->snap_end)) {
        array_save(array, index);
    }
    return array_at(array, index);
}

/* Snapshot: begin fixes the count; end forgets, and what it returns is the caller's to free, with
 * time. False: no memory. */
bool array_snap_begin(struct array *array);
u64 *array_snap_end(struct array *array);
void undo_free(struct undo *undo);

#endif
