/*
 * price_test.c: the price table against an oracle that follows the published rules literally: it
 * walks the raw JSON line by line, with no table, no index and no precomputed rates.
 */
#include "price/price.h"

#include "base/embedded.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY_MS ((i64)86400000)

/* --- oracle: text -------------------------------------------------------------------------- */

static struct slice file_of(const char *name) {
    for (u32 i = 0; i < embedded_file_count; i++) {
        if (strcmp(embedded_files[i].name, name) == 0) {
            return (struct slice){(const char *)embedded_files[i].data, embedded_files[i].bytes};
        }
    }
    cr_assert_fail("%s is not embedded", name);
    return (struct slice){NULL, 0};
}

/* The lines of a file that hold an object, as strings. */
struct lines {
    char **line;
    u32 count;
};

static struct lines lines_of(const char *name) {
    struct slice file = file_of(name);
    char *text = malloc(file.bytes + 1);
    memcpy(text, file.data, file.bytes);
    text[file.bytes] = '\0';
    struct lines lines = {calloc(4096, sizeof(char *)), 0};
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        if (line[0] == '{') {
            lines.line[lines.count++] = strdup(line);
        }
    }
    free(text);
    return lines;
}

static void free_lines(struct lines lines) {
    for (u32 i = 0; i < lines.count; i++) {
        free(lines.line[i]);
    }
    free(lines.line);
}

/* Behind a JSON value. */
static const char *value_end(const char *at) {
    int depth = 0;
    do {
        if (*at == '"') {
            for (at++; *at != '"'; at++) {
                at += *at == '\\';
            }
        }
        depth += *at == '{' || *at == '[';
        depth -= *at == '}' || *at == ']';
        at++;
    } while (depth > 0 || (*at != ',' && *at != '}' && *at != ']'));
    return at;
}

/* The value of an object's own member, or NULL. */
static const char *member(const char *object, const char *key) {
    const char *at = object + 1;
    while (*at == '"') {
        const char *value = value_end(at);
        value = strchr(at, ':');
        while (value[-1] != '"') {
            value = strchr(value + 1, ':');
        }
        if (strncmp(at + 1, key, strlen(key)) == 0 && at[1 + strlen(key)] == '"') {
            return value + 1;
        }
        at = value_end(value + 1);
        at += *at == ',';
    }
    return NULL;
}

static bool string_member(const char *object, const char *key, char *out) {
    const char *value = member(object, key);
    if (value == NULL || *value != '"') {
        return false;
    }
    usize bytes = (usize)(value_end(value) - value) - 2;
    memcpy(out, value + 1, bytes);
    out[bytes] = '\0';
    return true;
}

/* Element `index` of a list member that holds strings. */
static bool list_member(const char *object, const char *key, u32 index, char *out) {
    const char *at = member(object, key);
    for (; at != NULL; index--) {
        at = strchr(at, '"') != NULL && *at != ']' ? at + 1 : NULL;
        if (at == NULL || *at == ']') {
            return false;
        }
        const char *end = value_end(at);
        if (index == 0) {
            memcpy(out, at + 1, (usize)(end - at) - 2);
            out[end - at - 2] = '\0';
            return true;
        }
        at = end;
        if (*at == ']') {
            return false;
        }
    }
    return false;
}

static void lower_trim(char *text) {
    char *from = text;
    while (isspace((unsigned char)*from)) {
        from++;
    }
    memmove(text, from, strlen(from) + 1);
    for (usize n = strlen(text); n > 0 && isspace((unsigned char)text[n - 1]); n--) {
        text[n - 1] = '\0';
    }
    for (char *at = text; *at != '\0'; at++) {
        *at = *at >= 'A' && *at <= 'Z' ? (char)(*at + 32) : *at;
    }
}

/* --- oracle: names -------------------------------------------------------------------------- */

static struct lines models;
static struct lines providers;

