/* clear.c: carrying out what clearing.c has planned, and changes of revenue. */
#include "agg/clear.h"

#include "agg/apply.h"
#include "agg/clearing.h"
#include "base/hash.h"

#define SLICE_STEPS 1024 /* done while readers wait, of a large clear */

/* --- locking ---------------------------------------------------------------------------------- */

void agg_change_begin(struct agg *agg) {
    pthread_rwlock_wrlock(&agg->lock);
}

/* Whoever reads in several steps begins anew, and rankings are made anew: changes[] does not tell
 * what was taken away. */
void agg_change_tell(struct agg *agg, struct account *account) {
    agg->layout++;
    agg->amended++;
    agg->changed_count += CHANGED_RING + 1;
    if (account != NULL) {
        account->changes++;
    }
}

void agg_change_end(struct agg *agg) {
    agg_memory_publish(agg); /* under the lock: a snapshot that ends gives memory back, too */
    pthread_rwlock_unlock(&agg->lock);
}

/* Lets readers in from time to time, unless all is to be one step for them. An account without
 * events has nothing to tell: it has none until the end. */
static void breathe(const struct clearing *clearing, u32 step) {
    struct agg *agg = clearing->agg;
    if (!clearing->small && step % SLICE_STEPS == SLICE_STEPS - 1) {
        if (!clearing->whole) {
            agg_change_tell(agg, account_at(agg, clearing->what.account));
        }
        agg_change_end(agg);
        agg_change_begin(agg);
    }
}

/* All of a large account goes at once: what is left of it is not looked at until nothing is. */
static void hide(const struct clearing *clearing, struct account *account) {
    if (clearing->whole && !clearing->small && account != NULL) {
        account->hidden = true;
        account->customers_reborn++;
        agg_change_tell(clearing->agg, account);
    }
}

u64 agg_changes(struct agg *agg, u32 account) {
    agg_read_lock(agg);
    const struct account *known = account_at(agg, account);
    u64 changes = known == NULL ? 0 : known->changes;
    agg_read_unlock(agg);
    return changes;
}

/* --- sums ------------------------------------------------------------------------------------- */

static void subtract(struct agg *agg, const struct series *series) {
    for (u32 kind = 0; kind < KINDS; kind++) {
        u32 at = series->cell[kind];
        struct cell *cell = record_edit(&agg->cells, at, SHIFT_CELLS, sizeof *cell);
        struct cell_rest *rest = record_edit(&agg->rests, at, SHIFT_CELLS, sizeof *rest);
        for (u32 band = 0; band < BANDS; band++) {
            if (band > 0 && series->band[band - 1] == 0) {
                continue;
            }
            row_subtract(band_edit(agg, &cell->newest, rest->band, band),
                         band_of(agg, &series->newest, series->band, band), &agg->wides);
        }
    }
}

void agg_bands_empty(struct agg *agg, struct row *newest, u32 *older) {
    row_empty(newest, &agg->wides);
    newest->stamp = 0;
    for (u32 band = 1; band < BANDS; band++) {
        u32 number = older[band - 1];
        if (number != 0) {
            row_empty(row_edit(&agg->bands, number), &agg->wides);
        }
    }
}

void agg_cell_empty(struct agg *agg, u32 at) {
    struct cell *cell = record_edit(&agg->cells, at, SHIFT_CELLS, sizeof *cell);
    struct cell_rest *rest = record_edit(&agg->rests, at, SHIFT_CELLS, sizeof *rest);
    agg_bands_empty(agg, &cell->newest, rest->band);
    rest->first = INT64_MAX;
}

static void clear_series(struct clearing *clearing) {
    struct agg *agg = clearing->agg;
    for (u32 i = 0; i < clearing->series_count; i++) {
        struct series *series =
            record_edit(&agg->series, clearing->series[i], SHIFT_SERIES, sizeof *series);
        subtract(agg, series);
        agg_bands_empty(agg, &series->newest, series->band);
        series->first = INT64_MAX;
        *(i64 *)array_edit(&agg->begun, clearing->series[i]) = 0;
        breathe(clearing, i);
    }
}

static void settle_cells(struct clearing *clearing) {
    struct agg *agg = clearing->agg;
    for (u32 i = 0; i < clearing->cells.count; i++) {
        const struct touched *touched = &clearing->touched[i];
        if (touched->first == INT64_MAX) {
            agg_cell_empty(agg, touched->cell);
        } else {
            struct cell *cell = record_edit(&agg->cells, touched->cell, SHIFT_CELLS, sizeof *cell);
            struct cell_rest *rest =
                record_edit(&agg->rests, touched->cell, SHIFT_CELLS, sizeof *rest);
            rest->first = touched->first;
            cell->newest.stamp = 0;
            cell->newest.last = 0;
            row_see(&cell->newest, touched->last);
        }
        breathe(clearing, i);
    }
}

