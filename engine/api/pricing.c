/* pricing.c: GET /api/pricing/models, the price table in force. Public: prices are no secret. */
#include "api/context.h"
#include "api/routes.h"
#include "json/write.h"

static void write_price(struct json_writer *json, const char *key, i64 price) {
    json_key(json, key);
    if (price >= 0) {
        json_decimal(json, price, 12);
    } else {
        json_null(json);
    }
}

enum call_outcome pricing_handle_models(struct http_call *call) {
    struct context *context = call->context;
    const struct price_view *view = prices_acquire(context->prices);
    const struct price_table *table = price_view_table(view);
    struct json_writer json = json_writer(&call->reply);
    json_object_begin(&json);
    json_key(&json, "models");
    json_array_begin(&json);
    for (u32 i = 0; i < price_count(table); i++) {
        struct price_listing price = price_list(table, i);
        json_object_begin(&json);
        json_key(&json, "model");
        json_string(&json, price.model);
        json_key(&json, "provider");
        json_string(&json, price.provider);
        write_price(&json, "input_cost_per_million", price.input);
        write_price(&json, "output_cost_per_million", price.output);
        write_price(&json, "cached_input_cost_per_million", price.cached_input);
        write_price(&json, "cache_write_cost_per_million", price.cache_write);
        json_object_end(&json);
    }
    json_array_end(&json);
    json_key(&json, "updated_at");
    json_time(&json, price_updated_ms(table));
    json_object_end(&json);
    prices_release(context->prices, view);
    return CALL_DONE;
}
