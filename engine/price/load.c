/*
 * load.c: builds the price table from its two files. Runs at start only, so it takes its memory as
 * it goes and favours checks over speed: what is ambiguous (a name that means two models, a
 * provider nobody defined) is refused here and never met by a look-up.
 */
#include "price/read.h"

#include "base/embedded.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PRICES_AS_OF_MS ((i64)1790121600000) /* 2026-09-23, the date of the files in data/ */
#define ARRAY_FIRST 64

struct fallback;

struct loader {
    struct price_table *table;
    usize text_bytes; /* in use of table->text */
    u32 period_count;
    u32 rate_count;
    u32 tier_count;
    u32 hour_count;
    const char *problem; /* static text; what is wrong besides the JSON itself */
    struct fallback *fallbacks;
    u32 fallback_count;
    u32 extra_names; /* names and prefixes of extra lines, which are loaded first, lie below these
                      */
    u32 extra_prefixes;
    struct model_line model;
    struct provider_line provider;
};

/* A provider's fallback, before all providers are known. */
struct fallback {
    u32 provider;
    struct slice name;
};

/* --- memory ---------------------------------------------------------------------------------- */

/* Makes room for one element behind `count`: arrays double when their count is a power of two. */
static bool make_room(void *array, u32 count, usize element_bytes) {
    bool full = count == 0 || (count >= ARRAY_FIRST && (count & (count - 1)) == 0);
    if (!full) {
        return true;
    }
    void *old;
    memcpy(&old, array, sizeof old);
    usize capacity = count == 0 ? ARRAY_FIRST : (usize)count * 2;
    void *larger = realloc(old, capacity * element_bytes);
    if (larger == NULL) {
        return false;
    }
    memcpy(array, &larger, sizeof larger);
    return true;
}

static struct slice keep_text(struct loader *loader, struct slice text) {
    char *to = loader->table->text + loader->text_bytes;
    memcpy(to, text.data, text.bytes);
    loader->text_bytes += text.bytes;
    return (struct slice){to, text.bytes};
}

static enum err problem(struct loader *loader, const char *text) {
    loader->problem = text;
    return ERR_INVALID;
}

/* --- names ----------------------------------------------------------------------------------- */

/* Appends a normalised name to one of the table's name arrays. */
static enum err add_name(struct loader *loader, void *array, u32 *count, struct price_name name,
                         usize (*normalise)(struct slice, char *)) {
    char buffer[PRICE_NAME_MAX];
    name.text = (struct slice){buffer, normalise(name.text, buffer)};
    if (name.text.bytes == 0) {
        return problem(loader, "a name is empty or too long");
    }
    if (!make_room(array, *count, sizeof name)) {
        return ERR_NO_MEMORY;
    }
    struct price_name *names;
    memcpy(&names, array, sizeof names);
    name.text = keep_text(loader, name.text);
    names[(*count)++] = name;
    return ERR_OK;
}

static int compare_names(const void *left, const void *right) {
    const struct price_name *a = left;
    const struct price_name *b = right;
    if (a->provider != b->provider) {
        return a->provider < b->provider ? -1 : 1;
    }
    if (a->text.bytes != b->text.bytes) {
        return a->text.bytes > b->text.bytes ? -1 : 1;
    }
    return a->text.data < b->text.data ? -1 : a->text.data > b->text.data;
}

static int compare_longest(const void *left, const void *right) {
    const struct price_name *a = left;
    const struct price_name *b = right;
    if (a->text.bytes != b->text.bytes) {
        return a->text.bytes > b->text.bytes ? -1 : 1;
    }
    return a->text.data < b->text.data ? -1 : a->text.data > b->text.data;
}

/* Sorts only where there is something: an empty array has no memory. */
static void sort_names(struct price_name *names, u32 count,
                       int (*compare)(const void *, const void *)) {
    if (count > 0) {
        qsort(names, count, sizeof *names, compare);
    }
}

static bool same_text(struct slice a, struct slice b) {
    return a.bytes == b.bytes && memcmp(a.data, b.data, a.bytes) == 0;
}

