/*
 * native.c: decodes native batches. Work is done a column at a time in loops without branches that
 * depend on the data: the common batch has nothing wrong in it, so each loop only finds out whether
 * anything is, and the slow look for what and where comes after. `wrong` collects for each event
 * which fields break a rule; events with a bit set are taken out at the end.
 */
#include "event/native.h"

#include "event/fields.h"
#include "event/native_text.h"
#include "wire/frame.h"

_Static_assert((int)WIRE_TEXTS == (int)TEXT_COUNT && (int)WIRE_NUMS == (int)NUM_COUNT,
               "the protocol's columns are the batch's columns");
_Static_assert((int)WIRE_TEXT_REFS == (int)TEXT_REFS && (int)WIRE_TEXT_KEY == (int)TEXT_KEY, "");
_Static_assert((int)WIRE_NUM_DURATION == (int)NUM_DURATION, "");
_Static_assert(SERIES_UNRESOLVED == UINT32_MAX, "all bits are set");

#define REQUIRED (TEXT_BIT(TEXT_EVENT_NAME) | TEXT_BIT(TEXT_CUSTOMER) | TEXT_BIT(TEXT_FEATURE))
#define WRONG_PARTS ((u32)1 << 26) /* cached and cache-write tokens exceed the input tokens */

struct rule {
    u32 bit;
    const char *name;
    const char *text;
};

/* In the order in which the API names violations. */
static const struct rule rules[] = {
    {TEXT_BIT(TEXT_EVENT_NAME), "eventName", "eventName must be 1 to 128 bytes"},
    {TEXT_BIT(TEXT_CUSTOMER), "customerReferenceId", "customerReferenceId must be 1 to 255 bytes"},
    {TEXT_BIT(TEXT_FEATURE), "featureKey", "featureKey must be 1 to 128 bytes"},
    {NUM_BIT(NUM_TIME), "timestamp", "timestamp is before 2000 or more than 24 h ahead"},
    {NUM_BIT(NUM_COST), "costAmount", "costAmount is out of range"},
    {TEXT_BIT(TEXT_COST_UNIT), "costUnit", "costUnit must be 1 to 16 bytes"},
    {NUM_BIT(NUM_REVENUE), "revenueAmount", "revenueAmount is out of range"},
    {NUM_BIT(NUM_USAGE), "usageUnits", "usageUnits is out of range"},
    {TEXT_BIT(TEXT_MODEL), "model", "model must be 1 to 128 bytes"},
    {TEXT_BIT(TEXT_PROVIDER), "modelProvider", "modelProvider must be 1 to 64 bytes"},
    {NUM_BIT(NUM_INPUT), "inputTokens", "inputTokens is out of range"},
    {NUM_BIT(NUM_OUTPUT), "outputTokens", "outputTokens is out of range"},
    {NUM_BIT(NUM_CACHED), "cachedInputTokens", "cachedInputTokens is out of range"},
    {NUM_BIT(NUM_CACHE_WRITE), "cacheWriteTokens", "cacheWriteTokens is out of range"},
    {WRONG_PARTS, "", "cachedInputTokens and cacheWriteTokens exceed inputTokens"},
    {NUM_BIT(NUM_REASONING), "reasoningTokens", "reasoningTokens is out of range"},
    {TEXT_BIT(TEXT_PROPERTIES), "properties",
     "properties must be an object of at most 32 KiB, nested 16 levels deep"},
    {TEXT_BIT(TEXT_META), "meta", "meta must be an object of at most 64 strings and 8 KiB"},
    {TEXT_BIT(TEXT_KEY), "idempotencyKey", "idempotencyKey must be 1 to 255 bytes"},
    {TEXT_BIT(TEXT_TRACE), "traceId", "traceId must be 1 to 128 bytes"},
    {TEXT_BIT(TEXT_SPAN), "spanId", "spanId must be 1 to 128 bytes"},
    {TEXT_BIT(TEXT_PARENT), "parentSpanId", "parentSpanId must be 1 to 128 bytes"},
    {TEXT_BIT(TEXT_AGENT), "agentId", "agentId must be 1 to 128 bytes"},
    {NUM_BIT(NUM_DURATION), "durationMs", "durationMs is out of range"},
    {TEXT_BIT(TEXT_COST_TYPE), "costType", "costType must be 1 to 64 bytes"},
};

struct column {
    u8 encoding; /* 0: the batch has no such column */
    u32 entries;
    u32 bytes;
    u32 text_bytes;
    const char *data;
};

