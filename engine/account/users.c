/* users.c: see users.h. */
#include "account/users.h"

#include "account/state.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define SALT_BYTES 16

/* 32 MiB, about a tenth of a second; kept with each password, so that it may grow. */
static const struct digest_cost cost_now = {.log_n = 15, .r = 8, .p = 1};

struct user_row {
    struct user user;
    u32 log_n;
    u32 r;
    u32 p;
    u8 salt[SALT_BYTES];
    u8 digest[DIGEST_BYTES];
};

static const struct record_member members[] = {
    RECORD(1, RECORD_U32, struct user_row, user.id),
    RECORD(2, RECORD_TEXT, struct user_row, user.email),
    RECORD(3, RECORD_I64, struct user_row, user.created_ms),
    RECORD(4, RECORD_BOOL, struct user_row, user.has_password),
    RECORD(5, RECORD_U32, struct user_row, log_n),
    RECORD(6, RECORD_U32, struct user_row, r),
    RECORD(7, RECORD_U32, struct user_row, p),
    RECORD(8, RECORD_BYTES, struct user_row, salt),
    RECORD(9, RECORD_BYTES, struct user_row, digest),
};

static const struct record_member membership_members[] = {
    RECORD(1, RECORD_U32, struct membership, account),
    RECORD(2, RECORD_U32, struct membership, role),
    RECORD(3, RECORD_I64, struct membership, joined_ms),
    RECORD(4, RECORD_BOOL, struct membership, signed_up),
};

struct email_row { /* where an address leads to */
    u32 user;
};

static const struct record_member email_members[] = {
    RECORD(1, RECORD_U32, struct email_row, user),
};

static const char *const role_names[ROLES] = {
    [ROLE_NONE] = "none", [ROLE_OWNER] = "owner", [ROLE_ADMIN] = "admin", [ROLE_VIEWER] = "viewer"};

const char *role_text(enum role role) {
    check((u32)role < ROLES);
    return role_names[role];
}

bool role_parse(struct slice text, enum role *out) {
    for (u32 i = ROLE_OWNER; i < ROLES; i++) {
        if (text.bytes == strlen(role_names[i]) &&
            memcmp(text.data, role_names[i], text.bytes) == 0) {
            *out = (enum role)i;
            return true;
        }
    }
    return false;
}

bool users_read_email(struct slice text, char out[EMAIL_MAX + 1]) {
    while (text.bytes > 0 && (u8)text.data[0] <= ' ') {
        text = (struct slice){text.data + 1, text.bytes - 1};
    }
    while (text.bytes > 0 && (u8)text.data[text.bytes - 1] <= ' ') {
        text.bytes--;
    }
    if (text.bytes > EMAIL_MAX || text.bytes == 0 || memchr(text.data, '@', text.bytes) == NULL) {
        return false;
    }
    for (usize i = 0; i < text.bytes; i++) {
        char c = text.data[i];
        if ((u8)c < ' ' || c == 0x7f) {
            return false;
        }
        out[i] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    }
    out[text.bytes] = '\0';
    return true;
}

/* --- objects ---------------------------------------------------------------------------------- */

static struct control_object user_object(u32 id) {
    return (struct control_object){.kind = CONTROL_USER, .number = id};
}

static struct control_object email_object(const char *email) {
    return (struct control_object){.kind = CONTROL_USER_EMAIL, .name = {email, strlen(email)}};
}

struct membership_key {
    char account[4]; /* big endian, so that they come in order */
};

static struct membership_key membership_key(u32 account) {
    struct membership_key key;
    u32 big_endian = __builtin_bswap32(account);
    memcpy(key.account, &big_endian, sizeof key.account);
    return key;
}

static struct control_object membership_object(u32 user, const struct membership_key *key) {
    return (struct control_object){
        .kind = CONTROL_MEMBERSHIP, .number = user, .name = {key->account, sizeof key->account}};
}

static enum err get_row(struct accounts *accounts, u32 id, struct user_row *row) {
    const struct control_object object = user_object(id);
    return state_get(accounts, &object, members, ARRAY_COUNT(members), row);
}

