/*
 * scan.c: see scan.h. A step of a scan finds the block that covers its position, skips it or its
 * frames by time and index, decodes what the filter looks at, and the wanted columns only where
 * some row of the frame matched. A read transaction lasts for one block's share of a step.
 *
 * The position is an id, never a block: a block that is merged away between two steps is found
 * inside its segment.
 */
#include "storage/scan.h"

#include "base/log.h"
#include "storage/index.h"
#include "storage/order.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TARGET_FIRST 64           /* rows after which the first answer of a picky scan is given */
#define STEP_TEXT_BYTES (8 * MIB) /* texts after which a step ends */

struct store_scan {
    struct log *log;
    scan_series_dims series_dims;
    void *context;
    struct store_scan_options options;
    char trace[EVENT_TRACE_MAX];
    char agent[EVENT_AGENT_MAX];
    struct index_term terms[INDEX_DIMS];
    u32 term_count;
    u32 filter_columns; /* what the filter looks at */
    u32 target;
    u64 next; /* ascending: the next id to look at; descending: all from here on are done */
    struct order order; /* by time: the blocks to come; the filter's ids are the present one's */
    struct order_place place; /* what comes behind is not wanted, if it is narrowed */
    bool narrowed;
    u32 id_at;               /* of options.ids: those before are passed */
    struct overlay *overlay; /* the amendments it goes by; NULL: none */
    u64 end_id;              /* of what it sees of the log */

    struct block_reader *reader;
    struct event_batch *batch;
    struct text_sink texts;
    u32 accounts[EVENT_BATCH_MAX];
    struct event_batch *part; /* rows of one account, where a step holds several */
    u32 given;                /* rows of the batch handed out through `part` */

    /* The current block's rows that may match; NULL: all. */
    struct index_rows *rows;
    u64 rows_first_id;
    u32 rows_count;

    struct series_def *defs;
    struct text_sink def_texts;
    u32 def_count;
    u32 def_capacity;
    bool defs_given;
    u64 defs_until; /* definitions of groups that end before this id are delivered */

    bool damaged; /* damage waits to be reported */
    struct store_damage damage;
    union {
        u32 u32s[FRAME_ROWS_MAX];
        u64 u64s[FRAME_ROWS_MAX];
        i64 i64s[FRAME_ROWS_MAX];
        u8 u8s[FRAME_ROWS_MAX];
        struct text_ref refs[FRAME_ROWS_MAX];
    } moved;
    u32 selected[FRAME_ROWS_MAX];
};

const struct store_filter store_filter_all = {
    .time_from = INT64_MIN, .time_to = INT64_MAX, .id_from = 0, .id_to = UINT64_MAX};

/* --- opening ---------------------------------------------------------------------------------- */

static void take_text(struct store_scan *scan, struct slice *text, char *copy, usize bytes_max,
                      u32 dim, u32 column) {
    if (text->bytes == 0) {
        return;
    }
    if (text->bytes > bytes_max) { /* no event has such a text */
        scan->options.filter.id_to = 0;
        *text = (struct slice){NULL, 0};
        return;
    }
    memcpy(copy, text->data, text->bytes);
    text->data = copy;
    scan->terms[scan->term_count++] = (struct index_term){dim, index_text_value(*text)};
    scan->filter_columns |= TEXT_BIT(column);
}

/* By time there is no block yet, and the first one is the next. */
static enum err take_order(struct store_scan *scan) {
    struct store_filter *filter = &scan->options.filter;
    filter->id_to = MIN(filter->id_to, scan->end_id);
    scan->filter_columns |= NUM_BIT(NUM_TIME);
    enum err err = order_make(&scan->order, scan->log, filter, scan->options.newest_first);
    scan->next = filter->id_from = filter->id_to = 1;
    return err;
}

