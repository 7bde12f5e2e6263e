/*
 * admit.c: caps on what an account may name: see admit.h. Series and values are counted when they
 * are made, pending ones too. A trace is made only when its first event is applied, up to two
 * groups after that was admitted; until then it is a promise, kept in a small set.
 */
#include "agg/admit.h"

#include "agg/state.h"

#include <stdlib.h>
#include <string.h>

#define PROMISES_MIN 1024 /* slots; a power of two */

static const struct {
    enum agg_cap cap;
    enum store_dim dim;
    enum event_text text;
} capped[] = {
    {AGG_CAP_CUSTOMERS, DIM_CUSTOMER, TEXT_CUSTOMER},
    {AGG_CAP_FEATURES, DIM_FEATURE, TEXT_FEATURE},
    {AGG_CAP_MODELS, DIM_MODEL, TEXT_MODEL},
};

/* `used` so far and `more` at most. */
static bool fits(const struct agg *agg, enum agg_cap cap, u64 used, u64 more) {
    return agg->caps.most[cap] == 0 || used + more <= agg->caps.most[cap];
}

bool agg_has_room(const struct agg *agg, const struct event_batch *batch) {
    static const struct account none;
    const struct account *known = account_at(agg, batch->account);
    const struct account *account = known == NULL ? &none : known;
    bool room =
        fits(agg, AGG_CAP_SERIES, account->series_made, batch->count) &&
        fits(agg, AGG_CAP_TRACES, account->traces.count, agg->reserved_events + batch->count);
    for (u32 i = 0; i < ARRAY_COUNT(capped); i++) {
        room = room && fits(agg, capped[i].cap, account->values_made[capped[i].dim], batch->count);
    }
    return room;
}

/* --- promised traces -------------------------------------------------------------------------- */

/* The slot that has the hash, or the empty one where it belongs. */
static struct promise *promise_find(const struct promises *promises, struct hash128 hash) {
    u32 mask = promises->capacity - 1;
    for (u32 at = (u32)hash.high & mask;; at = (at + 1) & mask) {
        struct promise *promise = &promises->slot[at];
        if (!promise->used || (promise->hash.low == hash.low && promise->hash.high == hash.high)) {
            return promise;
        }
    }
}

/* Moves what is still open to a table of `capacity` slots. False: no memory. */
static bool promises_renew(struct agg *agg, u32 capacity) {
    struct promises old = agg->promises;
    struct promise *slot = calloc(capacity, sizeof *slot);
    if (slot == NULL) {
        return false;
    }
    agg->promises =
        (struct promises){slot, capacity, 0, agg->resolved_events - agg->reserved_events};
    for (u32 i = 0; i < old.capacity; i++) {
        const struct promise *promise = &old.slot[i];
        if (!promise->used) {
            continue;
        }
        if (agg->reserved_events == 0 || agg_trace_known(agg, promise->hash)) {
            account_at(agg, promise->account)->traces_promised--;
            continue;
        }
        *promise_find(&agg->promises, promise->hash) = *promise;
        agg->promises.count++;
    }
    free(old.slot);
    return true;
}

bool agg_promise_trace(struct agg *agg, const struct event_batch *batch, u32 row) {
    struct account *account = account_at(agg, batch->account);
    if (agg->caps.most[AGG_CAP_TRACES] == 0 || !event_has_text(batch, row, TEXT_TRACE)) {
        return true;
    }
    struct hash128 hash =
        agg_trace_hash(agg, batch->account, event_text_of(batch, row, TEXT_TRACE));
    struct promises *promises = &agg->promises;
    if (agg_trace_known(agg, hash)) {
        return true;
    }
    if (2 * (promises->count + 1) > promises->capacity &&
        !promises_renew(agg, MAX(promises->capacity, (u32)PROMISES_MIN))) {
        return false;
    }
    if (2 * (promises->count + 1) > promises->capacity &&
        !promises_renew(agg, 2 * promises->capacity)) {
        return false;
    }
    struct promise *promise = promise_find(promises, hash);
    if (!promise->used) {
        *promise = (struct promise){hash, batch->account, true};
        promises->count++;
        account->traces_promised++;
    }
    return true;
}

/* Whether the trace is new and there are as many as there may be. */
static bool trace_is_past(struct agg *agg, const struct account *account, struct hash128 hash) {
    struct promises *promises = &agg->promises;
    if (fits(agg, AGG_CAP_TRACES, (u64)account->traces.count + account->traces_promised, 1) ||
        agg_trace_known(agg, hash)) {
        return false;
    }
    if (promises->count == 0) {
        return true;
    }
    if (promise_find(promises, hash)->used) {
        return false;
    }
    /* Some promises may have been kept, and count twice. */
    bool stale = promises->applied != agg->resolved_events - agg->reserved_events ||
                 agg->reserved_events == 0;
    return !stale || !promises_renew(agg, promises->capacity) ||
           !fits(agg, AGG_CAP_TRACES, (u64)account->traces.count + account->traces_promised, 1);
}

/* --- one event -------------------------------------------------------------------------------- */

enum agg_cap agg_admit(struct agg *agg, const struct event_batch *batch, u32 row) {
    static const struct account none;
    const struct account *known = account_at(agg, batch->account);
    const struct account *account = known == NULL ? &none : known;
    if (batch->series[row] == SERIES_UNRESOLVED && !agg_series_known(agg, batch, row)) {
        for (u32 i = 0; i < ARRAY_COUNT(capped); i++) {
            struct slice text = event_text_of(batch, row, capped[i].text);
            if (text.bytes > 0 &&
                !fits(agg, capped[i].cap, account->values_made[capped[i].dim], 1) &&
                value_find(agg, batch->account, capped[i].dim, text) == DIM_NONE) {
                return capped[i].cap;
            }
        }
        if (!fits(agg, AGG_CAP_SERIES, account->series_made, 1)) {
            return AGG_CAP_SERIES;
        }
    }
    if (event_has_text(batch, row, TEXT_TRACE)) {
        struct hash128 hash =
            agg_trace_hash(agg, batch->account, event_text_of(batch, row, TEXT_TRACE));
        if (trace_is_past(agg, account, hash)) {
            return AGG_CAP_TRACES;
        }
    }
    return AGG_CAPS;
}
