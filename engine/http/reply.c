/* reply.c: reply heads are put together from literals, without formatted printing, for speed. */
#include "http/reply.h"

#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "http/call.h"

#define DATE_BYTES 29 /* "Sun, 06 Nov 1994 08:49:37 GMT" */

static const struct {
    u16 status;
    const char *text;
    const char *code;
} statuses[] = {
    {200, "OK", ""},
    {201, "Created", ""},
    {202, "Accepted", ""},
    {204, "No Content", ""},
    {206, "Partial Content", ""},
    {207, "Multi-Status", ""},
    {301, "Moved Permanently", ""},
    {302, "Found", ""},
    {304, "Not Modified", ""},
    {400, "Bad Request", "invalid_request"},
    {401, "Unauthorized", "unauthorized"},
    {402, "Payment Required", "payment_required"},
    {403, "Forbidden", "forbidden"},
    {404, "Not Found", "not_found"},
    {405, "Method Not Allowed", "method_not_allowed"},
    {408, "Request Timeout", "timeout"},
    {409, "Conflict", "conflict"},
    {410, "Gone", "gone"},
    {412, "Precondition Failed", "precondition_failed"},
    {413, "Content Too Large", "too_large"},
    {414, "URI Too Long", "too_large"},
    {415, "Unsupported Media Type", "unsupported"},
    {417, "Expectation Failed", "unsupported"},
    {422, "Unprocessable Content", "invalid_request"},
    {429, "Too Many Requests", "rate_limited"},
    {431, "Request Header Fields Too Large", "too_large"},
    {500, "Internal Server Error", "internal"},
    {501, "Not Implemented", "unsupported"},
    {502, "Bad Gateway", "bad_gateway"},
    {503, "Service Unavailable", "overloaded"},
    {504, "Gateway Timeout", "bad_gateway"},
    {505, "HTTP Version Not Supported", "unsupported"},
};

static u32 index_of(u16 status) {
    u32 at = 0;
    while (at < ARRAY_COUNT(statuses) && statuses[at].status != status) {
        at++;
    }
    return at;
}

const char *http_status_text(u16 status) {
    u32 at = index_of(status);
    return at < ARRAY_COUNT(statuses) ? statuses[at].text : "Unknown";
}

const char *http_status_code(u16 status) {
    u32 at = index_of(status);
    return at < ARRAY_COUNT(statuses) ? statuses[at].code : "internal";
}

bool http_status_has_body(u16 status) {
    return status >= 200 && status != 204 && status != 304;
}

static void put_two(char *out, int value) {
    out[0] = (char)('0' + value / 10);
    out[1] = (char)('0' + value % 10);
}

static void write_date(i64 second, char *out) {
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    time_t time = (time_t)second;
    struct tm utc;
    check(gmtime_r(&time, &utc) != NULL);
    memcpy(out, "???, ?? ??? ???? ??:??:?? GMT", DATE_BYTES);
    memcpy(out, days + 3 * utc.tm_wday, 3);
    put_two(out + 5, utc.tm_mday);
    memcpy(out + 8, months + 3 * utc.tm_mon, 3);
    put_two(out + 12, (utc.tm_year + 1900) / 100);
    put_two(out + 14, (utc.tm_year + 1900) % 100);
    put_two(out + 17, utc.tm_hour);
    put_two(out + 20, utc.tm_min);
    put_two(out + 23, utc.tm_sec);
}

static char *put(char *to, const char *text, usize bytes) {
    memcpy(to, text, bytes);
    return to + bytes;
}

#define PUT(to, literal) put(to, "" literal, sizeof(literal) - 1)

static char *put_number(char *to, usize value) {
    char digits[20];
    usize at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    return put(to, digits + at, sizeof digits - at);
}

static char *put_date(char *to, i64 now_ms) {
    static _Thread_local char date[DATE_BYTES];
    static _Thread_local i64 date_second = INT64_MIN;
    i64 second = now_ms / 1000;
    if (second != date_second) {
        write_date(second, date);
        date_second = second;
    }
    return put(to, date, DATE_BYTES);
}

usize http_reply_head(const struct http_reply *reply, char *out) {
    check(reply->request_id.bytes <= HTTP_REQUEST_ID_MAX);
    char *to = PUT(out, "HTTP/1.1 ");
    to = put_number(to, reply->status);
    *to++ = ' ';
    const char *text = http_status_text(reply->status);
    to = put(to, text, strlen(text));
    to = PUT(to, "\r\nDate: ");
    to = put_date(to, reply->now_ms);
    if (http_status_has_body(reply->status)) {
        if (reply->content_type != NULL) {
            usize type_bytes = strlen(reply->content_type);
            check(type_bytes < 128);
            to = PUT(to, "\r\nContent-Type: ");
            to = put(to, reply->content_type, type_bytes);
        }
        to = PUT(to, "\r\nContent-Length: ");
        to = put_number(to, reply->content_bytes);
    }
    if (reply->request_id.bytes > 0) {
        to = PUT(to, "\r\nX-Request-ID: ");
        to = put(to, reply->request_id.data, reply->request_id.bytes);
    }
    if (reply->close) {
        to = PUT(to, "\r\nConnection: close");
    }
    to = PUT(to, "\r\n");
    return (usize)(to - out);
}

void http_put_methods(struct buf *headers, const char *name, u32 methods) {
    static const char *const names[HTTP_METHODS] = {"GET",   "HEAD",   "POST",   "PUT",
                                                    "PATCH", "DELETE", "OPTIONS"};
    const char *separator = ": ";
    buf_put_text(headers, name);
    for (u32 method = 0; method < HTTP_METHODS; method++) {
        if ((methods & ((u32)1 << method)) != 0) {
            buf_put_text(headers, separator);
            buf_put_text(headers, names[method]);
            separator = ", ";
        }
    }
    buf_put_text(headers, "\r\n");
}

void http_count_answer(struct http_answers *answers, u16 status) {
    if (answers != NULL) {
        _Atomic u64 *counter = status < 400    ? &answers->good
                               : status == 429 ? &answers->throttled
                               : status < 500  ? &answers->refused
                               : status == 503 ? &answers->overloaded
                                               : &answers->failed;
        u64 count = atomic_load_explicit(counter, memory_order_relaxed);
        atomic_store_explicit(counter, count + 1, memory_order_relaxed);
    }
}
