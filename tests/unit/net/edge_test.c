/*
 * edge_test.c: the real edge on both kinds of ring, with blocking clients in the test's thread. The
 * protocol under test does what the first byte it receives says:
 *   e echo everything        p pause, and resume at the next wake    d a deadline in 50 ms
 *   q say nothing            B the same as b, and hold               b eight MiB of output
 *   h hold until the wake    c say "bye" and close
 */
#include "net/edge.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/protocols.h"

#define BIG_BYTES (8 * MIB)
#define SECOND_NS ((u64)1000000000)

struct session {
    struct net_conn *conn;
    char mode;
    bool held;
    usize count;
};

struct server {
    struct edge *edge;
    pthread_t thread;
    u64 grace_ns;
    struct session *session; /* the last one that paused or held */
    _Atomic u32 opened, closed, drained, turns, wakes, inputs, kept_count;
    _Atomic u32 nap_ms; /* the next wake sleeps so long */
    struct http_call *kept;
};

static struct server server;

static void open_session(void *memory, struct net_conn *conn, void *context) {
    struct session *session = memory;
    check(context == &server && session->mode == 0 && session->count == 0);
    session->conn = conn;
    check(strcmp(net_peer(conn), "127.0.0.1") == 0);
    server.opened++;
}

static void receive(void *memory, const char *data, usize bytes) {
    struct session *session = memory;
    check(bytes > 0);
    session->count += bytes;
    if (session->mode == 0) {
        session->mode = data[0];
        switch (session->mode) {
        case 'p':
            net_pause(session->conn);
            server.session = session;
            break;
        case 'd':
            net_set_deadline(session->conn, clock_monotonic_ns() + SECOND_NS / 20);
            break;
        case 'h':
            net_hold(session->conn);
            session->held = true;
            server.session = session;
            break;
        case 'B':
            net_hold(session->conn);
            session->held = true;
            server.session = session;
            /* fall through */
        case 'b': {
            char *big = malloc(BIG_BYTES);
            for (usize at = 0; at < BIG_BYTES; at++) {
                big[at] = (char)(at * 31 >> 8);
            }
            net_send(session->conn, big, BIG_BYTES / 2);
            net_send(session->conn, big + BIG_BYTES / 2, BIG_BYTES / 2);
            check(net_output_bytes(session->conn) == BIG_BYTES);
            free(big);
            break;
        }
        case 'c':
            net_send(session->conn, "bye", 3);
            net_close_after_send(session->conn);
            break;
        default:
            break;
        }
    }
    server.inputs++;
    if (session->mode == 'e' || session->mode == 'p') {
        net_send(session->conn, data, bytes);
    }
}

static void closed(void *memory) {
    (void)memory;
    server.closed++;
}

static void expired(void *memory) {
    struct session *session = memory;
    net_send(session->conn, "late", 4);
    net_close_after_send(session->conn);
}

static void drained(void *memory) {
    (void)memory;
    server.drained++;
}

static const struct net_protocol test_protocol = {
    .name = "test",
    .session_bytes = sizeof(struct session),
    .open = open_session,
    .receive = receive,
    .closed = closed,
    .expired = expired,
    .drained = drained,
};

static void on_wake(void *context) {
    struct session *session = server.session;
    check(context == &server);
    usleep(server.nap_ms * 1000);
    server.session = NULL;
    if (session != NULL && session->mode == 'p') {
        net_resume(session->conn);
    } else if (session != NULL) {
        session->count++; /* its memory lasts */
        net_send(session->conn, "answer", 6);
        session->held = false;
        net_release(session->conn);
    }
    if (server.kept != NULL) {
        struct http_call *call = server.kept;
        server.kept = NULL;
        buf_put_text(&call->reply, "done");
        http_call_finish(call);
    }
    server.wakes++;
}

static void on_turn(void *context) {
    (void)context;
    server.turns++;
}

static void *run(void *argument) {
    (void)argument;
    edge_run(server.edge, server.grace_ns);
    return NULL;
}

