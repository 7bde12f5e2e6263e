/*
 * fuzz_price: the two files of the price table (providers, a zero byte, models), then look-ups of
 * the names they list: each must be found, and cost something without trapping.
 */
#include "price/price.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_up(const struct price_table *table) {
    const struct price_tokens tokens = {
        .input = 300000, .output = 9, .cached = 1, .cache_write = 2, .reasoning = 10};
    for (u32 i = 0; i < price_count(table); i++) {
        struct price_listing listing = price_list(table, i);
        i64 cost = 0;
        u32 found = price_find(table, listing.provider, listing.model);
        check(found == i);
        for (i64 time_ms = -1; time_ms < 2000000000000; time_ms += 99999999999) {
            if (price_cost(table, i, time_ms, &tokens, &cost)) {
                check(cost >= 0 && cost <= EVENT_MONEY_MAX);
            }
        }
        price_infer_provider(table, listing.model);
        price_find(table, (struct slice){NULL, 0}, listing.model);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *text = (const char *)data;
    const char *zero = size > 0 ? memchr(text, 0, size) : NULL;
    usize first = zero == NULL ? size : (usize)(zero - text);
    struct slice providers = {text, first};
    struct slice models = {text + first, 0};
    if (zero != NULL) {
        models = (struct slice){zero + 1, size - first - 1};
    }
    struct price_table *table = NULL;
    char why[120] = "";
    enum err err = price_table_load(models, providers, &table, why, sizeof why);
    if (err != ERR_OK) {
        check(table == NULL && strlen(why) > 0);
        return 0;
    }
    look_up(table);
    price_table_free(table);
    return 0;
}