static enum err build_slots(struct loader *loader) {
    struct price_table *table = loader->table;
    u32 capacity = ARRAY_FIRST;
    while (capacity < table->name_count * 2) {
        capacity *= 2;
    }
    table->slots = calloc(capacity, sizeof *table->slots);
    if (table->slots == NULL) {
        return ERR_NO_MEMORY;
    }
    table->slot_mask = capacity - 1;
    for (u32 i = 0; i < table->name_count; i++) {
        const struct price_name *name = &table->names[i];
        u32 at = (u32)price_name_hash(name->provider, name->text) & table->slot_mask;
        for (; table->slots[at] != 0; at = (at + 1) & table->slot_mask) {
            const struct price_name *other = &table->names[table->slots[at] - 1];
            if (other->provider == name->provider && same_text(other->text, name->text)) {
                return problem(loader, "two models of a provider share a name");
            }
        }
        table->slots[at] = i + 1;
    }
    return ERR_OK;
}

/* --- providers ------------------------------------------------------------------------------- */

/* Whether a provider has exactly this name or alias already. */
static bool is_provider_name(const struct price_table *table, struct slice text) {
    char buffer[PRICE_NAME_MAX];
    struct slice name = {buffer, price_provider_normalise(text, buffer)};
    for (u32 i = 0; i < table->provider_name_count; i++) {
        if (same_text(table->provider_names[i].text, name)) {
            return true;
        }
    }
    return false;
}

static enum err add_provider_names(struct loader *loader, u32 provider) {
    struct price_table *table = loader->table;
    const struct provider_line *line = &loader->provider;
    for (u32 i = 0; i <= line->alias_count; i++) {
        struct slice text = i == 0 ? line->provider : line->alias[i - 1];
        if (is_provider_name(table, text)) {
            return problem(loader, "two providers share a name");
        }
        enum err err =
            add_name(loader, &table->provider_names, &table->provider_name_count,
                     (struct price_name){text, provider, PRICE_NONE}, price_provider_normalise);
        if (err != ERR_OK) {
            return err;
        }
    }
    for (u32 i = 0; i < line->model_prefix_count; i++) {
        enum err err = add_name(loader, &table->model_prefixes, &table->model_prefix_count,
                                (struct price_name){line->model_prefix[i], provider, PRICE_NONE},
                                price_name_normalise);
        if (err != ERR_OK) {
            return err;
        }
    }
    return ERR_OK;
}

static enum err add_provider(struct loader *loader) {
    struct price_table *table = loader->table;
    u32 index = table->provider_count;
    if (index == PRICE_PROVIDERS_MAX) {
        return problem(loader, "too many providers");
    }
    if (!make_room(&table->providers, index, sizeof *table->providers)) {
        return ERR_NO_MEMORY;
    }
    u32 own_name = table->provider_name_count;
    enum err err = add_provider_names(loader, index);
    if (err != ERR_OK) {
        return err;
    }
    struct slice name = table->provider_names[own_name].text;
    if (name.bytes > EVENT_PROVIDER_MAX) {
        return problem(loader, "a provider's name is too long for an event");
    }
    enum provider_kind kind = same_text(name, SLICE("bedrock"))      ? PROVIDER_BEDROCK
                              : same_text(name, SLICE("openrouter")) ? PROVIDER_OPENROUTER
                                                                     : PROVIDER_PLAIN;
    table->providers[index] = (struct price_provider){.name = name, .kind = kind};
    table->provider_count++;
    return ERR_OK;
}

/* A provider by its own name, not by an alias. */
static u32 own_provider(const struct price_table *table, struct slice name) {
    u32 provider = price_provider_find(table, name);
    bool own = provider != PRICE_NO_PROVIDER && same_text(table->providers[provider].name, name);
    return own ? provider : PRICE_NO_PROVIDER;
}

/* Fallbacks may name providers of later lines, so they are kept and linked at the end. */
static enum err keep_fallbacks(struct loader *loader) {
    for (u32 i = 0; i < loader->provider.fallback_count; i++) {
        u32 count = loader->fallback_count;
        if (!make_room(&loader->fallbacks, count, sizeof *loader->fallbacks)) {
            return ERR_NO_MEMORY;
        }
        loader->fallbacks[loader->fallback_count++] =
            (struct fallback){loader->table->provider_count - 1, loader->provider.fallback[i]};
    }
    return ERR_OK;
}

