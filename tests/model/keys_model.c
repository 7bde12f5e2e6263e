/*
 * keys_model: the idempotency set with so little memory that it makes and merges runs all the time,
 * against a plain array that says which keys are known: claims, settling and taking back up to
 * random marks, snapshots with and without a spill that are kept, fail or are given up, restarts
 * from the newest snapshot with the tail replayed, and damage to any file: the set then says so, or
 * answers as if nothing had happened. Events expire: their keys are new again, at once or once the
 * runs are sifted, and no other ever is. Half of all hashes crowd where a filter has no room for
 * them.
 */
#include "base/hash.h"
#include "base/log.h"
#include "dedup/dedup.h"

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define UNIVERSE 120000
#define MEMORY_KEYS 700
#define PIECE_BYTES 4096
#define PATH_BYTES 512

enum state {
    UNKNOWN,
    UNSETTLED,
    KNOWN,
    GONE /* its event has expired: in a run it may be known for a while, with either verdict */
};

struct saved { /* a snapshot */
    bool there;
    char *copy;
    usize copy_bytes;
    struct slice runs;
    u32 log_count; /* keys in the log before it */
};

struct model {
    struct dedup *dedup;
    struct event_batch *batch;
    u64 random;
    char dir[64];
    u8 state[UNIVERSE];
    u32 digest[UNIVERSE];
    u32 unsettled[UNIVERSE]; /* in the order of their claims */
    u32 unsettled_count;
    u64 settled;
    u32 log[UNIVERSE]; /* keys in the order in which they were settled */
    u32 log_count;
    u32 kept_since; /* snapshots since a start */
    bool hurt; /* a file was damaged: a claim may be refused, and is answered right or not at all */
    bool runs_gone; /* it has removed runs of the older snapshot */
    bool was_gone[UNIVERSE];
    bool sifting;
    u32 sift_log[UNIVERSE]; /* the log when that began */
    u32 sift_count;
    u32 sift_at; /* how far it was read */
    u64 sifts;
    bool snapshot;        /* one is under way, `next` */
    struct saved next;    /* what it has so far */
    struct saved kept[2]; /* newest first */
};

static u64 random_below(struct model *model, u64 bound) {
    model->random = hash_mix(model->random + 0x9e3779b97f4a7c15u);
    return model->random % bound;
}

static bool one_in(struct model *model, u64 many) {
    return random_below(model, many) == 0;
}

static int fail(const char *what, u64 detail) {
    fprintf(stderr, "keys_model: %s (%llu)\n", what, (unsigned long long)detail);
    return 1;
}

static void *must(void *memory) {
    check(memory != NULL);
    return memory;
}

static struct hash128 hash_of(u32 key) {
    struct hash128 hash = {hash_mix(key), hash_mix(~(u64)key)};
    if (key < 4) {
        return (struct hash128){key, 0};
    }
    if (key % 2 == 0) {
        hash.high = (hash.high & ~((u64)0xfe << 56));
    }
    if (key % 64 == 0) {
        hash.high = hash_mix(key / 16384); /* hundreds are equal but for their low halves */
    }
    if (key % 1000 == 0) {
        hash.high |= ((u64)1 << 56) - 1;
    }
    return hash;
}

static void set_event(struct event_batch *batch, u32 index, u32 key, u32 digest) {
    batch->present[index] = TEXT_BIT(TEXT_KEY);
    batch->key_hash[index] = hash_of(key);
    batch->digest[index] = digest;
}

static void open_set(struct model *model) {
    const struct dedup_options options = {.dir = model->dir, .memory_bytes = MEMORY_KEYS * 64};
    check(dedup_open(&options, &model->dedup) == ERR_OK);
    model->settled = 0;
    model->sifting = false;
}

static void close_set(struct model *model) {
    if (model->snapshot) {
        dedup_snapshot_end(model->dedup);
        model->snapshot = false;
    }
    dedup_destroy(model->dedup);
}

/* --- claims ----------------------------------------------------------------------------------- */

