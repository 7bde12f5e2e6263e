/*
 * heap.h: the memory of the figures. Segments from mmap, cut into power-of-two pieces that are
 * recycled by size. It exists for two reasons: a reserve taken beforehand makes applying events to
 * durable figures unable to fail, and huge pages make random access to gigabytes cheap.
 *
 * Used by the writer thread only. Pieces never move.
 */
#ifndef MARGIN_AGG_HEAP_H
#define MARGIN_AGG_HEAP_H

#include "base.h"

#define HEAP_CLASSES 27 /* 64 B << class; the last is 4 GiB */

#define HEAP_SPARES_MAX 128 /* segments of 64 MiB */

struct heap_segment {
    struct heap_segment *next;
    usize bytes;
};

struct heap {
    void *free[HEAP_CLASSES];      /* recycled pieces, linked through their first word */
    struct heap_segment *segments; /* all, the one being cut first */
    void *spare[HEAP_SPARES_MAX];  /* segments reserved and not touched yet */
    u32 spare_count;
    usize spare_bytes;
    char *at; /* what is left of the first segment */
    usize left;
    usize bytes_out; /* handed out now */
};

void heap_init(struct heap *heap);
void heap_destroy(struct heap *heap); /* all pieces die with it */

/* Makes sure that later takes of together `bytes` succeed (each at most 16 MiB). False: no memory.
 */
bool heap_reserve(struct heap *heap, usize bytes);
/* A zeroed piece, aligned to 64 bytes, or NULL. */
void *heap_take(struct heap *heap, usize bytes);
/* `bytes` as it was taken. */
void heap_give(struct heap *heap, void *piece, usize bytes);

#endif
