/* prices_test.c: books and views: look-ups against a plain search, what an account's own prices do
 * to events, and that a change is in force for the next event and no view is freed while it is
 * held. */
#include "event/decode.h"
#include "price/prices.h"

#include "base/clock.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX (1 << 16)
#define MINE 1
#define OTHER 2

static struct prices *prices;
static struct price_cache *cache;
static struct event_batch *batch;

static void setup(void) {
    struct price_table *table;
    char why[200] = "";
    cr_assert_eq(price_table_load_embedded(&table, why, sizeof why), ERR_OK, "%s", why);
    cr_assert_eq(prices_create(table, &prices), ERR_OK);
    cr_assert_eq(price_cache_create(prices, &cache), ERR_OK);
    batch = calloc(1, sizeof *batch);
    batch->text = calloc(1, TEXT_MAX + EVENT_TEXT_PADDING);
    batch->text_bytes_max = TEXT_MAX;
}

static void teardown(void) {
    free(batch->text);
    free(batch);
    price_cache_destroy(cache);
    prices_destroy(prices);
}

TestSuite(prices, .init = setup, .fini = teardown);

static struct slice text(const char *value) {
    return (struct slice){value, strlen(value)};
}

static void put_text(u32 index, enum event_text column, const char *value) {
    struct text_ref ref;
    cr_assert_eq(batch_add_text(batch, text(value), &ref), ERR_OK);
    batch->ref[column][index] = ref;
    batch->present[index] |= TEXT_BIT(column);
}

static void put_number(u32 index, enum event_number number, i64 value) {
    batch->number[number][index] = value;
    batch->present[index] |= NUM_BIT(number);
}

static u32 add(const char *customer, const char *feature, const char *provider, const char *model) {
    u32 index = batch->count++;
    batch->present[index] = 0;
    batch->cost_source[index] = COST_NONE;
    batch->revenue_source[index] = REVENUE_NONE;
    batch->flags[index] = 0;
    put_number(index, NUM_TIME, 1777593600000);
    put_number(index, NUM_USAGE, 5 * MICRO_PER_UNIT);
    put_number(index, NUM_INPUT, 1000);
    put_number(index, NUM_OUTPUT, 100);
    put_number(index, NUM_CACHED, 300);
    put_number(index, NUM_CACHE_WRITE, 200);
    put_text(index, TEXT_CUSTOMER, customer);
    put_text(index, TEXT_FEATURE, feature);
    if (provider != NULL) {
        put_text(index, TEXT_PROVIDER, provider);
    }
    if (model != NULL) {
        put_text(index, TEXT_MODEL, model);
    }
    return index;
}

static void price_as(u32 account) {
    u32 overflow[64];
    u32 count;
    batch->account = account;
    price_events(cache, batch, 0, batch->count, overflow, &count);
    cr_assert_eq(count, 0);
}

static void start_batch(void) {
    batch->count = batch->text_bytes = 0;
}

static void expect_revenue(u32 index, enum revenue_source source, i64 revenue) {
    cr_assert_eq(batch->revenue_source[index], source, "event %u: %s", index,
                 revenue_source_text(batch->revenue_source[index]));
    cr_assert_eq(batch->number[NUM_REVENUE][index], revenue, "event %u", index);
}

static void expect_cost(u32 index, enum cost_source source, i64 cost) {
    cr_assert_eq(batch->cost_source[index], source, "event %u: %s", index,
                 cost_source_text(batch->cost_source[index]));
    cr_assert_eq(batch->number[NUM_COST][index], cost, "event %u: %lld", index,
                 (long long)batch->number[NUM_COST][index]);
}

static void set_book(u32 account, const struct feature_price *features, u32 feature_count,
                     const struct model_price *models, u32 model_count) {
    struct price_book *book;
    cr_assert_eq(price_book_make(features, feature_count, models, model_count, &book), ERR_OK);
    cr_assert_eq(prices_set_book(prices, account, book), ERR_OK);
}

