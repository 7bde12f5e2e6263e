/*
 * peer_postgres.c: PostgreSQL on a Unix socket. A batch is one transaction: binary COPY into a
 * temporary table, which is not logged, then one statement that moves the events whose key is new
 * and adds them to their customers' totals. Rows are locked in the order of keys and then of
 * customers, so that two writers cannot deadlock.
 */
#include <arpa/inet.h>
#include <endian.h>
#include <libpq-fe.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "process.h"
#include "race.h"

#ifndef PG_BIN
#define PG_BIN "/usr/lib/postgresql/15/bin"
#endif
#define FIELDS 12
#define MS_TO_2000 946684800000 /* PostgreSQL counts time from 2000 on */

static const char settings[] = "listen_addresses = ''\n"
                               "max_connections = 20\n"
                               "shared_buffers = 2GB\n"
                               "work_mem = 64MB\n"
                               "temp_buffers = 64MB\n"
                               "wal_buffers = 64MB\n"
                               "max_wal_size = 16GB\n"
                               "checkpoint_timeout = 5min\n"
                               "wal_compression = lz4\n"
                               "synchronous_commit = on\n"
                               "fsync = on\n"
                               "full_page_writes = on\n"
                               "jit = off\n";

static const char schema[] =
    "CREATE TABLE events(key uuid PRIMARY KEY, event_name text, customer text, feature text,"
    " time timestamptz, model text, provider text, input int, output int, cost bigint,"
    " revenue bigint, duration int);"
    "CREATE TABLE totals(customer text PRIMARY KEY, events bigint, cost bigint, revenue bigint);"
    "CREATE INDEX ON totals((revenue - cost))";

static const char staging[] =
    "CREATE TEMP TABLE staging(key uuid, event_name text, customer text, feature text,"
    " time timestamptz, model text, provider text, input int, output int, cost bigint,"
    " revenue bigint, duration int) ON COMMIT DELETE ROWS";

static const char copy[] = "BEGIN; COPY staging FROM STDIN (FORMAT binary)";
static const char merge[] =
    "WITH fresh AS (INSERT INTO events SELECT * FROM staging ORDER BY key"
    " ON CONFLICT (key) DO NOTHING RETURNING customer, cost, revenue)"
    " INSERT INTO totals SELECT customer, count(*), sum(cost)::bigint, sum(revenue)::bigint"
    " FROM fresh GROUP BY customer ORDER BY customer"
    " ON CONFLICT (customer) DO UPDATE SET events = totals.events + excluded.events,"
    " cost = totals.cost + excluded.cost, revenue = totals.revenue + excluded.revenue;"
    " COMMIT";
static const char top_query[] = "SELECT customer, revenue - cost AS margin FROM totals"
                                " ORDER BY margin DESC LIMIT 100";
static const char totals_query[] =
    "SELECT sum(events)::bigint, sum(cost)::bigint, sum(revenue)::bigint FROM totals";

/* --- the server ------------------------------------------------------------------------------- */

static PGconn *connect_once(const struct server *server) {
    char info[RACE_PATH_MAX + 64];
    snprintf(info, sizeof info, "host=%s dbname=postgres user=race", server->dir);
    return PQconnectdb(info);
}

static bool answers(struct server *server) {
    PGconn *conn = connect_once(server);
    bool good = PQstatus(conn) == CONNECTION_OK;
    if (good) {
        int version = PQserverVersion(conn);
        snprintf(server->version, sizeof server->version, "PostgreSQL %d.%d", version / 10000,
                 version % 10000);
    }
    PQfinish(conn);
    return good;
}

static bool command(PGconn *conn, const char *text) {
    PGresult *result = PQexec(conn, text);
    bool good = PQresultStatus(result) == PGRES_COMMAND_OK;
    PQclear(result);
    return good || race_failed("postgres", PQerrorMessage(conn));
}

static bool start(struct server *server) {
    char data[RACE_PATH_MAX + 32];
    char sockets[RACE_PATH_MAX + 64];
    snprintf(data, sizeof data, "%s/data", server->dir);
    snprintf(sockets, sizeof sockets, "unix_socket_directories=%s", server->dir);
    const char *const init[] = {PG_BIN "/initdb", "-D", data,   "-U",         "race", "-A",
                                "trust",          "-E", "UTF8", "--locale=C", NULL};
    const char *const serve[] = {PG_BIN "/postgres", "-D", data, "-c", sockets, NULL};
    if (!process_run(server, init, true) ||
        !process_write_file(server, "data/postgresql.auto.conf", settings) ||
        !process_start(server, serve, true) || !process_await(server, answers)) {
        return false;
    }
    PGconn *conn = connect_once(server);
    bool good = command(conn, schema);
    PQfinish(conn);
    return good;
}

static void disconnect(void *conn) {
    PQfinish(conn);
}

