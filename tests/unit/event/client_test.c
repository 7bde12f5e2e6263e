/* client_test.c: the single-event endpoint: names, what chooses among what, defaults. */
#include "event/decoder.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define NOW_MS ((i64)1777700000000)

static struct decoder *decoder;
static struct event_batch *batch;
static struct decode_error error;
static char text[64 * KIB];

static void set_up(void) {
    cr_assert_eq(decoder_create(1, &decoder), ERR_OK);
    batch = calloc(1, sizeof *batch);
}

static void tear_down(void) {
    decoder_destroy(decoder);
    free(batch);
}

TestSuite(client, .init = set_up, .fini = tear_down);

static enum err decode(const char *body, const char *key) {
    batch->text = text;
    batch->text_bytes = (u32)strlen(body);
    batch->text_bytes_max = batch->text_bytes + 8 * (u32)KIB;
    batch->count = 0;
    memcpy(text, body, batch->text_bytes);
    return decode_client_event(decoder, batch, (struct text_ref){0, batch->text_bytes},
                               (struct slice){key, strlen(key)}, NOW_MS, &error);
}

static void expect_text(enum event_text column, const char *wanted) {
    struct slice have = event_text_of(batch, 0, column);
    cr_assert_eq(event_has_text(batch, 0, column), wanted != NULL, "column %u", column);
    cr_assert(wanted == NULL ||
                  (have.bytes == strlen(wanted) && memcmp(have.data, wanted, have.bytes) == 0),
              "column %u: %.*s", column, (int)have.bytes, have.data);
}

static void expect_good(const char *body, const char *key) {
    cr_assert_eq(decode(body, key), ERR_OK, "%s: %s", body, error.text);
    cr_assert_eq(batch->count, 1);
}

static void expect_bad(const char *body, const char *message) {
    cr_assert_eq(decode(body, ""), ERR_INVALID, "%s", body);
    cr_assert_str_eq(error.text, message, "%s: %s", body, error.text);
    cr_assert_eq(batch->count, 0);
}

Test(client, everything) {
    expect_good(
        "{\"eventName\":\"chat\",\"eventIdempotencyKey\":\"k\\u0031\","
        "\"occurredAt\":\"2026-05-01T12:34:56.789Z\",\"featureKey\":\"fk\","
        "\"featureId\":\"fid\",\"customerReferenceId\":\"cref\",\"stripeCustomerId\":"
        "\"cus_1\",\"customerId\":\"c\\u00e9\",\"subscriptionId\":\"sub\",\"flowId\":\"flow\","
        "\"costInput\":{\"model\":\"gpt-4o\",\"modelProvider\":\"openai\",\"inputTokens\":10,"
        "\"outputTokens\":2,\"cachedInputTokens\":4,\"cacheWriteTokens\":1,"
        "\"reasoningTokens\":1},\"usageUnits\":\"2.5\",\"costAmount\":\"0.05\","
        "\"revenueAmount\":1,\"meta\":{\"a\":[1,{}]},\"other\":5}",
        "");
    expect_text(TEXT_EVENT_NAME, "chat");
    expect_text(TEXT_KEY, "k1");
    expect_text(TEXT_CUSTOMER, "c\xc3\xa9");
    expect_text(TEXT_FEATURE, "fid");
    expect_text(TEXT_TRACE, "flow");
    expect_text(TEXT_MODEL, "gpt-4o");
    expect_text(TEXT_PROVIDER, "openai");
    expect_text(TEXT_META, "{\"a\":[1,{}]}");
    expect_text(TEXT_REFS,
                "{\"featureId\":\"fid\",\"featureKey\":\"fk\",\"customerId\":\"c\\u00e9\","
                "\"stripeCustomerId\":\"cus_1\",\"customerReferenceId\":\"cref\","
                "\"subscriptionId\":\"sub\",\"flowId\":\"flow\"}");
    static const i64 numbers[NUM_COUNT] = {
        [NUM_TIME] = 1777638896789, [NUM_COST] = 50000000000, [NUM_REVENUE] = PICO_PER_USD,
        [NUM_USAGE] = 2500000,      [NUM_INPUT] = 10,         [NUM_OUTPUT] = 2,
        [NUM_CACHED] = 4,           [NUM_CACHE_WRITE] = 1,    [NUM_REASONING] = 1};
    for (u32 column = 0; column < NUM_DURATION; column++) {
        cr_assert_eq(batch->number[column][0], numbers[column], "%u", column);
    }
    cr_assert_eq(batch->cost_source[0], COST_EXPLICIT);
    cr_assert_eq(batch->flags[0], 0);
}

