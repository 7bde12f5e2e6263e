/* generated.h: events of the generator as rows of a batch, for what measures storage without the
 * path before it. */
#ifndef MARGIN_TESTS_GENERATED_H
#define MARGIN_TESTS_GENERATED_H

#include "event.h"
#include "tools/client/generate.h"

/* Writes the row as the path hands it over: decoded, priced, its series found. `number` tells
 * payload digests apart. The key goes behind the batch's text, which must have room for it. */
void generated_put(struct event_batch *batch, u32 row, const struct generated_event *event,
                   u64 number, u32 series);

#endif
