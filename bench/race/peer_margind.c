/*
 * peer_margind.c: margind, by HTTP with JSON batches and by the binary socket with native ones. In
 * both the query goes over the binary socket, by the client library.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http.h"
#include "margin.h"
#include "process.h"
#include "race.h"
#include "tools/client/codec.h"
#include "tools/client/settings.h"
#include "wire/frame.h"

#define KEY_TEXT_BYTES 36
#define ANSWER_BYTES_MAX (256 * KIB)

struct conn {
    const struct server *server;
    struct http *http;            /* of a writer by HTTP */
    int fd;                       /* of a writer by the binary socket; -1: none */
    struct margin_client *client; /* of whoever asks */
    char url[128];
    char *answer;
};

/* --- the server ------------------------------------------------------------------------------- */

static u16 port_behind(const char *text, const char *name) {
    const char *at = strstr(text, name);
    at = at == NULL ? NULL : strchr(at + strlen(name), ':');
    return at == NULL ? 0 : (u16)strtoul(at + 1, NULL, 10);
}

static bool answers(struct server *server) {
    char path[RACE_PATH_MAX + 32];
    char line[1024];
    snprintf(path, sizeof path, "%s/output", server->dir);
    FILE *file = fopen(path, "r");
    bool ready = false;
    while (file != NULL && !ready && fgets(line, sizeof line, file) != NULL) {
        ready = strstr(line, "event=ready") != NULL && strchr(line, '\n') != NULL;
    }
    if (file != NULL) {
        fclose(file);
    }
    if (ready) {
        server->port = port_behind(line, " http=");
        server->wire_port = port_behind(line, " wire=");
    }
    return ready;
}

static struct margin_client *connect_client(const struct server *server) {
    struct margin_options to = {.host = "127.0.0.1", .port = server->wire_port, .key = server->key};
    struct margin_client *client = NULL;
    char why[256];
    if (margin_connect(&to, &client, why, sizeof why) != MARGIN_OK) {
        race_failed("margind", why);
        return NULL;
    }
    return client;
}

static bool start(struct server *server) {
    char program[RACE_PATH_MAX + 32];
    char data[RACE_PATH_MAX + 32];
    char why[256];
    snprintf(program, sizeof program, "%s/margind", server->options->build);
    snprintf(data, sizeof data, "%s/data", server->dir);
    const char *const serve[] = {program,       "--data-dir",    data,          "--http-listen",
                                 "127.0.0.1:0", "--wire-listen", "127.0.0.1:0", NULL};
    unsetenv("MARGIN_KEY");
    if (!process_start(server, serve, false) || !process_await(server, answers)) {
        return false;
    }
    _Static_assert(sizeof server->key >= SETTINGS_KEY_MAX, "a key fits");
    if (!settings_find_key(NULL, data, server->key, why, sizeof why)) {
        return race_failed("margind", why);
    }
    struct margin_client *client = connect_client(server);
    if (client != NULL) {
        snprintf(server->version, sizeof server->version, "%s", margin_server_version(client));
    }
    margin_close(client);
    return client != NULL;
}

/* --- connections ------------------------------------------------------------------------------ */

static void disconnect(void *argument) {
    struct conn *conn = argument;
    if (conn->http != NULL) {
        http_close(conn->http);
    }
    if (conn->fd >= 0) {
        close(conn->fd);
    }
    margin_close(conn->client);
    free(conn->answer);
    free(conn);
}

static struct conn *make_conn(const struct server *server) {
    struct conn *conn = calloc(1, sizeof *conn);
    check(conn != NULL);
    conn->server = server;
    conn->fd = -1;
    conn->answer = malloc(ANSWER_BYTES_MAX);
    check(conn->answer != NULL);
    return conn;
}

static void *connect_http(const struct server *server) {
    struct conn *conn = make_conn(server);
    char header[192];
    snprintf(header, sizeof header, "Authorization: Bearer %s", server->key);
    snprintf(conn->url, sizeof conn->url, "http://127.0.0.1:%u/api/events/ingest", server->port);
    conn->http = http_open(header);
    return conn;
}

static bool read_exactly(int fd, char *to, usize bytes) {
    while (bytes > 0) {
        ssize_t got = recv(fd, to, bytes, 0);
        if (got <= 0) {
            return false;
        }
        to += got;
        bytes -= (usize)got;
    }
    return true;
}

static bool send_all(int fd, const char *from, usize bytes) {
    while (bytes > 0) {
        ssize_t sent = send(fd, from, bytes, MSG_NOSIGNAL);
        if (sent <= 0) {
            return false;
        }
        from += sent;
        bytes -= (usize)sent;
    }
    return true;
}

