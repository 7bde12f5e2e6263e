/* params_test.c: pages, windows and numbers of query strings. */
#include <criterion/criterion.h>
#include <string.h>

#include "api/params.h"
#include "query/query.h"
#include "json/time.h"

#define NOW_MS ((i64)1790000000123)

static struct http_call make_call(const char *const *pairs, u32 count) {
    struct http_call call = {.now_ms = NOW_MS, .param_count = count};
    for (u32 i = 0; i < count; i++) {
        call.param[i].name = (struct slice){pairs[2 * i], strlen(pairs[2 * i])};
        call.param[i].value = (struct slice){pairs[2 * i + 1], strlen(pairs[2 * i + 1])};
    }
    return call;
}

Test(params, page) {
    static const struct {
        const char *limit;
        const char *offset;
        struct page expected;
    } cases[] = {
        {"", "", {50, 0}},
        {"7", "3", {7, 3}},
        {"x", "y", {50, 0}},
        {"-1", "-5", {50, 0}},
        {"0", "0", {50, 0}},
        {"200", "1", {200, 1}},
        {"201", "1", {200, 1}},
        {"5.5", "1e3", {50, 0}},
        {"99999999999999999999", "9007199254740991", {200, PAGE_OFFSET_MAX}},
    };
    static const char *const too_far[] = {"9007199254740992", "18446744073709551615",
                                          "18446744073709551616", "99999999999999999999999"};
    struct page page;
    for (u32 i = 0; i < ARRAY_COUNT(cases); i++) {
        const char *pairs[] = {"limit", cases[i].limit, "offset", cases[i].offset};
        struct http_call call = make_call(pairs, 2);
        cr_assert_null(params_page(&call, 50, 200, &page));
        cr_assert_eq(page.limit, cases[i].expected.limit, "limit of case %u", i);
        cr_assert_eq(page.offset, cases[i].expected.offset, "offset of case %u", i);
    }
    for (u32 i = 0; i < ARRAY_COUNT(too_far); i++) {
        const char *pairs[] = {"offset", too_far[i]};
        struct http_call call = make_call(pairs, 1);
        cr_assert_not_null(params_page(&call, 50, 200, &page), "%s", too_far[i]);
    }
    struct http_call none = make_call(NULL, 0);
    cr_assert_null(params_page(&none, 50, 200, &page));
    cr_assert_eq(page.limit, 50);
}

static i64 at(const char *text) {
    i64 ms = -1;
    cr_assert(time_parse((struct slice){text, strlen(text)}, &ms));
    return ms;
}

static void expect_window(const char *const *pairs, u32 count, i64 from, i64 to) {
    struct http_call call = make_call(pairs, count);
    struct window window;
    const char *why = params_window(&call, 90, &window);
    cr_assert_null(why, "%s", why);
    cr_assert_eq(window.from, from, "from %s", pairs[1]);
    cr_assert_eq(window.to, to, "to %s", pairs[1]);
}

Test(params, window) {
    const i64 day = TIME_MS_PER_DAY;
    const i64 hour = day / 24;
    const i64 long_ago = NOW_MS - 90 * day;
    const char *nothing[] = {"x", "y"};
    expect_window(nothing, 1, long_ago - long_ago % hour, INT64_MAX);
    const char *one_day[] = {"days", "1"};
    expect_window(one_day, 1, NOW_MS - day - (NOW_MS - day) % 60000, INT64_MAX);
    const char *all[] = {"days", "all"};
    expect_window(all, 1, INT64_MIN, INT64_MAX);
    const char *ages[] = {"days", "99999999999999999999"};
    expect_window(ages, 1, INT64_MIN, INT64_MAX);
    const char *dates[] = {"date_from", "2026-05-01", "date_to", "2026-05-01", "days", "7"};
    expect_window(dates, 3, at("2026-05-01T00:00:00Z"), at("2026-05-02T00:00:00Z"));
    const char *times[] = {"date_from", "2026-05-01T10:00:00.5Z", "date_to",
                           "2026-05-01T10:00:00.5Z"};
    expect_window(times, 2, at("2026-05-01T10:00:00.500Z"), at("2026-05-01T10:00:00.501Z"));
    const char *open_end[] = {"date_from", "2026-05-01T10:00:00+02:00"};
    expect_window(open_end, 1, at("2026-05-01T08:00:00Z"), INT64_MAX);
    const char *open_start[] = {"date_to", "2026-05-01"};
    expect_window(open_start, 1, INT64_MIN, at("2026-05-02T00:00:00Z"));
}

