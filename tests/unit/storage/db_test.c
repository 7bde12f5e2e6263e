/* db_test.c: free pages go back to the file system, and no others. */
#include "storage/db.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define VALUES 160
#define VALUE_BYTES (128 * KIB)
#define CALL_BYTES_MAX (8 * MIB + 64 * KIB) /* with what the file system itself needs */

static char dir[64];
static u8 value[VALUE_BYTES];

static struct db *open_db(void) {
    static const char *const tables[] = {"values"};
    struct db_options options = {.dir = dir,
                                 .name = "db",
                                 .map_bytes = 256 * MIB,
                                 .tables = tables,
                                 .table_count = 1,
                                 .create = true};
    struct db *db;
    char why[256];
    cr_assert_eq(db_open(&options, &db, why, sizeof why), ERR_OK, "%s", why);
    return db;
}

static u64 disk_bytes(void) {
    char path[128];
    struct stat stat;
    snprintf(path, sizeof path, "%s/db/data.mdb", dir);
    cr_assert(lstat(path, &stat) == 0);
    return (u64)stat.st_blocks * 512;
}

/* One commit; a value is its number all over. */
static void put(struct db *db, u8 number) {
    struct db_txn txn;
    memset(value, number, sizeof value);
    cr_assert_eq(db_begin(db, true, &txn), ERR_OK);
    db_put(&txn, 0, (struct slice){(const char *)&number, 1},
           (struct slice){(const char *)value, sizeof value}, DB_REPLACE);
    cr_assert_eq(db_commit(&txn), ERR_OK);
}

static void drop(struct db *db, u8 from, u8 to) {
    struct db_txn txn;
    cr_assert_eq(db_begin(db, true, &txn), ERR_OK);
    for (u8 number = from; number < to; number++) {
        db_delete(&txn, 0, (struct slice){(const char *)&number, 1});
    }
    cr_assert_eq(db_commit(&txn), ERR_OK);
}

static void expect_values(struct db_txn *txn, u8 from, u8 to) {
    for (u8 number = from; number < to; number++) {
        struct slice found;
        memset(value, number, sizeof value);
        cr_assert_eq(db_get(txn, 0, (struct slice){(const char *)&number, 1}, &found), ERR_OK);
        cr_assert(found.bytes == sizeof value && memcmp(found.data, value, sizeof value) == 0,
                  "value %u", number);
    }
}

/* All that is free now. */
static void trim(struct db *db, u32 pages_min) {
    struct db_trim place = {.commit = 1};
    while (place.commit != 0) {
        u64 before = disk_bytes();
        cr_assert_eq(db_trim(db, &place, db_version(db), pages_min), ERR_OK);
        cr_assert(disk_bytes() + CALL_BYTES_MAX >= before, "appends wait for too long");
    }
}

Test(db, free_pages_leave_the_disk) {
    struct db_txn reader;
    snprintf(dir, sizeof dir, "/tmp/db_test.XXXXXX");
    cr_assert(mkdtemp(dir) != NULL);
    struct db *db = open_db();
    for (u8 number = 0; number < VALUES; number++) {
        put(db, number);
    }
    u64 full = disk_bytes();
    cr_assert(full >= (u64)VALUES * VALUE_BYTES);
    cr_assert_eq(db_begin(db, false, &reader), ERR_OK);
    drop(db, 0, VALUES / 2);
    put(db, VALUES); /* what the last commit freed is left alone */
    trim(db, 1);
    expect_values(&reader, 0, VALUES); /* somebody may still see them */
    db_abort(&reader);
    trim(db, 1 << 20); /* none that lie so many side by side */
    cr_assert(disk_bytes() >= full);
    struct db_trim place = {.commit = 1};
    cr_assert_eq(db_trim(db, &place, db_version(db) - 2, 16), ERR_OK); /* too young */
    cr_assert(disk_bytes() >= full);
    trim(db, 16);
    u64 half = (u64)VALUES / 2 * VALUE_BYTES;
    cr_assert(disk_bytes() < full - half * 9 / 10, "%llu of %llu", (unsigned long long)disk_bytes(),
              (unsigned long long)full);
    for (u8 number = 0; number < VALUES / 4; number++) { /* into the holes */
        put(db, number);
    }
    db_close(db);
    db = open_db(); /* which looks at every page */
    cr_assert_eq(db_begin(db, false, &reader), ERR_OK);
    expect_values(&reader, 0, VALUES / 4);
    expect_values(&reader, VALUES / 2, VALUES + 1);
    db_abort(&reader);
    db_close(db);
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    cr_assert(system(command) == 0);
}
