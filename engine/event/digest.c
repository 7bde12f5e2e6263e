/*
 * digest.c: see digest.h. The digest is a sum of products: each 8 bytes of a text and each number
 * is multiplied with an odd word that depends on the seed and the field, and the upper half of the
 * sum counts (multiply-shift hashing: Dietzfelbinger, Hagerup, Katajainen and Penttonen, "A
 * reliable randomized algorithm for the closest-pair problem", 1997). No field waits for another,
 * so the processor overlaps them. Texts past 16 bytes are first folded down to 16.
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

/* A text of more than 16 bytes. 16 bytes a step; the last step takes the last 16 bytes, some of
 * them again. */
static __attribute__((noinline)) u64 hash_long_text(const char *at, usize bytes, u64 low_key,
                                                    u64 high_key) {
    if (bytes > SHORT_TEXT_MAX) {
        return hash64(at, bytes, low_key);
    }
    u64 state = low_key + bytes;
    for (usize i = 0; i + 16 < bytes; i += 16) {
        state = fold(load64(at + i) ^ state, load64(at + i + 8) ^ high_key);
    }
    return fold(load64(at + bytes - 16) ^ state, load64(at + bytes - 8) ^ high_key);
}

/* Of a text of up to 16 bytes the bytes behind it count as 0 (padding lies there, so they can be
 * loaded; a text holds no NUL, so lengths need no telling apart). Lengths vary from event to event:
 * a mask costs less than wrong guesses. */
static inline u64 hash_text(const char *at, usize bytes, u64 low_key, u64 high_key) {
    static const u8 masks[32] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    if (unlikely(bytes > 16)) {
        return hash_long_text(at, bytes, low_key, high_key);
    }
    const char *mask = (const char *)masks + 16 - bytes;
    return (load64(at) & load64(mask)) * low_key + (load64(at + 8) & load64(mask + 8)) * high_key;
}

u64 digest_text(const char *at, usize bytes, u64 low_key, u64 high_key) {
    return hash_text(at, bytes, low_key, high_key);
}

void digest_keys_make(u64 seed, struct digest_keys *out) {
    for (u32 i = 0; i < TEXT_COUNT + NUM_COUNT; i++) {
        out->low[i] = hash_mix(seed + 2 * (u64)i + 1) | 1;
        out->high[i] = hash_mix(~seed + 2 * (u64)i + 2) | 1;
    }
}

static u32 digest_event(const struct event_batch *batch, u32 row, const struct digest_keys *keys) {
    u32 present = batch->present[row] & ~TEXT_BIT(TEXT_KEY);
    if ((batch->flags[row] & EVENT_FLAG_TIME_DEFAULT) != 0) {
        present &= ~NUM_BIT(NUM_TIME);
    }
    u64 sum = 0;
    for (u32 texts = present & 0xffff; texts != 0; texts &= texts - 1) {
        u32 column = (u32)__builtin_ctz(texts);
        struct text_ref ref = batch->ref[column][row];
        const char *text = batch->text + ref.offset;
        sum += hash_text(text, ref.bytes, keys->low[column], keys->high[column]);
    }
    for (u32 numbers = present >> 16; numbers != 0; numbers &= numbers - 1) {
        u32 column = (u32)__builtin_ctz(numbers);
        u64 value = (u64)batch->number[column][row];
        /* The sum tells a number that is 0 from one that is not there. */
        sum += (value ^ keys->high[TEXT_COUNT + column]) * keys->low[TEXT_COUNT + column];
    }
    return (u32)(hash_mix(sum) >> 32);
}

void event_digest(struct event_batch *batch, u32 first, u32 count, const struct digest_keys *keys,
                  const struct scan_kernel *scan) {
    check(first + count <= EVENT_BATCH_MAX);
    u32 done = 0;
#if defined(__x86_64__)
    done = scan == &scan_avx512 ? digest_rows_avx512(batch, first, count, keys) : 0;
#endif
    (void)scan;
    for (u32 row = first + done; row < first + count; row++) {
        batch->digest[row] = digest_event(batch, row, keys);
    }
}

