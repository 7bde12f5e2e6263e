/* customer_row.c: names and order of the members. */
#include "api/customer_row.h"

#include "api/figures.h"
#include "customer/mrr.h"

static void put_text(struct json_writer *json, const char *key, struct slice text) {
    json_key(json, key);
    if (text.bytes > 0) {
        json_string(json, text);
    } else {
        json_null(json);
    }
}

static void put_money(struct json_writer *json, const char *key, i128 value) {
    json_key(json, key);
    json_decimal(json, value, 12);
}

static void put_money_or_null(struct json_writer *json, const char *key, bool there, i64 value) {
    json_key(json, key);
    if (there) {
        json_decimal(json, value, 12);
    } else {
        json_null(json);
    }
}

static void put_time_or_null(struct json_writer *json, const char *key, i64 time_ms) {
    json_key(json, key);
    if (time_ms != 0) {
        json_time(json, time_ms);
    } else {
        json_null(json);
    }
}

struct profile customer_row_of_events(struct slice id, i64 created_ms) {
    return (struct profile){.id = id,
                            .internal = customer_is_internal(id),
                            .created_ms = created_ms,
                            .updated_ms = created_ms};
}

void customer_row_write_profile(struct json_writer *json, const struct profile *profile) {
    put_text(json, "customer_id", profile->id);
    put_text(json, "name", profile->name.bytes > 0 ? profile->name : profile->id);
    put_text(json, "email", profile->email);
    put_text(json, "segment", profile->segment);
    json_key(json, "is_internal");
    json_bool(json, profile->internal);
    put_text(json, "stripe_customer_id", profile->stripe);
    json_key(json, "created_at");
    json_time(json, profile->created_ms);
    json_key(json, "updated_at");
    json_time(json, profile->updated_ms);
}

void customer_row_write_figures(struct json_writer *json, const struct figures *figures, i128 mrr,
                                i64 window_ms) {
    struct figures earned = *figures;
    earned.revenue = mrr_revenue(figures->revenue, mrr, window_ms);
    put_money(json, "total_cost", earned.cost);
    put_money(json, "total_revenue", earned.revenue);
    put_money(json, "mrr", mrr);
    figures_write_margin(json, &earned);
    json_key(json, "event_count");
    json_u64(json, earned.events);
    figures_write_last_seen(json, &earned);
}

void customer_row_write_subscription(struct json_writer *json, const struct book *book,
                                     const struct subscription *subscription) {
    static const struct product none;
    bool has_product = subscription->product != BOOK_NONE;
    const struct product *product = has_product ? &book->products[subscription->product] : &none;
    struct profile customer = book_profile(book, subscription->customer);
    json_object_begin(json);
    put_text(json, "subscription_id", subscription->id);
    put_text(json, "customer_id", customer.id);
    put_text(json, "customer_name", customer.name.bytes > 0 ? customer.name : customer.id);
    put_text(json, "customer_email", customer.email);
    put_text(json, "plan_id", subscription->product_id);
    put_text(json, "plan_name", product->name.bytes > 0 ? product->name : product->id);
    put_money_or_null(json, "price_amount", has_product, product->price);
    json_key(json, "interval_months");
    if (has_product) {
        json_u64(json, product->interval_months);
    } else {
        json_null(json);
    }
    put_text(json, "pricing_model", subscription->pricing_model);
    put_money_or_null(json, "unit_price", subscription->has_unit_price, subscription->unit_price);
    put_money_or_null(json, "mrr_override", subscription->has_override, subscription->mrr_override);
    put_money(json, "mrr", subscription->active ? subscription->mrr : 0);
    json_key(json, "is_active");
    json_bool(json, subscription->active);
    put_time_or_null(json, "current_period_start", subscription->period_start_ms);
    put_time_or_null(json, "current_period_end", subscription->period_end_ms);
    json_key(json, "created_at");
    json_time(json, subscription->created_ms);
    json_object_end(json);
}

void customer_row_write_product(struct json_writer *json, const struct product *product) {
    put_text(json, "plan_id", product->id);
    put_text(json, "name", product->name.bytes > 0 ? product->name : product->id);
    put_money(json, "price_amount", product->price);
    json_key(json, "interval_months");
    json_u64(json, product->interval_months);
    put_text(json, "billing_model", product->billing_model);
}
