/* outbox.c: see outbox.h. That a warning was queued is an object of its own, so that it stays known
 * when the mail is gone. */
#include "account/outbox.h"

#include "account/budget.h"
#include "account/state.h"
#include "base/log.h"

static const struct record_member members[] = {
    RECORD(1, RECORD_U32, struct outbox_item, kind),
    RECORD(2, RECORD_I64, struct outbox_item, created_ms),
    RECORD(3, RECORD_I64, struct outbox_item, month_ms),
    RECORD(4, RECORD_U32, struct outbox_item, percent),
    RECORD(5, RECORD_I64, struct outbox_item, used),
    RECORD(6, RECORD_I64, struct outbox_item, limit),
};

struct notice { /* of an account: the last month in which something was said, and how much */
    i64 month_ms;
    u32 percent;
};

static const struct record_member notice_members[] = {
    RECORD(1, RECORD_I64, struct notice, month_ms),
    RECORD(2, RECORD_U32, struct notice, percent),
};

u32 outbox_usage_level(u64 used, i64 limit) {
    if (limit < 0) {
        return 0;
    }
    u128 scaled = (u128)used * 100;
    return scaled >= (u128)limit * 100 ? 100 : scaled >= (u128)limit * 80 ? 80 : 0;
}

static enum err read_notice(struct control_txn *txn, struct accounts *accounts, u32 account,
                            i64 month_ms, struct notice *notice) {
    const struct control_object object = {.account = account, .kind = CONTROL_USAGE_NOTICE};
    u32 count = ARRAY_COUNT(notice_members);
    enum err err = txn != NULL ? state_txn_get(txn, &object, notice_members, count, notice)
                               : state_get(accounts, &object, notice_members, count, notice);
    if (err == ERR_NOT_FOUND || (err == ERR_OK && notice->month_ms < month_ms)) {
        *notice = (struct notice){.month_ms = month_ms};
        err = ERR_OK;
    }
    return err;
}

static void put_warning(struct control_txn *txn, u32 account, const struct outbox_item *item) {
    u64 number = control_next_number(txn, account, CONTROL_OUTBOX);
    const struct control_object object = {
        .account = account, .kind = CONTROL_OUTBOX, .number = number};
    state_txn_put(txn, &object, members, ARRAY_COUNT(members), item);
}

enum err outbox_warn_usage(struct accounts *accounts, u32 account, u64 used, i64 limit,
                           i64 now_ms) {
    static const u32 levels[] = {80, 100};
    u32 due = outbox_usage_level(used, limit);
    i64 month_ms = budget_this_month(now_ms);
    struct notice notice;
    enum err err = read_notice(NULL, accounts, account, month_ms, &notice);
    if (err != ERR_OK || notice.month_ms > month_ms || notice.percent >= due) {
        return err;
    }
    struct control_txn txn;
    control_begin(accounts->control, &txn);
    err = read_notice(&txn, accounts, account, month_ms, &notice);
    if (err != ERR_OK || notice.month_ms > month_ms) {
        control_abort(&txn);
        return err;
    }
    for (u32 i = 0; i < ARRAY_COUNT(levels); i++) {
        if (levels[i] > notice.percent && levels[i] <= due) {
            const struct outbox_item item = {
                OUTBOX_USAGE_WARNING, now_ms, month_ms, levels[i], (i64)used, limit};
            put_warning(&txn, account, &item);
            log_info("usage_warning", "account=%u percent=%u used=%llu limit=%lld", account,
                     levels[i], (unsigned long long)used, (long long)limit);
            notice.percent = levels[i];
        }
    }
    const struct control_object object = {.account = account, .kind = CONTROL_USAGE_NOTICE};
    state_txn_put(&txn, &object, notice_members, ARRAY_COUNT(notice_members), &notice);
    return control_commit(&txn);
}

struct walk {
    bool (*visit)(void *context, u64 number, const struct outbox_item *item);
    void *context;
    enum err err;
};

static bool visit_item(void *context, const struct control_object *object, struct slice value) {
    struct walk *walk = context;
    struct outbox_item item;
    walk->err = record_read(members, ARRAY_COUNT(members), value, &item);
    return walk->err == ERR_OK && walk->visit(walk->context, object->number, &item);
}

enum err outbox_each(struct accounts *accounts, u32 account,
                     bool (*visit)(void *context, u64 number, const struct outbox_item *item),
                     void *context) {
    struct walk walk = {.visit = visit, .context = context};
    enum err err = control_each(accounts->control, account, CONTROL_OUTBOX, visit_item, &walk);
    return walk.err != ERR_OK ? walk.err : err;
}
