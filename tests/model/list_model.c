/*
 * list_model.c: pages of events (api/event_list.h) against a naive oracle that keeps every event
 * and sorts them all. Random events in random order of time, random filters, orders and pages, over
 * a real store and real figures.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/event_list.h"
#include "base/clock.h"

#define EVENTS_MAX 8192
#define COMMITS 40
#define ROWS_MAX 250
#define LISTS 400
#define ACCOUNT 1
#define HOUR_MS ((i64)3600000)

struct fact { /* one stored event, as the oracle knows it */
    u64 id;
    i64 number[NUM_COUNT];
    const char *text[TEXT_COUNT];
    const char *source;
};

struct model {
    u64 state; /* of the random numbers */
    i64 now_ms;
    struct agg *agg;
    struct store *store;
    struct prices *prices;
    struct book *book; /* of nobody: customers are called by their ids */
    struct event_batch *batch;
    struct fact fact[EVENTS_MAX];
    u32 fact_count;
};

static struct model model;
static const struct event_list *sorting; /* for qsort */

static u32 roll(u32 bound) {
    model.state ^= model.state << 13;
    model.state ^= model.state >> 7;
    model.state ^= model.state << 17;
    return (u32)(model.state >> 33) % bound;
}

static const char *const names[TEXT_COUNT][5] = {
    [TEXT_EVENT_NAME] = {"chat", "embed", "revenue", "tool", "zeta"},
    [TEXT_CUSTOMER] = {"acme", "beta", "acm", "gamma", "delta"},
    [TEXT_FEATURE] = {"search", "mail", "call", "sum", "x"},
    [TEXT_MODEL] = {"gpt-4o", "m", "n", "gpt-4o-mini", "o"},
    [TEXT_AGENT] = {"one", "two", "three", "four", "five"},
    [TEXT_TRACE] = {"t1", "t2", "t3", "t4", "t5"},
};

static void put_text(struct event_batch *batch, u32 row, enum event_text text, struct fact *fact) {
    const char *value = names[text][roll(5)];
    u32 bytes = (u32)strlen(value);
    memcpy(batch->text + batch->text_bytes, value, bytes);
    batch->ref[text][row] = (struct text_ref){batch->text_bytes, bytes};
    batch->text_bytes += bytes;
    batch->present[row] |= TEXT_BIT(text);
    fact->text[text] = value;
}

static void put_number(struct event_batch *batch, u32 row, enum event_number number, i64 value,
                       struct fact *fact) {
    batch->number[number][row] = value;
    batch->present[row] |= NUM_BIT(number);
    fact->number[number] = value;
}

static i64 random_time(void) {
    static const i64 spans[] = {60000, HOUR_MS, 24 * HOUR_MS, 60 * 24 * HOUR_MS,
                                500 * 24 * HOUR_MS};
    i64 span = spans[roll(ARRAY_COUNT(spans))];
    i64 age = (i64)roll(1000000) * span / 1000000;
    return roll(20) == 0 ? model.now_ms + age % (20 * HOUR_MS) : model.now_ms - age;
}

static void make_row(struct event_batch *batch, u32 row, struct fact *fact) {
    batch->present[row] = 0;
    batch->series[row] = SERIES_UNRESOLVED;
    batch->created[row] = model.now_ms;
    batch->cost_source[row] = COST_EXPLICIT;
    batch->revenue_source[row] = REVENUE_NONE;
    batch->source[row] = roll(4) == 0 ? SOURCE_CSV : SOURCE_SDK;
    batch->granularity[row] = GRANULARITY_EVENT;
    batch->flags[row] = 0;
    put_text(batch, row, TEXT_EVENT_NAME, fact);
    put_text(batch, row, TEXT_CUSTOMER, fact);
    put_text(batch, row, TEXT_FEATURE, fact);
    if (roll(4) > 0) {
        put_text(batch, row, TEXT_MODEL, fact);
    }
    if (roll(4) == 0) {
        put_text(batch, row, TEXT_AGENT, fact);
    }
    if (roll(4) == 0) {
        put_text(batch, row, TEXT_TRACE, fact);
    }
    put_number(batch, row, NUM_TIME, random_time(), fact);
    put_number(batch, row, NUM_COST, (i64)roll(20) - 5, fact);
    put_number(batch, row, NUM_REVENUE, (i64)roll(9), fact);
    put_number(batch, row, NUM_USAGE, (i64)roll(1000), fact);
    if (roll(2) == 0) {
        put_number(batch, row, NUM_DURATION, (i64)roll(50), fact);
    }
    if (!event_has_number(batch, row, NUM_DURATION)) {
        fact->number[NUM_DURATION] = INT64_MIN; /* absent counts as the least */
    }
    fact->source = event_source_text((enum event_source)batch->source[row]);
}

