/*
 * damage_model.c: what becomes of a data directory whose disk has forgotten something. A small one,
 * with merged and single blocks, indexes, amendments, definitions, control rows, snapshots, runs of
 * keys and a tail behind them, is changed in its files: bits, bytes, sectors of zeros, of noise or
 * from elsewhere, an end that is missing. Then a start must either refuse, and say why, or have
 * exactly the events and figures that were there, but for those that it reports as damaged; and
 * whoever verifies the directory must find what was done, unless it is in nothing that anybody
 * reads.
 *
 * Each case is a process of its own: one that ends by a signal or does not end has failed.
 */
#include "tests/support/damage.h"
#include "tests/support/engine.h"
#include "tests/support/require.h"

#include "account/keys.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "storage/log.h"
#include "storage/verify.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#if defined(__SANITIZE_ADDRESS__)
#define CASES 60
#else
#define CASES 300
#endif
#define CASE_SECONDS 60
#define LIFE_GOES_ON 16 /* one in so many cases takes further events and merges them */
#define ACCOUNTS 3
#define CUSTOMERS 12
#define EVENTS_MAX 8192
#define GROUP_EVENTS 30
#define RANGES_MAX 256
#define KEY_MEMORY (16 * KIB) /* 256 keys, then they leave it */

/* As recovery reads them: damage elsewhere does not touch the figures. */
#define REPLAYED                                                                                   \
    (NUM_BIT(NUM_TIME) | NUM_BIT(NUM_COST) | NUM_BIT(NUM_REVENUE) | NUM_BIT(NUM_USAGE) |           \
     NUM_BIT(NUM_INPUT) | NUM_BIT(NUM_OUTPUT) | NUM_BIT(NUM_CACHED) | NUM_BIT(NUM_CACHE_WRITE) |   \
     NUM_BIT(NUM_DURATION) | TEXT_BIT(TEXT_KEY) | TEXT_BIT(TEXT_AGENT) | TEXT_BIT(TEXT_TRACE))

enum outcome { EXACT = 0, FAILED = 1, REFUSED = 40, HOLES, UNSEEN, OUTCOMES };

struct fact { /* an event, by its id */
    u64 hash;
    i64 cost;
    i64 revenue;
    u8 account; /* 0: there is none */
    u8 customer;
};

struct range {
    u64 from;
    u64 to;
};

/* What is in a directory. */
struct content {
    struct fact fact[EVENTS_MAX];
    struct range range[RANGES_MAX]; /* reported as damaged */
    u32 range_count;
    bool keys_good;
};

struct opened {
    struct store *store;
    struct recovered recovered;
    _Atomic(struct agg *) agg;
    _Atomic bool stop;
};

static struct engine engine;
static struct content reference;
static u32 reference_end; /* the first id that it has not */
static u64 reference_control;
static u64 reference_log;

/* --- a directory ------------------------------------------------------------------------------ */

static void run(const char *command) {
    char all[512];
    snprintf(all, sizeof all, "cd %s && %s", engine.dir, command);
    require(system(all) == 0);
}

static void ingest(u32 account, u32 first, u32 count) {
    static char body[256 * KIB];
    struct ingest result;
    struct decode_error error = {0};
    usize used = (usize)snprintf(body, sizeof body, "{\"events\":[");
    for (u32 i = first; i < first + count; i++) {
        used += (usize)snprintf(
            body + used, sizeof body - used,
            "%s{\"eventName\":\"call\",\"customerReferenceId\":\"c%u\",\"featureKey\":\"f%u\","
            "\"model\":\"gpt-4o-mini\",\"inputTokens\":%u,\"outputTokens\":3,\"traceId\":\"t%u\","
            "\"agentId\":\"a%u\",\"idempotencyKey\":\"key %u\",\"costAmount\":%u.%06u,"
            "\"revenueAmount\":%u,\"properties\":{\"n\":\"%llx\"}}",
            i > first ? "," : "", (u32)damage_chance(CUSTOMERS), i % 7, i, i / 4, i % 5, i, i % 13,
            (u32)damage_chance(1000000), (u32)damage_chance(90),
            (unsigned long long)damage_chance(1u << 30));
    }
    snprintf(body + used, sizeof body - used, "]}");
    require(engine_ingest(&engine, account, body, &result, &error) == ERR_OK);
    require(result.err == ERR_OK && result.accepted == count);
    ingest_free(&result);
}

