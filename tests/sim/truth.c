/*
 * truth.c: what the server must hold, kept in the simplest way. What an event says follows from its
 * number and variant alone, and its trace id names both, so whatever comes back can be compared.
 *
 *  - An event that was acknowledged, accepted or as a duplicate, is in the log; with a key: once.
 *  - One that was sent and not acknowledged is there or not; with a key: at most once.
 *  - What was once read stays, with its id and content.
 *  - Every figure is the sum over what is in the log.
 *  - A total that anybody was told is never more than what a crash leaves.
 *
 * Where events are kept for some days only, all this holds for those that cannot be too old yet. An
 * older one is there or not; once it was seen to be gone, its whole day is, for ever. Clocks go
 * forward only then, so that an event without a time is no older than its first sending.
 */
#include "margin.h"
#include "tests/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NUMBERS_MAX 60000 /* of an account */
#define CUSTOMERS 12
#define FEATURES 5
#define AGENTS 3
#define HOUR_MS ((i64)3600000)
#define DAY_MS (24 * HOUR_MS)
#define BASE_MS ((i64)1795000000000)
#define PRICE_INPUT 150000 /* picodollars a token: gpt-4o-mini */
#define PRICE_OUTPUT 600000
#define PAGE_EVENTS 700
#define QUERIES 8 /* of a check */

struct known { /* of one number */
    u32 sends;
    u32 answers;
    u8 variants; /* bit set: sent */
    bool keyed;
    bool invalid;
    bool single; /* goes to the endpoint of single events, and to no other */
    u32 stored;  /* at the check under way */
    u32 due;     /* answers when it began */
    u64 id;      /* the first, once read */
    u32 variant;
    i64 made_ms;   /* when it was thought of, which its own time is before */
    i64 sent_ms;   /* first */
    i64 stored_ms; /* its time, once read */
};

struct stored {
    struct truth_fields fields;
    i64 time;
};

static SIM_STATE struct {
    u64 salt;
    i64 days;
    i64 gone_ms; /* no event is from before */
    char doubt[512];
    struct known *known;
    u32 accounts;
    struct {
        u32 first;   /* its numbers are first + 1 .. */
        u32 numbers; /* .. first + numbers - 1 */
        u64 acknowledged;
        u64 possible; /* events that may be there */
        u64 seen;
        u64 stored; /* when they were read last */
    } account[ACCOUNTS_MOST];
    struct stored *stored;
    u32 stored_count;
    u32 stored_capacity;
    u64 last_id;
} truth;

void truth_init(u32 accounts, u32 days) {
    truth.salt = sim_random();
    truth.days = days;
    truth.known = calloc((usize)accounts * NUMBERS_MAX, sizeof *truth.known);
    promise(truth.known != NULL, "no memory");
    truth.accounts = accounts;
    for (u32 i = 0; i < accounts; i++) {
        truth.account[i].first = i * NUMBERS_MAX;
        truth.account[i].numbers = 1;
    }
}

u32 truth_accounts(void) {
    return truth.accounts;
}

bool truth_ages(void) {
    return truth.days > 0;
}

const char *truth_doubt(void) {
    return truth.doubt;
}

/* An event from here on cannot be too old yet. */
static i64 horizon_ms(void) {
    i64 kept_ms = clock_wall_now_ms() - truth.days * DAY_MS;
    return truth.days > 0 ? kept_ms - kept_ms % DAY_MS : INT64_MIN;
}

u64 truth_acknowledged(void) {
    u64 sum = 0;
    for (u32 i = 0; i < truth.accounts; i++) {
        sum += truth.account[i].acknowledged;
    }
    return sum;
}

u64 truth_stored(void) {
    u64 sum = 0;
    for (u32 i = 0; i < truth.accounts; i++) {
        sum += truth.account[i].stored;
    }
    return sum;
}

/* --- what events say -------------------------------------------------------------------------- */

static u64 mix(u64 value) {
    value = (value ^ value >> 31) * 0x9e3779b97f4a7c15u;
    value = (value ^ value >> 29) * 0xbf58476d1ce4e5b9u;
    return value ^ value >> 32;
}

