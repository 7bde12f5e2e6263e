/* ctl_admin.c: `admin`: the people who may log in, and their passwords. A password is asked for on
 * the terminal, read from standard input where that is none, or made up. */
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <termios.h>
#include <unistd.h>

#include "account/users.h"
#include "base/clock.h"
#include "tools/marginctl/ctl.h"

#define PASSWORD_MADE_BYTES 20

/* One line of standard input without its end; false: there is none, or it is too long. */
static bool read_line(char out[PASSWORD_BYTES_MAX + 2]) {
    if (fgets(out, PASSWORD_BYTES_MAX + 2, stdin) == NULL) {
        return false;
    }
    usize bytes = strcspn(out, "\r\n");
    bool whole = out[bytes] != 0 || feof(stdin);
    out[bytes] = 0;
    return whole;
}

static bool ask_hidden(const char *question, char out[PASSWORD_BYTES_MAX + 2]) {
    struct termios before;
    bool hidden = tcgetattr(STDIN_FILENO, &before) == 0;
    struct termios silent = before;
    silent.c_lflag &= ~(tcflag_t)ECHO;
    hidden = hidden && tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent) == 0;
    fputs(question, stderr);
    bool good = read_line(out);
    if (hidden) {
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
        fputc('\n', stderr);
    }
    return good;
}

/* 64 characters, none of which looks like another one in most fonts. */
static bool make_password(char out[PASSWORD_BYTES_MAX + 2]) {
    static const char letters[] =
        "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789-_.+*=%@";
    _Static_assert(sizeof letters - 1 == 64, "each is as likely as another");
    u8 random[PASSWORD_MADE_BYTES];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) {
        return false;
    }
    for (usize i = 0; i < sizeof random; i++) {
        out[i] = letters[random[i] & 63];
    }
    out[sizeof random] = 0;
    return true;
}

/* 0, or the exit code after having said why. */
static int get_password(const struct ctl_options *options, char out[PASSWORD_BYTES_MAX + 2]) {
    char again[PASSWORD_BYTES_MAX + 2];
    bool good;
    if (options->generate) {
        good = make_password(out);
    } else if (isatty(STDIN_FILENO)) {
        good = ask_hidden("password: ", out) && ask_hidden("again: ", again);
        if (good && strcmp(out, again) != 0) {
            return ctl_fail("the two are not the same");
        }
    } else {
        good = read_line(out);
    }
    usize bytes = good ? strlen(out) : 0;
    if (bytes < PASSWORD_BYTES_MIN || bytes > PASSWORD_BYTES_MAX) {
        return ctl_usage("a password has %d to %d bytes; --generate makes one up",
                         PASSWORD_BYTES_MIN, PASSWORD_BYTES_MAX);
    }
    return 0;
}

static void show_made(const struct ctl_options *options, const char *password) {
    if (options->generate) {
        fputs("the password, shown only this once:\n", stderr);
        printf("%s\n", password);
    }
}

struct first {
    bool owned;
};

static bool visit_member(void *context, const struct user *user, enum role role) {
    struct first *first = context;
    (void)user;
    first->owned |= role == ROLE_OWNER;
    return !first->owned;
}

/* The first one owns the account, unless said otherwise. */
static int choose_role(const struct ctl_control *control, const struct ctl_options *options,
                       enum role *role) {
    struct first first = {0};
    if (options->role != NULL) {
        return role_parse((struct slice){options->role, strlen(options->role)}, role)
                   ? 0
                   : ctl_usage("--role is owner, admin or viewer, not %s", options->role);
    }
    enum err err = users_each(control->accounts, control->account, visit_member, &first);
    *role = first.owned ? ROLE_ADMIN : ROLE_OWNER;
    return err == ERR_OK ? 0 : ctl_fail("the users could not be read: %s", err_text(err));
}

