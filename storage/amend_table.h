/*
 * amend_table.h: the table of amendments in the log's environment: records by number, big-endian,
 * and each a second time under its number with the highest bit set.
 */
#ifndef MARGIN_STORAGE_AMEND_TABLE_H
#define MARGIN_STORAGE_AMEND_TABLE_H

#include "storage/amend.h"
#include "storage/db.h"

/* Writes both copies of the next record; errors stick to the transaction. */
void amend_table_put(struct db_txn *txn, u32 table, u64 sequence, struct slice record);

/* Takes in the records that `amends` does not have yet. A bad copy is passed over where the other
 * one is good. ERR_CORRUPT, ERR_VERSION: `why` says which amendment does not hold and how; those
 * before it are taken in. */
enum err amend_table_load(struct db_txn *txn, u32 table, struct amends *amends, u64 next_id,
                          bool alone, char *why, usize why_bytes);

/* The headers of all records whose first copy holds, until `visit` returns false. */
enum err amend_table_each(struct db *db, u32 table,
                          bool (*visit)(void *context, const struct amend_header *header),
                          void *context);

/* Looks at both copies of all records. Calls `report` for each fault with the ids of the events
 * that the amendment may be about: [from, to). */
enum err amend_table_verify(struct db_txn *txn, u32 table, u64 next_id,
                            void (*report)(void *context, u64 from, u64 to, const char *what),
                            void *context);

#endif