/* Whether it reads some rows of a block rather than all of them. */
static bool is_picky(const struct store_scan *scan) {
    const struct store_scan_options *options = &scan->options;
    return options->filter.dim_mask != 0 || scan->term_count > 0 || options->newest_first ||
           options->by_time || options->ids != NULL;
}

static enum err take_options(struct store_scan *scan, const struct store_scan_options *options) {
    scan->options = *options;
    struct store_filter *filter = &scan->options.filter;
    if (filter->dim_mask >> STORE_DIMS != 0 || (filter->dim_mask != 0 && !scan->series_dims) ||
        (options->ids != NULL && (options->newest_first || options->by_time)) ||
        (options->bare && (filter->dim_mask >> DIM_ACCOUNT & 1) == 0)) {
        return ERR_INVALID;
    }
    for (u32 dim = 0; dim < STORE_DIMS; dim++) {
        /* Rows without a value are not in the index; the rows themselves tell. */
        if ((filter->dim_mask >> dim & 1) != 0 && filter->dim_value[dim] != DIM_NONE) {
            scan->terms[scan->term_count++] = (struct index_term){dim, filter->dim_value[dim]};
        }
    }
    scan->filter_columns = READ_FIRST;
    if (!options->as_received && scan->overlay != NULL && scan->overlay->expired_ms > 0) {
        filter->time_from = MAX(filter->time_from, scan->overlay->expired_ms);
    }
    if (filter->time_from != INT64_MIN || filter->time_to != INT64_MAX) {
        scan->filter_columns |= NUM_BIT(NUM_TIME);
    }
    take_text(scan, &filter->trace, scan->trace, sizeof scan->trace, INDEX_TRACE, TEXT_TRACE);
    take_text(scan, &filter->agent, scan->agent, sizeof scan->agent, INDEX_AGENT, TEXT_AGENT);
    scan->options.columns =
        (options->columns & ~(BLOCK_SERIES_TEXTS | READ_FIRST)) | NUM_BIT(NUM_TIME);
    scan->options.columns |= options->bare ? 0 : READ_REST;
    scan->target = is_picky(scan) ? TARGET_FIRST : EVENT_BATCH_MAX;
    filter->id_from = MAX(filter->id_from, (u64)1);
    scan->next = options->newest_first ? MIN(filter->id_to, scan->end_id) : filter->id_from;
    scan->defs_until = filter->id_from;
    return options->by_time ? take_order(scan) : ERR_OK;
}

enum err scan_open(struct log *log, scan_series_dims series_dims, void *context,
                   const struct store_scan_options *options, struct store_scan **out) {
    struct store_scan *scan = calloc(1, sizeof *scan);
    if (scan == NULL) {
        return ERR_NO_MEMORY;
    }
    scan->log = log;
    scan->series_dims = series_dims;
    scan->context = context;
    scan->overlay = log_view_take(log, &scan->end_id);
    enum err err = take_options(scan, options);
    if (err == ERR_OK) {
        scan->batch = calloc(1, sizeof *scan->batch);
        err = scan->batch != NULL ? block_reader_create(&scan->reader) : ERR_NO_MEMORY;
    }
    if (err == ERR_OK) {
        err = text_sink_reserve(&scan->texts, 0);
    }
    if (err != ERR_OK) {
        store_scan_close(scan);
        return err;
    }
    *out = scan;
    return ERR_OK;
}

void store_scan_close(struct store_scan *scan) {
    if (scan != NULL) {
        log_view_leave(scan->log, scan->overlay);
        block_reader_destroy(scan->reader);
        order_free(&scan->order);
        index_rows_free(scan->rows);
        text_sink_free(&scan->texts);
        text_sink_free(&scan->def_texts);
        free(scan->defs);
        free(scan->part);
        free(scan->batch);
        free(scan);
    }
}

/* --- rows of a frame -------------------------------------------------------------------------- */

