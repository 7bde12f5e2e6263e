/*
 * ctl_ingest.c: `ingest`: events from a file or standard input. What is read is a sequence of JSON
 * objects, one a line or over many lines: each an event, or a body {"events":[...]} whose events
 * are taken one by one. Only braces and strings are looked at here; what an event says is the
 * server's business, and its complaints are given back with line numbers.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "tools/marginctl/ctl.h"

#define CHUNK_BYTES MIB
#define VALUE_BYTES_MAX GIB /* of one JSON value: a whole body may be one */
#define BODY_BYTES_SEND (8 * MIB)
#define COMPLAINTS_MAX 20 /* printed; all are counted */
#define BUSY_WAIT_NS 50000000
#define BUSY_WAITS_SILENT 40 /* 2 s: then somebody is told why nothing happens */
#define PROGRESS_NS 200000000

struct piece { /* an event of the body that is being gathered */
    u32 offset;
    u32 bytes;
    u64 line;
};

struct ingestion {
    struct margin_client *client;
    int fd;
    u64 batch;
    struct buf in;   /* what was read and not yet taken */
    u64 line;        /* of the first byte of `in` */
    u64 total_bytes; /* of the file; 0: unknown */
    u64 read_bytes;
    bool ended;
    struct buf body;
    struct piece piece[INGEST_EVENTS_MAX];
    u32 piece_count;
    u64 accepted;
    u64 duplicates;
    u64 conflicts;
    u64 rejected;
    u64 complaints;
    u64 begin_ns;
    u64 shown_ns;
    bool on_terminal;
    bool failed;
};

static void clear_progress(const struct ingestion *ingestion) {
    if (ingestion->on_terminal && ingestion->shown_ns != 0) {
        fputs("\r\033[K", stderr);
    }
}

static void show_progress(struct ingestion *ingestion) {
    u64 now_ns = clock_monotonic_ns();
    if (!ingestion->on_terminal || now_ns - ingestion->shown_ns < PROGRESS_NS) {
        return;
    }
    ingestion->shown_ns = now_ns;
    u64 done = ingestion->accepted + ingestion->duplicates + ingestion->rejected;
    double seconds = (double)(now_ns - ingestion->begin_ns) / 1e9;
    char count[CTL_MONEY_BYTES];
    char rate[CTL_MONEY_BYTES];
    fprintf(stderr, "\r\033[K%s events, %s/s", ctl_count(done, count),
            ctl_count((u64)((double)done / seconds), rate));
    if (ingestion->total_bytes > 0) {
        char bar[31];
        u64 taken = ingestion->read_bytes - ingestion->in.bytes;
        int filled = (int)MIN(taken * 30 / ingestion->total_bytes, (u64)30);
        memset(bar, ' ', 30);
        memset(bar, '#', (usize)filled);
        bar[30] = 0;
        fprintf(stderr, " [%s] %llu%%", bar,
                (unsigned long long)MIN(taken * 100 / ingestion->total_bytes, (u64)100));
    }
}

static void complain(struct ingestion *ingestion, u64 line, struct slice text) {
    ingestion->rejected++;
    if (ingestion->complaints++ < COMPLAINTS_MAX) {
        clear_progress(ingestion);
        fprintf(stderr, "line %llu: %.*s\n", (unsigned long long)line, (int)text.bytes, text.data);
    }
}

/* --- sending ---------------------------------------------------------------------------------- */

static void write_body(struct ingestion *ingestion, struct buf *out) {
    buf_clear(out);
    buf_put_text(out, "{\"events\":[");
    for (u32 i = 0; i < ingestion->piece_count; i++) {
        struct piece *piece = &ingestion->piece[i];
        if (i > 0) {
            buf_put_char(out, ',');
        }
        u32 offset = (u32)out->bytes;
        buf_put(out, ingestion->body.data + piece->offset, piece->bytes);
        piece->offset = offset;
    }
    buf_put_text(out, "]}");
}

/* The server could not read the body: the event that holds the byte it names is left out. False if
 * it names none. */
static bool drop_malformed(struct ingestion *ingestion, const char *why) {
    const char *at = strstr(why, " at byte ");
    u64 position = at != NULL ? strtoull(at + 9, NULL, 10) : 0;
    for (u32 i = 0; at != NULL && i < ingestion->piece_count; i++) {
        struct piece *piece = &ingestion->piece[i];
        if (position >= piece->offset && position <= piece->offset + piece->bytes) {
            complain(ingestion, piece->line, (struct slice){why, (usize)(at - why)});
            memmove(piece, piece + 1, (--ingestion->piece_count - i) * sizeof *piece);
            return true;
        }
    }
    return false;
}

static void count_answer(struct ingestion *ingestion, struct margin_ingested *ingested) {
    ingestion->accepted += ingested->accepted;
    ingestion->duplicates += ingested->duplicates;
    ingestion->conflicts += ingested->conflicts;
    struct margin_refusal refusal;
    for (u32 i = 0; i < ingested->refusal_count && margin_refusal_next(ingested, &refusal); i++) {
        if (refusal.index < ingestion->piece_count) {
            complain(ingestion, ingestion->piece[refusal.index].line, refusal.text);
        }
    }
}

