/*
 * keys: what idempotency keys cost that do not fit the memory given to them, with a second thread
 * that makes and merges runs beside the claims, as the server's background thread does:
 * nanoseconds per new key, per key that is still in memory and per key on disk, bytes per key in
 * memory and on disk, how long runs and merges take, and how long a start does.
 * `bench-keys [keys [MiB for keys [directory]]]`, default 200 million, 1024, /var/tmp.
 */
#include "base/clock.h"
#include "base/hash.h"
#include "dedup/dedup.h"

#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define KNOWN_ROUNDS 64
#define PAUSE_NS 10000000

enum turn { TURN_CLAIM, TURN_FIX, TURN_FIXED, TURN_END };

struct bench {
    struct dedup *dedup;
    struct event_batch *batch;
    _Atomic int turn;  /* enum turn: the other thread wants the set fixed, it is */
    _Atomic bool idle; /* the other thread has nothing to do */
    u64 most_bytes;    /* of memory, seen while claiming */
    u8 verdict[EVENT_BATCH_MAX];
};

static void *must(void *memory) {
    check(memory != NULL);
    return memory;
}

static struct hash128 hash_of(u64 key) {
    return (struct hash128){hash_mix(key + 77), hash_mix(~key)};
}

static void set_event(struct bench *bench, u32 index, u64 key) {
    bench->batch->present[index] = TEXT_BIT(TEXT_KEY);
    bench->batch->key_hash[index] = hash_of(key);
    bench->batch->digest[index] = (u32)key;
}

static u64 thread_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (u64)now.tv_sec * 1000000000 + (u64)now.tv_nsec;
}

static u64 claim(struct bench *bench, enum dedup_verdict expected) {
    u64 begin_ns = clock_monotonic_ns();
    check(dedup_claim(bench->dedup, bench->batch, 0, EVENT_BATCH_MAX, bench->verdict) == ERR_OK);
    dedup_settle(bench->dedup);
    u64 ns = clock_monotonic_ns() - begin_ns;
    for (u32 i = 0; i < EVENT_BATCH_MAX; i++) {
        check(bench->verdict[i] == expected);
    }
    return ns;
}

/* --- the other thread ---------------------------------------------------------------------------
 */

static void spill(struct bench *bench) {
    atomic_store(&bench->turn, TURN_FIX);
    while (atomic_load(&bench->turn) == TURN_FIX) {
        usleep(100);
    }
    if (atomic_load(&bench->turn) == TURN_FIXED) {
        check(dedup_snapshot_spill(bench->dedup) == ERR_OK);
        dedup_snapshot_runs(bench->dedup);
        dedup_snapshot_end(bench->dedup);
        dedup_snapshot_named(bench->dedup);
        atomic_store(&bench->turn, TURN_CLAIM);
    }
}

