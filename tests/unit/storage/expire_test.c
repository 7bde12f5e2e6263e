/* expire_test.c: events that are too old are in no scan; what holds nothing else leaves the disk;
 * ids, definitions, the chain and what was received stay. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store.h"

#define BASE ((i64)1700000000000)
#define STEP ((i64)1000) /* between two events' times */
#define GROUP EVENT_BATCH_MAX
#define SERIES_STEP 10000 /* events a new series */
#define AHEAD ((i64)1 << 40)

static char root[64];
static char why[512];
static struct event_batch batch;
static char text[EVENT_BATCH_MAX * 32];
static u32 rows[EVENT_BATCH_MAX];

static void begin_test(void) {
    snprintf(root, sizeof root, "/tmp/expire_test.XXXXXX");
    cr_assert(mkdtemp(root) != NULL);
}

static void end_test(void) {
    char command[192];
    snprintf(command, sizeof command, "rm -rf %s %s-copy", root, root);
    cr_assert(system(command) == 0);
}

static struct store *open_at(const char *dir, bool read_only) {
    struct store *store;
    struct store_options options = {
        .dir = dir, .log_map_bytes = GIB, .read_only = read_only, .skip_sync = true};
    cr_assert_eq(store_open(&options, &store, why, sizeof why), ERR_OK, "%s", why);
    return store;
}

static u64 early_one_in; /* 0: none is far ahead of its time */

static bool is_early(u64 id) {
    return early_one_in > 0 && id % early_one_in == 0;
}

/* Event n is n steps behind BASE; one in `late` is of BASE. */
static void append_aged(struct store *store, u32 count, u64 late) {
    static struct series_def defs[GROUP / SERIES_STEP + 2];
    u64 first = store_next_id(store);
    u32 def_count = 0;
    batch.account = 3;
    batch.text = text;
    batch.text_bytes = 0;
    for (u32 i = 0; i < count; i++) {
        u64 id = first + i;
        if (id == 1 || id % SERIES_STEP == 0) {
            defs[def_count++] =
                (struct series_def){.series = (u32)(id / SERIES_STEP), .account = 3};
        }
        rows[i] = i;
        batch.present[i] = TEXT_BIT(TEXT_KEY) | NUM_BIT(NUM_TIME) | NUM_BIT(NUM_COST);
        batch.series[i] = (u32)(id / SERIES_STEP);
        batch.number[NUM_TIME][i] = BASE + (late > 0 && id % late == 0 ? 0 : (i64)id * STEP);
        batch.number[NUM_TIME][i] += is_early(id) ? AHEAD : 0;
        batch.number[NUM_COST][i] = (i64)id;
        int bytes = snprintf(text + batch.text_bytes, 32, "%08llx%llu",
                             (unsigned long long)id * 0x9e3779b9, (unsigned long long)id);
        batch.ref[TEXT_KEY][i] = (struct text_ref){batch.text_bytes, (u32)bytes};
        batch.text_bytes += (u32)bytes;
    }
    struct store_part part = {&batch, rows, count};
    struct store_group group = {&part, 1, count, defs, def_count};
    cr_assert_eq(store_append(store, &group), ERR_OK);
}

static void repeat(struct store *store, enum err (*step)(struct store *store, bool *did)) {
    bool did;
    do {
        cr_assert_eq(step(store, &did), ERR_OK);
    } while (did);
}

static enum err expire(struct store *store, i64 before, const struct store_received *accounts,
                       u32 count) {
    const struct store_amendment amendment = {.kind = STORE_EXPIRE,
                                              .made_ms = 1,
                                              .before_ms = before,
                                              .accounts = accounts,
                                              .account_count = count};
    enum err err = store_amend(store, &amendment, NULL);
    if (err == ERR_OK) {
        store_show(store);
    }
    return err;
}

