/*
 * ctl_verify.c: `verify`: reads the whole log of a data directory again, beside a running server if
 * need be. Checks checksums, the chain of blocks and the order of ids; that no idempotency key is
 * stored twice; that figures rebuilt with the engine's own code agree with plain sums; and, with
 * --server, that the server's figures agree with the rebuilt ones, cell by cell.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "dedup/dedup.h"
#include "query/query.h"
#include "tools/marginctl/ctl.h"

#define ACCOUNTS_CHECKED 4096
#define DIFFERENCES_MAX 20 /* printed; all are counted */
#define PAGE_ROWS 10000

struct sums {
    u64 events;
    i128 cost;
    i128 revenue;
};

struct verification {
    struct store *store;
    struct agg *agg;
    struct dedup *dedup;
    bool on_terminal;
    u64 faults;
    u64 beside; /* of them, such that are not in the log */
    u64 events;
    u64 cells;
    struct sums sums[ACCOUNTS_CHECKED];
};

static void fault(struct verification *verification, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void fault(struct verification *verification, const char *format, ...) {
    if (verification->faults++ >= DIFFERENCES_MAX) {
        return;
    }
    va_list args;
    va_start(args, format);
    fputs("fault: ", stdout);
    vprintf(format, args);
    putchar('\n');
    va_end(args);
}

static const u32 *series_dims(void *context, u32 series) {
    const struct verification *verification = context;
    return agg_series_dims(verification->agg, series);
}

/* --- the log ---------------------------------------------------------------------------------- */

static void report_damage(void *context, const struct store_damage *damage) {
    fault(context, "events %llu to %llu: %s", (unsigned long long)damage->id_from,
          (unsigned long long)(damage->id_to - 1), damage->what);
}

static void report_beside(void *context, const char *what) {
    struct verification *verification = context;
    verification->beside++;
    fault(verification, "%s", what);
}

static void show(void *context, u64 done, u64 total) {
    const struct verification *verification = context;
    if (verification->on_terminal && total > 0) {
        fprintf(stderr, "\r\033[Kchecksums %llu%%", (unsigned long long)(done * 100 / total));
    }
}

static void add_sums(struct verification *verification, const struct event_batch *batch, u32 row,
                     u32 account) {
    if (account >= ACCOUNTS_CHECKED) {
        return;
    }
    struct sums *sums = &verification->sums[account];
    bool foreign = (batch->flags[row] & EVENT_FLAG_FOREIGN_UNIT) != 0;
    sums->events++;
    if (!foreign && event_has_number(batch, row, NUM_COST)) {
        sums->cost += batch->number[NUM_COST][row];
    }
    if (event_has_number(batch, row, NUM_REVENUE)) {
        sums->revenue += batch->number[NUM_REVENUE][row];
    }
}

/* Runs of events of one account, because keys belong to accounts. */
static enum err claim_keys(struct verification *verification, struct event_batch *batch, u32 first,
                           u32 count) {
    u8 verdict[EVENT_BATCH_MAX];
    dedup_hash_keys(batch, first, count, 1);
    enum err err = dedup_claim(verification->dedup, batch, first, count, verdict);
    for (u32 i = 0; err == ERR_OK && i < count; i++) {
        if (verdict[i] != DEDUP_NEW) {
            struct slice key = event_text_of(batch, first + i, TEXT_KEY);
            fault(verification, "event %llu: its key %.*s is stored twice",
                  (unsigned long long)batch->id[first + i], (int)key.bytes, key.data);
        }
    }
    if (err == ERR_OK) {
        dedup_settle(verification->dedup);
    }
    return err;
}

static enum err take_batch(struct verification *verification, struct event_batch *batch) {
    u32 rows[EVENT_BATCH_MAX];
    u32 first = 0;
    u32 known = agg_series_count(verification->agg);
    for (u32 i = 0; i < batch->count; i++) {
        if (batch->series[i] >= known) {
            fault(verification, "event %llu: its series is not defined",
                  (unsigned long long)batch->id[i]);
            return ERR_CORRUPT;
        }
        rows[i] = i;
    }
    while (first < batch->count) {
        u32 account = agg_series_dims(verification->agg, batch->series[first])[DIM_ACCOUNT];
        u32 end = first;
        while (end < batch->count &&
               agg_series_dims(verification->agg, batch->series[end])[DIM_ACCOUNT] == account) {
            add_sums(verification, batch, end++, account);
        }
        batch->account = account;
        enum err err = claim_keys(verification, batch, first, end - first);
        if (err != ERR_OK) {
            return err;
        }
        first = end;
    }
    agg_apply(verification->agg, batch, rows, batch->count);
    verification->events += batch->count;
    return ERR_OK;
}

static enum err rebuild(struct verification *verification) {
    struct store_scan_options options = {
        .filter = store_filter_all, .columns = UINT32_MAX, .want_defs = true};
    struct store_scan *scan;
    enum err err = store_scan_open(verification->store, &options, &scan);
    if (err != ERR_OK) {
        return err;
    }
    for (;;) {
        const struct event_batch *batch = NULL;
        const struct series_def *defs = NULL;
        u32 def_count = 0;
        struct store_damage damage;
        err = store_scan_next(scan, &batch, &defs, &def_count, &damage);
        if (err == ERR_CORRUPT) {
            continue; /* reported by the pass over checksums */
        }
        for (u32 i = 0; err == ERR_OK && i < def_count; i++) {
            err = agg_define(verification->agg, &defs[i]);
        }
        if (err != ERR_OK || batch->count == 0) {
            break;
        }
        err = take_batch(verification, (struct event_batch *)batch);
        if (err != ERR_OK) {
            break;
        }
        if (verification->on_terminal) {
            fprintf(stderr, "\r\033[Kevents %llu", (unsigned long long)verification->events);
        }
    }
    store_scan_close(scan);
    return err;
}

static void compare_sums(struct verification *verification) {
    for (u32 account = 0; account < ACCOUNTS_CHECKED; account++) {
        const struct sums *sums = &verification->sums[account];
        struct query query = {.account = account, .from = INT64_MIN, .to = INT64_MAX, .limit = 1};
        struct query_result result;
        const char *why;
        if (sums->events == 0) {
            continue;
        }
        if (query_run(verification->agg, NULL, &query, &result, &why) != ERR_OK) {
            fault(verification, "account %u: its figures cannot be read", account);
            continue;
        }
        if (result.total.events != sums->events || result.total.cost != sums->cost ||
            result.total.revenue != sums->revenue) {
            fault(verification, "account %u: the figures are not the sums over its events",
                  account);
        }
        query_result_free(&result);
    }
}

/* --- the server ------------------------------------------------------------------------------- */

struct grouping {
    const char *name;
    u8 group[3];
    u32 count;
};

static const struct grouping groupings[] = {
    {"account", {0}, 0},
    {"customer", {DIM_CUSTOMER}, 1},
    {"feature", {DIM_FEATURE}, 1},
    {"model and provider", {DIM_MODEL, DIM_PROVIDER}, 2},
    {"cost type", {DIM_COST_TYPE}, 1},
    {"event name", {DIM_EVENT_NAME}, 1},
    {"source", {DIM_SOURCE}, 1},
    {"feature and model", {DIM_FEATURE, DIM_MODEL}, 2},
};

static bool same_figures(const struct figures *a, const struct margin_figures *b) {
    return a->events == b->events && a->cost == b->cost && a->revenue == b->revenue &&
           a->usage == b->usage && a->input == b->input && a->output == b->output &&
           a->cached == b->cached && a->cache_write == b->cache_write &&
           a->duration_ms == b->duration_ms && a->duration_count == b->duration_count &&
           a->first_seen == b->first_seen && a->last_seen == b->last_seen &&
           a->unpriced == b->unpriced;
}

static struct slice value_text(const struct agg *agg, u8 dim, u32 value) {
    if (value == DIM_NONE) {
        return (struct slice){NULL, 0};
    }
    struct slice text = agg_value_text(agg, (enum store_dim)dim, value);
    return text;
}

static void compare_row(struct verification *verification, const struct grouping *grouping,
                        const struct query_row *ours, const struct margin_row *theirs) {
    verification->cells++;
    for (u32 g = 0; g < grouping->count; g++) {
        struct slice text = value_text(verification->agg, grouping->group[g], ours->value[g]);
        if (text.bytes != theirs->group[g].bytes ||
            (text.bytes > 0 && memcmp(text.data, theirs->group[g].data, text.bytes) != 0)) {
            fault(verification, "%s: the log has %.*s where the server has %.*s", grouping->name,
                  (int)text.bytes, text.data, (int)theirs->group[g].bytes, theirs->group[g].data);
            return;
        }
    }
    if (!same_figures(&ours->figures, &theirs->figures)) {
        struct slice text = theirs->group[0];
        char cost[2][CTL_MONEY_BYTES];
        fault(verification, "%s %.*s: %llu events and %s $ in the log, %llu and %s $ in the server",
              grouping->name, (int)text.bytes, text.data, (unsigned long long)ours->figures.events,
              ctl_money_exact(ours->figures.cost, cost[0]),
              (unsigned long long)theirs->figures.events,
              ctl_money_exact(theirs->figures.cost, cost[1]));
    }
}

static enum err run_ours(struct verification *verification, const struct grouping *grouping,
                         u32 account, u32 offset, struct query_result *result) {
    struct query query = {.account = account,
                          .group_count = grouping->count,
                          .from = INT64_MIN,
                          .to = INT64_MAX,
                          .order = ORDER_KEY,
                          .ascending = true,
                          .offset = offset,
                          .limit = PAGE_ROWS};
    memcpy(query.group, grouping->group, sizeof query.group);
    const char *why;
    return query_run(verification->agg, NULL, &query, result, &why);
}

/* One grouping, page by page in the order of names. False: the server did not answer. */
static bool compare_grouping(struct verification *verification, struct margin_client *client,
                             const struct grouping *grouping) {
    u32 total = 1;
    for (u32 offset = 0; offset < total; offset += PAGE_ROWS) {
        struct margin_query query = margin_query_all();
        memcpy(query.group, grouping->group, sizeof query.group);
        query.group_count = grouping->count;
        query.order = WIRE_ORDER_KEY;
        query.flags = WIRE_ASCENDING;
        query.offset = offset;
        query.limit = PAGE_ROWS;
        struct margin_rows rows;
        struct query_result result;
        if (margin_aggregate(client, &query, &rows) != MARGIN_OK) {
            ctl_fail("%s", margin_error_text(client));
            return false;
        }
        if (run_ours(verification, grouping, margin_account(client), offset, &result) != ERR_OK) {
            fault(verification, "%s: the rebuilt figures cannot be read", grouping->name);
            return true;
        }
        if (rows.total != result.row_total) {
            fault(verification, "%s: %u cells in the log, %u in the server", grouping->name,
                  result.row_total, rows.total);
        }
        struct margin_row row;
        u32 count = MIN(rows.count, result.row_count);
        for (u32 i = 0; i < count && margin_rows_next(&rows, &row); i++) {
            compare_row(verification, grouping, &result.rows[i], &row);
        }
        total = MIN(rows.total, result.row_total);
        query_result_free(&result);
    }
    return true;
}

static bool compare_live(struct verification *verification, const struct ctl_options *options) {
    struct margin_client *client = ctl_connect(options);
    u64 expiring;
    bool good = client != NULL && ctl_statistic(client, "expiring", &expiring);
    if (good && expiring != 0) { /* they leave the log at once, and the figures bit by bit */
        ctl_fail(
            "old events are leaving the figures (--retention-days): compare when that is over, "
            "see `expiring` in `marginctl stats`");
        good = false;
    }
    for (usize i = 0; good && i < ARRAY_COUNT(groupings); i++) {
        good = compare_grouping(verification, client, &groupings[i]);
    }
    margin_close(client);
    return good;
}

/* --- the command ------------------------------------------------------------------------------ */

static int finish(struct verification *verification, bool live, enum err err) {
    if (verification->on_terminal) {
        fputs("\r\033[K", stderr);
    }
    if (err != ERR_OK) {
        return ctl_fail("verifying stopped: %s", err_text(err));
    }
    char events[CTL_MONEY_BYTES];
    char keys[CTL_MONEY_BYTES];
    char cells[CTL_MONEY_BYTES];
    printf("%s events, %s keys, %u series read again", ctl_count(verification->events, events),
           ctl_count(dedup_count(verification->dedup), keys), agg_series_count(verification->agg));
    if (live) {
        printf("; %s cells compared with the server", ctl_count(verification->cells, cells));
    }
    if (verification->faults == 0) {
        printf(": all agree\n");
        return 0;
    }
    printf(": %llu faults\n", (unsigned long long)verification->faults);
    if (verification->faults == verification->beside) {
        return ctl_fail("what is named lies beside the log, of which all agrees");
    }
    return live ? ctl_fail("the log and the figures disagree; if events came in meanwhile, stop "
                           "the clients and verify again")
                : ctl_fail("the log has faults; what is named is missing from the figures; restore "
                           "a backup");
}

int ctl_verify(const struct ctl_options *options, int argc, char **argv) {
    if (argc > 1) {
        return ctl_usage("verify takes one argument, the data directory");
    }
    static struct verification verification;
    struct store_options store_options = {.dir = argc == 1 ? argv[0] : options->data_dir,
                                          .read_only = true,
                                          .series_dims = series_dims,
                                          .context = &verification};
    char why[512];
    verification.on_terminal = isatty(STDERR_FILENO) != 0;
    if (agg_create(&(struct agg_options){.seed = 1}, &verification.agg) != ERR_OK ||
        dedup_create(&verification.dedup) != ERR_OK) {
        return ctl_fail("no memory");
    }
    enum err err = store_open(&store_options, &verification.store, why, sizeof why);
    if (err != ERR_OK) {
        return ctl_fail("%s%s", why,
                        err == ERR_NOT_FOUND ? "; name the server's data directory" : "");
    }
    agg_advance(verification.agg, clock_wall_ms());
    store_verify_beside(store_options.dir, report_beside, &verification);
    err = store_verify(verification.store, report_damage, show, &verification);
    if (err == ERR_OK || err == ERR_CORRUPT) {
        err = rebuild(&verification);
    }
    bool live = err == ERR_OK && options->server_given;
    if (err == ERR_OK) {
        compare_sums(&verification);
        if (live && !compare_live(&verification, options)) {
            err = ERR_SYSTEM;
        }
    }
    int code = finish(&verification, live, err);
    store_close(verification.store);
    agg_destroy(verification.agg);
    dedup_destroy(verification.dedup);
    return code;
}
