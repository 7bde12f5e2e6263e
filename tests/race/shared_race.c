/*
 * shared_race.c: front threads whose single events share batches, which they take back from the
 * commit thread while the disk is busy and go on filling, under ThreadSanitizer: every request is
 * answered once, and every event counts once, also after a restart.
 */
#include "base/clock.h"
#include "tests/support/engine.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EVENTS 4096
#define UNDER_WAY 64
#define SENDERS 3
#define BODY_BYTES 4096

struct sender {
    struct engine *engine;
    u32 number;
    unsigned random;
    u64 accepted;
    u64 duplicates;
    struct ingest ingest[UNDER_WAY];
    u32 answered[UNDER_WAY];
};

static void note_done(struct ingest *ingest) {
    ++*(u32 *)ingest->context;
}

static void send_one(struct sender *sender, struct front *front, u32 place, u32 event) {
    struct decode_error error;
    struct block block = pool_take(front_pool(front), BODY_BYTES);
    check(block.data != NULL);
    int bytes = snprintf(block.data, BODY_BYTES,
                         "{\"events\":[{\"eventName\":\"call\",\"customerReferenceId\":\"c%u\","
                         "\"featureKey\":\"f%u\",\"costAmount\":0.5,\"idempotencyKey\":\"k%u\"}]}",
                         event % 977, event % 50, event);
    memset(block.data + bytes, 0, EVENT_TEXT_PADDING);
    sender->answered[place] = 0;
    sender->ingest[place] =
        (struct ingest){.account = 1, .done = note_done, .context = &sender->answered[place]};
    check(front_ingest(front, &sender->ingest[place], block, (usize)bytes, clock_wall_ms(),
                       &error) == ERR_OK);
}

static void await(struct sender *sender, struct front *front, u32 place) {
    for (u32 i = 0; sender->answered[place] == 0; i++) {
        check(i < 1000000); /* a batch was lost */
        usleep(20);
        front_on_wake(front);
    }
    struct ingest *ingest = &sender->ingest[place];
    check(sender->answered[place] == 1 && ingest->err == ERR_OK);
    check(ingest->accepted + ingest->duplicates == 1);
    sender->accepted += ingest->accepted;
    sender->duplicates += ingest->duplicates;
    ingest_free(ingest);
}

/* All send the same keys, in turns of a few events each. */
static void *send_all(void *context) {
    struct sender *sender = context;
    struct front *front = pipeline_front(sender->engine->pipeline, sender->number);
    for (u32 event = 0; event < EVENTS; event += UNDER_WAY) {
        for (u32 i = 0; i < UNDER_WAY; i++) {
            send_one(sender, front, i, event + i);
            if (rand_r(&sender->random) % 3 == 0) {
                front_on_turn(front);
                front_on_wake(front);
            }
        }
        front_on_turn(front);
        for (u32 i = 0; i < UNDER_WAY; i++) {
            await(sender, front, i);
        }
    }
    return NULL;
}

static void check_totals(struct engine *engine) {
    struct figures total = engine_totals(engine, 1);
    check(total.events == EVENTS && total.cost == (i128)EVENTS * (PICO_PER_USD / 2));
}

int main(void) {
    static struct sender sender[SENDERS];
    struct engine engine;
    pthread_t thread[SENDERS];
    u64 accepted = 0;
    u64 duplicates = 0;
    engine_init(&engine);
    engine.front_count = SENDERS;
    engine.snapshot_events = 1000;
    engine_start(&engine);
    for (u32 i = 0; i < SENDERS; i++) {
        sender[i] = (struct sender){.engine = &engine, .number = i, .random = i + 1};
        check(pthread_create(&thread[i], NULL, send_all, &sender[i]) == 0);
    }
    for (u32 i = 0; i < SENDERS; i++) {
        pthread_join(thread[i], NULL);
        accepted += sender[i].accepted;
        duplicates += sender[i].duplicates;
    }
    check(accepted == EVENTS && duplicates == (u64)EVENTS * (SENDERS - 1));
    check_totals(&engine);
    engine_stop(&engine);
    engine_start(&engine);
    check_totals(&engine);
    engine_remove(&engine);
    printf("shared_race: %d events, each once\n", EVENTS);
    return 0;
}
