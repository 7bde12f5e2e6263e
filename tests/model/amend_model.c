/*
 * amend_model.c: changes to what is stored, through the whole engine, against a list of events:
 * random ingest with keys that come again, clears of accounts, uploads that replace earlier ones,
 * changes of revenue, merges of blocks, and starts from a snapshot or from the log alone. What was
 * accepted, what scans give, the figures and the count of received events must all be the list's.
 */
#include "tests/support/engine.h"

#include "base/clock.h"
#include "tests/support/require.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EVENTS_MAX 100000
#define ACCOUNTS 3
#define CUSTOMERS 8
#define KEYS 400
#define ROUNDS 60
#define DAY_MS ((i64)86400000)

static u64 state;

static u32 below(u32 bound) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (u32)((state >> 33) % bound);
}

enum kind { KIND_SDK, KIND_COST, KIND_USAGE };
static const char *const kind_names[] = {"call", "cost", "usage"};

struct fact {
    u64 id;
    u32 account;
    u32 customer;
    u32 key; /* 0: none */
    enum kind kind;
    i64 cost;
    i64 revenue;
    u8 revenue_source;
};

static struct engine engine;
static struct fact facts[EVENTS_MAX];
static u32 fact_count;
static u64 next_id = 1;
static u64 received[ACCOUNTS + 1];

/* --- doing ------------------------------------------------------------------------------------ */

static bool key_is_known(u32 account, u32 key) {
    for (u32 i = 0; i < fact_count; i++) {
        if (facts[i].account == account && facts[i].key == key && key != 0) {
            return true;
        }
    }
    return false;
}

static void add_fact(struct fact fact) {
    require(fact_count < EVENTS_MAX);
    fact.id = next_id++;
    facts[fact_count++] = fact;
    received[fact.account]++;
}

static void ingest(void) {
    static char body[300000];
    u32 account = 1 + below(ACCOUNTS);
    u32 count = 1 + below(below(4) == 0 ? 500 : 12);
    u32 accepted = 0;
    usize at = (usize)sprintf(body, "{\"events\":[");
    for (u32 i = 0; i < count; i++) {
        struct fact fact = {.account = account,
                            .customer = below(CUSTOMERS),
                            .key = below(3) == 0 ? 0 : 1 + below(KEYS),
                            .cost = (i64)below(1000) * 1000000};
        bool earns = below(2) == 0;
        fact.revenue = earns ? (i64)below(1000) * 1000000 : 0;
        fact.revenue_source = earns ? REVENUE_EXPLICIT : REVENUE_NONE;
        at += (usize)sprintf(body + at,
                             "%s{\"eventName\":\"call\",\"customerReferenceId\":\"c%u\","
                             "\"featureKey\":\"f%u\",\"costAmount\":0.%06lld",
                             i > 0 ? "," : "", fact.customer, below(3),
                             (long long)(fact.cost / 1000000));
        if (earns) {
            at += (usize)sprintf(body + at, ",\"revenueAmount\":0.%06lld",
                                 (long long)(fact.revenue / 1000000));
        }
        if (fact.key != 0) {
            at += (usize)sprintf(body + at, ",\"idempotencyKey\":\"k%u\"", fact.key);
        }
        if (below(4) == 0) {
            at += (usize)sprintf(body + at, ",\"traceId\":\"t%u\",\"agentId\":\"a\"", below(20));
        }
        at += (usize)sprintf(body + at, "}");
        if (!key_is_known(account, fact.key)) {
            add_fact(fact);
            accepted++;
        }
    }
    sprintf(body + at, "]}");
    struct ingest result;
    struct decode_error error;
    require(engine_ingest(&engine, account, body, &result, &error) == ERR_OK);
    require(result.err == ERR_OK && result.accepted == accepted);
    require(result.duplicates == count - accepted);
    ingest_free(&result);
}

static void forget(u32 account, bool whole, enum kind kind) {
    u32 left = 0;
    for (u32 i = 0; i < fact_count; i++) {
        if (facts[i].account != account || (!whole && facts[i].kind != kind)) {
            facts[left++] = facts[i];
        }
    }
    fact_count = left;
}

static struct event_batch upload;
static char upload_text[EVENT_BATCH_MAX * 32];

static void put_text(u32 row, enum event_text text, const char *data) {
    u32 bytes = (u32)strlen(data);
    memcpy(upload.text + upload.text_bytes, data, bytes);
    upload.ref[text][row] = (struct text_ref){upload.text_bytes, bytes};
    upload.text_bytes += bytes;
    upload.present[row] |= TEXT_BIT(text);
}

