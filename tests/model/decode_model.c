/*
 * decode_model.c: neither prediction nor the list of quotes may change the answer. Random bodies of
 * both ingest endpoints (shuffled and missing members, odd spacing, escapes, wrong types, nested
 * objects, syntax errors) are decoded byte by byte with the scalar kernel, and by the list of
 * quotes and with prediction by decoders that have learned from all the bodies before, with every
 * kernel. Results are compared cell by cell, refusals by position and text. Bodies end at a guard
 * page.
 */
#include "event/decoder.h"
#include "tests/support/guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BODY_MAX (64 * KIB)
#define SLACK (16 * KIB)
#define NOW_MS ((i64)1777700000000)

static u64 random_state;

static u64 random_next(void) {
    random_state += 0x9e3779b97f4a7c15u;
    u64 z = random_state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static u32 pick(u32 bound) {
    return (u32)(random_next() % bound);
}

/* --- bodies ------------------------------------------------------------------------------------
 */

static char body[BODY_MAX];
static usize body_bytes;

static void put(const char *text) {
    usize bytes = strlen(text);
    check(body_bytes + bytes <= sizeof body);
    memcpy(body + body_bytes, text, bytes);
    body_bytes += bytes;
}

/* How one client writes: kept for a run of events, so that shapes have something to predict. */
struct habit {
    u32 order_seed;
    u32 members;  /* bits of names[] */
    u32 optional; /* those of them that may be missing */
    const char *space;
    u32 oddity; /* one value in so many is odd; 0: none */
    bool repeat;
};

static const char *const names[] = {
    "eventName",
    "customerReferenceId",
    "featureKey",
    "timestamp",
    "costAmount",
    "costUnit",
    "revenueAmount",
    "usageUnits",
    "model",
    "modelProvider",
    "inputTokens",
    "outputTokens",
    "cachedInputTokens",
    "cacheWriteTokens",
    "reasoningTokens",
    "properties",
    "meta",
    "idempotencyKey",
    "traceId",
    "spanId",
    "parentSpanId",
    "agentId",
    "durationMs",
    "costType",
    "requestBody",
    "unknown",
    "event\\u004eame",
    "x",
    "",
};
#define NAMES ((u32)ARRAY_COUNT(names))

static void put_number(bool whole) {
    static const char *const odd[] = {"5.0",
                                      "5.5",
                                      "-0",
                                      "-1",
                                      "1e3",
                                      "0.00007",
                                      "1e-7",
                                      "12345678.12345678",
                                      "9000000",
                                      "9000000.000000000001",
                                      "99999999999999999999",
                                      "0.000000000000500000",
                                      "0",
                                      "1234567890123456",
                                      "0.1",
                                      "123456789",
                                      "12345678",
                                      "0.123456789012",
                                      "1.5E2"};
    char text[32];
    if (whole && pick(30) != 0) {
        snprintf(text, sizeof text, "%u", pick(pick(9) == 0 ? 200000000 : 9000));
        put(text);
    } else if (pick(8) == 0) {
        put(odd[pick((u32)ARRAY_COUNT(odd))]);
    } else if (pick(2) == 0) {
        snprintf(text, sizeof text, "%u", pick(20000));
        put(text);
    } else {
        snprintf(text, sizeof text, "%u.%0*u", pick(100), (int)pick(6) + 1, pick(10));
        put(text);
    }
}

static void put_text(u32 oddity) {
    static const char *const odd[] = {"",
                                      "\\u00e9\\n",
                                      "caf\xc3\xa9",
                                      "\\ud83d\\ude00",
                                      "\\ud83d",
                                      "\\u0000",
                                      "a\\u0000b",
                                      "\xe2\x82\xac",
                                      "{\\\"}",
                                      "\\\\",
                                      "usd",
                                      "\xf0\x9f\x98\x80",
                                      "a,b:c}]",
                                      "0123456789012345678901234567890123456789"};
    put("\"");
    if (oddity > 0 && pick(oddity) == 0) {
        put(odd[pick((u32)ARRAY_COUNT(odd))]);
    } else {
        char text[48];
        snprintf(text, sizeof text, "v%0*u", (int)pick(30) + 1, pick(1000));
        put(text);
    }
    put("\"");
}

static void put_value(u32 name, const struct habit *habit, u32 depth);

static void put_object(const struct habit *habit, u32 depth) {
    u32 members = habit->repeat ? 2 : pick(4);
    put("{");
    for (u32 i = 0; i < members; i++) {
        put(i > 0 ? "," : "");
        put(habit->space);
        put("\"k");
        char digit[2] = {(char)('0' + i), 0};
        put(digit);
        put("\":");
        put(habit->space);
        put_value(habit->repeat ? 20 + i * 2 : pick(NAMES), habit, depth + 1);
    }
    put("}");
}

static void put_deep(u32 levels) {
    for (u32 i = 0; i < levels; i++) {
        put("[");
    }
    for (u32 i = 0; i < levels; i++) {
        put("]");
    }
}

static void put_odd_value(const struct habit *habit, u32 depth) {
    static const char *const words[] = {"null", "true", "false", "[]", "{}", "[1,2]", "[\"a\",5]"};
    u32 kind = pick(10);
    if (kind < ARRAY_COUNT(words)) {
        put(words[kind]);
    } else if (kind == 7) {
        put_number(false);
    } else if (kind == 8 && depth < 5) {
        put_object(habit, depth);
    } else if (kind == 9 && pick(4) == 0) {
        put_deep(JSON_DEPTH_MAX - 5 + pick(5));
    } else {
        put_text(2);
    }
}

static void put_value(u32 name, const struct habit *habit, u32 depth) {
    if (habit->oddity > 0 && pick(habit->oddity) == 0) {
        put_odd_value(habit, depth);
        return;
    }
    if (name == 3) {
        char text[64];
        static const char *const forms[] = {"\"2026-0%u-%02uT%02u:%02u:12.345Z\"",
                                            "\"2026-0%u-%02uT%02u:%02u:12Z\"",
                                            "\"2026-0%u-%02uT%02u:%02u:12.3+02:00\""};
        u32 form = habit->oddity > 0 && pick(habit->oddity) == 0 ? pick(3) : 0;
        bool odd = form > 0 || pick(40) == 0;
        snprintf(text, sizeof text, forms[form], pick(5) + 1, odd ? pick(33) : 1 + pick(2),
                 pick(odd ? 25 : 24), pick(odd ? 61 : 60));
        put(text);
    } else if (name == 5) {
        put(pick(6) == 0 ? "\"EUR\"" : pick(6) == 0 ? "\"eur\"" : "\"usd\"");
    } else if ((name >= 4 && name <= 7) || (name >= 10 && name <= 14) || name == 22) {
        put_number(name >= 10 && name <= 14);
    } else if ((name == 15 || name == 16) && depth < 5) {
        put_object(habit, depth);
    } else {
        put_text(habit->oddity);
    }
}

static void put_event(const struct habit *habit) {
    u32 order[NAMES];
    u32 seed = habit->order_seed;
    for (u32 i = 0; i < NAMES; i++) {
        order[i] = i;
    }
    for (u32 i = NAMES - 1; i > 0 && habit->order_seed != 0; i--) {
        seed = seed * 1664525 + 1013904223;
        u32 j = (seed >> 8) % (i + 1);
        u32 kept = order[i];
        order[i] = order[j];
        order[j] = kept;
    }
    put("{");
    bool comma = false;
    u32 members = habit->members & ~(habit->optional & (u32)random_next());
    for (u32 i = 0; i < NAMES; i++) {
        if ((members >> order[i] & 1) == 0) {
            continue;
        }
        put(comma ? "," : "");
        comma = true;
        put(habit->space);
        put("\"");
        put(names[order[i]]);
        put("\":");
        put(habit->space);
        put_value(order[i], habit, 0);
    }
    put("}");
}

static struct habit random_habit(void) {
    static const char *const spaces[] = {"", "", " ", "\n  ", "\t"};
    struct habit habit = {
        .order_seed = pick(3) == 0 ? 0 : (u32)random_next() | 1,
        .members = 7 | ((u32)random_next() & (u32)random_next()),
        .space = spaces[pick((u32)ARRAY_COUNT(spaces))],
        .oddity = pick(3) == 0 ? 0 : 5 + pick(60),
        .repeat = pick(2) == 0,
    };
    if (pick(8) == 0) {
        habit.members &= ~((u32)1 << pick(3));
    }
    for (u32 i = pick(4); i > 0; i--) {
        habit.optional |= (u32)1 << (3 + pick(NAMES - 3));
    }
    if (pick(3) != 0) {
        habit.members &= ~((u32)1 << 12 | (u32)1 << 13 | (u32)1 << 26);
    }
    return habit;
}

/* Clients come and go slowly. */
static struct habit habits[6];

/* One body in `usual` gets bytes changed, and fewer lose their end, so that all kinds of syntax
 * errors appear. */
static void spoil_body(u32 usual) {
    for (u32 i = pick(usual) == 0 ? 1 + pick(2) : 0; i > 0; i--) {
        static const char wrong[] = "\"\\{}[],:0e.\x01\x80\xff n";
        body[pick((u32)body_bytes)] = wrong[pick(sizeof wrong - 1)];
    }
    if (pick(usual * 4) == 0) {
        body_bytes -= 1 + pick(3);
    }
}

static void make_body(void) {
    if (pick(8) == 0 || habits[0].space == NULL) {
        u32 from = habits[0].space == NULL ? 0 : pick((u32)ARRAY_COUNT(habits));
        u32 to = habits[0].space == NULL ? (u32)ARRAY_COUNT(habits) : from + 1;
        for (u32 i = from; i < to; i++) {
            habits[i] = random_habit();
        }
    }
    u32 usual = pick((u32)ARRAY_COUNT(habits));
    body_bytes = 0;
    put(pick(20) == 0 ? "{\"x\":[{}], \"events\" : [" : "{\"events\":[");
    u32 events = 1 + pick(pick(10) == 0 ? 120 : 12);
    for (u32 i = 0; i < events && body_bytes < BODY_MAX - 4 * KIB; i++) {
        put(i == 0 ? "" : pick(20) == 0 ? " ,\n" : ",");
        if (pick(60) == 0) {
            put(pick(2) == 0 ? "5" : "[]");
        } else {
            put_event(&habits[pick(8) == 0 ? pick((u32)ARRAY_COUNT(habits)) : usual]);
        }
    }
    put("]}");
    spoil_body(5);
}

/* An event, and most often another as its costInput: the body of the single-event endpoint. */
static void make_single(void) {
    struct habit habit = random_habit();
    body_bytes = 0;
    put(pick(9) == 0 ? " " : "");
    put_event(&habit);
    if (pick(4) != 0) {
        body_bytes--;
        put(habit.space);
        put(",\"costInput\":");
        put(habit.space);
        put_event(&habit);
        put(pick(9) == 0 ? ",\"customerId\":" : ",\"flowId\":");
        put_text(habit.oddity);
        put("}");
    }
    spoil_body(8);
}

/* --- comparing ---------------------------------------------------------------------------------
 */

struct side {
    struct decoder *decoder;
    struct event_batch batch;
    struct decode_result result;
    struct decode_error error;
    struct guard guard;
    enum err err;
};

static struct side *side_create(const struct scan_kernel *scan, bool predict) {
    struct side *side = calloc(1, sizeof *side);
    check(side != NULL && decoder_create(99, &side->decoder) == ERR_OK);
    decoder_configure(side->decoder, scan, predict);
    side->guard = guard_create(BODY_MAX + SLACK + EVENT_TEXT_PADDING);
    buf_init(&side->result.messages, MIB);
    return side;
}

static void side_destroy(struct side *side) {
    decoder_destroy(side->decoder);
    guard_destroy(&side->guard);
    buf_free(&side->result.messages);
    free(side);
}

static void side_run(struct side *side, bool single, u32 slack, char fill) {
    struct slice text = {body, body_bytes};
    /* With slack the added text lies behind the body; without, the guard page nearly does. */
    side->batch.text = guard_copy(&side->guard, text, EVENT_TEXT_PADDING + slack, fill);
    side->batch.text_bytes = (u32)body_bytes;
    side->batch.text_bytes_max = (u32)body_bytes + slack;
    side->batch.count = 0;
    side->decoder->predictor.rest = 0; /* as if it went well before */
    side->decoder->predictor.credit = 64;
    struct text_ref ref = {0, (u32)body_bytes};
    if (!single) {
        side->err =
            decode_ingest(side->decoder, &side->batch, ref, NOW_MS, &side->result, &side->error);
        return;
    }
    side->err = decode_client_event(side->decoder, &side->batch, ref, SLICE("key \"\\ \xc3\xa9"),
                                    NOW_MS, &side->error);
    side->result.reject_count = 0;
    buf_clear(&side->result.messages);
}

static bool same_text(const struct side *a, const struct side *b, u32 row, u32 column) {
    struct slice left = event_text_of(&a->batch, row, (enum event_text)column);
    struct slice right = event_text_of(&b->batch, row, (enum event_text)column);
    return left.bytes == right.bytes &&
           (left.bytes == 0 || memcmp(left.data, right.data, left.bytes) == 0);
}

static const char *compare_row(const struct side *a, const struct side *b, u32 row) {
    const struct event_batch *x = &a->batch;
    const struct event_batch *y = &b->batch;
    if (x->present[row] != y->present[row]) {
        return "present";
    }
    for (u32 column = 0; column < TEXT_COUNT; column++) {
        if (!same_text(a, b, row, column)) {
            return "text";
        }
    }
    for (u32 column = 0; column < NUM_COUNT; column++) {
        if (event_has_number(x, row, (enum event_number)column) &&
            x->number[column][row] != y->number[column][row]) {
            return "number";
        }
    }
    bool same = x->flags[row] == y->flags[row] && x->digest[row] == y->digest[row] &&
                x->cost_source[row] == y->cost_source[row] &&
                x->revenue_source[row] == y->revenue_source[row] &&
                x->series[row] == y->series[row] && x->created[row] == y->created[row] &&
                x->source[row] == y->source[row] && x->granularity[row] == y->granularity[row];
    return same ? NULL : "a column";
}

static const char *compare(const struct side *a, const struct side *b) {
    if (a->err != b->err) {
        return "err";
    }
    if (a->err == ERR_INVALID) {
        bool same = a->error.position == b->error.position && a->error.text == b->error.text;
        return same ? NULL : "error";
    }
    if (a->batch.count != b->batch.count || a->result.sent != b->result.sent ||
        a->result.reject_count != b->result.reject_count) {
        return "counts";
    }
    struct slice left = buf_slice(&a->result.messages);
    struct slice right = buf_slice(&b->result.messages);
    if (left.bytes != right.bytes ||
        (left.bytes > 0 && memcmp(left.data, right.data, left.bytes) != 0)) {
        return "messages";
    }
    for (u32 i = 0; i < a->result.reject_count; i++) {
        if (a->result.rejects[i].index != b->result.rejects[i].index) {
            return "reject index";
        }
    }
    for (u32 row = 0; row < a->batch.count; row++) {
        const char *difference = compare_row(a, b, row);
        if (difference != NULL) {
            return difference;
        }
    }
    return NULL;
}

struct tally {
    u64 bodies;
    u64 events;
    u64 singles;
    u64 rejected;
    u64 refused;
};

static bool run_body(struct side **sides, u32 count, struct tally *tally) {
    bool single = pick(2) == 0;
    if (single) {
        make_single();
    } else {
        make_body();
    }
    u32 slack = pick(2) == 0 ? 0 : SLACK;
    char fill = "\"\\ 0}"[pick(5)];
    for (u32 i = 0; i < count; i++) {
        side_run(sides[i], single, slack, fill);
        const char *difference = i > 0 ? compare(sides[0], sides[i]) : NULL;
        if (difference != NULL) {
            fprintf(stderr, "%s differs with kernel %s: err %d and %d (%s at %zu)\n%.*s\n",
                    difference, sides[i]->decoder->scan->name, (int)sides[0]->err,
                    (int)sides[i]->err, sides[i]->err == ERR_INVALID ? sides[i]->error.text : "",
                    sides[i]->error.position, (int)body_bytes, body);
            return false;
        }
    }
    tally->bodies++;
    tally->singles += single && sides[0]->err == ERR_OK;
    tally->events += sides[0]->err == ERR_OK ? sides[0]->batch.count : 0;
    tally->rejected += sides[0]->err == ERR_OK ? sides[0]->result.reject_count : 0;
    tally->refused += sides[0]->err != ERR_OK;
    return true;
}

int main(int argc, char **argv) {
    u64 seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    u32 rounds = argc > 2 ? (u32)strtoul(argv[2], NULL, 10) : 12000;
    random_state = seed;
    const struct scan_kernel *kernels[SCAN_KERNELS_MAX];
    u32 kernel_count = scan_list(kernels);
    struct side *sides[2 * SCAN_KERNELS_MAX];
    u32 count = 0;
    for (u32 i = 0; i < kernel_count; i++) {
        sides[count++] = side_create(kernels[i], false);
    }
    for (u32 i = 0; i < kernel_count; i++) {
        sides[count++] = side_create(kernels[i], true);
    }
    struct tally tally = {0};
    bool good = true;
    for (u32 i = 0; i < rounds && good; i++) {
        good = run_body(sides, count, &tally);
    }
    u64 predicted = sides[count - 1]->decoder->predictor.hits;
    printf("decode_model: %llu bodies, %llu events (%llu predicted, %llu single), "
           "%llu rejected, %llu refused\n",
           (unsigned long long)tally.bodies, (unsigned long long)tally.events,
           (unsigned long long)predicted, (unsigned long long)tally.singles,
           (unsigned long long)tally.rejected, (unsigned long long)tally.refused);
    for (u32 i = 0; i < count; i++) {
        side_destroy(sides[i]);
    }
    if (!good || predicted == 0 || tally.singles == 0 || tally.rejected == 0 ||
        tally.refused == 0) {
        fprintf(stderr, "decode_model: failed, seed %llu\n", (unsigned long long)seed);
        return 1;
    }
    return 0;
}
