/* directory_merge.c: see directory_merge.h. What is looked for among what a source says is found by
 * bisection in lists of pointers, sorted by id. */
#include "customer/directory_merge.h"

#include <stdlib.h>
#include <string.h>

#define TEXTS_BYTES (64 * KIB)
#define LIST_FIRST 64
#define TIME_END ((i64)1 << 46) /* ms; later ones cannot be written as a date */

struct directory_texts {
    struct directory_texts *next;
    usize bytes;
    char data[TEXTS_BYTES];
};

/* --- lists ------------------------------------------------------------------------------------ */

/* Makes room for one more. */
static enum err grow(void **list, u32 *capacity, u32 count, u32 count_max, usize bytes) {
    if (count == count_max) {
        return ERR_LIMIT;
    }
    if (count < *capacity) {
        return ERR_OK;
    }
    u32 larger = MAX(*capacity * 2, (u32)LIST_FIRST);
    void *grown = realloc(*list, larger * bytes);
    if (grown == NULL) {
        return ERR_NO_MEMORY;
    }
    *list = grown;
    *capacity = larger;
    return ERR_OK;
}

static enum err copy_text(struct directory_lists *lists, struct slice *text) {
    struct directory_texts *texts = lists->texts;
    if (text->bytes > TEXTS_BYTES) {
        return ERR_CORRUPT;
    }
    if (texts == NULL || texts->bytes + text->bytes > sizeof texts->data) {
        texts = malloc(sizeof *texts);
        if (texts == NULL) {
            return ERR_NO_MEMORY;
        }
        texts->next = lists->texts;
        texts->bytes = 0;
        lists->texts = texts;
    }
    char *at = texts->data + texts->bytes;
    if (text->bytes > 0) {
        memcpy(at, text->data, text->bytes);
    }
    texts->bytes += text->bytes;
    text->data = at;
    return ERR_OK;
}

static enum err copy_texts(struct directory_lists *lists, struct slice *const *texts, u32 count) {
    enum err err = ERR_OK;
    for (u32 i = 0; i < count && err == ERR_OK; i++) {
        err = copy_text(lists, texts[i]);
    }
    return err;
}

enum err directory_lists_profile(struct directory_lists *lists, const struct profile *profile,
                                 bool copied) {
    u32 capacity = lists->profile_capacity;
    void *grown = lists->is_changed;
    enum err err =
        grow(&grown, &capacity, lists->profile_count, CUSTOMERS_MAX, sizeof *lists->is_changed);
    lists->is_changed = grown;
    if (err == ERR_OK) {
        grown = lists->profiles;
        err = grow(&grown, &lists->profile_capacity, lists->profile_count, CUSTOMERS_MAX,
                   sizeof *lists->profiles);
        lists->profiles = grown;
    }
    if (err != ERR_OK) {
        return err;
    }
    struct profile *added = &lists->profiles[lists->profile_count];
    lists->is_changed[lists->profile_count++] = false;
    *added = *profile;
    struct slice *const texts[] = {&added->id, &added->name, &added->email, &added->segment,
                                   &added->stripe};
    return copied ? copy_texts(lists, texts, ARRAY_COUNT(texts)) : ERR_OK;
}

enum err directory_lists_product(struct directory_lists *lists, const struct product *product,
                                 bool copied) {
    void *grown = lists->products;
    enum err err = grow(&grown, &lists->product_capacity, lists->product_count, PRODUCTS_MAX,
                        sizeof *lists->products);
    lists->products = grown;
    if (err != ERR_OK) {
        return err;
    }
    struct product *added = &lists->products[lists->product_count++];
    *added = *product;
    struct slice *const texts[] = {&added->id, &added->name, &added->billing_model};
    return copied ? copy_texts(lists, texts, ARRAY_COUNT(texts)) : ERR_OK;
}

enum err directory_lists_subscription(struct directory_lists *lists,
                                      const struct subscription *subscription, bool copied) {
    void *grown = lists->subscriptions;
    enum err err = grow(&grown, &lists->subscription_capacity, lists->subscription_count,
                        SUBSCRIPTIONS_MAX, sizeof *lists->subscriptions);
    lists->subscriptions = grown;
    if (err != ERR_OK) {
        return err;
    }
    struct subscription *added = &lists->subscriptions[lists->subscription_count++];
    *added = *subscription;
    struct slice *const texts[] = {&added->id, &added->customer_id, &added->product_id,
                                   &added->pricing_model};
    return copied ? copy_texts(lists, texts, ARRAY_COUNT(texts)) : ERR_OK;
}