static void make_upload(u32 account, enum kind kind, u32 count, struct fact *made) {
    upload.account = account;
    upload.count = count;
    upload.text = upload_text;
    upload.text_bytes = 0;
    upload.text_bytes_max = sizeof upload_text - EVENT_TEXT_PADDING;
    for (u32 i = 0; i < count; i++) {
        char customer[16];
        made[i] = (struct fact){.account = account,
                                .customer = below(CUSTOMERS),
                                .kind = kind,
                                .cost = (i64)below(100000)};
        snprintf(customer, sizeof customer, "c%u", made[i].customer);
        upload.present[i] = NUM_BIT(NUM_TIME) | NUM_BIT(NUM_COST) | NUM_BIT(NUM_REVENUE);
        upload.series[i] = SERIES_UNRESOLVED;
        upload.created[i] = clock_wall_ms();
        upload.source[i] = SOURCE_CSV;
        upload.granularity[i] = GRANULARITY_MONTHLY;
        upload.cost_source[i] = COST_EXPLICIT;
        upload.revenue_source[i] = REVENUE_NONE;
        upload.number[NUM_TIME][i] = upload.created[i] - (i64)below(400) * DAY_MS;
        upload.number[NUM_COST][i] = made[i].cost;
        upload.number[NUM_REVENUE][i] = 0;
        put_text(i, TEXT_EVENT_NAME, kind_names[kind]);
        put_text(i, TEXT_CUSTOMER, customer);
        put_text(i, TEXT_FEATURE, "uploaded");
    }
}

static void replace(void) {
    static struct fact made[EVENT_BATCH_MAX];
    u32 account = 1 + below(ACCOUNTS);
    enum kind kind = below(2) == 0 ? KIND_COST : KIND_USAGE;
    struct slice name = {kind_names[kind], strlen(kind_names[kind])};
    struct event_batch *batches[] = {&upload};
    u32 before = fact_count;
    u32 count = below(4) == 0 ? 0 : 1 + below(300);
    make_upload(account, kind, count, made);
    struct amend_request request = {.account = account,
                                    .kind = STORE_CLEAR,
                                    .source = SOURCE_CSV,
                                    .names = &name,
                                    .name_count = 1,
                                    .batches = batches,
                                    .batch_count = 1};
    require(pipeline_amend(engine.pipeline, &request) == ERR_OK);
    forget(account, false, kind);
    require(request.removed == before - fact_count);
    require(request.first_id == (count > 0 ? next_id : 0));
    for (u32 i = 0; i < count; i++) {
        add_fact(made[i]);
    }
}

static void clear_account(void) {
    u32 account = 1 + below(ACCOUNTS);
    u32 before = fact_count;
    struct amend_request request = {.account = account, .kind = STORE_CLEAR, .source = DIM_NONE};
    require(pipeline_amend(engine.pipeline, &request) == ERR_OK);
    forget(account, true, KIND_SDK);
    require(request.removed == before - fact_count);
}

static struct fact *find_fact(u64 id) {
    for (u32 i = 0; i < fact_count; i++) {
        if (facts[i].id == id) {
            return &facts[i];
        }
    }
    return NULL;
}

static void change_revenue(void) {
    static struct amend_revenue revenues[3000];
    static char texts[3000][2][16];
    u32 account = 1 + below(ACCOUNTS);
    u32 count = 0;
    struct store_scan_options options = {.filter = store_filter_all, .columns = UINT32_MAX};
    options.filter.dim_mask = 1u << DIM_ACCOUNT;
    options.filter.dim_value[DIM_ACCOUNT] = account;
    struct store_scan *scan;
    const struct event_batch *batch;
    require(store_scan_open(engine.store, &options, &scan) == ERR_OK);
    while (store_scan_next(scan, &batch, NULL, NULL, NULL) == ERR_OK && batch->count > 0) {
        for (u32 row = 0; row < batch->count && count < 3000; row++) {
            if (batch->revenue_source[row] != REVENUE_NONE || below(3) == 0) {
                continue;
            }
            struct amend_revenue *one = &revenues[count];
            memset(one, 0, sizeof *one);
            agg_event_read(&one->adjustment.event, batch, row);
            struct slice trace = event_text_of(batch, row, TEXT_TRACE);
            struct slice agent = event_text_of(batch, row, TEXT_AGENT);
            memcpy(texts[count][0], trace.bytes > 0 ? trace.data : "", trace.bytes);
            memcpy(texts[count][1], agent.bytes > 0 ? agent.data : "", agent.bytes);
            one->id = batch->id[row];
            one->source_before = REVENUE_NONE;
            one->source = REVENUE_FEATURE_PRICING;
            one->adjustment.revenue = 1 + (i64)below(1000);
            one->adjustment.trace = (struct slice){texts[count][0], trace.bytes};
            one->adjustment.agent = (struct slice){texts[count][1], agent.bytes};
            count++;
        }
    }
    store_scan_close(scan);
    struct amend_request request = {
        .account = account, .kind = STORE_REVENUE, .revenues = revenues, .revenue_count = count};
    require(pipeline_amend(engine.pipeline, &request) == ERR_OK);
    require(request.updated == count);
    for (u32 i = 0; i < count; i++) {
        struct fact *fact = find_fact(revenues[i].id);
        require(fact != NULL);
        fact->revenue = revenues[i].adjustment.revenue;
        fact->revenue_source = REVENUE_FEATURE_PRICING;
    }
    request.updated = 0; /* what was read is no longer so: nothing changes */
    require(pipeline_amend(engine.pipeline, &request) == ERR_OK && request.updated == 0);
}