static bool text_is(const struct event_batch *batch, const struct text_sink *texts, u32 row,
                    enum event_text column, struct slice wanted) {
    struct text_ref ref = batch->ref[column][row];
    return event_has_text(batch, row, column) && ref.bytes == wanted.bytes &&
           memcmp(texts->data + ref.offset, wanted.data, wanted.bytes) == 0;
}

static bool dims_match(const struct store_scan *scan, u32 series) {
    const struct store_filter *filter = &scan->options.filter;
    const u32 *dims = scan->series_dims(scan->context, series);
    u32 different = 0;
    for (u32 mask = filter->dim_mask; mask != 0; mask &= mask - 1) {
        u32 dim = (u32)__builtin_ctz(mask);
        different |= dims[dim] ^ filter->dim_value[dim];
    }
    return different == 0;
}

static u32 select_ids(struct store_scan *scan, u64 first_id, u32 rows) {
    const u64 *ids = scan->options.ids;
    u32 count = 0;
    for (u32 i = scan->id_at; i < scan->options.id_count && ids[i] < first_id + rows; i++) {
        scan->selected[count] = (u32)(ids[i] - first_id);
        count += ids[i] >= first_id;
    }
    return count;
}

/* Fills `selected` with the rows (relative to the frame) that the index and the bounds leave. */
static u32 select_bounded(struct store_scan *scan, u32 at, u32 first_row, u32 rows) {
    const struct store_filter *filter = &scan->options.filter;
    const struct event_batch *batch = scan->batch;
    u64 id_from = scan->options.newest_first ? filter->id_from : scan->next;
    u64 id_to = scan->options.newest_first ? scan->next : filter->id_to;
    bool timed = (scan->filter_columns & NUM_BIT(NUM_TIME)) != 0;
    u32 left = rows;
    if (scan->options.ids != NULL) {
        left = select_ids(scan, batch->id[at], rows);
    } else if (scan->rows != NULL) {
        left = index_rows_take(scan->rows, first_row, first_row + rows, scan->selected);
    } else {
        for (u32 i = 0; i < rows; i++) {
            scan->selected[i] = i;
        }
    }
    u32 count = 0;
    for (u32 i = 0; i < left; i++) {
        u32 row = at + scan->selected[i];
        scan->selected[count] = scan->selected[i];
        count += batch->id[row] >= id_from && batch->id[row] < id_to && batch->present[row] != 0 &&
                 (!timed || (batch->number[NUM_TIME][row] >= filter->time_from &&
                             batch->number[NUM_TIME][row] < filter->time_to));
    }
    return count;
}

static bool is_removed(const struct store_scan *scan, u32 row) {
    return !scan->options.as_received &&
           overlay_removes(scan->overlay, scan->batch->series[row], scan->batch->id[row]);
}

/* The rows that match and are due, ascending. */
static u32 select_rows(struct store_scan *scan, u32 at, u32 first_row, u32 rows) {
    const struct store_filter *filter = &scan->options.filter;
    const struct event_batch *batch = scan->batch;
    u32 count = select_bounded(scan, at, first_row, rows);
    u32 kept = 0;
    u32 last_series = SERIES_UNRESOLVED;
    bool last_matches = false;
    for (u32 i = 0; i < count; i++) {
        u32 row = at + scan->selected[i];
        if (is_removed(scan, row)) {
            continue;
        }
        if (filter->dim_mask != 0) {
            if (batch->series[row] != last_series) {
                last_series = batch->series[row];
                last_matches = dims_match(scan, last_series);
            }
            if (!last_matches) {
                continue;
            }
        }
        if ((filter->trace.bytes > 0 &&
             !text_is(batch, &scan->texts, row, TEXT_TRACE, filter->trace)) ||
            (filter->agent.bytes > 0 &&
             !text_is(batch, &scan->texts, row, TEXT_AGENT, filter->agent))) {
            continue;
        }
        scan->selected[kept++] = scan->selected[i];
    }
    return kept;
}

