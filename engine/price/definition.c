/* definition.c: see definition.h. Rows are CONTROL_FEATURE, numbered by id. */
#include "price/definition.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/record.h"
#include "price/book.h"

#define ROW_BYTES_MAX                                                                              \
    (DEFINITION_DESCRIPTION_MAX + DEFINITION_LOCATION_MAX + DEFINITION_NAME_MAX +                  \
     EVENT_FEATURE_MAX + 128)
#define ROWS_FIRST 64

static const char *const kinds[DEFINITION_KINDS] = {
    [DEFINITION_COST] = "cost", [DEFINITION_VALUE] = "value", [DEFINITION_OUTCOME] = "outcome"};

/* The enum as a number. */
struct row {
    struct definition definition;
    u32 kind;
};

static const struct record_member members[] = {
    RECORD(1, RECORD_SLICE, struct row, definition.feature),
    RECORD(2, RECORD_SLICE, struct row, definition.name),
    RECORD(3, RECORD_SLICE, struct row, definition.description),
    RECORD(4, RECORD_SLICE, struct row, definition.code_location),
    RECORD(5, RECORD_U32, struct row, kind),
    RECORD(6, RECORD_I64, struct row, definition.created_ms),
    RECORD(7, RECORD_I64, struct row, definition.updated_ms),
    RECORD(8, RECORD_BOOL, struct row, definition.removed),
    RECORD(9, RECORD_I64, struct row, definition.removed_events),
};

const char *definition_kind_text(enum definition_kind kind) {
    check((u32)kind < DEFINITION_KINDS);
    return kinds[kind];
}

bool definition_kind_parse(struct slice text, enum definition_kind *kind) {
    for (u32 i = 0; i < DEFINITION_KINDS; i++) {
        if (text.bytes == strlen(kinds[i]) && memcmp(text.data, kinds[i], text.bytes) == 0) {
            *kind = (enum definition_kind)i;
            return true;
        }
    }
    return false;
}

static enum err read_row(struct slice value, u64 id, struct definition *definition) {
    struct row row;
    memset(&row, 0, sizeof row);
    enum err err = record_read(members, ARRAY_COUNT(members), value, &row);
    if (err == ERR_OK && row.kind >= DEFINITION_KINDS) {
        err = ERR_CORRUPT;
    }
    *definition = row.definition;
    definition->id = id;
    definition->kind = err == ERR_OK ? (enum definition_kind)row.kind : DEFINITION_OUTCOME;
    return err;
}

static struct control_object object_of(u32 account, u64 id) {
    return (struct control_object){account, CONTROL_FEATURE, id, {NULL, 0}};
}

/* The texts are bounded, so the row fits. */
static void put_row(struct control_txn *txn, u32 account, const struct definition *definition) {
    char memory[ROW_BYTES_MAX];
    struct row row = {*definition, (u32)definition->kind};
    struct slice record;
    enum err err =
        record_write(members, ARRAY_COUNT(members), &row, memory, sizeof memory, &record);
    check(err == ERR_OK);
    struct control_object object = object_of(account, definition->id);
    control_txn_put(txn, &object, record);
}

/* --- reading --------------------------------------------------------------------------------- */

/* Rows end with the transaction they are read in, so they are copied; then memory moves no more
 * and they can be taken apart. */
struct copied_row {
    u64 id;
    usize offset;
    usize bytes;
};

struct copied {
    struct buf records;
    struct copied_row *rows;
    u32 count;
    u32 capacity;
    enum err err;
};

static bool copy_row(void *context, const struct control_object *object, struct slice value) {
    struct copied *copied = context;
    if (copied->count == copied->capacity) {
        u32 capacity = MAX(copied->capacity * 2, (u32)ROWS_FIRST);
        void *rows = realloc(copied->rows, capacity * sizeof *copied->rows);
        if (rows == NULL) {
            copied->err = ERR_NO_MEMORY;
            return false;
        }
        copied->rows = rows;
        copied->capacity = capacity;
    }
    copied->rows[copied->count++] =
        (struct copied_row){object->number, copied->records.bytes, value.bytes};
    buf_put_slice(&copied->records, value);
    copied->err = copied->records.failed ? ERR_NO_MEMORY : ERR_OK;
    return copied->err == ERR_OK;
}

static int compare_features(const void *left, const void *right) {
    const struct definition *a = left;
    const struct definition *b = right;
    return price_compare_text(a->feature, b->feature);
}

static enum err take_apart(const struct copied *copied, struct definition_list *list) {
    list->rows = calloc(copied->count + (usize)1, sizeof *list->rows);
    if (list->rows == NULL) {
        return ERR_NO_MEMORY;
    }
    for (u32 i = 0; i < copied->count; i++) {
        const struct copied_row *row = &copied->rows[i];
        struct slice value = {list->memory + row->offset, row->bytes};
        enum err err = read_row(value, row->id, &list->rows[list->count++]);
        if (err != ERR_OK) {
            return err;
        }
    }
    if (list->count > 0) {
        qsort(list->rows, list->count, sizeof *list->rows, compare_features);
    }
    return ERR_OK;
}

