/*
 * head.c: a request head in two passes. The first finds the end of every line and proves that no
 * stray control byte is there, so it can stop at any byte and go on later; the second, over a head
 * that is complete, only splits lines and never has to look for an end.
 */
#include "http/head.h"

#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define LINE_BYTES_MAX (HTTP_TARGET_BYTES_MAX + 32) /* method and version around a target */

_Static_assert(HTTP_HEAD_BYTES_MAX <= UINT16_MAX, "ranges are 16 bits");

void http_head_init(struct http_head *head) {
    head->scanned = 0;
    head->line_count = 0;
    head->field_count = 0;
}

static enum http_head_answer malformed(struct http_head *head, u16 status, const char *error) {
    head->status = status;
    head->error = error;
    return HEAD_MALFORMED;
}

/* --- finding the end ---------------------------------------------------------------------------
 */

/* One pass finds the end of every line and proves that no control byte stands elsewhere: any byte
 * below 0x20, and 0x7f, is looked at one by one; the rest goes by in sixteens. */
static u32 control_bits(const char *data, usize bytes) {
#if defined(__SSE2__)
    if (likely(bytes >= 16)) {
        __m128i text = _mm_loadu_si128((const __m128i *)(const void *)data);
        __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(text, _mm_set1_epi8(0x1f)), text);
        __m128i delete = _mm_cmpeq_epi8(text, _mm_set1_epi8(0x7f));
        return (u32)_mm_movemask_epi8(_mm_or_si128(low, delete));
    }
#endif
    u32 bits = 0;
    for (usize at = 0; at < MIN(bytes, (usize)16); at++) {
        u8 c = (u8)data[at];
        bits |= (u32)(c < 0x20 || c == 0x7f) << at;
    }
    return bits;
}

/* Looks at one control byte. HEAD_CONSUMED: it is the LF that ends the head. HEAD_INCOMPLETE: go
 * on. A CR at the very end is not accounted for: it is seen again with its successor. */
static enum http_head_answer see_control(struct http_head *head, const char *data, usize bytes,
                                         usize at) {
    char c = data[at];
    if (c == '\t' || (c == '\r' && at + 1 < bytes && data[at + 1] == '\n')) {
        return HEAD_INCOMPLETE;
    }
    if (c != '\n' || at == 0 || data[at - 1] != '\r') {
        const char *error = c == '\n' ? "a line ends in LF without CR" : "control byte in the head";
        return malformed(head, 400, error);
    }
    if (head->line_count > 0 && head->line_end[head->line_count - 1] == at - 2) {
        return HEAD_CONSUMED;
    }
    if (head->line_count > HTTP_HEADERS_MAX) {
        return malformed(head, 431, "too many header fields");
    }
    head->line_end[head->line_count++] = (u16)at;
    return HEAD_INCOMPLETE;
}

static enum http_head_answer find_end(struct http_head *head, const char *data, usize bytes,
                                      usize *end) {
    usize limit = MIN(bytes, HTTP_HEAD_BYTES_MAX);
    usize at = head->scanned;
    while (at < limit) {
        u32 bits = control_bits(data + at, limit - at);
        while (bits != 0) {
            usize where = at + (usize)__builtin_ctz(bits);
            bits &= bits - 1;
            if (data[where] == '\r' && where + 1 == bytes) {
                head->scanned = (u32)where;
                return HEAD_INCOMPLETE;
            }
            if (head->line_count == 0 && where > LINE_BYTES_MAX) {
                return malformed(head, 414, "the request target is too long");
            }
            enum http_head_answer answer = see_control(head, data, bytes, where);
            if (answer != HEAD_INCOMPLETE) {
                *end = where + 1;
                return answer;
            }
        }
        at += MIN((usize)16, limit - at);
    }
    head->scanned = (u32)limit;
    if (head->line_count == 0 && limit > LINE_BYTES_MAX) {
        return malformed(head, 414, "the request target is too long");
    }
    if (limit == HTTP_HEAD_BYTES_MAX) {
        return malformed(head, 431, "the request head is too large");
    }
    return HEAD_INCOMPLETE;
}