Test(prices, features_of_a_book_are_found_and_no_others) {
    enum { COUNT = 3000 };
    static char names[COUNT][16];
    static struct feature_price features[COUNT];
    for (u32 i = 0; i < COUNT; i++) {
        snprintf(names[i], sizeof names[i], "f%u", i * 7919 % COUNT * 3);
        features[i] = (struct feature_price){
            .feature = text(names[i]), .unit_label = text("call"), .revenue = i * 7919 % COUNT * 3};
    }
    struct price_book *book;
    cr_assert_eq(price_book_make(features, COUNT, NULL, 0, &book), ERR_OK);
    memset(names, 'x', sizeof names); /* the book has its own copy */
    for (u32 i = 0; i < 3 * COUNT + 10; i++) {
        char name[16];
        snprintf(name, sizeof name, "f%u", i);
        u32 found = price_book_feature(book, text(name));
        bool there = i % 3 == 0 && i < 3 * COUNT;
        cr_assert_eq(found != PRICE_NONE, there, "%s", name);
        cr_assert(!there || book->features[found].revenue == i);
    }
    for (u32 i = 1; i < COUNT; i++) {
        cr_assert_lt(price_compare_text(book->features[i - 1].feature, book->features[i].feature),
                     0);
    }
    cr_assert_eq(price_book_feature(book, text("")), PRICE_NONE);
    price_book_free(book);
    cr_assert_eq(price_book_make(NULL, 0, NULL, 0, &book), ERR_OK);
    cr_assert_eq(price_book_feature(book, text("f0")), PRICE_NONE);
    cr_assert_eq(price_book_model(book, text(""), text("m")), PRICE_NONE);
    price_book_free(book);
}

/* Steps 1, 2, 3 and 5 of Observe 2.4, for an account with prices and one without. */
Test(prices, revenue_steps_in_order) {
    const struct feature_price features[] = {
        {.feature = text("chat"), .unit_label = text("call"), .revenue = 20000000000},
        {.feature = text("free"), .unit_label = text("call"), .revenue = 0}};
    set_book(MINE, features, 2, NULL, 0);
    u32 priced = add("acme", "chat", NULL, NULL);
    u32 free_of_charge = add("acme", "free", NULL, NULL);
    u32 unpriced = add("acme", "chat2", NULL, NULL);
    u32 given = add("acme", "chat", NULL, NULL);
    put_number(given, NUM_REVENUE, -7);
    batch->revenue_source[given] = REVENUE_EXPLICIT;
    u32 internal = add("_internal_ops", "chat", NULL, NULL);
    u32 internal_given = add("_internal", "chat", NULL, NULL);
    put_number(internal_given, NUM_REVENUE, 5);
    batch->revenue_source[internal_given] = REVENUE_EXPLICIT;
    u32 units = add("acme", "chat", NULL, NULL); /* once an event, however many units */
    put_number(units, NUM_USAGE, 1000 * MICRO_PER_UNIT);
    price_as(MINE);
    expect_revenue(priced, REVENUE_FEATURE_PRICING, 20000000000);
    expect_revenue(free_of_charge, REVENUE_FEATURE_PRICING, 0);
    expect_revenue(unpriced, REVENUE_NONE, 0);
    expect_revenue(given, REVENUE_EXPLICIT, -7);
    expect_revenue(internal, REVENUE_NONE, 0);
    expect_revenue(internal_given, REVENUE_NONE, 0);
    expect_revenue(units, REVENUE_FEATURE_PRICING, 20000000000);
    start_batch();
    add("acme", "chat", NULL, NULL);
    price_as(OTHER);
    expect_revenue(0, REVENUE_NONE, 0);
}

#define TOKEN_COST(in, out, cached, write)                                                         \
    ((i64)500 * (in) + (i64)300 * (cached) + (i64)200 * (write) + (i64)100 * (out))

