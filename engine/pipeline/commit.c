/*
 * commit.c: the commit thread. It takes waiting batches, decides duplicates, names the series, lets
 * the disk thread append them as one block, applies them to the figures once they are durable, and
 * gives the answers back. While the disk has group N, N-1 is applied and answered and N+1 is
 * decided, batch by batch as they come; when N is durable, N+1 follows at once: group commit
 * without timers, and neither thread waits for the other as long as there is work.
 *
 * The order inside a group is the promise: claim, log, apply, answer. Applying before the commit
 * would show figures that a crash takes back; answering before it would lose acknowledged events;
 * and a claim whose commit fails is undone, so a key never outlives its event. Groups are answered
 * in their order: an event that N+1 calls a duplicate of one in N is answered after that is
 * durable.
 *
 * Claims and new series of two groups may be unsettled at a time, so both are settled and taken
 * back up to a mark (dedup.h, agg.h). Where nothing of N could be written, N+1 is taken back with
 * it and decided again: its duplicates may be new now, and its series others.
 */
#include "agg/admit.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "pipeline/parts.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#define GROUP_SLOTS_MAX 1024
/* A group takes no more. Two are under way at a time; did they hold all that clients have sent,
 * front threads would have nothing to decode until one of them is answered. */
#define GROUP_EVENTS 32768
#define READY_EVENTS 8192 /* an idle disk waits for no more to be decided: half a millisecond */
#define WAKE_EVENTS 4096  /* waiting ones that are worth waking up for while the disk is busy */
/* Many small requests at a time: clients that were just answered are about to send again, and a
 * sync for every few of them costs more than all else that they need, while the rest wait for it.
 * So after a group of so many requests the disk rests until as many events wait as it had, or so
 * many, or some time has passed: about one half of the requests under way is written then, while
 * the other half keeps front threads and clients busy. */
#define REST_REQUESTS 32
#define REST_EVENTS 96
#define REST_NS ((u64)1000000)
#define IDLE_SECONDS 1 /* how often an idle commit thread lets time pass in the figures */

_Static_assert(EVENT_BATCH_MAX <= GROUP_EVENTS && GROUP_EVENTS <= COMMIT_GROUP_EVENTS_MAX,
               "a group holds a batch, and a block a group");

/* How far claims and series have come. */
struct mark {
    u64 keys;
    struct agg_mark series;
};

struct group {
    struct slot *slot[GROUP_SLOTS_MAX];
    u32 slot_count;
    u32 event_count; /* in its slots, duplicates included */
    usize text_bytes;
    struct mark begin;
    struct mark end; /* of a submitted group */
    struct store_part part[GROUP_SLOTS_MAX];
    struct series_def *defs;
    u32 def_capacity;
    struct store_group out; /* what the disk thread has of it */
    u64 begin_ns;
};

struct commit {
    struct pipeline *pipeline;
    struct group *written; /* submitted; without slots: the disk has nothing to do */
    struct group *next;    /* being decided */
    u32 rest_events;       /* the disk rests until so many wait, or until rest_ns; 0: it does not */
    u64 rest_ns;
    struct group group[2];
};

/* --- taking work ------------------------------------------------------------------------------ */

enum turn {
    TURN_WRITE,  /* the disk is idle, and there are batches */
    TURN_DECIDE, /* the disk is busy, and batches wait */
    TURN_AMEND,  /* nothing is under way, and an amendment waits */
    TURN_IDLE,   /* time passes */
    TURN_END     /* stopping, and all is done */
};

/* Nothing is under way, so the state belongs to one log position. It may take some calls: see
 * dedup_snapshot_begin(). */
static void fix_snapshot(struct pipeline *pipeline) {
    if (pipeline->snapshot != SNAPSHOT_WANTED) {
        return;
    }
    enum err err = dedup_snapshot_begin(pipeline->dedup);
    if (err == ERR_BUSY) {
        return;
    }
    pipeline->snapshot_id = store_next_id(pipeline->options.store);
    pipeline->snapshot_amendments = store_amendments(pipeline->options.store);
    if (err == ERR_OK) {
        err = background_snapshot_begin(pipeline);
    }
    pipeline->snapshot = err == ERR_OK ? SNAPSHOT_FIXED : SNAPSHOT_IDLE;
    pipeline->snapshot_err = err;
    fault_point("snapshot.fixed");
    pthread_cond_signal(&pipeline->snapshot_fixed);
}

