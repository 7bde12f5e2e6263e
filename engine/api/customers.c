/*
 * customers.c: the account's customers, newest first, with what they cost and earn; one of them in
 * detail; and what is said of one by hand. A page comes from memory, as a rule on the front thread.
 */
#include "agg/clear.h"
#include "api/auth.h"
#include "api/customer_row.h"
#include "api/error.h"
#include "api/figures.h"
#include "api/params.h"
#include "api/reading.h"
#include "api/routes.h"
#include "api/slow.h"
#include "customer/mrr.h"
#include "customer/roster.h"
#include "json/reader.h"

#include <stdlib.h>

#define CUSTOMERS_LIMIT 100
#define CUSTOMERS_LIMIT_MAX 500
#define CUSTOMERS_DAYS 30

static void put_u64(struct json_writer *json, const char *key, u64 value) {
    json_key(json, key);
    json_u64(json, value);
}

/* --- list ------------------------------------------------------------------------------------- */

struct list {
    struct roster_row rows[CUSTOMERS_LIMIT_MAX];
    u32 values[CUSTOMERS_LIMIT_MAX];
    struct figures figures[CUSTOMERS_LIMIT_MAX];
    struct roster_page page;
    i64 window_ms;
};

static void write_row(struct json_writer *json, const struct context *context,
                      const struct list *list, u32 i) {
    const struct roster_row *row = &list->rows[i];
    const struct book *book = list->page.book;
    struct profile profile;
    i128 mrr = 0;
    if (row->index != BOOK_NONE) {
        profile = book_profile(book, row->index);
        mrr = book_at(book, row->index)->mrr;
    } else {
        profile = customer_row_of_events(agg_value_text(context->agg, DIM_CUSTOMER, row->value),
                                         row->created_ms);
    }
    json_object_begin(json);
    customer_row_write_profile(json, &profile);
    customer_row_write_figures(json, &list->figures[i], mrr, list->window_ms);
    json_object_end(json);
}

static void write_list(struct http_call *call, const struct list *list) {
    struct json_writer json = json_writer(&call->reply);
    json_object_begin(&json);
    json_key(&json, "data");
    json_array_begin(&json);
    for (u32 i = 0; i < list->page.count; i++) {
        write_row(&json, call->context, list, i);
    }
    json_array_end(&json);
    put_u64(&json, "total", list->page.total);
    put_u64(&json, "limit", list->page.limit);
    put_u64(&json, "offset", list->page.offset);
    json_object_end(&json);
}

/* ERR_BUSY: not at once. Otherwise the reply is complete. */
static enum err list_customers(struct http_call *call, u32 account, bool at_once) {
    struct context *context = call->context;
    struct window window;
    struct page page;
    const char *why = params_window(call, CUSTOMERS_DAYS, &window);
    why = why != NULL ? why : params_page(call, CUSTOMERS_LIMIT, CUSTOMERS_LIMIT_MAX, &page);
    if (why != NULL) {
        error_invalid(call, why);
        return ERR_OK;
    }
    struct list *list = malloc(sizeof *list);
    if (list == NULL) {
        error_of(call, ERR_NO_MEMORY);
        return ERR_OK;
    }
    list->page =
        (struct roster_page){.offset = page.offset, .limit = page.limit, .rows = list->rows};
    list->window_ms = params_window_ms(call, &window);
    u64 changes = agg_changes(context->agg, account);
    enum err err = roster_read(context->rosters, context->agg, account, at_once, &list->page);
    if (err == ERR_OK) {
        const struct query query = {.account = account,
                                    .live = true,
                                    .without_first = true,
                                    .from = window.from,
                                    .to = window.to,
                                    .limit = 1};
        for (u32 i = 0; i < list->page.count; i++) {
            list->values[i] = list->rows[i].value;
        }
        err = query_customers(context->agg, context->store, &query, list->values, list->page.count,
                              at_once, list->figures);
        if (at_once && agg_changes(context->agg, account) != changes) {
            err = ERR_BUSY; /* the list may be of before, and the figures of after */
        }
        if (err == ERR_OK) {
            write_list(call, list);
        }
        directory_release(context->directory, list->page.book);
    }
    free(list);
    if (err != ERR_OK && !(at_once && err == ERR_BUSY)) {
        error_of(call, err);
        err = ERR_OK;
    }
    return err;
}

static void work_list(struct http_call *call, u32 account) {
    list_customers(call, account, false);
}

enum call_outcome customers_handle_list(struct http_call *call) {
    struct identity identity;
    if (!auth_require(call, &identity)) {
        return CALL_DONE;
    }
    return list_customers(call, identity.account, true) == ERR_BUSY
               ? slow_reply(call, identity.account, work_list)
               : CALL_DONE;
}

/* --- one -------------------------------------------------------------------------------------- */

struct one {
    struct query query; /* of the customer's events in the period */
    const struct book *book;
    u32 index; /* in the book, or BOOK_NONE */
    struct profile profile;
    i64 window_ms;
};

