/* tally.c: rows of tallies: opening, closing, dropping, and putting them back after a start. */
#include "agg/tally.h"

#include "agg/state.h"

#define HOURS_KEPT (92 * 24) /* as series keep them */
#define DROP_SLICE 128       /* tallies looked at while readers wait */
#define DROP_SLICES 8        /* in one call */
#define HOURS_A_DAY 24
#define NO_HOUR UINT32_MAX
#define CLOSED 0x8000u /* hours from the hour that a closed row has the stamp of: years */

bool tallies_init(struct agg *agg) {
    struct tallies *tallies = &agg->tallies;
    struct heap *heap = &agg->heap;
    struct undo *undo = &agg->undo;
    const u64 max = UINT32_MAX - ((u32)1 << 16);
    bool good = array_init(&tallies->tallies, heap, undo, ARRAY_TALLIES, sizeof(struct tally),
                           SHIFT_TALLIES, max) &&
                array_init(&tallies->rows, heap, undo, ARRAY_TALLY_ROWS, sizeof(struct row),
                           SHIFT_ROWS, max) &&
                array_init(&tallies->keys, heap, undo, ARRAY_TALLY_KEYS, sizeof(struct tally_key),
                           12, max) &&
                array_init(&tallies->runs, heap, undo, ARRAYS, sizeof(struct run) * TALLY_WIDTHS,
                           12, max) &&
                array_init(&tallies->cells, heap, undo, ARRAYS, sizeof(u32), SHIFT_TALLY_CELLS,
                           SERIES_MAX * (u64)2) &&
                array_init(&tallies->tables, heap, undo, ARRAYS, sizeof(u32) * TALLY_TABLE,
                           SHIFT_TALLY_TABLES, SERIES_MAX);
    if (!good || !array_reserve(&tallies->runs, 1) || !array_reserve(&tallies->tables, 1)) {
        return false;
    }
    tallies->runs.count = tallies->tables.count = 1; /* number 0: none */
    tallies->drop_next = 1;
    return true;
}

void tally_cell_make(struct agg *agg, u32 cell) {
    struct array *cells = &agg->tallies.cells;
    if (cell >= cells->count) {
        check(array_reserve(cells, cell + 1 - cells->count));
        cells->count = cell + 1;
    }
}

u32 *tally_table_make(struct agg *agg, u32 cell) {
    u32 table = array_add(&agg->tallies.tables);
    *(u32 *)array_at(&agg->tallies.cells, cell) = table;
    return array_at(&agg->tallies.tables, table);
}

u32 tally_find(const struct agg *agg, u32 cell, u32 part) {
    const struct tallies *tallies = &agg->tallies;
    u32 table = cell < tallies->cells.count ? *(const u32 *)array_at(&tallies->cells, cell) : 0;
    return table == 0 ? 0 : ((const u32 *)array_at(&tallies->tables, table))[part];
}

static struct run *run_of(const struct agg *agg, u32 tally, enum tally_width width) {
    return (struct run *)array_at(&agg->tallies.runs, tally) + width;
}

const struct run *tally_run(const struct agg *agg, u32 tally, enum tally_width width) {
    return run_of(agg, tally, width);
}

/* --- rows ------------------------------------------------------------------------------------- */

static struct tally *tally_edit(struct agg *agg, u32 tally) {
    return array_edit(&agg->tallies.tallies, tally);
}

static u32 tally_make(struct agg *agg, u32 cell, u32 part) {
    u32 id = array_add(&agg->tallies.tallies);
    *tally_edit(agg, id) = (struct tally){cell, part, NO_HOUR, 0};
    check(array_add(&agg->tallies.runs) == id);
    return id;
}

/* The number of the row of a bucket, made if needed. */
static u32 row_of(struct agg *agg, u32 tally, enum tally_width width, u32 bucket) {
    struct tallies *tallies = &agg->tallies;
    struct run *run = run_of(agg, tally, width);
    u32 found = run_find(run, bucket);
    if (found != 0) {
        return found;
    }
    u32 number = array_add(&tallies->rows);
    if (number >= tallies->keys.count) {
        check(array_reserve(&tallies->keys, 1) && array_push(&tallies->keys) == number);
    }
    ((struct row *)row_edit(&tallies->rows, number))->series = tally;
    *(struct tally_key *)array_edit(&tallies->keys, number) =
        (struct tally_key){tally, bucket << 1 | width};
    check(run_insert(run, &agg->heap, bucket, number));
    return number;
}

static void add_to(struct agg *agg, u32 tally, enum tally_width width, i64 time,
                   const struct delta *delta) {
    i64 ms = width == TALLY_DAY ? DAY_MS : HOUR_MS;
    u32 bucket = (u32)(time / ms);
    struct row *row = row_edit(&agg->tallies.rows, row_of(agg, tally, width, bucket));
    row_add(row, delta, &agg->wides, TIME_LAST, time - (i64)bucket * ms);
}

