/*
 * series.c: texts become values, combinations of values become series, and series are hung into
 * the lists and cells through which queries find them.
 *
 * A new series lives in two steps. Resolving makes its definition (values, dimensions, hash), which
 * can be taken back; settling, once the definition is durable, makes everything that follows from
 * it. Both go by position: what is pending is a queue by ids, settled at its head and taken back at
 * its tail. So ids of series and values are those that replaying the log gives.
 */
#include "agg/state.h"

#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

#define SERIES_BYTES_RESERVED ((usize)2 * KIB) /* what settling one series may take */
#define RESERVED_BYTES_MIN (96 * MIB)          /* growth of tables and lists, new chunks */
#define EVENT_BYTES_RESERVED ((usize)16 * KIB) /* three partitions, their rows, bands, a trace */
#define LOCK_SERIES_MAX 512                    /* series made while readers wait */

#define KEY_BYTES_MAX                                                                              \
    (8 + 2 * SERIES_TEXTS + EVENT_NAME_MAX + EVENT_CUSTOMER_MAX + EVENT_FEATURE_MAX +              \
     EVENT_MODEL_MAX + EVENT_PROVIDER_MAX + EVENT_COST_TYPE_MAX)

/* --- texts and values ------------------------------------------------------------------------- */

struct slice agg_text_at(const struct agg *agg, u32 text, u32 bytes) {
    return (struct slice){array_at(&agg->texts, text), bytes};
}

/* A copy of the text that never moves; UINT32_MAX: no memory. */
static u32 text_keep(struct agg *agg, struct slice text) {
    u32 units = (u32)((text.bytes + TEXT_UNIT_BYTES - 1) / TEXT_UNIT_BYTES);
    u32 chunk_units = (u32)1 << agg->texts.shift;
    u32 left = chunk_units - agg->texts.count % chunk_units;
    u32 skip = units > left ? left : 0; /* a text lies within one chunk */
    if (!array_reserve(&agg->texts, units + skip)) {
        return UINT32_MAX;
    }
    u32 at = agg->texts.count + skip;
    agg->texts.count = at + units;
    if (text.bytes > 0) {
        memcpy(array_at(&agg->texts, at), text.data, text.bytes);
    }
    return at;
}

u32 agg_text_keep_final(struct agg *agg, struct slice text) {
    u32 units = (u32)((text.bytes + TEXT_UNIT_BYTES - 1) / TEXT_UNIT_BYTES);
    u32 chunk_units = (u32)1 << agg->texts.shift;
    u32 left = chunk_units - agg->spare_texts % chunk_units;
    u32 at = agg->spare_texts + (units > left ? left : 0);
    if (units == 0 || at + units > agg->spare_texts_end) {
        return text_keep(agg, text);
    }
    agg->spare_texts = at + units;
    memcpy(array_at(&agg->texts, at), text.data, text.bytes);
    return at;
}

bool agg_text_fits(const struct agg *agg) {
    u64 units = (u64)agg->texts.count + ((u64)2 << agg->texts.shift);
    return units < (u64)agg->texts.chunk_max << agg->texts.shift;
}

u64 agg_value_hash(const struct agg *agg, u32 account, struct slice text) {
    return hash64(text.bytes == 0 ? "" : text.data, text.bytes, agg->seed ^ hash_mix(account));
}

static bool text_equals(const struct agg *agg, const struct value *value, struct slice text) {
    return value->text_bytes == text.bytes &&
           (text.bytes == 0 ||
            memcmp(array_at(&agg->texts, value->text), text.data, text.bytes) == 0);
}

u32 value_find(const struct agg *agg, u32 account, u32 dim, struct slice text) {
    const struct table *table = dim == STORE_DIMS ? &agg->agent_table : &agg->value_table[dim];
    u64 hash = agg_value_hash(agg, account, text);
    u32 cursor = 0;
    for (;;) {
        u32 id = table_next(table, hash, &cursor);
        if (id == UINT32_MAX) {
            return DIM_NONE;
        }
        const struct value *value = value_at(agg, dim, id);
        if (value->account == account && text_equals(agg, value, text)) {
            return id;
        }
    }
}

