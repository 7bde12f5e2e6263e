/*
 * keeper.c: an account of which one client changes what is stored already and what is beside the
 * log: uploads that take each other's place, clearings, revenue that comes later, the account's own
 * prices, API keys. The truth about it is the set of states that it may be in. An order is a
 * function of states: one that was answered has been carried out; one without an answer may be, now
 * or as long as the process lives; and what anybody was shown stays true.
 */
#include "account/keys.h"
#include "account/users.h"
#include "margin.h"
#include "store.h"
#include "tests/sim/http.h"
#include "tests/sim/sim.h"

#include <stdio.h>
#include <string.h>

#define NOTES 10
#define KEYS 6
#define STATES_MAX 512
#define REVOKING_LOOKS 20
#define LOST_MAX 4 /* orders without an answer, after which nothing is sent until a start */
#define TIMEOUT_MS 20000
#define ANSWER_BYTES 200
#define EMAIL "keeper@sim.example"
#define PASSWORD "not a secret here"
#define DOLLAR ((i128)PICO_PER_USD)

struct note { /* an event that is sent, and perhaps sent again */
    u32 stored;
    u32 cost;   /* the account's price of its model then; micro-dollars */
    u32 earned; /* the price of its feature, then or when it was looked at again; dollars */
};

struct state { /* of numbers only: it is compared by its bytes */
    u32 costs; /* the upload that stands; 0: none */
    u32 sales;
    u32 model_price;   /* 0: none */
    u32 feature_price; /* 0: none */
    struct note note[NOTES];
};

enum kind { COSTS, SALES, MODEL_PRICE, FEATURE_PRICE, BACKFILL, NOTE, CLEAR, CLEAR_COSTS, KINDS };

struct order {
    enum kind kind;
    u32 value;
    u32 boot; /* of the machine that it was sent to */
};

enum key_state { KEY_NONE, KEY_LIVE, KEY_PERHAPS, KEY_REVOKED };

struct key {
    enum key_state state;
    u32 id;
    char text[128];
};

static SIM_STATE struct {
    bool ready; /* the account is there */
    u32 clients;
    u32 orders; /* to be given */
    u32 given;
    u32 done;
    u32 watched;
    char key[128];
    char token[128];
    struct key keys[KEYS];
    struct key *revoking; /* now; NULL: none */
    struct state states[STATES_MAX];
    u32 state_count;
    struct order open[LOST_MAX + 1]; /* carried out, or to be, or not */
    u32 open_count;
    u32 version; /* changes when an order begins or is answered */
    u32 value;
} keeper;

/* --- states ----------------------------------------------------------------------------------- */

static struct state applied(struct state state, const struct order *order) {
    struct note *note = &state.note[order->value % NOTES];
    switch (order->kind) {
    case COSTS:
        state.costs = order->value;
        break;
    case SALES:
        state.sales = order->value;
        break;
    case MODEL_PRICE:
        state.model_price = order->value;
        break;
    case FEATURE_PRICE:
        state.feature_price = order->value;
        break;
    case BACKFILL:
        for (u32 i = 0; i < NOTES; i++) {
            bool earns = state.note[i].stored && state.note[i].earned == 0;
            state.note[i].earned = earns ? state.feature_price : state.note[i].earned;
        }
        break;
    case NOTE:
        if (!note->stored) {
            *note = (struct note){1, state.model_price, state.feature_price};
        }
        break;
    case CLEAR:
        memset(state.note, 0, sizeof state.note);
        state.costs = state.sales = 0;
        break;
    default:
        state.costs = 0;
        break;
    }
    return state;
}

static void add_state(const struct state *state) {
    for (u32 i = 0; i < keeper.state_count; i++) {
        if (memcmp(&keeper.states[i], state, sizeof *state) == 0) {
            return;
        }
    }
    promise(keeper.state_count < STATES_MAX, "too many states for this simulation");
    keeper.states[keeper.state_count++] = *state;
}

/* With all that open orders may make of them; those of a process that is gone are not open. */
static void extend(void) {
    u32 left = 0;
    for (u32 i = 0; i < keeper.open_count; i++) {
        if (keeper.open[i].boot == machine_boots()) {
            keeper.open[left++] = keeper.open[i];
        }
    }
    keeper.open_count = left;
    for (u32 i = 0; i < keeper.state_count; i++) { /* those that are added, too */
        for (u32 j = 0; j < keeper.open_count; j++) {
            struct state next = applied(keeper.states[i], &keeper.open[j]);
            add_state(&next);
        }
    }
}

