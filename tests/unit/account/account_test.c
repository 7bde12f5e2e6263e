/* account_test.c: keys and their lives, and that one process sees what another one changed. */
#include "account/keys.h"
#include "account/outbox.h"
#include "account/sessions.h"
#include "account/users.h"
#include "base/record.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[64];
static struct control *control;
static struct accounts *accounts;

static struct control *open_control(void) {
    struct control *opened = NULL;
    char why[200] = "";
    cr_assert_eq(control_open(dir, true, &opened, why, sizeof why), ERR_OK, "%s", why);
    return opened;
}

static void remove_dir(const char *path) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", path);
    cr_assert_eq(system(command), 0);
}

static void setup(void) {
    snprintf(dir, sizeof dir, "/tmp/account-test-XXXXXX");
    cr_assert(mkdtemp(dir) != NULL);
    control = open_control();
    cr_assert_eq(accounts_open(control, &accounts), ERR_OK);
}

static void reopen(void) {
    accounts_close(accounts);
    control_close(control);
    control = open_control();
    cr_assert_eq(accounts_open(control, &accounts), ERR_OK);
}

static void teardown(void) {
    accounts_close(accounts);
    control_close(control);
    remove_dir(dir);
}

TestSuite(account, .init = setup, .fini = teardown);

static struct slice key_slice(const char *text) {
    return (struct slice){text, strlen(text)};
}

static enum err authenticate(const char *key, i64 now_ms, struct identity *out) {
    return accounts_authenticate(accounts, key_slice(key), now_ms, out);
}

static struct key_info create(const char *name, u32 scopes, i64 expires_ms, char *text) {
    struct key_info info;
    const struct key_request request = {.name = name, .scopes = scopes, .expires_ms = expires_ms};
    enum err err = keys_create(accounts, ACCOUNT_DEFAULT, &request, 1000, text, &info);
    cr_assert_eq(err, ERR_OK, "%s: %s", name, err_text(err));
    return info;
}

struct listing {
    u32 count;
    struct key_info key[8];
};

static bool visit_key(void *context, const struct key_info *info) {
    struct listing *listing = context;
    cr_assert(listing->count < 8);
    listing->key[listing->count++] = *info;
    return true;
}

static enum err try_create(const char *name) {
    char key[KEY_TEXT_BYTES + 1];
    struct key_info info;
    const struct key_request request = {.name = name, .scopes = SCOPE_ALL};
    return keys_create(accounts, ACCOUNT_DEFAULT, &request, 1, key, &info);
}

Test(account, a_key_has_its_form_and_opens_its_account) {
    char key[KEY_TEXT_BYTES + 1];
    char other[KEY_TEXT_BYTES + 1];
    struct identity identity = {0};
    cr_assert(accounts_created(accounts));
    u32 scopes = SCOPE_BIT(SCOPE_EVENTS_WRITE);
    struct key_info info = create("first", scopes, 0, key);
    cr_assert_eq(strlen(key), KEY_TEXT_BYTES);
    cr_assert(strncmp(key, "obs_", 4) == 0 && strncmp(key, info.prefix, 11) == 0);
    for (int i = 4; i < KEY_TEXT_BYTES; i++) {
        cr_assert(isdigit((unsigned char)key[i]) || (key[i] >= 'a' && key[i] <= 'f'));
    }
    create("second", SCOPE_ALL, 0, other);
    cr_assert_neq(strcmp(key, other), 0);
    cr_assert_eq(authenticate(key, 2000, &identity), ERR_OK);
    cr_assert(identity.account == ACCOUNT_DEFAULT && identity.key == info.id);
    cr_assert(identity_may(&identity, SCOPE_EVENTS_WRITE));
    cr_assert_not(identity_may(&identity, SCOPE_EVENTS_READ));
    cr_assert_eq(authenticate(other, 2000, &identity), ERR_OK);
    cr_assert(identity_may(&identity, SCOPE_ALERTS_READ) && identity.key == info.id + 1);
    reopen();
    cr_assert_not(accounts_created(accounts));
    cr_assert_eq(authenticate(key, 2000, &identity), ERR_OK);
}

