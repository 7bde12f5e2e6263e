/*
 * seal.h: checksums of rows. LMDB has none, and what the control tables hold is not all records
 * with one of their own: secrets and numbers lie there bare, and a key that has changed is another
 * object's. So each value is followed by its seal, a hash over the table, the key and the value.
 *
 * Directories from before format 3 have rows without: they get theirs at the first opening, all in
 * one transaction with a row that says so.
 */
#ifndef MARGIN_STORAGE_SEAL_H
#define MARGIN_STORAGE_SEAL_H

#include "limits.h"
#include "storage/db.h"

#define SEAL_BYTES 8
#define SEALED_BYTES_MAX (CONTROL_VALUE_MAX + SEAL_BYTES)

/* Puts a value of at most CONTROL_VALUE_MAX bytes with its seal; errors as db_put(). */
enum err seal_put(struct db_txn *txn, u32 table, struct slice key, struct slice value,
                  enum db_put how);
/* What was put, if the seal holds: else ERR_CORRUPT. */
enum err seal_open(u32 table, struct slice key, struct slice sealed, struct slice *value);

/* Seals all rows, once. `mark_table` gets the row that says so. ERR_CORRUPT: that row is missing,
 * but others are sealed. */
enum err seal_all(struct db *db, u32 table_count, u32 mark_table);
/* Opens every seal until one does not hold: `visit` hears of it. Where no row has one yet, that is
 * good, too. */
enum err seal_check(struct db *db, u32 table_count, u32 mark_table,
                    void (*visit)(void *context, u32 table, struct slice key), void *context);

#endif
