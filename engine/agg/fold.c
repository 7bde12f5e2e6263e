/*
 * fold.c: minutes become hours, hours become days. An event is added to its minute only, and some
 * minutes later its minute's rows are added to those of the hour; a series with many events in a
 * minute so costs one addition to the hour instead of one for each. Hours are folded into days in
 * the same way once all their minutes are in.
 *
 * Rows stay after they were folded, for as long as their width is kept, and an event that comes for
 * a row already folded is added to both. So buckets that are whole (agg_whole()) have everything,
 * finer rows from there on have everything, too, and a query that takes the former up to some time
 * and the latter from there on stays right whatever is folded while it reads.
 */
#include "agg/state.h"

/* Minutes are folded this long after they ended, so that events that come a little late are still
 * in time. */
#define FOLD_DELAY_MS MINUTE_MS

#define FOLD_SLICE 512 /* rows folded while readers wait */
#define HAND_SERIES 24 /* how far each hand is ahead, in rows */
#define HAND_TARGET 12

bool agg_is_folded(const struct agg *agg, enum width kind, i64 time, u32 row) {
    const struct fold *fold = &agg->fold[kind];
    const struct width_rows *width = &agg->width[kind];
    if (time < fold->next || time >= fold->next + width->ms) {
        return time < fold->next;
    }
    if (fold->rows == 0) {
        return false;
    }
    const struct partition *partition = width_find(width, (u32)(fold->next / width->ms));
    check(partition != NULL);
    return partition_place(partition, row) < fold->rows;
}

static void fold_row(struct agg *agg, enum width kind, u32 bucket, u32 offset, u32 from) {
    const struct row *row = row_at(&agg->width[kind].rows, from);
    struct width_rows *coarse = &agg->width[kind + 1];
    u32 index = row->series;
    if (unlikely(row->events == 0) && row_is_empty(row, &agg->wides)) {
        return; /* its events were removed: it says nothing of time either */
    }
    u32 at = series_at(agg, index)->row[kind + 1];
    if (!cursor_fits(coarse, at, index, bucket)) {
        at = partition_row(agg, kind + 1, bucket, index);
        struct series *series = record_edit(&agg->series, index, SHIFT_SERIES, sizeof *series);
        series->row[kind + 1] = at;
    }
    struct row *into = row_edit(&coarse->rows, at);
    row_merge(into, row, &agg->wides);
    into->last = MAX(into->last, offset + row->last);
}

/* Of a slice of rows, the series are asked for first, then the rows they point to. */
static void fold_slice(struct agg *agg, enum width kind, const struct partition *partition,
                       u32 count) {
    const struct width_rows *width = &agg->width[kind];
    const struct width_rows *coarse = &agg->width[kind + 1];
    i64 start = (i64)partition->bucket * width->ms;
    u32 bucket = (u32)(start / coarse->ms);
    u32 offset = (u32)(start - (i64)bucket * coarse->ms);
    u32 first = agg->fold[kind].rows;
    for (u32 at = 0; at < count + HAND_SERIES; at++) {
        if (at < count) {
            u32 row = partition_row_at(partition, first + at);
            __builtin_prefetch(series_at(agg, row_at(&width->rows, row)->series));
        }
        if (at >= HAND_SERIES - HAND_TARGET && at - (HAND_SERIES - HAND_TARGET) < count) {
            u32 row = partition_row_at(partition, first + at - (HAND_SERIES - HAND_TARGET));
            const struct series *series = series_at(agg, row_at(&width->rows, row)->series);
            __builtin_prefetch(row_at(&coarse->rows, series->row[kind + 1]), 1);
        }
        if (at >= HAND_SERIES) {
            fold_row(agg, kind, bucket, offset,
                     partition_row_at(partition, first + at - HAND_SERIES));
        }
    }
    agg->fold[kind].rows += count;
}

static void fold_next(struct agg *agg, enum width kind, i64 next) {
    pthread_rwlock_wrlock(&agg->lock);
    agg->fold[kind].next = next;
    agg->fold[kind].rows = 0;
    pthread_rwlock_unlock(&agg->lock);
}

/* Folds buckets that begin before the target. False: budget or memory did not suffice. */
static bool fold_until(struct agg *agg, enum width kind, i64 target, u32 *budget) {
    const struct width_rows *width = &agg->width[kind];
    struct fold *fold = &agg->fold[kind];
    while (fold->next < target) {
        u32 place = width_lower_bound(width, (u32)(fold->next / width->ms));
        if (place >= width->count || (i64)width->list[place]->bucket * width->ms >= target) {
            fold_next(agg, kind, target);
            break;
        }
        const struct partition *partition = width->list[place];
        i64 start = (i64)partition->bucket * width->ms;
        if (start > fold->next) {
            fold_next(agg, kind, start);
        }
        while (fold->rows < partition->row_count) {
            if (*budget == 0) {
                return false;
            }
            u32 slice = MIN(MIN(partition->row_count - fold->rows, (u32)FOLD_SLICE), *budget);
            if (!agg_reserve(agg, 32 * MIB)) {
                return false; /* what is not folded is counted all the same */
            }
            pthread_rwlock_wrlock(&agg->lock);
            fold_slice(agg, kind, partition, slice);
            pthread_rwlock_unlock(&agg->lock);
            *budget -= slice;
        }
        fold_next(agg, kind, start + width->ms);
    }
    return true;
}

bool agg_fold(struct agg *agg, u32 *budget) {
    i64 ended = (agg->now - FOLD_DELAY_MS) / MINUTE_MS * MINUTE_MS;
    return fold_until(agg, WIDTH_MINUTE, ended, budget) &&
           fold_until(agg, WIDTH_HOUR, agg_whole(agg, WIDTH_HOUR), budget);
}

/* A fold's place must be one between rows that there are. */
bool agg_folds_hold(const struct agg *agg) {
    for (u32 kind = 0; kind < WIDTHS - 1; kind++) {
        const struct width_rows *width = &agg->width[kind];
        const struct fold *fold = &agg->fold[kind];
        if (fold->next < 0 || fold->next % width->ms != 0 ||
            width->edge > agg_whole(agg, kind + 1)) {
            return false;
        }
        const struct partition *partition = width_find(width, (u32)(fold->next / width->ms));
        if (fold->rows > (partition == NULL ? 0 : partition->row_count)) {
            return false;
        }
    }
    for (u32 edge = 0; edge < EDGES; edge++) {
        if (agg->edge[edge] > agg_whole(agg, WIDTH_HOUR)) {
            return false;
        }
    }
    return agg->fold[WIDTH_HOUR].next <= agg_whole(agg, WIDTH_HOUR);
}
