/*
 * ledger.c: a change of an account's prices copies its book with the one difference, plans it,
 * writes the row, and only then puts the plan in force: so what is in force is always on disk, and
 * once it is on disk nothing can keep it from being in force.
 */
#include "price/ledger.h"

#include <stdlib.h>
#include <string.h>

#include "price/ledger_row.h"

/* The lists a book is made from. */
struct draft {
    struct feature_price *features;
    struct model_price *models;
    u32 feature_count;
    u32 model_count;
};

/* --- reading --------------------------------------------------------------------------------- */

#define DRAFT_TEXT_BYTES                                                                           \
    (FEATURE_PRICES_MAX * (usize)(EVENT_FEATURE_MAX + UNIT_LABEL_MAX) +                            \
     MODEL_PRICES_MAX * (usize)(EVENT_MODEL_MAX + EVENT_PROVIDER_MAX))

struct reading {
    struct ledger *ledger;
    struct draft draft; /* the largest there can be */
    char *text;
    usize text_bytes;
    enum err err;
};

static struct slice keep_text(struct reading *reading, struct slice text, usize bytes_max) {
    if (text.bytes > bytes_max) {
        reading->err = ERR_CORRUPT;
        return (struct slice){NULL, 0};
    }
    struct slice kept = {reading->text + reading->text_bytes, text.bytes};
    if (text.bytes > 0) {
        memcpy(reading->text + reading->text_bytes, text.data, text.bytes);
    }
    reading->text_bytes += text.bytes;
    return kept;
}

static bool visit_feature(void *context, const struct control_object *object, struct slice value) {
    struct reading *reading = context;
    struct draft *draft = &reading->draft;
    if (draft->feature_count == FEATURE_PRICES_MAX) {
        reading->err = ERR_CORRUPT;
        return false;
    }
    struct feature_price *price = &draft->features[draft->feature_count++];
    reading->err = ledger_feature_read(object, value, price);
    if (reading->err == ERR_OK) {
        price->feature = keep_text(reading, price->feature, EVENT_FEATURE_MAX);
        price->unit_label = keep_text(reading, price->unit_label, UNIT_LABEL_MAX);
    }
    return reading->err == ERR_OK;
}

static bool visit_model(void *context, const struct control_object *object, struct slice value) {
    struct reading *reading = context;
    struct draft *draft = &reading->draft;
    if (draft->model_count == MODEL_PRICES_MAX) {
        reading->err = ERR_CORRUPT;
        return false;
    }
    struct model_price *price = &draft->models[draft->model_count++];
    reading->err = ledger_model_read(object, value, price);
    if (reading->err == ERR_OK) {
        price->provider = keep_text(reading, price->provider, EVENT_PROVIDER_MAX);
        price->model = keep_text(reading, price->model, EVENT_MODEL_MAX);
    }
    return reading->err == ERR_OK;
}

static enum err read_account(struct reading *reading, u32 account) {
    struct control *control = reading->ledger->control;
    reading->draft.feature_count = 0;
    reading->draft.model_count = 0;
    reading->text_bytes = 0;
    enum err err = control_each(control, account, CONTROL_FEATURE_PRICE, visit_feature, reading);
    if (err == ERR_OK && reading->err == ERR_OK) {
        err = control_each(control, account, CONTROL_MODEL_PRICE, visit_model, reading);
    }
    return reading->err != ERR_OK ? reading->err : err;
}

/* The book of a draft; NULL if there is nothing in it. */
static enum err make_book(const struct draft *draft, struct price_book **book) {
    *book = NULL;
    return draft->feature_count + draft->model_count == 0
               ? ERR_OK
               : price_book_make(draft->features, draft->feature_count, draft->models,
                                 draft->model_count, book);
}

/* One row that says that an account has prices. */
static bool visit_account(void *context, const struct control_object *object, struct slice value) {
    struct reading *reading = context;
    struct price_book *book = NULL;
    (void)value;
    if (object->number == 0 || object->number > ACCOUNTS_MAX) {
        reading->err = ERR_CORRUPT;
        return false;
    }
    u32 account = (u32)object->number;
    enum err err = read_account(reading, account);
    if (err == ERR_OK) {
        err = make_book(&reading->draft, &book);
    }
    if (err == ERR_OK) {
        err = prices_set_book(reading->ledger->prices, account, book);
    }
    reading->err = err;
    return err == ERR_OK;
}

