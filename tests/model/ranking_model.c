/*
 * ranking_model.c: top lists of thousands of customers against an oracle that keeps every event and
 * sorts all customers anew for every question. Amounts of either sign, as large as they get and so
 * small that many customers tie; revenue events and imported lines beside usage; a clock that moves
 * events from window to window; questions so rare that the changes outrun the ring.
 */
#include "agg/agg.h"
#include "agg/state.h"
#include "query/query.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CUSTOMERS 3000
#define EVENTS_MAX 600000
#define SHAPES 6
#define START ((i64)1790000000000)

struct fact {
    u32 customer; /* CUSTOMERS: none */
    u32 account;
    u32 class;
    i64 time;
    i64 cost;
    i64 revenue;
    i64 usage;
};

struct sum { /* of one customer, and in the end of all */
    u32 customer;
    u64 events;
    i128 cost;
    i128 revenue;
    i128 usage;
    i64 last;
};

static u64 random_state;
static u64 seed;
static struct agg *agg;
static struct fact *facts;
static u32 fact_count;
static i64 now = START;
static struct sum sums[CUSTOMERS + 1];
static const struct query *asked;

static u64 draw(u64 bound) {
    random_state += 0x9e3779b97f4a7c15u;
    u64 value = (random_state ^ (random_state >> 30)) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
    return (value ^ (value >> 31)) % bound;
}

static void fail(const char *what) {
    fprintf(stderr, "ranking_model: %s (seed %llu)\n", what, (unsigned long long)seed);
    exit(1);
}

#define require(cond) ((cond) ? (void)0 : fail(#cond))

/* --- events ----------------------------------------------------------------------------------- */

static i64 draw_amount(i64 max) {
    switch (draw(8)) {
    case 0:
        return (i64)draw(4) * 1000000;
    case 1:
        return -(i64)draw(4) * 1000000;
    case 2:
        return draw(20) == 0 ? (draw(2) == 0 ? max : -max) : 0;
    default:
        return (i64)draw(2000000000) - 600000000;
    }
}

static void put(struct event_batch *batch, u32 row, enum event_text text, const char *data) {
    u32 bytes = (u32)strlen(data);
    memcpy(batch->text + batch->text_bytes, data, bytes);
    batch->ref[text][row] = (struct text_ref){batch->text_bytes, bytes};
    batch->text_bytes += bytes;
    batch->present[row] |= TEXT_BIT(text);
}

static void name_of(u32 customer, char *out, usize bytes) {
    /* So that the order of names is not the order of first appearance. */
    snprintf(out, bytes, "c%05u", customer * 7919u % 100003);
}

static void make_event(struct event_batch *batch, u32 row, u32 customers) {
    struct fact *fact = &facts[fact_count++];
    u32 customer = (u32)(draw(customers) * draw(customers) / customers); /* some are busy */
    *fact = (struct fact){.customer = draw(50) == 0 ? CUSTOMERS : customer,
                          .account = batch->account,
                          .class = draw(10) == 0 ? (u32)draw(CLASSES) : 0,
                          .time = now - (i64)(draw(4) == 0 ? draw(120 * DAY_MS) : draw(HOUR_MS)),
                          .cost = draw_amount(EVENT_MONEY_MAX),
                          .revenue = draw_amount(EVENT_MONEY_MAX),
                          .usage = draw_amount(EVENT_USAGE_MAX)};
    batch->present[row] =
        NUM_BIT(NUM_TIME) | NUM_BIT(NUM_COST) | NUM_BIT(NUM_REVENUE) | NUM_BIT(NUM_USAGE);
    batch->series[row] = SERIES_UNRESOLVED;
    batch->source[row] = (fact->class & CLASS_STRIPE) != 0 ? SOURCE_STRIPE : SOURCE_SDK;
    batch->number[NUM_TIME][row] = fact->time;
    batch->number[NUM_COST][row] = fact->cost;
    batch->number[NUM_REVENUE][row] = fact->revenue;
    batch->number[NUM_USAGE][row] = fact->usage;
    put(batch, row, TEXT_EVENT_NAME, (fact->class & CLASS_REVENUE) != 0 ? "revenue" : "call");
    if (fact->customer < CUSTOMERS) {
        char name[16];
        name_of(fact->customer, name, sizeof name);
        put(batch, row, TEXT_CUSTOMER, name);
    }
}

static void send(struct event_batch *batch, u32 count, u32 customers) {
    static u32 rows[EVENT_BATCH_MAX];
    if (fact_count + count > EVENTS_MAX) {
        return;
    }
    batch->account = draw(5) == 0;
    batch->count = count;
    batch->text_bytes = 0;
    for (u32 i = 0; i < count; i++) {
        make_event(batch, i, customers);
        rows[i] = i;
    }
    require(agg_resolve(agg, batch, rows, count) == ERR_OK);
    agg_settle(agg);
    agg_apply(agg, batch, rows, count);
}

/* --- questions -------------------------------------------------------------------------------- */

static i128 key_of(const struct sum *sum) {
    switch (asked->order) {
    case ORDER_EVENTS:
        return sum->events;
    case ORDER_COST:
        return sum->cost;
    case ORDER_REVENUE:
        return sum->revenue;
    case ORDER_MARGIN:
        return sum->revenue - sum->cost;
    case ORDER_USAGE:
        return sum->usage;
    default:
        return sum->last;
    }
}

static int compare(const void *left, const void *right) {
    const struct sum *a = left;
    const struct sum *b = right;
    i128 x = key_of(a);
    i128 y = key_of(b);
    if (x != y) {
        return (x < y) == asked->ascending ? -1 : 1;
    }
    char names[2][16] = {"", ""}; /* none comes first */
    if (a->customer < CUSTOMERS) {
        name_of(a->customer, names[0], sizeof names[0]);
    }
    if (b->customer < CUSTOMERS) {
        name_of(b->customer, names[1], sizeof names[1]);
    }
    return strcmp(names[0], names[1]);
}

