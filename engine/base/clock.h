/* clock.h: the two clocks. Pure code takes times as arguments; only edges and wiring call these. */
#ifndef MARGIN_BASE_CLOCK_H
#define MARGIN_BASE_CLOCK_H

#include "base.h"

i64 clock_wall_ms(void);      /* since 1970 UTC; may jump */
u64 clock_monotonic_ns(void); /* for deadlines and durations; never goes back */

#endif
