/*
 * ring_test.c: what an io_uring may not be made to do, not even by who has taken the process over
 * and writes to its memory at will: no filter of system calls sees what a ring does.
 */
#include "net/ring.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

struct uring_start { /* how a struct uring begins */
    struct ring ring;
    struct io_uring io;
};

static struct io_uring *io;

static i32 outcome_of(struct io_uring_sqe *entry) {
    struct io_uring_cqe *done;
    struct __kernel_timespec second = {.tv_sec = 1};
    io_uring_sqe_set_data64(entry, 7);
    io_uring_submit(io);
    while (io_uring_wait_cqe_timeout(io, &done, &second) == 0) {
        u64 name = io_uring_cqe_get_data64(done);
        i32 result = done->res;
        io_uring_cqe_seen(io, done);
        if (name == 7) {
            return result;
        }
    }
    return 1;
}

Test(ring, does_what_it_is_for_and_nothing_else) {
    static char memory[64];
    struct ring *ring;
    char why[256] = "";
    int pair[2];
    int wake = eventfd(0, EFD_CLOEXEC);
    if (ring_uring_create(1, wake, &ring, why, sizeof why) != ERR_OK) {
        cr_skip("%s", why);
    }
    io = &((struct uring_start *)(void *)ring)->io;
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    struct io_uring_sqe *entry = io_uring_get_sqe(io);
    io_uring_prep_send(entry, pair[0], "hello", 5, 0);
    cr_expect_eq(outcome_of(entry), 5, "what it is for");

    entry = io_uring_get_sqe(io);
    io_uring_prep_poll_add(entry, pair[1], POLLIN);
    cr_expect_eq(outcome_of(entry), POLLIN, "this, too");

    entry = io_uring_get_sqe(io);
    io_uring_prep_openat(entry, AT_FDCWD, "/etc/passwd", O_RDONLY, 0);
    cr_expect_eq(outcome_of(entry), -EACCES, "open");
    entry = io_uring_get_sqe(io);
    io_uring_prep_socket(entry, AF_INET, SOCK_STREAM, 0, 0);
    cr_expect_eq(outcome_of(entry), -EACCES, "socket");
    entry = io_uring_get_sqe(io);
    io_uring_prep_write(entry, pair[0], "x", 1, 0);
    cr_expect_eq(outcome_of(entry), -EACCES, "write");
    entry = io_uring_get_sqe(io);
    io_uring_prep_unlinkat(entry, AT_FDCWD, "/tmp/nothing", 0);
    cr_expect_eq(outcome_of(entry), -EACCES, "unlink");
    entry = io_uring_get_sqe(io);
    io_uring_prep_recv(entry, pair[1], memory, sizeof memory, 0);
    entry->flags |= IOSQE_ASYNC;
    cr_expect_eq(outcome_of(entry), -EACCES, "a worker thread of the kernel's");

    struct io_uring_probe probe = {0};
    cr_expect_eq(syscall(SYS_io_uring_register, io->ring_fd, IORING_REGISTER_PROBE, &probe, 0), -1);
    cr_expect_eq(errno, EACCES, "nothing can be registered");
    entry = io_uring_get_sqe(io);
    io_uring_prep_recv(entry, pair[1], memory, sizeof memory, 0);
    cr_expect_eq(outcome_of(entry), 5, "and it goes on");
    ring->ops->destroy(ring);
    close(pair[0]);
    close(pair[1]);
    close(wake);
}