static enum err add_gone(struct directory_lists *lists, struct slice id) {
    void *grown = lists->gone;
    enum err err =
        grow(&grown, &lists->gone_capacity, lists->gone_count, CUSTOMERS_MAX, sizeof *lists->gone);
    lists->gone = grown;
    if (err == ERR_OK) {
        lists->gone[lists->gone_count++] = id;
    }
    return err;
}

enum err directory_lists_book(const struct directory_lists *lists, struct book **out) {
    return book_make(lists->profiles, lists->profile_count, lists->products, lists->product_count,
                     lists->subscriptions, lists->subscription_count, out);
}

void directory_lists_free(struct directory_lists *lists) {
    while (lists->texts != NULL) {
        struct directory_texts *next = lists->texts->next;
        free(lists->texts);
        lists->texts = next;
    }
    free(lists->profiles);
    free(lists->is_changed);
    free(lists->products);
    free(lists->subscriptions);
    free(lists->gone);
    *lists = (struct directory_lists){.profiles = NULL};
}

/* --- what may be said ------------------------------------------------------------------------- */

static bool is_id(struct slice text) {
    return text.bytes > 0 && text.bytes <= CUSTOMER_TEXT_MAX;
}

static bool fits(struct slice text) {
    return text.bytes <= CUSTOMER_TEXT_MAX;
}

static bool is_amount(i64 amount) {
    return amount >= 0 && amount <= EVENT_MONEY_MAX;
}

static bool is_time(i64 time_ms) {
    return time_ms >= 0 && time_ms < TIME_END;
}

static bool profile_is_valid(const struct profile *profile) {
    return is_id(profile->id) && fits(profile->name) && fits(profile->email) &&
           fits(profile->segment) && fits(profile->stripe) && is_time(profile->created_ms) &&
           is_time(profile->updated_ms) && profile->internal_by <= INTERNAL_BY_HAND;
}

static bool product_is_valid(const struct product *product) {
    return is_id(product->id) && fits(product->name) && fits(product->billing_model) &&
           is_amount(product->price) && product->interval_months > 0;
}

static bool subscription_is_valid(const struct subscription *subscription) {
    return is_id(subscription->id) && is_id(subscription->customer_id) &&
           fits(subscription->product_id) && fits(subscription->pricing_model) &&
           is_amount(subscription->unit_price) && is_amount(subscription->mrr_override) &&
           is_time(subscription->created_ms) && is_time(subscription->period_start_ms) &&
           is_time(subscription->period_end_ms);
}

static bool set_is_valid(const struct directory_set *set) {
    bool good = true;
    for (u32 i = 0; i < set->profile_count && good; i++) {
        good = profile_is_valid(&set->profiles[i]);
    }
    for (u32 i = 0; i < set->product_count && good; i++) {
        good = product_is_valid(&set->products[i]);
    }
    for (u32 i = 0; i < set->subscription_count && good; i++) {
        good = subscription_is_valid(&set->subscriptions[i]);
    }
    return good;
}

/* --- merging ---------------------------------------------------------------------------------- */

struct merge {
    struct directory_lists *lists;
    struct agg *agg;
    u32 account;
    const struct book *old;
    const struct directory_set *set;
    i64 now_ms;
    struct slice *named; /* ids of all customers that the set says something of, in order */
    u32 named_count;
    const struct subscription **before; /* the source's subscriptions, by id */
    u32 before_count;
};

static int compare_text(struct slice a, struct slice b) {
    usize bytes = MIN(a.bytes, b.bytes);
    int order = bytes > 0 ? memcmp(a.data, b.data, bytes) : 0;
    return order != 0 ? order : (a.bytes > b.bytes) - (a.bytes < b.bytes);
}

static int compare_ids(const void *left, const void *right) {
    const struct slice *a = left;
    const struct slice *b = right;
    return compare_text(*a, *b);
}

static int compare_subscriptions(const void *left, const void *right) {
    const struct subscription *const *a = left;
    const struct subscription *const *b = right;
    return compare_text((*a)->id, (*b)->id);
}

