/*
 * route.h: which handler serves a path, and the percent-decoding of paths and queries. The table is
 * small and read in order; sessions remember their last route, so a connection that sends the same
 * request again and again does not search.
 */
#ifndef MARGIN_HTTP_ROUTE_H
#define MARGIN_HTTP_ROUTE_H

#include "base.h"
#include "http/call.h"

struct http_match {
    const struct http_route *route; /* NULL: nothing serves this method here */
    u32 methods;                    /* bits of the methods that this path knows; 0: unknown path */
    struct slice capture[HTTP_CAPTURES_MAX]; /* still encoded */
    u32 capture_count;
};

/* A slash at the end of the path is ignored. Among matching patterns the one with the earlier exact
 * segment wins. A capture is never empty. */
void http_route_find(const struct http_route *routes, u32 route_count, enum http_method method,
                     struct slice path, struct http_match *match);

/* Decodes %XX, and '+' to a blank if `plus`; the result needs no more room than the text. Returns
 * its bytes, or -1: a '%' without two digits, or a NUL. */
i64 http_percent_decode(struct slice text, bool plus, char *out);

/* Reads a query string into at most HTTP_QUERY_PARAMS_MAX parameters; `memory` takes decoded text
 * and needs as many bytes as the query. Parts without a name are left out. ERR_LIMIT, ERR_INVALID.
 */
enum err http_query_read(struct slice query, char *memory, struct http_param *params, u32 *count);

#endif
