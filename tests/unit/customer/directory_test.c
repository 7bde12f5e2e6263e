/* directory_test.c: what sources say and what is set by hand, against plain arrays. */
#include "customer/directory.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ACCOUNTS 2
#define NAMES 7
#define NONE 255

static char dir[64];
static struct control *control;
static struct directory *directory;

static void open_directory(void) {
    char why[200] = "";
    cr_assert_eq(control_open(dir, true, &control, why, sizeof why), ERR_OK, "%s", why);
    cr_assert_eq(directory_open(control, &directory), ERR_OK);
}

static void close_directory(void) {
    directory_close(directory);
    control_close(control);
}

static void setup(void) {
    snprintf(dir, sizeof dir, "/tmp/directory-test-XXXXXX");
    cr_assert(mkdtemp(dir) != NULL);
    open_directory();
}

static void teardown(void) {
    char command[128];
    close_directory();
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    cr_assert_eq(system(command), 0);
}

TestSuite(directory, .init = setup, .fini = teardown);

static struct slice text(const char *value) {
    return (struct slice){value, strlen(value)};
}

static bool same(struct slice a, const char *b) {
    return a.bytes == strlen(b) && (a.bytes == 0 || memcmp(a.data, b, a.bytes) == 0);
}

static u32 random_state;
static u32 draw(u32 below) {
    random_state = random_state * 1664525 + 1013904223;
    return (random_state >> 8) % below;
}

/* --- the oracle ------------------------------------------------------------------------------- */

static const char *const customer[NAMES] = {"a", "a/b", "_internal_x", "\xc3\xa9", "b", "aa", "z"};
static const char *const plan[NAMES] = {"p0", "p1", "p2", "p3", "p4", "p5", "p6"};
static const char *const link_id[NAMES] = {"cus_0", "cus_1", "cus_2", "cus_3",
                                           "cus_4", "cus_5", "cus_6"};

struct wanted_customer {
    bool there;
    enum directory_source source;
    char name[16];
    bool internal;
    enum internal_by by;
    u32 link; /* NONE: none */
    i64 created_ms;
    i64 updated_ms;
};
struct wanted_subscription { /* number n of a source is of any customer */
    bool there;
    u32 customer;
    u32 plan;
    bool active;
    i64 override; /* -1: none */
    i64 created_ms;
};
struct wanted {
    struct wanted_customer customer[NAMES];
    i64 price[DIRECTORY_SOURCES][NAMES]; /* 0: no such plan */
    u32 months[DIRECTORY_SOURCES][NAMES];
    struct wanted_subscription subscription[DIRECTORY_SOURCES][NAMES];
};
static struct wanted wanted[ACCOUNTS + 1];

static i64 worth(const struct wanted *all, enum directory_source source,
                 const struct wanted_subscription *one) {
    if (one->override >= 0) {
        return one->override;
    }
    i64 price = one->plan == NONE ? 0 : all->price[source][one->plan];
    if (price == 0) {
        return 0;
    }
    i64 cents = price / (PICO_PER_USD / 100); /* prices of this test are whole cents */
    i64 months = all->months[source][one->plan];
    return (2 * cents + months) / (2 * months) * (PICO_PER_USD / 100);
}

static void check_customers(const struct book *book, const struct wanted *all) {
    u32 count = 0;
    i128 total = 0;
    for (u32 i = 0; i < NAMES; i++) {
        const struct wanted_customer *one = &all->customer[i];
        u32 index = book_find(book, text(customer[i]));
        i128 mrr = 0;
        cr_assert_eq(index != BOOK_NONE, one->there, "%s", customer[i]);
        for (u32 source = 0; source < DIRECTORY_SOURCES; source++) {
            for (u32 k = 0; k < NAMES; k++) {
                const struct wanted_subscription *subscription = &all->subscription[source][k];
                mrr += subscription->there && subscription->active && subscription->customer == i
                           ? worth(all, source, subscription)
                           : 0;
            }
        }
        cr_assert(book_mrr(book, text(customer[i])) == mrr, "%s", customer[i]);
        total += mrr;
        if (!one->there) {
            cr_assert(same(book_name(book, text(customer[i])), customer[i]));
            continue;
        }
        count++;
        struct profile profile = book_profile(book, index);
        cr_assert(same(profile.id, customer[i]) && same(profile.name, one->name), "%s",
                  customer[i]);
        cr_assert(profile.source == one->source && profile.internal == one->internal &&
                      profile.internal_by == one->by,
                  "%s", customer[i]);
        cr_assert(same(profile.stripe, one->link == NONE ? "" : link_id[one->link]));
        cr_assert(profile.created_ms == one->created_ms && profile.updated_ms == one->updated_ms,
                  "%s %lld %lld", customer[i], (long long)profile.created_ms,
                  (long long)one->created_ms);
    }
    cr_assert_eq(book_count(book), count);
    cr_assert(book->mrr == total);
}

