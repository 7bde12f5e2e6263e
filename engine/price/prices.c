/*
 * prices.c: views and how they end. The newest view is behind an atomic pointer, by which holders
 * of a view see that it is no longer the newest; references are counted under a lock. A holder
 * compares addresses only while it holds its view, so no address it compares can be that of
 * another view by accident.
 */
#include "price/prices.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct shared_table {
    struct price_table *table;
    u32 references; /* views */
};

struct account_book {
    u32 account;
    struct price_book *book;
};

struct price_view {
    struct shared_table *table;
    u64 version;
    u32 references;
    u32 count;
    struct account_book books[]; /* ascending accounts */
};

struct prices {
    pthread_mutex_t lock;    /* over all references and the change of `current` */
    pthread_mutex_t changes; /* from a plan to its end; taken before `lock` */
    _Atomic(struct price_view *) current;
};

/* --- views ----------------------------------------------------------------------------------- */

/* With the lock. What no view needs any more goes with the last one. */
static void drop(struct price_view *view) {
    if (--view->references > 0) {
        return;
    }
    for (u32 i = 0; i < view->count; i++) {
        if (--view->books[i].book->references == 0) {
            price_book_free(view->books[i].book);
        }
    }
    if (--view->table->references == 0) {
        price_table_free(view->table->table);
        free(view->table);
    }
    free(view);
}

static struct price_view *view_make(u32 books_max) {
    static _Atomic u64 versions;
    struct price_view *view = malloc(sizeof *view + books_max * sizeof view->books[0]);
    if (view != NULL) {
        *view = (struct price_view){.version = atomic_fetch_add(&versions, 1) + 1, .references = 1};
    }
    return view;
}

static void view_add(struct price_view *view, u32 account, struct price_book *book) {
    view->books[view->count++] = (struct account_book){account, book};
    book->references++;
}

/* With the lock. */
static void view_use(struct price_view *view, struct shared_table *table) {
    view->table = table;
    table->references++;
}

static struct shared_table *share(struct price_table *table) {
    struct shared_table *shared = calloc(1, sizeof *shared);
    if (shared == NULL) {
        price_table_free(table);
        return NULL;
    }
    shared->table = table;
    return shared;
}

enum err prices_create(struct price_table *table, struct prices **out) {
    struct shared_table *shared = share(table);
    struct prices *prices = calloc(1, sizeof *prices);
    struct price_view *view = view_make(0);
    if (shared == NULL || prices == NULL || view == NULL) {
        if (shared != NULL) {
            price_table_free(table);
        }
        free(shared);
        free(prices);
        free(view);
        return ERR_NO_MEMORY;
    }
    pthread_mutex_init(&prices->lock, NULL);
    pthread_mutex_init(&prices->changes, NULL);
    view_use(view, shared);
    atomic_store(&prices->current, view);
    *out = prices;
    return ERR_OK;
}

void prices_destroy(struct prices *prices) {
    if (prices == NULL) {
        return;
    }
    struct price_view *view = atomic_load(&prices->current);
    check(view->references == 1);
    drop(view);
    pthread_mutex_destroy(&prices->changes);
    pthread_mutex_destroy(&prices->lock);
    free(prices);
}

const struct price_view *prices_acquire(struct prices *prices) {
    pthread_mutex_lock(&prices->lock);
    struct price_view *view = atomic_load_explicit(&prices->current, memory_order_relaxed);
    view->references++;
    pthread_mutex_unlock(&prices->lock);
    return view;
}

void prices_release(struct prices *prices, const struct price_view *view) {
    if (view != NULL) {
        pthread_mutex_lock(&prices->lock);
        drop((struct price_view *)view);
        pthread_mutex_unlock(&prices->lock);
    }
}

bool prices_is_current(const struct prices *prices, const struct price_view *view) {
    return atomic_load_explicit(&prices->current, memory_order_acquire) == view;
}

u64 prices_version(struct prices *prices) {
    const struct price_view *view = prices_acquire(prices);
    u64 version = view->version;
    prices_release(prices, view);
    return version;
}

const struct price_table *price_view_table(const struct price_view *view) {
    return view->table->table;
}

