#include "price/read.h"

#include <string.h>

#define PRICE_DECIMALS 6 /* USD per million tokens to picodollars per token */
#define FEE_DECIMALS 12  /* USD to picodollars */
#define DECIMAL_MAX ((i64)1000000000000000)
#define DAY_MS ((i64)86400000)

/* --- JSON ------------------------------------------------------------------------------------ */

static bool fail(struct price_reader *reader, const char *error) {
    if (reader->error == NULL) {
        reader->error = error;
    }
    return false;
}

static void skip_blanks(struct price_reader *reader) {
    while (reader->at < reader->end && (*reader->at == ' ' || *reader->at == '\n' ||
                                        *reader->at == '\r' || *reader->at == '\t')) {
        reader->at++;
    }
}

/* Takes the character if it comes next. */
static bool take(struct price_reader *reader, char c) {
    skip_blanks(reader);
    if (reader->error == NULL && reader->at < reader->end && *reader->at == c) {
        reader->at++;
        return true;
    }
    return false;
}

static bool expect(struct price_reader *reader, char c, const char *error) {
    return take(reader, c) || fail(reader, error);
}

static bool take_word(struct price_reader *reader, struct slice word) {
    skip_blanks(reader);
    if ((usize)(reader->end - reader->at) < word.bytes ||
        memcmp(reader->at, word.data, word.bytes) != 0) {
        return false;
    }
    reader->at += word.bytes;
    return true;
}

/* A string as it stands between the quotes. */
static bool read_raw_string(struct price_reader *reader, struct slice *out) {
    if (!expect(reader, '"', "a string is expected")) {
        return false;
    }
    const char *from = reader->at;
    while (reader->at < reader->end && *reader->at != '"') {
        if ((unsigned char)*reader->at < ' ') {
            return fail(reader, "a control character in a string");
        }
        reader->at += *reader->at == '\\' ? 2 : 1;
    }
    if (reader->at >= reader->end) {
        reader->at = reader->end;
        return fail(reader, "a string has no end");
    }
    *out = (struct slice){from, (usize)(reader->at - from)};
    reader->at++;
    return true;
}

/* A name or price. Those need no escapes. */
static bool read_string(struct price_reader *reader, struct slice *out) {
    if (!read_raw_string(reader, out)) {
        return false;
    }
    return memchr(out->data, '\\', out->bytes) == NULL || fail(reader, "an escape in a name");
}

/* The next member's key of an object whose brace has been taken; false at its end. */
static bool read_key(struct price_reader *reader, bool *first, struct slice *key) {
    if (take(reader, '}')) {
        return false;
    }
    if (!*first && !expect(reader, ',', "a comma or a closing brace is expected")) {
        return false;
    }
    *first = false;
    return read_string(reader, key) && expect(reader, ':', "a colon is expected");
}

/* Whether another element follows in a list whose bracket has been taken. */
static bool read_element(struct price_reader *reader, bool *first) {
    if (take(reader, ']')) {
        return false;
    }
    if (!*first && !expect(reader, ',', "a comma or a closing bracket is expected")) {
        return false;
    }
    *first = false;
    return reader->error == NULL;
}

static bool key_is(struct slice key, const char *name) {
    return key.bytes == strlen(name) && memcmp(key.data, name, key.bytes) == 0;
}

static bool read_count(struct price_reader *reader, i64 *out) {
    skip_blanks(reader);
    const char *from = reader->at;
    while (reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9') {
        reader->at++;
    }
    struct slice digits = {from, (usize)(reader->at - from)};
    return price_read_decimal(digits, 0, out) || fail(reader, "a count is expected");
}

static bool read_strings(struct price_reader *reader, struct slice *out, u32 max, u32 *count) {
    bool first = true;
    *count = 0;
    if (!expect(reader, '[', "a list is expected")) {
        return false;
    }
    while (read_element(reader, &first)) {
        if (*count == max) {
            return fail(reader, "a list is too long");
        }
        if (!read_string(reader, &out[(*count)++])) {
            return false;
        }
    }
    return reader->error == NULL;
}

/* --- prices ---------------------------------------------------------------------------------- */

