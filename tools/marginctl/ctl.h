/*
 * ctl.h: what marginctl's commands share: options, the connection, and how figures are printed. A
 * command returns the exit code: 0, 1 (it failed; one line on stderr says why and what to do) or
 * 2 (bad usage).
 */
#ifndef MARGINCTL_CTL_H
#define MARGINCTL_CTL_H

#include "margin.h"
#include "tools/client/settings.h"

struct ctl_options {
    struct settings_address server;
    bool server_given;
    const char *tls_ca; /* NULL: whom the system trusts */
    const char *key;    /* NULL: look for one */
    const char *data_dir;
    struct margin_filter filter[WIRE_FILTERS_MAX];
    u32 filter_count;
    i64 from; /* ms; INT64_MIN and INT64_MAX: no bounds */
    i64 to;
    u32 window_s; /* 0: all time */
    const char *window_text;
    enum wire_order by;
    bool ascending;
    bool watch;
    bool oldest;
    u64 limit; /* 0: the command's default */
    u64 batch;
    bool csv;
    const char *name;
    const char *scopes;
    i64 expires_ms;      /* 0: not given */
    const char *account; /* number or name; NULL: the default one */
    const char *role;
    const char *plan;
    bool generate;
    bool has_budget;
    u64 budget_cents;
    const char *budget_period;
};

/* One line on stderr; returns 1. */
int ctl_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* One line on stderr; returns 2. */
int ctl_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* NULL after having said why. */
struct margin_client *ctl_connect(const struct ctl_options *options);

/* One of the server's statistics, 0 if it has none of that name; false after having said why. */
bool ctl_statistic(struct margin_client *client, const char *wanted, u64 *out);

#define CTL_MONEY_BYTES 64
/* Picodollars as dollars with 6 decimals, rounded half away from zero: "-1.250000". */
const char *ctl_money(i128 pico, char out[CTL_MONEY_BYTES]);
/* All 12 decimals, trailing zeros dropped: "0.0000705". */
const char *ctl_money_exact(i128 pico, char out[CTL_MONEY_BYTES]);
/* "-" where there is no revenue, else "37%". */
const char *ctl_percent(const struct margin_figures *figures, char out[CTL_MONEY_BYTES]);
/* 12345678 as "12,345,678". */
const char *ctl_count(u64 value, char out[CTL_MONEY_BYTES]);
/* YYYY-MM-DDTHH:MM:SS.mmmZ */
const char *ctl_time(i64 ms, char out[CTL_MONEY_BYTES]);

/* For the terminal: control characters, which could be commands to it, as '?', and "..." where the
 * text is longer than `columns`. Returns the columns used; `out` takes CTL_TEXT_BYTES(columns). */
#define CTL_TEXT_BYTES(columns) (4 * (columns) + 1)
int ctl_text(struct slice text, int columns, char *out);

struct ctl_command {
    const char *name;
    int (*run)(const struct ctl_options *options, int argc, char **argv);
    bool connects;    /* to a server; else it works on files */
    const char *line; /* for the list of commands */
    const char *help;
};

int ctl_ingest(const struct ctl_options *options, int argc, char **argv);
int ctl_top(const struct ctl_options *options, int argc, char **argv);
int ctl_watch(const struct ctl_options *options, int argc, char **argv);
int ctl_stats(const struct ctl_options *options, int argc, char **argv);
int ctl_events(const struct ctl_options *options, int argc, char **argv);
int ctl_trace(const struct ctl_options *options, int argc, char **argv);
int ctl_export(const struct ctl_options *options, int argc, char **argv);
int ctl_verify(const struct ctl_options *options, int argc, char **argv);
int ctl_backup(const struct ctl_options *options, int argc, char **argv);
int ctl_restore(const struct ctl_options *options, int argc, char **argv);
int ctl_key(const struct ctl_options *options, int argc, char **argv);
int ctl_admin(const struct ctl_options *options, int argc, char **argv);
int ctl_account(const struct ctl_options *options, int argc, char **argv);

/* The accounts of a data directory, also while a server runs on it. */
struct ctl_control {
    struct control *control;
    struct accounts *accounts;
    u32 account; /* the one that --account names, else `default` */
};
/* 0, or the exit code after having said why. */
int ctl_control_open(const struct ctl_options *options, struct ctl_control *out);
void ctl_control_close(struct ctl_control *control);

#endif
