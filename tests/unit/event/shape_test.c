/* shape_test.c: which events are read by prediction, and what only looks like one of them. */
#include "event/decoder.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW_MS ((i64)1777700000000)
#define BODY_MAX (64 * KIB)
#define REQUIRED "\"eventName\":\"name\",\"customerReferenceId\":\"c\",\"featureKey\":\"f\""

struct side {
    struct decoder *decoder;
    struct event_batch *batch;
    struct decode_result *result;
};

static char memory[BODY_MAX + EVENT_TEXT_PADDING];

static struct side create_side(const struct scan_kernel *scan) {
    struct side side = {NULL, calloc(1, sizeof *side.batch), calloc(1, sizeof *side.result)};
    cr_assert_eq(decoder_create(1, &side.decoder), ERR_OK);
    decoder_configure(side.decoder, scan, true);
    buf_init(&side.result->messages, MIB);
    return side;
}

static void destroy_side(struct side *side) {
    decoder_destroy(side->decoder);
    buf_free(&side->result->messages);
    free(side->batch);
    free(side->result);
}

/* Decodes the first bytes of the memory. */
static enum err decode(struct side *side, usize bytes) {
    struct decode_error error;
    side->batch->text = memory;
    side->batch->text_bytes = (u32)bytes;
    side->batch->text_bytes_max = BODY_MAX;
    side->batch->count = 0;
    enum err err = decode_ingest(side->decoder, side->batch, (struct text_ref){0, (u32)bytes},
                                 NOW_MS, side->result, &error);
    cr_assert(err != ERR_INVALID || error.position <= bytes);
    return err;
}

static usize put_event(const char *members) {
    return (usize)snprintf(memory, BODY_MAX, "{\"events\":[{" REQUIRED ",%s}]}", members);
}

/* Decodes one event; whether it was accepted, and by prediction. */
static bool is_predicted(struct side *side, const char *members) {
    u64 hits = side->decoder->predictor.hits;
    cr_assert_eq(decode(side, put_event(members)), ERR_OK, "%s", members);
    return side->decoder->predictor.hits > hits;
}

static void each_kernel(void (*test)(struct side *)) {
    const struct scan_kernel *kernels[SCAN_KERNELS_MAX];
    u32 count = scan_list(kernels);
    for (u32 i = 0; i < count; i++) {
        struct side side = create_side(kernels[i]);
        test(&side);
        destroy_side(&side);
    }
}

/* Once each form has come, all are foreseen, in whatever order they come again. */
static void test_forms(struct side *side) {
    static const char *const forms[] = {
        "\"model\":\"m\",\"inputTokens\":12,\"costAmount\":0.25",
        "\"model\":\"m\",\"inputTokens\":12",
        "\"model\":\"m\",\"inputTokens\":12,\"costAmount\":null",
        "\"model\":\"m\",\"inputTokens\":12,\"costAmount\":-3",
        "\"model\":null,\"inputTokens\":12,\"costAmount\":0.25",
        "\"inputTokens\":12,\"costAmount\":0.25",
        "\"costAmount\":0.25,\"properties\":{\"a\":[1,-2,{\"b\":\"c\"}],\"d\":5}",
        "\"costAmount\":0.25,\"properties\":{\"a\":[1,-2,{\"b\":7}],\"d\":5}",
        "\"a name that is longer than what is compared at once\":true,\"meta\":{\"x\":\"y\"}",
        "\"a name that is longer than what is compared at once\":false,\"meta\":{\"x\":\"y\"}",
    };
    for (u32 i = 0; i < ARRAY_COUNT(forms); i++) {
        side->decoder->predictor.credit = 64; /* as after many matches */
        cr_assert(!is_predicted(side, forms[i]), "%s", forms[i]);
    }
    for (u32 i = 0; i < 400; i++) {
        const char *form = forms[i * i * 7 % 11 % ARRAY_COUNT(forms)];
        cr_assert(is_predicted(side, form) && side->batch->count == 1, "%s", form);
    }
    cr_assert(is_predicted(side, "\"model\":\"m\",\"inputTokens\":3e2,\"costAmount\":0.00012345"));
    cr_assert_eq(side->batch->number[NUM_INPUT][0], 300);
    cr_assert_eq(side->batch->number[NUM_COST][0], 123450000);
}

Test(shape, forms) {
    each_kernel(test_forms);
}

/* What lies behind a body is not part of it, even if it would make an event whole. */
static void test_cut(struct side *side) {
    const char *members = "\"inputTokens\":12,\"x\":\"a long text of an unknown member\","
                          "\"timestamp\":\"2026-05-01T10:00:00.000Z\",\"meta\":{\"k\":\"v\"}";
    is_predicted(side, members);
    cr_assert(is_predicted(side, members));
    usize bytes = put_event(members);
    for (usize cut = 0; cut < bytes; cut++) {
        side->decoder->predictor.rest = 0;
        cr_assert_eq(decode(side, cut), ERR_INVALID, "%zu", cut);
    }
    cr_assert_eq(decode(side, bytes), ERR_OK);
}

Test(shape, cut) {
    each_kernel(test_cut);
}

/* As long as usual, with the right bytes behind it, and yet another value. */
static void test_values(struct side *side) {
    is_predicted(side, "\"model\":\"abcd\",\"meta\":{\"k\":\"v\"},\"inputTokens\":12");
    cr_assert(is_predicted(side, "\"model\":\"dcba\",\"meta\":{\"k\":\"w\"},\"inputTokens\":13"));
    static const char *const wrong[] = {
        "\"model\":\"a\"cd\",\"meta\":{\"k\":\"v\"},\"inputTokens\":12",
        "\"model\":\"ab\\\",\"meta\":{\"k\":\"v\"},\"inputTokens\":12",
        "\"model\":\"a\ncd\",\"meta\":{\"k\":\"v\"},\"inputTokens\":12",
        "\"model\":\"a\xffzz\",\"meta\":{\"k\":\"v\"},\"inputTokens\":12",
        "\"model\":\"abcd\",\"meta\":{\"k\":\"v\"},\"inputTokens\":012",
        "\"model\":\"abcd\",\"meta\":{\"k\":\"v\"},\"inputTokens\":1.",
    };
    for (u32 i = 0; i < ARRAY_COUNT(wrong); i++) {
        side->decoder->predictor.rest = 0;
        cr_assert_eq(decode(side, put_event(wrong[i])), ERR_INVALID, "%s", wrong[i]);
    }
    char text[EVENT_META_MAX + 100];
    for (usize bytes = EVENT_META_MAX - 10; bytes < EVENT_META_MAX; bytes++) {
        int used = snprintf(text, sizeof text, "\"model\":\"abcd\",\"meta\":{\"k\":\"");
        memset(text + used, 'v', bytes);
        snprintf(text + used + bytes, 40, "\"},\"inputTokens\":12");
        u32 count = bytes + strlen("{\"k\":\"\"}") <= EVENT_META_MAX;
        cr_assert_eq(is_predicted(side, text), count == 1, "%zu", bytes);
        cr_assert_eq(side->batch->count, count, "%zu", bytes);
    }
}

Test(shape, values) {
    each_kernel(test_values);
}
