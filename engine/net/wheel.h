/*
 * wheel.h: deadlines of many connections, each cheap to move. A hashed timing wheel (Varghese and
 * Lauck, 1987) with lazy nodes: a deadline that moves later leaves its node where it is; when the
 * node's tick comes, the owner looks at the true deadline and adds the node again if it is not due.
 * So the usual case, a time-out pushed back by every request, touches nothing here.
 */
#ifndef MARGIN_NET_WHEEL_H
#define MARGIN_NET_WHEEL_H

#include "base.h"

#define WHEEL_SLOTS 4096
#define WHEEL_TICK_NS ((u64)4000000) /* spans 16 s; later deadlines are looked at twice */

struct wheel_node {
    struct wheel_node *next;
    struct wheel_node **link; /* what points here; NULL: not in the wheel */
    u64 tick;
};

struct wheel {
    u64 tick; /* every earlier one has been seen */
    u64 occupied[WHEEL_SLOTS / 64];
    struct wheel_node *slot[WHEEL_SLOTS];
};

void wheel_init(struct wheel *wheel, u64 now_ns);
/* Sees to it that the node is told at or before the first tick after `deadline_ns`. */
void wheel_set(struct wheel *wheel, struct wheel_node *node, u64 deadline_ns);
void wheel_remove(struct wheel *wheel, struct wheel_node *node);
/* Takes one node out whose tick has passed; NULL when there is none. */
struct wheel_node *wheel_pop(struct wheel *wheel, u64 now_ns);
/* When wheel_pop() may next have something; UINT64_MAX: never. */
u64 wheel_next_ns(const struct wheel *wheel);

#endif
