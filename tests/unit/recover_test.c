/* recover_test.c: what a start makes of data directories that something else has changed. */
#include "tests/support/engine.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct engine engine;

static void setup(void) {
    engine_init(&engine);
}

static void teardown(void) {
    engine_remove(&engine);
}

TestSuite(recover, .init = setup, .fini = teardown, .timeout = 60);

/* Sends events prefix0, prefix1... of ten customers, each with this cost; gives the accepted. */
static u32 send_range(const char *prefix, u32 count, u32 cost) {
    static char body[256 * KIB];
    struct ingest result;
    struct decode_error error = {0};
    usize used = (usize)snprintf(body, sizeof body, "{\"events\":[");
    for (u32 i = 0; i < count; i++) {
        used += (usize)snprintf(
            body + used, sizeof body - used,
            "%s{\"eventName\":\"call\",\"customerReferenceId\":\"%s-%u\",\"featureKey\":\"f\","
            "\"idempotencyKey\":\"%s%u\",\"costAmount\":%u}",
            i > 0 ? "," : "", prefix, i % 10, prefix, i, cost);
    }
    snprintf(body + used, sizeof body - used, "]}");
    cr_assert_eq(engine_ingest(&engine, 1, body, &result, &error), ERR_OK);
    cr_assert_eq(result.err, ERR_OK);
    u32 accepted = result.accepted;
    ingest_free(&result);
    return accepted;
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