static bool is_named(const struct merge *merge, struct slice id) {
    return merge->named_count > 0 &&
           bsearch(&id, merge->named, merge->named_count, sizeof id, compare_ids) != NULL;
}

static i64 created_of(const struct merge *merge, struct slice id) {
    i64 first_ms = merge->agg != NULL ? agg_customer_created(merge->agg, merge->account, id) : 0;
    return first_ms != 0 ? first_ms : merge->now_ms;
}

static enum err add_changed(struct merge *merge, const struct profile *profile) {
    enum err err = directory_lists_profile(merge->lists, profile, false);
    if (err == ERR_OK) {
        merge->lists->is_changed[merge->lists->profile_count - 1] = true;
    }
    return err;
}

/* A customer as the source says it, completed by what was known. */
static enum err add_said(struct merge *merge, const struct profile *said) {
    struct profile profile = *said;
    u32 index = book_find(merge->old, said->id);
    profile.source = merge->set->source;
    if (said->internal_by == INTERNAL_BY_ID) {
        profile.internal = customer_is_internal(said->id);
    }
    if (index != BOOK_NONE) {
        struct profile known = book_profile(merge->old, index);
        if (said->internal_by == INTERNAL_BY_ID && known.internal_by == INTERNAL_BY_HAND) {
            profile.internal = known.internal;
            profile.internal_by = INTERNAL_BY_HAND;
        }
        profile.stripe = said->stripe.bytes > 0 ? said->stripe : known.stripe;
        profile.created_ms = said->created_ms != 0 ? said->created_ms : known.created_ms;
    } else if (said->created_ms == 0) {
        profile.created_ms = created_of(merge, said->id);
    }
    profile.updated_ms = said->updated_ms != 0 ? said->updated_ms : merge->now_ms;
    return add_changed(merge, &profile);
}

/* Whether there are other reasons to know a customer than what the source said of it. */
static bool is_needed(const struct merge *merge, u32 index) {
    struct profile profile = book_profile(merge->old, index);
    bool needed = profile.internal_by == INTERNAL_BY_HAND || profile.stripe.bytes > 0;
    u32 at = book_at(merge->old, index)->first_subscription;
    for (; at != BOOK_NONE && !needed; at = merge->old->subscriptions[at].next) {
        needed = merge->old->subscriptions[at].source != merge->set->source;
    }
    return needed;
}

/* A customer of which the source says nothing now. */
static enum err add_unsaid(struct merge *merge, u32 index) {
    struct profile profile = book_profile(merge->old, index);
    if (profile.source != merge->set->source || merge->set->keeps_customers) {
        return directory_lists_profile(merge->lists, &profile, false);
    }
    if (!is_needed(merge, index)) {
        return add_gone(merge->lists, profile.id);
    }
    const struct slice none = {NULL, 0};
    profile.source = DIRECTORY_NONE;
    profile.name = profile.email = profile.segment = none;
    if (profile.internal_by == INTERNAL_BY_SOURCE) {
        profile.internal_by = INTERNAL_BY_ID;
        profile.internal = customer_is_internal(profile.id);
    }
    profile.updated_ms = merge->now_ms;
    return add_changed(merge, &profile);
}

static enum err merge_profiles(struct merge *merge) {
    const struct directory_set *set = merge->set;
    enum err err = ERR_OK;
    for (u32 i = 0; i < set->profile_count && err == ERR_OK; i++) {
        err = add_said(merge, &set->profiles[i]);
    }
    u32 count = book_count(merge->old);
    for (u32 i = 0; i < count && err == ERR_OK; i++) {
        if (!is_named(merge, book_id(merge->old, i))) {
            err = add_unsaid(merge, i);
        }
    }
    return err;
}

/* Those that the set has profiles of are first; then those that only its subscriptions name are
 * added, each once: as they were, or with nothing but an id. */
