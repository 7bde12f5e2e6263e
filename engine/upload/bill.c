/*
 * bill.c: a provider's bill. What its columns are called tells whose it is; where that is not known
 * the sender says which column is what. A row is the use of one model on one day.
 */
#include "upload/bill.h"

#include <string.h>
#include <strings.h>

#include "upload/given.h"
#include "json/time.h"

enum bill_column {
    COLUMN_DATE,
    COLUMN_COST,
    COLUMN_REVENUE,
    COLUMN_MODEL,
    COLUMN_INPUT,
    COLUMN_OUTPUT,
    BILL_COLUMNS
};

#define NOT_THERE UINT32_MAX

/* Where each column is, by index; CSV_FIELDS_MAX and above: nowhere. */
struct layout {
    u32 at[BILL_COLUMNS];
};

/* What a mapping calls the columns. */
static const char *const column_names[BILL_COLUMNS] = {"date",  "cost",         "revenue",
                                                       "model", "input_tokens", "output_tokens"};

/* --- the body ----------------------------------------------------------------------------------
 */

struct request {
    struct slice raw_csv;
    bool mapped;
    struct layout mapping;
};

static bool read_mapping(struct json_reader *reader, struct request *request) {
    struct slice name;
    memset(&request->mapping, 0xff, sizeof request->mapping);
    if (json_read_null(reader)) {
        return true;
    }
    request->mapped = true;
    if (!json_read_object(reader)) {
        return false;
    }
    while (json_read_member(reader, &name)) {
        u32 column = 0;
        while (column < BILL_COLUMNS && !slice_is(name, column_names[column])) {
            column++;
        }
        i64 index;
        if (column == BILL_COLUMNS) {
            return json_read_refuse(reader, ERR_INVALID,
                                    "mapping knows date, cost, revenue, model, input_tokens and "
                                    "output_tokens");
        }
        if (json_read_null(reader)) {
            continue;
        }
        if (!json_read_i64(reader, &index)) {
            return false;
        }
        if (index < 0 || index >= CSV_FIELDS_MAX) {
            return json_read_refuse(reader, ERR_LIMIT, "a column's index is 0 to 255");
        }
        request->mapping.at[column] = (u32)index;
    }
    return true;
}

static const char *read_request(struct upload *upload, char *body, usize bytes,
                                struct request *request) {
    struct json_reader reader = json_reader(body, bytes);
    struct slice name;
    *request = (struct request){.mapped = false};
    if (json_read_object(&reader)) {
        while (json_read_member(&reader, &name)) {
            bool good = slice_is(name, "raw_csv")   ? json_read_string(&reader, &request->raw_csv)
                        : slice_is(name, "mapping") ? read_mapping(&reader, request)
                                                    : json_read_skip(&reader);
            if (!good) {
                break;
            }
        }
    }
    if (!json_read_finish(&reader)) {
        upload->error_at = reader.error.position;
        return reader.error.text;
    }
    if (request->raw_csv.bytes == 0) {
        return "raw_csv must be the text of a file";
    }
    bool has_money = request->mapping.at[COLUMN_COST] != NOT_THERE ||
                     request->mapping.at[COLUMN_REVENUE] != NOT_THERE;
    if (request->mapped && (request->mapping.at[COLUMN_DATE] == NOT_THERE || !has_money)) {
        return "mapping must say which columns are date and cost";
    }
    return NULL;
}

/* --- whose it is -------------------------------------------------------------------------------
 */

static u32 find(const struct csv_row *header, const char *name) {
    usize bytes = strlen(name);
    for (u32 i = 0; i < header->count; i++) {
        struct slice text = csv_field(header, i);
        if (text.bytes == bytes && strncasecmp(text.data, name, bytes) == 0) {
            return i;
        }
    }
    return NOT_THERE;
}

/* The first of the names that is there; the list ends with NULL. */
static u32 find_any(const struct csv_row *header, const char *const *name) {
    u32 found = NOT_THERE;
    for (; *name != NULL && found == NOT_THERE; name++) {
        found = find(header, *name);
    }
    return found;
}

