/*
 * run.c: one peer's race: its server is started, its payloads are made, writers send them while
 * one more connection asks the query at a steady rate; then its answers are held against the
 * oracle.
 *
 * Writers take batches from one counter, so that at the end the acknowledged events are the first n
 * of the stream, whoever sent them. The clock runs from the moment all are connected to the last
 * acknowledgement. The query is due at fixed times and its latency counts from then; while one is
 * unanswered those that come due are left out and counted, as a page that reloads itself would.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "base/clock.h"
#include "process.h"
#include "race.h"

#define SAMPLE_NS 200000000

struct run {
    const struct peer *peer;
    const struct race_options *options;
    const struct stream *stream;
    struct server server;
    struct payload *payload;
    u32 payload_count;
    pthread_barrier_t barrier;
    u64 start_ns;
    _Atomic u64 next_batch;
    _Atomic u64 last_ack_ns;
    _Atomic u64 acknowledged; /* batches */
    _Atomic u32 writing;      /* writers that are not done */
    _Atomic bool failed;
};

struct writer {
    struct run *run;
    pthread_t thread;
    struct histogram ack_ns;
};

/* --- payloads --------------------------------------------------------------------------------- */

static bool make_payloads(struct run *run) {
    const struct peer *peer = run->peer;
    u64 batches = (run->options->events + peer->batch - 1) / peer->batch;
    run->payload_count = (u32)MIN(STREAM_POOL / peer->batch, batches);
    run->payload = calloc(run->payload_count, sizeof *run->payload);
    for (u32 i = 0; run->payload != NULL && i < run->payload_count; i++) {
        struct payload *payload = &run->payload[i];
        payload->first = i * peer->batch;
        payload->count = peer->batch;
        payload->stream = run->stream;
        pthread_mutex_init(&payload->lock, NULL);
        payload->bytes = malloc(peer->event_bytes * peer->batch + 4 * KIB);
        payload->key_at = calloc(peer->batch, sizeof *payload->key_at);
        if (payload->bytes == NULL || payload->key_at == NULL) {
            return race_failed("payloads", "no memory");
        }
        peer->encode(&run->server, payload);
        check(payload->length <= peer->event_bytes * peer->batch + 4 * KIB);
    }
    return run->payload != NULL || race_failed("payloads", "no memory");
}

static void free_payloads(struct run *run) {
    for (u32 i = 0; run->payload != NULL && i < run->payload_count; i++) {
        free(run->payload[i].bytes);
        free(run->payload[i].key_at);
    }
    free(run->payload);
}

/* --- threads ---------------------------------------------------------------------------------- */

static void await_start(struct run *run) {
    pthread_barrier_wait(&run->barrier);
    pthread_barrier_wait(&run->barrier); /* in between start_ns is set */
}

/* True if the batch is the run's, not past its end. */
static bool claim(struct run *run, u64 *batch) {
    u64 now_ns = clock_monotonic_ns();
    if (atomic_load(&run->failed) || race_stopped() ||
        now_ns - run->start_ns >= run->options->seconds * 1000000000) {
        return false;
    }
    *batch = atomic_fetch_add(&run->next_batch, 1);
    return *batch * run->peer->batch < run->options->events;
}

static bool send_batch(struct writer *writer, void *conn, u64 batch) {
    struct run *run = writer->run;
    const struct peer *peer = run->peer;
    struct payload *payload = &run->payload[batch % run->payload_count];
    pthread_mutex_lock(&payload->lock);
    u64 first = batch * peer->batch;
    for (u32 i = 0; i < peer->batch; i++) {
        stream_put_key(run->stream, first + i, peer->key_form, payload->bytes + payload->key_at[i]);
    }
    u64 sent_ns = clock_monotonic_ns();
    bool good = peer->ingest_batch(conn, payload);
    u64 now_ns = clock_monotonic_ns();
    pthread_mutex_unlock(&payload->lock);
    histogram_record(&writer->ack_ns, now_ns - sent_ns);
    if (good) {
        atomic_fetch_add(&run->acknowledged, 1);
        u64 last_ns = atomic_load(&run->last_ack_ns);
        while (last_ns < now_ns &&
               !atomic_compare_exchange_weak(&run->last_ack_ns, &last_ns, now_ns)) {
        }
    }
    return good;
}

static void *writer_run(void *argument) {
    struct writer *writer = argument;
    struct run *run = writer->run;
    void *conn = run->peer->connect(&run->server);
    if (conn == NULL) {
        atomic_store(&run->failed, true);
    }
    await_start(run);
    u64 batch;
    while (conn != NULL && claim(run, &batch)) {
        if (!send_batch(writer, conn, batch)) {
            atomic_store(&run->failed, true);
        }
    }
    atomic_fetch_sub(&run->writing, 1);
    if (conn != NULL) {
        run->peer->disconnect(conn);
    }
    return NULL;
}

