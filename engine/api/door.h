/*
 * door.h: what stands before every handler: rate limits, what pages of other origins may do, and
 * how often somebody may guess. The first functions are hooks of http_server; which limit holds for
 * a call says its row of the table.
 *
 * Guessing. An API key or a token is 192 random bits: nobody guesses one, so a good one always
 * passes, whatever others behind the same address did; bad ones past the limit are told to wait
 * and lose their connection, which keeps a flood of them cheap. A password is what a human thinks
 * of: wrong ones are counted for the e-mail address, so that it does not matter from how many
 * places they come, and past the limit the right one is refused, too. That would let strangers lock
 * somebody out; so an address from which he logged in within 30 days has a count of its own.
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
    u64 seed;            /* of this installation: hashes that nobody outside can foresee */
};

#define DOOR_KNOWN_MS ((u32)30 * 24 * 3600000)
#define DOOR_KNOWN_MOST                                                                            \
    2 /* one that is known has half of it: who used up a window stays longer                       \
       */

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

/* A credential that is no good came from `peer`, a numeric address, or with `call`: counts it.
 * False: there were too many; *retry_s says how long to wait. */
bool door_count_bad_key(const struct context *context, const char *peer, i64 now_ms, u32 *retry_s);
bool door_count_bad_call(const struct http_call *call, u32 *retry_s);

/* For whom one try to log in is counted. A value; any thread may use it. */
struct door_login {
    u64 who[3];  /* the e-mail address, or the two together if they are known */
    u64 here[3]; /* e-mail address and address */
    bool known;
};
/* On the front thread; `email` as it is written in the tables. */
struct door_login door_login(const struct http_call *call, const char *email);
/* Whether it may be tried now: counts `count` as failed until door_login_good(). */
bool door_login_may(const struct context *context, const struct door_login *login, u32 count,
                    i64 now_ms, u32 *retry_s);
/* It was the right password after all. `is_proof`: somebody has come in with it. */
void door_login_good(const struct context *context, const struct door_login *login, bool is_proof,
                     i64 now_ms);

#endif
