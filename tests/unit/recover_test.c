/* recover_test.c: what a start makes of data directories that something else has changed. */
#include "tests/support/engine.h"

#include "base/clock.h"
#include "base/hash.h"
#include "storage/block.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct engine engine;
static u32 conflicts; /* of the last request */

static void setup(void) {
    engine_init(&engine);
}

static void teardown(void) {
    engine_remove(&engine);
}

TestSuite(recover, .init = setup, .fini = teardown, .timeout = 60);

/* Sends events prefix0, prefix1... of ten customers, each with this cost; gives the accepted. */
static u32 send_range_of(const char *prefix, u32 count, u32 cost, const char *rest) {
    static char body[256 * KIB];
    struct ingest result;
    struct decode_error error = {0};
    usize used = (usize)snprintf(body, sizeof body, "{\"events\":[");
    for (u32 i = 0; i < count; i++) {
        used += (usize)snprintf(
            body + used, sizeof body - used,
            "%s{\"eventName\":\"call\",\"customerReferenceId\":\"%s-%u\",\"featureKey\":\"f\","
            "\"idempotencyKey\":\"%s%u\",\"costAmount\":%u%s}",
            i > 0 ? "," : "", prefix, i % 10, prefix, i, cost, rest);
    }
    snprintf(body + used, sizeof body - used, "]}");
    cr_assert_eq(engine_ingest(&engine, 1, body, &result, &error), ERR_OK);
    cr_assert_eq(result.err, ERR_OK);
    u32 accepted = result.accepted;
    conflicts = result.conflicts;
    ingest_free(&result);
    return accepted;
}

static u32 send_range(const char *prefix, u32 count, u32 cost) {
    return send_range_of(prefix, count, cost, "");
}

static void check_totals(u64 events, i64 cost) {
    struct figures total = engine_totals(&engine, 1);
    cr_assert_eq(total.events, events, "%llu events", (unsigned long long)total.events);
    cr_assert(total.cost == (i128)cost * PICO_PER_USD);
}

/* Runs a command in the data directory. */
static void run(const char *command) {
    char all[512];
    snprintf(all, sizeof all, "cd %s && %s", engine.dir, command);
    cr_assert(system(all) == 0);
}

/* As after a crash: no last snapshot. */
static void start_without_last_snapshot(void) {
    run("rm -rf kept && cp -r snapshots kept");
    engine_stop(&engine);
    run("rm -rf snapshots && mv kept snapshots");
    engine_start(&engine);
}

Test(recover, a_restored_log_brings_its_own_figures) {
    engine_start(&engine);
    cr_assert_eq(send_range("a", 100, 1), 100u);
    engine_stop(&engine);
    run("cp -r log backup");
    engine_start(&engine);
    cr_assert_eq(send_range("b", 100, 1), 100u);
    engine_stop(&engine);
    run("rm -r log && mv backup log");
    engine_start(&engine);
    check_totals(100, 100);
    cr_assert_eq(send_range("x", 150, 5), 150u);
    start_without_last_snapshot();
    check_totals(250, 850);
    cr_assert_eq(send_range("x", 150, 5), 0u);
    cr_assert_eq(send_range("b", 100, 1), 100u);
    check_totals(350, 950);
}

/* A snapshot that cannot even be read is passed over, whatever the reason. */
Test(recover, an_unreadable_snapshot_costs_time_only) {
    engine_start(&engine);
    cr_assert_eq(send_range("a", 100, 1), 100u);
    engine_stop(&engine);
    run("cd snapshots && rm *101.snap && mkdir 00000000000000000101.snap && "
        "ln -s loop.snap 00000000000000000100.snap && ln -s 00000000000000000100.snap loop.snap");
    engine_start(&engine);
    cr_assert_eq(engine.recovered.snapshot_id, 1u);
    check_totals(100, 100);
}

enum part { HEADER, KEYS, COSTS, DEFINITIONS, COPY };

static usize offset_of(const char *block, const struct block_header *header, enum part part) {
    struct block_view view;
    const char *what;
    if (part == HEADER) {
        return 20;
    }
    if (part == DEFINITIONS || part == COPY) {
        return header->def_offset + 5;
    }
    cr_assert_eq(block_view_open(&view, block, header->block_bytes, &what), ERR_OK, "%s", what);
    struct slice section =
        block_section_of(&view, 0,
                         part == KEYS ? (enum block_column)(COL_TEXT + TEXT_KEY - SERIES_TEXTS)
                                      : (enum block_column)(COL_NUMBER + NUM_COST));
    cr_assert_gt(section.bytes, 0);
    return (usize)(section.data - block);
}

