/*
 * directory.c: gives the customers of a stopped server's data directory names and subscriptions, as
 * an import from a payment service would: what the reading benchmark (reading.sh) runs on.
 *
 * usage: bench-directory DATA CUSTOMERS     customers are those of margin-load
 */
#include "customer/directory.h"
#include "account/account.h"
#include "store.h"

#include <stdio.h>
#include <stdlib.h>

#define PLANS 5

static const char *copy(const char *format, u32 number) {
    char *text = NULL;
    return asprintf(&text, format, number) < 0 ? "" : text;
}

static struct slice text_of(const char *format, u32 number) {
    const char *text = copy(format, number);
    return (struct slice){text, __builtin_strlen(text)};
}

int main(int argc, char **argv) {
    u32 count = argc == 3 ? (u32)strtoul(argv[2], NULL, 10) : 0;
    struct profile *profiles = calloc(count + (usize)1, sizeof *profiles);
    struct subscription *subscriptions = calloc(count + (usize)1, sizeof *subscriptions);
    struct product products[PLANS] = {{.source = DIRECTORY_STRIPE}};
    struct control *control;
    char why[200] = "";
    struct directory *directory;
    if (count == 0 || profiles == NULL || subscriptions == NULL ||
        control_open(argv[1], false, &control, why, sizeof why) != ERR_OK ||
        directory_open(control, &directory) != ERR_OK) {
        fprintf(stderr, "usage: bench-directory DATA CUSTOMERS  %s\n", why);
        return 1;
    }
    for (u32 i = 0; i < PLANS; i++) {
        products[i] = (struct product){.source = DIRECTORY_STRIPE,
                                       .id = text_of("plan_%u", i),
                                       .name = text_of("Plan %u", i),
                                       .price = (i64)(i + 1) * 10 * PICO_PER_USD,
                                       .interval_months = 1};
    }
    for (u32 i = 0; i < count; i++) {
        profiles[i] =
            (struct profile){.id = text_of("cust_%07u", i), .name = text_of("Customer %u", i)};
        subscriptions[i] = (struct subscription){.source = DIRECTORY_STRIPE,
                                                 .id = text_of("sub_%u", i),
                                                 .customer_id = profiles[i].id,
                                                 .product_id = products[i % PLANS].id,
                                                 .active = i % 7 != 0};
    }
    const struct directory_set set = {.source = DIRECTORY_STRIPE,
                                      .profiles = profiles,
                                      .profile_count = count,
                                      .products = products,
                                      .product_count = PLANS,
                                      .subscriptions = subscriptions,
                                      .subscription_count = count};
    enum err err = directory_replace(directory, NULL, ACCOUNT_DEFAULT, &set, (i64)1 << 40);
    directory_close(directory);
    control_close(control);
    if (err != ERR_OK) {
        fprintf(stderr, "bench-directory: error %d\n", (int)err);
    }
    return err == ERR_OK ? 0 : 1;
}
