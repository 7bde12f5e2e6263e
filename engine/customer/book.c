/*
 * book.c: see book.h. Customers lie in chunks that never move, found through open addressing; a
 * table that has become too small is followed by one twice as large, and kept until the book ends,
 * because somebody may still be looking into it. All tables together are at most twice the last.
 *
 * What a reader follows (a slot, the count, a table) is stored with release, last of all.
 */
#include "customer/book.h"

#include "base/hash.h"
#include "base/held.h"
#include "customer/mrr.h"

#include <stdlib.h>
#include <string.h>

#define FLAG_INTERNAL 1u
#define FLAG_BY_SHIFT 1 /* enum internal_by above */
#define TABLE_SLOTS_MIN 16
#define BLOCK_BYTES_FIRST (2 * KIB) /* of the first block of texts; then each is twice as large */
#define BLOCK_BYTES_LAST (64 * KIB)

enum { PART_ID, PART_NAME, PART_EMAIL, PART_SEGMENT, PARTS };

struct book_table {
    struct book_table *smaller; /* the one before */
    u32 mask;
    u32 count;           /* the writer's */
    _Atomic u32 slots[]; /* index + 1; 0: free */
};

struct book_block {
    struct book_block *next;
    usize bytes;
    usize bytes_max;
    _Alignas(max_align_t) char data[];
};

bool customer_is_internal(struct slice id) {
    usize bytes = sizeof INTERNAL_PREFIX - 1;
    return id.bytes >= bytes && memcmp(id.data, INTERNAL_PREFIX, bytes) == 0;
}

/* --- memory ----------------------------------------------------------------------------------- */

/* Room for so many bytes in the newest block. */
static bool reserve_bytes(struct book *book, usize bytes) {
    struct book_block *block = book->blocks;
    if (block != NULL && block->bytes_max - block->bytes >= bytes) {
        return true;
    }
    usize usual = block != NULL ? MIN(2 * block->bytes_max, BLOCK_BYTES_LAST) : BLOCK_BYTES_FIRST;
    usize bytes_max = MAX(bytes, usual);
    block = held_take(malloc(sizeof *block + bytes_max));
    if (block == NULL) {
        return false;
    }
    *block = (struct book_block){.next = book->blocks, .bytes_max = bytes_max};
    book->blocks = block;
    return true;
}

static char *keep(struct book *book, struct slice text) {
    struct book_block *block = book->blocks;
    char *at = block->data + block->bytes;
    check(block->bytes_max - block->bytes >= text.bytes);
    if (text.bytes > 0) {
        memcpy(at, text.data, text.bytes);
    }
    block->bytes += text.bytes;
    return at;
}

static struct slice keep_slice(struct book *book, struct slice text) {
    return (struct slice){keep(book, text), text.bytes};
}

/* A link is a slice, aligned, and its text; so much room is enough for one. */
#define LINK_BYTES_MAX (CUSTOMER_TEXT_MAX + 2 * sizeof(struct slice))

static const struct slice *keep_link(struct book *book, struct slice text) {
    usize over = book->blocks->bytes % _Alignof(struct slice);
    if (over != 0) {
        book->blocks->bytes += _Alignof(struct slice) - over;
    }
    struct slice link = {NULL, text.bytes};
    char *at = keep(book, (struct slice){(const char *)&link, sizeof link});
    link.data = keep(book, text);
    memcpy(at, &link, sizeof link);
    return (const struct slice *)(void *)at;
}

#define CUSTOMER_BYTES_MAX (PARTS * CUSTOMER_TEXT_MAX + LINK_BYTES_MAX)

/* --- tables ----------------------------------------------------------------------------------- */

static u64 hash_text(struct slice text) {
    return hash64(text.bytes > 0 ? text.data : "", text.bytes, 0);
}

