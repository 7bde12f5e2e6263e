/*
 * decode.c: the body of the ingest endpoint into event columns.
 *
 * Nothing of the batch or the body changes until the whole body is known to be good: rows are
 * written behind batch->count, and texts that have to be changed are noted first and changed at the
 * end. So a refusal needs no undoing.
 */
#include "event/decode.h"

#include "event/decoder.h"
#include "event/digest.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(TEXT_COUNT <= 16, "decoder.change holds 16 columns");

enum err decoder_create(u64 digest_seed, struct decoder **out) {
    struct decoder *decoder = aligned_alloc(_Alignof(struct decoder), sizeof *decoder);
    if (decoder == NULL) {
        return ERR_NO_MEMORY;
    }
    memset(decoder, 0, sizeof *decoder);
    digest_keys_make(digest_seed, &decoder->digest_keys);
    field_table_init(&decoder->ingest, field_rules, 0, FIELDS_ALWAYS);
    field_table_init(&decoder->capture, field_rules, 0, INGEST_FIELDS);
    field_table_init(&decoder->client, client_rules, 0, CLIENT_FIELDS_TOP);
    field_table_init(&decoder->cost_input, client_rules, CLIENT_FIELDS_TOP,
                     CLIENT_FIELDS - CLIENT_FIELDS_TOP);
    decoder_configure(decoder, scan_best(), true);
    *out = decoder;
    return ERR_OK;
}

void decoder_configure(struct decoder *decoder, const struct scan_kernel *scan, bool predict) {
    decoder->scan = scan;
    decoder->index.scan = scan;
    decoder->indexes = scan != &scan_scalar;
    predictor_init(&decoder->predictor, scan, predict);
}

void decoder_capture(struct decoder *decoder, bool on) {
    decoder->captures = on;
}

void decoder_destroy(struct decoder *decoder) {
    free(decoder);
}

enum err batch_add_text(struct event_batch *batch, struct slice text, struct text_ref *out) {
    check(batch->text_bytes <= batch->text_bytes_max);
    if (text.bytes > batch->text_bytes_max - batch->text_bytes) {
        return ERR_LIMIT;
    }
    *out = (struct text_ref){batch->text_bytes, (u32)text.bytes};
    if (text.bytes > 0) {
        memcpy(batch->text + batch->text_bytes, text.data, text.bytes);
    }
    batch->text_bytes += (u32)text.bytes;
    return ERR_OK;
}

/* --- one event ---------------------------------------------------------------------------------
 */

/* Lists the event as rejected; its message is `what`, after `name` if there is one. */
static void reject(struct ingest_run *run, const char *name, const char *what) {
    struct decode_result *result = run->result;
    struct buf *messages = &result->messages;
    u32 offset = (u32)messages->bytes;
    if (name != NULL) {
        buf_put_text(messages, name);
        buf_put_char(messages, ' ');
    }
    buf_put_text(messages, what);
    check(result->reject_count < EVENT_ERRORS_MAX);
    result->rejects[result->reject_count++] =
        (struct event_reject){result->sent, {offset, (u32)messages->bytes - offset}};
}

/* Required members that are not there, or no strings, or empty: as bits. */
static u32 find_missing(const struct members *members) {
    u32 missing = 0;
    for (u32 field = 0; field < FIELDS_REQUIRED; field++) {
        u32 bit = (u32)1 << field;
        const struct json_value *value = &members->value[field];
        if ((members->given & bit) == 0 || value->kind != JSON_STRING || value_bytes(value) == 0) {
            missing |= bit;
        }
    }
    return missing;
}

static void reject_missing(struct ingest_run *run, u32 missing) {
    char list[80] = "";
    for (u32 field = 0; field < FIELDS_REQUIRED; field++) {
        if ((missing >> field & 1) != 0) {
            usize used = strlen(list);
            usize name = strlen(field_rules[field].name);
            check(used + name + 3 <= sizeof list);
            memcpy(list + used, ", ", 2);
            memcpy(list + used + 2, field_rules[field].name, name + 1);
        }
    }
    bool one = (missing & (missing - 1)) == 0;
    reject(run, one ? "missing required field:" : "missing required fields:", list + 2);
}

/* Stores those of the members that are in `fields`, in table order. False: rejected. */
static bool store_some(struct ingest_run *run, struct draft *draft, const struct members *members,
                       u32 fields) {
    for (u32 left = members->given & fields; left != 0; left &= left - 1) {
        u32 field = (u32)__builtin_ctz(left);
        if (unlikely((members->lone >> field & 1) != 0)) {
            reject(run, field_rules[field].name, "holds a lone surrogate escape");
            return false;
        }
        const char *complaint = draft_put_usual(draft, &field_rules[field], &members->value[field]);
        if (unlikely(complaint != NULL)) {
            reject(run, NULL, complaint);
            return false;
        }
    }
    return true;
}