Test(account, what_is_no_key_is_not_found) {
    char key[KEY_TEXT_BYTES + 1];
    struct identity identity;
    create("k", SCOPE_ALL, 0, key);
    for (usize i = 0; i < KEY_TEXT_BYTES; i++) {
        char wrong[KEY_TEXT_BYTES + 1];
        memcpy(wrong, key, sizeof wrong);
        wrong[i] = wrong[i] == '0' ? '1' : '0';
        cr_assert_eq(authenticate(wrong, 0, &identity), ERR_NOT_FOUND, "byte %zu", i);
        wrong[i] = (char)toupper((unsigned char)key[i]);
        bool same = wrong[i] == key[i];
        cr_assert_eq(authenticate(wrong, 0, &identity), same ? ERR_OK : ERR_NOT_FOUND);
    }
    cr_assert_eq(
        accounts_authenticate(accounts, (struct slice){key, KEY_TEXT_BYTES - 1}, 0, &identity),
        ERR_NOT_FOUND);
    cr_assert_eq(accounts_authenticate(accounts, (struct slice){NULL, 0}, 0, &identity),
                 ERR_NOT_FOUND);
}

Test(account, keys_expire_and_are_revoked) {
    char key[KEY_TEXT_BYTES + 1];
    struct identity identity;
    struct key_info info = create("short", SCOPE_ALL, 5000, key);
    cr_assert_eq(authenticate(key, 4999, &identity), ERR_OK);
    cr_assert_eq(authenticate(key, 5000, &identity), ERR_NOT_FOUND);
    u64 version = accounts_version(accounts);
    cr_assert_eq(keys_revoke(accounts, ACCOUNT_DEFAULT + 1, info.id, false, 3000), ERR_NOT_FOUND);
    cr_assert_eq(keys_revoke(accounts, ACCOUNT_DEFAULT, info.id + 1, false, 3000), ERR_NOT_FOUND);
    cr_assert_eq(accounts_version(accounts), version);
    cr_assert_eq(keys_revoke(accounts, ACCOUNT_DEFAULT, info.id, false, 3000), ERR_OK);
    cr_assert_neq(accounts_version(accounts), version);
    cr_assert_eq(authenticate(key, 4000, &identity), ERR_NOT_FOUND);
    cr_assert_eq(keys_revoke(accounts, ACCOUNT_DEFAULT, info.id, false, 3500), ERR_NOT_FOUND);
    struct listing listing = {0};
    cr_assert_eq(keys_each(accounts, ACCOUNT_DEFAULT, visit_key, &listing), ERR_OK);
    cr_assert(listing.count == 1 && listing.key[0].revoked_ms == 3000);
    cr_assert_eq(listing.key[0].expires_ms, 5000);
}

Test(account, names_are_unique_among_active_keys) {
    char key[KEY_TEXT_BYTES + 1];
    cr_assert_str_eq(create(NULL, SCOPE_ALL, 0, key).name, "default");
    cr_assert_str_eq(create("", SCOPE_ALL, 0, key).name, "default-2");
    cr_assert_str_eq(create("  ", SCOPE_ALL, 0, key).name, "default-3");
    cr_assert_str_eq(create(" mine\t", SCOPE_ALL, 0, key).name, "mine");
    cr_assert_eq(try_create("mine"), ERR_EXISTS);
    cr_assert_eq(keys_revoke(accounts, ACCOUNT_DEFAULT, 2, false, 5), ERR_OK);
    cr_assert_str_eq(create(NULL, SCOPE_ALL, 0, key).name, "default-2");
    char name[KEY_NAME_CHARACTERS_MAX + 2];
    memset(name, 'n', sizeof name);
    name[KEY_NAME_CHARACTERS_MAX + 1] = '\0';
    cr_assert_eq(try_create(name), ERR_INVALID);
    name[KEY_NAME_CHARACTERS_MAX] = '\0';
    cr_assert_str_eq(create(name, SCOPE_ALL, 0, key).name, name);
    reopen();
    struct listing listing = {0};
    cr_assert_eq(keys_each(accounts, ACCOUNT_DEFAULT, visit_key, &listing), ERR_OK);
    cr_assert_eq(listing.count, 6);
    cr_assert_str_eq(listing.key[5].name, name);
    cr_assert_str_eq(listing.key[0].name, "default");
    cr_assert(listing.key[5].id == 6 && listing.key[1].revoked_ms == 5 && listing.key[1].id == 2);
    listing.count = 0;
    cr_assert_eq(keys_each(accounts, 7, visit_key, &listing), ERR_OK);
    cr_assert_eq(listing.count, 0);
}