/* Brings the selected elements of a column to its front, in the order of `selected`. */
#define MOVE(scan, column, kind, count)                                                            \
    do {                                                                                           \
        for (u32 k_ = 0; k_ < (count); k_++) {                                                     \
            (scan)->moved.kind[k_] = (column)[(scan)->selected[k_]];                               \
        }                                                                                          \
        memcpy((column), (scan)->moved.kind, (count) * sizeof *(column));                          \
    } while (0)

static void move_rows(struct store_scan *scan, u32 columns, u32 at, u32 count) {
    struct event_batch *batch = scan->batch;
    MOVE(scan, batch->present + at, u32s, count);
    MOVE(scan, scan->accounts + at, u32s, count);
    MOVE(scan, batch->series + at, u32s, count);
    MOVE(scan, batch->digest + at, u32s, count);
    MOVE(scan, batch->id + at, u64s, count);
    MOVE(scan, batch->created + at, i64s, count);
    MOVE(scan, batch->cost_source + at, u8s, count);
    MOVE(scan, batch->revenue_source + at, u8s, count);
    MOVE(scan, batch->source + at, u8s, count);
    MOVE(scan, batch->granularity + at, u8s, count);
    MOVE(scan, batch->flags + at, u8s, count);
    for (u32 number = 0; number < NUM_COUNT; number++) {
        if ((columns & NUM_BIT(number)) != 0) {
            MOVE(scan, batch->number[number] + at, i64s, count);
        }
    }
    for (u32 text = SERIES_TEXTS; text < TEXT_COUNT; text++) {
        if ((columns & TEXT_BIT(text)) != 0) {
            MOVE(scan, batch->ref[text] + at, refs, count);
        }
    }
}

static void reverse_selected(struct store_scan *scan, u32 count) {
    for (u32 i = 0; i < count / 2; i++) {
        u32 other = scan->selected[count - 1 - i];
        scan->selected[count - 1 - i] = scan->selected[i];
        scan->selected[i] = other;
    }
}

/* Lays over the rows [at, at + count) what amendments say of them. */
static void amend_rows(struct store_scan *scan, u32 at, u32 count) {
    const struct overlay *overlay = scan->overlay;
    struct event_batch *batch = scan->batch;
    if (overlay == NULL || overlay->amended_count == 0 || scan->options.as_received) {
        return;
    }
    for (u32 i = at; i < at + count; i++) {
        const struct amended *amended = overlay_find(overlay, batch->id[i]);
        if (amended != NULL) {
            batch->number[NUM_REVENUE][i] = amended->revenue;
            batch->present[i] |= NUM_BIT(NUM_REVENUE);
            batch->revenue_source[i] = amended->revenue_source;
        }
    }
}

/* Adds the matching rows of a frame to the batch. */
static enum err take_frame(struct store_scan *scan, const struct block_view *view, u32 frame,
                           const char **what) {
    struct event_batch *batch = scan->batch;
    u32 at = batch->count;
    u32 rows = block_frame_rows(view, frame);
    usize text_bytes = scan->texts.bytes;
    u32 first = scan->filter_columns;
    enum err err = block_read_frame(scan->reader, view, frame, first, batch, scan->accounts, at,
                                    &scan->texts, what);
    if (err != ERR_OK) {
        return err;
    }
    u32 count = select_rows(scan, at, block_frame_at(view, frame).first_row, rows);
    if (count == 0) {
        scan->texts.bytes = text_bytes;
        return ERR_OK;
    }
    u32 wanted = scan->options.columns;
    err = block_read_frame(scan->reader, view, frame, wanted & ~first, batch, scan->accounts, at,
                           &scan->texts, what);
    if (err == ERR_OK) {
        err = block_check_frame(view, frame, scan->options.sound_columns & ~wanted, what);
    }
    if (err != ERR_OK) {
        return err;
    }
    if (scan->options.newest_first) {
        reverse_selected(scan, count);
    }
    if (count < rows || scan->options.newest_first) {
        move_rows(scan, wanted, at, count);
    }
    amend_rows(scan, at, count);
    for (u32 i = 0; i < count; i++) {
        batch->present[at + i] &= wanted & ~READ_REST;
    }
    batch->count += count;
    return ERR_OK;
}

