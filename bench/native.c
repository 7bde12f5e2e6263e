/*
 * native.c: what an event costs in the native batch: building it in the client, and decoding it
 * into columns in the server.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "event/native.h"
#include "tools/client/codec.h"
#include "tools/client/generate.h"

#define EVENTS 4000
#define ROUNDS 500
#define NOW ((i64)1780000000000)

static struct event_batch batch;
static struct decode_result result;

static struct slice text(const char *text) {
    return (struct slice){text, strlen(text)};
}

static void build(struct margin_batch *made, const struct generated_event *events) {
    margin_batch_clear(made);
    for (u32 i = 0; i < EVENTS; i++) {
        const struct generated_event *event = &events[i];
        margin_batch_event(made);
        margin_batch_text(made, WIRE_TEXT_EVENT_NAME, text(event->event_name));
        margin_batch_text(made, WIRE_TEXT_CUSTOMER, text(event->customer));
        margin_batch_text(made, WIRE_TEXT_FEATURE, text(event->feature));
        margin_batch_text(made, WIRE_TEXT_MODEL, text(event->model));
        margin_batch_text(made, WIRE_TEXT_PROVIDER, text(event->provider));
        margin_batch_text(made, WIRE_TEXT_KEY, text(event->key));
        margin_batch_number(made, WIRE_NUM_TIME, event->time_ms);
        margin_batch_number(made, WIRE_NUM_INPUT, event->input_tokens);
        margin_batch_number(made, WIRE_NUM_OUTPUT, event->output_tokens);
        margin_batch_number(made, WIRE_NUM_REVENUE, event->revenue_pico);
        margin_batch_number(made, WIRE_NUM_DURATION, event->duration_ms);
    }
}

static void decode(struct slice payload) {
    struct decode_error error;
    batch.count = 0;
    batch.text_bytes = 0;
    enum err err = native_decode(&batch, payload, NOW, &result, &error);
    check(err == ERR_OK && result.count == EVENTS);
}

/* Processor time, so that a busy machine does not count. */
static u64 used_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (u64)time.tv_sec * 1000000000 + (u64)time.tv_nsec;
}

static double each_ns(u64 begin_ns, u32 rounds) {
    return (double)(used_ns() - begin_ns) / EVENTS / rounds;
}

int main(void) {
    struct generator generator = generator_default(1, NOW - (i64)86400000 * 30);
    generator.customers = 100000;
    struct generated_event *events = calloc(EVENTS, sizeof *events);
    struct margin_batch *made = margin_batch_create();
    check(events != NULL && made != NULL);
    for (u32 i = 0; i < EVENTS; i++) {
        generator_event(&generator, i, &events[i]);
    }
    build(made, events);
    usize bytes = codec_batch_bytes(made);
    char *payload = malloc(bytes);
    batch.text = malloc(bytes + EVENT_TEXT_PADDING);
    check(payload != NULL && batch.text != NULL);
    batch.text_bytes_max = (u32)bytes;
    buf_init(&result.messages, MIB);
    u64 begin_ns = used_ns();
    for (u32 i = 0; i < ROUNDS / 5; i++) {
        build(made, events);
        codec_write_batch(payload, made);
    }
    printf("native build   %6.1f ns an event, %.1f bytes an event\n", each_ns(begin_ns, ROUNDS / 5),
           (double)bytes / EVENTS);
    decode((struct slice){payload, bytes});
    begin_ns = used_ns();
    for (u32 i = 0; i < ROUNDS; i++) {
        decode((struct slice){payload, bytes});
    }
    printf("native decode  %6.1f ns an event\n", each_ns(begin_ns, ROUNDS));
    free(batch.text);
    free(payload);
    margin_batch_free(made);
    free(events);
    buf_free(&result.messages);
    return 0;
}