/* Turns a bit in that part of the block with this first id, wherever the log's file has it: LMDB
 * leaves older pages behind. */
static void damage(u64 first_id, enum part part) {
    static char data[4 * MIB];
    char path[128];
    u32 found = 0;
    snprintf(path, sizeof path, "%s/log/data.mdb", engine.dir);
    FILE *file = fopen(path, "r+b");
    cr_assert(file != NULL);
    usize bytes = fread(data, 1, sizeof data, file);
    for (usize at = 0; at + sizeof(struct block_header) < bytes; at += 2) {
        struct block_header header;
        memcpy(&header, data + at, sizeof header);
        if (header.magic != BLOCK_MAGIC || header.first_id != first_id ||
            at + header.block_bytes > bytes) {
            continue;
        }
        /* A block is followed by its frames, a copy by the definitions. */
        const char *defs = data + at + header.def_offset;
        bool is_block = hash64(defs, header.def_bytes, 0) == header.def_hash;
        if (is_block != (part == COPY)) {
            data[at + (is_block ? offset_of(data + at, &header, part) : sizeof header + 5)] ^= 4;
            found++;
        }
    }
    cr_assert(found > 0 && fseek(file, 0, SEEK_SET) == 0);
    cr_assert(fwrite(data, 1, bytes, file) == bytes && fclose(file) == 0);
}

/* Three commits of ten customers each, then damage in the middle one. */
static void start_damaged(const enum part *parts, u32 count) {
    engine_start(&engine);
    cr_assert_eq(send_range("a", 100, 1), 100u);
    cr_assert_eq(send_range("b", 100, 1), 100u);
    cr_assert_eq(send_range("c", 100, 1), 100u);
    engine_stop(&engine);
    run("rm -r snapshots");
    for (u32 i = 0; i < count; i++) {
        damage(101, parts[i]);
    }
}

static void check_recovers(const enum part *parts, u32 count, u64 events, u64 damages) {
    start_damaged(parts, count);
    engine_start(&engine);
    cr_assert_eq(engine.recovered.damaged_blocks, damages);
    cr_assert_eq(agg_series_count(engine.recovered.agg), 30u);
    check_totals(events, (i64)events);
    cr_assert_eq(send_range("c", 100, 1), 0u); /* known, as what follows the damage is */
    cr_assert_eq(send_range("b", 100, 1), 300u - events);
    check_totals(300, 300);
    cr_assert_eq(send_range("d", 100, 1), 100u);
}

Test(recover, damaged_definitions_are_taken_from_their_copy) {
    check_recovers((const enum part[]){DEFINITIONS}, 1, 300, 0);
}

Test(recover, a_damaged_block_loses_its_events_only) {
    check_recovers((const enum part[]){HEADER}, 1, 200, 1);
}

/* What the figures do not need, and what the keys do not. */
Test(recover, events_whose_keys_are_damaged_are_not_in_the_figures) {
    check_recovers((const enum part[]){KEYS}, 1, 200, 1);
}

Test(recover, keys_of_events_whose_figures_are_damaged_are_free) {
    check_recovers((const enum part[]){COSTS}, 1, 200, 1);
}

Test(recover, a_damaged_copy_costs_nothing) {
    check_recovers((const enum part[]){COPY}, 1, 300, 0);
}

Test(recover, names_the_damage_where_both_copies_are_lost) {
    char why[256] = "x";
    struct recovered recovered;
    start_damaged((const enum part[]){COPY, DEFINITIONS}, 2);
    const struct store_options store_options = {.dir = engine.dir, .log_map_bytes = GIB};
    cr_assert_eq(store_open(&store_options, &engine.store, why, sizeof why), ERR_OK);
    cr_assert_str_eq(why, "");
    const struct recover_options options = {.store = engine.store,
                                            .now_ms = clock_wall_ms(),
                                            .stop = &engine.stop,
                                            .agg_place = &engine.agg};
    cr_assert_eq(recover_run(&options, &recovered), ERR_CORRUPT);
    store_close(engine.store);
    run("rm -r log");
    engine_start(&engine);
}

