/*
 * revenue_test.c: customers' revenue and features' parts of it against plain sums over all events,
 * by way of rankings and without them, while time goes on and events come.
 */
#include "query/revenue.h"

#include "agg/state.h"
#include "customer/mrr.h"
#include "query/allocation.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CUSTOMERS 40 /* the last are in the directory only, the first is none */
#define SILENT 3
#define FEATURES 7 /* the first is none */
#define FACTS_MAX 4096
#define START (HOUR_MS * 494444)

static char dir[64];
static struct control *control;
static struct directory *directory;
static struct revenues *revenues;
static struct allocations *allocations;
static struct agg *agg;
static i64 now;
static u32 random_state;

static struct fact {
    u32 customer;
    u32 feature;
    i64 time;
    i64 cost;
    i64 revenue;
    bool stripe;
} facts[FACTS_MAX];
static u32 fact_count;
static i64 mrr[CUSTOMERS];

static u32 draw(u32 below) {
    random_state = random_state * 1664525 + 1013904223;
    return (random_state >> 8) % below;
}

static void subscribe(void) {
    static char ids[CUSTOMERS][16];
    static char names[CUSTOMERS][16];
    struct profile profiles[CUSTOMERS] = {{.source = DIRECTORY_NONE}};
    struct subscription subscriptions[CUSTOMERS] = {{.source = DIRECTORY_NONE}};
    u32 count = 0;
    for (u32 i = 1; i < CUSTOMERS; i++) {
        bool silent = i >= CUSTOMERS - SILENT;
        mrr[i] = silent || draw(2) == 0 ? (i64)draw(1000000) * 1000000000 + 1 : 0;
        int bytes = snprintf(ids[i], sizeof ids[i], "c%u", i);
        snprintf(names[i], sizeof names[i], "s%u", i);
        if (mrr[i] == 0) {
            continue;
        }
        profiles[count].id = (struct slice){ids[i], (usize)bytes};
        subscriptions[count++] = (struct subscription){.id = {names[i], strlen(names[i])},
                                                       .customer_id = {ids[i], (usize)bytes},
                                                       .has_override = true,
                                                       .mrr_override = mrr[i],
                                                       .active = true};
    }
    const struct directory_set set = {.source = DIRECTORY_UPLOAD,
                                      .profiles = profiles,
                                      .profile_count = count,
                                      .subscriptions = subscriptions,
                                      .subscription_count = count};
    cr_assert_eq(directory_replace(directory, agg, 1, &set, START), ERR_OK);
    for (u32 i = 1; i < CUSTOMERS; i++) { /* as it is rounded: to cents */
        const struct book *book = directory_acquire(directory, 1);
        mrr[i] = (i64)book_mrr(book, (struct slice){ids[i], strlen(ids[i])});
        directory_release(directory, book);
    }
}

static void open_all(u32 seed, u32 ranked_min) {
    char why[200] = "";
    const struct agg_options options = {.seed = seed, .ranked_min = ranked_min};
    random_state = seed;
    fact_count = 0;
    now = START;
    snprintf(dir, sizeof dir, "/tmp/revenue-test-XXXXXX");
    cr_assert(mkdtemp(dir) != NULL);
    cr_assert_eq(control_open(dir, true, &control, why, sizeof why), ERR_OK, "%s", why);
    cr_assert_eq(directory_open(control, &directory), ERR_OK);
    cr_assert_eq(revenues_create(directory, &revenues), ERR_OK);
    cr_assert_eq(allocations_create(revenues, &allocations), ERR_OK);
    cr_assert_eq(agg_create(&options, &agg), ERR_OK);
    agg_advance(agg, now);
    subscribe();
}

static void close_all(void) {
    char command[128];
    allocations_destroy(allocations);
    revenues_destroy(revenues);
    agg_destroy(agg);
    directory_close(directory);
    control_close(control);
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    cr_assert_eq(system(command), 0);
}

static void put_name(struct event_batch *batch, u32 row, enum event_text text, const char *format,
                     u32 number) {
    if (number == 0) {
        return;
    }
    u32 bytes = (u32)snprintf(batch->text + batch->text_bytes, 16, format, number);
    batch->ref[text][row] = (struct text_ref){batch->text_bytes, bytes};
    batch->text_bytes += bytes;
    batch->present[row] |= TEXT_BIT(text);
}

