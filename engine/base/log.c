/* log.c: a line is put together on the stack and leaves with one write(2). */
#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES_MAX 1024

static _Atomic int least_level = LOG_INFO;

void log_set_level(enum log_level least) {
    atomic_store(&least_level, (int)least);
}

static usize add(usize at, int written) {
    check(written >= 0);
    return MIN(at + (usize)written, (usize)LINE_BYTES_MAX - 2);
}

void log_line(enum log_level level, const char *event, const char *format, ...) {
    static const char *const names[] = {"debug", "info", "warn", "error"};
    if ((int)level < atomic_load(&least_level)) {
        return;
    }
    char line[LINE_BYTES_MAX];
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    usize at = strftime(line, sizeof line, "time=%Y-%m-%dT%H:%M:%S", &utc);
    at = add(at, snprintf(line + at, sizeof line - at, ".%03ldZ level=%s event=%s ",
                          now.tv_nsec / 1000000, names[level], event));
    va_list args;
    va_start(args, format);
    at = add(at, vsnprintf(line + at, sizeof line - at, format, args));
    va_end(args);
    while (at > 0 && line[at - 1] == ' ') {
        at--;
    }
    line[at++] = '\n';
    ssize_t ignored = write(STDERR_FILENO, line, at);
    (void)ignored;
}