static const char *provider_line(const char *name) {
    char text[300];
    for (u32 i = 0; i < providers.count; i++) {
        string_member(providers.line[i], "provider", text);
        if (strcmp(text, name) == 0) {
            return providers.line[i];
        }
        for (u32 k = 0; list_member(providers.line[i], "aliases", k, text); k++) {
            if (strcmp(text, name) == 0) {
                return providers.line[i];
            }
        }
    }
    return NULL;
}

static const char *oracle_provider(const char *given) {
    char name[300];
    snprintf(name, sizeof name, "%s", given);
    lower_trim(name);
    for (char *at = name; *at != '\0'; at++) {
        *at = *at == '_' || *at == ' ' ? '-' : *at;
    }
    for (;;) {
        const char *line = provider_line(name);
        char *dot = strrchr(name, '.');
        if (line != NULL || dot == NULL) {
            return line;
        }
        *dot = '\0';
    }
}

static const char *oracle_infer(const char *model) {
    char name[300];
    snprintf(name, sizeof name, "%s", model);
    lower_trim(name);
    if (strchr(name, '/') != NULL) {
        char part[300];
        snprintf(part, sizeof part, "%.*s", (int)(strchr(name, '/') - name), name);
        const char *line = oracle_provider(part);
        if (line != NULL) {
            return line;
        }
    }
    const char *best = NULL;
    usize longest = 0;
    char prefix[300];
    for (u32 i = 0; i < providers.count; i++) {
        for (u32 k = 0; list_member(providers.line[i], "model_prefixes", k, prefix); k++) {
            if (strncmp(name, prefix, strlen(prefix)) == 0 && strlen(prefix) > longest) {
                longest = strlen(prefix);
                best = providers.line[i];
            }
        }
    }
    return best;
}

#define KNOWN_NAMES_MAX 16

/* The names in a model line, lower case, as the file gives them. */
struct known {
    char provider[64];
    char name[KNOWN_NAMES_MAX][128];
    u32 count;
};
static struct known *known;

static void read_known(void) {
    known = calloc(models.count, sizeof *known);
    for (u32 i = 0; i < models.count; i++) {
        struct known *line = &known[i];
        string_member(models.line[i], "provider", line->provider);
        string_member(models.line[i], "model", line->name[0]);
        bool more = true;
        while (more) {
            lower_trim(line->name[line->count++]);
            cr_assert_lt(line->count, KNOWN_NAMES_MAX);
            more = list_member(models.line[i], "aliases", line->count - 1, line->name[line->count]);
        }
    }
}

/* The line that has the name, or the longest prefix of it; UINT32_MAX if there is none. */
static u32 oracle_scan(const char *provider, const char *name, bool prefixes) {
    u32 best = UINT32_MAX;
    usize longest = 0;
    for (u32 i = 0; i < models.count; i++) {
        for (u32 k = 0; k < known[i].count && strcmp(known[i].provider, provider) == 0; k++) {
            const char *text = known[i].name[k];
            usize bytes = strlen(text);
            bool star = bytes > 0 && text[bytes - 1] == '*';
            if (!prefixes && !star && strcmp(text, name) == 0) {
                return i;
            }
            if (prefixes && star && bytes > longest && strncmp(text, name, bytes - 1) == 0) {
                best = i;
                longest = bytes;
            }
        }
    }
    return best;
}

static bool digits(const char *at, const char *form) {
    for (; *form != '\0'; at++, form++) {
        if (*form == 'd' ? !isdigit((unsigned char)*at) : *at != *form) {
            return false;
        }
    }
    return *at == '\0';
}

static u32 oracle_123(const char *provider, const char *name) {
    u32 found = oracle_scan(provider, name, false);
    usize bytes = strlen(name);
    char cut[300];
    snprintf(cut, sizeof cut, "%s", name);
    if (bytes >= 11 && digits(name + bytes - 11, "-20dd-dd-dd")) {
        cut[bytes - 11] = '\0';
    } else if (bytes >= 9 &&
               (digits(name + bytes - 9, "-20dddddd") || digits(name + bytes - 9, "@20dddddd"))) {
        cut[bytes - 9] = '\0';
    }
    if (found == UINT32_MAX && strlen(cut) < bytes) {
        found = oracle_scan(provider, cut, false);
    }
    return found != UINT32_MAX ? found : oracle_scan(provider, name, true);
}

