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
#define INDEX_TEXTS (INDEX_DIMS - STORE_DIMS)
#define COUNTED_KEYS 65536 /* values below it, less one, are sorted by counting them */
#define DIGIT_BITS 11
#define ROWS_CHUNK 256 /* rows whose series are looked up ahead: their dimensions lie anywhere */

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
    u32 row_count;
    u32 first[STORE_DIMS];   /* of the first row; DIM_NONE where it has no value */
    u32 varies[STORE_DIMS];  /* bits in which other rows' values differ from it */
    u32 *values[STORE_DIMS]; /* of every row, where they vary */
    u64 *texts[INDEX_TEXTS]; /* value << 32 | row of the rows that have one */
    u32 text_count[INDEX_TEXTS];

    /* The dimension being put: its pairs (value << 32 | row), sorted, without the dense values. */
    u64 *pairs;
    u64 *spare;
    u32 pair_count;
    u32 dense[INDEX_DENSE]; /* ascending; no more can be in so many rows */
    u32 dense_count;
    u32 *counts; /* two tables of COUNTED_KEYS */
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
    for (u32 dim = 0; dim < STORE_DIMS; dim++) {
        builder->values[dim] = malloc(SEGMENT_ROWS_MAX * sizeof(u32));
        good = good && builder->values[dim] != NULL;
    }
    for (u32 text = 0; text < INDEX_TEXTS; text++) {
        builder->texts[text] = malloc(SEGMENT_ROWS_MAX * sizeof(u64));
        good = good && builder->texts[text] != NULL;
    }
    builder->pairs = malloc((SEGMENT_ROWS_MAX + 1) * sizeof(u64));
    builder->spare = malloc((SEGMENT_ROWS_MAX + 1) * sizeof(u64));
    builder->counts = malloc(2 * COUNTED_KEYS * sizeof(u32));
    builder->rows = malloc(SEGMENT_ROWS_MAX * sizeof(u32));
    if (!good || builder->pairs == NULL || builder->spare == NULL || builder->counts == NULL ||
        builder->rows == NULL) {
        index_builder_destroy(builder);
        return ERR_NO_MEMORY;
    }
    *out = builder;
    return ERR_OK;
}

void index_builder_destroy(struct index_builder *builder) {
    if (builder != NULL) {
        for (u32 dim = 0; dim < STORE_DIMS; dim++) {
            free(builder->values[dim]);
        }
        for (u32 text = 0; text < INDEX_TEXTS; text++) {
            free(builder->texts[text]);
        }
        free(builder->pairs);
        free(builder->spare);
        free(builder->counts);
        free(builder->rows);
        free(builder->directory.data);
        free(builder->body.data);
        free(builder->pages.data);
        free(builder->bitmaps.data);
        free(builder);
    }
}

void index_begin(struct index_builder *builder) {
    builder->row_count = 0;
    memset(builder->text_count, 0, sizeof builder->text_count);
    memset(builder->varies, 0, sizeof builder->varies);
}

/* Writes the values of a dimension down, from the first row that brings a second one on. */
static void put_column(struct index_builder *builder, u32 dim, u32 (*dims)[STORE_DIMS], u32 count,
                       bool is_new) {
    u32 *values = builder->values[dim];
    u32 at = builder->row_count;
    for (u32 i = 0; i < at && is_new; i++) {
        values[i] = builder->first[dim];
    }
    for (u32 i = 0; i < count; i++) {
        values[at + i] = dims[i][dim];
    }
}

static void add_chunk(struct index_builder *builder, const u32 **found, u32 count) {
    u32 dims[ROWS_CHUNK][STORE_DIMS];
    u32 varies[STORE_DIMS] = {0};
    u32 first[STORE_DIMS];
    if (builder->row_count == 0) {
        memcpy(builder->first, found[0], sizeof first);
    }
    memcpy(first, builder->first, sizeof first);
    for (u32 i = 0; i < count; i++) {
        memcpy(dims[i], found[i], sizeof dims[i]);
        for (u32 dim = 0; dim < STORE_DIMS; dim++) {
            varies[dim] |= dims[i][dim] ^ first[dim];
        }
    }
    for (u32 dim = 0; dim < STORE_DIMS; dim++) {
        if ((builder->varies[dim] | varies[dim]) != 0) {
            put_column(builder, dim, dims, count, builder->varies[dim] == 0);
            builder->varies[dim] |= varies[dim];
        }
    }
    builder->row_count += count;
}

