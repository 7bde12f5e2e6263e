/* bodies_test.c: captured requests and responses, and metas that name a Stripe customer. */
#include "event/bodies.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "event/decoder.h"

#define NOW_MS ((i64)1777700000000)
#define TEXT_MAX (4 * MIB)
#define REQUIRED "\"eventName\":\"e\",\"customerReferenceId\":\"c\",\"featureKey\":\"f\""

static struct decoder *decoder;
static struct event_batch batch;
static struct decode_result result;
static struct buf body;

static void set_up(void) {
    cr_assert_eq(decoder_create(1, &decoder), ERR_OK);
    buf_init(&result.messages, MIB);
    buf_init(&body, TEXT_MAX);
    batch.text = malloc(TEXT_MAX + EVENT_TEXT_PADDING);
    cr_assert(batch.text != NULL);
}

static void tear_down(void) {
    decoder_destroy(decoder);
    buf_free(&result.messages);
    buf_free(&body);
    free(batch.text);
}

TestSuite(bodies, .init = set_up, .fini = tear_down);

/* Decodes what is in `body`, with so much free text. */
static enum err decode(u32 room) {
    struct decode_error error;
    cr_assert(!body.failed && body.bytes + room <= TEXT_MAX);
    memcpy(batch.text, body.data, body.bytes);
    memset(batch.text + body.bytes, 0, EVENT_TEXT_PADDING);
    batch.text_bytes = (u32)body.bytes;
    batch.text_bytes_max = (u32)body.bytes + room;
    batch.count = 0;
    return decode_ingest(decoder, &batch, (struct text_ref){0, (u32)body.bytes}, NOW_MS, &result,
                         &error);
}

static void put_event(const char *members) {
    buf_put_text(&body, body.bytes == 0 ? "{\"events\":[{" REQUIRED : ",{" REQUIRED);
    buf_put_text(&body, *members != 0 ? "," : "");
    buf_put_text(&body, members);
    buf_put_text(&body, "}");
}

static void decode_one(const char *members) {
    buf_clear(&body);
    put_event(members);
    buf_put_text(&body, "]}");
    cr_assert_eq(decode(64 * KIB), ERR_OK);
    cr_assert_eq(batch.count, 1, "%s: %.*s", members, (int)result.messages.bytes,
                 result.messages.data);
}

static void expect(u32 row, enum event_text text, const char *wanted) {
    struct slice is = event_text_of(&batch, row, text);
    cr_assert_eq(event_has_text(&batch, row, text), wanted != NULL);
    cr_assert(wanted == NULL ||
                  (is.bytes == strlen(wanted) && memcmp(is.data, wanted, is.bytes) == 0),
              "%.*s", (int)is.bytes, is.data);
}

static void expect_slice(struct slice is, const char *wanted) {
    cr_assert(is.bytes == strlen(wanted) &&
                  (is.bytes == 0 || memcmp(is.data, wanted, is.bytes) == 0),
              "%.*s", (int)is.bytes, is.data);
}

Test(bodies, kept) {
    static const struct {
        const char *members;
        const char *refs; /* NULL: none */
        const char *request;
        const char *response;
    } cases[] = {
        {"\"requestBody\":\"a\\\"b\"", "{\"requestBody\":\"a\\\"b\"}", "\"a\\\"b\"", ""},
        {"\"responseBody\":{\"x\":[1,{}]}", "{\"responseBody\":{\"x\":[1,{}]}}", "",
         "{\"x\":[1,{}]}"},
        {"\"responseBody\" : [ ] , \"requestBody\":5", "{\"requestBody\":5,\"responseBody\":[ ]}",
         "5", "[ ]"},
        {"\"requestBody\":true,\"requestBody\":\"last\"", "{\"requestBody\":\"last\"}", "\"last\"",
         ""},
        {"\"requestBody\":null", NULL, "", ""},
        {"\"requestBody\":1,\"requestBody\":null", NULL, "", ""},
        {"\"requestBody\":\"\",\"responseBody\":\"\"",
         "{\"requestBody\":\"\",\"responseBody\":\"\"}", "\"\"", "\"\""},
    };
    decoder_capture(decoder, true);
    for (u32 i = 0; i < ARRAY_COUNT(cases); i++) {
        struct slice request;
        struct slice response;
        decode_one(cases[i].members);
        expect(0, TEXT_REFS, cases[i].refs);
        cr_assert_eq((batch.flags[0] & EVENT_FLAG_BODIES) != 0, cases[i].refs != NULL);
        bodies_split(event_text_of(&batch, 0, TEXT_REFS), &request, &response);
        expect_slice(request, cases[i].request);
        expect_slice(response, cases[i].response);
    }
}

Test(bodies, nothing_while_off) {
    decode_one("\"requestBody\":\"x\",\"responseBody\":{}");
    u32 digest = batch.digest[0];
    expect(0, TEXT_REFS, NULL);
    cr_assert_eq(batch.text_bytes, body.bytes);
    cr_assert_eq(batch.flags[0] & EVENT_FLAG_BODIES, 0);
    decoder_capture(decoder, true);
    decode_one("\"requestBody\":\"x\",\"responseBody\":{}");
    cr_assert_eq(batch.digest[0], digest, "a repeat is no conflict because of what is captured");
    cr_assert_neq(batch.flags[0] & EVENT_FLAG_BODIES, 0);
    decoder_capture(decoder, false);
    decode_one("\"requestBody\":\"x\",\"responseBody\":{}");
    expect(0, TEXT_REFS, NULL);
}

