/* pool.c: a list of free blocks for each power of two; the link lies in the free block itself. */
#include "base/pool.h"

#include <stdlib.h>
#include <string.h>

#define CLASS_BITS_MIN 12 /* 4 KiB */
#define CLASSES 16        /* up to 128 MiB */

struct free_block {
    struct free_block *next;
};

struct pool {
    struct free_block *free[CLASSES];
    usize bytes_max;
    usize bytes_out;
    usize bytes_kept;
};

enum err pool_create(usize bytes_max, struct pool **out) {
    struct pool *pool = calloc(1, sizeof *pool);
    if (pool == NULL) {
        return ERR_NO_MEMORY;
    }
    pool->bytes_max = bytes_max;
    *out = pool;
    return ERR_OK;
}

static void drop_kept(struct pool *pool) {
    for (u32 size_class = 0; size_class < CLASSES; size_class++) {
        while (pool->free[size_class] != NULL) {
            struct free_block *block = pool->free[size_class];
            pool->free[size_class] = block->next;
            free(block);
        }
    }
    pool->bytes_kept = 0;
}

void pool_destroy(struct pool *pool) {
    if (pool == NULL) {
        return;
    }
    check(pool->bytes_out == 0);
    drop_kept(pool);
    free(pool);
}

usize pool_held_bytes(const struct pool *pool) {
    return pool->bytes_out + pool->bytes_kept;
}

static u32 class_of(usize bytes) {
    u32 size_class = 0;
    while (size_class < CLASSES && ((usize)1 << (size_class + CLASS_BITS_MIN)) < bytes) {
        size_class++;
    }
    return size_class;
}

struct block pool_take(struct pool *pool, usize bytes) {
    u32 size_class = class_of(bytes);
    if (size_class == CLASSES) {
        return (struct block){NULL, 0};
    }
    usize capacity = (usize)1 << (size_class + CLASS_BITS_MIN);
    struct free_block *kept = pool->free[size_class];
    if (kept != NULL) {
        pool->free[size_class] = kept->next;
        pool->bytes_kept -= capacity;
        pool->bytes_out += capacity;
        return (struct block){(char *)kept, capacity};
    }
    if (pool->bytes_out + pool->bytes_kept + capacity > pool->bytes_max) {
        drop_kept(pool); /* other sizes may hold what this one needs */
    }
    if (pool->bytes_out + capacity > pool->bytes_max) {
        return (struct block){NULL, 0};
    }
    char *data = malloc(capacity);
    if (data == NULL) {
        return (struct block){NULL, 0};
    }
    pool->bytes_out += capacity;
    return (struct block){data, capacity};
}

void pool_give(struct pool *pool, struct block block) {
    if (block.data == NULL) {
        return;
    }
    u32 size_class = class_of(block.capacity);
    check(size_class < CLASSES && pool->bytes_out >= block.capacity);
    struct free_block *kept = (struct free_block *)(void *)block.data;
    kept->next = pool->free[size_class];
    pool->free[size_class] = kept;
    pool->bytes_out -= block.capacity;
    pool->bytes_kept += block.capacity;
}

struct block pool_grow(struct pool *pool, struct block block, usize used, usize bytes) {
    if (bytes <= block.capacity) {
        return block;
    }
    struct block larger = pool_take(pool, bytes);
    if (larger.data != NULL) {
        memcpy(larger.data, block.data, used);
        pool_give(pool, block);
    }
    return larger;
}
