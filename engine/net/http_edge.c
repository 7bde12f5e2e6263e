/* http_edge.c: binds the functions an HTTP session needs to a connection of the edge. */
#include "net/http_edge.h"

#include "base/clock.h"

static void io_send(void *conn, const void *data, usize bytes) {
    net_send(conn, data, bytes);
}

static usize io_output_bytes(const void *conn) {
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

static void io_call_later(void *conn) {
    net_call_later(conn);
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

static bool io_is_closed(const void *conn) {
    return net_is_closed(conn);
}

static const char *io_peer(const void *conn) {
    return net_peer(conn);
}

static const struct http_io edge_io = {
    .send = io_send,
    .output_bytes = io_output_bytes,
    .close_after_send = io_close_after_send,
    .pause = io_pause,
    .resume = io_resume,
    .call_later = io_call_later,
    .set_deadline = io_set_deadline,
    .hold = io_hold,
    .release = io_release,
    .is_closed = io_is_closed,
    .peer = io_peer,
    .monotonic_ns = clock_monotonic_ns,
    .wall_ms = clock_wall_ms,
};

static void open_session(void *session, struct net_conn *conn, void *context) {
    http_session_open(session, context, &edge_io, conn);
}

static void receive(void *session, const char *data, usize bytes) {
    http_session_receive(session, data, bytes);
}

static void closed(void *session) {
    http_session_closed(session);
}

static void expired(void *session) {
    http_session_expired(session);
}

static void drained(void *session) {
    http_session_drained(session);
}

static void later(void *session) {
    http_session_later(session);
}

static bool direct(void *session, char **into, usize *bytes) {
    return http_session_direct(session, into, bytes);
}

static void received(void *session, usize bytes) {
    http_session_received(session, bytes);
}

const struct net_protocol http_protocol = {
    .name = "http",
    .session_bytes = sizeof(struct http_session),
    .open = open_session,
    .receive = receive,
    .closed = closed,
    .expired = expired,
    .drained = drained,
    .later = later,
    .direct = direct,
    .received = received,
};
