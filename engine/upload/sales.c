/* sales.c: customers, plans and subscriptions of one body (sales.h). */
#include "upload/sales.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "upload/given.h"
#include "json/time.h"

#define ID_BYTES 16 /* of an id made here */
#define FEATURE "subscription"

void sales_init(struct sales *sales, i64 now_ms) {
    memset(sales, 0, sizeof *sales);
    upload_init(&sales->upload, UPLOAD_REVENUE, now_ms);
}

void sales_free(struct sales *sales) {
    upload_free(&sales->upload);
    free(sales->customers);
    free(sales->plans);
    free(sales->subscriptions);
    free(sales->ids);
}

struct directory_set sales_set(const struct sales *sales) {
    return (struct directory_set){
        .source = DIRECTORY_UPLOAD,
        .profiles = sales->customers,
        .profile_count = sales->customer_count,
        .products = sales->plans,
        .product_count = sales->plan_count,
        .subscriptions = sales->subscriptions,
        .subscription_count = sales->subscription_count,
    };
}

/* --- members -----------------------------------------------------------------------------------
 */

enum member {
    MEMBER_ID,
    MEMBER_CUSTOMER,
    MEMBER_PLAN,
    MEMBER_SUBSCRIPTION,
    MEMBER_NAME,
    MEMBER_EMAIL,
    MEMBER_SEGMENT,
    MEMBER_STRIPE,
    MEMBER_INTERNAL,
    MEMBER_PRICE,
    MEMBER_INTERVAL,
    MEMBER_BILLING,
    MEMBER_PRICING,
    MEMBER_UNIT_PRICE,
    MEMBER_OVERRIDE,
    MEMBER_ACTIVE,
    MEMBER_START,
    MEMBER_END,
    MEMBER_CREATED,
    MEMBERS
};

static const struct {
    const char *name;
    enum member member;
} names[] = {
    {"id", MEMBER_ID},
    {"customer_id", MEMBER_CUSTOMER},
    {"plan_id", MEMBER_PLAN},
    {"subscription_id", MEMBER_SUBSCRIPTION},
    {"name", MEMBER_NAME},
    {"email", MEMBER_EMAIL},
    {"segment", MEMBER_SEGMENT},
    {"stripe_customer_id", MEMBER_STRIPE},
    {"is_internal", MEMBER_INTERNAL},
    {"price_amount", MEMBER_PRICE},
    {"price", MEMBER_PRICE},
    {"interval_months", MEMBER_INTERVAL},
    {"billing_model", MEMBER_BILLING},
    {"pricing_model", MEMBER_PRICING},
    {"unit_price", MEMBER_UNIT_PRICE},
    {"mrr_override", MEMBER_OVERRIDE},
    {"is_active", MEMBER_ACTIVE},
    {"current_period_start", MEMBER_START},
    {"current_period_end", MEMBER_END},
    {"created_at", MEMBER_CREATED},
};

/* One object, and the first complaint about it. */
struct entry {
    struct given given[MEMBERS];
    const char *why;
};

static bool read_entry(struct json_reader *reader, struct entry *entry) {
    struct slice name;
    memset(entry, 0, sizeof *entry);
    if (!json_read_object(reader)) {
        return false;
    }
    while (json_read_member(reader, &name)) {
        struct given other;
        struct given *given = &other;
        for (u32 i = 0; i < ARRAY_COUNT(names); i++) {
            if (slice_is(name, names[i].name)) {
                given = &entry->given[names[i].member];
            }
        }
        if (!given_read(reader, given)) {
            return false;
        }
    }
    return true;
}

static void complain(struct entry *entry, const char *why) {
    entry->why = entry->why != NULL ? entry->why : why;
}

static void take_text(struct entry *entry, enum member member, usize bytes_max, const char *why,
                      struct slice *out) {
    complain(entry, given_text(&entry->given[member], bytes_max, why, out));
}

/* A text for people: empty ones are as absent. */
static void take_label(struct entry *entry, enum member member, const char *why,
                       struct slice *out) {
    const struct given *given = &entry->given[member];
    if (given->kind != JSON_STRING || given_trim(given->text).bytes > 0) {
        take_text(entry, member, CUSTOMER_TEXT_MAX, why, out);
    }
}

/* The object's own id goes by its full name, or by `id`. */
static void take_id(struct entry *entry, enum member member, usize bytes_max, const char *why,
                    struct slice *out) {
    enum member from = entry->given[member].is_there ? member : MEMBER_ID;
    take_text(entry, from, bytes_max, why, out);
}

static bool take_amount(struct entry *entry, enum member member, const char *why, i64 *out) {
    complain(entry, given_amount(&entry->given[member], 12, 0, EVENT_MONEY_MAX, why, out));
    return entry->given[member].is_there;
}

