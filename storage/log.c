/*
 * log.c: see log.h. The directory is an array sorted by id (64 bytes a block), rebuilt at open from
 * keys and headers alone: one page a block is touched.
 */
#include "storage/log.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum table { TABLE_BLOCKS, TABLE_INDEX, TABLE_DEFS, TABLES };

#define KEY_BYTES 12
#define REPAIRS_MAX 64         /* wrong keys put right at a start */
#define OFFER_WAIT_NS 10000000 /* how long a segment waits for an append */

struct log {
    struct db *db;
    pthread_mutex_t write;     /* one commit and its change of the directory at a time */
    pthread_mutex_t directory; /* guards what follows; held for moments only */
    struct log_entry *entries;
    usize count;
    usize capacity;
    usize small_from; /* entries before it are segments */
    u64 damaged;
    bool disordered; /* some key is not where it should be */
    u64 version;     /* of the environment when the directory was read */
    u64 append_count;
    u64 sync_ns;
    _Atomic u64 next_id;
    _Atomic u32 series_end;    /* 0: not known */
    struct offer *offer;       /* of the merging thread; guarded by `write` */
    pthread_cond_t offer_done; /* with `write` */
};

static struct slice key_make(u8 *key, u64 first_id, u32 count) {
    for (u32 i = 0; i < 8; i++) {
        key[i] = (u8)(first_id >> (56 - 8 * i));
    }
    for (u32 i = 0; i < 4; i++) {
        key[8 + i] = (u8)(count >> (24 - 8 * i));
    }
    return (struct slice){(const char *)key, KEY_BYTES};
}

