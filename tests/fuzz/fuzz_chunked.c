/* fuzz_chunked.c: the chunked decoder must say the same of the whole input and of its single bytes.
 */
#include <string.h>

#include "http/chunked.h"

#define PAYLOAD_MAX (64 * KIB)

struct outcome {
    enum http_chunked_answer answer;
    usize used;
    usize payload_bytes;
    char payload[PAYLOAD_MAX];
};

static void decode(const char *data, usize bytes, usize step, struct outcome *outcome) {
    struct http_chunked chunked = {0};
    outcome->answer = CHUNKED_MORE;
    outcome->used = 0;
    outcome->payload_bytes = 0;
    while (outcome->used < bytes && outcome->answer != CHUNKED_DONE) {
        usize part = MIN(step, bytes - outcome->used);
        usize consumed = 0;
        struct slice payload;
        outcome->answer =
            http_chunked_read(&chunked, data + outcome->used, part, &consumed, &payload);
        if (outcome->answer == CHUNKED_MALFORMED) {
            return;
        }
        check(consumed > 0 && consumed <= part);
        outcome->used += consumed;
        if (outcome->answer == CHUNKED_PAYLOAD) {
            check(payload.data >= data && payload.data + payload.bytes <= data + outcome->used);
            memcpy(outcome->payload + outcome->payload_bytes, payload.data, payload.bytes);
            outcome->payload_bytes += payload.bytes;
        }
    }
    if (outcome->answer == CHUNKED_PAYLOAD) {
        outcome->answer = CHUNKED_MORE;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct outcome whole;
    static struct outcome slow;
    if (size > PAYLOAD_MAX) {
        return 0;
    }
    decode((const char *)data, size, size, &whole);
    decode((const char *)data, size, 1, &slow);
    check(whole.answer == slow.answer);
    if (whole.answer != CHUNKED_MALFORMED) {
        check(whole.used == slow.used && whole.payload_bytes == slow.payload_bytes);
        check(memcmp(whole.payload, slow.payload, whole.payload_bytes) == 0);
    }
    return 0;
}