static void put_facts(u32 count) {
    static char text[1 * MIB];
    static u32 rows[EVENT_BATCH_MAX];
    struct event_batch *batch = calloc(1, sizeof *batch);
    cr_assert(batch != NULL && fact_count + count <= FACTS_MAX);
    batch->text = text;
    batch->text_bytes_max = sizeof text;
    batch->account = 1;
    batch->count = count;
    for (u32 i = 0; i < count; i++) {
        struct fact *fact = &facts[fact_count++];
        *fact =
            (struct fact){.customer = draw(CUSTOMERS - SILENT),
                          .feature = draw(FEATURES),
                          .time = now - (i64)draw(80 * 24 * 60) * 60000,
                          .cost = draw(5) == 0 ? 0 : (i64)draw(2000000) * 1000003 - 100000000,
                          .revenue = draw(2) == 0 ? (i64)draw(3000000) * 1000007 - 200000000 : 0,
                          .stripe = draw(10) == 0};
        fact->cost = fact->customer % 9 == 4 ? 0 : fact->cost; /* some cost nothing at all */
        batch->present[i] = NUM_BIT(NUM_TIME) | NUM_BIT(NUM_COST) | NUM_BIT(NUM_REVENUE);
        batch->number[NUM_TIME][i] = fact->time;
        batch->number[NUM_COST][i] = fact->cost;
        batch->number[NUM_REVENUE][i] = fact->revenue;
        batch->source[i] = fact->stripe ? SOURCE_STRIPE : SOURCE_SDK;
        batch->series[i] = SERIES_UNRESOLVED;
        put_name(batch, i, TEXT_CUSTOMER, "c%u", fact->customer);
        put_name(batch, i, TEXT_FEATURE, "f%u", fact->feature);
        rows[i] = i;
    }
    cr_assert_eq(agg_resolve(agg, batch, rows, count), ERR_OK);
    agg_settle(agg);
    agg_apply(agg, batch, rows, count);
    free(batch);
}

/* --- the oracle ------------------------------------------------------------------------------- */

struct sum {
    i128 cost;
    i128 revenue;
    u64 events;
};
static struct sum sums[CUSTOMERS][FEATURES];

static void add_up(const struct revenue_window *window) {
    memset(sums, 0, sizeof sums);
    for (u32 i = 0; i < fact_count; i++) {
        const struct fact *fact = &facts[i];
        if (!fact->stripe && fact->time >= window->from && fact->time < window->to) {
            struct sum *sum = &sums[fact->customer][fact->feature];
            sum->cost += fact->cost;
            sum->revenue += fact->revenue;
            sum->events++;
        }
    }
}

static struct sum of_customer(u32 customer) {
    struct sum all = {0};
    for (u32 feature = 0; feature < FEATURES; feature++) {
        all.cost += sums[customer][feature].cost;
        all.revenue += sums[customer][feature].revenue;
        all.events += sums[customer][feature].events;
    }
    return all;
}

static u32 number_of(struct slice id) {
    char text[16] = "";
    memcpy(text, id.data, id.bytes);
    return id.bytes == 0 ? 0 : (u32)strtoul(text + 1, NULL, 10);
}

static void check_columns(const struct revenue_window *window, enum revenue_columns columns) {
    struct revenue revenue;
    u32 seen[CUSTOMERS] = {0};
    cr_assert_eq(revenue_read(revenues, agg, NULL, window, columns, &revenue), ERR_OK);
    for (u32 place = 0; place < revenue.count; place++) {
        u32 customer = number_of(revenue_customer(agg, &revenue, place));
        struct sum all = of_customer(customer);
        i128 share = mrr_revenue(0, mrr[customer], window->length_ms);
        seen[customer]++;
        cr_assert_eq(revenue_has_events(&revenue, place), all.events > 0);
        cr_assert(revenue_cost(&revenue, place) == all.cost);
        cr_assert(revenue_earned(&revenue, place) == all.revenue);
        cr_assert(revenue.share[place] == share);
        cr_assert(revenue_total(&revenue, place) ==
                  (customer == 0 ? all.revenue : MAX(all.revenue, share)));
        cr_assert_eq(revenue_is_none(&revenue, place), customer == 0);
        if (revenue.events != NULL) {
            cr_assert_eq(revenue.events[place], all.events);
        }
    }
    for (u32 customer = 0; customer < CUSTOMERS; customer++) {
        bool wanted = of_customer(customer).events > 0 || mrr[customer] > 0;
        cr_assert(!wanted || seen[customer] == 1, "customer %u", customer);
        cr_assert(seen[customer] <= 1);
    }
    revenue_free(revenues, &revenue);
}

