/*
 * margin.h: libmargin, the client library for margind's binary socket (the protocol is in wire.h).
 *
 * A client is one connection. Calls are synchronous unless named otherwise; a client belongs to one
 * thread at a time. Everything a call gives back by pointer (rows, events, texts) lies in the
 * client's memory and lasts until the next call on the same client.
 *
 * A failed call returns what kind of failure it was, and margin_error_text() says it in words.
 * After MARGIN_LOST, MARGIN_TIMEOUT or MARGIN_PROTOCOL the connection is of no more use:
 * margin_close() it and connect anew. Sending a batch again after a lost connection is safe where
 * events have idempotency keys: what was stored already is counted as a duplicate.
 *
 *     struct margin_client *client;
 *     char why[256];
 *     struct margin_options options = {.host = "127.0.0.1", .port = 8081, .key = "obs_..."};
 *     if (margin_connect(&options, &client, why, sizeof why) != MARGIN_OK) { ... }
 *     struct margin_batch *batch = margin_batch_create();
 *     margin_batch_event(batch);
 *     margin_batch_text(batch, WIRE_TEXT_EVENT_NAME, SLICE("chat.completion"));
 *     margin_batch_text(batch, WIRE_TEXT_CUSTOMER, SLICE("acme"));
 *     margin_batch_text(batch, WIRE_TEXT_FEATURE, SLICE("summarize"));
 *     margin_batch_number(batch, WIRE_NUM_REVENUE, 12500000000);
 *     struct margin_ingested ingested;
 *     margin_ingest_batch(client, batch, &ingested);
 *
 * Link with -lmargin -lxxhash -lssl -lcrypto.
 */
#ifndef MARGIN_MARGIN_H
#define MARGIN_MARGIN_H

#include "wire.h"

enum margin_status {
    MARGIN_OK = 0,
    MARGIN_INVALID,   /* the request is wrong */
    MARGIN_DENIED,    /* unknown key, or one without the scope */
    MARGIN_LIMIT,     /* the request or its answer passes a bound */
    MARGIN_BUSY,      /* the server is overloaded: nothing was stored, try again */
    MARGIN_NO_SPACE,  /* the server's disk is full: nothing was stored */
    MARGIN_SERVER,    /* a fault of the server */
    MARGIN_LOST,      /* the connection could not be made, or broke */
    MARGIN_TIMEOUT,   /* no answer in time */
    MARGIN_PROTOCOL,  /* what came is not the protocol */
    MARGIN_NO_MEMORY, /* */
    MARGIN_STATUSES
};

struct margin_client;

struct margin_options {
    const char *host; /* name or numeric address */
    u16 port;
    const char *key;
    u32 timeout_ms;     /* for connecting and for each answer; 0: 30 s */
    bool tls;           /* the server's certificate must be good and name `host` */
    const char *tls_ca; /* PEM file of those who may have signed it, or of the certificate itself;
                           NULL: whom the system trusts */
};

/* On failure `why` is one line that says what to do. */
enum margin_status margin_connect(const struct margin_options *options, struct margin_client **out,
                                  char *why, usize why_bytes);
void margin_close(struct margin_client *client); /* NULL is fine */
/* The last failure in words, one line. Never NULL. */
const char *margin_error_text(const struct margin_client *client);
/* "margind/0.1.0"; the client's memory. */
const char *margin_server_version(const struct margin_client *client);

/* The account that the key belongs to. */
u32 margin_account(const struct margin_client *client);

enum margin_status margin_ping(struct margin_client *client);

/* --- ingest ---------------------------------------------------------------------------------- */

struct margin_refusal {
    u32 index; /* of the event in the request */
    struct slice text;
};

/* What became of a request's events; they are durable and visible. */
struct margin_ingested {
    u32 sent;
    u32 accepted;
    u32 rejected;   /* invalid and duplicate events */
    u32 duplicates; /* conflicts included */
    u32 conflicts;  /* the key is known with other content */
    u64 first_id;   /* of the first accepted event; 0: none */
    u32 refusal_count;
    struct slice refusals; /* margin_refusal_next() walks over them */
};
bool margin_refusal_next(struct margin_ingested *ingested, struct margin_refusal *out);

