/*
 * amend.c: changes to what is stored already (pipeline_amend). Whoever asks for one waits on its
 * own thread; the commit thread makes it when nothing else is under way, so that the figures, the
 * keys and the log are of one position, and the disk thread makes it durable before it shows.
 *
 * What the figures cannot know of a source's events is read from the log by the thread that asks;
 * the commit thread only reads what has come since. If another amendment was faster, it is read
 * again.
 */
#include "agg/admit.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "pipeline/parts.h"

#include <stdlib.h>
#include <string.h>

#define TRIES_MAX 32
#define BATCHES_MAX (COMMIT_GROUP_EVENTS_MAX / 64)

/* One request on its way. */
struct work {
    struct amend_work base; /* first */
    struct amend_request *request;
    struct agg_event *kept; /* events of the source that stay */
    u32 kept_count;
    u32 kept_capacity;
    u64 kept_until;      /* they were looked for before this id, */
    u64 kept_amendments; /* after so many amendments */
};

/* --- looking for what stays ------------------------------------------------------------------- */

static bool is_named(const struct amend_request *request, struct slice text) {
    for (u32 i = 0; i < request->name_count; i++) {
        if (request->names[i].bytes == text.bytes &&
            memcmp(request->names[i].data, text.data, text.bytes) == 0) {
            return true;
        }
    }
    return request->name_count == 0;
}

static enum err keep(struct work *work, const struct event_batch *batch, u32 row) {
    if (work->kept_count == work->kept_capacity) {
        u32 capacity = MAX(work->kept_capacity * 2, (u32)256);
        struct agg_event *kept =
            capacity <= AMEND_KEPT_MAX ? aligned_alloc(64, capacity * sizeof *kept) : NULL;
        if (kept == NULL) {
            return capacity <= AMEND_KEPT_MAX ? ERR_NO_MEMORY : ERR_LIMIT;
        }
        if (work->kept_count > 0) {
            memcpy(kept, work->kept, work->kept_count * sizeof *kept);
        }
        free(work->kept);
        work->kept = kept;
        work->kept_capacity = capacity;
    }
    agg_event_read(&work->kept[work->kept_count++], batch, row);
    return ERR_OK;
}

static enum err keep_batch(const struct pipeline *pipeline, struct work *work,
                           const struct event_batch *batch) {
    enum err err = ERR_OK;
    for (u32 row = 0; row < batch->count && err == ERR_OK; row++) {
        const u32 *dims = agg_series_dims(pipeline->agg, batch->series[row]);
        if (!is_named(work->request,
                      agg_value_text(pipeline->agg, DIM_EVENT_NAME, dims[DIM_EVENT_NAME]))) {
            err = keep(work, batch, row);
        }
    }
    return err;
}

/* The source's events from kept_until on, but for those with one of the names. */
static enum err find_kept(const struct pipeline *pipeline, struct work *work, u64 until) {
    const struct amend_request *request = work->request;
    struct store_scan_options options = {.filter = store_filter_all, .columns = UINT32_MAX};
    options.filter.id_from = work->kept_until;
    options.filter.id_to = until;
    options.filter.dim_mask = 1u << DIM_ACCOUNT | 1u << DIM_SOURCE;
    options.filter.dim_value[DIM_ACCOUNT] = request->account;
    options.filter.dim_value[DIM_SOURCE] = request->source;
    if (request->kind != STORE_CLEAR || request->name_count == 0 || work->kept_until >= until) {
        return ERR_OK;
    }
    struct store_scan *scan;
    const struct event_batch *batch;
    enum err err = store_scan_open(pipeline->options.store, &options, &scan);
    if (err != ERR_OK) {
        return err;
    }
    do {
        err = store_scan_next(scan, &batch, NULL, NULL, NULL);
        err = err == ERR_OK ? keep_batch(pipeline, work, batch) : err;
        /* What is damaged is in no figure. */
    } while (err == ERR_CORRUPT || (err == ERR_OK && batch->count > 0));
    store_scan_close(scan);
    work->kept_until = until;
    return err;
}

/* --- asking ----------------------------------------------------------------------------------- */

static bool rows_are_bare(const struct event_batch *batch) {
    const u32 refused = TEXT_BIT(TEXT_KEY) | TEXT_BIT(TEXT_TRACE) | TEXT_BIT(TEXT_AGENT);
    for (u32 i = 0; i < batch->count; i++) {
        bool good = (batch->source[i] == SOURCE_CSV || batch->source[i] == SOURCE_STRIPE) &&
                    (batch->present[i] & refused) == 0 && batch->series[i] == SERIES_UNRESOLVED;
        if (!good) {
            return false;
        }
    }
    return true;
}

