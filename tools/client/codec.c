/*
 * codec.c: writes requests, reads answers. Walks over rows and events keep their place in the
 * slice that is left, so that nothing is allocated for an answer.
 */
#include "codec.h"

#include "wire/frame.h"

usize codec_cell_bytes(const struct margin_cell *cell) {
    return WIRE_CELL_BYTES + cell->text.bytes;
}

char *codec_write_cell(char *to, const struct margin_cell *cell) {
    to = wire_write_u8(to, (u8)cell->dimension);
    to = wire_write_u8(to, cell->populations);
    to = wire_write_u16(to, (u16)cell->text.bytes);
    to = wire_write_u32(to, cell->window_s);
    if (cell->text.bytes > 0) {
        memcpy(to, cell->text.data, cell->text.bytes);
    }
    return to + cell->text.bytes;
}

static usize filters_bytes(const struct margin_filter *filters, u32 count) {
    usize bytes = 0;
    for (u32 i = 0; i < count; i++) {
        bytes += 4 + filters[i].text.bytes;
    }
    return bytes;
}

static char *write_filters(char *to, const struct margin_filter *filters, u32 count) {
    for (u32 i = 0; i < count; i++) {
        to = wire_write_u8(to, (u8)filters[i].dimension);
        to = wire_write_u8(to, 0);
        to = wire_write_text(to, filters[i].text);
    }
    return to;
}

struct margin_query margin_query_all(void) {
    return (struct margin_query){
        .order = WIRE_ORDER_COST, .from = INT64_MIN, .to = INT64_MAX, .limit = 100};
}

usize codec_query_bytes(const struct margin_query *query) {
    return WIRE_AGGREGATE_BYTES + filters_bytes(query->filter, query->filter_count);
}

char *codec_write_query(char *to, const struct margin_query *query) {
    to = wire_write_u8(to, (u8)query->group_count);
    for (u32 i = 0; i < ARRAY_COUNT(query->group); i++) {
        to = wire_write_u8(to, query->group[i]);
    }
    to = wire_write_u8(to, (u8)query->bucket);
    to = wire_write_u8(to, (u8)query->order);
    to = wire_write_u8(to, query->flags);
    to = wire_write_u8(to, (u8)query->filter_count);
    to = wire_write_u32(to, query->window_s);
    to = wire_write_u32(to, query->offset);
    to = wire_write_u32(to, query->limit);
    to = wire_write_i64(to, query->from);
    to = wire_write_i64(to, query->to);
    return write_filters(to, query->filter, query->filter_count);
}

struct margin_scan margin_scan_all(void) {
    return (struct margin_scan){.id_to = UINT64_MAX,
                                .from = INT64_MIN,
                                .to = INT64_MAX,
                                .columns = UINT32_MAX,
                                .limit = 1000};
}

usize codec_scan_bytes(const struct margin_scan *scan) {
    return WIRE_SCAN_BYTES + filters_bytes(scan->filter, scan->filter_count);
}

char *codec_write_scan(char *to, const struct margin_scan *scan) {
    to = wire_write_u64(to, scan->id_from);
    to = wire_write_u64(to, scan->id_to);
    to = wire_write_i64(to, scan->from);
    to = wire_write_i64(to, scan->to);
    to = wire_write_u32(to, scan->columns);
    to = wire_write_u32(to, scan->limit);
    to = wire_write_u8(to, scan->newest_first ? WIRE_NEWEST : 0);
    to = wire_write_u8(to, (u8)scan->filter_count);
    to = wire_write_u16(to, 0);
    return write_filters(to, scan->filter, scan->filter_count);
}

/* --- answers ---------------------------------------------------------------------------------- */

static struct slice rest_of(const struct wire_reader *reader) {
    return (struct slice){reader->at, (usize)(reader->end - reader->at)};
}

static void read_figures(struct wire_reader *reader, struct margin_figures *out) {
    out->events = wire_read_u64(reader);
    out->cost = wire_read_i128(reader);
    out->revenue = wire_read_i128(reader);
    out->usage = wire_read_i128(reader);
    out->input = wire_read_u64(reader);
    out->output = wire_read_u64(reader);
    out->cached = wire_read_u64(reader);
    out->cache_write = wire_read_u64(reader);
    out->duration_ms = wire_read_u64(reader);
    out->duration_count = wire_read_u64(reader);
    out->first_seen = wire_read_i64(reader);
    out->last_seen = wire_read_i64(reader);
    out->unpriced = wire_read_u64(reader);
}

bool codec_read_point(struct slice payload, struct margin_point *out) {
    struct wire_reader reader = wire_reader(payload);
    read_figures(&reader, &out->figures);
    out->from = wire_read_i64(&reader);
    out->to = wire_read_i64(&reader);
    return !reader.failed && reader.at == reader.end;
}

