/*
 * wire_service_test.c: the binary protocol's handlers on a whole engine, without sockets: what goes
 * in comes out, kept answers are renewed, and no payload does harm.
 */
#include "api/wire_service.h"

#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "account/keys.h"
#include "agg/state.h"
#include "base/clock.h"
#include "pipeline/parts.h"
#include "tests/support/engine.h"
#include "tests/support/wire_peer.h"
#include "tools/client/codec.h"

static struct engine engine;
static struct control *control;
static struct accounts *accounts;
static struct context context;
static _Atomic bool ready = true;
static struct wire_peer peer;
static usize seen; /* of what the peer was sent */
static u32 next_request = 10;
static char key[KEY_TEXT_BYTES + 1];

static void open_all(u32 scopes) {
    char why[256] = "";
    engine_init(&engine);
    engine_start(&engine);
    cr_assert_eq(control_open(engine.dir, true, &control, why, sizeof why), ERR_OK, "%s", why);
    cr_assert_eq(accounts_open(control, &accounts), ERR_OK);
    struct key_info info;
    const struct key_request request = {.name = "test", .scopes = scopes};
    cr_assert_eq(keys_create(accounts, 1, &request, clock_wall_ms(), key, &info), ERR_OK);
    context = (struct context){.pipeline = engine.pipeline,
                               .front = pipeline_front(engine.pipeline, 0),
                               .store = engine.store,
                               .agg = engine.recovered.agg,
                               .accounts = accounts,
                               .prices = engine.prices,
                               .ready = &ready};
    wire_peer_now_ns = (u64)clock_wall_ms() * 1000000; /* events are of now */
    wire_peer_open_with(&peer, &wire_service, &context, front_pool(context.front));
    struct buf bytes;
    buf_init(&bytes, MIB);
    wire_peer_greet(&bytes, key);
    wire_peer_receive(&peer, bytes.data, bytes.bytes);
    buf_free(&bytes);
    cr_assert_eq(peer.session.state, WIRE_OPEN);
    seen = peer.sent.bytes;
}

static void close_all(void) {
    wire_peer_close(&peer);
    accounts_close(accounts);
    control_close(control);
    engine_remove(&engine);
}

/* Sends a request and waits for what comes back: its type, and the payload. */
static u8 ask(u8 type, struct slice request, struct slice *payload) {
    struct buf bytes;
    buf_init(&bytes, WIRE_FRAME_BYTES_MAX);
    wire_peer_frame(&bytes, type, next_request, request.data, request.bytes);
    wire_peer_receive(&peer, bytes.data, bytes.bytes);
    buf_free(&bytes);
    front_on_turn(context.front);
    while (peer.sent.bytes == seen) {
        usleep(50);
        front_on_wake(context.front);
    }
    struct wire_header header;
    cr_assert(wire_peer_next(&peer, &seen, &header, payload));
    cr_expect_eq(header.request, next_request);
    cr_expect_eq(seen, peer.sent.bytes, "one answer");
    next_request++;
    return header.type;
}

static u16 ask_error(u8 type, struct slice request) {
    struct slice payload;
    cr_expect_eq(ask(type, request, &payload), WIRE_ERROR);
    struct wire_reader reader = wire_reader(payload);
    return wire_read_u16(&reader);
}

static struct margin_ingested ingest_json(const char *body) {
    struct slice payload;
    struct margin_ingested ingested = {0};
    cr_assert_eq(ask(WIRE_INGEST_JSON, (struct slice){body, strlen(body)}, &payload),
                 WIRE_INGEST_JSON | WIRE_REPLY);
    cr_assert(codec_read_ingested(payload, &ingested));
    return ingested;
}

static struct margin_figures point(enum wire_dimension dimension, const char *text, u32 window_s) {
    struct margin_cell cell = {dimension, {text, strlen(text)}, 0, window_s};
    char bytes[64];
    struct slice payload;
    struct margin_point out = {0};
    struct slice request = {bytes, (usize)(codec_write_cell(bytes, &cell) - bytes)};
    cr_assert_eq(ask(WIRE_POINT, request, &payload), WIRE_POINT | WIRE_REPLY);
    cr_assert(codec_read_point(payload, &out));
    return out.figures;
}

#define TWO_EVENTS                                                                                 \
    "{\"events\":[{\"eventName\":\"e\",\"customerReferenceId\":\"acme\",\"featureKey\":\"f\","     \
    "\"costAmount\":0.5,\"revenueAmount\":2,\"idempotencyKey\":\"k1\",\"traceId\":\"t\"},"         \
    "{\"eventName\":\"e\",\"customerReferenceId\":\"other\",\"featureKey\":\"f\","                 \
    "\"costAmount\":1},{\"eventName\":\"e\",\"featureKey\":\"f\"}]}"

