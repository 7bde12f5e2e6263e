/* notify_test.c: what a supervisor hears, by a socket in a directory and by one that has no file.
 */
#include "process/notify.h"

#include <criterion/criterion.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int listen_at(const char *name) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    memcpy(address.sun_path, name, strlen(name));
    if (name[0] == '@') {
        address.sun_path[0] = '\0';
    }
    socklen_t bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
    cr_assert_eq(bind(fd, (struct sockaddr *)(void *)&address, bytes), 0);
    return fd;
}

static void expect_told(const char *name) {
    char variable[160];
    char whose[64];
    char heard[64] = "";
    snprintf(variable, sizeof variable, "NOTIFY_SOCKET=%s", name);
    snprintf(whose, sizeof whose, "WATCHDOG_PID=%d", (int)getpid());
    char every[] = "WATCHDOG_USEC=20000000";
    char *const environment[] = {variable, every, whose, NULL};
    int fd = listen_at(name);
    notify_open(environment);
    cr_assert(notify_is_on());
    cr_expect_eq(notify_watchdog_ns(), (u64)10 * 1000000000);
    notify_send("READY=1");
    cr_expect_eq(recv(fd, heard, sizeof heard - 1, MSG_DONTWAIT), 7);
    cr_expect_str_eq(heard, "READY=1");
    close(fd);
    notify_send("nobody listens: no harm");
    notify_close();
    cr_expect(!notify_is_on() && notify_watchdog_ns() == 0);
    notify_send("closed: no harm");
}

Test(notify, is_told) {
    char name[96];
    snprintf(name, sizeof name, "/tmp/notify-test.%d", (int)getpid());
    expect_told(name);
    unlink(name);
    name[0] = '@';
    expect_told(name);
}

Test(notify, is_off_without_a_socket) {
    char other[] = "NOTIFY_SOCKETS=/tmp/x";
    char none[] = "NOTIFY_SOCKET=";
    char gone[] = "NOTIFY_SOCKET=/nonexistent/socket";
    char long_one[300] = "NOTIFY_SOCKET=";
    memset(long_one + strlen(long_one), 'x', 250);
    char *const cases[][2] = {{other, NULL}, {none, NULL}, {gone, NULL}, {long_one, NULL}};
    for (usize i = 0; i < ARRAY_COUNT(cases); i++) {
        notify_open(cases[i]);
        cr_expect(!notify_is_on(), "%s", cases[i][0]);
    }
    char here[96];
    char name[64];
    snprintf(name, sizeof name, "@notify-test-other.%d", (int)getpid());
    snprintf(here, sizeof here, "NOTIFY_SOCKET=%s", name);
    char every[] = "WATCHDOG_USEC=1000000";
    char whose[] = "WATCHDOG_PID=1";
    char *const environment[] = {here, every, whose, NULL};
    int fd = listen_at(name);
    notify_open(environment);
    cr_expect(notify_is_on() && notify_watchdog_ns() == 0, "another process is watched");
    notify_close();
    close(fd);
}
