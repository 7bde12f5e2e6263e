/* read.c: see read.h. */
#include "price/read.h"

#include <string.h>

#include "json/time.h"

#define PRICE_DECIMALS 6 /* USD per million tokens to picodollars per token */
#define FEE_DECIMALS 12  /* USD to picodollars */

/* Every helper reads exactly one value, or fails the reader. */
static bool refuse(struct json_reader *reader, const char *text) {
    return json_read_refuse(reader, ERR_INVALID, text);
}

static bool good(const struct json_reader *reader) {
    return reader->error.code == ERR_OK;
}

static bool read_count(struct json_reader *reader, i64 *out) {
    return json_read_i64(reader, out) && (*out >= 0 || refuse(reader, "a count is below zero"));
}

static bool read_strings(struct json_reader *reader, struct slice *out, u32 max, u32 *count) {
    *count = 0;
    if (!json_read_array(reader)) {
        return false;
    }
    while (json_read_element(reader)) {
        if (*count == max) {
            return refuse(reader, "a list is too long");
        }
        if (!json_read_string(reader, &out[(*count)++])) {
            return false;
        }
    }
    return good(reader);
}

/* --- prices ---------------------------------------------------------------------------------- */

/* A string that holds a plain decimal: digits, perhaps a point and digits. */
static bool read_decimal(struct json_reader *reader, u32 decimals, i64 *out) {
    struct slice text;
    if (!json_read_string(reader, &text)) {
        return false;
    }
    for (usize i = 0; i < text.bytes; i++) {
        if (text.data[i] != '.' && (text.data[i] < '0' || text.data[i] > '9')) {
            return refuse(reader, "a price is not a plain decimal");
        }
    }
    if (text.bytes == 0 || number_scan(text.data, text.data + text.bytes) != text.bytes) {
        return refuse(reader, "a price is not a plain decimal");
    }
    if (number_scale(text, decimals, NUMBER_EXACT, out) != ERR_OK || *out > PRICE_FEE_MAX) {
        return refuse(reader, "a price has too many decimals or is too large");
    }
    return true;
}

/* Prices the table lists but no event asks for yet: kinds of tokens events do not tell apart. */
static bool is_unused_price(struct slice key) {
    static const char *const names[] = {"cache_write_1h_per_mtok",
                                        "citation_per_mtok",
                                        "audio_input_per_mtok",
                                        "cached_audio_input_per_mtok",
                                        "audio_output_per_mtok",
                                        "image_input_per_mtok",
                                        "cached_image_input_per_mtok",
                                        "image_output_per_mtok",
                                        "video_input_per_mtok",
                                        "video_output_per_mtok",
                                        "web_search_per_1k",
                                        "file_search_per_1k",
                                        "batch_multiplier"};
    for (usize i = 0; i < ARRAY_COUNT(names); i++) {
        if (slice_is(key, names[i])) {
            return true;
        }
    }
    return false;
}

static bool read_fees_by_context(struct json_reader *reader) {
    struct slice size;
    i64 fee;
    if (!json_read_object(reader)) {
        return false;
    }
    while (json_read_member(reader, &size)) {
        if (!read_decimal(reader, FEE_DECIMALS, &fee)) {
            return false;
        }
    }
    return good(reader);
}

/* Reads the value of a price member. False with a good reader: the key is no price. */
static bool read_price(struct json_reader *reader, struct slice key, struct price_set *prices) {
    static const char *const names[PRICE_FIELDS] = {
        [FIELD_INPUT] = "input_per_mtok",         [FIELD_OUTPUT] = "output_per_mtok",
        [FIELD_CACHED] = "cached_input_per_mtok", [FIELD_CACHE_WRITE] = "cache_write_per_mtok",
        [FIELD_REASONING] = "reasoning_per_mtok", [FIELD_REQUEST_FEE] = "request_fee",
    };
    for (u32 field = 0; field < PRICE_FIELDS; field++) {
        if (slice_is(key, names[field])) {
            u32 decimals = field == FIELD_REQUEST_FEE ? FEE_DECIMALS : PRICE_DECIMALS;
            i64 *value = &prices->value[field];
            return read_decimal(reader, decimals, value) &&
                   (field == FIELD_REQUEST_FEE || *value <= PRICE_RATE_MAX ||
                    refuse(reader, "a price is too large"));
        }
    }
    if (slice_is(key, "request_fee_by_context")) {
        return read_fees_by_context(reader);
    }
    i64 ignored;
    return is_unused_price(key) && read_decimal(reader, PRICE_DECIMALS, &ignored);
}

