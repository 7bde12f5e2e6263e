/*
 * index.c: see index.h. Layout: header, for each dimension its page entries then its bitmap
 * entries, then pages and bitmaps. Bitmaps are in CRoaring's portable form and are copied when
 * read: values in LMDB are not aligned, and the library must never see bytes whose checksum does
 * not hold.
 */
#include "storage/index.h"

#include "base/hash.h"
#include "storage/column.h"

#include <roaring/roaring.h>
#include <stdlib.h>
#include <string.h>

#define INDEX_MAGIC 0x7864696du /* "midx" */
#define INDEX_VERSION 1
#define PAGE_PAIRS FRAME_ROWS_MAX

struct index_dim {
    u32 page_count;
    u32 bitmap_count;
};

struct index_header {
    u32 magic;
    u32 version;
    u32 row_count;
    u32 directory_bytes; /* entries of all dimensions, right behind the header */
    u64 directory_hash;
    u64 index_bytes;
    struct index_dim dims[INDEX_DIMS];
    u64 header_hash; /* of the bytes before it */
};
_Static_assert(sizeof(struct index_header) == 40 + INDEX_DIMS * 8, "no padding");

struct index_page {
    u32 first_value;
    u32 last_value;
    u32 count;
    u32 offset;
    u32 bytes;
    u32 value_bytes; /* the values' column; the rows' column follows */
    u32 hash;
};

struct index_bitmap {
    u32 value;
    u32 offset;
    u32 bytes; /* 0: dense, every row may match */
    u32 hash;
};

u32 index_text_value(struct slice text) {
    return (u32)hash64(text.data, text.bytes, 0);
}

/* --- building --------------------------------------------------------------------------------- */

struct bytes {
    u8 *data;
    usize bytes;
    usize capacity;
};

struct index_builder {
    u64 *pairs[INDEX_DIMS]; /* value << 32 | row */
    u32 pair_count[INDEX_DIMS];
    u32 varies[INDEX_DIMS]; /* bits in which the dimension's values differ from its first one */
    u64 *spare;             /* for sorting */
    u32 *rows;
    struct bytes directory;
    struct bytes body;
    struct bytes pages; /* entries of the current dimension */
    struct bytes bitmaps;
};

static bool bytes_reserve(struct bytes *bytes, usize more) {
    if (bytes->bytes + more <= bytes->capacity) {
        return true;
    }
    usize capacity = MAX(bytes->capacity, 64 * KIB);
    while (capacity < bytes->bytes + more) {
        capacity *= 2;
    }
    u8 *data = realloc(bytes->data, capacity);
    if (data == NULL) {
        return false;
    }
    bytes->data = data;
    bytes->capacity = capacity;
    return true;
}

static bool bytes_put(struct bytes *bytes, const void *data, usize count) {
    if (!bytes_reserve(bytes, count)) {
        return false;
    }
    if (count > 0) {
        memcpy(bytes->data + bytes->bytes, data, count);
    }
    bytes->bytes += count;
    return true;
}

enum err index_builder_create(struct index_builder **out) {
    struct index_builder *builder = calloc(1, sizeof *builder);
    if (builder == NULL) {
        return ERR_NO_MEMORY;
    }
    bool good = true;
    for (u32 dim = 0; dim < INDEX_DIMS; dim++) {
        builder->pairs[dim] = malloc(SEGMENT_ROWS_MAX * sizeof(u64));
        good = good && builder->pairs[dim] != NULL;
    }
    builder->spare = malloc(SEGMENT_ROWS_MAX * sizeof(u64));
    builder->rows = malloc(SEGMENT_ROWS_MAX * sizeof(u32));
    if (!good || builder->spare == NULL || builder->rows == NULL) {
        index_builder_destroy(builder);
        return ERR_NO_MEMORY;
    }
    *out = builder;
    return ERR_OK;
}

