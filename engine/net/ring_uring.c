/*
 * ring_uring.c: the completion interface on io_uring, and its only user. Connections receive by
 * multishot requests into a ring of provided buffers, so that an idle connection pins no buffer and
 * a request costs no submission; sends go out with the one system call that also waits.
 *
 * The buffer ring's memory is mapped here: the helpers for it are missing from liburing 2.3.
 * Buffers are small because requests are; big bodies are received straight into the session's
 * memory (receive_into). A buffer goes back as soon as the handler has seen it, whoever it was
 * meant for.
 *
 * For a big body the ring only tells that something has come; an ordinary call then receives it,
 * and its handler runs before the next one is touched. Receives that the ring does by itself are
 * all done when it is entered: ten bodies are copied before the first is decoded, and by then it
 * has left the processor's cache.
 *
 * A ring does what no seccomp filter sees, so each is told at its making what it may ever do:
 * accept, receive, send, read (of the wake-up), poll, cancel. Whoever takes the process over cannot
 * make it open files or connect; the way there is closed by the kernel, for the life of the ring.
 */
#include "net/ring.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SUBMISSIONS 512
#define COMPLETIONS 8192 /* so that it rarely overflows, which would lose nothing but time */
#define BUFFERS 1024
#define BUFFER_BYTES (8 * KIB)
#define BUFFER_STRIDE (BUFFER_BYTES + 192) /* so that their beginnings do not share cache sets */
#define SEND_BYTES_MAX MIB /* so that progress of a slow peer is seen: see stalled_at() */
#define BUFFER_GROUP 0
#define OP_CANCEL 15 /* completions of cancellations themselves; nobody wants them */

/* A slot's receive_into(). */
struct large {
    char *into; /* NULL: none is under way */
    usize bytes;
    u32 generation;
    int fd;
    bool cancelled;
};

_Static_assert((BUFFERS & (BUFFERS - 1)) == 0 && BUFFERS <= 32768, "the kernel's rule");

struct uring {
    struct ring ring;
    struct io_uring io;
    struct io_uring_buf_ring *buffer_ring;
    char *buffers;
    u32 buffers_back; /* given back, not yet shown to the kernel */
    int wake_fd;
    u64 wake_count;
    u32 slots;
    struct large *large; /* by slot */
    u32 *ready;          /* slots whose large receive can go on: a ring of `slots` */
    u32 ready_first;
    u32 ready_count;
};

static const struct ring_ops uring_ops;

static u64 name_of(u32 op, u32 slot, u32 generation) {
    return (u64)op << 60 | (u64)(generation & 0xfffffff) << 32 | slot;
}

static struct io_uring_sqe *next_entry(struct uring *uring) {
    struct io_uring_sqe *entry = io_uring_get_sqe(&uring->io);
    for (u32 tries = 0; entry == NULL && tries < 1000; tries++) {
        io_uring_submit_and_get_events(&uring->io);
        entry = io_uring_get_sqe(&uring->io);
    }
    check(entry != NULL);
    return entry;
}

static void arm_wake(struct uring *uring) {
    struct io_uring_sqe *entry = next_entry(uring);
    io_uring_prep_read(entry, uring->wake_fd, &uring->wake_count, sizeof uring->wake_count, 0);
    io_uring_sqe_set_data64(entry, name_of(RING_WAKE, 0, 0));
}

static void give_buffer(struct uring *uring, u32 buffer) {
    io_uring_buf_ring_add(uring->buffer_ring, uring->buffers + buffer * BUFFER_STRIDE,
                          (unsigned)BUFFER_BYTES, (unsigned short)buffer,
                          io_uring_buf_ring_mask(BUFFERS), (int)uring->buffers_back);
    uring->buffers_back++;
}

static void show_buffers(struct uring *uring) {
    if (uring->buffers_back > 0) {
        io_uring_buf_ring_advance(uring->buffer_ring, (int)uring->buffers_back);
        uring->buffers_back = 0;
    }
}

/* --- creation -------------------------------------------------------------------------------- */

