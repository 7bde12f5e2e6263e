/*
 * wire_cell.c: point queries. Clients ask for the same few cells again and again, so the last
 * answers are kept, one a slot of a small table: an answer holds as long as no figure changed
 * (agg_version) and its window still begins at the same time. A hit costs a hash and two copies.
 */
#include <stdlib.h>

#include "api/wire_service.h"
#include "base/hash.h"

#define SLOTS 8192
#define REQUEST_BYTES_MAX 96 /* longer cells are answered without being kept */

struct slot {
    u64 version;
    i64 window_start;
    u32 account; /* 0: free (accounts begin at 1) */
    u32 request_bytes;
    char request[REQUEST_BYTES_MAX];
    char answer[WIRE_POINT_BYTES];
};

const char *wire_cell_read(struct wire_reader *reader, struct wire_cell *out) {
    out->dimension = wire_read_u8(reader);
    out->populations = wire_read_u8(reader);
    out->text_bytes = wire_read_u16(reader);
    out->window_s = wire_read_u32(reader);
    const char *text = wire_take(reader, out->text_bytes);
    if (reader->failed || reader->at != reader->end) {
        return "the cell's length does not fit the request";
    }
    if (out->dimension > WIRE_DIM_SOURCE && out->dimension != WIRE_DIM_NONE) {
        return "a cell has no such dimension";
    }
    if ((out->populations & ~(WIRE_LIVE | WIRE_WITHOUT_REVENUE)) != 0) {
        return "a cell has no such population";
    }
    if (out->text_bytes > sizeof out->text ||
        (out->dimension == WIRE_DIM_NONE) != (out->text_bytes == 0)) {
        return "the cell's text is too long, or missing";
    }
    memcpy(out->text, text, out->text_bytes);
    return NULL;
}

static i64 window_start(const struct wire_cell *cell, i64 now_ms) {
    return cell->window_s == 0 ? INT64_MIN : query_window_start(now_ms, (i64)cell->window_s * 1000);
}

enum err wire_cell_answer(struct context *context, u32 account, const struct wire_cell *cell,
                          i64 now_ms, char *to, const char **why) {
    struct query query = {.account = account,
                          .live = (cell->populations & WIRE_LIVE) != 0,
                          .without_revenue = (cell->populations & WIRE_WITHOUT_REVENUE) != 0,
                          .from = window_start(cell, now_ms),
                          .to = INT64_MAX,
                          .limit = 1};
    if (cell->dimension != WIRE_DIM_NONE) {
        query.filter_mask = (u32)1 << cell->dimension;
        query.filter[cell->dimension] = (struct slice){cell->text, cell->text_bytes};
    }
    if (query_needs_log(context->agg, &query)) {
        *why = "the window begins too early for a point query; use an aggregate";
        return ERR_INVALID;
    }
    struct query_result result;
    enum err err = query_run(context->agg, NULL, &query, &result, why);
    if (err == ERR_OK) {
        to = wire_service_write_figures(to, &result.total);
        to = wire_write_i64(to, result.from);
        wire_write_i64(to, result.to);
        query_result_free(&result);
    }
    return err;
}

static struct slot *find_slot(struct wire_server *server, struct slice request, u32 account) {
    if (request.bytes > REQUEST_BYTES_MAX) {
        return NULL;
    }
    if (server->cache == NULL) {
        server->cache = calloc(SLOTS, sizeof(struct slot));
        if (server->cache == NULL) {
            return NULL;
        }
    }
    struct slot *slots = server->cache;
    return &slots[hash64(request.data, request.bytes, account) % SLOTS];
}

void wire_cell_free_cache(struct wire_server *server) {
    free(server->cache);
    server->cache = NULL;
}

static void keep_answer(struct slot *slot, const struct wire_call *call, u64 version, i64 start,
                        const char *answer) {
    slot->version = version;
    slot->window_start = start;
    slot->account = call->session->account;
    slot->request_bytes = (u32)call->payload.bytes;
    memcpy(slot->request, call->payload.data, call->payload.bytes);
    memcpy(slot->answer, answer, WIRE_POINT_BYTES);
}

static bool answers(const struct slot *slot, const struct wire_call *call, u64 version) {
    if (slot == NULL || slot->version != version || slot->account != call->session->account ||
        slot->request_bytes != call->payload.bytes ||
        memcmp(slot->request, call->payload.data, slot->request_bytes) != 0) {
        return false;
    }
    u32 window_s;
    memcpy(&window_s, slot->request + 4, sizeof window_s);
    return window_s == 0 ||
           slot->window_start == query_window_start(call->now_ms, (i64)window_s * 1000);
}

static void reply(const struct wire_call *call, const char *answer) {
    char *to = wire_reply_begin(call->session, WIRE_POINT_BYTES);
    if (to == NULL) {
        wire_service_error(call->session, call->request, ERR_NO_MEMORY);
        return;
    }
    memcpy(to, answer, WIRE_POINT_BYTES);
    wire_reply_end(call->session, WIRE_POINT | WIRE_REPLY, call->request, to + WIRE_POINT_BYTES);
}

void wire_cell_point(struct wire_call *call) {
    struct wire_session *session = call->session;
    struct context *context = wire_service_context(session);
    if (!wire_service_may(call, SCOPE_EVENTS_READ)) {
        return;
    }
    u64 version = agg_version(context->agg);
    struct slot *slot = find_slot(session->server, call->payload, session->account);
    if (answers(slot, call, version)) {
        reply(call, slot->answer);
        return;
    }
    struct wire_reader reader = wire_reader(call->payload);
    struct wire_cell cell;
    const char *why = wire_cell_read(&reader, &cell);
    char answer[WIRE_POINT_BYTES];
    enum err err = ERR_INVALID;
    if (why == NULL) {
        err = wire_cell_answer(context, session->account, &cell, call->now_ms, answer, &why);
    }
    if (err == ERR_OK) {
        if (slot != NULL) {
            keep_answer(slot, call, version, window_start(&cell, call->now_ms), answer);
        }
        reply(call, answer);
    } else if (err == ERR_INVALID) {
        wire_reply_error(session, call->request, WIRE_INVALID, why);
    } else {
        wire_service_error(session, call->request, err);
    }
}
