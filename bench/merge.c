/*
 * merge.c: what merging costs, in processor time an event, for logs of differently sized commits:
 * the merge itself, bytes on disk an event before and after it, and reading the result whole. Times
 * are of the one thread that works, so that other load on the machine does not show.
 */
#include "store.h"
#include "tests/support/generated.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define EVENTS ((u32)1 << 19)
#define WARM_EVENTS                                                                                \
    (2 * SEGMENT_ROWS_MAX) /* not measured: memory is touched, series are defined                  \
                            */
#define SERIES_SLOTS (1u << 20)
#define CUSTOMER_MODELS 2 /* a customer's models */

static struct generator generator;
static struct event_batch *batch;
static u32 slots[SERIES_SLOTS]; /* hash of a series' parts to id + 1 */
static u32 dims[SERIES_SLOTS][STORE_DIMS];
static u32 series_count;
static struct series_def defs[EVENT_BATCH_MAX];
static char def_texts[EVENT_BATCH_MAX][3][GENERATED_TEXT_MAX];
static u32 def_count;

static void fail(const char *what, enum err err) {
    fprintf(stderr, "bench-merge: %s: %s\n", what, err_text(err));
    _exit(1);
}

static u64 cpu_ns(void) {
    struct timespec now;
    check(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) == 0);
    return (u64)now.tv_sec * 1000000000 + (u64)now.tv_nsec;
}

static void print(const char *name, const char *commits, double value, const char *unit) {
    printf("bench name=merge_%s_%s value=%.2f unit=%s\n", name, commits, value, unit);
}

static void define(u32 series, const struct generated_event *event) {
    struct series_def *def = &defs[def_count];
    *def = (struct series_def){.series = series, .account = 1};
    const char *texts[] = {event->customer, event->feature, event->model};
    const u32 columns[] = {TEXT_CUSTOMER, TEXT_FEATURE, TEXT_MODEL};
    for (u32 i = 0; i < ARRAY_COUNT(texts); i++) {
        snprintf(def_texts[def_count][i], GENERATED_TEXT_MAX, "%s", texts[i]);
        def->text[columns[i]] =
            (struct slice){def_texts[def_count][i], strlen(def_texts[def_count][i])};
    }
    def->text[TEXT_EVENT_NAME] = (struct slice){event->event_name, strlen(event->event_name)};
    def->text[TEXT_PROVIDER] = (struct slice){event->provider, strlen(event->provider)};
    def_count++;
}

/* Dense value ids, as the engine has them. */
static u32 series_of(const struct generated_event *event) {
    u32 customer = (u32)strtoul(strpbrk(event->customer, "0123456789"), NULL, 10);
    u32 feature = (customer * 7 + (u32)event->input_tokens % 4) % 40;
    u32 model = (customer + feature % CUSTOMER_MODELS) % 20;
    u64 key = ((u64)customer * 64 + feature) * 32 + model + 1;
    u64 slot = key * 0x9e3779b97f4a7c15u >> 44;
    for (; slots[slot] != 0; slot = (slot + 1) % SERIES_SLOTS) {
        const u32 *dim = dims[slots[slot] - 1];
        if (dim[DIM_CUSTOMER] == customer && dim[DIM_FEATURE] == feature &&
            dim[DIM_MODEL] == model) {
            return slots[slot] - 1;
        }
    }
    u32 *dim = dims[series_count];
    memset(dim, 0, sizeof dims[0]);
    dim[DIM_CUSTOMER] = customer;
    dim[DIM_FEATURE] = feature;
    dim[DIM_MODEL] = model;
    dim[DIM_PROVIDER] = model / 5;
    dim[DIM_COST_TYPE] = DIM_NONE;
    dim[DIM_ACCOUNT] = 1;
    define(series_count, event);
    slots[slot] = ++series_count;
    return series_count - 1;
}

static const u32 *series_dims(void *context, u32 series) {
    (void)context;
    return dims[series];
}

/* Fills the batch with `count` events from `index` on, as the path hands them over. */
static void fill(u64 index, u32 count) {
    struct generated_event event;
    batch->text_bytes = 0;
    batch->account = 1;
    def_count = 0;
    for (u32 i = 0; i < count; i++) {
        generator_event(&generator, index + i, &event);
        generated_put(batch, i, &event, index + i, series_of(&event));
    }
}

/* A commit of `size` events, several of which may be one batch. */
static u64 append(struct store *store, u32 size) {
    static u32 rows[EVENT_BATCH_MAX];
    static struct series_def all[EVENT_BATCH_MAX];
    struct store_part part = {batch, rows, size};
    for (u32 i = 0; i < size; i++) {
        rows[i] = i;
    }
    fill(store_next_id(store), size);
    memcpy(all, defs, def_count * sizeof *all);
    struct store_group group = {&part, 1, size, all, def_count};
    u64 from_ns = cpu_ns();
    enum err err = store_append(store, &group);
    if (err != ERR_OK) {
        fail("append", err);
    }
    return cpu_ns() - from_ns;
}

