/* context.h: what handlers may use. One a front thread; `call->context` of HTTP, likewise on the
 * wire. */
#ifndef MARGIN_API_CONTEXT_H
#define MARGIN_API_CONTEXT_H

#include "pipeline.h"

struct context {
    struct pipeline *pipeline;
    struct front *front;
    struct store *store;
    struct agg *agg;
    struct accounts *accounts;
    const struct price_table *prices;
    const _Atomic bool *ready; /* recovery is done */
    /* Sums over all front threads, for /metrics: name, value pairs added by the wiring. */
    void (*edge_metrics)(void *wiring, struct buf *out);
    void *wiring;
};

#endif