static const char *const date_names[] = {"date", NULL};
static const char *const cost_names[] = {"cost", "cost ($)", "total_cost", NULL};
static const char *const model_names[] = {"model", NULL};
static const char *const input_names[] = {"n_context_tokens", "input_tokens", "input tokens", NULL};
static const char *const output_names[] = {"n_completion_tokens", "output_tokens", "output tokens",
                                           NULL};
static const char *const openai_tokens[] = {"n_context_tokens", "input tokens", "output tokens",
                                            NULL};
static const char *const openai_costs[] = {"cost", "cost ($)", NULL};
static const char *const anthropic_costs[] = {"cost", "total_cost", NULL};

/* NULL: nobody's that is known. */
static const char *recognise(const struct csv_row *header, struct layout *layout) {
    *layout = (struct layout){.at = {
                                  [COLUMN_DATE] = find_any(header, date_names),
                                  [COLUMN_COST] = find_any(header, cost_names),
                                  [COLUMN_REVENUE] = NOT_THERE,
                                  [COLUMN_MODEL] = find_any(header, model_names),
                                  [COLUMN_INPUT] = find_any(header, input_names),
                                  [COLUMN_OUTPUT] = find_any(header, output_names),
                              }};
    if (layout->at[COLUMN_DATE] == NOT_THERE) {
        return NULL;
    }
    if (find_any(header, openai_tokens) != NOT_THERE &&
        find_any(header, openai_costs) != NOT_THERE) {
        return "openai";
    }
    bool anthropic = find(header, "input_tokens") != NOT_THERE &&
                     find(header, "output_tokens") != NOT_THERE &&
                     find_any(header, anthropic_costs) != NOT_THERE;
    return anthropic ? "anthropic" : NULL;
}

/* --- rows --------------------------------------------------------------------------------------
 */

static const char *read_day(struct slice text, const struct upload *upload, i64 *out) {
    i64 time;
    if (!time_parse_date(text, &time) && !time_parse(text, &time)) {
        return "date must be YYYY-MM-DD or an RFC 3339 time";
    }
    if (time < EVENT_TIME_MIN) {
        return "date lies before 2000-01-01";
    }
    *out = time - time % TIME_MS_PER_DAY;
    if (*out < upload->oldest_ms) {
        return "date is older than the days that events are kept";
    }
    return *out > upload->now_ms + EVENT_TIME_AHEAD_MS ? "date lies in the future" : NULL;
}

/* Sets the number if the field has one. */
static const char *read_money(struct slice text, enum event_number number, const char *complaint,
                              struct upload_row *row) {
    i64 value;
    if (text.bytes == 0) {
        return NULL;
    }
    if (text.data[0] == '$') {
        text = given_trim((struct slice){text.data + 1, text.bytes - 1});
    }
    if (!given_is_amount(text, 12, EVENT_MONEY_MAX, &value)) {
        return complaint;
    }
    upload_set_number(row, number, value);
    return NULL;
}

static const char *read_tokens(struct slice text, enum event_number number, const char *complaint,
                               struct upload_row *row) {
    i64 value;
    if (text.bytes == 0) {
        return NULL;
    }
    if (number_scan(text.data, text.data + text.bytes) != text.bytes ||
        number_scale(text, 0, NUMBER_EXACT, &value) != ERR_OK || value < 0 ||
        value > EVENT_TOKENS_MAX) {
        return complaint;
    }
    upload_set_number(row, number, value);
    return NULL;
}

static const char *read_model(struct slice model, const char *provider, struct upload_row *row) {
    if (model.bytes > EVENT_MODEL_MAX) {
        return "model is longer than 128 bytes";
    }
    if (model.bytes > 0) {
        upload_set_text(row, TEXT_MODEL, model);
        upload_set_text(row, TEXT_FEATURE, model);
    } else {
        upload_set_text(row, TEXT_FEATURE, SLICE(UPLOAD_NO_MODEL));
    }
    if (provider != NULL) {
        upload_set_text(row, TEXT_PROVIDER, (struct slice){provider, strlen(provider)});
    }
    return NULL;
}