struct native {
    struct event_batch *batch;
    u32 count;
    struct column column[32];
    const char *payload;
    struct dicts *dicts;
    struct decode_error *error;
    u32 any; /* fields that some event says it has */
    u32 all; /* and those that each does */
    u32 wrong_any;
    u32 wrong[WIRE_EVENTS_MAX];
};

static enum err refuse(struct native *native, const char *at, const char *text) {
    *native->error = (struct decode_error){(usize)(at - native->payload), text};
    return ERR_INVALID;
}

/* How many bytes of a column's data come before its text and filling; false if the encoding does
 * not fit the column. */
static bool fixed_bytes(const struct column *column, u32 number, u32 count, usize *bytes) {
    bool text = number < TEXT_COUNT;
    bool num = number >= WIRE_NUM_COLUMN && number < WIRE_NUM_COLUMN + NUM_COUNT;
    switch (column->encoding) {
    case WIRE_ENCODING_PRESENT:
        *bytes = 4 * (usize)count;
        return number == WIRE_COLUMN_PRESENT && column->entries == 0 && column->text_bytes == 0;
    case WIRE_ENCODING_DICT:
        *bytes = 2 * (usize)column->entries + 2 * (usize)count;
        return text && column->entries <= WIRE_EVENTS_MAX;
    case WIRE_ENCODING_DIRECT:
        *bytes = 2 * (usize)count;
        return text && column->entries == 0;
    case WIRE_ENCODING_I64:
    case WIRE_ENCODING_U32:
        *bytes = (column->encoding == WIRE_ENCODING_I64 ? 8 : 4) * (usize)count;
        return num && column->entries == 0 && column->text_bytes == 0;
    default:
        return false;
    }
}

static enum err read_column_header(struct native *native, struct wire_reader *reader, u32 *least) {
    const char *at = reader->at;
    u32 number = wire_read_u8(reader);
    struct column column = {.encoding = wire_read_u8(reader)};
    u16 reserved = wire_read_u16(reader);
    column.entries = wire_read_u32(reader);
    column.bytes = wire_read_u32(reader);
    column.text_bytes = wire_read_u32(reader);
    usize fixed;
    if (number < *least || number > WIRE_COLUMN_PRESENT || reserved != 0 || number == TEXT_REFS ||
        !fixed_bytes(&column, number, native->count, &fixed)) {
        return refuse(native, at, "a column header is not valid");
    }
    if ((fixed + column.text_bytes + 7) / 8 * 8 != column.bytes) {
        return refuse(native, at, "a column's length does not fit its content");
    }
    *least = number + 1;
    native->column[number] = column;
    return ERR_OK;
}

static enum err read_columns(struct native *native, struct slice payload) {
    struct wire_reader reader = wire_reader(payload);
    u16 layout = wire_read_u16(&reader);
    u16 columns = wire_read_u16(&reader);
    native->count = wire_read_u32(&reader);
    u64 reserved = wire_read_u64(&reader);
    if (reader.failed || layout != WIRE_BATCH_LAYOUT || reserved != 0) {
        return refuse(native, payload.data, "the batch header is not valid");
    }
    if (native->count == 0 || native->count > WIRE_EVENTS_MAX) {
        return refuse(native, payload.data, "a batch has 1 to 4096 events");
    }
    if (payload.bytes < WIRE_BATCH_HEADER_BYTES + columns * (usize)WIRE_COLUMN_HEADER_BYTES) {
        return refuse(native, reader.at, "the batch ends within its column headers");
    }
    u32 least = 0;
    for (u32 i = 0; i < columns; i++) {
        enum err err = read_column_header(native, &reader, &least);
        if (err != ERR_OK) {
            return err;
        }
    }
    for (u32 number = 0; number < ARRAY_COUNT(native->column); number++) {
        struct column *column = &native->column[number];
        column->data = column->encoding == 0 ? NULL : wire_take(&reader, column->bytes);
    }
    if (reader.failed || reader.at != reader.end) {
        return refuse(native, reader.at, "the batch's length does not fit its columns");
    }
    if (native->column[WIRE_COLUMN_PRESENT].encoding == 0) {
        return refuse(native, payload.data, "the batch has no column of present fields");
    }
    return ERR_OK;
}

