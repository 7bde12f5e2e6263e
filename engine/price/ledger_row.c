/* ledger_row.c: see ledger_row.h. */
#include "price/ledger_row.h"

#include <string.h>

#include "base/record.h"

static const struct record_member feature_members[] = {
    RECORD(1, RECORD_I64, struct feature_price, revenue),
    RECORD(2, RECORD_SLICE, struct feature_price, unit_label),
    RECORD(3, RECORD_I64, struct feature_price, effective_ms),
    RECORD(4, RECORD_I64, struct feature_price, created_ms),
};

static const struct record_member model_members[] = {
    RECORD(1, RECORD_I64, struct model_price, input),
    RECORD(2, RECORD_I64, struct model_price, output),
    RECORD(3, RECORD_I64, struct model_price, cached),
    RECORD(4, RECORD_I64, struct model_price, cache_write),
    RECORD(5, RECORD_I64, struct model_price, updated_ms),
};

/* The enum as a number. */
struct change_row {
    struct price_change change;
    u32 field;
};

static const struct record_member change_members[] = {
    RECORD(1, RECORD_SLICE, struct change_row, change.provider),
    RECORD(2, RECORD_SLICE, struct change_row, change.model),
    RECORD(3, RECORD_U32, struct change_row, field),
    RECORD(4, RECORD_I64, struct change_row, change.old_value),
    RECORD(5, RECORD_I64, struct change_row, change.new_value),
    RECORD(6, RECORD_BOOL, struct change_row, change.own),
    RECORD(7, RECORD_I64, struct change_row, change.created_ms),
};

static void write_row(struct ledger_row *row, const struct record_member *members, u32 count,
                      const void *object) {
    enum err err =
        record_write(members, count, object, row->value, sizeof row->value, &row->record);
    check(err == ERR_OK); /* the texts are bounded */
}

static char *append(char *at, struct slice text) {
    if (text.bytes > 0) {
        memcpy(at, text.data, text.bytes);
    }
    return at + text.bytes;
}

void ledger_feature_object(struct ledger_row *row, u32 account, struct slice feature) {
    check(feature.bytes <= CONTROL_NAME_MAX);
    append(row->name, feature);
    row->object =
        (struct control_object){account, CONTROL_FEATURE_PRICE, 0, {row->name, feature.bytes}};
}

void ledger_model_object(struct ledger_row *row, u32 account, struct slice provider,
                         struct slice model) {
    check(model.bytes + 1 + provider.bytes <= CONTROL_NAME_MAX);
    char *end = append(row->name, model);
    *end++ = '\0';
    end = append(end, provider);
    row->object = (struct control_object){
        account, CONTROL_MODEL_PRICE, 0, {row->name, (usize)(end - row->name)}};
}

void ledger_feature_write(struct ledger_row *row, const struct feature_price *price) {
    write_row(row, feature_members, ARRAY_COUNT(feature_members), price);
}

void ledger_model_write(struct ledger_row *row, const struct model_price *price) {
    write_row(row, model_members, ARRAY_COUNT(model_members), price);
}

void ledger_change_write(struct ledger_row *row, const struct price_change *change) {
    const struct change_row numbered = {*change, (u32)change->field};
    write_row(row, change_members, ARRAY_COUNT(change_members), &numbered);
}

enum err ledger_feature_read(const struct control_object *object, struct slice value,
                             struct feature_price *price) {
    price->feature = object->name;
    return record_read(feature_members, ARRAY_COUNT(feature_members), value, price);
}

enum err ledger_model_read(const struct control_object *object, struct slice value,
                           struct model_price *price) {
    const char *name = object->name.data;
    const char *zero = object->name.bytes > 0 ? memchr(name, '\0', object->name.bytes) : NULL;
    if (zero == NULL) {
        return ERR_CORRUPT;
    }
    usize model_bytes = (usize)(zero - name);
    price->model = (struct slice){name, model_bytes};
    price->provider = (struct slice){zero + 1, object->name.bytes - model_bytes - 1};
    return record_read(model_members, ARRAY_COUNT(model_members), value, price);
}

enum err ledger_change_read(struct slice value, struct price_change *change) {
    struct change_row numbered;
    enum err err = record_read(change_members, ARRAY_COUNT(change_members), value, &numbered);
    if (err == ERR_OK && numbered.field >= CHANGE_FIELDS) {
        err = ERR_CORRUPT;
    }
    if (err == ERR_OK) {
        *change = numbered.change;
        change->field = (enum price_change_field)numbered.field;
    }
    return err;
}