/* A client would drop the events if it were told that they are at fault. */
Test(wire_service, a_bound_of_the_server_is_not_the_fault_of_a_request) {
    open_all(SCOPE_ALL);
    cr_expect_eq(ingest_json(TWO_EVENTS).accepted, 2);
    engine.recovered.agg->series_max = agg_series_count(engine.recovered.agg);
    const char *other = "{\"events\":[{\"eventName\":\"e\",\"customerReferenceId\":\"new\","
                        "\"featureKey\":\"f\",\"idempotencyKey\":\"n\"}]}";
    cr_expect_eq(ask_error(WIRE_INGEST_JSON, (struct slice){other, strlen(other)}), WIRE_BUSY);
    cr_expect_eq(ingest_json(TWO_EVENTS).duplicates, 1, "what is known goes on");
    engine.recovered.agg->series_max = SERIES_MAX;
    cr_expect_eq(ingest_json(other).accepted, 1, "the key was not claimed");
    close_all();
}

Test(wire_service, what_goes_in_comes_out) {
    open_all(SCOPE_ALL);
    cr_expect_eq(point(WIRE_DIM_CUSTOMER, "acme", 0).events, 0, "kept from now on");
    struct margin_ingested ingested = ingest_json(TWO_EVENTS);
    cr_expect_eq(ingested.accepted, 2);
    cr_expect_eq(ingested.first_id, 1);
    cr_assert_eq(ingested.refusal_count, 1);
    struct margin_refusal refusal;
    cr_assert(margin_refusal_next(&ingested, &refusal));
    cr_expect_eq(refusal.index, 2);
    struct margin_figures acme = point(WIRE_DIM_CUSTOMER, "acme", 0);
    cr_expect_eq(acme.events, 1, "an event renews the kept answer");
    cr_expect(acme.cost == PICO_PER_USD / 2 && acme.revenue == 2 * PICO_PER_USD);
    cr_expect_eq(point(WIRE_DIM_CUSTOMER, "acme", 0).events, 1, "kept");
    cr_expect_eq(point(WIRE_DIM_CUSTOMER, "nobody", 0).events, 0);
    cr_expect_eq(point(WIRE_DIM_NONE, "", 3600).events, 2);
    ingested = ingest_json(TWO_EVENTS);
    cr_expect_eq(ingested.accepted, 1, "the one without a key");
    cr_expect_eq(ingested.duplicates, 1);

    struct margin_query query = margin_query_all();
    query.group[0] = WIRE_DIM_CUSTOMER;
    query.group_count = 1;
    char bytes[256];
    struct slice payload;
    struct margin_rows rows;
    struct margin_row row;
    struct slice request = {bytes, (usize)(codec_write_query(bytes, &query) - bytes)};
    cr_assert_eq(ask(WIRE_AGGREGATE, request, &payload), WIRE_AGGREGATE | WIRE_REPLY);
    cr_assert(codec_read_rows(payload, &rows));
    cr_expect_eq(rows.count, 2);
    cr_expect_eq(rows.figures.events, 3);
    cr_assert(margin_rows_next(&rows, &row));
    cr_expect(row.group[0].bytes == 5 && memcmp(row.group[0].data, "other", 5) == 0);
    cr_expect_eq(row.figures.events, 2);
    query.limit = 100000; /* so many that a reader thread answers */
    request.bytes = (usize)(codec_write_query(bytes, &query) - bytes);
    cr_assert_eq(ask(WIRE_AGGREGATE, request, &payload), WIRE_AGGREGATE | WIRE_REPLY);
    cr_assert(codec_read_rows(payload, &rows));
    cr_expect_eq(rows.count, 2);
    close_all();
}

static atomic_bool readers_may_go;

static void hold_reader(struct job *job) {
    (void)job;
    while (!atomic_load(&readers_may_go)) {
        usleep(50);
    }
}

static void forget_job(struct job *job) {
    (void)job;
}

/* The reader threads are busy: the same question from all sides is asked of them once, and answered
 * with all that was acknowledged before the last one asked. */
