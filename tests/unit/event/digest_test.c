/* digest_test.c: a digest does not depend on which events stand beside, nor on the kernel. */
#include "event/digest.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define ROWS 1000
#define TEXT_BYTES (64 * KIB)

static u64 random_state = 1;

static u32 pick(u32 bound) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (u32)(random_state >> 33) % bound;
}

/* Runs of rows that say the same, and rows that do not. */
static void fill(struct event_batch *batch) {
    static const u32 lengths[] = {1, 8, 9, 15, 16, 17, 32, 64, 65, 255, 256, 257, 300, 2047};
    u32 present = 0;
    u8 flags = 0;
    for (u32 row = 0; row < ROWS; row++) {
        if (pick(20) == 0) {
            present = (pick(0x7fff) | pick(0x3ff) << 16) & (pick(0x7fff) | pick(0x3ff) << 16);
            present |= TEXT_BIT(TEXT_CUSTOMER) | NUM_BIT(NUM_TIME);
            flags = pick(4) == 0 ? EVENT_FLAG_TIME_DEFAULT : EVENT_FLAG_LINK;
        }
        batch->present[row] = present;
        batch->flags[row] = pick(50) == 0 ? (u8)(flags ^ EVENT_FLAG_TIME_DEFAULT) : flags;
        for (u32 column = 0; column < TEXT_COUNT; column++) {
            u32 bytes = pick(4) > 0 ? 1 + pick(16) : lengths[pick((u32)ARRAY_COUNT(lengths))];
            batch->ref[column][row] = (struct text_ref){pick(TEXT_BYTES - 2047), bytes};
        }
        for (u32 column = 0; column < NUM_COUNT; column++) {
            batch->number[column][row] = (i64)pick(3) * pick(1000000) * pick(1000000);
        }
    }
}

Test(digest, kernels) {
    struct event_batch *batch = calloc(1, sizeof *batch);
    batch->text = malloc(TEXT_BYTES + EVENT_TEXT_PADDING);
    for (u32 i = 0; i < TEXT_BYTES + EVENT_TEXT_PADDING; i++) {
        batch->text[i] = (char)(1 + pick(255));
    }
    struct digest_keys keys;
    digest_keys_make(7, &keys);
    fill(batch);
    u32 wanted[ROWS];
    for (u32 row = 0; row < ROWS; row++) {
        event_digest(batch, row, 1, &keys, &scan_scalar);
        wanted[row] = batch->digest[row];
    }
    const struct scan_kernel *kernels[SCAN_KERNELS_MAX];
    u32 count = scan_list(kernels);
    for (u32 i = 0; i < count * 9; i++) {
        u32 first = i / count;
        memset(batch->digest, 0, sizeof batch->digest);
        event_digest(batch, first, ROWS - 2 * first, &keys, kernels[i % count]);
        for (u32 row = 0; row < ROWS; row++) {
            bool inside = row >= first && row < ROWS - first;
            cr_assert_eq(batch->digest[row], inside ? wanted[row] : 0, "%s: row %u from %u",
                         kernels[i % count]->name, row, first);
        }
    }
    free(batch->text);
    free(batch);
}
