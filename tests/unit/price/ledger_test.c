/* ledger_test.c: random changes of several accounts against plain arrays, with restarts between
 * them; what the record of changes says; and that a refused change changes nothing. */
#include "price/ledger_row.h"

#include "limits.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char dir[64];
static struct control *control;
static struct prices *prices;
static struct ledger *ledger;

static void open_all(void) {
    struct price_table *table;
    char why[200] = "";
    cr_assert_eq(control_open(dir, true, &control, why, sizeof why), ERR_OK, "%s", why);
    cr_assert_eq(price_table_load_embedded(&table, why, sizeof why), ERR_OK, "%s", why);
    cr_assert_eq(prices_create(table, &prices), ERR_OK);
    cr_assert_eq(ledger_open(control, prices, &ledger), ERR_OK);
}

static void close_all(void) {
    ledger_close(ledger);
    prices_destroy(prices);
    control_close(control);
}

static void reopen(void) {
    close_all();
    open_all();
}

static void setup(void) {
    snprintf(dir, sizeof dir, "/tmp/ledger-test-XXXXXX");
    cr_assert(mkdtemp(dir) != NULL);
    open_all();
}

static void teardown(void) {
    char command[128];
    close_all();
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    cr_assert_eq(system(command), 0);
}

TestSuite(ledger, .init = setup, .fini = teardown);

static struct slice text(const char *value) {
    return (struct slice){value, strlen(value)};
}

static bool same(struct slice a, const char *b) {
    return a.bytes == strlen(b) && memcmp(a.data, b, a.bytes) == 0;
}

#define ACCOUNTS 3
#define NAMES 6

static const char *const feature_name[NAMES] = {"a", "ab", "b", "chat", "Chat", "search"};
static const char *const model_name[NAMES] = {"gpt-4o", "gpt-4o", "house", "house", "o3", "zz/m"};
static const char *const provider_name[NAMES] = {"openai", "", "", "home-grown", "azure", ""};

struct expected {
    struct {
        bool there;
        i64 revenue;
        i64 effective_ms;
        i64 created_ms;
        const char *label;
    } feature[NAMES];
    struct {
        bool there;
        i64 rate;
    } model[NAMES];
};

static struct expected expected[ACCOUNTS + 1];

static void check_account(const struct price_view *view, u32 account) {
    const struct price_book *book = price_view_book(view, account);
    const struct expected *wanted = &expected[account];
    u32 features = 0;
    u32 models = 0;
    for (u32 i = 0; i < NAMES; i++) {
        features += wanted->feature[i].there;
        models += wanted->model[i].there;
    }
    cr_assert_eq(book != NULL, features + models > 0, "account %u", account);
    if (book == NULL) {
        return;
    }
    cr_assert_eq(book->feature_count, features);
    cr_assert_eq(book->model_count, models);
    for (u32 i = 0; i < NAMES; i++) {
        u32 feature = price_book_feature(book, text(feature_name[i]));
        u32 model = price_book_model(book, text(provider_name[i]), text(model_name[i]));
        cr_assert_eq(feature != PRICE_NONE, wanted->feature[i].there, "%s", feature_name[i]);
        cr_assert_eq(model != PRICE_NONE, wanted->model[i].there, "%s", model_name[i]);
        if (feature != PRICE_NONE) {
            const struct feature_price *price = &book->features[feature];
            cr_assert_eq(price->revenue, wanted->feature[i].revenue);
            cr_assert_eq(price->effective_ms, wanted->feature[i].effective_ms);
            cr_assert_eq(price->created_ms, wanted->feature[i].created_ms);
            cr_assert(same(price->unit_label, wanted->feature[i].label));
        }
        if (model != PRICE_NONE) {
            i64 rate = wanted->model[i].rate;
            cr_assert(book->models[model].input == rate && book->rates[model].output == rate + 1);
            cr_assert(book->models[model].cached == -1 && book->rates[model].cached == rate);
        }
    }
}

static void check_all(void) {
    const struct price_view *view = prices_acquire(prices);
    for (u32 account = 1; account <= ACCOUNTS; account++) {
        check_account(view, account);
    }
    prices_release(prices, view);
}

static void change_feature(u32 account, u32 i, i64 value, i64 now_ms) {
    bool set = value % 3 != 0;
    const char *label = value % 2 == 0 ? "call" : "answer";
    enum err err =
        set ? ledger_set_feature(ledger, account, text(feature_name[i]), value, text(label), now_ms)
            : ledger_delete_feature(ledger, account, text(feature_name[i]));
    bool there = expected[account].feature[i].there;
    cr_assert_eq(err, set || there ? ERR_OK : ERR_NOT_FOUND);
    i64 created_ms = there ? expected[account].feature[i].created_ms : now_ms;
    expected[account].feature[i].there = set;
    expected[account].feature[i].revenue = value;
    expected[account].feature[i].effective_ms = now_ms;
    expected[account].feature[i].created_ms = created_ms;
    expected[account].feature[i].label = label;
}

