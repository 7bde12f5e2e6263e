/*
 * filter.h: which hashes a run has, in 2.5 bytes each: what is not in the filter is not in the run,
 * and of hashes that the run does not have one in 65536 is taken for one that it has. The filter
 * also says where in the run the hash is, so a look-up reads one page.
 *
 * A run is sorted, so the filter is its hashes cut short: a line from 0 to the number of hashes has
 * one slot for each on average; the slot of a hash is its place on the line ("fast range", as in
 * set.h), and its print the 16 bits behind. Slots are kept in blocks of 32: a bit for each hash
 * (0) and one after the last of each slot (1), and how many hashes the blocks before have (Elias
 * 1974; as a filter: Cleary 1984, and the quotient filter of Bender et al. 2012). Prints lie in an
 * array in the order of the hashes. A look-up touches a block and the prints of a slot: two cache
 * lines, whose places are known one after the other; ask for them ahead.
 *
 * Against a fuse filter of 16-bit prints: 11 % larger, but made in one pass over sorted hashes
 * without other memory, which cannot fail, with two misses instead of three, and a place comes with
 * the answer.
 */
#ifndef MARGIN_DEDUP_FILTER_H
#define MARGIN_DEDUP_FILTER_H

#include "base.h"

#define FILTER_BLOCK_SLOTS 32

struct filter_block {
    u64 bits; /* the first 64 of 96; all 0: more hashes than it has room for */
    u32 more;
    u32 rank; /* hashes in the blocks before */
};
_Static_assert(sizeof(struct filter_block) == 16, "four blocks are a cache line");

struct filter {
    struct filter_block *block; /* one more than there are: its rank is `count` */
    u16 *print;
    u64 blocks;
    u64 slots;   /* 32 a block */
    u64 count;   /* hashes it is made for */
    usize bytes; /* of its memory, which begins at `block`; 0: none */

    u64 added; /* while it is made */
    u64 slot;  /* of the last one */
};

/* Some hashes of the run, by their rank: first .. first + count. */
struct filter_range {
    u32 first;
    u32 count;
};

/* Makes room for `count` hashes, at most UINT32_MAX. ERR_NO_MEMORY. */
enum err filter_create(struct filter *filter, u64 count);
void filter_free(struct filter *filter);
/* Hashes come in ascending order, `count` in all. */
void filter_add(struct filter *filter, u64 high);
void filter_seal(struct filter *filter); /* after the last */

/* As bytes: from filter->block, filter_image_bytes() of them. */
usize filter_image_bytes(u64 count);
/* After they were read into a filter just created: whether no look-up leaves them. */
bool filter_is_sound(const struct filter *filter);

/* --- looking up, in three steps with time in between --------------------------------------------
 */

struct filter_place {
    u64 block;
    u32 slot; /* in the block */
    u16 print;
};

static inline struct filter_place filter_place_of(const struct filter *filter, u64 high) {
    u128 place = (u128)high * filter->slots;
    u64 slot = (u64)(place >> 64);
    return (struct filter_place){slot / FILTER_BLOCK_SLOTS, (u32)(slot % FILTER_BLOCK_SLOTS),
                                 (u16)((u64)place >> 48)};
}

/* gcc takes it for a function without effect, see set.h. */
static inline __attribute__((always_inline)) void filter_prefetch(const struct filter *filter,
                                                                  struct filter_place place) {
    __builtin_prefetch(&filter->block[place.block]);
}

/* The hashes of the slot; many where its block has no room for its bits. */
struct filter_range filter_slot_range(const struct filter *filter, struct filter_place place);

static inline __attribute__((always_inline)) void
filter_prefetch_prints(const struct filter *filter, struct filter_range range) {
    __builtin_prefetch(&filter->print[range.first]);
}

/* Those of the range with this print; none: the run does not have the hash. */
static inline struct filter_range filter_match(const struct filter *filter,
                                               struct filter_range range, u16 print) {
    const u16 *prints = filter->print + range.first;
    struct filter_range match = {range.first, 0};
    for (u32 i = 0; i < range.count; i++) {
        if (unlikely(prints[i] == print)) {
            match.first = match.count == 0 ? range.first + i : match.first;
            match.count = range.first + i + 1 - match.first;
        }
    }
    return match;
}

#endif
