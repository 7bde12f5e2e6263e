/*
 * protocols.c: see protocols.h. Nothing but casts and names: sessions know a connection as a void
 * pointer, the edge a session as one.
 */
#include "net/protocols.h"

#include <stdio.h>

#include "base/clock.h"

/* --- what sessions ask of their connection ---------------------------------------------------- */

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

static bool io_is_secure(const void *conn) {
    return net_is_secure(conn);
}

static const char *io_peer(const void *conn) {
    return net_peer(conn);
}

static const struct http_io http_io = {
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
    .is_secure = io_is_secure,
    .monotonic_ns = clock_monotonic_ns,
    .wall_ms = clock_wall_ms,
};

static const struct wire_io wire_io = {
    .send = io_send,
    .output_bytes = io_output_bytes,
    .close_after_send = io_close_after_send,
    .pause = io_pause,
    .resume = io_resume,
    .set_deadline = io_set_deadline,
    .hold = io_hold,
    .release = io_release,
    .peer = io_peer,
    .monotonic_ns = clock_monotonic_ns,
    .wall_ms = clock_wall_ms,
};

/* --- HTTP ------------------------------------------------------------------------------------- */

/* An answer to a request that was not read: who speaks HTTP to a port with TLS forgot an "s". */
static usize http_refuse_plain(char *to, usize bytes_max) {
    static const char body[] =
        "{\"error\":\"this port speaks TLS: use https\",\"code\":\"invalid_request\"}";
    int bytes = snprintf(to, bytes_max,
                         "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n"
                         "Content-Length: %zu\r\nConnection: close\r\n\r\n%s",
                         sizeof body - 1, body);
    check(bytes > 0 && (usize)bytes < bytes_max);
    return (usize)bytes;
}

static void http_open(void *session, struct net_conn *conn, void *context) {
    http_session_open(session, context, &http_io, conn);
}

static void http_receive(void *session, const char *data, usize bytes) {
    http_session_receive(session, data, bytes);
}

static void http_closed(void *session) {
    http_session_closed(session);
}

static void http_expired(void *session) {
    http_session_expired(session);
}

static void http_drained(void *session) {
    http_session_drained(session);
}

static void http_later(void *session) {
    http_session_later(session);
}

static bool http_direct(void *session, char **into, usize *bytes) {
    return http_session_direct(session, into, bytes);
}

static void http_received(void *session, usize bytes) {
    http_session_received(session, bytes);
}

const struct net_protocol http_protocol = {
    .name = "http",
    .alpn = "http/1.1",
    .refuse_plain = http_refuse_plain,
    .session_bytes = sizeof(struct http_session),
    .open = http_open,
    .receive = http_receive,
    .closed = http_closed,
    .expired = http_expired,
    .drained = http_drained,
    .later = http_later,
    .direct = http_direct,
    .received = http_received,
};

/* --- the binary protocol ---------------------------------------------------------------------- */

void protocols_bind_wire(struct wire_server *server) {
    server->io = &wire_io;
}

static usize wire_refuse_plain(char *to, usize bytes_max) {
    static const char text[] = "this socket speaks TLS: connect with --tls";
    char *payload = to + WIRE_HEADER_BYTES;
    usize bytes = 4 + sizeof text - 1;
    check(WIRE_HEADER_BYTES + bytes <= bytes_max);
    memcpy(wire_write_u16(wire_write_u16(payload, WIRE_BAD_FRAME), 0), text, sizeof text - 1);
    frame_seal(to, WIRE_ERROR, 0, payload, bytes);
    return WIRE_HEADER_BYTES + bytes;
}

static void wire_open(void *session, struct net_conn *conn, void *context) {
    wire_session_open(session, context, conn);
}

static void wire_receive(void *session, const char *data, usize bytes) {
    wire_session_receive(session, data, bytes);
}

static bool wire_direct(void *session, char **into, usize *bytes) {
    return wire_session_direct(session, into, bytes);
}

static void wire_received(void *session, usize bytes) {
    wire_session_received(session, bytes);
}

static void wire_closed(void *session) {
    wire_session_closed(session);
}

static void wire_expired(void *session) {
    wire_session_expired(session);
}

static void wire_drained(void *session) {
    wire_session_drained(session);
}

const struct net_protocol wire_protocol = {
    .name = "wire",
    .alpn = WIRE_ALPN,
    .refuse_plain = wire_refuse_plain,
    .session_bytes = sizeof(struct wire_session),
    .open = wire_open,
    .receive = wire_receive,
    .closed = wire_closed,
    .expired = wire_expired,
    .drained = wire_drained,
    .direct = wire_direct,
    .received = wire_received,
};
