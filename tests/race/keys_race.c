/*
 * keys_race.c: one thread claims, settles and takes back, another one makes runs of its keys, names
 * them in snapshots and merges them, a third one reads what is told about it all. Every key that
 * was settled is known, in memory or on disk, and no other.
 */
#include "base/hash.h"
#include "base/log.h"
#include "dedup/dedup.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SNAPSHOTS 40
#define BATCH 256
#define MEMORY_KEYS 1500
#define PIECE_BYTES (64 * 1024)

enum phase { PHASE_GO, PHASE_WANTED, PHASE_FIXED, PHASE_STOP };

struct race {
    struct dedup *dedup;
    _Atomic int phase; /* a snapshot is wanted, it has begun */
    _Atomic bool over;
    u64 settled; /* keys 0 .. settled - 1 are known */
};

static void fill(struct event_batch *batch, u64 first) {
    batch->count = BATCH;
    for (u32 i = 0; i < BATCH; i++) {
        batch->present[i] = TEXT_BIT(TEXT_KEY);
        batch->key_hash[i] = (struct hash128){hash_mix(first + i), hash_mix(~(first + i))};
        batch->digest[i] = (u32)(first + i);
    }
}

static void claim(struct race *race, struct event_batch *batch, enum dedup_verdict expected) {
    u8 verdict[BATCH];
    check(dedup_claim(race->dedup, batch, 0, BATCH, verdict) == ERR_OK);
    for (u32 i = 0; i < BATCH; i++) {
        check(verdict[i] == expected);
    }
}

static void *write_keys(void *argument) {
    struct race *race = argument;
    struct event_batch *batch = calloc(1, sizeof *batch);
    check(batch != NULL);
    for (u32 round = 0;; round++) {
        int phase = atomic_load(&race->phase);
        if (phase == PHASE_STOP) {
            break;
        }
        if (phase == PHASE_WANTED) {
            enum err err = dedup_snapshot_begin(race->dedup);
            check(err == ERR_OK || err == ERR_BUSY);
            if (err == ERR_OK) {
                atomic_store(&race->phase, PHASE_FIXED);
            }
        }
        fill(batch, race->settled);
        claim(race, batch, DEDUP_NEW);
        if (round % 5 == 0) {
            dedup_undo(race->dedup);
            continue;
        }
        dedup_settle(race->dedup);
        race->settled += BATCH;
        fill(batch, hash_mix(round) % race->settled / BATCH * BATCH);
        claim(race, batch, DEDUP_DUPLICATE);
    }
    free(batch);
    return NULL;
}

static void *read_stats(void *argument) {
    struct race *race = argument;
    u64 last = 0;
    while (!atomic_load(&race->over)) {
        struct dedup_stats stats;
        dedup_get_stats(race->dedup, &stats);
        check(stats.spills >= last);
        last = stats.spills;
        check(dedup_memory_bytes(race->dedup) < GIB);
        usleep(100);
    }
    return NULL;
}

/* As the background thread of a server does. */
static void snapshot(struct race *race, char *piece, bool spill) {
    atomic_store(&race->phase, PHASE_WANTED);
    while (atomic_load(&race->phase) != PHASE_FIXED) {
    }
    if (spill || dedup_is_full(race->dedup)) {
        check(dedup_snapshot_spill(race->dedup) == ERR_OK);
    }
    while (dedup_snapshot_copy(race->dedup, piece, PIECE_BYTES) > 0) {
    }
    dedup_snapshot_runs(race->dedup);
    dedup_snapshot_named(race->dedup);
    dedup_snapshot_end(race->dedup);
    atomic_store(&race->phase, PHASE_GO);
}

int main(void) {
    struct race race = {.phase = PHASE_GO};
    char dir[64];
    char command[96];
    snprintf(dir, sizeof dir, "%s/margind-race-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    check(mkdtemp(dir) != NULL);
    log_set_level(LOG_ERROR + 1);
    const struct dedup_options options = {.dir = dir, .memory_bytes = MEMORY_KEYS * 64};
    char *piece = malloc(PIECE_BYTES);
    pthread_t writer;
    pthread_t reader;
    check(piece != NULL && dedup_open(&options, &race.dedup) == ERR_OK);
    check(pthread_create(&writer, NULL, write_keys, &race) == 0);
    check(pthread_create(&reader, NULL, read_stats, &race) == 0);
    for (u32 i = 0; i < SNAPSHOTS; i++) {
        snapshot(&race, piece, i % 3 == 0);
        for (u32 k = 0; k < 20; k++) {
            dedup_tend(race.dedup);
            usleep(200);
        }
    }
    atomic_store(&race.phase, PHASE_STOP);
    atomic_store(&race.over, true);
    check(pthread_join(writer, NULL) == 0 && pthread_join(reader, NULL) == 0);
    struct event_batch *batch = calloc(1, sizeof *batch);
    check(batch != NULL);
    for (u64 first = 0; first < race.settled; first += BATCH) {
        fill(batch, first);
        claim(&race, batch, DEDUP_DUPLICATE);
    }
    free(batch);
    struct dedup_stats stats;
    dedup_get_stats(race.dedup, &stats);
    check(stats.keys == race.settled && stats.spills > SNAPSHOTS / 3 && stats.merges > 0);
    printf("keys_race: %llu keys, %llu runs made, %llu merges\n", (unsigned long long)race.settled,
           (unsigned long long)stats.spills, (unsigned long long)stats.merges);
    dedup_destroy(race.dedup);
    free(piece);
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command) == 0 ? 0 : 1;
}
