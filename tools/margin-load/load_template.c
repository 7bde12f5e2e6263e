/*
 * load_template.c: requests made before the clock starts, and the little that changes from one
 * sending to the next: idempotency keys (36 characters in the form of a UUID, from a bijective
 * mixer, so that they are as random to the server as real ones and yet never repeat) and times.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/hash.h"
#include "load.h"
#include "tools/client/codec.h"
#include "tools/client/generate.h"
#include "wire/frame.h"

#define HEAD_BYTES_MAX 1024
#define KEY_BYTES 36
#define TIME_BYTES 24
#define SPREAD_MS ((i64)30 * 86400000)

static struct generator make_generator(const struct load_options *options) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    i64 now_ms = (i64)now.tv_sec * 1000;
    struct generator generator = generator_default(options->content_seed, now_ms - SPREAD_MS);
    generator.customers = (u32)options->customers;
    generator.features = (u32)options->features;
    generator.models = (u32)options->models;
    generator.time_span_ms = SPREAD_MS;
    /* All templates of the run together use the span up. */
    generator.time_events =
        (u64)options->connections * options->pipeline * LOAD_TEMPLATES_MAX * options->batch;
    generator.shuffled = options->shuffled;
    generator.unexpected = (u32)options->unexpected;
    return generator;
}

static bool reserve(const struct load_options *options, struct load_template *made, usize bytes) {
    *made = (struct load_template){.bytes = malloc(bytes + HEAD_BYTES_MAX),
                                   .patch = calloc(options->batch, sizeof *made->patch)};
    return made->bytes != NULL && made->patch != NULL;
}

void load_template_free(struct load_template *made) {
    free(made->bytes);
    free(made->patch);
}

/* --- JSON ------------------------------------------------------------------------------------- */

static usize write_single(const struct generator *generator, u64 index, char *to, usize to_bytes) {
    struct generated_event event;
    generator_event(generator, index, &event);
    int bytes =
        snprintf(to, to_bytes,
                 "{\"eventName\":\"%s\",\"customerReferenceId\":\"%s\",\"featureKey\":\"%s\","
                 "\"occurredAt\":\"2026-01-01T00:00:00.000Z\",\"costInput\":{\"model\":\"%s\","
                 "\"modelProvider\":\"%s\",\"inputTokens\":%lld,\"outputTokens\":%lld},"
                 "\"revenueAmount\":0.%04lld,\"eventIdempotencyKey\":\"%s\"}",
                 event.event_name, event.customer, event.feature, event.model, event.provider,
                 (long long)event.input_tokens, (long long)event.output_tokens,
                 (long long)(event.revenue_pico / 100000000 % 10000), event.key);
    check(bytes > 0 && (usize)bytes < to_bytes);
    return (usize)bytes;
}

/* Finds each event's key and time behind `at`, in whatever order they come. */
static void find_patches(const struct load_options *options, struct load_template *made, u32 at) {
    bool single = options->mode == LOAD_SINGLE;
    const char *key_name = single ? "\"eventIdempotencyKey\":\"" : "\"idempotencyKey\":\"";
    const char *time_name = single ? "\"occurredAt\":\"" : "\"timestamp\":\"";
    const char *end = made->bytes + made->length;
    const char *key = made->bytes + at;
    const char *time = made->bytes + at;
    for (u32 i = 0; i < options->batch; i++) {
        key = memmem(key, (usize)(end - key), key_name, strlen(key_name));
        time = memmem(time, (usize)(end - time), time_name, strlen(time_name));
        check(time != NULL && key != NULL);
        key += strlen(key_name);
        time += strlen(time_name);
        made->patch[i] = (struct load_patch){(u32)(key - made->bytes), (u32)(time - made->bytes)};
    }
}