/* Adds the open hour to its day. */
static void close_hour(struct agg *agg, u32 tally) {
    struct tally *known = tally_edit(agg, tally);
    if (known->open_row == 0) {
        return;
    }
    struct array *rows = &agg->tallies.rows;
    u32 day_row = row_of(agg, tally, TALLY_DAY, known->open_hour / HOURS_A_DAY);
    const struct row *hour = row_at(rows, known->open_row);
    struct row *day = row_edit(rows, day_row);
    u32 last = known->open_hour % HOURS_A_DAY * (u32)HOUR_MS + hour->last;
    if (!row_is_empty(hour, &agg->wides)) { /* or they were taken away */
        row_merge(day, hour, &agg->wides);
        day->last = MAX(day->last, last);
    }
    ((struct row *)row_edit(rows, known->open_row))->stamp = tally_stamp(known->open_hour ^ CLOSED);
    known->open_hour = NO_HOUR;
    known->open_row = 0;
}

void tally_add_slow(struct agg *agg, struct series *series, u32 part, i64 time,
                    const struct delta *delta) {
    u32 *slot = &tally_table(agg, series->cell[KIND_MODEL])[part];
    if (*slot == 0) {
        *slot = tally_make(agg, series->cell[KIND_MODEL], part);
    }
    u32 id = *slot;
    struct tally *tally = tally_edit(agg, id);
    u32 hour = (u32)(time / HOUR_MS);
    bool kept = time >= agg->tallies.edge;
    if (kept && (tally->open_row == 0 || hour > tally->open_hour)) {
        close_hour(agg, id);
        tally->open_row = row_of(agg, id, TALLY_HOUR, hour);
        tally->open_hour = hour;
        ((struct row *)row_edit(&agg->tallies.rows, tally->open_row))->stamp = tally_stamp(hour);
    }
    if (tally->open_row != 0 && tally->open_hour == hour) {
        series->tally = id;
        series->tally_part = part;
        series->tally_row = tally->open_row;
        add_to(agg, id, TALLY_HOUR, time, delta);
        return;
    }
    if (kept) {
        add_to(agg, id, TALLY_HOUR, time, delta);
    }
    add_to(agg, id, TALLY_DAY, time, delta);
}

/* --- taking away ------------------------------------------------------------------------------ */

static void subtract_from(struct agg *agg, u32 tally, enum tally_width width, u32 bucket,
                          const struct delta *delta) {
    u32 number = run_find(run_of(agg, tally, width), bucket);
    check(number != 0);
    struct row *row = row_edit(&agg->tallies.rows, number);
    row_take(row, delta, &agg->wides);
    row->last = row_is_empty(row, &agg->wides) ? 0 : row->last;
}

void tally_subtract(struct agg *agg, u32 tally, i64 time, const struct delta *delta) {
    const struct tally *known = array_at(&agg->tallies.tallies, tally);
    u32 hour = (u32)(time / HOUR_MS);
    bool open = known->open_row != 0 && known->open_hour == hour;
    if (open || run_find(run_of(agg, tally, TALLY_HOUR), hour) != 0) {
        subtract_from(agg, tally, TALLY_HOUR, hour, delta);
    }
    if (!open) {
        subtract_from(agg, tally, TALLY_DAY, (u32)(time / DAY_MS), delta);
    }
}

/* --- time goes on ----------------------------------------------------------------------------- */

static void give_row(struct agg *agg, u32 number) {
    struct tallies *tallies = &agg->tallies;
    struct row *row = row_edit(&tallies->rows, number);
    if (row->wide != 0) {
        array_give(&agg->wides, row->wide);
    }
    *row = (struct row){0};
    *(struct tally_key *)array_edit(&tallies->keys, number) = (struct tally_key){0};
    array_give(&tallies->rows, number);
}

void tally_empty(struct agg *agg, u32 tally) {
    struct tally *known = tally_edit(agg, tally);
    known->open_hour = NO_HOUR;
    known->open_row = 0;
    for (u32 width = 0; width < TALLY_WIDTHS; width++) {
        struct run *run = run_of(agg, tally, (enum tally_width)width);
        for (u32 i = 0; i < run->count; i++) {
            give_row(agg, run_number(run, i));
        }
        run_drop(run, &agg->heap, run->count);
    }
}

