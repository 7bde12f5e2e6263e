/*
 * marginctl: the command line client: puts events in, shows figures and events, manages keys,
 * verifies a data directory. Each command is a file of tools/marginctl; here are the options, which
 * may stand before or behind the command, and the help.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "tools/marginctl/ctl.h"
#include "version.h"
#include "json/time.h"

#define FILTERS_HELP                                                                               \
    "  --customer, --feature, --model, --provider, --event-name, --cost-type, --source TEXT\n"     \
    "                     only events with that value\n"                                           \
    "  --from TIME, --to TIME  only events from (inclusive) and to (exclusive) a time:\n"          \
    "                     2026-05-01 or 2026-05-01T12:00:00Z\n"

#define DATA_DIR_HELP                                                                              \
    "  --data-dir DIR     the server's data directory (default ./data)\n"                          \
    "  --help             this text\n"

#define GLOBAL_HELP                                                                                \
    "  --server HOST:PORT the server's binary socket (default 127.0.0.1:8081)\n"                   \
    "  --tls              over TLS; likewise --server tls://HOST:PORT. The server's certificate\n" \
    "                     must be good and name HOST\n"                                            \
    "  --tls-ca FILE      over TLS, to a server whose certificate is in FILE, or signed by one\n"  \
    "                     that is; else by one that the system trusts\n"                           \
    "  --key KEY          API key (default: MARGIN_KEY, else DIR/api-key)\n" DATA_DIR_HELP

static const struct ctl_command commands[] = {
    {"ingest", ctl_ingest, true, "put events from a file into the server",
     "usage: marginctl ingest FILE|- [options]\n\n"
     "Reads JSON objects, one a line or over many lines: events, or bodies {\"events\":[...]}.\n"
     "Events that are refused are named by their line; the exit code is then 1. Sending a file\n"
     "again is safe where its events have idempotency keys.\n\n"
     "  --batch N          events a request, at most 1000 (default 1000)\n" GLOBAL_HELP
     "\nexamples:\n  marginctl ingest events.ndjson\n  zcat old.json.gz | marginctl ingest -\n"},
    {"top", ctl_top, true, "customers, features, models or providers by their figures",
     "usage: marginctl top customers|features|models|providers [options]\n\n"
     "  --window W         1h, 24h, 7d, 30d, 90d or all (default 30d)\n"
     "  --by FIGURE        margin, cost, revenue, events (default margin)\n"
     "  --ascending        the least first: who loses money\n"
     "  --limit N          rows (default 20)\n"
     "  --watch            again every 2 seconds\n" FILTERS_HELP GLOBAL_HELP
     "\nexamples:\n  marginctl top customers --ascending --limit 10\n"
     "  marginctl top models --window 24h --by cost --watch\n"},
    {"watch", ctl_watch, true, "follow the figures of the account, or of one customer, feature...",
     "usage: marginctl watch [options]\n\n"
     "Prints the figures now, then again whenever they change, at most twice a second.\n\n"
     "  --window W         1h, 24h, 7d, 30d, 90d or all (default 30d)\n"
     "  --limit N          stop after so many lines\n"
     "  --customer, --feature, --model, --provider, --event-name, --cost-type, --source TEXT\n"
     "                     one of them: what to follow instead of the whole account\n" GLOBAL_HELP
     "\nexample:\n  marginctl watch --customer acme --window 24h\n"},
    {"events", ctl_events, true, "list events, newest first",
     "usage: marginctl events [options]\n\n"
     "  --limit N          events (default 20)\n"
     "  --oldest           oldest first\n"
     "  --trace ID, --agent ID  only events of a trace, of an agent\n" FILTERS_HELP GLOBAL_HELP
     "\nexample:\n  marginctl events --customer acme --limit 50\n"},
    {"trace", ctl_trace, true, "the events of one trace, as a tree",
     "usage: marginctl trace ID [options]\n\n" GLOBAL_HELP
     "\nexample:\n  marginctl trace 4bf92f3577b34da6\n"},
    {"export", ctl_export, true, "all events as NDJSON or CSV, oldest first",
     "usage: marginctl export [--format ndjson|csv] [options] > FILE\n\n"
     "NDJSON has the words of the ingest API, so that it can be ingested by another server: with\n"
     "the costs and revenues that were in force here. The exit code is 1 if events are missing\n"
     "because the log is damaged.\n\n"
     "  --format F         ndjson or csv (default ndjson)\n"
     "  --trace ID, --agent ID  only events of a trace, of an agent\n" FILTERS_HELP GLOBAL_HELP
     "\nexample:\n  marginctl export --format csv --from 2026-05-01 --to 2026-06-01 > may.csv\n"},
    {"stats", ctl_stats, true, "what the server has done and holds",
     "usage: marginctl stats [options]\n\n" GLOBAL_HELP "\nexample:\n  marginctl stats\n"},
    {"verify", ctl_verify, true, "read a data directory's whole log again and check it",
     "usage: marginctl verify [DIR] [options]\n\n"
     "Checks every checksum, rebuilds the figures from the events and, with --live or --server,\n"
     "compares them with the server's cell by cell. May run beside the server; for the comparison\n"
     "no events should be coming in. Takes 27 bytes of memory for each idempotency key, and what\n"
     "the figures take.\n\n"
     "  --live             compare with the server at its default address\n" GLOBAL_HELP
     "\nexamples:\n  marginctl verify ./data\n"
     "  marginctl verify ./data --server 127.0.0.1:8081\n"},
    {"backup", ctl_backup, false, "copy a data directory, also while the server runs",
     "usage: marginctl backup DIR [options]\n\n"
     "Copies the server's data directory into DIR, which must be absent or empty: all events that\n"
     "were acknowledged before the call and whatever came until its end, accounts, keys, prices "
     "and\n"
     "the file api-key. May run while the server takes events in. The copy is read again and\n"
     "checked before it gets its name; until then it is DIR.partial, which the next call removes.\n"
     "What it holds is as secret as the data directory.\n\n" DATA_DIR_HELP
     "\nexample:\n  marginctl backup /mnt/backup/2026-11-20 --data-dir /var/lib/margind\n"},
    {"restore", ctl_restore, false, "make a data directory from a backup",
     "usage: marginctl restore BACKUP DIR\n\n"
     "Copies a backup into DIR, which must be absent or empty, and checks that it is what was\n"
     "backed up. The first start on it rebuilds figures and keys from the events.\n\n"
     "  --help             this text\n"
     "\nexample:\n  marginctl restore /mnt/backup/2026-11-20 /var/lib/margind\n"},
    {"key", ctl_key, false, "make, list and revoke API keys",
     "usage: marginctl key create|list|revoke ID [options]\n\n"
     "Works on the data directory itself, also while the server runs; a new key is shown once.\n\n"
     "  --name NAME        of a new key (default: default)\n"
     "  --scopes A,B       of a new key (default: unrestricted), among proxy.chat, usage.read,\n"
     "                     usage.write, events.read, events.write, customers.read,\n"
     "                     customers.write, billing.read, billing.write, recommendations.read,\n"
     "                     models.read, alerts.read, alerts.write, admin\n"
     "  --expires WHEN     of a new key: 90d, 12h, or a time (default: never)\n"
     "  --budget-cents N   of a new key: what it may spend through the gateway (default: no cap)\n"
     "  --budget-period P  day or month; else the budget is for the key's life\n"
     "  --account ACCOUNT  number or name of the account (default: default)\n" DATA_DIR_HELP
     "\nexamples:\n  marginctl key create --name ci --scopes events.write --expires 90d\n"
     "  marginctl key revoke 3\n"},
    {"admin", ctl_admin, false, "make and list the people who may log in, set their passwords",
     "usage: marginctl admin create|passwd|role|remove EMAIL [options]\n"
     "       marginctl admin list [options]\n\n"
     "Works on the data directory itself, also while the server runs. The password is asked for,\n"
     "or read from standard input where that is no terminal.\n\n"
     "role changes what a person may do in an account, remove takes the person out of it.\n\n"
     "  --role ROLE        owner, admin, or viewer, who may only read (default: the first one of\n"
     "                     an account owns it, the others are admins)\n"
     "  --generate         make a password up and print it\n"
     "  --account ACCOUNT  number or name of the account (default: default; list: "
     "all)\n" DATA_DIR_HELP "\nexamples:\n  marginctl admin create me@example.com\n"
     "  marginctl admin create boss@example.com --role viewer --generate\n"},
    {"account", ctl_account, false,
     "make and list accounts, put them on a plan, set what they keep",
     "usage: marginctl account list|create NAME|plan PLAN|set NAME VALUE [options]\n\n"
     "set body-capture on|off: whether requests and responses of model calls are kept\n\n"
     "Works on the data directory itself, also while the server runs.\n\n"
     "  --plan PLAN        of a new account (default: unlimited)\n"
     "  --account ACCOUNT  number or name of the account that is changed\n" DATA_DIR_HELP
     "\nexamples:\n  marginctl account create acme --plan free\n"
     "  marginctl account plan pro --account acme\n"
     "  marginctl account set body-capture on --account acme\n"},
};

enum option_code {
    OPTION_SERVER = 256,
    OPTION_TLS,
    OPTION_TLS_CA,
    OPTION_KEY,
    OPTION_DATA_DIR,
    OPTION_WINDOW,
    OPTION_BY,
    OPTION_ASCENDING,
    OPTION_LIMIT,
    OPTION_WATCH,
    OPTION_OLDEST,
    OPTION_BATCH,
    OPTION_FORMAT,
    OPTION_FROM,
    OPTION_TO,
    OPTION_NAME,
    OPTION_SCOPES,
    OPTION_EXPIRES,
    OPTION_BUDGET_CENTS,
    OPTION_BUDGET_PERIOD,
    OPTION_ACCOUNT,
    OPTION_ROLE,
    OPTION_PLAN,
    OPTION_GENERATE,
    OPTION_LIVE,
    OPTION_HELP,
    OPTION_VERSION,
    OPTION_FILTER /* and the dimension */
};

