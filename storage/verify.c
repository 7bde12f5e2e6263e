/*
 * verify.c: see verify.h. The chain value after a damaged block is not known, so the block behind
 * it is not blamed.
 */
#include "storage/verify.h"

#include "storage/index.h"
#include "storage/snapshot.h"
#include "storage/table.h"

#include <stdio.h>
#include <stdlib.h>

struct verify {
    struct log *log;
    void (*report)(void *, const struct store_damage *);
    void *context;
    struct block_reader *reader;
    struct event_batch *batch;
    struct text_sink texts;
    u32 accounts[FRAME_ROWS_MAX];
    u64 chain;
    bool chain_known;
};

static void damage(struct verify *verify, u64 id_from, u64 id_to, const char *what) {
    struct store_damage found = {.id_from = id_from, .id_to = id_to};
    snprintf(found.what, sizeof found.what, "%s", what);
    log_note_damage(verify->log, id_from);
    if (verify->report != NULL) {
        verify->report(verify->context, &found);
    }
}

static enum err accept_def(void *context, const struct series_def *def, u64 last_id) {
    (void)context;
    (void)def;
    (void)last_id;
    return ERR_OK;
}

static enum err verify_frames(struct verify *verify, const struct block_view *view) {
    for (u32 frame = 0; frame < view->header.frame_count; frame++) {
        u32 all = UINT32_MAX;
        const char *what = "";
        verify->texts.bytes = 0;
        enum err err = block_read_frame(verify->reader, view, frame, all, verify->batch,
                                        verify->accounts, 0, &verify->texts, &what);
        if (err == ERR_CORRUPT) {
            u64 from = view->header.first_id + block_frame_at(view, frame).first_row;
            damage(verify, from, from + block_frame_rows(view, frame), what);
        } else if (err != ERR_OK) {
            return err;
        }
    }
    return ERR_OK;
}

/* The block that has the event by now, if it is another one: a server merges blocks meanwhile. */
static bool merged_since(struct verify *verify, struct block_header *header) {
    struct log_read read;
    struct block_view view;
    const char *what;
    bool other = false;
    if (log_read_begin(verify->log, header->first_id, &read) == ERR_OK) {
        other = (read.first_id != header->first_id || read.count != header->count) &&
                block_view_open(&view, read.block.data, read.block.bytes, &what) == ERR_OK;
        *header = other ? view.header : *header;
        log_read_end(&read);
    }
    return other;
}

/* The definitions' second copies: as many as the block has. */
static enum err verify_copies(struct verify *verify, struct block_header header) {
    u32 count;
    u64 end_id;
    enum err err;
    do {
        end_id = header.first_id + header.count;
        err = log_read_defs(verify->log, header.first_id, end_id, verify->reader, accept_def, NULL,
                            &count);
        if (err != ERR_CORRUPT && (err != ERR_OK || count == header.def_count)) {
            return err;
        }
    } while (merged_since(verify, &header));
    damage(verify, header.first_id, end_id, "second copy of definitions (events are not affected)");
    return ERR_OK;
}

static enum err verify_block(struct verify *verify, const struct log_read *read, u64 id) {
    struct block_view view;
    const char *what = "";
    u64 end_id = read->first_id + read->count;
    enum err err = block_view_open(&view, read->block.data, read->block.bytes, &what);
    if (err == ERR_OK &&
        (view.header.first_id != read->first_id || view.header.count != read->count)) {
        what = "block under a wrong key";
        err = ERR_CORRUPT;
    }
    if (err != ERR_OK) {
        damage(verify, read->first_id, end_id, what);
        verify->chain_known = false;
        return ERR_OK;
    }
    /* A block that was merged since begins before `id`: its `previous` is further back. */
    if (verify->chain_known && read->first_id == id && view.header.previous != verify->chain) {
        damage(verify, read->first_id, end_id, "chain: not the successor of the block before it");
    }
    view.series_end = log_series_end(verify->log, end_id);
    verify->chain = block_chain(&view.header);
    verify->chain_known = true;
    err = block_read_defs(verify->reader, &view, accept_def, NULL, &what);
    if (err == ERR_CORRUPT) {
        damage(verify, read->first_id, end_id, what);
        err = ERR_OK;
    }
    if (err == ERR_OK) {
        err = verify_copies(verify, view.header);
    }
    if (err == ERR_OK && read->index.bytes > 0 && index_verify(read->index) != ERR_OK) {
        damage(verify, read->first_id, end_id, "index checksum (events are not affected)");
    }
    return err == ERR_OK ? verify_frames(verify, &view) : err;
}

static enum err verify_all(struct verify *verify, void (*progress)(void *, u64, u64)) {
    u64 end = log_next_id(verify->log);
    struct log_entry entry;
    verify->chain_known = true;
    for (u64 id = 1; id < end && log_find(verify->log, id, &entry);) {
        struct log_read read;
        enum err err = log_read_begin(verify->log, id, &read);
        if (err == ERR_NOT_FOUND) {
            damage(verify, id, entry.first_id + entry.count, "events are missing");
            verify->chain_known = false;
            id = entry.first_id + entry.count;
            continue;
        }
        if (err != ERR_OK) {
            return err;
        }
        db_will_need(read.block);
        err = verify_block(verify, &read, id);
        id = read.first_id + read.count;
        log_read_end(&read);
        if (err != ERR_OK) {
            return err;
        }
        if (progress != NULL) {
            progress(verify->context, MIN(id, end) - 1, end - 1);
        }
    }
    return ERR_OK;
}

static void plain_damage(void *context, u64 id_from, u64 id_to, const char *what) {
    struct verify *verify = context;
    struct store_damage found = {.id_from = id_from, .id_to = id_to};
    snprintf(found.what, sizeof found.what, "%s", what);
    if (verify->report != NULL) {
        verify->report(verify->context, &found);
    }
}

enum err verify_log(struct log *log, void (*report)(void *, const struct store_damage *),
                    void (*progress)(void *, u64, u64), void *context) {
    struct verify verify = {.log = log, .report = report, .context = context};
    verify.batch = calloc(1, sizeof *verify.batch);
    enum err err = verify.batch != NULL ? block_reader_create(&verify.reader) : ERR_NO_MEMORY;
    if (err == ERR_OK) {
        err = verify_all(&verify, progress);
    }
    u64 lost_from = log_lost_from(log);
    if (err == ERR_OK && lost_from > 0) {
        plain_damage(&verify, lost_from, MAX(log_next_id(log), lost_from + 1),
                     "the last block has lost its header, and its key does not say the same: there "
                     "may be more");
    }
    if (err == ERR_OK) {
        err = log_verify_indexes(log, plain_damage, &verify);
    }
    if (err == ERR_OK) {
        err = log_verify_amendments(log, plain_damage, &verify);
    }
    block_reader_destroy(verify.reader);
    text_sink_free(&verify.texts);
    free(verify.batch);
    return err;
}

void verify_beside(const char *dir, void (*report)(void *context, const char *what),
                   void *context) {
    char why[512];
    if (control_verify(dir, why, sizeof why) != ERR_OK) {
        report(context, why);
    }
    snapshot_files_verify(dir, report, context);
    run_files_verify(dir, report, context);
}