/* All customers with events in the window, in order; returns how many. */
static u32 answer_naively(const struct query *query) {
    memset(sums, 0, sizeof sums);
    for (u32 i = 0; i <= CUSTOMERS; i++) {
        sums[i].customer = i;
        sums[i].last = INT64_MIN;
    }
    for (u32 i = 0; i < fact_count; i++) {
        const struct fact *fact = &facts[i];
        bool counts = fact->account == query->account && fact->time >= query->from &&
                      (!query->live || (fact->class & CLASS_STRIPE) == 0) &&
                      (!query->without_revenue || (fact->class & CLASS_REVENUE) == 0) &&
                      (!query->present_only || fact->customer < CUSTOMERS);
        if (counts) {
            struct sum *sum = &sums[fact->customer];
            sum->events++;
            sum->cost += fact->cost;
            sum->revenue += fact->revenue;
            sum->usage += fact->usage;
            sum->last = MAX(sum->last, fact->time);
        }
    }
    u32 count = 0;
    for (u32 i = 0; i <= CUSTOMERS; i++) {
        if (sums[i].events > 0) {
            sums[count++] = sums[i];
        }
    }
    asked = query;
    qsort(sums, count, sizeof *sums, compare);
    return count;
}

static void compare_row(const struct query_row *row, const struct sum *want) {
    char name[16] = "";
    if (want->customer < CUSTOMERS) {
        name_of(want->customer, name, sizeof name);
    }
    struct slice text = {"", 0};
    if (row->value[0] != DIM_NONE) {
        text = agg_value_text(agg, DIM_CUSTOMER, row->value[0]);
    }
    require(text.bytes == strlen(name) && memcmp(text.data, name, text.bytes) == 0);
    require(row->figures.events == want->events && row->figures.cost == want->cost &&
            row->figures.revenue == want->revenue && row->figures.usage == want->usage &&
            row->figures.last_seen == want->last);
}

/* Dashboards ask the same again and again: each shape goes on for a while. */
static void draw_query(struct query *query) {
    static const u32 limits[] = {900, 60, 10};
    *query = (struct query){.account = draw(4) == 0,
                            .group = {DIM_CUSTOMER},
                            .group_count = 1,
                            .present_only = draw(2) == 0,
                            .live = draw(2) == 0,
                            .without_revenue = draw(2) == 0,
                            .from = INT64_MIN,
                            .to = INT64_MAX,
                            .order = (enum query_order)(1 + draw(QUERY_ORDERS - 1)),
                            .ascending = draw(3) == 0,
                            .offset = draw(4) == 0 ? (u32)draw(20) : 0,
                            .limit = 1 + (u32)draw(limits[draw(3)])};
}

static void ask(void) {
    static const i64 windows[] = {7 * DAY_MS, 30 * DAY_MS, 90 * DAY_MS};
    static struct {
        struct query query;
        i64 window; /* 0: all time */
    } shapes[SHAPES];
    u32 shape = (u32)draw(SHAPES);
    if (shapes[shape].query.limit == 0 || draw(30) == 0) {
        draw_query(&shapes[shape].query);
        shapes[shape].window = draw(2) == 0 ? windows[draw(3)] : 0;
    }
    struct query query = shapes[shape].query;
    if (shapes[shape].window != 0) {
        query.from = query_window_start(now, shapes[shape].window);
    }
    u32 count = answer_naively(&query);
    struct query_result result;
    const char *why = NULL;
    require(query_run(agg, NULL, &query, &result, &why) == ERR_OK);
    require(result.row_total == count);
    u32 expected = count > query.offset ? count - query.offset : 0;
    require(result.row_count == MIN(expected, query.limit));
    for (u32 i = 0; i < result.row_count; i++) {
        compare_row(&result.rows[i], &sums[query.offset + i]);
    }
    query_result_free(&result);
}

int main(int argc, char **argv) {
    seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    random_state = seed;
    struct agg_options options = {
        .seed = 5, .ranked_min = 64, .advance_rows = draw(2) == 0 ? 0 : 300};
    facts = malloc(EVENTS_MAX * sizeof *facts);
    struct event_batch *batch = calloc(1, sizeof *batch);
    require(facts != NULL && batch != NULL && agg_create(&options, &agg) == ERR_OK);
    batch->text_bytes_max = 32 * EVENT_BATCH_MAX;
    batch->text = malloc(batch->text_bytes_max + EVENT_TEXT_PADDING);
    require(batch->text != NULL);
    agg_advance(agg, now);
    for (u32 round = 0; round < 250; round++) {
        u32 customers = MIN(100 + round * 20, (u32)CUSTOMERS); /* new ones all the time */
        send(batch, 1 + (u32)draw(400), customers);
        if (round == 120 || round == 180) { /* more than the ring holds */
            for (u32 i = 0; i < CHANGED_RING / EVENT_BATCH_MAX + 2; i++) {
                send(batch, EVENT_BATCH_MAX, customers);
            }
        }
        if (draw(8) == 0) {
            now += (i64)draw(draw(4) == 0 ? 4 * DAY_MS : 2 * HOUR_MS);
            for (u32 i = 0; i < 1000; i++) {
                agg_advance(agg, now);
            }
        } else if (draw(4) == 0) {
            now += (i64)draw(MINUTE_MS);
            agg_advance(agg, now);
        }
        for (u32 i = (u32)draw(6); i > 0; i--) {
            ask();
        }
    }
    free(batch->text);
    free(batch);
    free(facts);
    agg_destroy(agg);
    return 0;
}
