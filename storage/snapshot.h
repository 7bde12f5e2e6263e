/*
 * snapshot.h: the files behind store.h's snapshots; functions that take the data directory's path
 * instead of a store. See store.h for the rest and for the errors.
 */
#ifndef MARGIN_STORAGE_SNAPSHOT_H
#define MARGIN_STORAGE_SNAPSHOT_H

#include "store.h"

enum err snapshot_file_begin(const char *data_dir, u64 next_id, struct snapshot_writer **out);
enum err snapshot_file_open(const char *data_dir, u32 skip, struct snapshot_reader **out,
                            u64 *next_id);
/* Verifies a whole snapshot in memory: ERR_CORRUPT if anything does not hold. */
enum err snapshot_verify(const void *data, usize bytes, u64 *next_id);

#endif
