/* limit_test.c: windows, classes, what is left, a full table, many threads. */
#include "api/limit.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "limits.h"

static struct limits *make(struct limit_rule manage, struct limit_rule events) {
    struct limit_rule rules[LIMIT_CLASSES] = {[LIMIT_MANAGE] = manage, [LIMIT_EVENTS] = events};
    struct limits *limits;
    cr_assert_eq(limits_create(rules, 7, &limits), ERR_OK);
    return limits;
}

static struct limit_answer take(struct limits *limits, enum limit_class class, const char *who,
                                u32 count, i64 now_ms) {
    return limits_take(limits, class, (struct slice){who, strlen(who)}, count, now_ms);
}

Test(limit, windows_begin_with_the_first_request) {
    struct limits *limits = make((struct limit_rule){3, 60000}, (struct limit_rule){1000, 1000});
    cr_assert(limits_has(limits, LIMIT_MANAGE) && !limits_has(limits, LIMIT_AUTH));
    i64 start = 1000000 + 59999;
    struct limit_answer answer = take(limits, LIMIT_MANAGE, "a", 1, start);
    cr_assert(answer.allowed && answer.most == 3 && answer.remaining == 2 && answer.reset_s == 60);
    answer = take(limits, LIMIT_MANAGE, "a", 1, start + 1);
    cr_assert(answer.allowed && answer.remaining == 1 && answer.reset_s == 60);
    answer = take(limits, LIMIT_MANAGE, "a", 1, start + 59000);
    cr_assert(answer.allowed && answer.remaining == 0 && answer.reset_s == 1);
    answer = take(limits, LIMIT_MANAGE, "a", 1, start + 59999);
    cr_assert(!answer.allowed && answer.remaining == 0 && answer.reset_s == 1);
    cr_assert(take(limits, LIMIT_MANAGE, "b", 1, start + 59999).allowed);
    cr_assert_eq(limits_refused(limits), 1);
    /* The next one begins a window of its own. */
    answer = take(limits, LIMIT_MANAGE, "a", 1, start + 60000);
    cr_assert(answer.allowed && answer.remaining == 2 && answer.reset_s == 60);
    /* So does a clock that was set back. */
    answer = take(limits, LIMIT_MANAGE, "a", 1, start - 5000);
    cr_assert(answer.allowed && answer.remaining == 2);
    limits_destroy(limits);
}

Test(limit, counts_of_more_than_one) {
    struct limits *limits = make((struct limit_rule){1, 60000}, (struct limit_rule){1000, 1000});
    struct limit_answer answer = take(limits, LIMIT_EVENTS, "a", 0, 0);
    cr_assert(answer.allowed && answer.remaining == 1000);
    cr_assert(take(limits, LIMIT_EVENTS, "a", 999, 10).allowed);
    answer = take(limits, LIMIT_EVENTS, "a", 1000, 20); /* goes past, once */
    cr_assert(answer.allowed && answer.remaining == 0);
    cr_assert(!take(limits, LIMIT_EVENTS, "a", 0, 30).allowed);
    cr_assert(!take(limits, LIMIT_EVENTS, "a", 1, 1009).allowed);
    cr_assert(take(limits, LIMIT_EVENTS, "a", 1, 1010).allowed);
    /* The other class of the same caller is not touched. */
    cr_assert(take(limits, LIMIT_MANAGE, "a", 1, 30).allowed);
    limits_destroy(limits);
}

/* What was taken back may be taken again, in the same window only. */
Test(limit, giving_back) {
    struct limits *limits = make((struct limit_rule){2, 60000}, (struct limit_rule){0, 0});
    struct slice who = SLICE("a");
    limits_give(limits, LIMIT_MANAGE, who, 1, 0); /* nobody's: nothing */
    cr_assert_eq(limits_counted(limits, LIMIT_MANAGE), 0);
    cr_assert(take(limits, LIMIT_MANAGE, "a", 1, 0).allowed);
    cr_assert(take(limits, LIMIT_MANAGE, "a", 1, 0).allowed);
    cr_assert(!take(limits, LIMIT_MANAGE, "a", 1, 1).allowed);
    cr_assert_eq(limits_counted(limits, LIMIT_MANAGE), 2);
    limits_give(limits, LIMIT_MANAGE, SLICE("b"), 1, 1);
    cr_assert(!take(limits, LIMIT_MANAGE, "a", 1, 1).allowed);
    limits_give(limits, LIMIT_MANAGE, who, 1, 2);
    cr_assert_eq(take(limits, LIMIT_MANAGE, "a", 1, 3).remaining, 0);
    cr_assert(!take(limits, LIMIT_MANAGE, "a", 1, 4).allowed);
    limits_give(limits, LIMIT_MANAGE, who, 9, 5); /* no less than nothing */
    cr_assert_eq(take(limits, LIMIT_MANAGE, "a", 0, 6).remaining, 2);
    cr_assert(take(limits, LIMIT_MANAGE, "a", 1, 70000).allowed);
    limits_give(limits, LIMIT_MANAGE, who, 1, 200000); /* the window is over */
    cr_assert_eq(take(limits, LIMIT_MANAGE, "a", 1, 70001).remaining, 0);
    limits_destroy(limits);
}

/* Many strangers cannot make the table forget somebody who has used up his window. */
Test(limit, full_table) {
    struct limits *limits = make((struct limit_rule){100, 60000}, (struct limit_rule){1000, 1000});
    for (u32 i = 0; i < 100; i++) {
        cr_assert(take(limits, LIMIT_MANAGE, "busy", 1, 0).allowed);
    }
    for (u32 i = 0; i < 4 * LIMIT_SLOTS_MAX; i++) {
        char who[16];
        snprintf(who, sizeof who, "%u", i);
        cr_assert(take(limits, LIMIT_MANAGE, who, 1, 1).allowed);
    }
    cr_assert(!take(limits, LIMIT_MANAGE, "busy", 1, 2).allowed);
    limits_destroy(limits);
}

#define THREADS 4
#define TRIES 20000

struct many {
    struct limits *limits;
    _Atomic u32 allowed;
};

static void *ask(void *context) {
    struct many *many = context;
    for (u32 i = 0; i < TRIES; i++) {
        bool allowed = take(many->limits, LIMIT_MANAGE, "one", 1, (i64)(i % 1000)).allowed;
        atomic_fetch_add(&many->allowed, allowed ? 1 : 0);
    }
    return NULL;
}

Test(limit, holds_over_threads) {
    struct many many = {.limits = make((struct limit_rule){THREADS * TRIES / 2, 1u << 30},
                                       (struct limit_rule){0, 0})};
    /* A window open from before all of them, so that no clock ends it. */
    cr_assert(take(many.limits, LIMIT_MANAGE, "one", 1, 0).allowed);
    pthread_t thread[THREADS];
    for (u32 i = 0; i < THREADS; i++) {
        cr_assert_eq(pthread_create(&thread[i], NULL, ask, &many), 0);
    }
    for (u32 i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
    }
    cr_assert_eq(many.allowed, THREADS * TRIES / 2 - 1);
    limits_destroy(many.limits);
}
