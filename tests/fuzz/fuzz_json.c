/*
 * fuzz_json.c: any bytes as JSON. Every kernel must give the same verdict, value and error place;
 * the reader walks what it accepts; a string must come back when written and read again.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "json/reader.h"
#include "json/write.h"

struct verdict {
    bool good;
    bool lone;
    struct json_value value;
    const char *error;
    usize position;
};

static struct verdict judge(const char *data, usize bytes, const struct scan_kernel *scan) {
    struct json_cursor cursor = json_cursor(data, bytes, scan);
    struct verdict verdict;
    memset(&verdict, 0, sizeof verdict);
    json_space(&cursor);
    verdict.good =
        json_step_value(&cursor, JSON_DEPTH_MAX, &verdict.value) && json_step_end(&cursor);
    verdict.lone = cursor.lone_surrogate;
    if (!verdict.good) {
        check(cursor.error != NULL && cursor.error_at >= data && cursor.error_at <= data + bytes);
        verdict.error = cursor.error;
        verdict.position = (usize)(cursor.error_at - data);
    }
    return verdict;
}

static void compare_kernels(const char *data, usize bytes, struct verdict *first) {
    const struct scan_kernel *kernels[SCAN_KERNELS_MAX];
    u32 count = scan_list(kernels);
    *first = judge(data, bytes, kernels[0]);
    for (u32 i = 1; i < count; i++) {
        struct verdict other = judge(data, bytes, kernels[i]);
        check(other.good == first->good && other.lone == first->lone &&
              other.error == first->error && other.position == first->position);
        check(!first->good ||
              (other.value.kind == first->value.kind && other.value.bytes == first->value.bytes &&
               other.value.depth == first->value.depth));
        check(kernels[i]->utf8_prefix(data, bytes) == kernels[0]->utf8_prefix(data, bytes));
    }
}

/* What was written must be read back as it was. */
static void check_string(struct slice text) {
    struct buf buf;
    buf_init(&buf, 16 * MIB);
    struct json_writer json = json_writer(&buf);
    json_string(&json, text);
    struct json_reader reader = json_reader(buf.data, buf.bytes);
    struct slice back;
    check(json_read_string(&reader, &back) && json_read_finish(&reader));
    check(back.bytes == text.bytes);
    check(text.bytes == 0 || memcmp(back.data, text.data, text.bytes) == 0);
    buf_free(&buf);
}

/* Reads everything by the typed steps; levels are bounded by the reader. */
static void walk(struct json_reader *reader) {
    struct slice text;
    i64 number;
    bool truth;
    switch (json_read_kind(reader)) {
    case JSON_OBJECT:
        json_read_object(reader);
        while (json_read_member(reader, &text)) {
            walk(reader);
        }
        return;
    case JSON_ARRAY:
        json_read_array(reader);
        while (json_read_element(reader)) {
            walk(reader);
        }
        return;
    case JSON_STRING:
        if (json_read_string(reader, &text)) {
            check_string(text);
        }
        return;
    case JSON_NUMBER:
        json_read_decimal(reader, 6, NUMBER_HALF_UP, &number);
        return;
    case JSON_NULL:
        json_read_skip(reader);
        return;
    default:
        json_read_bool(reader, &truth);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    /* A copy that ends where it ends, and may be changed in place. */
    char *copy = malloc(size + 1);
    check(copy != NULL);
    memcpy(copy, data, size);
    char *exact = realloc(copy, size > 0 ? size : 1);
    check(exact != NULL);
    struct verdict verdict;
    compare_kernels(exact, size, &verdict);
    struct json_reader reader = json_reader(exact, size);
    walk(&reader);
    bool finished = json_read_finish(&reader);
    /* The reader refuses more (lone surrogates, numbers out of range), never less. */
    check(!finished || verdict.good);
    check(!verdict.good || finished || verdict.lone || reader.error.code == ERR_LIMIT);
    free(exact);
    return 0;
}
