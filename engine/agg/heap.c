/*
 * heap.c: segments, size classes and the reserve. Address space is cheap and untouched pages cost
 * nothing, so the reserve is generous.
 */
#include "agg/heap.h"

#include <string.h>
#include <sys/mman.h>

#define SEGMENT_BYTES (64 * MIB)
#define SEGMENT_HEAD 128 /* keeps pieces aligned to pairs of cache lines */
#define LARGE_BYTES (16 * MIB)

static void *map_segment(usize bytes) {
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        return NULL;
    }
    (void)madvise(memory, bytes, MADV_HUGEPAGE); /* without it everything works, only slower */
    return memory;
}

void heap_init(struct heap *heap) {
    *heap = (struct heap){0};
}

void heap_destroy(struct heap *heap) {
    struct heap_segment *segment = heap->segments;
    while (segment != NULL) {
        struct heap_segment *next = segment->next;
        munmap(segment, segment->bytes);
        segment = next;
    }
    for (u32 i = 0; i < heap->spare_count; i++) {
        munmap(heap->spare[i], SEGMENT_BYTES);
    }
    *heap = (struct heap){0};
}

bool heap_reserve(struct heap *heap, usize bytes) {
    while (heap->left + heap->spare_bytes < bytes) {
        void *segment = heap->spare_count < HEAP_SPARES_MAX ? map_segment(SEGMENT_BYTES) : NULL;
        if (segment == NULL) {
            return false;
        }
        heap->spare[heap->spare_count++] = segment; /* writing into it would make pages of it */
        heap->spare_bytes += SEGMENT_BYTES - LARGE_BYTES; /* the tail of each may go unused */
    }
    return true;
}

static u32 class_of(usize bytes) {
    if (bytes <= 64) {
        return 0;
    }
    return (u32)(64 - __builtin_clzll(bytes - 1)) - 6;
}

/* What is left of a segment becomes recycled pieces, so that nothing is lost. */
static void keep_rest(struct heap *heap) {
    while (heap->left >= 64) {
        u32 class = (u32)(63 - __builtin_clzll(heap->left)) - 6;
        usize bytes = (usize)64 << class;
        *(void **)(void *)heap->at = heap->free[class];
        heap->free[class] = heap->at;
        heap->at += bytes;
        heap->left -= bytes;
    }
}

static bool next_segment(struct heap *heap) {
    struct heap_segment *segment;
    if (heap->spare_count > 0) {
        segment = heap->spare[--heap->spare_count];
        heap->spare_bytes -= SEGMENT_BYTES - LARGE_BYTES;
    } else {
        segment = map_segment(SEGMENT_BYTES);
        if (segment == NULL) {
            return false;
        }
    }
    keep_rest(heap);
    segment->bytes = SEGMENT_BYTES;
    segment->next = heap->segments;
    heap->segments = segment;
    heap->at = (char *)segment + SEGMENT_HEAD;
    heap->left = SEGMENT_BYTES - SEGMENT_HEAD;
    return true;
}

static void *take_large(struct heap *heap, usize bytes) {
    struct heap_segment *segment = map_segment(bytes + SEGMENT_HEAD);
    if (segment == NULL) {
        return NULL;
    }
    segment->bytes = bytes + SEGMENT_HEAD;
    if (heap->segments == NULL) {
        heap->segments = segment;
        segment->next = NULL;
    } else { /* behind the first, which is being cut */
        segment->next = heap->segments->next;
        heap->segments->next = segment;
    }
    heap->bytes_out += bytes;
    return (char *)segment + SEGMENT_HEAD;
}

void *heap_take(struct heap *heap, usize bytes) {
    u32 class = class_of(bytes);
    check(class < HEAP_CLASSES);
    usize piece_bytes = (usize)64 << class;
    void *piece = heap->free[class];
    if (piece != NULL) {
        heap->free[class] = *(void **)piece;
        memset(piece, 0, piece_bytes > LARGE_BYTES ? sizeof(void *) : piece_bytes);
        heap->bytes_out += piece_bytes;
        return piece;
    }
    if (piece_bytes > LARGE_BYTES) {
        return take_large(heap, piece_bytes);
    }
    if (heap->left < piece_bytes && !next_segment(heap)) {
        return NULL;
    }
    piece = heap->at;
    heap->at += piece_bytes;
    heap->left -= piece_bytes;
    heap->bytes_out += piece_bytes;
    return piece;
}

void heap_give(struct heap *heap, void *piece, usize bytes) {
    if (piece == NULL) {
        return;
    }
    u32 class = class_of(bytes);
    usize piece_bytes = (usize)64 << class;
    heap->bytes_out -= piece_bytes;
    if (piece_bytes > LARGE_BYTES && /* the pages go back, the address space is kept */
        madvise(piece, piece_bytes, MADV_DONTNEED) != 0) {
        memset(piece, 0, piece_bytes); /* what comes back is zeroed either way */
    }
    *(void **)piece = heap->free[class];
    heap->free[class] = piece;
}
