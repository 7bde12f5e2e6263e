/* dedup_test.c: what the model test does not reach: hashing of texts, no memory, damaged snapshots,
 * and what a key costs in memory. */
#include "dedup/dedup.h"

#include "base/hash.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static struct dedup *dedup;
static struct event_batch *batch;
static u8 verdict[EVENT_BATCH_MAX];

static void setup(void) {
    cr_assert_eq(dedup_create(&dedup), ERR_OK);
    batch = calloc(1, sizeof *batch);
    cr_assert(batch != NULL);
}

static void teardown(void) {
    dedup_destroy(dedup);
    free(batch);
}

TestSuite(dedup, .init = setup, .fini = teardown);

/* Keys by number, without their text. */
static void fill(u64 first, u32 count) {
    batch->count = count;
    for (u32 i = 0; i < count; i++) {
        batch->present[i] = TEXT_BIT(TEXT_KEY);
        batch->key_hash[i] = (struct hash128){hash_mix(first + i), hash_mix(~(first + i))};
        batch->digest[i] = 7;
    }
}

static u32 count_of(enum dedup_verdict wanted) {
    u32 count = 0;
    for (u32 i = 0; i < batch->count; i++) {
        count += verdict[i] == wanted;
    }
    return count;
}

Test(dedup, keys_are_hashed_with_their_account) {
    char text[3 * 8 + EVENT_TEXT_PADDING] = "key-0001key-0001key-0002";
    struct hash128 first;
    batch->text = text;
    batch->count = 4;
    for (u32 i = 0; i < 3; i++) {
        batch->ref[TEXT_KEY][i] = (struct text_ref){i * 8, 8};
        batch->present[i] = TEXT_BIT(TEXT_KEY);
    }
    batch->key_hash[3] = (struct hash128){1, 2};
    batch->account = 1;
    dedup_hash_keys(batch, 0, 4, 99);
    first = batch->key_hash[0];
    cr_assert(memcmp(&first, &batch->key_hash[1], sizeof first) == 0);
    cr_assert(memcmp(&first, &batch->key_hash[2], sizeof first) != 0);
    cr_assert(batch->key_hash[3].low == 1 && batch->key_hash[3].high == 2);
    batch->account = 2;
    dedup_hash_keys(batch, 0, 2, 99);
    cr_assert(batch->key_hash[0].low != first.low && batch->key_hash[0].high != first.high);
    batch->account = 1;
    dedup_hash_keys(batch, 1, 1, 98);
    cr_assert(batch->key_hash[1].low != first.low && batch->key_hash[1].high != first.high);
    dedup_hash_keys(batch, 1, 1, 99);
    cr_assert(memcmp(&first, &batch->key_hash[1], sizeof first) == 0);
}

Test(dedup, the_first_of_a_call_wins) {
    fill(0, 4);
    batch->key_hash[2] = batch->key_hash[1] = batch->key_hash[0];
    batch->digest[2] = 8;
    cr_assert_eq(dedup_claim(dedup, batch, 0, 4, verdict), ERR_OK);
    cr_assert(verdict[0] == DEDUP_NEW && verdict[1] == DEDUP_DUPLICATE);
    cr_assert(verdict[2] == DEDUP_CONFLICT && verdict[3] == DEDUP_NEW);
    cr_assert_eq(dedup_count(dedup), 2);
    dedup_undo(dedup);
    cr_assert_eq(dedup_count(dedup), 0);
    cr_assert_eq(dedup_claim(dedup, batch, 1, 2, verdict), ERR_OK);
    cr_assert(verdict[0] == DEDUP_NEW && verdict[1] == DEDUP_CONFLICT);
}

/* Without memory a call claims nothing, what was known stays known, and it goes on later. */
Test(dedup, no_memory_claims_nothing) {
#if defined(__SANITIZE_ADDRESS__)
    cr_skip_test("sanitizers need memory of their own");
#else
    struct rlimit limit;
    struct rlimit none;
    cr_assert_eq(getrlimit(RLIMIT_DATA, &limit), 0);
    none = (struct rlimit){4096, limit.rlim_max}; /* 0 would mean no limit */
    fill(0, EVENT_BATCH_MAX);
    cr_assert_eq(dedup_claim(dedup, batch, 0, EVENT_BATCH_MAX, verdict), ERR_OK);
    dedup_settle(dedup);
    cr_assert_eq(setrlimit(RLIMIT_DATA, &none), 0);
    enum err err = ERR_OK;
    u64 known = EVENT_BATCH_MAX;
    for (u64 first = EVENT_BATCH_MAX; err == ERR_OK; first = known) {
        fill(first, EVENT_BATCH_MAX);
        err = dedup_claim(dedup, batch, 0, EVENT_BATCH_MAX, verdict);
        known += err == ERR_OK ? EVENT_BATCH_MAX : 0;
        dedup_settle(dedup);
        cr_assert_lt(known, 1 << 20);
    }
    cr_assert_eq(setrlimit(RLIMIT_DATA, &limit), 0);
    cr_assert_eq(err, ERR_NO_MEMORY);
    cr_assert_eq(dedup_count(dedup), known);
    for (u64 first = 0; first < known; first += EVENT_BATCH_MAX) {
        fill(first, EVENT_BATCH_MAX);
        cr_assert_eq(dedup_claim(dedup, batch, 0, EVENT_BATCH_MAX, verdict), ERR_OK);
        cr_assert_eq(count_of(DEDUP_DUPLICATE), EVENT_BATCH_MAX);
    }
    fill(known, EVENT_BATCH_MAX);
    cr_assert_eq(dedup_claim(dedup, batch, 0, EVENT_BATCH_MAX, verdict), ERR_OK);
    cr_assert_eq(count_of(DEDUP_NEW), EVENT_BATCH_MAX);
#endif
}

