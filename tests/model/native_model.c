/*
 * native_model.c: the same random events as a JSON body and as a native batch give the same
 * columns, refuse the same events and are of the same series, whichever way a series was met first.
 * So the two ways in cannot drift apart.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agg/series_cache.h"
#include "base/hash.h"
#include "event/decode.h"
#include "event/digest.h"
#include "event/native.h"
#include "tools/client/codec.h"
#include "json/write.h"

#define ROUNDS 600
#define EVENTS_MAX 40
#define NOW ((i64)1780000000000)
#define DIGEST_SEED 99

struct side {
    struct event_batch batch;
    struct decode_result result;
};

static struct side json_side;
static struct side native_side;
static struct dicts native_dicts;
static u64 random_state;
static bool wild; /* the event being made may break rules */
static bool calm; /* no event of the batch may */
static u32 series_count;

static u64 draw(u64 bound) {
    random_state += 0x9e3779b97f4a7c15u;
    return hash_mix(random_state) % bound;
}

static struct slice slice_of(const char *text) {
    return (struct slice){text, strlen(text)};
}

/* --- making an event both ways ---------------------------------------------------------------- */

static const char *const text_names[WIRE_TEXTS] = {"eventName",
                                                   "customerReferenceId",
                                                   "featureKey",
                                                   "model",
                                                   "modelProvider",
                                                   "costType",
                                                   "costUnit",
                                                   "agentId",
                                                   "idempotencyKey",
                                                   "traceId",
                                                   "spanId",
                                                   "parentSpanId",
                                                   "properties",
                                                   "meta",
                                                   "refs"};
static const struct {
    const char *name;
    u32 scale;
} number_names[WIRE_NUMS] = {
    {"timestamp", 0},       {"costAmount", 12},  {"revenueAmount", 12},    {"usageUnits", 6},
    {"inputTokens", 0},     {"outputTokens", 0}, {"cachedInputTokens", 0}, {"cacheWriteTokens", 0},
    {"reasoningTokens", 0}, {"durationMs", 0}};

static struct slice draw_text(u32 column) {
    static char text[400];
    static const char *const units[] = {"usd", "USD", "eur", "EUR", "uSd", "\xc3\xa9"};
    static const char *const objects[] = {"{}", "{\"a\":\"b\"}",
                                          "{\"a\" : \"\\u00e9\", \"b\":\"\"}",
                                          "{\"a\":\"\\ud800\"}", "{\"a\":\"b\",\"a\":\"c\"}"};
    static const char *const properties[] = {"{\"a\":[1,{\"b\":null}]}", "{\"x\":-1.5e3}",
                                             "{\"a\":[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}"};
    switch (column) {
    case WIRE_TEXT_COST_UNIT:
        return slice_of(units[draw(ARRAY_COUNT(units))]);
    case WIRE_TEXT_META:
        return slice_of(objects[draw(wild ? ARRAY_COUNT(objects) : 3)]);
    case WIRE_TEXT_PROPERTIES:
        return slice_of(draw(2) == 0 ? objects[draw(wild ? ARRAY_COUNT(objects) : 3)]
                                     : properties[draw(wild ? ARRAY_COUNT(properties) : 2)]);
    default:
        break;
    }
    static const u32 lengths[] = {0, 1, 16, 63, 64, 65, 127, 128, 129, 255, 256};
    usize bytes = wild && draw(4) == 0 ? lengths[draw(ARRAY_COUNT(lengths))] : 3 + draw(20);
    for (usize i = 0; i < bytes; i++) {
        text[i] = (char)(draw(20) == 0 ? '"' : 'a' + (char)draw(3));
    }
    if (bytes >= 4 && draw(5) == 0) {
        memcpy(text + draw(bytes - 3), "\xf0\x9f\x98\x80", 4);
    }
    return (struct slice){text, bytes};
}

