/* generated.c: see the header. */
#include "tests/support/generated.h"

#include <string.h>

void generated_put(struct event_batch *batch, u32 row, const struct generated_event *event,
                   u64 number, u32 series) {
    batch->present[row] = TEXT_BIT(TEXT_KEY) | NUM_BIT(NUM_TIME) | NUM_BIT(NUM_COST) |
                          NUM_BIT(NUM_REVENUE) | NUM_BIT(NUM_USAGE) | NUM_BIT(NUM_INPUT) |
                          NUM_BIT(NUM_OUTPUT) | NUM_BIT(NUM_DURATION);
    batch->series[row] = series;
    batch->created[row] = event->time_ms / 1000 * 1000;
    batch->cost_source[row] = COST_PRICE_TABLE;
    batch->revenue_source[row] = REVENUE_EXPLICIT;
    batch->digest[row] = (u32)((number + 1) * 0x9e3779b97f4a7c15u >> 32);
    batch->number[NUM_TIME][row] = event->time_ms;
    batch->number[NUM_COST][row] = event->input_tokens * 150000 + event->output_tokens * 600000;
    batch->number[NUM_REVENUE][row] = event->revenue_pico;
    batch->number[NUM_USAGE][row] = (event->input_tokens + event->output_tokens) * MICRO_PER_UNIT;
    batch->number[NUM_INPUT][row] = event->input_tokens;
    batch->number[NUM_OUTPUT][row] = event->output_tokens;
    batch->number[NUM_DURATION][row] = event->duration_ms;
    u32 bytes = (u32)strlen(event->key);
    memcpy(batch->text + batch->text_bytes, event->key, bytes);
    batch->ref[TEXT_KEY][row] = (struct text_ref){batch->text_bytes, bytes};
    batch->text_bytes += bytes;
}