static void ingest_groups(u32 *next, u32 groups) {
    for (u32 i = 0; i < groups; i++) {
        u32 count = GROUP_EVENTS - (u32)damage_chance(GROUP_EVENTS / 2);
        ingest(1 + (i & 1), *next, count);
        *next += count;
    }
}

static void wait_for_segments(u64 count) {
    struct store_stats stats = {0};
    for (u32 i = 0; i < 1000 && stats.segments < count; i++) {
        usleep(10000);
        store_get_stats(engine.store, &stats);
    }
    require(stats.segments >= count);
}

static void clear(u32 account) {
    struct amend_request request = {.account = account, .kind = STORE_CLEAR, .source = DIM_NONE};
    require(pipeline_amend(engine.pipeline, &request) == ERR_OK);
    require(request.removed > 0);
}

/* Some events earn something else, by an amendment that the figures learn at the next start. */
static void change_revenue(void) {
    char why[256];
    struct store_revenue revenues[8];
    struct store *store;
    for (u32 i = 0; i < ARRAY_COUNT(revenues); i++) {
        revenues[i] = (struct store_revenue){
            .id = 3 + 40 * i, .revenue = 7000 + i, .source = REVENUE_FEATURE_PRICING};
    }
    const struct store_options options = {.dir = engine.dir, .log_map_bytes = GIB};
    const struct store_amendment amendment = {.kind = STORE_REVENUE,
                                              .account = 1,
                                              .made_ms = 1,
                                              .revenues = revenues,
                                              .revenue_count = ARRAY_COUNT(revenues)};
    require(store_open(&options, &store, why, sizeof why) == ERR_OK);
    require(store_amend(store, &amendment, NULL) == ERR_OK);
    store_show(store);
    store_close(store);
}

static void make_control(void) {
    char why[256];
    char text[KEY_TEXT_BYTES + 1];
    struct control *control;
    struct accounts *accounts;
    require(control_open(engine.dir, true, &control, why, sizeof why) == ERR_OK);
    require(accounts_open(control, &accounts) == ERR_OK);
    for (u32 i = 0; i < 20; i++) {
        struct key_info info;
        const struct key_request request = {.scopes = SCOPE_ALL};
        require(keys_create(accounts, ACCOUNT_DEFAULT, &request, 1, text, &info) == ERR_OK);
    }
    for (u32 i = 0; i < 200; i++) {
        char name[32];
        char value[4000];
        memset(value, (int)('a' + i % 26), sizeof value);
        const struct control_object object = {
            .account = 1 + i % 3,
            .kind = CONTROL_FEATURE,
            .number = i,
            .name = {name, (usize)snprintf(name, sizeof name, "object %u", i)}};
        usize bytes = i % 20 == 0 ? sizeof value : 10 + i;
        require(control_put(control, &object, (struct slice){value, bytes}) == ERR_OK);
    }
    accounts_close(accounts);
    control_close(control);
}

/* In a process of its own, for it has threads. */
static void make_directory(void) {
    u32 next = 0;
    engine.snapshot_events = 500;
    engine.key_memory = KEY_MEMORY;
    engine_start(&engine);
    ingest_groups(&next, 40);
    wait_for_segments(1);
    clear(2);
    engine_stop(&engine);
    change_revenue();
    engine_start(&engine);
    ingest_groups(&next, 40);
    wait_for_segments(2);
    engine_stop(&engine);
    run("rm -rf kept && mkdir kept && cp -r snapshots keys kept");
    engine_start(&engine);
    ingest_groups(&next, 4);
    engine_stop(&engine);
    run("rm -rf snapshots keys && mv kept/* . && rmdir kept");
    make_control();
    require(next < EVENTS_MAX);
}

/* --- looking ---------------------------------------------------------------------------------- */

static const u32 *dims_of(void *context, u32 series) {
    struct opened *opened = context;
    return agg_series_dims(atomic_load(&opened->agg), series);
}

