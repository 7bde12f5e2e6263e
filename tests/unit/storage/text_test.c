/* text_test.c: which coding a frame of texts gets and what it costs. The model tries the rest. */
#include "storage/text.h"
#include "storage/text_hex.h"
#include "tests/support/guard.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static char memory[FRAME_ROWS_MAX][128];
static struct slice values[FRAME_ROWS_MAX];
static struct text_ref refs[FRAME_ROWS_MAX];
static u8 packed[FRAME_ROWS_MAX * 256];

static u64 draw(u64 *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state ^ *state >> 31;
}

static void set(u32 row, const char *format, u64 a, u64 b) {
    int bytes = snprintf(memory[row], sizeof memory[row], format, (unsigned long long)a,
                         (unsigned long long)b);
    values[row] = (struct slice){memory[row], (usize)bytes};
}

static void check_coding(enum text_effort effort, u32 count, bool free_form, const char *coding,
                         usize bytes_most) {
    struct text_packer *packer;
    struct text_reader *reader;
    struct text_sink sink = {0};
    usize total = 0;
    for (u32 i = 0; i < count; i++) {
        total += values[i].bytes;
    }
    cr_assert_eq(text_packer_create(effort, &packer), ERR_OK);
    cr_assert_eq(text_reader_create(&reader), ERR_OK);
    cr_assert_leq(text_pack_bytes_max(count, total), sizeof packed);
    usize bytes = text_pack(packer, packed, values, count, total, free_form);
    cr_assert_str_eq(text_coding(packed, bytes), coding);
    cr_assert_leq(bytes, bytes_most, "%s of %u: %zu bytes", coding, count, bytes);
    cr_assert_eq(text_unpack(reader, packed, bytes, count, &sink, refs), ERR_OK);
    for (u32 i = 0; i < count; i++) {
        cr_assert_eq(refs[i].bytes, values[i].bytes, "%s", coding);
        cr_assert(refs[i].bytes == 0 ||
                      memcmp(sink.data + refs[i].offset, values[i].data, refs[i].bytes) == 0,
                  "%s", coding);
    }
    for (usize cut = 0; cut < bytes; cut += 1 + bytes / 50) {
        cr_assert_eq(text_unpack(reader, packed, cut, count, &sink, refs), ERR_CORRUPT, "%s",
                     coding);
    }
    text_sink_free(&sink);
    text_packer_destroy(packer);
    text_reader_destroy(reader);
}

Test(text, codings) {
    u64 state = 1;
    for (u32 i = 0; i < FRAME_ROWS_MAX; i++) {
        set(i, "gpt-4o", 0, 0);
    }
    check_coding(TEXT_FAST, FRAME_ROWS_MAX, false, "same", 8);
    check_coding(TEXT_FAST, 1, false, "same", 8);
    for (u32 i = 0; i < FRAME_ROWS_MAX; i++) {
        set(i, "agent %llu", draw(&state) % 16, 0);
    }
    check_coding(TEXT_FAST, FRAME_ROWS_MAX, false, "dictionary", FRAME_ROWS_MAX / 2 + 256);
    for (u32 i = 0; i < FRAME_ROWS_MAX; i++) {
        set(i, "cust_%07llu-x", draw(&state) % 10000000, 0);
    }
    check_coding(TEXT_FAST, FRAME_ROWS_MAX, false, "numbered", FRAME_ROWS_MAX * 3 + 64);
    for (u32 i = 0; i < FRAME_ROWS_MAX; i++) {
        set(i, "%08llx-0123-4abc-9def-aabb%08llx", draw(&state) >> 32, draw(&state) >> 32);
    }
    check_coding(TEXT_FAST, FRAME_ROWS_MAX, false, "uuid", FRAME_ROWS_MAX * 16 + 1);
    set(700, "%08llX-0123-4abc-9def-aabb%08llx", 0xabcdef12, 0x12345678);
    check_coding(TEXT_FAST, FRAME_ROWS_MAX, false, "raw", FRAME_ROWS_MAX * 36 + 32);
    for (u32 i = 0; i < FRAME_ROWS_MAX; i++) {
        set(i, "tr_%015llx_%08llx", draw(&state) >> 4, draw(&state) >> 32);
    }
    check_coding(TEXT_FAST, FRAME_ROWS_MAX, false, "hex", FRAME_ROWS_MAX * 12 + 100);
    for (u32 i = 0; i < FRAME_ROWS_MAX; i++) {
        set(i, "{\"tier\":\"gold\",\"request\":%llu}", draw(&state) % 100000, 0);
    }
    check_coding(TEXT_FAST, FRAME_ROWS_MAX, true, "zstd", FRAME_ROWS_MAX * 12);
    check_coding(TEXT_SMALL, FRAME_ROWS_MAX, true, "zstd", FRAME_ROWS_MAX * 6);
}