/* `body` is {"events":[...]} as for POST /api/events/ingest. */
enum margin_status margin_ingest_json(struct margin_client *client, struct slice body,
                                      struct margin_ingested *out);

/* A batch gathers events field by field; it is not bound to a client. */
struct margin_batch;
struct margin_batch *margin_batch_create(void); /* NULL: no memory */
void margin_batch_free(struct margin_batch *batch);
void margin_batch_clear(struct margin_batch *batch);
u32 margin_batch_count(const struct margin_batch *batch);
/* Begins an event; the fields that follow are its own. MARGIN_LIMIT: the batch is full
 * (WIRE_EVENTS_MAX events or about half of WIRE_FRAME_BYTES_MAX): send it first. */
enum margin_status margin_batch_event(struct margin_batch *batch);
/* Sets a field of the event begun last; each at most once an event. The bytes are copied. Texts
 * are UTF-8 without NUL; MARGIN_INVALID for one longer than 32 KiB or an unknown column. */
enum margin_status margin_batch_text(struct margin_batch *batch, enum wire_text column,
                                     struct slice text);
enum margin_status margin_batch_number(struct margin_batch *batch, enum wire_number column,
                                       i64 value);
/* Sends the batch, waits for the answer, and empties the batch if the server took it. */
enum margin_status margin_ingest_batch(struct margin_client *client, struct margin_batch *batch,
                                       struct margin_ingested *out);

/* --- figures --------------------------------------------------------------------------------- */

struct margin_figures {
    u64 events;
    i128 cost;    /* picodollars */
    i128 revenue; /* picodollars */
    i128 usage;   /* micro-units */
    u64 input;    /* tokens */
    u64 output;
    u64 cached;
    u64 cache_write;
    u64 duration_ms;
    u64 duration_count;
    i64 first_seen; /* ms; INT64_MAX: never */
    i64 last_seen;  /* ms; INT64_MIN: never */
    u64 unpriced;
};

struct margin_cell {
    enum wire_dimension dimension; /* WIRE_DIM_NONE: the account's total */
    struct slice text;
    u8 populations; /* WIRE_LIVE | WIRE_WITHOUT_REVENUE */
    u32 window_s;   /* 0: all time */
};

struct margin_point {
    struct margin_figures figures;
    i64 from; /* ms, the bounds used; INT64_MIN and INT64_MAX: none */
    i64 to;
};

enum margin_status margin_get_point(struct margin_client *client, const struct margin_cell *cell,
                                    struct margin_point *out);

struct margin_filter {
    enum wire_dimension dimension;
    struct slice text;
};

struct margin_query {
    u8 group[3]; /* enum wire_dimension */
    u32 group_count;
    enum wire_bucket bucket;
    enum wire_order order;
    u8 flags; /* WIRE_LIVE, WIRE_WITHOUT_REVENUE, WIRE_ASCENDING, WIRE_PRESENT_ONLY */
    struct margin_filter filter[WIRE_FILTERS_MAX];
    u32 filter_count;
    u32 window_s; /* 0: from and to, which margin_query_all sets to no bounds */
    i64 from;
    i64 to;
    u32 offset;
    u32 limit;
};
/* All time, no groups, no filters, highest cost first, 100 rows. */
struct margin_query margin_query_all(void);

struct margin_rows {
    u32 count; /* rows that follow */
    u32 total; /* rows before offset and limit */
    i64 from;
    i64 to;
    u32 group_count;
    struct margin_figures figures; /* over all rows */
    struct slice rest;             /* margin_rows_next() walks over them */
};

struct margin_row {
    i64 bucket_start;
    struct margin_figures figures;
    struct slice group[3]; /* data is NULL where the events have no value */
};

enum margin_status margin_aggregate(struct margin_client *client, const struct margin_query *query,
                                    struct margin_rows *out);
bool margin_rows_next(struct margin_rows *rows, struct margin_row *out);