void truth_fields_of(const struct truth_event *event, struct truth_fields *out) {
    u64 facts = mix(truth.salt ^ event->number);
    u64 more = mix(facts);
    memset(out, 0, sizeof *out);
    /* New customers come up in the course of the run. */
    snprintf(out->customer, sizeof out->customer, "c%u",
             (u32)(facts % CUSTOMERS) + (facts % 7 == 0 ? event->number / 50 : 0));
    snprintf(out->feature, sizeof out->feature, "f%u", (u32)((facts >> 8) % FEATURES));
    if (event->keyed) { /* accounts use the same keys */
        snprintf(out->key, sizeof out->key, "k%u", event->number % NUMBERS_MAX);
    }
    snprintf(out->trace, sizeof out->trace, "t%u-%u", event->number, event->variant);
    if ((facts >> 16) % 4 == 0 && !truth.known[event->number].single) {
        snprintf(out->agent, sizeof out->agent, "a%u", (u32)((facts >> 20) % AGENTS));
    }
    out->priced = (facts >> 24) % 2 == 0;
    out->input = out->priced ? (i64)((facts >> 32) % 5000) : 0;
    out->output = out->priced ? (i64)((facts >> 48) % 3000) : 0;
    out->cost = out->priced ? out->input * PRICE_INPUT + out->output * PRICE_OUTPUT
                            : (i64)(more % (3 * (u64)PICO_PER_USD));
    out->revenue = (i64)((more >> 20) % (5 * (u64)PICO_PER_USD)) + event->variant;
    i64 made_ms = truth_ages() ? truth.known[event->number].made_ms : BASE_MS;
    out->time = (more >> 5) % 3 == 0 ? 0 : made_ms - (i64)((more >> 8) % (50 * (u64)HOUR_MS));
}

/* 0: that of its arrival. */
static i64 time_of(const struct truth_event *event) {
    struct truth_fields fields;
    truth_fields_of(event, &fields);
    return fields.time;
}

/* No copy of it is from before. */
static i64 earliest_of(u32 number) {
    const struct truth_event event = {.number = number};
    i64 time = time_of(&event);
    return time != 0 ? time : truth.known[number].sent_ms;
}

/* One of the last numbers, to be sent again; 0: none that may be. */
static u32 pick_old(u32 account, bool single) {
    u32 window = MIN(truth.account[account].numbers - 1, 400u);
    u32 number = 0;
    if (window > 0) {
        number = truth.account[account].first + truth.account[account].numbers - 1 - roll(window);
    }
    const struct known *known = &truth.known[number];
    return number != 0 && known->keyed && known->single == single ? number : 0;
}

static void make_event(struct truth_event *event, u32 account, bool single) {
    *event = (struct truth_event){
        .number = chance(truth_ages() ? 35 : 20) ? pick_old(account, single) : 0};
    if (event->number != 0) {
        event->keyed = true;
        event->variant = chance(truth_ages() ? 40 : 15);
        return;
    }
    promise(truth.account[account].numbers < NUMBERS_MAX, "too many events for this simulation");
    event->number = truth.account[account].first + truth.account[account].numbers++;
    event->invalid = !single && chance(2);
    event->keyed = single || (!event->invalid && chance(90));
    truth.known[event->number].keyed = event->keyed;
    truth.known[event->number].invalid = event->invalid;
    truth.known[event->number].single = single;
    truth.known[event->number].made_ms = clock_wall_now_ms();
}

void truth_make(struct truth_request *request, u32 account, bool may_be_single) {
    static const u32 sizes[] = {1, 1, 4, 20, REQUEST_EVENTS_MAX};
    request->account = account;
    request->single = may_be_single && chance(25);
    request->count = request->single ? 1 : 1 + roll(sizes[roll(ARRAY_COUNT(sizes))]);
    for (u32 i = 0; i < request->count; i++) {
        make_event(&request->event[i], account, request->single);
    }
}

void truth_sent(struct truth_request *request) {
    for (u32 i = 0; i < request->count; i++) {
        struct truth_event *event = &request->event[i];
        struct known *known = &truth.known[event->number];
        if (known->invalid) {
            continue;
        }
        i64 time = time_of(event);
        event->known = event->keyed && known->id != 0 && known->stored_ms >= horizon_ms();
        event->gone = time != 0 && time < truth.gone_ms;
        known->sent_ms = known->sends == 0 ? clock_wall_now_ms() : known->sent_ms;
        truth.account[request->account].possible += known->keyed ? known->sends == 0 : 1;
        known->sends++;
        known->variants |= (u8)(1u << request->event[i].variant);
    }
}

/* --- answers ---------------------------------------------------------------------------------- */

struct bounds {
    u32 invalid; /* or gone */
    u32 old;     /* perhaps */
    u32 duplicates_least;
    u32 duplicates_most;
    u32 conflicts_least;
    u32 conflicts_most;
};

