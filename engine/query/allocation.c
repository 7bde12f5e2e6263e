/*
 * allocation.c: a customer's parts follow from its figures by feature. Columns of cost, revenue and
 * events, which rankings give for next to nothing, tell which customers had events since the last
 * time; their parts are taken back and made anew.
 */
#include "query/allocation.h"

#include "agg/ranking.h"
#include "query/plan.h"

#include <stdlib.h>
#include <string.h>

#define KEPT 8           /* windows of accounts whose parts are kept */
#define STEP_SERIES 2048 /* looked at between two times of letting the writer in */
#define TRIES 3

struct piece {
    u32 feature; /* place */
    i128 amount;
};

/* Parts of all customers of an account in one window. */
struct kept {
    struct revenue_window window;
    u64 stamp;   /* of the book; 0: free */
    u64 changes; /* the account's when it was begun */
    u64 used;
    u32 count; /* customers; columns one behind the other, as of the last time */
    i128 *columns;
    struct piece **pieces; /* by customer */
    u32 *piece_count;
    i128 *amount; /* sums by feature */
    u32 *customers;
    u32 feature_count;
};

/* A customer's figures by feature, while it is looked at. */
struct feature_sum {
    i128 cost;
    i128 revenue;
    u64 events;
    bool seen;
};

struct scratch {
    struct feature_sum *sums; /* by place */
    u32 *seen;                /* places, in the order of the features' keys once sorted */
    i128 *weights;
    i128 *parts;
    u32 seen_count;
    u32 count; /* of features */
};

struct allocations {
    struct revenues *revenues;
    pthread_mutex_t mutex; /* over the rest; taken before all others */
    struct kept kept[KEPT];
    u64 uses;
    struct scratch scratch;
};

enum err allocations_create(struct revenues *revenues, struct allocations **out) {
    struct allocations *allocations = calloc(1, sizeof *allocations);
    if (allocations == NULL) {
        return ERR_NO_MEMORY;
    }
    allocations->revenues = revenues;
    pthread_mutex_init(&allocations->mutex, NULL);
    *out = allocations;
    return ERR_OK;
}

static void kept_clear(struct kept *kept) {
    for (u32 i = 0; i < kept->count; i++) {
        free(kept->pieces[i]);
    }
    free(kept->columns);
    free(kept->pieces);
    free(kept->piece_count);
    free(kept->amount);
    free(kept->customers);
    *kept = (struct kept){0};
}

static void scratch_free(struct scratch *scratch) {
    free(scratch->sums);
    free(scratch->seen);
    free(scratch->weights);
    free(scratch->parts);
    *scratch = (struct scratch){0};
}

void allocations_destroy(struct allocations *allocations) {
    if (allocations == NULL) {
        return;
    }
    for (u32 i = 0; i < KEPT; i++) {
        kept_clear(&allocations->kept[i]);
    }
    scratch_free(&allocations->scratch);
    pthread_mutex_destroy(&allocations->mutex);
    free(allocations);
}

void allocation_free(struct allocation *allocation) {
    free(allocation->amount);
    free(allocation->customers);
}

/* --- splitting -------------------------------------------------------------------------------- */

static i128 magnitude(i128 value) {
    return value < 0 ? -value : value;
}

/* floor(a * b / c + 1/2), c above 0. Whole multiples first; past 126 bits of the rest the last bits
 * of b and c are let go. */
static i128 scale(i128 a, i128 b, i128 c) {
    i128 whole = b / c;
    i128 rest = b % c;
    i128 room = (((i128)1 << 124) - 1) / (magnitude(a) + 1);
    while (magnitude(rest) > room) {
        rest /= 2;
        c /= 2;
    }
    i128 dividend = 2 * (a * rest) + c;
    i128 quotient = dividend / (2 * c);
    return a * whole + quotient - (dividend % (2 * c) < 0);
}

/* Rounded where the running sum is, so that roundings cancel out. */
void allocation_split(i128 amount, const i128 *weights, u32 count, i128 *parts) {
    i128 sum = 0;
    for (u32 i = 0; i < count; i++) {
        sum += weights[i];
    }
    check(sum != 0);
    i128 sign = sum < 0 ? -1 : 1;
    i128 so_far = 0;
    i128 given = 0;
    for (u32 i = 0; i < count; i++) {
        so_far += weights[i];
        i128 due = scale(amount, so_far * sign, sum * sign);
        parts[i] = due - given;
        given = due;
    }
}

/* --- one customer ----------------------------------------------------------------------------- */

