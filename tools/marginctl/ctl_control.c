/* ctl_control.c: a data directory's accounts, for the commands that work on them without a server.
 */
#include <string.h>

#include "account/account.h"
#include "tools/marginctl/ctl.h"

struct search {
    const char *name;
    u32 found;
    u32 count;
};

static bool visit_account(void *context, const struct account_info *account) {
    struct search *search = context;
    if (strcmp(account->name, search->name) == 0) {
        search->found = account->id;
        search->count++;
    }
    return true;
}

/* An account's number or its name. */
static int find_account(struct ctl_control *control, const char *text) {
    struct account_info account;
    u64 id;
    if (settings_read_number(text, 1, ACCOUNTS_MAX, &id)) {
        control->account = (u32)id;
        enum err err = accounts_get(control->accounts, control->account, &account);
        return err == ERR_OK ? 0 : ctl_fail("there is no account %s; see `account list`", text);
    }
    struct search search = {.name = text};
    enum err err = accounts_each(control->accounts, 1, visit_account, &search);
    if (err != ERR_OK) {
        return ctl_fail("the accounts could not be read: %s", err_text(err));
    }
    control->account = search.found;
    return search.count == 1 ? 0
           : search.count == 0
               ? ctl_fail("there is no account %s; see `marginctl account list`", text)
               : ctl_fail("several accounts are named %s; use the number", text);
}

int ctl_control_open(const struct ctl_options *options, struct ctl_control *out) {
    char why[512];
    *out = (struct ctl_control){.account = ACCOUNT_DEFAULT};
    if (control_open(options->data_dir, false, &out->control, why, sizeof why) != ERR_OK) {
        return ctl_fail("%s; name the server's --data-dir", why);
    }
    enum err err = accounts_open(out->control, &out->accounts);
    int code = err == ERR_OK ? 0 : ctl_fail("the accounts could not be read: %s", err_text(err));
    if (code == 0 && options->account != NULL) {
        code = find_account(out, options->account);
    }
    if (code != 0) {
        ctl_control_close(out);
    }
    return code;
}

void ctl_control_close(struct ctl_control *control) {
    accounts_close(control->accounts);
    control_close(control->control);
}