/* All that a scan gives is from the first kept one on, in order, whole. */
static void check_scan(struct store *store, u64 first, bool newest_first) {
    struct store_scan *scan;
    struct store_scan_options options = {.filter = store_filter_all,
                                         .columns = UINT32_MAX,
                                         .newest_first = newest_first,
                                         .want_defs = !newest_first};
    const struct event_batch *got;
    u64 end = store_next_id(store);
    u64 next = newest_first ? end - 1 : first;
    u64 seen = 0;
    u32 known = 0;
    cr_assert_eq(store_scan_open(store, &options, &scan), ERR_OK);
    do {
        const struct series_def *defs;
        u32 def_count;
        struct store_damage damage;
        cr_assert_eq(store_scan_next(scan, &got, &defs, &def_count, &damage), ERR_OK);
        for (u32 i = 0; i < def_count; i++) {
            cr_assert_eq(defs[i].series, known++);
        }
        for (u32 i = 0; i < got->count; i++) {
            cr_assert_eq(got->id[i], next);
            cr_assert_eq(got->number[NUM_COST][i], (i64)next);
            next += newest_first ? (u64)-1 : 1;
        }
        seen += got->count;
    } while (got->count > 0);
    store_scan_close(scan);
    cr_assert_eq(seen, end - first);
    cr_assert(newest_first || known == (u32)((end - 1) / SERIES_STEP) + 1, "definitions stay");
}

static u32 count_id(struct store *store, u64 id) {
    struct store_scan *scan;
    struct store_scan_options options = {.filter = store_filter_all};
    const struct event_batch *got;
    options.filter.id_from = id;
    options.filter.id_to = id + 1;
    cr_assert_eq(store_scan_open(store, &options, &scan), ERR_OK);
    cr_assert_eq(store_scan_next(scan, &got, NULL, NULL, NULL), ERR_OK);
    u32 count = got->count;
    store_scan_close(scan);
    return count;
}

static void count_damage(void *context, const struct store_damage *damage) {
    ++*(u32 *)context;
    printf("%s\n", damage->what);
}

static void check_whole(struct store *store, u64 first) {
    u32 damages = 0;
    cr_assert_eq(store_verify(store, count_damage, NULL, &damages), ERR_OK);
    cr_assert_eq(damages, 0);
    check_scan(store, first, false);
    check_scan(store, first, true);
    cr_assert_eq(count_id(store, first - 1), 0);
    cr_assert_eq(count_id(store, first), 1);
}

static u64 used_bytes(struct store *store) {
    struct store_stats stats;
    store_get_stats(store, &stats);
    return stats.log_bytes;
}

Test(expire, blocks_of_old_events_leave_the_disk) {
    begin_test();
    struct store *store = open_at(root, false);
    for (u32 i = 0; i < 100; i++) {
        append_aged(store, GROUP, 0);
    }
    append_aged(store, 100, 0);
    repeat(store, store_merge);
    struct store_stats before;
    struct store_stats after;
    store_get_stats(store, &before);
    cr_assert(before.segments >= 3);
    cr_assert_eq(store_expired(store), 0);
    struct store_received received[] = {{3, 5000, 70}, {9, 6000, 80}};
    u64 first = 270000;
    cr_assert_eq(expire(store, BASE + (i64)first * STEP, received, 2), ERR_OK);
    cr_assert_eq(store_expired(store), BASE + (i64)first * STEP);
    check_whole(store, first); /* still on the disk, and not seen */
    bool did;
    do {
        cr_assert_eq(store_drop(store, &did), ERR_OK);
        check_scan(store, first, false);
    } while (did);
    store_get_stats(store, &after);
    cr_assert(after.log_bytes < before.log_bytes * 6 / 10, "%llu of %llu",
              (unsigned long long)after.log_bytes, (unsigned long long)before.log_bytes);
    cr_assert_eq(after.events, before.events);
    check_whole(store, first);
    for (u32 i = 0; i < 60; i++) {
        append_aged(store, GROUP, 0);
    }
    repeat(store, store_merge);
    check_whole(store, first);
    store_close(store);
    store = open_at(root, false);
    check_whole(store, first);
    cr_assert_eq(store_expired(store), BASE + (i64)first * STEP);
    u64 position;
    i64 month_ms;
    u64 count;
    cr_assert(store_received(store, 9, &position, &month_ms, &count));
    cr_assert(position == before.events + 1 && month_ms == 6000 && count == 80);
    cr_assert(!store_received(store, 4, &position, &month_ms, &count));
    /* Once more: one empty block stands for all that is gone. An earlier time changes nothing. */
    first = 500000;
    cr_assert_eq(expire(store, BASE + (i64)first * STEP, NULL, 0), ERR_OK);
    cr_assert_eq(expire(store, BASE, NULL, 0), ERR_OK);
    cr_assert_eq(store_expired(store), BASE + (i64)first * STEP);
    repeat(store, store_drop);
    check_whole(store, first);
    store_get_stats(store, &before);
    cr_assert(before.blocks < 6, "%llu", (unsigned long long)before.blocks);
    store_close(store);
    store = open_at(root, true);
    check_whole(store, first);
    store_close(store);
    end_test();
}

