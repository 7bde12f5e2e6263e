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

const char *params_page(const struct http_call *call, u32 limit_default, u32 limit_max,
                        struct page *page) {
    u64 value;
    *page = (struct page){limit_default, 0};
    if (saturating(call, "limit", &value) && value > 0) {
        page->limit = (u32)MIN(value, (u64)limit_max);
    }
    if (saturating(call, "offset", &value)) {
        page->offset = value;
    }
    return page->offset > PAGE_OFFSET_MAX ? "offset is above 9007199254740991" : NULL;
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

/* Parameters that bound a window, and what is said of those that cannot. */
struct bounds {
    const char *from;
    const char *to;
    const char *bad_from;
    const char *bad_to;
    const char *bad_order;
};

static const struct bounds dates = {
    "date_from", "date_to", "date_from is not a date (RFC 3339 or YYYY-MM-DD)",
    "date_to is not a date (RFC 3339 or YYYY-MM-DD)", "date_to is before date_from"};
static const struct bounds period = {
    "period_start", "period_end", "period_start is not a date (RFC 3339 or YYYY-MM-DD)",
    "period_end is not a date (RFC 3339 or YYYY-MM-DD)", "period_end is before period_start"};

static bool is_given(const struct http_call *call, const char *name) {
    struct slice text;
    return http_call_param(call, name, &text) && text.bytes > 0;
}

static bool any_given(const struct http_call *call, const struct bounds *bounds) {
    return is_given(call, bounds->from) || is_given(call, bounds->to);
}

static const char *window_of(const struct http_call *call, const struct bounds *bounds,
                             struct window *window) {
    struct window span;
    struct slice text;
    *window = (struct window){INT64_MIN, INT64_MAX};
    if (http_call_param(call, bounds->from, &text) && text.bytes > 0) {
        if (!parse_date(text, &span)) {
            return bounds->bad_from;
        }
        window->from = span.from;
    }
    if (http_call_param(call, bounds->to, &text) && text.bytes > 0) {
        if (!parse_date(text, &span)) {
            return bounds->bad_to;
        }
        window->to = span.to;
    }
    return window->from < window->to ? NULL : bounds->bad_order;
}

static bool is_all(struct slice text) {
    return text.bytes == 3 && text.data[0] == 'a' && text.data[1] == 'l' && text.data[2] == 'l';
}

const char *params_window(const struct http_call *call, u32 days, struct window *window) {
    if (any_given(call, &dates)) {
        return window_of(call, &dates, window);
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

const char *params_period(const struct http_call *call, u32 days, struct window *window) {
    return any_given(call, &period) ? window_of(call, &period, window)
                                    : params_window(call, days, window);
}

static i64 length_ms(const struct http_call *call, const struct window *window, bool is_exact) {
    if (window->from == INT64_MIN) {
        return 0;
    }
    i64 to = window->to == INT64_MAX ? MAX(call->now_ms, window->from + 1) : window->to;
    i64 days = (to - window->from) / TIME_MS_PER_DAY;
    return is_exact ? to - window->from : days * TIME_MS_PER_DAY;
}

i64 params_window_ms(const struct http_call *call, const struct window *window) {
    return length_ms(call, window, any_given(call, &dates));
}

i64 params_period_ms(const struct http_call *call, const struct window *window) {
    return length_ms(call, window, any_given(call, &period) || any_given(call, &dates));
}
