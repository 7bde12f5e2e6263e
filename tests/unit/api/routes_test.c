/* routes_test.c: the table of endpoints, its schemas, and the documentation made from them. */
#include "api/routes.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "api/docs.h"
#include "api/schemas.h"

static struct schemas schemas;

static void open_schemas(void) {
    cr_assert_eq(schemas_read(&schemas), ERR_OK);
    cr_assert(schemas.count > 10 && schemas.parameter_count > 10);
}

static void close_schemas(void) {
    schemas_free(&schemas);
}

TestSuite(routes, .init = open_schemas, .fini = close_schemas);

static struct slice slice_of(const char *text) {
    return (struct slice){text, strlen(text)};
}

static bool same(struct slice a, struct slice b) {
    return a.bytes == b.bytes && memcmp(a.data, b.data, a.bytes) == 0;
}

static void expect_schema(const struct route *route, const char *name) {
    if (strchr(name, '/') == NULL) {
        cr_expect_not_null(schemas_find(&schemas, slice_of(name)), "%s: no schema %s", route->path,
                           name);
    }
}

static void expect_parameter(const struct route *route, struct slice name, const char *in) {
    const struct schema *found = schemas_find_parameter(&schemas, name);
    cr_expect_not_null(found, "%s: no parameter %.*s in schema/parameters.json", route->path,
                       (int)name.bytes, name.data);
    if (found != NULL) {
        cr_expect(same(schemas_member(found, "in"), slice_of(in)), "%s: %.*s is not in the %s",
                  route->path, (int)name.bytes, name.data, in);
        cr_expect_gt(schemas_member(found, "name").bytes, 0);
        cr_expect_gt(schemas_member(found, "description").bytes, 0);
    }
}

static void expect_row(const struct route *route) {
    usize summary = route->summary == NULL ? 0 : strlen(route->summary);
    cr_expect(route->tag != NULL && summary > 0, "%s: no tag or summary", route->path);
    cr_expect(summary == 0 || route->summary[summary - 1] != '.', "%s: full stop", route->path);
    cr_expect(route->scope < SCOPES || route->scope >= ROUTE_ANY_CREDENTIAL, "%s", route->path);
    cr_assert_not_null(route->response, "%s: no response", route->path);
    cr_expect(route->method != HTTP_GET || route->request == NULL, "%s: GET reads no body",
              route->path);
    expect_schema(route, route->response);
    if (route->request != NULL) {
        expect_schema(route, route->request);
    }
    struct slice names = slice_of(route->query == NULL ? "" : route->query);
    struct slice name;
    while (schemas_next_name(&names, &name)) {
        expect_parameter(route, name, "query");
    }
    for (const char *at = strchr(route->path, '{'); at != NULL; at = strchr(at + 1, '{')) {
        expect_parameter(route, (struct slice){at + 1, strcspn(at + 1, "}")}, "path");
    }
}

Test(routes, rows) {
    for (u32 row = 0; row < routes_count; row++) {
        const struct route *route = &routes_table[row];
        expect_row(route);
        for (u32 other = 0; other < row; other++) {
            cr_expect(route->method != routes_table[other].method ||
                          strcmp(route->path, routes_table[other].path) != 0,
                      "%s stands twice in the table", route->path);
        }
    }
}

static bool is_named(struct slice name, const char *list) {
    struct slice names = slice_of(list == NULL ? "" : list);
    struct slice one;
    while (schemas_next_name(&names, &one)) {
        if (same(one, name)) {
            return true;
        }
    }
    return false;
}

static bool is_referred_to(struct slice name) {
    char wanted[128];
    int bytes = snprintf(wanted, sizeof wanted, "\"#/components/schemas/%.*s\"", (int)name.bytes,
                         name.data);
    for (u32 i = 0; i < schemas.count; i++) {
        struct slice json = schemas.schema[i].json;
        if (memmem(json.data, json.bytes, wanted, (usize)bytes) != NULL) {
            return true;
        }
    }
    return false;
}

