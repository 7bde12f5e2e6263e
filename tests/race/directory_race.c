/*
 * directory_race.c: books are read and pages of customers listed by several threads while a source
 * replaces all it said, customers are touched by hand, and events name new ones, all under
 * ThreadSanitizer. What one source says at once is seen at once.
 */
#include "customer/roster.h"

#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 60
#define CUSTOMERS 40
#define TOUCHED 200
#define NOW ((i64)1780000000000)

struct shared {
    struct agg *agg;
    struct directory *directory;
    struct rosters *rosters;
    _Atomic bool stop;
    _Atomic u64 read;
};

static struct slice text(const char *value) {
    return (struct slice){value, strlen(value)};
}

/* Every customer is called by the number of the round, and pays as much. */
static void *read_books(void *context) {
    struct shared *shared = context;
    while (!atomic_load(&shared->stop)) {
        const struct book *book = directory_acquire(shared->directory, 1);
        struct slice first = book_name(book, SLICE("c0"));
        for (u32 i = 1; i < CUSTOMERS; i++) {
            char id[16];
            snprintf(id, sizeof id, "c%u", i);
            struct slice name = book_name(book, text(id));
            bool none = first.bytes == 2; /* the id itself */
            check(none ||
                  (name.bytes == first.bytes && memcmp(name.data, first.data, name.bytes) == 0));
            check(book_mrr(book, text(id)) * CUSTOMERS == book->mrr);
        }
        for (u32 i = 0; i < book_count(book); i++) {
            struct profile profile = book_profile(book, i);
            check(profile.id.bytes > 0 && book_find(book, profile.id) == i);
            check(profile.stripe.bytes == 0 || book_find_stripe(book, profile.stripe) == i);
        }
        directory_release(shared->directory, book);
        atomic_fetch_add(&shared->read, 1);
    }
    return NULL;
}

static void *read_pages(void *context) {
    struct shared *shared = context;
    struct roster_row rows[100];
    while (!atomic_load(&shared->stop)) {
        struct roster_page page = {.rows = rows, .limit = 100};
        bool at_once = atomic_load(&shared->read) % 2 == 0;
        enum err err = roster_read(shared->rosters, shared->agg, 1, at_once, &page);
        check(err == ERR_OK || (err == ERR_BUSY && at_once));
        if (err == ERR_OK) {
            for (u32 i = 1; i < page.count; i++) {
                check(rows[i].created_ms <= rows[i - 1].created_ms);
            }
            directory_release(shared->directory, page.book);
            atomic_fetch_add(&shared->read, 1);
        }
    }
    return NULL;
}

static void *touch(void *context) {
    struct shared *shared = context;
    for (u32 i = 0; i < TOUCHED; i++) {
        char id[16];
        char stripe[16];
        snprintf(id, sizeof id, "t%u", i / 2);
        snprintf(stripe, sizeof stripe, "cus_%u", i);
        enum err err = directory_set_internal(shared->directory, shared->agg, 1, text(id),
                                              i % 3 == 0, NOW + i);
        check(err == ERR_OK);
        err = directory_link(shared->directory, shared->agg, 1, text(id), text(stripe), NOW + i);
        check(err == (i % 2 == 0 ? ERR_OK : ERR_EXISTS));
    }
    return NULL;
}

static void replace(struct shared *shared, u32 round) {
    static struct profile profiles[CUSTOMERS];
    static struct subscription subscriptions[CUSTOMERS];
    char ids[CUSTOMERS][16];
    char name[16];
    snprintf(name, sizeof name, "round %u", round);
    for (u32 i = 0; i < CUSTOMERS; i++) {
        snprintf(ids[i], sizeof ids[i], "c%u", i);
        profiles[i] = (struct profile){.id = text(ids[i]), .name = text(name)};
        subscriptions[i] = (struct subscription){.id = text(ids[i]),
                                                 .customer_id = text(ids[i]),
                                                 .active = true,
                                                 .has_override = true,
                                                 .mrr_override = round};
    }
    const struct directory_set set = {.source = DIRECTORY_UPLOAD,
                                      .profiles = profiles,
                                      .profile_count = CUSTOMERS,
                                      .subscriptions = subscriptions,
                                      .subscription_count = CUSTOMERS};
    check(directory_replace(shared->directory, shared->agg, 1, &set, NOW + round) == ERR_OK);
}

/* Each round's event is of a new customer. */
static void send_event(struct agg *agg, u32 round) {
    static struct event_batch batch;
    static char memory[256];
    const u32 row = 0;
    char id[16];
    u32 bytes = (u32)snprintf(id, sizeof id, "e%u", round);
    batch.text = memory;
    batch.account = 1;
    batch.count = 1;
    memcpy(memory, id, bytes);
    batch.ref[TEXT_CUSTOMER][0] = batch.ref[TEXT_EVENT_NAME][0] = (struct text_ref){0, bytes};
    batch.present[0] = NUM_BIT(NUM_TIME) | NUM_BIT(NUM_COST) | NUM_BIT(NUM_REVENUE) |
                       TEXT_BIT(TEXT_CUSTOMER) | TEXT_BIT(TEXT_EVENT_NAME);
    batch.number[NUM_TIME][0] = NOW;
    batch.created[0] = NOW + round;
    batch.series[0] = SERIES_UNRESOLVED;
    check(agg_resolve(agg, &batch, &row, 1) == ERR_OK);
    agg_settle(agg);
    agg_apply(agg, &batch, &row, 1);
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *where) {
    (void)info;
    (void)kind;
    (void)where;
    return remove(path);
}

int main(void) {
    char dir[] = "/tmp/directory-race-XXXXXX";
    char why[256];
    struct control *control;
    static struct shared shared;
    pthread_t thread[4];
    check(mkdtemp(dir) != NULL);
    check(control_open(dir, true, &control, why, sizeof why) == ERR_OK);
    check(directory_open(control, &shared.directory) == ERR_OK);
    check(rosters_create(shared.directory, &shared.rosters) == ERR_OK);
    check(agg_create(&(struct agg_options){.seed = 3}, &shared.agg) == ERR_OK);
    agg_advance(shared.agg, NOW);
    check(pthread_create(&thread[0], NULL, read_books, &shared) == 0);
    check(pthread_create(&thread[1], NULL, read_pages, &shared) == 0);
    check(pthread_create(&thread[2], NULL, read_pages, &shared) == 0);
    check(pthread_create(&thread[3], NULL, touch, &shared) == 0);
    for (u32 round = 1; round <= ROUNDS; round++) {
        replace(&shared, round);
        send_event(shared.agg, round);
    }
    check(pthread_join(thread[3], NULL) == 0);
    atomic_store(&shared.stop, true);
    for (u32 i = 0; i < 3; i++) {
        check(pthread_join(thread[i], NULL) == 0);
    }
    struct roster_page page = {.limit = 0};
    check(roster_read(shared.rosters, shared.agg, 1, false, &page) == ERR_OK);
    check(page.total == CUSTOMERS + TOUCHED / 2 + ROUNDS);
    directory_release(shared.directory, page.book);
    printf("directory_race: %llu reads\n", (unsigned long long)atomic_load(&shared.read));
    agg_destroy(shared.agg);
    rosters_destroy(shared.rosters);
    directory_close(shared.directory);
    control_close(control);
    return nftw(dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS) == 0 ? 0 : 1;
}