Test(account, another_handle_sees_changes) {
    char why[200];
    struct control *other_control = NULL;
    struct accounts *other = NULL;
    char key[KEY_TEXT_BYTES + 1];
    struct identity identity;
    struct key_info info;
    const struct key_request request = {.name = "theirs", .scopes = SCOPE_ALL};
    /* A second environment on one directory belongs into another process. */
    pid_t child = fork();
    cr_assert(child >= 0);
    if (child == 0) {
        bool good = control_open(dir, false, &other_control, why, sizeof why) == ERR_OK &&
                    accounts_open(other_control, &other) == ERR_OK &&
                    keys_create(other, ACCOUNT_DEFAULT, &request, 9, key, &info) == ERR_OK;
        FILE *file = good ? fopen(strcat(strcpy(why, dir), "/key"), "w") : NULL;
        good = good && fputs(key, file) >= 0 && fclose(file) == 0;
        _exit(good ? 0 : 1);
    }
    int status = -1;
    cr_assert(waitpid(child, &status, 0) == child && status == 0);
    FILE *file = fopen(strcat(strcpy(why, dir), "/key"), "r");
    cr_assert(file != NULL && fgets(key, sizeof key, file) != NULL);
    fclose(file);
    cr_assert_eq(authenticate(key, 10, &identity), ERR_OK);
    char mine[KEY_TEXT_BYTES + 1];
    cr_assert_eq(create("mine", SCOPE_ALL, 0, mine).id, identity.key + 1);
}

Test(account, seeds_stay_and_differ) {
    u64 dedup = accounts_seed(accounts, "dedup");
    u64 series = accounts_seed(accounts, "series");
    cr_assert_neq(dedup, series);
    reopen();
    cr_assert_eq(accounts_seed(accounts, "dedup"), dedup);
    cr_assert_eq(accounts_seed(accounts, "series"), series);
}

Test(account, damaged_rows_are_errors_not_keys) {
    char key[KEY_TEXT_BYTES + 1];
    struct identity identity;
    struct key_info info = create("k", SCOPE_ALL, 0, key);
    const struct control_object row = {ACCOUNT_DEFAULT, CONTROL_KEY, info.id, SLICE("")};
    char record[1024];
    usize bytes = sizeof record;
    cr_assert_eq(control_get(control, &row, record, &bytes), ERR_OK);
    record[bytes / 2] ^= 1;
    cr_assert_eq(control_put(control, &row, (struct slice){record, bytes}), ERR_OK);
    cr_assert_eq(authenticate(key, 1, &identity), ERR_CORRUPT);
    record[bytes / 2] ^= 1;
    cr_assert_eq(control_put(control, &row, (struct slice){record, bytes}), ERR_OK);
    cr_assert_eq(authenticate(key, 1, &identity), ERR_OK);
}

Test(account, scopes_have_names) {
    enum scope scope = SCOPE_ADMIN;
    for (u32 i = 0; i < SCOPES; i++) {
        cr_assert(scope_parse(key_slice(scope_text((enum scope)i)), &scope));
        cr_assert_eq((u32)scope, i);
    }
    cr_assert_not(scope_parse(SLICE("events"), &scope));
    cr_assert_not(scope_parse((struct slice){NULL, 0}, &scope));
    cr_assert_str_eq(scope_text(SCOPE_EVENTS_READ), "events.read");
    const struct identity admin = {.scopes = SCOPE_BIT(SCOPE_ADMIN)};
    cr_assert(identity_may(&admin, SCOPE_BILLING_WRITE));
}

/* --- users and sessions ----------------------------------------------------------------------- */

Test(account, addresses_are_read_the_same_way) {
    char email[EMAIL_MAX + 1];
    cr_assert(users_read_email(SLICE("  Me@Example.COM\r\n"), email));
    cr_assert_str_eq(email, "me@example.com");
    cr_assert_not(users_read_email(SLICE("nobody"), email));
    cr_assert_not(users_read_email(SLICE(" "), email));
    cr_assert_not(users_read_email(SLICE("a@b\nc"), email));
    char text[EMAIL_MAX + 1];
    memset(text, '@', sizeof text);
    cr_assert_not(users_read_email((struct slice){text, sizeof text}, email));
    cr_assert(users_read_email((struct slice){text, EMAIL_MAX}, email));
}

static struct user join(const char *email, u32 account, enum role role, struct slice password) {
    struct user user = {0};
    cr_assert_eq(users_join(accounts, email, account, role, password, 100 + account, &user),
                 ERR_OK);
    return user;
}

static bool password_is(const char *email, struct slice password) {
    struct user user;
    struct user_proof proof;
    enum err err = users_check_password(accounts, email, password, &user, &proof);
    cr_assert(err == ERR_OK || err == ERR_NOT_FOUND);
    return err == ERR_OK && strcmp(user.email, email) == 0;
}

