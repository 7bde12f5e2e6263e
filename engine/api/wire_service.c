/*
 * wire_service.c: the table of the binary protocol's handlers, keys and scopes, and the small
 * requests.
 */
#include "api/wire_service.h"

#include <stdatomic.h>
#include <stdio.h>

#include "base/log.h"

_Static_assert((int)WIRE_DIM_SOURCE == (int)DIM_SOURCE && (int)WIRE_DIM_AGENT == (int)QUERY_AGENT,
               "the protocol's dimensions are the store's");
_Static_assert((int)WIRE_ORDER_LAST_SEEN == (int)ORDER_LAST_SEEN &&
                   (int)WIRE_BUCKET_MONTH == (int)BUCKET_MONTH,
               "the protocol's orders and buckets are the query's");

static enum wire_error authenticate(void *context, const char *peer, struct slice key, i64 now_ms,
                                    u32 *account, u32 *scopes) {
    struct context *api = context;
    struct identity identity;
    u32 retry_s;
    enum err err = accounts_authenticate(api->accounts, key, now_ms, &identity);
    if (err == ERR_OK && identity.key != 0) {
        *account = identity.account;
        *scopes = identity.scopes;
        return 0;
    }
    /* A session's rights depend on more than its scopes: its token is no key here. */
    if (err == ERR_CORRUPT || err == ERR_VERSION) {
        log_error("account_unreadable", "reason=%s", err_text(err));
        return WIRE_INTERNAL;
    }
    if (err == ERR_OK || err == ERR_NOT_FOUND) {
        bool is_first = door_count_bad_key(api, peer, now_ms, &retry_s);
        return is_first ? WIRE_UNAUTHORIZED : WIRE_GUESSING;
    }
    return WIRE_BUSY;
}

static bool ready(void *context) {
    const struct context *api = context;
    return atomic_load_explicit(api->ready, memory_order_acquire);
}

bool wire_service_may(const struct wire_call *call, enum scope scope) {
    const struct identity identity = {.scopes = call->session->scopes};
    if (identity_may(&identity, scope)) {
        return true;
    }
    char text[96];
    snprintf(text, sizeof text, "the key lacks the scope %s", scope_text(scope));
    wire_reply_error(call->session, call->request, WIRE_FORBIDDEN, text);
    return false;
}

void wire_service_error(struct wire_session *session, u32 request, enum err err) {
    switch (err) {
    case ERR_BUSY:
    case ERR_NO_MEMORY:
        wire_reply_error(session, request, WIRE_BUSY, "the server is overloaded; try again");
        break;
    case ERR_NO_SPACE:
        wire_reply_error(session, request, WIRE_NO_SPACE, "the disk is full; nothing was stored");
        break;
    case ERR_LIMIT:
        wire_reply_error(session, request, WIRE_LIMIT,
                         "the answer has too many rows; filter more or group less");
        break;
    case ERR_INVALID:
        wire_reply_error(session, request, WIRE_INVALID, "the request is not valid");
        break;
    default:
        wire_reply_error(session, request, WIRE_INTERNAL, err_text(err));
        break;
    }
}

bool wire_service_filters(struct wire_reader *reader, u32 count, struct wire_filter *filters) {
    if (count > WIRE_FILTERS_MAX) {
        return false;
    }
    for (u32 i = 0; i < count; i++) {
        filters[i].dimension = wire_read_u8(reader);
        u8 reserved = wire_read_u8(reader);
        filters[i].text = wire_read_text(reader);
        if (reserved != 0 || filters[i].text.data == NULL) {
            return false;
        }
    }
    return !reader->failed && reader->at == reader->end;
}

char *wire_service_write_figures(char *to, const struct figures *figures) {
    to = wire_write_u64(to, figures->events);
    to = wire_write_i128(to, figures->cost);
    to = wire_write_i128(to, figures->revenue);
    to = wire_write_i128(to, figures->usage);
    to = wire_write_u64(to, figures->input);
    to = wire_write_u64(to, figures->output);
    to = wire_write_u64(to, figures->cached);
    to = wire_write_u64(to, figures->cache_write);
    to = wire_write_u64(to, figures->duration_ms);
    to = wire_write_u64(to, figures->duration_count);
    to = wire_write_i64(to, figures->first_seen);
    to = wire_write_i64(to, figures->last_seen);
    return wire_write_u64(to, figures->unpriced);
}

/* --- statistics ------------------------------------------------------------------------------- */

struct stat {
    const char *name;
    u64 value;
};

static u32 gather_stats(struct context *context, struct stat *stats) {
    struct pipeline_stats pipeline;
    struct store_stats store;
    pipeline_get_stats(context->pipeline, &pipeline);
    store_get_stats(context->store, &store);
    const struct stat all[] = {
        {"events", store.events},
        {"accepted", pipeline.accepted},
        {"duplicates", pipeline.duplicates},
        {"conflicts", pipeline.conflicts},
        {"invalid", pipeline.invalid},
        {"unpriced", pipeline.unpriced},
        {"commits", pipeline.commits},
        {"commit_ns", pipeline.commit_ns},
        {"overloaded", pipeline.overloaded},
        {"no_space", pipeline.no_space},
        {"queued_batches", pipeline.queued_batches},
        {"snapshots", pipeline.snapshots},
        {"snapshot_ms", pipeline.snapshot_ms},
        {"blocks", store.blocks},
        {"segments", store.segments},
        {"log_bytes", store.log_bytes},
        {"payload_bytes", store.payload_bytes},
        {"append_count", store.append_count},
        {"append_ns", store.append_ns},
        {"sync_ns", store.sync_ns},
        {"damaged_blocks", store.damaged_blocks},
        {"series", agg_series_count(context->agg)},
        {"agg_memory_bytes", agg_memory_bytes(context->agg)},
        {"expiring", pipeline.expiring},
    };
    memcpy(stats, all, sizeof all);
    return ARRAY_COUNT(all);
}

static void stats(struct wire_call *call) {
    if (!wire_service_may(call, SCOPE_ADMIN)) {
        return;
    }
    struct stat list[32];
    u32 count = gather_stats(wire_service_context(call->session), list);
    usize bytes = 4;
    for (u32 i = 0; i < count; i++) {
        bytes += 10 + strlen(list[i].name);
    }
    char *to = wire_reply_begin(call->session, bytes);
    if (to == NULL) {
        wire_service_error(call->session, call->request, ERR_NO_MEMORY);
        return;
    }
    to = wire_write_u32(to, count);
    for (u32 i = 0; i < count; i++) {
        to = wire_write_u64(to, list[i].value);
        to = wire_write_text(to, (struct slice){list[i].name, strlen(list[i].name)});
    }
    wire_reply_end(call->session, WIRE_STATS | WIRE_REPLY, call->request, to);
}

const struct wire_service wire_service = {
    .authenticate = authenticate,
    .ready = ready,
    .handler =
        {
            [WIRE_INGEST_JSON] = wire_ingest_json,
            [WIRE_INGEST_NATIVE] = wire_ingest_native,
            [WIRE_POINT] = wire_cell_point,
            [WIRE_AGGREGATE] = wire_aggregate_rows,
            [WIRE_SCAN] = wire_scan_events,
            [WIRE_SUBSCRIBE] = wire_subscribe_begin,
            [WIRE_UNSUBSCRIBE] = wire_subscribe_end,
            [WIRE_STATS] = stats,
        },
    .timer = wire_subscribe_timer,
    .closed = wire_subscribe_closed,
    .server_closed = wire_cell_free_cache,
};