static i64 draw_number(u32 column) {
    static const i64 edges[] = {0,
                                1,
                                -1,
                                EVENT_TOKENS_MAX,
                                EVENT_TOKENS_MAX + 1,
                                EVENT_MONEY_MAX,
                                -EVENT_MONEY_MAX,
                                EVENT_MONEY_MAX + 1,
                                -EVENT_MONEY_MAX - 1,
                                EVENT_USAGE_MAX,
                                -EVENT_USAGE_MAX,
                                INT64_MAX};
    if (column == WIRE_NUM_TIME) {
        static const i64 times[] = {EVENT_TIME_MIN, EVENT_TIME_MIN - 1, NOW + EVENT_TIME_AHEAD_MS,
                                    NOW + EVENT_TIME_AHEAD_MS + 1};
        return wild && draw(8) == 0 ? times[draw(4)] : NOW - (i64)draw(1000000000);
    }
    if (wild && draw(8) == 0) {
        return edges[draw(ARRAY_COUNT(edges))];
    }
    if (column <= WIRE_NUM_USAGE) {
        return (i64)draw(1000000000000) - 300000000000;
    }
    return column == WIRE_NUM_INPUT ? 2000 + (i64)draw(100000) : (i64)draw(1000);
}

static void make_event(struct margin_batch *made, struct json_writer *json) {
    enum margin_status status = margin_batch_event(made);
    check(status == MARGIN_OK);
    wild = !calm && draw(3) == 0;
    json_object_begin(json);
    for (u32 i = 0; i < WIRE_TEXT_REFS; i++) {
        bool required = i <= WIRE_TEXT_FEATURE;
        if (required ? !wild || draw(10) != 0 : draw(3) != 0) {
            struct slice text = draw_text(i);
            status = margin_batch_text(made, (enum wire_text)i, text);
            check(status == MARGIN_OK);
            json_key(json, text_names[i]);
            if (i == WIRE_TEXT_META || i == WIRE_TEXT_PROPERTIES) {
                json_raw(json, text);
            } else {
                json_string(json, text);
            }
        }
    }
    bool made_input = false;
    for (u32 i = 0; i < WIRE_NUMS; i++) {
        bool part = i == WIRE_NUM_CACHED || i == WIRE_NUM_CACHE_WRITE;
        if (draw(3) != 0 && (!part || wild || (made_input && draw(2) == 0))) {
            made_input |= i == WIRE_NUM_INPUT;
            i64 value = draw_number(i);
            margin_batch_number(made, (enum wire_number)i, value);
            json_key(json, number_names[i].name);
            if (i == WIRE_NUM_TIME) {
                json_time(json, value);
            } else {
                json_decimal(json, value, number_names[i].scale);
            }
        }
    }
    json_object_end(json);
}

/* --- comparing -------------------------------------------------------------------------------- */

static bool same_event(u32 index) {
    const struct event_batch *a = &json_side.batch;
    const struct event_batch *b = &native_side.batch;
    if (a->present[index] != b->present[index] || a->flags[index] != b->flags[index] ||
        a->created[index] != b->created[index] || a->series[index] != b->series[index] ||
        a->cost_source[index] != b->cost_source[index] || a->source[index] != b->source[index] ||
        a->revenue_source[index] != b->revenue_source[index] ||
        a->granularity[index] != b->granularity[index] || a->digest[index] != b->digest[index]) {
        return false;
    }
    for (u32 i = 0; i < NUM_COUNT; i++) {
        if (event_has_number(a, index, (enum event_number)i) &&
            a->number[i][index] != b->number[i][index]) {
            return false;
        }
    }
    for (u32 i = 0; i < TEXT_COUNT; i++) {
        struct slice x = event_text_of(a, index, (enum event_text)i);
        struct slice y = event_text_of(b, index, (enum event_text)i);
        if (x.bytes != y.bytes || (x.bytes > 0 && memcmp(x.data, y.data, x.bytes) != 0)) {
            return false;
        }
    }
    return true;
}

