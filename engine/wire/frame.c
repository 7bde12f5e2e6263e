/*
 * frame.c: headers and checksums. The payload's hash is seeded with the header's, so that one
 * checksum covers both although they need not lie side by side in memory.
 */
#include "wire/frame.h"

#include "base/hash.h"

#define CHECKED_HEADER_BYTES 12

static u32 checksum(const char *header, const char *payload, usize payload_bytes) {
    return (u32)hash64(payload, payload_bytes, hash64(header, CHECKED_HEADER_BYTES, 0));
}

const char *frame_read_header(const char *from, struct wire_header *header) {
    memcpy(header, from, sizeof *header);
    if (header->bytes > WIRE_FRAME_BYTES_MAX) {
        return "the frame is longer than the limit";
    }
    if (header->flags != 0 || header->reserved != 0) {
        return "reserved bits of the frame header are set";
    }
    return NULL;
}

bool frame_check(const struct wire_header *header, const char *payload) {
    char bytes[WIRE_HEADER_BYTES];
    memcpy(bytes, header, sizeof bytes);
    return checksum(bytes, payload, header->bytes) == header->checksum;
}

void frame_seal(char *header_at, u8 type, u32 request, const char *payload, usize payload_bytes) {
    check(payload_bytes <= WIRE_FRAME_BYTES_MAX);
    struct wire_header header = {.bytes = (u32)payload_bytes, .type = type, .request = request};
    memcpy(header_at, &header, sizeof header);
    header.checksum = checksum(header_at, payload, payload_bytes);
    memcpy(header_at, &header, sizeof header);
}
