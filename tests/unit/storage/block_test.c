/* block_test.c: frames taken over from other blocks, and directories that do not add up. */
#include "storage/block.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

#define FIRST_ID 5000

static struct event_batch batch;
static struct event_batch back;
static u32 rows[EVENT_BATCH_MAX];
static u32 accounts[EVENT_BATCH_MAX];
static struct text_sink sink;
static struct block_reader *reader;

/* Row k of the batch is event FIRST_ID + k, with texts whose length and presence change. */
static void fill(void) {
    static char text[EVENT_BATCH_MAX * 128];
    batch.account = 3;
    batch.text = text;
    batch.count = EVENT_BATCH_MAX;
    batch.text_bytes = 0;
    for (u32 i = 0; i < EVENT_BATCH_MAX; i++) {
        rows[i] = i;
        batch.present[i] = TEXT_BIT(TEXT_KEY) | NUM_BIT(NUM_TIME) | NUM_BIT(NUM_COST);
        batch.present[i] |= i % 3 == 0 ? TEXT_BIT(TEXT_PROPERTIES) : NUM_BIT(NUM_INPUT);
        batch.series[i] = i % 100;
        batch.digest[i] = i * 2654435761u;
        batch.created[i] = 1700000000000 + i / 9 * 1000;
        batch.number[NUM_TIME][i] = 1700000000000 + (i64)i * 7 - i % 50;
        batch.number[NUM_COST][i] = (i64)i * 150000;
        batch.number[NUM_INPUT][i] = i % 4000;
        const char *forms[] = {"key-%u", "{\"tier\":\"gold\",\"region\":\"eu-central\",\"n\":%u}"};
        const u32 texts[] = {TEXT_KEY, TEXT_PROPERTIES};
        for (u32 k = 0; k < 2; k++) {
            int bytes = snprintf(text + batch.text_bytes, 64, forms[k], i * 7919);
            batch.ref[texts[k]][i] = (struct text_ref){batch.text_bytes, (u32)bytes};
            batch.text_bytes += (u32)bytes;
        }
    }
}

static struct block_builder *builder_of(enum text_effort effort) {
    struct block_builder *builder;
    cr_assert_eq(block_builder_create(effort, &builder), ERR_OK);
    if (reader == NULL) {
        cr_assert_eq(block_reader_create(&reader), ERR_OK);
        fill();
    }
    return builder;
}

/* A block of `count` rows from row `from` of the batch on, in memory of its own. */
static u8 *build(struct block_builder *builder, u32 from, u32 count, struct block_view *view) {
    struct slice block;
    struct block_header header;
    const char *what = "";
    block_begin(builder, BLOCK_GROUP, FIRST_ID + from);
    cr_assert_eq(block_add(builder, &batch, rows + from, count), ERR_OK);
    cr_assert_eq(block_finish(builder, 0, 0, &block, &header), ERR_OK);
    u8 *copy = malloc(block.bytes);
    cr_assert(copy != NULL);
    memcpy(copy, block.data, block.bytes);
    cr_assert_eq(block_view_open(view, copy, block.bytes, &what), ERR_OK, "%s", what);
    return copy;
}

/* The frame reads back as the rows of the batch that its ids say. */
static void check_frame(const struct block_view *view, u32 frame) {
    const char *what = "";
    sink.bytes = 0;
    cr_assert_eq(
        block_read_frame(reader, view, frame, UINT32_MAX, &back, accounts, 0, &sink, &what), ERR_OK,
        "%s", what);
    u64 first_id = view->header.first_id + block_frame_at(view, frame).first_row;
    for (u32 i = 0; i < block_frame_rows(view, frame); i++) {
        u32 like = (u32)(first_id + i - FIRST_ID);
        cr_assert_eq(back.id[i], first_id + i);
        cr_assert(back.present[i] == batch.present[like] && back.series[i] == batch.series[like]);
        cr_assert(back.digest[i] == batch.digest[like] && accounts[i] == 3);
        for (u32 number = 0; number < NUM_COUNT; number++) {
            cr_assert((batch.present[like] & NUM_BIT(number)) == 0 ||
                      back.number[number][i] == batch.number[number][like]);
        }
        for (u32 text = SERIES_TEXTS; text < TEXT_COUNT; text++) {
            struct text_ref from = batch.ref[text][like];
            struct text_ref to = back.ref[text][i];
            cr_assert((batch.present[like] & TEXT_BIT(text)) == 0 ||
                      (from.bytes == to.bytes &&
                       memcmp(batch.text + from.offset, sink.data + to.offset, to.bytes) == 0));
        }
    }
}