static void check_lists(const struct book *book, const struct wanted *all) {
    u32 plans = 0;
    u32 subscriptions = 0;
    u32 active = 0;
    for (u32 source = 0; source < DIRECTORY_SOURCES; source++) {
        for (u32 i = 0; i < NAMES; i++) {
            plans += all->price[source][i] != 0;
            subscriptions += all->subscription[source][i].there;
            active += all->subscription[source][i].there && all->subscription[source][i].active;
        }
    }
    cr_assert_eq(book->product_count, plans);
    cr_assert_eq(book->subscription_count, subscriptions);
    cr_assert_eq(book->active_count, active);
    for (u32 i = 1; i < plans; i++) {
        cr_assert_leq(book->products[i - 1].price, book->products[i].price);
    }
    for (u32 i = 0; i < subscriptions; i++) {
        const struct subscription *one = &book->subscriptions[i];
        u32 number = (u32)(one->id.data[1] - '0');
        const struct wanted_subscription *known = &all->subscription[one->source][number];
        cr_assert(i == 0 || book->subscriptions[i - 1].created_ms >= one->created_ms);
        cr_assert(known->there && same(one->customer_id, customer[known->customer]) &&
                  known->active == one->active && known->created_ms == one->created_ms);
        cr_assert(same(book_id(book, one->customer), customer[known->customer]));
        bool has_plan = known->plan != NONE && all->price[one->source][known->plan] != 0;
        cr_assert_eq(one->product != BOOK_NONE, has_plan);
        cr_assert(!has_plan || (same(book->products[one->product].id, plan[known->plan]) &&
                                book->products[one->product].source == one->source));
    }
    for (u32 i = 0; i < book_count(book); i++) {
        u32 at = book_at(book, i)->first_subscription;
        for (u32 next; at != BOOK_NONE; at = next) {
            next = book->subscriptions[at].next;
            cr_assert_eq(book->subscriptions[at].customer, i);
            cr_assert(next == BOOK_NONE || next > at);
            subscriptions--;
        }
    }
    cr_assert_eq(subscriptions, 0, "each is of one customer");
}

static void check_all(void) {
    for (u32 account = 1; account <= ACCOUNTS; account++) {
        const struct book *book = directory_acquire(directory, account);
        check_customers(book, &wanted[account]);
        check_lists(book, &wanted[account]);
        directory_release(directory, book);
    }
}

/* --- one source says all ---------------------------------------------------------------------- */

struct said {
    struct profile profiles[NAMES];
    struct product products[NAMES];
    struct subscription subscriptions[NAMES];
    char names[NAMES][16];
    char ids[NAMES][4];
    struct directory_set set;
};

static void say_customer(struct said *said, struct wanted *all, u32 i, i64 now_ms) {
    struct wanted_customer *one = &all->customer[i];
    enum directory_source source = said->set.source;
    struct profile *profile = &said->profiles[said->set.profile_count++];
    bool by_source = draw(3) == 0;
    bool internal = by_source ? draw(2) == 0 : i == 2;
    i64 created_ms = draw(2) == 0 ? 0 : 1000 + draw(1000);
    u32 link = draw(4) == 0 ? draw(NAMES) : NONE;
    snprintf(said->names[i], sizeof said->names[i], "n%u", draw(1000));
    *profile = (struct profile){.id = text(customer[i]),
                                .name = text(said->names[i]),
                                .internal_by = by_source ? INTERNAL_BY_SOURCE : INTERNAL_BY_ID,
                                .internal = internal,
                                .created_ms = created_ms};
    if (link != NONE) {
        profile->stripe = text(link_id[link]);
    }
    if (by_source || !one->there || one->by != INTERNAL_BY_HAND) {
        one->internal = internal;
        one->by = profile->internal_by;
    }
    one->link = link != NONE ? link : one->there ? one->link : NONE;
    one->created_ms = created_ms != 0 ? created_ms : one->there ? one->created_ms : now_ms;
    one->updated_ms = now_ms;
    one->source = source;
    one->there = true;
    snprintf(one->name, sizeof one->name, "%s", said->names[i]);
}

