/*
 * reply.h: the head of a reply (RFC 9112), and the words for statuses and errors. Pure: the time is
 * an argument; the Date text is kept for a second per thread, since replies come by the thousand.
 */
#ifndef MARGIN_HTTP_REPLY_H
#define MARGIN_HTTP_REPLY_H

#include "base.h"
#include "base/buf.h"

#define HTTP_REPLY_HEAD_MAX 768 /* without the handler's own header lines */
#define HTTP_REQUEST_ID_MAX 128

struct http_reply {
    u16 status;
    const char *content_type; /* static; NULL: none */
    usize content_bytes;
    bool close;
    struct slice request_id; /* echoed; empty: none */
    i64 now_ms;
};

/* Writes status line and header lines, without the empty line that ends them. `out` has
 * HTTP_REPLY_HEAD_MAX bytes. Returns the bytes written. */
usize http_reply_head(const struct http_reply *reply, char *out);
/* Adds a line such as "Allow: GET, HEAD"; bit n of `methods` is enum http_method n. */
void http_put_methods(struct buf *headers, const char *name, u32 methods);
/* 204, 304 and 1xx have neither body nor length. */
bool http_status_has_body(u16 status);
/* "Not Found"; "Unknown" for a status that this server never sends. */
const char *http_status_text(u16 status);
/* The `code` of an error body: "not_found". */
const char *http_status_code(u16 status);

/* Answers given since start, by their status. One thread counts, any may read. */
struct http_answers {
    _Atomic u64 good;       /* below 400 */
    _Atomic u64 refused;    /* 400 to 499, but 429 */
    _Atomic u64 throttled;  /* 429 */
    _Atomic u64 overloaded; /* 503 */
    _Atomic u64 failed;     /* the rest of 500 to 599 */
};

void http_count_answer(struct http_answers *answers, u16 status); /* NULL: nowhere */

#endif
