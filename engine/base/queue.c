/*
 * queue.c: the ring. Both counters only grow and wrap at 2^32, which the capacity divides; their
 * difference is the number of items. Each side keeps its last view of the other's counter and looks
 * again only when that view says full (or empty).
 */
#include "base/queue.h"

#include <stdatomic.h>
#include <stdlib.h>

#define CACHE_LINE 64
#define CAPACITY_MAX ((u32)1 << 20)

struct queue {
    _Alignas(CACHE_LINE) _Atomic u32 popped; /* written by the consumer */
    u32 pushed_seen;                         /* the consumer's view of `pushed` */
    _Alignas(CACHE_LINE) _Atomic u32 pushed; /* written by the producer */
    u32 popped_seen;                         /* the producer's view of `popped` */
    _Alignas(CACHE_LINE) u32 mask;           /* capacity - 1 */
    void *slot[];
};

enum err queue_create(u32 capacity, struct queue **out) {
    check(capacity > 0 && capacity <= CAPACITY_MAX && (capacity & (capacity - 1)) == 0);
    usize bytes = sizeof(struct queue) + capacity * sizeof(void *);
    bytes = (bytes + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    struct queue *queue = aligned_alloc(CACHE_LINE, bytes);
    if (queue == NULL) {
        return ERR_NO_MEMORY;
    }
    *queue = (struct queue){.mask = capacity - 1};
    *out = queue;
    return ERR_OK;
}

void queue_destroy(struct queue *queue) {
    free(queue);
}

bool queue_push(struct queue *queue, void *item) {
    check(item != NULL);
    u32 pushed = atomic_load_explicit(&queue->pushed, memory_order_relaxed);
    if (pushed - queue->popped_seen > queue->mask) {
        /* Acquire: the consumer has read the slot before we write it again. */
        queue->popped_seen = atomic_load_explicit(&queue->popped, memory_order_acquire);
        if (pushed - queue->popped_seen > queue->mask) {
            return false;
        }
    }
    queue->slot[pushed & queue->mask] = item;
    atomic_store_explicit(&queue->pushed, pushed + 1, memory_order_release);
    return true;
}

void *queue_pop(struct queue *queue) {
    u32 popped = atomic_load_explicit(&queue->popped, memory_order_relaxed);
    if (popped == queue->pushed_seen) {
        queue->pushed_seen = atomic_load_explicit(&queue->pushed, memory_order_acquire);
        if (popped == queue->pushed_seen) {
            return NULL;
        }
    }
    void *item = queue->slot[popped & queue->mask];
    atomic_store_explicit(&queue->popped, popped + 1, memory_order_release);
    return item;
}

u32 queue_count(const struct queue *queue) {
    /* In this order the difference never goes below zero. */
    u32 popped = atomic_load_explicit(&queue->popped, memory_order_acquire);
    u32 pushed = atomic_load_explicit(&queue->pushed, memory_order_acquire);
    return MIN(pushed - popped, queue->mask + 1);
}
