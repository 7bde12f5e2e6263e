/*
 * call.h: one HTTP request and its reply, as handlers see them. A handler gets slices and a reply
 * buffer and knows nothing of sockets. It either fills the reply and returns CALL_DONE, or keeps
 * the call and returns CALL_PENDING; then http_call_finish() must be called later, exactly once, on
 * the same front thread. A call outlives its connection if need be.
 */
#ifndef MARGIN_HTTP_CALL_H
#define MARGIN_HTTP_CALL_H

#include "base/buf.h"
#include "base/pool.h"
#include "limits.h"

enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_PATCH,
    HTTP_DELETE,
    HTTP_OPTIONS,
    HTTP_METHODS /* and: anything else, which is answered 405 or 404 */
};

enum call_outcome { CALL_DONE, CALL_PENDING };

struct http_param { /* percent-decoded, '+' is a blank in queries */
    struct slice name;
    struct slice value;
};

#define HTTP_CAPTURES_MAX 4

struct http_route;

struct http_call {
    /* Request. Everything lasts until the call is finished. */
    enum http_method method;
    const struct http_route *route;          /* the row that matched; never NULL in a handler */
    struct slice path;                       /* as received, without the query */
    struct slice capture[HTTP_CAPTURES_MAX]; /* percent-decoded {name} parts of the route */
    u32 capture_count;
    struct http_param param[HTTP_QUERY_PARAMS_MAX];
    u32 param_count;
    struct slice body; /* expanded; EVENT_TEXT_PADDING readable and writable bytes follow */
    i64 now_ms;        /* wall clock when the request was complete */
    void *context;     /* what the listener was made with */

    /* Reply. Defaults: 200, application/json. */
    u16 status;
    const char *content_type; /* static */
    struct buf reply;         /* the body */
    struct buf headers;       /* further header lines, each ending in CRLF */
    bool close;               /* close the connection after the reply */

    void *user;    /* the handler's own, for pending calls */
    u64 caller[4]; /* whoever checks credentials notes here what he found, so that hook and handler
                      look once; zero when a head is complete */
};

/* A request header by its lower-case name; empty and false if absent. */
bool http_call_header(const struct http_call *call, const char *lower_name, struct slice *value);
/* The last one of that name: what the nearest proxy added. */
bool http_call_last_header(const struct http_call *call, const char *lower_name,
                           struct slice *value);
/* A query parameter by name (the first one given); empty and false if absent. */
bool http_call_param(const struct http_call *call, const char *name, struct slice *value);
/* Numeric address of the client, "unknown" when its connection is gone. */
const char *http_call_peer(const struct http_call *call);
/* Whether it came over TLS: to us, not to a proxy before us. */
bool http_call_is_secure(const struct http_call *call);
/* Moves the body's memory to the caller, who gives it back to the front thread's pool. call->body
 * (which this may move) stays valid until then. `block.data` is NULL if the body was empty. */
struct block http_call_take_body(struct http_call *call);
/* The reply of a pending call is complete. */
void http_call_finish(struct http_call *call);

typedef enum call_outcome (*http_handler)(struct http_call *call);

/* One row of a route table. Pattern parts in braces match one path segment: "/api/events/{id}".
 * Exact segments win over captures. Unknown path: 404; known path with another method: 405 with
 * Allow. */
struct http_route {
    enum http_method method; /* GET serves HEAD too */
    const char *pattern;
    http_handler handler;
    usize body_bytes_max;
    u32 row; /* of the table this was made from, for its owner (api/routes.h) */
};

#endif
