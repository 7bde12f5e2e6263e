/*
 * activity_model.c: tallies, months of activity and counts of different values against an oracle
 * that keeps every event. Events of all ages and sources, a clock that jumps, snapshots in between.
 * Bounds lie on whole hours that are kept, so that the log is not needed.
 */
#include "agg/agg.h"
#include "query/activity.h"
#include "tests/support/fact_group.h"
#include "tests/support/require.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EVENTS_MAX 20000
#define ACCOUNTS 3
#define DAY ((i64)86400000)
#define HOUR ((i64)3600000)

static struct agg *agg;
static struct fact *facts;
static u32 fact_count;

/* The month of a time, counted from January 1970, by going through all months before. */
static u32 month_number(i64 time) {
    static const u32 lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    u32 month = 0;
    for (i64 end = 0;; month++) {
        u32 year = 1970 + month / 12;
        bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        end += (lengths[month % 12] + (month % 12 == 1 && leap ? 1 : 0)) * DAY;
        if (time < end) {
            return month;
        }
    }
}

/* --- sums ------------------------------------------------------------------------------------- */

static u32 fact_dim(const struct fact *fact, u32 dim) {
    return dim == QUERY_REVENUE_SOURCE ? fact->revenue_source
           : dim == DIM_SOURCE         ? fact->source
                                       : fact->dim[dim];
}

static const char *dim_text(u32 dim, u32 index) {
    return dim == QUERY_REVENUE_SOURCE ? revenue_source_text((enum revenue_source)index)
           : dim == DIM_SOURCE         ? event_source_text((enum event_source)index)
                                       : fact_texts[dim][index];
}

static bool text_is(struct slice text, const char *wanted) {
    return text.bytes == strlen(wanted) &&
           (text.bytes == 0 || memcmp(text.data, wanted, text.bytes) == 0);
}

static bool matches(const struct query *query, const struct fact *fact) {
    const u32 counts = NUM_BIT(NUM_INPUT) | NUM_BIT(NUM_OUTPUT);
    i64 time = fact->number[NUM_TIME];
    if (fact->account != query->account || time < query->from || time >= query->to ||
        (query->live && fact->source == SOURCE_STRIPE) ||
        (query->without_revenue && fact->dim[TEXT_EVENT_NAME] == 2) ||
        (query->both_tokens && (fact->present & counts) != counts)) {
        return false;
    }
    bool good = true;
    for (u32 dim = 0; dim < DIM_ACCOUNT; dim++) {
        good = good && ((query->filter_mask >> dim & 1) == 0 ||
                        text_is(query->filter[dim], dim_text(dim, fact_dim(fact, dim))));
    }
    return good;
}

static void compare_row(const struct query *query, const struct query_row *row) {
    struct figures want = {.last_seen = INT64_MIN};
    for (u32 i = 0; i < fact_count; i++) {
        const struct fact *fact = &facts[i];
        i64 time = fact->number[NUM_TIME];
        bool same = matches(query, fact);
        for (u32 g = 0; g < query->group_count && same; g++) {
            same = text_is(query_value_text(agg, query->group[g], row->value[g]),
                           dim_text(query->group[g], fact_dim(fact, query->group[g])));
        }
        same = same && (query->bucket != BUCKET_HOUR || time / HOUR * HOUR == row->bucket_start) &&
               (query->bucket != BUCKET_DAY || time / DAY * DAY == row->bucket_start) &&
               (query->bucket != BUCKET_MONTH ||
                month_number(time) == month_number(row->bucket_start));
        if (same) {
            want.events++;
            want.cost += (fact->flags & EVENT_FLAG_FOREIGN_UNIT) != 0 ? 0 : fact->number[NUM_COST];
            want.revenue += fact->number[NUM_REVENUE];
            want.input += (u64)fact->number[NUM_INPUT];
            want.output += (u64)fact->number[NUM_OUTPUT];
            want.last_seen = MAX(want.last_seen, time);
        }
    }
    const struct figures *got = &row->figures;
    require(got->events == want.events && got->cost == want.cost && got->revenue == want.revenue);
    require(got->input == want.input && got->output == want.output);
    require(got->last_seen == want.last_seen);
}

