/*
 * dedup_model: random claims, settles and undos up to random marks, snapshots and restores against
 * a naive set: an array over a fixed universe of keys that says which are known, with which digest.
 * Hashes crowd in a few partitions and hash lines, so that growth, overflow of buckets and removal
 * from full ones happen all the time.
 */
#include "base/hash.h"
#include "dedup/dedup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNIVERSE 200000
#define PIECE_BYTES 16384

enum state { UNKNOWN, UNSETTLED, KNOWN };

struct model {
    struct dedup *dedup;
    struct event_batch *batch;
    u64 random;
    u8 state[UNIVERSE];
    u32 digest[UNIVERSE];
    u32 unsettled[UNIVERSE]; /* in the order of their claims */
    u32 unsettled_count;
    u64 settled;              /* the mark of the first of them */
    u32 key[EVENT_BATCH_MAX]; /* of the batch's events; UNIVERSE: no key */

    bool snapshot;
    u8 fixed_state[UNIVERSE]; /* at the snapshot's begin */
    u32 fixed_digest[UNIVERSE];
    char *copy;
    usize copy_bytes;
    usize copy_capacity;
};

static u64 random_below(struct model *model, u64 bound) {
    model->random = hash_mix(model->random + 0x9e3779b97f4a7c15u);
    return model->random % bound;
}

static int fail(const char *what, u64 detail) {
    fprintf(stderr, "dedup_model: %s (%llu)\n", what, (unsigned long long)detail);
    return 1;
}

/* A key's hash: half of the keys crowd in two partitions, some of them with equal high halves, and
 * a few are at the ends of a partition or have nothing but zeros. */
static struct hash128 hash_of(u32 key) {
    struct hash128 hash = {hash_mix(key), hash_mix(~(u64)key)};
    if (key < 4) {
        return (struct hash128){key, 0};
    }
    if (key % 2 == 0) {
        hash.high = (hash.high & ~((u64)0xfe << 56));
    }
    if (key % 64 == 0) {
        hash.high = hash_mix(key / 512);
    }
    if (key % 1000 == 0) {
        hash.high |= ((u64)1 << 56) - 1;
    }
    return hash;
}

static void fill_batch(struct model *model, u32 count) {
    struct event_batch *batch = model->batch;
    u32 window = (u32)random_below(model, UNIVERSE);
    batch->count = count;
    for (u32 i = 0; i < count; i++) {
        bool keyless = random_below(model, 50) == 0;
        u32 key = (window + (u32)random_below(model, 3000)) % UNIVERSE;
        model->key[i] = keyless ? UNIVERSE : key;
        batch->present[i] = keyless ? 0 : TEXT_BIT(TEXT_KEY);
        batch->key_hash[i] = keyless ? (struct hash128){1, 2} : hash_of(key);
        batch->digest[i] = (u32)random_below(model, 20) == 0 ? key + 1 : key;
    }
}

static int claim(struct model *model) {
    u8 verdict[EVENT_BATCH_MAX];
    u32 count = 1 + (u32)random_below(model, random_below(model, 10) == 0 ? EVENT_BATCH_MAX : 40);
    fill_batch(model, count);
    u32 first = (u32)random_below(model, count);
    memset(verdict, 0xff, sizeof verdict);
    if (dedup_claim(model->dedup, model->batch, first, count - first, verdict) != ERR_OK) {
        return fail("a claim failed", count);
    }
    for (u32 i = first; i < count; i++) {
        u32 key = model->key[i];
        u8 expected = DEDUP_NEW;
        if (key < UNIVERSE && model->state[key] != UNKNOWN) {
            expected =
                model->digest[key] == model->batch->digest[i] ? DEDUP_DUPLICATE : DEDUP_CONFLICT;
        } else if (key < UNIVERSE) {
            model->state[key] = UNSETTLED;
            model->digest[key] = model->batch->digest[i];
            model->unsettled[model->unsettled_count++] = key;
        }
        if (verdict[i - first] != expected) {
            return fail("wrong verdict for key", key);
        }
    }
    return 0;
}

/* Settles the first claims, or takes back the last ones; often all. */
static int end_claims(struct model *model, bool keep) {
    u32 count = model->unsettled_count;
    u32 place = random_below(model, 2) == 0 ? (u32)random_below(model, count + 1) : count;
    if (dedup_mark(model->dedup) != model->settled + count) {
        return fail("the mark is", dedup_mark(model->dedup));
    }
    if (keep) {
        dedup_settle_to(model->dedup, model->settled + place);
    } else {
        place = count - place;
        dedup_undo_to(model->dedup, model->settled + place);
    }
    for (u32 i = keep ? 0 : place; i < (keep ? place : count); i++) {
        model->state[model->unsettled[i]] = keep ? KNOWN : UNKNOWN;
    }
    model->unsettled_count = keep ? count - place : place;
    model->settled += keep ? place : 0;
    memmove(model->unsettled, model->unsettled + (keep ? place : 0),
            model->unsettled_count * sizeof *model->unsettled);
    return 0;
}

