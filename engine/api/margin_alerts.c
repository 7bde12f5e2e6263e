/*
 * margin_alerts.c: customers and features that cost more than they earn, models that cost much more
 * than before, customers who use up what they pay for.
 */
#include "api/error.h"
#include "api/reading.h"
#include "api/routes.h"

#include <stdlib.h>

#define WINDOW_DAYS 30
#define TEXT_BYTES_MAX ((usize)4 * KIB) /* of a title or a description */

enum alert_type { NEGATIVE_CUSTOMER, UNPROFITABLE_FEATURE, COST_SPIKE, HIGH_COST };
static const char *const type_names[] = {"negative_margin_customer", "unprofitable_feature",
                                         "model_cost_spike", "high_cost_ratio"};

struct alert {
    enum alert_type type;
    bool critical;
    struct slice id;       /* of a customer, feature, model */
    struct slice provider; /* of a model */
    i128 cost;
    i128 than; /* what the cost is compared with */
    i128 value;
};

struct alerts {
    struct http_call *call;
    struct context *context;
    struct query query;
    struct revenue revenue;
    struct alert *list;
    u32 count;
    u32 capacity;
};

static enum err push(struct alerts *alerts, struct alert alert) {
    if (alerts->count == alerts->capacity) {
        u32 capacity = MAX(alerts->capacity * 2, 64u);
        struct alert *list = realloc(alerts->list, capacity * sizeof *list);
        if (list == NULL) {
            return ERR_NO_MEMORY;
        }
        alerts->list = list;
        alerts->capacity = capacity;
    }
    alerts->list[alerts->count++] = alert;
    return ERR_OK;
}

/* --- detectors -------------------------------------------------------------------------------- */

static i128 margin_or_worst(i128 cost, i128 revenue) {
    i128 percent;
    return margin_percent(cost, revenue, &percent) ? percent : -100;
}

static enum err check_customer(struct alerts *alerts, u32 place) {
    const struct revenue *revenue = &alerts->revenue;
    i128 cost = revenue_cost(revenue, place);
    i128 total = revenue_total(revenue, place);
    i128 share = revenue->share[place];
    enum err err = ERR_OK;
    if (cost <= total && 2 * cost <= share) {
        return ERR_OK;
    }
    struct alert alert = {.id = revenue_customer(alerts->context->agg, revenue, place),
                          .cost = cost};
    if (cost > total) {
        alert.type = NEGATIVE_CUSTOMER;
        alert.critical = true;
        alert.than = total;
        alert.value = margin_or_worst(cost, total);
        err = push(alerts, alert);
    }
    if (err == ERR_OK && share > 0 && 2 * cost > share) {
        alert.type = HIGH_COST;
        alert.value = reading_round(cost * 100, share);
        alert.critical = alert.value >= 100;
        alert.than = share;
        err = push(alerts, alert);
    }
    return err;
}

static enum err check_customers(struct alerts *alerts, const struct revenue_window *window) {
    struct context *context = alerts->context;
    struct revenue *revenue = &alerts->revenue;
    enum err err = revenue_read(context->revenues, context->agg, context->store, window,
                                REVENUE_MONEY, revenue);
    for (u32 place = 0; err == ERR_OK && place < revenue->count; place++) {
        if (!revenue_is_none(revenue, place)) {
            err = check_customer(alerts, place);
        }
    }
    return err;
}

static enum err run(const struct alerts *alerts, const struct query *query,
                    struct query_result *result) {
    const char *why;
    return query_run(alerts->context->agg, alerts->context->store, query, result, &why);
}

static enum err check_features(struct alerts *alerts) {
    struct query query = alerts->query;
    struct query_result result;
    query.group[0] = DIM_FEATURE;
    query.group_count = 1;
    enum err err = run(alerts, &query, &result);
    if (err != ERR_OK) {
        return err;
    }
    for (u32 i = 0; err == ERR_OK && i < result.row_count; i++) {
        const struct figures *figures = &result.rows[i].figures;
        if (figures->cost > figures->revenue) {
            err = push(alerts,
                       (struct alert){.type = UNPROFITABLE_FEATURE,
                                      .id = agg_value_text(alerts->context->agg, DIM_FEATURE,
                                                           result.rows[i].value[0]),
                                      .cost = figures->cost,
                                      .than = figures->revenue,
                                      .value = margin_or_worst(figures->cost, figures->revenue)});
        }
    }
    query_result_free(&result);
    return err;
}

static i128 cost_before(const struct query_result *before, const struct query_row *row) {
    for (u32 i = 0; i < before->row_count; i++) {
        if (before->rows[i].value[0] == row->value[0] &&
            before->rows[i].value[1] == row->value[1]) {
            return before->rows[i].figures.cost;
        }
    }
    return 0;
}

static enum err compare_models(struct alerts *alerts, const struct query_result *now,
                               const struct query_result *before) {
    const struct agg *agg = alerts->context->agg;
    enum err err = ERR_OK;
    for (u32 i = 0; err == ERR_OK && i < now->row_count; i++) {
        const struct query_row *row = &now->rows[i];
        i128 old = cost_before(before, row);
        i128 more = row->figures.cost - old;
        if (old > 0 && 5 * more > old) {
            err = push(alerts,
                       (struct alert){.type = COST_SPIKE,
                                      .id = agg_value_text(agg, DIM_MODEL, row->value[0]),
                                      .provider = agg_value_text(agg, DIM_PROVIDER, row->value[1]),
                                      .cost = row->figures.cost,
                                      .than = old,
                                      .value = reading_round(more * 100, old)});
        }
    }
    return err;
}

