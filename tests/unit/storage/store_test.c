/* store_test.c: the data directory as its users see it: locks, versions, control tables, snapshots,
 * damage. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <lmdb.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store.h"

static char dir[64];
static char why[256];
static struct event_batch batch;
static char batch_text[EVENT_BATCH_MAX * 40];
static u32 rows[EVENT_BATCH_MAX];

static void make_dir(void) {
    snprintf(dir, sizeof dir, "/tmp/store_test.XXXXXX");
    cr_assert(mkdtemp(dir) != NULL);
}

static void drop_dir(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    cr_assert(system(command) == 0);
}

static char *path_of(const char *name) {
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static enum err open_store(struct store **store, bool read_only) {
    struct store_options options = {
        .dir = dir, .log_map_bytes = 256 * MIB, .read_only = read_only, .skip_sync = true};
    return store_open(&options, store, why, sizeof why);
}

/* Appends `count` events; event n has key "key-n" and cost n. */
static enum err append(struct store *store, u32 count) {
    u64 first = store_next_id(store);
    batch.account = 3;
    batch.text = batch_text;
    batch.text_bytes = 0;
    for (u32 i = 0; i < count; i++) {
        rows[i] = i;
        batch.present[i] = TEXT_BIT(TEXT_KEY) | NUM_BIT(NUM_TIME) | NUM_BIT(NUM_COST);
        batch.series[i] = 0;
        batch.number[NUM_TIME][i] = 1700000000000 + (i64)(first + i);
        batch.number[NUM_COST][i] = (i64)(first + i);
        int bytes = snprintf(batch_text + batch.text_bytes, 32, "key-%llu",
                             (unsigned long long)(first + i));
        batch.ref[TEXT_KEY][i] = (struct text_ref){batch.text_bytes, (u32)bytes};
        batch.text_bytes += (u32)bytes;
    }
    struct series_def def = {.series = 0, .account = 3, .text[TEXT_CUSTOMER] = SLICE("acme")};
    struct store_part part = {&batch, rows, count};
    struct store_group group = {&part, 1, count, &def, first == 1 ? 1 : 0};
    return store_append(store, &group);
}

struct seen {
    u64 events;
    u64 damages;
    u64 damaged_from;
    u64 damaged_to;
    u64 defs;
};

/* Reads all; each event must be what append() wrote. */
static struct seen read_all(struct store *store, bool newest_first) {
    struct seen seen = {0};
    struct store_scan *scan;
    struct store_scan_options options = {.filter = store_filter_all,
                                         .columns = UINT32_MAX,
                                         .newest_first = newest_first,
                                         .want_defs = true};
    cr_assert_eq(store_scan_open(store, &options, &scan), ERR_OK);
    for (;;) {
        const struct event_batch *got;
        const struct series_def *defs;
        u32 def_count;
        struct store_damage damage;
        enum err err = store_scan_next(scan, &got, &defs, &def_count, &damage);
        if (err == ERR_CORRUPT) {
            seen.damages++;
            seen.damaged_from = damage.id_from;
            seen.damaged_to = damage.id_to;
            cr_assert(damage.what[0] != '\0');
            continue;
        }
        cr_assert_eq(err, ERR_OK);
        seen.defs += def_count;
        for (u32 i = 0; i < got->count; i++) {
            char key[32];
            snprintf(key, sizeof key, "key-%llu", (unsigned long long)got->id[i]);
            struct slice text = event_text_of(got, i, TEXT_KEY);
            cr_assert_eq(text.bytes, strlen(key));
            cr_assert(memcmp(text.data, key, text.bytes) == 0);
            cr_assert_eq(got->number[NUM_COST][i], (i64)got->id[i]);
            cr_assert_eq(got->account, 3u);
        }
        seen.events += got->count;
        if (got->count == 0) {
            break;
        }
    }
    store_scan_close(scan);
    return seen;
}

