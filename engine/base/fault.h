/*
 * fault.h: places where a test build can be told to die, as if by kill -9: between any two steps
 * that must not be taken for one. The product has none of this: there a place is nothing, and
 * --fault an unknown setting.
 *
 *     fault_point("log.put");
 *
 * Where FAULTS is defined (make build/margind-faults) the server takes `--fault NAME:N`, dies when
 * threads have reached that place N times, and lists all places by `--fault list`. A place is in
 * the list because it is in the code; tests/crash/points.py walks the list. With `--fault
 * hang:NAME:N` the thread that comes there stands still instead, with whatever it holds.
 */
#ifndef MARGIN_BASE_FAULT_H
#define MARGIN_BASE_FAULT_H

#include "base.h"

#ifdef FAULTS

#define FAULT_HASTE                                                                                \
    10 /* times as often as the product something is looked at that tests wait for */

struct fault_place {
    const char *name;
    _Atomic u32 reached;
};

void fault_reach(struct fault_place *place);

/* Takes `--fault X` out of the arguments. False: the process ends with *code. */
bool fault_take_argument(int *argc, char **argv, int *code);

/* Pointers, for those lie side by side in their section whatever a compiler does to structs. */
#define fault_point_if(condition, text)                                                            \
    do {                                                                                           \
        static struct fault_place fault_here = {text, 0};                                          \
        static struct fault_place *const fault_entry                                               \
            __attribute__((used, section("fault_places"))) = &fault_here;                          \
        if (condition) {                                                                           \
            fault_reach(&fault_here);                                                              \
        }                                                                                          \
    } while (0)

#else

#define FAULT_HASTE 1
#define fault_point_if(condition, text) ((void)(condition))

static inline bool fault_take_argument(const int *argc, char **argv, const int *code) {
    (void)argc;
    (void)argv;
    (void)code;
    return true;
}

#endif

#define fault_point(text) fault_point_if(true, text)

#endif
