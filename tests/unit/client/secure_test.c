/*
 * secure_test.c: the client's side of TLS against the server's, over real sockets: whom it believes
 * and what it says of whom it does not, much both ways, and the ends of connections.
 */
#include "tools/client/secure.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "net/edge.h"
#include "net/tls.h"
#include "tests/support/tls_peer.h"

#define SECOND_NS ((u64)1000000000)
#define MUCH (4 * MIB)

static struct edge *edge;
static pthread_t thread;
static struct tls_identity *identity;
static char dir[] = "/tmp/margin-secure-test.XXXXXX";
static char certificate[64];
static char key[64];
static char other[64];

struct session {
    struct net_conn *conn;
};

static void open_session(void *memory, struct net_conn *conn, void *context) {
    (void)context;
    ((struct session *)memory)->conn = conn;
}

/* Everything comes back; behind a full stop nothing more. */
static void receive(void *memory, const char *data, usize bytes) {
    struct session *session = memory;
    net_send(session->conn, data, bytes);
    if (data[bytes - 1] == '.') {
        net_close_after_send(session->conn);
    }
}

static void closed(void *memory) {
    (void)memory;
}

static const struct net_protocol echo = {.name = "echo",
                                         .alpn = "echo",
                                         .session_bytes = sizeof(struct session),
                                         .open = open_session,
                                         .receive = receive,
                                         .closed = closed};

static void refuse(void *memory, const char *data, usize bytes) {
    (void)data;
    (void)bytes;
    net_send(((struct session *)memory)->conn, "what do you want?\n", 18);
    net_close_after_send(((struct session *)memory)->conn);
}

static const struct net_protocol plain = {.name = "plain",
                                          .session_bytes = sizeof(struct session),
                                          .open = open_session,
                                          .receive = refuse,
                                          .closed = closed};

static void *run(void *argument) {
    (void)argument;
    edge_run(edge, SECOND_NS);
    return NULL;
}

static void start(int days) {
    char why[256] = "";
    log_set_level(LOG_ERROR);
    cr_assert_not_null(mkdtemp(dir));
    snprintf(certificate, sizeof certificate, "%s/certificate", dir);
    snprintf(key, sizeof key, "%s/key", dir);
    snprintf(other, sizeof other, "%s/other", dir);
    tls_peer_make_certificate(other, key, "other", 30);
    tls_peer_make_certificate(certificate, key, "good", days);
    const struct tls_files files = {certificate, key};
    cr_assert_eq(tls_identity_open(&files, &identity, why, sizeof why), ERR_OK, "%s", why);
    const struct net_listener listeners[] = {{&echo, NULL, "127.0.0.1", 0, identity},
                                             {&plain, NULL, "127.0.0.1", 0, NULL}};
    const struct edge_options options = {.listeners = listeners,
                                         .listener_count = 2,
                                         .handshake_ns = 10 * SECOND_NS,
                                         .connections_max = 16};
    cr_assert_eq(edge_create(&options, &edge, why, sizeof why), ERR_OK, "%s", why);
    cr_assert_eq(pthread_create(&thread, NULL, run, NULL), 0);
}

static void stop(void) {
    edge_stop(edge);
    pthread_join(thread, NULL);
    edge_destroy(edge);
    tls_identity_close(identity);
    unlink(certificate);
    unlink(key);
    unlink(other);
    rmdir(dir);
}

