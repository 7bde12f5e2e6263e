/*
 * cost.c: which rates hold for a request, and what the table lists. Rules: tiers replace the prices
 * of the whole request once its total input is above their bound; hours are UTC, from inclusive and
 * to exclusive; of the periods the last one that has begun holds, the first one also before it.
 */
#include "price/table.h"

#define DAY_MS ((i64)86400000)
#define MINUTE_MS 60000

static const struct price_period *period_at(const struct price_table *table,
                                            const struct price_entry *entry, i64 time_ms) {
    const struct price_period *period = &table->periods[entry->periods];
    const struct price_period *last = period + entry->period_count - 1;
    while (period < last && period[1].from_ms <= time_ms) {
        period++;
    }
    return period;
}

static u32 hours_row(const struct price_table *table, const struct price_period *period,
                     i64 time_ms) {
    i64 day_ms = (time_ms % DAY_MS + DAY_MS) % DAY_MS;
    u32 minute = (u32)(day_ms / MINUTE_MS);
    for (u32 i = 0; i < period->hour_count; i++) {
        struct price_hours hours = table->hours[period->hours + i];
        bool within = hours.from <= hours.to ? minute >= hours.from && minute < hours.to
                                             : minute >= hours.from || minute < hours.to;
        if (within) {
            return i + 1;
        }
    }
    return 0;
}

static u32 tier_column(const struct price_table *table, const struct price_period *period,
                       i64 input) {
    u32 column = 0;
    while (column < period->tier_count && input > table->tiers[period->tiers + column]) {
        column++;
    }
    return column;
}

const struct price_rates *price_rates_at(const struct price_table *table,
                                         const struct price_entry *entry, i64 time_ms, i64 input) {
    const struct price_period *period = period_at(table, entry, time_ms);
    u32 row = hours_row(table, period, time_ms);
    u32 column = tier_column(table, period, input);
    return &table->rates[period->rates + row * (period->tier_count + 1) + column];
}

bool price_cost(const struct price_table *table, u32 price, i64 time_ms,
                const struct price_tokens *tokens, i64 *cost) {
    check(price < table->entry_count);
    check(tokens->input >= 0 && tokens->output >= 0 && tokens->cached >= 0);
    check(tokens->cache_write >= 0 && tokens->reasoning >= 0);
    const struct price_entry *entry = &table->entries[price];
    return price_rates_cost(price_rates_at(table, entry, time_ms, tokens->input), tokens, cost);
}

u32 price_count(const struct price_table *table) {
    return table->entry_count;
}

struct price_listing price_list(const struct price_table *table, u32 index) {
    check(index < table->entry_count);
    return table->entries[index].listing;
}