static u32 oracle_15(const char *provider, const char *name) {
    static const char *const regions[] = {"us.", "us-gov.", "eu.", "apac.",  "jp.",
                                          "au.", "ca.",     "in.", "global."};
    u32 found = oracle_123(provider, name);
    if (found == UINT32_MAX && strcmp(provider, "bedrock") == 0) {
        for (u32 i = 0; i < 9; i++) {
            if (strncmp(name, regions[i], strlen(regions[i])) == 0) {
                found = oracle_123(provider, name + strlen(regions[i]));
                break;
            }
        }
    }
    const char *colon = strrchr(name, ':');
    if (found == UINT32_MAX && strcmp(provider, "openrouter") == 0 && colon != NULL &&
        strcmp(colon, ":free") != 0 && strcmp(colon, ":batch") != 0) {
        char cut[300];
        snprintf(cut, sizeof cut, "%.*s", (int)(colon - name), name);
        found = oracle_123(provider, cut);
    }
    const char *slash = strchr(name, '/');
    return found == UINT32_MAX && slash != NULL ? oracle_15(provider, slash + 1) : found;
}

static u32 oracle_find(const char *provider, const char *model) {
    char name[300], owner[300], fallback[300];
    const char *line = provider[0] != '\0' ? oracle_provider(provider) : oracle_infer(model);
    if (line == NULL) {
        return UINT32_MAX;
    }
    snprintf(name, sizeof name, "%s", model);
    lower_trim(name);
    string_member(line, "provider", owner);
    u32 found = oracle_15(owner, name);
    for (u32 k = 0; found == UINT32_MAX && list_member(line, "fallback", k, fallback); k++) {
        found = oracle_15(fallback, name);
    }
    return found;
}

/* --- oracle: prices ------------------------------------------------------------------------- */

/* A decimal in USD, times 10^places. */
static i64 scaled(const char *text, int places) {
    i64 value = 0;
    const char *point = strchr(text, '.');
    for (const char *at = text; *at != '\0'; at++) {
        value = *at == '.' ? value : value * 10 + (*at - '0');
    }
    int given = point == NULL ? 0 : (int)strlen(point + 1);
    for (; given < places; given++) {
        value *= 10;
    }
    return value;
}

/* A price from the last of the three objects that lists it. */
static i64 listed(const char *const object[3], const char *key, i64 otherwise) {
    char text[64];
    for (int i = 2; i >= 0; i--) {
        if (object[i] != NULL && string_member(object[i], key, text)) {
            return scaled(text, strcmp(key, "request_fee") == 0 ? 12 : 6);
        }
    }
    return otherwise;
}

static i64 date_ms(const char *date) {
    static const int month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year = atoi(date), month = atoi(date + 5), day = atoi(date + 8);
    i64 days = 0;
    for (int y = 1970; y < year; y++) {
        days += y % 4 == 0 && (y % 100 != 0 || y % 400 == 0) ? 366 : 365;
    }
    for (int m = 1; m < month; m++) {
        days += month_days[m - 1];
        days += m == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    }
    return (days + day - 1) * DAY_MS;
}

static const char *first_of(const char *list) {
    return list != NULL && list[1] == '{' ? list + 1 : NULL;
}

static const char *next_of(const char *object) {
    const char *end = value_end(object);
    return *end == ',' ? end + 1 : NULL;
}

