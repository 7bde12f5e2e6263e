/*
 * scan_model.c: every vector kernel against the scalar one, on random bytes that are mostly quotes,
 * escapes, control characters and pieces of UTF-8, at every alignment, with an unreadable page
 * right behind the input (behind the promised padding for `index`). The padding is full of quotes.
 */
#include "tests/support/guard.h"
#include "json/scan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 1024

static u64 random_state;

static u64 random_next(void) {
    random_state += 0x9e3779b97f4a7c15u;
    u64 z = random_state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static u32 pick(u32 bound) {
    return (u32)(random_next() % bound);
}

static void put_piece(char *data, usize bytes, usize *at) {
    static const char *const pieces[] = {"\xc3\xa9",
                                         "\xe2\x82\xac",
                                         "\xf0\x9f\x98\x80",
                                         "\xed\x9f\xbf",
                                         "\xf4\x8f\xbf\xbf",
                                         "\xed\xa0\x80",
                                         "\xc0\x80",
                                         "\xe0\x80\x80",
                                         "\xf0\x80\x80\x80",
                                         "\xf4\x90\x80\x80",
                                         "\xf5\x80\x80",
                                         "\x80",
                                         "\xc3",
                                         "\xe2\x82",
                                         "\xf0\x9f\x98",
                                         "\xff",
                                         "\xc1\xbf",
                                         "\xef\xbf\xbf",
                                         "\xee\x80\x80",
                                         "\xe0\xa0\x80"};
    const char *piece = pieces[pick((u32)ARRAY_COUNT(pieces))];
    for (; *piece != 0 && *at < bytes; piece++) {
        data[(*at)++] = *piece;
    }
}

/* `style` sets how much of the text is out of the ordinary. */
static void fill(char *data, usize bytes, u32 style) {
    usize at = 0;
    while (at < bytes) {
        u32 kind = style == 0 ? 9 : style == 5 ? pick(12) / 11 : pick(style < 3 ? 200 : 8);
        if (kind == 0) {
            data[at++] = '"';
        } else if (kind == 1) {
            data[at++] = '\\';
        } else if (kind == 2) {
            data[at++] = (char)pick(0x21);
        } else if (kind == 3 || (style == 4 && kind < 7)) {
            put_piece(data, bytes, &at);
        } else if (kind == 4) {
            data[at++] = (char)pick(256);
        } else {
            data[at++] = (char)('a' + pick(26));
        }
    }
}

static struct scan_window wanted;
static struct scan_window have;

static const char *compare_index(const struct scan_kernel *kernel, const char *data, usize bytes) {
    memset(&wanted, 0x55, sizeof wanted);
    memset(&have, 0xaa, sizeof have);
    scan_scalar.index(data, bytes, &wanted);
    kernel->index(data, bytes, &have);
    if (have.bytes != wanted.bytes || have.quote_count != wanted.quote_count ||
        have.any_special != wanted.any_special ||
        memcmp(have.quote, wanted.quote, wanted.quote_count * sizeof wanted.quote[0]) != 0) {
        return "quotes";
    }
    usize blocks = (bytes + SCAN_BLOCK - 1) / SCAN_BLOCK;
    if (memcmp(have.special, wanted.special, blocks * sizeof wanted.special[0]) != 0) {
        return "special";
    }
    return NULL;
}

static const char *compare(const struct scan_kernel *kernel, struct guard *guard,
                           struct slice text) {
    const char *at = guard_copy(guard, text, 0, 0);
    const char *end = at + text.bytes;
    bool wanted_high = false;
    bool have_high = false;
    const char *wanted_stop = scan_scalar.text_stop(at, end, &wanted_high);
    if (kernel->text_stop(at, end, &have_high) != wanted_stop || have_high != wanted_high) {
        return "text_stop";
    }
    if (kernel->utf8_prefix(at, text.bytes) != scan_scalar.utf8_prefix(at, text.bytes)) {
        return "utf8_prefix";
    }
    return compare_index(kernel, guard_copy(guard, text, SCAN_PADDING, '"'), text.bytes);
}

/* All code points, and all pairs and triples of bytes that begin a sequence, in one go each. */
static const char *compare_utf8(const struct scan_kernel *kernel) {
    for (u32 first = 0x80; first < 0x100; first++) {
        for (u32 second = 0; second < 0x100; second++) {
            for (u32 third = 0x40; third < 0x100; third += 0x20) {
                char text[80];
                memset(text, 'a', sizeof text);
                u32 place = (first + second) % 70;
                char bytes[4] = {(char)first, (char)second, (char)third, (char)(0x80 + third / 8)};
                memcpy(text + place, bytes, sizeof bytes);
                usize length = place + 1 + (second + third / 32) % 10;
                if (kernel->utf8_prefix(text, length) != scan_scalar.utf8_prefix(text, length)) {
                    return "utf8_prefix of all sequences";
                }
            }
        }
    }
    return NULL;
}

int main(int argc, char **argv) {
    u64 seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    random_state = seed;
    const struct scan_kernel *kernels[SCAN_KERNELS_MAX];
    u32 count = scan_list(kernels);
    struct guard guard = guard_create(SCAN_WINDOW_MAX + SCAN_PADDING);
    static char data[SCAN_WINDOW_MAX];
    const char *difference = NULL;
    u32 kernel = 1;
    for (; kernel < count && difference == NULL; kernel++) {
        difference = compare_utf8(kernels[kernel]);
    }
    u32 rounds = 20000;
    for (u32 i = 0; i < rounds && difference == NULL; i++) {
        usize bytes =
            pick(100) == 0 ? SCAN_WINDOW_MAX - pick(3) : pick(pick(4) == 0 ? TEXT_MAX : 150);
        fill(data, bytes, pick(6));
        for (kernel = 1; kernel < count && difference == NULL; kernel++) {
            difference = compare(kernels[kernel], &guard, (struct slice){data, bytes});
        }
    }
    guard_destroy(&guard);
    if (difference != NULL) {
        fprintf(stderr, "scan_model: %s of kernel %s, seed %llu\n", difference,
                kernels[kernel - 1]->name, (unsigned long long)seed);
        return 1;
    }
    printf("scan_model: %u texts, %u kernels\n", rounds, count);
    return 0;
}
