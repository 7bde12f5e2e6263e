/* event_csv.c: rows of text into the JSON of events (event_csv.h). */
#include "upload/event_csv.h"

#include <string.h>
#include <strings.h>

#include "csv/csv.h"
#include "event/fields.h"
#include "json/reader.h"
#include "json/write.h"

void event_csv_init(struct event_csv *csv) {
    memset(csv, 0, sizeof *csv);
    csv->error_at = SIZE_MAX;
    for (u32 i = 0; i < EVENT_CSV_BODIES; i++) {
        buf_init(&csv->body[i], HTTP_BODY_INGEST_MAX);
    }
}

void event_csv_free(struct event_csv *csv) {
    for (u32 i = 0; i < EVENT_CSV_BODIES; i++) {
        buf_free(&csv->body[i]);
    }
}

/* --- columns -----------------------------------------------------------------------------------
 */

struct columns {
    u32 count;
    const struct field_rule *rule[CSV_FIELDS_MAX]; /* NULL: passed over */
    u32 known;
};

static void read_columns(const struct csv_row *header, struct columns *columns) {
    *columns = (struct columns){.count = header->count};
    for (u32 i = 0; i < header->count; i++) {
        struct slice name = csv_field(header, i);
        for (u32 k = 0; k < INGEST_FIELDS; k++) {
            const char *wanted = field_rules[k].name;
            if (strlen(wanted) == name.bytes && strncasecmp(wanted, name.data, name.bytes) == 0) {
                columns->rule[i] = &field_rules[k];
                columns->known++;
            }
        }
    }
}

/* --- values ------------------------------------------------------------------------------------
 */

static bool is_number(struct slice text) {
    return number_scan(text.data, text.data + text.bytes) == text.bytes;
}

static bool is_object(struct slice text) {
    struct json_cursor cursor = json_cursor(text.data, text.bytes, scan_best());
    struct json_value value;
    return text.data[0] == '{' && json_step_value(&cursor, JSON_DEPTH_MAX / 2, &value) &&
           json_step_end(&cursor);
}

/* What is not of the member's form goes on as a string: the decoder refuses that, and says why. */
static void put_value(struct json_writer *json, const struct field_rule *rule, struct slice text) {
    bool raw = false;
    switch (rule->kind) {
    case FIELD_KIND_TOKENS:
    case FIELD_KIND_MONEY:
    case FIELD_KIND_USAGE:
    case FIELD_KIND_DURATION:
        raw = is_number(text);
        break;
    case FIELD_KIND_PROPERTIES:
    case FIELD_KIND_META:
        raw = is_object(text);
        break;
    default:
        break;
    }
    if (raw) {
        json_raw(json, text);
    } else {
        json_string(json, text);
    }
}

static void put_row(struct json_writer *json, const struct columns *columns,
                    const struct csv_row *row) {
    json_object_begin(json);
    for (u32 i = 0; i < row->count; i++) {
        struct slice text = csv_field(row, i);
        if (columns->rule[i] != NULL && text.bytes > 0) {
            json_key(json, columns->rule[i]->name);
            put_value(json, columns->rule[i], text);
        }
    }
    json_object_end(json);
}

/* --- the text ----------------------------------------------------------------------------------
 */

static const char *read_request(struct event_csv *csv, char *body, usize bytes,
                                struct slice *text) {
    struct json_reader reader = json_reader(body, bytes);
    struct slice name;
    *text = (struct slice){NULL, 0};
    if (json_read_object(&reader)) {
        while (json_read_member(&reader, &name)) {
            if (slice_is(name, "raw_csv")) {
                json_read_string(&reader, text);
            } else {
                json_read_skip(&reader);
            }
        }
    }
    if (!json_read_finish(&reader)) {
        csv->error_at = reader.error.position;
        return reader.error.text;
    }
    return text->bytes > 0 ? NULL : "raw_csv must be the text of a file";
}

/* One more row; the body it goes to is begun and ended on the way. */
static void add_row(struct event_csv *csv, const struct columns *columns,
                    const struct csv_row *row) {
    u32 at = csv->row_count++;
    struct buf *body = &csv->body[at / INGEST_EVENTS_MAX];
    struct json_writer json = json_writer(body);
    buf_put_text(body, at % INGEST_EVENTS_MAX == 0 ? "{\"events\":[" : ",");
    if (row->count != columns->count) {
        csv->skewed[at / 8] |= (u8)(1u << (at % 8));
        json_null(&json);
    } else {
        put_row(&json, columns, row);
    }
}

static enum err end_bodies(struct event_csv *csv) {
    bool failed = false;
    for (u32 i = 0; i * INGEST_EVENTS_MAX < csv->row_count; i++) {
        buf_put_text(&csv->body[i], "]}");
        failed |= csv->body[i].failed;
    }
    return failed ? ERR_LIMIT : ERR_OK;
}

static enum err read_rows(struct event_csv *csv, struct csv_reader *reader,
                          const struct columns *columns) {
    struct csv_row row;
    enum csv_step step;
    while ((step = csv_next(reader, &row)) == CSV_ROW) {
        if (csv->row_count == UPLOAD_RECORDS_MAX) {
            csv->error = "more than 10000 rows";
            return ERR_INVALID;
        }
        add_row(csv, columns, &row);
    }
    if (step == CSV_BAD) {
        csv->error = reader->error;
        csv->error_line = reader->line;
        return ERR_INVALID;
    }
    if (csv->row_count == 0) {
        csv->error = "raw_csv has no rows but the header";
        return ERR_INVALID;
    }
    return end_bodies(csv);
}

enum err event_csv_read(struct event_csv *csv, char *body, usize bytes) {
    struct slice text;
    csv->error = read_request(csv, body, bytes, &text);
    if (csv->error != NULL) {
        return ERR_INVALID;
    }
    /* The text lies in the body, which is ours to change. */
    struct csv_reader reader = csv_reader((char *)text.data, text.bytes);
    struct csv_row header;
    struct columns columns;
    if (csv_next(&reader, &header) != CSV_ROW) {
        csv->error = reader.error != NULL ? reader.error : "raw_csv has no rows";
        csv->error_line = reader.error != NULL ? reader.line : 0;
        return ERR_INVALID;
    }
    read_columns(&header, &columns);
    if (columns.known == 0) {
        csv->error = "the first row must name columns as the members of an event";
        return ERR_INVALID;
    }
    return read_rows(csv, &reader, &columns);
}