/* --- blocks ----------------------------------------------------------------------------------- */

static void note_damage(struct store_scan *scan, u64 id_from, u64 id_to, const char *what) {
    scan->damaged = true;
    scan->damage = (struct store_damage){.id_from = id_from, .id_to = id_to};
    snprintf(scan->damage.what, sizeof scan->damage.what, "%s", what);
    log_note_damage(scan->log, id_from);
}

/* Moves the position behind ids [from, to). */
static void pass(struct store_scan *scan, u64 from, u64 to) {
    scan->next = scan->options.newest_first ? from : to;
}

static bool time_disjoint(const struct store_scan *scan, i64 time_min, i64 time_max) {
    return time_max < scan->options.filter.time_from || time_min >= scan->options.filter.time_to;
}

/* Goes on to the next id that is asked for; false: there is none. */
static bool pass_to_id(struct store_scan *scan) {
    const struct store_scan_options *options = &scan->options;
    while (scan->id_at < options->id_count && options->ids[scan->id_at] < scan->next) {
        scan->id_at++;
    }
    if (scan->id_at == options->id_count) {
        return false;
    }
    scan->next = options->ids[scan->id_at];
    return true;
}

/* Is nothing of it wanted, as far as it is narrowed? */
static bool is_behind(const struct store_scan *scan, const struct log_span *span) {
    bool newest = scan->options.newest_first;
    return scan->narrowed && order_before(newest, scan->place, order_first(newest, span));
}

/* By time: the next block; false: the end. */
static bool pass_to_block(struct store_scan *scan) {
    struct store_filter *filter = &scan->options.filter;
    struct log_span span;
    if (!order_next(&scan->order, &span) || is_behind(scan, &span)) {
        order_free(&scan->order);
        return false;
    }
    filter->id_from = span.first_id;
    filter->id_to = span.end_id;
    scan->next = scan->options.newest_first ? span.end_id : span.first_id;
    return true;
}

static bool is_full(const struct store_scan *scan) {
    u32 count = scan->batch->count;
    return count >= scan->target || count + FRAME_ROWS_MAX > EVENT_BATCH_MAX ||
           scan->texts.bytes > STEP_TEXT_BYTES;
}

static enum err take_def(void *context, const struct series_def *def, u64 last_id) {
    struct store_scan *scan = context;
    if (last_id < scan->defs_until) {
        return ERR_OK;
    }
    if (scan->def_count == scan->def_capacity) {
        u32 capacity = MAX(scan->def_capacity * 2, 256u);
        struct series_def *defs = realloc(scan->defs, capacity * sizeof *defs);
        if (defs == NULL) {
            return ERR_NO_MEMORY;
        }
        scan->defs = defs;
        scan->def_capacity = capacity;
    }
    struct series_def *copy = &scan->defs[scan->def_count];
    *copy = *def;
    for (u32 i = 0; i < SERIES_TEXTS; i++) {
        struct slice text = def->text[i];
        if (text_sink_reserve(&scan->def_texts, text.bytes) != ERR_OK) {
            return ERR_NO_MEMORY;
        }
        /* An offset until the step ends: the memory may still move. */
        copy->text[i].data = (const char *)scan->def_texts.bytes;
        if (text.bytes > 0) {
            memcpy(scan->def_texts.data + scan->def_texts.bytes, text.data, text.bytes);
        }
        scan->def_texts.bytes += text.bytes;
    }
    scan->def_count++;
    return ERR_OK;
}

static void settle_defs(struct store_scan *scan) {
    for (u32 i = 0; i < scan->def_count; i++) {
        for (u32 text = 0; text < SERIES_TEXTS; text++) {
            usize offset = (usize)scan->defs[i].text[text].data;
            scan->defs[i].text[text].data = scan->def_texts.data + offset;
        }
    }
}

