/*
 * fuzz_block: arbitrary bytes as a block of the log. The checksums are made right first, so that
 * what lies behind them is reached: header, directory, every column of every frame, and
 * definitions; its frames are also taken over into another block, which must read the same; then as
 * the second copy of a block's definitions.
 */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "storage/block.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FRAMES_READ 8

static struct block_reader *reader;
static struct block_builder *builder;
static struct event_batch *batch;
static struct text_sink sink;
static u32 accounts[EVENT_BATCH_MAX];

/* Gives each section of the directory the checksum its bytes have. */
static void fix_sections(u8 *block, usize bytes, const struct block_header *header) {
    u32 columns[BLOCK_COLUMNS];
    u32 column_count = 0;
    for (u32 column = 0; column < BLOCK_COLUMNS; column++) {
        if ((header->column_mask >> column & 1) != 0) {
            columns[column_count++] = column;
        }
    }
    usize at = header->directory_offset;
    usize end = at + header->directory_bytes;
    struct block_frame_entry entry;
    struct block_section section;
    while (at + sizeof entry + column_count * sizeof section <= end) {
        memcpy(&entry, block + at, sizeof entry);
        at += sizeof entry;
        usize offset = entry.offset;
        for (u32 i = 0; i < column_count; i++, at += sizeof section) {
            memcpy(&section, block + at, sizeof section);
            if (offset + section.bytes <= bytes) {
                section.hash = (u32)hash64(block + offset, section.bytes, columns[i]);
                memcpy(block + at, &section, sizeof section);
            }
            offset += section.bytes;
        }
    }
}

static void fix(u8 *block, usize bytes) {
    struct block_header header;
    memcpy(&header, block, sizeof header);
    header.magic = BLOCK_MAGIC;
    header.version = BLOCK_VERSION;
    header.block_bytes = bytes;
    if ((u64)header.directory_offset + header.directory_bytes <= bytes &&
        header.directory_offset >= sizeof header) {
        fix_sections(block, bytes, &header);
        header.directory_hash = hash64(block + header.directory_offset, header.directory_bytes, 0);
    }
    if ((u64)header.def_offset + header.def_bytes <= bytes) {
        header.def_hash = hash64(block + header.def_offset, header.def_bytes, 0);
    }
    header.header_hash = hash64(&header, offsetof(struct block_header, header_hash), 0);
    memcpy(block, &header, sizeof header);
}

static enum err take_def(void *context, const struct series_def *def, u64 last_id) {
    const struct block_view *view = context;
    check(last_id >= view->header.first_id);
    check(last_id - view->header.first_id < view->header.count);
    u8 sum = def->source;
    for (u32 i = 0; i < SERIES_TEXTS; i++) {
        for (usize at = 0; at < def->text[i].bytes; at++) {
            sum ^= (u8)def->text[i].data[at];
        }
    }
    return sum == 0 && def->series == 77 ? ERR_LIMIT : ERR_OK;
}

static void read_all(const struct block_view *view) {
    const char *what;
    for (u32 frame = 0; frame < view->header.frame_count && frame < FRAMES_READ; frame++) {
        sink.bytes = 0;
        enum err err =
            block_read_frame(reader, view, frame, UINT32_MAX, batch, accounts, 0, &sink, &what);
        u32 rows = block_frame_rows(view, frame);
        for (u32 i = 0; i < rows && err == ERR_OK; i++) {
            for (u32 text = SERIES_TEXTS; text < TEXT_COUNT; text++) {
                struct text_ref ref = batch->ref[text][i];
                check(!event_has_text(batch, i, text) ||
                      (usize)ref.offset + ref.bytes <= sink.bytes);
            }
            check(batch->series[i] < SERIES_MAX && batch->source[i] < EVENT_SOURCES);
        }
    }
    block_read_defs(reader, view, take_def, (void *)(uintptr_t)view, &what);
}

/* Frames behind a row of another block are what they were. */
static void take_over(const struct block_view *view) {
    static char text[EVENT_TEXT_PADDING];
    struct slice block;
    struct block_header header;
    struct block_view taken;
    const char *what;
    u32 row = 0;
    u32 frames = MIN(view->header.frame_count, (u32)FRAMES_READ);
    memset(batch, 0, sizeof *batch);
    batch->text = text;
    batch->present[0] = NUM_BIT(NUM_TIME);
    block_begin(builder, BLOCK_SEGMENT, 1);
    check(block_add(builder, batch, &row, 1) == ERR_OK);
    for (u32 frame = 0; frame < frames; frame++) {
        enum err err = block_add_frame(builder, view, frame, 0, batch);
        if (err != ERR_OK) { /* sections that lie over the directory have no checksum that holds */
            check(err == ERR_CORRUPT);
            return;
        }
    }
    check(block_finish(builder, 0, 0, &block, &header) == ERR_OK);
    check(block_view_open(&taken, block.data, block.bytes, &what) == ERR_OK);
    check(taken.header.frame_count == frames + 1);
    for (u32 frame = 0; frame < frames; frame++) {
        check(block_frame_rows(&taken, frame + 1) == block_frame_rows(view, frame));
        check(block_frame_of(&taken, block_frame_at(&taken, frame + 1).first_row) == frame + 1);
        for (u32 column = 0; column < BLOCK_COLUMNS; column++) {
            struct slice from = block_section_of(view, frame, column);
            struct slice to = block_section_of(&taken, frame + 1, column);
            check(from.bytes == to.bytes &&
                  (to.bytes == 0 || memcmp(from.data, to.data, to.bytes) == 0));
        }
    }
}

static void try_copy(u8 *copy, usize size) {
    struct block_header header;
    struct block_view view;
    const char *what;
    memcpy(&header, copy, sizeof header);
    header.magic = BLOCK_MAGIC;
    header.def_bytes = (u32)(size - sizeof header);
    header.def_hash = hash64(copy + sizeof header, header.def_bytes, 0);
    header.header_hash = hash64(&header, offsetof(struct block_header, header_hash), 0);
    memcpy(copy, &header, sizeof header);
    if (block_view_defs(&view, (struct slice){(const char *)copy, size}) == ERR_OK) {
        block_read_defs(reader, &view, take_def, &view, &what);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (reader == NULL) {
        batch = calloc(1, sizeof *batch);
        check(batch != NULL && block_reader_create(&reader) == ERR_OK);
        check(block_builder_create(TEXT_SMALL, &builder) == ERR_OK);
    }
    u8 *block = malloc(size > 0 ? size : 1);
    check(block != NULL);
    memcpy(block, data, size);
    if (size >= sizeof(struct block_header)) {
        fix(block, size);
    }
    struct block_view view;
    const char *what;
    if (block_view_open(&view, block, size, &what) == ERR_OK) {
        read_all(&view);
        take_over(&view);
    }
    if (size >= sizeof(struct block_header)) {
        memcpy(block, data, size);
        try_copy(block, size);
    }
    free(block);
    return 0;
}
