/*
 * storage.c: what storage costs: coding a commit group, a durable append, bytes on disk an event,
 * merging, and reading back whole and picky, on the generator's events.
 */
#include "base/clock.h"
#include "storage/block.h"
#include "store.h"
#include "tests/support/generated.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK EVENT_BATCH_MAX
#define TEXT_EACH 64
#define SERIES_SLOTS (1u << 22)

static struct generator generator;
static struct event_batch *batch;
static struct event_batch *decoded;
static u32 rows[CHUNK];
static u32 *slots;              /* hash of a series' parts to id + 1 */
static u32 (*dims)[STORE_DIMS]; /* by series */
static u32 series_count;

static void fail(const char *what, enum err err) {
    fprintf(stderr, "bench-storage: %s: %s\n", what, err_text(err));
    _exit(1);
}

static void print(const char *name, double value, const char *unit) {
    printf("bench name=%s value=%.2f unit=%s\n", name, value, unit);
}

static u32 number_of(const char *text) {
    u32 value = 0;
    for (; *text != '\0'; text++) {
        value = value * 31 + (u32)(u8)*text;
    }
    return value;
}

static u32 series_of(const struct generated_event *event) {
    u32 parts[4] = {number_of(event->customer), number_of(event->feature), number_of(event->model),
                    number_of(event->event_name)};
    u64 hash = 0;
    for (u32 i = 0; i < 4; i++) {
        hash = (hash ^ parts[i]) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 29;
    }
    for (u32 slot = (u32)hash % SERIES_SLOTS;; slot = (slot + 1) % SERIES_SLOTS) {
        if (slots[slot] == 0) {
            u32 *dim = dims[series_count];
            memset(dim, 0, sizeof *dims);
            dim[DIM_CUSTOMER] = parts[0];
            dim[DIM_FEATURE] = parts[1];
            dim[DIM_MODEL] = parts[2];
            dim[DIM_EVENT_NAME] = parts[3];
            dim[DIM_PROVIDER] = number_of(event->provider);
            slots[slot] = ++series_count;
        }
        const u32 *dim = dims[slots[slot] - 1];
        if (dim[DIM_CUSTOMER] == parts[0] && dim[DIM_FEATURE] == parts[1] &&
            dim[DIM_MODEL] == parts[2] && dim[DIM_EVENT_NAME] == parts[3]) {
            return slots[slot] - 1;
        }
    }
}

static const u32 *series_dims(void *context, u32 series) {
    (void)context;
    return dims[series];
}

/* Fills the batch with CHUNK events from `index` on, as the path hands them over. */
static void fill(u64 index) {
    struct generated_event event;
    batch->text_bytes = 0;
    batch->account = 1;
    for (u32 i = 0; i < CHUNK; i++) {
        generator_event(&generator, index + i, &event);
        generated_put(batch, i, &event, index + i, series_of(&event));
    }
}

