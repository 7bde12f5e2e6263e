/* db_dir.c: the data directory itself: its format, its lock, and what keeps its names on the disk.
 */
#include "base/fault.h"
#include "base/log.h"
#include "storage/db.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#define PATH_BYTES_MAX 4096
#define FORMAT_VERSION 3 /* see db_dir_upgrade() */
#define FORMAT_OLDEST 2
#define FORMAT_PREFIX "margind data "

static enum err explain(char *why, usize why_bytes, enum err err, const char *what,
                        const char *path, int code) {
    snprintf(why, why_bytes, "%s %s: %s", what, path, strerror(code));
    return err;
}

enum err db_dir_sync(const char *dir) {
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int code = fd < 0 || fsync(fd) != 0 ? errno : 0;
    if (fd >= 0) {
        close(fd);
    }
    /* Some file systems have nothing to sync there; a parent that only lets pass is not ours. */
    if (code == 0 || code == EINVAL || code == EACCES) {
        return ERR_OK;
    }
    return code == ENOSPC || code == EDQUOT ? ERR_NO_SPACE : ERR_IO;
}

static enum err format_read(int fd, const char *path, u32 *out, char *why, usize why_bytes) {
    char text[64] = {0};
    ssize_t bytes = read(fd, text, sizeof text - 1);
    usize prefix = sizeof FORMAT_PREFIX - 1;
    if (bytes < (ssize_t)prefix + 1 || memcmp(text, FORMAT_PREFIX, prefix) != 0) {
        snprintf(why, why_bytes, "%s is not a format file of margind", path);
        return ERR_CORRUPT;
    }
    unsigned long version = strtoul(text + prefix, NULL, 10);
    if (version > FORMAT_VERSION) {
        snprintf(why, why_bytes, "%s: data format %lu is newer than this program's (%d): update it",
                 path, version, FORMAT_VERSION);
        return ERR_VERSION;
    }
    if (version < FORMAT_OLDEST) {
        snprintf(why, why_bytes,
                 "%s: data format %lu is older than any this program reads (%d to %d): export the "
                 "events with the version that wrote them and send them again",
                 path, version, FORMAT_OLDEST, FORMAT_VERSION);
        return ERR_VERSION;
    }
    *out = (u32)version;
    return ERR_OK;
}

/* Written beside and renamed, so that it is whole or absent. */
static enum err format_write(const char *dir, const char *path, char *why, usize why_bytes) {
    char fresh[PATH_BYTES_MAX];
    char text[64];
    snprintf(fresh, sizeof fresh, "%s/FORMAT.%ld", dir, (long)getpid());
    int length = snprintf(text, sizeof text, FORMAT_PREFIX "%d\n", FORMAT_VERSION);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    errno = fd >= 0 ? ENOSPC : errno; /* what a short write means */
    bool good = fd >= 0 && write(fd, text, (usize)length) == length && fsync(fd) == 0;
    int code = good ? 0 : errno;
    if (fd >= 0) {
        close(fd);
    }
    fault_point("db.format-written");
    if (good && rename(fresh, path) != 0) {
        code = errno;
        good = false;
    }
    if (!good) {
        unlink(fresh);
        return explain(why, why_bytes, code == ENOSPC ? ERR_NO_SPACE : ERR_SYSTEM, "cannot write",
                       path, code);
    }
    fault_point("db.format-renamed");
    if (db_dir_sync(dir) != ERR_OK) {
        return explain(why, why_bytes, ERR_IO, "cannot sync", dir, errno);
    }
    return ERR_OK;
}

/* Their memory maps and locks do not keep LMDB's promises. */
static bool is_network_file_system(const char *dir) {
    struct statfs stat;
    if (statfs(dir, &stat) != 0) {
        return false;
    }
    u32 type = (u32)stat.f_type;
    return type == NFS_SUPER_MAGIC || type == SMB_SUPER_MAGIC || type == SMB2_SUPER_MAGIC ||
           type == CIFS_SUPER_MAGIC;
}

