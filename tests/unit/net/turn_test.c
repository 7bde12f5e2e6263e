/*
 * turn_test.c: what a turn of the loop takes first. The loop sleeps while eight large inputs and,
 * last of all, a small one come in: the small one must not wait for the large ones, each of which
 * keeps the handler busy.
 */
#include "net/edge.h"

#include <criterion/criterion.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define LARGE 8
#define LARGE_BYTES (48 * KIB)

struct session {
    struct net_conn *conn;
    bool large;
    usize left; /* of a large input */
    char *into;
};

static struct edge *edge;
static _Atomic u32 begun;    /* large inputs */
static _Atomic u32 finished; /* and those that were handled */
static _Atomic u32 opened;
static atomic_bool asleep;
static atomic_bool awake;

static void open_session(void *memory, struct net_conn *conn, void *context) {
    (void)context;
    ((struct session *)memory)->conn = conn;
    opened++;
}

/* 'l' begins a large input; anything else is answered with how many large ones were handled. */
static void receive(void *memory, const char *data, usize bytes) {
    struct session *session = memory;
    if (!session->large && data[0] == 'l') {
        check(bytes == 1);
        session->large = true;
        session->left = LARGE_BYTES;
        session->into = malloc(LARGE_BYTES);
        check(session->into != NULL);
        begun++;
        return;
    }
    check(!session->large);
    char answer = (char)('0' + finished);
    net_send(session->conn, &answer, 1);
}

static bool direct(void *memory, char **into, usize *bytes) {
    struct session *session = memory;
    if (!session->large || session->left == 0) {
        return false;
    }
    *into = session->into + LARGE_BYTES - session->left;
    *bytes = session->left;
    return true;
}

static void received(void *memory, usize bytes) {
    struct session *session = memory;
    session->left -= bytes;
    if (session->left == 0) {
        usleep(2000);
        finished++;
    }
}

static void closed(void *memory) {
    free(((struct session *)memory)->into);
}

static void on_wake(void *context) {
    (void)context;
    asleep = true;
    while (!awake) {
        usleep(1000);
    }
}

static void *run(void *context) {
    (void)context;
    edge_run(edge, 1000000000);
    return NULL;
}

static int connect_client(void) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(edge_port(edge, 0)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    cr_assert_geq(fd, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void check_turn(enum edge_kind kind) {
    static const struct net_protocol protocol = {.name = "test",
                                                 .session_bytes = sizeof(struct session),
                                                 .open = open_session,
                                                 .receive = receive,
                                                 .closed = closed,
                                                 .direct = direct,
                                                 .received = received};
    static const struct net_listener listener = {&protocol, NULL, "127.0.0.1", 0, NULL};
    struct edge_options options = {.kind = kind,
                                   .listeners = &listener,
                                   .listener_count = 1,
                                   .connections_max = 100,
                                   .idle_ns = (u64)60 * 1000000000,
                                   .on_wake = on_wake};
    char why[256] = "";
    pthread_t thread;
    cr_assert_eq(edge_create(&options, &edge, why, sizeof why), ERR_OK, "%s", why);
    cr_assert_eq(pthread_create(&thread, NULL, run, NULL), 0);
    int large[LARGE];
    for (u32 i = 0; i < LARGE; i++) {
        large[i] = connect_client();
        cr_assert_eq(send(large[i], "l", 1, MSG_NOSIGNAL), 1);
    }
    int small = connect_client();
    char answer = 0;
    while (begun < LARGE || opened <= LARGE) {
        usleep(1000);
    }
    for (u32 i = 0; i < 10; i++) { /* so many turns later the large inputs are asked for in place */
        cr_assert_eq(send(small, "?", 1, MSG_NOSIGNAL), 1);
        cr_assert_eq(recv(small, &answer, 1, 0), 1);
        cr_expect_eq(answer, '0');
    }
    edge_wake(edge);
    while (!asleep) {
        usleep(1000);
    }
    static const char bytes[LARGE_BYTES];
    for (u32 i = 0; i < LARGE; i++) {
        cr_assert_eq(send(large[i], bytes, sizeof bytes, MSG_NOSIGNAL), (ssize_t)sizeof bytes);
    }
    cr_assert_eq(send(small, "?", 1, MSG_NOSIGNAL), 1);
    awake = true;
    cr_assert_eq(recv(small, &answer, 1, 0), 1);
    cr_expect_leq(answer, '1', "it waited for %c", answer);
    while (finished < LARGE) { /* and they are not forgotten */
        usleep(1000);
    }
    for (u32 i = 0; i < LARGE; i++) {
        close(large[i]);
    }
    close(small);
    edge_stop(edge);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    edge_destroy(edge);
}

Test(turn, uring_small_input_goes_before_large, .timeout = 60) {
    check_turn(EDGE_URING);
}

Test(turn, epoll_small_input_goes_before_large, .timeout = 60) {
    check_turn(EDGE_EPOLL);
}