static void bench_coding(void) {
    struct block_builder *builder;
    struct block_reader *reader;
    struct text_sink sink = {0};
    static u32 accounts[CHUNK];
    if (block_builder_create(TEXT_FAST, &builder) != ERR_OK ||
        block_reader_create(&reader) != ERR_OK) {
        fail("builder", ERR_NO_MEMORY);
    }
    fill(0);
    u64 best_write = UINT64_MAX;
    u64 best_read = UINT64_MAX;
    u64 best_keys = UINT64_MAX;
    struct slice block;
    struct block_header header;
    for (u32 round = 0; round < 60; round++) {
        u64 from = clock_monotonic_ns();
        block_begin(builder, BLOCK_GROUP, 1);
        enum err err = block_add(builder, batch, rows, CHUNK);
        if (err != ERR_OK || block_finish(builder, 0, 0, &block, &header) != ERR_OK) {
            fail("coding", err);
        }
        best_write = MIN(best_write, clock_monotonic_ns() - from);
        struct block_view view;
        const char *what;
        from = clock_monotonic_ns();
        err = block_view_open(&view, block.data, block.bytes, &what);
        u64 keys_ns = 0;
        sink.bytes = 0;
        for (u32 frame = 0; frame < view.header.frame_count && err == ERR_OK; frame++) {
            u32 numbers = READ_FIRST | READ_REST;
            for (u32 number = 0; number < NUM_COUNT; number++) {
                numbers |= NUM_BIT(number);
            }
            err = block_read_frame(reader, &view, frame, numbers, decoded, accounts,
                                   frame * FRAME_ROWS_MAX, &sink, &what);
            u64 keys_from = clock_monotonic_ns();
            if (err == ERR_OK) {
                err = block_read_frame(reader, &view, frame, TEXT_BIT(TEXT_KEY), decoded, accounts,
                                       frame * FRAME_ROWS_MAX, &sink, &what);
            }
            keys_ns += clock_monotonic_ns() - keys_from;
        }
        if (err != ERR_OK) {
            fail("reading", err);
        }
        best_read = MIN(best_read, clock_monotonic_ns() - from - keys_ns);
        best_keys = MIN(best_keys, keys_ns);
    }
    print("storage_encode", (double)best_write / CHUNK, "ns/event");
    print("storage_decode_numbers", (double)best_read / CHUNK, "ns/event");
    print("storage_decode_keys", (double)best_keys / CHUNK, "ns/event");
    print("storage_block", (double)block.bytes / CHUNK, "bytes/event");
    block_builder_destroy(builder);
    block_reader_destroy(reader);
    text_sink_free(&sink);
}

static void bench_append(struct store *store, u64 events, u32 group_rows) {
    u64 append_ns = 0;
    for (u64 done = 0; done < events; done += CHUNK) {
        fill(store_next_id(store));
        for (u32 from = 0; from < CHUNK; from += group_rows) {
            u32 count = MIN(group_rows, CHUNK - from);
            struct store_part part = {batch, rows + from, count};
            struct store_group group = {&part, 1, count, NULL, 0};
            u64 from_ns = clock_monotonic_ns();
            enum err err = store_append(store, &group);
            append_ns += clock_monotonic_ns() - from_ns;
            if (err != ERR_OK) {
                fail("append", err);
            }
        }
    }
    char name[64];
    snprintf(name, sizeof name, "storage_append_%u", group_rows);
    print(name, (double)events * 1e3 / (double)append_ns, "Mevents/s");
}

static _Atomic bool appending;

static void *merge_beside(void *context) {
    bool did = false;
    while (atomic_load(&appending)) {
        if (store_merge(context, &did) != ERR_OK) {
            fail("merge", ERR_IO);
        }
        if (!did) {
            usleep(2000);
        }
    }
    return NULL;
}

static int compare_u64(const void *a, const void *b) {
    u64 left = *(const u64 *)a;
    u64 right = *(const u64 *)b;
    return (left > right) - (left < right);
}

/* What an append waits for, at worst, while another thread merges. */
static void bench_append_beside_merges(struct store *store, u64 events) {
    pthread_t thread;
    u64 count = MAX(events / CHUNK, 1u);
    u64 *times = calloc(count, sizeof *times);
    atomic_store(&appending, true);
    if (times == NULL || pthread_create(&thread, NULL, merge_beside, store) != 0) {
        fail("thread", ERR_SYSTEM);
    }
    u64 total_ns = 0;
    for (u64 i = 0; i < count; i++) {
        struct store_part part = {batch, rows, CHUNK};
        struct store_group group = {&part, 1, CHUNK, NULL, 0};
        fill(store_next_id(store));
        u64 from_ns = clock_monotonic_ns();
        enum err err = store_append(store, &group);
        times[i] = clock_monotonic_ns() - from_ns;
        total_ns += times[i];
        if (err != ERR_OK) {
            fail("append", err);
        }
    }
    atomic_store(&appending, false);
    pthread_join(thread, NULL);
    qsort(times, count, sizeof *times, compare_u64);
    print("storage_append_beside_merges", (double)(count * CHUNK) * 1e3 / (double)total_ns,
          "Mevents/s");
    print("storage_append_beside_merges_p50", (double)times[count / 2] / 1e6, "ms");
    print("storage_append_beside_merges_p99", (double)times[count * 99 / 100] / 1e6, "ms");
    print("storage_append_beside_merges_max", (double)times[count - 1] / 1e6, "ms");
    free(times);
}

