/* user_test.c: becoming somebody else for good, and what is given to him on the way. */
#include "process/user.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

static char place[] = "/tmp/user-test.XXXXXX";

static const char *path_of(const char *name) {
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", place, name);
    return path;
}

static void make_file(const char *name) {
    int file = open(path_of(name), O_CREAT | O_WRONLY, 0600);
    cr_assert(file >= 0);
    close(file);
}

static uid_t owner_of(const char *name) {
    struct stat info;
    cr_assert_eq(lstat(path_of(name), &info), 0);
    return info.st_uid;
}

static void begin(void) {
    cr_assert_not_null(mkdtemp(place));
    cr_assert_eq(chmod(place, 0755), 0);
}

static void end(void) { /* what can be removed by who we are by now */
    char command[256];
    snprintf(command, sizeof command, "rm -rf %s 2>/dev/null", place);
    cr_expect_geq(system(command), 0);
}

Test(user, harden) {
    user_harden(true);
    cr_expect_eq(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
    cr_expect_eq(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 1);
    user_harden(false);
    cr_expect_eq(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 0);
}

Test(user, refuses) {
    char why[256] = "";
    begin();
    cr_expect_eq(user_enter("no-such-user", why, sizeof why), ERR_INVALID);
    cr_expect_str_eq(why, "there is no user no-such-user");
    cr_expect_eq(user_enter("root", why, sizeof why), ERR_INVALID);
    cr_expect_not_null(strstr(why, "is root"));
    cr_expect_eq(user_give(place, why, sizeof why), ERR_OK, "nobody to give it to");
    cr_expect_eq(user_drop(why, sizeof why), ERR_OK, "nothing to give up");
    user_raise();
    user_lower();
    end();
}

/* A directory in which its user has put traps for root's next start. */
static void lay_traps(const struct passwd *nobody) {
    cr_assert_eq(mkdir(path_of("data"), 0700), 0);
    make_file("secret");
    make_file("data/old");
    cr_assert_eq(mkdir(path_of("data/log"), 0700), 0);
    make_file("data/log/data.mdb");
    make_file("data/his");
    cr_assert_eq(chown(path_of("data/his"), nobody->pw_uid, nobody->pw_gid), 0);
    char secret[128];
    snprintf(secret, sizeof secret, "%s/secret", place);
    cr_assert_eq(symlink(secret, path_of("data/symbolic")), 0);
    cr_assert_eq(link(secret, path_of("data/hard")), 0);
    cr_assert_eq(mkfifo(path_of("data/fifo"), 0600), 0);
}

Test(user, drops_for_good) {
    char why[256] = "";
    char data[128];
    const struct passwd *nobody = getpwnam("nobody");
    if (getuid() != 0 || nobody == NULL) {
        cr_skip("only root can become another user");
    }
    uid_t uid = nobody->pw_uid;
    begin();
    lay_traps(nobody);
    snprintf(data, sizeof data, "%s/data", place);
    cr_assert_eq(user_enter("nobody", why, sizeof why), ERR_OK, "%s", why);
    cr_assert_eq(user_give(data, why, sizeof why), ERR_OK, "%s", why);
    cr_expect_eq(geteuid(), uid);
    make_file("data/new");
    user_raise();
    cr_expect_eq(geteuid(), 0);
    user_lower();
    cr_expect_eq(geteuid(), uid);
    cr_expect_eq(open(path_of("secret"), O_RDONLY), -1);
    cr_assert_eq(user_drop(why, sizeof why), ERR_OK, "%s", why);
    cr_expect(getuid() == uid && geteuid() == uid && getgid() == nobody->pw_gid);
    cr_expect(seteuid(0) == -1 && setuid(0) == -1 && setgroups(0, NULL) == -1);
    static const char *const his[] = {"data",     "data/old", "data/log", "data/log/data.mdb",
                                      "data/his", "data/new"};
    for (usize i = 0; i < ARRAY_COUNT(his); i++) {
        cr_expect_eq(owner_of(his[i]), uid, "%s", his[i]);
    }
    static const char *const roots[] = {"secret", "data/symbolic", "data/hard", "data/fifo"};
    for (usize i = 0; i < ARRAY_COUNT(roots); i++) {
        cr_expect_eq(owner_of(roots[i]), 0, "%s", roots[i]);
    }
    end();
}