static bool fits(const struct group *group, const struct slot *slot) {
    return group->slot_count < GROUP_SLOTS_MAX &&
           group->event_count + slot->batch.count <= GROUP_EVENTS &&
           (group->text_bytes == 0 ||
            group->text_bytes + slot->batch.text_bytes <= COMMIT_GROUP_BYTES_MAX);
}

/* Whether a batch may be taken. Where a snapshot is wanted, or an amendment, what is in hand is
 * brought to its end first. Under the lock. */
static bool may_take(const struct commit *commit) {
    const struct pipeline *pipeline = commit->pipeline;
    return pipeline->waiting.head != NULL && pipeline->amend == NULL &&
           fits(commit->next, pipeline->waiting.head) &&
           pipeline->waiting_events >= commit->rest_events &&
           (pipeline->snapshot != SNAPSHOT_WANTED || commit->written->slot_count == 0);
}

/* Sleeps until there may be something to do; true: because time has passed. Under the lock. */
static bool sleep_until(struct pipeline *pipeline, u32 wake_events, const struct timespec *until) {
    pipeline->wake_events = wake_events;
    int error = until == NULL ? pthread_cond_wait(&pipeline->work, &pipeline->lock)
                              : pthread_cond_timedwait(&pipeline->work, &pipeline->lock, until);
    pipeline->wake_events = UINT32_MAX;
    return error == ETIMEDOUT;
}

static struct timespec time_of(u64 ns) {
    return (struct timespec){.tv_sec = (time_t)(ns / 1000000000),
                             .tv_nsec = (long)(ns % 1000000000)};
}

/* Sleeps while the disk rests. Under the lock. */
static void rest(struct commit *commit) {
    struct pipeline *pipeline = commit->pipeline;
    struct timespec until = time_of(commit->rest_ns);
    while (pipeline->waiting_events < commit->rest_events && pipeline->amend == NULL &&
           pipeline->snapshot != SNAPSHOT_WANTED && !pipeline->stopping &&
           !sleep_until(pipeline, commit->rest_events, &until)) {
    }
    commit->rest_events = 0;
}

/* What to do while the disk is idle. */
static enum turn turn_idle(struct commit *commit, const struct timespec *until) {
    struct pipeline *pipeline = commit->pipeline;
    if (commit->written->slot_count > 0 || commit->next->slot_count > 0) {
        return TURN_WRITE;
    }
    rest(commit);
    if (pipeline->amend != NULL) {
        return TURN_AMEND;
    }
    fix_snapshot(pipeline);
    if (pipeline->waiting.head == NULL && !pipeline->stopping &&
        pipeline->snapshot != SNAPSHOT_WANTED && !sleep_until(pipeline, 0, until)) {
        fix_snapshot(pipeline);
    }
    if (pipeline->amend != NULL) {
        return TURN_AMEND;
    }
    if (pipeline->waiting.head != NULL) {
        return TURN_WRITE;
    }
    return pipeline->stopping ? TURN_END : TURN_IDLE;
}

static enum turn wait_for_turn(struct commit *commit) {
    struct pipeline *pipeline = commit->pipeline;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += IDLE_SECONDS;
    pthread_mutex_lock(&pipeline->lock);
    while (pipeline->disk == DISK_BUSY && !may_take(commit)) {
        bool full = pipeline->waiting.head != NULL;
        u64 begin_ns = full ? clock_monotonic_ns() : 0;
        sleep_until(pipeline, full ? UINT32_MAX : WAKE_EVENTS, NULL);
        if (full) {
            count_add(&pipeline->counters.disk_wait_ns, clock_monotonic_ns() - begin_ns);
        }
    }
    enum turn turn = pipeline->disk == DISK_BUSY ? TURN_DECIDE : turn_idle(commit, &until);
    pthread_mutex_unlock(&pipeline->lock);
    return turn;
}

