/*
 * revenue.c: an account's recurring revenue is a column, too, kept from question to question. It
 * belongs to a book of the directory and is made anew for another one; customers who are new to the
 * figures are looked up in the book once each.
 */
#include "query/revenue.h"

#include "agg/ranking.h"
#include "customer/mrr.h"
#include "query/plan.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(REVENUE_NO_EVENTS == RANKING_NONE, "a ranking's keys are a column");

#define KEPT 16         /* accounts whose recurring revenue is remembered */
#define STEP_PLACES 512 /* customers looked up between two times of letting the writer in */
#define TRIES 3

struct recurring {
    u32 account;
    u64 stamp; /* of the book; 0: free */
    u64 used;
    u32 count;
    u32 capacity;
    u32 *value; /* by place */
    i128 *mrr;
    u32 *silent; /* with recurring revenue and without events: indexes in the book */
    u32 silent_count;
    bool *is_known; /* by index in the book: events know it */
    u32 book_count;
};

struct revenues {
    struct directory *directory;
    pthread_mutex_t mutex; /* over the rest; taken before the figures' lock */
    struct recurring kept[KEPT];
    u64 uses;
};

enum err revenues_create(struct directory *directory, struct revenues **out) {
    struct revenues *revenues = calloc(1, sizeof *revenues);
    if (revenues == NULL) {
        return ERR_NO_MEMORY;
    }
    revenues->directory = directory;
    pthread_mutex_init(&revenues->mutex, NULL);
    *out = revenues;
    return ERR_OK;
}

static void recurring_clear(struct recurring *recurring) {
    free(recurring->value);
    free(recurring->mrr);
    free(recurring->silent);
    free(recurring->is_known);
    *recurring = (struct recurring){0};
}

void revenues_destroy(struct revenues *revenues) {
    if (revenues == NULL) {
        return;
    }
    for (u32 i = 0; i < KEPT; i++) {
        recurring_clear(&revenues->kept[i]);
    }
    pthread_mutex_destroy(&revenues->mutex);
    free(revenues);
}

/* --- recurring revenue by place --------------------------------------------------------------- */

static bool recurring_reserve(struct recurring *recurring, u32 count) {
    if (count <= recurring->capacity) {
        return true;
    }
    u32 capacity = MAX(count + count / 4, 1024u);
    u32 *value = realloc(recurring->value, capacity * sizeof *value);
    recurring->value = value != NULL ? value : recurring->value;
    i128 *mrr = realloc(recurring->mrr, capacity * sizeof *mrr);
    recurring->mrr = mrr != NULL ? mrr : recurring->mrr;
    if (value == NULL || mrr == NULL) {
        return false;
    }
    recurring->capacity = capacity;
    return true;
}

/* All customers with recurring revenue, as if none had events. */
static bool recurring_begin(struct recurring *recurring, u32 account, const struct book *book) {
    recurring_clear(recurring);
    u32 count = book_count(book);
    recurring->is_known = calloc(count + 1u, sizeof *recurring->is_known);
    recurring->silent = malloc((count + 1u) * sizeof *recurring->silent);
    if (recurring->is_known == NULL || recurring->silent == NULL) {
        return false;
    }
    recurring->account = account;
    recurring->stamp = book->stamp;
    recurring->book_count = count;
    for (u32 i = 0; i < count && book->mrr != 0; i++) {
        if (book_at(book, i)->mrr != 0) {
            recurring->silent[recurring->silent_count++] = i;
        }
    }
    return true;
}

static void look_up(struct recurring *recurring, const struct agg *agg, const struct book *book,
                    u32 place) {
    u32 value = recurring->value[place];
    recurring->mrr[place] = 0;
    if (value == DIM_NONE || book->mrr == 0) {
        return;
    }
    u32 index = book_find(book, agg_value_text(agg, DIM_CUSTOMER, value));
    if (index < recurring->book_count) { /* who came later has no subscription */
        recurring->mrr[place] = book_at(book, index)->mrr;
        recurring->is_known[index] = true;
    }
}

