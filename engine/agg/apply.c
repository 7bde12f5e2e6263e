/*
 * apply.c: adding events to the figures, whatever they are like, and the plain kernel.
 *
 * An event adds to seven rows: its series' minute (hour and day follow later: fold.c), its tally's
 * hour, the series' newest band, and those of customer, feature, model and cost type. Each is one
 * cache line, and most are cold; so a slice of events is walked by three hands, the first fetching
 * the series, the second what the series points to, well ahead of the one that adds.
 */
#include "agg/apply.h"

apply_slice_fn *apply_best(void) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("bmi2")) {
        return apply_slice_avx512;
    }
#endif
    return apply_slice_plain;
}

/* --- cells ------------------------------------------------------------------------------------ */

u32 agg_cell_make(struct agg *agg) {
    u32 index = array_add(&agg->cells);
    check(array_add(&agg->rests) == index);
    ((struct cell_rest *)array_at(&agg->rests, index))->first = INT64_MAX;
    return index;
}

/* An event in a band that is not the newest. */
static void add_older(struct agg *agg, struct row *newest, u32 *older, u32 band, i64 time,
                      const struct delta *delta) {
    row_add(band_edit(agg, NULL, older, band), delta, &agg->wides, TIME_NONE, 0);
    row_see(newest, time);
}

/* An event that may be the cell's first. */
static void add_first(struct agg *agg, u32 index, i64 time) {
    if (time < rest_at(agg, index)->first) {
        struct cell_rest *rest = record_edit(&agg->rests, index, SHIFT_CELLS, sizeof *rest);
        rest->first = time;
    }
}

static inline void add_cell(struct agg *agg, u32 index, u32 band, i64 time,
                            const struct delta *delta) {
    struct cell *cell = record_edit(&agg->cells, index, SHIFT_CELLS, sizeof *cell);
    if (likely(band == 0)) {
        row_add(&cell->newest, delta, &agg->wides, TIME_SEEN, time);
    } else {
        struct cell_rest *rest = record_edit(&agg->rests, index, SHIFT_CELLS, sizeof *rest);
        add_older(agg, &cell->newest, rest->band, band, time, delta);
    }
}

void agg_cell_add(struct agg *agg, u32 index, u32 band, i64 time, const struct delta *delta) {
    add_first(agg, index, time);
    add_cell(agg, index, band, time, delta);
}

/* Before the series and its cells take the event in. A series that was seen in the month has noted
 * it for all of them. */
static inline void note_months(struct agg *agg, const struct series *series, i64 time) {
    if (likely(months_same(&agg->months, time, row_seen(&series->newest)))) {
        return;
    }
    for (u32 kind = 0; kind < MONTH_KINDS; kind++) {
        u32 cell = series->cell[kind];
        if (unlikely(!months_same(&agg->months, time, row_seen(&cell_at(agg, cell)->newest)))) {
            months_note(agg, kind, cell, time);
        }
    }
}

/* --- series ----------------------------------------------------------------------------------- */

/* A series' first event, received then: its customer and what it is paired with appear. */
static void begin_series(struct agg *agg, u32 index, const struct series *series, i64 created) {
    const struct owner *owner = array_at(&agg->owners, series->cell[KIND_CUSTOMER]);
    *(i64 *)array_edit(&agg->begun, index) = MAX(created, (i64)1);
    check(pairs_note(agg, index)); /* memory is reserved */
    struct account *account = account_at(agg, owner->account);
    u32 id = list_at(&account->entities[KIND_CUSTOMER], owner->place);
    if (entity_at(agg, id)->created == 0) {
        account->customers_born++;
        ((struct entity *)array_edit(&agg->entities, id))->created = MAX(created, (i64)1);
    }
}

/* Adds to the series' row of one width, through the cursor if it still fits. Returns the row. */
static inline u32 add_width(struct agg *agg, enum width kind, u32 index, struct series *series,
                            i64 time, const struct delta *delta) {
    struct width_rows *width = &agg->width[kind];
    const i64 ms = width_ms(kind);
    u32 bucket = (u32)(time / ms);
    u32 at = series->row[kind];
    if (unlikely(!cursor_fits(width, at, index, bucket))) {
        at = partition_row(agg, kind, bucket, index);
        series->row[kind] = at;
    }
    row_add(row_edit(&width->rows, at), delta, &agg->wides, TIME_LAST, time - (i64)bucket * ms);
    return at;
}

