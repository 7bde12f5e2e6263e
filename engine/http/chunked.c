/* chunked.c: one byte of framing at a time, payload in one piece: see chunked.h. */
#include "http/chunked.h"

#include "http/head.h"

#define SIZE_DIGITS_MAX 15           /* fits 64 bits with room to add */
#define OVERHEAD_FREE (16 * KIB)     /* of framing, extensions and trailers together */
#define OVERHEAD_PER_PAYLOAD_BYTE 16 /* so one-byte chunks pass and floods of framing do not */

enum state {
    SIZE,
    EXTENSION,
    SIZE_LF,
    PAYLOAD,
    PAYLOAD_CR,
    PAYLOAD_LF,
    TRAILER,
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    END
};

static int hex_of(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool is_text(char c) {
    return c == '\t' || ((u8)c >= 0x20 && (u8)c != 0x7f);
}

/* One byte of framing; false if it cannot stand here. */
static bool step(struct http_chunked *chunked, char c) {
    switch ((enum state)chunked->state) {
    case SIZE: {
        int digit = hex_of(c);
        if (digit >= 0) {
            chunked->left = chunked->left * 16 + (u64)digit;
            return ++chunked->digits <= SIZE_DIGITS_MAX;
        }
        chunked->state = c == ';' ? EXTENSION : SIZE_LF;
        return chunked->digits > 0 && (c == '\r' || c == ';');
    }
    case EXTENSION:
        if (c == '\r') {
            chunked->state = SIZE_LF;
            return true;
        }
        return is_text(c);
    case SIZE_LF:
        chunked->state = chunked->left > 0 ? PAYLOAD : TRAILER;
        chunked->in_line = false;
        return c == '\n';
    case PAYLOAD_CR:
        chunked->state = PAYLOAD_LF;
        return c == '\r';
    case PAYLOAD_LF:
        chunked->state = SIZE;
        chunked->digits = 0;
        return c == '\n';
    case TRAILER:
        if (c == '\r') {
            chunked->state = TRAILER_LF;
            return true;
        }
        chunked->state = TRAILER_NAME;
        return http_is_token(c);
    case TRAILER_NAME:
        chunked->state = c == ':' ? TRAILER_VALUE : TRAILER_NAME;
        return c == ':' || http_is_token(c);
    case TRAILER_VALUE:
        if (c == '\r') {
            chunked->in_line = true;
            chunked->state = TRAILER_LF;
            return true;
        }
        return is_text(c);
    case TRAILER_LF:
        chunked->state = chunked->in_line ? TRAILER : END;
        chunked->in_line = false;
        return c == '\n';
    case PAYLOAD:
    case END:
        break;
    }
    return false;
}

enum http_chunked_answer http_chunked_read(struct http_chunked *chunked, const char *data,
                                           usize bytes, usize *consumed, struct slice *payload) {
    usize at = 0;
    while (at < bytes) {
        if (chunked->state == PAYLOAD) {
            usize part = (usize)MIN((u64)(bytes - at), chunked->left);
            *payload = (struct slice){data + at, part};
            chunked->left -= part;
            chunked->payload_bytes += part;
            if (chunked->left == 0) {
                chunked->state = PAYLOAD_CR;
            }
            *consumed = at + part;
            return CHUNKED_PAYLOAD;
        }
        chunked->overhead_bytes++;
        if (!step(chunked, data[at]) ||
            chunked->overhead_bytes >
                OVERHEAD_FREE + chunked->payload_bytes * OVERHEAD_PER_PAYLOAD_BYTE) {
            return CHUNKED_MALFORMED;
        }
        at++;
        if (chunked->state == END) {
            *consumed = at;
            return CHUNKED_DONE;
        }
    }
    *consumed = at;
    return CHUNKED_MORE;
}
