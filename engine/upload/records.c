/*
 * records.c: monthly costs and usage. A record says a month, which becomes the first instant of it;
 * what it says besides becomes the columns of one event.
 */
#include "upload/records.h"

#include <string.h>

#include "upload/given.h"
#include "json/time.h"

enum record_field {
    FIELD_MONTH,
    FIELD_COST,
    FIELD_CUSTOMER,
    FIELD_PROVIDER,
    FIELD_METRIC,
    FIELD_VALUE,
    FIELD_LIMIT,
    RECORD_FIELDS
};

static const struct {
    const char *name;
    enum record_field field;
} names[] = {
    {"month", FIELD_MONTH},       {"cost", FIELD_COST},          {"customer_id", FIELD_CUSTOMER},
    {"provider", FIELD_PROVIDER}, {"metric", FIELD_METRIC},      {"metric_key", FIELD_METRIC},
    {"value", FIELD_VALUE},       {"metric_value", FIELD_VALUE}, {"limit", FIELD_LIMIT},
};

struct record {
    struct given field[RECORD_FIELDS];
};

static bool read_record(struct json_reader *reader, struct record *record) {
    struct slice name;
    memset(record, 0, sizeof *record);
    if (!json_read_object(reader)) {
        return false;
    }
    while (json_read_member(reader, &name)) {
        struct given other;
        struct given *field = &other;
        for (u32 i = 0; i < ARRAY_COUNT(names); i++) {
            if (slice_is(name, names[i].name)) {
                field = &record->field[names[i].field];
            }
        }
        if (!given_read(reader, field)) {
            return false;
        }
    }
    return true;
}

/* --- checks: NULL or the complaint -------------------------------------------------------------
 */

static const char *check_month(const struct given *field, const struct upload *upload, i64 *out) {
    char date[] = "YYYY-MM-01";
    struct slice text = field->text;
    if (!field->is_there || field->kind != JSON_STRING || text.bytes != sizeof "YYYY-MM" - 1) {
        return "month must be YYYY-MM";
    }
    memcpy(date, text.data, text.bytes);
    if (!time_parse_date((struct slice){date, sizeof date - 1}, out)) {
        return "month must be YYYY-MM";
    }
    if (*out < EVENT_TIME_MIN) {
        return "month lies before 2000-01";
    }
    if (*out < upload->oldest_ms) {
        return "month begins before the days that events are kept";
    }
    return *out > upload->now_ms + EVENT_TIME_AHEAD_MS ? "month lies in the future" : NULL;
}

/* Takes the next complaint if there was none yet. */
static const char *first_of(const char *before, const char *next) {
    return before != NULL ? before : next;
}

static const char *check_cost(const struct record *record, struct upload_row *row) {
    struct slice customer = SLICE(UPLOAD_NO_CUSTOMER);
    struct slice provider = SLICE(UPLOAD_NO_PROVIDER);
    i64 cost = 0;
    const char *why = record->field[FIELD_COST].is_there ? NULL : "cost is missing";
    why = first_of(why, given_amount(&record->field[FIELD_COST], 12, 0, EVENT_MONEY_MAX,
                                     "cost must be a number of dollars from 0 to 9000000", &cost));
    why = first_of(why, given_text(&record->field[FIELD_CUSTOMER], EVENT_CUSTOMER_MAX,
                                   "customer_id must be a string of 1 to 255 bytes", &customer));
    why = first_of(why, given_text(&record->field[FIELD_PROVIDER], EVENT_FEATURE_MAX,
                                   "provider must be a string of 1 to 128 bytes", &provider));
    upload_set_number(row, NUM_COST, cost);
    upload_set_number(row, NUM_USAGE, 0);
    upload_set_text(row, TEXT_CUSTOMER, customer);
    upload_set_text(row, TEXT_FEATURE, provider);
    return why;
}

