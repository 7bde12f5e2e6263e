/*
 * route.c: what it costs to find the row of a path, over the server's own table: the mean and the
 * dearest. Sessions ask only when the path differs from the last one, or has captures.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "api/routes.h"

#define ROUNDS 21
#define TIMES 20000
#define PATH_BYTES 256

static double thread_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/* The pattern with something in its captures. */
static usize make_path(const char *pattern, char path[PATH_BYTES]) {
    usize bytes = 0;
    for (; *pattern != 0; pattern++) {
        check(bytes + 8 < PATH_BYTES);
        if (*pattern == '{') {
            memcpy(path + bytes, "12345", 5);
            bytes += 5;
            pattern = strchr(pattern, '}');
        } else {
            path[bytes++] = *pattern;
        }
    }
    return bytes;
}

/* The best of the rounds: what disturbs only adds. */
static double measure(enum http_method method, struct slice path) {
    double best = 1e9;
    for (u32 round = 0; round < ROUNDS; round++) {
        struct http_match match;
        double start = thread_ns();
        for (u32 i = 0; i < TIMES; i++) {
            http_route_find(routes_router(), method, path, &match);
            __asm__ volatile("" : : "r"(&match) : "memory");
        }
        best = MIN(best, (thread_ns() - start) / TIMES);
        check(match.route != NULL);
    }
    return best;
}

int main(void) {
    double sum = 0;
    double most = 0;
    const char *dearest = "";
    for (u32 row = 0; row < routes_count; row++) {
        char path[PATH_BYTES];
        usize bytes = make_path(routes_table[row].path, path);
        double ns = measure(routes_table[row].method, (struct slice){path, bytes});
        sum += ns;
        if (ns > most) {
            most = ns;
            dearest = routes_table[row].path;
        }
    }
    printf("%u routes: %.1f ns to find one, at most %.1f (%s)\n", routes_count,
           sum / (double)routes_count, most, dearest);
    return 0;
}
