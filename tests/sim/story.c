/*
 * story.c: what happens in one run. The server is set up; clients begin; then come rounds, each
 * with faults of its own and an end: power lost or the process killed, at a call to the disk or at
 * any time, a failed write, or an orderly stop. After each the server starts again (perhaps to be
 * stopped again while it recovers), and what it holds is compared with the truth. At the end,
 * without faults, every client sends what is in doubt until it is answered; then nothing may be in
 * doubt.
 */
#include "margin.h"
#include "store.h"
#include "tests/sim/sim.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define KEYS_HEADER_BYTES 56
#define CHECK_TRIES 200
#define READY_NS (300 * SIM_S)
#define DONE_NS (3600 * SIM_S)

static SIM_STATE struct {
    u64 errors_before; /* of the disk, when the machine started */
    bool full_before;
    struct disk_faults disk;
} story;

static void set_disk(struct disk_faults faults) {
    story.disk = faults;
    disk_set_faults(&faults);
}

static void set_quiet(void) {
    set_disk((struct disk_faults){.sync_ns_max = 500 * SIM_US});
    net_set_faults(&(struct net_faults){
        .delay_ns_max = 100 * SIM_US, .capacity_min = 65536, .capacity_max = 262144});
}

static void set_faults(void) {
    static const u32 rare[] = {0, 0, 0, 200, 60};
    struct disk_faults faults = {.sync_ns_max =
                                     between(2 * SIM_US, chance(20) ? 50 * SIM_MS : 2 * SIM_MS)};
    faults.sync_fails = rare[roll(ARRAY_COUNT(rare))] * 3;
    faults.write_fails = rare[roll(ARRAY_COUNT(rare))] * 20;
    faults.snapshot_fails = chance(30) ? 1 + roll(30) : 0;
    faults.snapshot_ns_max = truth_ages() && chance(60) ? 2 * SIM_S : 0;
    set_disk(faults);
    struct net_faults net = {.reset_permille = chance(50) ? roll(10) : 0,
                             .split_percent = chance(60) ? roll(60) : 0,
                             .delay_ns_max = between(SIM_US, chance(20) ? 500 * SIM_MS : SIM_MS),
                             .capacity_min = chance(30) ? 256 : 8192,
                             .capacity_max = chance(50) ? 16384 : 262144};
    net_set_faults(&net);
}

/* --- the server ------------------------------------------------------------------------------- */

static bool machine_is_down(void *context) {
    (void)context;
    return machine_state() != MACHINE_RUNS || machine_crash_is_due();
}

static bool faults_explain_stop(void) {
    return disk_errors() > story.errors_before || story.full_before;
}

/* The machine has stopped, or will now. */
static void end_machine(bool power) {
    if (machine_state() == MACHINE_STOPPED) {
        promise(machine_exit_code() == 0 || faults_explain_stop(),
                "the server gave up (%d) without a reason", machine_exit_code());
        promise(fiber_count_server() == 0, "the server left threads behind");
        sim_say("story: the server has ended (%d)", machine_exit_code());
    }
    machine_crash(power);
}

static void start_machine(void) {
    story.errors_before = disk_errors();
    story.full_before = story.disk.full;
    machine_start();
}

/* Up, recovered and answering; NULL: it stopped before. */
static struct margin_client *wait_until_ready(void) {
    u64 until = clock_now_ns() + READY_NS;
    while (!machine_is_down(NULL)) {
        struct margin_client *client = client_connect(0, 5000);
        if (client != NULL && margin_ping(client) == MARGIN_OK) {
            const struct margin_cell cell = {.dimension = WIRE_DIM_NONE};
            struct margin_point point;
            if (margin_get_point(client, &cell, &point) == MARGIN_OK) {
                return client;
            }
        }
        margin_close(client);
        promise(clock_now_ns() < until, "the server does not get ready");
        fiber_sleep(5 * SIM_MS);
    }
    return NULL;
}

/* Starts until it is up; with `trouble`, it may be stopped before. */
static void bring_up(bool trouble) {
    for (u32 tries = 0;; tries++) {
        if (trouble && tries < 3 && chance(40)) {
            machine_crash_after_calls(1 + roll(chance(50) ? 20 : 200));
        } else {
            set_quiet();
            machine_crash_after_calls(0);
        }
        start_machine();
        struct margin_client *client = wait_until_ready();
        margin_close(client);
        machine_crash_after_calls(0);
        if (client != NULL && !machine_is_down(NULL)) {
            return;
        }
        end_machine(chance(50));
    }
}

static bool clients_idle(void *context) {
    (void)context;
    return clients_are_idle() || machine_is_down(NULL);
}

