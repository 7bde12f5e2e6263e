/*
 * plan.c: from a query to what must be read: cells or series, bands or buckets, and the ragged ends
 * that only the log knows. Coarse buckets are used wherever they lie wholly inside the window.
 */
#include "query/plan.h"

#include "agg/clear.h"

#include <string.h>

#include "json/time.h"

static bool group_is(const struct query *query, u32 dim) {
    for (u32 i = 0; i < query->group_count; i++) {
        if (query->group[i] == dim) {
            return true;
        }
    }
    return false;
}

const char *plan_check(const struct query *query) {
    if (query->group_count > QUERY_GROUPS_MAX) {
        return "too many dimensions to group by";
    }
    for (u32 i = 0; i < query->group_count; i++) {
        if (query->group[i] >= QUERY_DIMS) {
            return "unknown dimension to group by";
        }
        for (u32 j = 0; j < i; j++) {
            if (query->group[i] == query->group[j]) {
                return "a dimension is grouped by twice";
            }
        }
    }
    if (query->filter_mask >> DIM_ACCOUNT != 0) {
        return "unknown dimension to filter by";
    }
    if (query->order >= QUERY_ORDERS || query->bucket > BUCKET_MONTH) {
        return "unknown order or bucket width";
    }
    if (!query->unordered && (query->limit < 1 || query->limit > QUERY_ROWS_MAX)) {
        return "limit is out of range";
    }
    if (query->from > query->to) {
        return "the window ends before it begins";
    }
    if (group_is(query, QUERY_AGENT) &&
        (query->group_count != 1 || query->filter_mask != 0 || query->bucket != BUCKET_NONE ||
         query->from != INT64_MIN || query->to != INT64_MAX || query->live ||
         query->without_revenue)) {
        return "agents are known for all time only, without filters";
    }
    if (tallied_needed(query) && !tallied_can(query)) {
        return "sources of revenue and whole token counts are known by model, provider and source "
               "only";
    }
    if (tallied_needed(query) && query->bucket == BUCKET_MINUTE) {
        return "minutes are too fine for this question";
    }
    return NULL;
}

/* --- filters and source ----------------------------------------------------------------------- */

/* An empty text asks for the events without a value. False: no event can match. */
static bool resolve_filters(struct plan *plan) {
    const struct query *query = plan->query;
    for (u32 dim = 0; dim < STORE_DIMS; dim++) {
        if ((query->filter_mask >> dim & 1) == 0) {
            continue;
        }
        struct slice text = query->filter[dim];
        plan->filter[dim] = DIM_NONE;
        if (dim == DIM_SOURCE) {
            for (u32 source = 0; source < EVENT_SOURCES; source++) {
                const char *name = event_source_text((enum event_source)source);
                if (strlen(name) == text.bytes && memcmp(name, text.data, text.bytes) == 0) {
                    plan->filter[dim] = source;
                }
            }
        } else if (text.bytes > 0) {
            plan->filter[dim] = value_find(plan->agg, query->account, dim, text);
        } else {
            continue;
        }
        if (plan->filter[dim] == DIM_NONE) {
            return false;
        }
    }
    return true;
}

bool plan_uses_only(const struct query *query, u32 dims) {
    u32 used = query->filter_mask;
    for (u32 i = 0; i < query->group_count; i++) {
        used |= 1u << query->group[i];
    }
    return (used & ~(dims | 1u << DIM_ACCOUNT)) == 0;
}

static void choose_source(struct plan *plan) {
    const struct query *query = plan->query;
    if (group_is(query, QUERY_AGENT)) {
        plan->source = PLAN_AGENTS;
        return;
    }
    static const u32 offered[KINDS] = {1u << DIM_CUSTOMER, 1u << DIM_FEATURE,
                                       1u << DIM_MODEL | 1u << DIM_PROVIDER, 1u << DIM_COST_TYPE};
    plan->source = PLAN_SERIES;
    for (u32 kind = 0; kind < KINDS && plan->by_bands; kind++) {
        if (plan_uses_only(query, offered[kind])) { /* the last fits nothing-in-particular best */
            plan->source = PLAN_ENTITIES;
            plan->kind = (enum kind)kind;
        }
    }
}

bool plan_matches(const struct plan *plan, const u32 *dims) {
    const struct query *query = plan->query;
    if (dims[DIM_ACCOUNT] != query->account) {
        return false;
    }
    for (u32 mask = query->filter_mask; mask != 0; mask &= mask - 1) {
        u32 dim = (u32)__builtin_ctz(mask);
        if (dims[dim] != plan->filter[dim]) {
            return false;
        }
    }
    return !query->present_only || query->group_count == 0 || dims[query->group[0]] != DIM_NONE;
}

