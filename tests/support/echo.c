/* echo.c: see echo.h. */
#include "tests/support/echo.h"

struct session {
    struct net_conn *conn;
};

static void open_session(void *memory, struct net_conn *conn, void *context) {
    (void)context;
    ((struct session *)memory)->conn = conn;
}

static void receive(void *memory, const char *data, usize bytes) {
    net_send(((struct session *)memory)->conn, data, bytes);
}

static void closed(void *memory) {
    (void)memory;
}

const struct net_protocol echo_protocol = {.name = "echo",
                                           .session_bytes = sizeof(struct session),
                                           .open = open_session,
                                           .receive = receive,
                                           .closed = closed};
