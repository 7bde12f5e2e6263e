/* metrics.c: the text form of Prometheus, by hand: it is three lines a metric. */
#include "api/metrics.h"

#include <string.h>

#define SECOND ((u64)1000000000)

void metrics_put(struct buf *out, enum metrics_kind kind, const char *name, const char *help,
                 u64 value) {
    buf_put_format(out, "# HELP %s %s\n# TYPE %s %s\n%s ", name, help, name,
                   kind == METRICS_GAUGE ? "gauge" : "counter", name);
    if (kind == METRICS_SECONDS) {
        buf_put_format(out, "%llu.%09llu\n", (unsigned long long)(value / SECOND),
                       (unsigned long long)(value % SECOND));
    } else {
        buf_put_format(out, "%llu\n", (unsigned long long)value);
    }
}

void metrics_put_rows(struct buf *out, const struct metrics_row *rows, u32 count,
                      const void *from) {
    for (u32 i = 0; i < count; i++) {
        u64 value;
        memcpy(&value, (const char *)from + rows[i].offset, sizeof value);
        metrics_put(out, rows[i].kind, rows[i].name, rows[i].help, value);
    }
}

static const struct metrics_row edge_rows[] = {
    METRICS_ROW(metrics_edge, connections, GAUGE, "connections", "Connections open now."),
    METRICS_ROW(metrics_edge, connections_most, GAUGE, "connections_max",
                "The most connections that may be open."),
    METRICS_ROW(metrics_edge, good, COUNTER, "answers_good_total", "HTTP answers below 400."),
    METRICS_ROW(metrics_edge, refused_requests, COUNTER, "answers_refused_total",
                "HTTP answers 400 to 499, but for 429."),
    METRICS_ROW(metrics_edge, throttled, COUNTER, "answers_throttled_total", "HTTP answers 429."),
    METRICS_ROW(metrics_edge, overloaded, COUNTER, "answers_overloaded_total",
                "HTTP answers 503: nothing was done, try again."),
    METRICS_ROW(metrics_edge, failed, COUNTER, "answers_failed_total",
                "HTTP answers 500 and above, but for 503."),
    METRICS_ROW(metrics_edge, accepted, COUNTER, "connections_accepted_total",
                "Connections accepted since start."),
    METRICS_ROW(metrics_edge, refused, COUNTER, "connections_refused_total",
                "Connections closed at once because too many were open."),
    METRICS_ROW(metrics_edge, expired, COUNTER, "connections_expired_total",
                "Connections closed because a deadline passed."),
    METRICS_ROW(metrics_edge, received_bytes, COUNTER, "received_bytes_total", "Bytes received."),
    METRICS_ROW(metrics_edge, sent_bytes, COUNTER, "sent_bytes_total", "Bytes sent."),
    METRICS_ROW(metrics_edge, starved, COUNTER, "receive_starved_total",
                "Times the receive buffers ran out."),
    METRICS_ROW(metrics_edge, tls_established, COUNTER, "tls_established_total",
                "Connections whose TLS handshake succeeded."),
    METRICS_ROW(metrics_edge, tls_refused, COUNTER, "tls_refused_total",
                "Connections that did not speak TLS, or not well enough."),
    METRICS_ROW(metrics_edge, tls_handshakes, GAUGE, "tls_handshakes", "TLS handshakes under way."),
    METRICS_ROW(metrics_edge, tls_handshakes_most, GAUGE, "tls_handshakes_max",
                "The most of them; past it the oldest of a front thread makes way."),
    METRICS_ROW(metrics_edge, tls_cut, COUNTER, "tls_handshakes_cut_total",
                "TLS handshakes that made way."),
};

void metrics_put_edge(struct buf *out, const struct metrics_edge *edge) {
    metrics_put_rows(out, edge_rows, ARRAY_COUNT(edge_rows), edge);
}
