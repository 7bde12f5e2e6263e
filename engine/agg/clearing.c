/* clearing.c: the plan of a clear. */
#include "agg/clearing.h"

#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

#define PAIR_KIND_SHIFT 62

static bool list_add(struct list_u32 *list, u32 number) {
    if (list->count == list->capacity) {
        u32 capacity = MAX(list->capacity * 2, (u32)256);
        u32 *numbers = realloc(list->numbers, capacity * sizeof *numbers);
        if (numbers == NULL) {
            return false;
        }
        list->numbers = numbers;
        list->capacity = capacity;
    }
    list->numbers[list->count++] = number;
    return true;
}

/* --- which series ----------------------------------------------------------------------------- */

static bool name_matches(const struct clearing *clearing, const u32 *dims) {
    const struct agg_clear *what = &clearing->what;
    struct slice text = agg_value_text(clearing->agg, DIM_EVENT_NAME, dims[DIM_EVENT_NAME]);
    for (u32 i = 0; i < what->name_count; i++) {
        if (what->names[i].bytes == text.bytes &&
            memcmp(what->names[i].data, text.data, text.bytes) == 0) {
            return true;
        }
    }
    return what->name_count == 0;
}

static bool series_matches(const struct clearing *clearing, u32 series) {
    const u32 *dims = dims_of(clearing->agg, series);
    return series_at(clearing->agg, series)->first != INT64_MAX &&
           (clearing->whole ||
            (dims[DIM_SOURCE] == clearing->what.source && name_matches(clearing, dims)));
}

static int ascending(const void *left, const void *right) {
    u32 a = *(const u32 *)left;
    u32 b = *(const u32 *)right;
    return (a > b) - (a < b);
}

static enum err find_series(struct clearing *clearing) {
    const struct agg *agg = clearing->agg;
    const struct account *account = account_at(agg, clearing->what.account);
    struct list_u32 found = {0};
    u32 at = account == NULL ? 0 : account->series_head;
    bool good = true;
    for (; at != 0 && good; at = link_at(agg, at - 1)->next[LIST_ACCOUNT]) {
        good = !series_matches(clearing, at - 1) || list_add(&found, at - 1);
    }
    clearing->series = found.numbers;
    clearing->series_count = found.count;
    clearing->marked = calloc(agg->settled / 64 + 1, sizeof *clearing->marked);
    if (!good || clearing->marked == NULL) {
        return ERR_NO_MEMORY;
    }
    if (found.count > 0) {
        qsort(found.numbers, found.count, sizeof *found.numbers, ascending);
    }
    for (u32 i = 0; i < found.count; i++) {
        clearing->marked[found.numbers[i] / 64] |= (u64)1 << (found.numbers[i] % 64);
    }
    return ERR_OK;
}

/* --- what they touch -------------------------------------------------------------------------- */

static enum err touch_cell(struct clearing *clearing, u32 cell, u32 kind, i64 first, i64 last) {
    u32 before = clearing->cells.count;
    u32 index = number_set_put(&clearing->cells, cell);
    if (index == UINT32_MAX) {
        return ERR_NO_MEMORY;
    }
    if (index == before) {
        if ((before & (before - 1)) == 0) { /* powers of two */
            usize room = MAX((usize)before * 2, (usize)1);
            struct touched *touched = realloc(clearing->touched, room * sizeof *touched);
            if (touched == NULL) {
                return ERR_NO_MEMORY;
            }
            clearing->touched = touched;
        }
        clearing->touched[index] =
            (struct touched){cell, kind, INT64_MAX, INT64_MIN, INT64_MAX, INT64_MIN};
    }
    struct touched *touched = &clearing->touched[index];
    touched->removed_first = MIN(touched->removed_first, first);
    touched->removed_last = MAX(touched->removed_last, last);
    return ERR_OK;
}

static u64 pair_number(u32 kind, u64 pair) {
    return (u64)kind << PAIR_KIND_SHIFT | pair;
}

