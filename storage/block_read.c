/*
 * block_read.c: reads blocks (see block.h). What is read was verified by its checksum first, and is
 * still not trusted: a block that passes every checksum may come from a broken program.
 */
#include "base/hash.h"
#include "storage/block.h"
#include "storage/column.h"

#include <stdlib.h>
#include <string.h>

struct block_reader {
    struct text_reader *text;
    struct text_sink defs;
    i64 values[FRAME_ROWS_MAX];
    i64 tokens[FRAME_ROWS_MAX];
    struct text_ref refs[FRAME_ROWS_MAX];
};

enum err block_reader_create(struct block_reader **out) {
    struct block_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL || text_reader_create(&reader->text) != ERR_OK) {
        free(reader);
        return ERR_NO_MEMORY;
    }
    *out = reader;
    return ERR_OK;
}

void block_reader_destroy(struct block_reader *reader) {
    if (reader != NULL) {
        text_reader_destroy(reader->text);
        text_sink_free(&reader->defs);
        free(reader);
    }
}

/* --- header and directory --------------------------------------------------------------------- */

enum err block_read_header(const void *data, usize bytes, struct block_header *out) {
    if (bytes < sizeof *out) {
        return ERR_CORRUPT;
    }
    memcpy(out, data, sizeof *out);
    if (out->magic != BLOCK_MAGIC ||
        hash64(out, offsetof(struct block_header, header_hash), 0) != out->header_hash) {
        return ERR_CORRUPT;
    }
    if (out->version != BLOCK_VERSION) {
        return ERR_VERSION;
    }
    u32 columns = (u32)__builtin_popcount(out->column_mask);
    u64 frames = out->frame_count;
    bool dropped = out->kind == BLOCK_DROPPED;
    u64 entry_bytes = sizeof(struct block_frame_entry) + columns * sizeof(struct block_section);
    bool good = out->kind < BLOCK_KINDS && out->first_id > 0 && out->count > 0 &&
                out->count <= (dropped ? DROPPED_ROWS_MAX : SEGMENT_ROWS_MAX) &&
                frames <= (dropped ? 0 : out->count) &&
                (dropped || frames >= ((u64)out->count + FRAME_ROWS_MAX - 1) / FRAME_ROWS_MAX) &&
                out->first_id <= UINT64_MAX - out->count && out->block_bytes == bytes &&
                out->column_mask >> BLOCK_COLUMNS == 0 &&
                out->directory_bytes == frames * entry_bytes &&
                (u64)out->directory_offset + out->directory_bytes <= bytes &&
                (u64)out->def_offset + out->def_bytes <= bytes;
    return good ? ERR_OK : ERR_CORRUPT;
}

void block_copy_defs(u8 *to, struct slice block, const struct block_header *header) {
    memcpy(to, header, sizeof *header);
    memcpy(to + sizeof *header, block.data + header->def_offset, header->def_bytes);
}

enum err block_view_defs(struct block_view *view, struct slice copy) {
    struct block_header *header = &view->header;
    if (copy.bytes < sizeof *header) {
        return ERR_CORRUPT;
    }
    memcpy(header, copy.data, sizeof *header);
    if (header->magic != BLOCK_MAGIC ||
        hash64(header, offsetof(struct block_header, header_hash), 0) != header->header_hash ||
        header->count > (header->kind == BLOCK_DROPPED ? DROPPED_ROWS_MAX : SEGMENT_ROWS_MAX) ||
        header->first_id > UINT64_MAX - header->count || copy.bytes != BLOCK_DEFS_BYTES(header)) {
        return ERR_CORRUPT;
    }
    header->def_offset = sizeof *header;
    view->data = (const u8 *)copy.data;
    view->column_count = 0;
    view->series_end = 0;
    return ERR_OK;
}

static const u8 *entry_of(const struct block_view *view, u32 frame) {
    usize entry_bytes =
        sizeof(struct block_frame_entry) + view->column_count * sizeof(struct block_section);
    return view->data + view->header.directory_offset + frame * entry_bytes;
}

struct block_frame_entry block_frame_at(const struct block_view *view, u32 frame) {
    check(frame < view->header.frame_count);
    struct block_frame_entry entry;
    memcpy(&entry, entry_of(view, frame), sizeof entry);
    return entry;
}

/* The block's end stands behind its last frame. */
static u32 first_row_of(const struct block_view *view, u32 frame) {
    return frame < view->header.frame_count ? block_frame_at(view, frame).first_row
                                            : view->header.count;
}

static struct block_section section_at(const struct block_view *view, u32 frame, u32 index) {
    struct block_section section;
    memcpy(&section,
           entry_of(view, frame) + sizeof(struct block_frame_entry) + index * sizeof section,
           sizeof section);
    return section;
}