Test(text, empty_and_extreme) {
    for (u32 i = 0; i < FRAME_ROWS_MAX; i++) {
        values[i] = (struct slice){NULL, 0};
    }
    check_coding(TEXT_FAST, FRAME_ROWS_MAX, false, "same", 2);
    set(1, "x", 0, 0);
    check_coding(TEXT_FAST, 2, false, "raw", 16);
    values[2] = (struct slice){"\0\xff\x80", 3}; /* any bytes survive */
    check_coding(TEXT_FAST, 3, false, "raw", 16);
    for (u32 i = 0; i < 10; i++) { /* 19 digits do not fit */
        set(i, "9%018llu", i * 1000003, 0);
    }
    check_coding(TEXT_FAST, 10, false, "numbered", 100);
    for (u32 i = 0; i < 10; i++) {
        set(i, "%llu%018llu", i % 9 + 1, i * 1000003);
    }
    check_coding(TEXT_FAST, 10, false, "hex", 140);
}

/* Each byte of a UUID with each value: all code says and writes the same, and reads no more. */
Test(text, uuids) {
    const struct uuid_kernel *kernels[UUID_KERNELS_MAX];
    u32 kernel_count = uuid_kernels(kernels);
    struct guard guard = guard_create(UUID_BYTES * 3);
    char *text = guard_place(&guard, UUID_BYTES * 3, 0, 0);
    u64 state = 5;
    for (u32 at = 0; at < 3 * UUID_BYTES; at++) {
        for (u32 i = 0; i < 3; i++) {
            u64 a = draw(&state);
            u64 b = draw(&state);
            char uuid[UUID_BYTES + 1];
            snprintf(uuid, sizeof uuid, "%08x-%04x-%04x-%04x-%012llx", (u32)a,
                     (u32)(a >> 40) & 0xffff, (u32)b & 0xffff, (u32)(b >> 16) & 0xffff,
                     (unsigned long long)(a ^ b) >> 16);
            memcpy(text + (usize)i * UUID_BYTES, uuid, UUID_BYTES);
            values[i] = (struct slice){text + (usize)i * UUID_BYTES, UUID_BYTES};
        }
        char was = text[at];
        for (u32 byte = 0; byte < 256; byte++) {
            u8 coded[3 * UUID_PACKED];
            char back[3 * UUID_BYTES];
            bool dash = at % 36 == 8 || at % 36 == 13 || at % 36 == 18 || at % 36 == 23;
            bool digit = (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'f');
            text[at] = (char)byte;
            for (u32 i = 0; i < kernel_count; i++) {
                bool good = kernels[i]->pack(coded, values, 3);
                cr_assert_eq(good, dash ? byte == '-' : digit, "kernel %u at %u: %u", i, at, byte);
                if (good) {
                    kernels[i]->unpack(coded, 3, back);
                    cr_assert(memcmp(back, text, sizeof back) == 0, "kernel %u at %u", i, at);
                }
            }
        }
        text[at] = was;
    }
    values[1].bytes--;
    for (u32 i = 0; i < kernel_count; i++) {
        cr_assert(!kernels[i]->pack(packed, values, 3));
    }
    guard_destroy(&guard);
}

Test(text, refuses_what_would_take_much_memory) {
    struct text_reader *reader;
    struct text_sink sink = {0};
    /* zstd: one text of 2^27 bytes, with a frame that says something else */
    static const u8 bomb[] = {5,    6,    0,    0x80, 0x80, 0x80, 0x80, 1, 0x28,
                              0xb5, 0x2f, 0xfd, 0x20, 0,    1,    0,    0};
    cr_assert_eq(text_reader_create(&reader), ERR_OK);
    cr_assert_eq(text_unpack(reader, bomb, sizeof bomb, 1, &sink, refs), ERR_CORRUPT);
    cr_assert_leq(sink.capacity, MIB);
    text_sink_free(&sink);
    text_reader_destroy(reader);
}
