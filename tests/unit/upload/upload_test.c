/* upload_test.c: records and bills into rows, what is wrong with them, and rows into columns. */
#include "upload/upload.h"

#include "upload/event_csv.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW ((i64)1780000000000) /* 2026-05-28 */
#define MAY ((i64)1777593600000)
#define JUNE ((i64)1780272000000)

static char memory[64 * KIB];

static enum err read_text(struct upload *upload, enum upload_kind kind, const char *text) {
    usize bytes = strlen(text);
    memcpy(memory, text, bytes);
    memory[bytes] = 0;
    upload_init(upload, kind, NOW);
    return upload_read(upload, memory, bytes);
}

static bool is_text(const struct upload_row *row, enum event_text text, const char *wanted) {
    struct slice value = row->text[text];
    bool there = (row->present & TEXT_BIT(text)) != 0;
    return wanted == NULL ? !there
                          : there && value.bytes == strlen(wanted) &&
                                memcmp(value.data, wanted, value.bytes) == 0;
}

Test(upload, costs) {
    struct upload upload;
    cr_assert_eq(read_text(&upload, UPLOAD_COSTS,
                           "{\"x\":[1],\"records\":[{\"month\":\"2026-05\",\"cost\":12.5},"
                           "{\"cost\":0,\"month\":\"2000-01\",\"customer_id\":\" acme \","
                           "\"provider\":\"aws\",\"note\":{}},"
                           "{\"cost\":1e-13,\"month\":\"2026-05\",\"customer_id\":null}]}"),
                 ERR_OK);
    cr_assert_eq(upload.count, 3);
    cr_assert_eq(upload.problem_count, 0);
    const struct upload_row *row = upload.rows;
    cr_assert(row[0].number[NUM_TIME] == MAY && row[0].number[NUM_COST] == 12500000000000);
    cr_assert(is_text(&row[0], TEXT_EVENT_NAME, "cost"));
    cr_assert(is_text(&row[0], TEXT_CUSTOMER, "_aggregate"));
    cr_assert(is_text(&row[0], TEXT_FEATURE, "infrastructure"));
    cr_assert(row[1].number[NUM_TIME] == EVENT_TIME_MIN && row[1].number[NUM_COST] == 0);
    cr_assert(is_text(&row[1], TEXT_CUSTOMER, "acme") && is_text(&row[1], TEXT_FEATURE, "aws"));
    cr_assert_eq(row[2].number[NUM_COST], 0, "half to even, past 12 decimals");
    upload_free(&upload);
}

struct bad {
    const char *record;
    const char *problem;
};

static void check_bad(enum upload_kind kind, const struct bad *bad, u32 count) {
    for (u32 i = 0; i < count; i++) {
        char text[512];
        struct upload upload;
        snprintf(text, sizeof text, "{\"records\":[%s]}", bad[i].record);
        cr_assert_eq(read_text(&upload, kind, text), ERR_OK, "%s", text);
        cr_assert_eq(upload.problem_count, 1, "%s", text);
        cr_assert_eq(upload.problems[0].index, 0);
        cr_assert_str_eq(upload.problems[0].text, bad[i].problem, "%s", text);
        upload_free(&upload);
    }
}

#define MONTH "\"month\":\"2026-05\""

Test(upload, bad_costs) {
    static const struct bad bad[] = {
        {"7", "a record must be an object"},
        {"{}", "month must be YYYY-MM"},
        {"{\"month\":\"2026-5\",\"cost\":1}", "month must be YYYY-MM"},
        {"{\"month\":\"2026-13\",\"cost\":1}", "month must be YYYY-MM"},
        {"{\"month\":\"2026-05-01\",\"cost\":1}", "month must be YYYY-MM"},
        {"{\"month\":202605,\"cost\":1}", "month must be YYYY-MM"},
        {"{\"month\":\"1999-12\",\"cost\":1}", "month lies before 2000-01"},
        {"{\"month\":\"2026-06\",\"cost\":1}", "month lies in the future"},
        {"{" MONTH "}", "cost is missing"},
        {"{" MONTH ",\"cost\":null}", "cost is missing"},
        {"{" MONTH ",\"cost\":-0.01}", "cost must be a number of dollars from 0 to 9000000"},
        {"{" MONTH ",\"cost\":\"1\"}", "cost must be a number of dollars from 0 to 9000000"},
        {"{" MONTH ",\"cost\":9000000.01}", "cost must be a number of dollars from 0 to 9000000"},
        {"{" MONTH ",\"cost\":1e999}", "cost must be a number of dollars from 0 to 9000000"},
        {"{" MONTH ",\"cost\":1,\"customer_id\":\"\"}",
         "customer_id must be a string of 1 to 255 bytes"},
        {"{" MONTH ",\"cost\":1,\"customer_id\":7}",
         "customer_id must be a string of 1 to 255 bytes"},
        {"{" MONTH ",\"cost\":1,\"provider\":[]}", "provider must be a string of 1 to 128 bytes"},
    };
    check_bad(UPLOAD_COSTS, bad, ARRAY_COUNT(bad));
}