static const struct option long_options[] = {
    {"server", required_argument, NULL, OPTION_SERVER},
    {"tls", no_argument, NULL, OPTION_TLS},
    {"tls-ca", required_argument, NULL, OPTION_TLS_CA},
    {"key", required_argument, NULL, OPTION_KEY},
    {"data-dir", required_argument, NULL, OPTION_DATA_DIR},
    {"window", required_argument, NULL, OPTION_WINDOW},
    {"by", required_argument, NULL, OPTION_BY},
    {"ascending", no_argument, NULL, OPTION_ASCENDING},
    {"limit", required_argument, NULL, OPTION_LIMIT},
    {"watch", no_argument, NULL, OPTION_WATCH},
    {"oldest", no_argument, NULL, OPTION_OLDEST},
    {"batch", required_argument, NULL, OPTION_BATCH},
    {"format", required_argument, NULL, OPTION_FORMAT},
    {"from", required_argument, NULL, OPTION_FROM},
    {"to", required_argument, NULL, OPTION_TO},
    {"name", required_argument, NULL, OPTION_NAME},
    {"scopes", required_argument, NULL, OPTION_SCOPES},
    {"expires", required_argument, NULL, OPTION_EXPIRES},
    {"budget-cents", required_argument, NULL, OPTION_BUDGET_CENTS},
    {"budget-period", required_argument, NULL, OPTION_BUDGET_PERIOD},
    {"account", required_argument, NULL, OPTION_ACCOUNT},
    {"role", required_argument, NULL, OPTION_ROLE},
    {"plan", required_argument, NULL, OPTION_PLAN},
    {"generate", no_argument, NULL, OPTION_GENERATE},
    {"live", no_argument, NULL, OPTION_LIVE},
    {"help", no_argument, NULL, OPTION_HELP},
    {"version", no_argument, NULL, OPTION_VERSION},
    {"event-name", required_argument, NULL, OPTION_FILTER + WIRE_DIM_EVENT_NAME},
    {"customer", required_argument, NULL, OPTION_FILTER + WIRE_DIM_CUSTOMER},
    {"feature", required_argument, NULL, OPTION_FILTER + WIRE_DIM_FEATURE},
    {"model", required_argument, NULL, OPTION_FILTER + WIRE_DIM_MODEL},
    {"provider", required_argument, NULL, OPTION_FILTER + WIRE_DIM_PROVIDER},
    {"cost-type", required_argument, NULL, OPTION_FILTER + WIRE_DIM_COST_TYPE},
    {"source", required_argument, NULL, OPTION_FILTER + WIRE_DIM_SOURCE},
    {"agent", required_argument, NULL, OPTION_FILTER + WIRE_DIM_AGENT},
    {"trace", required_argument, NULL, OPTION_FILTER + WIRE_DIM_TRACE},
    {NULL, 0, NULL, 0}};