/* As a server does, without its threads. The control tables first: they are the smaller ones. */
static enum err open_directory(const char *dir, struct opened *out, char *why, usize why_bytes) {
    struct control *control;
    *out = (struct opened){.store = NULL};
    enum err err = control_open(dir, false, &control, why, why_bytes);
    if (err != ERR_OK) {
        return err;
    }
    control_close(control);
    const struct store_options store_options = {
        .dir = dir, .log_map_bytes = GIB, .series_dims = dims_of, .context = out};
    err = store_open(&store_options, &out->store, why, why_bytes);
    if (err != ERR_OK) {
        return err;
    }
    const struct recover_options options = {.store = out->store,
                                            .keys = {dir, KEY_MEMORY},
                                            .series_seed = 2,
                                            .dedup_seed = 1,
                                            .now_ms = clock_wall_ms(),
                                            .stop = &out->stop,
                                            .agg_place = &out->agg};
    err = recover_run(&options, &out->recovered);
    if (err != ERR_OK) {
        snprintf(why, why_bytes, "cannot rebuild the figures: %s", err_text(err));
        store_close(out->store);
    }
    return err;
}

static void close_directory(struct opened *opened) {
    store_close(opened->store);
    atomic_store(&opened->agg, NULL);
    recover_free(&opened->recovered);
}

/* All that an event says. */
static u64 hash_row(const struct event_batch *batch, u32 row) {
    u64 facts[] = {batch->id[row],
                   batch->series[row],
                   (u64)batch->created[row],
                   batch->present[row],
                   batch->digest[row],
                   batch->cost_source[row],
                   batch->revenue_source[row],
                   batch->source[row],
                   batch->granularity[row],
                   batch->flags[row]};
    u64 hash = hash64(facts, sizeof facts, 0);
    for (u32 number = 0; number < NUM_COUNT; number++) {
        if (event_has_number(batch, row, (enum event_number)number)) {
            hash = hash64(&batch->number[number][row], sizeof(i64), hash + number);
        }
    }
    for (u32 text = SERIES_TEXTS; text < TEXT_COUNT; text++) {
        struct slice slice = event_text_of(batch, row, (enum event_text)text);
        hash = slice.bytes > 0 ? hash64(slice.data, slice.bytes, hash + text) : hash;
    }
    return hash;
}

static struct fact fact_of(const struct opened *opened, const struct event_batch *batch, u32 row) {
    const u32 *dims = agg_series_dims(opened->recovered.agg, batch->series[row]);
    struct slice name = agg_value_text(opened->recovered.agg, DIM_CUSTOMER, dims[DIM_CUSTOMER]);
    char text[16] = "";
    memcpy(text, name.data, MIN(name.bytes, sizeof text - 1));
    return (struct fact){.hash = hash_row(batch, row),
                         .cost = batch->number[NUM_COST][row],
                         .revenue = batch->number[NUM_REVENUE][row],
                         .account = (u8)dims[DIM_ACCOUNT],
                         .customer = (u8)strtoul(text + 1, NULL, 10)};
}

/* Each key is known: none of these events could come a second time. False: a run is damaged where
 * only a look at a key finds it. */
static bool check_keys(struct opened *opened, struct event_batch *batch) {
    u8 verdict[EVENT_BATCH_MAX];
    for (u32 i = 0; i < batch->count; i++) {
        batch->account = agg_series_dims(opened->recovered.agg, batch->series[i])[DIM_ACCOUNT];
        u32 epoch = store_key_epoch(opened->store, batch->account);
        dedup_hash_keys(batch, i, 1, dedup_epoch_seed(1, epoch));
        enum err err = dedup_claim(opened->recovered.dedup, batch, i, 1, verdict);
        if (err == ERR_CORRUPT) {
            return false;
        }
        require(err == ERR_OK && verdict[0] == DEDUP_DUPLICATE);
    }
    return true;
}

