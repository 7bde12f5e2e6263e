/*
 * pipeline.h: the path of an event, on one page (pipeline.c). Front threads decode, price and hash;
 * the commit thread decides duplicates, appends to the log with one sync a group, applies to the
 * aggregates, and hands the answers back to the front thread they came from.
 */
#ifndef MARGIN_PIPELINE_H
#define MARGIN_PIPELINE_H

#include "account/account.h"
#include "account/usage.h"
#include "agg/agg.h"
#include "agg/clear.h"
#include "base/pool.h"
#include "base/pulse.h"
#include "dedup/dedup.h"
#include "event/decode.h"
#include "event/dicts.h"
#include "limits.h"
#include "price/prices.h"
#include "store.h"

struct directory;
struct pipeline; /* one a process */
struct front;    /* the pipeline's side of one front thread; only that thread uses it */

/* --- ingest ---------------------------------------------------------------------------------- */

/* One ingest request on its way. The caller owns it, zeroes it, sets account, done and context, and
 * keeps it until done() has been called: always on the same front thread, never inside
 * front_ingest_*. */
struct ingest {
    u32 account;
    bool captures; /* requestBody and responseBody are kept; or false: see accounts_get() */
    void (*done)(struct ingest *ingest);
    void *context;

    /* Result, valid in done(). */
    enum err err; /* ERR_OK: durable and visible. ERR_NO_SPACE, ERR_BUSY: nothing was stored */
    u32 sent;     /* accepted + rejected */
    u32 accepted;
    u32 rejected;   /* invalid events, duplicates, and such that pass a cap of the account */
    u32 duplicates; /* conflicts included */
    u32 conflicts;
    u64 first_id;                 /* id of the first accepted event; 0 if none */
    struct event_reject *rejects; /* all but the duplicates; messages are slices of reject_text */
    u32 reject_count;
    struct buf reject_text;
};
/* Frees what the result owns; call it at the end of done(). */
void ingest_free(struct ingest *ingest);

/* Takes the body of POST /api/events/ingest. `body` (from the front thread's pool, `bytes` used and
 * EVENT_TEXT_PADDING behind them) belongs to the front from here on, also on error.
 * ERR_INVALID: *error says why. ERR_BUSY: past capacity, answer 503. ERR_OK: done() will be called.
 */
enum err front_ingest(struct front *front, struct ingest *ingest, struct block body, usize bytes,
                      i64 now_ms, struct decode_error *error);
/* The single-event endpoint; the body is copied. */
enum err front_ingest_client(struct front *front, struct ingest *ingest, struct slice body,
                             struct slice key, i64 now_ms, struct decode_error *error);
/* A native batch: `fill` decodes the payload into an empty batch whose text memory has room for
 * `payload.bytes` + 64 KiB and says in `dicts` where texts repeat. It returns ERR_OK or ERR_INVALID
 * with *error. Rejected events go to `result`. */
typedef enum err (*front_fill)(struct event_batch *batch, struct slice payload, i64 now_ms,
                               struct dicts *dicts, struct decode_result *result,
                               struct decode_error *error);
enum err front_ingest_native(struct front *front, struct ingest *ingest, front_fill fill,
                             struct slice payload, i64 now_ms, struct decode_error *error);

struct pool *front_pool(struct front *front);

/* --- work beside the path --------------------------------------------------------------------- */

/* Slow work (anything that touches the log, or waits for the disk) runs on a reader thread: run()
 * there, then done() on the front thread. The caller owns the job until done(). A heavy job (a
 * password's digest) computes for a tenth of a second: one at a time, so that the other reader
 * thread is there for the rest. ERR_BUSY: too many wait. */
struct job {
    bool dropped; /* in done(): the process stops, run() was not called */
    bool heavy;
    void (*run)(struct job *job);
    void (*done)(struct job *job);
    void *context;
    struct front *front;
    struct job *next;
};
enum err front_job(struct front *front, struct job *job);

/* --- amendments ------------------------------------------------------------------------------- */

/* Another revenue of an event as it was read from a scan. */
struct amend_revenue {
    u64 id;
    struct agg_adjustment adjustment; /* all but `part`; the event by agg_event_read() */
    u8 source_before;                 /* enum revenue_source */
    u8 source;
};

/* A change to what is stored already (store.h). The caller zeroes it, sets account, kind and what
 * the kind needs. Slices and batches must last until pipeline_amend() returns. */
struct amend_request {
    u32 account;
    enum store_amend_kind kind;

    /* STORE_CLEAR: all events of the account (source DIM_NONE, no names); or those of one source,
     * SOURCE_CSV or SOURCE_STRIPE, and of these event names only if there are any. */
    u32 source;
    const struct slice *names;
    u32 name_count;
    /* What takes their place, in the same transaction: batches of events as they come off the
     * pricing step (cost, revenue, sources, digest, created, granularity set; `series`
     * SERIES_UNRESOLVED, `account` the request's), COMMIT_GROUP_EVENTS_MAX in all. Events of
     * SOURCE_CSV and SOURCE_STRIPE have no key, trace or agent; no other sources come this way. */
    struct event_batch *const *batches;
    u32 batch_count;

    /* STORE_REVENUE: events as they were read from a scan, and what they are to earn. Those that
     * are gone or have another revenue by now are left out. */
    const struct amend_revenue *revenues; /* ascending ids */
    u32 revenue_count;

    /* STORE_CLEAR: called when the change shows, while readers of the figures wait: for what is to
     * change in the same moment. NULL: nothing is. */
    void (*shown)(void *context);
    void *shown_context;

