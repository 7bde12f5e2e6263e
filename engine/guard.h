/*
 * guard.h: what the process may do, in the order in which it gives things up: before it opens
 * anything it cannot gain rights any more and becomes the user of its files; once the ports are
 * bound it is that user for good; and once every front thread has its ring and all files that
 * come first are open, before a single byte of a stranger is looked at, the sandbox is closed.
 * Main thread only, but for guard_pass() and what tells that we live.
 */
#ifndef MARGIN_GUARD_H
#define MARGIN_GUARD_H

#include "config.h"

/* Before anything is opened. ERR_INVALID: of the settings, ERR_SYSTEM; `why` is one line. */
enum err guard_begin(const struct config *config, char *const *environment, char *why,
                     usize why_bytes);
/* The settings are good, and nothing is made yet: from here on there are the data directory, which
 * is the user's, and the files that the settings name, and no others. ERR_SYSTEM. */
enum err guard_own_files(const struct config *config, char *why, usize why_bytes);
/* Around the binding of ports, before there are threads: as root, if we came as root; and never
 * again. ERR_SYSTEM. */
void guard_bind_begin(void);
enum err guard_bind_end(const struct config *config, char *why, usize why_bytes);

/* A front thread that is ready to serve waits here until it may. */
void guard_pass(void);
/* Gives up what is left, when `fronts` threads wait, and lets them go on, whatever it returns.
 * ERR_SYSTEM: what the settings ask for is not possible here. */
enum err guard_close(const struct config *config, u32 fronts, char *why, usize why_bytes);

/* Tells whoever supervises us that we serve, or stop. */
void guard_tell_ready(void);
void guard_tell_stopping(void);
/* Once a second: what the sandbox refused goes to the log. */
void guard_look(void);
/* System calls refused since start. Any thread. */
u64 guard_refused(void);
/* Whether the supervisor wants to hear now that we live, and tells it; one thread. */
bool guard_must_tell_alive(u64 now_ns);
void guard_tell_alive(void);
/* A closed terminal is none to a service: SIGHUP then never stops it. */
bool guard_is_service(void);

#endif