/* Uses the block's index, if it has one that holds; else all rows may match. */
static enum err find_rows(struct store_scan *scan, const struct log_read *read) {
    if (scan->rows_first_id == read->first_id && scan->rows_count == read->count) {
        return ERR_OK;
    }
    index_rows_free(scan->rows);
    scan->rows = NULL;
    scan->rows_first_id = 0;
    if (scan->term_count > 0 && read->index.bytes > 0 && scan->options.ids == NULL) {
        enum err err = index_match(read->index, scan->terms, scan->term_count, &scan->rows);
        if (err == ERR_CORRUPT) {
            log_note_damage(scan->log, read->first_id);
        } else if (err != ERR_OK) {
            return err;
        }
    }
    scan->rows_first_id = read->first_id;
    scan->rows_count = read->count;
    return ERR_OK;
}

static bool frame_matters(const struct store_scan *scan, const struct block_view *view, u32 frame) {
    struct block_frame_entry entry = block_frame_at(view, frame);
    u32 first_row = entry.first_row;
    u32 rows = block_frame_rows(view, frame);
    u64 first_id = view->header.first_id + first_row;
    const struct log_span span = {first_id, first_id + rows, entry.time_min, entry.time_max};
    return !time_disjoint(scan, entry.time_min, entry.time_max) && !is_behind(scan, &span) &&
           (scan->rows == NULL || index_rows_any(scan->rows, first_row, first_row + rows));
}

/* Goes through the frames of a block from the position on. Damage ends the step. */
static enum err take_frames(struct store_scan *scan, const struct block_view *view) {
    bool down = scan->options.newest_first;
    u64 first_id = view->header.first_id;
    u64 id_to = scan->options.filter.id_to;
    u32 frame = block_frame_of(view, (u32)(scan->next - (down ? 1 : 0) - first_id));
    while (!is_full(scan)) {
        u64 from = first_id + block_frame_at(view, frame).first_row;
        u64 to = from + block_frame_rows(view, frame);
        if (frame_matters(scan, view, frame)) {
            const char *what = "";
            usize text_bytes = scan->texts.bytes;
            enum err err = take_frame(scan, view, frame, &what);
            if (err == ERR_CORRUPT) {
                scan->texts.bytes = text_bytes;
                note_damage(scan, from, to, what);
            } else if (err != ERR_OK) {
                return err;
            }
        }
        pass(scan, from, to);
        bool last = down ? frame == 0 || from <= scan->options.filter.id_from
                         : frame + 1 == view->header.frame_count || to >= id_to;
        if (last || scan->damaged || (scan->options.ids != NULL && !pass_to_id(scan))) {
            return ERR_OK;
        }
        if (scan->next >= first_id + view->header.count) {
            return ERR_OK;
        }
        frame = down ? frame - 1 : block_frame_of(view, (u32)(scan->next - first_id));
    }
    return ERR_OK;
}

/* Definitions of the ids [from, to) from their second copies; false if there may have been more. */
static enum err take_copies(struct store_scan *scan, u64 from, u64 to, u32 expected, bool *all) {
    u32 before = scan->def_count;
    u32 count;
    enum err err = log_read_defs(scan->log, from, to, scan->reader, take_def, scan, &count);
    *all = err == ERR_OK && count == expected;
    if (scan->def_count > before) {
        log_warn("definitions_restored", "from_id=%llu to_id=%llu count=%u from=\"second copy\"",
                 (unsigned long long)from, (unsigned long long)to, count);
    }
    scan->defs_until = MAX(scan->defs_until, to);
    return err == ERR_CORRUPT ? ERR_OK : err;
}

/* The definitions of a block whose header and directory hold. If they do not hold themselves, and
 * their copy does, no event is lost. */
