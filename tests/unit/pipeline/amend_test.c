/* amend_test.c: amendments beside what is under way, and such as cannot be made. */
#include "tests/support/engine.h"

#include "base/clock.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct engine engine;
static struct event_batch batch;
static char text[4096];

static void setup(void) {
    engine_init(&engine);
}

static void teardown(void) {
    engine_remove(&engine);
}

TestSuite(pipeline_amend, .init = setup, .fini = teardown, .timeout = 60);

static const char *const body = "{\"events\":[{\"eventName\":\"call\",\"featureKey\":\"f\","
                                "\"customerReferenceId\":\"c\",\"idempotencyKey\":\"k\","
                                "\"costAmount\":1}]}";

static void note_done(struct ingest *ingest) {
    *(bool *)ingest->context = true;
}

static enum err clear_all(void) {
    struct amend_request request = {.account = 1, .kind = STORE_CLEAR, .source = DIM_NONE};
    return pipeline_amend(engine.pipeline, &request);
}

/* A key that was hashed before its account was cleared is decided after it. */
Test(pipeline_amend, a_key_is_free_again_whenever_it_was_hashed) {
    struct ingest first;
    struct decode_error error;
    bool answered = false;
    engine_start(&engine);
    cr_assert_eq(engine_ingest(&engine, 1, body, &first, &error), ERR_OK);
    cr_assert_eq(first.accepted, 1u);
    ingest_free(&first);
    struct front *front = pipeline_front(engine.pipeline, 0);
    struct ingest second = {.account = 1, .done = note_done, .context = &answered};
    struct block block = pool_take(front_pool(front), strlen(body) + EVENT_TEXT_PADDING);
    memset(block.data, 0, strlen(body) + EVENT_TEXT_PADDING);
    memcpy(block.data, body, strlen(body));
    cr_assert_eq(front_ingest(front, &second, block, strlen(body), clock_wall_ms(), &error),
                 ERR_OK);
    cr_assert_eq(clear_all(), ERR_OK);
    cr_assert_eq(engine_totals(&engine, 1).events, 0u);
    front_on_turn(front);
    while (!answered) {
        usleep(50);
        front_on_wake(front);
    }
    cr_assert_eq(second.accepted, 1u);
    ingest_free(&second);
    cr_assert_eq(engine_totals(&engine, 1).events, 1u);
    cr_assert_eq(engine_ingest(&engine, 1, body, &first, &error), ERR_OK);
    cr_assert_eq(first.duplicates, 1u);
    ingest_free(&first);
    for (u32 i = 0; i < 2; i++) {
        engine_stop(&engine);
        engine_start(&engine);
        cr_assert_eq(engine_ingest(&engine, 1, body, &first, &error), ERR_OK);
        cr_assert_eq(first.duplicates, 1u, "start %u", i);
        ingest_free(&first);
    }
}

/* One uploaded cost; `index` tells customers apart. */
static void fill(u32 count) {
    memset(&batch, 0, sizeof batch);
    batch.account = 1;
    batch.count = count;
    batch.text = text;
    batch.text_bytes_max = sizeof text - EVENT_TEXT_PADDING;
    for (u32 i = 0; i < count; i++) {
        text[batch.text_bytes] = 'n';
        text[batch.text_bytes + 1] = (char)('a' + i % 26);
        batch.present[i] = TEXT_BIT(TEXT_EVENT_NAME) | TEXT_BIT(TEXT_CUSTOMER) |
                           TEXT_BIT(TEXT_FEATURE) | NUM_BIT(NUM_TIME) | NUM_BIT(NUM_COST);
        batch.ref[TEXT_EVENT_NAME][i] = (struct text_ref){batch.text_bytes, 1};
        batch.ref[TEXT_CUSTOMER][i] = (struct text_ref){batch.text_bytes + 1, 1};
        batch.ref[TEXT_FEATURE][i] = (struct text_ref){batch.text_bytes, 1};
        batch.text_bytes += 2;
        batch.series[i] = SERIES_UNRESOLVED;
        batch.source[i] = SOURCE_CSV;
        batch.cost_source[i] = COST_EXPLICIT;
        batch.number[NUM_TIME][i] = clock_wall_ms();
        batch.number[NUM_COST][i] = 1;
    }
}

static enum err upload(void) {
    const struct slice name = SLICE("n");
    struct event_batch *batches[] = {&batch};
    struct amend_request request = {.account = 1,
                                    .kind = STORE_CLEAR,
                                    .source = SOURCE_CSV,
                                    .names = &name,
                                    .name_count = 1,
                                    .batches = batches,
                                    .batch_count = 1};
    return pipeline_amend(engine.pipeline, &request);
}

Test(pipeline_amend, what_is_none_is_refused) {
    engine_start(&engine);
    fill(5);
    cr_assert_eq(upload(), ERR_OK);
    struct amend_request request = {.account = 1, .kind = STORE_CLEAR, .source = SOURCE_SDK};
    cr_assert_eq(pipeline_amend(engine.pipeline, &request), ERR_INVALID, "its events have keys");
    request.source = SOURCE_CSV;
    request.account = ACCOUNTS_MAX;
    cr_assert_eq(pipeline_amend(engine.pipeline, &request), ERR_INVALID);
    fill(2);
    batch.present[1] |= TEXT_BIT(TEXT_KEY);
    cr_assert_eq(upload(), ERR_INVALID, "a key");
    fill(2);
    batch.source[1] = SOURCE_SDK;
    cr_assert_eq(upload(), ERR_INVALID, "a source");
    fill(2);
    batch.account = 2;
    cr_assert_eq(upload(), ERR_INVALID, "an account");
    cr_assert_eq(engine_totals(&engine, 1).events, 5u);
}

/* A full map: what was there stays, and there is room again for less. */
Test(pipeline_amend, without_space_nothing_is_changed) {
    engine.map_bytes = MIB;
    engine_start(&engine);
    enum err err = ERR_OK;
    u32 uploads = 0;
    while (err == ERR_OK && uploads < 10000) {
        fill(1 + uploads % 20);
        err = upload();
        uploads += err == ERR_OK;
    }
    cr_assert_eq(err, ERR_NO_SPACE);
    u64 last = 1 + (uploads - 1) % 20;
    cr_assert_eq(engine_totals(&engine, 1).events, last);
    cr_assert_eq(batch.series[0] == SERIES_UNRESOLVED || batch.series[0] < 20, true);
    engine_stop(&engine);
    engine_start(&engine);
    cr_assert_eq(engine_totals(&engine, 1).events, last);
    cr_assert(!atomic_load(&engine.fatal));
}