static void commit(u32 count) {
    struct event_batch *batch = model.batch;
    u32 rows[ROWS_MAX];
    batch->count = count;
    batch->account = ACCOUNT;
    batch->text_bytes = 0;
    for (u32 i = 0; i < count; i++) {
        struct fact *fact = &model.fact[model.fact_count + i];
        *fact = (struct fact){.id = store_next_id(model.store) + i};
        make_row(batch, i, fact);
        batch->id[i] = fact->id;
        rows[i] = i;
    }
    model.fact_count += count;
    static struct series_def defs[ROWS_MAX];
    u32 known = agg_series_count(model.agg);
    check(agg_resolve(model.agg, batch, rows, count) == ERR_OK);
    struct store_part part = {batch, rows, count};
    struct store_group group = {
        .parts = &part, .part_count = 1, .event_count = count, .defs = defs};
    for (; known < agg_mark(model.agg).series; known++) {
        defs[group.def_count++] = agg_definition(model.agg, known);
    }
    check(store_append(model.store, &group) == ERR_OK);
    agg_settle(model.agg);
    agg_apply(model.agg, batch, rows, count);
}

/* --- the oracle ------------------------------------------------------------------------------- */

static bool holds_text(const struct event_list *list, enum store_dim dim, const char *text) {
    if ((list->count.filter_mask & (1u << dim)) == 0) {
        return true;
    }
    struct slice wanted = list->count.filter[dim];
    return text != NULL && strlen(text) == wanted.bytes &&
           memcmp(text, wanted.data, wanted.bytes) == 0;
}

static bool same(struct slice wanted, const char *text) {
    return wanted.bytes == 0 || (text != NULL && strlen(text) == wanted.bytes &&
                                 memcmp(text, wanted.data, wanted.bytes) == 0);
}

static bool matches(const struct event_list *list, const struct fact *fact) {
    return strcmp(fact->text[TEXT_EVENT_NAME], "revenue") != 0 &&
           fact->number[NUM_TIME] >= list->filter.time_from &&
           fact->number[NUM_TIME] < list->filter.time_to &&
           holds_text(list, DIM_CUSTOMER, fact->text[TEXT_CUSTOMER]) &&
           holds_text(list, DIM_FEATURE, fact->text[TEXT_FEATURE]) &&
           holds_text(list, DIM_MODEL, fact->text[TEXT_MODEL]) &&
           holds_text(list, DIM_SOURCE, fact->source) &&
           same(list->filter.trace, fact->text[TEXT_TRACE]) &&
           same(list->filter.agent, fact->text[TEXT_AGENT]);
}

static int compare_optional(const char *a, const char *b) {
    return a == NULL || b == NULL ? (a != NULL) - (b != NULL) : strcmp(a, b);
}

static int compare_facts(const void *a, const void *b) {
    const struct fact *left = *(const struct fact *const *)a;
    const struct fact *right = *(const struct fact *const *)b;
    int order;
    if (sorting->sort.kind == SORT_SOURCE) {
        order = strcmp(left->source, right->source);
    } else if (sorting->sort.kind == SORT_DIM) {
        order =
            compare_optional(left->text[sorting->sort.column], right->text[sorting->sort.column]);
    } else {
        i64 l = left->number[sorting->sort.column];
        i64 r = right->number[sorting->sort.column];
        order = (l > r) - (l < r);
    }
    if (order == 0) {
        return (left->id < right->id) - (left->id > right->id);
    }
    return sorting->ascending ? order : -order;
}

/* --- the lists -------------------------------------------------------------------------------- */

static void add_filter(struct event_list *list, enum store_dim dim, const char *text) {
    struct slice value = {text, strlen(text)};
    u32 id = agg_value_find(model.agg, ACCOUNT, dim, value);
    if (id == DIM_NONE) {
        return;
    }
    list->filter.dim_mask |= 1u << dim;
    list->filter.dim_value[dim] = id;
    list->count.filter_mask |= 1u << dim;
    list->count.filter[dim] = value;
}

static void random_list(struct event_list *list) {
    static const char *const sorts[] = {
        "timestamp", "timestamp", "timestamp",   "event_name",     "feature_key", "customer_id",
        "model",     "source",    "usage_units", "revenue_amount", "duration_ms", "cost_amount"};
    const char *sort = sorts[roll(ARRAY_COUNT(sorts))];
    *list = (struct event_list){.filter = store_filter_all, .left_out = DIM_NONE};
    list->filter.dim_mask = 1u << DIM_ACCOUNT;
    list->filter.dim_value[DIM_ACCOUNT] = ACCOUNT;
    list->count = (struct query){.account = ACCOUNT, .without_revenue = true, .limit = 1};
    list->left_out = agg_value_find(model.agg, ACCOUNT, DIM_EVENT_NAME, SLICE("revenue"));
    static const enum store_dim dims[] = {DIM_CUSTOMER, DIM_FEATURE, DIM_MODEL};
    for (u32 i = 0; i < ARRAY_COUNT(dims); i++) {
        if (roll(4) == 0) {
            add_filter(list, dims[i], names[dims[i]][roll(5)]);
        }
    }
    if (roll(6) == 0) {
        add_filter(list, DIM_SOURCE, roll(2) == 0 ? "csv" : "sdk");
    }
    if (roll(6) == 0) {
        list->filter.trace = (struct slice){names[TEXT_TRACE][roll(5)], 2};
    }
    if (roll(6) == 0) {
        const char *agent = names[TEXT_AGENT][roll(5)];
        list->filter.agent = (struct slice){agent, strlen(agent)};
    }
    list->by_scan = list->filter.trace.bytes > 0 || list->filter.agent.bytes > 0;
    if (roll(3) == 0) {
        list->filter.time_from = random_time();
    }
    if (roll(3) == 0) {
        list->filter.time_to = random_time();
    }
    if (list->filter.time_from > list->filter.time_to) { /* requests are checked for this */
        i64 from = list->filter.time_to;
        list->filter.time_to = list->filter.time_from;
        list->filter.time_from = from;
    }
    list->count.from = list->filter.time_from;
    list->count.to = list->filter.time_to;
    list->sort = event_list_sort((struct slice){sort, strlen(sort)});
    list->ascending = roll(2) == 0;
    list->limit = 1 + roll(PAGE_EVENTS_MAX);
    list->offset = roll(3) == 0 ? roll(model.fact_count + 50) : roll(100);
}