static void compare_sums(void) {
    static const u8 dims[] = {DIM_MODEL, DIM_PROVIDER, DIM_SOURCE, QUERY_REVENUE_SOURCE};
    struct query query = {.account = fact_below(ACCOUNTS),
                          .live = fact_one_in(2),
                          .without_revenue = fact_one_in(3),
                          .both_tokens = fact_one_in(3),
                          .without_first = true,
                          .from = INT64_MIN,
                          .to = INT64_MAX,
                          .order = ORDER_COST,
                          .limit = QUERY_ROWS_MAX};
    for (u32 i = 0; i < ARRAY_COUNT(dims); i++) {
        if (fact_one_in(2) && query.group_count < 2) {
            query.group[query.group_count++] = dims[i];
        } else if (fact_one_in(4) && dims[i] < DIM_ACCOUNT) {
            const char *text = dim_text(dims[i], 1);
            query.filter_mask |= 1u << dims[i];
            query.filter[dims[i]] = (struct slice){text, strlen(text)};
        }
    }
    if (fact_one_in(2)) {
        query.from = (fact_now - (i64)fact_below(90 * 24) * HOUR) / HOUR * HOUR;
        query.to = fact_one_in(2) ? INT64_MAX : query.from + (i64)fact_below(1000) * HOUR;
    }
    static const enum query_bucket buckets[] = {BUCKET_NONE, BUCKET_HOUR, BUCKET_DAY, BUCKET_MONTH};
    query.bucket = query.from == INT64_MIN ? (fact_one_in(2) ? BUCKET_NONE : BUCKET_MONTH)
                                           : buckets[fact_below(4)];
    struct query_result result;
    const char *why = NULL;
    require(query_run(agg, NULL, &query, &result, &why) == ERR_OK);
    u64 events = 0;
    for (u32 i = 0; i < fact_count; i++) {
        events += matches(&query, &facts[i]);
    }
    require(result.total.events == events);
    for (u32 i = 0; i < MIN(result.row_count, 20u); i++) {
        compare_row(&query, &result.rows[fact_below(result.row_count)]);
    }
    query_result_free(&result);
}

/* --- months ----------------------------------------------------------------------------------- */

/* Whether a live event of the account, the month and the value exists. */
static bool active_in(u32 account, u32 month, u32 dim, u32 value, u32 provider) {
    for (u32 i = 0; i < fact_count; i++) {
        const struct fact *fact = &facts[i];
        if (fact->account == account && fact->source != SOURCE_STRIPE && fact->dim[dim] == value &&
            (dim != DIM_MODEL || fact->dim[DIM_PROVIDER] == provider) && fact->month == month) {
            return true;
        }
    }
    return false;
}

static void compare_active(u32 account, u32 month) {
    struct active_counts got = query_active(agg, account, month);
    struct active_counts want = {0};
    for (u32 value = 1; value < fact_text_counts[DIM_CUSTOMER]; value++) {
        want.customers += active_in(account, month, DIM_CUSTOMER, value, 0);
    }
    for (u32 value = 1; value < fact_text_counts[DIM_FEATURE]; value++) {
        want.features += active_in(account, month, DIM_FEATURE, value, 0);
    }
    for (u32 value = 1; value < fact_text_counts[DIM_MODEL]; value++) {
        for (u32 provider = 0; provider < fact_text_counts[DIM_PROVIDER]; provider++) {
            want.models += active_in(account, month, DIM_MODEL, value, provider);
        }
    }
    require(memcmp(&got, &want, sizeof got) == 0);
}

static void compare_retention(u32 account, u32 now) {
    struct cohort got[RETENTION_MONTHS];
    struct cohort want[RETENTION_MONTHS] = {0};
    query_retention(agg, account, now, got);
    for (u32 customer = 1; customer < fact_text_counts[DIM_CUSTOMER]; customer++) {
        u32 first = UINT32_MAX;
        for (u32 i = 0; i < fact_count; i++) {
            bool counts = facts[i].account == account && facts[i].source != SOURCE_STRIPE &&
                          facts[i].dim[DIM_CUSTOMER] == customer;
            first = counts ? MIN(first, facts[i].month) : first;
        }
        if (first > now || now - first >= RETENTION_MONTHS) {
            continue;
        }
        struct cohort *cohort = &want[RETENTION_MONTHS - 1 - (now - first)];
        cohort->size++;
        for (u32 i = 0; first + i <= now; i++) {
            cohort->active[i] += active_in(account, first + i, DIM_CUSTOMER, customer, 0);
        }
    }
    require(memcmp(got, want, sizeof got) == 0);
}

/* --- different values ------------------------------------------------------------------------- */

static u32 naive_distinct(const struct query *query, const struct query_row *row, u32 dim) {
    u64 seen = 0;
    for (u32 i = 0; i < fact_count; i++) {
        bool same = matches(query, &facts[i]) && facts[i].dim[dim] != 0;
        for (u32 g = 0; g < query->group_count && same; g++) {
            same = text_is(query_value_text(agg, query->group[g], row->value[g]),
                           dim_text(query->group[g], facts[i].dim[query->group[g]]));
        }
        seen |= same ? (u64)1 << facts[i].dim[dim] : 0;
    }
    return (u32)__builtin_popcountll(seen);
}

