/*
 * expire.c: retention. Events older than so many days are refused, and at the first round after
 * each midnight (UTC) those that have become so are removed: by one amendment, which says so in the
 * log; then, while ingest goes on, they leave the figures (agg/expire.h) and the set of keys; then
 * blocks of nothing else leave the disk.
 *
 * The background thread reads the log and hands the commit thread a batch at a time, which makes it
 * when nothing else is under way; in between, groups are committed as ever. Between the amendment
 * and the end figures still count a part of what is too old; no window within the days that are
 * kept sees anything of it. There are no other amendments and no snapshots meanwhile, and keys that
 * have to leave memory do so without one. If the process ends before it is done, the next start
 * makes the figures from the log, without what is gone.
 */
#include "agg/expire.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "pipeline/parts.h"

#include <stdlib.h>

#define DAY_MS ((i64)86400000)
#define ROUND_NS 100000000              /* of work, then the thread's other duties */
#define RETRY_NS ((u64)60 * 1000000000) /* after the disk or memory was full */
#define LATE_EVENTS_MAX 8192            /* read by the commit thread, and what is under way then */
#define END_STEPS 4096                  /* of the end, between two groups: some milliseconds */

#define EXPIRE_COLUMNS                                                                             \
    (NUM_BIT(NUM_TIME) | NUM_BIT(NUM_COST) | NUM_BIT(NUM_REVENUE) | NUM_BIT(NUM_USAGE) |           \
     NUM_BIT(NUM_INPUT) | NUM_BIT(NUM_OUTPUT) | NUM_BIT(NUM_CACHED) | NUM_BIT(NUM_CACHE_WRITE) |   \
     NUM_BIT(NUM_DURATION) | TEXT_BIT(TEXT_AGENT) | TEXT_BIT(TEXT_TRACE))

enum phase {
    PHASE_IDLE,
    PHASE_TAKE, /* events that are too old are read and taken out */
    PHASE_NOTE, /* what they concerned is noted */
    PHASE_LOOK, /* series that stay are looked at */
    PHASE_READ, /* events that stay are read */
    PHASE_LATE, /* and those that came since PHASE_NOTE began */
    PHASE_END   /* what they say replaces what is known, a little at a time */
};

struct expire {
    struct amend_work base; /* first */
    enum phase phase;
    struct agg_expiry *expiry;
    struct store_scan *scan;
    const struct event_batch *batch; /* of the scan */
    i64 before_ms;
    u64 look_id; /* events from here on are late */
    u64 read_id; /* late ones before are read */
    bool more;   /* the same is to be made again */
    u64 begin_ns;
    u64 after_ns; /* after a failure: not before this */
};

i64 pipeline_oldest_ms(const struct pipeline *pipeline) {
    return atomic_load_explicit(&pipeline->oldest_ms, memory_order_acquire);
}

/* What is removed does not come back, so a clock that is set ahead by mistake while we run must not
 * empty the log: it counts for a day more than has passed since the start, at most. */
static i64 trusted_now_ms(struct pipeline *pipeline) {
    i64 wall_ms = clock_wall_ms();
    if (pipeline->start_ms == 0) {
        pipeline->start_ms = wall_ms;
        pipeline->start_ns = clock_monotonic_ns();
    }
    i64 passed_ms = (i64)((clock_monotonic_ns() - pipeline->start_ns) / 1000000);
    return MIN(wall_ms, pipeline->start_ms + passed_ms + DAY_MS);
}

/* Never earlier than what was ever removed: with its events, keys were forgotten. */
void expire_look_at_clock(struct pipeline *pipeline) {
    i64 days = pipeline->options.retention_days;
    i64 expired_ms = store_expired(pipeline->options.store);
    i64 oldest_ms = expired_ms == 0 ? INT64_MIN : expired_ms;
    if (days > 0) {
        i64 kept_ms = trusted_now_ms(pipeline) - days * DAY_MS;
        oldest_ms = MAX(oldest_ms, kept_ms - kept_ms % DAY_MS);
    }
    if (oldest_ms > pipeline_oldest_ms(pipeline)) {
        atomic_store_explicit(&pipeline->oldest_ms, oldest_ms, memory_order_release);
    }
}

