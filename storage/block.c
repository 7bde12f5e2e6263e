/*
 * block.c: see block.h. This file writes blocks; block_read.c reads them. Rows are gathered into a
 * frame column by column (a straight copy where the rows are neighbours, as they nearly always
 * are), and each full frame is coded at once: the working set stays in the second-level cache, and
 * a block of any size needs no more memory than its coded bytes. Frames of other blocks are copied
 * coded, and their checksums are those of the copy.
 */
#include "storage/block.h"

#include "base/hash.h"
#include "storage/column.h"

#include <stdlib.h>
#include <string.h>

#define OUT_BYTES_FIRST (64 * KIB)
#define KEPT_BYTES_MAX (64 * MIB) /* memory kept for the next block */
#define STORED_TEXTS (TEXT_COUNT - SERIES_TEXTS)
/* Of one frame in the directory, before unused columns are left out. */
#define ENTRY_BYTES                                                                                \
    (sizeof(struct block_frame_entry) + BLOCK_COLUMNS * sizeof(struct block_section))

struct bytes {
    u8 *data;
    usize bytes;
    usize capacity;
};

struct block_builder {
    struct text_packer *packer;
    struct block_header header;
    struct bytes out;
    struct bytes directory;
    struct bytes defs;
    u32 last_def_series;

    /* The frame being gathered. */
    u32 rows;
    u32 present_any; /* of the frame's rows */
    u32 present_all;
    u32 present[FRAME_ROWS_MAX];
    u32 account[FRAME_ROWS_MAX];
    u32 series[FRAME_ROWS_MAX];
    u32 digest[FRAME_ROWS_MAX];
    i64 created[FRAME_ROWS_MAX];
    u8 small[COL_DIGEST - COL_COST_SOURCE][FRAME_ROWS_MAX];
    i64 number[NUM_COUNT][FRAME_ROWS_MAX];
    struct slice text[STORED_TEXTS][FRAME_ROWS_MAX];
    bool is_packed; /* all rows' keys are: */
    struct packed_key packed[FRAME_ROWS_MAX];
    usize text_bytes; /* their share of the batches' texts */
    u32 kept_rows;    /* of them, those whose batch has gone: their texts are in `kept` */
    struct text_sink kept;

    i64 values[FRAME_ROWS_MAX]; /* what is being coded */
    struct slice texts[FRAME_ROWS_MAX];
};

static bool bytes_reserve(struct bytes *bytes, usize more) {
    if (bytes->bytes + more <= bytes->capacity) {
        return true;
    }
    usize capacity = MAX(bytes->capacity, OUT_BYTES_FIRST);
    while (capacity < bytes->bytes + more) {
        capacity *= 2;
    }
    u8 *data = realloc(bytes->data, capacity);
    if (data == NULL) {
        return false;
    }
    bytes->data = data;
    bytes->capacity = capacity;
    return true;
}

static void bytes_put(struct bytes *bytes, const void *data, usize count) {
    if (count > 0) { /* nothing may have no address */
        memcpy(bytes->data + bytes->bytes, data, count);
    }
    bytes->bytes += count;
}

static void bytes_shrink(struct bytes *bytes) {
    if (bytes->capacity > KEPT_BYTES_MAX) {
        free(bytes->data);
        *bytes = (struct bytes){0};
    }
}

enum err block_builder_create(enum text_effort effort, struct block_builder **out) {
    struct block_builder *builder = calloc(1, sizeof *builder);
    if (builder == NULL || !bytes_reserve(&builder->out, OUT_BYTES_FIRST) ||
        text_packer_create(effort, &builder->packer) != ERR_OK) {
        block_builder_destroy(builder);
        return ERR_NO_MEMORY;
    }
    *out = builder;
    return ERR_OK;
}

void block_builder_destroy(struct block_builder *builder) {
    if (builder != NULL) {
        text_packer_destroy(builder->packer);
        text_sink_free(&builder->kept);
        free(builder->out.data);
        free(builder->directory.data);
        free(builder->defs.data);
        free(builder);
    }
}

