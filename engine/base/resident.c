/* resident.c: the second and the third number of /proc/self/statm, in pages. */
#include "base/resident.h"

#include <fcntl.h>
#include <unistd.h>

/* The number at *at, which goes past it and the blank behind it. */
static u64 read_number(const char *text, usize bytes, usize *at) {
    u64 number = 0;
    while (*at < bytes && text[*at] >= '0' && text[*at] <= '9') {
        number = number * 10 + (u64)(text[(*at)++] - '0');
    }
    *at += *at < bytes;
    return number;
}

struct resident resident_now(void) {
    char text[128];
    int file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return (struct resident){0};
    }
    ssize_t bytes = read(file, text, sizeof text);
    close(file);
    usize end = bytes > 0 ? (usize)bytes : 0;
    usize at = 0;
    u64 page = (u64)sysconf(_SC_PAGESIZE);
    (void)read_number(text, end, &at);
    u64 all = read_number(text, end, &at);
    u64 shared = read_number(text, end, &at);
    return (struct resident){all * page, (all - MIN(all, shared)) * page};
}