static bool is_valid(const struct amend_request *request) {
    usize events = 0;
    bool good = request->account < ACCOUNTS_MAX && request->batch_count <= BATCHES_MAX;
    for (u32 i = 0; good && i < request->batch_count; i++) {
        const struct event_batch *batch = request->batches[i];
        events += batch->count;
        good = batch->account == request->account && batch->count <= EVENT_BATCH_MAX &&
               rows_are_bare(batch);
    }
    if (!good || events > COMMIT_GROUP_EVENTS_MAX) {
        return false;
    }
    if (request->kind == STORE_REVENUE) {
        return request->batch_count == 0;
    }
    bool whole = request->source == DIM_NONE && request->name_count == 0;
    return request->kind == STORE_CLEAR && request->name_count <= AMEND_NAMES_MAX &&
           (whole || request->source == SOURCE_CSV || request->source == SOURCE_STRIPE);
}

enum err amend_hand_over(struct pipeline *pipeline, struct amend_work *work) {
    work->done = false;
    work->next = NULL;
    pthread_mutex_lock(&pipeline->lock);
    bool refused = pipeline->expiring && !work->expires;
    if (pipeline->stopping || pipeline->amend_closed || refused) {
        pthread_mutex_unlock(&pipeline->lock);
        return ERR_BUSY;
    }
    struct amend_work **end = &pipeline->amend;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = work;
    pthread_cond_signal(&pipeline->work);
    while (!work->done) {
        pthread_cond_wait(&pipeline->amended, &pipeline->lock);
    }
    pthread_mutex_unlock(&pipeline->lock);
    return work->err;
}

static enum err make(struct pipeline *pipeline, struct amend_work *base);

enum err pipeline_amend(struct pipeline *pipeline, struct amend_request *request) {
    if (!is_valid(request)) {
        return ERR_INVALID;
    }
    enum err err = ERR_EXISTS;
    for (u32 try = 0; try < TRIES_MAX && err == ERR_EXISTS; try++) {
        struct work work = {.base.make = make, .request = request, .kept_until = 1};
        work.kept_amendments = store_amendments(pipeline->options.store);
        err = find_kept(pipeline, &work, store_next_id(pipeline->options.store));
        if (err == ERR_OK) {
            fault_point("amend.asked");
            err = amend_hand_over(pipeline, &work.base);
        }
        free(work.kept);
    }
    return err == ERR_EXISTS ? ERR_BUSY : err;
}

/* --- making: the commit thread ---------------------------------------------------------------- */

/* The new events as the log takes them. */
struct addition {
    struct store_part *parts;
    struct agg_rows *rows;
    u32 *indexes; /* 0, 1, 2...: all rows of any batch */
    struct series_def *defs;
    struct store_group group;
};

static void addition_free(struct addition *addition) {
    free(addition->parts);
    free(addition->rows);
    free(addition->indexes);
    free(addition->defs);
}

/* Names the series of a batch, event by event where the account is near a cap: one event past it
 * refuses all. */
static enum err resolve_batch(const struct pipeline *pipeline, struct event_batch *batch,
                              const u32 *indexes) {
    struct agg *agg = pipeline->agg;
    i64 oldest_ms = pipeline_oldest_ms(pipeline);
    for (u32 row = 0; row < batch->count; row++) {
        if (batch->number[NUM_TIME][row] < oldest_ms) { /* since whoever asks has looked */
            return ERR_BUSY;
        }
    }
    if (agg_has_room(agg, batch)) {
        return agg_resolve(agg, batch, indexes, batch->count);
    }
    enum err err = ERR_OK;
    for (u32 row = 0; row < batch->count && err == ERR_OK; row++) {
        err = agg_admit(agg, batch, row) == AGG_CAPS ? agg_resolve(agg, batch, &row, 1) : ERR_LIMIT;
    }
    return err;
}

