/*
 * directory.h: what is known of the accounts' customers beside their events: names, subscriptions,
 * plans, and what somebody set by hand. It lies in the control tables and is read at start; events
 * never write here: a customer that only events know is served from the figures (roster.h).
 *
 * Thread safe. What changes something waits for the disk: not for front threads. After ERR_OK a
 * change is on disk and seen by every directory_acquire() from then on; after any error nothing
 * has changed. Errors of the tables pass through.
 */
#ifndef MARGIN_CUSTOMER_DIRECTORY_H
#define MARGIN_CUSTOMER_DIRECTORY_H

#include "agg/agg.h"
#include "customer/book.h"
#include "store.h"

struct directory;

/* Reads all accounts. The tables are not owned. ERR_CORRUPT, ERR_VERSION, ERR_NO_MEMORY. */
enum err directory_open(struct control *control, struct directory **out);
void directory_close(struct directory *directory); /* nobody holds a book any more */

/* The account's book of now, never NULL; give it back. Takes a lock for a moment. */
const struct book *directory_acquire(struct directory *directory, u32 account);
void directory_release(struct directory *directory, const struct book *book);

/* Everything that one source says of an account, in place of all that it said before: what the set
 * lacks is gone (of customers the profile only, if events know them or somebody set something of
 * them). Objects of other sources stay, but for customers of the same id, which become this
 * source's. All of it is seen at once.
 *
 * Times that are 0 stand for: created, that of the object of the same id before, else (customers)
 * of the first event, else now; updated, now. A customer's stripe id that is empty leaves its link
 * as it was. A subscription's customer that is neither in the set nor known is added. */
struct directory_set {
    enum directory_source source;
    bool keeps_customers;           /* customers that the set lacks stay as they are */
    const struct profile *profiles; /* source is not read */
    u32 profile_count;
    const struct product *products;
    u32 product_count;
    const struct subscription *subscriptions;
    u32 subscription_count;
};
/* ERR_INVALID: an id is empty, too long, or there twice; an amount is negative or too large; an
 * interval is 0. ERR_LIMIT: CUSTOMERS_MAX, PRODUCTS_MAX or SUBSCRIPTIONS_MAX of the account. `agg`
 * tells of first events; NULL: there are none. Likewise below. */
enum err directory_replace(struct directory *directory, struct agg *agg, u32 account,
                           const struct directory_set *set, i64 now_ms);

/* The same, for a change whose other half lies elsewhere: one that a crash leaves half done is
 * known at the next start, by a note of at most DIRECTORY_NOTE_MAX bytes that is written with it.
 * Begun, the change is on disk but nobody sees it, and no other begins; errors as above, and then
 * nothing was begun. Its texts are the caller's until it is ended, once, in one of three ways. */
struct directory_change;
#define DIRECTORY_NOTE_MAX 64
enum err directory_begin(struct directory *directory, struct agg *agg, u32 account,
                         const struct directory_set *set, struct slice note, i64 now_ms,
                         struct directory_change **out);
/* Everybody sees it, at once; at most once, then it is only to be kept. Takes a moment. */
void directory_show(struct directory_change *change);
enum directory_end {
    DIRECTORY_KEEP, /* the other half is done; the change is seen, the note gone */
    DIRECTORY_UNDO, /* it was not, and this one goes, too */
    DIRECTORY_LEAVE /* who knows: the process stops, and its next start sees the note */
};
/* An error: the note stays. What could not be undone is seen from now on, as it is on disk: half
 * done; but not after ERR_IO, with which the process ends. */
enum err directory_end(struct directory_change *change, enum directory_end how);

/* The first account after `after` that has a note, and the note (DIRECTORY_NOTE_MAX of room).
 * ERR_NOT_FOUND: there is none. While nothing is begun. */
enum err directory_note(struct directory *directory, u32 after, u32 *account, void *note,
                        usize *bytes);
enum err directory_forget_note(struct directory *directory, u32 account);

/* Says by hand whether a customer is internal; makes the customer if need be. */
enum err directory_set_internal(struct directory *directory, struct agg *agg, u32 account,
                                struct slice customer, bool internal, i64 now_ms);

/* Links a customer with a Stripe customer; makes the customer if need be. ERR_EXISTS: one of them
 * has a link already: the first one stays. */
enum err directory_link(struct directory *directory, struct agg *agg, u32 account,
                        struct slice customer, struct slice stripe, i64 now_ms);

#endif