static struct slice part_of(const struct book_customer *customer, u32 part) {
    const char *at = customer->text;
    for (u32 i = 0; i < part; i++) {
        at += customer->bytes[i];
    }
    return (struct slice){at, customer->bytes[part]};
}

/* The chunk of a customer, and its place in it. */
static u32 chunk_of(u32 index, u32 *place) {
    u32 chunk = 31 - (u32)__builtin_clz(index / BOOK_CHUNK_FIRST + 1);
    *place = index - BOOK_CHUNK_FIRST * ((1u << chunk) - 1);
    return chunk;
}

static struct book_customer *customer_at(const struct book *book, u32 index) {
    u32 place;
    u32 chunk = chunk_of(index, &place);
    return &book->chunks[chunk][place];
}

const struct book_customer *book_at(const struct book *book, u32 index) {
    return customer_at(book, index);
}

static struct slice stripe_of(const struct book_customer *customer) {
    const struct slice *stripe = atomic_load_explicit(&customer->stripe, memory_order_acquire);
    return stripe != NULL ? *stripe : (struct slice){NULL, 0};
}

static struct slice key_of(const struct book *book, u32 index, bool stripe) {
    const struct book_customer *customer = book_at(book, index);
    return stripe ? stripe_of(customer) : part_of(customer, PART_ID);
}

static bool same_text(struct slice a, struct slice b) {
    return a.bytes == b.bytes && (a.bytes == 0 || memcmp(a.data, b.data, a.bytes) == 0);
}

static u32 table_find(const struct book *book, bool stripe, struct slice text) {
    const struct book_table *table =
        atomic_load_explicit(stripe ? &book->by_stripe : &book->by_id, memory_order_acquire);
    if (table == NULL) {
        return BOOK_NONE;
    }
    for (u32 place = (u32)hash_text(text);; place++) {
        u32 slot = atomic_load_explicit(&table->slots[place & table->mask], memory_order_acquire);
        if (slot == 0) {
            return BOOK_NONE;
        }
        if (same_text(key_of(book, slot - 1, stripe), text)) {
            return slot - 1;
        }
    }
}

static void table_put(struct book_table *table, struct slice text, u32 index) {
    u32 place = (u32)hash_text(text) & table->mask;
    while (atomic_load_explicit(&table->slots[place], memory_order_relaxed) != 0) {
        place = (place + 1) & table->mask;
    }
    atomic_store_explicit(&table->slots[place], index + 1, memory_order_release);
    table->count++;
}

/* Room for `more` keys. */
static bool table_reserve(struct book *book, bool stripe, u32 more) {
    _Atomic(struct book_table *) *place = stripe ? &book->by_stripe : &book->by_id;
    struct book_table *old = atomic_load_explicit(place, memory_order_relaxed);
    u64 wanted = ((old != NULL ? old->count : 0) + (u64)more) * 4 / 3 + 1;
    u64 slots = old != NULL ? (u64)old->mask + 1 : 0;
    if (slots >= wanted && old != NULL) {
        return true;
    }
    for (slots = MAX(slots * 2, (u64)TABLE_SLOTS_MIN); slots < wanted;) {
        slots *= 2;
    }
    struct book_table *table = held_take(calloc(1, sizeof *table + slots * sizeof table->slots[0]));
    if (table == NULL) {
        return false;
    }
    table->smaller = old;
    table->mask = (u32)(slots - 1);
    for (u64 i = 0; old != NULL && i <= old->mask; i++) {
        u32 slot = atomic_load_explicit(&old->slots[i], memory_order_relaxed);
        if (slot != 0) {
            table_put(table, key_of(book, slot - 1, stripe), slot - 1);
        }
    }
    atomic_store_explicit(place, table, memory_order_release);
    return true;
}

static void table_free(struct book_table *table) {
    while (table != NULL) {
        struct book_table *smaller = table->smaller;
        held_free(table);
        table = smaller;
    }
}

/* --- reading ---------------------------------------------------------------------------------- */

