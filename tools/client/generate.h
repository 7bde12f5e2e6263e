/*
 * generate.h: made-up usage events, for tests, benchmarks and the load generator. Event `index` of
 * a generator is a pure function of (parameters, index): an oracle can compute again any event that
 * a server was sent, without keeping it.
 *
 * The JSON form has a fixed order of members and no blanks, as client libraries write it, and is
 * 312 bytes on average; on demand each event has an order of its own, lacks members, or has some
 * that nobody expects.
 */
#ifndef MARGIN_CLIENT_GENERATE_H
#define MARGIN_CLIENT_GENERATE_H

#include "base.h"

struct generator {
    u64 seed;
    u32 customers; /* at least 1; low numbers are the busier ones */
    u32 features;  /* at least 1 */
    u32 models;    /* 1..generator_models_max() */
    u32 duplicates_per_mille;
    i64 time_start_ms; /* time of event 0, ms since 1970 */
    i64 time_span_ms;  /* events lie in [start, start + span) */
    u64 time_events;   /* events until the span is used up; later ones begin at the start again */
    bool shuffled;     /* JSON: members in another order in each event */
    u32 optional;      /* JSON: so many members come or not, in any combination; at most 3 */
    u32 unexpected; /* JSON: members more in each, of new names; at most GENERATED_UNEXPECTED_MAX */
};

#define GENERATED_TEXT_MAX 40
#define GENERATED_UNEXPECTED_MAX 8u
#define GENERATED_JSON_MAX 896 /* bytes of one event; without unexpected members 448 */

struct generated_event {
    u64 origin; /* index of the event this one repeats; its own index if it is no duplicate */
    const char *event_name;
    const char *model;
    const char *provider;
    char customer[GENERATED_TEXT_MAX];
    char feature[GENERATED_TEXT_MAX];
    char key[GENERATED_TEXT_MAX]; /* a UUID, 36 characters */
    i64 time_ms;
    i64 input_tokens;
    i64 output_tokens;
    i64 revenue_pico; /* a multiple of 1e8: at most 4 decimals of a dollar */
    i64 duration_ms;
};

/* Parameters for a quick start: 10 000 customers, 40 features, all models, no duplicates, 30 days
 * over a million events. */
struct generator generator_default(u64 seed, i64 time_start_ms);
u32 generator_models_max(void);

void generator_event(const struct generator *generator, u64 index, struct generated_event *out);

/* Writes the event's JSON object, without NUL, and returns its length (<= GENERATED_JSON_MAX). */
usize generator_json(const struct generator *generator, u64 index, char *buf);

/* Writes {"events":[...]} for `count` events from `index` on; `buf` holds at least
 * GENERATED_JSON_MAX bytes for each event and 16 more. Returns the length. */
usize generator_body(const struct generator *generator, u64 index, u32 count, char *buf);

#endif
