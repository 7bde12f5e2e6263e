/*
 * sandbox.c: the filter, by libseccomp, and its only user. What is not allowed raises a signal
 * whose handler makes the call fail and notes it: a filter by itself would refuse in silence.
 */
#include "process/sandbox.h"

#include <asm/ioctls.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <ucontext.h>
#include <unistd.h>

/* Names, so that one list serves every processor; one that has no such call skips it. */
static const char *const allowed[] = {
    /* Bytes of files and connections that are open. */
    "read write readv writev pread64 pwrite64 preadv pwritev close lseek accept4 recvfrom sendto "
    "shutdown getpeername getsockname getsockopt setsockopt epoll_ctl epoll_wait epoll_pwait poll "
    "ppoll io_uring_enter",
    /* Files. Which ones, paths.c says: a filter sees no paths. */
    "open openat access faccessat faccessat2 stat lstat fstat newfstatat statx statfs fstatfs "
    "getdents64 mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2 ftruncate fallocate "
    "fadvise64 readahead sync_file_range copy_file_range fsync fdatasync msync flock fcntl dup",
    /* Memory; mapping has a rule below. */
    "brk munmap mremap madvise",
    /* Threads, time, itself. */
    "futex set_robust_list rseq membarrier sched_yield sched_getaffinity setpriority getpriority "
    "clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday getcpu getpid getppid "
    "gettid getuid geteuid getgid getegid getrandom getrusage sysinfo uname rt_sigaction "
    "rt_sigprocmask rt_sigreturn sigaltstack restart_syscall exit exit_group",
};

/* --- refusals --------------------------------------------------------------------------------- */

static _Atomic u64 refused_count;
static _Atomic u32 refused_last;
static u32 call_count;

u64 sandbox_refused(u32 *last) {
    *last = atomic_load(&refused_last);
    return atomic_load(&refused_count);
}

u32 sandbox_calls(void) {
    return call_count;
}

#if defined(__x86_64__)
#define RESULT_OF(context) ((context)->uc_mcontext.gregs[REG_RAX])
#elif defined(__aarch64__)
#define RESULT_OF(context) ((context)->uc_mcontext.regs[0])
#endif

#ifdef RESULT_OF
static void on_refused(int signal_number, siginfo_t *info, void *context) {
    (void)signal_number;
    atomic_store(&refused_last, (u32)info->si_syscall);
    atomic_fetch_add(&refused_count, 1);
    RESULT_OF((ucontext_t *)context) = -EPERM;
}

static u32 action_of(bool kill) {
    struct sigaction action = {.sa_sigaction = on_refused, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigemptyset(&action.sa_mask);
    check(sigaction(SIGSYS, &action, NULL) == 0);
    return kill ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_TRAP;
}
#else
static u32 action_of(bool kill) {
    return kill ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_ERRNO(EPERM);
}
#endif

/* --- the filter ------------------------------------------------------------------------------- */

/* The first error stays. */
static void allow(scmp_filter_ctx filter, int *error, int call, u32 count,
                  const struct scmp_arg_cmp *of) {
    if (*error == 0) {
        *error = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call, count, of);
    }
}

static void allow_if(scmp_filter_ctx filter, int *error, int call, struct scmp_arg_cmp of) {
    allow(filter, error, call, 1, &of);
}

/* Calls that depend on what they are given. */
static void allow_some(scmp_filter_ctx filter, int *error) {
    u64 self = (u64)getpid();
    /* Memory is data or code, never made code afterwards. */
    allow_if(filter, error, SCMP_SYS(mmap), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    allow_if(filter, error, SCMP_SYS(mprotect), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    /* Threads, but no processes. What clone3 is asked for lies in memory, where a filter does not
     * see it; the C library then does as on kernels that have none. */
    allow_if(filter, error, SCMP_SYS(clone),
             SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD | CLONE_VM | CLONE_NEWUSER,
                     CLONE_THREAD | CLONE_VM));
    if (*error == 0) {
        *error = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    }
    /* How long a thread's own turns are. */
    allow_if(filter, error, SCMP_SYS(sched_setattr), SCMP_A0(SCMP_CMP_EQ, 0, 0));
    /* Signals to itself: abort() and raise(). */
    allow_if(filter, error, SCMP_SYS(tgkill), SCMP_A0(SCMP_CMP_EQ, self, 0));
    allow_if(filter, error, SCMP_SYS(kill), SCMP_A0(SCMP_CMP_EQ, self, 0));
    /* Limits are read, not set. */
    allow_if(filter, error, SCMP_SYS(prlimit64), SCMP_A2(SCMP_CMP_EQ, 0, 0));
    allow_if(filter, error, SCMP_SYS(prctl), SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME, 0));
    allow_if(filter, error, SCMP_SYS(ioctl), SCMP_A1(SCMP_CMP_EQ, SIOCOUTQ, 0));
    allow_if(filter, error, SCMP_SYS(ioctl), SCMP_A1(SCMP_CMP_EQ, FIONREAD, 0));
    allow_if(filter, error, SCMP_SYS(ioctl), SCMP_A1(SCMP_CMP_EQ, TCGETS, 0));
}

/* Allows the calls of one line; returns how many this processor has. */
static u32 allow_line(scmp_filter_ctx filter, int *error, const char *line) {
    u32 count = 0;
    while (*line != '\0') {
        char name[32] = "";
        usize bytes = strcspn(line, " ");
        check(bytes > 0 && bytes < sizeof name);
        memcpy(name, line, bytes);
        int call = seccomp_syscall_resolve_name(name);
        if (call >= 0) {
            allow(filter, error, call, 0, NULL);
            count++;
        }
        line += bytes + (line[bytes] == ' ');
    }
    return count;
}

static int fill(scmp_filter_ctx filter) {
    int error = 0;
    u32 count = 0;
    for (u32 i = 0; i < ARRAY_COUNT(allowed); i++) {
        count += allow_line(filter, &error, allowed[i]);
    }
    allow_some(filter, &error);
    call_count = count;
    return error;
}

/* Sanitizers start threads, map and trace at moments of their own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#elif defined(__has_feature)
#define SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define SANITIZED false
#endif

bool sandbox_enter(bool kill, char *why, usize why_bytes) {
    if (SANITIZED) {
        snprintf(why, why_bytes, "this build has a sanitizer");
        return false;
    }
    scmp_filter_ctx filter = seccomp_init(action_of(kill));
    if (filter == NULL) {
        snprintf(why, why_bytes, "the filter cannot be made");
        return false;
    }
    int error = fill(filter);
    if (error == 0) {
        error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1); /* all threads, or none */
    }
    if (error == 0) {
        error = seccomp_load(filter);
    }
    seccomp_release(filter);
    if (error != 0) {
        snprintf(why, why_bytes, "the kernel takes no filter of system calls (%s)",
                 strerror(-error));
    }
    return error == 0;
}