u32 book_count(const struct book *book) {
    return atomic_load_explicit(&book->count, memory_order_acquire);
}

u32 book_find(const struct book *book, struct slice id) {
    return table_find(book, false, id);
}

u32 book_find_stripe(const struct book *book, struct slice stripe) {
    return stripe.bytes == 0 ? BOOK_NONE : table_find(book, true, stripe);
}

struct slice book_id(const struct book *book, u32 index) {
    return part_of(book_at(book, index), PART_ID);
}

struct profile book_profile(const struct book *book, u32 index) {
    const struct book_customer *customer = book_at(book, index);
    u32 flags = atomic_load_explicit(&customer->flags, memory_order_relaxed);
    return (struct profile){
        .id = part_of(customer, PART_ID),
        .name = part_of(customer, PART_NAME),
        .email = part_of(customer, PART_EMAIL),
        .segment = part_of(customer, PART_SEGMENT),
        .stripe = stripe_of(customer),
        .source = (enum directory_source)customer->source,
        .internal_by = (enum internal_by)(flags >> FLAG_BY_SHIFT),
        .internal = (flags & FLAG_INTERNAL) != 0,
        .created_ms = customer->created_ms,
        .updated_ms = atomic_load_explicit(&customer->updated_ms, memory_order_relaxed),
    };
}

struct slice book_name(const struct book *book, struct slice id) {
    u32 index = book_find(book, id);
    struct slice name = {NULL, 0};
    if (index != BOOK_NONE) {
        name = part_of(book_at(book, index), PART_NAME);
    }
    return name.bytes > 0 ? name : id;
}

i128 book_mrr(const struct book *book, struct slice id) {
    u32 index = book_find(book, id);
    return index == BOOK_NONE ? 0 : book_at(book, index)->mrr;
}

/* --- changing --------------------------------------------------------------------------------- */

static u32 flags_of(bool internal, enum internal_by by) {
    return (u32)by << FLAG_BY_SHIFT | (internal ? FLAG_INTERNAL : 0);
}

enum err book_reserve(struct book *book) {
    u32 count = book_count(book);
    if (count == CUSTOMERS_MAX) {
        return ERR_LIMIT;
    }
    u32 place;
    u32 chunk = chunk_of(count, &place);
    if (book->chunks[chunk] == NULL) {
        book->chunks[chunk] =
            held_take(calloc((usize)BOOK_CHUNK_FIRST << chunk, sizeof(struct book_customer)));
    }
    bool enough = book->chunks[chunk] != NULL && table_reserve(book, false, 1) &&
                  table_reserve(book, true, 1) && reserve_bytes(book, CUSTOMER_BYTES_MAX);
    return enough ? ERR_OK : ERR_NO_MEMORY;
}

enum err book_add(struct book *book, const struct profile *profile) {
    const struct slice parts[PARTS] = {[PART_ID] = profile->id,
                                       [PART_NAME] = profile->name,
                                       [PART_EMAIL] = profile->email,
                                       [PART_SEGMENT] = profile->segment};
    enum err err = book_reserve(book);
    if (err != ERR_OK) {
        return err;
    }
    u32 index = book_count(book);
    struct book_customer *customer = customer_at(book, index);
    for (u32 i = 0; i < PARTS; i++) {
        check(parts[i].bytes <= CUSTOMER_TEXT_MAX);
        char *at = keep(book, parts[i]);
        customer->text = i == 0 ? at : customer->text;
        customer->bytes[i] = (u8)parts[i].bytes;
    }
    customer->first_subscription = BOOK_NONE;
    customer->created_ms = profile->created_ms;
    customer->source = profile->source;
    atomic_store_explicit(&customer->updated_ms, profile->updated_ms, memory_order_relaxed);
    atomic_store_explicit(&customer->flags, flags_of(profile->internal, profile->internal_by),
                          memory_order_relaxed);
    if (profile->stripe.bytes > 0) {
        check(profile->stripe.bytes <= CUSTOMER_TEXT_MAX);
        atomic_store_explicit(&customer->stripe, keep_link(book, profile->stripe),
                              memory_order_release);
    }
    table_put(atomic_load_explicit(&book->by_id, memory_order_relaxed), profile->id, index);
    if (profile->stripe.bytes > 0) {
        table_put(atomic_load_explicit(&book->by_stripe, memory_order_relaxed), profile->stripe,
                  index);
    }
    atomic_store_explicit(&book->count, index + 1, memory_order_release);
    return ERR_OK;
}

