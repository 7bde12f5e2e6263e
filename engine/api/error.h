/*
 * error.h: replies that say no. The management and ingest endpoints answer {"error", "code"}; the
 * client endpoints (Observe API section 3) have an envelope of their own. Each function fills the
 * reply and returns CALL_DONE, so that a handler may end with `return error_reply(...)`.
 */
#ifndef MARGIN_API_ERROR_H
#define MARGIN_API_ERROR_H

#include "http/call.h"

/* `code` is the word of the API's table for the status. */
enum call_outcome error_reply(struct http_call *call, u16 status, const char *code,
                              const char *text);
enum call_outcome error_invalid(struct http_call *call, const char *text);
/* As error_invalid, with " at byte N" behind the text. */
enum call_outcome error_invalid_at(struct http_call *call, const char *text, usize position);
enum call_outcome error_not_found(struct http_call *call, const char *text);
/* 503 with Retry-After: 1; nothing was done. */
enum call_outcome error_overloaded(struct http_call *call, const char *text);
/* The reply an operating error of the engine stands for. */
enum call_outcome error_of(struct http_call *call, enum err err);

/* {"success":false,"error":{"code","message","detail"}}; `detail` may be NULL. A 500
 * also has an errorId, which the log has too. */
enum call_outcome error_client(struct http_call *call, u16 status, const char *code,
                               const char *message, const char *detail);

#define ERROR_CLIENT_PREFIX "/api/v1/client/" /* where the client endpoints are */

/* The path is one of the client endpoints'. */
bool error_is_client(const struct http_call *call);

/* What the HTTP layer says no to by itself, in the shape of the path: see http_server. */
void error_refusal(struct http_call *call, const char *text);

#endif
