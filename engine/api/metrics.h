/* metrics.h: Prometheus text, one metric at a time. Pure; the wiring writes its own with it. */
#ifndef MARGIN_API_METRICS_H
#define MARGIN_API_METRICS_H

#include <stddef.h>

#include "base/buf.h"

enum metrics_kind {
    METRICS_COUNTER,
    METRICS_GAUGE,
    METRICS_SECONDS, /* a counter of nanoseconds, shown in seconds */
};

/* HELP, TYPE and the sample. */
void metrics_put(struct buf *out, enum metrics_kind kind, const char *name, const char *help,
                 u64 value);

/* A metric that is a u64 of a struct. */
struct metrics_row {
    enum metrics_kind kind;
    usize offset;
    const char *name;
    const char *help;
};
#define METRICS_ROW(type, member, kind, name, help)                                                \
    {                                                                                              \
        METRICS_##kind,                                                                            \
            _Generic((struct type){0}.member, u64                                                  \
                     : offsetof(struct type, member)),                                             \
            "margind_" name, help                                                                  \
    }
void metrics_put_rows(struct buf *out, const struct metrics_row *rows, u32 count, const void *from);

/* What the network edges count, summed by the wiring over all front threads. */
struct metrics_edge {
    u64 connections; /* open now */
    u64 connections_most;
    u64 good; /* answers */
    u64 refused_requests;
    u64 throttled;
    u64 overloaded;
    u64 failed;
    u64 accepted;
    u64 refused;
    u64 received_bytes;
    u64 sent_bytes;
    u64 starved;
    u64 expired;
    u64 tls_established;
    u64 tls_refused;
    u64 tls_handshakes;
    u64 tls_handshakes_most;
    u64 tls_cut;
};
void metrics_put_edge(struct buf *out, const struct metrics_edge *edge);

#endif
