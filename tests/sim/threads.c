/*
 * threads.c: the calls for threads, locks and clocks, as the linker's --wrap gives them to us. The
 * state of a lock lies in the lock itself. Locks of processes that were killed are free: who finds
 * one is told, as with robust mutexes.
 */
#include "tests/sim/sim.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>

struct lock {   /* in place of pthread_mutex_t and pthread_rwlock_t */
    u32 writer; /* the fiber; 0: none */
    u32 readers;
    u32 boot; /* of the owner */
    u32 waiting_writers;
};
_Static_assert(sizeof(struct lock) <= sizeof(pthread_mutex_t), "fits");
_Static_assert(sizeof(struct lock) <= sizeof(pthread_rwlock_t), "fits");

struct waiter {
    struct waiter *next;
    bool woken;
};

struct condition { /* in place of pthread_cond_t */
    struct waiter *first;
};
_Static_assert(sizeof(struct condition) <= sizeof(pthread_cond_t), "fits");

struct thread {
    void *(*run)(void *);
    void *argument;
    void *result;
    bool ended;
};

/* --- threads ---------------------------------------------------------------------------------- */

static void *thread_enter(void *context) {
    struct thread *thread = context;
    thread->result = thread->run(thread->argument);
    thread->ended = true;
    return NULL;
}

int __wrap_pthread_create(pthread_t *out, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument) {
    (void)attributes;
    struct thread *thread = calloc(1, sizeof *thread);
    promise(thread != NULL, "no memory");
    *thread = (struct thread){.run = run, .argument = argument};
    fiber_start("thread", true, thread_enter, thread);
    *out = (pthread_t)thread;
    fiber_step();
    return 0;
}

static bool thread_has_ended(void *context) {
    return ((struct thread *)context)->ended;
}

int __wrap_pthread_join(pthread_t which, void **result) {
    struct thread *thread = (struct thread *)which;
    fiber_wait(thread_has_ended, thread, SIM_NEVER);
    if (result != NULL) {
        *result = thread->result;
    }
    free(thread);
    return 0;
}

pthread_t __wrap_pthread_self(void) {
    return (pthread_t)fiber_id();
}

int __wrap_pthread_setname_np(pthread_t thread, const char *name) {
    (void)thread;
    (void)name;
    return 0;
}

int __wrap_setpriority(int which, unsigned who, int priority) {
    (void)which;
    (void)who;
    (void)priority;
    return 0;
}

/* --- mutexes ---------------------------------------------------------------------------------- */

static bool is_free(struct lock *lock) {
    if (lock->writer != 0 && lock->boot != machine_boots()) {
        lock->writer = 0; /* its owner was killed with its machine */
    }
    return lock->writer == 0 && lock->readers == 0;
}

static bool lock_is_free(void *context) {
    return is_free(context);
}

static void take(struct lock *lock) {
    lock->writer = fiber_id();
    lock->boot = machine_boots();
}

int __wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes) {
    (void)attributes;
    memset(mutex, 0, sizeof *mutex);
    return 0;
}

int __wrap_pthread_mutex_destroy(pthread_mutex_t *mutex) {
    promise(is_free((struct lock *)(void *)mutex), "a mutex is destroyed that somebody holds");
    return 0;
}

int __wrap_pthread_mutex_consistent(pthread_mutex_t *mutex) {
    (void)mutex;
    return 0;
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex) {
    struct lock *lock = (struct lock *)(void *)mutex;
    fiber_step();
    promise(!(lock->writer == fiber_id() && lock->boot == machine_boots()), "locked twice");
    if (!is_free(lock)) {
        fiber_wait(lock_is_free, lock, SIM_NEVER);
    }
    take(lock);
    return 0;
}

int __wrap_pthread_mutex_trylock(pthread_mutex_t *mutex) {
    struct lock *lock = (struct lock *)(void *)mutex;
    fiber_step();
    if (!is_free(lock)) {
        return EBUSY;
    }
    take(lock);
    return 0;
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex) {
    struct lock *lock = (struct lock *)(void *)mutex;
    promise(lock->writer == fiber_id(), "unlocked by another thread");
    lock->writer = 0;
    fiber_step();
    return 0;
}

/* --- readers and writers ---------------------------------------------------------------------- */

static bool no_writer(void *context) {
    const struct lock *lock = context;
    return lock->writer == 0 && lock->waiting_writers == 0;
}

int __wrap_pthread_rwlock_init(pthread_rwlock_t *rwlock, const pthread_rwlockattr_t *attributes) {
    (void)attributes;
    memset(rwlock, 0, sizeof *rwlock);
    return 0;
}

