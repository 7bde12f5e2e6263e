/* names.c: the words the API uses for the enums of event.h. */
#include "event.h"

const char *cost_source_text(enum cost_source source) {
    static const char *const names[COST_SOURCES] = {"none", "explicit", "account_price",
                                                    "price_table", "unpriced"};
    check((u32)source < COST_SOURCES);
    return names[source];
}

const char *revenue_source_text(enum revenue_source source) {
    static const char *const names[REVENUE_SOURCES] = {
        "none", "explicit", "feature_pricing", "per_unit", "tiered", "hybrid", "subscription"};
    check((u32)source < REVENUE_SOURCES);
    return names[source];
}

const char *event_source_text(enum event_source source) {
    static const char *const names[EVENT_SOURCES] = {
        "sdk", "proxy", "gateway", "csv", "stripe", "openai", "anthropic", "aws", "gcp"};
    check((u32)source < EVENT_SOURCES);
    return names[source];
}

const char *granularity_text(enum granularity granularity) {
    static const char *const names[GRANULARITIES] = {"event", "daily_aggregate",
                                                     "monthly_aggregate"};
    check((u32)granularity < GRANULARITIES);
    return names[granularity];
}
