/*
 * parts_race.c: parts of subscriptions and top lists, asked for by two threads and kept up to date
 * by the keeper, while a writer applies events, lets hours pass and sometimes makes as if there had
 * been more events than the ring of changes holds. Run under ThreadSanitizer; besides, events earn
 * nothing, so what features get is, at any time, the subscriptions of all customers with events.
 */
#include "agg/state.h"
#include "customer/mrr.h"
#include "query/allocation.h"
#include "query/keeper.h"
#include "query/query.h"
#include "store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CUSTOMERS 600
#define FEATURES 5
#define ROUNDS 5000
#define EVENTS 100
#define READERS 2
#define LENGTH_MS ((i64)30 * DAY_MS)
#define START ((i64)1790000000000 / DAY_MS * DAY_MS)

static struct agg *agg;
static struct allocations *allocations;
static atomic_bool done;
static atomic_int failures;
static atomic_uint answers;
static _Atomic i64 now = START;
static _Atomic u32 begun; /* customers that may have events */
static _Atomic u32 ended; /* and those that have */
static i128 share;        /* of each customer */

static void require(bool good, const char *what) {
    if (!good) {
        fprintf(stderr, "parts_race: %s\n", what);
        atomic_fetch_add(&failures, 1);
    }
}

static void put(struct event_batch *batch, u32 row, enum event_text text, const char *format,
                u32 number) {
    int bytes = snprintf(batch->text + batch->text_bytes, 32, format, number);
    batch->ref[text][row] = (struct text_ref){batch->text_bytes, (u32)bytes};
    batch->text_bytes += (u32)bytes;
    batch->present[row] |= TEXT_BIT(text);
}

/* Each round brings some customers to those that were there. */
static u32 customers_in(u32 round) {
    return MIN(50 + round / 12, (u32)CUSTOMERS);
}

static void fill(struct event_batch *batch, u32 round) {
    u32 known = customers_in(round);
    u32 before = round == 0 ? 0 : customers_in(round - 1);
    batch->count = EVENTS;
    batch->text_bytes = 0;
    batch->account = 1;
    for (u32 i = 0; i < batch->count; i++) {
        u32 mix = round * 7919u + i * 104729u;
        batch->present[i] = NUM_BIT(NUM_TIME) | NUM_BIT(NUM_COST);
        batch->series[i] = SERIES_UNRESOLVED;
        batch->number[NUM_TIME][i] = atomic_load(&now) - (i64)(mix % 1000) * 1000;
        batch->number[NUM_COST][i] = 1 + mix % 1000;
        put(batch, i, TEXT_EVENT_NAME, "call%u", 0);
        put(batch, i, TEXT_CUSTOMER, "c%u", i < known - before ? before + i : mix / 7 % known);
        put(batch, i, TEXT_FEATURE, "f%u", mix % FEATURES);
    }
}

static void outrun(void) {
    pthread_rwlock_wrlock(&agg->lock);
    agg->changed_count += CHANGED_RING + 1;
    pthread_rwlock_unlock(&agg->lock);
}

static void *write_all(void *context) {
    struct event_batch *batch = context;
    u32 rows[EVENTS];
    for (u32 i = 0; i < EVENTS; i++) {
        rows[i] = i;
    }
    for (u32 round = 0; round < ROUNDS; round++) {
        fill(batch, round);
        require(agg_resolve(agg, batch, rows, EVENTS) == ERR_OK, "no series");
        agg_settle(agg);
        atomic_store(&begun, customers_in(round));
        agg_apply(agg, batch, rows, EVENTS);
        atomic_store(&ended, customers_in(round));
        if (round % 64 == 5) {
            atomic_fetch_add(&now, HOUR_MS / 3);
            agg_advance(agg, atomic_load(&now));
        }
        if (round % 97 == 4) {
            outrun();
        }
    }
    atomic_store(&done, true);
    return NULL;
}