static enum err find_row(struct accounts *accounts, const char *email, struct user_row *row) {
    const struct control_object object = email_object(email);
    struct email_row found;
    enum err err = state_get(accounts, &object, email_members, ARRAY_COUNT(email_members), &found);
    return err == ERR_OK ? get_row(accounts, found.user, row) : err;
}

enum err users_get(struct accounts *accounts, u32 id, struct user *out) {
    struct user_row row;
    enum err err = get_row(accounts, id, &row);
    if (err == ERR_OK) {
        *out = row.user;
    }
    return err;
}

enum err users_find(struct accounts *accounts, const char *email, struct user *out) {
    struct user_row row;
    enum err err = find_row(accounts, email, &row);
    if (err == ERR_OK) {
        *out = row.user;
    }
    return err;
}

/* --- passwords -------------------------------------------------------------------------------- */

static struct digest_cost cost_of(const struct user_row *row) {
    return (struct digest_cost){row->log_n, row->r, row->p};
}

static enum err digest_password(struct slice password, const struct user_row *row,
                                u8 digest[DIGEST_BYTES]) {
    return digest_scrypt(password, (struct slice){(const char *)row->salt, SALT_BYTES},
                         cost_of(row), digest);
}

static enum err make_password(struct slice password, struct user_row *row) {
    if (password.bytes < PASSWORD_BYTES_MIN || password.bytes > PASSWORD_BYTES_MAX) {
        return ERR_INVALID;
    }
    if (getrandom(row->salt, SALT_BYTES, 0) != SALT_BYTES) {
        return ERR_SYSTEM;
    }
    row->user.has_password = true;
    row->log_n = cost_now.log_n;
    row->r = cost_now.r;
    row->p = cost_now.p;
    return digest_password(password, row, row->digest);
}

enum err users_check_password(struct accounts *accounts, const char *email, struct slice password,
                              struct user *out, struct user_proof *proof) {
    struct user_row row;
    u8 digest[DIGEST_BYTES];
    if (password.bytes > PASSWORD_BYTES_MAX) {
        return ERR_NOT_FOUND;
    }
    enum err found = find_row(accounts, email, &row);
    if (found != ERR_OK && found != ERR_NOT_FOUND) {
        return found;
    }
    bool known = found == ERR_OK && row.user.has_password;
    if (!known) { /* the same work, so that nobody learns who is known */
        row = (struct user_row){.log_n = cost_now.log_n, .r = cost_now.r, .p = cost_now.p};
    }
    enum err err = digest_password(password, &row, digest);
    if (err != ERR_OK) {
        return err;
    }
    if (!digest_equal(digest, row.digest) || !known) {
        return ERR_NOT_FOUND;
    }
    *out = row.user;
    proof->user = row.user.id;
    memcpy(proof->digest, row.digest, sizeof proof->digest);
    return ERR_OK;
}

/* A salt is never used twice, so the same password set again is another one, too. */
enum err users_confirm(struct control_txn *txn, const struct user_proof *proof) {
    struct user_row row;
    const struct control_object object = user_object(proof->user);
    enum err err = state_txn_get(txn, &object, members, ARRAY_COUNT(members), &row);
    if (err == ERR_OK && !digest_equal(row.digest, proof->digest)) {
        err = ERR_INVALID;
    }
    return err;
}

enum err users_set_password(struct accounts *accounts, const char *email, struct slice password) {
    struct user_row fresh = {0};
    struct user_row row;
    struct user user;
    struct control_txn txn;
    enum err err = users_find(accounts, email, &user);
    if (err == ERR_OK) {
        err = make_password(password, &fresh); /* before the transaction: it takes long */
    }
    if (err != ERR_OK) {
        return err;
    }
    control_begin(accounts->control, &txn);
    const struct control_object object = user_object(user.id);
    err = state_txn_get(&txn, &object, members, ARRAY_COUNT(members), &row);
    if (err != ERR_OK) {
        control_abort(&txn);
        return err;
    }
    fresh.user = row.user;
    fresh.user.has_password = true;
    state_txn_put(&txn, &object, members, ARRAY_COUNT(members), &fresh);
    sessions_end_all(&txn, user.id);
    return control_commit(&txn);
}

