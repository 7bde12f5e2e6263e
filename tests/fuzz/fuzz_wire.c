/*
 * fuzz_wire.c: a wire session under arbitrary bytes and arbitrary cuts. The first byte of the input
 * says how it is cut and whether checksums are put right, since a fuzzer does not find them by
 * itself; the rest is what the client sends after its greeting (or instead of it).
 */
#include <stdlib.h>

#include "tests/support/wire_peer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Makes the checksums of all frames in the bytes right, as far as their lengths lead. */
static void put_right(char *bytes, usize size) {
    usize at = 0;
    while (size - at >= WIRE_HEADER_BYTES) {
        struct wire_header header;
        if (frame_read_header(bytes + at, &header) != NULL ||
            size - at - WIRE_HEADER_BYTES < header.bytes) {
            return;
        }
        frame_seal(bytes + at, header.type, header.request, bytes + at + WIRE_HEADER_BYTES,
                   header.bytes);
        at += WIRE_HEADER_BYTES + (usize)header.bytes;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    static struct wire_peer peer;
    u8 how = data[0];
    char *bytes = malloc(size);
    check(bytes != NULL);
    memcpy(bytes, data + 1, size - 1);
    if ((how & 1) != 0) {
        put_right(bytes, size - 1);
    }
    wire_peer_open(&peer, (how & 4) != 0 ? 64 * MIB : 64 * KIB);
    if ((how & 2) != 0) {
        struct buf greeting;
        buf_init(&greeting, MIB);
        wire_peer_greet(&greeting, "good");
        wire_peer_receive(&peer, greeting.data, greeting.bytes);
        buf_free(&greeting);
    }
    usize step = (usize)(how >> 4) * (usize)(how >> 4) * 16 + 1;
    for (usize at = 0; at < size - 1; at += step) {
        peer.unsent = (how & 8) != 0 && at / step % 3 == 0 ? WIRE_OUTPUT_BYTES_MAX + 1 : 0;
        wire_peer_receive(&peer, bytes + at, MIN(step, size - 1 - at));
        if (peer.waiting_count > 0 && at / step % 2 == 0) {
            wire_peer_answer(&peer);
        }
        if (peer.unsent == 0) {
            wire_session_drained(&peer.session);
        }
    }
    struct wire_header header;
    struct slice payload;
    for (usize at = 0; wire_peer_next(&peer, &at, &header, &payload);) {
        check(header.type == WIRE_PUSH || (header.type & WIRE_REPLY) != 0);
    }
    wire_peer_close(&peer);
    free(bytes);
    return 0;
}
