/*
 * openapi.c: the route table and the schemas, put together in the form that OpenAPI 3.1 wants. What
 * OpenAPI has no word for stands in members of our own, which begin with "x-": who may call an
 * endpoint and how it is limited. Errors are named once among the components and referred to.
 */
#include "api/openapi.h"

#include <stdio.h>
#include <string.h>

#include "api/auth.h"
#include "api/error.h"
#include "http/reply.h"
#include "version.h"
#include "json/write.h"

static const char about[] =
    "Takes usage events of AI features (who, which feature, which model, how many tokens, what it "
    "cost, what it earned) and answers at once what each customer, feature and model costs, earns "
    "and leaves as margin. Every path under /api/, but for /api/v1/, is served without /api, too. "
    "Bodies are UTF-8 JSON, gzip and zstd are accepted. Times are UTC, money is USD with up to 12 "
    "decimals. A 2xx to events that were sent means that they are on disk and in the figures. "
    "A session that belongs to several accounts chooses one by the header X-Account-Id.";

static const char *const methods[HTTP_METHODS] = {"GET",   "HEAD",   "POST",   "PUT",
                                                  "PATCH", "DELETE", "OPTIONS"};
static const char *const limits[LIMIT_CLASSES] = {
    [LIMIT_MANAGE] = "management", [LIMIT_NONE] = "none",           [LIMIT_AUTH] = "auth",
    [LIMIT_SIGNUP] = "signup",     [LIMIT_EXPENSIVE] = "expensive", [LIMIT_INGEST] = "ingest"};
static const char *const callers[] = {[CALLER_ANY] = "any",
                                      [CALLER_SESSION] = "session",
                                      [CALLER_SESSION_ALL] = "session_all",
                                      [CALLER_SESSION_OWNER] = "session_owner"};

static const struct {
    u16 status;
    const char *text;
} errors[] = {
    {400, "Malformed JSON, or a missing or invalid field."},
    {401, "No credential, or one that is unknown, revoked or expired."},
    {402, "Payment required."},
    {403, "The key lacks the scope, the session's role is too low, or the caller may not do this."},
    {404, "No such object in this account."},
    {405, "The path does not know the method; Allow says which it knows."},
    {408, "The request came too slowly."},
    {409, "It exists already."},
    {413, "The body is too large."},
    {415, "Unsupported Content-Encoding; gzip and zstd are known."},
    {429, "A rate limit, the monthly event limit or the key's budget; Retry-After says when."},
    {500, "A fault here; nothing of the request was stored."},
    {501, "Not built into this server."},
    {502, "The service behind this one could not be reached, or refused."},
    {503, "The server starts, or a queue or the disk is full; try again after Retry-After."},
};

const char *openapi_method_text(enum http_method method) {
    return methods[method];
}

const char *openapi_scope_text(u32 scope) {
    return scope == ROUTE_PUBLIC           ? "public"
           : scope == ROUTE_ANY_CREDENTIAL ? "any credential"
                                           : scope_text((enum scope)scope);
}

/* --- small parts ------------------------------------------------------------------------------ */

static void put(struct json_writer *json, const char *key, const char *text) {
    json_key(json, key);
    json_text(json, text);
}

static void begin(struct json_writer *json, const char *key) {
    json_key(json, key);
    json_object_begin(json);
}

static void put_ref(struct json_writer *json, const char *kind, struct slice name) {
    char text[160];
    int bytes =
        snprintf(text, sizeof text, "#/components/%s/%.*s", kind, (int)name.bytes, name.data);
    check(bytes > 0 && bytes < (int)sizeof text);
    json_object_begin(json);
    put(json, "$ref", text);
    json_object_end(json);
}

static struct slice slice_of(const char *text) {
    return (struct slice){text, text == NULL ? 0 : strlen(text)};
}

static bool is_client(const struct route *route) {
    return strncmp(route->path, ERROR_CLIENT_PREFIX, sizeof ERROR_CLIENT_PREFIX - 1) == 0;
}

/* {"content": ...} of a body. */
static void put_content(struct json_writer *json, const char *schema) {
    bool is_json = strchr(schema, '/') == NULL;
    begin(json, "content");
    begin(json, is_json ? "application/json" : schema);
    json_key(json, "schema");
    if (is_json) {
        put_ref(json, "schemas", slice_of(schema));
    } else {
        json_object_begin(json);
        put(json, "type", "string");
        json_object_end(json);
    }
    json_object_end(json);
    json_object_end(json);
}

/* --- operations ------------------------------------------------------------------------------- */

