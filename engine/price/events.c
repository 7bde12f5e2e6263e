/*
 * events.c: the pricing step of the path. Traffic repeats few (provider, model) pairs, so each
 * front thread remembers what they mean: one hash over a few words of the names, one compare, and
 * for most models the rates lie behind a pointer. A pair met for the first time takes the slow
 * path of find.c.
 *
 * An account with prices of its own has a book: what a remembered pair means in it is remembered
 * beside the pair, with the book's stamp; what a feature earns is one look-up in the book.
 */
#include "price/prices.h"

#include "event/decode.h"

#include <stdlib.h>
#include <string.h>

#define CACHE_SLOTS 1024 /* a power of two; far more than an installation uses models */
#define CACHE_PROBES 8   /* slots looked at from the home slot on */

#define MODEL_WORDS (EVENT_MODEL_MAX / 8)
#define PROVIDER_WORDS (EVENT_PROVIDER_MAX / 8)
#define INTERNAL_PREFIX "_internal" /* a word and a byte */

_Static_assert(EVENT_MODEL_MAX % 8 == 0 && EVENT_PROVIDER_MAX % 8 == 0, "names are whole words");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "masks take a word's first bytes");

struct cache_entry {
    const struct price_rates *rates; /* of a flat price; NULL: choose by time and size */
    const struct price_rates *own;   /* in the book of that stamp; NULL: it has no price */
    u64 own_stamp;
    u32 price;    /* PRICE_NONE: no price is known */
    u32 inferred; /* provider to fill in, or PRICE_NO_PROVIDER */
    u32 model_bytes;
    u32 provider_bytes;     /* 0: not given */
    u64 model[MODEL_WORDS]; /* padded with zeros to a whole word */
    u64 provider[PROVIDER_WORDS];
};

/* Where the names of inferred providers stand in the batch now worked on. */
struct added_names {
    const struct event_batch *batch;
    const char *text;
    u32 end;                                  /* events below it have been priced */
    struct text_ref ref[PRICE_PROVIDERS_MAX]; /* 0 bytes: not added */
};

/* What the names at two places of the batch's text were found to mean. In a native batch the same
 * names stand at the same place; in others no two events' do, which is soon noticed. */
struct recent {
    struct text_ref model;
    struct text_ref provider;
    struct cache_entry *entry; /* NULL: unused */
};
#define RECENTS_SHIFT 6
#define RECENT_TRIES 32 /* so many in vain, one after the other, are enough */

struct price_cache {
    struct prices *prices;
    const struct price_view *view; /* held: what the entries know is from its table */
    const struct price_table *table;
    const struct price_book *book; /* of the account below; NULL: it has none */
    u32 account;
    u32 tag[CACHE_SLOTS]; /* hash of the entry's names, never 0; 0: no entry */
    u32 victim;           /* which of the probed slots the next entry replaces */
    struct added_names added;
    struct recent recent[1 << RECENTS_SHIFT]; /* of one call of price_events() */
    u32 recent_tries;                         /* left */
    struct cache_entry entry[CACHE_SLOTS];
};

/* Takes up the newest view. Another table means that nothing remembered holds any more. */
static __attribute__((noinline)) void renew(struct price_cache *cache) {
    const struct price_view *old = cache->view;
    cache->view = prices_acquire(cache->prices);
    if (price_view_table(cache->view) != cache->table) {
        cache->table = price_view_table(cache->view);
        memset(cache->tag, 0, sizeof cache->tag);
        memset(&cache->added, 0, sizeof cache->added);
    }
    cache->book = price_view_book(cache->view, cache->account);
    prices_release(cache->prices,
                   old); /* not before: a new table might get the old one's address */
}

enum err price_cache_create(struct prices *prices, struct price_cache **out) {
    struct price_cache *cache = calloc(1, sizeof *cache);
    if (cache == NULL) {
        return ERR_NO_MEMORY;
    }
    cache->prices = prices;
    renew(cache);
    *out = cache;
    return ERR_OK;
}

void price_cache_destroy(struct price_cache *cache) {
    if (cache != NULL) {
        prices_release(cache->prices, cache->view);
        free(cache);
    }
}