int __wrap_pthread_rwlock_destroy(pthread_rwlock_t *rwlock) {
    promise(is_free((struct lock *)(void *)rwlock), "a lock is destroyed that somebody holds");
    return 0;
}

int __wrap_pthread_rwlock_rdlock(pthread_rwlock_t *rwlock) {
    struct lock *lock = (struct lock *)(void *)rwlock;
    fiber_step();
    if (!no_writer(lock)) {
        fiber_wait(no_writer, lock, SIM_NEVER);
    }
    lock->readers++;
    return 0;
}

int __wrap_pthread_rwlock_wrlock(pthread_rwlock_t *rwlock) {
    struct lock *lock = (struct lock *)(void *)rwlock;
    fiber_step();
    if (!is_free(lock)) {
        lock->waiting_writers++;
        fiber_wait(lock_is_free, lock, SIM_NEVER);
        lock->waiting_writers--;
    }
    take(lock);
    return 0;
}

int __wrap_pthread_rwlock_unlock(pthread_rwlock_t *rwlock) {
    struct lock *lock = (struct lock *)(void *)rwlock;
    if (lock->writer != 0) {
        promise(lock->writer == fiber_id(), "unlocked by another thread");
        lock->writer = 0;
    } else {
        promise(lock->readers > 0, "unlocked, but nobody holds it");
        lock->readers--;
    }
    fiber_step();
    return 0;
}

/* --- conditions ------------------------------------------------------------------------------- */

int __wrap_pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attributes) {
    (void)attributes;
    memset(cond, 0, sizeof *cond);
    return 0;
}

int __wrap_pthread_cond_destroy(pthread_cond_t *cond) {
    promise(((struct condition *)(void *)cond)->first == NULL,
            "a condition is destroyed that somebody waits for");
    return 0;
}

static bool waiter_is_woken(void *context) {
    return ((struct waiter *)context)->woken;
}

static int cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, u64 until_ns) {
    struct condition *condition = (struct condition *)(void *)cond;
    struct lock *lock = (struct lock *)(void *)mutex;
    struct waiter self = {.next = condition->first};
    promise(lock->writer == fiber_id(), "a wait without the lock");
    condition->first = &self;
    lock->writer = 0;
    /* A wait may end without a reason, says POSIX: now and then it does. */
    bool in_time = roll(64) == 0 || fiber_wait(waiter_is_woken, &self, until_ns);
    if (!self.woken) {
        struct waiter **at = &condition->first;
        while (*at != &self) {
            at = &(*at)->next;
        }
        *at = self.next;
    }
    if (!is_free(lock)) {
        fiber_wait(lock_is_free, lock, SIM_NEVER);
    }
    take(lock);
    return in_time ? 0 : ETIMEDOUT;
}

int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex) {
    return cond_wait(cond, mutex, SIM_NEVER);
}

int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
                                  const struct timespec *until) {
    return cond_wait(cond, mutex, (u64)until->tv_sec * SIM_S + (u64)until->tv_nsec);
}

static void wake_one(struct condition *condition) {
    u32 count = 0;
    for (struct waiter *waiter = condition->first; waiter != NULL; waiter = waiter->next) {
        count++;
    }
    if (count == 0) {
        return;
    }
    struct waiter **at = &condition->first;
    for (u32 skip = roll(count); skip > 0; skip--) {
        at = &(*at)->next;
    }
    (*at)->woken = true;
    *at = (*at)->next;
}

int __wrap_pthread_cond_signal(pthread_cond_t *cond) {
    wake_one((struct condition *)(void *)cond);
    fiber_step();
    return 0;
}

int __wrap_pthread_cond_broadcast(pthread_cond_t *cond) {
    struct condition *condition = (struct condition *)(void *)cond;
    while (condition->first != NULL) {
        wake_one(condition);
    }
    fiber_step();
    return 0;
}

/* --- clocks and chance ------------------------------------------------------------------------ */

int __wrap_clock_gettime(clockid_t clock, struct timespec *out) {
    fiber_step();
    u64 ns = clock_now_ns();
    i64 wall_ms = clock_wall_now_ms();
    if (clock == CLOCK_REALTIME) {
        *out = (struct timespec){.tv_sec = wall_ms / 1000,
                                 .tv_nsec = wall_ms % 1000 * 1000000 + (i64)(ns % SIM_MS)};
    } else {
        *out = (struct timespec){.tv_sec = (i64)(ns / SIM_S), .tv_nsec = (i64)(ns % SIM_S)};
    }
    return 0;
}

ssize_t __wrap_getrandom(void *out, size_t bytes, unsigned flags) {
    (void)flags;
    u8 *at = out;
    for (usize i = 0; i < bytes; i++) {
        at[i] = (u8)roll(256);
    }
    return (ssize_t)bytes;
}