static void compare_distinct(void) {
    static u32 counts[1000];
    bool models = fact_one_in(2);
    struct query query = {.account = fact_below(ACCOUNTS),
                          .group = {models ? DIM_MODEL : DIM_FEATURE, DIM_PROVIDER},
                          .group_count = models ? 2 : 1,
                          .live = !fact_one_in(4),
                          .present_only = models,
                          .from = INT64_MIN,
                          .to = INT64_MAX,
                          .limit = 1000};
    enum store_dim dim = models && fact_one_in(2) ? DIM_FEATURE : DIM_CUSTOMER;
    if (fact_one_in(2)) {
        query.from = (fact_now - (i64)fact_below(90 * 24) * HOUR) / HOUR * HOUR;
    }
    struct query_result result;
    const char *why;
    require(query_run(agg, NULL, &query, &result, &why) == ERR_OK);
    require(query_distinct(agg, NULL, &query, &result, dim, counts) == ERR_OK);
    for (u32 i = 0; i < result.row_count; i++) {
        require(counts[i] == naive_distinct(&query, &result.rows[i], dim));
    }
    query_result_free(&result);
}

/* --- doing ------------------------------------------------------------------------------------ */

static void send_events(struct fact_group *group, u32 count) {
    group->fact = &facts[fact_count];
    group->count = count;
    fact_group_make(group, fact_below(ACCOUNTS), false);
    fact_group_resolve(agg, group);
    agg_settle(agg);
    agg_advance(agg, fact_now);
    agg_apply(agg, group->batch, group->rows, count);
    for (u32 i = 0; i < count; i++) {
        group->fact[i].month = month_number(group->fact[i].number[NUM_TIME]);
    }
    fact_count += count;
}

/* Goes on with what a snapshot holds. */
static void restart(struct fact_group *group, const struct agg_options *options) {
    static char pieces[4000][8192];
    static usize bytes[4000];
    static u32 tags[4000];
    u32 count = 0;
    struct agg *next;
    u32 facts_before = fact_count;
    require(agg_snapshot_begin(agg) == ERR_OK);
    for (;; count++) {
        require(count < 4000);
        require(agg_snapshot_copy(agg, pieces[count], sizeof pieces[0], &tags[count],
                                  &bytes[count]) == ERR_OK);
        if (bytes[count] == 0) {
            break;
        }
        if (fact_one_in(200)) { /* what comes while it is copied is not in it */
            send_events(group, 1 + fact_below(5));
        }
    }
    agg_snapshot_end(agg);
    fact_count = facts_before;
    require(agg_create(options, &next) == ERR_OK);
    for (u32 i = 0; i < count; i++) {
        require(agg_snapshot_load(next, tags[i], pieces[i], bytes[i]) == ERR_OK);
    }
    require(agg_snapshot_loaded(next) == ERR_OK);
    agg_destroy(agg);
    agg = next;
    agg_advance(agg, fact_now);
}

static void compare_all(void) {
    u32 account = fact_below(ACCOUNTS);
    u32 now = month_number(fact_now);
    compare_active(account, now - fact_below(24));
    compare_active(account, now + 1);
    compare_retention(account, now);
    for (u32 i = 0; i < 10; i++) {
        compare_sums();
        compare_distinct();
    }
}

int main(int argc, char **argv) {
    seed_used = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    fact_seed = seed_used;
    fact_now = (i64)1780000000000 + fact_below(100000000);
    facts = calloc(EVENTS_MAX, sizeof *facts);
    struct fact_group *group = calloc(1, sizeof *group);
    struct event_batch *batch = calloc(1, sizeof *batch);
    require(facts != NULL && group != NULL && batch != NULL);
    group->batch = batch;
    batch->text_bytes_max = 1024 * EVENT_BATCH_MAX;
    batch->text = malloc(batch->text_bytes_max);
    struct agg_options options = {.seed = fact_random()};
    require(agg_create(&options, &agg) == ERR_OK && batch->text != NULL);
    agg_advance(agg, fact_now);
    for (u32 round = 0; round < 40; round++) {
        send_events(group, 1 + fact_below(150));
        fact_now += fact_one_in(4) ? (i64)fact_below(30) * DAY : (i64)fact_below(20) * HOUR;
        for (u32 i = 0; i < 100; i++) {
            agg_advance(agg, fact_now);
        }
        compare_all();
        if (fact_one_in(8)) {
            restart(group, &options);
        }
    }
    agg_destroy(agg);
    free(batch->text);
    free(batch);
    free(group);
    free(facts);
    return 0;
}
