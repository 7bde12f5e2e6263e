/*
 * ring_epoll.c: the completion interface on epoll and ordinary system calls, for systems where
 * io_uring is not allowed. Readiness is level-triggered; interest is dropped lazily, when an event
 * comes that nobody asked for, so that a receive that is armed again at once costs no system call.
 *
 * Sends are tried at once; what completes outside of an epoll event (sends, cancellations) waits in
 * a queue for the next turn, so that the handler never runs inside a request.
 */
#include "net/ring.h"

#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_A_TURN 512
#define ACCEPTS_A_TURN 64
#define SCRATCH_BYTES (64 * KIB)
#define LISTENERS_MAX 16

struct epoll_slot {
    int fd;
    u32 generation;
    u32 interest; /* EPOLLIN, EPOLLOUT; 0: not in the set */
    bool receiving;
    bool for_ever;
    char *into; /* NULL: the scratch buffer */
    usize into_bytes;
    const char *send_data; /* NULL: nothing to send */
    usize send_bytes;
    usize sent_bytes;
};

struct epoll {
    struct ring ring;
    int fd;
    int wake_fd;
    u32 slots;
    struct epoll_slot *slot;
    int listener[LISTENERS_MAX];
    struct ring_event *done; /* completions for the next turn: at most two of each slot */
    u32 done_count;
    struct epoll_event large[EVENTS_A_TURN]; /* of this turn */
    int large_count;
    char scratch[SCRATCH_BYTES];
};

static const struct ring_ops epoll_ops;

static u64 name_of(u32 op, u32 slot, u32 generation) {
    return (u64)op << 60 | (u64)(generation & 0xfffffff) << 32 | slot;
}

enum err ring_epoll_create(u32 slots, int wake_fd, struct ring **out, char *why, usize why_bytes) {
    struct epoll *epoll = calloc(1, sizeof *epoll);
    if (epoll != NULL) {
        epoll->slot = calloc(slots, sizeof *epoll->slot);
        epoll->done = calloc((usize)slots * 3, sizeof *epoll->done);
        epoll->fd = epoll_create1(EPOLL_CLOEXEC);
    }
    if (epoll == NULL || epoll->slot == NULL || epoll->done == NULL || epoll->fd < 0) {
        snprintf(why, why_bytes, "no memory or descriptor for epoll");
        if (epoll != NULL) {
            if (epoll->fd >= 0) {
                close(epoll->fd);
            }
            free(epoll->slot);
            free(epoll->done);
            free(epoll);
        }
        return ERR_NO_MEMORY;
    }
    epoll->ring.ops = &epoll_ops;
    epoll->wake_fd = wake_fd;
    epoll->slots = slots;
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = name_of(RING_WAKE, 0, 0)};
    check(epoll_ctl(epoll->fd, EPOLL_CTL_ADD, wake_fd, &event) == 0);
    *out = &epoll->ring;
    return ERR_OK;
}

static void epoll_destroy(struct ring *ring) {
    struct epoll *epoll = (struct epoll *)ring;
    close(epoll->fd);
    free(epoll->slot);
    free(epoll->done);
    free(epoll);
}

static void set_interest(struct epoll *epoll, u32 index, u32 interest) {
    struct epoll_slot *slot = &epoll->slot[index];
    if (slot->interest == interest) {
        return;
    }
    struct epoll_event event = {
        .events = interest,
        .data.u64 = name_of(RING_RECEIVE, index, slot->generation),
    };
    int how = interest == 0 ? EPOLL_CTL_DEL : slot->interest == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    /* Adding may fail for lack of memory; then the connection's deadline ends it. */
    if (epoll_ctl(epoll->fd, how, slot->fd, &event) == 0 || interest == 0) {
        slot->interest = interest;
    }
}

static void complete_later(struct epoll *epoll, enum ring_op op, u32 index, i32 result) {
    check(epoll->done_count < epoll->slots * 3);
    epoll->done[epoll->done_count++] = (struct ring_event){
        .op = op, .slot = index, .generation = epoll->slot[index].generation, .result = result};
}

/* --- requests -------------------------------------------------------------------------------- */

