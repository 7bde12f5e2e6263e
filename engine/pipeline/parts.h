/*
 * parts.h: what the parts of the pipeline share. A slot is an event batch on its way: filled by a
 * front thread, then owned by the commit thread, then given back; at every moment exactly one
 * thread owns it, and ownership passes through a mutex, so its content needs no other lock.
 */
#ifndef MARGIN_PIPELINE_PARTS_H
#define MARGIN_PIPELINE_PARTS_H

#include "agg/series_cache.h"
#include "agg/tally.h"
#include "event/digest.h"
#include "pipeline.h"
#include "pipeline/links.h"

#include <pthread.h>
#include <stdatomic.h>

/* Verdicts of the commit thread beside enum dedup_verdict: the cap of the account that the event
 * would pass follows, enum agg_cap. */
#define VERDICT_REFUSED 16
#define VERDICT_TOO_OLD (VERDICT_REFUSED + AGG_CAPS)

struct request { /* one ingest request inside a slot */
    struct ingest *ingest;
    u32 first; /* its rows are first .. first + count - 1 of the batch */
    u32 count;
};

struct slot {
    struct slot *next; /* in whichever list holds it */
    struct front *front;
    struct block text; /* from the front's pool */
    u32 request_count;
    u32 row_count; /* accepted rows */
    u32 named;     /* rows that have their series and key hash */
    u64 first_id;  /* of the accepted rows */
    u32 key_epoch; /* by which its keys are hashed: store_key_epoch() */
    enum err err;
    struct request request[EVENT_BATCH_REQUESTS_MAX];
    u8 verdict[EVENT_BATCH_MAX]; /* enum dedup_verdict, VERDICT_REFUSED */
    u32 rows[EVENT_BATCH_MAX];
    struct event_batch batch;
};

struct slot_list { /* first in, first out */
    struct slot *head;
    struct slot *tail;
};

static inline void slot_list_add(struct slot_list *list, struct slot *slot) {
    slot->next = NULL;
    if (list->tail != NULL) {
        list->tail->next = slot;
    } else {
        list->head = slot;
    }
    list->tail = slot;
}

/* The list is not empty. */
static inline void slot_list_drop_last(struct slot_list *list) {
    struct slot *before = NULL;
    for (struct slot *slot = list->head; slot != list->tail; slot = slot->next) {
        before = slot;
    }
    if (before != NULL) {
        before->next = NULL;
    } else {
        list->head = NULL;
    }
    list->tail = before;
}

struct job_list {
    struct job *head;
    struct job *tail;
};

static inline void job_list_add(struct job_list *list, struct job *job) {
    job->next = NULL;
    if (list->tail != NULL) {
        list->tail->next = job;
    } else {
        list->head = job;
    }
    list->tail = job;
}

struct front {
    struct pipeline *pipeline;
    u32 index;
    struct pool *pool;
    struct decoder *decoder;
    struct price_cache *prices;
    struct series_cache *series;
    struct digest_keys digest_keys; /* of native batches; the decoder has its own */
    struct decode_result result;    /* scratch of the request being decoded */
    struct dicts dicts;             /* the same, of native batches */
    struct links_seen links;
    struct slot *open;      /* small requests of one turn share it; NULL if none */
    struct slot *last;      /* handed over last, if it was such a one */
    struct slot *slots;     /* FRONT_BATCHES of them */
    struct slot *idle;      /* free ones, last used first so that they are warm */
    u32 slot_count;         /* so many were ever used */
    _Atomic u64 held_bytes; /* by the pool and the slots; published each turn */

    pthread_mutex_t lock; /* guards what other threads hand back */
    struct slot_list returned;
    struct job_list finished;
};

