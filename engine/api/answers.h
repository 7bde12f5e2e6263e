/*
 * answers.h: the last few results of queries from memory, kept by each front thread until any
 * figure may have changed. Dashboards ask the same question again and again, many times between two
 * commits; under full ingest that is most of what a top list costs.
 *
 * A result holds as long as the pipeline has answered no further commit: whoever was told that
 * their events are stored asks after that, and gets a new result.
 */
#ifndef MARGIN_API_ANSWERS_H
#define MARGIN_API_ANSWERS_H

#include "query/query.h"

#define ANSWERS_KEPT 8
#define ANSWERS_ROWS_MAX 2000 /* a longer result is not kept */

struct answer {
    bool used;
    u64 commits; /* pipeline_commit_count() before the query ran */
    struct query query;
    char text[STORE_DIMS][EVENT_CUSTOMER_MAX]; /* behind the query's filters */
    struct query_result result;
};

struct answers { /* zero at start; of one front thread */
    struct answer kept[ANSWERS_KEPT];
    u32 turn;
};

/* Is it the same question, word for word? */
bool answers_same_query(const struct query *a, const struct query *b);
/* The kept result of the same query, or NULL. It lasts until the next call that runs or keeps. */
const struct query_result *answers_find(const struct answers *answers, u64 commits,
                                        const struct query *query);
/* Keeps a result that was read after `commits`; takes it over, also if it is too long to be found
 * again. It lasts until the next call that runs or keeps. */
const struct query_result *answers_keep(struct answers *answers, u64 commits,
                                        const struct query *query, struct query_result *result);
/* As query_run() without the log. The result belongs to `answers` and lasts until the next call. */
enum err answers_run(struct answers *answers, struct agg *agg, u64 commits,
                     const struct query *query, const struct query_result **result,
                     const char **why);

#endif
