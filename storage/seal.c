/* seal.c: see seal.h. */
#include "storage/seal.h"

#include "base/fault.h"
#include "base/hash.h"
#include "base/log.h"

#include <string.h>

#define MARK SLICE("rows are sealed")

static u64 hash_of(u32 table, struct slice key, struct slice value) {
    u64 hash = hash64(key.data, key.bytes, table + 1);
    return value.bytes > 0 ? hash64(value.data, value.bytes, hash) : hash;
}

enum err seal_put(struct db_txn *txn, u32 table, struct slice key, struct slice value,
                  enum db_put how) {
    char sealed[SEALED_BYTES_MAX];
    check(value.bytes <= CONTROL_VALUE_MAX);
    u64 hash = hash_of(table, key, value);
    if (value.bytes > 0) {
        memcpy(sealed, value.data, value.bytes);
    }
    memcpy(sealed + value.bytes, &hash, SEAL_BYTES);
    return db_put(txn, table, key, (struct slice){sealed, value.bytes + SEAL_BYTES}, how);
}

enum err seal_open(u32 table, struct slice key, struct slice sealed, struct slice *value) {
    u64 hash;
    if (sealed.bytes < SEAL_BYTES) {
        return ERR_CORRUPT;
    }
    *value = (struct slice){sealed.data, sealed.bytes - SEAL_BYTES};
    memcpy(&hash, sealed.data + value->bytes, SEAL_BYTES);
    return hash == hash_of(table, key, *value) ? ERR_OK : ERR_CORRUPT;
}

/* --- all rows --------------------------------------------------------------------------------- */

struct walk {
    struct db_txn *to;
    u32 table;
    u64 rows;
    bool marked;
    enum err err;
    void (*visit)(void *context, u32 table, struct slice key);
    void *context;
};

static bool seal_row(void *context, struct slice key, struct slice value) {
    struct walk *walk = context;
    struct slice opened;
    if (seal_open(walk->table, key, value, &opened) == ERR_OK || value.bytes > CONTROL_VALUE_MAX) {
        walk->err = ERR_CORRUPT;
    } else {
        walk->err = seal_put(walk->to, walk->table, key, value, DB_REPLACE);
        walk->rows++;
    }
    return walk->err == ERR_OK;
}

/* The rows as they were, read by a transaction of their own beside the one that writes. */
static enum err seal_tables(struct db *db, u32 table_count, struct walk *walk) {
    struct db_txn before;
    enum err err = db_begin(db, false, &before);
    if (err != ERR_OK) {
        return err;
    }
    for (walk->table = 0; walk->table < table_count && err == ERR_OK; walk->table++) {
        err = db_each(&before, walk->table, (struct slice){NULL, 0}, seal_row, walk);
        err = err == ERR_OK ? walk->err : err;
    }
    db_abort(&before);
    return err;
}

static bool is_marked(struct db_txn *txn, u32 mark_table) {
    struct slice found;
    return db_get(txn, mark_table, MARK, &found) == ERR_OK;
}

enum err seal_all(struct db *db, u32 table_count, u32 mark_table) {
    struct db_txn txn;
    enum err err = db_begin(db, false, &txn);
    if (err != ERR_OK) {
        return err;
    }
    bool marked = is_marked(&txn, mark_table);
    db_abort(&txn);
    if (marked) {
        return ERR_OK;
    }
    err = db_begin(db, true, &txn);
    if (err != ERR_OK || is_marked(&txn, mark_table)) { /* another process was faster */
        db_abort(&txn);
        return err;
    }
    struct walk walk = {.to = &txn};
    err = seal_tables(db, table_count, &walk);
    if (err == ERR_OK) {
        err = seal_put(&txn, mark_table, MARK, SLICE(""), DB_ADD);
    }
    fault_point("seal.put");
    if (err != ERR_OK) {
        db_abort(&txn);
        return err;
    }
    err = db_commit(&txn);
    if (err == ERR_OK && walk.rows > 0) {
        log_info("control_sealed", "rows=%llu", (unsigned long long)walk.rows);
    }
    return err;
}

static bool check_row(void *context, struct slice key, struct slice value) {
    struct walk *walk = context;
    struct slice opened;
    bool sealed = seal_open(walk->table, key, value, &opened) == ERR_OK;
    if (sealed != walk->marked) {
        walk->visit(walk->context, walk->table, key);
        walk->err = ERR_CORRUPT;
    }
    return walk->err == ERR_OK;
}

enum err seal_check(struct db *db, u32 table_count, u32 mark_table,
                    void (*visit)(void *context, u32 table, struct slice key), void *context) {
    struct db_txn txn;
    struct walk walk = {.visit = visit, .context = context};
    enum err err = db_begin(db, false, &txn);
    walk.marked = err == ERR_OK && is_marked(&txn, mark_table);
    for (; walk.table < table_count && err == ERR_OK; walk.table++) {
        err = db_each(&txn, walk.table, (struct slice){NULL, 0}, check_row, &walk);
        err = err == ERR_OK ? walk.err : err;
    }
    db_abort(&txn);
    return err;
}
