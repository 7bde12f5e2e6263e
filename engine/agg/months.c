/* months.c: activity of entities by month. */
#include "agg/months.h"

#include "agg/state.h"
#include "json/time.h"

#include <string.h>

bool months_init(struct agg *agg) {
    struct months *months = &agg->months;
    if (!array_init(&months->activity, &agg->heap, &agg->undo, ARRAY_ACTIVITY,
                    sizeof(struct activity), SHIFT_ENTITIES, SERIES_MAX * (u64)2) ||
        !array_init(&months->rows, &agg->heap, &agg->undo, ARRAY_MONTHS, sizeof(struct month_row),
                    8, (u32)1 << 26)) {
        return false;
    }
    return true;
}

u32 months_of(i64 time_ms) {
    u32 year;
    u32 month;
    u32 day;
    time_civil(time_ms / DAY_MS, &year, &month, &day);
    return (year - 1970) * 12 + month - 1;
}

i64 months_start(u32 month) {
    return time_days(1970 + month / 12, month % 12 + 1, 1) * DAY_MS;
}

/* Months are asked for in runs. */
static u32 month_known(struct months *months, i64 time) {
    if (time < months->start || time >= months->end) {
        months->month = months_of(time);
        months->start = months_start(months->month);
        months->end = months_start(months->month + 1);
    }
    return months->month;
}

static struct activity *activity_edit(struct agg *agg, u32 entity) {
    struct array *activity = &agg->months.activity;
    if (entity >= activity->count) {
        check(array_reserve(activity, entity + 1 - activity->count));
        activity->count = entity + 1;
    }
    return array_edit(activity, entity);
}

static void count_month(struct agg *agg, u32 kind, u32 account_id, u32 month) {
    struct account *account = account_at(agg, account_id);
    u32 row = run_find(&account->months, month);
    if (row == 0) {
        row = array_add(&agg->months.rows);
        *(struct month_row *)array_edit(&agg->months.rows, row) =
            (struct month_row){.account = account_id, .month = month};
        check(run_insert(&account->months, &agg->heap, month, row));
    }
    ((struct month_row *)array_edit(&agg->months.rows, row))->active[kind]++;
}

void months_note(struct agg *agg, u32 kind, u32 cell, i64 time) {
    u32 month = month_known(&agg->months, time);
    const struct owner *owner = array_fast(&agg->owners, cell, SHIFT_OWNERS, sizeof(struct owner));
    if ((owner->class & CLASS_STRIPE) != 0 || owner->none || month == 0 || month > UINT16_MAX) {
        return;
    }
    u32 entity = list_at(&account_at(agg, owner->account)->entities[kind], owner->place);
    struct activity *activity = activity_edit(agg, entity);
    if (activity->first == 0) {
        *activity = (struct activity){.newest = (u16)month, .first = (u16)month};
    }
    activity->first = MIN(activity->first, (u16)month);
    if (month > activity->newest) {
        u32 later = month - activity->newest;
        for (u32 i = 1; i <= MIN(later, (u32)MONTH_BITS); i++) {
            activity->bits &= ~((u32)1 << (activity->newest + i) % MONTH_BITS);
        }
        activity->newest = (u16)month;
    }
    u32 bit = (u32)1 << month % MONTH_BITS;
    if (activity->newest - month < MONTH_BITS && (activity->bits & bit) == 0) {
        activity->bits |= bit;
        count_month(agg, kind, owner->account, month);
    }
}

void months_change(struct agg *agg, u32 account, u32 kind, u32 entity, const struct activity *old,
                   const struct activity *next, u32 lost) {
    for (u32 back = 0; back < MIN((u32)MONTH_BITS, old->newest + 1u); back++) {
        u32 month = old->newest - back;
        u32 row = run_find(&account_at(agg, account)->months, month);
        if ((lost >> month % MONTH_BITS & 1) != 0 && row != 0) {
            ((struct month_row *)array_edit(&agg->months.rows, row))->active[kind]--;
        }
    }
    *activity_edit(agg, entity) = *next;
}

void months_expire(struct agg *agg, u32 account, u32 month) {
    const struct run *run = &account_at(agg, account)->months;
    for (u32 i = 0; i < run->count && run_bucket(run, i) < month; i++) {
        struct month_row *row = array_edit(&agg->months.rows, run_number(run, i));
        memset(row->active, 0, sizeof row->active);
    }
}

enum err months_rebuild(struct agg *agg) {
    struct months *months = &agg->months;
    if (months->activity.count > MAX(agg->entities.count, 1u)) {
        return ERR_CORRUPT;
    }
    for (u32 id = 1; id < months->rows.count; id++) {
        const struct month_row *row = array_at(&months->rows, id);
        struct account *account =
            row->account < ACCOUNTS_MAX ? account_at(agg, row->account) : NULL;
        if (account == NULL || run_find(&account->months, row->month) != 0) {
            return ERR_CORRUPT;
        }
        if (!run_insert(&account->months, &agg->heap, row->month, id)) {
            return ERR_NO_MEMORY;
        }
    }
    return ERR_OK;
}

struct activity months_activity(const struct agg *agg, u32 entity) {
    const struct array *activity = &agg->months.activity;
    return entity < activity->count ? *(const struct activity *)array_at(activity, entity)
                                    : (struct activity){0};
}

void months_counts(const struct agg *agg, u32 account_id, u32 month, u32 active[MONTH_KINDS]) {
    const struct account *account = account_seen(agg, account_id);
    u32 row = account == NULL ? 0 : run_find(&account->months, month);
    for (u32 kind = 0; kind < MONTH_KINDS; kind++) {
        active[kind] =
            row == 0 ? 0
                     : ((const struct month_row *)array_at(&agg->months.rows, row))->active[kind];
    }
}
