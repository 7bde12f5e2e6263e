/*
 * fuzz_control.c: any bytes as rows of the control tables: profiles, products, subscriptions,
 * prices and their changes. The first byte says which, the next how long the object's name is. A
 * row that is read lies within its bounds, and a profile or a price reads the same after it was
 * written again. The row's checksum is made right, or else nothing would get past it.
 */
#include "base/hash.h"
#include "base/record.h"
#include "customer/directory_row.h"
#include "price/ledger_row.h"

#include <stdlib.h>
#include <string.h>

static bool same(struct slice a, struct slice b) {
    return a.bytes == b.bytes && (a.bytes == 0 || memcmp(a.data, b.data, a.bytes) == 0);
}

static bool within(struct slice text, struct slice of, struct slice or) {
    return text.bytes == 0 ||
           (text.data >= of.data && text.data + text.bytes <= of.data + of.bytes) ||
           (text.data >= or.data && text.data + text.bytes <= or.data + or.bytes);
}

static void see_profile(const struct control_object *object, struct slice value) {
    static char memory[DIRECTORY_ROW_BYTES_MAX];
    struct profile first;
    struct profile second;
    if (directory_row_read_profile(object, value, &first) != ERR_OK) {
        return;
    }
    check(within(first.name, value, object->name) && within(first.email, value, object->name));
    struct slice again = directory_row_profile(&first, memory);
    check(directory_row_read_profile(object, again, &second) == ERR_OK);
    check(same(first.name, second.name) && same(first.email, second.email) &&
          same(first.segment, second.segment) && same(first.stripe, second.stripe));
    check(first.source == second.source && first.internal_by == second.internal_by &&
          first.internal == second.internal && first.created_ms == second.created_ms &&
          first.updated_ms == second.updated_ms);
}

static void see_price(const struct control_object *object, struct slice value) {
    static struct ledger_row row;
    struct model_price first;
    struct model_price second;
    memset(&first, 0, sizeof first);
    memset(&second, 0, sizeof second);
    if (ledger_model_read(object, value, &first) != ERR_OK) {
        return;
    }
    check(within(first.model, value, object->name) && within(first.provider, value, object->name));
    if (first.model.bytes + first.provider.bytes + 1 <= CONTROL_NAME_MAX) {
        ledger_model_object(&row, 1, first.provider, first.model);
        ledger_model_write(&row, &first);
        check(ledger_model_read(&row.object, row.record, &second) == ERR_OK);
        check(same(first.model, second.model) && same(first.provider, second.provider));
    }
}

static void see(u8 kind, const struct control_object *object, struct slice value) {
    struct product product;
    struct subscription subscription;
    struct feature_price price;
    struct price_change change;
    memset(&price, 0, sizeof price);
    switch (kind % 6) {
    case 0:
        see_profile(object, value);
        break;
    case 1:
        check(directory_row_read_product(object, value, &product) != ERR_OK ||
              (product.interval_months > 0 && within(product.name, value, object->name)));
        break;
    case 2:
        check(directory_row_read_subscription(object, value, &subscription) != ERR_OK ||
              subscription.source < DIRECTORY_SOURCES);
        break;
    case 3:
        check(ledger_feature_read(object, value, &price) != ERR_OK ||
              within(price.unit_label, value, object->name));
        break;
    case 4:
        see_price(object, value);
        break;
    default:
        check(ledger_change_read(value, &change) != ERR_OK || change.field < CHANGE_FIELDS);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 3 || size > CONTROL_VALUE_MAX) {
        return 0;
    }
    usize name_bytes = MIN((usize)data[1], size - 3);
    usize bytes = size - 3 - name_bytes;
    u32 sum = (u32)hash64(data + 3 + name_bytes, bytes, 0);
    char *name = malloc(MAX(name_bytes, (usize)1)); /* so that a read past their ends is seen */
    char *value = malloc(bytes + sizeof sum);
    check(name != NULL && value != NULL);
    memcpy(name, data + 3, name_bytes);
    memcpy(value, data + 3 + name_bytes, bytes);
    memcpy(value + bytes, &sum, sizeof sum);
    const struct control_object object = {1, CONTROL_FEATURE_PRICE, data[2], {name, name_bytes}};
    see(data[0], &object, (struct slice){value, bytes + sizeof sum});
    see(data[0], &object, (struct slice){value, bytes});
    free(name);
    free(value);
    return 0;
}
