/* expire.c: see expire.h. */
#include "agg/expire.h"

#include "agg/apply.h"
#include "agg/clearing.h"
#include "agg/numbers.h"

#include <stdlib.h>
#include <string.h>

#define SLICE_STEPS 1024      /* done while readers wait */
#define LOOK_SERIES 4096      /* looked at in one call */
#define EVENT_BYTES (4 * KIB) /* the most that taking one out makes anew */
#define END_BYTES (32 * MIB)  /* the most that a call of the end takes */
#define CHUNKS_A_STEP 8       /* of rows */
#define TALLY_STEPS 16        /* that expiring one takes the time of */
#define PAIR_KIND_SHIFT 62

struct series_fact { /* of what stays */
    i64 first;       /* INT64_MAX: nothing was seen */
    i64 begun;
};

struct cell_fact {
    u32 kind;
    i64 first;
};

struct agg_expiry {
    struct agg *agg;
    i64 before;
    u64 removed;
    u32 series_end; /* later ones have lost nothing */
    u32 looked;
    u64 *touched; /* bit per series: it has lost events */
    u32 *rank;    /* touched series before each 64 */
    u32 noted;    /* of these, such as are known */
    u32 touched_count;
    struct series_fact *facts; /* of touched series, ascending */
    struct number_set cells;   /* fed by touched series */
    struct cell_fact *cell_facts;
    struct number_set pairs; /* of touched series, kind << 62 | pair */
    bool *pair_stays;
    struct number_set agents; /* that have lost events */
    i64 *agent_first;
    struct number_set traces; /* likewise */
    struct trace *trace_facts;
    i64 oldest; /* of what stays */

    u32 stage; /* of the end */
    u32 at;    /* where the stage is */
    u32 steps; /* left of this call */
    bool short_of_memory;
    u32 link; /* of the customer at hand: the series that is next, and when the first that stays */
    i64 created; /* of those before was received */
    bool once_more;
    u32 traces_gone;
    struct trace_sweep sweep;
    struct partition *taken; /* its chunks are freed */
};

i64 agg_oldest(struct agg *agg) {
    agg_read_lock(agg);
    i64 oldest = agg->oldest;
    agg_read_unlock(agg);
    return oldest;
}

bool agg_expire_ready(const struct agg *agg, i64 before_ms) {
    return agg_whole(agg, WIDTH_DAY) >= before_ms && agg_past(agg) >= before_ms;
}

enum err agg_expire_begin(struct agg *agg, i64 before_ms, struct agg_expiry **out) {
    check(before_ms % DAY_MS == 0 && agg_expire_ready(agg, before_ms));
    struct agg_expiry *expiry = calloc(1, sizeof *expiry);
    u64 *touched = calloc(agg->settled / 64 + 1, sizeof *touched);
    if (expiry == NULL || touched == NULL) {
        free(expiry);
        free(touched);
        return ERR_NO_MEMORY;
    }
    *expiry = (struct agg_expiry){.agg = agg,
                                  .before = before_ms,
                                  .series_end = agg->settled,
                                  .touched = touched,
                                  .oldest = INT64_MAX};
    agg->expiring = true;
    *out = expiry;
    return ERR_OK;
}

void agg_expire_free(struct agg_expiry *expiry) {
    if (expiry != NULL) {
        number_set_free(&expiry->cells);
        number_set_free(&expiry->pairs);
        number_set_free(&expiry->agents);
        number_set_free(&expiry->traces);
        free(expiry->touched);
        free(expiry->rank);
        free(expiry->facts);
        free(expiry->cell_facts);
        free(expiry->pair_stays);
        free(expiry->agent_first);
        free(expiry->trace_facts);
        free(expiry);
    }
}

void agg_expire_cancel(struct agg_expiry *expiry) {
    check(expiry->removed == 0);
    expiry->agg->expiring = false;
    agg_expire_free(expiry);
}

u64 agg_expire_removed(const struct agg_expiry *expiry) {
    return expiry->removed;
}