static enum err read_present(struct native *native) {
    struct event_batch *batch = native->batch;
    const struct column *column = &native->column[WIRE_COLUMN_PRESENT];
    u32 allowed = 0;
    for (u32 number = 0; number < WIRE_COLUMN_PRESENT; number++) {
        allowed |= native->column[number].encoding != 0 ? (u32)1 << number : 0;
    }
    memcpy(batch->present, column->data, 4 * (usize)native->count);
    u32 any = 0;
    u32 all = UINT32_MAX;
    for (u32 i = 0; i < native->count; i++) {
        any |= batch->present[i];
        all &= batch->present[i];
    }
    native->any = any;
    native->all = all;
    if ((any & ~allowed) != 0) {
        return refuse(native, column->data, "an event has a field that is no column of the batch");
    }
    if ((all & REQUIRED) != REQUIRED) {
        for (u32 i = 0; i < native->count; i++) {
            native->wrong[i] = REQUIRED & ~batch->present[i];
        }
        native->wrong_any = REQUIRED;
    }
    return ERR_OK;
}

/* --- numbers ---------------------------------------------------------------------------------- */

static void mark_wrong(struct native *native, u32 index, u32 bit) {
    native->wrong[index] |= bit;
    native->wrong_any |= bit;
}

static void read_number(struct native *native, u32 number, i64 low, i64 high) {
    const struct column *column = &native->column[WIRE_NUM_COLUMN + number];
    i64 *value = native->batch->number[number];
    if (column->encoding == 0) {
        return;
    }
    u64 outside = 0; /* the sign bit tells: of both differences at least one keeps its sign */
    if (column->encoding == WIRE_ENCODING_I64) {
        for (u32 i = 0; i < native->count; i++) {
            u64 wide;
            memcpy(&wide, column->data + 8 * (usize)i, sizeof wide);
            value[i] = (i64)wide;
            outside |= (wide - (u64)low) | ((u64)high - wide);
        }
    } else {
        for (u32 i = 0; i < native->count; i++) {
            u32 narrow;
            memcpy(&narrow, column->data + 4 * (usize)i, sizeof narrow);
            value[i] = narrow;
            outside |= (narrow - (u64)low) | ((u64)high - narrow);
        }
    }
    outside >>= 63;
    if (outside == 0) {
        return;
    }
    u32 bit = NUM_BIT(number);
    for (u32 i = 0; i < native->count; i++) {
        if ((native->batch->present[i] & bit) != 0 && (value[i] < low || value[i] > high)) {
            mark_wrong(native, i, bit);
        }
    }
}

/* Cached and cache-write tokens are parts of the input tokens. */
static void check_parts(struct native *native) {
    const struct event_batch *batch = native->batch;
    if (native->column[WIRE_NUM_COLUMN + NUM_CACHED].encoding == 0 &&
        native->column[WIRE_NUM_COLUMN + NUM_CACHE_WRITE].encoding == 0) {
        return;
    }
    for (u32 i = 0; i < native->count; i++) {
        u32 present = batch->present[i];
        u64 cached = present & NUM_BIT(NUM_CACHED) ? (u64)batch->number[NUM_CACHED][i] : 0;
        u64 write = present & NUM_BIT(NUM_CACHE_WRITE) ? (u64)batch->number[NUM_CACHE_WRITE][i] : 0;
        u64 input = present & NUM_BIT(NUM_INPUT) ? (u64)batch->number[NUM_INPUT][i] : 0;
        if (unlikely(cached + write > input) && native->wrong[i] == 0) {
            mark_wrong(native, i, WRONG_PARTS);
        }
    }
}

static void read_numbers(struct native *native, i64 now_ms) {
    read_number(native, NUM_TIME, EVENT_TIME_MIN, now_ms + EVENT_TIME_AHEAD_MS);
    read_number(native, NUM_COST, -EVENT_MONEY_MAX, EVENT_MONEY_MAX);
    read_number(native, NUM_REVENUE, -EVENT_MONEY_MAX, EVENT_MONEY_MAX);
    read_number(native, NUM_USAGE, -EVENT_USAGE_MAX, EVENT_USAGE_MAX);
    for (u32 number = NUM_INPUT; number <= NUM_REASONING; number++) {
        read_number(native, number, 0, EVENT_TOKENS_MAX);
    }
    read_number(native, NUM_DURATION, 0, EVENT_DURATION_MAX);
    check_parts(native);
}

