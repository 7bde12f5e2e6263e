/*
 * commit_model.c: the real pipeline over a log that is a list in memory, takes its time, and now
 * and then says that nothing was written. So groups overlap and are taken back in all ways there
 * are, while new series appear, batches hit a bound, and snapshots are taken. The log itself is the
 * oracle: each key is in it once, definitions come in the order of their ids and say what the event
 * said, an answer tells what the log has and comes no sooner, and figures never show more than it.
 */
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "pipeline.h"
#include "pipeline/snapshot_tags.h"
#include "price/prices.h"
#include "query/query.h"
#include "tests/support/require.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEYS 60000
#define EVENTS_MAX 400000
#define REQUESTS 48 /* under way at most */
#define REQUEST_EVENTS_MAX 400
#define BODY_BYTES_MAX ((usize)REQUEST_EVENTS_MAX * 256)
#define CUSTOMER_BYTES 24
#define SERIES_SEED 2

static i64 now_ms; /* of all events, so that they are of one month */

static u32 roll(u64 *random, u32 bound) {
    *random = hash_mix(*random + 0x9e3779b97f4a7c15u);
    return (u32)((*random >> 16) % bound);
}

/* --- the log ---------------------------------------------------------------------------------- */

struct store {
    pthread_mutex_t lock; /* guards all but `random` */
    u32 *key;             /* of each event; KEYS: none */
    bool *answered;       /* an answer has called it accepted */
    u32 count;
    u32 key_count;
    bool known[KEYS];
    char (*customer)[CUSTOMER_BYTES]; /* of each series */
    u32 series_count;
    u32 *series_before; /* each event: series defined when it came */
    u64 random;         /* of the appending thread */
    u32 fail_percent;
    u32 pause_us;
    u32 refused;
    u32 snapshots;
};

static struct store log_store;
const struct store_filter store_filter_all = {
    .time_from = INT64_MIN, .time_to = INT64_MAX, .id_to = UINT64_MAX};

u64 store_next_id(const struct store *store) {
    pthread_mutex_lock((pthread_mutex_t *)(usize)&store->lock);
    u64 next = store->count + 1;
    pthread_mutex_unlock((pthread_mutex_t *)(usize)&store->lock);
    return next;
}

static u32 number_in(struct slice text) {
    u32 number = 0;
    for (usize i = 1; i < text.bytes; i++) {
        number = number * 10 + (u32)(text.data[i] - '0');
    }
    return number;
}

static void append_row(struct store *store, const struct event_batch *batch, u32 row) {
    struct slice customer = event_text_of(batch, row, TEXT_CUSTOMER);
    u32 series = batch->series[row];
    require(store->count < EVENTS_MAX);
    require(series < store->series_count);
    require(customer.bytes == strlen(store->customer[series]));
    require(memcmp(customer.data, store->customer[series], customer.bytes) == 0);
    u32 key = KEYS;
    if (event_has_text(batch, row, TEXT_KEY)) {
        key = number_in(event_text_of(batch, row, TEXT_KEY));
        require(!store->known[key]);
        store->known[key] = true;
        store->key_count++;
    }
    store->series_before[store->count] = store->series_count;
    store->key[store->count++] = key;
}

enum err store_append(struct store *store, const struct store_group *group) {
    static const enum err errs[] = {ERR_NO_SPACE, ERR_NO_MEMORY, ERR_LIMIT};
    usleep(roll(&store->random, 2 * store->pause_us + 1));
    if (roll(&store->random, 100) < store->fail_percent) {
        store->refused++;
        return errs[roll(&store->random, ARRAY_COUNT(errs))];
    }
    pthread_mutex_lock(&store->lock);
    for (u32 i = 0; i < group->def_count; i++) {
        const struct series_def *def = &group->defs[i];
        struct slice customer = def->text[TEXT_CUSTOMER];
        require(def->series == store->series_count && def->account == 1);
        require(customer.bytes < CUSTOMER_BYTES);
        memcpy(store->customer[store->series_count], customer.data, customer.bytes);
        store->customer[store->series_count++][customer.bytes] = '\0';
    }
    u32 before = store->count;
    for (u32 i = 0; i < group->part_count; i++) {
        for (u32 k = 0; k < group->parts[i].row_count; k++) {
            append_row(store, group->parts[i].batch, group->parts[i].rows[k]);
        }
    }
    require(store->count - before == group->event_count);
    pthread_mutex_unlock(&store->lock);
    return ERR_OK;
}