/* --- reading options -------------------------------------------------------------------------- */

struct choice {
    const char *name;
    u32 value;
};

static const struct choice windows[] = {{"1h", 3600},     {"24h", 86400},   {"7d", 604800},
                                        {"30d", 2592000}, {"90d", 7776000}, {"all", 0},
                                        {NULL, 0}};
static const struct choice orders[] = {{"margin", WIRE_ORDER_MARGIN},
                                       {"cost", WIRE_ORDER_COST},
                                       {"revenue", WIRE_ORDER_REVENUE},
                                       {"events", WIRE_ORDER_EVENTS},
                                       {NULL, 0}};
static const struct choice formats[] = {{"ndjson", 0}, {"csv", 1}, {NULL, 0}};

static bool choose(const struct choice *choices, const char *option, const char *text, u32 *out) {
    for (; choices->name != NULL; choices++) {
        if (strcmp(choices->name, text) == 0) {
            *out = choices->value;
            return true;
        }
    }
    ctl_usage("--%s cannot be %s; try --help", option, text);
    return false;
}

static bool read_time(const char *option, const char *text, i64 *out) {
    struct slice slice = {text, strlen(text)};
    if (time_parse(slice, out) || time_parse_date(slice, out)) {
        return true;
    }
    ctl_usage("--%s is a time like 2026-05-01 or 2026-05-01T12:00:00Z, not %s", option, text);
    return false;
}