/* Takes in customers that are new to the figures, at least the first `count`. */
static enum err recurring_extend(struct recurring *recurring, struct agg *agg,
                                 const struct book *book, u32 count) {
    u32 begin = recurring->count;
    while (recurring->count < count) {
        u32 first = recurring->count;
        u32 end = MIN(count, first + STEP_PLACES);
        if (!recurring_reserve(recurring, end)) {
            return ERR_NO_MEMORY;
        }
        agg_read_lock(agg);
        const struct list *list = &account_at(agg, recurring->account)->entities[KIND_CUSTOMER];
        for (u32 place = first; place < end; place++) {
            recurring->value[place] = entity_at(agg, list_at(list, place))->key[0];
        }
        agg_read_unlock(agg);
        for (u32 place = first; place < end; place++) {
            look_up(recurring, agg, book, place);
        }
        recurring->count = end;
    }
    u32 kept = 0;
    for (u32 i = 0; i < recurring->silent_count && begin < recurring->count; i++) {
        u32 index = recurring->silent[i];
        recurring->silent[kept] = index;
        kept += !recurring->is_known[index];
    }
    recurring->silent_count = begin < recurring->count ? kept : recurring->silent_count;
    return ERR_OK;
}

/* The account's record, or the one that was not asked for the longest. */
static struct recurring *recurring_of(struct revenues *revenues, u32 account) {
    struct recurring *oldest = &revenues->kept[0];
    for (u32 i = 0; i < KEPT; i++) {
        struct recurring *recurring = &revenues->kept[i];
        if (recurring->stamp != 0 && recurring->account == account) {
            return recurring;
        }
        oldest = recurring->used < oldest->used ? recurring : oldest;
    }
    return oldest;
}

/* --- columns of events ------------------------------------------------------------------------ */

/* Of the account's customers, all live events. */
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

/* Adds what is before the edge at which the columns begin. */
static enum err add_before(struct agg *agg, struct store *store, const struct query *query,
                           i64 edge, struct revenue *revenue) {
    struct query before = *query;
    struct query_result result;
    const char *why;
    before.to = edge;
    enum err err = query_run(agg, store, &before, &result, &why);
    if (err != ERR_OK) {
        return err;
    }
    for (u32 i = 0; i < result.row_count; i++) {
        const struct query_row *row = &result.rows[i];
        agg_read_lock(agg);
        u32 place = revenue_place(agg, query->account, row->value[0]);
        agg_read_unlock(agg);
        if (place >= revenue->known) {
            continue; /* it came after the columns were read */
        }
        if (!revenue_has_events(revenue, place)) {
            revenue->cost[place] = revenue->earned[place] = 0;
        }
        revenue->cost[place] += row->figures.cost;
        revenue->earned[place] += row->figures.revenue;
    }
    query_result_free(&result);
    return ERR_OK;
}

/* By way of rankings. ERR_NOT_FOUND: they do not have it. */
static enum err read_ranked(struct agg *agg, struct store *store, const struct query *query,
                            struct revenue *revenue) {
    struct plan plan;
    u64 layout;
    i128 *column[RANKING_COLUMNS];
    agg_read_lock(agg);
    plan_make(&plan, agg, query);
    bool fits = plan.source == PLAN_ENTITIES && plan.kind == KIND_CUSTOMER &&
                account_at(agg, query->account)->entities[KIND_CUSTOMER].count >= agg->ranked_min;
    u64 planned = agg->layout;
    agg_read_unlock(agg);
    if (!fits) {
        return ERR_NOT_FOUND;
    }
    const struct ranking_key cost = {.account = query->account,
                                     .class_mask = plan.class_mask,
                                     .band_mask = plan.band_mask,
                                     .measure = MEASURE_COST};
    struct ranking_key earned = cost;
    earned.measure = MEASURE_REVENUE;
    const struct ranking_key keys[] = {cost, earned};
    u32 count;
    enum err err = ranking_columns(agg, keys, ARRAY_COUNT(keys), column, &count, &layout);
    if (err != ERR_OK) {
        return err == ERR_NO_MEMORY ? err : ERR_NOT_FOUND;
    }
    agg_read_lock(agg);
    fits = plan_holds(&plan) && agg->layout == planned;
    agg_read_unlock(agg);
    if (!fits) {
        free(column[0]);
        return ERR_BUSY;
    }
    revenue->cost = column[0];
    revenue->earned = column[1];
    revenue->known = count;
    err = plan.split == 0 ? ERR_OK : add_before(agg, store, query, plan.split, revenue);
    if (err != ERR_OK) {
        free(revenue->cost);
        revenue->cost = revenue->earned = NULL;
    }
    return err;
}

