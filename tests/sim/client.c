/*
 * client.c: clients of the simulated server. Each sends its requests one after the other and sends
 * each until it is answered: over connections that break, to a server that comes and goes. They are
 * ordinary programs on ordinary calls; what makes them simulated is what answers those calls.
 */
#include "margin.h"
#include "tests/sim/http.h"
#include "tests/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BURST_MAX 3
#define BODY_BYTES_MAX (128 * KIB)
#define TIMEOUT_MS 20000
#define KEY_BYTES 128

static SIM_STATE struct {
    u32 requests; /* of each client that writes */
    u64 pause_ns;
    u32 writers; /* that have not ended */
    u32 others;
    u32 busy;
    bool hold;
    bool hurry;
    char key[ACCOUNTS_MOST][KEY_BYTES]; /* of the accounts that signed up */
} clients;

/* --- together --------------------------------------------------------------------------------- */

void clients_hurry(void) {
    clients.hurry = true;
}

bool clients_are_in_a_hurry(void) {
    return clients.hurry;
}

bool clients_are_done(void) {
    return clients.writers == 0 && clients.others == 0;
}

void clients_hold(bool hold) {
    clients.hold = hold;
}

bool clients_are_idle(void) {
    return clients.busy == 0;
}

static bool may_go_on(void *context) {
    (void)context;
    return !clients.hold;
}

/* Before each request; a client in a request is busy. */
void client_enter(void) {
    if (clients.hold) {
        fiber_wait(may_go_on, NULL, SIM_NEVER);
    }
    clients.busy++;
}

void client_leave(void) {
    clients.busy--;
    fiber_sleep(between(0, chance(10) ? 25 * clients.pause_ns : clients.pause_ns));
}

static bool client_is_done(u32 sent) {
    return sent >= clients.requests || clients.hurry;
}

/* The first account's key is in a file, the others' came with the answer to signing up. */
bool client_read_key(u32 account, char *key, usize bytes) {
    char path[512];
    if (account > 0) {
        snprintf(key, bytes, "%s", clients.key[account]);
        return key[0] != '\0';
    }
    snprintf(path, sizeof path, "%s/api-key", machine_dir());
    FILE *file = fopen(path, "r");
    bool good = file != NULL && fgets(key, (int)bytes, file) != NULL;
    if (file != NULL) {
        fclose(file);
    }
    if (good) {
        key[strcspn(key, "\n")] = '\0';
    }
    return good && key[0] != '\0';
}

/* --- HTTP ------------------------------------------------------------------------------------- */

static usize put_money(char *at, usize room, const char *name, i64 pico) {
    return (usize)snprintf(at, room, ",\"%s\":%lld.%012lld", name, (long long)(pico / PICO_PER_USD),
                           (long long)(pico % PICO_PER_USD));
}

static usize put_event(char *out, usize room, const struct truth_event *event) {
    struct truth_fields fields;
    truth_fields_of(event, &fields);
    usize at = (usize)snprintf(out, room,
                               "{\"eventName\":\"e\",\"customerReferenceId\":\"%s\","
                               "\"featureKey\":\"%s\",\"traceId\":\"%s\"",
                               fields.customer, fields.feature, fields.trace);
    at += put_money(out + at, room - at, "revenueAmount", fields.revenue);
    if (fields.priced) {
        at += (usize)snprintf(out + at, room - at,
                              ",\"model\":\"gpt-4o-mini\",\"inputTokens\":%lld,"
                              "\"outputTokens\":%lld",
                              (long long)fields.input, (long long)fields.output);
    } else {
        at += put_money(out + at, room - at, "costAmount", fields.cost);
    }
    if (event->invalid) {
        at += (usize)snprintf(out + at, room - at, ",\"durationMs\":-1");
    }
    if (fields.key[0] != '\0') {
        at += (usize)snprintf(out + at, room - at, ",\"idempotencyKey\":\"%s\"", fields.key);
    }
    if (fields.agent[0] != '\0') {
        at += (usize)snprintf(out + at, room - at, ",\"agentId\":\"%s\"", fields.agent);
    }
    if (fields.time != 0) {
        at += http_put_time(out + at, room - at, "timestamp", fields.time);
    }
    return at + (usize)snprintf(out + at, room - at, "}");
}