static void check_block(const struct block_view *view, const u32 *frame_rows, u32 frames) {
    cr_assert_eq(view->header.frame_count, frames);
    u32 row = 0;
    i64 least = INT64_MAX;
    i64 most = INT64_MIN;
    for (u32 frame = 0; frame < frames; frame++) {
        struct block_frame_entry entry = block_frame_at(view, frame);
        cr_assert_eq(block_frame_rows(view, frame), frame_rows[frame], "frame %u: %u", frame,
                     block_frame_rows(view, frame));
        cr_assert_eq(entry.first_row, row);
        cr_assert_eq(block_frame_of(view, row), frame);
        row += frame_rows[frame];
        cr_assert_eq(block_frame_of(view, row - 1), frame);
        check_frame(view, frame);
        least = MIN(least, entry.time_min);
        most = MAX(most, entry.time_max);
    }
    cr_assert_eq(view->header.count, row);
    cr_assert(view->header.time_min == least && view->header.time_max == most);
}

/* Rows before, a frame as it is coded, rows behind, another frame: of any size, anywhere. */
Test(block, takes_frames_over) {
    struct block_builder *fast = builder_of(TEXT_FAST);
    struct block_builder *small = builder_of(TEXT_SMALL);
    struct block_view source;
    struct block_view view;
    struct slice block;
    struct block_header header;
    const char *what = "";
    u8 *bytes = build(fast, 20, 1724, &source);
    for (u32 recoded = 0; recoded <= TEXT_BIT(TEXT_PROPERTIES);
         recoded += TEXT_BIT(TEXT_PROPERTIES)) {
        block_begin(small, BLOCK_SEGMENT, FIRST_ID);
        cr_assert_eq(block_add(small, &batch, rows, 20), ERR_OK);
        cr_assert_eq(block_keep(small), ERR_OK);
        for (u32 frame = 0; frame < 2; frame++) {
            sink.bytes = 0;
            cr_assert_eq(block_read_frame(reader, &source, frame, READ_FIRST | recoded, &back,
                                          accounts, 0, &sink, &what),
                         ERR_OK);
            back.text = sink.data;
            cr_assert_eq(block_add_frame(small, &source, frame, recoded, &back), ERR_OK);
            cr_assert_eq(block_rows_waiting(small), 0u);
        }
        cr_assert_eq(block_add(small, &batch, rows + 1744, 1), ERR_OK);
        cr_assert_eq(block_rows_waiting(small), 1u);
        cr_assert_eq(block_finish(small, 1, 2, &block, &header), ERR_OK);
        cr_assert_eq(block_view_open(&view, block.data, block.bytes, &what), ERR_OK, "%s", what);
        check_block(&view, (u32[]){20, 1024, 700, 1}, 4);
        for (u32 column = 0; column < BLOCK_COLUMNS; column++) {
            struct slice from = block_section_of(&source, 1, column);
            struct slice to = block_section_of(&view, 2, column);
            bool again = recoded != 0 && column == COL_TEXT + TEXT_PROPERTIES - SERIES_TEXTS;
            cr_assert(again ? to.bytes < from.bytes && to.bytes > 0
                            : to.bytes == from.bytes &&
                                  (to.bytes == 0 || memcmp(to.data, from.data, to.bytes) == 0));
        }
    }
    free(bytes);
    block_builder_destroy(fast);
    block_builder_destroy(small);
}