static bool key_read(struct slice key, u64 *first_id, u32 *count) {
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

/* --- directory -------------------------------------------------------------------------------- */

static bool entries_reserve(struct log *log, usize more) {
    if (log->count + more <= log->capacity) {
        return true;
    }
    usize capacity = MAX(log->capacity * 2, (usize)1024);
    struct log_entry *entries = realloc(log->entries, capacity * sizeof *entries);
    if (entries == NULL) {
        return false;
    }
    log->entries = entries;
    log->capacity = capacity;
    return true;
}

static struct log_entry entry_of(const struct block_header *header) {
    return (struct log_entry){
        .first_id = header->first_id,
        .chain = block_chain(header),
        .time_min = header->time_min,
        .time_max = header->time_max,
        .count = header->count,
        .bytes = (u32)header->block_bytes,
        .kind = (u8)header->kind,
    };
}

/* What is known of a block that cannot be trusted. It matches every time. */
static struct log_entry entry_damaged(u64 first_id, u64 count, struct slice block) {
    struct block_header header = {0};
    memcpy(&header, block.data != NULL ? block.data : (const char *)&header,
           MIN(block.bytes, sizeof header));
    return (struct log_entry){
        .first_id = first_id,
        .chain = block_chain(&header),
        .time_min = INT64_MIN,
        .time_max = INT64_MAX,
        .count = count,
        .bytes = (u32)block.bytes,
        .kind = BLOCK_SEGMENT,
        .damaged = true,
        .frozen = true,
    };
}

struct load {
    struct log *log;
    enum err err;
    u64 next_id;
    u64 place;     /* of the pair being looked at */
    bool is_wrong; /* a key was found that its header contradicts: */
    u64 wrong_place;
    u64 wrong_id; /* what the header says */
    u32 wrong_count;
};

static bool load_entry(struct load *load, struct log_entry entry) {
    if (!entries_reserve(load->log, 1)) {
        load->err = ERR_NO_MEMORY;
        return false;
    }
    load->log->entries[load->log->count++] = entry;
    load->log->damaged += entry.damaged;
    load->next_id = entry.first_id + entry.count;
    return true;
}

/* Ids that no block holds are a damaged block, too: readers report them. */
static bool load_gap(struct load *load, u64 until) {
    return until == load->next_id ||
           load_entry(load,
                      entry_damaged(load->next_id, until - load->next_id, (struct slice){NULL, 0}));
}

/* A block whose ids are known to be others', or not known at all: it stays where it is. */
static bool pass_over(struct load *load, u64 first_id, u32 count) {
    log_warn("block_out_of_order", "first_id=%llu count=%u expected_id=%llu",
             (unsigned long long)first_id, count, (unsigned long long)load->next_id);
    load->log->damaged++;
    load->log->disordered = true;
    return true;
}

static bool load_block(void *context, struct slice key, struct slice value) {
    struct load *load = context;
    u64 first_id = 0;
    u32 count = 0;
    u64 place = load->place++;
    struct block_header header;
    bool keyed = key_read(key, &first_id, &count);
    enum err err = block_read_header(value.data, value.bytes, &header);
    if (err == ERR_VERSION) {
        load->err = err;
        return false;
    }
    bool good = err == ERR_OK && header.first_id == first_id && header.count == count;
    /* The one of the two that goes on where the block before it ends is right. */
    if (!good && err == ERR_OK && header.first_id == load->next_id) {
        load->is_wrong = true;
        load->wrong_place = place;
        load->wrong_id = first_id = header.first_id;
        load->wrong_count = count = header.count;
        load->log->disordered = true;
    } else if (!keyed || first_id < load->next_id) {
        return pass_over(load, first_id, count);
    }
    return load_gap(load, first_id) &&
           load_entry(load, good ? entry_of(&header) : entry_damaged(first_id, count, value));
}

static enum err note_series(void *context, const struct series_def *def, u64 last_id) {
    (void)last_id;
    u32 *end = context;
    *end = MAX(*end, def->series + 1);
    return ERR_OK;
}

/* Series ids are dense, so the last definitions tell how many there are. */
static enum err series_end_load(struct log *log) {
    u8 key[KEY_BYTES];
    u64 first_id = 0;
    u32 rows;
    u32 end = 0;
    struct db_txn txn;
    struct slice found;
    struct slice copy;
    struct block_reader *reader;
    enum err err = db_begin(log->db, false, &txn);
    if (err != ERR_OK) {
        return err;
    }
    err = db_get_before(&txn, TABLE_DEFS, key_make(key, UINT64_MAX, UINT32_MAX), &found, &copy);
    if (err == ERR_OK) {
        err = key_read(found, &first_id, &rows) ? ERR_OK : ERR_CORRUPT;
    }
    db_abort(&txn);
    if (err == ERR_OK) {
        err = block_reader_create(&reader);
    }
    if (err == ERR_OK) {
        err = log_read_defs(log, first_id, UINT64_MAX, reader, note_series, &end, &rows);
        block_reader_destroy(reader);
    }
    atomic_store_explicit(&log->series_end, err == ERR_OK ? end : 0, memory_order_release);
    return err == ERR_NOT_FOUND || err == ERR_CORRUPT ? ERR_OK : err;
}

/* Puts a wrong key right. */
static enum err key_repair(struct log *log, const struct load *load) {
    u8 key[KEY_BYTES];
    struct db_txn txn;
    enum err err = db_begin(log->db, true, &txn);
    if (err == ERR_OK) {
        db_move(&txn, TABLE_BLOCKS, load->wrong_place,
                key_make(key, load->wrong_id, load->wrong_count));
        err = db_commit(&txn);
    }
    log_warn("key_repaired", "first_id=%llu count=%u result=\"%s\"",
             (unsigned long long)load->wrong_id, load->wrong_count, err_text(err));
    return err;
}

static enum err directory_read(struct log *log, struct load *load) {
    struct db_txn txn;
    *load = (struct load){.log = log, .next_id = 1};
    log->disordered = false;
    log->count = 0;
    log->small_from = 0;
    log->damaged = 0;
    log->version = db_version(log->db);
    enum err err = db_begin(log->db, false, &txn);
    if (err != ERR_OK) {
        return err;
    }
    err = db_each(&txn, TABLE_BLOCKS, (struct slice){NULL, 0}, load_block, load);
    db_abort(&txn);
    atomic_store_explicit(&log->next_id, load->next_id, memory_order_release);
    return err != ERR_OK ? err : load->err;
}

static enum err directory_load(struct log *log, bool repair) {
    struct load load;
    enum err err = directory_read(log, &load);
    for (u32 i = 0; i < REPAIRS_MAX && repair && err == ERR_OK && load.is_wrong; i++) {
        if (key_repair(log, &load) != ERR_OK) {
            break;
        }
        err = directory_read(log, &load);
    }
    return err == ERR_OK ? series_end_load(log) : err;
}

enum err log_open(const struct log_options *options, struct log **out, char *why, usize why_bytes) {
    static const char *const tables[TABLES] = {"blocks", "index", "definitions"};
    struct db_options db_options = {
        .dir = options->dir,
        .name = "log",
        .map_bytes = options->map_bytes,
        .tables = tables,
        .table_count = TABLES,
        .create = !options->read_only,
        .read_only = options->read_only,
        .skip_sync = options->skip_sync,
    };
    struct log *log = calloc(1, sizeof *log);
    if (log == NULL) {
        return ERR_NO_MEMORY;
    }
    check(pthread_mutex_init(&log->write, NULL) == 0);
    check(pthread_mutex_init(&log->directory, NULL) == 0);
    pthread_condattr_t attr;
    check(pthread_condattr_init(&attr) == 0);
    check(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    check(pthread_cond_init(&log->offer_done, &attr) == 0);
    pthread_condattr_destroy(&attr);
    atomic_init(&log->next_id, 1);
    enum err err = db_open(&db_options, &log->db, why, why_bytes);
    if (err == ERR_OK) {
        err = directory_load(log, !options->read_only);
        if (err != ERR_OK) {
            const char *hint = err == ERR_VERSION ? ": written by another version" : "";
            snprintf(why, why_bytes, "cannot read the log in %s: %s%s", options->dir, err_text(err),
                     hint);
        }
    }
    if (err != ERR_OK) {
        log_close(log);
        return err;
    }
    *out = log;
    return ERR_OK;
}

void log_close(struct log *log) {
    if (log != NULL) {
        db_close(log->db);
        pthread_cond_destroy(&log->offer_done);
        pthread_mutex_destroy(&log->write);
        pthread_mutex_destroy(&log->directory);
        free(log->entries);
        free(log);
    }
}

u64 log_next_id(const struct log *log) {
    return atomic_load_explicit(&log->next_id, memory_order_acquire);
}

u32 log_series_end(const struct log *log) {
    u32 end = atomic_load_explicit(&log->series_end, memory_order_acquire);
    return end > 0 ? end : SERIES_MAX;
}

u64 log_chain(struct log *log) {
    pthread_mutex_lock(&log->directory);
    u64 chain = log->count > 0 ? log->entries[log->count - 1].chain : 0;
    pthread_mutex_unlock(&log->directory);
    return chain;
}

/* Index of the last entry that begins at or before `id`; there is one. */
static usize entry_index(const struct log *log, u64 id) {
    usize low = 0;
    usize high = log->count;
    while (high - low > 1) {
        usize middle = low + (high - low) / 2;
        if (log->entries[middle].first_id <= id) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

bool log_find(struct log *log, u64 id, struct log_entry *out) {
    if (id == 0 || id >= log_next_id(log)) {
        return false;
    }
    pthread_mutex_lock(&log->directory);
    *out = log->entries[entry_index(log, id)];
    pthread_mutex_unlock(&log->directory);
    check(id >= out->first_id && id - out->first_id < out->count);
    return true;
}

void log_note_damage(struct log *log, u64 id) {
    pthread_mutex_lock(&log->directory);
    struct log_entry *entry = &log->entries[entry_index(log, id)];
    log->damaged += !entry->frozen;
    entry->frozen = true;
    pthread_mutex_unlock(&log->directory);
}

enum err log_refresh(struct log *log) {
    pthread_mutex_lock(&log->directory);
    enum err err = log->version != db_version(log->db) ? directory_load(log, false) : ERR_OK;
    pthread_mutex_unlock(&log->directory);
    return err;
}

void log_get_stats(struct log *log, struct store_stats *out) {
    struct db_txn txn;
    *out = (struct store_stats){.map_bytes = db_map_bytes(log->db)};
    if (db_begin(log->db, false, &txn) == ERR_OK) {
        out->log_bytes = db_used_bytes(&txn);
        db_abort(&txn);
    }
    pthread_mutex_lock(&log->directory);
    for (usize i = 0; i < log->count; i++) {
        out->payload_bytes += log->entries[i].bytes;
        out->segments += log->entries[i].kind == BLOCK_SEGMENT;
    }
    out->events = log_next_id(log) - 1;
    out->blocks = log->count;
    out->damaged_blocks = log->damaged;
    out->append_count = log->append_count;
    out->sync_ns = log->sync_ns;
    pthread_mutex_unlock(&log->directory);
}

/* --- writing ---------------------------------------------------------------------------------- */

/* A segment that is ready to take the place of its blocks. It waits a moment for the next append,
 * so that one sync serves both; `write` guards it. */
struct offer {
    const struct log_run *run;
    const struct block_header *header;
    struct slice block;
    struct slice index;
    struct slice defs; /* second copy of the block's definitions; empty: it has none */
    bool done;
    enum err err;
};

/* Entries of a run: they are exactly there, for only the merging thread removes any. */
static usize run_entries(const struct log *log, const struct log_run *run, usize *from) {
    *from = entry_index(log, run->first_id);
    usize end = *from;
    check(log->entries[end].first_id == run->first_id);
    while (end < log->count && log->entries[end].first_id < run->end_id) {
        end++;
    }
    check(log->entries[end - 1].first_id + log->entries[end - 1].count == run->end_id);
    return end - *from;
}

/* The blocks' definitions are all in the one that replaces them, and so are their second copies:
 * those of many small commits would be most of what these take on disk. */
static void offer_put(struct log *log, struct db_txn *txn, const struct offer *offer) {
    u8 key[KEY_BYTES];
    usize from;
    usize count = run_entries(log, offer->run, &from);
    const struct block_header *header = offer->header;
    for (usize i = from; i < from + count; i++) {
        const struct log_entry *entry = &log->entries[i];
        struct slice at = key_make(key, entry->first_id, (u32)entry->count);
        db_delete(txn, TABLE_BLOCKS, at);
        if (offer->defs.bytes > 0) {
            db_delete_any(txn, TABLE_DEFS, at);
        }
    }
    db_put(txn, TABLE_BLOCKS, key_make(key, header->first_id, header->count), offer->block,
           DB_REPLACE);
    if (offer->index.bytes > 0) {
        db_put(txn, TABLE_INDEX, key_make(key, header->first_id, header->count), offer->index,
               DB_REPLACE);
    }
    if (offer->defs.bytes > 0) {
        db_put(txn, TABLE_DEFS, key_make(key, header->first_id, header->count), offer->defs,
               DB_REPLACE);
    }
}

/* After the commit: the directory follows. */
static void offer_settle(struct log *log, const struct offer *offer) {
    usize from;
    usize count = run_entries(log, offer->run, &from);
    log->entries[from] = entry_of(offer->header);
    memmove(&log->entries[from + 1], &log->entries[from + count],
            (log->count - from - count) * sizeof *log->entries);
    log->count -= count - 1;
}

/* A block with the second copy of its definitions, an offered segment, or both, in one transaction.
 * Nobody else changes entries while `write` is held, so reading them needs no more. */
static enum err commit(struct log *log, struct slice block, struct slice defs,
                       const struct block_header *header, u32 series_end,
                       const struct offer *offer) {
    u8 key[KEY_BYTES];
    struct db_txn txn;
    enum err err = db_begin(log->db, true, &txn);
    if (err != ERR_OK) {
        return err;
    }
    if (header != NULL) {
        struct slice at = key_make(key, header->first_id, header->count);
        db_put(&txn, TABLE_BLOCKS, at, block, log->disordered ? DB_REPLACE : DB_APPEND);
        if (defs.bytes > 0) {
            db_put(&txn, TABLE_DEFS, at, defs, DB_REPLACE);
        }
    }
    if (offer != NULL) {
        offer_put(log, &txn, offer);
    }
    u64 from_ns = clock_monotonic_ns();
    err = db_commit(&txn);
    u64 sync_ns = clock_monotonic_ns() - from_ns;
    if (err != ERR_OK) {
        return err;
    }
    pthread_mutex_lock(&log->directory);
    if (header != NULL) {
        log->entries[log->count++] = entry_of(header);
        log->append_count++;
        log->sync_ns += sync_ns;
        if (series_end > 0) {
            atomic_store_explicit(&log->series_end, series_end, memory_order_release);
        }
        atomic_store_explicit(&log->next_id, header->first_id + header->count,
                              memory_order_release);
    }
    if (offer != NULL) {
        offer_settle(log, offer);
    }
    pthread_mutex_unlock(&log->directory);
    return ERR_OK;
}

/* The definitions' second copy, to be written with the block and freed then. */
static enum err defs_copy(struct slice block, const struct block_header *header,
                          struct slice *out) {
    *out = (struct slice){NULL, 0};
    if (header->def_count == 0) {
        return ERR_OK;
    }
    u8 *copy = malloc(BLOCK_DEFS_BYTES(header));
    if (copy == NULL) {
        return ERR_NO_MEMORY;
    }
    block_copy_defs(copy, block, header);
    *out = (struct slice){(const char *)copy, BLOCK_DEFS_BYTES(header)};
    return ERR_OK;
}

static void defs_free(struct slice defs) {
    free((void *)(uintptr_t)defs.data);
}

enum err log_append(struct log *log, struct slice block, const struct block_header *header,
                    u32 series_end) {
    check(header->first_id == log_next_id(log));
    check((header->def_count > 0) == (series_end > 0));
    struct slice defs;
    enum err err = defs_copy(block, header, &defs);
    if (err != ERR_OK) {
        return err;
    }
    pthread_mutex_lock(&log->write);
    struct offer *offer = log->offer;
    pthread_mutex_lock(&log->directory);
    err = entries_reserve(log, 1) ? ERR_OK : ERR_NO_MEMORY;
    pthread_mutex_unlock(&log->directory);
    if (err == ERR_OK) {
        err = commit(log, block, defs, header, series_end, offer);
        if (offer != NULL) {
            offer->err = err;
            offer->done = true;
            log->offer = NULL;
            pthread_cond_signal(&log->offer_done);
        }
        if (err == ERR_NO_SPACE && offer != NULL) {
            /* The segment was too much, perhaps. */
            err = commit(log, block, defs, header, series_end, NULL);
        }
    }
    pthread_mutex_unlock(&log->write);
    defs_free(defs);
    return err;
}

/* --- merging ---------------------------------------------------------------------------------- */

struct candidate {
    usize from; /* entries from..end */
    usize end;
    u64 rows;
    usize groups; /* as committed, at its end */
    bool closed;  /* what follows cannot join */
};

/* The mergeable entries from `from` on, as many as one segment takes. */
static struct candidate candidate_at(const struct log *log, usize from) {
    struct candidate run = {.from = from, .end = from};
    u64 bytes = 0;
    while (run.end < log->count) {
        const struct log_entry *entry = &log->entries[run.end];
        if (entry->kind == BLOCK_SEGMENT || entry->frozen ||
            run.rows + entry->count > SEGMENT_ROWS_MAX ||
            (run.end > from && bytes + entry->bytes > MERGE_BYTES_MAX)) {
            run.closed = true;
            break;
        }
        run.groups = entry->kind == BLOCK_GROUP ? run.groups + 1 : 0;
        run.rows += entry->count;
        bytes += entry->bytes;
        run.end++;
    }
    return run;
}

static bool pick(struct log *log, struct candidate *run, enum block_kind *kind) {
    usize from = log->small_from;
    while (from < log->count) {
        if (log->entries[from].kind == BLOCK_SEGMENT || log->entries[from].frozen) {
            from++;
            continue;
        }
        *run = candidate_at(log, from);
        if (run->closed || run->rows >= SEGMENT_ROWS_MIN) {
            *kind = BLOCK_SEGMENT;
            return true;
        }
        if (run->groups >= MERGE_BLOCKS_MIN) {
            run->from = run->end - run->groups;
            *kind = BLOCK_MERGED;
            return true;
        }
        break;
    }
    return false;
}

bool log_pick_run(struct log *log, struct log_run *out) {
    struct candidate run;
    enum block_kind kind;
    pthread_mutex_lock(&log->directory);
    while (log->small_from < log->count && log->entries[log->small_from].kind == BLOCK_SEGMENT) {
        log->small_from++;
    }
    bool found = pick(log, &run, &kind);
    if (found) {
        const struct log_entry *last = &log->entries[run.end - 1];
        *out = (struct log_run){
            .first_id = log->entries[run.from].first_id,
            .end_id = last->first_id + last->count,
            .chain = last->chain,
            .kind = kind,
        };
    }
    pthread_mutex_unlock(&log->directory);
    return found;
}

/* Waits for an append to carry the offer; false if none came. */
static bool offer_wait(struct log *log, struct offer *offer) {
    struct timespec until;
    check(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
    until.tv_nsec += OFFER_WAIT_NS;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    log->offer = offer;
    int code = 0;
    while (!offer->done && code != ETIMEDOUT) {
        code = pthread_cond_timedwait(&log->offer_done, &log->write, &until);
        check(code == 0 || code == ETIMEDOUT);
    }
    log->offer = NULL;
    return offer->done;
}

enum err log_replace(struct log *log, const struct log_run *run, struct slice block,
                     const struct block_header *header, struct slice index) {
    check(header->first_id == run->first_id && header->first_id + header->count == run->end_id);
    struct offer offer = {.run = run, .header = header, .block = block, .index = index};
    enum err err = defs_copy(block, header, &offer.defs);
    if (err != ERR_OK) {
        return err;
    }
    pthread_mutex_lock(&log->write);
    struct slice none = {NULL, 0};
    err = offer_wait(log, &offer) ? offer.err : commit(log, none, none, NULL, 0, &offer);
    pthread_mutex_unlock(&log->write);
    defs_free(offer.defs);
    return err;
}

/* --- reading ---------------------------------------------------------------------------------- */

enum err log_read_begin(struct log *log, u64 id, struct log_read *read) {
    u8 key[KEY_BYTES];
    struct slice found;
    *read = (struct log_read){0};
    enum err err = db_begin(log->db, false, &read->txn);
    if (err != ERR_OK) {
        return err;
    }
    err = db_get_before(&read->txn, TABLE_BLOCKS, key_make(key, id, UINT32_MAX), &found,
                        &read->block);
    if (err == ERR_OK &&
        (!key_read(found, &read->first_id, &read->count) || id - read->first_id >= read->count)) {
        err = ERR_NOT_FOUND;
    }
    if (err == ERR_OK) {
        enum err indexed = db_get(&read->txn, TABLE_INDEX, found, &read->index);
        err = indexed == ERR_NOT_FOUND ? ERR_OK : indexed;
    }
    if (err != ERR_OK) {
        db_abort(&read->txn);
    }
    return err;
}

void log_read_end(struct log_read *read) {
    db_abort(&read->txn);
}

struct defs_read {
    struct block_reader *reader;
    enum err (*visit)(void *context, const struct series_def *def, u64 last_id);
    void *context;
    u64 to;
    u32 count;
    enum err err;
};

static bool read_copy(void *context, struct slice key, struct slice copy) {
    struct defs_read *read = context;
    struct block_view view;
    const char *what;
    u64 first_id;
    u32 rows;
    bool good = key_read(key, &first_id, &rows);
    if (good && first_id >= read->to) {
        return false;
    }
    good = good && block_view_defs(&view, copy) == ERR_OK && view.header.first_id == first_id;
    read->err = good ? block_read_defs(read->reader, &view, read->visit, read->context, &what)
                     : ERR_CORRUPT;
    read->count += read->err == ERR_OK ? view.header.def_count : 0;
    return read->err == ERR_OK;
}

enum err log_read_defs(struct log *log, u64 from, u64 to, struct block_reader *reader,
                       enum err (*visit)(void *context, const struct series_def *def, u64 last_id),
                       void *context, u32 *count) {
    u8 key[KEY_BYTES];
    struct db_txn txn;
    struct defs_read read = {.reader = reader, .visit = visit, .context = context, .to = to};
    enum err err = db_begin(log->db, false, &txn);
    if (err == ERR_OK) {
        err = db_each(&txn, TABLE_DEFS, key_make(key, from, 0), read_copy, &read);
        db_abort(&txn);
    }
    *count = read.count;
    return err == ERR_OK ? read.err : err;
}
