/* pipeline_test.c: the path end to end without a network: answers, duplicates, full map, recovery.
 */
#include "tests/support/engine.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct engine engine;

static void setup(void) {
    engine_init(&engine);
}

static void teardown(void) {
    engine_remove(&engine);
}

TestSuite(pipeline, .init = setup, .fini = teardown, .timeout = 60);

#define EVENT(key, more)                                                                           \
    "{\"eventName\":\"call\",\"customerReferenceId\":\"acme\",\"featureKey\":\"chat\","            \
    "\"idempotencyKey\":\"" key "\"" more "}"

static struct ingest send(const char *body) {
    struct ingest result;
    struct decode_error error = {0};
    enum err err = engine_ingest(&engine, 1, body, &result, &error);
    cr_assert_eq(err, ERR_OK, "%s: %s at %zu", err_text(err), error.text, error.position);
    return result;
}

Test(pipeline, counts_each_key_once) {
    engine_start(&engine);
    struct ingest first =
        send("{\"events\":[" EVENT("a", ",\"costAmount\":0.5,\"revenueAmount\":2") "," EVENT(
            "a", ",\"costAmount\":0.5,\"revenueAmount\":2") "," EVENT("b",
                                                                      ",\"costAmount\":0.25") "]}");
    cr_assert_eq(first.accepted, 2);
    cr_assert_eq(first.rejected, 1);
    cr_assert_eq(first.duplicates, 1);
    cr_assert_eq(first.conflicts, 0);
    cr_assert_eq(first.first_id, 1);
    ingest_free(&first);
    struct ingest second =
        send("{\"events\":[" EVENT("b", ",\"costAmount\":9") "," EVENT("c", "") "]}");
    cr_assert_eq(second.accepted, 1);
    cr_assert_eq(second.duplicates, 1);
    cr_assert_eq(second.conflicts, 1);
    cr_assert_eq(second.first_id, 3);
    ingest_free(&second);
    struct figures total = engine_totals(&engine, 1);
    cr_assert_eq(total.events, 3);
    cr_assert(total.cost == PICO_PER_USD * 3 / 4);
    cr_assert(total.revenue == PICO_PER_USD * 2);
}

Test(pipeline, accounts_share_nothing) {
    engine_start(&engine);
    struct ingest result;
    struct decode_error error;
    cr_assert_eq(engine_ingest(&engine, 1, "{\"events\":[" EVENT("k", "") "]}", &result, &error),
                 0);
    cr_assert_eq(result.accepted, 1);
    ingest_free(&result);
    cr_assert_eq(engine_ingest(&engine, 2, "{\"events\":[" EVENT("k", "") "]}", &result, &error),
                 0);
    cr_assert_eq(result.accepted, 1, "a key of one account must not hide another's");
    ingest_free(&result);
    cr_assert_eq(engine_totals(&engine, 1).events, 1);
    cr_assert_eq(engine_totals(&engine, 2).events, 1);
}

static void set_price(u32 account, i64 revenue) {
    const struct feature_price price = {
        .feature = SLICE("chat"), .unit_label = SLICE("call"), .revenue = revenue};
    struct price_book *book = NULL;
    if (revenue > 0) {
        cr_assert_eq(price_book_make(&price, 1, NULL, 0, &book), ERR_OK);
    }
    cr_assert_eq(prices_set_book(engine.prices, account, book), ERR_OK);
}

Test(pipeline, prices_of_an_account_are_its_own_and_of_the_moment) {
    static const i64 changes[] = {1000, 200, 30, 4, 0, 0, 5};
    i64 price[3] = {0, 0, 0};
    i64 revenue[3] = {0, 0, 0};
    engine_start(&engine);
    for (u32 round = 0; round < sizeof changes / sizeof changes[0]; round++) {
        u32 changed = 1 + round % 2;
        price[changed] = changes[round];
        set_price(changed, changes[round]);
        for (u32 account = 1; account <= 2; account++) {
            struct ingest result;
            struct decode_error error;
            const char *body = "{\"events\":[{\"eventName\":\"call\",\"featureKey\":\"chat\","
                               "\"customerReferenceId\":\"c\"}]}";
            cr_assert_eq(engine_ingest(&engine, account, body, &result, &error), ERR_OK);
            ingest_free(&result);
            revenue[account] += price[account];
            cr_assert(engine_totals(&engine, account).revenue == revenue[account]);
        }
    }
}

