/*
 * block.h: what the log consists of. A block holds the events of consecutive ids first_id ..
 * first_id + count - 1 as columns, cut into frames of at most FRAME_ROWS_MAX rows, and the
 * definitions of the series that appear in it for the first time. A commit writes one block; the
 * merge turns runs of small blocks into one segment of the same shape. It takes frames over as they
 * are coded wherever it can, so frames of fewer rows may stand anywhere in a block.
 *
 *   header      struct block_header
 *   frames      for each frame, for each column of column_mask: the coded values of those rows that
 *               have the field
 *   definitions one text (see text.h)
 *   directory   for each frame: struct block_frame_entry, then struct block_section for each column
 *
 * Every section has its own checksum in the directory, the directory has one in the header, and the
 * header one of its own: so a reader of one frame verifies what it reads and nothing else, and the
 * header's checksum covers the whole block. A section's checksum says nothing of where the section
 * stands, so a frame that is taken over keeps those it has, after its bytes have met them. Headers
 * form a chain: `previous` is the `chain` of the block before. A segment keeps the outer ends of
 * the chain it replaces.
 *
 * A row without any field (`present` 0) stands for an event that is gone: nobody is given it, and
 * it has no time.
 *
 * The texts of series are not stored with the events, nor are key hashes (computed anew from keys),
 * nor usage where it is the tokens, as it is unless a client says otherwise.
 */
#ifndef MARGIN_STORAGE_BLOCK_H
#define MARGIN_STORAGE_BLOCK_H

#include "event.h"
#include "storage/text.h"
#include "store.h"

enum block_column {
    COL_PRESENT, /* the event's present bits without the series' texts */
    COL_ACCOUNT,
    COL_SERIES,
    COL_CREATED,
    COL_COST_SOURCE,
    COL_REVENUE_SOURCE,
    COL_SOURCE,
    COL_GRANULARITY,
    COL_FLAGS,
    COL_DIGEST,
    COL_FIXED,                         /* columns above are there for every event */
    COL_NUMBER = COL_FIXED,            /* + enum event_number */
    COL_TEXT = COL_NUMBER + NUM_COUNT, /* + enum event_text - SERIES_TEXTS */
    BLOCK_COLUMNS = COL_TEXT + TEXT_COUNT - SERIES_TEXTS
};
_Static_assert(BLOCK_COLUMNS <= 32, "column_mask has 32 bits");

#define BLOCK_SERIES_TEXTS (TEXT_BIT(SERIES_TEXTS) - 1)

enum block_kind {
    BLOCK_GROUP,   /* as committed */
    BLOCK_MERGED,  /* of several groups, too small for a segment */
    BLOCK_SEGMENT, /* final, may have an index */
    BLOCK_DROPPED, /* of events that are gone: definitions and the chain's ends are left */
    BLOCK_KINDS
};

/* A second copy of a block's definitions, kept apart: the header of the group that brought them,
 * and the bytes of its definitions. */
#define BLOCK_DEFS_BYTES(header) (sizeof(struct block_header) + (header)->def_bytes)

#define BLOCK_MAGIC 0x6b6c626du /* "mblk" */
#define BLOCK_VERSION 2         /* 1: every frame but the last was full */

struct block_header {
    u32 magic;
    u16 version;
    u16 kind;
    u64 first_id;
    u32 count;
    u32 frame_count;
    u32 column_mask;
    u32 def_count;
    i64 time_min;
    i64 time_max;
    u64 previous; /* `chain` of the block before, 0 for the first */
    u64 chain;    /* what the next block's `previous` is; 0: header_hash */
    u64 def_hash;
    u64 directory_hash;
    u32 def_offset;
    u32 def_bytes;
    u32 directory_offset;
    u32 directory_bytes;
    u64 block_bytes;
    u64 header_hash; /* of the bytes before it */
};
_Static_assert(sizeof(struct block_header) == 112, "no padding");

struct block_frame_entry {
    u32 offset;    /* of the frame's first section */
    u32 first_row; /* of the block; 0 in the first frame */
    i64 time_min;
    i64 time_max;
};

struct block_section {
    u32 bytes; /* 0: no row of the frame has the field */
    u32 hash;
};

/* All of the usage section of a frame whose rows have used their input and output tokens. Coded
 * numbers are never a single byte. */
#define BLOCK_USAGE_TOKENS 0x54

static inline u64 block_chain(const struct block_header *header) {
    return header->chain != 0 ? header->chain : header->header_hash;
}

/* --- writing ---------------------------------------------------------------------------------- */

/* One block at a time; one thread at a time. Memory grows to the largest block and stays, up to
 * what block_shrink() leaves. */
struct block_builder;
struct block_view;
enum err block_builder_create(enum text_effort effort, struct block_builder **out);
void block_builder_destroy(struct block_builder *builder);

