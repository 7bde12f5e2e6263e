/*
 * notify.h: what systemd wants to hear of a service (sd_notify(3): datagrams to the socket named in
 * NOTIFY_SOCKET). Without that variable every function does nothing. Main thread only.
 */
#ifndef MARGIN_PROCESS_NOTIFY_H
#define MARGIN_PROCESS_NOTIFY_H

#include "base.h"

/* Opens the socket, for none may be opened later. `environment` ends with NULL. */
void notify_open(char *const *environment);
void notify_close(void);
bool notify_is_on(void);
/* "READY=1", "STOPPING=1"; lines. */
void notify_send(const char *text);
/* How often it wants to hear that we live: twice as often as it would restart us. 0: never. */
u64 notify_watchdog_ns(void);

#endif
