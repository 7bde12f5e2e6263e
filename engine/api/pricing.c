/*
 * pricing.c: model prices: the list in force, the account's own ones, and the record of changes.
 * The list is public, for list prices are no secret; who shows a good credential with models.read
 * finds his account's own prices in it, too.
 */
#include "api/auth.h"
#include "api/context.h"
#include "api/error.h"
#include "api/params.h"
#include "api/routes.h"
#include "api/slow.h"
#include "json/reader.h"
#include "json/write.h"

#define CHANGES_LIMIT 100
#define DIRECT_LINES_MAX 4000 /* a table of more is written by a reader thread */
#define RATE_SCALE 6 /* USD per million tokens with so many decimals is picodollars a token */

_Static_assert(MICRO_PER_UNIT == 1000000, "a millionth of a dollar per million is a picodollar");

/* --- the list -------------------------------------------------------------------------------- */

/* Picodollars per million tokens; -1: not priced apart. */
static void write_rate(struct json_writer *json, const char *key, i64 price) {
    json_key(json, key);
    if (price >= 0) {
        json_decimal(json, price, 12);
    } else {
        json_null(json);
    }
}

static void write_price(struct json_writer *json, const struct price_listing *price, bool own) {
    json_object_begin(json);
    json_key(json, "model");
    json_string(json, price->model);
    json_key(json, "provider");
    if (price->provider.bytes > 0) {
        json_string(json, price->provider);
    } else {
        json_null(json);
    }
    write_rate(json, "input_cost_per_million", price->input);
    write_rate(json, "output_cost_per_million", price->output);
    write_rate(json, "cached_input_cost_per_million", price->cached_input);
    write_rate(json, "cache_write_cost_per_million", price->cache_write);
    json_key(json, "source");
    json_text(json, own ? "account" : "table");
    json_object_end(json);
}

/* Whether the account has a price of its own for exactly this line. */
static bool is_replaced(const struct price_book *book, const struct price_listing *price) {
    char buffer[PRICE_NAME_MAX];
    if (book == NULL || book->model_count == 0) {
        return false;
    }
    struct slice model = {buffer, price_name_normalise(price->model, buffer)};
    return price_book_model(book, price->provider, model) != PRICE_NONE;
}

static void write_models(struct http_call *call, const struct price_table *table,
                         const struct price_book *book) {
    struct json_writer json = json_writer(&call->reply);
    json_object_begin(&json);
    json_key(&json, "models");
    json_array_begin(&json);
    for (u32 i = 0; book != NULL && i < book->model_count; i++) {
        struct price_listing price = price_book_listing(book, i);
        write_price(&json, &price, true);
    }
    for (u32 i = 0; i < price_count(table); i++) {
        struct price_listing price = price_list(table, i);
        if (!is_replaced(book, &price)) {
            write_price(&json, &price, false);
        }
    }
    json_array_end(&json);
    json_key(&json, "updated_at");
    json_time(&json, price_updated_ms(table));
    json_object_end(&json);
}

/* Account 0, which nobody has: only the table. */
static void work_models(struct http_call *call, u32 account) {
    struct context *context = call->context;
    const struct price_view *view = prices_acquire(context->prices);
    write_models(call, price_view_table(view), price_view_book(view, account));
    prices_release(context->prices, view);
}

static bool is_long(struct prices *prices) {
    const struct price_view *view = prices_acquire(prices);
    bool is = price_count(price_view_table(view)) > DIRECT_LINES_MAX;
    prices_release(prices, view);
    return is;
}

enum call_outcome pricing_handle_models(struct http_call *call) {
    struct context *context = call->context;
    struct identity identity;
    bool known;
    if (!auth_optional(call, SCOPE_MODELS_READ, &identity, &known)) {
        return CALL_DONE;
    }
    u32 account = known ? identity.account : 0;
    if (is_long(context->prices)) {
        return slow_reply(call, account, work_models);
    }
    work_models(call, account);
    return CALL_DONE;
}

/* --- the account's own prices ---------------------------------------------------------------- */

static bool read_rate(struct json_reader *reader, i64 *rate) {
    if (json_read_null(reader)) {
        return true;
    }
    if (!json_read_decimal(reader, RATE_SCALE, NUMBER_EXACT, rate)) {
        return false;
    }
    if (*rate < 0 || *rate > PRICE_RATE_MAX) {
        return json_read_refuse(reader, ERR_LIMIT, "a price is from 0 to 68719 USD per million");
    }
    return true;
}

static bool read_member(struct json_reader *reader, struct slice name, struct model_price *price) {
    const struct {
        const char *name;
        i64 *rate;
    } rates[] = {
        {"input_cost_per_million", &price->input},
        {"output_cost_per_million", &price->output},
        {"cached_input_cost_per_million", &price->cached},
        {"cache_write_cost_per_million", &price->cache_write},
    };
    for (u32 i = 0; i < ARRAY_COUNT(rates); i++) {
        if (slice_is(name, rates[i].name)) {
            return read_rate(reader, rates[i].rate);
        }
    }
    if (slice_is(name, "provider")) {
        return json_read_null(reader) || json_read_string(reader, &price->provider);
    }
    return json_read_skip(reader);
}