static void change_model(u32 account, u32 i, i64 value, i64 now_ms) {
    const struct model_price price = {
        text(provider_name[i]), text(model_name[i]), value, value + 1, -1, 7, 0};
    bool set = value % 3 != 0;
    enum err err = set ? ledger_set_model(ledger, account, &price, now_ms)
                       : ledger_delete_model(ledger, account, price.provider, price.model, now_ms);
    bool there = false;
    for (u32 k = 0; k < NAMES; k++) {
        bool meant =
            strcmp(model_name[k], model_name[i]) == 0 && (provider_name[i][0] == '\0' || k == i);
        if (!set && meant) { /* no provider: all of them */
            there = there || expected[account].model[k].there;
            expected[account].model[k].there = false;
        }
    }
    cr_assert_eq(err, set || there ? ERR_OK : ERR_NOT_FOUND);
    if (set) {
        expected[account].model[i].there = true;
        expected[account].model[i].rate = value;
    }
}

Test(ledger, prices_are_as_last_set_also_after_a_restart) {
    u32 random = 99;
    for (u32 round = 0; round < 300; round++) {
        random = random * 1664525 + 1013904223;
        u32 account = 1 + (random >> 20) % ACCOUNTS;
        u32 i = (random >> 10) % NAMES;
        i64 value = (random >> 8) % 1000;
        if ((random >> 28) % 2 == 0) {
            change_feature(account, i, value, 1000 + round);
        } else {
            change_model(account, i, value, 1000 + round);
        }
        if (round % 50 == 49) {
            reopen();
        }
        check_all();
    }
}

Test(ledger, names_are_those_of_the_table) {
    struct model_price price = {text("Azure_OpenAI"), text(" GPT-4o "), 1, 2, 3, 4, 0};
    cr_assert_eq(ledger_set_model(ledger, 1, &price, 5), ERR_OK);
    const struct price_view *view = prices_acquire(prices);
    const struct price_book *book = price_view_book(view, 1);
    cr_assert(same(book->models[0].provider, "azure") && same(book->models[0].model, "gpt-4o"));
    cr_assert_null(price_view_book(view, 2));
    prices_release(prices, view);
    price.model = text("   ");
    cr_assert_eq(ledger_set_model(ledger, 1, &price, 5), ERR_INVALID);
    price.model = text("m");
    price.provider = text(" ");
    cr_assert_eq(ledger_set_model(ledger, 1, &price, 5), ERR_INVALID);
    cr_assert_eq(ledger_delete_model(ledger, 1, text("azure.openai"), text("GPT-4O"), 6), ERR_OK);
    cr_assert_eq(ledger_delete_model(ledger, 1, text(""), text("gpt-4o"), 6), ERR_NOT_FOUND);
}

struct seen {
    char lines[4096];
    u32 count;
};

static bool note_change(void *context, const struct price_change *change) {
    struct seen *seen = context;
    usize at = strlen(seen->lines);
    snprintf(seen->lines + at, sizeof seen->lines - at, "%lld %s %.*s/%.*s %d %lld>%lld\n",
             (long long)change->created_ms, change->own ? "own" : "table",
             (int)change->provider.bytes, change->provider.data, (int)change->model.bytes,
             change->model.data, (int)change->field, (long long)change->old_value,
             (long long)change->new_value);
    seen->count++;
    return true;
}

static void expect_changes(u32 account, const char *lines) {
    static struct seen seen;
    seen.lines[0] = '\0';
    cr_assert_eq(ledger_changes(ledger, account, note_change, &seen), ERR_OK);
    cr_assert_str_eq(seen.lines, lines);
}

