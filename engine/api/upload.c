/*
 * upload.c: POST /api/data/upload/costs, usage, provider-csv and revenue. A bad record refuses the
 * whole upload; a good one takes the place of the one before in one commit, so that no reader ever
 * sees half of either.
 */
#include "api/upload.h"

#include <stdlib.h>
#include <string.h>

#include "api/auth.h"
#include "api/error.h"
#include "api/routes.h"
#include "api/slow.h"
#include "upload/sales.h"
#include "json/write.h"

/* --- refusing ----------------------------------------------------------------------------------
 */

static void put_problems(struct http_call *call, const struct upload *upload) {
    call->status = 400;
    buf_clear(&call->reply);
    struct json_writer json = json_writer(&call->reply);
    json_object_begin(&json);
    json_key(&json, "error");
    json_text(&json, "the upload has bad records; nothing was changed");
    json_key(&json, "code");
    json_text(&json, "invalid_request");
    json_key(&json, "details");
    json_array_begin(&json);
    for (u32 i = 0; i < MIN(upload->problem_count, (u32)UPLOAD_PROBLEMS_MAX); i++) {
        json_object_begin(&json);
        json_key(&json, "index");
        json_u64(&json, upload->problems[i].index);
        json_key(&json, "error");
        json_text(&json, upload->problems[i].text);
        json_object_end(&json);
    }
    json_array_end(&json);
    json_object_end(&json);
}

static void put_row(struct json_writer *json, const struct csv_row *row) {
    json_array_begin(json);
    for (u32 i = 0; i < row->count; i++) {
        json_string(json, row->field[i]);
    }
    json_array_end(json);
}

/* Shows what there is, so that the sender can say which column is what. */
static void put_unknown(struct http_call *call, const struct upload_bill *bill) {
    call->status = 400;
    struct json_writer json = json_writer(&call->reply);
    json_object_begin(&json);
    json_key(&json, "error");
    json_text(&json, "unknown_format");
    json_key(&json, "code");
    json_text(&json, "invalid_request");
    json_key(&json, "message");
    json_text(&json,
              "no known provider names its columns so; send a mapping of date, cost and what "
              "else there is to column indexes");
    json_key(&json, "headers");
    put_row(&json, &bill->header);
    json_key(&json, "sample_rows");
    json_array_begin(&json);
    for (u32 i = 0; i < bill->sample_count; i++) {
        put_row(&json, &bill->sample[i]);
    }
    json_array_end(&json);
    json_object_end(&json);
}

/* The reply to an error, whatever the upload was. */
static void refuse(struct http_call *call, const struct upload *upload, enum err err) {
    if (upload->problem_count > 0) {
        put_problems(call, upload);
    } else if (err == ERR_INVALID && upload->bill.unknown) {
        put_unknown(call, &upload->bill);
    } else if (err == ERR_INVALID && upload->error != NULL) {
        if (upload->error_at == UPLOAD_NOWHERE) {
            error_invalid(call, upload->error);
        } else {
            error_invalid_at(call, upload->error, upload->error_at);
        }
    } else if (err == ERR_LIMIT) { /* of the server, not of the request */
        error_overloaded(call, "a bound of the server is reached; nothing was changed");
    } else {
        error_of(call, err);
    }
}

/* --- costs, usage, bills -----------------------------------------------------------------------
 */

static int compare_models(const void *a, const void *b) {
    const struct slice *left = a;
    const struct slice *right = b;
    usize bytes = MIN(left->bytes, right->bytes);
    int order = bytes > 0 ? memcmp(left->data, right->data, bytes) : 0;
    return order != 0 ? order : (left->bytes > right->bytes) - (left->bytes < right->bytes);
}

/* Each model of the bill once, ascending. */
static void put_models(struct json_writer *json, const struct upload *upload) {
    struct slice *models = malloc(upload->count * sizeof *models);
    u32 count = 0;
    json_array_begin(json);
    for (u32 i = 0; models != NULL && i < upload->count; i++) {
        if ((upload->rows[i].present & TEXT_BIT(TEXT_MODEL)) != 0) {
            models[count++] = upload->rows[i].text[TEXT_MODEL];
        }
    }
    if (count > 0) {
        qsort(models, count, sizeof *models, compare_models);
    }
    for (u32 i = 0; i < count; i++) {
        if (i == 0 || compare_models(&models[i], &models[i - 1]) != 0) {
            json_string(json, models[i]);
        }
    }
    json_array_end(json);
    free(models);
}

