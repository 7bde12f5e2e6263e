/*
 * fuzz_csv.c: any bytes as a comma-separated text. What is read must be what was written: rows that
 * are put into quotes and read again are the same. Then the same bytes as the body of each upload:
 * what it makes must be JSON, or fit a batch.
 */
#include "csv/csv.h"

#include <stdlib.h>
#include <string.h>

#include "upload/event_csv.h"
#include "upload/sales.h"
#include "upload/upload.h"
#include "json/reader.h"

#define NOW ((i64)1780000000000)

/* A copy that ends where its memory ends. */
static char *copy(const u8 *data, usize size) {
    char *text = malloc(size + (size == 0));
    check(text != NULL);
    if (size > 0) {
        memcpy(text, data, size);
    }
    return text;
}

static void put_quoted(struct buf *out, struct slice field) {
    buf_put_char(out, '"');
    for (usize i = 0; i < field.bytes; i++) {
        buf_put_char(out, field.data[i]);
        if (field.data[i] == '"') {
            buf_put_char(out, '"');
        }
    }
    buf_put_char(out, '"');
}

static void read_rows(const u8 *data, usize size) {
    static struct csv_row row;
    static struct csv_row again;
    char *text = copy(data, size);
    struct buf out;
    buf_init(&out, 3 * size + 64 * KIB);
    struct csv_reader reader = csv_reader(text, size);
    while (csv_next(&reader, &row) == CSV_ROW) {
        check(row.count > 0 && row.count <= CSV_FIELDS_MAX && reader.line > 0);
        buf_clear(&out);
        for (u32 i = 0; i < row.count; i++) {
            buf_put_text(&out, i > 0 ? "," : "");
            put_quoted(&out, row.field[i]);
        }
        check(!out.failed);
        struct csv_reader second = csv_reader(out.data, out.bytes);
        check(csv_next(&second, &again) == CSV_ROW && again.count == row.count);
        for (u32 i = 0; i < row.count; i++) {
            check(again.field[i].bytes == row.field[i].bytes);
            check(row.field[i].bytes == 0 ||
                  memcmp(again.field[i].data, row.field[i].data, row.field[i].bytes) == 0);
        }
        struct csv_row none;
        check(csv_next(&second, &none) == CSV_END);
    }
    buf_free(&out);
    free(text);
}

static void read_upload(enum upload_kind kind, const u8 *data, usize size) {
    static struct event_batch batch;
    static struct upload upload;
    char *text = copy(data, size);
    upload_init(&upload, kind, NOW);
    enum err err = upload_read(&upload, text, size);
    check(err == ERR_OK || err == ERR_INVALID);
    check((err == ERR_INVALID) == (upload.error != NULL || upload.bill.unknown));
    u32 count = MIN(upload.count, (u32)EVENT_BATCH_MAX);
    if (err == ERR_OK && upload.problem_count == 0) {
        usize bytes = upload_text_bytes(&upload, 0, count);
        batch.count = 0;
        batch.text = malloc(bytes);
        batch.text_bytes = 0;
        batch.text_bytes_max = (u32)(bytes - EVENT_TEXT_PADDING);
        upload_fill(&upload, 0, count, &batch);
        check(batch.count == count);
        free(batch.text);
    }
    upload_free(&upload);
    free(text);
}

/* A good one has as many events as subscriptions, each of which knows its customer. */
static void read_sales(const u8 *data, usize size) {
    struct sales sales;
    char *text = copy(data, size);
    sales_init(&sales, NOW);
    enum err err = sales_read(&sales, text, size);
    check(err == ERR_OK || (err == ERR_INVALID && sales.upload.error != NULL));
    if (err == ERR_OK && sales.upload.problem_count == 0) {
        check(sales.upload.count == sales.subscription_count);
        for (u32 i = 0; i < sales.subscription_count; i++) {
            check(sales.subscriptions[i].customer_id.bytes > 0 &&
                  sales.subscriptions[i].id.bytes > 0);
        }
    }
    sales_free(&sales);
    free(text);
}

static void read_events(const u8 *data, usize size) {
    static struct event_csv csv;
    char *text = copy(data, size);
    event_csv_init(&csv);
    enum err err = event_csv_read(&csv, text, size);
    check(err == ERR_OK || (err == ERR_INVALID && csv.error != NULL) || err == ERR_LIMIT);
    for (u32 i = 0; err == ERR_OK && i * INGEST_EVENTS_MAX < csv.row_count; i++) {
        struct json_reader reader = json_reader(csv.body[i].data, csv.body[i].bytes);
        check(json_read_skip(&reader) && json_read_finish(&reader));
    }
    event_csv_free(&csv);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    read_rows(data, size);
    read_upload(UPLOAD_COSTS, data, size);
    read_upload(UPLOAD_USAGE, data, size);
    read_upload(UPLOAD_PROVIDER, data, size);
    read_sales(data, size);
    read_events(data, size);
    return 0;
}
