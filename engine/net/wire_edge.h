/* wire_edge.h: the binary protocol on an edge: binds wire/session.h to net/edge.h. A listener with
 * this protocol has a struct wire_server of the edge's own thread as its context. */
#ifndef MARGIN_NET_WIRE_EDGE_H
#define MARGIN_NET_WIRE_EDGE_H

#include "net/edge.h"
#include "wire/session.h"

extern const struct net_protocol wire_protocol;

/* Once for each server, before it listens. */
void wire_edge_bind(struct wire_server *server);

#endif