static usize put_single(char *out, usize room, const struct truth_event *event) {
    struct truth_fields fields;
    truth_fields_of(event, &fields);
    usize at =
        (usize)snprintf(out, room,
                        "{\"eventName\":\"e\",\"customerReferenceId\":\"%s\","
                        "\"featureKey\":\"%s\",\"flowId\":\"%s\",\"eventIdempotencyKey\":\"%s\"",
                        fields.customer, fields.feature, fields.trace, fields.key);
    at += put_money(out + at, room - at, "revenueAmount", fields.revenue);
    if (fields.priced) {
        at += (usize)snprintf(out + at, room - at,
                              ",\"costInput\":{\"model\":\"gpt-4o-mini\",\"inputTokens\":%lld,"
                              "\"outputTokens\":%lld}",
                              (long long)fields.input, (long long)fields.output);
    } else {
        at += put_money(out + at, room - at, "costAmount", fields.cost);
    }
    if (fields.time != 0) {
        at += http_put_time(out + at, room - at, "occurredAt", fields.time);
    }
    return at + (usize)snprintf(out + at, room - at, "}");
}

static usize put_body(char *out, const struct truth_request *request) {
    if (request->single) {
        return put_single(out, BODY_BYTES_MAX, &request->event[0]);
    }
    usize at = (usize)snprintf(out, BODY_BYTES_MAX, "{\"events\":[");
    for (u32 i = 0; i < request->count; i++) {
        if (i > 0) {
            out[at++] = ',';
        }
        at += put_event(out + at, BODY_BYTES_MAX - at, &request->event[i]);
        promise(at + 16 < BODY_BYTES_MAX, "a body is too large");
    }
    return at + (usize)snprintf(out + at, BODY_BYTES_MAX - at, "]}");
}

/* 503: nothing was stored, the same later. */
static bool take_answer(struct http *http, const struct truth_request *request) {
    u32 status;
    struct slice body;
    if (!http_receive(http, &status, &body)) {
        return false;
    }
    if (status == 503 || status == 500 || status == 507) {
        return false;
    }
    struct truth_answer answer = {0};
    if (request->single) {
        promise(status == 201 || status == 409 || (status == 400 && truth_ages()),
                "status %u: %.*s", status, (int)body.bytes, body.data);
        answer.accepted = status == 201;
        answer.rejected = status != 201;
        answer.duplicates = status == 409;
        truth_answered(request, &answer);
        return true;
    }
    promise(status == 200, "status %u: %.*s", status, (int)MIN(body.bytes, (usize)300), body.data);
    bool whole = http_number(body, "accepted", &answer.accepted) &&
                 http_number(body, "rejected", &answer.rejected) &&
                 http_number(body, "duplicates", &answer.duplicates) &&
                 http_number(body, "conflicts", &answer.conflicts);
    promise(whole, "no such answer: %.*s", (int)body.bytes, body.data);
    truth_answered(request, &answer);
    return true;
}

/* Connects if need be. */
static bool reach(struct http *http, u32 account) {
    char key[KEY_BYTES];
    return http_is_open(http) || (client_read_key(account, key, sizeof key) &&
                                  http_open(http, SIM_HTTP_PORT, key, TIMEOUT_MS));
}

/* Sends what is not answered, several requests at once; how many of the first were answered. */
static u32 try_burst(struct http *http, struct truth_request *request, u32 count, char *body) {
    if (!reach(http, request->account)) {
        fiber_sleep(between(SIM_MS, 200 * SIM_MS));
        return 0;
    }
    for (u32 i = 0; i < count; i++) {
        usize bytes = put_body(body, &request[i]);
        truth_sent(&request[i]);
        http_put_body(http, "POST",
                      request[i].single ? "/api/v1/client/events" : "/api/events/ingest", body,
                      bytes);
    }
    u32 answered = 0;
    if (http_send(http)) {
        while (answered < count && take_answer(http, &request[answered])) {
            answered++;
        }
    }
    if (answered < count || chance(5)) {
        http_close(http);
    }
    return answered;
}

