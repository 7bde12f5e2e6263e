/* sessions.c: see sessions.h. The token names its user, so that the sessions of one user lie
 * together and can be counted and ended. */
#include "account/sessions.h"

#include "account/state.h"
#include "account/users.h"

#include <stdio.h>
#include <string.h>

#define START "mss_"
#define START_BYTES (sizeof START - 1)
#define USER_DIGITS 8
#define RANDOM_BYTES 24

_Static_assert(START_BYTES + USER_DIGITS + 2 * (usize)RANDOM_BYTES == SESSION_TEXT_BYTES,
               "a token's form");
_Static_assert(SESSION_TEXT_BYTES != KEY_TEXT_BYTES, "tokens and keys are told apart by length");

struct session {
    u32 user;
    u32 account;
    i64 created_ms;
    i64 expires_ms;
};

static const struct record_member members[] = {
    RECORD(1, RECORD_U32, struct session, user),
    RECORD(2, RECORD_U32, struct session, account),
    RECORD(3, RECORD_I64, struct session, created_ms),
    RECORD(4, RECORD_I64, struct session, expires_ms),
};

/* The user a token says it is of; false if it has not the form of one. */
static bool read_form(struct slice text, u32 *user) {
    if (text.bytes != SESSION_TEXT_BYTES || memcmp(text.data, START, START_BYTES) != 0) {
        return false;
    }
    *user = 0;
    for (usize i = START_BYTES; i < SESSION_TEXT_BYTES; i++) {
        char c = text.data[i];
        bool digit = c >= '0' && c <= '9';
        if (!digit && !(c >= 'a' && c <= 'f')) {
            return false;
        }
        if (i < START_BYTES + USER_DIGITS) {
            *user = *user << 4 | (u32)(digit ? c - '0' : c - 'a' + 10);
        }
    }
    return true;
}

static struct control_object object_of(u32 user, const u8 digest[DIGEST_BYTES]) {
    return (struct control_object){
        .kind = CONTROL_SESSION, .number = user, .name = {(const char *)digest, DIGEST_BYTES}};
}

/* --- beginning -------------------------------------------------------------------------------- */

struct sweep {
    i64 now_ms;
    u32 live;
    u32 ended;
    i64 oldest_ms;
    u8 oldest[DIGEST_BYTES];
    u8 end[SESSIONS_MAX][DIGEST_BYTES]; /* more of them wait for the next login */
};

static bool visit_session(void *context, const struct control_object *object, struct slice value) {
    struct sweep *sweep = context;
    struct session session;
    bool good = object->name.bytes == DIGEST_BYTES &&
                record_read(members, ARRAY_COUNT(members), value, &session) == ERR_OK;
    if (object->name.bytes == DIGEST_BYTES && (!good || session.expires_ms <= sweep->now_ms)) {
        if (sweep->ended < SESSIONS_MAX) {
            memcpy(sweep->end[sweep->ended++], object->name.data, DIGEST_BYTES);
        }
    } else if (good) {
        if (sweep->live == 0 || session.created_ms < sweep->oldest_ms) {
            sweep->oldest_ms = session.created_ms;
            memcpy(sweep->oldest, object->name.data, DIGEST_BYTES);
        }
        sweep->live++;
    }
    return true;
}

/* A walk from a user's first session on goes on to the next user's: this one stops there. */
struct one_user {
    u32 user;
    control_visit visit;
    void *context;
};

static bool visit_one_user(void *context, const struct control_object *object, struct slice value) {
    struct one_user *one = context;
    return object->number == one->user && one->visit(one->context, object, value);
}

static enum err sweep_user(struct control_txn *txn, u32 user, struct sweep *sweep) {
    struct one_user one = {user, visit_session, sweep};
    const struct control_object from = {.kind = CONTROL_SESSION, .number = user};
    control_txn_each_from(txn, &from, visit_one_user, &one);
    if (sweep->live >= SESSIONS_MAX && sweep->ended < SESSIONS_MAX) {
        memcpy(sweep->end[sweep->ended++], sweep->oldest, DIGEST_BYTES);
    }
    for (u32 i = 0; i < sweep->ended; i++) {
        const struct control_object object = object_of(user, sweep->end[i]);
        control_txn_delete(txn, &object);
    }
    return txn->err;
}

