/* ctl_events.c: `events`, `trace` and `export`: single events. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event.h"
#include "tools/marginctl/ctl.h"
#include "json/write.h"

#define EVENTS_LIMIT 20
#define DEPTH_MAX 32
#define TEXT_COLUMNS_MAX 24

static struct margin_scan make_scan(const struct ctl_options *options) {
    struct margin_scan scan = margin_scan_all();
    scan.from = options->from;
    scan.to = options->to;
    memcpy(scan.filter, options->filter, sizeof scan.filter);
    scan.filter_count = options->filter_count;
    return scan;
}

static void print_slice(struct slice text, int columns) {
    char shown[CTL_TEXT_BYTES(TEXT_COLUMNS_MAX)];
    int used = ctl_text(text.data == NULL ? SLICE("-") : text, columns, shown);
    printf("%s%*s ", shown, columns - used, "");
}

/* --- events ----------------------------------------------------------------------------------- */

static void print_event(const struct margin_event *event) {
    char time[CTL_MONEY_BYTES];
    char cost[CTL_MONEY_BYTES];
    char revenue[CTL_MONEY_BYTES];
    printf("%10llu %s ", (unsigned long long)event->id,
           ctl_time(event->number[WIRE_NUM_TIME], time));
    print_slice(event->text[WIRE_TEXT_CUSTOMER], 24);
    print_slice(event->text[WIRE_TEXT_FEATURE], 20);
    print_slice(event->text[WIRE_TEXT_MODEL], 24);
    printf("%9lld %9lld %14s %14s\n", (long long)event->number[WIRE_NUM_INPUT],
           (long long)event->number[WIRE_NUM_OUTPUT],
           event->cost_source == COST_UNPRICED ? "unpriced"
                                               : ctl_money(event->number[WIRE_NUM_COST], cost),
           ctl_money(event->number[WIRE_NUM_REVENUE], revenue));
}

int ctl_events(const struct ctl_options *options, int argc, char **argv) {
    if (argc > 0) {
        return ctl_usage("events takes no argument, but got %s; filters are options", argv[0]);
    }
    struct margin_client *client = ctl_connect(options);
    if (client == NULL) {
        return 1;
    }
    struct margin_scan scan = make_scan(options);
    scan.newest_first = !options->oldest;
    u64 left = options->limit > 0 ? options->limit : EVENTS_LIMIT;
    printf("%10s %-24s %-24s %-20s %-24s %9s %9s %14s %14s\n", "ID", "TIME", "CUSTOMER", "FEATURE",
           "MODEL", "INPUT", "OUTPUT", "COST $", "REVENUE $");
    struct margin_events events = {.more = true};
    int code = 0;
    while (code == 0 && left > 0 && events.more) {
        scan.limit = (u32)MIN(left, WIRE_SCAN_EVENTS_MAX);
        if (margin_scan_events(client, &scan, &events) != MARGIN_OK) {
            code = ctl_fail("%s", margin_error_text(client));
            break;
        }
        struct margin_event event;
        for (u32 i = 0; i < events.count && margin_events_next(&events, &event); i++, left--) {
            print_event(&event);
        }
        margin_scan_continue(&scan, &events);
    }
    margin_close(client);
    return code;
}

/* --- trace ------------------------------------------------------------------------------------ */

static bool same(struct slice a, struct slice b) {
    return a.data != NULL && b.data != NULL && a.bytes == b.bytes &&
           memcmp(a.data, b.data, a.bytes) == 0;
}

/* How many ancestors a span has among the events. */
static u32 depth_of(const struct margin_event *events, u32 count, u32 index) {
    u32 depth = 0;
    while (depth < DEPTH_MAX) {
        u32 parent = 0;
        while (parent < count &&
               !same(events[parent].text[WIRE_TEXT_SPAN], events[index].text[WIRE_TEXT_PARENT])) {
            parent++;
        }
        if (parent == count || parent == index) {
            break;
        }
        index = parent;
        depth++;
    }
    return depth;
}

static int by_time(const void *a, const void *b) {
    i64 x = ((const struct margin_event *)a)->number[WIRE_NUM_TIME];
    i64 y = ((const struct margin_event *)b)->number[WIRE_NUM_TIME];
    return (x > y) - (x < y);
}

static void print_trace(struct margin_event *events, u32 count) {
    qsort(events, count, sizeof *events, by_time);
    i128 cost = 0;
    for (u32 i = 0; i < count; i++) {
        struct margin_event *event = &events[i];
        char time[CTL_MONEY_BYTES];
        char money[CTL_MONEY_BYTES];
        u32 depth = depth_of(events, count, i);
        printf("%s %14s %8lld ms  %*s", ctl_time(event->number[WIRE_NUM_TIME], time),
               ctl_money(event->number[WIRE_NUM_COST], money),
               (long long)event->number[WIRE_NUM_DURATION], (int)(2 * depth), "");
        print_slice(event->text[WIRE_TEXT_EVENT_NAME], 24);
        print_slice(event->text[WIRE_TEXT_MODEL], 24);
        print_slice(event->text[WIRE_TEXT_SPAN], 24);
        printf("\n");
        cost += event->number[WIRE_NUM_COST];
    }
    char money[CTL_MONEY_BYTES];
    printf("%u spans, %s $\n", count, ctl_money(cost, money));
}