static enum err value_make(struct agg *agg, u32 account, u32 dim, struct slice text, u32 *out) {
    struct array *values = &agg->values[dim];
    if (values->count >= DIM_VALUES_MAX) {
        return ERR_LIMIT;
    }
    u64 hash = agg_value_hash(agg, account, text);
    if (!array_reserve(values, 1) || !table_reserve(&agg->value_table[dim], &agg->heap, hash)) {
        return ERR_NO_MEMORY;
    }
    u32 kept = text_keep(agg, text);
    if (kept == UINT32_MAX) {
        return ERR_NO_MEMORY;
    }
    u32 id = array_push(values);
    struct value *value = array_at(values, id);
    struct slice revenue = SLICE("revenue");
    *value = (struct value){.text = kept, .account = account, .text_bytes = (u16)text.bytes};
    value->is_revenue = dim == DIM_EVENT_NAME && text.bytes == revenue.bytes &&
                        memcmp(text.data, revenue.data, revenue.bytes) == 0;
    table_put(&agg->value_table[dim], hash, id);
    account_at(agg, account)->values_made[dim]++;
    *out = id;
    return ERR_OK;
}

static void value_unmake(struct agg *agg, u32 dim) {
    struct array *values = &agg->values[dim];
    u32 id = values->count - 1;
    const struct value *value = array_at(values, id);
    struct slice text = agg_text_at(agg, value->text, value->text_bytes);
    table_remove(&agg->value_table[dim], agg_value_hash(agg, value->account, text), id);
    account_at(agg, value->account)->values_made[dim]--;
    array_pop(values);
}

struct slice agg_value_text(const struct agg *agg, enum store_dim dim, u32 value) {
    if (value == DIM_NONE || dim == DIM_ACCOUNT) {
        return (struct slice){"", 0};
    }
    if (dim == DIM_SOURCE) {
        const char *text = event_source_text((enum event_source)value);
        return (struct slice){text, strlen(text)};
    }
    const struct value *record = value_at(agg, dim, value);
    return agg_text_at(agg, record->text, record->text_bytes);
}

u32 agg_value_find(struct agg *agg, u32 account, enum store_dim dim, struct slice text) {
    if (dim == DIM_ACCOUNT) {
        return DIM_NONE;
    }
    if (dim == DIM_SOURCE) {
        for (u32 source = 0; source < EVENT_SOURCES; source++) {
            const char *name = event_source_text((enum event_source)source);
            if (strlen(name) == text.bytes && memcmp(name, text.data, text.bytes) == 0) {
                return source;
            }
        }
        return DIM_NONE;
    }
    agg_read_lock(agg);
    u32 value = value_find(agg, account, dim, text);
    agg_read_unlock(agg);
    return value;
}

i64 agg_customer_created(struct agg *agg, u32 account, struct slice customer) {
    agg_read_lock(agg);
    u32 value = value_find(agg, account, DIM_CUSTOMER, customer);
    u32 entity = value == DIM_NONE ? 0 : value_at(agg, DIM_CUSTOMER, value)->entity;
    i64 created = entity == 0 ? 0 : entity_at(agg, entity)->created;
    agg_read_unlock(agg);
    return created;
}

/* --- definitions ------------------------------------------------------------------------------ */

/* What makes two events belong to one series: account, source and texts, defaults resolved. */
struct series_key {
    u32 account;
    u8 source;
    struct slice text[SERIES_TEXTS];
    struct hash128 hash;
};

static enum err key_finish(const struct agg *agg, struct series_key *key) {
    char bytes[KEY_BYTES_MAX];
    usize at = 0;
    if (key->text[TEXT_COST_TYPE].bytes == 0) {
        key->text[TEXT_COST_TYPE] =
            key->text[TEXT_MODEL].bytes > 0 ? SLICE("llm") : SLICE("generic");
    }
    memcpy(bytes, &key->account, sizeof key->account);
    at += sizeof key->account;
    bytes[at++] = (char)key->source;
    for (u32 i = 0; i < SERIES_TEXTS; i++) {
        struct slice text = key->text[i];
        if (text.bytes > UINT16_MAX || at + 2 + text.bytes > sizeof bytes) {
            return ERR_LIMIT;
        }
        u16 length = (u16)text.bytes;
        memcpy(bytes + at, &length, sizeof length);
        at += sizeof length;
        if (length > 0) {
            memcpy(bytes + at, text.data, length);
            at += length;
        }
    }
    key->hash = hash128(bytes, at, agg->seed);
    return key->source < EVENT_SOURCES && key->account < ACCOUNTS_MAX ? ERR_OK : ERR_LIMIT;
}

