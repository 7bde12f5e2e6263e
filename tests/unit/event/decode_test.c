/* decode_test.c: the rules of the ingest endpoint, field by field, and what refuses a whole body.
 */
#include "event/decoder.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/guard.h"
#include "tools/client/generate.h"

#define NOW_MS ((i64)1777700000000)
#define BODY_MAX (256 * KIB)
#define REQUIRED "\"eventName\":\"e\",\"customerReferenceId\":\"c\",\"featureKey\":\"f\""

struct fixture {
    struct decoder *decoder;
    struct event_batch *batch;
    struct decode_result *result;
    struct decode_error error;
    struct guard guard;
};

static struct fixture fixture;

static void set_up(void) {
    cr_assert_eq(decoder_create(1, &fixture.decoder), ERR_OK);
    fixture.batch = calloc(1, sizeof *fixture.batch);
    fixture.result = calloc(1, sizeof *fixture.result);
    fixture.guard = guard_create(BODY_MAX);
    buf_init(&fixture.result->messages, MIB);
}

static void tear_down(void) {
    decoder_destroy(fixture.decoder);
    buf_free(&fixture.result->messages);
    free(fixture.batch);
    free(fixture.result);
    guard_destroy(&fixture.guard);
}

TestSuite(decode, .init = set_up, .fini = tear_down);

static enum err decode_with_room(const char *body, usize bytes, u32 room) {
    struct event_batch *batch = fixture.batch;
    batch->text =
        guard_copy(&fixture.guard, (struct slice){body, bytes}, room + EVENT_TEXT_PADDING, '"');
    batch->text_bytes = (u32)bytes;
    batch->text_bytes_max = (u32)bytes + room;
    batch->count = 0;
    return decode_ingest(fixture.decoder, batch, (struct text_ref){0, (u32)bytes}, NOW_MS,
                         fixture.result, &fixture.error);
}

static enum err decode(const char *body) {
    return decode_with_room(body, strlen(body), 4096);
}

/* Decodes one event made of the required members and `members`. */
static void decode_members(const char *members) {
    char body[4096];
    snprintf(body, sizeof body, "{\"events\":[{" REQUIRED "%s%s}]}", *members != 0 ? "," : "",
             members);
    cr_assert_eq(decode(body), ERR_OK, "%s: %s", body, fixture.error.text);
    cr_assert_eq(fixture.result->sent, 1);
}

static void expect_rejected(const char *members, const char *message) {
    decode_members(members);
    cr_assert_eq(fixture.batch->count, 0, "%s", members);
    cr_assert_eq(fixture.result->reject_count, 1, "%s", members);
    struct text_ref ref = fixture.result->rejects[0].message;
    const char *text = fixture.result->messages.data + ref.offset;
    cr_assert(ref.bytes == strlen(message) && memcmp(text, message, ref.bytes) == 0, "%s: %.*s",
              members, (int)ref.bytes, text);
}

static void expect_text(const char *members, enum event_text column, const char *wanted) {
    decode_members(members);
    cr_assert_eq(fixture.batch->count, 1, "%s: %.*s", members, (int)fixture.result->messages.bytes,
                 fixture.result->messages.data);
    struct slice text = event_text_of(fixture.batch, 0, column);
    if (wanted == NULL) {
        cr_assert_not(event_has_text(fixture.batch, 0, column), "%s", members);
        return;
    }
    cr_assert(text.bytes == strlen(wanted) && memcmp(text.data, wanted, text.bytes) == 0,
              "%s: %.*s", members, (int)text.bytes, text.data);
}

static void expect_number(const char *members, enum event_number column, i64 wanted) {
    decode_members(members);
    cr_assert_eq(fixture.batch->count, 1, "%s: %.*s", members, (int)fixture.result->messages.bytes,
                 fixture.result->messages.data);
    cr_assert(event_has_number(fixture.batch, 0, column), "%s", members);
    cr_assert_eq(fixture.batch->number[column][0], wanted, "%s: %lld", members,
                 (long long)fixture.batch->number[column][0]);
}