Test(upload, usage) {
    struct upload upload;
    cr_assert_eq(read_text(&upload, UPLOAD_USAGE,
                           "{\"records\":[{\"customer_id\":\"a\"," MONTH
                           ",\"metric\":\"calls\",\"value\":2.5,\"limit\":100},"
                           "{\"customer_id\":\"a\"," MONTH
                           ",\"metric_key\":\"seats\",\"metric_value\":-3}]}"),
                 ERR_OK);
    cr_assert(upload.count == 2 && upload.problem_count == 0);
    const struct upload_row *row = upload.rows;
    cr_assert(is_text(&row[0], TEXT_EVENT_NAME, "usage") &&
              is_text(&row[0], TEXT_FEATURE, "calls"));
    cr_assert(row[0].number[NUM_USAGE] == 2500000 && row[1].number[NUM_USAGE] == -3000000);
    cr_assert(row[0].limit.bytes == 3 && row[1].limit.bytes == 0);
    cr_assert_eq(row[0].present & NUM_BIT(NUM_COST), 0);
    upload_free(&upload);
    static const struct bad bad[] = {
        {"{" MONTH ",\"metric\":\"m\",\"value\":1}", "customer_id is missing"},
        {"{" MONTH ",\"customer_id\":\"c\",\"value\":1}", "metric is missing"},
        {"{" MONTH ",\"customer_id\":\"c\",\"metric\":\"m\"}", "value is missing"},
        {"{" MONTH ",\"customer_id\":\"c\",\"metric\":\"m\",\"value\":\"1\"}",
         "value must be a number of at most 9.2e12 either way"},
        {"{" MONTH ",\"customer_id\":\"c\",\"metric\":\"m\",\"value\":1,\"limit\":true}",
         "limit must be a number of at most 9.2e12 either way"},
    };
    check_bad(UPLOAD_USAGE, bad, ARRAY_COUNT(bad));
}

/* Whole bodies that are refused. */
Test(upload, refused) {
    static const struct {
        enum upload_kind kind;
        const char *text;
    } bodies[] = {
        {UPLOAD_COSTS, ""},
        {UPLOAD_COSTS, "[]"},
        {UPLOAD_COSTS, "{}"},
        {UPLOAD_COSTS, "{\"records\":[]}"},
        {UPLOAD_COSTS, "{\"records\":{}}"},
        {UPLOAD_COSTS, "{\"records\":[{]}"},
        {UPLOAD_USAGE, "{\"records\":[{\"a\":1}]"},
        {UPLOAD_PROVIDER, "{}"},
        {UPLOAD_PROVIDER, "{\"raw_csv\":\"\"}"},
        {UPLOAD_PROVIDER, "{\"raw_csv\":\"\\n\"}"},
        {UPLOAD_PROVIDER, "{\"raw_csv\":7}"},
        {UPLOAD_PROVIDER, "{\"raw_csv\":\"date,cost,input tokens\\n\"}"},
        {UPLOAD_PROVIDER, "{\"raw_csv\":\"a,b\\n1,2\",\"mapping\":{\"date\":0}}"},
        {UPLOAD_PROVIDER, "{\"raw_csv\":\"a,b\\n1,2\",\"mapping\":{\"date\":0,\"cost\":256}}"},
        {UPLOAD_PROVIDER, "{\"raw_csv\":\"a,b\\n1,2\",\"mapping\":{\"date\":0,\"cost\":-1}}"},
        {UPLOAD_PROVIDER, "{\"raw_csv\":\"a,b\\n1,2\",\"mapping\":{\"date\":0,\"price\":1}}"},
    };
    for (u32 i = 0; i < ARRAY_COUNT(bodies); i++) {
        struct upload upload;
        cr_assert_eq(read_text(&upload, bodies[i].kind, bodies[i].text), ERR_INVALID, "%u", i);
        cr_assert(upload.error != NULL && !upload.bill.unknown, "%u", i);
        upload_free(&upload);
    }
}