static bool is_touched(const struct agg_expiry *expiry, u32 series) {
    return series < expiry->series_end && (expiry->touched[series / 64] >> (series % 64) & 1) != 0;
}

/* --- taking out ------------------------------------------------------------------------------- */

/* The band that counts the event: at an edge whose hour is moving, its row tells. */
static u32 band_of_event(const struct agg *agg, u32 series, i64 time) {
    u32 moving = 0;
    for (u32 edge = 0; edge < EDGES; edge++) {
        moving |= agg->moved[edge];
    }
    const struct partition *hour =
        moving == 0 ? NULL : width_find(&agg->width[WIDTH_HOUR], (u32)(time / HOUR_MS));
    return agg_band_of(agg, time, hour == NULL ? 0 : partition_find(hour, series));
}

static void take_from_cell(struct agg *agg, u32 at, u32 band, const struct delta *delta) {
    struct cell *cell = record_edit(&agg->cells, at, SHIFT_CELLS, sizeof *cell);
    struct cell_rest *rest = record_edit(&agg->rests, at, SHIFT_CELLS, sizeof *rest);
    row_take(band_edit(agg, &cell->newest, rest->band, band), delta, &agg->wides);
}

static bool take_event(struct agg_expiry *expiry, const struct event_batch *batch, u32 row) {
    struct agg *agg = expiry->agg;
    u32 index = batch->series[row];
    i64 time = batch->number[NUM_TIME][row];
    check(index < expiry->series_end && time < expiry->before);
    struct delta delta;
    delta_read(&delta, batch, row);
    struct series *series = record_edit(&agg->series, index, SHIFT_SERIES, sizeof *series);
    u32 band = band_of_event(agg, index, time);
    row_take(band_edit(agg, &series->newest, series->band, band), &delta, &agg->wides);
    for (u32 kind = 0; kind < KINDS; kind++) {
        take_from_cell(agg, series->cell[kind], band, &delta);
    }
    expiry->touched[index / 64] |= (u64)1 << (index % 64);
    expiry->removed++;
    u32 account = dims_of(agg, index)[DIM_ACCOUNT];
    if (event_has_text(batch, row, TEXT_AGENT)) {
        u32 agent = value_find(agg, account, STORE_DIMS, event_text_of(batch, row, TEXT_AGENT));
        if (agent != DIM_NONE) { /* else it was left out */
            take_from_cell(agg, value_at(agg, STORE_DIMS, agent)->entity, 0, &delta);
            if (number_set_put(&expiry->agents, agent) == UINT32_MAX) {
                return false;
            }
        }
    }
    if (event_has_text(batch, row, TEXT_TRACE)) {
        u32 trace = agg_trace_find(
            agg, agg_trace_hash(agg, account, event_text_of(batch, row, TEXT_TRACE)));
        return trace == UINT32_MAX || number_set_put(&expiry->traces, trace) != UINT32_MAX;
    }
    return true;
}

enum err agg_expire_take(struct agg_expiry *expiry, const struct event_batch *batch) {
    struct agg *agg = expiry->agg;
    bool good = true;
    for (u32 from = 0; from < batch->count && good; from += SLICE_STEPS) {
        u32 to = MIN(batch->count, from + SLICE_STEPS);
        if (!agg_reserve(agg, (to - from) * EVENT_BYTES)) {
            return ERR_NO_MEMORY;
        }
        agg_change_begin(agg);
        for (u32 row = from; row < to && good; row++) {
            good = take_event(expiry, batch, row);
        }
        agg->changed_count += CHANGED_RING + 1; /* rankings are made anew */
        agg_change_end(agg);
    }
    __atomic_add_fetch(&agg->version, 1, __ATOMIC_RELEASE);
    return good ? ERR_OK : ERR_NO_MEMORY;
}

/* --- what it concerns ------------------------------------------------------------------------- */

static u64 pair_number(u32 kind, u64 pair) {
    return (u64)kind << PAIR_KIND_SHIFT | pair;
}

