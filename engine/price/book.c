/*
 * book.c: books are made seldom and read for every event, so making one copies and sorts all of it.
 * Features are found by a hash, for there is a look-up an event; models by bisection, for front
 * threads remember the answers (events.c).
 */
#include "price/book.h"

#include "base/hash.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

int price_compare_text(struct slice a, struct slice b) {
    usize bytes = MIN(a.bytes, b.bytes);
    int order = bytes > 0 ? memcmp(a.data, b.data, bytes) : 0;
    return order != 0 ? order : (a.bytes > b.bytes) - (a.bytes < b.bytes);
}

static int compare_features(const void *left, const void *right) {
    const struct feature_price *a = left;
    const struct feature_price *b = right;
    return price_compare_text(a->feature, b->feature);
}

static int compare_models(const void *left, const void *right) {
    const struct model_price *a = left;
    const struct model_price *b = right;
    int order = price_compare_text(a->model, b->model);
    return order != 0 ? order : price_compare_text(a->provider, b->provider);
}

/* --- making ---------------------------------------------------------------------------------- */

static struct slice keep(char **end, struct slice text) {
    struct slice kept = {*end, text.bytes};
    if (text.bytes > 0) {
        memcpy(*end, text.data, text.bytes);
    }
    *end += text.bytes;
    return kept;
}

static void keep_texts(struct price_book *book) {
    char *end = book->text;
    for (u32 i = 0; i < book->feature_count; i++) {
        struct feature_price *price = &book->features[i];
        price->feature = keep(&end, price->feature);
        price->unit_label = keep(&end, price->unit_label);
    }
    for (u32 i = 0; i < book->model_count; i++) {
        struct model_price *price = &book->models[i];
        price->provider = keep(&end, price->provider);
        price->model = keep(&end, price->model);
    }
}

static usize text_bytes(const struct price_book *book) {
    usize bytes = 0;
    for (u32 i = 0; i < book->feature_count; i++) {
        bytes += book->features[i].feature.bytes + book->features[i].unit_label.bytes;
    }
    for (u32 i = 0; i < book->model_count; i++) {
        bytes += book->models[i].provider.bytes + book->models[i].model.bytes;
    }
    return bytes;
}

static u64 feature_hash(const struct price_book *book, struct slice feature) {
    return hash64(feature.data, feature.bytes, book->seed);
}

static void fill_slots(struct price_book *book) {
    for (u32 i = 0; i < book->feature_count; i++) {
        u64 hash = feature_hash(book, book->features[i].feature);
        u32 at = (u32)hash & book->slot_mask;
        while (book->slots[at] != 0) {
            at = (at + 1) & book->slot_mask;
        }
        book->slots[at] = (hash & ~(u64)UINT32_MAX) | (i + 1);
    }
}

/* What the account left open costs what the price table's rule says: the input, or the output. */
static struct price_rates rates_of(const struct model_price *price) {
    return (struct price_rates){
        .input = price->input,
        .output = price->output,
        .cached = price->cached >= 0 ? price->cached : price->input,
        .cache_write = price->cache_write >= 0 ? price->cache_write : price->input,
        .reasoning = price->output,
    };
}

/* At least one element, so that an empty list is not taken for missing memory. */
static bool reserve(struct price_book *book) {
    usize slots = 8;
    while (slots < 2 * (usize)book->feature_count) {
        slots *= 2;
    }
    book->slot_mask = (u32)slots - 1;
    book->features = malloc((book->feature_count + (usize)1) * sizeof *book->features);
    book->models = malloc((book->model_count + (usize)1) * sizeof *book->models);
    book->rates = malloc((book->model_count + (usize)1) * sizeof *book->rates);
    book->slots = calloc(slots, sizeof *book->slots);
    return book->features != NULL && book->models != NULL && book->rates != NULL &&
           book->slots != NULL;
}

enum err price_book_make(const struct feature_price *features, u32 feature_count,
                         const struct model_price *models, u32 model_count,
                         struct price_book **out) {
    static _Atomic u64 stamps;
    struct price_book *book = calloc(1, sizeof *book);
    if (book == NULL) {
        return ERR_NO_MEMORY;
    }
    /* With a seed that could be guessed, features could be chosen that all meet in one slot. */
    if (getrandom(&book->seed, sizeof book->seed, 0) != (ssize_t)sizeof book->seed) {
        free(book);
        return ERR_SYSTEM;
    }
    book->stamp = atomic_fetch_add_explicit(&stamps, 1, memory_order_relaxed) + 1;
    book->feature_count = feature_count;
    book->model_count = model_count;
    bool reserved = reserve(book);
    if (reserved && feature_count > 0) {
        memcpy(book->features, features, feature_count * sizeof *features);
        qsort(book->features, feature_count, sizeof *features, compare_features);
    }
    if (reserved && model_count > 0) {
        memcpy(book->models, models, model_count * sizeof *models);
        qsort(book->models, model_count, sizeof *models, compare_models);
    }
    book->text = reserved ? malloc(text_bytes(book) + EVENT_TEXT_PADDING) : NULL;
    if (book->text == NULL) {
        price_book_free(book);
        return ERR_NO_MEMORY;
    }
    keep_texts(book);
    fill_slots(book);
    for (u32 i = 0; i < model_count; i++) {
        book->rates[i] = rates_of(&book->models[i]);
    }
    *out = book;
    return ERR_OK;
}

void price_book_free(struct price_book *book) {
    if (book != NULL) {
        free(book->features);
        free(book->models);
        free(book->rates);
        free(book->slots);
        free(book->text);
        free(book);
    }
}

/* --- look-ups -------------------------------------------------------------------------------- */

u32 price_book_feature(const struct price_book *book, struct slice feature) {
    u64 hash = feature_hash(book, feature);
    for (u32 at = (u32)hash & book->slot_mask; book->slots[at] != 0;
         at = (at + 1) & book->slot_mask) {
        u32 index = (u32)book->slots[at] - 1;
        struct slice known = book->features[index].feature;
        if ((book->slots[at] ^ hash) >> 32 == 0 && known.bytes == feature.bytes &&
            memcmp(known.data, feature.data, known.bytes) == 0) {
            return index;
        }
    }
    return PRICE_NONE;
}

u32 price_book_model(const struct price_book *book, struct slice provider, struct slice model) {
    const struct model_price wanted = {.provider = provider, .model = model};
    u32 low = 0;
    u32 high = book->model_count;
    while (low < high) {
        u32 middle = low + (high - low) / 2;
        int order = compare_models(&wanted, &book->models[middle]);
        if (order == 0) {
            return middle;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return PRICE_NONE;
}
