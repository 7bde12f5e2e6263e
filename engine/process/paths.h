/*
 * paths.h: which files the process may open from here on, where the kernel has Landlock (its second
 * version, Linux 5.19): a filter of system calls sees no paths. It cannot be taken back, and holds
 * for threads that are made afterwards: so it comes before there are others.
 */
#ifndef MARGIN_PROCESS_PATHS_H
#define MARGIN_PROCESS_PATHS_H

#include "base.h"

enum paths_right {
    PATHS_OWN,    /* a directory and all below it: everything but to run programs */
    PATHS_BESIDE, /* a file of the settings: it may be read, and what takes its place */
    PATHS_READ,   /* likewise a directory and all below it */
    PATHS_LIST    /* names below a directory */
};

struct paths_rule {
    const char *path; /* empty: none. What does not exist is left out */
    enum paths_right right;
};

/* False: the kernel cannot do it; nothing has changed. */
bool paths_restrict(const struct paths_rule *rules, u32 count);

#endif