static u32 count_objects(const struct buf *text, const u64 *ids, u32 count) {
    const char *at = text->data;
    for (u32 i = 0; i < count; i++) {
        char wanted[32];
        snprintf(wanted, sizeof wanted, "{\"id\":%llu,", (unsigned long long)ids[i]);
        at = memmem(at, text->bytes - (usize)(at - text->data), wanted, strlen(wanted));
        if (at == NULL) {
            return i;
        }
    }
    return count;
}

static bool check_list(const struct event_list *list) {
    static const struct fact *expected[EVENTS_MAX];
    u32 total = 0;
    for (u32 i = 0; i < model.fact_count; i++) {
        if (matches(list, &model.fact[i])) {
            expected[total++] = &model.fact[i];
        }
    }
    sorting = list;
    qsort(expected, total, sizeof *expected, compare_facts);
    u64 ids[PAGE_EVENTS_MAX];
    u32 count;
    u64 found;
    enum err err = event_list_page(model.agg, model.store, list, ids, &count, &found);
    u32 wanted = list->offset >= total ? 0 : (u32)MIN((u64)list->limit, total - list->offset);
    bool good = err == ERR_OK && found == total && count == wanted;
    for (u32 i = 0; good && i < count; i++) {
        good = ids[i] == expected[list->offset + i]->id;
    }
    struct buf text;
    buf_init(&text, 16 * MIB);
    struct json_writer json = json_writer(&text);
    struct event_object object = {model.agg, model.prices, model.book, false};
    good =
        good && event_list_write(model.store, &object, &list->filter, ids, count, &json) == ERR_OK;
    good = good && (count == 0 || count_objects(&text, ids, count) == count);
    buf_free(&text);
    if (!good) {
        printf("list by %s: err %s, total %llu of %u, count %u of %u\n", list->sort.name,
               err_text(err), (unsigned long long)found, total, count, wanted);
    }
    return good;
}

static const u32 *series_dims(void *context, u32 series) {
    (void)context;
    return agg_series_dims(model.agg, series);
}

int main(int argc, char **argv) {
    u64 seed = argc > 1 ? strtoull(argv[1], NULL, 10) : clock_monotonic_ns();
    model.state = (seed + 1) * 0x9E3779B97F4A7C15u;
    model.now_ms = 1790000000000 + (i64)roll(1000000000);
    char dir[] = "/tmp/margin-list-model.XXXXXX";
    check(mkdtemp(dir) != NULL);
    char why[256];
    struct agg_options agg_options = {.seed = seed};
    check(agg_create(&agg_options, &model.agg) == ERR_OK);
    struct store_options options = {
        .dir = dir, .log_map_bytes = GIB, .skip_sync = true, .series_dims = series_dims};
    check(store_open(&options, &model.store, why, sizeof why) == ERR_OK);
    struct price_table *table;
    check(price_table_load_embedded(&table, why, sizeof why) == ERR_OK);
    check(prices_create(table, &model.prices) == ERR_OK);
    check(book_make(NULL, 0, NULL, 0, NULL, 0, &model.book) == ERR_OK);
    model.batch = calloc(1, sizeof *model.batch);
    check(model.batch != NULL);
    model.batch->text_bytes_max = 1 << 16;
    model.batch->text = calloc(1, model.batch->text_bytes_max + EVENT_TEXT_PADDING);
    check(model.batch->text != NULL);
    bool good = true;
    for (u32 i = 0; good && i < COMMITS; i++) {
        commit(1 + roll(ROWS_MAX));
        bool did;
        check(roll(8) != 0 || store_merge(model.store, &did) == ERR_OK);
        for (u32 k = 0; good && k < LISTS / COMMITS; k++) {
            struct event_list list;
            random_list(&list);
            good = check_list(&list);
        }
    }
    store_close(model.store);
    agg_destroy(model.agg);
    prices_destroy(model.prices);
    book_free(model.book);
    free(model.batch->text);
    free(model.batch);
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    check(system(command) == 0);
    printf("list_model: %u events, seed %llu: %s\n", model.fact_count, (unsigned long long)seed,
           good ? "ok" : "FAILED");
    return good ? 0 : 1;
}
