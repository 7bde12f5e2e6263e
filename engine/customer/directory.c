/*
 * directory.c: a change is written down first and seen after: what memory it needs is taken before,
 * so that nothing can keep what is on disk from being in force. What one source says as a whole
 * makes a new book, which takes the place of the old one between two instructions; what is said of
 * one customer changes the book that is there.
 */
#include "customer/directory.h"

#include "customer/directory_merge.h"
#include "customer/directory_row.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct directory {
    struct control *control;
    pthread_mutex_t change_lock; /* one change at a time; held while the disk works */
    pthread_mutex_t lock;        /* over the books' places and references; held for a moment */
    struct book **books;         /* by account; NULL: the empty one */
    struct book *empty;
};

/* --- books ------------------------------------------------------------------------------------ */

const struct book *directory_acquire(struct directory *directory, u32 account) {
    check(account < ACCOUNTS_MAX);
    pthread_mutex_lock(&directory->lock);
    struct book *book = directory->books[account];
    book = book != NULL ? book : directory->empty;
    book->references++;
    pthread_mutex_unlock(&directory->lock);
    return book;
}

void directory_release(struct directory *directory, const struct book *book) {
    struct book *held = (struct book *)(usize)book;
    pthread_mutex_lock(&directory->lock);
    bool last = --held->references == 0;
    pthread_mutex_unlock(&directory->lock);
    if (last) {
        book_free(held);
    }
}

/* Puts a book in force; the place has a reference to it. */
static void set_book(struct directory *directory, u32 account, struct book *book) {
    book->references = 1;
    pthread_mutex_lock(&directory->lock);
    struct book *old = directory->books[account];
    directory->books[account] = book;
    pthread_mutex_unlock(&directory->lock);
    if (old != NULL) {
        directory_release(directory, old);
    }
}

/* --- opening ---------------------------------------------------------------------------------- */

struct reading {
    struct directory_lists lists;
    u32 accounts[64]; /* that have rows; as many as one pass takes */
    u32 account_count;
    u64 from;
    enum err err;
};

static bool visit_account(void *context, const struct control_object *object, struct slice value) {
    struct reading *reading = context;
    (void)value;
    if (object->number == 0 || object->number >= ACCOUNTS_MAX) {
        reading->err = ERR_CORRUPT;
        return false;
    }
    reading->accounts[reading->account_count++] = (u32)object->number;
    reading->from = object->number + 1;
    return reading->account_count < ARRAY_COUNT(reading->accounts);
}

static bool visit_profile(void *context, const struct control_object *object, struct slice value) {
    struct reading *reading = context;
    struct profile profile;
    reading->err = directory_row_read_profile(object, value, &profile);
    if (reading->err == ERR_OK) {
        reading->err = directory_lists_profile(&reading->lists, &profile, true);
    }
    return reading->err == ERR_OK;
}

static bool visit_product(void *context, const struct control_object *object, struct slice value) {
    struct reading *reading = context;
    struct product product;
    reading->err = directory_row_read_product(object, value, &product);
    if (reading->err == ERR_OK) {
        reading->err = directory_lists_product(&reading->lists, &product, true);
    }
    return reading->err == ERR_OK;
}

static bool visit_subscription(void *context, const struct control_object *object,
                               struct slice value) {
    struct reading *reading = context;
    struct subscription subscription;
    reading->err = directory_row_read_subscription(object, value, &subscription);
    if (reading->err == ERR_OK) {
        reading->err = directory_lists_subscription(&reading->lists, &subscription, true);
    }
    return reading->err == ERR_OK;
}