static int claim(struct model *model) {
    u8 verdict[EVENT_BATCH_MAX];
    u32 keys[EVENT_BATCH_MAX];
    u32 count = 1 + (u32)random_below(model, one_in(model, 10) ? 2000 : 60);
    u32 window = (u32)random_below(model, UNIVERSE);
    struct event_batch *batch = model->batch;
    batch->count = count;
    for (u32 i = 0; i < count; i++) {
        keys[i] = (window + (u32)random_below(model, 4000)) % UNIVERSE;
        set_event(batch, i, keys[i], one_in(model, 20) ? keys[i] + 1 : keys[i]);
        if (one_in(model, 50)) {
            batch->present[i] = 0;
            keys[i] = UNIVERSE;
        }
    }
    memset(verdict, 0xff, sizeof verdict);
    u64 mark = dedup_mark(model->dedup);
    enum err err = dedup_claim(model->dedup, batch, 0, count, verdict);
    if (err != ERR_OK) {
        return model->hurt && (err == ERR_CORRUPT || err == ERR_IO) &&
                       dedup_mark(model->dedup) == mark
                   ? -1
                   : fail("a claim failed", (u64)err);
    }
    for (u32 i = 0; i < count; i++) {
        u32 key = keys[i];
        u8 expected = DEDUP_NEW;
        if (key < UNIVERSE && model->state[key] == GONE && verdict[i] != DEDUP_NEW) {
            expected = verdict[i];
        } else if (key < UNIVERSE && model->was_gone[key] && model->state[key] == KNOWN) {
            /* It may be the one before that is known, in a run that came back with a snapshot. */
            expected = verdict[i] == DEDUP_NEW ? DEDUP_DUPLICATE : verdict[i];
        } else if (key < UNIVERSE && model->state[key] != UNKNOWN && model->state[key] != GONE) {
            expected = model->digest[key] == batch->digest[i] ? DEDUP_DUPLICATE : DEDUP_CONFLICT;
        } else if (key < UNIVERSE) {
            model->state[key] = UNSETTLED;
            model->digest[key] = batch->digest[i];
            model->unsettled[model->unsettled_count++] = key;
        }
        if (verdict[i] != expected) {
            return fail("wrong verdict for key", key);
        }
    }
    return 0;
}

static void unclaim(struct model *model, u32 key) {
    model->state[key] = model->was_gone[key] ? GONE : UNKNOWN;
}

/* Settles the first claims, or takes back the last ones; often all. */
static void end_claims(struct model *model, bool keep) {
    u32 count = model->unsettled_count;
    u32 place = one_in(model, 2) ? (u32)random_below(model, count + 1) : count;
    if (keep) {
        dedup_settle_to(model->dedup, model->settled + place);
        for (u32 i = 0; i < place; i++) {
            model->state[model->unsettled[i]] = KNOWN;
            model->log[model->log_count++] = model->unsettled[i];
        }
        model->settled += place;
        model->unsettled_count -= place;
        memmove(model->unsettled, model->unsettled + place,
                model->unsettled_count * sizeof *model->unsettled);
        return;
    }
    dedup_undo_to(model->dedup, model->settled + count - place);
    for (u32 i = count - place; i < count; i++) {
        unclaim(model, model->unsettled[i]);
    }
    model->unsettled_count = count - place;
}

/* --- snapshots -------------------------------------------------------------------------------- */

static void drop(struct saved *saved) {
    free(saved->copy);
    free((void *)(uintptr_t)saved->runs.data);
    *saved = (struct saved){0};
}

static int begin_snapshot(struct model *model) {
    enum err err = dedup_snapshot_begin(model->dedup);
    if (err != ERR_OK) {
        return err == ERR_BUSY ? 0 : fail("a snapshot did not begin", (u64)err);
    }
    drop(&model->next);
    model->next.log_count = model->log_count;
    model->snapshot = true;
    if (dedup_is_full(model->dedup) || one_in(model, 8)) {
        err = dedup_snapshot_spill(model->dedup);
        return err == ERR_OK ? 0 : fail("no spill", (u64)err);
    }
    return 0;
}