bool price_read_decimal(struct slice text, u32 decimals, i64 *out) {
    i64 value = 0;
    u32 behind_point = 0;
    usize digits = 0;
    bool point = false;
    for (usize i = 0; i < text.bytes; i++) {
        char c = text.data[i];
        if (c == '.' && !point && digits > 0) {
            point = true;
            continue;
        }
        if (c < '0' || c > '9' || behind_point == decimals + !point || value >= DECIMAL_MAX) {
            return false;
        }
        value = value * 10 + (c - '0');
        digits++;
        behind_point += point;
    }
    if (digits == 0 || (point && behind_point == 0)) {
        return false;
    }
    for (; behind_point < decimals; behind_point++) {
        if (value >= DECIMAL_MAX) {
            return false;
        }
        value *= 10;
    }
    *out = value;
    return true;
}

static bool read_decimal(struct price_reader *reader, u32 decimals, i64 *out) {
    struct slice text;
    return read_string(reader, &text) &&
           (price_read_decimal(text, decimals, out) || fail(reader, "a price is not a decimal"));
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
        if (key_is(key, names[i])) {
            return true;
        }
    }
    return false;
}

static bool read_fees_by_context(struct price_reader *reader) {
    bool first = true;
    struct slice size;
    i64 fee;
    if (!expect(reader, '{', "an object is expected")) {
        return false;
    }
    while (read_key(reader, &first, &size)) {
        if (!read_decimal(reader, FEE_DECIMALS, &fee)) {
            return false;
        }
    }
    return reader->error == NULL;
}

