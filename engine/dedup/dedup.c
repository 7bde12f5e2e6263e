/*
 * dedup.c: claims, their taking back, and snapshots, over two sets of set.h. Nearly always there is
 * one, `main`. While a snapshot is copied, main is frozen: the copying thread reads it without any
 * lock, new claims go to `delta`, and a key is known if either has it. After the snapshot, settling
 * moves delta back into main, a little at a time; not before every claim in delta is settled, for
 * what is moved half cannot be taken back. Nothing is copied twice and no claim waits for a page.
 *
 * If the snapshot makes a run of main, delta takes main's place as it is, and main, which is in the
 * run now, is emptied by the other thread. `phase` says whose turn it is with what both share:
 *
 *   open ---writer---> frozen ---other---> offered ---writer---> retired ---other---> open
 *     begins a snapshot    ends it, with a run    takes the new list   frees what was before it
 *
 * An ended snapshot without a run goes back to open, and a merge of runs goes from open to offered.
 */
#include "dedup/dedup.h"

#include "base/hash.h"
#include "base/log.h"
#include "dedup/cold.h"
#include "dedup/set.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define GROUP 32 /* claims whose cache lines are asked for together */
#define UNDO_FIRST COMMIT_GROUP_EVENTS_MAX
#define MERGE_LOOKS 16384 /* places of delta looked at in one call: less than a millisecond */

enum phase { PHASE_OPEN, PHASE_FROZEN, PHASE_OFFERED, PHASE_RETIRED };

#define HOT_KEY_BYTES 32 /* no key takes more, once there are many */

struct dedup {
    struct set main;
    struct set delta;
    u64 delta_count; /* entries in delta */
    u32 merge_part;  /* where moving delta goes on */
    usize merge_entry;
    bool grown; /* a partition grew in this call: buckets looked up before it are others */

    struct set_key *undo; /* the claims that are not settled are those from first to end */
    u32 undo_first;
    u32 undo_end;
    u32 undo_capacity;
    u64 settled;    /* claims settled ever: the mark of the first in `undo` */
    u64 delta_mark; /* claims from here on are not in delta */

    _Atomic int phase; /* enum phase */
    bool spilled;      /* the other thread's, and the writer's in PHASE_OFFERED: main is in a run */
    bool delta_away;   /* the writer's: the other thread may be emptying delta */
    bool unnamed;      /* the other thread's, as what follows: a run is in no snapshot */
    u64 full_from;     /* keys in memory at which a run is made */
    u64 full_first;    /* the same, by the bound on memory */
    u32 copy_part;     /* place of the snapshot */
    usize copy_entry;  /* 0: the partition's header comes next */

    _Atomic u64 count; /* for other threads, as of the last claim or settle */
    _Atomic u64 bytes;
    _Atomic u64 retired_bytes; /* of a set that is in a run and not emptied yet */
    _Atomic u64 gone;          /* keys in runs whose events are gone, since these were sifted */
    u64 gone_before;           /* the same when the sift began that is under way */

    struct cold cold;
};

enum err dedup_open(const struct dedup_options *options, struct dedup **out) {
    struct dedup *dedup = calloc(1, sizeof *dedup);
    struct set_key *undo = malloc(UNDO_FIRST * sizeof *undo);
    if (dedup == NULL || undo == NULL) {
        free(dedup);
        free(undo);
        return ERR_NO_MEMORY;
    }
    dedup->undo = undo;
    dedup->undo_capacity = UNDO_FIRST;
    /* Half of the memory is for those that come while a run is made of the others. */
    dedup->full_first =
        options->dir != NULL ? MAX(options->memory_bytes / 2 / HOT_KEY_BYTES, (u64)1) : UINT64_MAX;
    dedup->full_from = dedup->full_first;
    if (set_init(&dedup->main) != ERR_OK || set_init(&dedup->delta) != ERR_OK ||
        cold_init(&dedup->cold, options->dir) != ERR_OK) {
        dedup_destroy(dedup);
        return ERR_NO_MEMORY;
    }
    *out = dedup;
    return ERR_OK;
}