Test(upload, count_of_records) {
    static char text[UPLOAD_RECORDS_MAX * 40];
    for (u32 more = 0; more < 2; more++) {
        struct upload upload;
        char *at = stpcpy(text, "{\"records\":[");
        for (u32 i = 0; i < UPLOAD_RECORDS_MAX + more; i++) {
            at = stpcpy(at, i == 0 ? "{" MONTH ",\"cost\":1}" : ",{" MONTH ",\"cost\":1}");
        }
        at = stpcpy(at, "]}");
        upload_init(&upload, UPLOAD_COSTS, NOW);
        enum err err = upload_read(&upload, text, (usize)(at - text));
        cr_assert_eq(err, more == 0 ? ERR_OK : ERR_INVALID);
        upload_free(&upload);
    }
    struct upload upload;
    cr_assert_eq(read_text(&upload, UPLOAD_COSTS, "{\"records\":[1,2,3,4,5,6,7]}"), ERR_OK);
    cr_assert_eq(upload.problem_count, 7);
    cr_assert_eq(upload.problems[UPLOAD_PROBLEMS_MAX - 1].index, 4);
    upload_free(&upload);
}

Test(upload, bills) {
    static const struct {
        const char *header;
        const char *provider; /* NULL: unknown */
    } bills[] = {
        {"Date,Model,n_context_tokens,n_completion_tokens,Cost", "openai"},
        {"date,model,input tokens,output tokens,cost ($)", "openai"},
        {"date,x,OUTPUT TOKENS,y,\\\" Cost ($) \\\"", "openai"},
        {"date,model,input_tokens,output_tokens,total_cost", "anthropic"},
        {"date,model,input_tokens,output_tokens,cost", "anthropic"},
        {"date,model,n_context_tokens,output tokens,total_cost", NULL},
        {"date,model,input_tokens,out,cost", NULL},
        {"day,model,input_tokens,output_tokens,cost", NULL},
        {"date,model,input_tokens,output_tokens,price", NULL},
    };
    for (u32 i = 0; i < ARRAY_COUNT(bills); i++) {
        char text[512];
        struct upload upload;
        snprintf(text, sizeof text, "{\"raw_csv\":\"%s\\n2026-05-01,m,10,5,1.25\\n\"}",
                 bills[i].header);
        enum err err = read_text(&upload, UPLOAD_PROVIDER, text);
        cr_assert_eq(err, bills[i].provider != NULL ? ERR_OK : ERR_INVALID, "%s", text);
        cr_assert_eq(upload.bill.unknown, bills[i].provider == NULL);
        if (bills[i].provider != NULL) {
            cr_assert_str_eq(upload.bill.provider, bills[i].provider, "%s", text);
        } else {
            cr_assert(upload.bill.header.count == 5 && upload.bill.sample_count == 1);
        }
        upload_free(&upload);
    }
}

Test(upload, bill_rows) {
    struct upload upload;
    cr_assert_eq(read_text(&upload, UPLOAD_PROVIDER,
                           "{\"raw_csv\":\"date,model,input_tokens,output_tokens,cost\\r\\n"
                           "2026-05-01,claude-x,10,5,1.25\\r\\n"
                           "2026-05-02T23:59:59Z,\\\"a \\\"\\\"b\\\"\\\", c\\\",,,$0.5\\r\\n"
                           "total,,,,\\r\\n"
                           "2026-05-03,,7,,-1e-12\"}"),
                 ERR_OK);
    cr_assert(upload.count == 3 && upload.problem_count == 0);
    const struct upload_row *row = upload.rows;
    cr_assert(row[0].number[NUM_TIME] == MAY && row[0].number[NUM_COST] == 1250000000000);
    cr_assert(row[0].number[NUM_USAGE] == 15 * MICRO_PER_UNIT && row[0].number[NUM_INPUT] == 10);
    cr_assert(is_text(&row[0], TEXT_MODEL, "claude-x") &&
              is_text(&row[0], TEXT_FEATURE, "claude-x"));
    cr_assert(is_text(&row[0], TEXT_PROVIDER, "anthropic"));
    cr_assert_eq(row[1].number[NUM_TIME], MAY + 86400000);
    cr_assert(is_text(&row[1], TEXT_MODEL, "a \"b\", c"));
    cr_assert_eq(row[1].present & NUM_BIT(NUM_INPUT), 0);
    cr_assert_eq(row[1].number[NUM_COST], 500000000000);
    cr_assert(is_text(&row[2], TEXT_MODEL, NULL) && is_text(&row[2], TEXT_FEATURE, "unknown"));
    cr_assert_eq(row[2].number[NUM_COST], -1);
    upload_free(&upload);

    cr_assert_eq(
        read_text(&upload, UPLOAD_PROVIDER,
                  "{\"raw_csv\":\"when,what,much\\n2026-05-01,gpt-4o,2\\n,,\\n\","
                  "\"mapping\":{\"date\":0,\"model\":1,\"cost\":2,\"input_tokens\":null}}"),
        ERR_OK);
    cr_assert(upload.count == 1 && upload.problem_count == 0 && upload.record_count == 2);
    cr_assert(is_text(&upload.rows[0], TEXT_PROVIDER, NULL));
    upload_free(&upload);
}