Test(decode, defaults) {
    decode_members("");
    struct event_batch *batch = fixture.batch;
    cr_assert_eq(batch->count, 1);
    u32 wanted = TEXT_BIT(TEXT_EVENT_NAME) | TEXT_BIT(TEXT_CUSTOMER) | TEXT_BIT(TEXT_FEATURE) |
                 NUM_BIT(NUM_TIME) | NUM_BIT(NUM_USAGE);
    cr_assert_eq(batch->present[0], wanted);
    cr_assert_eq(batch->number[NUM_TIME][0], NOW_MS);
    cr_assert_eq(batch->number[NUM_USAGE][0], 0);
    cr_assert_eq(batch->created[0], NOW_MS);
    cr_assert_eq(batch->series[0], SERIES_UNRESOLVED);
    cr_assert_eq(batch->source[0], SOURCE_SDK);
    cr_assert_eq(batch->granularity[0], GRANULARITY_EVENT);
    cr_assert_eq(batch->cost_source[0], COST_NONE);
    cr_assert_eq(batch->revenue_source[0], REVENUE_NONE);
    cr_assert_eq(batch->flags[0], EVENT_FLAG_TIME_DEFAULT);
}

Test(decode, numbers) {
    expect_number("\"costAmount\":0.0000705", NUM_COST, 70500000);
    cr_assert_eq(fixture.batch->cost_source[0], COST_EXPLICIT);
    expect_number("\"costAmount\":0", NUM_COST, 0);
    cr_assert_eq(fixture.batch->cost_source[0], COST_EXPLICIT);
    expect_number("\"costAmount\":-9e6", NUM_COST, -9000000 * PICO_PER_USD);
    expect_number("\"costAmount\":0.0000000000005", NUM_COST, 0);
    expect_number("\"costAmount\":0.0000000000015", NUM_COST, 2);
    expect_number("\"revenueAmount\":1.5", NUM_REVENUE, 1500000000000);
    cr_assert_eq(fixture.batch->revenue_source[0], REVENUE_EXPLICIT);
    expect_number("\"inputTokens\":5.0", NUM_INPUT, 5);
    expect_number("\"inputTokens\":1099511627776", NUM_INPUT, EVENT_TOKENS_MAX);
    expect_number("\"outputTokens\":-0", NUM_OUTPUT, 0);
    expect_number("\"inputTokens\":10,\"outputTokens\":5", NUM_USAGE, 15000000);
    expect_number("\"inputTokens\":10,\"usageUnits\":0", NUM_USAGE, 0);
    expect_number("\"usageUnits\":1.0000005", NUM_USAGE, 1000001);
    expect_number("\"usageUnits\":-1.0000005", NUM_USAGE, -1000001);
    expect_number("\"usageUnits\":9.2e12", NUM_USAGE, EVENT_USAGE_MAX);
    expect_number("\"durationMs\":842.5", NUM_DURATION, 843);
    expect_number("\"durationMs\":842.4999", NUM_DURATION, 842);
    expect_number("\"durationMs\":1099511627776.4", NUM_DURATION, EVENT_DURATION_MAX);
    expect_number("\"inputTokens\":9,\"cachedInputTokens\":4,\"cacheWriteTokens\":5",
                  NUM_CACHE_WRITE, 5);
    expect_number("\"reasoningTokens\":7", NUM_REASONING, 7);
    const char *money = "costAmount must be a number of dollars of at most 9000000 either way";
    expect_rejected("\"costAmount\":9000000.000000000001", money);
    expect_rejected("\"costAmount\":\"1\"", money);
    expect_rejected("\"costAmount\":1e400", money);
    expect_rejected("\"inputTokens\":5.5", "inputTokens must be a whole number from 0 to 2^40");
    expect_rejected("\"inputTokens\":-1", "inputTokens must be a whole number from 0 to 2^40");
    expect_rejected("\"outputTokens\":1099511627777",
                    "outputTokens must be a whole number from 0 to 2^40");
    expect_rejected("\"inputTokens\":true", "inputTokens must be a whole number from 0 to 2^40");
    const char *duration = "durationMs must be a number of milliseconds from 0 to 2^40";
    expect_rejected("\"durationMs\":-0.1", duration);
    expect_rejected("\"durationMs\":1099511627776.5", duration);
    expect_rejected("\"durationMs\":9223372036854775807", duration);
    expect_rejected("\"usageUnits\":9.3e12",
                    "usageUnits must be a number of at most 9.2e12 either way");
    const char *parts = "cachedInputTokens and cacheWriteTokens together exceed inputTokens";
    expect_rejected("\"cachedInputTokens\":1", parts);
    expect_rejected("\"inputTokens\":9,\"cachedInputTokens\":5,\"cacheWriteTokens\":5", parts);
}

