/*
 * roster_model.c: the list of all customers of an account against a plain array, while events name
 * customers, a source describes others, some are touched by hand, and the figures are saved and
 * loaded. Usage: roster_model [SEED]
 */
#include "agg/clear.h"
#include "customer/roster.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CUSTOMERS 900
#define ACCOUNT 1
#define ROUNDS 700
#define NOW ((i64)1780000000000)
#define PAGE_MAX 64

#define SOURCES 2
#define FEATURES 2
static const u32 sources[SOURCES] = {SOURCE_SDK, SOURCE_CSV};

struct known { /* what the list must say of a customer */
    char id[16];
    i64 event_ms;                      /* of its first event; 0: none */
    i64 series_ms[SOURCES * FEATURES]; /* likewise of each source and feature */
    i64 described_ms;                  /* in the book since; 0: it is not */
};

static struct known known[CUSTOMERS];
static struct agg *agg;
static struct control *control;
static struct directory *directory;
static struct rosters *rosters;
static struct event_batch batch;
static char batch_text[64 * KIB];
static u64 seed;
static i64 clock_ms = NOW;

static u64 draw(u64 bound) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (seed >> 11) % bound;
}

static struct slice text(const char *value) {
    return (struct slice){value, strlen(value)};
}

/* --- events ----------------------------------------------------------------------------------- */

static void put_text(enum event_text column, u32 row, struct slice value) {
    memcpy(batch.text + batch.text_bytes, value.data, value.bytes);
    batch.ref[column][row] = (struct text_ref){batch.text_bytes, (u32)value.bytes};
    batch.present[row] |= TEXT_BIT(column);
    batch.text_bytes += (u32)value.bytes;
}

static u32 put_event(struct known *customer, i64 created_ms) {
    u32 source = (u32)draw(SOURCES);
    u32 feature = (u32)draw(FEATURES);
    u32 row = batch.count++;
    batch.source[row] = (u8)sources[source];
    batch.present[row] = NUM_BIT(NUM_TIME) | NUM_BIT(NUM_COST) | NUM_BIT(NUM_REVENUE);
    batch.number[NUM_TIME][row] = NOW - (i64)draw(1000000);
    batch.number[NUM_COST][row] = 1;
    batch.number[NUM_REVENUE][row] = 1;
    batch.series[row] = SERIES_UNRESOLVED;
    batch.created[row] = created_ms;
    put_text(TEXT_EVENT_NAME, row, SLICE("e"));
    put_text(TEXT_FEATURE, row, feature == 0 ? SLICE("f") : SLICE("g"));
    if (customer != NULL) {
        put_text(TEXT_CUSTOMER, row, text(customer->id));
    }
    return source * FEATURES + feature;
}

static void compare_pages(void);

static void send_events(void) {
    u32 rows[EVENT_BATCH_MAX];
    struct known *named[EVENT_BATCH_MAX];
    u32 series[EVENT_BATCH_MAX];
    batch.count = batch.text_bytes = 0;
    batch.text = batch_text;
    batch.account = ACCOUNT;
    clock_ms += draw(6) == 0 ? -(i64)draw(50) : (i64)draw(3); /* clocks are set back, too */
    u32 count = 1 + (u32)draw(draw(8) == 0 ? 400 : 6);
    for (u32 i = 0; i < count; i++) {
        rows[i] = i;
        named[i] = draw(10) == 0 ? NULL : &known[draw(CUSTOMERS)];
        series[i] = put_event(named[i], clock_ms);
    }
    check(agg_resolve(agg, &batch, rows, count) == ERR_OK);
    agg_settle(agg);
    if (draw(2) == 0) {
        compare_pages(); /* customers are there, their events are not */
    }
    agg_apply(agg, &batch, rows, count);
    for (u32 i = 0; i < count; i++) {
        if (named[i] != NULL && named[i]->event_ms == 0) {
            named[i]->event_ms = clock_ms;
        }
        if (named[i] != NULL && named[i]->series_ms[series[i]] == 0) {
            named[i]->series_ms[series[i]] = clock_ms;
        }
    }
}