/* --- time ------------------------------------------------------------------------------------- */

static i64 month_start(i64 time) {
    u32 year;
    u32 month;
    u32 day;
    time_civil(time / DAY_MS, &year, &month, &day);
    return time_days(year, month, 1) * DAY_MS;
}

i64 plan_bucket_start(const struct plan *plan, i64 time) {
    switch (plan->query->bucket) {
    case BUCKET_MINUTE:
        return time - time % MINUTE_MS;
    case BUCKET_HOUR:
        return time - time % HOUR_MS;
    case BUCKET_DAY:
        return time - time % DAY_MS;
    case BUCKET_MONTH:
        return month_start(time);
    case BUCKET_NONE:
        break;
    }
    return 0;
}

bool plan_any_events(const struct agg *agg, i64 from, i64 to) {
    for (u32 kind = 0; kind < WIDTHS; kind++) {
        const struct width_rows *width = &agg->width[kind];
        i64 begin = MAX(from, kind == WIDTH_DAY ? INT64_MIN : width->edge);
        u32 place = width_lower_bound(width, (u32)(begin / width->ms));
        if (begin < to && place < width->count &&
            (i64)width->list[place]->bucket * width->ms < to) {
            return true;
        }
        to = MIN(to, begin);
    }
    return false;
}

/* Up to where the width's rows are to be used, at most to the end of the window. */
static i64 cover_end(struct plan *plan, enum width kind, i64 to) {
    const struct agg *agg = plan->agg;
    i64 reached = plan->firm ? agg_whole(agg, kind) : agg_reached(agg, kind);
    i64 ms = agg->width[kind].ms;
    if (to < reached || reached % ms == 0) {
        return MIN(to, reached) / ms * ms;
    }
    plan->reached[kind] = reached;
    return reached;
}

/* Buckets of the width as far as it has everything, the rest by the next finer ones. */
static void cover(struct plan *plan, i32 kind, i64 from, i64 to) {
    if (from >= to) {
        return;
    }
    if (kind < 0) {
        if (plan_any_events(plan->agg, from, to)) {
            check(plan->log_count < PLAN_LOGS_MAX);
            plan->logs[plan->log_count++] = (struct plan_log){from, to};
        }
        return;
    }
    const struct width_rows *rows = &plan->agg->width[kind];
    i64 begin = MAX(from, rows->edge);
    begin = (begin + rows->ms - 1) / rows->ms * rows->ms;
    i64 end = cover_end(plan, (enum width)kind, to);
    if (begin >= end) {
        cover(plan, kind - 1, from, to);
        return;
    }
    check(plan->range_count < PLAN_RANGES_MAX);
    plan->ranges[plan->range_count++] = (struct plan_range){
        (enum width)kind, (u32)(begin / rows->ms), (u32)((end + rows->ms - 1) / rows->ms)};
    cover(plan, kind - 1, from, begin);
    cover(plan, kind - 1, end, to);
}

/* The edge at a time; EDGES: there is none, or its hour is just moving. */
static u32 edge_at(const struct agg *agg, i64 time) {
    u32 edge = 0;
    while (edge < EDGES && (agg->edge[edge] != time || agg->moved[edge] != 0)) {
        edge++;
    }
    return edge;
}

/* A window that begins between two edges: bands up to the later of them, what is before by rows. */
static bool split_at_edge(struct plan *plan) {
    const struct agg *agg = plan->agg;
    for (u32 edge = EDGES; edge-- > 0;) {
        if (agg->edge[edge] > plan->query->from && agg->moved[edge] == 0) {
            plan->edge = edge;
            plan->split = agg->edge[edge];
            return true;
        }
    }
    return false;
}

/* An owner's last event tells when it was last seen only if the window has no end. */
static bool choose_bands(struct plan *plan) {
    const struct query *query = plan->query;
    if (query->bucket != BUCKET_NONE || tallied_needed(query)) {
        return false;
    }
    plan->edge = plan->whole_from ? EDGES : edge_at(plan->agg, query->from);
    plan->edge_to = plan->whole_to ? EDGES : edge_at(plan->agg, query->to);
    if ((plan->edge_to == EDGES && !plan->whole_to) || (!plan->whole_to && !query->without_last)) {
        return false;
    }
    if (plan->edge == EDGES && !plan->whole_from && (!plan->whole_to || !split_at_edge(plan))) {
        return false;
    }
    u32 first = plan->edge_to == EDGES ? 0 : plan->edge_to + 1;
    plan->band_mask = (u32)((1u << (plan->edge + 1)) - 1) >> first << first;
    return true;
}