bool codec_read_ingested(struct slice payload, struct margin_ingested *out) {
    struct wire_reader reader = wire_reader(payload);
    out->sent = wire_read_u32(&reader);
    out->accepted = wire_read_u32(&reader);
    out->rejected = wire_read_u32(&reader);
    out->duplicates = wire_read_u32(&reader);
    out->conflicts = wire_read_u32(&reader);
    out->refusal_count = wire_read_u32(&reader);
    out->first_id = wire_read_u64(&reader);
    out->refusals = rest_of(&reader);
    return !reader.failed;
}

bool margin_refusal_next(struct margin_ingested *ingested, struct margin_refusal *out) {
    struct wire_reader reader = wire_reader(ingested->refusals);
    out->index = wire_read_u32(&reader);
    out->text = wire_read_text(&reader);
    ingested->refusals = rest_of(&reader);
    return !reader.failed;
}

bool codec_read_rows(struct slice payload, struct margin_rows *out) {
    struct wire_reader reader = wire_reader(payload);
    out->count = wire_read_u32(&reader);
    out->total = wire_read_u32(&reader);
    out->from = wire_read_i64(&reader);
    out->to = wire_read_i64(&reader);
    out->group_count = wire_read_u8(&reader);
    wire_take(&reader, 7);
    read_figures(&reader, &out->figures);
    out->rest = rest_of(&reader);
    return !reader.failed && out->group_count <= 3;
}

bool margin_rows_next(struct margin_rows *rows, struct margin_row *out) {
    struct wire_reader reader = wire_reader(rows->rest);
    memset(out, 0, sizeof *out);
    out->bucket_start = wire_read_i64(&reader);
    read_figures(&reader, &out->figures);
    for (u32 i = 0; i < rows->group_count; i++) {
        out->group[i] = wire_read_text(&reader);
    }
    rows->rest = rest_of(&reader);
    return !reader.failed;
}

bool margin_figures_percent(const struct margin_figures *figures, i64 *percent) {
    i128 revenue = figures->revenue;
    if (revenue <= 0) {
        return false;
    }
    /* floor(100 * (R - C) / R + 1/2) = floor((200 * (R - C) + R) / (2 * R)) */
    i128 above = 200 * (revenue - figures->cost) + revenue;
    i128 below = 2 * revenue;
    i128 quotient = above / below;
    quotient -= above % below < 0;
    *percent = (i64)MAX(MIN(quotient, (i128)INT64_MAX), (i128)INT64_MIN);
    return true;
}

bool codec_read_events(struct slice payload, struct margin_events *out) {
    struct wire_reader reader = wire_reader(payload);
    out->count = wire_read_u32(&reader);
    out->more = wire_read_u32(&reader) != 0;
    out->next = wire_read_u64(&reader);
    out->rest = rest_of(&reader);
    return !reader.failed;
}

bool margin_events_next(struct margin_events *events, struct margin_event *out) {
    struct wire_reader reader = wire_reader(events->rest);
    memset(out, 0, sizeof *out);
    out->id = wire_read_u64(&reader);
    out->created = wire_read_i64(&reader);
    out->present = wire_read_u32(&reader);
    out->cost_source = wire_read_u8(&reader);
    out->revenue_source = wire_read_u8(&reader);
    out->source = wire_read_u8(&reader);
    out->granularity = wire_read_u8(&reader);
    out->flags = wire_read_u8(&reader);
    wire_take(&reader, 3);
    for (u32 i = 0; i < WIRE_NUMS; i++) {
        if ((out->present & WIRE_NUM_BIT(i)) != 0) {
            out->number[i] = wire_read_i64(&reader);
        }
    }
    for (u32 i = 0; i < WIRE_TEXTS; i++) {
        if ((out->present & WIRE_TEXT_BIT(i)) != 0) {
            out->text[i] = wire_read_text(&reader);
        }
    }
    events->rest = rest_of(&reader);
    return !reader.failed;
}

void margin_scan_continue(struct margin_scan *scan, const struct margin_events *events) {
    if (scan->newest_first) {
        scan->id_to = events->next;
    } else {
        scan->id_from = events->next;
    }
}

bool margin_stats_next(struct margin_stats *stats, struct slice *name, u64 *value) {
    struct wire_reader reader = wire_reader(stats->rest);
    *value = wire_read_u64(&reader);
    *name = wire_read_text(&reader);
    stats->rest = rest_of(&reader);
    return !reader.failed;
}

enum margin_status codec_status(u16 wire_error) {
    switch (wire_error) {
    case WIRE_UNAUTHORIZED:
    case WIRE_FORBIDDEN:
    case WIRE_GUESSING:
        return MARGIN_DENIED;
    case WIRE_INVALID:
        return MARGIN_INVALID;
    case WIRE_LIMIT:
        return MARGIN_LIMIT;
    case WIRE_BUSY:
        return MARGIN_BUSY;
    case WIRE_NO_SPACE:
        return MARGIN_NO_SPACE;
    case WIRE_BAD_FRAME:
    case WIRE_BAD_VERSION:
        return MARGIN_PROTOCOL;
    default:
        return MARGIN_SERVER;
    }
}