static i128 oracle_cost(u32 index, i64 time_ms, const struct price_tokens *tokens) {
    const char *set = models.line[index];
    char text[64];
    for (const char *p = first_of(member(set, "periods")); p != NULL; p = next_of(p)) {
        if (!string_member(p, "from", text) || date_ms(text) <= time_ms) {
            set = p;
        }
    }
    const char *object[3] = {set, NULL, NULL};
    i64 minute = time_ms % DAY_MS / 60000;
    for (const char *h = first_of(member(set, "hours")); h != NULL; h = next_of(h)) {
        string_member(h, "from", text);
        i64 from = atoi(text) * 60 + atoi(text + 3);
        string_member(h, "to", text);
        i64 to = atoi(text) * 60 + atoi(text + 3);
        object[1] = minute >= from && minute < to ? h : object[1];
    }
    for (const char *t = first_of(member(set, "tiers")); t != NULL; t = next_of(t)) {
        object[2] = tokens->input > atoll(member(t, "above_input_tokens")) ? t : object[2];
    }
    i64 in = listed(object, "input_per_mtok", -1);
    i64 out = listed(object, "output_per_mtok", 0);
    i64 reasoning = MIN(tokens->reasoning, tokens->output);
    i128 cost = (i128)(tokens->input - tokens->cached - tokens->cache_write) * in;
    cost += (i128)tokens->cached * listed(object, "cached_input_per_mtok", in);
    cost += (i128)tokens->cache_write * listed(object, "cache_write_per_mtok", in);
    cost += (i128)(tokens->output - reasoning) * out;
    cost += (i128)reasoning * listed(object, "reasoning_per_mtok", out);
    return cost + listed(object, "request_fee", 0);
}

/* --- tests ---------------------------------------------------------------------------------- */

static struct price_table *table;
static u64 random_state = 88172645463325252u;

static u64 random_below(u64 bound) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % bound;
}

static struct slice text_slice(const char *text) {
    return (struct slice){text, strlen(text)};
}

static void open_table(void) {
    char why[200] = "";
    models = lines_of("data/models.json");
    providers = lines_of("data/providers.json");
    enum err err = price_table_load_embedded(&table, why, sizeof why);
    cr_assert_eq(err, ERR_OK, "%s", why);
    read_known();
}

static void close_table(void) {
    price_table_free(table);
    free(known);
    free_lines(models);
    free_lines(providers);
}

static void compare_find(const char *provider, const char *model) {
    u32 expected = oracle_find(provider, model);
    u32 found = price_find(table, text_slice(provider), text_slice(model));
    cr_assert_eq(found, expected, "provider '%s' model '%s': found %d, expected %d", provider,
                 model, (int)found, (int)expected);
}

TestSuite(price, .init = open_table, .fini = close_table);

Test(price, finds_every_name_of_the_table) {
    char provider[300], name[300], spelled[400];
    cr_assert_eq(price_count(table), 1618);
    cr_assert_eq(models.count, 1618);
    for (u32 i = 0; i < models.count; i++) {
        string_member(models.line[i], "provider", provider);
        string_member(models.line[i], "model", name);
        bool more = true;
        for (u32 k = 0; more; k++) {
            usize bytes = strlen(name);
            bool star = name[bytes - 1] == '*';
            name[bytes - star] = '\0';
            cr_assert_neq(price_find(table, text_slice(provider), text_slice(name)), PRICE_NONE);
            compare_find(provider, name);
            if (k == 0) {
                cr_assert_eq(price_find(table, text_slice(provider), text_slice(name)), i);
                snprintf(spelled, sizeof spelled, " %s\t", name);
                spelled[1 + i % bytes] = (char)toupper((unsigned char)spelled[1 + i % bytes]);
                cr_assert_eq(price_find(table, text_slice(provider), text_slice(spelled)), i);
            }
            more = list_member(models.line[i], "aliases", k, name);
        }
    }
}