Test(store, opens_once_and_keeps_what_it_has) {
    struct store *store;
    struct store *second;
    make_dir();
    drop_dir(); /* store_open makes it */
    cr_assert_eq(open_store(&store, true), ERR_NOT_FOUND);
    cr_assert_eq(open_store(&store, false), ERR_OK, "%s", why);
    struct stat stat_of_dir;
    cr_assert(stat(dir, &stat_of_dir) == 0 && (stat_of_dir.st_mode & 0777) == 0700);
    cr_assert_eq(store_next_id(store), 1u);
    cr_assert_eq(read_all(store, false).events, 0u);
    cr_assert_eq(append(store, 1), ERR_OK);
    cr_assert_eq(append(store, 2500), ERR_OK);
    cr_assert_eq(store_next_id(store), 2502u);
    pid_t child = fork();
    if (child == 0) { /* another process: locked out as a server, welcome as a reader; no asserts,
                         which speak through threads that this process has not */
        bool good = open_store(&second, false) == ERR_LOCKED && strstr(why, dir) != NULL &&
                    open_store(&second, true) == ERR_OK && store_next_id(second) == 2502;
        _exit(good ? 0 : 1);
    }
    int status;
    cr_assert(waitpid(child, &status, 0) == child && WIFEXITED(status));
    cr_assert_eq(WEXITSTATUS(status), 0);
    store_close(store);
    cr_assert_eq(open_store(&store, false), ERR_OK, "%s", why);
    cr_assert_eq(store_next_id(store), 2502u);
    struct seen seen = read_all(store, false);
    cr_assert_eq(seen.events, 2501u);
    cr_assert_eq(seen.defs, 1u);
    struct store_stats stats;
    store_get_stats(store, &stats);
    cr_assert(stats.blocks == 2 && stats.events == 2501 && stats.damaged_blocks == 0);
    cr_assert(stats.log_bytes > stats.payload_bytes && stats.map_bytes == 256 * MIB);
    store_close(store);
    drop_dir();
}

Test(store, refuses_other_formats) {
    struct store *store;
    make_dir();
    int fd = open(path_of("FORMAT"), O_WRONLY | O_CREAT, 0600);
    cr_assert(write(fd, "margind data 4\n", 15) == 15);
    cr_assert_eq(open_store(&store, false), ERR_VERSION);
    cr_assert(strstr(why, "newer") != NULL);
    cr_assert(pwrite(fd, "margind data 1\n", 15, 0) == 15);
    cr_assert_eq(open_store(&store, false), ERR_VERSION);
    cr_assert(strstr(why, "older") != NULL && strstr(why, "export") != NULL);
    cr_assert(pwrite(fd, "something else", 14, 0) == 14);
    cr_assert_eq(open_store(&store, false), ERR_CORRUPT);
    cr_assert(ftruncate(fd, 0) == 0);
    cr_assert_eq(open_store(&store, false), ERR_CORRUPT);
    close(fd);
    drop_dir();
    snprintf(dir, sizeof dir, "/tmp/store_test_file.%ld", (long)getpid());
    close(open(dir, O_WRONLY | O_CREAT, 0600));
    cr_assert_neq(open_store(&store, false), ERR_OK);
    unlink(dir);
}

/* Calls `change` on the stored bytes of the block that begins with `first_id`, behind the store's
 * back; it returns the new bytes' length, 0 to delete the block. */
static void change_block(u64 first_id, usize (*change)(u8 *bytes, usize count, void *context),
                         void *context) {
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi blocks;
    MDB_cursor *cursor;
    MDB_val key;
    MDB_val value;
    cr_assert(mdb_env_create(&env) == 0 && mdb_env_set_maxdbs(env, 8) == 0);
    cr_assert(mdb_env_open(env, path_of("log"), MDB_NOSYNC, 0600) == 0);
    cr_assert(mdb_txn_begin(env, NULL, 0, &txn) == 0);
    cr_assert(mdb_dbi_open(txn, "blocks", 0, &blocks) == 0);
    cr_assert(mdb_cursor_open(txn, blocks, &cursor) == 0);
    for (u64 at = 0; at != first_id;) {
        cr_assert(mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0);
        at = 0;
        for (u32 i = 0; i < 8; i++) {
            at = at << 8 | ((const u8 *)key.mv_data)[i];
        }
    }
    u8 *copy = malloc(MIB);
    cr_assert(copy != NULL && value.mv_size < MIB);
    memcpy(copy, value.mv_data, value.mv_size);
    MDB_val changed = {change(copy, value.mv_size, context), copy};
    cr_assert(changed.mv_size == 0 ? mdb_cursor_del(cursor, 0) == 0
                                   : mdb_cursor_put(cursor, &key, &changed, MDB_CURRENT) == 0);
    free(copy);
    mdb_cursor_close(cursor);
    cr_assert(mdb_txn_commit(txn) == 0);
    mdb_env_close(env);
}

/* `context`: where to flip a bit; past the end: the last byte; SIZE_MAX: delete. */
static usize flip_bit(u8 *bytes, usize count, void *context) {
    usize at = *(usize *)context;
    if (at == SIZE_MAX) {
        return 0;
    }
    bytes[MIN(at, count - 1)] ^= 4;
    return count;
}

static void count_damage(void *context, const struct store_damage *damage) {
    cr_assert(damage->id_from < damage->id_to);
    *(u64 *)context += 1;
}