static void epoll_accept(struct ring *ring, int fd, u32 index) {
    struct epoll *epoll = (struct epoll *)ring;
    check(index < LISTENERS_MAX);
    epoll->listener[index] = fd;
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = name_of(RING_ACCEPT, index, 0)};
    epoll_ctl(epoll->fd, EPOLL_CTL_ADD, fd, &event);
}

static struct epoll_slot *start(struct epoll *epoll, int fd, u32 index, u32 generation) {
    check(index < epoll->slots);
    struct epoll_slot *slot = &epoll->slot[index];
    slot->fd = fd;
    slot->generation = generation;
    return slot;
}

static void epoll_receive(struct ring *ring, int fd, u32 index, u32 generation, bool for_ever) {
    struct epoll *epoll = (struct epoll *)ring;
    struct epoll_slot *slot = start(epoll, fd, index, generation);
    check(!slot->receiving);
    slot->receiving = true;
    slot->for_ever = for_ever;
    slot->into = NULL;
    set_interest(epoll, index, slot->interest | EPOLLIN);
}

static void epoll_receive_into(struct ring *ring, int fd, u32 index, u32 generation, char *into,
                               usize bytes) {
    epoll_receive(ring, fd, index, generation, false);
    struct epoll_slot *slot = &((struct epoll *)ring)->slot[index];
    slot->into = into;
    slot->into_bytes = bytes;
}

static void epoll_cancel_receive(struct ring *ring, u32 index, u32 generation) {
    struct epoll *epoll = (struct epoll *)ring;
    struct epoll_slot *slot = &epoll->slot[index];
    if (slot->receiving && slot->generation == generation) {
        slot->receiving = false;
        complete_later(epoll, RING_RECEIVE, index, -ECANCELED);
    }
}

