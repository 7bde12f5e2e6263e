/*
 * agg_test.c: what the model does not reach: bounds on traces and agents, texts of values that are
 * taken back, and how the tables of many rows grow.
 */
#include "agg/admit.h"
#include "agg/agg.h"
#include "agg/expire.h"

#include "agg/state.h"
#include "query/query.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW ((i64)1780000000000)

static struct agg *agg;
static struct event_batch *batch;
static u32 rows[EVENT_BATCH_MAX];

static void open_with(const struct agg_options *options) {
    cr_assert_eq(agg_create(options, &agg), ERR_OK);
    agg_advance(agg, NOW);
    batch = calloc(1, sizeof *batch);
    cr_assert_not_null(batch);
    batch->text_bytes_max = 4 * MIB;
    batch->text = malloc(batch->text_bytes_max);
    cr_assert_not_null(batch->text);
    batch->account = 1;
    for (u32 i = 0; i < EVENT_BATCH_MAX; i++) {
        rows[i] = i;
    }
}

static void close_all(void) {
    agg_destroy(agg);
    free(batch->text);
    free(batch);
}

static void clear(void) {
    batch->count = 0;
    batch->text_bytes = 0;
}

static void put_text(enum event_text text, const char *format, u32 number) {
    u32 row = batch->count - 1;
    char *at = batch->text + batch->text_bytes;
    u32 bytes = (u32)snprintf(at, 64, format, number);
    batch->ref[text][row] = (struct text_ref){batch->text_bytes, bytes};
    batch->present[row] |= TEXT_BIT(text);
    batch->text_bytes += bytes;
}

/* An event of the customer, at a minute of its own. */
static void put_event(u32 customer) {
    u32 row = batch->count++;
    batch->present[row] = NUM_BIT(NUM_TIME) | NUM_BIT(NUM_COST) | NUM_BIT(NUM_USAGE);
    batch->number[NUM_TIME][row] = NOW;
    batch->number[NUM_COST][row] = 1;
    batch->number[NUM_USAGE][row] = 0;
    batch->series[row] = SERIES_UNRESOLVED;
    put_text(TEXT_EVENT_NAME, "event", 0);
    put_text(TEXT_CUSTOMER, "a customer with a name of %u", customer);
}

static void resolve(void) {
    cr_assert_eq(agg_resolve(agg, batch, rows, batch->count), ERR_OK);
}

static void commit(void) {
    resolve();
    agg_settle(agg);
    agg_apply(agg, batch, rows, batch->count);
}

static u64 events_of_all(void) {
    struct query query = {.account = 1, .from = INT64_MIN, .to = INT64_MAX, .limit = 1};
    struct query_result result;
    const char *why;
    cr_assert_eq(query_run(agg, NULL, &query, &result, &why), ERR_OK);
    u64 events = result.total.events;
    query_result_free(&result);
    return events;
}

Test(agg, new_traces_and_agents_past_the_bound_are_only_left_out_of_their_lists) {
    const struct agg_options options = {.seed = 5, .trace_max = 10, .agent_max = 3};
    open_with(&options);
    for (u32 round = 0; round < 3; round++) {
        clear();
        for (u32 i = 0; i < 20; i++) {
            put_event(round);
            put_text(TEXT_TRACE, "trace %u", i);
            put_text(TEXT_AGENT, "agent %u", i);
        }
        put_event(round);
        commit();
    }
    struct trace_summary traces[20];
    u32 count;
    u32 total;
    cr_assert_eq(query_traces(agg, 1, INT64_MIN, INT64_MAX, 0, 20, traces, &count, &total), ERR_OK);
    cr_expect_eq(count, 10);
    cr_expect_eq(traces[0].spans, 3, "known ones go on");
    cr_expect_eq(agg_left_out(agg).traces, 30);
    cr_expect_eq(agg_left_out(agg).agents, 51);
    cr_expect_eq(events_of_all(), 63);
    close_all();
}