static void read_content(struct opened *opened, u32 columns, bool keys, struct content *out) {
    const struct store_scan_options options = {.filter = store_filter_all, .columns = columns};
    struct store_scan *scan;
    const struct event_batch *batch = NULL;
    struct store_damage found;
    memset(out, 0, sizeof *out);
    out->keys_good = true;
    require(store_scan_open(opened->store, &options, &scan) == ERR_OK);
    for (;;) {
        enum err err = store_scan_next(scan, &batch, NULL, NULL, &found);
        if (err == ERR_CORRUPT) {
            require(out->range_count < RANGES_MAX && found.id_to > found.id_from);
            out->range[out->range_count++] = (struct range){found.id_from, found.id_to};
            continue;
        }
        require(err == ERR_OK);
        if (batch->count == 0) {
            break;
        }
        for (u32 i = 0; i < batch->count; i++) {
            require(batch->id[i] < EVENTS_MAX && out->fact[batch->id[i]].account == 0);
            out->fact[batch->id[i]] = fact_of(opened, batch, i);
        }
        if (keys) {
            out->keys_good = out->keys_good && check_keys(opened, (struct event_batch *)batch);
        }
    }
    store_scan_close(scan);
}

static bool is_damaged(const struct content *content, u64 id) {
    for (u32 i = 0; i < content->range_count; i++) {
        if (id >= content->range[i].from && id < content->range[i].to) {
            return true;
        }
    }
    return false;
}

/* Every event before `end` is what it was, or reported. */
static void compare_events(const struct content *content, u32 end) {
    for (u32 id = 1; id < end; id++) {
        const struct fact *was = &reference.fact[id];
        const struct fact *is = &content->fact[id];
        if (was->account == 0) {
            require(is->account == 0);
        } else if (is->account == 0) {
            require(is_damaged(content, id));
        } else {
            require(is->hash == was->hash && is->account == was->account &&
                    is->customer == was->customer);
        }
    }
}

struct expected {
    u64 events;
    i128 cost;
    i128 revenue;
};

/* The figures are the sums over all events but those that were reported when they were replayed. */
static void compare_figures(struct opened *opened, const struct content *replayed) {
    static struct expected sums[ACCOUNTS][CUSTOMERS];
    memset(sums, 0, sizeof sums);
    for (u32 id = 1; id < EVENTS_MAX; id++) {
        const struct fact *fact = &reference.fact[id];
        bool lost = is_damaged(replayed, id) && id >= opened->recovered.snapshot_id;
        if (fact->account != 0 && !lost) {
            struct expected *sum = &sums[fact->account][fact->customer];
            sum->events++;
            sum->cost += fact->cost;
            sum->revenue += fact->revenue;
        }
    }
    for (u32 account = 1; account < ACCOUNTS; account++) {
        const struct query query = {.account = account,
                                    .group = {DIM_CUSTOMER},
                                    .group_count = 1,
                                    .from = INT64_MIN,
                                    .to = INT64_MAX,
                                    .order = ORDER_KEY,
                                    .limit = 1000};
        struct query_result result = {0};
        const char *why = "";
        struct agg *agg = opened->recovered.agg;
        require(query_run(agg, NULL, &query, &result, &why) == ERR_OK);
        for (u32 i = 0; i < result.row_count; i++) {
            struct slice name = agg_value_text(agg, DIM_CUSTOMER, result.rows[i].value[0]);
            char text[16] = "";
            memcpy(text, name.data, MIN(name.bytes, sizeof text - 1));
            struct expected *sum = &sums[account][strtoul(text + 1, NULL, 10) % CUSTOMERS];
            const struct figures *figures = &result.rows[i].figures;
            require(sum->events == figures->events && sum->cost == figures->cost &&
                    sum->revenue == figures->revenue);
            sum->events = 0;
        }
        query_result_free(&result);
        for (u32 customer = 0; customer < CUSTOMERS; customer++) {
            require(sums[account][customer].events == 0);
        }
    }
}

/* --- verifying -------------------------------------------------------------------------------- */

static void count_damage(void *context, const struct store_damage *found) {
    (void)found;
    ++*(u32 *)context;
}

static void count_line(void *context, const char *line) {
    require(line[0] != '\0');
    ++*(u32 *)context;
}

/* As `inspect DIR verify` does; how much it finds. */
static u32 verify(const char *dir) {
    u32 found = 0;
    char why[512] = "";
    struct log *log;
    const struct log_options options = {.dir = dir, .map_bytes = GIB, .read_only = true};
    enum err err = db_dir_prepare(dir, false, why, sizeof why);
    if (err == ERR_OK) {
        verify_beside(dir, count_line, &found);
        err = log_open(&options, &log, why, sizeof why);
    }
    if (err != ERR_OK) {
        require(why[0] != '\0');
        return found + 1;
    }
    require(verify_log(log, count_damage, NULL, &found) == ERR_OK);
    log_close(log);
    return found;
}