Test(ledger, every_change_of_a_model_price_is_recorded) {
    struct model_price price = {text(""), text("m1"), 10, 20, -1, 5, 0};
    cr_assert_eq(ledger_set_model(ledger, 1, &price, 100), ERR_OK);
    price.output = 21;
    price.cached = 0;
    cr_assert_eq(ledger_set_model(ledger, 1, &price, 200), ERR_OK);
    cr_assert_eq(ledger_set_model(ledger, 1, &price, 250), ERR_OK); /* the same again: no change */
    cr_assert_eq(ledger_set_feature(ledger, 1, text("f"), 1, text("call"), 260), ERR_OK);
    static const char providers[] = "[{\"provider\":\"acme\"}]";
    static const char *const models[] = {
        "[{\"provider\":\"acme\",\"model\":\"b\",\"input_per_mtok\":\"3\"},"
        "{\"provider\":\"acme\",\"model\":\"c\",\"input_per_mtok\":\"1\"}]",
        "[{\"provider\":\"acme\",\"model\":\"a\",\"input_per_mtok\":\"2\"},"
        "{\"provider\":\"acme\",\"model\":\"b\",\"input_per_mtok\":\"4\","
        "\"output_per_mtok\":\"0.5\"}]"};
    for (u32 i = 0; i < 2; i++) {
        struct price_table *table;
        char why[200];
        cr_assert_eq(price_table_load(text(models[i]), text(providers), &table, why, sizeof why),
                     ERR_OK, "%s", why);
        cr_assert_eq(ledger_set_table(ledger, table, 300 + i), ERR_OK);
    }
    cr_assert_eq(ledger_delete_model(ledger, 1, text(""), text("m1"), 400), ERR_OK);
    reopen();
    static struct seen seen;
    cr_assert_eq(ledger_changes(ledger, 2, note_change, &seen), ERR_OK);
    cr_assert_gt(seen.count, 3000); /* all that the built-in table lists went */
    const char *first = "301 table acme/c 0 1000000>-1\n"
                        "301 table acme/b 1 -1>500000\n"
                        "301 table acme/b 0 3000000>4000000\n"
                        "301 table acme/a 0 -1>2000000\n";
    cr_assert_eq(strncmp(seen.lines, first, strlen(first)), 0, "%.200s", seen.lines);
    static struct seen own;
    cr_assert_eq(ledger_changes(ledger, 1, note_change, &own), ERR_OK);
    cr_assert_eq(own.count, seen.count + 9);
    const char *latest = "400 own /m1 3 5>-1\n"
                         "400 own /m1 2 0>-1\n"
                         "400 own /m1 1 21>-1\n"
                         "400 own /m1 0 10>-1\n"
                         "301 table acme/c 0 1000000>-1\n";
    cr_assert_eq(strncmp(own.lines, latest, strlen(latest)), 0, "%.200s", own.lines);
}

Test(ledger, changes_of_an_account_are_its_own) {
    const struct model_price price = {text(""), text("m1"), 10, 20, -1, 5, 0};
    cr_assert_eq(ledger_set_model(ledger, 1, &price, 100), ERR_OK);
    expect_changes(1, "100 own /m1 3 -1>5\n100 own /m1 1 -1>20\n100 own /m1 0 -1>10\n");
    expect_changes(2, "");
}

/* As many rows as an account may have, written at once. */
static void fill_models(u32 account) {
    struct control_txn txn;
    const struct control_object marker = {0, CONTROL_FEATURE_PRICE, account, {NULL, 0}};
    cr_assert_eq(control_begin(control, &txn), ERR_OK);
    cr_assert_eq(control_txn_put(&txn, &marker, (struct slice){NULL, 0}), ERR_OK);
    for (u32 i = 0; i < MODEL_PRICES_MAX; i++) {
        static struct ledger_row row;
        const struct model_price price = {.input = 1, .output = 1, .cached = -1, .cache_write = -1};
        char name[32];
        snprintf(name, sizeof name, "model-%u", i);
        ledger_model_object(&row, account, text(""), text(name));
        ledger_model_write(&row, &price);
        cr_assert_eq(control_txn_put(&txn, &row.object, row.record), ERR_OK);
    }
    cr_assert_eq(control_commit(&txn), ERR_OK);
}

Test(ledger, an_account_prices_so_many_models_and_no_more) {
    struct model_price price = {
        .model = text("more"), .input = 1, .output = 1, .cached = -1, .cache_write = -1};
    fill_models(1);
    reopen();
    cr_assert_eq(ledger_set_model(ledger, 1, &price, 100), ERR_LIMIT);
    cr_assert_eq(ledger_set_model(ledger, 2, &price, 100), ERR_OK, "another account may");
    price.model = text("model-0");
    cr_assert_eq(ledger_set_model(ledger, 1, &price, 100), ERR_OK, "a known one may change");
    reopen();
    const struct price_view *view = prices_acquire(prices);
    cr_assert_eq(price_view_book(view, 1)->model_count, MODEL_PRICES_MAX);
    cr_assert_eq(price_view_book(view, 2)->model_count, 1);
    prices_release(prices, view);
}

Test(ledger, the_oldest_changes_are_forgotten) {
    static struct seen seen;
    for (u32 i = 0; i < 5; i++) {
        struct price_table *table;
        char why[200];
        const struct price_sources sources[] = {
            {.providers = text("[{\"provider\":\"p\"}]"), .models = text("[]")}, {.updated_ms = 1}};
        cr_assert_eq(price_table_make(&sources[i % 2], &table, why, sizeof why), ERR_OK, "%s", why);
        cr_assert_eq(ledger_set_table(ledger, table, 100 + i), ERR_OK);
    }
    cr_assert_eq(ledger_changes(ledger, 1, note_change, &seen), ERR_OK);
    cr_assert_eq(seen.count, PRICE_CHANGES_MAX);
    cr_assert_eq(strncmp(seen.lines, "104 table", 9), 0, "%.40s", seen.lines);
}