enum err store_merge(struct store *store, bool *did) {
    (void)store;
    *did = false;
    return ERR_OK;
}

enum err store_scan_open(struct store *store, const struct store_scan_options *options,
                         struct store_scan **out) {
    (void)store;
    (void)options;
    *out = NULL;
    return ERR_INVALID;
}

enum err store_scan_next(struct store_scan *scan, const struct event_batch **batch,
                         const struct series_def **defs, u32 *def_count,
                         struct store_damage *damage) {
    (void)scan;
    (void)batch;
    (void)defs;
    (void)def_count;
    (void)damage;
    return ERR_INVALID;
}

void store_scan_close(struct store_scan *scan) {
    (void)scan;
}

/* --- snapshots -------------------------------------------------------------------------------- */

struct snapshot_writer {
    struct store *store;
    u32 events;
    struct dedup *dedup;
    struct agg *agg;
    struct usage *usage;
};

enum err store_drop(struct store *store, bool *did) {
    (void)store;
    *did = false;
    return ERR_OK;
}

void store_pack_keys(struct event_batch *batch) {
    (void)batch;
}

bool store_trim(struct store *store) {
    (void)store;
    return false;
}

void store_get_stats(struct store *store, struct store_stats *out) {
    (void)store;
    *out = (struct store_stats){0};
}

i64 store_expired(struct store *store) {
    (void)store;
    return 0;
}

u64 store_amendments(struct store *store) {
    (void)store;
    return 0;
}

u32 store_key_epoch(struct store *store, u32 account) {
    (void)store;
    (void)account;
    return 0;
}

enum err store_amend(struct store *store, const struct store_amendment *amendment,
                     const struct store_group *group) {
    (void)amendment;
    return store_append(store, group);
}

void store_show(struct store *store) {
    (void)store;
}

bool store_event_stands(struct store *store, u32 series, u64 id, i64 time, i64 revenue,
                        u8 revenue_source) {
    (void)time;
    (void)store;
    return series != SERIES_UNRESOLVED && id > 0 && revenue >= 0 && revenue_source == REVENUE_NONE;
}

enum err snapshot_begin(struct store *store, u64 next_id, u64 amendments,
                        struct snapshot_writer **out) {
    (void)amendments;
    const struct agg_options options = {.seed = SERIES_SEED};
    struct snapshot_writer *writer = calloc(1, sizeof *writer);
    require(writer != NULL && dedup_create(&writer->dedup) == ERR_OK);
    require(agg_create(&options, &writer->agg) == ERR_OK);
    require(usage_create(&writer->usage) == ERR_OK);
    writer->store = store;
    writer->events = (u32)next_id - 1;
    *out = writer;
    return ERR_OK;
}

enum err snapshot_write(struct snapshot_writer *writer, u32 tag, const void *data, usize bytes) {
    switch (tag) {
    case SNAPSHOT_TAG_DEDUP:
        return dedup_restore(writer->dedup, data, bytes);
    case SNAPSHOT_TAG_USAGE:
        return usage_snapshot_load(writer->usage, data, bytes);
    default:
        return agg_snapshot_load(writer->agg, tag, data, bytes);
    }
}

static u64 events_of(struct agg *agg) {
    const struct query query = {.account = 1, .from = INT64_MIN, .to = INT64_MAX, .limit = 1};
    struct query_result result = {0};
    const char *why = "";
    require(query_run(agg, NULL, &query, &result, &why) == ERR_OK);
    u64 events = result.total.events;
    require(result.total.cost == (i128)events * (PICO_PER_USD / 2));
    query_result_free(&result);
    return events;
}

