/* event_object.c: one event as JSON, member by member in the order of the specification. */
#include "api/event_object.h"

#include "event/bodies.h"

struct row {
    const struct event_object *object;
    const struct event_batch *batch;
    u32 index;
    const u32 *dims;
    struct json_writer *json;
};

static struct slice dim_text(const struct row *row, enum store_dim dim) {
    u32 value = row->dims[dim];
    return value == DIM_NONE ? (struct slice){NULL, 0}
                             : agg_value_text(row->object->agg, dim, value);
}

static void put_text_or_null(const struct row *row, const char *key, struct slice text) {
    json_key(row->json, key);
    if (text.bytes > 0) {
        json_string(row->json, text);
    } else {
        json_null(row->json);
    }
}

static void put_dim(const struct row *row, const char *key, enum store_dim dim) {
    put_text_or_null(row, key, dim_text(row, dim));
}

static void put_text(const struct row *row, const char *key, enum event_text text) {
    put_text_or_null(row, key, event_text_of(row->batch, row->index, text));
}

static void put_raw(const struct row *row, const char *key, enum event_text text) {
    struct slice value = event_text_of(row->batch, row->index, text);
    json_key(row->json, key);
    if (value.bytes > 0) {
        json_raw(row->json, value);
    } else {
        json_null(row->json);
    }
}

static void put_number(const struct row *row, const char *key, enum event_number number,
                       u32 scale) {
    json_key(row->json, key);
    if (event_has_number(row->batch, row->index, number)) {
        json_decimal(row->json, row->batch->number[number][row->index], scale);
    } else {
        json_null(row->json);
    }
}

i128 event_object_part_cost(i64 tokens, i64 price) {
    /* Picodollars per million tokens times tokens is 1e-18 dollars; a millionth is 1e12 of them. */
    i128 exact = (i128)tokens * price;
    return (exact + PICO_PER_USD / 2) / PICO_PER_USD;
}

static void put_part_cost(const struct row *row, const char *key, enum event_number number,
                          i64 price) {
    json_key(row->json, key);
    if (price >= 0 && event_has_number(row->batch, row->index, number)) {
        i64 tokens = row->batch->number[number][row->index];
        json_decimal(row->json, event_object_part_cost(tokens, price), 6);
    } else {
        json_null(row->json);
    }
}

static void put_part_costs(const struct row *row) {
    struct slice model = dim_text(row, DIM_MODEL);
    struct price_quote quote = {.input = -1, .output = -1};
    if (model.bytes > 0) {
        prices_quote(row->object->prices, row->dims[DIM_ACCOUNT], dim_text(row, DIM_PROVIDER),
                     model, &quote);
    }
    put_part_cost(row, "input_cost", NUM_INPUT, quote.input);
    put_part_cost(row, "output_cost", NUM_OUTPUT, quote.output);
}

static void put_money(const struct row *row) {
    const struct event_batch *batch = row->batch;
    struct slice unit = event_text_of(batch, row->index, TEXT_COST_UNIT);
    put_number(row, "cost_amount", NUM_COST, 12);
    put_text_or_null(row, "cost_unit", unit.bytes > 0 ? unit : SLICE("usd"));
    put_dim(row, "cost_type", DIM_COST_TYPE);
    json_key(row->json, "cost_source");
    json_text(row->json, cost_source_text((enum cost_source)batch->cost_source[row->index]));
    put_number(row, "revenue_amount", NUM_REVENUE, 12);
    json_key(row->json, "revenue_source");
    json_text(row->json,
              revenue_source_text((enum revenue_source)batch->revenue_source[row->index]));
}

static void put_usage(const struct row *row) {
    put_number(row, "usage_units", NUM_USAGE, 6);
    put_number(row, "input_tokens", NUM_INPUT, 0);
    put_number(row, "output_tokens", NUM_OUTPUT, 0);
    put_number(row, "cached_input_tokens", NUM_CACHED, 0);
    put_number(row, "cache_write_tokens", NUM_CACHE_WRITE, 0);
    put_number(row, "reasoning_tokens", NUM_REASONING, 0);
    put_part_costs(row);
    u32 counts = NUM_BIT(NUM_INPUT) | NUM_BIT(NUM_OUTPUT) | NUM_BIT(NUM_CACHED) |
                 NUM_BIT(NUM_CACHE_WRITE) | NUM_BIT(NUM_REASONING);
    bool direct = (row->batch->present[row->index] & counts) != 0;
    put_text_or_null(row, "tokens_source", direct ? SLICE("direct") : (struct slice){NULL, 0});
}

static void put_origin(const struct row *row) {
    const struct event_batch *batch = row->batch;
    put_dim(row, "model", DIM_MODEL);
    put_dim(row, "model_provider", DIM_PROVIDER);
    json_key(row->json, "source");
    json_text(row->json, event_source_text((enum event_source)batch->source[row->index]));
    json_key(row->json, "granularity");
    json_text(row->json, granularity_text((enum granularity)batch->granularity[row->index]));
    json_key(row->json, "is_inferred");
    json_bool(row->json, (batch->flags[row->index] & EVENT_FLAG_INFERRED) != 0);
    put_raw(row, "properties", TEXT_PROPERTIES);
    put_raw(row, "meta", TEXT_META);
    put_text(row, "agent_id", TEXT_AGENT);
    put_text(row, "trace_id", TEXT_TRACE);
    put_text(row, "span_id", TEXT_SPAN);
    put_text(row, "parent_span_id", TEXT_PARENT);
    put_number(row, "duration_ms", NUM_DURATION, 0);
    put_text(row, "idempotency_key", TEXT_KEY);
}

static void put_body(struct json_writer *json, const char *key, struct slice body) {
    json_key(json, key);
    if (body.bytes > 0) {
        json_raw(json, body);
    } else {
        json_null(json);
    }
}

static void put_bodies(const struct row *row) {
    struct slice request = {NULL, 0};
    struct slice response = {NULL, 0};
    if ((row->batch->flags[row->index] & EVENT_FLAG_BODIES) != 0) {
        bodies_split(event_text_of(row->batch, row->index, TEXT_REFS), &request, &response);
    }
    put_body(row->json, "request_body", request);
    put_body(row->json, "response_body", response);
}

void event_object_write(struct json_writer *json, const struct event_object *object,
                        const struct event_batch *batch, u32 index) {
    struct row row = {object, batch, index, agg_series_dims(object->agg, batch->series[index]),
                      json};
    json_object_begin(json);
    json_key(json, "id");
    json_u64(json, batch->id[index]);
    put_dim(&row, "customer_id", DIM_CUSTOMER);
    put_text_or_null(&row, "customer_name", book_name(object->book, dim_text(&row, DIM_CUSTOMER)));
    put_dim(&row, "feature_key", DIM_FEATURE);
    put_dim(&row, "event_name", DIM_EVENT_NAME);
    json_key(json, "timestamp");
    json_time(json, batch->number[NUM_TIME][index]);
    put_money(&row);
    put_usage(&row);
    put_origin(&row);
    json_key(json, "created_at");
    json_time(json, batch->created[index]);
    if (object->bodies) {
        put_bodies(&row);
    }
    json_object_end(json);
}