/* Room for all features there are. */
static bool scratch_make(struct scratch *scratch, u32 features) {
    if (features <= scratch->count) {
        return true;
    }
    scratch_free(scratch);
    u32 count = features + features / 4 + 16;
    scratch->sums = calloc(count, sizeof *scratch->sums);
    scratch->seen = malloc(count * sizeof *scratch->seen);
    scratch->weights = malloc(count * sizeof *scratch->weights);
    scratch->parts = malloc(count * sizeof *scratch->parts);
    if (scratch->sums == NULL || scratch->seen == NULL || scratch->weights == NULL ||
        scratch->parts == NULL) {
        scratch_free(scratch);
        return false;
    }
    scratch->count = count;
    return true;
}

static void scratch_add(struct scratch *scratch, u32 feature, i128 cost, i128 revenue, u64 events) {
    struct feature_sum *sum = &scratch->sums[feature];
    if (!sum->seen) {
        *sum = (struct feature_sum){.seen = true};
        scratch->seen[scratch->seen_count++] = feature;
    }
    sum->cost += cost;
    sum->revenue += revenue;
    sum->events += events;
}

struct by_key {
    const struct agg *agg;
    u32 account;
};

static struct slice key_of(const struct by_key *by_key, u32 place) {
    const struct list *list = &account_at(by_key->agg, by_key->account)->entities[KIND_FEATURE];
    return agg_value_text(by_key->agg, DIM_FEATURE,
                          entity_at(by_key->agg, list_at(list, place))->key[0]);
}

static int compare_keys(const void *left, const void *right, void *context) {
    struct slice a = key_of(context, *(const u32 *)left);
    struct slice b = key_of(context, *(const u32 *)right);
    usize bytes = MIN(a.bytes, b.bytes);
    int order = bytes == 0 ? 0 : memcmp(a.data, b.data, bytes);
    return order != 0 ? order : (a.bytes > b.bytes) - (a.bytes < b.bytes);
}

/* From the customer's sums by feature to parts, in the order of `seen`. Caller holds the read lock.
 */
static void scratch_split(struct scratch *scratch, const struct agg *agg, u32 account, i128 share) {
    i128 cost = 0;
    i128 revenue = 0;
    for (u32 i = 0; i < scratch->seen_count; i++) {
        cost += scratch->sums[scratch->seen[i]].cost;
        revenue += scratch->sums[scratch->seen[i]].revenue;
    }
    memset(scratch->parts, 0, scratch->seen_count * sizeof *scratch->parts);
    if (scratch->seen_count == 0 || share <= revenue) {
        return;
    }
    const struct by_key by_key = {agg, account};
    if (scratch->seen_count > 1) {
        qsort_r(scratch->seen, scratch->seen_count, sizeof *scratch->seen, compare_keys,
                (void *)(usize)&by_key);
    }
    for (u32 i = 0; i < scratch->seen_count; i++) {
        const struct feature_sum *sum = &scratch->sums[scratch->seen[i]];
        scratch->weights[i] = cost != 0 ? sum->cost : (i128)sum->events;
    }
    allocation_split(share - revenue, scratch->weights, scratch->seen_count, scratch->parts);
}

static void scratch_clear(struct scratch *scratch) {
    for (u32 i = 0; i < scratch->seen_count; i++) {
        scratch->sums[scratch->seen[i]].seen = false;
    }
    scratch->seen_count = 0;
}

/* --- from the log, or anything -----------------------------------------------------------------
 */

struct pair { /* a row by its customer */
    u32 place;
    u32 row;
};

static int compare_pairs(const void *left, const void *right) {
    const struct pair *a = left;
    const struct pair *b = right;
    return (a->place > b->place) - (a->place < b->place);
}

static u32 feature_place(const struct agg *agg, u32 account, u32 value) {
    u32 entity = value == DIM_NONE ? account_at(agg, account)->none[KIND_FEATURE]
                                   : value_at(agg, DIM_FEATURE, value)->entity;
    return entity == 0 ? UINT32_MAX : entity_at(agg, entity)->place;
}

static u32 count_features(struct agg *agg, u32 account) {
    agg_read_lock(agg);
    const struct account *known = account_at(agg, account);
    u32 count = known == NULL ? 0 : known->entities[KIND_FEATURE].count;
    agg_read_unlock(agg);
    return count;
}

static bool allocation_make(struct allocation *allocation, u32 features) {
    allocation->count = features;
    allocation->amount = calloc(features + (usize)1, sizeof *allocation->amount);
    allocation->customers = calloc(features + (usize)1, sizeof *allocation->customers);
    return allocation->amount != NULL && allocation->customers != NULL;
}

