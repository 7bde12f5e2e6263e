/* ctl_account.c: `account`: the accounts of an installation, the plans they are on, their settings.
 */
#include <stdio.h>
#include <string.h>

#include "account/account.h"
#include "base/clock.h"
#include "tools/marginctl/ctl.h"

static bool print_account(void *context, const struct account_info *account) {
    char created[CTL_MONEY_BYTES] = "with the directory";
    char name[CTL_TEXT_BYTES(40)];
    (void)context;
    if (account->created_ms > 0) {
        ctl_time(account->created_ms, created);
    }
    int columns = ctl_text((struct slice){account->name, strlen(account->name)}, 40, name);
    printf("%6u %s%*s %-16s %s\n", account->id, name, 40 - columns, "", account->plan, created);
    return true;
}

static int list(struct accounts *accounts) {
    printf("%6s %-40s %-16s %s\n", "ID", "NAME", "PLAN", "CREATED");
    enum err err = accounts_each(accounts, 1, print_account, NULL);
    return err == ERR_OK ? 0 : ctl_fail("the accounts could not be read: %s", err_text(err));
}

static bool note_name(void *context, const struct account_info *account) {
    struct account_info *wanted = context;
    if (strcmp(account->name, wanted->name) == 0) {
        wanted->id = account->id;
    }
    return wanted->id == 0;
}

/* The server's settings are not known here. */
static void warn_of_plan(const char *plan) {
    struct plans shipped;
    plans_init(&shipped);
    if (plans_find(&shipped, plan) == NULL) {
        fprintf(stderr,
                "no plan %s is shipped: without [plan %s] in the server's settings the account has "
                "the plan of new accounts\n",
                plan, plan);
    }
}

static int create(struct accounts *accounts, const struct ctl_options *options, const char *name) {
    char shown[CTL_TEXT_BYTES(ACCOUNT_NAME_MAX)];
    const char *plan = options->plan != NULL ? options->plan : PLAN_OF_DEFAULT;
    struct account_info account = {0};
    ctl_text((struct slice){name, strlen(name)}, ACCOUNT_NAME_MAX, shown);
    if (strcmp(shown, name) != 0 || strspn(name, "0123456789") == strlen(name)) {
        return ctl_usage("an account's name has 1 to %d bytes, no control characters, and is no "
                         "number",
                         ACCOUNT_NAME_MAX);
    }
    snprintf(account.name, sizeof account.name, "%s", name);
    enum err err = accounts_each(accounts, 1, note_name, &account);
    if (err == ERR_OK && account.id != 0) {
        return ctl_fail("account %u is named %s already", account.id, name);
    }
    err = err != ERR_OK ? err : accounts_create(accounts, name, plan, clock_wall_ms(), &account);
    if (err == ERR_INVALID) {
        return ctl_usage("an account needs a name and --plan the name of a plan");
    }
    if (err != ERR_OK) {
        return ctl_fail("the account could not be made: %s", err_text(err));
    }
    fprintf(stderr, "account %u, %s, on the plan %s\n", account.id, account.name, account.plan);
    warn_of_plan(account.plan);
    printf("%u\n", account.id);
    return 0;
}

static int set_plan(struct accounts *accounts, const struct ctl_options *options, u32 account,
                    const char *plan) {
    if (options->account == NULL) {
        return ctl_usage("account plan PLAN needs --account");
    }
    enum err err = accounts_set_plan(accounts, account, plan);
    if (err == ERR_INVALID) {
        return ctl_usage("%s is not the name of a plan", plan);
    }
    if (err != ERR_OK) {
        return ctl_fail("the plan could not be set: %s", err_text(err));
    }
    fprintf(stderr, "account %u is on the plan %s\n", account, plan);
    warn_of_plan(plan);
    return 0;
}

/* `account set NAME on|off`. */
static int set(struct accounts *accounts, const struct ctl_options *options, u32 account,
               const char *name, const char *value) {
    bool on = strcmp(value, "on") == 0;
    if (options->account == NULL) {
        return ctl_usage("account set NAME on|off needs --account");
    }
    if (strcmp(name, "body-capture") != 0 || (!on && strcmp(value, "off") != 0)) {
        return ctl_usage("account set knows body-capture on and body-capture off");
    }
    enum err err = accounts_set_capture(accounts, account, on);
    if (err != ERR_OK) {
        return ctl_fail("the account could not be changed: %s", err_text(err));
    }
    fprintf(stderr, "account %u %s requests and responses with its events\n", account,
            on ? "keeps" : "does not keep");
    return 0;
}

int ctl_account(const struct ctl_options *options, int argc, char **argv) {
    bool lists = argc == 1 && strcmp(argv[0], "list") == 0;
    bool creates = argc == 2 && strcmp(argv[0], "create") == 0;
    bool plans = argc == 2 && strcmp(argv[0], "plan") == 0;
    bool sets = argc == 3 && strcmp(argv[0], "set") == 0;
    if (!lists && !creates && !plans && !sets) {
        return ctl_usage("account list, account create NAME, account plan PLAN or account set NAME "
                         "VALUE; see `marginctl account --help`");
    }
    struct ctl_control control;
    int code = ctl_control_open(options, &control);
    if (code == 0) {
        code = lists     ? list(control.accounts)
               : creates ? create(control.accounts, options, argv[1])
               : sets    ? set(control.accounts, options, control.account, argv[1], argv[2])
                         : set_plan(control.accounts, options, control.account, argv[1]);
        ctl_control_close(&control);
    }
    return code;
}