static enum err take_defs(struct store_scan *scan, const struct block_view *view,
                          const char **what) {
    u32 before = scan->def_count;
    u64 from = view->header.first_id;
    u64 to = from + view->header.count;
    enum err err = block_read_defs(scan->reader, view, take_def, scan, what);
    if (err == ERR_CORRUPT) {
        bool all;
        scan->def_count = before;
        log_note_damage(scan->log, from);
        err = take_copies(scan, from, to, view->header.def_count, &all);
        return err == ERR_OK && !all ? ERR_CORRUPT : err;
    }
    scan->defs_until = MAX(scan->defs_until, to);
    return err;
}

/* A block that says nothing any more; what it defined is needed behind it. */
static enum err lose_block(struct store_scan *scan, u64 from, u64 to, const char *what) {
    enum err err = ERR_OK;
    if (scan->options.want_defs && scan->defs_until < to) {
        bool all;
        err = take_copies(scan, from, to, 0, &all);
    }
    if (err == ERR_OK) {
        note_damage(scan, from, to, what);
        pass(scan, from, to);
    }
    return err;
}

static enum err take_block(struct store_scan *scan, const struct log_read *read) {
    struct block_view view;
    const char *what = "";
    u64 end_id = read->first_id + read->count;
    enum err err = block_view_open(&view, read->block.data, read->block.bytes, &what);
    if (err == ERR_OK &&
        (view.header.first_id != read->first_id || view.header.count != read->count)) {
        what = "block under a wrong key";
        err = ERR_CORRUPT;
    }
    if (err == ERR_OK && scan->options.want_defs && scan->defs_until < end_id) {
        err = take_defs(scan, &view, &what);
    }
    if (err == ERR_CORRUPT || err == ERR_VERSION) {
        return lose_block(scan, read->first_id, end_id, what);
    }
    if (err == ERR_OK && view.header.kind == BLOCK_DROPPED) {
        pass(scan, read->first_id, end_id);
        return ERR_OK;
    }
    if (err == ERR_OK) {
        view.series_end = log_series_end(scan->log, end_id);
        err = find_rows(scan, read);
    }
    return err == ERR_OK ? take_frames(scan, &view) : err;
}

/* One block, or a part of it, or a skip. Sets *end at the end of the scan. */
static enum err step(struct store_scan *scan, bool *end) {
    const struct store_filter *filter = &scan->options.filter;
    bool down = scan->options.newest_first;
    struct log_entry entry;
    *end = scan->options.ids != NULL && !pass_to_id(scan);
    *end = *end || (down ? scan->next <= filter->id_from : scan->next >= filter->id_to);
    *end = *end && !(scan->options.by_time && pass_to_block(scan));
    u64 id = down ? scan->next - 1 : scan->next;
    *end = *end || id >= scan->end_id || !log_find(scan->log, id, &entry);
    if (*end) {
        return ERR_OK;
    }
    u64 entry_end = entry.first_id + entry.count;
    if (!scan->options.want_defs && time_disjoint(scan, entry.time_min, entry.time_max)) {
        pass(scan, entry.first_id, entry_end);
        return ERR_OK;
    }
    struct log_read read;
    enum err err = log_read_begin(scan->log, id, &read);
    if (err == ERR_NOT_FOUND) {
        return lose_block(scan, entry.first_id, entry_end, "events are missing");
    }
    if (err == ERR_OK) {
        if (!is_picky(scan) && id == read.first_id) {
            db_will_need(read.block);
        }
        err = take_block(scan, &read);
        log_read_end(&read);
    }
    return err;
}

void store_scan_narrow(struct store_scan *scan, i64 time, u64 id) {
    struct store_filter *filter = &scan->options.filter;
    check(scan->options.by_time);
    scan->narrowed = true;
    scan->place = (struct order_place){time, id};
    if (scan->options.newest_first) {
        filter->time_from = MAX(filter->time_from, time);
    } else if (time < INT64_MAX) {
        filter->time_to = MIN(filter->time_to, time + 1);
    }
}