/* --- the request line ---------------------------------------------------------------------------
 */

static const bool token_byte[256] = {
    ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1, ['&'] = 1, ['\''] = 1, ['*'] = 1, ['+'] = 1,
    ['-'] = 1, ['.'] = 1, ['^'] = 1, ['_'] = 1, ['`'] = 1, ['|'] = 1,  ['~'] = 1, ['0'] = 1,
    ['1'] = 1, ['2'] = 1, ['3'] = 1, ['4'] = 1, ['5'] = 1, ['6'] = 1,  ['7'] = 1, ['8'] = 1,
    ['9'] = 1, ['A'] = 1, ['B'] = 1, ['C'] = 1, ['D'] = 1, ['E'] = 1,  ['F'] = 1, ['G'] = 1,
    ['H'] = 1, ['I'] = 1, ['J'] = 1, ['K'] = 1, ['L'] = 1, ['M'] = 1,  ['N'] = 1, ['O'] = 1,
    ['P'] = 1, ['Q'] = 1, ['R'] = 1, ['S'] = 1, ['T'] = 1, ['U'] = 1,  ['V'] = 1, ['W'] = 1,
    ['X'] = 1, ['Y'] = 1, ['Z'] = 1, ['a'] = 1, ['b'] = 1, ['c'] = 1,  ['d'] = 1, ['e'] = 1,
    ['f'] = 1, ['g'] = 1, ['h'] = 1, ['i'] = 1, ['j'] = 1, ['k'] = 1,  ['l'] = 1, ['m'] = 1,
    ['n'] = 1, ['o'] = 1, ['p'] = 1, ['q'] = 1, ['r'] = 1, ['s'] = 1,  ['t'] = 1, ['u'] = 1,
    ['v'] = 1, ['w'] = 1, ['x'] = 1, ['y'] = 1, ['z'] = 1,
};

bool http_is_token(char c) {
    return token_byte[(u8)c];
}

static enum http_method method_of(struct slice text) {
    static const char *const names[HTTP_METHODS] = {"GET",   "HEAD",   "POST",   "PUT",
                                                    "PATCH", "DELETE", "OPTIONS"};
    for (u32 method = 0; method < HTTP_METHODS; method++) {
        usize bytes = strlen(names[method]);
        if (text.bytes == bytes && memcmp(text.data, names[method], bytes) == 0) {
            return (enum http_method)method;
        }
    }
    return HTTP_METHODS;
}

/* Splits the target (origin form, absolute form, or '*') into path and query. */
static bool split_target(struct http_head *head, const char *data, usize at, usize end) {
    usize authority = 0;
    if (end - at > 7 && memcmp(data + at, "http://", 7) == 0) {
        authority = at + 7;
    } else if (end - at > 8 && memcmp(data + at, "https://", 8) == 0) {
        authority = at + 8;
    }
    if (authority != 0) {
        const char *slash = memchr(data + authority, '/', end - authority);
        if (slash == NULL || slash == data + authority) {
            return false;
        }
        at = (usize)(slash - data);
        head->authority = (struct http_range){(u16)authority, (u16)(at - authority)};
    }
    bool asterisk = end - at == 1 && data[at] == '*';
    if (at == end || (data[at] != '/' && !asterisk)) {
        return false;
    }
    for (usize c = at; c < end; c++) {
        if ((u8)data[c] <= ' ' || (u8)data[c] >= 0x7f || data[c] == '#') {
            return false;
        }
    }
    const char *question = memchr(data + at, '?', end - at);
    usize path_end = question == NULL ? end : (usize)(question - data);
    usize query = question == NULL ? end : path_end + 1;
    head->path = (struct http_range){(u16)at, (u16)(path_end - at)};
    head->query = (struct http_range){(u16)query, (u16)(end - query)};
    return true;
}