/* Takes the first waiting batch into the group; false: there is none, or it may not be taken. */
static bool take_slot(struct commit *commit) {
    struct pipeline *pipeline = commit->pipeline;
    struct group *group = commit->next;
    pthread_mutex_lock(&pipeline->lock);
    bool taken = may_take(commit);
    if (taken) {
        struct slot *slot = pipeline->waiting.head;
        pipeline->waiting.head = slot->next;
        pipeline->waiting.tail = slot->next == NULL ? NULL : pipeline->waiting.tail;
        pipeline->waiting_events -= slot->batch.count;
        group->slot[group->slot_count++] = slot;
        group->event_count += slot->batch.count;
        group->text_bytes += slot->batch.text_bytes;
        commit->rest_events = 0;
    }
    pthread_mutex_unlock(&pipeline->lock);
    if (taken) {
        atomic_fetch_sub_explicit(&pipeline->counters.queued_batches, 1, memory_order_relaxed);
    }
    return taken;
}

/* --- deciding --------------------------------------------------------------------------------- */

static struct mark mark_now(const struct pipeline *pipeline) {
    return (struct mark){dedup_mark(pipeline->dedup), agg_mark(pipeline->agg)};
}

static void undo_to(struct pipeline *pipeline, struct mark mark) {
    dedup_undo_to(pipeline->dedup, mark.keys);
    agg_undo_to(pipeline->agg, mark.series);
}

static void collect_rows(struct slot *slot) {
    slot->row_count = 0;
    for (u32 row = 0; row < slot->batch.count; row++) {
        slot->rows[slot->row_count] = row;
        slot->row_count += slot->verdict[row] == DEDUP_NEW;
    }
}

/* Room for the definitions that the group will hand to the log. */
static enum err reserve_defs(struct group *group, u32 count) {
    if (count <= group->def_capacity) {
        return ERR_OK;
    }
    u32 capacity = MAX(count, 2 * group->def_capacity);
    struct series_def *defs = realloc(group->defs, capacity * sizeof *defs);
    if (defs == NULL) {
        return ERR_NO_MEMORY;
    }
    group->defs = defs;
    group->def_capacity = capacity;
    return ERR_OK;
}

/* All events of an account may have been removed since its keys were hashed: they are free again.
 */
static void hash_anew(struct pipeline *pipeline, struct slot *slot) {
    u32 epoch = store_key_epoch(pipeline->options.store, slot->batch.account);
    if (unlikely(slot->key_epoch != epoch)) {
        slot->key_epoch = epoch;
        dedup_hash_keys(&slot->batch, 0, slot->batch.count,
                        dedup_epoch_seed(pipeline->options.dedup_seed, epoch));
    }
}

/* Its key may be forgotten already, so that it could count twice. */
static bool has_old(const struct slot *slot, i64 oldest_ms) {
    bool found = false;
    if (unlikely(oldest_ms != INT64_MIN)) {
        for (u32 row = 0; row < slot->batch.count; row++) {
            found |= slot->batch.number[NUM_TIME][row] < oldest_ms;
        }
    }
    return found;
}

/* Duplicates and series event by event, for an account that is near a cap: an event that would pass
 * it is refused before its key is claimed. So is one that is too old. */
static enum err decide_rows(struct pipeline *pipeline, struct slot *slot, i64 oldest_ms) {
    enum err err = ERR_OK;
    for (u32 row = 0; row < slot->batch.count && err == ERR_OK; row++) {
        if (slot->batch.number[NUM_TIME][row] < oldest_ms) {
            slot->verdict[row] = VERDICT_TOO_OLD;
            continue;
        }
        enum agg_cap cap = agg_admit(pipeline->agg, &slot->batch, row);
        if (cap != AGG_CAPS) {
            slot->verdict[row] = (u8)(VERDICT_REFUSED + cap);
            continue;
        }
        err = dedup_claim(pipeline->dedup, &slot->batch, row, 1, slot->verdict + row);
        if (err != ERR_OK || slot->verdict[row] != DEDUP_NEW) {
            continue;
        }
        slot->rows[slot->row_count++] = row;
        err = agg_resolve(pipeline->agg, &slot->batch, &row, 1);
        if (err == ERR_OK && !agg_promise_trace(pipeline->agg, &slot->batch, row)) {
            err = ERR_NO_MEMORY;
        }
    }
    return err;
}

static enum err decide_all(struct pipeline *pipeline, struct slot *slot) {
    enum err err = dedup_claim(pipeline->dedup, &slot->batch, 0, slot->batch.count, slot->verdict);
    fault_point("commit.claimed");
    if (err == ERR_OK) {
        collect_rows(slot);
        err = agg_resolve(pipeline->agg, &slot->batch, slot->rows, slot->row_count);
        fault_point("commit.defined");
    }
    return err;
}