static enum err format_open(const char *dir, int *fd, char *why, usize why_bytes) {
    char path[PATH_BYTES_MAX];
    snprintf(path, sizeof path, "%s/FORMAT", dir);
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    int code = errno;
    return *fd >= 0 ? ERR_OK
                    : explain(why, why_bytes, code == ENOENT ? ERR_NOT_FOUND : ERR_SYSTEM,
                              "not a data directory:", path, code);
}

/* What each format brought, and what has to be done for a directory of the one before:
 *
 *   2  frames of any size. Blocks of format 1 are not read.
 *   3  amendments, and with them events that are removed: a program that does not know of them
 *      would count what is gone. Nothing has to be done, for a log without any is one of format 3.
 *      Rows of the control tables end with a checksum; those of format 2 get it where the tables
 *      are opened (seal.h).
 *
 * So that an upgrade can be cut off anywhere, the number is written when all is done. */
enum err db_dir_upgrade(const char *dir, char *why, usize why_bytes) {
    char path[PATH_BYTES_MAX];
    u32 version;
    int fd;
    enum err err = format_open(dir, &fd, why, why_bytes);
    if (err != ERR_OK) {
        return err;
    }
    snprintf(path, sizeof path, "%s/FORMAT", dir);
    err = format_read(fd, path, &version, why, why_bytes);
    close(fd);
    if (err != ERR_OK || version == FORMAT_VERSION) {
        return err;
    }
    err = format_write(dir, path, why, why_bytes);
    if (err == ERR_OK) {
        log_info("format_upgraded", "dir=\"%s\" from=%u to=%d", dir, version, FORMAT_VERSION);
    }
    return err;
}

enum err db_dir_prepare(const char *dir, bool create, char *why, usize why_bytes) {
    char path[PATH_BYTES_MAX];
    if (strlen(dir) + sizeof "/FORMAT.0123456789" >= sizeof path) {
        return explain(why, why_bytes, ERR_SYSTEM, "cannot use", dir, ENAMETOOLONG);
    }
    if (create && mkdir(dir, 0700) != 0 && errno != EEXIST) {
        return explain(why, why_bytes, ERR_SYSTEM, "cannot make directory", dir, errno);
    }
    fault_point("db.directory-made");
    if (access(dir, create ? R_OK | W_OK | X_OK : R_OK | X_OK) != 0) {
        struct stat file;
        int code = errno;
        code = stat(dir, &file) == 0 && !S_ISDIR(file.st_mode) ? ENOTDIR : code;
        return explain(why, why_bytes, code == ENOENT ? ERR_NOT_FOUND : ERR_SYSTEM,
                       "cannot use directory", dir, code);
    }
    snprintf(path, sizeof path, "%s/..", dir);
    if (create && db_dir_sync(path) != ERR_OK) { /* the one that made it may have got no further */
        return explain(why, why_bytes, ERR_IO, "cannot sync", path, errno);
    }
    if (is_network_file_system(dir)) {
        snprintf(why, why_bytes, "%s is on a network file system: use a local disk", dir);
        return ERR_SYSTEM;
    }
    snprintf(path, sizeof path, "%s/FORMAT", dir);
    if (create && access(path, F_OK) != 0 && errno == ENOENT) {
        return format_write(dir, path, why, why_bytes);
    }
    int fd;
    u32 version;
    enum err err = format_open(dir, &fd, why, why_bytes);
    if (err == ERR_OK) {
        err = format_read(fd, path, &version, why, why_bytes);
        close(fd);
    }
    return err;
}

enum err db_dir_lock(const char *dir, int *fd, char *why, usize why_bytes) {
    char path[PATH_BYTES_MAX];
    snprintf(path, sizeof path, "%s/lock", dir);
    int lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock < 0) {
        return explain(why, why_bytes, ERR_SYSTEM, "cannot open", path, errno);
    }
    if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
        int code = errno;
        close(lock);
        if (code != EWOULDBLOCK) {
            return explain(why, why_bytes, ERR_SYSTEM, "cannot lock", path, code);
        }
        snprintf(why, why_bytes, "%s is in use by another server: stop it or use another directory",
                 dir);
        return ERR_LOCKED;
    }
    *fd = lock;
    return ERR_OK;
}
