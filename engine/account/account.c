/*
 * account.c: accounts and the installation's secrets, and the one place that says who a credential
 * speaks for. Nothing is kept in memory: front threads remember identities for a moment (api/auth),
 * so a look-up of some microseconds is rare.
 */
#include "account/account.h"

#include "account/keys.h"
#include "account/sessions.h"
#include "account/state.h"
#include "account/users.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static const struct record_member members[] = {
    RECORD(1, RECORD_U32, struct account_info, id),
    RECORD(2, RECORD_TEXT, struct account_info, name),
    RECORD(3, RECORD_TEXT, struct account_info, plan),
    RECORD(4, RECORD_I64, struct account_info, created_ms),
    RECORD(5, RECORD_BOOL, struct account_info, captures),
};

/* --- what the parts share --------------------------------------------------------------------- */

enum err state_digest(const struct accounts *accounts, struct slice text, u8 digest[DIGEST_BYTES]) {
    return digest_hmac((struct slice){(const char *)accounts->secret, SECRET_BYTES}, text, digest);
}

static enum err random_bytes(void *out, usize bytes) {
    return getrandom(out, bytes, 0) == (ssize_t)bytes ? ERR_OK : ERR_SYSTEM;
}

enum err state_random_hex(char *out, u32 bytes) {
    static const char hex[] = "0123456789abcdef";
    u8 random[64];
    check(bytes <= sizeof random);
    enum err err = random_bytes(random, bytes);
    for (u32 i = 0; err == ERR_OK && i < bytes; i++) {
        *out++ = hex[random[i] >> 4];
        *out++ = hex[random[i] & 15];
    }
    explicit_bzero(random, sizeof random);
    return err;
}

struct slice state_trim(const char *text) {
    static const char blanks[] = " \t\r\n\v\f";
    const char *from = text == NULL ? "" : text + strspn(text, blanks);
    usize bytes = strlen(from);
    while (bytes > 0 && strchr(blanks, from[bytes - 1]) != NULL) {
        bytes--;
    }
    return (struct slice){from, bytes};
}

enum err state_get(struct accounts *accounts, const struct control_object *object,
                   const struct record_member *of, u32 count, void *out) {
    char memory[RECORD_BYTES_MAX];
    usize bytes = sizeof memory;
    enum err err = control_get(accounts->control, object, memory, &bytes);
    if (err == ERR_LIMIT) {
        return ERR_CORRUPT;
    }
    return err != ERR_OK ? err : record_read(of, count, (struct slice){memory, bytes}, out);
}

enum err state_txn_get(struct control_txn *txn, const struct control_object *object,
                       const struct record_member *of, u32 count, void *out) {
    struct slice record;
    enum err err = control_txn_get(txn, object, &record);
    return err != ERR_OK ? err : record_read(of, count, record, out);
}

enum err state_txn_put(struct control_txn *txn, const struct control_object *object,
                       const struct record_member *of, u32 count, const void *from) {
    char memory[RECORD_BYTES_MAX];
    struct slice record = {NULL, 0};
    if (txn->err == ERR_OK) {
        txn->err = record_write(of, count, from, memory, sizeof memory, &record);
    }
    return control_txn_put(txn, object, record);
}

/* --- opening ---------------------------------------------------------------------------------- */

/* Reads a secret of the installation, or makes it. Of two processes that make it, one wins. */
static enum err open_secret(struct control *control, struct slice name, u8 secret[SECRET_BYTES]) {
    u8 fresh[SECRET_BYTES];
    enum err err = random_bytes(fresh, sizeof fresh);
    usize bytes = SECRET_BYTES;
    if (err == ERR_OK) {
        err = control_meta_get(control, name, secret, &bytes);
    }
    if (err == ERR_NOT_FOUND) {
        err = control_meta_add(control, name, (struct slice){(const char *)fresh, sizeof fresh});
        if (err == ERR_OK || err == ERR_EXISTS) {
            bytes = SECRET_BYTES;
            err = control_meta_get(control, name, secret, &bytes);
        }
    }
    return err == ERR_OK && bytes != SECRET_BYTES ? ERR_CORRUPT : err;
}