/* --- rows ------------------------------------------------------------------------------------- */

static void empty_row(struct agg *agg, enum width kind, u32 number) {
    row_empty(row_edit(&agg->width[kind].rows, number), &agg->wides);
}

/* Rows stay where they are, without events: places in partitions have a meaning. */
static void clear_rows_found(struct clearing *clearing) {
    for (u32 kind = 0; kind < WIDTHS; kind++) {
        const struct list_u32 *rows = &clearing->rows[kind];
        for (u32 i = 0; i < rows->count; i++) {
            empty_row(clearing->agg, (enum width)kind, rows->numbers[i]);
        }
    }
}

static void clear_rows_all(struct clearing *clearing) {
    struct agg *agg = clearing->agg;
    u32 steps = 0;
    for (u32 kind = 0; kind < WIDTHS; kind++) {
        const struct width_rows *width = &agg->width[kind];
        for (u32 i = 0; i < width->count; i++) {
            const struct partition *partition = width->list[i];
            for (u32 place = 0; place < partition->row_count; place++) {
                u32 number = partition_row_at(partition, place);
                if (clearing_has(clearing, row_at(&width->rows, number)->series)) {
                    empty_row(agg, (enum width)kind, number);
                }
                breathe(clearing, steps++);
            }
        }
    }
}

/* --- what sums do not tell -------------------------------------------------------------------- */

static void clear_tallies(struct clearing *clearing) {
    struct agg *agg = clearing->agg;
    const struct account *account = account_at(agg, clearing->what.account);
    u32 count = account == NULL ? 0 : account->entities[KIND_MODEL].count;
    for (u32 i = 0; i < count; i++) {
        const struct entity *entity = entity_at(agg, list_at(&account->entities[KIND_MODEL], i));
        for (u32 class = 0; class < CLASSES; class ++) {
            for (u32 part = 0; part < TALLY_PARTS && entity->cell[class] != 0; part++) {
                u32 tally = tally_find(agg, entity->cell[class], part);
                if (tally != 0 &&
                    (clearing->whole || tally_part_source(part) == clearing->what.source)) {
                    tally_empty(agg, tally);
                }
            }
        }
        breathe(clearing, i);
    }
    for (u32 i = 0; i < clearing->what.kept_count; i++) {
        const struct agg_event *event = &clearing->what.kept[i];
        struct series *series =
            record_edit(&agg->series, event->series, SHIFT_SERIES, sizeof *series);
        tally_add_slow(agg, series, event->part, event->time, &event->delta);
        breathe(clearing, i);
    }
}

static void clear_pairs(struct clearing *clearing) {
    for (u32 i = 0; i < clearing->pairs.count; i++) {
        if (!clearing->pair_stays[i]) {
            u64 number = clearing->pairs.numbers[i];
            pairs_forget(clearing->agg, (enum pair_kind)(number >> 62),
                         number & (((u64)1 << 62) - 1));
        }
        breathe(clearing, i);
    }
}

static void change_entities(struct clearing *clearing) {
    struct agg *agg = clearing->agg;
    for (u32 i = 0; i < clearing->activity_count; i++) {
        const struct activity_change *change = &clearing->activities[i];
        months_change(agg, clearing->what.account, change->kind, change->entity, &change->old,
                      &change->next, change->lost);
        breathe(clearing, i);
    }
    for (u32 i = 0; i < clearing->customer_count; i++) {
        const struct customer_change *change = &clearing->customers[i];
        account_at(agg, clearing->what.account)->customers_reborn++;
        ((struct entity *)array_edit(&agg->entities, change->entity))->created = change->created;
        breathe(clearing, i);
    }
}

/* Events of the sources that can be cleared alone have none of these. */
static void clear_agents_and_traces(struct clearing *clearing) {
    struct agg *agg = clearing->agg;
    struct account *account = account_at(agg, clearing->what.account);
    if (account == NULL || !clearing->whole) {
        return;
    }
    for (u32 i = 0; i < account->agents.count; i++) {
        agg_cell_empty(agg, value_at(agg, STORE_DIMS, list_at(&account->agents, i))->entity);
        breathe(clearing, i);
    }
    agg_traces_drop(agg, account);
}

/* --- the clear -------------------------------------------------------------------------------- */