static u32 count_customers(struct agg *agg, u32 account) {
    agg_read_lock(agg);
    const struct account *known = account_at(agg, account);
    u32 count = known == NULL ? 0 : known->entities[KIND_CUSTOMER].count;
    agg_read_unlock(agg);
    return count;
}

/* Columns without an event. */
static enum err columns_make(struct agg *agg, u32 account, struct revenue *revenue) {
    revenue->known = count_customers(agg, account);
    revenue->cost = malloc(2 * (revenue->known + (usize)1) * sizeof *revenue->cost);
    revenue->events = calloc(revenue->known + (usize)1, sizeof *revenue->events);
    if (revenue->cost == NULL || revenue->events == NULL) {
        return ERR_NO_MEMORY;
    }
    revenue->earned = revenue->cost + revenue->known;
    for (u32 place = 0; place < revenue->known; place++) {
        revenue->cost[place] = revenue->earned[place] = REVENUE_NO_EVENTS;
    }
    return ERR_OK;
}

static void columns_fill(struct agg *agg, const struct query_result *result, u32 account,
                         struct revenue *revenue) {
    for (u32 i = 0; i < result->row_count; i++) {
        const struct query_row *row = &result->rows[i];
        if (i % STEP_PLACES == 0) {
            agg_read_lock(agg);
        }
        u32 place = revenue_place(agg, account, row->value[0]);
        if (i % STEP_PLACES == STEP_PLACES - 1 || i + 1 == result->row_count) {
            agg_read_unlock(agg);
        }
        revenue->cost[place] = row->figures.cost;
        revenue->earned[place] = row->figures.revenue;
        revenue->events[place] = row->figures.events;
    }
}

static enum err read_whole(struct agg *agg, struct store *store, const struct query *query,
                           struct revenue *revenue) {
    struct query_result result;
    const char *why;
    enum err err = query_run(agg, store, query, &result, &why);
    if (err == ERR_OK) {
        err = columns_make(agg, query->account, revenue);
        if (err == ERR_OK) {
            columns_fill(agg, &result, query->account, revenue);
        }
        query_result_free(&result);
    }
    return err;
}

/* --- both ------------------------------------------------------------------------------------- */

/* The columns that do not come from events. */
static enum err add_shares(struct revenues *revenues, struct agg *agg,
                           const struct revenue_window *window, struct revenue *revenue) {
    const struct book *book = revenue->book;
    pthread_mutex_lock(&revenues->mutex);
    struct recurring *recurring = recurring_of(revenues, window->account);
    bool good = (recurring->stamp == book->stamp && recurring->account == window->account) ||
                recurring_begin(recurring, window->account, book);
    recurring->used = ++revenues->uses;
    enum err err = good ? recurring_extend(recurring, agg, book, revenue->known) : ERR_NO_MEMORY;
    if (err == ERR_OK) {
        u32 known = revenue->known;
        revenue->count = known + recurring->silent_count;
        revenue->value = malloc((known + (usize)1) * sizeof *revenue->value);
        revenue->index = malloc((recurring->silent_count + (usize)1) * sizeof *revenue->index);
        revenue->share = malloc((revenue->count + (usize)1) * sizeof *revenue->share);
        good = revenue->value != NULL && revenue->index != NULL && revenue->share != NULL;
        err = good ? ERR_OK : ERR_NO_MEMORY;
    }
    for (u32 place = 0; err == ERR_OK && place < revenue->known; place++) {
        i128 mrr = recurring->mrr[place];
        revenue->value[place] = recurring->value[place];
        revenue->share[place] = mrr == 0 ? 0 : mrr_revenue(0, mrr, window->length_ms);
    }
    for (u32 i = 0; err == ERR_OK && i < recurring->silent_count; i++) {
        u32 index = recurring->silent[i];
        revenue->index[i] = index;
        revenue->share[revenue->known + i] =
            mrr_revenue(0, book_at(book, index)->mrr, window->length_ms);
    }
    if (err != ERR_OK) {
        recurring_clear(recurring);
    }
    pthread_mutex_unlock(&revenues->mutex);
    return err;
}