/* All (customer, feature) pairs, one customer after the other. */
static void split_pairs(struct scratch *scratch, struct agg *agg, u32 account,
                        const struct query_result *result, const struct pair *pairs, u32 count,
                        const struct revenue *revenue, struct allocation *out) {
    for (u32 i = 0; i < count;) {
        u32 place = pairs[i].place;
        agg_read_lock(agg);
        for (; i < count && pairs[i].place == place; i++) {
            const struct query_row *row = &result->rows[pairs[i].row];
            scratch_add(scratch, feature_place(agg, account, row->value[1]), row->figures.cost,
                        row->figures.revenue, row->figures.events);
        }
        scratch_split(scratch, agg, account, revenue->share[place]);
        for (u32 part = 0; part < scratch->seen_count; part++) {
            out->amount[scratch->seen[part]] += scratch->parts[part];
            out->customers[scratch->seen[part]]++;
        }
        scratch_clear(scratch);
        agg_read_unlock(agg);
    }
}

static enum err read_pairs(struct allocations *allocations, struct agg *agg, struct store *store,
                           const struct revenue_window *window, struct allocation *out) {
    const struct query query = {.account = window->account,
                                .group = {DIM_CUSTOMER, DIM_FEATURE},
                                .group_count = 2,
                                .live = true,
                                .present_only = true,
                                .without_first = true,
                                .without_last = true,
                                .unordered = true,
                                .from = window->from,
                                .to = window->to};
    struct query_result result;
    struct revenue revenue;
    const char *why;
    enum err err = query_run(agg, store, &query, &result, &why);
    if (err != ERR_OK) {
        return err;
    }
    err = revenue_read(allocations->revenues, agg, store, window, REVENUE_SHARES, &revenue);
    if (err != ERR_OK) {
        query_result_free(&result);
        return err;
    }
    u32 features = count_features(agg, window->account);
    struct pair *pairs = malloc((result.row_count + (usize)1) * sizeof *pairs);
    if (pairs == NULL || !scratch_make(&allocations->scratch, features) ||
        !allocation_make(out, features)) {
        err = ERR_NO_MEMORY;
    } else {
        for (u32 i = 0; i < result.row_count; i++) {
            agg_read_lock(agg);
            pairs[i].place = revenue_place(agg, window->account, result.rows[i].value[0]);
            pairs[i].row = i;
            agg_read_unlock(agg);
        }
        qsort(pairs, result.row_count, sizeof *pairs, compare_pairs);
        split_pairs(&allocations->scratch, agg, window->account, &result, pairs, result.row_count,
                    &revenue, out);
    }
    free(pairs);
    revenue_free(allocations->revenues, &revenue);
    query_result_free(&result);
    return err;
}

/* --- kept parts ------------------------------------------------------------------------------- */

#define COLUMNS 3 /* cost, revenue, events */

/* What one look at the kept parts needs. */
struct look {
    struct allocations *allocations;
    struct agg *agg;
    struct plan plan;
    struct query query;
    struct revenue revenue;
    i128 *column[RANKING_COLUMNS];
    u32 count;
    struct kept *kept;
    u32 steps_left;
};

static bool same_window(const struct revenue_window *a, const struct revenue_window *b) {
    return a->account == b->account && a->from == b->from && a->to == b->to &&
           a->length_ms == b->length_ms;
}

static struct kept *kept_of(struct allocations *allocations, const struct revenue_window *window) {
    struct kept *oldest = &allocations->kept[0];
    for (u32 i = 0; i < KEPT; i++) {
        struct kept *kept = &allocations->kept[i];
        if (kept->stamp != 0 && same_window(&kept->window, window)) {
            return kept;
        }
        oldest = kept->used < oldest->used ? kept : oldest;
    }
    kept_clear(oldest);
    return oldest;
}

/* Room for customers and features that are new. */
static bool kept_extend(struct kept *kept, u32 count) {
    struct piece **pieces = realloc(kept->pieces, (count + (usize)1) * sizeof(struct piece *));
    kept->pieces = pieces != NULL ? pieces : kept->pieces;
    u32 *piece_count = realloc(kept->piece_count, (count + (usize)1) * sizeof *piece_count);
    kept->piece_count = piece_count != NULL ? piece_count : kept->piece_count;
    if (pieces == NULL || piece_count == NULL) {
        return false;
    }
    for (; kept->count < count; kept->count++) {
        kept->pieces[kept->count] = NULL;
        kept->piece_count[kept->count] = 0;
    }
    return true;
}