/* Usage where none is given is the tokens. */
static void fill_usage(struct native *native) {
    struct event_batch *batch = native->batch;
    const u32 tokens = NUM_BIT(NUM_INPUT) | NUM_BIT(NUM_OUTPUT);
    const i64 *inputs = batch->number[NUM_INPUT];
    const i64 *outputs = batch->number[NUM_OUTPUT];
    i64 *usage = batch->number[NUM_USAGE];
    if ((native->any & NUM_BIT(NUM_USAGE)) == 0 && (native->all & tokens) == tokens &&
        native->wrong_any == 0) {
        for (u32 i = 0; i < native->count; i++) {
            usage[i] = (inputs[i] + outputs[i]) * MICRO_PER_UNIT;
        }
        return;
    }
    for (u32 i = 0; i < native->count; i++) {
        u32 present = batch->present[i];
        if ((present & NUM_BIT(NUM_USAGE)) == 0) {
            i64 input = present & NUM_BIT(NUM_INPUT) ? inputs[i] : 0;
            i64 output = present & NUM_BIT(NUM_OUTPUT) ? outputs[i] : 0;
            usage[i] = native->wrong[i] == 0 ? (input + output) * MICRO_PER_UNIT : 0;
        }
    }
}

static void fill_times(struct native *native, i64 now_ms) {
    struct event_batch *batch = native->batch;
    for (u32 i = 0; i < native->count; i++) {
        if ((batch->present[i] & NUM_BIT(NUM_TIME)) == 0) {
            batch->number[NUM_TIME][i] = now_ms;
            batch->flags[i] |= EVENT_FLAG_TIME_DEFAULT;
        }
    }
}

/* What an absent field means, and what decode.h promises of every event. Column by column, as all
 * here: another processor had this memory last, and stores to six such places in turns wait for
 * each other. */
static void fill_defaults(struct native *native, i64 now_ms) {
    struct event_batch *batch = native->batch;
    const u32 always = NUM_BIT(NUM_TIME) | NUM_BIT(NUM_USAGE);
    const u32 count = native->count;
    for (u32 i = 0; i < count; i++) {
        batch->created[i] = now_ms;
    }
    memset(batch->series, UINT8_MAX, count * sizeof batch->series[0]); /* SERIES_UNRESOLVED */
    for (u32 i = 0; i < count; i++) {
        batch->cost_source[i] = batch->present[i] & NUM_BIT(NUM_COST) ? COST_EXPLICIT : COST_NONE;
    }
    for (u32 i = 0; i < count; i++) {
        batch->revenue_source[i] =
            batch->present[i] & NUM_BIT(NUM_REVENUE) ? REVENUE_EXPLICIT : REVENUE_NONE;
    }
    memset(batch->source, SOURCE_SDK, count);
    memset(batch->granularity, GRANULARITY_EVENT, count);
    if ((native->all & NUM_BIT(NUM_TIME)) == 0) {
        fill_times(native, now_ms);
    }
    if ((native->all & NUM_BIT(NUM_USAGE)) == 0) {
        fill_usage(native);
    }
    for (u32 i = 0; i < count; i++) {
        batch->present[i] |= always;
    }
}

/* --- texts ------------------------------------------------------------------------------------ */

/* Copies a text column's text to the batch and makes a reference for each of its `entries`. */
static enum err place_text(struct native *native, u32 text, u32 entries, struct text_ref *refs) {
    const struct column *column = &native->column[text];
    struct event_batch *batch = native->batch;
    const char *lengths = column->data;
    usize fixed = 2 * (usize)entries;
    fixed += column->encoding == WIRE_ENCODING_DICT ? 2 * (usize)native->count : 0;
    const char *from = column->data + fixed;
    if (column->text_bytes > batch->text_bytes_max - batch->text_bytes) {
        return refuse(native, from, "the batch's text is too long");
    }
    char *to = batch->text + batch->text_bytes;
    if (column->text_bytes > 0) {
        memcpy(to, from, column->text_bytes);
    }
    u32 at = 0;
    u32 split = 0; /* an entry begins within a UTF-8 sequence */
    for (u32 i = 0; i < entries; i++) {
        u16 bytes;
        memcpy(&bytes, lengths + 2 * (usize)i, sizeof bytes);
        if (unlikely(bytes > column->text_bytes - at)) {
            return refuse(native, lengths + 2 * (usize)i, "a text passes the end of its column");
        }
        refs[i] = (struct text_ref){batch->text_bytes + at, bytes};
        split |= at < column->text_bytes && ((u8)from[at] & 0xc0) == 0x80;
        at += bytes;
    }
    if (at != column->text_bytes || split != 0 || !native_text_is_clean(from, at)) {
        return refuse(native, from, "text is not UTF-8 without NUL");
    }
    batch->text_bytes += at;
    return ERR_OK;
}