Test(prices, own_model_prices_come_before_the_table) {
    const struct model_price models[] = {
        {text("openai"), text("gpt-4o"), 1000000, 4000000, 100000, 1250000, 0},
        {text(""), text("gpt-4o-mini"), 70000, 0, -1, -1, 0},
        {text("home-grown"), text("llama-xyz"), 5, 7, -1, 6, 0},
        {text("azure"), text("gpt-4o"), 9, 9, 9, 9, 0},
        {text("gemini"), text("old-name"), 15, 16, 17, 18, 0},
        {text("bedrock"), text("anthropic.claude-zz-v1:0"), 11, 12, 13, 14, 0}};
    set_book(MINE, NULL, 0, models, ARRAY_COUNT(models));
    const struct {
        const char *provider;
        const char *model;
        i64 cost; /* -1: not an own price */
    } cases[] = {
        {NULL, "gpt-4o", TOKEN_COST(1000000, 4000000, 100000, 1250000)},
        {"OpenAI", " GPT-4o ", TOKEN_COST(1000000, 4000000, 100000, 1250000)},
        {"openai.chat", "gpt-4o-2024-08-06", TOKEN_COST(1000000, 4000000, 100000, 1250000)},
        {NULL, "openai/gpt-4o", TOKEN_COST(1000000, 4000000, 100000, 1250000)},
        {"azure_openai", "gpt-4o", TOKEN_COST(9, 9, 9, 9)},
        {"openrouter", "gpt-4o", -1},
        {NULL, "gpt-4o-mini", TOKEN_COST(70000, 0, 70000, 70000)},
        {"groq", "gpt-4o-mini-2024-07-18", TOKEN_COST(70000, 0, 70000, 70000)},
        {"Home_Grown", "llama-xyz", TOKEN_COST(5, 7, 5, 6)},
        {NULL, "llama-xyz", -1},
        {"Gemini", "old-name", TOKEN_COST(15, 16, 17, 18)},
        {"google", "old-name", -1},
        {"aws", "eu.anthropic.claude-zz-v1:0", TOKEN_COST(11, 12, 13, 14)},
        {NULL, "claude-sonnet-4-5", -1},
    };
    for (u32 i = 0; i < ARRAY_COUNT(cases); i++) {
        add("acme", "chat", cases[i].provider, cases[i].model);
    }
    u32 given = add("acme", "chat", NULL, "gpt-4o");
    put_number(given, NUM_COST, 3);
    batch->cost_source[given] = COST_EXPLICIT;
    u32 no_tokens = add("acme", "chat", NULL, "gpt-4o");
    batch->present[no_tokens] &= ~(NUM_BIT(NUM_INPUT) | NUM_BIT(NUM_OUTPUT));
    for (u32 account = MINE; account <= OTHER; account++) {
        u32 before = batch->count;
        price_as(account);
        for (u32 i = 0; i < ARRAY_COUNT(cases); i++) {
            if (account == MINE && cases[i].cost >= 0) {
                expect_cost(i, COST_ACCOUNT_PRICE, cases[i].cost);
            } else {
                cr_assert(batch->cost_source[i] == COST_PRICE_TABLE ||
                              batch->cost_source[i] == COST_UNPRICED,
                          "%s", cases[i].model);
            }
        }
        expect_cost(given, COST_EXPLICIT, 3);
        expect_cost(no_tokens, COST_UNPRICED, 0);
        cr_assert_eq(before, batch->count);
    }
    struct price_quote quote;
    cr_assert(prices_quote(prices, MINE, text(""), text("gpt-4o"), &quote));
    cr_assert(quote.own && quote.input == 1000000000000 && quote.cache_write == 1250000000000);
    cr_assert(prices_quote(prices, OTHER, text(""), text("gpt-4o"), &quote));
    cr_assert(!quote.own && quote.input == 2500000000000);
    cr_assert(!prices_quote(prices, OTHER, text("home-grown"), text("llama-xyz"), &quote));
    cr_assert(quote.input == -1 && quote.output == -1);
}

/* Random books for a few accounts, changed between batches: an event gets what its account's book
 * said last. Batches of the accounts alternate, so that nothing remembered is used for another. */