static void begin(const struct order *order) {
    extend();
    keeper.open[keeper.open_count++] = *order;
    extend();
    keeper.version++;
}

/* `done`: it has been carried out; else nothing came of it. */
static void end(const struct order *order, bool done) {
    keeper.version++;
    if (keeper.open_count > 0 && keeper.open[keeper.open_count - 1].boot == order->boot) {
        keeper.open_count--;
    }
    u32 count = keeper.state_count;
    for (u32 i = 0; i < count && done; i++) {
        keeper.states[i] = applied(keeper.states[i], order);
    }
    extend();
}

/* Only states of which `agrees` is true are possible; and from now on no others are, unless what
 * was seen says nothing of what the next look shows (`passing`). */
static void see(bool (*agrees)(const struct state *, const void *), const void *seen,
                const char *what, bool passing) {
    u32 left = 0;
    extend();
    const struct state was = keeper.states[0];
    for (u32 i = 0; i < keeper.state_count; i++) {
        if (agrees(&keeper.states[i], seen)) {
            keeper.states[passing ? i : left] = keeper.states[i];
            left++;
        }
    }
    promise(left > 0,
            "%s: of %u possible states none; one has costs of upload %u, sales of %u, the prices "
            "%u and %u",
            what, keeper.state_count, was.costs, was.sales, was.model_price, was.feature_price);
    keeper.state_count = passing ? keeper.state_count : left;
    extend();
}

/* Of two looks with different ones it is not known which was the state between them: an order began
 * or was answered, or the answer is one of a process that is gone. */
static u64 now_version(void) {
    return (u64)machine_boots() << 32 | keeper.version;
}

/* An event is in the log before it is in the figures, and in both when it is acknowledged. */
static bool note_is_open(void) {
    for (u32 i = 0; i < keeper.open_count; i++) {
        if (keeper.open[i].kind == NOTE) {
            return true;
        }
    }
    return false;
}

/* --- what is seen ----------------------------------------------------------------------------- */

/* Of the log, or of the figures, in which only the sums of notes can be seen. */
struct seen {
    u32 costs;
    u32 costs_events;
    u32 sales;
    u32 sales_events;
    struct note note[NOTES];
    u64 notes;
    i128 notes_cost;
    i128 notes_earned;
};

static bool agrees_with_log(const struct state *state, const void *argument) {
    const struct seen *seen = argument;
    return state->costs == seen->costs && state->sales == seen->sales &&
           memcmp(state->note, seen->note, sizeof seen->note) == 0;
}

static bool agrees_with_figures(const struct state *state, const void *argument) {
    const struct seen *seen = argument;
    u64 notes = 0;
    i128 cost = 0;
    i128 earned = 0;
    for (u32 i = 0; i < NOTES; i++) {
        notes += state->note[i].stored;
        cost += (i128)state->note[i].cost * (DOLLAR / 1000000);
        earned += (i128)state->note[i].earned * DOLLAR;
    }
    return state->costs == seen->costs && state->sales == seen->sales && notes == seen->notes &&
           cost == seen->notes_cost && earned == seen->notes_earned;
}

static bool text_is(struct slice text, const char *wanted) {
    return text.bytes == strlen(wanted) && memcmp(text.data, wanted, text.bytes) == 0;
}

/* Three rows of an upload, two of sales. */
static void see_rows(u32 *value, u32 *rows, i128 amount, u64 events) {
    u32 each = (u32)(amount / DOLLAR / (i128)events);
    promise(amount == (i128)each * (i128)events * DOLLAR && (*rows == 0 || *value == each),
            "rows of two uploads, %u and %u", *value, each);
    *value = each;
    *rows += (u32)events;
}

static void check_whole(const struct seen *seen) {
    promise(seen->costs_events == (seen->costs == 0 ? 0 : 3), "%u of the 3 rows of an upload",
            seen->costs_events);
    promise(seen->sales_events == (seen->sales == 0 ? 0 : 2), "%u of the 2 rows of sales",
            seen->sales_events);
}

