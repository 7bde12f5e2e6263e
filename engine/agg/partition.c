/*
 * partition.c: rows by time. A partition holds the rows of one minute, hour or day, in the order
 * in which their series first appeared, and a hash from series to row for late events and filtered
 * queries. Rows live in chunks of their width's array; a partition that is dropped gives its chunks
 * to the next.
 */
#include "agg/state.h"

#include "base/hash.h"

#include <string.h>

#define SLOTS_MIN 8
/* Slots; two would do, but until all are moved a new row is looked for twice. */
#define MOVED_A_ROW 16

void width_init(struct width_rows *width, i64 ms) {
    width->ms = ms;
    width->edge = 0;
}

u32 width_lower_bound(const struct width_rows *width, u32 bucket) {
    u32 low = 0;
    u32 high = width->count;
    while (low < high) {
        u32 middle = low + (high - low) / 2;
        if (width->list[middle]->bucket < bucket) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct partition *width_find(const struct width_rows *width, u32 bucket) {
    u32 place = width_lower_bound(width, bucket);
    if (place < width->count && width->list[place]->bucket == bucket) {
        return width->list[place];
    }
    return NULL;
}

/* Buckets whose numbers differ by more than a stamp holds may be taken for each other. */
static void width_measure(struct width_rows *width) {
    width->low = width->count == 0 ? 0 : width->list[0]->bucket;
    bool all = width->count > 0 && width->list[width->count - 1]->bucket - width->low <= UINT16_MAX;
    width->told = all ? (u32)UINT16_MAX + 1 : 0;
}

static struct partition *partition_make(struct agg *agg, enum width kind, u32 bucket, u32 place) {
    struct width_rows *width = &agg->width[kind];
    if (width->count == width->capacity) {
        u32 capacity = MAX(width->capacity * 2, 64u);
        struct partition **list = heap_take(&agg->heap, capacity * sizeof *list);
        check(list != NULL);
        if (width->count > 0) {
            memcpy(list, width->list, width->count * sizeof *list);
        }
        heap_give(&agg->heap, width->list, width->capacity * sizeof *list);
        width->list = list;
        width->capacity = capacity;
    }
    struct partition *partition = heap_take(&agg->heap, sizeof *partition);
    check(partition != NULL);
    partition->bucket = bucket;
    partition->slots = heap_take(&agg->heap, SLOTS_MIN * sizeof(u64));
    check(partition->slots != NULL);
    partition->slot_mask = SLOTS_MIN - 1;
    memmove(width->list + place + 1, width->list + place,
            (width->count - place) * sizeof *width->list);
    width->list[place] = partition;
    width->count++;
    width_measure(width);
    return partition;
}

static struct partition *partition_of(struct agg *agg, enum width kind, u32 bucket) {
    struct width_rows *width = &agg->width[kind];
    if (width->memo < width->count && width->list[width->memo]->bucket == bucket) {
        return width->list[width->memo];
    }
    u32 place = width_lower_bound(width, bucket);
    width->memo = place;
    if (place < width->count && width->list[place]->bucket == bucket) {
        return width->list[place];
    }
    return partition_make(agg, kind, bucket, place);
}

static u32 slot_find(const u64 *slots, u32 mask, u32 series) {
    u32 place = (u32)hash_mix(series) & mask;
    for (;;) {
        u64 slot = slots[place];
        if (slot == 0) {
            return 0;
        }
        if ((u32)(slot >> 32) == series + 1) {
            return (u32)slot;
        }
        place = (place + 1) & mask;
    }
}

u32 partition_find(const struct partition *partition, u32 series) {
    u32 row = slot_find(partition->slots, partition->slot_mask, series);
    if (row == 0 && unlikely(partition->old_slots != NULL)) {
        row = slot_find(partition->old_slots, partition->old_mask, series);
    }
    return row;
}

static void slot_put(struct partition *partition, u32 series, u32 row) {
    u32 place = (u32)hash_mix(series) & partition->slot_mask;
    while (partition->slots[place] != 0) {
        place = (place + 1) & partition->slot_mask;
    }
    partition->slots[place] = (u64)(series + 1) << 32 | row;
}

static void slots_give(struct agg *agg, u64 *slots, u32 mask) {
    heap_give(&agg->heap, slots, ((usize)mask + 1) * sizeof *slots);
}

/* Puts some of the old slots into the new ones; they also stay where they were, until the end. */
static void slots_move(struct agg *agg, struct partition *partition, u32 count) {
    if (likely(partition->old_slots == NULL)) {
        return;
    }
    for (u32 ahead = 0; ahead < 2 * MOVED_A_ROW; ahead++) { /* theirs and the next call's */
        u64 slot = partition->old_slots[(partition->old_next + ahead) & partition->old_mask];
        u32 place = (u32)hash_mix((slot >> 32) - 1) & partition->slot_mask;
        __builtin_prefetch(&partition->slots[place], 1);
    }
    for (; count > 0 && partition->old_next <= partition->old_mask; count--) {
        u64 slot = partition->old_slots[partition->old_next++];
        if (slot != 0) {
            slot_put(partition, (u32)(slot >> 32) - 1, (u32)slot);
        }
    }
    if (partition->old_next > partition->old_mask) {
        slots_give(agg, partition->old_slots, partition->old_mask);
        partition->old_slots = NULL;
    }
}

/* Makes room for so many rows. Where it has to grow, each row that is added from then on moves some
 * of the old slots, so that they are all moved long before it has to grow again. */
static bool slots_grow(struct agg *agg, struct partition *partition, u32 row_count) {
    u32 old_places = partition->slot_mask + 1;
    u32 places = old_places;
    while ((u64)row_count * 4 > (u64)places * 3) {
        places *= 2;
    }
    if (places == old_places) {
        return true;
    }
    slots_move(agg, partition, UINT32_MAX);
    u64 *slots = heap_take(&agg->heap, (usize)places * sizeof(u64));
    if (slots == NULL) {
        return false;
    }
    partition->old_slots = partition->slots;
    partition->old_mask = partition->slot_mask;
    partition->old_next = 0;
    partition->slots = slots;
    partition->slot_mask = places - 1;
    return true;
}

static u32 chunk_take(struct width_rows *width) {
    if (width->free_chunks.count > 0) {
        return list_at(&width->free_chunks, --width->free_chunks.count);
    }
    check(array_reserve(&width->rows, PARTITION_CHUNK));
    u32 chunk = width->rows.count / PARTITION_CHUNK;
    width->rows.count += PARTITION_CHUNK;
    return chunk;
}

u32 partition_place(const struct partition *partition, u32 row) {
    u32 chunk = 0;
    while (list_at(&partition->chunks, chunk) != row / PARTITION_CHUNK) {
        chunk++;
        check(chunk < partition->chunks.count);
    }
    return chunk * PARTITION_CHUNK + row % PARTITION_CHUNK;
}

u32 partition_row(struct agg *agg, enum width kind, u32 bucket, u32 series) {
    struct width_rows *width = &agg->width[kind];
    struct partition *partition = partition_of(agg, kind, bucket);
    u32 found = partition_find(partition, series);
    if (found != 0) {
        return found;
    }
    u32 place = partition->row_count;
    if (place % PARTITION_CHUNK == 0) {
        check(list_push(&partition->chunks, &agg->heap, chunk_take(width)));
    }
    check(slots_grow(agg, partition, place + 1));
    slots_move(agg, partition, MOVED_A_ROW);
    u32 row = partition_row_at(partition, place);
    struct row *record = array_edit(&width->rows, row);
    *record = (struct row){.series = series, .stamp = (u16)bucket};
    partition->row_count++;
    slot_put(partition, series, row);
    return row;
}

/* Rows of a chunk that nobody owns must match no cursor. */
static void chunk_free(struct agg *agg, struct width_rows *width, u32 chunk) {
    for (u32 place = 0; place < PARTITION_CHUNK; place++) {
        struct row *row = array_edit(&width->rows, chunk * PARTITION_CHUNK + place);
        if (row->wide != 0) {
            array_give(&agg->wides, row->wide);
        }
        *row = (struct row){.series = ROW_FREE};
    }
    check(list_push(&width->free_chunks, &agg->heap, chunk));
}

bool partition_free_some(struct agg *agg, enum width kind, struct partition *partition,
                         u32 chunks) {
    for (; chunks > 0 && partition->chunks.count > 0; chunks--) {
        chunk_free(agg, &agg->width[kind], list_at(&partition->chunks, --partition->chunks.count));
    }
    if (partition->chunks.count > 0) {
        return false;
    }
    list_free(&partition->chunks, &agg->heap);
    slots_give(agg, partition->slots, partition->slot_mask);
    if (partition->old_slots != NULL) {
        slots_give(agg, partition->old_slots, partition->old_mask);
    }
    heap_give(&agg->heap, partition, sizeof *partition);
    return true;
}

static void unlink_first(struct width_rows *width, u32 count) {
    memmove(width->list, width->list + count, (width->count - count) * sizeof *width->list);
    width->count -= count;
    width->memo = 0;
    width_measure(width);
}

void width_drop_before(struct agg *agg, enum width kind, u32 bucket) {
    struct width_rows *width = &agg->width[kind];
    u32 count = width_lower_bound(width, bucket);
    if (count == 0) {
        return;
    }
    for (u32 i = 0; i < count; i++) {
        partition_free_some(agg, kind, width->list[i], UINT32_MAX);
    }
    unlink_first(width, count);
}

struct partition *width_take_before(struct width_rows *width, u32 bucket) {
    struct partition *first = width->count > 0 ? width->list[0] : NULL;
    if (first == NULL || first->bucket >= bucket) {
        return NULL;
    }
    unlink_first(width, 1);
    return first;
}

bool width_restore(struct agg *agg, enum width kind, u32 bucket, u32 row_count, const u32 *chunks) {
    struct width_rows *width = &agg->width[kind];
    if (!heap_reserve(&agg->heap, 64 * KIB + (usize)row_count * 8)) {
        return false;
    }
    struct partition *partition = partition_make(agg, kind, bucket, width->count);
    u32 chunk_count = (row_count + PARTITION_CHUNK - 1) / PARTITION_CHUNK;
    for (u32 i = 0; i < chunk_count; i++) {
        if (!list_push(&partition->chunks, &agg->heap, chunks[i])) {
            return false;
        }
    }
    partition->row_count = row_count;
    return true;
}

/* Puts the partition's rows into its hash and marks its chunks. False: no memory, or a chunk that
 * two partitions claim, or a row that cannot be. */
static bool partition_rebuild(struct agg *agg, struct width_rows *width,
                              struct partition *partition, u64 *used) {
    if (!slots_grow(agg, partition, partition->row_count)) {
        return false;
    }
    slots_move(agg, partition, UINT32_MAX);
    for (u32 place = 0; place < partition->row_count; place++) {
        u32 row = partition_row_at(partition, place);
        u32 chunk = row / PARTITION_CHUNK;
        if (row >= width->rows.count) {
            return false;
        }
        const struct row *record = array_at(&width->rows, row);
        if (place % PARTITION_CHUNK == 0) {
            if ((used[chunk / 64] >> (chunk % 64) & 1) != 0) {
                return false;
            }
            used[chunk / 64] |= (u64)1 << (chunk % 64);
        }
        if (record->series >= agg->settled || record->wide >= agg->wides.count ||
            partition_find(partition, record->series) != 0) {
            return false;
        }
        slot_put(partition, record->series, row);
    }
    return true;
}

bool width_rebuild(struct agg *agg, enum width kind) {
    struct width_rows *width = &agg->width[kind];
    u32 chunk_count = width->rows.count / PARTITION_CHUNK;
    u64 *used = heap_take(&agg->heap, chunk_count / 8 + 8);
    if (used == NULL) {
        return false;
    }
    used[0] |= 1; /* row 0 means none */
    for (u32 i = 0; i < width->count; i++) {
        if (!partition_rebuild(agg, width, width->list[i], used)) {
            return false;
        }
    }
    for (u32 chunk = 0; chunk < chunk_count; chunk++) {
        if ((used[chunk / 64] >> (chunk % 64) & 1) == 0 &&
            !list_push(&width->free_chunks, &agg->heap, chunk)) {
            return false;
        }
    }
    heap_give(&agg->heap, used, chunk_count / 8 + 8);
    return true;
}
