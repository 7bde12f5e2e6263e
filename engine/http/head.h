/*
 * head.h: the request line and header fields of HTTP/1.x (RFC 9112), strictly: what two servers
 * could read in two ways is refused. Bytes in, ranges out; nothing is copied, and the ranges are
 * offsets from the first byte, so the caller may move the bytes afterwards.
 *
 * Resumable: while the answer is HEAD_INCOMPLETE, call again with the same bytes and more behind
 * them (they may have moved) and the same `struct http_head`; bytes seen are not looked at again.
 */
#ifndef MARGIN_HTTP_HEAD_H
#define MARGIN_HTTP_HEAD_H

#include "base.h"
#include "http/call.h"
#include "limits.h"

struct http_range {
    u16 at;
    u16 bytes;
};

struct http_field {
    struct http_range name;
    struct http_range value; /* without the blanks around it */
};

enum http_coding { CODING_NONE, CODING_GZIP, CODING_ZSTD, CODING_UNKNOWN };

struct http_head {
    enum http_method method; /* HTTP_METHODS: some other token */
    struct http_range path;
    struct http_range authority; /* of a target in absolute form; else empty */
    struct http_range query;     /* behind the '?'; empty without one */
    struct http_field field[HTTP_HEADERS_MAX];
    u32 field_count;
    u8 minor_version;
    bool keep_alive;
    bool has_length;
    bool is_chunked;
    bool expects_continue;
    enum http_coding coding;
    u64 content_bytes;

    u16 status;        /* of a malformed head: 400, 414, 417, 431, 501 or 505 */
    const char *error; /* and what is wrong with it */

    /* How far the search for the end has come. */
    u32 scanned;
    u32 line_count;
    u16 line_end[HTTP_HEADERS_MAX + 2]; /* the LF of each line */
};

enum http_head_answer { HEAD_CONSUMED, HEAD_INCOMPLETE, HEAD_MALFORMED };

void http_head_init(struct http_head *head);
/* `*consumed` is set with HEAD_CONSUMED: the bytes of the head, the empty line included. */
enum http_head_answer http_head_parse(struct http_head *head, const char *data, usize bytes,
                                      usize *consumed);

static inline struct slice http_range_of(const char *data, struct http_range range) {
    return (struct slice){data + range.at, range.bytes};
}

bool http_is_token(char c); /* a byte that names of methods and fields are made of */
/* Compares without regard to the case of ASCII letters; `lower` is in lower case. */
bool http_text_is(struct slice text, const char *lower);

#endif