static u32 series_find(const struct agg *agg, struct hash128 hash) {
    u32 cursor = 0;
    for (;;) {
        u32 id = table_next(&agg->series_table, hash.low, &cursor);
        if (id == UINT32_MAX) {
            return SERIES_UNRESOLVED;
        }
        const struct hash128 *known = array_at(&agg->hashes, id);
        if (known->low == hash.low && known->high == hash.high) {
            return id;
        }
    }
}

/* Makes room for one more mark, where those of settled series were if they are most. */
static bool pending_reserve(struct agg *agg) {
    u32 end = agg->pending_first + agg->pending_count;
    if (end < agg->pending_capacity) {
        return true;
    }
    if (agg->pending_first > agg->pending_count) {
        memcpy(agg->pending, agg->pending + agg->pending_first,
               agg->pending_count * sizeof *agg->pending);
        agg->pending_first = 0;
        return true;
    }
    u32 capacity = MAX(agg->pending_capacity * 2, 256u);
    struct pending_mark *pending = realloc(agg->pending, capacity * sizeof *pending);
    if (pending == NULL) {
        return false;
    }
    agg->pending = pending;
    agg->pending_capacity = capacity;
    return true;
}

bool agg_reserve(struct agg *agg, usize bytes) {
    return heap_reserve(&agg->heap, RESERVED_BYTES_MIN + bytes +
                                        agg->pending_count * SERIES_BYTES_RESERVED +
                                        agg->reserved_events * EVENT_BYTES_RESERVED);
}

static bool series_reserve(struct agg *agg, u64 hash) {
    return pending_reserve(agg) && array_reserve(&agg->dims, 1) && array_reserve(&agg->hashes, 1) &&
           array_reserve(&agg->series, 1) && array_reserve(&agg->begun, 1) &&
           array_reserve(&agg->links, 1) && table_reserve(&agg->series_table, &agg->heap, hash) &&
           agg_reserve(agg, SERIES_BYTES_RESERVED);
}

static void mark_now(const struct agg *agg, struct pending_mark *mark) {
    for (u32 dim = 0; dim < VALUE_DIMS; dim++) {
        mark->values[dim] = agg->values[dim].count;
    }
    mark->texts_before = agg->texts.count;
}

/* Takes back the values made since the mark, which are the newest ones, and their texts. Traces
 * may have come behind those meanwhile; then texts of other traces will take their place. */
static void values_unmake(struct agg *agg, const struct pending_mark *mark) {
    for (u32 dim = 0; dim < VALUE_DIMS; dim++) {
        while (agg->values[dim].count > mark->values[dim]) {
            value_unmake(agg, dim);
        }
    }
    if (agg->texts.count == mark->texts_after) {
        agg->texts.count = mark->texts_before;
    } else if (mark->texts_after == agg->spare_texts) { /* before the one just taken back */
        agg->spare_texts = mark->texts_before;
    } else if (mark->texts_after > mark->texts_before) {
        agg->spare_texts = mark->texts_before;
        agg->spare_texts_end = mark->texts_after;
    }
}