/* Two processes may both find it missing; the second then finds it made. */
static enum err open_default(struct accounts *accounts) {
    struct account_info account;
    struct control_txn txn;
    enum err err = accounts_get(accounts, ACCOUNT_DEFAULT, &account);
    if (err != ERR_NOT_FOUND) {
        return err;
    }
    err = control_begin(accounts->control, &txn);
    if (err != ERR_OK) {
        return err;
    }
    const struct control_object object = {.account = ACCOUNT_DEFAULT, .kind = CONTROL_ACCOUNT};
    struct slice found;
    if (control_txn_get(&txn, &object, &found) == ERR_OK) {
        control_abort(&txn);
        return ERR_OK;
    }
    accounts_add(accounts, &txn, "default", PLAN_OF_DEFAULT, 0, &account);
    return control_commit(&txn);
}

static enum err find_created(struct accounts *accounts) {
    const struct control_object sequence = {.kind = CONTROL_SEQUENCE, .number = CONTROL_KEY};
    char last[8];
    usize bytes = sizeof last;
    enum err err = control_get(accounts->control, &sequence, last, &bytes);
    accounts->created = err == ERR_NOT_FOUND;
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

enum err accounts_open(struct control *control, struct accounts **out) {
    struct accounts *accounts = calloc(1, sizeof *accounts);
    if (accounts == NULL) {
        return ERR_NO_MEMORY;
    }
    accounts->control = control;
    plans_init(&accounts->shipped);
    accounts_set_plans(accounts, &accounts->shipped, PLAN_OF_DEFAULT);
    check(pthread_mutex_init(&accounts->touched_lock, NULL) == 0);
    enum err err = open_secret(control, SLICE("key_secret"), accounts->secret);
    if (err == ERR_OK) {
        err = open_secret(control, SLICE("seed_secret"), accounts->seed_secret);
    }
    if (err == ERR_OK) {
        err = open_default(accounts);
    }
    if (err == ERR_OK) {
        err = find_created(accounts);
    }
    if (err != ERR_OK) {
        accounts_close(accounts);
        return err;
    }
    *out = accounts;
    return ERR_OK;
}

void accounts_close(struct accounts *accounts) {
    if (accounts != NULL) {
        pthread_mutex_destroy(&accounts->touched_lock);
        explicit_bzero(accounts->secret, sizeof accounts->secret);
        free(accounts);
    }
}

void accounts_set_plans(struct accounts *accounts, const struct plans *plans,
                        const char *new_plan) {
    accounts->plans = plans;
    accounts->new_plan = plans_find(plans, new_plan);
    check(accounts->new_plan != NULL);
}

bool accounts_created(const struct accounts *accounts) {
    return accounts->created;
}

u64 accounts_version(struct accounts *accounts) {
    return control_version(accounts->control);
}

u64 accounts_seen_version(struct accounts *accounts) {
    return control_seen_version(accounts->control);
}

u64 accounts_seed(struct accounts *accounts, const char *purpose) {
    u8 digest[DIGEST_BYTES];
    u64 seed;
    enum err err = digest_hmac((struct slice){(const char *)accounts->seed_secret, SECRET_BYTES},
                               (struct slice){purpose, strlen(purpose)}, digest);
    check(err == ERR_OK); /* a wrong seed would make every key a new one */
    memcpy(&seed, digest, sizeof seed);
    return seed;
}

/* --- credentials ------------------------------------------------------------------------------ */

enum err accounts_authenticate(struct accounts *accounts, struct slice credential, i64 now_ms,
                               struct identity *out) {
    enum err err = ERR_NOT_FOUND;
    if (credential.bytes == KEY_TEXT_BYTES) {
        struct key_info key;
        err = keys_authenticate(accounts, credential, now_ms, &key);
        if (err == ERR_OK) {
            *out = (struct identity){.account = key.account, .key = key.id, .scopes = key.scopes};
        }
    } else if (credential.bytes == SESSION_TEXT_BYTES) {
        struct session_info session;
        err = sessions_authenticate(accounts, credential, now_ms, &session);
        if (err == ERR_OK) {
            *out = (struct identity){.account = session.account,
                                     .scopes = SCOPE_ALL,
                                     .user = session.user,
                                     .role = session.role};
        }
    }
    return err;
}

enum err accounts_select(struct accounts *accounts, u32 account, struct identity *identity) {
    enum role role = ROLE_NONE;
    check(identity->user != 0);
    enum err err = users_role(accounts, identity->user, account, &role);
    if (err == ERR_OK) {
        identity->account = account;
        identity->role = role;
    }
    return err;
}

/* --- accounts --------------------------------------------------------------------------------- */

enum err accounts_get(struct accounts *accounts, u32 id, struct account_info *out) {
    const struct control_object object = {.account = id, .kind = CONTROL_ACCOUNT};
    return state_get(accounts, &object, members, ARRAY_COUNT(members), out);
}

enum err accounts_add(struct accounts *accounts, struct control_txn *txn, const char *name,
                      const char *plan, i64 now_ms, struct account_info *out) {
    struct slice trimmed = state_trim(name);
    u64 id = control_next_number(txn, 0, CONTROL_ACCOUNT);
    if (txn->err != ERR_OK) {
        return txn->err;
    }
    const char *chosen = plan != NULL ? plan : accounts->new_plan->name;
    if (trimmed.bytes == 0 || trimmed.bytes > ACCOUNT_NAME_MAX || !plan_name_is_good(chosen)) {
        return txn->err = ERR_INVALID;
    }
    if (id >= ACCOUNTS_MAX) {
        return txn->err = ERR_LIMIT;
    }
    *out = (struct account_info){.id = (u32)id, .created_ms = now_ms};
    memcpy(out->name, trimmed.data, trimmed.bytes);
    memcpy(out->plan, chosen, strlen(chosen) + 1);
    const struct control_object object = {.account = out->id, .kind = CONTROL_ACCOUNT};
    /* All accounts are listed by number among the installation's own objects. */
    const struct control_object listed = {.kind = CONTROL_ACCOUNT, .number = out->id};
    state_txn_put(txn, &object, members, ARRAY_COUNT(members), out);
    return control_txn_put(txn, &listed, SLICE(""));
}

enum err accounts_create(struct accounts *accounts, const char *name, const char *plan, i64 now_ms,
                         struct account_info *out) {
    struct control_txn txn;
    control_begin(accounts->control, &txn);
    accounts_add(accounts, &txn, name, plan, now_ms, out);
    return control_commit(&txn);
}

/* Changes one account: its plan unless that is NULL, what it captures unless that is. */
static enum err change(struct accounts *accounts, u32 id, const char *plan, const bool *captures) {
    const struct control_object object = {.account = id, .kind = CONTROL_ACCOUNT};
    struct control_txn txn;
    struct account_info account;
    control_begin(accounts->control, &txn);
    enum err err = state_txn_get(&txn, &object, members, ARRAY_COUNT(members), &account);
    if (err != ERR_OK) {
        control_abort(&txn);
        return err;
    }
    if (plan != NULL) {
        memcpy(account.plan, plan, strlen(plan) + 1);
    }
    account.captures = captures != NULL ? *captures : account.captures;
    state_txn_put(&txn, &object, members, ARRAY_COUNT(members), &account);
    return control_commit(&txn);
}

enum err accounts_set_plan(struct accounts *accounts, u32 id, const char *plan) {
    return plan_name_is_good(plan) ? change(accounts, id, plan, NULL) : ERR_INVALID;
}

enum err accounts_set_capture(struct accounts *accounts, u32 id, bool captures) {
    return change(accounts, id, NULL, &captures);
}

struct listing {
    u32 *ids;
    u32 count;
};

static bool visit_id(void *context, const struct control_object *object, struct slice value) {
    struct listing *listing = context;
    (void)value;
    listing->ids[listing->count++] = (u32)object->number;
    return listing->count < ACCOUNTS_MAX;
}

enum err accounts_each(struct accounts *accounts, u32 first,
                       bool (*visit)(void *context, const struct account_info *account),
                       void *context) {
    const struct control_object from = {.kind = CONTROL_ACCOUNT, .number = first};
    struct listing listing = {malloc(ACCOUNTS_MAX * sizeof *listing.ids), 0};
    if (listing.ids == NULL) {
        return ERR_NO_MEMORY;
    }
    enum err err = control_each_from(accounts->control, &from, visit_id, &listing);
    bool more = true;
    for (u32 i = 0; err == ERR_OK && more && i < listing.count; i++) {
        struct account_info account;
        err = accounts_get(accounts, listing.ids[i], &account);
        more = err == ERR_OK && visit(context, &account);
    }
    free(listing.ids);
    return err;
}

const struct plan *accounts_plan(const struct accounts *accounts,
                                 const struct account_info *account) {
    const struct plan *plan = plans_find(accounts->plans, account->plan);
    return plan != NULL ? plan : accounts->new_plan;
}

const struct plans *accounts_plans(const struct accounts *accounts) {
    return accounts->plans;
}