struct hashing {
    u64 hash;
    const char *map; /* where the file is in memory; NULL: no matter */
    u32 which;
    u32 table;
};

static bool hash_pair(void *context, struct slice key, struct slice value) {
    struct hashing *hashing = context;
    hashing->hash = hash64(value.data, value.bytes, hash64(key.data, key.bytes, hashing->hash));
    if (hashing->map != NULL) {
        damage_note_live(hashing->which, hashing->table, hashing->map, key, true);
        damage_note_live(hashing->which, hashing->table, hashing->map, value, false);
    }
    return true;
}

static const char *find_map(const char *name) {
    char line[1024];
    unsigned long at = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    require(maps != NULL);
    while (at == 0 && fgets(line, sizeof line, maps) != NULL) {
        at = strstr(line, name) != NULL ? strtoul(line, NULL, 16) : 0;
    }
    fclose(maps);
    require(at != 0);
    return (const char *)at;
}

/* Over all pairs of a database's tables; 0: they cannot be read. */
static u64 hash_database(const char *dir, u32 which, bool note) {
    static const char *const names[] = {"log", "control"};
    static const char *const tables[2][4] = {{"blocks", "index", "definitions", "amendments"},
                                             {"meta", "objects"}};
    const struct db_options options = {.dir = dir,
                                       .name = names[which],
                                       .map_bytes = GIB,
                                       .tables = tables[which],
                                       .table_count = which == 0 ? 4 : 2,
                                       .read_only = true,
                                       .any_order = true};
    char why[512];
    char path[64];
    struct db *db;
    struct db_txn txn;
    struct hashing hashing = {.hash = 1, .which = which};
    if (db_open(&options, &db, why, sizeof why) != ERR_OK) {
        return 0;
    }
    snprintf(path, sizeof path, "/%s/data.mdb", names[which]);
    hashing.map = note ? find_map(path) : NULL;
    enum err err = db_begin(db, false, &txn);
    for (; hashing.table < options.table_count && err == ERR_OK; hashing.table++) {
        err = db_each(&txn, hashing.table, (struct slice){NULL, 0}, hash_pair, &hashing);
    }
    db_abort(&txn);
    db_close(db);
    return err == ERR_OK ? hashing.hash : 0;
}

/* Whether anything that is read has changed: databases have old pages and gaps in their files. */
static bool is_changed(const char *dir, const char *did) {
    return strncmp(did, "log/", 4) == 0       ? hash_database(dir, 0, false) != reference_log
           : strncmp(did, "control/", 8) == 0 ? hash_database(dir, 1, false) != reference_control
                                              : strcmp(did, "nothing") != 0;
}

/* --- a case ----------------------------------------------------------------------------------- */

/* The server goes on from here: events, merges, a snapshot, and another start. */
static void go_on(void) {
    u32 next = 100000;
    engine.snapshot_events = 100;
    engine_start(&engine);
    u64 before = engine_totals(&engine, 1).events;
    ingest_groups(&next, 10);
    usleep(150000);
    u64 after = engine_totals(&engine, 1).events;
    require(after > before);
    engine_stop(&engine);
    engine_start(&engine);
    require(engine_totals(&engine, 1).events == after);
    engine_stop(&engine);
}

static enum outcome run_case(const char *did, bool goes_on) {
    static struct content content;
    static struct opened opened;
    char why[512] = "";
    damage_put(engine.dir);
    bool changed = is_changed(engine.dir, did);
    u32 found = verify(engine.dir);
    bool format = strncmp(did, "FORMAT", 6) == 0;
    if (open_directory(engine.dir, &opened, why, sizeof why) != ERR_OK) {
        require(why[0] != '\0');
        require(found > 0 || !changed);
        return REFUSED;
    }
    require(found > 0 || !changed || format);
    read_content(&opened, REPLAYED, false, &content);
    compare_figures(&opened, &content);
    read_content(&opened, UINT32_MAX, true, &content);
    compare_events(&content, EVENTS_MAX);
    bool holes = content.range_count > 0;
    close_directory(&opened);
    if (!content.keys_good) { /* the server stops, and its next start makes the set anew */
        require(found > 0 && open_directory(engine.dir, &opened, why, sizeof why) == ERR_OK);
        read_content(&opened, UINT32_MAX, true, &content);
        require(content.keys_good);
        close_directory(&opened);
    }
    if (goes_on) { /* what was merged meanwhile is what it was, too */
        go_on();
        require(open_directory(engine.dir, &opened, why, sizeof why) == ERR_OK);
        read_content(&opened, UINT32_MAX, false, &content);
        compare_events(&content, reference_end);
        require(!holes || content.range_count > 0);
        close_directory(&opened);
    }
    return holes ? HOLES : changed ? EXACT : UNSEEN;
}