static void take_bool(struct entry *entry, enum member member, const char *why, bool *out) {
    const struct given *given = &entry->given[member];
    if (given->is_there && given->kind != JSON_TRUE && given->kind != JSON_FALSE) {
        complain(entry, why);
    } else if (given->is_there) {
        *out = given->kind == JSON_TRUE;
    }
}

/* Not before 1970: 0 stands for "not given". */
static void take_time(struct entry *entry, enum member member, const char *why, i64 *out) {
    const struct given *given = &entry->given[member];
    i64 time = 0;
    if (!given->is_there) {
        return;
    }
    bool good = given->kind == JSON_STRING &&
                (time_parse(given->text, &time) || time_parse_date(given->text, &time));
    if (!good || time < 0) {
        complain(entry, why);
    } else {
        *out = time;
    }
}

/* --- customers ---------------------------------------------------------------------------------
 */

static void take_customer(struct sales *sales, struct entry *entry) {
    struct profile *profile = &sales->customers[sales->customer_count++];
    *profile = (struct profile){.source = DIRECTORY_UPLOAD};
    take_id(entry, MEMBER_CUSTOMER, EVENT_CUSTOMER_MAX,
            "customers: customer_id must be a string of 1 to 255 bytes", &profile->id);
    if (profile->id.bytes == 0) {
        complain(entry, "customers: customer_id is missing");
    }
    profile->internal = customer_is_internal(profile->id);
    take_label(entry, MEMBER_NAME, "customers: name must be a string of at most 255 bytes",
               &profile->name);
    take_label(entry, MEMBER_EMAIL, "customers: email must be a string of at most 255 bytes",
               &profile->email);
    take_label(entry, MEMBER_SEGMENT, "customers: segment must be a string of at most 255 bytes",
               &profile->segment);
    take_label(entry, MEMBER_STRIPE,
               "customers: stripe_customer_id must be a string of at most 255 bytes",
               &profile->stripe);
    if (entry->given[MEMBER_INTERNAL].is_there) {
        profile->internal_by = INTERNAL_BY_SOURCE;
    }
    take_bool(entry, MEMBER_INTERNAL, "customers: is_internal must be true or false",
              &profile->internal);
    take_time(entry, MEMBER_CREATED, "customers: created_at must be an RFC 3339 time",
              &profile->created_ms);
}

/* --- plans -------------------------------------------------------------------------------------
 */

static void take_plan(struct sales *sales, struct entry *entry) {
    struct product *plan = &sales->plans[sales->plan_count++];
    i64 months = 1;
    *plan = (struct product){.source = DIRECTORY_UPLOAD};
    take_id(entry, MEMBER_PLAN, CUSTOMER_TEXT_MAX,
            "plans: plan_id must be a string of 1 to 255 bytes", &plan->id);
    if (plan->id.bytes == 0) {
        complain(entry, "plans: plan_id is missing");
    }
    plan->name = plan->id;
    take_label(entry, MEMBER_NAME, "plans: name must be a string of at most 255 bytes",
               &plan->name);
    if (!take_amount(entry, MEMBER_PRICE,
                     "plans: price_amount must be a number of dollars from 0 to 9000000",
                     &plan->price)) {
        complain(entry, "plans: price_amount is missing");
    }
    complain(entry,
             given_amount(&entry->given[MEMBER_INTERVAL], 0, 1, 1200,
                          "plans: interval_months must be a whole number from 1 to 1200", &months));
    if (entry->given[MEMBER_INTERVAL].is_there &&
        number_scale(entry->given[MEMBER_INTERVAL].text, 0, NUMBER_EXACT, &months) != ERR_OK) {
        complain(entry, "plans: interval_months must be a whole number from 1 to 1200");
    }
    plan->interval_months = (u32)months;
    take_label(entry, MEMBER_BILLING, "plans: billing_model must be a string of at most 255 bytes",
               &plan->billing_model);
}

/* --- subscriptions -----------------------------------------------------------------------------
 */

static void take_model(struct entry *entry, struct slice *out) {
    static const char *const models[] = {"flat", "metered", "tiered", "hybrid"};
    static const char why[] = "subscriptions: pricing_model is flat, metered, tiered or hybrid";
    take_text(entry, MEMBER_PRICING, 16, why, out);
    bool known = out->bytes == 0;
    for (u32 i = 0; i < ARRAY_COUNT(models); i++) {
        known |= slice_is(*out, models[i]);
    }
    if (!known) {
        complain(entry, why);
    }
}

/* A subscription without an id gets its place as one. */
static struct slice made_id(struct sales *sales, u32 index) {
    char *id = sales->ids + (usize)index * ID_BYTES;
    int bytes = snprintf(id, ID_BYTES, "upload-%u", index + 1);
    check(bytes > 0 && bytes < ID_BYTES);
    return (struct slice){id, (usize)bytes};
}

