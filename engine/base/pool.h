/*
 * pool.h: recycled memory blocks for bodies and text, one pool a front thread (not thread safe).
 * Sizes are powers of two from 4 KiB; a block given back is kept for the next request, so steady
 * traffic causes neither malloc nor page faults. The total is bounded.
 */
#ifndef MARGIN_BASE_POOL_H
#define MARGIN_BASE_POOL_H

#include "base.h"

struct block {
    char *data;     /* NULL: no block */
    usize capacity; /* a power of two */
};

struct pool;

/* ERR_NO_MEMORY. `bytes_max` bounds what is out and kept together. */
enum err pool_create(usize bytes_max, struct pool **out);
/* Every block must have been given back. */
void pool_destroy(struct pool *pool);
/* A block of at least `bytes`, content undefined; data is NULL past the bound. */
struct block pool_take(struct pool *pool, usize bytes);
usize pool_held_bytes(const struct pool *pool); /* out and kept */
void pool_give(struct pool *pool, struct block block);
/* A larger block with the same first `used` bytes; the old one is given back. On failure the
 * result's data is NULL and the old block stays valid. */
struct block pool_grow(struct pool *pool, struct block block, usize used, usize bytes);

#endif
