/*
 * failing.c: a library to preload into the server, which lets one system call on its data directory
 * fail: the Nth of its kind on one file. With an error the call has done nothing; "short" does half
 * of it, "torn" does half and dies, "die" dies before it, "after" behind it (as by kill -9).
 *
 *     FAIL_DIR=/data  FAIL_CALL=pwrite  FAIL_FILE=log/data.mdb  FAIL_AT=3  FAIL_WITH=EIO
 *     FAIL_TIMES=1 (0: from then on for ever)  FAIL_LIST=file (a line for each call there was)
 *     FAIL_MAP=1073741824  FAIL_MAP_BYTES=262144 (an LMDB map of the one size gets the other)
 *
 * LMDB calls the C library through the same table as the server does, so its calls are seen, too.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define PATH_BYTES 4096
#define NEXT(name) ((__typeof__(&(name)))(uintptr_t)dlsym(RTLD_NEXT, #name))

enum way { WAY_NONE, WAY_ERROR, WAY_SHORT, WAY_TORN, WAY_DIE, WAY_AFTER };

static const struct {
    const char *name;
    enum way way;
    int code;
} ways[] = {
    {"EIO", WAY_ERROR, EIO}, {"ENOSPC", WAY_ERROR, ENOSPC}, {"EDQUOT", WAY_ERROR, EDQUOT},
    {"short", WAY_SHORT, 0}, {"torn", WAY_TORN, 0},         {"die", WAY_DIE, 0},
    {"after", WAY_AFTER, 0},
};

static const char *setting(const char *name) {
    const char *text = getenv(name);
    return text != NULL ? text : "";
}

static void die(void) {
    kill(getpid(), SIGKILL);
}

/* Names that hold numbers are one kind of file: snapshots, FORMAT.<pid>. */
static void fold_digits(char *name) {
    char *to = name;
    for (const char *at = name; *at != '\0'; at++) {
        bool digit = *at >= '0' && *at <= '9';
        if (!digit || to == name || to[-1] != '#') {
            *to++ = digit ? '#' : *at;
        }
    }
    *to = '\0';
}

static void list_call(const char *call, const char *file) {
    const char *path = setting("FAIL_LIST");
    char line[PATH_BYTES + 64];
    int bytes = snprintf(line, sizeof line, "%s %s\n", call, file);
    long fd = path[0] == '\0'
                  ? -1
                  : syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (fd >= 0) {
        syscall(SYS_write, fd, line, bytes);
        syscall(SYS_close, fd);
    }
}

/* What this call is to do; the error is in errno. */
static enum way choose(const char *call, const char *path) {
    static _Atomic unsigned long seen;
    const char *dir = setting("FAIL_DIR");
    size_t bytes = strlen(dir);
    bool own = bytes > 0 && strncmp(path, dir, bytes) == 0;
    if (!own || (path[bytes] != '/' && path[bytes] != '\0')) {
        return WAY_NONE;
    }
    char file[PATH_BYTES];
    snprintf(file, sizeof file, "%s", path[bytes] == '/' ? path + bytes + 1 : ".");
    fold_digits(file);
    list_call(call, file);
    if (strcmp(call, setting("FAIL_CALL")) != 0 || strcmp(file, setting("FAIL_FILE")) != 0) {
        return WAY_NONE;
    }
    unsigned long times = strtoul(setting("FAIL_TIMES"), NULL, 10);
    unsigned long at = strtoul(setting("FAIL_AT"), NULL, 10);
    unsigned long number = ++seen;
    if (number < at || (times > 0 && number >= at + times)) {
        return WAY_NONE;
    }
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        if (strcmp(ways[i].name, setting("FAIL_WITH")) == 0) {
            if (ways[i].way == WAY_DIE) {
                die();
            }
            errno = ways[i].code;
            return ways[i].way;
        }
    }
    return WAY_NONE;
}

static enum way choose_fd(const char *call, int fd) {
    char link[64];
    char path[PATH_BYTES];
    int code = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t bytes = readlink(link, path, sizeof path - 1);
    path[bytes > 0 ? bytes : 0] = '\0';
    errno = code;
    return choose(call, path);
}

