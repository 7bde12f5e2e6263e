/*
 * merge.h: rewrites runs of small blocks as one segment with an index, or, while there are many
 * tiny blocks, as one larger block. Reading, coding and sorting happen beside the appends; the next
 * append takes the result into its transaction, so that merging costs no sync of its own.
 */
#ifndef MARGIN_STORAGE_MERGE_H
#define MARGIN_STORAGE_MERGE_H

#include "storage/log.h"
#include "storage/scan.h"

struct merge; /* one thread at a time */

enum err merge_create(struct log *log, scan_series_dims series_dims, void *context,
                      struct merge **out);
void merge_destroy(struct merge *merge);
/* One run, if one waits. A block that does not hold is left out of runs from then on. */
enum err merge_step(struct merge *merge, bool *did);
/* The same for blocks of which nothing is to be kept: store_drop(). */
enum err merge_drop(struct merge *merge, bool *did);
/* The same for a segment most of whose events are expired: what they were is taken out of it. Looks
 * at each once after an expiry. */
enum err merge_thin(struct merge *merge, bool *did);

#endif