Test(agg, texts_of_values_taken_back_are_free_again) {
    const struct agg_options options = {.seed = 5};
    open_with(&options);
    clear();
    put_event(0);
    commit();
    u32 before = agg->texts.count;
    for (u32 round = 0; round < 50; round++) {
        clear();
        for (u32 i = 0; i < 100; i++) {
            put_event(1 + round * 100 + i);
        }
        resolve();
        agg_undo(agg);
    }
    cr_expect_eq(agg->texts.count, before);
    struct event_batch *refused = batch;
    agg_destroy(agg);
    open_with(&options); /* and where traces of the group before come behind them */
    struct event_batch *before_it = batch;
    for (u32 round = 0; round < 200; round++) {
        batch = before_it;
        clear();
        put_event(0);
        put_text(TEXT_TRACE, "the trace with a number of %u", round);
        resolve();
        agg_settle(agg);
        batch = refused;
        for (u32 i = 0; i < batch->count; i++) {
            batch->series[i] = SERIES_UNRESOLVED;
        }
        resolve();
        agg_apply(agg, before_it, rows, before_it->count);
        agg_undo(agg);
    }
    cr_expect_lt(agg->texts.count, 16 + 3 * 100 + 3 * 200, "%u units", agg->texts.count);
    struct trace_summary traces[200];
    u32 count;
    u32 total;
    cr_assert_eq(query_traces(agg, 1, INT64_MIN, INT64_MAX, 0, 200, traces, &count, &total),
                 ERR_OK);
    cr_expect_eq(count, 200);
    for (u32 i = 0; i < count; i++) {
        cr_expect(memcmp(traces[i].id, "the trace with a number of ", 27) == 0);
    }
    batch = before_it;
    close_all();
    free(refused->text);
    free(refused);
}

static void resolve_customers(u32 first, u32 count) {
    clear();
    for (u32 i = 0; i < count; i++) {
        put_event(first + i);
    }
    resolve();
}

/* Series of two groups are pending: the second uses some of the first. */
Test(agg, groups_end_up_to_their_marks) {
    const struct agg_options options = {.seed = 5};
    open_with(&options);
    struct event_batch *first = batch;
    struct event_batch *second = calloc(1, sizeof *second);
    cr_assert_not_null(second);
    second->text_bytes_max = first->text_bytes_max;
    second->text = malloc(second->text_bytes_max);
    second->account = 1;
    u32 texts = agg->texts.count;
    for (u32 round = 0; round < 400; round++) {
        u32 settled = agg_series_count(agg);
        batch = first;
        resolve_customers(round * 50, 40);
        struct agg_mark middle = agg_mark(agg);
        batch = second;
        resolve_customers(round * 50 + 30, 40);
        cr_assert_eq(second->series[9], first->series[39]);
        cr_assert_eq(second->series[10], first->series[39] + 1);
        cr_assert_eq(agg->reserved_events, 80);
        if (round % 2 == 0) { /* the first fails */
            agg_undo(agg);
            agg_unresolve(agg, second, rows, 40);
            cr_assert_eq(second->series[0], SERIES_UNRESOLVED);
            cr_assert_eq(second->series[39], SERIES_UNRESOLVED);
            cr_assert_eq(agg->reserved_events, 0);
            cr_assert_eq(agg->texts.count, texts);
            continue;
        }
        agg_settle_to(agg, middle);
        cr_assert_eq(agg_series_count(agg), middle.series);
        struct series_def def = agg_definition(agg, middle.series);
        char name[64];
        snprintf(name, sizeof name, "a customer with a name of %u", round * 50 + 40);
        cr_assert(def.series == middle.series && def.account == 1);
        cr_assert(def.text[TEXT_CUSTOMER].bytes == strlen(name) &&
                  memcmp(def.text[TEXT_CUSTOMER].data, name, strlen(name)) == 0);
        agg_undo_to(agg, middle); /* the second fails before the first is applied */
        agg_unresolve(agg, second, rows, 40);
        cr_assert_eq(second->series[9], first->series[39], "what is settled stays");
        cr_assert_eq(second->series[10], SERIES_UNRESOLVED);
        cr_assert_eq(agg->reserved_events, 40);
        agg_apply(agg, first, rows, 40);
        cr_assert_eq(agg->reserved_events, 0);
        resolve(); /* `batch` is the second, which comes again */
        agg_settle(agg);
        agg_apply(agg, second, rows, 40);
        texts = agg->texts.count;
        cr_assert_leq(agg_series_count(agg), settled + 70);
    }
    cr_expect_eq(events_of_all(), 200 * 80);
    batch = first;
    close_all();
    free(second->text);
    free(second);
}