/* --- handing out ------------------------------------------------------------------------------ */

/* Copies the next rows of one account to the batch handed out. */
static enum err give_part(struct store_scan *scan, const struct event_batch **out) {
    const struct event_batch *from = scan->batch;
    if (scan->part == NULL) {
        scan->part = calloc(1, sizeof *scan->part);
        if (scan->part == NULL) {
            return ERR_NO_MEMORY;
        }
    }
    struct event_batch *part = scan->part;
    u32 at = scan->given;
    u32 count = 1;
    while (at + count < from->count && scan->accounts[at + count] == scan->accounts[at]) {
        count++;
    }
    part->count = count;
    part->account = scan->accounts[at];
    part->text = from->text;
    part->text_bytes = from->text_bytes;
    part->text_bytes_max = from->text_bytes_max;
#define COPY(column) memcpy(part->column, from->column + at, count * sizeof *part->column)
    COPY(present);
    COPY(series);
    COPY(id);
    COPY(created);
    COPY(cost_source);
    COPY(revenue_source);
    COPY(source);
    COPY(granularity);
    COPY(flags);
    COPY(digest);
    for (u32 number = 0; number < NUM_COUNT; number++) {
        COPY(number[number]);
    }
    for (u32 text = SERIES_TEXTS; text < TEXT_COUNT; text++) {
        COPY(ref[text]);
    }
#undef COPY
    scan->given += count;
    *out = part;
    return ERR_OK;
}

static enum err give(struct store_scan *scan, const struct event_batch **out) {
    struct event_batch *batch = scan->batch;
    batch->text = scan->texts.data;
    batch->text_bytes = (u32)scan->texts.bytes;
    batch->text_bytes_max = batch->text_bytes;
    bool mixed = false;
    for (u32 i = 1; i < batch->count; i++) {
        mixed = mixed || scan->accounts[i] != scan->accounts[0];
    }
    if (mixed) {
        return give_part(scan, out);
    }
    batch->account =
        scan->options.bare ? scan->options.filter.dim_value[DIM_ACCOUNT] : scan->accounts[0];
    scan->given = batch->count;
    *out = batch;
    return ERR_OK;
}

static enum err give_damage(struct store_scan *scan, struct store_damage *damage) {
    scan->damaged = false;
    if (damage != NULL) {
        *damage = scan->damage;
    }
    return ERR_CORRUPT;
}

enum err store_scan_next(struct store_scan *scan, const struct event_batch **batch,
                         const struct series_def **defs, u32 *def_count,
                         struct store_damage *damage) {
    bool end = false;
    enum err err = ERR_OK;
    *batch = scan->batch;
    if (def_count != NULL) {
        *def_count = 0;
    }
    if (scan->given < scan->batch->count) {
        return give_part(scan, batch);
    }
    scan->batch->count = 0;
    scan->given = 0;
    scan->texts.bytes = 0;
    if (scan->damaged) {
        return give_damage(scan, damage);
    }
    if (scan->defs_given) {
        scan->def_count = 0;
        scan->def_texts.bytes = 0;
        scan->defs_given = false;
    }
    log_view_renew(scan->log, scan->overlay, &scan->end_id);
    while (err == ERR_OK && !end && !scan->damaged && !is_full(scan)) {
        err = step(scan, &end);
    }
    if (err != ERR_OK) {
        return err;
    }
    /* Definitions without events wait for the next call: an empty batch would mean the end. */
    if (scan->batch->count == 0 && scan->damaged) {
        return give_damage(scan, damage);
    }
    scan->target = MIN(scan->target * 4, (u32)EVENT_BATCH_MAX);
    settle_defs(scan);
    scan->defs_given = true;
    if (defs != NULL && def_count != NULL) {
        *defs = scan->defs;
        *def_count = scan->def_count;
    }
    return give(scan, batch);
}
