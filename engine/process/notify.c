/* notify.c: see notify.h. A line or two of protocol do not make a library worth it. */
#include "process/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"

static int notify_fd = -1;
static u64 watchdog_ns;

static const char *find(char *const *environment, const char *name) {
    usize bytes = strlen(name);
    for (; *environment != NULL; environment++) {
        if (strncmp(*environment, name, bytes) == 0 && (*environment)[bytes] == '=') {
            return *environment + bytes + 1;
        }
    }
    return NULL;
}

void notify_open(char *const *environment) {
    const char *path = find(environment, "NOTIFY_SOCKET");
    const char *every = find(environment, "WATCHDOG_USEC");
    const char *whose = find(environment, "WATCHDOG_PID");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    usize bytes = path == NULL ? 0 : strlen(path);
    if (bytes < 2 || bytes >= sizeof address.sun_path) {
        return;
    }
    memcpy(address.sun_path, path, bytes);
    if (path[0] == '@') {
        address.sun_path[0] = '\0'; /* a name that is no file's */
    }
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + bytes);
    notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (notify_fd >= 0 && connect(notify_fd, (struct sockaddr *)(void *)&address, length) != 0) {
        log_warn("notify_socket", "cause=\"%s\"", strerror(errno));
        notify_close();
    }
    bool ours = whose == NULL || strtol(whose, NULL, 10) == (long)getpid();
    if (notify_fd >= 0 && every != NULL && ours) {
        watchdog_ns = strtoull(every, NULL, 10) * 1000 / 2;
    }
}

void notify_close(void) {
    if (notify_fd >= 0) {
        close(notify_fd);
    }
    notify_fd = -1;
    watchdog_ns = 0;
}

bool notify_is_on(void) {
    return notify_fd >= 0;
}

void notify_send(const char *text) {
    if (notify_fd >= 0) {
        ssize_t ignored = send(notify_fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
        (void)ignored;
    }
}

u64 notify_watchdog_ns(void) {
    return watchdog_ns;
}
