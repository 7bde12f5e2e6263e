/*
 * copy.c: see copy.h: pair by pair into new, compact environments, while whoever owns the source
 * goes on writing.
 *
 * LMDB's own copy is one read transaction from beginning to end, and no page that merges free
 * meanwhile can be used again, so that a large log would grow by all that is written while it is
 * copied. Here blocks go over in steps of a bounded size, each in a transaction of its own, for
 * what a block holds never changes. Merging may put a segment in the place of blocks that are
 * copied already; then these are taken out again and the segment goes over instead.
 *
 * Only the last step has to see one state: the blocks since the step before, all amendments and the
 * control tables. Two environments have no common transaction, but control tables whose version is
 * the same before and after the log's transaction began were in this state when it began. So the
 * copy is what a power failure at that moment would have left, and starting on it is a recovery
 * like any other.
 */
#include "storage/copy.h"

#include "base/clock.h"
#include "base/hash.h"
#include "storage/log_state.h"
#include "storage/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#define STEP_BYTES (64 * MIB)                     /* copied in one transaction */
#define TAIL_BYTES(copy) ((copy)->step_bytes / 4) /* little enough for the last one */
#define ROUNDS_MAX 64                             /* of catching up with whoever writes */
#define TRIES_MAX 1000                            /* to meet the control tables at rest */
#define DISK_SPARE_BYTES (64 * MIB)

struct copy {
    struct copying *what;
    struct db *from_log;
    struct db *from_control;
    struct db *to_log;
    struct db *to_control;
    usize step_bytes;
    bool empty; /* nothing has been copied yet */
    u64 next_id;
    u64 end_id; /* of the source, when it was looked at last */
};

static void show(const struct copy *copy) {
    const struct copying *what = copy->what;
    if (what->progress != NULL) {
        what->progress(what->context, "copying", copy->next_id - 1, copy->end_id - 1);
    }
}

/* --- tables ----------------------------------------------------------------------------------- */

struct walk {
    struct db_txn *to;
    u32 table;
    bool blocks;
    u64 until_id; /* of a table by ids: keys from it on stay */
    u64 bytes;
    u64 bytes_max; /* past it no further block is begun */
    u64 end_id;    /* behind the last block */
    u64 hash;
    enum err err;
};

static bool put_pair(struct walk *walk, struct slice key, struct slice value) {
    walk->bytes += key.bytes + value.bytes;
    if (walk->to != NULL) {
        walk->err = db_put(walk->to, walk->table, key, value, DB_APPEND);
    }
    return walk->err == ERR_OK;
}

static bool take_by_id(void *context, struct slice key, struct slice value) {
    struct walk *walk = context;
    u64 first_id;
    u32 count;
    if (!key_read(key, &first_id, &count)) {
        walk->err = ERR_CORRUPT;
        return false;
    }
    if (first_id >= walk->until_id || walk->bytes > walk->bytes_max) {
        return false;
    }
    db_will_need(value);
    walk->end_id = first_id + count;
    return put_pair(walk, key, value);
}

static bool take_any(void *context, struct slice key, struct slice value) {
    struct walk *walk = context;
    walk->hash = hash64(value.data, value.bytes, hash64(key.data, key.bytes, walk->hash));
    return put_pair(walk, key, value);
}

/* All of a table. `to` NULL: only its hash. */
static enum err take_table(struct db_txn *from, struct db_txn *to, u32 table, u64 *hash) {
    struct walk walk = {.to = to, .table = table, .hash = *hash};
    enum err err = db_each(from, table, (struct slice){NULL, 0}, take_any, &walk);
    *hash = walk.hash;
    return err == ERR_OK ? walk.err : err;
}

static enum err take_range(struct db_txn *from, struct db_txn *to, u32 table, u64 from_id,
                           u64 until_id, u64 bytes_max, struct walk *out) {
    u8 key[KEY_BYTES];
    *out = (struct walk){.to = to, .table = table, .until_id = until_id, .bytes_max = bytes_max};
    enum err err = db_each(from, table, key_make(key, from_id, 0), take_by_id, out);
    return err == ERR_OK ? out->err : err;
}

