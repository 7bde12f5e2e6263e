/*
 * config.h: the settings of the server. One table in config.c lists each setting once: its flag,
 * environment variable, place in the settings file, default, bounds and help text. A flag beats the
 * environment, which beats the file, which beats the default; every value given is checked, also
 * one that is overridden, so that a mistake shows the day it is made.
 */
#ifndef MARGIN_CONFIG_H
#define MARGIN_CONFIG_H

#include "account/plan.h"
#include "base.h"
#include "base/buf.h"
#include "base/log.h"
#include "limits.h"
#include "net/edge.h"

#define CONFIG_HOST_BYTES 46 /* the longest numeric IPv6 address and a NUL */
#define CONFIG_MESSAGE_BYTES_MAX (16 * KIB)

struct config_listen {
    char host[CONFIG_HOST_BYTES]; /* numeric address without brackets */
    u16 port;                     /* 0: the system chooses */
};

enum config_tls { CONFIG_TLS_BOTH, CONFIG_TLS_HTTP, CONFIG_TLS_WIRE };

/* --sandbox: auto goes on without one where it is not possible. */
enum sandbox_setting { SANDBOX_OFF, SANDBOX_AUTO, SANDBOX_ON, SANDBOX_KILL };

struct config {
    bool print_only; /* --help or --version: print the message on stdout and exit 0 */
    char data_dir[CONFIG_PATH_BYTES_MAX];
    char file[CONFIG_PATH_BYTES_MAX]; /* settings file; empty: none */
    struct config_listen http;
    struct config_listen wire;
    char user[CONFIG_PATH_BYTES_MAX]; /* to become; empty: stay who we are */
    enum sandbox_setting sandbox;
    unsigned core_dumps; /* a switch */
    u64 front_threads;   /* 1..FRONT_THREADS_MAX, "auto" resolved */
    enum edge_kind net;
    u64 connections_max;                         /* a front thread */
    u64 idle_seconds;                            /* a connection silent for longer is closed */
    char tls_certificate[CONFIG_PATH_BYTES_MAX]; /* PEM files, both or none */
    char tls_key[CONFIG_PATH_BYTES_MAX];
    enum config_tls tls_listen; /* who speaks TLS, if there are such files */
    u64 log_map_bytes;
    u64 snapshot_events;
    u64 retention_days; /* 0: events are kept for ever */
    char cors_origins[CONFIG_PATH_BYTES_MAX];
    unsigned forwarded_for; /* switches: 0 off, 1 on */
    u64 limit_management;   /* limits: requests a window, 0: none */
    u64 limit_auth;
    u64 limit_signup;
    u64 limit_expensive;
    u64 limit_ingest_requests;
    u64 limit_ingest_events;
    u64 limit_failed;
    u64 limit_login;
    unsigned compat_published_limits;
    unsigned compat_ingest_limit;
    u64 account_series_max; /* 0: no cap */
    u64 account_customers_max;
    u64 account_features_max;
    u64 account_models_max;
    u64 account_traces_max;
    u64 memory_max;   /* bytes; 0: none */
    u64 dedup_memory; /* bytes of keys in memory; 0: a quarter of what there is, 2 GiB at most */
    enum log_level log_level;
    char price_models[CONFIG_PATH_BYTES_MAX]; /* files of prices; empty: the built-in ones */
    char price_providers[CONFIG_PATH_BYTES_MAX];
    char price_extra[CONFIG_PATH_BYTES_MAX];
    unsigned signup;                      /* 0: POST /api/signup is off */
    char account_plan[PLAN_NAME_MAX + 1]; /* of new accounts; one of plans */
    struct plans plans;
};

/* Reads the settings. `envp` ends with NULL, as environ does; argv[0] is the program. Reads the
 * settings file and the number of processors, nothing else.
 * ERR_OK: `out` is complete; with out->print_only the message is what to print.
 * ERR_INVALID: the message is one line (without newline) that says what is wrong and where.
 * Not for two threads at once: getopt keeps its place in a global. */
enum err config_load(int argc, char **argv, char *const *envp, struct config *out,
                     struct buf *message);

/* A log line for each variable of the environment that begins as ours do and is none of them. It
 * may be a setting mistyped; it is no error, because orchestrators set such names for a service,
 * too. */
void config_warn_of_unknown(char *const *envp);

#endif