enum err dedup_create(struct dedup **out) {
    return dedup_open(&(struct dedup_options){0}, out);
}

static enum phase phase_of(const struct dedup *dedup) {
    return (enum phase)atomic_load_explicit(&dedup->phase, memory_order_acquire);
}

static void set_phase(struct dedup *dedup, enum phase phase) {
    atomic_store_explicit(&dedup->phase, (int)phase, memory_order_release);
}

void dedup_destroy(struct dedup *dedup) {
    if (dedup == NULL) {
        return;
    }
    check(phase_of(dedup) != PHASE_FROZEN);
    cold_free(&dedup->cold);
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

/* --- claims ---------------------------------------------------------------------------------- */

static void publish(struct dedup *dedup, i64 added) {
    u64 count = atomic_load_explicit(&dedup->count, memory_order_relaxed);
    atomic_store_explicit(&dedup->count, count + (u64)added, memory_order_relaxed);
}

static void publish_bytes(struct dedup *dedup) {
    u64 delta_bytes = dedup->delta_away ? 0 : set_bytes(&dedup->delta);
    u64 bytes = set_bytes(&dedup->main) + delta_bytes + dedup->undo_capacity * sizeof *dedup->undo;
    atomic_store_explicit(&dedup->bytes, bytes, memory_order_relaxed);
}

/* Takes the list of runs that is offered, and delta for main if main's keys are in it. */
static __attribute__((noinline)) void adopt(struct dedup *dedup) {
    cold_adopt(&dedup->cold);
    publish(dedup, -(i64)atomic_load(&dedup->cold.dropped));
    atomic_store(&dedup->cold.dropped, 0); /* not before: they would count as in memory */
    if (dedup->spilled) {
        struct set main = dedup->main;
        dedup->main = dedup->delta;
        dedup->delta = main;
        dedup->delta_count = 0;
        dedup->delta_away = true;
        atomic_store_explicit(&dedup->retired_bytes, set_bytes(&main), memory_order_relaxed);
        publish_bytes(dedup);
    }
    set_phase(dedup, PHASE_RETIRED);
}

/* Whether main is frozen, for the whole of one call of the writer: the other thread may end that at
 * any moment, and what is put into main then is in no run. */
static inline bool is_frozen(struct dedup *dedup) {
    enum phase phase = phase_of(dedup);
    if (unlikely(phase == PHASE_OFFERED)) {
        adopt(dedup);
    }
    return phase == PHASE_FROZEN;
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
    struct set_key *undo = realloc(dedup->undo, capacity * sizeof *undo);
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
        struct set_key claim = dedup->undo[--dedup->undo_end];
        if (dedup->delta_count > 0 && set_remove(&dedup->delta, claim.high, claim.low)) {
            dedup->delta_count--;
            continue;
        }
        check(set_remove(&dedup->main, claim.high, claim.low));
    }
}

