/*
 * edge.c: the network edge and HTTP alone: a route that answers at once, over loopback, with a
 * closed-loop client in the same process. Prints requests a second for both kinds of edge.
 *
 *     build/bench-edge [connections] [body bytes] [seconds]
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/protocols.h"

#define CONNECTIONS_MAX_HERE 4096

struct client {
    u16 port;
    u32 connections;
    u64 end_ns;
    const char *request;
    usize request_bytes;
    u64 replies;
};

struct connection {
    int fd;
    usize sent;
};

static enum call_outcome ping(struct http_call *call) {
    buf_put_text(&call->reply, "{\"accepted\":1,\"duplicates\":0,\"errors\":[]}");
    return CALL_DONE;
}

static const struct http_route routes[] = {
    {HTTP_POST, "/api/v1/client/events", ping, 16 * MIB, 0},
};

static int connect_to(u16 port) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    check(connect(fd, (struct sockaddr *)(void *)&address, sizeof address) == 0);
    check(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
    return fd;
}

/* Sends what is left of the request; true while some is. */
static bool push(const struct client *client, struct connection *connection) {
    while (connection->sent < client->request_bytes) {
        ssize_t bytes = send(connection->fd, client->request + connection->sent,
                             client->request_bytes - connection->sent, MSG_NOSIGNAL);
        if (bytes < 0) {
            check(errno == EAGAIN);
            return true;
        }
        connection->sent += (usize)bytes;
    }
    return false;
}

static void want(int poll, struct connection *connection, int how, u32 events) {
    struct epoll_event event = {.events = events, .data.ptr = connection};
    check(epoll_ctl(poll, how, connection->fd, &event) == 0);
}

static void *run_client(void *argument) {
    struct client *client = argument;
    static struct connection connection[CONNECTIONS_MAX_HERE];
    int poll = epoll_create1(0);
    for (u32 at = 0; at < client->connections; at++) {
        connection[at] = (struct connection){.fd = connect_to(client->port)};
        want(poll, &connection[at], EPOLL_CTL_ADD,
             push(client, &connection[at]) ? EPOLLIN | EPOLLOUT : EPOLLIN);
    }
    char reply[4096];
    while (clock_monotonic_ns() < client->end_ns) {
        struct epoll_event ready[256];
        int count = epoll_wait(poll, ready, 256, 100);
        for (int at = 0; at < count; at++) {
            struct connection *one = ready[at].data.ptr;
            if ((ready[at].events & EPOLLIN) != 0 && recv(one->fd, reply, sizeof reply, 0) > 0) {
                client->replies++; /* replies are short enough to come whole */
                one->sent = 0;
            }
            bool more = push(client, one);
            if (more || (ready[at].events & EPOLLOUT) != 0) {
                want(poll, one, EPOLL_CTL_MOD, more ? EPOLLIN | EPOLLOUT : EPOLLIN);
            }
        }
    }
    for (u32 at = 0; at < client->connections; at++) {
        close(connection[at].fd);
    }
    close(poll);
    return NULL;
}

struct loop {
    struct edge *edge;
    u64 cpu_ns; /* of the edge's thread alone, so a busy machine does not blur it */
    u64 system_ns;
};

static void *run_edge(void *argument) {
    struct loop *loop = argument;
    edge_run(loop->edge, (u64)1000000000);
    struct rusage use;
    getrusage(RUSAGE_THREAD, &use);
    loop->system_ns = (u64)use.ru_stime.tv_sec * 1000000000u + (u64)use.ru_stime.tv_usec * 1000u;
    loop->cpu_ns = loop->system_ns + (u64)use.ru_utime.tv_sec * 1000000000u +
                   (u64)use.ru_utime.tv_usec * 1000u;
    return NULL;
}

/* Requests a second. */
static double measure(enum edge_kind kind, struct client *client, u64 seconds, struct loop *loop) {
    struct pool *pool;
    check(pool_create(GIB, &pool) == ERR_OK);
    static struct http_router router;
    http_router_init(&router, routes, ARRAY_COUNT(routes));
    struct http_server server = {
        .router = &router, .pool = pool, .head_ns = (u64)10000000000, .body_ns = (u64)10000000000};
    struct net_listener listener = {&http_protocol, &server, "127.0.0.1", 0, NULL};
    struct edge_options options = {.kind = kind,
                                   .listeners = &listener,
                                   .listener_count = 1,
                                   .connections_max = CONNECTIONS_MAX_HERE,
                                   .idle_ns = (u64)60000000000};
    char why[256];
    if (edge_create(&options, &loop->edge, why, sizeof why) != ERR_OK) {
        fprintf(stderr, "%s\n", why);
        pool_destroy(pool);
        return 0;
    }
    pthread_t edge_thread;
    pthread_t client_thread;
    client->port = edge_port(loop->edge, 0);
    client->replies = 0;
    u64 start = clock_monotonic_ns();
    client->end_ns = start + seconds * 1000000000u;
    check(pthread_create(&edge_thread, NULL, run_edge, loop) == 0);
    check(pthread_create(&client_thread, NULL, run_client, client) == 0);
    pthread_join(client_thread, NULL);
    double spent = (double)(clock_monotonic_ns() - start) / 1e9;
    edge_stop(loop->edge);
    pthread_join(edge_thread, NULL);
    edge_destroy(loop->edge);
    pool_destroy(pool);
    return (double)client->replies / spent;
}

int main(int argc, char **argv) {
    u32 connections = argc > 1 ? (u32)strtoul(argv[1], NULL, 10) : 256;
    usize body_bytes = argc > 2 ? strtoul(argv[2], NULL, 10) : 312;
    u64 seconds = argc > 3 ? strtoul(argv[3], NULL, 10) : 2;
    check(connections > 0 && connections <= CONNECTIONS_MAX_HERE);
    char head[256];
    int head_bytes = snprintf(head, sizeof head,
                              "POST /api/v1/client/events HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                              "Observe-Key: obs_0123456789abcdef\r\n"
                              "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
                              body_bytes);
    char *request = malloc((usize)head_bytes + body_bytes);
    check(request != NULL);
    memcpy(request, head, (usize)head_bytes);
    memset(request + head_bytes, 'x', body_bytes);
    struct client client = {.connections = connections,
                            .request = request,
                            .request_bytes = (usize)head_bytes + body_bytes};
    static const enum edge_kind kinds[] = {EDGE_URING, EDGE_EPOLL};
    static const char *const names[] = {"io_uring", "epoll"};
    for (u32 at = 0; at < ARRAY_COUNT(kinds); at++) {
        struct loop loop = {0};
        double rate = measure(kinds[at], &client, seconds, &loop);
        double requests = (double)MAX(client.replies, (u64)1);
        printf("edge %-8s %u connections, %zu body bytes: %.0f requests/s, %.2f GB/s; "
               "%.0f ns a request on the edge's thread, %.0f of it ours\n",
               names[at], connections, body_bytes, rate, rate * (double)client.request_bytes / 1e9,
               (double)loop.cpu_ns / requests, (double)(loop.cpu_ns - loop.system_ns) / requests);
    }
    free(request);
    return 0;
}
