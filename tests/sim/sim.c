/*
 * sim.c: runs seeds, each in a process of its own, and says which failed and how to see it again.
 *
 *     sim --seed N [--verbose]         one run
 *     sim --first N --seeds COUNT      many
 *     sim --seconds S                  as many as fit
 *     sim --jobs N ...                 so many at a time
 *     sim --expect-failure ...         of a server with a bug on purpose: good if a seed finds it
 */
#include "tests/sim/sim.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SEED_SECONDS_MAX 120 /* of processor time: a loop without end is a failure, too */
#define ROOT_BYTES 128
#define JOBS_MAX 64
#define FAILURES_MAX 10 /* then enough is known */

static SIM_STATE struct {
    u64 seed;
    u64 state;
    u64 fingerprint;
    bool verbose;
} sim;

struct options {
    u64 first;
    u64 count;
    u64 seconds;
    u64 jobs; /* processes at a time */
    bool verbose;
    bool twice; /* run each seed twice, and compare */
    bool expect_failure;
};

int __real_mkdir(const char *path, mode_t mode);
int __real_clock_gettime(clockid_t clock, struct timespec *out);

/* --- chance ----------------------------------------------------------------------------------- */

void sim_seed(u64 seed) {
    sim.seed = seed;
    sim.state = seed;
    sim.state = sim_random(); /* else the next seed would be this one's stream, a step later */
}

u64 sim_random(void) { /* splitmix64 (Steele, Lea and Flood, 2014) */
    u64 value = sim.state += 0x9e3779b97f4a7c15u;
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9u;
    value = (value ^ value >> 27) * 0x94d049bb133111ebu;
    return value ^ value >> 31;
}

u32 roll(u32 sides) {
    return (u32)((sim_random() >> 32) * (u64)sides >> 32);
}

bool chance(u32 percent) {
    return roll(100) < percent;
}

u64 between(u64 from, u64 to) {
    return from >= to ? from : from + sim_random() % (to - from + 1);
}

void sim_note(u64 what) {
    sim.fingerprint = (sim.fingerprint ^ what) * 0x9e3779b97f4a7c15u;
    sim.fingerprint ^= sim.fingerprint >> 29;
}

u64 sim_fingerprint(void) {
    return sim.fingerprint;
}

/* --- saying ----------------------------------------------------------------------------------- */

bool sim_verbose(void) {
    return sim.verbose;
}

void sim_say(const char *format, ...) {
    va_list arguments;
    if (!sim.verbose) {
        return;
    }
    va_start(arguments, format);
    fprintf(stderr, "%10llu us  ", (unsigned long long)(clock_now_ns() / SIM_US));
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
}

_Noreturn void sim_fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stdout, "seed %llu: ", (unsigned long long)sim.seed);
    vfprintf(stdout, format, arguments);
    fprintf(stdout, " (at %llu us, start %u)\n", (unsigned long long)(clock_now_ns() / SIM_US),
            machine_boots());
    va_end(arguments);
    fflush(stdout);
    _exit(1);
}

/* --- one seed --------------------------------------------------------------------------------- */

static void root_of(char *root, pid_t pid) {
    struct stat stat_of;
    bool memory = stat("/dev/shm", &stat_of) == 0 && access("/dev/shm", W_OK) == 0;
    snprintf(root, ROOT_BYTES, "%s/margin-sim.%ld", memory ? "/dev/shm" : "/tmp", (long)pid);
}

static _Noreturn void run_seed(u64 seed, bool verbose, int report) {
    static const u64 snapshot_events[] = {30, 100, 400, 1500};
    static const u64 key_bytes[] = {2 * KIB, 8 * KIB, 32 * KIB, GIB};
    char root[ROOT_BYTES];
    root_of(root, getpid());
    sim_seed(seed);
    sim.verbose = verbose;
    promise(__real_mkdir(root, 0700) == 0, "cannot make %s", root);
    const u32 days = chance(40) ? 1 + roll(2) : 0;
    const u32 accounts = chance(50) ? 1 : 1 + roll(ACCOUNTS_MOST);
    const struct machine_options options = {
        .fronts = 1 + roll(3),
        .snapshot_events = snapshot_events[roll(ARRAY_COUNT(snapshot_events))],
        .map_bytes = GIB,
        .key_bytes = key_bytes[roll(days > 0 ? 2 : ARRAY_COUNT(key_bytes))],
        .days = days};
    truth_init(accounts, days);
    disk_init(root);
    machine_init(root, &options);
    fiber_start("story", false, story_run, NULL);
    fiber_run_all();
    u64 fingerprint = sim_fingerprint();
    ssize_t ignored = write(report, &fingerprint, sizeof fingerprint);
    (void)ignored;
    _exit(0);
}

