/* event_limit.c: see event_limit.h. */
#include "api/event_limit.h"

#include <stdlib.h>

#include "account/budget.h"
#include "account/outbox.h"
#include "account/usage.h"
#include "api/error.h"
#include "base/log.h"
#include "json/write.h"

#define RETRY_SECONDS_MAX 86400

/* The account's slot, with its limit as it is now. Where the tables cannot be read, nothing is
 * limited: events are worth more than a limit. */
static struct limit_slot *find_slot(struct context *context, u32 account) {
    struct limit_slot *slot = &context->limit_cache[account % KEY_CACHE_SLOTS];
    if (slot->account == account && slot->version == accounts_version(context->accounts)) {
        return slot;
    }
    struct account_info info;
    if (slot->account != account) {
        *slot = (struct limit_slot){.account = account};
    }
    slot->version = accounts_seen_version(context->accounts);
    enum err err = accounts_get(context->accounts, account, &info);
    slot->limit = PLAN_UNLIMITED;
    slot->captures = false;
    if (err == ERR_OK) {
        slot->captures = info.captures;
        slot->limit = accounts_plan(context->accounts, &info)->limit[PLAN_EVENT_INGEST];
    } else {
        log_error("account_unreadable", "account=%u reason=%s", account, err_text(err));
    }
    return slot;
}

bool event_limit_allows(struct context *context, u32 account, i64 now_ms, struct event_limit *out) {
    const struct limit_slot *slot = find_slot(context, account);
    *out = (struct event_limit){.limit = slot->limit, .captures = slot->captures};
    if (out->limit == PLAN_UNLIMITED) {
        return true;
    }
    out->used = usage_of(context->usage, account, now_ms);
    return out->used < (u64)out->limit;
}

enum call_outcome event_limit_refuse(struct http_call *call, const struct event_limit *limit) {
    i64 seconds = (budget_next_month(call->now_ms) - call->now_ms) / 1000 + 1;
    call->status = 429;
    buf_clear(&call->reply);
    buf_put_format(&call->headers, "Retry-After: %lld\r\n",
                   (long long)MIN(seconds, (i64)RETRY_SECONDS_MAX));
    struct json_writer json = json_writer(&call->reply);
    json_object_begin(&json);
    json_key(&json, "error");
    json_text(&json, "the plan's events of this month are used up");
    json_key(&json, "code");
    json_text(&json, "event_limit");
    json_key(&json, "usage");
    json_u64(&json, limit->used);
    json_key(&json, "limit");
    json_i64(&json, limit->limit);
    json_key(&json, "upgrade_url");
    json_text(&json, EVENT_UPGRADE_URL);
    json_object_end(&json);
    return CALL_DONE;
}

/* --- warnings --------------------------------------------------------------------------------- */

struct warning {
    struct job job;
    struct accounts *accounts;
    u32 account;
    u64 used;
    i64 limit;
    i64 now_ms;
};

static void run(struct job *job) {
    const struct warning *warning = job->context;
    enum err err = outbox_warn_usage(warning->accounts, warning->account, warning->used,
                                     warning->limit, warning->now_ms);
    if (err != ERR_OK) {
        log_warn("usage_warning_failed", "account=%u reason=%s", warning->account, err_text(err));
    }
}

static void done(struct job *job) {
    free(job->context);
}

void event_limit_warn(struct context *context, u32 account, i64 now_ms) {
    struct limit_slot *slot = find_slot(context, account);
    if (slot->limit == PLAN_UNLIMITED) {
        return;
    }
    u64 used = usage_of(context->usage, account, now_ms);
    u32 due = outbox_usage_level(used, slot->limit);
    i64 month_ms = budget_this_month(now_ms);
    if (due == 0 || (slot->month_ms == month_ms && slot->warned >= due)) {
        return;
    }
    struct warning *warning = calloc(1, sizeof *warning);
    if (warning == NULL) {
        return; /* the next request tries again */
    }
    *warning = (struct warning){.accounts = context->accounts,
                                .account = account,
                                .used = used,
                                .limit = slot->limit,
                                .now_ms = now_ms};
    warning->job = (struct job){.run = run, .done = done, .context = warning};
    if (front_job(context->front, &warning->job) != ERR_OK) {
        free(warning);
        return;
    }
    slot->month_ms = month_ms;
    slot->warned = due;
}
