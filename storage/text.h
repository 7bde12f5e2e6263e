/*
 * text.h: columns of short texts, a frame of at most FRAME_ROWS_MAX at a time. Codings, chosen by a
 * look at the frame:
 *   same      one text for all
 *   dictionary  few different texts: each once, then packed indices
 *   numbered  texts that differ in one decimal number (`cust_0012345`): the numbers as a column
 *   hex       texts of one shape that differ in hexadecimal digits (UUIDs): half a byte a digit
 *   raw       lengths and bytes
 *   zstd      raw, compressed (free-form JSON)
 *
 * A packer belongs to one thread at a time. Unpacking does not trust its input.
 */
#ifndef MARGIN_STORAGE_TEXT_H
#define MARGIN_STORAGE_TEXT_H

#include "base.h"
#include "event.h"
#include "limits.h"

enum text_effort {
    TEXT_FAST, /* the commit thread: fast compression of free-form text only */
    TEXT_SMALL /* the merge: compress whatever gets smaller */
};

struct text_packer;
enum err text_packer_create(enum text_effort effort, struct text_packer **out);
void text_packer_destroy(struct text_packer *packer);
/* Gives back working memory above this size. */
void text_packer_shrink(struct text_packer *packer, usize bytes_max);

/* Bytes text_pack() may write for texts of `total` bytes together, working room included. */
usize text_pack_bytes_max(u32 count, usize total);

/* Codes values[0..count), count 1..FRAME_ROWS_MAX, `total` bytes together
 * (below TEXT_FRAME_BYTES_MAX). `free_form`:
 * JSON and the like. Returns the bytes written. */
usize text_pack(struct text_packer *packer, u8 *out, const struct slice *values, u32 count,
                usize total, bool free_form);

/* As text_pack(), of keys of a batch that are packed already: count 1..FRAME_ROWS_MAX. */
usize text_put_packed(u8 *out, const struct packed_key *packed, u32 count);

/* Where unpacked texts go: one growing memory. Offsets are 32 bits. */
struct text_sink {
    char *data; /* at least EVENT_TEXT_PADDING bytes follow the used ones; NULL before first use */
    usize bytes;
    usize capacity;
};
void text_sink_free(struct text_sink *sink);
/* Room for `bytes` more and the padding; ERR_NO_MEMORY. */
enum err text_sink_reserve(struct text_sink *sink, usize bytes);

struct text_reader;
enum err text_reader_create(struct text_reader **out);
void text_reader_destroy(struct text_reader *reader);

/* Reads back exactly `count` texts: refs[i] into sink->data (equal texts may share bytes).
 * ERR_CORRUPT, ERR_NO_MEMORY. */
enum err text_unpack(struct text_reader *reader, const u8 *data, usize bytes, u32 count,
                     struct text_sink *sink, struct text_ref *refs);

/* True if texts coded with TEXT_FAST may get smaller with TEXT_SMALL. */
bool text_may_shrink(const u8 *data, usize bytes);

/* A word for tools. */
const char *text_coding(const u8 *data, usize bytes);

#endif
