/*
 * margin_test.c: the client library against a made-up server (tests/support/wire_peer.h) on a real
 * socket: connecting, pipelining, and every way in which a server can disappoint. What real answers
 * look like is tested with the real server (tests/system/test_wire.py).
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/wire_peer.h"
#include "tools/client/codec.h"

struct server {
    int listener;
    u16 port;
    pthread_t thread;
    const char *instead; /* sent to every client in place of answers; NULL: behave */
    usize instead_bytes;
    bool damage; /* flips a bit of the third answer */
};

static void send_all(int fd, const char *data, usize bytes) {
    while (bytes > 0) {
        ssize_t sent = send(fd, data, bytes, MSG_NOSIGNAL);
        if (sent <= 0) {
            return;
        }
        data += sent;
        bytes -= (usize)sent;
    }
}

/* Serves one client until it goes. */
static void *serve(void *argument) {
    struct server *server = argument;
    static struct wire_peer peer;
    static char bytes[64 * 1024];
    int fd = accept(server->listener, NULL, NULL);
    u32 answers = 0;
    wire_peer_open(&peer, 64 * MIB);
    for (;;) {
        ssize_t got = recv(fd, bytes, sizeof bytes, 0);
        if (got <= 0) {
            break;
        }
        if (server->instead != NULL) {
            send_all(fd, server->instead, server->instead_bytes);
            continue;
        }
        wire_peer_receive(&peer, bytes, (usize)got);
        if (server->damage && ++answers == 3) {
            peer.sent.data[peer.sent.bytes - 1] ^= 1;
        }
        send_all(fd, peer.sent.data, peer.sent.bytes);
        buf_clear(&peer.sent);
        if (peer.closing) {
            break;
        }
    }
    wire_peer_close(&peer);
    close(fd);
    return NULL;
}

