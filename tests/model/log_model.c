/*
 * log_model: random groups appended, merged, scanned in both directions, by time and by ids, with
 * random filters, and the store reopened in between, against an oracle that recomputes every event
 * from the seed and its id.
 */
#include "store.h"

#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EVENTS_MAX 150000
#define SERIES 3000
#define CUSTOMERS 900
#define PARTS_MAX 24
#define TIME_BASE ((i64)1700000000000)

static u64 seed;
static u64 state;

static u64 draw(u64 *from) {
    u64 z = *from += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static u64 below(u64 bound) {
    return draw(&state) % bound;
}

#define expect(cond, ...)                                                                          \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "log_model seed=%llu line %d: %s: ", (unsigned long long)seed,         \
                    __LINE__, #cond);                                                              \
            fprintf(stderr, __VA_ARGS__);                                                          \
            fprintf(stderr, "\n");                                                                 \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/* --- the oracle --------------------------------------------------------------------------------
 */

static u8 style_of[EVENTS_MAX + 1]; /* by id: how its group's texts look */
static u32 key_to_series[SERIES];   /* series in order of appearance */
static u32 series_to_key[SERIES];
static u32 series_count;
static u32 dims[SERIES][STORE_DIMS]; /* by series */

struct made {
    u32 present;
    u32 key;
    i64 number[NUM_COUNT];
    u8 small[5];
    u32 digest;
    i64 created;
    char text[TEXT_COUNT][160];
    u32 text_bytes[TEXT_COUNT];
};

static void make_text(struct made *event, u32 text, u8 style, u64 id, u64 *from) {
    char *to = event->text[text];
    u64 a = draw(from);
    u64 b = draw(from);
    int bytes;
    if (text == TEXT_PROPERTIES || text == TEXT_META || text == TEXT_REFS) {
        bytes = snprintf(to, 160, "{\"a\":%llu,\"tier\":\"%s\",\"region\":\"eu-%llu\"}",
                         (unsigned long long)(a % 1000), a % 3 ? "gold" : "silver",
                         (unsigned long long)(b % 4));
    } else if (text == TEXT_COST_UNIT) {
        bytes = snprintf(to, 160, "%s", a % 2 ? "eur" : "credits");
    } else if (text == TEXT_AGENT) {
        bytes = snprintf(to, 160, "agent-%llu", (unsigned long long)(a % 40));
    } else if (text == TEXT_TRACE) {
        bytes = snprintf(to, 160, "%032llx", (unsigned long long)(id / 5) * 0x9e3779b97f4a7c15u);
    } else if (text == TEXT_SPAN || text == TEXT_PARENT) {
        bytes = snprintf(to, 160, style % 2 ? "%016llx" : "span_%llu", (unsigned long long)a);
    } else if (style % 4 == 0 || (style % 4 == 3 && a % 2)) {
        bytes = snprintf(to, 160, "%08x-%04x-4%03x-%04x-%012llx", (u32)a, (u32)(a >> 32) & 0xffff,
                         (u32)(a >> 48) & 0xfff, (u32)b & 0xffff,
                         (unsigned long long)(b >> 16) & 0xffffffffffffu);
    } else if (style % 4 == 1) {
        bytes = snprintf(to, 160, "evt_%010llu", (unsigned long long)id);
    } else {
        bytes = snprintf(to, 160, "k/%llu/%llX", (unsigned long long)id,
                         (unsigned long long)a >> (b % 60));
    }
    event->text_bytes[text] = (u32)bytes;
}

static void make(u64 id, struct made *event) {
    u64 from = seed * 1000003 + id;
    u8 style = style_of[id];
    u64 bits = draw(&from);
    event->present =
        NUM_BIT(NUM_TIME) | NUM_BIT(NUM_COST) | NUM_BIT(NUM_REVENUE) | NUM_BIT(NUM_USAGE);
    u32 sometimes = style & 16 ? (u32)bits : UINT32_MAX;
    u32 optional = style & 8 ? NUM_BIT(NUM_INPUT) | NUM_BIT(NUM_OUTPUT) | NUM_BIT(NUM_DURATION) |
                                   TEXT_BIT(TEXT_KEY)
                             : ~((u32)TEXT_BIT(SERIES_TEXTS) - 1) &
                                   (TEXT_BIT(TEXT_COUNT) - 1 + (NUM_BIT(NUM_COUNT) - NUM_BIT(0)));
    event->present |= optional & sometimes;
    event->key = (u32)(style & 32 ? draw(&from) % SERIES : draw(&from) % 50);
    event->key = style & 4 ? event->key : event->key / 7 * 7 + 1; /* of one account */
    for (u32 i = 0; i < NUM_COUNT; i++) {
        event->number[i] = (i64)(draw(&from) % 5000);
    }
    event->number[NUM_TIME] = TIME_BASE + (i64)id * 40 + (i64)(draw(&from) % 5000);
    if ((style & 3) == 3) { /* many at once */
        event->number[NUM_TIME] -= event->number[NUM_TIME] % 500000;
    }
    event->number[NUM_COST] *= 150000;
    if ((style & 3) != 0) {
        i64 tokens = (event->present & NUM_BIT(NUM_INPUT)) != 0 ? event->number[NUM_INPUT] : 0;
        tokens += (event->present & NUM_BIT(NUM_OUTPUT)) != 0 ? event->number[NUM_OUTPUT] : 0;
        event->number[NUM_USAGE] = tokens * MICRO_PER_UNIT;
        event->number[NUM_USAGE] += (style & 3) == 2 && id % 700 == 0; /* but for a few */
    }
    event->number[NUM_REVENUE] = (i64)(draw(&from) % 7) * 1250000000;
    if (draw(&from) % 100 == 0 && (style & 64)) { /* extremes */
        event->number[NUM_COST] = draw(&from) % 2 ? INT64_MAX : INT64_MIN;
        event->number[NUM_TIME] -= 40000000;
    }
    event->small[0] = (u8)(draw(&from) % COST_SOURCES);
    event->small[1] = (u8)(draw(&from) % REVENUE_SOURCES);
    event->small[2] = (u8)(event->key % EVENT_SOURCES);
    event->small[3] = (u8)(draw(&from) % GRANULARITIES);
    event->small[4] = (u8)(draw(&from) % 8);
    event->digest = (u32)draw(&from);
    event->created = TIME_BASE + (i64)id * 41;
    for (u32 text = SERIES_TEXTS; text < TEXT_COUNT; text++) {
        if ((event->present & TEXT_BIT(text)) != 0) {
            make_text(event, text, style, id, &from);
        }
    }
}

static u32 account_of(u32 key) {
    return key % 7 == 0 ? 2 : 1;
}

static const u32 *series_dims(void *context, u32 series) {
    (void)context;
    expect(series < series_count, "series %u of %u", series, series_count);
    return dims[series];
}

static void define(u32 key) {
    u32 series = series_count++;
    key_to_series[key] = series;
    series_to_key[series] = key;
    for (u32 dim = 0; dim < STORE_DIMS; dim++) {
        dims[series][dim] =
            (key * 2654435761u >> dim) % (dim == DIM_CUSTOMER ? CUSTOMERS : 5u + dim);
    }
    dims[series][DIM_PROVIDER] = key % 3 ? dims[series][DIM_PROVIDER] : DIM_NONE;
    dims[series][DIM_ACCOUNT] = account_of(key);
}

/* --- appending ---------------------------------------------------------------------------------
 */

static struct event_batch *batches[PARTS_MAX];
static char *texts[PARTS_MAX];
#define TEXT_BYTES (EVENT_BATCH_MAX * 1200)

static void fill(struct event_batch *batch, u32 row, const struct made *event) {
    batch->present[row] = event->present | TEXT_BIT(TEXT_CUSTOMER);
    batch->series[row] = key_to_series[event->key];
    batch->digest[row] = event->digest;
    batch->created[row] = event->created;
    batch->cost_source[row] = event->small[0];
    batch->revenue_source[row] = event->small[1];
    batch->source[row] = event->small[2];
    batch->granularity[row] = event->small[3];
    batch->flags[row] = event->small[4];
    for (u32 i = 0; i < NUM_COUNT; i++) {
        batch->number[i][row] = event->number[i];
    }
    for (u32 text = SERIES_TEXTS; text < TEXT_COUNT; text++) {
        if ((event->present & TEXT_BIT(text)) != 0) {
            batch->ref[text][row] = (struct text_ref){batch->text_bytes, event->text_bytes[text]};
            memcpy(batch->text + batch->text_bytes, event->text[text], event->text_bytes[text]);
            batch->text_bytes += event->text_bytes[text];
        }
    }
}

/* A group of up to `most` events; consecutive ids that fall to one account share a part. */
static enum err append(struct store *store, u32 most) {
    static u32 rows[PARTS_MAX][EVENT_BATCH_MAX];
    static struct series_def defs[SERIES];
    static char names[SERIES][32];
    struct store_part parts[PARTS_MAX] = {0};
    struct made event;
    u64 first = store_next_id(store);
    u8 style = (u8)below(128);
    u32 first_def = series_count;
    u32 part = 0;
    u32 step = 1 + (u32)below(2);
    u32 count = 0;
    for (; count < most && first + count < EVENTS_MAX; count++) {
        style_of[first + count] = style;
        make(first + count, &event);
        if (key_to_series[event.key] == UINT32_MAX) {
            define(event.key);
        }
        u32 account = account_of(event.key);
        if (parts[part].row_count > 0 && (batches[part]->account != account ||
                                          (parts[part].row_count + 1) * step >= EVENT_BATCH_MAX)) {
            if (++part == PARTS_MAX) {
                part--;
                break;
            }
        }
        struct event_batch *batch = batches[part];
        if (parts[part].row_count == 0) {
            batch->account = account;
            batch->text_bytes = 0;
            parts[part].batch = batch;
            parts[part].rows = rows[part];
        }
        u32 row = parts[part].row_count * step;
        rows[part][parts[part].row_count++] = row;
        fill(batch, row, &event);
    }
    for (u32 i = first_def; i < series_count; i++) {
        u32 key = series_to_key[i];
        snprintf(names[i], sizeof names[i], "name-%u", key);
        defs[i] = (struct series_def){
            .series = i, .account = account_of(key), .source = (u8)(key % EVENT_SOURCES)};
        for (u32 text = 0; text < SERIES_TEXTS; text++) {
            defs[i].text[text] = (struct slice){names[i], text == 3 ? 0 : strlen(names[i])};
        }
    }
    u32 used = parts[part].row_count > 0 ? part + 1 : part;
    u32 total = 0;
    for (u32 i = 0; i < used; i++) {
        total += parts[i].row_count;
    }
    if (total == 0) {
        return ERR_OK;
    }
    struct store_group group = {parts, used, total, defs + first_def, series_count - first_def};
    enum err err = store_append(store, &group);
    expect(err == ERR_OK || store_next_id(store) == first, "id moved");
    if (err == ERR_OK) {
        expect(store_next_id(store) == first + total, "next id");
    } else {
        while (series_count > first_def) {
            key_to_series[series_to_key[--series_count]] = UINT32_MAX;
        }
    }
    return err;
}

/* --- scanning ----------------------------------------------------------------------------------
 */

static bool matches(u64 id, const struct made *event, const struct store_filter *filter) {
    u32 series = key_to_series[event->key];
    bool good = id >= filter->id_from && id < filter->id_to &&
                event->number[NUM_TIME] >= filter->time_from &&
                event->number[NUM_TIME] < filter->time_to;
    for (u32 dim = 0; dim < STORE_DIMS; dim++) {
        good = good &&
               ((filter->dim_mask >> dim & 1) == 0 || dims[series][dim] == filter->dim_value[dim]);
    }
    const struct slice wanted[] = {filter->trace, filter->agent};
    const u32 columns[] = {TEXT_TRACE, TEXT_AGENT};
    for (u32 i = 0; i < 2; i++) {
        u32 text = columns[i];
        good = good && (wanted[i].bytes == 0 ||
                        ((event->present & TEXT_BIT(text)) != 0 &&
                         event->text_bytes[text] == wanted[i].bytes &&
                         memcmp(event->text[text], wanted[i].data, wanted[i].bytes) == 0));
    }
    return good;
}

static void compare(const struct event_batch *batch, u32 row, u64 id, const struct made *event,
                    u32 columns) {
    u32 wanted = event->present & (columns | NUM_BIT(NUM_TIME));
    expect(batch->id[row] == id, "id %llu, expected %llu", (unsigned long long)batch->id[row],
           (unsigned long long)id);
    expect(batch->present[row] == wanted, "present %x, expected %x", batch->present[row], wanted);
    expect(batch->series[row] == key_to_series[event->key], "series");
    expect(batch->account == account_of(event->key), "account of %llu", (unsigned long long)id);
    expect(batch->digest[row] == event->digest, "digest");
    expect(batch->created[row] == event->created, "created");
    expect(batch->cost_source[row] == event->small[0] &&
               batch->revenue_source[row] == event->small[1] &&
               batch->source[row] == event->small[2] &&
               batch->granularity[row] == event->small[3] && batch->flags[row] == event->small[4],
           "small columns of %llu", (unsigned long long)id);
    for (u32 i = 0; i < NUM_COUNT; i++) {
        if ((wanted & NUM_BIT(i)) != 0) {
            expect(batch->number[i][row] == event->number[i], "number %u of %llu", i,
                   (unsigned long long)id);
        }
    }
    for (u32 text = SERIES_TEXTS; text < TEXT_COUNT; text++) {
        if ((wanted & TEXT_BIT(text)) != 0) {
            struct slice got = event_text_of(batch, row, text);
            expect(got.bytes == event->text_bytes[text] &&
                       memcmp(got.data, event->text[text], got.bytes) == 0,
                   "text %u of %llu: %.*s, expected %s", text, (unsigned long long)id,
                   (int)got.bytes, got.data, event->text[text]);
        }
    }
}

static u32 next_def; /* of a scan with definitions */

static void check_defs(const struct series_def *defs, u32 count) {
    for (u32 i = 0; i < count; i++) {
        char name[32];
        u32 key = series_to_key[defs[i].series];
        int bytes = snprintf(name, sizeof name, "name-%u", key);
        expect(defs[i].series == next_def, "definition %u, expected %u", defs[i].series, next_def);
        expect(defs[i].account == account_of(key) && defs[i].source == key % EVENT_SOURCES,
               "definition %u", defs[i].series);
        for (u32 text = 0; text < SERIES_TEXTS; text++) {
            expect(defs[i].text[text].bytes == (text == 3 ? 0u : (u32)bytes), "text bytes");
            expect(text == 3 || memcmp(defs[i].text[text].data, name, (usize)bytes) == 0, "text");
        }
        next_def++;
    }
}

static void scan(struct store *store, const struct store_scan_options *options, u64 events_max) {
    struct store_scan *scan;
    struct made event;
    u64 next = store_next_id(store);
    expect(store_scan_open(store, options, &scan) == ERR_OK, "open");
    u64 id = options->newest_first ? next : 0;
    u64 found = 0;
    for (bool end = false; !end && found < events_max;) {
        const struct event_batch *batch;
        const struct series_def *defs = NULL;
        u32 def_count;
        enum err err = store_scan_next(scan, &batch, &defs, &def_count, NULL);
        expect(err == ERR_OK, "%s", err_text(err));
        if (options->want_defs) {
            check_defs(defs, def_count);
        }
        end = batch->count == 0;
        for (u32 row = 0; row < batch->count; row++, found++) {
            do { /* the next id that the oracle expects */
                id = options->newest_first ? id - 1 : id + 1;
                expect(id > 0 && id < next, "more rows than expected");
                make(id, &event);
            } while (!matches(id, &event, &options->filter));
            compare(batch, row, id, &event, options->columns);
            expect(!options->want_defs || batch->series[row] < next_def, "series not defined");
        }
        if (below(16) == 0) {
            bool did;
            expect(store_merge(store, &did) == ERR_OK, "merge under a scan");
        }
    }
    while (found < events_max) { /* nothing that matches may be left */
        id = options->newest_first ? id - 1 : id + 1;
        if (id == 0 || id >= next) {
            break;
        }
        make(id, &event);
        expect(!matches(id, &event, &options->filter),
               "missing %llu of %llu, found %llu, newest_first %d ids %llu..%llu times %lld..%lld "
               "dims %x trace %zu agent %zu",
               (unsigned long long)id, (unsigned long long)next, (unsigned long long)found,
               options->newest_first, (unsigned long long)options->filter.id_from,
               (unsigned long long)options->filter.id_to, (long long)options->filter.time_from,
               (long long)options->filter.time_to, options->filter.dim_mask,
               options->filter.trace.bytes, options->filter.agent.bytes);
    }
    store_scan_close(scan);
}

static void scan_all(struct store *store) {
    struct store_scan_options all = {
        .filter = store_filter_all, .columns = UINT32_MAX, .want_defs = true};
    next_def = 0;
    scan(store, &all, UINT64_MAX);
    expect(next_def == series_count, "definitions %u of %u", next_def, series_count);
}

static void scan_random(struct store *store) {
    struct store_scan_options options = {.filter = store_filter_all,
                                         .columns = (u32)below(UINT32_MAX)};
    struct store_filter *filter = &options.filter;
    u64 next = store_next_id(store);
    struct made like;
    u64 like_id = 1 + below(next - 1);
    make(like_id, &like);
    options.newest_first = below(2) == 0;
    if (below(3) == 0) {
        filter->id_from = below(next);
        filter->id_to = below(4) ? filter->id_from + below(20000) : UINT64_MAX;
    }
    if (below(3) == 0) {
        filter->time_from = like.number[NUM_TIME] - (i64)below(100000);
        filter->time_to = filter->time_from + (i64)below(1000000);
    }
    if (below(2) == 0) {
        filter->dim_mask = (u32)(below(1u << STORE_DIMS) & below(1u << STORE_DIMS));
        for (u32 dim = 0; dim < STORE_DIMS; dim++) {
            filter->dim_value[dim] = dims[key_to_series[like.key]][dim];
        }
    }
    if (below(4) == 0 && (like.present & TEXT_BIT(TEXT_TRACE)) != 0) {
        filter->trace = (struct slice){like.text[TEXT_TRACE], like.text_bytes[TEXT_TRACE]};
    }
    if (below(6) == 0 && (like.present & TEXT_BIT(TEXT_AGENT)) != 0) {
        filter->agent = (struct slice){like.text[TEXT_AGENT], like.text_bytes[TEXT_AGENT]};
    }
    scan(store, &options, below(2) ? 500 : 20000);
}

/* --- the first by time, and single ids --------------------------------------------------------
 */

#define WANTED_MAX 300
#define RANGE 1500 /* ids of which the oracle looks at each */

struct found {
    i64 time;
    u64 id;
};

static bool newest; /* what the order of struct found is */

static int compare_found(const void *left, const void *right) {
    const struct found *a = left;
    const struct found *b = right;
    if (a->time != b->time) {
        return (a->time < b->time) == newest ? 1 : -1;
    }
    return (a->id < b->id) - (a->id > b->id);
}

static void merge_sometimes(struct store *store) {
    bool did;
    expect(below(8) > 0 || store_merge(store, &did) == ERR_OK, "merge under a scan");
}

/* The first of all that a scan by time gives, narrowed as soon as there are enough. */
static u32 take_first(struct store *store, const struct store_scan_options *options, u32 wanted,
                      struct found *found, u64 *given) {
    static struct found all[WANTED_MAX + EVENT_BATCH_MAX];
    struct store_scan *scan;
    const struct event_batch *batch;
    u32 count = 0;
    *given = 0;
    expect(store_scan_open(store, options, &scan) == ERR_OK, "open");
    while (store_scan_next(scan, &batch, NULL, NULL, NULL) == ERR_OK && batch->count > 0) {
        *given += batch->count;
        for (u32 row = 0; row < batch->count; row++) {
            all[count++] = (struct found){batch->number[NUM_TIME][row], batch->id[row]};
        }
        qsort(all, count, sizeof *all, compare_found);
        count = MIN(count, wanted);
        if (count == wanted) {
            store_scan_narrow(scan, all[count - 1].time, all[count - 1].id);
        }
        merge_sometimes(store);
    }
    store_scan_close(scan);
    memcpy(found, all, count * sizeof *all);
    return count;
}

static void scan_first(struct store *store) {
    static struct found expected[EVENTS_MAX];
    static struct found got[WANTED_MAX];
    struct store_scan_options options = {
        .filter = store_filter_all, .newest_first = below(2) == 0, .by_time = true};
    struct store_filter *filter = &options.filter;
    struct made event;
    u64 next = store_next_id(store);
    u64 given;
    u32 count = 0;
    u32 wanted = 1 + (u32)below(WANTED_MAX);
    newest = options.newest_first;
    filter->id_from = below(next);
    filter->id_to = filter->id_from + RANGE;
    make(1 + below(next - 1), &event);
    if (below(2) == 0) {
        filter->dim_mask = 1u << below(STORE_DIMS);
        for (u32 dim = 0; dim < STORE_DIMS; dim++) {
            filter->dim_value[dim] = dims[key_to_series[event.key]][dim];
        }
    }
    options.bare = (filter->dim_mask >> DIM_ACCOUNT & 1) != 0;
    if (below(3) == 0) {
        filter->time_to = event.number[NUM_TIME];
    }
    for (u64 id = MAX(filter->id_from, (u64)1); id < MIN(filter->id_to, next); id++) {
        make(id, &event);
        if (matches(id, &event, filter)) {
            expected[count++] = (struct found){event.number[NUM_TIME], id};
        }
    }
    qsort(expected, count, sizeof *expected, compare_found);
    count = MIN(count, wanted);
    expect(take_first(store, &options, wanted, got, &given) == count, "by time: how many");
    for (u32 i = 0; i < count; i++) {
        expect(got[i].id == expected[i].id, "by time: %u of %u is %llu, expected %llu", i, count,
               (unsigned long long)got[i].id, (unsigned long long)expected[i].id);
    }
}

/* A page out of everything must not cost a look at everything. */
static void scan_little(struct store *store) {
    static struct found got[WANTED_MAX];
    for (u32 way = 0; way < 2; way++) {
        newest = way == 0;
        struct store_scan_options options = {
            .filter = store_filter_all, .newest_first = newest, .by_time = true};
        u64 given;
        expect(take_first(store, &options, 50, got, &given) == 50, "by time: how many");
        expect(given <= store_next_id(store) / 4, "by time: %llu events seen for 50",
               (unsigned long long)given);
    }
}

static void scan_ids(struct store *store) {
    u64 ids[WANTED_MAX];
    u32 count = 0;
    u64 step = 1 + below(2 * FRAME_ROWS_MAX);
    u64 next = store_next_id(store);
    for (u64 id = 1 + below(next); count < WANTED_MAX && id < next + 3; id += 1 + below(step)) {
        ids[count++] = id;
    }
    struct store_scan_options options = {
        .filter = store_filter_all, .columns = UINT32_MAX, .ids = ids, .id_count = count};
    struct store_filter *filter = &options.filter;
    struct made event;
    if (below(2) == 0) {
        make(1 + below(next - 1), &event);
        filter->dim_mask = 1u << DIM_ACCOUNT;
        filter->dim_value[DIM_ACCOUNT] = account_of(event.key);
        filter->id_from = below(next);
    }
    struct store_scan *scan;
    const struct event_batch *batch;
    u32 at = 0;
    expect(store_scan_open(store, &options, &scan) == ERR_OK, "open");
    do {
        expect(store_scan_next(scan, &batch, NULL, NULL, NULL) == ERR_OK, "ids");
        for (u32 row = 0; row < batch->count; row++, at++) {
            while (at < count && ids[at] < next &&
                   (make(ids[at], &event), !matches(ids[at], &event, filter))) {
                at++;
            }
            expect(at < count && ids[at] < next, "ids: more rows than expected");
            compare(batch, row, ids[at], &event, UINT32_MAX);
        }
        merge_sometimes(store);
    } while (batch->count > 0);
    for (; at < count && ids[at] < next; at++) {
        make(ids[at], &event);
        expect(!matches(ids[at], &event, filter), "ids: %llu is missing",
               (unsigned long long)ids[at]);
    }
    store_scan_close(scan);
}

/* --- the run -----------------------------------------------------------------------------------
 */

static char dir[] = "/tmp/log_model.XXXXXX";

static struct store *open_store(usize map_bytes) {
    struct store_options options = {
        .dir = dir, .log_map_bytes = map_bytes, .skip_sync = true, .series_dims = series_dims};
    struct store *store;
    char why[256];
    enum err err = store_open(&options, &store, why, sizeof why);
    expect(err == ERR_OK, "%s", why);
    return store;
}

static void report(void *context, const struct store_damage *damage) {
    (void)context;
    expect(false, "damage %llu..%llu %s", (unsigned long long)damage->id_from,
           (unsigned long long)damage->id_to, damage->what);
}

static u32 group_size(void) {
    switch (below(5)) {
    case 4: /* about frames that are, or are just not, taken over as they are */
        return FRAME_ROWS_MAX / 4 * (1 + (u32)below(16)) - 1 + (u32)below(3);
    case 0:
        return 1 + (u32)below(3);
    case 1:
        return 1 + (u32)below(200);
    case 2:
        return 1 + (u32)below(5000);
    default:
        return 1 + (u32)below(20000);
    }
}

static void run(struct store *store) {
    for (u32 round = 0; store_next_id(store) < EVENTS_MAX - 1; round++) {
        expect(append(store, round == 5 ? 1 : group_size()) == ERR_OK, "append");
        for (u32 i = 0; round == 20 && i < 400; i++) {
            expect(append(store, 1) == ERR_OK, "append");
        }
        if (below(3) == 0) {
            bool did;
            expect(store_merge(store, &did) == ERR_OK, "merge");
        }
        if (below(3) == 0) {
            store_trim(store);
        }
        if (below(2) == 0) {
            scan_random(store);
            scan_first(store);
            scan_ids(store);
        }
        if (below(40) == 0) {
            store_close(store);
            store = open_store(1 * GIB);
        }
        if (round % 50 == 0) {
            scan_all(store);
        }
    }
    for (bool did = true; did;) {
        expect(store_merge(store, &did) == ERR_OK, "merge");
    }
    scan_all(store);
    for (u32 i = 0; i < 60; i++) {
        scan_random(store);
        scan_first(store);
        scan_ids(store);
    }
    scan_little(store);
    struct store_stats stats;
    store_get_stats(store, &stats);
    expect(stats.segments > 0 && stats.damaged_blocks == 0, "segments");
    expect(store_verify(store, report, NULL, NULL) == ERR_OK, "verify");
    printf("events %llu blocks %llu segments %llu bytes %llu\n", (unsigned long long)stats.events,
           (unsigned long long)stats.blocks, (unsigned long long)stats.segments,
           (unsigned long long)stats.log_bytes);
    store_close(store);
}

/* A map that fills up: nothing is lost, reads go on, and a larger map resumes. */
static struct store *run_full(void) {
    struct store *store = open_store(1 * MIB);
    enum err err = ERR_OK;
    while (err == ERR_OK) {
        err = append(store, 1 + (u32)below(300));
    }
    expect(err == ERR_NO_SPACE, "%s", err_text(err));
    scan_all(store);
    do {
        err = append(store, 3000);
    } while (err == ERR_OK);
    expect(err == ERR_NO_SPACE, "%s", err_text(err));
    store_close(store);
    store = open_store(1 * GIB);
    scan_all(store);
    return store;
}

int main(int argc, char **argv) {
    seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    state = seed;
    expect(mkdtemp(dir) != NULL, "mkdtemp");
    memset(key_to_series, 0xff, sizeof key_to_series);
    for (u32 i = 0; i < PARTS_MAX; i++) {
        batches[i] = calloc(1, sizeof *batches[i]);
        texts[i] = malloc(TEXT_BYTES);
        expect(batches[i] != NULL && texts[i] != NULL, "memory");
        batches[i]->text = texts[i];
    }
    run(run_full());
    for (u32 i = 0; i < PARTS_MAX; i++) {
        free(batches[i]);
        free(texts[i]);
    }
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    expect(system(command) == 0, "rm");
    return 0;
}
