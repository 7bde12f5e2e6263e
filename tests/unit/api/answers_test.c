/* answers_test.c: kept results are the ones that a new query would give. */
#include "api/answers.h"
#include "tests/support/engine.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct engine engine;
static struct answers answers;

static void setup(void) {
    engine_init(&engine);
    engine_start(&engine);
}

static void teardown(void) {
    engine_remove(&engine);
}

TestSuite(answers, .init = setup, .fini = teardown, .timeout = 60);

static void send(const char *customer, const char *cost) {
    char body[256];
    struct ingest result;
    struct decode_error error;
    snprintf(body, sizeof body,
             "{\"events\":[{\"eventName\":\"e\",\"customerReferenceId\":\"%s\","
             "\"featureKey\":\"f\",\"costAmount\":%s}]}",
             customer, cost);
    cr_assert_eq(engine_ingest(&engine, 1, body, &result, &error), ERR_OK);
    cr_assert_eq(result.accepted, 1);
    ingest_free(&result);
}

static const struct query_result *ask(const struct query *query) {
    const struct query_result *result = NULL;
    const char *why = NULL;
    u64 commits = pipeline_commit_count(engine.pipeline);
    cr_assert_eq(answers_run(&answers, engine.recovered.agg, commits, query, &result, &why),
                 ERR_OK);
    return result;
}

Test(answers, hold_until_the_next_commit_and_for_the_same_question_only) {
    send("a", "1");
    send("b", "2");
    char customer[] = "a";
    struct query all = {.account = 1,
                        .group = {DIM_CUSTOMER},
                        .group_count = 1,
                        .from = INT64_MIN,
                        .to = INT64_MAX,
                        .order = ORDER_COST,
                        .limit = 10};
    struct query one = all;
    one.filter_mask = 1u << DIM_CUSTOMER;
    one.filter[DIM_CUSTOMER] = (struct slice){customer, 1};

    const struct query_result *first = ask(&all);
    cr_assert_eq(first->row_count, 2);
    const struct query_row *rows = first->rows;
    cr_assert(ask(&one)->total.cost == PICO_PER_USD);
    cr_assert_eq(ask(&all)->rows, rows, "asked again, it is the kept result");
    customer[0] = 'b'; /* the texts of a question belong to whoever asks */
    cr_assert(ask(&one)->total.cost == 2 * PICO_PER_USD);
    customer[0] = 'a';
    cr_assert(ask(&one)->total.cost == PICO_PER_USD);

    send("a", "0.5");
    cr_assert(ask(&all)->total.cost == PICO_PER_USD * 7 / 2);
    cr_assert(ask(&one)->total.cost == PICO_PER_USD * 3 / 2);
    struct query other = all;
    other.account = 2;
    cr_assert_eq(ask(&other)->row_count, 0);
    for (u32 limit = 1; limit <= 3 * ANSWERS_KEPT; limit++) {
        other = all;
        other.limit = limit;
        cr_assert_eq(ask(&other)->row_count, MIN(limit, 2u));
    }
}