void block_shrink(struct block_builder *builder) {
    bytes_shrink(&builder->out);
    bytes_shrink(&builder->directory);
    bytes_shrink(&builder->defs);
    text_packer_shrink(builder->packer, KEPT_BYTES_MAX);
}

void block_begin(struct block_builder *builder, enum block_kind kind, u64 first_id) {
    builder->header = (struct block_header){
        .magic = BLOCK_MAGIC,
        .version = BLOCK_VERSION,
        .kind = (u16)kind,
        .first_id = first_id,
        .time_min = INT64_MAX,
        .time_max = INT64_MIN,
    };
    builder->out.bytes = sizeof builder->header; /* filled in at the end */
    builder->directory.bytes = 0;
    builder->defs.bytes = 0;
    builder->last_def_series = 0;
    builder->rows = 0;
    builder->text_bytes = 0;
    builder->kept_rows = 0;
}

/* --- gathering -------------------------------------------------------------------------------- */

/* Copies elements rows[0..count) of a column; neighbours go in one piece. */
#define GATHER(to, from, rows, count, neighbours)                                                  \
    do {                                                                                           \
        if (neighbours) {                                                                          \
            memcpy(to, &(from)[(rows)[0]], (count) * sizeof *(to));                                \
        } else {                                                                                   \
            for (u32 k_ = 0; k_ < (count); k_++) {                                                 \
                (to)[k_] = (from)[(rows)[k_]];                                                     \
            }                                                                                      \
        }                                                                                          \
    } while (0)

static bool are_neighbours(const u32 *rows, u32 count) {
    u32 wrong = 0;
    for (u32 i = 1; i < count; i++) {
        wrong |= rows[i] ^ (rows[i - 1] + 1);
    }
    return wrong == 0;
}

static void gather_texts(struct block_builder *builder, const struct event_batch *batch,
                         const u32 *rows, u32 count, u32 text) {
    struct slice *to = builder->text[text - SERIES_TEXTS] + builder->rows;
    bool read = text != TEXT_KEY || !builder->is_packed;
    for (u32 i = 0; i < count; i++) {
        struct text_ref ref = batch->ref[text][rows[i]];
        to[i] = (struct slice){batch->text + ref.offset, ref.bytes};
        if (!read) {
            continue;
        }
        /* Another processor wrote it; asked for now, it is here when the frame is coded. */
        __builtin_prefetch(to[i].data);
        __builtin_prefetch(to[i].data + ref.bytes);
    }
}

/* `count` rows that fit the frame. */
static void gather(struct block_builder *builder, const struct event_batch *batch, const u32 *rows,
                   u32 count) {
    u32 at = builder->rows;
    bool near = are_neighbours(rows, count);
    u32 *present = builder->present + at;
    u32 any = 0;
    u32 all = UINT32_MAX;
    GATHER(present, batch->present, rows, count, near);
    for (u32 i = 0; i < count; i++) {
        present[i] &= ~BLOCK_SERIES_TEXTS;
        any |= present[i];
        all &= present[i];
        builder->account[at + i] = batch->account;
    }
    builder->present_any = at == 0 ? any : builder->present_any | any;
    builder->present_all = at == 0 ? all : builder->present_all & all;
    GATHER(builder->series + at, batch->series, rows, count, near);
    GATHER(builder->digest + at, batch->digest, rows, count, near);
    GATHER(builder->created + at, batch->created, rows, count, near);
    GATHER(builder->small[0] + at, batch->cost_source, rows, count, near);
    GATHER(builder->small[1] + at, batch->revenue_source, rows, count, near);
    GATHER(builder->small[2] + at, batch->source, rows, count, near);
    GATHER(builder->small[3] + at, batch->granularity, rows, count, near);
    GATHER(builder->small[4] + at, batch->flags, rows, count, near);
    bool packed = batch->packed_count > 0 && batch->packed_count == batch->count;
    builder->is_packed = packed && (at == 0 || builder->is_packed);
    if (packed) {
        GATHER(builder->packed + at, batch->packed, rows, count, near);
    }
    for (u32 number = 0; number < NUM_COUNT; number++) {
        if ((any & NUM_BIT(number)) != 0) {
            GATHER(builder->number[number] + at, batch->number[number], rows, count, near);
        }
    }
    for (u32 text = SERIES_TEXTS; text < TEXT_COUNT; text++) {
        if ((any & TEXT_BIT(text)) != 0) {
            gather_texts(builder, batch, rows, count, text);
        }
    }
    builder->rows += count;
}

