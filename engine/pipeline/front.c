/*
 * front.c: the front thread's part of the path: decode, price, name the series, hash the key; then
 * hand the batch over. A large body becomes a batch of its own and its memory is adopted, not
 * copied; small requests of one turn of the loop share a batch, so that single-event clients get
 * group commit too.
 */
#include "base/fault.h"
#include "event/batch.h"
#include "pipeline/parts.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SHARED_BODY_MAX (32 * KIB)  /* bodies up to this are copied into the shared batch */
#define SHARED_TEXT_BYTES (2 * MIB) /* text of a shared batch */
#define TEXT_GROWTH 3               /* of a body, at most, when metas are normalised */
#define TEXT_SLACK (64 * KIB)       /* room for text that later steps add */
#define MESSAGE_BYTES_MAX (1 * MIB) /* reject texts of one request */
#define SLOTS_BYTES (FRONT_BATCHES * sizeof(struct slot))

/* --- opening and closing ---------------------------------------------------------------------- */

/* Slots lie side by side in huge pages: a batch is written and read in some twenty places at a
 * time, each of them a page of its own otherwise. Those that were never needed cost address space.
 */
static enum err slots_map(struct front *front) {
    void *slots = mmap(NULL, SLOTS_BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (slots == MAP_FAILED) {
        return ERR_NO_MEMORY;
    }
    madvise(slots, SLOTS_BYTES, MADV_HUGEPAGE); /* without them it works, only slower */
    front->slots = slots;
    return ERR_OK;
}

enum err front_open(struct front *front, struct pipeline *pipeline, u32 index) {
    const struct pipeline_options *options = &pipeline->options;
    front->pipeline = pipeline;
    front->index = index;
    pthread_mutex_init(&front->lock, NULL);
    buf_init(&front->result.messages, MESSAGE_BYTES_MAX);
    digest_keys_make(options->digest_seed, &front->digest_keys);
    enum err err = pool_create(options->pool_bytes, &front->pool);
    if (err == ERR_OK) {
        err = slots_map(front);
    }
    if (err == ERR_OK) {
        err = decoder_create(options->digest_seed, &front->decoder);
    }
    if (err == ERR_OK) {
        err = price_cache_create(options->prices, &front->prices);
    }
    if (err == ERR_OK) {
        err = series_cache_create(options->series_seed, &front->series);
    }
    return err;
}

static void slot_recycle(struct slot *slot) {
    struct front *front = slot->front;
    pool_give(front->pool, slot->text);
    slot->text = (struct block){NULL, 0};
    slot->next = front->idle;
    front->idle = slot;
    atomic_fetch_sub_explicit(&front->pipeline->counters.batches, 1, memory_order_relaxed);
}

/* Slots that a failed commit thread never gave back end with the process. */
void front_close(struct front *front) {
    if (front->pipeline == NULL) {
        return; /* never opened: what comes before it could not be made */
    }
    if (front->open != NULL) {
        slot_recycle(front->open);
    }
    if (front->slots != NULL && !atomic_load(&front->pipeline->failed)) {
        munmap(front->slots, SLOTS_BYTES);
    }
    series_cache_destroy(front->series);
    price_cache_destroy(front->prices);
    decoder_destroy(front->decoder);
    buf_free(&front->result.messages);
    if (!atomic_load(&front->pipeline->failed)) {
        pool_destroy(front->pool);
    }
    pthread_mutex_destroy(&front->lock);
}

struct pool *front_pool(struct front *front) {
    return front->pool;
}

/* --- slots ------------------------------------------------------------------------------------ */

/* More than a megabyte, never cleared. */
static struct slot *slot_take(struct front *front, u32 account) {
    struct slot *slot = front->idle;
    if (slot != NULL) {
        front->idle = slot->next;
    } else if (front->slot_count < FRONT_BATCHES) {
        slot = &front->slots[front->slot_count++];
        slot->front = front;
    } else {
        return NULL;
    }
    count_add(&front->pipeline->counters.batches, 1);
    slot->request_count = 0;
    slot->row_count = 0;
    slot->named = 0;
    slot->first_id = 0;
    slot->err = ERR_OK;
    slot->batch.count = 0;
    slot->batch.packed_count = 0;
    slot->batch.account = account;
    slot->key_epoch = store_key_epoch(front->pipeline->options.store, account);
    return slot;
}

static void slot_set_text(struct slot *slot, struct block text, usize used) {
    slot->text = text;
    slot->batch.text = text.data;
    slot->batch.text_bytes = (u32)used;
    slot->batch.text_bytes_max = (u32)(text.capacity - EVENT_TEXT_PADDING);
}

static struct slot *slot_take_with_text(struct front *front, u32 account, usize bytes) {
    struct slot *slot = slot_take(front, account);
    if (slot == NULL) {
        return NULL;
    }
    struct block text = pool_take(front->pool, bytes);
    if (text.data == NULL) {
        slot_recycle(slot);
        return NULL;
    }
    slot_set_text(slot, text, 0);
    return slot;
}

/* Series and keys of the slot's events; `dicts` if it is a native batch. Not event by event as they
 * come: each is a look into memory that is far away, and here they overlap. */
static void name_events(struct front *front, struct slot *slot, const struct dicts *dicts) {
    struct event_batch *batch = &slot->batch;
    if (dicts != NULL) {
        series_cache_resolve_dicts(front->series, batch, dicts);
    } else {
        series_cache_resolve(front->series, batch, slot->named, batch->count - slot->named);
        store_pack_keys(batch); /* which are far apart in a body; not so in a native batch */
    }
    dedup_hash_keys(batch, slot->named, batch->count - slot->named,
                    dedup_epoch_seed(front->pipeline->options.dedup_seed, slot->key_epoch));
    slot->named = batch->count;
}

static void hand_over(struct front *front, struct slot *slot, const struct dicts *dicts) {
    struct pipeline *pipeline = front->pipeline;
    name_events(front, slot, dicts);
    front->last = NULL;
    count_add(&pipeline->counters.queued_batches, 1);
    pthread_mutex_lock(&pipeline->lock);
    slot_list_add(&pipeline->waiting, slot);
    pipeline->waiting_events += slot->batch.count;
    bool wake = pipeline->waiting_events >= pipeline->wake_events;
    if (wake) {
        pipeline->wake_events = UINT32_MAX;
    }
    pthread_mutex_unlock(&pipeline->lock);
    if (wake) {
        pthread_cond_signal(&pipeline->work);
    }
    fault_point("front.handed-over");
}

static void hand_over_open(struct front *front) {
    struct slot *slot = front->open;
    front->open = NULL;
    if (slot != NULL && slot->request_count > 0) {
        hand_over(front, slot, NULL);
        front->last = slot;
    } else if (slot != NULL) {
        slot_recycle(slot);
    }
}

/* The shared slot of an earlier turn, if it is the last one that waits and the commit thread sleeps
 * until the disk is idle or has rested: nobody would take it earlier, and single events need fewer
 * slots, each of them large in memory, than there are turns in the time of a sync. NULL: there is
 * none. */
static struct slot *take_back(struct front *front) {
    struct pipeline *pipeline = front->pipeline;
    struct slot *slot = front->last;
    front->last = NULL;
    if (slot == NULL) {
        return NULL;
    }
    pthread_mutex_lock(&pipeline->lock);
    bool back = pipeline->waiting.tail == slot && pipeline->wake_events != UINT32_MAX;
    if (back) {
        slot_list_drop_last(&pipeline->waiting);
        pipeline->waiting_events -= slot->batch.count;
    }
    pthread_mutex_unlock(&pipeline->lock);
    if (back) {
        atomic_fetch_sub_explicit(&pipeline->counters.queued_batches, 1, memory_order_relaxed);
    }
    return back ? slot : NULL;
}

/* The shared slot of this turn, with room for one more request of `bytes` and `events`. */
static struct slot *open_slot(struct front *front, u32 account, usize bytes, u32 events) {
    if (front->open == NULL) {
        front->open = take_back(front);
    }
    struct slot *slot = front->open;
    if (slot != NULL &&
        (slot->batch.account != account || slot->request_count == EVENT_BATCH_REQUESTS_MAX ||
         slot->batch.count + events > EVENT_BATCH_MAX ||
         slot->batch.text_bytes + bytes + TEXT_SLACK > slot->batch.text_bytes_max)) {
        hand_over_open(front);
        slot = NULL;
    }
    if (slot == NULL) {
        slot = slot_take_with_text(front, account, SHARED_TEXT_BYTES);
        front->open = slot;
    }
    return slot;
}

/* --- the steps after decoding ----------------------------------------------------------------- */

/* The position in the request of its k-th event that decoded. */
static u32 request_index(const struct decode_result *result, u32 k) {
    u32 index = k;
    for (u32 i = 0; i < result->reject_count && result->rejects[i].index <= index; i++) {
        index++;
    }
    return index;
}

static void reject_insert(struct decode_result *result, u32 index, const char *text) {
    usize offset = result->messages.bytes;
    buf_put_text(&result->messages, text);
    u32 at = result->reject_count;
    while (at > 0 && result->rejects[at - 1].index > index) {
        result->rejects[at] = result->rejects[at - 1];
        at--;
    }
    result->rejects[at] =
        (struct event_reject){index, {(u32)offset, (u32)(result->messages.bytes - offset)}};
    result->reject_count++;
}

/* Takes out the events whose computed cost does not fit; the last one first, so that the rows
 * before it keep their places. */
static void refuse_overflow(struct event_batch *batch, struct decode_result *result,
                            const u32 *overflow, u32 overflow_count) {
    for (u32 i = overflow_count; i-- > 0;) {
        u32 index = request_index(result, overflow[i] - result->first);
        batch_remove(batch, overflow[i]);
        result->count--;
        reject_insert(result, index, "computed cost is too large");
    }
}

/* Price and revenue of what was just decoded; `dicts` if it is a native batch. */
static void price(struct front *front, struct slot *slot, struct decode_result *result,
                  struct dicts *dicts) {
    struct event_batch *batch = &slot->batch;
    u32 overflow[EVENT_BATCH_MAX];
    u32 overflow_count = 0;
    price_events(front->prices, batch, result->first, result->count, overflow, &overflow_count);
    refuse_overflow(batch, result, overflow, overflow_count);
    if (dicts != NULL) {
        dicts->good = dicts->good && overflow_count == 0;
    }
}

static bool keep_rejects(struct ingest *ingest, const struct decode_result *result) {
    buf_init(&ingest->reject_text, MESSAGE_BYTES_MAX);
    if (result->reject_count == 0) {
        return true;
    }
    usize bytes = result->reject_count * sizeof *result->rejects;
    ingest->rejects = malloc(bytes);
    if (ingest->rejects == NULL) {
        return false;
    }
    memcpy(ingest->rejects, result->rejects, bytes);
    ingest->reject_count = result->reject_count;
    buf_put_slice(&ingest->reject_text, buf_slice(&result->messages));
    return !ingest->reject_text.failed;
}

void ingest_free(struct ingest *ingest) {
    free(ingest->rejects);
    ingest->rejects = NULL;
    buf_free(&ingest->reject_text);
}

/* Enters a decoded request into its slot. */
static enum err enter(struct front *front, struct slot *slot, struct ingest *ingest,
                      struct dicts *dicts) {
    struct decode_result *result = &front->result;
    price(front, slot, result, dicts);
    if (!keep_rejects(ingest, result)) {
        slot->batch.count = result->first;
        ingest_free(ingest);
        return ERR_BUSY;
    }
    ingest->sent = result->sent;
    fault_point("front.decoded");
    slot->request[slot->request_count++] = (struct request){ingest, result->first, result->count};
    return ERR_OK;
}

static enum err busy(struct front *front) {
    count_add(&front->pipeline->counters.overloaded, 1);
    return ERR_BUSY;
}

/* Said before anything is decoded: what is refused costs little. */
static bool is_full(struct front *front) {
    bool full = pipeline_is_full(front->pipeline);
    if (unlikely(full)) {
        count_add(&front->pipeline->counters.overloaded, 1);
        count_add(&front->pipeline->counters.memory_refused, 1);
    }
    return full;
}

/* --- the three ways in -------------------------------------------------------------------------
 */

static struct text_ref add_body(struct event_batch *batch, struct slice body) {
    struct text_ref ref = {batch->text_bytes, (u32)body.bytes};
    memcpy(batch->text + ref.offset, body.data, body.bytes);
    memset(batch->text + ref.offset + body.bytes, 0, EVENT_TEXT_PADDING);
    batch->text_bytes += ref.bytes;
    return ref;
}

/* Takes a request that was not entered out of a shared slot again. */
static void retract(struct slot *slot, u32 count, u32 text_bytes) {
    slot->batch.count = count;
    slot->batch.text_bytes = text_bytes;
}

static enum err ingest_shared(struct front *front, struct ingest *ingest, struct slice body,
                              i64 now_ms, struct decode_error *error) {
    struct slot *slot =
        open_slot(front, ingest->account, body.bytes * TEXT_GROWTH, INGEST_EVENTS_MAX);
    if (slot == NULL) {
        return busy(front);
    }
    u32 count = slot->batch.count;
    u32 text_bytes = slot->batch.text_bytes;
    struct text_ref ref = add_body(&slot->batch, body);
    decoder_capture(front->decoder, ingest->captures);
    enum err err = decode_ingest(front->decoder, &slot->batch, ref, now_ms, &front->result, error);
    if (err == ERR_OK) {
        err = enter(front, slot, ingest, NULL);
    }
    if (err != ERR_OK) {
        retract(slot, count, text_bytes);
    }
    return err;
}

/* Decodes a body that is the whole text of its slot. Metas are normalised behind the body, which
 * can take more than twice its size; that is so rare that room for it is made when it is missed. */
static enum err decode_adopted(struct front *front, struct slot *slot, usize bytes, i64 now_ms,
                               struct decode_error *error) {
    struct text_ref body = {0, (u32)bytes};
    enum err err = decode_ingest(front->decoder, &slot->batch, body, now_ms, &front->result, error);
    if (err != ERR_LIMIT) {
        return err;
    }
    struct block larger = pool_grow(front->pool, slot->text, bytes + EVENT_TEXT_PADDING,
                                    bytes * TEXT_GROWTH + TEXT_SLACK);
    if (larger.data == NULL) {
        return busy(front);
    }
    slot_set_text(slot, larger, bytes);
    return decode_ingest(front->decoder, &slot->batch, body, now_ms, &front->result, error);
}

static enum err ingest_adopted(struct front *front, struct ingest *ingest, struct block body,
                               usize bytes, i64 now_ms, struct decode_error *error) {
    /* Captured bodies are copied behind the rest. */
    usize room = (ingest->captures ? 2 * bytes : bytes) + TEXT_SLACK;
    struct block text =
        pool_grow(front->pool, body, bytes + EVENT_TEXT_PADDING, room + EVENT_TEXT_PADDING);
    struct slot *slot = text.data != NULL ? slot_take(front, ingest->account) : NULL;
    if (slot == NULL) {
        pool_give(front->pool, text.data != NULL ? text : body);
        return busy(front);
    }
    slot_set_text(slot, text, bytes);
    decoder_capture(front->decoder, ingest->captures);
    enum err err = decode_adopted(front, slot, bytes, now_ms, error);
    if (err == ERR_OK) {
        err = enter(front, slot, ingest, NULL);
    }
    if (err != ERR_OK) {
        slot_recycle(slot);
        return err;
    }
    hand_over(front, slot, NULL);
    return ERR_OK;
}

enum err front_ingest(struct front *front, struct ingest *ingest, struct block body, usize bytes,
                      i64 now_ms, struct decode_error *error) {
    if (is_full(front)) {
        pool_give(front->pool, body);
        return ERR_NO_MEMORY;
    }
    if (bytes > SHARED_BODY_MAX) {
        return ingest_adopted(front, ingest, body, bytes, now_ms, error);
    }
    enum err err = ingest_shared(front, ingest, (struct slice){body.data, bytes}, now_ms, error);
    pool_give(front->pool, body);
    return err;
}

enum err front_ingest_client(struct front *front, struct ingest *ingest, struct slice body,
                             struct slice key, i64 now_ms, struct decode_error *error) {
    if (is_full(front)) {
        return ERR_NO_MEMORY;
    }
    usize room = body.bytes + key.bytes + EVENT_TEXT_PADDING;
    bool shared = room + TEXT_SLACK < SHARED_TEXT_BYTES;
    struct slot *slot = shared ? open_slot(front, ingest->account, room, 1)
                               : slot_take_with_text(front, ingest->account, room + TEXT_SLACK);
    if (slot == NULL) {
        return busy(front);
    }
    u32 count = slot->batch.count;
    u32 text_bytes = slot->batch.text_bytes;
    struct text_ref ref = add_body(&slot->batch, body);
    enum err err = decode_client_event(front->decoder, &slot->batch, ref, key, now_ms, error);
    if (err == ERR_OK) {
        front->result.sent = 1;
        front->result.first = count;
        front->result.count = 1;
        front->result.reject_count = 0;
        buf_clear(&front->result.messages);
        err = enter(front, slot, ingest, NULL);
    }
    if (!shared && err == ERR_OK) {
        hand_over(front, slot, NULL);
    } else if (!shared) {
        slot_recycle(slot);
    } else if (err != ERR_OK) {
        retract(slot, count, text_bytes);
    }
    return err;
}

enum err front_ingest_native(struct front *front, struct ingest *ingest, front_fill fill,
                             struct slice payload, i64 now_ms, struct decode_error *error) {
    if (is_full(front)) {
        return ERR_NO_MEMORY;
    }
    usize room = payload.bytes + TEXT_SLACK + EVENT_TEXT_PADDING;
    struct slot *slot = slot_take_with_text(front, ingest->account, room);
    if (slot == NULL) {
        return busy(front);
    }
    enum err err = fill(&slot->batch, payload, now_ms, &front->dicts, &front->result, error);
    if (err == ERR_OK) {
        event_digest_dicts(&slot->batch, &front->dicts, &front->digest_keys);
        err = enter(front, slot, ingest, &front->dicts);
    }
    if (err != ERR_OK) {
        slot_recycle(slot);
        return err;
    }
    hand_over(front, slot, &front->dicts);
    return ERR_OK;
}

void front_on_turn(struct front *front) {
    hand_over_open(front);
    u64 held = pool_held_bytes(front->pool) + front->slot_count * sizeof(struct slot);
    atomic_store_explicit(&front->held_bytes, held, memory_order_relaxed);
}

/* --- the way back ------------------------------------------------------------------------------
 */

static void wake(struct front *front) {
    const struct pipeline_options *options = &front->pipeline->options;
    options->wake(options->context, front->index);
}

void front_return_slot(struct slot *slot) {
    struct front *front = slot->front;
    pthread_mutex_lock(&front->lock);
    slot_list_add(&front->returned, slot);
    pthread_mutex_unlock(&front->lock);
    wake(front);
}

void front_return_job(struct job *job) {
    struct front *front = job->front;
    pthread_mutex_lock(&front->lock);
    job_list_add(&front->finished, job);
    pthread_mutex_unlock(&front->lock);
    wake(front);
}

/* Why the commit thread refused an event: for its age, or for its account is at a cap. */
static void put_refusal(const struct front *front, u8 verdict, struct buf *out) {
    static const char *const what[AGG_CAPS] = {
        [AGG_CAP_SERIES] = "combinations of names",
        [AGG_CAP_CUSTOMERS] = "customers",
        [AGG_CAP_FEATURES] = "features",
        [AGG_CAP_MODELS] = "models",
        [AGG_CAP_TRACES] = "traces",
    };
    if (verdict == VERDICT_TOO_OLD) {
        u32 days = front->pipeline->options.retention_days;
        if (days > 0) {
            buf_put_format(out, "timestamp is older than the %u days that events are kept", days);
        } else {
            buf_put_text(out, "timestamp is of a time whose events were removed for their age");
        }
        return;
    }
    u32 cap = (u32)verdict - VERDICT_REFUSED;
    check(cap < AGG_CAPS);
    buf_put_format(out, "the account has reached its limit of %u different %s",
                   front->pipeline->options.caps.most[cap], what[cap]);
}

/* Enters what the commit thread refused among the request's rejects, by index. Without memory for
 * that the counts are still right. */
static void add_refusals(const struct slot *slot, const struct request *request, u32 refused) {
    struct ingest *ingest = request->ingest;
    u32 total = ingest->reject_count + refused;
    struct event_reject *rejects = malloc(total * sizeof *rejects);
    if (rejects == NULL) {
        return;
    }
    u32 row = request->first;
    u32 old = 0;
    u32 count = 0;
    for (u32 index = 0; index < ingest->sent; index++) {
        if (old < ingest->reject_count && ingest->rejects[old].index == index) {
            rejects[count++] = ingest->rejects[old++];
            continue;
        }
        u8 verdict = slot->verdict[row++];
        usize offset = ingest->reject_text.bytes;
        if (verdict >= VERDICT_REFUSED) {
            put_refusal(slot->front, verdict, &ingest->reject_text);
            usize bytes = ingest->reject_text.failed ? 0 : ingest->reject_text.bytes - offset;
            rejects[count++] = (struct event_reject){index, {(u32)offset, (u32)bytes}};
        }
    }
    check(count == total && row == request->first + request->count);
    free(ingest->rejects);
    ingest->rejects = rejects;
    ingest->reject_count = total;
}

/* What became of one request's rows. Accepted rows are in ascending order, so the id of the first
 * one is the slot's first id plus how many were accepted before it. */
static void settle_request(struct slot *slot, const struct request *request, u32 *accepted_before) {
    struct ingest *ingest = request->ingest;
    ingest->err = slot->err;
    if (slot->err != ERR_OK) {
        return;
    }
    u32 refused = 0;
    u32 too_old = 0;
    for (u32 row = request->first; row < request->first + request->count; row++) {
        ingest->accepted += slot->verdict[row] == DEDUP_NEW;
        ingest->conflicts += slot->verdict[row] == DEDUP_CONFLICT;
        refused += slot->verdict[row] >= VERDICT_REFUSED;
        too_old += slot->verdict[row] == VERDICT_TOO_OLD;
    }
    ingest->duplicates = request->count - ingest->accepted - refused;
    if (unlikely(refused > 0)) {
        count_add(&slot->front->pipeline->counters.too_old, too_old);
        add_refusals(slot, request, refused);
    }
    ingest->rejected = ingest->sent - ingest->accepted;
    ingest->first_id = ingest->accepted > 0 ? slot->first_id + *accepted_before : 0;
    *accepted_before += ingest->accepted;
}

static u64 count_unpriced(const struct slot *slot) {
    u64 unpriced = 0;
    for (u32 i = 0; i < slot->row_count; i++) {
        unpriced += slot->batch.cost_source[slot->rows[i]] == COST_UNPRICED;
    }
    return unpriced;
}

/* Before its answers go out, so that whoever has one finds it counted; all at once, for these
 * counters travel between the processors. */
static void count_slot(struct counters *counters, const struct slot *slot) {
    struct ingest sum = {.account = 0};
    for (u32 i = 0; i < slot->request_count; i++) {
        const struct ingest *ingest = slot->request[i].ingest;
        sum.accepted += ingest->accepted;
        sum.duplicates += ingest->duplicates;
        sum.conflicts += ingest->conflicts;
        sum.reject_count += ingest->reject_count;
    }
    count_add(&counters->accepted, sum.accepted);
    count_add(&counters->duplicates, sum.duplicates);
    count_add(&counters->conflicts, sum.conflicts);
    count_add(&counters->invalid, sum.reject_count);
}

static void deliver(struct front *front, struct slot *slot) {
    if (slot->err == ERR_OK) {
        series_cache_learn(front->series, &slot->batch);
        count_add(&front->pipeline->counters.unpriced, count_unpriced(slot));
        if (front->pipeline->links != NULL) {
            links_note(front->pipeline->links, &front->links, &slot->batch, slot->rows,
                       slot->row_count, slot->first_id);
        }
    }
    u32 accepted_before = 0;
    for (u32 i = 0; i < slot->request_count; i++) {
        settle_request(slot, &slot->request[i], &accepted_before);
    }
    count_slot(&front->pipeline->counters, slot);
    for (u32 i = 0; i < slot->request_count; i++) {
        fault_point("front.before-answer");
        slot->request[i].ingest->done(slot->request[i].ingest);
        fault_point("front.answered");
    }
    slot_recycle(slot);
}

void front_on_wake(struct front *front) {
    pthread_mutex_lock(&front->lock);
    struct slot *slot = front->returned.head;
    struct job *job = front->finished.head;
    front->returned = (struct slot_list){NULL, NULL};
    front->finished = (struct job_list){NULL, NULL};
    pthread_mutex_unlock(&front->lock);
    while (slot != NULL) {
        struct slot *next = slot->next;
        deliver(front, slot);
        slot = next;
    }
    while (job != NULL) {
        struct job *next = job->next;
        job->done(job);
        job = next;
    }
}