Test(decode, texts) {
    expect_text("\"model\":\"gpt-4o\"", TEXT_MODEL, "gpt-4o");
    expect_text("\"model\":null", TEXT_MODEL, NULL);
    expect_text("\"model\":\"a\",\"model\":\"b\"", TEXT_MODEL, "b");
    expect_text("\"model\":\"a\",\"model\":null", TEXT_MODEL, NULL);
    expect_text("\"mod\\u0065l\":\"\\u00e9\\n\\ud83d\\ude00\"", TEXT_MODEL,
                "\xc3\xa9\n\xf0\x9f\x98\x80");
    expect_text("\"agentId\":\"a\\u0000b\"", TEXT_AGENT, "ab");
    expect_text("\"traceId\":\"t\",\"spanId\":\"s\",\"parentSpanId\":\"p\"", TEXT_PARENT, "p");
    expect_text("\"idempotencyKey\":\"k\"", TEXT_KEY, "k");
    expect_text("\"idempotencyKey\":\"\"", TEXT_KEY, NULL);
    expect_text("\"idempotencyKey\":\"\\u0000\"", TEXT_KEY, NULL);
    expect_text("\"costType\":\"gpu\"", TEXT_COST_TYPE, "gpu");
    expect_text("\"modelProvider\":\"openai\"", TEXT_PROVIDER, "openai");
    expect_text("\"customerReferenceId\":\"_internal-x\"", TEXT_CUSTOMER, "_internal-x");
    expect_text("\"costUnit\":\"USD\"", TEXT_COST_UNIT, NULL);
    cr_assert_eq(fixture.batch->flags[0], EVENT_FLAG_TIME_DEFAULT);
    expect_text("\"costUnit\":\"E\\u0055R\"", TEXT_COST_UNIT, "eur");
    cr_assert_eq(fixture.batch->flags[0], EVENT_FLAG_TIME_DEFAULT | EVENT_FLAG_FOREIGN_UNIT);
    expect_text("\"requestBody\":{\"a\":[1]},\"responseBody\":\"x\",\"unknown\":[[]]", TEXT_MODEL,
                NULL);
    expect_rejected("\"model\":\"\"", "model must be a string of 1 to 128 bytes");
    expect_rejected("\"model\":5", "model must be a string of 1 to 128 bytes");
    expect_rejected("\"costUnit\":\"12345678901234567\"",
                    "costUnit must be a string of 1 to 16 bytes");
    expect_rejected("\"traceId\":\"\\ud800\"", "traceId holds a lone surrogate escape");
    expect_rejected("\"properties\":{\"a\":\"\\udc00\"}",
                    "properties holds a lone surrogate escape");
    expect_rejected("\"x\":\"\\ud800\"",
                    "a name or an unknown member holds a lone surrogate escape");
    char members[400];
    for (u32 bytes = 127; bytes <= 129; bytes++) {
        snprintf(members, sizeof members, "\"model\":\"%0*u\"", (int)bytes, 7);
        decode_members(members);
        cr_assert_eq(fixture.batch->count, bytes <= 128);
    }
}