/* Sends what is gathered and waits for the answer. */
static void send_body(struct ingestion *ingestion) {
    struct buf out;
    buf_init(&out, WIRE_FRAME_BYTES_MAX);
    u32 waits = 0;
    while (ingestion->piece_count > 0 && !ingestion->failed) {
        write_body(ingestion, &out);
        if (out.failed) {
            ctl_fail("no memory for a batch, or one longer than 16 MiB; use a smaller --batch");
            ingestion->failed = true;
            break;
        }
        struct margin_ingested ingested;
        enum margin_status status =
            margin_ingest_json(ingestion->client, buf_slice(&out), &ingested);
        if (status == MARGIN_OK) {
            count_answer(ingestion, &ingested);
            break;
        }
        const char *why = margin_error_text(ingestion->client);
        if (status == MARGIN_BUSY || status == MARGIN_NO_SPACE) {
            if (waits++ == BUSY_WAITS_SILENT) {
                clear_progress(ingestion);
                fprintf(stderr, "marginctl: %s; waiting, stop with Ctrl-C\n", why);
            }
            nanosleep(&(struct timespec){.tv_nsec = BUSY_WAIT_NS}, NULL);
        } else if (status == MARGIN_INVALID && drop_malformed(ingestion, why)) {
            buf_clear(&ingestion->body); /* the pieces now lie in the body just sent */
            buf_put(&ingestion->body, out.data, out.bytes);
        } else {
            clear_progress(ingestion);
            ctl_fail("%s", why);
            ingestion->failed = true;
        }
    }
    ingestion->piece_count = 0;
    buf_clear(&ingestion->body);
    buf_free(&out);
    show_progress(ingestion);
}

static void add_piece(struct ingestion *ingestion, struct slice event, u64 line) {
    if (ingestion->piece_count == ingestion->batch ||
        ingestion->body.bytes + event.bytes > BODY_BYTES_SEND) {
        send_body(ingestion);
    }
    struct piece piece = {(u32)ingestion->body.bytes, (u32)event.bytes, line};
    buf_put_slice(&ingestion->body, event);
    if (ingestion->body.failed) {
        buf_clear(&ingestion->body);
        complain(ingestion, line, SLICE("an event this long cannot be sent"));
        return;
    }
    ingestion->piece[ingestion->piece_count++] = piece;
}

/* --- reading ---------------------------------------------------------------------------------- */

/* Bytes up to the end of the object or array that begins at `at`; 0: it does not end here. */
static usize value_bytes(const char *at, usize bytes) {
    u32 depth = 0;
    bool in_string = false;
    for (usize i = 0; i < bytes; i++) {
        char c = at[i];
        if (in_string) {
            i += c == '\\';
            in_string = c != '"';
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if ((c == '}' || c == ']') && --depth == 0) {
            return i + 1;
        }
    }
    return 0;
}

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static const char *skip(const char *at, const char *end, u64 *line) {
    while (at < end && is_space(*at)) {
        *line += *at == '\n';
        at++;
    }
    return at;
}

static const char *expect(const char *at, const char *end, const char *text, u64 *line) {
    at = skip(at, end, line);
    usize bytes = strlen(text);
    return (usize)(end - at) >= bytes && memcmp(at, text, bytes) == 0 ? at + bytes : NULL;
}

static u64 count_lines(struct slice text) {
    u64 lines = 0;
    for (const char *at = text.data; at < text.data + text.bytes; at++) {
        lines += *at == '\n';
    }
    return lines;
}

/* Takes the events of {"events":[...]} one by one; false if the object is not of that form. */
static bool take_body(struct ingestion *ingestion, struct slice object, u64 line) {
    const char *end = object.data + object.bytes;
    const char *at = expect(object.data + 1, end, "\"events\"", &line);
    at = at == NULL ? NULL : expect(at, end, ":", &line);
    at = at == NULL ? NULL : expect(at, end, "[", &line);
    if (at == NULL) {
        return false;
    }
    for (;;) {
        at = skip(at, end, &line);
        usize bytes = at < end && *at == '{' ? value_bytes(at, (usize)(end - at)) : 0;
        if (bytes == 0) {
            break;
        }
        add_piece(ingestion, (struct slice){at, bytes}, line);
        line += count_lines((struct slice){at, bytes});
        at = skip(at + bytes, end, &line);
        if (at == end || *at != ',') {
            break;
        }
        at++;
    }
    if (at == end || *at != ']') {
        complain(ingestion, line, SLICE("the list of events is malformed from here on"));
    }
    return true;
}

/* Takes whole values from the front of what was read. */
static void take_values(struct ingestion *ingestion) {
    const char *at = ingestion->in.data;
    const char *end = at + ingestion->in.bytes;
    while (!ingestion->failed) {
        at = skip(at, end, &ingestion->line);
        if (at == end) {
            break;
        }
        usize bytes = 0;
        if (*at != '{') {
            const char *newline = memchr(at, '\n', (usize)(end - at));
            if (newline == NULL && !ingestion->ended) {
                break;
            }
            complain(ingestion, ingestion->line, SLICE("not a JSON object"));
            at = newline == NULL ? end : newline;
            continue;
        }
        bytes = value_bytes(at, (usize)(end - at));
        if (bytes == 0) {
            break;
        }
        struct slice object = {at, bytes};
        if (!take_body(ingestion, object, ingestion->line)) {
            add_piece(ingestion, object, ingestion->line);
        }
        ingestion->line += count_lines(object);
        at += bytes;
    }
    usize taken = (usize)(at - ingestion->in.data);
    ingestion->in.bytes -= taken;
    memmove(ingestion->in.data, at, ingestion->in.bytes);
}

/* Some editors begin a file with a byte order mark. */
static void skip_mark(struct ingestion *ingestion) {
    bool at_start = ingestion->read_bytes == ingestion->in.bytes;
    if (at_start && ingestion->in.bytes >= 3 &&
        memcmp(ingestion->in.data, "\xef\xbb\xbf", 3) == 0) {
        ingestion->in.bytes -= 3;
        memmove(ingestion->in.data, ingestion->in.data + 3, ingestion->in.bytes);
    }
}

static void read_all(struct ingestion *ingestion) {
    while (!ingestion->ended && !ingestion->failed) {
        usize chunk = MAX(CHUNK_BYTES, ingestion->in.bytes); /* a long value is scanned few times */
        char *to = buf_reserve(&ingestion->in, chunk);
        if (to == NULL) {
            ctl_fail("a JSON value is longer than 1 GiB; give one event a line");
            ingestion->failed = true;
            return;
        }
        ssize_t got = read(ingestion->fd, to, chunk);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            ctl_fail("reading failed: %s", strerror(errno));
            ingestion->failed = true;
            return;
        }
        ingestion->ended = got == 0;
        ingestion->in.bytes += (usize)got;
        ingestion->read_bytes += (u64)got;
        skip_mark(ingestion);
        if (ingestion->in.bytes > 0) {
            take_values(ingestion);
        }
    }
    if (ingestion->in.bytes > 0 && !ingestion->failed) {
        complain(ingestion, ingestion->line, SLICE("a JSON object that does not end"));
    }
    if (!ingestion->failed) {
        send_body(ingestion);
    }
}