Test(wire_service, the_same_question_waits_for_one_answer) {
    open_all(SCOPE_ALL);
    struct job jobs[2]; /* as many as there are reader threads */
    for (u32 i = 0; i < 2; i++) {
        jobs[i] = (struct job){.run = hold_reader, .done = forget_job};
        cr_assert_eq(front_job(context.front, &jobs[i]), ERR_OK);
    }
    struct margin_query query = margin_query_all();
    query.group[0] = WIRE_DIM_CUSTOMER;
    query.group_count = 1;
    query.limit = 100000; /* so many that a reader thread answers */
    char text[256];
    usize text_bytes = (usize)(codec_write_query(text, &query) - text);
    struct buf bytes;
    buf_init(&bytes, MIB);
    for (u32 i = 0; i < 20; i++) {
        if (i == 10) {
            cr_expect_eq(ingest_json(TWO_EVENTS).accepted, 2);
        }
        buf_clear(&bytes);
        wire_peer_frame(&bytes, WIRE_AGGREGATE, 1000 + i, text, text_bytes);
        wire_peer_receive(&peer, bytes.data, bytes.bytes);
    }
    query.limit--; /* another question */
    codec_write_query(text, &query);
    buf_clear(&bytes);
    wire_peer_frame(&bytes, WIRE_AGGREGATE, 1020, text, text_bytes);
    wire_peer_receive(&peer, bytes.data, bytes.bytes);
    buf_free(&bytes);
    u32 waiting = 0;
    pthread_mutex_lock(&engine.pipeline->job_lock);
    for (struct job *job = engine.pipeline->jobs.head; job != NULL; job = job->next) {
        waiting++;
    }
    pthread_mutex_unlock(&engine.pipeline->job_lock);
    cr_expect_eq(waiting, 2);
    atomic_store(&readers_may_go, true);
    bool answered[21] = {false};
    for (u32 count = 0; count < 21;) {
        usleep(50);
        front_on_wake(context.front);
        struct wire_header header;
        struct slice payload;
        struct margin_rows rows;
        while (count < 21 && seen < peer.sent.bytes &&
               wire_peer_next(&peer, &seen, &header, &payload)) {
            cr_assert(header.request >= 1000 && header.request <= 1020);
            cr_expect_eq(header.type, WIRE_AGGREGATE | WIRE_REPLY);
            cr_expect(!answered[header.request - 1000]);
            answered[header.request - 1000] = true;
            cr_assert(codec_read_rows(payload, &rows));
            cr_expect_eq(rows.figures.events, 2);
            count++;
        }
    }
    cr_expect_null(context.aggregates);
    close_all();
}

Test(wire_service, scans_page_by_page) {
    open_all(SCOPE_ALL);
    for (u32 i = 0; i < 5; i++) {
        ingest_json(TWO_EVENTS); /* two events the first time, then one */
    }
    for (u32 newest = 0; newest < 2; newest++) {
        struct margin_scan scan = margin_scan_all();
        scan.newest_first = newest == 1;
        scan.limit = 4;
        scan.filter[0] = (struct margin_filter){WIRE_DIM_CUSTOMER, SLICE("other")};
        scan.filter_count = 1;
        u32 count = 0;
        u64 last = newest == 1 ? UINT64_MAX : 0;
        struct margin_events events = {.more = true};
        while (events.more) {
            char bytes[256];
            struct slice payload;
            struct margin_event event;
            struct slice request = {bytes, (usize)(codec_write_scan(bytes, &scan) - bytes)};
            cr_assert_eq(ask(WIRE_SCAN, request, &payload), WIRE_SCAN | WIRE_REPLY);
            cr_assert(codec_read_events(payload, &events));
            u64 next = events.next;
            for (u32 i = 0; i < events.count; i++, count++) {
                cr_assert(margin_events_next(&events, &event));
                cr_expect(newest == 1 ? event.id < last : event.id > last);
                last = event.id;
                cr_expect_eq(event.text[WIRE_TEXT_CUSTOMER].bytes, 5);
                cr_expect_eq(event.number[WIRE_NUM_COST], PICO_PER_USD);
            }
            events.next = next;
            margin_scan_continue(&scan, &events);
        }
        cr_expect_eq(count, 5);
    }
    close_all();
}

