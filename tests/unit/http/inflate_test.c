/* inflate_test.c: round trips, limits to the byte, bombs, damage, members in a row. */
#include "http/inflate.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#define SLACK 64

static usize gzip(const char *data, usize bytes, char *out, usize out_max) {
    z_stream stream = {0};
    cr_assert_eq(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    stream.next_in = (z_const Bytef *)(uintptr_t)data;
    stream.avail_in = (uInt)bytes;
    stream.next_out = (Bytef *)out;
    stream.avail_out = (uInt)out_max;
    cr_assert_eq(deflate(&stream, Z_FINISH), Z_STREAM_END);
    usize used = stream.total_out;
    deflateEnd(&stream);
    return used;
}

static usize pack(enum http_coding coding, const char *data, usize bytes, char *out,
                  usize out_max) {
    if (coding == CODING_GZIP) {
        return gzip(data, bytes, out, out_max);
    }
    usize used = ZSTD_compress(out, out_max, data, bytes, 3);
    cr_assert(!ZSTD_isError(used));
    return used;
}

static enum err expand(enum http_coding coding, const char *packed, usize bytes, usize bytes_max,
                       struct pool *pool, const char *wanted, usize wanted_bytes) {
    struct block block;
    usize out_bytes;
    enum err err = http_inflate(coding, (struct slice){packed, bytes}, bytes_max, SLACK, pool,
                                &block, &out_bytes);
    if (err == ERR_OK) {
        cr_assert_eq(out_bytes, wanted_bytes);
        cr_assert_eq(memcmp(block.data, wanted, wanted_bytes), 0);
        cr_assert_geq(block.capacity, out_bytes + SLACK);
        pool_give(pool, block);
    }
    return err;
}

Test(inflate, both_codings) {
    struct pool *pool;
    cr_assert_eq(pool_create(64 * MIB, &pool), ERR_OK);
    usize bytes = 300000;
    char *data = malloc(bytes);
    char *packed = malloc(2 * bytes);
    u32 state = 1;
    for (usize at = 0; at < bytes; at++) {
        state = state * 1103515245 + 12345;
        data[at] = (char)("abcdef{}\",:"[(state >> 16) % 11]);
    }
    static const enum http_coding codings[] = {CODING_GZIP, CODING_ZSTD};
    for (usize at = 0; at < 2; at++) {
        enum http_coding coding = codings[at];
        static const usize sizes[] = {0, 1, 4095, 4096, 4097, 300000};
        for (usize size = 0; size < ARRAY_COUNT(sizes); size++) {
            usize n = sizes[size];
            usize used = pack(coding, data, n, packed, 2 * bytes);
            cr_assert_eq(expand(coding, packed, used, n, pool, data, n), ERR_OK, "%zu", n);
            cr_assert_eq(expand(coding, packed, used, bytes * 2, pool, data, n), ERR_OK);
            if (n > 0) {
                cr_assert_eq(expand(coding, packed, used, n - 1, pool, data, n), ERR_LIMIT);
            }
        }
        usize used = pack(coding, data, bytes, packed, 2 * bytes);
        for (usize cut = 0; cut < used; cut += 997) {
            cr_assert_eq(expand(coding, packed, cut, bytes, pool, data, bytes), ERR_INVALID);
        }
        cr_assert_eq(expand(coding, packed, used - 1, bytes, pool, data, bytes), ERR_INVALID);
        usize first = pack(coding, data, 1000, packed, 2 * bytes);
        usize second = pack(coding, data + 1000, 9000, packed + first, 2 * bytes - first);
        cr_assert_eq(expand(coding, packed, first + second, 20000, pool, data, 10000), ERR_OK);
        memcpy(packed + first, "trailing garbage", 16);
        cr_assert_eq(expand(coding, packed, first + 16, 20000, pool, data, 1000), ERR_INVALID);
        if (coding == CODING_GZIP) { /* zstd frames have a checksum only if asked for */
            packed[first / 2] = (char)~packed[first / 2];
            cr_assert_eq(expand(coding, packed, first, 20000, pool, data, 1000), ERR_INVALID);
        }
        cr_assert_eq(expand(coding, "nothing", 7, 100, pool, "", 0), ERR_INVALID);
        cr_assert_eq(expand(coding, "", 0, 100, pool, "", 0), ERR_INVALID);
    }
    free(data);
    free(packed);
    pool_destroy(pool);
}

/* A frame that says 72 bytes and holds none: libzstd takes it where there is little room. */
Test(inflate, frame_that_lies) {
    static const char frame[] = "\x28\xb5\x2f\xfd\x24\x48\x01\x00\x00\x99\xe9\xd8\x51";
    struct pool *pool;
    cr_assert_eq(pool_create(4 * MIB, &pool), ERR_OK);
    static const usize limits[] = {0, 64, 72, 4096};
    for (usize at = 0; at < ARRAY_COUNT(limits); at++) {
        cr_assert_eq(expand(CODING_ZSTD, frame, sizeof frame - 1, limits[at], pool, "", 0),
                     ERR_INVALID);
    }
    pool_destroy(pool);
}

Test(inflate, bomb) {
    struct pool *pool;
    cr_assert_eq(pool_create(4 * MIB, &pool), ERR_OK);
    usize bytes = 64 * MIB;
    char *zeros = calloc(1, bytes);
    char *packed = malloc(MIB);
    static const enum http_coding codings[] = {CODING_GZIP, CODING_ZSTD};
    for (usize at = 0; at < 2; at++) {
        usize used = pack(codings[at], zeros, bytes, packed, MIB);
        cr_assert_eq(expand(codings[at], packed, used, MIB, pool, zeros, bytes), ERR_LIMIT);
        cr_assert_eq(expand(codings[at], packed, used, bytes, pool, zeros, bytes), ERR_NO_MEMORY);
    }
    free(zeros);
    free(packed);
    pool_destroy(pool);
}
