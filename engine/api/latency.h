/*
 * latency.h: how long requests took, from the complete request to the complete reply, as Prometheus
 * histograms. Counters of the process: any thread, relaxed, a handful of nanoseconds a request.
 */
#ifndef MARGIN_API_LATENCY_H
#define MARGIN_API_LATENCY_H

#include "base/buf.h"

enum latency_kind {
    LATENCY_INGEST, /* POST /api/events/ingest */
    LATENCY_CLIENT, /* POST /api/v1/client/events */
    LATENCY_SLOW,   /* reads that left the front thread */
    LATENCY_KINDS
};

void latency_record(enum latency_kind kind, u64 start_ns, u64 end_ns);
void latency_put(struct buf *out);

#endif