static void put_done(struct http_call *call, const struct upload *upload) {
    struct json_writer json = json_writer(&call->reply);
    json_object_begin(&json);
    json_key(&json, "success");
    json_bool(&json, true);
    if (upload->kind == UPLOAD_PROVIDER) {
        json_key(&json, "provider");
        json_text(&json, upload->bill.provider);
        json_key(&json, "rows");
        json_u64(&json, upload->count);
        json_key(&json, "models");
        put_models(&json, upload);
    } else {
        json_key(&json, "count");
        json_u64(&json, upload->count);
    }
    json_object_end(&json);
}

static void work(struct http_call *call, u32 account, enum upload_kind kind) {
    const char *name = upload_event_name(kind);
    const struct slice names[] = {{name, strlen(name)}};
    struct upload *upload = malloc(sizeof *upload); /* a bill has rows to show */
    if (upload == NULL) {
        error_of(call, ERR_NO_MEMORY);
        return;
    }
    upload_init(upload, kind, call->now_ms);
    upload->oldest_ms = pipeline_oldest_ms(((struct context *)call->context)->pipeline);
    enum err err = upload_read(upload, (char *)call->body.data, call->body.bytes);
    if (err == ERR_OK && upload->problem_count == 0) {
        err = upload_replace(call->context, account, upload, names, ARRAY_COUNT(names));
    }
    if (err == ERR_OK && upload->problem_count == 0) {
        put_done(call, upload);
    } else {
        refuse(call, upload, err);
    }
    upload_free(upload);
    free(upload);
}

static void work_costs(struct http_call *call, u32 account) {
    work(call, account, UPLOAD_COSTS);
}

static void work_usage(struct http_call *call, u32 account) {
    work(call, account, UPLOAD_USAGE);
}

static void work_provider(struct http_call *call, u32 account) {
    work(call, account, UPLOAD_PROVIDER);
}

/* --- revenue -----------------------------------------------------------------------------------
 */

static void put_counts(struct http_call *call, const struct sales *sales) {
    struct json_writer json = json_writer(&call->reply);
    json_object_begin(&json);
    json_key(&json, "success");
    json_bool(&json, true);
    json_key(&json, "counts");
    json_object_begin(&json);
    json_key(&json, "customers");
    json_u64(&json, sales->customer_count);
    json_key(&json, "plans");
    json_u64(&json, sales->plan_count);
    json_key(&json, "subscriptions");
    json_u64(&json, sales->subscription_count);
    json_object_end(&json);
    json_object_end(&json);
}

static void work_revenue(struct http_call *call, u32 account) {
    struct sales *sales = malloc(sizeof *sales);
    if (sales == NULL) {
        error_of(call, ERR_NO_MEMORY);
        return;
    }
    sales_init(sales, call->now_ms);
    enum err err = sales_read(sales, (char *)call->body.data, call->body.bytes);
    if (err == ERR_OK && sales->upload.problem_count == 0) {
        err = upload_sales(call->context, account, sales, call->now_ms);
    }
    if (err == ERR_OK && sales->upload.problem_count == 0) {
        put_counts(call, sales);
    } else {
        refuse(call, &sales->upload, err);
    }
    sales_free(sales);
    free(sales);
}

/* --- routes ------------------------------------------------------------------------------------
 */

static enum call_outcome handle(struct http_call *call, slow_work work_on) {
    const struct context *context = call->context;
    struct identity identity;
    if (!auth_require(call, &identity)) {
        return CALL_DONE;
    }
    return pipeline_is_full(context->pipeline)
               ? error_overloaded(call, "memory is at its bound; nothing was stored")
               : slow_reply(call, identity.account, work_on);
}

enum call_outcome upload_handle_costs(struct http_call *call) {
    return handle(call, work_costs);
}

enum call_outcome upload_handle_usage(struct http_call *call) {
    return handle(call, work_usage);
}

enum call_outcome upload_handle_provider(struct http_call *call) {
    return handle(call, work_provider);
}

enum call_outcome upload_handle_revenue(struct http_call *call) {
    return handle(call, work_revenue);
}
