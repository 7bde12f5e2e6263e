/* route.c: patterns are matched segment by segment against the table, and text is decoded. */
#include "http/route.h"

#include <string.h>

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

void http_route_find(const struct http_route *routes, u32 route_count, enum http_method method,
                     struct slice path, struct http_match *match) {
    if (path.bytes > 1 && path.data[path.bytes - 1] == '/' && path.data[path.bytes - 2] != '/') {
        path.bytes--;
    }
    *match = (struct http_match){0};
    u32 best = 0;
    for (u32 at = 0; at < route_count; at++) {
        struct http_match found = {0};
        u32 exact;
        if (!match_pattern(routes[at].pattern, path, &found, &exact)) {
            continue;
        }
        match->methods |= (u32)1 << routes[at].method;
        if (serves(routes[at].method, method) && (match->route == NULL || exact > best)) {
            best = exact;
            match->route = &routes[at];
            match->capture_count = found.capture_count;
            memcpy(match->capture, found.capture, sizeof found.capture);
        }
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

static bool is_plain(struct slice text) {
    for (usize at = 0; at < text.bytes; at++) {
        if (text.data[at] == '%' || text.data[at] == '+') {
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
    return (i64)used;
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