Test(account, lengths_of_passwords) {
    static char text[PASSWORD_BYTES_MAX + 2];
    static const usize good[] = {PASSWORD_BYTES_MIN, PASSWORD_BYTES_MAX};
    static const usize bad[] = {0, PASSWORD_BYTES_MIN - 1, PASSWORD_BYTES_MAX + 1};
    memset(text, 'p', sizeof text);
    join("me@x", ACCOUNT_DEFAULT, ROLE_OWNER, SLICE("long enough"));
    for (usize i = 0; i < ARRAY_COUNT(bad); i++) {
        struct slice password = {text, bad[i]};
        cr_expect_eq(users_set_password(accounts, "me@x", password), ERR_INVALID, "%zu", bad[i]);
    }
    cr_expect(password_is("me@x", SLICE("long enough")));
    for (usize i = 0; i < ARRAY_COUNT(good); i++) {
        struct slice password = {text, good[i]};
        cr_expect_eq(users_set_password(accounts, "me@x", password), ERR_OK, "%zu", good[i]);
        cr_expect(password_is("me@x", password));
    }
    cr_expect_not(password_is("me@x", (struct slice){text, PASSWORD_BYTES_MAX + 1}));
}

Test(account, passwords) {
    join("me@x", ACCOUNT_DEFAULT, ROLE_OWNER, SLICE("long enough"));
    join("silent@x", ACCOUNT_DEFAULT, ROLE_VIEWER, (struct slice){NULL, 0});
    cr_assert(password_is("me@x", SLICE("long enough")));
    cr_assert_not(password_is("me@x", SLICE("long enougH")));
    cr_assert_not(password_is("me@x", SLICE("")));
    cr_assert_not(password_is("silent@x", SLICE("")));
    cr_assert_not(password_is("nobody@x", SLICE("long enough")));
    struct user user;
    cr_assert_eq(
        users_join(accounts, "you@x", ACCOUNT_DEFAULT, ROLE_ADMIN, SLICE("short"), 1, &user),
        ERR_INVALID);
    cr_assert_eq(users_find(accounts, "you@x", &user), ERR_NOT_FOUND);
    cr_assert_eq(users_set_password(accounts, "you@x", SLICE("long enough")), ERR_NOT_FOUND);
    cr_assert_eq(users_set_password(accounts, "me@x", SLICE("another one")), ERR_OK);
    reopen();
    cr_assert(password_is("me@x", SLICE("another one")));
    cr_assert_not(password_is("me@x", SLICE("long enough")));
}

/* Of a user without a password: what a login would have shown. */
static struct user_proof proof_of(u32 user) {
    return (struct user_proof){.user = user};
}

static struct user_proof show(const char *email, struct slice password) {
    struct user user;
    struct user_proof proof;
    cr_assert_eq(users_check_password(accounts, email, password, &user, &proof), ERR_OK);
    cr_assert_eq(user.id, proof.user);
    return proof;
}

static enum err try_session(const char *token, i64 now_ms, struct identity *out) {
    return accounts_authenticate(accounts, (struct slice){token, SESSION_TEXT_BYTES}, now_ms, out);
}

Test(account, sessions_begin_and_end) {
    struct user user = join("me@x", ACCOUNT_DEFAULT, ROLE_VIEWER, SLICE("long enough"));
    struct user_proof proof = show("me@x", SLICE("long enough"));
    char token[SESSION_TEXT_BYTES + 1];
    char other[SESSION_TEXT_BYTES + 1];
    struct session_info session;
    struct identity identity;
    cr_assert_eq(sessions_begin(accounts, &proof, 1000, token, &session), ERR_OK);
    cr_assert_eq(sessions_begin(accounts, &proof, 1000, other, &session), ERR_OK);
    cr_assert_eq(session.expires_ms, 1000 + SESSION_LIFE_MS);
    cr_assert_eq(try_session(token, 2000, &identity), ERR_OK);
    cr_assert(identity.user == user.id && identity.key == 0 && identity.role == ROLE_VIEWER);
    cr_assert(identity.account == ACCOUNT_DEFAULT && identity.scopes == SCOPE_ALL);
    cr_assert_eq(try_session(token, session.expires_ms - 1, &identity), ERR_OK);
    cr_assert_eq(try_session(token, session.expires_ms, &identity), ERR_NOT_FOUND);
    for (u32 i = 0; i < SESSION_TEXT_BYTES; i++) {
        char before = token[i];
        token[i] = before == '0' ? '1' : '0';
        cr_assert_eq(try_session(token, 2000, &identity), ERR_NOT_FOUND, "byte %u", i);
        token[i] = before;
    }
    cr_assert_eq(sessions_end(accounts, (struct slice){token, SESSION_TEXT_BYTES}), ERR_OK);
    cr_assert_eq(sessions_end(accounts, (struct slice){token, SESSION_TEXT_BYTES}), ERR_NOT_FOUND);
    cr_assert_eq(try_session(token, 2000, &identity), ERR_NOT_FOUND);
    cr_assert_eq(try_session(other, 2000, &identity), ERR_OK);
    cr_assert_eq(users_set_password(accounts, "me@x", SLICE("another one")), ERR_OK);
    cr_assert_eq(try_session(other, 2000, &identity), ERR_NOT_FOUND, "a new password ends all");
}