/* Reads the value of a price member. False with reader->error NULL: the key is no price. */
static bool read_price(struct price_reader *reader, struct slice key, struct price_set *prices) {
    static const char *const names[PRICE_FIELDS] = {
        [FIELD_INPUT] = "input_per_mtok",         [FIELD_OUTPUT] = "output_per_mtok",
        [FIELD_CACHED] = "cached_input_per_mtok", [FIELD_CACHE_WRITE] = "cache_write_per_mtok",
        [FIELD_REASONING] = "reasoning_per_mtok", [FIELD_REQUEST_FEE] = "request_fee",
    };
    for (u32 field = 0; field < PRICE_FIELDS; field++) {
        if (key_is(key, names[field])) {
            u32 decimals = field == FIELD_REQUEST_FEE ? FEE_DECIMALS : PRICE_DECIMALS;
            return read_decimal(reader, decimals, &prices->value[field]);
        }
    }
    if (key_is(key, "request_fee_by_context")) {
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

static bool read_tier(struct price_reader *reader, struct line_tier *tier) {
    bool first = true;
    struct slice key;
    tier->above_input = -1;
    clear_prices(&tier->prices);
    if (!expect(reader, '{', "a tier is expected")) {
        return false;
    }
    while (read_key(reader, &first, &key)) {
        bool known = key_is(key, "above_input_tokens") ? read_count(reader, &tier->above_input)
                                                       : read_price(reader, key, &tier->prices);
        if (!known) {
            return fail(reader, "an unknown member of a tier");
        }
    }
    return reader->error == NULL &&
           (tier->above_input >= 0 || fail(reader, "a tier has no above_input_tokens"));
}

static bool read_tiers(struct price_reader *reader, struct line_period *period) {
    bool first = true;
    if (!expect(reader, '[', "a list is expected")) {
        return false;
    }
    while (read_element(reader, &first)) {
        if (period->tier_count == LINE_TIERS_MAX) {
            return fail(reader, "too many tiers");
        }
        struct line_tier *tier = &period->tier[period->tier_count++];
        if (!read_tier(reader, tier)) {
            return false;
        }
        if (period->tier_count > 1 && tier->above_input <= tier[-1].above_input) {
            return fail(reader, "tiers do not ascend");
        }
    }
    return reader->error == NULL;
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

static bool read_minute(struct price_reader *reader, u32 *minute) {
    struct slice text;
    if (!read_string(reader, &text)) {
        return false;
    }
    if (!has_form(text, "00:00") || two_digits(text.data + 3) > 59) {
        return fail(reader, "a time of day is not HH:MM");
    }
    *minute = two_digits(text.data) * 60 + two_digits(text.data + 3);
    return *minute <= 24 * 60 || fail(reader, "a time of day is not HH:MM");
}

static bool read_hours_object(struct price_reader *reader, struct line_hours *hours) {
    bool first = true;
    struct slice key;
    hours->hours = (struct price_hours){UINT32_MAX, UINT32_MAX};
    clear_prices(&hours->prices);
    if (!expect(reader, '{', "an object with hours is expected")) {
        return false;
    }
    while (read_key(reader, &first, &key)) {
        bool known = key_is(key, "from") ? read_minute(reader, &hours->hours.from)
                     : key_is(key, "to") ? read_minute(reader, &hours->hours.to)
                                         : read_price(reader, key, &hours->prices);
        if (!known) {
            return fail(reader, "an unknown member of hours");
        }
    }
    bool complete = hours->hours.from != UINT32_MAX && hours->hours.to != UINT32_MAX;
    return reader->error == NULL && (complete || fail(reader, "hours lack from or to"));
}

static bool read_hours(struct price_reader *reader, struct line_period *period) {
    bool first = true;
    if (!expect(reader, '[', "a list is expected")) {
        return false;
    }
    while (read_element(reader, &first)) {
        if (period->hour_count == LINE_HOURS_MAX) {
            return fail(reader, "too many hours");
        }
        if (!read_hours_object(reader, &period->hours[period->hour_count++])) {
            return false;
        }
    }
    return reader->error == NULL;
}

/* Days since 1970-01-01 of a Gregorian date: years are counted from March, so that the leap day is
 * the last day of a year. */
static i64 days_of(u32 year, u32 month, u32 day) {
    i64 y = (i64)year - (month <= 2);
    i64 month_from_march = (month + 9) % 12;
    return y * 365 + y / 4 - y / 100 + y / 400 + (month_from_march * 153 + 2) / 5 + day - 1 -
           719468;
}

static bool read_from_date(struct price_reader *reader, i64 *from_ms) {
    struct slice text;
    if (take_word(reader, SLICE("null"))) {
        *from_ms = INT64_MIN;
        return true;
    }
    if (!read_string(reader, &text)) {
        return false;
    }
    if (!has_form(text, "0000-00-00")) {
        return fail(reader, "a date is not YYYY-MM-DD");
    }
    u32 year = two_digits(text.data) * 100 + two_digits(text.data + 2);
    u32 month = two_digits(text.data + 5);
    u32 day = two_digits(text.data + 8);
    if (month < 1 || month > 12 || day < 1 || day > 31) {
        return fail(reader, "a date is not YYYY-MM-DD");
    }
    *from_ms = days_of(year, month, day) * DAY_MS;
    return true;
}

static void clear_period(struct line_period *period) {
    period->from_ms = INT64_MIN;
    period->tier_count = 0;
    period->hour_count = 0;
    clear_prices(&period->prices);
}

/* A member of a price set, in a model line or in one of its periods. */
static bool read_set_member(struct price_reader *reader, struct slice key,
                            struct line_period *period) {
    if (key_is(key, "tiers")) {
        return read_tiers(reader, period);
    }
    if (key_is(key, "hours")) {
        return read_hours(reader, period);
    }
    return read_price(reader, key, &period->prices);
}

static bool read_period(struct price_reader *reader, struct line_period *period) {
    bool first = true;
    struct slice key;
    clear_period(period);
    if (!expect(reader, '{', "a period is expected")) {
        return false;
    }
    while (read_key(reader, &first, &key)) {
        bool known = key_is(key, "from") ? read_from_date(reader, &period->from_ms)
                                         : read_set_member(reader, key, period);
        if (!known) {
            return fail(reader, "an unknown member of a period");
        }
    }
    return reader->error == NULL && (period->prices.value[FIELD_INPUT] >= 0 ||
                                     fail(reader, "a period has no input_per_mtok"));
}

static bool read_periods(struct price_reader *reader, struct model_line *line) {
    bool first = true;
    if (!expect(reader, '[', "a list is expected")) {
        return false;
    }
    while (read_element(reader, &first)) {
        if (line->period_count == LINE_PERIODS_MAX) {
            return fail(reader, "too many periods");
        }
        struct line_period *period = &line->period[line->period_count++];
        if (!read_period(reader, period)) {
            return false;
        }
        if (line->period_count > 1 && period->from_ms <= period[-1].from_ms) {
            return fail(reader, "periods do not ascend");
        }
    }
    return reader->error == NULL;
}

/* --- lines ----------------------------------------------------------------------------------- */

void price_read_begin(struct price_reader *reader, struct slice json) {
    *reader = (struct price_reader){json.data, json.data, json.data + json.bytes, NULL, true};
    expect(reader, '[', "a list is expected");
}

/* Whether another object follows; its brace is taken. */
static bool next_line(struct price_reader *reader) {
    if (reader->error != NULL) {
        return false;
    }
    if (!read_element(reader, &reader->first)) {
        skip_blanks(reader);
        if (reader->error == NULL && reader->at < reader->end) {
            fail(reader, "bytes behind the end of the list");
        }
        return false;
    }
    return expect(reader, '{', "an object is expected");
}

static bool read_remark(struct price_reader *reader, struct slice key) {
    struct slice ignored;
    if (key_is(key, "source") || key_is(key, "note")) {
        return read_raw_string(reader, &ignored);
    }
    if (key_is(key, "embedding") || key_is(key, "deprecated")) {
        return take_word(reader, SLICE("true")) || take_word(reader, SLICE("false")) ||
               fail(reader, "true or false is expected");
    }
    return false;
}

static bool read_model_member(struct price_reader *reader, struct slice key,
                              struct model_line *line) {
    if (key_is(key, "provider")) {
        return read_string(reader, &line->provider);
    }
    if (key_is(key, "model")) {
        return read_string(reader, &line->model);
    }
    if (key_is(key, "aliases")) {
        return read_strings(reader, line->alias, LINE_ALIASES_MAX, &line->alias_count);
    }
    if (key_is(key, "periods")) {
        return read_periods(reader, line);
    }
    return read_remark(reader, key) ||
           (reader->error == NULL && read_set_member(reader, key, &line->now));
}

bool price_read_model(struct price_reader *reader, struct model_line *line) {
    bool first = true;
    struct slice key;
    line->provider = line->model = (struct slice){NULL, 0};
    line->alias_count = line->period_count = 0;
    clear_period(&line->now);
    if (!next_line(reader)) {
        return false;
    }
    while (read_key(reader, &first, &key)) {
        if (!read_model_member(reader, key, line)) {
            return fail(reader, "an unknown member of a model");
        }
    }
    if (reader->error != NULL) {
        return false;
    }
    if (line->provider.bytes == 0 || line->model.bytes == 0) {
        return fail(reader, "a model lacks provider or model");
    }
    return line->now.prices.value[FIELD_INPUT] >= 0 ||
           fail(reader, "a model has no input_per_mtok");
}

static bool read_provider_member(struct price_reader *reader, struct slice key,
                                 struct provider_line *line) {
    if (key_is(key, "provider")) {
        return read_string(reader, &line->provider);
    }
    if (key_is(key, "aliases")) {
        return read_strings(reader, line->alias, LINE_ALIASES_MAX, &line->alias_count);
    }
    if (key_is(key, "model_prefixes")) {
        return read_strings(reader, line->model_prefix, LINE_ALIASES_MAX,
                            &line->model_prefix_count);
    }
    if (key_is(key, "fallback")) {
        return read_strings(reader, line->fallback, PRICE_FALLBACKS_MAX, &line->fallback_count);
    }
    return false;
}

bool price_read_provider(struct price_reader *reader, struct provider_line *line) {
    bool first = true;
    struct slice key;
    line->provider = (struct slice){NULL, 0};
    line->alias_count = line->model_prefix_count = line->fallback_count = 0;
    if (!next_line(reader)) {
        return false;
    }
    while (read_key(reader, &first, &key)) {
        if (!read_provider_member(reader, key, line)) {
            return fail(reader, "an unknown member of a provider");
        }
    }
    return reader->error == NULL &&
           (line->provider.bytes > 0 || fail(reader, "a provider lacks its name"));
}