/* Against the window of equal length before; one without beginning has none. */
static enum err check_models(struct alerts *alerts, const struct revenue_window *window) {
    struct query query = alerts->query;
    struct query_result now;
    struct query_result before;
    if (window->from == INT64_MIN) {
        return ERR_OK;
    }
    query.group[0] = DIM_MODEL;
    query.group[1] = DIM_PROVIDER;
    query.group_count = 2;
    enum err err = run(alerts, &query, &now);
    if (err != ERR_OK) {
        return err;
    }
    query.from = window->from - window->length_ms;
    query.to = window->from;
    err = run(alerts, &query, &before);
    if (err == ERR_OK) {
        err = compare_models(alerts, &now, &before);
        query_result_free(&before);
    }
    query_result_free(&now);
    return err;
}

/* --- the answer --------------------------------------------------------------------------------
 */

/* Critical ones first, then by the amount lost, then by what they are about. */
static int compare_alerts(const void *left, const void *right) {
    const struct alert *a = left;
    const struct alert *b = right;
    i128 lost_a = a->cost - a->than;
    i128 lost_b = b->cost - b->than;
    if (a->critical != b->critical) {
        return a->critical ? -1 : 1;
    }
    if (lost_a != lost_b) {
        return lost_a > lost_b ? -1 : 1;
    }
    if (a->type != b->type) {
        return a->type < b->type ? -1 : 1;
    }
    int order = reading_compare(a->id, b->id);
    return order != 0 ? order : reading_compare(a->provider, b->provider);
}

static void put_usd(struct buf *text, i128 amount) {
    struct json_writer json = json_writer(text);
    json_decimal(&json, reading_round(amount, PICO_PER_USD / 100), 2);
    buf_put_text(text, " USD");
}

static void describe(const struct alert *alert, struct slice name, struct buf *title,
                     struct buf *text) {
    static const char *const titles[] = {" costs more than it earns", " costs more than it earns",
                                         " costs more than before", " uses up its subscription"};
    static const char *const compared[] = {" and revenue of ", " and revenue of ", " after ",
                                           " for a subscription of "};
    buf_clear(title);
    buf_put_slice(title, name);
    if (alert->type == COST_SPIKE && alert->provider.bytes > 0) {
        buf_put_text(title, " (");
        buf_put_slice(title, alert->provider);
        buf_put_text(title, ")");
    }
    buf_put_text(title, titles[alert->type]);
    buf_clear(text);
    buf_put_text(text, "Cost of ");
    put_usd(text, alert->cost);
    buf_put_text(text, compared[alert->type]);
    put_usd(text, alert->than);
    buf_put_text(text, alert->type == COST_SPIKE ? " in the window before." : " in the window.");
}

static void write_alerts(const struct alerts *alerts, struct buf *title, struct buf *text) {
    struct json_writer json = json_writer(&alerts->call->reply);
    u32 first = MIN(alerts->query.offset, alerts->count);
    u32 end = first + MIN(alerts->query.limit, alerts->count - first);
    json_object_begin(&json);
    json_key(&json, "alerts");
    json_array_begin(&json);
    for (u32 i = first; i < end; i++) {
        const struct alert *alert = &alerts->list[i];
        bool customer = alert->type == NEGATIVE_CUSTOMER || alert->type == HIGH_COST;
        describe(alert, customer ? book_name(alerts->revenue.book, alert->id) : alert->id, title,
                 text);
        json_object_begin(&json);
        json_key(&json, "type");
        json_text(&json, type_names[alert->type]);
        json_key(&json, "severity");
        json_text(&json, alert->critical ? "critical" : "warning");
        json_key(&json, "title");
        json_string(&json, buf_slice(title));
        json_key(&json, "description");
        json_string(&json, buf_slice(text));
        json_key(&json, "entity_id");
        json_string(&json, alert->id);
        json_key(&json, "metric_value");
        json_decimal(&json, alert->value, 0);
        json_object_end(&json);
    }
    json_array_end(&json);
    json_object_end(&json);
}

static void margin_alerts(struct http_call *call, u32 account) {
    struct alerts alerts = {.call = call, .context = call->context};
    if (!reading_query(call, account, WINDOW_DAYS, &alerts.query)) {
        return;
    }
    const struct revenue_window window = reading_window(call, &alerts.query);
    struct query page = alerts.query;
    alerts.query.present_only = true;
    alerts.query.unordered = true;
    alerts.query.without_last = true;
    enum err err = check_customers(&alerts, &window);
    bool held = err == ERR_OK;
    if (err == ERR_OK) {
        err = check_features(&alerts);
    }
    if (err == ERR_OK) {
        err = check_models(&alerts, &window);
    }
    if (err == ERR_OK) {
        struct buf title;
        struct buf text;
        buf_init(&title, TEXT_BYTES_MAX);
        buf_init(&text, TEXT_BYTES_MAX);
        alerts.query = page;
        if (alerts.count > 0) {
            qsort(alerts.list, alerts.count, sizeof *alerts.list, compare_alerts);
        }
        write_alerts(&alerts, &title, &text);
        buf_free(&title);
        buf_free(&text);
    } else {
        error_of(call, err);
    }
    free(alerts.list);
    if (held) {
        revenue_free(alerts.context->revenues, &alerts.revenue);
    }
}

enum call_outcome margin_alerts_handle(struct http_call *call) {
    return reading_aside(call, margin_alerts);
}