static int begin_snapshot(struct model *model) {
    enum err err = dedup_snapshot_begin(model->dedup);
    if (err == ERR_BUSY) { /* claims go on meanwhile */
        return 0;
    }
    if (err != ERR_OK) {
        return fail("a snapshot did not begin", 0);
    }
    memcpy(model->fixed_state, model->state, sizeof model->state);
    memcpy(model->fixed_digest, model->digest, sizeof model->digest);
    model->snapshot = true;
    model->copy_bytes = 0;
    return 0;
}

/* Every key of the universe, asked for with its digest at the snapshot. */
static int compare_restored(struct model *model, struct dedup *restored) {
    struct event_batch *batch = model->batch;
    u8 verdict[EVENT_BATCH_MAX];
    for (u32 first = 0; first < UNIVERSE; first += EVENT_BATCH_MAX) {
        batch->count = MIN((u32)EVENT_BATCH_MAX, UNIVERSE - first);
        for (u32 i = 0; i < batch->count; i++) {
            batch->present[i] = TEXT_BIT(TEXT_KEY);
            batch->key_hash[i] = hash_of(first + i);
            batch->digest[i] = model->fixed_digest[first + i];
        }
        if (dedup_claim(restored, batch, 0, batch->count, verdict) != ERR_OK) {
            return fail("a claim failed after restoring", first);
        }
        for (u32 i = 0; i < batch->count; i++) {
            bool known = model->fixed_state[first + i] == KNOWN;
            if (verdict[i] != (known ? DEDUP_DUPLICATE : DEDUP_NEW)) {
                return fail("the restored set differs at key", first + i);
            }
        }
    }
    dedup_undo(restored);
    return 0;
}

static int restore(struct model *model) {
    struct dedup *restored;
    if (dedup_create(&restored) != ERR_OK) {
        return fail("no memory", 0);
    }
    /* Pieces in any order: from the last one to the first every other time. */
    bool backwards = random_below(model, 2) == 0;
    usize pieces = (model->copy_bytes + PIECE_BYTES - 1) / PIECE_BYTES;
    int result = 0;
    for (usize i = 0; i < pieces && result == 0; i++) {
        usize at = (backwards ? pieces - 1 - i : i) * PIECE_BYTES;
        usize bytes = MIN((usize)PIECE_BYTES, model->copy_bytes - at);
        if (dedup_restore(restored, model->copy + at, bytes) != ERR_OK) {
            result = fail("a piece was not restored", i);
        }
    }
    u64 known = 0;
    for (u32 key = 0; key < UNIVERSE; key++) {
        known += model->fixed_state[key] == KNOWN;
    }
    if (result == 0 && dedup_count(restored) != known) {
        result = fail("the restored set counts", dedup_count(restored));
    }
    if (result == 0) {
        result = compare_restored(model, restored);
    }
    dedup_destroy(restored);
    return result;
}

static int copy_some(struct model *model) {
    if (model->copy_capacity - model->copy_bytes < PIECE_BYTES) {
        model->copy_capacity = 2 * model->copy_capacity + PIECE_BYTES;
        model->copy = realloc(model->copy, model->copy_capacity);
        check(model->copy != NULL);
    }
    usize bytes = dedup_snapshot_copy(model->dedup, model->copy + model->copy_bytes, PIECE_BYTES);
    model->copy_bytes += bytes;
    bool abandon = random_below(model, 500) == 0;
    if (bytes > 0 && !abandon) {
        return 0;
    }
    dedup_snapshot_end(model->dedup);
    model->snapshot = false;
    int result = abandon ? 0 : restore(model);
    /* The next one at once: what came in during this one has not been merged yet. */
    bool again = result == 0 && model->unsettled_count == 0 && random_below(model, 2) == 0;
    return again ? begin_snapshot(model) : result;
}

static int check_count(const struct model *model) {
    u64 expected = 0;
    for (u32 key = 0; key < UNIVERSE; key++) {
        expected += model->state[key] != UNKNOWN;
    }
    return dedup_count(model->dedup) == expected ? 0 : fail("the set counts", expected);
}

static int run(struct model *model, u32 steps) {
    int result = 0;
    for (u32 step = 0; step < steps && result == 0; step++) {
        u64 choice = random_below(model, 100);
        if (choice < 60) {
            result = model->unsettled_count + EVENT_BATCH_MAX <= UNIVERSE ? claim(model) : 0;
        } else if (choice < 75) {
            result = end_claims(model, random_below(model, 3) != 0);
        } else if (model->snapshot) {
            result = copy_some(model);
        } else if (choice < 78 && model->unsettled_count == 0) {
            result = begin_snapshot(model);
        }
        if (step % 500 == 0 && result == 0) {
            result = check_count(model);
        }
    }
    return result;
}

int main(int argc, char **argv) {
    u64 seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 20260923;
    int result = 0;
    for (u32 round = 0; round < 4 && result == 0; round++) {
        struct model *model = calloc(1, sizeof *model);
        check(model != NULL);
        model->batch = calloc(1, sizeof *model->batch);
        model->random = seed + round;
        check(model->batch != NULL && dedup_create(&model->dedup) == ERR_OK);
        result = run(model, 6000);
        if (model->snapshot) {
            dedup_snapshot_end(model->dedup);
        }
        dedup_destroy(model->dedup);
        free(model->copy);
        free(model->batch);
        free(model);
    }
    if (result != 0) {
        fprintf(stderr, "dedup_model: seed %llu\n", (unsigned long long)seed);
    }
    return result;
}
