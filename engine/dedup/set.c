/* set.c: memory of the partitions, growing in place, and removing (for claims taken back). */
#include "dedup/set.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PART_BYTES_MAX (256 * MIB) /* 64 GiB in all: three billion keys */

/* Distance of the partitions. Were it a power of two, pages at the same place of all partitions
 * would share the few places a translation buffer has for them; so it is odd, both in huge and in
 * small pages. */
#define PART_STRIDE (PART_BYTES_MAX + 3 * HUGE_PAGE + 17 * PAGE)
#define SET_BYTES (SET_PARTS * PART_STRIDE)
#define FIRST_SIZE (2 * PAGE) /* of a partition, and up to twice as much */
#define SPARE_BUCKETS 32
#define LIMIT_OF_16 13 /* sixteenths of the buckets' entries in use before it grows */
#define HUGE_PAGE (2 * MIB)
#define HUGE_FROM (8 * MIB) /* partitions from this size on grow by huge pages */
#define PAGE (4 * KIB)
#define MOVED_MAX 1024 /* entries set aside while growing, without asking for memory */

_Static_assert(FIRST_SIZE / sizeof(struct set_entry) > (usize)SPARE_BUCKETS * BUCKET_ENTRIES,
               "the first size has buckets");

/* Where searches in a partition without memory end. Never written: its limit is 0. */
static _Alignas(64) struct set_entry nothing[BUCKET_ENTRIES];

static void make_empty(struct set_part *part, u32 index) {
    *part = (struct set_part){.entries = nothing, .index = index};
}

