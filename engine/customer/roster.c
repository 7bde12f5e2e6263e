/*
 * roster.c: a sorted array of times and references, oldest first. What is new nearly always belongs
 * to its end, so it is sorted by itself and merged from there. Another book makes another list.
 *
 * Ties: customers of one book in the order of their ids, those of events latest first.
 */
#include "customer/roster.h"

#include "agg/state.h"
#include "base/held.h"

#include <stdlib.h>
#include <string.h>

#define AT_ONCE_MAX 4096    /* customers to catch up with on a front thread: half a millisecond */
#define STEP_CUSTOMERS 4096 /* looked at while the writer of the figures waits */
#define ENTRIES_FIRST 64

/* The reference: a place in the account's list of customers with events, or, with this bit, an
 * index in the book. */
#define OF_BOOK ((u32)1 << 31)
_Static_assert(CUSTOMERS_MAX < OF_BOOK && DIM_VALUES_MAX < OF_BOOK, "a bit is free");

struct entry {
    i64 created_ms;
    u32 reference;
};

struct roster {
    pthread_mutex_t lock;
    u64 stamp;      /* of the book; what follows is of it */
    u32 reborn;     /* customers_reborn of the figures; what follows is of them, too */
    u32 born;       /* customers_born when the list caught up last */
    u32 book_count; /* so many of its customers are in the list */
    u32 places;     /* so many with events are looked at */
    u32 *waiting;   /* places whose first event is on its way */
    u32 waiting_count;
    u32 waiting_capacity;
    struct entry *entries;
    u32 count;
    u32 capacity;
};

struct rosters {
    struct directory *directory;
    pthread_mutex_t lock; /* over making one */
    _Atomic(struct roster *) roster[ACCOUNTS_MAX];
};

enum err rosters_create(struct directory *directory, struct rosters **out) {
    struct rosters *rosters = calloc(1, sizeof *rosters);
    if (rosters == NULL) {
        return ERR_NO_MEMORY;
    }
    rosters->directory = directory;
    pthread_mutex_init(&rosters->lock, NULL);
    *out = rosters;
    return ERR_OK;
}

void rosters_destroy(struct rosters *rosters) {
    for (u32 account = 0; rosters != NULL && account < ACCOUNTS_MAX; account++) {
        struct roster *roster = atomic_load(&rosters->roster[account]);
        if (roster != NULL) {
            pthread_mutex_destroy(&roster->lock);
            held_free(roster->waiting);
            held_free(roster->entries);
            free(roster);
        }
    }
    if (rosters != NULL) {
        pthread_mutex_destroy(&rosters->lock);
        free(rosters);
    }
}

static struct roster *roster_of(struct rosters *rosters, u32 account) {
    check(account < ACCOUNTS_MAX);
    struct roster *roster = atomic_load(&rosters->roster[account]);
    if (roster != NULL) {
        return roster;
    }
    pthread_mutex_lock(&rosters->lock);
    roster = atomic_load(&rosters->roster[account]);
    if (roster == NULL) {
        roster = calloc(1, sizeof *roster);
        if (roster != NULL) {
            pthread_mutex_init(&roster->lock, NULL);
            atomic_store(&rosters->roster[account], roster);
        }
    }
    pthread_mutex_unlock(&rosters->lock);
    return roster;
}

/* --- order ------------------------------------------------------------------------------------ */

/* Ids that come first are shown first, so they lie behind. */
static int compare_customers(const struct book *book, u32 a, u32 b) {
    if (a < book->ordered && b < book->ordered) {
        return (a < b) - (a > b);
    }
    struct slice left = book_id(book, a);
    struct slice right = book_id(book, b);
    int order = memcmp(right.data, left.data, MIN(left.bytes, right.bytes));
    return order != 0 ? order : (left.bytes < right.bytes) - (left.bytes > right.bytes);
}

static int compare(const void *left, const void *right, void *context) {
    const struct entry *a = left;
    const struct entry *b = right;
    if (a->created_ms != b->created_ms) {
        return a->created_ms < b->created_ms ? -1 : 1;
    }
    if ((a->reference & b->reference & OF_BOOK) != 0) {
        return compare_customers(context, a->reference & ~OF_BOOK, b->reference & ~OF_BOOK);
    }
    return (a->reference > b->reference) - (a->reference < b->reference);
}

/* --- catching up ------------------------------------------------------------------------------ */

struct catching {
    struct roster *roster;
    struct agg *agg;
    u32 account;
    const struct book *book;
    u32 born; /* of the account, before anything of it was looked at; likewise the next */
    u32 reborn;
    u32 sorted; /* entries that are in order; the others are new */
    enum err err;
};