Test(client, defaults_and_choices) {
    expect_good("{\"eventName\":\"e\"}", "header-key");
    expect_text(TEXT_CUSTOMER, "unknown");
    expect_text(TEXT_FEATURE, NULL);
    expect_text(TEXT_KEY, "header-key");
    expect_text(TEXT_REFS, NULL);
    cr_assert_eq(batch->number[NUM_USAGE][0], MICRO_PER_UNIT);
    cr_assert_eq(batch->number[NUM_TIME][0], NOW_MS);
    cr_assert_eq(batch->flags[0], EVENT_FLAG_TIME_DEFAULT);

    expect_good("{\"eventName\":\"e\",\"eventIdempotencyKey\":\"body\"}", "header");
    expect_text(TEXT_KEY, "header");
    expect_good("{\"eventName\":\"e\",\"eventIdempotencyKey\":\"body\"}", "  ");
    expect_text(TEXT_KEY, "body");
    expect_good("{\"eventName\":\"e\"}", "");
    expect_text(TEXT_KEY, NULL);

    expect_good("{\"eventName\":\"e\",\"customerId\":\"\",\"customerReferenceId\":\"r\","
                "\"featureKey\":\"f\"}",
                "");
    expect_text(TEXT_CUSTOMER, "r");
    expect_text(TEXT_FEATURE, "f");
    expect_text(TEXT_REFS, NULL);

    expect_good("{\"eventName\":\"e\",\"usageUnits\":3,\"costInput\":{\"model\":\"m\"}}", "");
    cr_assert_eq(batch->flags[0], EVENT_FLAG_TIME_DEFAULT | EVENT_FLAG_USAGE_PRICED);
    cr_assert_not(event_has_number(batch, 0, NUM_INPUT));
    expect_good("{\"eventName\":\"e\",\"costInput\":{\"costUnits\":\"7.5\"}}", "");
    cr_assert_eq(batch->number[NUM_INPUT][0], 8);
    cr_assert_eq(batch->number[NUM_USAGE][0], 8 * MICRO_PER_UNIT);
    expect_good("{\"eventName\":\"e\",\"costInput\":{\"costUnits\":7,\"outputTokens\":1}}", "");
    cr_assert_not(event_has_number(batch, 0, NUM_INPUT));
    expect_good("{\"eventName\":\"e\",\"costInput\":null,\"meta\":null,\"usageUnits\":null}", "");
}

Test(client, refusals) {
    expect_bad("[]", "the body must be an object");
    expect_bad("{\"eventName\":\"e\"", "expected ',' or '}' after a member");
    expect_bad("{\"eventName\":\"e\"}}", "unexpected bytes after the value");
    expect_bad("{}", "missing required field: eventName");
    expect_bad("{\"eventName\":\"\"}", "missing required field: eventName");
    expect_bad("{\"eventName\":7}", "missing required field: eventName");
    expect_bad("{\"eventName\":\"e\",\"usageUnits\":-1}",
               "usageUnits must be a number from 0 to 9.2e12");
    expect_bad("{\"eventName\":\"e\",\"usageUnits\":\"x\"}",
               "usageUnits must be a number from 0 to 9.2e12");
    expect_bad("{\"eventName\":\"e\",\"occurredAt\":\"now\"}",
               "occurredAt must be an RFC 3339 time");
    cr_assert_eq(error.position, 31);
    expect_bad("{\"eventName\":\"e\",\"costInput\":[]}", "costInput must be an object");
    expect_bad("{\"eventName\":\"e\",\"costInput\":{\"inputTokens\":1.5}}",
               "inputTokens must be a whole number from 0 to 2^40");
    expect_bad("{\"eventName\":\"e\",\"costInput\":{\"costUnits\":-1}}",
               "costUnits must be a number from 0 to 2^40");
    expect_bad("{\"eventName\":\"e\",\"costInput\":{\"cachedInputTokens\":1}}",
               "cachedInputTokens and cacheWriteTokens together exceed inputTokens");
    expect_bad("{\"eventName\":\"e\",\"customerId\":5}",
               "customerId must be a string of 1 to 255 bytes");
    expect_bad("{\"eventName\":\"e\",\"flowId\":\"\\ud800\"}",
               "a string holds a lone surrogate escape");
    expect_bad("{\"eventName\":\"e\",\"meta\":[]}",
               "meta must be an object of at most 8 KiB, nested 16 levels deep");
    char key[300];
    memset(key, 'k', sizeof key);
    for (u32 bytes = 255; bytes <= 256; bytes++) {
        key[bytes] = 0;
        cr_assert_eq(decode("{\"eventName\":\"e\"}", key), bytes == 255 ? ERR_OK : ERR_INVALID);
        key[bytes] = 'k';
    }
    batch->count = EVENT_BATCH_MAX;
    cr_assert_eq(
        decode_client_event(decoder, batch, (struct text_ref){0, 0}, SLICE(""), NOW_MS, &error),
        ERR_LIMIT);
}
