/*
 * state.h: the shape of the figures, open to engine/agg and engine/query.
 *
 * series    one per combination of dimensions; owns its bands of age and knows its newest rows
 * entity    what list endpoints show: a customer, a feature, a (model, provider) pair, a cost type;
 *           one cell per class of series
 * cell      first and last event and the bands of an entity's class; the newest band is part of it
 * class     revenue events and Stripe lines are left out of some populations: with a cell per class
 *           every population is a sum of cells
 * band      ages are cut at the hours in edge[]: an event is in exactly one of the BANDS, and hours
 *           that pass an edge move on (advance.c); so a rolling window is a sum of bands
 * width     minutes, hours, days: partition.c; an event is in the finest one that is kept, and goes
 *           on to the next when its bucket is folded: fold.c
 *
 * All references are indexes into arrays (0 means none where a record may be missing), so that a
 * snapshot is a copy of the arrays; hash tables and lists are rebuilt from them.
 */
#ifndef MARGIN_AGG_STATE_H
#define MARGIN_AGG_STATE_H

#include "agg/agg.h"
#include "agg/array.h"
#include "agg/heap.h"
#include "agg/months.h"
#include "agg/pairs.h"
#include "agg/row.h"
#include "agg/tally.h"

#include <pthread.h>

#define CLASS_REVENUE 1u /* event_name is "revenue" */
#define CLASS_STRIPE 2u  /* source is stripe */
#define CLASSES 4

#define BANDS 5 /* newer than edge[0], then edge[1], and so on; older */
#define EDGES (BANDS - 1)

enum width { WIDTH_MINUTE, WIDTH_HOUR, WIDTH_DAY, WIDTHS };
#define MINUTE_MS ((i64)60000)
#define HOUR_MS ((i64)3600000)
#define DAY_MS ((i64)86400000)

static inline i64 width_ms(enum width width) {
    return width == WIDTH_MINUTE ? MINUTE_MS : width == WIDTH_HOUR ? HOUR_MS : DAY_MS;
}

enum kind { KIND_CUSTOMER, KIND_FEATURE, KIND_MODEL, KIND_COST_TYPE, KINDS };

/* Two cache lines side by side; most events change only the second. */
struct series {
    i64 first;           /* INT64_MAX without events */
    u32 row[WIDTHS];     /* cursors: the row last used; it may since belong to somebody else */
    u32 cell[KINDS];     /* the cells it feeds */
    u32 band[BANDS - 1]; /* rows of agg->bands for all but the newest */
    u32 tally;           /* a cursor, too: the tally last used, its part, its open row */
    u32 tally_part;
    u32 tally_row;
    struct row newest; /* the newest band, and the last event's time: row_seen() */
};
_Static_assert(sizeof(struct series) == 128, "two cache lines");

/* What each event changes is one cache line; the rest of a cell is a record of its own. */
struct cell {
    struct row newest; /* the newest band, the last event's time, and as `series` mark_of() */
};
struct cell_rest {
    i64 first; /* INT64_MAX without events. No series that feeds the cell has an earlier one, so it
                  need not be looked at for an event that is not its series' first */
    u32 band[BANDS - 1];
};
_Static_assert(sizeof(struct cell_rest) == 24, "no padding");

struct entity {
    u16 account;
    u16 kind;
    u32 key[2]; /* value ids; DIM_NONE where absent; key[1] is the provider of KIND_MODEL, else 0 */
    u32 cell[CLASSES];
    u32 place;   /* in the account's list of the kind */
    i64 created; /* time of receipt of a customer's first event, ms; 0: none yet. Others: 0 */
};

_Static_assert(ACCOUNTS_MAX <= 65536, "an account fits an entity");

struct value {
    u32 text; /* first unit in agg->texts */
    u32 account;
    u16 text_bytes;
    u16 is_revenue;  /* the event name "revenue" */
    u32 entity;      /* of the kinds with one dimension; for agents their cell */
    u32 series_head; /* newest series + 1; 0: none. Rebuilt */
    u32 series_count;
};