enum err block_view_open(struct block_view *view, const void *data, usize bytes,
                         const char **what) {
    enum err err = block_read_header(data, bytes, &view->header);
    if (err != ERR_OK) {
        *what = err == ERR_VERSION ? "written by another version" : "header checksum";
        return err;
    }
    view->data = data;
    view->series_end = SERIES_MAX;
    view->column_count = (u32)__builtin_popcount(view->header.column_mask);
    if (hash64(view->data + view->header.directory_offset, view->header.directory_bytes, 0) !=
        view->header.directory_hash) {
        *what = "directory checksum";
        return ERR_CORRUPT;
    }
    for (u32 frame = 0; frame < view->header.frame_count; frame++) {
        struct block_frame_entry entry = block_frame_at(view, frame);
        u32 rows_end = first_row_of(view, frame + 1);
        u64 end = entry.offset;
        for (u32 i = 0; i < view->column_count; i++) {
            end += section_at(view, frame, i).bytes;
        }
        /* Each frame goes on where the one before ends, down to the block's last row. */
        if (end > bytes || (frame == 0 && entry.first_row != 0) || rows_end <= entry.first_row ||
            rows_end - entry.first_row > FRAME_ROWS_MAX) {
            *what = "directory entry";
            return ERR_CORRUPT;
        }
    }
    return ERR_OK;
}

u32 block_frame_rows(const struct block_view *view, u32 frame) {
    check(frame < view->header.frame_count);
    return first_row_of(view, frame + 1) - first_row_of(view, frame);
}