Test(decode, times) {
    expect_number("\"timestamp\":\"2026-05-01T12:34:56.789Z\"", NUM_TIME, 1777638896789);
    cr_assert_eq(fixture.batch->flags[0], 0);
    expect_number("\"timestamp\":\"2026-05-01T12:34:56\"", NUM_TIME, 1777638896000);
    expect_number("\"timestamp\":\"2026-05-01\\u005412:34:56Z\"", NUM_TIME, 1777638896000);
    expect_number("\"timestamp\":\"2000-01-01T00:00:00Z\"", NUM_TIME, EVENT_TIME_MIN);
    expect_number("\"timestamp\":null", NUM_TIME, NOW_MS);
    expect_number("\"timestamp\":\"2026-05-03T05:33:20Z\"", NUM_TIME, NOW_MS + EVENT_TIME_AHEAD_MS);
    expect_rejected("\"timestamp\":\"2026-05-03T05:33:20.001Z\"",
                    "the event's time is more than 24 hours ahead");
    expect_rejected("\"timestamp\":\"1999-12-31T23:59:59.999Z\"",
                    "the event's time is before 2000-01-01");
    expect_rejected("\"timestamp\":\"yesterday\"", "timestamp must be an RFC 3339 time");
    expect_rejected("\"timestamp\":1777638896789", "timestamp must be an RFC 3339 time");
}

Test(decode, objects) {
    expect_text("\"properties\":{ \"a\" : [1,\"\\n\"] }", TEXT_PROPERTIES,
                "{ \"a\" : [1,\"\\n\"] }");
    expect_text("\"properties\":{}", TEXT_PROPERTIES, "{}");
    expect_text("\"meta\":{ \"a\" : \"x\" }", TEXT_META, "{ \"a\" : \"x\" }");
    expect_text("\"meta\":{\"n\":5.50,\"t\":true,\"f\":false,\"s\":\"x\"}", TEXT_META,
                "{\"n\":\"5.50\",\"t\":\"true\",\"f\":\"false\",\"s\":\"x\"}");
    expect_text("\"meta\" : {\"a\":1 , \"b\":2,\"c\":3,\"d\":4,\"e\":null}", TEXT_META,
                "{\"a\":\"1\",\"b\":\"2\",\"c\":\"3\",\"d\":\"4\"}");
    expect_text("\"meta\":{\"s\":\"x,y}\",\"n\":5}", TEXT_META, "{\"s\":\"x,y}\",\"n\":\"5\"}");
    expect_text("\"meta\":{\"a\":null}", TEXT_META, "{}");
    const char *meta = "meta must be an object of at most 64 strings and 8 KiB";
    expect_rejected("\"meta\":{\"a\":{}}", meta);
    expect_rejected("\"meta\":[]", meta);
    const char *properties =
        "properties must be an object of at most 32 KiB, nested 16 levels deep";
    expect_rejected("\"properties\":[]", properties);
    expect_rejected("\"properties\":\"x\"", properties);
    for (u32 depth = 15; depth <= 17; depth++) {
        char members[200] = "\"properties\":";
        for (u32 i = 0; i < depth; i++) {
            strcat(members, "{\"a\":");
        }
        strcat(members, "1");
        for (u32 i = 0; i < depth; i++) {
            strcat(members, "}");
        }
        decode_members(members);
        cr_assert_eq(fixture.batch->count, depth <= 16, "%u", depth);
    }
    char members[2000] = "\"meta\":{";
    for (u32 i = 0; i < 65; i++) {
        snprintf(members + strlen(members), 20, "%s\"k%u\":\"v\"", i > 0 ? "," : "", i);
        if (i >= 63) {
            char closed[2000];
            snprintf(closed, sizeof closed, "%s}", members);
            decode_members(closed);
            cr_assert_eq(fixture.batch->count, i < 64, "%u", i + 1);
        }
    }
}

