/*
 * conn.h: a connection of the edge, for edge.c and conn.c only.
 *
 * What a connection wants (receive or not, output to send, to close) is kept apart from what is in
 * flight. Every call that changes a wish only marks the connection dirty; conn_settle(), called
 * from the loop, is the one place that compares the two and starts, cancels, closes and frees. So a
 * protocol is never called from inside one of its own calls, and every order of events meets the
 * same few lines.
 */
#ifndef MARGIN_NET_CONN_H
#define MARGIN_NET_CONN_H

#include <netinet/in.h>
#include <stdatomic.h>

#include "limits.h"
#include "net/edge.h"
#include "net/ring.h"
#include "net/tls.h"
#include "net/wheel.h"

#define LISTENERS_MAX 16
#define LINGER_NS                                                                                  \
    ((u64)2000000000) /* after the last byte: so that the peer reads it before a reset */
#define ACCEPT_BACKOFF_NS ((u64)100000000)
#define REFUSAL_BYTES_MAX 512 /* of net_protocol.refuse_plain() */

struct out { /* output bytes; memory is borrowed from the edge's spare pieces */
    char *data;
    usize bytes;
    usize capacity;
};

enum conn_receive { RECEIVE_IDLE, RECEIVE_FOR_EVER, RECEIVE_ONCE, RECEIVE_DIRECT };

/* What waits for the loop. */
enum conn_list_kind {
    LIST_DIRTY,   /* to be settled */
    LIST_BACK,    /* to be called back */
    LIST_HELLO,   /* a client's first message of TLS has come */
    LIST_SHAKING, /* more of a handshake that is under way */
    LISTS
};

struct net_conn {
    struct wheel_node timer; /* first: the wheel's nodes are cast back */
    struct edge *edge;
    const struct net_protocol *protocol;
    void *context; /* the listener's */
    void *session;
    struct tls *tls; /* NULL: what goes over the socket is the protocol's own bytes */
    int fd;
    u32 slot;
    u32 generation;
    u32 holds;
    u64 active_ns;   /* last input or output */
    u64 deadline_ns; /* 0: the idle time-out */
    u64 sent_ns;     /* while sending: when it began, or the peer was last seen to take something */
    int unsent;      /* bytes that the kernel held for the peer when it was last looked at */

    /* In flight. */
    enum conn_receive receiving;
    bool cancelling;
    bool sending;

    /* Wishes and what happened. */
    bool opened;  /* protocol->open() has been called: at once, or after the handshake */
    bool shaking; /* TLS: its handshake is under way */
    bool paused;
    bool closing;     /* net_close_after_send() */
    bool ended;       /* TLS: the peer was told that no more comes */
    bool finished;    /* our side is shut down: all output is sent */
    bool peer_ended;  /* TLS: the peer has said that no more comes; if it does, it is ignored */
    bool input_ended; /* no bytes will come any more */
    bool dead;        /* no bytes can go any more either */
    bool closed_told; /* protocol->closed() has been called */
    bool full;        /* output passed the high mark: drained() is due */
    bool later;
    u8 bulk; /* counts down: receive one at a time, for large bodies follow */

    bool listed[LISTS];
    struct net_conn *next[LISTS];
    struct net_conn *older; /* handshakes under way */
    struct net_conn *newer;

    struct out out;    /* collects */
    struct out clear;  /* TLS: the output before it; bytes [clear_at, bytes) are not sealed yet */
    struct out sealed; /* TLS: records for the next flight */
    struct out flight; /* with the ring */
    usize clear_at;
    usize flight_sent;
    struct out stash; /* input that arrived while paused; of a handshake, that waits */
    char peer[INET6_ADDRSTRLEN];
};

struct listener {
    struct net_listener with;
    int fd;
    u16 port;
    bool armed;
    u64 retry_ns; /* after EMFILE */
};

struct conn_list {
    struct net_conn *first;
    struct net_conn *last;
};

struct edge {
    struct edge_options options;
    struct listener listener[LISTENERS_MAX];
    u32 listener_count;
    struct ring *ring;
    enum edge_kind kind; /* URING or EPOLL, decided */
    int wake_fd;
    _Atomic int wake; /* enum wake_state */
    atomic_bool stop;
    bool stopping;
    bool did_something;
    bool clock_is_stale;
    u64 now_ns;        /* when this turn's first event came */
    u64 complained_ns; /* last line about descriptors */
    struct wheel wheel;

    struct net_conn **conn; /* by slot */
    struct net_conn *spare; /* closed ones, linked by next[LIST_DIRTY] */
    u32 slots_used;
    u32 open_count;
    usize session_bytes;

    struct conn_list list[LISTS];
    struct net_conn *shaking_oldest; /* by when its handshake began */
    struct net_conn *shaking_newest;
    u32 shaking_count;
    void *spare_out; /* pieces of OUT_BYTES, linked through their first bytes */
    u32 spare_out_count;
    char *text; /* TLS_TEXT_BYTES of what is being read over TLS */

    _Atomic u64 stat_connections, stat_accepted, stat_refused, stat_received, stat_sent,
        stat_starved, stat_expired, stat_tls_established, stat_tls_refused, stat_tls_handshakes,
        stat_tls_cut;
};

/* One writer, so no read-modify-write is needed. */
static inline void stat_add(_Atomic u64 *stat, u64 more) {
    atomic_store_explicit(stat, atomic_load_explicit(stat, memory_order_relaxed) + more,
                          memory_order_relaxed);
}

/* Takes over an accepted descriptor. False: no memory or over the bound; the descriptor is closed.
 */
bool conn_open(struct edge *edge, const struct listener *listener, int fd);
void conn_mark_dirty(struct net_conn *conn);
void conn_on_receive(struct net_conn *conn, const struct ring_event *event);
void conn_on_send(struct net_conn *conn, const struct ring_event *event);
void conn_on_timer(struct net_conn *conn);
/* Ends it now, without regard for output. */
void conn_kill(struct net_conn *conn);
/* Protocol calls that had to wait for the loop: kept input after net_resume(), later(). */
void conn_call_back(struct net_conn *conn);
void conn_settle(struct net_conn *conn);
/* Goes on with a handshake. */
void conn_shake(struct net_conn *conn);
struct net_conn *conn_list_pop(struct edge *edge, enum conn_list_kind kind);
/* At the very end: memory of every connection, open or not. */
void conn_free_all(struct edge *edge);

#endif