void snapshot_abort(struct snapshot_writer *writer) {
    dedup_destroy(writer->dedup);
    agg_destroy(writer->agg);
    usage_destroy(writer->usage);
    free(writer);
}

/* It holds what the log held at its position, and nothing of a group under way. */
enum err snapshot_finish(struct snapshot_writer *writer) {
    struct store *store = writer->store;
    u32 keys = 0;
    require(agg_snapshot_loaded(writer->agg) == ERR_OK);
    require(events_of(writer->agg) == writer->events);
    require(usage_of(writer->usage, 1, now_ms) == writer->events);
    pthread_mutex_lock(&store->lock);
    for (u32 i = 0; i < writer->events; i++) {
        keys += store->key[i] < KEYS;
    }
    u32 series = writer->events > 0 ? store->series_before[writer->events - 1] : 0;
    store->snapshots++;
    pthread_mutex_unlock(&store->lock);
    require(dedup_count(writer->dedup) == keys);
    require(agg_series_count(writer->agg) == series);
    snapshot_abort(writer);
    return ERR_OK;
}

/* --- requests --------------------------------------------------------------------------------- */

struct request {
    struct ingest ingest;
    bool under_way;
    u32 count;
    u32 key[REQUEST_EVENTS_MAX];
};

struct model {
    struct pipeline *pipeline;
    struct agg *agg;
    struct dedup *dedup;
    struct usage *usage;
    u64 random;
    u32 key_base; /* keys are mostly of a window that moves on */
    u32 customer_base;
    struct request request[REQUESTS];
    u32 under_way;
    _Atomic u64 acknowledged;
    _Atomic bool stop;
    u64 accepted;
    u64 duplicates;
    u64 refused;
};

static char body[BODY_BYTES_MAX];

static usize make_body(struct model *model, struct request *request) {
    usize at = (usize)snprintf(body, sizeof body, "{\"events\":[");
    for (u32 i = 0; i < request->count; i++) {
        u32 key = (model->key_base + roll(&model->random, 3000)) % KEYS;
        bool keyless = roll(&model->random, 40) == 0;
        bool other = roll(&model->random, 50) == 0; /* same key, another payload */
        request->key[i] = keyless ? KEYS : key;
        at += (usize)snprintf(
            body + at, sizeof body - at,
            "%s{\"eventName\":\"e\",\"customerReferenceId\":\"customer %u\",\"featureKey\":\"f\","
            "\"costAmount\":0.5,\"durationMs\":%u,\"traceId\":\"trace of %u\"",
            i > 0 ? "," : "", model->customer_base + key % 200, other ? 7u : 8u, key / 3);
        if (!keyless) {
            at += (usize)snprintf(body + at, sizeof body - at, ",\"idempotencyKey\":\"k%u\"", key);
        }
        body[at++] = '}';
        require(at + 256 < sizeof body);
    }
    return at + (usize)snprintf(body + at, sizeof body - at, "]}");
}

/* The events called accepted are in the log, in the order of the request. */
static void check_accepted(struct store *store, const struct request *request) {
    const struct ingest *ingest = &request->ingest;
    u64 id = ingest->first_id;
    for (u32 i = 0; i < request->count && id < ingest->first_id + ingest->accepted; i++) {
        require(id >= 1 && id <= store->count);
        if (store->key[id - 1] == request->key[i] && !store->answered[id - 1]) {
            store->answered[id - 1] = true;
            id++;
        }
    }
    require(id == ingest->first_id + ingest->accepted);
}

