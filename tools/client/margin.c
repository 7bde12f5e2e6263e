/*
 * margin.c: the connection of libmargin: one blocking socket with time limits, a buffer of what is
 * to be sent and one of what came. Requests are written straight into the first; answers are read
 * where they lie in the second, which is why they last until the next call.
 */
#include "margin.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "codec.h"
#include "tools/client/secure.h"
#include "wire/frame.h"

#define TIMEOUT_MS_DEFAULT 30000
#define OUT_BYTES_FLUSH (256 * KIB)
#define IN_BYTES_FIRST (256 * KIB)

struct push {
    u32 subscription;
    struct margin_point point;
};

struct margin_client {
    int fd;
    struct secure_trust *trust; /* NULL: no TLS */
    struct secure *secure;
    u32 timeout_ms;
    u32 account;
    u32 next_request;
    bool broken;
    struct buf out;
    char *in; /* bytes [in_at, in_end) have come and are not yet used */
    usize in_at;
    usize in_end;
    usize in_capacity;
    u32 push_count; /* pushes that came while another answer was awaited, the newest of each */
    struct push push[WIRE_SUBSCRIPTIONS_MAX];
    char version[64];
    char error[512];
};

static enum margin_status fail(struct margin_client *client, enum margin_status status,
                               const char *format, ...) __attribute__((format(printf, 3, 4)));

static enum margin_status fail(struct margin_client *client, enum margin_status status,
                               const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(client->error, sizeof client->error, format, args);
    va_end(args);
    client->broken |=
        status == MARGIN_LOST || status == MARGIN_TIMEOUT || status == MARGIN_PROTOCOL;
    return status;
}

const char *margin_error_text(const struct margin_client *client) {
    return client->error;
}

const char *margin_server_version(const struct margin_client *client) {
    return client->version;
}

u32 margin_account(const struct margin_client *client) {
    return client->account;
}

