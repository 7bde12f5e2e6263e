/* fact_group.h: facts on their way into the figures, as a group of the commit thread is: resolved,
 * and then settled, or taken back and resolved again. */
#ifndef MARGIN_TEST_FACT_GROUP_H
#define MARGIN_TEST_FACT_GROUP_H

#include "agg/agg.h"
#include "tests/support/facts.h"

struct fact_group {
    struct event_batch *batch;
    struct fact *fact; /* room for `count` */
    u32 count;
    u32 rows[EVENT_BATCH_MAX]; /* all */
    struct agg_mark begin;
    struct agg_mark end;
};

/* Random facts of one account, in the batch. */
void fact_group_make(struct fact_group *group, u32 account, bool plain);
void fact_group_resolve(struct agg *agg, struct fact_group *group);
/* After it has been taken back. */
void fact_group_unresolve(struct agg *agg, struct fact_group *group);
/* Resolves the group with a value in it that will not be, and takes it back. */
void fact_group_resolve_in_vain(struct agg *agg, struct fact_group *group);

#endif