static bool note_series(struct agg_expiry *expiry, u32 index) {
    const struct agg *agg = expiry->agg;
    const struct series *series = series_at(agg, index);
    u64 pair[PAIR_KINDS];
    bool good = true;
    for (u32 kind = 0; kind < KINDS && good; kind++) {
        good = number_set_put(&expiry->cells, (u64)series->cell[kind] << 8 | kind) != UINT32_MAX;
    }
    pairs_of(agg, index, pair);
    for (u32 kind = 0; kind < PAIR_KINDS && good; kind++) {
        good = pair[kind] == 0 ||
               number_set_put(&expiry->pairs, pair_number(kind, pair[kind])) != UINT32_MAX;
    }
    return good;
}

static bool take_memory(struct agg_expiry *expiry, u32 series_count) {
    u32 traces = expiry->traces.count;
    expiry->facts = malloc((series_count + (usize)1) * sizeof *expiry->facts);
    expiry->cell_facts = malloc((expiry->cells.count + (usize)1) * sizeof *expiry->cell_facts);
    expiry->pair_stays = calloc(expiry->pairs.count + (usize)1, sizeof *expiry->pair_stays);
    expiry->agent_first = malloc((expiry->agents.count + (usize)1) * sizeof *expiry->agent_first);
    expiry->trace_facts = aligned_alloc(64, (traces + (usize)1) * sizeof *expiry->trace_facts);
    return expiry->facts != NULL && expiry->cell_facts != NULL && expiry->pair_stays != NULL &&
           expiry->agent_first != NULL && expiry->trace_facts != NULL;
}

static void begin_facts(struct agg_expiry *expiry) {
    for (u32 i = 0; i < expiry->touched_count; i++) {
        expiry->facts[i] = (struct series_fact){.first = INT64_MAX};
    }
    for (u32 i = 0; i < expiry->cells.count; i++) {
        expiry->cell_facts[i] =
            (struct cell_fact){(u32)(expiry->cells.numbers[i] & 0xff), INT64_MAX};
    }
    for (u32 i = 0; i < expiry->agents.count; i++) {
        expiry->agent_first[i] = INT64_MAX;
    }
    for (u32 i = 0; i < expiry->traces.count; i++) {
        expiry->trace_facts[i] = (struct trace){
            .start = INT64_MAX, .duration_max = -1, .root_series = SERIES_UNRESOLVED};
    }
}

/* Touched series among the next 64. */
static bool note_word(struct agg_expiry *expiry) {
    u32 word = expiry->noted++;
    bool good = true;
    expiry->rank[word] = expiry->touched_count;
    for (u64 bits = expiry->touched[word]; bits != 0 && good; bits &= bits - 1) {
        good = note_series(expiry, word * 64 + (u32)__builtin_ctzll(bits));
        expiry->touched_count++;
    }
    return good;
}

enum err agg_expire_note(struct agg_expiry *expiry, bool *more) {
    u32 words = expiry->series_end / 64 + 1;
    bool good = expiry->rank != NULL;
    if (!good) {
        expiry->rank = calloc(words, sizeof *expiry->rank);
        good = expiry->rank != NULL;
    }
    agg_read_lock(expiry->agg);
    u32 end = MIN(words, expiry->noted + LOOK_SERIES / 64);
    while (expiry->noted < end && good) {
        good = note_word(expiry);
    }
    *more = expiry->noted < words;
    good = good && (*more || take_memory(expiry, expiry->touched_count));
    agg_read_unlock(expiry->agg);
    if (good && !*more) {
        begin_facts(expiry);
    }
    return good ? ERR_OK : ERR_NO_MEMORY;
}

static struct series_fact *fact_of(const struct agg_expiry *expiry, u32 series) {
    u64 before = expiry->touched[series / 64] & (((u64)1 << (series % 64)) - 1);
    return &expiry->facts[expiry->rank[series / 64] + (u32)__builtin_popcountll(before)];
}

