/*
 * apply_test.c: the kernels leave the same figures, record by record, and the same old bytes for a
 * snapshot. Most events are as most events are, so that it is the fast path that is compared; the
 * rest of them are late, first ones, too large for a row, or have gaps between them.
 */
#include "agg/agg.h"
#include "agg/state.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define BEGIN ((i64)1780271990000) /* ten seconds before a month of 2026 */
#define ROUNDS 48
#define ROUND_MS 700
#define AHEAD_MS ((i64)40 * 60000) /* what passes now and then */
#define JUMP_ROUND 20
#define JUMP (((i64)415 << 32) - 1500) /* a little later times have other high bits */

static u64 state;

static u32 below(u32 bound) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (u32)((state >> 32) * bound >> 32);
}

static struct event_batch *batch;
static u32 rows[EVENT_BATCH_MAX];

static void put(u32 row, enum event_text text, char first, u32 number) {
    char *at = batch->text + batch->text_bytes;
    at[0] = first;
    at[1] = (char)('a' + number % 26);
    at[2] = (char)('a' + number / 26);
    batch->ref[text][row] = (struct text_ref){batch->text_bytes, 3};
    batch->present[row] |= TEXT_BIT(text);
    batch->text_bytes += 3;
}

static bool large; /* money that soon leaves a row's range, and counts never come so far */

static i64 money(void) {
    u32 kind = large ? below(64) : 2;
    i64 value = kind == 0   ? (i64)1 << 61
                : kind == 1 ? ((i64)1 << 62) + below(2)
                            : (i64)below(1u << 31);
    return below(8) == 0 ? -value : value;
}

static i64 tokens(void) {
    u32 kind = large ? below(500) : 499;
    return kind == 0 ? (i64)1 << 31 : kind == 1 ? (i64)1 << 33 : below(kind < 50 ? 1u << 30 : 5000);
}

static i64 time_near(i64 now) {
    u32 kind = below(400);
    return kind == 0   ? now - below(1u << 31)
           : kind == 1 ? now - (i64)below(100) * 86400000
           : kind < 10 ? now - below(300000)
                       : now - below(1500);
}

static void fill(i64 now) {
    static const u32 numbers[] = {NUM_REVENUE, NUM_USAGE,       NUM_INPUT,    NUM_OUTPUT,
                                  NUM_CACHED,  NUM_CACHE_WRITE, NUM_DURATION, NUM_REASONING};
    u32 often = below(4); /* rounds in which columns are whole, or nearly empty */
    batch->text_bytes = 0;
    for (u32 row = 0; row < EVENT_BATCH_MAX; row++) {
        u32 customer = below(2) == 0 ? 0 : below(60);
        batch->present[row] = NUM_BIT(NUM_TIME) | NUM_BIT(NUM_COST);
        batch->number[NUM_TIME][row] = time_near(now);
        batch->number[NUM_COST][row] = money();
        for (u32 i = 0; i < ARRAY_COUNT(numbers); i++) {
            bool has = often == 0 || below(often == 1 ? 40 : 2) == 0;
            bool units = numbers[i] == NUM_REVENUE || numbers[i] == NUM_USAGE;
            batch->present[row] |= has ? NUM_BIT(numbers[i]) : 0;
            batch->number[numbers[i]][row] = units ? money() : tokens();
        }
        batch->created[row] = now;
        batch->cost_source[row] = (u8)below(COST_SOURCES);
        batch->flags[row] = below(50) == 0 ? 255 : (u8)(below(256) & ~(u32)EVENT_FLAG_FOREIGN_UNIT);
        batch->source[row] = (u8)(customer % 7 == 3 ? below(EVENT_SOURCES) : SOURCE_SDK);
        batch->revenue_source[row] = (u8)(customer % 5);
        batch->digest[row] = below(UINT32_MAX);
        put(row, TEXT_EVENT_NAME, 'e', 0);
        put(row, TEXT_CUSTOMER, 'c', customer);
        put(row, TEXT_FEATURE, 'f', customer % 9);
        put(row, TEXT_MODEL, 'm', customer % 4);
        if (below(100) == 0) {
            put(row, below(2) == 0 ? TEXT_AGENT : TEXT_TRACE, 't', below(200));
        }
    }
    batch->count = EVENT_BATCH_MAX;
}

