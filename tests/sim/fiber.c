/*
 * fiber.c: every thread of the simulated world is a fiber of the one real thread. At each simulated
 * call the scheduler may let another go on; which one, the seed says. Time stands still while any
 * fiber can run, but for the little that each step takes; when none can, it jumps to the next
 * moment at which one can. If there is no such moment, the server has locked itself up: a failure.
 *
 * Some fibers are slow in some runs, so that one thread falls far behind the others.
 */
#include "tests/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

#define FIBERS_MAX 64
#define STACK_BYTES (4 * MIB)
#define STEPS_MAX 20000000

enum fiber_state { FIBER_FREE, FIBER_READY, FIBER_WAITS, FIBER_ENDED };

struct fiber {
    enum fiber_state state;
    u32 id;
    bool server;
    bool first; /* the server's main() */
    u32 weight;
    bool (*ready)(void *);
    void *ready_argument;
    u64 until_ns;
    bool late;
    void *(*run)(void *);
    void *argument;
    char *stack;
    ucontext_t context;
    char name[16];
    void *fake_stack;
};

static SIM_STATE struct {
    struct fiber fiber[FIBERS_MAX];
    struct fiber *current;
    ucontext_t loop;
    void *loop_fake_stack;
    const void *loop_stack;
    usize loop_stack_bytes;
    u32 last_id;
    u32 yield_percent;
    u64 now_ns;
    i64 wall_ms;
    u64 steps;
} world;

extern void *__real_mmap(void *, size_t, int, int, int, long);

/* --- switching -------------------------------------------------------------------------------- */

static void before_switch(void **save, const void *stack, usize bytes) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(save, stack, bytes);
#else
    (void)save;
    (void)stack;
    (void)bytes;
#endif
}

static void after_switch(void *saved, bool from_loop) {
#if defined(__SANITIZE_ADDRESS__)
    if (from_loop) {
        __sanitizer_finish_switch_fiber(saved, &world.loop_stack, &world.loop_stack_bytes);
    } else {
        __sanitizer_finish_switch_fiber(saved, NULL, NULL);
    }
#else
    (void)saved;
    (void)from_loop;
#endif
}

static void to_loop(void) {
    struct fiber *self = world.current;
    before_switch(&self->fake_stack, world.loop_stack, world.loop_stack_bytes);
    swapcontext(&self->context, &world.loop);
    after_switch(self->fake_stack, true);
}

static void to_fiber(struct fiber *fiber) {
    world.current = fiber;
    before_switch(&world.loop_fake_stack, fiber->stack, STACK_BYTES);
    swapcontext(&world.loop, &fiber->context);
    after_switch(world.loop_fake_stack, false);
    world.current = NULL;
}

static void enter(void) {
    struct fiber *self = world.current;
    after_switch(NULL, true);
    self->run(self->argument);
    self->state = FIBER_ENDED;
    to_loop();
}

struct fiber *fiber_start(const char *name, bool server, void *(*run)(void *), void *argument) {
    static const u32 weights[] = {1, 4, 16, 64};
    struct fiber *fiber = world.fiber;
    while (fiber < world.fiber + FIBERS_MAX && fiber->state != FIBER_FREE) {
        fiber++;
    }
    promise(fiber < world.fiber + FIBERS_MAX, "the server starts too many threads");
    char *stack = fiber->stack;
    if (stack == NULL) {
        stack = __real_mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        promise(stack != MAP_FAILED, "no memory for a stack");
    }
    *fiber = (struct fiber){.state = FIBER_READY,
                            .id = ++world.last_id,
                            .server = server,
                            .first = server && fiber_count_server() == 0,
                            .weight = weights[roll(ARRAY_COUNT(weights))],
                            .run = run,
                            .argument = argument,
                            .stack = stack};
    snprintf(fiber->name, sizeof fiber->name, "%s", name);
    getcontext(&fiber->context);
    fiber->context.uc_stack.ss_sp = stack;
    fiber->context.uc_stack.ss_size = STACK_BYTES;
    makecontext(&fiber->context, enter, 0);
    return fiber;
}

/* --- what fibers do --------------------------------------------------------------------------- */

bool fiber_wait(bool (*ready)(void *), void *argument, u64 until_ns) {
    struct fiber *self = world.current;
    self->state = FIBER_WAITS;
    self->ready = ready;
    self->ready_argument = argument;
    self->until_ns = until_ns;
    self->late = false;
    to_loop();
    return !self->late;
}

static bool never(void *argument) {
    (void)argument;
    return false;
}

void fiber_sleep(u64 ns) {
    fiber_wait(never, NULL, world.now_ns + ns);
}