/* --- coding a frame --------------------------------------------------------------------------- */

static enum err section_put(struct block_builder *builder, u32 column, usize bytes) {
    struct block_section section = {0, 0};
    if (bytes > 0) {
        const u8 *data = builder->out.data + builder->out.bytes;
        section.bytes = (u32)bytes;
        section.hash = (u32)hash64(data, bytes, column);
        builder->out.bytes += bytes;
        builder->header.column_mask |= (u32)1 << column;
    }
    if (builder->out.bytes > BLOCK_BYTES_MAX) {
        return ERR_LIMIT;
    }
    bytes_put(&builder->directory, &section, sizeof section);
    return ERR_OK;
}

static enum err put_numbers(struct block_builder *builder, u32 column, const i64 *values,
                            u32 count) {
    if (!bytes_reserve(&builder->out, COLUMN_BYTES_MAX(count))) {
        return ERR_NO_MEMORY;
    }
    u8 *to = builder->out.data + builder->out.bytes;
    return section_put(builder, column, count > 0 ? column_pack(to, values, count) : 0);
}

/* All rows have one value: nothing to look at a value at a time. */
static enum err put_constant(struct block_builder *builder, u32 column, i64 value) {
    return put_numbers(builder, column, &value, 1);
}

static enum err put_u32(struct block_builder *builder, u32 column, const u32 *values) {
    if (memcmp(values, values + 1, (builder->rows - 1) * sizeof *values) == 0) {
        return put_constant(builder, column, values[0]);
    }
    for (u32 i = 0; i < builder->rows; i++) {
        builder->values[i] = values[i];
    }
    return put_numbers(builder, column, builder->values, builder->rows);
}

static enum err put_u8(struct block_builder *builder, u32 column, const u8 *values) {
    if (memcmp(values, values + 1, builder->rows - 1) == 0) {
        return put_constant(builder, column, values[0]);
    }
    for (u32 i = 0; i < builder->rows; i++) {
        builder->values[i] = values[i];
    }
    return put_numbers(builder, column, builder->values, builder->rows);
}

/* True if every row has a usage and it is its tokens'. Whatever the numbers are, what wraps around
 * here does so when it is read. */
static bool usage_is_tokens(const struct block_builder *builder) {
    const u32 *present = builder->present;
    if ((builder->present_all & NUM_BIT(NUM_USAGE)) == 0) {
        return false;
    }
    u64 different = 0;
    for (u32 i = 0; i < builder->rows && different == 0; i++) {
        bool has_input = (present[i] & NUM_BIT(NUM_INPUT)) != 0;
        bool has_output = (present[i] & NUM_BIT(NUM_OUTPUT)) != 0;
        u64 tokens = has_input ? (u64)builder->number[NUM_INPUT][i] : 0;
        tokens += has_output ? (u64)builder->number[NUM_OUTPUT][i] : 0;
        different = tokens * (u64)MICRO_PER_UNIT ^ (u64)builder->number[NUM_USAGE][i];
    }
    return different == 0;
}

static enum err put_number_column(struct block_builder *builder, u32 number) {
    u32 bit = NUM_BIT(number);
    const i64 *values = builder->number[number];
    if (number == NUM_USAGE && usage_is_tokens(builder)) {
        if (!bytes_reserve(&builder->out, 1)) {
            return ERR_NO_MEMORY;
        }
        builder->out.data[builder->out.bytes] = BLOCK_USAGE_TOKENS;
        return section_put(builder, COL_NUMBER + number, 1);
    }
    if ((builder->present_all & bit) != 0) {
        return put_numbers(builder, COL_NUMBER + number, values, builder->rows);
    }
    u32 count = 0;
    if ((builder->present_any & bit) != 0) {
        for (u32 i = 0; i < builder->rows; i++) {
            builder->values[count] = values[i];
            count += (builder->present[i] & bit) != 0;
        }
    }
    return put_numbers(builder, COL_NUMBER + number, builder->values, count);
}

