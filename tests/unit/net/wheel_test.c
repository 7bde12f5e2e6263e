/* wheel_test.c: nodes come out in time, once, in order, however far away or often moved. */
#include "net/wheel.h"

#include <criterion/criterion.h>

#define NODES 2000

struct timer {
    struct wheel_node node;
    u64 due_ns;
    bool waiting;
};

Test(wheel, random_deadlines) {
    static struct wheel wheel;
    static struct timer timers[NODES];
    u64 now = 123456789;
    u64 state = 42;
    u32 waiting = NODES;
    wheel_init(&wheel, now);
    cr_assert_eq(wheel_next_ns(&wheel), UINT64_MAX);
    cr_assert_null(wheel_pop(&wheel, now));
    for (u32 at = 0; at < NODES; at++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        timers[at] = (struct timer){.due_ns = now + (state >> 30) % 40000000000u, .waiting = true};
        wheel_set(&wheel, &timers[at].node, timers[at].due_ns);
    }
    while (waiting > 0) {
        u64 next = wheel_next_ns(&wheel);
        cr_assert_neq(next, UINT64_MAX);
        now = MAX(now, next) + state % 3 * 7000000;
        struct wheel_node *node;
        while ((node = wheel_pop(&wheel, now)) != NULL) {
            struct timer *timer = (struct timer *)node;
            state = state * 6364136223846793005u + 1442695040888963407u;
            cr_assert(timer->waiting);
            if (timer->due_ns > now) {
                wheel_set(&wheel, node, timer->due_ns);
            } else if (state % 4 == 0) { /* pushed back or forward instead */
                timer->due_ns = now + (state >> 40) % 15000000000u + 1;
                wheel_set(&wheel, node, timer->due_ns);
            } else {
                timer->waiting = false;
                waiting--;
            }
            struct timer *other = &timers[(state >> 33) % NODES];
            if (other->waiting && state % 8 == 1) {
                other->due_ns = now + 1 + (state >> 45) % 1000000000u;
                wheel_set(&wheel, &other->node, other->due_ns); /* sooner or later */
            }
            if (other->waiting && state % 64 == 2) {
                wheel_remove(&wheel, &other->node);
                wheel_remove(&wheel, &other->node);
                other->waiting = false;
                waiting--;
            }
        }
        for (u32 at = 0; at < NODES; at++) {
            cr_assert(!timers[at].waiting || timers[at].due_ns + 2 * WHEEL_TICK_NS > now,
                      "late by %lu", now - timers[at].due_ns);
        }
    }
    cr_assert_eq(wheel_next_ns(&wheel), UINT64_MAX);
}