Test(account, a_password_that_changes_during_a_login) {
    struct user user = join("me@x", ACCOUNT_DEFAULT, ROLE_OWNER, (struct slice){NULL, 0});
    char token[SESSION_TEXT_BYTES + 1];
    struct session_info session;
    struct identity identity;
    struct user_proof none = proof_of(user.id);
    cr_assert_eq(users_set_password(accounts, "me@x", SLICE("long enough")), ERR_OK);
    cr_assert_eq(sessions_begin(accounts, &none, 1000, token, &session), ERR_INVALID);
    struct user_proof before = show("me@x", SLICE("long enough"));
    cr_assert_eq(users_set_password(accounts, "me@x", SLICE("long enough")), ERR_OK);
    cr_assert_eq(sessions_begin(accounts, &before, 1000, token, &session), ERR_INVALID);
    cr_assert_eq(try_session(token, 1000, &identity), ERR_NOT_FOUND);
    struct user_proof now = show("me@x", SLICE("long enough"));
    cr_assert_eq(sessions_begin(accounts, &now, 1000, token, &session), ERR_OK);
    cr_assert_eq(try_session(token, 1000, &identity), ERR_OK);
    now.user++;
    cr_assert_eq(sessions_begin(accounts, &now, 1000, token, &session), ERR_NOT_FOUND);
}

Test(account, sessions_are_bounded) {
    struct user mine = join("me@x", ACCOUNT_DEFAULT, ROLE_OWNER, (struct slice){NULL, 0});
    struct user next = join("you@x", ACCOUNT_DEFAULT, ROLE_ADMIN, (struct slice){NULL, 0});
    static char token[SESSIONS_MAX + 3][SESSION_TEXT_BYTES + 1];
    char yours[SESSION_TEXT_BYTES + 1];
    struct user_proof my_proof = proof_of(mine.id);
    struct user_proof next_proof = proof_of(next.id);
    struct session_info session;
    struct identity identity;
    cr_assert_eq(sessions_begin(accounts, &next_proof, 1, yours, &session), ERR_OK);
    for (i64 i = 0; i < SESSIONS_MAX + 2; i++) {
        cr_assert_eq(sessions_begin(accounts, &my_proof, 1000 + i, token[i], &session), ERR_OK);
    }
    for (i64 i = 0; i < SESSIONS_MAX + 2; i++) {
        cr_assert_eq(try_session(token[i], 5000, &identity), i < 2 ? ERR_NOT_FOUND : ERR_OK);
    }
    cr_assert_eq(try_session(yours, 5000, &identity), ERR_OK, "not others'");
}

Test(account, one_user_in_two_accounts) {
    struct account_info other;
    struct user user;
    struct membership all[4];
    u32 count = 0;
    cr_assert_eq(accounts_create(accounts, " other ", NULL, 7, &other), ERR_OK);
    cr_assert_str_eq(other.name, "other");
    cr_assert_str_eq(other.plan, "unlimited");
    user = join("me@x", other.id, ROLE_ADMIN, (struct slice){NULL, 0});
    struct user same = join("me@x", ACCOUNT_DEFAULT, ROLE_VIEWER, (struct slice){NULL, 0});
    cr_assert_eq(same.id, user.id);
    cr_assert_eq(
        users_join(accounts, "me@x", other.id, ROLE_OWNER, (struct slice){NULL, 0}, 1, &user),
        ERR_EXISTS);
    cr_assert_eq(users_join(accounts, "me@x", 77, ROLE_OWNER, (struct slice){NULL, 0}, 1, &user),
                 ERR_NOT_FOUND);
    cr_assert_eq(users_memberships(accounts, same.id, all, 4, &count), ERR_OK);
    cr_assert(count == 2 && all[0].account == ACCOUNT_DEFAULT && all[0].role == ROLE_VIEWER);
    cr_assert(all[1].account == other.id && all[1].role == ROLE_ADMIN);

    /* A session begins in the account that was joined last, and may look at the other. */
    char token[SESSION_TEXT_BYTES + 1];
    struct session_info session;
    struct identity identity;
    struct user_proof proof = proof_of(same.id);
    cr_assert_eq(sessions_begin(accounts, &proof, 1000, token, &session), ERR_OK);
    cr_assert_eq(try_session(token, 1000, &identity), ERR_OK);
    cr_assert(identity.account == other.id && identity.role == ROLE_ADMIN);
    cr_assert_eq(accounts_select(accounts, ACCOUNT_DEFAULT, &identity), ERR_OK);
    cr_assert(identity.account == ACCOUNT_DEFAULT && identity.role == ROLE_VIEWER);
    cr_assert_eq(accounts_select(accounts, 77, &identity), ERR_NOT_FOUND);
    cr_assert(identity.account == ACCOUNT_DEFAULT && identity.role == ROLE_VIEWER);
}