static enum err read_account(struct directory *directory, struct reading *reading, u32 account) {
    static const struct {
        enum control_kind kind;
        control_visit visit;
    } kinds[] = {{CONTROL_CUSTOMER, visit_profile},
                 {CONTROL_PRODUCT, visit_product},
                 {CONTROL_SUBSCRIPTION, visit_subscription}};
    enum err err = ERR_OK;
    for (u32 i = 0; i < ARRAY_COUNT(kinds) && err == ERR_OK; i++) {
        err = control_each(directory->control, account, kinds[i].kind, kinds[i].visit, reading);
        err = err == ERR_OK ? reading->err : err;
    }
    struct book *book = NULL;
    if (err == ERR_OK) {
        err = directory_lists_book(&reading->lists, &book);
        err = err == ERR_INVALID || err == ERR_LIMIT ? ERR_CORRUPT : err;
    }
    if (err == ERR_OK) {
        set_book(directory, account, book);
    }
    directory_lists_free(&reading->lists);
    return err;
}

static enum err read_all(struct directory *directory) {
    struct reading reading = {.err = ERR_OK};
    enum err err;
    do {
        const struct control_object from = {.kind = CONTROL_CUSTOMER, .number = reading.from};
        reading.account_count = 0;
        err = control_each_from(directory->control, &from, visit_account, &reading);
        err = err == ERR_OK ? reading.err : err;
        for (u32 i = 0; i < reading.account_count && err == ERR_OK; i++) {
            err = read_account(directory, &reading, reading.accounts[i]);
        }
    } while (err == ERR_OK && reading.account_count == ARRAY_COUNT(reading.accounts));
    return err;
}

enum err directory_open(struct control *control, struct directory **out) {
    struct directory *directory = calloc(1, sizeof *directory);
    if (directory == NULL) {
        return ERR_NO_MEMORY;
    }
    directory->control = control;
    pthread_mutex_init(&directory->change_lock, NULL);
    pthread_mutex_init(&directory->lock, NULL);
    directory->books = calloc(ACCOUNTS_MAX, sizeof *directory->books);
    enum err err = directory->books == NULL
                       ? ERR_NO_MEMORY
                       : book_make(NULL, 0, NULL, 0, NULL, 0, &directory->empty);
    if (err == ERR_OK) {
        directory->empty->references = 1;
        err = read_all(directory);
    }
    if (err != ERR_OK) {
        directory_close(directory);
        return err;
    }
    *out = directory;
    return ERR_OK;
}

void directory_close(struct directory *directory) {
    if (directory == NULL) {
        return;
    }
    for (u32 account = 0; directory->books != NULL && account < ACCOUNTS_MAX; account++) {
        book_free(directory->books[account]);
    }
    book_free(directory->empty);
    free(directory->books);
    pthread_mutex_destroy(&directory->lock);
    pthread_mutex_destroy(&directory->change_lock);
    free(directory);
}

/* --- writing ---------------------------------------------------------------------------------- */

/* Begins to write. An account's first rows come with one that says that it has any. */
static enum err begin(struct directory *directory, u32 account, struct control_txn *txn) {
    enum err err = control_begin(directory->control, txn);
    if (err == ERR_OK && directory->books[account] == NULL) {
        const struct control_object known = {0, CONTROL_CUSTOMER, account, {NULL, 0}};
        control_txn_put(txn, &known, (struct slice){NULL, 0});
    }
    return err;
}

static void put_profile(struct control_txn *txn, u32 account, const struct profile *profile) {
    char memory[DIRECTORY_ROW_BYTES_MAX];
    struct control_object object =
        directory_row_place(account, CONTROL_CUSTOMER, DIRECTORY_NONE, profile->id);
    control_txn_put(txn, &object, directory_row_profile(profile, memory));
}

/* Plans and subscriptions of one source, among others. */
struct offers {
    const struct product *products;
    const struct subscription *subscriptions;
    u32 product_count;
    u32 subscription_count;
};