/* Rows whose batch has gone are still there, however often and in however small parts. */
Test(block, keeps_texts_of_rows_that_wait) {
    struct block_builder *builder = builder_of(TEXT_SMALL);
    struct block_view view;
    struct slice block;
    struct block_header header;
    const char *what = "";
    block_begin(builder, BLOCK_SEGMENT, FIRST_ID);
    static struct event_batch part;
    for (u32 row = 0, count; row < 3000; row += count) {
        count = MIN(1 + row % 37, 3000 - row);
        part = batch;
        part.text = malloc(batch.text_bytes);
        cr_assert(part.text != NULL);
        memcpy(part.text, batch.text, batch.text_bytes);
        cr_assert_eq(block_add(builder, &part, rows + row, count), ERR_OK);
        cr_assert_eq(block_keep(builder), ERR_OK);
        memset(part.text, '#', batch.text_bytes);
        free(part.text);
    }
    cr_assert_eq(block_finish(builder, 1, 2, &block, &header), ERR_OK);
    cr_assert_eq(block_view_open(&view, block.data, block.bytes, &what), ERR_OK, "%s", what);
    check_block(&view, (u32[]){1024, 1024, 952}, 3);
    block_builder_destroy(builder);
}

/* Much text makes a frame end early: texts of 20 MiB that 100 rows share, by what they are said to
 * take. */
Test(block, ends_frames_of_much_text) {
    struct block_builder *builder = builder_of(TEXT_FAST);
    struct block_view view;
    struct slice block;
    struct block_header header;
    const char *what = "";
    static struct event_batch part;
    block_begin(builder, BLOCK_GROUP, FIRST_ID);
    for (u32 i = 0; i < 3; i++) {
        part = batch;
        part.count = 100;
        part.text_bytes = (u32)(20 * MIB);
        cr_assert_eq(block_add(builder, &part, rows + 100 * (usize)i, 50), ERR_OK);
        cr_assert_eq(block_add(builder, &part, rows + 100 * (usize)i + 50, 50), ERR_OK);
    }
    cr_assert_eq(block_finish(builder, 0, 0, &block, &header), ERR_OK);
    cr_assert_eq(block_view_open(&view, block.data, block.bytes, &what), ERR_OK, "%s", what);
    check_block(&view, (u32[]){150, 150}, 2);
    block_builder_destroy(builder);
}

/* No bit of a frame can be wrong and be taken over. */
Test(block, takes_no_damaged_frame_over) {
    struct block_builder *fast = builder_of(TEXT_FAST);
    struct block_builder *small = builder_of(TEXT_SMALL);
    struct block_view view;
    u8 *bytes = build(fast, 0, 1500, &view);
    usize from = block_frame_at(&view, 1).offset;
    for (usize at = from; at < view.header.directory_offset; at += 1 + at % 5) {
        bytes[at] ^= 8;
        block_begin(small, BLOCK_SEGMENT, FIRST_ID);
        cr_assert_eq(block_add_frame(small, &view, 0, 0, &back), ERR_OK);
        cr_assert_eq(block_add_frame(small, &view, 1, 0, &back), ERR_CORRUPT, "byte %zu", at);
        bytes[at] ^= 8;
    }
    block_begin(small, BLOCK_SEGMENT, FIRST_ID);
    cr_assert_eq(block_add_frame(small, &view, 1, 0, &back), ERR_OK);
    free(bytes);
    block_builder_destroy(fast);
    block_builder_destroy(small);
}

/* Makes the checksums right again behind a change. */
static void seal(u8 *bytes) {
    struct block_header header;
    memcpy(&header, bytes, sizeof header);
    header.directory_hash = hash64(bytes + header.directory_offset, header.directory_bytes, 0);
    header.header_hash = hash64(&header, offsetof(struct block_header, header_hash), 0);
    memcpy(bytes, &header, sizeof header);
}

