/*
 * wire_race.c: requests of the binary protocol that are answered on other threads (commits, scans,
 * long aggregates) while the front thread goes on with others, and while sessions close under them.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "account/keys.h"
#include "api/wire_service.h"
#include "base/clock.h"
#include "tests/support/engine.h"
#include "tests/support/wire_peer.h"
#include "tools/client/codec.h"

#define ROUNDS 60
#define REQUESTS 24 /* a round */

static struct engine engine;
static struct context context;
static _Atomic bool ready = true;
static struct wire_peer peer;

static void ask(u32 number) {
    static char bytes[4096];
    struct buf out;
    buf_init(&out, MIB);
    struct margin_query query = margin_query_all();
    struct margin_scan scan = margin_scan_all();
    struct margin_cell cell = {WIRE_DIM_NONE, {"", 0}, 0, 0};
    usize used;
    switch (number % 4) {
    case 0:
        used = (usize)snprintf(bytes, sizeof bytes,
                               "{\"events\":[{\"eventName\":\"e\",\"customerReferenceId\":\"c%u\","
                               "\"featureKey\":\"f\",\"costAmount\":1}]}",
                               number % 50);
        wire_peer_frame(&out, WIRE_INGEST_JSON, number, bytes, used);
        break;
    case 1:
        used = (usize)(codec_write_scan(bytes, &scan) - bytes);
        wire_peer_frame(&out, WIRE_SCAN, number, bytes, used);
        break;
    case 2:
        query.group[0] = WIRE_DIM_CUSTOMER;
        query.group_count = 1;
        query.limit = 50000; /* so many that a reader thread answers */
        used = (usize)(codec_write_query(bytes, &query) - bytes);
        wire_peer_frame(&out, WIRE_AGGREGATE, number, bytes, used);
        break;
    default:
        used = (usize)(codec_write_cell(bytes, &cell) - bytes);
        wire_peer_frame(&out, WIRE_POINT, number, bytes, used);
        break;
    }
    wire_peer_receive(&peer, out.data, out.bytes);
    buf_free(&out);
}

static void run_round(u32 round, const char *key) {
    struct buf greeting;
    buf_init(&greeting, MIB);
    wire_peer_open_with(&peer, &wire_service, &context, front_pool(context.front));
    wire_peer_greet(&greeting, key);
    wire_peer_receive(&peer, greeting.data, greeting.bytes);
    buf_free(&greeting);
    check(peer.session.state == WIRE_OPEN);
    for (u32 i = 0; i < REQUESTS; i++) {
        ask(round * REQUESTS + i);
        front_on_turn(context.front);
        front_on_wake(context.front);
    }
    if (round % 2 == 1) { /* the client goes away: the answers go nowhere */
        wire_session_closed(&peer.session);
    }
    while (peer.session.in_flight > 0) {
        usleep(100);
        front_on_wake(context.front);
    }
    u32 answers = 0;
    struct wire_header header;
    struct slice payload;
    for (usize at = 0; wire_peer_next(&peer, &at, &header, &payload); answers++) {
        check(header.type != WIRE_ERROR);
    }
    check(round % 2 == 1 || answers == REQUESTS + 2);
    wire_peer_close(&peer);
}

int main(void) {
    char why[256] = "";
    struct control *control;
    struct accounts *accounts;
    struct key_info info;
    const struct key_request request = {.name = "test", .scopes = SCOPE_ALL};
    char key[KEY_TEXT_BYTES + 1];
    engine_init(&engine);
    engine_start(&engine);
    check(control_open(engine.dir, true, &control, why, sizeof why) == ERR_OK);
    check(accounts_open(control, &accounts) == ERR_OK);
    i64 now_ms = clock_wall_ms();
    check(keys_create(accounts, ACCOUNT_DEFAULT, &request, now_ms, key, &info) == ERR_OK);
    context = (struct context){.pipeline = engine.pipeline,
                               .front = pipeline_front(engine.pipeline, 0),
                               .store = engine.store,
                               .agg = engine.recovered.agg,
                               .accounts = accounts,
                               .prices = engine.prices,
                               .ready = &ready};
    wire_peer_now_ns = (u64)clock_wall_ms() * 1000000;
    for (u32 round = 0; round < ROUNDS; round++) {
        run_round(round, key);
    }
    check(engine_totals(&engine, 1).events == ROUNDS * REQUESTS / 4);
    accounts_close(accounts);
    control_close(control);
    engine_remove(&engine);
    return 0;
}
