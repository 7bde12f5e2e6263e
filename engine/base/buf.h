/*
 * buf.h: a growable byte buffer for what is not on the path of an event (replies, messages). Growth
 * past `bytes_max` sets `failed`; writing goes on harmlessly, so callers check once at the end.
 */
#ifndef MARGIN_BASE_BUF_H
#define MARGIN_BASE_BUF_H

#include "base.h"

struct buf {
    char *data;
    usize bytes;
    usize capacity;
    usize bytes_max;
    bool failed; /* out of memory or past the bound: the content is incomplete */
};

void buf_init(struct buf *buf, usize bytes_max);
void buf_free(struct buf *buf);
void buf_clear(struct buf *buf); /* keeps the memory */
/* Makes room for `bytes` more and returns where they go, or NULL (failed is set). */
char *buf_reserve(struct buf *buf, usize bytes);
void buf_put(struct buf *buf, const void *data, usize bytes);
void buf_put_slice(struct buf *buf, struct slice text);
void buf_put_text(struct buf *buf, const char *text);
void buf_put_char(struct buf *buf, char c);
void buf_put_u64(struct buf *buf, u64 value);
void buf_put_i64(struct buf *buf, i64 value);
void buf_put_format(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
static inline struct slice buf_slice(const struct buf *buf) {
    return (struct slice){buf->data, buf->bytes};
}

#endif