struct keys {
    u8 (*keys)[KEY_BYTES];
    u32 count;
    u32 capacity;
};

static bool note_key(void *context, struct slice key, struct slice value) {
    struct keys *keys = context;
    (void)value;
    if (keys->count == keys->capacity) {
        u32 capacity = MAX(keys->capacity * 2, (u32)64);
        void *larger = realloc(keys->keys, (usize)capacity * KEY_BYTES);
        if (larger == NULL) {
            return false;
        }
        keys->keys = larger;
        keys->capacity = capacity;
    }
    memcpy(keys->keys[keys->count++], key.data, KEY_BYTES);
    return true;
}

/* Takes out again what has been copied from this id on. */
static enum err drop_from(struct db_txn *to, u64 first_id) {
    static const u32 tables[] = {TABLE_BLOCKS, TABLE_INDEX, TABLE_DEFS};
    enum err err = ERR_OK;
    for (u32 i = 0; i < ARRAY_COUNT(tables) && err == ERR_OK; i++) {
        u8 key[KEY_BYTES];
        struct keys keys = {0};
        err = db_each(to, tables[i], key_make(key, first_id, 0), note_key, &keys);
        for (u32 k = 0; k < keys.count && err == ERR_OK; k++) {
            err = db_delete(to, tables[i], (struct slice){(const char *)keys.keys[k], KEY_BYTES});
        }
        free(keys.keys);
    }
    return err;
}

/* --- blocks ----------------------------------------------------------------------------------- */

static bool first_key(void *context, struct slice key, struct slice value) {
    u64 *first_id = context;
    u32 count;
    (void)value;
    return !key_read(key, first_id, &count) && (*first_id = 0, false);
}

/* Where the next step begins: at next_id; before it, where a segment has taken the place of blocks
 * that are copied; behind it, where retention has dropped what was to come. False: there is no
 * more. */
static enum err find_begin(struct copy *copy, struct db_txn *from, u64 *begin, bool *more) {
    u8 key[KEY_BYTES];
    struct slice found;
    struct slice value;
    u32 count;
    *more = false;
    enum err err =
        db_get_before(from, TABLE_BLOCKS, key_make(key, copy->next_id, UINT32_MAX), &found, &value);
    if (err == ERR_OK) {
        if (!key_read(found, begin, &count)) {
            return ERR_CORRUPT;
        }
        *more = copy->next_id < *begin + count;
        return ERR_OK;
    }
    if (err != ERR_NOT_FOUND) {
        return err;
    }
    *begin = 0;
    err = db_each(from, TABLE_BLOCKS, (struct slice){NULL, 0}, first_key, begin);
    *more = *begin > 0;
    return err;
}

/* Blocks of `bytes_max` or a little more, with what belongs to them. */
static enum err copy_blocks(struct copy *copy, struct db_txn *from, u64 bytes_max, u64 *bytes,
                            bool *more) {
    struct db_txn to;
    struct walk blocks = {0};
    struct walk rest;
    u64 begin;
    *bytes = 0;
    enum err err = find_begin(copy, from, &begin, more);
    if (err != ERR_OK || !*more) {
        return err;
    }
    err = db_begin(copy->to_log, true, &to);
    if (err != ERR_OK) {
        return err;
    }
    if (begin != copy->next_id && !copy->empty) {
        bool dropped = begin > copy->next_id; /* the source has none of what the copy has */
        copy->empty = dropped;
        err = drop_from(&to, dropped ? 0 : begin);
    }
    if (err == ERR_OK) {
        err = take_range(from, &to, TABLE_BLOCKS, begin, UINT64_MAX, bytes_max, &blocks);
    }
    if (err == ERR_OK) {
        err = take_range(from, &to, TABLE_INDEX, begin, blocks.end_id, UINT64_MAX, &rest);
    }
    if (err == ERR_OK) { /* definitions outlive the blocks they came with */
        err = take_range(from, &to, TABLE_DEFS, copy->empty ? 0 : begin, blocks.end_id, UINT64_MAX,
                         &rest);
    }
    if (err != ERR_OK) {
        db_abort(&to);
        return err;
    }
    err = db_commit(&to);
    copy->next_id = blocks.end_id;
    copy->empty = false;
    *bytes = blocks.bytes;
    return err;
}