static u32 account_of(const void *argument) {
    return (u32)(uintptr_t)argument;
}

static void *http_client_run(void *argument) {
    u32 account = account_of(argument);
    struct http *http = http_make();
    struct truth_request *request = calloc(BURST_MAX, sizeof *request);
    char *body = malloc(BODY_BYTES_MAX);
    promise(request != NULL && body != NULL, "no memory");
    for (u32 sent = 0; !client_is_done(sent);) {
        client_enter();
        u32 count = chance(80) ? 1 : 1 + roll(BURST_MAX);
        for (u32 i = 0; i < count; i++) {
            truth_make(&request[i], account, true);
        }
        for (u32 first = 0; first < count;) {
            u32 answered = try_burst(http, request + first, count - first, body);
            first += answered;
            if (first < count) {
                client_leave();
                client_enter();
            }
        }
        sent += count;
        client_leave();
    }
    http_free(http);
    free(request);
    free(body);
    clients.writers--;
    return NULL;
}

/* --- binary socket ---------------------------------------------------------------------------- */

struct margin_client *client_connect_with(const char *key, u32 timeout_ms) {
    char why[256];
    struct margin_client *client = NULL;
    const struct margin_options options = {
        .host = "127.0.0.1", .port = SIM_WIRE_PORT, .key = key, .timeout_ms = timeout_ms};
    enum margin_status status = margin_connect(&options, &client, why, sizeof why);
    /* After a failed write to the control tables they cannot be read, which is something else. */
    promise(status != MARGIN_DENIED && status != MARGIN_PROTOCOL, "key %.11s: %s", key, why);
    return status == MARGIN_OK ? client : NULL;
}

struct margin_client *client_connect(u32 account, u32 timeout_ms) {
    char key[KEY_BYTES];
    return client_read_key(account, key, sizeof key) ? client_connect_with(key, timeout_ms) : NULL;
}

static void put_text(struct margin_batch *batch, enum wire_text column, const char *text) {
    if (text[0] != '\0') {
        promise(margin_batch_text(batch, column, (struct slice){text, strlen(text)}) == MARGIN_OK,
                "a text does not fit");
    }
}

static void put_native(struct margin_batch *batch, const struct truth_event *event) {
    struct truth_fields fields;
    truth_fields_of(event, &fields);
    promise(margin_batch_event(batch) == MARGIN_OK, "an event does not fit");
    put_text(batch, WIRE_TEXT_EVENT_NAME, "e");
    put_text(batch, WIRE_TEXT_CUSTOMER, fields.customer);
    put_text(batch, WIRE_TEXT_FEATURE, fields.feature);
    put_text(batch, WIRE_TEXT_TRACE, fields.trace);
    put_text(batch, WIRE_TEXT_KEY, fields.key);
    put_text(batch, WIRE_TEXT_AGENT, fields.agent);
    margin_batch_number(batch, WIRE_NUM_REVENUE, fields.revenue);
    if (fields.priced) {
        put_text(batch, WIRE_TEXT_MODEL, "gpt-4o-mini");
        margin_batch_number(batch, WIRE_NUM_INPUT, fields.input);
        margin_batch_number(batch, WIRE_NUM_OUTPUT, fields.output);
    } else {
        margin_batch_number(batch, WIRE_NUM_COST, fields.cost);
    }
    if (event->invalid) {
        margin_batch_number(batch, WIRE_NUM_DURATION, -1);
    }
    if (fields.time != 0) {
        margin_batch_number(batch, WIRE_NUM_TIME, fields.time);
    }
}