/* Anybody can sign up with any address: whose that account is, only the operator can find out. */
static int warn_of_signup(const struct ctl_control *control, const struct user *user) {
    struct membership all[MEMBERSHIPS_MAX];
    u32 count = 0;
    enum err err = users_memberships(control->accounts, user->id, all, MEMBERSHIPS_MAX, &count);
    for (u32 i = 0; err == ERR_OK && i < count; i++) {
        if (all[i].signed_up && all[i].account != control->account) {
            fprintf(stderr,
                    "%s also belongs to account %u by sign-up, which nobody verified; to end that: "
                    "marginctl admin remove %s --account %u\n",
                    user->email, all[i].account, user->email, all[i].account);
        }
    }
    return err == ERR_OK ? 0 : ctl_fail("the accounts could not be read: %s", err_text(err));
}

/* A login leads to the account that an operator gave; without one, to a stranger's. */
static int warn_of_what_is_left(const struct ctl_control *control, const char *email) {
    struct membership all[MEMBERSHIPS_MAX];
    struct user user;
    u32 count = 0;
    enum err err = users_find(control->accounts, email, &user);
    if (err == ERR_OK) {
        err = users_memberships(control->accounts, user.id, all, MEMBERSHIPS_MAX, &count);
    }
    u32 strange = 0;
    for (u32 i = 0; err == ERR_OK && i < count; i++) {
        strange += all[i].signed_up;
    }
    if (strange > 0 && strange == count) {
        fprintf(stderr,
                "all that is left to %s is account %u by sign-up, which nobody verified, and a "
                "login leads there; to end that: marginctl admin remove %s --account %u\n",
                email, all[0].account, email, all[0].account);
    }
    return err == ERR_OK ? 0 : ctl_fail("the accounts could not be read: %s", err_text(err));
}

static int create(const struct ctl_control *control, const struct ctl_options *options,
                  const char *email) {
    char password[PASSWORD_BYTES_MAX + 2];
    enum role role;
    struct user user;
    struct slice given = {NULL, 0};
    bool known = users_find(control->accounts, email, &user) == ERR_OK && user.has_password;
    int code = choose_role(control, options, &role);
    if (code == 0 && !known) {
        code = get_password(options, password);
        given = (struct slice){password, code == 0 ? strlen(password) : 0};
    }
    if (code != 0) {
        return code;
    }
    enum err err =
        users_join(control->accounts, email, control->account, role, given, clock_wall_ms(), &user);
    if (err == ERR_EXISTS) {
        return ctl_fail("%s belongs to account %u already; `admin passwd` sets a new password",
                        email, control->account);
    }
    if (err != ERR_OK) {
        return ctl_fail("the user could not be made: %s", err_text(err));
    }
    fprintf(stderr, "%s is %s of account %u%s\n", user.email, role_text(role), control->account,
            known ? ", with the password there was" : "");
    if (!known) {
        show_made(options, password);
    }
    return warn_of_signup(control, &user);
}

static int set_password(const struct ctl_control *control, const struct ctl_options *options,
                        const char *email) {
    char password[PASSWORD_BYTES_MAX + 2];
    struct user user;
    enum err err = users_find(control->accounts, email, &user);
    int code = err == ERR_NOT_FOUND ? ctl_fail("there is no user %s; see `admin list`", email)
               : err != ERR_OK      ? ctl_fail("the users could not be read: %s", err_text(err))
                                    : get_password(options, password);
    if (code != 0) {
        return code;
    }
    err = users_set_password(control->accounts, email, (struct slice){password, strlen(password)});
    if (err != ERR_OK) {
        return ctl_fail("the password could not be set: %s", err_text(err));
    }
    fprintf(stderr, "%s has a new password and is logged out everywhere\n", email);
    show_made(options, password);
    return 0;
}