static enum err put_packed_keys(struct block_builder *builder) {
    u32 count = builder->rows;
    if (!bytes_reserve(&builder->out, text_pack_bytes_max(count, sizeof builder->packed))) {
        return ERR_NO_MEMORY;
    }
    u8 *to = builder->out.data + builder->out.bytes;
    return section_put(builder, COL_TEXT + TEXT_KEY - SERIES_TEXTS,
                       text_put_packed(to, builder->packed, count));
}

static enum err put_text_column(struct block_builder *builder, u32 text) {
    u32 bit = TEXT_BIT(text);
    u32 column = COL_TEXT + text - SERIES_TEXTS;
    u32 count = 0;
    usize total = 0;
    if ((builder->present_any & bit) != 0) {
        for (u32 i = 0; i < builder->rows; i++) {
            if ((builder->present[i] & bit) != 0) {
                builder->texts[count] = builder->text[text - SERIES_TEXTS][i];
                total += builder->texts[count].bytes;
                count++;
            }
        }
    }
    if (total >= TEXT_FRAME_BYTES_MAX) {
        return ERR_LIMIT;
    }
    if (!bytes_reserve(&builder->out, text_pack_bytes_max(count, total))) {
        return ERR_NO_MEMORY;
    }
    u8 *to = builder->out.data + builder->out.bytes;
    bool free_form = text == TEXT_PROPERTIES || text == TEXT_META || text == TEXT_REFS;
    usize bytes =
        count > 0 ? text_pack(builder->packer, to, builder->texts, count, total, free_form) : 0;
    return section_put(builder, column, bytes);
}

static enum err put_fixed_columns(struct block_builder *builder) {
    enum err err = put_u32(builder, COL_PRESENT, builder->present);
    if (err == ERR_OK) {
        err = put_u32(builder, COL_ACCOUNT, builder->account);
    }
    if (err == ERR_OK) {
        err = put_u32(builder, COL_SERIES, builder->series);
    }
    if (err == ERR_OK) {
        err = put_numbers(builder, COL_CREATED, builder->created, builder->rows);
    }
    for (u32 column = COL_COST_SOURCE; column < COL_DIGEST && err == ERR_OK; column++) {
        err = put_u8(builder, column, builder->small[column - COL_COST_SOURCE]);
    }
    return err == ERR_OK ? put_u32(builder, COL_DIGEST, builder->digest) : err;
}

/* The frame is coded. */
static void note_frame(struct block_builder *builder, const struct block_frame_entry *entry) {
    struct block_header *header = &builder->header;
    header->time_min = MIN(header->time_min, entry->time_min);
    header->time_max = MAX(header->time_max, entry->time_max);
    header->count += builder->rows;
    header->frame_count++;
    builder->rows = 0;
    builder->text_bytes = 0;
    builder->kept_rows = 0;
}

static enum err flush_frame(struct block_builder *builder) {
    struct block_frame_entry entry = {
        .offset = (u32)builder->out.bytes,
        .first_row = builder->header.count,
        .time_min = INT64_MAX,
        .time_max = INT64_MIN,
    };
    if (!bytes_reserve(&builder->directory, ENTRY_BYTES)) {
        return ERR_NO_MEMORY;
    }
    for (u32 i = 0; i < builder->rows; i++) {
        bool gone = builder->present[i] == 0;
        entry.time_min = gone ? entry.time_min : MIN(entry.time_min, builder->number[NUM_TIME][i]);
        entry.time_max = gone ? entry.time_max : MAX(entry.time_max, builder->number[NUM_TIME][i]);
    }
    bytes_put(&builder->directory, &entry, sizeof entry);
    enum err err = put_fixed_columns(builder);
    for (u32 number = 0; number < NUM_COUNT && err == ERR_OK; number++) {
        err = put_number_column(builder, number);
    }
    bool packed =
        builder->is_packed && builder->rows > 1 && (builder->present_all & TEXT_BIT(TEXT_KEY)) != 0;
    for (u32 text = SERIES_TEXTS; text < TEXT_COUNT && err == ERR_OK; text++) {
        err =
            packed && text == TEXT_KEY ? put_packed_keys(builder) : put_text_column(builder, text);
    }
    note_frame(builder, &entry);
    return err;
}

