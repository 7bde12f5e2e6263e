/*
 * load_worker.c: a client thread: its connections, their slots, and a loop over epoll.
 *
 * A slot is one request under way: due, being written, awaited, done. Closed loop: a slot whose
 * answer came is due at once. Open loop: requests are due at fixed times, and latency counts from
 * then, whether or not a slot was free: what a slow server holds up is not left out of the figures.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "tools/client/codec.h"
#include "tools/margin-load/load.h"
#include "wire/frame.h"

#define IN_BYTES (256 * KIB)
#define TEMPLATE_BYTES_TOTAL (192 * MIB)
#define RETRY_NS 1000000
#define EVENTS_A_WAIT 256
#define HANDSHAKE_MS 30000

enum slot_state { SLOT_IDLE, SLOT_WRITING, SLOT_AWAITED, SLOT_RETRY };

struct slot {
    enum slot_state state;
    u32 conn;
    u32 template_count;
    u32 template_at;
    struct load_template template[LOAD_TEMPLATES_MAX];
    u64 due_ns; /* latency counts from here; of a retry: when to send again */
    u64 retry_ns;
};

struct conn {
    int fd;
    struct secure *secure; /* NULL: no TLS */
    bool blocked;          /* waiting for EPOLLOUT */
    u32 *order; /* slots: [written, queued) are to be written, [answered, written) awaited */
    u64 answered;
    u64 written;
    u64 queued;
    usize offset; /* bytes of the slot being written that are out */
    char *in;
    usize in_bytes;
};

struct client {
    struct load_worker *worker;
    const struct load_options *options;
    int epoll_fd;
    u32 conn_count;
    u32 conns_alive;
    struct conn *conns;
    struct slot *slots; /* pipeline slots a connection */
    u32 *idle;          /* slots that may be sent, a stack */
    u32 idle_count;
    u32 retry_count;
    u32 busy_count; /* slots that are not idle */
    u64 next_due_ns;
    u64 interval_ns; /* 0: closed loop */
};

static bool fail(struct load_worker *worker, const char *what, const char *detail) {
    snprintf(worker->why, sizeof worker->why, "%s: %.200s", what, detail);
    worker->failed = true;
    return false;
}

static struct load_template *template_of(struct slot *slot) {
    return &slot->template[slot->template_at];
}

/* --- the socket, with or without TLS ---------------------------------------------------------- */

