/* movement_test.c: each way that revenue can move, and the order they are told in. */
#include "customer/movement.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define DAY ((i64)86400000)
#define NOW (1000 * DAY)
#define OLD (NOW - MOVEMENT_DAYS * DAY) /* just old enough */

static struct slice text(const char *value) {
    return (struct slice){value, strlen(value)};
}

Test(movement, categories_and_order) {
    static const struct {
        const char *customer;
        i64 mrr;
        i64 created_ms;
        bool active;
    } paid[] = {
        {"more", 10, OLD, true},   {"more", 5, OLD + 1, true}, {"less", 30, OLD, true},
        {"less", 100, OLD, false}, {"gone", 7, OLD, false},    {"came", 9, OLD + 1, true},
        {"same", 50, OLD, true},   {"never", 3, NOW, false},   {"free", 0, OLD, true},
        {"a tie", 9, NOW, true},   {"swap", 20, OLD, false},   {"swap", 20, NOW, true},
    };
    static const struct {
        const char *customer;
        enum movement_category category;
        i64 current;
        i64 prior;
    } wanted[] = {
        {"less", MOVEMENT_CONTRACTION, 30, 130},
        {"a tie", MOVEMENT_NEW, 9, 0},
        {"came", MOVEMENT_NEW, 9, 0},
        {"gone", MOVEMENT_CHURNED, 0, 7},
        {"more", MOVEMENT_EXPANSION, 15, 10},
        {"same", MOVEMENT_STABLE, 50, 50},
        {"swap", MOVEMENT_STABLE, 20, 20},
    };
    static const char *const ids[] = {"more",  "less", "gone",  "came", "same",
                                      "never", "free", "a tie", "swap", "nothing"};
    struct profile profiles[ARRAY_COUNT(ids)];
    struct subscription subscriptions[ARRAY_COUNT(paid)];
    for (u32 i = 0; i < ARRAY_COUNT(ids); i++) {
        profiles[i] = (struct profile){.id = text(ids[i])};
    }
    for (u32 i = 0; i < ARRAY_COUNT(paid); i++) {
        static char names[ARRAY_COUNT(paid)][2];
        names[i][0] = (char)('a' + i);
        subscriptions[i] = (struct subscription){.id = text(names[i]),
                                                 .customer_id = text(paid[i].customer),
                                                 .active = paid[i].active,
                                                 .has_override = true,
                                                 .mrr_override = paid[i].mrr,
                                                 .created_ms = paid[i].created_ms};
    }
    struct book *book;
    struct movements movements;
    cr_assert_eq(
        book_make(profiles, ARRAY_COUNT(ids), NULL, 0, subscriptions, ARRAY_COUNT(paid), &book),
        ERR_OK);
    cr_assert_eq(movements_make(book, NOW, UINT32_MAX, &movements), ERR_OK);
    cr_assert_eq(movements.count, ARRAY_COUNT(wanted));
    for (u32 i = 0; i < ARRAY_COUNT(wanted); i++) {
        const struct movement *movement = &movements.list[i];
        struct slice id = book_id(book, movement->customer);
        cr_expect(id.bytes == strlen(wanted[i].customer) &&
                      memcmp(id.data, wanted[i].customer, id.bytes) == 0,
                  "%u: %.*s", i, (int)id.bytes, id.data);
        cr_expect(movement->category == wanted[i].category &&
                      movement->current == wanted[i].current && movement->prior == wanted[i].prior,
                  "%s", wanted[i].customer);
    }
    cr_expect(movements.sum[MOVEMENT_NEW] == 18 && movements.sum[MOVEMENT_EXPANSION] == 5);
    cr_expect(movements.sum[MOVEMENT_CONTRACTION] == 100 && movements.sum[MOVEMENT_CHURNED] == 7);
    cr_expect(movements.sum[MOVEMENT_STABLE] == 0);
    movements_free(&movements);
    book_free(book);
}

#define MANY 6000

/* The first few are those of the whole list, whatever was cut off on the way. */
Test(movement, first_few_of_many) {
    static struct profile profiles[MANY];
    static struct subscription subscriptions[MANY];
    static char ids[MANY][8];
    for (u32 i = 0; i < MANY; i++) {
        u32 mix = i * 7919 % MANY;
        snprintf(ids[i], sizeof ids[i], "c%05u", mix);
        profiles[i] = (struct profile){.id = text(ids[i])};
        subscriptions[i] = (struct subscription){.id = text(ids[i]),
                                                 .customer_id = text(ids[i]),
                                                 .active = mix % 3 != 0,
                                                 .has_override = true,
                                                 .mrr_override = mix * 31 % 200,
                                                 .created_ms = mix % 2 == 0 ? OLD : NOW};
    }
    struct book *book;
    struct movements all;
    cr_assert_eq(book_make(profiles, MANY, NULL, 0, subscriptions, MANY, &book), ERR_OK);
    cr_assert_eq(movements_make(book, NOW, UINT32_MAX, &all), ERR_OK);
    cr_assert(all.count > MANY / 2);
    static const u32 wanted[] = {1, 50, 700, MANY / 2 - 1, MANY / 2, MANY};
    for (u32 i = 0; i < ARRAY_COUNT(wanted); i++) {
        struct movements few;
        cr_assert_eq(movements_make(book, NOW, wanted[i], &few), ERR_OK);
        cr_assert_eq(few.count, MIN(wanted[i], all.count));
        for (u32 at = 0; at < few.count; at++) {
            cr_assert_eq(few.list[at].customer, all.list[at].customer, "%u of %u", at, wanted[i]);
        }
        for (u32 category = 0; category < MOVEMENT_CATEGORIES; category++) {
            cr_assert(few.sum[category] == all.sum[category]);
        }
        movements_free(&few);
    }
    movements_free(&all);
    book_free(book);
}
