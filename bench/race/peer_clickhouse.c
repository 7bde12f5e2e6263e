/*
 * peer_clickhouse.c: ClickHouse by HTTP with JSONEachRow. It has no unique keys: a
 * ReplacingMergeTree drops what has the same key when it merges, some time, so the exact figures
 * are those of a query that does it at once. A materialised view would count duplicates.
 *
 * This version never syncs what is inserted. To be as durable as the others the race syncs the file
 * system of its directory after each answer, before it takes the batch for acknowledged.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "http.h"
#include "process.h"
#include "race.h"

#define CLICKHOUSE "/usr/sbin/clickhouse-server"
#define KEY_TEXT_BYTES 36

static const char users[] =
    "<yandex><profiles><default>"
    "<max_insert_block_size>1048576</max_insert_block_size>"
    "</default></profiles><users><default><password></password>"
    "<networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota>"
    "</default></users><quotas><default></default></quotas></yandex>";

static const char *const schema[] = {
    "CREATE TABLE events(key UUID, event_name String, customer String, feature String,"
    " time_ms UInt64, model String, provider String, input UInt32, output UInt32, cost Int64,"
    " revenue Int64, duration UInt32) ENGINE = ReplacingMergeTree() ORDER BY key",
};
static const char once[] = "(SELECT any(customer) AS customer, any(cost) AS cost,"
                           " any(revenue) AS revenue FROM events GROUP BY key)";

struct conn {
    struct http *http;
    int fd; /* of the directory */
    char url[64];
    char insert[128];
    char top[512];
    char totals[512];
};

static void write_configuration(const struct server *server, char *to, usize to_bytes) {
    snprintf(to, to_bytes,
             "<yandex><logger><level>warning</level><log>%s/log</log><errorlog>%s/errors"
             "</errorlog></logger><http_port>%u</http_port><listen_host>127.0.0.1</listen_host>"
             "<max_connections>64</max_connections><keep_alive_timeout>600</keep_alive_timeout>"
             "<mark_cache_size>536870912</mark_cache_size><path>%s/data/</path>"
             "<tmp_path>%s/tmp/</tmp_path><users_config>users.xml</users_config>"
             "<default_profile>default</default_profile>"
             "<default_database>default</default_database></yandex>",
             server->dir, server->dir, server->port, server->dir, server->dir);
}

static void disconnect(void *argument) {
    struct conn *conn = argument;
    http_close(conn->http);
    close(conn->fd);
    free(conn);
}