static struct edge_options options_of(enum edge_kind kind, const struct net_listener *listener) {
    return (struct edge_options){.kind = kind,
                                 .listeners = listener,
                                 .listener_count = 1,
                                 .connections_max = 4000,
                                 .idle_ns = 60 * SECOND_NS,
                                 .on_wake = on_wake,
                                 .on_turn = on_turn,
                                 .context = &server};
}

static void start(struct edge_options options) {
    char why[256] = "";
    memset(&server, 0, sizeof server);
    server.grace_ns = 5 * SECOND_NS;
    cr_assert_eq(edge_create(&options, &server.edge, why, sizeof why), ERR_OK, "%s", why);
    cr_assert_eq(pthread_create(&server.thread, NULL, run, NULL), 0);
}

static void start_test_protocol(enum edge_kind kind) {
    static const struct net_listener listener = {&test_protocol, &server, "127.0.0.1", 0, NULL};
    start(options_of(kind, &listener));
}

static void stop(void) {
    edge_stop(server.edge);
    cr_assert_eq(pthread_join(server.thread, NULL), 0);
    struct edge_stats stats;
    edge_get_stats(server.edge, &stats);
    cr_assert_eq(stats.connections, 0);
    cr_assert_eq(server.opened, server.closed);
    edge_destroy(server.edge);
}