static enum err touch_pairs(struct clearing *clearing, u32 series) {
    u64 pair[PAIR_KINDS];
    pairs_of(clearing->agg, series, pair);
    for (u32 kind = 0; kind < PAIR_KINDS; kind++) {
        if (pair[kind] != 0 &&
            number_set_put(&clearing->pairs, pair_number(kind, pair[kind])) == UINT32_MAX) {
            return ERR_NO_MEMORY;
        }
    }
    return ERR_OK;
}

u64 agg_series_events(const struct agg *agg, const struct series *series) {
    struct sums sums = {0};
    for (u32 band = 0; band < BANDS; band++) {
        row_read(band_of(agg, &series->newest, series->band, band), &agg->wides, &sums);
    }
    return sums.events;
}

static enum err touch_all(struct clearing *clearing) {
    const struct agg *agg = clearing->agg;
    enum err err = ERR_OK;
    for (u32 i = 0; i < clearing->series_count && err == ERR_OK; i++) {
        const struct series *series = series_at(agg, clearing->series[i]);
        i64 last = row_seen(&series->newest);
        clearing->events += agg_series_events(agg, series);
        clearing->first = MIN(clearing->first, series->first);
        clearing->last = MAX(clearing->last, last);
        for (u32 kind = 0; kind < KINDS && err == ERR_OK; kind++) {
            err = touch_cell(clearing, series->cell[kind], kind, series->first, last);
        }
        if (err == ERR_OK) {
            err = touch_pairs(clearing, clearing->series[i]);
        }
    }
    if (err == ERR_OK) {
        clearing->pair_stays = calloc(clearing->pairs.count + 1, sizeof *clearing->pair_stays);
        err = clearing->pair_stays != NULL ? ERR_OK : ERR_NO_MEMORY;
    }
    return err;
}

/* --- what stays ------------------------------------------------------------------------------- */

static void keep_series(struct clearing *clearing, u32 index) {
    const struct series *series = series_at(clearing->agg, index);
    u64 pair[PAIR_KINDS];
    for (u32 kind = 0; kind < KINDS; kind++) {
        u32 found = number_set_find(&clearing->cells, series->cell[kind]);
        if (found != UINT32_MAX) {
            struct touched *touched = &clearing->touched[found];
            touched->first = MIN(touched->first, series->first);
            touched->last = MAX(touched->last, row_seen(&series->newest));
        }
    }
    pairs_of(clearing->agg, index, pair);
    for (u32 kind = 0; kind < PAIR_KINDS; kind++) {
        u32 found = pair[kind] == 0
                        ? UINT32_MAX
                        : number_set_find(&clearing->pairs, pair_number(kind, pair[kind]));
        if (found != UINT32_MAX) {
            clearing->pair_stays[found] = true;
        }
    }
}

/* One pass over the account's series. */
static void keep_all(struct clearing *clearing) {
    const struct agg *agg = clearing->agg;
    const struct account *account = account_at(agg, clearing->what.account);
    u32 at = account == NULL || clearing->whole ? 0 : account->series_head;
    for (; at != 0; at = link_at(agg, at - 1)->next[LIST_ACCOUNT]) {
        if (series_at(agg, at - 1)->first != INT64_MAX && !clearing_has(clearing, at - 1)) {
            keep_series(clearing, at - 1);
        }
    }
}

/* When all events began and ended, if that was one of those removed. */
static void keep_bounds(struct clearing *clearing) {
    const struct agg *agg = clearing->agg;
    clearing->oldest = agg->oldest;
    clearing->newest = agg->newest;
    if (clearing->series_count == 0 ||
        (clearing->first > agg->oldest && clearing->last < agg->newest)) {
        return;
    }
    clearing->oldest = INT64_MAX;
    clearing->newest = INT64_MIN;
    for (u32 series = 0; series < agg->settled; series++) {
        if (series_at(agg, series)->first != INT64_MAX && !clearing_has(clearing, series)) {
            clearing->oldest = MIN(clearing->oldest, series_at(agg, series)->first);
            clearing->newest = MAX(clearing->newest, row_seen(&series_at(agg, series)->newest));
        }
    }
}

