/* log_test.c: the form of a line, the level, and lines that are too long. */
#include "base/log.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char logged[8192];

/* Runs between two calls: what is written to stderr meanwhile lands in `logged`. */
static int divert(int *saved) {
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    *saved = dup(STDERR_FILENO);
    cr_assert(dup2(ends[1], STDERR_FILENO) >= 0);
    close(ends[1]);
    return ends[0];
}

static void collect(int from, int saved) {
    cr_assert(dup2(saved, STDERR_FILENO) >= 0); /* closes the pipe's last writer */
    close(saved);
    usize bytes = 0;
    ssize_t got;
    while ((got = read(from, logged + bytes, sizeof logged - 1 - bytes)) > 0) {
        bytes += (usize)got;
    }
    logged[bytes] = 0;
    close(from);
}

Test(log, one_line_each_at_the_level) {
    int saved;
    int from = divert(&saved);
    log_info("started", "http=%s n=%d", "127.0.0.1:1", 7);
    log_line(LOG_DEBUG, "quiet", "x=1");
    log_set_level(LOG_ERROR);
    log_warn("quiet", "x=2");
    log_error("broken", "%s", "");
    log_set_level(LOG_DEBUG);
    log_line(LOG_DEBUG, "heard", "x=3");
    collect(from, saved);
    int year;
    char rest[128];
    cr_assert_eq(sscanf(logged, "time=%4d-%*2d-%*2dT%*2d:%*2d:%*2d.%*3dZ %127[^\n]", &year, rest),
                 2, "%s", logged);
    cr_expect(year >= 2020);
    cr_expect_str_eq(rest, "level=info event=started http=127.0.0.1:1 n=7");
    cr_expect_eq(strstr(logged, "quiet"), NULL);
    cr_expect_neq(strstr(logged, "level=error event=broken\n"), NULL, "no blank at the end");
    cr_expect_neq(strstr(logged, "level=debug event=heard x=3\n"), NULL);
}

Test(log, long_lines_are_cut) {
    char text[3000];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = 0;
    int saved;
    int from = divert(&saved);
    log_info("long", "text=%s", text);
    log_info("next", "x=1");
    collect(from, saved);
    char *end = strchr(logged, '\n');
    cr_assert_neq(end, NULL);
    cr_expect(end - logged > 900 && end - logged < 1024, "%td bytes", end - logged);
    cr_expect_neq(strstr(end, "event=next x=1\n"), NULL);
}