void fiber_yield(void) {
    world.current->state = FIBER_READY;
    to_loop();
}

void fiber_step(void) {
    world.now_ns += 50 + roll(1000);
    if (world.current != NULL && roll(100) < world.yield_percent) {
        fiber_yield();
    }
}

bool fiber_is_server(void) {
    return world.current != NULL && world.current->server;
}

bool fiber_is_main(void) {
    return world.current != NULL && world.current->first;
}

u32 fiber_id(void) {
    return world.current != NULL ? world.current->id : 0;
}

u32 fiber_count_server(void) {
    u32 count = 0;
    for (u32 i = 0; i < FIBERS_MAX; i++) {
        count += world.fiber[i].server &&
                 (world.fiber[i].state == FIBER_READY || world.fiber[i].state == FIBER_WAITS);
    }
    return count;
}

void fiber_kill_server(void) {
    for (u32 i = 0; i < FIBERS_MAX; i++) {
        if (world.fiber[i].server) {
            world.fiber[i].state = FIBER_FREE;
            world.fiber[i].server = false;
        }
    }
}

_Noreturn void fiber_stop_machine(void) {
    for (;;) {
        fiber_wait(never, NULL, SIM_NEVER);
    }
}

/* --- the loop --------------------------------------------------------------------------------- */

static bool can_run(struct fiber *fiber) {
    if (fiber->state == FIBER_READY) {
        return true;
    }
    if (fiber->state != FIBER_WAITS) {
        return false;
    }
    if (fiber->ready(fiber->ready_argument)) {
        fiber->late = false;
        return true;
    }
    fiber->late = true;
    return world.now_ns >= fiber->until_ns;
}

/* Where the machine has stopped, only what is outside of it goes on. */
static struct fiber *pick(void) {
    struct fiber *able[FIBERS_MAX];
    u32 count = 0;
    u32 weight = 0;
    bool stopped = machine_crash_is_due();
    for (u32 i = 0; i < FIBERS_MAX; i++) {
        struct fiber *fiber = &world.fiber[i];
        if (!(stopped && fiber->server) && can_run(fiber)) {
            able[count++] = fiber;
            weight += fiber->weight;
        }
    }
    if (count == 0) {
        return NULL;
    }
    u32 at = roll(weight);
    u32 i = 0;
    while (at >= able[i]->weight) {
        at -= able[i++]->weight;
    }
    return able[i];
}

static void tell_all(void) {
    for (u32 i = 0; i < FIBERS_MAX; i++) {
        const struct fiber *fiber = &world.fiber[i];
        if (fiber->state == FIBER_WAITS) {
            fprintf(stderr, "  %s (%u) waits until %llu\n", fiber->name, fiber->id,
                    (unsigned long long)fiber->until_ns);
        }
    }
}

static void pass_time(void) {
    u64 next = net_next_ns();
    for (u32 i = 0; i < FIBERS_MAX; i++) {
        if (world.fiber[i].state == FIBER_WAITS &&
            !(machine_crash_is_due() && world.fiber[i].server)) {
            next = MIN(next, world.fiber[i].until_ns);
        }
    }
    if (next == SIM_NEVER) {
        tell_all();
        sim_fail("nobody can go on: a deadlock");
    }
    world.now_ns = MAX(world.now_ns, next);
}

static bool all_ended(void) {
    for (u32 i = 0; i < FIBERS_MAX; i++) {
        struct fiber *fiber = &world.fiber[i];
        if (fiber->state == FIBER_ENDED) {
            fiber->state = FIBER_FREE;
            fiber->server = false;
        } else if (fiber->state != FIBER_FREE && !fiber->server) {
            return false;
        }
    }
    return true;
}

void fiber_run_all(void) {
    static const u32 percents[] = {1, 10, 30};
    world.now_ns = 1000 * SIM_S;
    world.wall_ms = 1795000000000; /* November 2026 */
    world.yield_percent = percents[roll(ARRAY_COUNT(percents))];
    while (!all_ended()) {
        struct fiber *fiber = pick();
        if (fiber == NULL) {
            pass_time();
            continue;
        }
        fiber->state = FIBER_READY;
        sim_note(fiber->id ^ world.now_ns << 8);
        if (++world.steps > STEPS_MAX) {
            tell_all();
            sim_fail("no end after %u steps", STEPS_MAX);
        }
        to_fiber(fiber);
    }
}

/* --- clocks ----------------------------------------------------------------------------------- */

u64 clock_now_ns(void) {
    return world.now_ns;
}

i64 clock_wall_now_ms(void) {
    return world.wall_ms + (i64)(world.now_ns / SIM_MS);
}

void clock_jump(i64 ms) {
    world.wall_ms += ms;
}
