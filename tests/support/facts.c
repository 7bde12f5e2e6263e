/*
 * facts.c: random events for the tests of the figures: late, early, ahead, negative, in foreign
 * units, as large as numbers get, and mostly at the edges of windows.
 */
#include "tests/support/facts.h"

#include <stdio.h>
#include <string.h>

#define DAY ((i64)86400000)
#define HOUR ((i64)3600000)
#define MINUTE ((i64)60000)

u64 fact_seed;

u64 fact_random(void) {
    u64 z = fact_seed += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

u32 fact_below(u32 bound) {
    return (u32)(fact_random() % bound);
}

bool fact_one_in(u32 count) {
    return fact_below(count) == 0;
}

/* Texts of each dimension; index 0 is absent. */
const char *const fact_texts[SERIES_TEXTS][16] = {
    [TEXT_EVENT_NAME] = {"", "cost", "revenue", "call"},
    [TEXT_CUSTOMER] = {"", "acme", "b", "bolt", "c-1", "c-10", "c-2", "d", "e", "f", "zeta", "zz"},
    [TEXT_FEATURE] = {"", "chat", "search", "summary", "r\xc3\xa9sum\xc3\xa9"},
    [TEXT_MODEL] = {"", "gpt-4o", "claude", "m3"},
    [TEXT_PROVIDER] = {"", "openai", "anthropic"},
    [TEXT_COST_TYPE] = {"", "llm", "generic", "image", "audio", "tool", "video", "embedding"},
};
const u32 fact_text_counts[SERIES_TEXTS] = {4, 12, 5, 4, 3, 8};
const char *const fact_agents[] = {"", "planner", "coder", "x"};

i64 fact_now;

static i64 random_money(void) {
    switch (fact_below(8)) {
    case 0:
        return EVENT_MONEY_MAX - (i64)fact_below(10);
    case 1:
        return -EVENT_MONEY_MAX + (i64)fact_below(10);
    case 2:
        return 0;
    case 3:
        return -(i64)(fact_random() % 1000000000000u);
    default:
        return (i64)(fact_random() % 100000000000u);
    }
}

static i64 random_tokens(void) {
    return fact_one_in(12) ? EVENT_TOKENS_MAX - fact_below(3) : fact_below(5000);
}

i64 fact_hour;
i64 fact_span = HOUR;
bool fact_few;

i64 fact_time(void) {
    static const i64 edges[] = {7 * DAY, 30 * DAY, 90 * DAY, 92 * DAY, 180 * MINUTE, HOUR};
    i64 time = fact_now;
    if (fact_hour != 0 && !fact_one_in(8)) {
        return fact_hour + (i64)(fact_random() % (u64)fact_span);
    }
    switch (fact_below(7)) {
    case 0:
        time = fact_now + (i64)(fact_random() % (u64)EVENT_TIME_AHEAD_MS);
        break;
    case 1:
        time = fact_now - (i64)(fact_random() % (u64)(3 * HOUR));
        break;
    case 2:
        time = fact_now - (i64)(fact_random() % (u64)(40 * DAY));
        break;
    case 3:
        time = fact_now - (i64)(fact_random() % (u64)(500 * DAY));
        break;
    case 4:
        time = fact_now - edges[fact_below(6)];
        time = time - time % HOUR + (i64)fact_below(3) - 1 + (fact_one_in(2) ? HOUR : 0);
        break;
    default:
        time = fact_now - fact_below(60000);
        break;
    }
    return MAX(time, EVENT_TIME_MIN);
}

void fact_make(struct fact *fact, bool plain) {
    *fact = (struct fact){0};
    for (u32 dim = 0; dim < SERIES_TEXTS; dim++) {
        bool many = !plain && (!fact_few || dim == TEXT_CUSTOMER);
        fact->dim[dim] = many ? fact_below(fact_text_counts[dim]) : 1;
    }
    if (fact->dim[TEXT_EVENT_NAME] == 0) {
        fact->dim[TEXT_EVENT_NAME] = 1;
    }
    fact->raw_cost_type = (u8)fact->dim[TEXT_COST_TYPE];
    if (fact->dim[TEXT_COST_TYPE] == 0) {
        fact->dim[TEXT_COST_TYPE] = fact->dim[TEXT_MODEL] != 0 ? 1 : 2;
    }
    fact->source =
        (u8)(plain || fact_few || fact_one_in(2) ? SOURCE_SDK : fact_below(EVENT_SOURCES));
    fact->flags = fact_one_in(9) ? EVENT_FLAG_FOREIGN_UNIT : 0;
    fact->unpriced = fact_one_in(7);
    fact->revenue_source =
        (u8)(plain || fact_one_in(2) ? REVENUE_EXPLICIT : fact_below(REVENUE_SOURCES));
    fact->agent = fact_one_in(3) ? fact_below(4) : 0;
    fact->trace = fact_one_in(3) ? fact_below(400) : 0;
    fact->present =
        NUM_BIT(NUM_TIME) | NUM_BIT(NUM_COST) | NUM_BIT(NUM_REVENUE) | NUM_BIT(NUM_USAGE);
    fact->number[NUM_TIME] = fact_time();
    fact->number[NUM_COST] = plain ? 70000000 : random_money();
    fact->number[NUM_REVENUE] = plain ? 90000000 : random_money();
    fact->number[NUM_USAGE] = fact_one_in(10) ? EVENT_USAGE_MAX : (i64)fact_below(100000000);
    for (u32 number = NUM_INPUT; number <= NUM_CACHE_WRITE; number++) {
        if (fact_one_in(2)) {
            fact->present |= NUM_BIT(number);
            fact->number[number] = plain ? fact_below(1000) : random_tokens();
        }
    }
    if (fact_one_in(2)) {
        fact->present |= NUM_BIT(NUM_DURATION);
        fact->number[NUM_DURATION] =
            fact_one_in(20) ? (i64)1 << fact_below(41) : (i64)fact_below(30000);
    }
}

void fact_put_text(struct event_batch *batch, u32 row, enum event_text text, const char *data) {
    u32 bytes = (u32)strlen(data);
    if (bytes == 0) {
        return;
    }
    check(batch->text_bytes + bytes + EVENT_TEXT_PADDING <= batch->text_bytes_max);
    memcpy(batch->text + batch->text_bytes, data, bytes);
    batch->ref[text][row] = (struct text_ref){batch->text_bytes, bytes};
    batch->text_bytes += bytes;
    batch->present[row] |= TEXT_BIT(text);
}

void fact_put(struct event_batch *batch, u32 row, const struct fact *fact) {
    batch->present[row] = fact->present;
    batch->source[row] = fact->source;
    batch->revenue_source[row] = fact->revenue_source;
    batch->flags[row] = fact->flags;
    batch->cost_source[row] = fact->unpriced ? COST_UNPRICED : COST_EXPLICIT;
    batch->series[row] = SERIES_UNRESOLVED;
    for (u32 number = 0; number < NUM_COUNT; number++) {
        batch->number[number][row] = fact->number[number];
    }
    for (u32 text = 0; text < SERIES_TEXTS; text++) {
        u32 index = text == TEXT_COST_TYPE ? fact->raw_cost_type : fact->dim[text];
        fact_put_text(batch, row, (enum event_text)text, fact_texts[text][index]);
    }
    fact_put_text(batch, row, TEXT_AGENT, fact_agents[fact->agent]);
    if (fact->trace != 0) {
        char id[16];
        snprintf(id, sizeof id, "t%u", fact->trace);
        fact_put_text(batch, row, TEXT_TRACE, id);
    }
    batch->count = MAX(batch->count, row + 1);
}

static i64 month_start(i64 time) {
    static const u32 lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    i64 day = 0;
    for (u32 year = 1970;; year++) {
        bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        for (u32 month = 0; month < 12; month++) {
            i64 days = lengths[month] + (month == 1 && leap ? 1 : 0);
            if (time < (day + days) * DAY) {
                return day * DAY;
            }
            day += days;
        }
    }
}

i64 fact_bucket(enum query_bucket bucket, i64 time) {
    switch (bucket) {
    case BUCKET_MINUTE:
        return time / MINUTE * MINUTE;
    case BUCKET_HOUR:
        return time / HOUR * HOUR;
    case BUCKET_DAY:
        return time / DAY * DAY;
    case BUCKET_MONTH:
        return month_start(time);
    case BUCKET_NONE:
        break;
    }
    return 0;
}
