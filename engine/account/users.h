/*
 * users.h: people who log in with an e-mail address and a password, and what they may do in which
 * account (Observe 1.1). A user belongs to the installation and may be a member of several
 * accounts. Passwords are kept as scrypt (RFC 7914) digests with a salt each; one that is checked
 * or set costs a tenth of a second of processor time and 32 MiB, so: jobs, never front threads.
 */
#ifndef MARGIN_ACCOUNT_USERS_H
#define MARGIN_ACCOUNT_USERS_H

#include "account/account.h"
#include "account/keys.h"
#include "base/digest.h"

struct user {
    u32 id;
    char email[EMAIL_MAX + 1]; /* lower case, no blanks around */
    i64 created_ms;
    bool has_password; /* without one nobody logs in */
};

/* Trims and lower-cases. False: no '@', a control character, or longer than EMAIL_MAX. */
bool users_read_email(struct slice text, char out[EMAIL_MAX + 1]);

enum err users_get(struct accounts *accounts, u32 id, struct user *out);
/* `email` as users_read_email() gives it. ERR_NOT_FOUND. */
enum err users_find(struct accounts *accounts, const char *email, struct user *out);

/* Makes the user with that address, or takes the one there is, and a member of the account. Its
 * password is set if one is given (else NULL data). ERR_EXISTS: it is a member already.
 * ERR_INVALID: the password is too short or too long. ERR_NOT_FOUND: no such account. */
enum err users_join(struct accounts *accounts, const char *email, u32 account, enum role role,
                    struct slice password, i64 now_ms, struct user *out);
/* Changes a member's role; ROLE_NONE: is no member any more, which his sessions notice at once.
 * ERR_NOT_FOUND: is no member. */
enum err users_set_role(struct accounts *accounts, const char *email, u32 account, enum role role);
/* Sets the password and ends the user's sessions. ERR_NOT_FOUND, ERR_INVALID. */
enum err users_set_password(struct accounts *accounts, const char *email, struct slice password);

/* Which password somebody has shown, as it is stored: what follows may see whether it still is. */
struct user_proof {
    u32 user;
    u8 digest[DIGEST_BYTES]; /* zero: he has none */
};
/* ERR_NOT_FOUND: no such user, or another password: it takes the same time. */
enum err users_check_password(struct accounts *accounts, const char *email, struct slice password,
                              struct user *out, struct user_proof *proof);

/* ERR_NOT_FOUND: no member. */
enum err users_role(struct accounts *accounts, u32 user, u32 account, enum role *role);

struct membership {
    u32 account;
    u32 role;
    i64 joined_ms;
    bool signed_up; /* whoever did that only said that the address is his */
};
/* The accounts of a user by their number, at most `max`; sets *count. */
enum err users_memberships(struct accounts *accounts, u32 user, struct membership *out, u32 max,
                           u32 *count);
/* The members of an account by the user's number, until `visit` says false. */
enum err users_each(struct accounts *accounts, u32 account,
                    bool (*visit)(void *context, const struct user *user, enum role role),
                    void *context);

/* A stranger's start (Observe 1.3): an account named like the address, on the plan for new
 * accounts, its owner, and a key named `default`; all of it or nothing. Nobody has asked whose the
 * address is, so the owner has no password, and a login prefers accounts that an operator put him
 * into. ERR_EXISTS: the address is known. */
enum err users_sign_up(struct accounts *accounts, const char *email,
                       const struct key_request *request, i64 now_ms, char text[KEY_TEXT_BYTES + 1],
                       struct key_info *key);

#endif
