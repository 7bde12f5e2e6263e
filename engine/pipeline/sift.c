/*
 * sift.c: keys whose events are gone leave the files of keys: when half of those there are known to
 * be such, the keys of all events that the log still has are read, a little at a time, and the
 * files are written again without the others (dedup.h). The background thread.
 *
 * What is damaged is passed over, as at a start: its events are missing from the figures then.
 */
#include "base/clock.h"
#include "base/log.h"
#include "pipeline/parts.h"

#define ROUND_NS 100000000              /* of work, then the thread's other duties */
#define RETRY_NS ((u64)60 * 1000000000) /* after memory was full */

/* Opened after the files are fixed, so that it sees all of their events. A byte an event is taken
 * for as long as it lasts: where that would pass the bound on memory, a supervisor that holds us to
 * the same bound would end the process, and the next start would begin with the same. */
static enum err begin(struct pipeline *pipeline) {
    struct store_scan_options options = {.filter = store_filter_all, .columns = TEXT_BIT(TEXT_KEY)};
    struct store_stats stats;
    store_get_stats(pipeline->options.store, &stats);
    u64 events = stats.events - stats.dropped;
    enum err err = memory_has_room(pipeline, events) ? dedup_sift_begin(pipeline->dedup, events)
                                                     : ERR_NO_MEMORY;
    if (err != ERR_OK) {
        return err;
    }
    options.filter.id_to = store_next_id(pipeline->options.store);
    err = store_scan_open(pipeline->options.store, &options, &pipeline->sift_scan);
    if (err != ERR_OK) {
        dedup_sift_end(pipeline->dedup, false);
    }
    return err;
}

static void end(struct pipeline *pipeline, bool all) {
    store_scan_close(pipeline->sift_scan);
    pipeline->sift_scan = NULL;
    dedup_sift_end(pipeline->dedup, all);
}

/* Sets *more: there are further events. */
static enum err note_some(struct pipeline *pipeline, bool *more) {
    const struct event_batch *found;
    struct store_damage damage;
    enum err err = store_scan_next(pipeline->sift_scan, &found, NULL, NULL, &damage);
    if (err != ERR_OK) {
        return err == ERR_CORRUPT ? ERR_OK : err;
    }
    struct event_batch *batch = (struct event_batch *)found;
    u32 epoch = store_key_epoch(pipeline->options.store, batch->account);
    dedup_hash_keys(batch, 0, batch->count, dedup_epoch_seed(pipeline->options.dedup_seed, epoch));
    dedup_sift_note(pipeline->dedup, batch);
    *more = batch->count > 0;
    return ERR_OK;
}

void sift_work(struct pipeline *pipeline) {
    u64 now_ns = clock_monotonic_ns();
    if (pipeline->sift_scan == NULL &&
        (now_ns < pipeline->sift_after_ns || !dedup_wants_sift(pipeline->dedup))) {
        return;
    }
    bool more = true;
    enum err err = pipeline->sift_scan == NULL ? begin(pipeline) : ERR_OK;
    while (err == ERR_OK && more && clock_monotonic_ns() < now_ns + ROUND_NS) {
        err = note_some(pipeline, &more);
    }
    if (pipeline->sift_scan != NULL && (err != ERR_OK || !more)) {
        end(pipeline, err == ERR_OK);
    }
    if (err != ERR_OK) {
        pipeline->sift_after_ns = now_ns + RETRY_NS;
        log_warn("keys_not_sifted", "reason=%s action=\"keys without events stay for now\"",
                 err_text(err));
    }
}
