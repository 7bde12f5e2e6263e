/* metrics.h: Prometheus text, one metric at a time. Pure; the wiring writes its own with it. */
#ifndef MARGIN_API_METRICS_H
#define MARGIN_API_METRICS_H

#include "base/buf.h"

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE };

/* HELP, TYPE and the sample. */
void metric_put(struct buf *out, enum metric_kind kind, const char *name, const char *help,
                u64 value);
/* The same for a sum of nanoseconds, shown in seconds. */
void metric_put_seconds(struct buf *out, const char *name, const char *help, u64 value_ns);

#endif