static ssize_t send_some(struct conn *conn, const char *data, usize bytes) {
    return conn->secure != NULL ? secure_send(conn->secure, data, bytes)
                                : send(conn->fd, data, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static ssize_t receive_some(struct conn *conn, char *into, usize bytes) {
    return conn->secure != NULL ? secure_receive(conn->secure, into, bytes)
                                : recv(conn->fd, into, bytes, MSG_DONTWAIT);
}

static void close_conn(struct conn *conn) {
    secure_close(conn->secure);
    conn->secure = NULL;
    close(conn->fd);
    conn->fd = -1;
}

/* --- setting up ------------------------------------------------------------------------------- */

static int open_socket(struct load_worker *worker, const struct settings_address *address) {
    char port[8];
    snprintf(port, sizeof port, "%u", address->port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    int error = getaddrinfo(address->host, port, &hints, &found);
    if (error != 0) {
        fail(worker, address->host, gai_strerror(error));
        return -1;
    }
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, found->ai_addr, found->ai_addrlen) != 0) {
        char text[128];
        snprintf(text, sizeof text, "%s; is margind running at %s:%u?", strerror(errno),
                 address->host, address->port);
        fail(worker, "cannot connect", text);
        if (fd >= 0) {
            close(fd);
        }
        fd = -1;
    }
    freeaddrinfo(found);
    return fd;
}

static bool read_exactly(struct conn *conn, char *to, usize bytes) {
    while (bytes > 0) {
        ssize_t got = receive_some(conn, to, bytes);
        if (got < 0 && errno == EAGAIN) {
            struct pollfd poll_fd = {.fd = conn->fd, .events = POLLIN};
            poll(&poll_fd, 1, -1);
        } else if (got <= 0) {
            return false;
        } else {
            to += got;
            bytes -= (usize)got;
        }
    }
    return true;
}

/* Sends one frame, for which a fresh socket has room, and awaits its answer. */
static bool call_blocking(struct load_worker *worker, struct conn *conn, u8 type,
                          struct slice payload) {
    char frame[WIRE_HEADER_BYTES + SETTINGS_KEY_MAX];
    memcpy(frame + WIRE_HEADER_BYTES, payload.data, payload.bytes);
    frame_seal(frame, type, 0, frame + WIRE_HEADER_BYTES, payload.bytes);
    char answer[1024];
    struct wire_header header;
    if (send_some(conn, frame, WIRE_HEADER_BYTES + payload.bytes) < 0 ||
        !read_exactly(conn, answer, WIRE_HEADER_BYTES) ||
        frame_read_header(answer, &header) != NULL || header.bytes > sizeof answer ||
        !read_exactly(conn, answer, header.bytes)) {
        return fail(worker, "the server's answer", "not the binary protocol");
    }
    if (header.type == WIRE_ERROR) {
        answer[MIN(header.bytes, sizeof answer - 1)] = 0;
        return fail(worker, "refused", answer + 4);
    }
    return true;
}

static bool greet(struct load_worker *worker, struct conn *conn) {
    const struct load_options *options = worker->run->options;
    char hello[WIRE_HELLO_BYTES];
    memcpy(hello, WIRE_MAGIC, WIRE_MAGIC_BYTES);
    wire_write_u16(wire_write_u16(hello + WIRE_MAGIC_BYTES, WIRE_VERSION), WIRE_VERSION);
    struct slice key = {options->key, strlen(options->key)};
    return call_blocking(worker, conn, WIRE_HELLO, (struct slice){hello, sizeof hello}) &&
           call_blocking(worker, conn, WIRE_AUTH, key);
}

static bool is_wire(const struct load_options *options) {
    return options->mode == LOAD_WIRE || options->mode == LOAD_WIRE_JSON;
}

static bool open_conn(struct client *client, u32 index) {
    struct load_worker *worker = client->worker;
    struct conn *conn = &client->conns[index];
    bool wire = is_wire(client->options);
    const struct settings_address *to = wire ? &client->options->wire : &client->options->http;
    conn->fd = open_socket(worker, to);
    if (conn->fd < 0) {
        return false;
    }
    if (to->tls) {
        char why[200];
        conn->secure = secure_open(worker->run->trust, conn->fd, to->host,
                                   wire ? WIRE_ALPN : "http/1.1", HANDSHAKE_MS, why, sizeof why);
        if (conn->secure == NULL) {
            return fail(worker, "no secure connection", why);
        }
    }
    if (wire && !greet(worker, conn)) {
        return false;
    }
    int on = 1;
    setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    conn->in = malloc(IN_BYTES);
    conn->order = calloc(client->options->pipeline, sizeof *conn->order);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = index};
    if (conn->in == NULL || conn->order == NULL ||
        epoll_ctl(client->epoll_fd, EPOLL_CTL_ADD, conn->fd, &event) != 0) {
        return fail(worker, "setting up a connection", strerror(errno));
    }
    client->conns_alive++;
    return true;
}

static bool make_slot(struct client *client, u32 index, u32 slots_total) {
    const struct load_options *options = client->options;
    struct slot *slot = &client->slots[index];
    slot->conn = index / options->pipeline;
    usize each = (usize)options->batch * (400 + 32 * options->unexpected) + 1024;
    usize fitting = TEMPLATE_BYTES_TOTAL / options->threads / slots_total / each;
    slot->template_count = (u32)MIN(MAX(fitting, 1), LOAD_TEMPLATES_MAX);
    for (u32 i = 0; i < slot->template_count; i++) {
        u64 number = ((u64)client->worker->index * slots_total + index) * LOAD_TEMPLATES_MAX + i;
        if (!load_template_make(options, number * options->batch, &slot->template[i])) {
            return fail(client->worker, "templates", "no memory");
        }
    }
    client->idle[client->idle_count++] = index;
    return true;
}

static bool set_up(struct client *client) {
    const struct load_options *options = client->options;
    struct load_worker *worker = client->worker;
    client->conn_count = options->connections / options->threads +
                         (worker->index < options->connections % options->threads);
    u32 slots = client->conn_count * options->pipeline;
    client->conns = calloc(client->conn_count, sizeof *client->conns);
    client->slots = calloc(slots, sizeof *client->slots);
    client->idle = calloc(slots, sizeof *client->idle);
    client->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (client->conns == NULL || client->slots == NULL || client->idle == NULL ||
        client->epoll_fd < 0) {
        return fail(worker, "setting up", strerror(errno));
    }
    for (u32 i = 0; i < client->conn_count; i++) {
        if (!open_conn(client, i)) {
            return false;
        }
    }
    for (u32 i = slots; i-- > 0;) { /* so that the stack begins with one slot a connection */
        if (!make_slot(client, i % client->conn_count * options->pipeline + i / client->conn_count,
                       slots)) {
            return false;
        }
    }
    if (options->rate > 0) {
        client->interval_ns = (u64)1000000000 * options->batch * options->threads / options->rate;
    }
    return true;
}