static bool make_json(const struct load_options *options, const struct generator *generator,
                      u64 index, struct load_template *made) {
    usize body_bytes_max = GENERATED_JSON_MAX * (usize)options->batch + 64;
    char *body = malloc(body_bytes_max);
    if (body == NULL || !reserve(options, made, body_bytes_max)) {
        free(body);
        return false;
    }
    bool single = options->mode == LOAD_SINGLE;
    usize body_bytes = single ? write_single(generator, index, body, body_bytes_max)
                              : generator_body(generator, index, options->batch, body);
    u32 head = WIRE_HEADER_BYTES;
    if (options->mode != LOAD_WIRE_JSON) {
        int bytes = snprintf(made->bytes, HEAD_BYTES_MAX,
                             "POST %s HTTP/1.1\r\nHost: %s:%u\r\nAuthorization: Bearer %s\r\n"
                             "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
                             single ? "/api/v1/client/events" : "/api/events/ingest",
                             options->http.host, options->http.port, options->key, body_bytes);
        check(bytes > 0 && bytes < HEAD_BYTES_MAX);
        head = (u32)bytes;
    }
    memcpy(made->bytes + head, body, body_bytes);
    made->payload = head;
    made->length = head + (u32)body_bytes;
    free(body);
    find_patches(options, made, head);
    return true;
}

/* --- native ----------------------------------------------------------------------------------- */

static struct slice text(const char *text) {
    return (struct slice){text, strlen(text)};
}

static void add_event(struct margin_batch *batch, const struct generated_event *event) {
    enum margin_status status = margin_batch_event(batch);
    check(status == MARGIN_OK);
    margin_batch_text(batch, WIRE_TEXT_EVENT_NAME, text(event->event_name));
    margin_batch_text(batch, WIRE_TEXT_CUSTOMER, text(event->customer));
    margin_batch_text(batch, WIRE_TEXT_FEATURE, text(event->feature));
    margin_batch_text(batch, WIRE_TEXT_MODEL, text(event->model));
    margin_batch_text(batch, WIRE_TEXT_PROVIDER, text(event->provider));
    margin_batch_text(batch, WIRE_TEXT_KEY, (struct slice){event->key, KEY_BYTES});
    margin_batch_number(batch, WIRE_NUM_TIME, event->time_ms);
    margin_batch_number(batch, WIRE_NUM_INPUT, event->input_tokens);
    margin_batch_number(batch, WIRE_NUM_OUTPUT, event->output_tokens);
    margin_batch_number(batch, WIRE_NUM_REVENUE, event->revenue_pico);
    margin_batch_number(batch, WIRE_NUM_DURATION, event->duration_ms);
}

/* Where the columns of keys and times begin, from the column headers. */
static void find_columns(struct load_template *made, u32 count, u32 *keys, u32 *times) {
    u32 at = made->payload + WIRE_BATCH_HEADER_BYTES;
    u16 columns;
    memcpy(&columns, made->bytes + made->payload + 2, sizeof columns);
    u32 data = at + columns * WIRE_COLUMN_HEADER_BYTES;
    for (u32 i = 0; i < columns; i++, at += WIRE_COLUMN_HEADER_BYTES) {
        u8 column = (u8)made->bytes[at];
        u32 bytes;
        memcpy(&bytes, made->bytes + at + 8, sizeof bytes);
        if (column == WIRE_TEXT_KEY) {
            *keys = data + 2 * count;
        } else if (column == WIRE_NUM_COLUMN + WIRE_NUM_TIME) {
            *times = data;
        }
        data += bytes;
    }
}

static bool make_native(const struct load_options *options, const struct generator *generator,
                        u64 index, struct load_template *made) {
    struct margin_batch *batch = margin_batch_create();
    if (batch == NULL) {
        return false;
    }
    for (u32 i = 0; i < options->batch; i++) {
        struct generated_event event;
        generator_event(generator, index + i, &event);
        add_event(batch, &event);
    }
    usize bytes = codec_batch_bytes(batch);
    bool good = reserve(options, made, bytes);
    if (good) {
        made->payload = WIRE_HEADER_BYTES;
        made->length = (u32)(WIRE_HEADER_BYTES + bytes);
        codec_write_batch(made->bytes + WIRE_HEADER_BYTES, batch);
        u32 keys = 0;
        u32 times = 0;
        find_columns(made, options->batch, &keys, &times);
        for (u32 i = 0; i < options->batch; i++) {
            made->patch[i] = (struct load_patch){keys + KEY_BYTES * i, times + 8 * i};
        }
    }
    margin_batch_free(batch);
    return good;
}