/* Three groups of 2000; the middle one is damaged at `offset`; `lost` events are gone. */
static void check_damage(usize offset, u64 lost, const char *what) {
    struct store *store;
    bool did;
    make_dir();
    cr_assert_eq(open_store(&store, false), ERR_OK, "%s", why);
    for (u32 i = 0; i < 3; i++) {
        cr_assert_eq(append(store, 2000), ERR_OK);
    }
    store_close(store);
    change_block(2001, flip_bit, &offset);
    cr_assert_eq(open_store(&store, false), ERR_OK, "%s: %s", what, why);
    cr_assert_eq(store_next_id(store), 6001u);
    for (u32 down = 0; down < 2; down++) {
        struct seen seen = read_all(store, down == 1);
        cr_assert_eq(seen.events, 6000 - lost, "%s: %llu", what, (unsigned long long)seen.events);
        cr_assert_eq(seen.damages, 1u, "%s", what);
        cr_assert(seen.damaged_from >= 2001 && seen.damaged_to <= 4001, "%s", what);
        cr_assert_eq(seen.damaged_to - seen.damaged_from, lost, "%s", what);
    }
    u64 reports = 0;
    cr_assert_eq(store_verify(store, count_damage, NULL, &reports), ERR_OK);
    cr_assert_eq(reports, 1u, "%s: %llu reports", what, (unsigned long long)reports);
    struct store_stats stats;
    store_get_stats(store, &stats);
    cr_assert_eq(stats.damaged_blocks, 1u, "%s", what);
    /* Life goes on: appends, merges around it, and the damage stays where it was. */
    cr_assert_eq(append(store, 100), ERR_OK);
    do {
        cr_assert_eq(store_merge(store, &did), ERR_OK);
    } while (did);
    struct seen seen = read_all(store, false);
    cr_assert(seen.events == 6100 - lost && seen.damages == 1, "%s", what);
    store_close(store);
    drop_dir();
}

Test(store, reports_damage_and_goes_on) {
    check_damage(20, 2000, "header");
    check_damage(SIZE_MAX - 1, 2000, "directory");
    check_damage(112 + 1, 1024, "a section of the first frame");
    check_damage(SIZE_MAX, 2000, "missing");
}

/* Turns a bit in a key of the log, behind LMDB's back too: it keeps no checksums. Key: u64 first
 * id, u32 count, big-endian. */
static void flip_key(u64 first_id, u32 count, u32 at, u8 bit) {
    static u8 data[4 * MIB];
    u8 key[12];
    u32 found = 0;
    for (u32 i = 0; i < 8; i++) {
        key[i] = (u8)(first_id >> (56 - 8 * i));
    }
    for (u32 i = 0; i < 4; i++) {
        key[8 + i] = (u8)(count >> (24 - 8 * i));
    }
    FILE *file = fopen(path_of("log/data.mdb"), "r+b");
    cr_assert(file != NULL);
    usize bytes = fread(data, 1, sizeof data, file);
    for (usize i = 0; i + sizeof key < bytes; i++) {
        if (memcmp(data + i, key, sizeof key) == 0) {
            data[i + at] ^= bit;
            found++;
        }
    }
    cr_assert(found > 0 && fseek(file, 0, SEEK_SET) == 0);
    cr_assert(fwrite(data, 1, bytes, file) == bytes && fclose(file) == 0);
}

/* Three groups of 2000, the key of one flipped; with its header, too, nothing can be put right. */
static void check_key(u64 first_id, u32 at, u8 bit, bool header) {
    struct store *store;
    u64 lost = header ? 2000 : 0;
    make_dir();
    cr_assert_eq(open_store(&store, false), ERR_OK, "%s", why);
    for (u32 i = 0; i < 3; i++) {
        cr_assert_eq(append(store, 2000), ERR_OK);
    }
    store_close(store);
    if (header) {
        change_block(first_id, flip_bit, &(usize){20});
    }
    flip_key(first_id, 2000, at, bit);
    cr_assert_eq(open_store(&store, true), ERR_OK, "%s", why);
    cr_assert(read_all(store, false).damages > 0);
    store_close(store);
    bool last = header && first_id == 4001; /* nothing behind it says how many events it had */
    cr_assert_eq(open_store(&store, false), last ? ERR_CORRUPT : ERR_OK, "%s", why);
    if (!last) {
        cr_assert_eq(store_next_id(store), 6001u);
        cr_assert_eq(append(store, 100), ERR_OK);
        struct seen seen = read_all(store, false);
        cr_assert_eq(seen.events, 6100 - lost, "%llu", (unsigned long long)seen.events);
        cr_assert_eq(seen.damages > 0, header);
        u64 reports = 0;
        cr_assert_eq(store_verify(store, count_damage, NULL, &reports), ERR_OK);
        cr_assert_eq(reports > 0, header);
        store_close(store);
    }
    drop_dir();
}

