/* parts.c: see parts.h. Catching up is done by hands, each some changes ahead of the next, for all
 * that it needs is cold: whose the cell is, the customer, its features, their sums. */
#include "query/parts.h"

#include "agg/ranking.h"
#include "query/allocation.h"

#include <stdlib.h>
#include <string.h>

#define CATCH_UP_SLICE 4096 /* changes added while the writer waits */
#define LOOK_SLICE 512      /* customers looked at, */
#define WALK_SLICE 2048     /* and their series, likewise */
#define HAND_CUSTOMERS 24
#define HAND_PLACES 16
#define HAND_SUMS 8
#define HAND_ENTITIES 32 /* while customers are looked at */
#define HAND_CELLS 24
#define HAND_BANDS 16
#define HAND_SERIES 8
#define ROOM_FIRST 4 /* features of a customer */

void parts_clear(struct parts *parts) {
    for (u32 i = 0; i < parts->count; i++) {
        free(parts->customers[i].sums);
    }
    free(parts->customers);
    free(parts->changed);
    free(parts->amount);
    free(parts->customer_count);
    free(parts->weights);
    free(parts->split);
    *parts = (struct parts){0};
}

/* --- room ------------------------------------------------------------------------------------- */

static bool reserve_customers(struct parts *parts, u32 count) {
    if (count <= parts->capacity) {
        return true;
    }
    u32 capacity = count + count / 4 + 1024;
    struct part_customer *customers = realloc(parts->customers, capacity * sizeof *customers);
    parts->customers = customers != NULL ? customers : parts->customers;
    u32 *changed = realloc(parts->changed, capacity * sizeof *changed);
    parts->changed = changed != NULL ? changed : parts->changed;
    if (customers == NULL || changed == NULL) {
        return false;
    }
    parts->capacity = capacity;
    return true;
}

static bool reserve_features(struct parts *parts, u32 count) {
    if (count <= parts->feature_count) {
        return true;
    }
    u32 more = count + count / 4 + 16;
    i128 *amount = realloc(parts->amount, more * sizeof *amount);
    parts->amount = amount != NULL ? amount : parts->amount;
    u32 *customers = realloc(parts->customer_count, more * sizeof *customers);
    parts->customer_count = customers != NULL ? customers : parts->customer_count;
    if (amount == NULL || customers == NULL) {
        return false;
    }
    for (; parts->feature_count < more; parts->feature_count++) {
        amount[parts->feature_count] = 0;
        customers[parts->feature_count] = 0;
    }
    return true;
}

static bool reserve_sums(struct part_customer *customer) {
    if (customer->count < customer->capacity) {
        return true;
    }
    u32 capacity = customer->capacity == 0 ? ROOM_FIRST : customer->capacity * 2;
    struct part_sum *sums = malloc(capacity * (sizeof *sums + sizeof(u32)));
    if (sums == NULL) {
        return false;
    }
    if (customer->count > 0) {
        memcpy(sums, customer->sums, customer->count * sizeof *sums);
        memcpy(sums + capacity, part_places(customer), customer->count * sizeof(u32));
    }
    free(customer->sums);
    customer->sums = sums;
    customer->capacity = capacity & (UINT32_MAX >> 1);
    return true;
}

/* --- one customer ----------------------------------------------------------------------------- */

static struct slice key_of(const struct plan *plan, u32 feature) {
    const struct list *list = &account_at(plan->agg, plan->query->account)->entities[KIND_FEATURE];
    return agg_value_text(plan->agg, DIM_FEATURE,
                          entity_at(plan->agg, list_at(list, feature))->key[0]);
}

static bool is_before(struct slice a, struct slice b) {
    usize bytes = MIN(a.bytes, b.bytes);
    int order = bytes == 0 ? 0 : memcmp(a.data, b.data, bytes);
    return order != 0 ? order < 0 : a.bytes < b.bytes;
}

/* Makes a sum for a feature that the customer does not have; returns its index, or UINT32_MAX. */
static u32 insert(struct parts *parts, const struct plan *plan, struct part_customer *customer,
                  u32 feature) {
    if (!reserve_sums(customer) || !reserve_features(parts, feature + 1)) {
        return UINT32_MAX;
    }
    const struct slice key = key_of(plan, feature);
    u32 *places = part_places(customer);
    u32 at = customer->count++;
    for (; at > 0 && is_before(key, key_of(plan, places[at - 1])); at--) {
        places[at] = places[at - 1];
        customer->sums[at] = customer->sums[at - 1];
    }
    places[at] = feature;
    customer->sums[at] = (struct part_sum){.cost = 0};
    parts->customer_count[feature]++;
    return at;
}

