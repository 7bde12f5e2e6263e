/* batch.c: a row is a cell of every column, so taking one out moves the rest of each. */
#include "event/batch.h"

#include <string.h>

static void remove_cell(void *column, usize cell_bytes, u32 row, u32 behind) {
    char *at = (char *)column + (usize)row * cell_bytes;
    memmove(at, at + cell_bytes, (usize)behind * cell_bytes);
}

#define REMOVE(column) remove_cell((column), sizeof((column)[0]), row, behind)

void batch_remove(struct event_batch *batch, u32 row) {
    check(row < batch->count);
    u32 behind = batch->count - row - 1;
    REMOVE(batch->present);
    REMOVE(batch->series);
    REMOVE(batch->id);
    REMOVE(batch->created);
    REMOVE(batch->cost_source);
    REMOVE(batch->revenue_source);
    REMOVE(batch->source);
    REMOVE(batch->granularity);
    REMOVE(batch->flags);
    REMOVE(batch->digest);
    REMOVE(batch->key_hash);
    REMOVE(batch->packed);
    batch->packed_count -= row < batch->packed_count;
    for (u32 number = 0; number < NUM_COUNT; number++) {
        REMOVE(batch->number[number]);
    }
    for (u32 text = 0; text < TEXT_COUNT; text++) {
        REMOVE(batch->ref[text]);
    }
    batch->count--;
}
