/*
 * auth.h: who a request speaks for and whether it may. The first credential found decides: one that
 * is present but bad is refused, the next is not tried (Observe API 1.1). The order: Observe-Key,
 * X-Tanso-Key, X-Observe-Key, Authorization: Bearer (a key or a session's token), the cookie.
 *
 * A cookie is sent by the browser whoever made it send the request. So a write that it vouches for
 * must come from our own pages: the browser's Sec-Fetch-Site says so, or, where it says nothing,
 * Origin names the host that was asked; or from an origin that the settings list. Besides, the
 * cookie is SameSite=Lax and HttpOnly. Programs that are no browsers send neither header, and are
 * not tricked into sending cookies.
 */
#ifndef MARGIN_API_AUTH_H
#define MARGIN_API_AUTH_H

#include "account/account.h"
#include "http/call.h"

#define AUTH_COOKIE "margin_session"

enum auth_outcome {
    AUTH_OK,
    AUTH_STARTING,    /* recovery still runs: nothing can be answered */
    AUTH_MISSING,     /* no credential */
    AUTH_UNKNOWN,     /* unknown, revoked, ended or expired */
    AUTH_FORBIDDEN,   /* the key lacks the route's scope */
    AUTH_SESSION,     /* a key, where a session is needed */
    AUTH_KEY,         /* a session, where a key is needed */
    AUTH_ROLE,        /* the session's role is too low */
    AUTH_CROSS_SITE,  /* a write by cookie from a page that is not ours */
    AUTH_UNAVAILABLE, /* the accounts could not be read */
    AUTH_DAMAGED,     /* what is stored of the credential does not hold */
};

/* Whether the route may be called with what the request presents; session tokens only where the
 * route takes sessions. On false the reply is complete: 503, 401 or 403. */
bool auth_require(struct http_call *call, struct identity *identity);

/* The same without a reply. */
bool auth_may(struct http_call *call);

/* For public routes that tell more to those who show a credential with the scope. False as above: a
 * credential that is present must be good. *known: `identity` may see more. */
bool auth_optional(struct http_call *call, enum scope scope, struct identity *identity,
                   bool *known);

/* Whose credential the call shows, whatever the route asks for. AUTH_MISSING: there is none. Writes
 * no reply. */
enum auth_outcome auth_identify(struct http_call *call, struct identity *identity);
/* Fills in the reply to any outcome but AUTH_OK. */
enum call_outcome auth_refuse(struct http_call *call, enum auth_outcome outcome);

/* The token that auth_require() accepted, of a session. */
struct slice auth_token(const struct http_call *call);

/* False: a browser sends this from a page that is not ours. For what makes a cookie. */
bool auth_is_own_site(const struct http_call *call);

/* The client endpoints: keys only, from Authorization: Bearer, X-API-Key, then the headers above.
 * Writes no reply, because their error body differs. */
enum auth_outcome auth_client(struct http_call *call, struct identity *identity);

/* Fills in the client endpoints' reply to any outcome but AUTH_OK. */
enum call_outcome auth_refuse_client(struct http_call *call, enum auth_outcome outcome);

/* Whether the call may send its body at all; on false the reply is complete: see http_server. */
bool auth_admit(struct http_call *call);

#endif