static void keep_snapshot(struct model *model) {
    struct slice runs = dedup_snapshot_runs(model->dedup);
    char *names = must(malloc(runs.bytes + 1));
    memcpy(names, runs.data != NULL ? runs.data : "", runs.bytes);
    model->next.runs = (struct slice){names, runs.bytes};
    model->next.there = true;
    drop(&model->kept[1]);
    model->kept[1] = model->kept[0];
    model->kept[0] = model->next;
    model->runs_gone = model->runs_gone && ++model->kept_since < 2;
    model->next = (struct saved){0};
    dedup_snapshot_named(model->dedup);
}

static void copy_some(struct model *model) {
    struct saved *next = &model->next;
    next->copy = must(realloc(next->copy, next->copy_bytes + PIECE_BYTES));
    usize bytes = dedup_snapshot_copy(model->dedup, next->copy + next->copy_bytes, PIECE_BYTES);
    next->copy_bytes += bytes;
    bool abandon = one_in(model, 100);
    if (bytes > 0 && !abandon) {
        return;
    }
    if (!abandon) {
        keep_snapshot(model);
    }
    dedup_snapshot_end(model->dedup);
    model->snapshot = false;
}

/* --- restarts --------------------------------------------------------------------------------- */

/* Claims keys of the log, as recovery does. */
static int replay(struct model *model, u32 first) {
    u8 verdict[EVENT_BATCH_MAX];
    for (u32 at = first; at < model->log_count;) {
        u32 count = MIN(300, model->log_count - at);
        model->batch->count = count;
        for (u32 i = 0; i < count; i++) {
            set_event(model->batch, i, model->log[at + i], model->digest[model->log[at + i]]);
        }
        enum err err = dedup_claim(model->dedup, model->batch, 0, count, verdict);
        if (err != ERR_OK) {
            return -1;
        }
        for (u32 i = 0; i < count; i++) {
            if (verdict[i] != DEDUP_NEW && !model->was_gone[model->log[at + i]]) {
                return fail("replay knows key", model->log[at + i]);
            }
        }
        dedup_settle(model->dedup);
        if (dedup_is_full(model->dedup) && dedup_spill(model->dedup) != ERR_OK) {
            return fail("no spill while replaying", at);
        }
        dedup_tend(model->dedup);
        at += count;
    }
    dedup_restored(model->dedup);
    model->runs_gone = true;
    model->kept_since = 0;
    model->settled = dedup_mark(model->dedup);
    return 0;
}

static enum err restore(struct model *model, const struct saved *saved) {
    enum err err = ERR_OK;
    for (usize at = 0; at < saved->copy_bytes && err == ERR_OK; at += PIECE_BYTES) {
        usize bytes = MIN((usize)PIECE_BYTES, saved->copy_bytes - at);
        err = dedup_restore(model->dedup, saved->copy + at, bytes);
    }
    if (err == ERR_OK) {
        err = dedup_restore_runs(model->dedup, saved->runs.data, saved->runs.bytes);
    }
    return err;
}

static int remake(struct model *model) {
    model->hurt = false;
    dedup_destroy(model->dedup);
    open_set(model);
    int result = replay(model, 0);
    return result == 0 ? 0 : fail("the log cannot be replayed", 0);
}

/* What was not settled is gone; what was comes back from a snapshot, or from the log alone. */
static int restart(struct model *model) {
    close_set(model);
    for (u32 i = 0; i < model->unsettled_count; i++) {
        unclaim(model, model->unsettled[i]);
    }
    model->unsettled_count = 0;
    open_set(model);
    if (one_in(model, 5)) { /* the newest is damaged */
        drop(&model->kept[0]);
        model->kept[0] = model->kept[1];
        model->kept[1] = (struct saved){0};
    }
    const struct saved *saved = &model->kept[0];
    if (!saved->there) {
        return remake(model);
    }
    enum err err = restore(model, saved);
    if (err != ERR_OK) {
        /* An older one's runs are gone after a start from a newer one. */
        bool allowed = model->hurt || model->runs_gone;
        return allowed ? remake(model) : fail("a snapshot was not restored", (u64)err);
    }
    int result = replay(model, saved->log_count);
    return result < 0 && model->hurt ? remake(model) : result;
}