Test(pipeline, refuses_a_body_whole_and_an_event_alone) {
    engine_start(&engine);
    struct ingest result;
    struct decode_error error = {0};
    enum err err =
        engine_ingest(&engine, 1, "{\"events\":[" EVENT("a", "") ",{]}", &result, &error);
    cr_assert_eq(err, ERR_INVALID);
    cr_assert_gt(error.position, 80);
    cr_assert_eq(engine_totals(&engine, 1).events, 0);
    result = send("{\"events\":[" EVENT("a", "") ",{\"eventName\":\"x\"},7," EVENT("b", "") "]}");
    cr_assert_eq(result.accepted, 2);
    cr_assert_eq(result.rejected, 2);
    cr_assert_eq(result.reject_count, 2);
    cr_assert_eq(result.rejects[0].index, 1);
    cr_assert_eq(result.rejects[1].index, 2);
    ingest_free(&result);
}

/* 2^40 tokens of the dearest model do not fit 64 bits of picodollars. */
Test(pipeline, refuses_a_cost_past_64_bits_by_its_index) {
    engine_start(&engine);
    struct ingest result = send("{\"events\":[" EVENT("a", "") ",{}," EVENT(
        "b", ",\"model\":\"gpt-4\",\"modelProvider\":\"openai\",\"inputTokens\":"
             "1099511627776") "," EVENT("c", ",\"costAmount\":1") "]}");
    cr_assert_eq(result.accepted, 2);
    cr_assert_eq(result.reject_count, 2);
    cr_assert_eq(result.rejects[0].index, 1);
    cr_assert_eq(result.rejects[1].index, 2);
    ingest_free(&result);
    cr_assert(engine_totals(&engine, 1).cost == PICO_PER_USD);
}

static usize body_of(char *body, usize bytes_max, u32 round, u32 events) {
    int at = snprintf(body, bytes_max, "{\"events\":[");
    for (u32 i = 0; i < events; i++) {
        at += snprintf(
            body + at, bytes_max - (usize)at,
            "%s{\"eventName\":\"call\",\"customerReferenceId\":\"c%u\",\"featureKey\":\"f%u\","
            "\"costAmount\":0.000000000001,\"revenueAmount\":0.01,\"idempotencyKey\":\"k-%u-%u\","
            "\"properties\":{\"pad\":\"%08x%08x%08x%08x\"}}",
            i > 0 ? "," : "", i % 97, i % 7, round, i, round * 2654435761u, i * 2246822519u,
            round ^ i * 3266489917u, i + round * 668265263u);
    }
    at += snprintf(body + at, bytes_max - (usize)at, "]}");
    return (usize)at;
}

static _Atomic u32 jobs_run;
static u32 jobs_done;
static u32 jobs_dropped;

static void run_slowly(struct job *job) {
    (void)job;
    usleep(20000);
    atomic_fetch_add(&jobs_run, 1);
}

static void note_done(struct job *job) {
    jobs_done++;
    jobs_dropped += job->dropped;
}

Test(pipeline, stopping_waits_for_no_read_that_has_not_begun) {
    static struct job jobs[200];
    engine_start(&engine);
    struct front *front = pipeline_front(engine.pipeline, 0);
    for (u32 i = 0; i < ARRAY_COUNT(jobs); i++) {
        jobs[i] = (struct job){.run = run_slowly, .done = note_done};
        cr_assert_eq(front_job(front, &jobs[i]), ERR_OK);
    }
    engine_stop(&engine);
    cr_assert_eq(jobs_done, ARRAY_COUNT(jobs), "each job is given back");
    cr_assert_eq(atomic_load(&jobs_run) + jobs_dropped, ARRAY_COUNT(jobs));
    cr_assert_lt(atomic_load(&jobs_run), ARRAY_COUNT(jobs) / 2);
    engine_start(&engine);
}

static _Atomic u32 heavy_running;
static _Atomic u32 heavy_most;
static _Atomic u32 heavy_run;

static void run_heavy(struct job *job) {
    (void)job;
    u32 running = atomic_fetch_add(&heavy_running, 1) + 1;
    if (running > atomic_load(&heavy_most)) {
        atomic_store(&heavy_most, running);
    }
    usleep(20000);
    atomic_fetch_sub(&heavy_running, 1);
    atomic_fetch_add(&heavy_run, 1);
}

