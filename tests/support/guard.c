/* guard.c: see guard.h. */
#include "tests/support/guard.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct guard guard_create(usize bytes_max) {
    usize page = (usize)sysconf(_SC_PAGESIZE);
    usize usable = (bytes_max + page - 1) / page * page;
    char *map =
        mmap(NULL, usable + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(map != MAP_FAILED);
    check(mprotect(map + usable, page, PROT_NONE) == 0);
    return (struct guard){map, usable + page, map + usable};
}

void guard_destroy(struct guard *guard) {
    munmap(guard->map, guard->map_bytes);
    *guard = (struct guard){0};
}

char *guard_place(struct guard *guard, usize bytes, usize padding, char fill) {
    check(bytes + padding <= (usize)(guard->end - guard->map));
    memset(guard->end - padding, fill, padding);
    return guard->end - padding - bytes;
}

char *guard_copy(struct guard *guard, struct slice text, usize padding, char fill) {
    char *to = guard_place(guard, text.bytes, padding, fill);
    if (text.bytes > 0) {
        memcpy(to, text.data, text.bytes);
    }
    return to;
}