static int connect_client(void) {
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

static void put(int fd, const char *text) {
    cr_assert_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static void expect(int fd, const char *text) {
    char got[256] = "";
    usize bytes = strlen(text);
    cr_assert_eq(recv(fd, got, bytes, MSG_WAITALL), (ssize_t)bytes, "wanted %s, got %s", text, got);
    cr_assert_eq(memcmp(got, text, bytes), 0, "wanted %s, got %s", text, got);
}

static void expect_end(int fd) {
    char byte;
    ssize_t bytes = recv(fd, &byte, 1, 0);
    cr_assert(bytes == 0 || (bytes < 0 && errno == ECONNRESET), "%zd %d", bytes, errno);
    close(fd);
}

static void wait_for(_Atomic u32 *value, u32 wanted) {
    for (u32 tries = 0; *value < wanted && tries < 5000; tries++) {
        usleep(1000);
    }
    cr_assert_geq(*value, wanted);
}

/* Sends, and waits until the protocol has seen it. */
static void put_and_wait(int fd, const char *text) {
    u32 inputs = server.inputs;
    put(fd, text);
    wait_for(&server.inputs, inputs + 1);
}

/* --- what both kinds must do --------------------------------------------------------------------
 */

static void check_echo(void) {
    int fd = connect_client();
    put(fd, "echo this");
    expect(fd, "echo this");
    put(fd, " and that");
    expect(fd, " and that");
    cr_assert_geq(server.turns, 2);
    int other = connect_client();
    put(other, "c");
    expect(other, "bye");
    expect_end(other);
    wait_for(&server.closed, 1);
    close(fd);
    wait_for(&server.closed, 2);
}

static void check_deadline(void) {
    int fd = connect_client();
    u64 before = clock_monotonic_ns();
    put(fd, "d");
    expect(fd, "late");
    u64 spent = clock_monotonic_ns() - before;
    cr_assert(spent >= SECOND_NS / 20 && spent < SECOND_NS, "%lu", spent);
    expect_end(fd);
}

static u64 cpu_ns(void) {
    struct timespec used;
    cr_assert_eq(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used), 0);
    return (u64)used.tv_sec * SECOND_NS + (u64)used.tv_nsec;
}

/* Nothing comes while it is paused, everything after; meanwhile the peer is held up, and the loop
 * does not spin over what it does not read. */
static void check_pause(void) {
    static char many[64 * KIB];
    int fd = connect_client();
    put(fd, "p");
    expect(fd, "p");
    put(fd, "while ");
    usleep(30000);
    put(fd, "paused");
    usize sent = 0;
    ssize_t part;
    memset(many, 'm', sizeof many);
    for (u32 tries = 0; tries < 20; tries++) {
        while ((part = send(fd, many, sizeof many, MSG_DONTWAIT | MSG_NOSIGNAL)) > 0 &&
               sent < 64 * MIB) {
            sent += (usize)part;
        }
        cr_assert(part < 0 && errno == EAGAIN, "%zu bytes went", sent);
        usleep(5000);
    }
    u64 before = cpu_ns();
    usleep(200000);
    cr_assert_lt(cpu_ns() - before, SECOND_NS / 25);
    char none[8];
    cr_assert_eq(recv(fd, none, sizeof none, MSG_DONTWAIT), -1);
    edge_wake(server.edge);
    expect(fd, "while paused");
    while (sent > 0) {
        part = recv(fd, many, MIN(sent, sizeof many), 0);
        cr_assert_gt(part, 0);
        sent -= (usize)part;
    }
    put(fd, "again");
    expect(fd, "again");
    close(fd);
}

static void check_hold(void) {
    int fd = connect_client(); /* the peer goes */
    u32 closed_before = server.closed;
    put_and_wait(fd, "h");
    close(fd);
    wait_for(&server.closed, closed_before + 1);
    u32 wakes = server.wakes;
    edge_wake(server.edge);
    wait_for(&server.wakes, wakes + 1);

    fd = connect_client(); /* the peer has only stopped sending: the answer still comes */
    put_and_wait(fd, "h");
    shutdown(fd, SHUT_WR);
    wait_for(&server.closed, closed_before + 2);
    edge_wake(server.edge);
    expect(fd, "answer");
    expect_end(fd);
}

static void check_much_output(void) {
    int fd = connect_client();
    put(fd, "b");
    char *big = malloc(BIG_BYTES);
    usleep(50000);
    cr_assert_eq(recv(fd, big, BIG_BYTES, MSG_WAITALL), (ssize_t)BIG_BYTES);
    bool same = true;
    for (usize at = 0; at < BIG_BYTES; at++) {
        same = same && big[at] == (char)(at * 31 >> 8);
    }
    cr_assert(same);
    wait_for(&server.drained, 1);
    close(fd);
    fd = connect_client(); /* now with nobody who reads it */
    put_and_wait(fd, "b");
    close(fd);
    free(big);
}

/* Stopping waits for what is held, and sends its answer. */
static void check_stop(void) {
    int fd = connect_client();
    put_and_wait(fd, "h");
    edge_stop(server.edge);
    usleep(30000);
    edge_wake(server.edge);
    expect(fd, "answer");
    expect_end(fd);
    stop();
}

static void check_basics(enum edge_kind kind) {
    start_test_protocol(kind);
    check_echo();
    check_deadline();
    check_pause();
    check_hold();
    check_much_output();
    check_stop();
}

Test(edge, uring_basics) {
    check_basics(EDGE_URING);
}

Test(edge, epoll_basics) {
    check_basics(EDGE_EPOLL);
}

static void check_many(enum edge_kind kind) {
    enum { MANY = 1500 };
    static int fd[MANY];
    struct rlimit limit;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    u32 many = limit.rlim_cur > 2 * MANY + 100 ? MANY : 200;
    start_test_protocol(kind);
    for (u32 at = 0; at < many; at++) {
        fd[at] = connect_client();
        put(fd[at], "e");
    }
    for (u32 at = 0; at < many; at++) {
        expect(fd[at], "e");
    }
    /* All at once, while the loop sleeps: more input than there are receive buffers. */
    for (u32 round = 0; round < 3; round++) {
        u32 wakes = server.wakes;
        server.nap_ms = 100;
        edge_wake(server.edge);
        usleep(20000);
        for (u32 at = 0; at < many; at++) {
            put(fd[at], "round");
        }
        wait_for(&server.wakes, wakes + 1);
        server.nap_ms = 0;
        for (u32 at = 0; at < many; at++) {
            expect(fd[at], "round");
        }
    }
    struct edge_stats stats;
    edge_get_stats(server.edge, &stats);
    cr_assert_eq(stats.connections, many);
    cr_assert_eq(stats.received_bytes, (u64)many * 16);
    for (u32 at = 0; at < many; at++) {
        close(fd[at]);
    }
    wait_for(&server.closed, many);
    for (u32 at = 0; at < 10; at++) { /* slots are used again */
        fd[at] = connect_client();
        put(fd[at], "echo");
        expect(fd[at], "echo");
        close(fd[at]);
    }
    stop();
}

Test(edge, uring_many) {
    check_many(EDGE_URING);
}

Test(edge, epoll_many) {
    check_many(EDGE_EPOLL);
}

static void check_bounds(enum edge_kind kind) {
    static const struct net_listener listener = {&test_protocol, &server, "127.0.0.1", 0, NULL};
    struct edge_options options = options_of(kind, &listener);
    options.connections_max = 2;
    options.idle_ns = SECOND_NS / 5;
    start(options);
    int first = connect_client();
    put(first, "e");
    expect(first, "e");
    int second = connect_client();
    put_and_wait(second, "h"); /* held: not idle */
    int third = connect_client();
    expect_end(third);
    struct edge_stats stats;
    edge_get_stats(server.edge, &stats);
    cr_assert(stats.refused == 1 && stats.accepted == 2);
    expect_end(first); /* idle */
    wait_for(&server.closed, 1);
    usleep(200000);
    cr_assert_eq(server.closed, 1);
    edge_wake(server.edge);
    expect(second, "answer");
    expect_end(second); /* now it is */
    wait_for(&server.closed, 2);
    stop();
}

/* Who asks and does not read is closed after the idle time, though somebody works for it and though
 * it goes on sending; who reads slowly is not. */
static void check_stalled(enum edge_kind kind) {
    static const struct net_listener listener = {&test_protocol, &server, "127.0.0.1", 0, NULL};
    struct edge_options options = options_of(kind, &listener);
    options.idle_ns = SECOND_NS * 2; /* a busy machine may keep anybody waiting for a while */
    start(options);
    int slow = connect_client();
    int fd = connect_client();
    int few = 64 * KIB; /* what the kernel takes at once is not the protocol's matter */
    cr_assert_eq(setsockopt(slow, SOL_SOCKET, SO_RCVBUF, &few, sizeof few), 0);
    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &few, sizeof few), 0);
    put(slow, "b");
    put(fd, "B"); /* and hold */
    char *part = malloc(BIG_BYTES / 16);
    for (u32 at = 0; at < 16; at++) {
        send(fd, "x", 1, MSG_NOSIGNAL);
        cr_assert_eq(recv(slow, part, BIG_BYTES / 16, MSG_WAITALL), BIG_BYTES / 16);
        usleep(140000);
    }
    free(part);
    wait_for(&server.closed, 1);
    struct edge_stats stats;
    edge_get_stats(server.edge, &stats);
    cr_assert_eq(stats.expired, 1, "%llu", (unsigned long long)stats.expired);
    cr_assert_eq(server.closed, 1);
    close(slow);
    edge_wake(server.edge); /* releases what was held */
    wait_for(&server.closed, 2);
    close(fd);
    stop();
}