/* A block that a broken program wrote: every checksum holds, the rows cannot be. */
static void append_row(u32 series, i64 time, u32 trace_bytes, bool define) {
    static struct event_batch batch;
    static char text[1024];
    u32 row = 0;
    batch.count = 1;
    batch.account = 1;
    batch.text = text;
    batch.text_bytes = trace_bytes;
    batch.present[0] = NUM_BIT(NUM_TIME) | TEXT_BIT(TEXT_TRACE);
    batch.number[NUM_TIME][0] = time;
    batch.series[0] = series;
    batch.ref[TEXT_TRACE][0] = (struct text_ref){0, trace_bytes};
    const struct series_def def = {.series = series, .account = 1};
    const struct store_part part = {&batch, &row, 1};
    const struct store_group group = {&part, 1, 1, &def, define ? 1 : 0};
    cr_assert_eq(store_append(engine.store, &group), ERR_OK);
}

Test(recover, impossible_rows_are_damage) {
    i64 now = clock_wall_ms();
    engine_start(&engine);
    append_row(0, now, EVENT_TRACE_MAX, true);
    append_row(0, now, EVENT_TRACE_MAX + 1, false);
    append_row(0, -1, 5, false);
    append_row(0, (i64)1 << 46, 5, false);
    append_row(7, now, 5, false);
    append_row(0, now, 5, false);
    engine_stop(&engine);
    run("rm -rf snapshots");
    engine_start(&engine);
    check_totals(2, 0);
    cr_assert_eq(engine.recovered.damaged_blocks, 3u);
}

/* --- keys on disk ----------------------------------------------------------------------------- */

#define KEYS_SENT 3000
#define KEYS_A_CALL 500

static void send_keys(u32 expected) {
    for (u32 i = 0; i < KEYS_SENT / KEYS_A_CALL; i++) {
        char prefix[16];
        snprintf(prefix, sizeof prefix, "k%u-", i);
        cr_assert_eq(send_range(prefix, KEYS_A_CALL, 1), expected);
    }
}

static struct dedup_stats keys_now(void) {
    struct pipeline_stats stats;
    pipeline_get_stats(engine.pipeline, &stats);
    return stats.keys;
}

static void wait_for_spill(void) {
    for (u32 i = 0; i < 600 && keys_now().cold_keys == 0; i++) {
        usleep(50000);
    }
    cr_assert_gt(keys_now().spills, 0);
}

static void start_with_keys(void) {
    engine.key_memory = 1000 * 64;
    engine_start(&engine);
    send_keys(KEYS_A_CALL);
    wait_for_spill();
    send_keys(0);
    cr_expect_gt(keys_now().reads, 0);
    engine_stop(&engine);
}

/* Starts again: all keys are known, whatever the start had to do for it. */
static void check_keys(bool remade, u64 replayed_most) {
    engine_start(&engine);
    cr_expect_eq(engine.recovered.keys_lost, remade);
    cr_expect_leq(engine.recovered.events, replayed_most);
    cr_expect_eq(dedup_count(engine.recovered.dedup), KEYS_SENT);
    check_totals(KEYS_SENT, KEYS_SENT);
    send_keys(0);
    check_totals(KEYS_SENT, KEYS_SENT);
}

Test(recover, keys_on_disk_are_known_after_a_start) {
    start_with_keys();
    check_keys(false, 0);
    cr_expect_gt(keys_now().cold_keys, KEYS_SENT / 2, "they came back as they were");
    cr_expect_eq(keys_now().spills, 0);
}

/* Each way to lose them costs a look through the log's keys, and the figures not even that. */
Test(recover, lost_keys_are_read_from_the_log) {
    static const char *const commands[] = {
        "rm -r keys", "for f in keys/*.run; do truncate -s 100 $f; done",
        "for f in keys/*.run; do printf x | dd of=$f bs=1 seek=30 conv=notrunc 2>/dev/null; done",
        ("for f in keys/*.run; do printf xxxx | dd of=$f bs=1 conv=notrunc 2>/dev/null "
         "seek=$(($(stat -c %s $f) - 5)); done"),
        "for f in keys/*.run; do printf '' > $f; done"};
    start_with_keys();
    for (u32 i = 0; i < ARRAY_COUNT(commands); i++) {
        run(commands[i]);
        check_keys(true, 0);
        wait_for_spill();
        engine_stop(&engine);
    }
    check_keys(false, 0);
}

static u64 dropped_now(void) {
    struct store_stats stats;
    store_get_stats(engine.store, &stats);
    return stats.dropped;
}

