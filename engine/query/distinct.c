/*
 * distinct.c: counting different values. The pairs of (row, value) that come by on a walk over
 * series are put into a set; how often the set grows is the answer. The walk is that of any query
 * that groups by the rows' dimensions and the counted one; only what becomes of a group differs.
 */
#include "query/activity.h"

#include "base/hash.h"
#include "query/plan.h"

#include <stdlib.h>
#include <string.h>

#define TRIES 8
#define QUICK_TRIES 3

struct distinct {
    const struct query_result *result;
    u32 *counts;
    u32 key_count; /* dimensions of a row; the counted one is next */
    u32 *slots;    /* row + 1 by its values; 0: empty */
    u32 mask;
    struct heap heap;
    struct pair_set set;
    struct figures unused; /* where the figures of groups go */
};

static bool groups_by(const struct query *query, u32 count, const u8 *dims) {
    return query->group_count == count && memcmp(query->group, dims, count) == 0;
}

/* Do the figures keep the counts? */
static bool counts_are_kept(const struct query *query, enum store_dim dim) {
    static const u8 feature[] = {DIM_FEATURE};
    static const u8 model[] = {DIM_MODEL, DIM_PROVIDER};
    bool kept = (groups_by(query, 1, feature) && dim == DIM_CUSTOMER) ||
                (groups_by(query, 2, model) && (dim == DIM_CUSTOMER || dim == DIM_FEATURE));
    return kept && query->live && !query->without_revenue && query->from == INT64_MIN &&
           query->to == INT64_MAX;
}

static void counts_kept(struct agg *agg, const struct query *query,
                        const struct query_result *result, enum store_dim dim, u32 *counts) {
    agg_read_lock(agg);
    for (u32 i = 0; i < result->row_count; i++) {
        const u32 *value = result->rows[i].value;
        u32 entity = 0;
        if (query->group[0] == DIM_MODEL) {
            entity = agg_model_find(agg, query->account, value[0], value[1]);
        } else if (value[0] == DIM_NONE) {
            entity = account_at(agg, query->account)->none[KIND_FEATURE];
        } else {
            entity = value_at(agg, DIM_FEATURE, value[0])->entity;
        }
        struct pair_counts known = pairs_counts(agg, entity);
        counts[i] = dim == DIM_CUSTOMER ? known.customers : known.features;
    }
    agg_read_unlock(agg);
}

/* --- walking ---------------------------------------------------------------------------------- */

static u32 values_hash(const u32 *values, u32 count) {
    u64 hash = 0;
    for (u32 i = 0; i < count; i++) {
        hash = hash_mix(hash ^ values[i]);
    }
    return (u32)hash;
}

/* The slot of the row with these values, or the empty one where it would stand. */
static u32 *slot_of(const struct distinct *distinct, const u32 *values) {
    u32 place = values_hash(values, distinct->key_count) & distinct->mask;
    while (distinct->slots[place] != 0) {
        const struct query_row *row = &distinct->result->rows[distinct->slots[place] - 1];
        if (memcmp(row->value, values, distinct->key_count * sizeof *values) == 0) {
            break;
        }
        place = (place + 1) & distinct->mask;
    }
    return &distinct->slots[place];
}

enum err distinct_at(struct groups *groups, const u32 *dims, struct figures **out) {
    struct distinct *distinct = groups->distinct;
    const struct query *query = groups->plan->query;
    u32 values[QUERY_GROUPS_MAX];
    for (u32 i = 0; i < query->group_count; i++) {
        values[i] = dims[query->group[i]];
    }
    u32 counted = values[distinct->key_count];
    u32 row = *slot_of(distinct, values);
    *out = &distinct->unused;
    if (row == 0 || counted == DIM_NONE) {
        return ERR_OK;
    }
    int added = pair_set_add(&distinct->set, &distinct->heap, (u64)row << 32 | (counted + 1));
    distinct->counts[row - 1] += added > 0;
    return added < 0 ? ERR_NO_MEMORY : ERR_OK;
}

static enum err walk_once(struct agg *agg, struct store *store, const struct query *query,
                          struct distinct *distinct, bool quick) {
    struct plan plan;
    struct groups groups = {.plan = &plan, .distinct = distinct};
    memset(distinct->counts, 0, distinct->result->row_count * sizeof *distinct->counts);
    memset(&distinct->set, 0, sizeof distinct->set);
    heap_init(&distinct->heap);
    agg_read_lock(agg);
    if (quick) {
        plan_make(&plan, agg, query);
    } else {
        plan_make_firm(&plan, agg, query);
    }
    enum err err = plan.log_count > 0 && store == NULL ? ERR_INVALID : ERR_OK;
    if (err == ERR_OK) {
        err = walk_memory(&plan, &groups, false);
    }
    agg_read_unlock(agg);
    if (err == ERR_OK) {
        err = walk_log(&plan, &groups, store);
    }
    heap_destroy(&distinct->heap);
    return err;
}

static enum err walk_all(struct agg *agg, struct store *store, const struct query *query,
                         struct distinct *distinct) {
    u32 places = 16;
    while (places < 2 * distinct->result->row_count) {
        places *= 2;
    }
    distinct->mask = places - 1;
    distinct->slots = calloc(places, sizeof *distinct->slots);
    if (distinct->slots == NULL) {
        return ERR_NO_MEMORY;
    }
    for (u32 i = 0; i < distinct->result->row_count; i++) {
        *slot_of(distinct, distinct->result->rows[i].value) = i + 1;
    }
    enum err err = ERR_BUSY;
    for (u32 try = 0; try < TRIES && err == ERR_BUSY; try++) {
        err = walk_once(agg, store, query, distinct, try < QUICK_TRIES);
    }
    free(distinct->slots);
    return err;
}

enum err query_distinct(struct agg *agg, struct store *store, const struct query *query,
                        const struct query_result *result, enum store_dim dim, u32 *counts) {
    if (result->row_count == 0) {
        return ERR_OK;
    }
    if (counts_are_kept(query, dim)) {
        counts_kept(agg, query, result, dim, counts);
        return ERR_OK;
    }
    struct query pairs = *query;
    if (query->group_count >= QUERY_GROUPS_MAX || query->bucket != BUCKET_NONE) {
        return ERR_INVALID;
    }
    pairs.group[pairs.group_count++] = (u8)dim;
    if (plan_check(&pairs) != NULL) {
        return ERR_INVALID;
    }
    struct distinct *distinct = calloc(1, sizeof *distinct);
    if (distinct == NULL) {
        return ERR_NO_MEMORY;
    }
    distinct->result = result;
    distinct->counts = counts;
    distinct->key_count = query->group_count;
    enum err err = walk_all(agg, store, &pairs, distinct);
    free(distinct);
    return err;
}
