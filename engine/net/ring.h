/*
 * ring.h: the completion interface under the edge, and all that the edge sees of the kernel's ways
 * of doing many things at once. Two files implement it: ring_uring.c (io_uring) and ring_epoll.c
 * (ordinary system calls, where io_uring is not allowed). Requests are queued by the calls below
 * and go to the kernel with the next ring_turn(), so a turn costs about one system call on
 * io_uring.
 *
 * A request is named by (slot, generation), which its completions carry back. Memory of a request
 * (receive_into, send) belongs to the ring until its completion. Everything happens on the thread
 * that created the ring.
 */
#ifndef MARGIN_NET_RING_H
#define MARGIN_NET_RING_H

#include "base.h"

/* What completes a large receive may keep the handler busy for as long as a thousand small requests
 * take. So in a turn all else comes first, what that sends included, and large receives only until
 * so much time has passed (one in any case): a question never waits for more than one of them, and
 * its answer for none. */
#define RING_LARGE_NS ((u64)100000)

enum ring_op { RING_ACCEPT, RING_RECEIVE, RING_SEND, RING_WAKE };

struct ring_event {
    enum ring_op op;
    u32 slot;
    u32 generation;
    i32 result;       /* bytes, or the accepted descriptor, or -errno; receive: 0 is the end */
    bool more;        /* the request stays armed and will complete again */
    const char *data; /* receive(): the bytes, valid during the handler; receive_into(): NULL */
};

typedef void (*ring_handler)(void *context, const struct ring_event *event);

struct ring;

struct ring_ops {
    void (*destroy)(struct ring *ring);
    /* Accepts until an error; `slot` names the listener. */
    void (*accept)(struct ring *ring, int fd, u32 slot);
    /* Receives into the ring's own buffers: for ever, or once. -ENOBUFS: every buffer was in use;
     * they are all back when the turn is over. */
    void (*receive)(struct ring *ring, int fd, u32 slot, u32 generation, bool for_ever);
    void (*receive_into)(struct ring *ring, int fd, u32 slot, u32 generation, char *into,
                         usize bytes);
    /* The receive completes with -ECANCELED or with what it had got. */
    void (*cancel_receive)(struct ring *ring, u32 slot, u32 generation);
    /* Sends all of it, unless the connection breaks; a short result is possible. */
    void (*send)(struct ring *ring, int fd, u32 slot, u32 generation, const char *data,
                 usize bytes);
    /* No request of this slot is left; its descriptor is about to be closed. */
    void (*forget)(struct ring *ring, int fd, u32 slot);
    /* Submits what is queued, waits for a completion or for `timeout_ns` (UINT64_MAX: no limit),
     * and hands every completion to the handler, which may queue more; all but those of
     * receive_into() that got something. */
    void (*turn)(struct ring *ring, u64 timeout_ns, ring_handler handler, void *context);
    /* Hands over some of these, after each turn; if there are any, what is queued goes out first.
     */
    void (*take_large)(struct ring *ring, ring_handler handler, void *context);
};

struct ring {
    const struct ring_ops *ops;
};

/* A ring for slots below `slots`; every write to the eventfd `wake_fd` makes a RING_WAKE. On
 * failure `why` says what the system refuses and how to allow it. */
enum err ring_uring_create(u32 slots, int wake_fd, struct ring **out, char *why, usize why_bytes);
enum err ring_epoll_create(u32 slots, int wake_fd, struct ring **out, char *why, usize why_bytes);

#endif