/* --- what stays ------------------------------------------------------------------------------- */

/* A series has an event at this time, and so have its cells; its pairs stay. */
static void keep(struct agg_expiry *expiry, u32 index, i64 time) {
    const struct agg *agg = expiry->agg;
    const struct series *series = series_at(agg, index);
    u64 pair[PAIR_KINDS];
    for (u32 kind = 0; kind < KINDS; kind++) {
        u32 found = number_set_find(&expiry->cells, (u64)series->cell[kind] << 8 | kind);
        if (found != UINT32_MAX) {
            expiry->cell_facts[found].first = MIN(expiry->cell_facts[found].first, time);
        }
    }
    pairs_of(agg, index, pair);
    for (u32 kind = 0; kind < PAIR_KINDS; kind++) {
        u32 found = pair[kind] == 0
                        ? UINT32_MAX
                        : number_set_find(&expiry->pairs, pair_number(kind, pair[kind]));
        if (found != UINT32_MAX) {
            expiry->pair_stays[found] = true;
        }
    }
    expiry->oldest = MIN(expiry->oldest, time);
}

/* Those that have lost nothing: what is known of them holds. */
bool agg_expire_look(struct agg_expiry *expiry) {
    struct agg *agg = expiry->agg;
    agg_read_lock(agg);
    u32 count = agg_series_count(agg);
    u32 end = MIN(count, expiry->looked + LOOK_SERIES);
    for (; expiry->looked < end; expiry->looked++) {
        i64 first = series_at(agg, expiry->looked)->first;
        if (first != INT64_MAX && !is_touched(expiry, expiry->looked)) {
            keep(expiry, expiry->looked, first);
        }
    }
    agg_read_unlock(agg);
    return expiry->looked < count;
}

static void read_agent(struct agg_expiry *expiry, const struct event_batch *batch, u32 row,
                       u32 account) {
    u32 agent = value_find(expiry->agg, account, STORE_DIMS, event_text_of(batch, row, TEXT_AGENT));
    u32 found = agent == DIM_NONE ? UINT32_MAX : number_set_find(&expiry->agents, agent);
    if (found != UINT32_MAX) {
        expiry->agent_first[found] = MIN(expiry->agent_first[found], batch->number[NUM_TIME][row]);
    }
}

static void read_trace(struct agg_expiry *expiry, const struct event_batch *batch, u32 row,
                       u32 account) {
    const struct agg *agg = expiry->agg;
    u32 trace =
        agg_trace_find(agg, agg_trace_hash(agg, account, event_text_of(batch, row, TEXT_TRACE)));
    u32 found = trace == UINT32_MAX ? UINT32_MAX : number_set_find(&expiry->traces, trace);
    if (found != UINT32_MAX) {
        struct delta delta;
        delta_read(&delta, batch, row);
        agg_trace_take(agg, &expiry->trace_facts[found], batch, row, delta.row.cost);
    }
}

static void read_event(struct agg_expiry *expiry, const struct event_batch *batch, u32 row,
                       bool late) {
    u32 index = batch->series[row];
    i64 time = batch->number[NUM_TIME][row];
    if (is_touched(expiry, index)) {
        struct series_fact *fact = fact_of(expiry, index);
        fact->first = MIN(fact->first, time);
        fact->begun = fact->begun == 0 ? MAX(batch->created[row], (i64)1) : fact->begun;
    }
    if (late) {
        keep(expiry, index, time);
    }
    u32 account = dims_of(expiry->agg, index)[DIM_ACCOUNT];
    if (expiry->agents.count > 0 && event_has_text(batch, row, TEXT_AGENT)) {
        read_agent(expiry, batch, row, account);
    }
    if (expiry->traces.count > 0 && event_has_text(batch, row, TEXT_TRACE)) {
        read_trace(expiry, batch, row, account);
    }
}