Test(account, signing_up_is_all_or_nothing) {
    const struct key_request request = {.name = "default", .scopes = SCOPE_BIT(SCOPE_USAGE_READ)};
    char key[KEY_TEXT_BYTES + 1];
    struct key_info info;
    struct key_info unused;
    struct account_info account;
    struct identity identity;
    struct user user;
    enum role role;
    cr_assert_eq(users_sign_up(accounts, "new@x", &request, 50, key, &info), ERR_OK);
    cr_assert(info.account > ACCOUNT_DEFAULT && strcmp(info.name, "default") == 0);
    cr_assert_eq(authenticate(key, 60, &identity), ERR_OK);
    cr_assert_eq(identity.account, info.account);
    cr_assert_eq(accounts_get(accounts, info.account, &account), ERR_OK);
    cr_assert_str_eq(account.name, "new@x");
    cr_assert_eq(users_find(accounts, "new@x", &user), ERR_OK);
    cr_assert_not(user.has_password);
    cr_assert_eq(users_role(accounts, user.id, info.account, &role), ERR_OK);
    cr_assert_eq(role, ROLE_OWNER);
    cr_assert_eq(users_sign_up(accounts, "new@x", &request, 50, key, &unused), ERR_EXISTS);
    cr_assert_eq(accounts_get(accounts, info.account + 1, &account), ERR_NOT_FOUND);
}

/* The account of a login begun now. */
static u32 login_account(const struct user_proof *proof) {
    char token[SESSION_TEXT_BYTES + 1];
    struct session_info session = {0};
    cr_assert_eq(sessions_begin(accounts, proof, 9000, token, &session), ERR_OK);
    return session.account;
}

Test(account, a_login_is_not_led_into_a_strangers_account) {
    const struct key_request request = {.name = "default", .scopes = SCOPE_BIT(SCOPE_USAGE_READ)};
    char key[KEY_TEXT_BYTES + 1];
    struct key_info info;
    cr_assert_eq(users_sign_up(accounts, "me@x", &request, 5000, key, &info), ERR_OK);
    struct user user = {0};
    cr_assert_eq(users_find(accounts, "me@x", &user), ERR_OK);
    struct user_proof proof = proof_of(user.id);
    cr_assert_eq(login_account(&proof), info.account, "there is no other");
    /* The clock was set back in between. */
    struct user same = join("me@x", ACCOUNT_DEFAULT, ROLE_ADMIN, SLICE("long enough"));
    cr_assert_eq(same.id, user.id);
    proof = show("me@x", SLICE("long enough"));
    cr_assert_eq(login_account(&proof), ACCOUNT_DEFAULT);
    struct account_info later;
    cr_assert_eq(accounts_create(accounts, "later", NULL, 7, &later), ERR_OK);
    join("me@x", later.id, ROLE_ADMIN, (struct slice){NULL, 0});
    cr_assert_eq(login_account(&proof), later.id, "the last one");
    cr_assert_eq(users_set_role(accounts, "me@x", later.id, ROLE_VIEWER), ERR_OK);
    cr_assert_eq(users_set_role(accounts, "me@x", info.account, ROLE_VIEWER), ERR_OK);
    reopen();
    cr_assert_eq(login_account(&proof), later.id, "other roles change nothing");
}

/* --- keys, further ---------------------------------------------------------------------------- */