static enum err read_all(struct ledger *ledger) {
    struct reading reading = {.ledger = ledger, .text = malloc(DRAFT_TEXT_BYTES)};
    reading.draft.features = calloc(FEATURE_PRICES_MAX, sizeof *reading.draft.features);
    reading.draft.models = calloc(MODEL_PRICES_MAX, sizeof *reading.draft.models);
    bool enough =
        reading.text != NULL && reading.draft.features != NULL && reading.draft.models != NULL;
    enum err err =
        !enough ? ERR_NO_MEMORY
                : control_each(ledger->control, 0, CONTROL_FEATURE_PRICE, visit_account, &reading);
    free(reading.text);
    free(reading.draft.features);
    free(reading.draft.models);
    return reading.err != ERR_OK ? reading.err : err;
}

enum err ledger_open(struct control *control, struct prices *prices, struct ledger **out) {
    struct ledger *ledger = calloc(1, sizeof *ledger);
    if (ledger == NULL) {
        return ERR_NO_MEMORY;
    }
    ledger->control = control;
    ledger->prices = prices;
    pthread_mutex_init(&ledger->lock, NULL);
    enum err err = read_all(ledger);
    if (err != ERR_OK) {
        ledger_close(ledger);
        return err;
    }
    *out = ledger;
    return ERR_OK;
}

void ledger_close(struct ledger *ledger) {
    if (ledger != NULL) {
        pthread_mutex_destroy(&ledger->lock);
        free(ledger);
    }
}

/* --- changing -------------------------------------------------------------------------------- */

/* A change on its way, with the ledger locked. */
struct change {
    struct ledger *ledger;
    u32 account;
    i64 now_ms;
    const struct price_view *view;
    const struct price_book *book; /* NULL: the account had no prices */
    struct draft draft;            /* the book's lists, with room for one more of each */
    struct price_plan plan;
    struct control_txn txn;
};

static enum err copy_draft(const struct price_book *book, struct draft *draft) {
    draft->feature_count = book != NULL ? book->feature_count : 0;
    draft->model_count = book != NULL ? book->model_count : 0;
    draft->features = malloc((draft->feature_count + (usize)1) * sizeof *draft->features);
    draft->models = malloc((draft->model_count + (usize)1) * sizeof *draft->models);
    if (draft->features == NULL || draft->models == NULL) {
        return ERR_NO_MEMORY;
    }
    if (book != NULL) {
        memcpy(draft->features, book->features, draft->feature_count * sizeof *draft->features);
        memcpy(draft->models, book->models, draft->model_count * sizeof *draft->models);
    }
    return ERR_OK;
}

static enum err change_begin(struct change *change, struct ledger *ledger, u32 account,
                             i64 now_ms) {
    pthread_mutex_lock(&ledger->lock);
    *change = (struct change){.ledger = ledger, .account = account, .now_ms = now_ms};
    change->view = prices_acquire(ledger->prices);
    change->book = price_view_book(change->view, account);
    return copy_draft(change->book, &change->draft);
}

/* The draft is as it shall be: plans it and begins to write. On an error there is nothing to
 * commit. */
static enum err change_write(struct change *change) {
    struct price_book *book;
    struct ledger *ledger = change->ledger;
    enum err err = make_book(&change->draft, &book);
    if (err == ERR_OK) {
        err = prices_plan_book(ledger->prices, change->account, book, &change->plan);
    }
    if (err != ERR_OK) {
        return err;
    }
    err = control_begin(ledger->control, &change->txn);
    if (err != ERR_OK) {
        prices_finish(ledger->prices, &change->plan, false);
        return err;
    }
    if (change->book == NULL) {
        const struct control_object known = {0, CONTROL_FEATURE_PRICE, change->account, {NULL, 0}};
        control_txn_put(&change->txn, &known, (struct slice){NULL, 0});
    }
    return ERR_OK;
}

static enum err change_commit(struct change *change) {
    enum err err = control_commit(&change->txn);
    prices_finish(change->ledger->prices, &change->plan, err == ERR_OK);
    return err;
}

static enum err change_end(struct change *change, enum err err) {
    free(change->draft.features);
    free(change->draft.models);
    prices_release(change->ledger->prices, change->view);
    pthread_mutex_unlock(&change->ledger->lock);
    return err;
}

