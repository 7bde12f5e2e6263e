/* activity.c: months, from the bits that the figures keep of each entity. */
#include "query/activity.h"

#include "agg/state.h"

#include <string.h>

#define STEP_CUSTOMERS 16384 /* looked at between two times of letting the writer in */

struct active_counts query_active(struct agg *agg, u32 account, u32 month) {
    u32 active[MONTH_KINDS];
    agg_read_lock(agg);
    months_counts(agg, account, month, active);
    agg_read_unlock(agg);
    return (struct active_counts){active[KIND_CUSTOMER], active[KIND_FEATURE], active[KIND_MODEL]};
}

static void take_customer(const struct activity *activity, u32 month_now,
                          struct cohort cohorts[RETENTION_MONTHS]) {
    u32 age = month_now - activity->first;
    if (activity->first == 0 || activity->first > month_now || age >= RETENTION_MONTHS) {
        return;
    }
    struct cohort *cohort = &cohorts[RETENTION_MONTHS - 1 - age];
    cohort->size++;
    for (u32 i = 0; i <= age; i++) {
        cohort->active[i] += months_active(activity, activity->first + i);
    }
}

void query_retention(struct agg *agg, u32 account_id, u32 month_now,
                     struct cohort cohorts[RETENTION_MONTHS]) {
    agg_read_lock(agg);
    u64 changes = 0;
    for (u32 i = 0;; i++) {
        const struct account *account = account_seen(agg, account_id);
        u64 now = account == NULL ? 0 : account->changes;
        if (i == 0 || now != changes) { /* events were taken out: from the beginning */
            memset(cohorts, 0, RETENTION_MONTHS * sizeof *cohorts);
            changes = now;
            i = 0;
        }
        if (account == NULL || i >= account->entities[KIND_CUSTOMER].count) {
            break;
        }
        u32 entity = list_at(&account->entities[KIND_CUSTOMER], i);
        struct activity activity = months_activity(agg, entity);
        take_customer(&activity, month_now, cohorts);
        if (i % STEP_CUSTOMERS == STEP_CUSTOMERS - 1) {
            agg_read_unlock(agg);
            agg_read_lock(agg);
        }
    }
    agg_read_unlock(agg);
}