    /* Result. */
    u64 removed;  /* events */
    u64 first_id; /* of the new events; 0: none */
    u32 updated;  /* events whose revenue changed */
};

/* Makes the change: it is durable, then it shows, all at once (figures, lists, keys), then this
 * returns. Nothing else is committed meanwhile. Waits for the disk: for reader threads (slow.h) and
 * the background, never a front thread. ERR_OK; ERR_INVALID; ERR_NO_SPACE, ERR_NO_MEMORY,
 * ERR_LIMIT, ERR_BUSY: nothing was changed; ERR_IO: the process stops. */
enum err pipeline_amend(struct pipeline *pipeline, struct amend_request *request);

/* --- retention -------------------------------------------------------------------------------- */

/* Events from before this time are refused, ms: a midnight (UTC) that many days ago, and never
 * earlier than it once was, for their keys are forgotten. INT64_MIN: all are taken. Any thread. */
i64 pipeline_oldest_ms(const struct pipeline *pipeline);

/* --- wiring ---------------------------------------------------------------------------------- */

struct pipeline_options {
    struct store *store;
    struct prices *prices;       /* not owned */
    struct directory *directory; /* of customers, not owned; NULL (tests): no links are made */
    struct control *control;     /* likewise */
    u64 dedup_seed;
    u64 series_seed;
    u64 digest_seed;
    struct agg_caps caps; /* the figures', for what is said to those past one */
    u32 front_count;
    u64 snapshot_events; /* events after which the background thread writes a snapshot */
    u64 memory_max;      /* past it no events are taken; 0: no bound */
    u32 retention_days;  /* older events are refused and removed; 0: they are kept for ever */
    usize pool_bytes;    /* memory for bodies and text, a front thread */
    void (*wake)(void *context, u32 front); /* edge_wake of that front thread */
    void (*fatal)(void *context); /* a write failed: the process must stop; any thread, once */
    void *context;
};
/* Makes the pipeline and its fronts, so that edges can be opened on them; nothing may be ingested
 * before pipeline_start(). ERR_NO_MEMORY. */
enum err pipeline_create(const struct pipeline_options *options, struct pipeline **out);
/* After recovery: takes the recovered state (not owned) and starts the threads. `snapshot_id` is
 * the log position of the snapshot it came from. */
enum err pipeline_start(struct pipeline *pipeline, struct agg *agg, struct dedup *dedup,
                        struct usage *usage, u64 snapshot_id);
struct front *pipeline_front(struct pipeline *pipeline, u32 front);
void front_on_turn(struct front *front); /* edge's on_turn: hands the open batch over */
void front_on_wake(struct front *front); /* edge's on_wake: delivers answers */
/* When the fronts' threads have ended: commits what was handed over, writes a snapshot, ends the
 * threads. */
void pipeline_stop(struct pipeline *pipeline);
void pipeline_destroy(struct pipeline *pipeline);

/* Memory counted against memory_max. Any thread, once started. */
u64 pipeline_memory_bytes(const struct pipeline *pipeline);
/* Memory is at its bound: nothing that needs more is taken. Any thread. */
bool pipeline_is_full(const struct pipeline *pipeline);

struct pipeline_stats { /* since start, or as of now */
    u64 accepted;
    u64 duplicates;
    u64 conflicts;
    u64 invalid;
    u64 unpriced;
    u64 commits;
    u64 commit_ns;
    u64 overloaded; /* requests answered 503 */
    u64 no_space;
    u64 snapshots;
    u64 snapshot_ms;    /* when the last one was written, ms since 1970; 0: none */
    u64 queued_batches; /* now */
    u64 queued_events;
    u64 batches; /* being filled, waiting or under way */
    u64 batches_most;
    u64 held_bytes; /* bodies and batches */
    u64 held_bytes_most;
    u64 disk_wait_ns; /* batches waited and the disk was busy */
    u64 jobs;         /* waiting for a reader thread, heavy ones too */
    u64 jobs_most;
    u64 heavy_jobs; /* waiting or running */
    u64 heavy_jobs_most;
    u64 jobs_refused;
    u64 amendments; /* waiting or under way */
    u64 amend_ns;
    u64 snapshot_ns;
    u64 snapshots_failed;
    u64 merge_ns;
    u64 merges;
    u64 merges_failed;
    u64 memory_most; /* 0: no bound */
    u64 memory_full; /* 1: no events are taken */
    u64 memory_refused;
    u64 links; /* with Stripe customers, waiting to be made */
    u64 links_most;
    u64 links_left;       /* for the next event that names them */
    u64 expiring;         /* 1: events are leaving for their age */
    u64 retained_from_ms; /* older events are refused; 0: none are */
    struct dedup_stats keys;
    u64 too_old; /* events refused for their age */
    u64 expired; /* events that left for it */
};
/* Goes up when a commit's events are in the figures, before any of them is answered. So what was
 * read from the figures after one value is what everybody was told until the value changes. Any
 * thread. */
u64 pipeline_commit_count(const struct pipeline *pipeline);
/* Whether its threads go on. */
struct pipeline_pulses {
    struct pulse commit;
    struct pulse disk;
    struct pulse background;
    struct pulse reader[READER_THREADS];
};
const struct pipeline_pulses *pipeline_pulses(const struct pipeline *pipeline);
void pipeline_get_stats(struct pipeline *pipeline, struct pipeline_stats *out);

#endif