Test(block, refuses_directories_that_do_not_add_up) {
    struct block_builder *builder = builder_of(TEXT_FAST);
    struct block_view view;
    const char *what = "";
    u8 *bytes = build(builder, 0, 2500, &view);
    usize blocks = view.header.block_bytes;
    usize entry_bytes = view.header.directory_bytes / 3;
    u32 wrong[][3] = {{1, 1024, 2048},    {0, 0, 2048},    {0, 2048, 1024}, {0, 1024, 2500},
                      {0, 1025, 2048},    {0, 1024, 1475}, {0, 1024, 2501}, {0, 1024, UINT32_MAX},
                      {0, UINT32_MAX, 9}, {1024, 0, 2048}};
    u32 right[][3] = {{0, 1024, 2048}, {0, 1, 1025}, {0, 500, 1476}, {0, 1024, 2000}};
    for (u32 i = 0; i < ARRAY_COUNT(wrong) + ARRAY_COUNT(right); i++) {
        bool good = i >= ARRAY_COUNT(wrong);
        const u32 *rows_of = good ? right[i - ARRAY_COUNT(wrong)] : wrong[i];
        for (u32 frame = 0; frame < 3; frame++) {
            memcpy(bytes + view.header.directory_offset + frame * entry_bytes +
                       offsetof(struct block_frame_entry, first_row),
                   &rows_of[frame], 4);
        }
        /* {0, 1, 1025} leaves 1475 rows to the last frame. */
        bool fits = good && 2500 - rows_of[2] <= FRAME_ROWS_MAX;
        struct block_view other;
        seal(bytes);
        cr_assert_eq(block_view_open(&other, bytes, blocks, &what), fits ? ERR_OK : ERR_CORRUPT,
                     "%u %u %u", rows_of[0], rows_of[1], rows_of[2]);
    }
    struct block_header header;
    memcpy(&header, bytes, sizeof header);
    header.version = BLOCK_VERSION - 1;
    memcpy(bytes, &header, sizeof header);
    seal(bytes);
    cr_assert_eq(block_view_open(&view, bytes, blocks, &what), ERR_VERSION);
    free(bytes);
    block_builder_destroy(builder);
}

/* A block of all rows, added a few at a time: those whose turn's bit is set in `packed` with the
 * keys that store_pack_keys() has made, the others by their text; every `step`th row. */
static struct slice build_packed(struct block_builder *builder, u32 packed, u32 step) {
    struct slice block;
    struct block_header header;
    u32 some[EVENT_BATCH_MAX];
    u32 whole = batch.packed_count;
    block_begin(builder, BLOCK_GROUP, FIRST_ID);
    for (u32 turn = 0, from = 0; from < EVENT_BATCH_MAX; turn++, from += 300) {
        u32 count = 0;
        for (u32 i = from; i < MIN(from + 300, (u32)EVENT_BATCH_MAX); i += step) {
            some[count++] = i;
        }
        batch.packed_count = (packed >> turn % 32 & 1) != 0 ? whole : 0;
        cr_assert_eq(block_add(builder, &batch, some, count), ERR_OK);
    }
    batch.packed_count = whole;
    cr_assert_eq(block_finish(builder, 0, 0, &block, &header), ERR_OK);
    return block;
}

Test(block, keys_that_are_packed_already) {
    static char text[EVENT_BATCH_MAX * 40];
    struct block_builder *builder = builder_of(TEXT_FAST);
    struct block_builder *other = builder_of(TEXT_FAST);
    for (u32 i = 0; i < EVENT_BATCH_MAX; i++) {
        snprintf(text + i * 40, 40, "%08x-0000-4000-8000-00000000%04x", i * 2654435761u, i);
        memcpy(batch.text + batch.text_bytes, text + i * 40, 36);
        batch.ref[TEXT_KEY][i] = (struct text_ref){batch.text_bytes, 36};
        batch.text_bytes += 36;
    }
    store_pack_keys(&batch);
    cr_assert_eq(batch.packed_count, EVENT_BATCH_MAX);
    const u32 patterns[] = {UINT32_MAX, 0xaaaaaaaa, 0x55555555, 0x0ff0, 0xf00f};
    for (u32 step = 1; step <= 3; step++) {
        struct slice wanted = build_packed(other, 0, step);
        for (u32 i = 0; i < ARRAY_COUNT(patterns); i++) {
            struct slice block = build_packed(builder, patterns[i], step);
            cr_assert(block.bytes == wanted.bytes &&
                          memcmp(block.data, wanted.data, block.bytes) == 0,
                      "pattern %u, step %u", i, step);
        }
    }
    /* Rows without a key, and with another one: those before them are packed, at most. */
    batch.packed_count = 0;
    batch.ref[TEXT_KEY][2000].bytes = 35;
    store_pack_keys(&batch);
    cr_assert(batch.packed_count > 0 && batch.packed_count <= 2000);
    batch.packed_count = 0;
    batch.present[700] &= ~TEXT_BIT(TEXT_KEY);
    store_pack_keys(&batch);
    cr_assert(batch.packed_count <= 700);
    block_builder_destroy(builder);
    block_builder_destroy(other);
}
