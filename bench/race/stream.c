/*
 * stream.c: see stream.h. Everything here happens before the clock starts or after it stops, but
 * for stream_put_key, which is some nanoseconds.
 */
#include "stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"

#define HOUR_MS ((i64)3600000)
#define DUPLICATES_PER_MILLE 20

/* Nanodollars a token, in and out, by model: near enough to what such models cost. */
static const struct {
    const char *model;
    i64 input_nano;
    i64 output_nano;
} prices[] = {{"gpt-4o-mini", 150, 600},          {"gpt-4o", 2500, 10000},
              {"claude-3-5-sonnet", 3000, 15000}, {"gpt-4.1-mini", 400, 1600},
              {"gemini-2.0-flash", 100, 400},     {"claude-3-haiku", 250, 1250}};
#define OTHER_INPUT_NANO 1100
#define OTHER_OUTPUT_NANO 4400

static i64 cost_of(const struct generated_event *event) {
    i64 input_nano = OTHER_INPUT_NANO;
    i64 output_nano = OTHER_OUTPUT_NANO;
    for (usize i = 0; i < ARRAY_COUNT(prices); i++) {
        if (strcmp(prices[i].model, event->model) == 0) {
            input_nano = prices[i].input_nano;
            output_nano = prices[i].output_nano;
        }
    }
    return (event->input_tokens * input_nano + event->output_tokens * output_nano) * STREAM_NANO;
}

u32 stream_customer(const char *name, usize bytes) {
    static const char prefix[] = "cust_";
    usize at = sizeof prefix - 1;
    if (bytes <= at || memcmp(name, prefix, at) != 0) {
        return UINT32_MAX;
    }
    u32 number = 0;
    for (; at < bytes; at++) {
        number = number * 10 + (u32)(name[at] - '0');
    }
    return number;
}

/* The two hexadecimal digits of every byte. */
static char digit_pairs[256][2];

static void make_digit_pairs(void) {
    static const char digits[] = "0123456789abcdef";
    for (u32 i = 0; i < ARRAY_COUNT(digit_pairs); i++) {
        digit_pairs[i][0] = digits[i >> 4];
        digit_pairs[i][1] = digits[i & 15];
    }
}

bool stream_make(struct stream *stream, u64 seed, u32 customers) {
    make_digit_pairs();
    *stream = (struct stream){.seed = seed, .customers = customers};
    stream->generator = generator_default(seed, clock_wall_ms() - HOUR_MS);
    stream->generator.customers = customers;
    stream->generator.duplicates_per_mille = DUPLICATES_PER_MILLE;
    stream->generator.time_span_ms = HOUR_MS;
    stream->generator.time_events = STREAM_POOL;
    stream->event = malloc(STREAM_POOL * sizeof *stream->event);
    if (stream->event == NULL) {
        return false;
    }
    for (u32 i = 0; i < STREAM_POOL; i++) {
        struct stream_event *event = &stream->event[i];
        generator_event(&stream->generator, i, &event->made);
        event->origin = (u32)event->made.origin;
        event->customer = stream_customer(event->made.customer, strlen(event->made.customer));
        event->cost_pico = cost_of(&event->made);
        check(event->customer < customers && event->made.revenue_pico % STREAM_NANO == 0);
    }
    return true;
}

void stream_free(struct stream *stream) {
    free(stream->event);
}

void stream_put_key(const struct stream *stream, u64 index, enum key_form form, char *to) {
    u64 at = index % STREAM_POOL;
    u64 origin = index - at + stream->event[at].origin;
    u64 low = hash_mix(origin + 1); /* a bijection: no key comes twice */
    u64 high = hash_mix(low ^ stream->seed);
    u8 bytes[16];
    memcpy(bytes, &low, sizeof low);
    memcpy(bytes + 8, &high, sizeof high);
    if (form == KEY_BYTES) {
        memcpy(to, bytes, sizeof bytes);
        return;
    }
    for (u32 i = 0; i < sizeof bytes; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            *to++ = '-';
        }
        memcpy(to, digit_pairs[bytes[i]], 2);
        to += 2;
    }
}

/* --- the oracle ------------------------------------------------------------------------------- */

static void count(struct totals *totals, const struct stream_event *event, u64 times) {
    totals->events += times;
    totals->cost_pico += (i128)event->cost_pico * (i128)times;
    totals->revenue_pico += (i128)event->made.revenue_pico * (i128)times;
}

static int by_value_descending(const void *left, const void *right) {
    i64 a = *(const i64 *)left;
    i64 b = *(const i64 *)right;
    return a > b ? -1 : a < b;
}

bool stream_oracle(const struct stream *stream, u64 events, struct oracle *out) {
    *out = (struct oracle){.customer = calloc(stream->customers, sizeof *out->customer),
                           .margins = calloc(stream->customers, sizeof *out->margins)};
    if (out->customer == NULL || out->margins == NULL) {
        return false;
    }
    for (u32 i = 0; i < STREAM_POOL; i++) {
        const struct stream_event *event = &stream->event[i];
        u64 times = events / STREAM_POOL + (i < events % STREAM_POOL);
        if (event->origin == i && times > 0) {
            count(&out->totals, event, times);
            count(&out->customer[event->customer], event, times);
        }
    }
    for (u32 i = 0; i < stream->customers; i++) {
        const struct totals *customer = &out->customer[i];
        if (customer->events > 0) {
            out->margins[out->margin_count++] = (i64)(customer->revenue_pico - customer->cost_pico);
        }
    }
    qsort(out->margins, out->margin_count, sizeof *out->margins, by_value_descending);
    return true;
}

void stream_oracle_free(struct oracle *oracle) {
    free(oracle->customer);
    free(oracle->margins);
}

bool stream_agrees(const struct stream *stream, const struct oracle *oracle,
                   const struct ranking *ranking, const struct totals *totals, char *why,
                   usize why_bytes) {
    const struct totals *right = &oracle->totals;
    if (totals->events != right->events || totals->cost_pico != right->cost_pico ||
        totals->revenue_pico != right->revenue_pico) {
        snprintf(why, why_bytes,
                 "%llu events and a margin of %lld nanodollars, right is %llu, %lld",
                 (unsigned long long)totals->events,
                 (long long)((totals->revenue_pico - totals->cost_pico) / STREAM_NANO),
                 (unsigned long long)right->events,
                 (long long)((right->revenue_pico - right->cost_pico) / STREAM_NANO));
        return false;
    }
    if (ranking->count != MIN(oracle->margin_count, STREAM_TOP)) {
        snprintf(why, why_bytes, "%u customers in the ranking", ranking->count);
        return false;
    }
    for (u32 i = 0; i < ranking->count; i++) {
        const struct ranked *row = &ranking->row[i];
        bool known = row->customer < stream->customers;
        const struct totals *customer = &oracle->customer[known ? row->customer : 0];
        i64 margin = (i64)(customer->revenue_pico - customer->cost_pico);
        if (!known || row->margin_pico != margin || margin != oracle->margins[i]) {
            snprintf(why, why_bytes, "rank %u: customer %u with %lld, right is %lld", i + 1,
                     row->customer, (long long)row->margin_pico, (long long)oracle->margins[i]);
            return false;
        }
    }
    return true;
}