bool expire_is_under_way(const struct pipeline *pipeline) {
    return pipeline->expire != NULL && pipeline->expire->phase != PHASE_IDLE;
}

void expire_free(struct expire *expire) {
    if (expire != NULL) {
        store_scan_close(expire->scan);
        agg_expire_free(expire->expiry);
        free(expire);
    }
}

static void set_expiring(struct pipeline *pipeline, bool expiring) {
    pthread_mutex_lock(&pipeline->lock);
    pipeline->expiring = expiring;
    pthread_mutex_unlock(&pipeline->lock);
}

static void close_scan(struct expire *expire) {
    store_scan_close(expire->scan);
    expire->scan = NULL;
}

static enum err open_scan(struct pipeline *pipeline, struct expire *expire, i64 from_ms, i64 to_ms,
                          u64 id_from, u64 id_to) {
    struct store_scan_options options = {.filter = store_filter_all, .columns = EXPIRE_COLUMNS};
    options.filter.time_from = from_ms;
    options.filter.time_to = to_ms;
    options.filter.id_from = id_from;
    options.filter.id_to = id_to;
    options.columns |= to_ms != INT64_MAX ? TEXT_BIT(TEXT_KEY) : 0;
    check(expire->scan == NULL);
    return store_scan_open(pipeline->options.store, &options, &expire->scan);
}

/* What is damaged is passed over: it is missing from the figures at the next start anyway. */
static enum err next_batch(struct expire *expire) {
    enum err err;
    do {
        err = store_scan_next(expire->scan, &expire->batch, NULL, NULL, NULL);
    } while (err == ERR_CORRUPT);
    return err;
}

static enum err hand_over(struct pipeline *pipeline, struct expire *expire,
                          enum err (*make)(struct pipeline *, struct amend_work *)) {
    expire->base.make = make;
    expire->base.expires = true;
    return amend_hand_over(pipeline, &expire->base);
}

/* --- on the commit thread --------------------------------------------------------------------- */

/* What accounts have received this month, for replaying will not see all of it. */
static enum err note_usage(struct pipeline *pipeline, struct store_amendment *amendment,
                           struct store_received **out) {
    u32 count = 0;
    struct store_received *accounts = malloc(ACCOUNTS_MAX * sizeof *accounts);
    if (accounts == NULL) {
        return ERR_NO_MEMORY;
    }
    for (u32 account = 0; account < ACCOUNTS_MAX; account++) {
        struct store_received *one = &accounts[count];
        *one = (struct store_received){.account = account};
        usage_get(pipeline->usage, account, &one->month_ms, &one->count);
        count += one->month_ms != 0;
    }
    amendment->accounts = accounts;
    amendment->account_count = count;
    *out = accounts;
    return ERR_OK;
}

/* The scan is opened before the amendment, so that it sees what goes. */
static enum err make_begin(struct pipeline *pipeline, struct amend_work *work) {
    struct expire *expire = (struct expire *)work;
    struct store_amendment amendment = {
        .kind = STORE_EXPIRE, .made_ms = clock_wall_ms(), .before_ms = expire->before_ms};
    struct store_received *accounts = NULL;
    agg_advance(pipeline->agg, clock_wall_ms());
    if (!agg_expire_ready(pipeline->agg, expire->before_ms)) {
        return ERR_BUSY;
    }
    enum err err = note_usage(pipeline, &amendment, &accounts);
    if (err == ERR_OK) {
        err = open_scan(pipeline, expire, INT64_MIN, expire->before_ms, 1,
                        store_next_id(pipeline->options.store));
    }
    if (err == ERR_OK) {
        err = agg_expire_begin(pipeline->agg, expire->before_ms, &expire->expiry);
    }
    if (err == ERR_OK) {
        fault_point("expire.planned");
        err = disk_amend(pipeline, &amendment, NULL);
    }
    if (err == ERR_OK) {
        fault_point("expire.durable");
        store_show(pipeline->options.store);
    } else if (expire->expiry != NULL) {
        agg_expire_cancel(expire->expiry);
        expire->expiry = NULL;
    }
    free(accounts);
    return err;
}