static void tear_down(struct client *client) {
    for (u32 i = 0; client->conns != NULL && i < client->conn_count; i++) {
        if (client->conns[i].fd > 0) {
            close_conn(&client->conns[i]);
        }
        free(client->conns[i].in);
        free(client->conns[i].order);
    }
    for (u32 i = 0; client->slots != NULL && i < client->conn_count * client->options->pipeline;
         i++) {
        for (u32 k = 0; k < client->slots[i].template_count; k++) {
            load_template_free(&client->slots[i].template[k]);
        }
    }
    free(client->conns);
    free(client->slots);
    free(client->idle);
    if (client->epoll_fd >= 0) {
        close(client->epoll_fd);
    }
}

/* --- writing ---------------------------------------------------------------------------------- */

static void lose(struct client *client, struct conn *conn) {
    close_conn(conn);
    client->worker->counts.lost++;
    client->conns_alive--;
    client->busy_count -= (u32)(conn->queued - conn->answered); /* slots that never come back */
}

static void want_output(struct client *client, struct conn *conn, bool wanted) {
    if (conn->blocked != wanted) {
        conn->blocked = wanted;
        struct epoll_event event = {.events = wanted ? EPOLLIN | EPOLLOUT : EPOLLIN,
                                    .data.u32 = (u32)(conn - client->conns)};
        epoll_ctl(client->epoll_fd, EPOLL_CTL_MOD, conn->fd, &event);
    }
}

static void write_out(struct client *client, struct conn *conn) {
    u32 pipeline = client->options->pipeline;
    while (conn->written < conn->queued) {
        struct slot *slot = &client->slots[conn->order[conn->written % pipeline]];
        struct load_template *made = template_of(slot);
        ssize_t sent = send_some(conn, made->bytes + conn->offset, made->length - conn->offset);
        if (sent < 0) {
            if (errno == EAGAIN || errno == EINTR) {
                want_output(client, conn, true);
            } else {
                lose(client, conn);
            }
            return;
        }
        conn->offset += (usize)sent;
        if (conn->offset == made->length) {
            slot->state = SLOT_AWAITED;
            client->worker->counts.bytes += made->length;
            conn->offset = 0;
            conn->written++;
        }
    }
    want_output(client, conn, false);
}

static void queue_slot(struct client *client, u32 index) {
    struct slot *slot = &client->slots[index];
    struct conn *conn = &client->conns[slot->conn];
    slot->state = SLOT_WRITING;
    conn->order[conn->queued++ % client->options->pipeline] = index;
    if (conn->queued == conn->written + 1) {
        write_out(client, conn);
    }
}

/* Its time is up, or it was stopped. */
static bool is_over(const struct client *client, u64 now_ns) {
    const struct load_run *run = client->worker->run;
    u64 most_ns = client->options->seconds * 1000000000;
    return atomic_load_explicit(&run->stop, memory_order_relaxed) ||
           (most_ns > 0 && now_ns - run->start_ns >= most_ns);
}

/* Claims the next events of the run; false: the run is over. */
static bool claim(struct client *client, u64 now_ns, u64 *first) {
    struct load_run *run = client->worker->run;
    const struct load_options *options = client->options;
    if (is_over(client, now_ns)) {
        return false;
    }
    *first = atomic_fetch_add_explicit(&run->next_event, options->batch, memory_order_relaxed);
    return options->events == 0 || *first + options->batch <= options->events;
}

/* Sends what is due. Returns false once nothing will be due any more. */
static bool send_due(struct client *client, u64 now_ns) {
    while (client->idle_count > 0) {
        if (client->interval_ns > 0 && client->next_due_ns > now_ns) {
            return true;
        }
        u32 index = client->idle[client->idle_count - 1];
        struct slot *slot = &client->slots[index];
        if (client->conns[slot->conn].fd < 0) {
            client->idle_count--;
            continue;
        }
        u64 first;
        if (!claim(client, now_ns, &first)) {
            return false;
        }
        client->idle_count--;
        client->busy_count++;
        slot->due_ns = client->interval_ns > 0 ? client->next_due_ns : now_ns;
        client->next_due_ns += client->interval_ns;
        slot->template_at = (slot->template_at + 1) % slot->template_count;
        load_template_patch(client->options, template_of(slot), first, index, clock_wall_ms());
        queue_slot(client, index);
    }
    return client->conns_alive > 0 && !is_over(client, now_ns);
}