/* 90d, 12h, or a time. */
static bool read_expiry(const char *text, i64 *out) {
    char number[16] = "";
    usize bytes = strlen(text);
    u64 count = 0;
    char unit = bytes > 0 ? text[bytes - 1] : (char)0;
    if ((unit == 'd' || unit == 'h') && bytes <= sizeof number) {
        memcpy(number, text, bytes - 1);
        if (settings_read_number(number, 1, 1000000, &count)) {
            *out = clock_wall_ms() + (i64)count * (unit == 'd' ? 86400000 : 3600000);
            return true;
        }
    }
    return read_time("expires", text, out);
}

static bool read_count(const char *option, const char *text, u64 most, u64 *out) {
    if (settings_read_number(text, 0, most, out)) {
        return true;
    }
    ctl_usage("--%s is a number from 0 to %llu, not %s", option, (unsigned long long)most, text);
    return false;
}

static bool read_number(const char *option, const char *text, u64 most, u64 *out) {
    if (settings_read_number(text, 1, most, out)) {
        return true;
    }
    ctl_usage("--%s is a number from 1 to %llu, not %s", option, (unsigned long long)most, text);
    return false;
}

static bool add_filter(struct ctl_options *options, u32 dimension, const char *text) {
    if (options->filter_count == WIRE_FILTERS_MAX || strlen(text) > EVENT_CUSTOMER_MAX) {
        ctl_usage("at most %d filters of at most 255 bytes", WIRE_FILTERS_MAX);
        return false;
    }
    options->filter[options->filter_count++] =
        (struct margin_filter){(enum wire_dimension)dimension, {text, strlen(text)}};
    return true;
}

/* Options with a choice, a time or a number. */
static bool read_checked(int code, const char *text, struct ctl_options *out) {
    u32 value = 0;
    bool good;
    switch (code) {
    case OPTION_WINDOW:
        out->window_text = text;
        return choose(windows, "window", text, &out->window_s);
    case OPTION_BY:
        good = choose(orders, "by", text, &value);
        out->by = (enum wire_order)value;
        return good;
    case OPTION_FORMAT:
        good = choose(formats, "format", text, &value);
        out->csv = value == 1;
        return good;
    case OPTION_LIMIT:
        return read_number("limit", text, QUERY_ROWS_MAX, &out->limit);
    case OPTION_BATCH:
        return read_number("batch", text, INGEST_EVENTS_MAX, &out->batch);
    case OPTION_EXPIRES:
        return read_expiry(text, &out->expires_ms);
    case OPTION_BUDGET_CENTS:
        out->has_budget = true;
        return read_count("budget-cents", text, (u64)1 << 53, &out->budget_cents);
    case OPTION_FROM:
        return read_time("from", text, &out->from);
    case OPTION_TO:
        return read_time("to", text, &out->to);
    default:
        return code >= OPTION_FILTER && add_filter(out, (u32)(code - OPTION_FILTER), text);
    }
}

