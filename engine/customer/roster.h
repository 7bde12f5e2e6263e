/*
 * roster.h: all customers of an account in one list, newest first: those of the directory and those
 * that only events know, each once. A customer of the directory counts from the time that it says,
 * another from the receipt of its first event.
 *
 * The list is kept, and catches up with what is new when somebody asks; so a page costs as much as
 * it has rows. Thread safe.
 */
#ifndef MARGIN_CUSTOMER_ROSTER_H
#define MARGIN_CUSTOMER_ROSTER_H

#include "agg/agg.h"
#include "customer/directory.h"

struct rosters;

enum err rosters_create(struct directory *directory, struct rosters **out); /* ERR_NO_MEMORY */
void rosters_destroy(struct rosters *rosters);

struct roster_row {
    u32 index; /* in the book; BOOK_NONE: only events know the customer */
    u32 value; /* its id in the figures; DIM_NONE: it has no events */
    i64 created_ms;
};

struct roster_page {
    u64 offset;
    u32 limit; /* 0: only the total */
    struct roster_row *rows;

    /* Set. */
    u32 count;
    u64 total;
    const struct book *book; /* to be given back to the directory, after ERR_OK */
};

/* `at_once`: for front threads; ERR_BUSY if it has to catch up with much, or somebody else is at
 * it. ERR_NO_MEMORY. */
enum err roster_read(struct rosters *rosters, struct agg *agg, u32 account, bool at_once,
                     struct roster_page *page);

#endif
