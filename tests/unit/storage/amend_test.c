/* amend_test.c: what readers see of a log with amendments: removed and changed events, before and
 * after merges and restarts, and what becomes of damaged records. */
#include <criterion/criterion.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/amend.h"
#include "store.h"

#define ACCOUNT 3
#define SERIES 6 /* event n is of series n % SERIES */
#define MAP_BYTES (64 * MIB)

static char dir[64];
static char why[512];
static struct event_batch batch;
static u32 rows[EVENT_BATCH_MAX];

static const u32 *series_dims(void *context, u32 series) {
    static u32 dims[SERIES][STORE_DIMS];
    (void)context;
    for (u32 dim = 0; dim < STORE_DIMS; dim++) {
        dims[series][dim] = dim == DIM_CUSTOMER ? series % 2 : dim == DIM_ACCOUNT ? ACCOUNT : 0;
    }
    return dims[series];
}

static void make_dir(void) {
    snprintf(dir, sizeof dir, "/tmp/amend_test.XXXXXX");
    cr_assert(mkdtemp(dir) != NULL);
}

static void drop_dir(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    cr_assert(system(command) == 0);
}

static enum err try_open(struct store **store, bool read_only, usize map_bytes) {
    struct store_options options = {.dir = dir,
                                    .log_map_bytes = map_bytes,
                                    .read_only = read_only,
                                    .skip_sync = true,
                                    .series_dims = series_dims};
    return store_open(&options, store, why, sizeof why);
}

static struct store *open_store(bool read_only) {
    struct store *store;
    cr_assert_eq(try_open(&store, read_only, MAP_BYTES), ERR_OK, "%s", why);
    return store;
}

/* The next `count` events, as a group; event n earns n. Lasts until the next call. */
static const struct store_group *group_of(struct store *store, u32 count) {
    static struct series_def defs[SERIES];
    static struct store_part part;
    static struct store_group group;
    u64 first = store_next_id(store);
    batch.account = ACCOUNT;
    for (u32 i = 0; i < count; i++) {
        rows[i] = i;
        batch.present[i] = NUM_BIT(NUM_TIME) | NUM_BIT(NUM_REVENUE);
        batch.series[i] = (u32)((first + i) % SERIES);
        batch.number[NUM_TIME][i] = 1700000000000 + (i64)(first + i);
        batch.number[NUM_REVENUE][i] = (i64)(first + i);
        batch.revenue_source[i] = REVENUE_NONE;
    }
    for (u32 i = 0; i < SERIES; i++) {
        defs[i] = (struct series_def){
            .series = i, .account = ACCOUNT, .text[TEXT_CUSTOMER] = SLICE("acme")};
        defs[i].text[TEXT_FEATURE] = (struct slice){&"abcdef"[i], 1};
    }
    part = (struct store_part){&batch, rows, count};
    group = (struct store_group){&part, 1, count, defs, first == 1 ? SERIES : 0};
    return &group;
}

static void append(struct store *store, u32 count) {
    cr_assert_eq(store_append(store, group_of(store, count)), ERR_OK);
}

/* Nothing of it is seen before it is shown. */
static enum err amend(struct store *store, const struct store_amendment *amendment,
                      const struct store_group *group) {
    u64 next_id = store_next_id(store);
    u64 amendments = store_amendments(store);
    enum err err = store_amend(store, amendment, group);
    cr_assert_eq(store_next_id(store), next_id);
    cr_assert_eq(store_amendments(store), amendments);
    if (err == ERR_OK) {
        store_show(store);
        cr_assert_eq(store_amendments(store), amendments + 1);
    }
    return err;
}

static enum err clear(struct store *store, const u32 *series, u32 count, u32 source,
                      const struct store_group *group) {
    struct slice name = SLICE("cost");
    const struct store_amendment amendment = {.kind = STORE_CLEAR,
                                              .account = ACCOUNT,
                                              .source = source,
                                              .names = &name,
                                              .name_count = source != DIM_NONE,
                                              .series = series,
                                              .series_count = count,
                                              .received_month_ms = 1000,
                                              .received = store_next_id(store) - 1};
    return amend(store, &amendment, group);
}

