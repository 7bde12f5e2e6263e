/*
 * subscriptions.c: what the account sells, who subscribed to it, what that is a month, and how it
 * has moved. All of it lies in the account's book.
 */
#include "api/auth.h"
#include "api/context.h"
#include "api/customer_row.h"
#include "api/error.h"
#include "api/params.h"
#include "api/reading.h"
#include "api/routes.h"
#include "api/slow.h"
#include "customer/movement.h"
#include "customer/roster.h"

#define SUBSCRIPTIONS_LIMIT 100
#define SUBSCRIPTIONS_LIMIT_MAX 500
#define DIRECT_PRODUCTS_MAX 500 /* more rows leave the front thread */

static void put_u64(struct json_writer *json, const char *key, u64 value) {
    json_key(json, key);
    json_u64(json, value);
}

static void put_money(struct json_writer *json, const char *key, i128 value) {
    json_key(json, key);
    json_decimal(json, value, 12);
}

enum call_outcome subscriptions_handle_list(struct http_call *call) {
    struct context *context = call->context;
    struct identity identity;
    if (!auth_require(call, &identity)) {
        return CALL_DONE;
    }
    struct page page;
    const char *why = params_page(call, SUBSCRIPTIONS_LIMIT, SUBSCRIPTIONS_LIMIT_MAX, &page);
    if (why != NULL) {
        return error_invalid(call, why);
    }
    const struct book *book = directory_acquire(context->directory, identity.account);
    struct json_writer json = json_writer(&call->reply);
    json_object_begin(&json);
    json_key(&json, "data");
    json_array_begin(&json);
    for (u64 at = page.offset; at < book->subscription_count && at - page.offset < page.limit;
         at++) {
        customer_row_write_subscription(&json, book, &book->subscriptions[at]);
    }
    json_array_end(&json);
    put_u64(&json, "total", book->subscription_count);
    put_u64(&json, "limit", page.limit);
    put_u64(&json, "offset", page.offset);
    json_object_end(&json);
    directory_release(context->directory, book);
    return CALL_DONE;
}

/* --- plans ------------------------------------------------------------------------------------ */

static void work_plans(struct http_call *call, u32 account) {
    struct context *context = call->context;
    const struct book *book = directory_acquire(context->directory, account);
    struct json_writer json = json_writer(&call->reply);
    json_array_begin(&json);
    for (u32 i = 0; i < book->product_count; i++) {
        json_object_begin(&json);
        customer_row_write_product(&json, &book->products[i]);
        json_object_end(&json);
    }
    json_array_end(&json);
    directory_release(context->directory, book);
}

enum call_outcome subscriptions_handle_plans(struct http_call *call) {
    struct context *context = call->context;
    struct identity identity;
    if (!auth_require(call, &identity)) {
        return CALL_DONE;
    }
    const struct book *book = directory_acquire(context->directory, identity.account);
    bool many = book->product_count > DIRECT_PRODUCTS_MAX;
    directory_release(context->directory, book);
    if (many) {
        return slow_reply(call, identity.account, work_plans);
    }
    work_plans(call, identity.account);
    return CALL_DONE;
}

/* --- summary ---------------------------------------------------------------------------------- */

static enum err summary(struct http_call *call, u32 account, bool at_once) {
    struct context *context = call->context;
    struct roster_page page = {.limit = 0};
    enum err err = roster_read(context->rosters, context->agg, account, at_once, &page);
    if (err != ERR_OK) {
        return err;
    }
    i128 mrr = page.book->mrr;
    struct json_writer json = json_writer(&call->reply);
    json_object_begin(&json);
    put_u64(&json, "total_customers", page.total);
    put_u64(&json, "active_subscriptions", page.book->active_count);
    put_money(&json, "mrr", mrr);
    put_money(&json, "arr", 12 * mrr);
    put_money(&json, "arpc", page.total == 0 ? 0 : reading_round(mrr, page.total));
    json_object_end(&json);
    directory_release(context->directory, page.book);
    return ERR_OK;
}

static void work_summary(struct http_call *call, u32 account) {
    enum err err = summary(call, account, false);
    if (err != ERR_OK) {
        error_of(call, err);
    }
}

enum call_outcome subscriptions_handle_summary(struct http_call *call) {
    struct identity identity;
    if (!auth_require(call, &identity)) {
        return CALL_DONE;
    }
    enum err err = summary(call, identity.account, true);
    if (err == ERR_BUSY) {
        return slow_reply(call, identity.account, work_summary);
    }
    return err == ERR_OK ? CALL_DONE : error_of(call, err);
}

/* --- movements -------------------------------------------------------------------------------- */

static void write_movement(struct json_writer *json, const struct book *book,
                           const struct movement *movement) {
    struct slice id = book_id(book, movement->customer);
    json_object_begin(json);
    json_key(json, "customer_id");
    json_string(json, id);
    json_key(json, "customer_name");
    json_string(json, book_name(book, id));
    json_key(json, "category");
    json_text(json, movement_text(movement->category));
    put_money(json, "current_mrr", movement->current);
    put_money(json, "prior_mrr", movement->prior);
    put_money(json, "change", movement->current - movement->prior);
    json_object_end(json);
}

static void write_sums(struct json_writer *json, const i128 *sum) {
    json_key(json, "summary");
    json_object_begin(json);
    put_money(json, "new_mrr", sum[MOVEMENT_NEW]);
    put_money(json, "expansion_mrr", sum[MOVEMENT_EXPANSION]);
    put_money(json, "contraction_mrr", sum[MOVEMENT_CONTRACTION]);
    put_money(json, "churned_mrr", sum[MOVEMENT_CHURNED]);
    put_money(json, "net_new_mrr",
              sum[MOVEMENT_NEW] + sum[MOVEMENT_EXPANSION] - sum[MOVEMENT_CONTRACTION] -
                  sum[MOVEMENT_CHURNED]);
    json_object_end(json);
}

static void work_movements(struct http_call *call, u32 account) {
    struct context *context = call->context;
    struct page page;
    const char *why = params_page(call, QUERY_ROWS_MAX, QUERY_ROWS_MAX, &page);
    if (why != NULL) {
        error_invalid(call, why);
        return;
    }
    const struct book *book = directory_acquire(context->directory, account);
    struct movements movements;
    enum err err = movements_make(book, call->now_ms,
                                  MIN(page.offset, (u64)UINT32_MAX) + page.limit, &movements);
    if (err != ERR_OK) {
        directory_release(context->directory, book);
        error_of(call, err);
        return;
    }
    struct json_writer json = json_writer(&call->reply);
    json_object_begin(&json);
    json_key(&json, "movements");
    json_array_begin(&json);
    for (u64 at = page.offset; at < movements.count && at - page.offset < page.limit; at++) {
        write_movement(&json, book, &movements.list[at]);
    }
    json_array_end(&json);
    write_sums(&json, movements.sum);
    json_object_end(&json);
    movements_free(&movements);
    directory_release(context->directory, book);
}

enum call_outcome subscriptions_handle_movements(struct http_call *call) {
    struct identity identity;
    return auth_require(call, &identity) ? slow_reply(call, identity.account, work_movements)
                                         : CALL_DONE;
}
