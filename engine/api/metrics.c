#include "api/metrics.h"

static void put_head(struct buf *out, enum metric_kind kind, const char *name, const char *help) {
    buf_put_format(out, "# HELP %s %s\n# TYPE %s %s\n%s ", name, help, name,
                   kind == METRIC_COUNTER ? "counter" : "gauge", name);
}

void metric_put(struct buf *out, enum metric_kind kind, const char *name, const char *help,
                u64 value) {
    put_head(out, kind, name, help);
    buf_put_u64(out, value);
    buf_put_char(out, '\n');
}

void metric_put_seconds(struct buf *out, const char *name, const char *help, u64 value_ns) {
    put_head(out, METRIC_COUNTER, name, help);
    buf_put_format(out, "%llu.%09llu\n", (unsigned long long)(value_ns / 1000000000),
                   (unsigned long long)(value_ns % 1000000000));
}