static void *connect_to(const struct server *server) {
    struct conn *conn = calloc(1, sizeof *conn);
    check(conn != NULL);
    conn->http = http_open(NULL);
    conn->fd = open(server->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    snprintf(conn->url, sizeof conn->url, "http://127.0.0.1:%u/", server->port);
    snprintf(conn->insert, sizeof conn->insert,
             "%s?query=INSERT%%20INTO%%20events%%20FORMAT%%20JSONEachRow", conn->url);
    snprintf(conn->top, sizeof conn->top,
             "SELECT customer, sum(revenue - cost) AS margin FROM %s GROUP BY customer"
             " ORDER BY margin DESC LIMIT 100",
             once);
    snprintf(conn->totals, sizeof conn->totals, "SELECT count(), sum(cost), sum(revenue) FROM %s",
             once);
    return conn;
}

static bool ask(struct conn *conn, const char *query) {
    return http_post(conn->http, conn->url, query, strlen(query));
}

static bool answers(struct server *server) {
    if (!process_listens(server->port)) {
        return false;
    }
    struct conn *conn = connect_to(server);
    bool good = ask(conn, "SELECT version()");
    if (good) {
        char *text = http_body(conn->http);
        snprintf(server->version, sizeof server->version, "ClickHouse %.*s",
                 (int)strcspn(text, "\n"), text);
    }
    disconnect(conn);
    return good;
}

static bool start(struct server *server) {
    char configuration[4 * RACE_PATH_MAX + 1024];
    char path[RACE_PATH_MAX + 32];
    server->port = process_free_port();
    write_configuration(server, configuration, sizeof configuration);
    snprintf(path, sizeof path, "--config-file=%s/config.xml", server->dir);
    const char *const serve[] = {CLICKHOUSE, path, NULL};
    if (!process_write_file(server, "config.xml", configuration) ||
        !process_write_file(server, "users.xml", users) || !process_start(server, serve, false) ||
        !process_await(server, answers)) {
        return false;
    }
    struct conn *conn = connect_to(server);
    bool good = true;
    for (usize i = 0; i < ARRAY_COUNT(schema); i++) {
        good = good && ask(conn, schema[i]);
    }
    disconnect(conn);
    return good;
}

/* --- ingest ----------------------------------------------------------------------------------- */

static void encode(const struct server *server, struct payload *payload) {
    char *to = payload->bytes;
    for (u32 i = 0; i < payload->count; i++) {
        const struct stream_event *event = &server->stream->event[payload->first + i];
        const struct generated_event *made = &event->made;
        to += sprintf(to, "{\"key\":\"");
        payload->key_at[i] = (u32)(to - payload->bytes);
        to += sprintf(to,
                      "%s\",\"event_name\":\"%s\",\"customer\":\"%s\",\"feature\":\"%s\","
                      "\"time_ms\":%lld,\"model\":\"%s\",\"provider\":\"%s\",\"input\":%lld,"
                      "\"output\":%lld,\"cost\":%lld,\"revenue\":%lld,\"duration\":%lld}\n",
                      made->key, made->event_name, made->customer, made->feature,
                      (long long)made->time_ms, made->model, made->provider,
                      (long long)made->input_tokens, (long long)made->output_tokens,
                      (long long)event->cost_pico, (long long)made->revenue_pico,
                      (long long)made->duration_ms);
    }
    payload->length = (usize)(to - payload->bytes);
}

static bool ingest_batch(void *argument, struct payload *payload) {
    struct conn *conn = argument;
    return http_post(conn->http, conn->insert, payload->bytes, payload->length) &&
           (syncfs(conn->fd) == 0 || race_failed("clickhouse", "syncfs"));
}

/* --- queries ---------------------------------------------------------------------------------- */

static bool top(void *argument, struct ranking *out) {
    struct conn *conn = argument;
    out->count = 0;
    if (!ask(conn, conn->top)) {
        return false;
    }
    for (char *line = http_body(conn->http); *line != 0 && out->count < STREAM_TOP;) {
        usize name_bytes = strcspn(line, "\t");
        char *end = line;
        u32 customer = stream_customer(line, name_bytes);
        i64 margin = strtoll(line + name_bytes, &end, 10);
        out->row[out->count++] = (struct ranked){customer, margin};
        line = end + (*end == '\n');
    }
    return true;
}

static bool totals(void *argument, struct totals *out) {
    struct conn *conn = argument;
    if (!ask(conn, conn->totals)) {
        return false;
    }
    char *at = http_body(conn->http);
    out->events = strtoull(at, &at, 10);
    out->cost_pico = strtoll(at, &at, 10);
    out->revenue_pico = strtoll(at, &at, 10);
    return true;
}

/* What was merged away still lies in the directory for minutes. */
static bool disk_bytes(void *argument, u64 *out) {
    struct conn *conn = argument;
    if (!ask(conn, "SELECT sum(bytes_on_disk) FROM system.parts WHERE active")) {
        return false;
    }
    *out = strtoull(http_body(conn->http), NULL, 10);
    return true;
}

const struct peer peer_clickhouse = {
    .name = "clickhouse",
    .acknowledged = "answered, then the file system synced by the race",
    .key_form = KEY_TEXT,
    .batch = 102400,
    .writers = 2,
    .event_bytes = 448,
    .stop_signal = SIGTERM,
    .start = start,
    .connect = connect_to,
    .disconnect = disconnect,
    .encode = encode,
    .ingest_batch = ingest_batch,
    .top = top,
    .totals = totals,
    .disk_bytes = disk_bytes,
};
