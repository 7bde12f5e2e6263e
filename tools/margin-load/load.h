/*
 * load.h: the load generator's shared shapes.
 *
 * The generator must not be what is measured: requests are written whole before the clock starts,
 * as templates; to send one again only its keys and times are changed in place. Each slot (a
 * request that a connection may have under way) owns its templates, so nothing is copied.
 */
#ifndef MARGIN_LOAD_LOAD_H
#define MARGIN_LOAD_LOAD_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/histogram.h"
#include "margin.h"
#include "tools/client/secure.h"
#include "tools/client/settings.h"

enum load_mode {
    LOAD_HTTP,      /* POST /api/events/ingest */
    LOAD_SINGLE,    /* POST /api/v1/client/events, one event each */
    LOAD_WIRE,      /* native batches */
    LOAD_WIRE_JSON, /* JSON bodies on the binary socket */
    LOAD_POINT,     /* point queries, no events */
    LOAD_MODES
};

#define LOAD_TEMPLATES_MAX 32 /* requests prepared for each slot of a connection */

struct load_options {
    enum load_mode mode;
    struct settings_address http;
    struct settings_address wire;
    const char *tls_ca; /* NULL: whom the system trusts */
    char key[SETTINGS_KEY_MAX];
    u32 connections;
    u32 threads;
    u32 pipeline; /* requests under way a connection */
    u32 batch;    /* events a request */
    u64 events;   /* 0: no bound */
    u64 seconds;  /* 0: no bound */
    u64 rate;     /* events a second over all threads; 0: as fast as answers come */
    u64 query_rate;
    u64 customers;
    u64 features;
    u64 models;
    u64 duplicates;   /* per mille */
    u64 seed;         /* of keys */
    u64 content_seed; /* of everything else */
    bool spread;      /* times over the last 30 days instead of now */
    bool shuffled;    /* members of JSON objects in any order */
    u64 unexpected;   /* members more in each */
    bool json;
};

/* --- templates -------------------------------------------------------------------------------- */

struct load_patch { /* where an event's key and time stand in a request */
    u32 key;
    u32 time;
};

struct load_template {
    char *bytes;
    u32 length;
    u32 payload; /* offset of the frame's payload; binary socket only */
    struct load_patch *patch;
};

/* Writes a request for events as the generator makes them from `index` on. False: no memory. */
bool load_template_make(const struct load_options *options, u64 index, struct load_template *out);
void load_template_free(struct load_template *made);
/* Gives the request's events the keys of events index, index + 1... of this run, and times. */
void load_template_patch(const struct load_options *options, struct load_template *made, u64 index,
                         u32 request, i64 now_ms);

/* --- running ---------------------------------------------------------------------------------- */

#define LOAD_STATUS_MAX 1000

struct load_counts {
    u64 requests;
    u64 sent; /* events whose request was answered */
    u64 accepted;
    u64 duplicates;
    u64 refused; /* invalid events */
    u64 bytes;
    u64 retries;
    u64 lost;                    /* connections that broke */
    u64 status[LOAD_STATUS_MAX]; /* answers that were no success, by HTTP status or wire error */
    struct histogram latency_ns;
};

/* What all threads share. */
struct load_run {
    const struct load_options *options;
    struct secure_trust *trust; /* NULL: no TLS */
    _Atomic u64 next_event;
    _Atomic bool stop;
    pthread_barrier_t barrier; /* see load_run_await_start() */
    u64 start_ns;
};

/* Every thread calls it once it is connected or has failed; they go on together. */
static inline void load_run_await_start(struct load_run *run) {
    pthread_barrier_wait(&run->barrier);
    pthread_barrier_wait(&run->barrier); /* in between start_ns is set */
}

/* One client thread: its share of the connections and of the rate. */
struct load_worker {
    struct load_run *run;
    u32 index;
    struct load_counts counts;
    bool failed;
    char why[256];
};
void *load_worker_run(void *worker);

/* Point queries (LOAD_POINT), or the queries beside the load. */
void *load_query_run(void *worker);
void *load_point_run(void *worker);

#endif