/* Stores the members. False: rejected. */
static bool store_members(struct ingest_run *run, struct draft *draft,
                          const struct members *members) {
    const u32 tokens = ((u32)2 << FIELD_CACHE_WRITE) - 1; /* and what comes before them */
    if (!store_some(run, draft, members, tokens)) {
        return false;
    }
    const char *complaint = draft_check_tokens(draft);
    if (complaint != NULL) {
        reject(run, NULL, complaint);
        return false;
    }
    if (!store_some(run, draft, members, ~tokens)) {
        return false;
    }
    if (members->unknown_lone) {
        reject(run, NULL, "a name or an unknown member holds a lone surrogate escape");
        return false;
    }
    return true;
}

/* The event will be accepted: its bodies, if it has any, are kept. */
static void note_bodies(struct ingest_run *run, const struct members *members) {
    const struct event_batch *batch = run->batch;
    struct decoder *decoder = run->decoder;
    u32 bits = ((u32)1 << FIELD_REQUEST_BODY) | ((u32)1 << FIELD_RESPONSE_BODY);
    if ((members->given & bits) != 0) {
        struct body_note *note = &decoder->bodies[decoder->body_count++];
        u32 row = run->result->first + run->result->count;
        *note = bodies_note(batch, row, members);
        run->settle_bytes += bodies_bytes(batch, note);
    }
}

static void accept(struct ingest_run *run, u32 change) {
    struct decode_result *result = run->result;
    run->decoder->change[result->count] = (u16)change;
    if (unlikely(change != 0)) {
        run->settle_bytes += draft_settle_bytes(run->batch, result->first + result->count, change);
        run->changes = true;
    }
    result->count++;
}

bool decoder_members(struct decoder *decoder, struct json_cursor *cursor,
                     const struct field_table *table, u32 depth_room, struct members *members) {
    const char *end = NULL;
    if (likely(decoder->indexes)) {
        end = members_read_index(&decoder->index, cursor->at, table, depth_room, members);
    }
    if (unlikely(end == NULL)) {
        return members_read(cursor, table, depth_room, members);
    }
    cursor->at = end;
    return true;
}

/* The element at the cursor, whatever its members and their order. ERR_INVALID: not JSON. */
static enum err decode_plain(struct ingest_run *run) {
    struct json_cursor *cursor = &run->cursor;
    if (json_peek(cursor) != '{') {
        struct json_value value;
        if (!json_step_value(cursor, DECODE_DEPTH_EVENT + 1, &value)) {
            return ERR_INVALID;
        }
        reject(run, NULL, "the event is not an object");
        return ERR_OK;
    }
    struct members members;
    members_begin(&members);
    struct decoder *decoder = run->decoder;
    const struct field_table *table = decoder->captures ? &decoder->capture : &decoder->ingest;
    if (!decoder_members(decoder, cursor, table, DECODE_DEPTH_EVENT, &members)) {
        return ERR_INVALID;
    }
    u32 missing = find_missing(&members);
    if (unlikely(missing != 0)) {
        reject_missing(run, missing);
        return ERR_OK;
    }
    u32 row = run->result->first + run->result->count;
    if (row == EVENT_BATCH_MAX) {
        return ERR_LIMIT;
    }
    struct draft draft;
    draft_begin(&draft, run->batch, row, run->now_ms, &run->decoder->times);
    if (store_members(run, &draft, &members)) {
        draft_finish(&draft);
        note_bodies(run, &members);
        accept(run, draft.change);
    }
    return ERR_OK;
}

/* The element at the cursor by a known shape, or else plainly. Shapes know nothing of bodies, which
 * are too long for them anyway. */
static enum err decode_element(struct ingest_run *run) {
    if (unlikely(run->decoder->captures)) {
        return decode_plain(run);
    }
    struct predictor *predictor = &run->decoder->predictor;
    struct decode_result *result = run->result;
    const char *begin = run->cursor.at;
    u32 count = result->count;
    u32 row = result->first + count;
    if (likely(row < EVENT_BATCH_MAX)) {
        struct draft draft;
        draft_begin(&draft, run->batch, row, run->now_ms, &run->decoder->times);
        if (likely(predictor_match(predictor, begin, &draft, &run->cursor.at))) {
            accept(run, 0);
            return ERR_OK;
        }
    }
    enum err err = decode_plain(run);
    if (err == ERR_OK && result->count > count && run->decoder->change[count] == 0) {
        struct slice event = {begin, (usize)(run->cursor.at - begin)};
        predictor_learn(predictor, event, &run->decoder->ingest);
    }
    return err;
}

/* --- the body ----------------------------------------------------------------------------------
 */

static void reset_result(struct ingest_run *run) {
    struct decode_result *result = run->result;
    result->sent = 0;
    result->first = run->batch->count;
    result->count = 0;
    result->reject_count = 0;
    buf_clear(&result->messages);
    run->decoder->body_count = 0;
    run->settle_bytes = 0;
    run->changes = false;
}

