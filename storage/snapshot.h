/*
 * snapshot.h: the files behind store.h's snapshots; functions that take the data directory's path
 * instead of a store. See store.h for the rest and for the errors.
 */
#ifndef MARGIN_STORAGE_SNAPSHOT_H
#define MARGIN_STORAGE_SNAPSHOT_H

#include "store.h"

/* Where in which log a snapshot belongs. */
struct snapshot_position {
    u64 next_id;
    u64 log_hash;   /* of the event before next_id; 0: not known */
    u64 amendments; /* that it knows */
};

enum err snapshot_file_begin(const char *data_dir, struct snapshot_position position,
                             struct snapshot_writer **out);
enum err snapshot_file_open(const char *data_dir, u32 skip, struct snapshot_reader **out,
                            struct snapshot_position *position);
/* Removes snapshots of positions past `next_id`: they belong to a log that is no more. Left where
 * they are, they would be the newest ones as soon as the log has grown past them. */
void snapshot_files_drop_past(const char *data_dir, u64 next_id);
/* Calls `report` with a line for each snapshot that does not hold. */
void snapshot_files_verify(const char *data_dir, void (*report)(void *context, const char *what),
                           void *context);
/* Verifies a whole snapshot in memory: ERR_CORRUPT if anything does not hold. */
enum err snapshot_verify(const void *data, usize bytes, struct snapshot_position *position);

#endif
