/*
 * wire_service.h: the requests of the binary protocol, as handlers of a wire session. Each file
 * wire_*.c has one kind; they share the context with the HTTP handlers and, like them, know nothing
 * of sockets.
 */
#ifndef MARGIN_API_WIRE_SERVICE_H
#define MARGIN_API_WIRE_SERVICE_H

#include "api/context.h"
#include "query/query.h"
#include "wire/session.h"

/* The table for wire_server_init(); its context is a struct context. */
extern const struct wire_service wire_service;

static inline struct context *wire_service_context(const struct wire_session *session) {
    return session->server->context;
}

/* True if the session's key has the scope; else the request is answered with WIRE_FORBIDDEN. */
bool wire_service_may(const struct wire_call *call, enum scope scope);
/* Answers a request with the protocol's word for an operating error. */
void wire_service_error(struct wire_session *session, u32 request, enum err err);
/* Reads `count` filters. False: malformed. The texts lie in the payload. */
struct wire_filter {
    u8 dimension; /* enum wire_dimension */
    struct slice text;
};
bool wire_service_filters(struct wire_reader *reader, u32 count, struct wire_filter *filters);

char *wire_service_write_figures(char *to, const struct figures *figures);

/* --- handlers --------------------------------------------------------------------------------- */

void wire_ingest_json(struct wire_call *call);
void wire_ingest_native(struct wire_call *call);
void wire_cell_point(struct wire_call *call);
void wire_aggregate_rows(struct wire_call *call);
void wire_scan_events(struct wire_call *call);
void wire_subscribe_begin(struct wire_call *call);
void wire_subscribe_end(struct wire_call *call);
/* The session's timer is due; the session is closed. */
void wire_subscribe_timer(struct wire_session *session, u64 now_ns);
void wire_subscribe_closed(struct wire_session *session);

/* --- cells ------------------------------------------------------------------------------------ */

#define WIRE_CELL_TEXT_MAX EVENT_CUSTOMER_MAX

struct wire_cell {
    u8 dimension; /* enum wire_dimension */
    u8 populations;
    u32 window_s;
    u32 text_bytes;
    char text[WIRE_CELL_TEXT_MAX];
};

/* NULL, or why the payload is no cell (static). */
const char *wire_cell_read(struct wire_reader *reader, struct wire_cell *out);
/* Writes WIRE_POINT_BYTES: the cell's figures now and the bounds used. ERR_INVALID with *why, or
 * another error of query_run(). */
enum err wire_cell_answer(struct context *context, u32 account, const struct wire_cell *cell,
                          i64 now_ms, char *to, const char **why);
void wire_cell_free_cache(struct wire_server *server);

#endif
