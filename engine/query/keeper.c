/* keeper.c: see keeper.h. */
#include "query/keeper.h"

#include "agg/ranking.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define ROUND_MS 5     /* at 2 million events a second, 10,000 changes of a ring of 131,072 */
#define SPLIT_ROUNDS 4 /* what costs more, so much less often */
#define IDLE_MS 200    /* between two looks whether anybody asks */

struct keeper {
    struct agg *agg;
    struct allocations *allocations;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    bool stopping;
};

/* False: it is to stop. */
static bool pause_for(struct keeper *keeper, i64 ms) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += ms * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&keeper->mutex);
    if (!keeper->stopping) {
        pthread_cond_timedwait(&keeper->wake, &keeper->mutex, &until);
    }
    bool stopping = keeper->stopping;
    pthread_mutex_unlock(&keeper->mutex);
    return !stopping;
}

static void *keep(void *context) {
    struct keeper *keeper = context;
    i64 ms = IDLE_MS;
    bool split = false;
    u32 passed_ms = 0;
    pthread_setname_np(pthread_self(), "keeper");
    while (pause_for(keeper, ms)) {
        bool ranked = rankings_keep(keeper->agg, (u32)ms);
        passed_ms += (u32)ms;
        if (passed_ms >= SPLIT_ROUNDS * ROUND_MS) {
            split = allocations_keep(keeper->allocations, keeper->agg, passed_ms);
            passed_ms = 0;
        }
        ms = ranked || split ? ROUND_MS : IDLE_MS;
    }
    return NULL;
}

enum err keeper_start(struct agg *agg, struct allocations *allocations, struct keeper **out) {
    struct keeper *keeper = calloc(1, sizeof *keeper);
    pthread_condattr_t attr;
    if (keeper == NULL) {
        return ERR_NO_MEMORY;
    }
    keeper->agg = agg;
    keeper->allocations = allocations;
    check(pthread_mutex_init(&keeper->mutex, NULL) == 0);
    check(pthread_condattr_init(&attr) == 0);
    check(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    check(pthread_cond_init(&keeper->wake, &attr) == 0);
    pthread_condattr_destroy(&attr);
    if (pthread_create(&keeper->thread, NULL, keep, keeper) != 0) {
        free(keeper);
        return ERR_NO_MEMORY;
    }
    *out = keeper;
    return ERR_OK;
}

void keeper_stop(struct keeper *keeper) {
    if (keeper == NULL) {
        return;
    }
    pthread_mutex_lock(&keeper->mutex);
    keeper->stopping = true;
    pthread_cond_signal(&keeper->wake);
    pthread_mutex_unlock(&keeper->mutex);
    pthread_join(keeper->thread, NULL);
    pthread_cond_destroy(&keeper->wake);
    pthread_mutex_destroy(&keeper->mutex);
    free(keeper);
}
