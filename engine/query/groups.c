/*
 * groups.c: the rows of an answer. Either a hash from group to figures, for sums over series and
 * buckets, or, where every group comes complete and once (cells), a heap of the best rows, so that
 * the first hundred of a million customers take the memory of a hundred.
 */
#include "query/plan.h"

#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

/* --- figures ---------------------------------------------------------------------------------- */

void figures_clear(struct figures *figures) {
    *figures = (struct figures){.first_seen = INT64_MAX, .last_seen = INT64_MIN};
}

void figures_add_sums(struct figures *figures, const struct sums *sums) {
    figures->events += sums->events;
    figures->cost += sums->cost;
    figures->revenue += sums->revenue;
    figures->usage += sums->usage;
    figures->input += sums->input;
    figures->output += sums->output;
    figures->cached += sums->cached;
    figures->cache_write += sums->cache_write;
    figures->duration_ms += sums->duration_ms;
    figures->duration_count += sums->durations;
    figures->unpriced += sums->unpriced;
}

void figures_add_row(struct figures *figures, const struct row *row, const struct array *wides) {
    struct sums sums = {0};
    row_read(row, wides, &sums);
    figures_add_sums(figures, &sums);
}

void figures_add(struct figures *figures, const struct figures *more) {
    figures->events += more->events;
    figures->cost += more->cost;
    figures->revenue += more->revenue;
    figures->usage += more->usage;
    figures->input += more->input;
    figures->output += more->output;
    figures->cached += more->cached;
    figures->cache_write += more->cache_write;
    figures->duration_ms += more->duration_ms;
    figures->duration_count += more->duration_count;
    figures->unpriced += more->unpriced;
    figures->first_seen = MIN(figures->first_seen, more->first_seen);
    figures->last_seen = MAX(figures->last_seen, more->last_seen);
}

/* --- order ------------------------------------------------------------------------------------ */

static i128 order_value(enum query_order order, const struct figures *figures) {
    switch (order) {
    case ORDER_EVENTS:
        return figures->events;
    case ORDER_COST:
        return figures->cost;
    case ORDER_REVENUE:
        return figures->revenue;
    case ORDER_MARGIN:
        return figures->revenue - figures->cost;
    case ORDER_USAGE:
        return figures->usage;
    case ORDER_LAST_SEEN:
        return figures->last_seen;
    case ORDER_KEY:
    case QUERY_ORDERS:
        break;
    }
    return 0;
}

int compare_slices(struct slice a, struct slice b) {
    int order = memcmp(a.data, b.data, MIN(a.bytes, b.bytes));
    return order != 0 ? order : (a.bytes > b.bytes) - (a.bytes < b.bytes);
}

static int compare_texts(const struct groups *groups, const struct query_row *a,
                         const struct query_row *b) {
    const struct query *query = groups->plan->query;
    for (u32 i = 0; i < query->group_count; i++) {
        if (a->value[i] == b->value[i]) {
            continue;
        }
        int order =
            compare_slices(query_value_text(groups->plan->agg, query->group[i], a->value[i]),
                           query_value_text(groups->plan->agg, query->group[i], b->value[i]));
        if (order != 0) {
            return order;
        }
    }
    return 0;
}

/* Below 0: a comes first. */
static int compare_rows(const struct groups *groups, const struct query_row *a,
                        const struct query_row *b) {
    const struct query *query = groups->plan->query;
    if (a->bucket_start != b->bucket_start) {
        return a->bucket_start < b->bucket_start ? -1 : 1;
    }
    i128 left = order_value(query->order, &a->figures);
    i128 right = order_value(query->order, &b->figures);
    if (left != right) {
        return (left < right) == query->ascending ? -1 : 1;
    }
    int texts = compare_texts(groups, a, b);
    return query->order == ORDER_KEY && !query->ascending ? -texts : texts;
}

/* The heap's root is its last row in order: the one that a better row replaces. */
static void heap_sink(struct groups *groups, u32 at, u32 count) {
    struct query_row *rows = groups->rows;
    struct query_row row = rows[at];
    for (;;) {
        u32 child = 2 * at + 1;
        if (child >= count) {
            break;
        }
        if (child + 1 < count && compare_rows(groups, &rows[child + 1], &rows[child]) > 0) {
            child++;
        }
        if (compare_rows(groups, &rows[child], &row) <= 0) {
            break;
        }
        rows[at] = rows[child];
        at = child;
    }
    rows[at] = row;
}

