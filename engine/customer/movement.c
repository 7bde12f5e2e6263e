/* movement.c: see movement.h. */
#include "customer/movement.h"

#include <stdlib.h>
#include <string.h>

#define DAY_MS ((i64)24 * 3600 * 1000)
#define ROOM_MORE 1024 /* candidates beside those that are wanted, until they are sorted */

const char *movement_text(enum movement_category category) {
    static const char *const text[MOVEMENT_CATEGORIES] = {
        [MOVEMENT_NEW] = "new",
        [MOVEMENT_EXPANSION] = "expansion",
        [MOVEMENT_CONTRACTION] = "contraction",
        [MOVEMENT_CHURNED] = "churned",
        [MOVEMENT_STABLE] = "stable",
    };
    return text[category];
}

static i128 size_of(const struct movement *movement) {
    i128 change = movement->current - movement->prior;
    return change < 0 ? -change : change;
}

static int compare(const void *left, const void *right, void *context) {
    const struct movement *a = left;
    const struct movement *b = right;
    i128 size_a = size_of(a);
    i128 size_b = size_of(b);
    if (size_a != size_b) {
        return size_a > size_b ? -1 : 1;
    }
    struct slice id_a = book_id(context, a->customer);
    struct slice id_b = book_id(context, b->customer);
    int order = memcmp(id_a.data, id_b.data, MIN(id_a.bytes, id_b.bytes));
    return order != 0 ? order : (id_a.bytes > id_b.bytes) - (id_a.bytes < id_b.bytes);
}

static enum movement_category category_of(i128 current, i128 prior) {
    if (current == prior) {
        return MOVEMENT_STABLE;
    }
    if (prior == 0) {
        return MOVEMENT_NEW;
    }
    if (current == 0) {
        return MOVEMENT_CHURNED;
    }
    return current > prior ? MOVEMENT_EXPANSION : MOVEMENT_CONTRACTION;
}

static void sort(struct movements *movements, const struct book *book, u64 wanted) {
    if (movements->count > 0) {
        qsort_r(movements->list, movements->count, sizeof *movements->list, compare,
                (void *)(usize)book);
    }
    movements->count = (u32)MIN((u64)movements->count, wanted);
}

enum err movements_make(const struct book *book, i64 now_ms, u64 wanted, struct movements *out) {
    check(wanted > 0);
    i64 before_ms = now_ms - MOVEMENT_DAYS * DAY_MS;
    u32 count = book_count(book);
    u32 room = wanted < count / 2 ? (u32)wanted * 2 + ROOM_MORE : count + 1;
    *out = (struct movements){.list = malloc(room * sizeof *out->list)};
    if (out->list == NULL) {
        return ERR_NO_MEMORY;
    }
    const struct movement *last = NULL; /* of those wanted, so far */
    for (u32 i = 0; i < count; i++) {
        struct movement movement = {.customer = i, .current = book_at(book, i)->mrr};
        u32 at = book_at(book, i)->first_subscription;
        for (; at != BOOK_NONE; at = book->subscriptions[at].next) {
            const struct subscription *subscription = &book->subscriptions[at];
            movement.prior += subscription->created_ms <= before_ms ? subscription->mrr : 0;
        }
        if (movement.current != 0 || movement.prior != 0) {
            movement.category = category_of(movement.current, movement.prior);
            out->sum[movement.category] += size_of(&movement);
            if (last == NULL || compare(&movement, last, (void *)(usize)book) < 0) {
                out->list[out->count++] = movement;
            }
        }
        if (out->count == room) {
            sort(out, book, wanted);
            last = &out->list[out->count - 1];
        }
    }
    sort(out, book, wanted);
    return ERR_OK;
}

void movements_free(struct movements *movements) {
    free(movements->list);
}