/* False: nobody knows such a customer. */
static bool find_customer(struct context *context, u32 account, struct slice id, struct one *one) {
    one->index = book_find(one->book, id);
    if (one->index != BOOK_NONE) {
        one->profile = book_profile(one->book, one->index);
        return true;
    }
    i64 created_ms = agg_customer_created(context->agg, account, id);
    one->profile = customer_row_of_events(id, created_ms);
    return created_ms != 0;
}

/* The newest events are those of all time, unless the request bounds the period by itself. */
static bool write_recent(struct http_call *call, const struct one *one, struct json_writer *json) {
    struct query query = one->query;
    struct window window;
    check(params_period(call, WINDOW_ALL, &window) == NULL);
    query.from = window.from;
    query.to = window.to;
    return reading_write_recent(call, &query, DIM_CUSTOMER, json);
}

static void write_subscriptions(struct json_writer *json, const struct one *one) {
    json_key(json, "subscriptions");
    json_array_begin(json);
    u32 at =
        one->index == BOOK_NONE ? BOOK_NONE : book_at(one->book, one->index)->first_subscription;
    for (; at != BOOK_NONE; at = one->book->subscriptions[at].next) {
        customer_row_write_subscription(json, one->book, &one->book->subscriptions[at]);
    }
    json_array_end(json);
}

static void write_one(struct http_call *call, const struct one *one) {
    struct query_result result;
    i128 mrr = one->index == BOOK_NONE ? 0 : book_at(one->book, one->index)->mrr;
    if (!reading_run(call, &one->query, &result)) {
        return;
    }
    struct json_writer json = json_writer(&call->reply);
    json_object_begin(&json);
    json_key(&json, "customer");
    json_object_begin(&json);
    customer_row_write_profile(&json, &one->profile);
    json_object_end(&json);
    write_subscriptions(&json, one);
    customer_row_write_figures(&json, &result.total, mrr, one->window_ms);
    query_result_free(&result);
    if (write_recent(call, one, &json) && reading_write_features(call, one->query, &json) &&
        reading_write_models(call, one->query, &json)) {
        json_object_end(&json);
    }
}

static void work_one(struct http_call *call, u32 account) {
    struct context *context = call->context;
    struct window window;
    const char *why = params_period(call, CUSTOMERS_DAYS, &window);
    if (why != NULL) {
        error_invalid(call, why);
        return;
    }
    struct one one = {.query = {.account = account,
                                .live = true,
                                .without_first = true,
                                .filter_mask = 1u << DIM_CUSTOMER,
                                .from = window.from,
                                .to = window.to,
                                .order = ORDER_COST,
                                .limit = QUERY_ROWS_MAX},
                      .book = directory_acquire(context->directory, account),
                      .window_ms = params_period_ms(call, &window)};
    one.query.filter[DIM_CUSTOMER] = call->capture[0];
    if (find_customer(context, account, call->capture[0], &one)) {
        write_one(call, &one);
    } else {
        error_not_found(call, "no such customer");
    }
    directory_release(context->directory, one.book);
}

static enum call_outcome aside(struct http_call *call, slow_work work) {
    struct identity identity;
    return auth_require(call, &identity) ? slow_reply(call, identity.account, work) : CALL_DONE;
}

enum call_outcome customers_handle_one(struct http_call *call) {
    return aside(call, work_one);
}

/* --- by hand ---------------------------------------------------------------------------------- */

/* False: the reply says why not. */
static bool read_internal(struct http_call *call, bool *internal) {
    struct json_reader reader = json_reader((char *)call->body.data, call->body.bytes);
    struct slice name;
    bool given = false;
    if (json_read_object(&reader)) {
        while (json_read_member(&reader, &name)) {
            if (slice_is(name, "is_internal")) {
                given = json_read_bool(&reader, internal);
            } else {
                json_read_skip(&reader);
            }
        }
    }
    if (!json_read_finish(&reader)) {
        error_invalid_at(call, reader.error.text, reader.error.position);
        return false;
    }
    if (!given) {
        error_invalid(call, "is_internal is required: true or false");
    }
    return given;
}

static void work_internal(struct http_call *call, u32 account) {
    struct context *context = call->context;
    struct slice id = call->capture[0];
    bool internal = false;
    if (id.bytes == 0 || id.bytes > EVENT_CUSTOMER_MAX) {
        error_invalid(call, "a customer's id has 1 to 255 bytes");
        return;
    }
    if (!read_internal(call, &internal)) {
        return;
    }
    enum err err = directory_set_internal(context->directory, context->agg, account, id, internal,
                                          call->now_ms);
    if (err == ERR_LIMIT) {
        error_invalid(call, "an account may have 1048576 customers that are more than events");
        return;
    }
    if (err != ERR_OK) {
        error_of(call, err);
        return;
    }
    struct json_writer json = json_writer(&call->reply);
    json_object_begin(&json);
    json_key(&json, "customer_id");
    json_string(&json, id);
    json_key(&json, "is_internal");
    json_bool(&json, internal);
    json_object_end(&json);
}

enum call_outcome customers_handle_internal(struct http_call *call) {
    return aside(call, work_internal);
}