void index_builder_destroy(struct index_builder *builder) {
    if (builder != NULL) {
        for (u32 dim = 0; dim < INDEX_DIMS; dim++) {
            free(builder->pairs[dim]);
        }
        free(builder->spare);
        free(builder->rows);
        free(builder->directory.data);
        free(builder->body.data);
        free(builder->pages.data);
        free(builder->bitmaps.data);
        free(builder);
    }
}

void index_begin(struct index_builder *builder) {
    memset(builder->pair_count, 0, sizeof builder->pair_count);
    memset(builder->varies, 0, sizeof builder->varies);
}

void index_add(struct index_builder *builder, u32 dim, u32 value, u32 row) {
    check(dim < INDEX_DIMS && row < SEGMENT_ROWS_MAX);
    u32 count = builder->pair_count[dim];
    check(count < SEGMENT_ROWS_MAX);
    u64 *pairs = builder->pairs[dim];
    pairs[count] = (u64)value << 32 | row;
    builder->varies[dim] |= value ^ (u32)(pairs[0] >> 32);
    builder->pair_count[dim] = count + 1;
}

/* Least significant digit first, a byte at a time; rows ascend already, so only values are sorted.
 * Bytes in which all values agree cost nothing. */
static void sort_pairs(struct index_builder *builder, u32 dim) {
    u32 count = builder->pair_count[dim];
    for (u32 shift = 32; shift < 64; shift += 8) {
        if ((builder->varies[dim] >> (shift - 32) & 0xff) == 0) {
            continue;
        }
        u32 starts[256] = {0};
        const u64 *from = builder->pairs[dim];
        for (u32 i = 0; i < count; i++) {
            starts[from[i] >> shift & 0xff]++;
        }
        u32 sum = 0;
        for (u32 digit = 0; digit < 256; digit++) {
            u32 here = starts[digit];
            starts[digit] = sum;
            sum += here;
        }
        for (u32 i = 0; i < count; i++) {
            builder->spare[starts[from[i] >> shift & 0xff]++] = from[i];
        }
        u64 *sorted = builder->spare;
        builder->spare = builder->pairs[dim];
        builder->pairs[dim] = sorted;
    }
}

static bool put_page(struct index_builder *builder, const u64 *pairs, u32 count) {
    i64 values[PAGE_PAIRS];
    i64 rows[PAGE_PAIRS];
    for (u32 i = 0; i < count; i++) {
        values[i] = (i64)(pairs[i] >> 32);
        rows[i] = (i64)(pairs[i] & UINT32_MAX);
    }
    if (!bytes_reserve(&builder->body, 2 * COLUMN_BYTES_MAX(count))) {
        return false;
    }
    u8 *to = builder->body.data + builder->body.bytes;
    struct index_page page = {
        .first_value = (u32)values[0],
        .last_value = (u32)values[count - 1],
        .count = count,
        .offset = (u32)builder->body.bytes,
    };
    page.value_bytes = (u32)column_pack(to, values, count);
    page.bytes = page.value_bytes + (u32)column_pack(to + page.value_bytes, rows, count);
    page.hash = (u32)hash64(to, page.bytes, 0);
    builder->body.bytes += page.bytes;
    return bytes_put(&builder->pages, &page, sizeof page);
}

static bool put_bitmap(struct index_builder *builder, const u64 *pairs, u32 count) {
    struct index_bitmap entry = {
        .value = (u32)(pairs[0] >> 32),
        .offset = (u32)builder->body.bytes,
    };
    for (u32 i = 0; i < count; i++) {
        builder->rows[i] = (u32)pairs[i];
    }
    roaring_bitmap_t *bitmap = roaring_bitmap_of_ptr(count, builder->rows);
    if (bitmap == NULL) {
        return false;
    }
    roaring_bitmap_run_optimize(bitmap);
    usize bytes = roaring_bitmap_portable_size_in_bytes(bitmap);
    bool good = bytes_reserve(&builder->body, bytes);
    if (good) {
        u8 *to = builder->body.data + builder->body.bytes;
        roaring_bitmap_portable_serialize(bitmap, (char *)to);
        entry.bytes = (u32)bytes;
        entry.hash = (u32)hash64(to, bytes, 0);
        builder->body.bytes += bytes;
        good = bytes_put(&builder->bitmaps, &entry, sizeof entry);
    }
    roaring_bitmap_free(bitmap);
    return good;
}

