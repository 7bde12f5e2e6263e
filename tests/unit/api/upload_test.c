/* upload_test.c: a change of what is sold that a crash has cut off between its two halves, and what
 * the next start makes of it. */
#include "api/upload.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/context.h"
#include "base/record.h"
#include "tests/support/engine.h"
#include "upload/sales.h"

#define ACCOUNT 3
#define NOW_MS 1780000000000

static struct engine engine;
static struct control *control;
static struct context context;

static void open_all(void) {
    char why[200] = "";
    engine_start(&engine);
    cr_assert_eq(control_open(engine.dir, true, &control, why, sizeof why), ERR_OK, "%s", why);
    context = (struct context){.pipeline = engine.pipeline,
                               .store = engine.store,
                               .agg = engine.recovered.agg,
                               .control = control,
                               .prices = engine.prices};
    cr_assert_eq(directory_open(control, &context.directory), ERR_OK);
}

static void close_all(void) {
    directory_close(context.directory);
    control_close(control);
    engine_stop(&engine);
}

static void setup(void) {
    engine_init(&engine);
    open_all();
}

static void teardown(void) {
    directory_close(context.directory);
    control_close(control);
    engine_remove(&engine);
}

TestSuite(upload_sales, .init = setup, .fini = teardown, .timeout = 60);

static void read_sales(struct sales *sales, const char *text, char *body) {
    memset(body, 0, 4 * KIB);
    memcpy(body, text, strlen(text));
    sales_init(sales, NOW_MS);
    cr_assert_eq(sales_read(sales, body, strlen(text)), ERR_OK);
    cr_assert_eq(sales->upload.problem_count, 0u);
}

static const char one[] = "{\"plans\":[{\"plan_id\":\"p\",\"price_amount\":10}],\"subscriptions\":["
                          "{\"customer_id\":\"a\",\"plan_id\":\"p\"}]}";
static const char two[] =
    "{\"plans\":[{\"plan_id\":\"p\",\"price_amount\":7}],\"subscriptions\":["
    "{\"customer_id\":\"a\",\"plan_id\":\"p\"},{\"customer_id\":\"b\",\"mrr_override\":2.5}]}";

static void upload(const char *text) {
    char body[4 * KIB];
    struct sales sales;
    read_sales(&sales, text, body);
    cr_assert_eq(upload_sales(&context, ACCOUNT, &sales, NOW_MS), ERR_OK);
    sales_free(&sales);
}

/* As written to the tables by upload_sales.c, also of earlier versions. */
struct note {
    bool all;
    u32 key_epoch;
    i64 now_ms;
};
static const struct record_member members[] = {
    RECORD(1, RECORD_BOOL, struct note, all),
    RECORD(2, RECORD_U32, struct note, key_epoch),
    RECORD(3, RECORD_I64, struct note, now_ms),
};

/* The tables' half only; then the process ends. */
static void change_tables(const struct directory_set *set, bool all, u32 key_epoch) {
    char memory[DIRECTORY_NOTE_MAX];
    struct slice record;
    const struct note note = {all, key_epoch, NOW_MS};
    struct directory_change *change;
    cr_assert_eq(record_write(members, 3, &note, memory, sizeof memory, &record), ERR_OK);
    cr_assert_eq(
        directory_begin(context.directory, context.agg, ACCOUNT, set, record, NOW_MS, &change),
        ERR_OK);
    cr_assert_eq(directory_end(change, DIRECTORY_LEAVE), ERR_OK);
}

static void upload_half(const char *text) {
    char body[4 * KIB];
    struct sales sales;
    read_sales(&sales, text, body);
    const struct directory_set set = sales_set(&sales);
    change_tables(&set, false, 0);
    sales_free(&sales);
}

static void check_all(u64 events, i64 micros, u32 subscriptions) {
    struct figures figures = engine_totals(&engine, ACCOUNT);
    cr_assert_eq(figures.events, events);
    cr_assert(figures.revenue == (i128)micros * (PICO_PER_USD / 1000000));
    const struct book *book = directory_acquire(context.directory, ACCOUNT);
    cr_assert_eq(book->subscription_count, subscriptions);
    directory_release(context.directory, book);
}

static void restart(void) {
    close_all();
    open_all();
    cr_assert(upload_finish(&context));
}

static void check_done(u64 events, i64 micros, u32 subscriptions) {
    u64 amendments = store_amendments(engine.store);
    check_all(events, micros, subscriptions);
    restart();
    check_all(events, micros, subscriptions);
    cr_assert_eq(store_amendments(engine.store), amendments, "there is nothing left to do");
}

