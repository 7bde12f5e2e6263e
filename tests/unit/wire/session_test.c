/* session_test.c: conversations with a session, whole and cut at every byte, and every way in which
 * a client can misbehave. */
#include "base/hash.h"
#include "tests/support/wire_peer.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#define HELLO_BYTES (WIRE_HELLO_REPLY_BYTES + strlen("margind/0.1.0"))

static struct wire_peer peer; /* large; Criterion runs each test in a process of its own */

static void expect_frame(usize *at, u8 type, u32 request, usize bytes) {
    struct wire_header header;
    struct slice payload;
    cr_assert(wire_peer_next(&peer, at, &header, &payload), "a frame is missing");
    cr_expect_eq(header.type, type, "type %u, not %u", header.type, type);
    cr_expect_eq(header.request, request);
    cr_expect_eq(header.bytes, bytes, "%u bytes, not %zu", header.bytes, bytes);
}

static u16 expect_error(usize *at, u32 request) {
    struct wire_header header;
    struct slice payload;
    cr_assert(wire_peer_next(&peer, at, &header, &payload), "an error frame is missing");
    cr_expect_eq(header.type, WIRE_ERROR);
    cr_expect_eq(header.request, request);
    cr_assert_gt(payload.bytes, 4);
    struct wire_reader reader = wire_reader(payload);
    return wire_read_u16(&reader);
}

static void open_and_greet(usize *at) {
    struct buf bytes;
    buf_init(&bytes, MIB);
    wire_peer_open(&peer, 64 * MIB);
    wire_peer_greet(&bytes, "good");
    wire_peer_receive(&peer, bytes.data, bytes.bytes);
    cr_assert_eq(peer.session.state, WIRE_OPEN);
    cr_expect_eq(peer.session.account, 7);
    *at = peer.sent.bytes;
    buf_free(&bytes);
}

/* A conversation with every kind of frame, and payloads of all sizes. */
static void write_conversation(struct buf *out) {
    static char large[9000];
    memset(large, 'x', sizeof large);
    wire_peer_greet(out, "good");
    wire_peer_frame(out, WIRE_PING, 3, "hello", 5);
    wire_peer_frame(out, WIRE_PING, 4, NULL, 0);
    wire_peer_frame(out, WIRE_POINT, 5, "abcdefgh", 8);
    wire_peer_frame(out, WIRE_INGEST_JSON, 6, large, sizeof large);
    wire_peer_frame(out, WIRE_INGEST_NATIVE, 7, large, 100);
    wire_peer_frame(out, WIRE_INGEST_JSON, 8, "", 0);
    wire_peer_frame(out, WIRE_POINT, 9, "z", 1);
}

static void expect_same(const struct buf *in, usize step, usize first, const char *whole,
                        usize bytes) {
    wire_peer_open(&peer, 64 * MIB);
    wire_peer_receive(&peer, in->data, first);
    for (usize from = first; from < in->bytes; from += step) {
        wire_peer_receive(&peer, in->data + from, MIN(step, in->bytes - from));
    }
    cr_assert_eq(peer.sent.bytes, bytes, "cut at %zu in steps of %zu", first, step);
    cr_assert_eq(memcmp(peer.sent.data, whole, bytes), 0, "cut at %zu, steps of %zu", first, step);
    wire_peer_close(&peer);
}