/* The arrays by their number in snapshots. */
enum array_id {
    ARRAY_DIMS,
    ARRAY_HASHES,
    ARRAY_SERIES,
    ARRAY_BEGUN,
    ARRAY_AGENTS,
    ARRAY_TEXTS,
    ARRAY_ENTITIES,
    ARRAY_CELLS,
    ARRAY_RESTS,
    ARRAY_BANDS,
    ARRAY_WIDES,
    ARRAY_TRACES,
    ARRAY_TALLIES,
    ARRAY_TALLY_ROWS,
    ARRAY_TALLY_KEYS,
    ARRAY_ACTIVITY,
    ARRAY_MONTHS,
    ARRAY_VALUES,
    ARRAY_ROWS = ARRAY_VALUES + SERIES_TEXTS,
    ARRAYS = ARRAY_ROWS + WIDTHS
};
struct agg;
struct array *agg_array(struct agg *agg, u32 id);

#define TEXT_UNIT_BYTES 16
#define VALUE_DIMS SERIES_TEXTS /* dimensions with values of their own */
#define LIST_ACCOUNT SERIES_TEXTS

/* Series lists of values (and of the account): next series + 1. */
struct link {
    u32 next[SERIES_TEXTS + 1];
    u32 class;
};

/* Whose a cell is, without fetching the entity. */
struct owner {
    u32 place; /* entity.place */
    u16 account;
    u8 class;
    u8 none; /* the entity without a value */
};

/* What one event adds to a band of a customer's cell. Whose it is comes from the rows that it
 * changes anyhow: who follows the changes would wait for each look at an owner. */
struct change {
    u32 customer; /* mark of its cell; see mark_place() */
    u32 feature;  /* likewise */
    u32 account;
    u32 band;
    i64 cost;
    i64 revenue;
    i64 usage;
};

struct trace {
    struct hash128 hash; /* of (account, id) */
    i64 start;
    i64 duration_max; /* -1: none */
    i128 cost;
    i128 revenue;
    u64 spans;
    u32 account;
    u32 text;
    u32 root_series;
    u32 cost_type[5];
    u16 text_bytes;
    u16 cost_type_count;
    u32 pad[3];
};

/* Growable vector of numbers in heap memory. Long ones grow by chunks, so that nothing that takes
 * long happens while the figures are locked. */
struct list {
    u32 **chunks;
    u32 count;
    u32 capacity;
};
#define LIST_SHIFT 14
#define LIST_CHUNK ((u32)1 << LIST_SHIFT)

static inline u32 list_at(const struct list *list, u32 place) {
    return list->chunks[place >> LIST_SHIFT][place & (LIST_CHUNK - 1)];
}

struct account {
    u32 series_head;
    u32 series_count;
    u32 none[KINDS]; /* the entity without a value */
    struct list entities[KINDS];
    struct list agents;
    struct list traces;
    i64 *trace_newest; /* per TRACE_CHUNK of the list: no start is later */
    u32 trace_newest_capacity;
    u32 trace_epoch;   /* changes when the list of traces begins anew */
    u32 traces_dead;   /* of the list: all their events are gone, and the next sweep takes them */
    u32 class_mask;    /* bit c: there are series of class c */
    struct run months; /* rows of agg->months */
    u32 series_made;   /* pending ones too, as the next */
    u32 values_made[VALUE_DIMS];
    u32 traces_promised;
    u32 customers_born;   /* goes up when a customer has its first event */
    u32 customers_reborn; /* and when that is another one, or none, because events were cleared */
    u64 changes;          /* how often events were taken out or changed */
    bool hidden;          /* all its events are being taken out */
};
#define TRACE_CHUNK 64

/* Open addressing, linear probing; a slot is fingerprint << 32 | index + 1, 0 is empty. The parts,
 * chosen by the first bits of the fingerprint, grow one by one: see LIST_SHIFT. */
#define TABLE_PARTS_SHIFT 10
struct table_part {
    u64 *slots;
    u32 mask;
    u32 count;
};
struct table {
    struct table_part part[1 << TABLE_PARTS_SHIFT];
    u32 count;
};

struct partition {
    u32 bucket;
    u32 row_count;
    struct list chunks; /* of PARTITION_CHUNK rows in the width's array */
    u64 *slots;         /* series + 1 << 32 | row */
    u64 *old_slots;     /* while it grows: what slots has not yet from old_next on; or NULL */
    u32 slot_mask;
    u32 old_mask;
    u32 old_next;
};
#define PARTITION_CHUNK 64

/* A trace that an admitted event will make: see admit.h. */
struct promise {
    struct hash128 hash;
    u32 account;
    bool used;
};
struct promises { /* open addressing */
    struct promise *slot;
    u32 capacity;
    u32 count;
    u64 applied; /* events that were when it was last gone through */
};

