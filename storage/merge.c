/*
 * merge.c: see merge.h. A segment is exactly the events, definitions and outer chain ends of the
 * blocks it replaces. Without series_dims (tools, tests of the log) segments have no index.
 *
 * Of a segment most of whose events are expired the same is made without what these were. Ids are
 * places in a block, so their rows stay, and cost next to nothing: they have no field, and in what
 * every row has they repeat a neighbour.
 *
 * Frames are taken over as they are coded: of those, only what the index looks at is decoded.
 * Frames of few rows are decoded and joined: each costs readers, and bytes in the directory.
 */
#include "storage/merge.h"

#include "base/fault.h"
#include "base/log.h"
#include "storage/index.h"

#include <stdlib.h>

#define COPIED_ROWS_MIN (FRAME_ROWS_MAX / 4) /* reading costs a sixth more than of full frames */
#define THIN_ROWS_MIN 1024                   /* fewer are not worth writing a segment again */
#define THIN_LOOKS 16                        /* segments looked at in one call: some milliseconds */

struct merge {
    struct log *log;
    scan_series_dims series_dims;
    void *context;
    struct block_builder *builder;
    struct block_reader *reader;
    struct index_builder *index;
    struct event_batch *batch;
    struct text_sink texts;
    u32 accounts[EVENT_BATCH_MAX];
    u32 rows[EVENT_BATCH_MAX]; /* 0, 1, 2... */
    struct log_run run;
    u64 full_next_id; /* the log's end when a merge found no space; 0: it did not */
    i64 blank_before; /* events from before are left out; 0: none are */
    i64 thin_before;  /* segments were looked at for this expiry, */
    u64 thin_id;      /* those before this id */
};

enum err merge_create(struct log *log, scan_series_dims series_dims, void *context,
                      struct merge **out) {
    struct merge *merge = calloc(1, sizeof *merge);
    if (merge == NULL) {
        return ERR_NO_MEMORY;
    }
    merge->log = log;
    merge->series_dims = series_dims;
    merge->context = context;
    for (u32 i = 0; i < EVENT_BATCH_MAX; i++) {
        merge->rows[i] = i;
    }
    merge->batch = calloc(1, sizeof *merge->batch);
    enum err err = merge->batch != NULL ? ERR_OK : ERR_NO_MEMORY;
    if (err == ERR_OK) {
        err = block_builder_create(TEXT_SMALL, &merge->builder);
    }
    if (err == ERR_OK) {
        err = block_reader_create(&merge->reader);
    }
    if (err == ERR_OK) {
        err = text_sink_reserve(&merge->texts, 0);
    }
    if (err == ERR_OK && series_dims != NULL) {
        err = index_builder_create(&merge->index);
    }
    if (err != ERR_OK) {
        merge_destroy(merge);
        return err;
    }
    *out = merge;
    return ERR_OK;
}

void merge_destroy(struct merge *merge) {
    if (merge != NULL) {
        block_builder_destroy(merge->builder);
        block_reader_destroy(merge->reader);
        index_builder_destroy(merge->index);
        text_sink_free(&merge->texts);
        free(merge->batch);
        free(merge);
    }
}

static bool wants_index(const struct merge *merge) {
    return merge->index != NULL && merge->run.kind == BLOCK_SEGMENT;
}

/* --- one block of the run ----------------------------------------------------------------------
 */

static void index_rows(struct merge *merge) {
    const struct event_batch *batch = merge->batch;
    index_add_rows(merge->index, merge->series_dims, merge->context, batch->series, batch->count);
    for (u32 i = 0; i < batch->count; i++) {
        u32 row = (u32)(batch->id[i] - merge->run.first_id);
        if (event_has_text(batch, i, TEXT_TRACE)) {
            index_add_text(merge->index, INDEX_TRACE, event_text_of(batch, i, TEXT_TRACE), row);
        }
        if (event_has_text(batch, i, TEXT_AGENT)) {
            index_add_text(merge->index, INDEX_AGENT, event_text_of(batch, i, TEXT_AGENT), row);
        }
    }
}