/* Duplicates and series of one slot. One that cannot be decided (memory, a bound) fails alone. */
static void decide(struct pipeline *pipeline, struct group *group, struct slot *slot) {
    struct mark before = mark_now(pipeline);
    slot->row_count = 0;
    hash_anew(pipeline, slot);
    i64 oldest_ms = pipeline_oldest_ms(pipeline);
    bool together = agg_has_room(pipeline->agg, &slot->batch) && !has_old(slot, oldest_ms);
    enum err err = together ? decide_all(pipeline, slot) : decide_rows(pipeline, slot, oldest_ms);
    if (err == ERR_OK) {
        err = reserve_defs(group, agg_mark(pipeline->agg).series - group->begin.series.series);
    }
    if (err != ERR_OK) {
        undo_to(pipeline, before);
        agg_unresolve(pipeline->agg, &slot->batch, slot->rows, slot->row_count);
        slot->err = err;
        if (err == ERR_IO || err == ERR_CORRUPT) { /* of the keys on disk */
            pipeline_fail(pipeline, err);
        }
        log_warn("batch_refused", "reason=%s events=%u", err_text(err), slot->batch.count);
    }
}

/* Takes a batch into the next group and decides it; false: there is none for it. */
static bool decide_one(struct commit *commit) {
    struct group *group = commit->next;
    if (!take_slot(commit)) {
        return false;
    }
    fault_point("commit.taken");
    if (group->slot_count == 1) {
        group->begin = mark_now(commit->pipeline);
        group->begin_ns = clock_monotonic_ns();
    }
    decide(commit->pipeline, group, group->slot[group->slot_count - 1]);
    return true;
}

/* --- writing ---------------------------------------------------------------------------------- */

/* Hands the group's new events to the disk thread, if it has any. */
static void submit(struct pipeline *pipeline, struct group *group) {
    u64 next_id = store_next_id(pipeline->options.store);
    group->end = mark_now(pipeline);
    group->out = (struct store_group){.parts = group->part, .defs = group->defs};
    for (u32 i = 0; i < group->slot_count; i++) {
        struct slot *slot = group->slot[i];
        if (slot->err != ERR_OK || slot->row_count == 0) {
            continue;
        }
        slot->first_id = next_id + group->out.event_count;
        group->part[group->out.part_count++] =
            (struct store_part){&slot->batch, slot->rows, slot->row_count};
        group->out.event_count += slot->row_count;
    }
    if (group->out.event_count == 0) {
        return;
    }
    for (u32 series = group->begin.series.series; series < group->end.series.series; series++) {
        group->defs[group->out.def_count++] = agg_definition(pipeline->agg, series);
    }
    disk_submit(pipeline, &group->out);
}

static void unresolve(struct pipeline *pipeline, struct group *group) {
    for (u32 i = 0; i < group->slot_count; i++) {
        struct slot *slot = group->slot[i];
        agg_unresolve(pipeline->agg, &slot->batch, slot->rows, slot->row_count);
    }
}

/* Nothing of the submitted group was stored: as if it had never been, for the next one, too. */
static void refuse(struct commit *commit, enum err err) {
    struct pipeline *pipeline = commit->pipeline;
    struct group *group = commit->written;
    struct group *next = commit->next;
    undo_to(pipeline, group->begin);
    fault_point("commit.undone");
    unresolve(pipeline, group);
    unresolve(pipeline, next);
    for (u32 i = 0; i < group->slot_count; i++) {
        if (group->slot[i]->err == ERR_OK) {
            group->slot[i]->err = err;
        }
    }
    group->end = group->begin;
    next->begin = group->begin;
    for (u32 i = 0; i < next->slot_count; i++) {
        if (next->slot[i]->err == ERR_OK) {
            decide(pipeline, next, next->slot[i]);
        }
    }
    count_add(&pipeline->counters.no_space, 1);
}