Test(prices, changes_are_in_force_for_the_next_event) {
    enum { ACCOUNTS = 5, NAMES = 6 };
    static const char *const features[NAMES] = {"a", "b", "chat", "search", "chat.long", "A"};
    static const char *const models[NAMES] = {"gpt-4o",  "gpt-4o-mini", "o3",
                                              "house-1", "house-2",     "claude-sonnet-4-5"};
    i64 revenue[ACCOUNTS][NAMES];
    i64 rate[ACCOUNTS][NAMES];
    memset(revenue, -1, sizeof revenue);
    memset(rate, -1, sizeof rate);
    u32 random = 4711;
    for (u32 round = 0; round < 3000; round++) {
        random = random * 1664525 + 1013904223;
        u32 account = (random >> 24) % ACCOUNTS;
        if ((random & 1 << 20) != 0) {
            struct feature_price own_features[NAMES];
            struct model_price own_models[NAMES];
            u32 feature_count = 0;
            u32 model_count = 0;
            for (u32 i = 0; i < NAMES; i++) {
                random = random * 1664525 + 1013904223;
                revenue[account][i] = (random >> 16) % 3 == 0 ? (i64)(random >> 10) : -1;
                rate[account][i] = (random >> 18) % 3 == 0 ? (i64)(random >> 12) : -1;
                if (revenue[account][i] >= 0) {
                    own_features[feature_count++] = (struct feature_price){
                        text(features[i]), text(""), revenue[account][i], 0, 0};
                }
                if (rate[account][i] >= 0) {
                    i64 one = rate[account][i];
                    own_models[model_count++] =
                        (struct model_price){text(""), text(models[i]), one, one, one, one, 0};
                }
            }
            if (feature_count + model_count > 0) {
                set_book(account, own_features, feature_count, own_models, model_count);
            } else {
                cr_assert_eq(prices_set_book(prices, account, NULL), ERR_OK);
            }
        }
        u32 asked = (random >> 8) % ACCOUNTS;
        start_batch();
        for (u32 i = 0; i < NAMES; i++) {
            add("acme", features[i], NULL, models[i]);
        }
        price_as(asked);
        for (u32 i = 0; i < NAMES; i++) {
            bool priced = revenue[asked][i] >= 0;
            expect_revenue(i, priced ? REVENUE_FEATURE_PRICING : REVENUE_NONE,
                           priced ? revenue[asked][i] : 0);
            if (rate[asked][i] >= 0) {
                expect_cost(i, COST_ACCOUNT_PRICE, 1100 * rate[asked][i]);
            } else {
                cr_assert_neq(batch->cost_source[i], COST_ACCOUNT_PRICE);
            }
        }
    }
}

Test(prices, another_table_is_in_force_for_the_next_event) {
    static const char providers[] = "[{\"provider\":\"acme\",\"model_prefixes\":[\"zeta\"]}]";
    add("c", "f", NULL, "gpt-4o-mini");
    add("c", "f", "acme", "zeta-1");
    price_as(MINE);
    expect_cost(1, COST_UNPRICED, 0);
    const struct model_price own = {text(""), text("own-1"), 1, 1, 1, 1, 0};
    set_book(MINE, NULL, 0, &own, 1);
    for (i64 rate = 1; rate < 40; rate++) {
        char models[200];
        char why[200] = "";
        struct price_table *table;
        snprintf(models, sizeof models,
                 "[{\"provider\":\"acme\",\"model\":\"zeta-1\",\"input_per_mtok\":\"0.%06d\","
                 "\"output_per_mtok\":\"0\"}]",
                 (int)rate);
        cr_assert_eq(price_table_load(text(models), text(providers), &table, why, sizeof why),
                     ERR_OK, "%s", why);
        cr_assert_eq(prices_set_table(prices, table), ERR_OK);
        start_batch();
        add("c", "f", NULL, "gpt-4o-mini");
        add("c", "f", NULL, "zeta-1");
        add("c", "f", NULL, "own-1");
        price_as(MINE);
        expect_cost(0, COST_UNPRICED, 0);
        expect_cost(1, COST_PRICE_TABLE, 1000 * rate);
        expect_cost(2, COST_ACCOUNT_PRICE, 1100);
    }
}

static _Atomic bool stop_reading;

static void *read_views(void *context) {
    u64 reads = 0;
    while (!atomic_load(&stop_reading)) {
        const struct price_view *view = prices_acquire(prices);
        const struct price_book *book = price_view_book(view, MINE);
        if (book != NULL) {
            u32 feature = price_book_feature(book, text("chat"));
            check(feature != PRICE_NONE);
            check(book->features[feature].revenue == book->models[0].input);
        }
        check(price_count(price_view_table(view)) > 0);
        prices_release(prices, view);
        reads++;
    }
    *(u64 *)context = reads;
    return NULL;
}

/* Views are whole and stay while they are held; the sanitizers see the rest. */
Test(prices, views_are_whole_while_they_change) {
    pthread_t thread[2];
    u64 reads[2];
    for (u32 i = 0; i < 2; i++) {
        cr_assert_eq(pthread_create(&thread[i], NULL, read_views, &reads[i]), 0);
    }
    u64 end_ns = clock_monotonic_ns() + 200000000;
    for (i64 round = 0; clock_monotonic_ns() < end_ns; round++) {
        const struct feature_price feature = {text("chat"), text("call"), round, 0, 0};
        const struct model_price model = {text(""), text("m"), round, 0, 0, 0, 0};
        set_book(MINE, &feature, 1, &model, 1);
    }
    atomic_store(&stop_reading, true);
    for (u32 i = 0; i < 2; i++) {
        pthread_join(thread[i], NULL);
        cr_assert_gt(reads[i], 0);
    }
}
