/* plan.c: see plan.h. */
#include "account/plan.h"

#include <string.h>

#include "json/number.h"

static const char *const feature_names[PLAN_FEATURES] = {[PLAN_EVENT_INGEST] = "event_ingest",
                                                         [PLAN_CSV_UPLOAD] = "csv_upload",
                                                         [PLAN_AI_INSIGHTS] = "ai_insights"};
static const char *const setting_names[PLAN_FEATURES] = {[PLAN_EVENT_INGEST] = "event-ingest",
                                                         [PLAN_CSV_UPLOAD] = "csv-upload",
                                                         [PLAN_AI_INSIGHTS] = "ai-insights"};

#define NO_LIMITS                                                                                  \
    { PLAN_UNLIMITED, PLAN_UNLIMITED, PLAN_UNLIMITED }

static const struct plan shipped[] = {
    {"unlimited", 0, NO_LIMITS},
    {"free", 0, {10000, PLAN_UNLIMITED, PLAN_UNLIMITED}},
    {"pro", 2900, {1000000, PLAN_UNLIMITED, PLAN_UNLIMITED}},
    {"team", 9900, {10000000, PLAN_UNLIMITED, PLAN_UNLIMITED}},
};
_Static_assert(ARRAY_COUNT(shipped) <= PLANS_MAX, "the shipped plans fit");

const char *plan_feature_text(enum plan_feature feature) {
    check((u32)feature < PLAN_FEATURES);
    return feature_names[feature];
}

void plans_init(struct plans *plans) {
    *plans = (struct plans){.count = ARRAY_COUNT(shipped)};
    memcpy(plans->plan, shipped, sizeof shipped);
}

static u32 place_of(const struct plans *plans, const char *name) {
    u32 at = 0;
    while (at < plans->count && strcmp(plans->plan[at].name, name) != 0) {
        at++;
    }
    return at;
}

const struct plan *plans_find(const struct plans *plans, const char *name) {
    u32 at = place_of(plans, name);
    return at < plans->count ? &plans->plan[at] : NULL;
}

bool plan_name_is_good(const char *name) {
    usize bytes = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_");
    return bytes > 0 && bytes <= PLAN_NAME_MAX && name[bytes] == '\0';
}

/* A number of the settings with `scale` decimals, at least 0. */
static bool read_number(const char *text, u32 scale, i64 *out) {
    usize bytes = strlen(text);
    return bytes > 0 && number_scan(text, text + bytes) == bytes &&
           number_scale((struct slice){text, bytes}, scale, NUMBER_EXACT, out) == ERR_OK &&
           *out >= 0 && *out <= PLAN_LIMIT_MAX;
}

const char *plans_set(struct plans *plans, const char *name, const char *key, const char *value) {
    if (!plan_name_is_good(name)) {
        return "a plan's name has 1 to 32 characters of a-z, 0-9, - and _";
    }
    u32 at = place_of(plans, name);
    if (at == PLANS_MAX) {
        return "there are too many plans";
    }
    if (at == plans->count) {
        plans->plan[plans->count++] = (struct plan){.limit = NO_LIMITS};
        memcpy(plans->plan[at].name, name, strlen(name) + 1);
    }
    struct plan *plan = &plans->plan[at];
    if (strcmp(key, "price-usd-month") == 0) {
        return read_number(value, 2, &plan->price_cents)
                   ? NULL
                   : "a plan's price is a number with at most 2 decimals";
    }
    for (u32 i = 0; i < PLAN_FEATURES; i++) {
        if (strcmp(key, setting_names[i]) == 0) {
            i64 limit = PLAN_UNLIMITED;
            if (strcmp(value, "unlimited") != 0 && !read_number(value, 0, &limit)) {
                return "a plan's limit is a whole number or unlimited";
            }
            plan->limit[i] = limit;
            return NULL;
        }
    }
    return "a plan has price-usd-month, event-ingest, csv-upload and ai-insights";
}