enum err block_add(struct block_builder *builder, const struct event_batch *batch, const u32 *rows,
                   u32 count) {
    /* Captured bodies may be half a megabyte an event: frames of them are not read for one. */
    usize bytes = (usize)batch->text_bytes * count / MAX(batch->count, 1u);
    if (unlikely(builder->text_bytes + bytes > FRAME_TEXT_BYTES) && builder->rows > 0) {
        enum err err = flush_frame(builder);
        if (err != ERR_OK) {
            return err;
        }
    }
    builder->text_bytes += bytes;
    while (count > 0) {
        u32 some = MIN(count, FRAME_ROWS_MAX - builder->rows);
        gather(builder, batch, rows, some);
        rows += some;
        count -= some;
        if (builder->rows == FRAME_ROWS_MAX) {
            enum err err = flush_frame(builder);
            if (err != ERR_OK) {
                return err;
            }
        }
    }
    return ERR_OK;
}

u32 block_rows_waiting(const struct block_builder *builder) {
    return builder->rows;
}

/* --- frames of other blocks ------------------------------------------------------------------- */

/* Copies a section, if the copy's checksum holds: what is hashed is what stays. */
static enum err section_copy(struct block_builder *builder, u32 column, const u8 *from,
                             const struct block_section *section) {
    u8 *to = builder->out.data + builder->out.bytes;
    if (section->bytes > 0) {
        memcpy(to, from, section->bytes);
        if ((u32)hash64(to, section->bytes, column) != section->hash) {
            return ERR_CORRUPT;
        }
        builder->out.bytes += section->bytes;
        builder->header.column_mask |= (u32)1 << column;
    }
    bytes_put(&builder->directory, section, sizeof *section);
    return ERR_OK;
}

/* Codes a text column of the frame anew, and leaves it as it was where that gains nothing. */
static enum err section_recode(struct block_builder *builder, u32 column, const u8 *from,
                               const struct block_section *section) {
    usize bytes = builder->out.bytes;
    usize directory_bytes = builder->directory.bytes;
    enum err err = put_text_column(builder, column - COL_TEXT + SERIES_TEXTS);
    if (err == ERR_OK && builder->out.bytes - bytes >= section->bytes) {
        builder->out.bytes = bytes;
        builder->directory.bytes = directory_bytes;
        err = section_copy(builder, column, from, section);
    }
    return err;
}

/* What section_recode() looks at, of the frame's rows. */
static void gather_recoded(struct block_builder *builder, const struct event_batch *batch,
                           u32 recoded) {
    builder->present_any = 0;
    for (u32 i = 0; i < builder->rows && recoded != 0; i++) {
        builder->present[i] = batch->present[i];
        builder->present_any |= batch->present[i];
    }
    for (u32 text = SERIES_TEXTS; text < TEXT_COUNT; text++) {
        for (u32 i = 0; i < builder->rows && (recoded & TEXT_BIT(text)) != 0; i++) {
            struct text_ref ref = batch->ref[text][i];
            builder->text[text - SERIES_TEXTS][i] =
                (struct slice){batch->text + ref.offset, ref.bytes};
        }
    }
}

