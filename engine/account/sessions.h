/*
 * sessions.h: what a login gives: a token that speaks for a user in an account for seven days
 * (Observe 1.1). A token is `mss_`, the user's number as 8 hex digits, and 48 random ones; it is
 * kept as a keyed digest, like an API key. Writes are synced: not for front threads.
 */
#ifndef MARGIN_ACCOUNT_SESSIONS_H
#define MARGIN_ACCOUNT_SESSIONS_H

#include "account/account.h"

#define SESSION_LIFE_MS ((i64)7 * 24 * 3600000)

struct user_proof;

struct session_info {
    u32 user;
    u32 account;
    enum role role; /* in that account, now */
    i64 expires_ms;
};

/* Begins a session in the account that an operator put the user into last, else in that of his
 * signing up; `text` gets SESSION_TEXT_BYTES and a NUL. The user's expired sessions go, and past
 * SESSIONS_MAX the oldest. ERR_NOT_FOUND: the user is a member of no account. ERR_INVALID: the
 * password has changed since it was shown. */
enum err sessions_begin(struct accounts *accounts, const struct user_proof *proof, i64 now_ms,
                        char text[SESSION_TEXT_BYTES + 1], struct session_info *out);
/* ERR_NOT_FOUND: there is no such session, or not any more. */
enum err sessions_authenticate(struct accounts *accounts, struct slice text, i64 now_ms,
                               struct session_info *out);
/* ERR_NOT_FOUND. */
enum err sessions_end(struct accounts *accounts, struct slice text);

#endif
