/*
 * fuzz_decode.c: any bytes as an ingest body and as a single event. Decoders with prediction, with
 * every kernel, must give the answer of the plain scalar reader, cell by cell. The first byte asks
 * for the input to be repeated inside one array, so that the shape learned from it meets it again.
 * Between inputs the decoders forget, so that a finding can be repeated.
 */
#include <stdlib.h>
#include <string.h>

#include "event/decoder.h"

#define INPUT_MAX (64 * KIB)
#define SLACK (24 * KIB)
#define NOW_MS ((i64)1777700000000)

struct side {
    struct decoder *decoder;
    struct event_batch batch;
    struct decode_result result;
    struct decode_error error;
    enum err err;
};

static struct side *sides[SCAN_KERNELS_MAX + 1];
static u32 side_count;

static void make_side(const struct scan_kernel *scan, bool predict) {
    struct side *side = calloc(1, sizeof *side);
    check(side != NULL && decoder_create(7, &side->decoder) == ERR_OK);
    decoder_configure(side->decoder, scan, predict);
    buf_init(&side->result.messages, MIB);
    sides[side_count++] = side;
}

static void make_sides(void) {
    const struct scan_kernel *kernels[SCAN_KERNELS_MAX];
    u32 count = scan_list(kernels);
    make_side(&scan_scalar, false);
    for (u32 i = 0; i < count; i++) {
        make_side(kernels[i], true);
    }
}

static bool same_slice(struct slice a, struct slice b) {
    return a.bytes == b.bytes && (a.bytes == 0 || memcmp(a.data, b.data, a.bytes) == 0);
}

static void compare_row(const struct event_batch *a, const struct event_batch *b, u32 row) {
    check(a->present[row] == b->present[row]);
    for (u32 column = 0; column < TEXT_COUNT; column++) {
        check(same_slice(event_text_of(a, row, (enum event_text)column),
                         event_text_of(b, row, (enum event_text)column)));
    }
    for (u32 column = 0; column < NUM_COUNT; column++) {
        check(!event_has_number(a, row, (enum event_number)column) ||
              a->number[column][row] == b->number[column][row]);
    }
    check(a->flags[row] == b->flags[row] && a->digest[row] == b->digest[row] &&
          a->cost_source[row] == b->cost_source[row] &&
          a->revenue_source[row] == b->revenue_source[row]);
}

static void compare(const struct side *a, const struct side *b) {
    check(a->err == b->err);
    if (a->err != ERR_OK) {
        check(a->err != ERR_INVALID ||
              (a->error.position == b->error.position && a->error.text == b->error.text));
        return;
    }
    check(a->batch.count == b->batch.count && a->result.sent == b->result.sent &&
          a->result.reject_count == b->result.reject_count);
    check(same_slice(buf_slice(&a->result.messages), buf_slice(&b->result.messages)));
    for (u32 row = 0; row < a->batch.count; row++) {
        compare_row(&a->batch, &b->batch, row);
    }
}

static void check_row(const struct event_batch *batch, u32 row) {
    for (u32 column = 0; column < TEXT_COUNT; column++) {
        struct slice text = event_text_of(batch, row, (enum event_text)column);
        check(text.bytes == 0 || (text.data >= batch->text &&
                                  text.data + text.bytes <= batch->text + batch->text_bytes));
        check(scan_scalar.utf8_prefix(text.data, text.bytes) == text.bytes);
        check(text.bytes == 0 || memchr(text.data, 0, text.bytes) == NULL);
    }
    check(event_has_number(batch, row, NUM_TIME) && event_has_number(batch, row, NUM_USAGE));
}

/* Runs one side on a copy that ends where its padding ends. */
static void run_side(struct side *side, const char *body, usize bytes, bool single) {
    usize room = bytes + SLACK;
    char *text = malloc(room + EVENT_TEXT_PADDING);
    check(text != NULL);
    memcpy(text, body, bytes);
    memset(text + bytes, '"', SLACK + EVENT_TEXT_PADDING);
    side->batch.text = text;
    side->batch.text_bytes = (u32)bytes;
    side->batch.text_bytes_max = (u32)room;
    side->batch.count = 0;
    struct text_ref ref = {0, (u32)bytes};
    if (single) {
        side->err = decode_client_event(side->decoder, &side->batch, ref, SLICE("key"), NOW_MS,
                                        &side->error);
        side->result.sent = 1;
        side->result.reject_count = 0;
        buf_clear(&side->result.messages);
    } else {
        side->err =
            decode_ingest(side->decoder, &side->batch, ref, NOW_MS, &side->result, &side->error);
    }
    check(side->err == ERR_OK || side->batch.count == 0);
    check(side->err != ERR_INVALID || side->error.position <= bytes);
    for (u32 row = 0; side->err == ERR_OK && row < side->batch.count; row++) {
        check_row(&side->batch, row);
    }
}

static void run_each(const char *body, usize bytes, bool single, bool captures) {
    for (u32 i = 0; i < side_count; i++) {
        decoder_capture(sides[i]->decoder, captures);
        run_side(sides[i], body, bytes, single);
        if (i > 0) {
            compare(sides[0], sides[i]);
        }
    }
    for (u32 i = 0; i < side_count; i++) {
        free(sides[i]->batch.text);
    }
}

/* With bodies kept at last, when shapes have been learned without. */
static void run_all(const char *body, usize bytes, bool single) {
    run_each(body, bytes, single, false);
    if (!single) {
        run_each(body, bytes, false, true);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (side_count == 0) {
        make_sides();
    }
    if (size < 2 || size > INPUT_MAX / 4) {
        return 0;
    }
    for (u32 i = 1; i < side_count; i++) {
        decoder_configure(sides[i]->decoder, sides[i]->decoder->scan, true);
    }
    const char *input = (const char *)data + 1;
    usize bytes = size - 1;
    if (data[0] == 'c') {
        run_all(input, bytes, true);
        return 0;
    }
    if (data[0] != 'r') {
        run_all(input, bytes, false);
        return 0;
    }
    /* {"events":[input,input,input]} */
    char *body = malloc(INPUT_MAX);
    check(body != NULL);
    usize used = 0;
    for (u32 i = 0; i < 3; i++) {
        const char *before = i == 0 ? "{\"events\":[" : ",";
        memcpy(body + used, before, strlen(before));
        used += strlen(before);
        memcpy(body + used, input, bytes);
        used += bytes;
    }
    memcpy(body + used, "]}", 2);
    run_all(body, used + 2, false);
    free(body);
    return 0;
}
