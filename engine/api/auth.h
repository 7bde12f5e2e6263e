/*
 * auth.h: who a request speaks for and whether it may. The first credential found decides: one that
 * is present but bad is refused, the next header is not tried (Observe API 1.1).
 */
#ifndef MARGIN_API_AUTH_H
#define MARGIN_API_AUTH_H

#include "account/account.h"
#include "http/call.h"

enum auth_outcome {
    AUTH_OK,
    AUTH_STARTING,  /* recovery still runs: nothing can be answered */
    AUTH_MISSING,   /* no credential */
    AUTH_UNKNOWN,   /* unknown, revoked or expired */
    AUTH_FORBIDDEN, /* the key lacks the route's scope */
};

/* Management and ingest: Observe-Key, X-Tanso-Key, X-Observe-Key, Authorization: Bearer. On false
 * the reply is complete: 503, 401 or 403. */
bool auth_require(struct http_call *call, struct identity *identity);

/* For public routes that tell more to those who show a credential with the scope. False as above: a
 * credential that is present must be good. *known: `identity` may see more. */
bool auth_optional(struct http_call *call, enum scope scope, struct identity *identity,
                   bool *known);

/* The client endpoints: Authorization: Bearer, X-API-Key, then the headers above. Writes no reply,
 * because their error body differs. */
enum auth_outcome auth_client(struct http_call *call, struct identity *identity);

/* Fills in the client endpoints' reply to any outcome but AUTH_OK. */
enum call_outcome auth_refuse_client(struct http_call *call, enum auth_outcome outcome);

/* Whose credential the call shows, if it is a good one, whatever the route asks for. Writes no
 * reply. */
bool auth_look(const struct http_call *call, struct identity *identity);

/* Whether the call may send its body at all; on false the reply is complete: see http_server. */
bool auth_admit(struct http_call *call);

#endif