u32 block_frame_of(const struct block_view *view, u32 row) {
    check(row < view->header.count);
    u32 low = 0;
    u32 high = view->header.frame_count;
    while (high - low > 1) {
        u32 middle = low + (high - low) / 2;
        if (first_row_of(view, middle) <= row) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Index of a column among those the block has. */
static u32 column_index(const struct block_view *view, u32 column) {
    return (u32)__builtin_popcount(view->header.column_mask & (((u32)1 << column) - 1));
}

struct slice block_section_of(const struct block_view *view, u32 frame, enum block_column column) {
    if ((view->header.column_mask >> column & 1) == 0) {
        return (struct slice){NULL, 0};
    }
    u32 index = column_index(view, column);
    usize offset = block_frame_at(view, frame).offset;
    for (u32 i = 0; i < index; i++) {
        offset += section_at(view, frame, i).bytes;
    }
    return (struct slice){(const char *)view->data + offset, section_at(view, frame, index).bytes};
}

usize block_sections(const struct block_view *view, u32 frame, struct block_section *out) {
    usize bytes = 0;
    u32 index = 0;
    for (u32 column = 0; column < BLOCK_COLUMNS; column++) {
        out[column] = (struct block_section){0, 0};
        if ((view->header.column_mask >> column & 1) != 0) {
            out[column] = section_at(view, frame, index++);
        }
        bytes += out[column].bytes;
    }
    return bytes;
}

/* --- columns ---------------------------------------------------------------------------------- */

struct frame {
    struct block_reader *reader;
    const struct block_view *view;
    u32 frame;
    u32 rows;
    u32 at; /* first row in the batch */
    const char *what;
};

/* The verified bytes of a column; NULL data with ERR_OK where it is absent. */
static enum err section_read(struct frame *frame, u32 column, struct slice *out) {
    *out = block_section_of(frame->view, frame->frame, column);
    if (out->bytes == 0) {
        return ERR_OK;
    }
    struct block_section section =
        section_at(frame->view, frame->frame, column_index(frame->view, column));
    if ((u32)hash64(out->data, out->bytes, column) != section.hash) {
        frame->what = "section checksum";
        return ERR_CORRUPT;
    }
    return ERR_OK;
}

/* Decodes a column that `count` rows have; into the reader's values. */
static enum err numbers_read(struct frame *frame, u32 column, u32 count, i64 *values) {
    struct slice section;
    enum err err = section_read(frame, column, &section);
    if (err == ERR_OK && (section.bytes == 0 ||
                          !column_unpack((const u8 *)section.data, section.bytes, values, count))) {
        frame->what = "numbers do not decode";
        err = ERR_CORRUPT;
    }
    return err;
}

/* A column every row has, as u32 (wide) or u8. */
static enum err fixed_read(struct frame *frame, u32 column, u64 most, u32 *wide, u8 *narrow) {
    struct slice section;
    i64 *values = frame->reader->values;
    u64 largest = 0;
    u32 rows = frame->rows;
    enum err err = section_read(frame, column, &section);
    if (err != ERR_OK) {
        return err;
    }
    bool constant = column_constant((const u8 *)section.data, section.bytes, &values[0]);
    if (constant) {
        largest = (u64)values[0];
    } else {
        if (section.bytes == 0 ||
            !column_unpack((const u8 *)section.data, section.bytes, values, rows)) {
            frame->what = "numbers do not decode";
            return ERR_CORRUPT;
        }
        for (u32 i = 0; i < rows; i++) {
            largest = MAX(largest, (u64)values[i]);
        }
    }
    if (largest > most) {
        frame->what = "number out of range";
        return ERR_CORRUPT;
    }
    if (constant) {
        for (u32 i = 0; wide != NULL && i < rows; i++) {
            wide[i] = (u32)values[0];
        }
        if (narrow != NULL) {
            memset(narrow, (u8)values[0], rows);
        }
        return ERR_OK;
    }
    for (u32 i = 0; wide != NULL && i < frame->rows; i++) {
        wide[i] = (u32)values[i];
    }
    for (u32 i = 0; narrow != NULL && i < frame->rows; i++) {
        narrow[i] = (u8)values[i];
    }
    return ERR_OK;
}

static enum err first_read(struct frame *frame, struct event_batch *batch) {
    u32 at = frame->at;
    u64 first_id = frame->view->header.first_id + first_row_of(frame->view, frame->frame);
    for (u32 i = 0; i < frame->rows; i++) {
        batch->id[at + i] = first_id + i;
    }
    enum err err = fixed_read(frame, COL_PRESENT, UINT32_MAX, batch->present + at, NULL);
    if (err == ERR_OK) {
        err = fixed_read(frame, COL_SERIES, SERIES_MAX - 1, batch->series + at, NULL);
    }
    u32 largest = 0;
    for (u32 i = 0; i < frame->rows && err == ERR_OK; i++) {
        largest = MAX(largest, batch->series[at + i]);
    }
    if (err == ERR_OK && largest >= frame->view->series_end) {
        frame->what = "series without a definition";
        err = ERR_CORRUPT;
    }
    return err;
}

static enum err rest_read(struct frame *frame, struct event_batch *batch, u32 *accounts) {
    u32 at = frame->at;
    u8 *small[] = {batch->cost_source, batch->revenue_source, batch->source, batch->granularity,
                   batch->flags};
    static const u8 small_max[] = {COST_SOURCES - 1, REVENUE_SOURCES - 1, EVENT_SOURCES - 1,
                                   GRANULARITIES - 1, UINT8_MAX};
    _Static_assert(ARRAY_COUNT(small) == COL_DIGEST - COL_COST_SOURCE, "the u8 columns");
    enum err err = fixed_read(frame, COL_ACCOUNT, UINT32_MAX, accounts + at, NULL);
    if (err == ERR_OK) {
        err = numbers_read(frame, COL_CREATED, frame->rows, batch->created + at);
    }
    for (u32 i = 0; i < ARRAY_COUNT(small) && err == ERR_OK; i++) {
        err = fixed_read(frame, COL_COST_SOURCE + i, small_max[i], NULL, small[i] + at);
    }
    return err == ERR_OK ? fixed_read(frame, COL_DIGEST, UINT32_MAX, batch->digest + at, NULL)
                         : err;
}

static u32 rows_with(const struct frame *frame, const struct event_batch *batch, u32 bit) {
    u32 count = 0;
    for (u32 i = 0; i < frame->rows; i++) {
        count += (batch->present[frame->at + i] & bit) != 0;
    }
    return count;
}

/* Rows without the number get 0, if any row has it; the time of those that are gone always is. */
static enum err number_read(struct frame *frame, const struct event_batch *batch, u32 number,
                            i64 *out) {
    u32 bit = NUM_BIT(number);
    u32 count = rows_with(frame, batch, bit);
    if (count == 0) {
        memset(out, 0, number == NUM_TIME ? frame->rows * sizeof *out : 0);
        return ERR_OK;
    }
    if (count == frame->rows) {
        return numbers_read(frame, COL_NUMBER + number, count, out);
    }
    i64 *values = frame->reader->values;
    enum err err = numbers_read(frame, COL_NUMBER + number, count, values);
    for (u32 i = 0, from = 0; i < frame->rows && err == ERR_OK; i++) {
        bool has = (batch->present[frame->at + i] & bit) != 0;
        out[i] = has ? values[from] : 0;
        from += has;
    }
    return err;
}

/* Usage that is the tokens'; those of the `columns` are in the batch. */
static enum err tokens_read(struct frame *frame, struct event_batch *batch, u32 columns) {
    static const u32 numbers[] = {NUM_INPUT, NUM_OUTPUT};
    u64 *sums = (u64 *)(batch->number[NUM_USAGE] + frame->at);
    if (rows_with(frame, batch, NUM_BIT(NUM_USAGE)) != frame->rows) {
        frame->what = "usage of rows that have none";
        return ERR_CORRUPT;
    }
    memset(sums, 0, frame->rows * sizeof *sums);
    for (u32 k = 0; k < ARRAY_COUNT(numbers); k++) {
        const i64 *tokens = batch->number[numbers[k]] + frame->at;
        if (rows_with(frame, batch, NUM_BIT(numbers[k])) == 0) {
            continue;
        }
        if ((columns & NUM_BIT(numbers[k])) == 0) {
            enum err err = number_read(frame, batch, numbers[k], frame->reader->tokens);
            if (err != ERR_OK) {
                return err;
            }
            tokens = frame->reader->tokens;
        }
        for (u32 i = 0; i < frame->rows; i++) {
            sums[i] += (u64)tokens[i];
        }
    }
    for (u32 i = 0; i < frame->rows; i++) {
        sums[i] *= (u64)MICRO_PER_UNIT;
    }
    return ERR_OK;
}

static enum err usage_read(struct frame *frame, struct event_batch *batch, u32 columns) {
    struct slice section;
    enum err err = section_read(frame, COL_NUMBER + NUM_USAGE, &section);
    if (err == ERR_OK && section.bytes == 1 && (u8)section.data[0] == BLOCK_USAGE_TOKENS) {
        return tokens_read(frame, batch, columns);
    }
    return err != ERR_OK
               ? err
               : number_read(frame, batch, NUM_USAGE, batch->number[NUM_USAGE] + frame->at);
}

static enum err all_numbers_read(struct frame *frame, struct event_batch *batch, u32 columns) {
    enum err err = ERR_OK;
    for (u32 number = 0; number < NUM_COUNT && err == ERR_OK; number++) {
        if ((columns & NUM_BIT(number)) != 0 && number != NUM_USAGE) {
            err = number_read(frame, batch, number, batch->number[number] + frame->at);
        }
    }
    /* The last, for it may be the sum of others. */
    return err == ERR_OK && (columns & NUM_BIT(NUM_USAGE)) != 0 ? usage_read(frame, batch, columns)
                                                                : err;
}

/* No event has longer texts, and those who keep them rely on it. */
static const u32 text_bytes_max[] = {
    [TEXT_COST_UNIT - SERIES_TEXTS] = EVENT_COST_UNIT_MAX,
    [TEXT_AGENT - SERIES_TEXTS] = EVENT_AGENT_MAX,
    [TEXT_KEY - SERIES_TEXTS] = EVENT_KEY_MAX,
    [TEXT_TRACE - SERIES_TEXTS] = EVENT_TRACE_MAX,
    [TEXT_SPAN - SERIES_TEXTS] = EVENT_TRACE_MAX,
    [TEXT_PARENT - SERIES_TEXTS] = EVENT_TRACE_MAX,
    [TEXT_PROPERTIES - SERIES_TEXTS] = TEXT_FRAME_BYTES_MAX,
    [TEXT_META - SERIES_TEXTS] = TEXT_FRAME_BYTES_MAX,
    [TEXT_REFS - SERIES_TEXTS] = TEXT_FRAME_BYTES_MAX,
};
_Static_assert(ARRAY_COUNT(text_bytes_max) == TEXT_COUNT - SERIES_TEXTS, "a bound each");

static enum err text_read(struct frame *frame, struct event_batch *batch, u32 text,
                          struct text_sink *sink) {
    u32 bit = TEXT_BIT(text);
    u32 count = rows_with(frame, batch, bit);
    if (count == 0) {
        return ERR_OK;
    }
    struct slice section;
    enum err err = section_read(frame, COL_TEXT + text - SERIES_TEXTS, &section);
    if (err != ERR_OK) {
        return err;
    }
    struct text_ref *out = batch->ref[text] + frame->at;
    struct text_ref *refs = count == frame->rows ? out : frame->reader->refs;
    if (section.bytes == 0) {
        frame->what = "texts are missing";
        return ERR_CORRUPT;
    }
    err = text_unpack(frame->reader->text, (const u8 *)section.data, section.bytes, count, sink,
                      refs);
    if (err != ERR_OK) {
        frame->what = err == ERR_CORRUPT ? "texts do not decode" : "no memory";
        return err;
    }
    for (u32 i = 0; i < count; i++) {
        if (refs[i].bytes > text_bytes_max[text - SERIES_TEXTS]) {
            frame->what = "text out of range";
            return ERR_CORRUPT;
        }
    }
    for (u32 i = 0, from = 0; i < frame->rows && refs != out; i++) {
        bool has = (batch->present[frame->at + i] & bit) != 0;
        out[i] = has ? refs[from] : (struct text_ref){0, 0};
        from += has;
    }
    return ERR_OK;
}

enum err block_read_frame(struct block_reader *reader, const struct block_view *view, u32 frame,
                          u32 columns, struct event_batch *batch, u32 *accounts, u32 at,
                          struct text_sink *sink, const char **what) {
    struct frame state = {reader, view, frame, block_frame_rows(view, frame), at, NULL};
    check(at + state.rows <= EVENT_BATCH_MAX);
    enum err err = ERR_OK;
    if ((columns & READ_FIRST) != 0) {
        err = first_read(&state, batch);
    }
    if ((columns & READ_REST) != 0 && err == ERR_OK) {
        err = rest_read(&state, batch, accounts);
    }
    if (err == ERR_OK) {
        err = all_numbers_read(&state, batch, columns);
    }
    for (u32 text = SERIES_TEXTS; text < TEXT_COUNT && err == ERR_OK; text++) {
        if ((columns & TEXT_BIT(text)) != 0) {
            err = text_read(&state, batch, text, sink);
        }
    }
    if (err != ERR_OK) {
        *what = state.what;
    }
    return err;
}

enum err block_check_frame(const struct block_view *view, u32 frame, u32 columns,
                           const char **what) {
    struct frame state = {.view = view, .frame = frame};
    struct slice section;
    enum err err = ERR_OK;
    for (u32 number = 0; number < NUM_COUNT && err == ERR_OK; number++) {
        if ((columns & NUM_BIT(number)) != 0) {
            err = section_read(&state, COL_NUMBER + number, &section);
        }
    }
    for (u32 text = SERIES_TEXTS; text < TEXT_COUNT && err == ERR_OK; text++) {
        if ((columns & TEXT_BIT(text)) != 0) {
            err = section_read(&state, COL_TEXT + text - SERIES_TEXTS, &section);
        }
    }
    if (err != ERR_OK) {
        *what = state.what;
    }
    return err;
}

/* --- definitions ------------------------------------------------------------------------------ */

static bool def_get(const struct block_view *view, const u8 **at, const u8 *end,
                    struct series_def *def, u64 *last_id) {
    u64 step;
    u64 row;
    u64 account;
    if (!varint_get(at, end, &step) || !varint_get(at, end, &row) ||
        !varint_get(at, end, &account) || *at == end) {
        return false;
    }
    i64 series = (i64)((u64)def->series + (u64)unzigzag(step));
    if (series < 0 || series >= SERIES_MAX || row >= view->header.count || account > UINT32_MAX) {
        return false;
    }
    def->series = (u32)series;
    def->account = (u32)account;
    def->source = *(*at)++;
    *last_id = view->header.first_id + row;
    for (u32 i = 0; i < SERIES_TEXTS; i++) {
        u64 bytes;
        if (!varint_get(at, end, &bytes) || bytes > (u64)(end - *at)) {
            return false;
        }
        def->text[i] = (struct slice){(const char *)*at, bytes};
        *at += bytes;
    }
    return true;
}

enum err block_read_defs(struct block_reader *reader, const struct block_view *view,
                         enum err (*visit)(void *context, const struct series_def *def,
                                           u64 last_id),
                         void *context, const char **what) {
    const struct block_header *header = &view->header;
    if (header->def_count == 0) {
        return ERR_OK;
    }
    const u8 *data = view->data + header->def_offset;
    *what = "definitions";
    if (hash64(data, header->def_bytes, 0) != header->def_hash) {
        return ERR_CORRUPT;
    }
    struct text_ref ref;
    reader->defs.bytes = 0;
    enum err err = text_unpack(reader->text, data, header->def_bytes, 1, &reader->defs, &ref);
    if (err != ERR_OK) {
        return err;
    }
    const u8 *at = (const u8 *)reader->defs.data + ref.offset;
    const u8 *end = at + ref.bytes;
    struct series_def def = {0};
    for (u32 i = 0; i < header->def_count; i++) {
        u64 last_id;
        if (!def_get(view, &at, end, &def, &last_id)) {
            return ERR_CORRUPT;
        }
        err = visit(context, &def, last_id);
        if (err != ERR_OK) {
            *what = "definition refused";
            return err;
        }
    }
    return at == end ? ERR_OK : ERR_CORRUPT;
}
