/*
 * dedup: what the idempotency set costs, at sizes from inside to far outside the caches:
 * nanoseconds per claim of a new key (growth included) and of a known one, per key hashed, and
 * bytes per key. Time is the thread's own. `bench-dedup [keys]`, default 50 million.
 */
#include "dedup/dedup.h"
#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KEY_BYTES 36

struct bench {
    struct dedup *dedup;
    struct event_batch *batch;
    u8 verdict[EVENT_BATCH_MAX];
    u64 seed;
};

static void *must(void *memory) {
    check(memory != NULL);
    return memory;
}

/* Of this thread: other programs do not count. */
static u64 thread_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (u64)now.tv_sec * 1000000000 + (u64)now.tv_nsec;
}

/* A batch of keys without their text: hashes made from key numbers. */
static void fill(struct bench *bench, u64 first, u64 step) {
    struct event_batch *batch = bench->batch;
    batch->count = EVENT_BATCH_MAX;
    for (u32 i = 0; i < EVENT_BATCH_MAX; i++) {
        u64 key = first + i * step;
        batch->present[i] = TEXT_BIT(TEXT_KEY);
        batch->key_hash[i] = (struct hash128){hash_mix(key + 77), hash_mix(~key)};
        batch->digest[i] = (u32)key;
    }
}

static u64 claim(struct bench *bench, enum dedup_verdict expected) {
    u64 begin_ns = thread_ns();
    check(dedup_claim(bench->dedup, bench->batch, 0, EVENT_BATCH_MAX, bench->verdict) == ERR_OK);
    dedup_settle(bench->dedup);
    u64 ns = thread_ns() - begin_ns;
    for (u32 i = 0; i < EVENT_BATCH_MAX; i++) {
        check(bench->verdict[i] == expected);
    }
    return ns;
}

static int compare_u64(const void *left, const void *right) {
    u64 a = *(const u64 *)left;
    u64 b = *(const u64 *)right;
    return a < b ? -1 : a > b;
}

/* Per key, of the batch that a quarter of the batches beat: what a claim takes when neither a
 * partition grows in that batch nor another program has the processor. */
static double quartile(u64 *ns, u64 count) {
    qsort(ns, count, sizeof *ns, compare_u64);
    return (double)ns[count / 4] / EVENT_BATCH_MAX;
}

/* Grows the set to `keys` and reports. `from` is its size now. */
static u64 grow_to(struct bench *bench, u64 from, u64 keys) {
    enum { KNOWN_ROUNDS = 500 };
    u64 *ns = must(malloc((keys / EVENT_BATCH_MAX + KNOWN_ROUNDS) * sizeof *ns));
    u64 sum_ns = 0;
    u64 batches = 0;
    u64 count = from;
    for (; count < keys; count += EVENT_BATCH_MAX) {
        fill(bench, count, 1);
        ns[batches] = claim(bench, DEDUP_NEW);
        sum_ns += ns[batches++];
    }
    double new_ns = quartile(ns, batches);
    u64 slowest_ns = ns[batches - 1];
    u64 step = count / EVENT_BATCH_MAX;
    for (u32 round = 0; round < KNOWN_ROUNDS; round++) {
        fill(bench, round % step, step);
        ns[round] = claim(bench, DEDUP_DUPLICATE);
    }
    printf("%11llu keys: new %5.1f ns, with growth %5.1f (slowest batch of %d: %5.2f ms), "
           "known %5.1f ns, %4.1f bytes a key\n",
           (unsigned long long)count, new_ns, (double)sum_ns / (double)(count - from),
           EVENT_BATCH_MAX, (double)slowest_ns / 1e6, quartile(ns, KNOWN_ROUNDS),
           (double)dedup_memory_bytes(bench->dedup) / (double)dedup_count(bench->dedup));
    free(ns);
    return count;
}

static void bench_hash(struct bench *bench) {
    struct event_batch *batch = bench->batch;
    batch->text = must(malloc(EVENT_BATCH_MAX * KEY_BYTES + EVENT_TEXT_PADDING));
    memset(batch->text, 'x', EVENT_BATCH_MAX * KEY_BYTES + EVENT_TEXT_PADDING);
    batch->count = EVENT_BATCH_MAX;
    for (u32 i = 0; i < EVENT_BATCH_MAX; i++) {
        batch->present[i] = TEXT_BIT(TEXT_KEY);
        batch->ref[TEXT_KEY][i] = (struct text_ref){i * KEY_BYTES, KEY_BYTES};
        memcpy(batch->text + (usize)i * KEY_BYTES, &i, sizeof i);
    }
    const u32 rounds = 500;
    u64 begin_ns = thread_ns();
    for (u32 round = 0; round < rounds; round++) {
        dedup_hash_keys(batch, 0, EVENT_BATCH_MAX, bench->seed + round);
    }
    u64 ns = thread_ns() - begin_ns;
    printf("hash of a %d-byte key: %.1f ns\n", KEY_BYTES,
           (double)ns / (rounds * (double)EVENT_BATCH_MAX));
    free(batch->text);
}

/* New keys while a snapshot is copied or a run made, per key. */
static double claim_beside(struct bench *bench, u64 count) {
    u64 sum_ns = 0;
    u64 done = 0;
    for (; done < count / 8; done += EVENT_BATCH_MAX) {
        fill(bench, UINT64_MAX / 2 + done, 1);
        sum_ns += claim(bench, DEDUP_NEW);
    }
    return (double)sum_ns / (double)done;
}

/* Copies a snapshot and restores it into another set. */
static void bench_snapshot(struct bench *bench) {
    const usize piece_bytes = MIB;
    u64 count = dedup_count(bench->dedup);
    char *all = must(malloc((usize)count * 16 + 2 * piece_bytes));
    usize bytes = 0;
    usize piece;
    u64 begin_ns = thread_ns();
    check(dedup_snapshot_begin(bench->dedup) == ERR_OK);
    while ((piece = dedup_snapshot_copy(bench->dedup, all + bytes, piece_bytes)) > 0) {
        bytes += piece;
    }
    u64 copy_ns = thread_ns() - begin_ns;
    double beside_ns = claim_beside(bench, count);
    dedup_snapshot_end(bench->dedup);
    while (dedup_snapshot_begin(bench->dedup) == ERR_BUSY) { /* those are moved to the others */
    }
    dedup_snapshot_end(bench->dedup);
    struct dedup *other;
    check(dedup_create(&other) == ERR_OK);
    begin_ns = thread_ns();
    check(dedup_restore(other, all, bytes) == ERR_OK && dedup_count(other) == count);
    u64 restore_ns = thread_ns() - begin_ns;
    printf("snapshot of %llu keys: copy %.1f ns, restore %.1f ns a key; new keys meanwhile, with "
           "growth: %.1f ns\n",
           (unsigned long long)count, (double)copy_ns / (double)count,
           (double)restore_ns / (double)count, beside_ns);
    dedup_destroy(other);
    free(all);
}

int main(int argc, char **argv) {
    u64 keys = argc > 1 ? strtoull(argv[1], NULL, 10) : 50000000;
    struct bench bench = {.seed = 42, .batch = must(calloc(1, sizeof(struct event_batch)))};
    check(dedup_create(&bench.dedup) == ERR_OK);
    bench_hash(&bench);
    u64 count = grow_to(&bench, 0, MIN(keys, (u64)1000000));
    if (keys > 10000000) {
        count = grow_to(&bench, count, 10000000);
        bench_snapshot(&bench);
    }
    if (keys > 1000000) {
        grow_to(&bench, count, keys);
    }
    dedup_destroy(bench.dedup);
    free(bench.batch);
    return 0;
}