struct counters { /* relaxed: read only for display */
    _Atomic u64 accepted;
    _Atomic u64 duplicates;
    _Atomic u64 conflicts;
    _Atomic u64 invalid;
    _Atomic u64 unpriced;
    _Atomic u64 commits;
    _Atomic u64 commit_ns;
    _Atomic u64 overloaded;
    _Atomic u64 no_space;
    _Atomic u64 snapshots;
    _Atomic u64 snapshot_ms;
    _Atomic u64 queued_batches;
    _Atomic u64 batches;        /* slots in use */
    _Atomic u64 memory_refused; /* requests, while memory was at its bound */
    _Atomic u64 jobs_refused;
    _Atomic u64 amend_ns;
    _Atomic u64 disk_wait_ns; /* batches waited and the disk was busy */
    _Atomic u64 snapshot_ns;
    _Atomic u64 snapshots_failed;
    _Atomic u64 merge_ns;
    _Atomic u64 merges;
    _Atomic u64 merges_failed;
    _Atomic u64 too_old; /* events refused for their age */
    _Atomic u64 expired; /* events that left for it */
};

static inline void count_add(_Atomic u64 *counter, u64 value) {
    atomic_fetch_add_explicit(counter, value, memory_order_relaxed);
}

enum disk_state { DISK_IDLE, DISK_BUSY, DISK_STOP };

enum snapshot_state { SNAPSHOT_IDLE, SNAPSHOT_WANTED, SNAPSHOT_FIXED };

struct pipeline {
    struct pipeline_options options;
    struct agg *agg;
    struct dedup *dedup;
    struct usage *usage;
    struct front *fronts;
    struct links *links; /* NULL: none are made */
    struct counters counters;
    u64 memory_base;          /* what the process had before it took anything */
    u64 measured_ns;          /* when the next was measured; commit thread only */
    _Atomic u64 measured;     /* memory, as the system has it */
    u64 trimmed_ns;           /* background thread only */
    _Atomic bool memory_full; /* no events are taken */
    _Atomic bool failed;      /* a write failed: nothing is answered any more */
    _Atomic i64 oldest_ms;    /* events from before are refused */

    pthread_mutex_t lock; /* guards what follows, up to disk_err */
    pthread_cond_t work;  /* the commit thread waits here, for batches or the disk */
    struct slot_list waiting;
    u32 waiting_events;
    u32 wake_events; /* so many waiting events wake the commit thread; UINT32_MAX: it is awake */
    bool stopping;
    enum snapshot_state snapshot;
    pthread_cond_t snapshot_fixed; /* the background thread waits here */
    u64 snapshot_id;               /* log position the fixed state belongs to */
    enum err snapshot_err;         /* why it could not be fixed */
    u64 snapshot_amendments;       /* amendments it knows */
    pthread_cond_t disk_work;      /* the disk thread waits here */
    enum disk_state disk;
    const struct store_group *disk_group;
    const struct store_amendment *disk_amendment; /* NULL: none */
    struct amend_work *amend; /* amendments that wait; the first may be under way */
    bool amend_closed;        /* nobody makes them any more */
    bool expiring;            /* old events leave the figures: there are no amendments meanwhile */
    pthread_cond_t amended;   /* who asked for one waits here */
    enum err disk_err;        /* of the last append or amendment */

    pthread_mutex_t job_lock;
    pthread_cond_t job_work;
    struct job_list jobs;
    struct job_list heavy_jobs;
    u32 job_count;       /* both lists */
    u32 heavy_job_count; /* waiting or running */
    bool heavy_job_runs;
    bool jobs_stopping;

    pthread_mutex_t pause_lock; /* the background thread's sleep */
    pthread_cond_t pause;
    bool background_stopping;
    struct expire *expire;        /* background thread only; NULL: none was ever needed */
    struct store_scan *sift_scan; /* of the keys that stay; NULL: none are looked for */
    u64 sift_after_ns;
    u64 snapshot_last_id; /* this and the next seven: background thread only */
    u64 snapshot_last_amendments;
    i64 start_ms; /* what the clocks said at the start; 0: not yet */
    u64 start_ns;
    u64 outdated_since_ns; /* the last snapshot does not know an amendment; 0: it knows all */
    enum err merge_err;    /* of the last merge */
    u64 snapshot_after_ns; /* after a failed snapshot: not before this */
    u64 snapshot_wait_ns;  /* how long the next failure makes it wait */
    u64 trim_ns;           /* when free pages are looked at next */

