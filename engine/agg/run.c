/* run.c: a sorted array. */
#include "agg/run.h"

#include <string.h>

#define ENTRIES_MIN 8

u32 run_lower_bound(const struct run *run, u32 bucket) {
    u32 low = 0;
    u32 high = run->count;
    while (low < high) {
        u32 middle = low + (high - low) / 2;
        if (run_bucket(run, middle) < bucket) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

u32 run_find(const struct run *run, u32 bucket) {
    u32 place = run_lower_bound(run, bucket);
    return place < run->count && run_bucket(run, place) == bucket ? run_number(run, place) : 0;
}

static bool resize(struct run *run, struct heap *heap, u32 capacity) {
    u64 *entries = heap_take(heap, capacity * sizeof *entries);
    if (entries == NULL) {
        return false;
    }
    if (run->count > 0) {
        memcpy(entries, run->entries, run->count * sizeof *entries);
    }
    heap_give(heap, run->entries, run->capacity * sizeof *entries);
    run->entries = entries;
    run->capacity = capacity;
    return true;
}

bool run_insert(struct run *run, struct heap *heap, u32 bucket, u32 number) {
    if (run->count == run->capacity &&
        !resize(run, heap, MAX(run->capacity * 2, (u32)ENTRIES_MIN))) {
        return false;
    }
    u32 place = run->count;
    if (place > 0 && run_bucket(run, place - 1) >= bucket) {
        place = run_lower_bound(run, bucket);
        check(run_bucket(run, place) != bucket);
        memmove(run->entries + place + 1, run->entries + place,
                (run->count - place) * sizeof *run->entries);
    }
    run->entries[place] = (u64)bucket << 32 | number;
    run->count++;
    return true;
}

void run_drop(struct run *run, struct heap *heap, u32 count) {
    if (count == 0) {
        return;
    }
    memmove(run->entries, run->entries + count, (run->count - count) * sizeof *run->entries);
    run->count -= count;
    if (run->count == 0) {
        heap_give(heap, run->entries, run->capacity * sizeof *run->entries);
        *run = (struct run){0};
    }
}
