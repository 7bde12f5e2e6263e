/* resident.h: what the system says this process has in memory. */
#ifndef MARGIN_BASE_RESIDENT_H
#define MARGIN_BASE_RESIDENT_H

#include "base.h"

struct resident {
    u64 bytes;   /* all pages */
    u64 private; /* of them, such that are no file's: the others can be given up at any time */
};

/* Zeroes where the system does not say. */
struct resident resident_now(void);

#endif
