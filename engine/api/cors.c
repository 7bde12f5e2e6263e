/*
 * cors.c: see cors.h. A listed origin is trusted with credentials; under "*" nobody is, since then
 * any page could read with the cookie of whoever looks at it.
 */
#include "api/cors.h"

#include <string.h>
#include <strings.h>

#include "http/reply.h"

#define SEPARATORS ", \t"

/* Takes the next origin off the list. */
static bool next_origin(const char **list, struct slice *origin) {
    const char *at = *list + strspn(*list, SEPARATORS);
    *origin = (struct slice){at, strcspn(at, SEPARATORS)};
    *list = at + origin->bytes;
    return origin->bytes > 0;
}

static bool is_any(const char *list) {
    struct slice first;
    return next_origin(&list, &first) && first.bytes == 1 && first.data[0] == '*';
}

static bool is_origin(struct slice text) {
    usize scheme = text.bytes > 8 && memcmp(text.data, "https://", 8) == 0  ? 8
                   : text.bytes > 7 && memcmp(text.data, "http://", 7) == 0 ? 7
                                                                            : 0;
    for (usize at = scheme; at < text.bytes; at++) {
        char c = text.data[at];
        bool good = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || strchr(".:-[]", c) != NULL;
        if (!good || c == 0) {
            return false;
        }
    }
    return scheme > 0;
}

bool cors_is_list(const char *list) {
    struct slice origin;
    u32 count = 0;
    bool any = is_any(list);
    while (next_origin(&list, &origin)) {
        count++;
        if (!any && !is_origin(origin)) {
            return false;
        }
    }
    return !any || count == 1;
}

/* Browsers send origins in lower case. */
bool cors_names(const char *list, struct slice wanted) {
    struct slice origin;
    while (next_origin(&list, &origin)) {
        if (origin.bytes == wanted.bytes && memcmp(origin.data, wanted.data, wanted.bytes) == 0) {
            return true;
        }
    }
    return false;
}

/* The lines that let the page in; false: it is not let in. */
static bool put_origin(struct http_call *call, const char *list) {
    struct slice origin;
    if (is_any(list)) {
        buf_put_text(&call->headers, "Access-Control-Allow-Origin: *\r\n");
        return true;
    }
    if (!http_call_header(call, "origin", &origin) || !cors_names(list, origin)) {
        return false;
    }
    buf_put_text(&call->headers, "Access-Control-Allow-Origin: ");
    buf_put_slice(&call->headers, origin);
    buf_put_text(&call->headers, "\r\nAccess-Control-Allow-Credentials: true\r\n");
    return true;
}

void cors_put(struct http_call *call, const char *list) {
    buf_put_text(&call->headers, "Vary: Origin\r\n");
    if (put_origin(call, list)) {
        buf_put_text(&call->headers,
                     "Access-Control-Expose-Headers: RateLimit-Limit, RateLimit-Remaining, "
                     "RateLimit-Reset, Retry-After, X-Request-ID, X-Total-Rows, X-Window-From, "
                     "X-Window-To\r\n");
    }
}

bool cors_preflight(struct http_call *call, const char *list, u32 methods) {
    struct slice origin;
    struct slice asked;
    if (!http_call_header(call, "origin", &origin) ||
        !http_call_header(call, "access-control-request-method", &asked)) {
        return false;
    }
    call->status = 204;
    buf_clear(&call->headers);
    buf_put_text(&call->headers, "Vary: Origin, Access-Control-Request-Headers\r\n");
    if (!put_origin(call, list)) {
        return true;
    }
    http_put_methods(&call->headers, "Access-Control-Allow-Methods", methods);
    if (http_call_header(call, "access-control-request-headers", &asked)) {
        buf_put_text(&call->headers, "Access-Control-Allow-Headers: ");
        buf_put_slice(&call->headers, asked);
        buf_put_text(&call->headers, "\r\n");
    }
    buf_put_text(&call->headers, "Access-Control-Max-Age: 7200\r\n");
    return true;
}