static void start(struct server *server) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    server->listener = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(server->listener, (struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(listen(server->listener, 1), 0);
    cr_assert_eq(getsockname(server->listener, (struct sockaddr *)&address, &bytes), 0);
    server->port = ntohs(address.sin_port);
    cr_assert_eq(pthread_create(&server->thread, NULL, serve, server), 0);
}

static void stop(struct server *server) {
    pthread_join(server->thread, NULL);
    close(server->listener);
}

static enum margin_status try_connect(const struct server *server, const char *key,
                                      struct margin_client **client, char why[256]) {
    struct margin_options options = {
        .host = "127.0.0.1", .port = server->port, .key = key, .timeout_ms = 300};
    return margin_connect(&options, client, why, 256);
}

Test(margin, pipelines_and_tells_answers_apart) {
    struct server server = {0};
    struct margin_client *client;
    char why[256] = "";
    start(&server);
    cr_assert_eq(try_connect(&server, "good", &client, why), MARGIN_OK, "%s", why);
    cr_expect_str_eq(margin_server_version(client), "margind/0.1.0");
    cr_expect_eq(margin_account(client), 7);
    cr_expect_eq(margin_ping(client), MARGIN_OK);
    u32 request[100];
    for (u32 i = 0; i < 100; i++) {
        struct margin_cell cell = {WIRE_DIM_CUSTOMER, SLICE("someone"), 0, i};
        cr_assert_eq(margin_send_point(client, &cell, &request[i]), MARGIN_OK);
    }
    for (u32 i = 0; i < 100; i++) {
        struct margin_reply reply;
        cr_assert_eq(margin_receive(client, &reply), MARGIN_OK);
        cr_expect_eq(reply.request, request[i]);
        cr_expect_eq(reply.type, WIRE_POINT);
        cr_assert_eq(reply.payload.bytes, WIRE_CELL_BYTES + 7, "the made-up server echoes");
        cr_expect_eq((u8)reply.payload.data[4], i);
    }
    char large[100000] = {0};
    struct margin_ingested ingested;
    cr_expect_eq(margin_ingest_json(client, (struct slice){large, sizeof large}, &ingested),
                 MARGIN_PROTOCOL, "8 bytes are no answer to an ingest");
    margin_close(client);
    stop(&server);
}

Test(margin, a_refused_request_leaves_the_connection_good) {
    struct server server = {0};
    struct margin_client *client;
    char why[256] = "";
    start(&server);
    cr_assert_eq(try_connect(&server, "good", &client, why), MARGIN_OK, "%s", why);
    char text[300] = {0};
    struct margin_cell cell = {WIRE_DIM_CUSTOMER, {text, sizeof text}, 0, 0};
    struct margin_point point;
    cr_expect_eq(margin_get_point(client, &cell, &point), MARGIN_INVALID, "refused here");
    cr_expect_eq(margin_ping(client), MARGIN_OK);
    u32 subscription;
    cr_expect_eq(margin_next_push(client, 10, &subscription, &point), MARGIN_TIMEOUT);
    cr_expect_eq(margin_ping(client), MARGIN_OK, "waiting for a push in vain is no failure");
    struct margin_stats stats;
    cr_expect_eq(margin_get_stats(client, &stats), MARGIN_PROTOCOL, "the server closes");
    cr_expect_eq(margin_ping(client), MARGIN_LOST, "and that is remembered");
    margin_close(client);
    stop(&server);
}

Test(margin, says_why_it_cannot_connect) {
    struct server server = {0};
    struct margin_client *client = NULL;
    char why[256] = "";
    start(&server);
    cr_expect_eq(try_connect(&server, "bad", &client, why), MARGIN_DENIED);
    cr_expect(strstr(why, "key") != NULL, "%s", why);
    stop(&server);
    cr_expect_eq(try_connect(&server, "good", &client, why), MARGIN_LOST);
    cr_expect(strstr(why, "is margind running there?") != NULL, "%s", why);

    server = (struct server){.instead = "HTTP/1.1 400 Bad Request\r\n\r\n", .instead_bytes = 28};
    start(&server);
    cr_expect_eq(try_connect(&server, "good", &client, why), MARGIN_PROTOCOL);
    stop(&server);
    server = (struct server){.instead = "", .instead_bytes = 0};
    start(&server);
    cr_expect_eq(try_connect(&server, "good", &client, why), MARGIN_TIMEOUT);
    cr_expect(strstr(why, "300 ms") != NULL, "%s", why);
    stop(&server);
    cr_expect_null(client);
}

Test(margin, sees_damage) {
    struct server server = {.damage = true};
    struct margin_client *client;
    char why[256] = "";
    start(&server);
    cr_assert_eq(try_connect(&server, "good", &client, why), MARGIN_OK, "%s", why);
    cr_expect_eq(margin_ping(client), MARGIN_PROTOCOL);
    cr_expect(strstr(margin_error_text(client), "checksum") != NULL);
    margin_close(client);
    stop(&server);
}

Test(margin, percent_of_margin) {
    static const struct {
        i128 cost;
        i128 revenue;
        bool given;
        i64 percent;
    } cases[] = {{0, 0, false, 0},
                 {5, -1, false, 0},
                 {0, 10, true, 100},
                 {10, 10, true, 0},
                 {20, 10, true, -100},
                 {1995, 2000, true, 0},
                 {1990, 2000, true, 1},
                 {-10, 10, true, 200},
                 {2010, 2000, true, 0},
                 {2011, 2000, true, -1},
                 {9000000 * (i128)PICO_PER_USD, 1, true, INT64_MIN},
                 {-9000000 * (i128)PICO_PER_USD, 1, true, INT64_MAX}};
    for (usize i = 0; i < ARRAY_COUNT(cases); i++) {
        struct margin_figures figures = {.cost = cases[i].cost, .revenue = cases[i].revenue};
        i64 percent = 0;
        cr_expect_eq(margin_figures_percent(&figures, &percent), cases[i].given, "case %zu", i);
        cr_expect_eq(percent, cases[i].percent, "case %zu: %lld", i, (long long)percent);
    }
}