Test(routes, nothing_is_unused) {
    for (u32 i = 0; i < schemas.count; i++) {
        struct slice name = schemas.schema[i].name;
        bool used = is_referred_to(name) || is_named(name, "error client_error");
        for (u32 row = 0; row < routes_count && !used; row++) {
            used = is_named(name, routes_table[row].request) ||
                   is_named(name, routes_table[row].response);
        }
        cr_expect(used, "schema %.*s is not used", (int)name.bytes, name.data);
        cr_expect_eq(schemas_find(&schemas, name), &schemas.schema[i], "schema %.*s stands twice",
                     (int)name.bytes, name.data);
    }
    for (u32 i = 0; i < schemas.parameter_count; i++) {
        struct slice name = schemas.parameter[i].name;
        char braced[128];
        snprintf(braced, sizeof braced, "{%.*s}", (int)name.bytes, name.data);
        bool used = false;
        for (u32 row = 0; row < routes_count && !used; row++) {
            used = is_named(name, routes_table[row].query) ||
                   strstr(routes_table[row].path, braced) != NULL;
        }
        cr_expect(used, "parameter %.*s is not used", (int)name.bytes, name.data);
    }
}

/* Every {"$ref": "#/components/schemas/NAME"} leads somewhere. */
Test(routes, references) {
    static const char prefix[] = "#/components/schemas/";
    for (u32 i = 0; i < schemas.count; i++) {
        struct slice json = schemas.schema[i].json;
        const char *end = json.data + json.bytes;
        const char *at = json.data;
        while ((at = memmem(at, (usize)(end - at), prefix, sizeof prefix - 1)) != NULL) {
            at += sizeof prefix - 1;
            const char *quote = memchr(at, '"', (usize)(end - at));
            cr_assert_not_null(quote);
            cr_expect_not_null(schemas_find(&schemas, (struct slice){at, (usize)(quote - at)}),
                               "no schema %.*s", (int)(quote - at), at);
        }
    }
}

Test(routes, router) {
    struct http_match match;
    for (u32 row = 0; row < routes_count; row++) {
        const struct route *route = &routes_table[row];
        struct slice path = slice_of(route->path);
        http_route_find(routes_router(), route->method, path, &match);
        cr_assert_not_null(match.route, "%s", route->path);
        cr_expect_eq(match.route->row, row, "%s", route->path);
        cr_expect_gt(match.route->body_bytes_max, 0);
        bool has_two = strncmp(route->path, "/api/", 5) == 0 && strncmp(route->path, "/api/v1/", 8);
        if (has_two) {
            path = (struct slice){path.data + 4, path.bytes - 4};
            http_route_find(routes_router(), route->method, path, &match);
            cr_assert_not_null(match.route, "%s", path.data);
            cr_expect_eq(match.route->row, row, "%s", path.data);
        }
    }
    http_route_find(routes_router(), HTTP_POST, SLICE("/v1/client/events"), &match);
    cr_expect_null(match.route);
}

Test(routes, documentation) {
    struct docs docs;
    cr_assert_eq(docs_make(&docs), ERR_OK);
    const struct buf *page = &docs.page;
    cr_expect_null(memmem(page->data, page->bytes, "@OPENAPI@", 9));
    cr_expect_null(memmem(page->data, page->bytes, "http://", 7));
    cr_expect_null(memmem(page->data, page->bytes, "https://", 8));
    for (u32 row = 0; row < routes_count; row++) {
        const char *path = routes_table[row].path;
        cr_expect_not_null(memmem(page->data, page->bytes, path, strlen(path)));
        cr_expect_not_null(memmem(docs.text.data, docs.text.bytes, path, strlen(path)));
        cr_expect_not_null(memmem(docs.openapi.data, docs.openapi.bytes, path, strlen(path)));
    }
    docs_free(&docs);
}