/* Adds the decoded rows, account by account. */
static enum err add_rows(struct merge *merge) {
    struct event_batch *batch = merge->batch;
    enum err err = ERR_OK;
    for (u32 from = 0, to; from < batch->count && err == ERR_OK; from = to) {
        to = from + 1;
        while (to < batch->count && merge->accounts[to] == merge->accounts[from]) {
            to++;
        }
        batch->account = merge->accounts[from];
        err = block_add(merge->builder, batch, merge->rows + from, to - from);
    }
    return err == ERR_OK ? block_keep(merge->builder) : err;
}

static enum err add_def(void *context, const struct series_def *def, u64 last_id) {
    struct merge *merge = context;
    return block_add_def(merge->builder, def, last_id);
}

/* A row that says nothing, as far from its neighbour as nothing. */
static void blank_row(struct merge *merge, u32 row, u32 like) {
    struct event_batch *batch = merge->batch;
    batch->present[row] = 0;
    batch->digest[row] = 0;
    batch->series[row] = batch->series[like];
    batch->created[row] = batch->created[like];
    batch->cost_source[row] = batch->cost_source[like];
    batch->revenue_source[row] = batch->revenue_source[like];
    batch->source[row] = batch->source[like];
    batch->granularity[row] = batch->granularity[like];
    batch->flags[row] = batch->flags[like];
    merge->accounts[row] = merge->accounts[like];
}

static bool is_kept(const struct merge *merge, u32 row) {
    const struct event_batch *batch = merge->batch;
    return batch->present[row] != 0 && batch->number[NUM_TIME][row] >= merge->blank_before;
}

static void blank_rows(struct merge *merge) {
    u32 like = 0;
    while (like < merge->batch->count && !is_kept(merge, like)) {
        like++;
    }
    like = like < merge->batch->count ? like : 0;
    for (u32 row = 0; row < merge->batch->count; row++) {
        if (is_kept(merge, row)) {
            like = row;
        } else {
            blank_row(merge, row, like);
        }
    }
}

static enum err read_frame(struct merge *merge, const struct block_view *view, u32 frame,
                           u32 columns, const char **what) {
    struct event_batch *batch = merge->batch;
    merge->texts.bytes = 0;
    enum err err = block_read_frame(merge->reader, view, frame, columns, batch, merge->accounts, 0,
                                    &merge->texts, what);
    batch->count = block_frame_rows(view, frame);
    batch->text = merge->texts.data;
    batch->text_bytes = (u32)merge->texts.bytes;
    if (err == ERR_OK && merge->blank_before > 0 && (columns & NUM_BIT(NUM_TIME)) != 0) {
        blank_rows(merge);
    }
    if (err == ERR_OK && wants_index(merge)) {
        index_rows(merge);
    }
    return err;
}

static enum err join_frame(struct merge *merge, const struct block_view *view, u32 frame,
                           const char **what) {
    u32 all = READ_FIRST | READ_REST;
    for (u32 number = 0; number < NUM_COUNT; number++) {
        all |= NUM_BIT(number);
    }
    for (u32 text = SERIES_TEXTS; text < TEXT_COUNT; text++) {
        all |= TEXT_BIT(text);
    }
    enum err err = read_frame(merge, view, frame, all, what);
    return err == ERR_OK ? add_rows(merge) : err;
}

/* Text columns of a frame as committed that deserve more effort than a commit has time for. */
static u32 recoded_texts(const struct block_view *view, u32 frame) {
    u32 recoded = 0;
    for (u32 text = SERIES_TEXTS; text < TEXT_COUNT && view->header.kind == BLOCK_GROUP; text++) {
        struct slice section = block_section_of(view, frame, COL_TEXT + text - SERIES_TEXTS);
        bool smaller = text_may_shrink((const u8 *)section.data, section.bytes);
        recoded |= smaller ? TEXT_BIT(text) : 0;
    }
    return recoded;
}

