/* series_cache_test.c: what was learnt is known, what was not stays open. */
#include "agg/series_cache.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static void put(struct event_batch *batch, u32 row, enum event_text text, const char *data) {
    u32 bytes = (u32)strlen(data);
    memcpy(batch->text + batch->text_bytes, data, bytes);
    batch->ref[text][row] = (struct text_ref){batch->text_bytes, bytes};
    batch->text_bytes += bytes;
    batch->present[row] |= TEXT_BIT(text);
}

/* Rows whose fields together read alike, but are not. */
static struct event_batch *make(u32 account) {
    struct event_batch *batch = calloc(1, sizeof *batch);
    cr_assert_not_null(batch);
    batch->text = calloc(1, 4096);
    cr_assert_not_null(batch->text);
    batch->count = 5;
    batch->account = account;
    for (u32 row = 0; row < 5; row++) {
        put(batch, row, TEXT_EVENT_NAME, "cost");
        batch->source[row] = row == 4 ? SOURCE_STRIPE : SOURCE_SDK;
    }
    put(batch, 0, TEXT_CUSTOMER, "ab");
    put(batch, 1, TEXT_CUSTOMER, "a");
    put(batch, 1, TEXT_FEATURE, "b");
    put(batch, 2, TEXT_FEATURE, "ab");
    put(batch, 4, TEXT_CUSTOMER, "ab");
    return batch;
}

static void free_batch(struct event_batch *batch) {
    free(batch->text);
    free(batch);
}

Test(series_cache, learns_what_the_commit_resolved) {
    struct series_cache *cache;
    cr_assert_eq(series_cache_create(9, &cache), ERR_OK);
    struct event_batch *batch = make(1);
    series_cache_resolve(cache, batch, 0, 3);
    series_cache_resolve(cache, batch, 3, 2);
    for (u32 row = 0; row < 5; row++) {
        cr_assert_eq(batch->series[row], SERIES_UNRESOLVED);
        batch->series[row] = row == 3 ? SERIES_UNRESOLVED : 100 + row; /* 3 was a duplicate */
    }
    series_cache_learn(cache, batch);
    struct event_batch *again = make(1);
    series_cache_resolve(cache, again, 0, 5);
    for (u32 row = 0; row < 5; row++) {
        cr_assert_eq(again->series[row], row == 3 ? SERIES_UNRESOLVED : 100 + row);
    }
    struct event_batch *other = make(2); /* another account knows nothing of it */
    series_cache_resolve(cache, other, 0, 5);
    for (u32 row = 0; row < 5; row++) {
        cr_assert_eq(other->series[row], SERIES_UNRESOLVED);
    }
    free_batch(batch);
    free_batch(again);
    free_batch(other);
    series_cache_destroy(cache);
}