/* No event of many may make a table double at once. */
Test(agg, tables_grow_piece_by_piece) {
    const struct agg_options options = {.seed = 5};
    open_with(&options);
    u32 largest = 0;
    for (u32 round = 0; round < 50; round++) {
        clear();
        for (u32 i = 0; i < EVENT_BATCH_MAX; i++) {
            put_event(round * EVENT_BATCH_MAX + i);
            put_text(TEXT_TRACE, "%u", round * EVENT_BATCH_MAX + i);
        }
        commit();
    }
    for (u32 i = 0; i < ARRAY_COUNT(agg->trace_table.part); i++) {
        largest = MAX(largest, agg->trace_table.part[i].mask + 1);
    }
    cr_expect_leq(largest, 512, "of 204800 entries in 1024 parts");
    const struct width_rows *minutes = &agg->width[WIDTH_MINUTE];
    cr_assert_eq(minutes->count, 1);
    cr_expect_eq(minutes->list[0]->row_count, 50 * EVENT_BATCH_MAX);
    cr_expect_not_null(minutes->list[0]->old_slots, "in the middle of growing");
    for (u32 series = 0; series < agg_series_count(agg); series++) {
        u32 row = partition_find(minutes->list[0], series);
        cr_assert(row != 0 && row_at(&minutes->rows, row)->series == series);
    }
    const struct account *account = account_at(agg, 1);
    cr_assert_eq(account->traces.count, 50 * EVENT_BATCH_MAX);
    for (u32 i = 0; i < account->traces.count; i++) {
        cr_assert_eq(list_at(&account->traces, i), i);
    }
    close_all();
}

struct fields {
    i64 cost;
    i64 tokens;
    i64 duration; /* -1: none */
    u32 rounds;
};

/* Each field of a row alone goes past its range, many times. */
static void overflow(const struct fields *fields, bool plain) {
    const struct agg_options options = {.seed = 5, .plain = plain};
    open_with(&options);
    for (u32 i = 0; i < EVENT_BATCH_MAX; i++) {
        put_event(0);
        batch->present[i] |= NUM_BIT(NUM_INPUT) | NUM_BIT(NUM_OUTPUT) | NUM_BIT(NUM_CACHED) |
                             NUM_BIT(NUM_CACHE_WRITE);
        batch->number[NUM_COST][i] = fields->cost;
        for (u32 number = NUM_INPUT; number <= NUM_CACHE_WRITE; number++) {
            batch->number[number][i] = fields->tokens;
        }
        batch->present[i] |= fields->duration >= 0 ? NUM_BIT(NUM_DURATION) : 0;
        batch->number[NUM_DURATION][i] = fields->duration;
    }
    for (u32 round = 0; round < fields->rounds; round++) {
        commit();
    }
    struct query query = {.account = 1, .from = INT64_MIN, .to = INT64_MAX, .limit = 1};
    const i128 count = (i128)fields->rounds * EVENT_BATCH_MAX;
    for (u32 bucket = BUCKET_NONE; bucket <= BUCKET_MINUTE; bucket++) {
        struct query_result result;
        const char *why;
        query.bucket = (enum query_bucket)bucket;
        cr_assert_eq(query_run(agg, NULL, &query, &result, &why), ERR_OK);
        const struct figures *total = &result.total;
        cr_expect(total->events == (u64)count && total->cost == fields->cost * count);
        cr_expect(total->input == (u64)(fields->tokens * count) && total->output == total->input &&
                  total->cached == total->input && total->cache_write == total->input);
        bool timed = fields->duration >= 0;
        cr_expect_eq(total->duration_count, timed ? (u64)count : 0);
        cr_expect_eq(total->duration_ms, timed ? (u64)(fields->duration * count) : 0);
        cr_expect_eq(total->last_seen, NOW);
        query_result_free(&result);
    }
    close_all();
}

Test(agg, rows_overflow_exactly_in_every_kernel) {
    static const struct fields fields[] = {
        {1, 1, -1, 20},                 /* counts of events */
        {1, 1, 1, 20},                  /* and of durations */
        {((i64)1 << 61) + 1, 1, -1, 1}, /* money */
        {-((i64)1 << 62), 1, -1, 1},    /* the least that fits */
        {1, ((i64)1 << 31) - 1, -1, 1}, /* tokens */
        {1, EVENT_TOKENS_MAX, -1, 1},   /* of one event */
        {1, 1, ((i64)1 << 31) - 1, 1},  /* durations */
        {EVENT_MONEY_MAX, 1, (i64)1 << 40, 1},
    };
    for (u32 i = 0; i < ARRAY_COUNT(fields); i++) {
        overflow(&fields[i], false);
        overflow(&fields[i], true);
    }
}

