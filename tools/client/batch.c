/*
 * batch.c: the builder of native batches. Fields that repeat (customer, feature, model...) go into
 * a dictionary each, found by a small hash table; the others stand one after the other. Numbers are
 * kept whole and narrowed when the batch is written, if all of a column fit.
 */
#include <stdlib.h>

#include "base/buf.h"
#include "base/hash.h"
#include "codec.h"
#include "wire/frame.h"

#define DICTIONARIES (WIRE_TEXT_AGENT + 1)
#define SLOTS 8192 /* of a dictionary's hash table: twice the entries */
#define TEXT_LENGTH_MAX (32 * KIB)
#define TEXT_TOTAL_MAX (WIRE_FRAME_BYTES_MAX / 2)
_Static_assert(SLOTS >= 2 * WIRE_EVENTS_MAX, "the tables stay at most half full");

struct text_column {
    u32 entries;                 /* of a dictionary */
    u16 bytes[WIRE_EVENTS_MAX];  /* of each entry, or of each event */
    u32 offset[WIRE_EVENTS_MAX]; /* of each entry in `text`; dictionaries only */
    u16 index[WIRE_EVENTS_MAX];  /* entry of each event; dictionaries only */
    struct buf text;
};

struct number_column {
    i64 least;
    i64 most;
    i64 value[WIRE_EVENTS_MAX];
};

struct margin_batch {
    u32 count;
    u32 columns; /* WIRE_TEXT_BIT | WIRE_NUM_BIT used by any event */
    usize text_bytes;
    u32 present[WIRE_EVENTS_MAX];
    struct text_column text[WIRE_TEXTS];
    struct number_column number[WIRE_NUMS];
    u16 slot[DICTIONARIES][SLOTS]; /* entry + 1; 0: free */
};

struct margin_batch *margin_batch_create(void) {
    struct margin_batch *batch = calloc(1, sizeof *batch);
    if (batch == NULL) {
        return NULL;
    }
    for (u32 i = 0; i < WIRE_TEXTS; i++) {
        buf_init(&batch->text[i].text, TEXT_TOTAL_MAX + TEXT_LENGTH_MAX);
    }
    return batch;
}

void margin_batch_free(struct margin_batch *batch) {
    for (u32 i = 0; batch != NULL && i < WIRE_TEXTS; i++) {
        buf_free(&batch->text[i].text);
    }
    free(batch);
}

void margin_batch_clear(struct margin_batch *batch) {
    for (u32 i = 0; i < WIRE_TEXTS; i++) {
        if (i < DICTIONARIES && batch->text[i].entries > 0) {
            memset(batch->slot[i], 0, sizeof batch->slot[i]);
        }
        batch->text[i].entries = 0;
        buf_clear(&batch->text[i].text);
    }
    batch->count = 0;
    batch->columns = 0;
    batch->text_bytes = 0;
}

u32 margin_batch_count(const struct margin_batch *batch) {
    return batch->count;
}

enum margin_status margin_batch_event(struct margin_batch *batch) {
    if (batch->count == WIRE_EVENTS_MAX || batch->text_bytes > TEXT_TOTAL_MAX - 512 * KIB) {
        return MARGIN_LIMIT;
    }
    u32 index = batch->count++;
    batch->present[index] = 0;
    for (u32 i = 0; i < WIRE_TEXTS; i++) {
        if (i < DICTIONARIES) {
            batch->text[i].index[index] = 0;
        } else {
            batch->text[i].bytes[index] = 0;
        }
    }
    for (u32 i = 0; i < WIRE_NUMS; i++) {
        batch->number[i].value[index] = 0;
    }
    return MARGIN_OK;
}

static enum margin_status add_entry(struct margin_batch *batch, u32 column, struct slice text,
                                    u32 slot) {
    struct text_column *to = &batch->text[column];
    u32 entry = to->entries;
    to->offset[entry] = (u32)to->text.bytes;
    to->bytes[entry] = (u16)text.bytes;
    buf_put_slice(&to->text, text);
    if (to->text.failed) {
        return MARGIN_NO_MEMORY;
    }
    batch->text_bytes += text.bytes;
    batch->slot[column][slot] = (u16)(entry + 1);
    to->entries++;
    to->index[batch->count - 1] = (u16)entry;
    return MARGIN_OK;
}

static enum margin_status add_dictionary(struct margin_batch *batch, u32 column,
                                         struct slice text) {
    struct text_column *to = &batch->text[column];
    u32 slot = (u32)hash64(text.data, text.bytes, 0) & (SLOTS - 1);
    while (batch->slot[column][slot] != 0) {
        u32 entry = batch->slot[column][slot] - 1u;
        if (to->bytes[entry] == text.bytes &&
            memcmp(to->text.data + to->offset[entry], text.data, text.bytes) == 0) {
            to->index[batch->count - 1] = (u16)entry;
            return MARGIN_OK;
        }
        slot = (slot + 1) & (SLOTS - 1);
    }
    return add_entry(batch, column, text, slot);
}

static enum margin_status add_direct(struct margin_batch *batch, u32 column, struct slice text) {
    struct text_column *to = &batch->text[column];
    buf_put_slice(&to->text, text);
    if (to->text.failed) {
        return MARGIN_NO_MEMORY;
    }
    batch->text_bytes += text.bytes;
    to->bytes[batch->count - 1] = (u16)text.bytes;
    return MARGIN_OK;
}

