/*
 * account.h: accounts, and who a credential speaks for. Everything lies in the control tables and
 * is read from there, which costs microseconds; another process (marginctl) may change them at any
 * time, and the next look-up sees it. keys.h, users.h and sessions.h are the parts.
 */
#ifndef MARGIN_ACCOUNT_ACCOUNT_H
#define MARGIN_ACCOUNT_ACCOUNT_H

#include "account/plan.h"
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
#define SCOPE_ALL UINT32_MAX              /* an unrestricted key, and every session */
const char *scope_text(enum scope scope); /* "events.read" */
bool scope_parse(struct slice text, enum scope *out);
/* Whether somebody with the scopes `have` may hand out, or take away, a key with `wanted`. */
bool scope_covers(u32 have, u32 wanted);

/* What a user may do in an account. The numbers are on disk. */
enum role { ROLE_NONE, ROLE_OWNER, ROLE_ADMIN, ROLE_VIEWER /* reads only */, ROLES };
const char *role_text(enum role role); /* "owner" */
bool role_parse(struct slice text, enum role *out);

#define KEY_TEXT_BYTES 52 /* "obs_" + 48 */
#define KEY_PREFIX_BYTES 11
#define KEY_NAME_CHARACTERS_MAX 100
#define KEY_NAME_MAX (4 * KEY_NAME_CHARACTERS_MAX) /* bytes */
#define SESSION_TEXT_BYTES 60                      /* "mss_" + 56 */
#define CREDENTIAL_BYTES_MAX SESSION_TEXT_BYTES

struct identity { /* who a request speaks for */
    u32 account;
    u32 key; /* 0: a session */
    u32 scopes;
    u32 user;       /* 0: a key */
    enum role role; /* of a session */
};
static inline bool identity_may(const struct identity *identity, enum scope scope) {
    return (identity->scopes & (SCOPE_BIT(scope) | SCOPE_BIT(SCOPE_ADMIN))) != 0;
}

struct accounts; /* thread safe */

#define ACCOUNT_DEFAULT ((u32)1) /* the id of the account `default` */
#define PLAN_OF_DEFAULT "unlimited"

/* Opens on the control tables (not owned); makes the installation's secrets and the account
 * `default` (id 1) on first use. */
enum err accounts_open(struct control *control, struct accounts **out);
void accounts_close(struct accounts *accounts);

/* Before there are threads: the plans of the settings (not owned), and the name of the one that new
 * accounts, and accounts whose plan is not there any more, are on. Without, nothing is limited. */
void accounts_set_plans(struct accounts *accounts, const struct plans *plans, const char *new_plan);

/* True if no key had ever been made when this was opened: the caller makes the first one. */
bool accounts_created(const struct accounts *accounts);

/* Changes whenever anything may have changed, so that an answer of accounts_authenticate() may be
 * kept as long as this is what seen_version() was before it, for about a second (keys and sessions
 * expire). Cheap. See control_version(). */
u64 accounts_version(struct accounts *accounts);
u64 accounts_seen_version(struct accounts *accounts);

/* Seeds of this installation, fixed for ever: `purpose` is a short name ("dedup", "series"). */
u64 accounts_seed(struct accounts *accounts, const char *purpose);

/* Who a key or a session's token speaks for. A session's account is the one it was begun in.
 * ERR_NOT_FOUND: unknown, revoked, ended or expired. Other errors: of the tables. */
enum err accounts_authenticate(struct accounts *accounts, struct slice credential, i64 now_ms,
                               struct identity *out);
/* Makes a session's identity speak for another account of its user. ERR_NOT_FOUND: the user does
 * not belong to it; the identity stays as it is. */
enum err accounts_select(struct accounts *accounts, u32 account, struct identity *identity);

/* --- accounts --------------------------------------------------------------------------------- */

struct account_info {
    u32 id;
    char name[ACCOUNT_NAME_MAX + 1];
    char plan[PLAN_NAME_MAX + 1];
    i64 created_ms;
    bool captures; /* requests and responses of model calls are kept with their events */
};

enum err accounts_get(struct accounts *accounts, u32 id, struct account_info *out);
/* `plan` NULL: the one for new accounts. ERR_LIMIT: ACCOUNTS_MAX. ERR_INVALID: the name. */
enum err accounts_create(struct accounts *accounts, const char *name, const char *plan, i64 now_ms,
                         struct account_info *out);
/* ERR_NOT_FOUND; ERR_INVALID: not the form of a name. */
enum err accounts_set_plan(struct accounts *accounts, u32 id, const char *plan);
/* ERR_NOT_FOUND. Events that come from then on are kept so. */
enum err accounts_set_capture(struct accounts *accounts, u32 id, bool captures);
/* In the order of ids, until `visit` says false, from `first` on. */
enum err accounts_each(struct accounts *accounts, u32 first,
                       bool (*visit)(void *context, const struct account_info *account),
                       void *context);
/* The plan an account is on; never NULL. */
const struct plan *accounts_plan(const struct accounts *accounts,
                                 const struct account_info *account);
/* All plans, for the catalogue. */
const struct plans *accounts_plans(const struct accounts *accounts);

#endif
