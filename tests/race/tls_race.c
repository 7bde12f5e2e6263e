/*
 * tls_race.c: the certificate changes again and again while two edges, on both kinds of ring, shake
 * hands with clients that come and go. Every client gets one of the certificates, whole.
 */
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/edge.h"
#include "net/tls.h"
#include "tests/support/echo.h"
#include "tests/support/tls_peer.h"

#define EDGES 2
#define CLIENTS 2 /* an edge */
#define CONNECTIONS 40
#define CERTIFICATES 2

static struct edge *edges[EDGES];
static struct tls_identity *identity;
static char dir[] = "/tmp/margin-tls-race.XXXXXX";
static char certificate[CERTIFICATES][64];
static char key[CERTIFICATES][64];
static char in_force[2][64]; /* certificate, key */
static atomic_bool over;
static _Atomic u32 seen[CERTIFICATES];

static void *run_edge(void *argument) {
    edge_run(argument, (u64)1000000000);
    return NULL;
}

static void exchange(struct tls_peer *peer, int fd, bool wait) {
    char part[8 * KIB];
    struct slice out = tls_peer_output(peer);
    check(send(fd, out.data, out.bytes, MSG_NOSIGNAL) == (ssize_t)out.bytes);
    if (wait) {
        ssize_t bytes = recv(fd, part, sizeof part, 0);
        check(bytes > 0);
        tls_peer_input(peer, part, (usize)bytes);
    }
}

static void talk(struct edge *edge) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(edge_port(edge, 0)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct tls_peer *peer = tls_peer_create(NULL, TLS_PEER_ANY, NULL);
    check(connect(fd, (struct sockaddr *)(void *)&address, sizeof address) == 0);
    while (!tls_peer_shake(peer)) {
        check(!tls_peer_failed(peer));
        exchange(peer, fd, true);
    }
    char name[16];
    tls_peer_server_name(peer, name, sizeof name);
    check((name[0] == '0' || name[0] == '1') && name[1] == 0);
    seen[name[0] - '0']++;
    for (u32 at = 0; at < 5; at++) {
        char got[4];
        tls_peer_put(peer, "echo", 4);
        exchange(peer, fd, false);
        while (tls_peer_get(peer, got, sizeof got) == 0) {
            check(!tls_peer_failed(peer));
            exchange(peer, fd, true);
        }
        check(memcmp(got, "echo", 4) == 0);
    }
    tls_peer_free(peer);
    close(fd);
}

static void *run_client(void *argument) {
    for (u32 at = 0; at < CONNECTIONS; at++) {
        talk(argument);
    }
    return NULL;
}

static void put_in_force(u32 which) {
    unlink(in_force[0]);
    unlink(in_force[1]);
    check(link(certificate[which], in_force[0]) == 0 && link(key[which], in_force[1]) == 0);
}

static void *run_reload(void *argument) {
    (void)argument;
    char why[256];
    for (u32 at = 0; !over; at++) {
        put_in_force(at % CERTIFICATES);
        check(tls_identity_reload(identity, why, sizeof why) == ERR_OK);
        check(tls_identity_expires_s(identity) > 0);
        usleep(1000);
    }
    return NULL;
}

int main(void) {
    char why[256];
    check(mkdtemp(dir) != NULL);
    for (u32 at = 0; at < CERTIFICATES; at++) {
        char name[2] = {(char)('0' + at), 0};
        snprintf(certificate[at], sizeof certificate[at], "%s/certificate%u", dir, at);
        snprintf(key[at], sizeof key[at], "%s/key%u", dir, at);
        tls_peer_make_certificate(certificate[at], key[at], name, 30);
    }
    snprintf(in_force[0], sizeof in_force[0], "%s/certificate", dir);
    snprintf(in_force[1], sizeof in_force[1], "%s/key", dir);
    put_in_force(0);
    const struct tls_files files = {in_force[0], in_force[1]};
    check(tls_identity_open(&files, &identity, why, sizeof why) == ERR_OK);
    pthread_t loop[EDGES];
    pthread_t client[EDGES * CLIENTS];
    pthread_t reload;
    for (u32 at = 0; at < EDGES; at++) {
        const struct net_listener listener = {&echo_protocol, NULL, "127.0.0.1", 0, identity};
        const struct edge_options options = {.kind = at == 0 ? EDGE_URING : EDGE_EPOLL,
                                             .listeners = &listener,
                                             .listener_count = 1,
                                             .handshake_ns = (u64)60 * 1000000000,
                                             .connections_max = 16};
        check(edge_create(&options, &edges[at], why, sizeof why) == ERR_OK);
        check(pthread_create(&loop[at], NULL, run_edge, edges[at]) == 0);
    }
    check(pthread_create(&reload, NULL, run_reload, NULL) == 0);
    for (u32 at = 0; at < EDGES * CLIENTS; at++) {
        check(pthread_create(&client[at], NULL, run_client, edges[at % EDGES]) == 0);
    }
    for (u32 at = 0; at < EDGES * CLIENTS; at++) {
        pthread_join(client[at], NULL);
    }
    over = true;
    pthread_join(reload, NULL);
    for (u32 at = 0; at < EDGES; at++) {
        edge_stop(edges[at]);
        pthread_join(loop[at], NULL);
        edge_destroy(edges[at]);
    }
    tls_identity_close(identity);
    for (u32 at = 0; at < CERTIFICATES; at++) {
        unlink(certificate[at]);
        unlink(key[at]);
        unlink(in_force[at]);
    }
    rmdir(dir);
    check(seen[0] > 0 && seen[1] > 0);
    printf("tls_race: good, %u and %u\n", seen[0], seen[1]);
    return 0;
}