enum err block_add_frame(struct block_builder *builder, const struct block_view *view, u32 frame,
                         u32 recoded, const struct event_batch *batch) {
    struct block_section sections[BLOCK_COLUMNS];
    enum err err = builder->rows > 0 ? flush_frame(builder) : ERR_OK;
    if (err != ERR_OK) {
        return err;
    }
    struct block_frame_entry entry = block_frame_at(view, frame);
    const u8 *from = view->data + entry.offset;
    usize bytes = block_sections(view, frame, sections);
    if (builder->out.bytes + bytes > BLOCK_BYTES_MAX) {
        return ERR_LIMIT;
    }
    if (!bytes_reserve(&builder->out, bytes) || !bytes_reserve(&builder->directory, ENTRY_BYTES)) {
        return ERR_NO_MEMORY;
    }
    entry.offset = (u32)builder->out.bytes;
    entry.first_row = builder->header.count;
    bytes_put(&builder->directory, &entry, sizeof entry);
    builder->rows = block_frame_rows(view, frame);
    builder->is_packed = false;
    gather_recoded(builder, batch, recoded);
    for (u32 column = 0; column < BLOCK_COLUMNS && err == ERR_OK; column++) {
        bool again = column >= COL_TEXT && sections[column].bytes > 0 &&
                     (recoded & TEXT_BIT(column - COL_TEXT + SERIES_TEXTS)) != 0;
        err = again ? section_recode(builder, column, from, &sections[column])
                    : section_copy(builder, column, from, &sections[column]);
        from += sections[column].bytes;
    }
    note_frame(builder, &entry);
    return err;
}

/* Room for the texts that are not kept yet. Those that are move with their memory. */
static enum err kept_reserve(struct block_builder *builder) {
    struct text_sink *kept = &builder->kept;
    usize bytes = 0;
    uintptr_t before = (uintptr_t)kept->data;
    kept->bytes = builder->kept_rows > 0 ? kept->bytes : 0;
    for (u32 text = 0; text < STORED_TEXTS; text++) {
        u32 bit = TEXT_BIT(text + SERIES_TEXTS);
        for (u32 i = builder->kept_rows; i < builder->rows; i++) {
            bytes += (builder->present[i] & bit) != 0 ? builder->text[text][i].bytes : 0;
        }
    }
    enum err err = text_sink_reserve(kept, bytes);
    bool moved = before != (uintptr_t)kept->data;
    for (u32 text = 0; text < STORED_TEXTS && err == ERR_OK && moved; text++) {
        u32 bit = TEXT_BIT(text + SERIES_TEXTS);
        for (u32 i = 0; i < builder->kept_rows; i++) {
            if ((builder->present[i] & bit) != 0) {
                uintptr_t offset = (uintptr_t)builder->text[text][i].data - before;
                builder->text[text][i].data = kept->data + offset;
            }
        }
    }
    return err;
}

enum err block_keep(struct block_builder *builder) {
    struct text_sink *kept = &builder->kept;
    enum err err = kept_reserve(builder);
    if (err != ERR_OK) {
        return err;
    }
    for (u32 text = 0; text < STORED_TEXTS; text++) {
        u32 bit = TEXT_BIT(text + SERIES_TEXTS);
        for (u32 i = builder->kept_rows; i < builder->rows; i++) {
            if ((builder->present[i] & bit) != 0) {
                struct slice *value = &builder->text[text][i];
                memcpy(kept->data + kept->bytes, value->data, value->bytes);
                value->data = kept->data + kept->bytes;
                kept->bytes += value->bytes;
            }
        }
    }
    builder->kept_rows = builder->rows;
    return ERR_OK;
}

/* --- definitions and the end ------------------------------------------------------------------ */

