/* budget_test.c: periods and cents of budgets, plans of the settings, and the month's counters. */
#include "account/budget.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "account/outbox.h"
#include "account/plan.h"
#include "account/usage.h"
#include "json/time.h"

static i64 at(const char *text) {
    i64 ms = 0;
    cr_assert(time_parse((struct slice){text, strlen(text)}, &ms), "%s", text);
    return ms;
}

Test(budget, a_day_is_24_hours_from_the_start) {
    struct budget budget = budget_start(100, BUDGET_DAY, at("2026-05-10T13:30:00Z"));
    cr_assert_eq(budget.reset_ms, at("2026-05-11T13:30:00Z"));
    budget_charge(&budget, 5 * PICO_PER_CENT);
    budget_advance(&budget, at("2026-05-11T13:29:59.999Z"));
    cr_assert_eq(budget_used_cents(&budget), 5);
    budget_advance(&budget, at("2026-05-11T13:30:00Z"));
    cr_assert_eq(budget_used_cents(&budget), 0);
    cr_assert_eq(budget.reset_ms, at("2026-05-12T13:30:00Z"));
    budget_charge(&budget, 5 * PICO_PER_CENT);
    budget_advance(&budget, at("2026-06-20T13:29:00Z")); /* all that have ended, at once */
    cr_assert_eq(budget_used_cents(&budget), 0);
    cr_assert_eq(budget.reset_ms, at("2026-06-20T13:30:00Z"));
}

Test(budget, a_month_ends_with_the_calendar) {
    static const struct {
        const char *now;
        const char *reset;
    } cases[] = {{"2026-01-31T23:59:59.999Z", "2026-02-01T00:00:00Z"},
                 {"2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"},
                 {"2026-12-31T12:00:00Z", "2027-01-01T00:00:00Z"},
                 {"2028-02-29T12:00:00Z", "2028-03-01T00:00:00Z"}};
    for (u32 i = 0; i < ARRAY_COUNT(cases); i++) {
        struct budget budget = budget_start(1, BUDGET_MONTH, at(cases[i].now));
        cr_assert_eq(budget.reset_ms, at(cases[i].reset), "%s", cases[i].now);
        budget_charge(&budget, 1);
        budget_advance(&budget, budget.reset_ms - 1);
        cr_assert_eq(budget_used_cents(&budget), 1);
        budget_advance(&budget, at("2029-07-15T00:00:00Z"));
        cr_assert_eq(budget_used_cents(&budget), 0);
        cr_assert_eq(budget.reset_ms, at("2029-08-01T00:00:00Z"));
    }
    struct budget lifetime = budget_start(1, BUDGET_LIFETIME, at("2026-05-10T00:00:00Z"));
    budget_charge(&lifetime, PICO_PER_CENT);
    budget_advance(&lifetime, at("2126-05-10T00:00:00Z"));
    cr_assert(lifetime.reset_ms == 0 && budget_used_cents(&lifetime) == 1);
}

Test(budget, every_picodollar_counts) {
    struct budget budget = budget_start(2, BUDGET_LIFETIME, 0);
    cr_assert(budget_admits(&budget) && budget_used_cents(&budget) == 0);
    budget_charge(&budget, 1);
    cr_assert(budget_used_cents(&budget) == 1 && budget_remaining_cents(&budget) == 1);
    budget_charge(&budget, 2 * PICO_PER_CENT - 2);
    cr_assert(budget_admits(&budget) && budget_used_cents(&budget) == 2);
    budget_charge(&budget, 1);
    cr_assert(!budget_admits(&budget) && budget_remaining_cents(&budget) == 0);
    budget_charge(&budget, 7 * PICO_PER_CENT); /* a call that was under way */
    cr_assert(budget_used_cents(&budget) == 9 && budget_remaining_cents(&budget) == 0);
    struct budget none = budget_start(0, BUDGET_DAY, 0);
    cr_assert_not(budget_admits(&none));
    struct budget unlimited = {0};
    budget_charge(&unlimited, 5);
    cr_assert(budget_admits(&unlimited) && unlimited.used_pico == 0);
    struct budget largest = budget_start(BUDGET_CENTS_MAX, BUDGET_LIFETIME, 0);
    for (int i = 0; i < 1000; i++) {
        budget_charge(&largest, INT64_MAX);
    }
    cr_assert(budget_admits(&largest));
    cr_assert_eq(budget_used_cents(&largest),
                 (i64)(((i128)INT64_MAX * 1000 - 1) / PICO_PER_CENT) + 1);
    enum budget_period period;
    cr_assert(budget_period_parse(SLICE("day"), &period) && period == BUDGET_DAY);
    cr_assert(budget_period_parse(SLICE("month"), &period) && period == BUDGET_MONTH);
    cr_assert_not(budget_period_parse(SLICE("year"), &period));
    cr_assert_not(budget_period_parse(SLICE(""), &period));
    cr_assert_null(budget_period_text(BUDGET_LIFETIME));
}

