/*
 * keys.h: API keys (Observe 1.1, 1.4). A key is `obs_` and 48 hex digits. Stored: a keyed digest
 * (HMAC-SHA-256 under the installation's secret) and the first 11 characters. The plain key is
 * shown once.
 *
 * Writes are synced: not for front threads. An active key is neither revoked nor expired.
 */
#ifndef MARGIN_ACCOUNT_KEYS_H
#define MARGIN_ACCOUNT_KEYS_H

#include "account/account.h"
#include "account/budget.h"

struct key_info {
    u32 id; /* in the installation: no two accounts share one */
    u32 account;
    u32 scopes;
    char prefix[KEY_PREFIX_BYTES + 1];
    char name[KEY_NAME_MAX + 1];
    i64 created_ms;
    i64 expires_ms;   /* 0: never */
    i64 revoked_ms;   /* 0: not */
    i64 last_used_ms; /* 0: never; known within a minute */
    struct budget budget;
};

struct key_request {
    const char *name; /* NULL, or blank: `default`, `default-2`... */
    u32 scopes;
    i64 expires_ms;  /* 0: never */
    bool has_budget; /* else the next two mean nothing */
    i64 budget_cents;
    enum budget_period budget_period;
};

/* Makes a key; `text` gets KEY_TEXT_BYTES and a NUL. ERR_EXISTS: an active key has that name.
 * ERR_INVALID: the name has more than KEY_NAME_CHARACTERS_MAX. ERR_LIMIT: the account has KEYS_MAX
 * active keys. Errors of the control tables pass through here and below. */
enum err keys_create(struct accounts *accounts, u32 account, const struct key_request *request,
                     i64 now_ms, char text[KEY_TEXT_BYTES + 1], struct key_info *info);
/* ERR_NOT_FOUND: no key with that id in the account. */
enum err keys_get(struct accounts *accounts, u32 account, u32 id, struct key_info *info);
/* Revokes a key that is not. ERR_NOT_FOUND: there is none. ERR_INVALID: `keep_one`, and it is the
 * account's last active key. */
enum err keys_revoke(struct accounts *accounts, u32 account, u32 id, bool keep_one, i64 now_ms);
/* Revokes an active key and makes one like it in its place: same name, scopes, expiry and budget,
 * with what is used of it. ERR_NOT_FOUND. */
enum err keys_reset(struct accounts *accounts, u32 account, u32 id, i64 now_ms,
                    char text[KEY_TEXT_BYTES + 1], struct key_info *info);
/* In the order of ids, revoked and expired ones included, until `visit` says false. */
enum err keys_each(struct accounts *accounts, u32 account,
                   bool (*visit)(void *context, const struct key_info *info), void *context);

static inline bool key_is_active(const struct key_info *info, i64 now_ms) {
    return info->revoked_ms == 0 && (info->expires_ms == 0 || now_ms < info->expires_ms);
}

/* Whether who holds key `have` may get hold of, or take away, key `wanted`: it may do no more,
 * lives no longer, and may spend no more. Else a key for a day could reset one for ever and keep
 * that. */
bool key_covers(const struct key_info *have, const struct key_info *wanted);

/* For accounts_authenticate(): the active key of that text, and notes that it was used. */
enum err keys_authenticate(struct accounts *accounts, struct slice text, i64 now_ms,
                           struct key_info *info);
/* Writes the times of last use that wait, all in one transaction; at most once a minute and key
 * there is one. Called now and then by a thread that may wait for the disk. */
enum err keys_flush_used(struct accounts *accounts);

#endif