static void write_offers(struct control_txn *txn, u32 account, enum directory_source source,
                         const struct offers *offers, bool put) {
    char memory[DIRECTORY_ROW_BYTES_MAX];
    for (u32 i = 0; i < offers->product_count; i++) {
        const struct product *product = &offers->products[i];
        struct control_object object =
            directory_row_place(account, CONTROL_PRODUCT, source, product->id);
        if (product->source == source && put) {
            control_txn_put(txn, &object, directory_row_product(product, memory));
        } else if (product->source == source) {
            control_txn_delete(txn, &object);
        }
    }
    for (u32 i = 0; i < offers->subscription_count; i++) {
        const struct subscription *subscription = &offers->subscriptions[i];
        struct control_object object =
            directory_row_place(account, CONTROL_SUBSCRIPTION, source, subscription->id);
        if (subscription->source == source && put) {
            control_txn_put(txn, &object, directory_row_subscription(subscription, memory));
        } else if (subscription->source == source) {
            control_txn_delete(txn, &object);
        }
    }
}

static void delete_profile(struct control_txn *txn, u32 account, struct slice id) {
    struct control_object object =
        directory_row_place(account, CONTROL_CUSTOMER, DIRECTORY_NONE, id);
    control_txn_delete(txn, &object);
}

/* --- what one source says --------------------------------------------------------------------- */

struct directory_change {
    struct directory *directory;
    u32 account;
    enum directory_source source;
    bool is_noted;
    const struct book *old; /* held */
    struct book *book;      /* the new one; NULL: it is in force */
    struct directory_lists lists;
};

static struct offers old_offers(const struct directory_change *change) {
    const struct book *old = change->old;
    return (struct offers){old->products, old->subscriptions, old->product_count,
                           old->subscription_count};
}

static struct offers new_offers(const struct directory_change *change) {
    const struct directory_lists *lists = &change->lists;
    return (struct offers){lists->products, lists->subscriptions, lists->product_count,
                           lists->subscription_count};
}

static struct control_object note_place(u32 account) {
    return (struct control_object){.kind = CONTROL_HALF_CHANGE, .number = account};
}

/* What the old book has of the set's source, or has not any more, goes; what is new comes. */
static void write_new(struct control_txn *txn, const struct directory_change *change) {
    const struct directory_lists *lists = &change->lists;
    const struct offers before = old_offers(change);
    const struct offers after = new_offers(change);
    for (u32 i = 0; i < lists->gone_count; i++) {
        delete_profile(txn, change->account, lists->gone[i]);
    }
    for (u32 i = 0; i < lists->profile_count; i++) {
        if (lists->is_changed[i]) {
            put_profile(txn, change->account, &lists->profiles[i]);
        }
    }
    write_offers(txn, change->account, change->source, &before, false);
    write_offers(txn, change->account, change->source, &after, true);
}

static void write_old_profile(struct control_txn *txn, const struct directory_change *change,
                              struct slice id) {
    u32 index = book_find(change->old, id);
    if (index == BOOK_NONE) {
        delete_profile(txn, change->account, id);
    } else {
        struct profile profile = book_profile(change->old, index);
        put_profile(txn, change->account, &profile);
    }
}

/* The reverse. */
static void write_old(struct control_txn *txn, const struct directory_change *change) {
    const struct directory_lists *lists = &change->lists;
    const struct offers before = old_offers(change);
    const struct offers after = new_offers(change);
    for (u32 i = 0; i < lists->profile_count; i++) {
        if (lists->is_changed[i]) {
            write_old_profile(txn, change, lists->profiles[i].id);
        }
    }
    for (u32 i = 0; i < lists->gone_count; i++) {
        write_old_profile(txn, change, lists->gone[i]);
    }
    write_offers(txn, change->account, change->source, &after, false);
    write_offers(txn, change->account, change->source, &before, true);
}

static void change_free(struct directory_change *change) {
    struct directory *directory = change->directory;
    book_free(change->book);
    directory_release(directory, change->old);
    directory_lists_free(&change->lists);
    free(change);
    pthread_mutex_unlock(&directory->change_lock);
}