/* Which entries break the rules of the field, or change their meaning: bit 0 wrong, bit 1 empty,
 * bit 2 "usd", bit 3 a meta with a link. Returns the bits that occur. */
static u8 judge_entries(struct native *native, u32 text, u32 entries, const struct text_ref *refs,
                        u8 *verdict) {
    static const u16 bytes_max[TEXT_COUNT] = {
        EVENT_NAME_MAX,       EVENT_CUSTOMER_MAX,  EVENT_FEATURE_MAX,   EVENT_MODEL_MAX,
        EVENT_PROVIDER_MAX,   EVENT_COST_TYPE_MAX, EVENT_COST_UNIT_MAX, EVENT_AGENT_MAX,
        EVENT_KEY_MAX,        EVENT_TRACE_MAX,     EVENT_TRACE_MAX,     EVENT_TRACE_MAX,
        EVENT_PROPERTIES_MAX, EVENT_META_MAX,      EVENT_REFS_MAX};
    u32 longest = 0;
    u32 shortest = UINT32_MAX;
    for (u32 i = 0; i < entries; i++) {
        longest = MAX(longest, refs[i].bytes);
        shortest = MIN(shortest, refs[i].bytes);
    }
    bool inner = text == TEXT_COST_UNIT || text == TEXT_PROPERTIES || text == TEXT_META;
    if (!inner && longest <= bytes_max[text] && shortest > 0) {
        return 0;
    }
    u8 any = 0;
    for (u32 i = 0; i < entries; i++) {
        char *data = native->batch->text + refs[i].offset;
        u32 bytes = refs[i].bytes;
        verdict[i] = bytes > bytes_max[text] ? 1 : bytes == 0 ? 2 : 0;
        if (text == TEXT_COST_UNIT && native_text_lower_is_usd(data, bytes)) {
            verdict[i] |= 4;
        }
        if (verdict[i] == 0 && ((text == TEXT_PROPERTIES && !native_text_is_object(data, bytes)) ||
                                (text == TEXT_META && !native_text_is_meta(data, bytes)))) {
            verdict[i] = 1;
        }
        if (text == TEXT_META && verdict[i] == 0 && meta_is_link((struct slice){data, bytes})) {
            verdict[i] = 8;
        }
        any |= verdict[i];
    }
    return any;
}

static void apply_verdict(struct native *native, u32 text, u32 index, u8 verdict) {
    struct event_batch *batch = native->batch;
    if ((batch->present[index] & TEXT_BIT(text)) == 0) {
        return;
    }
    if ((verdict & 4) != 0 || ((verdict & 2) != 0 && text == TEXT_KEY)) {
        batch->present[index] &= ~TEXT_BIT(text);
    } else if (verdict == 8) {
        batch->flags[index] |= EVENT_FLAG_LINK;
    } else if (verdict != 0) {
        mark_wrong(native, index, TEXT_BIT(text));
    }
}

static enum err read_text(struct native *native, u32 text) {
    const struct column *column = &native->column[text];
    struct event_batch *batch = native->batch;
    u8 verdict[WIRE_EVENTS_MAX];
    if (column->encoding == WIRE_ENCODING_DIRECT) {
        struct text_ref *refs = batch->ref[text];
        enum err err = place_text(native, text, native->count, refs);
        if (err == ERR_OK && judge_entries(native, text, native->count, refs, verdict) != 0) {
            for (u32 i = 0; i < native->count; i++) {
                apply_verdict(native, text, i, verdict[i]);
            }
        }
        return err;
    }
    struct text_ref own[WIRE_EVENTS_MAX];
    struct text_ref *refs = text < DICTS_TEXTS ? native->dicts->text[text].ref : own;
    enum err err = place_text(native, text, column->entries, refs);
    if (err != ERR_OK) {
        return err;
    }
    u8 any = judge_entries(native, text, column->entries, refs, verdict);
    const char *indexes = column->data + 2 * (usize)column->entries;
    if (text < DICTS_TEXTS) {
        native->dicts->text[text].entries = column->entries;
        native->dicts->text[text].indexes = indexes;
    }
    for (u32 i = 0; i < native->count; i++) {
        u16 entry;
        memcpy(&entry, indexes + 2 * (usize)i, sizeof entry);
        if (likely(entry < column->entries)) {
            batch->ref[text][i] = refs[entry];
            if (unlikely(any != 0)) {
                apply_verdict(native, text, i, verdict[entry]);
            }
        } else if ((batch->present[i] & TEXT_BIT(text)) != 0) {
            return refuse(native, indexes + 2 * (usize)i, "an index passes its dictionary");
        }
    }
    return ERR_OK;
}