static void note_light(struct job *job) {
    *(u32 *)job->context = atomic_load(&heavy_run) + 1;
}

Test(pipeline, heavy_jobs_run_one_at_a_time_and_leave_room) {
    static struct job heavy[HEAVY_JOBS_MAX + 1];
    struct job light = {.run = run_heavy, .done = note_light};
    u32 heavy_before_light = 0;
    engine_start(&engine);
    struct front *front = pipeline_front(engine.pipeline, 0);
    for (u32 i = 0; i < ARRAY_COUNT(heavy); i++) {
        heavy[i] = (struct job){.run = run_heavy, .done = note_done, .heavy = true};
        cr_assert_eq(front_job(front, &heavy[i]), i < HEAVY_JOBS_MAX ? ERR_OK : ERR_BUSY);
    }
    usleep(100000);
    cr_assert_eq(atomic_load(&heavy_most), 1);
    light.run = run_slowly;
    light.context = &heavy_before_light;
    cr_assert_eq(front_job(front, &light), ERR_OK);
    while (jobs_done < HEAVY_JOBS_MAX || heavy_before_light == 0) {
        usleep(1000);
        front_on_wake(front);
    }
    cr_assert_lt(heavy_before_light, HEAVY_JOBS_MAX, "it did not wait for them");
    cr_assert_eq(atomic_load(&heavy_most), 1);
    cr_assert_eq(front_job(front, &heavy[0]), ERR_OK, "there is room again");
    while (jobs_done <= HEAVY_JOBS_MAX) {
        usleep(1000);
        front_on_wake(front);
    }
    cr_assert_eq(jobs_dropped, 0);
}

/* Numbers in metas become strings, behind the body: more text than the body has room for. */
Test(pipeline, metas_that_grow_are_taken) {
    static char body[1024 * 1024];
    engine_start(&engine);
    int at = snprintf(body, sizeof body, "{\"events\":[");
    for (u32 i = 0; i < 1000; i++) {
        at += snprintf(body + at, sizeof body - (usize)at,
                       "%s{\"eventName\":\"e\",\"customerReferenceId\":\"c\",\"featureKey\":\"f\","
                       "\"meta\":{",
                       i > 0 ? "," : "");
        for (u32 k = 0; k < 60; k++) {
            at += snprintf(body + at, sizeof body - (usize)at, "%s\"%c%u\":%u", k > 0 ? "," : "",
                           'a' + (int)(k % 26), k, k % 10);
        }
        at += snprintf(body + at, sizeof body - (usize)at, "}}");
    }
    at += snprintf(body + at, sizeof body - (usize)at, "]}");
    cr_assert_lt((usize)at, sizeof body - 1);
    struct ingest result = send(body);
    cr_assert_eq(result.err, ERR_OK);
    cr_assert_eq(result.accepted, 1000);
    ingest_free(&result);
}

Test(pipeline, full_map_refuses_and_forgets_nothing) {
    static char body[512 * 1024];
    engine.map_bytes = 2 * MIB;
    engine_start(&engine);
    u64 accepted = 0;
    u32 round = 0;
    struct ingest result;
    struct decode_error error;
    for (; round < 500; round++) {
        usize bytes = body_of(body, sizeof body, round, 1000);
        enum err err =
            engine_ingest_at(&engine, 0, 1, (struct slice){body, bytes}, &result, &error);
        cr_assert_eq(err, ERR_OK);
        ingest_free(&result);
        if (result.err != ERR_OK) {
            break;
        }
        accepted += result.accepted;
    }
    cr_assert_eq(result.err, ERR_NO_SPACE);
    cr_assert_gt(accepted, 0);
    cr_assert_eq(engine_totals(&engine, 1).events, accepted);
    cr_assert_eq(dedup_count(engine.recovered.dedup), accepted);

    engine_stop(&engine);
    engine.map_bytes = 64 * MIB;
    engine_start(&engine);
    cr_assert_eq(engine_totals(&engine, 1).events, accepted);
    usize bytes = body_of(body, sizeof body, round, 1000);
    cr_assert_eq(engine_ingest_at(&engine, 0, 1, (struct slice){body, bytes}, &result, &error), 0);
    cr_assert_eq(result.accepted, 1000, "the refused batch must still be new");
    ingest_free(&result);
}

#define FLOOD 40

static struct ingest flood[FLOOD];
static u32 flood_answers;

