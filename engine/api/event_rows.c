/* event_rows.c: reads the wanted rows in one scan and keeps their JSON, not their fields. */
#include "api/event_rows.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

void event_rows_init(struct event_rows *rows) {
    *rows = (struct event_rows){.count = 0};
    buf_init(&rows->text, REPLY_BYTES_MAX);
}

void event_rows_free(struct event_rows *rows) {
    free(rows->rows);
    buf_free(&rows->text);
}

static enum err next_batch(struct store_scan *scan, const struct event_batch **batch,
                           bool *damaged) {
    const struct series_def *defs;
    u32 def_count;
    struct store_damage damage;
    for (;;) {
        enum err err = store_scan_next(scan, batch, &defs, &def_count, &damage);
        if (err != ERR_CORRUPT) {
            return err;
        }
        *damaged = true;
        log_warn("damaged_block", "id_from=%llu id_to=%llu what=\"%s\"",
                 (unsigned long long)damage.id_from, (unsigned long long)damage.id_to, damage.what);
    }
}

enum err event_rows_next(struct store_scan *scan, const struct event_batch **batch) {
    bool damaged;
    return next_batch(scan, batch, &damaged);
}

static struct text_ref keep(struct event_rows *rows, struct slice text) {
    struct text_ref ref = {(u32)rows->text.bytes, (u32)text.bytes};
    buf_put_slice(&rows->text, text);
    return ref;
}

static enum err add_row(struct event_rows *rows, const struct event_object *object,
                        const struct event_batch *batch, u32 index) {
    if (rows->count == rows->capacity) {
        u32 capacity = MAX(rows->capacity * 2, 64u);
        struct event_row *grown = realloc(rows->rows, capacity * sizeof *grown);
        if (grown == NULL) {
            return ERR_NO_MEMORY;
        }
        rows->rows = grown;
        rows->capacity = capacity;
    }
    struct event_row *row = &rows->rows[rows->count++];
    row->id = batch->id[index];
    row->time_ms = batch->number[NUM_TIME][index];
    row->span = keep(rows, event_text_of(batch, index, TEXT_SPAN));
    row->parent = keep(rows, event_text_of(batch, index, TEXT_PARENT));
    row->offset = (u32)rows->text.bytes;
    struct json_writer json = json_writer(&rows->text);
    event_object_write(&json, object, batch, index);
    row->bytes = (u32)(rows->text.bytes - row->offset);
    return rows->text.failed ? ERR_LIMIT : ERR_OK;
}

/* Adds what one scan gives; with `ids`, only those (ascending). */
static enum err read_rows(struct event_rows *rows, struct store *store,
                          const struct event_object *object, const struct store_filter *filter,
                          const u64 *ids, u32 count, u32 max) {
    u32 columns = EVENT_OBJECT_COLUMNS | (object->bodies ? EVENT_BODIES_COLUMNS : 0);
    struct store_scan_options options = {
        .filter = *filter, .columns = columns, .ids = ids, .id_count = count};
    struct store_scan *scan;
    enum err err = store_scan_open(store, &options, &scan);
    if (err != ERR_OK) {
        return err;
    }
    const struct event_batch *batch;
    while ((err = next_batch(scan, &batch, &rows->damaged)) == ERR_OK && batch->count > 0) {
        for (u32 i = 0; err == ERR_OK && i < batch->count; i++) {
            err = rows->count == max ? ERR_LIMIT : add_row(rows, object, batch, i);
        }
        if (err != ERR_OK) {
            break;
        }
    }
    store_scan_close(scan);
    return err;
}

static int compare_ids(const void *a, const void *b) {
    u64 left = *(const u64 *)a;
    u64 right = *(const u64 *)b;
    return (left > right) - (left < right);
}

enum err event_rows_fetch(struct event_rows *rows, struct store *store,
                          const struct event_object *object, const struct store_filter *filter,
                          const u64 *ids, u32 count) {
    u64 sorted[PAGE_EVENTS_MAX];
    check(count <= PAGE_EVENTS_MAX);
    memcpy(sorted, ids, count * sizeof *ids);
    qsort(sorted, count, sizeof *sorted, compare_ids);
    return read_rows(rows, store, object, filter, sorted, count, PAGE_EVENTS_MAX);
}

enum err event_rows_read(struct event_rows *rows, struct store *store,
                         const struct event_object *object, const struct store_filter *filter,
                         u32 max) {
    return read_rows(rows, store, object, filter, NULL, 0, max);
}

const struct event_row *event_rows_find(const struct event_rows *rows, u64 id) {
    u32 low = 0;
    u32 high = rows->count;
    while (low < high) {
        u32 middle = low + (high - low) / 2;
        if (rows->rows[middle].id < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < rows->count && rows->rows[low].id == id ? &rows->rows[low] : NULL;
}

struct slice event_rows_text(const struct event_rows *rows, const struct event_row *row) {
    return (struct slice){rows->text.data + row->offset, row->bytes};
}
