/* ctl_key.c: `key`: API keys, in the control tables of a data directory, also while a server runs
 * on it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "account/keys.h"
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

static bool read_budget(const struct ctl_options *options, struct key_request *request) {
    request->has_budget = options->has_budget;
    request->budget_cents = (i64)options->budget_cents;
    const char *period = options->budget_period;
    if (period == NULL) {
        return true;
    }
    if (!options->has_budget) {
        ctl_usage("--budget-period goes with --budget-cents");
        return false;
    }
    if (!budget_period_parse((struct slice){period, strlen(period)}, &request->budget_period)) {
        ctl_usage("--budget-period is day or month, not %s; leave it out for the key's life",
                  period);
        return false;
    }
    return true;
}

static int create(const struct ctl_control *control, const struct ctl_options *options) {
    const char *name = options->name != NULL ? options->name : "default";
    struct key_request request = {.name = name, .expires_ms = options->expires_ms};
    if (!read_scopes(options->scopes, &request.scopes) || !read_budget(options, &request)) {
        return 2;
    }
    char shown[CTL_TEXT_BYTES(KEY_NAME_MAX)];
    if (strlen(name) == 0 || strlen(name) > KEY_NAME_MAX) {
        return ctl_usage("a key's name has 1 to %d characters", KEY_NAME_CHARACTERS_MAX);
    }
    ctl_text((struct slice){name, strlen(name)}, KEY_NAME_MAX, shown);
    if (strcmp(shown, name) != 0) {
        return ctl_usage("a key's name has no control characters");
    }
    i64 now_ms = clock_wall_ms();
    if (request.expires_ms != 0 && request.expires_ms <= now_ms) {
        return ctl_usage("--expires lies in the past");
    }
    char text[KEY_TEXT_BYTES + 1];
    struct key_info info;
    enum err err = keys_create(control->accounts, control->account, &request, now_ms, text, &info);
    if (err == ERR_EXISTS) {
        return ctl_fail("there is an active key named %s; choose another --name", name);
    }
    if (err == ERR_INVALID) {
        return ctl_usage("a key's name has 1 to %d characters", KEY_NAME_CHARACTERS_MAX);
    }
    if (err != ERR_OK) {
        return ctl_fail("the key could not be made: %s", err_text(err));
    }
    fprintf(stderr, "key %u, %s; it is shown only this once:\n", info.id, name);
    printf("%s\n", text);
    return 0;
}

static void print_scopes(u32 scopes) {
    const char *comma = "";
    for (u32 scope = 0; scopes != SCOPE_ALL && scope < SCOPES; scope++) {
        if ((scopes & SCOPE_BIT(scope)) != 0) {
            printf("%s%s", comma, scope_text((enum scope)scope));
            comma = ",";
        }
    }
    printf("%s\n", scopes == SCOPE_ALL ? "all" : "");
}

struct listing {
    u32 count;
    struct key_info key[KEYS_MAX];
};

static bool visit_key(void *context, const struct key_info *info) {
    struct listing *listing = context;
    listing->key[listing->count++] = *info;
    return listing->count < KEYS_MAX;
}

static void print_key(const struct key_info *key, i64 now_ms) {
    char created[CTL_MONEY_BYTES];
    char until[CTL_MONEY_BYTES];
    char budget[CTL_MONEY_BYTES] = "-";
    char name[CTL_TEXT_BYTES(24)];
    const char *state = key->revoked_ms != 0        ? "revoked"
                        : key->expires_ms == 0      ? "active"
                        : key->expires_ms <= now_ms ? "expired"
                                                    : ctl_time(key->expires_ms, until);
    struct budget now = key->budget;
    budget_advance(&now, now_ms);
    if (now.limited) {
        const char *period = budget_period_text((enum budget_period)now.period);
        snprintf(budget, sizeof budget, "%lld/%lld%s%s", (long long)budget_used_cents(&now),
                 (long long)now.limit_cents, period == NULL ? "" : " a ",
                 period == NULL ? "" : period);
    }
    int columns = ctl_text((struct slice){key->name, strlen(key->name)}, 24, name);
    printf("%6u %-12s %s%*s %-24s %-24s %-20s ", key->id, key->prefix, name, 24 - columns, "",
           ctl_time(key->created_ms, created), state, budget);
    print_scopes(key->scopes);
}

static int list(const struct ctl_control *control) {
    static struct listing listing;
    enum err err = keys_each(control->accounts, control->account, visit_key, &listing);
    if (err != ERR_OK) {
        return ctl_fail("the keys could not be read: %s", err_text(err));
    }
    printf("%6s %-12s %-24s %-24s %-24s %-20s %s\n", "ID", "PREFIX", "NAME", "CREATED", "STATE",
           "BUDGET (CENTS)", "SCOPES");
    i64 now_ms = clock_wall_ms();
    for (u32 i = listing.count; i-- > 0;) {
        print_key(&listing.key[i], now_ms);
    }
    return 0;
}

static int revoke(const struct ctl_control *control, const char *text) {
    u64 id;
    if (!settings_read_number(text, 1, UINT32_MAX, &id)) {
        return ctl_usage("a key's id is a number, not %s; see `marginctl key list`", text);
    }
    enum err err =
        keys_revoke(control->accounts, control->account, (u32)id, false, clock_wall_ms());
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
    struct ctl_control control;
    int code = ctl_control_open(options, &control);
    if (code == 0) {
        code = creates ? create(&control, options)
               : lists ? list(&control)
                       : revoke(&control, argv[1]);
        ctl_control_close(&control);
    }
    return code;
}