static void choose_ranges(struct plan *plan) {
    const struct agg *agg = plan->agg;
    i64 from = plan->query->from;
    i64 to = plan->query->to;
    if (plan->whole_from) {
        from = agg->oldest / DAY_MS * DAY_MS;
    }
    if (plan->whole_to) {
        to = (agg->newest / DAY_MS + 1) * DAY_MS;
    }
    enum width widest = WIDTH_DAY;
    if (plan->query->bucket == BUCKET_MINUTE) {
        widest = WIDTH_MINUTE;
    } else if (plan->query->bucket == BUCKET_HOUR) {
        widest = WIDTH_HOUR;
    }
    cover(plan, (i32)widest, from, to);
}

/* Bands up to an edge and rows before it, or rows alone if those are fewer. */
static void choose_split(struct plan *plan) {
    struct plan rows = *plan;
    cover(plan, WIDTH_DAY, plan->query->from, plan->split);
    rows.by_bands = false;
    rows.split = 0;
    choose_source(&rows);
    choose_ranges(&rows);
    u64 count = walk_count(plan, UINT64_MAX);
    if (walk_count(&rows, count) < count) {
        *plan = rows;
    }
}

static u64 changes_of(const struct agg *agg, u32 account) {
    const struct account *known = account_at(agg, account);
    return known == NULL ? 0 : known->changes;
}

static void make(struct plan *plan, struct agg *agg, const struct query *query, bool firm) {
    *plan = (struct plan){.agg = agg, .query = query, .firm = firm};
    plan->changes = changes_of(agg, query->account);
    for (u32 class = 0; class < CLASSES; class ++) {
        bool out = (query->live && (class & CLASS_STRIPE) != 0) ||
                   (query->without_revenue && (class & CLASS_REVENUE) != 0);
        plan->class_mask |= out ? 0 : 1u << class;
    }
    plan->whole_from = query->from <= agg->oldest;
    plan->whole_to = query->to > agg->newest;
    bool some = agg->newest != INT64_MIN && query->from <= agg->newest && query->to > agg->oldest &&
                account_seen(agg, query->account) != NULL;
    if (!some || !resolve_filters(plan)) {
        plan->source = PLAN_NOTHING;
        return;
    }
    plan->by_bands = choose_bands(plan);
    choose_source(plan);
    if (!plan->by_bands) {
        choose_ranges(plan);
    } else if (plan->split != 0) {
        choose_split(plan);
    }
    if (plan->source == PLAN_SERIES) {
        tallied_plan(plan);
    }
}

void plan_make(struct plan *plan, struct agg *agg, const struct query *query) {
    make(plan, agg, query, false);
}

void plan_make_firm(struct plan *plan, struct agg *agg, const struct query *query) {
    make(plan, agg, query, true);
}

/* Does what the plan assumed of time still hold? Rows that move from one band to the next change no
 * sum over both, nor any row; so bands depend only on the edge where the window begins, and ranges
 * on their buckets being kept and on nothing more being folded into a bucket that is not whole. */
static bool time_holds(const struct plan *plan) {
    const struct agg *agg = plan->agg;
    if (plan->source == PLAN_TALLIES) {
        return tallied_holds(plan);
    }
    if (plan->by_bands) {
        i64 from = plan->split != 0 ? plan->split : plan->query->from;
        if ((plan->edge != EDGES && plan->edge != edge_at(agg, from)) ||
            (plan->edge_to != EDGES && plan->edge_to != edge_at(agg, plan->query->to))) {
            return false;
        }
    }
    for (u32 i = 0; i < plan->range_count; i++) {
        const struct plan_range *range = &plan->ranges[i];
        const struct width_rows *rows = &agg->width[range->width];
        if ((i64)range->first * rows->ms < rows->edge) {
            return false;
        }
    }
    for (u32 kind = WIDTH_HOUR; kind < WIDTHS; kind++) {
        i64 reached = plan->reached[kind];
        if (reached != 0 && reached != agg_reached(agg, (enum width)kind)) {
            return false;
        }
    }
    return true;
}

bool plan_holds(const struct plan *plan) {
    const struct agg *agg = plan->agg;
    return time_holds(plan) && plan->changes == changes_of(agg, plan->query->account) &&
           plan->whole_from == (plan->query->from <= agg->oldest) &&
           plan->whole_to == (plan->query->to > agg->newest);
}

bool plan_is_one_state(const struct plan *plan) {
    return plan->changes == agg_changes(plan->agg, plan->query->account);
}
