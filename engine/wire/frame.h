/*
 * frame.h: the frame codec and the little-endian reads and writes that every part of the binary
 * protocol shares: the server's session and handlers, and the client library. Pure functions over
 * bytes; the layout is in wire.h.
 */
#ifndef MARGIN_WIRE_FRAME_H
#define MARGIN_WIRE_FRAME_H

#include <string.h>

#include "wire.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "frames are copied as they lie");

struct wire_header {
    u32 bytes; /* of the payload */
    u8 type;
    u8 flags;
    u16 reserved;
    u32 request;
    u32 checksum;
};
_Static_assert(sizeof(struct wire_header) == WIRE_HEADER_BYTES, "the header has no gaps");

/* Reads a header from WIRE_HEADER_BYTES bytes; NULL if it is acceptable, else why not (static). */
const char *frame_read_header(const char *from, struct wire_header *header);
/* True if the payload belongs to the header. */
bool frame_check(const struct wire_header *header, const char *payload);
/* Writes header and checksum into the WIRE_HEADER_BYTES before a payload that is complete. */
void frame_seal(char *header_at, u8 type, u32 request, const char *payload, usize payload_bytes);

/* A cursor over a payload. Reading past the end gives zeros and sets `failed`. */
struct wire_reader {
    const char *at;
    const char *end;
    bool failed;
};

static inline struct wire_reader wire_reader(struct slice payload) {
    return (struct wire_reader){payload.data, payload.data + payload.bytes, false};
}

/* `bytes` bytes of the payload, or NULL past its end. */
static inline const char *wire_take(struct wire_reader *reader, usize bytes) {
    if (unlikely((usize)(reader->end - reader->at) < bytes)) {
        reader->failed = true;
        return NULL;
    }
    const char *at = reader->at;
    reader->at += bytes;
    return at;
}

#define WIRE_READ(name, type)                                                                      \
    static inline type name(struct wire_reader *reader) {                                          \
        type value = 0;                                                                            \
        const char *at = wire_take(reader, sizeof value);                                          \
        if (likely(at != NULL)) {                                                                  \
            memcpy(&value, at, sizeof value);                                                      \
        }                                                                                          \
        return value;                                                                              \
    }
WIRE_READ(wire_read_u8, u8)
WIRE_READ(wire_read_u16, u16)
WIRE_READ(wire_read_u32, u32)
WIRE_READ(wire_read_u64, u64)
WIRE_READ(wire_read_i64, i64)
WIRE_READ(wire_read_i128, i128)
#undef WIRE_READ

/* A text16; data is NULL where it is absent (or past the end). */
static inline struct slice wire_read_text(struct wire_reader *reader) {
    u16 bytes = wire_read_u16(reader);
    if (bytes == WIRE_TEXT_ABSENT || reader->failed) {
        return (struct slice){NULL, 0};
    }
    const char *at = wire_take(reader, bytes);
    return (struct slice){at, at == NULL ? 0 : bytes};
}

/* Writing: each returns the place behind what it wrote; the caller has made room. */
#define WIRE_WRITE(name, type)                                                                     \
    static inline char *name(char *to, type value) {                                               \
        memcpy(to, &value, sizeof value);                                                          \
        return to + sizeof value;                                                                  \
    }
WIRE_WRITE(wire_write_u8, u8)
WIRE_WRITE(wire_write_u16, u16)
WIRE_WRITE(wire_write_u32, u32)
WIRE_WRITE(wire_write_u64, u64)
WIRE_WRITE(wire_write_i64, i64)
WIRE_WRITE(wire_write_i128, i128)
#undef WIRE_WRITE

/* `text` has fewer than WIRE_TEXT_ABSENT bytes; no data: absent. */
static inline char *wire_write_text(char *to, struct slice text) {
    if (text.data == NULL) {
        return wire_write_u16(to, WIRE_TEXT_ABSENT);
    }
    to = wire_write_u16(to, (u16)text.bytes);
    if (text.bytes > 0) {
        memcpy(to, text.data, text.bytes);
    }
    return to + text.bytes;
}

#endif
