/*
 * race.h: the race's shared shapes. Every peer gets the same events, acknowledges a batch only when
 * it is safe on disk and each key in it counted once, and answers the same query beside it. What
 * differs from peer to peer is one struct peer: bench/race/peer_NAME.c.
 */
#ifndef MARGIN_RACE_RACE_H
#define MARGIN_RACE_RACE_H

#include <pthread.h>
#include <sys/types.h>

#include "base/histogram.h"
#include "stream.h"

#define RACE_PATH_MAX 256
#define RACE_WRITERS_MAX 64

struct race_options {
    const char *build; /* where margind lies */
    const char *dir;   /* of the data: a real disk */
    u64 events;
    u64 seconds;
    u64 query_rate; /* a second; 0: none */
    u32 customers;
};

/* A private instance of a peer, in a directory of its own. */
struct server {
    const struct race_options *options;
    const struct stream *stream;
    char dir[RACE_PATH_MAX]; /* everything it keeps */
    pid_t pid;               /* 0: the peer is a library in this process */
    u16 port;
    u16 wire_port; /* margind only */
    char key[128]; /* margind only */
    char version[64];
};

/* A batch made ready to be sent, before the clock starts: only its keys change from one sending to
 * the next. What `bytes` holds is the peer's affair. */
struct payload {
    char *bytes;
    usize length;
    u32 *key_at; /* where each event's key stands in bytes */
    u32 first;   /* event of the pool */
    u32 count;
    const struct stream *stream;
    pthread_mutex_t lock; /* held while it is on its way */
};

struct peer {
    const char *name;
    const char *acknowledged; /* what an acknowledgement means */
    enum key_form key_form;
    u32 batch;         /* events; divides STREAM_POOL */
    u32 writers;       /* threads, each with a connection of its own */
    usize event_bytes; /* of a payload, at most */
    int stop_signal;
    const char *passing; /* folder of recycled files that say nothing of size; NULL: none */
    /* Starts the server in server->dir with an empty schema, and waits until it answers. */
    bool (*start)(struct server *server);
    /* A connection for one thread; NULL: failed, and said so. */
    void *(*connect)(const struct server *server);
    void (*disconnect)(void *conn);
    /* Writes the batch's bytes and where the keys stand. */
    void (*encode)(const struct server *server, struct payload *payload);
    /* True once the batch is acknowledged. The payload is the caller's. */
    bool (*ingest_batch)(void *conn, struct payload *payload);
    /* The query: customers by margin, highest first. */
    bool (*top)(void *conn, struct ranking *out);
    bool (*totals)(void *conn, struct totals *out);
    /* Bytes that the events take, asked before the stop; NULL: what the directory holds after it.
     */
    bool (*disk_bytes)(void *conn, u64 *out);
};

extern const struct peer peer_margind_http;
extern const struct peer peer_margind_wire;
extern const struct peer peer_postgres;
extern const struct peer peer_redis;
extern const struct peer peer_clickhouse;
extern const struct peer peer_sqlite;

/* Says on stderr what went wrong; returns false. */
bool race_failed(const char *what, const char *detail);
/* True after SIGINT or SIGTERM: everybody comes to an end, and cleans up. */
bool race_stopped(void);

struct result {
    bool ran;
    bool exact;
    u64 events; /* acknowledged, duplicates included */
    u64 unique;
    double seconds;
    struct histogram ack_ns;
    struct histogram query_ns;
    u64 queries_due;
    u64 disk_bytes;
    u64 memory_bytes;
    char version[64];
};

/* One peer from start to stop. */
void run_peer(const struct peer *peer, const struct race_options *options,
              const struct stream *stream, struct result *out);

#endif