static int connect_to(u32 listener) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(edge_port(edge, listener)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* Empty, or what secure_open() says. */
static void try(u32 listener, const char *ca, const char *host, const char *protocol,
                char why[256]) {
    int fd = connect_to(listener);
    struct secure_trust *trust = secure_trust_open(ca, why, 256);
    cr_assert_not_null(trust, "%s", why);
    why[0] = 0;
    struct secure *secure = secure_open(trust, fd, host, protocol, 5000, why, 256);
    cr_assert_eq(secure != NULL, why[0] == 0, "%s", why);
    secure_close(secure);
    secure_trust_close(trust);
    close(fd);
}

Test(secure, trust) {
    static const struct {
        const char *ca;
        const char *host;
        const char *protocol;
        u32 listener;
        const char *says; /* NULL: it works */
    } cases[] = {
        {certificate, "localhost", "echo", 0, NULL},
        {certificate, "127.0.0.1", "echo", 0, NULL},
        {certificate, "LOCALHOST", "echo", 0, NULL},
        {certificate, "localhost.example", "echo", 0, "not for localhost.example"},
        {certificate, "127.0.0.2", "echo", 0, "not for 127.0.0.2"},
        {certificate, "::1", "echo", 0, "not for ::1"},
        {other, "localhost", "echo", 0, "not trusted"},
        {NULL, "localhost", "echo", 0, "not trusted"},
        {certificate, "localhost", "http/1.1", 0, "not this protocol"},
        {certificate, "localhost", "echo", 1, "does not speak TLS"},
    };
    char why[256];
    start(30);
    for (usize at = 0; at < ARRAY_COUNT(cases); at++) {
        try(cases[at].listener, cases[at].ca, cases[at].host, cases[at].protocol, why);
        if (cases[at].says == NULL) {
            cr_assert_str_empty(why, "case %zu: %s", at, why);
        } else {
            cr_assert_not_null(strstr(why, cases[at].says), "case %zu: %s", at, why);
        }
    }
    cr_assert_null(secure_trust_open("/nowhere", why, sizeof why));
    cr_assert_not_null(strstr(why, "/nowhere"));
    cr_assert_null(secure_trust_open(key, why, sizeof why), "a key is no certificate");
    stop();
}

Test(secure, expired) {
    char why[256];
    start(-1);
    try(0, certificate, "localhost", "echo", why);
    cr_assert_not_null(strstr(why, "expired"), "%s", why);
    stop();
}

/* A server that says nothing. */
Test(secure, silence) {
    char why[256];
    start(30);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    cr_assert_eq(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(listen(listener, 1), 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&address, &bytes), 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    struct secure_trust *trust = secure_trust_open(certificate, why, sizeof why);
    u64 begun = clock_monotonic_ns();
    cr_assert_null(secure_open(trust, fd, "localhost", "echo", 100, why, sizeof why));
    cr_assert_lt(clock_monotonic_ns() - begun, 3 * SECOND_NS);
    cr_assert_str_eq(why, "no TLS handshake within 100 ms");
    secure_trust_close(trust);
    close(fd);
    close(listener);
    stop();
}

static void wait_for(const struct secure *secure, int fd) {
    struct pollfd poll_fd = {.fd = fd, .events = secure_events(secure)};
    cr_assert_eq(errno, EAGAIN, "%s", strerror(errno));
    cr_assert_eq(poll(&poll_fd, 1, 5000), 1);
}

Test(secure, much_both_ways) {
    char why[256] = "";
    start(30);
    int fd = connect_to(0);
    struct secure_trust *trust = secure_trust_open(certificate, why, sizeof why);
    struct secure *secure = secure_open(trust, fd, "localhost", "echo", 5000, why, sizeof why);
    cr_assert_not_null(secure, "%s", why);
    char *much = malloc(MUCH);
    char *back = malloc(MUCH);
    for (usize at = 0; at < MUCH; at++) {
        much[at] = (char)('a' + (at * 31 >> 8) % 26);
    }
    much[MUCH - 1] = '.';
    usize sent = 0;
    usize got = 0;
    while (got < MUCH) {
        ssize_t out = sent < MUCH ? secure_send(secure, much + sent, MUCH - sent) : 0;
        sent += out > 0 ? (usize)out : 0;
        cr_assert(out >= 0 || errno == EAGAIN, "%s", strerror(errno));
        ssize_t in = secure_receive(secure, back + got, MIN(MUCH - got, (usize)5000));
        cr_assert_neq(in, 0);
        got += in > 0 ? (usize)in : 0;
        if (in < 0 && (out < 0 || sent == MUCH)) {
            wait_for(secure, fd);
        }
    }
    cr_assert_eq(memcmp(much, back, MUCH), 0);
    ssize_t end = secure_receive(secure, back, MUCH);
    while (end < 0) {
        wait_for(secure, fd);
        end = secure_receive(secure, back, MUCH);
    }
    cr_assert_eq(end, 0, "the server says that this was all");
    secure_close(secure);
    close(fd);
    fd = connect_to(0); /* an end that nobody announced */
    secure = secure_open(trust, fd, "localhost", "echo", 5000, why, sizeof why);
    cr_assert_not_null(secure, "%s", why);
    shutdown(fd, SHUT_RD);
    cr_assert(secure_receive(secure, back, MUCH) == -1 && errno == ECONNRESET, "%s",
              strerror(errno));
    secure_close(secure);
    secure_trust_close(trust);
    close(fd);
    free(much);
    free(back);
    stop();
}
