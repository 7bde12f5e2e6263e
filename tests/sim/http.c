/* http.c: see http.h. */
#include "tests/sim/http.h"

#include "tests/sim/sim.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#define OUT_BYTES (1 * MIB)
#define IN_BYTES (4 * MIB)

struct http {
    int fd; /* -1: not connected */
    u32 timeout_ms;
    char key[128];
    char *out;
    usize out_bytes;
    char *in;
    usize in_bytes;
    usize in_taken; /* by the answer before */
};

struct http *http_make(void) {
    struct http *http = calloc(1, sizeof *http);
    promise(http != NULL, "no memory");
    http->fd = -1;
    http->out = malloc(OUT_BYTES);
    http->in = malloc(IN_BYTES);
    promise(http->out != NULL && http->in != NULL, "no memory");
    return http;
}

void http_free(struct http *http) {
    http_close(http);
    free(http->out);
    free(http->in);
    free(http);
}

bool http_open(struct http *http, u16 port, const char *key, u32 timeout_ms) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    snprintf(http->key, sizeof http->key, "%s", key);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    http->timeout_ms = timeout_ms;
    http->out_bytes = 0;
    http->in_bytes = 0;
    http->in_taken = 0;
    http->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (connect(http->fd, (struct sockaddr *)&address, sizeof address) != 0) {
        http_close(http);
        return false;
    }
    return true;
}

bool http_is_open(const struct http *http) {
    return http->fd >= 0;
}

bool http_is_open_for(const struct http *http, const char *key) {
    return http_is_open(http) && strcmp(http->key, key) == 0;
}

void http_close(struct http *http) {
    if (http->fd >= 0) {
        close(http->fd);
        http->fd = -1;
    }
    http->out_bytes = 0;
}

/* --- requests --------------------------------------------------------------------------------- */

static void put(struct http *http, const void *data, usize bytes) {
    promise(http->out_bytes + bytes <= OUT_BYTES, "a request is too large");
    memcpy(http->out + http->out_bytes, data, bytes);
    http->out_bytes += bytes;
}

static void put_text(struct http *http, const char *text) {
    put(http, text, strlen(text));
}

static void put_head(struct http *http, const char *method, const char *path) {
    char head[512];
    snprintf(head, sizeof head, "%s %s HTTP/1.1\r\nHost: sim\r\n", method, path);
    put_text(http, head);
    if (http->key[0] != '\0') {
        snprintf(head, sizeof head, "Authorization: Bearer %s\r\n", http->key);
        put_text(http, head);
    }
}

void http_put_bare(struct http *http, const char *method, const char *path) {
    put_head(http, method, path);
    put_text(http, "\r\n");
}

static void put_chunks(struct http *http, const char *body, usize bytes) {
    put_text(http, "Transfer-Encoding: chunked\r\n\r\n");
    while (bytes > 0) {
        char size[32];
        usize chunk = 1 + roll(chance(30) ? 7 : 9000);
        chunk = MIN(chunk, bytes);
        snprintf(size, sizeof size, "%zx\r\n", chunk);
        put_text(http, size);
        put(http, body, chunk);
        put_text(http, "\r\n");
        body += chunk;
        bytes -= chunk;
    }
    put_text(http, "0\r\n\r\n");
}