static void add_entry(struct catching *catching, i64 created_ms, u32 reference) {
    struct roster *roster = catching->roster;
    if (roster->count == roster->capacity) {
        u32 capacity = MAX(roster->capacity * 2, (u32)ENTRIES_FIRST);
        struct entry *entries = held_resize(roster->entries, capacity * sizeof *entries);
        if (entries == NULL) {
            catching->err = ERR_NO_MEMORY;
            return;
        }
        roster->entries = entries;
        roster->capacity = capacity;
    }
    roster->entries[roster->count++] = (struct entry){created_ms, reference};
}

static void add_waiting(struct catching *catching, u32 place) {
    struct roster *roster = catching->roster;
    if (roster->waiting_count == roster->waiting_capacity) {
        u32 capacity = MAX(roster->waiting_capacity * 2, (u32)ENTRIES_FIRST);
        u32 *waiting = held_resize(roster->waiting, capacity * sizeof *waiting);
        if (waiting == NULL) {
            catching->err = ERR_NO_MEMORY;
            return;
        }
        roster->waiting = waiting;
        roster->waiting_capacity = capacity;
    }
    roster->waiting[roster->waiting_count++] = place;
}

static const struct list *list_of(const struct catching *catching) {
    const struct account *account = account_at(catching->agg, catching->account);
    return account == NULL ? NULL : &account->entities[KIND_CUSTOMER];
}

/* A customer with events; the directory's are in the list already. Under the figures' lock. */
static void add_place(struct catching *catching, u32 place) {
    const struct agg *agg = catching->agg;
    const struct entity *entity = entity_at(agg, list_at(list_of(catching), place));
    if (entity->key[0] == DIM_NONE) {
        return;
    }
    if (entity->created == 0 || account_seen(agg, catching->account) == NULL) {
        add_waiting(catching, place);
        return;
    }
    /* One that has come into the book just now is in the list only when its turn has come. */
    struct slice id = agg_value_text(agg, DIM_CUSTOMER, entity->key[0]);
    u32 index = book_find(catching->book, id);
    if (index == BOOK_NONE || index >= catching->roster->book_count) {
        add_entry(catching, entity->created, place);
    }
}

static void add_places(struct catching *catching) {
    struct roster *roster = catching->roster;
    agg_read_lock(catching->agg);
    u32 waiting = roster->waiting_count;
    roster->waiting_count = 0;
    for (u32 i = 0; i < waiting && catching->err == ERR_OK; i++) {
        add_place(catching, roster->waiting[i]); /* what waits on is put back at or before i */
        if (i % STEP_CUSTOMERS == STEP_CUSTOMERS - 1) { /* lets the writer in */
            agg_read_unlock(catching->agg);
            agg_read_lock(catching->agg);
        }
    }
    for (u32 step = 0; catching->err == ERR_OK; step++) {
        const struct list *list = list_of(catching);
        if (list == NULL || roster->places >= list->count) {
            break;
        }
        if (step == STEP_CUSTOMERS) {
            step = 0;
            agg_read_unlock(catching->agg);
            agg_read_lock(catching->agg);
            continue;
        }
        add_place(catching, roster->places++);
    }
    agg_read_unlock(catching->agg);
}

