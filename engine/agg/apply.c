/* apply.c: the plain kernel, and what few events need. */
#include "agg/apply.h"

struct addend {
    struct delta delta;
};

static inline __attribute__((always_inline)) void
addend_read(struct addend *addend, const struct event_batch *batch, u32 index) {
    delta_read(&addend->delta, batch, index);
}

static inline __attribute__((always_inline)) void addend_add(struct row *row,
                                                             const struct addend *addend,
                                                             struct array *wides,
                                                             enum row_time kind, i64 time) {
    row_add(row, &addend->delta, wides, kind, time);
}

#define APPLY_NAME apply_slice_plain
#include "agg/apply_slice.h"

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
    ((struct cell *)array_at(&agg->cells, index))->newest.series = UINT32_MAX;
    ((struct cell_rest *)array_at(&agg->rests, index))->first = INT64_MAX;
    return index;
}

void agg_cell_add(struct agg *agg, u32 index, u32 band, i64 time, const struct delta *delta) {
    const struct addend addend = {*delta};
    add_cell(agg, index, band, time, &addend);
}

void apply_first(struct agg *agg, u32 index, struct cell *cell, i64 time) {
    if (time < rest_at(agg, index)->first) {
        struct cell_rest *rest = record_edit(&agg->rests, index, SHIFT_CELLS, sizeof *rest);
        rest->first = time;
        cell->newest.series = (u32)(time >> FIRST_SHIFT);
    }
}

void apply_begin(struct agg *agg, u32 index, const struct series *series, i64 created) {
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

void apply_older(struct agg *agg, struct row *newest, u32 *older, u32 band, i64 time,
                 const struct delta *delta) {
    row_add(band_edit(agg, NULL, older, band), delta, &agg->wides, TIME_NONE, 0);
    row_see(newest, time);
}

/* --- late events ------------------------------------------------------------------------------ */

u32 apply_late(struct agg *agg, u32 index, struct series *series, i64 time,
               const struct delta *delta) {
    const struct addend addend = {*delta};
    u32 hour_row = 0;
    agg->past_events += time < agg_past(agg);
    if (time >= agg->width[WIDTH_MINUTE].edge) {
        u32 row = add_width(agg, WIDTH_MINUTE, index, series, time, &addend);
        if (!agg_is_folded(agg, WIDTH_MINUTE, time, row)) {
            return 0;
        }
    }
    if (time >= agg->width[WIDTH_HOUR].edge) {
        hour_row = add_width(agg, WIDTH_HOUR, index, series, time, &addend);
        if (!agg_is_folded(agg, WIDTH_HOUR, time, hour_row)) {
            return hour_row;
        }
    }
    add_width(agg, WIDTH_DAY, index, series, time, &addend);
    return hour_row;
}