static enum http_head_answer read_request_line(struct http_head *head, const char *data,
                                               usize end) {
    usize at = 0;
    while (at < end && token_byte[(u8)data[at]]) {
        at++;
    }
    if (at == 0 || at == end || data[at] != ' ') {
        return malformed(head, 400, "the request line has no method");
    }
    head->method = method_of((struct slice){data, at});
    usize target = at + 1;
    const char *blank = memchr(data + target, ' ', end - target);
    if (blank == NULL) {
        return malformed(head, 400, "the request line has no version");
    }
    usize target_end = (usize)(blank - data);
    const char *version = blank + 1;
    usize version_bytes = end - target_end - 1;
    if (version_bytes != 8 || memcmp(version, "HTTP/", 5) != 0 || version[6] != '.' ||
        version[5] < '0' || version[5] > '9' || version[7] < '0' || version[7] > '9') {
        return malformed(head, 400, "the request line is malformed");
    }
    if (version[5] != '1' || version[7] > '1') {
        return malformed(head, 505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
    }
    head->minor_version = (u8)(version[7] - '0');
    if (target_end - target > HTTP_TARGET_BYTES_MAX) {
        return malformed(head, 414, "the request target is too long");
    }
    if (!split_target(head, data, target, target_end)) {
        return malformed(head, 400, "the request target is malformed");
    }
    return HEAD_CONSUMED;
}

/* --- header fields ------------------------------------------------------------------------------
 */

bool http_text_is(struct slice text, const char *lower) {
    usize at = 0;
    for (; at < text.bytes && lower[at] != 0; at++) {
        char c = text.data[at];
        if (c >= 'A' && c <= 'Z') {
            c = (char)(c + ('a' - 'A'));
        }
        if (c != lower[at]) {
            return false;
        }
    }
    return at == text.bytes && lower[at] == 0;
}

struct seen { /* fields that may stand only once */
    bool host;
    struct slice host_value;
    bool encoding;
    bool transfer;
    bool close;
};

static bool read_length(struct http_head *head, struct slice value) {
    u64 length = 0;
    if (head->has_length || value.bytes == 0 || value.bytes > 18) {
        return false;
    }
    for (usize at = 0; at < value.bytes; at++) {
        if (value.data[at] < '0' || value.data[at] > '9') {
            return false;
        }
        length = length * 10 + (u64)(value.data[at] - '0');
    }
    head->has_length = true;
    head->content_bytes = length;
    return true;
}

static bool same_text(struct slice a, struct slice b) {
    bool same = a.bytes == b.bytes;
    for (usize at = 0; same && at < a.bytes; at++) {
        char x = a.data[at];
        char y = b.data[at];
        same = (x >= 'A' && x <= 'Z' ? x + ('a' - 'A') : x) ==
               (y >= 'A' && y <= 'Z' ? y + ('a' - 'A') : y);
    }
    return same;
}

static bool host_is_sane(struct slice value) {
    for (usize at = 0; at < value.bytes; at++) {
        char c = value.data[at];
        if (c == ' ' || c == '\t' || c == '/' || c == '@' || c == ',' || c == '?' || c == '#' ||
            c == '\\' || (u8)c >= 0x80) {
            return false;
        }
    }
    return true;
}

static bool has_list_item(struct slice list, const char *lower) {
    usize at = 0;
    while (at < list.bytes) {
        usize end = at;
        while (end < list.bytes && list.data[end] != ',') {
            end++;
        }
        usize from = at;
        usize to = end;
        while (from < to && (list.data[from] == ' ' || list.data[from] == '\t')) {
            from++;
        }
        while (to > from && (list.data[to - 1] == ' ' || list.data[to - 1] == '\t')) {
            to--;
        }
        if (http_text_is((struct slice){list.data + from, to - from}, lower)) {
            return true;
        }
        at = end + 1;
    }
    return false;
}

static enum http_coding coding_of(struct slice value) {
    if (http_text_is(value, "gzip") || http_text_is(value, "x-gzip")) {
        return CODING_GZIP;
    }
    if (http_text_is(value, "zstd")) {
        return CODING_ZSTD;
    }
    return http_text_is(value, "identity") ? CODING_NONE : CODING_UNKNOWN;
}

/* The fields that decide how the message is read. */
static enum http_head_answer understand(struct http_head *head, struct seen *seen,
                                        struct slice name, struct slice value) {
    switch (name.bytes) { /* most fields are none of these, and their length says so */
    case 4:
        if (http_text_is(name, "host")) {
            if (seen->host || !host_is_sane(value)) {
                return malformed(head, 400, "Host is given twice or malformed");
            }
            seen->host = true;
            seen->host_value = value;
        }
        break;
    case 6:
        if (http_text_is(name, "expect") && head->minor_version > 0) {
            if (!http_text_is(value, "100-continue")) {
                return malformed(head, 417, "this expectation cannot be met");
            }
            head->expects_continue = true;
        }
        break;
    case 10:
        if (http_text_is(name, "connection")) {
            seen->close = seen->close || has_list_item(value, "close");
        }
        break;
    case 14:
        if (http_text_is(name, "content-length") && !read_length(head, value)) {
            return malformed(head, 400, "Content-Length is malformed or given twice");
        }
        break;
    case 16:
        if (http_text_is(name, "content-encoding")) {
            head->coding = seen->encoding ? CODING_UNKNOWN : coding_of(value);
            seen->encoding = true;
        }
        break;
    case 17:
        if (http_text_is(name, "transfer-encoding")) {
            if (seen->transfer || head->minor_version == 0) {
                return malformed(head, 400, "Transfer-Encoding is given twice or in HTTP/1.0");
            }
            if (!http_text_is(value, "chunked")) {
                return malformed(head, 501, "this Transfer-Encoding is not supported");
            }
            seen->transfer = true;
            head->is_chunked = true;
        }
        break;
    default:
        break;
    }
    return HEAD_CONSUMED;
}

static enum http_head_answer read_field(struct http_head *head, struct seen *seen, const char *data,
                                        usize at, usize end) {
    usize colon = at;
    while (colon < end && token_byte[(u8)data[colon]]) {
        colon++;
    }
    if (colon == at || colon == end || data[colon] != ':') {
        /* A blank before the colon, a folded line, or no field at all. */
        return malformed(head, 400, "a header field is malformed");
    }
    usize from = colon + 1;
    usize to = end;
    while (from < to && (data[from] == ' ' || data[from] == '\t')) {
        from++;
    }
    while (to > from && (data[to - 1] == ' ' || data[to - 1] == '\t')) {
        to--;
    }
    struct http_field *field = &head->field[head->field_count++];
    field->name = (struct http_range){(u16)at, (u16)(colon - at)};
    field->value = (struct http_range){(u16)from, (u16)(to - from)};
    return understand(head, seen, http_range_of(data, field->name),
                      http_range_of(data, field->value));
}

enum http_head_answer http_head_parse(struct http_head *head, const char *data, usize bytes,
                                      usize *consumed) {
    usize end = 0;
    enum http_head_answer answer = find_end(head, data, bytes, &end);
    if (answer != HEAD_CONSUMED) {
        return answer;
    }
    head->field_count = 0;
    head->authority = (struct http_range){0, 0};
    head->has_length = false;
    head->is_chunked = false;
    head->expects_continue = false;
    head->coding = CODING_NONE;
    head->content_bytes = 0;
    struct seen seen = {0};
    answer = read_request_line(head, data, (usize)head->line_end[0] - 1);
    for (u32 line = 1; line < head->line_count && answer == HEAD_CONSUMED; line++) {
        answer = read_field(head, &seen, data, (usize)head->line_end[line - 1] + 1,
                            (usize)head->line_end[line] - 1);
    }
    if (answer != HEAD_CONSUMED) {
        return answer;
    }
    if (!seen.host && head->minor_version > 0) {
        return malformed(head, 400, "Host is missing");
    }
    struct slice authority = http_range_of(data, head->authority);
    if (authority.bytes > 0 &&
        (!host_is_sane(authority) || (seen.host && !same_text(authority, seen.host_value)))) {
        return malformed(head, 400, "the target's host is malformed, or Host says another");
    }
    if (head->has_length && head->is_chunked) {
        return malformed(head, 400, "both Content-Length and Transfer-Encoding are given");
    }
    head->keep_alive = head->minor_version > 0 && !seen.close;
    *consumed = end;
    return HEAD_CONSUMED;
}