/* --- damage ----------------------------------------------------------------------------------- */

static void hurt(struct model *model, const char *path) {
    struct stat stat;
    FILE *file = fopen(path, "r+");
    check(file != NULL && fstat(fileno(file), &stat) == 0);
    u64 bytes = (u64)stat.st_size;
    if (one_in(model, 5)) {
        check(ftruncate(fileno(file), (off_t)random_below(model, bytes)) == 0);
    } else if (one_in(model, 5)) {
        check(unlink(path) == 0);
    } else {
        /* A whole page at times, so that not only checksums are met. */
        long at = (long)random_below(model, bytes);
        check(fseek(file, at, SEEK_SET) == 0);
        int byte = fgetc(file);
        check(fseek(file, at, SEEK_SET) == 0 &&
              fputc(byte ^ 1 << random_below(model, 8), file) >= 0);
    }
    check(fclose(file) == 0);
}

/* Hurts one of the files and starts again, unless that is found before. */
static int damage(struct model *model) {
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/keys", model->dir);
    DIR *stream = opendir(path);
    const struct dirent *entry;
    bool hit = false;
    while (stream != NULL && !hit && (entry = readdir(stream)) != NULL) {
        if (strstr(entry->d_name, ".run") != NULL && one_in(model, 3)) {
            snprintf(path, sizeof path, "%s/keys/%.64s", model->dir, entry->d_name);
            hurt(model, path);
            model->hurt = true;
            hit = true;
        }
    }
    if (stream != NULL) {
        closedir(stream);
    }
    int result = 0;
    for (u32 i = 0; i < 20 && result == 0 && hit; i++) {
        result = model->unsettled_count < UNIVERSE / 2 ? claim(model) : 0;
    }
    return result > 0 ? result : restart(model);
}

/* --- the run ---------------------------------------------------------------------------------- */

/* All keys that have events, and some in runs that have none: hardly more than half of those. */
static int check_count(const struct model *model) {
    u64 expected = 0;
    u64 gone = 0;
    struct dedup_stats stats;
    dedup_get_stats(model->dedup, &stats);
    for (u32 key = 0; key < UNIVERSE; key++) {
        expected += model->state[key] == UNSETTLED || model->state[key] == KNOWN;
        gone += model->state[key] == GONE;
    }
    bool soon = model->sifting || dedup_wants_sift(model->dedup) || model->sifts > 0;
    u64 most = soon ? gone : MIN(gone, stats.cold_keys * 2 / 3);
    return stats.keys >= expected && stats.keys <= expected + most
               ? 0
               : fail("the set counts", stats.keys);
}

/* A file in use or named by a kept snapshot is there; all others go in time. */
static int check_files(struct model *model) {
    char path[PATH_BYTES];
    struct dedup_stats stats;
    dedup_get_stats(model->dedup, &stats);
    snprintf(path, sizeof path, "%s/keys", model->dir);
    DIR *stream = opendir(path);
    u64 files = 0;
    while (stream != NULL && readdir(stream) != NULL) {
        files++;
    }
    if (stream != NULL) {
        closedir(stream);
    }
    return files <= 3 * RUNS_MAX && stats.runs <= 12 ? 0 : fail("too many files", files);
}

/* --- events expire ---------------------------------------------------------------------------- */

static int forget(struct model *model, const u32 *keys, u32 count) {
    enum err err;
    model->batch->count = count;
    for (u32 i = 0; i < count; i++) {
        set_event(model->batch, i, keys[i], 0);
        model->state[keys[i]] = GONE;
        model->was_gone[keys[i]] = true;
    }
    do {
        err = dedup_forget(model->dedup, model->batch, 0, count);
    } while (err == ERR_BUSY);
    return err == ERR_OK ? 0 : fail("keys are not forgotten", (u64)err);
}