Test(session, same_answers_however_the_bytes_are_cut) {
    struct buf in;
    buf_init(&in, MIB);
    write_conversation(&in);
    wire_peer_open(&peer, 64 * MIB);
    wire_peer_receive(&peer, in.data, in.bytes);
    usize at = 0;
    expect_frame(&at, WIRE_HELLO | WIRE_REPLY, 1, HELLO_BYTES);
    expect_frame(&at, WIRE_AUTH | WIRE_REPLY, 2, 8);
    expect_frame(&at, WIRE_PING | WIRE_REPLY, 3, 5);
    expect_frame(&at, WIRE_PING | WIRE_REPLY, 4, 0);
    expect_frame(&at, WIRE_POINT | WIRE_REPLY, 5, 8);
    expect_frame(&at, WIRE_INGEST_JSON | WIRE_REPLY, 6, 8);
    expect_frame(&at, WIRE_INGEST_NATIVE | WIRE_REPLY, 7, 8);
    expect_frame(&at, WIRE_INGEST_JSON | WIRE_REPLY, 8, 8);
    expect_frame(&at, WIRE_POINT | WIRE_REPLY, 9, 1);
    cr_expect_eq(at, peer.sent.bytes);
    usize bytes = peer.sent.bytes;
    char *whole = malloc(bytes);
    memcpy(whole, peer.sent.data, bytes);
    wire_peer_close(&peer);
    for (usize cut = 1; cut < in.bytes; cut++) {
        expect_same(&in, in.bytes, cut, whole, bytes);
    }
    for (usize step = 1; step < 40; step++) {
        expect_same(&in, step, step, whole, bytes);
    }
    free(whole);
    buf_free(&in);
}

/* The rest of a large frame goes straight to where it belongs, in as many pieces as it comes. */
Test(session, large_payloads_are_received_in_place) {
    static char large[100000];
    for (u32 i = 0; i < sizeof large; i++) {
        large[i] = (char)(i * 7 + i / 256);
    }
    struct buf in;
    buf_init(&in, MIB);
    wire_peer_frame(&in, WIRE_INGEST_NATIVE, 5, large, sizeof large);
    wire_peer_frame(&in, WIRE_PING, 6, "", 0);
    static const usize steps[] = {1000, 16384, 99999, 100000, 100016, 200000};
    for (u32 i = 0; i < ARRAY_COUNT(steps); i++) {
        usize at = 0;
        char *into = NULL;
        usize wanted = 0;
        open_and_greet(&at);
        cr_expect(!wire_session_direct(&peer.session, &into, &wanted), "no frame has begun");
        wire_peer_receive(&peer, in.data, 100);
        cr_assert(wire_session_direct(&peer.session, &into, &wanted));
        cr_expect_eq(wanted, sizeof large - 100 + WIRE_HEADER_BYTES);
        cr_expect_neq(peer.deadline_ns, 0, "a frame has begun");
        for (usize from = 100; from < in.bytes; from += steps[i]) {
            wire_peer_receive(&peer, in.data + from, MIN(steps[i], in.bytes - from));
        }
        expect_frame(&at, WIRE_INGEST_NATIVE | WIRE_REPLY, 5, 8);
        u64 hash = hash64(large, sizeof large, 0);
        cr_expect_eq(memcmp(peer.sent.data + at - 8, &hash, 8), 0);
        expect_frame(&at, WIRE_PING | WIRE_REPLY, 6, 0);
        cr_expect_eq(at, peer.sent.bytes);
        cr_expect_eq(peer.deadline_ns, 0);
        wire_peer_close(&peer);
    }
    usize at = 0;
    char *into = NULL;
    usize wanted = 0;
    open_and_greet(&at); /* what is still being received after the end belongs to nobody */
    wire_peer_receive(&peer, in.data, 100);
    cr_assert(wire_session_direct(&peer.session, &into, &wanted));
    wire_peer_now_ns += (u64)61 * 1000000000;
    wire_session_expired(&peer.session);
    cr_expect_eq(expect_error(&at, 0), WIRE_BAD_FRAME);
    into[wanted - 1] = 'x'; /* the memory is still there */
    wire_session_received(&peer.session, wanted);
    cr_expect_eq(at, peer.sent.bytes);
    cr_expect(!wire_session_direct(&peer.session, &into, &wanted));
    wire_peer_close(&peer);
    buf_free(&in);
}

