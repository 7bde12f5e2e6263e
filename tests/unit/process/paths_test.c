/* paths_test.c: what can be opened, made and renamed, and what cannot, in a child that reports by
 * its exit code. */
#include "process/paths.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NO_LANDLOCK 250 /* exit code */

static char place[] = "/tmp/paths-test.XXXXXX";
static u32 wrong;

static const char *at(const char *name) {
    static char paths[4][128];
    static u32 next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", place, name);
    return path;
}

static void expect(bool good, const char *what) {
    if (!good) {
        wrong++;
        dprintf(STDERR_FILENO, "within its paths: %s (errno %d)\n", what, errno);
    }
}

static void put(const char *name, const char *text) {
    int file = open(at(name), O_CREAT | O_WRONLY | O_TRUNC, 0600);
    check(file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text));
    close(file);
}

static int outcome(const char *path, int flags) {
    int file = open(path, flags, 0600);
    if (file >= 0) {
        close(file);
    }
    return file < 0 ? errno : 0;
}

static void expect_own(void) {
    expect(mkdir(at("data/log"), 0700) == 0, "mkdir");
    put("data/one", "one");
    expect(truncate(at("data/one"), 1) == 0, "truncate");
    expect(rename(at("data/one"), at("data/log/two")) == 0, "rename into another directory");
    expect(outcome(at("data/log/two"), O_RDWR) == 0, "open");
    expect(unlink(at("data/log/two")) == 0, "unlink");
    expect(rmdir(at("data/log")) == 0, "rmdir");
    expect(symlink("/etc/passwd", at("data/link")) == -1 && errno == EACCES, "symlink");
    expect(mkfifo(at("data/fifo"), 0600) == -1 && errno == EACCES, "fifo");
    char *const argv[] = {(char *)"program", NULL};
    expect(execv(at("data/program"), argv) == -1 && errno == EACCES, "a program of its own");
}

/* A certificate that is renewed: by a file that is renamed over it, or by a link that changes. */
static void expect_beside(void) {
    expect(outcome(at("config/prices.json"), O_RDONLY) == 0, "a file of the settings");
    expect(outcome(at("config/newer.json"), O_RDONLY) == 0, "one that may take its place");
    expect(outcome(at("config/prices.json"), O_RDWR) == EACCES, "to write to it");
    expect(outcome(at("config/newest.json"), O_CREAT | O_WRONLY) == EACCES, "to make one");
    expect(outcome(at("live/cert.pem"), O_RDONLY) == 0, "through a link");
    expect(outcome(at("archive/cert2.pem"), O_RDONLY) == 0, "what the link leads to next");
}

static u32 within_paths(void) {
    const struct paths_rule rules[] = {
        {at("data"), PATHS_OWN},
        {place, PATHS_LIST},
        {at("config/prices.json"), PATHS_BESIDE},
        {"", PATHS_BESIDE},
        {"/nonexistent/file", PATHS_BESIDE},
    };
    char live[128];
    snprintf(live, sizeof live, "%s", at("live/cert.pem"));
    struct paths_rule all[ARRAY_COUNT(rules) + 1];
    memcpy(all, rules, sizeof rules);
    all[ARRAY_COUNT(rules)] = (struct paths_rule){live, PATHS_BESIDE};
    int open_before = open(at("secret"), O_RDONLY);
    if (!paths_restrict(all, ARRAY_COUNT(all))) {
        return NO_LANDLOCK;
    }
    expect_own();
    expect_beside();
    expect(outcome("/etc/passwd", O_RDONLY) == EACCES, "/etc/passwd");
    expect(outcome(at("secret"), O_RDONLY) == EACCES, "a neighbour");
    expect(outcome(at("new"), O_CREAT | O_WRONLY) == EACCES, "a new neighbour");
    expect(outcome("/dev/null", O_WRONLY) == EACCES, "a device");
    expect(unlink(at("secret")) == -1 && errno == EACCES, "to remove a neighbour");
    expect(outcome(place, O_RDONLY | O_DIRECTORY) == 0, "names beside");
    char byte;
    expect(read(open_before, &byte, 1) == 1, "what was open before");
    return wrong;
}

Test(paths, hold) {
    int status;
    cr_assert_not_null(mkdtemp(place));
    static const char *const folders[] = {"data", "config", "live", "archive"};
    for (usize i = 0; i < ARRAY_COUNT(folders); i++) {
        cr_assert_eq(mkdir(at(folders[i]), 0700), 0);
    }
    static const char *const files[] = {"secret",
                                        "config/prices.json",
                                        "config/newer.json",
                                        "archive/cert1.pem",
                                        "archive/cert2.pem",
                                        "data/program"};
    for (usize i = 0; i < ARRAY_COUNT(files); i++) {
        put(files[i], "#!/bin/true\n");
    }
    cr_assert_eq(chmod(at("data/program"), 0700), 0);
    cr_assert_eq(symlink("../archive/cert1.pem", at("live/cert.pem")), 0);
    pid_t child = fork();
    if (child == 0) {
        _exit((int)within_paths());
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    char command[64];
    snprintf(command, sizeof command, "rm -r %s", place);
    cr_expect_eq(system(command), 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == NO_LANDLOCK) {
        cr_skip("no Landlock here");
    }
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", (unsigned)status);
}