static void heap_rise(struct groups *groups, u32 at) {
    struct query_row *rows = groups->rows;
    struct query_row row = rows[at];
    while (at > 0 && compare_rows(groups, &row, &rows[(at - 1) / 2]) > 0) {
        rows[at] = rows[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    rows[at] = row;
}

/* Turns a heap into rows in order. */
static void heap_sort(struct groups *groups, u32 count) {
    for (u32 left = count; left > 1; left--) {
        struct query_row last = groups->rows[0];
        groups->rows[0] = groups->rows[left - 1];
        groups->rows[left - 1] = last;
        heap_sink(groups, 0, left - 1);
    }
}

/* --- groups ----------------------------------------------------------------------------------- */

enum err groups_init(struct groups *groups, const struct plan *plan, bool streaming) {
    u64 keep = (u64)plan->query->offset + plan->query->limit;
    *groups = (struct groups){.plan = plan, .streaming = streaming};
    groups->keep = plan->query->unordered ? UINT32_MAX : (u32)MIN(keep, (u64)UINT32_MAX);
    figures_clear(&groups->total);
    groups->capacity = 16;
    groups->rows = malloc(groups->capacity * sizeof *groups->rows);
    if (groups->rows == NULL) {
        return ERR_NO_MEMORY;
    }
    if (!streaming) {
        groups->slot_mask = 63;
        groups->slots = calloc((usize)groups->slot_mask + 1, sizeof *groups->slots);
        if (groups->slots == NULL) {
            return ERR_NO_MEMORY;
        }
    }
    return ERR_OK;
}

void groups_free(struct groups *groups) {
    free(groups->rows);
    free(groups->slots);
    groups->rows = NULL;
    groups->slots = NULL;
}

static enum err rows_grow(struct groups *groups) {
    if (groups->count < groups->capacity) {
        return ERR_OK;
    }
    if (groups->count >= GROUPS_MAX) {
        return ERR_LIMIT;
    }
    struct query_row *rows = realloc(groups->rows, 2 * groups->capacity * sizeof *rows);
    if (rows == NULL) {
        return ERR_NO_MEMORY;
    }
    groups->rows = rows;
    groups->capacity *= 2;
    return ERR_OK;
}

static u32 row_hash(const struct query_row *row) {
    u64 hash = hash_mix((u64)row->value[0] << 32 | row->value[1]);
    return (u32)hash_mix(hash ^ row->value[2] ^ (u64)row->bucket_start << 20);
}

static enum err slots_grow(struct groups *groups) {
    if ((groups->count + 1) * 2 <= groups->slot_mask) {
        return ERR_OK;
    }
    u32 mask = groups->slot_mask * 4 + 3;
    u32 *slots = calloc((usize)mask + 1, sizeof *slots);
    if (slots == NULL) {
        return ERR_NO_MEMORY;
    }
    for (u32 i = 0; i < groups->count; i++) {
        u32 place = row_hash(&groups->rows[i]) & mask;
        while (slots[place] != 0) {
            place = (place + 1) & mask;
        }
        slots[place] = i + 1;
    }
    free(groups->slots);
    groups->slots = slots;
    groups->slot_mask = mask;
    return ERR_OK;
}

void groups_hand_over(struct groups *groups) {
    if (groups->piece.figures.events != 0) {
        groups->each->piece(groups->each->context, groups->piece.value, groups->piece.bucket_start,
                            &groups->piece.figures);
    }
    figures_clear(&groups->piece.figures);
}

static enum err piece_at(struct groups *groups, const u32 *dims, i64 bucket_start,
                         struct figures **out) {
    const struct query *query = groups->plan->query;
    groups_hand_over(groups);
    for (u32 i = 0; i < query->group_count; i++) {
        groups->piece.value[i] = dims[query->group[i]];
    }
    groups->piece.bucket_start = bucket_start;
    *out = &groups->piece.figures;
    return ERR_OK;
}

enum err groups_at(struct groups *groups, const u32 *dims, i64 bucket_start, struct figures **out) {
    if (unlikely(groups->distinct != NULL)) {
        return distinct_at(groups, dims, out);
    }
    if (groups->each != NULL) {
        return piece_at(groups, dims, bucket_start, out);
    }
    const struct query *query = groups->plan->query;
    struct query_row row = {.bucket_start = bucket_start};
    for (u32 i = 0; i < query->group_count; i++) {
        row.value[i] = dims[query->group[i]];
    }
    u32 place = row_hash(&row) & groups->slot_mask;
    for (; groups->slots[place] != 0; place = (place + 1) & groups->slot_mask) {
        struct query_row *known = &groups->rows[groups->slots[place] - 1];
        if (memcmp(known->value, row.value, sizeof row.value) == 0 &&
            known->bucket_start == bucket_start) {
            *out = &known->figures;
            return ERR_OK;
        }
    }
    enum err err = rows_grow(groups);
    if (err == ERR_OK) {
        err = slots_grow(groups);
    }
    if (err != ERR_OK) {
        return err;
    }
    place = row_hash(&row) & groups->slot_mask;
    while (groups->slots[place] != 0) {
        place = (place + 1) & groups->slot_mask;
    }
    figures_clear(&row.figures);
    groups->rows[groups->count++] = row;
    groups->slots[place] = groups->count;
    *out = &groups->rows[groups->count - 1].figures;
    return ERR_OK;
}

enum err groups_offer(struct groups *groups, const struct query_row *row) {
    groups->total_count++;
    figures_add(&groups->total, &row->figures);
    if (groups->count == groups->keep) {
        if (compare_rows(groups, row, &groups->rows[0]) < 0) {
            groups->rows[0] = *row;
            heap_sink(groups, 0, groups->count);
        }
        return ERR_OK;
    }
    enum err err = rows_grow(groups);
    if (err == ERR_OK) {
        groups->rows[groups->count++] = *row;
        if (!groups->plan->query->unordered) {
            heap_rise(groups, groups->count - 1);
        }
    }
    return err;
}

enum err groups_take_rows(struct groups *groups, u32 count, struct query_row **rows) {
    *rows = realloc(groups->rows, (usize)MAX(count, 1u) * sizeof **rows);
    if (*rows == NULL) {
        return ERR_NO_MEMORY;
    }
    groups->rows = *rows;
    groups->capacity = MAX(count, 1u);
    groups->count = count;
    groups->ordered = true;
    return ERR_OK;
}

/* Sums the hash's rows and makes the best of them a heap at the front. */
static void best_first(struct groups *groups) {
    u32 count = groups->count;
    groups->total_count = count;
    groups->count = MIN(count, groups->keep);
    for (u32 i = 0; i < count; i++) {
        figures_add(&groups->total, &groups->rows[i].figures);
    }
    if (groups->plan->query->unordered) {
        return;
    }
    for (u32 at = groups->count / 2; at-- > 0;) {
        heap_sink(groups, at, groups->count);
    }
    for (u32 i = groups->count; i < count; i++) {
        if (compare_rows(groups, &groups->rows[i], &groups->rows[0]) < 0) {
            groups->rows[0] = groups->rows[i];
            heap_sink(groups, 0, groups->count);
        }
    }
}

enum err groups_finish(struct groups *groups, struct query_result *result) {
    const struct query *query = groups->plan->query;
    if (!groups->streaming) {
        best_first(groups);
    }
    if (!query->unordered && !groups->ordered) {
        heap_sort(groups, groups->count);
    }
    u32 first = query->unordered ? 0 : MIN(query->offset, groups->count);
    result->row_count = groups->count - first;
    result->row_total = groups->total_count;
    result->total = groups->total;
    memmove(groups->rows, groups->rows + first, result->row_count * sizeof *groups->rows);
    for (u32 i = 0; i < result->row_count; i++) {
        for (u32 j = query->group_count; j < QUERY_GROUPS_MAX; j++) {
            groups->rows[i].value[j] = DIM_NONE;
        }
    }
    result->rows = groups->rows;
    groups->rows = NULL;
    return ERR_OK;
}