Test(decode, missing_and_order) {
    static const char *const bodies[][2] = {
        {"{}", "missing required fields: eventName, customerReferenceId, featureKey"},
        {"{\"featureKey\":\"f\",\"eventName\":null}",
         "missing required fields: eventName, customerReferenceId"},
        {"{\"eventName\":\"\",\"customerReferenceId\":5,\"featureKey\":\"f\",\"model\":\"\"}",
         "missing required fields: eventName, customerReferenceId"},
        {"{\"eventName\":\"e\",\"customerReferenceId\":\"c\",\"featureKey\":\"\\u0000\"}",
         "missing required field: featureKey"},
        {"{" REQUIRED ",\"costType\":\"\",\"model\":7,\"durationMs\":-1}",
         "model must be a string of 1 to 128 bytes"},
        {"5", "the event is not an object"},
        {"[{}]", "the event is not an object"},
    };
    for (usize i = 0; i < ARRAY_COUNT(bodies); i++) {
        char body[400];
        snprintf(body, sizeof body, "{\"events\":[{" REQUIRED "}, %s ,{" REQUIRED "}]}",
                 bodies[i][0]);
        cr_assert_eq(decode(body), ERR_OK);
        cr_assert_eq(fixture.result->sent, 3);
        cr_assert_eq(fixture.result->count, 2);
        cr_assert_eq(fixture.result->reject_count, 1);
        cr_assert_eq(fixture.result->rejects[0].index, 1);
        struct slice text = buf_slice(&fixture.result->messages);
        cr_assert(text.bytes == strlen(bodies[i][1]) &&
                      memcmp(text.data, bodies[i][1], text.bytes) == 0,
                  "%.*s", (int)text.bytes, text.data);
    }
}

Test(decode, bodies) {
    static const struct {
        const char *body;
        usize position;
        const char *text;
    } bad[] = {
        {"", 0, "the body must be an object"},
        {"[]", 0, "the body must be an object"},
        {"{}", 0, "the body has no events"},
        {"{\"events\":{}}", 10, "events must be an array"},
        {"{\"events\":null}", 10, "events must be an array"},
        {"{\"events\":[]}", 10, "events is empty"},
        {"{\"events\":[ ]}", 10, "events is empty"},
        {"{\"events\":[{}],}", 15, "expected a name in quotes"},
        {"{\"events\":[{}]}x", 15, "unexpected bytes after the value"},
        {"{\"events\":[{},]}", 14, "expected a value"},
        {"{\"events\":[{}", 13, "expected ',' or ']' after an event"},
        {"{\"events\":[{\"a\":\"\x80\"}]}", 17, "invalid UTF-8"},
        {"{\"events\":[{" REQUIRED "}],\"x\":tru}", 77, "expected a value"},
    };
    for (usize i = 0; i < ARRAY_COUNT(bad); i++) {
        fixture.error.text = "";
        cr_assert_eq(decode(bad[i].body), ERR_INVALID, "%s", bad[i].body);
        cr_assert_str_eq(fixture.error.text, bad[i].text, "%s: %s", bad[i].body,
                         fixture.error.text);
        cr_assert_eq(fixture.error.position, bad[i].position, "%s: %zu", bad[i].body,
                     fixture.error.position);
        cr_assert(fixture.batch->count == 0 && fixture.result->count == 0);
    }
    cr_assert_eq(decode(" {\"v\":[1,{\"events\":[]}] , \"ev\\u0065nts\" : [ {" REQUIRED
                        "} ] , \"after\" : {} } "),
                 ERR_OK);
    cr_assert_eq(fixture.batch->count, 1);
    cr_assert_eq(decode("{\"events\":[{},5],\"events\":[{" REQUIRED "}]}"), ERR_OK);
    cr_assert_eq(fixture.result->reject_count, 0);
    cr_assert_eq(fixture.result->sent, 1);
}

