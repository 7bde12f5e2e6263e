/* buf.c: growth by doubling, up to the bound; a failure sticks. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY 512

void buf_init(struct buf *buf, usize bytes_max) {
    *buf = (struct buf){.bytes_max = bytes_max};
}

void buf_free(struct buf *buf) {
    free(buf->data);
    *buf = (struct buf){.bytes_max = buf->bytes_max};
}

void buf_clear(struct buf *buf) {
    buf->bytes = 0;
    buf->failed = false;
}

static bool grow(struct buf *buf, usize needed) {
    usize capacity = MAX(buf->capacity, (usize)FIRST_CAPACITY);
    while (capacity < needed) {
        capacity *= 2;
    }
    capacity = MIN(capacity, buf->bytes_max);
    char *data = needed <= capacity ? realloc(buf->data, capacity) : NULL;
    if (data == NULL) {
        buf->failed = true;
        return false;
    }
    buf->data = data;
    buf->capacity = capacity;
    return true;
}

char *buf_reserve(struct buf *buf, usize bytes) {
    if (buf->failed || bytes > buf->bytes_max - buf->bytes) {
        buf->failed = true;
        return NULL;
    }
    if (buf->bytes + bytes > buf->capacity && !grow(buf, buf->bytes + bytes)) {
        return NULL;
    }
    return buf->data + buf->bytes;
}

void buf_put(struct buf *buf, const void *data, usize bytes) {
    if (bytes == 0) {
        return; /* perhaps into no memory yet */
    }
    char *to = buf_reserve(buf, bytes);
    if (to != NULL) {
        memcpy(to, data, bytes);
        buf->bytes += bytes;
    }
}

void buf_put_slice(struct buf *buf, struct slice text) {
    buf_put(buf, text.data, text.bytes);
}

void buf_put_text(struct buf *buf, const char *text) {
    buf_put(buf, text, strlen(text));
}

void buf_put_char(struct buf *buf, char c) {
    buf_put(buf, &c, 1);
}

void buf_put_u64(struct buf *buf, u64 value) {
    char digits[20];
    usize at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    buf_put(buf, digits + at, sizeof digits - at);
}

void buf_put_i64(struct buf *buf, i64 value) {
    if (value < 0) {
        buf_put_char(buf, '-');
    }
    buf_put_u64(buf, value < 0 ? 0 - (u64)value : (u64)value);
}

void buf_put_format(struct buf *buf, const char *format, ...) {
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int bytes = vsnprintf(NULL, 0, format, args);
    va_end(args);
    check(bytes >= 0);
    char *to = buf_reserve(buf, (usize)bytes + 1);
    if (to != NULL) {
        vsnprintf(to, (usize)bytes + 1, format, again);
        buf->bytes += (usize)bytes;
    }
    va_end(again);
}
