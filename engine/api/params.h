/*
 * params.h: query parameters that several endpoints share: pages and time windows, with the rules
 * of the Observe API (sections 0 and 0.1). Pure.
 */
#ifndef MARGIN_API_PARAMS_H
#define MARGIN_API_PARAMS_H

#include "http/call.h"

struct page {
    u32 limit;
    u64 offset;
};

/* A limit that is missing, no number or below 1 is `limit_default`; one above is `limit_max`. An
 * offset that is missing, no number or negative is 0. NULL, or why the request is not valid: an
 * offset past PAGE_OFFSET_MAX, which no reader of JSON would get back as he sent it. */
#define PAGE_OFFSET_MAX (((u64)1 << 53) - 1)
const char *params_page(const struct http_call *call, u32 limit_default, u32 limit_max,
                        struct page *page);

#define WINDOW_ALL 0 /* days of a window without bounds */
#define WINDOW_DAYS_MAX 36500

struct window {
    i64 from; /* ms, inclusive; INT64_MIN: no bound */
    i64 to;   /* ms, exclusive; INT64_MAX: no bound */
};

/* The last `days` days, or another window if the request has date_from, date_to (both inclusive,
 * RFC 3339 or YYYY-MM-DD) or days (a number, or "all"); dates win over days. NULL, or why the
 * request is not valid. */
const char *params_window(const struct http_call *call, u32 days, struct window *window);

/* The same; period_start and period_end, which mean as much as date_from and date_to, win over
 * both. */
const char *params_period(const struct http_call *call, u32 days, struct window *window);

/* How long a window is, ms; one without an end ends now, and one of n days is n * 24 h long, not
 * what its start was rounded down by. 0: it has no beginning. */
i64 params_window_ms(const struct http_call *call, const struct window *window);
i64 params_period_ms(const struct http_call *call, const struct window *window);

/* A decimal number without sign; false for anything else, and past 64 bits. */
bool params_u64(struct slice text, u64 *value);

#endif
