/*
 * net.c: the calls for sockets: connections between the clients and the server, and what the
 * server's event loop waits with. What is sent is cut into pieces that arrive later, in order; a
 * connection takes only so much before its receiver reads; and it may break at any send, with what
 * was under way lost.
 */
#include "tests/sim/sim.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define FD_FIRST 1000000
#define SOCKETS_MAX 512
#define INTERESTS_MAX 128
#define BACKLOG_MAX 64

enum socket_kind {
    SOCKET_FREE,
    SOCKET_NEW,
    SOCKET_LISTENS,
    SOCKET_CONNECTED,
    SOCKET_EVENT,
    SOCKET_EPOLL
};

struct piece {
    struct piece *next;
    u64 at_ns;
    usize bytes;
    usize taken;
    char data[];
};

struct interest {
    int fd;
    struct epoll_event event;
};

struct socket {
    enum socket_kind kind;
    bool server;
    u16 port;
    int peer;            /* index; -1: gone */
    struct piece *first; /* on its way to this end, or there */
    struct piece *last;
    usize queued_bytes;
    u32 capacity;
    u64 last_ns; /* nothing sent later arrives earlier */
    u64 end_ns;  /* the peer has ended sending; SIM_NEVER: it has not */
    bool sent_end;
    bool broken;
    bool silent; /* the other machine is gone without a word */
    int backlog[BACKLOG_MAX];
    u32 backlog_count;
    u64 events; /* of an eventfd */
    struct interest interest[INTERESTS_MAX];
    u32 interests;
};

static SIM_STATE struct {
    struct socket socket[SOCKETS_MAX];
    struct net_faults faults;
} net;

void net_set_faults(const struct net_faults *faults) {
    net.faults = *faults;
}

static struct socket *socket_of(int fd) {
    promise(fd >= FD_FIRST && fd < FD_FIRST + SOCKETS_MAX, "%d is no socket", fd);
    struct socket *socket = &net.socket[fd - FD_FIRST];
    promise(socket->kind != SOCKET_FREE, "socket %d is closed", fd);
    return socket;
}

bool net_owns(int fd) {
    return fd >= FD_FIRST && fd < FD_FIRST + SOCKETS_MAX;
}

static int fails(int error) {
    errno = error;
    return -1;
}

static int make(enum socket_kind kind) {
    for (int i = 0; i < SOCKETS_MAX; i++) {
        if (net.socket[i].kind == SOCKET_FREE) {
            net.socket[i] = (struct socket){
                .kind = kind, .server = fiber_is_server(), .peer = -1, .end_ns = SIM_NEVER};
            net.socket[i].capacity =
                (u32)between(net.faults.capacity_min, MAX(net.faults.capacity_max, 4096u));
            return FD_FIRST + i;
        }
    }
    return fails(EMFILE);
}

static void drop_pieces(struct socket *socket) {
    while (socket->first != NULL) {
        struct piece *piece = socket->first;
        socket->first = piece->next;
        free(piece);
    }
    socket->last = NULL;
    socket->queued_bytes = 0;
}

/* Both ends learn of it; what was under way is lost. */
static void break_connection(struct socket *socket) {
    struct socket *peer = socket->peer >= 0 ? &net.socket[socket->peer] : NULL;
    socket->broken = true;
    drop_pieces(socket);
    if (peer != NULL) {
        peer->broken = true;
        if (chance(50)) {
            drop_pieces(peer);
        }
    }
}

/* --- readiness -------------------------------------------------------------------------------- */

static struct socket *arrived(const struct socket *listener) {
    for (u32 i = 0; i < listener->backlog_count; i++) {
        struct socket *end = &net.socket[listener->backlog[i]];
        if (end->last_ns <= clock_now_ns()) {
            return end;
        }
    }
    return NULL;
}

