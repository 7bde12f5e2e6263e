/* upload.c: rows of an upload, and the event columns they become (upload.h). */
#include "upload/upload.h"

#include <stdlib.h>
#include <string.h>

#include "event/decode.h"
#include "upload/bill.h"
#include "upload/records.h"

#define ROWS_AT_FIRST 64

const char *upload_event_name(enum upload_kind kind) {
    static const char *const names[UPLOAD_KINDS] = {"cost", "usage", "provider_import", "revenue"};
    check((u32)kind < UPLOAD_KINDS);
    return names[kind];
}

static enum granularity granularity_of(enum upload_kind kind) {
    switch (kind) {
    case UPLOAD_COSTS:
    case UPLOAD_USAGE:
        return GRANULARITY_MONTHLY;
    case UPLOAD_PROVIDER:
        return GRANULARITY_DAILY;
    default:
        return GRANULARITY_EVENT;
    }
}

void upload_init(struct upload *upload, enum upload_kind kind, i64 now_ms) {
    *upload = (struct upload){
        .kind = kind, .now_ms = now_ms, .oldest_ms = INT64_MIN, .error_at = UPLOAD_NOWHERE};
}

void upload_free(struct upload *upload) {
    free(upload->rows);
    upload->rows = NULL;
}

enum err upload_read(struct upload *upload, char *body, usize bytes) {
    check(upload->kind != UPLOAD_REVENUE);
    return upload->kind == UPLOAD_PROVIDER ? bill_read(upload, body, bytes)
                                           : records_read(upload, body, bytes);
}

enum err upload_add_row(struct upload *upload, struct upload_row **out) {
    if (upload->count == upload->capacity) {
        u32 capacity = MAX(2 * upload->capacity, (u32)ROWS_AT_FIRST);
        struct upload_row *rows = realloc(upload->rows, capacity * sizeof *rows);
        if (rows == NULL) {
            return ERR_NO_MEMORY;
        }
        upload->rows = rows;
        upload->capacity = capacity;
    }
    *out = &upload->rows[upload->count++];
    memset(*out, 0, sizeof **out);
    (*out)->record = upload->record_count;
    const char *name = upload_event_name(upload->kind);
    upload_set_text(*out, TEXT_EVENT_NAME, (struct slice){name, strlen(name)});
    return ERR_OK;
}

void upload_add_problem(struct upload *upload, u32 index, const char *text) {
    if (upload->problem_count < UPLOAD_PROBLEMS_MAX) {
        upload->problems[upload->problem_count] = (struct upload_problem){index, text};
    }
    upload->problem_count++;
}

/* --- filling --------------------------------------------------------------------------------- */

#define LIMIT_BEGIN "{\"limit\":"
#define LIMIT_END "}"
#define LIMIT_BYTES (sizeof LIMIT_BEGIN + sizeof LIMIT_END)

usize upload_text_bytes(const struct upload *upload, u32 first, u32 count) {
    usize bytes = EVENT_TEXT_PADDING;
    for (u32 i = first; i < first + count; i++) {
        const struct upload_row *row = &upload->rows[i];
        for (u32 text = 0; text < TEXT_COUNT; text++) {
            bytes += row->text[text].bytes;
        }
        bytes += row->limit.bytes > 0 ? row->limit.bytes + LIMIT_BYTES : 0;
    }
    return bytes;
}

static struct text_ref put(struct event_batch *batch, struct slice text) {
    struct text_ref ref;
    check(batch_add_text(batch, text, &ref) == ERR_OK);
    return ref;
}

/* The text, or where it stands already: neighbours often have the very same one. */
static struct text_ref put_text(struct event_batch *batch, const struct upload_row *before, u32 row,
                                u32 text, struct slice value) {
    bool same = before != NULL && before->text[text].data == value.data &&
                before->text[text].bytes == value.bytes;
    return same ? batch->ref[text][row - 1] : put(batch, value);
}

static void put_limit(struct event_batch *batch, u32 row, struct slice limit) {
    struct text_ref ref = put(batch, SLICE(LIMIT_BEGIN));
    ref.bytes += put(batch, limit).bytes;
    ref.bytes += put(batch, SLICE(LIMIT_END)).bytes;
    batch->ref[TEXT_PROPERTIES][row] = ref;
    batch->present[row] |= TEXT_BIT(TEXT_PROPERTIES);
}

static void fill_row(struct event_batch *batch, const struct upload_row *from,
                     const struct upload_row *before) {
    u32 row = batch->count++;
    batch->present[row] = from->present;
    for (u32 text = 0; text < TEXT_COUNT; text++) {
        if ((from->present & TEXT_BIT(text)) != 0) {
            batch->ref[text][row] = put_text(batch, before, row, text, from->text[text]);
        }
    }
    for (u32 number = 0; number < NUM_COUNT; number++) {
        batch->number[number][row] = from->number[number];
    }
    if (from->limit.bytes > 0) {
        put_limit(batch, row, from->limit);
    }
    bool has_cost = (from->present & NUM_BIT(NUM_COST)) != 0;
    bool has_revenue = (from->present & NUM_BIT(NUM_REVENUE)) != 0;
    batch->cost_source[row] = has_cost ? COST_EXPLICIT : COST_NONE;
    batch->revenue_source[row] = has_revenue ? REVENUE_EXPLICIT : REVENUE_NONE;
}

void upload_fill(const struct upload *upload, u32 first, u32 count, struct event_batch *batch) {
    check(batch->count + count <= EVENT_BATCH_MAX && first + count <= upload->count);
    for (u32 i = first; i < first + count; i++) {
        u32 row = batch->count;
        fill_row(batch, &upload->rows[i], i > first ? &upload->rows[i - 1] : NULL);
        batch->series[row] = SERIES_UNRESOLVED;
        batch->created[row] = upload->now_ms;
        batch->source[row] = SOURCE_CSV;
        batch->granularity[row] = (u8)granularity_of(upload->kind);
        batch->flags[row] = 0;
        batch->digest[row] = 0;
    }
}
