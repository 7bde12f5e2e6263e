/* figures_test.c: rounding of margins and part costs, and the members of a figures row. */
#include <criterion/criterion.h>
#include <string.h>

#include "api/event_object.h"
#include "api/figures.h"
#include "api/latency.h"
#include "api/metrics.h"

typedef void (*write_member)(struct json_writer *json, const struct figures *figures);

static void expect_member(write_member write, struct figures figures, const char *expected) {
    struct buf out;
    buf_init(&out, KIB);
    struct json_writer json = json_writer(&out);
    json_object_begin(&json);
    write(&json, &figures);
    json_object_end(&json);
    buf_put_char(&out, '\0');
    cr_assert_str_eq(out.data, expected);
    buf_free(&out);
}

Test(figures, margin_with_one_decimal) {
    static const struct {
        i64 cost;
        i64 revenue;
        const char *expected;
    } cases[] = {
        {0, 0, "{\"margin_pct\":null}"},       {5, -1, "{\"margin_pct\":null}"},
        {0, 1, "{\"margin_pct\":100}"},        {2, 3, "{\"margin_pct\":33.3}"},
        {1, 3, "{\"margin_pct\":66.7}"},       {3, 2, "{\"margin_pct\":-50}"},
        {1999, 2000, "{\"margin_pct\":0.1}"},  {2001, 2000, "{\"margin_pct\":0}"},
        {2003, 2000, "{\"margin_pct\":-0.1}"}, {-1, 1, "{\"margin_pct\":200}"},
    };
    for (u32 i = 0; i < ARRAY_COUNT(cases); i++) {
        struct figures figures = {.cost = cases[i].cost, .revenue = cases[i].revenue};
        expect_member(figures_write_margin_r1, figures, cases[i].expected);
    }
}

Test(figures, members) {
    struct figures figures = {.events = 3, .cost = 70500000, .revenue = -1, .usage = 2500000};
    expect_member(figures_write_sums, figures,
                  "{\"event_count\":3,\"total_cost\":0.0000705,\"total_revenue\":-0.000000000001}");
    expect_member(figures_write_usage, figures, "{\"total_usage\":2.5}");
    expect_member(figures_write_last_seen, figures, "{\"last_seen\":\"1970-01-01T00:00:00.000Z\"}");
    figures.events = 0;
    expect_member(figures_write_last_seen, figures, "{\"last_seen\":null}");
}

Test(figures, part_cost_is_rounded_to_millionths) {
    /* 150 tokens at 0.15 a million: 22.5 millionths of a dollar. */
    cr_assert(event_object_part_cost(150, 150000000000) == 23);
    cr_assert(event_object_part_cost(80, 600000000000) == 48);
    cr_assert(event_object_part_cost(0, 600000000000) == 0);
    cr_assert(event_object_part_cost((i64)1 << 40, 600000000000000) == ((i128)600 << 40));
}

Test(metrics, text) {
    struct buf out;
    buf_init(&out, 4 * KIB);
    metrics_put(&out, METRICS_COUNTER, "margind_a_total", "What it counts.", 7);
    metrics_put(&out, METRICS_SECONDS, "margind_b_seconds_total", "Time.", 1500000001);
    struct metrics_edge edge = {.connections = 5};
    metrics_put_edge(&out, &edge);
    buf_put_char(&out, '\0');
    cr_assert_not_null(strstr(out.data, "# HELP margind_a_total What it counts.\n"
                                        "# TYPE margind_a_total counter\nmargind_a_total 7\n"));
    cr_assert_not_null(strstr(out.data, "\nmargind_b_seconds_total 1.500000001\n"));
    cr_assert_not_null(strstr(out.data, "gauge\nmargind_connections 5\n"));
    buf_free(&out);
}

Test(latency, buckets_are_cumulative) {
    latency_record(LATENCY_INGEST, 1000, 901000);     /* 0.9 ms */
    latency_record(LATENCY_INGEST, 0, 1100000);       /* 1.1 ms */
    latency_record(LATENCY_INGEST, 0, 3600000000000); /* past the last bucket */
    latency_record(LATENCY_INGEST, 5, 4);             /* never negative */
    struct buf out;
    buf_init(&out, 16 * KIB);
    latency_put(&out);
    buf_put_char(&out, '\0');
    static const char *const lines[] = {"_bucket{le=\"0.000125000\"} 1\n",
                                        "_bucket{le=\"0.001000000\"} 2\n",
                                        "_bucket{le=\"0.002000000\"} 3\n",
                                        "_bucket{le=\"8.192000000\"} 3\n",
                                        "_bucket{le=\"+Inf\"} 4\n",
                                        "_sum 3600.002000000\n",
                                        "_count 4\n"};
    const char *at = out.data;
    for (u32 i = 0; i < ARRAY_COUNT(lines); i++) {
        at = strstr(at, lines[i]);
        cr_assert_not_null(at, "%s", lines[i]);
    }
    buf_free(&out);
}