static void take_periods(struct entry *entry, struct subscription *subscription) {
    take_time(entry, MEMBER_START, "subscriptions: current_period_start must be an RFC 3339 time",
              &subscription->period_start_ms);
    take_time(entry, MEMBER_END, "subscriptions: current_period_end must be an RFC 3339 time",
              &subscription->period_end_ms);
    take_time(entry, MEMBER_CREATED, "subscriptions: created_at must be an RFC 3339 time",
              &subscription->created_ms);
}

static void take_subscription(struct sales *sales, struct entry *entry) {
    u32 index = sales->subscription_count++;
    struct subscription *subscription = &sales->subscriptions[index];
    *subscription = (struct subscription){.source = DIRECTORY_UPLOAD, .active = true};
    subscription->id = made_id(sales, index);
    take_id(entry, MEMBER_SUBSCRIPTION, CUSTOMER_TEXT_MAX,
            "subscriptions: subscription_id must be a string of 1 to 255 bytes", &subscription->id);
    take_text(entry, MEMBER_CUSTOMER, EVENT_CUSTOMER_MAX,
              "subscriptions: customer_id must be a string of 1 to 255 bytes",
              &subscription->customer_id);
    if (!entry->given[MEMBER_CUSTOMER].is_there) {
        complain(entry, "subscriptions: customer_id is missing");
    }
    take_text(entry, MEMBER_PLAN, CUSTOMER_TEXT_MAX,
              "subscriptions: plan_id must be a string of 1 to 255 bytes",
              &subscription->product_id);
    take_model(entry, &subscription->pricing_model);
    subscription->has_unit_price =
        take_amount(entry, MEMBER_UNIT_PRICE,
                    "subscriptions: unit_price must be a number of dollars from 0 to 9000000",
                    &subscription->unit_price);
    subscription->has_override =
        take_amount(entry, MEMBER_OVERRIDE,
                    "subscriptions: mrr_override must be a number of dollars from 0 to 9000000",
                    &subscription->mrr_override);
    take_bool(entry, MEMBER_ACTIVE, "subscriptions: is_active must be true or false",
              &subscription->active);
    take_periods(entry, subscription);
}

/* --- the body ----------------------------------------------------------------------------------
 */

struct list {
    const char *name;
    void (*take)(struct sales *sales, struct entry *entry);
    usize count_offset; /* of its count in the upload */
    const char *why_object;
};

static const struct list lists[] = {
    {"customers", take_customer, offsetof(struct sales, customer_count),
     "customers: each must be an object"},
    {"plans", take_plan, offsetof(struct sales, plan_count), "plans: each must be an object"},
    {"subscriptions", take_subscription, offsetof(struct sales, subscription_count),
     "subscriptions: each must be an object"},
};

static bool read_list(struct sales *sales, struct json_reader *reader, const struct list *list) {
    u32 index = 0;
    u32 *count = (u32 *)((char *)sales + list->count_offset);
    if (*count > 0) {
        return json_read_refuse(reader, ERR_INVALID, "a list stands twice");
    }
    if (json_read_null(reader)) {
        return true;
    }
    if (!json_read_array(reader)) {
        return false;
    }
    for (; json_read_element(reader); index++) {
        struct entry entry;
        if (index == UPLOAD_RECORDS_MAX) {
            return json_read_refuse(reader, ERR_LIMIT, "more than 10000 in a list");
        }
        if (json_read_kind(reader) != JSON_OBJECT) {
            upload_add_problem(&sales->upload, index, list->why_object);
            json_read_skip(reader);
        } else if (read_entry(reader, &entry)) {
            list->take(sales, &entry);
            if (entry.why != NULL) {
                upload_add_problem(&sales->upload, index, entry.why);
            }
        }
    }
    return true;
}

static bool read_body(struct sales *sales, struct json_reader *reader) {
    bool found = false;
    struct slice name;
    if (!json_read_object(reader)) {
        return false;
    }
    while (json_read_member(reader, &name)) {
        const struct list *list = NULL;
        for (u32 i = 0; i < ARRAY_COUNT(lists); i++) {
            list = slice_is(name, lists[i].name) ? &lists[i] : list;
        }
        found |= list != NULL;
        if (list == NULL ? !json_read_skip(reader) : !read_list(sales, reader, list)) {
            return found;
        }
    }
    return found;
}

/* --- the whole ---------------------------------------------------------------------------------
 */

struct named {
    struct slice id;
    u32 index;
};

static int compare_ids(struct slice a, struct slice b) {
    usize bytes = MIN(a.bytes, b.bytes);
    int order = bytes > 0 ? memcmp(a.data, b.data, bytes) : 0;
    return order != 0 ? order : (a.bytes > b.bytes) - (a.bytes < b.bytes);
}