/* --- features -------------------------------------------------------------------------------- */

static u32 find_feature(const struct change *change, struct slice feature) {
    return change->book != NULL ? price_book_feature(change->book, feature) : PRICE_NONE;
}

enum err ledger_set_feature(struct ledger *ledger, u32 account, struct slice feature, i64 revenue,
                            struct slice unit_label, i64 now_ms) {
    check(feature.bytes > 0 && feature.bytes <= EVENT_FEATURE_MAX);
    check(unit_label.bytes <= UNIT_LABEL_MAX);
    struct change change;
    enum err err = change_begin(&change, ledger, account, now_ms);
    if (err != ERR_OK) {
        return change_end(&change, err);
    }
    struct feature_price price = {feature, unit_label, revenue, now_ms, now_ms};
    u32 known = find_feature(&change, feature);
    if (known == PRICE_NONE && change.draft.feature_count == FEATURE_PRICES_MAX) {
        return change_end(&change, ERR_LIMIT);
    }
    if (known != PRICE_NONE) {
        price.created_ms = change.draft.features[known].created_ms;
    } else {
        known = change.draft.feature_count++;
    }
    change.draft.features[known] = price;
    err = change_write(&change);
    if (err == ERR_OK) {
        struct ledger_row row;
        ledger_feature_object(&row, account, feature);
        ledger_feature_write(&row, &price);
        control_txn_put(&change.txn, &row.object, row.record);
        err = change_commit(&change);
    }
    return change_end(&change, err);
}

enum err ledger_delete_feature(struct ledger *ledger, u32 account, struct slice feature) {
    struct change change;
    enum err err = change_begin(&change, ledger, account, 0);
    u32 known = find_feature(&change, feature);
    if (err != ERR_OK || known == PRICE_NONE) {
        return change_end(&change, err != ERR_OK ? err : ERR_NOT_FOUND);
    }
    struct draft *draft = &change.draft;
    draft->features[known] = draft->features[--draft->feature_count];
    err = change_write(&change);
    if (err == ERR_OK) {
        struct ledger_row row;
        ledger_feature_object(&row, account, feature);
        control_txn_delete(&change.txn, &row.object);
        err = change_commit(&change);
    }
    return change_end(&change, err);
}

/* --- the record of changes ------------------------------------------------------------------- */

/* Writes one change down, and forgets the one that is too long ago. */
static void note(struct control_txn *txn, u32 account, const struct price_change *change) {
    struct ledger_row row;
    u64 number = control_next_number(txn, account, CONTROL_PRICE_CHANGE);
    row.object = (struct control_object){account, CONTROL_PRICE_CHANGE, number, {NULL, 0}};
    ledger_change_write(&row, change);
    control_txn_put(txn, &row.object, row.record);
    if (number > PRICE_CHANGES_MAX) {
        row.object.number = number - PRICE_CHANGES_MAX;
        control_txn_delete(txn, &row.object);
    }
}

/* Notes each value that differs; by enum price_change_field, -1 where there is none. */
static void note_values(struct control_txn *txn, u32 account, struct price_change change,
                        const i64 old_value[CHANGE_FIELDS], const i64 new_value[CHANGE_FIELDS]) {
    for (u32 field = 0; field < CHANGE_FIELDS; field++) {
        if (old_value[field] != new_value[field]) {
            change.field = (enum price_change_field)field;
            change.old_value = old_value[field];
            change.new_value = new_value[field];
            note(txn, account, &change);
        }
    }
}

static void values_of_own(const struct model_price *price, i64 value[CHANGE_FIELDS]) {
    value[CHANGE_INPUT] = price != NULL ? price->input : -1;
    value[CHANGE_OUTPUT] = price != NULL ? price->output : -1;
    value[CHANGE_CACHED] = price != NULL ? price->cached : -1;
    value[CHANGE_CACHE_WRITE] = price != NULL ? price->cache_write : -1;
}

