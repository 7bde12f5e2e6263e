/* answers.c: see answers.h. */
#include "api/answers.h"

#include <string.h>

static bool same_filters(const struct query *a, const struct query *b) {
    for (u32 dim = 0; dim < STORE_DIMS; dim++) {
        if ((a->filter_mask >> dim & 1) == 0) {
            continue;
        }
        usize bytes = a->filter[dim].bytes;
        if (bytes != b->filter[dim].bytes ||
            (bytes > 0 && memcmp(a->filter[dim].data, b->filter[dim].data, bytes) != 0)) {
            return false;
        }
    }
    return true;
}

bool answers_same_query(const struct query *a, const struct query *b) {
    return a->account == b->account && a->group_count == b->group_count &&
           memcmp(a->group, b->group, sizeof a->group) == 0 && a->filter_mask == b->filter_mask &&
           a->present_only == b->present_only && a->live == b->live &&
           a->without_revenue == b->without_revenue && a->both_tokens == b->both_tokens &&
           a->without_first == b->without_first && a->without_last == b->without_last &&
           a->unordered == b->unordered && a->from == b->from && a->to == b->to &&
           a->bucket == b->bucket && a->order == b->order && a->ascending == b->ascending &&
           a->offset == b->offset && a->limit == b->limit && same_filters(a, b);
}

const struct query_result *answers_find(const struct answers *answers, u64 commits,
                                        const struct query *query) {
    for (u32 i = 0; i < ANSWERS_KEPT; i++) {
        const struct answer *answer = &answers->kept[i];
        if (answer->used && answer->commits == commits &&
            answers_same_query(&answer->query, query)) {
            return &answer->result;
        }
    }
    return NULL;
}

/* A place for a new result: what held before is given back. */
static struct answer *take(struct answers *answers, const struct query *query) {
    struct answer *answer = &answers->kept[answers->turn++ % ANSWERS_KEPT];
    query_result_free(&answer->result);
    answer->used = false;
    answer->query = *query;
    for (u32 dim = 0; dim < STORE_DIMS; dim++) {
        if ((query->filter_mask >> dim & 1) != 0) {
            check(query->filter[dim].bytes <= sizeof answer->text[dim]);
            if (query->filter[dim].bytes > 0) {
                memcpy(answer->text[dim], query->filter[dim].data, query->filter[dim].bytes);
            }
            answer->query.filter[dim].data = answer->text[dim];
        }
    }
    return answer;
}

const struct query_result *answers_keep(struct answers *answers, u64 commits,
                                        const struct query *query, struct query_result *result) {
    struct answer *answer = take(answers, query);
    answer->result = *result;
    answer->commits = commits;
    answer->used = result->row_count <= ANSWERS_ROWS_MAX;
    *result = (struct query_result){0};
    return &answer->result;
}

enum err answers_run(struct answers *answers, struct agg *agg, u64 commits,
                     const struct query *query, const struct query_result **result,
                     const char **why) {
    *result = answers_find(answers, commits, query);
    if (*result != NULL) {
        return ERR_OK;
    }
    struct query_result made;
    enum err err = query_run(agg, NULL, query, &made, why);
    if (err == ERR_OK) {
        *result = answers_keep(answers, commits, query, &made);
    }
    return err;
}