/* --- members ---------------------------------------------------------------------------------- */

/* The user of that address, made if there is none; `row` has the new one's password. */
static void ensure_user(struct control_txn *txn, const char *email, i64 now_ms,
                        struct user_row *row) {
    const struct control_object by_email = email_object(email);
    struct email_row found;
    enum err err = state_txn_get(txn, &by_email, email_members, ARRAY_COUNT(email_members), &found);
    if (err == ERR_NOT_FOUND) {
        row->user.id = (u32)control_next_number(txn, 0, CONTROL_USER);
        row->user.created_ms = now_ms;
        memcpy(row->user.email, email, strlen(email) + 1);
        found.user = row->user.id;
        state_txn_put(txn, &by_email, email_members, ARRAY_COUNT(email_members), &found);
    } else if (err == ERR_OK) {
        struct user_row known;
        const struct control_object object = user_object(found.user);
        err = state_txn_get(txn, &object, members, ARRAY_COUNT(members), &known);
        if (err == ERR_OK && row->user.has_password) {
            row->user = known.user;
            row->user.has_password = true;
            sessions_end_all(txn, known.user.id);
        } else if (err == ERR_OK) {
            *row = known;
        }
    }
    if (err != ERR_OK && err != ERR_NOT_FOUND) {
        txn->err = err;
    }
    const struct control_object object = user_object(row->user.id);
    state_txn_put(txn, &object, members, ARRAY_COUNT(members), row);
}

static void add_member(struct control_txn *txn, u32 user, const struct membership *membership) {
    const struct membership_key key = membership_key(membership->account);
    const struct control_object of_user = membership_object(user, &key);
    const struct control_object of_account = {
        .account = membership->account, .kind = CONTROL_MEMBER, .number = user};
    struct slice found;
    if (control_txn_get(txn, &of_user, &found) == ERR_OK) {
        txn->err = ERR_EXISTS;
    }
    state_txn_put(txn, &of_user, membership_members, ARRAY_COUNT(membership_members), membership);
    control_txn_put(txn, &of_account, SLICE(""));
}

enum err users_join(struct accounts *accounts, const char *email, u32 account, enum role role,
                    struct slice password, i64 now_ms, struct user *out) {
    struct account_info joined;
    struct user_row row = {0};
    struct control_txn txn;
    enum err err = accounts_get(accounts, account, &joined);
    if (err == ERR_OK && password.data != NULL) {
        err = make_password(password, &row);
    }
    if (err != ERR_OK) {
        return err;
    }
    const struct membership membership = {account, role, now_ms, false};
    control_begin(accounts->control, &txn);
    ensure_user(&txn, email, now_ms, &row);
    add_member(&txn, row.user.id, &membership);
    *out = row.user;
    return control_commit(&txn);
}

enum err users_set_role(struct accounts *accounts, const char *email, u32 account, enum role role) {
    struct user user;
    struct membership membership;
    struct control_txn txn;
    const struct membership_key key = membership_key(account);
    enum err err = users_find(accounts, email, &user);
    if (err != ERR_OK) {
        return err;
    }
    const struct control_object of_user = membership_object(user.id, &key);
    const struct control_object of_account = {
        .account = account, .kind = CONTROL_MEMBER, .number = user.id};
    control_begin(accounts->control, &txn);
    err = state_txn_get(&txn, &of_user, membership_members, ARRAY_COUNT(membership_members),
                        &membership);
    if (err != ERR_OK) {
        control_abort(&txn);
        return err;
    }
    if (role == ROLE_NONE) {
        control_txn_delete(&txn, &of_user);
        control_txn_delete(&txn, &of_account);
    } else {
        membership.role = role;
        state_txn_put(&txn, &of_user, membership_members, ARRAY_COUNT(membership_members),
                      &membership);
    }
    return control_commit(&txn);
}

