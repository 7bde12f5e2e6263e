/*
 * sandbox_test.c: from inside the sandbox, what somebody would try who has taken the process over:
 * each try is one that succeeds, or fails in another way, outside.
 */
#include "process/sandbox.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void *page;
static pid_t parent;

static long try_execve(void) {
    char *const argv[] = {(char *)"/bin/true", NULL};
    return execve("/bin/true", argv, argv + 1);
}
static long try_fork(void) {
    return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}
static long try_vfork(void) {
    return syscall(SYS_clone, CLONE_VM | CLONE_VFORK | SIGCHLD, 0, 0, 0, 0);
}
static long try_socket(void) {
    return socket(AF_INET, SOCK_STREAM, 0);
}
static long try_packet_socket(void) {
    return socket(AF_PACKET, SOCK_RAW, 0);
}
static long try_netlink_socket(void) {
    return socket(AF_NETLINK, SOCK_RAW, 0);
}
static long try_connect(void) {
    struct sockaddr address = {.sa_family = AF_INET};
    return connect(0, &address, sizeof address);
}
static long try_ptrace(void) {
    return ptrace(PTRACE_ATTACH, parent, NULL, NULL);
}
static long try_read_of_another(void) {
    return syscall(SYS_process_vm_readv, parent, NULL, 0, NULL, 0, 0);
}
static long try_kill_another(void) {
    return kill(parent, 0);
}
static long try_map_code(void) {
    void *code = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return code == MAP_FAILED ? -1 : 0;
}
static long try_make_code(void) {
    return mprotect(page, 4096, PROT_READ | PROT_EXEC);
}
static long try_new_ring(void) {
    struct io_uring_params params = {0};
    return syscall(SYS_io_uring_setup, 4, &params);
}
static long try_register(void) {
    return syscall(SYS_io_uring_register, 0, IORING_REGISTER_PROBE, NULL, 0);
}
static long try_namespace(void) {
    return unshare(CLONE_NEWUSER);
}
static long try_mount(void) {
    return syscall(SYS_mount, "none", "/tmp", "tmpfs", 0, NULL);
}
static long try_chmod(void) {
    return chmod("/tmp/nothing-of-that-name", 0777);
}
static long try_link(void) {
    return symlink("/etc/passwd", "/tmp/nothing/of-that-name");
}
static long try_setuid(void) {
    return syscall(SYS_setuid, getuid()); /* glibc would have every thread do it */
}
static long try_limit(void) {
    struct rlimit limit = {0, 0};
    return setrlimit(RLIMIT_CORE, &limit);
}
static long try_dumpable(void) {
    return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}
static long try_bpf(void) {
    return syscall(SYS_bpf, 0, NULL, 0);
}
static long try_keys(void) {
    return syscall(SYS_keyctl, 0, 0, 0, 0, 0);
}
static long try_typing(void) {
    return syscall(SYS_ioctl, 0, 0x5412 /* TIOCSTI */, "x");
}
static long try_userfault(void) {
    return syscall(SYS_userfaultfd, 0);
}

static const struct {
    const char *what;
    long (*try)(void);
} tries[] = {
    {"execve", try_execve},
    {"fork", try_fork},
    {"vfork", try_vfork},
    {"socket", try_socket},
    {"AF_PACKET", try_packet_socket},
    {"AF_NETLINK", try_netlink_socket},
    {"connect", try_connect},
    {"ptrace", try_ptrace},
    {"process_vm_readv", try_read_of_another},
    {"kill", try_kill_another},
    {"mmap of code", try_map_code},
    {"mprotect to code", try_make_code},
    {"io_uring_setup", try_new_ring},
    {"io_uring_register", try_register},
    {"unshare", try_namespace},
    {"mount", try_mount},
    {"chmod", try_chmod},
    {"symlink", try_link},
    {"setuid", try_setuid},
    {"setrlimit", try_limit},
    {"prctl", try_dumpable},
    {"bpf", try_bpf},
    {"keyctl", try_keys},
    {"TIOCSTI", try_typing},
    {"userfaultfd", try_userfault},
};

static int pipe_to_thread[2];

/* One that ran before the sandbox was entered. */
static void *early_thread(void *result) {
    char byte;
    check(read(pipe_to_thread[0], &byte, 1) == 1);
    *(bool *)result = try_socket() == -1 && errno == EPERM;
    return NULL;
}

static void *late_thread(void *result) {
    *(bool *)result = try_socket() == -1 && errno == EPERM;
    return NULL;
}

/* The test's own ways to report are calls that the sandbox refuses: a child tries, and says on
 * stderr what it found. */
static u32 wrong;

static void expect(bool good, const char *what) {
    if (!good) {
        wrong++;
        dprintf(STDERR_FILENO, "in the sandbox: %s (errno %d)\n", what, errno);
    }
}

static void expect_refusals(void) {
    u32 last;
    for (usize i = 0; i < ARRAY_COUNT(tries); i++) {
        u64 before = sandbox_refused(&last);
        errno = 0;
        expect(tries[i].try() == -1 && errno == EPERM, tries[i].what);
        expect(sandbox_refused(&last) == before + 1, "it is noted");
    }
    try_socket();
    sandbox_refused(&last);
    expect(last == SYS_socket, "the last one");
}

/* What the server does all the time. */
static void expect_work(void) {
    char name[] = "/tmp/sandbox-test.XXXXXX";
    int file = mkstemp(name);
    expect(file >= 0 && write(file, "hello", 5) == 5 && fdatasync(file) == 0 &&
               ftruncate(file, 4096) == 0,
           "a file");
    void *map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, file, 0);
    expect(map != MAP_FAILED && memcmp(map, "hello", 5) == 0, "a map");
    expect(close(file) == 0 && unlink(name) == 0, "its end");
    char *memory = calloc(1, 64 * MIB);
    expect(memory != NULL, "memory");
    free(memory);
}

#define NO_SANDBOX 250 /* exit code */

static u32 in_sandbox(void) {
    pthread_t early;
    pthread_t late;
    bool early_good = false;
    bool late_good = false;
    char why[256] = "";
    page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    parent = getppid();
    expect(pipe(pipe_to_thread) == 0, "a pipe");
    expect(pthread_create(&early, NULL, early_thread, &early_good) == 0, "a thread");
    expect(try_make_code() == 0 && try_map_code() == 0 && try_socket() >= 0, "outside");
    if (!sandbox_enter(false, why, sizeof why)) {
        dprintf(STDERR_FILENO, "no sandbox here: %s\n", why);
        return NO_SANDBOX;
    }
    expect(write(pipe_to_thread[1], "x", 1) == 1, "the pipe");
    pthread_join(early, NULL);
    expect(early_good, "a thread that was there before");
    expect(pthread_create(&late, NULL, late_thread, &late_good) == 0, "threads can be made");
    pthread_join(late, NULL);
    expect(late_good, "a thread that comes later");
    expect(sandbox_calls() > 60, "calls");
    expect_refusals();
    expect_work();
    return wrong;
}

static int status_of_child(u32 (*run)(void)) {
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        _exit((int)run());
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == NO_SANDBOX) {
        cr_skip("no sandbox here");
    }
    return status;
}

Test(sandbox, refuses_what_a_server_never_needs) {
    int status = status_of_child(in_sandbox);
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", (unsigned)status);
}

static u32 until_killed(void) {
    char why[256];
    if (!sandbox_enter(true, why, sizeof why)) {
        return NO_SANDBOX;
    }
    try_socket();
    return 0;
}

Test(sandbox, kills_where_it_is_told_to) {
    int status = status_of_child(until_killed);
    cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
}
