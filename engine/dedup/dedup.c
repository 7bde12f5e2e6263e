/*
 * dedup.c: claims, their taking back, and snapshots, over two sets of set.h. Nearly always there is
 * one, `main`. While a snapshot is copied, main is frozen: the copying thread reads it without any
 * lock, new claims go to `delta`, and a key is known if either has it. After the snapshot, settling
 * moves delta back into main, a little at a time; not before every claim in delta is settled, for
 * what is moved half cannot be taken back. Nothing is copied twice and no claim waits for a page.
 */
#include "dedup/dedup.h"

#include "base/hash.h"
#include "dedup/set.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define GROUP 32 /* claims whose cache lines are asked for together */
#define UNDO_FIRST COMMIT_GROUP_EVENTS_MAX
#define MERGE_LOOKS 16384 /* places of delta looked at in one call: less than a millisecond */

struct claim { /* a hash as the set keeps it */
    u64 high;
    u32 low;
};

struct dedup {
    struct set main;
    struct set delta;
    u64 delta_count; /* entries in delta */
    u32 merge_part;  /* where moving delta goes on */
    usize merge_entry;
    bool grown; /* a partition grew in this call: buckets looked up before it are others */

    struct claim *undo; /* the claims that are not settled are those from first to end */
    u32 undo_first;
    u32 undo_end;
    u32 undo_capacity;
    u64 settled;    /* claims settled ever: the mark of the first in `undo` */
    u64 delta_mark; /* claims from here on are not in delta */

    _Atomic bool frozen; /* a snapshot reads main */
    u32 copy_part;       /* place of the snapshot; the copying thread's */
    usize copy_entry;    /* 0: the partition's header comes next */

    _Atomic u64 count; /* for other threads, as of the last claim or settle */
    _Atomic u64 bytes;
};

enum err dedup_create(struct dedup **out) {
    struct dedup *dedup = calloc(1, sizeof *dedup);
    struct claim *undo = malloc(UNDO_FIRST * sizeof *undo);
    if (dedup == NULL || undo == NULL) {
        free(dedup);
        free(undo);
        return ERR_NO_MEMORY;
    }
    dedup->undo = undo;
    dedup->undo_capacity = UNDO_FIRST;
    if (set_init(&dedup->main) != ERR_OK || set_init(&dedup->delta) != ERR_OK) {
        dedup_destroy(dedup);
        return ERR_NO_MEMORY;
    }
    *out = dedup;
    return ERR_OK;
}

void dedup_destroy(struct dedup *dedup) {
    if (dedup == NULL) {
        return;
    }
    check(!atomic_load(&dedup->frozen));
    set_free(&dedup->main);
    set_free(&dedup->delta);
    free(dedup->undo);
    free(dedup);
}

/* --- hashing --------------------------------------------------------------------------------- */

void dedup_hash_keys(struct event_batch *batch, u32 first, u32 count, u64 seed) {
    check(first <= batch->count && count <= batch->count - first);
    /* A seed of its own for each account: the mixer is a bijection, so no two share one. */
    u64 account_seed = hash_mix(seed ^ batch->account);
    for (u32 i = first; i < first + count; i++) {
        if (event_has_text(batch, i, TEXT_KEY)) {
            struct text_ref ref = batch->ref[TEXT_KEY][i];
            batch->key_hash[i] = hash128(batch->text + ref.offset, ref.bytes, account_seed);
        }
    }
}

/* 0 in `high` means a free entry, so a hash that has it is taken for its neighbour. */
static inline struct claim claim_of(struct hash128 hash) {
    return (struct claim){hash.high + (hash.high == 0), (u32)hash.low};
}

/* --- claims ---------------------------------------------------------------------------------- */

static void publish(struct dedup *dedup, i64 added) {
    u64 count = atomic_load_explicit(&dedup->count, memory_order_relaxed);
    atomic_store_explicit(&dedup->count, count + (u64)added, memory_order_relaxed);
}

