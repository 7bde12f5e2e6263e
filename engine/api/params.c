/* params.c: reads pages and windows; what cannot be read is refused, never guessed. */
#include "api/params.h"

#include "query/query.h"
#include "json/time.h"

bool params_u64(struct slice text, u64 *value) {
    u64 result = 0;
    for (usize i = 0; i < text.bytes; i++) {
        u32 digit = (u32)(u8)text.data[i] - '0';
        if (digit > 9 || result > (UINT64_MAX - digit) / 10) {
            return false;
        }
        result = result * 10 + digit;
    }
    *value = result;
    return text.bytes > 0;
}

static bool all_digits(struct slice text) {
    for (usize i = 0; i < text.bytes; i++) {
        if ((u32)(u8)text.data[i] - '0' > 9) {
            return false;
        }
    }
    return text.bytes > 0;
}

/* As params_u64, but a number past 64 bits is the largest one. */
static bool saturating(const struct http_call *call, const char *name, u64 *value) {
    struct slice text;
    if (!http_call_param(call, name, &text) || !all_digits(text)) {
        return false;
    }
    if (!params_u64(text, value)) {
        *value = UINT64_MAX;
    }
    return true;
}

struct page params_page(const struct http_call *call, u32 limit_default, u32 limit_max) {
    struct page page = {limit_default, 0};
    u64 value;
    if (saturating(call, "limit", &value) && value > 0) {
        page.limit = (u32)MIN(value, (u64)limit_max);
    }
    if (saturating(call, "offset", &value)) {
        page.offset = value;
    }
    return page;
}

/* The first instant a date names and the first one behind it. */
static bool parse_date(struct slice text, struct window *span) {
    bool whole_day = text.bytes == 10;
    i64 start;
    if (whole_day ? !time_parse_date(text, &start) : !time_parse(text, &start)) {
        return false;
    }
    *span = (struct window){start, start + (whole_day ? TIME_MS_PER_DAY : 1)};
    return true;
}

static const char *window_of_dates(bool has_from, struct slice from, bool has_to, struct slice to,
                                   struct window *window) {
    struct window span;
    *window = (struct window){INT64_MIN, INT64_MAX};
    if (has_from) {
        if (!parse_date(from, &span)) {
            return "date_from is not a date (RFC 3339 or YYYY-MM-DD)";
        }
        window->from = span.from;
    }
    if (has_to) {
        if (!parse_date(to, &span)) {
            return "date_to is not a date (RFC 3339 or YYYY-MM-DD)";
        }
        window->to = span.to;
    }
    return window->from < window->to ? NULL : "date_to is before date_from";
}

static bool is_all(struct slice text) {
    return text.bytes == 3 && text.data[0] == 'a' && text.data[1] == 'l' && text.data[2] == 'l';
}

const char *params_window(const struct http_call *call, u32 days, struct window *window) {
    struct slice from;
    struct slice to;
    bool has_from = http_call_param(call, "date_from", &from) && from.bytes > 0;
    bool has_to = http_call_param(call, "date_to", &to) && to.bytes > 0;
    if (has_from || has_to) {
        return window_of_dates(has_from, from, has_to, to, window);
    }
    struct slice text;
    u64 given = days;
    if (http_call_param(call, "days", &text) && text.bytes > 0 && !is_all(text)) {
        if (!saturating(call, "days", &given) || given == 0) {
            return "days is neither a positive number nor \"all\"";
        }
    } else if (text.bytes > 0) {
        given = WINDOW_ALL;
    }
    *window = (struct window){INT64_MIN, INT64_MAX};
    if (given != WINDOW_ALL && given <= WINDOW_DAYS_MAX) {
        window->from = query_window_start(call->now_ms, (i64)given * TIME_MS_PER_DAY);
    }
    return NULL;
}