void index_add_rows(struct index_builder *builder, index_dims_of dims_of, void *context,
                    const u32 *series, u32 count) {
    const u32 *found[ROWS_CHUNK];
    check(builder->row_count + count <= SEGMENT_ROWS_MAX);
    for (u32 from = 0; from < count; from += ROWS_CHUNK) {
        u32 some = MIN(count - from, (u32)ROWS_CHUNK);
        for (u32 i = 0; i < some; i++) {
            found[i] = dims_of(context, series[from + i]);
            __builtin_prefetch(found[i]);
        }
        add_chunk(builder, found, some);
    }
}

void index_add_text(struct index_builder *builder, u32 dim, struct slice text, u32 row) {
    check(dim >= STORE_DIMS && dim < INDEX_DIMS && row < SEGMENT_ROWS_MAX);
    u32 *count = &builder->text_count[dim - STORE_DIMS];
    check(*count < SEGMENT_ROWS_MAX);
    builder->texts[dim - STORE_DIMS][(*count)++] = (u64)index_text_value(text) << 32 | row;
}

/* --- sorting ---------------------------------------------------------------------------------- */

/* Few different values, or small ones: all are counted, and rows of dense values never moved. A key
 * is a value and 1, so that rows without a value have key 0. */
static void sort_counted(struct index_builder *builder, const u32 *values, u32 key_max) {
    u32 rows = builder->row_count;
    u32 *counts = builder->counts;
    u32 *odd = counts + COUNTED_KEYS;
    memset(counts, 0, (key_max + 1) * sizeof *counts);
    memset(odd, 0, (key_max + 1) * sizeof *odd);
    /* Neighbours are often equal: two tables, so that no addition waits for the one before. */
    for (u32 i = 0; i + 1 < rows; i += 2) {
        counts[values[i] + 1]++;
        odd[values[i + 1] + 1]++;
    }
    counts[values[rows - 1] + 1] += rows % 2;
    u32 start = 0;
    u32 *keeps = odd; /* from now on: 1 if the key's pairs are kept */
    for (u32 key = 0; key <= key_max; key++) {
        u32 count = counts[key] + odd[key];
        bool dense = key > 0 && count > 0 && (u64)count * INDEX_DENSE >= rows;
        if (dense) {
            builder->dense[builder->dense_count++] = key - 1;
        }
        keeps[key] = key > 0 && !dense;
        counts[key] = keeps[key] != 0 ? start : SEGMENT_ROWS_MAX; /* a place for what is dropped */
        start += keeps[key] != 0 ? count : 0;
    }
    builder->pair_count = start;
    for (u32 i = 0; i < rows && start > 0; i++) {
        u32 key = values[i] + 1;
        builder->pairs[counts[key]] = (u64)values[i] << 32 | i;
        counts[key] += keeps[key];
    }
}

/* Least significant digit first; rows ascend already, so only values are sorted. Digits in which
 * all values agree cost nothing. */
static void sort_pairs(struct index_builder *builder, u32 varies) {
    u32 count = builder->pair_count;
    for (u32 shift = 0; shift < 32 && varies >> shift != 0; shift += DIGIT_BITS) {
        u32 mask = (1u << DIGIT_BITS) - 1;
        if ((varies >> shift & mask) == 0) {
            continue;
        }
        u32 starts[1u << DIGIT_BITS] = {0};
        const u64 *from = builder->pairs;
        for (u32 i = 0; i < count; i++) {
            starts[from[i] >> (32 + shift) & mask]++;
        }
        u32 sum = 0;
        for (u32 digit = 0; digit <= mask; digit++) {
            u32 here = starts[digit];
            starts[digit] = sum;
            sum += here;
        }
        for (u32 i = 0; i < count; i++) {
            builder->spare[starts[from[i] >> (32 + shift) & mask]++] = from[i];
        }
        u64 *sorted = builder->spare;
        builder->spare = builder->pairs;
        builder->pairs = sorted;
    }
}

