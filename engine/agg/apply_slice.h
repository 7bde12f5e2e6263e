/*
 * apply_slice.h: the body of a kernel, included once by each, which has defined APPLY_NAME, the
 * function's name, and `struct addend`, what an event adds with a struct delta in it, addend_read()
 * and addend_add(). (tidy: allow inclusion, for that reason.)
 *
 * An event adds to six rows: its series' minute (hour and day follow later: fold.c), the series'
 * newest band, and those of customer, feature, model and cost type. Each is one cache line, and
 * most are cold; so a slice of events is walked by three hands, the first fetching the series, the
 * second what the series points to, well ahead of the one that adds.
 */
#define HAND_ROWS 12 /* how far each hand is ahead, in events */
#define HAND_SERIES 26
#define KINDS_COLD 2 /* customers and features; models and cost types are few and warm */

/* Of a cell that is only some seconds old: the rest of it, which knows, need not be looked at for
 * events that come in order. */
static inline bool may_be_first(const struct cell *cell, i64 time) {
    return cell->newest.series == UINT32_MAX || time < row_seen(&cell->newest);
}

static inline __attribute__((always_inline)) void add_cell(struct agg *agg, u32 index, u32 band,
                                                           i64 time, const struct addend *addend) {
    struct cell *cell = record_edit(&agg->cells, index, SHIFT_CELLS, sizeof *cell);
    if (unlikely((u64)time >> FIRST_SHIFT <= cell->newest.series) && may_be_first(cell, time)) {
        apply_first(agg, index, cell, time);
    }
    if (likely(band == 0)) {
        addend_add(&cell->newest, addend, &agg->wides, TIME_SEEN, time);
    } else {
        struct cell_rest *rest = record_edit(&agg->rests, index, SHIFT_CELLS, sizeof *rest);
        apply_older(agg, &cell->newest, rest->band, band, time, &addend->delta);
    }
}

/* Adds to the series' row of one width, through the cursor if it still fits. Returns the row. */
static inline __attribute__((always_inline)) u32 add_width(struct agg *agg, enum width kind,
                                                           u32 index, struct series *series,
                                                           i64 time, const struct addend *addend) {
    struct width_rows *width = &agg->width[kind];
    const i64 ms = width_ms(kind);
    u32 bucket = (u32)(time / ms);
    u32 at = series->row[kind];
    if (unlikely(!cursor_fits(width, at, index, bucket))) {
        at = partition_row(agg, kind, bucket, index);
        series->row[kind] = at;
    }
    addend_add(row_edit(&width->rows, at), addend, &agg->wides, TIME_LAST, time - (i64)bucket * ms);
    return at;
}

/* Adds an event to its tally: to the row of the open hour, as nearly always. */
static inline __attribute__((always_inline)) void add_tally(struct agg *agg,
                                                            const struct event_batch *batch, u32 i,
                                                            struct series *series, i64 time,
                                                            const struct addend *addend) {
    u32 part = tally_part(batch, i);
    u32 hour = (u32)(time / HOUR_MS);
    const struct row *known = row_at(&agg->tallies.rows, series->tally_row);
    if (unlikely(series->tally_part != part || known->series != series->tally ||
                 known->stamp != tally_stamp(hour) || time < agg->tallies.edge)) {
        tally_add_slow(agg, series, part, time, &addend->delta);
        return;
    }
    addend_add(row_edit(&agg->tallies.rows, series->tally_row), addend, &agg->wides, TIME_LAST,
               time - (i64)hour * HOUR_MS);
}

/* Before the series and its cells take the event in. A series that was seen in the month has noted
 * it for all of them. */
static inline __attribute__((always_inline)) void
note_months(struct agg *agg, const struct series *series, i64 time) {
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

static inline __attribute__((always_inline)) void
add_event(struct agg *agg, const struct event_batch *batch, u32 i) {
    u32 index = batch->series[i];
    i64 time = batch->number[NUM_TIME][i];
    struct addend addend;
    addend_read(&addend, batch, i);
    struct series *series = record_edit(&agg->series, index, SHIFT_SERIES, sizeof *series);
    u32 hour_row = 0;
    if (likely(time >= agg->fold[WIDTH_MINUTE].next + MINUTE_MS)) {
        add_width(agg, WIDTH_MINUTE, index, series, time, &addend);
    } else {
        hour_row = apply_late(agg, index, series, time, &addend.delta);
    }
    u32 band = agg_band_of(agg, time, hour_row);
    note_months(agg, series, time);
    if (unlikely(time < series->first)) {
        if (series->first == INT64_MAX) {
            apply_begin(agg, index, series, batch->created[i]);
        }
        series->first = time;
    }
    if (likely(band == 0)) {
        addend_add(&series->newest, &addend, &agg->wides, TIME_SEEN, time);
    } else {
        apply_older(agg, &series->newest, series->band, band, time, &addend.delta);
    }
    changes_note(agg, series->cell, band, &addend.delta);
    add_tally(agg, batch, i, series, time, &addend);
    for (u32 kind = 0; kind < KINDS; kind++) {
        add_cell(agg, series->cell[kind], band, time, &addend);
    }
    if (event_has_text(batch, i, TEXT_AGENT)) {
        agg_agent_add(agg, batch, i, &addend.delta);
    }
    if (event_has_text(batch, i, TEXT_TRACE)) {
        agg_trace_add(agg, batch, i, addend.delta.row.cost);
    }
    agg->oldest = MIN(agg->oldest, time);
    agg->newest = MAX(agg->newest, time);
}

/* Inlined by force: gcc takes a function that only prefetches for one without effect, and drops the
 * call. */
static inline __attribute__((always_inline)) void
hand_rows(const struct agg *agg, const struct event_batch *batch, u32 i) {
    const struct series *series = series_at(agg, batch->series[i]);
    __builtin_prefetch(row_at(&agg->width[WIDTH_MINUTE].rows, series->row[WIDTH_MINUTE]), 1);
    for (u32 kind = 0; kind < KINDS_COLD; kind++) {
        __builtin_prefetch(cell_at(agg, series->cell[kind]), 1);
    }
}

void APPLY_NAME(struct agg *agg, const struct event_batch *batch, const u32 *rows, u32 count) {
    for (u32 at = 0; at < count + HAND_SERIES; at++) {
        if (at < count) {
            const struct series *series = series_at(agg, batch->series[rows[at]]);
            __builtin_prefetch(series);
            __builtin_prefetch(&series->newest, 1);
        }
        if (at >= HAND_SERIES - HAND_ROWS && at - (HAND_SERIES - HAND_ROWS) < count) {
            hand_rows(agg, batch, rows[at - (HAND_SERIES - HAND_ROWS)]);
        }
        if (at >= HAND_SERIES) {
            add_event(agg, batch, rows[at - HAND_SERIES]);
        }
    }
}
