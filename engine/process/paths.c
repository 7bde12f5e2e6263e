/* paths.c: see paths.h. The C library has no functions for it. */
#include "process/paths.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "limits.h"

#define VERSION_LEAST 2 /* before it nothing could be renamed into another directory */
#define VERSION_TRUNCATE 3
#define RIGHT_TRUNCATE ((u64)1 << 14) /* headers of Linux 6.1 lack it */

#define READS (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define OF_FILES (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | RIGHT_TRUNCATE)
#define WRITES                                                                                     \
    (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |                               \
     LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |  \
     LANDLOCK_ACCESS_FS_REFER)
/* What is the matter of nobody here. */
#define OTHERS                                                                                     \
    (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_SOCK |    \
     LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM)

struct rules {
    int fd;
    u64 handled;
};

/* False: it exists, and cannot be allowed. */
static bool allow(const struct rules *rules, const char *path, u64 rights) {
    struct stat info;
    int file = open(path, O_PATH | O_CLOEXEC);
    if (file < 0 || fstat(file, &info) != 0) {
        return file < 0 || close(file) != 0;
    }
    u64 possible = S_ISDIR(info.st_mode) ? rights : rights & (OF_FILES);
    const struct landlock_path_beneath_attr rule = {.parent_fd = file,
                                                    .allowed_access = possible & rules->handled};
    bool good = rule.allowed_access == 0 || syscall(SYS_landlock_add_rule, rules->fd,
                                                    LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
    close(file);
    return good;
}

static bool allow_folder_of(const struct rules *rules, const char *path) {
    char folder[CONFIG_PATH_BYTES_MAX];
    const char *slash = strrchr(path, '/');
    usize bytes = slash == NULL ? 0 : MAX((usize)(slash - path), (usize)1);
    if (bytes >= sizeof folder) {
        return true; /* it cannot be opened, either */
    }
    memcpy(folder, slash == NULL ? "." : path, MAX(bytes, (usize)1));
    folder[MAX(bytes, (usize)1)] = '\0';
    return allow(rules, folder, READS);
}

/* A file is renewed by another one of its name, or, where the name is a link, by one beside what
 * the link leads to. */
static bool allow_beside(const struct rules *rules, const char *path) {
    char real[CONFIG_PATH_BYTES_MAX];
    return allow_folder_of(rules, path) &&
           (realpath(path, real) == NULL || allow_folder_of(rules, real));
}

static bool allow_rule(const struct rules *rules, const struct paths_rule *rule) {
    switch (rule->right) {
    case PATHS_OWN:
        return allow(rules, rule->path, READS | WRITES | RIGHT_TRUNCATE);
    case PATHS_BESIDE:
        return allow_beside(rules, rule->path);
    case PATHS_READ:
        return allow(rules, rule->path, READS);
    case PATHS_LIST:
        return allow(rules, rule->path, LANDLOCK_ACCESS_FS_READ_DIR);
    }
    check(false);
    return false;
}

bool paths_restrict(const struct paths_rule *of, u32 count) {
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (version < VERSION_LEAST) {
        return false;
    }
    u64 handled = READS | WRITES | OTHERS | (version >= VERSION_TRUNCATE ? RIGHT_TRUNCATE : 0);
    const struct landlock_ruleset_attr attributes = {.handled_access_fs = handled};
    struct rules rules = {.handled = handled};
    rules.fd = (int)syscall(SYS_landlock_create_ruleset, &attributes,
                            sizeof attributes.handled_access_fs, 0);
    bool good = rules.fd >= 0;
    for (u32 i = 0; i < count && good; i++) {
        good = of[i].path[0] == '\0' || allow_rule(&rules, &of[i]);
    }
    good = good && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           syscall(SYS_landlock_restrict_self, rules.fd, 0) == 0;
    if (rules.fd >= 0) {
        close(rules.fd);
    }
    return good;
}