static enum err link_fallbacks(struct loader *loader) {
    for (u32 i = 0; i < loader->fallback_count; i++) {
        struct fallback fallback = loader->fallbacks[i];
        struct price_provider *provider = &loader->table->providers[fallback.provider];
        u32 other = own_provider(loader->table, fallback.name);
        if (other == PRICE_NO_PROVIDER) {
            return problem(loader, "an unknown provider in a fallback list");
        }
        provider->fallback[provider->fallback_count++] = other;
    }
    return ERR_OK;
}

static enum err load_providers(struct loader *loader, struct json_reader *reader) {
    enum err err = ERR_OK;
    price_read_begin(reader);
    while (err == ERR_OK && price_read_provider(reader, &loader->provider)) {
        err = add_provider(loader);
        err = err == ERR_OK ? keep_fallbacks(loader) : err;
    }
    if (err == ERR_OK && !json_read_finish(reader)) {
        err = problem(loader, reader->error.text);
    }
    if (err == ERR_OK) {
        err = link_fallbacks(loader);
    }
    sort_names(loader->table->model_prefixes, loader->table->model_prefix_count, compare_longest);
    return err;
}

/* --- models ---------------------------------------------------------------------------------- */

static void override(struct price_set *prices, const struct price_set *by) {
    for (u32 field = 0; field < PRICE_FIELDS; field++) {
        if (by->value[field] >= 0) {
            prices->value[field] = by->value[field];
        }
    }
}

static i64 listed_or(const struct price_set *prices, enum price_field field, i64 otherwise) {
    return prices->value[field] >= 0 ? prices->value[field] : otherwise;
}

/* What the prices that are not listed come to. */
static struct price_rates resolve(const struct price_set *prices) {
    i64 input = prices->value[FIELD_INPUT];
    i64 output = listed_or(prices, FIELD_OUTPUT, 0);
    return (struct price_rates){
        .input = input,
        .output = output,
        .cached = listed_or(prices, FIELD_CACHED, input),
        .cache_write = listed_or(prices, FIELD_CACHE_WRITE, input),
        .reasoning = listed_or(prices, FIELD_REASONING, output),
        .request_fee = listed_or(prices, FIELD_REQUEST_FEE, 0),
    };
}

/* The matrix of rates of a period: rows are hours, columns are tiers. */
static enum err add_rates(struct loader *loader, const struct line_period *line) {
    struct price_table *table = loader->table;
    for (u32 row = 0; row <= line->hour_count; row++) {
        for (u32 column = 0; column <= line->tier_count; column++) {
            struct price_set prices = line->prices;
            if (row > 0) {
                override(&prices, &line->hours[row - 1].prices);
            }
            if (column > 0) {
                override(&prices, &line->tier[column - 1].prices);
            }
            if (!make_room(&table->rates, loader->rate_count, sizeof *table->rates)) {
                return ERR_NO_MEMORY;
            }
            table->rates[loader->rate_count++] = resolve(&prices);
        }
    }
    return ERR_OK;
}

static enum err add_period(struct loader *loader, const struct line_period *line) {
    struct price_table *table = loader->table;
    if (!make_room(&table->periods, loader->period_count, sizeof *table->periods)) {
        return ERR_NO_MEMORY;
    }
    table->periods[loader->period_count++] = (struct price_period){
        .from_ms = line->from_ms,
        .rates = loader->rate_count,
        .tiers = loader->tier_count,
        .tier_count = line->tier_count,
        .hours = loader->hour_count,
        .hour_count = line->hour_count,
    };
    for (u32 i = 0; i < line->tier_count; i++) {
        if (!make_room(&table->tiers, loader->tier_count, sizeof *table->tiers)) {
            return ERR_NO_MEMORY;
        }
        table->tiers[loader->tier_count++] = line->tier[i].above_input;
    }
    for (u32 i = 0; i < line->hour_count; i++) {
        if (!make_room(&table->hours, loader->hour_count, sizeof *table->hours)) {
            return ERR_NO_MEMORY;
        }
        table->hours[loader->hour_count++] = line->hours[i].hours;
    }
    return add_rates(loader, line);
}

/* The extra line that has taken a name already; NULL: none has. */
static const struct price_name *taken(const struct price_name *names, u32 count, u32 provider,
                                      struct slice text) {
    char buffer[PRICE_NAME_MAX];
    struct slice name = {buffer, price_name_normalise(text, buffer)};
    for (u32 i = 0; i < count; i++) {
        if (names[i].provider == provider && same_text(names[i].text, name)) {
            return &names[i];
        }
    }
    return NULL;
}