/* How far values and their texts went before a pending series was made, and the texts after. */
struct pending_mark {
    u32 values[VALUE_DIMS];
    u32 texts_before;
    u32 texts_after;
};

struct width_rows {
    struct array rows;
    struct list free_chunks;
    struct partition **list; /* ascending buckets */
    u32 count;
    u32 capacity;
    u32 memo; /* where the last one was found */
    i64 ms;   /* width of a bucket */
    i64 edge; /* buckets from here on are kept; ms */
    u32 low;  /* stamps tell buckets from here on apart, and `told` of them */
    u32 told;
};

/* Buckets before `next`, and the first rows of the one there, are in the next width's rows. */
struct fold {
    i64 next; /* ms */
    u32 rows;
};

struct agg {
    u64 seed;
    u32 minutes_kept;
    u32 advance_rows;
    u32 ranked_min;
    u32 series_max;
    u32 trace_max;
    u32 agent_max;
    struct agg_caps caps;
    struct promises promises;
    struct agg_expiry *followed; /* is told of what is applied; NULL: none */
    bool expiring; /* hours do not move between bands: rows still have what bands have no more */
    struct list dead_traces; /* records to be used again. Rebuilt */
    pthread_rwlock_t lock;
    struct heap heap;
    struct undo undo;
    u64 reserved_events; /* resolved and not applied yet */
    u64 resolved_events; /* ever */

    struct array dims;   /* u32[STORE_DIMS] */
    struct array hashes; /* struct hash128 of each series */
    struct array series;
    struct array begun; /* i64: when each series' first event was received, ms; 0: it has none */
    struct array links;
    struct array values[VALUE_DIMS];
    struct array agents;
    struct array texts;
    struct array entities;
    struct array cells;
    struct array rests; /* struct cell_rest of each cell */
    struct array bands; /* struct row */
    struct array wides; /* struct sums */
    struct array traces;
    struct tallies tallies;
    struct months months;
    struct pairs pairs;

    struct table series_table;
    struct table value_table[VALUE_DIMS];
    struct table pair_table; /* entities of KIND_MODEL */
    struct table agent_table;
    struct table trace_table;

    struct account **accounts; /* by id, NULL where unused */
    u32 account_max;           /* ids below may be used */

    void (*apply)(struct agg *agg, const struct event_batch *batch, const u32 *rows, u32 count);
    struct width_rows width[WIDTHS];
    struct fold fold[WIDTHS - 1]; /* of minutes into hours, of hours into days */
    i64 edge[EDGES];
    u32 moved[EDGES]; /* rows of the hour at the edge that have moved on already */
    i64 now;
    i64 oldest; /* times of events; INT64_MAX and INT64_MIN without any */
    i64 newest;

    u32 settled;      /* series that are not pending */
    u32 series_count; /* published for [any]; atomic */
    u64 version;      /* atomic */
    u64 past_events;  /* that came for the past: see agg_past(); under the lock */
    u64 amended;      /* changes when events were taken out or changed; under the lock */
    u64 layout;       /* changes when rows move from band to band or edges do; under the lock */
    u64 memory_bytes; /* atomic */
    struct pending_mark *pending; /* of the series that are, from pending_first on */
    u32 pending_first;
    u32 pending_count;
    u32 pending_capacity;

    u32 spare_texts; /* units from here to the end are free for texts that are never taken back */
    u32 spare_texts_end;

    u64 traces_left_out; /* events; atomic, as the next */
    u64 agents_left_out;

    struct snapshot *snapshot;

    struct array owners;    /* struct owner of each cell. Rebuilt */
    struct change *changed; /* ring of what events added to customers, in their order */
    u64 changed_count;      /* events ever */
    u64 changed_until;      /* only events before are noted in the ring; see changes_want() */
    struct rankings *rankings;
};
#define CHANGED_RING ((u32)1 << 17)

/* Records a chunk, as powers of two. */
#define SHIFT_DIMS 13
#define SHIFT_SERIES 12
#define SHIFT_BEGUN 13
#define SHIFT_CELLS 13
#define SHIFT_ROWS 12
#define SHIFT_ENTITIES 12
#define SHIFT_LINKS 13
#define SHIFT_OWNERS 13

/* --- records ---------------------------------------------------------------------------------- */