Test(store, puts_wrong_keys_right) {
    check_key(2001, 1, 16, false);  /* 2^52 further */
    check_key(2001, 7, 1, false);   /* inside the block before */
    check_key(2001, 10, 64, false); /* reaches over the next */
    check_key(4001, 0, 64, false);  /* the last one: new blocks would not follow it */
    check_key(2001, 7, 1, true);
    check_key(4001, 11, 16, true);
}

struct taken {
    u8 bytes[MIB];
    usize count;
};

static usize take_block(u8 *bytes, usize count, void *context) {
    struct taken *taken = context;
    memcpy(taken->bytes, bytes, count);
    taken->count = count;
    return count;
}

static usize put_block(u8 *bytes, usize count, void *context) {
    const struct taken *taken = context;
    (void)count;
    memcpy(bytes, taken->bytes, taken->count);
    return taken->count;
}

static void fill_store(u32 first_group) {
    struct store *store;
    make_dir();
    cr_assert_eq(open_store(&store, false), ERR_OK, "%s", why);
    cr_assert_eq(append(store, first_group), ERR_OK);
    cr_assert_eq(append(store, 2000 - first_group), ERR_OK);
    cr_assert_eq(append(store, 2000), ERR_OK);
    cr_assert_eq(append(store, 2000), ERR_OK);
    store_close(store);
}

/* The file ends early: what is missing is damage, and nothing crashes. */
Test(store, survives_a_cut_file) {
    struct store *store;
    make_dir();
    cr_assert_eq(open_store(&store, false), ERR_OK, "%s", why);
    for (u32 i = 0; i < 400; i++) {
        cr_assert_eq(append(store, EVENT_BATCH_MAX), ERR_OK);
    }
    store_close(store);
    struct stat file;
    cr_assert_eq(stat(path_of("log/data.mdb"), &file), 0);
    cr_assert_geq(file.st_size, 400 * (i64)KIB, "%lld", (long long)file.st_size);
    cr_assert_eq(truncate(path_of("log/data.mdb"), file.st_size / 2 + 100), 0);
    cr_assert_eq(open_store(&store, true), ERR_CORRUPT, "a reader cannot fill it up");
    enum err err = open_store(&store, false);
    cr_assert(err == ERR_OK || err == ERR_CORRUPT, "%s", why); /* is the tree in what is left? */
    if (err == ERR_OK) {
        cr_assert_gt(read_all(store, false).damages, 0u);
        store_close(store);
    }
    cr_assert_eq(truncate(path_of("log/data.mdb"), 3 * 4096), 0);
    cr_assert_eq(open_store(&store, false), ERR_CORRUPT, "the tree's root is gone");
    drop_dir();
}

/* A good block of another log in the place of ours: only the chain shows it. */
Test(store, the_chain_shows_a_foreign_block) {
    static struct taken taken;
    struct store *store;
    fill_store(700);
    change_block(2001, take_block, &taken);
    drop_dir();
    fill_store(800);
    change_block(2001, put_block, &taken);
    cr_assert_eq(open_store(&store, false), ERR_OK, "%s", why);
    cr_assert_eq(read_all(store, false).damages, 0u);
    u64 reports = 0;
    cr_assert_eq(store_verify(store, count_damage, NULL, &reports), ERR_OK);
    cr_assert_eq(reports, 2u); /* it does not follow, and it is not followed */
    store_close(store);
    drop_dir();
}

#ifndef __SANITIZE_ADDRESS__ /* whose shadow alone is past any such limit */
/* Where address space is rationed the log gets a smaller map, and works. */
Test(store, takes_the_map_it_gets) {
    struct store *store;
    struct store_stats stats;
    struct rlimit limit = {8 * GIB, 8 * GIB};
    make_dir();
    cr_assert(setrlimit(RLIMIT_AS, &limit) == 0);
    struct store_options options = {.dir = dir};
    cr_assert_eq(store_open(&options, &store, why, sizeof why), ERR_OK, "%s", why);
    cr_assert_eq(append(store, 10), ERR_OK);
    cr_assert_eq(read_all(store, true).events, 10u);
    store_get_stats(store, &stats);
    cr_assert(stats.map_bytes >= GIB && stats.map_bytes < 8 * GIB);
    store_close(store);
    drop_dir();
}
#endif

static void flip_byte(const char *path, off_t at) {
    u8 byte;
    int fd = open(path, O_RDWR);
    cr_assert(fd >= 0 && pread(fd, &byte, 1, at) == 1);
    byte ^= 1;
    cr_assert(pwrite(fd, &byte, 1, at) == 1);
    close(fd);
}