static usize compress_gzip(const char *body, usize bytes, char *out, usize room) {
    z_stream stream = {0};
    promise(deflateInit2(&stream, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK, "zlib");
    stream.next_in = (Bytef *)(uintptr_t)body;
    stream.avail_in = (uInt)bytes;
    stream.next_out = (Bytef *)out;
    stream.avail_out = (uInt)room;
    promise(deflate(&stream, Z_FINISH) == Z_STREAM_END, "zlib");
    usize made = stream.total_out;
    deflateEnd(&stream);
    return made;
}

void http_put_body(struct http *http, const char *method, const char *path, const char *body,
                   usize bytes) {
    char *packed = NULL;
    put_head(http, method, path);
    put_text(http, "Content-Type: application/json\r\n");
    if (chance(40)) {
        bool gzip = chance(50);
        usize room = ZSTD_compressBound(bytes) + 1024;
        packed = malloc(room);
        promise(packed != NULL, "no memory");
        bytes = gzip ? compress_gzip(body, bytes, packed, room)
                     : ZSTD_compress(packed, room, body, bytes, 1);
        body = packed;
        put_text(http, gzip ? "Content-Encoding: gzip\r\n" : "Content-Encoding: zstd\r\n");
    }
    if (chance(30)) {
        put_chunks(http, body, bytes);
    } else {
        char length[64];
        snprintf(length, sizeof length, "Content-Length: %zu\r\n\r\n", bytes);
        put_text(http, length);
        put(http, body, bytes);
    }
    free(packed);
}

/* Slow clients take a rest in the middle. */
bool http_send(struct http *http) {
    usize at = 0;
    bool slow = chance(5);
    while (at < http->out_bytes) {
        usize most = slow ? 1 + roll(4000) : http->out_bytes;
        most = MIN(most, http->out_bytes - at);
        ssize_t sent = send(http->fd, http->out + at, most, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent > 0) {
            at += (usize)sent;
            if (slow) {
                fiber_sleep(between(0, 300 * SIM_MS));
            }
            continue;
        }
        struct pollfd wanted = {.fd = http->fd, .events = POLLOUT};
        if (errno != EAGAIN || poll(&wanted, 1, (int)http->timeout_ms) != 1) {
            return false;
        }
    }
    http->out_bytes = 0;
    return true;
}

/* --- answers ---------------------------------------------------------------------------------- */

static bool receive_more(struct http *http) {
    promise(http->in_bytes < IN_BYTES - 1, "an answer is too large");
    for (;;) {
        ssize_t got =
            recv(http->fd, http->in + http->in_bytes, IN_BYTES - 1 - http->in_bytes, MSG_DONTWAIT);
        if (got > 0) {
            http->in_bytes += (usize)got;
            http->in[http->in_bytes] = '\0';
            return true;
        }
        struct pollfd wanted = {.fd = http->fd, .events = POLLIN};
        if (got == 0 || errno != EAGAIN || poll(&wanted, 1, (int)http->timeout_ms) != 1) {
            return false;
        }
    }
}

static usize length_of(const char *head, const char *end) {
    for (const char *at = head; at != NULL && at < end; at = strstr(at, "\r\n")) {
        at += at == head ? 0 : 2;
        if (strncasecmp(at, "content-length:", 15) == 0) {
            return strtoul(at + 15, NULL, 10);
        }
        if (at == end) {
            break;
        }
    }
    sim_fail("an answer without a length: %.200s", head);
}

bool http_receive(struct http *http, u32 *status, struct slice *body) {
    memmove(http->in, http->in + http->in_taken, http->in_bytes - http->in_taken);
    http->in_bytes -= http->in_taken;
    http->in_taken = 0;
    http->in[http->in_bytes] = '\0';
    char *end;
    while ((end = strstr(http->in, "\r\n\r\n")) == NULL) {
        if (!receive_more(http)) {
            return false;
        }
    }
    promise(sscanf(http->in, "HTTP/1.1 %u", status) == 1, "no HTTP: %.100s", http->in);
    usize head = (usize)(end - http->in) + 4;
    usize bytes = length_of(http->in, end + 2);
    while (http->in_bytes < head + bytes) {
        if (!receive_more(http)) {
            return false;
        }
    }
    *body = (struct slice){http->in + head, bytes};
    http->in_taken = head + bytes;
    return true;
}

static const char *find(struct slice body, const char *at, const char *name) {
    char wanted[64];
    snprintf(wanted, sizeof wanted, "\"%s\":", name);
    const char *end = body.data + body.bytes;
    at = memmem(at, (usize)(end - at), wanted, strlen(wanted));
    return at == NULL ? NULL : at + strlen(wanted);
}

bool http_number(struct slice body, const char *name, u32 *out) {
    const char *at = find(body, body.data, name);
    if (at == NULL) {
        return false;
    }
    *out = (u32)strtoul(at, NULL, 10);
    return true;
}

bool http_text(struct slice body, const char *name, char *out, usize room) {
    const char *at = find(body, body.data, name);
    usize bytes = at != NULL && *at == '"' ? strcspn(at + 1, "\"") : room;
    if (bytes >= room) {
        return false;
    }
    memcpy(out, at + 1, bytes);
    out[bytes] = '\0';
    return true;
}

u64 http_sum(struct slice body, const char *name) {
    u64 sum = 0;
    for (const char *at = body.data; (at = find(body, at, name)) != NULL;) {
        sum += strtoull(at, NULL, 10);
    }
    return sum;
}

usize http_put_time(char *out, usize room, const char *name, i64 time_ms) {
    char text[64];
    char whole[32];
    time_t seconds = (time_t)(time_ms / 1000);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    strftime(whole, sizeof whole, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text, sizeof text, "%s.%03dZ", whole, (int)(time_ms % 1000));
    return (usize)snprintf(out, room, ",\"%s\":\"%s\"", name, text);
}