void agg_clear(struct clearing *clearing, const struct agg_rows *added, u32 added_count) {
    struct agg *agg = clearing->agg;
    u64 more = 0;
    for (u32 i = 0; i < added_count; i++) {
        more += added[i].count;
        agg_check_rows(agg, added[i].batch, added[i].rows, added[i].count);
    }
    struct account *account = account_at(agg, clearing->what.account);
    bool together = clearing->small && more <= AGG_SMALL;
    hide(clearing, account);
    clear_series(clearing);
    settle_cells(clearing);
    if (clearing->small) {
        clear_rows_found(clearing);
    } else {
        clear_rows_all(clearing);
    }
    clear_tallies(clearing);
    clear_pairs(clearing);
    change_entities(clearing);
    clear_agents_and_traces(clearing);
    agg->oldest = clearing->oldest;
    agg->newest = clearing->newest;
    for (u32 i = 0; i < added_count && together; i++) {
        agg->apply(agg, added[i].batch, added[i].rows, added[i].count);
    }
    if (account != NULL && account->hidden) {
        account->hidden = false;
        account->customers_reborn++;
    }
    agg_change_tell(agg, account);
    agg_change_end(agg);
    for (u32 i = 0; i < added_count && !together; i++) {
        agg_apply(agg, added[i].batch, added[i].rows, added[i].count);
    }
    agg->reserved_events -= together ? MIN(agg->reserved_events, more) : 0;
    __atomic_add_fetch(&agg->version, 1, __ATOMIC_RELEASE);
}

void agg_event_read(struct agg_event *event, const struct event_batch *batch, u32 index) {
    delta_read(&event->delta, batch, index);
    event->time = batch->number[NUM_TIME][index];
    event->series = batch->series[index];
    event->part = tally_part(batch, index);
}

/* --- another revenue -------------------------------------------------------------------------- */

/* Only revenue, and no event more. */
static struct delta revenue_delta(const struct agg_adjustment *adjustment) {
    i128 more = (i128)adjustment->revenue - adjustment->event.delta.row.revenue;
    struct delta delta = {0};
    delta.wide = more < -ROW_MONEY_MAX || more >= ROW_MONEY_MAX;
    delta.sums.revenue = more;
    if (!delta.wide) {
        delta.row.revenue = (i64)more;
    }
    return delta;
}

static void move_tally(struct agg *agg, struct series *series,
                       const struct agg_adjustment *adjustment) {
    const struct agg_event *event = &adjustment->event;
    struct delta now = event->delta;
    now.row.revenue = adjustment->revenue;
    now.wide = now.wide || !row_money_fits(adjustment->revenue);
    if (now.wide && !event->delta.wide) {
        now.sums = (struct sums){0};
        sums_add_row(&now.sums, &event->delta.row);
    }
    now.sums.revenue = adjustment->revenue;
    u32 before = tally_find(agg, series->cell[KIND_MODEL], event->part);
    tally_subtract(agg, before, event->time, &event->delta);
    tally_add_slow(agg, series, adjustment->part, event->time, &now);
}

/* The event is in all these rows already: nothing becomes earlier or later. */
static void adjust(struct agg *agg, const struct agg_adjustment *adjustment) {
    const struct agg_event *event = &adjustment->event;
    struct delta delta = revenue_delta(adjustment);
    i64 time = event->time;
    struct series *series = record_edit(&agg->series, event->series, SHIFT_SERIES, sizeof *series);
    u32 hour_row = apply_late(agg, event->series, series, time, &delta);
    u32 band = agg_band_of(agg, time, hour_row);
    row_add(band_edit(agg, &series->newest, series->band, band), &delta, &agg->wides, TIME_NONE, 0);
    for (u32 kind = 0; kind < KINDS; kind++) {
        agg_cell_add(agg, series->cell[kind], band, time, &delta);
    }
    move_tally(agg, series, adjustment);
    u32 account = dims_of(agg, event->series)[DIM_ACCOUNT];
    u32 agent = adjustment->agent.bytes == 0
                    ? DIM_NONE
                    : value_find(agg, account, STORE_DIMS, adjustment->agent);
    if (agent != DIM_NONE) {
        agg_cell_add(agg, value_at(agg, STORE_DIMS, agent)->entity, 0, time, &delta);
    }
    if (adjustment->trace.bytes > 0) {
        agg_trace_earn(agg, account, adjustment->trace,
                       (i128)adjustment->revenue - event->delta.row.revenue);
    }
}

bool agg_adjust_reserve(struct agg *agg, u32 count) {
    return agg_reserve(agg, (usize)count * 4 * KIB);
}

void agg_adjust(struct agg *agg, const struct agg_adjustment *adjustments, u32 count) {
    struct account *account = NULL;
    for (u32 i = 0; i < count; i++) {
        u32 series = adjustments[i].event.series;
        check(series < agg->settled);
        account = account_at(agg, dims_of(agg, series)[DIM_ACCOUNT]);
        adjust(agg, &adjustments[i]);
        if (count > AGG_SMALL && i % SLICE_STEPS == SLICE_STEPS - 1) {
            agg_change_tell(agg, account);
            agg_change_end(agg);
            agg_change_begin(agg);
        }
    }
    agg_change_tell(agg, account);
    agg_change_end(agg);
    __atomic_add_fetch(&agg->version, 1, __ATOMIC_RELEASE);
}