/* floor(a * b / c + 1/2) of numbers so small that it fits. */
static i128 part_of(i128 a, i128 b, i128 c) {
    i128 dividend = 2 * a * b + c;
    return dividend / (2 * c) - (dividend % (2 * c) < 0);
}

static void check_parts(const struct revenue_window *window) {
    struct allocation allocation;
    i128 parts[FEATURES] = {0};
    u32 customers[FEATURES] = {0};
    i128 total = 0;
    for (u32 customer = 1; customer < CUSTOMERS; customer++) {
        struct sum all = of_customer(customer);
        i128 share = mrr_revenue(0, mrr[customer], window->length_ms);
        i128 running = 0;
        i128 given = 0;
        for (u32 f = 0; f < FEATURES; f++) { /* f1.. are in the order of their keys */
            customers[f] += sums[customer][f].events > 0;
            if (all.events == 0 || share <= all.revenue) {
                continue;
            }
            running += all.cost != 0 ? sums[customer][f].cost : (i128)sums[customer][f].events;
            i128 weights = all.cost != 0 ? all.cost : (i128)all.events;
            i128 sign = weights < 0 ? -1 : 1;
            i128 due = part_of(share - all.revenue, running * sign, weights * sign);
            parts[f] += due - given;
            given = due;
        }
        total += all.events > 0 ? MAX(all.revenue, share) - all.revenue : 0;
    }
    cr_assert_eq(allocation_read(allocations, agg, NULL, window, &allocation), ERR_OK);
    i128 sum = 0;
    for (u32 f = 0; f < FEATURES; f++) {
        char key[16];
        int bytes = snprintf(key, sizeof key, "f%u", f);
        u32 value = f == 0 ? DIM_NONE
                           : agg_value_find(agg, 1, DIM_FEATURE, (struct slice){key, (usize)bytes});
        u32 count;
        i128 got = allocation_of(&allocation, agg, 1, value, &count);
        cr_assert(got == parts[f], "feature %u", f);
        cr_assert_eq(count, customers[f], "feature %u: %u customers, %u expected", f, count,
                     customers[f]);
        sum += got;
    }
    cr_assert(sum == total);
    allocation_free(&allocation);
}

static void check_all(void) {
    const i64 month = 30 * DAY_MS;
    i64 from = query_window_start(now, month);
    const struct revenue_window windows[] = {
        {1, from, INT64_MAX, month},
        {1, from - month, from, month},
        {1, query_window_start(now, 7 * DAY_MS), INT64_MAX, 7 * DAY_MS},
        {1, query_window_start(now, 45 * DAY_MS), INT64_MAX, 45 * DAY_MS},
        {1, query_window_start(now, 12 * DAY_MS), INT64_MAX, 12 * DAY_MS},
        {1, INT64_MIN, INT64_MAX, 0},
        {1, from - 40 * HOUR_MS, from + 300 * HOUR_MS, 340 * HOUR_MS},
    };
    for (u32 i = 0; i < ARRAY_COUNT(windows); i++) {
        add_up(&windows[i]);
        check_columns(&windows[i], REVENUE_MONEY);
        check_columns(&windows[i], REVENUE_EVENTS);
        check_parts(&windows[i]);
    }
}