/* More claims than one commit has, all taken back. */
Test(dedup, many_unsettled_claims) {
    const u64 keys = (u64)COMMIT_GROUP_EVENTS_MAX * 3;
    for (u32 round = 0; round < 2; round++) {
        for (u64 first = 0; first < keys; first += EVENT_BATCH_MAX) {
            fill(first, EVENT_BATCH_MAX);
            cr_assert_eq(dedup_claim(dedup, batch, 0, EVENT_BATCH_MAX, verdict), ERR_OK);
            cr_assert_eq(count_of(DEDUP_NEW), EVENT_BATCH_MAX);
        }
        cr_assert_eq(dedup_count(dedup), keys);
        dedup_undo(dedup);
        cr_assert_eq(dedup_count(dedup), 0);
    }
}

/* Two groups are open: the first is settled while the second goes on, or both are taken back. */
Test(dedup, groups_end_up_to_their_marks) {
    for (u32 round = 0; round < 2; round++) {
        u64 known = dedup_count(dedup);
        u64 begin = dedup_mark(dedup);
        fill(100 * round, 40);
        cr_assert_eq(dedup_claim(dedup, batch, 0, 40, verdict), ERR_OK);
        u64 middle = dedup_mark(dedup);
        fill(100 * round + 30, 40);
        cr_assert_eq(dedup_claim(dedup, batch, 0, 40, verdict), ERR_OK);
        cr_expect_eq(count_of(DEDUP_DUPLICATE), 10);
        cr_expect_eq(middle - begin, 40);
        cr_expect_eq(dedup_mark(dedup) - middle, 30);
        if (round == 0) {
            dedup_undo_to(dedup, begin);
            cr_expect_eq(dedup_mark(dedup), begin);
            cr_expect_eq(dedup_count(dedup), known);
            cr_assert_eq(dedup_claim(dedup, batch, 0, 40, verdict), ERR_OK);
            cr_expect_eq(count_of(DEDUP_NEW), 40, "no verdict holds against what was taken back");
            dedup_settle(dedup);
        } else {
            dedup_settle_to(dedup, middle);
            cr_expect_eq(dedup_mark(dedup), middle + 30, "settling moves no mark");
            dedup_undo_to(dedup, middle);
            cr_expect_eq(dedup_count(dedup), known + 40);
            cr_assert_eq(dedup_claim(dedup, batch, 0, 40, verdict), ERR_OK);
            cr_expect_eq(count_of(DEDUP_DUPLICATE), 10);
            cr_expect_eq(count_of(DEDUP_NEW), 30);
            dedup_settle(dedup);
        }
    }
}

/* Settling one group must not move the other's claims, made during a snapshot, where taking them
 * back does not find them. */
Test(dedup, claims_of_a_snapshots_time_can_be_taken_back_after_it) {
    fill(0, 1000);
    cr_assert_eq(dedup_snapshot_begin(dedup), ERR_OK);
    cr_assert_eq(dedup_claim(dedup, batch, 0, 1000, verdict), ERR_OK);
    u64 middle = dedup_mark(dedup);
    fill(1000, 1000);
    cr_assert_eq(dedup_claim(dedup, batch, 0, 1000, verdict), ERR_OK);
    dedup_snapshot_end(dedup);
    for (u32 i = 0; i < 10; i++) { /* all of it would be moved */
        dedup_settle_to(dedup, middle);
    }
    dedup_undo_to(dedup, middle);
    cr_expect_eq(dedup_count(dedup), 1000);
    cr_assert_eq(dedup_claim(dedup, batch, 0, 1000, verdict), ERR_OK);
    cr_expect_eq(count_of(DEDUP_NEW), 1000);
    for (u32 i = 0; i < 20; i++) {
        dedup_settle(dedup);
    }
    cr_expect_eq(dedup_snapshot_begin(dedup), ERR_OK, "everything could be moved");
    dedup_snapshot_end(dedup);
}