bool load_template_make(const struct load_options *options, u64 index, struct load_template *out) {
    struct generator generator = make_generator(options);
    return options->mode == LOAD_WIRE ? make_native(options, &generator, index, out)
                                      : make_json(options, &generator, index, out);
}

/* --- patching --------------------------------------------------------------------------------- */

typedef u8 digits __attribute__((vector_size(16)));

/* The digits of 16 nibbles. */
static inline digits digits_of(digits nibbles) {
    digits letters = (digits)(nibbles > 9) & ('a' - '0' - 10);
    return nibbles + '0' + letters;
}

/* 32 hexadecimal digits, all at once, in the groups of a UUID. */
static inline void put_key(char *to, u64 seed, u64 index) {
    u64 low = hash_mix(index + 1);
    u64 high = hash_mix(low ^ seed);
    u64 words[2] = {low, high};
    digits bytes;
    memcpy(&bytes, words, sizeof bytes);
    digits upper = digits_of(bytes >> 4);
    digits lower = digits_of(bytes & 15);
    char text[32];
    digits first = __builtin_shufflevector(upper, lower, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21,
                                           6, 22, 7, 23);
    digits second = __builtin_shufflevector(upper, lower, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13,
                                            29, 14, 30, 15, 31);
    memcpy(text, &first, sizeof first);
    memcpy(text + 16, &second, sizeof second);
    memcpy(to, text, 8); /* the hyphens stand in the template */
    memcpy(to + 9, text + 8, 4);
    memcpy(to + 14, text + 12, 4);
    memcpy(to + 19, text + 16, 4);
    memcpy(to + 24, text + 20, 12);
}

/* The event whose key event `index` carries: its own, or an earlier one's. */
static u64 origin_of(const struct load_options *options, u64 index) {
    while (options->duplicates > 0 && index > 0) {
        u64 dice = hash_mix(index ^ options->seed << 32);
        if (options->duplicates == 1000) {
            return dice % 100000; /* there is no first one to be found */
        }
        if (dice % 1000 >= options->duplicates) {
            break;
        }
        index -= 1 + (dice >> 16) % MIN(index, 100000);
    }
    return index;
}

void load_template_patch(const struct load_options *options, struct load_template *made, u64 index,
                         u32 request, i64 now_ms) {
    char time_text[TIME_BYTES + 1];
    time_t second = (time_t)(now_ms / 1000 - 1);
    struct tm parts;
    gmtime_r(&second, &parts);
    strftime(time_text, sizeof time_text, "%Y-%m-%dT%H:%M:%S.000Z", &parts);
    for (u32 i = 0; i < options->batch; i++) {
        put_key(made->bytes + made->patch[i].key, options->seed, origin_of(options, index + i));
        if (options->spread) {
            continue;
        }
        u32 ms = i * 7 % 1000;
        char *to = made->bytes + made->patch[i].time;
        if (options->mode == LOAD_WIRE) {
            i64 time_ms = (i64)second * 1000 + ms;
            memcpy(to, &time_ms, sizeof time_ms);
        } else {
            memcpy(to, time_text, 20);
            to[20] = (char)('0' + ms / 100);
            to[21] = (char)('0' + ms / 10 % 10);
            to[22] = (char)('0' + ms % 10);
        }
    }
    if (options->mode == LOAD_WIRE || options->mode == LOAD_WIRE_JSON) {
        u8 type = options->mode == LOAD_WIRE ? WIRE_INGEST_NATIVE : WIRE_INGEST_JSON;
        frame_seal(made->bytes, type, request, made->bytes + made->payload,
                   made->length - made->payload);
    }
}