static void run(const char *before, const char *after) {
    char command[256];
    snprintf(command, sizeof command, "%s %s%s", before, engine.dir, after);
    require(system(command) == 0);
}

/* Stops in order, which leaves a snapshot; or without one, or as a crash does, with what there was
 * of snapshots before, which may know fewer amendments than the log has. */
static void restart(void) {
    char copy[96];
    u32 how = below(3);
    if (how == 0) {
        run("rm -rf", ".crash");
        snprintf(copy, sizeof copy, " %s.crash", engine.dir);
        run("cp -r", copy);
    }
    engine_stop(&engine);
    if (how == 0) {
        run("rm -rf", "");
        require(rename(copy + 1, engine.dir) == 0);
    } else if (how == 1) {
        run("rm -rf", "/snapshots");
    }
    engine_start(&engine);
}

/* --- comparing -------------------------------------------------------------------------------- */

static void compare_scan(void) {
    struct store_scan_options options = {.filter = store_filter_all, .columns = UINT32_MAX};
    struct store_scan *scan;
    const struct event_batch *batch;
    u32 at = 0;
    require(store_scan_open(engine.store, &options, &scan) == ERR_OK);
    while (store_scan_next(scan, &batch, NULL, NULL, NULL) == ERR_OK && batch->count > 0) {
        for (u32 row = 0; row < batch->count; row++, at++) {
            require(at < fact_count && batch->id[row] == facts[at].id);
            require(batch->number[NUM_COST][row] == facts[at].cost);
            require(batch->number[NUM_REVENUE][row] == facts[at].revenue);
            require(batch->revenue_source[row] == facts[at].revenue_source);
        }
    }
    store_scan_close(scan);
    require(at == fact_count);
}

static void compare_figures(u32 account) {
    struct figures wanted[CUSTOMERS] = {0};
    u32 customers = 0;
    for (u32 i = 0; i < fact_count; i++) {
        if (facts[i].account == account) {
            struct figures *figures = &wanted[facts[i].customer];
            customers += figures->events == 0;
            figures->events++;
            figures->cost += facts[i].cost;
            figures->revenue += facts[i].revenue;
        }
    }
    const struct query query = {.account = account,
                                .group = {DIM_CUSTOMER},
                                .group_count = 1,
                                .from = INT64_MIN,
                                .to = INT64_MAX,
                                .order = ORDER_KEY,
                                .ascending = true,
                                .limit = 100};
    struct query_result result;
    const char *why;
    require(query_run(engine.recovered.agg, NULL, &query, &result, &why) == ERR_OK);
    require(result.row_count == customers);
    for (u32 i = 0; i < result.row_count; i++) {
        struct slice text =
            agg_value_text(engine.recovered.agg, DIM_CUSTOMER, result.rows[i].value[0]);
        const struct figures *figures = &wanted[text.data[1] - '0'];
        require(result.rows[i].figures.events == figures->events);
        require(result.rows[i].figures.cost == figures->cost);
        require(result.rows[i].figures.revenue == figures->revenue);
    }
    query_result_free(&result);
    require(usage_of(engine.recovered.usage, account, clock_wall_ms()) == received[account]);
}

int main(int argc, char **argv) {
    seed_used = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    state = seed_used * 2654435761u + 1;
    engine_init(&engine);
    engine.snapshot_events = 500;
    engine_start(&engine);
    for (u32 round = 0; round < ROUNDS; round++) {
        ingest();
        ingest();
        switch (below(8)) {
        case 0:
        case 1:
            replace();
            break;
        case 2:
            clear_account();
            break;
        case 3:
            change_revenue();
            break;
        case 4:
            restart();
            break;
        default:
            break;
        }
        compare_scan();
        for (u32 account = 0; account <= ACCOUNTS; account++) {
            compare_figures(account);
        }
    }
    engine_remove(&engine);
    printf("amend_model: good (seed %llu)\n", (unsigned long long)seed_used);
    return 0;
}
