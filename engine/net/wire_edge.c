/* wire_edge.c: see wire_edge.h. Nothing but casts and names. */
#include "net/wire_edge.h"

#include "base/clock.h"

static void io_send(void *conn, const void *data, usize bytes) {
    net_send(conn, data, bytes);
}

static usize io_output_bytes(void *conn) {
    return net_output_bytes(conn);
}

static void io_close_after_send(void *conn) {
    net_close_after_send(conn);
}

static void io_pause(void *conn) {
    net_pause(conn);
}

static void io_resume(void *conn) {
    net_resume(conn);
}

static void io_set_deadline(void *conn, u64 deadline_ns) {
    net_set_deadline(conn, deadline_ns);
}

static void io_hold(void *conn) {
    net_hold(conn);
}

static void io_release(void *conn) {
    net_release(conn);
}

static const struct wire_io edge_io = {
    .send = io_send,
    .output_bytes = io_output_bytes,
    .close_after_send = io_close_after_send,
    .pause = io_pause,
    .resume = io_resume,
    .set_deadline = io_set_deadline,
    .hold = io_hold,
    .release = io_release,
    .monotonic_ns = clock_monotonic_ns,
    .wall_ms = clock_wall_ms,
};

void wire_edge_bind(struct wire_server *server) {
    server->io = &edge_io;
}

static void on_open(void *session, struct net_conn *conn, void *context) {
    wire_session_open(session, context, conn);
}

static void on_receive(void *session, const char *data, usize bytes) {
    wire_session_receive(session, data, bytes);
}

static bool on_direct(void *session, char **into, usize *bytes) {
    return wire_session_direct(session, into, bytes);
}

static void on_received(void *session, usize bytes) {
    wire_session_received(session, bytes);
}

static void on_closed(void *session) {
    wire_session_closed(session);
}

static void on_expired(void *session) {
    wire_session_expired(session);
}

static void on_drained(void *session) {
    wire_session_drained(session);
}

const struct net_protocol wire_protocol = {
    .name = "wire",
    .session_bytes = sizeof(struct wire_session),
    .open = on_open,
    .receive = on_receive,
    .closed = on_closed,
    .expired = on_expired,
    .drained = on_drained,
    .direct = on_direct,
    .received = on_received,
};