/* Rows know only some bits of their bucket's number: after a long pause, rows of the last minutes
 * before it may be there still when the ones come that look the same. */
Test(agg, minutes_are_told_apart_after_a_pause) {
    const struct agg_options options = {.seed = 5, .advance_rows = 1};
    open_with(&options);
    const i64 pause = ((i64)UINT16_MAX + 1) * MINUTE_MS;
    for (u32 round = 0; round < 2; round++) {
        clear();
        for (u32 i = 0; i < 20; i++) {
            put_event(i);
            batch->number[NUM_TIME][i] = NOW + round * pause;
        }
        commit();
        agg_advance(agg, NOW + pause);
    }
    struct query query = {.account = 1,
                          .from = (NOW + pause) / DAY_MS * DAY_MS,
                          .to = INT64_MAX,
                          .bucket = BUCKET_DAY,
                          .limit = 10};
    struct query_result result;
    const char *why;
    cr_assert_eq(query_run(agg, NULL, &query, &result, &why), ERR_OK);
    cr_expect_eq(result.total.events, 20);
    query_result_free(&result);
    close_all();
}

#define MANY (20 * EVENT_BATCH_MAX)

static i64 start_of(u32 number) {
    return NOW - (i64)(number * (u64)7919 % 1000003);
}

static int newest_first(const void *left, const void *right) {
    u32 a = *(const u32 *)left;
    u32 b = *(const u32 *)right;
    return (start_of(a) < start_of(b)) - (start_of(a) > start_of(b));
}

/* More traces than one slice looks at, not in the order of their starts. */
Test(agg, a_list_of_many_traces_is_that_of_a_sort) {
    const struct agg_options options = {.seed = 5};
    open_with(&options);
    u32 *order = malloc(MANY * sizeof *order);
    cr_assert_not_null(order);
    for (u32 number = 0; number < MANY; number++) {
        if (number % EVENT_BATCH_MAX == 0) {
            clear();
        }
        put_event(0);
        batch->number[NUM_TIME][batch->count - 1] = start_of(number);
        put_text(TEXT_TRACE, "%u", number);
        order[number] = number;
        if (batch->count == EVENT_BATCH_MAX) {
            commit();
        }
    }
    qsort(order, MANY, sizeof *order, newest_first);
    cr_expect_eq(query_trace_count(agg, 1), MANY);
    static struct trace_summary traces[200];
    static const u32 offsets[] = {0, 1, 5000, MANY - 100};
    for (u32 i = 0; i < 2 * ARRAY_COUNT(offsets); i++) {
        u32 skipped = i < ARRAY_COUNT(offsets) ? 0 : 777; /* later than the window */
        u32 offset = offsets[i % ARRAY_COUNT(offsets)];
        i64 to = skipped == 0 ? INT64_MAX : start_of(order[skipped]) + 1;
        u32 count;
        u32 total;
        cr_assert_eq(query_traces(agg, 1, INT64_MIN, to, offset, 200, traces, &count, &total),
                     ERR_OK);
        cr_expect_eq(total, MANY - skipped);
        cr_expect_eq(count, MIN(total > offset ? total - offset : 0, 200u));
        for (u32 k = 0; k < count; k++) {
            cr_assert_eq(traces[k].start_ms, start_of(order[skipped + offset + k]));
        }
    }
    free(order);
    close_all();
}

static void put_traced(u32 customer, u32 trace) {
    put_event(customer);
    put_text(TEXT_TRACE, "trace %u", trace);
}