enum err definition_list_read(struct control *control, u32 account, struct definition_list *out) {
    struct copied copied = {.rows = NULL};
    buf_init(&copied.records, (DEFINITIONS_MAX + (usize)1) * ROW_BYTES_MAX);
    enum err err = control_each(control, account, CONTROL_FEATURE, copy_row, &copied);
    if (err == ERR_OK) {
        err = copied.err;
    }
    *out = (struct definition_list){.memory = copied.records.data};
    if (err == ERR_OK) {
        err = take_apart(&copied, out);
    }
    free(copied.rows);
    if (err != ERR_OK) {
        definition_list_free(out);
    }
    return err;
}

void definition_list_free(struct definition_list *list) {
    free(list->rows);
    free(list->memory);
    *list = (struct definition_list){.rows = NULL};
}

u32 definition_list_find(const struct definition_list *list, struct slice feature) {
    u32 low = 0;
    u32 high = list->count;
    while (low < high) {
        u32 middle = low + (high - low) / 2;
        int order = price_compare_text(feature, list->rows[middle].feature);
        if (order == 0) {
            return middle;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return UINT32_MAX;
}

/* --- changing -------------------------------------------------------------------------------- */

struct search {
    struct slice feature;
    u64 id; /* of its row; 0: it has none */
    bool removed;
    u32 count;
    enum err err;
};

static bool search_row(void *context, const struct control_object *object, struct slice value) {
    struct search *search = context;
    struct definition row;
    search->err = read_row(value, object->number, &row);
    if (search->err == ERR_OK && price_compare_text(row.feature, search->feature) == 0) {
        search->id = row.id;
        search->removed = row.removed;
    }
    search->count++;
    return search->err == ERR_OK;
}

static enum err search_rows(struct control_txn *txn, u32 account, struct search *search) {
    enum err err = control_txn_each(txn, account, CONTROL_FEATURE, search_row, search);
    return err != ERR_OK ? err : search->err;
}

/* Enters a new definition, in the place of one that was removed. */
static enum err enter(struct control_txn *txn, u32 account, struct definition *definition) {
    struct search search = {.feature = definition->feature};
    enum err err = search_rows(txn, account, &search);
    if (err != ERR_OK) {
        return err;
    }
    if (search.id != 0 && !search.removed) {
        return ERR_EXISTS;
    }
    if (search.id == 0 && search.count >= DEFINITIONS_MAX) {
        return ERR_LIMIT;
    }
    if (search.id != 0) {
        struct control_object before = object_of(account, search.id);
        control_txn_delete(txn, &before);
    }
    definition->id = 2 * control_next_number(txn, account, CONTROL_FEATURE);
    put_row(txn, account, definition);
    return ERR_OK;
}

enum err definition_create(struct control *control, u32 account, struct definition *definition) {
    struct control_txn txn;
    enum err err = control_begin(control, &txn);
    if (err != ERR_OK) {
        return err;
    }
    err = enter(&txn, account, definition);
    if (err != ERR_OK) {
        control_abort(&txn);
        return err;
    }
    return control_commit(&txn);
}

/* Of a definition that events made: whether it may have a row from now on. */
static enum err make_room(struct control_txn *txn, u32 account, struct slice feature) {
    struct search search = {.feature = feature};
    enum err err = search_rows(txn, account, &search);
    return err == ERR_OK && search.id == 0 && search.count >= DEFINITIONS_MAX ? ERR_LIMIT : err;
}

/* The row with an id, or what events made. The texts last until the next write. */
static enum err find_row(struct control_txn *txn, u32 account, u64 id,
                         const struct definition *made, struct definition *out) {
    struct control_object object = object_of(account, id);
    struct slice value;
    enum err err = control_txn_get(txn, &object, &value);
    if (err == ERR_OK) {
        err = read_row(value, id, out);
    }
    bool there = err == ERR_OK && !out->removed;
    if (there || (err != ERR_OK && err != ERR_NOT_FOUND)) {
        return err;
    }
    if (made == NULL || made->id != id) {
        return ERR_NOT_FOUND;
    }
    *out = *made;
    return make_room(txn, account, made->feature);
}

enum err definition_change(struct control *control, u32 account, u64 id,
                           const struct definition *made, const struct definition_change *change) {
    struct control_txn txn;
    struct definition row;
    enum err err = control_begin(control, &txn);
    if (err != ERR_OK) {
        return err;
    }
    err = find_row(&txn, account, id, made, &row);
    if (err != ERR_OK) {
        control_abort(&txn);
        return err;
    }
    row.name = change->name.data != NULL ? change->name : row.name;
    row.description = change->description.data != NULL ? change->description : row.description;
    row.code_location =
        change->code_location.data != NULL ? change->code_location : row.code_location;
    row.kind = change->kind != DEFINITION_KINDS ? change->kind : row.kind;
    row.updated_ms = change->now_ms;
    row.removed = false;
    row.removed_events = 0;
    put_row(&txn, account, &row);
    return control_commit(&txn);
}

enum err definition_remove(struct control *control, u32 account, u64 id,
                           const struct definition *made) {
    struct control_txn txn;
    struct definition row;
    enum err err = control_begin(control, &txn);
    if (err != ERR_OK) {
        return err;
    }
    err = find_row(&txn, account, id, made, &row);
    if (err != ERR_OK) {
        control_abort(&txn);
        return err;
    }
    struct control_object object = object_of(account, id);
    control_txn_delete(&txn, &object);
    if (made != NULL) {
        row = *made;
        row.removed = true;
        put_row(&txn, account, &row);
    }
    return control_commit(&txn);
}