/* Grows a partition and finds the entry's place in it anew. */
static __attribute__((noinline)) enum err grow(struct dedup *dedup, struct set *set,
                                               struct set_key claim, struct set_entry **entry) {
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
                                struct set_key claim, u32 digest, u8 *verdict) {
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

/* Where a group of events belongs in both sets; in delta, if that is in use. */
struct homes {
    struct set_entry *main[GROUP];
    struct set_entry *delta[GROUP];
};

/* Claims while there is more than main: the runs have been asked already, and the set that takes no
 * new keys is asked first. */
static enum err claim_in_all(struct dedup *dedup, bool frozen, const struct homes *homes, u32 at,
                             struct set_key claim, u32 digest, u8 *verdict) {
    struct set *set = frozen ? &dedup->delta : &dedup->main;
    struct set *other = frozen ? &dedup->main : &dedup->delta;
    struct set_entry *const *home = frozen ? homes->delta : homes->main;
    struct set_entry *const *other_home = frozen ? homes->main : homes->delta;
    bool found = false;
    const struct set_entry *entry = NULL;
    if (frozen || dedup->delta_count > 0) {
        struct set_part *part = &other->part[set_part_of(claim.high)];
        struct set_entry *first =
            unlikely(dedup->grown) ? set_home(part, claim.high) : other_home[at];
        entry = set_seek_from(part, first, claim.high, claim.low, &found);
    }
    if (found) {
        *verdict = (u8)verdict_of(entry, digest);
        return ERR_OK;
    }
    struct set_entry *first = unlikely(dedup->grown) ? home_of(set, claim.high) : home[at];
    enum err err = claim_in(dedup, set, first, claim, digest, verdict);
    dedup->delta_count += frozen && err == ERR_OK && *verdict == DEDUP_NEW;
    return err;
}

/* Finds the buckets of a group of events and asks for them. The processor goes on from such a
 * question only when it has translated the address, for which it walks through tables that are as
 * far away: so the questions stand close together, and their walks overlap. */
static SET_INLINED void prefetch_group(const struct set *set, const struct event_batch *batch,
                                       u32 from, u32 to, struct set_entry **home) {
    for (u32 i = from; i < to; i++) {
        home[i - from] = home_of(set, set_key_of(batch->key_hash[i]).high);
    }
    for (u32 i = from; i < to; i++) {
        set_prefetch(home[i - from]);
    }
}

static inline enum err claim_event(struct dedup *dedup, const struct event_batch *batch, u32 index,
                                   struct set_entry *home, u8 *verdict) {
    if (!event_has_text(batch, index, TEXT_KEY)) {
        *verdict = DEDUP_NEW;
        return ERR_OK;
    }
    struct set_key claim = set_key_of(batch->key_hash[index]);
    if (unlikely(dedup->grown)) {
        home = home_of(&dedup->main, claim.high);
    }
    return claim_in(dedup, &dedup->main, home, claim, batch->digest[index], verdict);
}

static enum err claim_event_in_all(struct dedup *dedup, const struct event_batch *batch, u32 index,
                                   bool frozen, const struct homes *homes, u32 at, u8 *verdict) {
    if (dedup->cold.current != NULL && *verdict != DEDUP_NEW) {
        return ERR_OK;
    }
    if (!event_has_text(batch, index, TEXT_KEY)) {
        *verdict = DEDUP_NEW;
        return ERR_OK;
    }
    struct set_key claim = set_key_of(batch->key_hash[index]);
    return claim_in_all(dedup, frozen, homes, at, claim, batch->digest[index], verdict);
}

/* Decides events in groups: while one is decided, the buckets of the next are on their way. */
static enum err claim_all(struct dedup *dedup, const struct event_batch *batch, u32 first, u32 end,
                          bool frozen, u8 *verdict) {
    struct homes homes[2];
    bool two = frozen || dedup->delta_count > 0;
    bool plain = !two && dedup->cold.current == NULL;
    enum err err = ERR_OK;
    u32 turn = 0;
    dedup->grown = false;
    prefetch_group(&dedup->main, batch, first, MIN(end, first + GROUP), homes[turn].main);
    if (two) {
        prefetch_group(&dedup->delta, batch, first, MIN(end, first + GROUP), homes[turn].delta);
    }
    for (u32 from = first; from < end && err == ERR_OK; from += GROUP, turn ^= 1) {
        u32 to = MIN(end, from + GROUP);
        prefetch_group(&dedup->main, batch, to, MIN(end, to + GROUP), homes[turn ^ 1].main);
        for (u32 i = from; i < to; i++) {
            set_prefetch_next(homes[turn].main[i - from]);
        }
        if (two) {
            prefetch_group(&dedup->delta, batch, to, MIN(end, to + GROUP), homes[turn ^ 1].delta);
            for (u32 i = from; i < to; i++) {
                set_prefetch_next(homes[turn].delta[i - from]);
            }
        }
        for (u32 i = from; i < to && err == ERR_OK; i++) {
            u8 *answer = &verdict[i - first];
            err = likely(plain)
                      ? claim_event(dedup, batch, i, homes[turn].main[i - from], answer)
                      : claim_event_in_all(dedup, batch, i, frozen, &homes[turn], i - from, answer);
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
    bool frozen = is_frozen(dedup);
    enum err err = reserve_undo(dedup, count);
    u32 kept = dedup->undo_end;
    if (err == ERR_OK && dedup->cold.current != NULL) {
        err = cold_look_up(&dedup->cold, batch, first, count, verdict);
    }
    if (err == ERR_OK) {
        err = claim_all(dedup, batch, first, first + count, frozen, verdict);
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
            err = grow(dedup, &dedup->main, (struct set_key){entry->high, entry->low}, &at);
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
    bool frozen = is_frozen(dedup);
    dedup->undo_first = place_of(dedup, mark);
    dedup->settled = mark;
    if (dedup->undo_first == dedup->undo_end) {
        dedup->undo_first = 0;
        dedup->undo_end = 0;
    }
    if (dedup->delta_count > 0 && !frozen && dedup->delta_mark <= mark) {
        merge(dedup);
    }
}

void dedup_settle(struct dedup *dedup) {
    dedup_settle_to(dedup, dedup_mark(dedup));
}

enum err dedup_forget(struct dedup *dedup, const struct event_batch *batch, u32 first, u32 count) {
    check(dedup->undo_first == dedup->undo_end && !is_frozen(dedup));
    check(first <= batch->count && count <= batch->count - first);
    enum err err = merge(dedup); /* what is moved half is in both sets */
    if (err != ERR_OK || dedup->delta_count > 0) {
        return err == ERR_OK ? ERR_BUSY : err;
    }
    i64 gone = 0;
    u64 cold = 0;
    for (u32 from = first; from < first + count; from += GROUP) {
        u32 to = MIN(first + count, from + GROUP);
        for (u32 i = from; i < to; i++) {
            set_prefetch(home_of(&dedup->main, set_key_of(batch->key_hash[i]).high));
        }
        for (u32 i = from; i < to; i++) {
            struct set_key claim = set_key_of(batch->key_hash[i]);
            if (event_has_text(batch, i, TEXT_KEY)) {
                bool hot = set_remove(&dedup->main, claim.high, claim.low);
                gone += hot;
                cold += !hot;
            }
        }
    }
    publish(dedup, -gone);
    if (dedup->cold.current != NULL) {
        atomic_fetch_add(&dedup->gone, cold);
    }
    return ERR_OK;
}

u64 dedup_count(const struct dedup *dedup) {
    return atomic_load_explicit(&dedup->count, memory_order_relaxed);
}

u64 dedup_memory_bytes(const struct dedup *dedup) {
    return atomic_load_explicit(&dedup->bytes, memory_order_relaxed) +
           atomic_load_explicit(&dedup->retired_bytes, memory_order_relaxed) +
           atomic_load_explicit(&dedup->cold.counters.filter_bytes, memory_order_relaxed);
}

/* --- snapshots ------------------------------------------------------------------------------- */

/* A piece holds, for each partition, a header and then its entries. The header lets restore() make
 * room at once: entries come in the order of their hashes, which would fill a small table from its
 * beginning and make it search ever longer. */
static struct set_entry header_of(u32 part, u32 count) {
    return (struct set_entry){.high = 0, .low = part, .digest = count};
}

/* What the writer has let go is freed. */
static void release_retired(struct dedup *dedup) {
    if (phase_of(dedup) != PHASE_RETIRED) {
        return;
    }
    cold_drop_retired(&dedup->cold);
    for (u32 i = 0; i < SET_PARTS && dedup->spilled; i++) {
        set_part_clear(&dedup->delta, &dedup->delta.part[i]);
    }
    dedup->spilled = false;
    atomic_store_explicit(&dedup->retired_bytes, 0, memory_order_relaxed);
    set_phase(dedup, PHASE_OPEN);
}

enum err dedup_snapshot_begin(struct dedup *dedup) {
    check(dedup->undo_first == dedup->undo_end && !is_frozen(dedup));
    release_retired(dedup); /* the other thread rests, or is this one */
    dedup->delta_away = false;
    enum err err = merge(dedup);
    if (err != ERR_OK || dedup->delta_count > 0) {
        return err == ERR_OK ? ERR_BUSY : err;
    }
    dedup->copy_part = 0;
    dedup->copy_entry = 0;
    set_phase(dedup, PHASE_FROZEN);
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
    check(phase_of(dedup) == PHASE_FROZEN);
    check(out_bytes >= 2 * sizeof(struct set_entry) && out_bytes % sizeof(struct set_entry) == 0);
    struct set_entry *entries = out;
    usize max = out_bytes / sizeof *entries;
    usize done = 0;
    while (!dedup->spilled && dedup->copy_part < SET_PARTS &&
           done + 1 < max) { /* a header and an entry */
        done += copy_part(dedup, entries + done, max - done);
    }
    return done * sizeof *entries;
}

void dedup_snapshot_end(struct dedup *dedup) {
    if (phase_of(dedup) == PHASE_FROZEN) {
        set_phase(dedup, dedup->spilled ? PHASE_OFFERED : PHASE_OPEN);
    }
}

static void publish_restored(struct dedup *dedup) {
    u64 cold = atomic_load(&dedup->cold.counters.keys);
    atomic_store_explicit(&dedup->count, set_count(&dedup->main) + cold, memory_order_relaxed);
    publish_bytes(dedup);
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
        struct set_key claim = {entry->high, entry->low};
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
    check(phase_of(dedup) != PHASE_FROZEN);
    enum err err = bytes % sizeof(struct set_entry) == 0 ? ERR_OK : ERR_CORRUPT;
    const struct set_entry *entry = entries;
    for (usize i = 0; i < bytes / sizeof *entry && err == ERR_OK; i++) {
        err = restore_entry(dedup, &entry[i]);
    }
    publish_restored(dedup);
    return err;
}

/* --- runs ------------------------------------------------------------------------------------- */

/* Keys in memory, as far as this thread knows. */
static u64 hot_keys(const struct dedup *dedup) {
    u64 cold = atomic_load_explicit(&dedup->cold.counters.keys, memory_order_relaxed);
    u64 count = dedup_count(dedup);
    cold += atomic_load(&dedup->cold.dropped);
    return count - MIN(count, cold);
}

bool dedup_is_full(const struct dedup *dedup) {
    return hot_keys(dedup) >= dedup->full_from;
}

enum err dedup_snapshot_spill(struct dedup *dedup) {
    check(phase_of(dedup) == PHASE_FROZEN && !dedup->spilled);
    if (set_count(&dedup->main) == 0) {
        return ERR_OK;
    }
    enum err err = cold_spill(&dedup->cold, &dedup->main);
    if (err == ERR_OK) {
        dedup->spilled = true;
        dedup->unnamed = true;
        dedup->full_from = dedup->full_first;
    } else {
        /* Not tried again for each batch; memory-max is there if this goes on. */
        dedup->full_from = hot_keys(dedup) / 4 * 5;
        log_warn("keys_not_spilled", "keys=%llu reason=%s action=\"they stay in memory\"",
                 (unsigned long long)hot_keys(dedup), err_text(err));
    }
    return err;
}

struct slice dedup_snapshot_runs(struct dedup *dedup) {
    const struct cold_names *names = cold_name_runs(&dedup->cold, atomic_load(&dedup->gone));
    usize count = names->count > 0 ? names->count + (usize)1 : 0;
    return (struct slice){(const char *)names->name, count * sizeof names->name[0]};
}

void dedup_snapshot_named(struct dedup *dedup) {
    cold_named(&dedup->cold);
    dedup->unnamed = false;
}

enum err dedup_restore_runs(struct dedup *dedup, const void *names, usize bytes) {
    check(phase_of(dedup) == PHASE_OPEN);
    if (bytes % sizeof(struct cold_name) != 0) {
        return ERR_CORRUPT;
    }
    u64 gone = 0;
    enum err err = cold_restore(&dedup->cold, names, bytes / sizeof(struct cold_name), &gone);
    atomic_store(&dedup->gone, gone);
    publish_restored(dedup);
    return err;
}

void dedup_restored(struct dedup *dedup) {
    cold_clean(&dedup->cold);
}

enum err dedup_spill(struct dedup *dedup) {
    enum err err = dedup_snapshot_begin(dedup);
    if (err == ERR_OK) {
        err = dedup_snapshot_spill(dedup);
        dedup_snapshot_end(dedup);
    }
    return err;
}

bool dedup_has_unnamed(const struct dedup *dedup) {
    return dedup->unnamed;
}

void dedup_note_gone(struct dedup *dedup, u64 keys) {
    if (keys > atomic_load(&dedup->gone)) {
        atomic_store(&dedup->gone, keys);
    }
}

bool dedup_wants_sift(const struct dedup *dedup) {
    const struct cold *cold = &dedup->cold;
    return phase_of(dedup) == PHASE_OPEN && cold->latest != NULL && cold->merge == NULL &&
           cold->sift.runs == 0 && !cold->merge_failed &&
           atomic_load(&dedup->gone) >= MAX(cold->latest->keys / 2, (u64)1);
}

enum err dedup_sift_begin(struct dedup *dedup, u64 events) {
    enum err err = cold_sift_begin(&dedup->cold, events);
    if (err == ERR_OK) {
        dedup->gone_before = atomic_exchange(&dedup->gone, 0);
    }
    return err;
}

void dedup_sift_note(struct dedup *dedup, const struct event_batch *batch) {
    cold_sift_note(&dedup->cold, batch);
}

void dedup_sift_end(struct dedup *dedup, bool all) {
    if (all) {
        cold_sift_read(&dedup->cold);
    } else {
        cold_sift_end(&dedup->cold);
        atomic_fetch_add(&dedup->gone, dedup->gone_before);
    }
}

bool dedup_tend(struct dedup *dedup) {
    bool ready;
    bool sifts = dedup->cold.sift.runs > 0;
    release_retired(dedup);
    bool more = cold_merge(&dedup->cold, phase_of(dedup) == PHASE_OPEN, &ready) == ERR_OK;
    dedup->unnamed = dedup->unnamed || (sifts && dedup->cold.sift.runs == 0);
    if (ready) {
        set_phase(dedup, PHASE_OFFERED);
    }
    return more;
}

void dedup_get_stats(const struct dedup *dedup, struct dedup_stats *out) {
    const struct cold_counters *counters = &dedup->cold.counters;
    *out = (struct dedup_stats){
        .keys = dedup_count(dedup),
        .cold_keys = atomic_load(&counters->keys),
        .runs = atomic_load(&counters->runs),
        .filter_bytes = atomic_load(&counters->filter_bytes),
        .run_bytes = atomic_load(&counters->file_bytes),
        .reads = atomic_load(&counters->reads),
        .read_ns = atomic_load(&counters->read_ns),
        .false_hits = atomic_load(&counters->false_hits),
        .spills = atomic_load(&counters->spills),
        .spill_ns = atomic_load(&counters->spill_ns),
        .merges = atomic_load(&counters->merges),
        .merge_ns = atomic_load(&counters->merge_ns),
    };
}
