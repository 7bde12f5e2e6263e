/*
 * digest.c: see digest.h. Each field is multiplied, 64 x 64 to 128 bits, with words that depend on
 * the seed and the field, and the folded products are added up: no field waits for another, so the
 * processor overlaps them. The technique of folded multiplication is that of Wang Yi's wyhash. Long
 * texts go to the ordinary hash.
 */
#include "event/digest.h"

#include "base/hash.h"

#include <string.h>

#define SHORT_TEXT_MAX 64

static inline u64 fold(u64 a, u64 b) {
    u128 product = (u128)a * b;
    return (u64)product ^ (u64)(product >> 64);
}

static inline u64 load64(const char *at) {
    u64 word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* 16 bytes a step; of the last step's 16 those behind the text count as 0 (padding lies there, so
 * they can be loaded). Lengths vary from event to event: masks cost less than wrong guesses. */
static inline u64 hash_text(const char *at, usize bytes, u64 low_key, u64 high_key) {
    static const u8 masks[32] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    u64 length = bytes;
    for (; unlikely(bytes > 16); at += 16, bytes -= 16) {
        low_key = fold(load64(at) ^ low_key, load64(at + 8) ^ high_key);
    }
    const char *mask = (const char *)masks + 16 - bytes;
    u64 low = load64(at) & load64(mask);
    u64 high = load64(at + 8) & load64(mask + 8);
    return fold(low ^ low_key, high ^ high_key ^ (length << 56));
}

struct keys {
    u64 low[TEXT_COUNT + NUM_COUNT];
    u64 high[TEXT_COUNT + NUM_COUNT];
};

static void make_keys(u64 seed, struct keys *keys) {
    for (u32 i = 0; i < TEXT_COUNT + NUM_COUNT; i++) {
        keys->low[i] = hash_mix(seed + 2 * (u64)i + 1);
        keys->high[i] = hash_mix(~seed + 2 * (u64)i + 2) | 1;
    }
}

static u32 digest_event(const struct event_batch *batch, u32 row, const struct keys *keys) {
    u32 present = batch->present[row] & ~TEXT_BIT(TEXT_KEY);
    if ((batch->flags[row] & EVENT_FLAG_TIME_DEFAULT) != 0) {
        present &= ~NUM_BIT(NUM_TIME);
    }
    u64 sum = 0;
    for (u32 texts = present & 0xffff; texts != 0; texts &= texts - 1) {
        u32 column = (u32)__builtin_ctz(texts);
        struct text_ref ref = batch->ref[column][row];
        const char *text = batch->text + ref.offset;
        if (likely(ref.bytes <= SHORT_TEXT_MAX)) {
            sum += hash_text(text, ref.bytes, keys->low[column], keys->high[column]);
        } else {
            sum += hash64(text, ref.bytes, keys->low[column]);
        }
    }
    for (u32 numbers = present >> 16; numbers != 0; numbers &= numbers - 1) {
        u32 column = (u32)__builtin_ctz(numbers);
        u64 value = (u64)batch->number[column][row];
        sum += fold(value ^ keys->low[TEXT_COUNT + column], keys->high[TEXT_COUNT + column]);
    }
    return (u32)(hash_mix(sum) >> 32);
}

void event_digest(struct event_batch *batch, u32 first, u32 count, u64 seed) {
    check(first + count <= EVENT_BATCH_MAX);
    struct keys keys;
    make_keys(seed, &keys);
    for (u32 row = first; row < first + count; row++) {
        batch->digest[row] = digest_event(batch, row, &keys);
    }
}
