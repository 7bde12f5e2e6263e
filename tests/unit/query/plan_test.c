/*
 * plan_test.c: what time may do to a plan. Bands and rows are read in slices between which hours
 * move; a plan is given up only where the answer would be wrong.
 */
#include "query/plan.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOURS(n) ((i64)(n)*HOUR_MS)
#define NOW (HOURS(494444))

static struct agg *agg;
static i64 now = NOW;

/* An event of each customer, at that time. */
static void put_events(u32 first, u32 count, i64 time) {
    struct event_batch *batch = calloc(1, sizeof *batch);
    static char text[4 * MIB];
    static u32 rows[EVENT_BATCH_MAX];
    cr_assert_not_null(batch);
    batch->text = text;
    batch->text_bytes_max = sizeof text;
    batch->account = 1;
    batch->count = count;
    for (u32 i = 0; i < count; i++) {
        batch->present[i] =
            NUM_BIT(NUM_TIME) | NUM_BIT(NUM_COST) | NUM_BIT(NUM_USAGE) | TEXT_BIT(TEXT_CUSTOMER);
        batch->number[NUM_TIME][i] = time;
        batch->number[NUM_COST][i] = 1;
        batch->series[i] = SERIES_UNRESOLVED;
        u32 bytes = (u32)snprintf(text + batch->text_bytes, 16, "c%u", first + i);
        batch->ref[TEXT_CUSTOMER][i] = (struct text_ref){batch->text_bytes, bytes};
        batch->text_bytes += bytes;
        rows[i] = i;
    }
    cr_assert_eq(agg_resolve(agg, batch, rows, count), ERR_OK);
    agg_settle(agg);
    agg_apply(agg, batch, rows, count);
    free(batch);
}

static void make(void) {
    const struct agg_options options = {.seed = 3, .advance_rows = 7};
    cr_assert_eq(agg_create(&options, &agg), ERR_OK);
    agg_advance(agg, now);
}

/* Twenty customers, and an event of each every twelve hours of a month. */
static void open_all(void) {
    make();
    for (i64 hour = 0; hour < 31 * 24; hour += 12) {
        put_events(0, 20, now - HOURS(hour));
    }
}

static struct plan plan_from(struct query *query, i64 from) {
    *query = (struct query){.account = 1,
                            .group = {DIM_CUSTOMER},
                            .group_count = 1,
                            .from = from,
                            .to = INT64_MAX,
                            .limit = 100};
    struct plan plan;
    plan_make(&plan, agg, query);
    return plan;
}

static void pass(i64 ms) {
    now += ms;
    for (u32 i = 0; i < 2000; i++) {
        agg_advance(agg, now);
    }
}

Test(plan, holds_while_hours_move_that_it_does_not_tell_apart) {
    open_all();
    pass(0);
    struct query queries[4];
    struct plan all = plan_from(&queries[0], INT64_MIN);
    struct plan month = plan_from(&queries[1], agg->edge[1]);
    struct plan week = plan_from(&queries[2], agg->edge[0]);
    plan_from(&queries[3], now / HOUR_MS * HOUR_MS - HOURS(50));
    queries[3].to = now / HOUR_MS * HOUR_MS - HOURS(3);
    struct plan rows;
    plan_make_firm(&rows, agg, &queries[3]);
    cr_assert(all.by_bands && month.by_bands && week.by_bands && !rows.by_bands);
    now =
        (now / HOUR_MS + 12) * HOUR_MS; /* one hour with rows has to pass the first edge, slowly */
    while (agg->moved[0] == 0) {
        agg_advance(agg, now);
    }
    cr_assert(agg->moved[0] < 20);
    cr_expect(plan_holds(&all), "a move changes no sum over all bands");
    cr_expect(!plan_holds(&week), "part of its last hour is counted beyond it");
    cr_expect(plan_holds(&month), "both bands are inside");
    cr_expect(plan_holds(&rows), "rows stay");
    pass(0);
    cr_expect(plan_holds(&all) && plan_holds(&rows));
    cr_expect(!plan_holds(&month) && !plan_holds(&week));
    struct query minute;
    struct plan minutes = plan_from(&minute, agg->width[WIDTH_MINUTE].edge);
    pass(MINUTE_MS * 2);
    cr_expect(minutes.range_count == 0 || !plan_holds(&minutes), "its minutes are dropped");
    agg_destroy(agg);
}

/* A window between two edges is bands and some rows; or rows alone, if there are few of them. */
Test(plan, splits_a_window_between_two_edges) {
    open_all();
    pass(0);
    struct query queries[3];
    struct plan some = plan_from(&queries[0], agg->edge[0] - HOURS(60));
    cr_expect(some.by_bands && some.split == agg->edge[0] && some.band_mask == 1);
    cr_expect(some.range_count > 0 && some.log_count == 0 && !plan_is_cells(&some));
    cr_expect(plan_holds(&some));
    struct plan more = plan_from(&queries[1], agg->edge[1] - HOURS(5));
    cr_expect(more.by_bands && more.split == agg->edge[1] && more.band_mask == 3);
    struct plan few = plan_from(&queries[2], now - HOURS(30));
    cr_expect(!few.by_bands && few.split == 0);
    now = (now / HOUR_MS + 12) * HOUR_MS;
    while (agg->moved[0] == 0) {
        agg_advance(agg, now);
    }
    cr_expect(!plan_holds(&some), "its edge moves");
    cr_expect(plan_holds(&more));
    agg_destroy(agg);
}

