/*
 * secure.h: TLS as a client sees it: whom it believes, and a connected socket made secure. The
 * server's certificate is always checked: who signed it, its dates, and that it names the host
 * that was meant.
 */
#ifndef MARGIN_CLIENT_SECURE_H
#define MARGIN_CLIENT_SECURE_H

#include <sys/types.h>

#include "base.h"

/* Whom a client believes. May be shared by threads. */
struct secure_trust;

/* `ca` is a PEM file of certificates; NULL: those the system trusts. NULL: `why` says why not. */
struct secure_trust *secure_trust_open(const char *ca, char *why, usize why_bytes);
void secure_trust_close(struct secure_trust *trust); /* NULL is fine */

struct secure;

/* Shakes hands over a connected socket, which stays the caller's. `protocol` is the name for ALPN.
 * NULL: `why` is one line that says what is wrong and what to do. */
struct secure *secure_open(struct secure_trust *trust, int fd, const char *host,
                           const char *protocol, u32 timeout_ms, char *why, usize why_bytes);
/* Tells the server that nothing more comes. NULL is fine. */
void secure_close(struct secure *secure);

/* As send(2) and recv(2) on a socket that never waits: -1 with errno; EAGAIN: poll for
 * secure_events(). Sending again after EAGAIN must begin with the same bytes. A read takes at most
 * a record, so there may be more without the socket being readable: secure_has_more(). */
ssize_t secure_send(struct secure *secure, const void *data, usize bytes);
ssize_t secure_receive(struct secure *secure, void *into, usize bytes);
short secure_events(const struct secure *secure);
bool secure_has_more(const struct secure *secure);

#endif
