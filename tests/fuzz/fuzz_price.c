/*
 * fuzz_price: the files of the price table (providers, a zero byte, models, and perhaps another
 * zero byte and extra models), then look-ups of the names they list: each must be found, and cost
 * something without trapping.
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

/* What is before the next zero byte, which is passed; false at the end. */
static bool take_part(struct slice *rest, struct slice *part) {
    if (rest->data == NULL) {
        return false;
    }
    const char *zero = rest->bytes > 0 ? memchr(rest->data, 0, rest->bytes) : NULL;
    usize bytes = zero == NULL ? rest->bytes : (usize)(zero - rest->data);
    *part = (struct slice){rest->data, bytes};
    *rest =
        zero == NULL ? (struct slice){NULL, 0} : (struct slice){zero + 1, rest->bytes - bytes - 1};
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct slice rest = {size > 0 ? (const char *)data : "", size};
    struct price_sources sources = {.models = {"", 0}};
    take_part(&rest, &sources.providers);
    take_part(&rest, &sources.models);
    take_part(&rest, &sources.extra);
    struct price_table *table = NULL;
    char why[120] = "";
    enum err err = price_table_make(&sources, &table, why, sizeof why);
    if (err != ERR_OK) {
        check(table == NULL && strlen(why) > 0);
        return 0;
    }
    look_up(table);
    price_table_free(table);
    return 0;
}