    pthread_t commit_thread;
    pthread_t disk_thread;
    pthread_t background_thread;
    struct reader {
        struct pipeline *pipeline;
        pthread_t thread;
    } reader[READER_THREADS];
    struct pipeline_pulses pulses;
    bool started;
};

/* A write failed, so that what the disk holds is unknown: nothing is answered any more and the
 * process stops. Any thread. */
void pipeline_fail(struct pipeline *pipeline, enum err err);

/* memory.c: at the start, once all is recovered; then the commit thread, after each group. */
void memory_begin(struct pipeline *pipeline);
void memory_watch(struct pipeline *pipeline);
/* Whether so much more stays within the bound, if there is one. Any thread. */
bool memory_has_room(const struct pipeline *pipeline, u64 bytes);
/* Gives memory that was freed back to the system where it is short; background thread. */
void memory_trim(struct pipeline *pipeline);

/* front.c */
enum err front_open(struct front *front, struct pipeline *pipeline, u32 index);
void front_close(struct front *front);
/* Gives slots and jobs back to their front thread; any thread. */
void front_return_slot(struct slot *slot);
void front_return_job(struct job *job);

/* commit.c */
void *commit_run(void *pipeline);

/* amend.c */
/* What the commit thread does when nothing is under way; embedded first. */
struct amend_work {
    struct amend_work *next;
    enum err (*make)(struct pipeline *pipeline, struct amend_work *work); /* ERR_IO: the end */
    bool expires; /* of an expiry, which others have to wait for */
    bool done;
    enum err err;
};
/* Has it made and waits; not the commit thread. ERR_BUSY: the process stops, or an expiry is under
 * way. */
enum err amend_hand_over(struct pipeline *pipeline, struct amend_work *work);
/* Makes the amendment that waits first; the commit thread, with nothing under way. False: what the
 * disk holds is unknown. */
bool amend_make(struct pipeline *pipeline);
/* The commit thread ends: nobody must go on waiting. */
void amend_close(struct pipeline *pipeline);

/* disk.c */
void *disk_run(void *pipeline);
/* The disk is idle. The group and what it points to stay as they are until it is idle again; then
 * pipeline->disk_err tells how it went, and the commit thread has been woken. */
void disk_submit(struct pipeline *pipeline, const struct store_group *group);
/* Makes an amendment, with a group (NULL: none), and waits for it; the commit thread, with nothing
 * under way. */
enum err disk_amend(struct pipeline *pipeline, const struct store_amendment *amendment,
                    const struct store_group *group);
/* Waits until the disk is idle and ends its thread; the commit thread has ended. */
void disk_stop(struct pipeline *pipeline);

/* expire.c: for the background thread. Looks whether events have become too old and takes some of
 * them out. */
void expire_work(struct pipeline *pipeline);
/* How old events may be; also before anything is ingested. */
void expire_look_at_clock(struct pipeline *pipeline);
/* False: none is under way, so that snapshots may be taken and blocks dropped. */
bool expire_is_under_way(const struct pipeline *pipeline);
void expire_free(struct expire *expire);

/* sift.c: for the background thread. Reads some of the keys that stay, if others are to go. */
void sift_work(struct pipeline *pipeline);

/* background.c */
void *background_run(void *pipeline);
/* The set of keys is fixed: fixes the rest of the state with it, or lets that go, too. */
enum err background_snapshot_begin(struct pipeline *pipeline);
/* Writes a snapshot of the state as it is now; at the end, when the commit thread is gone. */
enum err background_snapshot_final(struct pipeline *pipeline);

/* reader.c */
void *reader_run(void *pipeline);

#endif