static void clear_prices(struct price_set *prices) {
    for (u32 field = 0; field < PRICE_FIELDS; field++) {
        prices->value[field] = -1;
    }
}

static bool read_tier(struct json_reader *reader, struct line_tier *tier) {
    struct slice key;
    tier->above_input = -1;
    clear_prices(&tier->prices);
    if (!json_read_object(reader)) {
        return false;
    }
    while (json_read_member(reader, &key)) {
        bool known = slice_is(key, "above_input_tokens") ? read_count(reader, &tier->above_input)
                                                         : read_price(reader, key, &tier->prices);
        if (!known) {
            return refuse(reader, "an unknown member of a tier");
        }
    }
    return good(reader) &&
           (tier->above_input >= 0 || refuse(reader, "a tier has no above_input_tokens"));
}

static bool read_tiers(struct json_reader *reader, struct line_period *period) {
    period->tier_count = 0;
    if (!json_read_array(reader)) {
        return false;
    }
    while (json_read_element(reader)) {
        if (period->tier_count == LINE_TIERS_MAX) {
            return refuse(reader, "too many tiers");
        }
        struct line_tier *tier = &period->tier[period->tier_count++];
        if (!read_tier(reader, tier)) {
            return false;
        }
        if (period->tier_count > 1 && tier->above_input <= tier[-1].above_input) {
            return refuse(reader, "tiers do not ascend");
        }
    }
    return good(reader);
}

static u32 two_digits(const char *at) {
    return (u32)(at[0] - '0') * 10 + (u32)(at[1] - '0');
}

static bool has_form(struct slice text, const char *form) {
    for (usize i = 0; i < text.bytes && form[i] != '\0'; i++) {
        bool digit = text.data[i] >= '0' && text.data[i] <= '9';
        if (form[i] == '0' ? !digit : text.data[i] != form[i]) {
            return false;
        }
    }
    return text.bytes == strlen(form);
}

static bool read_minute(struct json_reader *reader, u32 *minute) {
    struct slice text;
    if (!json_read_string(reader, &text)) {
        return false;
    }
    if (!has_form(text, "00:00") || two_digits(text.data + 3) > 59) {
        return refuse(reader, "a time of day is not HH:MM");
    }
    *minute = two_digits(text.data) * 60 + two_digits(text.data + 3);
    return *minute <= 24 * 60 || refuse(reader, "a time of day is not HH:MM");
}

static bool read_hours_object(struct json_reader *reader, struct line_hours *hours) {
    struct slice key;
    hours->hours = (struct price_hours){UINT32_MAX, UINT32_MAX};
    clear_prices(&hours->prices);
    if (!json_read_object(reader)) {
        return false;
    }
    while (json_read_member(reader, &key)) {
        bool known = slice_is(key, "from") ? read_minute(reader, &hours->hours.from)
                     : slice_is(key, "to") ? read_minute(reader, &hours->hours.to)
                                           : read_price(reader, key, &hours->prices);
        if (!known) {
            return refuse(reader, "an unknown member of hours");
        }
    }
    bool complete = hours->hours.from != UINT32_MAX && hours->hours.to != UINT32_MAX;
    return good(reader) && (complete || refuse(reader, "hours lack from or to"));
}

static bool read_hours(struct json_reader *reader, struct line_period *period) {
    period->hour_count = 0;
    if (!json_read_array(reader)) {
        return false;
    }
    while (json_read_element(reader)) {
        if (period->hour_count == LINE_HOURS_MAX) {
            return refuse(reader, "too many hours");
        }
        if (!read_hours_object(reader, &period->hours[period->hour_count++])) {
            return false;
        }
    }
    return good(reader);
}

static bool read_from_date(struct json_reader *reader, i64 *from_ms) {
    struct slice text;
    if (json_read_null(reader)) {
        *from_ms = INT64_MIN;
        return true;
    }
    if (!json_read_string(reader, &text)) {
        return false;
    }
    return time_parse_date(text, from_ms) || refuse(reader, "a date is not YYYY-MM-DD");
}

static void clear_period(struct line_period *period) {
    period->from_ms = INT64_MIN;
    period->tier_count = 0;
    period->hour_count = 0;
    clear_prices(&period->prices);
}

/* A member of a price set, in a model line or in one of its periods. */
static bool read_set_member(struct json_reader *reader, struct slice key,
                            struct line_period *period) {
    if (slice_is(key, "tiers")) {
        return read_tiers(reader, period);
    }
    if (slice_is(key, "hours")) {
        return read_hours(reader, period);
    }
    return read_price(reader, key, &period->prices);
}