/* Ends a call that was made, in whole or in part. */
static ssize_t end(enum way way, ssize_t done) {
    if (way == WAY_TORN || way == WAY_AFTER) {
        die();
    }
    return done;
}

static size_t part(enum way way, size_t bytes) {
    return way == WAY_SHORT || way == WAY_TORN ? bytes / 2 : bytes;
}

/* --- the calls -------------------------------------------------------------------------------- */

ssize_t write(int fd, const void *data, size_t bytes) {
    enum way way = choose_fd("write", fd);
    return way == WAY_ERROR ? -1 : end(way, NEXT(write)(fd, data, part(way, bytes)));
}

ssize_t pwrite(int fd, const void *data, size_t bytes, off_t at) {
    enum way way = choose_fd("pwrite", fd);
    return way == WAY_ERROR ? -1 : end(way, NEXT(pwrite)(fd, data, part(way, bytes), at));
}

ssize_t writev(int fd, const struct iovec *pieces, int count) {
    enum way way = choose_fd("writev", fd);
    if (way == WAY_ERROR) {
        return -1;
    }
    if (way == WAY_SHORT || way == WAY_TORN) {
        return end(way, NEXT(write)(fd, pieces[0].iov_base, pieces[0].iov_len / 2));
    }
    return end(way, NEXT(writev)(fd, pieces, count));
}

ssize_t pread(int fd, void *into, size_t bytes, off_t at) {
    enum way way = choose_fd("pread", fd);
    return way == WAY_ERROR ? -1 : end(way, NEXT(pread)(fd, into, part(way, bytes), at));
}

int fsync(int fd) {
    enum way way = choose_fd("fsync", fd);
    return way == WAY_ERROR ? -1 : (int)end(way, NEXT(fsync)(fd));
}

int fdatasync(int fd) {
    enum way way = choose_fd("fdatasync", fd);
    return way == WAY_ERROR ? -1 : (int)end(way, NEXT(fdatasync)(fd));
}

int msync(void *at, size_t bytes, int flags) {
    enum way way = choose("msync", setting("FAIL_DIR"));
    return way == WAY_ERROR ? -1 : (int)end(way, NEXT(msync)(at, bytes, flags));
}

int ftruncate(int fd, off_t bytes) {
    enum way way = choose_fd("ftruncate", fd);
    return way == WAY_ERROR ? -1 : (int)end(way, NEXT(ftruncate)(fd, bytes));
}

int fallocate(int fd, int mode, off_t at, off_t bytes) {
    enum way way = choose_fd("fallocate", fd);
    return way == WAY_ERROR ? -1 : (int)end(way, NEXT(fallocate)(fd, mode, at, bytes));
}

int rename(const char *from, const char *to) {
    enum way way = choose("rename", to);
    return way == WAY_ERROR ? -1 : (int)end(way, NEXT(rename)(from, to));
}

int mkdir(const char *path, mode_t mode) {
    enum way way = choose("mkdir", path);
    return way == WAY_ERROR ? -1 : (int)end(way, NEXT(mkdir)(path, mode));
}

int unlink(const char *path) {
    enum way way = choose("unlink", path);
    return way == WAY_ERROR ? -1 : (int)end(way, NEXT(unlink)(path));
}

int open(const char *path, int flags, ...) {
    mode_t mode = 0;
    if ((flags & O_CREAT) != 0) {
        va_list more;
        va_start(more, flags);
        mode = va_arg(more, mode_t);
        va_end(more);
    }
    enum way way = (flags & (O_CREAT | O_WRONLY | O_RDWR)) != 0 ? choose("open", path) : WAY_NONE;
    return way == WAY_ERROR ? -1 : (int)end(way, NEXT(open)(path, flags, mode));
}

int mdb_env_set_mapsize(void *env, size_t bytes);
int mdb_env_set_mapsize(void *env, size_t bytes) {
    bool small = strtoul(setting("FAIL_MAP"), NULL, 10) == bytes;
    size_t instead = small ? strtoul(setting("FAIL_MAP_BYTES"), NULL, 10) : bytes;
    return NEXT(mdb_env_set_mapsize)(env, instead);
}
