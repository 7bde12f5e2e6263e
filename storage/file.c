/* file.c: see file.h. */
#include "storage/file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define CALL_BYTES_MAX ((usize)1 << 30) /* the system takes no more than two of them at once */

enum err file_errno(int code) {
    return code == ENOSPC || code == EDQUOT || code == EFBIG ? ERR_NO_SPACE : ERR_IO;
}

int file_create_bulk(const char *path) {
    int flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC;
    int fd = open(path, flags | O_DIRECT, 0600);
    return fd < 0 && errno == EINVAL ? open(path, flags, 0600) : fd;
}

/* Whether it was not before. */
static bool end_bulk(int fd) {
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && (flags & O_DIRECT) != 0 && fcntl(fd, F_SETFL, flags & ~O_DIRECT) == 0;
}

void file_end_bulk(int fd) {
    end_bulk(fd);
}

enum err file_write(int fd, const void *data, usize bytes) {
    const char *at = data;
    while (bytes > 0) {
        ssize_t done = write(fd, at, MIN(bytes, CALL_BYTES_MAX));
        if (done < 0 && (errno == EINTR || (errno == EINVAL && end_bulk(fd)))) {
            continue;
        }
        if (done <= 0) {
            return file_errno(done < 0 ? errno : ENOSPC);
        }
        at += done;
        bytes -= (usize)done;
    }
    return ERR_OK;
}

enum err file_read(int fd, void *into, usize bytes, u64 at) {
    char *to = into;
    while (bytes > 0) {
        ssize_t done = pread(fd, to, MIN(bytes, CALL_BYTES_MAX), (off_t)at);
        if (done < 0 && (errno == EINTR || (errno == EINVAL && end_bulk(fd)))) {
            continue;
        }
        if (done <= 0) {
            return done < 0 ? ERR_IO : ERR_CORRUPT;
        }
        to += done;
        at += (u64)done;
        bytes -= (usize)done;
    }
    return ERR_OK;
}
