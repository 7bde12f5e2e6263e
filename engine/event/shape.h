/*
 * shape.h: reading an event by prediction. Nearly always the next event has the members of an
 * earlier one, in the same order and with the same spacing: written by the same client, it differs
 * only in its values. A shape is what such events share: the literal bytes between the values, and
 * for each value its rule and its place.
 *
 * Places are counted in quotes. The scan kernel has listed every quote of a window; if the literals
 * of the shape match, the k-th quote of the event is the k-th quote of the shape, so every literal
 * and every value can be found without having read the one before. There is no chain of "where does
 * this end, so where does the next begin", and the processor works on many fields at a time.
 *
 * A match accepts only what the plain reader would accept, with the same result: literals are equal
 * byte for byte to ones that were read as JSON before, values are checked in full, and the event
 * holds no escape, no control character outside the literals, and only valid UTF-8. On any doubt it
 * says no, and the plain reader decides.
 */
#ifndef MARGIN_EVENT_SHAPE_H
#define MARGIN_EVENT_SHAPE_H

#include "event/fields.h"
#include "json/time.h"

#define SHAPES_MAX 8         /* learned shapes a decoder keeps */
#define SHAPE_PIECES_MAX 96  /* of literals */
#define SHAPE_PIECE 32       /* bytes a piece has at most */
#define SHAPE_TEXTS_MAX 24   /* string values that become cells */
#define SHAPE_NUMBERS_MAX 24 /* number values */
#define SHAPE_SPANS_MAX 2    /* properties and meta */
#define SHAPE_NESTING_MAX 8  /* levels inside properties and meta */
#define SHAPE_EVENT_MAX 4096 /* bytes of an event worth predicting */
#define SHAPE_TAIL_MAX 64    /* bytes of what may follow a number that ends the event */

/* Up to 32 of the bytes between values. It begins `after` bytes behind quote number `quote` of the
 * event; less than 0: before it. Not more than SHAPE_PIECE either way, so that comparing it reads
 * nothing but the body and its padding, wherever the quote is. */
struct shape_piece {
    u16 quote;
    i16 after;
};

/* A string: between the event's quotes number `quote` and the next. */
struct shape_text {
    u32 cell; /* of row 0, in bytes from the batch's start */
    u16 quote;
    u16 bytes_max; /* at least 1 */
};

enum shape_number_kind {
    SHAPE_WHOLE, /* tokens and durations */
    SHAPE_MONEY,
    SHAPE_USAGE,
    SHAPE_UNUSED /* of an unknown member: only checked */
};

/* A number: from `after` bytes behind the quote number `quote` to `before` bytes before the next
 * quote; the last value of an event may have no quote behind it and ends where its digits do. */
struct shape_number {
    u32 cell;
    u16 quote;
    u16 after;
    u16 before;
    u8 kind; /* enum shape_number_kind */
    u8 field;
    bool last;
};

/* An object kept as it stands: it begins `from_after` bytes behind a quote and ends `to_after`
 * bytes behind one (less than 0: before it). */
struct shape_span {
    u16 from_quote;
    u16 from_after;
    u16 to_quote;
    i16 to_after;
    u16 bytes_max;
    u8 column;
};

struct shape {
    u32 quotes; /* in one event */
    u32 controls;
    u32 piece_count;
    u32 text_count;
    u32 number_count;
    u32 span_count;
    u32 present;      /* of such an event, before defaults */
    bool has_time;    /* the string after quote number time_quote is the timestamp */
    bool has_unit;    /* the string after quote number unit_quote is the cost unit */
    bool check_parts; /* cached or cache-write tokens are there */
    bool add_usage;   /* usage units default to the tokens */
    u8 flags;
    u8 cost_source;
    u8 revenue_source;
    u16 time_quote;
    u16 unit_quote;
    u16 before_first; /* bytes of the event before its first quote */
    u16 before_max;   /* furthest that a piece begins before its quote */
    i16 end_after;    /* the event ends so many bytes behind its last quote, if tail_bytes is 0 */
    u16 tail_bytes;   /* of what follows the number that ends the event */
    char tail[SHAPE_TAIL_MAX];
    struct shape_piece piece[SHAPE_PIECES_MAX];
    struct shape_text text[SHAPE_TEXTS_MAX];
    struct shape_number number[SHAPE_NUMBERS_MAX];
    struct shape_span span[SHAPE_SPANS_MAX];
    _Alignas(
        64) char literal[SHAPE_PIECES_MAX][SHAPE_PIECE]; /* the pieces' bytes, zeros behind them */
    u8 mask[SHAPE_PIECES_MAX][SHAPE_PIECE];              /* 0xff where they have bytes */
};

/* One try: `shape` on the event at `at`, whose first quote is quote number `first` of the window
 * that begins at `base`. At least shape->quotes quotes are left in it. */
struct shape_try {
    const struct shape *shape;
    const struct scan_window *window;
    const struct scan_kernel *scan;
    const char *base;
    const char *at;
    const char *body_end;
    u32 first;
};

/* True: the event is in the draft's row as after draft_finish(), *end is behind it. */
typedef bool shape_match_fn(const struct shape_try *try, struct time_cache *times,
                            struct draft *draft, const char **end);
shape_match_fn shape_match_scalar;
#if defined(__x86_64__)
shape_match_fn shape_match_avx2;
shape_match_fn shape_match_avx512;
#endif

/* --- the shapes a decoder knows ------------------------------------------------------------- */

struct predictor {
    bool on;
    shape_match_fn *match;
    const struct scan_kernel *scan;
    const char *body_begin;
    const char *body_end;
    const char *window_begin; /* NULL: no window yet in this body */
    const char *window_for;   /* the event that it was moved for */
    u32 next_quote;           /* the first quote of the window not yet behind us */
    u32 shape_count;
    u32 current; /* the shape that matched last */
    u32 replace; /* the shape that a new one takes the place of */
    i32 credit;  /* what learning may cost before matches have to pay for more */
    i32 trust;   /* what failed tries may cost before there is a rest */
    u32 rest;    /* events still to be read plainly without a try */
    u64 hits;    /* events read by prediction, since the start */
    u32 misses;
    struct time_cache times;
    struct scan_window window;
    struct shape shape[SHAPES_MAX];
};

void predictor_init(struct predictor *predictor, const struct scan_kernel *scan, bool on);
/* Before each body; SCAN_PADDING readable bytes follow its end. */
void predictor_restart(struct predictor *predictor, const char *body_begin, const char *body_end);
/* Reads the event at `at` into the draft's row if a known shape matches; events come in order. */
bool predictor_match(struct predictor *predictor, const char *at, struct draft *draft,
                     const char **end);
/* The plain reader had to read this event and accepted it. */
void predictor_learn(struct predictor *predictor, struct slice event,
                     const struct field_table *table);

#endif