/* Event k of a generated body must have exactly the fields it was made of. */
static void expect_generated(const struct generator *generator, u64 index, u32 row) {
    struct generated_event event;
    generator_event(generator, index, &event);
    const char *texts[] = {event.event_name, event.customer, event.feature, event.model,
                           event.provider};
    for (u32 column = 0; column < ARRAY_COUNT(texts); column++) {
        struct slice text = event_text_of(fixture.batch, row, (enum event_text)column);
        cr_assert(text.bytes == strlen(texts[column]) &&
                  memcmp(text.data, texts[column], text.bytes) == 0);
    }
    struct slice key = event_text_of(fixture.batch, row, TEXT_KEY);
    cr_assert(key.bytes == 36 && memcmp(key.data, event.key, 36) == 0);
    i64 numbers[NUM_COUNT] = {[NUM_TIME] = event.time_ms,
                              [NUM_REVENUE] = event.revenue_pico,
                              [NUM_INPUT] = event.input_tokens,
                              [NUM_OUTPUT] = event.output_tokens,
                              [NUM_USAGE] =
                                  (event.input_tokens + event.output_tokens) * MICRO_PER_UNIT,
                              [NUM_DURATION] = event.duration_ms};
    for (u32 column = 0; column < NUM_COUNT; column++) {
        if (event_has_number(fixture.batch, row, (enum event_number)column)) {
            cr_assert_eq(fixture.batch->number[column][row], numbers[column], "%u", column);
        }
    }
}

Test(decode, generated_events) {
    struct generator generator = generator_default(5, 1777000000000);
    generator.time_span_ms = 5 * 24 * 3600 * (i64)1000;
    generator.duplicates_per_mille = 20;
    guard_destroy(&fixture.guard);
    fixture.guard = guard_create(MIB);
    char *body = malloc(1001 * GENERATED_JSON_MAX);
    for (u32 round = 0; round < 4; round++) {
        u32 events = round == 3 ? 1 : INGEST_EVENTS_MAX;
        usize bytes = generator_body(&generator, 12345 + round * 1000, events, body);
        cr_assert_eq(decode_with_room(body, bytes, 0), ERR_OK);
        cr_assert_eq(fixture.batch->count, events);
        for (u32 row = 0; row < events; row++) {
            expect_generated(&generator, 12345 + round * 1000 + row, row);
        }
    }
    cr_assert_gt(fixture.decoder->predictor.hits, 2990);
    usize bytes = generator_body(&generator, 0, INGEST_EVENTS_MAX + 1, body);
    cr_assert_eq(decode_with_room(body, bytes, 0), ERR_INVALID);
    cr_assert_str_eq(fixture.error.text, "more than 1000 events");
    free(body);
}

/* Decodes the next 1000 events and returns how many were read by prediction. */
static u64 hits_of_a_body(const struct generator *generator, u64 first, char *body) {
    u64 hits = fixture.decoder->predictor.hits;
    usize bytes = generator_body(generator, first, INGEST_EVENTS_MAX, body);
    cr_assert_eq(decode_with_room(body, bytes, 0), ERR_OK);
    cr_assert_eq(fixture.batch->count, INGEST_EVENTS_MAX);
    for (u32 row = 0; row < INGEST_EVENTS_MAX; row++) {
        expect_generated(generator, first + row, row);
    }
    return fixture.decoder->predictor.hits - hits;
}

Test(decode, surprises) {
    struct generator generator = generator_default(6, 1777000000000);
    generator.time_span_ms = 5 * 24 * 3600 * (i64)1000;
    guard_destroy(&fixture.guard);
    fixture.guard = guard_create(2 * MIB);
    char *body = malloc((usize)INGEST_EVENTS_MAX * GENERATED_JSON_MAX + 16);
    for (u32 round = 0; round < 4; round++) {
        generator.shuffled = round % 2 == 0;
        generator.unexpected = round * 2;
        cr_assert_lt(hits_of_a_body(&generator, round * 1000, body), 100);
    }
    /* Prediction rests meanwhile, and comes back when events look alike again. */
    generator.shuffled = false;
    generator.unexpected = 0;
    hits_of_a_body(&generator, 4000, body);
    cr_assert_eq(hits_of_a_body(&generator, 5000, body), INGEST_EVENTS_MAX);
    free(body);
}

