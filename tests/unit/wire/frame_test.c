/* frame_test.c: headers, checksums and the cursor over a payload. */
#include "wire/frame.h"

#include <criterion/criterion.h>

Test(frame, seals_and_checks_every_bit) {
    char frame[WIRE_HEADER_BYTES + 37];
    for (usize i = 0; i < 37; i++) {
        frame[WIRE_HEADER_BYTES + i] = (char)(i * 7);
    }
    frame_seal(frame, WIRE_POINT, 0x01020304, frame + WIRE_HEADER_BYTES, 37);
    cr_expect_eq((u8)frame[0], 37);
    cr_expect_eq(frame[4], WIRE_POINT);
    cr_expect_eq(frame[8], 4, "little-endian");
    struct wire_header header;
    cr_assert_null(frame_read_header(frame, &header));
    cr_expect_eq(header.bytes, 37);
    cr_expect_eq(header.request, 0x01020304u);
    cr_expect(frame_check(&header, frame + WIRE_HEADER_BYTES));
    for (usize bit = 0; bit < 8 * sizeof frame; bit++) {
        frame[bit / 8] = (char)(frame[bit / 8] ^ 1 << bit % 8);
        bool seen = frame_read_header(frame, &header) != NULL || header.bytes != 37 ||
                    !frame_check(&header, frame + WIRE_HEADER_BYTES);
        cr_expect(seen, "flipped bit %zu", bit);
        frame[bit / 8] = (char)(frame[bit / 8] ^ 1 << bit % 8);
    }
}

Test(frame, refuses_headers_out_of_bounds) {
    struct wire_header header = {.bytes = (u32)WIRE_FRAME_BYTES_MAX, .type = WIRE_PING};
    struct wire_header out;
    cr_expect_null(frame_read_header((char *)&header, &out));
    header.bytes++;
    cr_expect_not_null(frame_read_header((char *)&header, &out));
    header = (struct wire_header){.flags = 1};
    cr_expect_not_null(frame_read_header((char *)&header, &out));
    header = (struct wire_header){.reserved = 0x100};
    cr_expect_not_null(frame_read_header((char *)&header, &out));
}

Test(frame, reads_back_what_it_writes_and_stops_at_the_end) {
    char bytes[64];
    char *to = wire_write_u8(bytes, 0xab);
    to = wire_write_u16(to, 0xcdef);
    to = wire_write_u32(to, 0xdeadbeef);
    to = wire_write_i64(to, INT64_MIN);
    to = wire_write_i128(to, -((i128)1 << 100));
    to = wire_write_text(to, SLICE("text"));
    to = wire_write_text(to, (struct slice){NULL, 0});
    to = wire_write_text(to, SLICE(""));
    struct wire_reader reader = wire_reader((struct slice){bytes, (usize)(to - bytes)});
    cr_expect_eq(wire_read_u8(&reader), 0xab);
    cr_expect_eq(wire_read_u16(&reader), 0xcdef);
    cr_expect_eq(wire_read_u32(&reader), 0xdeadbeef);
    cr_expect_eq(wire_read_i64(&reader), INT64_MIN);
    cr_expect(wire_read_i128(&reader) == -((i128)1 << 100));
    struct slice text = wire_read_text(&reader);
    cr_expect(text.bytes == 4 && memcmp(text.data, "text", 4) == 0);
    cr_expect_null(wire_read_text(&reader).data, "absent");
    text = wire_read_text(&reader);
    cr_expect(text.data != NULL && text.bytes == 0, "empty is not absent");
    cr_expect_not(reader.failed);
    cr_expect_eq(wire_read_u32(&reader), 0);
    cr_expect(reader.failed);
    reader = wire_reader((struct slice){"\x05\0abcd", 6});
    cr_expect_null(wire_read_text(&reader).data, "longer than the payload");
    cr_expect(reader.failed);
}