/* Whoever is known has come with events, and none of them leaves the window here. */
static void ask_parts(void) {
    const struct revenue_window window = {1, query_window_start(atomic_load(&now), LENGTH_MS),
                                          INT64_MAX, LENGTH_MS};
    struct allocation allocation;
    i128 sum = 0;
    u32 pairs = 0;
    u32 least = atomic_load(&ended);
    enum err err = allocation_read(allocations, agg, NULL, &window, &allocation);
    if (err != ERR_OK) {
        return; /* an edge has moved in between, and there is no log to ask */
    }
    for (u32 i = 0; i < allocation.count; i++) {
        sum += allocation.amount[i];
        pairs += allocation.customers[i];
    }
    u32 known = (u32)(sum / share);
    atomic_fetch_add(&answers, 1);
    require(sum % share == 0, "a share is not given whole");
    require(known >= least && known <= atomic_load(&begun), "not the customers that there are");
    require(pairs >= known && pairs <= known * FEATURES, "customers of features");
    allocation_free(&allocation);
}

static void ask_top(void) {
    const struct query query = {.account = 1,
                                .group = {DIM_CUSTOMER},
                                .group_count = 1,
                                .from = INT64_MIN,
                                .to = INT64_MAX,
                                .order = ORDER_COST,
                                .limit = 20};
    struct query_result result;
    const char *why;
    if (query_run(agg, NULL, &query, &result, &why) == ERR_OK) {
        require(result.row_total <= atomic_load(&begun), "too many customers in the list");
        query_result_free(&result);
    }
}

static void *read_all(void *context) {
    (void)context;
    while (!atomic_load(&done)) {
        ask_parts();
        ask_top();
    }
    return NULL;
}

static void subscribe(struct directory *directory) {
    static char ids[CUSTOMERS][16];
    static struct profile profiles[CUSTOMERS];
    static struct subscription subscriptions[CUSTOMERS];
    for (u32 i = 0; i < CUSTOMERS; i++) {
        int bytes = snprintf(ids[i], sizeof ids[i], "c%u", i);
        struct slice id = {ids[i], (usize)bytes};
        profiles[i] = (struct profile){.source = DIRECTORY_NONE, .id = id};
        subscriptions[i] = (struct subscription){.source = DIRECTORY_NONE,
                                                 .id = id,
                                                 .customer_id = id,
                                                 .has_override = true,
                                                 .mrr_override = (i64)9990000000000,
                                                 .active = true};
    }
    const struct directory_set set = {.source = DIRECTORY_UPLOAD,
                                      .profiles = profiles,
                                      .profile_count = CUSTOMERS,
                                      .subscriptions = subscriptions,
                                      .subscription_count = CUSTOMERS};
    require(directory_replace(directory, agg, 1, &set, START) == ERR_OK, "no subscriptions");
    const struct book *book = directory_acquire(directory, 1);
    share = mrr_revenue(0, book_mrr(book, SLICE("c0")), LENGTH_MS);
    directory_release(directory, book);
}

int main(void) {
    char dir[] = "/tmp/parts_race.XXXXXX";
    char command[64];
    char why[200] = "";
    const struct agg_options options = {.seed = 1, .ranked_min = 1};
    struct control *control = NULL;
    struct directory *directory = NULL;
    struct revenues *revenues = NULL;
    struct keeper *keeper = NULL;
    struct event_batch *batch = calloc(1, sizeof *batch);
    pthread_t writer;
    pthread_t readers[READERS];
    bool good = mkdtemp(dir) != NULL && batch != NULL &&
                (batch->text = malloc(EVENTS * 128)) != NULL &&
                control_open(dir, true, &control, why, sizeof why) == ERR_OK &&
                directory_open(control, &directory) == ERR_OK &&
                revenues_create(directory, &revenues) == ERR_OK &&
                allocations_create(revenues, &allocations) == ERR_OK &&
                agg_create(&options, &agg) == ERR_OK;
    if (!good) {
        fprintf(stderr, "parts_race: cannot begin %s\n", why);
        return 1;
    }
    agg_advance(agg, START);
    subscribe(directory);
    good = keeper_start(agg, allocations, &keeper) == ERR_OK;
    require(good, "no keeper");
    pthread_create(&writer, NULL, write_all, batch);
    for (u32 i = 0; i < READERS; i++) {
        pthread_create(&readers[i], NULL, read_all, NULL);
    }
    pthread_join(writer, NULL);
    for (u32 i = 0; i < READERS; i++) {
        pthread_join(readers[i], NULL);
    }
    keeper_stop(keeper);
    require(atomic_load(&answers) > 50, "hardly any answers");
    agg_destroy(agg);
    allocations_destroy(allocations);
    revenues_destroy(revenues);
    directory_close(directory);
    control_close(control);
    free(batch->text);
    free(batch);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    require(system(command) == 0, "rm");
    return atomic_load(&failures) != 0;
}
