/*
 * point.c: point queries on the binary socket of a running server, pipelined on one connection as a
 * dashboard or a limiter would send them: the figures of one customer each, round robin over the
 * busiest ones, alternately for all time and for the last hour.
 *
 *     bench-point HOST PORT KEY [SECONDS]
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "margin.h"

#define CUSTOMERS_MAX 64
#define NAME_BYTES_MAX 256
#define IN_FLIGHT 64 /* requests a write; two writes are under way */
#define HOUR_S 3600
#define SECONDS_DEFAULT 3
#define SECOND_NS ((u64)1000000000)

_Static_assert(2 * IN_FLIGHT <= WIRE_IN_FLIGHT_MAX, "the server takes what we send");

struct bench {
    struct margin_client *client;
    char name[CUSTOMERS_MAX][NAME_BYTES_MAX];
    usize name_bytes[CUSTOMERS_MAX];
    u32 customers;
    u64 sent;
    u64 events_seen; /* so that a server that answers with nothing shows */
};

static _Noreturn void fail(const char *what, const char *why) {
    fprintf(stderr, "bench-point: %s: %s\n", what, why);
    exit(1);
}

static void read_customers(struct bench *bench) {
    struct margin_query query = margin_query_all();
    query.group[0] = WIRE_DIM_CUSTOMER;
    query.group_count = 1;
    query.limit = CUSTOMERS_MAX;
    struct margin_rows rows;
    if (margin_aggregate(bench->client, &query, &rows) != MARGIN_OK) {
        fail("customers", margin_error_text(bench->client));
    }
    struct margin_row row;
    while (bench->customers < CUSTOMERS_MAX && margin_rows_next(&rows, &row)) {
        if (row.group[0].bytes > 0 && row.group[0].bytes < NAME_BYTES_MAX) {
            memcpy(bench->name[bench->customers], row.group[0].data, row.group[0].bytes);
            bench->name_bytes[bench->customers++] = row.group[0].bytes;
        }
    }
    if (bench->customers == 0) {
        fail("customers", "the server has no events; load some first");
    }
}

static void send_some(struct bench *bench) {
    for (u32 i = 0; i < IN_FLIGHT; i++) {
        u32 customer = (u32)(bench->sent % bench->customers);
        struct margin_cell cell = {
            .dimension = WIRE_DIM_CUSTOMER,
            .text = {bench->name[customer], bench->name_bytes[customer]},
            .window_s = bench->sent / bench->customers % 2 == 0 ? 0 : HOUR_S,
        };
        u32 request;
        if (margin_send_point(bench->client, &cell, &request) != MARGIN_OK) {
            fail("sending", margin_error_text(bench->client));
        }
        bench->sent++;
    }
    if (margin_flush(bench->client) != MARGIN_OK) {
        fail("sending", margin_error_text(bench->client));
    }
}

static void receive_some(struct bench *bench) {
    for (u32 i = 0; i < IN_FLIGHT; i++) {
        struct margin_reply reply;
        struct margin_point point;
        if (margin_receive(bench->client, &reply) != MARGIN_OK || reply.status != MARGIN_OK ||
            !margin_reply_point(&reply, &point)) {
            fail("receiving", margin_error_text(bench->client));
        }
        bench->events_seen += point.figures.events;
    }
}

int main(int argc, char **argv) {
    if (argc < 4) {
        fprintf(stderr, "usage: bench-point HOST PORT KEY [SECONDS]\n");
        return 2;
    }
    static struct bench bench;
    char why[256];
    struct margin_options options = {
        .host = argv[1], .port = (u16)strtoul(argv[2], NULL, 10), .key = argv[3]};
    if (margin_connect(&options, &bench.client, why, sizeof why) != MARGIN_OK) {
        fail("connecting", why);
    }
    read_customers(&bench);
    u64 seconds = argc > 4 ? strtoull(argv[4], NULL, 10) : SECONDS_DEFAULT;
    u64 start = clock_monotonic_ns();
    u64 elapsed = 0;
    send_some(&bench);
    while (elapsed < seconds * SECOND_NS) {
        send_some(&bench);
        receive_some(&bench);
        elapsed = clock_monotonic_ns() - start;
    }
    u64 answered = bench.sent - IN_FLIGHT;
    receive_some(&bench);
    if (bench.events_seen == 0) {
        fail("answers", "no cell has an event");
    }
    margin_close(bench.client);
    printf("bench name=point_queries value=%" PRIu64 " unit=per_second\n",
           answered * SECOND_NS / elapsed);
    return 0;
}
