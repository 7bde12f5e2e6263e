/* file_test.c: files past the system's cache, where what is asked for does not go that way. */
#include "storage/file.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BYTES ((usize)3 * FILE_PAGE_BYTES + 100)

static void fill(char *to) {
    for (usize i = 0; i < BYTES; i++) {
        to[i] = (char)(i * 7 + i / 251);
    }
}

/* File systems differ in what they take past the cache; all of it has to arrive. */
Test(file, odd_places_and_lengths_go_through_the_cache) {
    static _Alignas(FILE_PAGE_BYTES) char data[BYTES];
    static _Alignas(FILE_PAGE_BYTES) char back[BYTES + 1];
    char path[] = "/tmp/margin-file-XXXXXX";
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    close(fd);
    fill(data);
    fd = file_create_bulk(path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(file_write(fd, data, FILE_PAGE_BYTES), ERR_OK);
    cr_assert_eq(file_write(fd, data + FILE_PAGE_BYTES, BYTES - FILE_PAGE_BYTES), ERR_OK);
    cr_assert_eq(close(fd), 0);
    fd = open(path, O_RDONLY | O_CLOEXEC | O_DIRECT);
    if (fd >= 0) {
        cr_assert_eq(file_read(fd, back, (usize)2 * FILE_PAGE_BYTES, FILE_PAGE_BYTES), ERR_OK);
        cr_assert_eq(memcmp(back, data + FILE_PAGE_BYTES, (usize)2 * FILE_PAGE_BYTES), 0);
        cr_assert_eq(file_read(fd, back + 1, BYTES - 3, 3), ERR_OK);
        cr_assert_eq(memcmp(back + 1, data + 3, BYTES - 3), 0);
        cr_assert_eq(file_read(fd, back, BYTES, 1), ERR_CORRUPT);
        close(fd);
    }
    unlink(path);
}