static void run(u32 seed, u32 ranked_min) {
    open_all(seed, ranked_min);
    for (u32 round = 0; round < 14; round++) {
        put_facts(round == 0 ? 1000 : 1 + draw(60));
        if (draw(4) == 0) { /* as if there had been more than the ring of changes holds */
            agg->changed_count += CHANGED_RING + 1;
        }
        check_all();
        now += draw(3) == 0 ? (i64)draw(40) * HOUR_MS : (i64)draw(100) * 60000;
        for (u32 i = 0; i < 200; i++) {
            agg_advance(agg, now);
        }
        if (draw(4) == 0) {
            put_facts(1 + draw(4));
            agg->changed_count += CHANGED_RING + 1;
        }
        if (round == 9) {
            subscribe(); /* other ones, all at once */
        }
        check_all();
    }
    close_all();
}

Test(revenue, columns_and_parts_by_rankings) {
    for (u32 seed = 1; seed <= 12; seed++) {
        run(seed, 1);
    }
}

Test(revenue, columns_and_parts_without_rankings) {
    for (u32 seed = 5; seed <= 6; seed++) {
        run(seed, 1000000);
    }
}

Test(revenue, parts_add_up_at_any_magnitude) {
    random_state = 7;
    for (u32 round = 0; round < 2000; round++) {
        i128 weights[5];
        i128 parts[5];
        i128 sum = 0;
        u32 shift = draw(70);
        for (u32 i = 0; i < 5; i++) {
            weights[i] = ((i128)draw(1 << 20) - (1 << 18)) * ((i128)1 << shift);
            sum += weights[i];
        }
        if (sum == 0) {
            continue;
        }
        i128 amount = ((i128)draw(1 << 24) + 1) << draw(60);
        i128 given = 0;
        allocation_split(amount, weights, 5, parts);
        for (u32 i = 0; i < 5; i++) {
            given += parts[i];
        }
        cr_assert(given == amount);
    }
    /* Amounts that are multiples of the weights' sum, or a part of it: the parts are known. */
    for (u32 round = 0; round < 20000; round++) {
        i128 small[5];
        i128 weights[5];
        i128 parts[5];
        i128 sum = 0;
        i128 most = 0;
        i128 unit = ((i128)draw(1 << 20) << draw(12)) + 1 + draw(1000);
        for (u32 i = 0; i < 5; i++) {
            small[i] = (((i128)draw(1 << 20) << draw(50)) + draw(1000)) * (draw(3) == 0 ? -1 : 1);
            weights[i] = small[i] * (round % 2 == 0 ? 1 : unit);
            sum += small[i];
            most += small[i] < 0 ? -small[i] : small[i];
        }
        i128 factor = (((i128)draw(1 << 20) << draw(60)) + 1) % (((i128)1 << 104) / most) + 1;
        if (!allocation_by_cost(sum, most)) {
            continue;
        }
        allocation_split(sum * factor, weights, 5, parts);
        for (u32 i = 0; i < 5; i++) {
            cr_assert(parts[i] == small[i] * factor, "round %u", round);
        }
    }
    cr_assert(!allocation_by_cost(0, 0) && !allocation_by_cost(1, 1000001 * 1000000LL));
    cr_assert(allocation_by_cost(-1, SPLIT_RATIO_MAX) && allocation_by_cost(5, 5));
    /* The largest there are: 2^40 events of 9 million dollars; the smallest rest that counts. */
    const i128 all = ((i128)1 << 40) * INT64_MAX;
    const i128 rest = all / SPLIT_RATIO_MAX;
    const i128 extremes[] = {all, rest - all};
    i128 far[2];
    cr_assert(allocation_by_cost(rest, 2 * all - rest) == false);
    allocation_split(all, extremes, 2, far);
    cr_assert(far[0] + far[1] == all && far[0] > all * 999999);
    const i128 thirds[] = {1, 1, 1};
    i128 parts[3];
    allocation_split(100, thirds, 3, parts);
    cr_assert(parts[0] == 33 && parts[1] == 34 && parts[2] == 33); /* 33.3, 66.7, 100 */
    const i128 credit[] = {3, -1, 0};
    allocation_split(10, credit, 3, parts);
    cr_assert(parts[0] == 15 && parts[1] == -5 && parts[2] == 0);
    const i128 negative[] = {-1, -3};
    allocation_split(8, negative, 2, parts);
    cr_assert(parts[0] == 2 && parts[1] == 6);
}