/* After the greeting (if any) these bytes must give one error and the end. */
static void expect_refusal(bool greet, const struct buf *bytes, u32 request, u16 code) {
    usize at = 0;
    if (greet) {
        open_and_greet(&at);
    } else {
        wire_peer_open(&peer, 64 * MIB);
    }
    wire_peer_receive(&peer, bytes->data, bytes->bytes);
    cr_expect_eq(expect_error(&at, request), code);
    cr_expect_eq(at, peer.sent.bytes, "nothing after the error");
    cr_expect(peer.closing);
    wire_peer_receive(&peer, "more", 4);
    cr_expect_eq(at, peer.sent.bytes, "nothing is read after the error");
    wire_peer_close(&peer);
}

Test(session, bad_frames_get_an_error_then_the_end) {
    struct buf bytes;
    buf_init(&bytes, MIB);
    wire_peer_frame(&bytes, WIRE_PING, 5, "ping", 4);
    bytes.data[WIRE_HEADER_BYTES] ^= 1;
    expect_refusal(true, &bytes, 5, WIRE_BAD_FRAME);
    buf_clear(&bytes);
    wire_peer_frame(&bytes, WIRE_REQUESTS, 6, "", 0);
    expect_refusal(true, &bytes, 6, WIRE_BAD_FRAME);
    buf_clear(&bytes);
    wire_peer_frame(&bytes, WIRE_SCAN, 6, "", 0); /* the made-up service has none */
    expect_refusal(true, &bytes, 6, WIRE_BAD_FRAME);
    buf_clear(&bytes);
    wire_peer_frame(&bytes, WIRE_HELLO, 6, "", 0); /* a second time */
    expect_refusal(true, &bytes, 6, WIRE_BAD_FRAME);
    buf_clear(&bytes);
    struct wire_header header = {
        .bytes = (u32)WIRE_FRAME_BYTES_MAX + 1, .type = WIRE_PING, .request = 7};
    buf_put(&bytes, &header, sizeof header);
    expect_refusal(true, &bytes, 7, WIRE_BAD_FRAME);
    buf_clear(&bytes);
    header = (struct wire_header){.flags = 2, .type = WIRE_PING, .request = 8};
    buf_put(&bytes, &header, sizeof header);
    expect_refusal(true, &bytes, 8, WIRE_BAD_FRAME);
    buf_free(&bytes);
}

Test(session, the_handshake_comes_first_and_is_strict) {
    struct buf bytes;
    buf_init(&bytes, MIB);
    wire_peer_frame(&bytes, WIRE_PING, 1, "", 0);
    expect_refusal(false, &bytes, 1, WIRE_BAD_FRAME);
    buf_clear(&bytes);
    wire_peer_frame(&bytes, WIRE_HELLO, 1, "MARGINX\n\1\0\1\0", 12);
    expect_refusal(false, &bytes, 1, WIRE_BAD_FRAME);
    buf_clear(&bytes);
    wire_peer_frame(&bytes, WIRE_HELLO, 1, "MARGINW\n\2\0\5\0", 12);
    expect_refusal(false, &bytes, 1, WIRE_BAD_VERSION);
    buf_clear(&bytes);
    wire_peer_frame(&bytes, WIRE_HELLO, 1, "MARGINW\n\1\0", 10);
    expect_refusal(false, &bytes, 1, WIRE_BAD_FRAME);
    buf_clear(&bytes);
    struct wire_header header = {.bytes = 1025, .type = WIRE_HELLO, .request = 9};
    buf_put(&bytes, &header, sizeof header);
    expect_refusal(false, &bytes, 9, WIRE_BAD_FRAME);
    const char *const keys[] = {"bad", "", "goodgood"};
    for (usize i = 0; i < ARRAY_COUNT(keys); i++) {
        buf_clear(&bytes);
        wire_peer_greet(&bytes, keys[i]);
        wire_peer_open(&peer, 64 * MIB);
        wire_peer_receive(&peer, bytes.data, bytes.bytes);
        usize at = 0;
        expect_frame(&at, WIRE_HELLO | WIRE_REPLY, 1, HELLO_BYTES);
        cr_expect_eq(expect_error(&at, 2), WIRE_UNAUTHORIZED);
        cr_expect(peer.closing);
        wire_peer_close(&peer);
    }
    buf_free(&bytes);
}