enum margin_status margin_batch_text(struct margin_batch *batch, enum wire_text column,
                                     struct slice text) {
    if ((u32)column >= WIRE_TEXT_REFS || text.bytes > TEXT_LENGTH_MAX || batch->count == 0 ||
        (batch->present[batch->count - 1] & WIRE_TEXT_BIT(column)) != 0 ||
        (text.bytes > 0 && memchr(text.data, 0, text.bytes) != NULL)) {
        return MARGIN_INVALID;
    }
    if (text.bytes == 0) {
        text.data = "";
    }
    enum margin_status status = column < DICTIONARIES ? add_dictionary(batch, column, text)
                                                      : add_direct(batch, column, text);
    if (status == MARGIN_OK) {
        batch->present[batch->count - 1] |= WIRE_TEXT_BIT(column);
        batch->columns |= WIRE_TEXT_BIT(column);
    }
    return status;
}

enum margin_status margin_batch_number(struct margin_batch *batch, enum wire_number column,
                                       i64 value) {
    if ((u32)column >= WIRE_NUMS || batch->count == 0) {
        return MARGIN_INVALID;
    }
    struct number_column *to = &batch->number[column];
    bool first = (batch->columns & WIRE_NUM_BIT(column)) == 0;
    to->least = first ? value : MIN(to->least, value);
    to->most = first ? value : MAX(to->most, value);
    to->value[batch->count - 1] = value;
    batch->present[batch->count - 1] |= WIRE_NUM_BIT(column);
    batch->columns |= WIRE_NUM_BIT(column);
    return MARGIN_OK;
}

/* --- writing ---------------------------------------------------------------------------------- */

static bool is_narrow(const struct number_column *column) {
    return column->least >= 0 && column->most <= UINT32_MAX;
}

static usize filled(usize bytes) {
    return (bytes + 7) / 8 * 8;
}

static usize column_bytes(const struct margin_batch *batch, u32 column) {
    if (column < DICTIONARIES) {
        const struct text_column *text = &batch->text[column];
        return filled(2 * (usize)text->entries + 2 * (usize)batch->count + text->text.bytes);
    }
    if (column < WIRE_TEXTS) {
        return filled(2 * (usize)batch->count + batch->text[column].text.bytes);
    }
    if (column == WIRE_COLUMN_PRESENT) {
        return filled(4 * (usize)batch->count);
    }
    usize width = is_narrow(&batch->number[column - WIRE_NUM_COLUMN]) ? 4 : 8;
    return filled(width * batch->count);
}

static u32 columns_of(const struct margin_batch *batch) {
    return batch->columns | (u32)1 << WIRE_COLUMN_PRESENT;
}

usize codec_batch_bytes(const struct margin_batch *batch) {
    usize bytes = WIRE_BATCH_HEADER_BYTES;
    for (u32 left = columns_of(batch); left != 0; left &= left - 1) {
        bytes += WIRE_COLUMN_HEADER_BYTES + column_bytes(batch, (u32)__builtin_ctz(left));
    }
    return bytes;
}

static char *write_column_header(char *to, const struct margin_batch *batch, u32 column) {
    u8 encoding = WIRE_ENCODING_PRESENT;
    u32 entries = 0;
    usize text_bytes = 0;
    if (column < WIRE_TEXTS) {
        encoding = column < DICTIONARIES ? WIRE_ENCODING_DICT : WIRE_ENCODING_DIRECT;
        entries = column < DICTIONARIES ? batch->text[column].entries : 0;
        text_bytes = batch->text[column].text.bytes;
    } else if (column != WIRE_COLUMN_PRESENT) {
        bool narrow = is_narrow(&batch->number[column - WIRE_NUM_COLUMN]);
        encoding = narrow ? WIRE_ENCODING_U32 : WIRE_ENCODING_I64;
    }
    to = wire_write_u8(to, (u8)column);
    to = wire_write_u8(to, encoding);
    to = wire_write_u16(to, 0);
    to = wire_write_u32(to, entries);
    to = wire_write_u32(to, (u32)column_bytes(batch, column));
    return wire_write_u32(to, (u32)text_bytes);
}

static char *put(char *to, const void *from, usize bytes) {
    if (bytes > 0) {
        memcpy(to, from, bytes);
    }
    return to + bytes;
}

static char *write_numbers(char *to, const struct number_column *column, u32 count) {
    if (!is_narrow(column)) {
        return put(to, column->value, 8 * (usize)count);
    }
    for (u32 i = 0; i < count; i++) {
        to = wire_write_u32(to, (u32)column->value[i]);
    }
    return to;
}

static char *write_column(char *to, const struct margin_batch *batch, u32 column) {
    char *end = to + column_bytes(batch, column);
    if (column < WIRE_TEXTS) {
        const struct text_column *text = &batch->text[column];
        bool dictionary = column < DICTIONARIES;
        to = put(to, text->bytes, 2 * (usize)(dictionary ? text->entries : batch->count));
        to = put(to, text->index, dictionary ? 2 * (usize)batch->count : 0);
        to = put(to, text->text.data, text->text.bytes);
    } else if (column == WIRE_COLUMN_PRESENT) {
        to = put(to, batch->present, 4 * (usize)batch->count);
    } else {
        to = write_numbers(to, &batch->number[column - WIRE_NUM_COLUMN], batch->count);
    }
    memset(to, 0, (usize)(end - to));
    return end;
}

char *codec_write_batch(char *to, const struct margin_batch *batch) {
    u32 columns = columns_of(batch);
    to = wire_write_u16(to, WIRE_BATCH_LAYOUT);
    to = wire_write_u16(to, (u16)__builtin_popcount(columns));
    to = wire_write_u32(to, batch->count);
    to = wire_write_u64(to, 0);
    for (u32 left = columns; left != 0; left &= left - 1) {
        to = write_column_header(to, batch, (u32)__builtin_ctz(left));
    }
    for (u32 left = columns; left != 0; left &= left - 1) {
        to = write_column(to, batch, (u32)__builtin_ctz(left));
    }
    return to;
}