static void read_event(const struct margin_event *event, struct seen *seen) {
    i64 cost = event->number[WIRE_NUM_COST];
    i64 revenue = event->number[WIRE_NUM_REVENUE];
    char key[16] = "";
    u32 number = 0;
    if (text_is(event->text[WIRE_TEXT_EVENT_NAME], "cost")) {
        see_rows(&seen->costs, &seen->costs_events, cost, 1);
    } else if (text_is(event->text[WIRE_TEXT_EVENT_NAME], "revenue")) {
        see_rows(&seen->sales, &seen->sales_events, revenue, 1);
    } else {
        struct slice text = event->text[WIRE_TEXT_KEY];
        memcpy(key, text.data, MIN(text.bytes, sizeof key - 1));
        promise(sscanf(key, "n%u", &number) == 1 && number < NOTES, "event %s was never sent", key);
        struct note *note = &seen->note[number];
        promise(note->stored == 0, "%s is there twice", key);
        *note =
            (struct note){1, (u32)(cost / (PICO_PER_USD / 1000000)), (u32)(revenue / PICO_PER_USD)};
    }
}

static bool see_log(struct margin_client *client) {
    struct margin_scan scan = margin_scan_all();
    struct margin_events events;
    struct margin_event event;
    struct seen seen = {0};
    u64 version = now_version();
    if (margin_scan_events(client, &scan, &events) != MARGIN_OK) {
        return false;
    }
    if (version != now_version()) {
        return true;
    }
    while (margin_events_next(&events, &event)) {
        read_event(&event, &seen);
    }
    check_whole(&seen);
    see(agrees_with_log, &seen, "events", note_is_open());
    return true;
}

static void read_row(const struct margin_row *row, struct seen *seen) {
    const struct margin_figures *figures = &row->figures;
    if (figures->events == 0) {
        return;
    }
    if (text_is(row->group[0], "cost")) {
        see_rows(&seen->costs, &seen->costs_events, figures->cost, figures->events);
    } else if (text_is(row->group[0], "revenue")) {
        see_rows(&seen->sales, &seen->sales_events, figures->revenue, figures->events);
    } else {
        seen->notes = figures->events;
        seen->notes_cost = figures->cost;
        seen->notes_earned = figures->revenue;
    }
}

static bool see_figures(struct margin_client *client) {
    struct margin_query query = margin_query_all();
    struct margin_rows rows;
    struct margin_row row;
    struct seen seen = {0};
    u64 version = now_version();
    query.group_count = 1;
    query.group[0] = WIRE_DIM_EVENT_NAME;
    if (margin_aggregate(client, &query, &rows) != MARGIN_OK) {
        return false;
    }
    if (version != now_version()) {
        return true;
    }
    while (margin_rows_next(&rows, &row)) {
        read_row(&row, &seen);
    }
    check_whole(&seen);
    see(agrees_with_figures, &seen, "figures", false);
    return true;
}

static bool agrees_with_plans(const struct state *state, const void *argument) {
    return state->sales == *(const u32 *)argument;
}

static bool agrees_with_prices(const struct state *state, const void *argument) {
    return state->feature_price == *(const u32 *)argument;
}

/* --- requests --------------------------------------------------------------------------------- */

/* With a session or a key. False: no answer, or none that says anything. */
static bool ask(struct http *http, const char *who, const char *method, const char *path,
                const char *text, u32 *status, struct slice *body) {
    if (!http_is_open_for(http, who)) {
        http_close(http);
        if (!http_open(http, SIM_HTTP_PORT, who, TIMEOUT_MS)) {
            return false;
        }
    }
    if (text == NULL) {
        http_put_bare(http, method, path);
    } else {
        http_put_body(http, method, path, text, strlen(text));
    }
    bool answered = http_send(http) && http_receive(http, status, body);
    if (!answered || chance(5)) {
        http_close(http);
    }
    return answered;
}

/* 500: a failed write has made what the disk holds unknown, and the server is about to stop. */
static bool is_refusal(u32 status) {
    return status == 503 || status == 507 || (status == 500 && disk_errors() > 0);
}

