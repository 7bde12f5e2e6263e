/*
 * table.c: the control tables (see store.h): small, rarely written, read by every process that
 * looks at the data directory. Each change is a transaction, synced before it returns.
 *
 * An object's key is account (4 bytes), kind (2), number (8), all big endian, and the name, so that
 * the objects of one kind in one account lie together and in order.
 */
#include "storage/table.h"

#include "base/fault.h"
#include "base/log.h"
#include "limits.h"
#include "storage/seal.h"
#include "store.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum table { TABLE_META, TABLE_OBJECTS };
_Static_assert(TABLE_OBJECTS + 1 == CONTROL_TABLES, "all of them");

#define HEAD_BYTES 14
#define PREFIX_BYTES 6 /* account and kind */

struct control {
    struct db *db;
    _Atomic bool failed;
};

struct object_key {
    usize bytes;
    char data[HEAD_BYTES + CONTROL_NAME_MAX];
};

enum err control_db_open(const char *dir, const struct control_db_options *how, struct db **out,
                         char *why, usize why_bytes) {
    static const char *const tables[CONTROL_TABLES] = {
        [TABLE_META] = "meta", [TABLE_OBJECTS] = "objects"};
    const struct db_options options = {
        .dir = dir,
        .name = "control",
        .map_bytes = CONTROL_MAP_BYTES,
        .tables = tables,
        .table_count = CONTROL_TABLES,
        .create = how->create,
        .read_only = how->read_only,
        .skip_sync = how->skip_sync,
    };
    return db_open(&options, out, why, why_bytes);
}

struct named { /* a row that does not hold */
    char *text;
    usize bytes;
};

static u64 take_big_endian(const char *data, u32 bytes) {
    u64 value = 0;
    for (u32 i = 0; i < bytes; i++) {
        value = value << 8 | (u8)data[i];
    }
    return value;
}

static void name_row(void *context, u32 table, struct slice key) {
    const struct named *named = context;
    if (table == TABLE_META || key.bytes < HEAD_BYTES) {
        snprintf(named->text, named->bytes, "the installation's \"%.*s\"", (int)key.bytes,
                 key.data);
        return;
    }
    snprintf(named->text, named->bytes, "object %llu of kind %llu of account %llu",
             (unsigned long long)take_big_endian(key.data + PREFIX_BYTES, 8),
             (unsigned long long)take_big_endian(key.data + 4, 2),
             (unsigned long long)take_big_endian(key.data, 4));
}

/* A key, a price or a secret that is not what was written is worse than no start. */
static enum err rows_check(struct db *db, const char *dir, char *why, usize why_bytes) {
    char text[64 + CONTROL_NAME_MAX] = "a row";
    struct named named = {text, sizeof text};
    enum err err = seal_check(db, CONTROL_TABLES, TABLE_META, name_row, &named);
    if (err != ERR_OK) {
        snprintf(why, why_bytes, "the control tables in %s: %s: %s; restore a backup", dir, text,
                 err_text(err));
    }
    return err;
}

enum err control_verify(const char *dir, char *why, usize why_bytes) {
    const struct control_db_options how = {.read_only = true};
    struct db *db;
    enum err err = control_db_open(dir, &how, &db, why, why_bytes);
    if (err == ERR_OK) {
        err = rows_check(db, dir, why, why_bytes);
        db_close(db);
    }
    return err;
}

static enum err open_checked(const char *dir, bool create, struct db **out, char *why,
                             usize why_bytes) {
    const struct control_db_options how = {.create = create};
    enum err err = control_db_open(dir, &how, out, why, why_bytes);
    if (err != ERR_OK) {
        return err;
    }
    err = seal_all(*out, CONTROL_TABLES, TABLE_META);
    if (err != ERR_OK) {
        snprintf(why, why_bytes, "the control tables in %s: cannot seal their rows: %s", dir,
                 err_text(err));
    } else {
        err = rows_check(*out, dir, why, why_bytes);
    }
    if (err != ERR_OK) {
        db_close(*out);
    }
    return err;
}