static void write_snapshot(struct store *store, u64 next_id) {
    struct snapshot_writer *writer;
    u64 values[3] = {next_id, 7, 9};
    cr_assert_eq(snapshot_begin(store, next_id, 0, &writer), ERR_OK);
    cr_assert_eq(snapshot_write(writer, 1, values, sizeof values), ERR_OK);
    cr_assert_eq(snapshot_write(writer, 2, "odd", 3), ERR_OK);
    cr_assert_eq(snapshot_write(writer, 3, NULL, 0), ERR_OK);
    cr_assert_eq(snapshot_finish(writer), ERR_OK);
}

static void check_snapshot(struct store *store, u32 skip, u64 expected) {
    struct snapshot_reader *reader;
    u64 next_id;
    u32 tag;
    const void *data;
    usize bytes;
    cr_assert_eq(snapshot_open(store, skip, &reader, &next_id), ERR_OK);
    cr_assert_eq(next_id, expected);
    cr_assert(snapshot_next(reader, &tag, &data, &bytes) && tag == 1 && bytes == 24);
    cr_assert(memcmp(data, &expected, 8) == 0 && (usize)data % 8 == 0);
    cr_assert(snapshot_next(reader, &tag, &data, &bytes) && tag == 2 && bytes == 3);
    cr_assert(memcmp(data, "odd", 3) == 0);
    cr_assert(snapshot_next(reader, &tag, &data, &bytes) && tag == 3 && bytes == 0);
    cr_assert(!snapshot_next(reader, &tag, &data, &bytes));
    cr_assert(!snapshot_next(reader, &tag, &data, &bytes));
    snapshot_close(reader);
}

Test(store, snapshots_are_whole_or_refused) {
    struct store *store;
    struct snapshot_reader *reader;
    struct snapshot_writer *writer;
    u64 next_id;
    make_dir();
    cr_assert_eq(open_store(&store, false), ERR_OK, "%s", why);
    cr_assert_eq(snapshot_open(store, 0, &reader, &next_id), ERR_NOT_FOUND);
    cr_assert_eq(append(store, 4000), ERR_OK);
    write_snapshot(store, 10);
    write_snapshot(store, 2000);
    write_snapshot(store, 300);
    check_snapshot(store, 0, 2000);
    check_snapshot(store, 1, 300);
    cr_assert_eq(snapshot_open(store, 2, &reader, &next_id), ERR_NOT_FOUND);
    cr_assert_eq(snapshot_begin(store, 4000, 0, &writer), ERR_OK);
    cr_assert_eq(snapshot_write(writer, 1, "x", 1), ERR_OK);
    snapshot_abort(writer);
    check_snapshot(store, 0, 2000);
    /* Every single bit counts. */
    char *path = path_of("snapshots/00000000000000002000.snap");
    struct stat file;
    cr_assert(stat(path, &file) == 0);
    u32 refused = 0;
    for (off_t at = 0; at < file.st_size; at++) {
        flip_byte(path, at);
        enum err err = snapshot_open(store, 0, &reader, &next_id);
        refused += err == ERR_CORRUPT;
        flip_byte(path, at);
    }
    cr_assert_eq(refused, (u32)file.st_size);
    cr_assert(truncate(path, file.st_size - 1) == 0);
    cr_assert_eq(snapshot_open(store, 0, &reader, &next_id), ERR_CORRUPT);
    check_snapshot(store, 1, 300);
    cr_assert(truncate(path, 0) == 0);
    cr_assert_eq(snapshot_open(store, 0, &reader, &next_id), ERR_CORRUPT);
    store_close(store);
    drop_dir();
}

/* Derived state of one log never stands for another: neither what is past its end, nor what was
 * made of other events under the same ids. */