/* Sends a frame, whose payload stands behind room for its header, and takes the answer. */
static bool call(struct conn *conn, u8 type, char *frame, usize payload_bytes,
                 struct slice *answer) {
    struct wire_header header;
    frame_seal(frame, type, 0, frame + WIRE_HEADER_BYTES, payload_bytes);
    if (!send_all(conn->fd, frame, WIRE_HEADER_BYTES + payload_bytes) ||
        !read_exactly(conn->fd, conn->answer, WIRE_HEADER_BYTES)) {
        return race_failed("margind", strerror(errno));
    }
    const char *why = frame_read_header(conn->answer, &header);
    if (why != NULL || header.bytes >= ANSWER_BYTES_MAX ||
        !read_exactly(conn->fd, conn->answer, header.bytes)) {
        return race_failed("margind", why != NULL ? why : "its answer ends early");
    }
    conn->answer[header.bytes] = 0;
    *answer = (struct slice){conn->answer, header.bytes};
    return header.type == (type | WIRE_REPLY) || race_failed("margind", conn->answer + 4);
}

static bool greet(struct conn *conn) {
    char frame[WIRE_HEADER_BYTES + SETTINGS_KEY_MAX];
    char *payload = frame + WIRE_HEADER_BYTES;
    usize key_bytes = strlen(conn->server->key);
    struct slice answer;
    memcpy(payload, WIRE_MAGIC, WIRE_MAGIC_BYTES);
    wire_write_u16(wire_write_u16(payload + WIRE_MAGIC_BYTES, WIRE_VERSION), WIRE_VERSION);
    if (!call(conn, WIRE_HELLO, frame, WIRE_HELLO_BYTES, &answer)) {
        return false;
    }
    memcpy(payload, conn->server->key, key_bytes);
    return call(conn, WIRE_AUTH, frame, key_bytes, &answer);
}

static void *connect_wire(const struct server *server) {
    struct conn *conn = make_conn(server);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(server->wire_port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    conn->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(conn->fd, (struct sockaddr *)&address, sizeof address) != 0 || !greet(conn)) {
        race_failed("margind", strerror(errno));
        disconnect(conn);
        return NULL;
    }
    setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return conn;
}

/* --- ingest ----------------------------------------------------------------------------------- */

/* The generator's JSON ends with the key; the cost goes in before it. */
static char *put_json(char *to, const struct stream *stream, u32 index) {
    static const char tail[] = ",\"idempotencyKey\":\"";
    i64 nano = stream->event[index].cost_pico / STREAM_NANO;
    usize bytes = generator_json(&stream->generator, index, to);
    to += bytes - (sizeof tail - 1 + KEY_TEXT_BYTES + 2);
    check(memcmp(to, tail, sizeof tail - 1) == 0);
    to += sprintf(to, ",\"costAmount\":%lld.%09lld%s", (long long)(nano / 1000000000),
                  (long long)(nano % 1000000000), tail);
    memset(to, '0', KEY_TEXT_BYTES);
    to += KEY_TEXT_BYTES;
    memcpy(to, "\"}", 2);
    return to + 2;
}

static void encode_http(const struct server *server, struct payload *payload) {
    char *to = payload->bytes + sprintf(payload->bytes, "{\"events\":[");
    for (u32 i = 0; i < payload->count; i++) {
        to = put_json(to, server->stream, payload->first + i);
        payload->key_at[i] = (u32)(to - 2 - KEY_TEXT_BYTES - payload->bytes);
        *to++ = ',';
    }
    memcpy(to - 1, "]}", 2);
    payload->length = (usize)(to + 1 - payload->bytes);
}

static bool ingest_http(void *argument, struct payload *payload) {
    struct conn *conn = argument;
    return http_post(conn->http, conn->url, payload->bytes, payload->length);
}

static struct slice text(const char *text) {
    return (struct slice){text, strlen(text)};
}