/* A spelling of some model name that may or may not be found. Returns the model's line. */
static u32 random_model(char out[400]) {
    static const char *const ahead[] = {
        "",        "",        "",        "us.",           "global.", "us-gov.",
        "models/", "openai/", "google/", "eu.anthropic.", "x/y/",    "publishers/anthropic/models/",
        "ft:"};
    static const char *const behind[] = {
        "",       "",      "-2025-01-31", "-20250131",   "@20250131", ":free", ":batch",
        ":nitro", "-v1:0", "-something",  "-2125-01-31", "/x",        " "};
    char name[300];
    u32 index = (u32)random_below(models.count);
    const char *line = models.line[index];
    if (!list_member(line, "aliases", (u32)random_below(4), name)) {
        string_member(line, "model", name);
    }
    usize bytes = strlen(name);
    name[bytes - (name[bytes - 1] == '*')] = '\0';
    bytes = strlen(name);
    if (random_below(8) == 0 && bytes > 1) {
        name[random_below(bytes)] = "abc-./:@"[random_below(8)];
    }
    if (random_below(8) == 0) {
        name[random_below(bytes)] = '\0';
    }
    for (char *at = name; *at != '\0'; at++) {
        *at = random_below(20) == 0 ? (char)toupper((unsigned char)*at) : *at;
    }
    snprintf(out, 400, "%s%s%s", ahead[random_below(ARRAY_COUNT(ahead))], name,
             behind[random_below(ARRAY_COUNT(behind))]);
    return index;
}

static void random_provider(char out[400]) {
    static const char *const behind[] = {"", "", "", ".chat", ".responses.x", "x", " ", "."};
    char name[300];
    const char *line = providers.line[random_below(providers.count)];
    if (!list_member(line, "aliases", (u32)random_below(8), name)) {
        string_member(line, "provider", name);
    }
    for (char *at = name; *at != '\0'; at++) {
        *at = *at == '-' && random_below(2) == 0 ? "_ "[random_below(2)] : *at;
        *at = random_below(10) == 0 ? (char)toupper((unsigned char)*at) : *at;
    }
    snprintf(out, 400, "%s%s", name, behind[random_below(ARRAY_COUNT(behind))]);
}

Test(price, agrees_with_the_rules_on_random_names, .timeout = 120) {
    char provider[400], model[400];
    u32 found = 0;
    for (u32 i = 0; i < 4000; i++) {
        u32 index = random_model(model);
        random_provider(provider);
        if (i % 4 != 0) {
            string_member(models.line[index], "provider", provider);
        }
        if (i % 3 == 0) {
            provider[0] = '\0';
            const char *line = oracle_infer(model);
            struct slice inferred = price_infer_provider(table, text_slice(model));
            char name[300] = "";
            cr_assert(line == NULL || string_member(line, "provider", name));
            cr_assert(inferred.bytes == strlen(name) &&
                          (inferred.bytes == 0 || memcmp(inferred.data, name, inferred.bytes) == 0),
                      "'%s' implies %s", model, name);
        }
        compare_find(provider, model);
        found += price_find(table, text_slice(provider), text_slice(model)) != PRICE_NONE;
    }
    cr_assert(found > 600, "only %u random names were found: the test says little", found);
}

Test(price, costs_follow_periods_hours_and_tiers, .timeout = 120) {
    static const i64 sizes[] = {0, 1, 1000, 127999, 200000, 200001, 271999, 272000, 1 << 30};
    for (u32 i = 0; i < models.count * 12; i++) {
        u32 index = i % models.count;
        i64 time_ms = date_ms("2024-01-01") + (i64)random_below(1200) * DAY_MS;
        time_ms += (i64)(random_below(2) ? random_below(24 * 60) * 60000 : random_below(86400000));
        if (i % 5 == 0) {
            time_ms = date_ms("2025-06-10") - (i64)random_below(2);
        }
        struct price_tokens tokens = {.input = sizes[random_below(ARRAY_COUNT(sizes))],
                                      .output = (i64)random_below(100000)};
        tokens.cached = (i64)random_below((u64)tokens.input + 1);
        tokens.cache_write = (i64)random_below((u64)(tokens.input - tokens.cached) + 1);
        tokens.reasoning = (i64)random_below((u64)tokens.output * 2 + 1);
        i64 cost = -1;
        cr_assert(price_cost(table, index, time_ms, &tokens, &cost));
        cr_assert((i128)cost == oracle_cost(index, time_ms, &tokens),
                  "%s at %lld: %lld, expected %lld", models.line[index], (long long)time_ms,
                  (long long)cost, (long long)oracle_cost(index, time_ms, &tokens));
    }
}

