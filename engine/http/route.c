/* route.c: see route.h; patterns are matched segment by segment. */
#include "http/route.h"

#include <string.h>

#include "base/hash.h"
#include "base/utf8.h"

/* Takes the next segment off a path: "/a/b" gives "a" and leaves "/b". */
static bool next_segment(struct slice *path, struct slice *segment) {
    if (path->bytes == 0 || path->data[0] != '/') {
        return false;
    }
    const char *from = path->data + 1;
    const char *slash = memchr(from, '/', path->bytes - 1);
    usize bytes = slash == NULL ? path->bytes - 1 : (usize)(slash - from);
    *segment = (struct slice){from, bytes};
    *path = (struct slice){from + bytes, path->bytes - 1 - bytes};
    return true;
}

/* Bit 31 - n of `exact` is set if segment n is exact, so a larger number is the better match. */
static bool match_pattern(const char *pattern, struct slice path, struct http_match *match,
                          u32 *exact) {
    struct slice left = {pattern, strlen(pattern)};
    struct slice want;
    struct slice have;
    match->capture_count = 0;
    *exact = 0;
    for (u32 depth = 0; next_segment(&left, &want); depth++) {
        if (!next_segment(&path, &have)) {
            return false;
        }
        if (want.bytes > 0 && want.data[0] == '{') {
            if (have.bytes == 0) {
                return false;
            }
            check(match->capture_count < HTTP_CAPTURES_MAX);
            match->capture[match->capture_count++] = have;
        } else if (have.bytes != want.bytes || memcmp(have.data, want.data, want.bytes) != 0) {
            return false;
        } else {
            *exact |= (u32)1 << (31 - MIN(depth, (u32)31));
        }
    }
    return path.bytes == 0;
}

static bool serves(enum http_method route_method, enum http_method method) {
    return route_method == method || (route_method == HTTP_GET && method == HTTP_HEAD);
}

static u32 count_segments(struct slice path) {
    u32 count = 0;
    for (usize at = 0; at < path.bytes; at++) {
        count += path.data[at] == '/';
    }
    return count;
}

/* --- making a router ----------------------------------------------------------------------------
 */

static u32 slot_of(struct slice path) {
    return (u32)(hash64(path.data, path.bytes, 0) % ROUTER_SLOTS);
}

static bool pattern_is(const struct http_route *route, struct slice path) {
    return strncmp(route->pattern, path.data, path.bytes) == 0 && route->pattern[path.bytes] == 0;
}

/* The first route with this very path, as its number from 1; 0: none. */
static u32 find_exact(const struct http_router *router, struct slice path) {
    for (u32 slot = slot_of(path);; slot = (slot + 1) % ROUTER_SLOTS) {
        u32 number = router->slot[slot];
        if (number == 0 || pattern_is(&router->routes[number - 1], path)) {
            return number;
        }
    }
}

static void add_exact(struct http_router *router, u32 number) {
    const char *pattern = router->routes[number - 1].pattern;
    struct slice path = {pattern, strlen(pattern)};
    u32 same = find_exact(router, path);
    if (same != 0) {
        router->next[number] = router->next[same];
        router->next[same] = (u16)number;
        return;
    }
    u32 slot = slot_of(path);
    while (router->slot[slot] != 0) {
        slot = (slot + 1) % ROUTER_SLOTS;
    }
    router->slot[slot] = (u16)number;
}

void http_router_init(struct http_router *router, const struct http_route *routes, u32 count) {
    check(count <= HTTP_ROUTES_MAX);
    *router = (struct http_router){.routes = routes, .count = count};
    u32 captured = 0;
    for (u32 segments = 0; segments <= ROUTER_SEGMENTS_MAX; segments++) {
        router->captured_at[segments] = (u16)captured;
        for (u32 at = 0; at < count; at++) {
            const char *pattern = routes[at].pattern;
            const char *brace = strchr(pattern, '{');
            u32 has = count_segments((struct slice){pattern, strlen(pattern)});
            check(has <= ROUTER_SEGMENTS_MAX);
            if (has == segments && brace == NULL) {
                add_exact(router, at + 1);
            } else if (has == segments) {
                check(brace > pattern && brace[-1] == '/');
                router->prefix_bytes[captured] = (u16)(brace - pattern);
                router->captured[captured++] = (u16)at;
            }
        }
    }
    router->captured_at[ROUTER_SEGMENTS_MAX + 1] = (u16)captured;
}

/* --- finding ------------------------------------------------------------------------------------
 */