static enum err change(struct store *store, const struct store_revenue *revenues, u32 count) {
    const struct store_amendment amendment = {
        .kind = STORE_REVENUE, .account = ACCOUNT, .revenues = revenues, .revenue_count = count};
    return amend(store, &amendment, NULL);
}

/* What should be there: per event removed, and its revenue. */
struct expected {
    u64 end;
    bool removed[100000];
    i64 revenue[100000];
    u8 source[100000];
};
static struct expected expected;

static void expect_reset(void) {
    memset(&expected, 0, sizeof expected);
    expected.end = 1;
}

static void expect_to(u64 next_id) {
    cr_assert(next_id <= sizeof expected.removed);
    for (; expected.end < next_id; expected.end++) {
        expected.revenue[expected.end] = (i64)expected.end;
    }
}

static void expect_clear(u64 position, u32 series) {
    for (u64 id = 1; id < position; id++) {
        expected.removed[id] = expected.removed[id] || id % SERIES == series;
    }
}

static void check_event(const struct event_batch *got, u32 row, u32 columns) {
    u64 id = got->id[row];
    cr_assert(id < expected.end && !expected.removed[id], "event %llu", (unsigned long long)id);
    cr_assert_eq(got->revenue_source[row], expected.source[id]);
    bool wanted = (columns & NUM_BIT(NUM_REVENUE)) != 0;
    cr_assert_eq(event_has_number(got, row, NUM_REVENUE), wanted);
    cr_assert(!wanted || got->number[NUM_REVENUE][row] == expected.revenue[id]);
}

static void check_scan(struct store *store, bool newest_first, u32 customer, u32 columns) {
    struct store_scan_options options = {
        .filter = store_filter_all, .columns = columns, .newest_first = newest_first};
    struct store_scan *scan;
    const struct event_batch *got;
    u64 seen = 0;
    u64 wanted = 0;
    if (customer != DIM_NONE) {
        options.filter.dim_mask = 1u << DIM_CUSTOMER;
        options.filter.dim_value[DIM_CUSTOMER] = customer;
    }
    for (u64 id = 1; id < expected.end; id++) {
        wanted += !expected.removed[id] && (customer == DIM_NONE || id % SERIES % 2 == customer);
    }
    cr_assert_eq(store_scan_open(store, &options, &scan), ERR_OK);
    while (store_scan_next(scan, &got, NULL, NULL, NULL) == ERR_OK && got->count > 0) {
        for (u32 i = 0; i < got->count; i++) {
            check_event(got, i, columns);
        }
        seen += got->count;
    }
    store_scan_close(scan);
    cr_assert_eq(seen, wanted, "%llu of %llu", (unsigned long long)seen,
                 (unsigned long long)wanted);
}

static void check_all(struct store *store) {
    expect_to(store_next_id(store));
    check_scan(store, false, DIM_NONE, UINT32_MAX);
    check_scan(store, true, DIM_NONE, NUM_BIT(NUM_REVENUE));
    check_scan(store, true, 1, NUM_BIT(NUM_TIME));
    check_scan(store, false, 0, UINT32_MAX);
}

static void count_damage(void *context, const struct store_damage *damage) {
    cr_assert(damage->id_from <= damage->id_to && damage->what[0] != '\0');
    *(u64 *)context += 1;
}

static u64 damages(struct store *store) {
    u64 reports = 0;
    cr_assert_eq(store_verify(store, count_damage, NULL, &reports), ERR_OK);
    return reports;
}

static void merge_all(struct store *store) {
    bool did;
    do {
        cr_assert_eq(store_merge(store, &did), ERR_OK);
    } while (did);
}