static void publish_bytes(struct dedup *dedup) {
    u64 bytes = set_bytes(&dedup->main) + set_bytes(&dedup->delta) +
                dedup->undo_capacity * sizeof *dedup->undo;
    atomic_store_explicit(&dedup->bytes, bytes, memory_order_relaxed);
}

/* Makes room for `count` more claims to be taken back, where settled ones were if that is enough.
 */
static enum err reserve_undo(struct dedup *dedup, u32 count) {
    if (count <= dedup->undo_capacity - dedup->undo_end) {
        return ERR_OK;
    }
    u32 open = dedup->undo_end - dedup->undo_first;
    memmove(dedup->undo, dedup->undo + dedup->undo_first, open * sizeof *dedup->undo);
    dedup->undo_first = 0;
    dedup->undo_end = open;
    u32 capacity = dedup->undo_capacity;
    while (capacity - open < count) {
        if (capacity > UINT32_MAX / 2) {
            return ERR_NO_MEMORY;
        }
        capacity *= 2;
    }
    if (capacity == dedup->undo_capacity) {
        return ERR_OK;
    }
    struct claim *undo = realloc(dedup->undo, capacity * sizeof *undo);
    if (undo == NULL) {
        return ERR_NO_MEMORY;
    }
    dedup->undo = undo;
    dedup->undo_capacity = capacity;
    return ERR_OK;
}

/* Takes back the claims from this place on. */
static void take_back(struct dedup *dedup, u32 end) {
    while (dedup->undo_end > end) {
        struct claim claim = dedup->undo[--dedup->undo_end];
        if (set_remove(&dedup->delta, claim.high, claim.low)) {
            dedup->delta_count--;
            continue;
        }
        check(set_remove(&dedup->main, claim.high, claim.low));
    }
}

/* Grows a partition and finds the entry's place in it anew. */
static __attribute__((noinline)) enum err grow(struct dedup *dedup, struct set *set,
                                               struct claim claim, struct set_entry **entry) {
    u32 index = set_part_of(claim.high);
    bool found;
    enum err err = set_part_grow(set, &set->part[index]);
    dedup->grown = true;
    publish_bytes(dedup);
    *entry = set_seek(&set->part[index], claim.high, claim.low, &found);
    return err;
}

static inline struct set_entry *home_of(const struct set *set, u64 high) {
    return set_home(&set->part[set_part_of(high)], high);
}

static inline enum dedup_verdict verdict_of(const struct set_entry *entry, u32 digest) {
    return entry->digest == digest ? DEDUP_DUPLICATE : DEDUP_CONFLICT;
}

/* Claims the key in one set; `home` is its bucket there. */
static inline enum err claim_in(struct dedup *dedup, struct set *set, struct set_entry *home,
                                struct claim claim, u32 digest, u8 *verdict) {
    struct set_part *part = &set->part[set_part_of(claim.high)];
    bool found;
    struct set_entry *entry = set_seek_from(part, home, claim.high, claim.low, &found);
    if (found) {
        *verdict = (u8)verdict_of(entry, digest);
        return ERR_OK;
    }
    if (unlikely(!set_has_room(part, entry))) {
        enum err err = grow(dedup, set, claim, &entry);
        if (err != ERR_OK) {
            return err;
        }
    }
    *entry = (struct set_entry){claim.high, claim.low, digest};
    part->count++;
    dedup->undo[dedup->undo_end++] = claim;
    *verdict = DEDUP_NEW;
    return ERR_OK;
}