/* What becomes of a customer that the source does not speak of any more. */
static void unsay_customer(const struct said *said, struct wanted *all, u32 i, bool subscribed,
                           i64 now_ms) {
    struct wanted_customer *one = &all->customer[i];
    enum directory_source source = said->set.source;
    bool mine = one->there && one->source == source && !said->set.keeps_customers;
    bool others = false;
    for (u32 other = 0; other < DIRECTORY_SOURCES; other++) {
        for (u32 k = 0; k < NAMES; k++) {
            const struct wanted_subscription *subscription = &all->subscription[other][k];
            others |= other != source && subscription->there && subscription->customer == i;
        }
    }
    if (subscribed && (!one->there || mine)) {
        bool by_hand = one->there && one->by == INTERNAL_BY_HAND;
        *one = (struct wanted_customer){.there = true,
                                        .source = source,
                                        .internal = by_hand ? one->internal : i == 2,
                                        .by = by_hand ? INTERNAL_BY_HAND : INTERNAL_BY_ID,
                                        .link = one->there ? one->link : NONE,
                                        .created_ms = one->there ? one->created_ms : now_ms,
                                        .updated_ms = now_ms};
    } else if (mine && (one->by == INTERNAL_BY_HAND || one->link != NONE || others)) {
        one->name[0] = 0;
        one->source = DIRECTORY_NONE;
        one->updated_ms = now_ms;
        if (one->by == INTERNAL_BY_SOURCE) {
            one->by = INTERNAL_BY_ID;
            one->internal = i == 2;
        }
    } else if (mine) {
        one->there = false;
    }
}

static void say_plans(struct said *said, struct wanted *all) {
    enum directory_source source = said->set.source;
    for (u32 i = 0; i < NAMES; i++) {
        all->price[source][i] = draw(2) == 0 ? 0 : (i64)(1 + draw(9999)) * (PICO_PER_USD / 100);
        all->months[source][i] = 1 + draw(12);
        if (all->price[source][i] != 0) {
            said->products[said->set.product_count++] =
                (struct product){.id = text(plan[i]),
                                 .price = all->price[source][i],
                                 .interval_months = all->months[source][i]};
        }
    }
}

static void say_subscriptions(struct said *said, struct wanted *all, bool *subscribed, i64 now_ms) {
    for (u32 i = 0; i < NAMES; i++) {
        struct wanted_subscription *one = &all->subscription[said->set.source][i];
        if (draw(2) == 0) {
            one->there = false;
            continue;
        }
        i64 created_ms = draw(2) == 0 ? 0 : 5000 + draw(1000);
        u32 of = draw(NAMES);
        *one =
            (struct wanted_subscription){.there = true,
                                         .customer = of,
                                         .plan = draw(4) == 0 ? NONE : draw(NAMES),
                                         .active = draw(3) > 0,
                                         .override = draw(3) > 0 ? -1 : (i64)draw(1000) * 1234567,
                                         .created_ms = created_ms != 0 ? created_ms
                                                       : one->there    ? one->created_ms
                                                                       : now_ms};
        snprintf(said->ids[i], sizeof said->ids[i], "s%u", i % 10);
        said->subscriptions[said->set.subscription_count++] =
            (struct subscription){.id = text(said->ids[i]),
                                  .customer_id = text(customer[of]),
                                  .product_id = text(one->plan == NONE ? "" : plan[one->plan]),
                                  .active = one->active,
                                  .has_override = one->override >= 0,
                                  .mrr_override = MAX(one->override, (i64)0),
                                  .created_ms = created_ms};
        subscribed[of] = true;
    }
}

static void check_no_note(void) {
    char note[DIRECTORY_NOTE_MAX];
    usize bytes;
    u32 found;
    cr_assert_eq(directory_note(directory, 0, &found, note, &bytes), ERR_NOT_FOUND);
}

/* Replaced in two steps, of which the second is one of three or a crash before it. */
static enum err replace_noted(u32 account, const struct directory_set *set, i64 now_ms,
                              bool *stands) {
    char note[DIRECTORY_NOTE_MAX];
    usize bytes;
    u32 found;
    struct directory_change *change;
    const struct book *before = directory_acquire(directory, account);
    enum err err = directory_begin(directory, NULL, account, set, text("half"), now_ms, &change);
    const struct book *after = directory_acquire(directory, account);
    cr_assert_eq(before, after, "nobody sees it");
    directory_release(directory, after);
    directory_release(directory, before);
    if (err != ERR_OK) {
        check_no_note();
        return err;
    }
    cr_assert_eq(directory_note(directory, 0, &found, note, &bytes), ERR_OK);
    cr_assert(found == account && bytes == 4 && memcmp(note, "half", 4) == 0);
    cr_assert_eq(directory_note(directory, account, &found, note, &bytes), ERR_NOT_FOUND);
    u32 how = draw(3);
    *stands = how != DIRECTORY_UNDO;
    if (how == DIRECTORY_KEEP) {
        directory_show(change);
    }
    cr_assert_eq(directory_end(change, (enum directory_end)how), ERR_OK);
    if (how == DIRECTORY_LEAVE) { /* the next start sees the change and the note */
        close_directory();
        open_directory();
        cr_assert_eq(directory_note(directory, 0, &found, note, &bytes), ERR_OK);
        cr_assert_eq(directory_forget_note(directory, account), ERR_OK);
    }
    check_no_note();
    return err;
}

