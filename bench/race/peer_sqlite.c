/*
 * peer_sqlite.c: SQLite in this process: one writer, for it has no more, in write-ahead mode with
 * synchronous=FULL, so that a commit has synced the log; readers beside it see the last commit.
 *
 * An event is kept if its key was not there (INSERT OR IGNORE); the customers of a batch's new
 * events are summed up here and added to their totals at its end, in the same transaction.
 */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "race.h"

#define KEY_BYTES_COUNT 16

static const char schema[] =
    "PRAGMA page_size=8192; PRAGMA journal_mode=WAL;"
    "CREATE TABLE events(key BLOB NOT NULL, event_name TEXT, customer TEXT, feature TEXT,"
    " time_ms INT, model TEXT, provider TEXT, input INT, output INT, cost INT, revenue INT,"
    " duration INT);"
    "CREATE UNIQUE INDEX events_key ON events(key);"
    "CREATE TABLE totals(customer TEXT PRIMARY KEY, events INT, cost INT, revenue INT)"
    " WITHOUT ROWID;"
    "CREATE INDEX totals_margin ON totals(revenue - cost)";
/* 1 GiB of cache, and a checkpoint each 16384 pages: 128 MiB. */
static const char settings[] = "PRAGMA synchronous=FULL; PRAGMA cache_size=-1048576;"
                               "PRAGMA mmap_size=0; PRAGMA wal_autocheckpoint=16384";

enum statement { ADD_EVENT, ADD_TOTALS, BEGIN, COMMIT, TOP, TOTALS, STATEMENTS };
static const char *const statements[STATEMENTS] = {
    [ADD_EVENT] = "INSERT OR IGNORE INTO events VALUES(?,?,?,?,?,?,?,?,?,?,?,?)",
    [ADD_TOTALS] = "INSERT INTO totals VALUES(?,?,?,?) ON CONFLICT(customer) DO UPDATE SET"
                   " events=events+excluded.events, cost=cost+excluded.cost,"
                   " revenue=revenue+excluded.revenue",
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [TOP] = "SELECT customer, revenue - cost AS margin FROM totals ORDER BY margin DESC LIMIT 100",
    [TOTALS] = "SELECT sum(events), sum(cost), sum(revenue) FROM totals",
};

struct sum {
    u32 events;
    i64 cost;
    i64 revenue;
};

struct conn {
    sqlite3 *db;
    sqlite3_stmt *statement[STATEMENTS];
    struct sum *sum; /* of each customer, in the batch at hand */
    u32 *touched;    /* customers with a sum */
};

static bool failed(sqlite3 *db) {
    return race_failed("sqlite", sqlite3_errmsg(db));
}

static bool execute(sqlite3 *db, const char *text) {
    return sqlite3_exec(db, text, NULL, NULL, NULL) == SQLITE_OK || failed(db);
}

static sqlite3 *open_db(const struct server *server) {
    char path[RACE_PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/events.db", server->dir);
    sqlite3 *db;
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                        NULL) != SQLITE_OK) {
        failed(db);
        sqlite3_close(db);
        return NULL;
    }
    sqlite3_busy_timeout(db, 10000);
    return db;
}

static bool start(struct server *server) {
    snprintf(server->version, sizeof server->version, "SQLite %s", sqlite3_libversion());
    sqlite3 *db = open_db(server);
    bool good = db != NULL && execute(db, schema);
    sqlite3_close(db);
    return good;
}

static void disconnect(void *argument) {
    struct conn *conn = argument;
    for (u32 i = 0; i < STATEMENTS; i++) {
        sqlite3_finalize(conn->statement[i]);
    }
    sqlite3_close(conn->db);
    free(conn->sum);
    free(conn->touched);
    free(conn);
}

static void *connect_to(const struct server *server) {
    struct conn *conn = calloc(1, sizeof *conn);
    check(conn != NULL);
    conn->sum = calloc(server->stream->customers, sizeof *conn->sum);
    conn->touched = calloc(server->stream->customers, sizeof *conn->touched);
    conn->db = open_db(server);
    bool good = conn->sum != NULL && conn->touched != NULL && conn->db != NULL &&
                execute(conn->db, settings);
    for (u32 i = 0; good && i < STATEMENTS; i++) {
        good = sqlite3_prepare_v3(conn->db, statements[i], -1, SQLITE_PREPARE_PERSISTENT,
                                  &conn->statement[i], NULL) == SQLITE_OK ||
               failed(conn->db);
    }
    if (!good) {
        disconnect(conn);
        return NULL;
    }
    return conn;
}

/* The keys alone; the rest is bound from the events. */
static void encode(const struct server *server, struct payload *payload) {
    (void)server;
    payload->length = KEY_BYTES_COUNT * payload->count;
    for (u32 i = 0; i < payload->count; i++) {
        payload->key_at[i] = KEY_BYTES_COUNT * i;
    }
}