Test(session, a_revoked_key_ends_the_session_within_a_second) {
    usize at;
    open_and_greet(&at);
    struct buf bytes;
    buf_init(&bytes, MIB);
    wire_peer_frame(&bytes, WIRE_POINT, 3, "x", 1);
    peer.revoked = true;
    wire_peer_now_ns += 999 * 1000000ull;
    wire_peer_receive(&peer, bytes.data, bytes.bytes);
    expect_frame(&at, WIRE_POINT | WIRE_REPLY, 3, 1);
    wire_peer_now_ns += 1000000;
    wire_peer_receive(&peer, bytes.data, bytes.bytes);
    cr_expect_eq(expect_error(&at, 3), WIRE_UNAUTHORIZED);
    cr_expect(peer.closing);
    wire_peer_close(&peer);
    buf_free(&bytes);
}

Test(session, a_revoked_key_gets_nothing_pushed) {
    usize at;
    open_and_greet(&at);
    struct buf bytes;
    buf_init(&bytes, MIB);
    wire_peer_frame(&bytes, WIRE_SUBSCRIBE, 3, "", 0);
    wire_peer_now_ns += 998 * 1000000ull;
    wire_peer_receive(&peer, bytes.data, bytes.bytes);
    expect_frame(&at, WIRE_SUBSCRIBE | WIRE_REPLY, 3, 0);
    peer.revoked = true;
    wire_peer_now_ns += 5000000;
    wire_session_expired(&peer.session);
    cr_expect_eq(expect_error(&at, 0), WIRE_UNAUTHORIZED);
    cr_expect(peer.closing);
    wire_peer_close(&peer);
    buf_free(&bytes);
}

Test(session, a_clock_that_is_set_back_does_not_keep_a_key) {
    usize at;
    open_and_greet(&at);
    struct buf bytes;
    buf_init(&bytes, MIB);
    wire_peer_frame(&bytes, WIRE_POINT, 3, "x", 1);
    peer.revoked = true;
    wire_peer_now_ns -= 2000 * 1000000ull;
    wire_peer_receive(&peer, bytes.data, bytes.bytes);
    cr_expect_eq(expect_error(&at, 3), WIRE_UNAUTHORIZED);
    wire_peer_now_ns += 2000 * 1000000ull;
    wire_peer_close(&peer);
    buf_free(&bytes);
}

Test(session, stops_reading_while_output_waits) {
    usize at;
    open_and_greet(&at);
    struct buf bytes;
    buf_init(&bytes, MIB);
    for (u32 i = 0; i < 100; i++) {
        wire_peer_frame(&bytes, WIRE_POINT, i, "cell", 4);
    }
    peer.unsent = WIRE_OUTPUT_BYTES_MAX + 1;
    wire_peer_receive(&peer, bytes.data, 50);
    wire_peer_receive(&peer, bytes.data + 50, bytes.bytes - 50);
    cr_expect(peer.paused);
    cr_expect_eq(peer.pauses, 1);
    cr_expect_eq(peer.sent.bytes, at, "nothing is answered");
    wire_session_drained(&peer.session);
    cr_expect(peer.paused, "output is still high");
    peer.unsent = 0;
    wire_session_drained(&peer.session);
    cr_expect_not(peer.paused);
    for (u32 i = 0; i < 100; i++) {
        expect_frame(&at, WIRE_POINT | WIRE_REPLY, i, 4);
    }
    static char flood[64 * 1024];
    peer.unsent = WIRE_OUTPUT_BYTES_MAX + 1;
    for (usize sent = 0; sent <= WIRE_PENDING_BYTES_MAX; sent += sizeof flood) {
        wire_peer_receive(&peer, flood, sizeof flood);
    }
    cr_expect_eq(expect_error(&at, 0), WIRE_BUSY, "what waits is bounded");
    cr_expect(peer.closing);
    wire_peer_close(&peer);
    buf_free(&bytes);
}