/* Claims while delta is in use: the set that takes no new keys is asked first. */
static enum err claim_in_two(struct dedup *dedup, bool frozen, struct claim claim, u32 digest,
                             u8 *verdict) {
    struct set *other = frozen ? &dedup->main : &dedup->delta;
    bool found;
    const struct set_entry *entry =
        set_seek(&other->part[set_part_of(claim.high)], claim.high, claim.low, &found);
    if (found) {
        *verdict = (u8)verdict_of(entry, digest);
        return ERR_OK;
    }
    struct set *set = frozen ? &dedup->delta : &dedup->main;
    enum err err = claim_in(dedup, set, home_of(set, claim.high), claim, digest, verdict);
    dedup->delta_count += frozen && err == ERR_OK && *verdict == DEDUP_NEW;
    return err;
}

/* Finds the buckets of a group of events in main and asks for them. */
static SET_INLINED void prefetch_group(const struct dedup *dedup, const struct event_batch *batch,
                                       u32 from, u32 to, bool two, struct set_entry **home) {
    for (u32 i = from; i < to; i++) {
        home[i - from] = home_of(&dedup->main, claim_of(batch->key_hash[i]).high);
        set_prefetch(home[i - from]);
    }
    for (u32 i = from; i < to && two; i++) {
        set_prefetch(home_of(&dedup->delta, claim_of(batch->key_hash[i]).high));
    }
}

static inline enum err claim_event(struct dedup *dedup, const struct event_batch *batch, u32 index,
                                   struct set_entry *home, u8 *verdict) {
    if (!event_has_text(batch, index, TEXT_KEY)) {
        *verdict = DEDUP_NEW;
        return ERR_OK;
    }
    struct claim claim = claim_of(batch->key_hash[index]);
    if (unlikely(dedup->grown)) {
        home = home_of(&dedup->main, claim.high);
    }
    return claim_in(dedup, &dedup->main, home, claim, batch->digest[index], verdict);
}

static enum err claim_event_in_two(struct dedup *dedup, const struct event_batch *batch, u32 index,
                                   bool frozen, u8 *verdict) {
    if (!event_has_text(batch, index, TEXT_KEY)) {
        *verdict = DEDUP_NEW;
        return ERR_OK;
    }
    struct claim claim = claim_of(batch->key_hash[index]);
    return claim_in_two(dedup, frozen, claim, batch->digest[index], verdict);
}

/* Decides events in groups: while one is decided, the buckets of the next are on their way. */
static enum err claim_all(struct dedup *dedup, const struct event_batch *batch, u32 first, u32 end,
                          u8 *verdict) {
    struct set_entry *home[2][GROUP];
    bool frozen = atomic_load_explicit(&dedup->frozen, memory_order_acquire);
    bool two = frozen || dedup->delta_count > 0;
    enum err err = ERR_OK;
    u32 turn = 0;
    dedup->grown = false;
    prefetch_group(dedup, batch, first, MIN(end, first + GROUP), two, home[turn]);
    for (u32 from = first; from < end && err == ERR_OK; from += GROUP, turn ^= 1) {
        u32 to = MIN(end, from + GROUP);
        prefetch_group(dedup, batch, to, MIN(end, to + GROUP), two, home[turn ^ 1]);
        for (u32 i = from; i < to; i++) {
            set_prefetch_next(home[turn][i - from]);
        }
        for (u32 i = from; i < to && err == ERR_OK; i++) {
            u8 *answer = &verdict[i - first];
            err = likely(!two) ? claim_event(dedup, batch, i, home[turn][i - from], answer)
                               : claim_event_in_two(dedup, batch, i, frozen, answer);
        }
    }
    if (frozen) {
        dedup->delta_mark = dedup_mark(dedup);
    }
    return err;
}

enum err dedup_claim(struct dedup *dedup, const struct event_batch *batch, u32 first, u32 count,
                     u8 *verdict) {
    check(first <= batch->count && count <= batch->count - first);
    enum err err = reserve_undo(dedup, count);
    u32 kept = dedup->undo_end;
    if (err == ERR_OK) {
        err = claim_all(dedup, batch, first, first + count, verdict);
    }
    if (err != ERR_OK) {
        take_back(dedup, kept);
        dedup->delta_mark = MIN(dedup->delta_mark, dedup_mark(dedup));
    }
    publish(dedup, (i64)dedup->undo_end - kept);
    return err;
}

