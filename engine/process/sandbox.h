/*
 * sandbox.h: what the process may still ask of the kernel once it has started. Whoever finds a hole
 * in the code that reads strangers' bytes is then inside a process that can serve, and read and
 * write its files, but start no program, make no socket, trace nobody, map no code. It cannot be
 * taken back.
 *
 * The list of what is allowed is one table (sandbox.c), found by tracing the system tests. A call
 * that is not on it fails with EPERM, and the log says so once a second (see sandbox_refused()), or
 * ends the process.
 */
#ifndef MARGIN_PROCESS_SANDBOX_H
#define MARGIN_PROCESS_SANDBOX_H

#include "base.h"

/* Also for threads that run already. `kill`: a call that is not allowed ends the process. False: it
 * is not possible here; `why` is one line. */
bool sandbox_enter(bool kill, char *why, usize why_bytes);
/* How many calls are on the list, but for those that depend on what they are given. */
u32 sandbox_calls(void);

/* How many calls were refused since start; *last is the number of one of them. */
u64 sandbox_refused(u32 *last);

#endif
