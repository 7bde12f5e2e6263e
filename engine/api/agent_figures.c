/* agent_figures.c: one pass over the log, one small hash table, one sort. */
#include "api/agent_figures.h"

#include <stdlib.h>
#include <string.h>

#include "api/event_rows.h"
#include "base/hash.h"

#define FIRST_SLOTS 256 /* a power of two */
#define COLUMNS                                                                                    \
    (TEXT_BIT(TEXT_AGENT) | NUM_BIT(NUM_TIME) | NUM_BIT(NUM_COST) | NUM_BIT(NUM_REVENUE) |         \
     NUM_BIT(NUM_USAGE))

struct slice agent_figures_text(const struct agent_figures *agents, const struct agent_row *row) {
    return (struct slice){agents->text.data + row->agent.offset, row->agent.bytes};
}

static int compare_texts(struct slice a, struct slice b) {
    int order = memcmp(a.data, b.data, MIN(a.bytes, b.bytes));
    return order != 0 ? order : (a.bytes > b.bytes) - (a.bytes < b.bytes);
}

static u32 *find_slot(const struct agent_figures *agents, struct slice agent) {
    u32 mask = agents->slot_count - 1;
    u32 at = (u32)hash64(agent.data, agent.bytes, 0) & mask;
    while (agents->slots[at] != 0) {
        const struct agent_row *row = &agents->rows[agents->slots[at] - 1];
        if (compare_texts(agent_figures_text(agents, row), agent) == 0) {
            break;
        }
        at = (at + 1) & mask;
    }
    return &agents->slots[at];
}

/* Keeps the table at most half full and the rows with room for one more. */
static enum err make_room(struct agent_figures *agents) {
    if (agents->count < agents->capacity) {
        return ERR_OK;
    }
    if (agents->count >= QUERY_ROWS_MAX) {
        return ERR_LIMIT;
    }
    u32 slot_count = MAX(agents->slot_count * 2, (u32)FIRST_SLOTS);
    struct agent_row *rows = realloc(agents->rows, slot_count / 2 * sizeof *rows);
    if (rows == NULL) {
        return ERR_NO_MEMORY;
    }
    agents->rows = rows;
    u32 *slots = calloc(slot_count, sizeof *slots);
    if (slots == NULL) {
        return ERR_NO_MEMORY;
    }
    free(agents->slots);
    agents->slots = slots;
    agents->slot_count = slot_count;
    agents->capacity = slot_count / 2;
    for (u32 i = 0; i < agents->count; i++) {
        *find_slot(agents, agent_figures_text(agents, &agents->rows[i])) = i + 1;
    }
    return ERR_OK;
}

static enum err find_row(struct agent_figures *agents, struct slice agent, struct agent_row **out) {
    enum err err = make_room(agents);
    if (err != ERR_OK) {
        return err;
    }
    u32 *slot = find_slot(agents, agent);
    if (*slot == 0) {
        struct agent_row *row = &agents->rows[agents->count];
        *row = (struct agent_row){.agent = {(u32)agents->text.bytes, (u32)agent.bytes},
                                  .figures = {.last_seen = INT64_MIN}};
        buf_put_slice(&agents->text, agent);
        if (agents->text.failed) {
            return ERR_NO_MEMORY;
        }
        *slot = ++agents->count;
    }
    *out = &agents->rows[*slot - 1];
    return ERR_OK;
}

static enum err add_batch(struct agent_figures *agents, const struct event_batch *batch) {
    for (u32 i = 0; i < batch->count; i++) {
        struct slice agent = event_text_of(batch, i, TEXT_AGENT);
        if (agent.bytes == 0) {
            continue;
        }
        struct agent_row *row;
        enum err err = find_row(agents, agent, &row);
        if (err != ERR_OK) {
            return err;
        }
        struct figures *figures = &row->figures;
        figures->events++;
        if ((batch->flags[i] & EVENT_FLAG_FOREIGN_UNIT) == 0) {
            figures->cost += batch->number[NUM_COST][i];
        }
        figures->revenue += batch->number[NUM_REVENUE][i];
        figures->usage += batch->number[NUM_USAGE][i];
        figures->last_seen = MAX(figures->last_seen, batch->number[NUM_TIME][i]);
    }
    return ERR_OK;
}

static int compare_rows(const void *a, const void *b, void *context) {
    const struct agent_row *left = a;
    const struct agent_row *right = b;
    if (left->figures.cost != right->figures.cost) {
        return left->figures.cost > right->figures.cost ? -1 : 1;
    }
    const struct agent_figures *agents = context;
    return compare_texts(agent_figures_text(agents, left), agent_figures_text(agents, right));
}

enum err agent_figures_read(struct agent_figures *agents, struct store *store, u32 account,
                            i64 from, i64 to) {
    *agents = (struct agent_figures){.count = 0};
    buf_init(&agents->text, REPLY_BYTES_MAX);
    struct store_scan_options options = {.filter = store_filter_all, .columns = COLUMNS};
    options.filter.dim_mask = 1u << DIM_ACCOUNT;
    options.filter.dim_value[DIM_ACCOUNT] = account;
    options.filter.time_from = from;
    options.filter.time_to = to;
    struct store_scan *scan;
    enum err err = store_scan_open(store, &options, &scan);
    if (err != ERR_OK) {
        return err;
    }
    const struct event_batch *batch;
    while ((err = event_rows_next(scan, &batch)) == ERR_OK && batch->count > 0) {
        err = add_batch(agents, batch);
        if (err != ERR_OK) {
            break;
        }
    }
    store_scan_close(scan);
    if (err == ERR_OK && agents->count > 1) {
        qsort_r(agents->rows, agents->count, sizeof *agents->rows, compare_rows, agents);
    }
    return err;
}

void agent_figures_free(struct agent_figures *agents) {
    free(agents->rows);
    free(agents->slots);
    buf_free(&agents->text);
}
