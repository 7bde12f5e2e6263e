/* native_test.c: batches made by the client library's builder come out as they went in, every rule
 * refuses the event that breaks it, and no damage to the bytes is taken for a batch. */
#include "event/native.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tools/client/codec.h"

#define NOW ((i64)1780000000000)

static struct event_batch batch; /* large; Criterion runs each test in a process of its own */
static struct decode_result result;
static struct dicts dicts;
static struct margin_batch *made;

/* The made batch at the very end of readable memory, so that reading past it stops the test. */
static struct slice payload_of(usize *mapped, char **base) {
    usize bytes = codec_batch_bytes(made);
    usize page = (usize)sysconf(_SC_PAGESIZE);
    *mapped = (bytes + page - 1) / page * page + page;
    *base = mmap(NULL, *mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(*base, MAP_FAILED);
    cr_assert_eq(mprotect(*base + *mapped - page, page, PROT_NONE), 0);
    char *at = *base + *mapped - page - bytes;
    char *end = codec_write_batch(at, made);
    cr_assert_eq((usize)(end - at), bytes);
    return (struct slice){at, bytes};
}

static void reset_batch(usize text_bytes) {
    free(batch.text);
    batch.count = 0;
    batch.text = malloc(text_bytes + EVENT_TEXT_PADDING);
    batch.text_bytes = 0;
    batch.text_bytes_max = (u32)text_bytes;
    buf_free(&result.messages);
    buf_init(&result.messages, MIB);
}

static enum err decode(struct slice payload, struct decode_error *error) {
    reset_batch(payload.bytes + 64 * KIB);
    return native_decode(&batch, payload, NOW, &dicts, &result, error);
}

static void decode_made(void) {
    usize mapped;
    char *base;
    struct decode_error error;
    struct slice payload = payload_of(&mapped, &base);
    enum err err = decode(payload, &error);
    cr_assert_eq(err, ERR_OK, "%s at %zu", error.text, error.position);
    munmap(base, mapped);
    margin_batch_clear(made);
}

static void add_text(enum wire_text column, const char *text) {
    cr_assert_eq(margin_batch_text(made, column, (struct slice){text, strlen(text)}), MARGIN_OK);
}

/* An event with the required fields. */
static void add_event(void) {
    cr_assert_eq(margin_batch_event(made), MARGIN_OK);
    add_text(WIRE_TEXT_EVENT_NAME, "chat");
    add_text(WIRE_TEXT_CUSTOMER, "acme");
    add_text(WIRE_TEXT_FEATURE, "summarize");
}

static void expect_text(u32 index, enum event_text column, const char *text) {
    cr_assert(event_has_text(&batch, index, column), "event %u has no text %d", index, column);
    struct slice got = event_text_of(&batch, index, column);
    cr_expect(got.bytes == strlen(text) && memcmp(got.data, text, got.bytes) == 0,
              "event %u text %d: %.*s", index, column, (int)got.bytes, got.data);
}

Test(native, gives_back_what_went_in) {
    made = margin_batch_create();
    for (u32 i = 0; i < WIRE_EVENTS_MAX; i++) {
        char text[64];
        add_event();
        snprintf(text, sizeof text, "key-\xc3\xa9-%u", i);
        add_text(WIRE_TEXT_KEY, text);
        snprintf(text, sizeof text, "model-%u", i % 7);
        if (i % 3 != 0) {
            add_text(WIRE_TEXT_MODEL, text);
        }
        margin_batch_number(made, WIRE_NUM_TIME, NOW - i);
        margin_batch_number(made, WIRE_NUM_REVENUE, (i64)i * 1000003);
        if (i % 2 != 0) {
            margin_batch_number(made, WIRE_NUM_INPUT, i);
            margin_batch_number(made, WIRE_NUM_OUTPUT, 2 * i);
            margin_batch_number(made, WIRE_NUM_CACHED, i);
        }
        if (i % 5 == 0) {
            margin_batch_number(made, WIRE_NUM_COST, -(i64)i);
            margin_batch_number(made, WIRE_NUM_USAGE, -5);
        }
    }
    cr_expect_eq(margin_batch_event(made), MARGIN_LIMIT);
    decode_made();
    cr_assert_eq(result.count, WIRE_EVENTS_MAX);
    cr_expect_eq(result.sent, WIRE_EVENTS_MAX);
    cr_expect_eq(result.reject_count, 0);
    for (u32 i = 0; i < WIRE_EVENTS_MAX; i++) {
        char text[64];
        expect_text(i, TEXT_EVENT_NAME, "chat");
        expect_text(i, TEXT_CUSTOMER, "acme");
        snprintf(text, sizeof text, "key-\xc3\xa9-%u", i);
        expect_text(i, TEXT_KEY, text);
        snprintf(text, sizeof text, "model-%u", i % 7);
        cr_expect_eq(event_has_text(&batch, i, TEXT_MODEL), i % 3 != 0);
        if (i % 3 != 0) {
            expect_text(i, TEXT_MODEL, text);
        }
        cr_expect_eq(batch.number[NUM_TIME][i], NOW - i);
        cr_expect_eq(batch.number[NUM_REVENUE][i], (i64)i * 1000003);
        cr_expect_eq(batch.revenue_source[i], REVENUE_EXPLICIT);
        cr_expect_eq(event_has_number(&batch, i, NUM_INPUT), i % 2 != 0);
        cr_expect_eq(batch.cost_source[i], i % 5 == 0 ? COST_EXPLICIT : COST_NONE);
        i64 usage = i % 5 == 0 ? -5 : i % 2 != 0 ? 3 * (i64)i * MICRO_PER_UNIT : 0;
        cr_expect(event_has_number(&batch, i, NUM_USAGE));
        cr_expect_eq(batch.number[NUM_USAGE][i], usage);
        cr_expect_eq(batch.series[i], SERIES_UNRESOLVED);
        cr_expect_eq(batch.created[i], NOW);
        cr_expect_eq(batch.flags[i], 0);
        cr_expect_eq(batch.source[i], SOURCE_SDK);
    }
    margin_batch_free(made);
}

Test(native, defaults_and_small_meanings) {
    made = margin_batch_create();
    add_event();
    add_text(WIRE_TEXT_COST_UNIT, "USD");
    add_text(WIRE_TEXT_KEY, "");
    add_event();
    add_text(WIRE_TEXT_COST_UNIT, "EuR");
    decode_made();
    cr_assert_eq(result.count, 2);
    cr_expect_eq(batch.number[NUM_TIME][0], NOW, "the time of receipt");
    cr_expect(event_has_number(&batch, 0, NUM_TIME));
    cr_expect_eq(batch.flags[0], EVENT_FLAG_TIME_DEFAULT);
    cr_expect_not(event_has_text(&batch, 0, TEXT_COST_UNIT), "usd is the default");
    cr_expect_not(event_has_text(&batch, 0, TEXT_KEY), "an empty key is none");
    expect_text(1, TEXT_COST_UNIT, "eur");
    cr_expect_eq(batch.flags[1], EVENT_FLAG_TIME_DEFAULT | EVENT_FLAG_FOREIGN_UNIT);
    margin_batch_free(made);
}

/* The event made last is refused with this text, the one before and the one behind it are kept. */
static void expect_refused(const char *text) {
    add_event();
    add_text(WIRE_TEXT_KEY, "behind");
    decode_made();
    cr_assert_eq(result.reject_count, 1, "%s: %u refused", text, result.reject_count);
    cr_expect_eq(result.rejects[0].index, 1);
    cr_assert_eq(result.count, 2);
    cr_expect_eq(result.sent, 3);
    expect_text(0, TEXT_KEY, "before");
    expect_text(1, TEXT_KEY, "behind");
    struct text_ref message = result.rejects[0].message;
    cr_expect(message.bytes == strlen(text) &&
                  memcmp(result.messages.data + message.offset, text, message.bytes) == 0,
              "%.*s instead of %s", (int)message.bytes, result.messages.data + message.offset,
              text);
    add_event();
    add_text(WIRE_TEXT_KEY, "before");
    add_event();
}

Test(native, refuses_single_events_by_rule) {
    made = margin_batch_create();
    char text[300];
    memset(text, 'a', sizeof text);
    add_event();
    add_text(WIRE_TEXT_KEY, "before");
    margin_batch_event(made);
    add_text(WIRE_TEXT_CUSTOMER, "");
    add_text(WIRE_TEXT_FEATURE, "f");
    expect_refused("missing required fields: eventName, customerReferenceId");
    static const struct {
        enum wire_number number;
        i64 value;
        const char *message;
    } numbers[] = {
        {WIRE_NUM_TIME, EVENT_TIME_MIN - 1, "timestamp is before 2000 or more than 24 h ahead"},
        {WIRE_NUM_TIME, NOW + EVENT_TIME_AHEAD_MS + 1,
         "timestamp is before 2000 or more than 24 h ahead"},
        {WIRE_NUM_COST, EVENT_MONEY_MAX + 1, "costAmount is out of range"},
        {WIRE_NUM_REVENUE, -EVENT_MONEY_MAX - 1, "revenueAmount is out of range"},
        {WIRE_NUM_USAGE, INT64_MIN, "usageUnits is out of range"},
        {WIRE_NUM_INPUT, -1, "inputTokens is out of range"},
        {WIRE_NUM_OUTPUT, EVENT_TOKENS_MAX + 1, "outputTokens is out of range"},
        {WIRE_NUM_CACHED, 1, "cachedInputTokens and cacheWriteTokens exceed inputTokens"},
        {WIRE_NUM_REASONING, INT64_MAX, "reasoningTokens is out of range"},
        {WIRE_NUM_DURATION, -1, "durationMs is out of range"},
        {WIRE_NUM_DURATION, EVENT_DURATION_MAX + 1, "durationMs is out of range"},
    };
    for (usize i = 0; i < ARRAY_COUNT(numbers); i++) {
        margin_batch_number(made, numbers[i].number, numbers[i].value);
        expect_refused(numbers[i].message);
    }
    static const struct {
        enum wire_text column;
        u32 bytes;
        const char *message;
    } texts[] = {
        {WIRE_TEXT_MODEL, 0, "model must be 1 to 128 bytes"},
        {WIRE_TEXT_MODEL, 129, "model must be 1 to 128 bytes"},
        {WIRE_TEXT_PROVIDER, 65, "modelProvider must be 1 to 64 bytes"},
        {WIRE_TEXT_COST_TYPE, 65, "costType must be 1 to 64 bytes"},
        {WIRE_TEXT_COST_UNIT, 17, "costUnit must be 1 to 16 bytes"},
        {WIRE_TEXT_AGENT, 129, "agentId must be 1 to 128 bytes"},
        {WIRE_TEXT_TRACE, 129, "traceId must be 1 to 128 bytes"},
        {WIRE_TEXT_SPAN, 0, "spanId must be 1 to 128 bytes"},
        {WIRE_TEXT_PARENT, 129, "parentSpanId must be 1 to 128 bytes"},
        {WIRE_TEXT_KEY, 256, "idempotencyKey must be 1 to 255 bytes"},
    };
    for (usize i = 0; i < ARRAY_COUNT(texts); i++) {
        margin_batch_text(made, texts[i].column, (struct slice){text, texts[i].bytes});
        expect_refused(texts[i].message);
    }
    margin_batch_free(made);
}

Test(native, refuses_text_that_is_not_utf8_as_a_whole) {
    made = margin_batch_create();
    static const char *const good[] = {"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\x7f"};
    static const char *const bad[] = {"\x80",         "\xc0\x80",         "\xc3",
                                      "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xff",
                                      "\xe2\x82",     "\xf0\x80\x80\x80"};
    char text[100];
    for (usize where = 0; where < 70; where++) {
        for (usize i = 0; i < ARRAY_COUNT(good) + ARRAY_COUNT(bad); i++) {
            bool is_good = i < ARRAY_COUNT(good);
            const char *piece = is_good ? good[i] : bad[i - ARRAY_COUNT(good)];
            memset(text, 'a', sizeof text);
            memcpy(text + where, piece, strlen(piece));
            margin_batch_clear(made);
            add_event();
            margin_batch_text(made, WIRE_TEXT_KEY, (struct slice){text, 80});
            usize mapped;
            char *base;
            struct decode_error error;
            enum err err = decode(payload_of(&mapped, &base), &error);
            cr_assert_eq(err, is_good ? ERR_OK : ERR_INVALID, "piece %zu at %zu", i, where);
            munmap(base, mapped);
        }
    }
    margin_batch_clear(made); /* a sequence that two texts share is in neither of them */
    add_event();
    margin_batch_text(made, WIRE_TEXT_KEY, SLICE("a\xc3"));
    add_event();
    margin_batch_text(made, WIRE_TEXT_KEY, SLICE("\xa9z"));
    usize mapped;
    char *base;
    struct decode_error error;
    cr_expect_eq(decode(payload_of(&mapped, &base), &error), ERR_INVALID);
    margin_batch_free(made);
}

Test(native, survives_damage_of_every_byte) {
    made = margin_batch_create();
    for (u32 i = 0; i < 5; i++) {
        add_event();
        add_text(WIRE_TEXT_KEY, "k");
        add_text(WIRE_TEXT_COST_UNIT, "eur");
        margin_batch_number(made, WIRE_NUM_INPUT, 5);
        margin_batch_number(made, WIRE_NUM_TIME, NOW);
    }
    usize mapped;
    char *base;
    struct slice payload = payload_of(&mapped, &base);
    char *bytes = base + (payload.data - base);
    struct decode_error error;
    for (usize i = 0; i < payload.bytes; i++) {
        char before = bytes[i];
        for (u32 value = 0; value < 256; value += i < 200 ? 1 : 51) {
            bytes[i] = (char)value;
            enum err err = decode(payload, &error);
            cr_assert(err == ERR_OK || err == ERR_INVALID);
            cr_assert(err == ERR_OK || error.position <= payload.bytes);
            cr_assert(err == ERR_INVALID || result.sent <= 5);
        }
        bytes[i] = before;
    }
    for (usize bytes_kept = 0; bytes_kept < payload.bytes; bytes_kept++) {
        struct slice cut = {payload.data + payload.bytes - bytes_kept, bytes_kept};
        cr_assert_eq(decode(cut, &error), ERR_INVALID, "the last %zu bytes are no batch",
                     bytes_kept);
    }
    munmap(base, mapped);
    margin_batch_free(made);
}
