/*
 * edge_race.c: waking, asking for statistics and stopping from other threads while the loop serves
 * clients, on both kinds of ring. Every wake must be answered by at least one on_wake() after it.
 */
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/edge.h"
#include "tests/support/echo.h"

#define WAKERS 3
#define WAKES 20000
#define CLIENTS 2
#define ROUNDS 300

static _Atomic u32 wanted; /* raised before a wake */
static _Atomic u32 seen;   /* the highest `wanted` that on_wake() has found */
static struct edge *edge;

static void on_wake(void *context) {
    (void)context;
    atomic_store(&seen, atomic_load(&wanted));
}

static void *run_edge(void *argument) {
    (void)argument;
    edge_run(edge, (u64)1000000000);
    return NULL;
}

static void *run_waker(void *argument) {
    (void)argument;
    for (u32 at = 0; at < WAKES; at++) {
        u32 mine = atomic_fetch_add(&wanted, 1) + 1;
        edge_wake(edge);
        if (at % 100 == 0) { /* a lost wake would leave the loop asleep */
            for (u32 tries = 0; atomic_load(&seen) < mine && tries < 10000; tries++) {
                usleep(1000);
            }
            check(atomic_load(&seen) >= mine);
            struct edge_stats stats;
            edge_get_stats(edge, &stats);
        }
    }
    return NULL;
}

static void *run_client(void *argument) {
    (void)argument;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(edge_port(edge, 0)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    check(connect(fd, (struct sockaddr *)(void *)&address, sizeof address) == 0);
    for (u32 at = 0; at < ROUNDS; at++) {
        u32 number = at;
        check(send(fd, &number, sizeof number, MSG_NOSIGNAL) == (ssize_t)sizeof number);
        check(recv(fd, &number, sizeof number, MSG_WAITALL) == (ssize_t)sizeof number);
        check(number == at);
    }
    close(fd);
    return NULL;
}

static void run(enum edge_kind kind) {
    const struct net_listener listener = {&echo_protocol, NULL, "127.0.0.1", 0, NULL};
    const struct edge_options options = {.kind = kind,
                                         .listeners = &listener,
                                         .listener_count = 1,
                                         .connections_max = 16,
                                         .on_wake = on_wake};
    char why[256];
    pthread_t loop;
    pthread_t other[WAKERS + CLIENTS];
    check(edge_create(&options, &edge, why, sizeof why) == ERR_OK);
    atomic_store(&wanted, 0);
    atomic_store(&seen, 0);
    check(pthread_create(&loop, NULL, run_edge, NULL) == 0);
    for (u32 at = 0; at < WAKERS + CLIENTS; at++) {
        void *(*body)(void *) = at < WAKERS ? run_waker : run_client;
        check(pthread_create(&other[at], NULL, body, NULL) == 0);
    }
    for (u32 at = 0; at < WAKERS + CLIENTS; at++) {
        pthread_join(other[at], NULL);
    }
    edge_stop(edge);
    pthread_join(loop, NULL);
    edge_destroy(edge);
}

int main(void) {
    run(EDGE_URING);
    run(EDGE_EPOLL);
    for (u32 at = 0; at < 50; at++) { /* a stop may come before the loop, or with it */
        const struct edge_options options = {.kind = at % 2 == 0 ? EDGE_URING : EDGE_EPOLL,
                                             .connections_max = 1};
        char why[256];
        pthread_t loop;
        check(edge_create(&options, &edge, why, sizeof why) == ERR_OK);
        check(pthread_create(&loop, NULL, run_edge, NULL) == 0);
        edge_stop(edge);
        pthread_join(loop, NULL);
        edge_destroy(edge);
    }
    printf("edge_race: good\n");
    return 0;
}
