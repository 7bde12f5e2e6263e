/*
 * stream.h: the events of the race and what their figures must be.
 *
 * A pool of generated events (tools/client/generate.c, with a cost that the race computes) is gone
 * through again and again: event i is the pool's event i % STREAM_POOL under a key of its own, so
 * a run may last as long as it likes in bounded memory. A duplicate repeats an earlier event of
 * the same pass, key included.
 */
#ifndef MARGIN_RACE_STREAM_H
#define MARGIN_RACE_STREAM_H

#include "tools/client/generate.h"

#define STREAM_POOL 1024000u /* 2^13 * 5^3: every peer's batch divides it */
#define STREAM_TOP 100u
#define STREAM_NANO 1000 /* all money is whole nanodollars: so many picodollars */

struct stream_event {
    struct generated_event made;
    i64 cost_pico;
    u32 customer;
    u32 origin; /* position in the pool; its own if it is no duplicate */
};

struct stream {
    struct generator generator;
    struct stream_event *event; /* STREAM_POOL of them */
    u64 seed;
    u32 customers;
};

bool stream_make(struct stream *stream, u64 seed, u32 customers);
void stream_free(struct stream *stream);

enum key_form {
    KEY_TEXT, /* 36 characters, as UUIDs are written */
    KEY_BYTES /* the same 16 bytes */
};
/* Writes the key that event `index` of the stream carries. */
void stream_put_key(const struct stream *stream, u64 index, enum key_form form, char *to);
/* A customer's number from its name; UINT32_MAX: no such name. */
u32 stream_customer(const char *name, usize bytes);

struct ranked {
    u32 customer;
    i64 margin_pico;
};

struct ranking {
    u32 count;
    struct ranked row[STREAM_TOP];
};

struct totals {
    u64 events;
    i128 cost_pico;
    i128 revenue_pico;
};

/* The oracle: the figures of the first `events` events, each key once, in plain loops over the
 * events themselves. */
struct oracle {
    struct totals totals;
    struct totals *customer;
    i64 *margins; /* of customers with events, highest first */
    u32 margin_count;
};
bool stream_oracle(const struct stream *stream, u64 events, struct oracle *out);
void stream_oracle_free(struct oracle *oracle);
/* True if what a peer answers is exactly so; customers of equal margin in any order. Otherwise
 * `why` says where not. */
bool stream_agrees(const struct stream *stream, const struct oracle *oracle,
                   const struct ranking *ranking, const struct totals *totals, char *why,
                   usize why_bytes);

#endif