static void say_all(u32 account, i64 now_ms) {
    static struct said said;
    struct wanted next = wanted[account];
    bool spoken_of[NAMES] = {false};
    bool subscribed[NAMES] = {false};
    said = (struct said){.set = {.source = draw(2) == 0 ? DIRECTORY_UPLOAD : DIRECTORY_STRIPE,
                                 .keeps_customers = draw(3) == 0,
                                 .profiles = said.profiles,
                                 .products = said.products,
                                 .subscriptions = said.subscriptions}};
    for (u32 i = 0; i < NAMES; i++) {
        spoken_of[i] = draw(2) == 0;
        if (spoken_of[i]) {
            say_customer(&said, &next, i, now_ms);
        }
    }
    say_plans(&said, &next);
    say_subscriptions(&said, &next, subscribed, now_ms);
    for (u32 i = 0; i < NAMES; i++) {
        if (!spoken_of[i]) {
            unsay_customer(&said, &next, i, subscribed[i], now_ms);
        }
    }
    bool spoilt = said.set.profile_count > 1 && draw(5) == 0;
    if (spoilt) {
        said.profiles[1].id = said.profiles[0].id;
    }
    bool stands = true;
    enum err err = draw(2) == 0 ? directory_replace(directory, NULL, account, &said.set, now_ms)
                                : replace_noted(account, &said.set, now_ms, &stands);
    cr_assert_eq(err, spoilt ? ERR_INVALID : ERR_OK);
    wanted[account] = spoilt || !stands ? wanted[account] : next;
}

/* --- by hand ---------------------------------------------------------------------------------- */

static struct wanted_customer *touch(u32 account, u32 i, i64 now_ms) {
    struct wanted_customer *one = &wanted[account].customer[i];
    if (!one->there) {
        *one = (struct wanted_customer){
            .there = true, .internal = i == 2, .link = NONE, .created_ms = now_ms};
    }
    one->updated_ms = now_ms;
    return one;
}

static void set_internal(u32 account, i64 now_ms) {
    u32 i = draw(NAMES);
    bool internal = draw(2) == 0;
    cr_assert_eq(
        directory_set_internal(directory, NULL, account, text(customer[i]), internal, now_ms),
        ERR_OK);
    struct wanted_customer *one = touch(account, i, now_ms);
    one->internal = internal;
    one->by = INTERNAL_BY_HAND;
}

static void set_link(u32 account, i64 now_ms) {
    u32 i = draw(NAMES);
    u32 link = draw(NAMES);
    bool taken = wanted[account].customer[i].there && wanted[account].customer[i].link != NONE;
    for (u32 k = 0; k < NAMES; k++) {
        const struct wanted_customer *one = &wanted[account].customer[k];
        taken |= one->there && one->link == link;
    }
    cr_assert_eq(
        directory_link(directory, NULL, account, text(customer[i]), text(link_id[link]), now_ms),
        taken ? ERR_EXISTS : ERR_OK);
    if (!taken) {
        touch(account, i, now_ms)->link = link;
    }
}

Test(directory, is_as_last_said) {
    for (u32 account = 0; account <= ACCOUNTS; account++) {
        for (u32 i = 0; i < NAMES; i++) {
            wanted[account].customer[i].link = NONE;
        }
    }
    random_state = 11;
    for (u32 round = 0; round < 400; round++) {
        u32 account = 1 + draw(ACCOUNTS);
        i64 now_ms = 1000000 + round;
        switch (draw(4)) {
        case 0:
            say_all(account, now_ms);
            break;
        case 1:
            set_link(account, now_ms);
            break;
        default:
            set_internal(account, now_ms);
        }
        check_all();
        if (round % 16 == 0) {
            close_directory();
            open_directory();
            check_all();
        }
    }
}