static bool same_result(u32 round) {
    const struct decode_result *a = &json_side.result;
    const struct decode_result *b = &native_side.result;
    bool same = a->sent == b->sent && a->count == b->count && a->reject_count == b->reject_count;
    for (u32 i = 0; i < MIN(a->reject_count, b->reject_count); i++) {
        if (a->rejects[i].index != b->rejects[i].index) {
            same = false;
        }
    }
    if (!same) {
        fprintf(stderr, "round %u: JSON took %u and refused %u, native %u and %u\n", round,
                a->count, a->reject_count, b->count, b->reject_count);
        for (u32 i = 0; i < MAX(a->reject_count, b->reject_count); i++) {
            struct text_ref x = a->rejects[i].message;
            struct text_ref y = b->rejects[i].message;
            fprintf(stderr, "  %u %.*s | %u %.*s\n", a->rejects[i].index,
                    i < a->reject_count ? (int)x.bytes : 0, a->messages.data + x.offset,
                    b->rejects[i].index, i < b->reject_count ? (int)y.bytes : 0,
                    b->messages.data + y.offset);
        }
        return false;
    }
    for (u32 i = 0; i < a->count; i++) {
        if (!same_event(i)) {
            fprintf(stderr, "round %u: event %u differs\n", round, i);
            return false;
        }
    }
    return true;
}

/* --- series ----------------------------------------------------------------------------------- */

static bool same_series_texts(const struct event_batch *batch, u32 a, u32 b) {
    for (u32 text = 0; text < SERIES_TEXTS; text++) {
        struct slice x = event_text_of(batch, a, (enum event_text)text);
        struct slice y = event_text_of(batch, b, (enum event_text)text);
        if (x.bytes != y.bytes || (x.bytes > 0 && memcmp(x.data, y.data, x.bytes) != 0)) {
            return false;
        }
    }
    return true;
}

/* As the commit thread would: the same number for the same texts, a new one for new ones. */
static void name_series(struct event_batch *batch) {
    for (u32 i = 0; i < batch->count; i++) {
        for (u32 j = 0; j < i && batch->series[i] == SERIES_UNRESOLVED; j++) {
            if (same_series_texts(batch, i, j)) {
                batch->series[i] = batch->series[j];
            }
        }
        if (batch->series[i] == SERIES_UNRESOLVED) {
            batch->series[i] = series_count++;
        }
    }
}

static bool same_series(u32 round) {
    const struct event_batch *a = &json_side.batch;
    const struct event_batch *b = &native_side.batch;
    if (memcmp(a->series, b->series, a->count * sizeof a->series[0]) == 0) {
        return true;
    }
    fprintf(stderr, "round %u: series differ\n", round);
    return false;
}

/* Pricing adds some events a provider. */
static void infer_providers(struct event_batch *batch, u64 which) {
    struct text_ref ref = {0, 0};
    for (u32 i = 0; i < batch->count; i++) {
        if (!event_has_text(batch, i, TEXT_PROVIDER) && (which >> i % 64 & 1) != 0) {
            check(ref.bytes > 0 || batch_add_text(batch, SLICE("inferred"), &ref) == ERR_OK);
            batch->ref[TEXT_PROVIDER][i] = ref;
            batch->present[i] |= TEXT_BIT(TEXT_PROVIDER);
        }
    }
}

static bool compare_series(struct series_cache *cache, u32 round) {
    struct event_batch *first = round % 2 == 0 ? &json_side.batch : &native_side.batch;
    struct event_batch *second = round % 2 == 0 ? &native_side.batch : &json_side.batch;
    u64 which = draw(UINT64_MAX);
    infer_providers(first, which);
    infer_providers(second, which);
    u32 count = json_side.batch.count;
    series_cache_resolve_dicts(cache, &native_side.batch, &native_dicts);
    series_cache_resolve(cache, &json_side.batch, 0, count);
    if (!same_series(round)) {
        return false;
    }
    name_series(first);
    series_cache_learn(cache, first);
    memcpy(second->series, first->series, count * sizeof first->series[0]);
    series_cache_learn(cache, second);
    u32 wanted[EVENTS_MAX];
    memcpy(wanted, first->series, count * sizeof wanted[0]);
    series_cache_resolve_dicts(cache, &native_side.batch, &native_dicts);
    series_cache_resolve(cache, &json_side.batch, 0, count);
    return same_series(round) && memcmp(wanted, first->series, count * sizeof wanted[0]) == 0;
}