static bool can_read(const struct socket *socket) {
    u64 now = clock_now_ns();
    switch (socket->kind) {
    case SOCKET_LISTENS:
        return arrived(socket) != NULL;
    case SOCKET_EVENT:
        return socket->events > 0;
    case SOCKET_CONNECTED:
        return (socket->first != NULL && socket->first->at_ns <= now) || socket->broken ||
               (socket->first == NULL && socket->end_ns <= now);
    default:
        return false;
    }
}

static usize room(const struct socket *socket) {
    if (socket->peer < 0) {
        return 1; /* the send learns of it */
    }
    const struct socket *peer = &net.socket[socket->peer];
    return peer->queued_bytes < peer->capacity ? peer->capacity - peer->queued_bytes : 0;
}

static bool can_write(const struct socket *socket) {
    return socket->kind == SOCKET_CONNECTED && !socket->silent &&
           (socket->broken || socket->sent_end || room(socket) > 0);
}

static u32 readiness(const struct socket *socket) {
    u32 events = (can_read(socket) ? EPOLLIN : 0u) | (can_write(socket) ? EPOLLOUT : 0u);
    if (socket->kind == SOCKET_CONNECTED && socket->broken) {
        events |= EPOLLERR | EPOLLHUP;
    }
    if (socket->kind == SOCKET_CONNECTED && socket->sent_end && socket->first == NULL &&
        socket->end_ns <= clock_now_ns()) {
        events |= EPOLLHUP;
    }
    return events;
}

u64 net_next_ns(void) {
    u64 now = clock_now_ns();
    u64 next = SIM_NEVER;
    for (u32 i = 0; i < SOCKETS_MAX; i++) {
        const struct socket *socket = &net.socket[i];
        u64 at = SIM_NEVER;
        if (socket->kind == SOCKET_CONNECTED) {
            at = socket->first != NULL ? socket->first->at_ns : socket->end_ns;
            at = MIN(at, socket->last_ns > now ? socket->last_ns : SIM_NEVER);
        }
        next = at > now ? MIN(next, at) : next;
    }
    return next;
}

/* --- opening and closing ---------------------------------------------------------------------- */

int __wrap_socket(int domain, int type, int protocol) {
    (void)domain;
    (void)type;
    (void)protocol;
    fiber_step();
    return make(SOCKET_NEW);
}

int __wrap_eventfd(unsigned value, int flags) {
    (void)flags;
    int fd = make(SOCKET_EVENT);
    if (fd >= 0) {
        socket_of(fd)->events = value;
    }
    return fd;
}

int __wrap_epoll_create1(int flags) {
    (void)flags;
    return make(SOCKET_EPOLL);
}

int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t bytes) {
    (void)fd;
    (void)level;
    (void)name;
    (void)value;
    (void)bytes;
    return 0;
}

int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *bytes) {
    (void)level;
    int error = name == SO_ERROR && socket_of(fd)->broken ? ECONNRESET : 0;
    memcpy(value, &error, MIN(*bytes, (socklen_t)sizeof error));
    return 0;
}

int __wrap_bind(int fd, const struct sockaddr *address, socklen_t bytes) {
    struct sockaddr_in in;
    memcpy(&in, address, MIN(bytes, (socklen_t)sizeof in));
    socket_of(fd)->port = ntohs(in.sin_port);
    return 0;
}

int __wrap_listen(int fd, int backlog) {
    (void)backlog;
    socket_of(fd)->kind = SOCKET_LISTENS;
    return 0;
}

static int tell_address(u16 port, struct sockaddr *address, socklen_t *bytes) {
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    memcpy(address, &in, MIN(*bytes, (socklen_t)sizeof in));
    *bytes = sizeof in;
    return 0;
}

int __wrap_getsockname(int fd, struct sockaddr *address, socklen_t *bytes) {
    return tell_address(socket_of(fd)->port, address, bytes);
}

int __wrap_getpeername(int fd, struct sockaddr *address, socklen_t *bytes) {
    return tell_address(socket_of(fd)->port, address, bytes);
}