static enum err copy_frame(struct merge *merge, const struct block_view *view, u32 frame,
                           const char **what) {
    u32 recoded = recoded_texts(view, frame);
    u32 indexed = wants_index(merge) ? TEXT_BIT(TEXT_TRACE) | TEXT_BIT(TEXT_AGENT) : 0;
    enum err err = ERR_OK;
    if ((recoded | indexed) != 0) {
        err = read_frame(merge, view, frame, READ_FIRST | recoded | indexed, what);
    }
    if (err == ERR_OK) {
        *what = "section checksum";
        err = block_add_frame(merge->builder, view, frame, recoded, merge->batch);
    }
    return err;
}

static enum err add_frames(struct merge *merge, const struct block_view *view, const char **what) {
    enum err err = ERR_OK;
    for (u32 frame = 0; frame < view->header.frame_count && err == ERR_OK; frame++) {
        u32 rows = block_frame_rows(view, frame);
        u32 waiting = block_rows_waiting(merge->builder);
        bool fits = waiting > 0 && waiting + rows <= FRAME_ROWS_MAX;
        bool blanks = block_frame_at(view, frame).time_min < merge->blank_before;
        err = rows >= COPIED_ROWS_MIN && !fits && !blanks ? copy_frame(merge, view, frame, what)
                                                          : join_frame(merge, view, frame, what);
    }
    return err;
}

/* Sets *next_id behind the block, and the run's chain at its first block. */
static enum err add_block(struct merge *merge, u64 *next_id) {
    struct log_read read;
    struct block_view view;
    const char *what = "missing";
    u64 id = *next_id;
    enum err err = log_read_begin(merge->log, id, &read);
    if (err == ERR_OK) {
        err = block_view_open(&view, read.block.data, read.block.bytes, &what);
        if (err == ERR_OK && (view.header.first_id != id || view.header.count != read.count)) {
            what = "block under a wrong key";
            err = ERR_CORRUPT;
        }
        if (err == ERR_OK) {
            view.series_end = log_series_end(merge->log, id + read.count);
            if (id == merge->run.first_id) {
                merge->run.previous = view.header.previous;
            }
            *next_id = id + read.count;
            err = block_read_defs(merge->reader, &view, add_def, merge, &what);
        }
        if (err == ERR_OK && merge->run.kind == BLOCK_DROPPED) {
            block_add_dropped(merge->builder, &view.header);
        } else if (err == ERR_OK) {
            err = add_frames(merge, &view, &what);
        }
        log_read_end(&read);
    }
    if (err == ERR_CORRUPT || err == ERR_NOT_FOUND) {
        log_warn("block_damaged", "first_id=%llu what=\"%s\"", (unsigned long long)id, what);
        log_note_damage(merge->log, id);
        err = ERR_CORRUPT;
    }
    return err;
}

/* --- a run --------------------------------------------------------------------------------------
 */

/* Puts one block in the place of the run's. */
static enum err replace_run(struct merge *merge, bool *did) {
    struct slice block;
    struct slice index = {NULL, 0};
    struct block_header header;
    fault_point("merge.picked");
    block_begin(merge->builder, merge->run.kind, merge->run.first_id);
    if (wants_index(merge)) {
        index_begin(merge->index);
    }
    enum err err = ERR_OK;
    for (u64 id = merge->run.first_id; id < merge->run.end_id && err == ERR_OK;) {
        err = add_block(merge, &id);
    }
    if (err == ERR_CORRUPT) {
        block_shrink(merge->builder);
        *did = true; /* the next run goes round it */
        return ERR_OK;
    }
    if (err == ERR_OK) {
        fault_point("merge.read");
        err = block_finish(merge->builder, merge->run.previous, merge->run.chain, &block, &header);
    }
    if (err == ERR_OK && wants_index(merge)) {
        err = index_finish(merge->index, &index);
    }
    if (err == ERR_OK) {
        fault_point_if(index.bytes == 0, "merge.built");
        fault_point_if(index.bytes > 0, "merge.segment-built");
        err = log_replace(merge->log, &merge->run, block, &header, index);
        fault_point("merge.replaced");
    }
    block_shrink(merge->builder);
    *did = err == ERR_OK;
    return err;
}

