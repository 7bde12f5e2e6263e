/*
 * find.c: from the names an event carries to the line of the price table. Names come in many
 * spellings (snapshots, regions, routes, resource paths), so a look-up is a series of exact and
 * prefix attempts, the most specific first; what matches none of them has no price, rather than a
 * wrong one. This is the slow path: front threads remember the answers (events.c).
 */
#include "price/prices.h"

#include "base/hash.h"

#include <string.h>

static bool is_blank(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static char lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool equal(struct slice a, struct slice b) {
    return a.bytes == b.bytes && memcmp(a.data, b.data, a.bytes) == 0;
}

static bool has_prefix(struct slice text, struct slice prefix) {
    return text.bytes >= prefix.bytes && memcmp(text.data, prefix.data, prefix.bytes) == 0;
}

static struct slice skip(struct slice text, usize bytes) {
    return (struct slice){text.data + bytes, text.bytes - bytes};
}

usize price_name_normalise(struct slice text, char out[PRICE_NAME_MAX]) {
    while (text.bytes > 0 && is_blank(text.data[0])) {
        text = skip(text, 1);
    }
    while (text.bytes > 0 && is_blank(text.data[text.bytes - 1])) {
        text.bytes--;
    }
    if (text.bytes > PRICE_NAME_MAX) {
        return 0;
    }
    for (usize i = 0; i < text.bytes; i++) {
        out[i] = lower(text.data[i]);
    }
    return text.bytes;
}

usize price_provider_normalise(struct slice text, char out[PRICE_NAME_MAX]) {
    usize bytes = price_name_normalise(text, out);
    for (usize i = 0; i < bytes; i++) {
        if (out[i] == '_' || out[i] == ' ') {
            out[i] = '-';
        }
    }
    return bytes;
}

/* --- providers ------------------------------------------------------------------------------- */

u32 price_provider_find(const struct price_table *table, struct slice text) {
    char buffer[PRICE_NAME_MAX];
    struct slice name = {buffer, price_provider_normalise(text, buffer)};
    while (name.bytes > 0) {
        for (u32 i = 0; i < table->provider_name_count; i++) {
            if (equal(table->provider_names[i].text, name)) {
                return table->provider_names[i].provider;
            }
        }
        /* "google.vertex.chat": the last part names a product of the provider. */
        const char *dot = memrchr(name.data, '.', name.bytes);
        name.bytes = dot != NULL ? (usize)(dot - name.data) : 0;
    }
    return PRICE_NO_PROVIDER;
}

u32 price_provider_infer(const struct price_table *table, struct slice model) {
    char buffer[PRICE_NAME_MAX];
    struct slice name = {buffer, price_name_normalise(model, buffer)};
    if (name.bytes == 0) {
        return PRICE_NO_PROVIDER;
    }
    const char *slash = memchr(name.data, '/', name.bytes);
    if (slash != NULL) {
        struct slice part = {name.data, (usize)(slash - name.data)};
        u32 provider = price_provider_find(table, part);
        if (provider != PRICE_NO_PROVIDER) {
            return provider;
        }
    }
    for (u32 i = 0; i < table->model_prefix_count; i++) {
        if (has_prefix(name, table->model_prefixes[i].text)) {
            return table->model_prefixes[i].provider;
        }
    }
    return PRICE_NO_PROVIDER;
}

struct slice price_infer_provider(const struct price_table *table, struct slice model) {
    u32 provider = price_provider_infer(table, model);
    return provider == PRICE_NO_PROVIDER ? (struct slice){NULL, 0}
                                         : table->providers[provider].name;
}

/* --- models ---------------------------------------------------------------------------------- */

u64 price_name_hash(u32 provider, struct slice name) {
    return hash64(name.data, name.bytes, provider);
}

static u32 find_exact(const struct price_table *table, u32 provider, struct slice name) {
    u64 hash = price_name_hash(provider, name);
    for (u32 at = (u32)hash & table->slot_mask; table->slots[at] != 0;
         at = (at + 1) & table->slot_mask) {
        const struct price_name *known = &table->names[table->slots[at] - 1];
        if (known->provider == provider && equal(known->text, name)) {
            return known->entry;
        }
    }
    return PRICE_NONE;
}

/* Whether the end of the name has this form; in the form, '0' stands for any digit. */
static bool ends_in_form(struct slice name, struct slice form) {
    if (name.bytes < form.bytes) {
        return false;
    }
    const char *end = name.data + name.bytes - form.bytes;
    for (usize i = 0; i < form.bytes; i++) {
        if (form.data[i] == '0' ? !is_digit(end[i]) : end[i] != form.data[i]) {
            return false;
        }
    }
    return true;
}

/* The name without a trailing date; the same name if it has none. */
static struct slice cut_snapshot(struct slice name) {
    /* The '0' behind the 2 of a year must be a zero itself, which the forms cannot say. */
    static const struct slice forms[] = {{"-2000-00-00", 11}, {"-20000000", 9}, {"@20000000", 9}};
    for (usize i = 0; i < ARRAY_COUNT(forms); i++) {
        if (ends_in_form(name, forms[i]) && name.data[name.bytes - forms[i].bytes + 2] == '0') {
            return (struct slice){name.data, name.bytes - forms[i].bytes};
        }
    }
    return name;
}

/* Rules 1 to 3. */
static u32 find_plain(const struct price_table *table, u32 provider, struct slice name) {
    u32 entry = find_exact(table, provider, name);
    if (entry != PRICE_NONE) {
        return entry;
    }
    struct slice undated = cut_snapshot(name);
    if (undated.bytes < name.bytes) {
        entry = find_exact(table, provider, undated);
        if (entry != PRICE_NONE) {
            return entry;
        }
    }
    const struct price_provider *owner = &table->providers[provider];
    for (u32 i = 0; i < owner->prefix_count; i++) {
        const struct price_name *prefix = &table->prefixes[owner->prefixes + i];
        if (has_prefix(name, prefix->text)) {
            return prefix->entry;
        }
    }
    return PRICE_NONE;
}

static struct slice cut_region(struct slice name) {
    static const struct slice regions[] = {{"us.", 3},   {"us-gov.", 7}, {"eu.", 3},
                                           {"apac.", 5}, {"jp.", 3},     {"au.", 3},
                                           {"ca.", 3},   {"in.", 3},     {"global.", 7}};
    for (usize i = 0; i < ARRAY_COUNT(regions); i++) {
        if (has_prefix(name, regions[i])) {
            return skip(name, regions[i].bytes);
        }
    }
    return name;
}

/* ":free" and ":batch" are priced apart, so they are no variants of the same price. */
static struct slice cut_variant(struct slice name) {
    const char *colon = memrchr(name.data, ':', name.bytes);
    if (colon == NULL) {
        return name;
    }
    struct slice variant = skip(name, (usize)(colon - name.data));
    if (equal(variant, SLICE(":free")) || equal(variant, SLICE(":batch"))) {
        return name;
    }
    return (struct slice){name.data, (usize)(colon - name.data)};
}

/* The name without what providers of this kind put around it; the same name if there is nothing. */
static struct slice cut_kind(enum provider_kind kind, struct slice name) {
    return kind == PROVIDER_BEDROCK      ? cut_region(name)
           : kind == PROVIDER_OPENROUTER ? cut_variant(name)
                                         : name;
}

/* Rules 1 to 4. */
static u32 find_kind(const struct price_table *table, u32 provider, struct slice name) {
    u32 entry = find_plain(table, provider, name);
    struct slice cut = cut_kind(table->providers[provider].kind, name);
    if (entry == PRICE_NONE && cut.bytes < name.bytes) {
        entry = find_plain(table, provider, cut);
    }
    return entry;
}

/* Rules 1 to 5. */
static u32 find_all(const struct price_table *table, u32 provider, struct slice name) {
    for (;;) {
        u32 entry = find_kind(table, provider, name);
        const char *slash = name.bytes > 0 ? memchr(name.data, '/', name.bytes) : NULL;
        if (entry != PRICE_NONE || slash == NULL) {
            return entry;
        }
        name = skip(name, (usize)(slash - name.data) + 1);
    }
}

u32 price_find_within(const struct price_table *table, u32 provider, struct slice model) {
    char buffer[PRICE_NAME_MAX];
    struct slice name = {buffer, price_name_normalise(model, buffer)};
    if (name.bytes == 0) {
        return PRICE_NONE;
    }
    const struct price_provider *owner = &table->providers[provider];
    u32 entry = find_all(table, provider, name);
    for (u32 i = 0; i < owner->fallback_count && entry == PRICE_NONE; i++) {
        entry = find_all(table, owner->fallback[i], name);
    }
    return entry;
}

u32 price_find(const struct price_table *table, struct slice provider, struct slice model) {
    u32 index = provider.bytes > 0 ? price_provider_find(table, provider)
                                   : price_provider_infer(table, model);
    return index == PRICE_NO_PROVIDER ? PRICE_NONE : price_find_within(table, index, model);
}

/* --- an account's own prices ----------------------------------------------------------------- */

static u32 own_exact(const struct price_book *book, struct slice provider, struct slice name) {
    u32 model = price_book_model(book, provider, name);
    if (model == PRICE_NONE && provider.bytes > 0) {
        model = price_book_model(book, (struct slice){NULL, 0}, name);
    }
    return model;
}

/* Rules 1 and 2: own prices have no prefixes. */
static u32 own_plain(const struct price_book *book, struct slice provider, struct slice name) {
    u32 model = own_exact(book, provider, name);
    struct slice undated = cut_snapshot(name);
    if (model == PRICE_NONE && undated.bytes < name.bytes) {
        model = own_exact(book, provider, undated);
    }
    return model;
}

/* Rules 1, 2, 4 and 5. */
static u32 own_all(const struct price_book *book, enum provider_kind kind, struct slice provider,
                   struct slice name) {
    for (;;) {
        u32 model = own_plain(book, provider, name);
        struct slice cut = cut_kind(kind, name);
        if (model == PRICE_NONE && cut.bytes < name.bytes) {
            model = own_plain(book, provider, cut);
        }
        const char *slash = name.bytes > 0 ? memchr(name.data, '/', name.bytes) : NULL;
        if (model != PRICE_NONE || slash == NULL) {
            return model;
        }
        name = skip(name, (usize)(slash - name.data) + 1);
    }
}

u32 prices_find_own(const struct price_table *table, const struct price_book *book,
                    struct slice provider, struct slice model) {
    char provider_buffer[PRICE_NAME_MAX];
    char model_buffer[PRICE_NAME_MAX];
    struct slice name = {model_buffer, price_name_normalise(model, model_buffer)};
    struct slice owner = {provider_buffer, price_provider_normalise(provider, provider_buffer)};
    u32 index = provider.bytes > 0 ? price_provider_find(table, provider)
                                   : price_provider_infer(table, model);
    if (name.bytes == 0) {
        return PRICE_NONE;
    }
    if (index == PRICE_NO_PROVIDER) {
        return own_all(book, PROVIDER_PLAIN, owner, name);
    }
    /* By its own name, however the event spells it; the price may be older than a table that knows
     * the provider by another name. */
    const struct price_provider *known = &table->providers[index];
    u32 own = own_all(book, known->kind, known->name, name);
    return own == PRICE_NONE && owner.bytes > 0 && !equal(owner, known->name)
               ? own_all(book, known->kind, owner, name)
               : own;
}
