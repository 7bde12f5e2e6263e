/*
 * caps_test.c: caps on what an account may name, against sets kept naively; and the bound on
 * memory. Events are refused one by one, with a reason, and a refused one leaves its key free.
 */
#include "tests/support/engine.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMES 12
#define KEYS 40
#define ACCOUNTS 3
#define ROUNDS 60
#define EVENTS 20

static struct engine engine;

static void setup(void) {
    engine_init(&engine);
}

static void teardown(void) {
    engine_remove(&engine);
}

TestSuite(caps, .init = setup, .fini = teardown, .timeout = 60);

struct known { /* what an account has, naively */
    bool series[NAMES][NAMES][NAMES];
    bool value[3][NAMES];
    bool trace[NAMES];
    bool key[KEYS];
    u32 count[AGG_CAPS];
    u64 events;
};
static struct known known[ACCOUNTS];

struct made {   /* an event */
    u32 dim[3]; /* customer, feature, model */
    u32 trace;  /* 0: none */
    u32 key;    /* 0: none */
};

static u32 state = 1;
static u32 below(u32 bound) {
    state = state * 1664525 + 1013904223;
    return (state >> 8) % bound;
}

static const enum agg_cap cap_of_dim[] = {AGG_CAP_CUSTOMERS, AGG_CAP_FEATURES, AGG_CAP_MODELS};

/* The cap that the event passes; AGG_CAPS if none. */
static enum agg_cap judge(const struct known *all, const struct made *made) {
    const u32 *most = engine.caps.most;
    if (!all->series[made->dim[0]][made->dim[1]][made->dim[2]]) {
        for (u32 i = 0; i < 3; i++) {
            if (!all->value[i][made->dim[i]] && all->count[cap_of_dim[i]] >= most[cap_of_dim[i]]) {
                return cap_of_dim[i];
            }
        }
        if (all->count[AGG_CAP_SERIES] >= most[AGG_CAP_SERIES]) {
            return AGG_CAP_SERIES;
        }
    }
    if (made->trace > 0 && !all->trace[made->trace] &&
        all->count[AGG_CAP_TRACES] >= most[AGG_CAP_TRACES]) {
        return AGG_CAP_TRACES;
    }
    return AGG_CAPS;
}

static void note(bool *has, u32 *count) {
    *count += !*has;
    *has = true;
}

static void take(struct known *all, const struct made *made) {
    note(&all->series[made->dim[0]][made->dim[1]][made->dim[2]], &all->count[AGG_CAP_SERIES]);
    for (u32 i = 0; i < 3; i++) {
        note(&all->value[i][made->dim[i]], &all->count[cap_of_dim[i]]);
    }
    if (made->trace > 0) {
        note(&all->trace[made->trace], &all->count[AGG_CAP_TRACES]);
    }
    if (made->key > 0) {
        all->key[made->key] = true;
    }
    all->events++;
}

static usize put(char *to, usize bytes, const struct made *made) {
    char trace[32] = "";
    char key[64] = "";
    if (made->trace > 0) {
        snprintf(trace, sizeof trace, ",\"traceId\":\"t%u\"", made->trace);
    }
    if (made->key > 0) {
        snprintf(key, sizeof key, ",\"idempotencyKey\":\"k%u\"", made->key);
    }
    return (usize)snprintf(to, bytes,
                           "{\"eventName\":\"e\",\"customerReferenceId\":\"c%u\",\"featureKey\":"
                           "\"f%u\",\"model\":\"m%u\"%s%s}",
                           made->dim[0], made->dim[1], made->dim[2], trace, key);
}