static enum err series_make(struct agg *agg, const struct series_key *key, u32 *out) {
    if (agg->dims.count >= agg->series_max) {
        return ERR_LIMIT;
    }
    if (!series_reserve(agg, key->hash.low) || !agg_account_make(agg, key->account)) {
        return ERR_NO_MEMORY;
    }
    struct pending_mark mark;
    u32 values[STORE_DIMS];
    mark_now(agg, &mark);
    for (u32 dim = 0; dim < VALUE_DIMS; dim++) {
        values[dim] = DIM_NONE;
        if (key->text[dim].bytes == 0) {
            continue;
        }
        values[dim] = value_find(agg, key->account, dim, key->text[dim]);
        if (values[dim] == DIM_NONE) {
            enum err err = value_make(agg, key->account, dim, key->text[dim], &values[dim]);
            if (err != ERR_OK) {
                mark.texts_after = agg->texts.count;
                values_unmake(agg, &mark);
                return err;
            }
        }
    }
    values[DIM_SOURCE] = key->source;
    values[DIM_ACCOUNT] = key->account;
    u32 id = array_push(&agg->dims);
    memcpy(array_at(&agg->dims, id), values, sizeof values);
    check(array_push(&agg->hashes) == id && array_push(&agg->series) == id &&
          array_push(&agg->begun) == id && array_push(&agg->links) == id);
    *(struct hash128 *)array_at(&agg->hashes, id) = key->hash;
    table_put(&agg->series_table, key->hash.low, id);
    account_at(agg, key->account)->series_made++;
    mark.texts_after = agg->texts.count;
    agg->pending[agg->pending_first + agg->pending_count++] = mark;
    *out = id;
    return ERR_OK;
}

/* Takes back pending series down to `count` of them. */
static void pending_unmake(struct agg *agg, u32 count) {
    while (agg->pending_count > count) {
        u32 id = agg->dims.count - 1;
        agg->pending_count--;
        const struct hash128 *hash = array_at(&agg->hashes, id);
        account_at(agg, dims_of(agg, id)[DIM_ACCOUNT])->series_made--;
        table_remove(&agg->series_table, hash->low, id);
        array_pop(&agg->dims);
        array_pop(&agg->hashes);
        array_pop(&agg->series);
        array_pop(&agg->begun);
        array_pop(&agg->links);
        values_unmake(agg, &agg->pending[agg->pending_first + agg->pending_count]);
    }
}

static void key_read(const struct event_batch *batch, u32 row, struct series_key *key) {
    key->account = batch->account;
    key->source = batch->source[row];
    for (u32 i = 0; i < SERIES_TEXTS; i++) {
        key->text[i] = event_text_of(batch, row, (enum event_text)i);
    }
}

bool agg_series_known(const struct agg *agg, const struct event_batch *batch, u32 row) {
    struct series_key key;
    key_read(batch, row, &key);
    return key_finish(agg, &key) == ERR_OK && series_find(agg, key.hash) != SERIES_UNRESOLVED;
}

static enum err resolve_rows(struct agg *agg, struct event_batch *batch, const u32 *rows, u32 count,
                             bool *locked) {
    u32 made = 0;
    for (u32 i = 0; i < count; i++) {
        u32 row = rows[i];
        if (batch->series[row] != SERIES_UNRESOLVED) {
            continue;
        }
        struct series_key key;
        key_read(batch, row, &key);
        enum err err = key_finish(agg, &key);
        if (err != ERR_OK) {
            return err;
        }
        u32 id = series_find(agg, key.hash);
        if (id == SERIES_UNRESOLVED) {
            if (*locked && made % LOCK_SERIES_MAX == 0) {
                pthread_rwlock_unlock(&agg->lock); /* lets readers in */
                *locked = false;
            }
            if (!*locked) {
                pthread_rwlock_wrlock(&agg->lock);
                *locked = true;
            }
            made++;
            err = series_make(agg, &key, &id);
            if (err != ERR_OK) {
                return err;
            }
        }
        batch->series[row] = id;
    }
    return ERR_OK;
}

enum err agg_resolve(struct agg *agg, struct event_batch *batch, const u32 *rows, u32 count) {
    u32 pending_before = agg->pending_count;
    u32 first_new = agg->dims.count;
    if (!agg_reserve(agg, count * EVENT_BYTES_RESERVED)) {
        return ERR_NO_MEMORY;
    }
    bool locked = false;
    enum err err = resolve_rows(agg, batch, rows, count, &locked);
    if (err == ERR_OK) {
        agg->reserved_events += count;
        agg->resolved_events += count;
    } else {
        if (!locked) {
            pthread_rwlock_wrlock(&agg->lock);
            locked = true;
        }
        pending_unmake(agg, pending_before);
        for (u32 i = 0; i < count; i++) {
            u32 *series = &batch->series[rows[i]];
            *series = *series >= first_new ? SERIES_UNRESOLVED : *series;
        }
    }
    if (locked) {
        pthread_rwlock_unlock(&agg->lock);
    }
    return err;
}