/* GET /api/events/{id} is get_events_id. */
static void put_operation_id(struct json_writer *json, const struct route *route) {
    char id[128];
    usize bytes = 0;
    for (const char *from = methods[route->method]; *from != 0; from++) {
        id[bytes++] = (char)(*from | 0x20);
    }
    const char *path = route->path + (strncmp(route->path, "/api/", 5) == 0 ? 4 : 0);
    for (; *path != 0; path++) {
        check(bytes < sizeof id);
        if (*path != '{' && *path != '}') {
            bool word = strchr("/-.", *path) == NULL;
            id[bytes++] = word ? *path : '_';
        }
    }
    json_key(json, "operationId");
    json_string(json, (struct slice){id, bytes});
}

static void put_parameters(struct json_writer *json, const struct route *route) {
    json_key(json, "parameters");
    json_array_begin(json);
    for (const char *at = strchr(route->path, '{'); at != NULL; at = strchr(at, '{')) {
        at++;
        put_ref(json, "parameters", (struct slice){at, strcspn(at, "}")});
    }
    struct slice names = slice_of(route->query);
    struct slice name;
    while (schemas_next_name(&names, &name)) {
        put_ref(json, "parameters", name);
    }
    json_array_end(json);
}

/* One of the ways to show who calls; scopes are a matter of keys. */
static void put_scheme(struct json_writer *json, const char *scheme, u32 scope) {
    json_object_begin(json);
    json_key(json, scheme);
    json_array_begin(json);
    if (scope < SCOPES) {
        json_text(json, scope_text((enum scope)scope));
    }
    json_array_end(json);
    json_object_end(json);
}

static void put_security(struct json_writer *json, const struct route *route) {
    json_key(json, "security");
    json_array_begin(json);
    if (route->scope != ROUTE_PUBLIC) {
        if (route->caller == CALLER_ANY) {
            put_scheme(json, "key", route->scope);
        }
        put_scheme(json, "bearer", route->caller == CALLER_ANY ? route->scope : ROUTE_PUBLIC);
        if (!is_client(route)) {
            put_scheme(json, "session", ROUTE_PUBLIC);
        }
    }
    json_array_end(json);
    put(json, "x-scope", openapi_scope_text(route->scope));
    put(json, "x-caller", callers[route->caller]);
    put(json, "x-rate-limit", limits[route->limit]);
}

static bool has_error(const struct route *route, u16 status) {
    char text[8];
    snprintf(text, sizeof text, "%u", status);
    bool is_public = route->scope == ROUTE_PUBLIC;
    switch (status) {
    case 400:
    case 408:
    case 500:
    case 503:
        return true;
    case 401:
    case 403:
        return !is_public || (route->errors != NULL && strstr(route->errors, text) != NULL);
    case 413:
    case 415:
        return route->method != HTTP_GET;
    case 429:
        return route->limit != LIMIT_NONE;
    case 404:
        if (strchr(route->path, '{') != NULL) {
            return true;
        }
        break;
    default:
        break;
    }
    return route->errors != NULL && strstr(route->errors, text) != NULL;
}

static void put_responses(struct json_writer *json, const struct route *route) {
    u16 status = route->status != 0 ? route->status : 200;
    char text[24];
    snprintf(text, sizeof text, "%u", status);
    begin(json, "responses");
    begin(json, text);
    put(json, "description", http_status_text(status));
    if (route->limit != LIMIT_NONE) {
        begin(json, "headers");
        static const char *const names[] = {"RateLimit-Limit", "RateLimit-Remaining",
                                            "RateLimit-Reset"};
        for (u32 i = 0; i < ARRAY_COUNT(names); i++) {
            json_key(json, names[i]);
            put_ref(json, "headers", slice_of(names[i]));
        }
        json_object_end(json);
    }
    put_content(json, route->response);
    json_object_end(json);
    for (u32 i = 0; i < ARRAY_COUNT(errors); i++) {
        if (has_error(route, errors[i].status)) {
            snprintf(text, sizeof text, "%u", errors[i].status);
            json_key(json, text);
            int bytes = snprintf(text, sizeof text, "%s_%u", is_client(route) ? "client" : "error",
                                 errors[i].status);
            put_ref(json, "responses", (struct slice){text, (usize)bytes});
        }
    }
    json_object_end(json);
}

static void put_operation(struct json_writer *json, const struct route *route) {
    char method[8] = "";
    for (u32 i = 0; methods[route->method][i] != 0; i++) {
        method[i] = (char)(methods[route->method][i] | 0x20);
    }
    begin(json, method);
    json_key(json, "tags");
    json_array_begin(json);
    json_text(json, route->tag);
    json_array_end(json);
    put(json, "summary", route->summary);
    put_operation_id(json, route);
    put_parameters(json, route);
    if (route->request != NULL) {
        begin(json, "requestBody");
        json_key(json, "required");
        json_bool(json, !route->body_optional);
        put_content(json, route->request);
        json_object_end(json);
    }
    put_security(json, route);
    put_responses(json, route);
    json_object_end(json);
}