static enum err add_exact(struct loader *loader, struct price_name name) {
    struct price_table *table = loader->table;
    bool is_taken = taken(table->names, loader->extra_names, name.provider, name.text) != NULL;
    return is_taken
               ? ERR_OK
               : add_name(loader, &table->names, &table->name_count, name, price_name_normalise);
}

static enum err add_prefix(struct loader *loader, struct price_name name) {
    struct price_table *table = loader->table;
    name.text.bytes--; /* the star */
    bool is_taken =
        taken(table->prefixes, loader->extra_prefixes, name.provider, name.text) != NULL;
    return is_taken ? ERR_OK
                    : add_name(loader, &table->prefixes, &table->prefix_count, name,
                               price_name_normalise);
}

static enum err add_aliases(struct loader *loader, struct price_name name) {
    const struct model_line *line = &loader->model;
    name.text = line->model;
    enum err err = add_exact(loader, name);
    for (u32 i = 0; i < line->alias_count && err == ERR_OK; i++) {
        name.text = line->alias[i];
        bool prefix = name.text.bytes > 0 && name.text.data[name.text.bytes - 1] == '*';
        err = prefix ? add_prefix(loader, name) : add_exact(loader, name);
    }
    return err;
}

/* Listed prices per million tokens: picodollars per token times a million. */
static i64 listed_per_million(const struct price_set *prices, enum price_field field) {
    i64 value = prices->value[field];
    return value < 0 ? -1 : value * 1000000;
}

static struct price_listing listing_of(struct loader *loader, u32 provider) {
    const struct price_set *prices = &loader->model.now.prices;
    return (struct price_listing){
        .provider = loader->table->providers[provider].name,
        .model = keep_text(loader, loader->model.model),
        .input = listed_per_million(prices, FIELD_INPUT),
        .output = listed_per_million(prices, FIELD_OUTPUT),
        .cached_input = listed_per_million(prices, FIELD_CACHED),
        .cache_write = listed_per_million(prices, FIELD_CACHE_WRITE),
    };
}

static enum err add_model(struct loader *loader) {
    struct price_table *table = loader->table;
    const struct model_line *line = &loader->model;
    u32 provider = own_provider(table, line->provider);
    if (provider == PRICE_NO_PROVIDER) {
        return problem(loader, "a model of an unknown provider");
    }
    const struct price_name *extra =
        taken(table->names, loader->extra_names, provider, line->model);
    if (extra != NULL) {
        return add_aliases(loader,
                           (struct price_name){.provider = provider, .entry = extra->entry});
    }
    if (table->entry_count == PRICE_ENTRIES_MAX) {
        return problem(loader, "too many models");
    }
    if (!make_room(&table->entries, table->entry_count, sizeof *table->entries)) {
        return ERR_NO_MEMORY;
    }
    struct price_entry entry = {
        .listing = listing_of(loader, provider),
        .periods = loader->period_count,
        .period_count = MAX(line->period_count, (u32)1),
    };
    enum err err = line->period_count == 0 ? add_period(loader, &line->now) : ERR_OK;
    for (u32 i = 0; i < line->period_count && err == ERR_OK; i++) {
        err = add_period(loader, &line->period[i]);
    }
    if (err != ERR_OK) {
        return err;
    }
    const struct price_period *first = &table->periods[entry.periods];
    entry.flat = entry.period_count == 1 && first->tier_count == 0 && first->hour_count == 0;
    struct price_name name = {.provider = provider, .entry = table->entry_count};
    table->entries[table->entry_count++] = entry;
    return add_aliases(loader, name);
}

/* The lines of one file of models. */
static enum err load_lines(struct loader *loader, struct json_reader *reader) {
    enum err err = ERR_OK;
    price_read_begin(reader);
    while (err == ERR_OK && price_read_model(reader, &loader->model)) {
        err = add_model(loader);
    }
    return err == ERR_OK && !json_read_finish(reader) ? problem(loader, reader->error.text) : err;
}

static enum err load_extra(struct loader *loader, struct json_reader *reader) {
    enum err err = load_lines(loader, reader);
    loader->extra_names = loader->table->name_count;
    loader->extra_prefixes = loader->table->prefix_count;
    return err;
}

