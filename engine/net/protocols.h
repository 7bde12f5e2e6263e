/*
 * protocols.h: HTTP and the binary protocol on an edge: binds http/session.h and wire/session.h to
 * net/edge.h. A listener's context is a struct http_server or, of the edge's own thread, a struct
 * wire_server.
 */
#ifndef MARGIN_NET_PROTOCOLS_H
#define MARGIN_NET_PROTOCOLS_H

#include "http/session.h"
#include "net/edge.h"
#include "wire/session.h"

extern const struct net_protocol http_protocol;
extern const struct net_protocol wire_protocol;

/* Once for each server, before it listens. */
void protocols_bind_wire(struct wire_server *server);

#endif
