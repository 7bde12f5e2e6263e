/*
 * backfill.c: what stored events earn when prices come later than they did (Observe 4.5): the
 * newest ones without any revenue are attributed again by the prices of now. A reader thread finds
 * them; all changes are one amendment. Uploaded and imported rows stay what they are.
 */
#include "api/auth.h"
#include "api/context.h"
#include "api/error.h"
#include "api/event_rows.h"
#include "api/routes.h"
#include "api/slow.h"
#include "query/query.h"
#include "json/write.h"

#include <stdlib.h>
#include <string.h>

#define COLUMNS                                                                                    \
    (NUM_BIT(NUM_TIME) | NUM_BIT(NUM_COST) | NUM_BIT(NUM_REVENUE) | NUM_BIT(NUM_USAGE) |           \
     NUM_BIT(NUM_INPUT) | NUM_BIT(NUM_OUTPUT) | NUM_BIT(NUM_CACHED) | NUM_BIT(NUM_CACHE_WRITE) |   \
     NUM_BIT(NUM_DURATION) | TEXT_BIT(TEXT_AGENT) | TEXT_BIT(TEXT_TRACE))

struct backfill {
    struct context *context;
    u32 account;
    const struct price_book *book;
    struct amend_revenue *revenues; /* descending ids while they are collected */
    u32 revenue_count;
    u32 revenue_capacity;
    struct buf texts; /* of traces and agents; slices hold offsets until all are there */
    u32 *customers;   /* value ids of all events checked */
    u32 *resolved;    /* of those that earn something now */
    u32 checked;
    u64 wanted; /* events without revenue that there are */
};

/* --- collecting ------------------------------------------------------------------------------- */

/* An offset until all texts are there: the memory may still move. */
static struct slice keep_text(struct buf *texts, struct slice text) {
    usize offset = texts->bytes;
    buf_put_slice(texts, text);
    return (struct slice){(const char *)offset, text.bytes};
}

static bool add_revenue(struct backfill *backfill, const struct event_batch *batch, u32 row,
                        enum revenue_source source, i64 amount) {
    if (backfill->revenue_count == backfill->revenue_capacity) {
        u32 capacity = MAX(backfill->revenue_capacity * 2, (u32)1024);
        struct amend_revenue *revenues = aligned_alloc(64, capacity * sizeof *revenues);
        if (revenues == NULL) {
            return false;
        }
        if (backfill->revenue_count > 0) {
            memcpy(revenues, backfill->revenues, backfill->revenue_count * sizeof *revenues);
        }
        free(backfill->revenues);
        backfill->revenues = revenues;
        backfill->revenue_capacity = capacity;
    }
    struct amend_revenue *one = &backfill->revenues[backfill->revenue_count];
    memset(one, 0, sizeof *one);
    one->id = batch->id[row];
    one->source_before = batch->revenue_source[row];
    one->source = (u8)source;
    agg_event_read(&one->adjustment.event, batch, row);
    one->adjustment.revenue = amount;
    one->adjustment.trace = keep_text(&backfill->texts, event_text_of(batch, row, TEXT_TRACE));
    one->adjustment.agent = keep_text(&backfill->texts, event_text_of(batch, row, TEXT_AGENT));
    backfill->revenue_count++;
    return !backfill->texts.failed;
}

static bool check_event(struct backfill *backfill, const struct event_batch *batch, u32 row) {
    const struct agg *agg = backfill->context->agg;
    const u32 *dims = agg_series_dims(agg, batch->series[row]);
    u32 source = dims[DIM_SOURCE];
    if (batch->revenue_source[row] != REVENUE_NONE || source == SOURCE_CSV ||
        source == SOURCE_STRIPE) {
        return true;
    }
    i64 amount;
    enum revenue_source earned =
        price_attribute(backfill->book, agg_value_text(agg, DIM_CUSTOMER, dims[DIM_CUSTOMER]),
                        agg_value_text(agg, DIM_FEATURE, dims[DIM_FEATURE]), &amount);
    backfill->customers[backfill->checked++] = dims[DIM_CUSTOMER];
    if (earned == REVENUE_NONE) {
        return true;
    }
    backfill->resolved[backfill->revenue_count] = dims[DIM_CUSTOMER];
    return add_revenue(backfill, batch, row, earned, amount);
}

/* How many events the account has that may be concerned, so that the search ends with the last. */
static u64 count_wanted(struct context *context, u32 account) {
    struct query query = {.account = account,
                          .group = {QUERY_REVENUE_SOURCE, DIM_SOURCE},
                          .group_count = 2,
                          .from = INT64_MIN,
                          .to = INT64_MAX,
                          .order = ORDER_KEY,
                          .limit = QUERY_ROWS_MAX};
    struct query_result result;
    const char *why;
    u64 wanted = 0;
    if (query_run(context->agg, context->store, &query, &result, &why) != ERR_OK) {
        return UINT64_MAX;
    }
    for (u32 i = 0; i < result.row_count; i++) {
        const struct query_row *row = &result.rows[i];
        bool left_out = row->value[1] == SOURCE_CSV || row->value[1] == SOURCE_STRIPE;
        wanted += row->value[0] == REVENUE_NONE && !left_out ? row->figures.events : 0;
    }
    query_result_free(&result);
    return wanted;
}

