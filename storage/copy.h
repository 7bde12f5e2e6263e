/*
 * copy.h: the log and the control tables of a data directory, copied into another one as they were
 * at one moment.
 */
#ifndef MARGIN_STORAGE_COPY_H
#define MARGIN_STORAGE_COPY_H

#include "storage/db.h"

struct copying {
    const char *from;
    const char *to;   /* a directory without either */
    usize step_bytes; /* copied in one transaction; 0: default */
    void (*progress)(void *context, const char *step, u64 done, u64 total); /* may be NULL */
    void *context;
    char *why; /* gets one line that says what to do, or stays as it is */
    usize why_bytes;

    u64 next_id; /* result: behind the last event */
    u64 control_hash;
    i64 made_ms; /* when the state was one of the source */
};

/* Synced when it returns ERR_OK. ERR_CORRUPT, ERR_NO_SPACE, ERR_BUSY, ERR_NO_MEMORY, ERR_IO. */
enum err copy_data(struct copying *what);
/* Over all pairs of the control tables. */
enum err copy_control_hash(struct db *control, u64 *hash);

#endif