/* NULL or the first complaint. */
static const char *read_row(const struct upload *upload, const struct layout *layout,
                            const struct csv_row *from, const char *provider,
                            struct upload_row *row) {
    struct slice text[BILL_COLUMNS];
    i64 day = 0;
    for (u32 column = 0; column < BILL_COLUMNS; column++) {
        text[column] = csv_field(from, layout->at[column]);
    }
    const char *why = read_day(text[COLUMN_DATE], upload, &day);
    if (why == NULL) {
        why = read_money(text[COLUMN_COST], NUM_COST,
                         "cost must be a number of dollars of at most 9000000 either way", row);
    }
    if (why == NULL) {
        why = read_money(text[COLUMN_REVENUE], NUM_REVENUE,
                         "revenue must be a number of dollars of at most 9000000 either way", row);
    }
    if (why == NULL) {
        why = read_model(text[COLUMN_MODEL], provider, row);
    }
    if (why == NULL) {
        why = read_tokens(text[COLUMN_INPUT], NUM_INPUT,
                          "input tokens must be a whole number from 0 to 2^40", row);
    }
    if (why == NULL) {
        why = read_tokens(text[COLUMN_OUTPUT], NUM_OUTPUT,
                          "output tokens must be a whole number from 0 to 2^40", row);
    }
    i64 tokens = row->number[NUM_INPUT] + row->number[NUM_OUTPUT];
    upload_set_number(row, NUM_TIME, day);
    upload_set_number(row, NUM_USAGE, tokens * MICRO_PER_UNIT);
    upload_set_text(row, TEXT_CUSTOMER, SLICE(UPLOAD_NO_CUSTOMER));
    return why;
}

static enum err take_row(struct upload *upload, const struct layout *layout,
                         const struct csv_row *from, const char *provider) {
    if (csv_field(from, layout->at[COLUMN_COST]).bytes == 0 &&
        csv_field(from, layout->at[COLUMN_REVENUE]).bytes == 0) {
        return ERR_OK;
    }
    struct upload_row *row;
    enum err err = upload_add_row(upload, &row);
    if (err != ERR_OK) {
        return err;
    }
    const char *why = from->count == upload->bill.header.count
                          ? read_row(upload, layout, from, provider, row)
                          : "the row has another number of columns than the header";
    if (why != NULL) {
        upload_add_problem(upload, upload->record_count, why);
    }
    return ERR_OK;
}

static enum err take_rows(struct upload *upload, struct csv_reader *reader,
                          const struct layout *layout, const char *provider) {
    struct csv_row row;
    enum csv_step step;
    while ((step = csv_next(reader, &row)) == CSV_ROW) {
        if (upload->record_count == UPLOAD_RECORDS_MAX) {
            upload->error = "more than 10000 rows";
            return ERR_INVALID;
        }
        enum err err = take_row(upload, layout, &row, provider);
        if (err != ERR_OK) {
            return err;
        }
        upload->record_count++;
    }
    if (step == CSV_BAD) {
        upload_add_problem(upload, upload->record_count, reader->error);
    } else if (upload->count == 0) {
        upload->error = "there is no row with a cost";
        return ERR_INVALID;
    }
    return ERR_OK;
}

enum err bill_read(struct upload *upload, char *body, usize bytes) {
    struct request request;
    struct layout layout;
    upload->error = read_request(upload, body, bytes, &request);
    if (upload->error != NULL) {
        return ERR_INVALID;
    }
    /* The text lies in the body, which is ours to change. */
    struct csv_reader reader = csv_reader((char *)request.raw_csv.data, request.raw_csv.bytes);
    struct upload_bill *bill = &upload->bill;
    if (csv_next(&reader, &bill->header) != CSV_ROW) {
        upload->error = reader.error != NULL ? reader.error : "raw_csv has no rows";
        return ERR_INVALID;
    }
    if (request.mapped) {
        bill->provider = "custom";
        return take_rows(upload, &reader, &request.mapping, NULL);
    }
    bill->provider = recognise(&bill->header, &layout);
    if (bill->provider != NULL) {
        return take_rows(upload, &reader, &layout, bill->provider);
    }
    bill->unknown = true;
    while (bill->sample_count < UPLOAD_SAMPLES &&
           csv_next(&reader, &bill->sample[bill->sample_count]) == CSV_ROW) {
        bill->sample_count++;
    }
    return ERR_INVALID;
}
