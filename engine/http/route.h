/*
 * route.h: which handler serves a path, and the percent-decoding of paths and queries. A router is
 * made once from a table: exact paths are found by their hash, patterns with captures among those
 * of as many segments, by their text before the first capture. Sessions remember their last route,
 * so a connection that sends the same request again and again does not search.
 */
#ifndef MARGIN_HTTP_ROUTE_H
#define MARGIN_HTTP_ROUTE_H

#include "base.h"
#include "http/call.h"

#define ROUTER_SLOTS 2048
#define ROUTER_SEGMENTS_MAX 16 /* of a pattern */

struct http_router {
    const struct http_route *routes;
    u32 count;
    u16 slot[ROUTER_SLOTS];                   /* an exact route and those that follow it; 0: none */
    u16 next[HTTP_ROUTES_MAX + 1];            /* the next one with this very pattern; 0: none */
    u16 captured[HTTP_ROUTES_MAX];            /* the others, in the order of their segments */
    u16 prefix_bytes[HTTP_ROUTES_MAX];        /* of those: text before the first capture */
    u16 captured_at[ROUTER_SEGMENTS_MAX + 2]; /* where those of so many segments begin */
};

struct http_match {
    const struct http_route *route; /* NULL: nothing serves this method here */
    u32 methods; /* without a route: bits of the methods that this path knows; 0: unknown path */
    struct slice capture[HTTP_CAPTURES_MAX]; /* still encoded */
    u32 capture_count;
};

/* The table lasts as long as the router and has at most HTTP_ROUTES_MAX rows. Afterwards any number
 * of threads may use the router. */
void http_router_init(struct http_router *router, const struct http_route *routes, u32 count);

/* A slash at the end of the path is ignored. Among matching patterns the one with the earlier exact
 * segment wins. A capture is never empty. */
void http_route_find(const struct http_router *router, enum http_method method, struct slice path,
                     struct http_match *match);

/* Decodes %XX, and '+' to a blank if `plus`; the result needs no more room than the text. Returns
 * its bytes, or -1: a '%' without two digits, a NUL, or the result is not UTF-8. So whatever comes
 * by a path or a query may stand in JSON. */
i64 http_percent_decode(struct slice text, bool plus, char *out);

/* Reads a query string into at most HTTP_QUERY_PARAMS_MAX parameters; `memory` takes decoded text
 * and needs as many bytes as the query. Parts without a name are left out. ERR_LIMIT, ERR_INVALID.
 */
enum err http_query_read(struct slice query, char *memory, struct http_param *params, u32 *count);

#endif