/* In a process of its own; false: a promise was broken, or the server crashed. */
static bool fork_seed(u64 seed, bool verbose, u64 *fingerprint) {
    int pipe_fds[2];
    char root[ROOT_BYTES];
    promise(pipe(pipe_fds) == 0, "pipe");
    fflush(stdout);
    pid_t child = fork();
    promise(child >= 0, "fork");
    if (child == 0) {
        close(pipe_fds[0]);
        const struct itimerval most = {.it_value = {.tv_sec = SEED_SECONDS_MAX}};
        setitimer(ITIMER_PROF, &most, NULL);
        run_seed(seed, verbose, pipe_fds[1]);
    }
    close(pipe_fds[1]);
    int status;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    bool good = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    good = read(pipe_fds[0], fingerprint, sizeof *fingerprint) == sizeof *fingerprint && good;
    close(pipe_fds[0]);
    if (WIFSIGNALED(status)) {
        printf("seed %llu: ended by signal %d (%s)\n", (unsigned long long)seed, WTERMSIG(status),
               strsignal(WTERMSIG(status)));
    }
    root_of(root, child);
    disk_remove_all(root);
    return good;
}

/* --- many ------------------------------------------------------------------------------------- */

static u64 real_seconds(void) {
    struct timespec now;
    __real_clock_gettime(CLOCK_MONOTONIC, &now);
    return (u64)now.tv_sec;
}

static bool run_one(const struct options *options, u64 seed) {
    u64 fingerprint = 0;
    u64 again = 0;
    bool good = fork_seed(seed, options->verbose, &fingerprint);
    if (good && options->twice) {
        good = fork_seed(seed, options->verbose, &again) && again == fingerprint;
        if (!good) {
            printf("seed %llu: two runs differ\n", (unsigned long long)seed);
        }
    }
    if (!good && !options->expect_failure) {
        printf("to see it again: make sim SEED=%llu\n", (unsigned long long)seed);
    }
    return good;
}

struct tally {
    u64 done;
    u64 failed;
};

/* Every `jobs`th seed. */
static struct tally run_share(const struct options *options, u64 share) {
    u64 from = real_seconds();
    struct tally tally = {0};
    for (u64 i = share;
         options->seconds > 0 ? real_seconds() - from < options->seconds : i < options->count;
         i += options->jobs) {
        bool good = run_one(options, options->first + i);
        tally.done++;
        tally.failed += !good;
        if (!good && (options->expect_failure || tally.failed >= FAILURES_MAX)) {
            break;
        }
    }
    return tally;
}

/* A process for each share but the first; what it did comes through a pipe. */
static int start_share(const struct options *options, u64 share) {
    int pipe_fds[2];
    promise(pipe(pipe_fds) == 0, "pipe");
    fflush(stdout);
    pid_t child = fork();
    promise(child >= 0, "fork");
    if (child != 0) {
        close(pipe_fds[1]);
        return pipe_fds[0];
    }
    close(pipe_fds[0]);
    struct tally tally = run_share(options, share);
    fflush(stdout);
    _exit(write(pipe_fds[1], &tally, sizeof tally) == sizeof tally ? 0 : 1);
}

static int run_many(const struct options *options) {
    u64 from = real_seconds();
    int fds[JOBS_MAX];
    for (u64 share = 1; share < options->jobs; share++) {
        fds[share] = start_share(options, share);
    }
    struct tally sum = run_share(options, 0);
    for (u64 share = 1; share < options->jobs; share++) {
        struct tally tally = {.failed = 1};
        ssize_t ignored = read(fds[share], &tally, sizeof tally);
        (void)ignored;
        close(fds[share]);
        wait(NULL);
        sum.done += tally.done;
        sum.failed += tally.failed;
    }
    u64 done = sum.done;
    u64 failed = sum.failed;
    printf("sim: %llu seeds from %llu, %llu failed, %llu s\n", (unsigned long long)done,
           (unsigned long long)options->first, (unsigned long long)failed,
           (unsigned long long)(real_seconds() - from));
    return (failed > 0) == options->expect_failure ? 0 : 1;
}

static bool parse(int argc, char **argv, struct options *options) {
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(name, "--verbose") == 0) {
            options->verbose = true;
        } else if (strcmp(name, "--twice") == 0) {
            options->twice = true;
        } else if (strcmp(name, "--expect-failure") == 0) {
            options->expect_failure = true;
        } else if (value == NULL) {
            return false;
        } else if (strcmp(name, "--seed") == 0 || strcmp(name, "--first") == 0) {
            options->first = strtoull(argv[++i], NULL, 10);
        } else if (strcmp(name, "--seeds") == 0) {
            options->count = strtoull(argv[++i], NULL, 10);
        } else if (strcmp(name, "--jobs") == 0) {
            options->jobs = strtoull(argv[++i], NULL, 10);
        } else if (strcmp(name, "--seconds") == 0) {
            options->seconds = strtoull(argv[++i], NULL, 10);
        } else {
            return false;
        }
    }
    return options->jobs >= 1 && options->jobs <= JOBS_MAX;
}

int main(int argc, char **argv) {
    struct options options = {.first = 1, .count = 1, .jobs = 1};
    /* Where things lie in memory should not differ from run to run. */
    int old = personality(0xffffffff);
    if (old >= 0 && (old & ADDR_NO_RANDOMIZE) == 0 &&
        personality((unsigned long)old | ADDR_NO_RANDOMIZE) >= 0) {
        execv("/proc/self/exe", argv);
    }
    if (!parse(argc, argv, &options)) {
        fprintf(stderr,
                "usage: sim [--seed N | --first N] [--seeds COUNT] [--seconds S] [--jobs N] "
                "[--twice] [--verbose] [--expect-failure]\n");
        return 2;
    }
    return run_many(&options);
}