int ctl_trace(const struct ctl_options *options, int argc, char **argv) {
    if (argc != 1) {
        return ctl_usage("trace takes one argument, the trace's id");
    }
    struct margin_client *client = ctl_connect(options);
    struct margin_event *found = calloc(WIRE_SCAN_EVENTS_MAX, sizeof *found);
    if (client == NULL || found == NULL) {
        margin_close(client);
        free(found);
        return 1;
    }
    struct margin_scan scan = margin_scan_all();
    scan.limit = WIRE_SCAN_EVENTS_MAX;
    scan.filter[0] = (struct margin_filter){WIRE_DIM_TRACE, {argv[0], strlen(argv[0])}};
    scan.filter_count = 1;
    struct margin_events events;
    int code = 0;
    if (margin_scan_events(client, &scan, &events) != MARGIN_OK) {
        code = ctl_fail("%s", margin_error_text(client));
    } else if (events.count == 0) {
        code = ctl_fail("no event has the trace %s", argv[0]);
    } else {
        u32 count = 0;
        while (count < events.count && margin_events_next(&events, &found[count])) {
            count++;
        }
        print_trace(found, count);
        if (events.more) {
            code = ctl_fail("the trace has more than %d spans; see `marginctl export --trace`",
                            WIRE_SCAN_EVENTS_MAX);
        }
    }
    free(found);
    margin_close(client);
    return code;
}

/* --- export ----------------------------------------------------------------------------------- */

/* In the words of the ingest API, so that an export can be ingested again. */
static const char *const text_names[WIRE_TEXTS] = {"eventName",
                                                   "customerReferenceId",
                                                   "featureKey",
                                                   "model",
                                                   "modelProvider",
                                                   "costType",
                                                   "costUnit",
                                                   "agentId",
                                                   "idempotencyKey",
                                                   "traceId",
                                                   "spanId",
                                                   "parentSpanId",
                                                   "properties",
                                                   "meta",
                                                   "refs"};
static const struct {
    const char *name;
    u32 scale;
} number_names[WIRE_NUMS] = {
    {"timestamp", 0},       {"costAmount", 12},  {"revenueAmount", 12},    {"usageUnits", 6},
    {"inputTokens", 0},     {"outputTokens", 0}, {"cachedInputTokens", 0}, {"cacheWriteTokens", 0},
    {"reasoningTokens", 0}, {"durationMs", 0}};

static bool is_json_text(u32 text) {
    return text == WIRE_TEXT_PROPERTIES || text == WIRE_TEXT_META || text == WIRE_TEXT_REFS;
}

static void write_json(struct buf *out, const struct margin_event *event) {
    struct json_writer json = json_writer(out);
    json_object_begin(&json);
    json_key(&json, "id");
    json_u64(&json, event->id);
    for (u32 i = 0; i < WIRE_TEXTS; i++) {
        if ((event->present & WIRE_TEXT_BIT(i)) != 0) {
            json_key(&json, text_names[i]);
            if (is_json_text(i)) {
                json_raw(&json, event->text[i]);
            } else {
                json_string(&json, event->text[i]);
            }
        }
    }
    for (u32 i = 0; i < WIRE_NUMS; i++) {
        /* What was worked out from nothing would be given if the export were ingested again. */
        bool computed = (i == WIRE_NUM_COST && (event->cost_source == COST_UNPRICED ||
                                                event->cost_source == COST_NONE)) ||
                        (i == WIRE_NUM_REVENUE && event->revenue_source == REVENUE_NONE);
        if ((event->present & WIRE_NUM_BIT(i)) != 0 && !computed) {
            json_key(&json, number_names[i].name);
            if (i == WIRE_NUM_TIME) {
                json_time(&json, event->number[i]);
            } else {
                json_decimal(&json, event->number[i], number_names[i].scale);
            }
        }
    }
    json_key(&json, "costSource");
    json_text(&json, cost_source_text((enum cost_source)event->cost_source));
    json_key(&json, "revenueSource");
    json_text(&json, revenue_source_text((enum revenue_source)event->revenue_source));
    json_key(&json, "source");
    json_text(&json, event_source_text((enum event_source)event->source));
    json_key(&json, "createdAt");
    json_time(&json, event->created);
    json_object_end(&json);
    buf_put_char(out, '\n');
}