Test(upload_sales, a_crash_between_tables_and_log_is_made_up_for) {
    upload(one);
    check_done(1, 10000000, 1);
    upload_half(two);
    check_all(1, 10000000, 1);
    restart();
    check_done(2, 9500000, 2);
    upload_half("{\"subscriptions\":[]}");
    restart();
    check_done(0, 0, 0);
}

Test(upload_sales, what_was_cut_off_comes_before_what_follows) {
    upload(one);
    upload_half(two);
    close_all();
    open_all(); /* where it could not be finished, say for want of room */
    u64 before = store_amendments(engine.store);
    upload(one);
    cr_assert_eq(store_amendments(engine.store), before + 2);
    check_done(1, 10000000, 1);
    upload_half(two);
    close_all();
    open_all();
    pipeline_stop(engine.pipeline);
    cr_assert_not(upload_finish(&context), "nothing is amended any more");
    restart();
    check_done(2, 9500000, 2);
}

Test(upload_sales, a_damaged_note_is_in_nobodys_way) {
    const struct directory_set nothing = {.source = DIRECTORY_UPLOAD};
    struct directory_change *change;
    upload(two);
    cr_assert_eq(directory_begin(context.directory, context.agg, ACCOUNT, &nothing,
                                 SLICE("damaged"), NOW_MS, &change),
                 ERR_OK);
    cr_assert_eq(directory_end(change, DIRECTORY_LEAVE), ERR_OK);
    restart();
    upload(one);
    check_done(1, 10000000, 1);
}

/* Nobody started the server for so long that its events would have left again. */
Test(upload_sales, what_was_cut_off_may_be_older_than_what_is_kept) {
    upload_half(two);
    engine.retention_days = 30; /* NOW_MS is longer ago */
    restart();
    check_done(0, 0, 2);
    const struct directory_set nothing = {.source = DIRECTORY_UPLOAD};
    change_tables(&nothing, false, 0);
    cr_assert_eq(upload_clear(&context, ACCOUNT, false, NOW_MS), ERR_OK, "it is in nobody's way");
    check_done(0, 0, 0);
}

static void ingest(const char *key) {
    char body[400];
    struct ingest result;
    struct decode_error error;
    snprintf(body, sizeof body,
             "{\"events\":[{\"eventName\":\"e\",\"customerReferenceId\":\"c\",\"featureKey\":\"f\","
             "\"revenueAmount\":1,\"idempotencyKey\":\"%s\"}]}",
             key);
    cr_assert_eq(engine_ingest(&engine, ACCOUNT, body, &result, &error), ERR_OK);
    cr_assert_eq(result.accepted, 1u);
    ingest_free(&result);
}

Test(upload_sales, what_came_after_a_clear_stays) {
    const struct directory_set nothing = {.source = DIRECTORY_UPLOAD};
    upload(two);
    ingest("1");
    change_tables(&nothing, true, store_key_epoch(engine.store, ACCOUNT));
    check_all(3, 10500000, 2);
    restart();
    check_done(0, 0, 0);
    ingest("1");
    upload(one);
    check_done(2, 11000000, 1);
    /* This time the log was cleared, and only the note had not gone. */
    u32 before = store_key_epoch(engine.store, ACCOUNT);
    cr_assert_eq(upload_clear(&context, ACCOUNT, true, NOW_MS), ERR_OK);
    cr_assert_eq(store_key_epoch(engine.store, ACCOUNT), before + 1);
    ingest("1");
    change_tables(&nothing, true, before);
    restart();
    check_done(1, 1000000, 0);
}

static u32 seen;
static void look(void *unused) {
    (void)unused;
    seen++;
}

Test(upload_sales, a_change_that_fails_leaves_nothing) {
    upload(one);
    pipeline_stop(engine.pipeline); /* nothing is amended any more */
    char body[4 * KIB];
    struct sales sales;
    read_sales(&sales, two, body);
    cr_assert_eq(upload_sales(&context, ACCOUNT, &sales, NOW_MS), ERR_BUSY);
    sales_free(&sales);
    check_all(1, 10000000, 1);
    restart();
    check_done(1, 10000000, 1);
    struct amend_request request = {
        .account = ACCOUNT, .kind = STORE_CLEAR, .source = DIM_NONE, .shown = look};
    cr_assert_eq(pipeline_amend(engine.pipeline, &request), ERR_OK);
    cr_assert_eq(seen, 1u);
}