static bool see_number(struct http *http, const char *path, const char *name,
                       bool (*agrees)(const struct state *, const void *)) {
    u32 status;
    u32 number = 0;
    struct slice body;
    u64 version = now_version();
    if (!ask(http, keeper.key, "GET", path, NULL, &status, &body)) {
        return false;
    }
    promise(status == 200 || is_refusal(status), "%s: status %u: %.*s", path, status,
            (int)MIN(body.bytes, (usize)ANSWER_BYTES), body.data);
    if (status != 200) {
        return false;
    }
    if (version == now_version()) {
        http_number(body, name, &number);
        see(agrees, &number, path, false);
    }
    return true;
}

/* Whoever was let in or kept out is still. */
static bool see_key(struct http *http, struct key *key) {
    u32 status;
    struct slice body;
    const struct key was = *key;
    if (was.state == KEY_NONE) {
        return true;
    }
    if (!ask(http, was.text, "GET", "/api/events?limit=1", NULL, &status, &body) ||
        is_refusal(status)) {
        return false;
    }
    promise(status == 200 || status == 401, "a key: status %u", status);
    promise(status != 200 || was.state != KEY_REVOKED, "a revoked key is let in");
    if (key->id != was.id) { /* another one has taken its place meanwhile */
        return true;
    }
    promise(status != 401 || key->state != KEY_LIVE, "a key is kept out");
    key->state = status == 401 ? KEY_REVOKED : key->state;
    return true;
}

/* Events and figures in one look: at any moment they say the same. */
static bool see_events(struct margin_client **client) {
    bool figures_first = chance(70);
    if (*client == NULL) {
        *client = client_connect_with(keeper.key, TIMEOUT_MS);
    }
    bool good = *client != NULL && (figures_first ? see_figures(*client) : see_log(*client)) &&
                (figures_first ? see_log(*client) : see_figures(*client));
    if (!good) {
        margin_close(*client);
        *client = NULL;
    }
    return good;
}

static void see_some(struct http *http, struct margin_client **client) {
    switch (roll(8)) {
    case 0:
        see_number(http, "/api/plans", "price_amount", agrees_with_plans);
        break;
    case 1:
        see_number(http, "/api/feature-pricing", "revenue_per_unit", agrees_with_prices);
        break;
    case 2:
        see_key(http, &keeper.keys[roll(KEYS)]);
        break;
    default:
        see_events(client);
        break;
    }
    keeper.watched++;
}

/* --- orders ----------------------------------------------------------------------------------- */

static struct order make_order(void) {
    static const enum kind often[] = {COSTS,         SALES,         SALES,    SALES,    MODEL_PRICE,
                                      FEATURE_PRICE, FEATURE_PRICE, BACKFILL, BACKFILL, NOTE,
                                      NOTE,          NOTE,          NOTE};
    struct order order = {.kind = often[roll(ARRAY_COUNT(often))], .value = ++keeper.value};
    if (chance(20)) {
        order.kind = chance(50) ? CLEAR : CLEAR_COSTS;
    }
    bool price = order.kind == MODEL_PRICE || order.kind == FEATURE_PRICE;
    order.value = order.kind == NOTE ? roll(NOTES) : price && chance(40) ? 0 : order.value;
    return order;
}

/* What goes where; text: empty where there is no body. Clearing is for people. */
static const char *put_order(const struct order *order, const char **method, char *text,
                             usize room) {
    u32 value = order->value;
    *method = "POST";
    text[0] = '\0';
    switch (order->kind) {
    case COSTS: {
        char row[96];
        snprintf(row, sizeof row, "{\"month\":\"2026-01\",\"cost\":%u,\"customer_id\":\"up\"}",
                 value);
        snprintf(text, room, "{\"records\":[%s,%s,%s]}", row, row, row);
        return "/api/data/upload/costs";
    }
    case SALES:
        snprintf(text, room,
                 "{\"plans\":[{\"plan_id\":\"p\",\"price_amount\":%u}],\"subscriptions\":"
                 "[{\"customer_id\":\"s0\",\"plan_id\":\"p\"},{\"customer_id\":\"s1\","
                 "\"plan_id\":\"p\"}]}",
                 value);
        return "/api/data/upload/revenue";
    case MODEL_PRICE:
        *method = value == 0 ? "DELETE" : "PUT";
        snprintf(text, value == 0 ? 0 : room,
                 "{\"input_cost_per_million\":%u,\"output_cost_per_million\":1}", value);
        return "/api/pricing/models/own-model";
    case FEATURE_PRICE:
        *method = value == 0 ? "DELETE" : "POST";
        snprintf(text, value == 0 ? 0 : room, "{\"feature_key\":\"work\",\"revenue_per_unit\":%u}",
                 value);
        return value == 0 ? "/api/feature-pricing/work" : "/api/feature-pricing";
    case BACKFILL:
        return "/api/backfill/revenue";
    case NOTE:
        snprintf(text, room,
                 "{\"events\":[{\"eventName\":\"note\",\"customerReferenceId\":\"w\","
                 "\"featureKey\":\"work\",\"model\":\"own-model\",\"inputTokens\":1,"
                 "\"idempotencyKey\":\"n%u\"}]}",
                 value);
        return "/api/events/ingest";
    default:
        *method = "DELETE";
        return order->kind == CLEAR ? "/api/data/clear" : "/api/data/clear/costs";
    }
}