static void add_event(struct margin_batch *batch, const struct stream_event *event) {
    const struct generated_event *made = &event->made;
    enum margin_status status = margin_batch_event(batch);
    check(status == MARGIN_OK);
    margin_batch_text(batch, WIRE_TEXT_EVENT_NAME, text(made->event_name));
    margin_batch_text(batch, WIRE_TEXT_CUSTOMER, text(made->customer));
    margin_batch_text(batch, WIRE_TEXT_FEATURE, text(made->feature));
    margin_batch_text(batch, WIRE_TEXT_MODEL, text(made->model));
    margin_batch_text(batch, WIRE_TEXT_PROVIDER, text(made->provider));
    margin_batch_text(batch, WIRE_TEXT_KEY, text(made->key));
    margin_batch_number(batch, WIRE_NUM_TIME, made->time_ms);
    margin_batch_number(batch, WIRE_NUM_COST, event->cost_pico);
    margin_batch_number(batch, WIRE_NUM_REVENUE, made->revenue_pico);
    margin_batch_number(batch, WIRE_NUM_INPUT, made->input_tokens);
    margin_batch_number(batch, WIRE_NUM_OUTPUT, made->output_tokens);
    margin_batch_number(batch, WIRE_NUM_DURATION, made->duration_ms);
}

static void encode_wire(const struct server *server, struct payload *payload) {
    const struct stream_event *event = &server->stream->event[payload->first];
    struct margin_batch *batch = margin_batch_create();
    check(batch != NULL);
    for (u32 i = 0; i < payload->count; i++) {
        add_event(batch, &event[i]);
    }
    usize bytes = codec_batch_bytes(batch);
    char *frame = payload->bytes;
    check(bytes <= payload->count * 256);
    codec_write_batch(frame + WIRE_HEADER_BYTES, batch);
    margin_batch_free(batch);
    payload->length = WIRE_HEADER_BYTES + bytes;
    /* Keys stand one after the other. */
    const char *keys = memmem(frame, payload->length, event->made.key, KEY_TEXT_BYTES);
    check(keys != NULL);
    for (u32 i = 0; i < payload->count; i++) {
        payload->key_at[i] = (u32)(keys - frame) + KEY_TEXT_BYTES * i;
    }
}

static bool ingest_wire(void *argument, struct payload *payload) {
    struct slice answer;
    struct margin_ingested ingested;
    return call(argument, WIRE_INGEST_NATIVE, payload->bytes, payload->length - WIRE_HEADER_BYTES,
                &answer) &&
           (codec_read_ingested(answer, &ingested) || race_failed("margind", "its answer"));
}

/* --- queries ---------------------------------------------------------------------------------- */

static bool has_client(struct conn *conn) {
    conn->client = conn->client != NULL ? conn->client : connect_client(conn->server);
    return conn->client != NULL;
}

static bool top(void *argument, struct ranking *out) {
    struct conn *conn = argument;
    struct margin_query query = margin_query_all();
    struct margin_rows rows;
    struct margin_row row;
    query.group[0] = WIRE_DIM_CUSTOMER;
    query.group_count = 1;
    query.order = WIRE_ORDER_MARGIN;
    query.limit = STREAM_TOP;
    if (!has_client(conn)) {
        return false;
    }
    if (margin_aggregate(conn->client, &query, &rows) != MARGIN_OK) {
        return race_failed("margind", margin_error_text(conn->client));
    }
    for (out->count = 0; out->count < STREAM_TOP && margin_rows_next(&rows, &row); out->count++) {
        out->row[out->count] =
            (struct ranked){stream_customer(row.group[0].data, row.group[0].bytes),
                            (i64)(row.figures.revenue - row.figures.cost)};
    }
    return true;
}

static bool totals(void *argument, struct totals *out) {
    struct conn *conn = argument;
    struct margin_cell cell = {.dimension = WIRE_DIM_NONE, .populations = 0};
    struct margin_point point;
    if (!has_client(conn)) {
        return false;
    }
    if (margin_get_point(conn->client, &cell, &point) != MARGIN_OK) {
        return race_failed("margind", margin_error_text(conn->client));
    }
    *out = (struct totals){point.figures.events, point.figures.cost, point.figures.revenue};
    return true;
}

const struct peer peer_margind_http = {
    .name = "margind-http",
    .acknowledged = "log synced, in all figures",
    .key_form = KEY_TEXT,
    .batch = 1000,
    .writers = 48,
    .event_bytes = GENERATED_JSON_MAX + 32,
    .stop_signal = SIGTERM,
    .start = start,
    .connect = connect_http,
    .disconnect = disconnect,
    .encode = encode_http,
    .ingest_batch = ingest_http,
    .top = top,
    .totals = totals,
};

const struct peer peer_margind_wire = {
    .name = "margind-wire",
    .acknowledged = "log synced, in all figures",
    .key_form = KEY_TEXT,
    .batch = 4096,
    .writers = 24,
    .event_bytes = 256,
    .stop_signal = SIGTERM,
    .start = start,
    .connect = connect_wire,
    .disconnect = disconnect,
    .encode = encode_wire,
    .ingest_batch = ingest_wire,
    .top = top,
    .totals = totals,
};