static bool check_account(u32 account, bool all_answered, u32 tries) {
    char key[128];
    if (account > 0 && !client_read_key(account, key, sizeof key)) {
        return true; /* nobody has signed up yet */
    }
    while (tries-- > 0 && !machine_is_down(NULL)) {
        struct margin_client *client = client_connect(account, 60000);
        bool done = client != NULL && truth_check(client, account, all_answered);
        margin_close(client);
        if (done) {
            return true;
        }
        fiber_sleep(truth_ages() ? SIM_S : 100 * SIM_MS);
    }
    return false;
}

static bool check_keeper(void) {
    for (u32 tries = CHECK_TRIES; tries > 0 && !machine_is_down(NULL); tries--) {
        if (keeper_check()) {
            return true;
        }
        fiber_sleep(100 * SIM_MS);
    }
    return false;
}

/* Compares everything, while the clients stand still, or with them under way. */
static void check_all(bool all_answered) {
    /* An expiry that finds no space waits a minute before the next try. */
    bool strict = chance(70) && !(truth_ages() && story.disk.full);
    clients_hold(strict);
    if (strict) {
        promise(fiber_wait(clients_idle, NULL, clock_now_ns() + DONE_NS), "requests get no answer");
    }
    bool done = true;
    for (u32 i = 0; i < truth_accounts(); i++) {
        done = check_account(i, all_answered, strict ? CHECK_TRIES : 3) && done;
    }
    if (strict && keeper_is_there()) {
        done = check_keeper() && done;
    }
    promise(done || !strict || machine_is_down(NULL), "the log never comes to rest%s%s",
            truth_ages() ? ": " : "", truth_ages() ? truth_doubt() : "");
    sim_say("story: checked %llu events (%s), %llu acknowledged",
            (unsigned long long)truth_stored(), done ? "all" : "in part",
            (unsigned long long)truth_acknowledged());
    clients_hold(false);
}

/* --- rounds ----------------------------------------------------------------------------------- */

static void cause_trouble(void) {
    switch (truth_ages() && chance(40) ? 1 : roll(6)) {
    case 0:
        net_partition(between(SIM_MS, 5 * SIM_S));
        break;
    case 1:
        clock_jump(truth_ages() ? (i64)roll(36 * 60) * 60000
                                : ((i64)roll(24 * 60) - 12 * 60) * 60000);
        break;
    case 2: {
        struct disk_faults faults = story.disk;
        story.disk.full = !faults.full;
        set_disk(story.disk);
        break;
    }
    case 3:
        check_all(false);
        break;
    default:
        break;
    }
}

/* A byte of the file's first ones changes, or it ends there. */
static void damage_file(const char *directory, const char *name, u64 first_bytes, bool may_end) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s/%s", machine_dir(), directory, name);
    FILE *file = fopen(path, "r+");
    if (file != NULL && fseek(file, 0, SEEK_END) == 0 && ftell(file) > 0) {
        u64 at = roll((u32)MIN((u64)ftell(file), first_bytes));
        if (may_end && chance(30)) {
            promise(truncate(path, (off_t)at) == 0, "truncate");
        } else {
            fseek(file, (long)at, SEEK_SET);
            fputc((int)roll(256), file);
        }
        sim_say("story: damaged %s", name);
    }
    if (file != NULL) {
        fclose(file);
    }
}

/* Derived state that was damaged costs time, never data. Of runs of keys only what is looked at
 * when the server starts: a damaged page stops it when it is read. */
static void damage_derived(const char *directory, u64 first_bytes, bool may_end) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", machine_dir(), directory);
    DIR *stream = opendir(path);
    const struct dirent *entry;
    while (stream != NULL && (entry = readdir(stream)) != NULL) {
        if (entry->d_name[0] != '.' && chance(50)) {
            damage_file(directory, entry->d_name, first_bytes, may_end);
        }
    }
    if (stream != NULL) {
        closedir(stream);
    }
}

/* What was sifted of keys is in no snapshot for a while. */
static bool keys_are_written(void *context) {
    return machine_is_down(NULL) || disk_runs() > *(const u64 *)context;
}

static void wait_for_keys(void) {
    for (u32 files = 1 + roll(6); files > 0 && !machine_is_down(NULL); files--) {
        u64 before = disk_runs();
        fiber_wait(keys_are_written, &before, clock_now_ns() + 2 * SIM_S);
    }
    fiber_wait(machine_is_down, NULL, clock_now_ns() + between(SIM_MS, SIM_S));
}