/* A note that is new is one in some state that was possible; a known one likewise. */
static void check_note(struct slice body, const struct order *order, bool known, bool unknown) {
    u32 accepted = 0;
    u32 duplicates = 0;
    promise(http_number(body, "accepted", &accepted) &&
                http_number(body, "duplicates", &duplicates) && accepted + duplicates == 1,
            "a note: %.*s", (int)body.bytes, body.data);
    promise(accepted == 1 ? unknown : known, "note %u is %s", order->value,
            accepted == 1 ? "new again" : "known already");
}

static void give_order(struct http *http) {
    char text[512];
    const char *method;
    u32 status;
    struct slice body;
    struct order order = make_order();
    const char *path = put_order(&order, &method, text, sizeof text);
    bool known = false;
    bool unknown = false;
    bool person = order.kind == CLEAR || order.kind == CLEAR_COSTS;
    extend();
    if (keeper.open_count == LOST_MAX || machine_state() != MACHINE_RUNS) {
        fiber_sleep(between(SIM_MS, 200 * SIM_MS));
        return;
    }
    for (u32 i = 0; i < keeper.state_count && order.kind == NOTE; i++) {
        bool stored = keeper.states[i].note[order.value].stored;
        known = known || stored;
        unknown = unknown || !stored;
    }
    order.boot = machine_boots();
    keeper.given++;
    begin(&order);
    bool answered = ask(http, person ? keeper.token : keeper.key, method, path,
                        text[0] == '\0' ? NULL : text, &status, &body);
    if (!answered || status == 500) {
        promise(!answered || is_refusal(status), "%s: status %u", path, status);
        keeper.version++;
        return;
    }
    bool done = status == 200 || status == 201 || status == 204 ||
                (status == 404 && order.value == 0 && strcmp(method, "DELETE") == 0);
    promise(done || is_refusal(status), "%s %s: status %u: %.*s", method, path, status,
            (int)MIN(body.bytes, (usize)ANSWER_BYTES), body.data);
    if (done && order.kind == NOTE) {
        check_note(body, &order, known, unknown);
    }
    keeper.done += done;
    end(&order, done);
}

static void change_key(struct http *http) {
    char text[128];
    u32 status;
    struct slice body;
    struct key *key = &keeper.keys[roll(KEYS)];
    if (key->state == KEY_LIVE || key->state == KEY_PERHAPS) {
        snprintf(text, sizeof text, "/api/sdk-keys/%u", key->id);
        key->state = KEY_PERHAPS;
        keeper.revoking = key;
        if (ask(http, keeper.token, "DELETE", text, NULL, &status, &body)) {
            promise(status == 200 || status == 404 || is_refusal(status), "revoking: status %u",
                    status);
            key->state = status == 200 || status == 404 ? KEY_REVOKED : key->state;
        }
        keeper.revoking = NULL;
        for (u32 i = roll(4); i > 0;
             i--) { /* at once: some of what is known is known for a second */
            see_key(http, key);
        }
        return;
    }
    snprintf(text, sizeof text, "{\"name\":\"key %u\",\"scopes\":[\"events.read\"]}",
             ++keeper.value);
    struct key made = {.state = KEY_LIVE};
    if (ask(http, keeper.token, "POST", "/api/sdk-keys", text, &status, &body)) {
        promise(status == 201 || is_refusal(status), "a new key: status %u: %.*s", status,
                (int)body.bytes, body.data);
        if (status == 201 && http_number(body, "id", &made.id) &&
            http_text(body, "key", made.text, sizeof made.text)) {
            *key = made;
        }
    }
}

