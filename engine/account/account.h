/*
 * account.h: accounts and API keys. Kept in the control tables, looked up from memory; another
 * process (marginctl key) may change the tables at any time, which the next look-up sees.
 *
 * Keys are `obs_` and 48 hex digits. Stored: a keyed digest (HMAC-SHA-256 under the installation's
 * secret) and the first 11 characters. The plain key is shown once.
 */
#ifndef MARGIN_ACCOUNT_ACCOUNT_H
#define MARGIN_ACCOUNT_ACCOUNT_H

#include "base.h"
#include "store.h"

enum scope { /* Observe 1.2; a bit each */
             SCOPE_PROXY_CHAT,
             SCOPE_USAGE_READ,
             SCOPE_USAGE_WRITE,
             SCOPE_EVENTS_READ,
             SCOPE_EVENTS_WRITE,
             SCOPE_CUSTOMERS_READ,
             SCOPE_CUSTOMERS_WRITE,
             SCOPE_BILLING_READ,
             SCOPE_BILLING_WRITE,
             SCOPE_RECOMMENDATIONS_READ,
             SCOPE_MODELS_READ,
             SCOPE_ALERTS_READ,
             SCOPE_ALERTS_WRITE,
             SCOPE_ADMIN,
             SCOPES
};
#define SCOPE_BIT(scope) ((u32)1 << (scope))
#define SCOPE_ALL UINT32_MAX              /* an unrestricted key */
const char *scope_text(enum scope scope); /* "events.read" */
bool scope_parse(struct slice text, enum scope *out);

#define KEY_TEXT_BYTES 52 /* "obs_" + 48 */
#define KEY_PREFIX_BYTES 11
#define KEY_NAME_MAX 100

struct identity { /* who a request speaks for */
    u32 account;
    u32 key;
    u32 scopes;
};
static inline bool identity_may(const struct identity *identity, enum scope scope) {
    return (identity->scopes & (SCOPE_BIT(scope) | SCOPE_BIT(SCOPE_ADMIN))) != 0;
}

struct key_info {
    u32 id;
    u32 account;
    u32 scopes;
    char prefix[KEY_PREFIX_BYTES + 1];
    char name[KEY_NAME_MAX + 1];
    i64 created_ms;
    i64 expires_ms; /* 0: never */
    i64 revoked_ms; /* 0: active */
};

struct accounts; /* thread safe */

#define ACCOUNT_DEFAULT ((u32)1) /* the id of the account `default` */

/* Opens on the control tables (not owned); makes the installation's secrets and the account
 * `default` (id 1) on first use. */
enum err accounts_open(struct control *control, struct accounts **out);
void accounts_close(struct accounts *accounts);

/* True if no key had ever been made when this was opened: the caller makes the first one. */
bool accounts_created(const struct accounts *accounts);

/* Changes whenever a key may have changed, so that an answer of accounts_authenticate() may be kept
 * as long as this stays the same and the key has not expired. Cheap. */
u64 accounts_version(struct accounts *accounts);

/* Seeds of this installation, fixed for ever: `purpose` is a short name ("dedup", "series"). */
u64 accounts_seed(struct accounts *accounts, const char *purpose);

/* ERR_NOT_FOUND: unknown, revoked or expired. Thread safe. */
enum err accounts_authenticate(struct accounts *accounts, struct slice key, i64 now_ms,
                               struct identity *out);

/* Makes a key; `text` gets KEY_TEXT_BYTES and a NUL. ERR_EXISTS: an active key has that name. */
/* An empty or missing name gives `default`, `default-2`... ERR_INVALID: longer than KEY_NAME_MAX.
 * ERR_LIMIT: KEYS_MAX keys are active. Errors of the control tables pass through here and below. */
enum err accounts_key_create(struct accounts *accounts, u32 account, const char *name, u32 scopes,
                             i64 expires_ms, i64 now_ms, char text[KEY_TEXT_BYTES + 1],
                             struct key_info *info);
/* ERR_NOT_FOUND: no active key with that id in the account. */
enum err accounts_key_revoke(struct accounts *accounts, u32 account, u32 id, i64 now_ms);
/* Fills at most `max`, newest first; sets *count to how many there are. Revoked keys included. */
enum err accounts_key_list(struct accounts *accounts, u32 account, struct key_info *out, u32 max,
                           u32 *count);

#endif
