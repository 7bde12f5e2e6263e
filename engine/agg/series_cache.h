/*
 * series_cache.h: a front thread's private memory of which texts mean which series. A 128-bit
 * hash of the event's dimensions, one look-up; a miss leaves SERIES_UNRESOLVED for the commit
 * thread, whose answer the cache learns when the batch comes back.
 */
#ifndef MARGIN_AGG_SERIES_CACHE_H
#define MARGIN_AGG_SERIES_CACHE_H

#include "event/dicts.h"

struct series_cache;

enum err series_cache_create(u64 seed, struct series_cache **out);
void series_cache_destroy(struct series_cache *cache);
/* Events have their texts, provider inferred (see price_events). */
void series_cache_resolve(struct series_cache *cache, struct event_batch *batch, u32 first,
                          u32 count);
/* The same of all events of a native batch. */
void series_cache_resolve_dicts(struct series_cache *cache, struct event_batch *batch,
                                const struct dicts *dicts);
/* Takes the series of those events that resolve() had missed and the commit resolved. */
void series_cache_learn(struct series_cache *cache, const struct event_batch *batch);

#endif