static inline const u32 *dims_of(const struct agg *agg, u32 series) {
    return array_fast(&agg->dims, series, SHIFT_DIMS, sizeof(u32) * STORE_DIMS);
}
static inline const struct series *series_at(const struct agg *agg, u32 series) {
    return array_fast(&agg->series, series, SHIFT_SERIES, sizeof(struct series));
}
static inline const struct link *link_at(const struct agg *agg, u32 series) {
    return array_fast(&agg->links, series, SHIFT_LINKS, sizeof(struct link));
}
static inline const struct value *value_at(const struct agg *agg, u32 dim, u32 value) {
    return array_at(dim == STORE_DIMS ? &agg->agents : &agg->values[dim], value);
}
static inline const struct entity *entity_at(const struct agg *agg, u32 entity) {
    return array_fast(&agg->entities, entity, SHIFT_ENTITIES, sizeof(struct entity));
}
static inline const struct cell *cell_at(const struct agg *agg, u32 cell) {
    return array_fast(&agg->cells, cell, SHIFT_CELLS, sizeof(struct cell));
}
static inline const struct cell_rest *rest_at(const struct agg *agg, u32 cell) {
    return array_fast(&agg->rests, cell, SHIFT_CELLS, sizeof(struct cell_rest));
}
static inline const struct row *band_at(const struct agg *agg, u32 row) {
    return array_fast(&agg->bands, row, SHIFT_ROWS, sizeof(struct row));
}
/* A band of a series or a cell, given the newest and the numbers of the others; row 0, which is
 * empty, if there is none. */
static inline const struct row *band_of(const struct agg *agg, const struct row *newest,
                                        const u32 *older, u32 band) {
    return band == 0 ? newest : band_at(agg, older[band - 1]);
}
/* To be changed: the old bytes are kept for a running snapshot. */
static inline void *record_edit(struct array *array, u32 index, u32 shift, u32 record_bytes) {
    if (unlikely(index < array->snap_end)) {
        array_save(array, index);
    }
    return array_fast(array, index, shift, record_bytes);
}
static inline struct row *row_edit(struct array *rows, u32 index) {
    return record_edit(rows, index, SHIFT_ROWS, sizeof(struct row));
}
/* As band_of(), to be changed; made if needed. */
static inline struct row *band_edit(struct agg *agg, struct row *newest, u32 *older, u32 band) {
    if (likely(band == 0)) {
        return newest;
    }
    u32 *row = &older[band - 1];
    *row = *row == 0 ? array_add(&agg->bands) : *row;
    return row_edit(&agg->bands, *row);
}
static inline struct row *row_at(const struct array *rows, u32 index) {
    return array_fast(rows, index, SHIFT_ROWS, sizeof(struct row));
}
static inline struct account *account_at(const struct agg *agg, u32 account) {
    return account < agg->account_max ? agg->accounts[account] : NULL;
}
/* As readers see it: NULL, too, while all its events are being taken out. */
static inline struct account *account_seen(const struct agg *agg, u32 account) {
    struct account *known = account_at(agg, account);
    return known != NULL && !known->hidden ? known : NULL;
}

/* The tallies of a model's cell, by part. */
static inline u32 *tally_table(struct agg *agg, u32 cell) {
    u32 table = *(const u32 *)array_fast(&agg->tallies.cells, cell, SHIFT_TALLY_CELLS, sizeof(u32));
    return unlikely(table == 0) ? tally_table_make(agg, cell)
                                : (u32 *)array_fast(&agg->tallies.tables, table, SHIFT_TALLY_TABLES,
                                                    sizeof(u32) * TALLY_TABLE);
}

/* The kind's dimension; KIND_MODEL has DIM_PROVIDER beside it. */
static inline enum store_dim kind_dim(enum kind kind) {
    static const u8 dim[KINDS] = {DIM_CUSTOMER, DIM_FEATURE, DIM_MODEL, DIM_COST_TYPE};
    return (enum store_dim)dim[kind];
}

/* --- series.c --------------------------------------------------------------------------------- */

/* The value's id, or DIM_NONE. Caller holds the lock or is the writer. */
u32 value_find(const struct agg *agg, u32 account, u32 dim, struct slice text);
/* Whether there is a series for the event already. Caller holds the lock or is the writer. */
bool agg_series_known(const struct agg *agg, const struct event_batch *batch, u32 row);
/* A copy of a text that will not be taken back, and never moves; UINT32_MAX: no memory. It may fill
 * what texts taken back have left. */
