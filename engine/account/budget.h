/*
 * budget.h: the arithmetic of a key's budget (Observe 1.5): a cap on what it spends through the
 * gateway, for its life or for each day or month. Pure: the caller keeps the budget and the time.
 */
#ifndef MARGIN_ACCOUNT_BUDGET_H
#define MARGIN_ACCOUNT_BUDGET_H

#include "base.h"

enum budget_period { BUDGET_LIFETIME, BUDGET_DAY, BUDGET_MONTH, BUDGET_PERIODS };

#define BUDGET_CENTS_MAX ((i64)1 << 53) /* what every JSON reader takes for an integer */
#define PICO_PER_CENT ((i64)10000000000)

struct budget {
    bool limited;    /* false: no cap, and nothing else here means anything */
    u32 period;      /* enum budget_period */
    i64 limit_cents; /* 0: no call at all */
    i128 used_pico;  /* in this period; exact */
    i64 reset_ms;    /* when the period ends; 0: never */
};

/* A budget that begins now. A day is 24 hours from then on; a month ends with the calendar's, in
 * UTC. */
struct budget budget_start(i64 limit_cents, enum budget_period period, i64 now_ms);
/* Enters the period that `now_ms` is in, passing over all that have ended. Comes before each of the
 * following. */
void budget_advance(struct budget *budget, i64 now_ms);
/* Whether a call may begin: something is left. */
bool budget_admits(const struct budget *budget);
/* Never past 127 bits: a cost has 64. */
void budget_charge(struct budget *budget, i64 cost_pico);

/* What is shown: cents begun count whole. */
i64 budget_used_cents(const struct budget *budget);
i64 budget_remaining_cents(const struct budget *budget); /* never negative */

/* "day", "month"; NULL for a lifetime. */
const char *budget_period_text(enum budget_period period);
bool budget_period_parse(struct slice text, enum budget_period *out);

/* First instant of the calendar month after the one `now_ms` is in, and of that itself, UTC. */
i64 budget_next_month(i64 now_ms);
i64 budget_this_month(i64 now_ms);

#endif