static void on_answer(struct ingest *ingest) {
    struct model *model = ingest->context;
    struct request *request = (struct request *)(void *)ingest;
    struct store *store = &log_store;
    pthread_mutex_lock(&store->lock);
    if (ingest->err == ERR_OK) {
        require(ingest->accepted + ingest->duplicates == request->count);
        for (u32 i = 0; i < request->count; i++) { /* duplicates, too */
            require(request->key[i] == KEYS || store->known[request->key[i]]);
        }
        if (ingest->accepted > 0) {
            check_accepted(store, request);
        }
    } else {
        require(ingest->accepted == 0);
    }
    pthread_mutex_unlock(&store->lock);
    if (ingest->err == ERR_OK) { /* visible before it is answered */
        model->accepted += ingest->accepted;
        model->duplicates += ingest->duplicates;
        require(events_of(model->agg) >= model->accepted);
        atomic_store(&model->acknowledged, model->accepted);
    } else {
        model->refused++;
    }
    ingest_free(ingest);
    request->under_way = false;
    model->under_way--;
}

static void send(struct model *model) {
    struct front *front = pipeline_front(model->pipeline, 0);
    struct request *request = model->request;
    while (request->under_way) {
        request++;
    }
    request->count =
        1 + roll(&model->random, roll(&model->random, 4) == 0 ? REQUEST_EVENTS_MAX : 20);
    request->ingest = (struct ingest){.account = 1, .done = on_answer, .context = model};
    usize bytes = make_body(model, request);
    struct block block = pool_take(front_pool(front), bytes + EVENT_TEXT_PADDING);
    require(block.data != NULL);
    memcpy(block.data, body, bytes);
    memset(block.data + bytes, 0, EVENT_TEXT_PADDING);
    struct decode_error error;
    require(front_ingest(front, &request->ingest, block, bytes, now_ms, &error) == ERR_OK);
    request->under_way = true;
    model->under_way++;
}

/* Asks again and again at times, so that an answer that comes too soon is seen. */
static void wait_for_answers(struct model *model, struct front *front) {
    bool eager = roll(&model->random, 2) == 0;
    while (model->under_way > 0) {
        if (!eager) {
            usleep(50);
        }
        front_on_wake(front);
    }
}

/* Sends for a while, in bursts and one by one, with keys that repeat what is under way. */
static void send_all(struct model *model, u32 turns) {
    struct front *front = pipeline_front(model->pipeline, 0);
    for (u32 turn = 0; turn < turns; turn++) {
        u32 most = roll(&model->random, 8);
        for (u32 i = 0; i < most && model->under_way < REQUESTS; i++) {
            send(model);
        }
        front_on_turn(front);
        if (roll(&model->random, 3) > 0) {
            usleep(roll(&model->random, 400));
        }
        front_on_wake(front);
        if (roll(&model->random, 20) == 0) { /* all answered: the commit thread is idle */
            wait_for_answers(model, front);
        }
        model->key_base += roll(&model->random, 60);
        model->customer_base += roll(&model->random, 20) == 0 ? 13 : 0;
    }
    wait_for_answers(model, front);
}

/* What was acknowledged is seen, and what is seen is durable. */
static void *read_all(void *context) {
    struct model *model = context;
    u64 seen = 0;
    while (!atomic_load(&model->stop)) {
        u64 least = MAX(seen, atomic_load(&model->acknowledged));
        seen = events_of(model->agg);
        require(seen >= least && seen < store_next_id(&log_store));
        usleep(200);
    }
    return NULL;
}

static void ignore_wake(void *context, u32 front) {
    (void)context;
    (void)front;
}

static void on_fatal(void *context) {
    (void)context;
    fail("the pipeline gave up", __LINE__);
}