static bool is_repeated(const struct truth_request *request, u32 index) {
    for (u32 i = 0; i < index; i++) {
        if (request->event[i].number == request->event[index].number) {
            return true;
        }
    }
    return false;
}

/* What was known before the answer. Others may have sent the same keys meanwhile, and what was
 * known when it was sent may have become too old. */
static struct bounds bounds_of(const struct truth_request *request) {
    struct bounds bounds = {0};
    for (u32 i = 0; i < request->count; i++) {
        const struct truth_event *event = &request->event[i];
        const struct known *known = &truth.known[event->number];
        i64 time = time_of(event);
        bool old = !event->invalid && time != 0 && time < horizon_ms();
        bool repeated = is_repeated(request, i);
        bool stored = event->known && known->id != 0 && known->stored_ms >= horizon_ms();
        bounds.invalid += event->invalid || event->gone;
        bounds.old += old && !event->gone;
        if (!event->keyed) {
            continue;
        }
        bounds.duplicates_least += stored || (repeated && !old);
        bounds.duplicates_most += repeated || known->sends > 1 || known->answers > 0;
        bounds.conflicts_least += stored && !request->single && event->variant != known->variant;
        bounds.conflicts_most += stored ? event->variant != known->variant : known->variants == 3;
    }
    return bounds;
}

void truth_answered(const struct truth_request *request, const struct truth_answer *answer) {
    struct bounds bounds = bounds_of(request);
    promise(answer->accepted + answer->rejected == request->count,
            "%u accepted and %u rejected of %u events", answer->accepted, answer->rejected,
            request->count);
    promise(answer->rejected >= answer->duplicates + bounds.invalid &&
                answer->rejected <= answer->duplicates + bounds.invalid + bounds.old,
            "%u rejected, but %u duplicates, %u invalid and perhaps %u too old", answer->rejected,
            answer->duplicates, bounds.invalid, bounds.old);
    promise(answer->duplicates >= bounds.duplicates_least &&
                answer->duplicates <= bounds.duplicates_most,
            "%u duplicates, not %u to %u", answer->duplicates, bounds.duplicates_least,
            bounds.duplicates_most);
    promise(answer->conflicts >= bounds.conflicts_least &&
                answer->conflicts <= MIN(bounds.conflicts_most, answer->duplicates),
            "%u conflicts, not %u to %u, of %u duplicates", answer->conflicts,
            bounds.conflicts_least, bounds.conflicts_most, answer->duplicates);
    for (u32 i = 0; i < request->count; i++) {
        struct known *known = &truth.known[request->event[i].number];
        if (!known->invalid) {
            truth.account[request->account].acknowledged += known->keyed ? known->answers == 0 : 1;
            known->answers++;
        }
    }
}

/* Without those that may be too old. */
static u64 count_acknowledged(u32 account) {
    u32 first = truth.account[account].first;
    u64 sum = 0;
    for (u32 i = first + 1; i < first + truth.account[account].numbers; i++) {
        const struct known *known = &truth.known[i];
        if (known->answers > 0 && earliest_of(i) >= horizon_ms()) {
            sum += known->keyed ? 1 : known->answers;
        }
    }
    return sum;
}

struct truth_least truth_least(u32 account) {
    u64 events = truth_ages()
                     ? count_acknowledged(account)
                     : MAX(truth.account[account].acknowledged, truth.account[account].seen);
    return (struct truth_least){events, horizon_ms()};
}

void truth_seen(u32 account, u64 total, struct truth_least least) {
    promise(total >= least.events || least.horizon != horizon_ms(),
            "a total of %llu events, but %llu were acknowledged or seen before",
            (unsigned long long)total, (unsigned long long)least.events);
    promise(total <= truth.account[account].possible,
            "a total of %llu events, but only %llu were ever sent", (unsigned long long)total,
            (unsigned long long)truth.account[account].possible);
    truth.account[account].seen = MAX(truth.account[account].seen, total);
}

/* --- reading everything ----------------------------------------------------------------------- */

static bool text_is(struct slice text, const char *wanted) {
    return text.bytes == strlen(wanted) &&
           (text.bytes == 0 || memcmp(text.data, wanted, text.bytes) == 0);
}

