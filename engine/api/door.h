/*
 * door.h: what stands before every handler: rate limits, and what pages of other origins may do.
 * The functions are hooks of http_server; which limit holds for a call says its row of the table.
 */
#ifndef MARGIN_API_DOOR_H
#define MARGIN_API_DOOR_H

#include "account/account.h"
#include "api/limit.h"
#include "http/call.h"

struct context;

/* For all front threads. */
struct door {
    struct limits *limits;
    const char *origins; /* cors.h; empty: none */
    bool forwarded;      /* a proxy stands before the server: X-Forwarded-For is believed */
};

/* Every request, as soon as its head is known. For servers with origins. */
void door_begin(struct http_call *call);
/* A request whose method the path does not know. True: answered. For servers with origins. */
bool door_preflight(struct http_call *call, u32 methods);
/* Once a request has its route, before its body is received: counts it. False: it is refused, the
 * reply is complete. */
bool door_enter(struct http_call *call);

/* Events that `identity` has sent, once they are known to be taken in. */
void door_count_events(const struct context *context, const struct identity *identity, u32 events,
                       i64 now_ms);

#endif
