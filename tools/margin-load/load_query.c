/*
 * load_query.c: queries: "top 100 customers by margin" at a fixed rate beside the load, and point
 * queries as fast as one connection carries them. Both use the client library.
 */
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "base/clock.h"
#include "base/turns.h"
#include "tools/margin-load/load.h"

#define WINDOW 512 /* point queries written at a time; twice as many are under way */

static struct margin_client *connect_client(struct load_worker *worker) {
    const struct load_options *options = worker->run->options;
    struct margin_options to = {.host = options->wire.host,
                                .port = options->wire.port,
                                .key = options->key,
                                .tls = options->wire.tls,
                                .tls_ca = options->tls_ca};
    struct margin_client *client;
    if (margin_connect(&to, &client, worker->why, sizeof worker->why) != MARGIN_OK) {
        worker->failed = true;
        return NULL;
    }
    return client;
}

static bool is_over(const struct load_worker *worker, u64 now_ns) {
    const struct load_run *run = worker->run;
    u64 seconds = run->options->seconds;
    return atomic_load_explicit(&run->stop, memory_order_relaxed) ||
           (seconds > 0 && now_ns - run->start_ns >= seconds * 1000000000);
}

static void sleep_until(u64 at_ns) {
    struct timespec at = {.tv_sec = (time_t)(at_ns / 1000000000),
                          .tv_nsec = (long)(at_ns % 1000000000)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

static void lost(struct load_worker *worker, const struct margin_client *client) {
    snprintf(worker->why, sizeof worker->why, "query: %s", margin_error_text(client));
    worker->failed = true;
}

void *load_query_run(void *argument) {
    struct load_worker *worker = argument;
    /* Who asks stands for a program on another machine, so it is not to wait for a processor behind
     * the load that this one makes. What it still waits is part of the latency. */
    turns_shorten();
    prctl(PR_SET_TIMERSLACK, 1); /* or it would wake up to 50 us late */
    struct margin_client *client = connect_client(worker);
    load_run_await_start(worker->run);
    if (client == NULL) {
        return NULL;
    }
    struct margin_query query = margin_query_all();
    query.group[0] = WIRE_DIM_CUSTOMER;
    query.group_count = 1;
    query.order = WIRE_ORDER_MARGIN;
    query.limit = 100;
    u64 interval_ns = 1000000000 / worker->run->options->query_rate;
    u64 due_ns = clock_monotonic_ns();
    while (!is_over(worker, clock_monotonic_ns())) {
        sleep_until(due_ns);
        struct margin_rows rows;
        enum margin_status status = margin_aggregate(client, &query, &rows);
        worker->counts.requests++;
        worker->counts.status[status] += status != MARGIN_OK;
        histogram_record(&worker->counts.latency_ns, clock_monotonic_ns() - due_ns);
        due_ns += interval_ns;
        if (status == MARGIN_LOST || status == MARGIN_TIMEOUT || status == MARGIN_PROTOCOL) {
            lost(worker, client);
            break;
        }
    }
    margin_close(client);
    return NULL;
}

/* Writes one window of queries over the customers, a different one each time. */
static enum margin_status send_window(struct margin_client *client,
                                      const struct load_options *options, u64 *next) {
    enum margin_status status = MARGIN_OK;
    for (u32 i = 0; i < WINDOW && status == MARGIN_OK; i++) {
        char name[32];
        int bytes = snprintf(name, sizeof name, "cust_%07llu",
                             (unsigned long long)((*next)++ % MIN(options->customers, 1000)));
        struct margin_cell cell = {.dimension = WIRE_DIM_CUSTOMER, .text = {name, (usize)bytes}};
        u32 request;
        status = margin_send_point(client, &cell, &request);
    }
    return status == MARGIN_OK ? margin_flush(client) : status;
}

static enum margin_status receive_window(struct load_worker *worker, struct margin_client *client,
                                         u64 sent_ns) {
    for (u32 i = 0; i < WINDOW; i++) {
        struct margin_reply reply;
        struct margin_point point;
        enum margin_status status = margin_receive(client, &reply);
        if (status != MARGIN_OK) {
            return status;
        }
        worker->counts.requests++;
        worker->counts.accepted += reply.status == MARGIN_OK && margin_reply_point(&reply, &point);
        worker->counts.status[reply.status] += reply.status != MARGIN_OK;
        if (i % 16 == 0) {
            histogram_record(&worker->counts.latency_ns, clock_monotonic_ns() - sent_ns);
        }
    }
    return MARGIN_OK;
}

void *load_point_run(void *argument) {
    struct load_worker *worker = argument;
    struct margin_client *client = connect_client(worker);
    load_run_await_start(worker->run);
    if (client == NULL) {
        return NULL;
    }
    u64 next = 0;
    u64 sent_ns = clock_monotonic_ns();
    enum margin_status status = send_window(client, worker->run->options, &next);
    while (status == MARGIN_OK) {
        u64 now_ns = clock_monotonic_ns();
        bool over = is_over(worker, now_ns) ||
                    (worker->run->options->events > 0 && next >= worker->run->options->events);
        if (!over) {
            status = send_window(client, worker->run->options, &next);
        }
        if (status == MARGIN_OK) {
            status = receive_window(worker, client, sent_ns);
        }
        sent_ns = now_ns;
        if (over) {
            break;
        }
    }
    if (status != MARGIN_OK) {
        lost(worker, client);
    }
    margin_close(client);
    return NULL;
}
