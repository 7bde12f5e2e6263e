/* links.c: see links.h. */
#include "pipeline/links.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/record.h"
#include "event/fields.h"

#define ROUND_MAX 64               /* links made in one call: the background has other work */
#define CURSOR_EVENTS 1000000      /* how far the cursor may stay behind */
#define CURSOR_WAIT_MS ((i64)5000) /* by then every front thread has handed on what it has */
#define TAG_CURSOR 1

struct link {
    struct link *next;
    u64 id; /* of the event */
    u32 account;
    u16 customer_bytes;
    u16 stripe_bytes;
    char text[EVENT_CUSTOMER_MAX + META_LINK_MAX]; /* one behind the other */
};

struct links {
    struct directory *directory;
    struct control *control;
    struct store *store;

    pthread_mutex_t lock; /* over the next three */
    struct link *waiting; /* newest id first, mostly */
    u32 count;
    u64 left; /* for want of room */

    /* The background thread's. */
    bool caught_up;
    enum err err;         /* of the last link */
    struct link *in_hand; /* oldest id first */
    u64 cursor;           /* links of events before it are made */
    u64 candidate;        /* will be the cursor if nothing waits until then */
    i64 candidate_ms;
};

/* --- noting ------------------------------------------------------------------------------------
 */

static bool any_flag(const struct event_batch *batch) {
    u64 any = 0;
    u32 at = 0;
    for (; at + 8 <= batch->count; at += 8) {
        u64 word;
        memcpy(&word, batch->flags + at, sizeof word);
        any |= word;
    }
    for (; at < batch->count; at++) {
        any |= batch->flags[at];
    }
    return (any & (0x0101010101010101u * EVENT_FLAG_LINK)) != 0;
}

static bool is_flagged(const struct event_batch *batch, u32 row) {
    return (batch->flags[row] & EVENT_FLAG_LINK) != 0 && event_has_text(batch, row, TEXT_META);
}

/* False: no room for it now. */
static bool add(struct links *links, u64 id, u32 account, struct slice customer,
                struct slice stripe) {
    struct link *link = malloc(sizeof *link);
    if (link == NULL) {
        return false;
    }
    *link = (struct link){.id = id,
                          .account = account,
                          .customer_bytes = (u16)customer.bytes,
                          .stripe_bytes = (u16)stripe.bytes};
    memcpy(link->text, customer.data, customer.bytes);
    memcpy(link->text + customer.bytes, stripe.data, stripe.bytes);
    pthread_mutex_lock(&links->lock);
    bool room = links->count < LINKS_WAITING_MAX;
    if (room) {
        link->next = links->waiting;
        links->waiting = link;
        links->count++;
    }
    links->left += !room;
    pthread_mutex_unlock(&links->lock);
    if (!room) {
        free(link);
    }
    return room;
}

void links_count(struct links *links, u64 *waiting, u64 *left) {
    pthread_mutex_lock(&links->lock);
    *waiting = links->count;
    *left = links->left;
    pthread_mutex_unlock(&links->lock);
}

static void note_row(struct links *links, struct links_seen *seen, const struct event_batch *batch,
                     u32 row, u64 id) {
    char text[META_LINK_MAX];
    struct slice stripe = {text, meta_link(event_text_of(batch, row, TEXT_META), text)};
    struct slice customer = event_text_of(batch, row, TEXT_CUSTOMER);
    if (stripe.bytes == 0 || customer.bytes == 0 || customer.bytes > EVENT_CUSTOMER_MAX) {
        return;
    }
    u64 hash = hash64(customer.data, customer.bytes, batch->account);
    hash = hash64(stripe.data, stripe.bytes, hash) | 1;
    u64 *slot = &seen->hash[hash / 2 % LINKS_SEEN];
    if (*slot != hash && add(links, id, batch->account, customer, stripe)) {
        *slot = hash;
    }
}

void links_note(struct links *links, struct links_seen *seen, const struct event_batch *batch,
                const u32 *rows, u32 count, u64 first_id) {
    if (likely(!any_flag(batch))) {
        return;
    }
    for (u32 i = 0; i < count; i++) {
        if (is_flagged(batch, rows[i])) {
            note_row(links, seen, batch, rows[i], first_id + i);
        }
    }
}

