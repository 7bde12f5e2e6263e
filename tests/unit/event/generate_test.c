/* generate_test.c: made-up events are the same whenever they are asked for, and are what they say.
 */
#include "tools/client/generate.h"

#include <criterion/criterion.h>
#include <string.h>

#include "json/reader.h"

Test(generate, repeats_itself) {
    struct generator generator = generator_default(3, 1777600000000);
    generator.duplicates_per_mille = 100;
    char body[8 * GENERATED_JSON_MAX + 16];
    u32 duplicates = 0;
    usize longest = 0;
    for (u64 index = 0; index < 4000; index += 4) {
        usize bytes = generator_body(&generator, index, 4, body);
        struct json_reader reader = json_reader(body, bytes);
        cr_assert(json_read_skip(&reader) && json_read_finish(&reader), "%s", reader.error.text);
        usize at = strlen("{\"events\":[");
        for (u64 i = index; i < index + 4; i++) {
            char one[GENERATED_JSON_MAX];
            usize one_bytes = generator_json(&generator, i, one);
            longest = MAX(longest, one_bytes);
            cr_assert(at + one_bytes < bytes && memcmp(body + at, one, one_bytes) == 0);
            at += one_bytes + 1;

            struct generated_event event;
            struct generated_event origin;
            generator_event(&generator, i, &event);
            generator_event(&generator, event.origin, &origin);
            cr_assert(event.origin <= i && strcmp(event.key, origin.key) == 0);
            cr_assert(event.time_ms >= generator.time_start_ms &&
                      event.time_ms < generator.time_start_ms + generator.time_span_ms);
            duplicates += event.origin != i;
        }
    }
    cr_assert(duplicates > 250 && duplicates < 550, "%u", duplicates);
    cr_assert_lt(longest, GENERATED_JSON_MAX);
}