static void *connect_to(const struct server *server) {
    PGconn *conn = connect_once(server);
    if (PQstatus(conn) != CONNECTION_OK || !command(conn, staging)) {
        race_failed("postgres", PQerrorMessage(conn));
        PQfinish(conn);
        return NULL;
    }
    return conn;
}

/* --- the COPY format -------------------------------------------------------------------------- */

static char *put(char *to, const void *bytes, usize count) {
    u32 length = htonl((u32)count);
    memcpy(to, &length, sizeof length);
    memcpy(to + sizeof length, bytes, count);
    return to + sizeof length + count;
}

static char *put_text(char *to, const char *text) {
    return put(to, text, strlen(text));
}

static char *put_i32(char *to, i64 value) {
    u32 bits = htonl((u32)value);
    return put(to, &bits, sizeof bits);
}

static char *put_i64(char *to, i64 value) {
    u64 bits = htobe64((u64)value);
    return put(to, &bits, sizeof bits);
}

static char *put_event(char *to, const struct stream_event *event) {
    static const char no_key[16];
    const struct generated_event *made = &event->made;
    u16 fields = htons(FIELDS);
    memcpy(to, &fields, sizeof fields);
    to = put(to + sizeof fields, no_key, sizeof no_key);
    to = put_text(to, made->event_name);
    to = put_text(to, made->customer);
    to = put_text(to, made->feature);
    to = put_i64(to, (made->time_ms - MS_TO_2000) * 1000);
    to = put_text(to, made->model);
    to = put_text(to, made->provider);
    to = put_i32(to, made->input_tokens);
    to = put_i32(to, made->output_tokens);
    to = put_i64(to, event->cost_pico);
    to = put_i64(to, made->revenue_pico);
    return put_i32(to, made->duration_ms);
}

static void encode(const struct server *server, struct payload *payload) {
    static const char head[] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0"; /* and the NUL at its end */
    char *to = payload->bytes;
    memcpy(to, head, sizeof head);
    to += sizeof head;
    for (u32 i = 0; i < payload->count; i++) {
        payload->key_at[i] = (u32)(to - payload->bytes) + 6; /* behind two lengths */
        to = put_event(to, &server->stream->event[payload->first + i]);
    }
    memset(to, 0xff, 2);
    payload->length = (usize)(to + 2 - payload->bytes);
}

/* --- ingest and queries ----------------------------------------------------------------------- */

/* Takes what is left of a request's results. */
static bool finish(PGconn *conn) {
    bool good = true;
    for (PGresult *result = PQgetResult(conn); result != NULL; result = PQgetResult(conn)) {
        good = good && PQresultStatus(result) == PGRES_COMMAND_OK;
        PQclear(result);
    }
    return good;
}

static bool ingest_batch(void *conn, struct payload *payload) {
    PGresult *result = PQexec(conn, copy);
    bool good = PQresultStatus(result) == PGRES_COPY_IN;
    PQclear(result);
    good = good && PQputCopyData(conn, payload->bytes, (int)payload->length) == 1 &&
           PQputCopyEnd(conn, NULL) == 1;
    good = finish(conn) && good;
    return (good && command(conn, merge)) || race_failed("postgres", PQerrorMessage(conn));
}

static i64 number(const PGresult *result, int row, int field) {
    return strtoll(PQgetvalue(result, row, field), NULL, 10);
}

static bool top(void *conn, struct ranking *out) {
    PGresult *result = PQexec(conn, top_query);
    bool good = PQresultStatus(result) == PGRES_TUPLES_OK;
    out->count = good ? (u32)MIN(PQntuples(result), (int)STREAM_TOP) : 0;
    for (u32 i = 0; i < out->count; i++) {
        const char *name = PQgetvalue(result, (int)i, 0);
        out->row[i] =
            (struct ranked){stream_customer(name, strlen(name)), number(result, (int)i, 1)};
    }
    PQclear(result);
    return good || race_failed("postgres", PQerrorMessage(conn));
}

static bool totals(void *conn, struct totals *out) {
    PGresult *result = PQexec(conn, totals_query);
    bool good = PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1;
    if (good) {
        *out = (struct totals){.events = (u64)number(result, 0, 0),
                               .cost_pico = number(result, 0, 1),
                               .revenue_pico = number(result, 0, 2)};
    }
    PQclear(result);
    return good || race_failed("postgres", PQerrorMessage(conn));
}

const struct peer peer_postgres = {
    .name = "postgres",
    .acknowledged = "committed, WAL synced, in the totals",
    .key_form = KEY_BYTES,
    .batch = 10240,
    .writers = 2,
    .event_bytes = 320,
    .stop_signal = SIGINT, /* its fast way, with a checkpoint */
    .passing = "pg_wal",
    .start = start,
    .connect = connect_to,
    .disconnect = disconnect,
    .encode = encode,
    .ingest_batch = ingest_batch,
    .top = top,
    .totals = totals,
};
