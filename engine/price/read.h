/*
 * read.h: the two JSON files of the price table, one line (object) at a time. Strict: an unknown
 * member, a price that is not a decimal string or a list out of order is an error, because a
 * misspelt price that is skipped would be a wrong cost nobody sees.
 */
#ifndef MARGIN_PRICE_READ_H
#define MARGIN_PRICE_READ_H

#include "price/table.h"
#include "json/reader.h"

#define LINE_ALIASES_MAX 64
#define LINE_TIERS_MAX 8
#define LINE_HOURS_MAX 8
#define LINE_PERIODS_MAX 64

enum price_field {
    FIELD_INPUT,
    FIELD_OUTPUT,
    FIELD_CACHED,
    FIELD_CACHE_WRITE,
    FIELD_REASONING,
    FIELD_REQUEST_FEE,
    PRICE_FIELDS
};

/* Picodollars per token, the fee per request; -1 where not listed. */
struct price_set {
    i64 value[PRICE_FIELDS];
};

struct line_tier {
    i64 above_input;
    struct price_set prices;
};

struct line_hours {
    struct price_hours hours;
    struct price_set prices;
};

struct line_period {
    i64 from_ms;
    struct price_set prices;
    struct line_tier tier[LINE_TIERS_MAX];
    u32 tier_count;
    struct line_hours hours[LINE_HOURS_MAX];
    u32 hour_count;
};

struct model_line {
    struct slice provider;
    struct slice model;
    struct slice alias[LINE_ALIASES_MAX];
    u32 alias_count;
    struct line_period now; /* the prices outside `periods` */
    struct line_period period[LINE_PERIODS_MAX];
    u32 period_count;
};

struct provider_line {
    struct slice provider;
    struct slice alias[LINE_ALIASES_MAX];
    u32 alias_count;
    struct slice model_prefix[LINE_ALIASES_MAX];
    u32 model_prefix_count;
    struct slice fallback[PRICE_FALLBACKS_MAX];
    u32 fallback_count;
};

/* Begins the list that is the whole file. The text is changed in place; slices in the lines point
 * into it. */
bool price_read_begin(struct json_reader *reader);
/* True if a line was read; false at the end of the list and on a failure, which json_read_finish()
 * tells apart. */
bool price_read_model(struct json_reader *reader, struct model_line *line);
bool price_read_provider(struct json_reader *reader, struct provider_line *line);

#endif