/* One dimension: its pairs fall into values; rare ones wait in `page` until it is full. */
static bool put_dim(struct index_builder *builder, u32 dim, u32 row_count, struct index_dim *out) {
    u64 page[PAGE_PAIRS];
    u32 page_count = 0;
    const u64 *pairs = builder->pairs[dim];
    u32 count = builder->pair_count[dim];
    bool good = true;
    builder->pages.bytes = 0;
    builder->bitmaps.bytes = 0;
    for (u32 from = 0, to; from < count && good; from = to) {
        u32 value = (u32)(pairs[from] >> 32);
        for (to = from + 1; to < count && pairs[to] >> 32 == value; to++) {
        }
        u32 rows = to - from;
        if ((u64)rows * INDEX_DENSE >= row_count) {
            struct index_bitmap dense = {.value = value};
            good = bytes_put(&builder->bitmaps, &dense, sizeof dense);
        } else if (rows >= INDEX_COMMON) {
            good = put_bitmap(builder, pairs + from, rows);
        } else {
            if (page_count + rows > PAGE_PAIRS) {
                good = put_page(builder, page, page_count);
                page_count = 0;
            }
            memcpy(page + page_count, pairs + from, rows * sizeof *page);
            page_count += rows;
        }
    }
    if (good && page_count > 0) {
        good = put_page(builder, page, page_count);
    }
    out->page_count = (u32)(builder->pages.bytes / sizeof(struct index_page));
    out->bitmap_count = (u32)(builder->bitmaps.bytes / sizeof(struct index_bitmap));
    return good && bytes_put(&builder->directory, builder->pages.data, builder->pages.bytes) &&
           bytes_put(&builder->directory, builder->bitmaps.data, builder->bitmaps.bytes);
}

enum err index_finish(struct index_builder *builder, u32 row_count, struct slice *out) {
    struct index_header header = {
        .magic = INDEX_MAGIC, .version = INDEX_VERSION, .row_count = row_count};
    builder->body.bytes = 0;
    builder->directory.bytes = 0;
    if (!bytes_put(&builder->directory, &header, sizeof header)) {
        return ERR_NO_MEMORY;
    }
    for (u32 dim = 0; dim < INDEX_DIMS; dim++) {
        sort_pairs(builder, dim);
        if (!put_dim(builder, dim, row_count, &header.dims[dim])) {
            return ERR_NO_MEMORY;
        }
    }
    usize directory_bytes = builder->directory.bytes - sizeof header;
    header.directory_bytes = (u32)directory_bytes;
    header.directory_hash = hash64(builder->directory.data + sizeof header, directory_bytes, 0);
    header.index_bytes = builder->directory.bytes + builder->body.bytes;
    header.header_hash = hash64(&header, offsetof(struct index_header, header_hash), 0);
    memcpy(builder->directory.data, &header, sizeof header);
    if (!bytes_put(&builder->directory, builder->body.data, builder->body.bytes)) {
        return ERR_NO_MEMORY;
    }
    *out = (struct slice){(const char *)builder->directory.data, builder->directory.bytes};
    return ERR_OK;
}

/* --- looking up ------------------------------------------------------------------------------- */

struct index_rows {
    roaring_bitmap_t *bitmap; /* NULL: all rows */
};

struct view {
    const u8 *data;
    struct index_header header;
    usize body; /* offset of what the entries' offsets count from */
};

