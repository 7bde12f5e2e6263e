/*
 * pages.h: whether the trees in a file of LMDB are whole. LMDB (0.9, data version 1) keeps no
 * checksums and trusts every page number, offset and length it reads: one bit that has changed on
 * the disk may make it follow a pointer out of its map, write over pages that are in use, or open
 * an older state. So each file is looked at before LMDB does, without LMDB: all pages that lead to
 * data, and the list of free ones. What the data says is for the checksums of those who wrote it.
 *
 * Only what no sound file can have is called damage. What LMDB never looks at is not looked at.
 */
#ifndef MARGIN_STORAGE_PAGES_H
#define MARGIN_STORAGE_PAGES_H

#include "base.h"

/* The two heads, of which the newer one counts: before LMDB opens the file. A file that is written
 * to meanwhile is read again where the two do not fit. ERR_CORRUPT, ERR_IO. */
enum err pages_check_heads(int fd, char *what, usize what_bytes);

/* The state that this transaction made: the caller has a read transaction of it, so that its pages
 * stay. Reads all but the data itself. `any_order`: keys of tables may be in any order, for whoever
 * puts that right. Of a file that was cut, the pages of values that it lacks are counted in
 * *missing, and their content is for its checksums to miss.
 *
 * ERR_CORRUPT, with what is wrong; ERR_IO, ERR_NO_MEMORY, and ERR_BUSY if there is no such state
 * any more. */
enum err pages_check(int fd, u64 txn, bool any_order, u64 *missing, char *what, usize what_bytes);

#endif