/* Where the source ends. */
static enum err look_end(struct copy *copy, struct db_txn *from) {
    u8 key[KEY_BYTES];
    struct slice found;
    struct slice value;
    u64 first_id;
    u32 count;
    enum err err =
        db_get_before(from, TABLE_BLOCKS, key_make(key, UINT64_MAX, UINT32_MAX), &found, &value);
    if (err == ERR_OK) {
        err = key_read(found, &first_id, &count) ? ERR_OK : ERR_CORRUPT;
        copy->end_id = err == ERR_OK ? first_id + count : copy->end_id;
    }
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

/* One transaction's worth. */
static enum err copy_step(struct copy *copy, u64 *bytes, bool *more) {
    struct db_txn from;
    enum err err = db_begin(copy->from_log, false, &from);
    if (err == ERR_OK) {
        err = copy_blocks(copy, &from, copy->step_bytes, bytes, more);
        err = err == ERR_OK ? look_end(copy, &from) : err;
        db_abort(&from);
    }
    show(copy);
    return err;
}

/* Until little is missing. A round copies what there was when it began and less comes in than that,
 * if the disk is faster than whoever writes. */
static enum err catch_up(struct copy *copy) {
    u64 round_bytes = UINT64_MAX;
    bool more = true;
    enum err err = ERR_OK;
    for (u32 round = 0; round < ROUNDS_MAX && round_bytes > TAIL_BYTES(copy) && more; round++) {
        u64 until = copy->end_id;
        round_bytes = 0;
        do {
            u64 bytes;
            err = copy_step(copy, &bytes, &more);
            if (err != ERR_OK) {
                return err;
            }
            round_bytes += bytes;
        } while (more && copy->next_id < until);
    }
    return ERR_OK;
}

/* --- the last step ---------------------------------------------------------------------------- */

/* Read transactions that see both environments as they were at one moment. */
static enum err begin_together(struct copy *copy, struct db_txn *log, struct db_txn *control) {
    for (u32 try = 0; try < TRIES_MAX; try++) {
        enum err err = db_begin(copy->from_control, false, control);
        if (err != ERR_OK) {
            return err;
        }
        err = db_begin(copy->from_log, false, log);
        if (err == ERR_OK && db_seen_version(copy->from_control) == db_txn_version(control)) {
            return ERR_OK;
        }
        db_abort(log);
        db_abort(control);
        if (err != ERR_OK) {
            return err;
        }
    }
    snprintf(copy->what->why, copy->what->why_bytes,
             "accounts and settings change without a pause: try again");
    return ERR_BUSY;
}

static enum err copy_log_end(struct copy *copy, struct db_txn *from) {
    struct db_txn to;
    u64 bytes;
    u64 hash = 0;
    bool more = true;
    enum err err = look_end(copy, from);
    while (err == ERR_OK && more) {
        err = copy_blocks(copy, from, copy->step_bytes, &bytes, &more);
    }
    if (err == ERR_OK && copy->next_id != copy->end_id) {
        snprintf(copy->what->why, copy->what->why_bytes,
                 "the log is damaged: events are missing behind %llu; run marginctl verify",
                 (unsigned long long)(copy->next_id - 1));
        err = ERR_CORRUPT;
    }
    if (err == ERR_OK) {
        err = db_begin(copy->to_log, true, &to);
    }
    if (err == ERR_OK) {
        err = take_table(from, &to, TABLE_AMENDMENTS, &hash);
        enum err committed = db_commit(&to);
        err = err == ERR_OK ? committed : err;
    }
    return err;
}

static enum err copy_control(struct copy *copy, struct db_txn *from) {
    struct db_txn to;
    copy->what->control_hash = 0;
    enum err err = db_begin(copy->to_control, true, &to);
    if (err != ERR_OK) {
        return err;
    }
    for (u32 table = 0; table < CONTROL_TABLES && err == ERR_OK; table++) {
        err = take_table(from, &to, table, &copy->what->control_hash);
    }
    enum err committed = db_commit(&to);
    return err == ERR_OK ? committed : err;
}

static enum err copy_end(struct copy *copy) {
    struct db_txn log;
    struct db_txn control;
    enum err err = begin_together(copy, &log, &control);
    if (err != ERR_OK) {
        return err;
    }
    copy->what->made_ms = clock_wall_ms();
    err = copy_log_end(copy, &log);
    db_abort(&log);
    if (err == ERR_OK) {
        err = copy_control(copy, &control);
    }
    db_abort(&control);
    if (err == ERR_OK) {
        err = db_sync(copy->to_log);
    }
    return err == ERR_OK ? db_sync(copy->to_control) : err;
}

/* --- all of it ---------------------------------------------------------------------------- */

static void close_all(struct copy *copy) {
    db_close(copy->from_log);
    db_close(copy->from_control);
    db_close(copy->to_log);
    db_close(copy->to_control);
    copy->from_log = copy->from_control = copy->to_log = copy->to_control = NULL;
}

static enum err open_all(struct copy *copy) {
    const char *from = copy->what->from;
    const struct log_options read_log = {
        .dir = from, .map_bytes = LOG_MAP_BYTES_DEFAULT, .read_only = true};
    const struct log_options write_log = {
        .dir = copy->what->to, .map_bytes = LOG_MAP_BYTES_DEFAULT, .skip_sync = true};
    const struct control_db_options read_control = {.read_only = true};
    const struct control_db_options write_control = {.create = true, .skip_sync = true};
    char *why = copy->what->why;
    usize why_bytes = copy->what->why_bytes;
    enum err err = log_db_open(&read_log, &copy->from_log, why, why_bytes);
    if (err == ERR_OK) {
        err = control_db_open(from, &read_control, &copy->from_control, why, why_bytes);
    }
    if (err == ERR_OK) {
        err = log_db_open(&write_log, &copy->to_log, why, why_bytes);
    }
    if (err == ERR_OK) {
        err = control_db_open(copy->what->to, &write_control, &copy->to_control, why, why_bytes);
    }
    return err;
}

/* Said before the disk is filled. The server, if there is one, needs some of it. */
static enum err check_room(struct copy *copy) {
    struct statvfs disk;
    struct db_txn txn;
    enum err err = db_begin(copy->from_log, false, &txn);
    if (err != ERR_OK || statvfs(copy->what->to, &disk) != 0) {
        return err;
    }
    u64 needed = db_used_bytes(&txn) + DISK_SPARE_BYTES;
    db_abort(&txn);
    u64 room = (u64)disk.f_bavail * disk.f_frsize;
    if (room < needed) {
        snprintf(copy->what->why, copy->what->why_bytes,
                 "%s has room for %llu MiB, %llu are needed", copy->what->to,
                 (unsigned long long)(room / MIB), (unsigned long long)(needed / MIB));
        return ERR_NO_SPACE;
    }
    return ERR_OK;
}

enum err copy_data(struct copying *what) {
    struct copy copy = {.what = what,
                        .step_bytes = what->step_bytes != 0 ? what->step_bytes : STEP_BYTES,
                        .empty = true,
                        .next_id = 1,
                        .end_id = 1};
    enum err err = open_all(&copy);
    if (err == ERR_OK) {
        err = check_room(&copy);
    }
    if (err == ERR_OK) {
        err = catch_up(&copy);
    }
    if (err == ERR_OK) {
        err = copy_end(&copy);
    }
    close_all(&copy);
    what->next_id = copy.next_id;
    return err;
}

enum err copy_control_hash(struct db *control, u64 *hash) {
    struct db_txn txn;
    *hash = 0;
    enum err err = db_begin(control, false, &txn);
    for (u32 table = 0; table < CONTROL_TABLES && err == ERR_OK; table++) {
        err = take_table(&txn, NULL, table, hash);
    }
    db_abort(&txn);
    return err;
}
