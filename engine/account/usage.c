/* usage.c: see usage.h. A month is known by its first millisecond. */
#include "account/usage.h"

#include "account/budget.h"
#include "limits.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct cell {
    _Atomic i64 month_ms;
    _Atomic u64 count;
};

struct saved { /* in a snapshot */
    u64 account;
    i64 month_ms;
    u64 count;
};

struct usage {
    struct saved *saved; /* a snapshot is being written: the state it is of */
    u32 saved_count;
    i64 from_ms; /* of the month that was counted last, for all accounts: */
    i64 to_ms;   /* looked up in the calendar once a month */
    struct cell cell[ACCOUNTS_MAX];
};

enum err usage_create(struct usage **out) {
    *out = calloc(1, sizeof **out);
    return *out == NULL ? ERR_NO_MEMORY : ERR_OK;
}

void usage_destroy(struct usage *usage) {
    if (usage != NULL) {
        usage_snapshot_end(usage);
        free(usage);
    }
}

static void add(struct cell *cell, i64 month_ms, u64 count) {
    i64 known_ms = atomic_load_explicit(&cell->month_ms, memory_order_relaxed);
    if (month_ms < known_ms) {
        return;
    }
    u64 before = atomic_load_explicit(&cell->count, memory_order_relaxed);
    if (month_ms > known_ms) {
        /* A reader in between sees the old month, or the new one with nothing yet. */
        atomic_store_explicit(&cell->count, 0, memory_order_release);
        atomic_store_explicit(&cell->month_ms, month_ms, memory_order_release);
        before = 0;
    }
    atomic_store_explicit(&cell->count, before + count, memory_order_release);
}

void usage_count(struct usage *usage, u32 account, const struct event_batch *batch, const u32 *rows,
                 u32 row_count) {
    check(account < ACCOUNTS_MAX);
    for (u32 at = 0; at < row_count;) {
        i64 created_ms = batch->created[rows[at]];
        if (created_ms < usage->from_ms || created_ms >= usage->to_ms) {
            usage->from_ms = budget_this_month(created_ms);
            usage->to_ms = budget_next_month(created_ms);
        }
        u32 from = at++;
        while (at < row_count && batch->created[rows[at]] >= usage->from_ms &&
               batch->created[rows[at]] < usage->to_ms) {
            at++;
        }
        add(&usage->cell[account], usage->from_ms, at - from);
    }
}

u64 usage_of(const struct usage *usage, u32 account, i64 now_ms) {
    check(account < ACCOUNTS_MAX);
    const struct cell *cell = &usage->cell[account];
    i64 month_ms = atomic_load_explicit(&cell->month_ms, memory_order_acquire);
    u64 count = atomic_load_explicit(&cell->count, memory_order_acquire);
    return month_ms != 0 && month_ms == budget_this_month(now_ms) ? count : 0;
}

void usage_get(const struct usage *usage, u32 account, i64 *month_ms, u64 *count) {
    check(account < ACCOUNTS_MAX);
    *month_ms = atomic_load_explicit(&usage->cell[account].month_ms, memory_order_relaxed);
    *count = atomic_load_explicit(&usage->cell[account].count, memory_order_relaxed);
}

void usage_begin(struct usage *usage, u32 account, i64 month_ms, u64 count) {
    check(account < ACCOUNTS_MAX);
    add(&usage->cell[account], month_ms, count);
}

/* --- snapshots -------------------------------------------------------------------------------- */

enum err usage_snapshot_begin(struct usage *usage) {
    u32 count = 0;
    check(usage->saved == NULL);
    for (u32 i = 0; i < ACCOUNTS_MAX; i++) {
        count += atomic_load_explicit(&usage->cell[i].count, memory_order_relaxed) > 0;
    }
    usage->saved = malloc(MAX(count, (u32)1) * sizeof *usage->saved);
    if (usage->saved == NULL) {
        return ERR_NO_MEMORY;
    }
    usage->saved_count = 0;
    for (u32 i = 0; i < ACCOUNTS_MAX && usage->saved_count < count; i++) {
        u64 events = atomic_load_explicit(&usage->cell[i].count, memory_order_relaxed);
        if (events > 0) {
            i64 month_ms = atomic_load_explicit(&usage->cell[i].month_ms, memory_order_relaxed);
            usage->saved[usage->saved_count++] = (struct saved){i, month_ms, events};
        }
    }
    return ERR_OK;
}

struct slice usage_snapshot_bytes(const struct usage *usage) {
    check(usage->saved != NULL);
    return (struct slice){(const char *)usage->saved, usage->saved_count * sizeof *usage->saved};
}

void usage_snapshot_end(struct usage *usage) {
    free(usage->saved);
    usage->saved = NULL;
}

enum err usage_snapshot_load(struct usage *usage, const void *data, usize bytes) {
    struct saved one;
    if (bytes % sizeof one != 0) {
        return ERR_CORRUPT;
    }
    for (usize at = 0; at < bytes; at += sizeof one) {
        memcpy(&one, (const char *)data + at, sizeof one);
        if (one.account >= ACCOUNTS_MAX) {
            return ERR_CORRUPT;
        }
        add(&usage->cell[one.account], one.month_ms, one.count);
    }
    return ERR_OK;
}
