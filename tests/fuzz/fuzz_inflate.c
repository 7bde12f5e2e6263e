/*
 * fuzz_inflate.c: any bytes as a compressed body, of either coding, under a limit that the input
 * chooses. What comes out never passes the limit, memory stays in proportion, nothing stays behind,
 * and a higher limit only ever shows more of the same.
 */
#include "http/inflate.h"

#include <stdlib.h>
#include <string.h>

#define LIMIT_MAX (256 * KIB)
#define SLACK 64
#define HEAD_BYTES 3

static enum err expand(enum http_coding coding, struct slice body, usize most, struct pool *pool,
                       struct block *out, usize *bytes) {
    *out = (struct block){NULL, 0};
    *bytes = 0;
    enum err err = http_inflate(coding, body, most, SLACK, pool, out, bytes);
    check(err == ERR_OK || err == ERR_LIMIT || err == ERR_INVALID || err == ERR_NO_MEMORY);
    check(err == ERR_OK || out->data == NULL);
    if (err == ERR_OK) {
        check(*bytes <= most && *bytes + SLACK <= out->capacity);
        memset(out->data + *bytes, 'P', SLACK);
    }
    return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size <= HEAD_BYTES) {
        return 0;
    }
    struct pool *pool;
    check(pool_create(4 * MIB, &pool) == ERR_OK);
    enum http_coding coding = data[0] % 2 == 0 ? CODING_GZIP : CODING_ZSTD;
    usize most = 4 * ((usize)data[1] << 8 | data[2]);
    usize bytes = size - HEAD_BYTES;
    char *exact = malloc(bytes);
    check(exact != NULL);
    memcpy(exact, data + HEAD_BYTES, bytes);
    struct slice body = {exact, bytes};
    struct block narrow;
    struct block wide;
    usize narrow_bytes;
    usize wide_bytes;
    enum err err = expand(coding, body, most, pool, &narrow, &narrow_bytes);
    enum err wide_err = expand(coding, body, LIMIT_MAX, pool, &wide, &wide_bytes);
    check(err != ERR_OK || wide_err == ERR_OK || wide_err == ERR_NO_MEMORY);
    if (err == ERR_OK && wide_err == ERR_OK) {
        check(narrow_bytes == wide_bytes);
        check(wide_bytes == 0 || memcmp(narrow.data, wide.data, wide_bytes) == 0);
    }
    check(err != ERR_LIMIT || wide_err != ERR_OK || wide_bytes > most);
    pool_give(pool, narrow);
    pool_give(pool, wide);
    free(exact);
    pool_destroy(pool); /* checks that every block came back */
    return 0;
}