/* --- linking -----------------------------------------------------------------------------------
 */

/* Nobody would gain by asking: one of the two has a link. */
static bool is_linked(struct links *links, u32 account, struct slice customer,
                      struct slice stripe) {
    const struct book *book = directory_acquire(links->directory, account);
    u32 index = book_find(book, customer);
    bool linked = book_find_stripe(book, stripe) != BOOK_NONE ||
                  (index != BOOK_NONE && book_profile(book, index).stripe.bytes > 0);
    directory_release(links->directory, book);
    return linked;
}

/* ERR_OK also where there is nothing to link. Other errors: it may be tried again. */
static enum err link_one(struct links *links, struct agg *agg, u32 account, struct slice customer,
                         struct slice stripe) {
    if (is_linked(links, account, customer, stripe)) {
        return ERR_OK;
    }
    enum err err =
        directory_link(links->directory, agg, account, customer, stripe, clock_wall_ms());
    if (err == ERR_EXISTS || err == ERR_INVALID) {
        return ERR_OK;
    }
    if (err != ERR_OK && err != links->err) { /* said once */
        log_warn("link_failed", "account=%u reason=%s", account, err_text(err));
    }
    links->err = err;
    return err == ERR_LIMIT ? ERR_OK : err; /* an account full of customers stays so */
}

static int compare(const struct link *a, const struct link *b) {
    return (a->id > b->id) - (a->id < b->id);
}

/* Merge sort: a list has no places. */
static struct link *sort(struct link *list) {
    if (list == NULL || list->next == NULL) {
        return list;
    }
    struct link *middle = list;
    for (struct link *end = list->next; end != NULL && end->next != NULL; end = end->next->next) {
        middle = middle->next;
    }
    struct link *right = sort(middle->next);
    middle->next = NULL;
    struct link *left = sort(list);
    struct link *sorted = NULL;
    struct link **to = &sorted;
    while (left != NULL && right != NULL) {
        struct link **least = compare(left, right) <= 0 ? &left : &right;
        *to = *least;
        to = &(*to)->next;
        *least = *to;
    }
    *to = left != NULL ? left : right;
    return sorted;
}

static void take_waiting(struct links *links) {
    pthread_mutex_lock(&links->lock);
    struct link *waiting = links->waiting;
    links->waiting = NULL;
    links->count = 0;
    pthread_mutex_unlock(&links->lock);
    links->in_hand = sort(waiting);
}

/* --- the cursor --------------------------------------------------------------------------------
 */

static const struct control_object cursor_object = {.kind = CONTROL_LINK_CURSOR};

static enum err write_cursor(struct links *links, u64 cursor) {
    char memory[64];
    struct slice record;
    struct record_writer writer = record_writer(memory, sizeof memory);
    record_put_number(&writer, TAG_CURSOR, (i64)cursor);
    enum err err = record_end(&writer, &record);
    if (err == ERR_OK) {
        err = control_put(links->control, &cursor_object, record);
    }
    if (err == ERR_OK) {
        links->cursor = cursor;
    }
    return err;
}

/* A directory without one is new, or older than links: its events have no flags. So it is written
 * before the first event can come. */
static enum err read_cursor(struct links *links) {
    char memory[64];
    usize bytes = sizeof memory;
    enum err err = control_get(links->control, &cursor_object, memory, &bytes);
    if (err == ERR_NOT_FOUND) {
        return write_cursor(links, store_next_id(links->store));
    }
    if (err != ERR_OK) {
        return err;
    }
    struct record_reader reader = record_reader((struct slice){memory, bytes});
    struct record_field field;
    while (record_next(&reader, &field)) {
        links->cursor = field.tag == TAG_CURSOR ? (u64)field.number : links->cursor;
    }
    return reader.err;
}

static void free_list(struct link *link) {
    while (link != NULL) {
        struct link *next = link->next;
        free(link);
        link = next;
    }
}

void links_destroy(struct links *links) {
    if (links != NULL) {
        free_list(links->waiting);
        free_list(links->in_hand);
        pthread_mutex_destroy(&links->lock);
        free(links);
    }
}

