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

enum column {
    COLUMN_NAME,
    COLUMN_EVENTS,
    COLUMN_COST,
    COLUMN_REVENUE,
    COLUMN_MARGIN,
    COLUMN_PERCENT,
    COLUMN_UNPRICED,
    COLUMNS
};

#define CELL_BYTES MAX(CTL_MONEY_BYTES, CTL_TEXT_BYTES(NAME_COLUMNS_MAX))

struct table_row {
    int name_columns; /* not bytes: names are UTF-8 */
    char cell[COLUMNS][CELL_BYTES];
};

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
    int used = first.data == NULL ? snprintf(out, bytes, "(none)")
                                  : snprintf(out, bytes, "%.*s", (int)first.bytes, first.data);
    if (group_count > 1 && row->group[1].data != NULL && used > 0 && (usize)used < bytes) {
        snprintf(out + used, bytes - (usize)used, " (%.*s)", (int)row->group[1].bytes,
                 row->group[1].data);
    }
}

static void set_name(struct table_row *row, const char *name) {
    struct slice text = {name, strlen(name)};
    row->name_columns = ctl_text(text, NAME_COLUMNS_MAX, row->cell[COLUMN_NAME]);
}

static void fill_row(struct table_row *row, const char *name,
                     const struct margin_figures *figures) {
    char percent[CTL_MONEY_BYTES];
    set_name(row, name);
    ctl_count(figures->events, row->cell[COLUMN_EVENTS]);
    ctl_money(figures->cost, row->cell[COLUMN_COST]);
    ctl_money(figures->revenue, row->cell[COLUMN_REVENUE]);
    ctl_money(figures->revenue - figures->cost, row->cell[COLUMN_MARGIN]);
    snprintf(row->cell[COLUMN_PERCENT], CELL_BYTES, "%s", ctl_percent(figures, percent));
    if (figures->unpriced > 0) {
        ctl_count(figures->unpriced, row->cell[COLUMN_UNPRICED]);
    }
}

/* As wide as what it holds; the last column only if some row has it. */
static void print_table(const struct table_row *rows, u32 count) {
    int width[COLUMNS] = {0};
    for (u32 i = 0; i < count; i++) {
        width[COLUMN_NAME] = MAX(width[COLUMN_NAME], rows[i].name_columns);
        for (u32 column = COLUMN_EVENTS; column < COLUMNS; column++) {
            width[column] = MAX(width[column], (int)strlen(rows[i].cell[column]));
        }
    }
    bool any_unpriced = false;
    for (u32 i = 1; i < count; i++) {
        any_unpriced = any_unpriced || rows[i].cell[COLUMN_UNPRICED][0] != '\0';
    }
    u32 columns = any_unpriced ? COLUMNS : COLUMN_UNPRICED;
    for (u32 i = 0; i < count; i++) {
        printf("%s%*s", rows[i].cell[COLUMN_NAME], width[COLUMN_NAME] - rows[i].name_columns, "");
        for (u32 column = COLUMN_EVENTS; column < columns; column++) {
            printf("  %*s", width[column], rows[i].cell[column]);
        }
        printf("\n");
    }
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
    struct table_row *table = calloc((usize)rows.count + 2, sizeof *table);
    if (table == NULL) {
        return ctl_fail("no memory for %u rows", rows.count);
    }
    static const char *const titles[COLUMNS] = {"",         "EVENTS", "COST $",  "REVENUE $",
                                                "MARGIN $", "MARGIN", "UNPRICED"};
    set_name(&table[0], subject->title);
    for (u32 column = COLUMN_EVENTS; column < COLUMNS; column++) {
        snprintf(table[0].cell[column], CELL_BYTES, "%s", titles[column]);
    }
    u32 count = 1;
    struct margin_row row;
    while (count <= rows.count && margin_rows_next(&rows, &row)) {
        char name[600];
        format_name(&row, subject->group_count, name, sizeof name);
        fill_row(&table[count++], name, &row.figures);
    }
    char total[64];
    snprintf(total, sizeof total, "all %u", rows.total);
    fill_row(&table[count++], total, &rows.figures);
    if (options->watch) {
        printf("\033[H\033[2J");
    }
    print_table(table, count);
    free(table);
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
