/* queue_test.c: order, bounds and wrap-around on one thread; tests/race/queue_race.c has two. */
#include "base/queue.h"

#include <criterion/criterion.h>

Test(queue, keeps_order_and_bounds) {
    static char items[8];
    struct queue *queue;
    cr_assert_eq(queue_create(4, &queue), ERR_OK);
    cr_expect_eq(queue_pop(queue), NULL);
    cr_expect_eq(queue_count(queue), 0);
    for (usize i = 0; i < 4; i++) {
        cr_expect(queue_push(queue, &items[i]));
        cr_expect_eq(queue_count(queue), i + 1);
    }
    cr_expect_not(queue_push(queue, &items[4]), "full");
    cr_expect_eq(queue_pop(queue), &items[0]);
    cr_expect(queue_push(queue, &items[4]));
    cr_expect_not(queue_push(queue, &items[5]), "full again");
    for (usize i = 1; i <= 4; i++) {
        cr_expect_eq(queue_pop(queue), &items[i]);
    }
    cr_expect_eq(queue_pop(queue), NULL);
    queue_destroy(queue);
}

Test(queue, wraps_many_times_at_every_fill) {
    static char items[16];
    for (u32 capacity = 1; capacity <= 8; capacity *= 2) {
        struct queue *queue;
        cr_assert_eq(queue_create(capacity, &queue), ERR_OK);
        usize in = 0;
        usize out = 0;
        for (u32 step = 0; step < 5000; step++) {
            u32 fill = step % (capacity + 1);
            while (queue_count(queue) < fill) {
                cr_assert(queue_push(queue, &items[in++ % ARRAY_COUNT(items)]));
            }
            while (queue_count(queue) > fill / 2) {
                cr_assert_eq(queue_pop(queue), &items[out++ % ARRAY_COUNT(items)]);
            }
        }
        cr_expect_eq(in - out, queue_count(queue));
        queue_destroy(queue);
    }
    queue_destroy(NULL);
}