enum err merge_step(struct merge *merge, bool *did) {
    *did = false;
    /* Without space a merge is tried again only once appends have shown that there is some. */
    u64 next_id = log_next_id(merge->log);
    if (next_id == merge->full_next_id || !log_pick_run(merge->log, &merge->run)) {
        return ERR_OK;
    }
    enum err err = replace_run(merge, did);
    merge->full_next_id = err == ERR_NO_SPACE ? next_id : 0;
    return err;
}

enum err merge_drop(struct merge *merge, bool *did) {
    *did = false;
    return log_pick_expired(merge->log, &merge->run) ? replace_run(merge, did) : ERR_OK;
}

/* --- thinning -----------------------------------------------------------------------------------
 */

struct thinness {
    u64 kept;
    u64 expired; /* but for those taken out already */
};

static enum err count_frames(struct merge *merge, const struct block_view *view,
                             struct thinness *out, const char **what) {
    enum err err = ERR_OK;
    for (u32 frame = 0; frame < view->header.frame_count && err == ERR_OK; frame++) {
        u32 rows = block_frame_rows(view, frame);
        merge->texts.bytes = 0;
        err = block_read_frame(merge->reader, view, frame, READ_FIRST | NUM_BIT(NUM_TIME),
                               merge->batch, merge->accounts, 0, &merge->texts, what);
        for (u32 row = 0; row < rows && err == ERR_OK; row++) {
            bool there = merge->batch->present[row] != 0;
            bool kept = merge->batch->number[NUM_TIME][row] >= merge->thin_before;
            out->kept += there && kept;
            out->expired += there && !kept;
        }
    }
    return err;
}

static enum err count_block(struct merge *merge, u64 id, struct thinness *out) {
    struct log_read read;
    struct block_view view;
    const char *what = "missing";
    *out = (struct thinness){0};
    enum err err = log_read_begin(merge->log, id, &read);
    if (err != ERR_OK) {
        return err;
    }
    err = block_view_open(&view, read.block.data, read.block.bytes, &what);
    if (err == ERR_OK) {
        view.series_end = log_series_end(merge->log, read.first_id + read.count);
        err = count_frames(merge, &view, out, &what);
    }
    log_read_end(&read);
    if (err == ERR_CORRUPT) {
        log_warn("block_damaged", "first_id=%llu what=\"%s\"", (unsigned long long)id, what);
        log_note_damage(merge->log, id);
    }
    return err;
}

/* Each time a segment is written again it has half as many events at most, so that none is written
 * often, and what is expired is never much more than what is not. Without space: as for merges. */
enum err merge_thin(struct merge *merge, bool *did) {
    i64 before;
    u64 next_id = log_next_id(merge->log);
    *did = false;
    if (next_id == merge->full_next_id) {
        return ERR_OK;
    }
    for (u32 looks = 0; looks < THIN_LOOKS; looks++) {
        bool found = log_pick_mixed(merge->log, merge->thin_id, &merge->run, &before);
        if (!found && before == merge->thin_before) {
            merge->thin_id = UINT64_MAX; /* what is merged from now on waits for the next one */
            return ERR_OK;
        }
        if (before != merge->thin_before) { /* another expiry: from the first one on */
            merge->thin_before = before;
            merge->thin_id = 1;
            continue;
        }
        struct thinness rows;
        enum err err = count_block(merge, merge->run.first_id, &rows);
        merge->thin_id = merge->run.end_id;
        if (err == ERR_NO_MEMORY) {
            return err;
        }
        if (err == ERR_OK && rows.expired >= THIN_ROWS_MIN && rows.expired >= rows.kept) {
            merge->blank_before = before;
            err = replace_run(merge, did);
            merge->blank_before = 0;
            if (err == ERR_NO_SPACE) {
                merge->thin_id = merge->run.first_id;
                merge->full_next_id = next_id;
            }
            return err;
        }
    }
    return ERR_OK;
}