/* The value of `events`. */
static enum err decode_events(struct ingest_run *run) {
    struct json_cursor *cursor = &run->cursor;
    const char *begin = cursor->at;
    reset_result(run);
    if (!json_take(cursor, '[')) {
        json_fail(cursor, begin, "events must be an array");
        return ERR_INVALID;
    }
    json_space(cursor);
    if (json_peek(cursor) == ']') {
        json_fail(cursor, begin, "events is empty");
        return ERR_INVALID;
    }
    for (;;) {
        if (run->result->sent == INGEST_EVENTS_MAX) {
            json_fail(cursor, cursor->at, "more than 1000 events");
            return ERR_INVALID;
        }
        enum err err = decode_element(run);
        if (err != ERR_OK) {
            return err;
        }
        run->result->sent++;
        json_space(cursor);
        if (json_take(cursor, ']')) {
            return ERR_OK;
        }
        if (!json_take(cursor, ',')) {
            json_fail(cursor, cursor->at, "expected ',' or ']' after an event");
            return ERR_INVALID;
        }
        json_space(cursor);
    }
}

static bool is_events(const struct json_value *name) {
    char plain[8];
    usize bytes = json_unescape(json_value_slice(name), plain, sizeof plain);
    return bytes == 6 && memcmp(plain, "events", 6) == 0;
}

/* The whole body. */
static enum err decode_body(struct ingest_run *run) {
    struct json_cursor *cursor = &run->cursor;
    bool found = false;
    json_space(cursor);
    if (!json_take(cursor, '{')) {
        json_fail(cursor, cursor->at, "the body must be an object");
        return ERR_INVALID;
    }
    json_space(cursor);
    bool more = !json_take(cursor, '}');
    while (more) {
        struct json_value name;
        struct json_value other;
        if (!json_step_name(cursor, &name)) {
            return ERR_INVALID;
        }
        enum err err = ERR_OK;
        if (is_events(&name)) {
            found = true;
            err = decode_events(run);
        } else if (!json_step_value(cursor, DECODE_DEPTH_BODY, &other)) {
            err = ERR_INVALID;
        }
        if (err != ERR_OK) {
            return err;
        }
        json_space(cursor);
        more = !json_take(cursor, '}');
        if (more && !json_take(cursor, ',')) {
            json_fail(cursor, cursor->at, "expected ',' or '}' after a member");
            return ERR_INVALID;
        }
        json_space(cursor);
    }
    if (!json_step_end(cursor)) {
        return ERR_INVALID;
    }
    if (!found) {
        json_fail(cursor, cursor->begin, "the body has no events");
        return ERR_INVALID;
    }
    return ERR_OK;
}

/* Changes the texts that need it; only now is the body written to. */
static void settle(struct ingest_run *run) {
    const struct decode_result *result = run->result;
    for (u32 i = 0; i < result->count; i++) {
        if (run->decoder->change[i] != 0) {
            draft_settle(run->batch, result->first + i, run->decoder->change[i]);
        }
    }
}

enum err decode_ingest(struct decoder *decoder, struct event_batch *batch, struct text_ref body,
                       i64 now_ms, struct decode_result *result, struct decode_error *error) {
    check(batch->count <= EVENT_BATCH_MAX);
    check(body.bytes <= batch->text_bytes && body.offset <= batch->text_bytes - body.bytes);
    struct ingest_run run = {
        .decoder = decoder,
        .batch = batch,
        .cursor = json_cursor(batch->text + body.offset, body.bytes, decoder->scan),
        .now_ms = now_ms,
        .result = result,
    };
    reset_result(&run);
    json_index_begin(&decoder->index, run.cursor.end);
    predictor_restart(&decoder->predictor, run.cursor.end);
    enum err err = decode_body(&run);
    if (err == ERR_INVALID) {
        error->position = (usize)(run.cursor.error_at - run.cursor.begin);
        error->text = run.cursor.error;
    } else if (err == ERR_OK && result->messages.failed) {
        err = ERR_NO_MEMORY;
    } else if (err == ERR_OK && run.settle_bytes > batch->text_bytes_max - batch->text_bytes) {
        err = ERR_LIMIT;
    }
    if (err != ERR_OK) {
        result->count = 0;
        result->reject_count = 0;
        return err;
    }
    if (run.changes) {
        settle(&run);
    }
    draft_fill(batch, result->first, result->count, now_ms);
    event_digest(batch, result->first, result->count, &decoder->digest_keys,
                 decoder->scan);
    for (u32 i = 0; i < decoder->body_count; i++) { /* what they say is no part of the digest */
        bodies_settle(batch, &decoder->bodies[i]);
    }
    batch->count += result->count;
    return ERR_OK;
}