Test(edge, uring_stalled) {
    check_stalled(EDGE_URING);
}

Test(edge, epoll_stalled) {
    check_stalled(EDGE_EPOLL);
}

/* Idleness counts from the last input, though the loop slept long before that. */
Test(edge, idle_counts_from_input) {
    static const struct net_listener listener = {&test_protocol, &server, "127.0.0.1", 0, NULL};
    struct edge_options options = options_of(EDGE_AUTO, &listener);
    options.idle_ns = SECOND_NS * 2;
    start(options);
    int fd = connect_client();
    for (u32 at = 0; at < 3; at++) {
        usleep(1100000);
        put_and_wait(fd, "q");
    }
    char none;
    cr_assert(recv(fd, &none, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
    expect_end(fd);
    stop();
}

/* Descriptors run out: the client waits, and is served when there are some again. */
static void check_descriptors(enum edge_kind kind) {
    enum { FEW = 128 };
    struct rlimit few = {FEW, FEW};
    int spare[FEW];
    u32 spares = 0;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    start_test_protocol(kind);
    int first = connect_client();
    put_and_wait(first, "e");
    expect(first, "e");
    while ((spare[spares] = dup(first)) >= 0) {
        spares++;
    }
    close(spare[--spares]);
    int waiting = connect_client();
    put(waiting, "e");
    usleep(50000);
    char none;
    cr_assert_eq(recv(waiting, &none, 1, MSG_DONTWAIT), -1);
    put(first, "still here");
    expect(first, "still here");
    cr_assert_lt(server.turns, 100, "does not spin");
    while (spares > 0) {
        close(spare[--spares]);
    }
    expect(waiting, "e");
    close(waiting);
    close(first);
    stop();
}

Test(edge, uring_descriptors) {
    check_descriptors(EDGE_URING);
}

Test(edge, epoll_descriptors) {
    check_descriptors(EDGE_EPOLL);
}

Test(edge, uring_bounds) {
    check_bounds(EDGE_URING);
}

Test(edge, epoll_bounds) {
    check_bounds(EDGE_EPOLL);
}

/* --- HTTP over the edge -------------------------------------------------------------------------
 */

static enum call_outcome sum(struct http_call *call) {
    u64 total = 0;
    for (usize at = 0; at < call->body.bytes; at++) {
        total = total * 31 + (u8)call->body.data[at];
    }
    buf_put_u64(&call->reply, total);
    return CALL_DONE;
}

static enum call_outcome keep(struct http_call *call) {
    server.kept = call;
    server.kept_count++;
    return CALL_PENDING;
}

static const struct http_route routes[] = {
    {HTTP_POST, "/sum", sum, 8 * MIB, 0},
    {HTTP_POST, "/keep", keep, 8 * MIB, 0},
};

static void expect_reply(int fd, const char *body) {
    char head[1024] = "";
    usize bytes = 0;
    while (bytes < 4 || memcmp(head + bytes - 4, "\r\n\r\n", 4) != 0) {
        cr_assert_eq(recv(fd, head + bytes, 1, 0), 1, "%s", head);
        bytes++;
    }
    char length[64];
    snprintf(length, sizeof length, "Content-Length: %zu\r\n", strlen(body));
    cr_assert(strncmp(head, "HTTP/1.1 200 ", 13) == 0 && strstr(head, length) != NULL, "%s", head);
    expect(fd, body);
}

static void check_http(enum edge_kind kind) {
    struct pool *pool;
    cr_assert_eq(pool_create(256 * MIB, &pool), ERR_OK);
    static struct http_router router;
    http_router_init(&router, routes, ARRAY_COUNT(routes));
    struct http_server http = {
        .router = &router, .pool = pool, .head_ns = SECOND_NS, .body_ns = SECOND_NS};
    struct net_listener listener = {&http_protocol, &http, "127.0.0.1", 0, NULL};
    start(options_of(kind, &listener));
    usize bytes = 5000000;
    char *body = malloc(bytes);
    int fd = connect_client();
    static const usize sizes[] = {10, 5000000, 100, 300000, 20000, 17, 18, 19, 20, 70000, 1};
    for (usize at = 0; at < ARRAY_COUNT(sizes); at++) {
        u64 total = 0;
        for (usize byte = 0; byte < sizes[at]; byte++) {
            body[byte] = (char)(byte * 7 + at);
            total = total * 31 + (u8)body[byte];
        }
        char text[128];
        snprintf(text, sizeof text, "POST /sum HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n",
                 sizes[at]);
        put(fd, text);
        for (usize sent = 0; sent < sizes[at];) {
            ssize_t part = send(fd, body + sent, sizes[at] - sent, MSG_NOSIGNAL);
            cr_assert_gt(part, 0);
            sent += (usize)part;
        }
        snprintf(text, sizeof text, "%lu", total);
        expect_reply(fd, text);
    }
    put(fd, "POST /keep HTTP/1.1\r\nHost: x\r\n\r\nPOST /sum HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_for(&server.kept_count, 1);
    edge_wake(server.edge);
    expect_reply(fd, "done");
    expect_reply(fd, "0");
    int gone = connect_client();
    put(gone, "POST /keep HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
    wait_for(&server.kept_count, 2);
    close(gone);
    usleep(30000);
    edge_wake(server.edge);
    int slow = connect_client(); /* gives up in the middle of a body that is received in place */
    put(slow, "POST /sum HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\n");
    cr_assert_eq(send(slow, body, 100000, MSG_NOSIGNAL), 100000);
    usleep(10000);
    int reset = connect_client();
    put(reset, "POST /sum HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\n");
    cr_assert_eq(send(reset, body, 100000, MSG_NOSIGNAL), 100000);
    close(reset);
    expect(slow, "HTTP/1.1 408 Request Timeout\r\n");
    close(slow);
    put(fd, "POST /sum HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    expect_reply(fd, "0");
    expect_end(fd);
    put(gone = connect_client(), "POST /sum HTTP/1.1\r\n"); /* still here at the stop */
    free(body);
    stop();
    close(gone);
    pool_destroy(pool); /* checks that every block is back */
}

Test(edge, uring_http) {
    check_http(EDGE_URING);
}

Test(edge, epoll_http) {
    check_http(EDGE_EPOLL);
}

/* From here on this process gets `error` for io_uring_setup(). */
static void forbid_uring(u32 error) {
    struct sock_filter steps[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {ARRAY_COUNT(steps), steps};
    cr_assert_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    cr_assert_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

static void check_forbidden(u32 error, const char *name) {
    char why[256] = "";
    struct edge *edge = NULL;
    struct net_listener listener = {&test_protocol, &server, "127.0.0.1", 0, NULL};
    struct edge_options options = options_of(EDGE_URING, &listener);
    forbid_uring(error);
    cr_assert_eq(edge_create(&options, &edge, why, sizeof why), ERR_SYSTEM);
    cr_assert(strstr(why, "io_uring") != NULL && strstr(why, name) != NULL, "%s", why);
    start_test_protocol(EDGE_AUTO);
    int fd = connect_client();
    put(fd, "echo");
    expect(fd, "echo");
    close(fd);
    stop();
}

Test(edge, forbidden) {
    check_forbidden(EPERM, "EPERM");
}

Test(edge, unknown_to_the_kernel) {
    check_forbidden(ENOSYS, "ENOSYS");
}

Test(edge, no_locked_memory) {
    check_forbidden(ENOMEM, "RLIMIT_MEMLOCK");
}

Test(edge, refusals) {
    char why[256] = "";
    struct edge *edge = NULL;
    struct net_listener listener = {&test_protocol, &server, "localhost", 0, NULL};
    struct edge_options options = options_of(EDGE_AUTO, &listener);
    cr_assert_eq(edge_create(&options, &edge, why, sizeof why), ERR_INVALID);
    cr_assert(strstr(why, "localhost") != NULL);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(listen(fd, 1), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
    listener.host = "127.0.0.1";
    listener.port = ntohs(address.sin_port);
    cr_assert_eq(edge_create(&options, &edge, why, sizeof why), ERR_LOCKED);
    cr_assert(strstr(why, "in use") != NULL, "%s", why);
    close(fd);
    listener.host = "::1";
    listener.port = 0;
    enum err err = edge_create(&options, &edge, why, sizeof why);
    if (err == ERR_OK) { /* where there is IPv6 */
        cr_assert_neq(edge_port(edge, 0), 0);
        edge_destroy(edge);
    }
}
