/*
 * wire_scan.c: events by filter, in the order of their ids. The scan runs on a reader thread, which
 * writes the answer's payload into a buffer of its own.
 */
#include <stdlib.h>

#include "api/event_rows.h"
#include "api/wire_service.h"

#define ANSWER_BYTES_MAX (4 * MIB) /* an answer ends early rather than pass it */
#define EVENT_BYTES_MAX (256 * KIB)
#define SERIES_TEXT_BITS (TEXT_BIT(SERIES_TEXTS) - 1)
_Static_assert(ANSWER_BYTES_MAX + EVENT_BYTES_MAX < WIRE_FRAME_BYTES_MAX, "an answer fits a frame");

struct wire_scan {
    struct job job;
    struct wire_session *session;
    u32 request;
    struct store_scan_options options;
    u32 limit;
    bool nothing; /* a filter's value is unknown: no event can match */
    enum err err;
    u32 count;
    bool more;
    u64 next;
    struct buf out;
    char trace[EVENT_TRACE_MAX]; /* behind the options */
    char agent[EVENT_AGENT_MAX];
};

static bool source_by_text(struct slice text, u32 *value) {
    for (u32 source = 0; source < EVENT_SOURCES; source++) {
        const char *name = event_source_text((enum event_source)source);
        if (strlen(name) == text.bytes && memcmp(name, text.data, text.bytes) == 0) {
            *value = source;
            return true;
        }
    }
    return false;
}

static bool copy_text(struct slice text, char *to, usize to_bytes, struct slice *out) {
    if (text.bytes == 0 || text.bytes > to_bytes) {
        return false;
    }
    memcpy(to, text.data, text.bytes);
    *out = (struct slice){to, text.bytes};
    return true;
}

/* False if the filter is not valid. */
static bool add_filter(struct wire_scan *scan, const struct wire_filter *from) {
    struct store_filter *filter = &scan->options.filter;
    struct agg *agg = wire_service_context(scan->session)->agg;
    if (from->dimension == WIRE_DIM_TRACE) {
        return copy_text(from->text, scan->trace, sizeof scan->trace, &filter->trace);
    }
    if (from->dimension == WIRE_DIM_AGENT) {
        return copy_text(from->text, scan->agent, sizeof scan->agent, &filter->agent);
    }
    if (from->dimension > WIRE_DIM_SOURCE || (filter->dim_mask >> from->dimension & 1) != 0) {
        return false;
    }
    u32 value = DIM_NONE;
    if (from->dimension == WIRE_DIM_SOURCE) {
        source_by_text(from->text, &value);
    } else {
        value = agg_value_find(agg, scan->session->account, (enum store_dim)from->dimension,
                               from->text);
    }
    scan->nothing |= value == DIM_NONE;
    filter->dim_mask |= (u32)1 << from->dimension;
    filter->dim_value[from->dimension] = value;
    return true;
}

/* NULL, or why the payload is no scan (static). */
static const char *read_scan(const struct wire_call *call, struct wire_scan *scan) {
    struct wire_reader reader = wire_reader(call->payload);
    struct store_filter *filter = &scan->options.filter;
    *filter = store_filter_all;
    filter->id_from = wire_read_u64(&reader);
    filter->id_to = wire_read_u64(&reader);
    filter->time_from = wire_read_i64(&reader);
    filter->time_to = wire_read_i64(&reader);
    scan->options.columns = wire_read_u32(&reader);
    scan->limit = wire_read_u32(&reader);
    u8 flags = wire_read_u8(&reader);
    u8 filter_count = wire_read_u8(&reader);
    u16 reserved = wire_read_u16(&reader);
    if (reader.failed || (flags & ~WIRE_NEWEST) != 0 || reserved != 0) {
        return "the scan is malformed";
    }
    if (scan->limit == 0 || scan->limit > WIRE_SCAN_EVENTS_MAX) {
        return "the scan's limit must be 1 to 4096";
    }
    scan->options.newest_first = (flags & WIRE_NEWEST) != 0;
    filter->dim_mask = (u32)1 << DIM_ACCOUNT;
    filter->dim_value[DIM_ACCOUNT] = call->session->account;
    struct wire_filter filters[WIRE_FILTERS_MAX];
    if (!wire_service_filters(&reader, filter_count, filters)) {
        return "the scan's filters are malformed";
    }
    for (u32 i = 0; i < filter_count; i++) {
        if (!add_filter(scan, &filters[i])) {
            return "a filter's dimension or text is not valid";
        }
    }
    return NULL;
}

/* --- on the reader thread --------------------------------------------------------------------- */

static u32 series_texts(const struct agg *agg, u32 series, u32 wanted, struct slice *texts) {
    const u32 *dims = agg_series_dims(agg, series);
    u32 present = 0;
    for (u32 dim = 0; dim < SERIES_TEXTS; dim++) {
        if (dims[dim] != DIM_NONE && (wanted & TEXT_BIT(dim)) != 0) {
            texts[dim] = agg_value_text(agg, (enum store_dim)dim, dims[dim]);
            present |= TEXT_BIT(dim);
        }
    }
    return present;
}