/* Sends what the socket takes; true when the request is complete, its result in `result`. */
static bool push(struct epoll_slot *slot, i32 *result) {
    while (slot->sent_bytes < slot->send_bytes) {
        ssize_t bytes = send(slot->fd, slot->send_data + slot->sent_bytes,
                             slot->send_bytes - slot->sent_bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (bytes < 0 && errno == EINTR) {
            continue;
        }
        if (bytes < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            return false;
        }
        if (bytes < 0) {
            *result = -errno;
            return true;
        }
        slot->sent_bytes += (usize)bytes;
    }
    *result = (i32)slot->sent_bytes;
    return true;
}

static void epoll_send(struct ring *ring, int fd, u32 index, u32 generation, const char *data,
                       usize bytes) {
    struct epoll *epoll = (struct epoll *)ring;
    struct epoll_slot *slot = start(epoll, fd, index, generation);
    check(slot->send_data == NULL);
    slot->send_data = data;
    slot->send_bytes = MIN(bytes, (usize)INT32_MAX);
    slot->sent_bytes = 0;
    i32 result;
    if (push(slot, &result)) {
        slot->send_data = NULL;
        complete_later(epoll, RING_SEND, index, result);
    } else {
        set_interest(epoll, index, slot->interest | EPOLLOUT);
    }
}

static void epoll_forget(struct ring *ring, int fd, u32 index) {
    struct epoll *epoll = (struct epoll *)ring;
    (void)fd;
    set_interest(epoll, index, 0);
    epoll->slot[index] = (struct epoll_slot){.fd = -1};
}

/* --- completions ----------------------------------------------------------------------------- */

static void accept_ready(struct epoll *epoll, u32 index, ring_handler handler, void *context) {
    struct ring_event event = {.op = RING_ACCEPT, .slot = index, .more = true};
    for (u32 count = 0; count < ACCEPTS_A_TURN && event.more; count++) {
        int fd = accept4(epoll->listener[index], NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            return;
        }
        event.result = fd < 0 ? -errno : fd;
        if (fd < 0) {
            event.more = false;
            epoll_ctl(epoll->fd, EPOLL_CTL_DEL, epoll->listener[index], NULL);
        }
        handler(context, &event);
    }
}

static void receive_ready(struct epoll *epoll, u32 index, ring_handler handler, void *context) {
    struct epoll_slot *slot = &epoll->slot[index];
    bool direct = slot->into != NULL;
    ssize_t bytes = recv(slot->fd, direct ? slot->into : epoll->scratch,
                         direct ? slot->into_bytes : SCRATCH_BYTES, MSG_DONTWAIT);
    if (bytes < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
        return;
    }
    struct ring_event event = {
        .op = RING_RECEIVE,
        .slot = index,
        .generation = slot->generation,
        .result = bytes < 0 ? -errno : (i32)bytes,
        .more = bytes > 0 && slot->for_ever,
        .data = direct ? NULL : epoll->scratch,
    };
    slot->receiving = event.more;
    handler(context, &event);
}

static void slot_ready(struct epoll *epoll, const struct epoll_event *ready, ring_handler handler,
                       void *context) {
    u32 index = (u32)ready->data.u64;
    u32 generation = (u32)(ready->data.u64 >> 32) & 0xfffffff;
    struct epoll_slot *slot = &epoll->slot[index];
    if (slot->interest == 0 || (slot->generation & 0xfffffff) != generation) {
        return; /* forgotten earlier in this turn */
    }
    bool broken = (ready->events & (EPOLLERR | EPOLLHUP)) != 0;
    i32 result;
    if (slot->send_data != NULL && (broken || (ready->events & EPOLLOUT) != 0) &&
        push(slot, &result)) {
        slot->send_data = NULL;
        complete_later(epoll, RING_SEND, index, result);
    }
    u32 unwanted = slot->send_data == NULL ? slot->interest & EPOLLOUT : 0;
    if (broken || (ready->events & EPOLLIN) != 0) {
        if (slot->receiving) {
            receive_ready(epoll, index, handler, context);
        } else {
            unwanted |= EPOLLIN;
        }
    }
    if (unwanted != 0) {
        /* Hang-ups are told whatever one asks for, so without interest the slot leaves the set. */
        set_interest(epoll, index, slot->interest & ~unwanted);
    }
}

static bool is_large(const struct epoll *epoll, const struct epoll_event *ready) {
    const struct epoll_slot *slot = &epoll->slot[(u32)ready->data.u64];
    return slot->receiving && slot->into != NULL;
}

static void epoll_turn(struct ring *ring, u64 timeout_ns, ring_handler handler, void *context) {
    struct epoll *epoll = (struct epoll *)ring;
    struct epoll_event ready[EVENTS_A_TURN];
    u64 timeout_ms = MIN((timeout_ns + 999999) / 1000000, (u64)3600000);
    if (timeout_ns == UINT64_MAX) {
        timeout_ms = 3600000;
    }
    u32 done_count = epoll->done_count;
    int count = epoll_wait(epoll->fd, ready, EVENTS_A_TURN, done_count > 0 ? 0 : (int)timeout_ms);
    for (u32 at = 0; at < done_count; at++) {
        struct ring_event event = epoll->done[at];
        handler(context, &event);
    }
    epoll->done_count -= done_count;
    memmove(epoll->done, epoll->done + done_count, epoll->done_count * sizeof *epoll->done);
    epoll->large_count = 0;
    for (int at = 0; at < count; at++) {
        u32 op = (u32)(ready[at].data.u64 >> 60);
        if (op == RING_ACCEPT) {
            accept_ready(epoll, (u32)ready[at].data.u64, handler, context);
        } else if (op == RING_WAKE) {
            u64 wakes;
            ssize_t ignored = read(epoll->wake_fd, &wakes, sizeof wakes);
            (void)ignored;
            handler(context, &(struct ring_event){.op = RING_WAKE, .more = true});
        } else if (is_large(epoll, &ready[at])) {
            epoll->large[epoll->large_count++] = ready[at];
        } else {
            slot_ready(epoll, &ready[at], handler, context);
        }
    }
}

static void epoll_take_large(struct ring *ring, ring_handler handler, void *context) {
    struct epoll *epoll = (struct epoll *)ring;
    u64 end_ns = epoll->large_count > 0 ? clock_monotonic_ns() + RING_LARGE_NS : 0;
    for (int at = 0; at < epoll->large_count && (at == 0 || clock_monotonic_ns() < end_ns); at++) {
        slot_ready(epoll, &epoll->large[at], handler, context); /* the others: next turn */
    }
}

static const struct ring_ops epoll_ops = {
    .destroy = epoll_destroy,
    .accept = epoll_accept,
    .receive = epoll_receive,
    .receive_into = epoll_receive_into,
    .cancel_receive = epoll_cancel_receive,
    .send = epoll_send,
    .forget = epoll_forget,
    .turn = epoll_turn,
    .take_large = epoll_take_large,
};