/* The stranger who signed up with somebody's address holds a key of that account: nobody gets there
 * unasked as long as an operator put him into another one. Of those, the last one. */
static bool is_preferred(const struct membership *one, const struct membership *other) {
    if (one->signed_up != other->signed_up) {
        return other->signed_up;
    }
    return one->joined_ms > other->joined_ms;
}

static enum err choose_account(struct accounts *accounts, u32 user, struct membership *out) {
    struct membership all[MEMBERSHIPS_MAX];
    u32 count = 0;
    enum err err = users_memberships(accounts, user, all, MEMBERSHIPS_MAX, &count);
    if (err == ERR_OK && count == 0) {
        err = ERR_NOT_FOUND;
    }
    for (u32 i = 0; err == ERR_OK && i < count; i++) {
        if (i == 0 || is_preferred(&all[i], out)) {
            *out = all[i];
        }
    }
    return err;
}

enum err sessions_begin(struct accounts *accounts, const struct user_proof *proof, i64 now_ms,
                        char text[SESSION_TEXT_BYTES + 1], struct session_info *out) {
    struct membership in = {0};
    u32 user = proof->user;
    u8 digest[DIGEST_BYTES];
    struct sweep sweep = {.now_ms = now_ms};
    enum err err = choose_account(accounts, user, &in);
    if (err == ERR_OK) {
        snprintf(text, SESSION_TEXT_BYTES + 1, START "%08x", user);
        err = state_random_hex(text + START_BYTES + USER_DIGITS, RANDOM_BYTES);
        text[SESSION_TEXT_BYTES] = '\0';
    }
    if (err == ERR_OK) {
        err = state_digest(accounts, (struct slice){text, SESSION_TEXT_BYTES}, digest);
    }
    if (err != ERR_OK) {
        return err;
    }
    const struct session session = {user, in.account, now_ms, now_ms + SESSION_LIFE_MS};
    const struct control_object object = object_of(user, digest);
    struct control_txn txn;
    control_begin(accounts->control, &txn);
    err = users_confirm(&txn, proof);
    if (err != ERR_OK) {
        control_abort(&txn);
        return err;
    }
    sweep_user(&txn, user, &sweep);
    state_txn_put(&txn, &object, members, ARRAY_COUNT(members), &session);
    *out = (struct session_info){user, in.account, (enum role)in.role, session.expires_ms};
    return control_commit(&txn);
}

/* --- using and ending ------------------------------------------------------------------------- */

enum err sessions_authenticate(struct accounts *accounts, struct slice text, i64 now_ms,
                               struct session_info *out) {
    u32 user;
    u8 digest[DIGEST_BYTES];
    struct session session;
    if (!read_form(text, &user)) {
        return ERR_NOT_FOUND;
    }
    enum err err = state_digest(accounts, text, digest);
    const struct control_object object = object_of(user, digest);
    if (err == ERR_OK) {
        err = state_get(accounts, &object, members, ARRAY_COUNT(members), &session);
    }
    if (err == ERR_OK && now_ms >= session.expires_ms) {
        err = ERR_NOT_FOUND;
    }
    if (err == ERR_OK) {
        *out = (struct session_info){
            .user = user, .account = session.account, .expires_ms = session.expires_ms};
        err = users_role(accounts, user, session.account, &out->role);
    }
    return err;
}

enum err sessions_end(struct accounts *accounts, struct slice text) {
    u32 user;
    u8 digest[DIGEST_BYTES];
    if (!read_form(text, &user)) {
        return ERR_NOT_FOUND;
    }
    enum err err = state_digest(accounts, text, digest);
    const struct control_object object = object_of(user, digest);
    return err == ERR_OK ? control_delete(accounts->control, &object) : err;
}

/* By that time all have expired. */
enum err sessions_end_all(struct control_txn *txn, u32 user) {
    struct sweep sweep;
    do {
        sweep = (struct sweep){.now_ms = INT64_MAX};
    } while (sweep_user(txn, user, &sweep) == ERR_OK && sweep.ended == SESSIONS_MAX);
    return txn->err;
}
