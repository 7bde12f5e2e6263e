/* directory_row.c: see directory_row.h. */
#include "customer/directory_row.h"

#include "base/record.h"

/* Enums as numbers. */
struct profile_row {
    struct profile profile;
    u32 source;
    u32 internal_by;
};

static const struct record_member profile_members[] = {
    RECORD(1, RECORD_SLICE, struct profile_row, profile.name),
    RECORD(2, RECORD_SLICE, struct profile_row, profile.email),
    RECORD(3, RECORD_SLICE, struct profile_row, profile.segment),
    RECORD(4, RECORD_SLICE, struct profile_row, profile.stripe),
    RECORD(5, RECORD_U32, struct profile_row, source),
    RECORD(6, RECORD_U32, struct profile_row, internal_by),
    RECORD(7, RECORD_BOOL, struct profile_row, profile.internal),
    RECORD(8, RECORD_I64, struct profile_row, profile.created_ms),
    RECORD(9, RECORD_I64, struct profile_row, profile.updated_ms),
};

static const struct record_member product_members[] = {
    RECORD(1, RECORD_SLICE, struct product, name),
    RECORD(2, RECORD_SLICE, struct product, billing_model),
    RECORD(3, RECORD_I64, struct product, price),
    RECORD(4, RECORD_U32, struct product, interval_months),
};

static const struct record_member subscription_members[] = {
    RECORD(1, RECORD_SLICE, struct subscription, customer_id),
    RECORD(2, RECORD_SLICE, struct subscription, product_id),
    RECORD(3, RECORD_SLICE, struct subscription, pricing_model),
    RECORD(4, RECORD_BOOL, struct subscription, has_unit_price),
    RECORD(5, RECORD_I64, struct subscription, unit_price),
    RECORD(6, RECORD_BOOL, struct subscription, has_override),
    RECORD(7, RECORD_I64, struct subscription, mrr_override),
    RECORD(8, RECORD_BOOL, struct subscription, active),
    RECORD(9, RECORD_I64, struct subscription, period_start_ms),
    RECORD(10, RECORD_I64, struct subscription, period_end_ms),
    RECORD(11, RECORD_I64, struct subscription, created_ms),
};

struct control_object directory_row_place(u32 account, enum control_kind kind,
                                          enum directory_source source, struct slice id) {
    check(id.bytes <= CONTROL_NAME_MAX);
    return (struct control_object){account, kind, kind == CONTROL_CUSTOMER ? 0 : (u64)source, id};
}

static struct slice write_row(const struct record_member *members, u32 count, const void *object,
                              void *memory) {
    struct slice record;
    enum err err = record_write(members, count, object, memory, DIRECTORY_ROW_BYTES_MAX, &record);
    check(err == ERR_OK); /* the texts are bounded */
    return record;
}

struct slice directory_row_profile(const struct profile *profile, void *memory) {
    const struct profile_row row = {*profile, (u32)profile->source, (u32)profile->internal_by};
    return write_row(profile_members, ARRAY_COUNT(profile_members), &row, memory);
}

struct slice directory_row_product(const struct product *product, void *memory) {
    return write_row(product_members, ARRAY_COUNT(product_members), product, memory);
}

struct slice directory_row_subscription(const struct subscription *subscription, void *memory) {
    return write_row(subscription_members, ARRAY_COUNT(subscription_members), subscription, memory);
}

static bool fits(struct slice text) {
    return text.bytes <= CUSTOMER_TEXT_MAX;
}

enum err directory_row_read_profile(const struct control_object *object, struct slice value,
                                    struct profile *profile) {
    struct profile_row row = {.source = 0};
    enum err err = record_read(profile_members, ARRAY_COUNT(profile_members), value, &row);
    *profile = row.profile;
    profile->id = object->name;
    bool good = row.source < DIRECTORY_SOURCES && row.internal_by <= INTERNAL_BY_HAND &&
                fits(profile->id) && fits(profile->name) && fits(profile->email) &&
                fits(profile->segment) && fits(profile->stripe);
    profile->source = (enum directory_source)row.source;
    profile->internal_by = (enum internal_by)row.internal_by;
    return err == ERR_OK && !good ? ERR_CORRUPT : err;
}

enum err directory_row_read_product(const struct control_object *object, struct slice value,
                                    struct product *product) {
    *product = (struct product){.id = object->name};
    enum err err = record_read(product_members, ARRAY_COUNT(product_members), value, product);
    bool good = object->number < DIRECTORY_SOURCES && product->interval_months > 0;
    product->source = (enum directory_source)object->number;
    return err == ERR_OK && !good ? ERR_CORRUPT : err;
}

enum err directory_row_read_subscription(const struct control_object *object, struct slice value,
                                         struct subscription *subscription) {
    *subscription = (struct subscription){.id = object->name};
    enum err err =
        record_read(subscription_members, ARRAY_COUNT(subscription_members), value, subscription);
    bool good = object->number < DIRECTORY_SOURCES;
    subscription->source = (enum directory_source)object->number;
    return err == ERR_OK && !good ? ERR_CORRUPT : err;
}