/* Of the listeners on a port, any. */
static struct socket *listener_on(u16 port) {
    struct socket *found = NULL;
    u32 count = 0;
    for (u32 i = 0; i < SOCKETS_MAX; i++) {
        struct socket *socket = &net.socket[i];
        if (socket->kind == SOCKET_LISTENS && socket->port == port &&
            socket->backlog_count < BACKLOG_MAX && roll(++count) == 0) {
            found = socket;
        }
    }
    return found;
}

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t bytes) {
    struct sockaddr_in in;
    struct socket *socket = socket_of(fd);
    memcpy(&in, address, MIN(bytes, (socklen_t)sizeof in));
    fiber_step();
    struct socket *listener = listener_on(ntohs(in.sin_port));
    if (listener == NULL) {
        return fails(ECONNREFUSED);
    }
    int far = make(SOCKET_CONNECTED);
    if (far < 0) {
        return far;
    }
    struct socket *end = socket_of(far);
    end->server = true;
    end->peer = fd - FD_FIRST;
    end->port = (u16)(40000 + end->peer);
    end->last_ns = clock_now_ns() + between(0, net.faults.delay_ns_max);
    socket->kind = SOCKET_CONNECTED;
    socket->peer = far - FD_FIRST;
    listener->backlog[listener->backlog_count++] = socket->peer;
    return 0;
}

int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *bytes, int flags) {
    (void)address;
    (void)bytes;
    (void)flags;
    struct socket *listener = socket_of(fd);
    fiber_step();
    const struct socket *end = arrived(listener);
    if (end == NULL) {
        return fails(EAGAIN);
    }
    int index = (int)(end - net.socket);
    for (u32 i = 0; i < listener->backlog_count; i++) {
        if (listener->backlog[i] == index) {
            memmove(listener->backlog + i, listener->backlog + i + 1,
                    (--listener->backlog_count - i) * sizeof *listener->backlog);
        }
    }
    return FD_FIRST + index;
}

/* When something sent now arrives: not before what was sent earlier. */
static u64 arrival(const struct socket *to) {
    u64 at_ns = clock_now_ns() + between(0, net.faults.delay_ns_max);
    return MAX(to->last_ns, at_ns);
}

static void end_sending(struct socket *socket) {
    if (!socket->sent_end && socket->peer >= 0) {
        struct socket *peer = &net.socket[socket->peer];
        peer->end_ns = arrival(peer);
    }
    socket->sent_end = true;
}

int __wrap_shutdown(int fd, int how) {
    struct socket *socket = socket_of(fd);
    fiber_step();
    if (socket->kind == SOCKET_LISTENS) {
        socket->port = 0;
    } else if (socket->kind == SOCKET_CONNECTED) {
        end_sending(socket);
        if (how == SHUT_RDWR) {
            drop_pieces(socket);
            socket->end_ns = 0;
        }
    }
    return 0;
}

static void release(struct socket *socket) {
    if (socket->kind == SOCKET_CONNECTED && socket->peer >= 0) {
        if (socket->first != NULL && !socket->broken) { /* as TCP: unread input breaks it */
            break_connection(socket);
        }
        end_sending(socket);
        net.socket[socket->peer].peer = -1;
    }
    for (u32 i = 0; i < socket->backlog_count && socket->kind == SOCKET_LISTENS; i++) {
        release(&net.socket[socket->backlog[i]]);
    }
    drop_pieces(socket);
    socket->kind = SOCKET_FREE;
}

int net_close(int fd) {
    release(socket_of(fd));
    fiber_step();
    return 0;
}

/* --- sending and receiving -------------------------------------------------------------------- */

static void arrive(struct socket *to, const char *data, usize bytes) {
    struct piece *piece = malloc(sizeof *piece + bytes);
    promise(piece != NULL, "no memory");
    to->last_ns = arrival(to);
    *piece = (struct piece){.at_ns = to->last_ns, .bytes = bytes};
    memcpy(piece->data, data, bytes);
    if (to->last != NULL) {
        to->last->next = piece;
    } else {
        to->first = piece;
    }
    to->last = piece;
    to->queued_bytes += bytes;
}