static bool kept_features(struct kept *kept, u32 features) {
    if (features <= kept->feature_count) {
        return true;
    }
    i128 *amount = realloc(kept->amount, features * sizeof *amount);
    if (amount == NULL) {
        return false;
    }
    kept->amount = amount;
    u32 *customers = realloc(kept->customers, features * sizeof *customers);
    if (customers == NULL) {
        return false;
    }
    kept->customers = customers;
    for (; kept->feature_count < features; kept->feature_count++) {
        amount[kept->feature_count] = 0;
        customers[kept->feature_count] = 0;
    }
    return true;
}

/* The customer's parts become those of the scratch. */
static bool kept_replace(struct kept *kept, u32 place, const struct scratch *scratch) {
    u32 count = scratch->seen_count;
    struct piece *pieces = NULL;
    if (count > 0) {
        pieces = malloc(count * sizeof *pieces);
        if (pieces == NULL) {
            return false;
        }
    }
    for (u32 i = 0; i < kept->piece_count[place]; i++) {
        const struct piece *piece = &kept->pieces[place][i];
        kept->amount[piece->feature] -= piece->amount;
        kept->customers[piece->feature]--;
    }
    for (u32 i = 0; i < count; i++) {
        pieces[i] = (struct piece){scratch->seen[i], scratch->parts[i]};
        kept->amount[pieces[i].feature] += pieces[i].amount;
        kept->customers[pieces[i].feature]++;
    }
    free(kept->pieces[place]);
    kept->pieces[place] = pieces;
    kept->piece_count[place] = count;
    return true;
}

/* The customer's figures by feature. Caller holds the read lock. */
static void add_series(struct look *look, u32 value) {
    const struct agg *agg = look->agg;
    struct scratch *scratch = &look->allocations->scratch;
    for (u32 at = value_at(agg, DIM_CUSTOMER, value)->series_head; at != 0;) {
        const struct link *link = link_at(agg, at - 1);
        const struct series *series = series_at(agg, at - 1);
        struct sums sums = {0};
        at = link->next[DIM_CUSTOMER];
        look->steps_left -= MIN(look->steps_left, 1u);
        if ((look->plan.class_mask >> link->class & 1) == 0) {
            continue;
        }
        for (u32 mask = look->plan.band_mask; mask != 0; mask &= mask - 1) {
            u32 band = (u32)__builtin_ctz(mask);
            row_read(band_of(agg, &series->newest, series->band, band), &agg->wides, &sums);
        }
        if (sums.events != 0) {
            const struct owner *owner = array_at(&agg->owners, series->cell[KIND_FEATURE]);
            scratch_add(scratch, owner->place, sums.cost, sums.revenue, sums.events);
        }
    }
}

static bool look_at_customer(struct look *look, u32 place) {
    const struct agg *agg = look->agg;
    struct scratch *scratch = &look->allocations->scratch;
    u32 account = look->query.account;
    u32 features = account_at(agg, account)->entities[KIND_FEATURE].count;
    u32 value = look->revenue.value[place];
    if (!scratch_make(scratch, features) || !kept_features(look->kept, features)) {
        return false;
    }
    if (value != DIM_NONE && look->column[0][place] != RANKING_NONE) {
        add_series(look, value);
        scratch_split(scratch, agg, account, look->revenue.share[place]);
    }
    bool good = kept_replace(look->kept, place, scratch);
    scratch_clear(scratch);
    return good;
}

static bool is_same(const struct look *look, u32 place, u32 known) {
    if (place >= known) {
        return false;
    }
    for (u32 i = 0; i < COLUMNS; i++) {
        if (look->column[i][place] != look->kept->columns[(usize)i * known + place]) {
            return false;
        }
    }
    return true;
}

/* Looks at all customers whose figures are not what they were. */
static enum err catch_up(struct look *look) {
    struct kept *kept = look->kept;
    u32 known = kept->columns == NULL ? 0 : kept->count;
    bool good = kept_extend(kept, look->count);
    agg_read_lock(look->agg);
    look->steps_left = STEP_SERIES;
    for (u32 place = 0; good && place < look->count; place++) {
        if (is_same(look, place, known)) {
            continue;
        }
        good = look_at_customer(look, place);
        if (look->steps_left == 0) {
            agg_read_unlock(look->agg);
            look->steps_left = STEP_SERIES;
            agg_read_lock(look->agg);
        }
    }
    bool holds = plan_holds(&look->plan);
    agg_read_unlock(look->agg);
    if (!good || !holds) {
        kept_clear(kept);
        return good ? ERR_BUSY : ERR_NO_MEMORY;
    }
    free(kept->columns);
    kept->columns = look->column[0];
    look->column[0] = NULL;
    return ERR_OK;
}