/* `to` ROLE_NONE: takes the person out of the account. */
static int set_role(const struct ctl_control *control, const char *email, enum role to) {
    enum err err = users_set_role(control->accounts, email, control->account, to);
    if (err == ERR_NOT_FOUND) {
        return ctl_fail("%s does not belong to account %u; see `admin list`", email,
                        control->account);
    }
    if (err != ERR_OK) {
        return ctl_fail("the role could not be changed: %s", err_text(err));
    }
    if (to == ROLE_NONE) {
        fprintf(stderr, "%s does not belong to account %u any more\n", email, control->account);
        return warn_of_what_is_left(control, email);
    }
    fprintf(stderr, "%s is %s of account %u\n", email, role_text(to), control->account);
    return 0;
}

static int change_role(const struct ctl_control *control, const struct ctl_options *options,
                       const char *email) {
    enum role role;
    const char *text = options->role != NULL ? options->role : "";
    if (!role_parse((struct slice){text, strlen(text)}, &role)) {
        return ctl_usage("admin role needs --role owner, admin or viewer");
    }
    return set_role(control, email, role);
}

struct printing {
    struct accounts *accounts;
    const struct account_info *account;
    enum err err;
};

static bool print_user(void *context, const struct user *user, enum role role) {
    const struct printing *printing = context;
    char email[CTL_TEXT_BYTES(40)];
    char name[CTL_TEXT_BYTES(40)];
    char created[CTL_MONEY_BYTES];
    const char *of = printing->account->name;
    int columns = ctl_text((struct slice){user->email, strlen(user->email)}, 40, email);
    ctl_text((struct slice){of, strlen(of)}, 40, name);
    printf("%s%*s %-7s %-24s %-8s %u %s\n", email, 40 - columns, "", role_text(role),
           ctl_time(user->created_ms, created), user->has_password ? "password" : "none",
           printing->account->id, name);
    return true;
}

static bool print_users(void *context, const struct account_info *account) {
    struct printing *printing = context;
    printing->account = account;
    printing->err = users_each(printing->accounts, account->id, print_user, printing);
    return printing->err == ERR_OK;
}

static int list(const struct ctl_control *control, const struct ctl_options *options) {
    struct printing printing = {.accounts = control->accounts};
    struct account_info account;
    enum err err;
    printf("%-40s %-7s %-24s %-8s %s\n", "E-MAIL", "ROLE", "CREATED", "LOGIN", "ACCOUNT");
    if (options->account != NULL) {
        err = accounts_get(control->accounts, control->account, &account);
        if (err == ERR_OK) {
            print_users(&printing, &account);
        }
    } else {
        err = accounts_each(control->accounts, 1, print_users, &printing);
    }
    err = printing.err != ERR_OK ? printing.err : err;
    return err == ERR_OK ? 0 : ctl_fail("the users could not be read: %s", err_text(err));
}

int ctl_admin(const struct ctl_options *options, int argc, char **argv) {
    char email[EMAIL_MAX + 1];
    bool lists = argc == 1 && strcmp(argv[0], "list") == 0;
    bool creates = argc == 2 && strcmp(argv[0], "create") == 0;
    bool sets = argc == 2 && strcmp(argv[0], "passwd") == 0;
    bool changes = argc == 2 && strcmp(argv[0], "role") == 0;
    bool removes = argc == 2 && strcmp(argv[0], "remove") == 0;
    if (!lists && !creates && !sets && !changes && !removes) {
        return ctl_usage("admin create, passwd, role or remove EMAIL, or admin list; see "
                         "`marginctl admin --help`");
    }
    if (!lists && !users_read_email((struct slice){argv[1], strlen(argv[1])}, email)) {
        return ctl_usage("%s is no e-mail address", argv[1]);
    }
    struct ctl_control control;
    int code = ctl_control_open(options, &control);
    if (code == 0) {
        code = lists     ? list(&control, options)
               : creates ? create(&control, options, email)
               : changes ? change_role(&control, options, email)
               : removes ? set_role(&control, email, ROLE_NONE)
                         : set_password(&control, options, email);
        ctl_control_close(&control);
    }
    return code;
}
