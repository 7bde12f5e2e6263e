/*
 * column_model: random columns of numbers and texts of many characters, packed and unpacked again:
 * what comes back is what went in, within the promised bytes; and damaged bytes are refused or give
 * something, but touch nothing outside. Inputs end at an unreadable page.
 */
#include "storage/column.h"
#include "storage/text.h"
#include "tests/support/guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 40000
#define TEXT_BYTES_MAX 600

static u64 seed;
static u64 state;
static struct guard guard;

static u64 draw(void) {
    u64 z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static u64 below(u64 bound) {
    return draw() % bound;
}

#define expect(cond, ...)                                                                          \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "column_model seed=%llu line %d: %s: ", (unsigned long long)seed,      \
                    __LINE__, #cond);                                                              \
            fprintf(stderr, __VA_ARGS__);                                                          \
            fprintf(stderr, "\n");                                                                 \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static u32 random_count(void) {
    switch (below(4)) {
    case 0:
        return 1 + (u32)below(4);
    case 1:
        return FRAME_ROWS_MAX;
    default:
        return 1 + (u32)below(FRAME_ROWS_MAX);
    }
}

/* --- numbers ---------------------------------------------------------------------------------- */

static void make_numbers(i64 *values, u32 count) {
    u32 width = (u32)below(65);
    u64 mask = width == 64 ? UINT64_MAX : ((u64)1 << width) - 1;
    u64 base = below(3) == 0 ? draw() : below(1000);
    u64 factor = below(2) ? 1 : 1 + below(1000000);
    u32 kind = (u32)below(5);
    u64 running = base;
    for (u32 i = 0; i < count; i++) {
        u64 value = draw() & mask;
        running += value >> 4;
        switch (kind) {
        case 0:
            values[i] = (i64)base;
            break;
        case 1:
            values[i] = (i64)(base + value * factor);
            break;
        case 2:
            values[i] = (i64)running;
            break;
        case 3:
            values[i] = (i64)(running * factor);
            break;
        default:
            values[i] = draw() % 50 == 0 ? (draw() % 2 ? INT64_MIN : INT64_MAX) : (i64)(value % 9);
        }
    }
}

/* The code for every kind of processor gives the same bytes, and says the same of any. */
static void compare_kernels(const i64 *values, u32 count, const u8 *good, usize bytes) {
    static u8 packed[COLUMN_BYTES_MAX(FRAME_ROWS_MAX)];
    static i64 back[COLUMN_KERNELS_MAX][FRAME_ROWS_MAX];
    const struct column_kernel *kernels[COLUMN_KERNELS_MAX];
    bool first = false;
    u32 kernel_count = column_kernels(kernels);
    char *damaged = guard_copy(&guard, (struct slice){(const char *)good, bytes}, 0, 0);
    damaged[below(bytes)] ^= (char)(1 << below(8));
    for (u32 i = 0; i < kernel_count; i++) {
        usize own = kernels[i]->pack(packed, values, count);
        expect(own == bytes && memcmp(packed, good, bytes) == 0, "kernel %u", i);
        expect(kernels[i]->unpack(good, bytes, back[i], count), "kernel %u", i);
        expect(memcmp(values, back[i], count * sizeof *values) == 0, "kernel %u", i);
        bool accepted = kernels[i]->unpack((u8 *)damaged, bytes, back[i], count);
        first = i == 0 ? accepted : first;
        expect(accepted == first && (!accepted || memcmp(back[0], back[i], count * 8) == 0),
               "kernel %u of damaged bytes", i);
    }
}

static void round_numbers(void) {
    static u8 packed[COLUMN_BYTES_MAX(FRAME_ROWS_MAX)];
    static i64 values[FRAME_ROWS_MAX];
    static i64 back[FRAME_ROWS_MAX];
    u32 count = random_count();
    make_numbers(values, count);
    memset(packed, 0xa5, sizeof packed);
    usize bytes = column_pack(packed, values, count);
    expect(bytes + 8 <= COLUMN_BYTES_MAX(count), "%zu bytes for %u", bytes, count);
    compare_kernels(values, count, packed, bytes);
    char *place = guard_copy(&guard, (struct slice){(char *)packed, bytes}, 0, 0);
    expect(column_unpack((u8 *)place, bytes, back, count), "%s", column_coding(packed, bytes));
    expect(memcmp(values, back, count * sizeof *back) == 0, "%s of %u differs",
           column_coding(packed, bytes), count);
    i64 constant;
    if (column_constant((u8 *)place, bytes, &constant)) {
        expect(constant == values[0] && constant == values[count - 1], "constant");
    }
    /* Cut short it must be refused; damaged it must do no harm. */
    usize cut = below(bytes);
    place = guard_copy(&guard, (struct slice){(char *)packed, cut}, 0, 0);
    expect(!column_unpack((u8 *)place, cut, back, count), "%zu of %zu bytes accepted", cut, bytes);
    packed[below(bytes)] ^= (u8)(1 << below(8));
    place = guard_copy(&guard, (struct slice){(char *)packed, bytes}, 0, 0);
    column_unpack((u8 *)place, bytes, back, count);
}

/* --- texts ------------------------------------------------------------------------------------ */

static int make_text(char *to, u32 kind, u32 row) {
    u64 a = draw();
    u64 b = draw();
    switch (kind) {
    case 0:
        return snprintf(to, TEXT_BYTES_MAX, "constant");
    case 1:
        return snprintf(to, TEXT_BYTES_MAX, "%08x-%04x-%04x-%04x-%012llx", (u32)a,
                        (u32)(a >> 32) & 0xffff, (u32)(a >> 48), (u32)b & 0xffff,
                        (unsigned long long)(b >> 16));
    case 2:
        return snprintf(to, TEXT_BYTES_MAX, "cust_%07llu/x", (unsigned long long)(a % 10000000));
    case 3:
        return snprintf(to, TEXT_BYTES_MAX, "%016llx:%08x", (unsigned long long)a, (u32)b);
    case 4:
        return snprintf(to, TEXT_BYTES_MAX, "name %llu", (unsigned long long)(a % 20));
    case 5:
        return snprintf(to, TEXT_BYTES_MAX, "{\"k\":%u,\"v\":\"%llu\",\"rest\":\"%.*s\"}", row,
                        (unsigned long long)(a % 100), (int)(b % 300),
                        "the same words again and again, the same words again and again, "
                        "the same words again and again, the same words again and again, "
                        "the same words again and again, the same words again and again, "
                        "the same words again and again, the same words again and again, ");
    case 6:
        return (int)(a % 3); /* whatever lies there */
    case 7:
        return snprintf(to, TEXT_BYTES_MAX, "%c%016llX", row % 97 == 96 ? 'z' : 'a',
                        (unsigned long long)a);
    default:
        return snprintf(to, TEXT_BYTES_MAX, "%0*llx", 1 + (int)(b % 300),
                        (unsigned long long)a >> (b % 64));
    }
}

static char text_memory[FRAME_ROWS_MAX * TEXT_BYTES_MAX];

static void round_texts(struct text_packer *packer, struct text_reader *reader,
                        struct text_sink *sink) {
    static struct slice values[FRAME_ROWS_MAX];
    static struct text_ref refs[FRAME_ROWS_MAX];
    u32 count = random_count();
    u32 kind = (u32)below(9);
    u32 other = below(4) == 0 ? (u32)below(9) : kind;
    usize total = 0;
    for (u32 i = 0; i < count; i++) {
        char *to = text_memory + (usize)i * TEXT_BYTES_MAX;
        int bytes = make_text(to, below(8) == 0 ? other : kind, i);
        values[i] = (struct slice){to, (usize)bytes};
        total += values[i].bytes;
    }
    usize most = text_pack_bytes_max(count, total);
    u8 *packed = malloc(most);
    expect(packed != NULL, "memory");
    usize bytes = text_pack(packer, packed, values, count, total, kind == 5 && below(2));
    expect(bytes <= most, "%zu bytes, promised %zu", bytes, most);
    char *place = guard_copy(&guard, (struct slice){(char *)packed, bytes}, 0, 0);
    sink->bytes = below(3) == 0 ? 0 : MIN(sink->bytes, (usize)100000);
    enum err err = text_unpack(reader, (u8 *)place, bytes, count, sink, refs);
    expect(err == ERR_OK, "%s: %s", text_coding(packed, bytes), err_text(err));
    for (u32 i = 0; i < count; i++) {
        expect(refs[i].bytes == values[i].bytes &&
                   memcmp(sink->data + refs[i].offset, values[i].data, refs[i].bytes) == 0,
               "%s: text %u of %u, kind %u", text_coding(packed, bytes), i, count, kind);
    }
    expect(kind != 1 || other != 1 || count < 3 || bytes <= (usize)count * 16 + 8,
           "%zu bytes for %u UUIDs as %s", bytes, count, text_coding(packed, bytes));
    usize cut = below(bytes);
    place = guard_copy(&guard, (struct slice){(char *)packed, cut}, 0, 0);
    expect(text_unpack(reader, (u8 *)place, cut, count, sink, refs) == ERR_CORRUPT,
           "%zu of %zu bytes accepted", cut, bytes);
    packed[below(bytes)] ^= (u8)(1 << below(8));
    place = guard_copy(&guard, (struct slice){(char *)packed, bytes}, 0, 0);
    err = text_unpack(reader, (u8 *)place, bytes, count, sink, refs);
    for (u32 i = 0; i < count && err == ERR_OK; i++) {
        expect((usize)refs[i].offset + refs[i].bytes <= sink->bytes, "ref outside");
    }
    free(packed);
}

int main(int argc, char **argv) {
    seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    state = seed;
    guard = guard_create(2 * sizeof text_memory);
    struct text_packer *packers[2];
    struct text_reader *reader;
    struct text_sink sink = {0};
    expect(text_packer_create(TEXT_FAST, &packers[0]) == ERR_OK &&
               text_packer_create(TEXT_SMALL, &packers[1]) == ERR_OK &&
               text_reader_create(&reader) == ERR_OK,
           "memory");
    for (u32 round = 0; round < ROUNDS; round++) {
        round_numbers();
        if (round % 8 == 0) {
            round_texts(packers[round / 8 % 2], reader, &sink);
        }
    }
    text_packer_destroy(packers[0]);
    text_packer_destroy(packers[1]);
    text_reader_destroy(reader);
    text_sink_free(&sink);
    guard_destroy(&guard);
    return 0;
}
