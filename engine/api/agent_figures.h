/*
 * agent_figures.h: figures by agent within bounds, added up from the log. Memory keeps agents for
 * all time only: a time bucket for every agent would cost every event, and this is asked rarely.
 *
 * Reads the log: reader threads only.
 */
#ifndef MARGIN_API_AGENT_FIGURES_H
#define MARGIN_API_AGENT_FIGURES_H

#include "base/buf.h"
#include "query/query.h"
#include "store.h"

struct agent_row {
    struct text_ref agent;  /* in agent_figures.text */
    struct figures figures; /* of the members that answers show: events, cost, revenue, usage and
                               last_seen */
};

struct agent_figures {
    struct agent_row *rows; /* by cost descending, then agent ascending */
    u32 count;
    u32 capacity;
    u32 *slots; /* hash table: row + 1, or 0 */
    u32 slot_count;
    struct buf text;
};

/* ERR_LIMIT: more than QUERY_ROWS_MAX agents; ERR_NO_MEMORY; errors of the store. Free it either
 * way. */
enum err agent_figures_read(struct agent_figures *agents, struct store *store, u32 account,
                            i64 from, i64 to);
void agent_figures_free(struct agent_figures *agents);
struct slice agent_figures_text(const struct agent_figures *agents, const struct agent_row *row);

#endif