static void compare(const struct margin_event *event, const struct truth_fields *fields) {
    bool good = text_is(event->text[WIRE_TEXT_CUSTOMER], fields->customer) &&
                text_is(event->text[WIRE_TEXT_FEATURE], fields->feature) &&
                text_is(event->text[WIRE_TEXT_KEY], fields->key) &&
                text_is(event->text[WIRE_TEXT_AGENT], fields->agent) &&
                text_is(event->text[WIRE_TEXT_MODEL], fields->priced ? "gpt-4o-mini" : "") &&
                event->number[WIRE_NUM_COST] == fields->cost &&
                event->number[WIRE_NUM_REVENUE] == fields->revenue &&
                event->number[WIRE_NUM_INPUT] == fields->input &&
                event->number[WIRE_NUM_OUTPUT] == fields->output &&
                (fields->time == 0 || event->number[WIRE_NUM_TIME] == fields->time);
    promise(good, "event %llu, %s, is not what was sent: cost %lld, sent %lld",
            (unsigned long long)event->id, fields->trace, (long long)event->number[WIRE_NUM_COST],
            (long long)fields->cost);
}

static void keep_stored(const struct truth_fields *fields, i64 time) {
    if (truth.stored_count == truth.stored_capacity) {
        truth.stored_capacity = MAX(1024u, 2 * truth.stored_capacity);
        truth.stored = realloc(truth.stored, truth.stored_capacity * sizeof *truth.stored);
        promise(truth.stored != NULL, "no memory");
    }
    truth.stored[truth.stored_count++] = (struct stored){*fields, time};
}

/* An event of that time has left: so have all of its day. */
static void note_gone(i64 time) {
    truth.gone_ms = MAX(truth.gone_ms, time - time % DAY_MS + DAY_MS);
}

static void read_event(u32 account, const struct margin_event *event) {
    char trace[32] = "";
    struct truth_event said = {0};
    struct truth_fields fields;
    struct slice text = event->text[WIRE_TEXT_TRACE];
    memcpy(trace, text.data, MIN(text.bytes, sizeof trace - 1));
    promise(sscanf(trace, "t%u-%u", &said.number, &said.variant) == 2 &&
                said.number > truth.account[account].first &&
                said.number < truth.account[account].first + truth.account[account].numbers,
            "event %llu was never sent to this account", (unsigned long long)event->id);
    promise(event->id > truth.last_id && (truth.accounts > 1 || keeper_is_there() || truth_ages() ||
                                          event->id == truth.last_id + 1),
            "event %llu follows %llu", (unsigned long long)event->id,
            (unsigned long long)truth.last_id);
    truth.last_id = event->id;
    struct known *known = &truth.known[said.number];
    said.keyed = known->keyed;
    promise((known->variants >> said.variant & 1) != 0, "%s was never sent", trace);
    truth_fields_of(&said, &fields);
    compare(event, &fields);
    i64 time = event->number[WIRE_NUM_TIME];
    promise(time >= truth.gone_ms, "%s is from %lld, and events from before %lld were gone", trace,
            (long long)time, (long long)truth.gone_ms);
    known->stored++;
    if (known->stored == 1) {
        bool same = known->id == event->id && known->variant == said.variant;
        bool another = fields.time == 0 && known->stored_ms < horizon_ms();
        promise(known->id == 0 || same || another, "%s was event %llu and is event %llu", trace,
                (unsigned long long)known->id, (unsigned long long)event->id);
        if (known->id != 0 && !same) {
            note_gone(known->stored_ms);
        }
        known->id = event->id;
        known->variant = said.variant;
        known->stored_ms = time;
    }
    keep_stored(&fields, time);
}

static bool read_all(struct margin_client *client, u32 account) {
    u32 first = truth.account[account].first;
    struct margin_scan scan = margin_scan_all();
    struct margin_events events = {.more = true};
    truth.stored_count = 0;
    truth.last_id = 0;
    for (u32 i = first + 1; i < first + truth.account[account].numbers; i++) {
        truth.known[i].stored = 0;
        truth.known[i].due = truth.known[i].answers;
    }
    scan.limit = PAGE_EVENTS;
    while (events.more) {
        struct margin_event event;
        enum margin_status status = margin_scan_events(client, &scan, &events);
        if (status != MARGIN_OK) {
            return false;
        }
        while (margin_events_next(&events, &event)) {
            read_event(account, &event);
        }
        margin_scan_continue(&scan, &events);
    }
    return true;
}