static void send_retries(struct client *client, u64 now_ns) {
    u32 slots = client->conn_count * client->options->pipeline;
    for (u32 i = 0; client->retry_count > 0 && i < slots; i++) {
        struct slot *slot = &client->slots[i];
        if (slot->state == SLOT_RETRY && client->conns[slot->conn].fd < 0) {
            slot->state = SLOT_IDLE;
            client->retry_count--;
            client->busy_count--;
        } else if (slot->state == SLOT_RETRY && slot->retry_ns <= now_ns) {
            client->retry_count--;
            client->worker->counts.retries++;
            queue_slot(client, i);
        }
    }
}

/* --- answers ---------------------------------------------------------------------------------- */

static void finish_slot(struct client *client, u32 index, bool good, u32 status, bool retry) {
    struct slot *slot = &client->slots[index];
    struct load_counts *counts = &client->worker->counts;
    u64 now_ns = clock_monotonic_ns();
    if (!good) {
        counts->status[MIN(status, LOAD_STATUS_MAX - 1)]++;
    }
    if (retry) {
        slot->state = SLOT_RETRY;
        slot->retry_ns = now_ns + RETRY_NS;
        client->retry_count++;
        return;
    }
    counts->requests++;
    counts->sent += client->options->batch;
    histogram_record(&counts->latency_ns, now_ns - slot->due_ns);
    slot->state = SLOT_IDLE;
    client->busy_count--;
    client->idle[client->idle_count++] = index;
}

/* The first answer that lets the server close a connection says why it was closed. */
static void note_refusal(struct load_worker *worker, u32 status, struct slice body) {
    if (worker->why[0] == '\0') {
        int bytes = (int)MIN(body.bytes, (usize)160);
        snprintf(worker->why, sizeof worker->why, "the server answered %u: %.*s", status, bytes,
                 body.data);
    }
}

static u64 member(struct slice body, const char *name) {
    const char *at = memmem(body.data, body.bytes, name, strlen(name));
    u64 value = 0;
    for (at = at == NULL ? NULL : at + strlen(name);
         at != NULL && at < body.data + body.bytes && *at >= '0' && *at <= '9'; at++) {
        value = value * 10 + (u64)(*at - '0');
    }
    return value;
}

static void count_http(struct client *client, u32 index, u32 status, struct slice body) {
    struct load_counts *counts = &client->worker->counts;
    if (status >= 400 && status != 409 && status != 503) {
        note_refusal(client->worker, status, body);
    }
    if (client->options->mode == LOAD_SINGLE) {
        counts->accepted += status == 201;
        counts->duplicates += status == 409;
        finish_slot(client, index, status == 201 || status == 409, status, status == 503);
        return;
    }
    if (status == 200) {
        u64 duplicates = member(body, "\"duplicates\":");
        counts->accepted += member(body, "\"accepted\":");
        counts->duplicates += duplicates;
        counts->refused += member(body, "\"rejected\":") - duplicates;
    }
    finish_slot(client, index, status == 200, status, status == 503);
}

/* Takes one answer from the front; 0: not there yet, SIZE_MAX: not HTTP. */
static usize take_http(struct client *client, struct conn *conn, const char *at, usize bytes) {
    const char *head_end = memmem(at, bytes, "\r\n\r\n", 4);
    if (head_end == NULL) {
        return bytes < IN_BYTES / 2 ? 0 : SIZE_MAX;
    }
    usize head = (usize)(head_end - at) + 4;
    char text[4096];
    usize text_bytes = MIN(head, sizeof text - 1);
    memcpy(text, at, text_bytes);
    text[text_bytes] = 0;
    const char *length = strcasestr(text, "\r\ncontent-length:");
    if (memcmp(text, "HTTP/1.1 ", 9) != 0 || conn->answered == conn->written) {
        return SIZE_MAX;
    }
    usize body = length != NULL ? strtoull(length + 17, NULL, 10) : 0;
    if (body > IN_BYTES - head) {
        return SIZE_MAX;
    }
    if (bytes < head + body) {
        return 0;
    }
    u32 index = conn->order[conn->answered++ % client->options->pipeline];
    count_http(client, index, (u32)strtoul(text + 9, NULL, 10), (struct slice){at + head, body});
    return head + body;
}

static bool is_awaited(const struct client *client, const struct conn *conn, u32 request) {
    u32 slots = client->conn_count * client->options->pipeline;
    return request < slots && client->slots[request].state == SLOT_AWAITED &&
           &client->conns[client->slots[request].conn] == conn;
}