static int compare_named(const void *a, const void *b) {
    const struct named *left = a;
    const struct named *right = b;
    int order = compare_ids(left->id, right->id);
    return order != 0 ? order : (left->index > right->index) - (left->index < right->index);
}

/* Sorts by id; those whose id stands before are problems. */
static void sort_named(struct sales *sales, struct named *named, u32 count, const char *why) {
    if (count > 0) {
        qsort(named, count, sizeof *named, compare_named);
    }
    for (u32 i = 1; i < count; i++) {
        if (compare_ids(named[i].id, named[i - 1].id) == 0) {
            upload_add_problem(&sales->upload, named[i].index, why);
        }
    }
}

static const struct product *find_plan(const struct sales *sales, const struct named *plans,
                                       struct slice id) {
    u32 low = 0;
    u32 high = sales->plan_count;
    while (low < high) {
        u32 middle = low + (high - low) / 2;
        int order = compare_ids(plans[middle].id, id);
        if (order == 0) {
            return &sales->plans[plans[middle].index];
        }
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    return NULL;
}

/* The subscription's event: what it is worth, now. */
static enum err add_event(struct upload *upload, const struct subscription *subscription,
                          const struct product *plan) {
    struct upload_row *row;
    enum err err = upload_add_row(upload, &row);
    if (err != ERR_OK) {
        return err;
    }
    i64 amount = subscription->has_override ? subscription->mrr_override
                 : plan != NULL             ? plan->price
                                            : 0;
    upload_set_text(row, TEXT_CUSTOMER, subscription->customer_id);
    upload_set_text(row, TEXT_FEATURE, SLICE(FEATURE));
    upload_set_number(row, NUM_TIME, upload->now_ms);
    upload_set_number(row, NUM_USAGE, 0);
    upload_set_number(row, NUM_REVENUE, amount);
    return ERR_OK;
}

enum err sales_events(struct upload *upload, const struct book *book) {
    enum err err = ERR_OK;
    for (u32 i = 0; i < book->subscription_count && err == ERR_OK; i++) {
        const struct subscription *one = &book->subscriptions[i];
        if (one->source == DIRECTORY_UPLOAD) {
            err = add_event(upload, one,
                            one->product == BOOK_NONE ? NULL : &book->products[one->product]);
        }
    }
    return err;
}

static enum err join(struct sales *sales, struct named *named) {
    for (u32 i = 0; i < sales->customer_count; i++) {
        named[i] = (struct named){sales->customers[i].id, i};
    }
    sort_named(sales, named, sales->customer_count, "customers: the id stands twice");
    for (u32 i = 0; i < sales->subscription_count; i++) {
        named[i] = (struct named){sales->subscriptions[i].id, i};
    }
    sort_named(sales, named, sales->subscription_count, "subscriptions: the id stands twice");
    for (u32 i = 0; i < sales->plan_count; i++) {
        named[i] = (struct named){sales->plans[i].id, i};
    }
    sort_named(sales, named, sales->plan_count, "plans: the id stands twice");
    enum err err = ERR_OK;
    for (u32 i = 0; i < sales->subscription_count && err == ERR_OK; i++) {
        const struct subscription *subscription = &sales->subscriptions[i];
        const struct product *plan = find_plan(sales, named, subscription->product_id);
        if (plan == NULL && subscription->product_id.bytes > 0) {
            upload_add_problem(&sales->upload, i, "subscriptions: plan_id is none of the plans");
        }
        err = add_event(&sales->upload, subscription, plan);
    }
    return err;
}

static bool make_room(struct sales *sales) {
    usize most = UPLOAD_RECORDS_MAX;
    sales->customers = malloc(most * sizeof *sales->customers);
    sales->plans = malloc(most * sizeof *sales->plans);
    sales->subscriptions = malloc(most * sizeof *sales->subscriptions);
    sales->ids = malloc(most * ID_BYTES);
    return sales->customers != NULL && sales->plans != NULL && sales->subscriptions != NULL &&
           sales->ids != NULL;
}

enum err sales_read(struct sales *sales, char *body, usize bytes) {
    struct upload *upload = &sales->upload;
    if (!make_room(sales)) {
        return ERR_NO_MEMORY;
    }
    struct json_reader reader = json_reader(body, bytes);
    bool found = read_body(sales, &reader);
    if (!json_read_finish(&reader)) {
        upload->error = reader.error.text;
        upload->error_at = reader.error.position;
        return ERR_INVALID;
    }
    if (!found) {
        upload->error = "send customers, plans and subscriptions, or some of them";
        return ERR_INVALID;
    }
    if (upload->problem_count > 0) {
        return ERR_OK;
    }
    struct named *named = malloc(UPLOAD_RECORDS_MAX * sizeof *named);
    enum err err = named != NULL ? join(sales, named) : ERR_NO_MEMORY;
    free(named);
    return err;
}
