/* user.c: see user.h. The kernel keeps three ids; root stays the saved one until user_drop(). */
#include "process/user.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <dirent.h>

#include "base/log.h"

#define ENTRY_BYTES_MAX (16 * KIB) /* of the table of users */
#define FOLDERS_MAX 8              /* below each other in a data directory */

static struct {
    bool entered;
    uid_t uid;
    gid_t gid;
} user;

void user_harden(bool core_dumps) {
    check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    check(prctl(PR_SET_DUMPABLE, core_dumps ? 1 : 0, 0, 0, 0) == 0);
}

/* --- files ------------------------------------------------------------------------------------ */

static bool give(int file, u32 *count) {
    if (fchownat(file, "", user.uid, user.gid, AT_EMPTY_PATH) != 0) {
        return false;
    }
    (*count)++;
    return true;
}

/* What root left in a directory that is somebody else's by now. He may have put a link there, so
 * nothing is followed, and nothing that has a second name is given. */
static bool give_folder(int folder, u32 depth, u32 *count) {
    int copy = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = copy < 0 ? NULL : fdopendir(copy);
    bool good = list != NULL;
    for (struct dirent *entry; good && (entry = readdir(list)) != NULL;) {
        struct stat info;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        int file = openat(folder, entry->d_name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (file < 0) {
            continue; /* gone meanwhile */
        }
        good = fstat(file, &info) == 0;
        bool is_folder = good && S_ISDIR(info.st_mode);
        if (good && info.st_uid == 0 &&
            (is_folder || (S_ISREG(info.st_mode) && info.st_nlink == 1))) {
            good = give(file, count);
        }
        if (good && is_folder && depth < FOLDERS_MAX) {
            good = give_folder(file, depth + 1, count);
        }
        close(file);
    }
    if (list != NULL) {
        closedir(list);
    } else if (copy >= 0) {
        close(copy);
    }
    return good;
}

/* He may not be able to. */
static bool sync_parent(int folder) {
    int parent = openat(folder, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = parent >= 0 && (fsync(parent) == 0 || errno == EINVAL);
    if (parent >= 0) {
        close(parent);
    }
    return good;
}

static enum err give_directory(const char *dir, char *why, usize why_bytes) {
    struct stat info;
    u32 count = 0;
    if (mkdir(dir, 0700) != 0 && errno != EEXIST) {
        snprintf(why, why_bytes, "cannot make %.300s: %s", dir, strerror(errno));
        return ERR_SYSTEM;
    }
    int folder = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = folder >= 0 && fstat(folder, &info) == 0;
    if (good && info.st_uid == 0) {
        good = fchown(folder, user.uid, user.gid) == 0;
        count++;
    }
    good = good && sync_parent(folder);
    good = good && give_folder(folder, 1, &count);
    if (!good) {
        snprintf(why, why_bytes, "cannot give %.300s to the user: %s", dir, strerror(errno));
    }
    if (folder >= 0) {
        close(folder);
    }
    if (count > 0) {
        log_info("files_given", "uid=%u count=%u dir=\"%s\"", user.uid, count, dir);
    }
    return good ? ERR_OK : ERR_SYSTEM;
}

/* --- ids -------------------------------------------------------------------------------------- */

static enum err find_user(const char *name, char *why, usize why_bytes) {
    char memory[ENTRY_BYTES_MAX];
    struct passwd entry;
    struct passwd *found = NULL;
    int error = getpwnam_r(name, &entry, memory, sizeof memory, &found);
    if (found == NULL) {
        snprintf(why, why_bytes, "there is no user %.64s%s%s", name, error != 0 ? ": " : "",
                 error != 0 ? strerror(error) : "");
        return ERR_INVALID;
    }
    if (entry.pw_uid == 0) {
        snprintf(why, why_bytes, "the user %.64s is root; choose one that may do nothing", name);
        return ERR_INVALID;
    }
    user.uid = entry.pw_uid;
    user.gid = entry.pw_gid;
    return ERR_OK;
}

enum err user_enter(const char *name, char *why, usize why_bytes) {
    enum err err = find_user(name, why, why_bytes);
    if (err != ERR_OK) {
        return err;
    }
    if (geteuid() != 0) {
        if (getuid() == user.uid && geteuid() == user.uid) {
            return ERR_OK; /* we are him already */
        }
        snprintf(why, why_bytes, "only root can become %.64s", name);
        return ERR_INVALID;
    }
    if (initgroups(name, user.gid) != 0 || setegid(user.gid) != 0 || seteuid(user.uid) != 0) {
        snprintf(why, why_bytes, "cannot become %.64s: %s", name, strerror(errno));
        return ERR_SYSTEM;
    }
    user.entered = true;
    return ERR_OK;
}

enum err user_give(const char *dir, char *why, usize why_bytes) {
    if (!user.entered) {
        return ERR_OK;
    }
    user_raise();
    enum err err = give_directory(dir, why, why_bytes);
    user_lower();
    return err;
}

void user_raise(void) {
    check(!user.entered || seteuid(0) == 0);
}

void user_lower(void) {
    check(!user.entered || seteuid(user.uid) == 0);
}

static bool has_capabilities(void) {
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};
    u32 any = syscall(SYS_capget, &head, data) == 0 ? 0 : 1;
    for (u32 i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
        any |= data[i].effective | data[i].permitted;
    }
    return any != 0;
}

/* What could be undone is no drop: this tries. */
static bool is_dropped(void) {
    uid_t uid[3];
    gid_t gid[3];
    return getresuid(&uid[0], &uid[1], &uid[2]) == 0 && getresgid(&gid[0], &gid[1], &gid[2]) == 0 &&
           uid[0] == user.uid && uid[1] == user.uid && uid[2] == user.uid && gid[0] == user.gid &&
           gid[1] == user.gid && gid[2] == user.gid && !has_capabilities() && setuid(0) != 0 &&
           seteuid(0) != 0 && setgid(0) != 0;
}

/* Who stays root keeps what root has. */
static bool drop_capabilities(void) {
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};
    return geteuid() == 0 || !has_capabilities() ||
           (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) == 0 &&
            syscall(SYS_capset, &head, none) == 0 && !has_capabilities());
}

enum err user_drop(char *why, usize why_bytes) {
    if (!user.entered) {
        if (!drop_capabilities()) {
            snprintf(why, why_bytes, "cannot give up the rights to bind ports");
            return ERR_SYSTEM;
        }
        return ERR_OK;
    }
    user.entered = false;
    bool good = seteuid(0) == 0 && setresgid(user.gid, user.gid, user.gid) == 0 &&
                setresuid(user.uid, user.uid, user.uid) == 0 && is_dropped();
    if (!good) {
        snprintf(why, why_bytes, "cannot give up being root");
    }
    return good ? ERR_OK : ERR_SYSTEM;
}