static void log_in(struct http *http) {
    u32 status;
    struct slice body;
    if (!ask(http, "", "POST", "/api/auth/login",
             "{\"email\":\"" EMAIL "\",\"password\":\"" PASSWORD "\"}", &status, &body)) {
        return;
    }
    promise(status == 200 || is_refusal(status), "logging in: status %u: %.*s", status,
            (int)body.bytes, body.data);
    if (status == 200) {
        promise(http_text(body, "token", keeper.token, sizeof keeper.token), "no token");
    }
}

static void *keeper_run(void *argument) {
    struct http *http = http_make();
    struct margin_client *client = NULL;
    (void)argument;
    while (keeper.given < keeper.orders && !clients_are_in_a_hurry()) {
        client_enter();
        if (keeper.token[0] == '\0') {
            log_in(http);
        } else if (keeper.state_count > STATES_MAX / 16) { /* before there are too many */
            see_some(http, &client);
        } else if (chance(25)) {
            change_key(http);
        } else {
            give_order(http);
        }
        if (chance(20)) {
            see_some(http, &client);
        }
        client_leave();
    }
    sim_say("keeper: of %u orders %u were carried out for sure; %u looks", keeper.given,
            keeper.done, keeper.watched);
    margin_close(client);
    http_free(http);
    keeper.clients--;
    return NULL;
}

/* Looks while orders are under way. */
static void *watcher_run(void *argument) {
    struct http *http = http_make();
    struct margin_client *client = NULL;
    (void)argument;
    while (keeper.clients > 1 && !clients_are_in_a_hurry()) {
        client_enter();
        see_some(http, &client);
        for (u32 i = 0; i < REVOKING_LOOKS && keeper.revoking != NULL; i++) {
            see_key(http, keeper.revoking);
        }
        client_leave();
        fiber_sleep(between(0, (keeper.open_count > 0 ? 1 : 10) * SIM_MS));
    }
    margin_close(client);
    http_free(http);
    keeper.clients--;
    return NULL;
}

/* --- from outside ----------------------------------------------------------------------------- */

bool keeper_is_there(void) {
    return keeper.ready;
}

bool keeper_is_done(void) {
    return keeper.clients == 0;
}

/* As marginctl does; the server is down. */
void keeper_prepare(void) {
    char why[256];
    struct control *control;
    struct accounts *accounts;
    struct account_info account;
    struct user user;
    struct key_info info;
    const struct key_request request = {.scopes = SCOPE_ALL};
    const struct slice password = SLICE(PASSWORD);
    i64 now_ms = clock_wall_now_ms();
    promise(control_open(machine_dir(), false, &control, why, sizeof why) == ERR_OK, "%s", why);
    promise(accounts_open(control, &accounts) == ERR_OK, "accounts");
    promise(accounts_create(accounts, "keeper", "unlimited", now_ms, &account) == ERR_OK &&
                users_join(accounts, EMAIL, account.id, ROLE_OWNER, password, now_ms, &user) ==
                    ERR_OK &&
                keys_create(accounts, account.id, &request, now_ms, keeper.key, &info) == ERR_OK,
            "the keeper's account cannot be made");
    accounts_close(accounts);
    control_close(control);
    keeper.ready = true;
    keeper.state_count = 1;
    keeper.orders = 10 + roll(40);
    keeper.clients = 2;
    fiber_start("keeper", false, keeper_run, NULL);
    fiber_start("watcher", false, watcher_run, NULL);
}

/* While nothing is sent; false: it could not be seen. */
bool keeper_check(void) {
    struct http *http = http_make();
    struct margin_client *client = NULL;
    bool good = see_events(&client) &&
                see_number(http, "/api/plans", "price_amount", agrees_with_plans) &&
                see_number(http, "/api/feature-pricing", "revenue_per_unit", agrees_with_prices);
    for (u32 i = 0; i < KEYS && good; i++) {
        good = see_key(http, &keeper.keys[i]);
    }
    margin_close(client);
    http_free(http);
    return good;
}
