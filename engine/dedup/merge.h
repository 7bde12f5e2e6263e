/* merge.h: what cold.c and merge.c have between them. */
#ifndef MARGIN_DEDUP_MERGE_H
#define MARGIN_DEDUP_MERGE_H

#include "dedup/cold.h"

/* A list with `run` in the place of some others (NULL: with nothing there), or as the last one
 * (count 0). NULL: no memory. */
struct cold_list *cold_list_with(const struct cold_list *list, u32 first, u32 count,
                                 struct cold_run *run);
/* Says to others what there is. */
void cold_publish(struct cold *cold);
void merge_give_up(struct cold *cold);

#endif