/* The hour and the day of now are read as far as they are folded, the rest from finer rows. */
Test(plan, holds_until_more_is_folded_into_a_bucket_that_it_reads) {
    now = (NOW / (24 * HOUR_MS) * 24 + 5) * HOUR_MS + 10 * MINUTE_MS;
    open_all();
    for (i64 hour = 2; hour < 5; hour++) {
        put_events(0, 20, now - HOURS(hour));
    }
    pass(0);
    struct query query;
    plan_from(&query, now / DAY_MS * DAY_MS - HOURS(48));
    query.bucket = BUCKET_DAY;
    struct plan quick;
    struct plan firm;
    plan_make(&quick, agg, &query);
    plan_make_firm(&firm, agg, &query);
    u32 today = (u32)(now / DAY_MS);
    cr_expect(quick.ranges[0].width == WIDTH_DAY && quick.ranges[0].end == today + 1);
    cr_expect(firm.ranges[0].width == WIDTH_DAY && firm.ranges[0].end == today);
    cr_expect_eq(quick.range_count, 3, "a day that is not whole, minutes of an hour, and those");
    cr_expect_eq(quick.log_count + firm.log_count, 0);
    cr_expect_lt(walk_count(&quick, UINT64_MAX), walk_count(&firm, UINT64_MAX));
    put_events(0, 20, now - HOURS(1) - MINUTE_MS);
    cr_expect(plan_holds(&quick) && plan_holds(&firm), "late events are in all rows of their time");
    now += MINUTE_MS;
    agg_advance(agg, now);
    cr_expect(agg->fold[WIDTH_MINUTE].rows == 0 && !plan_holds(&quick) && plan_holds(&firm));
    plan_make(&quick, agg, &query);
    now += MINUTE_MS; /* the minute of the newest events has to be folded, in pieces */
    agg_advance(agg, now);
    cr_expect(agg->fold[WIDTH_MINUTE].rows > 0 && !plan_holds(&quick) && plan_holds(&firm));
    plan_make(&quick, agg, &query);
    cr_expect_eq(quick.reached[WIDTH_HOUR], 0, "a minute in pieces: its hour is not read");
    cr_expect_eq(quick.reached[WIDTH_DAY], agg->fold[WIDTH_HOUR].next);
    pass(0);
    cr_expect(plan_holds(&quick) && plan_holds(&firm));
    agg_destroy(agg);
}

Test(plan, short_queries_are_those_of_few_records) {
    open_all();
    struct query query;
    plan_from(&query, INT64_MIN);
    cr_expect(query_is_short(agg, &query));
    query.from = now / HOUR_MS * HOUR_MS - HOURS(24);
    cr_expect(query_is_short(agg, &query), "two hours of 20 series");
    query.bucket = BUCKET_DAY;
    query.from = INT64_MIN;
    cr_expect(query_is_short(agg, &query), "31 days of 20 series");
    query.bucket = BUCKET_HOUR;
    cr_expect(query_is_short(agg, &query), "62 hours of 20 series");
    struct plan plan;
    plan_make(&plan, agg, &query);
    u64 count = walk_count(&plan, UINT64_MAX);
    cr_expect(count >= 62 * 20 && count <= 62 * 21, "%llu", (unsigned long long)count);
    cr_expect_gt(walk_count(&plan, 100), 100, "counting stops, but not before");
    agg_destroy(agg);
}

Test(plan, top_lists_are_short_once_they_are_ranked) {
    make();
    put_events(0, EVENT_BATCH_MAX, now);
    put_events(EVENT_BATCH_MAX, 100, now);
    struct query query;
    plan_from(&query, INT64_MIN);
    cr_expect(!query_is_short(agg, &query), "by key everybody is looked at");
    query.order = ORDER_COST;
    cr_expect(!query_is_short(agg, &query), "nobody has ranked them yet");
    struct query_result result;
    const char *why;
    cr_assert_eq(query_run(agg, NULL, &query, &result, &why), ERR_OK);
    query_result_free(&result);
    cr_expect(query_is_short(agg, &query));
    query.group[0] = DIM_MODEL;
    cr_expect(query_is_short(agg, &query), "few models");
    query.group[1] = DIM_CUSTOMER;
    query.group_count = 2;
    cr_expect(!query_is_short(agg, &query), "all series");
    query.filter_mask = 1u << DIM_CUSTOMER;
    query.filter[DIM_CUSTOMER] = SLICE("c17");
    cr_expect(query_is_short(agg, &query), "one of them");
    agg_destroy(agg);
}