static void sort_values(struct index_builder *builder, u32 dim) {
    const u32 *values = builder->values[dim];
    u32 rows = builder->row_count;
    u32 key_max = 0; /* not below any value and 1 */
    builder->pair_count = 0;
    builder->dense_count = 0;
    if (builder->varies[dim] == 0) { /* one value, or none, for all */
        builder->dense[0] = builder->first[dim];
        builder->dense_count = builder->first[dim] != DIM_NONE;
        return;
    }
    for (u32 i = 0; i < rows; i++) {
        key_max |= values[i] + 1;
    }
    if (key_max < COUNTED_KEYS) {
        sort_counted(builder, values, key_max);
        return;
    }
    u32 count = 0;
    for (u32 i = 0; i < rows; i++) {
        builder->pairs[count] = (u64)values[i] << 32 | i;
        count += values[i] != DIM_NONE;
    }
    builder->pair_count = count;
    sort_pairs(builder, builder->varies[dim]);
}

static void sort_texts(struct index_builder *builder, u32 text) {
    builder->dense_count = 0;
    builder->pair_count = builder->text_count[text];
    memcpy(builder->pairs, builder->texts[text], builder->pair_count * sizeof(u64));
    sort_pairs(builder, UINT32_MAX);
}

/* --- coding ----------------------------------------------------------------------------------- */

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

static bool put_dense(struct index_builder *builder, u32 value) {
    struct index_bitmap dense = {.value = value};
    return bytes_put(&builder->bitmaps, &dense, sizeof dense);
}

/* One dimension: its pairs fall into values; rare ones wait in `page` until it is full. */
static bool put_dim(struct index_builder *builder, u32 row_count, struct index_dim *out) {
    u64 page[PAGE_PAIRS];
    u32 page_count = 0;
    u32 dense = 0; /* dense values that are put */
    const u64 *pairs = builder->pairs;
    u32 count = builder->pair_count;
    bool good = true;
    builder->pages.bytes = 0;
    builder->bitmaps.bytes = 0;
    for (u32 from = 0, to; from < count && good; from = to) {
        u32 value = (u32)(pairs[from] >> 32);
        for (to = from + 1; to < count && pairs[to] >> 32 == value; to++) {
        }
        u32 rows = to - from;
        while (dense < builder->dense_count && builder->dense[dense] < value && good) {
            good = put_dense(builder, builder->dense[dense++]);
        }
        if ((u64)rows * INDEX_DENSE >= row_count) {
            good = good && put_dense(builder, value);
        } else if (rows >= INDEX_COMMON) {
            good = good && put_bitmap(builder, pairs + from, rows);
        } else {
            if (page_count + rows > PAGE_PAIRS) {
                good = good && put_page(builder, page, page_count);
                page_count = 0;
            }
            for (u32 i = from; i < to; i++) {
                page[page_count++] = pairs[i];
            }
        }
    }
    if (good && page_count > 0) {
        good = put_page(builder, page, page_count);
    }
    while (dense < builder->dense_count && good) {
        good = put_dense(builder, builder->dense[dense++]);
    }
    out->page_count = (u32)(builder->pages.bytes / sizeof(struct index_page));
    out->bitmap_count = (u32)(builder->bitmaps.bytes / sizeof(struct index_bitmap));
    return good && bytes_put(&builder->directory, builder->pages.data, builder->pages.bytes) &&
           bytes_put(&builder->directory, builder->bitmaps.data, builder->bitmaps.bytes);
}

enum err index_finish(struct index_builder *builder, struct slice *out) {
    u32 row_count = builder->row_count;
    check(row_count > 0);
    struct index_header header = {
        .magic = INDEX_MAGIC, .version = INDEX_VERSION, .row_count = row_count};
    builder->body.bytes = 0;
    builder->directory.bytes = 0;
    if (!bytes_put(&builder->directory, &header, sizeof header)) {
        return ERR_NO_MEMORY;
    }
    for (u32 dim = 0; dim < INDEX_DIMS; dim++) {
        if (dim < STORE_DIMS) {
            sort_values(builder, dim);
        } else {
            sort_texts(builder, dim - STORE_DIMS);
        }
        if (!put_dim(builder, row_count, &header.dims[dim])) {
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
