/*
 * keeper.h: a thread that keeps up to date what dashboards ask for again and again. Rankings and
 * parts of subscriptions follow the ring of changes, which at a full rate of events is run through
 * several times a second; who asks less often than that would have everything made anew. So while a
 * minute has not passed since the last question of a kind, its answer is never far behind.
 */
#ifndef MARGIN_QUERY_KEEPER_H
#define MARGIN_QUERY_KEEPER_H

#include "agg/agg.h"
#include "query/allocation.h"

struct keeper;

/* Neither is owned. ERR_NO_MEMORY: there is no room for a thread either. */
enum err keeper_start(struct agg *agg, struct allocations *allocations, struct keeper **out);
void keeper_stop(struct keeper *keeper); /* NULL does nothing */

#endif
