/*
 * client.c: the body of the single-event endpoint (Observe 3, Platform 2.6) into one row. Its
 * members have other names than those of ingest and some choose among each other; the rules of the
 * values are the same.
 */
#include "event/decode.h"
#include "event/decoder.h"
#include "json/number.h"

#include <string.h>

struct client_run {
    struct decoder *decoder;
    struct event_batch *batch;
    struct json_cursor cursor;
    struct members members;
    struct draft draft;
    const char *complaint; /* static */
    const char *complaint_at;
    u32 customer; /* the member that names the customer, or FIELD_UNKNOWN */
    u32 feature;  /* the member that names the feature, or FIELD_UNKNOWN */
};

static bool is_given(const struct client_run *run, u32 field) {
    return (run->members.given >> field & 1) != 0;
}

static bool refuse(struct client_run *run, u32 field, const char *complaint) {
    run->complaint = complaint;
    bool known = field < CLIENT_FIELDS && is_given(run, field);
    run->complaint_at = known ? run->members.value[field].data : run->cursor.begin;
    return false;
}

/* The object and, inside it, costInput. False: not JSON, or no object. */
static bool read_body(struct client_run *run) {
    struct json_cursor *cursor = &run->cursor;
    json_space(cursor);
    if (json_peek(cursor) != '{') {
        return json_fail(cursor, cursor->at, "the body must be an object");
    }
    if (!decoder_members(run->decoder, cursor, &run->decoder->client, DECODE_DEPTH_BODY,
                         &run->members) ||
        !json_step_end(cursor)) {
        return false;
    }
    const struct json_value *input = &run->members.value[CLIENT_COST_INPUT];
    if (is_given(run, CLIENT_COST_INPUT) && input->kind == JSON_OBJECT) {
        struct json_cursor inner = json_cursor(input->data, input->bytes, cursor->scan);
        check(decoder_members(run->decoder, &inner, &run->decoder->cost_input, DECODE_DEPTH_BODY,
                              &run->members));
    }
    return true;
}

static bool put_member(struct client_run *run, u32 field) {
    const struct json_value *value = &run->members.value[field];
    const char *complaint = draft_put_usual(&run->draft, &client_rules[field], value);
    return complaint == NULL || refuse(run, field, complaint);
}

/* A Platform id: a string within its bound, whatever becomes of it. Empty ones are as absent. */
static bool check_ref(struct client_run *run, u32 field) {
    const struct json_value *value = &run->members.value[field];
    const struct field_rule *rule = &client_rules[field];
    usize bytes = value_bytes(value);
    if (value->kind != JSON_STRING || bytes > rule->bytes_max) {
        return refuse(run, field, rule->complaint);
    }
    if (bytes == 0) {
        run->members.given &= ~((u32)1 << field);
    }
    return true;
}

/* Stores every member that has a rule of its own, in table order. */
static bool put_members(struct client_run *run) {
    for (u32 left = run->members.given; left != 0; left &= left - 1) {
        u32 field = (u32)__builtin_ctz(left);
        if ((run->members.lone >> field & 1) != 0) {
            return refuse(run, field, "a string holds a lone surrogate escape");
        }
        bool good = true;
        switch ((enum field_kind)client_rules[field].kind) {
        case FIELD_KIND_REF:
            good = check_ref(run, field);
            break;
        case FIELD_KIND_OTHER:
            break;
        default:
            good = put_member(run, field);
        }
        if (!good) {
            return false;
        }
    }
    if (is_given(run, CLIENT_COST_INPUT) &&
        run->members.value[CLIENT_COST_INPUT].kind != JSON_OBJECT) {
        return refuse(run, CLIENT_COST_INPUT, client_rules[CLIENT_COST_INPUT].complaint);
    }
    return !run->members.unknown_lone ||
           refuse(run, FIELD_UNKNOWN, "a string holds a lone surrogate escape");
}

/* costUnits is the old name of a total: it stands in for input tokens when no count is given. */
static bool put_cost_units(struct client_run *run) {
    const u32 counts = NUM_BIT(NUM_INPUT) | NUM_BIT(NUM_OUTPUT) | NUM_BIT(NUM_CACHED) |
                       NUM_BIT(NUM_CACHE_WRITE) | NUM_BIT(NUM_REASONING);
    if (!is_given(run, COST_INPUT_UNITS)) {
        return true;
    }
    const struct json_value *value = &run->members.value[COST_INPUT_UNITS];
    struct slice text = json_value_slice(value);
    i64 units;
    if ((value->kind != JSON_NUMBER &&
         (value->kind != JSON_STRING || text.bytes == 0 ||
          number_scan(text.data, text.data + text.bytes) != text.bytes)) ||
        number_scale(text, 0, NUMBER_HALF_UP, &units) != ERR_OK || units < 0 ||
        units > EVENT_TOKENS_MAX || number_is_negative(text)) {
        return refuse(run, COST_INPUT_UNITS, client_rules[COST_INPUT_UNITS].complaint);
    }
    if ((run->draft.present & counts) == 0) {
        draft_set_number(&run->draft, NUM_INPUT, units);
    }
    return true;
}