void block_begin(struct block_builder *builder, enum block_kind kind, u64 first_id);
/* Adds rows of a batch in the order given; the batch and its text must last until block_finish() or
 * block_keep(). ERR_NO_MEMORY, ERR_LIMIT (block too large); after an error only block_begin() may
 * follow. */
enum err block_add(struct block_builder *builder, const struct event_batch *batch, const u32 *rows,
                   u32 count);
/* Takes over a frame of another block as it is coded, after its checksums have held. Rows that wait
 * become a frame of their own before it. Texts of the columns `recoded` (TEXT_BIT) are coded anew
 * where that makes them smaller: they and `present` are in rows 0.. of the batch. ERR_CORRUPT:
 * nothing of the frame may be used. Errors as block_add(). */
enum err block_add_frame(struct block_builder *builder, const struct block_view *view, u32 frame,
                         u32 recoded, const struct event_batch *batch);
/* Rows added that wait for others to fill their frame. */
u32 block_rows_waiting(const struct block_builder *builder);
/* Takes a copy of the texts still needed, so that the batches added so far may go. */
enum err block_keep(struct block_builder *builder);
/* To a block of BLOCK_DROPPED: it stands for the rows of this one, too. */
void block_add_dropped(struct block_builder *builder, const struct block_header *header);
/* Adds a definition. It comes into force with the group whose last event has the id `last_id`. */
enum err block_add_def(struct block_builder *builder, const struct series_def *def, u64 last_id);
/* `chain` as in the header. The bytes last until the next call. */
enum err block_finish(struct block_builder *builder, u64 previous, u64 chain, struct slice *out,
                      struct block_header *header);
/* Gives back the memory of a very large block, and with it the bytes block_finish() gave. */
void block_shrink(struct block_builder *builder);

/* --- reading ---------------------------------------------------------------------------------- */

/* A block somewhere in memory, its header and directory verified. */
struct block_view {
    const u8 *data;
    struct block_header header;
    u32 column_count;
    u32 series_end; /* no row's series is as large; a reader that knows the bound lowers it */
};

/* Checks the header alone (all that opening a log looks at). ERR_CORRUPT, ERR_VERSION: of a version
 * that this program does not read. */
enum err block_read_header(const void *data, usize bytes, struct block_header *out);
/* Makes the copy of a block's definitions, BLOCK_DEFS_BYTES of them, and looks at one: the view is
 * for block_read_defs() alone. ERR_CORRUPT. */
void block_copy_defs(u8 *to, struct slice block, const struct block_header *header);
enum err block_view_defs(struct block_view *view, struct slice copy);
/* Checks header and directory. On error *what is a static text. */
enum err block_view_open(struct block_view *view, const void *data, usize bytes, const char **what);

u32 block_frame_rows(const struct block_view *view, u32 frame);
/* The frame that holds the block's row. */
u32 block_frame_of(const struct block_view *view, u32 row);
struct block_frame_entry block_frame_at(const struct block_view *view, u32 frame);
/* Bytes of a section; empty where the frame has no such column. */
struct slice block_section_of(const struct block_view *view, u32 frame, enum block_column column);
/* All sections of a frame as the directory has them, by column; returns their bytes together, which
 * lie side by side from the frame's offset on. */
usize block_sections(const struct block_view *view, u32 frame, struct block_section *out);

/* Scratch of a reader; one thread at a time. */
struct block_reader;
enum err block_reader_create(struct block_reader **out);
void block_reader_destroy(struct block_reader *reader);

/* Columns for block_read_frame(), beyond TEXT_BIT and NUM_BIT of event.h. */
#define READ_FIRST ((u32)1 << 31) /* present, ids, series: needed before anything else */
#define READ_REST ((u32)1 << 30)  /* account, created, sources, granularity, flags, digest */
_Static_assert(NUM_COUNT == 10, "bits 26 to 31 of the mask are not numbers");

/* Decodes columns of a frame into rows `at`.. of the batch; accounts go to accounts[at..], texts to
 * `sink` (the caller sets batch->text once it is done). READ_FIRST sets `present` to the stored
 * bits; columns read later need it unchanged. ERR_CORRUPT with *what, ERR_NO_MEMORY. */
enum err block_read_frame(struct block_reader *reader, const struct block_view *view, u32 frame,
                          u32 columns, struct event_batch *batch, u32 *accounts, u32 at,
                          struct text_sink *sink, const char **what);

/* Do the checksums of these columns of the frame hold? TEXT_BIT and NUM_BIT; ERR_CORRUPT with
 * *what. */
enum err block_check_frame(const struct block_view *view, u32 frame, u32 columns,
                           const char **what);

/* Reads the definitions; `visit` gets each with the id of the last event of its group (texts last
 * for the call) and may return an error that ends it. */
enum err block_read_defs(struct block_reader *reader, const struct block_view *view,
                         enum err (*visit)(void *context, const struct series_def *def,
                                           u64 last_id),
                         void *context, const char **what);

#endif