void agg_expire_read(struct agg_expiry *expiry, const struct event_batch *batch, bool late) {
    agg_read_lock(expiry->agg);
    for (u32 row = 0; row < batch->count; row++) {
        read_event(expiry, batch, row, late);
    }
    agg_read_unlock(expiry->agg);
}

void agg_expire_applied(struct agg_expiry *expiry, const struct event_batch *batch, const u32 *rows,
                        u32 count) {
    for (u32 i = 0; i < count; i++) {
        read_event(expiry, batch, rows[i], true);
    }
}

void agg_expire_follow(struct agg_expiry *expiry) {
    expiry->agg->followed = expiry;
}

/* --- the end: stages ---------------------------------------------------------------------------
 * Each has its place in `at` and is over when it returns true. What was settled follows the events
 * that are applied from then on as ever; of what was not, they change the facts: so nothing waits
 * for the end but readers of what sums do not tell.
 */

/* Takes so many steps of those that are left and lets readers in from time to time; false: there
 * are none left. */
static bool spend(struct agg_expiry *expiry, u32 steps) {
    if (expiry->steps == 0) {
        return false;
    }
    u32 before = expiry->steps;
    expiry->steps -= MIN(steps, before);
    if (before / SLICE_STEPS != expiry->steps / SLICE_STEPS) {
        agg_change_end(expiry->agg);
        agg_change_begin(expiry->agg);
    }
    return true;
}

static void settle_series(struct agg_expiry *expiry, u32 index) {
    struct agg *agg = expiry->agg;
    const struct series_fact *fact = fact_of(expiry, index);
    struct series *series = record_edit(&agg->series, index, SHIFT_SERIES, sizeof *series);
    i64 *begun = array_edit(&agg->begun, index);
    if (agg_series_events(agg, series) == 0) {
        agg_bands_empty(agg, &series->newest, series->band);
        series->first = INT64_MAX;
        *begun = 0;
        return;
    }
    /* What was not seen is in a damaged block. */
    series->first = fact->first == INT64_MAX ? expiry->before : fact->first;
    *begun = fact->begun == 0 ? *begun : fact->begun;
    keep(expiry, index, series->first);
}

/* 64 at a time. */
static bool settle_all_series(struct agg_expiry *expiry) {
    for (; expiry->at <= expiry->series_end / 64; expiry->at++) {
        u64 bits = expiry->touched[expiry->at];
        if (bits != 0 && !spend(expiry, (u32)__builtin_popcountll(bits))) {
            return false;
        }
        for (; bits != 0; bits &= bits - 1) {
            settle_series(expiry, expiry->at * 64 + (u32)__builtin_ctzll(bits));
        }
    }
    return true;
}

static void settle_cell(struct agg *agg, u32 at, i64 first) {
    if (first == INT64_MAX) {
        agg_cell_empty(agg, at);
        return;
    }
    struct cell_rest *rest = record_edit(&agg->rests, at, SHIFT_CELLS, sizeof *rest);
    rest->first = first;
}

static bool settle_cells(struct agg_expiry *expiry) {
    for (; expiry->at < expiry->cells.count && spend(expiry, 1); expiry->at++) {
        settle_cell(expiry->agg, (u32)(expiry->cells.numbers[expiry->at] >> 8),
                    expiry->cell_facts[expiry->at].first);
    }
    return expiry->at == expiry->cells.count;
}

static bool settle_agents(struct agg_expiry *expiry) {
    for (; expiry->at < expiry->agents.count && spend(expiry, 1); expiry->at++) {
        u32 agent = (u32)expiry->agents.numbers[expiry->at];
        settle_cell(expiry->agg, value_at(expiry->agg, STORE_DIMS, agent)->entity,
                    expiry->agent_first[expiry->at]);
    }
    return expiry->at == expiry->agents.count;
}

static bool settle_pairs(struct agg_expiry *expiry) {
    for (; expiry->at < expiry->pairs.count && spend(expiry, 1); expiry->at++) {
        if (!expiry->pair_stays[expiry->at]) {
            u64 number = expiry->pairs.numbers[expiry->at];
            pairs_forget(expiry->agg, (enum pair_kind)(number >> PAIR_KIND_SHIFT),
                         number & (((u64)1 << PAIR_KIND_SHIFT) - 1));
        }
    }
    return expiry->at == expiry->pairs.count;
}

