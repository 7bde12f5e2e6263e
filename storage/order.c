/* order.c: see order.h. Only the few blocks that are asked for are put in order: hence a heap. */
#include "storage/order.h"

#include <stdlib.h>

#define ROOM_FIRST 1024
#define ROOM_MORE 256 /* blocks that may come while memory is taken */

struct order_place order_first(bool newest, const struct log_span *span) {
    return (struct order_place){newest ? span->time_max : span->time_min, span->end_id - 1};
}

bool order_before(bool newest, struct order_place a, struct order_place b) {
    if (a.time != b.time) {
        return newest ? a.time > b.time : a.time < b.time;
    }
    return a.id > b.id;
}

static bool is_before(const struct order *order, usize a, usize b) {
    return order_before(order->newest, order_first(order->newest, &order->spans[a]),
                        order_first(order->newest, &order->spans[b]));
}

static void sift_down(struct order *order, usize at) {
    for (;;) {
        usize best = at;
        for (usize child = 2 * at + 1; child <= 2 * at + 2 && child < order->count; child++) {
            best = is_before(order, child, best) ? child : best;
        }
        if (best == at) {
            return;
        }
        struct log_span moved = order->spans[at];
        order->spans[at] = order->spans[best];
        order->spans[best] = moved;
        at = best;
    }
}

enum err order_make(struct order *order, struct log *log, const struct store_filter *filter,
                    bool newest) {
    *order = (struct order){.newest = newest};
    for (usize room = ROOM_FIRST;; room = order->count + ROOM_MORE) {
        struct log_span *spans = realloc(order->spans, room * sizeof *spans);
        if (spans == NULL) {
            order_free(order);
            return ERR_NO_MEMORY;
        }
        order->spans = spans;
        order->count = log_spans(log, filter, spans, room);
        if (order->count <= room) {
            break;
        }
    }
    for (usize at = order->count / 2; at > 0; at--) {
        sift_down(order, at - 1);
    }
    return ERR_OK;
}

bool order_next(struct order *order, struct log_span *out) {
    if (order->count == 0) {
        return false;
    }
    *out = order->spans[0];
    order->spans[0] = order->spans[--order->count];
    sift_down(order, 0);
    return true;
}

void order_free(struct order *order) {
    free(order->spans);
    *order = (struct order){0};
}
