/* scope.c: the names of scopes (Observe 1.2). */
#include "account/account.h"

#include <string.h>

static const char *const names[SCOPES] = {
    [SCOPE_PROXY_CHAT] = "proxy.chat",
    [SCOPE_USAGE_READ] = "usage.read",
    [SCOPE_USAGE_WRITE] = "usage.write",
    [SCOPE_EVENTS_READ] = "events.read",
    [SCOPE_EVENTS_WRITE] = "events.write",
    [SCOPE_CUSTOMERS_READ] = "customers.read",
    [SCOPE_CUSTOMERS_WRITE] = "customers.write",
    [SCOPE_BILLING_READ] = "billing.read",
    [SCOPE_BILLING_WRITE] = "billing.write",
    [SCOPE_RECOMMENDATIONS_READ] = "recommendations.read",
    [SCOPE_MODELS_READ] = "models.read",
    [SCOPE_ALERTS_READ] = "alerts.read",
    [SCOPE_ALERTS_WRITE] = "alerts.write",
    [SCOPE_ADMIN] = "admin",
};

const char *scope_text(enum scope scope) {
    check((u32)scope < SCOPES);
    return names[scope];
}

bool scope_parse(struct slice text, enum scope *out) {
    for (u32 i = 0; i < SCOPES; i++) {
        if (text.bytes == strlen(names[i]) && memcmp(text.data, names[i], text.bytes) == 0) {
            *out = (enum scope)i;
            return true;
        }
    }
    return false;
}

bool scope_covers(u32 have, u32 wanted) {
    return (have & SCOPE_BIT(SCOPE_ADMIN)) != 0 || (wanted & ~have) == 0;
}