enum err directory_begin(struct directory *directory, struct agg *agg, u32 account,
                         const struct directory_set *set, struct slice note, i64 now_ms,
                         struct directory_change **out) {
    struct directory_change *change = calloc(1, sizeof *change);
    struct control_txn txn;
    check(account < ACCOUNTS_MAX && set->source != DIRECTORY_NONE);
    check(note.bytes <= DIRECTORY_NOTE_MAX);
    if (change == NULL) {
        return ERR_NO_MEMORY;
    }
    pthread_mutex_lock(&directory->change_lock);
    change->directory = directory;
    change->account = account;
    change->source = set->source;
    change->is_noted = note.bytes > 0;
    change->old = directory_acquire(directory, account);
    enum err err = directory_merge(&change->lists, agg, account, change->old, set, now_ms);
    if (err == ERR_OK) {
        err = directory_lists_book(&change->lists, &change->book);
    }
    if (err == ERR_OK) {
        err = begin(directory, account, &txn);
    }
    if (err == ERR_OK) {
        const struct control_object place = note_place(account);
        write_new(&txn, change);
        if (change->is_noted) {
            control_txn_put(&txn, &place, note);
        }
        err = control_commit(&txn);
    }
    if (err != ERR_OK) {
        change_free(change);
        return err;
    }
    *out = change;
    return ERR_OK;
}

void directory_show(struct directory_change *change) {
    check(change->book != NULL);
    set_book(change->directory, change->account, change->book);
    change->book = NULL;
}

static enum err undo(struct directory_change *change) {
    struct control_txn txn;
    check(change->book != NULL);
    enum err err = begin(change->directory, change->account, &txn);
    if (err == ERR_OK) {
        const struct control_object place = note_place(change->account);
        write_old(&txn, change);
        control_txn_delete(&txn, &place);
        err = control_commit(&txn);
    }
    return err;
}

enum err directory_end(struct directory_change *change, enum directory_end how) {
    enum err err = ERR_OK;
    if (how == DIRECTORY_UNDO) {
        err = undo(change);
        /* After a failed write the process ends, and shows until then what the log has, too. */
        if (err != ERR_OK && err != ERR_IO) {
            directory_show(change);
        }
    } else if (how == DIRECTORY_KEEP) {
        check(change->book == NULL);
        err = change->is_noted ? directory_forget_note(change->directory, change->account) : err;
    }
    change_free(change);
    return err;
}

enum err directory_replace(struct directory *directory, struct agg *agg, u32 account,
                           const struct directory_set *set, i64 now_ms) {
    struct directory_change *change;
    enum err err =
        directory_begin(directory, agg, account, set, (struct slice){NULL, 0}, now_ms, &change);
    if (err == ERR_OK) {
        directory_show(change);
        err = directory_end(change, DIRECTORY_KEEP);
    }
    return err;
}

/* --- notes ------------------------------------------------------------------------------------ */

struct noted {
    u64 account; /* 0: none */
    void *note;
    usize *bytes;
    enum err err;
};

static bool take_note(void *context, const struct control_object *object, struct slice value) {
    struct noted *noted = context;
    if (object->number == 0 || object->number >= ACCOUNTS_MAX || value.bytes > DIRECTORY_NOTE_MAX) {
        noted->err = ERR_CORRUPT;
        return false;
    }
    noted->account = object->number;
    memcpy(noted->note, value.data, value.bytes);
    *noted->bytes = value.bytes;
    return false;
}

enum err directory_note(struct directory *directory, u32 after, u32 *account, void *note,
                        usize *bytes) {
    struct noted noted = {.note = note, .bytes = bytes};
    const struct control_object from = note_place(after + 1);
    enum err err = control_each_from(directory->control, &from, take_note, &noted);
    err = err == ERR_OK ? noted.err : err;
    *account = (u32)noted.account;
    return err == ERR_OK && noted.account == 0 ? ERR_NOT_FOUND : err;
}