Test(decode, limits_leave_all_as_it_was) {
    const char *body = "{\"events\":[{" REQUIRED ",\"model\":\"\\u0041\","
                       "\"meta\":{\"a\":1,\"b\":2,\"c\":3,\"d\":4}}]}";
    usize bytes = strlen(body);
    cr_assert_eq(decode_with_room(body, bytes, 10), ERR_LIMIT);
    cr_assert_eq(memcmp(fixture.batch->text, body, bytes), 0);
    cr_assert(fixture.batch->count == 0 && fixture.batch->text_bytes == bytes);
    fixture.batch->count = EVENT_BATCH_MAX;
    cr_assert_eq(decode_ingest(fixture.decoder, fixture.batch, (struct text_ref){0, (u32)bytes},
                               NOW_MS, fixture.result, &fixture.error),
                 ERR_LIMIT);
    cr_assert_eq(memcmp(fixture.batch->text, body, bytes), 0);
    fixture.batch->count = EVENT_BATCH_MAX - 1;
    fixture.batch->text_bytes_max += 40;
    cr_assert_eq(decode_ingest(fixture.decoder, fixture.batch, (struct text_ref){0, (u32)bytes},
                               NOW_MS, fixture.result, &fixture.error),
                 ERR_OK);
    cr_assert_eq(fixture.batch->count, EVENT_BATCH_MAX);
    struct slice model = event_text_of(fixture.batch, EVENT_BATCH_MAX - 1, TEXT_MODEL);
    cr_assert(model.bytes == 1 && model.data[0] == 'A');
}

static u32 digest_of(const char *members) {
    decode_members(members);
    cr_assert_eq(fixture.batch->count, 1, "%s", members);
    return fixture.batch->digest[0];
}

Test(decode, digest) {
    u32 base = digest_of("\"model\":\"m\",\"inputTokens\":5");
    cr_assert_eq(digest_of(" \"inputTokens\" : 5.0 , \"mod\\u0065l\":\"\\u006d\""), base);
    cr_assert_eq(digest_of("\"model\":\"m\",\"inputTokens\":5,\"idempotencyKey\":\"k\""), base);
    cr_assert_eq(digest_of("\"model\":\"m\",\"inputTokens\":50e-1,\"costUnit\":\"Usd\""), base);
    static const char *const others[] = {
        "\"model\":\"n\",\"inputTokens\":5",
        "\"modelProvider\":\"m\",\"inputTokens\":5",
        "\"model\":\"m\",\"inputTokens\":6",
        "\"model\":\"m\",\"outputTokens\":5",
        "\"model\":\"m\",\"inputTokens\":5,\"costAmount\":0",
        "\"model\":\"m\",\"inputTokens\":5,\"agentId\":\"a\"",
        "\"model\":\"m\",\"inputTokens\":5,\"timestamp\":\"2026-05-01T00:00:00Z\"",
        "\"model\":\"m\",\"inputTokens\":5,\"meta\":{\"a\":\"b\"}",
        "\"model\":\"mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm\",\"inputTokens\":5",
        "\"model\":\"mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmn\",\"inputTokens\":5",
        "\"model\":\"nmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm\",\"inputTokens\":5",
        "\"model\":\"mmmmmmmmmmmmmmmmmmmmmnmmmmmmmmmmmmmmmmmm\",\"inputTokens\":5",
    };
    u32 seen[ARRAY_COUNT(others)];
    for (usize i = 0; i < ARRAY_COUNT(others); i++) {
        seen[i] = digest_of(others[i]);
        cr_assert_neq(seen[i], base, "%s", others[i]);
        for (usize k = 0; k < i; k++) {
            cr_assert_neq(seen[i], seen[k], "%s and %s", others[i], others[k]);
        }
    }
}