u32 apply_late(struct agg *agg, u32 index, struct series *series, i64 time,
               const struct delta *delta) {
    u32 hour_row = 0;
    agg->past_events += time < agg_past(agg);
    if (time >= agg->width[WIDTH_MINUTE].edge) {
        u32 row = add_width(agg, WIDTH_MINUTE, index, series, time, delta);
        if (!agg_is_folded(agg, WIDTH_MINUTE, time, row)) {
            return 0;
        }
    }
    if (time >= agg->width[WIDTH_HOUR].edge) {
        hour_row = add_width(agg, WIDTH_HOUR, index, series, time, delta);
        if (!agg_is_folded(agg, WIDTH_HOUR, time, hour_row)) {
            return hour_row;
        }
    }
    add_width(agg, WIDTH_DAY, index, series, time, delta);
    return hour_row;
}

/* Adds an event to its tally: to the row of the open hour, as nearly always. */
static inline void add_tally(struct agg *agg, u32 part, struct series *series, i64 time,
                             const struct delta *delta) {
    u32 hour = (u32)(time / HOUR_MS);
    if (unlikely(time < agg->tallies.edge || !tally_cursor_fits(agg, series, part, hour))) {
        tally_add_slow(agg, series, part, time, delta);
        return;
    }
    row_add(row_edit(&agg->tallies.rows, series->tally_row), delta, &agg->wides, TIME_LAST,
            time - (i64)hour * HOUR_MS);
}

/* --- events ----------------------------------------------------------------------------------- */

static inline void add_texts(struct agg *agg, const struct event_batch *batch, u32 i,
                             const struct delta *delta) {
    if (event_has_text(batch, i, TEXT_AGENT)) {
        agg_agent_add(agg, batch, i, delta);
    }
    if (event_has_text(batch, i, TEXT_TRACE)) {
        agg_trace_add(agg, batch, i, delta->row.cost);
    }
}

void apply_texts(struct agg *agg, const struct event_batch *batch, u32 i) {
    struct delta delta;
    delta_read(&delta, batch, i);
    add_texts(agg, batch, i, &delta);
}

static inline __attribute__((always_inline)) void
add_event(struct agg *agg, const struct event_batch *batch, u32 i) {
    u32 index = batch->series[i];
    i64 time = batch->number[NUM_TIME][i];
    struct delta delta;
    delta_read(&delta, batch, i);
    struct series *series = record_edit(&agg->series, index, SHIFT_SERIES, sizeof *series);
    u32 hour_row = 0;
    if (likely(time >= agg->fold[WIDTH_MINUTE].next + MINUTE_MS)) {
        add_width(agg, WIDTH_MINUTE, index, series, time, &delta);
    } else {
        hour_row = apply_late(agg, index, series, time, &delta);
    }
    u32 band = agg_band_of(agg, time, hour_row);
    note_months(agg, series, time);
    if (unlikely(time < series->first)) {
        if (series->first == INT64_MAX) {
            begin_series(agg, index, series, batch->created[i]);
        }
        series->first = time;
        for (u32 kind = 0; kind < KINDS; kind++) {
            add_first(agg, series->cell[kind], time);
        }
    }
    if (likely(band == 0)) {
        row_add(&series->newest, &delta, &agg->wides, TIME_SEEN, time);
    } else {
        add_older(agg, &series->newest, series->band, band, time, &delta);
    }
    changes_note(agg, batch->account, &cell_at(agg, series->cell[KIND_CUSTOMER])->newest,
                 &cell_at(agg, series->cell[KIND_FEATURE])->newest, band, &delta.row);
    add_tally(agg, tally_part(batch, i), series, time, &delta);
    for (u32 kind = 0; kind < KINDS; kind++) {
        add_cell(agg, series->cell[kind], band, time, &delta);
    }
    add_texts(agg, batch, i, &delta);
    agg->oldest = MIN(agg->oldest, time);
    agg->newest = MAX(agg->newest, time);
}

void apply_event(struct agg *agg, const struct event_batch *batch, u32 i) {
    add_event(agg, batch, i);
}

void apply_slice_plain(struct agg *agg, const struct event_batch *batch, const u32 *rows,
                       u32 count) {
    for (u32 at = 0; at < count + HAND_SERIES; at++) {
        if (at < count) {
            hand_series(agg, batch, rows[at]);
        }
        if (at >= HAND_SERIES - HAND_ROWS && at - (HAND_SERIES - HAND_ROWS) < count) {
            hand_rows(agg, batch, rows[at - (HAND_SERIES - HAND_ROWS)]);
        }
        if (at >= HAND_SERIES) {
            add_event(agg, batch, rows[at - HAND_SERIES]);
        }
    }
}
