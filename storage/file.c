/* file.c: see file.h. */
#include "storage/file.h"

#include <errno.h>
#include <unistd.h>

#define CALL_BYTES_MAX ((usize)1 << 30) /* the system takes no more than two of them at once */

enum err file_errno(int code) {
    return code == ENOSPC || code == EDQUOT || code == EFBIG ? ERR_NO_SPACE : ERR_IO;
}

enum err file_write(int fd, const void *data, usize bytes) {
    const char *at = data;
    while (bytes > 0) {
        ssize_t done = write(fd, at, MIN(bytes, CALL_BYTES_MAX));
        if (done < 0 && errno == EINTR) {
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
        if (done < 0 && errno == EINTR) {
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
