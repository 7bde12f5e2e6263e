/* http_edge.h: HTTP as a protocol of the edge. A listener's context is a `struct http_server`. */
#ifndef MARGIN_NET_HTTP_EDGE_H
#define MARGIN_NET_HTTP_EDGE_H

#include "http/session.h"
#include "net/edge.h"

extern const struct net_protocol http_protocol;

#endif