enum err users_sign_up(struct accounts *accounts, const char *email,
                       const struct key_request *request, i64 now_ms, char text[KEY_TEXT_BYTES + 1],
                       struct key_info *key) {
    struct control_txn txn;
    struct user_row row = {0};
    struct account_info account = {0};
    struct slice found;
    control_begin(accounts->control, &txn);
    const struct control_object by_email = email_object(email);
    if (control_txn_get(&txn, &by_email, &found) == ERR_OK) {
        txn.err = ERR_EXISTS;
    }
    accounts_add(accounts, &txn, email, NULL, now_ms, &account);
    ensure_user(&txn, email, now_ms, &row);
    const struct membership membership = {account.id, ROLE_OWNER, now_ms, true};
    add_member(&txn, row.user.id, &membership);
    keys_add(accounts, &txn, account.id, request, now_ms, text, key);
    return control_commit(&txn);
}

enum err users_role(struct accounts *accounts, u32 user, u32 account, enum role *role) {
    const struct membership_key key = membership_key(account);
    const struct control_object object = membership_object(user, &key);
    struct membership found;
    enum err err =
        state_get(accounts, &object, membership_members, ARRAY_COUNT(membership_members), &found);
    if (err == ERR_OK && (found.role <= ROLE_NONE || found.role >= ROLES)) {
        err = ERR_CORRUPT;
    }
    if (err == ERR_OK) {
        *role = (enum role)found.role;
    }
    return err;
}

struct memberships {
    u32 user;
    struct membership *out;
    u32 max;
    u32 count;
    enum err err;
};

static bool visit_membership(void *context, const struct control_object *object,
                             struct slice value) {
    struct memberships *all = context;
    if (object->number != all->user || all->count == all->max) {
        return false;
    }
    struct membership *one = &all->out[all->count];
    all->err = record_read(membership_members, ARRAY_COUNT(membership_members), value, one);
    if (all->err == ERR_OK && (one->role <= ROLE_NONE || one->role >= ROLES)) {
        all->err = ERR_CORRUPT;
    }
    all->count += all->err == ERR_OK;
    return all->err == ERR_OK;
}

enum err users_memberships(struct accounts *accounts, u32 user, struct membership *out, u32 max,
                           u32 *count) {
    struct memberships all = {.user = user, .out = out, .max = max};
    const struct control_object from = {.kind = CONTROL_MEMBERSHIP, .number = user};
    enum err err = control_each_from(accounts->control, &from, visit_membership, &all);
    *count = all.count;
    return all.err != ERR_OK ? all.err : err;
}

struct users {
    u32 *ids;
    u32 count;
    u32 capacity;
    bool failed;
};

static bool visit_member(void *context, const struct control_object *object, struct slice value) {
    struct users *users = context;
    (void)value;
    if (users->count == users->capacity) {
        u32 capacity = MAX(users->capacity * 2, (u32)64);
        u32 *ids = realloc(users->ids, capacity * sizeof *ids);
        if (ids == NULL) {
            users->failed = true;
            return false;
        }
        users->ids = ids;
        users->capacity = capacity;
    }
    users->ids[users->count++] = (u32)object->number;
    return true;
}

enum err users_each(struct accounts *accounts, u32 account,
                    bool (*visit)(void *context, const struct user *user, enum role role),
                    void *context) {
    struct users users = {0};
    enum err err = control_each(accounts->control, account, CONTROL_MEMBER, visit_member, &users);
    err = users.failed ? ERR_NO_MEMORY : err;
    bool more = true;
    for (u32 i = 0; err == ERR_OK && more && i < users.count; i++) {
        struct user user;
        enum role role = ROLE_NONE;
        err = users_get(accounts, users.ids[i], &user);
        if (err == ERR_OK) {
            err = users_role(accounts, user.id, account, &role);
        }
        more = err == ERR_OK && visit(context, &user, role);
    }
    free(users.ids);
    return err;
}