Test(amend, removed_and_changed_events_are_so_for_every_reader) {
    const u32 some[] = {1, 4};
    make_dir();
    expect_reset();
    struct store *store = open_store(false);
    append(store, 4000);
    /* A reader that is under way goes on to see what there was. */
    struct store_scan_options options = {.filter = store_filter_all, .columns = UINT32_MAX};
    struct store_scan *scan;
    const struct event_batch *got;
    u64 seen = 0;
    cr_assert_eq(store_scan_open(store, &options, &scan), ERR_OK);
    append(store, 1000);
    cr_assert_eq(store_scan_next(scan, &got, NULL, NULL, NULL), ERR_OK);
    seen += got->count;
    cr_assert_eq(clear(store, some, 2, SOURCE_CSV, group_of(store, 600)), ERR_OK);
    while (store_scan_next(scan, &got, NULL, NULL, NULL) == ERR_OK && got->count > 0) {
        seen += got->count;
    }
    store_scan_close(scan);
    cr_assert_eq(seen, 5000u);
    cr_assert_eq(store_next_id(store), 5601u);
    expect_clear(5001, 1);
    expect_clear(5001, 4);
    check_all(store);

    const struct store_revenue revenues[] = {
        {2, 700, REVENUE_FEATURE_PRICING}, {3, -5, REVENUE_EXPLICIT}, {5600, 9, REVENUE_PER_UNIT}};
    cr_assert(store_event_stands(store, 3, 3, 0, 3, REVENUE_NONE));
    cr_assert_eq(change(store, revenues, 3), ERR_OK);
    for (u32 i = 0; i < 3; i++) {
        expected.revenue[revenues[i].id] = revenues[i].revenue;
        expected.source[revenues[i].id] = revenues[i].source;
    }
    const struct store_revenue again[] = {{3, 11, REVENUE_TIERED}, {8, 12, REVENUE_HYBRID}};
    cr_assert_eq(change(store, again, 2), ERR_OK);
    expected.revenue[3] = 11;
    expected.source[3] = REVENUE_TIERED;
    expected.revenue[8] = 12;
    expected.source[8] = REVENUE_HYBRID;
    check_all(store);
    cr_assert(!store_event_stands(store, 3, 3, 0, 3, REVENUE_NONE));
    cr_assert(store_event_stands(store, 3, 3, 0, 11, REVENUE_TIERED));
    cr_assert(store_event_stands(store, 0, 6, 0, 6, REVENUE_NONE));
    cr_assert(!store_event_stands(store, 4, 4, 0, 4, REVENUE_NONE), "it is gone");
    cr_assert(store_event_stands(store, 4, 5002, 0, 5002, REVENUE_NONE));

    for (u32 round = 0; round < 40; round++) {
        append(store, 300);
    }
    merge_all(store);
    check_all(store);
    store_close(store);
    store = open_store(false);
    check_all(store);
    struct store *reader = open_store(true);
    check_all(reader);
    cr_assert_eq(clear(store, (const u32[]){0}, 1, SOURCE_CSV, NULL), ERR_OK);
    expect_clear(store_next_id(store), 0);
    check_all(store);
    check_all(reader); /* it takes in what others commit */
    cr_assert_eq(damages(store), 0u);
    cr_assert_eq(store_amendments(store), 4u);
    store_close(reader);
    store_close(store);
    drop_dir();
}

