/* ctl_top.c: `top` and `stats`: figures as tables. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/marginctl/ctl.h"

#define NAME_COLUMNS_MAX 40
#define TOP_LIMIT 20
#define WATCH_SECONDS 2

struct subject {
    const char *name;
    u8 group[2];
    u32 group_count;
    const char *title;
};

static const struct subject subjects[] = {
    {"customers", {WIRE_DIM_CUSTOMER}, 1, "CUSTOMER"},
    {"features", {WIRE_DIM_FEATURE}, 1, "FEATURE"},
    {"models", {WIRE_DIM_MODEL, WIRE_DIM_PROVIDER}, 2, "MODEL (PROVIDER)"},
    {"providers", {WIRE_DIM_PROVIDER}, 1, "PROVIDER"},
};

static void format_name(const struct margin_row *row, u32 group_count, char *out, usize bytes) {
    struct slice first = row->group[0];
    int used = first.data == NULL ? snprintf(out, bytes, "-")
                                  : snprintf(out, bytes, "%.*s", (int)first.bytes, first.data);
    if (group_count > 1 && row->group[1].data != NULL && used > 0 && (usize)used < bytes) {
        snprintf(out + used, bytes - (usize)used, " (%.*s)", (int)row->group[1].bytes,
                 row->group[1].data);
    }
}

static void print_figures(const char *name, const struct margin_figures *figures) {
    char events[CTL_MONEY_BYTES];
    char cost[CTL_MONEY_BYTES];
    char revenue[CTL_MONEY_BYTES];
    char margin[CTL_MONEY_BYTES];
    char percent[CTL_MONEY_BYTES];
    printf("%-*.*s %14s %18s %18s %18s %8s", NAME_COLUMNS_MAX, NAME_COLUMNS_MAX, name,
           ctl_count(figures->events, events), ctl_money(figures->cost, cost),
           ctl_money(figures->revenue, revenue),
           ctl_money(figures->revenue - figures->cost, margin), ctl_percent(figures, percent));
    if (figures->unpriced > 0) {
        printf("  %s unpriced", ctl_count(figures->unpriced, events));
    }
    printf("\n");
}

static int print_top(struct margin_client *client, const struct ctl_options *options,
                     const struct subject *subject) {
    struct margin_query query = margin_query_all();
    query.group_count = subject->group_count;
    memcpy(query.group, subject->group, sizeof subject->group);
    query.order = options->by;
    query.flags = options->ascending ? WIRE_ASCENDING : 0;
    query.limit = options->limit > 0 ? (u32)options->limit : TOP_LIMIT;
    query.window_s = options->window_s;
    query.from = options->from;
    query.to = options->to;
    memcpy(query.filter, options->filter, sizeof query.filter);
    query.filter_count = options->filter_count;
    struct margin_rows rows;
    if (margin_aggregate(client, &query, &rows) != MARGIN_OK) {
        return ctl_fail("%s", margin_error_text(client));
    }
    if (options->watch) {
        printf("\033[H\033[2J");
    }
    printf("%-*s %14s %18s %18s %18s %8s\n", NAME_COLUMNS_MAX, subject->title, "EVENTS", "COST $",
           "REVENUE $", "MARGIN $", "MARGIN");
    struct margin_row row;
    for (u32 i = 0; i < rows.count && margin_rows_next(&rows, &row); i++) {
        char name[600];
        format_name(&row, subject->group_count, name, sizeof name);
        print_figures(name, &row.figures);
    }
    char total[64];
    snprintf(total, sizeof total, "all %u", rows.total);
    print_figures(total, &rows.figures);
    fflush(stdout);
    return 0;
}

int ctl_top(const struct ctl_options *options, int argc, char **argv) {
    if (argc != 1) {
        return ctl_usage("top of what? customers, features, models or providers");
    }
    const struct subject *subject = NULL;
    for (usize i = 0; i < ARRAY_COUNT(subjects); i++) {
        subject = strcmp(argv[0], subjects[i].name) == 0 ? &subjects[i] : subject;
    }
    if (subject == NULL) {
        return ctl_usage("no top of %s; there are customers, features, models and providers",
                         argv[0]);
    }
    struct margin_client *client = ctl_connect(options);
    if (client == NULL) {
        return 1;
    }
    int code = print_top(client, options, subject);
    while (code == 0 && options->watch) {
        sleep(WATCH_SECONDS);
        code = print_top(client, options, subject);
    }
    margin_close(client);
    return code;
}

int ctl_stats(const struct ctl_options *options, int argc, char **argv) {
    if (argc > 0) {
        return ctl_usage("stats takes no argument, but got %s", argv[0]);
    }
    struct margin_client *client = ctl_connect(options);
    if (client == NULL) {
        return 1;
    }
    struct margin_stats stats;
    if (margin_get_stats(client, &stats) != MARGIN_OK) {
        ctl_fail("%s", margin_error_text(client));
        margin_close(client);
        return 1;
    }
    printf("%-20s %s\n", "server", margin_server_version(client));
    struct slice name;
    u64 value;
    while (stats.count-- > 0 && margin_stats_next(&stats, &name, &value)) {
        char text[CTL_MONEY_BYTES];
        printf("%-20.*s %s\n", (int)name.bytes, name.data, ctl_count(value, text));
    }
    margin_close(client);
    return 0;
}
