/* route_test.c: matching, precedence, methods, decoding, query strings. */
#include "http/route.h"

#include <criterion/criterion.h>
#include <string.h>

static enum call_outcome nothing(struct http_call *call) {
    (void)call;
    return CALL_DONE;
}

static const struct http_route routes[] = {
    {HTTP_GET, "/", nothing, 0, 0},
    {HTTP_GET, "/api/events/{id}", nothing, 0, 1},
    {HTTP_GET, "/api/events/stats", nothing, 0, 2},
    {HTTP_POST, "/api/events/stats", nothing, 0, 3},
    {HTTP_GET, "/api/{what}/stats", nothing, 0, 4},
    {HTTP_GET, "/api/{what}/{id}/x", nothing, 0, 5},
    {HTTP_DELETE, "/api/events/{id}", nothing, 0, 6},
    {HTTP_PUT, "/api/{what}/all", nothing, 0, 7},
};

static struct http_match find(enum http_method method, const char *path) {
    static struct http_router router;
    struct http_match match;
    http_router_init(&router, routes, ARRAY_COUNT(routes));
    http_route_find(&router, method, (struct slice){path, strlen(path)}, &match);
    return match;
}

static bool text_is(struct slice slice, const char *text) {
    return slice.bytes == strlen(text) && memcmp(slice.data, text, slice.bytes) == 0;
}

Test(route, find) {
    cr_assert_eq(find(HTTP_GET, "/").route, &routes[0]);
    struct http_match match = find(HTTP_GET, "/api/events/42");
    cr_assert_eq(match.route, &routes[1]);
    cr_assert(match.capture_count == 1 && text_is(match.capture[0], "42"));
    cr_assert_eq(find(HTTP_HEAD, "/api/events/42/").route, &routes[1]);
    cr_assert_eq(find(HTTP_GET, "/api/events/stats").route, &routes[2]);
    cr_assert_eq(find(HTTP_POST, "/api/events/stats").route, &routes[3]);
    cr_assert_eq(find(HTTP_GET, "/api/x/stats").route, &routes[4]);
    match = find(HTTP_GET, "/api/a/b/x");
    cr_assert(match.capture_count == 2 && text_is(match.capture[1], "b"));
    match = find(HTTP_PUT, "/api/events/42");
    cr_assert_null(match.route);
    cr_assert_eq(match.methods, 1u << HTTP_GET | 1u << HTTP_HEAD | 1u << HTTP_DELETE);
    cr_assert_eq(find(HTTP_DELETE, "/api/events/42").route, &routes[6]);
    /* An exact path without the method leaves room for a pattern that has it. */
    match = find(HTTP_DELETE, "/api/events/stats");
    cr_assert_eq(match.route, &routes[6]);
    cr_assert(match.capture_count == 1 && text_is(match.capture[0], "stats"));
    match = find(HTTP_PUT, "/api/events/stats");
    cr_assert_null(match.route);
    cr_assert_eq(match.methods,
                 1u << HTTP_GET | 1u << HTTP_HEAD | 1u << HTTP_POST | 1u << HTTP_DELETE);
    cr_assert_eq(find(HTTP_DELETE, "/api/events/all").route, &routes[6]);
    cr_assert_eq(find(HTTP_PUT, "/api/events/all").route, &routes[7]);
    static const char *const unknown[] = {"",
                                          "*",
                                          "/api",
                                          "/api/events",
                                          "//",
                                          "/api/events/",
                                          "/api/events//",
                                          "/api//stats",
                                          "/API/x/stats",
                                          "/api/events/1/2",
                                          "api/x/stats"};
    for (usize at = 0; at < ARRAY_COUNT(unknown); at++) {
        match = find(HTTP_GET, unknown[at]);
        cr_assert(match.route == NULL && match.methods == 0, "%s", unknown[at]);
    }
}

Test(route, decode) {
    char out[64];
    cr_assert_eq(http_percent_decode(SLICE("a%20b%2Fc+%c3%a4"), false, out), 8);
    cr_assert_eq(memcmp(out, "a b/c+\xc3\xa4", 8), 0);
    cr_assert_eq(http_percent_decode(SLICE("a+b"), true, out), 3);
    cr_assert_eq(memcmp(out, "a b", 3), 0);
    static const char *const bad[] = {"%",   "%4",   "a%",   "%4g",       "%g4",  "%00",   "%%20",
                                      "%ff", "a%c3", "%c3%", "%ed%a0%80", "\x80", "%c0%af"};
    for (usize at = 0; at < ARRAY_COUNT(bad); at++) {
        cr_assert_lt(http_percent_decode((struct slice){bad[at], strlen(bad[at])}, false, out), 0);
    }
}

Test(route, query) {
    struct http_param params[HTTP_QUERY_PARAMS_MAX];
    u32 count;
    char memory[256];
    cr_assert_eq(http_query_read(SLICE("a=1&&b&=x&c%3d=%26+y&d=e=f&"), memory, params, &count),
                 ERR_OK);
    cr_assert_eq(count, 4);
    cr_assert(text_is(params[0].name, "a") && text_is(params[0].value, "1"));
    cr_assert(text_is(params[1].name, "b") && text_is(params[1].value, ""));
    cr_assert(text_is(params[2].name, "c=") && text_is(params[2].value, "& y"));
    cr_assert(text_is(params[3].name, "d") && text_is(params[3].value, "e=f"));
    cr_assert_eq(http_query_read(SLICE(""), memory, params, &count), ERR_OK);
    cr_assert_eq(count, 0);
    cr_assert_eq(http_query_read(SLICE("a=%zz"), memory, params, &count), ERR_INVALID);
    cr_assert_eq(http_query_read(SLICE("a=%c3"), memory, params, &count), ERR_INVALID);
    cr_assert_eq(http_query_read(SLICE("a=\xe4"), memory, params, &count), ERR_INVALID);
    cr_assert_eq(http_query_read(SLICE("a=\xc3\xa4"), memory, params, &count), ERR_OK);
    cr_assert_eq(http_query_read(SLICE("%=a"), memory, params, &count), ERR_INVALID);
    char many[2 * HTTP_QUERY_PARAMS_MAX + 3] = "";
    for (u32 at = 0; at < HTTP_QUERY_PARAMS_MAX; at++) {
        strcat(many, "a&");
    }
    usize bytes = strlen(many);
    cr_assert_eq(http_query_read((struct slice){many, bytes}, memory, params, &count), ERR_OK);
    strcat(many, "a");
    cr_assert_eq(http_query_read((struct slice){many, bytes + 1}, memory, params, &count),
                 ERR_LIMIT);
}
