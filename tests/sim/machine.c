/*
 * machine.c: the machine that the server runs on: starts its main() as a fiber, brings it signals,
 * and stops it dead. A process begins with its data as the compiler laid it out, so at each start
 * the program's variables are put back to what they were before the first, but for those of the
 * simulator. Memory that a killed server had is not given back: each seed has a process of its own.
 */
#include "base/digest.h"
#include "pipeline.h"
#include "tests/sim/sim.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

int margind_main(int argc, char **argv);

extern char __data_start[], _edata[], __bss_start[], _end[];
extern char __start_sim_state[], __stop_sim_state[];

#define PATH_BYTES 256
#define NUMBER_BYTES 32

static SIM_STATE struct {
    struct machine_options options;
    char dir[PATH_BYTES];
    char fronts[NUMBER_BYTES];
    char map_bytes[NUMBER_BYTES];
    char key_bytes[NUMBER_BYTES];
    char days[NUMBER_BYTES];
    char *argv[40];
    int argc;
    enum machine_state state;
    int exit_code;
    u32 boots;
    u64 calls_left;
    bool crash_is_due;
    int pending_signal;
    bool signals_open;
    void (*handler[65])(int);
    char *data;
    char *bss;
    char *own;
} machine;

static void add_argument(const char *name, char *value) {
    machine.argv[machine.argc++] = (char *)(uintptr_t)name;
    machine.argv[machine.argc++] = value;
}

/* memcpy() may not be used here: a sanitizer finds that it passes the ends of variables. */
static __attribute__((no_sanitize("address", "undefined"))) void copy(char *to, const char *from,
                                                                      const char *from_end) {
    const volatile char *at = from;
    while (at < (const volatile char *)from_end) {
        *to++ = *at++;
    }
}

void machine_init(const char *root, const struct machine_options *options) {
    static char http[] = "127.0.0.1:8080";
    static char wire[] = "127.0.0.1:8081";
    static char net[] = "epoll";
    static char unlimited[] = "0";
    static char off[] = "off";
    static char on[] = "on";
    static char name[] = "margind";
    machine.options = *options;
    snprintf(machine.dir, sizeof machine.dir, "%s/data", root);
    snprintf(machine.fronts, sizeof machine.fronts, "%u", options->fronts);
    snprintf(machine.map_bytes, sizeof machine.map_bytes, "%lluM",
             (unsigned long long)(options->map_bytes / MIB));
    machine.argv[machine.argc++] = name;
    add_argument("--data-dir", machine.dir);
    add_argument("--http-listen", http);
    add_argument("--wire-listen", wire);
    add_argument("--net", net);
    add_argument("--limit-signup", unlimited);
    add_argument("--limit-auth", unlimited);
    add_argument("--limit-failed", unlimited);
    add_argument("--limit-management", unlimited);
    add_argument("--limit-expensive", unlimited);
    add_argument("--sandbox", off); /* the machine's own calls are real ones */
    add_argument("--core-dumps", on);
    add_argument("--front-threads", machine.fronts);
    add_argument("--log-map-bytes", machine.map_bytes);
    snprintf(machine.key_bytes, sizeof machine.key_bytes, "%lluK",
             (unsigned long long)(options->key_bytes / KIB));
    add_argument("--dedup-memory", machine.key_bytes);
    snprintf(machine.days, sizeof machine.days, "%u", options->days);
    if (options->days > 0) {
        add_argument("--retention-days", machine.days);
    }
    machine.data = malloc((usize)(_edata - __data_start));
    machine.bss = malloc((usize)(_end - __bss_start));
    machine.own = malloc((usize)(__stop_sim_state - __start_sim_state));
    promise(machine.data != NULL && machine.bss != NULL && machine.own != NULL, "no memory");
    copy(machine.data, __data_start, _edata);
    copy(machine.bss, __bss_start, _end);
}

static void put_variables_back(void) {
    char *own = machine.own;
    const char *data = machine.data;
    const char *bss = machine.bss;
    copy(own, __start_sim_state, __stop_sim_state);
    copy(__data_start, data, data + (_edata - __data_start));
    copy(__bss_start, bss, bss + (_end - __bss_start));
    copy(__start_sim_state, own, own + (__stop_sim_state - __start_sim_state));
}