static inline bool add(struct parts *parts, const struct plan *plan, u32 place, u32 feature,
                       const struct sums *more) {
    struct part_customer *customer = &parts->customers[place];
    const u32 *places = part_places(customer);
    u32 at = 0;
    while (at < customer->count && places[at] != feature) {
        at++;
    }
    if (unlikely(at == customer->count)) {
        at = insert(parts, plan, customer, feature);
        if (at == UINT32_MAX) {
            return false;
        }
    }
    customer->sums[at].cost += more->cost;
    customer->sums[at].events += more->events;
    customer->revenue += more->revenue;
    customer->events += more->events;
    if (!customer->changed) {
        customer->changed = 1;
        parts->changed[parts->changed_count++] = place;
    }
    return true;
}

/* As if it had no events. */
static void empty(struct parts *parts, u32 place) {
    struct part_customer *customer = &parts->customers[place];
    const u32 *places = part_places(customer);
    for (u32 i = 0; i < customer->count; i++) {
        parts->amount[places[i]] -= customer->sums[i].amount;
        parts->customer_count[places[i]]--;
    }
    customer->count = 0;
    customer->revenue = 0;
    customer->events = 0;
}

static void add_bands(const struct plan *plan, const struct row *newest, const u32 *older,
                      struct sums *sums) {
    for (u32 mask = plan->band_mask; mask != 0; mask &= mask - 1) {
        u32 band = (u32)__builtin_ctz(mask);
        row_read(band_of(plan->agg, newest, older, band), &plan->agg->wides, sums);
    }
}

static inline __attribute__((always_inline)) void fetch_series(const struct agg *agg, u32 series) {
    __builtin_prefetch(link_at(agg, series));
    __builtin_prefetch(series_at(agg, series));
    __builtin_prefetch(&series_at(agg, series)->newest);
}

/* How many series were looked at, or UINT32_MAX: no memory. */
static u32 walk(struct parts *parts, const struct plan *plan, u32 place, u32 value) {
    const struct agg *agg = plan->agg;
    u32 steps = 0;
    empty(parts, place);
    for (u32 at = value_at(agg, DIM_CUSTOMER, value)->series_head; at != 0; steps++) {
        const struct link *link = link_at(agg, at - 1);
        const struct series *series = series_at(agg, at - 1);
        struct sums sums = {0};
        at = link->next[DIM_CUSTOMER];
        if (at != 0) {
            fetch_series(agg, at - 1);
        }
        if ((plan->class_mask >> link->class & 1) == 0) {
            continue;
        }
        add_bands(plan, &series->newest, series->band, &sums);
        const struct owner *owner = array_at(&agg->owners, series->cell[KIND_FEATURE]);
        if (sums.events != 0 && !add(parts, plan, place, owner->place, &sums)) {
            return UINT32_MAX;
        }
    }
    return steps;
}

static u64 count_events(const struct plan *plan, const struct entity *entity) {
    struct sums sums = {0};
    for (u32 class = 0; class < CLASSES; class ++) {
        u32 cell = entity->cell[class];
        if (cell != 0 && (plan->class_mask >> class & 1) != 0) {
            add_bands(plan, &cell_at(plan->agg, cell)->newest, rest_at(plan->agg, cell)->band,
                      &sums);
        }
    }
    return sums.events;
}

/* --- all of them ------------------------------------------------------------------------------ */

static const struct list *customers_of(const struct plan *plan) {
    return &account_at(plan->agg, plan->query->account)->entities[KIND_CUSTOMER];
}

/* Asks for what looking at the customers behind this one needs: entities, cells, bands, and the
 * newest series of those who are new. Inlined by force: see apply.h. */
static inline __attribute__((always_inline)) void
fetch_entities(const struct parts *parts, const struct plan *plan, const struct list *list) {
    const struct agg *agg = plan->agg;
    u32 place = parts->looked;
    u32 class = (u32)__builtin_ctz(plan->class_mask | 1u << CLASSES) % CLASSES;
    if (place + HAND_ENTITIES >= list->count) {
        return;
    }
    __builtin_prefetch(entity_at(agg, list_at(list, place + HAND_ENTITIES)));
    const struct entity *entity = entity_at(agg, list_at(list, place + HAND_CELLS));
    __builtin_prefetch(cell_at(agg, entity->cell[class]));
    __builtin_prefetch(rest_at(agg, entity->cell[class]));
    if (entity->key[0] != DIM_NONE) {
        __builtin_prefetch(value_at(agg, DIM_CUSTOMER, entity->key[0]));
    }
    entity = entity_at(agg, list_at(list, place + HAND_BANDS));
    const u32 *band = rest_at(agg, entity->cell[class])->band;
    for (u32 mask = plan->band_mask >> 1; mask != 0; mask &= mask - 1) {
        __builtin_prefetch(band_at(agg, band[__builtin_ctz(mask)]));
    }
    entity = entity_at(agg, list_at(list, place + HAND_SERIES));
    u32 head = entity->key[0] == DIM_NONE || place + HAND_SERIES < parts->count
                   ? 0
                   : value_at(agg, DIM_CUSTOMER, entity->key[0])->series_head;
    if (head != 0) {
        fetch_series(agg, head - 1);
    }
}

