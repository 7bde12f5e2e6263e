/*
 * tls_edge_test.c: TLS on the real edge, on both kinds of ring, with a client in memory over a
 * blocking socket. The protocol under test does what the first byte it receives says:
 *   e echo everything     p pause, and resume at the next wake      c say "bye" and close
 *   h hold until the wake b eight MiB of output                     d take the rest in place
 */
#include "net/edge.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "limits.h"
#include "net/tls.h"
#include "tests/support/tls_peer.h"

#define BIG_BYTES (8 * MIB)
#define SECOND_NS ((u64)1000000000)

struct session {
    struct net_conn *conn;
    char mode;
    char *place; /* 'd': where it goes */
    usize at;
    usize direct_bytes;
};

static struct server {
    struct edge *edge;
    pthread_t thread;
    struct tls_identity *identity;
    struct session *session; /* the last one that paused or held */
    _Atomic u32 opened, closed, drained, wakes, turns;
    _Atomic u32 nap_ms; /* the next wake sleeps so long */
    _Atomic usize received, direct;
    _Atomic usize waiting; /* output of 'b' when more came from it */
} server;

static char dir[] = "/tmp/margin-tls-edge.XXXXXX";
static char certificate[64];
static char key[64];

static char nth(usize at) {
    return (char)(at * 31 >> 8);
}

static void open_session(void *memory, struct net_conn *conn, void *context) {
    struct session *session = memory;
    check(context == &server && session->mode == 0 && session->at == 0);
    check(net_is_secure(conn));
    session->conn = conn;
    server.opened++;
}

static void send_big(struct session *session) {
    char *big = malloc(BIG_BYTES);
    for (usize at = 0; at < BIG_BYTES; at++) {
        big[at] = nth(at);
    }
    net_send(session->conn, big, BIG_BYTES / 2);
    net_send(session->conn, big + BIG_BYTES / 2, BIG_BYTES / 2);
    check(net_output_bytes(session->conn) == BIG_BYTES);
    free(big);
}

static void begin(struct session *session, char mode) {
    session->mode = mode;
    if (mode == 'p') {
        net_pause(session->conn);
        server.session = session;
    } else if (mode == 'h') {
        net_hold(session->conn);
        server.session = session;
    } else if (mode == 'b') {
        send_big(session);
    } else if (mode == 'c') {
        net_send(session->conn, "bye", 3);
        net_close_after_send(session->conn);
    } else if (mode == 'd') {
        session->place = malloc(BIG_BYTES);
    }
}

static void receive(void *memory, const char *data, usize bytes) {
    struct session *session = memory;
    check(bytes > 0);
    if (session->mode == 0) {
        begin(session, data[0]);
        if (session->mode == 'd') { /* the test sends the first byte alone */
            check(bytes == 1);
            return;
        }
    }
    check(session->mode != 'd');
    if (session->mode == 'b' && session->at++ > 0) {
        server.waiting = net_output_bytes(session->conn);
    }
    if (session->mode == 'e' || session->mode == 'p') {
        net_send(session->conn, data, bytes);
    }
    server.received += bytes;
}

static bool direct(void *memory, char **into, usize *bytes) {
    struct session *session = memory;
    if (session->mode != 'd' || session->at == BIG_BYTES) {
        return false;
    }
    *into = session->place + session->at;
    *bytes = BIG_BYTES - session->at;
    return true;
}

static void received(void *memory, usize bytes) {
    struct session *session = memory;
    for (usize at = session->at; at < session->at + bytes; at++) {
        check(session->place[at] == nth(at));
    }
    session->at += bytes;
    server.direct += bytes;
    if (session->at == BIG_BYTES) {
        net_send(session->conn, "all", 3);
    }
}

static void closed(void *memory) {
    free(((struct session *)memory)->place);
    server.closed++;
}

static void drained(void *memory) {
    (void)memory;
    server.drained++;
}

static usize refuse_plain(char *to, usize bytes_max) {
    check(bytes_max >= 9);
    memcpy(to, "speak TLS", 9);
    return 9;
}

static const struct net_protocol test_protocol = {
    .name = "test",
    .alpn = "test",
    .session_bytes = sizeof(struct session),
    .open = open_session,
    .receive = receive,
    .closed = closed,
    .drained = drained,
    .direct = direct,
    .received = received,
    .refuse_plain = refuse_plain,
};

