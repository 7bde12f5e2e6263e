/*
 * wire_subscribe.c: pushes. A session has a short list of cells and one timer, set to whichever is
 * due first. A cell is computed only if any figure changed since, and pushed only if it changed
 * itself.
 */
#include <stdlib.h>

#include "api/wire_service.h"

struct subscription {
    u32 request;
    u32 interval_ms;
    u64 due_ns;
    u64 version; /* agg_version() of the answer */
    struct wire_cell cell;
    char answer[WIRE_POINT_BYTES];
};

struct subscriptions { /* session->user */
    u32 count;
    struct subscription list[WIRE_SUBSCRIPTIONS_MAX];
};

static void set_timer(struct wire_session *session) {
    const struct subscriptions *all = session->user;
    u64 due_ns = 0;
    for (u32 i = 0; i < all->count; i++) {
        due_ns = due_ns == 0 ? all->list[i].due_ns : MIN(due_ns, all->list[i].due_ns);
    }
    wire_session_set_timer(session, due_ns);
}

static void send_answer(struct wire_session *session, u8 type,
                        const struct subscription *subscription) {
    char *to = wire_reply_begin(session, WIRE_POINT_BYTES);
    if (to != NULL) {
        memcpy(to, subscription->answer, WIRE_POINT_BYTES);
        wire_reply_end(session, type, subscription->request, to + WIRE_POINT_BYTES);
    }
}

/* A place for one more subscription under the request's number, or NULL with the code and why. */
static struct subscription *add(struct wire_session *session, u32 request, enum wire_error *code,
                                const char **why) {
    struct subscriptions *all = session->user;
    if (all == NULL) {
        session->user = all = calloc(1, sizeof *all);
    }
    *code = WIRE_BUSY;
    *why = "no memory for subscriptions";
    if (all == NULL) {
        return NULL;
    }
    *code = WIRE_LIMIT;
    *why = "a connection has at most 64 subscriptions";
    if (all->count == WIRE_SUBSCRIPTIONS_MAX) {
        return NULL;
    }
    *code = WIRE_INVALID;
    *why = "this connection has a subscription with that request number";
    for (u32 i = 0; i < all->count; i++) {
        if (all->list[i].request == request) {
            return NULL;
        }
    }
    struct subscription *subscription = &all->list[all->count];
    subscription->request = request;
    return subscription;
}

void wire_subscribe_begin(struct wire_call *call) {
    struct wire_session *session = call->session;
    struct context *context = wire_service_context(session);
    if (!wire_service_may(call, SCOPE_EVENTS_READ)) {
        return;
    }
    enum wire_error code;
    const char *why;
    struct subscription *new = add(session, call->request, &code, &why);
    if (new == NULL) {
        wire_reply_error(session, call->request, code, why);
        return;
    }
    struct wire_reader reader = wire_reader(call->payload);
    u32 interval_ms = wire_read_u32(&reader);
    why = wire_cell_read(&reader, &new->cell);
    enum err err = ERR_INVALID;
    if (why == NULL) {
        new->interval_ms = MAX(interval_ms, (u32)WIRE_INTERVAL_MS_MIN);
        new->version = agg_version(context->agg);
        err = wire_cell_answer(context, session->account, &new->cell, call->now_ms, new->answer,
                               &why);
    }
    if (err == ERR_INVALID) {
        wire_reply_error(session, call->request, WIRE_INVALID, why);
    } else if (err != ERR_OK) {
        wire_service_error(session, call->request, err);
    } else {
        send_answer(session, WIRE_SUBSCRIBE | WIRE_REPLY, new);
        new->due_ns = session->server->io->monotonic_ns() + (u64) new->interval_ms * 1000000;
        ((struct subscriptions *)session->user)->count++;
        set_timer(session);
    }
}

void wire_subscribe_end(struct wire_call *call) {
    struct subscriptions *all = call->session->user;
    struct wire_reader reader = wire_reader(call->payload);
    u32 request = wire_read_u32(&reader);
    for (u32 i = 0; all != NULL && !reader.failed && i < all->count; i++) {
        if (all->list[i].request == request) {
            all->list[i] = all->list[--all->count];
            set_timer(call->session);
            wire_reply_empty(call);
            return;
        }
    }
    wire_reply_error(call->session, call->request, WIRE_INVALID, "no such subscription");
}

/* Computes the cell again; true if it has changed. A window moves with time, so its cell may change
 * although no event came. */
static bool refresh(struct wire_session *session, struct subscription *subscription, i64 now_ms) {
    struct context *context = wire_service_context(session);
    u64 version = agg_version(context->agg);
    if (version == subscription->version && subscription->cell.window_s == 0) {
        return false;
    }
    char answer[WIRE_POINT_BYTES];
    const char *why;
    if (wire_cell_answer(context, session->account, &subscription->cell, now_ms, answer, &why) !=
        ERR_OK) {
        return false; /* the next turn tries again */
    }
    subscription->version = version;
    bool changed = memcmp(answer, subscription->answer, WIRE_POINT_BYTES) != 0;
    memcpy(subscription->answer, answer, WIRE_POINT_BYTES);
    return changed;
}

void wire_subscribe_timer(struct wire_session *session, u64 now_ns) {
    struct subscriptions *all = session->user;
    i64 now_ms = session->server->io->wall_ms();
    for (u32 i = 0; i < all->count; i++) {
        struct subscription *subscription = &all->list[i];
        if (subscription->due_ns > now_ns) {
            continue;
        }
        subscription->due_ns = now_ns + (u64)subscription->interval_ms * 1000000;
        if (!session->stalled && refresh(session, subscription, now_ms)) {
            send_answer(session, WIRE_PUSH, subscription);
        }
    }
    set_timer(session);
}

void wire_subscribe_closed(struct wire_session *session) {
    free(session->user);
    session->user = NULL;
}