static bool read_period(struct json_reader *reader, struct line_period *period) {
    struct slice key;
    clear_period(period);
    if (!json_read_object(reader)) {
        return false;
    }
    while (json_read_member(reader, &key)) {
        bool known = slice_is(key, "from") ? read_from_date(reader, &period->from_ms)
                                           : read_set_member(reader, key, period);
        if (!known) {
            return refuse(reader, "an unknown member of a period");
        }
    }
    return good(reader) && (period->prices.value[FIELD_INPUT] >= 0 ||
                            refuse(reader, "a period has no input_per_mtok"));
}

static bool read_periods(struct json_reader *reader, struct model_line *line) {
    line->period_count = 0;
    if (!json_read_array(reader)) {
        return false;
    }
    while (json_read_element(reader)) {
        if (line->period_count == LINE_PERIODS_MAX) {
            return refuse(reader, "too many periods");
        }
        struct line_period *period = &line->period[line->period_count++];
        if (!read_period(reader, period)) {
            return false;
        }
        if (line->period_count > 1 && period->from_ms <= period[-1].from_ms) {
            return refuse(reader, "periods do not ascend");
        }
    }
    return good(reader);
}

/* --- lines ----------------------------------------------------------------------------------- */

bool price_read_begin(struct json_reader *reader) {
    return json_read_array(reader);
}

/* Whether another object follows; it is entered. */
static bool next_line(struct json_reader *reader) {
    return json_read_element(reader) && json_read_object(reader);
}

static bool read_remark(struct json_reader *reader, struct slice key) {
    struct slice text;
    bool yes;
    if (slice_is(key, "source") || slice_is(key, "note")) {
        return json_read_string(reader, &text);
    }
    return (slice_is(key, "embedding") || slice_is(key, "deprecated")) &&
           json_read_bool(reader, &yes);
}

static bool read_model_member(struct json_reader *reader, struct slice key,
                              struct model_line *line) {
    if (slice_is(key, "provider")) {
        return json_read_string(reader, &line->provider);
    }
    if (slice_is(key, "model")) {
        return json_read_string(reader, &line->model);
    }
    if (slice_is(key, "aliases")) {
        return read_strings(reader, line->alias, LINE_ALIASES_MAX, &line->alias_count);
    }
    if (slice_is(key, "periods")) {
        return read_periods(reader, line);
    }
    return read_remark(reader, key) || (good(reader) && read_set_member(reader, key, &line->now));
}

bool price_read_model(struct json_reader *reader, struct model_line *line) {
    struct slice key;
    line->provider = line->model = (struct slice){NULL, 0};
    line->alias_count = line->period_count = 0;
    clear_period(&line->now);
    if (!next_line(reader)) {
        return false;
    }
    while (json_read_member(reader, &key)) {
        if (!read_model_member(reader, key, line)) {
            return refuse(reader, "an unknown member of a model");
        }
    }
    if (!good(reader)) {
        return false;
    }
    if (line->provider.bytes == 0 || line->model.bytes == 0) {
        return refuse(reader, "a model lacks provider or model");
    }
    return line->now.prices.value[FIELD_INPUT] >= 0 ||
           refuse(reader, "a model has no input_per_mtok");
}

static bool read_provider_member(struct json_reader *reader, struct slice key,
                                 struct provider_line *line) {
    if (slice_is(key, "provider")) {
        return json_read_string(reader, &line->provider);
    }
    if (slice_is(key, "aliases")) {
        return read_strings(reader, line->alias, LINE_ALIASES_MAX, &line->alias_count);
    }
    if (slice_is(key, "model_prefixes")) {
        return read_strings(reader, line->model_prefix, LINE_ALIASES_MAX,
                            &line->model_prefix_count);
    }
    if (slice_is(key, "fallback")) {
        return read_strings(reader, line->fallback, PRICE_FALLBACKS_MAX, &line->fallback_count);
    }
    return false;
}

bool price_read_provider(struct json_reader *reader, struct provider_line *line) {
    struct slice key;
    line->provider = (struct slice){NULL, 0};
    line->alias_count = line->model_prefix_count = line->fallback_count = 0;
    if (!next_line(reader)) {
        return false;
    }
    while (json_read_member(reader, &key)) {
        if (!read_provider_member(reader, key, line)) {
            return refuse(reader, "an unknown member of a provider");
        }
    }
    return good(reader) &&
           (line->provider.bytes > 0 || refuse(reader, "a provider lacks its name"));
}