static enum err name_customers(struct merge *merge) {
    const struct directory_set *set = merge->set;
    usize most = (usize)set->profile_count + set->subscription_count;
    struct slice *only = malloc((set->subscription_count + (usize)1) * sizeof *only);
    merge->named = malloc((most + 1) * sizeof *merge->named);
    u32 count = 0;
    enum err err = only == NULL || merge->named == NULL ? ERR_NO_MEMORY : ERR_OK;
    for (u32 i = 0; i < set->profile_count && err == ERR_OK; i++) {
        merge->named[merge->named_count++] = set->profiles[i].id;
    }
    if (merge->named_count > 0) {
        qsort(merge->named, merge->named_count, sizeof *merge->named, compare_ids);
    }
    for (u32 i = 0; i < set->subscription_count && err == ERR_OK; i++) {
        if (!is_named(merge, set->subscriptions[i].customer_id)) {
            only[count++] = set->subscriptions[i].customer_id;
        }
    }
    if (count > 0) {
        qsort(only, count, sizeof *only, compare_ids);
    }
    for (u32 i = 0; i < count && err == ERR_OK; i++) {
        u32 index = book_find(merge->old, only[i]);
        if (i > 0 && compare_ids(&only[i - 1], &only[i]) == 0) {
            continue;
        }
        struct profile known =
            index != BOOK_NONE ? book_profile(merge->old, index) : (struct profile){.id = only[i]};
        bool stays = index != BOOK_NONE && (set->keeps_customers || known.source != set->source);
        merge->named[merge->named_count++] = only[i];
        err = stays ? directory_lists_profile(merge->lists, &known, false)
                    : add_said(merge, &(struct profile){.id = only[i]});
    }
    if (merge->named_count > 0) {
        qsort(merge->named, merge->named_count, sizeof *merge->named, compare_ids);
    }
    free(only);
    return err;
}

static enum err merge_products(struct merge *merge) {
    enum err err = ERR_OK;
    for (u32 i = 0; i < merge->old->product_count && err == ERR_OK; i++) {
        if (merge->old->products[i].source != merge->set->source) {
            err = directory_lists_product(merge->lists, &merge->old->products[i], false);
        }
    }
    for (u32 i = 0; i < merge->set->product_count && err == ERR_OK; i++) {
        struct product product = merge->set->products[i];
        product.source = merge->set->source;
        err = directory_lists_product(merge->lists, &product, false);
    }
    return err;
}

static enum err add_subscription(struct merge *merge, const struct subscription *said) {
    struct subscription subscription = *said;
    const struct subscription *const *known =
        merge->before_count == 0 ? NULL
                                 : bsearch(&said, merge->before, merge->before_count,
                                           sizeof *merge->before, compare_subscriptions);
    subscription.source = merge->set->source;
    if (said->created_ms == 0) {
        subscription.created_ms = known != NULL ? (*known)->created_ms : merge->now_ms;
    }
    return directory_lists_subscription(merge->lists, &subscription, false);
}

static enum err merge_subscriptions(struct merge *merge) {
    const struct book *old = merge->old;
    merge->before = malloc((old->subscription_count + (usize)1) * sizeof *merge->before);
    enum err err = merge->before == NULL ? ERR_NO_MEMORY : ERR_OK;
    for (u32 i = 0; i < old->subscription_count && err == ERR_OK; i++) {
        if (old->subscriptions[i].source == merge->set->source) {
            merge->before[merge->before_count++] = &old->subscriptions[i];
        } else {
            err = directory_lists_subscription(merge->lists, &old->subscriptions[i], false);
        }
    }
    if (merge->before_count > 0) {
        qsort(merge->before, merge->before_count, sizeof *merge->before, compare_subscriptions);
    }
    for (u32 i = 0; i < merge->set->subscription_count && err == ERR_OK; i++) {
        err = add_subscription(merge, &merge->set->subscriptions[i]);
    }
    return err;
}

enum err directory_merge(struct directory_lists *lists, struct agg *agg, u32 account,
                         const struct book *old, const struct directory_set *set, i64 now_ms) {
    struct merge merge = {
        .lists = lists, .agg = agg, .account = account, .old = old, .set = set, .now_ms = now_ms};
    if (!set_is_valid(set)) {
        return ERR_INVALID;
    }
    enum err err = name_customers(&merge);
    if (err == ERR_OK) {
        err = merge_profiles(&merge);
    }
    if (err == ERR_OK) {
        err = merge_products(&merge);
    }
    if (err == ERR_OK) {
        err = merge_subscriptions(&merge);
    }
    free(merge.named);
    free(merge.before);
    return err;
}