struct agg_mark agg_mark(const struct agg *agg) {
    return (struct agg_mark){agg->dims.count, agg->resolved_events};
}

void agg_undo_to(struct agg *agg, struct agg_mark mark) {
    check(mark.series <= agg->dims.count && mark.events <= agg->resolved_events);
    u32 count = agg->dims.count - mark.series;
    u64 events = agg->resolved_events - mark.events;
    check(count <= agg->pending_count && events <= agg->reserved_events);
    if (count > 0) {
        pthread_rwlock_wrlock(&agg->lock);
        pending_unmake(agg, agg->pending_count - count);
        pthread_rwlock_unlock(&agg->lock);
    }
    agg->reserved_events -= events;
    agg->resolved_events = mark.events;
}

void agg_undo(struct agg *agg) {
    agg_undo_to(agg, (struct agg_mark){agg->dims.count - agg->pending_count,
                                       agg->resolved_events - agg->reserved_events});
}

void agg_unresolve(const struct agg *agg, struct event_batch *batch, const u32 *rows, u32 count) {
    for (u32 i = 0; i < count; i++) {
        u32 *series = &batch->series[rows[i]];
        *series = *series >= agg->dims.count ? SERIES_UNRESOLVED : *series;
    }
}

/* --- settling --------------------------------------------------------------------------------- */

u32 agg_model_find(const struct agg *agg, u32 account, u32 model, u32 provider) {
    u64 hash = hash_mix((u64)model << 32 | provider);
    u32 cursor = 0;
    for (;;) {
        u32 id = table_next(&agg->pair_table, hash, &cursor);
        if (id == UINT32_MAX) {
            return 0;
        }
        const struct entity *entity = entity_at(agg, id);
        if (entity->account == account && entity->key[0] == model && entity->key[1] == provider) {
            return id;
        }
    }
}

static u32 entity_make(struct agg *agg, enum kind kind, u32 account, u32 key0, u32 key1) {
    struct list *list = &account_at(agg, account)->entities[kind];
    u32 id = array_add(&agg->entities);
    *(struct entity *)array_at(&agg->entities, id) = (struct entity){
        .account = (u16)account, .kind = (u16)kind, .key = {key0, key1}, .place = list->count};
    check(list_push(list, &agg->heap, id));
    return id;
}

static u32 entity_of(struct agg *agg, enum kind kind, const u32 *dims) {
    u32 account = dims[DIM_ACCOUNT];
    u32 value = dims[kind_dim(kind)];
    if (kind == KIND_MODEL) {
        u32 provider = dims[DIM_PROVIDER];
        u32 id = agg_model_find(agg, account, value, provider);
        if (id == 0) {
            id = entity_make(agg, kind, account, value, provider);
            u64 hash = hash_mix((u64)value << 32 | provider);
            check(table_reserve(&agg->pair_table, &agg->heap, hash));
            table_put(&agg->pair_table, hash, id);
        }
        return id;
    }
    u32 *slot = value == DIM_NONE
                    ? &account_at(agg, account)->none[kind]
                    : &((struct value *)array_edit(&agg->values[kind_dim(kind)], value))->entity;
    if (*slot == 0) {
        *slot = entity_make(agg, kind, account, value, 0);
    }
    return *slot;
}

void agg_cell_own(struct agg *agg, u32 cell, const struct entity *entity, u32 class) {
    tally_cell_make(agg, cell);
    check(array_reserve(&agg->owners, MAX(cell + 1, agg->owners.count) - agg->owners.count));
    agg->owners.count = MAX(agg->owners.count, cell + 1);
    *(struct owner *)array_at(&agg->owners, cell) =
        (struct owner){entity->place, entity->account, (u8) class, entity->key[0] == DIM_NONE};
    struct cell *record = record_edit(&agg->cells, cell, SHIFT_CELLS, sizeof *record);
    record->newest.series = mark_of(entity->place, class);
}

static u32 cell_of(struct agg *agg, u32 entity, u32 class) {
    struct entity *record = array_edit(&agg->entities, entity);
    if (record->cell[class] == 0) {
        u32 cell = agg_cell_make(agg);
        record->cell[class] = cell;
        agg_cell_own(agg, cell, record, class);
    }
    return record->cell[class];
}