static u16 ask_scan(u32 limit, u32 filter_count) {
    static const u8 dimensions[WIRE_FILTERS_MAX] = {
        WIRE_DIM_EVENT_NAME, WIRE_DIM_CUSTOMER,  WIRE_DIM_FEATURE, WIRE_DIM_MODEL,
        WIRE_DIM_PROVIDER,   WIRE_DIM_COST_TYPE, WIRE_DIM_AGENT,   WIRE_DIM_TRACE};
    static char bytes[64 * KIB];
    struct margin_scan scan = margin_scan_all();
    scan.limit = limit;
    for (u32 i = 0; i < MIN(filter_count, (u32)WIRE_FILTERS_MAX); i++) {
        scan.filter[scan.filter_count++] = (struct margin_filter){dimensions[i], SLICE("acme")};
    }
    usize used = (usize)(codec_write_scan(bytes, &scan) - bytes);
    if (filter_count > WIRE_FILTERS_MAX) { /* one more than libmargin can write */
        bytes[WIRE_SCAN_BYTES - 3] = (char)filter_count;
    }
    struct slice payload;
    u8 type = ask(WIRE_SCAN, (struct slice){bytes, used}, &payload);
    struct wire_reader reader = wire_reader(payload);
    return type == WIRE_ERROR ? wire_read_u16(&reader) : 0;
}

Test(wire_service, bounds) {
    static char bytes[WIRE_PING_BYTES_MAX + 1];
    struct slice payload;
    open_all(SCOPE_ALL);
    cr_expect_eq(ask(WIRE_PING, (struct slice){bytes, WIRE_PING_BYTES_MAX}, &payload),
                 WIRE_PING | WIRE_REPLY);
    cr_expect_eq(payload.bytes, WIRE_PING_BYTES_MAX);
    cr_expect_eq(ask_scan(WIRE_SCAN_EVENTS_MAX, WIRE_FILTERS_MAX), 0);
    cr_expect_eq(ask_scan(WIRE_SCAN_EVENTS_MAX + 1, 0), WIRE_INVALID);
    cr_expect_eq(ask_scan(0, 0), WIRE_INVALID);
    cr_expect_eq(ask_scan(1, WIRE_FILTERS_MAX + 1), WIRE_INVALID);
    struct margin_cell cell = {WIRE_DIM_CUSTOMER, SLICE("acme"), 0, 0};
    char *end = codec_write_cell(wire_write_u32(bytes, 1), &cell);
    ask(WIRE_SUBSCRIBE, (struct slice){bytes, (usize)(end - bytes)}, &payload);
    cr_expect_geq(peer.deadline_ns, wire_peer_now_ns + WIRE_INTERVAL_MS_MIN * (u64)1000000);
    u16 code = ask_error(WIRE_PING, (struct slice){bytes, WIRE_PING_BYTES_MAX + 1});
    cr_expect_eq(code, WIRE_LIMIT, "%u", code);
    close_all();
}

Test(wire_service, pushes_what_changes) {
    open_all(SCOPE_ALL);
    struct margin_cell cell = {WIRE_DIM_CUSTOMER, SLICE("acme"), 0, 0};
    char bytes[64];
    struct slice payload;
    struct margin_point now;
    char *end = codec_write_cell(wire_write_u32(bytes, 100), &cell);
    u32 subscription = next_request;
    cr_assert_eq(ask(WIRE_SUBSCRIBE, (struct slice){bytes, (usize)(end - bytes)}, &payload),
                 WIRE_SUBSCRIBE | WIRE_REPLY);
    cr_assert(codec_read_point(payload, &now));
    cr_expect_eq(now.figures.events, 0);
    wire_peer_now_ns += 100 * 1000000;
    wire_session_expired(&peer.session);
    cr_expect_eq(seen, peer.sent.bytes, "nothing has changed");
    ingest_json(TWO_EVENTS);
    wire_peer_now_ns += 100 * 1000000;
    wire_session_expired(&peer.session);
    struct wire_header header;
    cr_assert(wire_peer_next(&peer, &seen, &header, &payload));
    cr_expect_eq(header.type, WIRE_PUSH);
    cr_expect_eq(header.request, subscription);
    cr_assert(codec_read_point(payload, &now));
    cr_expect_eq(now.figures.events, 1);
    ingest_json(TWO_EVENTS); /* of another customer */
    wire_peer_now_ns += 100 * 1000000;
    wire_session_expired(&peer.session);
    cr_expect_eq(seen, peer.sent.bytes, "another cell has changed");
    wire_write_u32(bytes, subscription);
    cr_expect_eq(ask(WIRE_UNSUBSCRIBE, (struct slice){bytes, 4}, &payload),
                 WIRE_UNSUBSCRIBE | WIRE_REPLY);
    cr_expect_eq(payload.bytes, 0);
    cr_expect_eq(ask_error(WIRE_UNSUBSCRIBE, (struct slice){bytes, 4}), WIRE_INVALID);
    cr_expect_eq(peer.deadline_ns, 0, "no timer is left");
    for (u32 i = 0; i < WIRE_SUBSCRIPTIONS_MAX; i++) {
        end = codec_write_cell(wire_write_u32(bytes, 100), &cell);
        ask(WIRE_SUBSCRIBE, (struct slice){bytes, (usize)(end - bytes)}, &payload);
    }
    cr_expect_eq(ask_error(WIRE_SUBSCRIBE, (struct slice){bytes, (usize)(end - bytes)}),
                 WIRE_LIMIT);
    close_all();
}