static void open_model(struct model *model, struct prices *prices, u32 series_max) {
    const struct agg_options agg_options = {.seed = SERIES_SEED, .series_max = series_max};
    const struct pipeline_options options = {.store = &log_store,
                                             .prices = prices,
                                             .dedup_seed = 1,
                                             .series_seed = SERIES_SEED,
                                             .digest_seed = 3,
                                             .front_count = 1,
                                             .snapshot_events = 1000,
                                             .pool_bytes = GIB,
                                             .wake = ignore_wake,
                                             .fatal = on_fatal};
    require(agg_create(&agg_options, &model->agg) == ERR_OK);
    require(dedup_create(&model->dedup) == ERR_OK);
    require(pipeline_create(&options, &model->pipeline) == ERR_OK);
    require(usage_create(&model->usage) == ERR_OK);
    require(pipeline_start(model->pipeline, model->agg, model->dedup, model->usage, 1) == ERR_OK);
}

static void reset_store(u64 seed, u32 round) {
    static const u32 percents[] = {0, 10, 50, 25};
    static const u32 pauses[] = {100, 500, 200, 2000};
    struct store *store = &log_store;
    memset(store->known, 0, sizeof store->known);
    memset(store->answered, 0, EVENTS_MAX);
    store->count = 0;
    store->key_count = 0;
    store->series_count = 0;
    store->random = seed;
    store->fail_percent = percents[round % ARRAY_COUNT(percents)];
    store->pause_us = pauses[round % ARRAY_COUNT(pauses)];
    store->refused = 0;
}

static void run_round(struct prices *prices, u64 seed, u32 round) {
    struct model *model = calloc(1, sizeof *model);
    pthread_t reader;
    require(model != NULL);
    model->random = seed + round;
    reset_store(hash_mix(seed + round), round);
    open_model(model, prices, round == 1 ? 450 : 0);
    require(pthread_create(&reader, NULL, read_all, model) == 0);
    send_all(model, 2000);
    atomic_store(&model->stop, true);
    pthread_join(reader, NULL);
    require(model->accepted == log_store.count);
    require(events_of(model->agg) == log_store.count);
    require(dedup_count(model->dedup) == log_store.key_count);
    require(agg_series_count(model->agg) == log_store.series_count);
    require(usage_of(model->usage, 1, now_ms) == log_store.count);
    require(model->duplicates > 0 && log_store.count > 0);
    require(round == 0 ? model->refused == 0 : model->refused > 0);
    require(round == 0 || log_store.refused > 0);
    pipeline_stop(model->pipeline);
    printf("commit_model: %llu events, %llu duplicates, %u series; %u groups and %llu requests "
           "refused\n",
           (unsigned long long)model->accepted, (unsigned long long)model->duplicates,
           log_store.series_count, log_store.refused, (unsigned long long)model->refused);
    pipeline_destroy(model->pipeline);
    dedup_destroy(model->dedup);
    agg_destroy(model->agg);
    usage_destroy(model->usage);
    free(model);
}

int main(int argc, char **argv) {
    seed_used = argc > 1 ? strtoull(argv[1], NULL, 10) : 20261120;
    now_ms = clock_wall_ms();
    struct price_table *table;
    struct prices *prices;
    char why[256];
    log_set_level(LOG_ERROR); /* batches are refused by the hundred */
    pthread_mutex_init(&log_store.lock, NULL);
    log_store.key = malloc(EVENTS_MAX * sizeof *log_store.key);
    log_store.series_before = malloc(EVENTS_MAX * sizeof *log_store.series_before);
    log_store.answered = malloc(EVENTS_MAX);
    log_store.customer = malloc(KEYS * sizeof *log_store.customer);
    require(log_store.key != NULL && log_store.series_before != NULL);
    require(log_store.answered != NULL && log_store.customer != NULL);
    require(price_table_load_embedded(&table, why, sizeof why) == ERR_OK);
    require(prices_create(table, &prices) == ERR_OK);
    for (u32 round = 0; round < 4; round++) {
        run_round(prices, seed_used, round);
    }
    require(log_store.snapshots > 4); /* one of each round at its end, and some in between */
    prices_destroy(prices);
    free(log_store.key);
    free(log_store.series_before);
    free(log_store.answered);
    free(log_store.customer);
    pthread_mutex_destroy(&log_store.lock);
    return 0;
}
