/* fact_group.c: see fact_group.h. */
#include "tests/support/fact_group.h"

void fact_group_make(struct fact_group *group, u32 account, bool plain) {
    struct event_batch *batch = group->batch;
    batch->count = 0;
    batch->text_bytes = 0;
    batch->account = account;
    for (u32 i = 0; i < group->count; i++) {
        struct fact *fact = &group->fact[i];
        fact_make(fact, plain);
        fact->account = account;
        if (plain) {
            fact->number[NUM_TIME] = fact_now - (i64)fact_below(10);
        }
        fact_put(batch, i, fact);
        group->rows[i] = i;
    }
}

void fact_group_resolve(struct agg *agg, struct fact_group *group) {
    group->begin = agg_mark(agg);
    check(agg_resolve(agg, group->batch, group->rows, group->count) == ERR_OK);
    group->end = agg_mark(agg);
    check(group->end.events == group->begin.events + group->count);
}

void fact_group_unresolve(struct agg *agg, struct fact_group *group) {
    agg_unresolve(agg, group->batch, group->rows, group->count);
}

void fact_group_resolve_in_vain(struct agg *agg, struct fact_group *group) {
    fact_put_text(group->batch, 0, TEXT_CUSTOMER, "never seen");
    fact_group_resolve(agg, group);
    agg_undo_to(agg, group->begin);
    fact_group_unresolve(agg, group);
    group->batch->present[0] &= ~TEXT_BIT(TEXT_CUSTOMER);
    fact_put_text(group->batch, 0, TEXT_CUSTOMER,
                  fact_texts[TEXT_CUSTOMER][group->fact[0].dim[TEXT_CUSTOMER]]);
}
