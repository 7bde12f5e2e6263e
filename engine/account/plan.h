/*
 * plan.h: the service plans an account can be on (Observe 1.6): what each allows a month. They come
 * from the settings; those shipped can be changed there and others added. Fixed once the server
 * runs.
 */
#ifndef MARGIN_ACCOUNT_PLAN_H
#define MARGIN_ACCOUNT_PLAN_H

#include "base.h"
#include "limits.h"

enum plan_feature { PLAN_EVENT_INGEST, PLAN_CSV_UPLOAD, PLAN_AI_INSIGHTS, PLAN_FEATURES };
const char *plan_feature_text(enum plan_feature feature); /* "event_ingest" */

#define PLAN_UNLIMITED ((i64)-1)
#define PLAN_LIMIT_MAX ((i64)1 << 53)

struct plan {
    char name[PLAN_NAME_MAX + 1];
    i64 price_cents;          /* USD a month */
    i64 limit[PLAN_FEATURES]; /* a calendar month; or PLAN_UNLIMITED */
};

struct plans {
    u32 count;
    struct plan plan[PLANS_MAX];
};

/* unlimited, free, pro and team. */
void plans_init(struct plans *plans);
/* NULL: none has that name. */
const struct plan *plans_find(const struct plans *plans, const char *name);
/* One line of the settings: of the plan `name`, made if there is none, sets `key` (price-usd-month,
 * event-ingest, csv-upload, ai-insights) to `value` (a number or "unlimited"). NULL, or what is
 * wrong. */
const char *plans_set(struct plans *plans, const char *name, const char *key, const char *value);

/* 1 to PLAN_NAME_MAX of a-z, 0-9, '-' and '_'. */
bool plan_name_is_good(const char *name);

#endif