/* Usage defaults to the tokens, and without any to 1; given usage without tokens is what a model's
 * price is multiplied with. */
static void put_usage(struct client_run *run) {
    const u32 tokens = NUM_BIT(NUM_INPUT) | NUM_BIT(NUM_OUTPUT);
    bool has_tokens = (run->draft.present & tokens) != 0;
    bool has_usage = (run->draft.present & NUM_BIT(NUM_USAGE)) != 0;
    if (has_usage && !has_tokens) {
        run->draft.flags |= EVENT_FLAG_USAGE_PRICED;
    }
    if (!has_usage && !has_tokens) {
        draft_set_number(&run->draft, NUM_USAGE, MICRO_PER_UNIT);
    }
}

static u32 first_given(const struct client_run *run, u32 first, u32 last) {
    for (u32 field = first; field <= last; field++) {
        if (is_given(run, field)) {
            return field;
        }
    }
    return FIELD_UNKNOWN;
}

static void put_ref_text(struct client_run *run, u32 field, enum event_text column) {
    const struct json_value *value = &run->members.value[field];
    draft_set_text(&run->draft, column, value->data, value->bytes);
    if (value->escaped) {
        run->draft.change |= TEXT_BIT(column);
    }
}

static bool check_names(struct client_run *run) {
    const struct json_value *name = &run->members.value[CLIENT_EVENT_NAME];
    if (!is_given(run, CLIENT_EVENT_NAME) || name->kind != JSON_STRING || value_bytes(name) == 0) {
        return refuse(run, CLIENT_EVENT_NAME, "missing required field: eventName");
    }
    return true;
}

/* --- what the request adds to the batch's text ---------------------------------------------- */

#define FIELD_BIT(field) ((u32)1 << (field))

/* The ids that the event's own columns do not hold. */
static u32 find_refs(const struct client_run *run) {
    const u32 platform = FIELD_BIT(CLIENT_CUSTOMER_ID) | FIELD_BIT(CLIENT_STRIPE_CUSTOMER) |
                         FIELD_BIT(CLIENT_FEATURE_ID) | FIELD_BIT(CLIENT_SUBSCRIPTION) |
                         FIELD_BIT(CLIENT_ENTITLEMENT) | FIELD_BIT(CLIENT_INVOICE) |
                         FIELD_BIT(CLIENT_FLOW);
    const u32 choices = FIELD_BIT(CLIENT_CUSTOMER_REFERENCE) | FIELD_BIT(CLIENT_FEATURE_KEY);
    u32 chosen = FIELD_BIT(run->customer) | FIELD_BIT(run->feature);
    return run->members.given & (platform | (choices & ~chosen));
}

/* Writes {"customerId":"...",...} as raw members; `to` NULL only counts. 0: no ids. */
static usize write_refs(const struct client_run *run, char *to) {
    usize bytes = 0;
    for (u32 left = find_refs(run); left != 0; left &= left - 1) {
        u32 field = (u32)__builtin_ctz(left);
        const struct json_value *value = &run->members.value[field];
        struct slice pieces[] = {
            bytes == 0 ? SLICE("{\"") : SLICE(",\""),
            {client_rules[field].name, strlen(client_rules[field].name)},
            SLICE("\":\""),
            json_value_slice(value),
            SLICE("\""),
        };
        for (u32 i = 0; i < ARRAY_COUNT(pieces); i++) {
            if (to != NULL) {
                memcpy(to + bytes, pieces[i].data, pieces[i].bytes);
            }
            bytes += pieces[i].bytes;
        }
    }
    if (bytes > 0 && to != NULL) {
        to[bytes] = '}';
    }
    return bytes + (bytes > 0);
}

static bool is_blank(struct slice text) {
    for (usize i = 0; i < text.bytes; i++) {
        if (text.data[i] != ' ' && text.data[i] != '\t') {
            return false;
        }
    }
    return true;
}