/* False: the reply says why not. */
static bool read_price(struct http_call *call, struct model_price *price) {
    struct json_reader reader = json_reader((char *)call->body.data, call->body.bytes);
    struct slice name;
    *price = (struct model_price){
        .model = call->capture[0], .input = -1, .output = -1, .cached = -1, .cache_write = -1};
    if (json_read_object(&reader)) {
        while (json_read_member(&reader, &name) && read_member(&reader, name, price)) {
        }
    }
    if (!json_read_finish(&reader)) {
        error_invalid_at(call, reader.error.text, reader.error.position);
        return false;
    }
    if (price->input < 0 || price->output < 0) {
        error_invalid(call, "input_cost_per_million and output_cost_per_million are required");
        return false;
    }
    return true;
}

static void work_put(struct http_call *call, u32 account) {
    struct context *context = call->context;
    struct model_price price;
    if (!read_price(call, &price)) {
        return;
    }
    enum err err = ledger_set_model(context->ledger, account, &price, call->now_ms);
    if (err == ERR_INVALID) {
        error_invalid(call, "a model has 1 to 128 bytes, a provider 1 to 64");
    } else if (err == ERR_LIMIT) {
        error_invalid(call, "an account may price 1000 models");
    } else if (err != ERR_OK) {
        error_of(call, err);
    } else {
        buf_put_text(&call->reply, "{\"success\":true}");
    }
}

static void work_delete(struct http_call *call, u32 account) {
    struct context *context = call->context;
    struct slice provider;
    http_call_param(call, "provider", &provider);
    enum err err =
        ledger_delete_model(context->ledger, account, provider, call->capture[0], call->now_ms);
    if (err == ERR_NOT_FOUND) {
        error_not_found(call, "the account has no price of its own for this model");
    } else if (err != ERR_OK) {
        error_of(call, err);
    } else {
        buf_put_text(&call->reply, "{\"success\":true}");
    }
}

/* --- changes --------------------------------------------------------------------------------- */

struct change_page {
    struct json_writer json;
    struct page page;
    u64 seen;
};

static void write_value(struct json_writer *json, const char *key, i64 value) {
    json_key(json, key);
    if (value >= 0) {
        json_decimal(json, value, RATE_SCALE);
    } else {
        json_null(json);
    }
}

static bool write_change(void *context, const struct price_change *change) {
    static const char *const fields[CHANGE_FIELDS] = {
        [CHANGE_INPUT] = "input_cost_per_million",
        [CHANGE_OUTPUT] = "output_cost_per_million",
        [CHANGE_CACHED] = "cached_input_cost_per_million",
        [CHANGE_CACHE_WRITE] = "cache_write_cost_per_million",
    };
    struct change_page *page = context;
    u64 place = page->seen++;
    if (place < page->page.offset || place - page->page.offset >= page->page.limit) {
        return true;
    }
    struct json_writer *json = &page->json;
    json_object_begin(json);
    json_key(json, "model");
    json_string(json, change->model);
    json_key(json, "provider");
    if (change->provider.bytes > 0) {
        json_string(json, change->provider);
    } else {
        json_null(json);
    }
    json_key(json, "field");
    json_text(json, fields[change->field]);
    write_value(json, "old_value", change->old_value);
    write_value(json, "new_value", change->new_value);
    json_key(json, "source");
    json_text(json, change->own ? "account" : "table");
    json_key(json, "created_at");
    json_time(json, change->created_ms);
    json_object_end(json);
    return true;
}

static void work_log(struct http_call *call, u32 account) {
    struct context *context = call->context;
    struct change_page page = {.json = json_writer(&call->reply)};
    const char *why = params_page(call, CHANGES_LIMIT, PRICE_CHANGES_MAX, &page.page);
    if (why != NULL) {
        error_invalid(call, why);
        return;
    }
    json_object_begin(&page.json);
    json_key(&page.json, "changes");
    json_array_begin(&page.json);
    enum err err = ledger_changes(context->ledger, account, write_change, &page);
    json_array_end(&page.json);
    json_key(&page.json, "total");
    json_u64(&page.json, page.seen);
    json_key(&page.json, "limit");
    json_u64(&page.json, page.page.limit);
    json_key(&page.json, "offset");
    json_u64(&page.json, page.page.offset);
    json_object_end(&page.json);
    if (err != ERR_OK) {
        error_of(call, err);
    }
}

static enum call_outcome handle(struct http_call *call, slow_work work) {
    struct identity identity;
    return auth_require(call, &identity) ? slow_reply(call, identity.account, work) : CALL_DONE;
}

enum call_outcome pricing_handle_put(struct http_call *call) {
    return handle(call, work_put);
}
enum call_outcome pricing_handle_delete(struct http_call *call) {
    return handle(call, work_delete);
}
enum call_outcome pricing_handle_log(struct http_call *call) {
    return handle(call, work_log);
}