static bool step(struct conn *conn, enum statement which) {
    int result = sqlite3_step(conn->statement[which]);
    sqlite3_reset(conn->statement[which]);
    return result == SQLITE_DONE || failed(conn->db);
}

static bool add_event(struct conn *conn, const struct stream_event *event, const char *key) {
    sqlite3_stmt *to = conn->statement[ADD_EVENT];
    const struct generated_event *made = &event->made;
    sqlite3_bind_blob(to, 1, key, KEY_BYTES_COUNT, SQLITE_STATIC);
    sqlite3_bind_text(to, 2, made->event_name, -1, SQLITE_STATIC);
    sqlite3_bind_text(to, 3, made->customer, -1, SQLITE_STATIC);
    sqlite3_bind_text(to, 4, made->feature, -1, SQLITE_STATIC);
    sqlite3_bind_int64(to, 5, made->time_ms);
    sqlite3_bind_text(to, 6, made->model, -1, SQLITE_STATIC);
    sqlite3_bind_text(to, 7, made->provider, -1, SQLITE_STATIC);
    sqlite3_bind_int64(to, 8, made->input_tokens);
    sqlite3_bind_int64(to, 9, made->output_tokens);
    sqlite3_bind_int64(to, 10, event->cost_pico);
    sqlite3_bind_int64(to, 11, made->revenue_pico);
    sqlite3_bind_int64(to, 12, made->duration_ms);
    return step(conn, ADD_EVENT);
}

static bool add_customer(struct conn *conn, u32 customer) {
    sqlite3_stmt *to = conn->statement[ADD_TOTALS];
    const struct sum *sum = &conn->sum[customer];
    char name[16];
    int bytes = snprintf(name, sizeof name, "cust_%07u", customer);
    sqlite3_bind_text(to, 1, name, bytes, SQLITE_STATIC);
    sqlite3_bind_int64(to, 2, sum->events);
    sqlite3_bind_int64(to, 3, sum->cost);
    sqlite3_bind_int64(to, 4, sum->revenue);
    return step(conn, ADD_TOTALS);
}

static int by_number(const void *left, const void *right) {
    u32 a = *(const u32 *)left;
    u32 b = *(const u32 *)right;
    return a < b ? -1 : a > b;
}

static bool ingest_batch(void *argument, struct payload *payload) {
    struct conn *conn = argument;
    const struct stream_event *event = &payload->stream->event[payload->first];
    u32 touched = 0;
    bool good = step(conn, BEGIN);
    for (u32 i = 0; good && i < payload->count; i++) {
        good = add_event(conn, &event[i], payload->bytes + payload->key_at[i]);
        if (good && sqlite3_changes(conn->db) == 1) {
            struct sum *sum = &conn->sum[event[i].customer];
            if (sum->events == 0) {
                conn->touched[touched++] = event[i].customer;
            }
            sum->events++;
            sum->cost += event[i].cost_pico;
            sum->revenue += event[i].made.revenue_pico;
        }
    }
    qsort(conn->touched, touched, sizeof *conn->touched, by_number); /* neighbours share pages */
    for (u32 i = 0; i < touched; i++) {
        good = good && add_customer(conn, conn->touched[i]);
        conn->sum[conn->touched[i]] = (struct sum){0};
    }
    return good && step(conn, COMMIT);
}

static bool top(void *argument, struct ranking *out) {
    struct conn *conn = argument;
    sqlite3_stmt *from = conn->statement[TOP];
    int result;
    out->count = 0;
    while ((result = sqlite3_step(from)) == SQLITE_ROW && out->count < STREAM_TOP) {
        const char *name = (const char *)sqlite3_column_text(from, 0);
        out->row[out->count++] =
            (struct ranked){stream_customer(name, strlen(name)), sqlite3_column_int64(from, 1)};
    }
    sqlite3_reset(from);
    return result == SQLITE_DONE || failed(conn->db);
}

static bool totals(void *argument, struct totals *out) {
    struct conn *conn = argument;
    sqlite3_stmt *from = conn->statement[TOTALS];
    if (sqlite3_step(from) != SQLITE_ROW) {
        return failed(conn->db);
    }
    *out = (struct totals){.events = (u64)sqlite3_column_int64(from, 0),
                           .cost_pico = sqlite3_column_int64(from, 1),
                           .revenue_pico = sqlite3_column_int64(from, 2)};
    sqlite3_reset(from);
    return true;
}

const struct peer peer_sqlite = {
    .name = "sqlite",
    .acknowledged = "committed, log synced, in the totals",
    .key_form = KEY_BYTES,
    .batch = 10240,
    .writers = 1,
    .event_bytes = KEY_BYTES_COUNT,
    .start = start,
    .connect = connect_to,
    .disconnect = disconnect,
    .encode = encode,
    .ingest_batch = ingest_batch,
    .top = top,
    .totals = totals,
};