static i64 cost_of(const char *provider, const char *model, const char *date, i64 minute,
                   struct price_tokens tokens) {
    u32 price = price_find(table, text_slice(provider), text_slice(model));
    cr_assert_neq(price, PRICE_NONE, "%s %s", provider, model);
    i64 cost = -1;
    cr_assert(price_cost(table, price, date_ms(date) + minute * 60000, &tokens, &cost));
    return cost;
}

Test(price, known_costs) {
    struct price_tokens small = {.input = 150, .output = 80};
    cr_assert_eq(cost_of("openai", "gpt-4o-mini", "2026-05-01", 0, small), 70500000);
    cr_assert_eq(cost_of("", "gpt-4o-mini", "2026-05-01", 0, small), 70500000);
    cr_assert_eq(cost_of("azure_openai", "GPT-4o-mini-2024-07-18", "2026-05-01", 0, small),
                 cost_of("azure", "gpt-4o-mini", "2026-05-01", 0, small));
    struct price_tokens mtok = {.input = 1000000};
    i64 usd = PICO_PER_USD;
    cr_assert_eq(cost_of("deepseek", "deepseek-v4-pro", "2026-09-01", 59, mtok), usd * 66 / 100);
    cr_assert_eq(cost_of("deepseek", "deepseek-v4-pro", "2026-09-01", 60, mtok), usd * 132 / 100);
    cr_assert_eq(cost_of("deepseek", "deepseek-v4-pro", "2026-09-01", 239, mtok), usd * 132 / 100);
    cr_assert_eq(cost_of("deepseek", "deepseek-v4-pro", "2026-09-01", 240, mtok), usd * 66 / 100);
    cr_assert_eq(cost_of("deepseek", "deepseek-v4-pro", "2026-08-16", 60, mtok), usd * 435 / 1000);
    cr_assert_eq(cost_of("perplexity", "sonar", "2026-09-01", 0, (struct price_tokens){0}),
                 usd * 5 / 1000);
    struct price_tokens thought = {.output = 3000000, .reasoning = 1000000};
    cr_assert_eq(cost_of("perplexity", "sonar-deep-research", "2026-09-01", 0, thought),
                 usd * (2 * 8 + 3));
    cr_assert_eq(price_find(table, text_slice("openai"), text_slice("gpt-4o-something")),
                 PRICE_NONE);
    cr_assert_eq(price_find(table, text_slice("nobody"), text_slice("gpt-4o")), PRICE_NONE);
    cr_assert_eq(price_find(table, text_slice("openai"), text_slice("  ")), PRICE_NONE);
    cr_assert_eq(price_updated_ms(table), date_ms("2026-09-23"));
}

Test(price, costs_that_do_not_fit_are_told) {
    u32 price = price_find(table, SLICE("openai"), SLICE("gpt-4o"));
    i64 cost = 7;
    struct price_tokens huge = {.input = EVENT_TOKENS_MAX, .output = EVENT_TOKENS_MAX};
    struct price_tokens large = {.input = EVENT_TOKENS_MAX};
    struct price_tokens wrong = {.input = 10, .cached = 6, .cache_write = 5};
    cr_assert_not(price_cost(table, price, 0, &huge, &cost));
    cr_assert(price_cost(table, price, 0, &large, &cost));
    cr_assert_eq(cost, EVENT_TOKENS_MAX * 2500000);
    cr_assert_not(price_cost(table, price, 0, &wrong, &cost));
}

Test(price, listing_repeats_the_file) {
    u32 price = price_find(table, SLICE("openai"), SLICE("gpt-4o-mini"));
    struct price_listing listing = price_list(table, price);
    cr_assert(listing.provider.bytes == 6 && memcmp(listing.provider.data, "openai", 6) == 0);
    cr_assert_eq(listing.input, PICO_PER_USD * 15 / 100);
    cr_assert_eq(listing.output, PICO_PER_USD * 6 / 10);
    cr_assert_eq(listing.cached_input, PICO_PER_USD * 75 / 1000);
    cr_assert_eq(listing.cache_write, -1);
    char name[300];
    for (u32 i = 0; i < price_count(table); i++) {
        listing = price_list(table, i);
        string_member(models.line[i], "model", name);
        cr_assert(listing.model.bytes == strlen(name) &&
                  memcmp(listing.model.data, name, listing.model.bytes) == 0);
    }
}

