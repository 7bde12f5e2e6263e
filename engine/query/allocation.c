/*
 * allocation.c: a customer's parts follow from its figures by feature. For the windows of
 * dashboards these are kept up to date event by event (parts.h); for any other all pairs of
 * customer and feature are read and split.
 */
#include "query/allocation.h"

#include "agg/ranking.h"
#include "query/parts.h"

#include <stdlib.h>
#include <string.h>

#define REST_ROWS_MAX 65536 /* rows before a window's edge are kept, too, if they are so few */
#define KEPT 8              /* windows of accounts whose parts are kept */
#define TRIES 3

/* What kept parts are of; equal bytes mean the same. A window that ends now is the same one an hour
 * later, when other events are in it. */
struct kept_key {
    u32 account;
    u32 class_mask;
    u32 band_mask;
    u32 none;
    i64 length_ms; /* what the shares belong to */
};

struct pair { /* a row by its customer */
    u32 place;
    u32 row;
};

/* The pairs of a window that are to be split. */
struct pairs_of {
    struct query_result result;
    struct pair *pair; /* of one customer after the other */
};

/* The rows before the edge at which kept parts begin, as long as they are the same. */
struct rest {
    i64 from;
    i64 to;
    struct query_past past;
    struct pairs_of pairs;
};

struct kept {
    struct kept_key key;
    u64 used;                     /* 0: free */
    u32 kept_ms;                  /* it is kept up to date for so long without being asked for */
    struct revenue_window window; /* that was asked for last */
    struct parts parts;
    struct rest rest;
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

static void scratch_free(struct scratch *scratch) {
    free(scratch->sums);
    free(scratch->seen);
    free(scratch->weights);
    free(scratch->parts);
    *scratch = (struct scratch){0};
}

static void pairs_free(struct pairs_of *pairs) {
    query_result_free(&pairs->result);
    free(pairs->pair);
    pairs->pair = NULL;
}

void allocations_destroy(struct allocations *allocations) {
    if (allocations == NULL) {
        return;
    }
    for (u32 i = 0; i < KEPT; i++) {
        parts_clear(&allocations->kept[i].parts);
        pairs_free(&allocations->kept[i].rest.pairs);
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

static u128 magnitude(i128 value) {
    return value < 0 ? -(u128)value : (u128)value;
}

/* a * b / c and what is left, of 256 bits by hand; the quotient has 128. */
static u128 divide_product(u128 a, u128 b, u128 c, u128 *rest) {
    u128 low;
    if (!__builtin_mul_overflow(a, b, &low)) {
        u128 quotient = low / c;
        *rest = low - quotient * c;
        return quotient;
    }
    const u128 mask = UINT64_MAX;
    u128 middle = (a & mask) * (b >> 64) + ((a & mask) * (b & mask) >> 64);
    u128 other = (a >> 64) * (b & mask) + (middle & mask);
    u128 high = (a >> 64) * (b >> 64) + (middle >> 64) + (other >> 64);
    low = a * b;
    check(high < c);
    u128 quotient = 0;
    for (u32 bit = 128; bit-- > 0;) {
        bool carry = high >> 127 != 0;
        high = high << 1 | (low >> bit & 1);
        quotient <<= 1;
        if (carry || high >= c) {
            high -= c;
            quotient |= 1;
        }
    }
    *rest = high;
    return quotient;
}

/* floor(a * b / c + 1/2), c above 0. */
static i128 scale(i128 a, i128 b, i128 c) {
    u128 rest;
    bool below = (a < 0) != (b < 0);
    u128 quotient = divide_product(magnitude(a), magnitude(b), (u128)c, &rest);
    quotient += below ? rest > (u128)c - rest : rest >= (u128)c - rest;
    check(quotient >> 126 == 0);
    return below ? -(i128)quotient : (i128)quotient;
}

/* Credits may cancel nearly all of a cost; parts of what is left would be beyond all bounds. An
 * account's costs are below 2^104 (2^40 events of 63 bits) and so is what is to be split; with this
 * no part, and no sum of some, is past 2^124. */
bool allocation_by_cost(i128 cost, i128 magnitudes) {
    return cost != 0 && magnitudes / SPLIT_RATIO_MAX <= (cost < 0 ? -cost : cost);
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
    i128 magnitudes = 0;
    i128 revenue = 0;
    for (u32 i = 0; i < scratch->seen_count; i++) {
        i128 one = scratch->sums[scratch->seen[i]].cost;
        cost += one;
        magnitudes += one < 0 ? -one : one;
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
    bool by_cost = allocation_by_cost(cost, magnitudes);
    for (u32 i = 0; i < scratch->seen_count; i++) {
        const struct feature_sum *sum = &scratch->sums[scratch->seen[i]];
        scratch->weights[i] = by_cost ? sum->cost : (i128)sum->events;
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

static enum err pairs_read(struct pairs_of *pairs, struct agg *agg, struct store *store,
                           u32 account, i64 from, i64 to) {
    const struct query query = {.account = account,
                                .group = {DIM_CUSTOMER, DIM_FEATURE},
                                .group_count = 2,
                                .live = true,
                                .present_only = true,
                                .without_first = true,
                                .without_last = true,
                                .unordered = true,
                                .from = from,
                                .to = to};
    const char *why;
    pairs->pair = NULL;
    enum err err = query_run(agg, store, &query, &pairs->result, &why);
    if (err != ERR_OK) {
        return err;
    }
    u32 count = pairs->result.row_count;
    pairs->pair = malloc((count + (usize)1) * sizeof *pairs->pair);
    if (pairs->pair == NULL) {
        pairs_free(pairs);
        return ERR_NO_MEMORY;
    }
    for (u32 i = 0; i < count; i++) {
        agg_read_lock(agg);
        pairs->pair[i].place = revenue_place(agg, account, pairs->result.rows[i].value[0]);
        pairs->pair[i].row = i;
        agg_read_unlock(agg);
    }
    qsort(pairs->pair, count, sizeof *pairs->pair, compare_pairs);
    return ERR_OK;
}

/* Splits a customer's share by all that the scratch has, which then is empty. Caller holds the read
 * lock. */
static void split_one(struct scratch *scratch, const struct agg *agg, u32 account, i128 share,
                      struct allocation *out) {
    scratch_split(scratch, agg, account, share);
    for (u32 part = 0; part < scratch->seen_count; part++) {
        out->amount[scratch->seen[part]] += scratch->parts[part];
        out->customers[scratch->seen[part]]++;
    }
    scratch_clear(scratch);
}

/* Takes what kept parts say of a customer out of the allocation and into the scratch. */
static i128 take_kept(struct scratch *scratch, const struct parts *parts, u32 place,
                      struct allocation *out) {
    if (place >= parts->count) { /* it came after the question */
        return 0;
    }
    const struct part_customer *customer = &parts->customers[place];
    const u32 *places = part_places(customer);
    for (u32 i = 0; i < customer->count; i++) {
        const struct part_sum *sum = &customer->sums[i];
        out->amount[places[i]] -= sum->amount;
        out->customers[places[i]]--;
        scratch_add(scratch, places[i], sum->cost, i == 0 ? customer->revenue : 0, sum->events);
    }
    return customer->share;
}

/* Splits all pairs, beside what is kept if that is not NULL. */
static void split_pairs(struct scratch *scratch, struct agg *agg, u32 account,
                        const struct pairs_of *pairs, const i128 *share, const struct parts *kept,
                        struct allocation *out) {
    u32 count = pairs->result.row_count;
    for (u32 i = 0; i < count;) {
        u32 place = pairs->pair[i].place;
        i128 whole = kept != NULL ? take_kept(scratch, kept, place, out) : share[place];
        agg_read_lock(agg);
        for (; i < count && pairs->pair[i].place == place; i++) {
            const struct query_row *row = &pairs->result.rows[pairs->pair[i].row];
            scratch_add(scratch, feature_place(agg, account, row->value[1]), row->figures.cost,
                        row->figures.revenue, row->figures.events);
        }
        split_one(scratch, agg, account, whole, out);
        agg_read_unlock(agg);
    }
}

static enum err read_pairs(struct allocations *allocations, struct agg *agg, struct store *store,
                           const struct revenue_window *window, struct allocation *out) {
    struct pairs_of pairs;
    struct revenue revenue;
    enum err err = pairs_read(&pairs, agg, store, window->account, window->from, window->to);
    if (err != ERR_OK) {
        return err;
    }
    err = revenue_read(allocations->revenues, agg, store, window, REVENUE_SHARES, &revenue);
    if (err == ERR_OK) {
        u32 features = count_features(agg, window->account);
        if (!scratch_make(&allocations->scratch, features) || !allocation_make(out, features)) {
            err = ERR_NO_MEMORY;
        } else {
            split_pairs(&allocations->scratch, agg, window->account, &pairs, revenue.share, NULL,
                        out);
        }
        revenue_free(allocations->revenues, &revenue);
    }
    pairs_free(&pairs);
    return err;
}

/* --- kept parts ------------------------------------------------------------------------------- */

/* The window's parts, or those that nobody has asked for the longest. */
static struct kept *kept_of(struct allocations *allocations, const struct kept_key *key) {
    struct kept *oldest = &allocations->kept[0];
    for (u32 i = 0; i < KEPT; i++) {
        struct kept *kept = &allocations->kept[i];
        if (kept->used != 0 && memcmp(&kept->key, key, sizeof *key) == 0) {
            return kept;
        }
        oldest = kept->used < oldest->used ? kept : oldest;
    }
    parts_clear(&oldest->parts);
    pairs_free(&oldest->rest.pairs);
    *oldest = (struct kept){.key = *key};
    return oldest;
}

/* Recurring revenue, if it may be another one. */
static enum err take_shares(struct allocations *allocations, struct agg *agg,
                            const struct revenue_window *window, struct parts *parts) {
    if (parts_have_shares(parts, revenues_stamp(allocations->revenues, window->account))) {
        return ERR_OK;
    }
    struct revenue revenue;
    enum err err = revenue_read(allocations->revenues, agg, NULL, window, REVENUE_SHARES, &revenue);
    if (err == ERR_OK) {
        parts_share(parts, revenue.share, revenue.book->stamp);
        revenue_free(allocations->revenues, &revenue);
    }
    return err;
}

/* Which parts answer the query. ERR_NOT_FOUND: there are none of such a window. Caller holds the
 * read lock. */
static enum err plan_kept(struct plan *plan, struct agg *agg, const struct query *query,
                          const struct revenue_window *window, struct kept_key *key) {
    plan_make(plan, agg, query);
    if (plan->source != PLAN_ENTITIES || plan->kind != KIND_CUSTOMER ||
        window->length_ms % DAY_MS != 0 || /* hardly a question that comes again */
        account_at(agg, query->account)->entities[KIND_CUSTOMER].count < agg->ranked_min) {
        return ERR_NOT_FOUND;
    }
    *key = (struct kept_key){.account = query->account,
                             .class_mask = plan->class_mask,
                             .band_mask = plan->band_mask,
                             .length_ms = window->length_ms};
    return ERR_OK;
}

static struct query by_customer(const struct revenue_window *window) {
    return (struct query){.account = window->account,
                          .group = {DIM_CUSTOMER},
                          .group_count = 1,
                          .live = true,
                          .without_first = true,
                          .without_last = true,
                          .unordered = true,
                          .from = window->from,
                          .to = window->to};
}

/* Days that are over change with late events and amendments only, so their pairs stay. */
static enum err take_rest(struct rest *rest, struct agg *agg, struct store *store, u32 account,
                          i64 from, i64 to) {
    const struct query_past past = query_past(agg); /* before anything is read */
    if (rest->pairs.pair != NULL && rest->from == from && rest->to == to && to <= past.until &&
        rest->past.late == past.late && rest->past.amended == past.amended) {
        return ERR_OK;
    }
    pairs_free(&rest->pairs);
    *rest = (struct rest){.from = from, .to = to, .past = past};
    return pairs_read(&rest->pairs, agg, store, account, from, to);
}

/* What is kept, and the rows before it where the window begins between two edges. */
static enum err add_up(struct allocations *allocations, struct agg *agg, struct store *store,
                       const struct revenue_window *window, i64 split, struct kept *kept,
                       struct allocation *out) {
    const struct parts *parts = &kept->parts;
    struct rest *rest = &kept->rest;
    if (split != 0) {
        enum err err = take_rest(rest, agg, store, window->account, window->from, split);
        if (err != ERR_OK) {
            return err;
        }
    }
    u32 features = MAX(parts->feature_count, count_features(agg, window->account));
    if (!scratch_make(&allocations->scratch, features) || !allocation_make(out, features)) {
        return ERR_NO_MEMORY;
    }
    if (parts->feature_count > 0) {
        memcpy(out->amount, parts->amount, parts->feature_count * sizeof *out->amount);
        memcpy(out->customers, parts->customer_count,
               parts->feature_count * sizeof *out->customers);
    }
    if (split != 0) {
        split_pairs(&allocations->scratch, agg, window->account, &rest->pairs, NULL, parts, out);
        if (rest->pairs.result.row_count > REST_ROWS_MAX) {
            pairs_free(&rest->pairs);
            *rest = (struct rest){.from = 0};
        }
    }
    return ERR_OK;
}

static enum err read_kept(struct allocations *allocations, struct agg *agg, struct store *store,
                          const struct revenue_window *window, struct allocation *out) {
    const struct query query = by_customer(window);
    struct plan plan;
    struct kept_key key;
    struct kept *kept = NULL;
    agg_read_lock(agg);
    enum err err = plan_kept(&plan, agg, &query, window, &key);
    if (err == ERR_OK) {
        kept = kept_of(allocations, &key);
        kept->used = ++allocations->uses;
        kept->kept_ms = KEPT_FOR_MS;
        kept->window = *window;
        err = parts_refresh(&kept->parts, &plan);
    }
    agg_read_unlock(agg);
    if (err == ERR_OK) {
        err = take_shares(allocations, agg, window, &kept->parts);
    }
    if (err == ERR_OK) {
        err = parts_split(&kept->parts);
    }
    return err == ERR_OK ? add_up(allocations, agg, store, window, plan.split, kept, out) : err;
}

enum err allocation_read(struct allocations *allocations, struct agg *agg, struct store *store,
                         const struct revenue_window *window, struct allocation *out) {
    *out = (struct allocation){0};
    pthread_mutex_lock(&allocations->mutex);
    enum err err = ERR_BUSY;
    for (u32 try = 0; try < TRIES && err == ERR_BUSY; try++) {
        err = read_kept(allocations, agg, store, window, out);
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

/* Shares that are not known wait for the next question, as does a window that the hour has left. */
static void keep(struct kept *kept, struct agg *agg, struct allocations *allocations) {
    const struct query query = by_customer(&kept->window);
    struct plan plan;
    struct kept_key key;
    agg_read_lock(agg);
    enum err err = parts_behind(&kept->parts, agg) < KEPT_BEHIND || agg->expiring
                       ? ERR_BUSY
                       : plan_kept(&plan, agg, &query, &kept->window, &key);
    if (err == ERR_OK && memcmp(&key, &kept->key, sizeof key) == 0) {
        err = parts_refresh(&kept->parts, &plan);
    }
    agg_read_unlock(agg);
    if (err == ERR_OK &&
        parts_have_shares(&kept->parts, revenues_stamp(allocations->revenues, key.account))) {
        parts_split(&kept->parts); /* what is left over is split when it is asked for */
    }
}

bool allocations_keep(struct allocations *allocations, struct agg *agg, u32 ms) {
    bool any = false;
    for (u32 i = 0; i < KEPT; i++) {
        struct kept *kept = &allocations->kept[i];
        pthread_mutex_lock(&allocations->mutex);
        kept->kept_ms -= MIN(kept->kept_ms, ms);
        if (kept->kept_ms > 0) {
            any = true;
            keep(kept, agg, allocations);
        }
        pthread_mutex_unlock(&allocations->mutex);
    }
    return any;
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
