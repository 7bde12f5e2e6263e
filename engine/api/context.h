/* context.h: what handlers may use. One a front thread, used by that thread only; `call->context`
 * of HTTP, likewise on the wire. The wiring zeroes it and fills the first part. */
#ifndef MARGIN_API_CONTEXT_H
#define MARGIN_API_CONTEXT_H

#include "api/answers.h"
#include "api/docs.h"
#include "api/door.h"
#include "pipeline.h"
#include "price/ledger.h"

/* A credential that was good a moment ago; spares the digest on every request of a busy client. */
struct key_slot {
    char text[CREDENTIAL_BYTES_MAX];
    u8 bytes; /* 0: free */
    struct identity identity;
    u64 version;    /* accounts_seen_version() before it was looked up */
    i64 checked_ms; /* the slot holds for one second, so that an expiry is seen */
};

/* An account's monthly limit of events: see event_limit.h. */
struct limit_slot {
    u32 account; /* 0: free */
    u64 version; /* as above */
    i64 limit;
    bool captures;
    u32 warned; /* percent, in the month */
    i64 month_ms;
};

struct allocations;
struct pasts;
struct revenues;

struct context {
    struct pipeline *pipeline;
    struct front *front;
    struct store *store;
    struct control *control;
    struct agg *agg;
    struct accounts *accounts;
    const struct usage *usage; /* set with agg */
    bool signup;               /* POST /api/signup is open */
    struct prices *prices;
    struct ledger *ledger;
    struct directory *directory; /* of customers */
    struct rosters *rosters;
    struct revenues *revenues; /* and what they earn, subscriptions included */
    struct allocations *allocations;
    struct pasts *pasts; /* answers about days that are over */
    const struct docs *docs;
    const struct door *door;
    const _Atomic bool *ready; /* recovery is done */
    /* Sums over all front threads, for /metrics: name, value pairs added by the wiring. */
    void (*edge_metrics)(void *wiring, struct buf *out);
    void *wiring;

    /* The handlers' own; zero at start. */
    struct key_slot key_cache[KEY_CACHE_SLOTS];
    struct limit_slot limit_cache[KEY_CACHE_SLOTS];
    struct answers answers;
    struct aggregate *aggregates; /* under way on reader threads: wire_aggregate.c */
    struct slow *shared;          /* likewise, of HTTP: slow.c */
    u64 uuid_seed;                /* 0: not drawn yet */
    u64 uuid_count;
};

#endif