/* Sends a batch and compares every event's fate; how many were refused. */
static u32 send_and_compare(u32 account, const struct made *made, u32 count) {
    static const char *const words[AGG_CAPS] = {"combinations", "customers", "features", "models",
                                                "traces"};
    static char body[64 * KIB];
    struct known *all = &known[account];
    usize used = (usize)snprintf(body, sizeof body, "{\"events\":[");
    u32 expected[EVENTS];
    u32 refused = 0;
    u32 accepted = 0;
    u32 duplicates = 0;
    for (u32 i = 0; i < count; i++) {
        used += i > 0 ? (usize)snprintf(body + used, sizeof body - used, ",") : 0;
        used += put(body + used, sizeof body - used, &made[i]);
        expected[i] = judge(all, &made[i]);
        if (expected[i] != AGG_CAPS) {
            refused++;
        } else if (made[i].key > 0 && all->key[made[i].key]) {
            duplicates++;
        } else {
            take(all, &made[i]);
            accepted++;
        }
    }
    snprintf(body + used, sizeof body - used, "]}");
    struct ingest result;
    struct decode_error error = {0};
    cr_assert_eq(engine_ingest(&engine, account, body, &result, &error), ERR_OK);
    cr_assert_eq(result.err, ERR_OK);
    cr_assert_eq(result.accepted, accepted);
    cr_assert_eq(result.duplicates, duplicates);
    cr_assert_eq(result.rejected, refused + duplicates);
    cr_assert_eq(result.reject_count, refused);
    for (u32 i = 0, at = 0; i < count; i++) {
        if (expected[i] == AGG_CAPS) {
            continue;
        }
        char text[128] = "";
        struct text_ref ref = result.rejects[at].message;
        cr_assert_lt(ref.bytes, sizeof text);
        memcpy(text, result.reject_text.data + ref.offset, ref.bytes);
        cr_assert_eq(result.rejects[at++].index, i);
        cr_assert_not_null(strstr(text, words[expected[i]]), "%s for %s", text, words[expected[i]]);
    }
    ingest_free(&result);
    cr_assert_eq(engine_totals(&engine, account).events, all->events);
    return refused;
}

Test(caps, refuse_what_is_new_and_nothing_else) {
    engine.caps = (struct agg_caps){{40, 7, 6, 5, 9}};
    engine_start(&engine);
    u32 refused = 0;
    u32 accounts_full[AGG_CAPS] = {0};
    for (u32 round = 0; round < ROUNDS; round++) {
        if (round % 20 == 13) { /* counts are the same after loading a snapshot */
            engine_stop(&engine);
            engine_start(&engine);
        }
        struct made made[EVENTS];
        u32 count = 1 + below(EVENTS);
        for (u32 i = 0; i < count; i++) {
            made[i] = (struct made){
                {below(1 + MIN(NAMES - 1, round)), below(1 + MIN(NAMES - 1, round)),
                 below(1 + MIN(NAMES - 1, round / 2))},
                below(2) * below(NAMES),
                below(2) * below(KEYS),
            };
        }
        refused += send_and_compare(1 + round % (ACCOUNTS - 1), made, count);
    }
    for (u32 account = 1; account < ACCOUNTS; account++) {
        for (u32 cap = 0; cap < AGG_CAPS; cap++) {
            accounts_full[cap] += known[account].count[cap] == engine.caps.most[cap];
        }
    }
    for (u32 cap = 0; cap < AGG_CAPS; cap++) {
        cr_assert_gt(accounts_full[cap], 0, "no account reached cap %u", cap);
    }
    cr_assert_gt(refused, 100);
}

/* Past the bound on memory nothing is decoded, and what is known is still there. */
Test(caps, memory) {
    engine_start(&engine);
    struct ingest result;
    struct decode_error error = {0};
    const char *body = "{\"events\":[{\"eventName\":\"e\",\"customerReferenceId\":\"c\","
                       "\"featureKey\":\"f\"}]}";
    cr_assert_eq(engine_ingest(&engine, 1, body, &result, &error), ERR_OK);
    ingest_free(&result);
    u64 bytes = pipeline_memory_bytes(engine.pipeline);
    cr_assert_gt(bytes, MIB);
    engine_stop(&engine);
    engine.memory_max = bytes;
    engine_start(&engine);
    cr_assert_eq(engine_ingest(&engine, 1, body, &result, &error), ERR_NO_MEMORY);
    cr_assert_eq(engine_totals(&engine, 1).events, 1);
    struct pipeline_stats stats;
    pipeline_get_stats(engine.pipeline, &stats);
    cr_assert_eq(stats.overloaded, 1);
    engine_stop(&engine);
    engine.memory_max = 16 * bytes;
    engine_start(&engine);
    cr_assert_eq(engine_ingest(&engine, 1, body, &result, &error), ERR_OK);
    cr_assert_eq(result.accepted, 1);
    ingest_free(&result);
}
