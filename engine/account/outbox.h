/*
 * outbox.h: mail that waits to be sent, durably: what happened, in which account, and when. Who
 * sends it finds the owner's address and the words for it. And the two warnings of a month's events
 * (Observe 2.5), each of which is put there once.
 */
#ifndef MARGIN_ACCOUNT_OUTBOX_H
#define MARGIN_ACCOUNT_OUTBOX_H

#include "account/account.h"

enum outbox_kind { OUTBOX_USAGE_WARNING = 1 }; /* on disk: never reuse a number */

struct outbox_item {
    u32 kind; /* enum outbox_kind */
    i64 created_ms;
    i64 month_ms; /* usage: first instant of the month */
    u32 percent;  /* usage: 80 or 100 */
    i64 used;
    i64 limit;
};

/* Of `used` events of a limit of `limit`: 0, 80 or 100, the warning that is due. */
u32 outbox_usage_level(u64 used, i64 limit);

/* Puts the warnings up to the level due into the outbox that are not there yet, for the month of
 * `now_ms`. Waits for the disk if there is something to write. */
enum err outbox_warn_usage(struct accounts *accounts, u32 account, u64 used, i64 limit, i64 now_ms);

/* What waits in an account, oldest first, until `visit` says false. */
enum err outbox_each(struct accounts *accounts, u32 account,
                     bool (*visit)(void *context, u64 number, const struct outbox_item *item),
                     void *context);

#endif