static enum err read_texts(struct native *native) {
    for (u32 text = 0; text < TEXT_COUNT; text++) {
        enum err err = native->column[text].encoding != 0 ? read_text(native, text) : ERR_OK;
        if (err != ERR_OK) {
            return err;
        }
    }
    if (native->column[TEXT_COST_UNIT].encoding != 0) {
        for (u32 i = 0; i < native->count; i++) {
            if (event_has_text(native->batch, i, TEXT_COST_UNIT)) {
                native->batch->flags[i] |= EVENT_FLAG_FOREIGN_UNIT;
            }
        }
    }
    return ERR_OK;
}

/* --- refused events --------------------------------------------------------------------------- */

static void describe(const struct native *native, u32 index, struct buf *out) {
    const struct event_batch *batch = native->batch;
    u32 missing = 0;
    for (u32 text = 0; text <= TEXT_FEATURE; text++) {
        if ((native->wrong[index] & TEXT_BIT(text)) != 0 &&
            (!event_has_text(batch, index, text) || batch->ref[text][index].bytes == 0)) {
            missing |= TEXT_BIT(text);
        }
    }
    const char *separator = "missing required fields: ";
    for (u32 i = 0; i < ARRAY_COUNT(rules); i++) {
        if (missing == 0 && (native->wrong[index] & rules[i].bit) != 0) {
            buf_put_text(out, rules[i].text);
            return;
        }
        if ((missing & rules[i].bit) != 0) {
            buf_put_text(out, separator);
            buf_put_text(out, rules[i].name);
            separator = ", ";
        }
    }
}

static void move_event(struct event_batch *batch, u32 to, u32 from) {
    batch->present[to] = batch->present[from];
    batch->cost_source[to] = batch->cost_source[from];
    batch->revenue_source[to] = batch->revenue_source[from];
    batch->flags[to] = batch->flags[from];
    for (u32 number = 0; number < NUM_COUNT; number++) {
        batch->number[number][to] = batch->number[number][from];
    }
    for (u32 text = 0; text < TEXT_COUNT; text++) {
        batch->ref[text][to] = batch->ref[text][from];
    }
}

static void take_out_wrong(struct native *native, struct decode_result *result) {
    u32 kept = 0;
    for (u32 i = 0; i < native->count; i++) {
        if (native->wrong[i] == 0) {
            if (kept != i) {
                move_event(native->batch, kept, i);
            }
            kept++;
        } else if (result->reject_count < EVENT_ERRORS_MAX) {
            usize before = result->messages.bytes;
            describe(native, i, &result->messages);
            struct text_ref message = {(u32)before, (u32)(result->messages.bytes - before)};
            result->rejects[result->reject_count++] = (struct event_reject){i, message};
        }
    }
    native->batch->count = kept;
}

enum err native_decode(struct event_batch *batch, struct slice payload, i64 now_ms,
                       struct dicts *dicts, struct decode_result *result,
                       struct decode_error *error) {
    check(batch->count == 0);
    struct native native;
    native.batch = batch;
    native.dicts = dicts;
    native.payload = payload.data;
    native.error = error;
    native.wrong_any = 0;
    memset(native.column, 0, sizeof native.column);
    dicts->good = false;
    for (u32 text = 0; text < DICTS_TEXTS; text++) {
        dicts->text[text].entries = 0;
    }
    buf_clear(&result->messages);
    result->sent = result->first = result->count = result->reject_count = 0;
    enum err err = read_columns(&native, payload);
    if (err != ERR_OK) {
        return err;
    }
    memset(native.wrong, 0, native.count * sizeof native.wrong[0]);
    memset(batch->flags, 0, native.count);
    err = read_present(&native);
    u32 text_bytes = batch->text_bytes;
    if (err == ERR_OK) {
        read_numbers(&native, now_ms);
        err = read_texts(&native);
    }
    if (err != ERR_OK) {
        batch->text_bytes = text_bytes;
        return err;
    }
    fill_defaults(&native, now_ms);
    batch->count = native.count;
    result->sent = native.count;
    if (native.wrong_any != 0) {
        take_out_wrong(&native, result);
    }
    dicts->good = batch->count == native.count;
    result->count = batch->count;
    return result->messages.failed ? ERR_NO_MEMORY : ERR_OK;
}
