/*
 * log.c: see log.h. The directory is an array sorted by id (64 bytes a block), rebuilt at open from
 * keys and headers alone: one page a block is touched.
 */
#include "storage/log.h"

#include "base/log.h"
#include "storage/log_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STRAYS_MAX 64  /* indexes without a block that are told of */
#define REPAIRS_MAX 64 /* wrong keys put right at a start */

/* --- directory -------------------------------------------------------------------------------- */

bool log_entries_reserve(struct log *log, usize more) {
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

struct log_entry log_entry_of(const struct block_header *header) {
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
    bool is_wrong; /* a key was found that cannot be: */
    u64 wrong_place;
    u64 wrong_id; /* what its block's header says, or those around it leave for it */
    u32 wrong_count;
    bool is_lost; /* the last pair has neither a key nor a header that says whose events it has: */
    u64 lost_place;
    u64 unsure_id; /* the last block's, if all that says how many events it has is its key; or 0 */
};

static bool load_entry(struct load *load, struct log_entry entry) {
    if (!log_entries_reserve(load->log, 1)) {
        load->err = ERR_NO_MEMORY;
        return false;
    }
    load->log->entries[load->log->count++] = entry;
    load->log->damaged += entry.damaged;
    load->next_id = entry.first_id + entry.count;
    return true;
}

static void note_wrong(struct load *load, u64 place, u64 first_id, u32 count) {
    load->is_wrong = true;
    load->wrong_place = place;
    load->wrong_id = first_id;
    load->wrong_count = count;
    load->log->disordered = true;
}

/* Ids that no block holds are a damaged block, too: readers report them. A pair that did not say
 * which are its own had these. */
static bool load_gap(struct load *load, u64 until) {
    u64 count = until - load->next_id;
    if (count > 0 && load->is_lost && count <= SEGMENT_ROWS_MAX) {
        note_wrong(load, load->lost_place, load->next_id, (u32)count);
    }
    load->is_lost = false;
    return count == 0 ||
           load_entry(load, entry_damaged(load->next_id, count, (struct slice){NULL, 0}));
}

/* A sound block begins within what a damaged one was thought to have: that has less, or nothing. */
static void take_back(struct load *load, u64 first_id) {
    struct log *log = load->log;
    while (load->next_id > first_id && log->count > 0 && log->entries[log->count - 1].damaged) {
        struct log_entry *last = &log->entries[log->count - 1];
        load->next_id = MAX(first_id, last->first_id);
        last->count = load->next_id - last->first_id;
        log->count -= last->count == 0;
        log->disordered = true;
    }
}

/* A block whose ids are known to be others', or not known at all: it stays where it is. */
static bool pass_over(struct load *load, u64 first_id, u32 count) {
    log_warn("block_out_of_order", "first_id=%llu count=%u expected_id=%llu",
             (unsigned long long)first_id, count, (unsigned long long)load->next_id);
    load->log->damaged++;
    load->log->disordered = true;
    return true;
}

/* A header whose checksum is wrong, and which still says the same as the key. */
static bool header_agrees(struct slice value, u64 first_id, u32 count) {
    struct block_header header;
    if (value.bytes < sizeof header) {
        return false;
    }
    memcpy(&header, value.data, sizeof header);
    return header.first_id == first_id && header.count == count;
}

/* Of a key and a sound header that contradict each other, the one that goes on where the block
 * before it ends is right, else the header, which has a checksum. */
static bool load_block(void *context, struct slice key, struct slice value) {
    struct load *load = context;
    u64 first_id = 0;
    u32 count = 0;
    u64 place = load->place++;
    struct block_header header;
    bool keyed = key_read(key, &first_id, &count) && count <= SEGMENT_ROWS_MAX;
    enum err err = block_read_header(value.data, value.bytes, &header);
    if (err == ERR_VERSION) {
        load->err = err;
        return false;
    }
    bool sound = err == ERR_OK;
    bool good = sound && header.first_id == first_id && header.count == count;
    load->unsure_id = 0;
    if (sound) {
        take_back(load, header.first_id);
    }
    bool by_key = keyed && first_id == load->next_id;
    if (sound && !good && header.first_id >= load->next_id &&
        (!by_key || header.first_id == load->next_id)) {
        note_wrong(load, place, header.first_id, header.count);
        first_id = header.first_id;
        count = header.count;
    } else if (good ? first_id < load->next_id : !by_key) {
        load->is_lost = !sound;
        load->lost_place = place;
        return pass_over(load, first_id, count);
    }
    load->unsure_id = sound || header_agrees(value, first_id, count) ? 0 : first_id;
    return load_gap(load, first_id) &&
           load_entry(load, good ? log_entry_of(&header) : entry_damaged(first_id, count, value));
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

/* In a transaction that the caller ends, also on error. */
static enum err directory_read(struct log *log, struct db_txn *txn, struct load *load) {
    *load = (struct load){.log = log, .next_id = 1};
    log->disordered = false;
    log->count = 0;
    log->small_from = 0;
    log->damaged = 0;
    enum err err = db_begin(log->db, false, txn);
    if (err != ERR_OK) {
        return err;
    }
    log->version = db_txn_version(txn);
    err = db_each(txn, TABLE_BLOCKS, (struct slice){NULL, 0}, load_block, load);
    log->lost_from = load->is_lost ? load->next_id : load->unsure_id;
    atomic_store_explicit(&log->next_id, load->next_id, memory_order_release);
    return err != ERR_OK ? err : load->err;
}

/* Likewise: the amendments are read in the same one, for none may be about later events. */
static enum err directory_load(struct log *log, bool repair, struct db_txn *txn) {
    struct load load;
    bool repaired = repair;
    enum err err = directory_read(log, txn, &load);
    for (u32 i = 0; i < REPAIRS_MAX && repaired && err == ERR_OK && load.is_wrong; i++) {
        db_abort(txn);
        repaired = key_repair(log, &load) == ERR_OK;
        err = directory_read(log, txn, &load);
    }
    return err == ERR_OK ? series_end_load(log) : err;
}

/* While nobody reads yet, `why` is given. */
static enum err amendments_load(struct log *log, struct db_txn *txn, bool alone, char *why,
                                usize why_bytes) {
    return amend_table_load(txn, TABLE_AMENDMENTS, &log->amends, log_next_id(log), alone, why,
                            why_bytes);
}

/* A log whose amendments are not known says what is not so: a server does not start on it. Whoever
 * only reads sees what there is, so that it can be verified. */
static enum err amendments_open(struct log *log, const struct log_options *options,
                                struct db_txn *txn, char *why, usize why_bytes) {
    char what[256] = "";
    enum err err = amendments_load(log, txn, true, what, sizeof what);
    if (err != ERR_OK) {
        snprintf(why, why_bytes, "the log in %s: %s", options->dir, what);
    }
    if (options->read_only && (err == ERR_CORRUPT || err == ERR_VERSION)) {
        log_error("amendment_damaged", "dir=\"%s\" what=\"%s\"", options->dir, what);
        log->amends_broken = true;
        err = ERR_OK;
    }
    return err;
}

enum err log_db_open(const struct log_options *options, struct db **out, char *why,
                     usize why_bytes) {
    static const char *const tables[TABLES] = {"blocks", "index", "definitions", "amendments"};
    const struct db_options db_options = {
        .dir = options->dir,
        .name = "log",
        .map_bytes = options->map_bytes,
        .tables = tables,
        .table_count = TABLES,
        .optional = 1u << TABLE_AMENDMENTS, /* older logs have none yet */
        .create = !options->read_only,
        .read_only = options->read_only,
        .skip_sync = options->skip_sync,
        .any_order = true,
    };
    return db_open(&db_options, out, why, why_bytes);
}

enum err log_open(const struct log_options *options, struct log **out, char *why, usize why_bytes) {
    struct db_txn txn = {0};
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
    check(pthread_cond_init(&log->shown, NULL) == 0);
    pthread_condattr_destroy(&attr);
    atomic_init(&log->next_id, 1);
    enum err err = log_db_open(options, &log->db, why, why_bytes);
    if (err == ERR_OK) {
        err = directory_load(log, !options->read_only, &txn);
        if (err != ERR_OK) {
            const char *hint = err == ERR_VERSION ? ": written by another version" : "";
            snprintf(why, why_bytes, "cannot read the log in %s: %s%s", options->dir, err_text(err),
                     hint);
        }
    }
    if (err == ERR_OK && log->lost_from > 0 && !options->read_only) {
        err = ERR_CORRUPT;
        snprintf(
            why, why_bytes,
            "the log in %s: its last block, behind event %llu, has lost its header, and its key "
            "does not say the same: how many events it has is not known; restore a backup",
            options->dir, (unsigned long long)log->lost_from - 1);
    }
    if (err == ERR_OK) {
        err = amendments_open(log, options, &txn, why, why_bytes);
    }
    db_abort(&txn);
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
        pthread_cond_destroy(&log->shown);
        amend_plan_drop(&log->hidden.plan);
        pthread_mutex_destroy(&log->write);
        pthread_mutex_destroy(&log->directory);
        overlay_free(log->amends.overlay);
        free(log->amends.account);
        free(log->entries);
        free(log);
    }
}

u64 log_next_id(const struct log *log) {
    return atomic_load_explicit(&log->next_id, memory_order_acquire);
}

u32 log_series_end(const struct log *log, u64 end_id) {
    bool known = end_id <= log_next_id(log);
    u32 end = atomic_load_explicit(&log->series_end, memory_order_acquire);
    return known && end > 0 ? end : SERIES_MAX;
}

u64 log_lost_from(const struct log *log) {
    return log->lost_from;
}

u64 log_chain(struct log *log) {
    pthread_mutex_lock(&log->directory);
    u64 chain = log->count > 0 ? log->entries[log->count - 1].chain : 0;
    pthread_mutex_unlock(&log->directory);
    return chain;
}

usize log_entry_index(const struct log *log, u64 id) {
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
    *out = log->entries[log_entry_index(log, id)];
    pthread_mutex_unlock(&log->directory);
    check(id >= out->first_id && id - out->first_id < out->count);
    return true;
}

usize log_spans(struct log *log, const struct store_filter *filter, struct log_span *out,
                usize room) {
    usize count = 0;
    u64 id_from = MAX(filter->id_from, (u64)1);
    pthread_mutex_lock(&log->directory);
    usize at =
        log->count > 0 && id_from < log_next_id(log) ? log_entry_index(log, id_from) : log->count;
    for (; at < log->count && log->entries[at].first_id < filter->id_to; at++) {
        const struct log_entry *entry = &log->entries[at];
        if (entry->time_max < filter->time_from || entry->time_min >= filter->time_to) {
            continue;
        }
        if (count < room) {
            out[count] = (struct log_span){MAX(entry->first_id, id_from),
                                           MIN(entry->first_id + entry->count, filter->id_to),
                                           entry->time_min, entry->time_max};
        }
        count++;
    }
    pthread_mutex_unlock(&log->directory);
    return count;
}

void log_note_damage(struct log *log, u64 id) {
    pthread_mutex_lock(&log->directory);
    struct log_entry *entry = &log->entries[log_entry_index(log, id)];
    log->damaged += !entry->frozen;
    entry->frozen = true;
    pthread_mutex_unlock(&log->directory);
}

enum err log_refresh(struct log *log) {
    pthread_mutex_lock(&log->directory);
    char why[256];
    struct db_txn txn = {0};
    bool changed = log->version != db_version(log->db);
    enum err err = changed ? directory_load(log, false, &txn) : ERR_OK;
    if (err == ERR_OK && changed && !log->amends_broken) {
        err = amendments_load(log, &txn, false, why, sizeof why);
    }
    db_abort(&txn);
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
    db_readers(log->db, &out->readers, &out->reader_lag);
    out->readers_most = DB_READERS_MAX;
    pthread_mutex_lock(&log->directory);
    for (usize i = 0; i < log->count; i++) {
        out->payload_bytes += log->entries[i].bytes;
        out->segments += log->entries[i].kind == BLOCK_SEGMENT;
        out->dropped += log->entries[i].kind == BLOCK_DROPPED ? log->entries[i].count : 0;
    }
    out->events = log_next_id(log) - 1;
    out->blocks = log->count;
    out->damaged_blocks = log->damaged;
    out->amendments = log->amends.count;
    out->append_count = log->append_count;
    out->sync_ns = log->sync_ns;
    pthread_mutex_unlock(&log->directory);
}

/* --- reading ---------------------------------------------------------------------------------- */

struct overlay *log_view_take(struct log *log, u64 *end_id) {
    pthread_mutex_lock(&log->directory);
    struct overlay *overlay = log->amends.overlay;
    if (overlay != NULL) {
        overlay->references++;
    }
    *end_id = log_next_id(log);
    pthread_mutex_unlock(&log->directory);
    return overlay;
}

void log_view_renew(struct log *log, const struct overlay *overlay, u64 *end_id) {
    pthread_mutex_lock(&log->directory);
    *end_id = log->amends.overlay == overlay ? log_next_id(log) : *end_id;
    pthread_mutex_unlock(&log->directory);
}

void log_view_leave(struct log *log, struct overlay *overlay) {
    pthread_mutex_lock(&log->directory);
    overlay_leave(overlay);
    pthread_mutex_unlock(&log->directory);
}

u64 log_amendments(struct log *log) {
    pthread_mutex_lock(&log->directory);
    u64 count = log->amends.count;
    pthread_mutex_unlock(&log->directory);
    return count;
}

struct amend_account log_amend_account(struct log *log, u32 account) {
    pthread_mutex_lock(&log->directory);
    const struct amend_account *known = log->amends.account;
    struct amend_account out =
        known != NULL && account < ACCOUNTS_MAX ? known[account] : (struct amend_account){0};
    pthread_mutex_unlock(&log->directory);
    return out;
}

struct strays {
    struct log *log;
    u32 count;
    u8 key[STRAYS_MAX][KEY_BYTES];
};

static bool has_block(struct log *log, struct slice key) {
    u64 first_id;
    u32 count;
    struct log_entry entry;
    return key_read(key, &first_id, &count) && log_find(log, first_id, &entry) &&
           entry.first_id == first_id && entry.count == count;
}

static bool note_stray(void *context, struct slice key, struct slice index) {
    struct strays *strays = context;
    (void)index;
    if (!has_block(strays->log, key) && strays->count < STRAYS_MAX) {
        memset(strays->key[strays->count], 0, KEY_BYTES);
        memcpy(strays->key[strays->count++], key.data, MIN(key.bytes, (usize)KEY_BYTES));
    }
    return true;
}

/* What was merged while we looked is looked at again. */
enum err log_verify_indexes(struct log *log,
                            void (*report)(void *context, u64 from, u64 to, const char *what),
                            void *context) {
    struct db_txn txn;
    struct strays strays = {.log = log};
    enum err err = db_begin(log->db, false, &txn);
    if (err != ERR_OK) {
        return err;
    }
    err = db_each(&txn, TABLE_INDEX, (struct slice){NULL, 0}, note_stray, &strays);
    db_abort(&txn);
    if (err != ERR_OK || strays.count == 0) {
        return err;
    }
    err = log_refresh(log);
    err = err == ERR_OK ? db_begin(log->db, false, &txn) : err;
    for (u32 i = 0; i < strays.count && err == ERR_OK; i++) {
        struct slice key = {(const char *)strays.key[i], KEY_BYTES};
        struct slice index;
        u64 first_id = 0;
        u32 count = 0;
        enum err found = db_get(&txn, TABLE_INDEX, key, &index);
        if ((found == ERR_OK || !key_read(key, &first_id, &count)) && !has_block(log, key)) {
            report(context, first_id, first_id + MAX(count, 1u),
                   "index of no block (events are not affected)");
        }
    }
    db_abort(&txn);
    return err;
}

enum err log_verify_amendments(struct log *log,
                               void (*report)(void *context, u64 from, u64 to, const char *what),
                               void *context) {
    struct db_txn txn;
    enum err err = db_begin(log->db, false, &txn);
    err = err == ERR_OK ? log_refresh(log) : err; /* no amendment is of a later moment */
    if (err == ERR_OK) {
        err = amend_table_verify(&txn, TABLE_AMENDMENTS, log_next_id(log), report, context);
    }
    db_abort(&txn);
    return err;
}

enum err log_each_amendment(struct log *log,
                            bool (*visit)(void *context, const struct amend_header *header),
                            void *context) {
    return amend_table_each(log->db, TABLE_AMENDMENTS, visit, context);
}

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
    good = good && block_view_defs(&view, copy) == ERR_OK && view.header.first_id == first_id &&
           view.header.count == rows;
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
