/*
 * shape.h: reading an event by prediction. Nearly always the next event has the members of an
 * earlier one, in the same order and with the same spacing: written by the same client, it differs
 * only in its values. A shape is what such events share: the literal bytes between the values, and
 * for each value its rule.
 *
 * A match goes along the event once. A string ends at the next quote and a number where its digits
 * do, and there the literal has to stand that comes next. Where lengths hardly ever change, as
 * those of names and ids, the walk goes on by the usual one before it is known to be right: members
 * do not wait for each other.
 *
 * A client has several shapes, for some members are optional. Where a literal differs, the walk
 * goes on in a shape that agrees with all before it and parts here. Two literals never fit the same
 * place: what JSON allows there tells them apart, and for a number the class of its first byte.
 *
 * A match accepts only what the plain reader would accept, with the same result: literals are equal
 * byte for byte to ones that were read as JSON before, values are checked in full, and the event
 * holds no escape, no control character outside the literals, and only valid UTF-8. On any doubt it
 * says no, and the plain reader decides.
 */
#ifndef MARGIN_EVENT_SHAPE_H
#define MARGIN_EVENT_SHAPE_H

#include "event/fields.h"

#define SHAPES_MAX 16        /* learned shapes a decoder keeps */
#define SHAPE_STEPS_MAX 96   /* values, and long literals more than once */
#define SHAPE_PIECE 32       /* bytes of a literal that are compared at once */
#define SHAPE_SPANS_MAX 2    /* properties and meta */
#define SHAPE_NESTING_MAX 8  /* levels inside properties and meta */
#define SHAPE_EVENT_MAX 4096 /* bytes of an event worth learning */

enum shape_kind {
    SHAPE_NOTHING, /* before the first literal, and inside one longer than a piece */
    SHAPE_STRING,  /* of an unknown member: only checked */
    SHAPE_TEXT,
    SHAPE_TIME,
    SHAPE_UNIT,
    SHAPE_NUMBER, /* of an unknown member: only checked */
    SHAPE_WHOLE,  /* tokens and durations */
    SHAPE_DECIMAL /* money and usage */
};

/* A value, and the literal behind it or a piece of that. */
struct shape_step {
    _Alignas(32) char literal[SHAPE_PIECE]; /* zeros behind it */
    u8 mask[SHAPE_PIECE];                   /* the bits of it that count */
    u8 bytes;                               /* of the literal */
    u8 kind;                                /* of the value: enum shape_kind */
    u8 field;                               /* of a number */
    u8 scale;                               /* of a decimal */
    u16 others;    /* shapes that are the same up to here and have another literal */
    u16 bytes_max; /* of a text; at least 1 */
    u32 cell;      /* of row 0, in bytes from the batch's start */
    u32 usual;     /* bytes of a string as long as all had so many, then SHAPE_VARIES */
    i64 most;      /* of a decimal */
};
#define SHAPE_VARIES UINT32_MAX
_Static_assert(SHAPES_MAX <= 16, "a shape is a bit of a u16");

/* An object kept as it stands: from so many bytes behind the end of the value of one step to so
 * many behind that of another. */
struct shape_span {
    u16 from_step;
    u16 from_after;
    u16 to_step;
    u16 to_after;
    u16 bytes_max;
    u8 column;
};

struct shape {
    u32 step_count;
    u32 span_count;
    u32 present; /* of such an event, before defaults */
    bool has_time;
    bool check_parts; /* cached or cache-write tokens are there */
    bool add_usage;   /* usage units default to the tokens */
    u8 flags;
    u8 cost_source;
    u8 revenue_source;
    struct shape_span span[SHAPE_SPANS_MAX];
    struct shape_step step[SHAPE_STEPS_MAX];
};

/* --- the shapes a decoder knows ------------------------------------------------------------- */

struct predictor;

/* Reads the event at `at` into the draft's row if a known shape matches. True: the row is as after
 * draft_finish(), *end is behind the event. */
typedef bool shape_match_fn(struct predictor *predictor, const char *at, struct draft *draft,
                            const char **end);
shape_match_fn shape_match_scalar;
#if defined(__x86_64__)
shape_match_fn shape_match_avx2;
shape_match_fn shape_match_avx512;
#endif

struct predictor {
    bool on;
    shape_match_fn *match;
    const struct scan_kernel *scan;
    const char *body_end;
    u32 shape_count;
    u32 current; /* the shape that matched last */
    u32 replace; /* the shape that a new one takes the place of */
    i32 credit;  /* what learning may cost before matches have to pay for more */
    i32 trust;   /* what failed tries may cost before there is a rest */
    u32 rest;    /* events still to be read plainly without a try */
    u64 hits;    /* events read by prediction, since the start */
    u32 misses;
    u32 literal[SHAPE_STEPS_MAX]; /* where they are in the text, of the event under way */
    struct shape shape[SHAPES_MAX];
    struct shape learned; /* on its way among them */
};

void predictor_init(struct predictor *predictor, const struct scan_kernel *scan, bool on);
/* Before each body; EVENT_TEXT_PADDING readable bytes follow its end. */
void predictor_restart(struct predictor *predictor, const char *body_end);
/* Reads the event at `at` into the draft's row if a known shape matches. */
bool predictor_match(struct predictor *predictor, const char *at, struct draft *draft,
                     const char **end);
/* The plain reader had to read this event and accepted it. */
void predictor_learn(struct predictor *predictor, struct slice event,
                     const struct field_table *table);

#endif