static bool read_account_option(int code, char *text, struct ctl_options *out) {
    switch (code) {
    case OPTION_BUDGET_PERIOD:
        out->budget_period = text;
        return true;
    case OPTION_ACCOUNT:
        out->account = text;
        return true;
    case OPTION_ROLE:
        out->role = text;
        return true;
    case OPTION_PLAN:
        out->plan = text;
        return true;
    case OPTION_GENERATE:
        return out->generate = true;
    default:
        return read_checked(code, text, out);
    }
}

static bool read_option(int code, char *text, struct ctl_options *out) {
    switch (code) {
    case OPTION_SERVER:
        out->server_given = true;
        if (!settings_read_address(text, &out->server)) {
            ctl_usage("--server is an address like 127.0.0.1:8081, not %s", text);
            return false;
        }
        return true;
    case OPTION_TLS:
        return out->server.tls = true;
    case OPTION_TLS_CA:
        out->tls_ca = text;
        return out->server.tls = true;
    case OPTION_KEY:
        out->key = text;
        return true;
    case OPTION_DATA_DIR:
        out->data_dir = text;
        return true;
    case OPTION_ASCENDING:
        return out->ascending = true;
    case OPTION_WATCH:
        return out->watch = true;
    case OPTION_LIVE:
        return out->server_given = true;
    case OPTION_OLDEST:
        return out->oldest = true;
    case OPTION_NAME:
        out->name = text;
        return true;
    case OPTION_SCOPES:
        out->scopes = text;
        return true;
    default:
        return read_account_option(code, text, out);
    }
}

/* --- help ------------------------------------------------------------------------------------- */

static int print_help(const struct ctl_command *command) {
    if (command != NULL) {
        fputs(command->help, stdout);
        return 0;
    }
    fputs("usage: marginctl COMMAND [options]\n\n", stdout);
    for (usize i = 0; i < ARRAY_COUNT(commands); i++) {
        printf("  %-8s %s\n", commands[i].name, commands[i].line);
    }
    fputs("\n" GLOBAL_HELP
          "\n`marginctl COMMAND --help` says more, with examples; --version names the version.\n",
          stdout);
    return 0;
}

static const struct ctl_command *find_command(const char *name) {
    for (usize i = 0; name != NULL && i < ARRAY_COUNT(commands); i++) {
        if (strcmp(name, commands[i].name) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

int main(int argc, char **argv) {
    static struct ctl_options options = {.server = {"127.0.0.1", 8081, false},
                                         .data_dir = "./data",
                                         .from = INT64_MIN,
                                         .to = INT64_MAX,
                                         .window_s = 2592000,
                                         .by = WIRE_ORDER_MARGIN};
    bool help = argc < 2;
    for (;;) {
        int code = getopt_long(argc, argv, "", long_options, NULL);
        if (code == -1) {
            break;
        }
        if (code == OPTION_VERSION) {
            printf("marginctl %s\n", MARGIN_VERSION);
            return 0;
        }
        if (code == '?') {
            return ctl_usage("try --help");
        }
        if (code == OPTION_HELP) {
            help = true;
        } else if (!read_option(code, optarg, &options)) {
            return 2;
        }
    }
    const char *name = optind < argc ? argv[optind] : NULL;
    const struct ctl_command *command = find_command(name);
    if (command == NULL && (name != NULL || !help)) {
        return name == NULL ? ctl_usage("which command? try --help")
                            : ctl_usage("no command %s; try --help", name);
    }
    if (help) {
        return print_help(command);
    }
    if (!command->connects && (options.server_given || options.server.tls)) {
        return ctl_usage("%s asks no server: it works on files, --data-dir says where", name);
    }
    bool bounds = options.from != INT64_MIN || options.to != INT64_MAX;
    if (bounds && options.window_text != NULL) {
        return ctl_usage("--window does not go with --from and --to");
    }
    options.window_s = bounds ? 0 : options.window_s;
    return command->run(&options, argc - optind - 1, argv + optind + 1);
}