/* A shape that was learned while nothing was captured does not hide bodies afterwards. */
Test(bodies, shapes) {
    for (u32 capture = 0; capture < 2; capture++) {
        buf_clear(&body);
        for (u32 i = 0; i < 20; i++) {
            put_event("\"requestBody\":\"some text\",\"costAmount\":1");
        }
        buf_put_text(&body, "]}");
        decoder_capture(decoder, capture != 0);
        cr_assert_eq(decode(64 * KIB), ERR_OK);
        cr_assert_eq(batch.count, 20);
        for (u32 row = 0; row < 20; row++) {
            expect(row, TEXT_REFS, capture != 0 ? "{\"requestBody\":\"some text\"}" : NULL);
        }
    }
}

static void put_long(const char *name, usize bytes, const char *unit) {
    buf_put_text(&body, name);
    for (usize i = 0; i < bytes; i++) {
        buf_put_text(&body, unit);
    }
    buf_put_text(&body, "\"");
}

static enum err decode_long(const char *members, usize bytes, const char *unit, u32 room) {
    buf_clear(&body);
    buf_put_text(&body, "{\"events\":[{" REQUIRED);
    buf_put_text(&body, members);
    put_long(",\"requestBody\":\"", bytes, unit);
    buf_put_text(&body, ",\"responseBody\":1}]}");
    return decode(room);
}

Test(bodies, too_long) {
    decoder_capture(decoder, true);
    cr_assert_eq(decode_long("", EVENT_BODY_MAX, "x", 2 * EVENT_BODY_MAX), ERR_OK);
    expect(0, TEXT_PROPERTIES, NULL);
    cr_assert_eq(event_text_of(&batch, 0, TEXT_REFS).bytes,
                 EVENT_BODY_MAX + strlen("{\"requestBody\":\"\",\"responseBody\":1}"));
    cr_assert_eq(decode_long("", EVENT_BODY_MAX + 1, "x", 2 * EVENT_BODY_MAX), ERR_OK);
    expect(0, TEXT_REFS, "{\"responseBody\":1}");
    expect(0, TEXT_PROPERTIES, "{\"body_dropped\":\"true\"}");
    cr_assert_eq(decode_long("", EVENT_BODY_MAX, "\\\"", 4 * EVENT_BODY_MAX), ERR_OK);
    expect(0, TEXT_PROPERTIES, NULL);
    cr_assert_eq(decode_long(",\"properties\":{\"a\":1 }", EVENT_BODY_MAX + 1, "x", 4096), ERR_OK);
    expect(0, TEXT_PROPERTIES, "{\"a\":1,\"body_dropped\":\"true\"}");
    cr_assert_eq(decode_long(",\"properties\":{ }", EVENT_BODY_MAX + 1, "x", 4096), ERR_OK);
    expect(0, TEXT_PROPERTIES, "{\"body_dropped\":\"true\"}");
}

/* Without room nothing has changed, and with some more it works. */
Test(bodies, room) {
    decoder_capture(decoder, true);
    cr_assert_eq(decode_long("", 1000, "x", 1000), ERR_LIMIT);
    cr_assert(batch.count == 0 && batch.text_bytes == body.bytes);
    cr_assert_eq(decode_long("", 1000, "x", 1000 + 64), ERR_OK);
    cr_assert_leq(batch.text_bytes, batch.text_bytes_max);
}

/* --- links -------------------------------------------------------------------------------------
 */

Test(bodies, links) {
    static const struct {
        const char *meta;
        bool link;
    } metas[] = {
        {"{\"stripe_customer_id\":\"cus_1\"}", true},
        {"{ \"a\" : \"b\" , \"stripe_customer_id\" : \"cus_1\" }", true},
        {"{\"a\":\"b\",\"stripe_customer_id\":\"cus_1\"}", true},
        {"{\"a\\\"b\":\"\\\\\",\"stripe_customer_id\":\"cus_1\"}", true},
        {"{\"stripe_customer_id\":7}", true}, /* becomes a string */
        {"{\"a\":\"\\\",\\\"stripe_customer_id\\\":\"}", false},
        {"{\"a\":\"stripe_customer_id\"}", false},
        {"{\"stripe_customer_ids\":\"cus_1\"}", false},
        {"{\"x_stripe_customer_id\":\"cus_1\"}", false},
        {"{}", false},
    };
    for (u32 i = 0; i < ARRAY_COUNT(metas); i++) {
        char members[256] = "\"meta\":";
        strcat(members, metas[i].meta);
        buf_clear(&body);
        for (u32 k = 0; k < 20; k++) { /* plainly, then by shape */
            put_event(members);
        }
        buf_put_text(&body, "]}");
        cr_assert_eq(decode(64 * KIB), ERR_OK);
        cr_assert_eq(batch.count, 20);
        for (u32 row = 0; row < 20; row++) {
            cr_assert_eq((batch.flags[row] & EVENT_FLAG_LINK) != 0, metas[i].link, "%s, row %u",
                         members, row);
        }
    }
}
