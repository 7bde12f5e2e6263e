/* wheel.c: slots of doubly linked nodes and a bitmap of those in use: see wheel.h. */
#include "net/wheel.h"

void wheel_init(struct wheel *wheel, u64 now_ns) {
    *wheel = (struct wheel){.tick = now_ns / WHEEL_TICK_NS};
}

void wheel_remove(struct wheel *wheel, struct wheel_node *node) {
    if (node->link == NULL) {
        return;
    }
    *node->link = node->next;
    if (node->next != NULL) {
        node->next->link = node->link;
    }
    node->link = NULL;
    u64 index = node->tick % WHEEL_SLOTS;
    if (wheel->slot[index] == NULL) {
        wheel->occupied[index / 64] &= ~((u64)1 << (index % 64));
    }
}

void wheel_set(struct wheel *wheel, struct wheel_node *node, u64 deadline_ns) {
    u64 tick = MAX(deadline_ns / WHEEL_TICK_NS + 1, wheel->tick);
    tick = MIN(tick, wheel->tick + WHEEL_SLOTS - 1);
    if (node->link != NULL) {
        if (node->tick <= tick) {
            return;
        }
        wheel_remove(wheel, node);
    }
    u64 index = tick % WHEEL_SLOTS;
    node->tick = tick;
    node->next = wheel->slot[index];
    node->link = &wheel->slot[index];
    if (node->next != NULL) {
        node->next->link = &node->next;
    }
    wheel->slot[index] = node;
    wheel->occupied[index / 64] |= (u64)1 << (index % 64);
}

/* The first tick from wheel->tick on that has nodes; UINT64_MAX: none. */
static u64 next_tick(const struct wheel *wheel) {
    u64 start = wheel->tick % WHEEL_SLOTS;
    for (u64 step = 0; step <= WHEEL_SLOTS / 64; step++) {
        u64 word = (start / 64 + step) % (WHEEL_SLOTS / 64);
        u64 bits = wheel->occupied[word];
        if (step == 0) {
            bits &= UINT64_MAX << (start % 64);
        }
        if (bits != 0) {
            u64 index = word * 64 + (u64)__builtin_ctzll(bits);
            return wheel->tick + (index + WHEEL_SLOTS - start) % WHEEL_SLOTS;
        }
    }
    return UINT64_MAX;
}

struct wheel_node *wheel_pop(struct wheel *wheel, u64 now_ns) {
    u64 now = now_ns / WHEEL_TICK_NS;
    u64 tick = next_tick(wheel);
    if (tick > now) {
        wheel->tick = MAX(wheel->tick, now);
        return NULL;
    }
    wheel->tick = tick;
    struct wheel_node *node = wheel->slot[tick % WHEEL_SLOTS];
    wheel_remove(wheel, node);
    return node;
}

u64 wheel_next_ns(const struct wheel *wheel) {
    u64 tick = next_tick(wheel);
    return tick == UINT64_MAX ? UINT64_MAX : tick * WHEEL_TICK_NS;
}