static void sleep_until(u64 at_ns) {
    struct timespec at = {.tv_sec = (time_t)(at_ns / 1000000000),
                          .tv_nsec = (long)(at_ns % 1000000000)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

/* The query beside the load, until the last writer is done. */
static void ask(struct run *run, void *conn, struct result *out) {
    u64 interval_ns = run->options->query_rate > 0 ? 1000000000 / run->options->query_rate : 0;
    struct ranking ranking;
    for (u64 tick = 1; interval_ns > 0; tick++) {
        u64 due_ns = run->start_ns + tick * interval_ns;
        u64 now_ns = clock_monotonic_ns();
        if (due_ns < now_ns) {
            tick = (now_ns - run->start_ns) / interval_ns; /* the one that is due next */
            continue;
        }
        sleep_until(due_ns);
        if (atomic_load(&run->writing) == 0) {
            break;
        }
        if (!run->peer->top(conn, &ranking)) {
            atomic_store(&run->failed, true);
            break;
        }
        histogram_record(&out->query_ns, clock_monotonic_ns() - due_ns);
    }
}

struct asker {
    struct run *run;
    struct result *out;
    void *conn;
    pthread_t thread;
};

static void *asker_run(void *argument) {
    struct asker *asker = argument;
    await_start(asker->run);
    ask(asker->run, asker->conn, asker->out);
    return NULL;
}

/* --- one race --------------------------------------------------------------------------------- */

/* Runs the writers and the query; watches the server's memory meanwhile. */
static void race(struct run *run, struct asker *asker, struct result *out) {
    const struct peer *peer = run->peer;
    struct writer *writer = calloc(peer->writers, sizeof *writer);
    check(writer != NULL && pthread_barrier_init(&run->barrier, NULL, peer->writers + 2) == 0);
    atomic_store(&run->writing, peer->writers);
    for (u32 i = 0; i < peer->writers; i++) {
        writer[i].run = run;
        check(pthread_create(&writer[i].thread, NULL, writer_run, &writer[i]) == 0);
    }
    check(pthread_create(&asker->thread, NULL, asker_run, asker) == 0);
    u64 before = run->server.pid > 0 ? 0 : process_memory(0); /* a library's host had it anyway */
    pthread_barrier_wait(&run->barrier);
    run->start_ns = clock_monotonic_ns();
    atomic_store(&run->last_ack_ns, run->start_ns);
    pthread_barrier_wait(&run->barrier);
    for (bool writing = true; writing;) {
        sleep_until(clock_monotonic_ns() + SAMPLE_NS);
        writing = atomic_load(&run->writing) > 0;
        u64 memory = process_memory(run->server.pid);
        out->memory_bytes = MAX(out->memory_bytes, memory - MIN(memory, before));
    }
    for (u32 i = 0; i < peer->writers; i++) {
        pthread_join(writer[i].thread, NULL);
        histogram_merge(&out->ack_ns, &writer[i].ack_ns);
    }
    pthread_join(asker->thread, NULL);
    free(writer);
    out->events = atomic_load(&run->acknowledged) * peer->batch;
    u64 ns = atomic_load(&run->last_ack_ns) - run->start_ns;
    out->seconds = (double)ns / 1e9;
    out->queries_due = ns * run->options->query_rate / 1000000000;
}

/* Asks for the figures at once after the last acknowledgement: what was acknowledged is in them. */
static bool judge(struct run *run, void *conn, struct result *out) {
    static struct ranking ranking;
    struct totals totals;
    struct oracle oracle;
    char why[256];
    if (!run->peer->top(conn, &ranking) || !run->peer->totals(conn, &totals) ||
        !stream_oracle(run->stream, out->events, &oracle)) {
        return false;
    }
    out->exact = stream_agrees(run->stream, &oracle, &ranking, &totals, why, sizeof why);
    out->unique = oracle.totals.events;
    stream_oracle_free(&oracle);
    if (!out->exact) {
        race_failed(run->peer->name, why);
    }
    return run->peer->disk_bytes == NULL || run->peer->disk_bytes(conn, &out->disk_bytes);
}

static bool run_started(struct run *run, struct result *out) {
    const struct peer *peer = run->peer;
    u64 empty = process_disk(run->server.dir, peer->passing);
    snprintf(out->version, sizeof out->version, "%s", run->server.version);
    if (!make_payloads(run)) {
        return false;
    }
    struct asker asker = {.run = run, .out = out, .conn = peer->connect(&run->server)};
    if (asker.conn == NULL) {
        return false;
    }
    race(run, &asker, out);
    bool good = !atomic_load(&run->failed) && !race_stopped() && judge(run, asker.conn, out);
    peer->disconnect(asker.conn);
    process_stop(&run->server, peer->stop_signal);
    if (good && peer->disk_bytes == NULL) {
        u64 full = process_disk(run->server.dir, peer->passing);
        out->disk_bytes = full - MIN(full, empty);
    }
    return good;
}

void run_peer(const struct peer *peer, const struct race_options *options,
              const struct stream *stream, struct result *out) {
    static struct run run;
    memset(&run, 0, sizeof run);
    memset(out, 0, sizeof *out);
    run.peer = peer;
    run.options = run.server.options = options;
    run.stream = run.server.stream = stream;
    check(STREAM_POOL % peer->batch == 0 && peer->writers <= RACE_WRITERS_MAX);
    if (!process_make_dir(&run.server)) {
        return;
    }
    out->ran = peer->start(&run.server) && run_started(&run, out);
    process_stop(&run.server, peer->stop_signal);
    free_payloads(&run);
    process_remove_dir(&run.server);
}