enum err block_add_def(struct block_builder *builder, const struct series_def *def, u64 last_id) {
    usize most = 5 * VARINT_BYTES_MAX;
    for (u32 i = 0; i < SERIES_TEXTS; i++) {
        most += def->text[i].bytes + VARINT_BYTES_MAX;
    }
    check(last_id >= builder->header.first_id);
    if (builder->defs.bytes + most >= TEXT_FRAME_BYTES_MAX) {
        return ERR_LIMIT;
    }
    if (!bytes_reserve(&builder->defs, most)) {
        return ERR_NO_MEMORY;
    }
    u8 *at = builder->defs.data + builder->defs.bytes;
    at = varint_put(at, zigzag((i64)def->series - (i64)builder->last_def_series));
    at = varint_put(at, last_id - builder->header.first_id);
    at = varint_put(at, def->account);
    *at++ = def->source;
    for (u32 i = 0; i < SERIES_TEXTS; i++) {
        at = varint_put(at, def->text[i].bytes);
        if (def->text[i].bytes > 0) {
            memcpy(at, def->text[i].data, def->text[i].bytes);
            at += def->text[i].bytes;
        }
    }
    builder->defs.bytes = (usize)(at - builder->defs.data);
    builder->last_def_series = def->series;
    builder->header.def_count++;
    return ERR_OK;
}

/* Leaves the columns out that no frame has: tiny blocks are mostly directory. */
static void directory_shrink(struct block_builder *builder) {
    u8 *to = builder->directory.data;
    const u8 *from = to;
    for (u32 frame = 0; frame < builder->header.frame_count; frame++) {
        memmove(to, from, sizeof(struct block_frame_entry));
        to += sizeof(struct block_frame_entry);
        from += sizeof(struct block_frame_entry);
        for (u32 column = 0; column < BLOCK_COLUMNS; column++) {
            if ((builder->header.column_mask >> column & 1) != 0) {
                memmove(to, from, sizeof(struct block_section));
                to += sizeof(struct block_section);
            }
            from += sizeof(struct block_section);
        }
    }
    builder->directory.bytes = (usize)(to - builder->directory.data);
}

static enum err put_defs(struct block_builder *builder) {
    struct block_header *header = &builder->header;
    struct slice defs = {(const char *)builder->defs.data, builder->defs.bytes};
    header->def_offset = (u32)builder->out.bytes;
    if (defs.bytes == 0) {
        return ERR_OK;
    }
    if (!bytes_reserve(&builder->out, text_pack_bytes_max(1, defs.bytes))) {
        return ERR_NO_MEMORY;
    }
    u8 *to = builder->out.data + builder->out.bytes;
    usize bytes = text_pack(builder->packer, to, &defs, 1, defs.bytes, true);
    header->def_bytes = (u32)bytes;
    header->def_hash = hash64(to, bytes, 0);
    builder->out.bytes += bytes;
    return ERR_OK;
}

void block_add_dropped(struct block_builder *builder, const struct block_header *from) {
    struct block_header *header = &builder->header;
    check(header->kind == BLOCK_DROPPED && from->count <= DROPPED_ROWS_MAX - header->count);
    header->count += from->count;
    header->time_min = MIN(header->time_min, from->time_min);
    header->time_max = MAX(header->time_max, from->time_max);
}

enum err block_finish(struct block_builder *builder, u64 previous, u64 chain, struct slice *out,
                      struct block_header *header_out) {
    struct block_header *header = &builder->header;
    enum err err = builder->rows > 0 ? flush_frame(builder) : ERR_OK;
    if (err == ERR_OK) {
        err = put_defs(builder);
    }
    if (err != ERR_OK) {
        return err;
    }
    check(header->count > 0);
    directory_shrink(builder);
    if (!bytes_reserve(&builder->out, builder->directory.bytes)) {
        return ERR_NO_MEMORY;
    }
    header->directory_offset = (u32)builder->out.bytes;
    header->directory_bytes = (u32)builder->directory.bytes;
    header->directory_hash = hash64(builder->directory.data, builder->directory.bytes, 0);
    bytes_put(&builder->out, builder->directory.data, builder->directory.bytes);
    header->block_bytes = builder->out.bytes;
    if (header->block_bytes > BLOCK_BYTES_MAX) {
        return ERR_LIMIT;
    }
    header->previous = previous;
    header->chain = chain;
    header->header_hash = hash64(header, offsetof(struct block_header, header_hash), 0);
    memcpy(builder->out.data, header, sizeof *header);
    *out = (struct slice){(const char *)builder->out.data, header->block_bytes};
    *header_out = *header;
    return ERR_OK;
}
