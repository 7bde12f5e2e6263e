/* ingest_answer.h: what became of events that were sent (Observe 2.5), in one place. */
#ifndef MARGIN_API_INGEST_ANSWER_H
#define MARGIN_API_INGEST_ANSWER_H

#include "http/call.h"
#include "pipeline.h"
#include "upload/event_csv.h"

/* Writes the answer for events that went in as `count` requests of INGEST_EVENTS_MAX each but the
 * last. `csv` is where they come from, if they were rows; or NULL. */
void ingest_answer(struct http_call *call, const struct ingest *ingests, u32 count,
                   const struct event_csv *csv);

#endif
