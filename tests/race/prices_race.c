/*
 * prices_race.c: two threads price events while others change books and the table. Every event must
 * have been priced by one book as a whole: revenue and cost of it belong together.
 */
#include "event/decode.h"
#include "price/prices.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FRONTS 2
#define ACCOUNTS 3
#define ROUNDS 2000
#define EVENTS 16

static struct prices *prices;
static _Atomic i64 answered[ACCOUNTS]; /* the last book whose change has returned */
static _Atomic bool stop;

static struct slice text(const char *value) {
    return (struct slice){value, strlen(value)};
}

static void put(struct event_batch *batch, u32 index, enum event_text column, const char *value) {
    check(batch_add_text(batch, text(value), &batch->ref[column][index]) == ERR_OK);
    batch->present[index] |= TEXT_BIT(column);
}

static void fill(struct event_batch *batch, u32 account) {
    batch->count = EVENTS;
    batch->text_bytes = 0;
    batch->account = account;
    for (u32 i = 0; i < EVENTS; i++) {
        batch->present[i] = NUM_BIT(NUM_TIME) | NUM_BIT(NUM_INPUT);
        batch->number[NUM_TIME][i] = 1777593600000;
        batch->number[NUM_INPUT][i] = 10;
        batch->cost_source[i] = COST_NONE;
        batch->revenue_source[i] = REVENUE_NONE;
        batch->flags[i] = 0;
        put(batch, i, TEXT_CUSTOMER, "customer");
        put(batch, i, TEXT_FEATURE, "chat");
        put(batch, i, TEXT_MODEL, i % 2 == 0 ? "house" : "gpt-4o");
    }
}

static void *price_all(void *context) {
    struct event_batch *batch = calloc(1, sizeof *batch);
    struct price_cache *cache;
    u32 overflow[EVENTS];
    u32 count;
    (void)context;
    check(batch != NULL && price_cache_create(prices, &cache) == ERR_OK);
    batch->text_bytes_max = 1 << 14;
    batch->text = calloc(1, batch->text_bytes_max + EVENT_TEXT_PADDING);
    check(batch->text != NULL);
    for (u32 round = 0; !atomic_load(&stop); round++) {
        u32 account = round % ACCOUNTS;
        i64 least = atomic_load(&answered[account]);
        fill(batch, account);
        price_events(cache, batch, 0, EVENTS, overflow, &count);
        i64 revenue = batch->number[NUM_REVENUE][0];
        check(count == 0 && revenue >= least);
        for (u32 i = 0; i < EVENTS; i++) {
            check(batch->number[NUM_REVENUE][i] == revenue);
            check(i % 2 == 1 || revenue == 0 || batch->number[NUM_COST][i] == 10 * revenue);
        }
    }
    price_cache_destroy(cache);
    free(batch->text);
    free(batch);
    return NULL;
}

static void *change_books(void *context) {
    (void)context;
    for (i64 round = 1; round <= ROUNDS; round++) {
        u32 account = (u32)round % ACCOUNTS;
        const struct feature_price feature = {text("chat"), text("call"), round, 0, 0};
        const struct model_price model = {text(""), text("house"), round, 0, -1, -1, 0};
        struct price_book *book;
        check(price_book_make(&feature, 1, &model, 1, &book) == ERR_OK);
        check(prices_set_book(prices, account, book) == ERR_OK);
        atomic_store(&answered[account], round);
    }
    return NULL;
}

static void change_tables(void) {
    static const char models[] =
        "[{\"provider\":\"openai\",\"model\":\"gpt-4o\",\"input_per_mtok\":\"1\"}]";
    for (u32 round = 0; round < ROUNDS / 20; round++) {
        struct price_table *table;
        struct price_quote quote;
        char why[200];
        const struct price_sources sources = {.models = text(models)};
        check(price_table_make(&sources, &table, why, sizeof why) == ERR_OK);
        check(prices_set_table(prices, table) == ERR_OK);
        check(prices_quote(prices, 1, text("openai"), text("gpt-4o"), &quote));
        check(quote.input == PICO_PER_USD);
    }
}

int main(void) {
    struct price_table *table;
    char why[200];
    pthread_t front[FRONTS];
    pthread_t writer;
    check(price_table_load_embedded(&table, why, sizeof why) == ERR_OK);
    check(prices_create(table, &prices) == ERR_OK);
    for (u32 i = 0; i < FRONTS; i++) {
        check(pthread_create(&front[i], NULL, price_all, NULL) == 0);
    }
    check(pthread_create(&writer, NULL, change_books, NULL) == 0);
    change_tables();
    pthread_join(writer, NULL);
    atomic_store(&stop, true);
    for (u32 i = 0; i < FRONTS; i++) {
        pthread_join(front[i], NULL);
    }
    prices_destroy(prices);
    printf("prices_race: ok\n");
    return 0;
}
