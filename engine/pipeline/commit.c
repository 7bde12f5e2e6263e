/*
 * commit.c: the commit thread. It takes every waiting batch, decides duplicates, names the series,
 * lets the disk thread append them as one block, applies them to the figures once they are durable,
 * and gives the answers back. While group N is on its way to the disk, N-1 is applied and N+1
 * fills: group commit without timers.
 *
 * The order inside a group is the promise: claim, log, apply, answer. Applying before the commit
 * would show figures that a crash takes back; answering before it would lose acknowledged events;
 * and a claim whose commit fails is undone, so a key never outlives its event.
 */
#include "base/clock.h"
#include "base/log.h"
#include "pipeline/parts.h"

#include <errno.h>
#include <time.h>

#define GROUP_SLOTS_MAX 1024
#define IDLE_SECONDS 1 /* how often an idle commit thread lets time pass in the figures */

struct group {
    struct slot *slot[GROUP_SLOTS_MAX];
    u32 slot_count;
    struct store_part part[GROUP_SLOTS_MAX];
    struct store_group out; /* what the disk thread has of it */
    u64 begin_ns;
};

/* --- taking work ------------------------------------------------------------------------------ */

static bool snapshot_wanted(struct pipeline *pipeline) {
    pthread_mutex_lock(&pipeline->lock);
    bool wanted = pipeline->snapshot == SNAPSHOT_WANTED;
    pthread_mutex_unlock(&pipeline->lock);
    return wanted;
}

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
    pipeline->snapshot = SNAPSHOT_IDLE;
    pipeline->snapshot_id = store_next_id(pipeline->options.store);
    if (err == ERR_OK) {
        if (agg_snapshot_begin(pipeline->agg) == ERR_OK) {
            pipeline->snapshot = SNAPSHOT_FIXED;
        } else {
            dedup_snapshot_end(pipeline->dedup);
        }
    }
    pthread_cond_signal(&pipeline->snapshot_fixed);
}

/* Nothing is under way: a snapshot may begin, and work is waited for. */
static void wait_for_work(struct pipeline *pipeline) {
    fix_snapshot(pipeline);
    if (pipeline->waiting.head == NULL && !pipeline->stopping &&
        pipeline->snapshot != SNAPSHOT_WANTED) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += IDLE_SECONDS;
        pthread_cond_timedwait(&pipeline->work, &pipeline->lock, &until);
        fix_snapshot(pipeline);
    }
}

/* Takes what waits, at most one commit's worth; where nothing is under way, waits for it a moment.
 * False: stopping, and nothing waits any more. */
static bool take_group(struct pipeline *pipeline, struct group *group, bool idle) {
    group->slot_count = 0;
    pthread_mutex_lock(&pipeline->lock);
    if (idle) {
        wait_for_work(pipeline);
    }
    u32 events = 0;
    usize bytes = 0;
    struct slot *slot;
    while ((slot = pipeline->waiting.head) != NULL && group->slot_count < GROUP_SLOTS_MAX &&
           events + slot->batch.count <= COMMIT_GROUP_EVENTS_MAX &&
           (bytes == 0 || bytes + slot->batch.text_bytes <= COMMIT_GROUP_BYTES_MAX)) {
        pipeline->waiting.head = slot->next;
        events += slot->batch.count;
        bytes += slot->batch.text_bytes;
        group->slot[group->slot_count++] = slot;
    }
    if (pipeline->waiting.head == NULL) {
        pipeline->waiting.tail = NULL;
    }
    bool more = group->slot_count > 0 || !pipeline->stopping;
    pthread_mutex_unlock(&pipeline->lock);
    atomic_fetch_sub_explicit(&pipeline->counters.queued_batches, group->slot_count,
                              memory_order_relaxed);
    return more;
}

/* --- ending ----------------------------------------------------------------------------------- */

static void apply(struct pipeline *pipeline, struct slot *slot) {
    for (u32 k = 0; k < slot->row_count; k++) {
        slot->batch.id[slot->rows[k]] = slot->first_id + k;
    }
    agg_apply(pipeline->agg, &slot->batch, slot->rows, slot->row_count);
}

/* The settled group becomes visible, then it is answered. The group is empty afterwards. */
static void finish(struct pipeline *pipeline, struct group *group) {
    agg_advance(pipeline->agg, clock_wall_ms());
    if (group->slot_count == 0) {
        return;
    }
    for (u32 i = 0; i < group->slot_count; i++) {
        if (group->slot[i]->err == ERR_OK) {
            apply(pipeline, group->slot[i]);
        }
    }
    atomic_fetch_add_explicit(&pipeline->counters.commits, 1, memory_order_release);
    count_add(&pipeline->counters.commit_ns, clock_monotonic_ns() - group->begin_ns);
    for (u32 i = 0; i < group->slot_count; i++) {
        front_return_slot(group->slot[i]);
    }
    group->slot_count = 0;
}