Test(amend, clearing_an_account_begins_another_epoch_of_its_keys) {
    const u32 all[] = {0, 1, 2, 3, 4, 5};
    u64 position;
    i64 month_ms;
    u64 received;
    make_dir();
    expect_reset();
    struct store *store = open_store(false);
    cr_assert_eq(clear(store, NULL, 0, DIM_NONE, NULL), ERR_OK, "an account without events");
    append(store, 100);
    cr_assert_eq(clear(store, all, 6, SOURCE_CSV, NULL), ERR_OK);
    cr_assert_eq(store_key_epoch(store, ACCOUNT), 1u);
    cr_assert_eq(clear(store, all, 6, DIM_NONE, group_of(store, 50)), ERR_OK);
    append(store, 10);
    for (u32 i = 0; i < SERIES; i++) {
        expect_clear(101, i);
    }
    for (u32 again = 0; again < 2; again++) {
        cr_assert_eq(store_key_epoch(store, ACCOUNT), 2u);
        cr_assert_eq(store_key_epoch(store, ACCOUNT + 1), 0u);
        cr_assert(store_received(store, ACCOUNT, &position, &month_ms, &received));
        cr_assert(position == 101 && month_ms == 1000 && received == 100);
        cr_assert(!store_received(store, 0, &position, &month_ms, &received));
        check_all(store);
        store_close(store);
        store = open_store(false);
    }
    store_close(store);
    drop_dir();
}

Test(amend, what_is_none_is_refused) {
    make_dir();
    struct store *store = open_store(false);
    append(store, 10);
    const u32 twice[] = {2, 2};
    const struct store_revenue later = {11, 1, REVENUE_EXPLICIT};
    const struct store_revenue disordered[] = {{4, 1, REVENUE_NONE}, {3, 1, REVENUE_NONE}};
    const struct store_revenue source = {4, 1, REVENUE_SOURCES};
    cr_assert_eq(clear(store, twice, 2, SOURCE_CSV, NULL), ERR_INVALID);
    cr_assert_eq(clear(store, twice, 1, EVENT_SOURCES, NULL), ERR_INVALID);
    cr_assert_eq(change(store, &later, 1), ERR_INVALID);
    cr_assert_eq(change(store, disordered, 2), ERR_INVALID);
    cr_assert_eq(change(store, &source, 1), ERR_INVALID);
    cr_assert_eq(change(store, &source, 0), ERR_INVALID);
    cr_assert_eq(store_amendments(store), 0u);
    store_close(store);
    drop_dir();
}

static void write_snapshot(struct store *store, u64 amendments) {
    struct snapshot_writer *writer;
    cr_assert_eq(snapshot_begin(store, store_next_id(store), amendments, &writer), ERR_OK);
    cr_assert_eq(snapshot_write(writer, 7, "state", 5), ERR_OK);
    cr_assert_eq(snapshot_finish(writer), ERR_OK);
}

Test(amend, a_snapshot_from_before_is_of_no_use) {
    struct snapshot_reader *reader;
    u64 next_id;
    make_dir();
    struct store *store = open_store(false);
    append(store, 10);
    write_snapshot(store, 0);
    cr_assert_eq(snapshot_open(store, 0, &reader, &next_id), ERR_OK);
    snapshot_close(reader);
    cr_assert_eq(clear(store, (const u32[]){0, 1, 2, 3, 4, 5}, 6, DIM_NONE, NULL), ERR_OK);
    cr_assert_eq(snapshot_open(store, 0, &reader, &next_id), ERR_VERSION);
    append(store, 10);
    write_snapshot(store, 1); /* bound to an event; the one before it is gone */
    cr_assert_eq(snapshot_open(store, 0, &reader, &next_id), ERR_OK);
    cr_assert_eq(next_id, 21u);
    snapshot_close(reader);
    cr_assert_eq(snapshot_open(store, 1, &reader, &next_id), ERR_VERSION);
    store_close(store);
    drop_dir();
}

/* --- damage ----------------------------------------------------------------------------------- */

