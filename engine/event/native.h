/*
 * native.h: the binary protocol's columnar batch (wire.h, "Native batch") into event columns. The
 * sender has the events as columns already, so most of decoding is copying and checking ranges a
 * column at a time; what an event may say is the same as in JSON (decode.h).
 *
 * Pure function over the payload; nothing is kept between calls, any thread.
 */
#ifndef MARGIN_EVENT_NATIVE_H
#define MARGIN_EVENT_NATIVE_H

#include "event/decode.h"
#include "event/dicts.h"

/* Decodes a batch into an empty `batch` whose text memory has room for payload.bytes. The function
 * is a front_fill (pipeline.h). Filled as in decode.h, except `digest`: the caller runs
 * event_digest_dicts() with the installation's seed. `dicts` says where the texts stand; it lasts
 * as long as payload and batch. ERR_INVALID: the batch as a whole is malformed,
 * *error says where; ERR_NO_MEMORY: no memory for messages. Of the refused events the first
 * EVENT_ERRORS_MAX are listed in `result`; result->sent - result->count is how many there are. */
enum err native_decode(struct event_batch *batch, struct slice payload, i64 now_ms,
                       struct dicts *dicts, struct decode_result *result,
                       struct decode_error *error);

#endif
