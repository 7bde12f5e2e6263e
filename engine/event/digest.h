/*
 * digest.h: 32 bits over what an event says (every given field but the key, whatever the order or
 * spacing of the JSON), kept beside the key to tell a true repeat from a conflicting one.
 */
#ifndef MARGIN_EVENT_DIGEST_H
#define MARGIN_EVENT_DIGEST_H

#include "event/dicts.h"

/* Fills batch->digest[first .. first + count). Runs after decoding and before pricing. A time that
 * EVENT_FLAG_TIME_DEFAULT marks is not payload. At least 16 readable bytes follow every text. */
void event_digest(struct event_batch *batch, u32 first, u32 count, u64 seed);
/* The same of all events of a native batch, a column at a time. */
void event_digest_dicts(struct event_batch *batch, const struct dicts *dicts, u64 seed);

#endif