/* All events, or those of a source: a customer's first event is another one then, or none. */
static void clear_events(void) {
    u32 source = (u32)draw(SOURCES + 1);
    bool all = source == SOURCES;
    const struct agg_clear clear = {.account = ACCOUNT, .source = all ? DIM_NONE : sources[source]};
    struct clearing *clearing;
    check(agg_clear_plan(agg, &clear, &clearing) == ERR_OK);
    agg_change_begin(agg);
    agg_clear(clearing, NULL, 0);
    clearing_free(clearing);
    for (u32 at = 0; at < CUSTOMERS; at++) {
        struct known *customer = &known[at];
        bool touched = false;
        for (u32 i = 0; i < SOURCES * FEATURES; i++) {
            bool cleared = all || i / FEATURES == source;
            touched |= cleared && customer->series_ms[i] != 0;
            customer->series_ms[i] = cleared ? 0 : customer->series_ms[i];
        }
        if (touched) {
            customer->event_ms = 0;
        }
        for (u32 i = 0; i < SOURCES * FEATURES && touched; i++) {
            i64 series_ms = customer->series_ms[i];
            if (series_ms != 0 && (customer->event_ms == 0 || series_ms < customer->event_ms)) {
                customer->event_ms = series_ms;
            }
        }
    }
}

static void save_and_load(void) {
    static char piece[64 * KIB];
    struct agg *loaded;
    check(agg_create(&(struct agg_options){.seed = 3}, &loaded) == ERR_OK);
    check(agg_snapshot_begin(agg) == ERR_OK);
    for (;;) {
        u32 tag;
        usize bytes;
        check(agg_snapshot_copy(agg, piece, sizeof piece, &tag, &bytes) == ERR_OK);
        if (bytes == 0) {
            break;
        }
        check(agg_snapshot_load(loaded, tag, piece, bytes) == ERR_OK);
    }
    agg_snapshot_end(agg);
    check(agg_snapshot_loaded(loaded) == ERR_OK);
    agg_destroy(agg);
    agg = loaded;
    rosters_destroy(rosters);
    check(rosters_create(directory, &rosters) == ERR_OK);
}

/* --- the directory ---------------------------------------------------------------------------- */

static i64 since(const struct known *customer, i64 now_ms) {
    return customer->described_ms != 0 ? customer->described_ms
           : customer->event_ms != 0   ? customer->event_ms
                                       : now_ms;
}

static void describe(void) {
    static struct profile profiles[CUSTOMERS];
    static bool said[CUSTOMERS];
    struct directory_set set = {.source = DIRECTORY_UPLOAD, .profiles = profiles};
    i64 now_ms = clock_ms + (i64)draw(5);
    memset(said, 0, sizeof said);
    u32 count = (u32)draw(draw(3) == 0 ? 300 : 8);
    for (u32 i = 0; i < count; i++) {
        u32 at = (u32)draw(CUSTOMERS);
        if (!said[at]) {
            i64 given_ms = draw(3) == 0 ? NOW - 50 + (i64)draw(200) : 0;
            profiles[set.profile_count++] =
                (struct profile){.id = text(known[at].id), .created_ms = given_ms};
            known[at].described_ms = given_ms != 0 ? given_ms : since(&known[at], now_ms);
            said[at] = true;
        }
    }
    const struct book *book = directory_acquire(directory, ACCOUNT);
    for (u32 at = 0; at < CUSTOMERS; at++) {
        u32 index = book_find(book, text(known[at].id));
        bool by_hand =
            index != BOOK_NONE && book_profile(book, index).internal_by == INTERNAL_BY_HAND;
        if (!said[at] && !by_hand) {
            known[at].described_ms = 0;
        }
    }
    directory_release(directory, book);
    check(directory_replace(directory, agg, ACCOUNT, &set, now_ms) == ERR_OK);
}

