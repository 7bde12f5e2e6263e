/*
 * chunked.h: the chunked transfer coding (RFC 9112 section 7.1), resumable at every byte. Chunk
 * extensions and trailer fields are read over, within bounds; what is not the exact grammar is
 * malformed (a bare LF, blanks around the size, a size that does not fit).
 */
#ifndef MARGIN_HTTP_CHUNKED_H
#define MARGIN_HTTP_CHUNKED_H

#include "base.h"

struct http_chunked { /* zeroed at the beginning */
    u64 left;         /* of the current chunk */
    u64 payload_bytes;
    u64 overhead_bytes; /* everything that is not payload: bounded relative to it */
    u8 state;
    u8 digits;
    bool in_line; /* the trailer line has a byte */
};

enum http_chunked_answer {
    CHUNKED_PAYLOAD,   /* `payload` holds the next bytes of the body; call again behind them */
    CHUNKED_MORE,      /* all input is used */
    CHUNKED_DONE,      /* the body is complete; input behind `consumed` is the next message */
    CHUNKED_MALFORMED, /* nothing can be said about what follows */
};

enum http_chunked_answer http_chunked_read(struct http_chunked *chunked, const char *data,
                                           usize bytes, usize *consumed, struct slice *payload);

#endif
