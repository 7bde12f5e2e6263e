/* log_state.h: the inside of a log, for log.c (opening, looking up), log_write.c, and copy.c, which
 * copies tables. */
#ifndef MARGIN_STORAGE_LOG_STATE_H
#define MARGIN_STORAGE_LOG_STATE_H

#include "storage/log.h"

#include <pthread.h>
#include <stdatomic.h>

enum log_table { TABLE_BLOCKS, TABLE_INDEX, TABLE_DEFS, TABLE_AMENDMENTS, TABLES };

/* The environment alone. */
enum err log_db_open(const struct log_options *options, struct db **out, char *why,
                     usize why_bytes);

#define KEY_BYTES 12

/* An amendment that is committed and not shown yet: until then the directory stays as it is but for
 * this, and no segment takes the place of blocks. */
struct log_hidden {
    bool waits;
    bool has_block;
    u32 series_end;
    struct amend_plan plan;
    struct block_header header; /* of the block that came with it */
};

/* Commits and what they freed. */
struct log_trim {
    struct db_trim place; /* where the next call goes on; commit 0: at the beginning */
    u64 to;               /* the last that it looks at */
    u64 seen;             /* the last there was then */
    bool refused;         /* by the file system */
};

struct log {
    struct db *db;
    pthread_mutex_t write;     /* one commit and its change of the directory at a time */
    pthread_mutex_t directory; /* guards what follows; held for moments only */
    struct log_entry *entries;
    usize count;
    usize capacity;
    usize small_from; /* entries before it are segments */
    u64 damaged;
    u64 lost_from;   /* the last block, from here on, does not say how many events it has; or 0 */
    bool disordered; /* some key is not where it should be */
    u64 version;     /* of the environment when the directory was read */
    u64 append_count;
    u64 sync_ns;
    struct amends amends; /* changed under both locks, read under either */
    bool amends_broken;   /* some are not known */
    _Atomic u64 next_id;
    _Atomic u32 series_end;    /* 0: not known */
    struct offer *offer;       /* of the merging thread; guarded by `write` */
    pthread_cond_t offer_done; /* with `write` */
    struct log_hidden hidden;  /* guarded by `write` */
    pthread_cond_t shown;      /* with `write` */
    struct log_trim trim;      /* of the merging thread */
};

static inline struct slice key_make(u8 *key, u64 first_id, u32 count) {
    for (u32 i = 0; i < 8; i++) {
        key[i] = (u8)(first_id >> (56 - 8 * i));
    }
    for (u32 i = 0; i < 4; i++) {
        key[8 + i] = (u8)(count >> (24 - 8 * i));
    }
    return (struct slice){(const char *)key, KEY_BYTES};
}

static inline bool key_read(struct slice key, u64 *first_id, u32 *count) {
    if (key.bytes != KEY_BYTES) {
        return false;
    }
    const u8 *bytes = (const u8 *)key.data;
    *first_id = 0;
    *count = 0;
    for (u32 i = 0; i < 8; i++) {
        *first_id = *first_id << 8 | bytes[i];
    }
    for (u32 i = 8; i < KEY_BYTES; i++) {
        *count = *count << 8 | bytes[i];
    }
    return *first_id > 0 && *count > 0 && *first_id <= UINT64_MAX - *count;
}

/* Room for so many entries more; false: no memory. */
bool log_entries_reserve(struct log *log, usize more);
struct log_entry log_entry_of(const struct block_header *header);
/* Index of the last entry that begins at or before `id`; there is one. */
usize log_entry_index(const struct log *log, u64 id);

#endif