static void check_stored(u32 account, bool all_answered) {
    u32 first = truth.account[account].first;
    for (u32 i = first + 1; i < first + truth.account[account].numbers; i++) {
        struct known *known = &truth.known[i];
        bool old = known->sends > 0 && earliest_of(i) < horizon_ms();
        u32 least = old ? 0 : known->keyed ? known->due > 0 : known->due;
        u32 most = known->keyed ? known->sends > 0 : known->sends;
        promise(known->stored >= least,
                "event t%u was acknowledged %u times and is stored %u times", i, known->due,
                known->stored);
        promise(known->stored <= most, "event t%u%s was sent %u times and is stored %u times", i,
                known->keyed ? ", with a key," : "", known->sends, known->stored);
        if (known->id != 0 && known->stored == 0) {
            promise(known->stored_ms < horizon_ms(), "event t%u was read before and is lost", i);
            note_gone(known->stored_ms);
            known->id = 0;
        }
        promise(!all_answered || known->sends == 0 || known->answers > 0,
                "event t%u is still in doubt", i);
    }
}

/* --- figures ---------------------------------------------------------------------------------- */

static const char *text_of(const struct stored *stored, u32 dimension) {
    switch (dimension) {
    case WIRE_DIM_CUSTOMER:
        return stored->fields.customer;
    case WIRE_DIM_FEATURE:
        return stored->fields.feature;
    case WIRE_DIM_MODEL:
        return stored->fields.priced ? "gpt-4o-mini" : "";
    case WIRE_DIM_AGENT:
        return stored->fields.agent;
    default:
        return "e";
    }
}

static void add(struct margin_figures *sum, const struct stored *stored) {
    sum->events++;
    sum->cost += stored->fields.cost;
    sum->revenue += stored->fields.revenue;
    sum->input += (u64)stored->fields.input;
    sum->output += (u64)stored->fields.output;
    sum->first_seen = MIN(sum->first_seen, stored->time);
    sum->last_seen = MAX(sum->last_seen, stored->time);
}

/* Lists by agent have no row for events without one. */
static bool selected(const struct stored *stored, const struct margin_query *query) {
    if (query->group[0] == WIRE_DIM_AGENT && stored->fields.agent[0] == '\0') {
        return false;
    }
    for (u32 i = 0; i < query->filter_count; i++) {
        if (!text_is(query->filter[i].text, text_of(stored, query->filter[i].dimension))) {
            return false;
        }
    }
    return stored->time >= query->from && stored->time < query->to;
}

static i64 bucket_of(i64 time, enum wire_bucket bucket) {
    i64 width = bucket == WIRE_BUCKET_HOUR ? HOUR_MS : 24 * HOUR_MS;
    return bucket == WIRE_BUCKET_NONE ? 0 : time - time % width;
}

static bool in_row(const struct stored *stored, const struct margin_query *query,
                   const struct margin_row *row) {
    for (u32 i = 0; i < query->group_count; i++) {
        if (!text_is(row->group[i], text_of(stored, query->group[i]))) {
            return false;
        }
    }
    return query->bucket == WIRE_BUCKET_NONE ||
           bucket_of(stored->time, query->bucket) == row->bucket_start;
}

static bool same(const struct margin_figures *told, const struct margin_figures *sum) {
    return told->events == sum->events && told->cost == sum->cost &&
           told->revenue == sum->revenue && told->input == sum->input &&
           told->output == sum->output;
}

static struct margin_figures sum_of(const struct margin_query *query,
                                    const struct margin_row *row) {
    struct margin_figures sum = {.first_seen = INT64_MAX, .last_seen = INT64_MIN};
    for (u32 i = 0; i < truth.stored_count; i++) {
        const struct stored *stored = &truth.stored[i];
        if (selected(stored, query) && (row == NULL || in_row(stored, query, row))) {
            add(&sum, stored);
        }
    }
    return sum;
}