static void *tend(void *argument) {
    struct bench *bench = argument;
    while (atomic_load(&bench->turn) != TURN_END) {
        bool busy = dedup_is_full(bench->dedup);
        if (busy) {
            atomic_store(&bench->idle, false);
            spill(bench);
        }
        busy = dedup_tend(bench->dedup) || busy;
        atomic_store(&bench->idle, !busy);
        const struct timespec pause = {.tv_nsec = PAUSE_NS};
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static void fix_if_wanted(struct bench *bench) {
    if (atomic_load(&bench->turn) == TURN_FIX) {
        enum err err = dedup_snapshot_begin(bench->dedup);
        check(err == ERR_OK || err == ERR_BUSY);
        if (err == ERR_OK) {
            atomic_store(&bench->turn, TURN_FIXED);
        }
    }
}

/* Claims nothing until the other thread has caught up; it needs this one to let old runs go. */
static double catch_up(struct bench *bench) {
    u64 begin_ns = clock_monotonic_ns();
    for (u32 quiet = 0; quiet < 3; quiet = atomic_load(&bench->idle) ? quiet + 1 : 0) {
        fix_if_wanted(bench);
        bench->batch->present[0] = 0;
        check(dedup_claim(bench->dedup, bench->batch, 0, 1, bench->verdict) == ERR_OK);
        usleep(20000);
    }
    return (double)(clock_monotonic_ns() - begin_ns) / 1e9;
}

/* --- measuring ----------------------------------------------------------------------------------
 */

static int compare_u64(const void *left, const void *right) {
    u64 a = *(const u64 *)left;
    u64 b = *(const u64 *)right;
    return a < b ? -1 : a > b;
}

static double at_share(const u64 *sorted, u64 count, double share) {
    return (double)sorted[(u64)((double)(count - 1) * share)];
}

/* Keys that were claimed among first .. first + span, once more. */
static void known(struct bench *bench, const char *what, u64 first, u64 span) {
    u64 ns[KNOWN_ROUNDS];
    struct dedup_stats before;
    struct dedup_stats after;
    dedup_get_stats(bench->dedup, &before);
    for (u32 round = 0; round < KNOWN_ROUNDS; round++) {
        for (u32 i = 0; i < EVENT_BATCH_MAX; i++) {
            set_event(bench, i, first + hash_mix(span + round * EVENT_BATCH_MAX + i) % span);
        }
        ns[round] = claim(bench, DEDUP_DUPLICATE);
    }
    dedup_get_stats(bench->dedup, &after);
    qsort(ns, KNOWN_ROUNDS, sizeof *ns, compare_u64);
    printf("    known, %s: %.0f ns a key, 99 %% of batches below %.1f ms; %.2f reads a key\n", what,
           at_share(ns, KNOWN_ROUNDS, 0.5) / EVENT_BATCH_MAX,
           at_share(ns, KNOWN_ROUNDS, 0.99) / 1e6,
           (double)(after.reads - before.reads) / (KNOWN_ROUNDS * (double)EVENT_BATCH_MAX));
}

static void report(struct bench *bench, double caught_up) {
    struct dedup_stats stats;
    dedup_get_stats(bench->dedup, &stats);
    u64 bytes = dedup_memory_bytes(bench->dedup);
    double cold = (double)MAX(stats.cold_keys, (u64)1);
    double hot = (double)MAX(stats.keys - stats.cold_keys, (u64)1);
    printf(
        "    caught up after %.1f s: %.1f M keys in memory (%.1f bytes each), %.1f M in %llu runs "
        "(%.2f bytes each in memory, %.2f on disk); memory %.0f MiB, at most %.0f\n",
        caught_up, hot / 1e6, (double)(bytes - stats.filter_bytes) / hot,
        (double)stats.cold_keys / 1e6, (unsigned long long)stats.runs,
        (double)stats.filter_bytes / cold, (double)stats.run_bytes / cold,
        (double)bytes / (double)MIB, (double)bench->most_bytes / (double)MIB);
    printf(
        "    since start: %llu runs made in %.1f s, %llu merges in %.1f s, %llu pages read for new "
        "keys\n",
        (unsigned long long)stats.spills, (double)stats.spill_ns / 1e9,
        (unsigned long long)stats.merges, (double)stats.merge_ns / 1e9,
        (unsigned long long)stats.false_hits);
}

static void grow_to(struct bench *bench, u64 from, u64 keys) {
    u64 *ns = must(malloc((keys / EVENT_BATCH_MAX + 1) * sizeof *ns));
    u64 batches = 0;
    u64 begin_ns = clock_monotonic_ns();
    u64 begin_thread_ns = thread_ns();
    for (u64 count = from; count < keys; count += EVENT_BATCH_MAX) {
        for (u32 i = 0; i < EVENT_BATCH_MAX; i++) {
            set_event(bench, i, count + i);
        }
        ns[batches++] = claim(bench, DEDUP_NEW);
        fix_if_wanted(bench);
        bench->most_bytes = MAX(bench->most_bytes, dedup_memory_bytes(bench->dedup));
    }
    u64 wall_ns = clock_monotonic_ns() - begin_ns;
    u64 busy_ns = thread_ns() - begin_thread_ns;
    double claimed = (double)batches * EVENT_BATCH_MAX;
    qsort(ns, batches, sizeof *ns, compare_u64);
    printf(
        "%llu keys: new %.0f ns (median), %.0f with all there is (%.0f of the thread); batches of "
        "%d: 99 %% below %.2f ms, slowest %.1f ms\n",
        (unsigned long long)keys, at_share(ns, batches, 0.5) / EVENT_BATCH_MAX,
        (double)wall_ns / claimed, (double)busy_ns / claimed, EVENT_BATCH_MAX,
        at_share(ns, batches, 0.99) / 1e6, at_share(ns, batches, 1) / 1e6);
    free(ns);
}

/* A start that finds the runs which a snapshot names. */
static void restart(struct bench *bench, const struct dedup_options *options) {
    struct slice runs = dedup_snapshot_runs(bench->dedup);
    struct dedup *other;
    u64 begin_ns = clock_monotonic_ns();
    check(dedup_open(options, &other) == ERR_OK);
    check(dedup_restore_runs(other, runs.data, runs.bytes) == ERR_OK);
    double seconds = (double)(clock_monotonic_ns() - begin_ns) / 1e9;
    printf("start with %.1f M keys on disk: %.2f s\n", (double)dedup_count(other) / 1e6, seconds);
    dedup_destroy(other);
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *where) {
    (void)info;
    (void)kind;
    (void)where;
    return remove(path);
}

int main(int argc, char **argv) {
    u64 keys = argc > 1 ? strtoull(argv[1], NULL, 10) : 200000000;
    u64 memory = (argc > 2 ? strtoull(argv[2], NULL, 10) : 1024) * MIB;
    char dir[256];
    snprintf(dir, sizeof dir, "%.200s/margind-keys-XXXXXX", argc > 3 ? argv[3] : "/var/tmp");
    check(mkdtemp(dir) != NULL);
    struct bench bench = {.batch = must(calloc(1, sizeof(struct event_batch)))};
    const struct dedup_options options = {.dir = dir, .memory_bytes = memory};
    pthread_t other;
    check(dedup_open(&options, &bench.dedup) == ERR_OK);
    check(pthread_create(&other, NULL, tend, &bench) == 0);
    bench.batch->count = EVENT_BATCH_MAX;
    keys -= keys % EVENT_BATCH_MAX;
    u64 done = 0;
    for (u32 step = 20; step >= 1; step = step > 2 ? step / 2 : step - 1) {
        u64 next = keys / step / EVENT_BATCH_MAX * EVENT_BATCH_MAX;
        grow_to(&bench, done, next);
        done = next;
        double caught_up = catch_up(&bench);
        report(&bench, caught_up);
        known(&bench, "the last 100,000", done - 100000, 100000);
        known(&bench, "any", 0, done);
    }
    atomic_store(&bench.turn, TURN_END);
    check(pthread_join(other, NULL) == 0);
    restart(&bench, &options);
    dedup_destroy(bench.dedup);
    free(bench.batch);
    nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    return 0;
}
