/* watch_test.c: who hangs, by looks alone. */
#include "watch.h"

#include <criterion/criterion.h>

#include "base/log.h"

/* The last look's answer. */
static bool look(struct watch *watch, u32 times) {
    bool good = true;
    for (u32 i = 0; i < times; i++) {
        good = watch_look(watch);
    }
    return good;
}

Test(watch, looks) {
    struct watch watch = {.count = 0};
    struct pulse front = {0};
    struct pulse reader = {0};
    struct pipeline_pulses pulses = {0};
    log_set_level(LOG_ERROR + 1);
    watch_add(&watch, WATCH_FRONT, 0, &front);
    watch_add_pipeline(&watch, &pulses);
    cr_assert_eq(watch.count, 4 + READER_THREADS);
    cr_assert(look(&watch, 5000), "whoever rests may rest for ever");
    pulse_work(&front);
    cr_assert(look(&watch, 10));
    cr_assert(!look(&watch, 1), "ten looks at the same work after the first");
    cr_assert_eq(watch_hung(&watch), 1);
    pulse_work(&front);
    cr_assert(look(&watch, 10), "it goes on with other work");
    pulse_rest(&front);
    cr_assert(look(&watch, 100));
    /* The disk may take minutes, and hours are too much. */
    pulse_work(&pulses.disk);
    pulse_work(&pulses.reader[1]);
    for (u32 i = 0; i < 300; i++) {
        pulse_work(&front); /* woken, and there */
        cr_assert(look(&watch, 1), "%u", i);
    }
    pulse_rest(&front);
    cr_assert(!look(&watch, 2) && watch_hung(&watch) == 1);
    cr_assert(!look(&watch, 1000) && watch_hung(&watch) == 2);
    pulse_rest(&pulses.disk);
    cr_assert(!look(&watch, 1) && watch_hung(&watch) == 1);
    pulse_rest(&pulses.reader[1]);
    cr_assert(look(&watch, 1) && watch_hung(&watch) == 0);
    /* Short work between looks is no long one. */
    for (u32 i = 0; i < 100; i++) {
        pulse_work(&reader);
        pulse_rest(&reader);
        pulse_work(&front);
        cr_assert(look(&watch, 1));
        pulse_rest(&front);
    }
    cr_assert(pulse_beats(&front) % 2 == 0 && pulse_beats(&reader) == 200);
}
