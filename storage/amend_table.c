/* amend_table.c: see amend_table.h. */
#include "storage/amend_table.h"

#include "base/log.h"

#include <stdio.h>
#include <string.h>

#define KEY_BYTES 8
#define SECOND_COPY ((u64)1 << 63)

static struct slice key_make(u8 *key, u64 number) {
    for (u32 i = 0; i < KEY_BYTES; i++) {
        key[i] = (u8)(number >> (56 - 8 * i));
    }
    return (struct slice){(const char *)key, KEY_BYTES};
}

static u64 key_read(struct slice key) {
    u64 number = 0;
    for (u32 i = 0; i < KEY_BYTES && key.bytes == KEY_BYTES; i++) {
        number = number << 8 | (u8)key.data[i];
    }
    return number;
}

void amend_table_put(struct db_txn *txn, u32 table, u64 sequence, struct slice record) {
    u8 key[KEY_BYTES];
    db_put(txn, table, key_make(key, sequence), record, DB_ADD);
    db_put(txn, table, key_make(key, sequence | SECOND_COPY), record, DB_ADD);
}

/* The largest number of either copy. */
static u64 last_of(struct db_txn *txn, u32 table) {
    u8 key[KEY_BYTES];
    u64 last = 0;
    for (u32 copy = 0; copy < 2; copy++) {
        struct slice found;
        struct slice value;
        u64 most = copy == 0 ? ~SECOND_COPY : UINT64_MAX;
        if (db_get_before(txn, table, key_make(key, most), &found, &value) == ERR_OK) {
            last = MAX(last, key_read(found) & ~SECOND_COPY);
        }
    }
    return last;
}

static enum err plan_copy(struct db_txn *txn, u32 table, struct amends *amends, u64 number,
                          u64 next_id, bool alone, struct amend_plan *plan, const char **what) {
    u8 key[KEY_BYTES];
    struct slice record;
    *what = "amendment: missing";
    enum err err = db_get(txn, table, key_make(key, number), &record);
    if (err != ERR_OK) {
        return err == ERR_NOT_FOUND ? ERR_CORRUPT : err;
    }
    err = amends_plan(amends, record, alone, plan, what);
    if (err == ERR_OK && plan->header.position > next_id) {
        *what = "amendment: about events that the log does not have";
        amend_plan_drop(plan);
        err = ERR_CORRUPT;
    }
    return err;
}

static enum err load_one(struct db_txn *txn, u32 table, struct amends *amends, u64 next_id,
                         bool alone, const char **what) {
    u64 number = amends->count + 1;
    struct amend_plan plan;
    const char *first;
    enum err err = plan_copy(txn, table, amends, number, next_id, alone, &plan, &first);
    *what = first;
    if (err == ERR_CORRUPT) {
        err = plan_copy(txn, table, amends, number | SECOND_COPY, next_id, alone, &plan, what);
        if (err == ERR_OK) {
            log_warn("amendment_restored", "number=%llu what=\"%s\" from=\"second copy\"",
                     (unsigned long long)number, first);
        }
    }
    if (err == ERR_OK) {
        overlay_leave(amends_take(amends, &plan));
    }
    return err;
}

enum err amend_table_load(struct db_txn *txn, u32 table, struct amends *amends, u64 next_id,
                          bool alone, char *why, usize why_bytes) {
    const char *what = "";
    enum err err = ERR_OK;
    u64 last = last_of(txn, table);
    while (err == ERR_OK && amends->count < last) {
        err = load_one(txn, table, amends, next_id, alone, &what);
    }
    if (err != ERR_OK) {
        snprintf(why, why_bytes,
                 "%s (number %llu): what it removed or changed would count as before: %s", what,
                 (unsigned long long)amends->count + 1,
                 err == ERR_VERSION ? "use that version" : "restore a backup");
    }
    return err;
}

struct walk {
    bool (*visit)(void *context, const struct amend_header *header);
    void *context;
};

static bool walk_record(void *context, struct slice key, struct slice record) {
    const struct walk *walk = context;
    struct amend_header header;
    const char *what;
    if ((key_read(key) & SECOND_COPY) != 0) {
        return false;
    }
    return amend_check(record, &header, &what) != ERR_OK || walk->visit(walk->context, &header);
}

enum err amend_table_each(struct db *db, u32 table,
                          bool (*visit)(void *context, const struct amend_header *header),
                          void *context) {
    struct db_txn txn;
    struct walk walk = {visit, context};
    enum err err = db_begin(db, false, &txn);
    if (err == ERR_OK) {
        err = db_each(&txn, table, (struct slice){NULL, 0}, walk_record, &walk);
        db_abort(&txn);
    }
    return err;
}

struct verify {
    u64 next_id;
    void (*report)(void *context, u64 from, u64 to, const char *what);
    void *context;
    bool second;
    u64 expected; /* number of the next record */
    u64 chain;
};

static bool verify_record(void *context, struct slice key, struct slice record) {
    struct verify *verify = context;
    struct amend_header header = {.position = verify->next_id};
    const char *what = NULL;
    u64 number = key_read(key);
    if ((number & SECOND_COPY) != 0 && !verify->second) {
        return false;
    }
    number &= ~SECOND_COPY;
    enum err err = amend_check(record, &header, &what);
    if (err == ERR_OK && (number != verify->expected || header.sequence != number)) {
        what = "amendment: missing, or under a wrong number";
        err = ERR_CORRUPT;
    } else if (err == ERR_OK && header.previous != verify->chain && verify->chain != 0) {
        what = "amendment: chain: not the successor of the one before it";
        err = ERR_CORRUPT;
    } else if (err == ERR_OK && header.position > verify->next_id) {
        what = "amendment: about events that the log does not have";
        err = ERR_CORRUPT;
    }
    if (err != ERR_OK) {
        verify->report(verify->context, 1, verify->next_id, what);
    }
    verify->expected = number + 1;
    verify->chain = err == ERR_OK ? header.hash : 0;
    return true;
}

enum err amend_table_verify(struct db_txn *txn, u32 table, u64 next_id,
                            void (*report)(void *context, u64 from, u64 to, const char *what),
                            void *context) {
    u64 count[2] = {0, 0};
    enum err err = ERR_OK;
    for (u32 copy = 0; copy < 2 && err == ERR_OK; copy++) {
        u8 key[KEY_BYTES];
        struct verify verify = {.next_id = next_id,
                                .report = report,
                                .context = context,
                                .second = copy == 1,
                                .expected = 1};
        struct slice from = key_make(key, copy == 1 ? SECOND_COPY : 0);
        err = db_each(txn, table, from, verify_record, &verify);
        count[copy] = verify.expected;
    }
    if (err == ERR_OK && count[0] != count[1]) {
        report(context, 1, next_id, "amendment: only one of two copies is there");
    }
    return err;
}