Test(upload, bad_bill_rows) {
    static const struct bad bad[] = {
        {"x,m,1,1,1", "date must be YYYY-MM-DD or an RFC 3339 time"},
        {",m,1,1,1", "date must be YYYY-MM-DD or an RFC 3339 time"},
        {"2026-02-30,m,1,1,1", "date must be YYYY-MM-DD or an RFC 3339 time"},
        {"1999-12-31,m,1,1,1", "date lies before 2000-01-01"},
        {"2026-06-30,m,1,1,1", "date lies in the future"},
        {"2026-05-01,m,1,1,1.2.3",
         "cost must be a number of dollars of at most 9000000 either way"},
        {"2026-05-01,m,1,1,$", "cost must be a number of dollars of at most 9000000 either way"},
        {"2026-05-01,m,1.5,1,1", "input tokens must be a whole number from 0 to 2^40"},
        {"2026-05-01,m,1,-1,1", "output tokens must be a whole number from 0 to 2^40"},
        {"2026-05-01,m,1,1,1,1", "the row has another number of columns than the header"},
        {"2026-05-01,m,1,1,1\\n\\\"", "a quote is not closed"},
    };
    for (u32 i = 0; i < ARRAY_COUNT(bad); i++) {
        char text[512];
        struct upload upload;
        snprintf(text, sizeof text,
                 "{\"raw_csv\":\"date,model,input_tokens,output_tokens,cost\\n%s\"}",
                 bad[i].record);
        cr_assert_eq(read_text(&upload, UPLOAD_PROVIDER, text), ERR_OK, "%s", text);
        cr_assert_eq(upload.problem_count, 1, "%s", text);
        cr_assert_str_eq(upload.problems[0].text, bad[i].problem, "%s", text);
        upload_free(&upload);
    }
}

/* --- columns -----------------------------------------------------------------------------------
 */

Test(upload, filling) {
    static struct event_batch batch;
    static char batch_text[4096];
    struct upload upload;
    cr_assert_eq(read_text(&upload, UPLOAD_USAGE,
                           "{\"records\":[{\"customer_id\":\"a\"," MONTH
                           ",\"metric\":\"calls\",\"value\":1},"
                           "{\"customer_id\":\"b\"," MONTH
                           ",\"metric\":\"calls\",\"value\":2,\"limit\":10},"
                           "{\"customer_id\":\"b\"," MONTH ",\"metric\":\"seats\",\"value\":3}]}"),
                 ERR_OK);
    batch.text = batch_text;
    usize bytes = upload_text_bytes(&upload, 1, 2);
    batch.text_bytes_max = (u32)(bytes - EVENT_TEXT_PADDING);
    upload_fill(&upload, 1, 2, &batch);
    cr_assert_eq(batch.count, 2);
    cr_assert(batch.text_bytes <= batch.text_bytes_max);
    struct slice properties = event_text_of(&batch, 0, TEXT_PROPERTIES);
    cr_assert(properties.bytes == 12 && memcmp(properties.data, "{\"limit\":10}", 12) == 0);
    cr_assert(!event_has_text(&batch, 1, TEXT_PROPERTIES));
    struct slice feature = event_text_of(&batch, 1, TEXT_FEATURE);
    cr_assert(feature.bytes == 5 && memcmp(feature.data, "seats", 5) == 0);
    cr_assert_eq(batch.ref[TEXT_EVENT_NAME][1].offset, batch.ref[TEXT_EVENT_NAME][0].offset);
    for (u32 row = 0; row < 2; row++) {
        cr_assert(batch.source[row] == SOURCE_CSV && batch.granularity[row] == GRANULARITY_MONTHLY);
        cr_assert(batch.cost_source[row] == COST_NONE && batch.created[row] == NOW);
        cr_assert_eq(batch.number[NUM_USAGE][row], (row + 2) * MICRO_PER_UNIT);
        cr_assert_eq(batch.number[NUM_TIME][row], MAY);
        cr_assert_eq(batch.series[row], SERIES_UNRESOLVED);
    }
    upload_free(&upload);
}

