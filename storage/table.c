/*
 * table.c: the control tables (see store.h): small, rarely written, read by every process that
 * looks at the data directory. Each change is a transaction of its own, synced before it returns.
 */
#include "limits.h"
#include "storage/db.h"
#include "store.h"

#include <stdlib.h>
#include <string.h>

struct control {
    struct db *db;
};

enum err control_open(const char *dir, bool create, struct control **out, char *why,
                      usize why_bytes) {
    static const char *const tables[CONTROL_TABLES] = {
        [CONTROL_META] = "meta", [CONTROL_ACCOUNTS] = "accounts", [CONTROL_KEYS] = "keys"};
    struct db_options options = {
        .dir = dir,
        .name = "control",
        .map_bytes = CONTROL_MAP_BYTES,
        .tables = tables,
        .table_count = CONTROL_TABLES,
        .create = create,
    };
    struct control *control = calloc(1, sizeof *control);
    if (control == NULL) {
        return ERR_NO_MEMORY;
    }
    enum err err = db_dir_prepare(dir, create, why, why_bytes);
    if (err == ERR_OK) {
        err = db_open(&options, &control->db, why, why_bytes);
    }
    if (err != ERR_OK) {
        free(control);
        return err;
    }
    *out = control;
    return ERR_OK;
}

void control_close(struct control *control) {
    if (control != NULL) {
        db_close(control->db);
        free(control);
    }
}

static bool key_is_good(struct slice key) {
    return key.bytes > 0 && key.bytes <= CONTROL_KEY_MAX;
}

enum err control_get(struct control *control, enum control_table table, struct slice key,
                     void *value, usize *bytes) {
    struct db_txn txn;
    struct slice found = {NULL, 0};
    if (!key_is_good(key)) {
        return ERR_INVALID;
    }
    enum err err = db_begin(control->db, false, &txn);
    if (err != ERR_OK) {
        return err;
    }
    err = db_get(&txn, table, key, &found);
    if (err == ERR_OK && found.bytes > 0) {
        memcpy(value, found.data, MIN(*bytes, found.bytes));
    }
    if (err == ERR_OK) {
        err = found.bytes > *bytes ? ERR_LIMIT : ERR_OK;
        *bytes = found.bytes;
    }
    db_abort(&txn);
    return err;
}

static enum err put(struct control *control, enum control_table table, struct slice key,
                    struct slice value, enum db_put how) {
    struct db_txn txn;
    if (!key_is_good(key) || value.bytes > CONTROL_VALUE_MAX) {
        return ERR_INVALID;
    }
    enum err err = db_begin(control->db, true, &txn);
    if (err != ERR_OK) {
        return err;
    }
    db_put(&txn, table, key, value, how);
    return db_commit(&txn);
}

enum err control_put(struct control *control, enum control_table table, struct slice key,
                     struct slice value) {
    return put(control, table, key, value, DB_REPLACE);
}

enum err control_add(struct control *control, enum control_table table, struct slice key,
                     struct slice value) {
    return put(control, table, key, value, DB_ADD);
}

enum err control_delete(struct control *control, enum control_table table, struct slice key) {
    struct db_txn txn;
    if (!key_is_good(key)) {
        return ERR_INVALID;
    }
    enum err err = db_begin(control->db, true, &txn);
    if (err != ERR_OK) {
        return err;
    }
    db_delete(&txn, table, key);
    return db_commit(&txn);
}

enum err control_each(struct control *control, enum control_table table,
                      bool (*visit)(void *context, struct slice key, struct slice value),
                      void *context) {
    struct db_txn txn;
    enum err err = db_begin(control->db, false, &txn);
    if (err != ERR_OK) {
        return err;
    }
    err = db_each(&txn, table, (struct slice){NULL, 0}, visit, context);
    db_abort(&txn);
    return err;
}

u64 control_version(struct control *control) {
    return db_version(control->db);
}