/* --- rows ------------------------------------------------------------------------------------- */

static bool take_row(struct clearing *clearing, enum width kind, u32 row) {
    return row == 0 || list_add(&clearing->rows[kind], row);
}

/* The partition's rows of the series: one by one, or by going through all rows, whichever is less.
 */
static bool find_in(struct clearing *clearing, enum width kind, const struct partition *partition) {
    const struct width_rows *width = &clearing->agg->width[kind];
    bool good = true;
    if (clearing->series_count < partition->row_count) {
        for (u32 i = 0; i < clearing->series_count && good; i++) {
            good = take_row(clearing, kind, partition_find(partition, clearing->series[i]));
        }
        return good;
    }
    for (u32 place = 0; place < partition->row_count && good; place++) {
        u32 row = partition_row_at(partition, place);
        good = !clearing_has(clearing, row_at(&width->rows, row)->series) ||
               take_row(clearing, kind, row);
    }
    return good;
}

static enum err find_rows(struct clearing *clearing) {
    bool good = true;
    for (u32 kind = 0; kind < WIDTHS && good; kind++) {
        const struct width_rows *width = &clearing->agg->width[kind];
        u32 place = width_lower_bound(width, (u32)(clearing->first / width->ms));
        for (; place < width->count && good; place++) {
            if ((i64)width->list[place]->bucket * width->ms > clearing->last) {
                break;
            }
            good = find_in(clearing, (enum width)kind, width->list[place]);
        }
    }
    return good ? ERR_OK : ERR_NO_MEMORY;
}

/* --- months ----------------------------------------------------------------------------------- */

u32 agg_cell_entity(const struct agg *agg, u32 cell, u32 kind) {
    const struct owner *owner = array_fast(&agg->owners, cell, SHIFT_OWNERS, sizeof *owner);
    return list_at(&account_at(agg, owner->account)->entities[kind], owner->place);
}

static bool row_in_buckets(const struct agg *agg, enum width kind, u32 series, i64 from, i64 to) {
    const struct width_rows *width = &agg->width[kind];
    u32 place = from >= to ? width->count : width_lower_bound(width, (u32)(from / width->ms));
    for (; place < width->count && (i64)width->list[place]->bucket * width->ms < to; place++) {
        u32 row = partition_find(width->list[place], series);
        if (row != 0 && !row_is_empty(row_at(&width->rows, row), &agg->wides)) {
            return true;
        }
    }
    return false;
}

/* Has the series an event in [from, to), which are midnights? Days have what is folded into them,
 * finer buckets the rest. */
static bool series_in(const struct agg *agg, u32 index, i64 from, i64 to) {
    const struct series *series = series_at(agg, index);
    i64 last = row_seen(&series->newest);
    if (series->first == INT64_MAX || last < from || series->first >= to) {
        return false;
    }
    if (series->first >= from || last < to) {
        return true;
    }
    i64 days = agg_whole(agg, WIDTH_DAY);
    i64 hours = agg_whole(agg, WIDTH_HOUR);
    return row_in_buckets(agg, WIDTH_DAY, index, from, to) ||
           row_in_buckets(agg, WIDTH_HOUR, index, MAX(from, days), to) ||
           row_in_buckets(agg, WIDTH_MINUTE, index, MAX(from, hours), to);
}

/* Does a series that stays, of this entity, have events in the month? */
static bool entity_in(const struct clearing *clearing, u32 id, u32 month) {
    const struct agg *agg = clearing->agg;
    const struct entity *entity = entity_at(agg, id);
    enum kind kind = (enum kind)entity->kind;
    u32 dim = kind_dim(kind);
    i64 from = months_start(month);
    i64 to = months_start(month + 1);
    u32 at = value_at(agg, dim, entity->key[0])->series_head;
    for (; at != 0; at = link_at(agg, at - 1)->next[dim]) {
        u32 class = link_at(agg, at - 1)->class;
        if ((class & CLASS_STRIPE) == 0 && !clearing_has(clearing, at - 1) &&
            series_at(agg, at - 1)->cell[kind] == entity->cell[class] &&
            series_in(agg, at - 1, from, to)) {
            return true;
        }
    }
    return false;
}

