/* decoder.h: what a decoder keeps between bodies; shared by the files that decode and their tests.
 */
#ifndef MARGIN_EVENT_DECODER_H
#define MARGIN_EVENT_DECODER_H

#include "event/bodies.h"
#include "event/decode.h"
#include "event/digest.h"
#include "event/fields.h"
#include "event/shape.h"

#define DECODE_DEPTH_BODY (JSON_DEPTH_MAX - 1)  /* left for members of the body */
#define DECODE_DEPTH_EVENT (JSON_DEPTH_MAX - 3) /* left for members of an event: {[{ */

struct decoder {
    const struct scan_kernel *scan;
    struct digest_keys digest_keys;
    struct field_table ingest;
    struct field_table capture; /* the same, and the bodies */
    struct field_table client;
    struct field_table cost_input;
    u16 change[INGEST_EVENTS_MAX]; /* draft.change of each event accepted */
    bool captures;                 /* the bodies of the events decoded now are kept */
    u32 body_count;
    struct body_note bodies[INGEST_EVENTS_MAX];
    bool indexes; /* objects are read by the list of their quotes, if that goes */
    struct json_index index;
    struct time_cache times;
    struct predictor predictor;
};

/* Whether event fields may be read by prediction, and with which kernel: for tests and benchmarks,
 * which compare them. The default is prediction with the best kernel; only with vector kernels is
 * the index used. */
void decoder_configure(struct decoder *decoder, const struct scan_kernel *scan, bool predict);

/* members_read, by the index if possible. */
bool decoder_members(struct decoder *decoder, struct json_cursor *cursor,
                     const struct field_table *table, u32 depth_room, struct members *members);

/* The `events` array of one body on its way into the batch. */
struct ingest_run {
    struct decoder *decoder;
    struct event_batch *batch;
    struct json_cursor cursor;
    i64 now_ms;
    struct decode_result *result;
    usize settle_bytes; /* free text that settling will need */
    bool changes;       /* some event has something to settle */
};

#endif