/* An exact path beats every pattern; true if one serves the method. */
static bool match_exact(const struct http_router *router, enum http_method method,
                        struct slice path, struct http_match *match) {
    for (u32 at = find_exact(router, path); at != 0; at = router->next[at]) {
        const struct http_route *route = &router->routes[at - 1];
        match->methods |= (u32)1 << route->method;
        if (serves(route->method, method)) {
            match->route = route;
            return true;
        }
    }
    return false;
}

static void match_captured(const struct http_router *router, enum http_method method,
                           struct slice path, struct http_match *match) {
    u32 segments = count_segments(path);
    if (segments > ROUTER_SEGMENTS_MAX) {
        return;
    }
    u32 best = 0;
    for (u32 at = router->captured_at[segments]; at < router->captured_at[segments + 1]; at++) {
        const struct http_route *route = &router->routes[router->captured[at]];
        u32 prefix = router->prefix_bytes[at];
        struct http_match found;
        u32 exact;
        /* Most are told apart by where a segment ends. */
        if (path.bytes <= prefix || path.data[prefix - 1] != '/' ||
            memcmp(path.data, route->pattern, prefix) != 0 ||
            !match_pattern(route->pattern, path, &found, &exact)) {
            continue;
        }
        match->methods |= (u32)1 << route->method;
        if (serves(route->method, method) && (match->route == NULL || exact > best)) {
            best = exact;
            match->route = route;
            match->capture_count = found.capture_count;
            memcpy(match->capture, found.capture, sizeof found.capture);
        }
    }
}

void http_route_find(const struct http_router *router, enum http_method method, struct slice path,
                     struct http_match *match) {
    if (path.bytes > 1 && path.data[path.bytes - 1] == '/' && path.data[path.bytes - 2] != '/') {
        path.bytes--;
    }
    match->route = NULL;
    match->methods = 0;
    match->capture_count = 0;
    if (!match_exact(router, method, path, match)) {
        match_captured(router, method, path, match);
    }
    if ((match->methods & ((u32)1 << HTTP_GET)) != 0) {
        match->methods |= (u32)1 << HTTP_HEAD;
    }
}

/* --- decoding -----------------------------------------------------------------------------------
 */

static int hex_of(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* ASCII that stands for itself. */
static bool is_plain(struct slice text) {
    for (usize at = 0; at < text.bytes; at++) {
        if (text.data[at] == '%' || text.data[at] == '+' || (u8)text.data[at] >= 0x80) {
            return false;
        }
    }
    return true;
}

i64 http_percent_decode(struct slice text, bool plus, char *out) {
    usize used = 0;
    for (usize at = 0; at < text.bytes; at++) {
        char c = text.data[at];
        if (c == '%') {
            int high = at + 2 < text.bytes ? hex_of(text.data[at + 1]) : -1;
            int low = high >= 0 ? hex_of(text.data[at + 2]) : -1;
            if (low < 0 || (high == 0 && low == 0)) {
                return -1;
            }
            c = (char)(u8)(high * 16 + low);
            at += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        out[used++] = c;
    }
    return utf8_is_good((struct slice){out, used}) ? (i64)used : -1;
}

static enum err read_text(struct slice text, char **memory, struct slice *out) {
    if (is_plain(text)) {
        *out = text;
        return ERR_OK;
    }
    i64 bytes = http_percent_decode(text, true, *memory);
    if (bytes < 0) {
        return ERR_INVALID;
    }
    *out = (struct slice){*memory, (usize)bytes};
    *memory += bytes;
    return ERR_OK;
}

enum err http_query_read(struct slice query, char *memory, struct http_param *params, u32 *count) {
    *count = 0;
    usize at = 0;
    while (at < query.bytes) {
        const char *from = query.data + at;
        const char *and = memchr(from, '&', query.bytes - at);
        usize bytes = and == NULL ? query.bytes - at : (usize)(and-from);
        at += bytes + 1;
        const char *equals = bytes == 0 ? NULL : memchr(from, '=', bytes);
        usize name_bytes = equals == NULL ? bytes : (usize)(equals - from);
        if (name_bytes == 0) {
            continue;
        }
        if (*count == HTTP_QUERY_PARAMS_MAX) {
            return ERR_LIMIT;
        }
        struct slice name = {from, name_bytes};
        struct slice value = {from + name_bytes, 0};
        if (equals != NULL) {
            value = (struct slice){equals + 1, bytes - name_bytes - 1};
        }
        struct http_param *param = &params[(*count)++];
        if (read_text(name, &memory, &param->name) != ERR_OK ||
            read_text(value, &memory, &param->value) != ERR_OK) {
            return ERR_INVALID;
        }
    }
    return ERR_OK;
}
