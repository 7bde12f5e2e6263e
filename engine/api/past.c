/* past.c: see past.h. */
#include "api/past.h"

#include "api/answers.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define KEPT 64
#define ROWS_MAX 2048 /* a longer answer is not kept */
#define TRIES 3       /* of putting an answer together, until it is computed as one */

struct kept {
    u64 used; /* 0: free */
    struct query query;
    char text[STORE_DIMS][EVENT_CUSTOMER_MAX]; /* behind the query's filters */
    struct query_past past;
    u64 stamp;
    struct query_result result;
};

/* Who asks, and how. */
struct asking {
    struct pasts *pasts;
    struct agg *agg;
    past_make make;
    void *context;
    u64 stamp;
};

struct pasts {
    pthread_mutex_t mutex;
    struct kept kept[KEPT];
    u64 uses;
};

enum err pasts_create(struct pasts **out) {
    *out = calloc(1, sizeof **out);
    if (*out == NULL) {
        return ERR_NO_MEMORY;
    }
    pthread_mutex_init(&(*out)->mutex, NULL);
    return ERR_OK;
}

void pasts_destroy(struct pasts *pasts) {
    if (pasts == NULL) {
        return;
    }
    for (u32 i = 0; i < KEPT; i++) {
        query_result_free(&pasts->kept[i].result);
    }
    pthread_mutex_destroy(&pasts->mutex);
    free(pasts);
}

static bool same_past(const struct query_past *a, const struct query_past *b) {
    return a->until == b->until && a->late == b->late && a->amended == b->amended;
}

static enum err copy_result(const struct query_result *from, struct query_result *to) {
    *to = *from;
    to->rows = malloc((from->row_count + (usize)1) * sizeof *to->rows);
    if (to->rows == NULL) {
        return ERR_NO_MEMORY;
    }
    memcpy(to->rows, from->rows, from->row_count * sizeof *to->rows);
    return ERR_OK;
}

/* ERR_NOT_FOUND: it has not been asked, or no longer holds. */
static enum err find(const struct asking *asking, const struct query *query,
                     const struct query_past *past, struct query_result *result) {
    struct pasts *pasts = asking->pasts;
    enum err err = ERR_NOT_FOUND;
    pthread_mutex_lock(&pasts->mutex);
    for (u32 i = 0; i < KEPT && err == ERR_NOT_FOUND; i++) {
        struct kept *kept = &pasts->kept[i];
        if (kept->used != 0 && same_past(&kept->past, past) && kept->stamp == asking->stamp &&
            answers_same_query(&kept->query, query)) {
            kept->used = ++pasts->uses;
            err = copy_result(&kept->result, result);
        }
    }
    pthread_mutex_unlock(&pasts->mutex);
    return err;
}

/* Keeps a copy, if there is memory for it. */
static void keep(const struct asking *asking, const struct query *query,
                 const struct query_past *past, const struct query_result *result) {
    struct pasts *pasts = asking->pasts;
    struct query_result copy;
    if (result->row_count > ROWS_MAX || copy_result(result, &copy) != ERR_OK) {
        return;
    }
    pthread_mutex_lock(&pasts->mutex);
    struct kept *oldest = &pasts->kept[0];
    for (u32 i = 0; i < KEPT; i++) {
        oldest = pasts->kept[i].used < oldest->used ? &pasts->kept[i] : oldest;
    }
    query_result_free(&oldest->result);
    oldest->used = ++pasts->uses;
    oldest->query = *query;
    oldest->past = *past;
    oldest->stamp = asking->stamp;
    oldest->result = copy;
    for (u32 mask = query->filter_mask; mask != 0; mask &= mask - 1) {
        u32 dim = (u32)__builtin_ctz(mask);
        check(query->filter[dim].bytes <= sizeof oldest->text[dim]);
        if (query->filter[dim].bytes > 0) {
            memcpy(oldest->text[dim], query->filter[dim].data, query->filter[dim].bytes);
        }
        oldest->query.filter[dim].data = oldest->text[dim];
    }
    pthread_mutex_unlock(&pasts->mutex);
}

static bool texts_fit(const struct query *query) {
    for (u32 mask = query->filter_mask; mask != 0; mask &= mask - 1) {
        if (query->filter[__builtin_ctz(mask)].bytes > EVENT_CUSTOMER_MAX) {
            return false;
        }
    }
    return true;
}

/* ERR_BUSY: what is over changed between the answer about it and the one about today, so that what
 * moved from one to the other would be in both, or in neither. */
static enum err run_parts(const struct asking *asking, const struct query *query,
                          const struct query_past *past, struct query_result *result,
                          const char **why) {
    struct query before = *query;
    struct query since = *query;
    struct query_result old;
    struct query_result fresh;
    before.to = since.from = past->until;
    before.unordered = since.unordered = true;
    enum err err = find(asking, &before, past, &old);
    if (err == ERR_NOT_FOUND) {
        err = asking->make(asking->context, &before, &old, why);
        if (err == ERR_OK) {
            keep(asking, &before, past, &old);
        }
    }
    if (err != ERR_OK) {
        return err;
    }
    err = asking->make(asking->context, &since, &fresh, why);
    if (err == ERR_OK) {
        const struct query_past after = query_past(asking->agg);
        err = after.amended != past->amended
                  ? ERR_BUSY
                  : query_merge(asking->agg, query, &old, &fresh, result);
        query_result_free(&fresh);
    }
    query_result_free(&old);
    return err;
}

enum err past_run_made(struct pasts *pasts, struct agg *agg, const struct query *query, u64 stamp,
                       past_make make, void *context, struct query_result *result,
                       const char **why) {
    const struct asking asking = {pasts, agg, make, context, stamp};
    enum err err = ERR_BUSY;
    for (u32 i = 0; i < TRIES && err == ERR_BUSY; i++) {
        struct query_past past = query_past(agg); /* before anything is read */
        if (query->from >= past.until || query->to <= past.until || !query->without_first ||
            !texts_fit(query)) {
            break;
        }
        err = run_parts(&asking, query, &past, result, why);
    }
    return err == ERR_BUSY ? make(context, query, result, why) : err;
}

struct plain {
    struct agg *agg;
    struct store *store;
};

static enum err run_plain(void *context, const struct query *query, struct query_result *result,
                          const char **why) {
    const struct plain *plain = context;
    return query_run(plain->agg, plain->store, query, result, why);
}

enum err past_run(struct pasts *pasts, struct agg *agg, struct store *store,
                  const struct query *query, struct query_result *result, const char **why) {
    struct plain plain = {agg, store};
    return past_run_made(pasts, agg, query, 0, run_plain, &plain, result, why);
}