/* --- by columns ------------------------------------------------------------------------------- */

struct columns {
    struct event_batch *batch;
    const struct digest_keys *keys;
    u32 any; /* fields that some event has */
    u32 all; /* and those that each has */
    u64 sum[EVENT_BATCH_MAX];
};

/* What the event has of a field: all ones or zero. */
static inline u64 mask_of(const struct event_batch *batch, u32 row, u32 bit) {
    return -(u64)((batch->present[row] & bit) != 0);
}

static void add_dict(struct columns *columns, u32 column, const struct dict *dict) {
    const struct event_batch *batch = columns->batch;
    u64 share[WIRE_EVENTS_MAX];
    for (u32 i = 0; i < dict->entries; i++) {
        struct text_ref ref = dict->ref[i];
        share[i] = hash_text(batch->text + ref.offset, ref.bytes, columns->keys->low[column],
                             columns->keys->high[column]);
    }
    if ((columns->all & TEXT_BIT(column)) != 0) {
        for (u32 row = 0; row < batch->count; row++) {
            columns->sum[row] += share[dict_entry(dict, row)];
        }
        return;
    }
    for (u32 row = 0; row < batch->count; row++) {
        columns->sum[row] +=
            (batch->present[row] & TEXT_BIT(column)) != 0 ? share[dict_entry(dict, row)] : 0;
    }
}

static void add_texts(struct columns *columns, u32 column) {
    const struct event_batch *batch = columns->batch;
    for (u32 row = 0; row < batch->count; row++) {
        if ((batch->present[row] & TEXT_BIT(column)) != 0) {
            struct text_ref ref = batch->ref[column][row];
            columns->sum[row] += hash_text(batch->text + ref.offset, ref.bytes,
                                           columns->keys->low[column], columns->keys->high[column]);
        }
    }
}

static void add_numbers(struct columns *columns, u32 column) {
    const struct event_batch *batch = columns->batch;
    const i64 *value = batch->number[column];
    u64 low = columns->keys->low[TEXT_COUNT + column];
    u64 high = columns->keys->high[TEXT_COUNT + column];
    if ((columns->all & NUM_BIT(column)) != 0 && column != NUM_TIME) {
        for (u32 row = 0; row < batch->count; row++) {
            columns->sum[row] += ((u64)value[row] ^ high) * low;
        }
        return;
    }
    for (u32 row = 0; row < batch->count; row++) {
        u64 mask = mask_of(batch, row, NUM_BIT(column));
        if (column == NUM_TIME) {
            mask &= -(u64)((batch->flags[row] & EVENT_FLAG_TIME_DEFAULT) == 0);
        }
        columns->sum[row] += (((u64)value[row] ^ high) * low) & mask;
    }
}

void event_digest_dicts(struct event_batch *batch, const struct dicts *dicts,
                        const struct digest_keys *keys) {
    if (!dicts->good) {
        event_digest(batch, 0, batch->count, keys, scan_best());
        return;
    }
    struct columns columns = {.batch = batch, .keys = keys, .all = UINT32_MAX};
    for (u32 row = 0; row < batch->count; row++) {
        columns.any |= batch->present[row];
        columns.all &= batch->present[row];
    }
    columns.any &= ~TEXT_BIT(TEXT_KEY);
    for (u32 texts = columns.any & 0xffff; texts != 0; texts &= texts - 1) {
        u32 column = (u32)__builtin_ctz(texts);
        if (column < DICTS_TEXTS && dicts->text[column].entries > 0) {
            add_dict(&columns, column, &dicts->text[column]);
        } else {
            add_texts(&columns, column);
        }
    }
    for (u32 numbers = columns.any >> 16; numbers != 0; numbers &= numbers - 1) {
        add_numbers(&columns, (u32)__builtin_ctz(numbers));
    }
    for (u32 row = 0; row < batch->count; row++) {
        batch->digest[row] = (u32)(hash_mix(columns.sum[row]) >> 32);
    }
}