static void note_answer(struct ingest *ingest) {
    (void)ingest;
    flood_answers++;
}

/* All requests at once, so that groups are decided while others are written; the answers. */
static u64 send_flood(u32 first_round) {
    static char body[512 * 1024];
    struct front *front = pipeline_front(engine.pipeline, 0);
    u64 accepted = 0;
    flood_answers = 0;
    for (u32 i = 0; i < FLOOD; i++) {
        struct decode_error error;
        usize bytes = body_of(body, sizeof body, first_round + i / 2, 1000); /* each twice */
        struct block block = pool_take(front_pool(front), bytes + EVENT_TEXT_PADDING);
        cr_assert_not_null(block.data);
        memcpy(block.data, body, bytes);
        memset(block.data + bytes, 0, EVENT_TEXT_PADDING);
        flood[i] = (struct ingest){.account = 1, .done = note_answer};
        cr_assert_eq(front_ingest(front, &flood[i], block, bytes, 1780000000000, &error), ERR_OK);
    }
    while (flood_answers < FLOOD) {
        usleep(100);
        front_on_wake(front);
    }
    for (u32 i = 0; i < FLOOD; i++) {
        cr_assert(flood[i].err == ERR_OK || flood[i].err == ERR_NO_SPACE);
        accepted += flood[i].accepted;
        cr_assert(flood[i].err != ERR_OK || flood[i].accepted + flood[i].duplicates == 1000);
        ingest_free(&flood[i]);
    }
    return accepted;
}

/* The second request of each pair is a duplicate of the first, or new if that was refused. */
Test(pipeline, full_map_with_many_requests_under_way) {
    engine.map_bytes = 2 * MIB;
    engine_start(&engine);
    u64 accepted = 0;
    u32 round = 0;
    u32 refused = 0;
    while (refused == 0) {
        accepted += send_flood(round);
        for (u32 i = 0; i < FLOOD; i += 2) {
            bool stored = flood[i].err == ERR_OK || flood[i + 1].err == ERR_OK;
            cr_assert_eq(flood[i].accepted + flood[i + 1].accepted, stored ? 1000 : 0);
            refused += !stored;
        }
        round += FLOOD / 2;
        cr_assert_lt(round, 1000);
    }
    cr_expect_eq(engine_totals(&engine, 1).events, accepted);
    cr_expect_eq(dedup_count(engine.recovered.dedup), accepted);
    engine_stop(&engine);
    engine.map_bytes = 256 * MIB;
    engine_start(&engine);
    cr_expect_eq(engine_totals(&engine, 1).events, accepted);
    for (u32 again = 0; again < round; again += FLOOD / 2) {
        accepted += send_flood(again);
    }
    cr_expect_eq(accepted, 1000 * round, "each key once, whether it was refused before or not");
    cr_expect_eq(engine_totals(&engine, 1).events, accepted);
}

Test(pipeline, restart_gives_the_same_figures) {
    static char body[512 * 1024];
    engine_start(&engine);
    for (u32 round = 0; round < 20; round++) {
        struct ingest result;
        struct decode_error error;
        usize bytes = body_of(body, sizeof body, round, 500);
        cr_assert_eq(engine_ingest_at(&engine, 0, 1, (struct slice){body, bytes}, &result, &error),
                     ERR_OK);
        cr_assert_eq(result.accepted, 500);
        ingest_free(&result);
        if (round == 7 || round == 13) {
            engine_stop(&engine);
            if (round == 13) { /* as if the snapshots had been lost */
                char command[128];
                snprintf(command, sizeof command, "rm -rf %s/snapshots", engine.dir);
                cr_assert_eq(system(command), 0);
            }
            engine_start(&engine);
            cr_assert_eq(engine.recovered.events, round == 13 ? 7000 : 0);
        }
    }
    struct figures total = engine_totals(&engine, 1);
    cr_assert_eq(total.events, 10000);
    cr_assert(total.cost == 10000);
    cr_assert(total.revenue == PICO_PER_USD * 100);
    struct ingest again;
    struct decode_error error;
    usize bytes = body_of(body, sizeof body, 3, 500);
    cr_assert_eq(engine_ingest_at(&engine, 0, 1, (struct slice){body, bytes}, &again, &error),
                 ERR_OK);
    cr_assert_eq(again.duplicates, 500);
    cr_assert_eq(again.conflicts, 0);
    ingest_free(&again);
}