static void on_wake(void *context) {
    struct session *session = server.session;
    (void)context;
    usleep(server.nap_ms * 1000);
    server.nap_ms = 0;
    server.session = NULL;
    if (session != NULL && session->mode == 'p') {
        net_resume(session->conn);
    } else if (session != NULL) {
        net_send(session->conn, "answer", 6);
        net_release(session->conn);
    }
    server.wakes++;
}

static void on_turn(void *context) {
    (void)context;
    server.turns++;
}

static void *run(void *argument) {
    (void)argument;
    edge_run(server.edge, 5 * SECOND_NS);
    return NULL;
}

static void start(enum edge_kind kind, u64 idle_ns, u64 handshake_ns) {
    char why[256] = "";
    log_set_level(LOG_ERROR);
    memset(&server, 0, sizeof server);
    cr_assert_not_null(mkdtemp(dir));
    snprintf(certificate, sizeof certificate, "%s/certificate", dir);
    snprintf(key, sizeof key, "%s/key", dir);
    tls_peer_make_certificate(certificate, key, "edge", 30);
    const struct tls_files files = {certificate, key};
    cr_assert_eq(tls_identity_open(&files, &server.identity, why, sizeof why), ERR_OK, "%s", why);
    const struct net_listener listener = {&test_protocol, &server, "127.0.0.1", 0, server.identity};
    const struct edge_options options = {.kind = kind,
                                         .listeners = &listener,
                                         .listener_count = 1,
                                         .connections_max = 3000,
                                         .idle_ns = idle_ns,
                                         .handshake_ns = handshake_ns,
                                         .on_wake = on_wake,
                                         .on_turn = on_turn,
                                         .context = &server};
    cr_assert_eq(edge_create(&options, &server.edge, why, sizeof why), ERR_OK, "%s", why);
    cr_assert_eq(pthread_create(&server.thread, NULL, run, NULL), 0);
}

static struct edge_stats stats_now(void) {
    struct edge_stats stats;
    edge_get_stats(server.edge, &stats);
    return stats;
}

static void stop(void) {
    edge_stop(server.edge);
    cr_assert_eq(pthread_join(server.thread, NULL), 0);
    cr_assert_eq(stats_now().connections, 0);
    cr_assert_eq(server.opened, server.closed);
    edge_destroy(server.edge);
    tls_identity_close(server.identity);
    unlink(certificate);
    unlink(key);
    rmdir(dir);
}

static void wait_for(_Atomic u32 *value, u32 wanted) {
    for (u32 tries = 0; *value < wanted && tries < 5000; tries++) {
        usleep(1000);
    }
    cr_assert_geq(*value, wanted);
}

static void wait_for_connections(u64 wanted) {
    for (u32 tries = 0; stats_now().connections != wanted && tries < 5000; tries++) {
        usleep(1000);
    }
    cr_assert_eq(stats_now().connections, wanted);
}

/* --- a client ---------------------------------------------------------------------------------
 */

struct client {
    int fd;
    usize piece; /* bytes a send */
    struct tls_peer *peer;
};