/* The first and last month of what stays, over the entity's cells. */
static void months_left(const struct clearing *clearing, u32 id, struct activity *next) {
    const struct agg *agg = clearing->agg;
    const struct entity *entity = entity_at(agg, id);
    i64 first = INT64_MAX;
    i64 last = INT64_MIN;
    for (u32 class = 0; class < CLASSES; class ++) {
        u32 cell = entity->cell[class];
        u32 found = number_set_find(&clearing->cells, cell);
        if (cell == 0 || (class & CLASS_STRIPE) != 0) {
            continue;
        }
        bool touched = found != UINT32_MAX;
        first = MIN(first, touched ? clearing->touched[found].first : rest_at(agg, cell)->first);
        last = MAX(last,
                   touched ? clearing->touched[found].last : row_seen(&cell_at(agg, cell)->newest));
    }
    *next = first == INT64_MAX
                ? (struct activity){0}
                : (struct activity){.newest = (u16)months_of(last), .first = (u16)months_of(first)};
}

static void plan_activity(const struct clearing *clearing, struct activity_change *change,
                          const struct touched *touched) {
    const struct activity *old = &change->old;
    u32 removed_first = months_of(touched->removed_first);
    u32 removed_last = months_of(touched->removed_last);
    months_left(clearing, change->entity, &change->next);
    for (u32 back = 0; back < MONTH_BITS; back++) {
        u32 month = (u32)old->newest - back;
        u32 bit = (u32)1 << month % MONTH_BITS;
        if (back > old->newest || (old->bits & bit) == 0) {
            continue;
        }
        bool concerned = month >= removed_first && month <= removed_last;
        bool stays =
            change->next.first != 0 && (!concerned || entity_in(clearing, change->entity, month));
        change->lost |= stays ? 0 : bit;
    }
    /* Months that come into sight again behind a newest one that is gone. */
    u32 fresh = old->newest - change->next.newest;
    change->next.bits = change->next.first == 0 ? 0 : old->bits & ~change->lost;
    for (u32 i = 0; i < MIN(fresh, (u32)MONTH_BITS) && change->next.first != 0; i++) {
        u32 month = change->next.newest - (MONTH_BITS - 1) + i;
        bool known = change->next.newest >= MONTH_BITS - 1 && month >= change->next.first;
        if (known && old->newest - month >= MONTH_BITS &&
            entity_in(clearing, change->entity, month)) {
            change->next.bits |= (u32)1 << month % MONTH_BITS;
        }
    }
}

static enum err find_activities(struct clearing *clearing) {
    const struct agg *agg = clearing->agg;
    clearing->activities = malloc((clearing->cells.count + 1) * sizeof *clearing->activities);
    struct number_set done = {0};
    enum err err = clearing->activities == NULL ? ERR_NO_MEMORY : ERR_OK;
    for (u32 i = 0; i < clearing->cells.count && err == ERR_OK; i++) {
        const struct touched *touched = &clearing->touched[i];
        if (touched->kind >= MONTH_KINDS) {
            continue;
        }
        u32 entity = agg_cell_entity(agg, touched->cell, touched->kind);
        struct activity old = months_activity(agg, entity);
        u32 before = done.count;
        u32 index = number_set_put(&done, entity);
        if (index == UINT32_MAX) {
            err = ERR_NO_MEMORY;
        } else if (index == before && old.first != 0) {
            struct touched both = *touched;
            for (u32 class = 0; class < CLASSES; class ++) {
                u32 other = entity_at(agg, entity)->cell[class];
                u32 found = number_set_find(&clearing->cells, other);
                if (other != 0 && found != UINT32_MAX) {
                    const struct touched *more = &clearing->touched[found];
                    both.removed_first = MIN(both.removed_first, more->removed_first);
                    both.removed_last = MAX(both.removed_last, more->removed_last);
                }
            }
            struct activity_change *change = &clearing->activities[clearing->activity_count++];
            *change = (struct activity_change){.entity = entity, .kind = touched->kind, .old = old};
            plan_activity(clearing, change, &both);
        }
    }
    number_set_free(&done);
    return err;
}

