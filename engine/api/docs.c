/*
 * docs.c: the three forms of the documentation and their handlers. The page is a template with the
 * OpenAPI document put into it, so that it needs nothing else: no second request, no foreign host.
 */
#include "api/docs.h"

#include <string.h>

#include "api/context.h"
#include "api/openapi.h"
#include "api/routes.h"
#include "base/embedded.h"

static const char mark[] = "@OPENAPI@";

/* --- the page --------------------------------------------------------------------------------- */

static struct slice page_template(void) {
    for (u32 i = 0; i < embedded_file_count; i++) {
        if (strcmp(embedded_files[i].name, "schema/docs.html") == 0) {
            return (struct slice){(const char *)embedded_files[i].data, embedded_files[i].bytes};
        }
    }
    return (struct slice){NULL, 0};
}

/* JSON in a script element: no "<" may stand in it, and in JSON one only stands in strings. */
static void put_json_in_html(struct buf *out, struct slice json) {
    usize from = 0;
    for (usize at = 0; at < json.bytes; at++) {
        if (json.data[at] == '<') {
            buf_put(out, json.data + from, at - from);
            buf_put_text(out, "\\u003c");
            from = at + 1;
        }
    }
    buf_put(out, json.data + from, json.bytes - from);
}

static enum err make_page(struct docs *docs) {
    struct slice page = page_template();
    const char *at = page.bytes == 0 ? NULL : memmem(page.data, page.bytes, mark, sizeof mark - 1);
    if (at == NULL) {
        return ERR_CORRUPT;
    }
    usize before = (usize)(at - page.data);
    usize after = before + sizeof mark - 1;
    buf_put(&docs->page, page.data, before);
    put_json_in_html(&docs->page, buf_slice(&docs->openapi));
    buf_put(&docs->page, page.data + after, page.bytes - after);
    return ERR_OK;
}

/* --- plain text ------------------------------------------------------------------------------- */

static const char about[] =
    "# margind\n\n"
    "> What AI usage costs, earns and leaves. Send usage events (who, which feature, which model, "
    "how many tokens), read figures by customer, feature and model.\n\n"
    "The whole description, with every schema: [/openapi.json](/openapi.json); for people: "
    "[/docs](/docs).\n\n"
    "- Credentials: header `Observe-Key: obs_...`, or `Authorization: Bearer` with a key or the "
    "token of a session. A key may do what its scopes say; a session's viewer only reads.\n"
    "- Every path under /api/, but for /api/v1/, works without /api, too.\n"
    "- Bodies are JSON. What is sent is camelCase in events and snake_case elsewhere, answers are "
    "snake_case. Times are RFC 3339 in UTC, money is USD.\n"
    "- Errors: `{\"error\": text, \"code\": word}`; under /api/v1/client/ `{\"success\": false, "
    "\"error\": {\"code\", \"message\"}}`. 429 and 503 say in `Retry-After` when to try again.\n"
    "- Store events: `POST /api/events/ingest` with `{\"events\": [{\"eventName\": \"chat\", "
    "\"customerReferenceId\": \"acme\", \"featureKey\": \"search\", \"model\": \"gpt-4o-mini\", "
    "\"inputTokens\": 150, \"outputTokens\": 80, \"idempotencyKey\": \"...\"}]}`. A 200 means that "
    "the accepted ones are on disk and counted; sending a key again counts nothing twice.\n";

static void put_query(struct buf *out, const struct schemas *schemas, const char *query) {
    struct slice names = {query, query == NULL ? 0 : strlen(query)};
    struct slice name;
    const char *before = " Query: ";
    while (schemas_next_name(&names, &name)) {
        const struct schema *parameter = schemas_find_parameter(schemas, name);
        struct slice text = {NULL, 0};
        if (parameter != NULL) {
            text = schemas_member(parameter, "name");
        }
        buf_put_text(out, before);
        buf_put_slice(out, text.bytes > 0 ? text : name);
        before = ", ";
    }
    buf_put_text(out, query != NULL ? "." : "");
}

static void put_row(struct buf *out, const struct schemas *schemas, const struct route *route) {
    buf_put_format(out, "- `%s %s`: %s.", openapi_method_text(route->method), route->path,
                   route->summary);
    if (route->scope == ROUTE_PUBLIC) {
        buf_put_text(out, " Public.");
    } else if (route->caller != CALLER_ANY) {
        buf_put_text(out, route->caller == CALLER_SESSION_OWNER ? " Session of an owner."
                                                                : " Session only.");
    } else {
        buf_put_format(out, " Scope: %s.", openapi_scope_text(route->scope));
    }
    put_query(out, schemas, route->query);
    if (route->request != NULL) {
        buf_put_format(out, " Body: %s.", route->request);
    }
    buf_put_format(out, " Answer: %s.\n", route->response);
}

static bool is_first_of_tag(u32 row) {
    for (u32 before = 0; before < row; before++) {
        if (strcmp(routes_table[before].tag, routes_table[row].tag) == 0) {
            return false;
        }
    }
    return true;
}

static void make_text(struct docs *docs, const struct schemas *schemas) {
    struct buf *out = &docs->text;
    buf_put_text(out, about);
    for (u32 row = 0; row < routes_count; row++) {
        if (!is_first_of_tag(row)) {
            continue;
        }
        buf_put_format(out, "\n## %s\n\n", routes_table[row].tag);
        for (u32 other = row; other < routes_count; other++) {
            if (strcmp(routes_table[other].tag, routes_table[row].tag) == 0) {
                put_row(out, schemas, &routes_table[other]);
            }
        }
    }
}

/* --- all of it -------------------------------------------------------------------------------- */

enum err docs_make(struct docs *docs) {
    struct schemas schemas;
    buf_init(&docs->openapi, REPLY_BYTES_MAX);
    buf_init(&docs->page, REPLY_BYTES_MAX);
    buf_init(&docs->text, REPLY_BYTES_MAX);
    enum err err = schemas_read(&schemas);
    if (err == ERR_OK) {
        openapi_write(&schemas, &docs->openapi);
        make_text(docs, &schemas);
        err = make_page(docs);
    }
    schemas_free(&schemas);
    bool failed = docs->openapi.failed || docs->page.failed || docs->text.failed;
    return err == ERR_OK && failed ? ERR_NO_MEMORY : err;
}

void docs_free(struct docs *docs) {
    buf_free(&docs->openapi);
    buf_free(&docs->page);
    buf_free(&docs->text);
}

static enum call_outcome reply(struct http_call *call, const struct buf *body, const char *type) {
    call->content_type = type;
    buf_put_text(&call->headers, "Cache-Control: no-cache\r\n"
                                 "X-Content-Type-Options: nosniff\r\n");
    buf_put_slice(&call->reply, buf_slice(body));
    return CALL_DONE;
}

enum call_outcome docs_handle_openapi(struct http_call *call) {
    const struct context *context = call->context;
    return reply(call, &context->docs->openapi, "application/json");
}

enum call_outcome docs_handle_page(struct http_call *call) {
    const struct context *context = call->context;
    buf_put_text(&call->headers,
                 "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; "
                 "script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
                 "frame-ancestors 'none'\r\n");
    return reply(call, &context->docs->page, "text/html; charset=utf-8");
}

enum call_outcome docs_handle_text(struct http_call *call) {
    const struct context *context = call->context;
    return reply(call, &context->docs->text, "text/plain; charset=utf-8");
}
