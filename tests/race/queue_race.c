/*
 * queue_race.c: two threads pass records through a small queue and back through another. Each
 * record is plain memory that only its holder may touch: a missing release or acquire shows under
 * ThreadSanitizer, a lost, doubled or reordered record in the counts.
 */
#include "base/queue.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#define RECORDS 32
#define PASSES_DEFAULT 200000

struct record {
    u64 number;
    u64 answer;
};

struct race {
    struct queue *there;
    struct queue *back;
    u64 passes;
    u64 wrong; /* the consumer's count; read after the join */
};

static void *consume(void *context) {
    struct race *race = context;
    for (u64 next = 0; next < race->passes;) {
        struct record *record = queue_pop(race->there);
        if (record == NULL) {
            sched_yield();
            continue;
        }
        race->wrong += record->number != next;
        record->answer = record->number * 3;
        next++;
        while (!queue_push(race->back, record)) {
            sched_yield();
        }
    }
    return NULL;
}

/* Sends every record that is free, takes back every answer. Returns how many answers were wrong. */
static u64 produce(struct race *race) {
    static struct record records[RECORDS];
    u64 sent = 0;
    u64 returned = 0;
    u64 wrong = 0;
    while (returned < race->passes) {
        bool idle = true;
        if (sent < race->passes && sent - returned < RECORDS) {
            struct record *record = &records[sent % RECORDS];
            record->number = sent;
            if (queue_push(race->there, record)) {
                sent++;
                idle = false;
            }
        }
        struct record *record = queue_pop(race->back);
        if (record != NULL) {
            wrong += record->number != returned || record->answer != returned * 3;
            returned++;
            idle = false;
        }
        wrong += queue_count(race->there) > 8;
        if (idle) {
            sched_yield();
        }
    }
    return wrong;
}

int main(int argc, char **argv) {
    struct race race = {.passes = argc > 1 ? strtoull(argv[1], NULL, 10) : PASSES_DEFAULT};
    check(queue_create(8, &race.there) == ERR_OK);
    check(queue_create(16, &race.back) == ERR_OK);
    pthread_t consumer;
    check(pthread_create(&consumer, NULL, consume, &race) == 0);
    u64 wrong = produce(&race);
    check(pthread_join(consumer, NULL) == 0);
    wrong += race.wrong;
    wrong += queue_count(race.there) + queue_count(race.back);
    queue_destroy(race.there);
    queue_destroy(race.back);
    printf("queue: %llu records, %llu wrong\n", (unsigned long long)race.passes,
           (unsigned long long)wrong);
    return wrong != 0;
}