Test(store, snapshots_are_bound_to_their_log) {
    struct store *store;
    struct snapshot_reader *reader;
    u64 next_id;
    bool did = true;
    char command[512];
    make_dir();
    cr_assert_eq(open_store(&store, false), ERR_OK, "%s", why);
    cr_assert_str_eq(why, "");
    cr_assert_eq(append(store, 100), ERR_OK);
    store_close(store);
    snprintf(command, sizeof command, "cp -r %s/log %s/backup", dir, dir);
    cr_assert(system(command) == 0);
    cr_assert_eq(open_store(&store, false), ERR_OK, "%s", why);
    write_snapshot(store, 101);
    cr_assert_eq(append(store, 100), ERR_OK);
    write_snapshot(store, 201);
    store_close(store);
    snprintf(command, sizeof command,
             "cp -r %s/snapshots %s/kept && rm -r %s/log && mv %s/backup %s/log", dir, dir, dir,
             dir, dir);
    cr_assert(system(command) == 0);
    cr_assert_eq(open_store(&store, true), ERR_OK, "%s", why);
    cr_assert_eq(snapshot_open(store, 0, &reader, &next_id), ERR_CORRUPT);
    check_snapshot(store, 1, 101);
    store_close(store);
    cr_assert_eq(open_store(&store, false), ERR_OK, "%s", why);
    check_snapshot(store, 0, 101); /* the other one is gone */
    memset(batch.digest, 7, 100 * sizeof *batch.digest);
    cr_assert_eq(append(store, 100), ERR_OK);
    memset(batch.digest, 0, 100 * sizeof *batch.digest);
    for (u32 i = 0; i < 300; i++) {
        cr_assert_eq(append(store, 1), ERR_OK);
    }
    snprintf(command, sizeof command, "cp %s/kept/* %s/snapshots", dir, dir);
    cr_assert(system(command) == 0);
    cr_assert_eq(snapshot_open(store, 0, &reader, &next_id), ERR_CORRUPT);
    check_snapshot(store, 1, 101);
    write_snapshot(store, 201);
    while (did) {
        cr_assert_eq(store_merge(store, &did), ERR_OK);
    }
    check_snapshot(store, 0, 201); /* the event is the same inside a merged block */
    store_close(store);
    drop_dir();
}

static struct store *merging;

static void merge_once(void *context, u64 done, u64 total) {
    (void)context;
    (void)total;
    bool did;
    if (done == 10) {
        cr_assert_eq(store_merge(merging, &did), ERR_OK);
        cr_assert(did);
    }
}

Test(store, verifies_while_blocks_merge) {
    u64 reports = 0;
    make_dir();
    cr_assert_eq(open_store(&merging, false), ERR_OK, "%s", why);
    for (u32 i = 0; i < 300; i++) {
        cr_assert_eq(append(merging, 1), ERR_OK);
    }
    cr_assert_eq(store_verify(merging, count_damage, merge_once, &reports), ERR_OK);
    cr_assert_eq(reports, 0u);
    store_close(merging);
    drop_dir();
}

static char synced[1024]; /* directories, each followed by a line feed */

/* In the place of the C library's: notes which directories are synced. */
int fsync(int fd) {
    char link[32];
    char path[128];
    struct stat stat;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t bytes = readlink(link, path, sizeof path - 1);
    usize used = strlen(synced);
    if (bytes > 0 && fstat(fd, &stat) == 0 && S_ISDIR(stat.st_mode)) {
        snprintf(synced + used, sizeof synced - used, "%.*s\n", (int)bytes, path);
    }
    return (int)syscall(SYS_fsync, fd);
}

/* A synced file under a name that is not: gone with the power. */
Test(store, syncs_the_names_of_what_it_makes) {
    struct store *store;
    char line[128];
    static const char *const dirs[] = {"", "/log", "/snapshots"};
    make_dir();
    drop_dir();
    struct store_options options = {.dir = dir, .log_map_bytes = 64 * MIB};
    synced[0] = '\0';
    cr_assert_eq(store_open(&options, &store, why, sizeof why), ERR_OK, "%s", why);
    cr_assert(strncmp(synced, "/tmp\n", 5) == 0, "%s", synced);
    write_snapshot(store, 1);
    for (u32 i = 0; i < ARRAY_COUNT(dirs); i++) {
        snprintf(line, sizeof line, "\n%s%s\n", dir, dirs[i]);
        cr_assert(strstr(synced, line) != NULL, "%s: %s", dirs[i], synced);
    }
    store_close(store);
    drop_dir();
}

/* One very large group does not cost its memory for good. */
Test(store, gives_memory_back_after_a_large_group) {
    enum { TEXT = 2500, PARTS = 8 };
    struct store *store;
    struct store_part parts[PARTS];
    usize bytes = (usize)EVENT_BATCH_MAX * TEXT;
    char *text = malloc(bytes);
    cr_assert(text != NULL);
    u64 state = 1;
    for (usize i = 0; i < bytes; i++) { /* does not compress */
        state = state * 6364136223846793005u + 1442695040888963407u;
        text[i] = (char)(state >> 56);
    }
    make_dir();
    cr_assert_eq(open_store(&store, false), ERR_OK, "%s", why);
    cr_assert_eq(append(store, EVENT_BATCH_MAX), ERR_OK);
    for (u32 i = 0; i < EVENT_BATCH_MAX; i++) {
        batch.present[i] = TEXT_BIT(TEXT_PROPERTIES) | NUM_BIT(NUM_TIME);
        batch.ref[TEXT_PROPERTIES][i] = (struct text_ref){i * TEXT, TEXT};
    }
    batch.text = text;
    for (u32 i = 0; i < PARTS; i++) {
        parts[i] = (struct store_part){&batch, rows, EVENT_BATCH_MAX};
    }
    struct store_group group = {parts, PARTS, PARTS * EVENT_BATCH_MAX, NULL, 0};
    usize before = mallinfo2().hblkhd;
    cr_assert_eq(store_append(store, &group), ERR_OK);
    usize after = mallinfo2().hblkhd;
    cr_assert(after < before + 16 * MIB, "%zu bytes more", after - before);
    free(text);
    store_close(store);
    drop_dir();
}