Test(account, a_reset_key_keeps_what_it_may) {
    char old[KEY_TEXT_BYTES + 1];
    char text[KEY_TEXT_BYTES + 1];
    struct identity identity;
    struct key_info info;
    struct key_info again;
    const struct key_request request = {.name = "mine",
                                        .scopes = SCOPE_BIT(SCOPE_EVENTS_READ),
                                        .expires_ms = 9000,
                                        .has_budget = true,
                                        .budget_cents = 500,
                                        .budget_period = BUDGET_DAY};
    cr_assert_eq(keys_create(accounts, ACCOUNT_DEFAULT, &request, 1000, old, &info), ERR_OK);
    cr_assert_eq(keys_reset(accounts, 2, info.id, 2000, text, &again), ERR_NOT_FOUND);
    cr_assert_eq(keys_reset(accounts, ACCOUNT_DEFAULT, info.id, 2000, text, &again), ERR_OK);
    cr_assert_eq(authenticate(old, 2001, &identity), ERR_NOT_FOUND);
    cr_assert_eq(authenticate(text, 2001, &identity), ERR_OK);
    cr_assert(again.id != info.id && again.scopes == info.scopes && again.expires_ms == 9000);
    cr_assert_str_eq(again.name, "mine");
    cr_assert(again.budget.limited && again.budget.limit_cents == 500);
    cr_assert_eq(again.budget.reset_ms, info.budget.reset_ms);
    cr_assert_eq(keys_reset(accounts, ACCOUNT_DEFAULT, info.id, 2002, text, &again), ERR_NOT_FOUND);
    cr_assert_eq(keys_reset(accounts, ACCOUNT_DEFAULT, again.id, 9000, text, &again), ERR_NOT_FOUND,
                 "expired");
}

/* So many keys that were revoked, without anything else to them. */
static void add_revoked(u32 count) {
    struct revoked {
        u32 id;
        u32 account;
        i64 revoked_ms;
        u8 digest[DIGEST_BYTES];
    } key = {.account = ACCOUNT_DEFAULT, .revoked_ms = 1};
    static const struct record_member members[] = {
        RECORD(1, RECORD_U32, struct revoked, id),
        RECORD(2, RECORD_U32, struct revoked, account),
        RECORD(8, RECORD_I64, struct revoked, revoked_ms),
        RECORD(15, RECORD_BYTES, struct revoked, digest),
    };
    struct control_txn txn;
    control_begin(control, &txn);
    for (u32 i = 0; i < count; i++) {
        u8 memory[256];
        struct slice record;
        key.id = (u32)control_next_number(&txn, 0, CONTROL_KEY);
        memcpy(key.digest, &key.id, sizeof key.id);
        const struct control_object object = {
            .account = ACCOUNT_DEFAULT, .kind = CONTROL_KEY, .number = key.id};
        cr_assert_eq(
            record_write(members, ARRAY_COUNT(members), &key, memory, sizeof memory, &record),
            ERR_OK);
        control_txn_put(&txn, &object, record);
    }
    cr_assert_eq(control_commit(&txn), ERR_OK);
}

struct seen {
    u32 count;
    u32 active;
    u32 last;
};

static bool see_key(void *context, const struct key_info *info) {
    struct seen *seen = context;
    seen->count++;
    seen->active += key_is_active(info, 3000);
    seen->last = info->id;
    return true;
}

Test(account, resets_do_not_fill_an_account) {
    char text[KEY_TEXT_BYTES + 1];
    struct seen before = {0};
    struct identity identity;
    struct key_info info = create("mine", SCOPE_ALL, 0, text);
    cr_assert_eq(keys_each(accounts, ACCOUNT_DEFAULT, see_key, &before), ERR_OK);
    add_revoked(KEYS_MAX - before.count - 1);
    for (u32 i = 0; i < 4; i++) {
        struct seen seen = {0};
        cr_assert_eq(keys_reset(accounts, ACCOUNT_DEFAULT, info.id, 2000, text, &info), ERR_OK);
        cr_assert_eq(authenticate(text, 3000, &identity), ERR_OK);
        cr_assert_eq(keys_each(accounts, ACCOUNT_DEFAULT, see_key, &seen), ERR_OK);
        cr_assert(seen.count == KEYS_MAX && seen.active == before.active, "%u", i);
        cr_assert_eq(seen.last, info.id, "it is among those that are listed");
    }
}

Test(account, the_last_active_key_stays) {
    char key[KEY_TEXT_BYTES + 1];
    struct key_info expired = create("expired", SCOPE_ALL, 2000, key);
    struct key_info one = create("one", SCOPE_ALL, 0, key);
    struct key_info two = create("two", SCOPE_ALL, 0, key);
    cr_assert_eq(keys_revoke(accounts, ACCOUNT_DEFAULT, one.id, true, 3000), ERR_OK);
    cr_assert_eq(keys_revoke(accounts, ACCOUNT_DEFAULT, two.id, true, 3000), ERR_INVALID);
    cr_assert_eq(keys_revoke(accounts, ACCOUNT_DEFAULT, expired.id, true, 3000), ERR_OK);
    cr_assert_eq(keys_revoke(accounts, ACCOUNT_DEFAULT, two.id, false, 3000), ERR_OK);
}

