/* fuzz_native.c: arbitrary bytes as a native batch. What is accepted must keep every promise of the
 * batch: fields within their bounds, texts within the batch's memory. */
#include <stdlib.h>
#include <string.h>

#include "event/digest.h"
#include "event/native.h"
#include "event/native_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW ((i64)1780000000000)

static void check_event(const struct event_batch *batch, u32 index) {
    for (u32 text = 0; text < TEXT_COUNT; text++) {
        if (event_has_text(batch, index, (enum event_text)text)) {
            struct text_ref ref = batch->ref[text][index];
            check(ref.offset <= batch->text_bytes && ref.bytes <= batch->text_bytes - ref.offset);
            check(ref.bytes > 0);
            check(native_text_is_clean(batch->text + ref.offset, ref.bytes));
        }
    }
    for (u32 text = TEXT_EVENT_NAME; text <= TEXT_FEATURE; text++) {
        check(event_has_text(batch, index, (enum event_text)text));
    }
    check(event_has_number(batch, index, NUM_TIME) && event_has_number(batch, index, NUM_USAGE));
    check(batch->number[NUM_TIME][index] >= EVENT_TIME_MIN);
    check(batch->number[NUM_TIME][index] <= NOW + EVENT_TIME_AHEAD_MS);
    check(!event_has_number(batch, index, NUM_INPUT) || batch->number[NUM_INPUT][index] >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct event_batch batch;
    static struct decode_result result;
    static struct dicts dicts;
    char *payload = malloc(size > 0 ? size : 1);
    batch.text = malloc(size + EVENT_TEXT_PADDING);
    check(payload != NULL && batch.text != NULL);
    memcpy(payload, data, size);
    batch.count = 0;
    batch.text_bytes = 0;
    batch.text_bytes_max = (u32)size;
    buf_init(&result.messages, MIB);
    struct decode_error error;
    enum err err =
        native_decode(&batch, (struct slice){payload, size}, NOW, &dicts, &result, &error);
    if (err == ERR_OK) {
        check(result.count == batch.count && result.sent >= result.count);
        check(result.reject_count == MIN(result.sent - result.count, (u32)EVENT_ERRORS_MAX));
        for (u32 i = 0; i < batch.count; i++) {
            check_event(&batch, i);
        }
        struct digest_keys keys;
        digest_keys_make(7, &keys);
        event_digest_dicts(&batch, &dicts, &keys);
        u32 digests[EVENT_BATCH_MAX];
        memcpy(digests, batch.digest, batch.count * sizeof digests[0]);
        event_digest(&batch, 0, batch.count, &keys, scan_best());
        check(memcmp(digests, batch.digest, batch.count * sizeof digests[0]) == 0);
    } else {
        check(err == ERR_INVALID && error.position <= size && batch.count == 0);
    }
    buf_free(&result.messages);
    free(batch.text);
    free(payload);
    return 0;
}