static struct book_customer *edit(struct book *book, u32 index) {
    check(index < book_count(book));
    return customer_at(book, index);
}

enum err book_set_stripe(struct book *book, u32 index, struct slice stripe, i64 now_ms) {
    struct book_customer *customer = edit(book, index);
    check(stripe.bytes > 0 && stripe.bytes <= CUSTOMER_TEXT_MAX);
    check(stripe_of(customer).bytes == 0);
    if (!table_reserve(book, true, 1) || !reserve_bytes(book, LINK_BYTES_MAX)) {
        return ERR_NO_MEMORY;
    }
    /* Whoever sees the link finds the customer by it. */
    table_put(atomic_load_explicit(&book->by_stripe, memory_order_relaxed), stripe, index);
    atomic_store_explicit(&customer->stripe, keep_link(book, stripe), memory_order_release);
    atomic_store_explicit(&customer->updated_ms, now_ms, memory_order_relaxed);
    return ERR_OK;
}

void book_set_internal(struct book *book, u32 index, bool internal, i64 now_ms) {
    struct book_customer *customer = edit(book, index);
    atomic_store_explicit(&customer->flags, flags_of(internal, INTERNAL_BY_HAND),
                          memory_order_relaxed);
    atomic_store_explicit(&customer->updated_ms, now_ms, memory_order_relaxed);
}

/* --- making ----------------------------------------------------------------------------------- */

static int compare_text(struct slice a, struct slice b) {
    usize bytes = MIN(a.bytes, b.bytes);
    int order = bytes > 0 ? memcmp(a.data, b.data, bytes) : 0;
    return order != 0 ? order : (a.bytes > b.bytes) - (a.bytes < b.bytes);
}

static int compare_profiles(const void *left, const void *right) {
    const struct profile *const *a = left;
    const struct profile *const *b = right;
    return compare_text((*a)->id, (*b)->id);
}

static int compare_sources(enum directory_source a, enum directory_source b) {
    return (a > b) - (a < b);
}

static int compare_product_ids(const void *left, const void *right) {
    const struct product *a = left;
    const struct product *b = right;
    int order = compare_sources(a->source, b->source);
    return order != 0 ? order : compare_text(a->id, b->id);
}

static int compare_prices(const void *left, const void *right) {
    const struct product *a = left;
    const struct product *b = right;
    int order = (a->price > b->price) - (a->price < b->price);
    order = order != 0 ? order : compare_text(a->id, b->id);
    return order != 0 ? order : compare_sources(a->source, b->source);
}

static int compare_subscription_ids(const void *left, const void *right) {
    const struct subscription *a = left;
    const struct subscription *b = right;
    int order = compare_sources(a->source, b->source);
    return order != 0 ? order : compare_text(a->id, b->id);
}

static int compare_newest(const void *left, const void *right) {
    const struct subscription *a = left;
    const struct subscription *b = right;
    int order = (a->created_ms < b->created_ms) - (a->created_ms > b->created_ms);
    order = order != 0 ? order : compare_text(a->id, b->id);
    return order != 0 ? order : compare_sources(a->source, b->source);
}

