/* budget.c: see budget.h. */
#include "account/budget.h"

#include <string.h>

#include "json/time.h"

static i64 month_begin(i64 now_ms, u32 months_later) {
    i64 days = now_ms / TIME_MS_PER_DAY - (now_ms % TIME_MS_PER_DAY < 0);
    u32 year;
    u32 month;
    u32 day;
    time_civil(days, &year, &month, &day);
    month += months_later;
    if (month > 12) {
        month -= 12;
        year++;
    }
    return time_days(year, month, 1) * TIME_MS_PER_DAY;
}

i64 budget_this_month(i64 now_ms) {
    return month_begin(now_ms, 0);
}

i64 budget_next_month(i64 now_ms) {
    return month_begin(now_ms, 1);
}

struct budget budget_start(i64 limit_cents, enum budget_period period, i64 now_ms) {
    check(limit_cents >= 0 && limit_cents <= BUDGET_CENTS_MAX);
    struct budget budget = {.limited = true, .period = period, .limit_cents = limit_cents};
    if (period == BUDGET_DAY) {
        budget.reset_ms = now_ms + TIME_MS_PER_DAY;
    } else if (period == BUDGET_MONTH) {
        budget.reset_ms = budget_next_month(now_ms);
    }
    return budget;
}

void budget_advance(struct budget *budget, i64 now_ms) {
    if (!budget->limited || budget->reset_ms == 0 || now_ms < budget->reset_ms) {
        return;
    }
    budget->used_pico = 0;
    if (budget->period == BUDGET_MONTH) {
        budget->reset_ms = budget_next_month(now_ms);
    } else {
        i64 ended = (now_ms - budget->reset_ms) / TIME_MS_PER_DAY + 1;
        budget->reset_ms += ended * TIME_MS_PER_DAY;
    }
}

bool budget_admits(const struct budget *budget) {
    return !budget->limited || budget->used_pico < (i128)budget->limit_cents * PICO_PER_CENT;
}

void budget_charge(struct budget *budget, i64 cost_pico) {
    if (budget->limited) {
        budget->used_pico += cost_pico;
    }
}

i64 budget_used_cents(const struct budget *budget) {
    i128 used = budget->used_pico;
    i128 cents = used / PICO_PER_CENT + (used > 0 && used % PICO_PER_CENT != 0);
    return (i64)MIN(MAX(cents, (i128)0), (i128)INT64_MAX);
}

i64 budget_remaining_cents(const struct budget *budget) {
    return MAX(budget->limit_cents - budget_used_cents(budget), (i64)0);
}

static const char *const names[BUDGET_PERIODS] = {[BUDGET_DAY] = "day", [BUDGET_MONTH] = "month"};

const char *budget_period_text(enum budget_period period) {
    check((u32)period < BUDGET_PERIODS);
    return names[period];
}

bool budget_period_parse(struct slice text, enum budget_period *out) {
    for (u32 i = BUDGET_DAY; i < BUDGET_PERIODS; i++) {
        if (text.bytes == strlen(names[i]) && memcmp(text.data, names[i], text.bytes) == 0) {
            *out = (enum budget_period)i;
            return true;
        }
    }
    return false;
}
