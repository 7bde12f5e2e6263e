/*
 * recover_race.c: a start from the log alone, whose two threads read it at the same time: one makes
 * series and figures, the other claims keys by these series. What they make is what was there
 * before, and all keys are known; with keys that do not fit the memory, too.
 */
#include "base/log.h"
#include "tests/support/engine.h"
#include "tests/support/require.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ACCOUNTS 3
#define BODIES 60
#define BODY_EVENTS 200

/* Events of customers that no body before had, so that series are made all along. */
static u32 send_body(struct engine *engine, u32 account, u32 index) {
    static char body[128 * KIB];
    struct ingest result;
    struct decode_error error = {0};
    usize used = (usize)snprintf(body, sizeof body, "{\"events\":[");
    for (u32 i = 0; i < BODY_EVENTS; i++) {
        used += (usize)snprintf(
            body + used, sizeof body - used,
            "%s{\"eventName\":\"call\",\"customerReferenceId\":\"c%u\",\"featureKey\":\"f\","
            "\"idempotencyKey\":\"k%u\",\"costAmount\":1}",
            i > 0 ? "," : "", index * 7 + i % 10, index * BODY_EVENTS + i);
    }
    snprintf(body + used, sizeof body - used, "]}");
    require(engine_ingest(engine, account, body, &result, &error) == ERR_OK);
    u32 accepted = result.accepted;
    ingest_free(&result);
    return accepted;
}

static void check_start(struct engine *engine) {
    char command[128];
    engine_stop(engine);
    snprintf(command, sizeof command, "rm -rf %s/snapshots", engine->dir);
    require(system(command) == 0);
    engine_start(engine);
    require(engine->recovered.events == (u64)ACCOUNTS * BODIES * BODY_EVENTS);
    for (u32 account = 1; account <= ACCOUNTS; account++) {
        require(engine_totals(engine, account).events == (u64)BODIES * BODY_EVENTS);
        for (u32 i = 0; i < BODIES; i += 7) {
            require(send_body(engine, account, i) == 0);
        }
    }
}

int main(void) {
    static struct engine engine;
    engine_init(&engine);
    engine_start(&engine);
    for (u32 i = 0; i < BODIES; i++) {
        for (u32 account = 1; account <= ACCOUNTS; account++) {
            require(send_body(&engine, account, i) == BODY_EVENTS);
        }
    }
    check_start(&engine);
    engine.key_memory = 5000 * 64;
    check_start(&engine);
    engine_remove(&engine);
    return 0;
}