static bool socket_can_write(void *context) {
    return can_write(context);
}

ssize_t __wrap_send(int fd, const void *data, size_t bytes, int flags) {
    struct socket *socket = socket_of(fd);
    fiber_step();
    if (roll(1000) < net.faults.reset_permille && !socket->broken) {
        sim_say("net: connection %d breaks", fd);
        break_connection(socket);
    }
    if ((flags & MSG_DONTWAIT) == 0 && !can_write(socket)) {
        fiber_wait(socket_can_write, socket, SIM_NEVER);
    }
    if (socket->broken || socket->sent_end || socket->peer < 0) {
        return fails(socket->broken ? ECONNRESET : EPIPE);
    }
    usize most = MIN(bytes, socket->silent ? 0 : room(socket));
    if (most == 0) {
        return fails(EAGAIN);
    }
    const char *at = data;
    for (usize left = most; left > 0;) {
        usize piece = chance(net.faults.split_percent) ? 1 + roll(chance(50) ? 16 : 4096) : left;
        piece = MIN(piece, left);
        arrive(&net.socket[socket->peer], at, piece);
        at += piece;
        left -= piece;
    }
    return (ssize_t)most;
}

ssize_t __wrap_recv(int fd, void *into, size_t bytes, int flags) {
    (void)flags;
    struct socket *socket = socket_of(fd);
    u64 now = clock_now_ns();
    usize got = 0;
    fiber_step();
    struct piece *piece = socket->first;
    while (piece != NULL && piece->at_ns <= now && got < bytes) {
        usize part = MIN(bytes - got, piece->bytes - piece->taken);
        memcpy((char *)into + got, piece->data + piece->taken, part);
        got += part;
        piece->taken += part;
        socket->queued_bytes -= part;
        if (piece->taken == piece->bytes) {
            socket->first = piece->next;
            socket->last = socket->first == NULL ? NULL : socket->last;
            free(piece);
            piece = socket->first;
        }
        if (chance(net.faults.split_percent)) {
            break;
        }
    }
    if (got > 0) {
        return (ssize_t)got;
    }
    if (socket->broken) {
        return fails(ECONNRESET);
    }
    return socket->first == NULL && socket->end_ns <= now ? 0 : fails(EAGAIN);
}

i64 net_read(int fd, void *into, usize bytes) {
    struct socket *socket = socket_of(fd);
    promise(socket->kind == SOCKET_EVENT && bytes == sizeof socket->events, "read of a socket");
    memcpy(into, &socket->events, bytes);
    socket->events = 0;
    fiber_step();
    return (i64)bytes;
}

i64 net_write(int fd, const void *data, usize bytes) {
    struct socket *socket = socket_of(fd);
    u64 more;
    promise(socket->kind == SOCKET_EVENT && bytes == sizeof more, "write to a socket");
    memcpy(&more, data, bytes);
    socket->events += more;
    fiber_step();
    return (i64)bytes;
}

/* What the peer has not read yet. */
int __wrap_ioctl(int fd, unsigned long what, int *out) {
    const struct socket *socket = socket_of(fd);
    (void)what;
    *out = socket->peer >= 0 ? (int)net.socket[socket->peer].queued_bytes : 0;
    return 0;
}

/* --- waiting ---------------------------------------------------------------------------------- */

int __wrap_epoll_ctl(int fd, int how, int which, struct epoll_event *event) {
    struct socket *epoll = socket_of(fd);
    u32 at = 0;
    while (at < epoll->interests && epoll->interest[at].fd != which) {
        at++;
    }
    if (how == EPOLL_CTL_DEL) {
        if (at < epoll->interests) {
            epoll->interest[at] = epoll->interest[--epoll->interests];
        }
        return 0;
    }
    promise(at < INTERESTS_MAX, "too many sockets in one loop");
    epoll->interest[at] = (struct interest){which, *event};
    epoll->interests += at == epoll->interests;
    return 0;
}