static u64 scan(struct store *store, const struct store_scan_options *options, u64 rows_max) {
    struct store_scan *scan;
    const struct event_batch *found;
    u64 count = 0;
    if (store_scan_open(store, options, &scan) != ERR_OK) {
        fail("scan", ERR_NO_MEMORY);
    }
    do {
        enum err err = store_scan_next(scan, &found, NULL, NULL, NULL);
        if (err != ERR_OK) {
            fail("scan", err);
        }
        count += found->count;
    } while (found->count > 0 && count < rows_max);
    store_scan_close(scan);
    return count;
}

static void bench_scans(struct store *store) {
    struct store_scan_options options = {.filter = store_filter_all, .columns = UINT32_MAX};
    u64 from = clock_monotonic_ns();
    u64 count = scan(store, &options, UINT64_MAX);
    print("storage_scan_all", (double)(clock_monotonic_ns() - from) / (double)count, "ns/event");
    options.filter.dim_mask = 1u << DIM_CUSTOMER | 1u << DIM_MODEL;
    options.newest_first = true;
    u64 total_ns = 0;
    u64 found = 0;
    for (u32 i = 0; i < 100; i++) {
        const u32 *dim = dims[(i * 7919u) % series_count];
        memcpy(options.filter.dim_value, dim, sizeof options.filter.dim_value);
        from = clock_monotonic_ns();
        found += MIN(scan(store, &options, 50), (u64)50);
        total_ns += clock_monotonic_ns() - from;
    }
    print("storage_newest_50_of_customer_and_model", (double)total_ns / 100 / 1e3, "us");
    print("storage_newest_50_rows", (double)found / 100, "rows");
}

int main(int argc, char **argv) {
    u64 events = argc > 1 ? strtoull(argv[1], NULL, 10) : 1u << 20;
    char dir[] = "/tmp/bench_storage.XXXXXX";
    char why[256];
    struct store *store;
    generator = generator_default(1, 1780000000000);
    batch = calloc(1, sizeof *batch);
    decoded = calloc(1, sizeof *decoded);
    slots = calloc(SERIES_SLOTS, sizeof *slots);
    dims = calloc(SERIES_SLOTS, sizeof *dims);
    if (batch == NULL || decoded == NULL || slots == NULL || dims == NULL || mkdtemp(dir) == NULL) {
        fail("setup", ERR_NO_MEMORY);
    }
    batch->text = calloc(1, CHUNK * TEXT_EACH);
    for (u32 i = 0; i < CHUNK; i++) {
        rows[i] = i;
    }
    bench_coding();
    struct store_options options = {.dir = dir, .series_dims = series_dims};
    enum err err = store_open(&options, &store, why, sizeof why);
    if (err != ERR_OK) {
        fail(why, err);
    }
    bench_append(store, events / 8, 1024);
    bench_append(store, events - events / 8, CHUNK);
    bench_append_beside_merges(store, events);
    struct store_stats stats;
    store_get_stats(store, &stats);
    u64 merge_from_events = stats.events;
    u64 from = clock_monotonic_ns();
    bench_append(store, SEGMENT_ROWS_MAX, CHUNK);
    for (bool did = true; did && err == ERR_OK;) {
        from = clock_monotonic_ns();
        err = store_merge(store, &did);
        if (did) {
            print("storage_merge_segment", (double)(clock_monotonic_ns() - from) / SEGMENT_ROWS_MAX,
                  "ns/event");
        }
    }
    if (err != ERR_OK) {
        fail("merge", err);
    }
    store_get_stats(store, &stats);
    check(stats.events > merge_from_events);
    print("storage_disk", (double)stats.log_bytes / (double)stats.events, "bytes/event");
    struct stat file;
    char path[64];
    snprintf(path, sizeof path, "%s/log/data.mdb", dir);
    if (stat(path, &file) == 0) {
        print("storage_file", (double)file.st_size / (double)stats.events, "bytes/event");
    }
    print("storage_payload", (double)stats.payload_bytes / (double)stats.events, "bytes/event");
    bench_scans(store);
    store_close(store);
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command) == 0 ? 0 : 1;
}
