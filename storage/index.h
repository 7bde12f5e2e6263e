/*
 * index.h: which rows of a segment have a value in a dimension. The only user of CRoaring.
 *
 * Three kinds of values: rare ones are (value, row) pairs in sorted pages, coded like any column;
 * common ones have a bitmap of their rows; dense ones (one row in INDEX_DENSE or more) are only
 * named, for a reader finds a match in nearly every frame anyway. So an answer is a superset of the
 * matching rows, and whoever asks still checks the rows themselves. That is also why texts (trace,
 * agent) can be dimensions by a 32-bit hash.
 *
 * Directory, pages and bitmaps each have a checksum, verified before use.
 */
#ifndef MARGIN_STORAGE_INDEX_H
#define MARGIN_STORAGE_INDEX_H

#include "base.h"
#include "limits.h"
#include "store.h"

#define INDEX_TRACE STORE_DIMS /* value: index_text_value() */
#define INDEX_AGENT (STORE_DIMS + 1)
#define INDEX_DIMS (STORE_DIMS + 2)
#define INDEX_DENSE 64
#define INDEX_COMMON 64 /* rows from which a value gets a bitmap */

u32 index_text_value(struct slice text);

/* --- building; one thread at a time ----------------------------------------------------------- */

struct index_builder;
enum err index_builder_create(struct index_builder **out);
void index_builder_destroy(struct index_builder *builder);
void index_begin(struct index_builder *builder);
/* The next rows, SEGMENT_ROWS_MAX at most: each has the values of its series, by enum store_dim.
 * `dims_of` gives memory that stays as it is. */
typedef const u32 *(*index_dims_of)(void *context, u32 series);
void index_add_rows(struct index_builder *builder, index_dims_of dims_of, void *context,
                    const u32 *series, u32 count);
/* INDEX_TRACE or INDEX_AGENT of a row; rows ascend. */
void index_add_text(struct index_builder *builder, u32 dim, struct slice text, u32 row);
/* The bytes last until the next call. There are rows. ERR_NO_MEMORY. */
enum err index_finish(struct index_builder *builder, struct slice *out);

/* --- looking up ------------------------------------------------------------------------------- */

struct index_term {
    u32 dim;
    u32 value;
};

/* Rows that may match all terms: a superset. ERR_CORRUPT, ERR_NO_MEMORY. */
struct index_rows;
enum err index_match(struct slice index, const struct index_term *terms, u32 term_count,
                     struct index_rows **out);
/* True if any row in [from, to) may match. */
bool index_rows_any(const struct index_rows *rows, u32 from, u32 to);
/* Writes the rows of [from, to) that may match, less `from`, ascending; returns how many. */
u32 index_rows_take(const struct index_rows *rows, u32 from, u32 to, u32 *out);
void index_rows_free(struct index_rows *rows);

/* Checks all checksums. */
enum err index_verify(struct slice index);

#endif
