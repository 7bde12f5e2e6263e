/*
 * edge.h: a front thread's network edge: listeners, connections and their bytes, timers, and a
 * wake-up from other threads. Two implementations stand behind it (io_uring, epoll). The edge knows
 * nothing of what the bytes mean: protocols are tables of functions.
 */
#ifndef MARGIN_NET_EDGE_H
#define MARGIN_NET_EDGE_H

#include "base.h"

struct edge;
struct net_conn;

struct net_protocol {
    const char *name;
    const char *alpn;    /* its name in TLS (RFC 7301) */
    usize session_bytes; /* memory beside each connection, zeroed before open() */
    void (*open)(void *session, struct net_conn *conn, void *context);
    /* Bytes arrived; the session consumes all of them. */
    void (*receive)(void *session, const char *data, usize bytes);
    /* The peer closed its side, a deadline passed, or an error: no bytes will come any more. The
     * session's memory lasts until this has returned and every net_hold() is released. */
    void (*closed)(void *session);
    /* The deadline set by net_set_deadline() passed. NULL: the connection is closed. */
    void (*expired)(void *session);
    /* Output that was too much at once has been sent: net_output_bytes() is low again. May be NULL.
     */
    void (*drained)(void *session);
    /* After net_call_later(), from the loop itself and never from inside another call. May be NULL.
     */
    void (*later)(void *session);
    /* Large input without a copy: asked after each receive(), the session may name memory for the
     * next bytes (at least NET_DIRECT_BYTES_MIN of it), which then belongs to the edge until
     * received() or closed(). received() tells how many bytes were put there. Both or neither. */
    bool (*direct)(void *session, char **into, usize *bytes);
    void (*received)(void *session, usize bytes);
    /* Writes what a peer is told that does not speak TLS where it must; at most `bytes_max` bytes.
     * NULL: nothing. */
    usize (*refuse_plain)(char *to, usize bytes_max);
};

struct tls_identity;

struct net_listener {
    const struct net_protocol *protocol;
    void *context;
    const char *host;         /* numeric address */
    u16 port;                 /* 0: any; see edge_port() */
    struct tls_identity *tls; /* NULL: no TLS. Sessions begin when the handshake is over */
};

enum edge_kind { EDGE_AUTO, EDGE_URING, EDGE_EPOLL };

struct edge_options {
    enum edge_kind kind; /* AUTO: io_uring, else epoll with one warning line that names the cause */
    const struct net_listener *listeners;
    u32 listener_count;
    bool share_ports; /* other edges of this process listen there already; else a port that
                         anybody uses is refused, also one of another server */
    u32 connections_max;
    u64 idle_ns;      /* a connection without a deadline of its own is closed after this */
    u64 handshake_ns; /* TLS must be established within this; with a listener that has TLS */
    void (*on_wake)(void *context); /* after edge_wake(), on the edge's thread */
    void (*on_turn)(void *context); /* after each turn of the loop that did something */
    void *context;
};

/* Binds and listens. ERR_SYSTEM / ERR_LOCKED (port in use) with one line in `why`. */
enum err edge_create(const struct edge_options *options, struct edge **out, char *why,
                     usize why_bytes);
u16 edge_port(const struct edge *edge, u32 listener);
/* Makes what the loop needs, on the thread that will run it; edge_run() does it if nobody has. From
 * then on the edge opens nothing but the connections it accepts. */
void edge_begin(struct edge *edge);
/* Runs until edge_stop(): then no new connections and bytes, and returns when every held connection
 * is released and output is sent, or after `grace_ns`. */
void edge_run(struct edge *edge, u64 grace_ns);
void edge_stop(struct edge *edge); /* any thread */
void edge_wake(struct edge *edge); /* any thread; cheap when already awake */
void edge_destroy(struct edge *edge);

/* --- for protocols, on the edge's thread ----------------------------------------------------- */

/* Copies bytes to the connection's output; sent at the end of the turn, in order. */
void net_send(struct net_conn *conn, const void *data, usize bytes);
usize net_output_bytes(const struct net_conn *conn); /* waiting to be sent */
void net_close_after_send(struct net_conn *conn);
/* Stops and restarts receiving: backpressure. What had arrived already is kept, and comes after
 * net_resume(), never from inside it. */
void net_pause(struct net_conn *conn);
void net_resume(struct net_conn *conn);
/* Closes (or calls expired) at this monotonic time unless set anew; 0: back to the idle time-out.
 */
void net_set_deadline(struct net_conn *conn, u64 deadline_ns);
/* A held connection keeps its session memory after closed(). Pairs. */
void net_hold(struct net_conn *conn);
void net_release(struct net_conn *conn);
/* Output goes nowhere any more. False while the peer, having closed its side, may still read: a
 * session that holds the connection may still answer after closed(). */
bool net_is_closed(const struct net_conn *conn);
/* Has protocol->later() called once before the loop waits again. */
void net_call_later(struct net_conn *conn);
/* Whether nobody in between can read or change it. */
bool net_is_secure(const struct net_conn *conn);
/* Numeric address of the peer, for limits and logs. */
const char *net_peer(const struct net_conn *conn);

struct edge_stats {
    u64 connections; /* open now */
    u64 accepted;
    u64 refused; /* over the bound */
    u64 received_bytes;
    u64 sent_bytes;
    u64 starved; /* receive buffers ran out */
    u64 expired;
    u64 tls_established;
    u64 tls_refused;    /* not TLS, or not good TLS */
    u64 tls_handshakes; /* under way */
    u64 tls_cut;        /* handshakes that made way for newer ones */
};
void edge_get_stats(const struct edge *edge, struct edge_stats *out); /* any thread, approximate */

#endif