u64 dedup_mark(const struct dedup *dedup) {
    return dedup->settled + (dedup->undo_end - dedup->undo_first);
}

/* Where in `undo` the mark is. */
static u32 place_of(const struct dedup *dedup, u64 mark) {
    check(mark >= dedup->settled && mark <= dedup_mark(dedup));
    return dedup->undo_first + (u32)(mark - dedup->settled);
}

void dedup_undo_to(struct dedup *dedup, u64 mark) {
    u32 place = place_of(dedup, mark);
    publish(dedup, (i64)place - dedup->undo_end);
    take_back(dedup, place);
    dedup->delta_mark = MIN(dedup->delta_mark, mark);
}

void dedup_undo(struct dedup *dedup) {
    dedup_undo_to(dedup, dedup->settled);
}

/* --- delta back into main -------------------------------------------------------------------- */

/* Moves entries of one partition, looking at `*looks` places at most. Those that are moved stay in
 * delta too, until all are: nothing is added to delta or taken out meanwhile. Without memory the
 * rest stays where it is, which is slower but right. */
static enum err merge_part(struct dedup *dedup, u64 *looks) {
    struct set_part *from = &dedup->delta.part[dedup->merge_part];
    struct set_part *to = &dedup->main.part[dedup->merge_part];
    usize end = (usize)from->last * BUCKET_ENTRIES;
    enum err err = dedup->merge_entry > 0
                       ? ERR_OK
                       : set_part_reserve(&dedup->main, to, (u64)to->count + from->count);
    for (; dedup->merge_entry<end && * looks> 0 && err == ERR_OK; --*looks) {
        const struct set_entry *entry = &from->entries[dedup->merge_entry];
        bool found = true;
        struct set_entry *at =
            entry->high == 0 ? NULL : set_seek(to, entry->high, entry->low, &found);
        if (!found && !set_has_room(to, at)) {
            err = grow(dedup, &dedup->main, (struct claim){entry->high, entry->low}, &at);
        }
        if (!found && err == ERR_OK) {
            *at = *entry;
            to->count++;
        }
        dedup->merge_entry += err == ERR_OK;
    }
    if (err == ERR_OK && dedup->merge_entry >= end) {
        dedup->delta_count -= from->count;
        set_part_clear(&dedup->delta, from);
        dedup->merge_part = (dedup->merge_part + 1) % SET_PARTS;
        dedup->merge_entry = 0;
    }
    return err;
}

/* Moves some more of delta into main. */
static enum err merge(struct dedup *dedup) {
    enum err err = ERR_OK;
    u64 looks = MERGE_LOOKS;
    while (dedup->delta_count > 0 && looks > 0 && err == ERR_OK) {
        err = merge_part(dedup, &looks);
    }
    publish_bytes(dedup);
    return err;
}

void dedup_settle_to(struct dedup *dedup, u64 mark) {
    dedup->undo_first = place_of(dedup, mark);
    dedup->settled = mark;
    if (dedup->undo_first == dedup->undo_end) {
        dedup->undo_first = 0;
        dedup->undo_end = 0;
    }
    bool frozen = atomic_load_explicit(&dedup->frozen, memory_order_acquire);
    if (dedup->delta_count > 0 && !frozen && dedup->delta_mark <= mark) {
        merge(dedup);
    }
}

void dedup_settle(struct dedup *dedup) {
    dedup_settle_to(dedup, dedup_mark(dedup));
}

u64 dedup_count(const struct dedup *dedup) {
    return atomic_load_explicit(&dedup->count, memory_order_relaxed);
}

u64 dedup_memory_bytes(const struct dedup *dedup) {
    return atomic_load_explicit(&dedup->bytes, memory_order_relaxed);
}

/* --- snapshots ------------------------------------------------------------------------------- */