/* What is taken back counts no more, neither values nor promised traces. */
Test(agg, caps_follow_what_is_taken_back) {
    open_with(&(struct agg_options){.seed = 5, .caps = {{4, 2, 0, 0, 2}}});
    for (u32 round = 0; round < 3; round++) { /* each with other names */
        u32 name = 10 * round;
        clear();
        put_traced(name + 1, name + 1);
        put_traced(name + 2, name + 2);
        put_event(name + 3);
        put_traced(name + 1, name + 3);
        put_traced(name + 1, name + 2);
        cr_assert_not(agg_has_room(agg, batch));
        for (u32 row = 0; row < 2; row++) {
            cr_assert_eq(agg_admit(agg, batch, row), AGG_CAPS, "%u in round %u", row, round);
            cr_assert_eq(agg_resolve(agg, batch, &row, 1), ERR_OK);
            cr_assert(agg_promise_trace(agg, batch, row));
        }
        cr_assert_eq(agg_admit(agg, batch, 2), AGG_CAP_CUSTOMERS);
        cr_assert_eq(agg_admit(agg, batch, 3), AGG_CAP_TRACES);
        cr_assert_eq(agg_admit(agg, batch, 4), AGG_CAPS, "a promised trace is known");
        if (round < 2) {
            agg_undo(agg);
        }
    }
    agg_settle(agg);
    agg_apply(agg, batch, rows, 2);
    cr_assert_eq(agg_admit(agg, batch, 2), AGG_CAP_CUSTOMERS);
    cr_assert_eq(agg_admit(agg, batch, 3), AGG_CAP_TRACES);
    cr_assert_eq(agg_admit(agg, batch, 4), AGG_CAPS);
    close_all();
}

/* A promise that was kept counts once: the second trace fits beside the first. */
Test(agg, kept_promises_count_once) {
    open_with(&(struct agg_options){.seed = 5, .caps = {{0, 0, 0, 0, 500}}});
    u32 taken = 0;
    for (u32 round = 0; round < 3; round++) {
        clear();
        for (u32 i = 0; i < 250; i++) {
            put_traced(1, round * 250 + i);
        }
        u32 count = 0;
        for (u32 row = 0; row < 250; row++) {
            if (agg_admit(agg, batch, row) == AGG_CAPS) {
                cr_assert_eq(agg_resolve(agg, batch, &row, 1), ERR_OK);
                cr_assert(agg_promise_trace(agg, batch, row));
                rows[count++] = row;
            }
        }
        agg_settle(agg);
        agg_apply(agg, batch, rows, count);
        taken += count;
    }
    cr_assert_eq(taken, 500);
    close_all();
}

/* An event of the customer's feature, received then. */
static void put_received(u32 feature, i64 time, i64 created) {
    put_event(1);
    put_text(TEXT_FEATURE, "feature %u", feature);
    batch->number[NUM_TIME][batch->count - 1] = time;
    batch->created[batch->count - 1] = created;
}

/* A customer all of whose events expire, and one comes after `steps` steps of the end: to the
 * series that is looked at first, or to the one that is last. */
static void expire_all_but_a_new_one(u32 steps, u32 feature) {
    const struct agg_options options = {.seed = 5};
    const i64 midnight = NOW - NOW % 86400000;
    struct agg_expiry *expiry;
    bool more = true;
    open_with(&options);
    clear();
    for (u32 i = 0; i < 6; i++) {
        put_received(i, midnight - 1000, 1000 + i);
    }
    commit();
    agg_advance(agg, NOW);
    cr_assert(agg_expire_ready(agg, midnight));
    cr_assert_eq(agg_expire_begin(agg, midnight, &expiry), ERR_OK);
    cr_assert_eq(agg_expire_take(expiry, batch), ERR_OK);
    while (more) {
        cr_assert_eq(agg_expire_note(expiry, &more), ERR_OK);
    }
    while (agg_expire_look(expiry)) {
    }
    agg_expire_follow(expiry);
    for (more = true; more; steps--) {
        if (steps == 0) {
            clear();
            put_received(feature, NOW, 9000);
            commit();
        }
        cr_assert_eq(agg_expire_end(expiry, 2, &more), ERR_OK); /* a series of it */
    }
    agg_expire_free(expiry);
    if (batch->count == 1) {
        cr_assert_eq(agg_customer_created(agg, 1, SLICE("a customer with a name of 1")), 9000);
    }
    close_all();
}

Test(agg, a_customer_who_comes_back_while_the_last_events_expire, .timeout = 60) {
    for (u32 steps = 0; steps < 100; steps++) {
        expire_all_but_a_new_one(steps, 0);
        expire_all_but_a_new_one(steps, 5);
    }
}