Test(price, refuses_bad_files) {
    static const char provider[] = "[{\"provider\":\"p\"}]";
    static const char *const bad[] = {
        "",
        "[",
        "{}",
        "[{}]",
        "[]x",
        "[{\"provider\":\"p\",\"model\":\"m\"}]",
        "[{\"provider\":\"q\",\"model\":\"m\",\"input_per_mtok\":\"1\"}]",
        "[{\"provider\":\"p\",\"model\":\"m\",\"input_per_mtok\":1}]",
        "[{\"provider\":\"p\",\"model\":\"m\",\"input_per_mtok\":\"-1\"}]",
        "[{\"provider\":\"p\",\"model\":\"m\",\"input_per_mtok\":\"1e3\"}]",
        "[{\"provider\":\"p\",\"model\":\"m\",\"input_per_mtok\":\"1.\"}]",
        "[{\"provider\":\"p\",\"model\":\"m\",\"input_per_mtok\":\"0.0000001\"}]",
        "[{\"provider\":\"p\",\"model\":\"m\",\"input_per_mtok\":\"99999999999999999999\"}]",
        "[{\"provider\":\"p\",\"model\":\"m\",\"input_per_mtok\":\"1\",\"imput\":\"2\"}]",
        "[{\"provider\":\"p\",\"model\":\"m\",\"input_per_mtok\":\"1\"},]",
        "[{\"provider\":\"p\",\"model\":\"m\",\"input_per_mtok\":\"1\"}",
        "[{\"provider\":\"p\",\"model\":\"m\",\"input_per_mtok\":\"1\"},"
        "{\"provider\":\"p\",\"model\":\"M \",\"input_per_mtok\":\"1\"}]",
        "[{\"provider\":\"p\",\"model\":\"m\",\"input_per_mtok\":\"1\",\"tiers\":["
        "{\"above_input_tokens\":5},{\"above_input_tokens\":5}]}]",
        "[{\"provider\":\"p\",\"model\":\"m\",\"input_per_mtok\":\"1\",\"hours\":["
        "{\"from\":\"01:00\"}]}]",
        "[{\"provider\":\"p\",\"model\":\"m\",\"input_per_mtok\":\"1\",\"hours\":["
        "{\"from\":\"01:60\",\"to\":\"02:00\"}]}]",
        "[{\"provider\":\"p\",\"model\":\"m\",\"input_per_mtok\":\"1\",\"periods\":["
        "{\"from\":null}]}]",
        "[{\"provider\":\"p\",\"model\":\"m\",\"input_per_mtok\":\"1\",\"periods\":["
        "{\"from\":\"2026-02-29\",\"input_per_mtok\":\"1\"}]}]",
        "[{\"provider\":\"p\",\"model\":\"m\",\"input_per_mtok\":\"1\",\"periods\":["
        "{\"from\":\"2026-13-01\",\"input_per_mtok\":\"1\"}]}]",
    };
    struct price_table *other = NULL;
    char why[160];
    for (usize i = 0; i < ARRAY_COUNT(bad); i++) {
        why[0] = '\0';
        cr_assert_eq(
            price_table_load(text_slice(bad[i]), text_slice(provider), &other, why, sizeof why),
            ERR_INVALID, "%s", bad[i]);
        cr_assert(strlen(why) > 0 && other == NULL);
    }
    struct slice empty = SLICE("[ ]");
    cr_assert_eq(price_table_load(empty, SLICE("[{\"provider\":\"p\",\"fallback\":[\"q\"]}]"),
                                  &other, why, sizeof why),
                 ERR_INVALID);
    cr_assert_eq(price_table_load(empty, text_slice(provider), &other, why, sizeof why), ERR_OK);
    cr_assert_eq(price_find(other, SLICE("p"), SLICE("m")), PRICE_NONE);
    price_table_free(other);
}