/* A piece holds, for each partition, a header and then its entries. The header lets restore() make
 * room at once: entries come in the order of their hashes, which would fill a small table from its
 * beginning and make it search ever longer. */
static struct set_entry header_of(u32 part, u32 count) {
    return (struct set_entry){.high = 0, .low = part, .digest = count};
}

enum err dedup_snapshot_begin(struct dedup *dedup) {
    check(dedup->undo_first == dedup->undo_end && !atomic_load(&dedup->frozen));
    enum err err = merge(dedup);
    if (err != ERR_OK || dedup->delta_count > 0) {
        return err == ERR_OK ? ERR_BUSY : err;
    }
    dedup->copy_part = 0;
    dedup->copy_entry = 0;
    atomic_store_explicit(&dedup->frozen, true, memory_order_release);
    return ERR_OK;
}

/* Copies from the current partition until it or the room ends. Returns how many entries. */
static usize copy_part(struct dedup *dedup, struct set_entry *out, usize max) {
    const struct set_part *part = &dedup->main.part[dedup->copy_part];
    usize end = (usize)part->last * BUCKET_ENTRIES;
    usize done = 0;
    if (dedup->copy_entry == 0 && part->count > 0) {
        out[done++] = header_of(dedup->copy_part, part->count);
    }
    while (dedup->copy_entry < end && done < max) {
        const struct set_entry *entry = &part->entries[dedup->copy_entry++];
        if (entry->high != 0) {
            out[done++] = *entry;
        }
    }
    if (dedup->copy_entry >= end) {
        dedup->copy_part++;
        dedup->copy_entry = 0;
    }
    return done;
}

usize dedup_snapshot_copy(struct dedup *dedup, void *out, usize out_bytes) {
    check(atomic_load_explicit(&dedup->frozen, memory_order_relaxed));
    check(out_bytes >= 2 * sizeof(struct set_entry) && out_bytes % sizeof(struct set_entry) == 0);
    struct set_entry *entries = out;
    usize max = out_bytes / sizeof *entries;
    usize done = 0;
    while (dedup->copy_part < SET_PARTS && done + 1 < max) { /* a header and an entry */
        done += copy_part(dedup, entries + done, max - done);
    }
    return done * sizeof *entries;
}

void dedup_snapshot_end(struct dedup *dedup) {
    atomic_store_explicit(&dedup->frozen, false, memory_order_release);
}

static enum err restore_entry(struct dedup *dedup, const struct set_entry *entry) {
    if (entry->high == 0) {
        if (entry->low >= SET_PARTS) {
            return ERR_CORRUPT;
        }
        return set_part_reserve(&dedup->main, &dedup->main.part[entry->low], entry->digest);
    }
    struct set_part *part = &dedup->main.part[set_part_of(entry->high)];
    bool found;
    struct set_entry *at = set_seek(part, entry->high, entry->low, &found);
    if (found) {
        return ERR_CORRUPT;
    }
    if (!set_has_room(part, at)) {
        struct claim claim = {entry->high, entry->low};
        enum err err = grow(dedup, &dedup->main, claim, &at);
        if (err != ERR_OK) {
            return err;
        }
    }
    *at = *entry;
    part->count++;
    return ERR_OK;
}

enum err dedup_restore(struct dedup *dedup, const void *entries, usize bytes) {
    check(dedup->undo_first == dedup->undo_end && dedup->delta_count == 0);
    check(!atomic_load(&dedup->frozen));
    enum err err = bytes % sizeof(struct set_entry) == 0 ? ERR_OK : ERR_CORRUPT;
    const struct set_entry *entry = entries;
    for (usize i = 0; i < bytes / sizeof *entry && err == ERR_OK; i++) {
        err = restore_entry(dedup, &entry[i]);
    }
    atomic_store_explicit(&dedup->count, set_count(&dedup->main), memory_order_relaxed);
    publish_bytes(dedup);
    return err;
}
