/*
 * amend.h: changes to what is in the log already (store.h: amendments), as records and as what
 * readers lay over the blocks. Blocks are never written anew for one, not even when they are
 * merged: they stay what was received, their checksums and their chain stay what they were, and an
 * amendment costs what it says and not what it is about. Pure: log.c reads and writes the table.
 *
 * Record, little endian as in memory:
 *
 *   header    struct amend_header; `previous` is the `hash` of the record before: a chain
 *   clear     for each event name its length (2 bytes) and bytes; then the series, as differences
 *             in 7-bit groups, the lowest first
 *   revenue   ids (8 bytes each), then amounts (8), then sources (1)
 *   expiry    the time (8 bytes); then accounts (4 each), then months (8), then counts (8)
 *
 * The hash is over all bytes but itself. `columns` says which columns of an event change: there is
 * room for others than revenue, and a program that meets one it does not know refuses the log.
 *
 * Each record is in the table twice: without one, events that were removed would count again.
 */
#ifndef MARGIN_STORAGE_AMEND_H
#define MARGIN_STORAGE_AMEND_H

#include "store.h"

#define AMEND_MAGIC 0x646e656du /* "mend" */
#define AMEND_VERSION 1
#define AMEND_COLUMN_REVENUE 1u /* amount and source */

struct amend_header {
    u32 magic;
    u16 version;
    u16 kind;     /* enum store_amend_kind */
    u64 sequence; /* 1, 2, ... */
    u64 position; /* the id the next event got when it was made */
    u64 previous;
    u32 account;
    u32 source;     /* of a clear; DIM_NONE: any */
    u32 name_count; /* of a clear; 0: any */
    u32 columns;
    u32 count; /* series, events or accounts */
    u32 zero;
    i64 received_month_ms;
    u64 received;
    i64 made_ms;
    u64 bytes; /* of the record */
    u64 hash;  /* last */
};
_Static_assert(sizeof(struct amend_header) == 96, "no padding");

/* Checks a record. On error *what is a static text. ERR_CORRUPT, ERR_VERSION. */
enum err amend_check(struct slice record, struct amend_header *header, const char **what);
/* Makes a record; *out is the caller's to free. ERR_NO_MEMORY, ERR_LIMIT, ERR_INVALID. */
enum err amend_encode(const struct store_amendment *amendment, u64 sequence, u64 position,
                      u64 previous, struct slice *out);

/* --- what readers see ------------------------------------------------------------------------- */

struct amended {
    u64 id;
    i64 revenue;
    u8 revenue_source;
};

/* All amendments up to one, immutable. */
struct overlay {
    u32 references;          /* under the log's lock */
    u32 series_end;          /* series from here on have no removed events */
    u64 *cleared;            /* by series: events before this id are gone; 0: none */
    struct amended *amended; /* ascending ids */
    u32 amended_count;
    i64 expired_ms; /* events from before are gone; 0: none */
};

void overlay_free(struct overlay *overlay);
/* One reference less; NULL is good. */
void overlay_leave(struct overlay *overlay);
static inline bool overlay_removes(const struct overlay *overlay, u32 series, u64 id) {
    return overlay != NULL && series < overlay->series_end && id < overlay->cleared[series];
}
/* NULL: the event is as it was received. */
const struct amended *overlay_find(const struct overlay *overlay, u64 id);

/* --- all amendments of a log ------------------------------------------------------------------ */

/* What was known of an account's events when some were removed last. */
struct amend_account {
    u32 key_epoch; /* how often all of its events were removed */
    u64 position;  /* 0: nothing ever was */
    i64 received_month_ms;
    u64 received;
};

struct amends {
    u64 count;
    u64 chain;
    struct overlay *overlay;       /* NULL: none */
    struct amend_account *account; /* by number; NULL: none */
};

/* A record on its way into `amends`: nothing can fail any more. */
struct amend_plan {
    struct amend_header header;
    struct overlay *overlay;
    struct amend_account *accounts;  /* memory for the first ones; or NULL */
    struct store_received *received; /* header.count of an expiry; or NULL */
};
/* The record must be the next one: ERR_CORRUPT with *what, ERR_VERSION, ERR_NO_MEMORY. `alone`:
 * nobody reads yet, so the overlay in force may be taken apart for the next one. */
enum err amends_plan(struct amends *amends, struct slice record, bool alone,
                     struct amend_plan *plan, const char **what);
/* Returns the overlay that was in force, for the caller to let go. */
struct overlay *amends_take(struct amends *amends, struct amend_plan *plan);
void amend_plan_drop(struct amend_plan *plan);

#endif