static int connect_socket(void) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval patience = {.tv_sec = 5};
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(edge_port(server.edge, 0)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    cr_assert_geq(fd, 0);
    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void send_all(const struct client *client, struct slice bytes) {
    for (usize at = 0; at < bytes.bytes;) {
        usize part = MIN(client->piece, bytes.bytes - at);
        ssize_t sent = send(client->fd, bytes.data + at, part, MSG_NOSIGNAL);
        cr_assert_gt(sent, 0, "%s", strerror(errno));
        at += (usize)sent;
        if (client->piece < 100) { /* so that they come one by one */
            usleep(50);
        }
    }
}

/* False at the end of the connection. */
static bool receive_some(const struct client *client) {
    char part[32 * KIB];
    ssize_t bytes = recv(client->fd, part, sizeof part, 0);
    if (bytes > 0) {
        tls_peer_input(client->peer, part, (usize)bytes);
    }
    cr_assert(bytes >= 0 || errno == ECONNRESET, "%s", strerror(errno));
    return bytes > 0;
}

static struct client begin_client(usize piece, enum tls_peer_version version) {
    return (struct client){.fd = connect_socket(),
                           .piece = piece,
                           .peer = tls_peer_create(certificate, version, "test")};
}

static struct client connect_client(usize piece, enum tls_peer_version version) {
    struct client client = begin_client(piece, version);
    while (!tls_peer_shake(client.peer)) {
        send_all(&client, tls_peer_output(client.peer));
        cr_assert(receive_some(&client), "%s", tls_peer_why(client.peer));
    }
    send_all(&client, tls_peer_output(client.peer));
    return client;
}

static void put(const struct client *client, const char *data, usize bytes) {
    tls_peer_put(client->peer, data, bytes);
    send_all(client, tls_peer_output(client->peer));
}

/* False: the end came first. */
static bool get(const struct client *client, char *into, usize bytes) {
    for (usize at = 0; at < bytes;) {
        usize got = tls_peer_get(client->peer, into + at, bytes - at);
        cr_assert(!tls_peer_failed(client->peer), "%s", tls_peer_why(client->peer));
        at += got;
        if (got == 0 && !receive_some(client)) {
            return false;
        }
    }
    return true;
}

static void expect(const struct client *client, const char *text) {
    char got[64] = "";
    cr_assert(get(client, got, strlen(text)), "%s", text);
    cr_assert_str_eq(got, text);
}

/* The server says that no more comes before it closes. */
static void expect_end(const struct client *client) {
    char none;
    while (tls_peer_get(client->peer, &none, 1) == 0 && receive_some(client)) {
    }
    cr_assert(tls_peer_has_ended(client->peer) && !tls_peer_failed(client->peer), "%s",
              tls_peer_why(client->peer));
}

static void close_client(const struct client *client) {
    close(client->fd);
    tls_peer_free(client->peer);
}

/* --- what both kinds must do ------------------------------------------------------------------
 */

static void check_pieces(usize piece, enum tls_peer_version version) {
    struct client client = connect_client(piece, version);
    put(&client, "echo this", 9);
    expect(&client, "echo this");
    put(&client, " and that", 9);
    expect(&client, " and that");
    tls_peer_end(client.peer);
    send_all(&client, tls_peer_output(client.peer));
    expect_end(&client);
    close_client(&client);
}

static void check_close(void) {
    struct client client = connect_client(KIB, TLS_PEER_ANY);
    put(&client, "c", 1);
    expect(&client, "bye");
    expect_end(&client);
    close_client(&client);
}

/* Much comes while it is paused; none of it is lost, and the peer is held up before it is too
 * much. */
static void check_pause(void) {
    struct client client = connect_client(16 * KIB, TLS_PEER_ANY);
    static char many[16 * KIB];
    static char got[16 * KIB];
    put(&client, "p", 1);
    expect(&client, "p");
    usize sent = 0;
    bool held = false;
    while (!held && sent < 64 * MIB) {
        memset(many, 'a' + (int)(sent / sizeof many % 26), sizeof many);
        tls_peer_put(client.peer, many, sizeof many);
        sent += sizeof many;
        struct slice out = tls_peer_output(client.peer);
        usize at = 0;
        for (u32 tries = 0; at < out.bytes && tries < 100; tries++) {
            ssize_t part =
                send(client.fd, out.data + at, out.bytes - at, MSG_NOSIGNAL | MSG_DONTWAIT);
            at += part > 0 ? (usize)part : 0;
            if (part < 0) {
                cr_assert_eq(errno, EAGAIN);
                usleep(1000);
            }
        }
        if (at < out.bytes) {
            held = true;
            edge_wake(server.edge); /* goes on, else the rest of this record has no room */
            struct client rest = client;
            send_all(&rest, (struct slice){out.data + at, out.bytes - at});
        }
    }
    cr_assert(held, "%zu bytes went", sent);
    for (usize at = 0; at < sent; at += sizeof got) {
        cr_assert(get(&client, got, sizeof got));
        memset(many, 'a' + (int)(at / sizeof many % 26), sizeof many);
        cr_assert_eq(memcmp(got, many, sizeof got), 0, "at %zu", at);
    }
    close_client(&client);
}

/* An answer after the peer has said its last, by a word or by an end of bytes. What follows the
 * word is no reason to break off, and is read, or the end would reset the connection. */
static void check_hold(bool word, usize more) {
    static char ignored[400000];
    struct client client = connect_client(SIZE_MAX, TLS_PEER_ANY);
    usize before = server.received;
    u32 closed_before = server.closed;
    put(&client, "h", 1);
    for (u32 tries = 0; server.received == before && tries < 5000; tries++) {
        usleep(1000);
    }
    if (word) {
        tls_peer_end(client.peer);
        struct slice out = tls_peer_output(client.peer);
        memcpy(ignored, out.data, out.bytes);
        send_all(&client, (struct slice){ignored, out.bytes + more}); /* at once */
    } else {
        shutdown(client.fd, SHUT_WR);
    }
    wait_for(&server.closed, closed_before + 1);
    send_all(&client, (struct slice){ignored, more});
    edge_wake(server.edge);
    expect(&client, "answer");
    expect_end(&client);
    close_client(&client);
}

static void check_much_output(void) {
    struct client client = connect_client(KIB, TLS_PEER_ANY);
    char *big = malloc(BIG_BYTES);
    u32 drained_before = server.drained;
    put(&client, "b", 1);
    usleep(30000);
    cr_assert(get(&client, big, BIG_BYTES));
    for (usize at = 0; at < BIG_BYTES; at++) {
        cr_assert(big[at] == nth(at), "at %zu", at);
    }
    wait_for(&server.drained, drained_before + 1);
    put(&client, "x", 1);
    close_client(&client);
    free(big);
    client = connect_client(KIB, TLS_PEER_ANY); /* now with nobody who reads it */
    put(&client, "b", 1);
    close_client(&client);
}

/* Large input goes where the session wants it. */
static void check_direct(void) {
    struct client client = connect_client(100000, TLS_PEER_ANY);
    char *big = malloc(BIG_BYTES);
    for (usize at = 0; at < BIG_BYTES; at++) {
        big[at] = nth(at);
    }
    put(&client, "d", 1);
    server.direct = 0;
    put(&client, big, BIG_BYTES);
    expect(&client, "all");
    cr_assert_eq(server.direct, BIG_BYTES);
    close_client(&client);
    client = connect_client(100000, TLS_PEER_ANY); /* and is cut off */
    put(&client, "d", 1);
    put(&client, big, 100000);
    close_client(&client);
    free(big);
}

static void check_plain(void) {
    struct client client = {.fd = connect_socket(), .piece = KIB};
    char got[16] = "";
    u64 refused = stats_now().tls_refused;
    send_all(&client, SLICE("GET / HTTP/1.1\r\n\r\n"));
    cr_assert_eq(recv(client.fd, got, 9, MSG_WAITALL), 9);
    cr_assert_str_eq(got, "speak TLS");
    cr_assert_eq(recv(client.fd, got, 1, 0), 0);
    close(client.fd);
    cr_assert_eq(stats_now().tls_refused, refused + 1);
}

/* A record that was changed on its way ends the connection with an alert, and only that one. */
static void check_damage(void) {
    struct client client = connect_client(KIB, TLS_PEER_1_3);
    struct client other = connect_client(KIB, TLS_PEER_1_3);
    put(&client, "e", 1);
    expect(&client, "e");
    tls_peer_put(client.peer, "more", 4);
    struct slice out = tls_peer_output(client.peer);
    ((char *)(uintptr_t)out.data)[out.bytes - 1] ^= 1;
    send_all(&client, out);
    while (receive_some(&client)) {
    }
    char none;
    cr_assert_eq(tls_peer_get(client.peer, &none, 1), 0);
    cr_assert_not_null(strstr(tls_peer_why(client.peer), "bad record mac"), "%s",
                       tls_peer_why(client.peer));
    close_client(&client);
    put(&other, "echo", 4);
    expect(&other, "echo");
    close_client(&other);
}

static void check_basics(enum edge_kind kind) {
    start(kind, 60 * SECOND_NS, 5 * SECOND_NS);
    check_pieces(1, TLS_PEER_1_2);
    check_pieces(1, TLS_PEER_1_3);
    check_pieces(KIB, TLS_PEER_1_2);
    check_pieces(KIB, TLS_PEER_1_3);
    check_close();
    check_hold(true, 0);
    check_hold(true, 10);
    check_hold(true, 300000);
    check_hold(false, 0);
    check_much_output();
    check_direct();
    check_plain();
    check_damage();
    wait_for_connections(0);
    check_pause();
    struct client waiting = connect_client(KIB, TLS_PEER_ANY); /* still here at the stop */
    put(&waiting, "echo", 4);
    expect(&waiting, "echo");
    struct client shaking = begin_client(KIB, TLS_PEER_ANY);
    tls_peer_shake(shaking.peer);
    struct slice half = tls_peer_output(shaking.peer);
    send_all(&shaking, (struct slice){half.data, half.bytes / 2});
    stop();
    expect_end(&waiting);
    close_client(&waiting);
    close_client(&shaking);
}

Test(tls_edge, uring_basics) {
    check_basics(EDGE_URING);
}

Test(tls_edge, epoll_basics) {
    check_basics(EDGE_EPOLL);
}

/* Handshakes that do not end in time: silent ones, half ones, ones that go on byte by byte. A
 * session was never begun for them. */
static void check_slow(enum edge_kind kind) {
    enum { MANY = 30 };
    static struct client slow[MANY];
    start(kind, 60 * SECOND_NS, SECOND_NS / 2);
    for (u32 at = 0; at < MANY; at++) {
        slow[at] = begin_client(1, TLS_PEER_ANY);
        tls_peer_shake(slow[at].peer);
        struct slice out = tls_peer_output(slow[at].peer);
        send_all(&slow[at], (struct slice){out.data, at % 3 == 0 ? 0 : at});
    }
    struct client good = connect_client(KIB, TLS_PEER_ANY);
    put(&good, "echo", 4);
    expect(&good, "echo");
    u64 begun = clock_monotonic_ns();
    while (stats_now().connections > 1 && clock_monotonic_ns() - begun < 5 * SECOND_NS) {
        usleep(20000);
        for (u32 at = 1; at < MANY; at += 3) {
            send(slow[at].fd, "\0", 1, MSG_NOSIGNAL);
        }
    }
    u64 spent = clock_monotonic_ns() - begun;
    cr_assert(spent < 3 * SECOND_NS, "%llu", (unsigned long long)spent);
    cr_assert_eq(server.opened, 1);
    put(&good, "still", 5);
    expect(&good, "still");
    for (u32 at = 0; at < MANY; at++) {
        close_client(&slow[at]);
    }
    close_client(&good);
    stop();
}

Test(tls_edge, uring_slow_handshakes) {
    check_slow(EDGE_URING);
}

Test(tls_edge, epoll_slow_handshakes) {
    check_slow(EDGE_EPOLL);
}

/* More handshakes than may be under way: the oldest make way, and who answers is served as ever.
 * Beginnings of a first message are no handshakes. */
static void check_many(enum edge_kind kind) {
    enum { FEW = 200, MORE = 50, MANY = FEW + TLS_HANDSHAKES_MAX + MORE };
    static struct client many[MANY];
    struct rlimit files;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &files), 0);
    files.rlim_cur = files.rlim_max;
    cr_assert(files.rlim_max > 2 * MANY + 100 && setrlimit(RLIMIT_NOFILE, &files) == 0);
    start(kind, 60 * SECOND_NS, 60 * SECOND_NS);
    struct tls_peer *peer = tls_peer_create(certificate, TLS_PEER_ANY, "test");
    tls_peer_shake(peer);
    struct slice hello = tls_peer_output(peer);
    for (u32 at = 0; at < MANY; at++) {
        struct slice sent = {hello.data, at < FEW ? hello.bytes - 1 : hello.bytes};
        many[at] = (struct client){.fd = connect_socket(), .piece = SIZE_MAX};
        send_all(&many[at], sent);
    }
    char byte;
    for (u32 at = FEW; at < MANY; at++) { /* each is answered, and then cut off or not */
        cr_assert_eq(recv(many[at].fd, &byte, 1, 0), 1, "%u", at);
    }
    wait_for_connections(MANY - MORE);
    cr_assert_eq(stats_now().tls_handshakes, TLS_HANDSHAKES_MAX);
    cr_assert_eq(stats_now().tls_cut, MORE);
    struct client good = connect_client(KIB, TLS_PEER_ANY);
    put(&good, "echo", 4);
    expect(&good, "echo");
    cr_assert_eq(stats_now().tls_cut, MORE + 1);
    cr_assert_eq(stats_now().tls_handshakes, TLS_HANDSHAKES_MAX - 1);
    send_all(&many[0], (struct slice){hello.data + hello.bytes - 1, 1}); /* now one is whole */
    cr_assert_eq(recv(many[0].fd, &byte, 1, 0), 1);
    cr_assert_eq(stats_now().tls_handshakes, TLS_HANDSHAKES_MAX);
    cr_assert_eq(stats_now().tls_cut, MORE + 1);
    shutdown(many[1].fd, SHUT_WR); /* one that will never be */
    cr_assert_eq(recv(many[1].fd, &byte, 1, 0), 0);
    for (u32 at = 0; at < MANY; at++) {
        close(many[at].fd);
    }
    tls_peer_free(peer);
    close_client(&good);
    wait_for_connections(0);
    cr_assert_eq(stats_now().tls_handshakes, 0);
    stop();
}