static enum err resolve(struct pipeline *pipeline, const struct amend_request *request,
                        struct addition *out) {
    u32 count = request->batch_count;
    *out = (struct addition){0};
    out->parts = calloc(count + 1, sizeof *out->parts);
    out->rows = calloc(count + 1, sizeof *out->rows);
    out->indexes = calloc(EVENT_BATCH_MAX, sizeof *out->indexes);
    if (out->parts == NULL || out->rows == NULL || out->indexes == NULL) {
        return ERR_NO_MEMORY;
    }
    for (u32 i = 0; i < EVENT_BATCH_MAX; i++) {
        out->indexes[i] = i;
    }
    u32 first_series = agg_mark(pipeline->agg).series;
    for (u32 i = 0; i < count; i++) {
        struct event_batch *batch = request->batches[i];
        enum err err = resolve_batch(pipeline, batch, out->indexes);
        if (err != ERR_OK) {
            return err;
        }
        if (batch->count > 0) {
            out->rows[out->group.part_count] = (struct agg_rows){batch, out->indexes, batch->count};
            out->parts[out->group.part_count++] =
                (struct store_part){batch, out->indexes, batch->count};
            out->group.event_count += batch->count;
        }
    }
    u32 end_series = agg_mark(pipeline->agg).series;
    out->defs = calloc(end_series - first_series + 1, sizeof *out->defs);
    if (out->defs == NULL) {
        return ERR_NO_MEMORY;
    }
    for (u32 series = first_series; series < end_series; series++) {
        out->defs[out->group.def_count++] = agg_definition(pipeline->agg, series);
    }
    out->group.parts = out->parts;
    out->group.defs = out->defs;
    return ERR_OK;
}

static enum err write_clear(struct pipeline *pipeline, const struct amend_request *request,
                            const struct clearing *clearing, const struct addition *addition) {
    struct store_amendment amendment = {.kind = STORE_CLEAR,
                                        .account = request->account,
                                        .made_ms = clock_wall_ms(),
                                        .source = request->source,
                                        .names = request->names,
                                        .name_count = request->name_count};
    amendment.series = clearing_series(clearing, &amendment.series_count);
    usage_get(pipeline->usage, request->account, &amendment.received_month_ms, &amendment.received);
    const struct store_group *group = addition->group.event_count > 0 ? &addition->group : NULL;
    return disk_amend(pipeline, &amendment, group);
}

/* Figures and log become what they are to be in one moment. */
static void show_clear(struct pipeline *pipeline, struct amend_request *request,
                       struct clearing *clearing, const struct addition *addition) {
    u64 first_id = store_next_id(pipeline->options.store);
    u64 id = first_id;
    for (u32 i = 0; i < request->batch_count; i++) {
        struct event_batch *batch = request->batches[i];
        for (u32 row = 0; row < batch->count; row++) {
            batch->id[row] = id++;
        }
    }
    agg_settle(pipeline->agg);
    agg_change_begin(pipeline->agg);
    store_show(pipeline->options.store);
    if (request->shown != NULL) {
        request->shown(request->shown_context);
    }
    agg_clear(clearing, addition->rows, addition->group.part_count);
    for (u32 i = 0; i < addition->group.part_count; i++) {
        const struct agg_rows *rows = &addition->rows[i];
        usage_count(pipeline->usage, request->account, rows->batch, rows->rows, rows->count);
    }
    request->removed = clearing_events(clearing);
    request->first_id = addition->group.event_count > 0 ? first_id : 0;
}

static enum err make_clear(struct pipeline *pipeline, struct work *work) {
    struct amend_request *request = work->request;
    struct store *store = pipeline->options.store;
    bool partial = request->name_count > 0;
    if (partial && work->kept_amendments != store_amendments(store)) {
        return ERR_EXISTS; /* what it has found may no longer be so */
    }
    agg_advance(pipeline->agg, clock_wall_ms());
    enum err err = find_kept(pipeline, work, store_next_id(store));
    struct clearing *clearing = NULL;
    struct addition addition = {0};
    const struct agg_clear clear = {.account = request->account,
                                    .source = request->source,
                                    .names = request->names,
                                    .name_count = request->name_count,
                                    .kept = work->kept,
                                    .kept_count = work->kept_count};
    if (err == ERR_OK) {
        err = agg_clear_plan(pipeline->agg, &clear, &clearing);
    }
    if (err == ERR_OK) {
        err = resolve(pipeline, request, &addition);
    }
    if (err == ERR_OK) {
        fault_point("amend.planned");
        err = write_clear(pipeline, request, clearing, &addition);
    }
    if (err == ERR_OK) {
        fault_point("amend.durable");
        show_clear(pipeline, request, clearing, &addition);
    } else {
        agg_undo(pipeline->agg);
        for (u32 i = 0; i < request->batch_count && addition.indexes != NULL; i++) {
            agg_unresolve(pipeline->agg, request->batches[i], addition.indexes,
                          request->batches[i]->count);
        }
    }
    clearing_free(clearing);
    addition_free(&addition);
    return err;
}

