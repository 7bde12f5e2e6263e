/*
 * cases_test.c: every case of json_cases.h with every kernel at the edge of an unreadable page, and
 * with the typed reader, which refuses halves of pairs.
 */
#include "json/reader.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/guard.h"
#include "tests/support/json_cases.h"

static struct guard guard;

static void see_kernels(struct slice text, enum json_verdict verdict, void *context) {
    (void)context;
    const struct scan_kernel *kernels[SCAN_KERNELS_MAX];
    u32 count = scan_list(kernels);
    for (u32 i = 0; i < count; i++) {
        struct json_value value;
        struct json_cursor cursor =
            json_cursor(guard_copy(&guard, text, 0, 0), text.bytes, kernels[i]);
        json_space(&cursor);
        bool good = json_step_value(&cursor, JSON_DEPTH_MAX, &value) && json_step_end(&cursor);
        cr_expect_eq(good, verdict != JSON_BAD, "%s: %.*s", kernels[i]->name, (int)text.bytes,
                     text.data);
        cr_expect_eq(good && cursor.lone_surrogate, verdict == JSON_OPEN, "%.*s", (int)text.bytes,
                     text.data);
    }
}

static void see_reader(struct slice text, enum json_verdict verdict, void *context) {
    (void)context;
    char *copy = malloc(MAX(text.bytes, (usize)1));
    cr_assert_not_null(copy);
    memcpy(copy, text.data, text.bytes);
    struct json_reader reader = json_reader(copy, text.bytes);
    json_read_skip(&reader);
    cr_expect_eq(json_read_finish(&reader), verdict == JSON_GOOD, "%.*s", (int)text.bytes,
                 text.data);
    free(copy);
}

Test(cases, every_kernel) {
    guard = guard_create(64 * KIB);
    cr_assert_gt(json_cases_each(see_kernels, NULL), 1500);
    guard_destroy(&guard);
}

Test(cases, reader) {
    json_cases_each(see_reader, NULL);
}