/* Else their memory would never be free again. */
Test(recover, keys_on_disk_go_when_most_of_their_events_are_gone) {
    engine.key_memory = 1000 * 64;
    engine_start(&engine);
    for (u32 i = 0; i < KEYS_SENT / KEYS_A_CALL; i++) {
        char prefix[16];
        snprintf(prefix, sizeof prefix, "k%u-", i);
        send_range_of(prefix, KEYS_A_CALL, 1, ",\"timestamp\":\"2026-01-02T03:04:05Z\"");
    }
    wait_for_spill();
    engine_stop(&engine);
    engine.retention_days = 30;
    engine.memory_max = 1; /* a look at all events has no room */
    engine_start(&engine);
    for (u32 i = 0; i < 1200 && dropped_now() < KEYS_SENT; i++) {
        usleep(50000);
    }
    usleep(1000000);
    cr_assert_eq(dropped_now(), KEYS_SENT);
    cr_expect_gt(keys_now().cold_keys, KEYS_SENT / 2);
    engine_stop(&engine);
    run("cp -r snapshots snapshots.old && cp -r keys keys.old");
    engine.memory_max = 0;
    engine_start(&engine);
    cr_assert_eq(send_range("new", 10, 1), 10);
    u64 most = 10 + KEYS_SENT / 10; /* some of those that go look like one that stays */
    for (u32 i = 0; i < 1200 && (dropped_now() < KEYS_SENT || keys_now().keys > most); i++) {
        usleep(50000);
    }
    cr_assert_eq(dropped_now(), KEYS_SENT);
    cr_expect_leq(keys_now().keys, most);
    cr_expect_eq(send_range("new", 10, 1), 0);
    u32 again = send_range("k0-", KEYS_A_CALL, 1);
    cr_expect_gt(again, KEYS_A_CALL / 2, "they are free again");
    u64 events = engine_totals(&engine, 1).events;
    engine_stop(&engine);
    engine_start(&engine);
    cr_expect_not(engine.recovered.keys_lost);
    cr_expect_leq(keys_now().keys, most + KEYS_A_CALL);
    cr_expect_eq(send_range("new", 10, 1), 0);
    check_totals(events, (i64)events);
    /* As if it had died before the snapshot that names what was sifted. What the files say of keys
     * that are other events' by now does not hold. */
    engine_stop(&engine);
    run("rm -r snapshots keys && mv snapshots.old snapshots && mv keys.old keys");
    engine_start(&engine);
    cr_expect_eq(send_range("k0-", KEYS_A_CALL, 1), KEYS_A_CALL - again);
    cr_expect_eq(conflicts, 0, "%u conflicts", conflicts);
    cr_expect_eq(send_range("new", 10, 1), 0);
    cr_expect_eq(send_range("new", 10, 2), 0);
    cr_expect_eq(conflicts, 10);
    check_totals(events + KEYS_A_CALL - again, (i64)(events + KEYS_A_CALL - again));
}

/* Keys of another log, or of a snapshot that is no more, are nobody's. */
Test(recover, runs_that_no_snapshot_names_go) {
    start_with_keys();
    run("rm -r snapshots && cp keys/$(ls keys | head -1) keys/00123456789012345678.run");
    check_keys(false, KEYS_SENT);
    char path[128];
    snprintf(path, sizeof path, "%s/keys/00123456789012345678.run", engine.dir);
    cr_expect(access(path, F_OK) != 0);
}

/* What a process that stops has under way ends with it: it is not given back. */
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/lsan_interface.h>
#define MAY_LEAK(yes) ((yes) ? __lsan_disable() : __lsan_enable())
#else
#define MAY_LEAK(yes) ((void)(yes))
#endif

/* A damaged page is found by the first that needs it: the process stops rather than guess. */
Test(recover, a_damaged_page_stops_the_process_and_the_next_start_mends_it) {
    start_with_keys();
    run("for f in keys/*.run; do n=$(od -An -tu8 -j16 -N8 $f); " /* records */
        "for p in $(seq 1 $(((n + 254) / 255))); do "
        "printf damage | dd of=$f bs=1 seek=$((p * 4096 + 2000)) conv=notrunc 2>/dev/null; "
        "done; done");
    MAY_LEAK(true);
    engine_start(&engine);
    cr_expect_not(engine.recovered.keys_lost);
    struct ingest result;
    struct decode_error error;
    enum err err = engine_ingest(
        &engine, 1,
        "{\"events\":[{\"eventName\":\"call\",\"customerReferenceId\":\"a\",\"featureKey\":\"f\","
        "\"idempotencyKey\":\"k0-0\",\"costAmount\":1}]}",
        &result, &error);
    cr_expect_eq(err, ERR_IO);
    cr_expect(atomic_load(&engine.fatal));
    engine_stop(&engine);
    MAY_LEAK(false);
    atomic_store(&engine.fatal, false);
    check_keys(true, 0);
}
