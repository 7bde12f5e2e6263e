/* batch.h: operations on whole rows of an event batch. */
#ifndef MARGIN_EVENT_BATCH_H
#define MARGIN_EVENT_BATCH_H

#include "event.h"

/* Takes one row out; those behind it move up. Costs a pass over every column: for rare cases. */
void batch_remove(struct event_batch *batch, u32 row);

#endif