/* Flips a bit in a copy of an amendment, or deletes it (`at` SIZE_MAX). */
static void damage_copy(u64 number, usize at) {
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi table;
    char path[96];
    u8 key[8];
    for (u32 i = 0; i < 8; i++) {
        key[i] = (u8)(number >> (56 - 8 * i));
    }
    snprintf(path, sizeof path, "%s/log", dir);
    cr_assert(mdb_env_create(&env) == 0 && mdb_env_set_maxdbs(env, 8) == 0);
    cr_assert(mdb_env_set_mapsize(env, MAP_BYTES) == 0);
    cr_assert(mdb_env_open(env, path, MDB_NOSYNC, 0600) == 0);
    cr_assert(mdb_txn_begin(env, NULL, 0, &txn) == 0);
    cr_assert(mdb_dbi_open(txn, "amendments", 0, &table) == 0);
    MDB_val at_key = {sizeof key, key};
    MDB_val value;
    cr_assert(mdb_get(txn, table, &at_key, &value) == 0);
    if (at == SIZE_MAX) {
        cr_assert(mdb_del(txn, table, &at_key, NULL) == 0);
    } else {
        u8 *copy = malloc(value.mv_size);
        memcpy(copy, value.mv_data, value.mv_size);
        copy[MIN(at, value.mv_size - 1)] ^= 4;
        MDB_val changed = {value.mv_size, copy};
        cr_assert(mdb_put(txn, table, &at_key, &changed, 0) == 0);
        free(copy);
    }
    cr_assert(mdb_txn_commit(txn) == 0);
    mdb_env_close(env);
}

/* Three amendments; copies of the given one are damaged. */
static void check_damage(u64 number, usize at, bool both) {
    struct store *store;
    const u32 one = 1;
    const struct store_revenue revenue = {3, 4, REVENUE_EXPLICIT};
    make_dir();
    expect_reset();
    store = open_store(false);
    append(store, 500);
    cr_assert_eq(clear(store, &one, 1, SOURCE_CSV, NULL), ERR_OK);
    cr_assert_eq(change(store, &revenue, 1), ERR_OK);
    cr_assert_eq(clear(store, &(u32){2}, 1, SOURCE_CSV, NULL), ERR_OK);
    expect_clear(501, 1);
    expect_clear(501, 2);
    expect_to(501);
    expected.revenue[3] = 4;
    expected.source[3] = REVENUE_EXPLICIT;
    store_close(store);
    damage_copy(number, at);
    if (both) {
        damage_copy(number | (u64)1 << 63, at);
        cr_assert_eq(try_open(&store, false, MAP_BYTES), ERR_CORRUPT);
        cr_assert(strstr(why, dir) != NULL && strstr(why, "amendment") != NULL, "%s", why);
        cr_assert(strstr(why, "restore a backup") != NULL, "%s", why);
        store = open_store(true);
        cr_assert_geq(damages(store), 1u);
    } else {
        store = open_store(false);
        check_all(store);
        cr_assert_geq(damages(store), 1u);
    }
    store_close(store);
    drop_dir();
}

Test(amend, damage_is_found_and_never_taken_for_an_event_that_is_there) {
    for (u64 number = 1; number <= 3; number++) {
        check_damage(number, 8, false);
        check_damage(number, sizeof(struct amend_header) - 1, false);
        check_damage(number, SIZE_MAX - 1, false);
        check_damage(number, SIZE_MAX, false);
        check_damage(number, 60, true);
    }
    check_damage(1, SIZE_MAX, true);
    check_damage(2, SIZE_MAX, true);
}

Test(amend, a_full_map_changes_nothing) {
    struct store *store;
    make_dir();
    expect_reset();
    cr_assert_eq(try_open(&store, false, MIB), ERR_OK, "%s", why);
    enum err err = ERR_OK;
    const u32 one = 1;
    append(store, 50);
    while (err == ERR_OK) {
        expect_to(store_next_id(store));
        err = clear(store, &one, 1, SOURCE_CSV, group_of(store, 50));
        if (err == ERR_OK) {
            expect_clear(store_next_id(store) - 50, 1);
        }
    }
    cr_assert_eq(err, ERR_NO_SPACE);
    u64 amendments = store_amendments(store);
    cr_assert_gt(amendments, 0u);
    check_all(store);
    store_close(store);
    store = open_store(false);
    cr_assert_eq(store_amendments(store), amendments);
    check_all(store);
    store_close(store);
    drop_dir();
}