enum err control_open(const char *dir, bool create, struct control **out, char *why,
                      usize why_bytes) {
    struct control *control = calloc(1, sizeof *control);
    if (control == NULL) {
        return ERR_NO_MEMORY;
    }
    enum err err = db_dir_prepare(dir, create, why, why_bytes);
    if (err == ERR_OK) {
        err = open_checked(dir, create, &control->db, why, why_bytes);
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

bool control_failed(const struct control *control) {
    return atomic_load(&control->failed);
}

/* A write that failed leaves a disk of which nobody knows what it holds, and LMDB then refuses
 * everything. */
static enum err note(struct control *control, enum err err) {
    if (err == ERR_IO && !atomic_exchange(&control->failed, true)) {
        log_error("write_failed", "what=\"control tables\" action=\"restart to recover\"");
    }
    return err;
}

static enum err begin(struct control *control, bool write, struct db_txn *txn) {
    return note(control, db_begin(control->db, write, txn));
}

void control_get_size(struct control *control, u64 *used_bytes, u64 *map_bytes) {
    struct db_txn txn;
    *used_bytes = 0;
    *map_bytes = db_map_bytes(control->db);
    if (db_begin(control->db, false, &txn) == ERR_OK) {
        *used_bytes = db_used_bytes(&txn);
        db_abort(&txn);
    }
}

u64 control_version(struct control *control) {
    return db_version(control->db);
}

u64 control_seen_version(struct control *control) {
    return db_seen_version(control->db);
}

/* --- keys ------------------------------------------------------------------------------------- */

static void put_big_endian(char *out, u64 value, u32 bytes) {
    for (u32 i = 0; i < bytes; i++) {
        out[i] = (char)(u8)(value >> (8 * (bytes - 1 - i)));
    }
}

static enum err key_of(const struct control_object *object, struct object_key *key) {
    if (object->name.bytes > CONTROL_NAME_MAX) {
        return ERR_INVALID;
    }
    put_big_endian(key->data, object->account, 4);
    put_big_endian(key->data + 4, object->kind, 2);
    put_big_endian(key->data + PREFIX_BYTES, object->number, 8);
    if (object->name.bytes > 0) {
        memcpy(key->data + HEAD_BYTES, object->name.data, object->name.bytes);
    }
    key->bytes = HEAD_BYTES + object->name.bytes;
    return ERR_OK;
}

static struct slice key_slice(const struct object_key *key) {
    return (struct slice){key->data, key->bytes};
}

/* --- reading ---------------------------------------------------------------------------------- */

static enum err read_value(struct control *control, enum table table, struct slice key, void *value,
                           usize *bytes) {
    struct db_txn txn;
    struct slice sealed;
    struct slice found = {NULL, 0};
    enum err err = begin(control, false, &txn);
    if (err != ERR_OK) {
        return err;
    }
    err = db_get(&txn, table, key, &sealed);
    if (err == ERR_OK) {
        err = seal_open(table, key, sealed, &found);
    }
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

enum err control_meta_get(struct control *control, struct slice name, void *value, usize *bytes) {
    return read_value(control, TABLE_META, name, value, bytes);
}

enum err control_get(struct control *control, const struct control_object *object, void *value,
                     usize *bytes) {
    struct object_key key;
    enum err err = key_of(object, &key);
    return err != ERR_OK ? err : read_value(control, TABLE_OBJECTS, key_slice(&key), value, bytes);
}

struct walk {
    char prefix[PREFIX_BYTES];
    control_visit visit;
    void *context;
    bool damaged;
};

static bool visit_pair(void *context, struct slice key, struct slice sealed) {
    struct walk *walk = context;
    struct slice value;
    if (key.bytes < HEAD_BYTES) {
        walk->damaged = true;
        return false;
    }
    if (memcmp(key.data, walk->prefix, PREFIX_BYTES) != 0) {
        return false;
    }
    if (seal_open(TABLE_OBJECTS, key, sealed, &value) != ERR_OK) {
        walk->damaged = true;
        return false;
    }
    struct control_object object = {
        .account = (u32)take_big_endian(key.data, 4),
        .kind = (enum control_kind)take_big_endian(key.data + 4, 2),
        .number = take_big_endian(key.data + PREFIX_BYTES, 8),
        .name = {key.data + HEAD_BYTES, key.bytes - HEAD_BYTES},
    };
    return walk->visit(walk->context, &object, value);
}

static enum err each(struct db_txn *txn, const struct control_object *from, control_visit visit,
                     void *context) {
    struct object_key key;
    struct walk walk = {.visit = visit, .context = context};
    enum err err = key_of(from, &key);
    if (err == ERR_OK) {
        memcpy(walk.prefix, key.data, PREFIX_BYTES);
        err = db_each(txn, TABLE_OBJECTS, key_slice(&key), visit_pair, &walk);
    }
    return err == ERR_OK && walk.damaged ? ERR_CORRUPT : err;
}

enum err control_each_from(struct control *control, const struct control_object *from,
                           control_visit visit, void *context) {
    struct db_txn txn;
    enum err err = begin(control, false, &txn);
    if (err == ERR_OK) {
        err = each(&txn, from, visit, context);
        db_abort(&txn);
    }
    return err;
}

enum err control_each(struct control *control, u32 account, enum control_kind kind,
                      control_visit visit, void *context) {
    const struct control_object from = {.account = account, .kind = kind};
    return control_each_from(control, &from, visit, context);
}

/* --- writing ---------------------------------------------------------------------------------- */

enum err control_meta_add(struct control *control, struct slice name, struct slice value) {
    struct db_txn txn;
    enum err err = begin(control, true, &txn);
    if (err != ERR_OK) {
        return err;
    }
    seal_put(&txn, TABLE_META, name, value, DB_ADD);
    fault_point("control.meta-put");
    err = note(control, db_commit(&txn));
    fault_point("control.meta-committed");
    return err;
}

enum err control_put(struct control *control, const struct control_object *object,
                     struct slice value) {
    struct control_txn txn;
    control_begin(control, &txn);
    control_txn_put(&txn, object, value);
    return control_commit(&txn);
}

enum err control_delete(struct control *control, const struct control_object *object) {
    struct control_txn txn;
    control_begin(control, &txn);
    enum err err = control_txn_delete(&txn, object);
    if (err != ERR_OK) {
        control_abort(&txn);
        return err;
    }
    return control_commit(&txn);
}

/* --- transactions ----------------------------------------------------------------------------- */

static struct db_txn db_txn_of(const struct control_txn *txn) {
    return (struct db_txn){txn->control->db, txn->handle, txn->err, true};
}

enum err control_begin(struct control *control, struct control_txn *txn) {
    struct db_txn begun = {0};
    *txn = (struct control_txn){.control = control};
    txn->err = begin(control, true, &begun);
    txn->handle = txn->err == ERR_OK ? begun.handle : NULL;
    txn->used_bytes = txn->err == ERR_OK ? db_used_bytes(&begun) : 0;
    return txn->err;
}

/* Whoever removes something needs pages, too: LMDB writes all it changes anew. So what makes the
 * tables larger may not have the last ones, or a full map would stay full. */
static bool takes_last_room(const struct control_txn *txn, struct db_txn *begun) {
    u64 map_bytes = db_map_bytes(txn->control->db);
    u64 used_bytes = db_used_bytes(begun);
    return used_bytes > txn->used_bytes && used_bytes > map_bytes - map_bytes / CONTROL_SPARE_PARTS;
}

void control_abort(struct control_txn *txn) {
    if (txn->handle != NULL) {
        struct db_txn begun = db_txn_of(txn);
        db_abort(&begun);
        txn->handle = NULL;
    }
}

enum err control_commit(struct control_txn *txn) {
    if (txn->handle == NULL || txn->err != ERR_OK) {
        control_abort(txn);
        return txn->err;
    }
    struct db_txn begun = db_txn_of(txn);
    if (takes_last_room(txn, &begun)) {
        control_abort(txn);
        return txn->err = ERR_NO_SPACE;
    }
    txn->handle = NULL;
    fault_point("control.put");
    txn->err = note(txn->control, db_commit(&begun));
    fault_point("control.committed");
    return txn->err;
}

enum err control_txn_get(struct control_txn *txn, const struct control_object *object,
                         struct slice *value) {
    struct object_key key;
    if (txn->err != ERR_OK) {
        return txn->err;
    }
    struct db_txn begun = db_txn_of(txn);
    enum err err = key_of(object, &key);
    if (err == ERR_OK) {
        struct slice sealed;
        err = db_get(&begun, TABLE_OBJECTS, key_slice(&key), &sealed);
        err = err == ERR_OK ? seal_open(TABLE_OBJECTS, key_slice(&key), sealed, value) : err;
    }
    txn->err = err == ERR_NOT_FOUND ? ERR_OK : err;
    return err;
}

enum err control_txn_put(struct control_txn *txn, const struct control_object *object,
                         struct slice value) {
    struct object_key key;
    if (txn->err != ERR_OK) {
        return txn->err;
    }
    struct db_txn begun = db_txn_of(txn);
    txn->err = value.bytes > CONTROL_VALUE_MAX ? ERR_INVALID : key_of(object, &key);
    if (txn->err == ERR_OK) {
        txn->err = seal_put(&begun, TABLE_OBJECTS, key_slice(&key), value, DB_REPLACE);
    }
    return txn->err;
}

enum err control_txn_delete(struct control_txn *txn, const struct control_object *object) {
    struct object_key key;
    if (txn->err != ERR_OK) {
        return txn->err;
    }
    struct db_txn begun = db_txn_of(txn);
    enum err err = key_of(object, &key);
    if (err == ERR_OK) {
        err = db_delete(&begun, TABLE_OBJECTS, key_slice(&key));
    }
    txn->err = err == ERR_NOT_FOUND ? ERR_OK : err;
    return err;
}

enum err control_txn_each_from(struct control_txn *txn, const struct control_object *from,
                               control_visit visit, void *context) {
    if (txn->err != ERR_OK) {
        return txn->err;
    }
    struct db_txn begun = db_txn_of(txn);
    txn->err = each(&begun, from, visit, context);
    return txn->err;
}

enum err control_txn_each(struct control_txn *txn, u32 account, enum control_kind kind,
                          control_visit visit, void *context) {
    const struct control_object from = {.account = account, .kind = kind};
    return control_txn_each_from(txn, &from, visit, context);
}

u64 control_next_number(struct control_txn *txn, u32 account, enum control_kind kind) {
    const struct control_object sequence = {
        .account = account, .kind = CONTROL_SEQUENCE, .number = kind};
    struct slice last;
    char next[8];
    u64 number = 1;
    enum err err = control_txn_get(txn, &sequence, &last);
    if (err == ERR_OK && last.bytes != sizeof next) {
        txn->err = ERR_CORRUPT;
    } else if (err == ERR_OK) {
        number = take_big_endian(last.data, sizeof next) + 1;
    }
    put_big_endian(next, number, sizeof next);
    err = control_txn_put(txn, &sequence, (struct slice){next, sizeof next});
    return err == ERR_OK ? number : 0;
}
