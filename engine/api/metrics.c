/* metrics.c: the text form of Prometheus, by hand: it is three lines a metric. */
#include "api/metrics.h"

static void put_head(struct buf *out, enum metrics_kind kind, const char *name, const char *help) {
    buf_put_format(out, "# HELP %s %s\n# TYPE %s %s\n%s ", name, help, name,
                   kind == METRICS_COUNTER ? "counter" : "gauge", name);
}

void metrics_put(struct buf *out, enum metrics_kind kind, const char *name, const char *help,
                 u64 value) {
    put_head(out, kind, name, help);
    buf_put_u64(out, value);
    buf_put_char(out, '\n');
}

void metrics_put_seconds(struct buf *out, const char *name, const char *help, u64 value_ns) {
    put_head(out, METRICS_COUNTER, name, help);
    buf_put_format(out, "%llu.%09llu\n", (unsigned long long)(value_ns / 1000000000),
                   (unsigned long long)(value_ns % 1000000000));
}

void metrics_put_edge(struct buf *out, const struct metrics_edge *edge) {
    metrics_put(out, METRICS_GAUGE, "margind_connections", "Connections open now.",
                edge->connections);
    metrics_put(out, METRICS_COUNTER, "margind_connections_accepted_total",
                "Connections accepted since start.", edge->accepted);
    metrics_put(out, METRICS_COUNTER, "margind_connections_refused_total",
                "Connections closed at once because too many were open.", edge->refused);
    metrics_put(out, METRICS_COUNTER, "margind_connections_expired_total",
                "Connections closed because a deadline passed.", edge->expired);
    metrics_put(out, METRICS_COUNTER, "margind_received_bytes_total", "Bytes received.",
                edge->received_bytes);
    metrics_put(out, METRICS_COUNTER, "margind_sent_bytes_total", "Bytes sent.", edge->sent_bytes);
    metrics_put(out, METRICS_COUNTER, "margind_receive_starved_total",
                "Times the receive buffers ran out.", edge->starved);
}
