/* ctl_watch.c: `watch`: one cell, live. The server pushes its changes (SUBSCRIBE of wire.h). */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tools/marginctl/ctl.h"

#define INTERVAL_MS 500
#define PATIENCE_MS 3600000 /* a quiet hour is no failure: wait again */

static void print_point(const struct margin_point *point) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    const struct margin_figures *figures = &point->figures;
    char time[CTL_MONEY_BYTES];
    char events[CTL_MONEY_BYTES];
    char cost[CTL_MONEY_BYTES];
    char revenue[CTL_MONEY_BYTES];
    char margin[CTL_MONEY_BYTES];
    char percent[CTL_MONEY_BYTES];
    printf("%s %14s %18s %18s %18s %8s\n",
           ctl_time((i64)now.tv_sec * 1000 + now.tv_nsec / 1000000, time),
           ctl_count(figures->events, events), ctl_money(figures->cost, cost),
           ctl_money(figures->revenue, revenue),
           ctl_money(figures->revenue - figures->cost, margin), ctl_percent(figures, percent));
    fflush(stdout);
}

static enum margin_status follow(struct margin_client *client, const struct ctl_options *options,
                                 const struct margin_cell *cell) {
    u32 subscription;
    struct margin_point point;
    enum margin_status status = margin_subscribe(client, cell, INTERVAL_MS, &subscription, &point);
    u64 left = options->limit > 0 ? options->limit : UINT64_MAX;
    while (status == MARGIN_OK) {
        print_point(&point);
        if (--left == 0) {
            return margin_unsubscribe(client, subscription);
        }
        do {
            status = margin_next_push(client, PATIENCE_MS, &subscription, &point);
        } while (status == MARGIN_TIMEOUT);
    }
    return status;
}

int ctl_watch(const struct ctl_options *options, int argc, char **argv) {
    if (argc > 0) {
        return ctl_usage("watch takes no argument, but got %s; the cell is a filter", argv[0]);
    }
    if (options->filter_count > 1) {
        return ctl_usage("watch follows one cell: give one of --customer, --feature, --model...");
    }
    if (options->from != INT64_MIN || options->to != INT64_MAX) {
        return ctl_usage("watch follows a --window, not --from and --to");
    }
    struct margin_cell cell = {.dimension = WIRE_DIM_NONE, .window_s = options->window_s};
    if (options->filter_count == 1) {
        cell.dimension = options->filter[0].dimension;
        cell.text = options->filter[0].text;
    }
    struct margin_client *client = ctl_connect(options);
    if (client == NULL) {
        return 1;
    }
    printf("%-24s %14s %18s %18s %18s %8s\n", "TIME", "EVENTS", "COST $", "REVENUE $", "MARGIN $",
           "MARGIN");
    enum margin_status status = follow(client, options, &cell);
    int code = status == MARGIN_OK ? 0 : ctl_fail("%s", margin_error_text(client));
    margin_close(client);
    return code;
}
