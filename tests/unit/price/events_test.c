/* events_test.c: the pricing step: every rule about costs, providers and revenue, and the cache
 * against look-ups without one. */
#include "price/prices.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX (1 << 20)
#define MAY_1_2026_MS ((i64)1777593600000)

static struct price_table *table;
static struct prices *prices;
static struct price_cache *cache;
static struct event_batch *batch;

static void setup(void) {
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

TestSuite(price_events, .init = setup, .fini = teardown);

static void set_text(u32 index, enum event_text text, const char *value) {
    u32 bytes = (u32)strlen(value);
    memcpy(batch->text + batch->text_bytes, value, bytes);
    batch->ref[text][index] = (struct text_ref){batch->text_bytes, bytes};
    batch->present[index] |= TEXT_BIT(text);
    batch->text_bytes += bytes;
}

static void set_number(u32 index, enum event_number number, i64 value) {
    batch->number[number][index] = value;
    batch->present[index] |= NUM_BIT(number);
}

/* An event as decoding leaves it; absent numbers hold rubbish. */
static u32 add_event(const char *model, const char *provider) {
    u32 index = batch->count++;
    batch->present[index] = 0;
    batch->cost_source[index] = COST_NONE;
    batch->revenue_source[index] = REVENUE_NONE;
    batch->flags[index] = 0;
    for (u32 number = 0; number < NUM_COUNT; number++) {
        batch->number[number][index] = -77777;
    }
    set_number(index, NUM_TIME, MAY_1_2026_MS);
    set_number(index, NUM_USAGE, 0);
    set_text(index, TEXT_CUSTOMER, "customer");
    if (model != NULL) {
        set_text(index, TEXT_MODEL, model);
    }
    if (provider != NULL) {
        set_text(index, TEXT_PROVIDER, provider);
    }
    return index;
}

static u32 price_all(u32 *overflow) {
    u32 count = UINT32_MAX;
    price_events(cache, batch, 0, batch->count, overflow, &count);
    for (u32 i = 0; i < batch->count; i++) {
        cr_assert(event_has_number(batch, i, NUM_COST) && event_has_number(batch, i, NUM_REVENUE));
    }
    return count;
}

static void expect_cost(u32 index, enum cost_source source, i64 cost) {
    cr_assert_eq(batch->cost_source[index], source, "event %u: %s", index,
                 cost_source_text(batch->cost_source[index]));
    cr_assert_eq(batch->number[NUM_COST][index], cost, "event %u: %lld", index,
                 (long long)batch->number[NUM_COST][index]);
}

static void expect_provider(u32 index, const char *expected) {
    struct slice text = event_text_of(batch, index, TEXT_PROVIDER);
    cr_assert_eq(text.bytes, strlen(expected), "event %u", index);
    cr_assert(text.bytes == 0 || memcmp(text.data, expected, text.bytes) == 0);
}

Test(price_events, cost_by_source) {
    u32 overflow[16];
    u32 table_price = add_event("gpt-4o-mini", NULL);
    set_number(table_price, NUM_INPUT, 150);
    set_number(table_price, NUM_OUTPUT, 80);
    u32 output_only = add_event("gpt-4o-mini", "openai");
    set_number(output_only, NUM_OUTPUT, 80);
    u32 cached = add_event("claude-sonnet-4-5", "anthropic");
    set_number(cached, NUM_INPUT, 1000);
    set_number(cached, NUM_CACHED, 600);
    set_number(cached, NUM_CACHE_WRITE, 300);
    u32 explicit_cost = add_event("gpt-4o", NULL);
    set_number(explicit_cost, NUM_INPUT, 150);
    set_number(explicit_cost, NUM_COST, 5);
    batch->cost_source[explicit_cost] = COST_EXPLICIT;
    u32 unknown = add_event("gpt-9-unheard-of", "openai");
    set_number(unknown, NUM_INPUT, 1);
    u32 usage_only = add_event("gpt-4o", NULL);
    set_number(usage_only, NUM_USAGE, 5 * MICRO_PER_UNIT);
    u32 nothing = add_event(NULL, "openai");
    set_number(nothing, NUM_INPUT, 100);
    u32 free_model = add_event("google/gemma-4-31b-it:free", "openrouter");
    set_number(free_model, NUM_INPUT, 100);
    u32 time_dependent = add_event("deepseek-v4-pro", NULL);
    set_number(time_dependent, NUM_INPUT, 1000000);
    set_number(time_dependent, NUM_TIME, (i64)1788224400000 + 61 * 60000); /* 2026-09-01 02:01 */
    cr_assert_eq(price_all(overflow), 0);
    expect_cost(table_price, COST_PRICE_TABLE, 70500000);
    expect_cost(output_only, COST_PRICE_TABLE, 48000000);
    expect_cost(cached, COST_PRICE_TABLE, 100 * 3000000 + 600 * 300000 + 300 * 3750000);
    expect_cost(explicit_cost, COST_EXPLICIT, 5);
    expect_cost(unknown, COST_UNPRICED, 0);
    expect_cost(usage_only, COST_UNPRICED, 0);
    expect_cost(nothing, COST_NONE, 0);
    expect_cost(free_model,
                price_find(table, SLICE("openrouter"), SLICE("google/gemma-4-31b-it:free")) ==
                        PRICE_NONE
                    ? COST_UNPRICED
                    : COST_PRICE_TABLE,
                0);
    expect_cost(time_dependent, COST_PRICE_TABLE, PICO_PER_USD * 132 / 100);
    expect_provider(explicit_cost, "openai");
    expect_provider(time_dependent, "deepseek");
    expect_provider(unknown, "openai");
}

Test(price_events, usage_stands_for_tokens_only_where_told) {
    u32 overflow[8];
    i64 usage[] = {1499999, 1500000, 0, -5000000, EVENT_USAGE_MAX};
    for (u32 i = 0; i < ARRAY_COUNT(usage); i++) {
        add_event("gpt-4o-mini", "openai");
        set_number(i, NUM_USAGE, usage[i]);
        batch->flags[i] = EVENT_FLAG_USAGE_PRICED;
    }
    u32 tokens = add_event("gpt-4o-mini", "openai");
    set_number(tokens, NUM_USAGE, 7 * MICRO_PER_UNIT);
    set_number(tokens, NUM_INPUT, 0);
    batch->flags[tokens] = EVENT_FLAG_USAGE_PRICED;
    u32 no_model = add_event(NULL, NULL);
    set_number(no_model, NUM_USAGE, 7 * MICRO_PER_UNIT);
    batch->flags[no_model] = EVENT_FLAG_USAGE_PRICED;
    cr_assert_eq(price_all(overflow), 0);
    expect_cost(0, COST_PRICE_TABLE, 150000);
    expect_cost(1, COST_PRICE_TABLE, 2 * 150000);
    expect_cost(2, COST_PRICE_TABLE, 0);
    expect_cost(3, COST_UNPRICED, 0);
    expect_cost(4, COST_PRICE_TABLE, EVENT_USAGE_MAX / MICRO_PER_UNIT * 150000);
    expect_cost(tokens, COST_PRICE_TABLE, 0);
    expect_cost(no_model, COST_NONE, 0);
}

Test(price_events, revenue) {
    u32 overflow[8];
    static const char *const customer[] = {"_internal", "_internal-tests", "_intern", "c", "c"};
    for (u32 i = 0; i < ARRAY_COUNT(customer); i++) {
        add_event(NULL, NULL);
        set_text(i, TEXT_CUSTOMER, customer[i]);
        if (i != 3) {
            set_number(i, NUM_REVENUE, -9);
            batch->revenue_source[i] = REVENUE_EXPLICIT;
        }
    }
    u32 nobody = add_event(NULL, NULL);
    batch->present[nobody] &= ~TEXT_BIT(TEXT_CUSTOMER);
    cr_assert_eq(price_all(overflow), 0);
    for (u32 i = 0; i < batch->count; i++) {
        bool given = i == 2 || i == 4;
        cr_assert_eq(batch->number[NUM_REVENUE][i], given ? -9 : 0, "event %u", i);
        cr_assert_eq(batch->revenue_source[i], given ? REVENUE_EXPLICIT : REVENUE_NONE);
    }
}

Test(price_events, costs_that_do_not_fit_are_listed) {
    u32 overflow[8] = {0};
    for (u32 i = 0; i < 6; i++) {
        add_event("gpt-4o", NULL);
        set_number(i, NUM_INPUT, 1);
        if (i % 2 == 1) {
            set_number(i, NUM_OUTPUT, EVENT_TOKENS_MAX);
        }
    }
    cr_assert_eq(price_all(overflow), 3);
    cr_assert(overflow[0] == 1 && overflow[1] == 3 && overflow[2] == 5);
    expect_cost(0, COST_PRICE_TABLE, 2500000);
}

Test(price_events, provider_names_are_added_once_a_batch) {
    u32 overflow[200];
    u32 count = 0;
    static const char *const models[] = {"gpt-4o", "claude-3-haiku", "no-such-model", "o3"};
    for (u32 i = 0; i < 200; i++) {
        add_event(models[i % 4], NULL);
    }
    u32 before = batch->text_bytes;
    for (u32 first = 0; first < 200; first += 10) {
        price_events(cache, batch, first, 10, overflow, &count);
        cr_assert_eq(count, 0);
    }
    cr_assert_eq(batch->text_bytes - before, strlen("openai") + strlen("anthropic"));
    for (u32 i = 0; i < 200; i++) {
        expect_provider(i, i % 4 == 1 ? "anthropic" : i % 4 == 2 ? "" : "openai");
    }
    /* The batch is used anew: its text is other text now. */
    memset(batch->text, 'x', TEXT_MAX);
    batch->count = batch->text_bytes = 0;
    add_event("gpt-4o", NULL);
    price_events(cache, batch, 0, 1, overflow, &count);
    expect_provider(0, "openai");
    /* No room for the name: the event is refused, not kept without its provider. */
    batch->count = batch->text_bytes = 0;
    add_event("claude-3-haiku", NULL);
    batch->text_bytes_max = batch->text_bytes;
    price_events(cache, batch, 0, 1, overflow, &count);
    cr_assert(count == 1 && overflow[0] == 0);
}

/* The event's name stands where that of an earlier one does, as in native batches. */
static void share_name(u32 index, u32 earlier, enum event_text text) {
    batch->ref[text][index] = batch->ref[text][earlier];
    batch->present[index] =
        (batch->present[index] & ~TEXT_BIT(text)) | (batch->present[earlier] & TEXT_BIT(text));
}

/* Names that share their ends and lengths, in greater numbers than the cache has places. */
Test(price_events, the_cache_never_mixes_names_up) {
    u32 overflow[EVENT_BATCH_MAX];
    bool given[EVENT_BATCH_MAX];
    char model[EVENT_MODEL_MAX + 1];
    char provider[EVENT_PROVIDER_MAX + 1];
    u32 random = 12345;
    for (u32 round = 0; round < 9; round++) {
        batch->count = batch->text_bytes = 0;
        for (u32 i = 0; i < EVENT_BATCH_MAX; i++) {
            random = random * 1664525 + 1013904223;
            struct price_listing listing =
                price_list(table, (random >> 8) % (round == 0 ? 8 : price_count(table)));
            snprintf(model, sizeof model, "%.*s", (int)listing.model.bytes, listing.model.data);
            snprintf(provider, sizeof provider, "%.*s", (int)listing.provider.bytes,
                     listing.provider.data);
            u32 change = random >> 29;
            usize bytes = strlen(model);
            model[bytes / 3] = change == 1 ? 'q' : model[bytes / 3];
            model[bytes / 2] = change == 2 ? '\0' : model[bytes / 2];
            add_event(model[0] != '\0' ? model : "x", (random >> 28 & 1) != 0 ? provider : NULL);
            set_number(i, NUM_INPUT, random >> 12);
            set_number(i, NUM_OUTPUT, random >> 16);
            if (round > 5 && i > 0 && (random >> 24 & 7) != 0) {
                u32 earlier = i - 1 - random % MIN(i, 8u);
                share_name(i, earlier, TEXT_MODEL);
                earlier = (random >> 20 & 3) != 0 ? earlier : i - 1 - (random >> 4) % MIN(i, 8u);
                share_name(i, earlier, TEXT_PROVIDER);
            }
        }
        for (u32 i = 0; i < EVENT_BATCH_MAX; i++) {
            given[i] = event_has_text(batch, i, TEXT_PROVIDER);
        }
        cr_assert_eq(price_all(overflow), 0);
        for (u32 i = 0; i < EVENT_BATCH_MAX; i++) {
            struct price_tokens tokens = {.input = batch->number[NUM_INPUT][i],
                                          .output = batch->number[NUM_OUTPUT][i]};
            i64 cost = 0;
            u32 price = price_find(table, event_text_of(batch, i, TEXT_PROVIDER),
                                   event_text_of(batch, i, TEXT_MODEL));
            if (price != PRICE_NONE) {
                cr_assert(price_cost(table, price, MAY_1_2026_MS, &tokens, &cost));
            }
            if (!given[i]) {
                struct slice model_name = event_text_of(batch, i, TEXT_MODEL);
                struct slice inferred = price_infer_provider(table, model_name);
                struct slice filled = event_text_of(batch, i, TEXT_PROVIDER);
                cr_assert_eq(filled.bytes, inferred.bytes);
            }
            expect_cost(i, price == PRICE_NONE ? COST_UNPRICED : COST_PRICE_TABLE, cost);
        }
    }
}