/* Also such as came during a snapshot and are in both sets, half moved. */
Test(dedup, forgotten_keys_are_new) {
    for (u64 first = 0; first < 40000; first += 4000) {
        fill(first, 4000);
        cr_assert_eq(dedup_claim(dedup, batch, 0, 4000, verdict), ERR_OK);
        dedup_settle(dedup);
        if (first == 8000) {
            cr_assert_eq(dedup_snapshot_begin(dedup), ERR_OK);
        } else if (first == 32000) {
            dedup_snapshot_end(dedup);
        }
    }
    for (u64 first = 0; first < 40000; first += 4000) {
        fill(first, 4000);
        enum err err;
        do {
            err = dedup_forget(dedup, batch, 100, 2000);
        } while (err == ERR_BUSY);
        cr_assert_eq(err, ERR_OK);
        cr_assert_eq(dedup_forget(dedup, batch, 100, 1000), ERR_OK, "not known any more");
    }
    cr_expect_eq(dedup_count(dedup), 20000);
    for (u64 first = 0; first < 40000; first += 4000) {
        fill(first, 4000);
        cr_assert_eq(dedup_claim(dedup, batch, 0, 4000, verdict), ERR_OK);
        cr_expect(count_of(DEDUP_NEW) == 2000 && verdict[100] == DEDUP_NEW &&
                  verdict[2099] == DEDUP_NEW && verdict[99] == DEDUP_DUPLICATE);
        dedup_settle(dedup);
    }
    cr_expect_eq(dedup_count(dedup), 40000);
}

Test(dedup, damaged_pieces_are_refused) {
    u64 entry[4] = {5, 5, 5, 5};
    cr_assert_eq(dedup_restore(dedup, entry, 16), ERR_OK);
    cr_assert_eq(dedup_restore(dedup, entry, 16), ERR_CORRUPT);
    cr_assert_eq(dedup_restore(dedup, entry, 15), ERR_CORRUPT);
    entry[0] = 0;
    entry[1] = 1000;
    cr_assert_eq(dedup_restore(dedup, entry, 16), ERR_CORRUPT);
    cr_assert_eq(dedup_count(dedup), 1);
}

Test(dedup, memory_per_key) {
    const u64 keys = 1 << 20;
    double most = 0;
    for (u64 first = 0; first < 2 * keys; first += EVENT_BATCH_MAX) {
        fill(first, EVENT_BATCH_MAX);
        cr_assert_eq(dedup_claim(dedup, batch, 0, EVENT_BATCH_MAX, verdict), ERR_OK);
        dedup_settle(dedup);
        double bytes = (double)dedup_memory_bytes(dedup) / (double)dedup_count(dedup);
        most = first >= keys && bytes > most ? bytes : most;
    }
    cr_assert(most < 32, "%.1f bytes a key", most);
}

/* What came in during a snapshot moves back in bounded parts; meanwhile every key is known. */
Test(dedup, the_next_snapshot_waits_for_the_keys_of_the_last) {
    const u32 batches = 20;
    cr_assert_eq(dedup_snapshot_begin(dedup), ERR_OK);
    for (u32 i = 0; i < batches; i++) {
        fill((u64)i * EVENT_BATCH_MAX, EVENT_BATCH_MAX);
        cr_assert_eq(dedup_claim(dedup, batch, 0, batch->count, verdict), ERR_OK);
        dedup_settle(dedup);
    }
    dedup_snapshot_end(dedup);
    u32 waits = 0;
    while (dedup_snapshot_begin(dedup) == ERR_BUSY) {
        fill((u64)(waits % batches) * EVENT_BATCH_MAX, EVENT_BATCH_MAX);
        cr_assert_eq(dedup_claim(dedup, batch, 0, batch->count, verdict), ERR_OK);
        cr_assert_eq(count_of(DEDUP_DUPLICATE), EVENT_BATCH_MAX);
        waits++;
    }
    cr_expect_geq(waits, batches * EVENT_BATCH_MAX / 16384, "%u waits", waits);
    cr_expect_eq(dedup_count(dedup), batches * EVENT_BATCH_MAX);
    static struct { u64 words[2]; } piece[4096];
    u64 copied = 0;
    usize bytes;
    while ((bytes = dedup_snapshot_copy(dedup, piece, sizeof piece)) > 0) {
        for (usize i = 0; i < bytes / sizeof piece[0]; i++) {
            copied += piece[i].words[0] != 0;
        }
    }
    dedup_snapshot_end(dedup);
    cr_expect_eq(copied, batches * EVENT_BATCH_MAX);
}