static void note_own(struct change *change, const struct model_price *old_price,
                     const struct model_price *new_price) {
    const struct model_price *either = new_price != NULL ? new_price : old_price;
    const struct price_change noted = {.provider = either->provider,
                                       .model = either->model,
                                       .own = true,
                                       .created_ms = change->now_ms};
    i64 old_value[CHANGE_FIELDS];
    i64 new_value[CHANGE_FIELDS];
    values_of_own(old_price, old_value);
    values_of_own(new_price, new_value);
    note_values(&change->txn, change->account, noted, old_value, new_value);
}

/* --- models ---------------------------------------------------------------------------------- */

/* Names as books have them. False: one is empty or too long. */
struct model_name {
    char provider_text[PRICE_NAME_MAX];
    char model_text[PRICE_NAME_MAX];
    struct slice provider;
    struct slice model;
};

static bool name_model(const struct change *change, struct slice provider, struct slice model,
                       struct model_name *name) {
    const struct price_table *table = price_view_table(change->view);
    u32 index = provider.bytes > 0 ? price_provider_find(table, provider) : PRICE_NO_PROVIDER;
    name->provider = (struct slice){name->provider_text,
                                    price_provider_normalise(provider, name->provider_text)};
    name->model = (struct slice){name->model_text, price_name_normalise(model, name->model_text)};
    if (provider.bytes > 0 && name->provider.bytes == 0) {
        return false;
    }
    if (index != PRICE_NO_PROVIDER) {
        name->provider = table->providers[index].name; /* however it is spelled here */
    }
    return name->model.bytes > 0 && name->model.bytes <= EVENT_MODEL_MAX &&
           name->provider.bytes <= EVENT_PROVIDER_MAX;
}

static u32 find_model(const struct change *change, const struct model_name *name) {
    return change->book != NULL ? price_book_model(change->book, name->provider, name->model)
                                : PRICE_NONE;
}

/* Enters the price into the draft and writes it, and how it differs from the one before. */
static enum err enter_model(struct change *change, const struct model_price *price, u32 known) {
    struct draft *draft = &change->draft;
    const struct model_price *before = known != PRICE_NONE ? &change->book->models[known] : NULL;
    if (before == NULL && draft->model_count == MODEL_PRICES_MAX) {
        return ERR_LIMIT;
    }
    draft->models[before != NULL ? known : draft->model_count++] = *price;
    enum err err = change_write(change);
    if (err != ERR_OK) {
        return err;
    }
    struct ledger_row row;
    ledger_model_object(&row, change->account, price->provider, price->model);
    ledger_model_write(&row, price);
    control_txn_put(&change->txn, &row.object, row.record);
    note_own(change, before, price);
    return change_commit(change);
}

enum err ledger_set_model(struct ledger *ledger, u32 account, const struct model_price *price,
                          i64 now_ms) {
    struct change change;
    struct model_name name;
    enum err err = change_begin(&change, ledger, account, now_ms);
    if (err == ERR_OK && !name_model(&change, price->provider, price->model, &name)) {
        err = ERR_INVALID;
    }
    if (err == ERR_OK) {
        struct model_price entered = *price;
        entered.provider = name.provider;
        entered.model = name.model;
        entered.updated_ms = now_ms;
        err = enter_model(&change, &entered, find_model(&change, &name));
    }
    return change_end(&change, err);
}

/* Whether a delete means this price. */
static bool is_meant(const struct model_price *price, const struct model_name *name) {
    return price_compare_text(price->model, name->model) == 0 &&
           (name->provider.bytes == 0 || price_compare_text(price->provider, name->provider) == 0);
}

static enum err remove_models(struct change *change, const struct model_name *name) {
    const struct price_book *book = change->book;
    struct draft *draft = &change->draft;
    u32 kept = 0;
    for (u32 i = 0; i < draft->model_count; i++) {
        if (!is_meant(&draft->models[i], name)) {
            draft->models[kept++] = draft->models[i];
        }
    }
    if (kept == draft->model_count) {
        return ERR_NOT_FOUND;
    }
    draft->model_count = kept;
    enum err err = change_write(change);
    if (err != ERR_OK) {
        return err;
    }
    for (u32 i = 0; i < book->model_count; i++) {
        const struct model_price *price = &book->models[i];
        if (is_meant(price, name)) {
            struct ledger_row row;
            ledger_model_object(&row, change->account, price->provider, price->model);
            control_txn_delete(&change->txn, &row.object);
            note_own(change, price, NULL);
        }
    }
    return change_commit(change);
}