static double scan_ns(struct store *store) {
    u64 best = UINT64_MAX;
    u64 count = 0;
    for (u32 round = 0; round < 5; round++) {
        struct store_scan_options options = {.filter = store_filter_all, .columns = UINT32_MAX};
        struct store_scan *scan;
        const struct event_batch *found;
        u64 from_ns = cpu_ns();
        count = 0;
        if (store_scan_open(store, &options, &scan) != ERR_OK) {
            fail("scan", ERR_NO_MEMORY);
        }
        do {
            enum err err = store_scan_next(scan, &found, NULL, NULL, NULL);
            if (err != ERR_OK) {
                fail("scan", err);
            }
            count += found->count;
        } while (found->count > 0);
        store_scan_close(scan);
        best = MIN(best, cpu_ns() - from_ns);
    }
    return (double)best / (double)count;
}

static u64 append_many(struct store *store, u32 low, u32 high, u64 until, u64 *state) {
    u64 ns = 0;
    while (store_next_id(store) <= until) {
        *state = *state * 6364136223846793005u + 1442695040888963407u;
        ns += append(store, low + (u32)(*state >> 33) % (high - low + 1));
    }
    return ns;
}

static u64 merge_all(struct store *store) {
    u64 from_ns = cpu_ns();
    enum err err = ERR_OK;
    for (bool did = true; did && err == ERR_OK;) {
        err = store_merge(store, &did);
    }
    if (err != ERR_OK) {
        fail("merge", err);
    }
    return cpu_ns() - from_ns;
}

/* The newest 50 of a customer and a model, which the index finds. */
static double newest_ns(struct store *store) {
    u64 best = UINT64_MAX;
    u32 queries = 100;
    for (u32 round = 0; round < 3; round++) {
        u64 from_ns = cpu_ns();
        for (u32 i = 0; i < queries; i++) {
            struct store_scan_options options = {
                .filter = store_filter_all, .columns = UINT32_MAX, .newest_first = true};
            struct store_scan *scan;
            const struct event_batch *found;
            u32 count = 0;
            options.filter.dim_mask = 1u << DIM_CUSTOMER | 1u << DIM_MODEL;
            memcpy(options.filter.dim_value, dims[i * 7919u % series_count], sizeof dims[0]);
            if (store_scan_open(store, &options, &scan) != ERR_OK) {
                fail("scan", ERR_NO_MEMORY);
            }
            do {
                enum err err = store_scan_next(scan, &found, NULL, NULL, NULL);
                if (err != ERR_OK) {
                    fail("scan", err);
                }
                count += found->count;
            } while (found->count > 0 && count < 50);
            store_scan_close(scan);
        }
        best = MIN(best, cpu_ns() - from_ns);
    }
    return (double)best / queries;
}

/* A log of commits of `low` to `high` events. */
static void bench(const char *commits, u32 low, u32 high, u32 events) {
    char dir[] = "/tmp/bench_merge.XXXXXX";
    char why[256];
    char command[64];
    struct store *store;
    struct store_stats stats;
    if (mkdtemp(dir) == NULL) {
        fail("mkdtemp", ERR_SYSTEM);
    }
    struct store_options options = {.dir = dir, .series_dims = series_dims, .skip_sync = true};
    if (store_open(&options, &store, why, sizeof why) != ERR_OK) {
        fail(why, ERR_SYSTEM);
    }
    memset(slots, 0, sizeof slots);
    series_count = 0;
    u64 state = 1;
    append_many(store, low, high, WARM_EVENTS, &state);
    merge_all(store);
    u64 append_ns = append_many(store, low, high, WARM_EVENTS + events, &state);
    store_get_stats(store, &stats);
    double rows = (double)stats.events;
    print("append", commits, (double)append_ns / (double)events, "ns/event");
    print("disk_before", commits, (double)stats.log_bytes / rows, "bytes/event");
    u64 merge_ns = merge_all(store);
    store_get_stats(store, &stats);
    print("cpu", commits, (double)merge_ns / (double)events, "ns/event");
    print("disk", commits, (double)stats.log_bytes / rows, "bytes/event");
    print("payload", commits, (double)stats.payload_bytes / rows, "bytes/event");
    print("scan", commits, scan_ns(store), "ns/event");
    print("newest_50", commits, newest_ns(store) / 1e3, "us");
    store_close(store);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    if (system(command) != 0) {
        fail("rm", ERR_SYSTEM);
    }
}

int main(int argc, char **argv) {
    static const struct {
        const char *commits;
        u32 low;
        u32 high;
        u32 events;
    } cases[] = {
        {"4096", 4096, 4096, EVENTS},     {"3000_to_4000", 3000, 4000, EVENTS},
        {"1000", 1000, 1000, EVENTS},     {"100_to_1000", 100, 1000, EVENTS},
        {"1_to_256", 1, 256, EVENTS / 4},
    };
    generator = generator_default(1, 1780000000000);
    batch = calloc(1, sizeof *batch);
    if (batch == NULL || (batch->text = calloc(EVENT_BATCH_MAX, 64)) == NULL) {
        fail("setup", ERR_NO_MEMORY);
    }
    for (u32 i = 0; i < ARRAY_COUNT(cases); i++) {
        if (argc < 2 || strcmp(argv[1], cases[i].commits) == 0) {
            bench(cases[i].commits, cases[i].low, cases[i].high, cases[i].events);
        }
    }
    return 0;
}