/* Looks at the next few customers, and again at whose series are not what they were. */
static bool look(struct parts *parts, const struct plan *plan) {
    const struct agg *agg = plan->agg;
    const struct list *list = customers_of(plan);
    u32 end = MIN(list->count, parts->looked + LOOK_SLICE);
    if (!reserve_customers(parts, end)) {
        return false;
    }
    for (u32 steps = 0; parts->looked < end && steps < WALK_SLICE; parts->looked++) {
        u32 place = parts->looked;
        fetch_entities(parts, plan, list);
        const struct entity *entity = entity_at(agg, list_at(list, place));
        if (place == parts->count) {
            parts->customers[parts->count++] = (struct part_customer){.revenue = 0};
        }
        if (entity->key[0] != DIM_NONE &&
            count_events(plan, entity) != parts->customers[place].events) {
            u32 more = walk(parts, plan, place, entity->key[0]);
            if (more == UINT32_MAX) {
                return false;
            }
            steps += more;
            if (parts->customers[place].changed == 0) { /* nothing is left of it */
                parts->customers[place].changed = 1;
                parts->changed[parts->changed_count++] = place;
            }
        }
    }
    return true;
}

static const struct change *change_at(const struct agg *agg, u64 position) {
    return &agg->changed[position % CHANGED_RING];
}

/* The customer that a change concerns; NULL: none, or one that is yet to be looked at at all. */
static inline struct part_customer *customer_of(struct parts *parts, const struct plan *plan,
                                                const struct change *change, u32 none) {
    u32 place = mark_place(change->customer);
    bool counts = change->account == plan->query->account &&
                  (plan->class_mask >> mark_class(change->customer) & 1) != 0 &&
                  (plan->band_mask >> change->band & 1) != 0 && place != none &&
                  place < parts->count;
    return counts ? &parts->customers[place] : NULL;
}

/* The place of the customer that events without one have; UINT32_MAX: there are no such events. */
static u32 place_of_none(const struct plan *plan) {
    u32 none = account_at(plan->agg, plan->query->account)->none[KIND_CUSTOMER];
    return none == 0 ? UINT32_MAX : entity_at(plan->agg, none)->place;
}

/* Asks for what the changes behind this one need. */
static inline __attribute__((always_inline)) void
fetch_ahead(struct parts *parts, const struct plan *plan, u64 at, u64 until, u32 none) {
    const struct agg *agg = plan->agg;
    if (at + HAND_CUSTOMERS < until) {
        u32 place = mark_place(change_at(agg, at + HAND_CUSTOMERS)->customer);
        if (place < parts->count) {
            __builtin_prefetch(&parts->customers[place], 1);
        }
    }
    struct part_customer *customer;
    if (at + HAND_PLACES < until) {
        customer = customer_of(parts, plan, change_at(agg, at + HAND_PLACES), none);
        if (customer != NULL && customer->capacity > 0) {
            __builtin_prefetch(part_places(customer));
        }
    }
    if (at + HAND_SUMS < until) {
        const struct change *change = change_at(agg, at + HAND_SUMS);
        customer = customer_of(parts, plan, change, none);
        u32 place = mark_place(change->feature);
        for (u32 i = 0; customer != NULL && i < customer->count; i++) {
            if (part_places(customer)[i] == place) {
                __builtin_prefetch(&customer->sums[i], 1);
                break;
            }
        }
    }
}

/* Adds the next changes, some of them. */
static bool catch_up(struct parts *parts, const struct plan *plan) {
    const struct agg *agg = plan->agg;
    u64 until = MIN(agg->changed_count, parts->changed_seen + CATCH_UP_SLICE);
    u32 none = place_of_none(plan);
    for (u64 at = parts->changed_seen; at < until; at++) {
        const struct change *change = change_at(agg, at);
        fetch_ahead(parts, plan, at, until, none);
        struct part_customer *customer = customer_of(parts, plan, change, none);
        const struct sums more = {.cost = change->cost, .revenue = change->revenue, .events = 1};
        if (customer != NULL && !add(parts, plan, (u32)(customer - parts->customers),
                                     mark_place(change->feature), &more)) {
            return false;
        }
    }
    parts->changed_seen = until;
    return true;
}

/* Begins anew where what is known says nothing of what should be: into a window that has ended
 * events come as time goes on, while others go. */
