/* watch.c: see watch.h. The thread is static: there is one process. */
#include "watch.h"

#include <pthread.h>
#include <time.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "guard.h"

#define LOOK_NS (1000000000 / FAULT_HASTE)

static const struct {
    const char *name;
    u32 looks_max; /* at one piece of work */
} kinds[WATCH_KINDS] = {
    [WATCH_FRONT] = {"front", 10},     [WATCH_MAIN] = {"main", 300},
    [WATCH_COMMIT] = {"commit", 300},  [WATCH_DISK] = {"disk", 300},
    [WATCH_READER] = {"reader", 1200}, [WATCH_BACKGROUND] = {"background", 3600},
};

void watch_add(struct watch *watch, enum watch_kind kind, u32 index, const struct pulse *pulse) {
    check(watch->count < WATCHED_MAX);
    watch->watched[watch->count++] = (struct watched){.pulse = pulse, .kind = kind, .index = index};
}

void watch_add_pipeline(struct watch *watch, const struct pipeline_pulses *pulses) {
    watch_add(watch, WATCH_COMMIT, 0, &pulses->commit);
    watch_add(watch, WATCH_DISK, 0, &pulses->disk);
    watch_add(watch, WATCH_BACKGROUND, 0, &pulses->background);
    for (u32 i = 0; i < READER_THREADS; i++) {
        watch_add(watch, WATCH_READER, i, &pulses->reader[i]);
    }
}

static void say(const struct watched *watched, bool hung) {
    const char *name = kinds[watched->kind].name;
    if (hung) {
        log_error("thread_hangs", "thread=%s-%u looks=%u action=\"%s\"", name, watched->index,
                  watched->looks,
                  guard_is_service() ? "the supervisor is told nothing until it goes on"
                                     : "restart the server; nothing acknowledged is lost");
    } else {
        log_warn("thread_goes_on", "thread=%s-%u looks=%u", name, watched->index, watched->looks);
    }
}

bool watch_look(struct watch *watch) {
    u64 hung = 0;
    for (u32 i = 0; i < watch->count; i++) {
        struct watched *watched = &watch->watched[i];
        u32 looks_max = kinds[watched->kind].looks_max;
        u64 beats = pulse_beats(watched->pulse);
        if (beats == watched->beats && (beats & 1) != 0) {
            watched->looks++;
            if (watched->looks == looks_max) {
                say(watched, true);
            }
        } else {
            if (watched->looks >= looks_max) {
                say(watched, false);
            }
            watched->looks = 0;
        }
        watched->beats = beats;
        hung += watched->looks >= looks_max;
    }
    atomic_store_explicit(&watch->hung, hung, memory_order_relaxed);
    return hung == 0;
}

u64 watch_hung(const struct watch *watch) {
    return atomic_load_explicit(&watch->hung, memory_order_relaxed);
}

/* --- the thread ------------------------------------------------------------------------------- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t change;
static pthread_t thread;
static bool running;
static struct watch *looks_at;
static void (*wakes)(void *context, u32 front);
static void *wakes_with;

/* False: it is to stop. */
static bool wait_for_look(void) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += LOOK_NS % 1000000000;
    until.tv_sec += LOOK_NS / 1000000000 + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&lock);
    if (running) {
        pthread_cond_timedwait(&change, &lock, &until);
    }
    bool wanted = running;
    pthread_mutex_unlock(&lock);
    return wanted;
}

static void wake_fronts(void) {
    for (u32 i = 0; i < looks_at->count; i++) {
        if (looks_at->watched[i].kind == WATCH_FRONT) {
            wakes(wakes_with, looks_at->watched[i].index);
        }
    }
}

static void *run(void *unused) {
    (void)unused;
    pthread_setname_np(pthread_self(), "watch");
    while (wait_for_look()) {
        bool good = watch_look(looks_at);
        wake_fronts();
        if (good && guard_must_tell_alive(clock_monotonic_ns())) {
            guard_tell_alive();
        }
    }
    return NULL;
}

void watch_start(struct watch *watch, void (*wake)(void *context, u32 front), void *context) {
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&change, &monotonic);
    pthread_condattr_destroy(&monotonic);
    looks_at = watch;
    wakes = wake;
    wakes_with = context;
    running = true;
    check(pthread_create(&thread, NULL, run, NULL) == 0);
}

void watch_stop(void) {
    pthread_mutex_lock(&lock);
    running = false;
    pthread_cond_signal(&change);
    pthread_mutex_unlock(&lock);
    pthread_join(thread, NULL);
    pthread_cond_destroy(&change);
}