static enum err view_open(struct view *view, struct slice index) {
    struct index_header *header = &view->header;
    if (index.bytes < sizeof *header) {
        return ERR_CORRUPT;
    }
    view->data = (const u8 *)index.data;
    memcpy(header, index.data, sizeof *header);
    if (header->magic != INDEX_MAGIC || header->version != INDEX_VERSION ||
        header->header_hash != hash64(header, offsetof(struct index_header, header_hash), 0) ||
        header->index_bytes != index.bytes ||
        header->directory_bytes > index.bytes - sizeof *header ||
        header->row_count > SEGMENT_ROWS_MAX) {
        return ERR_CORRUPT;
    }
    u64 entries = 0;
    for (u32 dim = 0; dim < INDEX_DIMS; dim++) {
        entries += (u64)header->dims[dim].page_count * sizeof(struct index_page) +
                   (u64)header->dims[dim].bitmap_count * sizeof(struct index_bitmap);
    }
    view->body = sizeof *header + header->directory_bytes;
    return entries == header->directory_bytes &&
                   hash64(view->data + sizeof *header, header->directory_bytes, 0) ==
                       header->directory_hash
               ? ERR_OK
               : ERR_CORRUPT;
}

static usize dim_offset(const struct view *view, u32 dim) {
    usize offset = sizeof view->header;
    for (u32 i = 0; i < dim; i++) {
        offset += view->header.dims[i].page_count * sizeof(struct index_page) +
                  view->header.dims[i].bitmap_count * sizeof(struct index_bitmap);
    }
    return offset;
}

static struct index_page page_at(const struct view *view, usize offset, u32 index) {
    struct index_page page;
    memcpy(&page, view->data + offset + index * sizeof page, sizeof page);
    return page;
}

static struct index_bitmap bitmap_at(const struct view *view, usize offset, u32 index) {
    struct index_bitmap bitmap;
    memcpy(&bitmap, view->data + offset + index * sizeof bitmap, sizeof bitmap);
    return bitmap;
}

/* The verified bytes of a page or bitmap, or NULL. */
static const u8 *part_of(const struct view *view, u32 offset, u32 bytes, u32 hash) {
    usize from = view->body + offset;
    if (from + bytes > view->header.index_bytes) {
        return NULL;
    }
    const u8 *data = view->data + from;
    return (u32)hash64(data, bytes, 0) == hash ? data : NULL;
}

static enum err page_rows(const struct view *view, const struct index_page *page, u32 value,
                          roaring_bitmap_t *rows) {
    i64 values[PAGE_PAIRS];
    i64 numbers[PAGE_PAIRS];
    const u8 *data = part_of(view, page->offset, page->bytes, page->hash);
    if (data == NULL || page->count == 0 || page->count > PAGE_PAIRS ||
        page->value_bytes > page->bytes ||
        !column_unpack(data, page->value_bytes, values, page->count) ||
        !column_unpack(data + page->value_bytes, page->bytes - page->value_bytes, numbers,
                       page->count)) {
        return ERR_CORRUPT;
    }
    for (u32 i = 0; i < page->count; i++) {
        if (values[i] != (i64)value) {
            continue;
        }
        if (numbers[i] < 0 || numbers[i] >= (i64)view->header.row_count) {
            return ERR_CORRUPT;
        }
        roaring_bitmap_add(rows, (u32)numbers[i]);
    }
    return ERR_OK;
}