enum err links_create(struct directory *directory, struct control *control, struct store *store,
                      struct links **out) {
    struct links *links = calloc(1, sizeof *links);
    if (links == NULL) {
        return ERR_NO_MEMORY;
    }
    links->directory = directory;
    links->control = control;
    links->store = store;
    check(pthread_mutex_init(&links->lock, NULL) == 0);
    enum err err = read_cursor(links);
    if (err != ERR_OK) {
        links_destroy(links);
        return err;
    }
    *out = links;
    return ERR_OK;
}

/* Once so much time has passed without anything waiting, all before the candidate is done. */
static void move_cursor(struct links *links) {
    u64 next_id = store_next_id(links->store);
    i64 now_ms = (i64)(clock_monotonic_ns() / 1000000);
    if (links->candidate == 0 && next_id - links->cursor >= CURSOR_EVENTS) {
        links->candidate = next_id;
        links->candidate_ms = now_ms;
    } else if (links->candidate != 0 && now_ms - links->candidate_ms >= CURSOR_WAIT_MS) {
        write_cursor(links, links->candidate); /* or else later */
        links->candidate = 0;
    }
}

/* --- after a start -----------------------------------------------------------------------------
 */

static enum err look_at(struct links *links, struct agg *agg, const struct event_batch *batch) {
    enum err err = ERR_OK;
    for (u32 row = 0; row < batch->count && err == ERR_OK; row++) {
        if (!is_flagged(batch, row)) {
            continue;
        }
        char text[META_LINK_MAX];
        const u32 *dims = agg_series_dims(agg, batch->series[row]);
        struct slice stripe = {text, meta_link(event_text_of(batch, row, TEXT_META), text)};
        if (stripe.bytes > 0 && dims[DIM_CUSTOMER] != DIM_NONE) {
            struct slice customer = agg_value_text(agg, DIM_CUSTOMER, dims[DIM_CUSTOMER]);
            err = link_one(links, agg, dims[DIM_ACCOUNT], customer, stripe);
        }
    }
    return err;
}

static enum err catch_up(struct links *links, struct agg *agg) {
    u64 end = store_next_id(links->store);
    if (links->cursor >= end) {
        return ERR_OK;
    }
    struct store_scan_options options = {.filter = store_filter_all,
                                         .columns = TEXT_BIT(TEXT_META)};
    options.filter.id_from = links->cursor;
    options.filter.id_to = end;
    struct store_scan *scan;
    enum err err = store_scan_open(links->store, &options, &scan);
    if (err != ERR_OK) {
        return err;
    }
    const struct event_batch *batch = NULL;
    do {
        const struct series_def *defs;
        u32 def_count;
        struct store_damage damage;
        err = store_scan_next(scan, &batch, &defs, &def_count, &damage);
        if (err == ERR_CORRUPT) { /* said by whoever needs those events */
            err = ERR_OK;
            continue;
        }
        err = err == ERR_OK ? look_at(links, agg, batch) : err;
    } while (err == ERR_OK && (batch == NULL || batch->count > 0));
    store_scan_close(scan);
    return err == ERR_OK ? write_cursor(links, end) : err;
}

void links_work(struct links *links, struct agg *agg) {
    if (!links->caught_up) {
        links->caught_up = catch_up(links, agg) == ERR_OK; /* or else the next time */
        return;
    }
    if (links->in_hand == NULL) {
        take_waiting(links);
    }
    for (u32 i = 0; i < ROUND_MAX && links->in_hand != NULL; i++) {
        struct link *link = links->in_hand;
        struct slice customer = {link->text, link->customer_bytes};
        struct slice stripe = {link->text + link->customer_bytes, link->stripe_bytes};
        if (link_one(links, agg, link->account, customer, stripe) != ERR_OK) {
            links->candidate = 0;
            return; /* a full disk, say: it stays at the head */
        }
        links->in_hand = link->next;
        free(link);
    }
    if (links->in_hand == NULL) {
        move_cursor(links);
    } else {
        links->candidate = 0;
    }
}