/* --- deciding --------------------------------------------------------------------------------- */

static void collect_rows(struct slot *slot) {
    slot->row_count = 0;
    for (u32 row = 0; row < slot->batch.count; row++) {
        slot->rows[slot->row_count] = row;
        slot->row_count += slot->verdict[row] == DEDUP_NEW;
    }
}

/* Duplicates and series of one slot. */
static enum err decide(struct pipeline *pipeline, struct slot *slot) {
    enum err err = dedup_claim(pipeline->dedup, &slot->batch, 0, slot->batch.count, slot->verdict);
    if (err != ERR_OK) {
        return err;
    }
    collect_rows(slot);
    return agg_resolve(pipeline->agg, &slot->batch, slot->rows, slot->row_count);
}

/* Takes back every claim and every new series since the last commit. */
static void undo(struct pipeline *pipeline, struct group *group) {
    dedup_undo(pipeline->dedup);
    agg_undo(pipeline->agg);
    u32 known = agg_series_count(pipeline->agg);
    for (u32 i = 0; i < group->slot_count; i++) {
        struct event_batch *batch = &group->slot[i]->batch;
        for (u32 row = 0; row < batch->count; row++) {
            if (batch->series[row] >= known) {
                batch->series[row] = SERIES_UNRESOLVED;
            }
        }
    }
}

/* Decides the whole group. A slot that cannot be decided (memory, a bound) fails alone: all is
 * taken back and the rest is decided again, which is rare enough to be simple. */
static void decide_group(struct pipeline *pipeline, struct group *group, struct group *before) {
    for (u32 i = 0; i < group->slot_count; i++) {
        struct slot *slot = group->slot[i];
        if (slot->err != ERR_OK) {
            continue;
        }
        slot->err = decide(pipeline, slot);
        if (slot->err != ERR_OK) {
            log_warn("batch_refused", "reason=%s events=%u", err_text(slot->err),
                     slot->batch.count);
            finish(pipeline, before); /* what is taken back must not be memory it counts on */
            undo(pipeline, group);
            i = UINT32_MAX; /* from the start, without this slot */
        }
    }
}

/* --- writing ---------------------------------------------------------------------------------- */

/* Hands the group's new events to the disk thread, if it has any. */
static void submit(struct pipeline *pipeline, struct group *group) {
    u64 next_id = store_next_id(pipeline->options.store);
    group->out = (struct store_group){.parts = group->part};
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
    if (group->out.event_count > 0) {
        group->out.defs = agg_pending(pipeline->agg, &group->out.def_count);
        disk_submit(pipeline, &group->out);
    }
}

/* Nothing of the group was stored. */
static void refuse(struct pipeline *pipeline, struct group *group, enum err err) {
    undo(pipeline, group);
    for (u32 i = 0; i < group->slot_count; i++) {
        if (group->slot[i]->err == ERR_OK) {
            group->slot[i]->err = err;
        }
    }
    count_add(&pipeline->counters.no_space, 1);
}

/* Duplicates and series; the append is under way afterwards. */
static void begin(struct pipeline *pipeline, struct group *group, struct group *before) {
    group->begin_ns = clock_monotonic_ns();
    decide_group(pipeline, group, before);
    submit(pipeline, group);
}

/* Waits for the group's commit. Its keys and series are final then, or as if it had never been. */
static void settle(struct pipeline *pipeline, struct group *group) {
    enum err err = group->out.event_count > 0 ? disk_wait(pipeline) : ERR_OK;
    if (err == ERR_OK) {
        dedup_settle(pipeline->dedup);
        agg_settle(pipeline->agg);
    } else if (err == ERR_NO_SPACE || err == ERR_NO_MEMORY || err == ERR_LIMIT) {
        refuse(pipeline, group, err);
    } else {
        pipeline_fail(pipeline, err);
    }
}

/* Two groups are in hand: while the disk has the next one, the one before is applied and answered.
 * A group is settled before the next one is decided, so that at most one can be taken back. */
void *commit_run(void *context) {
    struct pipeline *pipeline = context;
    struct group group[2];
    struct group *before = &group[0]; /* its commit is under way, if it has slots */
    struct group *next = &group[1];
    pthread_setname_np(pthread_self(), "commit");
    before->slot_count = 0;
    for (;;) {
        if (before->slot_count > 0) {
            settle(pipeline, before);
            if (atomic_load(&pipeline->failed)) {
                return NULL; /* no answer is better than a wrong one: connections close without */
            }
            if (snapshot_wanted(pipeline)) {
                finish(pipeline, before);
            }
        }
        bool idle = before->slot_count == 0;
        bool more = take_group(pipeline, next, idle);
        if (next->slot_count > 0) {
            begin(pipeline, next, before);
        } else if (idle && !more) {
            return NULL;
        }
        finish(pipeline, before);
        struct group *done = before;
        before = next;
        next = done;
    }
}
