/*
 * limit.h: rate limits (Observe API section 9). A route names its class; a class has a rule: so
 * many requests a window, and a window begins with the first request that finds none open.
 *
 * The state is one table of fixed size that all front threads share, in shards with a lock each, so
 * that a limit holds exactly over all of them. Whoever has a window open has a slot; where a shard
 * is full, the one who has used least of his window makes way. A class without a limit never
 * touches the table. A restart forgets all windows.
 */
#ifndef MARGIN_API_LIMIT_H
#define MARGIN_API_LIMIT_H

#include "base.h"

enum limit_class {
    LIMIT_MANAGE,    /* by key or session, else by address */
    LIMIT_NONE,      /* never limited: probes, documentation */
    LIMIT_AUTH,      /* logins by address; other than that as LIMIT_MANAGE */
    LIMIT_SIGNUP,    /* by address */
    LIMIT_EXPENSIVE, /* by account: what computes for long, or asks another service */
    LIMIT_INGEST,    /* by key; off unless set */
    LIMIT_EVENTS,    /* events that a key sends; no route's class, nor are those below */
    LIMIT_FAILED,    /* credentials that were no good, by address */
    LIMIT_LOGIN,     /* passwords that were wrong, by e-mail address */
    LIMIT_KNOWN,     /* where somebody has logged in from: counts, refuses nothing */
    LIMIT_CLASSES
};

#define LIMIT_PUBLISHED 60 /* requests a minute, says the published API of everything */

struct limit_rule {
    u32 most; /* 0: no limit */
    u32 window_ms;
};

struct limits; /* thread safe */

/* ERR_NO_MEMORY. */
enum err limits_create(const struct limit_rule rules[LIMIT_CLASSES], u64 seed, struct limits **out);
void limits_destroy(struct limits *limits);

/* Whether a class has a limit. Cheap: the answer never changes. */
bool limits_has(const struct limits *limits, enum limit_class class);

struct limit_answer {
    bool allowed;
    u32 most;      /* of the rule */
    u32 remaining; /* after this one */
    u32 reset_s;   /* until the window ends, rounded up */
};

/* Counts `count` for `who`, whose number or bytes tell him from others of the class, if there is
 * something left in the window; the last one may so go past it by what it counts. 0 counts nothing,
 * it only asks. The class has a limit. */
struct limit_answer limits_take(struct limits *limits, enum limit_class class, struct slice who,
                                u32 count, i64 now_ms);

/* Takes back what limits_take() counted for `who`, if his window is still open. */
void limits_give(struct limits *limits, enum limit_class class, struct slice who, u32 count,
                 i64 now_ms);

/* Windows that are open now; at most LIMIT_SLOTS_MAX. */
u64 limits_open(struct limits *limits, i64 now_ms);
/* Requests refused since start. */
u64 limits_refused(const struct limits *limits);
/* What was counted of a class since start, and not taken back. */
u64 limits_counted(struct limits *limits, enum limit_class class);

#endif
