/*
 * config.c: settings, from flags, the environment and a file. The table below is the whole of it:
 * parsing, --help and the messages are loops over the table, so a new setting is one new row.
 * The only user of inih.
 */
#include "config.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <ini.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "api/cors.h"
#include "base/log.h"
#include "version.h"

enum kind { KIND_PATH, KIND_LISTEN, KIND_COUNT, KIND_BYTES, KIND_CHOICE, KIND_ORIGINS, KIND_PLAN };

struct setting {
    const char *name;    /* --name; MARGIND_NAME in the environment */
    const char *section; /* in the file; NULL: not there */
    const char *key;
    enum kind kind;
    usize offset;   /* of the member in struct config */
    const char *in; /* what the value looks like, for --help */
    const char *fallback;
    u64 least; /* KIND_COUNT, KIND_BYTES: bounds, inclusive; a fallback of 0 may be said, too */
    u64 most;
    const char *const *choices; /* KIND_CHOICE: by enum value, NULL at the end */
    const char *help;
};

/* Members that hold a choice are enums, read and written as unsigned int. */
static const char *const net_choices[] = {
    [EDGE_AUTO] = "auto", [EDGE_URING] = "uring", [EDGE_EPOLL] = "epoll", NULL};
static const char *const level_choices[] = {
    [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn", [LOG_ERROR] = "error", NULL};
static const char *const sandbox_choices[] = {[SANDBOX_OFF] = "off",
                                              [SANDBOX_AUTO] = "auto",
                                              [SANDBOX_ON] = "on",
                                              [SANDBOX_KILL] = "kill",
                                              NULL};
static const char *const tls_choices[] = {
    [CONFIG_TLS_BOTH] = "both", [CONFIG_TLS_HTTP] = "http", [CONFIG_TLS_WIRE] = "wire", NULL};
static const char *const switch_choices[] = {"off", "on", NULL};
_Static_assert(sizeof(enum edge_kind) == sizeof(unsigned), "choices are stored as unsigned");
_Static_assert(sizeof(enum config_tls) == sizeof(unsigned), "choices are stored as unsigned");
_Static_assert(sizeof(enum sandbox_setting) == sizeof(unsigned), "choices are unsigned");
_Static_assert(sizeof(enum log_level) == sizeof(unsigned), "choices are stored as unsigned");

#define AT(member) offsetof(struct config, member)
static const struct setting settings[] = {
    {"data-dir", "storage", "data-dir", KIND_PATH, AT(data_dir), "DIR", "./data", 0, 0, NULL,
     "where everything is kept; made if missing"},
    {"http-listen", "http", "listen", KIND_LISTEN, AT(http), "HOST:PORT", "127.0.0.1:8080", 0, 0,
     NULL, "HTTP API; numeric address, [::1]:8080 for IPv6, port 0 for any free port"},
    {"wire-listen", "wire", "listen", KIND_LISTEN, AT(wire), "HOST:PORT", "127.0.0.1:8081", 0, 0,
     NULL, "binary socket"},
    {"config", NULL, NULL, KIND_PATH, AT(file), "FILE", "", 0, 0, NULL,
     "settings file (INI); its sections and keys are in brackets below"},
    {"front-threads", "net", "front-threads", KIND_COUNT, AT(front_threads), "N|auto", "auto", 1,
     FRONT_THREADS_MAX, NULL, "threads that receive and decode; auto: processors - 1, at least 1"},
    {"net", "net", "edge", KIND_CHOICE, AT(net), "auto|uring|epoll", "auto", 0, 0, net_choices,
     "io_uring, epoll, or io_uring with epoll where the system forbids it"},
    {"connections-max", "net", "connections-max", KIND_COUNT, AT(connections_max), "N", "16384", 1,
     CONNECTIONS_SETTING_MAX, NULL, "connections a front thread holds open"},
    {"idle-seconds", "net", "idle-seconds", KIND_COUNT, AT(idle_seconds), "N", "120", 1, 86400,
     NULL, "a connection that is silent, or does not read its answers, is closed after this"},
    {"tls-cert", "tls", "cert", KIND_PATH, AT(tls_certificate), "FILE", "", 0, 0, NULL,
     "certificate and its chain (PEM): the listeners speak TLS only; SIGHUP reads it again"},
    {"tls-key", "tls", "key", KIND_PATH, AT(tls_key), "FILE", "", 0, 0, NULL,
     "the certificate's key (PEM, without passphrase), which only the server's user may read"},
    {"tls-listen", "tls", "listen", KIND_CHOICE, AT(tls_listen), "both|http|wire", "both", 0, 0,
     tls_choices, "which listeners speak TLS if there is a certificate; the other one does not"},
    {"log-map-bytes", "storage", "log-map-bytes", KIND_BYTES, AT(log_map_bytes), "SIZE", "1T", MIB,
     64 * 1024 * GIB, NULL, "the most the log may grow to; address space, not disk, is reserved"},
    {"snapshot-events", "storage", "snapshot-events", KIND_COUNT, AT(snapshot_events), "N",
     "10000000", 1000, (u64)1 << 40, NULL, "least events between two snapshots"},
    {"retention-days", "retention", "days", KIND_COUNT, AT(retention_days), "N", "0", 0,
     RETENTION_DAYS_MAX, NULL,
     "events whose time is so many days ago are refused and removed; 0: they are kept for ever"},
    {"price-models", "prices", "models", KIND_PATH, AT(price_models), "FILE", "", 0, 0, NULL,
     "model prices instead of the built-in ones (engine/price/data); SIGHUP reads them again"},
    {"price-providers", "prices", "providers", KIND_PATH, AT(price_providers), "FILE", "", 0, 0,
     NULL, "names of providers instead of the built-in ones; likewise"},
    {"price-extra", "prices", "extra", KIND_PATH, AT(price_extra), "FILE", "", 0, 0, NULL,
     "further model prices, before the others of the same provider and model; likewise"},
    {"cors-origins", "http", "cors-origins", KIND_ORIGINS, AT(cors_origins), "LIST", "", 0, 0, NULL,
     "origins whose pages may call the API from a browser: https://a.example,... or *"},
    {"forwarded-for", "http", "forwarded-for", KIND_CHOICE, AT(forwarded_for), "off|on", "off", 0,
     0, switch_choices,
     "on behind a proxy that sets X-Forwarded-For: its last address is the client's"},
    {"limit-management", "limits", "management", KIND_COUNT, AT(limit_management), "N", "6000", 0,
     LIMIT_COUNT_MAX, NULL, "requests a minute, by key or session, else by address; 0: no limit"},
    {"limit-auth", "limits", "auth", KIND_COUNT, AT(limit_auth), "N", "20", 0, LIMIT_COUNT_MAX,
     NULL, "requests to /api/auth/* in 15 minutes, logins by address; 0: no limit"},
    {"limit-signup", "limits", "signup", KIND_COUNT, AT(limit_signup), "N", "3", 0, LIMIT_COUNT_MAX,
     NULL, "requests to /api/signup an hour, by address; 0: no limit"},
    {"limit-expensive", "limits", "expensive", KIND_COUNT, AT(limit_expensive), "N", "5", 0,
     LIMIT_COUNT_MAX, NULL,
     "requests a minute that compute for long or ask other services, by account; 0: no limit"},
    {"limit-ingest-requests", "limits", "ingest-requests", KIND_COUNT, AT(limit_ingest_requests),
     "N", "0", 0, LIMIT_COUNT_MAX, NULL, "HTTP requests with events a second, by key; 0: no limit"},
    {"limit-ingest-events", "limits", "ingest-events", KIND_COUNT, AT(limit_ingest_events), "N",
     "0", 0, LIMIT_COUNT_MAX, NULL, "events sent over HTTP a second, by key; 0: no limit"},
    {"limit-failed", "limits", "failed", KIND_COUNT, AT(limit_failed), "N", "100", 0,
     LIMIT_COUNT_MAX, NULL,
     "bad keys and tokens a minute, by address; past it they get 429, good ones pass; 0: no limit"},
    {"limit-login", "limits", "login", KIND_COUNT, AT(limit_login), "N", "10", 0, LIMIT_COUNT_MAX,
     NULL, "wrong passwords in 15 minutes, by e-mail address; 0: no limit"},
    {"account-series-max", "limits", "account-series", KIND_COUNT, AT(account_series_max), "N",
     "20000000", 0, SERIES_MAX, NULL,
     "combinations of customer, feature, model and so on that an account may send; 0: no limit"},
    {"account-customers-max", "limits", "account-customers", KIND_COUNT, AT(account_customers_max),
     "N", "5000000", 0, DIM_VALUES_MAX, NULL, "customers that an account's events may name"},
    {"account-features-max", "limits", "account-features", KIND_COUNT, AT(account_features_max),
     "N", "100000", 0, DIM_VALUES_MAX, NULL, "features, likewise"},
    {"account-models-max", "limits", "account-models", KIND_COUNT, AT(account_models_max), "N",
     "100000", 0, DIM_VALUES_MAX, NULL, "models, likewise"},
    {"account-traces-max", "limits", "account-traces", KIND_COUNT, AT(account_traces_max), "N",
     "100000000", 0, TRACES_MAX, NULL, "trace ids, likewise"},
    {"memory-max", "limits", "memory-max", KIND_BYTES, AT(memory_max), "SIZE", "0", 128 * MIB,
     1024 * GIB, NULL,
     "memory past which events are refused with 503 until there is less; 0: no limit"},
    {"dedup-memory", "storage", "dedup-memory", KIND_BYTES, AT(dedup_memory), "SIZE", "0", 0,
     1024 * GIB, NULL,
     "memory for idempotency keys, older ones go to files; 0: a quarter of memory-max or machine, "
     "2G at most"},
    {"compat-published-limits", "compat", "published-limits", KIND_CHOICE,
     AT(compat_published_limits), "off|on", "off", 0, 0, switch_choices,
     "the 60 management requests a minute of the published API instead of limit-management"},
    {"compat-ingest-limit", "compat", "ingest-limit", KIND_CHOICE, AT(compat_ingest_limit),
     "off|on", "off", 0, 0, switch_choices,
     "and its 60 requests with events a minute instead of limit-ingest-requests"},
    {"signup", "account", "signup", KIND_CHOICE, AT(signup), "on|off", "on", 0, 0, switch_choices,
     "whether strangers may make an account: POST /api/signup"},
    {"account-plan", "account", "plan", KIND_PLAN, AT(account_plan), "NAME", "unlimited", 0, 0,
     NULL, "plan of new accounts; plans are sections [plan NAME] of the file"},
    {"user", "process", "user", KIND_PATH, AT(user), "NAME", "", 0, 0, NULL,
     "started as root: the user to become once the ports are bound; the data directory is given to "
     "him"},
    {"sandbox", "process", "sandbox", KIND_CHOICE, AT(sandbox), "off|auto|on|kill", "auto", 0, 0,
     sandbox_choices,
     "system calls that a server never needs fail, or kill it; auto: off where that is impossible"},
    {"core-dumps", "process", "core-dumps", KIND_CHOICE, AT(core_dumps), "off|on", "off", 0, 0,
     switch_choices, "on: a crash may leave the memory, with keys in it, on disk"},
    {"log-level", "log", "level", KIND_CHOICE, AT(log_level), "debug|info|warn|error", "info", 0, 0,
     level_choices, "the least important lines still written to stderr"},
};
#undef AT
#define SETTINGS ARRAY_COUNT(settings)
#define OPTION_HELP ((int)SETTINGS)
#define OPTION_VERSION ((int)SETTINGS + 1)
#define OPTIONS (SETTINGS + 2)
_Static_assert(OPTIONS < ':', "an option's number is not one of getopt's characters");

#define ENV_PREFIX "MARGIND_"
#define ENV_NAME_BYTES 48

/* "front-threads" -> "MARGIND_FRONT_THREADS". */
static void env_name(const struct setting *setting, char out[ENV_NAME_BYTES]) {
    usize prefix = strlen(ENV_PREFIX);
    usize bytes = strlen(setting->name);
    check(prefix + bytes < ENV_NAME_BYTES);
    memcpy(out, ENV_PREFIX, prefix);
    for (usize i = 0; i <= bytes; i++) {
        char c = setting->name[i];
        bool lower = c >= 'a' && c <= 'z';
        out[prefix + i] = (char)(c == '-' ? '_' : lower ? c - 'a' + 'A' : c);
    }
}

static void print_help(struct buf *message) {
    buf_put_text(message, "margind " MARGIN_VERSION ": what AI usage costs, earns and leaves.\n\n"
                          "usage: margind [--SETTING VALUE]...\n\n"
                          "A flag beats the environment, which beats the file.\n"
                          "SIZE takes a suffix K, M, G or T (powers of 1024).\n");
    for (usize i = 0; i < SETTINGS; i++) {
        const struct setting *setting = &settings[i];
        char env[ENV_NAME_BYTES];
        env_name(setting, env);
        buf_put_format(message, "\n  --%s %s\n      %s\n      default %s, env %s", setting->name,
                       setting->in, setting->help,
                       setting->fallback[0] != 0 ? setting->fallback : "none", env);
        if (setting->section != NULL) {
            buf_put_format(message, ", file [%s] %s", setting->section, setting->key);
        }
        buf_put_char(message, '\n');
    }
    buf_put_text(message,
                 "\nPlans (unlimited, free, pro, team) are changed and added in the file only:\n"
                 "  [plan NAME]\n  price-usd-month = 29\n  event-ingest = 1000000\n"
                 "  csv-upload = unlimited\n  ai-insights = unlimited\n");
    buf_put_text(message, "\n  --help\n  --version\n");
}

/* --- values: each returns false if the text is not one ---------------------------------------- */

static bool parse_digits(const char *text, usize bytes, u64 *out) {
    u64 value = 0;
    if (bytes == 0) {
        return false;
    }
    for (usize i = 0; i < bytes; i++) {
        u64 digit = (u64)(u8)text[i] - '0';
        if (digit > 9 || value > (UINT64_MAX - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    *out = value;
    return true;
}

static bool parse_bytes(const char *text, u64 *out) {
    static const char suffixes[] = "KMGT";
    usize bytes = strlen(text);
    unsigned shift = 0;
    if (bytes > 1) {
        char last = text[bytes - 1];
        char upper = (char)(last >= 'a' && last <= 'z' ? last - 'a' + 'A' : last);
        const char *suffix = strchr(suffixes, upper);
        if (suffix != NULL) {
            shift = 10 * (unsigned)(suffix - suffixes + 1);
            bytes--;
        }
    }
    u64 value;
    if (!parse_digits(text, bytes, &value) || value > UINT64_MAX >> shift) {
        return false;
    }
    *out = value << shift;
    return true;
}

static bool parse_listen(const char *text, struct config_listen *out) {
    const char *colon = strrchr(text, ':');
    if (colon == NULL) {
        return false;
    }
    const char *host = text;
    usize bytes = (usize)(colon - text);
    bool six = bytes > 2 && host[0] == '[' && host[bytes - 1] == ']';
    if (six) {
        host++;
        bytes -= 2;
    }
    u64 port;
    u8 address[sizeof(struct in6_addr)];
    struct config_listen listen = {0};
    if (bytes >= sizeof listen.host || strlen(colon + 1) > 5) {
        return false;
    }
    memcpy(listen.host, host, bytes);
    if (inet_pton(six ? AF_INET6 : AF_INET, listen.host, address) != 1 ||
        !parse_digits(colon + 1, strlen(colon + 1), &port) || port > UINT16_MAX) {
        return false;
    }
    listen.port = (u16)port;
    *out = listen;
    return true;
}

static bool parse_choice(const struct setting *setting, const char *text, unsigned *out) {
    for (unsigned i = 0; setting->choices[i] != NULL; i++) {
        if (strcmp(setting->choices[i], text) == 0) {
            *out = i;
            return true;
        }
    }
    return false;
}

static bool parse_number(const struct setting *setting, const char *text, u64 *out) {
    if (setting->kind == KIND_COUNT && strcmp(setting->fallback, "auto") == 0 &&
        strcmp(text, "auto") == 0) {
        *out = 0;
        return true;
    }
    u64 value = 0;
    bool good = setting->kind == KIND_BYTES ? parse_bytes(text, &value)
                                            : parse_digits(text, strlen(text), &value);
    bool is_fallback = value == 0 && strcmp(setting->fallback, "0") == 0;
    if (!good || (value < setting->least && !is_fallback) || value > setting->most) {
        return false;
    }
    *out = value;
    return true;
}

static bool parse_value(const struct setting *setting, const char *text, struct config *config) {
    void *member = (char *)config + setting->offset;
    usize bytes = strlen(text);
    switch (setting->kind) {
    case KIND_PATH:
        if (bytes >= CONFIG_PATH_BYTES_MAX || (bytes == 0 && setting->fallback[0] != 0)) {
            return false;
        }
        memcpy(member, text, bytes + 1);
        return true;
    case KIND_LISTEN:
        return parse_listen(text, member);
    case KIND_COUNT:
    case KIND_BYTES:
        return parse_number(setting, text, member);
    case KIND_CHOICE:
        return parse_choice(setting, text, member);
    case KIND_ORIGINS:
        if (bytes >= CONFIG_PATH_BYTES_MAX || !cors_is_list(text)) {
            return false;
        }
        memcpy(member, text, bytes + 1);
        return true;
    case KIND_PLAN:
        if (!plan_name_is_good(text)) {
            return false;
        }
        memcpy(member, text, bytes + 1);
        return true;
    }
    check(false);
    return false;
}

/* What the value should have been: the end of an error line. */
static void put_expected(const struct setting *setting, struct buf *message) {
    switch (setting->kind) {
    case KIND_PATH:
        buf_put_format(message, "is empty or longer than %zu bytes",
                       (usize)CONFIG_PATH_BYTES_MAX - 1);
        break;
    case KIND_LISTEN:
        buf_put_text(message, "is not a numeric HOST:PORT such as 127.0.0.1:8080 or [::1]:8080");
        break;
    case KIND_COUNT:
        buf_put_format(message, "is not a whole number from %llu to %llu%s",
                       (unsigned long long)setting->least, (unsigned long long)setting->most,
                       strcmp(setting->fallback, "auto") == 0 ? " or auto" : "");
        break;
    case KIND_BYTES:
        buf_put_format(message, "is not %sa size from %lluM to %lluT, such as 64M or 1T",
                       strcmp(setting->fallback, "0") == 0 ? "0 or " : "",
                       (unsigned long long)(setting->least >> 20),
                       (unsigned long long)(setting->most >> 40));
        break;
    case KIND_CHOICE:
        buf_put_format(message, "is not one of %s", setting->in);
        break;
    case KIND_ORIGINS:
        buf_put_text(message, "is not * or a list of origins such as https://app.example:8443");
        break;
    case KIND_PLAN:
        buf_put_text(message, "is not the name of a plan");
        break;
    }
}

/* --- sources: each applies what it holds, or leaves one line in the message ------------------- */

/* Applies one value; on failure the message says "<where>: "<text>" is not ...". */
static bool apply(const struct setting *setting, const char *text, struct config *config,
                  const char *where, struct buf *message) {
    if (parse_value(setting, text, config)) {
        return true;
    }
    buf_put_format(message, "%s: \"%.200s\" ", where, text);
    put_expected(setting, message);
    return false;
}

struct file_reading {
    struct config *config;
    struct buf problem;
};

/* Called by inih for each name = value; 0 stops it. */
static int on_file_value(void *user, const char *section, const char *key, const char *value) {
    static const char plan_section[] = "plan ";
    struct file_reading *reading = user;
    if (strncmp(section, plan_section, sizeof plan_section - 1) == 0) {
        const char *name = section + sizeof plan_section - 1;
        const char *why = plans_set(&reading->config->plans, name, key, value);
        if (why != NULL) {
            buf_put_format(&reading->problem, "%s: \"%.200s\": %s", key, value, why);
        }
        return why == NULL;
    }
    for (usize i = 0; i < SETTINGS; i++) {
        const struct setting *setting = &settings[i];
        if (setting->section != NULL && strcmp(setting->section, section) == 0 &&
            strcmp(setting->key, key) == 0) {
            return apply(setting, value, reading->config, key, &reading->problem);
        }
    }
    if (section[0] == '\0') {
        buf_put_format(&reading->problem, "%.100s stands below no [section]", key);
    } else {
        buf_put_format(&reading->problem, "there is no setting [%.100s] %.100s", section, key);
    }
    return 0;
}

static bool load_file(const char *path, struct config *config, struct buf *message) {
    /* Without these inih splits a line of more than 200 bytes in two. */
    ini_use_stack = false;
    ini_allow_realloc = true;
    ini_max_line = 2 * CONFIG_PATH_BYTES_MAX;
    ini_allow_multiline = false;
    struct file_reading reading = {.config = config};
    buf_init(&reading.problem, CONFIG_MESSAGE_BYTES_MAX);
    struct stat file;
    /* inih takes a directory for an empty file. */
    bool is_directory = stat(path, &file) == 0 && S_ISDIR(file.st_mode);
    int line = is_directory ? -1 : ini_parse(path, on_file_value, &reading);
    if (line < 0) {
        buf_put_format(message, "%.200s: the settings file cannot be read", path);
    } else if (line > 0) {
        buf_put_format(message, "%.200s:%d: ", path, line);
        if (reading.problem.bytes > 0) {
            buf_put_slice(message, buf_slice(&reading.problem));
        } else {
            buf_put_text(message, "neither [section] nor name = value");
        }
    }
    buf_free(&reading.problem);
    return line == 0;
}

/* The value of a setting's environment variable; NULL if unset or empty. */
static const char *env_find(const struct setting *setting, char *const *envp) {
    char name[ENV_NAME_BYTES];
    env_name(setting, name);
    usize bytes = strlen(name);
    for (; *envp != NULL; envp++) {
        if (strncmp(*envp, name, bytes) == 0 && (*envp)[bytes] == '=') {
            return (*envp)[bytes + 1] != 0 ? *envp + bytes + 1 : NULL;
        }
    }
    return NULL;
}

void config_warn_of_unknown(char *const *envp) {
    char known[ENV_NAME_BYTES];
    for (; *envp != NULL; envp++) {
        bool unknown = strncmp(*envp, ENV_PREFIX, sizeof ENV_PREFIX - 1) == 0;
        for (usize i = 0; unknown && i < SETTINGS; i++) {
            env_name(&settings[i], known);
            usize bytes = strlen(known);
            unknown = strncmp(*envp, known, bytes) != 0 || (*envp)[bytes] != '=';
        }
        if (unknown) {
            log_warn("unknown_variable", "name=%.*s action=\"no effect; see margind --help\"",
                     (int)strcspn(*envp, "="), *envp);
        }
    }
}

struct flags {
    const char *value[SETTINGS]; /* NULL: not given */
    bool help;
    bool version;
};

static void put_flag_problem(int answer, const char *argument, struct buf *message) {
    if (answer == ':') {
        buf_put_format(message, "%.200s needs a value; --help lists the settings", argument);
    } else {
        buf_put_format(message, "unknown option %.200s; --help lists the settings", argument);
    }
}

static bool read_flags(int argc, char **argv, struct flags *flags, struct buf *message) {
    struct option options[OPTIONS + 1] = {0};
    for (usize i = 0; i < SETTINGS; i++) {
        options[i] = (struct option){settings[i].name, required_argument, NULL, (int)i};
    }
    options[OPTION_HELP] = (struct option){"help", no_argument, NULL, OPTION_HELP};
    options[OPTION_VERSION] = (struct option){"version", no_argument, NULL, OPTION_VERSION};
    opterr = 0;
    optind = 0; /* glibc: start afresh */
    for (;;) {
        int at = MAX(optind, 1);
        int answer = getopt_long(argc, argv, "+:h", options, NULL);
        if (answer == -1) {
            break;
        }
        if (answer == OPTION_HELP || answer == 'h') {
            flags->help = true;
        } else if (answer == OPTION_VERSION) {
            flags->version = true;
        } else if (answer >= 0 && answer < (int)SETTINGS) {
            flags->value[answer] = optarg;
        } else {
            put_flag_problem(answer, argv[at], message);
            return false;
        }
    }
    if (optind < argc) {
        buf_put_format(message, "unexpected argument %.200s; --help lists the settings",
                       argv[optind]);
        return false;
    }
    return true;
}

/* One processor is left to the commit thread. */
static u64 default_front_threads(void) {
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return (u64)MIN(MAX(count - 1, 1), FRONT_THREADS_MAX);
}

static bool load_all(const struct flags *flags, char *const *envp, struct config *out,
                     struct buf *message) {
    char where[ENV_NAME_BYTES];
    for (usize i = 0; i < SETTINGS; i++) {
        check(parse_value(&settings[i], settings[i].fallback, out));
    }
    for (usize i = 0; i < SETTINGS; i++) {
        const char *file = flags->value[i] != NULL ? flags->value[i] : env_find(&settings[i], envp);
        if (settings[i].offset == offsetof(struct config, file) && file != NULL &&
            !load_file(file, out, message)) {
            return false;
        }
    }
    for (usize i = 0; i < SETTINGS; i++) {
        const char *text = env_find(&settings[i], envp);
        env_name(&settings[i], where);
        if (text != NULL && !apply(&settings[i], text, out, where, message)) {
            return false;
        }
    }
    for (usize i = 0; i < SETTINGS; i++) {
        const char *text = flags->value[i];
        snprintf(where, sizeof where, "--%s", settings[i].name);
        if (text != NULL && !apply(&settings[i], text, out, where, message)) {
            return false;
        }
    }
    if (plans_find(&out->plans, out->account_plan) == NULL) {
        buf_put_format(message, "there is no plan %s: a file's [plan %s] makes it",
                       out->account_plan, out->account_plan);
        return false;
    }
    if ((out->tls_certificate[0] == 0) != (out->tls_key[0] == 0)) {
        buf_put_format(message, "tls-cert and tls-key go together: there is no tls-%s",
                       out->tls_key[0] == 0 ? "key" : "cert");
        return false;
    }
    if (out->front_threads == 0) {
        out->front_threads = default_front_threads();
    }
    return true;
}

enum err config_load(int argc, char **argv, char *const *envp, struct config *out,
                     struct buf *message) {
    check(argc >= 1 && envp != NULL);
    *out = (struct config){0};
    plans_init(&out->plans);
    struct flags flags = {0};
    if (!read_flags(argc, argv, &flags, message)) {
        return ERR_INVALID;
    }
    if (flags.help || flags.version) {
        out->print_only = true;
        if (flags.help) {
            print_help(message);
        } else {
            buf_put_text(message, "margind " MARGIN_VERSION "\n");
        }
        return ERR_OK;
    }
    return load_all(&flags, envp, out, message) ? ERR_OK : ERR_INVALID;
}