/* margin(C, R) in percent, floor(x + 0.5), no further than 64 bits go; false where revenue <= 0. */
bool margin_figures_percent(const struct margin_figures *figures, i64 *percent);

/* --- events ---------------------------------------------------------------------------------- */

struct margin_scan {
    u64 id_from; /* inclusive */
    u64 id_to;   /* exclusive; UINT64_MAX: none */
    i64 from;    /* ms, inclusive */
    i64 to;      /* ms, exclusive */
    u32 columns; /* WIRE_TEXT_BIT | WIRE_NUM_BIT */
    bool newest_first;
    u32 limit; /* 1..WIRE_SCAN_EVENTS_MAX */
    struct margin_filter filter[WIRE_FILTERS_MAX];
    u32 filter_count;
};
/* All events, all columns, oldest first. */
struct margin_scan margin_scan_all(void);

struct margin_events {
    u32 count;
    bool more; /* margin_scan_events() again with margin_scan_continue() for the next ones */
    u64 next;
    struct slice rest; /* margin_events_next() walks over them */
};

struct margin_event {
    u64 id;
    i64 created; /* ms */
    u32 present; /* WIRE_TEXT_BIT | WIRE_NUM_BIT */
    u8 cost_source;
    u8 revenue_source;
    u8 source;
    u8 granularity;
    u8 flags;
    i64 number[WIRE_NUMS]; /* 0 where absent */
    struct slice text[WIRE_TEXTS];
};

enum margin_status margin_scan_events(struct margin_client *client, const struct margin_scan *scan,
                                      struct margin_events *out);
bool margin_events_next(struct margin_events *events, struct margin_event *out);
void margin_scan_continue(struct margin_scan *scan, const struct margin_events *events);

/* --- subscriptions --------------------------------------------------------------------------- */

/* Asks for a cell's changes, at most one every `interval_ms`. *subscription names it from now on;
 * *out is the cell now. */
enum margin_status margin_subscribe(struct margin_client *client, const struct margin_cell *cell,
                                    u32 interval_ms, u32 *subscription, struct margin_point *out);
enum margin_status margin_unsubscribe(struct margin_client *client, u32 subscription);
/* Waits for the next push of any subscription; MARGIN_TIMEOUT (the connection stays good) if none
 * comes within `timeout_ms`. */
enum margin_status margin_next_push(struct margin_client *client, u32 timeout_ms, u32 *subscription,
                                    struct margin_point *out);

/* --- statistics ------------------------------------------------------------------------------ */

struct margin_stats {
    u32 count;
    struct slice rest; /* margin_stats_next() walks over them */
};
enum margin_status margin_get_stats(struct margin_client *client, struct margin_stats *out);
bool margin_stats_next(struct margin_stats *stats, struct slice *name, u64 *value);

/* --- pipelining ------------------------------------------------------------------------------ */

/* Queue a request and give its number; at most WIRE_IN_FLIGHT_MAX may be unanswered. Synchronous
 * calls are not to be mixed with unanswered requests. */
enum margin_status margin_send_point(struct margin_client *client, const struct margin_cell *cell,
                                     u32 *request);
enum margin_status margin_send_json(struct margin_client *client, struct slice body, u32 *request);
/* The batch may be cleared and filled anew at once. */
enum margin_status margin_send_batch(struct margin_client *client, struct margin_batch *batch,
                                     u32 *request);
/* Writes what is queued; margin_receive() does so too. */
enum margin_status margin_flush(struct margin_client *client);

struct margin_reply {
    u32 request;
    enum wire_type type;       /* of the request */
    enum margin_status status; /* of the request; else margin_error_text() says why */
    struct slice payload;
};
/* Waits for any answer. The result is that of receiving; the request's is in out->status. */
enum margin_status margin_receive(struct margin_client *client, struct margin_reply *out);
bool margin_reply_point(const struct margin_reply *reply, struct margin_point *out);
bool margin_reply_ingested(const struct margin_reply *reply, struct margin_ingested *out);

#endif