Test(session, bounds_unanswered_requests) {
    usize at;
    open_and_greet(&at);
    struct buf bytes;
    buf_init(&bytes, MIB);
    for (u32 i = 0; i < WIRE_IN_FLIGHT_MAX + 10; i++) {
        wire_peer_frame(&bytes, WIRE_AGGREGATE, i, "", 0);
    }
    wire_peer_receive(&peer, bytes.data, bytes.bytes);
    cr_expect_eq(peer.waiting_count, WIRE_IN_FLIGHT_MAX);
    cr_expect(peer.paused);
    for (u32 i = 0; i < 10; i++) {
        wire_peer_answer(&peer);
        expect_frame(&at, WIRE_AGGREGATE | WIRE_REPLY, i, 4);
        cr_expect_eq(peer.waiting_count, WIRE_IN_FLIGHT_MAX, "one is answered, one is taken");
    }
    wire_peer_answer(&peer);
    cr_expect_not(peer.paused);
    wire_peer_close(&peer); /* answers the others to nobody */
    buf_free(&bytes);
}

Test(session, deadlines_and_timers) {
    wire_peer_open(&peer, MIB);
    cr_expect_eq(peer.deadline_ns, wire_peer_now_ns + 10ull * 1000000000);
    wire_peer_now_ns = peer.deadline_ns;
    wire_session_expired(&peer.session);
    usize at = 0;
    cr_expect_eq(expect_error(&at, 0), WIRE_BAD_FRAME);
    cr_expect(peer.closing);
    wire_peer_close(&peer);

    open_and_greet(&at);
    cr_expect_eq(peer.deadline_ns, 0, "an idle session has the idle time-out");
    struct buf bytes;
    buf_init(&bytes, MIB);
    wire_peer_frame(&bytes, WIRE_SUBSCRIBE, 3, "", 0);
    wire_peer_receive(&peer, bytes.data, 5);
    cr_expect_eq(peer.deadline_ns, wire_peer_now_ns + 60ull * 1000000000, "for a begun frame");
    wire_peer_receive(&peer, bytes.data + 5, bytes.bytes - 5);
    expect_frame(&at, WIRE_SUBSCRIBE | WIRE_REPLY, 3, 0);
    cr_expect_eq(peer.deadline_ns, wire_peer_now_ns + 5000000, "the timer");
    wire_session_expired(&peer.session);
    cr_expect_eq(at, peer.sent.bytes, "too early");
    wire_peer_now_ns += 5000000;
    wire_session_expired(&peer.session);
    expect_frame(&at, WIRE_PUSH, 0, 0);
    cr_expect_eq(peer.deadline_ns, 0);
    wire_peer_receive(&peer, bytes.data, 15);
    wire_peer_now_ns = peer.deadline_ns;
    wire_session_expired(&peer.session);
    cr_expect_eq(expect_error(&at, 0), WIRE_BAD_FRAME, "a frame that does not end");
    wire_peer_close(&peer);
    buf_free(&bytes);
}

Test(session, goes_on_after_a_frame_it_has_no_memory_for) {
    struct buf bytes;
    buf_init(&bytes, MIB);
    wire_peer_open(&peer, 16 * KIB);
    static char large[40000];
    wire_peer_greet(&bytes, "good");
    wire_peer_frame(&bytes, WIRE_INGEST_JSON, 3, large, sizeof large);
    wire_peer_frame(&bytes, WIRE_PING, 4, "", 0);
    usize at = 0;
    wire_peer_receive(&peer, bytes.data, 1000);
    wire_peer_receive(&peer, bytes.data + 1000, bytes.bytes - 1000);
    expect_frame(&at, WIRE_HELLO | WIRE_REPLY, 1, HELLO_BYTES);
    expect_frame(&at, WIRE_AUTH | WIRE_REPLY, 2, 8);
    cr_expect_eq(expect_error(&at, 3), WIRE_BUSY);
    expect_frame(&at, WIRE_PING | WIRE_REPLY, 4, 0);
    wire_peer_close(&peer);
    buf_free(&bytes);
}