enum err ledger_delete_model(struct ledger *ledger, u32 account, struct slice provider,
                             struct slice model, i64 now_ms) {
    struct change change;
    struct model_name name;
    enum err err = change_begin(&change, ledger, account, now_ms);
    if (err == ERR_OK) {
        bool good = name_model(&change, provider, model, &name);
        err = good ? remove_models(&change, &name) : ERR_NOT_FOUND;
    }
    return change_end(&change, err);
}

/* --- the price table ------------------------------------------------------------------------- */

static int compare_listings(const void *left, const void *right) {
    const struct price_listing *a = left;
    const struct price_listing *b = right;
    int order = price_compare_text(a->provider, b->provider);
    return order != 0 ? order : price_compare_text(a->model, b->model);
}

/* All lines of a table in order, and one more without a model behind them. */
static struct price_listing *list_sorted(const struct price_table *table) {
    u32 count = price_count(table);
    struct price_listing *list = calloc(count + (usize)1, sizeof *list);
    for (u32 i = 0; list != NULL && i < count; i++) {
        list[i] = price_list(table, i);
    }
    if (list != NULL && count > 0) {
        qsort(list, count, sizeof *list, compare_listings);
    }
    return list;
}

/* Listed prices are of a million tokens. */
static i64 per_token(i64 listed) {
    return listed < 0 ? -1 : listed / 1000000;
}

static void values_of_listed(const struct price_listing *price, i64 value[CHANGE_FIELDS]) {
    value[CHANGE_INPUT] = price != NULL ? per_token(price->input) : -1;
    value[CHANGE_OUTPUT] = price != NULL ? per_token(price->output) : -1;
    value[CHANGE_CACHED] = price != NULL ? per_token(price->cached_input) : -1;
    value[CHANGE_CACHE_WRITE] = price != NULL ? per_token(price->cache_write) : -1;
}

static void note_listed(struct control_txn *txn, const struct price_listing *old_price,
                        const struct price_listing *new_price, i64 now_ms) {
    const struct price_listing *either = new_price != NULL ? new_price : old_price;
    const struct price_change noted = {
        .provider = either->provider, .model = either->model, .created_ms = now_ms};
    i64 old_value[CHANGE_FIELDS];
    i64 new_value[CHANGE_FIELDS];
    values_of_listed(old_price, old_value);
    values_of_listed(new_price, new_value);
    note_values(txn, 0, noted, old_value, new_value);
}

/* What differs between two tables, both in order. */
static void note_tables(struct control_txn *txn, const struct price_listing *old_list,
                        const struct price_listing *new_list, i64 now_ms) {
    while (old_list->model.bytes > 0 || new_list->model.bytes > 0) {
        int order = old_list->model.bytes == 0   ? 1
                    : new_list->model.bytes == 0 ? -1
                                                 : compare_listings(old_list, new_list);
        note_listed(txn, order <= 0 ? old_list : NULL, order >= 0 ? new_list : NULL, now_ms);
        old_list += order <= 0;
        new_list += order >= 0;
    }
}

static enum err write_table(struct ledger *ledger, const struct price_table *old_table,
                            const struct price_table *new_table, i64 now_ms) {
    struct price_listing *old_list = list_sorted(old_table);
    struct price_listing *new_list = list_sorted(new_table);
    struct control_txn txn;
    enum err err = old_list == NULL || new_list == NULL ? ERR_NO_MEMORY : ERR_OK;
    if (err == ERR_OK) {
        err = control_begin(ledger->control, &txn);
    }
    if (err == ERR_OK) {
        note_tables(&txn, old_list, new_list, now_ms);
        err = control_commit(&txn);
    }
    free(old_list);
    free(new_list);
    return err;
}

enum err ledger_set_table(struct ledger *ledger, struct price_table *table, i64 now_ms) {
    struct price_plan plan;
    pthread_mutex_lock(&ledger->lock);
    const struct price_view *view = prices_acquire(ledger->prices);
    enum err err = prices_plan_table(ledger->prices, table, &plan);
    if (err == ERR_OK) {
        err = write_table(ledger, price_view_table(view), table, now_ms);
        prices_finish(ledger->prices, &plan, err == ERR_OK);
    }
    prices_release(ledger->prices, view);
    pthread_mutex_unlock(&ledger->lock);
    return err;
}
