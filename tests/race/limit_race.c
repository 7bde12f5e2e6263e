/*
 * limit_race.c: threads that count for the same callers and for ever new ones at once, while
 * windows end. In the window that never ends exactly as many are allowed as the rule says.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "api/limit.h"

#define THREADS 4
#define TRIES 30000
#define MOST (THREADS * TRIES / 3)

static struct limits *limits;
static _Atomic u32 allowed;

static void *ask(void *context) {
    u32 thread = *(const u32 *)context;
    for (u32 i = 0; i < TRIES; i++) {
        char who[32];
        struct slice one = {"one", 3};
        snprintf(who, sizeof who, "%u of %u", i / 3, thread);
        struct slice another = {who, strlen(who)};
        bool may = limits_take(limits, LIMIT_MANAGE, one, 1, (i64)i).allowed;
        atomic_fetch_add(&allowed, may ? 1u : 0u);
        check(limits_take(limits, LIMIT_AUTH, another, 1, (i64)i).most == 2);
        check(limits_take(limits, LIMIT_AUTH, one, 1, (i64)i).most == 2);
    }
    return NULL;
}

int main(void) {
    const struct limit_rule rules[LIMIT_CLASSES] = {
        [LIMIT_MANAGE] = {MOST, 1u << 30}, [LIMIT_AUTH] = {2, 10}};
    pthread_t thread[THREADS];
    u32 number[THREADS];
    check(limits_create(rules, 1, &limits) == ERR_OK);
    check(limits_take(limits, LIMIT_MANAGE, (struct slice){"one", 3}, 1, 0).allowed);
    for (u32 i = 0; i < THREADS; i++) {
        number[i] = i;
        check(pthread_create(&thread[i], NULL, ask, &number[i]) == 0);
    }
    for (u32 i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
    }
    bool good = atomic_load(&allowed) == MOST - 1 && limits_refused(limits) > 0;
    printf("%u of %u allowed\n", atomic_load(&allowed) + 1, (u32)MOST);
    limits_destroy(limits);
    return good ? 0 : 1;
}
