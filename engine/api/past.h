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

#endif
