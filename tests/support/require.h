/*
 * require.h: how a model test ends when what it found is not what its oracle says: with the line
 * and the seed that shows it again. One test program includes it once.
 */
#ifndef MARGIN_TESTS_REQUIRE_H
#define MARGIN_TESTS_REQUIRE_H

#include "base.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

static u64 seed_used;

/* Without exit handlers: threads of the program may be at work. */
static inline void fail(const char *what, int line) {
    fprintf(stderr, "%s: line %d: %s (seed %llu)\n", program_invocation_short_name, line, what,
            (unsigned long long)seed_used);
    _exit(1);
}

#define require(cond)                                                                              \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fail(#cond, __LINE__);                                                                 \
        }                                                                                          \
    } while (0)

#endif