static enum err collect(struct backfill *backfill) {
    u32 most = (u32)MIN(backfill->wanted, (u64)BACKFILL_EVENTS_MAX);
    struct store_scan_options options = {
        .filter = store_filter_all, .newest_first = true, .columns = COLUMNS};
    options.filter.dim_mask = 1u << DIM_ACCOUNT;
    options.filter.dim_value[DIM_ACCOUNT] = backfill->account;
    struct store_scan *scan;
    const struct event_batch *batch;
    enum err err = store_scan_open(backfill->context->store, &options, &scan);
    if (err != ERR_OK) {
        return err;
    }
    while (backfill->checked < most && (err = event_rows_next(scan, &batch)) == ERR_OK &&
           batch->count > 0) {
        for (u32 row = 0; row < batch->count && backfill->checked < most; row++) {
            if (!check_event(backfill, batch, row)) {
                err = ERR_NO_MEMORY;
                break;
            }
        }
        if (err != ERR_OK) {
            break;
        }
    }
    store_scan_close(scan);
    return err;
}

/* --- changing --------------------------------------------------------------------------------- */

static struct slice text_at(const struct buf *texts, struct slice text) {
    return text.bytes == 0 ? (struct slice){NULL, 0}
                           : (struct slice){texts->data + (usize)text.data, text.bytes};
}

/* Ascending ids, and texts where they are. */
static void put_in_order(struct backfill *backfill) {
    u32 count = backfill->revenue_count;
    for (u32 i = 0; i < count / 2; i++) {
        struct amend_revenue other = backfill->revenues[i];
        backfill->revenues[i] = backfill->revenues[count - 1 - i];
        backfill->revenues[count - 1 - i] = other;
    }
    for (u32 i = 0; i < count; i++) {
        struct agg_adjustment *one = &backfill->revenues[i].adjustment;
        one->trace = text_at(&backfill->texts, one->trace);
        one->agent = text_at(&backfill->texts, one->agent);
    }
}

static int ascending(const void *left, const void *right) {
    u32 a = *(const u32 *)left;
    u32 b = *(const u32 *)right;
    return (a > b) - (a < b);
}

static u32 count_different(u32 *values, u32 count) {
    u32 different = 0;
    qsort(values, count, sizeof *values, ascending);
    for (u32 i = 0; i < count; i++) {
        different += i == 0 || values[i] != values[i - 1];
    }
    return different;
}

static void put_number(struct json_writer *json, const char *name, u64 number) {
    json_key(json, name);
    json_u64(json, number);
}

static void write_answer(struct http_call *call, struct backfill *backfill, u32 updated) {
    struct json_writer json = json_writer(&call->reply);
    u32 resolved = updated > 0 ? count_different(backfill->resolved, backfill->revenue_count) : 0;
    json_object_begin(&json);
    put_number(&json, "events_updated", updated);
    put_number(&json, "events_skipped", backfill->checked - updated);
    put_number(&json, "events_checked", backfill->checked);
    put_number(&json, "customers_resolved", resolved);
    put_number(&json, "customers_checked", count_different(backfill->customers, backfill->checked));
    json_object_end(&json);
}

static enum err run(struct backfill *backfill, u32 *updated) {
    backfill->wanted = count_wanted(backfill->context, backfill->account);
    backfill->customers = malloc(BACKFILL_EVENTS_MAX * sizeof *backfill->customers);
    backfill->resolved = malloc(BACKFILL_EVENTS_MAX * sizeof *backfill->resolved);
    if (backfill->customers == NULL || backfill->resolved == NULL) {
        return ERR_NO_MEMORY;
    }
    enum err err = collect(backfill);
    if (err != ERR_OK || backfill->revenue_count == 0) {
        return err;
    }
    put_in_order(backfill);
    struct amend_request request = {.account = backfill->account,
                                    .kind = STORE_REVENUE,
                                    .revenues = backfill->revenues,
                                    .revenue_count = backfill->revenue_count};
    err = pipeline_amend(backfill->context->pipeline, &request);
    *updated = request.updated;
    return err;
}

static void work_backfill(struct http_call *call, u32 account) {
    struct context *context = call->context;
    const struct price_view *view = prices_acquire(context->prices);
    struct backfill backfill = {
        .context = context, .account = account, .book = price_view_book(view, account)};
    u32 updated = 0;
    buf_init(&backfill.texts, BACKFILL_TEXT_MAX);
    enum err err = run(&backfill, &updated);
    if (err == ERR_OK) {
        write_answer(call, &backfill, updated);
    } else {
        error_of(call, err);
    }
    prices_release(context->prices, view);
    buf_free(&backfill.texts);
    free(backfill.revenues);
    free(backfill.customers);
    free(backfill.resolved);
}

enum call_outcome backfill_handle_revenue(struct http_call *call) {
    struct identity identity;
    return auth_require(call, &identity) ? slow_reply(call, identity.account, work_backfill)
                                         : CALL_DONE;
}