/* The disk is idle. False: what it holds is unknown, or that of a merge is. */
static bool look_at_result(struct commit *commit) {
    struct pipeline *pipeline = commit->pipeline;
    enum err err = commit->written->out.event_count > 0 ? pipeline->disk_err : ERR_OK;
    if (err == ERR_NO_SPACE || err == ERR_NO_MEMORY || err == ERR_LIMIT) {
        refuse(commit, err);
    } else if (err != ERR_OK) {
        pipeline_fail(pipeline, err);
    }
    fault_point_if(commit->written->out.event_count > 0, "commit.durable");
    return !atomic_load(&pipeline->failed);
}

/* --- ending ----------------------------------------------------------------------------------- */

static void apply(struct pipeline *pipeline, struct slot *slot) {
    agg_apply(pipeline->agg, &slot->batch, slot->rows, slot->row_count);
    usage_count(pipeline->usage, slot->batch.account, &slot->batch, slot->rows, slot->row_count);
}

/* Nothing takes the group back any more: it becomes visible, then it is answered. It is empty
 * afterwards. */
static void finish(struct pipeline *pipeline, struct group *group) {
    dedup_settle_to(pipeline->dedup, group->end.keys);
    agg_settle_to(pipeline->agg, group->end.series);
    fault_point("commit.settled");
    agg_advance(pipeline->agg, clock_wall_ms());
    for (u32 i = 0; i < group->slot_count; i++) {
        if (group->slot[i]->err == ERR_OK) {
            apply(pipeline, group->slot[i]);
            fault_point("commit.slot-applied");
        }
    }
    atomic_fetch_add_explicit(&pipeline->counters.commits, 1, memory_order_release);
    memory_watch(pipeline);
    fault_point("commit.applied");
    count_add(&pipeline->counters.commit_ns, clock_monotonic_ns() - group->begin_ns);
    for (u32 i = 0; i < group->slot_count; i++) {
        front_return_slot(group->slot[i]);
        fault_point("commit.slot-returned");
    }
    group->slot_count = 0;
    group->event_count = 0;
    group->text_bytes = 0;
    group->out.event_count = 0;
}

/* Whether the disk rests before the next group, after this one. */
static void begin_rest(struct commit *commit, const struct group *done) {
    u32 requests = 0;
    for (u32 i = 0; i < done->slot_count; i++) {
        requests += done->slot[i]->request_count;
    }
    if (requests >= REST_REQUESTS && commit->next->slot_count == 0) {
        commit->rest_events = MIN(done->event_count, (u32)REST_EVENTS);
        commit->rest_ns = clock_monotonic_ns() + REST_NS;
    }
}

/* The disk is idle: it gets the next group before the one it had is applied and answered. */
static bool write_next(struct commit *commit) {
    struct group *done = commit->written;
    if (!look_at_result(commit)) {
        return false; /* no answer is better than a wrong one: connections close without */
    }
    begin_rest(commit, done);
    while (commit->next->event_count < READY_EVENTS && decide_one(commit)) {
    }
    submit(commit->pipeline, commit->next);
    fault_point("commit.submitted");
    commit->written = commit->next;
    commit->next = done;
    if (done->slot_count > 0) {
        finish(commit->pipeline, done);
    }
    return true;
}

void *commit_run(void *context) {
    struct pipeline *pipeline = context;
    struct commit commit = {.pipeline = pipeline};
    commit.written = &commit.group[0];
    commit.next = &commit.group[1];
    pthread_setname_np(pthread_self(), "commit");
    enum turn turn;
    while ((turn = wait_for_turn(&commit)) != TURN_END) {
        pulse_work(&pipeline->pulses.commit);
        if (turn == TURN_DECIDE) {
            decide_one(&commit);
        } else if (turn == TURN_IDLE) {
            dedup_settle(pipeline->dedup); /* takes up what the background thread has made */
            agg_advance(pipeline->agg, clock_wall_ms());
            memory_watch(pipeline);
        } else if (turn == TURN_AMEND) {
            u64 begin_ns = clock_monotonic_ns();
            bool made = amend_make(pipeline);
            count_add(&pipeline->counters.amend_ns, clock_monotonic_ns() - begin_ns);
            if (!made) {
                break;
            }
        } else if (!write_next(&commit)) {
            break;
        }
        pulse_rest(&pipeline->pulses.commit);
    }
    pulse_rest(&pipeline->pulses.commit);
    amend_close(pipeline);
    free(commit.group[0].defs);
    free(commit.group[1].defs);
    return NULL;
}