/* All of them, or some with gaps between. */
static u32 choose(void) {
    u32 gaps = below(3);
    u32 count = 0;
    for (u32 row = 0; row < EVENT_BATCH_MAX - below(9); row++) {
        rows[count] = row;
        count += gaps == 0 || below(gaps == 1 ? 4 : 100) != 0;
    }
    return count;
}

static void apply(struct agg *agg, i64 now, u32 count) {
    for (u32 row = 0; row < EVENT_BATCH_MAX; row++) {
        batch->series[row] = SERIES_UNRESOLVED;
    }
    cr_assert_eq(agg_resolve(agg, batch, rows, count), ERR_OK);
    agg_settle(agg);
    agg_advance(agg, now);
    agg->changed_until = UINT64_MAX;
    agg_apply(agg, batch, rows, count);
}

struct walk {
    const struct undo_slab *slab;
    usize at;
};

/* The next record's old bytes, with whose they are in front; NULL: no more. Months are looked up by
 * more events where they change often, and what is looked up is kept. */
static const char *walk_on(struct agg *agg, struct walk *walk, usize *bytes) {
    while (walk->slab != NULL) {
        if (walk->at == walk->slab->bytes) {
            *walk = (struct walk){walk->slab->next, 0};
            continue;
        }
        struct undo_entry entry;
        const char *found = walk->slab->data + walk->at;
        memcpy(&entry, found, sizeof entry);
        *bytes = sizeof entry + agg_array(agg, entry.array)->record_bytes;
        walk->at += *bytes;
        if (entry.array != ARRAY_ACTIVITY) {
            return found;
        }
    }
    return NULL;
}

static void compare_undo(struct agg *one, struct agg *other) {
    struct walk walk[2] = {{one->undo.first, 0}, {other->undo.first, 0}};
    usize bytes[2];
    const char *found;
    while ((found = walk_on(one, &walk[0], &bytes[0])) != NULL) {
        const char *twin = walk_on(other, &walk[1], &bytes[1]);
        cr_assert(twin != NULL && memcmp(found, twin, bytes[0]) == 0, "old bytes");
    }
    cr_assert_null(walk_on(other, &walk[1], &bytes[1]));
}

static void compare(struct agg *one, struct agg *other) {
    for (u32 id = 0; id < ARRAYS; id++) {
        const struct array *array = agg_array(one, id);
        const struct array *twin = agg_array(other, id);
        cr_assert_eq(array->count, twin->count);
        for (u32 i = 0; i < array->count; i++) {
            bool same = memcmp(array_at(array, i), array_at(twin, i), array->record_bytes) == 0;
            cr_assert(same, "record %u of array %u", i, id);
        }
    }
    compare_undo(one, other);
    cr_assert_eq(one->changed_count, other->changed_count);
    cr_assert(memcmp(one->changed, other->changed, CHANGED_RING * sizeof *one->changed) == 0);
    cr_assert(one->oldest == other->oldest && one->newest == other->newest &&
              one->past_events == other->past_events);
}

Test(apply, kernels_leave_the_same_records) {
    struct agg *plain;
    struct agg *best;
    state = 88172645463325252u;
    batch = calloc(1, sizeof *batch);
    cr_assert_not_null(batch);
    batch->text_bytes_max = MIB;
    batch->text = malloc(batch->text_bytes_max);
    cr_assert_not_null(batch->text);
    batch->account = 1;
    cr_assert_eq(agg_create(&(struct agg_options){.seed = 5, .plain = true}, &plain), ERR_OK);
    cr_assert_eq(agg_create(&(struct agg_options){.seed = 5}, &best), ERR_OK);
    i64 now = BEGIN;
    for (u32 round = 0; round < ROUNDS; round++) {
        large = round >= ROUNDS / 2;
        now += round % 16 == 15 ? AHEAD_MS : ROUND_MS;
        now = round == JUMP_ROUND ? JUMP : now;
        if (round % 8 == 4) {
            cr_assert(agg_snapshot_begin(plain) == ERR_OK && agg_snapshot_begin(best) == ERR_OK);
        }
        fill(now);
        u32 count = choose();
        apply(plain, now, count);
        apply(best, now, count);
        compare(plain, best);
        if (round % 8 == 6) {
            agg_snapshot_end(plain);
            agg_snapshot_end(best);
        }
    }
    agg_destroy(plain);
    agg_destroy(best);
    free(batch->text);
    free(batch);
}
