/* figures.c: names and rounding of the figures in answers. */
#include "api/figures.h"

void figures_write_sums(struct json_writer *json, const struct figures *figures) {
    json_key(json, "event_count");
    json_u64(json, figures->events);
    json_key(json, "total_cost");
    json_decimal(json, figures->cost, 12);
    json_key(json, "total_revenue");
    json_decimal(json, figures->revenue, 12);
}

void figures_write_usage(struct json_writer *json, const struct figures *figures) {
    json_key(json, "total_usage");
    json_decimal(json, figures->usage, 6);
}

void figures_write_margin(struct json_writer *json, const struct figures *figures) {
    i128 percent;
    json_key(json, "margin_pct");
    if (margin_percent(figures->cost, figures->revenue, &percent)) {
        json_decimal(json, percent, 0);
    } else {
        json_null(json);
    }
}

void figures_write_margin_r1(struct json_writer *json, const struct figures *figures) {
    json_key(json, "margin_pct");
    if (figures->revenue <= 0) {
        json_null(json);
        return;
    }
    /* floor(x + 1/2) in tenths of a percent; division rounds towards zero, so floor by hand. */
    i128 numerator = (figures->revenue - figures->cost) * 2000 + figures->revenue;
    i128 denominator = figures->revenue * 2;
    i128 tenths = numerator / denominator;
    if (numerator % denominator < 0) {
        tenths--;
    }
    json_decimal(json, tenths, 1);
}

void figures_write_last_seen(struct json_writer *json, const struct figures *figures) {
    json_key(json, "last_seen");
    if (figures->events > 0) {
        json_time(json, figures->last_seen);
    } else {
        json_null(json);
    }
}