/* The first event of an entity's classes but for some. */
static i64 first_of(const struct agg *agg, const struct entity *entity, u32 without) {
    i64 first = INT64_MAX;
    for (u32 class = 0; class < CLASSES; class ++) {
        if (entity->cell[class] != 0 && (class & without) == 0) {
            first = MIN(first, rest_at(agg, entity->cell[class])->first);
        }
    }
    return first;
}

/* An entity is active in the months from its first event on in which it was. */
static void settle_months(struct agg *agg, u32 id, u32 kind) {
    const struct entity *entity = entity_at(agg, id);
    struct activity old = months_activity(agg, id);
    struct activity next = {0};
    i64 first = first_of(agg, entity, CLASS_STRIPE);
    u32 lost = 0;
    u32 first_month = first == INT64_MAX ? UINT32_MAX : months_of(first);
    for (u32 back = 0; back < MIN((u32)MONTH_BITS, old.newest + 1u); back++) {
        u32 month = old.newest - back;
        lost |= month < first_month ? old.bits & (u32)1 << month % MONTH_BITS : 0;
    }
    if (first != INT64_MAX) {
        next = (struct activity){
            .bits = old.bits & ~lost, .newest = old.newest, .first = (u16)first_month};
    }
    if (old.first != 0) {
        months_change(agg, entity->account, kind, id, &old, &next, lost);
    }
}

/* When the first event that stays was received: of all its series, which may be many. Events may
 * come to those that were looked at already: where nothing was found they are looked at once more.
 */
static bool settle_customer(struct agg_expiry *expiry, u32 id) {
    struct agg *agg = expiry->agg;
    const u32 key = entity_at(agg, id)->key[0];
    if (expiry->link == 0 && key != DIM_NONE) {
        expiry->link = value_at(agg, DIM_CUSTOMER, key)->series_head;
    }
    u32 at = expiry->link;
    for (; at != 0 && spend(expiry, 1); at = link_at(agg, at - 1)->next[DIM_CUSTOMER]) {
        i64 begun = *(const i64 *)array_at(&agg->begun, at - 1);
        if (begun != 0 && (expiry->created == 0 || begun < expiry->created)) {
            expiry->created = begun;
        }
    }
    expiry->link = at;
    bool missed = key != DIM_NONE && expiry->created == 0 && !expiry->once_more &&
                  first_of(agg, entity_at(agg, id), 0) != INT64_MAX;
    if (at != 0 || missed) {
        expiry->once_more = expiry->once_more || at == 0;
        return false;
    }
    struct entity *entity = array_edit(&agg->entities, id);
    entity->created = expiry->created;
    account_at(agg, entity->account)->customers_reborn++;
    expiry->created = 0;
    expiry->once_more = false;
    return true;
}

static bool settle_entities(struct agg_expiry *expiry) {
    struct agg *agg = expiry->agg;
    while (expiry->at < expiry->cells.count && spend(expiry, 1)) {
        u32 kind = expiry->cell_facts[expiry->at].kind;
        if (kind < MONTH_KINDS) { /* one with two cells comes twice, which changes nothing */
            u32 id = agg_cell_entity(agg, (u32)(expiry->cells.numbers[expiry->at] >> 8), kind);
            settle_months(agg, id, kind);
            if (kind == KIND_CUSTOMER && !settle_customer(expiry, id)) {
                continue;
            }
        }
        expiry->at++;
    }
    return expiry->at == expiry->cells.count;
}

static bool settle_traces(struct agg_expiry *expiry) {
    for (; expiry->at < expiry->traces.count && spend(expiry, 1); expiry->at++) {
        u32 index = (u32)expiry->traces.numbers[expiry->at];
        expiry->traces_gone +=
            !agg_trace_settle(expiry->agg, index, &expiry->trace_facts[expiry->at]);
    }
    return expiry->at == expiry->traces.count;
}