static enum err make_take(struct pipeline *pipeline, struct amend_work *work) {
    struct expire *expire = (struct expire *)work;
    struct event_batch *batch = (struct event_batch *)expire->batch;
    u32 epoch = store_key_epoch(pipeline->options.store, batch->account);
    dedup_hash_keys(batch, 0, batch->count, dedup_epoch_seed(pipeline->options.dedup_seed, epoch));
    enum err err = dedup_forget(pipeline->dedup, batch, 0, batch->count);
    expire->more = err == ERR_BUSY;
    if (err != ERR_OK) {
        return err == ERR_BUSY ? ERR_OK : err;
    }
    err = agg_expire_take(expire->expiry, batch);
    fault_point("expire.taken");
    count_add(&pipeline->counters.expired, batch->count);
    atomic_fetch_add_explicit(&pipeline->counters.commits, 1, memory_order_release);
    return err;
}

static enum err make_taken(struct pipeline *pipeline, struct amend_work *work) {
    struct expire *expire = (struct expire *)work;
    expire->look_id = store_next_id(pipeline->options.store);
    expire->read_id = expire->look_id;
    return ERR_OK;
}

/* Reads all late events up to an id; any thread. */
static enum err read_late(struct pipeline *pipeline, struct expire *expire, u64 until) {
    enum err err =
        open_scan(pipeline, expire, expire->before_ms, INT64_MAX, expire->read_id, until);
    while (err == ERR_OK) {
        err = next_batch(expire);
        if (err != ERR_OK || expire->batch->count == 0) {
            break;
        }
        agg_expire_read(expire->expiry, expire->batch, true);
    }
    close_scan(expire);
    expire->read_id = until;
    return err;
}

static enum err make_follow(struct pipeline *pipeline, struct amend_work *work) {
    struct expire *expire = (struct expire *)work;
    enum err err = read_late(pipeline, expire, store_next_id(pipeline->options.store));
    agg_expire_follow(expire->expiry);
    return err;
}

static enum err make_end(struct pipeline *pipeline, struct amend_work *work) {
    struct expire *expire = (struct expire *)work;
    enum err err = agg_expire_end(expire->expiry, END_STEPS, &expire->more);
    fault_point("expire.settled");
    atomic_fetch_add_explicit(&pipeline->counters.commits, 1, memory_order_release);
    if (err == ERR_OK && !expire->more) {
        fault_point("expire.ended");
        set_expiring(pipeline, false);
    }
    return err;
}

/* --- on the background thread ----------------------------------------------------------------- */

static void begin(struct pipeline *pipeline, struct expire *expire) {
    u64 now_ns = clock_monotonic_ns();
    i64 before_ms = pipeline_oldest_ms(pipeline);
    bool due = before_ms > store_expired(pipeline->options.store) &&
               agg_oldest(pipeline->agg) < before_ms && now_ns >= expire->after_ns;
    if (!due) {
        return;
    }
    expire->before_ms = before_ms;
    expire->begin_ns = now_ns;
    set_expiring(pipeline, true);
    enum err err = hand_over(pipeline, expire, make_begin);
    if (err == ERR_OK) {
        log_info("expiring", "before_ms=%lld", (long long)before_ms);
        expire->phase = PHASE_TAKE;
        return;
    }
    close_scan(expire);
    set_expiring(pipeline, false);
    expire->after_ns = now_ns + (err == ERR_BUSY ? 0 : RETRY_NS);
    if (err != ERR_BUSY) {
        log_warn("expiry_failed", "reason=%s action=\"old events stay for now\"", err_text(err));
    }
}

static enum err take_some(struct pipeline *pipeline, struct expire *expire) {
    enum err err = next_batch(expire);
    if (err == ERR_OK && expire->batch->count > 0) {
        do {
            err = hand_over(pipeline, expire, make_take);
        } while (err == ERR_OK && expire->more);
        return err;
    }
    close_scan(expire);
    if (err == ERR_OK) {
        err = hand_over(pipeline, expire, make_taken);
        expire->phase = PHASE_NOTE;
    }
    return err;
}

