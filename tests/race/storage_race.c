/*
 * storage_race: one thread appends, one merges, others scan in both directions, take snapshots and
 * read statistics, all at once. Every scan must see each event once and whole.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store.h"

#define EVENTS 150000
#define GROUP_MAX 700
#define SERIES 64

static struct store *store;
static _Atomic bool done;
static u32 dims[SERIES][STORE_DIMS];

#define expect(cond)                                                                               \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "storage_race line %d: %s\n", __LINE__, #cond);                        \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static const u32 *series_dims(void *context, u32 series) {
    (void)context;
    expect(series < SERIES);
    return dims[series];
}

static u32 series_of(u64 id) {
    return (u32)(id * 2654435761u >> 7) % SERIES;
}

static void *append(void *context) {
    (void)context;
    static struct event_batch batch;
    static char text[GROUP_MAX * 32];
    static u32 rows[GROUP_MAX];
    batch.account = 1;
    batch.text = text;
    u64 id = 1;
    while (id <= EVENTS) {
        u32 count = 1 + (u32)(id * 7919 % GROUP_MAX);
        batch.text_bytes = 0;
        for (u32 i = 0; i < count; i++) {
            rows[i] = i;
            batch.present[i] = TEXT_BIT(TEXT_KEY) | NUM_BIT(NUM_TIME) | NUM_BIT(NUM_COST);
            batch.series[i] = series_of(id + i);
            batch.number[NUM_TIME][i] = (i64)(id + i) * 10;
            batch.number[NUM_COST][i] = (i64)(id + i) * 3;
            int bytes =
                snprintf(text + batch.text_bytes, 32, "k%llu", (unsigned long long)(id + i));
            batch.ref[TEXT_KEY][i] = (struct text_ref){batch.text_bytes, (u32)bytes};
            batch.text_bytes += (u32)bytes;
        }
        struct store_part part = {&batch, rows, count};
        struct store_group group = {&part, 1, count, NULL, 0};
        expect(store_append(store, &group) == ERR_OK);
        id += count;
    }
    atomic_store(&done, true);
    return NULL;
}

static void *merge(void *context) {
    (void)context;
    bool did = true;
    while (did || !atomic_load(&done)) {
        expect(store_merge(store, &did) == ERR_OK);
        store_trim(store);
        if (!did) {
            usleep(1000);
        }
    }
    return NULL;
}

static void scan_once(bool newest_first, bool filtered) {
    struct store_scan *scan;
    struct store_scan_options options = {
        .filter = store_filter_all, .newest_first = newest_first, .columns = UINT32_MAX};
    if (filtered) {
        options.filter.dim_mask = 1u << DIM_CUSTOMER;
        options.filter.dim_value[DIM_CUSTOMER] = 5;
    }
    u64 next_id = store_next_id(store);
    u64 last = newest_first ? UINT64_MAX : 0;
    u64 expected = 0;
    u64 seen = 0;
    for (u64 id = 1; id < next_id; id++) {
        expected += !filtered || dims[series_of(id)][DIM_CUSTOMER] == 5;
    }
    expect(store_scan_open(store, &options, &scan) == ERR_OK);
    for (bool end = false; !end;) {
        const struct event_batch *batch;
        expect(store_scan_next(scan, &batch, NULL, NULL, NULL) == ERR_OK);
        end = batch->count == 0;
        for (u32 i = 0; i < batch->count; i++) {
            u64 id = batch->id[i];
            expect(newest_first ? id < last : id > last);
            last = id;
            seen += id < next_id;
            char key[32];
            usize bytes = (usize)snprintf(key, sizeof key, "k%llu", (unsigned long long)id);
            struct slice text = event_text_of(batch, i, TEXT_KEY);
            expect(text.bytes == bytes && memcmp(text.data, key, bytes) == 0);
            expect(batch->series[i] == series_of(id) && batch->number[NUM_COST][i] == (i64)id * 3);
        }
    }
    expect(seen == expected);
    store_scan_close(scan);
}

static void *scan(void *context) {
    u32 number = *(const u32 *)context;
    do {
        scan_once(number % 2 == 1, number >= 2);
    } while (!atomic_load(&done));
    return NULL;
}

static void *look(void *context) {
    (void)context;
    u64 events = 0;
    while (!atomic_load(&done)) {
        struct store_stats stats;
        struct snapshot_writer *writer;
        store_get_stats(store, &stats);
        expect(stats.events >= events && stats.damaged_blocks == 0);
        events = stats.events;
        expect(snapshot_begin(store, events + 1, 0, &writer) == ERR_OK);
        expect(snapshot_write(writer, 1, &stats, sizeof stats) == ERR_OK);
        expect(snapshot_finish(writer) == ERR_OK);
        usleep(20000);
    }
    return NULL;
}

int main(void) {
    char dir[] = "/tmp/storage_race.XXXXXX";
    char why[256];
    pthread_t threads[7];
    static const u32 numbers[] = {0, 1, 2, 3};
    for (u32 series = 0; series < SERIES; series++) {
        for (u32 dim = 0; dim < STORE_DIMS; dim++) {
            dims[series][dim] = series % (dim == DIM_CUSTOMER ? SERIES : 4);
        }
    }
    expect(mkdtemp(dir) != NULL);
    struct store_options options = {
        .dir = dir, .log_map_bytes = 1 * GIB, .skip_sync = true, .series_dims = series_dims};
    expect(store_open(&options, &store, why, sizeof why) == ERR_OK);
    expect(pthread_create(&threads[0], NULL, append, NULL) == 0);
    expect(pthread_create(&threads[1], NULL, merge, NULL) == 0);
    expect(pthread_create(&threads[2], NULL, look, NULL) == 0);
    for (u32 i = 0; i < 4; i++) {
        expect(pthread_create(&threads[3 + i], NULL, scan, (void *)(uintptr_t)&numbers[i]) == 0);
    }
    for (u32 i = 0; i < 7; i++) {
        expect(pthread_join(threads[i], NULL) == 0);
    }
    for (u32 i = 0; i < 4; i++) {
        scan_once(i % 2 == 1, i >= 2);
    }
    struct store_stats stats;
    store_get_stats(store, &stats);
    expect(stats.segments > 0);
    store_close(store);
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command) == 0 ? 0 : 1;
}