static void touch(void) {
    struct known *customer = &known[draw(CUSTOMERS)];
    i64 now_ms = clock_ms + (i64)draw(5);
    check(directory_set_internal(directory, agg, ACCOUNT, text(customer->id), draw(2) == 0,
                                 now_ms) == ERR_OK);
    customer->described_ms = since(customer, now_ms);
}

/* --- comparing -------------------------------------------------------------------------------- */

static i64 shown_since(const struct known *customer) {
    return customer->described_ms != 0 ? customer->described_ms : customer->event_ms;
}

static void compare_row(const struct roster_page *page, u32 i, bool *seen) {
    const struct roster_row *row = &page->rows[i];
    struct slice id = row->index != BOOK_NONE ? book_id(page->book, row->index)
                                              : agg_value_text(agg, DIM_CUSTOMER, row->value);
    u32 at = 0;
    while (known[at].id[0] == 0 || strlen(known[at].id) != id.bytes ||
           memcmp(known[at].id, id.data, id.bytes) != 0) {
        check(++at < CUSTOMERS);
    }
    check(!seen[at]);
    seen[at] = true;
    check((row->index != BOOK_NONE) == (known[at].described_ms != 0));
    check(row->created_ms == shown_since(&known[at]));
    check(known[at].event_ms == 0 ||
          (row->value != DIM_NONE && agg_customer_created(agg, ACCOUNT, id) == known[at].event_ms));
}

static void compare_pages(void) {
    static bool seen[CUSTOMERS];
    struct roster_row rows[PAGE_MAX];
    struct roster_page page = {.rows = rows, .limit = 1 + (u32)draw(PAGE_MAX)};
    u32 wanted = 0;
    u64 shown = 0;
    i64 last_ms = INT64_MAX;
    memset(seen, 0, sizeof seen);
    for (u32 at = 0; at < CUSTOMERS; at++) {
        wanted += shown_since(&known[at]) != 0;
    }
    do {
        check(roster_read(rosters, agg, ACCOUNT, draw(2) == 0, &page) == ERR_OK);
        check(page.total == wanted);
        for (u32 i = 0; i < page.count; i++) {
            compare_row(&page, i, seen);
            check(rows[i].created_ms <= last_ms);
            last_ms = rows[i].created_ms;
        }
        directory_release(directory, page.book);
        shown += page.count;
        page.offset = shown;
    } while (page.count > 0);
    check(shown == wanted);
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *where) {
    (void)info;
    (void)kind;
    (void)where;
    return remove(path);
}

static void round_of(void) {
    switch (draw(8)) {
    case 0:
        describe();
        break;
    case 1:
    case 2:
        touch();
        break;
    case 3:
        if (draw(8) == 0) {
            save_and_load();
        } else if (draw(4) == 0) {
            clear_events();
        }
        break;
    default:
        send_events();
    }
    if (draw(3) > 0) {
        compare_pages();
    }
}

int main(int argc, char **argv) {
    char dir[] = "/tmp/roster-model-XXXXXX";
    char why[256];
    u64 first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    seed = first * 2654435769u + 1;
    printf("roster_model: seed %llu\n", (unsigned long long)first);
    check(mkdtemp(dir) != NULL);
    check(control_open(dir, true, &control, why, sizeof why) == ERR_OK);
    check(directory_open(control, &directory) == ERR_OK);
    check(rosters_create(directory, &rosters) == ERR_OK);
    check(agg_create(&(struct agg_options){.seed = 3}, &agg) == ERR_OK);
    agg_advance(agg, NOW);
    for (u32 i = 0; i < CUSTOMERS; i++) {
        snprintf(known[i].id, sizeof known[i].id, "c%llu", (unsigned long long)draw(10) * 1000 + i);
    }
    for (u32 round = 0; round < ROUNDS; round++) {
        round_of();
    }
    compare_pages();
    agg_destroy(agg);
    rosters_destroy(rosters);
    directory_close(directory);
    control_close(control);
    return nftw(dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS) == 0 ? 0 : 1;
}