/* The columns that tell who had events. ERR_NOT_FOUND: there are none of such a window. */
static enum err read_columns(struct look *look) {
    struct agg *agg = look->agg;
    agg_read_lock(agg);
    plan_make(&look->plan, agg, &look->query);
    const struct plan *plan = &look->plan;
    const struct account *account = account_at(agg, look->query.account);
    bool fits = plan->source == PLAN_ENTITIES && plan->kind == KIND_CUSTOMER && plan->by_bands &&
                account->entities[KIND_CUSTOMER].count >= agg->ranked_min;
    u64 planned = agg->layout;
    agg_read_unlock(agg);
    if (!fits) {
        return ERR_NOT_FOUND;
    }
    static const u32 measures[COLUMNS] = {MEASURE_COST, MEASURE_REVENUE, MEASURE_EVENTS};
    struct ranking_key keys[COLUMNS];
    for (u32 i = 0; i < COLUMNS; i++) {
        keys[i] = (struct ranking_key){.account = look->query.account,
                                       .class_mask = plan->class_mask,
                                       .band_mask = plan->band_mask,
                                       .measure = measures[i]};
    }
    u64 layout;
    enum err err = ranking_columns(agg, keys, COLUMNS, look->column, &look->count, &layout);
    if (err != ERR_OK) {
        return err == ERR_NO_MEMORY ? err : ERR_NOT_FOUND;
    }
    return layout == planned ? ERR_OK : ERR_BUSY;
}

static enum err read_kept(struct allocations *allocations, struct agg *agg,
                          const struct revenue_window *window, struct allocation *out) {
    struct look look = {.allocations = allocations,
                        .agg = agg,
                        .query = {.account = window->account,
                                  .group = {DIM_CUSTOMER},
                                  .group_count = 1,
                                  .live = true,
                                  .without_first = true,
                                  .without_last = true,
                                  .unordered = true,
                                  .from = window->from,
                                  .to = window->to}};
    enum err err = read_columns(&look);
    if (err == ERR_OK) {
        err = revenue_read(allocations->revenues, agg, NULL, window, REVENUE_SHARES, &look.revenue);
    }
    if (err != ERR_OK) {
        free(look.column[0]);
        return err;
    }
    look.kept = kept_of(allocations, window);
    u64 stamp = look.revenue.book->stamp;
    if (look.kept->stamp != stamp || look.kept->changes != look.plan.changes) {
        kept_clear(look.kept);
    }
    look.kept->window = *window;
    look.kept->stamp = stamp;
    look.kept->changes = look.plan.changes;
    look.kept->used = ++allocations->uses;
    err = catch_up(&look);
    if (err == ERR_OK) {
        err = allocation_make(out, look.kept->feature_count) ? ERR_OK : ERR_NO_MEMORY;
    }
    if (err == ERR_OK && out->count > 0) {
        memcpy(out->amount, look.kept->amount, out->count * sizeof *out->amount);
        memcpy(out->customers, look.kept->customers, out->count * sizeof *out->customers);
    }
    free(look.column[0]);
    revenue_free(allocations->revenues, &look.revenue);
    return err;
}

enum err allocation_read(struct allocations *allocations, struct agg *agg, struct store *store,
                         const struct revenue_window *window, struct allocation *out) {
    *out = (struct allocation){0};
    pthread_mutex_lock(&allocations->mutex);
    enum err err = ERR_BUSY;
    for (u32 try = 0; try < TRIES && err == ERR_BUSY; try++) {
        err = read_kept(allocations, agg, window, out);
    }
    if (err == ERR_BUSY || err == ERR_NOT_FOUND) {
        err = read_pairs(allocations, agg, store, window, out);
    }
    pthread_mutex_unlock(&allocations->mutex);
    if (err != ERR_OK) {
        allocation_free(out);
    }
    return err;
}

i128 allocation_of(const struct allocation *allocation, struct agg *agg, u32 account, u32 value,
                   u32 *customers) {
    agg_read_lock(agg);
    u32 place = account_at(agg, account) == NULL ? UINT32_MAX : feature_place(agg, account, value);
    agg_read_unlock(agg);
    bool known = place < allocation->count;
    *customers = known ? allocation->customers[place] : 0;
    return known ? allocation->amount[place] : 0;
}