static void run_round(void) {
    bool power = chance(60);
    bool orderly = chance(15);
    bool at_keys = truth_ages() && chance(40);
    bool at_call = !at_keys && chance(60);
    u64 until = clock_now_ns() + between(0, chance(50) ? 100 * SIM_MS : 3 * SIM_S);
    set_faults();
    if (at_call) {
        machine_crash_after_calls(1 + roll(chance(50) ? 60 : 1500));
        until += 10 * SIM_S;
    }
    while (clock_now_ns() < until &&
           !fiber_wait(machine_is_down, NULL, clock_now_ns() + between(SIM_MS, SIM_S))) {
        if (clients_are_done() && keeper_is_done()) {
            break;
        }
        if (chance(30)) {
            cause_trouble();
        }
    }
    if (at_keys) {
        wait_for_keys();
    }
    story.disk.full = false;
    set_disk(story.disk);
    if (orderly && !machine_is_down(NULL)) {
        machine_signal(SIGTERM);
        promise(fiber_wait(machine_is_down, NULL, clock_now_ns() + READY_NS),
                "the server does not stop");
    }
    end_machine(power);
}

/* What is on the disk is sound, as a reader beside the server sees it. */
static void report_damage(void *context, const struct store_damage *damage) {
    (void)context;
    sim_fail("the log is damaged: events %llu to %llu: %s", (unsigned long long)damage->id_from,
             (unsigned long long)damage->id_to, damage->what);
}

static void report_nothing(void *context, u64 done, u64 total) {
    (void)context;
    (void)done;
    (void)total;
}

static void verify(void) {
    const struct store_options options = {.dir = machine_dir(), .read_only = true};
    struct store *store;
    char why[512];
    promise(store_open(&options, &store, why, sizeof why) == ERR_OK, "cannot open: %s", why);
    enum err err = store_verify(store, report_damage, report_nothing, NULL);
    promise(err == ERR_OK, "cannot verify: %s", err_text(err));
    u64 events = store_next_id(store) - 1;
    promise(events == truth_stored() ||
                ((keeper_is_there() || truth_ages()) && events > truth_stored()),
            "the log has %llu events, not %llu", (unsigned long long)events,
            (unsigned long long)truth_stored());
    struct store_stats stats;
    store_get_stats(store, &stats);
    sim_say("story: the log has %llu blocks, %llu of them segments",
            (unsigned long long)stats.blocks, (unsigned long long)stats.segments);
    store_close(store);
}

static void stop_orderly(void) {
    machine_signal(SIGTERM);
    promise(fiber_wait(machine_is_down, NULL, clock_now_ns() + READY_NS),
            "the server does not stop");
    promise(machine_exit_code() == 0, "the server ends with %d", machine_exit_code());
    end_machine(false);
}

static bool clients_done(void *context) {
    (void)context;
    return (clients_are_done() && keeper_is_done()) || machine_is_down(NULL);
}

void *story_run(void *argument) {
    (void)argument;
    set_quiet();
    bring_up(chance(30));
    const struct clients clients = {
        .http = 1 + roll(4),
        .wire = roll(3),
        .askers = roll(3),
        .requests = 5 + roll(60) + (truth_ages() ? 60 : 0), /* days have to pass meanwhile */
        .pause_ns = (truth_ages() ? 10 : 2) * SIM_MS};
    clients_start(&clients);
    if (chance(90) && !truth_ages()) { /* it uploads costs of a month that is over */
        end_machine(false);
        keeper_prepare();
        bring_up(false);
    }
    for (u32 rounds = 1 + roll(truth_ages() ? 8 : 5); rounds > 0; rounds--) {
        run_round();
        if (chance(20)) {
            damage_derived("snapshots", UINT32_MAX, false);
        }
        if (chance(20)) {
            damage_derived("keys", KEYS_HEADER_BYTES, true);
        }
        if (truth_ages() && chance(70)) {
            clock_jump((i64)roll(40 * 60) * 60000);
        }
        bring_up(true);
        if (chance(80)) {
            check_all(false);
        }
    }
    set_quiet();
    if (faults_explain_stop()) { /* it may be about to stop for that */
        end_machine(false);
        bring_up(false);
    }
    clients_hurry();
    promise(fiber_wait(clients_done, NULL, clock_now_ns() + DONE_NS),
            "requests get no answer though nothing fails");
    promise(!machine_is_down(NULL), "the server stopped though nothing failed");
    check_all(true);
    stop_orderly();
    verify();
    bring_up(false);
    check_all(true);
    stop_orderly();
    sim_say("story: %u starts, %llu events, %llu disk calls, %llu failed", machine_boots(),
            (unsigned long long)truth_stored(), (unsigned long long)disk_calls(),
            (unsigned long long)disk_errors());
    return NULL;
}