static enum err load_models(struct loader *loader, struct json_reader *reader) {
    struct price_table *table = loader->table;
    enum err err = load_lines(loader, reader);
    if (err != ERR_OK) {
        return err;
    }
    sort_names(table->prefixes, table->prefix_count, compare_names);
    for (u32 i = table->prefix_count; i > 0; i--) {
        struct price_provider *owner = &table->providers[table->prefixes[i - 1].provider];
        owner->prefixes = i - 1;
        owner->prefix_count++;
    }
    return build_slots(loader);
}

/* --- the whole ------------------------------------------------------------------------------- */

/* One file, from a copy, for reading changes the text. */
static enum err load_file(struct loader *loader, struct slice json, const char *file,
                          enum err (*load)(struct loader *, struct json_reader *), char *why,
                          usize why_bytes) {
    char *text = malloc(json.bytes + 1);
    if (text == NULL) {
        snprintf(why, why_bytes, "price table: out of memory");
        return ERR_NO_MEMORY;
    }
    memcpy(text, json.data, json.bytes);
    struct json_reader reader = json_reader(text, json.bytes);
    enum err err = load(loader, &reader);
    if (err != ERR_OK) {
        u32 line = 1;
        const char *end = MIN(reader.cursor.at, text + json.bytes);
        for (const char *at = text; at < end; at++) {
            line += *at == '\n';
        }
        snprintf(why, why_bytes, "price table: %s, line %u: %s", file, line,
                 err == ERR_NO_MEMORY ? "out of memory" : loader->problem);
    }
    free(text);
    return err;
}

static struct slice embedded(const char *name) {
    for (u32 i = 0; i < embedded_file_count; i++) {
        if (strcmp(embedded_files[i].name, name) == 0) {
            return (struct slice){(const char *)embedded_files[i].data, embedded_files[i].bytes};
        }
    }
    return (struct slice){"", 0};
}

static struct slice given_or(struct slice given, const char *built_in) {
    return given.data != NULL ? given : embedded(built_in);
}

enum err price_table_make(const struct price_sources *sources, struct price_table **out, char *why,
                          usize why_bytes) {
    struct slice models = given_or(sources->models, "data/models.json");
    struct slice providers = given_or(sources->providers, "data/providers.json");
    struct loader *loader = calloc(1, sizeof *loader);
    struct price_table *table = calloc(1, sizeof *table);
    /* Each name is kept at most twice: as spelled and normalised. */
    char *text = malloc(2 * (models.bytes + providers.bytes + sources->extra.bytes) + 1);
    if (loader == NULL || table == NULL || text == NULL) {
        free(loader);
        free(table);
        free(text);
        snprintf(why, why_bytes, "price table: out of memory");
        return ERR_NO_MEMORY;
    }
    table->text = text;
    table->updated_ms = sources->updated_ms != 0 ? sources->updated_ms : PRICES_AS_OF_MS;
    loader->table = table;
    enum err err = load_file(loader, providers, "providers", load_providers, why, why_bytes);
    if (err == ERR_OK && sources->extra.data != NULL) {
        err = load_file(loader, sources->extra, "extra models", load_extra, why, why_bytes);
    }
    if (err == ERR_OK) {
        err = load_file(loader, models, "models", load_models, why, why_bytes);
    }
    free(loader->fallbacks);
    free(loader);
    if (err != ERR_OK) {
        price_table_free(table);
        return err;
    }
    *out = table;
    return ERR_OK;
}

enum err price_table_load(struct slice models_json, struct slice providers_json,
                          struct price_table **out, char *why, usize why_bytes) {
    const struct price_sources sources = {.models = models_json, .providers = providers_json};
    return price_table_make(&sources, out, why, why_bytes);
}

enum err price_table_load_embedded(struct price_table **out, char *why, usize why_bytes) {
    const struct price_sources built_in = {.updated_ms = PRICES_AS_OF_MS};
    return price_table_make(&built_in, out, why, why_bytes);
}

void price_table_free(struct price_table *table) {
    if (table == NULL) {
        return;
    }
    free(table->text);
    free(table->providers);
    free(table->provider_names);
    free(table->model_prefixes);
    free(table->names);
    free(table->prefixes);
    free(table->slots);
    free(table->entries);
    free(table->periods);
    free(table->rates);
    free(table->tiers);
    free(table->hours);
    free(table);
}

i64 price_updated_ms(const struct price_table *table) {
    return table->updated_ms;
}