enum err directory_forget_note(struct directory *directory, u32 account) {
    const struct control_object place = note_place(account);
    enum err err = control_delete(directory->control, &place);
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

/* --- one customer ----------------------------------------------------------------------------- */

/* A change of one customer, with the change lock. */
struct edit {
    struct directory *directory;
    u32 account;
    struct book *book; /* the account's, or a new one, which is not in force yet */
    bool is_new;
    u32 index; /* BOOK_NONE: the book does not have the customer yet */
    struct profile profile;
};

static enum err edit_begin(struct edit *edit, struct directory *directory, struct agg *agg,
                           u32 account, struct slice customer, i64 now_ms) {
    check(account < ACCOUNTS_MAX);
    pthread_mutex_lock(&directory->change_lock);
    *edit = (struct edit){.directory = directory, .account = account, .index = BOOK_NONE};
    if (customer.bytes == 0 || customer.bytes > EVENT_CUSTOMER_MAX) {
        return ERR_INVALID;
    }
    edit->book = directory->books[account];
    edit->is_new = edit->book == NULL;
    enum err err = edit->is_new ? book_make(NULL, 0, NULL, 0, NULL, 0, &edit->book) : ERR_OK;
    if (err != ERR_OK) {
        return err;
    }
    edit->index = book_find(edit->book, customer);
    if (edit->index != BOOK_NONE) {
        edit->profile = book_profile(edit->book, edit->index);
    } else {
        i64 created_ms = agg != NULL ? agg_customer_created(agg, account, customer) : 0;
        edit->profile = (struct profile){.id = customer,
                                         .internal = customer_is_internal(customer),
                                         .created_ms = created_ms != 0 ? created_ms : now_ms};
    }
    edit->profile.updated_ms = now_ms;
    return book_reserve(edit->book);
}

/* Writes the profile as it is to be. */
static enum err edit_write(struct edit *edit) {
    struct control_txn txn;
    enum err err = begin(edit->directory, edit->account, &txn);
    if (err == ERR_OK) {
        put_profile(&txn, edit->account, &edit->profile);
        err = control_commit(&txn);
    }
    if (err == ERR_OK && edit->index == BOOK_NONE) {
        check(book_add(edit->book, &edit->profile) == ERR_OK);
    }
    if (err == ERR_OK && edit->is_new) {
        set_book(edit->directory, edit->account, edit->book);
        edit->is_new = false;
    }
    return err;
}

static enum err edit_end(struct edit *edit, enum err err) {
    if (edit->is_new) {
        book_free(edit->book);
    }
    pthread_mutex_unlock(&edit->directory->change_lock);
    return err;
}

enum err directory_set_internal(struct directory *directory, struct agg *agg, u32 account,
                                struct slice customer, bool internal, i64 now_ms) {
    struct edit edit;
    enum err err = edit_begin(&edit, directory, agg, account, customer, now_ms);
    if (err == ERR_OK) {
        edit.profile.internal = internal;
        edit.profile.internal_by = INTERNAL_BY_HAND;
        err = edit_write(&edit);
    }
    if (err == ERR_OK && edit.index != BOOK_NONE) {
        book_set_internal(edit.book, edit.index, internal, now_ms);
    }
    return edit_end(&edit, err);
}

enum err directory_link(struct directory *directory, struct agg *agg, u32 account,
                        struct slice customer, struct slice stripe, i64 now_ms) {
    struct edit edit;
    enum err err = edit_begin(&edit, directory, agg, account, customer, now_ms);
    if (err == ERR_OK && (stripe.bytes == 0 || stripe.bytes > CUSTOMER_TEXT_MAX)) {
        err = ERR_INVALID;
    }
    if (err == ERR_OK &&
        (edit.profile.stripe.bytes > 0 || book_find_stripe(edit.book, stripe) != BOOK_NONE)) {
        err = ERR_EXISTS;
    }
    if (err == ERR_OK) {
        edit.profile.stripe = stripe;
        err = edit_write(&edit);
    }
    if (err == ERR_OK && edit.index != BOOK_NONE) {
        check(book_set_stripe(edit.book, edit.index, stripe, now_ms) == ERR_OK);
    }
    return edit_end(&edit, err);
}