/* Interest in a closed descriptor is gone. */
static u32 ready_of(struct socket *epoll, struct epoll_event *out, u32 most) {
    u32 count = 0;
    for (u32 i = 0; i < epoll->interests && count < most;) {
        struct interest *interest = &epoll->interest[i];
        const struct socket *socket = &net.socket[interest->fd - FD_FIRST];
        if (socket->kind == SOCKET_FREE) {
            *interest = epoll->interest[--epoll->interests];
            continue;
        }
        u32 events = readiness(socket) & (interest->event.events | EPOLLERR | EPOLLHUP);
        if (events != 0) {
            if (out != NULL) {
                out[count] = (struct epoll_event){.events = events, .data = interest->event.data};
            }
            count++;
        }
        i++;
    }
    return count;
}

static bool epoll_is_ready(void *context) {
    return ready_of(context, NULL, 1) > 0;
}

int __wrap_epoll_wait(int fd, struct epoll_event *out, int most, int timeout_ms) {
    struct socket *epoll = socket_of(fd);
    fiber_step();
    if (timeout_ms != 0 && !epoll_is_ready(epoll)) {
        u64 until = timeout_ms < 0 ? SIM_NEVER : clock_now_ns() + (u64)timeout_ms * SIM_MS;
        fiber_wait(epoll_is_ready, epoll, until);
    }
    u32 count = ready_of(epoll, out, (u32)most);
    for (u32 i = count; i > 1; i--) { /* in any order */
        u32 k = roll(i);
        struct epoll_event other = out[k];
        out[k] = out[i - 1];
        out[i - 1] = other;
    }
    return (int)count;
}

static bool poll_is_ready(void *context) {
    struct pollfd *wanted = context;
    const struct socket *socket = socket_of(wanted->fd);
    u32 wanted_events = (u32)(u16)wanted->events | (u32)POLLERR | (u32)POLLHUP;
    u32 events = readiness(socket) & wanted_events;
    wanted->revents = (short)events;
    return events != 0;
}

int __wrap_poll(struct pollfd *wanted, nfds_t count, int timeout_ms) {
    promise(count == 1, "clients wait for one socket at a time");
    fiber_step();
    u64 until = timeout_ms < 0 ? SIM_NEVER : clock_now_ns() + (u64)timeout_ms * SIM_MS;
    return poll_is_ready(wanted) || fiber_wait(poll_is_ready, wanted, until) ? 1 : 0;
}

/* --- faults ----------------------------------------------------------------------------------- */

/* A killed process breaks its connections; a machine without power says nothing, and a client
 * notices when it has waited long enough. */
void net_crash(bool power) {
    for (u32 i = 0; i < SOCKETS_MAX; i++) {
        struct socket *socket = &net.socket[i];
        if (!socket->server || socket->kind == SOCKET_FREE) {
            continue;
        }
        if (socket->kind == SOCKET_CONNECTED && socket->peer >= 0) {
            struct socket *peer = &net.socket[socket->peer];
            peer->peer = -1;
            peer->silent = power && chance(50);
            if (!peer->silent) {
                peer->broken = peer->broken || chance(50);
                peer->end_ns = MIN(peer->end_ns, MAX(peer->last_ns, clock_now_ns()));
            }
        }
        drop_pieces(socket);
        socket->kind = SOCKET_FREE;
    }
}

void net_partition(u64 ns) {
    u64 until = clock_now_ns() + ns;
    for (u32 i = 0; i < SOCKETS_MAX; i++) {
        struct socket *socket = &net.socket[i];
        if (socket->kind != SOCKET_CONNECTED) {
            continue;
        }
        if (chance(20)) {
            break_connection(socket);
            continue;
        }
        socket->last_ns = MAX(socket->last_ns, until);
        for (struct piece *piece = socket->first; piece != NULL; piece = piece->next) {
            piece->at_ns = MAX(piece->at_ns, until);
        }
        if (socket->end_ns != SIM_NEVER) {
            socket->end_ns = MAX(socket->end_ns, until);
        }
    }
}
