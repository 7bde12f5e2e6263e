/* account_test.c: keys and their lives, and that one process sees what another one changed. */
#include "account/account.h"

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
    enum err err =
        accounts_key_create(accounts, ACCOUNT_DEFAULT, name, scopes, expires_ms, 1000, text, &info);
    cr_assert_eq(err, ERR_OK, "%s: %s", name, err_text(err));
    return info;
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
    cr_assert_eq(accounts_key_revoke(accounts, ACCOUNT_DEFAULT + 1, info.id, 3000), ERR_NOT_FOUND);
    cr_assert_eq(accounts_key_revoke(accounts, ACCOUNT_DEFAULT, info.id + 1, 3000), ERR_NOT_FOUND);
    cr_assert_eq(accounts_version(accounts), version);
    cr_assert_eq(accounts_key_revoke(accounts, ACCOUNT_DEFAULT, info.id, 3000), ERR_OK);
    cr_assert_neq(accounts_version(accounts), version);
    cr_assert_eq(authenticate(key, 4000, &identity), ERR_NOT_FOUND);
    cr_assert_eq(accounts_key_revoke(accounts, ACCOUNT_DEFAULT, info.id, 3500), ERR_NOT_FOUND);
    struct key_info listed;
    u32 count = 0;
    cr_assert_eq(accounts_key_list(accounts, ACCOUNT_DEFAULT, &listed, 1, &count), ERR_OK);
    cr_assert(count == 1 && listed.revoked_ms == 3000 && listed.expires_ms == 5000);
}

Test(account, names_are_unique_among_active_keys) {
    char key[KEY_TEXT_BYTES + 1];
    struct key_info info;
    cr_assert_str_eq(create(NULL, SCOPE_ALL, 0, key).name, "default");
    cr_assert_str_eq(create("", SCOPE_ALL, 0, key).name, "default-2");
    cr_assert_str_eq(create("  ", SCOPE_ALL, 0, key).name, "default-3");
    cr_assert_str_eq(create(" mine\t", SCOPE_ALL, 0, key).name, "mine");
    cr_assert_eq(
        accounts_key_create(accounts, ACCOUNT_DEFAULT, "mine", SCOPE_ALL, 0, 1, key, &info),
        ERR_EXISTS);
    cr_assert_eq(accounts_key_revoke(accounts, ACCOUNT_DEFAULT, 2, 5), ERR_OK);
    cr_assert_str_eq(create(NULL, SCOPE_ALL, 0, key).name, "default-2");
    char name[KEY_NAME_MAX + 2];
    memset(name, 'n', sizeof name);
    name[KEY_NAME_MAX + 1] = '\0';
    cr_assert_eq(accounts_key_create(accounts, ACCOUNT_DEFAULT, name, SCOPE_ALL, 0, 1, key, &info),
                 ERR_INVALID);
    name[KEY_NAME_MAX] = '\0';
    cr_assert_str_eq(create(name, SCOPE_ALL, 0, key).name, name);
    reopen();
    struct key_info listed[8];
    u32 count = 0;
    cr_assert_eq(accounts_key_list(accounts, ACCOUNT_DEFAULT, listed, 8, &count), ERR_OK);
    cr_assert_eq(count, 6);
    cr_assert_str_eq(listed[0].name, name);
    cr_assert_str_eq(listed[5].name, "default");
    cr_assert(listed[0].id == 6 && listed[4].revoked_ms == 5 && listed[4].id == 2);
    cr_assert_eq(accounts_key_list(accounts, 7, listed, 8, &count), ERR_OK);
    cr_assert_eq(count, 0);
}

Test(account, another_handle_sees_changes) {
    char why[200];
    struct control *other_control = NULL;
    struct accounts *other = NULL;
    char key[KEY_TEXT_BYTES + 1];
    struct identity identity;
    struct key_info info;
    /* A second environment on one directory belongs into another process. */
    pid_t child = fork();
    cr_assert(child >= 0);
    if (child == 0) {
        bool good = control_open(dir, false, &other_control, why, sizeof why) == ERR_OK &&
                    accounts_open(other_control, &other) == ERR_OK &&
                    accounts_key_create(other, ACCOUNT_DEFAULT, "theirs", SCOPE_ALL, 0, 9, key,
                                        &info) == ERR_OK;
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
    const struct control_object row = {.kind = CONTROL_KEY, .number = info.id + 1};
    cr_assert_eq(control_put(control, &row, SLICE("\1\5short")), ERR_OK);
    cr_assert_eq(authenticate(key, 1, &identity), ERR_CORRUPT);
    cr_assert_eq(control_put(control, &row, SLICE("\2\5newer")), ERR_OK);
    cr_assert_eq(authenticate(key, 1, &identity), ERR_VERSION);
    cr_assert_eq(control_delete(control, &row), ERR_OK);
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
    struct identity admin = {1, 1, SCOPE_BIT(SCOPE_ADMIN)};
    cr_assert(identity_may(&admin, SCOPE_BILLING_WRITE));
}
