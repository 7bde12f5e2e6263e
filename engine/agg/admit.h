/*
 * admit.h: caps on how many different things one account may name. Whoever holds a key can invent
 * customers and traces without end, and each takes memory for ever; so past its cap an event that
 * names a new one is refused, by itself and with its reason, while events of what is known go on.
 *
 * Asked before an event's key is claimed, so that a refused event leaves nothing behind. Writer
 * thread only. Recovery does not ask: what the log has was admitted.
 */
#ifndef MARGIN_AGG_ADMIT_H
#define MARGIN_AGG_ADMIT_H

#include "agg/agg.h"

/* True: no event of the batch (of one account) can pass a cap, so none needs to be asked for. */
bool agg_has_room(const struct agg *agg, const struct event_batch *batch);

/* The cap that the event would pass, or AGG_CAPS. Earlier events of the batch that were admitted
 * are resolved, and their traces promised, before this is asked. */
enum agg_cap agg_admit(struct agg *agg, const struct event_batch *batch, u32 row);

/* The event has been admitted and will be applied unless its commit fails. Its trace, if that is
 * new, counts from now on. False: no memory. */
bool agg_promise_trace(struct agg *agg, const struct event_batch *batch, u32 row);

#endif