static usize take_wire(struct client *client, struct conn *conn, const char *at, usize bytes) {
    struct wire_header header;
    if (bytes < WIRE_HEADER_BYTES) {
        return 0;
    }
    if (frame_read_header(at, &header) != NULL || header.bytes > IN_BYTES - WIRE_HEADER_BYTES) {
        return SIZE_MAX;
    }
    usize whole = WIRE_HEADER_BYTES + (usize)header.bytes;
    if (bytes < whole) {
        return 0;
    }
    struct slice payload = {at + WIRE_HEADER_BYTES, header.bytes};
    if (!frame_check(&header, payload.data) || !is_awaited(client, conn, header.request)) {
        return SIZE_MAX;
    }
    conn->answered++; /* a count only: answers come in any order */
    u16 code = 0;
    struct margin_ingested ingested = {0};
    if (header.type == WIRE_ERROR && header.bytes >= 2) {
        memcpy(&code, payload.data, sizeof code);
    } else if (!codec_read_ingested(payload, &ingested)) {
        return SIZE_MAX;
    }
    struct load_counts *counts = &client->worker->counts;
    counts->accepted += ingested.accepted;
    counts->duplicates += ingested.duplicates;
    counts->refused += ingested.rejected - ingested.duplicates;
    finish_slot(client, header.request, code == 0, code, code == WIRE_BUSY);
    return whole;
}

static void read_some(struct client *client, struct conn *conn) {
    ssize_t got = receive_some(conn, conn->in + conn->in_bytes, IN_BYTES - conn->in_bytes);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (got <= 0) {
        lose(client, conn);
        return;
    }
    conn->in_bytes += (usize)got;
    usize at = 0;
    bool wire = is_wire(client->options);
    while (at < conn->in_bytes) {
        usize taken = wire ? take_wire(client, conn, conn->in + at, conn->in_bytes - at)
                           : take_http(client, conn, conn->in + at, conn->in_bytes - at);
        if (taken == SIZE_MAX) {
            lose(client, conn);
            return;
        }
        if (taken == 0) {
            break;
        }
        at += taken;
    }
    conn->in_bytes -= at;
    memmove(conn->in, conn->in + at, conn->in_bytes);
}

/* The socket does not say that TLS has more to give. */
static void read_in(struct client *client, struct conn *conn) {
    do {
        read_some(client, conn);
    } while (conn->secure != NULL && secure_has_more(conn->secure));
}

/* --- the loop --------------------------------------------------------------------------------- */

static struct timespec wait_time(const struct client *client, bool sending, u64 now_ns) {
    u64 wait_ns = client->retry_count > 0 ? RETRY_NS : 100000000;
    if (sending && client->interval_ns > 0 && client->idle_count > 0) {
        wait_ns = client->next_due_ns > now_ns ? MIN(wait_ns, client->next_due_ns - now_ns) : 0;
    }
    return (struct timespec){.tv_sec = 0, .tv_nsec = (long)wait_ns};
}

static void loop(struct client *client) {
    struct epoll_event events[EVENTS_A_WAIT];
    client->next_due_ns = clock_monotonic_ns();
    bool sending = true;
    bool timed =
        client->options->seconds > 0; /* what was refused is not sent again after the end */
    while (client->conns_alive > 0 &&
           (sending || client->busy_count > (timed ? client->retry_count : 0))) {
        u64 now_ns = clock_monotonic_ns();
        sending = sending && send_due(client, now_ns);
        if (client->retry_count > 0 && (sending || !timed)) {
            send_retries(client, now_ns);
        }
        struct timespec wait = wait_time(client, sending, now_ns);
        int count = epoll_pwait2(client->epoll_fd, events, EVENTS_A_WAIT, &wait, NULL);
        for (int i = 0; i < count; i++) {
            struct conn *conn = &client->conns[events[i].data.u32];
            if (conn->fd >= 0 && (events[i].events & EPOLLOUT) != 0) {
                write_out(client, conn);
            }
            if (conn->fd >= 0 && (events[i].events & ~(u32)EPOLLOUT) != 0) {
                read_in(client, conn);
            }
        }
    }
}

void *load_worker_run(void *argument) {
    struct load_worker *worker = argument;
    struct client client = {.worker = worker, .options = worker->run->options, .epoll_fd = -1};
    bool good = set_up(&client);
    load_run_await_start(worker->run);
    if (good) {
        loop(&client);
        if (client.conns_alive == 0 && worker->why[0] != '\0') {
            worker->failed = true;
        } else if (client.conns_alive == 0) {
            fail(worker, "all connections were lost", "see the server's log");
        }
    }
    tear_down(&client);
    return NULL;
}