static enum err add_profiles(struct book *book, const struct profile *profiles, u32 count) {
    const struct profile **order = malloc((count + (usize)1) * sizeof *order);
    if (order == NULL || !table_reserve(book, false, count)) {
        free(order);
        return ERR_NO_MEMORY;
    }
    for (u32 i = 0; i < count; i++) {
        order[i] = &profiles[i];
    }
    if (count > 0) {
        qsort(order, count, sizeof *order, compare_profiles);
    }
    enum err err = ERR_OK;
    for (u32 i = 0; i < count && err == ERR_OK; i++) {
        bool twice = i > 0 && compare_profiles(&order[i - 1], &order[i]) == 0;
        err = twice ? ERR_INVALID : book_add(book, order[i]);
    }
    book->ordered = count;
    free(order);
    return err;
}

static enum err add_products(struct book *book, const struct product *products, u32 count) {
    usize bytes = 0;
    for (u32 i = 0; i < count; i++) {
        bytes += products[i].id.bytes + products[i].name.bytes + products[i].billing_model.bytes;
    }
    book->products = held_take(malloc((count + (usize)1) * sizeof *book->products));
    if (book->products == NULL || !reserve_bytes(book, bytes)) {
        return ERR_NO_MEMORY;
    }
    for (u32 i = 0; i < count; i++) {
        struct product *product = &book->products[i];
        *product = products[i];
        product->id = keep_slice(book, product->id);
        product->name = keep_slice(book, product->name);
        product->billing_model = keep_slice(book, product->billing_model);
    }
    book->product_count = count;
    if (count > 0) {
        qsort(book->products, count, sizeof *book->products, compare_product_ids);
    }
    for (u32 i = 1; i < count; i++) {
        if (compare_product_ids(&book->products[i - 1], &book->products[i]) == 0) {
            return ERR_INVALID;
        }
    }
    return ERR_OK;
}

/* While products are in the order of their ids. */
static const struct product *find_product(const struct book *book,
                                          const struct subscription *subscription) {
    const struct product wanted = {.source = subscription->source, .id = subscription->product_id};
    return book->product_count == 0 ? NULL
                                    : bsearch(&wanted, book->products, book->product_count,
                                              sizeof wanted, compare_product_ids);
}

static void keep_subscription(struct book *book, struct subscription *subscription) {
    const struct product *product = find_product(book, subscription);
    i64 by_price = product != NULL ? mrr_of_price(product->price, product->interval_months) : 0;
    subscription->mrr = subscription->has_override ? subscription->mrr_override : by_price;
    subscription->id = keep_slice(book, subscription->id);
    subscription->product_id =
        product != NULL ? product->id : keep_slice(book, subscription->product_id);
    subscription->pricing_model = keep_slice(book, subscription->pricing_model);
    subscription->product = BOOK_NONE;
    subscription->next = BOOK_NONE;
}

static enum err add_subscriptions(struct book *book, const struct subscription *subscriptions,
                                  u32 count) {
    usize bytes = 0;
    for (u32 i = 0; i < count; i++) {
        bytes += subscriptions[i].id.bytes + subscriptions[i].product_id.bytes +
                 subscriptions[i].pricing_model.bytes;
    }
    book->subscriptions = held_take(malloc((count + (usize)1) * sizeof *book->subscriptions));
    if (book->subscriptions == NULL || !reserve_bytes(book, bytes)) {
        return ERR_NO_MEMORY;
    }
    for (u32 i = 0; i < count; i++) {
        struct subscription *subscription = &book->subscriptions[i];
        *subscription = subscriptions[i];
        subscription->customer = book_find(book, subscription->customer_id);
        if (subscription->customer == BOOK_NONE) {
            return ERR_INVALID;
        }
        subscription->customer_id = book_id(book, subscription->customer);
        keep_subscription(book, subscription);
    }
    book->subscription_count = count;
    if (count > 0) {
        qsort(book->subscriptions, count, sizeof *book->subscriptions, compare_subscription_ids);
    }
    for (u32 i = 1; i < count; i++) {
        if (compare_subscription_ids(&book->subscriptions[i - 1], &book->subscriptions[i]) == 0) {
            return ERR_INVALID;
        }
    }
    return ERR_OK;
}