Test(expire, what_holds_something_else_stays) {
    begin_test();
    struct store *store = open_at(root, false);
    for (u32 i = 0; i < 40; i++) {
        append_aged(store, GROUP, 0);
    }
    u64 first = store_next_id(store);
    append_aged(store, 1, 0);
    repeat(store, store_merge); /* the last event may share a segment with old ones */
    u64 used = used_bytes(store);
    cr_assert_eq(expire(store, BASE + (i64)first * STEP, NULL, 0), ERR_OK);
    repeat(store, store_drop);
    cr_assert(used_bytes(store) < used);
    check_whole(store, first);
    cr_assert_eq(expire(store, BASE + (i64)(first + 1) * STEP, NULL, 0), ERR_OK);
    repeat(store, store_drop);
    cr_assert_eq(store_next_id(store), first + 1, "ids are not given twice");
    append_aged(store, 5, 0);
    check_whole(store, first + 1);
    store_close(store);
    end_test();
}

static struct store_scan *scan_kept(struct store *store, bool newest_first, bool by_time) {
    struct store_scan *scan;
    struct store_scan_options options = {.filter = store_filter_all,
                                         .columns = UINT32_MAX,
                                         .newest_first = newest_first,
                                         .by_time = by_time};
    cr_assert_eq(store_scan_open(store, &options, &scan), ERR_OK);
    return scan;
}

/* What it gives is whole, and was early if it is from before `first_young`. */
static u32 check_kept(struct store_scan *scan, u64 first_young) {
    const struct event_batch *got;
    u32 count = 0;
    do {
        cr_assert_eq(store_scan_next(scan, &got, NULL, NULL, NULL), ERR_OK);
        for (u32 i = 0; i < got->count; i++) {
            u64 id = got->id[i];
            char key[32];
            snprintf(key, sizeof key, "%08llx%llu", (unsigned long long)id * 0x9e3779b9,
                     (unsigned long long)id);
            struct slice found = event_text_of(got, i, TEXT_KEY);
            cr_assert(is_early(id) || id >= first_young);
            cr_assert(found.bytes == strlen(key) && memcmp(found.data, key, found.bytes) == 0);
            cr_assert(got->number[NUM_COST][i] == (i64)id && got->account == 3 &&
                      got->series[i] == (u32)(id / SERIES_STEP));
        }
        count += got->count;
    } while (got->count > 0);
    store_scan_close(scan);
    return count;
}

static void check_thin(struct store *store, u64 first_young) {
    u32 damages = 0;
    u64 end = store_next_id(store);
    u32 kept = (u32)(end - first_young + (first_young - 1) / early_one_in);
    cr_assert_eq(store_verify(store, count_damage, NULL, &damages), ERR_OK);
    cr_assert_eq(damages, 0);
    for (u32 way = 0; way < 4; way++) {
        struct store_scan *scan = scan_kept(store, way % 2 == 1, way >= 2);
        cr_expect_eq(check_kept(scan, first_young), kept);
    }
    cr_expect_eq(count_id(store, 1), 0);
    cr_expect_eq(count_id(store, early_one_in), 1);
}