static void *run_main(void *argument) {
    (void)argument;
    machine.exit_code = margind_main(machine.argc, machine.argv);
    machine.state = MACHINE_STOPPED;
    return NULL;
}

void machine_start(void) {
    promise(machine.state != MACHINE_RUNS, "the machine runs already");
    promise(fiber_count_server() == 0, "threads are left of the last process");
    put_variables_back();
    machine.boots++;
    machine.state = MACHINE_RUNS;
    machine.crash_is_due = false;
    machine.pending_signal = 0;
    machine.signals_open = true;
    sim_say("machine: start %u", machine.boots);
    fiber_start("main", true, run_main, NULL);
}

enum machine_state machine_state(void) {
    return machine.state;
}

int machine_exit_code(void) {
    return machine.exit_code;
}

const char *machine_dir(void) {
    return machine.dir;
}

u32 machine_boots(void) {
    return machine.boots;
}

/* --- crashes ---------------------------------------------------------------------------------- */

void machine_crash(bool power) {
    sim_say("machine: %s at %llu us", power ? "power is lost" : "the process is killed",
            (unsigned long long)(clock_now_ns() / SIM_US));
    fiber_kill_server();
    net_crash(power);
    disk_crash(power);
    machine.state = MACHINE_DOWN;
    machine.crash_is_due = false;
    machine.calls_left = 0;
}

bool machine_crash_is_due(void) {
    return machine.crash_is_due;
}

void machine_crash_after_calls(u64 calls) {
    machine.calls_left = calls;
}

void machine_disk_call(void) {
    if (fiber_is_server() && machine.calls_left > 0 && --machine.calls_left == 0) {
        machine.crash_is_due = true;
        fiber_stop_machine();
    }
}

/* --- signals ---------------------------------------------------------------------------------- */

int __wrap_sigaction(int number, const struct sigaction *action, struct sigaction *old) {
    if (old != NULL) {
        *old = (struct sigaction){.sa_handler = SIG_DFL};
    }
    if (action != NULL) {
        machine.handler[number] = action->sa_handler;
    }
    return 0;
}

static bool deliver(void) {
    int number = machine.pending_signal;
    if (number == 0) {
        return false;
    }
    machine.pending_signal = 0;
    machine.handler[number](number);
    return true;
}

int __wrap_pthread_sigmask(int how, const sigset_t *set, sigset_t *old) {
    (void)set;
    (void)old;
    if (fiber_is_main()) {
        machine.signals_open = how == SIG_UNBLOCK;
        if (machine.signals_open) {
            deliver();
        }
    }
    fiber_step();
    return 0;
}

void machine_signal(int number) {
    machine.pending_signal = number;
    if (machine.signals_open && machine.handler[number] != NULL) {
        deliver();
    }
}

static bool signal_is_pending(void *argument) {
    (void)argument;
    return machine.pending_signal != 0;
}

int __wrap_ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
                 const sigset_t *mask) {
    (void)fds;
    (void)count;
    (void)mask;
    fiber_wait(signal_is_pending, NULL,
               clock_now_ns() + (u64)timeout->tv_sec * SIM_S + (u64)timeout->tv_nsec);
    return deliver() ? -1 : 0;
}

/* Snapshots after fewer events than the settings allow. */
enum err __real_pipeline_create(const struct pipeline_options *options, struct pipeline **out);
enum err __wrap_pipeline_create(const struct pipeline_options *options, struct pipeline **out) {
    struct pipeline_options small = *options;
    small.snapshot_events = machine.options.snapshot_events;
    return __real_pipeline_create(&small, out);
}

/* A password's digest takes a tenth of a second, by intention. */
enum err __wrap_digest_scrypt(struct slice password, struct slice salt, struct digest_cost cost,
                              u8 out[DIGEST_BYTES]) {
    (void)cost;
    return digest_hmac(salt, password, out);
}