static const char *check_usage(const struct record *record, struct upload_row *row) {
    const struct given *limit = &record->field[FIELD_LIMIT];
    struct slice customer = {NULL, 0};
    struct slice metric = {NULL, 0};
    i64 value = 0;
    i64 most;
    const char *why = record->field[FIELD_CUSTOMER].is_there ? NULL : "customer_id is missing";
    why = first_of(why, given_text(&record->field[FIELD_CUSTOMER], EVENT_CUSTOMER_MAX,
                                   "customer_id must be a string of 1 to 255 bytes", &customer));
    why = first_of(why, record->field[FIELD_METRIC].is_there ? NULL : "metric is missing");
    why = first_of(why, given_text(&record->field[FIELD_METRIC], EVENT_FEATURE_MAX,
                                   "metric must be a string of 1 to 128 bytes", &metric));
    why = first_of(why, record->field[FIELD_VALUE].is_there ? NULL : "value is missing");
    why = first_of(why,
                   given_amount(&record->field[FIELD_VALUE], 6, -EVENT_USAGE_MAX, EVENT_USAGE_MAX,
                                "value must be a number of at most 9.2e12 either way", &value));
    why = first_of(why, given_amount(limit, 6, -EVENT_USAGE_MAX, EVENT_USAGE_MAX,
                                     "limit must be a number of at most 9.2e12 either way", &most));
    upload_set_number(row, NUM_USAGE, value);
    upload_set_text(row, TEXT_CUSTOMER, customer);
    upload_set_text(row, TEXT_FEATURE, metric);
    row->limit = limit->is_there ? limit->text : row->limit;
    return why;
}

static enum err take_record(struct upload *upload, const struct record *record) {
    struct upload_row *row;
    enum err err = upload_add_row(upload, &row);
    if (err != ERR_OK) {
        return err;
    }
    i64 month = 0;
    const char *why = check_month(&record->field[FIELD_MONTH], upload, &month);
    upload_set_number(row, NUM_TIME, month);
    why = first_of(why, upload->kind == UPLOAD_COSTS ? check_cost(record, row)
                                                     : check_usage(record, row));
    if (why != NULL) {
        upload_add_problem(upload, upload->record_count, why);
    }
    return ERR_OK;
}

/* --- the body ----------------------------------------------------------------------------------
 */

static enum err read_records(struct upload *upload, struct json_reader *reader) {
    if (!json_read_array(reader)) {
        return ERR_OK; /* the reader says why at its end */
    }
    while (json_read_element(reader)) {
        struct record record;
        enum err err = ERR_OK;
        if (upload->record_count == UPLOAD_RECORDS_MAX) {
            json_read_refuse(reader, ERR_LIMIT, "more than 10000 records");
        } else if (json_read_kind(reader) != JSON_OBJECT) {
            upload_add_problem(upload, upload->record_count, "a record must be an object");
            json_read_skip(reader);
        } else if (read_record(reader, &record)) {
            err = take_record(upload, &record);
        }
        if (err != ERR_OK) {
            return err;
        }
        upload->record_count++;
    }
    return ERR_OK;
}

enum err records_read(struct upload *upload, char *body, usize bytes) {
    struct json_reader reader = json_reader(body, bytes);
    struct slice name;
    if (json_read_object(&reader)) {
        while (json_read_member(&reader, &name)) {
            if (!slice_is(name, "records")) {
                json_read_skip(&reader);
                continue;
            }
            upload->count = 0; /* of a member that stands twice, the last one counts */
            upload->record_count = 0;
            upload->problem_count = 0;
            if (read_records(upload, &reader) != ERR_OK) {
                return ERR_NO_MEMORY;
            }
        }
    }
    if (!json_read_finish(&reader)) {
        upload->error = reader.error.text;
        upload->error_at = reader.error.position;
    } else if (upload->record_count == 0) {
        upload->error = "records must be an array of 1 to 10000 objects";
    }
    return upload->error != NULL ? ERR_INVALID : ERR_OK;
}