enum err set_init(struct set *set) {
    void *reserved =
        mmap(NULL, SET_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    set->reserved = NULL;
    if (reserved == MAP_FAILED) {
        return ERR_NO_MEMORY;
    }
    set->reserved = reserved;
    for (u32 i = 0; i < SET_PARTS; i++) {
        make_empty(&set->part[i], i);
    }
    return ERR_OK;
}

void set_free(struct set *set) {
    if (set->reserved != NULL) {
        munmap(set->reserved, SET_BYTES);
        set->reserved = NULL;
    }
}

static char *part_memory(const struct set *set, u32 index) {
    return set->reserved + index * PART_STRIDE;
}

void set_part_clear(struct set *set, struct set_part *part) {
    if (part->bytes > 0) {
        char *memory = part_memory(set, part->index);
        check(madvise(memory, part->bytes, MADV_DONTNEED) == 0);
        check(mprotect(memory, part->bytes, PROT_NONE) == 0);
    }
    make_empty(part, part->index);
}

u64 set_count(const struct set *set) {
    u64 count = 0;
    for (u32 i = 0; i < SET_PARTS; i++) {
        count += set->part[i].count;
    }
    return count;
}

u64 set_bytes(const struct set *set) {
    u64 bytes = 0;
    for (u32 i = 0; i < SET_PARTS; i++) {
        bytes += set->part[i].bytes;
    }
    return bytes;
}

/* --- memory ---------------------------------------------------------------------------------- */

static usize round_up(usize bytes, usize unit) {
    return (bytes + unit - 1) / unit * unit;
}

/* Large partitions end at the border of a huge page. */
static usize bytes_of(const char *memory, usize size) {
    if (size < HUGE_FROM) {
        return round_up(size, PAGE);
    }
    return round_up((usize)((uintptr_t)memory + size), HUGE_PAGE) - (usize)(uintptr_t)memory;
}

static u32 buckets_of(usize bytes) {
    return (u32)(bytes / sizeof(struct set_entry) / BUCKET_ENTRIES) - SPARE_BUCKETS;
}

static u32 limit_of(usize size) {
    return (u32)((u64)buckets_of(size) * BUCKET_ENTRIES * LIMIT_OF_16 / 16);
}

/* Makes the partition larger; its entries are where they were, not where they belong now. */
static enum err extend(struct set *set, struct set_part *part, usize size) {
    char *memory = part_memory(set, part->index);
    usize bytes = bytes_of(memory, size);
    if (size > PART_BYTES_MAX ||
        mprotect(memory + part->bytes, bytes - part->bytes, PROT_READ | PROT_WRITE) != 0) {
        return ERR_NO_MEMORY;
    }
    if (size >= HUGE_FROM) {
        /* Zeroed four times as fast and found with fewer misses; without them it works too. What
         * has small pages keeps them: gathering it would stop a commit for tens of milliseconds. */
        madvise(memory, bytes, MADV_HUGEPAGE);
    }
    /* Entries are looked at before they are written: met one by one, each new page would fault
     * twice, the second time with an interrupt to every processor. Where the kernel is too old for
     * it (before 5.14) pages come one by one. */
    madvise(memory + part->bytes, bytes - part->bytes, MADV_POPULATE_WRITE);
    part->entries = (struct set_entry *)(void *)memory;
    part->buckets = buckets_of(bytes);
    part->limit = limit_of(size);
    part->last = part->buckets + SPARE_BUCKETS - 1;
    part->size = size;
    part->bytes = bytes;
    return ERR_OK;
}

/* --- growing --------------------------------------------------------------------------------- */

/* Entries that cannot be put where they belong yet. */
struct moved {
    struct set_entry *entry;
    u32 count;
    u32 capacity;
    struct set_entry space[MOVED_MAX];
};

/* Makes room for all entries that spread() may set aside: those whose bucket in the larger table is
 * not behind the place where they are. Buckets move up by half their number or more, so those are
 * entries that lie further from their bucket than half their place. */
static enum err reserve_moved(struct moved *moved, const struct set_part *part) {
    u64 most = moved->count + BUCKET_ENTRIES * (3 * ((u64)part->reach + 1) + 8);
    most = MIN(most, (u64)moved->count + part->count);
    if (most <= moved->capacity) {
        return ERR_OK;
    }
    struct set_entry *larger = malloc(most * sizeof *larger);
    if (larger == NULL) {
        return ERR_NO_MEMORY;
    }
    memcpy(larger, moved->entry, moved->count * sizeof *larger);
    if (moved->entry != moved->space) {
        free(moved->entry);
    }
    moved->entry = larger;
    moved->capacity = (u32)most;
    return ERR_OK;
}

/* Puts an entry that the partition does not have into it. `used` says how many each bucket has: so
 * buckets are only written here, and nothing waits for them. False: there is no room at its place.
 */
static inline bool put(struct set_part *part, u8 *used, const struct set_entry *entry) {
    u32 home = set_bucket_of(part, entry->high);
    u32 at = home;
    while (unlikely(used[at] == BUCKET_ENTRIES)) {
        at++;
    }
    if (unlikely(at >= part->last)) {
        return false;
    }
    part->entries[(usize)at * BUCKET_ENTRIES + used[at]++] = *entry;
    part->reach = MAX(part->reach, at - home);
    return true;
}

/* Puts the entries of the first `end` buckets where they belong in the extended partition, from the
 * last one to the first: as buckets only move up, the places behind the current bucket hold entries
 * that have been moved already, and nothing is overwritten. */
static void spread(struct set_part *part, u8 *used, u32 end, struct moved *moved) {
    part->reach = 0;
    for (u32 bucket = end; bucket-- > 0;) {
        struct set_entry *from = part->entries + (usize)bucket * BUCKET_ENTRIES;
        struct set_entry taken[BUCKET_ENTRIES];
        memcpy(taken, from, sizeof taken);
        memset(from, 0, sizeof taken);
        for (u32 i = 0; i < BUCKET_ENTRIES; i++) {
            const struct set_entry *entry = &taken[i];
            if (entry->high == 0) {
                continue;
            }
            bool behind = set_bucket_of(part, entry->high) > bucket;
            if (likely(behind) && put(part, used, entry)) {
                continue;
            }
            check(moved->count < moved->capacity);
            moved->entry[moved->count++] = *entry;
        }
    }
}

/* Extends the partition and spreads its entries. Should they crowd at its end, which random hashes
 * practically never do, it is extended again; then memory has to be there. */
static enum err resize(struct set *set, struct set_part *part, usize size, struct moved *moved) {
    for (;; size *= 2) {
        u32 end = part->last;
        usize bytes = bytes_of(part_memory(set, part->index), size);
        u8 *used = calloc(bytes / sizeof(struct set_entry) / BUCKET_ENTRIES, 1);
        enum err err = used != NULL ? reserve_moved(moved, part) : ERR_NO_MEMORY;
        err = err == ERR_OK ? extend(set, part, size) : err;
        if (err != ERR_OK) {
            free(used);
            check(moved->count == 0);
            return err;
        }
        spread(part, used, end, moved);
        while (moved->count > 0 && put(part, used, &moved->entry[moved->count - 1])) {
            moved->count--;
        }
        free(used);
        if (moved->count == 0) {
            return ERR_OK;
        }
    }
}

static enum err resize_to(struct set *set, struct set_part *part, usize size) {
    struct moved moved = {.entry = moved.space, .capacity = MOVED_MAX};
    enum err err = resize(set, part, size, &moved);
    if (moved.entry != moved.space) {
        free(moved.entry);
    }
    return err;
}

/* The first size differs by partition. */
static usize next_size(const struct set_part *part) {
    return part->size == 0 ? FIRST_SIZE + FIRST_SIZE * part->index / SET_PARTS : part->size * 2;
}

enum err set_part_reserve(struct set *set, struct set_part *part, u64 count) {
    usize size = part->size == 0 ? next_size(part) : part->size;
    while (limit_of(size) < count && size <= PART_BYTES_MAX) {
        size *= 2;
    }
    return size == part->size ? ERR_OK : resize_to(set, part, size);
}

enum err set_part_grow(struct set *set, struct set_part *part) {
    return resize_to(set, part, next_size(part));
}

/* --- removing -------------------------------------------------------------------------------- */

/* An entry lies in its own bucket or, if all buckets from there on are full, behind them. So a hole
 * in a full bucket is filled by an entry that lies behind it and belongs at or before it; the hole
 * this leaves is filled likewise. */
static void fill_hole(struct set_part *part, u32 hole_bucket, struct set_entry *hole) {
    u32 bucket = hole_bucket;
    for (;;) {
        bucket++;
        struct set_entry *entries = part->entries + (usize)bucket * BUCKET_ENTRIES;
        bool full = true;
        struct set_entry *moves = NULL;
        for (u32 i = 0; i < BUCKET_ENTRIES; i++) {
            full = full && entries[i].high != 0;
            if (entries[i].high != 0 && set_bucket_of(part, entries[i].high) <= hole_bucket) {
                moves = &entries[i];
            }
        }
        if (moves != NULL) {
            *hole = *moves;
            *moves = (struct set_entry){0};
            hole = moves;
            hole_bucket = bucket;
        }
        if (!full) {
            return;
        }
    }
}

bool set_remove(struct set *set, u64 high, u32 low) {
    struct set_part *part = &set->part[set_part_of(high)];
    bool found;
    struct set_entry *entry = set_seek(part, high, low, &found);
    if (!found) {
        return false;
    }
    u32 bucket = (u32)((usize)(entry - part->entries) / BUCKET_ENTRIES);
    const struct set_entry *entries = part->entries + (usize)bucket * BUCKET_ENTRIES;
    bool full = true;
    for (u32 i = 0; i < BUCKET_ENTRIES; i++) {
        full = full && entries[i].high != 0;
    }
    *entry = (struct set_entry){0};
    part->count--;
    if (full) {
        fill_hole(part, bucket, entry);
    }
    return true;
}