Test(wire_service, refuses_what_the_key_may_not) {
    open_all(SCOPE_BIT(SCOPE_MODELS_READ));
    static const u8 types[] = {WIRE_INGEST_JSON, WIRE_INGEST_NATIVE, WIRE_POINT, WIRE_AGGREGATE,
                               WIRE_SCAN,        WIRE_SUBSCRIBE,     WIRE_STATS};
    for (usize i = 0; i < ARRAY_COUNT(types); i++) {
        cr_expect_eq(ask_error(types[i], SLICE("")), WIRE_FORBIDDEN, "type %u", types[i]);
    }
    close_all();
}

Test(wire_service, damage_is_not_the_fault_of_a_key) {
    open_all(SCOPE_ALL);
    u32 account = 0;
    u32 scopes = 0;
    const struct slice good = {key, KEY_TEXT_BYTES};
    cr_expect_eq(wire_service.authenticate(&context, "127.0.0.1", good, 1000, &account, &scopes),
                 0);
    cr_expect_eq(account, 1);
    const struct control_object row = {1, CONTROL_KEY, 1, {NULL, 0}};
    char value[KIB];
    usize bytes = sizeof value;
    cr_assert_eq(control_get(control, &row, value, &bytes), ERR_OK);
    value[bytes / 2] ^= 1;
    cr_assert_eq(control_put(control, &row, (struct slice){value, bytes}), ERR_OK);
    cr_expect_eq(wire_service.authenticate(&context, "127.0.0.1", good, 1000, &account, &scopes),
                 WIRE_INTERNAL);
    close_all();
}

Test(wire_service, no_payload_does_harm) {
    open_all(SCOPE_ALL);
    ingest_json(TWO_EVENTS);
    struct margin_cell cell = {WIRE_DIM_CUSTOMER, SLICE("acme"), WIRE_LIVE, 86400};
    struct margin_query query = margin_query_all();
    query.filter[0] = (struct margin_filter){WIRE_DIM_FEATURE, SLICE("f")};
    query.filter_count = 1;
    query.group_count = 2;
    struct margin_scan scan = margin_scan_all();
    scan.filter[0] = (struct margin_filter){WIRE_DIM_TRACE, SLICE("t")};
    scan.filter_count = 1;
    char bytes[4][256];
    struct slice requests[4] = {
        {bytes[0], (usize)(codec_write_cell(bytes[0], &cell) - bytes[0])},
        {bytes[1], (usize)(codec_write_query(bytes[1], &query) - bytes[1])},
        {bytes[2], (usize)(codec_write_scan(bytes[2], &scan) - bytes[2])},
        {bytes[3], (usize)(codec_write_cell(wire_write_u32(bytes[3], 5), &cell) - bytes[3])}};
    static const u8 types[4] = {WIRE_POINT, WIRE_AGGREGATE, WIRE_SCAN, WIRE_SUBSCRIBE};
    struct slice payload;
    for (u32 i = 0; i < 4; i++) {
        for (usize cut = 0; cut < requests[i].bytes; cut++) {
            cr_expect_eq(ask_error(types[i], (struct slice){bytes[i], cut}), WIRE_INVALID,
                         "type %u cut at %zu", types[i], cut);
        }
        for (usize at = 0; at < requests[i].bytes; at++) {
            char before = bytes[i][at];
            for (u32 value = 0; value < 256; value += 15) {
                bytes[i][at] = (char)value;
                u8 type = ask(types[i], requests[i], &payload);
                cr_assert(type == WIRE_ERROR || type == (types[i] | WIRE_REPLY));
            }
            bytes[i][at] = before;
        }
    }
    cr_expect_eq(ask_error(WIRE_INGEST_JSON, SLICE("{\"events\":[}")), WIRE_INVALID);
    cr_expect_eq(ask_error(WIRE_INGEST_NATIVE, SLICE("nonsense")), WIRE_INVALID);
    cr_expect_eq(point(WIRE_DIM_NONE, "", 0).events, 2, "and nothing of it was stored");
    close_all();
}
