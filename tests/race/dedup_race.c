/*
 * dedup_race.c: snapshots copied by one thread while another one claims, settles and takes back.
 * Each snapshot must hold exactly the keys settled when it began.
 */
#include "base/hash.h"
#include "dedup/dedup.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SNAPSHOTS 12
#define BATCH 512
#define PIECE_BYTES (64 * 1024)

enum phase { PHASE_WANTED, PHASE_FIXED, PHASE_STOP };

struct race {
    struct dedup *dedup;
    _Atomic int phase; /* the copier wants a snapshot, the writer has begun one */
    u64 settled;       /* keys 0 .. settled - 1 are known */
    u64 fixed;         /* `settled` when the snapshot began */
};

static void fill(struct event_batch *batch, u64 first) {
    batch->count = BATCH;
    for (u32 i = 0; i < BATCH; i++) {
        batch->present[i] = TEXT_BIT(TEXT_KEY);
        batch->key_hash[i] = (struct hash128){hash_mix(first + i), hash_mix(~(first + i))};
        batch->digest[i] = (u32)(first + i);
    }
}

static void *write_keys(void *argument) {
    struct race *race = argument;
    struct event_batch *batch = calloc(1, sizeof *batch);
    u8 verdict[BATCH];
    check(batch != NULL);
    for (u32 round = 0;; round++) {
        int phase = atomic_load(&race->phase);
        if (phase == PHASE_STOP) {
            break;
        }
        if (phase == PHASE_WANTED) {
            race->fixed = race->settled;
            enum err err = dedup_snapshot_begin(race->dedup);
            check(err == ERR_OK || err == ERR_BUSY);
            if (err == ERR_OK) {
                atomic_store(&race->phase, PHASE_FIXED);
            }
        }
        fill(batch, race->settled);
        check(dedup_claim(race->dedup, batch, 0, BATCH, verdict) == ERR_OK);
        for (u32 i = 0; i < BATCH; i++) {
            check(verdict[i] == DEDUP_NEW);
        }
        if (round % 5 == 0) {
            dedup_undo(race->dedup);
            continue;
        }
        dedup_settle(race->dedup);
        race->settled += BATCH;
        fill(batch, hash_mix(round) % race->settled / BATCH * BATCH);
        check(dedup_claim(race->dedup, batch, 0, BATCH, verdict) == ERR_OK);
        for (u32 i = 0; i < BATCH; i++) {
            check(verdict[i] == DEDUP_DUPLICATE);
        }
    }
    free(batch);
    return NULL;
}

/* Copies the snapshot into another set and compares its size. */
static void copy(struct race *race, char *piece) {
    struct dedup *copied;
    check(dedup_create(&copied) == ERR_OK);
    usize bytes;
    while ((bytes = dedup_snapshot_copy(race->dedup, piece, PIECE_BYTES)) > 0) {
        check(dedup_restore(copied, piece, bytes) == ERR_OK);
    }
    u64 fixed = race->fixed;
    dedup_snapshot_end(race->dedup);
    check(dedup_count(copied) == fixed);
    check(dedup_count(race->dedup) >= fixed);
    dedup_destroy(copied);
}

int main(void) {
    struct race race = {.phase = PHASE_WANTED};
    char *piece = malloc(PIECE_BYTES);
    pthread_t writer;
    check(piece != NULL && dedup_create(&race.dedup) == ERR_OK);
    check(pthread_create(&writer, NULL, write_keys, &race) == 0);
    for (u32 i = 0; i < SNAPSHOTS; i++) {
        while (atomic_load(&race.phase) != PHASE_FIXED) {
        }
        copy(&race, piece);
        atomic_store(&race.phase, i + 1 < SNAPSHOTS ? PHASE_WANTED : PHASE_STOP);
    }
    check(pthread_join(writer, NULL) == 0);
    printf("dedup_race: %llu keys\n", (unsigned long long)race.settled);
    dedup_destroy(race.dedup);
    free(piece);
    return 0;
}