Test(account, last_use_is_written_once_a_minute) {
    char key[KEY_TEXT_BYTES + 1];
    struct identity identity;
    struct key_info info = create("k", SCOPE_ALL, 0, key);
    i64 now_ms = 1000000;
    u64 version = accounts_version(accounts);
    cr_assert_eq(authenticate(key, now_ms, &identity), ERR_OK);
    cr_assert_eq(authenticate(key, now_ms + 5, &identity), ERR_OK);
    cr_assert_eq(accounts_version(accounts), version, "nothing is written on the way");
    cr_assert_eq(keys_get(accounts, ACCOUNT_DEFAULT, info.id, &info), ERR_OK);
    cr_assert_eq(info.last_used_ms, now_ms, "but known");
    cr_assert_eq(keys_flush_used(accounts), ERR_OK);
    version = accounts_version(accounts);
    cr_assert_eq(authenticate(key, now_ms + 59999, &identity), ERR_OK);
    cr_assert_eq(keys_flush_used(accounts), ERR_OK);
    cr_assert_eq(accounts_version(accounts), version, "within the minute nothing");
    cr_assert_eq(authenticate(key, now_ms + 60000, &identity), ERR_OK);
    cr_assert_eq(keys_flush_used(accounts), ERR_OK);
    cr_assert_neq(accounts_version(accounts), version);
    reopen();
    cr_assert_eq(keys_get(accounts, ACCOUNT_DEFAULT, info.id, &info), ERR_OK);
    cr_assert_eq(info.last_used_ms, now_ms + 60000);
}

Test(account, who_may_hand_out_which_scopes) {
    u32 read = SCOPE_BIT(SCOPE_EVENTS_READ);
    u32 both = read | SCOPE_BIT(SCOPE_EVENTS_WRITE);
    cr_assert(scope_covers(both, read) && scope_covers(both, both) && scope_covers(read, 0));
    cr_assert_not(scope_covers(read, both));
    cr_assert_not(scope_covers(both, SCOPE_ALL));
    cr_assert_not(scope_covers(both, SCOPE_BIT(SCOPE_ADMIN)));
    cr_assert(scope_covers(SCOPE_ALL, SCOPE_ALL) && scope_covers(SCOPE_ALL, both));
    cr_assert(scope_covers(SCOPE_BIT(SCOPE_ADMIN), SCOPE_ALL));
}

/* --- warnings --------------------------------------------------------------------------------- */

struct mail {
    u32 count;
    struct outbox_item item[8];
};

static bool visit_mail(void *context, u64 number, const struct outbox_item *item) {
    struct mail *mail = context;
    cr_assert_eq(number, mail->count + 1);
    cr_assert_eq(item->kind, OUTBOX_USAGE_WARNING);
    mail->item[mail->count++] = *item;
    return true;
}

static u32 warn(u64 used, i64 now_ms, struct mail *mail) {
    mail->count = 0;
    cr_assert_eq(outbox_warn_usage(accounts, 1, used, 100, now_ms), ERR_OK);
    cr_assert_eq(outbox_each(accounts, 1, visit_mail, mail), ERR_OK);
    return mail->count;
}

Test(account, a_warning_a_month_and_level) {
    struct mail mail;
    i64 may = 1778000000000; /* 2026-05-05 */
    i64 june = may + (i64)31 * 86400000;
    cr_assert_eq(warn(79, may, &mail), 0);
    cr_assert_eq(warn(80, may, &mail), 1);
    u64 version = accounts_version(accounts);
    cr_assert_eq(warn(99, may, &mail), 1);
    cr_assert_eq(accounts_version(accounts), version, "nothing is written for nothing");
    cr_assert_eq(warn(103, may, &mail), 2);
    cr_assert(mail.item[0].percent == 80 && mail.item[0].used == 80);
    cr_assert(mail.item[1].percent == 100 && mail.item[1].used == 103);
    reopen();
    cr_assert_eq(warn(200, may, &mail), 2);
    cr_assert_eq(warn(200, june, &mail), 4, "both at once, in a new month");
    cr_assert(mail.item[2].percent == 80 && mail.item[3].percent == 100);
    cr_assert(mail.item[3].month_ms > mail.item[1].month_ms && mail.item[3].limit == 100);
    cr_assert_eq(warn(90, may, &mail), 4, "a month that is over");
}