Test(plan, settings_change_and_add) {
    struct plans plans;
    plans_init(&plans);
    cr_assert_eq(plans_find(&plans, "free")->limit[PLAN_EVENT_INGEST], 10000);
    cr_assert_eq(plans_find(&plans, "pro")->price_cents, 2900);
    cr_assert_eq(plans_find(&plans, "team")->price_cents, 9900);
    cr_assert_eq(plans_find(&plans, "unlimited")->limit[PLAN_EVENT_INGEST], PLAN_UNLIMITED);
    cr_assert_null(plans_find(&plans, "Free"));
    cr_assert_null(plans_set(&plans, "free", "event-ingest", "5"));
    cr_assert_null(plans_set(&plans, "mine", "price-usd-month", "9.90"));
    cr_assert_null(plans_set(&plans, "mine", "ai-insights", "0"));
    cr_assert_null(plans_set(&plans, "mine", "csv-upload", "unlimited"));
    cr_assert_eq(plans_find(&plans, "free")->limit[PLAN_EVENT_INGEST], 5);
    cr_assert_eq(plans_find(&plans, "mine")->price_cents, 990);
    cr_assert_eq(plans_find(&plans, "mine")->limit[PLAN_AI_INSIGHTS], 0);
    cr_assert_eq(plans_find(&plans, "mine")->limit[PLAN_EVENT_INGEST], PLAN_UNLIMITED);
    static const char *const bad[][3] = {
        {"free", "event-ingest", "-1"},
        {"free", "event-ingest", "1.5"},
        {"free", "event-ingest", ""},
        {"free", "event-ingest", "many"},
        {"free", "price-usd-month", "1.999"},
        {"free", "colour", "1"},
        {"", "event-ingest", "1"},
        {"A", "event-ingest", "1"},
        {"an-endless-name-an-endless-name-x", "event-ingest", "1"}};
    for (u32 i = 0; i < ARRAY_COUNT(bad); i++) {
        cr_assert_not_null(plans_set(&plans, bad[i][0], bad[i][1], bad[i][2]), "%u", i);
    }
    char name[] = "plan-a";
    for (u32 i = plans.count; i < PLANS_MAX; i++, name[5]++) {
        cr_assert_null(plans_set(&plans, name, "event-ingest", "1"));
    }
    cr_assert_not_null(plans_set(&plans, "one-more", "event-ingest", "1"));
}

Test(plan, warnings_are_due_at_80_and_100_percent) {
    static const struct {
        u64 used;
        i64 limit;
        u32 due;
    } cases[] = {{79, 100, 0},    {80, 100, 80}, {99, 100, 80},        {100, 100, 100},
                 {101, 100, 100}, {1, 2, 0},     {0, 0, 100},          {5, PLAN_UNLIMITED, 0},
                 {7, 9, 0},       {8, 9, 80},    {UINT64_MAX, 1, 100}, {0, 1, 0}};
    for (u32 i = 0; i < ARRAY_COUNT(cases); i++) {
        cr_assert_eq(outbox_usage_level(cases[i].used, cases[i].limit), cases[i].due, "%u", i);
    }
}

static void count(struct usage *usage, u32 account, u32 events, const char *const *times) {
    static struct event_batch batch;
    static u32 rows[EVENT_BATCH_MAX];
    for (u32 i = 0; i < events; i++) {
        rows[i] = 2 * i;
        batch.created[2 * i] = at(times[i]);
    }
    usage_count(usage, account, &batch, rows, events);
}

Test(usage, counts_the_month_of_receipt) {
    struct usage *usage;
    cr_assert_eq(usage_create(&usage), ERR_OK);
    i64 may = at("2026-05-20T00:00:00Z");
    i64 june = at("2026-06-30T23:59:59.999Z");
    cr_assert_eq(usage_of(usage, 3, may), 0);
    count(usage, 3, 3,
          (const char *const[]){"2026-05-01T00:00:00Z", "2026-05-31T23:59:59.999Z",
                                "2026-05-02T00:00:00Z"});
    count(usage, 4, 1, (const char *const[]){"2026-05-02T00:00:00Z"});
    cr_assert(usage_of(usage, 3, may) == 3 && usage_of(usage, 4, may) == 1);
    cr_assert_eq(usage_of(usage, 3, june), 0, "a new month begins at nothing");
    /* A batch over the edge; what is late by then is in no month any more. */
    count(usage, 3, 4,
          (const char *const[]){"2026-05-31T23:59:59.999Z", "2026-06-01T00:00:00Z",
                                "2026-05-31T23:59:59.999Z", "2026-06-01T00:00:00Z"});
    cr_assert_eq(usage_of(usage, 3, june), 2);
    cr_assert_eq(usage_of(usage, 3, may), 0);
    cr_assert_eq(usage_of(usage, 4, may), 1);

    /* A snapshot is of the moment it began. */
    cr_assert_eq(usage_snapshot_begin(usage), ERR_OK);
    count(usage, 3, 1, (const char *const[]){"2026-06-02T00:00:00Z"});
    struct slice bytes = usage_snapshot_bytes(usage);
    struct usage *loaded;
    cr_assert_eq(usage_create(&loaded), ERR_OK);
    cr_assert_eq(usage_snapshot_load(loaded, bytes.data, bytes.bytes), ERR_OK);
    cr_assert(usage_of(loaded, 3, june) == 2 && usage_of(loaded, 4, may) == 1);
    cr_assert_eq(usage_snapshot_load(loaded, bytes.data, bytes.bytes - 1), ERR_CORRUPT);
    u64 bad[3] = {ACCOUNTS_MAX, 1, 1};
    cr_assert_eq(usage_snapshot_load(loaded, bad, sizeof bad), ERR_CORRUPT);
    usage_snapshot_end(usage);
    cr_assert_eq(usage_of(usage, 3, june), 3);
    usage_destroy(usage);
    usage_destroy(loaded);
}
