/* clear_test.c: what clear_model rarely meets: rows that were emptied before they were folded. */
#include "agg/clear.h"

#include "query/query.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define MINUTE ((i64)60000)
#define HOUR (60 * MINUTE)
#define BEGIN ((i64)1780000000000 / HOUR * HOUR)

static struct agg *agg;
static struct event_batch batch;
static char text[] = "ncf";

static void send(i64 time) {
    const u32 row = 0;
    batch.account = 1;
    batch.count = 1;
    batch.text = text;
    batch.present[0] = NUM_BIT(NUM_TIME) | NUM_BIT(NUM_COST) | TEXT_BIT(TEXT_EVENT_NAME) |
                       TEXT_BIT(TEXT_CUSTOMER) | TEXT_BIT(TEXT_FEATURE);
    batch.ref[TEXT_EVENT_NAME][0] = (struct text_ref){0, 1};
    batch.ref[TEXT_CUSTOMER][0] = (struct text_ref){1, 1};
    batch.ref[TEXT_FEATURE][0] = (struct text_ref){2, 1};
    batch.number[NUM_TIME][0] = time;
    batch.number[NUM_COST][0] = 5;
    batch.series[0] = SERIES_UNRESOLVED;
    cr_assert_eq(agg_resolve(agg, &batch, &row, 1), ERR_OK);
    agg_settle(agg);
    agg_apply(agg, &batch, &row, 1);
}

static void clear_account(void) {
    struct clearing *clearing;
    const struct agg_clear clear = {.account = 1, .source = DIM_NONE};
    cr_assert_eq(agg_clear_plan(agg, &clear, &clearing), ERR_OK);
    cr_assert_eq(clearing_events(clearing), 1u);
    agg_change_begin(agg);
    agg_clear(clearing, NULL, 0);
    clearing_free(clearing);
}

/* The hour by its row: its events, and when the last one was. */
static void check_hour(u64 events, i64 last) {
    const struct query query = {.account = 1,
                                .group = {DIM_CUSTOMER, DIM_EVENT_NAME},
                                .group_count = 2,
                                .from = BEGIN,
                                .to = BEGIN + HOUR,
                                .bucket = BUCKET_HOUR,
                                .limit = 10};
    struct query_result result;
    const char *why;
    cr_assert_eq(query_run(agg, NULL, &query, &result, &why), ERR_OK);
    cr_assert_eq(result.row_count, events > 0);
    cr_assert_eq(result.total.events, events);
    cr_assert(events == 0 || result.total.last_seen == last);
    query_result_free(&result);
}

Test(clear, an_emptied_minute_says_nothing_when_it_is_folded) {
    cr_assert_eq(agg_create(&(struct agg_options){.seed = 1}, &agg), ERR_OK);
    agg_advance(agg, BEGIN + 21 * MINUTE);
    send(BEGIN + 20 * MINUTE + 7);
    clear_account();
    send(BEGIN + 10 * MINUTE + 3); /* late, and yet the last one there is */
    for (u32 minute = 22; minute < 130; minute++) {
        agg_advance(agg, BEGIN + minute * MINUTE);
    }
    check_hour(1, BEGIN + 10 * MINUTE + 3);
    clear_account();
    check_hour(0, 0);
    send(BEGIN + 30 * MINUTE);
    check_hour(1, BEGIN + 30 * MINUTE);
    agg_destroy(agg);
}