/* Events far ahead of their time would keep all that came with them, for years. */
Test(expire, what_most_of_a_segment_was_leaves_the_disk) {
    begin_test();
    struct store *store = open_at(root, false);
    early_one_in = 1000;
    for (u32 i = 0; i < 60; i++) {
        append_aged(store, GROUP, 0);
    }
    repeat(store, store_merge);
    u64 end = store_next_id(store);
    u64 before = used_bytes(store);
    struct store_stats stats;
    store_get_stats(store, &stats);
    u64 payload = stats.payload_bytes;
    struct store_scan *scan = scan_kept(store, false, false);
    cr_assert_eq(expire(store, BASE + (i64)(end / 3) * STEP, NULL, 0), ERR_OK);
    repeat(store, store_drop);
    check_thin(store, end / 3);
    cr_assert_eq(expire(store, BASE + (i64)(end - 10000) * STEP, NULL, 0), ERR_OK);
    repeat(store, store_drop);
    cr_expect_lt(check_kept(scan, 1), end / 3, "one that was opened before loses the rest");
    check_thin(store, end - 10000);
    store_get_stats(store, &stats);
    cr_expect_eq(stats.dropped, 0, "each segment has some that stay");
    cr_expect_lt(stats.payload_bytes, payload / 8, "%llu of %llu",
                 (unsigned long long)stats.payload_bytes, (unsigned long long)payload);
    append_aged(store, GROUP, 0);
    repeat(store, store_merge);
    repeat(store, store_drop);
    check_thin(store, end - 10000);
    store_close(store);
    store = open_at(root, false);
    repeat(store, store_drop);
    check_thin(store, end - 10000);
    cr_expect_lt(used_bytes(store), before * 2);
    cr_assert_eq(expire(store, BASE + 2 * AHEAD, NULL, 0), ERR_OK);
    repeat(store, store_drop);
    store_get_stats(store, &stats);
    cr_expect_eq(stats.dropped, store_next_id(store) - 1);
    store_close(store);
    end_test();
}

Test(expire, what_is_none_is_refused) {
    begin_test();
    struct store *store = open_at(root, false);
    append_aged(store, 10, 0);
    struct store_received wrong[] = {{3, 0, 1}, {3, 0, 1}};
    cr_assert_eq(expire(store, BASE, wrong, 2), ERR_INVALID, "twice");
    wrong[1].account = ACCOUNTS_MAX;
    cr_assert_eq(expire(store, BASE, wrong, 2), ERR_INVALID, "no account");
    cr_assert_eq(expire(store, 0, NULL, 0), ERR_INVALID, "no time");
    cr_assert_eq(store_amendments(store), 0);
    store_close(store);
    end_test();
}

/* A copy of a log with dropped blocks. */
Test(expire, copies) {
    begin_test();
    struct store *store = open_at(root, false);
    for (u32 i = 0; i < 50; i++) {
        append_aged(store, GROUP, 0);
    }
    repeat(store, store_merge);
    u64 first = 150000;
    cr_assert_eq(expire(store, BASE + (i64)first * STEP, NULL, 0), ERR_OK);
    repeat(store, store_drop);
    store_close(store);
    struct control *control;
    cr_assert_eq(control_open(root, true, &control, why, sizeof why), ERR_OK);
    control_close(control);
    char to[80];
    snprintf(to, sizeof to, "%s-copy", root);
    struct store_copy copy = {.from = root, .to = to};
    cr_assert_eq(store_backup(&copy, why, sizeof why), ERR_OK, "%s", why);
    store = open_at(to, true);
    check_whole(store, first);
    store_close(store);
    end_test();
}