static bool collect(void *context, const struct control_object *object, struct slice value) {
    char *to = context;
    usize used = strlen(to);
    snprintf(to + used, 96 - used, "%u.%llu%.*s=%.*s;", object->account,
             (unsigned long long)object->number, (int)object->name.bytes, object->name.data,
             (int)value.bytes, value.data);
    return object->number != 1000;
}

static struct control_object key_object(u32 account, u64 number, struct slice name) {
    return (struct control_object){account, CONTROL_KEY, number, name};
}

static enum err put_object(struct control *control, u32 account, u64 number, struct slice name,
                           struct slice value) {
    const struct control_object object = key_object(account, number, name);
    return control_put(control, &object, value);
}

Test(store, control_objects) {
    struct control *control;
    char value[16];
    usize bytes = sizeof value;
    char all[96] = "";
    static char large[CONTROL_VALUE_MAX + 1];
    make_dir();
    cr_assert_eq(control_open(dir, false, &control, why, sizeof why), ERR_NOT_FOUND);
    cr_assert_eq(control_open(dir, true, &control, why, sizeof why), ERR_OK, "%s", why);
    const struct control_object two = key_object(7, 2, SLICE(""));
    u64 version = control_version(control);
    cr_assert_eq(control_get(control, &two, value, &bytes), ERR_NOT_FOUND);
    cr_assert_eq(control_put(control, &two, SLICE("0")), ERR_OK);
    cr_assert_eq(control_put(control, &two, SLICE("two")), ERR_OK);
    cr_assert_neq(control_version(control), version);
    cr_assert_eq(control_get(control, &two, value, &bytes), ERR_OK);
    cr_assert(bytes == 3 && memcmp(value, "two", 3) == 0);
    bytes = 2;
    cr_assert_eq(control_get(control, &two, value, &bytes), ERR_LIMIT);
    cr_assert_eq(bytes, 3u);

    struct slice text = {large, sizeof large};
    cr_assert_eq(control_put(control, &two, text), ERR_INVALID);
    text.bytes = CONTROL_VALUE_MAX;
    cr_assert_eq(put_object(control, 8, 1, SLICE(""), text), ERR_OK);
    text.bytes = CONTROL_NAME_MAX + 1;
    cr_assert_eq(put_object(control, 9, 1, text, SLICE("x")), ERR_INVALID);
    text.bytes = CONTROL_NAME_MAX;
    cr_assert_eq(put_object(control, 9, 1, text, SLICE("x")), ERR_OK);

    /* In order of number and name; other kinds and accounts are not seen. */
    cr_assert_eq(put_object(control, 7, 1000, SLICE("b"), SLICE("4")), ERR_OK);
    cr_assert_eq(put_object(control, 7, 2, SLICE("a"), SLICE("3")), ERR_OK);
    cr_assert_eq(put_object(control, 7, 1001, SLICE(""), SLICE("unseen")), ERR_OK);
    const struct control_object other_kind = {7, CONTROL_KEY + 1, 0, SLICE("")};
    cr_assert_eq(control_put(control, &other_kind, SLICE("x")), ERR_OK);
    cr_assert_eq(control_each(control, 7, CONTROL_KEY, collect, all), ERR_OK);
    cr_assert_str_eq(all, "7.2=two;7.2a=3;7.1000b=4;");
    all[0] = '\0';
    const struct control_object from = key_object(7, 3, SLICE(""));
    cr_assert_eq(control_each_from(control, &from, collect, all), ERR_OK);
    cr_assert_str_eq(all, "7.1000b=4;");
    cr_assert_eq(put_object(control, 10, 5, SLICE(""), SLICE("5")), ERR_OK);
    const struct control_object next_kind = {10, CONTROL_KEY + 1, 6, SLICE("")};
    cr_assert_eq(control_put(control, &next_kind, SLICE("x")), ERR_OK);
    cr_assert_eq(control_each(control, 10, CONTROL_KEY, collect, all), ERR_OK);
    cr_assert_str_eq(all, "7.1000b=4;10.5=5;");
    strcpy(all, "7.1000b=4;");
    cr_assert_eq(control_each(control, 6, CONTROL_KEY, collect, all), ERR_OK);
    cr_assert_str_eq(all, "7.1000b=4;");
    cr_assert_eq(control_delete(control, &two), ERR_OK);
    cr_assert_eq(control_delete(control, &two), ERR_NOT_FOUND);

    bytes = sizeof value;
    cr_assert_eq(control_meta_get(control, SLICE("x"), value, &bytes), ERR_NOT_FOUND);
    cr_assert_eq(control_meta_add(control, SLICE("x"), SLICE("1")), ERR_OK);
    cr_assert_eq(control_meta_add(control, SLICE("x"), SLICE("2")), ERR_EXISTS);
    cr_assert_eq(control_meta_get(control, SLICE("x"), value, &bytes), ERR_OK);
    cr_assert(bytes == 1 && value[0] == '1');
    control_close(control);
    drop_dir();
}