static void write_event(struct wire_scan *scan, const struct event_batch *batch, u32 index) {
    const struct agg *agg = wire_service_context(scan->session)->agg;
    struct slice texts[TEXT_COUNT];
    u32 wanted = scan->options.columns;
    u32 present = batch->present[index] & wanted & ~SERIES_TEXT_BITS;
    if ((batch->flags[index] & EVENT_FLAG_BODIES) != 0) {
        present &= ~TEXT_BIT(TEXT_REFS); /* they are shown with the single event only */
    }
    present |= series_texts(agg, batch->series[index], wanted, texts);
    usize bytes = WIRE_EVENT_BYTES;
    for (u32 text = 0; text < TEXT_COUNT; text++) {
        if ((present & TEXT_BIT(text)) != 0) {
            texts[text] = text < SERIES_TEXTS ? texts[text]
                                              : event_text_of(batch, index, (enum event_text)text);
            bytes += 2 + texts[text].bytes;
        }
    }
    char *to = buf_reserve(&scan->out, bytes + 8 * NUM_COUNT);
    if (to == NULL) {
        return;
    }
    const char *begin = to;
    to = wire_write_u64(to, batch->id[index]);
    to = wire_write_i64(to, batch->created[index]);
    to = wire_write_u32(to, present);
    to = wire_write_u8(to, batch->cost_source[index]);
    to = wire_write_u8(to, batch->revenue_source[index]);
    to = wire_write_u8(to, batch->source[index]);
    to = wire_write_u8(to, batch->granularity[index]);
    to = wire_write_u32(to, batch->flags[index]); /* and three zeros */
    for (u32 number = 0; number < NUM_COUNT; number++) {
        if ((present & NUM_BIT(number)) != 0) {
            to = wire_write_i64(to, batch->number[number][index]);
        }
    }
    for (u32 text = 0; text < TEXT_COUNT; text++) {
        if ((present & TEXT_BIT(text)) != 0) {
            to = wire_write_text(to, texts[text].data == NULL ? SLICE("") : texts[text]);
        }
    }
    scan->out.bytes += (usize)(to - begin);
}

static bool is_full(const struct wire_scan *scan) {
    return scan->count == scan->limit || scan->out.bytes > ANSWER_BYTES_MAX;
}

static void run(struct job *job) {
    struct wire_scan *scan = job->context;
    struct store_scan *from;
    scan->err = store_scan_open(wire_service_context(scan->session)->store, &scan->options, &from);
    if (scan->err != ERR_OK) {
        return;
    }
    const struct event_batch *batch;
    do {
        scan->err = event_rows_next(from, &batch);
        for (u32 i = 0; scan->err == ERR_OK && i < batch->count && !scan->more; i++) {
            write_event(scan, batch, i);
            scan->count++;
            scan->next = scan->options.newest_first ? batch->id[i] : batch->id[i] + 1;
            scan->more = is_full(scan);
        }
    } while (scan->err == ERR_OK && batch->count > 0 && !scan->more);
    store_scan_close(from);
    if (scan->err == ERR_OK && scan->out.failed) {
        scan->err = ERR_NO_MEMORY;
    }
}

/* --- on the front thread ---------------------------------------------------------------------- */

static void reply(struct wire_scan *scan) {
    char *to = wire_reply_begin(scan->session, WIRE_SCANNED_BYTES + scan->out.bytes);
    if (to == NULL) {
        wire_service_error(scan->session, scan->request, ERR_NO_MEMORY);
        return;
    }
    to = wire_write_u32(to, scan->count);
    to = wire_write_u32(to, scan->more);
    to = wire_write_u64(to, scan->next);
    if (scan->out.bytes > 0) {
        memcpy(to, scan->out.data, scan->out.bytes);
    }
    wire_reply_end(scan->session, WIRE_SCAN | WIRE_REPLY, scan->request, to + scan->out.bytes);
}

static void finish(struct wire_scan *scan) {
    buf_free(&scan->out);
    wire_session_end(scan->session);
    free(scan);
}

static void done(struct job *job) {
    struct wire_scan *scan = job->context;
    if (job->dropped) {
        scan->err = ERR_BUSY;
    }
    if (scan->err == ERR_OK) {
        reply(scan);
    } else {
        wire_service_error(scan->session, scan->request, scan->err);
    }
    finish(scan);
}

void wire_scan_events(struct wire_call *call) {
    if (!wire_service_may(call, SCOPE_EVENTS_READ)) {
        return;
    }
    struct wire_scan *scan = calloc(1, sizeof *scan);
    if (scan == NULL) {
        wire_service_error(call->session, call->request, ERR_NO_MEMORY);
        return;
    }
    struct front *front = wire_service_context(call->session)->front;
    scan->session = call->session;
    scan->request = call->request;
    buf_init(&scan->out, ANSWER_BYTES_MAX + EVENT_BYTES_MAX);
    scan->job = (struct job){.run = run, .done = done, .context = scan, .front = front};
    wire_session_begin(call->session);
    const char *why = read_scan(call, scan);
    enum err err = ERR_OK;
    if (why != NULL) {
        wire_reply_error(call->session, call->request, WIRE_INVALID, why);
    } else if (scan->nothing) {
        reply(scan);
    } else {
        err = front_job(front, &scan->job);
        if (err == ERR_OK) {
            return;
        }
        wire_service_error(call->session, call->request, err);
    }
    finish(scan);
}