/* --- running ---------------------------------------------------------------------------------- */

static void reset(struct side *side, usize bytes) {
    free(side->batch.text);
    side->batch.count = 0;
    side->batch.text = calloc(1, bytes + EVENT_TEXT_PADDING);
    check(side->batch.text != NULL);
    side->batch.text_bytes = 0;
    side->batch.text_bytes_max = (u32)bytes;
}

static bool run_round(struct decoder *decoder, struct series_cache *cache,
                      struct margin_batch *made, u32 round) {
    struct buf body;
    buf_init(&body, 16 * MIB);
    buf_put_text(&body, "{\"events\":");
    struct json_writer json = json_writer(&body);
    json_array_begin(&json);
    margin_batch_clear(made);
    u32 count = 1 + (u32)draw(EVENTS_MAX);
    calm = draw(2) == 0;
    for (u32 i = 0; i < count; i++) {
        make_event(made, &json);
    }
    json_array_end(&json);
    buf_put_text(&body, "}");
    check(!body.failed);

    struct decode_error error;
    reset(&json_side, body.bytes + 64 * KIB);
    memcpy(json_side.batch.text, body.data, body.bytes);
    json_side.batch.text_bytes = (u32)body.bytes;
    enum err err = decode_ingest(decoder, &json_side.batch, (struct text_ref){0, (u32)body.bytes},
                                 NOW, &json_side.result, &error);
    check(err == ERR_OK);

    usize bytes = codec_batch_bytes(made);
    char *payload = malloc(bytes);
    check(payload != NULL);
    codec_write_batch(payload, made);
    reset(&native_side, bytes + KIB);
    err = native_decode(&native_side.batch, (struct slice){payload, bytes}, NOW, &native_dicts,
                        &native_side.result, &error);
    check(err == ERR_OK);
    struct digest_keys keys;
    digest_keys_make(DIGEST_SEED, &keys);
    event_digest_dicts(&native_side.batch, &native_dicts, &keys);
    bool good = same_result(round) && compare_series(cache, round);
    free(payload);
    buf_free(&body);
    return good;
}

int main(int argc, char **argv) {
    u64 seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 20260501;
    random_state = seed;
    struct decoder *decoder;
    struct margin_batch *made = margin_batch_create();
    struct series_cache *cache;
    check(decoder_create(DIGEST_SEED, &decoder) == ERR_OK && made != NULL);
    check(series_cache_create(seed, &cache) == ERR_OK);
    buf_init(&json_side.result.messages, MIB);
    buf_init(&native_side.result.messages, MIB);
    bool good = true;
    u64 taken = 0;
    u64 refused = 0;
    for (u32 round = 0; good && round < ROUNDS; round++) {
        good = run_round(decoder, cache, made, round);
        taken += json_side.result.count;
        refused += json_side.result.reject_count;
    }
    if (!good || taken < 5000 || refused < 1000) {
        fprintf(stderr, "native_model: seed %llu, %llu taken, %llu refused\n",
                (unsigned long long)seed, (unsigned long long)taken, (unsigned long long)refused);
        good = false;
    }
    free(json_side.batch.text);
    free(native_side.batch.text);
    buf_free(&json_side.result.messages);
    buf_free(&native_side.result.messages);
    margin_batch_free(made);
    decoder_destroy(decoder);
    series_cache_destroy(cache);
    return good ? 0 : 1;
}
