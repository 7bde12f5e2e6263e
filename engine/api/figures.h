/* figures.h: the members of a figures row, so that every list names and rounds them alike. Pure. */
#ifndef MARGIN_API_FIGURES_H
#define MARGIN_API_FIGURES_H

#include "query/query.h"
#include "json/write.h"

/* event_count, total_cost, total_revenue */
void figures_write_sums(struct json_writer *json, const struct figures *figures);
void figures_write_usage(struct json_writer *json, const struct figures *figures);
/* margin_pct: an integer percent, or null without revenue */
void figures_write_margin(struct json_writer *json, const struct figures *figures);
/* margin_pct with one decimal */
void figures_write_margin_r1(struct json_writer *json, const struct figures *figures);
void figures_write_last_seen(struct json_writer *json, const struct figures *figures);

#endif