/* The lists through which queries find the series; rebuilt after loading a snapshot. */
bool agg_series_link(struct agg *agg, u32 series) {
    const u32 *dims = dims_of(agg, series);
    struct link *link = array_at(&agg->links, series);
    struct account *account = account_at(agg, dims[DIM_ACCOUNT]);
    if (account == NULL) {
        return false;
    }
    link->class = dims[DIM_SOURCE] == SOURCE_STRIPE ? CLASS_STRIPE : 0;
    for (u32 dim = 0; dim < VALUE_DIMS; dim++) {
        link->next[dim] = 0;
        if (dims[dim] == DIM_NONE) {
            continue;
        }
        struct value *value = array_at(&agg->values[dim], dims[dim]);
        link->next[dim] = value->series_head;
        value->series_head = series + 1;
        value->series_count++;
        if (value->is_revenue) {
            link->class |= CLASS_REVENUE;
        }
    }
    link->next[LIST_ACCOUNT] = account->series_head;
    account->series_head = series + 1;
    account->series_count++;
    account->class_mask |= 1u << link->class;
    return true;
}

static void settle_one(struct agg *agg, u32 series) {
    check(agg_series_link(agg, series));
    u32 class = link_at(agg, series)->class;
    struct series *record = array_edit(&agg->series, series);
    record->first = INT64_MAX;
    for (u32 kind = 0; kind < KINDS; kind++) {
        u32 entity = entity_of(agg, (enum kind)kind, dims_of(agg, series));
        record->cell[kind] = cell_of(agg, entity, class);
    }
    agg->settled = series + 1;
}

void agg_settle_to(struct agg *agg, struct agg_mark mark) {
    u32 first = agg->dims.count - agg->pending_count;
    check(mark.series >= first && mark.series <= agg->dims.count);
    if (mark.series == first) {
        return;
    }
    pthread_rwlock_wrlock(&agg->lock);
    for (u32 series = first; series < mark.series; series++) {
        if (series > first && (series - first) % LOCK_SERIES_MAX == 0) {
            pthread_rwlock_unlock(&agg->lock);
            pthread_rwlock_wrlock(&agg->lock);
        }
        settle_one(agg, series);
    }
    agg_memory_publish(agg);
    pthread_rwlock_unlock(&agg->lock);
    agg->pending_count -= mark.series - first;
    agg->pending_first = agg->pending_count == 0 ? 0 : agg->pending_first + mark.series - first;
    __atomic_store_n(&agg->series_count, agg->settled, __ATOMIC_RELEASE);
}

void agg_settle(struct agg *agg) {
    agg_settle_to(agg, agg_mark(agg));
}

enum err agg_define(struct agg *agg, const struct series_def *def) {
    check(agg->pending_count == 0);
    struct series_key key = {.account = def->account, .source = def->source};
    memcpy(key.text, def->text, sizeof key.text);
    if (def->series != agg->dims.count || key_finish(agg, &key) != ERR_OK ||
        series_find(agg, key.hash) != SERIES_UNRESOLVED) {
        return ERR_CORRUPT;
    }
    pthread_rwlock_wrlock(&agg->lock);
    u32 id;
    enum err err = series_make(agg, &key, &id);
    pthread_rwlock_unlock(&agg->lock);
    if (err == ERR_OK) {
        agg_settle(agg);
    }
    return err;
}

u32 agg_series_count(const struct agg *agg) {
    return __atomic_load_n(&agg->series_count, __ATOMIC_ACQUIRE);
}

const u32 *agg_series_dims(const struct agg *agg, u32 series) {
    return dims_of(agg, series);
}

struct series_def agg_definition(const struct agg *agg, u32 series) {
    const u32 *dims = dims_of(agg, series);
    struct series_def def = {
        .series = series, .account = dims[DIM_ACCOUNT], .source = (u8)dims[DIM_SOURCE]};
    for (u32 dim = 0; dim < VALUE_DIMS; dim++) {
        def.text[dim] = agg_value_text(agg, (enum store_dim)dim, dims[dim]);
    }
    return def;
}