u32 agg_text_keep_final(struct agg *agg, struct slice text);
bool agg_text_fits(const struct agg *agg); /* one more, as far as bounds go */
struct slice agg_text_at(const struct agg *agg, u32 text, u32 bytes);
u64 agg_value_hash(const struct agg *agg, u32 account, struct slice text);
/* The entity of KIND_MODEL, or 0. */
u32 agg_model_find(const struct agg *agg, u32 account, u32 model, u32 provider);
bool agg_account_make(struct agg *agg, u32 account);
bool agg_series_link(struct agg *agg, u32 series);
void agg_cell_own(struct agg *agg, u32 cell, const struct entity *entity, u32 class);
/* With the lock, or before there are threads. */
void agg_memory_publish(struct agg *agg);
/* Makes sure of memory beyond what is promised to events and series that are resolved. */
bool agg_reserve(struct agg *agg, usize bytes);
/* The band of a time; `hour_row` is its row, for the hour that is just moving. */
u32 agg_band_of(const struct agg *agg, i64 time, u32 hour_row);

/* --- table.c ---------------------------------------------------------------------------------- */

/* Makes room for one more with this hash. */
bool table_reserve(struct table *table, struct heap *heap, u64 hash);
void table_put(struct table *table, u64 hash, u32 index);
void table_remove(struct table *table, u64 hash, u32 index);
/* Walks the candidates of a hash: *cursor starts at 0; UINT32_MAX at the end. */
u32 table_next(const struct table *table, u64 hash, u32 *cursor);
bool list_push(struct list *list, struct heap *heap, u32 number);
void list_free(struct list *list, struct heap *heap);

/* --- partition.c ------------------------------------------------------------------------------ */

void width_init(struct width_rows *width, i64 ms);
/* The series' row in the bucket, made if needed; memory is reserved. */
u32 partition_row(struct agg *agg, enum width width, u32 bucket, u32 series);
/* The row or 0. */
u32 partition_find(const struct partition *partition, u32 series);
struct partition *width_find(const struct width_rows *width, u32 bucket);
/* Index of the first partition whose bucket is not below. */
u32 width_lower_bound(const struct width_rows *width, u32 bucket);
/* The row's place in its partition: looks for it. */
u32 partition_place(const struct partition *partition, u32 row);
static inline u32 partition_row_at(const struct partition *partition, u32 place) {
    return list_at(&partition->chunks, place / PARTITION_CHUNK) * PARTITION_CHUNK +
           place % PARTITION_CHUNK;
}
void width_drop_before(struct agg *agg, enum width width, u32 bucket);
/* The same in steps: takes the first bucket out, which nobody finds any more then, if it is before;
 * or NULL. Frees some of its chunks; true: that was all. */
struct partition *width_take_before(struct width_rows *width, u32 bucket);
bool partition_free_some(struct agg *agg, enum width width, struct partition *partition,
                         u32 chunks);
/* Snapshot load: puts a partition with its chunks back; false: no memory. */
bool width_restore(struct agg *agg, enum width width, u32 bucket, u32 row_count, const u32 *chunks);
/* After loading: hashes and free chunks from the rows. False: no memory, or rows that cannot be. */
bool width_rebuild(struct agg *agg, enum width width);

/* Does the row that a cursor knows still belong to the series and the bucket? */
static inline bool cursor_fits(const struct width_rows *width, u32 row, u32 series, u32 bucket) {
    const struct row *known = row_at(&width->rows, row);
    return known->series == series && known->stamp == (u16)bucket &&
           bucket - width->low < width->told;
}
/* The same of a series' tally and the row of its open hour. */
static inline bool tally_cursor_fits(const struct agg *agg, const struct series *series, u32 part,
                                     u32 hour) {
    const struct row *known = row_at(&agg->tallies.rows, series->tally_row);
    return series->tally_part == part && known->series == series->tally &&
           known->stamp == tally_stamp(hour);
}

/* --- fold.c ----------------------------------------------------------------------------------- */

/* Folds what has ended; at most `*budget` rows, which it counts down. False: there is more. */
bool agg_fold(struct agg *agg, u32 *budget);
/* Is the row of an event, in its bucket of the width, in the next width's rows already? */
bool agg_is_folded(const struct agg *agg, enum width width, i64 time, u32 row);
/* Buckets of the width that begin before this time have all their events. Minutes always do, as far
 * as they are kept; so are the next finer buckets from this time on. */
static inline i64 agg_whole(const struct agg *agg, enum width width) {
    if (width == WIDTH_MINUTE) {
        return INT64_MAX;
    }
    i64 folded = agg->fold[width - 1].next;
    return folded - folded % width_ms(width);
}
/* Up to here the width's rows have all events, the last bucket's too, which may be part of one. It
 * stays so until the next row is folded. */