static bool sweep_traces(struct agg_expiry *expiry) {
    if (expiry->traces_gone == 0) {
        return true;
    }
    while (expiry->sweep.account < expiry->agg->account_max && !expiry->short_of_memory &&
           spend(expiry, 1)) {
        expiry->short_of_memory = !agg_traces_sweep(expiry->agg, &expiry->sweep);
    }
    return expiry->sweep.account == expiry->agg->account_max;
}

/* Nobody lists them any more. */
static bool give_traces(struct agg_expiry *expiry) {
    for (; expiry->at < expiry->traces.count && spend(expiry, 1); expiry->at++) {
        if (expiry->trace_facts[expiry->at].spans == 0) {
            agg_trace_give(expiry->agg, (u32)expiry->traces.numbers[expiry->at]);
        }
    }
    return expiry->at == expiry->traces.count;
}

/* `at` is the width. */
static bool drop_rows(struct agg_expiry *expiry) {
    struct agg *agg = expiry->agg;
    while (expiry->at < WIDTHS && spend(expiry, CHUNKS_A_STEP)) {
        struct width_rows *width = &agg->width[expiry->at];
        if (expiry->taken == NULL) {
            expiry->taken = width_take_before(width, (u32)(expiry->before / width->ms));
            expiry->at += expiry->taken == NULL;
        } else if (partition_free_some(agg, (enum width)expiry->at, expiry->taken, CHUNKS_A_STEP)) {
            expiry->taken = NULL;
        }
    }
    return expiry->at == WIDTHS;
}

static bool drop_tallies(struct agg_expiry *expiry) {
    u32 count = expiry->agg->tallies.tallies.count;
    for (; expiry->at + 1 < count && spend(expiry, TALLY_STEPS); expiry->at++) {
        tally_expire(expiry->agg, expiry->at + 1, expiry->before);
    }
    return expiry->at + 1 >= count;
}

static bool settle_accounts(struct agg_expiry *expiry) {
    struct agg *agg = expiry->agg;
    u32 month = months_of(expiry->before);
    for (; expiry->at < agg->account_max && spend(expiry, 1); expiry->at++) {
        struct account *account = agg->accounts[expiry->at];
        if (account != NULL) {
            months_expire(agg, expiry->at, month);
            account->changes++;
        }
    }
    return expiry->at == agg->account_max;
}

static void finish(struct agg_expiry *expiry) {
    struct agg *agg = expiry->agg;
    agg->oldest = expiry->oldest;
    agg->newest = expiry->oldest == INT64_MAX ? INT64_MIN : agg->newest;
    agg->expiring = false;
    agg->followed = NULL;
    agg_change_tell(agg, NULL);
    __atomic_add_fetch(&agg->version, 1, __ATOMIC_RELEASE);
}

enum err agg_expire_end(struct agg_expiry *expiry, u32 steps, bool *more) {
    static bool (*const stages[])(struct agg_expiry * expiry) = {
        settle_all_series, settle_cells,  settle_agents,   settle_pairs,
        settle_entities,   settle_traces, sweep_traces,    give_traces,
        drop_rows,         drop_tallies,  settle_accounts,
    };
    struct agg *agg = expiry->agg;
    check(agg->followed == expiry);
    if (!agg_reserve(agg, END_BYTES)) {
        return ERR_NO_MEMORY;
    }
    expiry->steps = steps;
    agg_change_begin(agg);
    while (expiry->stage < ARRAY_COUNT(stages) && stages[expiry->stage](expiry)) {
        expiry->stage++;
        expiry->at = 0;
    }
    *more = expiry->stage < ARRAY_COUNT(stages);
    if (!*more) {
        finish(expiry);
    }
    agg_change_end(agg);
    return expiry->short_of_memory ? ERR_NO_MEMORY : ERR_OK;
}