/* Of the oldest events most go. Snapshots from before are of no use. */
static int expire(struct model *model) {
    u32 end = (u32)random_below(model, model->log_count + 1);
    u32 keys[1000];
    u32 count = 0;
    u32 left = 0;
    int result = 0;
    for (u32 i = 0; i < model->log_count && result == 0; i++) {
        if (i >= end || one_in(model, 9)) {
            model->log[left++] = model->log[i];
            continue;
        }
        keys[count++] = model->log[i];
        if (count == ARRAY_COUNT(keys)) {
            result = forget(model, keys, count);
            count = 0;
        }
    }
    model->log_count = left;
    drop(&model->kept[0]);
    drop(&model->kept[1]);
    return result == 0 ? forget(model, keys, count) : result;
}

/* Reads some of the log, so that the runs can be sifted. */
static int sift(struct model *model) {
    if (!model->sifting) {
        if (!dedup_wants_sift(model->dedup)) {
            return 0;
        }
        memcpy(model->sift_log, model->log, model->log_count * sizeof *model->log);
        model->sift_count = model->log_count;
        model->sift_at = 0;
        model->sifting = true;
        enum err err = dedup_sift_begin(model->dedup, model->log_count);
        return err == ERR_OK ? 0 : fail("no sift", (u64)err);
    }
    u32 count = MIN(EVENT_BATCH_MAX, model->sift_count - model->sift_at);
    model->batch->count = count;
    for (u32 i = 0; i < count; i++) {
        set_event(model->batch, i, model->sift_log[model->sift_at++], 0);
    }
    dedup_sift_note(model->dedup, model->batch);
    bool give_up = one_in(model, 30);
    if (count == 0 || give_up) {
        dedup_sift_end(model->dedup, !give_up);
        model->sifting = false;
        model->sifts = give_up ? 0 : 200; /* steps that it may take */
    }
    return 0;
}

static int step(struct model *model) {
    model->sifts -= model->sifts > 0;
    u64 choice = random_below(model, 1000);
    if (choice < 520) {
        return model->unsettled_count + EVENT_BATCH_MAX <= UNIVERSE ? claim(model) : 0;
    }
    if (choice < 700) {
        end_claims(model, !one_in(model, 3));
        return 0;
    }
    if (choice < 800) {
        if (!model->snapshot) {
            dedup_tend(model->dedup);
        }
        return 0;
    }
    if (choice < 802) {
        return restart(model);
    }
    if (choice < 803) {
        return damage(model);
    }
    if (choice < 805) {
        return model->snapshot || model->unsettled_count > 0 ? 0 : expire(model);
    }
    if (choice < 860) {
        return sift(model);
    }
    if (model->snapshot) {
        copy_some(model);
        return 0;
    }
    return model->unsettled_count == 0 ? begin_snapshot(model) : 0;
}

static int run(struct model *model, u32 steps) {
    int result = 0;
    for (u32 i = 0; i < steps && result == 0; i++) {
        result = step(model);
        result = result < 0 ? restart(model) : result;
        if (i % 200 == 0 && result == 0) {
            result = check_count(model);
            result = result == 0 ? check_files(model) : result;
        }
    }
    return result;
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *where) {
    (void)info;
    (void)kind;
    (void)where;
    return remove(path);
}

int main(int argc, char **argv) {
    u64 seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 20261120;
    int result = 0;
    log_set_level(LOG_ERROR + 1);
    for (u32 round = 0; round < 3 && result == 0; round++) {
        struct model *model = must(calloc(1, sizeof *model));
        model->batch = must(calloc(1, sizeof *model->batch));
        model->random = hash_mix(seed + ((u64)round << 32));
        /* Hundreds of syncs: in memory, where there is such a place. */
        snprintf(model->dir, sizeof model->dir, "%s/margind-keys-XXXXXX",
                 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        check(mkdtemp(model->dir) != NULL);
        open_set(model);
        result = run(model, 2000);
        close_set(model);
        nftw(model->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
        drop(&model->next);
        drop(&model->kept[0]);
        drop(&model->kept[1]);
        free(model->batch);
        free(model);
    }
    if (result != 0) {
        fprintf(stderr, "keys_model: seed %llu\n", (unsigned long long)seed);
    }
    return result;
}