static void make_query(struct margin_query *query, char *customer, usize customer_bytes) {
    static const u8 dims[] = {WIRE_DIM_CUSTOMER, WIRE_DIM_FEATURE, WIRE_DIM_MODEL};
    *query = margin_query_all();
    query->limit = QUERY_ROWS_MAX;
    query->order = (enum wire_order)roll(WIRE_ORDER_LAST_SEEN + 1);
    u32 first = roll(3);
    query->group_count = roll(4);
    for (u32 i = 0; i < query->group_count; i++) {
        query->group[i] = dims[(first + i) % 3];
    }
    if (query->group_count == 1 && chance(20)) {
        query->group[0] = WIRE_DIM_AGENT;
        return;
    }
    if (chance(40)) {
        query->bucket = chance(50) ? WIRE_BUCKET_HOUR : WIRE_BUCKET_DAY;
    }
    if (chance(50)) {
        i64 unit = query->bucket == WIRE_BUCKET_NONE && chance(30) ? 1 : 24 * HOUR_MS;
        i64 base_ms = truth_ages() ? clock_wall_now_ms() : BASE_MS;
        query->from = (base_ms - (i64)roll(72) * HOUR_MS - (i64)roll(5000000)) / unit * unit;
        query->to = query->from + (1 + (i64)roll(48)) * HOUR_MS / unit * unit + unit;
    }
    if (chance(30)) {
        snprintf(customer, customer_bytes, "c%u", roll(CUSTOMERS));
        query->filter_count = 1;
        query->filter[0] = (struct margin_filter){WIRE_DIM_CUSTOMER, {customer, strlen(customer)}};
    }
}

static bool total_of(struct margin_client *client, u32 account, u64 *out) {
    const struct margin_cell cell = {.dimension = WIRE_DIM_NONE};
    struct margin_point point;
    struct truth_least least = truth_least(account);
    if (margin_get_point(client, &cell, &point) != MARGIN_OK) {
        return false;
    }
    truth_seen(account, point.figures.events, least);
    *out = point.figures.events;
    return true;
}

/* Whether every row of the answer is what the log says; what differs is described. */
static bool rows_agree(struct margin_rows *rows, const struct margin_query *query, char *what,
                       usize what_bytes) {
    struct margin_figures sum = sum_of(query, NULL);
    struct margin_figures told = rows->figures;
    struct margin_row row;
    u64 events = 0;
    bool agree = same(&told, &sum);
    while (agree && margin_rows_next(rows, &row)) {
        told = row.figures;
        sum = sum_of(query, &row);
        agree = same(&told, &sum);
        events += told.events;
    }
    if (agree && events != rows->figures.events) {
        snprintf(what, what_bytes, "rows of %llu events make %llu", (unsigned long long)events,
                 (unsigned long long)rows->figures.events);
        return false;
    }
    snprintf(what, what_bytes,
             "figures by %u groups (%u, %u, %u), bucket %u, %u filters, from %lld to %lld: "
             "%llu events, cost %lld, revenue %lld; the log says %llu, %lld, %lld",
             query->group_count, query->group[0], query->group[1], query->group[2],
             (u32)query->bucket, query->filter_count, (long long)query->from, (long long)query->to,
             (unsigned long long)told.events, (long long)told.cost, (long long)told.revenue,
             (unsigned long long)sum.events, (long long)sum.cost, (long long)sum.revenue);
    return agree;
}

/* False: no answer, or the log is no longer what was read, which had `before` events. */
static bool check_query(struct margin_client *client, u32 account, u64 before) {
    struct margin_query query;
    struct margin_rows rows;
    char customer[16];
    char what[512];
    u64 after;
    make_query(&query, customer, sizeof customer);
    enum margin_status status = margin_aggregate(client, &query, &rows);
    promise(status != MARGIN_INVALID && status != MARGIN_PROTOCOL && status != MARGIN_SERVER,
            "a query is refused: %s", margin_error_text(client));
    if (status != MARGIN_OK) {
        return false;
    }
    bool agree = rows_agree(&rows, &query, what, sizeof what);
    if (!total_of(client, account, &after) || after != before) {
        return false;
    }
    snprintf(truth.doubt, sizeof truth.doubt, "%s", agree ? "" : what);
    promise(agree || truth_ages(), "%s", what);
    return agree;
}

/* Requests whose clients have given up may still be under way: then the log changes while we read,
 * and what was read is not compared with the figures. */
bool truth_check(struct margin_client *client, u32 account, bool all_answered) {
    u64 before;
    if (!total_of(client, account, &before) || !read_all(client, account)) {
        return false;
    }
    check_stored(account, all_answered);
    truth.account[account].stored = truth.stored_count;
    if (truth.stored_count != before) {
        u64 after;
        if (!total_of(client, account, &after) || after != before) {
            return false;
        }
        snprintf(truth.doubt, sizeof truth.doubt, "a total of %llu events, but the log has %u",
                 (unsigned long long)before, truth.stored_count);
        promise(truth.stored_count > before || truth_ages(), "%s", truth.doubt);
        return false; /* the log came by more after the total was asked for, perhaps */
    }
    for (u32 i = 0; i < QUERIES; i++) {
        if (!check_query(client, account, before)) {
            return false;
        }
    }
    return true;
}
