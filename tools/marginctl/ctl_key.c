/* ctl_key.c: `key`: API keys, in the control tables of a data directory, also while a server runs
 * on it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "account/account.h"
#include "base/clock.h"
#include "tools/marginctl/ctl.h"

/* "events.write,usage.read" as bits; false after having said why. */
static bool read_scopes(const char *text, u32 *scopes) {
    if (text == NULL) {
        *scopes = SCOPE_ALL;
        return true;
    }
    if (*text == 0) {
        ctl_usage("--scopes names none; leave it out for a key that may do everything");
        return false;
    }
    *scopes = 0;
    while (*text != 0) {
        usize bytes = strcspn(text, ",");
        enum scope scope;
        if (!scope_parse((struct slice){text, bytes}, &scope)) {
            ctl_usage("no scope %.*s; see `marginctl key --help`", (int)bytes, text);
            return false;
        }
        *scopes |= SCOPE_BIT(scope);
        text += bytes + (text[bytes] == ',');
    }
    return true;
}

static int create(struct accounts *accounts, const struct ctl_options *options) {
    u32 scopes;
    if (!read_scopes(options->scopes, &scopes)) {
        return 2;
    }
    const char *name = options->name != NULL ? options->name : "default";
    char shown[CTL_TEXT_BYTES(KEY_NAME_MAX)];
    if (strlen(name) == 0 || strlen(name) > KEY_NAME_MAX) {
        return ctl_usage("a key's name has 1 to %d bytes", KEY_NAME_MAX);
    }
    ctl_text((struct slice){name, strlen(name)}, KEY_NAME_MAX, shown);
    if (strcmp(shown, name) != 0) {
        return ctl_usage("a key's name has no control characters");
    }
    i64 now_ms = clock_wall_ms();
    i64 expires_ms = options->expires_days > 0 ? now_ms + (i64)options->expires_days * 86400000 : 0;
    char text[KEY_TEXT_BYTES + 1];
    struct key_info info;
    enum err err = accounts_key_create(accounts, ACCOUNT_DEFAULT, name, scopes, expires_ms, now_ms,
                                       text, &info);
    if (err == ERR_EXISTS) {
        return ctl_fail("there is an active key named %s; choose another --name", name);
    }
    if (err != ERR_OK) {
        return ctl_fail("the key could not be made: %s", err_text(err));
    }
    fprintf(stderr, "key %u, %s; it is shown only this once:\n", info.id, name);
    printf("%s\n", text);
    return 0;
}

static int list(struct accounts *accounts) {
    static struct key_info keys[KEYS_MAX];
    u32 count;
    enum err err = accounts_key_list(accounts, ACCOUNT_DEFAULT, keys, KEYS_MAX, &count);
    if (err != ERR_OK) {
        return ctl_fail("the keys could not be read: %s", err_text(err));
    }
    printf("%6s %-12s %-24s %-24s %-24s %s\n", "ID", "PREFIX", "NAME", "CREATED", "STATE",
           "SCOPES");
    for (u32 i = 0; i < MIN(count, (u32)KEYS_MAX); i++) {
        const struct key_info *key = &keys[i];
        char created[CTL_MONEY_BYTES];
        char until[CTL_MONEY_BYTES];
        const char *state = key->revoked_ms != 0                 ? "revoked"
                            : key->expires_ms == 0               ? "active"
                            : key->expires_ms <= clock_wall_ms() ? "expired"
                                                                 : until;
        if (state == until) {
            ctl_time(key->expires_ms, until);
        }
        printf("%6u %-12s %-24s %-24s %-24s ", key->id, key->prefix, key->name,
               ctl_time(key->created_ms, created), state);
        const char *comma = "";
        for (u32 scope = 0; key->scopes != SCOPE_ALL && scope < SCOPES; scope++) {
            if ((key->scopes & SCOPE_BIT(scope)) != 0) {
                printf("%s%s", comma, scope_text((enum scope)scope));
                comma = ",";
            }
        }
        printf("%s\n", key->scopes == SCOPE_ALL ? "all" : "");
    }
    return 0;
}

static int revoke(struct accounts *accounts, const char *text) {
    u64 id;
    if (!settings_read_number(text, 1, UINT32_MAX, &id)) {
        return ctl_usage("a key's id is a number, not %s; see `marginctl key list`", text);
    }
    enum err err = accounts_key_revoke(accounts, ACCOUNT_DEFAULT, (u32)id, clock_wall_ms());
    if (err == ERR_NOT_FOUND) {
        return ctl_fail("no active key has the id %s; see `marginctl key list`", text);
    }
    if (err != ERR_OK) {
        return ctl_fail("the key could not be revoked: %s", err_text(err));
    }
    fprintf(stderr, "key %s is revoked\n", text);
    return 0;
}

int ctl_key(const struct ctl_options *options, int argc, char **argv) {
    bool creates = argc == 1 && strcmp(argv[0], "create") == 0;
    bool lists = argc == 1 && strcmp(argv[0], "list") == 0;
    bool revokes = argc == 2 && strcmp(argv[0], "revoke") == 0;
    if (!creates && !lists && !revokes) {
        return ctl_usage("key create, key list or key revoke ID; see `marginctl key --help`");
    }
    char why[512];
    struct control *control;
    if (control_open(options->data_dir, false, &control, why, sizeof why) != ERR_OK) {
        return ctl_fail("%s; name the server's --data-dir", why);
    }
    struct accounts *accounts;
    enum err err = accounts_open(control, &accounts);
    if (err != ERR_OK) {
        control_close(control);
        return ctl_fail("the accounts could not be read: %s", err_text(err));
    }
    int code = creates ? create(accounts, options)
               : lists ? list(accounts)
                       : revoke(accounts, argv[1]);
    accounts_close(accounts);
    control_close(control);
    return code;
}