static inline i64 agg_reached(const struct agg *agg, enum width width) {
    if (width == WIDTH_MINUTE || agg->fold[width - 1].rows > 0) {
        return agg_whole(agg, width);
    }
    return agg->fold[width - 1].next;
}
bool agg_folds_hold(const struct agg *agg); /* after loading */
/* Where the last whole day ends, all of whose minutes are folded: what is before changes only by
 * late events, which past_events counts, and by what amended tells of. */
static inline i64 agg_past(const struct agg *agg) {
    i64 folded = agg->fold[WIDTH_MINUTE].next;
    return folded - folded % DAY_MS;
}

/* --- rebuild.c -------------------------------------------------------------------------------- */

/* Partitions from the directory of a snapshot: width, bucket, row count, chunk count, chunks. */
bool agg_directory_restore(struct agg *agg, const u32 *words, u64 count);
enum err agg_rebuild(struct agg *agg);

/* --- ranking.c -------------------------------------------------------------------------------- */

bool rankings_init(struct agg *agg);
void rankings_free(struct agg *agg);

/* The mark of a cell: its entity's place, and its class. */
static inline u32 mark_of(u32 place, u32 class) {
    return place * CLASSES + class;
}
static inline u32 mark_place(u32 mark) {
    return mark / CLASSES;
}
static inline u32 mark_class(u32 mark) {
    return mark % CLASSES;
}
_Static_assert(SERIES_MAX <= UINT32_MAX / CLASSES, "no more customers of an account than series");

/* Notes what an event added, if any ranking will ask. Writer, with the lock. */
static inline void changes_note(struct agg *agg, u32 account, const struct row *customer,
                                const struct row *feature, u32 band, const struct row *added) {
    if (agg->changed_count < agg->changed_until) {
        agg->changed[agg->changed_count % CHANGED_RING] =
            (struct change){customer->series, feature->series, account,     band,
                            added->cost,      added->revenue,  added->usage};
    }
    agg->changed_count++;
}

/* --- trace.c, agent --------------------------------------------------------------------------- */

struct hash128 agg_trace_hash(const struct agg *agg, u32 account, struct slice id);
bool agg_trace_known(const struct agg *agg, struct hash128 hash);
void agg_trace_add(struct agg *agg, const struct event_batch *batch, u32 index, i64 cost);
void agg_agent_add(struct agg *agg, const struct event_batch *batch, u32 index,
                   const struct delta *delta);
u32 agg_cell_make(struct agg *agg);
/* Adds an event to a cell's band. */
void agg_cell_add(struct agg *agg, u32 cell, u32 band, i64 time, const struct delta *delta);
/* The trace's number, or UINT32_MAX. Caller holds the lock or is the writer. */
u32 agg_trace_find(const struct agg *agg, struct hash128 hash);
/* Adds an event to a trace. */
void agg_trace_take(const struct agg *agg, struct trace *trace, const struct event_batch *batch,
                    u32 index, i64 cost);
/* A record without spans, for another trace. False: no memory to note it. */
bool agg_trace_give(struct agg *agg, u32 index);
/* Makes the trace what `fact` says, but for its name. False: it has no spans, so that nobody finds
 * it any more; it is still listed, and not to be given away before it was swept. Writer, with the
 * lock, as the next. */
bool agg_trace_settle(struct agg *agg, u32 index, const struct trace *fact);
/* Takes the traces without spans out of all accounts' lists, some entries each call, until the
 * account is account_max: beside the list another one is made, so that readers have a whole one at
 * any time. Zeroed it begins. False: no memory. */
struct trace_sweep {
    u32 account;
    u32 place;            /* in its list */
    struct account swept; /* of this one, only the list */
};
bool agg_traces_sweep(struct agg *agg, struct trace_sweep *sweep);
bool agg_trace_list(struct agg *agg, u32 trace); /* after loading: into its account's list */
/* Another revenue of one of the trace's events. */
void agg_trace_earn(struct agg *agg, u32 account, struct slice id, i128 more);
/* All traces of an account. */
void agg_traces_drop(struct agg *agg, struct account *account);

/* --- agg.c ------------------------------------------------------------------------------------ */

/* Checks events to be applied; returns the time of the latest. */
i64 agg_check_rows(const struct agg *agg, const struct event_batch *batch, const u32 *rows,
                   u32 count);

#endif