/* Brings the cache up to what is in force now, for events of this account. */
static void prepare(struct price_cache *cache, u32 account) {
    if (unlikely(!prices_is_current(cache->prices, cache->view))) {
        cache->account = account;
        renew(cache);
    } else if (unlikely(cache->account != account)) {
        cache->account = account;
        cache->book = price_view_book(cache->view, account);
    }
}

/* --- words of names -------------------------------------------------------------------------- */

static inline u64 load_word(const char *at) {
    u64 word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* The first `bytes` (1..7) of a word. Text is padded, so the whole word may be read. */
static inline u64 load_part(const char *at, u32 bytes) {
    return load_word(at) & (((u64)1 << (8 * bytes)) - 1);
}

static inline u64 first_word(const char *text, u32 bytes) {
    return bytes >= 8 ? load_word(text) : bytes > 0 ? load_part(text, bytes) : 0;
}

static inline u64 last_word(const char *text, u32 bytes) {
    return bytes >= 8 ? load_word(text + bytes - 8) : 0;
}

static inline u64 middle_word(const char *text, u32 bytes) {
    return bytes >= 8 ? load_word(text + (bytes - 8) / 2) : 0;
}

/* The multiplications do not wait for each other. Names that agree in the words taken here meet in
 * one slot and are told apart by same_words(). */
static inline u32 names_tag(const char *model, u32 model_bytes, const char *provider,
                            u32 provider_bytes) {
    u64 a = (first_word(model, model_bytes) + model_bytes) * 0x9e3779b97f4a7c15u;
    u64 b = (last_word(model, model_bytes) + provider_bytes) * 0xc2b2ae3d27d4eb4fu;
    u64 c = middle_word(model, model_bytes) * 0x165667b19e3779f9u;
    u64 d = first_word(provider, provider_bytes) * 0xd6e8feb86659fd93u;
    u64 mixed = (a ^ (b >> 29) ^ (c >> 17) ^ (d >> 23)) + b + c + d;
    return (u32)(mixed >> 32) | 1;
}

static inline bool same_words(const char *text, const u64 *words, u32 bytes) {
    u64 difference = 0;
    u32 at = 0;
    for (; at + 8 <= bytes; at += 8) {
        difference |= load_word(text + at) ^ words[at / 8];
    }
    if (at < bytes) {
        difference |= load_part(text + at, bytes - at) ^ words[at / 8];
    }
    return difference == 0;
}

/* --- cache ----------------------------------------------------------------------------------- */

static void fill_entry(const struct price_table *table, struct cache_entry *entry,
                       struct slice model, struct slice provider) {
    memset(entry, 0, sizeof *entry);
    entry->model_bytes = (u32)model.bytes;
    entry->provider_bytes = (u32)provider.bytes;
    memcpy(entry->model, model.data, model.bytes);
    if (provider.bytes > 0) {
        memcpy(entry->provider, provider.data, provider.bytes);
    }
    entry->inferred = PRICE_NO_PROVIDER;
    entry->price = PRICE_NONE;
    u32 owner;
    if (provider.bytes > 0) {
        owner = price_provider_find(table, provider);
    } else {
        owner = entry->inferred = price_provider_infer(table, model);
    }
    if (owner != PRICE_NO_PROVIDER) {
        entry->price = price_find_within(table, owner, model);
    }
    if (entry->price != PRICE_NONE && table->entries[entry->price].flat) {
        const struct price_entry *price = &table->entries[entry->price];
        entry->rates = &table->rates[table->periods[price->periods].rates];
    }
}

/* Finds a place for a pair that is not in the cache. */
static __attribute__((noinline)) struct cache_entry *
learn(struct price_cache *cache, u32 tag, struct slice model, struct slice provider) {
    u32 slot = UINT32_MAX;
    for (u32 probe = 0; probe < CACHE_PROBES && slot == UINT32_MAX; probe++) {
        u32 at = ((tag >> 1) + probe) % CACHE_SLOTS;
        slot = cache->tag[at] == 0 ? at : slot;
    }
    if (slot == UINT32_MAX) {
        slot = ((tag >> 1) + cache->victim++ % CACHE_PROBES) % CACHE_SLOTS;
    }
    cache->tag[slot] = tag;
    memset(cache->recent, 0, sizeof cache->recent); /* the entry may have been another pair's */
    fill_entry(cache->table, &cache->entry[slot], model, provider);
    return &cache->entry[slot];
}

static inline struct cache_entry *look_up(struct price_cache *cache, struct slice model,
                                          struct slice provider) {
    check(model.bytes <= EVENT_MODEL_MAX && provider.bytes <= EVENT_PROVIDER_MAX);
    u32 model_bytes = (u32)model.bytes;
    u32 provider_bytes = (u32)provider.bytes;
    u32 tag = names_tag(model.data, model_bytes, provider.data, provider_bytes);
    for (u32 probe = 0; probe < CACHE_PROBES; probe++) {
        u32 at = ((tag >> 1) + probe) % CACHE_SLOTS;
        struct cache_entry *entry = &cache->entry[at];
        if (cache->tag[at] == tag && entry->model_bytes == model_bytes &&
            entry->provider_bytes == provider_bytes &&
            same_words(model.data, entry->model, model_bytes) &&
            same_words(provider.data, entry->provider, provider_bytes)) {
            return entry;
        }
        if (cache->tag[at] == 0) {
            break;
        }
    }
    return learn(cache, tag, model, provider);
}

static void recent_begin(struct price_cache *cache, u32 count) {
    cache->recent_tries = count > RECENT_TRIES ? RECENT_TRIES : 0;
    if (cache->recent_tries > 0) {
        memset(cache->recent, 0, sizeof cache->recent);
    }
}

static inline bool same_ref(struct text_ref a, struct text_ref b) {
    return a.offset == b.offset && a.bytes == b.bytes;
}

/* As look_up(), of an event's names. */
static inline struct cache_entry *look_up_event(struct price_cache *cache,
                                                const struct event_batch *batch, u32 index,
                                                struct slice model, struct slice provider) {
    if (cache->recent_tries == 0) {
        return look_up(cache, model, provider);
    }
    static const struct text_ref none = {0, 0};
    struct text_ref model_at = batch->ref[TEXT_MODEL][index];
    struct text_ref provider_at = provider.bytes > 0 ? batch->ref[TEXT_PROVIDER][index] : none;
    u32 mixed = (model_at.offset ^ provider_at.offset * 5) * 0x9e3779b1u;
    struct recent *recent = &cache->recent[mixed >> (32 - RECENTS_SHIFT)];
    if (likely(recent->entry != NULL && same_ref(recent->model, model_at) &&
               same_ref(recent->provider, provider_at))) {
        cache->recent_tries = RECENT_TRIES;
        return recent->entry;
    }
    cache->recent_tries--;
    struct cache_entry *entry = look_up(cache, model, provider);
    *recent = (struct recent){model_at, provider_at, entry};
    return entry;
}

/* --- inferred providers ---------------------------------------------------------------------- */

/* A batch that several requests share is priced in several calls; names added by earlier ones
 * serve again as long as the events go on where the last call ended and the names are there. */
static void continue_batch(const struct price_table *table, struct added_names *added,
                           const struct event_batch *batch, u32 first, u32 count) {
    bool same =
        added->batch == batch && added->text == batch->text && first > 0 && first >= added->end;
    for (u32 i = 0; i < table->provider_count; i++) {
        struct text_ref ref = added->ref[i];
        struct slice name = table->providers[i].name;
        bool there = same && ref.bytes > 0 && ref.offset + ref.bytes <= batch->text_bytes &&
                     memcmp(batch->text + ref.offset, name.data, name.bytes) == 0;
        added->ref[i].bytes = there ? ref.bytes : 0;
    }
    added->batch = batch;
    added->text = batch->text;
    added->end = first + count;
}

/* The place of a provider's name in the batch's text. False: there is no room for it. */
static inline bool provider_ref(struct price_cache *cache, struct event_batch *batch, u32 provider,
                                struct text_ref *ref) {
    struct text_ref *known = &cache->added.ref[provider];
    if (unlikely(known->bytes == 0) &&
        batch_add_text(batch, cache->table->providers[provider].name, known) != ERR_OK) {
        return false;
    }
    *ref = *known;
    return true;
}

/* --- events ---------------------------------------------------------------------------------- */

static inline i64 number_or_0(const struct event_batch *batch, u32 index, u32 present,
                              enum event_number number) {
    return (present & NUM_BIT(number)) != 0 ? batch->number[number][index] : 0;
}

/* What the event asks a price for. False: no count is given that could be priced. */
static inline bool tokens_of(const struct event_batch *batch, u32 index, u32 present,
                             struct price_tokens *tokens) {
    if (likely((present & (NUM_BIT(NUM_INPUT) | NUM_BIT(NUM_OUTPUT))) != 0)) {
        *tokens = (struct price_tokens){
            .input = number_or_0(batch, index, present, NUM_INPUT),
            .output = number_or_0(batch, index, present, NUM_OUTPUT),
            .cached = number_or_0(batch, index, present, NUM_CACHED),
            .cache_write = number_or_0(batch, index, present, NUM_CACHE_WRITE),
            .reasoning = number_or_0(batch, index, present, NUM_REASONING),
        };
        return true;
    }
    i64 usage = number_or_0(batch, index, present, NUM_USAGE);
    if ((batch->flags[index] & EVENT_FLAG_USAGE_PRICED) == 0 ||
        (present & NUM_BIT(NUM_USAGE)) == 0 || usage < 0) {
        return false;
    }
    i64 whole = usage / MICRO_PER_UNIT;
    i64 half_up = usage % MICRO_PER_UNIT >= MICRO_PER_UNIT / 2;
    *tokens = (struct price_tokens){.input = whole + half_up};
    return true;
}

static inline void set_cost(struct event_batch *batch, u32 index, i64 cost,
                            enum cost_source source) {
    batch->number[NUM_COST][index] = cost;
    batch->cost_source[index] = (u8)source;
}

/* The account's own rates for the pair of an entry; NULL: it has none for it. */
static inline const struct price_rates *own_rates(const struct price_cache *cache,
                                                  struct cache_entry *entry, struct slice provider,
                                                  struct slice model) {
    const struct price_book *book = cache->book;
    if (likely(book == NULL) || book->model_count == 0) {
        return NULL;
    }
    if (unlikely(entry->own_stamp != book->stamp)) {
        u32 own = prices_find_own(cache->table, book, provider, model);
        entry->own = own != PRICE_NONE ? &book->rates[own] : NULL;
        entry->own_stamp = book->stamp;
    }
    return entry->own;
}

/* Cost of an event with a model and without an explicit cost. False: it does not fit. */
static inline bool set_computed_cost(const struct price_cache *cache, struct event_batch *batch,
                                     u32 index, u32 present, const struct cache_entry *entry,
                                     const struct price_rates *own) {
    struct price_tokens tokens;
    i64 cost = 0;
    bool priced = own != NULL || entry->price != PRICE_NONE;
    if (!priced || !tokens_of(batch, index, present, &tokens)) {
        set_cost(batch, index, 0, COST_UNPRICED);
        return true;
    }
    if (unlikely(own != NULL)) {
        bool own_fits = price_rates_cost(own, &tokens, &cost);
        set_cost(batch, index, cost, COST_ACCOUNT_PRICE);
        return own_fits;
    }
    const struct price_rates *rates = entry->rates;
    if (rates == NULL) {
        rates = price_rates_at(cache->table, &cache->table->entries[entry->price],
                               batch->number[NUM_TIME][index], tokens.input);
    }
    bool fits = price_rates_cost(rates, &tokens, &cost);
    set_cost(batch, index, cost, COST_PRICE_TABLE);
    return fits;
}

/* Cost and provider of one event. False: the event cannot be kept. */
static inline bool price_event(struct price_cache *cache, struct event_batch *batch, u32 index,
                               u32 *present) {
    bool given = batch->cost_source[index] == COST_EXPLICIT;
    struct slice provider = event_text_of(batch, index, TEXT_PROVIDER);
    if ((*present & TEXT_BIT(TEXT_MODEL)) == 0) {
        if (!given) {
            set_cost(batch, index, 0, COST_NONE);
        }
        return true;
    }
    if (given && provider.bytes > 0) {
        return true;
    }
    struct slice model = event_text_of(batch, index, TEXT_MODEL);
    struct cache_entry *entry = look_up_event(cache, batch, index, model, provider);
    if (entry->inferred != PRICE_NO_PROVIDER) {
        if (!provider_ref(cache, batch, entry->inferred, &batch->ref[TEXT_PROVIDER][index])) {
            return false;
        }
        *present |= TEXT_BIT(TEXT_PROVIDER);
    }
    if (given) {
        return true;
    }
    const struct price_rates *own = own_rates(cache, entry, provider, model);
    return set_computed_cost(cache, batch, index, *present, entry, own);
}

/* --- revenue --------------------------------------------------------------------------------- */

struct revenue {
    i64 amount;
    enum revenue_source source;
};

/* Step 3: the account's price of the feature, once an event. False: the feature has none. */
static inline bool feature_revenue(const struct price_book *book, struct slice name,
                                   struct revenue *revenue) {
    if (likely(book == NULL) || book->feature_count == 0) {
        return false;
    }
    u32 feature = price_book_feature(book, name);
    if (feature == PRICE_NONE) {
        return false;
    }
    *revenue = (struct revenue){book->features[feature].revenue, REVENUE_FEATURE_PRICING};
    return true;
}

/* Step 4: what the customer's subscription pays for the event, by its pricing model. Subscriptions
 * come from an account's Stripe connection, which would be part of its book; no book has one. */
static inline bool subscription_revenue(const struct price_book *book,
                                        const struct event_batch *batch, u32 index,
                                        struct revenue *revenue) {
    (void)book;
    (void)batch;
    (void)index;
    (void)revenue;
    return false;
}

/* Observe 2.4: the first step that applies decides. */
static inline void attribute_revenue(const struct price_book *book, struct event_batch *batch,
                                     u32 index) {
    struct slice customer = event_text_of(batch, index, TEXT_CUSTOMER);
    bool internal = customer.bytes >= sizeof INTERNAL_PREFIX - 1 &&
                    load_word(customer.data) == load_word(INTERNAL_PREFIX) &&
                    customer.data[8] == INTERNAL_PREFIX[8];
    struct revenue revenue = {0, REVENUE_NONE};
    if (!internal && batch->revenue_source[index] == REVENUE_EXPLICIT) {
        return;
    }
    if (!internal && !feature_revenue(book, event_text_of(batch, index, TEXT_FEATURE), &revenue)) {
        subscription_revenue(book, batch, index, &revenue);
    }
    batch->number[NUM_REVENUE][index] = revenue.amount;
    batch->revenue_source[index] = (u8)revenue.source;
}

enum revenue_source price_attribute(const struct price_book *book, struct slice customer,
                                    struct slice feature, i64 *amount) {
    struct revenue revenue = {0, REVENUE_NONE};
    usize bytes = sizeof INTERNAL_PREFIX - 1;
    if (customer.bytes < bytes || memcmp(customer.data, INTERNAL_PREFIX, bytes) != 0) {
        feature_revenue(book, feature, &revenue);
    }
    *amount = revenue.amount;
    return revenue.source;
}

void price_events(struct price_cache *cache, struct event_batch *batch, u32 first, u32 count,
                  u32 *overflow, u32 *overflow_count) {
    check(first <= batch->count && count <= batch->count - first);
    prepare(cache, batch->account);
    continue_batch(cache->table, &cache->added, batch, first, count);
    recent_begin(cache, count);
    /* Rows of an upload stand for many events, or for none: they earn what they say. */
    bool uploaded = count > 0 && batch->source[first] == SOURCE_CSV;
    const struct price_book *book = uploaded ? NULL : cache->book;
    u32 refused = 0;
    for (u32 index = first; index < first + count; index++) {
        u32 present = batch->present[index];
        if (unlikely(!price_event(cache, batch, index, &present))) {
            overflow[refused++] = index;
        }
        attribute_revenue(book, batch, index);
        batch->present[index] = present | NUM_BIT(NUM_COST) | NUM_BIT(NUM_REVENUE);
    }
    *overflow_count = refused;
}
