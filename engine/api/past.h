/*
 * past.h: answers about days that are over, kept: a question about all time is one about the past,
 * which is at hand if it was asked before, and one about today. An answer about the past holds as
 * long as no late event, no clearing and no change of figures came for it, and until midnight.
 */
#ifndef MARGIN_API_PAST_H
#define MARGIN_API_PAST_H

#include "query/query.h"

struct pasts; /* thread safe */

enum err pasts_create(struct pasts **out); /* ERR_NO_MEMORY */
void pasts_destroy(struct pasts *pasts);

/* As query_run(), for queries of few rows that do not ask for first_seen. */
enum err past_run(struct pasts *pasts, struct agg *agg, struct store *store,
                  const struct query *query, struct query_result *result, const char **why);

/* The same for rows of days that something else makes of a query's figures: `make` fills the result
 * for a part of the window, and what it makes of a past window depends on nothing but the figures
 * and the stamp. The rows of two parts are added up. `make` must do no more than query_run(). */
typedef enum err (*past_make)(void *context, const struct query *query, struct query_result *result,
                              const char **why);
enum err past_run_made(struct pasts *pasts, struct agg *agg, const struct query *query, u64 stamp,
                       past_make make, void *context, struct query_result *result,
                       const char **why);

#endif