void tally_expire(struct agg *agg, u32 tally, i64 before) {
    struct tally *known = tally_edit(agg, tally);
    if (known->open_row != 0 && (i64)known->open_hour * HOUR_MS < before) {
        known->open_hour = NO_HOUR;
        known->open_row = 0;
    }
    for (u32 width = 0; width < TALLY_WIDTHS; width++) {
        struct run *run = run_of(agg, tally, (enum tally_width)width);
        u32 count = run_lower_bound(run, (u32)(before / (width == TALLY_DAY ? DAY_MS : HOUR_MS)));
        for (u32 i = 0; i < count; i++) {
            give_row(agg, run_number(run, i));
        }
        run_drop(run, &agg->heap, count);
    }
}

static void drop_hours(struct agg *agg, u32 tally) {
    u32 first_kept = (u32)(agg->tallies.edge / HOUR_MS);
    const struct tally *known = array_at(&agg->tallies.tallies, tally);
    if (known->open_row != 0 && known->open_hour < first_kept) {
        close_hour(agg, tally);
    }
    struct run *hours = run_of(agg, tally, TALLY_HOUR);
    u32 count = run_lower_bound(hours, first_kept);
    for (u32 i = 0; i < count; i++) {
        give_row(agg, run_number(hours, i));
    }
    run_drop(hours, &agg->heap, count);
}

static i64 edge_of(i64 now) {
    i64 edge = now - HOURS_KEPT * HOUR_MS;
    return edge - edge % DAY_MS;
}

void tally_advance(struct agg *agg) {
    struct tallies *tallies = &agg->tallies;
    if (edge_of(agg->now) > tallies->edge) {
        pthread_rwlock_wrlock(&agg->lock);
        tallies->edge = edge_of(agg->now);
        pthread_rwlock_unlock(&agg->lock);
        tallies->drop_next = 1;
    }
    for (u32 slice = 0; slice < DROP_SLICES && tallies->drop_next < tallies->tallies.count;
         slice++) {
        u32 end = MIN(tallies->tallies.count, tallies->drop_next + DROP_SLICE);
        pthread_rwlock_wrlock(&agg->lock);
        while (tallies->drop_next < end) {
            drop_hours(agg, tallies->drop_next++);
        }
        pthread_rwlock_unlock(&agg->lock);
    }
}

/* --- after a start ---------------------------------------------------------------------------- */

static enum err rebuild_tally(struct agg *agg, u32 id) {
    struct tallies *tallies = &agg->tallies;
    const struct tally *tally = array_at(&tallies->tallies, id);
    if (tally->cell == 0 || tally->cell >= agg->cells.count ||
        tally->open_row >= tallies->rows.count) {
        return ERR_CORRUPT;
    }
    tally_cell_make(agg, tally->cell);
    u32 *slot = tally->part < TALLY_PARTS ? &tally_table(agg, tally->cell)[tally->part] : NULL;
    if (slot == NULL || *slot != 0) {
        return ERR_CORRUPT;
    }
    *slot = id;
    return ERR_OK;
}

static enum err rebuild_row(struct agg *agg, u32 number) {
    struct tallies *tallies = &agg->tallies;
    const struct tally_key *key = array_at(&tallies->keys, number);
    const struct row *row = row_at(&tallies->rows, number);
    if (key->tally == 0) {
        return ERR_OK;
    }
    if (key->tally >= tallies->tallies.count || row->series != key->tally ||
        row->wide >= agg->wides.count) {
        return ERR_CORRUPT;
    }
    struct run *run = run_of(agg, key->tally, (enum tally_width)(key->bucket & 1));
    if (run_find(run, key->bucket >> 1) != 0) {
        return ERR_CORRUPT;
    }
    return run_insert(run, &agg->heap, key->bucket >> 1, number) ? ERR_OK : ERR_NO_MEMORY;
}

static bool open_holds(const struct agg *agg, u32 id) {
    const struct tally *tally = array_at(&agg->tallies.tallies, id);
    return tally->open_row == 0 ||
           run_find(tally_run(agg, id, TALLY_HOUR), tally->open_hour) == tally->open_row;
}

enum err tally_rebuild(struct agg *agg) {
    struct tallies *tallies = &agg->tallies;
    if (tallies->keys.count != tallies->rows.count) {
        return ERR_CORRUPT;
    }
    if (!array_reserve(&tallies->runs, tallies->tallies.count)) {
        return ERR_NO_MEMORY;
    }
    tallies->runs.count = tallies->tallies.count;
    enum err err = ERR_OK;
    for (u32 id = 1; id < tallies->tallies.count && err == ERR_OK; id++) {
        err = rebuild_tally(agg, id);
    }
    for (u32 number = 1; number < tallies->rows.count && err == ERR_OK; number++) {
        err = rebuild_row(agg, number);
    }
    for (u32 id = 1; id < tallies->tallies.count && err == ERR_OK; id++) {
        err = open_holds(agg, id) ? ERR_OK : ERR_CORRUPT;
    }
    tallies->edge = edge_of(agg->now);
    tallies->drop_next = 1;
    return err;
}