/* The rows of one path need not follow each other in the table. */
static void put_paths(struct json_writer *json) {
    begin(json, "paths");
    for (u32 row = 0; row < routes_count; row++) {
        const char *path = routes_table[row].path;
        u32 first = 0;
        while (strcmp(routes_table[first].path, path) != 0) {
            first++;
        }
        if (first < row) {
            continue;
        }
        begin(json, path);
        for (u32 other = row; other < routes_count; other++) {
            if (strcmp(routes_table[other].path, path) == 0) {
                put_operation(json, &routes_table[other]);
            }
        }
        json_object_end(json);
    }
    json_object_end(json);
}

/* --- components ------------------------------------------------------------------------------- */

static void put_table(struct json_writer *json, const char *key, const struct schema *table,
                      u32 count) {
    begin(json, key);
    for (u32 i = 0; i < count; i++) {
        char name[SCHEMA_NAME_MAX + 1];
        check(table[i].name.bytes <= SCHEMA_NAME_MAX);
        memcpy(name, table[i].name.data, table[i].name.bytes);
        name[table[i].name.bytes] = 0;
        json_key(json, name);
        json_raw(json, table[i].json);
    }
    json_object_end(json);
}

static void put_errors(struct json_writer *json, const char *prefix, const char *schema) {
    for (u32 i = 0; i < ARRAY_COUNT(errors); i++) {
        char name[24];
        snprintf(name, sizeof name, "%s_%u", prefix, errors[i].status);
        begin(json, name);
        put(json, "description", errors[i].text);
        u16 status = errors[i].status;
        if (status == 429 || status == 503) {
            begin(json, "headers");
            json_key(json, "Retry-After");
            put_ref(json, "headers", SLICE("Retry-After"));
            json_object_end(json);
        }
        put_content(json, schema);
        json_object_end(json);
    }
}

static void put_headers(struct json_writer *json) {
    static const char *const headers[][2] = {
        {"RateLimit-Limit", "Requests a window; X-RateLimit-Limit says the same."},
        {"RateLimit-Remaining", "What is left of them; X-RateLimit-Remaining says the same."},
        {"RateLimit-Reset", "Seconds until the window ends; X-RateLimit-Reset says the same."},
        {"Retry-After", "Seconds to wait before trying again."},
    };
    begin(json, "headers");
    for (u32 i = 0; i < ARRAY_COUNT(headers); i++) {
        begin(json, headers[i][0]);
        put(json, "description", headers[i][1]);
        begin(json, "schema");
        put(json, "type", "integer");
        json_object_end(json);
        json_object_end(json);
    }
    json_object_end(json);
}

static void put_security_schemes(struct json_writer *json) {
    begin(json, "securitySchemes");
    begin(json, "key");
    put(json, "type", "apiKey");
    put(json, "in", "header");
    put(json, "name", "Observe-Key");
    put(json, "description", "An SDK key. X-Tanso-Key and X-Observe-Key are read, too.");
    json_object_end(json);
    begin(json, "bearer");
    put(json, "type", "http");
    put(json, "scheme", "bearer");
    put(json, "description", "An SDK key, or the token of a session.");
    json_object_end(json);
    begin(json, "session");
    put(json, "type", "apiKey");
    put(json, "in", "cookie");
    put(json, "name", AUTH_COOKIE);
    put(json, "description", "The cookie that logging in sets.");
    json_object_end(json);
    json_object_end(json);
}

void openapi_write(const struct schemas *schemas, struct buf *out) {
    struct json_writer writer = json_writer(out);
    struct json_writer *json = &writer;
    json_object_begin(json);
    put(json, "openapi", "3.1.0");
    begin(json, "info");
    put(json, "title", "margind");
    put(json, "version", MARGIN_VERSION);
    put(json, "description", about);
    json_object_end(json);
    json_key(json, "servers");
    json_raw(json, SLICE("[{\"url\":\"/\"}]"));
    put_paths(json);
    begin(json, "components");
    put_table(json, "schemas", schemas->schema, schemas->count);
    put_table(json, "parameters", schemas->parameter, schemas->parameter_count);
    begin(json, "responses");
    put_errors(json, "error", "error");
    put_errors(json, "client", "client_error");
    json_object_end(json);
    put_headers(json);
    put_security_schemes(json);
    json_object_end(json);
    json_object_end(json);
}