static bool check_key(struct client_run *run, struct slice key) {
    const struct scan_kernel *scan = run->cursor.scan;
    const char *end = key.data + key.bytes;
    const char *at = key.data;
    bool high = false;
    while (at < end && (at = scan->text_stop(at, end, &high)) < end && (u8)*at >= 0x20) {
        at++;
    }
    if (key.bytes > EVENT_KEY_MAX || at < end ||
        (high && scan->utf8_prefix(key.data, key.bytes) != key.bytes)) {
        return refuse(run, FIELD_UNKNOWN, "X-Idempotency-Key must be a text of 1 to 255 bytes");
    }
    return true;
}

/* Appends a text to the batch and refers to it. The room has been checked. */
static void append_text(struct client_run *run, struct slice text, enum event_text column) {
    struct text_ref ref;
    check(batch_add_text(run->batch, text, &ref) == ERR_OK);
    run->batch->ref[column][run->draft.row] = ref;
    run->draft.present |= TEXT_BIT(column);
    run->draft.change &= ~TEXT_BIT(column);
}

/* The texts that are not in the body: header key, default customer, ids. */
static enum err append_texts(struct client_run *run, struct slice key) {
    struct slice nobody = SLICE("unknown");
    bool header_key = !is_blank(key);
    usize refs = write_refs(run, NULL);
    usize needed = refs + (header_key ? key.bytes : 0) + nobody.bytes;
    if (needed > run->batch->text_bytes_max - run->batch->text_bytes) {
        return ERR_LIMIT;
    }
    if (header_key) {
        append_text(run, key, TEXT_KEY);
    }
    if (run->customer == FIELD_UNKNOWN) {
        append_text(run, nobody, TEXT_CUSTOMER);
    }
    if (refs > 0) {
        char *to = run->batch->text + run->batch->text_bytes;
        write_refs(run, to);
        draft_set_text(&run->draft, TEXT_REFS, to, refs);
        run->batch->text_bytes += (u32)refs;
    }
    return ERR_OK;
}

static bool decode(struct client_run *run, struct slice key) {
    if (!read_body(run)) {
        return false;
    }
    if (!check_names(run) || !put_members(run) || !put_cost_units(run) ||
        (key.bytes > 0 && !check_key(run, key))) {
        return false;
    }
    const char *complaint = draft_check_tokens(&run->draft);
    if (complaint != NULL) {
        return refuse(run, CLIENT_COST_INPUT, complaint);
    }
    put_usage(run);
    run->customer = first_given(run, CLIENT_CUSTOMER_ID, CLIENT_CUSTOMER_REFERENCE);
    run->feature = first_given(run, CLIENT_FEATURE_ID, CLIENT_FEATURE_KEY);
    if (run->customer != FIELD_UNKNOWN) {
        put_ref_text(run, run->customer, TEXT_CUSTOMER);
    }
    if (run->feature != FIELD_UNKNOWN) {
        put_ref_text(run, run->feature, TEXT_FEATURE);
    }
    if (write_refs(run, NULL) > EVENT_REFS_MAX) {
        return refuse(run, FIELD_UNKNOWN, "the ids of the event are too long together");
    }
    return true;
}

enum err decode_client_event(struct decoder *decoder, struct event_batch *batch,
                             struct text_ref body, struct slice key, i64 now_ms,
                             struct decode_error *error) {
    check(body.bytes <= batch->text_bytes && body.offset <= batch->text_bytes - body.bytes);
    if (batch->count == EVENT_BATCH_MAX) {
        return ERR_LIMIT;
    }
    struct client_run run; /* not cleared: the members are large */
    run.decoder = decoder;
    run.batch = batch;
    run.cursor = json_cursor(batch->text + body.offset, body.bytes, decoder->scan);
    members_begin(&run.members);
    json_index_begin(&decoder->index, run.cursor.end);
    draft_begin(&run.draft, batch, batch->count, now_ms, &decoder->times);
    if (!decode(&run, key)) {
        bool syntax = run.cursor.error != NULL;
        const char *at = syntax ? run.cursor.error_at : run.complaint_at;
        error->text = syntax ? run.cursor.error : run.complaint;
        error->position = (usize)(at - run.cursor.begin);
        return ERR_INVALID;
    }
    if (append_texts(&run, key) != ERR_OK) {
        return ERR_LIMIT;
    }
    draft_finish(&run.draft);
    draft_settle(batch, run.draft.row, run.draft.change);
    draft_fill(batch, run.draft.row, 1, now_ms);
    event_digest(batch, run.draft.row, 1, &decoder->digest_keys, decoder->scan);
    batch->count++;
    return ERR_OK;
}
