/* merge_test.c: what a merge makes of blocks of every size: frames that are taken over or joined,
 * and damage, which it neither hides nor spreads. */
#include "storage/merge.h"

#include <criterion/criterion.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char dir[64];
static struct event_batch batch;
static char batch_text[EVENT_BATCH_MAX * 40];
static u32 rows[EVENT_BATCH_MAX];

static char *path_of(const char *name) {
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static struct store *open_store(bool make) {
    struct store *store;
    char why[256];
    if (make) {
        snprintf(dir, sizeof dir, "/tmp/merge_test.XXXXXX");
        cr_assert(mkdtemp(dir) != NULL);
    }
    struct store_options options = {.dir = dir, .log_map_bytes = 256 * MIB, .skip_sync = true};
    cr_assert_eq(store_open(&options, &store, why, sizeof why), ERR_OK, "%s", why);
    return store;
}

static void drop(struct store *store) {
    char command[128];
    store_close(store);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    cr_assert(system(command) == 0);
}

/* Event n has the key "key-n" and costs n; each group defines a series, its own. */
static void append(struct store *store, u32 count) {
    u64 first = store_next_id(store);
    static u32 series;
    series = first == 1 ? 0 : series + 1;
    batch.account = 3;
    batch.text = batch_text;
    batch.text_bytes = 0;
    for (u32 i = 0; i < count; i++) {
        rows[i] = i;
        batch.present[i] = TEXT_BIT(TEXT_KEY) | NUM_BIT(NUM_TIME) | NUM_BIT(NUM_COST);
        batch.series[i] = series;
        batch.number[NUM_TIME][i] = 1700000000000 + (i64)(first + i);
        batch.number[NUM_COST][i] = (i64)(first + i);
        int bytes = snprintf(batch_text + batch.text_bytes, 32, "key-%llu",
                             (unsigned long long)(first + i));
        batch.ref[TEXT_KEY][i] = (struct text_ref){batch.text_bytes, (u32)bytes};
        batch.text_bytes += (u32)bytes;
    }
    struct series_def def = {
        .series = series, .account = 3, .text[TEXT_CUSTOMER] = SLICE("customer")};
    struct store_part part = {&batch, rows, count};
    struct store_group group = {&part, 1, count, &def, 1};
    cr_assert_eq(store_append(store, &group), ERR_OK);
}

static void merge_all(struct store *store) {
    bool did;
    do {
        cr_assert_eq(store_merge(store, &did), ERR_OK);
    } while (did);
}

struct seen {
    u64 events;
    u64 defs;
    u64 damages;
    u64 damaged_from;
    u64 damaged_to;
};

static struct seen read_all(struct store *store, bool newest_first) {
    struct seen seen = {0};
    struct store_scan *scan;
    struct store_scan_options options = {.filter = store_filter_all,
                                         .columns = UINT32_MAX,
                                         .newest_first = newest_first,
                                         .want_defs = true};
    const struct event_batch *got = NULL;
    cr_assert_eq(store_scan_open(store, &options, &scan), ERR_OK);
    while (got == NULL || got->count > 0) {
        const struct series_def *defs;
        u32 def_count;
        struct store_damage damage;
        enum err err = store_scan_next(scan, &got, &defs, &def_count, &damage);
        if (err == ERR_CORRUPT) {
            seen.damages++;
            seen.damaged_from = damage.id_from;
            seen.damaged_to = damage.id_to;
            got = NULL;
            continue;
        }
        cr_assert_eq(err, ERR_OK);
        seen.defs += def_count;
        for (u32 i = 0; i < got->count; i++) {
            char key[32];
            snprintf(key, sizeof key, "key-%llu", (unsigned long long)got->id[i]);
            struct slice text = event_text_of(got, i, TEXT_KEY);
            cr_assert(text.bytes == strlen(key) && memcmp(text.data, key, text.bytes) == 0);
            cr_assert_eq(got->number[NUM_COST][i], (i64)got->id[i]);
        }
        seen.events += got->count;
    }
    store_scan_close(scan);
    return seen;
}

static void count_damage(void *context, const struct store_damage *damage) {
    cr_assert(damage->id_from < damage->id_to);
    *(u64 *)context += 1;
}

static u64 verify(struct store *store) {
    u64 reports = 0;
    cr_assert_eq(store_verify(store, count_damage, NULL, &reports), ERR_OK);
    return reports;
}

/* Turns a bit in the value whose key begins with `first_id`, behind the store's back. */
static void flip(const char *table, u64 first_id, usize offset) {
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    MDB_cursor *cursor;
    MDB_val key;
    MDB_val value;
    cr_assert(mdb_env_create(&env) == 0 && mdb_env_set_maxdbs(env, 8) == 0);
    cr_assert(mdb_env_open(env, path_of("log"), MDB_NOSYNC, 0600) == 0);
    cr_assert(mdb_txn_begin(env, NULL, 0, &txn) == 0 && mdb_dbi_open(txn, table, 0, &dbi) == 0);
    cr_assert(mdb_cursor_open(txn, dbi, &cursor) == 0);
    for (u64 at = 0; at != first_id;) {
        cr_assert(mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0);
        at = 0;
        for (u32 i = 0; i < 8; i++) {
            at = at << 8 | ((const u8 *)key.mv_data)[i];
        }
    }
    u8 *copy = malloc(value.mv_size);
    cr_assert(copy != NULL);
    memcpy(copy, value.mv_data, value.mv_size);
    copy[MIN(offset, value.mv_size - 1)] ^= 4;
    MDB_val changed = {value.mv_size, copy};
    cr_assert(mdb_cursor_put(cursor, &key, &changed, MDB_CURRENT) == 0);
    free(copy);
    mdb_cursor_close(cursor);
    cr_assert(mdb_txn_commit(txn) == 0);
    mdb_env_close(env);
}

/* 18 groups of frames of 1024, 1024, 1024 and 928 rows. */
static struct store *fill(void) {
    struct store *store = open_store(true);
    for (u32 i = 0; i < 18; i++) {
        append(store, 4000);
    }
    return store;
}

/* Damage that is there before a merge and that nobody has read: it is found, stays where it is, and
 * is never sealed by fresh checksums; what lies before and behind it is merged. */
Test(merge, launders_no_damage) {
    const usize offsets[] = {113, 190, 270, 390}; /* in sections of the first to the last frame */
    for (u32 round = 0; round < ARRAY_COUNT(offsets); round++) {
        struct store *store = fill();
        struct store_stats stats;
        store_close(store);
        flip("blocks", 8001, offsets[round]);
        store = open_store(false);
        merge_all(store);
        store_get_stats(store, &stats);
        cr_assert_eq(stats.damaged_blocks, 1u);
        cr_assert_eq(stats.segments, 1u, "%zu", (usize)stats.segments);
        struct seen seen = read_all(store, false);
        cr_assert_eq(seen.damages, 1u);
        cr_assert(seen.damaged_from >= 8001 && seen.damaged_to <= 12001);
        cr_assert_eq(seen.events, 72000 - (seen.damaged_to - seen.damaged_from));
        cr_assert(seen.damaged_to - seen.damaged_from <= FRAME_ROWS_MAX);
        cr_assert_eq(seen.defs, 18u);
        cr_assert_eq(verify(store), 1u);
        drop(store);
    }
}

/* Damage in a frame that was taken over from a group: just its rows are lost. */
Test(merge, damage_in_a_frame_taken_over) {
    for (usize offset = 113; offset < 5000; offset += 331) {
        struct store *store = fill();
        merge_all(store);
        store_close(store);
        flip("blocks", 1, offset);
        store = open_store(false);
        struct seen seen = read_all(store, true);
        cr_assert_eq(seen.damages, 1u);
        u64 lost = seen.damaged_to - seen.damaged_from;
        cr_assert(lost == 1024 || lost == 928, "%zu", (usize)lost);
        cr_assert_eq((seen.damaged_from - 1) % 4000 % 1024, 0u);
        cr_assert_eq(seen.events, 72000 - lost);
        cr_assert_eq(verify(store), 1u);
        drop(store);
    }
}

/* A frame is a quarter full, or could not take in the next one, however the commits are cut: so a
 * reader meets about four times as many as there could be, at most. */
static void check_frames(void) {
    struct log_options options = {.dir = dir, .map_bytes = 256 * MIB, .read_only = true};
    struct log *log;
    struct log_entry entry;
    char why[256];
    cr_assert_eq(log_open(&options, &log, why, sizeof why), ERR_OK, "%s", why);
    for (u64 id = 1; log_find(log, id, &entry); id += entry.count) {
        struct log_read read;
        struct block_view view;
        const char *what = "";
        cr_assert_eq(log_read_begin(log, id, &read), ERR_OK);
        cr_assert_eq(block_view_open(&view, read.block.data, read.block.bytes, &what), ERR_OK);
        for (u32 i = 0; i + 1 < view.header.frame_count && entry.kind != BLOCK_GROUP; i++) {
            u32 own = block_frame_rows(&view, i);
            u32 both = own + block_frame_rows(&view, i + 1);
            cr_assert(own >= FRAME_ROWS_MAX / 4 || both > FRAME_ROWS_MAX, "%u of %u", own, both);
        }
        log_read_end(&read);
    }
    log_close(log);
}

Test(merge, joins_small_frames) {
    const u32 sizes[][3] = {{1025, 1025, 1025}, {1, 256, 255},   {4000, 30, 1},
                            {257, 767, 1},      {600, 600, 600}, {1500, 3, 1024}};
    for (u32 i = 0; i < ARRAY_COUNT(sizes); i++) {
        struct store *store = open_store(true);
        u64 groups = 0;
        while (store_next_id(store) < 70000) {
            append(store, sizes[i][groups++ % 3]);
        }
        merge_all(store);
        struct store_stats stats;
        store_get_stats(store, &stats);
        cr_assert_eq(stats.segments, 1u);
        struct seen seen = read_all(store, i % 2 == 0);
        cr_assert(seen.events == stats.events && seen.defs == groups && seen.damages == 0);
        cr_assert_eq(verify(store), 0u);
        store_close(store);
        check_frames();
        drop(open_store(false));
    }
}

static u64 copies_count(void) {
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    MDB_stat stat;
    cr_assert(mdb_env_create(&env) == 0 && mdb_env_set_maxdbs(env, 8) == 0);
    cr_assert(mdb_env_open(env, path_of("log"), MDB_NOSYNC, 0600) == 0);
    cr_assert(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) == 0);
    cr_assert(mdb_dbi_open(txn, "definitions", 0, &dbi) == 0);
    cr_assert(mdb_stat(txn, dbi, &stat) == 0);
    mdb_txn_abort(txn);
    mdb_env_close(env);
    return stat.ms_entries;
}

/* Second copies of definitions are merged with their blocks, and are as good as they were. */
Test(merge, definitions_stay_twice) {
    for (u32 round = 0; round < 2; round++) {
        struct store *store = fill();
        merge_all(store);
        append(store, 3000);
        cr_assert_eq(verify(store), 0u);
        store_close(store);
        cr_assert_eq(copies_count(), 2u);
        flip(round == 0 ? "blocks" : "definitions", 1, 20);
        store = open_store(false);
        u64 lost = round == 0 ? 72000 : 0;
        struct seen seen = read_all(store, false);
        cr_assert(seen.events == 75000 - lost && seen.damages == (round == 0));
        cr_assert_eq(seen.defs, 19u);
        cr_assert_eq(verify(store), 1u);
        append(store, 10);
        cr_assert_eq(read_all(store, false).events, 75010 - lost);
        drop(store);
    }
}
