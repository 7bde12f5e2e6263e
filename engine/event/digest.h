/*
 * digest.h: 32 bits over what an event says (every given field but the key, whatever the order or
 * spacing of the JSON), kept beside the key to tell a true repeat from a conflicting one.
 */
#ifndef MARGIN_EVENT_DIGEST_H
#define MARGIN_EVENT_DIGEST_H

#include "event/dicts.h"
#include "json/scan.h"

/* What each field is multiplied with. Made once: an event that comes alone costs less than they do.
 */
struct digest_keys {
    u64 low[TEXT_COUNT + NUM_COUNT];
    u64 high[TEXT_COUNT + NUM_COUNT];
};

void digest_keys_make(u64 seed, struct digest_keys *out);

/* Fills batch->digest[first .. first + count). Runs after decoding and before pricing. A time that
 * EVENT_FLAG_TIME_DEFAULT marks is not payload. At least 16 readable bytes follow every text. The
 * kernel says which instructions there are; all have the same result. */
void event_digest(struct event_batch *batch, u32 first, u32 count, const struct digest_keys *keys,
                  const struct scan_kernel *scan);
/* The same of all events of a native batch, a column at a time. */
void event_digest_dicts(struct event_batch *batch, const struct dicts *dicts,
                        const struct digest_keys *keys);

/* --- of digest.c and digest_avx512.c ---------------------------------------------------------- */

/* A text's share of the sum. */
u64 digest_text(const char *at, usize bytes, u64 low_key, u64 high_key);
#if defined(__x86_64__)
/* Digests of rows from `first` on, eight at a time; how many it did. */
u32 digest_rows_avx512(struct event_batch *batch, u32 first, u32 count,
                       const struct digest_keys *keys);
#endif

#endif
