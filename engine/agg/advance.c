/*
 * advance.c: time goes on. Minutes and hours are folded (fold.c), hours that pass the age of 7, 30,
 * 60 or 90 days move from one band to the next, minutes and hours that are no longer kept are
 * dropped. The hour at an edge may have millions of rows, so it moves in slices; while it does,
 * queries whose window begins at that edge read rows instead of bands (plan.c in engine/query).
 */
#include "agg/state.h"

#define MOVE_SLICE 512 /* rows moved while readers wait */
#define HOURS_KEPT (92 * 24)

/* The month before the last one is a window of its own: what figures are compared with. */
static const i64 edge_ms[EDGES] = {7 * DAY_MS, 30 * DAY_MS, 60 * DAY_MS, 90 * DAY_MS};

static i64 floor_to(i64 time, i64 width) {
    return time - time % width;
}

/* Is the row among those of its hour that have moved already? Only asked about events that are
 * exactly as old as an edge while the hour moves. */
static bool row_moved(const struct agg *agg, u32 edge, u32 hour_row) {
    const struct width_rows *hours = &agg->width[WIDTH_HOUR];
    const struct partition *partition = width_find(hours, (u32)(agg->edge[edge] / HOUR_MS));
    check(partition != NULL);
    return partition_place(partition, hour_row) < agg->moved[edge];
}

u32 agg_band_of(const struct agg *agg, i64 time, u32 hour_row) {
    if (likely(time >= agg->edge[0] + HOUR_MS)) {
        return 0;
    }
    u32 band = 0;
    while (band < EDGES && time < agg->edge[band]) {
        band++;
    }
    if (band < EDGES && agg->moved[band] > 0 && time < agg->edge[band] + HOUR_MS &&
        row_moved(agg, band, hour_row)) {
        band++;
    }
    return band;
}

static void move_band(struct agg *agg, struct row *newest, u32 *older, u32 edge,
                      const struct row *row) {
    row_subtract(band_edit(agg, newest, older, edge), row, &agg->wides);
    row_merge(band_edit(agg, newest, older, edge + 1), row, &agg->wides);
}

static void move_row(struct agg *agg, u32 edge, u32 hour_row) {
    const struct row *row = array_at(&agg->width[WIDTH_HOUR].rows, hour_row);
    struct series *series = array_edit(&agg->series, row->series);
    move_band(agg, &series->newest, series->band, edge, row);
    for (u32 kind = 0; kind < KINDS; kind++) {
        struct cell *cell = array_edit(&agg->cells, series->cell[kind]);
        struct cell_rest *rest = array_edit(&agg->rests, series->cell[kind]);
        move_band(agg, &cell->newest, rest->band, edge, row);
    }
}

/* Moves up to `*budget` rows of the hour at the edge. True: the hour has passed. */
static bool move_hour(struct agg *agg, u32 edge, u32 *budget) {
    const struct partition *partition =
        width_find(&agg->width[WIDTH_HOUR], (u32)(agg->edge[edge] / HOUR_MS));
    u32 count = partition == NULL ? 0 : partition->row_count;
    while (agg->moved[edge] < count) {
        if (*budget == 0) {
            return false;
        }
        u32 slice = MIN(MIN(count - agg->moved[edge], (u32)MOVE_SLICE), *budget);
        if (!agg_reserve(agg, 32 * MIB)) {
            return false; /* windows are read from rows as long as it does not move */
        }
        pthread_rwlock_wrlock(&agg->lock);
        for (u32 i = 0; i < slice; i++) {
            move_row(agg, edge, partition_row_at(partition, agg->moved[edge]++));
        }
        agg->layout++;
        pthread_rwlock_unlock(&agg->lock);
        *budget -= slice;
    }
    pthread_rwlock_wrlock(&agg->lock);
    agg->edge[edge] += HOUR_MS;
    agg->moved[edge] = 0;
    agg->layout++;
    pthread_rwlock_unlock(&agg->lock);
    return true;
}

/* Empty hours need no moving: the edge steps to the next one that has rows. */
static void skip_empty(struct agg *agg, u32 edge, i64 target) {
    const struct width_rows *hours = &agg->width[WIDTH_HOUR];
    u32 place = width_lower_bound(hours, (u32)(agg->edge[edge] / HOUR_MS));
    i64 next = place < hours->count ? (i64)hours->list[place]->bucket * HOUR_MS : target;
    if (agg->moved[edge] == 0 && MIN(next, target) > agg->edge[edge]) {
        pthread_rwlock_wrlock(&agg->lock);
        agg->edge[edge] = MIN(next, target);
        agg->layout++;
        pthread_rwlock_unlock(&agg->lock);
    }
}

/* Only hours that are whole move: what is folded into one that has moved would not. */
static bool move_edges(struct agg *agg, u32 *budget) {
    i64 whole = agg_whole(agg, WIDTH_HOUR);
    for (u32 edge = 0; edge < EDGES; edge++) {
        i64 target = MIN(floor_to(agg->now - edge_ms[edge], HOUR_MS), whole);
        skip_empty(agg, edge, target);
        while (agg->edge[edge] < target) {
            if (!move_hour(agg, edge, budget)) {
                return false;
            }
            skip_empty(agg, edge, target);
        }
    }
    return true;
}

static void keep_from(struct agg *agg, enum width kind, i64 edge) {
    struct width_rows *width = &agg->width[kind];
    if (edge <= width->edge) {
        return;
    }
    pthread_rwlock_wrlock(&agg->lock);
    width->edge = edge;
    width_drop_before(agg, kind, (u32)(edge / width->ms));
    pthread_rwlock_unlock(&agg->lock);
}

void agg_advance(struct agg *agg, i64 now_ms) {
    check(now_ms > HOURS_KEPT * HOUR_MS);
    agg->now = MAX(agg->now, now_ms);
    u32 budget = agg->advance_rows;
    bool folded = agg_fold(agg, &budget);
    keep_from(agg, WIDTH_MINUTE,
              MIN(floor_to(agg->now, MINUTE_MS) - (i64)agg->minutes_kept * MINUTE_MS,
                  agg_whole(agg, WIDTH_HOUR)));
    tally_advance(agg);
    if (!agg->expiring && move_edges(agg, &budget) && folded) {
        keep_from(
            agg, WIDTH_HOUR,
            MIN(floor_to(agg->now - HOURS_KEPT * HOUR_MS, DAY_MS), agg_whole(agg, WIDTH_DAY)));
    }
}
