/* filter.c: making filters, and finding a slot's hashes in a block. */
#include "dedup/filter.h"

#include <string.h>
#include <sys/mman.h>

#define HUGE_FROM (8 * MIB)
#define BLOCK_BITS 96
#define BYTES_ONE ((u64)0x0101010101010101)
#define BYTES_HIGH ((u64)0x8080808080808080)

/* --- making ----------------------------------------------------------------------------------- */

static u64 blocks_of(u64 count) {
    return (count + FILTER_BLOCK_SLOTS - 1) / FILTER_BLOCK_SLOTS;
}

usize filter_image_bytes(u64 count) {
    return (blocks_of(count) + 1) * sizeof(struct filter_block) + count * sizeof(u16);
}

enum err filter_create(struct filter *filter, u64 count) {
    check(count > 0 && count <= UINT32_MAX);
    usize bytes = filter_image_bytes(count);
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *filter = (struct filter){0};
    if (memory == MAP_FAILED) {
        return ERR_NO_MEMORY;
    }
    if (bytes >= HUGE_FROM) {
        madvise(memory, bytes, MADV_HUGEPAGE); /* fewer misses; without them it works too */
    }
    u64 blocks = blocks_of(count);
    *filter = (struct filter){.block = memory,
                              .print = (u16 *)((struct filter_block *)memory + blocks + 1),
                              .blocks = blocks,
                              .slots = blocks * FILTER_BLOCK_SLOTS,
                              .count = count,
                              .bytes = bytes};
    return ERR_OK;
}

void filter_free(struct filter *filter) {
    if (filter->bytes > 0) {
        munmap(filter->block, filter->bytes);
        *filter = (struct filter){0};
    }
}

static void set_bit(struct filter_block *block, u32 bit) {
    if (bit < 64) {
        block->bits |= (u64)1 << bit;
    } else if (bit < BLOCK_BITS) {
        block->more |= (u32)1 << (bit - 64);
    }
}

/* Ends the slots from the current one up to `slot`. */
static void end_slots(struct filter *filter, u64 slot) {
    for (; filter->slot < slot; filter->slot++) {
        u64 index = filter->slot / FILTER_BLOCK_SLOTS;
        struct filter_block *block = &filter->block[index];
        u32 ended = (u32)(filter->slot % FILTER_BLOCK_SLOTS);
        u64 keys = filter->added - block->rank;
        set_bit(block, keys < BLOCK_BITS ? (u32)keys + ended : BLOCK_BITS);
        if (ended == FILTER_BLOCK_SLOTS - 1) {
            if (keys + FILTER_BLOCK_SLOTS > BLOCK_BITS) {
                block->bits = 0;
                block->more = 0;
            }
            filter->block[index + 1].rank = (u32)filter->added;
        }
    }
}

void filter_add(struct filter *filter, u64 high) {
    struct filter_place place = filter_place_of(filter, high);
    u64 slot = place.block * FILTER_BLOCK_SLOTS + place.slot;
    check(filter->added < filter->count && slot >= filter->slot);
    end_slots(filter, slot);
    filter->print[filter->added++] = place.print;
}

void filter_seal(struct filter *filter) {
    check(filter->added == filter->count);
    end_slots(filter, filter->slots);
}

static u32 ones(u64 word) {
    return (u32)__builtin_popcountll(word);
}

/* Each block has as many hashes as the ranks say, and an end for each slot or none at all. */
bool filter_is_sound(const struct filter *filter) {
    const struct filter_block *block = filter->block;
    bool sound = block[0].rank == 0 && block[filter->blocks].rank == filter->count;
    for (u64 i = 0; i < filter->blocks && sound; i++) {
        u64 keys = (u64)block[i + 1].rank - block[i].rank;
        bool crowded = block[i].bits == 0 && block[i].more == 0;
        u32 ends = ones(block[i].bits) + ones(block[i].more);
        u64 last = block[i].more != 0   ? 95 - (u64)__builtin_clz(block[i].more)
                   : block[i].bits != 0 ? 63 - (u64)__builtin_clzll(block[i].bits)
                                        : 0;
        sound = block[i + 1].rank >= block[i].rank && block[i + 1].rank <= filter->count &&
                (crowded || (ends == FILTER_BLOCK_SLOTS && last + 1 == keys + FILTER_BLOCK_SLOTS));
    }
    return sound;
}

/* --- looking up ------------------------------------------------------------------------------- */

/* For each byte of the word the number of ones in it and those below. */
static u64 ones_below(u64 word) {
    word -= word >> 1 & 0x5555555555555555;
    word = (word & 0x3333333333333333) + (word >> 2 & 0x3333333333333333);
    word = (word + (word >> 4)) & 0x0f0f0f0f0f0f0f0f;
    return word * BYTES_ONE;
}

/* Where the one is that has `rank` ones before it; there is one (Vigna 2008). Instructions that do
 * this are slow on some processors, and missing on others. */
static u32 select_one(u64 word, u64 sums, u32 rank) {
    u64 not_in = ((rank * BYTES_ONE | BYTES_HIGH) - sums) & BYTES_HIGH; /* bytes that end before */
    u32 shift = (u32)((not_in >> 7) * BYTES_ONE >> 56) * 8;
    u64 byte = word >> shift;
    for (rank -= (u32)(sums << 8 >> shift & 0xff); rank > 0; rank--) {
        byte &= byte - 1;
    }
    return shift + (u32)__builtin_ctzll(byte);
}

/* Where the slot's bits begin. */
static u32 slot_begin(const struct filter_block *block, u32 slot) {
    if (slot == 0) {
        return 0;
    }
    u64 sums = ones_below(block->bits);
    u32 low = (u32)(sums >> 56);
    if (slot <= low) {
        return select_one(block->bits, sums, slot - 1) + 1;
    }
    return 64 + select_one(block->more, ones_below(block->more), slot - 1 - low) + 1;
}

struct filter_range filter_slot_range(const struct filter *filter, struct filter_place place) {
    const struct filter_block *block = &filter->block[place.block];
    if (unlikely((block->bits | block->more) == 0)) {
        return (struct filter_range){block->rank, block[1].rank - block->rank};
    }
    u32 begin = slot_begin(block, place.slot);
    u128 bits = (u128)block->more << 64 | block->bits;
    u64 rest = (u64)(bits >> begin); /* ends with the slot's: it has 64 hashes at most */
    u32 count = rest != 0 ? (u32)__builtin_ctzll(rest) : 64;
    return (struct filter_range){block->rank + begin - place.slot, count};
}
