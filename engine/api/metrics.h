/* metrics.h: Prometheus text, one metric at a time. Pure; the wiring writes its own with it. */
#ifndef MARGIN_API_METRICS_H
#define MARGIN_API_METRICS_H

#include "base/buf.h"

enum metrics_kind { METRICS_COUNTER, METRICS_GAUGE };

/* HELP, TYPE and the sample. */
void metrics_put(struct buf *out, enum metrics_kind kind, const char *name, const char *help,
                 u64 value);
/* The same for a sum of nanoseconds, shown in seconds. */
void metrics_put_seconds(struct buf *out, const char *name, const char *help, u64 value_ns);

/* What the network edges count, summed by the wiring over all front threads. */
struct metrics_edge {
    u64 connections; /* open now */
    u64 accepted;
    u64 refused;
    u64 received_bytes;
    u64 sent_bytes;
    u64 starved;
    u64 expired;
};
void metrics_put_edge(struct buf *out, const struct metrics_edge *edge);

#endif
