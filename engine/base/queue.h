/*
 * queue.h: a bounded ring of pointers from one thread to one other (Lamport 1983, with the cached
 * counters of Lee et al. 2009): no lock, no wait, and in steady flow each side touches the other's
 * cache line only when its own view runs out. A full queue is the caller's backpressure.
 *
 * One thread pushes, one pops; they may change hands only through something that orders memory.
 * Everything the producer wrote before a push is visible to the consumer after the pop.
 */
#ifndef MARGIN_BASE_QUEUE_H
#define MARGIN_BASE_QUEUE_H

#include "base.h"

struct queue;

/* `capacity` is a power of two, at most 2^20. ERR_NO_MEMORY. */
enum err queue_create(u32 capacity, struct queue **out);
/* Does not touch what is still queued. NULL is fine. */
void queue_destroy(struct queue *queue);

/* Producer. `item` is not NULL. False: the queue is full. */
bool queue_push(struct queue *queue, void *item);
/* Consumer. The oldest item; NULL: the queue is empty. */
void *queue_pop(struct queue *queue);

/* Any thread: how many items wait; exact when both sides rest. */
u32 queue_count(const struct queue *queue);

#endif