/* Those that are still what they were when they were read. */
static u32 take_standing(struct pipeline *pipeline, const struct amend_request *request,
                         struct store_revenue *revenues, struct agg_adjustment *adjustments) {
    u32 count = 0;
    for (u32 i = 0; i < request->revenue_count; i++) {
        const struct amend_revenue *one = &request->revenues[i];
        const struct agg_event *event = &one->adjustment.event;
        u32 account = agg_series_dims(pipeline->agg, event->series)[DIM_ACCOUNT];
        if (account == request->account &&
            store_event_stands(pipeline->options.store, event->series, one->id, event->time,
                               event->delta.row.revenue, one->source_before)) {
            revenues[count] = (struct store_revenue){one->id, one->adjustment.revenue, one->source};
            adjustments[count] = one->adjustment;
            adjustments[count++].part = tally_part_earning(event->part, one->source);
        }
    }
    return count;
}

static enum err make_revenue(struct pipeline *pipeline, struct amend_request *request) {
    u32 most = request->revenue_count;
    struct store_revenue *revenues = malloc((most + 1) * sizeof *revenues);
    struct agg_adjustment *adjustments = aligned_alloc(64, (most + (usize)1) * sizeof *adjustments);
    enum err err =
        revenues == NULL || adjustments == NULL || !agg_adjust_reserve(pipeline->agg, most)
            ? ERR_NO_MEMORY
            : ERR_OK;
    u32 count = err == ERR_OK ? take_standing(pipeline, request, revenues, adjustments) : 0;
    if (count > 0) {
        const struct store_amendment amendment = {.kind = STORE_REVENUE,
                                                  .account = request->account,
                                                  .made_ms = clock_wall_ms(),
                                                  .revenues = revenues,
                                                  .revenue_count = count};
        err = disk_amend(pipeline, &amendment, NULL);
        fault_point("amend.revenue-durable");
    }
    if (err == ERR_OK && count > 0) {
        agg_change_begin(pipeline->agg);
        store_show(pipeline->options.store);
        agg_adjust(pipeline->agg, adjustments, count);
        request->updated = count;
    }
    free(revenues);
    free(adjustments);
    return err;
}

static void answer(struct pipeline *pipeline, struct amend_work *work, enum err err) {
    pthread_mutex_lock(&pipeline->lock);
    pipeline->amend = work->next;
    work->err = err;
    work->done = true;
    pthread_cond_broadcast(&pipeline->amended);
    pthread_mutex_unlock(&pipeline->lock);
}

static enum err make(struct pipeline *pipeline, struct amend_work *base) {
    struct work *work = (struct work *)base;
    struct amend_request *request = work->request;
    u64 begin_ns = clock_monotonic_ns();
    enum err err =
        request->kind == STORE_CLEAR ? make_clear(pipeline, work) : make_revenue(pipeline, request);
    if (err == ERR_OK) {
        atomic_fetch_add_explicit(&pipeline->counters.commits, 1, memory_order_release);
        log_info("amended", "account=%u kind=%s removed=%llu changed=%u took_ms=%llu",
                 request->account, request->kind == STORE_CLEAR ? "clear" : "revenue",
                 (unsigned long long)request->removed, request->updated,
                 (unsigned long long)((clock_monotonic_ns() - begin_ns) / 1000000));
    }
    return err;
}

bool amend_make(struct pipeline *pipeline) {
    struct amend_work *work = pipeline->amend; /* only this thread takes it away */
    enum err err = work->make(pipeline, work);
    if (err == ERR_IO) {
        pipeline_fail(pipeline, err); /* no answer is better than a wrong one */
        return false;
    }
    fault_point("amend.shown");
    answer(pipeline, work, err);
    return true;
}

void amend_close(struct pipeline *pipeline) {
    pthread_mutex_lock(&pipeline->lock);
    pipeline->amend_closed = true;
    for (struct amend_work *work = pipeline->amend; work != NULL; work = work->next) {
        work->err = ERR_IO;
        work->done = true;
    }
    pipeline->amend = NULL;
    pthread_cond_broadcast(&pipeline->amended);
    pthread_mutex_unlock(&pipeline->lock);
}