/* --- events as text ----------------------------------------------------------------------------
 */

static enum err read_csv(struct event_csv *csv, const char *text) {
    usize bytes = strlen(text);
    memcpy(memory, text, bytes);
    event_csv_init(csv);
    return event_csv_read(csv, memory, bytes);
}

Test(event_csv, rows) {
    static struct event_csv csv;
    cr_assert_eq(read_csv(&csv,
                          "{\"raw_csv\":\"\xef\xbb\xbf"
                          "eventname,COSTAMOUNT,other,meta,model,"
                          "inputTokens\\n"
                          "\\\"a \\\"\\\"b\\\"\\\"\\\",1.50,x,\\\"{\\\"\\\"k\\\"\\\":1}\\\",,5\\n"
                          "c,1.5x,,[1],m,\\n"
                          "short,1\\n\"}"),
                 ERR_OK);
    cr_assert_eq(csv.row_count, 3);
    static const char wanted[] = "{\"events\":[{\"eventName\":\"a \\\"b\\\"\",\"costAmount\":1.50,"
                                 "\"meta\":{\"k\":1},\"inputTokens\":5},"
                                 "{\"eventName\":\"c\",\"costAmount\":\"1.5x\",\"meta\":\"[1]\","
                                 "\"model\":\"m\"},null]}";
    cr_assert_eq(csv.body[0].bytes, sizeof wanted - 1);
    cr_assert_eq(memcmp(csv.body[0].data, wanted, sizeof wanted - 1), 0, "%.*s",
                 (int)csv.body[0].bytes, csv.body[0].data);
    cr_assert(!event_csv_is_skewed(&csv, 0) && !event_csv_is_skewed(&csv, 1));
    cr_assert(event_csv_is_skewed(&csv, 2));
    event_csv_free(&csv);
}

Test(event_csv, refused) {
    static struct event_csv csv;
    static const char *const bodies[] = {
        "",
        "{}",
        "{\"raw_csv\":5}",
        "{\"raw_csv\":\"\"}",
        "{\"raw_csv\":\"eventName\"}",
        "{\"raw_csv\":\"name,cost\\na,1\"}",
        "{\"raw_csv\":\"eventName\\n\\\"a\"}",
        "{\"raw_csv\":\"eventName\\na\"",
    };
    for (u32 i = 0; i < ARRAY_COUNT(bodies); i++) {
        cr_assert_eq(read_csv(&csv, bodies[i]), ERR_INVALID, "%u", i);
        cr_assert(csv.error != NULL);
        event_csv_free(&csv);
    }
}

Test(event_csv, many_rows) {
    static struct event_csv csv;
    static char text[UPLOAD_RECORDS_MAX * 4 + 100];
    for (u32 more = 0; more < 2; more++) {
        char *at = stpcpy(text, "{\"raw_csv\":\"eventName");
        for (u32 i = 0; i < UPLOAD_RECORDS_MAX + more; i++) {
            at = stpcpy(at, "\\nx");
        }
        at = stpcpy(at, "\"}");
        event_csv_init(&csv);
        enum err err = event_csv_read(&csv, text, (usize)(at - text));
        cr_assert_eq(err, more == 0 ? ERR_OK : ERR_INVALID);
        if (more == 0) {
            cr_assert_eq(csv.row_count, UPLOAD_RECORDS_MAX);
            for (u32 i = 0; i < EVENT_CSV_BODIES; i++) {
                cr_assert_eq(csv.body[i].bytes, csv.body[0].bytes);
            }
        }
        event_csv_free(&csv);
    }
}
