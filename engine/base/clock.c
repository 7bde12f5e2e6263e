/* clock.c: clock_gettime, which cannot fail for these two clocks. */
#include "base/clock.h"

#include <time.h>

i64 clock_wall_ms(void) {
    struct timespec now;
    check(clock_gettime(CLOCK_REALTIME, &now) == 0);
    return (i64)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

u64 clock_monotonic_ns(void) {
    struct timespec now;
    check(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (u64)now.tv_sec * 1000000000u + (u64)now.tv_nsec;
}