static enum margin_status send_once(struct margin_client *client, struct truth_request *request,
                                    struct margin_batch *batch, char *body,
                                    struct margin_ingested *out) {
    bool native = chance(60);
    usize bytes = 0;
    if (native) {
        margin_batch_clear(batch);
        for (u32 i = 0; i < request->count; i++) {
            put_native(batch, &request->event[i]);
        }
    } else {
        bytes = put_body(body, request);
    }
    truth_sent(request);
    return native ? margin_ingest_batch(client, batch, out)
                  : margin_ingest_json(client, (struct slice){body, bytes}, out);
}

/* False: not answered, to be sent again. */
static bool try_wire(struct margin_client **client, struct truth_request *request,
                     struct margin_batch *batch, char *body) {
    struct margin_ingested told;
    if (*client == NULL && (*client = client_connect(request->account, TIMEOUT_MS)) == NULL) {
        fiber_sleep(between(SIM_MS, 200 * SIM_MS));
        return false;
    }
    enum margin_status status = send_once(*client, request, batch, body, &told);
    promise(status == MARGIN_OK || status == MARGIN_BUSY || status == MARGIN_NO_SPACE ||
                status == MARGIN_LOST || status == MARGIN_TIMEOUT || status == MARGIN_SERVER,
            "a batch is refused: %s", margin_error_text(*client));
    if (status == MARGIN_OK) {
        promise(told.sent == request->count, "%u sent, not %u", told.sent, request->count);
        truth_answered(request, &(struct truth_answer){told.accepted, told.rejected,
                                                       told.duplicates, told.conflicts});
    }
    if (status == MARGIN_LOST || status == MARGIN_TIMEOUT || chance(5)) {
        margin_close(*client);
        *client = NULL;
    }
    return status == MARGIN_OK;
}

static void *wire_client_run(void *argument) {
    u32 account = account_of(argument);
    struct margin_client *client = NULL;
    struct margin_batch *batch = margin_batch_create();
    struct truth_request *request = calloc(1, sizeof *request);
    char *body = malloc(BODY_BYTES_MAX);
    promise(batch != NULL && request != NULL && body != NULL, "no memory");
    for (u32 sent = 0; !client_is_done(sent); sent++) {
        client_enter();
        truth_make(request, account, false);
        while (!try_wire(&client, request, batch, body)) {
            client_leave();
            client_enter();
        }
        client_leave();
    }
    margin_close(client);
    margin_batch_free(batch);
    free(request);
    free(body);
    clients.writers--;
    return NULL;
}

/* --- who asks --------------------------------------------------------------------------------- */

/* A total over the binary socket: of the account, or of all rows of a list. */
static bool ask_wire(struct margin_client *client, u32 account) {
    struct truth_least least = truth_least(account);
    u64 total;
    enum margin_status status;
    if (chance(50)) {
        const struct margin_cell cell = {.dimension = WIRE_DIM_NONE};
        struct margin_point point;
        status = margin_get_point(client, &cell, &point);
        total = status == MARGIN_OK ? point.figures.events : 0;
    } else {
        struct margin_query query = margin_query_all();
        struct margin_rows rows;
        query.group_count = 1;
        query.group[0] = chance(50) ? WIRE_DIM_CUSTOMER : WIRE_DIM_FEATURE;
        query.order = chance(50) ? WIRE_ORDER_MARGIN : WIRE_ORDER_EVENTS;
        status = margin_aggregate(client, &query, &rows);
        total = status == MARGIN_OK ? rows.figures.events : 0;
    }
    promise(status == MARGIN_OK || status == MARGIN_BUSY || status == MARGIN_LOST ||
                status == MARGIN_TIMEOUT,
            "a question is refused: %s", margin_error_text(client));
    if (status == MARGIN_OK) {
        truth_seen(account, total, least);
    }
    return status != MARGIN_LOST && status != MARGIN_TIMEOUT;
}