/* When the first event of a customer that stays was received. */
static i64 created_of(const struct clearing *clearing, u32 id) {
    const struct agg *agg = clearing->agg;
    const struct entity *entity = entity_at(agg, id);
    i64 created = 0;
    u32 at =
        entity->key[0] == DIM_NONE ? 0 : value_at(agg, DIM_CUSTOMER, entity->key[0])->series_head;
    for (; at != 0; at = link_at(agg, at - 1)->next[DIM_CUSTOMER]) {
        i64 begun = *(const i64 *)array_at(&agg->begun, at - 1);
        if (begun != 0 && !clearing_has(clearing, at - 1) && (created == 0 || begun < created)) {
            created = begun;
        }
    }
    return created;
}

static enum err find_customers(struct clearing *clearing) {
    const struct agg *agg = clearing->agg;
    clearing->customers = malloc((clearing->cells.count + 1) * sizeof *clearing->customers);
    if (clearing->customers == NULL) {
        return ERR_NO_MEMORY;
    }
    for (u32 i = 0; i < clearing->cells.count; i++) {
        if (clearing->touched[i].kind == KIND_CUSTOMER) {
            u32 entity = agg_cell_entity(agg, clearing->touched[i].cell, KIND_CUSTOMER);
            clearing->customers[clearing->customer_count++] = (struct customer_change){
                entity, clearing->whole ? 0 : created_of(clearing, entity)};
        }
    }
    return ERR_OK;
}

/* --- the plan --------------------------------------------------------------------------------- */

/* What taking out may need: a wide sum for a band here and there; tallies that are filled anew. */
static usize memory_bytes(const struct clearing *clearing) {
    usize bands = (usize)clearing->series_count * KINDS;
    return bands * sizeof(struct sums) / 4 + (usize)clearing->what.kept_count * KIB;
}

enum err agg_clear_plan(struct agg *agg, const struct agg_clear *clear, struct clearing **out) {
    struct clearing *clearing = calloc(1, sizeof *clearing);
    if (clearing == NULL) {
        return ERR_NO_MEMORY;
    }
    clearing->agg = agg;
    clearing->what = *clear;
    clearing->whole = clear->source == DIM_NONE;
    clearing->first = INT64_MAX;
    clearing->last = INT64_MIN;
    enum err err = find_series(clearing);
    if (err == ERR_OK) {
        err = touch_all(clearing);
    }
    if (err == ERR_OK) {
        keep_all(clearing);
        keep_bounds(clearing);
        err = find_activities(clearing);
    }
    if (err == ERR_OK) {
        err = find_customers(clearing);
    }
    clearing->small = clearing->events + clear->kept_count <= AGG_SMALL;
    if (err == ERR_OK && clearing->small && clearing->series_count > 0) {
        err = find_rows(clearing);
    }
    if (err == ERR_OK && !agg_reserve(agg, memory_bytes(clearing))) {
        err = ERR_NO_MEMORY;
    }
    if (err != ERR_OK) {
        clearing_free(clearing);
        return err;
    }
    *out = clearing;
    return ERR_OK;
}

void clearing_free(struct clearing *clearing) {
    if (clearing == NULL) {
        return;
    }
    for (u32 kind = 0; kind < WIDTHS; kind++) {
        free(clearing->rows[kind].numbers);
    }
    number_set_free(&clearing->cells);
    number_set_free(&clearing->pairs);
    free(clearing->pair_stays);
    free(clearing->touched);
    free(clearing->activities);
    free(clearing->customers);
    free(clearing->marked);
    free(clearing->series);
    free(clearing);
}

const u32 *clearing_series(const struct clearing *clearing, u32 *count) {
    *count = clearing->series_count;
    return clearing->series;
}

u64 clearing_events(const struct clearing *clearing) {
    return clearing->events;
}