/* RFC 4180: quoted if need be, quotes doubled. */
static void put_csv(struct buf *out, struct slice text) {
    bool quote = false;
    for (usize i = 0; i < text.bytes; i++) {
        char c = text.data[i];
        quote |= c == ',' || c == '"' || c == '\n' || c == '\r';
    }
    if (!quote) {
        buf_put_slice(out, text);
        return;
    }
    buf_put_char(out, '"');
    for (usize i = 0; i < text.bytes; i++) {
        if (text.data[i] == '"') {
            buf_put_char(out, '"');
        }
        buf_put_char(out, text.data[i]);
    }
    buf_put_char(out, '"');
}

static void write_csv_head(struct buf *out) {
    buf_put_text(out, "id");
    for (u32 i = 0; i < WIRE_TEXTS; i++) {
        buf_put_format(out, ",%s", text_names[i]);
    }
    for (u32 i = 0; i < WIRE_NUMS; i++) {
        buf_put_format(out, ",%s", number_names[i].name);
    }
    buf_put_text(out, ",costSource,revenueSource,source,createdAt\r\n");
}

static void write_csv(struct buf *out, const struct margin_event *event) {
    struct json_writer json = json_writer(out);
    buf_put_u64(out, event->id);
    for (u32 i = 0; i < WIRE_TEXTS; i++) {
        buf_put_char(out, ',');
        if ((event->present & WIRE_TEXT_BIT(i)) != 0) {
            put_csv(out, event->text[i]);
        }
    }
    for (u32 i = 0; i < WIRE_NUMS; i++) {
        buf_put_char(out, ',');
        char text[CTL_MONEY_BYTES];
        if ((event->present & WIRE_NUM_BIT(i)) == 0) {
            continue;
        }
        if (i == WIRE_NUM_TIME) {
            buf_put_text(out, ctl_time(event->number[i], text));
        } else {
            json.comma = false;
            json_decimal(&json, event->number[i], number_names[i].scale);
        }
    }
    char created[CTL_MONEY_BYTES];
    buf_put_format(out, ",%s,%s,%s,%s\r\n", cost_source_text((enum cost_source)event->cost_source),
                   revenue_source_text((enum revenue_source)event->revenue_source),
                   event_source_text((enum event_source)event->source),
                   ctl_time(event->created, created));
}

static bool is_known(const struct margin_event *event) {
    return event->cost_source < COST_SOURCES && event->revenue_source < REVENUE_SOURCES &&
           event->source < EVENT_SOURCES;
}

static int write_events(const struct ctl_options *options, struct margin_events *events,
                        struct buf *out) {
    struct margin_event event;
    buf_clear(out);
    for (u32 i = 0; i < events->count && margin_events_next(events, &event); i++) {
        if (!is_known(&event)) {
            return ctl_fail("event %llu has a code this version does not know; update marginctl",
                            (unsigned long long)event.id);
        }
        (options->csv ? write_csv : write_json)(out, &event);
    }
    if (out->failed || fwrite(out->data, 1, out->bytes, stdout) != out->bytes) {
        return ctl_fail("writing failed; is the disk full?");
    }
    return 0;
}

/* The server passes over damaged blocks, so that the rest can be read; who keeps an export as a
 * backup must know that it is not whole. */
static int check_damage(struct margin_client *client) {
    u64 damaged;
    if (!ctl_statistic(client, "damaged_blocks", &damaged)) {
        return 1;
    }
    return damaged == 0 ? 0
                        : ctl_fail("the log has damaged blocks, whose events are missing here: see "
                                   "`marginctl verify`");
}

int ctl_export(const struct ctl_options *options, int argc, char **argv) {
    if (argc > 0) {
        return ctl_usage("export takes no argument, but got %s; it writes to stdout", argv[0]);
    }
    struct margin_client *client = ctl_connect(options);
    if (client == NULL) {
        return 1;
    }
    struct buf out;
    buf_init(&out, 256 * MIB);
    struct margin_scan scan = make_scan(options);
    scan.limit = WIRE_SCAN_EVENTS_MAX;
    if (options->csv) {
        write_csv_head(&out);
        fwrite(out.data, 1, out.bytes, stdout);
    }
    struct margin_events events = {.more = true};
    int code = 0;
    while (code == 0 && events.more) {
        if (margin_scan_events(client, &scan, &events) != MARGIN_OK) {
            code = ctl_fail("%s", margin_error_text(client));
            break;
        }
        u64 next = events.next;
        code = write_events(options, &events, &out);
        scan.id_from = next;
    }
    if (fflush(stdout) != 0 && code == 0) {
        code = ctl_fail("writing failed; is the disk full?");
    }
    code = code != 0 ? code : check_damage(client);
    buf_free(&out);
    margin_close(client);
    return code;
}