static enum err find_in_pages(const struct view *view, const struct index_term *term,
                              roaring_bitmap_t **out) {
    usize offset = dim_offset(view, term->dim);
    u32 low = 0;
    u32 high = view->header.dims[term->dim].page_count;
    while (low < high) { /* the first page that ends at or behind the value */
        u32 middle = low + (high - low) / 2;
        if (page_at(view, offset, middle).last_value < term->value) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    roaring_bitmap_t *rows = roaring_bitmap_create();
    if (rows == NULL) {
        return ERR_NO_MEMORY;
    }
    /* A value's rows are never split over pages. */
    enum err err = ERR_OK;
    if (low < view->header.dims[term->dim].page_count) {
        struct index_page page = page_at(view, offset, low);
        err = page_rows(view, &page, term->value, rows);
    }
    if (err != ERR_OK) {
        roaring_bitmap_free(rows);
        return err;
    }
    *out = rows;
    return ERR_OK;
}

/* *out stays NULL for a dense value. */
static enum err find_term(const struct view *view, const struct index_term *term,
                          roaring_bitmap_t **out) {
    const struct index_dim *dim = &view->header.dims[term->dim];
    usize offset = dim_offset(view, term->dim) + dim->page_count * sizeof(struct index_page);
    u32 low = 0;
    u32 high = dim->bitmap_count;
    while (low < high) {
        u32 middle = low + (high - low) / 2;
        if (bitmap_at(view, offset, middle).value < term->value) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    struct index_bitmap entry = {0};
    if (low < dim->bitmap_count) {
        entry = bitmap_at(view, offset, low);
    }
    if (low == dim->bitmap_count || entry.value != term->value) {
        return find_in_pages(view, term, out);
    }
    if (entry.bytes == 0) {
        return ERR_OK;
    }
    const u8 *data = part_of(view, entry.offset, entry.bytes, entry.hash);
    if (data == NULL) {
        return ERR_CORRUPT;
    }
    *out = roaring_bitmap_portable_deserialize_safe((const char *)data, entry.bytes);
    return *out != NULL ? ERR_OK : ERR_CORRUPT;
}

enum err index_match(struct slice index, const struct index_term *terms, u32 term_count,
                     struct index_rows **out) {
    struct view view;
    enum err err = view_open(&view, index);
    if (err != ERR_OK) {
        return err;
    }
    struct index_rows *rows = calloc(1, sizeof *rows);
    if (rows == NULL) {
        return ERR_NO_MEMORY;
    }
    for (u32 i = 0; i < term_count && err == ERR_OK; i++) {
        check(terms[i].dim < INDEX_DIMS);
        roaring_bitmap_t *found = NULL;
        err = find_term(&view, &terms[i], &found);
        if (rows->bitmap == NULL) {
            rows->bitmap = found;
        } else if (found != NULL) {
            roaring_bitmap_and_inplace(rows->bitmap, found);
            roaring_bitmap_free(found);
        }
    }
    if (err != ERR_OK) {
        index_rows_free(rows);
        return err;
    }
    *out = rows;
    return ERR_OK;
}

bool index_rows_any(const struct index_rows *rows, u32 from, u32 to) {
    return rows->bitmap == NULL || roaring_bitmap_range_cardinality(rows->bitmap, from, to) > 0;
}

u32 index_rows_take(const struct index_rows *rows, u32 from, u32 to, u32 *out) {
    u32 count = 0;
    if (rows->bitmap == NULL) {
        for (u32 row = from; row < to; row++) {
            out[count++] = row - from;
        }
        return count;
    }
    roaring_uint32_iterator_t at;
    roaring_init_iterator(rows->bitmap, &at);
    for (bool more = roaring_move_uint32_iterator_equalorlarger(&at, from);
         more && at.current_value < to; more = roaring_advance_uint32_iterator(&at)) {
        out[count++] = at.current_value - from;
    }
    return count;
}

void index_rows_free(struct index_rows *rows) {
    if (rows != NULL) {
        if (rows->bitmap != NULL) {
            roaring_bitmap_free(rows->bitmap);
        }
        free(rows);
    }
}

enum err index_verify(struct slice index) {
    struct view view;
    enum err err = view_open(&view, index);
    for (u32 dim = 0; dim < INDEX_DIMS && err == ERR_OK; dim++) {
        const struct index_dim *counts = &view.header.dims[dim];
        usize offset = dim_offset(&view, dim);
        for (u32 i = 0; i < counts->page_count; i++) {
            struct index_page page = page_at(&view, offset, i);
            if (part_of(&view, page.offset, page.bytes, page.hash) == NULL) {
                return ERR_CORRUPT;
            }
        }
        offset += counts->page_count * sizeof(struct index_page);
        for (u32 i = 0; i < counts->bitmap_count; i++) {
            struct index_bitmap bitmap = bitmap_at(&view, offset, i);
            if (bitmap.bytes > 0 &&
                part_of(&view, bitmap.offset, bitmap.bytes, bitmap.hash) == NULL) {
                return ERR_CORRUPT;
            }
        }
    }
    return err;
}