/* Those that no events know have none in their columns either. */
static enum err widen(struct revenue *revenue) {
    u32 known = revenue->known;
    if (revenue->count == known || revenue->cost == NULL) {
        return ERR_OK;
    }
    i128 *both = malloc(2 * (usize)revenue->count * sizeof *both);
    u64 *events = revenue->events == NULL ? NULL : calloc(revenue->count, sizeof *events);
    if (both == NULL || (revenue->events != NULL && events == NULL)) {
        free(both);
        free(events);
        return ERR_NO_MEMORY;
    }
    i128 *earned = both + revenue->count;
    memcpy(both, revenue->cost, known * sizeof *both);
    memcpy(earned, revenue->earned, known * sizeof *both);
    for (u32 place = known; place < revenue->count; place++) {
        both[place] = earned[place] = REVENUE_NO_EVENTS;
    }
    if (events != NULL) {
        memcpy(events, revenue->events, known * sizeof *events);
    }
    free(revenue->cost);
    free(revenue->events);
    revenue->cost = both;
    revenue->earned = earned;
    revenue->events = events;
    return ERR_OK;
}

enum err revenue_read(struct revenues *revenues, struct agg *agg, struct store *store,
                      const struct revenue_window *window, enum revenue_columns columns,
                      struct revenue *out) {
    *out = (struct revenue){.book = directory_acquire(revenues->directory, window->account)};
    const struct query query = by_customer(window);
    enum err err = columns == REVENUE_MONEY ? ERR_BUSY : ERR_NOT_FOUND;
    for (u32 try = 0; try < TRIES && err == ERR_BUSY; try++) {
        err = read_ranked(agg, store, &query, out);
    }
    if (columns == REVENUE_SHARES) {
        out->known = count_customers(agg, window->account);
        err = ERR_OK;
    } else if (err == ERR_BUSY || err == ERR_NOT_FOUND) {
        err = read_whole(agg, store, &query, out);
    }
    if (err == ERR_OK) {
        err = add_shares(revenues, agg, window, out);
    }
    if (err == ERR_OK) {
        err = widen(out);
    }
    if (err != ERR_OK) {
        revenue_free(revenues, out);
    }
    return err;
}

void revenue_free(struct revenues *revenues, struct revenue *revenue) {
    directory_release(revenues->directory, revenue->book);
    free(revenue->cost);
    free(revenue->events);
    free(revenue->value);
    free(revenue->index);
    free(revenue->share);
}

u64 revenues_stamp(struct revenues *revenues, u32 account) {
    const struct book *book = directory_acquire(revenues->directory, account);
    u64 stamp = book->stamp;
    directory_release(revenues->directory, book);
    return stamp;
}

u32 revenue_place(const struct agg *agg, u32 account, u32 value) {
    u32 entity = value == DIM_NONE ? account_at(agg, account)->none[KIND_CUSTOMER]
                                   : value_at(agg, DIM_CUSTOMER, value)->entity;
    return entity_at(agg, entity)->place;
}

struct slice revenue_customer(const struct agg *agg, const struct revenue *revenue, u32 place) {
    if (place >= revenue->known) {
        return book_id(revenue->book, revenue->index[place - revenue->known]);
    }
    return agg_value_text(agg, DIM_CUSTOMER, revenue->value[place]);
}