/* Takes out the entry of a customer that only events knew. */
static void remove_place(struct catching *catching, i64 created_ms, u32 place) {
    struct roster *roster = catching->roster;
    const struct entry wanted = {created_ms, place};
    u32 low = 0;
    u32 high = catching->sorted;
    while (low < high) {
        u32 middle = low + (high - low) / 2;
        if (compare(&roster->entries[middle], &wanted, (void *)(usize)catching->book) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low < catching->sorted && roster->entries[low].reference == place) {
        memmove(&roster->entries[low], &roster->entries[low + 1],
                (roster->count - low - 1) * sizeof *roster->entries);
        roster->count--;
        catching->sorted--;
    }
}

/* Customers that are new in the book. Under the figures' lock: they may have had events before. */
static void add_customers(struct catching *catching, u32 count) {
    struct roster *roster = catching->roster;
    const struct agg *agg = catching->agg;
    bool looks_back = roster->places > 0;
    for (u32 i = roster->book_count; i < count && catching->err == ERR_OK; i++) {
        u32 value = looks_back ? value_find(agg, catching->account, DIM_CUSTOMER,
                                            book_id(catching->book, i))
                               : DIM_NONE;
        u32 id = value == DIM_NONE ? 0 : value_at(agg, DIM_CUSTOMER, value)->entity;
        if (id != 0 && entity_at(agg, id)->created != 0) {
            remove_place(catching, entity_at(agg, id)->created, entity_at(agg, id)->place);
        }
        add_entry(catching, book_at(catching->book, i)->created_ms, i | OF_BOOK);
        roster->book_count = i + 1;
    }
}

/* Sorts what is new and merges it in from the end. */
static void merge(struct catching *catching) {
    struct roster *roster = catching->roster;
    void *context = (void *)(usize)catching->book;
    u32 old = catching->sorted;
    u32 added = roster->count - old;
    struct entry *entries = roster->entries;
    if (added == 0) {
        return;
    }
    qsort_r(entries + old, added, sizeof *entries, compare, context);
    if (old == 0 || compare(&entries[old - 1], &entries[old], context) < 0) {
        return;
    }
    struct entry *copy = malloc(added * sizeof *copy);
    if (copy == NULL) {
        catching->err = ERR_NO_MEMORY;
        return;
    }
    memcpy(copy, entries + old, added * sizeof *copy);
    for (u32 end = roster->count; added > 0; end--) {
        bool keep = old > 0 && compare(&entries[old - 1], &copy[added - 1], context) > 0;
        entries[end - 1] = keep ? entries[--old] : copy[--added];
    }
    free(copy);
}

static void forget(struct roster *roster, u64 stamp, u32 reborn) {
    roster->stamp = stamp;
    roster->reborn = reborn;
    roster->book_count = 0;
    roster->places = 0;
    roster->waiting_count = 0;
    roster->count = 0;
}

/* Customers to look at. Under the figures' lock. */
static u64 missing(const struct catching *catching) {
    const struct roster *roster = catching->roster;
    const struct list *list = list_of(catching);
    u64 places = list == NULL ? 0 : list->count;
    u64 all = places + book_count(catching->book);
    if (roster->stamp != catching->book->stamp || roster->reborn != catching->reborn) {
        return all + 1; /* also if nobody is left */
    }
    u64 waiting = roster->born != catching->born ? roster->waiting_count : 0;
    return all - roster->places - roster->book_count + waiting;
}

static enum err catch_up(struct catching *catching) {
    struct roster *roster = catching->roster;
    if (roster->stamp != catching->book->stamp || roster->reborn != catching->reborn) {
        forget(roster, catching->book->stamp, catching->reborn);
    }
    roster->born = catching->born;
    catching->sorted = roster->count;
    u32 count = book_count(catching->book);
    if (count > roster->book_count) {
        agg_read_lock(catching->agg);
        add_customers(catching, count);
        agg_read_unlock(catching->agg);
    }
    if (catching->err == ERR_OK) {
        add_places(catching);
    }
    if (catching->err == ERR_OK) {
        merge(catching);
    }
    if (catching->err != ERR_OK) { /* what is missing is not known */
        forget(roster, 0, 0);
    }
    return catching->err;
}

/* --- reading ---------------------------------------------------------------------------------- */

static struct roster_row row_of(const struct catching *catching, const struct entry *entry) {
    const struct agg *agg = catching->agg;
    struct roster_row row = {BOOK_NONE, DIM_NONE, entry->created_ms};
    if ((entry->reference & OF_BOOK) != 0) {
        row.index = entry->reference & ~OF_BOOK;
        row.value =
            value_find(agg, catching->account, DIM_CUSTOMER, book_id(catching->book, row.index));
    } else {
        row.value = entity_at(agg, list_at(list_of(catching), entry->reference))->key[0];
    }
    return row;
}

/* Under the figures' lock. */
static void fill(const struct catching *catching, struct roster_page *page) {
    const struct roster *roster = catching->roster;
    page->total = roster->count;
    page->count = 0;
    for (u64 at = page->offset; at < roster->count && page->count < page->limit; at++) {
        page->rows[page->count++] = row_of(catching, &roster->entries[roster->count - 1 - at]);
    }
}

/* Mostly nobody is new, and taking the figures' lock once is all the waiting there is. */
static enum err read_page(struct catching *catching, bool at_once, struct roster_page *page) {
    agg_read_lock(catching->agg);
    const struct account *account = account_at(catching->agg, catching->account);
    catching->born = account == NULL ? 0 : account->customers_born;
    catching->reborn = account == NULL ? 0 : account->customers_reborn;
    u64 count = missing(catching);
    if (count == 0) {
        fill(catching, page);
    }
    agg_read_unlock(catching->agg);
    if (count == 0) {
        return ERR_OK;
    }
    enum err err = at_once && count > AT_ONCE_MAX ? ERR_BUSY : catch_up(catching);
    if (err == ERR_OK) {
        agg_read_lock(catching->agg);
        fill(catching, page);
        agg_read_unlock(catching->agg);
    }
    return err;
}

enum err roster_read(struct rosters *rosters, struct agg *agg, u32 account, bool at_once,
                     struct roster_page *page) {
    struct roster *roster = roster_of(rosters, account);
    if (roster == NULL) {
        return ERR_NO_MEMORY;
    }
    if (!at_once) {
        pthread_mutex_lock(&roster->lock);
    } else if (pthread_mutex_trylock(&roster->lock) != 0) {
        return ERR_BUSY;
    }
    page->book = directory_acquire(rosters->directory, account);
    struct catching catching = {
        .roster = roster, .agg = agg, .account = account, .book = page->book};
    enum err err = read_page(&catching, at_once, page);
    pthread_mutex_unlock(&roster->lock);
    if (err != ERR_OK) {
        directory_release(rosters->directory, page->book);
        page->book = NULL;
    }
    return err;
}