static bool ask_http(struct http *http, u32 account) {
    static const char *const paths[] = {"/api/events/by-customer?days=all",
                                        "/api/events/by-feature?days=all",
                                        "/api/events?limit=20",
                                        "/api/events/by-model?days=7",
                                        "/api/events/traces?limit=5",
                                        "/metrics"};
    u32 which = roll(ARRAY_COUNT(paths));
    u32 status;
    struct slice body;
    struct truth_least least = truth_least(account);
    if (!reach(http, account)) {
        return false;
    }
    http_put_bare(http, "GET", paths[which]);
    if (!http_send(http) || !http_receive(http, &status, &body)) {
        http_close(http);
        return false;
    }
    /* 500: a failed write has made what the disk holds unknown, and the server is about to stop. */
    promise(status == 200 || status == 503 || (status == 500 && disk_errors() > 0),
            "%s: status %u: %.*s", paths[which], status, (int)MIN(body.bytes, (usize)300),
            body.data);
    if (status == 200 && which < 2) {
        truth_seen(account, http_sum(body, "event_count"), least);
    }
    return true;
}

static void *asker_run(void *argument) {
    u32 account = account_of(argument);
    struct margin_client *client = NULL;
    struct http *http = http_make();
    while (clients.writers > 0) {
        client_enter();
        if (chance(50)) {
            ask_http(http, account);
        } else if (client != NULL || (client = client_connect(account, TIMEOUT_MS)) != NULL) {
            if (!ask_wire(client, account)) {
                margin_close(client);
                client = NULL;
            }
        }
        client_leave();
        fiber_sleep(between(0, 30 * SIM_MS));
    }
    margin_close(client);
    http_free(http);
    clients.others--;
    return NULL;
}

/* --- who signs up ----------------------------------------------------------------------------- */

/* Each try with an address of its own: where the answer is lost, so is the key. */
static bool sign_up(struct http *http, u32 account, u32 number) {
    char text[256];
    u32 status;
    struct slice body;
    int bytes = snprintf(text, sizeof text,
                         "{\"email\":\"u%u-%u@sim.example\",\"scopes\":[\"events.write\","
                         "\"events.read\",\"usage.read\",\"customers.read\",\"billing.read\","
                         "\"models.read\"]}",
                         account, number);
    if (!http_is_open(http) && !http_open(http, SIM_HTTP_PORT, "", TIMEOUT_MS)) {
        return false;
    }
    http_put_body(http, "POST", "/api/signup", text, (usize)bytes);
    if (!http_send(http) || !http_receive(http, &status, &body)) {
        http_close(http);
        return false;
    }
    promise(status == 201 || status == 503 || (status == 500 && disk_errors() > 0) || status == 507,
            "signing up: status %u: %.*s", status, (int)body.bytes, body.data);
    return status == 201 &&
           http_text(body, "key", clients.key[account], sizeof clients.key[account]);
}

static void *stranger_run(void *argument) {
    struct http *http = http_make();
    u32 account = account_of(argument);
    for (u32 number = 0; clients.key[account][0] == '\0'; number++) {
        client_enter();
        sign_up(http, account, number);
        client_leave();
        fiber_sleep(between(0, 20 * SIM_MS));
    }
    sim_say("client: account %u has signed up", account);
    http_free(http);
    clients.others--;
    return NULL;
}

static void *any_account(void) {
    return (void *)(uintptr_t)roll(truth_accounts());
}

void clients_start(const struct clients *wanted) {
    clients.requests = wanted->requests;
    clients.pause_ns = wanted->pause_ns;
    clients.writers = wanted->http + wanted->wire;
    clients.others = wanted->askers + truth_accounts() - 1;
    for (u32 i = 1; i < truth_accounts(); i++) {
        fiber_start("stranger", false, stranger_run, (void *)(uintptr_t)i);
    }
    for (u32 i = 0; i < wanted->http; i++) {
        fiber_start("http client", false, http_client_run, any_account());
    }
    for (u32 i = 0; i < wanted->wire; i++) {
        fiber_start("wire client", false, wire_client_run, any_account());
    }
    for (u32 i = 0; i < wanted->askers; i++) {
        fiber_start("asker", false, asker_run, any_account());
    }
}