/* --- the command ------------------------------------------------------------------------------ */

static void print_summary(const struct ingestion *ingestion) {
    clear_progress(ingestion);
    if (ingestion->complaints > COMPLAINTS_MAX) {
        fprintf(stderr, "... and %llu more\n",
                (unsigned long long)(ingestion->complaints - COMPLAINTS_MAX));
    }
    char accepted[CTL_MONEY_BYTES];
    char duplicates[CTL_MONEY_BYTES];
    char rejected[CTL_MONEY_BYTES];
    char rate[CTL_MONEY_BYTES];
    double seconds = (double)(clock_monotonic_ns() - ingestion->begin_ns) / 1e9;
    printf("%s accepted, %s duplicates, %s rejected in %.1f s (%s events/s)\n",
           ctl_count(ingestion->accepted, accepted), ctl_count(ingestion->duplicates, duplicates),
           ctl_count(ingestion->rejected, rejected), seconds,
           ctl_count((u64)((double)ingestion->accepted / seconds), rate));
    if (ingestion->conflicts > 0) {
        printf("%llu of the duplicates differ from the stored event of their key\n",
               (unsigned long long)ingestion->conflicts);
    }
}

int ctl_ingest(const struct ctl_options *options, int argc, char **argv) {
    static struct ingestion ingestion;
    if (argc != 1) {
        return ctl_usage("ingest takes one argument: a file, or - for standard input");
    }
    ingestion.fd = strcmp(argv[0], "-") == 0 ? STDIN_FILENO : open(argv[0], O_RDONLY | O_CLOEXEC);
    if (ingestion.fd < 0) {
        return ctl_fail("cannot open %s: %s", argv[0], strerror(errno));
    }
    ingestion.client = ctl_connect(options);
    if (ingestion.client == NULL) {
        return 1;
    }
    struct stat stat;
    bool is_file = fstat(ingestion.fd, &stat) == 0 && S_ISREG(stat.st_mode);
    ingestion.total_bytes = is_file ? (u64)stat.st_size : 0;
    ingestion.batch = options->batch > 0 ? options->batch : INGEST_EVENTS_MAX;
    ingestion.line = 1;
    ingestion.on_terminal = isatty(STDERR_FILENO) != 0;
    ingestion.begin_ns = clock_monotonic_ns();
    buf_init(&ingestion.in, 2 * VALUE_BYTES_MAX);
    buf_init(&ingestion.body, WIRE_FRAME_BYTES_MAX);
    read_all(&ingestion);
    print_summary(&ingestion);
    buf_free(&ingestion.in);
    buf_free(&ingestion.body);
    margin_close(ingestion.client);
    close(ingestion.fd);
    return ingestion.failed || ingestion.rejected > 0 ? 1 : 0;
}