Test(params, refused_windows) {
    static const char *const cases[][4] = {
        {"days", "0", "x", ""},
        {"days", "-1", "x", ""},
        {"days", "seven", "x", ""},
        {"date_from", "May", "x", ""},
        {"date_to", "2026-02-30", "x", ""},
        {"date_from", "2026-05-02", "date_to", "2026-05-01"},
    };
    for (u32 i = 0; i < ARRAY_COUNT(cases); i++) {
        struct http_call call = make_call(cases[i], 2);
        struct window window;
        cr_assert_not_null(params_window(&call, 90, &window), "case %u", i);
    }
}

Test(params, numbers) {
    u64 value;
    cr_assert(params_u64(SLICE("18446744073709551615"), &value) && value == UINT64_MAX);
    cr_assert(params_u64(SLICE("007"), &value) && value == 7);
    cr_assert_not(params_u64(SLICE("18446744073709551616"), &value));
    cr_assert_not(params_u64(SLICE(""), &value));
    cr_assert_not(params_u64(SLICE("-1"), &value));
    cr_assert_not(params_u64(SLICE("1 "), &value));
}

Test(params, periods) {
    static const struct {
        const char *pairs[8];
        u32 count;
        const char *from; /* NULL: no bound */
        const char *to;
        i64 length_ms;
    } cases[] = {
        {{"period_start", "2026-08-01", "days", "3"},
         2,
         "2026-08-01T00:00:00Z",
         NULL,
         NOW_MS - 1785542400000},
        {{"period_start", "2026-08-01", "period_end", "2026-08-02", "date_from", "2026-01-01"},
         3,
         "2026-08-01T00:00:00Z",
         "2026-08-03T00:00:00Z",
         2 * TIME_MS_PER_DAY},
        {{"date_from", "2026-08-01T12:00:00Z", "date_to", "2026-08-01T13:00:00Z"},
         2,
         "2026-08-01T12:00:00Z",
         "2026-08-01T13:00:00.001Z",
         3600001},
        {{"period_end", "2026-08-02"}, 1, NULL, "2026-08-03T00:00:00Z", 0},
        {{"days", "all"}, 1, NULL, NULL, 0},
        {{"days", "7"}, 1, "2026-09-14T14:00:00Z", NULL, 7 * TIME_MS_PER_DAY},
        {{"days", "1"}, 1, "2026-09-20T14:13:00Z", NULL, TIME_MS_PER_DAY},
        {{NULL}, 0, "2026-08-22T14:00:00Z", NULL, 30 * TIME_MS_PER_DAY},
        {{"date_from", "2030-01-01"}, 1, "2030-01-01T00:00:00Z", NULL, 1},
    };
    for (u32 i = 0; i < ARRAY_COUNT(cases); i++) {
        struct http_call call = make_call(cases[i].pairs, cases[i].count);
        struct window window;
        cr_assert_null(params_period(&call, 30, &window), "case %u", i);
        cr_expect_eq(window.from, cases[i].from == NULL ? INT64_MIN : at(cases[i].from),
                     "case %u: %lld", i, (long long)window.from);
        cr_expect_eq(window.to, cases[i].to == NULL ? INT64_MAX : at(cases[i].to), "case %u", i);
        cr_expect_eq(params_period_ms(&call, &window), cases[i].length_ms, "case %u: %lld", i,
                     (long long)params_period_ms(&call, &window));
    }
    const char *bad[] = {"period_start", "2026-02-30"};
    const char *late[] = {"period_start", "2026-03-01", "period_end", "2026-02-01"};
    struct window window;
    struct http_call call = make_call(bad, 1);
    cr_expect_not_null(params_period(&call, 30, &window));
    call = make_call(late, 2);
    cr_expect_str_eq(params_period(&call, 30, &window), "period_end is before period_start");
}