static int disabled_setting(void) {
    char text[8] = {0};
    int fd = open("/proc/sys/kernel/io_uring_disabled", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    ssize_t bytes = read(fd, text, sizeof text - 1);
    close(fd);
    return bytes > 0 && text[0] >= '0' && text[0] <= '9' ? text[0] - '0' : 0;
}

static void explain(int error, char *why, usize why_bytes) {
    int disabled = disabled_setting();
    switch (error) {
    case EPERM:
    case EACCES:
        if (disabled != 0) {
            snprintf(
                why, why_bytes,
                "io_uring is switched off (EPERM, kernel.io_uring_disabled=%d); allow it with: "
                "sysctl -w kernel.io_uring_disabled=0",
                disabled);
        } else {
            snprintf(why, why_bytes,
                     "io_uring is forbidden (EPERM), most likely by the container's seccomp "
                     "profile; allow io_uring_setup, io_uring_enter and io_uring_register in it "
                     "(docker: --security-opt seccomp=PROFILE)");
        }
        break;
    case ENOSYS:
        snprintf(why, why_bytes,
                 "this kernel has no io_uring (ENOSYS); use Linux 6.1 or later, built with it");
        break;
    case EINVAL:
        snprintf(why, why_bytes,
                 "this kernel's io_uring is too old (EINVAL); use Linux 6.1 or later");
        break;
    case ENOMEM:
        snprintf(why, why_bytes,
                 "no locked memory for io_uring (ENOMEM, RLIMIT_MEMLOCK); raise it with ulimit -l "
                 "or LimitMEMLOCK=");
        break;
    default:
        snprintf(why, why_bytes, "io_uring cannot be used: %s", strerror(error));
    }
}

static usize buffer_ring_bytes(void) {
    return BUFFERS * sizeof(struct io_uring_buf);
}

static void release(struct uring *uring) {
    if (uring->buffer_ring != NULL) {
        munmap(uring->buffer_ring, buffer_ring_bytes());
    }
    if (uring->buffers != NULL) {
        munmap(uring->buffers, BUFFERS * BUFFER_STRIDE);
    }
    free(uring->large);
    free(uring->ready);
    free(uring);
}

static char *map_pages(usize bytes) {
    void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return pages == MAP_FAILED ? NULL : pages;
}

static int register_buffers(struct uring *uring) {
    struct io_uring_buf_reg reg = {
        .ring_addr = (u64)(uintptr_t)uring->buffer_ring,
        .ring_entries = BUFFERS,
        .bgid = BUFFER_GROUP,
    };
    int result = io_uring_register_buf_ring(&uring->io, &reg, 0);
    if (result < 0) {
        return -result;
    }
    io_uring_buf_ring_init(uring->buffer_ring);
    for (u32 buffer = 0; buffer < BUFFERS; buffer++) {
        give_buffer(uring, buffer);
    }
    show_buffers(uring);
    return 0;
}

/* The shared library of liburing 2.3 lacks the functions for this. */
static int register_with(const struct uring *uring, unsigned what, const void *of, unsigned count) {
    long result = syscall(SYS_io_uring_register, uring->io.ring_fd, what, of, count);
    return result < 0 ? errno : 0;
}

/* A ring is made disabled and enabled with this; from then on nothing can be registered, either. */
static int restrict_and_enable(struct uring *uring) {
    static const u8 allowed[] = {IORING_OP_ACCEPT, IORING_OP_RECV,         IORING_OP_SEND,
                                 IORING_OP_READ,   IORING_OP_ASYNC_CANCEL, IORING_OP_POLL_ADD};
    struct io_uring_restriction restriction[ARRAY_COUNT(allowed) + 1] = {
        {.opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED, .sqe_flags = IOSQE_BUFFER_SELECT}};
    for (u32 i = 0; i < ARRAY_COUNT(allowed); i++) {
        restriction[i + 1].opcode = IORING_RESTRICTION_SQE_OP;
        restriction[i + 1].sqe_op = allowed[i];
    }
    int error =
        register_with(uring, IORING_REGISTER_RESTRICTIONS, restriction, ARRAY_COUNT(restriction));
    return error != 0 ? error : register_with(uring, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}

enum err ring_uring_create(u32 slots, int wake_fd, struct ring **out, char *why, usize why_bytes) {
    struct uring *uring = calloc(1, sizeof *uring);
    if (uring == NULL) {
        snprintf(why, why_bytes, "no memory for the ring");
        return ERR_NO_MEMORY;
    }
    uring->ring.ops = &uring_ops;
    uring->wake_fd = wake_fd;
    uring->slots = slots;
    uring->large = calloc(slots, sizeof *uring->large);
    uring->ready = calloc(slots, sizeof *uring->ready);
    uring->buffer_ring = (struct io_uring_buf_ring *)(void *)map_pages(buffer_ring_bytes());
    uring->buffers = map_pages(BUFFERS * BUFFER_STRIDE);
    if (uring->buffer_ring == NULL || uring->buffers == NULL || uring->large == NULL ||
        uring->ready == NULL) {
        release(uring);
        snprintf(why, why_bytes, "no memory for receive buffers");
        return ERR_NO_MEMORY;
    }
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                 IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE |
                 IORING_SETUP_R_DISABLED,
        .cq_entries = COMPLETIONS,
    };
    int error = -io_uring_queue_init_params(SUBMISSIONS, &uring->io, &params);
    if (error > 0) {
        explain(error, why, why_bytes);
        release(uring);
        return ERR_SYSTEM;
    }
    error = register_buffers(uring);
    if (error == 0) {
        error = restrict_and_enable(uring);
    }
    if (error > 0) {
        explain(error, why, why_bytes);
        io_uring_queue_exit(&uring->io);
        release(uring);
        return ERR_SYSTEM;
    }
    arm_wake(uring);
    *out = &uring->ring;
    return ERR_OK;
}

static void uring_destroy(struct ring *ring) {
    struct uring *uring = (struct uring *)ring;
    io_uring_queue_exit(&uring->io);
    release(uring);
}

/* --- requests -------------------------------------------------------------------------------- */

static void uring_accept(struct ring *ring, int fd, u32 slot) {
    struct io_uring_sqe *entry = next_entry((struct uring *)ring);
    io_uring_prep_multishot_accept(entry, fd, NULL, NULL, SOCK_CLOEXEC);
    io_uring_sqe_set_data64(entry, name_of(RING_ACCEPT, slot, 0));
}

static void uring_receive(struct ring *ring, int fd, u32 slot, u32 generation, bool for_ever) {
    struct io_uring_sqe *entry = next_entry((struct uring *)ring);
    if (for_ever) {
        io_uring_prep_recv_multishot(entry, fd, NULL, 0, 0);
    } else {
        io_uring_prep_recv(entry, fd, NULL, BUFFER_BYTES, 0);
    }
    entry->flags |= IOSQE_BUFFER_SELECT;
    entry->buf_group = BUFFER_GROUP;
    io_uring_sqe_set_data64(entry, name_of(RING_RECEIVE, slot, generation));
}

static void arm_large(struct uring *uring, u32 slot) {
    const struct large *large = &uring->large[slot];
    struct io_uring_sqe *entry = next_entry(uring);
    io_uring_prep_poll_add(entry, large->fd, POLLIN);
    io_uring_sqe_set_data64(entry, name_of(RING_RECEIVE, slot, large->generation));
}

static void uring_receive_into(struct ring *ring, int fd, u32 slot, u32 generation, char *into,
                               usize bytes) {
    struct uring *uring = (struct uring *)ring;
    check(slot < uring->slots && uring->large[slot].into == NULL);
    uring->large[slot] =
        (struct large){.into = into, .bytes = bytes, .generation = generation, .fd = fd};
    arm_large(uring, slot);
}

static void uring_cancel_receive(struct ring *ring, u32 slot, u32 generation) {
    struct uring *uring = (struct uring *)ring;
    struct io_uring_sqe *entry = next_entry(uring);
    io_uring_prep_cancel64(entry, name_of(RING_RECEIVE, slot, generation), 0);
    uring->large[slot].cancelled = true; /* perhaps the ring knows no more of it */
    io_uring_sqe_set_data64(entry, name_of(OP_CANCEL, slot, generation));
}

static void uring_send(struct ring *ring, int fd, u32 slot, u32 generation, const char *data,
                       usize bytes) {
    struct io_uring_sqe *entry = next_entry((struct uring *)ring);
    usize once = MIN(bytes, (usize)SEND_BYTES_MAX);
    io_uring_prep_send(entry, fd, data, once, MSG_WAITALL | MSG_NOSIGNAL);
    io_uring_sqe_set_data64(entry, name_of(RING_SEND, slot, generation));
}

static void uring_forget(struct ring *ring, int fd, u32 slot) {
    (void)ring;
    (void)fd;
    (void)slot;
}

/* --- completions ----------------------------------------------------------------------------- */

/* True: it says that a large receive can go on, which waits until all else is done. */
static bool is_readiness(struct uring *uring, const struct io_uring_cqe *entry) {
    u32 slot = (u32)entry->user_data;
    if (entry->user_data >> 60 != RING_RECEIVE || uring->large[slot].into == NULL) {
        return false;
    }
    if (entry->res < 0) {
        uring->large[slot].into = NULL;
        return false;
    }
    uring->ready[(uring->ready_first + uring->ready_count++) % uring->slots] = slot;
    return true;
}

static void complete(struct uring *uring, const struct io_uring_cqe *entry, ring_handler handler,
                     void *context) {
    u64 name = entry->user_data;
    u32 op = (u32)(name >> 60);
    if (op == OP_CANCEL || is_readiness(uring, entry)) {
        return;
    }
    struct ring_event event = {
        .op = (enum ring_op)op,
        .slot = (u32)name,
        .generation = (u32)(name >> 32) & 0xfffffff,
        .result = entry->res,
        .more = (entry->flags & IORING_CQE_F_MORE) != 0,
    };
    if (op == RING_WAKE) {
        arm_wake(uring);
    }
    bool has_buffer = (entry->flags & IORING_CQE_F_BUFFER) != 0;
    u32 buffer = entry->flags >> IORING_CQE_BUFFER_SHIFT;
    if (has_buffer) {
        event.data = uring->buffers + buffer * BUFFER_STRIDE;
    }
    handler(context, &event);
    if (has_buffer) {
        give_buffer(uring, buffer);
    }
}

static void take_completions(struct uring *uring, ring_handler handler, void *context) {
    u32 count = 0;
    unsigned head;
    struct io_uring_cqe *entry;
    io_uring_for_each_cqe(&uring->io, head, entry) {
        complete(uring, entry, handler, context);
        count++;
    }
    io_uring_cq_advance(&uring->io, count);
}

static void receive_large(struct uring *uring, u32 slot, ring_handler handler, void *context) {
    struct large *large = &uring->large[slot];
    ssize_t bytes = recv(large->fd, large->into, large->bytes, MSG_DONTWAIT);
    bool nothing = bytes < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
    if (nothing && !large->cancelled) {
        arm_large(uring, slot);
        return;
    }
    large->into = NULL;
    struct ring_event event = {
        .op = RING_RECEIVE,
        .slot = slot,
        .generation = large->generation & 0xfffffff,
        .result = nothing     ? -ECANCELED
                  : bytes < 0 ? -errno
                              : (i32)bytes,
    };
    handler(context, &event);
}

static void uring_take_large(struct ring *ring, ring_handler handler, void *context) {
    struct uring *uring = (struct uring *)ring;
    if (uring->ready_count > 0 && io_uring_sq_ready(&uring->io) > 0) {
        io_uring_submit(&uring->io);
    }
    u64 end_ns = uring->ready_count > 0 ? clock_monotonic_ns() + RING_LARGE_NS : 0;
    for (bool more = true; uring->ready_count > 0 && more; more = clock_monotonic_ns() < end_ns) {
        u32 slot = uring->ready[uring->ready_first];
        uring->ready_first = (uring->ready_first + 1) % uring->slots;
        uring->ready_count--;
        receive_large(uring, slot, handler, context);
    }
}

static void uring_turn(struct ring *ring, u64 timeout_ns, ring_handler handler, void *context) {
    struct uring *uring = (struct uring *)ring;
    u64 bounded = uring->ready_count > 0 ? 0 : MIN(timeout_ns, (u64)3600 * 1000000000u);
    struct __kernel_timespec timeout = {
        .tv_sec = (i64)(bounded / 1000000000u),
        .tv_nsec = (i64)(bounded % 1000000000u),
    };
    struct io_uring_cqe *first;
    /* The result is not needed: a time-out, a signal and a full completion queue all mean that we
     * look at what has completed and come again; entries that were not taken stay queued. A wait
     * of no time would have the kernel set a timer, which costs more than the rest. */
    if (bounded == 0) {
        io_uring_submit_and_get_events(&uring->io);
    } else {
        io_uring_submit_and_wait_timeout(&uring->io, &first, 1, &timeout, NULL);
    }
    take_completions(uring, handler, context);
    show_buffers(uring);
}

static const struct ring_ops uring_ops = {
    .destroy = uring_destroy,
    .accept = uring_accept,
    .receive = uring_receive,
    .receive_into = uring_receive_into,
    .cancel_receive = uring_cancel_receive,
    .send = uring_send,
    .forget = uring_forget,
    .turn = uring_turn,
    .take_large = uring_take_large,
};