static enum err note_some(struct expire *expire) {
    bool more;
    enum err err = agg_expire_note(expire->expiry, &more);
    expire->phase = more ? PHASE_NOTE : PHASE_LOOK;
    return err;
}

static enum err look_some(struct pipeline *pipeline, struct expire *expire) {
    if (agg_expire_look(expire->expiry)) {
        return ERR_OK;
    }
    expire->phase = PHASE_READ;
    return open_scan(pipeline, expire, expire->before_ms, INT64_MAX, 1, expire->look_id);
}

static enum err read_some(struct expire *expire) {
    enum err err = next_batch(expire);
    if (err == ERR_OK && expire->batch->count > 0) {
        agg_expire_read(expire->expiry, expire->batch, false);
        return ERR_OK;
    }
    close_scan(expire);
    expire->phase = PHASE_LATE;
    return err;
}

static enum err late_some(struct pipeline *pipeline, struct expire *expire) {
    u64 next_id = store_next_id(pipeline->options.store);
    if (next_id - expire->read_id > LATE_EVENTS_MAX) {
        return read_late(pipeline, expire, next_id);
    }
    expire->phase = PHASE_END;
    return hand_over(pipeline, expire, make_follow);
}

static enum err end_some(struct pipeline *pipeline, struct expire *expire) {
    enum err err = hand_over(pipeline, expire, make_end);
    if (err == ERR_OK && !expire->more) {
        log_info("expired", "before_ms=%lld events=%llu took_ms=%llu", (long long)expire->before_ms,
                 (unsigned long long)agg_expire_removed(expire->expiry),
                 (unsigned long long)((clock_monotonic_ns() - expire->begin_ns) / 1000000));
        agg_expire_free(expire->expiry);
        expire->expiry = NULL;
        expire->phase = PHASE_IDLE;
    }
    return err;
}

static enum err go_on(struct pipeline *pipeline, struct expire *expire) {
    switch (expire->phase) {
    case PHASE_TAKE:
        return take_some(pipeline, expire);
    case PHASE_NOTE:
        return note_some(expire);
    case PHASE_LOOK:
        return look_some(pipeline, expire);
    case PHASE_READ:
        return read_some(expire);
    case PHASE_LATE:
        return late_some(pipeline, expire);
    case PHASE_END:
        return end_some(pipeline, expire);
    default:
        return ERR_OK;
    }
}

static enum err make_fixed(struct pipeline *pipeline, struct amend_work *work) {
    (void)work;
    return dedup_snapshot_begin(pipeline->dedup);
}

/* There are no snapshots meanwhile, with which keys past the bound on memory leave it else. */
static void spill_keys(struct pipeline *pipeline, struct expire *expire) {
    if (dedup_is_full(pipeline->dedup) && hand_over(pipeline, expire, make_fixed) == ERR_OK) {
        dedup_snapshot_spill(pipeline->dedup);
        dedup_snapshot_end(pipeline->dedup);
    }
}

void expire_work(struct pipeline *pipeline) {
    expire_look_at_clock(pipeline);
    if (pipeline_oldest_ms(pipeline) == INT64_MIN) {
        return;
    }
    if (pipeline->expire == NULL) {
        pipeline->expire = calloc(1, sizeof *pipeline->expire);
    }
    struct expire *expire = pipeline->expire;
    if (expire != NULL && expire->phase == PHASE_IDLE) {
        begin(pipeline, expire);
    }
    if (expire_is_under_way(pipeline)) {
        spill_keys(pipeline, expire);
    }
    u64 until_ns = clock_monotonic_ns() + ROUND_NS;
    enum err err = ERR_OK;
    while (expire_is_under_way(pipeline) && err == ERR_OK && clock_monotonic_ns() < until_ns) {
        err = go_on(pipeline, expire);
    }
    /* ERR_BUSY: the process stops. Else the figures are no longer what the log says. */
    if (err != ERR_OK && err != ERR_BUSY && !atomic_load(&pipeline->failed)) {
        log_error("expiry_failed", "reason=%s action=\"stopping: the next start finishes it\"",
                  err_text(err));
        pipeline_fail(pipeline, err);
    }
}
