/*
 * pool.c: a list of free blocks for each power of two; the link lies in the free block itself.
 *
 * Blocks that hold bodies are cut out of slabs, each one huge page: a body is written by the kernel
 * and read by three threads, and with small pages all of them would look up a page every 4 KiB. A
 * slab has blocks of one size; it goes back to the system when all of them are free and memory is
 * wanted for other sizes. What is smaller or larger, or has no room for a slab, comes from malloc.
 */
#include "base/pool.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define CLASS_BITS_MIN 12 /* 4 KiB */
#define CLASSES 16        /* up to 128 MiB */
#define SLAB_CLASS_MIN 5  /* 128 KiB */
#define SLAB_CLASS_MAX 9  /* 2 MiB */
#define SLAB_BYTES (2 * MIB)

struct free_block {
    struct free_block *next;
};

struct slab {
    u32 out;  /* blocks in use */
    bool cut; /* it is blocks now */
};

struct pool {
    struct free_block *free[CLASSES];
    usize bytes_max;
    usize bytes_out;
    usize bytes_kept;
    char *map; /* address space for slabs, and a bit more */
    usize map_bytes;
    char *slabs; /* the first one */
    u32 slab_count;
    struct slab slab[]; /* slab_count of them */
};

_Static_assert(SLAB_BYTES == (usize)1 << (SLAB_CLASS_MAX + CLASS_BITS_MIN), "the largest fills it");

/* Without address space there are no slabs. */
static void map_slabs(struct pool *pool, u32 count) {
    usize bytes = (count + (usize)1) * SLAB_BYTES;
    void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED) {
        return;
    }
    madvise(map, bytes, MADV_HUGEPAGE); /* without them it works, only slower */
    usize over = (usize)((uintptr_t)map % SLAB_BYTES);
    pool->map = map;
    pool->map_bytes = bytes;
    pool->slabs = pool->map + (over == 0 ? 0 : SLAB_BYTES - over);
    pool->slab_count = count;
}

enum err pool_create(usize bytes_max, struct pool **out) {
    u32 slabs = (u32)MIN(bytes_max / SLAB_BYTES, (usize)UINT32_MAX / 2);
    struct pool *pool = calloc(1, sizeof *pool + slabs * sizeof pool->slab[0]);
    if (pool == NULL) {
        return ERR_NO_MEMORY;
    }
    pool->bytes_max = bytes_max;
    if (slabs > 0) {
        map_slabs(pool, slabs);
    }
    *out = pool;
    return ERR_OK;
}

static usize capacity_of(u32 size_class) {
    return (usize)1 << (size_class + CLASS_BITS_MIN);
}

/* The slab that a block is of; NULL: it is malloc's. */
static struct slab *slab_of(struct pool *pool, const void *data) {
    uintptr_t offset = (uintptr_t)data - (uintptr_t)pool->slabs;
    bool inside = offset < (uintptr_t)pool->slab_count * SLAB_BYTES;
    return inside ? &pool->slab[offset / SLAB_BYTES] : NULL;
}

/* Frees the blocks of one size, but for those whose neighbours are in use. */
static void drop_class(struct pool *pool, u32 size_class) {
    struct free_block **link = &pool->free[size_class];
    while (*link != NULL) {
        struct free_block *block = *link;
        struct slab *slab = slab_of(pool, block);
        if (slab != NULL && slab->out > 0) {
            link = &block->next;
            continue;
        }
        *link = block->next;
        pool->bytes_kept -= capacity_of(size_class);
        if (slab == NULL) {
            free(block);
        }
    }
}

static void drop_kept(struct pool *pool) {
    for (u32 size_class = 0; size_class < CLASSES; size_class++) {
        drop_class(pool, size_class);
    }
    for (u32 i = 0; i < pool->slab_count; i++) {
        if (pool->slab[i].cut && pool->slab[i].out == 0) {
            pool->slab[i].cut = false;
            madvise(pool->slabs + (usize)i * SLAB_BYTES, SLAB_BYTES, MADV_DONTNEED);
        }
    }
}

void pool_destroy(struct pool *pool) {
    if (pool == NULL) {
        return;
    }
    check(pool->bytes_out == 0);
    drop_kept(pool);
    if (pool->map != NULL) {
        munmap(pool->map, pool->map_bytes);
    }
    free(pool);
}

usize pool_held_bytes(const struct pool *pool) {
    return pool->bytes_out + pool->bytes_kept;
}

static u32 class_of(usize bytes) {
    u32 size_class = 0;
    while (size_class < CLASSES && capacity_of(size_class) < bytes) {
        size_class++;
    }
    return size_class;
}

static struct block take_kept(struct pool *pool, u32 size_class) {
    struct free_block *kept = pool->free[size_class];
    if (kept == NULL) {
        return (struct block){NULL, 0};
    }
    usize capacity = capacity_of(size_class);
    struct slab *slab = slab_of(pool, kept);
    pool->free[size_class] = kept->next;
    pool->bytes_kept -= capacity;
    pool->bytes_out += capacity;
    if (slab != NULL) {
        slab->out++;
    }
    return (struct block){(char *)kept, capacity};
}

/* Cuts a slab into blocks. False: no room. */
static bool cut_slab(struct pool *pool, u32 size_class) {
    u32 index = 0;
    while (index < pool->slab_count && pool->slab[index].cut) {
        index++;
    }
    if (index == pool->slab_count ||
        pool->bytes_out + pool->bytes_kept + SLAB_BYTES > pool->bytes_max) {
        return false;
    }
    usize capacity = capacity_of(size_class);
    char *begin = pool->slabs + (usize)index * SLAB_BYTES;
    pool->slab[index] = (struct slab){.cut = true};
    for (usize end = SLAB_BYTES; end > 0; end -= capacity) {
        struct free_block *block = (struct free_block *)(void *)(begin + end - capacity);
        block->next = pool->free[size_class];
        pool->free[size_class] = block;
    }
    pool->bytes_kept += SLAB_BYTES;
    return true;
}

static struct block take_new(struct pool *pool, u32 size_class) {
    usize capacity = capacity_of(size_class);
    if (size_class >= SLAB_CLASS_MIN && size_class <= SLAB_CLASS_MAX &&
        cut_slab(pool, size_class)) {
        return take_kept(pool, size_class);
    }
    if (pool->bytes_out + pool->bytes_kept + capacity > pool->bytes_max) {
        drop_kept(pool); /* other sizes may hold what this one needs */
    }
    if (pool->bytes_out + pool->bytes_kept + capacity > pool->bytes_max) {
        return (struct block){NULL, 0};
    }
    char *data = malloc(capacity);
    if (data == NULL) {
        return (struct block){NULL, 0};
    }
    pool->bytes_out += capacity;
    return (struct block){data, capacity};
}

struct block pool_take(struct pool *pool, usize bytes) {
    u32 size_class = class_of(bytes);
    if (size_class == CLASSES) {
        return (struct block){NULL, 0};
    }
    struct block block = take_kept(pool, size_class);
    return block.data != NULL ? block : take_new(pool, size_class);
}

void pool_give(struct pool *pool, struct block block) {
    if (block.data == NULL) {
        return;
    }
    u32 size_class = class_of(block.capacity);
    check(size_class < CLASSES && pool->bytes_out >= block.capacity);
    struct slab *slab = slab_of(pool, block.data);
    if (slab != NULL) {
        check(slab->out > 0);
        slab->out--;
    }
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