const struct price_book *price_view_book(const struct price_view *view, u32 account) {
    u32 low = 0;
    u32 high = view->count;
    while (low < high) {
        u32 middle = low + (high - low) / 2;
        if (view->books[middle].account == account) {
            return view->books[middle].book;
        }
        if (view->books[middle].account < account) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

/* --- changes --------------------------------------------------------------------------------- */

static struct price_view *newest(struct prices *prices) {
    return atomic_load_explicit(&prices->current, memory_order_relaxed);
}

enum err prices_plan_table(struct prices *prices, struct price_table *table,
                           struct price_plan *plan) {
    struct shared_table *shared = share(table);
    if (shared == NULL) {
        return ERR_NO_MEMORY;
    }
    pthread_mutex_lock(&prices->changes);
    const struct price_view *old = newest(prices);
    plan->view = view_make(old->count);
    if (plan->view == NULL) {
        pthread_mutex_unlock(&prices->changes);
        price_table_free(table);
        free(shared);
        return ERR_NO_MEMORY;
    }
    pthread_mutex_lock(&prices->lock);
    for (u32 i = 0; i < old->count; i++) {
        view_add(plan->view, old->books[i].account, old->books[i].book);
    }
    view_use(plan->view, shared);
    pthread_mutex_unlock(&prices->lock);
    return ERR_OK;
}

/* The old view's books with one exchanged, added or left out. */
static void copy_books(struct price_view *view, const struct price_view *old, u32 account,
                       struct price_book *book) {
    u32 at = 0;
    for (; at < old->count && old->books[at].account < account; at++) {
        view_add(view, old->books[at].account, old->books[at].book);
    }
    if (book != NULL) {
        view_add(view, account, book);
    }
    at += at < old->count && old->books[at].account == account;
    for (; at < old->count; at++) {
        view_add(view, old->books[at].account, old->books[at].book);
    }
}

enum err prices_plan_book(struct prices *prices, u32 account, struct price_book *book,
                          struct price_plan *plan) {
    pthread_mutex_lock(&prices->changes);
    const struct price_view *old = newest(prices);
    plan->view = view_make(old->count + 1);
    if (plan->view == NULL) {
        pthread_mutex_unlock(&prices->changes);
        price_book_free(book);
        return ERR_NO_MEMORY;
    }
    pthread_mutex_lock(&prices->lock);
    copy_books(plan->view, old, account, book);
    view_use(plan->view, old->table);
    pthread_mutex_unlock(&prices->lock);
    return ERR_OK;
}

void prices_finish(struct prices *prices, struct price_plan *plan, bool in_force) {
    pthread_mutex_lock(&prices->lock);
    struct price_view *given_up = plan->view;
    if (in_force) {
        given_up = newest(prices);
        atomic_store_explicit(&prices->current, plan->view, memory_order_release);
    }
    drop(given_up);
    pthread_mutex_unlock(&prices->lock);
    pthread_mutex_unlock(&prices->changes);
    plan->view = NULL;
}

enum err prices_set_table(struct prices *prices, struct price_table *table) {
    struct price_plan plan;
    enum err err = prices_plan_table(prices, table, &plan);
    if (err == ERR_OK) {
        prices_finish(prices, &plan, true);
    }
    return err;
}

enum err prices_set_book(struct prices *prices, u32 account, struct price_book *book) {
    struct price_plan plan;
    enum err err = prices_plan_book(prices, account, book, &plan);
    if (err == ERR_OK) {
        prices_finish(prices, &plan, true);
    }
    return err;
}

/* --- look-ups -------------------------------------------------------------------------------- */

struct price_listing price_book_listing(const struct price_book *book, u32 model) {
    const struct model_price *price = &book->models[model];
    return (struct price_listing){
        .provider = price->provider,
        .model = price->model,
        .input = price->input * 1000000,
        .output = price->output * 1000000,
        .cached_input = price->cached < 0 ? -1 : price->cached * 1000000,
        .cache_write = price->cache_write < 0 ? -1 : price->cache_write * 1000000,
    };
}

bool prices_quote(struct prices *prices, u32 account, struct slice provider, struct slice model,
                  struct price_quote *quote) {
    const struct price_view *view = prices_acquire(prices);
    const struct price_table *table = price_view_table(view);
    const struct price_book *book = price_view_book(view, account);
    u32 own = book == NULL ? PRICE_NONE : prices_find_own(table, book, provider, model);
    u32 listed = own == PRICE_NONE ? price_find(table, provider, model) : PRICE_NONE;
    struct price_listing price = {.input = -1, .output = -1, .cached_input = -1, .cache_write = -1};
    if (own != PRICE_NONE) {
        price = price_book_listing(book, own);
    } else if (listed != PRICE_NONE) {
        price = price_list(table, listed);
    }
    prices_release(prices, view);
    *quote = (struct price_quote){price.input, price.output, price.cached_input, price.cache_write,
                                  own != PRICE_NONE};
    return own != PRICE_NONE || listed != PRICE_NONE;
}