Test(store, control_transactions) {
    struct control *control;
    struct control_txn txn;
    struct slice found;
    char value[16];
    usize bytes = sizeof value;
    make_dir();
    cr_assert_eq(control_open(dir, true, &control, why, sizeof why), ERR_OK, "%s", why);
    const struct control_object a = key_object(1, 1, SLICE("a"));
    const struct control_object b = key_object(1, 1, SLICE("b"));

    /* All of it, with what it reads of its own writes. */
    cr_assert_eq(control_begin(control, &txn), ERR_OK);
    cr_assert_eq(control_txn_get(&txn, &a, &found), ERR_NOT_FOUND);
    cr_assert_eq(control_txn_delete(&txn, &a), ERR_NOT_FOUND);
    cr_assert_eq(control_txn_put(&txn, &a, SLICE("1")), ERR_OK);
    cr_assert_eq(control_txn_get(&txn, &a, &found), ERR_OK);
    cr_assert(found.bytes == 1 && found.data[0] == '1');
    cr_assert_eq(control_next_number(&txn, 1, CONTROL_KEY), 1u);
    cr_assert_eq(control_next_number(&txn, 1, CONTROL_KEY), 2u);
    cr_assert_eq(control_next_number(&txn, 2, CONTROL_KEY), 1u);
    cr_assert_eq(control_next_number(&txn, 1, CONTROL_USER), 1u);
    char all[96] = "";
    cr_assert_eq(control_txn_each(&txn, 1, CONTROL_KEY, collect, all), ERR_OK);
    cr_assert_str_eq(all, "1.1a=1;");
    cr_assert_eq(control_get(control, &a, value, &bytes), ERR_NOT_FOUND, "not yet");
    cr_assert_eq(control_commit(&txn), ERR_OK);
    cr_assert_eq(control_get(control, &a, value, &bytes), ERR_OK);

    /* Nothing of it: given up, or after an error. */
    u64 version = control_version(control);
    cr_assert_eq(control_begin(control, &txn), ERR_OK);
    cr_assert_eq(control_txn_delete(&txn, &a), ERR_OK);
    cr_assert_eq(control_next_number(&txn, 1, CONTROL_KEY), 3u);
    control_abort(&txn);
    static char large[CONTROL_VALUE_MAX + 1];
    cr_assert_eq(control_begin(control, &txn), ERR_OK);
    cr_assert_eq(control_txn_put(&txn, &b, SLICE("2")), ERR_OK);
    cr_assert_eq(control_txn_put(&txn, &b, (struct slice){large, sizeof large}), ERR_INVALID);
    cr_assert_eq(control_txn_put(&txn, &b, SLICE("2")), ERR_INVALID, "the first error sticks");
    cr_assert_eq(control_next_number(&txn, 1, CONTROL_KEY), 0u);
    cr_assert_eq(control_commit(&txn), ERR_INVALID);
    cr_assert_eq(control_version(control), version);
    cr_assert_eq(control_get(control, &a, value, &bytes), ERR_OK);
    cr_assert_eq(control_get(control, &b, value, &bytes), ERR_NOT_FOUND);

    pid_t child = fork();
    if (child == 0) { /* as marginctl beside the server */
        struct control *other;
        bool good = control_open(dir, false, &other, why, sizeof why) == ERR_OK &&
                    control_begin(other, &txn) == ERR_OK &&
                    control_next_number(&txn, 1, CONTROL_KEY) == 3 &&
                    control_txn_put(&txn, &b, SLICE("child")) == ERR_OK &&
                    control_commit(&txn) == ERR_OK;
        _exit(good ? 0 : 1);
    }
    int status;
    cr_assert(waitpid(child, &status, 0) == child && WIFEXITED(status));
    cr_assert_eq(WEXITSTATUS(status), 0);
    cr_assert_neq(control_version(control), version);
    bytes = sizeof value;
    cr_assert_eq(control_get(control, &b, value, &bytes), ERR_OK);
    cr_assert(bytes == 5 && memcmp(value, "child", 5) == 0);
    control_close(control);
    drop_dir();
}