Test(tls_edge, uring_many_handshakes) {
    check_many(EDGE_URING);
}

Test(tls_edge, epoll_many_handshakes) {
    check_many(EDGE_EPOLL);
}

/* Many handshakes at one instant: between them the loop looks at what else has come. */
static void check_burst(enum edge_kind kind) {
    enum { MANY = 60 };
    static struct client many[MANY];
    start(kind, 60 * SECOND_NS, 60 * SECOND_NS);
    for (u32 at = 0; at < MANY; at++) {
        many[at] = begin_client(SIZE_MAX, TLS_PEER_1_3);
        tls_peer_shake(many[at].peer);
    }
    wait_for_connections(MANY);
    u32 wakes = server.wakes;
    server.nap_ms = 200;
    edge_wake(server.edge);
    usleep(20000);
    for (u32 at = 0; at < MANY; at++) {
        send_all(&many[at], tls_peer_output(many[at].peer));
    }
    wait_for(&server.wakes, wakes + 1);
    u32 turns = server.turns;
    for (u32 at = 0; at < MANY; at++) {
        while (!tls_peer_shake(many[at].peer)) {
            cr_assert(receive_some(&many[at]), "%s", tls_peer_why(many[at].peer));
        }
    }
    cr_assert_geq(server.turns - turns, 10);
    for (u32 at = 0; at < MANY; at++) {
        send_all(&many[at], tls_peer_output(many[at].peer));
        put(&many[at], "echo", 4);
        expect(&many[at], "echo");
        close_client(&many[at]);
    }
    stop();
}