static void begin(struct parts *parts, const struct plan *plan) {
    const struct agg *agg = plan->agg;
    bool outrun = agg->changed_count - parts->changed_seen > CHANGED_RING;
    bool moved = parts->layout != agg->layout && plan->band_mask != (1u << BANDS) - 1;
    bool blind = outrun && agg->expiring; /* events go, while others come */
    if (!parts->made || parts->amended != agg->amended || blind ||
        (moved && (outrun || parts->lost || (plan->band_mask & 1) == 0))) {
        parts_clear(parts);
        parts->made = true;
        parts->amended = agg->amended;
        parts->layout = agg->layout;
        parts->changed_seen = agg->changed_count;
    } else if (outrun) {
        parts->lost = true;
        parts->looked = 0;
        parts->changed_seen = agg->changed_count;
    }
}

u64 parts_behind(const struct parts *parts, const struct agg *agg) {
    u64 behind = agg->changed_count - parts->changed_seen;
    return parts->made && parts->amended == agg->amended && behind <= CHANGED_RING ? behind
                                                                                   : UINT64_MAX;
}

enum err parts_refresh(struct parts *parts, const struct plan *plan) {
    struct agg *agg = plan->agg;
    for (;;) {
        changes_want(agg);
        begin(parts, plan);
        bool good = catch_up(parts, plan);
        bool caught_up = parts->changed_seen == agg->changed_count;
        if (good && caught_up && parts->layout != agg->layout) {
            parts->looked = plan->band_mask != (1u << BANDS) - 1 ? 0 : parts->looked;
            parts->layout = agg->layout;
        }
        good = good && (!caught_up || look(parts, plan));
        if (!good) {
            parts_clear(parts);
            return ERR_NO_MEMORY;
        }
        if (caught_up && parts->looked == customers_of(plan)->count) {
            parts->lost = false;
            return ERR_OK;
        }
        agg_read_unlock(agg);
        agg_read_lock(agg);
        if (!plan_holds(plan)) {
            return ERR_BUSY;
        }
    }
}

/* --- splitting -------------------------------------------------------------------------------- */

void parts_share(struct parts *parts, const i128 *share, u64 stamp) {
    parts->stamp = stamp;
    parts->shared = parts->count;
    for (u32 place = 0; place < parts->count; place++) {
        struct part_customer *customer = &parts->customers[place];
        if (customer->share != share[place] && !customer->changed) {
            customer->changed = 1;
            parts->changed[parts->changed_count++] = place;
        }
        customer->share = share[place];
    }
}

static bool reserve_room(struct parts *parts, u32 count) {
    if (count <= parts->room) {
        return true;
    }
    free(parts->weights);
    free(parts->split);
    parts->room = count + count / 4 + 16;
    parts->weights = malloc(parts->room * sizeof *parts->weights);
    parts->split = malloc(parts->room * sizeof *parts->split);
    if (parts->weights == NULL || parts->split == NULL) {
        parts->room = 0;
        return false;
    }
    return true;
}

static bool split_one(struct parts *parts, struct part_customer *customer) {
    i128 cost = 0;
    i128 magnitudes = 0;
    if (!reserve_room(parts, customer->count)) {
        return false;
    }
    for (u32 i = 0; i < customer->count; i++) {
        i128 one = customer->sums[i].cost;
        cost += one;
        magnitudes += one < 0 ? -one : one;
        parts->split[i] = 0;
    }
    if (customer->count > 0 && customer->share > customer->revenue) {
        bool by_cost = allocation_by_cost(cost, magnitudes);
        for (u32 i = 0; i < customer->count; i++) {
            const struct part_sum *sum = &customer->sums[i];
            parts->weights[i] = by_cost ? sum->cost : (i128)sum->events;
        }
        allocation_split(customer->share - customer->revenue, parts->weights, customer->count,
                         parts->split);
    }
    const u32 *places = part_places(customer);
    for (u32 i = 0; i < customer->count; i++) {
        parts->amount[places[i]] += parts->split[i] - customer->sums[i].amount;
        customer->sums[i].amount = parts->split[i];
    }
    return true;
}

enum err parts_split(struct parts *parts) {
    while (parts->changed_count > 0) {
        struct part_customer *customer =
            &parts->customers[parts->changed[parts->changed_count - 1]];
        if (parts->changed_count > HAND_CUSTOMERS) {
            __builtin_prefetch(
                &parts->customers[parts->changed[parts->changed_count - HAND_CUSTOMERS]], 1);
        }
        if (parts->changed_count > HAND_PLACES) {
            u32 ahead = parts->changed[parts->changed_count - HAND_PLACES];
            __builtin_prefetch(parts->customers[ahead].sums, 1);
        }
        if (!split_one(parts, customer)) {
            return ERR_NO_MEMORY;
        }
        customer->changed = 0;
        parts->changed_count--;
    }
    return ERR_OK;
}