static enum outcome run_apart(const char *did, bool goes_on) {
    fflush(stdout);
    pid_t child = fork();
    require(child >= 0);
    if (child == 0) {
        alarm(CASE_SECONDS);
        log_set_level(LOG_ERROR);
        if (getenv("DAMAGE_SAY") == NULL) {
            int null = open("/dev/null", O_WRONLY);
            dup2(null, STDERR_FILENO);
        }
        _exit((int)run_case(did, goes_on));
    }
    int status;
    require(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) && (WEXITSTATUS(status) == EXACT || WEXITSTATUS(status) >= REFUSED)
               ? (enum outcome)WEXITSTATUS(status)
               : FAILED;
}

static void make_reference(void) {
    static struct opened opened;
    char why[512] = "";
    pid_t child = fork();
    if (child == 0) {
        make_directory();
        _exit(0);
    }
    int status;
    require(waitpid(child, &status, 0) == child && status == 0);
    damage_take(engine.dir);
    damage_put(engine.dir);
    require(verify(engine.dir) == 0);
    require(open_directory(engine.dir, &opened, why, sizeof why) == ERR_OK);
    require(opened.recovered.snapshot_id > 1 && opened.recovered.events > 0);
    require(!opened.recovered.keys_lost);
    reference_end = (u32)store_next_id(opened.store);
    read_content(&opened, UINT32_MAX, true, &reference);
    require(reference.keys_good);
    compare_figures(&opened, &reference);
    close_directory(&opened);
    reference_log = hash_database(engine.dir, 0, true);
    reference_control = hash_database(engine.dir, 1, true);
    require(reference_log != 0 && reference_control != 0 && reference.range_count == 0);
}

/* Hundreds of syncs that nobody needs. */
static void use_memory(void) {
    if (access("/dev/shm", W_OK) == 0) {
        rmdir(engine.dir);
        snprintf(engine.dir, sizeof engine.dir, "/dev/shm/margind-damage-XXXXXX");
        require(mkdtemp(engine.dir) != NULL);
    }
}

int main(int argc, char **argv) {
    u32 count[OUTCOMES] = {0};
    u32 cases = argc > 2 ? (u32)strtoul(argv[2], NULL, 10) : CASES;
    u32 first = argc > 3 ? (u32)strtoul(argv[3], NULL, 10) : 0;
    seed_used = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    log_set_level(LOG_ERROR);
    engine_init(&engine);
    use_memory();
    damage_seed(seed_used);
    make_reference();
    for (u32 i = first; i < cases; i++) {
        char did[160];
        damage_seed(seed_used * 1000003 + i);
        bool changed = damage_make(did, sizeof did);
        bool goes_on = changed && damage_chance(LIFE_GOES_ON) == 0;
        enum outcome outcome = run_apart(did, goes_on);
        count[outcome]++;
        if (outcome == FAILED) {
            printf("damage_model: %s: FAILED; DAMAGE_SAY=1 damage_model %llu %u %u\n", did,
                   (unsigned long long)seed_used, i + 1, i);
        }
    }
    if (first == 0) {
        run("rm -rf log control snapshots lock keys FORMAT");
        rmdir(engine.dir);
    } else {
        printf("%s is as the last case found it\n", engine.dir);
        damage_put(engine.dir);
    }
    printf("damage_model: %u cases: %u refused, %u with holes that are named, %u exact, %u in what "
           "nobody reads, %u failed (seed %llu)\n",
           cases - first, count[REFUSED], count[HOLES], count[EXACT], count[UNSEEN], count[FAILED],
           (unsigned long long)seed_used);
    return count[FAILED] > 0 ? 1 : 0;
}