Test(tls_edge, uring_burst) {
    check_burst(EDGE_URING);
}

Test(tls_edge, epoll_burst) {
    check_burst(EDGE_EPOLL);
}

/* Who asks and does not read is closed after the idle time, though records that want an answer
 * keep coming; what waits for it is bounded. */
static void check_stalled(enum edge_kind kind) {
    start(kind, SECOND_NS, 5 * SECOND_NS);
    struct client client = connect_client(KIB, TLS_PEER_1_3);
    int few = 64 * KIB;
    cr_assert_eq(setsockopt(client.fd, SOL_SOCKET, SO_RCVBUF, &few, sizeof few), 0);
    put(&client, "b", 1);
    usleep(50000);
    put(&client, "x", 1);
    u64 begun = clock_monotonic_ns();
    while (server.waiting == 0 && clock_monotonic_ns() - begun < SECOND_NS / 2) {
        usleep(1000);
    }
    cr_assert_geq(server.waiting, 2 * MIB, "what is not sealed yet counts");
    while (stats_now().connections > 0 && clock_monotonic_ns() - begun < 6 * SECOND_NS) {
        tls_peer_update_keys(client.peer);
        struct slice out = tls_peer_output(client.peer);
        send(client.fd, out.data, out.bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
        usleep(2000);
    }
    u64 spent = clock_monotonic_ns() - begun;
    cr_assert(spent > SECOND_NS / 2 && spent < 5 * SECOND_NS, "%llu", (unsigned long long)spent);
    close_client(&client);
    stop();
}

Test(tls_edge, uring_stalled) {
    check_stalled(EDGE_URING);
}

Test(tls_edge, epoll_stalled) {
    check_stalled(EDGE_EPOLL);
}