Test(directory, a_book_lasts_as_long_as_somebody_reads_it) {
    const struct profile profile = {.id = SLICE("acme"), .name = SLICE("Acme")};
    const struct directory_set set = {
        .source = DIRECTORY_UPLOAD, .profiles = &profile, .profile_count = 1};
    const struct directory_set nothing = {.source = DIRECTORY_UPLOAD};
    const struct book *none = directory_acquire(directory, 1);
    cr_assert_eq(directory_replace(directory, NULL, 1, &set, 5), ERR_OK);
    const struct book *one = directory_acquire(directory, 1);
    cr_assert_eq(directory_replace(directory, NULL, 1, &nothing, 6), ERR_OK);
    const struct book *gone = directory_acquire(directory, 1);
    cr_assert(same(book_name(none, SLICE("acme")), "acme"));
    cr_assert(same(book_name(one, SLICE("acme")), "Acme"));
    cr_assert_eq(book_count(gone), 0);
    cr_assert(none->stamp != one->stamp && one->stamp != gone->stamp);
    directory_release(directory, none);
    directory_release(directory, one);
    directory_release(directory, gone);
}

Test(directory, what_may_not_be_said_changes_nothing) {
    char long_text[CUSTOMER_TEXT_MAX + 2];
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = 0;
    const struct profile profiles[] = {{.id = SLICE("")},
                                       {.id = text(long_text)},
                                       {.id = SLICE("a"), .name = text(long_text)},
                                       {.id = SLICE("a"), .created_ms = -1}};
    const struct product products[] = {
        {.id = SLICE("p"), .price = -1, .interval_months = 1},
        {.id = SLICE("p"), .price = EVENT_MONEY_MAX + 1, .interval_months = 1},
        {.id = SLICE("p"), .price = 1, .interval_months = 0},
        {.id = SLICE(""), .price = 1, .interval_months = 1}};
    const struct subscription subscriptions[] = {
        {.id = SLICE("s"), .customer_id = SLICE("")},
        {.id = SLICE("s"), .customer_id = SLICE("a"), .mrr_override = -1},
        {.id = SLICE("s"), .customer_id = SLICE("a"), .period_end_ms = INT64_MAX},
        {.id = SLICE(""), .customer_id = SLICE("a")}};
    for (u32 i = 0; i < 4; i++) {
        struct directory_set set = {
            .source = DIRECTORY_UPLOAD, .profiles = &profiles[i], .profile_count = 1};
        cr_expect_eq(directory_replace(directory, NULL, 1, &set, 5), ERR_INVALID, "%u", i);
        set = (struct directory_set){
            .source = DIRECTORY_UPLOAD, .products = &products[i], .product_count = 1};
        cr_expect_eq(directory_replace(directory, NULL, 1, &set, 5), ERR_INVALID, "%u", i);
        set = (struct directory_set){.source = DIRECTORY_UPLOAD,
                                     .subscriptions = &subscriptions[i],
                                     .subscription_count = 1};
        cr_expect_eq(directory_replace(directory, NULL, 1, &set, 5), ERR_INVALID, "%u", i);
    }
    cr_expect_eq(directory_set_internal(directory, NULL, 1, text(long_text), true, 5), ERR_INVALID);
    cr_expect_eq(directory_set_internal(directory, NULL, 1, SLICE(""), true, 5), ERR_INVALID);
    const struct book *book = directory_acquire(directory, 1);
    cr_expect_eq(book_count(book), 0);
    directory_release(directory, book);
}

Test(directory, many_customers_are_found) {
    enum { MANY = 5000 };
    static char ids[MANY][16];
    static struct profile profiles[MANY];
    for (u32 i = 0; i < MANY; i++) {
        snprintf(ids[i], sizeof ids[i], "customer-%u", i);
    }
    for (u32 i = 0; i < MANY; i++) {
        profiles[i] = (struct profile){.id = text(ids[i]), .name = text(ids[MANY - 1 - i])};
    }
    const struct directory_set set = {
        .source = DIRECTORY_UPLOAD, .profiles = profiles, .profile_count = MANY / 2};
    cr_assert_eq(directory_replace(directory, NULL, 1, &set, 5), ERR_OK);
    struct book *book;
    cr_assert_eq(book_make(profiles, MANY / 2, NULL, 0, NULL, 0, &book), ERR_OK);
    for (u32 i = MANY / 2; i < MANY; i++) {
        cr_assert_eq(book_add(book, &profiles[i]), ERR_OK);
    }
    for (u32 i = 0; i < MANY; i++) {
        cr_assert(same(book_name(book, text(ids[i])), ids[MANY - 1 - i]), "%u", i);
    }
    cr_assert_eq(book_count(book), MANY);
    cr_assert_eq(book_find(book, SLICE("customer-x")), BOOK_NONE);
    book_free(book);
}