/* Products by price; each subscription learns where its own has come to lie. */
static enum err order_products(struct book *book) {
    u32 *place = malloc((book->product_count + (usize)1) * sizeof *place);
    struct product *by_id = malloc((book->product_count + (usize)1) * sizeof *by_id);
    enum err err = place == NULL || by_id == NULL ? ERR_NO_MEMORY : ERR_OK;
    if (err == ERR_OK && book->product_count > 0) {
        memcpy(by_id, book->products, book->product_count * sizeof *by_id);
        qsort(book->products, book->product_count, sizeof *book->products, compare_prices);
        for (u32 i = 0; i < book->product_count; i++) {
            const struct product *known = bsearch(&book->products[i], by_id, book->product_count,
                                                  sizeof *by_id, compare_product_ids);
            place[known - by_id] = i;
        }
        for (u32 i = 0; i < book->subscription_count; i++) {
            struct subscription *subscription = &book->subscriptions[i];
            const struct product wanted = {.source = subscription->source,
                                           .id = subscription->product_id};
            const struct product *known =
                bsearch(&wanted, by_id, book->product_count, sizeof *by_id, compare_product_ids);
            subscription->product = known != NULL ? place[known - by_id] : BOOK_NONE;
        }
    }
    free(place);
    free(by_id);
    return err;
}

/* Newest first, and likewise among those of each customer. */
static void link_subscriptions(struct book *book) {
    if (book->subscription_count > 0) {
        qsort(book->subscriptions, book->subscription_count, sizeof *book->subscriptions,
              compare_newest);
    }
    for (u32 i = book->subscription_count; i-- > 0;) {
        struct subscription *subscription = &book->subscriptions[i];
        struct book_customer *customer = edit(book, subscription->customer);
        subscription->next = customer->first_subscription;
        customer->first_subscription = i;
        if (subscription->active) {
            customer->mrr += subscription->mrr;
            book->mrr += subscription->mrr;
            book->active_count++;
        }
    }
}

enum err book_make(const struct profile *profiles, u32 profile_count,
                   const struct product *products, u32 product_count,
                   const struct subscription *subscriptions, u32 subscription_count,
                   struct book **out) {
    static _Atomic u64 stamps;
    if (profile_count > CUSTOMERS_MAX || product_count > PRODUCTS_MAX ||
        subscription_count > SUBSCRIPTIONS_MAX) {
        return ERR_LIMIT;
    }
    struct book *book = held_take(calloc(1, sizeof *book));
    if (book == NULL) {
        return ERR_NO_MEMORY;
    }
    book->stamp = atomic_fetch_add(&stamps, 1) + 1;
    enum err err = add_profiles(book, profiles, profile_count);
    if (err == ERR_OK) {
        err = add_products(book, products, product_count);
    }
    if (err == ERR_OK) {
        err = add_subscriptions(book, subscriptions, subscription_count);
    }
    if (err == ERR_OK) {
        err = order_products(book);
    }
    if (err != ERR_OK) {
        book_free(book);
        return err;
    }
    link_subscriptions(book);
    *out = book;
    return ERR_OK;
}

void book_free(struct book *book) {
    if (book == NULL) {
        return;
    }
    table_free(atomic_load_explicit(&book->by_id, memory_order_relaxed));
    table_free(atomic_load_explicit(&book->by_stripe, memory_order_relaxed));
    for (u32 i = 0; i < BOOK_CHUNKS && book->chunks[i] != NULL; i++) {
        held_free(book->chunks[i]);
    }
    while (book->blocks != NULL) {
        struct book_block *next = book->blocks->next;
        held_free(book->blocks);
        book->blocks = next;
    }
    held_free(book->products);
    held_free(book->subscriptions);
    held_free(book);
}
