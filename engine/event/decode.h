/*
 * decode.h: JSON bodies of the two ingest endpoints straight into event columns, with every
 * validation rule of the API (Observe 2.1, 3). What does not decode as a whole (malformed JSON, no
 * `events` array, too many events) is refused with a position; a bad event inside a good body is
 * left out of the columns and listed by its index.
 *
 * Filled for each event: present, number, ref, source (SOURCE_SDK), granularity, flags, created,
 * digest, cost_source (COST_EXPLICIT or COST_NONE), revenue_source (REVENUE_EXPLICIT or
 * REVENUE_NONE), series (SERIES_UNRESOLVED). Left for later steps: provider inference, computed
 * cost, attribution, series, key_hash, id.
 */
#ifndef MARGIN_EVENT_DECODE_H
#define MARGIN_EVENT_DECODE_H

#include "base/buf.h"
#include "event.h"

struct decoder; /* scratch memory and learned shapes; one a front thread */

/* `digest_seed` is the installation's; decoding fills the digests. Errors: ERR_NO_MEMORY. */
enum err decoder_create(u64 digest_seed, struct decoder **out);
void decoder_destroy(struct decoder *decoder);

/* Whether what is decoded from now on keeps requestBody and responseBody (event/bodies.h); off at
 * first, and then they are as unknown members: nothing is spent on them. */
void decoder_capture(struct decoder *decoder, bool on);

/* Why a whole body was refused. */
struct decode_error {
    usize position;   /* byte offset in the body */
    const char *text; /* static */
};

struct event_reject {
    u32 index;               /* position in the request's `events` */
    struct text_ref message; /* in decode_result.messages */
};

struct decode_result {
    u32 sent;  /* events in the request */
    u32 first; /* the events that decoded are first .. first + count - 1 of the batch */
    u32 count;
    u32 reject_count;
    struct event_reject rejects[EVENT_ERRORS_MAX];
    struct buf messages; /* caller inits (bytes_max) and frees; cleared by decode */
};

/* Decodes {"events":[...]} at `body` of batch->text (EVENT_TEXT_PADDING readable bytes behind it;
 * the bytes are changed in place) and appends to the batch. `now_ms` is the time of receipt.
 * ERR_INVALID: *error is set. ERR_LIMIT: the batch has no room for the events, or its text (from
 * text_bytes to text_bytes_max) none for normalised meta: start another batch and try again; an
 * empty batch with 5/4 of body.bytes of free text always has room. ERR_NO_MEMORY: no memory for
 * messages. After an error the batch and the body are as before. */
enum err decode_ingest(struct decoder *decoder, struct event_batch *batch, struct text_ref body,
                       i64 now_ms, struct decode_result *result, struct decode_error *error);

/* Decodes the body of the single-event endpoint (section 3). `key` is the X-Idempotency-Key header
 * or empty; where both are absent the event gets no key. Customer and feature ids become
 * TEXT_CUSTOMER/TEXT_FEATURE by the order of that section; Platform ids go to TEXT_REFS. Exactly
 * one event is appended, or ERR_INVALID with *error, or ERR_LIMIT as above (here 8 KiB of free text
 * always suffice). */
enum err decode_client_event(struct decoder *decoder, struct event_batch *batch,
                             struct text_ref body, struct slice key, i64 now_ms,
                             struct decode_error *error);

/* Appends bytes to the batch's text; ERR_LIMIT if there is no room. */
enum err batch_add_text(struct event_batch *batch, struct slice text, struct text_ref *out);

#endif