static i64 now_ms(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (i64)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

/* --- bytes ------------------------------------------------------------------------------------ */

static ssize_t send_some(struct margin_client *client, const char *data, usize bytes) {
    return client->secure != NULL ? secure_send(client->secure, data, bytes)
                                  : send(client->fd, data, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static ssize_t receive_some(struct margin_client *client, char *into, usize bytes) {
    return client->secure != NULL ? secure_receive(client->secure, into, bytes)
                                  : recv(client->fd, into, bytes, MSG_DONTWAIT);
}

/* Waits until the socket is ready for `events`, or what TLS needs before them; false when the
 * deadline passes first. */
static bool wait_ready(const struct margin_client *client, short events, i64 deadline_ms) {
    if (client->secure != NULL) {
        events = secure_events(client->secure);
    }
    for (;;) {
        i64 left = deadline_ms - now_ms();
        struct pollfd poll_fd = {.fd = client->fd, .events = events};
        int ready = poll(&poll_fd, 1, left > 0 ? (int)MIN(left, 1000000) : 0);
        if (ready > 0) {
            return true;
        }
        if ((ready == 0 || errno == EINTR) && now_ms() >= deadline_ms) {
            return false;
        }
    }
}

enum margin_status margin_flush(struct margin_client *client) {
    if (client->broken) {
        return MARGIN_LOST;
    }
    i64 deadline_ms = now_ms() + client->timeout_ms;
    usize at = 0;
    while (at < client->out.bytes) {
        ssize_t sent = send_some(client, client->out.data + at, client->out.bytes - at);
        if (sent > 0) {
            at += (usize)sent;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            if (!wait_ready(client, POLLOUT, deadline_ms)) {
                return fail(client, MARGIN_TIMEOUT, "the server takes no data");
            }
        } else if (errno != EINTR) {
            return fail(client, MARGIN_LOST, "sending failed: %s", strerror(errno));
        }
    }
    buf_clear(&client->out);
    return MARGIN_OK;
}

static bool make_room(struct margin_client *client, usize needed) {
    if (client->in_at > 0) {
        memmove(client->in, client->in + client->in_at, client->in_end - client->in_at);
        client->in_end -= client->in_at;
        client->in_at = 0;
    }
    if (needed <= client->in_capacity) {
        return true;
    }
    char *in = realloc(client->in, needed);
    if (in == NULL) {
        return false;
    }
    client->in = in;
    client->in_capacity = needed;
    return true;
}

/* Makes `bytes` bytes available at in + in_at. */
static enum margin_status fill(struct margin_client *client, usize bytes, i64 deadline_ms) {
    if (client->in_at + bytes > client->in_capacity && !make_room(client, bytes)) {
        return fail(client, MARGIN_NO_MEMORY, "no memory for an answer of %zu bytes", bytes);
    }
    while (client->in_end - client->in_at < bytes) {
        ssize_t got =
            receive_some(client, client->in + client->in_end, client->in_capacity - client->in_end);
        if (got > 0) {
            client->in_end += (usize)got;
        } else if (got == 0) {
            return fail(client, MARGIN_LOST, "the server closed the connection");
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            if (!wait_ready(client, POLLIN, deadline_ms)) {
                return MARGIN_TIMEOUT;
            }
        } else if (errno != EINTR) {
            return fail(client, MARGIN_LOST, "receiving failed: %s", strerror(errno));
        }
    }
    return MARGIN_OK;
}

/* --- frames ----------------------------------------------------------------------------------- */

struct frame {
    struct wire_header header;
    struct slice payload;
};

static enum margin_status read_frame(struct margin_client *client, i64 deadline_ms,
                                     struct frame *out) {
    enum margin_status status = fill(client, WIRE_HEADER_BYTES, deadline_ms);
    if (status != MARGIN_OK) {
        return status;
    }
    const char *why = frame_read_header(client->in + client->in_at, &out->header);
    if (why != NULL) {
        return fail(client, MARGIN_PROTOCOL, "not a margind socket: %s", why);
    }
    status = fill(client, WIRE_HEADER_BYTES + (usize)out->header.bytes, deadline_ms);
    if (status != MARGIN_OK) {
        return status;
    }
    const char *payload = client->in + client->in_at + WIRE_HEADER_BYTES;
    if (!frame_check(&out->header, payload)) {
        return fail(client, MARGIN_PROTOCOL, "an answer was damaged on the way (checksum)");
    }
    out->payload = (struct slice){payload, out->header.bytes};
    client->in_at += WIRE_HEADER_BYTES + (usize)out->header.bytes;
    return MARGIN_OK;
}

/* Room for a request's payload in the output; end_request() closes it. NULL: no room. */
static char *begin_request(struct margin_client *client, usize payload_bytes) {
    if (client->out.bytes > OUT_BYTES_FLUSH && margin_flush(client) != MARGIN_OK) {
        return NULL;
    }
    if (payload_bytes > WIRE_FRAME_BYTES_MAX) {
        fail(client, MARGIN_LIMIT, "a request of %zu bytes is too long", payload_bytes);
        return NULL;
    }
    char *header = buf_reserve(&client->out, WIRE_HEADER_BYTES + payload_bytes);
    if (header == NULL) {
        fail(client, MARGIN_NO_MEMORY, "no memory for a request of %zu bytes", payload_bytes);
        return NULL;
    }
    return header + WIRE_HEADER_BYTES;
}

static u32 end_request(struct margin_client *client, enum wire_type type, const char *payload,
                       usize payload_bytes) {
    u32 request = client->next_request++;
    char *header = client->out.data + client->out.bytes;
    frame_seal(header, (u8)type, request, payload, payload_bytes);
    client->out.bytes += WIRE_HEADER_BYTES + payload_bytes;
    return request;
}

/* Why begin_request() gave no room. */
static enum margin_status no_room(const struct margin_client *client, usize payload_bytes) {
    return client->broken                         ? MARGIN_LOST
           : payload_bytes > WIRE_FRAME_BYTES_MAX ? MARGIN_LIMIT
                                                  : MARGIN_NO_MEMORY;
}

static enum margin_status send_bytes(struct margin_client *client, enum wire_type type,
                                     struct slice payload, u32 *request) {
    char *to = begin_request(client, payload.bytes);
    if (to == NULL) {
        return no_room(client, payload.bytes);
    }
    if (payload.bytes > 0) {
        memcpy(to, payload.data, payload.bytes);
    }
    *request = end_request(client, type, to, payload.bytes);
    return MARGIN_OK;
}

static void keep_push(struct margin_client *client, const struct frame *frame) {
    u32 i = 0;
    while (i < client->push_count && client->push[i].subscription != frame->header.request) {
        i++;
    }
    if (i == client->push_count && i < ARRAY_COUNT(client->push)) {
        client->push_count++;
    }
    struct margin_point point;
    if (i < ARRAY_COUNT(client->push) && codec_read_point(frame->payload, &point)) {
        client->push[i] = (struct push){frame->header.request, point};
    }
}

static enum margin_status read_error(struct margin_client *client, struct slice payload) {
    struct wire_reader reader = wire_reader(payload);
    u16 code = wire_read_u16(&reader);
    wire_read_u16(&reader);
    if (reader.failed) {
        return fail(client, MARGIN_PROTOCOL, "the server sent an error that cannot be read");
    }
    return fail(client, codec_status(code), "%.*s", (int)MIN(reader.end - reader.at, 400),
                reader.at);
}

enum margin_status margin_receive(struct margin_client *client, struct margin_reply *out) {
    enum margin_status status = margin_flush(client);
    if (status != MARGIN_OK) {
        return status;
    }
    i64 deadline_ms = now_ms() + client->timeout_ms;
    struct frame frame;
    do {
        status = read_frame(client, deadline_ms, &frame);
        if (status == MARGIN_TIMEOUT) {
            return fail(client, MARGIN_TIMEOUT, "no answer within %u ms", client->timeout_ms);
        }
        if (status == MARGIN_OK && frame.header.type == WIRE_PUSH) {
            keep_push(client, &frame);
        }
    } while (status == MARGIN_OK && frame.header.type == WIRE_PUSH);
    if (status != MARGIN_OK) {
        return status;
    }
    out->request = frame.header.request;
    out->payload = frame.payload;
    out->type = (enum wire_type)(frame.header.type & ~WIRE_REPLY);
    out->status = MARGIN_OK;
    if (frame.header.type == WIRE_ERROR) {
        out->status = read_error(client, frame.payload);
        out->payload = (struct slice){NULL, 0};
    } else if ((frame.header.type & WIRE_REPLY) == 0) {
        return fail(client, MARGIN_PROTOCOL, "the server sent a request");
    }
    return client->broken ? out->status : MARGIN_OK;
}

/* The answer to the one request that is out. */
static enum margin_status await(struct margin_client *client, u32 request, enum wire_type type,
                                struct slice *payload) {
    struct margin_reply reply;
    enum margin_status status = margin_receive(client, &reply);
    if (status != MARGIN_OK) {
        return status;
    }
    if (reply.request != request) {
        return fail(client, MARGIN_PROTOCOL, "an answer to another request came");
    }
    if (reply.status == MARGIN_OK && reply.type != type) {
        return fail(client, MARGIN_PROTOCOL, "an answer of another type came");
    }
    *payload = reply.payload;
    return reply.status;
}

static enum margin_status call(struct margin_client *client, enum wire_type type,
                               struct slice request, struct slice *payload) {
    u32 number;
    enum margin_status status = send_bytes(client, type, request, &number);
    return status != MARGIN_OK ? status : await(client, number, type, payload);
}

static enum margin_status unreadable(struct margin_client *client) {
    return fail(client, MARGIN_PROTOCOL, "an answer cannot be read");
}

/* --- connecting ------------------------------------------------------------------------------- */

static int connect_address(const struct addrinfo *address, u32 timeout_ms) {
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -1;
    }
    int error = 0;
    socklen_t error_bytes = sizeof error;
    if (connect(fd, address->ai_addr, address->ai_addrlen) != 0) {
        struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};
        error = errno;
        if (error == EINPROGRESS) {
            int ready = poll(&poll_fd, 1, (int)MIN(timeout_ms, 1000000u));
            error = ready == 0 ? ETIMEDOUT : errno;
            if (ready > 0) {
                getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_bytes);
            }
        }
    }
    if (error != 0) {
        close(fd);
        errno = error;
        return -1;
    }
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static enum margin_status open_socket(struct margin_client *client,
                                      const struct margin_options *options) {
    char port[8];
    snprintf(port, sizeof port, "%u", options->port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *addresses;
    int error = getaddrinfo(options->host, port, &hints, &addresses);
    if (error != 0) {
        return fail(client, MARGIN_LOST, "no address for %s: %s", options->host,
                    gai_strerror(error));
    }
    for (struct addrinfo *at = addresses; at != NULL && client->fd < 0; at = at->ai_next) {
        client->fd = connect_address(at, client->timeout_ms);
    }
    freeaddrinfo(addresses);
    if (client->fd < 0) {
        return fail(client, MARGIN_LOST, "cannot connect to %s:%u: %s; is margind running there?",
                    options->host, options->port, strerror(errno));
    }
    return MARGIN_OK;
}

static enum margin_status make_secure(struct margin_client *client,
                                      const struct margin_options *options) {
    char why[sizeof client->error];
    client->trust = secure_trust_open(options->tls_ca, why, sizeof why);
    if (client->trust != NULL) {
        client->secure = secure_open(client->trust, client->fd, options->host, WIRE_ALPN,
                                     client->timeout_ms, why, sizeof why);
    }
    return client->secure != NULL ? MARGIN_OK
                                  : fail(client, MARGIN_LOST, "no secure connection to %s:%u: %s",
                                         options->host, options->port, why);
}

static enum margin_status say_hello(struct margin_client *client) {
    char hello[WIRE_HELLO_BYTES];
    memcpy(hello, WIRE_MAGIC, WIRE_MAGIC_BYTES);
    char *to = wire_write_u16(hello + WIRE_MAGIC_BYTES, WIRE_VERSION);
    wire_write_u16(to, WIRE_VERSION);
    struct slice answer;
    enum margin_status status =
        call(client, WIRE_HELLO, (struct slice){hello, sizeof hello}, &answer);
    if (status != MARGIN_OK) {
        return status;
    }
    if (answer.bytes < WIRE_HELLO_REPLY_BYTES ||
        memcmp(answer.data, WIRE_MAGIC, WIRE_MAGIC_BYTES) != 0) {
        return unreadable(client);
    }
    snprintf(client->version, sizeof client->version, "%.*s",
             (int)MIN(answer.bytes - WIRE_HELLO_REPLY_BYTES, sizeof client->version - 1),
             answer.data + WIRE_HELLO_REPLY_BYTES);
    return MARGIN_OK;
}

enum margin_status margin_connect(const struct margin_options *options, struct margin_client **out,
                                  char *why, usize why_bytes) {
    struct margin_client *client = calloc(1, sizeof *client);
    if (client == NULL || (client->in = malloc(IN_BYTES_FIRST)) == NULL) {
        free(client);
        snprintf(why, why_bytes, "no memory");
        return MARGIN_NO_MEMORY;
    }
    client->fd = -1;
    client->in_capacity = IN_BYTES_FIRST;
    client->next_request = 1;
    client->timeout_ms = options->timeout_ms != 0 ? options->timeout_ms : TIMEOUT_MS_DEFAULT;
    buf_init(&client->out, WIRE_FRAME_BYTES_MAX + WIRE_HEADER_BYTES + 2 * OUT_BYTES_FLUSH);
    enum margin_status status = open_socket(client, options);
    if (status == MARGIN_OK && options->tls) {
        status = make_secure(client, options);
    }
    if (status == MARGIN_OK) {
        status = say_hello(client);
    }
    if (status == MARGIN_OK) {
        struct slice answer;
        struct slice key = {options->key, options->key != NULL ? strlen(options->key) : 0};
        status = call(client, WIRE_AUTH, key, &answer);
        if (status == MARGIN_OK && answer.bytes >= sizeof client->account) {
            memcpy(&client->account, answer.data, sizeof client->account);
        }
    }
    if (status != MARGIN_OK) {
        snprintf(why, why_bytes, "%s", client->error);
        margin_close(client);
        return status;
    }
    *out = client;
    return MARGIN_OK;
}

void margin_close(struct margin_client *client) {
    if (client == NULL) {
        return;
    }
    secure_close(client->secure);
    secure_trust_close(client->trust);
    if (client->fd >= 0) {
        close(client->fd);
    }
    buf_free(&client->out);
    free(client->in);
    free(client);
}

/* --- calls ------------------------------------------------------------------------------------ */

enum margin_status margin_ping(struct margin_client *client) {
    struct slice answer;
    return call(client, WIRE_PING, SLICE("ping"), &answer);
}

bool margin_reply_point(const struct margin_reply *reply, struct margin_point *out) {
    return codec_read_point(reply->payload, out);
}

bool margin_reply_ingested(const struct margin_reply *reply, struct margin_ingested *out) {
    return codec_read_ingested(reply->payload, out);
}

enum margin_status margin_send_json(struct margin_client *client, struct slice body, u32 *request) {
    return send_bytes(client, WIRE_INGEST_JSON, body, request);
}

enum margin_status margin_send_batch(struct margin_client *client, struct margin_batch *batch,
                                     u32 *request) {
    usize bytes = codec_batch_bytes(batch);
    char *to = begin_request(client, bytes);
    if (to == NULL) {
        return no_room(client, bytes);
    }
    codec_write_batch(to, batch);
    *request = end_request(client, WIRE_INGEST_NATIVE, to, bytes);
    return MARGIN_OK;
}

enum margin_status margin_send_point(struct margin_client *client, const struct margin_cell *cell,
                                     u32 *request) {
    usize bytes = codec_cell_bytes(cell);
    char *to = cell->text.bytes <= EVENT_CUSTOMER_MAX ? begin_request(client, bytes) : NULL;
    if (to == NULL) {
        return cell->text.bytes > EVENT_CUSTOMER_MAX
                   ? fail(client, MARGIN_INVALID, "a name has at most 255 bytes")
                   : no_room(client, bytes);
    }
    codec_write_cell(to, cell);
    *request = end_request(client, WIRE_POINT, to, bytes);
    return MARGIN_OK;
}

enum margin_status margin_ingest_json(struct margin_client *client, struct slice body,
                                      struct margin_ingested *out) {
    struct slice answer;
    enum margin_status status = call(client, WIRE_INGEST_JSON, body, &answer);
    if (status == MARGIN_OK && !codec_read_ingested(answer, out)) {
        status = unreadable(client);
    }
    return status;
}

enum margin_status margin_ingest_batch(struct margin_client *client, struct margin_batch *batch,
                                       struct margin_ingested *out) {
    u32 request;
    struct slice answer;
    enum margin_status status = margin_send_batch(client, batch, &request);
    if (status == MARGIN_OK) {
        status = await(client, request, WIRE_INGEST_NATIVE, &answer);
    }
    if (status == MARGIN_OK && !codec_read_ingested(answer, out)) {
        status = unreadable(client);
    }
    if (status == MARGIN_OK) {
        margin_batch_clear(batch);
    }
    return status;
}

enum margin_status margin_get_point(struct margin_client *client, const struct margin_cell *cell,
                                    struct margin_point *out) {
    u32 request;
    struct slice answer;
    enum margin_status status = margin_send_point(client, cell, &request);
    if (status == MARGIN_OK) {
        status = await(client, request, WIRE_POINT, &answer);
    }
    return status == MARGIN_OK && !codec_read_point(answer, out) ? unreadable(client) : status;
}

/* False if the filters cannot be written. */
static bool check_filters(struct margin_client *client, const struct margin_filter *filters,
                          u32 count) {
    bool good = count <= WIRE_FILTERS_MAX;
    for (u32 i = 0; good && i < count; i++) {
        good = filters[i].text.bytes <= EVENT_CUSTOMER_MAX;
    }
    if (!good) {
        fail(client, MARGIN_INVALID, "a query has at most %d filters of at most 255 bytes",
             WIRE_FILTERS_MAX);
    }
    return good;
}

enum margin_status margin_aggregate(struct margin_client *client, const struct margin_query *query,
                                    struct margin_rows *out) {
    if (!check_filters(client, query->filter, query->filter_count)) {
        return MARGIN_INVALID;
    }
    char *to = begin_request(client, codec_query_bytes(query));
    if (to == NULL) {
        return no_room(client, 0);
    }
    codec_write_query(to, query);
    u32 request = end_request(client, WIRE_AGGREGATE, to, codec_query_bytes(query));
    struct slice answer;
    enum margin_status status = await(client, request, WIRE_AGGREGATE, &answer);
    return status == MARGIN_OK && !codec_read_rows(answer, out) ? unreadable(client) : status;
}

enum margin_status margin_scan_events(struct margin_client *client, const struct margin_scan *scan,
                                      struct margin_events *out) {
    if (!check_filters(client, scan->filter, scan->filter_count)) {
        return MARGIN_INVALID;
    }
    char *to = begin_request(client, codec_scan_bytes(scan));
    if (to == NULL) {
        return no_room(client, 0);
    }
    codec_write_scan(to, scan);
    u32 request = end_request(client, WIRE_SCAN, to, codec_scan_bytes(scan));
    struct slice answer;
    enum margin_status status = await(client, request, WIRE_SCAN, &answer);
    return status == MARGIN_OK && !codec_read_events(answer, out) ? unreadable(client) : status;
}

enum margin_status margin_subscribe(struct margin_client *client, const struct margin_cell *cell,
                                    u32 interval_ms, u32 *subscription, struct margin_point *out) {
    if (cell->text.bytes > EVENT_CUSTOMER_MAX) {
        return fail(client, MARGIN_INVALID, "a name has at most 255 bytes");
    }
    usize bytes = 4 + codec_cell_bytes(cell);
    char *to = begin_request(client, bytes);
    if (to == NULL) {
        return no_room(client, bytes);
    }
    codec_write_cell(wire_write_u32(to, interval_ms), cell);
    *subscription = end_request(client, WIRE_SUBSCRIBE, to, bytes);
    struct slice answer;
    enum margin_status status = await(client, *subscription, WIRE_SUBSCRIBE, &answer);
    return status == MARGIN_OK && !codec_read_point(answer, out) ? unreadable(client) : status;
}

enum margin_status margin_unsubscribe(struct margin_client *client, u32 subscription) {
    char bytes[4];
    wire_write_u32(bytes, subscription);
    struct slice answer;
    return call(client, WIRE_UNSUBSCRIBE, (struct slice){bytes, sizeof bytes}, &answer);
}

enum margin_status margin_next_push(struct margin_client *client, u32 timeout_ms, u32 *subscription,
                                    struct margin_point *out) {
    if (client->push_count > 0) {
        *subscription = client->push[0].subscription;
        *out = client->push[0].point;
        client->push_count--;
        memmove(client->push, client->push + 1, client->push_count * sizeof client->push[0]);
        return MARGIN_OK;
    }
    struct frame frame;
    enum margin_status status = margin_flush(client);
    if (status == MARGIN_OK) {
        status = read_frame(client, now_ms() + timeout_ms, &frame);
    }
    if (status != MARGIN_OK) {
        return status;
    }
    if (frame.header.type == WIRE_ERROR) {
        return read_error(client, frame.payload);
    }
    *subscription = frame.header.request;
    return frame.header.type == WIRE_PUSH && codec_read_point(frame.payload, out)
               ? MARGIN_OK
               : unreadable(client);
}

enum margin_status margin_get_stats(struct margin_client *client, struct margin_stats *out) {
    struct slice answer;
    enum margin_status status = call(client, WIRE_STATS, (struct slice){NULL, 0}, &answer);
    if (status == MARGIN_OK) {
        struct wire_reader reader = wire_reader(answer);
        out->count = wire_read_u32(&reader);
        out->rest = (struct slice){reader.at, (usize)(reader.end - reader.at)};
        status = reader.failed ? unreadable(client) : MARGIN_OK;
    }
    return status;
}
