/*
 * fuzz_column: arbitrary bytes as a coded column of numbers or texts. Two bytes say how many values
 * and of what kind. What decodes is coded again and must come back the same.
 */
#include <stdlib.h>
#include <string.h>

#include "storage/column.h"
#include "storage/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct text_reader *reader;
static struct text_packer *packer;
static struct text_sink sink;
static struct text_sink again;
static struct text_ref refs[FRAME_ROWS_MAX];
static struct text_ref refs_again[FRAME_ROWS_MAX];
static struct slice texts[FRAME_ROWS_MAX];

static void numbers(const u8 *data, usize bytes, u32 count) {
    static i64 values[FRAME_ROWS_MAX];
    static i64 back[FRAME_ROWS_MAX];
    static u8 packed[COLUMN_BYTES_MAX(FRAME_ROWS_MAX)];
    if (column_unpack(data, bytes, values, count)) {
        usize packed_bytes = column_pack(packed, values, count);
        check(column_unpack(packed, packed_bytes, back, count));
        check(memcmp(values, back, count * sizeof *back) == 0);
    }
    column_coding(data, bytes);
}

static void text(const u8 *data, usize bytes, u32 count) {
    usize total = 0;
    sink.bytes = 0;
    again.bytes = 0;
    if (text_unpack(reader, data, bytes, count, &sink, refs) != ERR_OK) {
        return;
    }
    for (u32 i = 0; i < count; i++) {
        check((usize)refs[i].offset + refs[i].bytes <= sink.bytes);
        texts[i] = (struct slice){sink.data + refs[i].offset, refs[i].bytes};
        total += refs[i].bytes;
    }
    if (total > 4 * MIB) {
        return;
    }
    u8 *packed = malloc(text_pack_bytes_max(count, total));
    check(packed != NULL);
    usize packed_bytes = text_pack(packer, packed, texts, count, total, false);
    check(packed_bytes <= text_pack_bytes_max(count, total));
    check(text_unpack(reader, packed, packed_bytes, count, &again, refs_again) == ERR_OK);
    for (u32 i = 0; i < count; i++) {
        check(refs_again[i].bytes == texts[i].bytes);
        check(memcmp(again.data + refs_again[i].offset, texts[i].data, texts[i].bytes) == 0);
    }
    free(packed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) {
        return 0;
    }
    if (reader == NULL) {
        check(text_reader_create(&reader) == ERR_OK);
        check(text_packer_create(TEXT_FAST, &packer) == ERR_OK);
        check(text_sink_reserve(&sink, 0) == ERR_OK);
    }
    u32 count = 1 + (data[0] | (u32)(data[1] & 3) << 8);
    if ((data[1] & 4) != 0) {
        text(data + 2, size - 2, count);
    } else {
        numbers(data + 2, size - 2, count);
    }
    return 0;
}
