/* state.h: what the files of account/ share and nobody else sees. */
#ifndef MARGIN_ACCOUNT_STATE_H
#define MARGIN_ACCOUNT_STATE_H

#include "account/account.h"
#include "account/keys.h"
#include "base/digest.h"
#include "base/record.h"

#include <pthread.h>

#define SECRET_BYTES 32
#define RECORD_BYTES_MAX (2 * KIB) /* of any object of account/ */

struct touched { /* a key that was used, and its account */
    u32 key;     /* 0: a free place */
    u32 account;
    i64 used_ms;
};

struct accounts {
    struct control *control;
    u8 secret[SECRET_BYTES]; /* of keys and tokens */
    u8 seed_secret[SECRET_BYTES];
    bool created;
    const struct plans *plans;
    const struct plan *new_plan;
    struct plans shipped;

    pthread_mutex_t touched_lock; /* over what follows */
    u32 touched_count;
    struct touched touched[KEYS_TOUCHED_MAX]; /* open addressing by key */
};

/* The digest that a secret text is kept as. */
enum err state_digest(const struct accounts *accounts, struct slice text, u8 digest[DIGEST_BYTES]);
/* Random bytes as lower-case hex, 2 * bytes of it, and no NUL. */
enum err state_random_hex(char *out, u32 bytes);
/* An e-mail address or a name of our own making, without blanks around. */
struct slice state_trim(const char *text);

/* Reads an object into a struct by its members. ERR_NOT_FOUND, ERR_CORRUPT, ERR_VERSION. The struct
 * has no RECORD_SLICE. */
enum err state_get(struct accounts *accounts, const struct control_object *object,
                   const struct record_member *members, u32 count, void *out);
enum err state_txn_get(struct control_txn *txn, const struct control_object *object,
                       const struct record_member *members, u32 count, void *out);
enum err state_txn_put(struct control_txn *txn, const struct control_object *object,
                       const struct record_member *members, u32 count, const void *from);

/* As accounts_create() and keys_create(), in a transaction of the caller's. An error becomes the
 * transaction's, too. */
enum err accounts_add(struct accounts *accounts, struct control_txn *txn, const char *name,
                      const char *plan, i64 now_ms, struct account_info *out);
enum err keys_add(struct accounts *accounts, struct control_txn *txn, u32 account,
                  const struct key_request *request, i64 now_ms, char text[KEY_TEXT_BYTES + 1],
                  struct key_info *info);

struct user_proof;
/* users.c: ERR_INVALID: the password has changed since it was shown. ERR_NOT_FOUND. */
enum err users_confirm(struct control_txn *txn, const struct user_proof *proof);

/* sessions.c: ends all sessions of a user. */
enum err sessions_end_all(struct control_txn *txn, u32 user);

#endif
