/* extra_test.c: what lines that extend a price table do to the lines they meet. */
#include "price/price.h"

#include <criterion/criterion.h>
#include <string.h>

static const char providers[] = "[{\"provider\":\"p\"},{\"provider\":\"q\",\"fallback\":[\"p\"]}]";
static const char models[] =
    "[{\"provider\":\"p\",\"model\":\"big\",\"aliases\":[\"big-old\",\"big-x*\"],"
    "\"input_per_mtok\":\"2\"},"
    "{\"provider\":\"p\",\"model\":\"small\",\"aliases\":[\"mini\",\"small-*\"],"
    "\"input_per_mtok\":\"1\"},"
    "{\"provider\":\"q\",\"model\":\"big\",\"input_per_mtok\":\"3\"}]";

static struct slice text(const char *value) {
    return (struct slice){value, strlen(value)};
}

static struct price_table *make(const char *extra) {
    const struct price_sources sources = {
        .models = text(models), .providers = text(providers), .extra = text(extra)};
    struct price_table *table = NULL;
    char why[200] = "";
    cr_assert_eq(price_table_make(&sources, &table, why, sizeof why), ERR_OK, "%s", why);
    return table;
}

/* Micro-dollars per million tokens of input; -1 without a price. */
static i64 input_of(const struct price_table *table, const char *provider, const char *model) {
    u32 found = price_find(table, text(provider), text(model));
    return found == PRICE_NONE ? -1 : price_list(table, found).input / 1000000;
}

Test(price_extra, a_line_takes_the_place_of_its_own) {
    struct price_table *table =
        make("[{\"provider\":\"p\",\"model\":\"BIG\",\"input_per_mtok\":\"7\"}]");
    cr_assert_eq(price_count(table), 3);
    cr_assert_eq(input_of(table, "p", "big"), 7000000);
    cr_assert_eq(input_of(table, "p", "big-old"), 7000000, "its aliases are the new line's");
    cr_assert_eq(input_of(table, "p", "big-xyz"), 7000000, "its prefixes, too");
    cr_assert_eq(input_of(table, "p", "small"), 1000000);
    cr_assert_eq(input_of(table, "q", "big"), 3000000, "another provider's line stays");
    price_table_free(table);
}

Test(price_extra, names_that_a_line_claims_are_its_own) {
    struct price_table *table =
        make("[{\"provider\":\"p\",\"model\":\"new\",\"aliases\":[\"mini\",\"big-x*\",\"small-*\"],"
             "\"input_per_mtok\":\"9\"},"
             "{\"provider\":\"p\",\"model\":\"big-old\",\"input_per_mtok\":\"8\"}]");
    cr_assert_eq(price_count(table), 5);
    cr_assert_eq(input_of(table, "p", "mini"), 9000000);
    cr_assert_eq(input_of(table, "p", "big-x1"), 9000000);
    cr_assert_eq(input_of(table, "p", "small-9"), 9000000);
    cr_assert_eq(input_of(table, "p", "small"), 1000000);
    cr_assert_eq(input_of(table, "p", "big"), 2000000);
    cr_assert_eq(input_of(table, "p", "big-old"), 8000000);
    cr_assert_eq(input_of(table, "q", "mini"), 9000000, "by the fallback");
    price_table_free(table);
}

Test(price_extra, a_line_may_take_over_another_by_an_alias) {
    struct price_table *table = make("[{\"provider\":\"p\",\"model\":\"new\",\"aliases\":"
                                     "[\"small\"],\"input_per_mtok\":\"9\"}]");
    cr_assert_eq(price_count(table), 3);
    cr_assert_eq(input_of(table, "p", "small"), 9000000);
    cr_assert_eq(input_of(table, "p", "mini"), 9000000);
    price_table_free(table);
}

Test(price_extra, what_is_ambiguous_is_refused) {
    static const char *const bad[] = {
        ("[{\"provider\":\"p\",\"model\":\"a\",\"input_per_mtok\":\"1\"},"
         "{\"provider\":\"p\",\"model\":\"A\",\"input_per_mtok\":\"1\"}]"),
        "[{\"provider\":\"nobody\",\"model\":\"a\",\"input_per_mtok\":\"1\"}]",
        "[{\"provider\":\"p\",\"model\":\"a\"}]", "{}", ""};
    for (u32 i = 0; i < ARRAY_COUNT(bad); i++) {
        const struct price_sources sources = {
            .models = text(models), .providers = text(providers), .extra = text(bad[i])};
        struct price_table *table = NULL;
        char why[200] = "";
        cr_assert_neq(price_table_make(&sources, &table, why, sizeof why), ERR_OK, "%s", bad[i]);
        cr_assert(table == NULL && strlen(why) > 0);
    }
}
