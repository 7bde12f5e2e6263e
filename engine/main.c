/*
 * main.c: wiring and the life of the process, nothing else: settings, storage, recovery, one edge a
 * front thread, signals, and an orderly end. Exit codes: 0 ok, 1 failure at run time, 2 bad usage.
 */
#include "account/account.h"
#include "account/keys.h"
#include "api/auth.h"
#include "api/context.h"
#include "api/error.h"
#include "api/metrics.h"
#include "api/past.h"
#include "api/routes.h"
#include "api/upload.h"
#include "api/wire_service.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "config.h"
#include "customer/roster.h"
#include "guard.h"
#include "net/edge.h"
#include "net/protocols.h"
#include "net/tls.h"
#include "pipeline.h"
#include "query/allocation.h"
#include "query/keeper.h"
#include "recover.h"
#include "reload.h"
#include "watch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXIT_RUN 1
#define EXIT_USAGE 2
#define WHY_BYTES (CONFIG_PATH_BYTES_MAX + 512)
#define STOP_GRACE_NS 10000000000u
#define HEAD_NS 10000000000u      /* a request's head must be whole within this */
#define HANDSHAKE_NS 10000000000u /* TLS must be established within this */
#define BODY_NS 30000000000u      /* and each HTTP_PROGRESS_BYTES of its body */
#define LAST_USE_SECONDS 5
#define KEYS_SHARE 4              /* of the memory, a part in so many is for keys */
#define KEYS_MEMORY_MAX (2 * GIB) /* unless somebody asks for more */
#define POOL_BYTES_MIN (64 * MIB)
#define POOL_BYTES (2 * GIB) /* a front thread: bodies and text under way */

extern char **environ;

enum listener { LISTEN_HTTP, LISTEN_WIRE, LISTENERS };

struct server;

struct front_thread {
    struct server *server;
    struct edge *edge;
    struct context context;
    struct http_server http;
    struct http_answers answers;
    struct wire_server wire;
    pthread_t thread;
    bool running;
    struct pulse pulse; /* beats when it is woken */
};

struct server {
    struct config config;
    struct control *control;
    struct accounts *accounts;
    struct store *store;
    struct price_table *table; /* read, until the prices take it */
    struct prices *prices;
    struct ledger *ledger;
    struct directory *directory;
    struct rosters *rosters;
    struct revenues *revenues;
    struct allocations *allocations;
    struct keeper *keeper;
    struct pasts *pasts;
    struct docs docs;
    struct door door;
    struct tls_identity *identity; /* NULL: no TLS */
    struct pipeline *pipeline;
    struct recovered recovered;
    _Atomic(struct agg *) agg;
    _Atomic bool ready;
    bool uploads_finished; /* what a crash had cut off */
    struct pulse pulse;    /* of the main thread */
    struct watch watch;
    u32 front_count;
    struct front_thread front[FRONT_THREADS_MAX];
    char why[WHY_BYTES];
};

/* --- signals ---------------------------------------------------------------------------------- */

static _Atomic bool stop_wanted;
static _Atomic bool reload_wanted;
static _Atomic bool write_failed;

static void on_signal(int signal_number) {
    (void)signal_number;
    atomic_store(&stop_wanted, true);
}

static void on_reload(int signal_number) {
    (void)signal_number;
    atomic_store(&reload_wanted, true);
}

/* SIGHUP reads files again where there are any, and is a closed terminal where there are none; a
 * service has no terminal. */
static void catch_signals(bool has_files) {
    struct sigaction action = {.sa_handler = on_signal};
    struct sigaction reload = {.sa_handler = on_reload};
    struct sigaction hangup;
    sigemptyset(&reload.sa_mask);
    sigemptyset(&action.sa_mask);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    if (has_files || guard_is_service()) {
        sigaction(SIGHUP, &reload, NULL);
    } else if (sigaction(SIGHUP, NULL, &hangup) == 0 &&
               hangup.sa_handler != SIG_IGN) { /* no nohup(1) */
        sigaction(SIGHUP, &action, NULL);
    }
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, NULL);
    sigaction(SIGXFSZ, &action, NULL); /* a limit on file sizes is a full disk, not a fault */
}

/* Only the main thread takes the signals that stop, and only where it waits or recovers: threads
 * inherit the mask. */
static void mask_signals(int how) {
    sigset_t stopping;
    sigemptyset(&stopping);
    sigaddset(&stopping, SIGTERM);
    sigaddset(&stopping, SIGINT);
    sigaddset(&stopping, SIGHUP);
    pthread_sigmask(how, &stopping, NULL);
}

/* --- what files say --------------------------------------------------------------------------- */

static struct reload_files files_of(const struct config *config) {
    return (struct reload_files){.models = config->price_models,
                                 .providers = config->price_providers,
                                 .extra = config->price_extra};
}

/* A file that is no price table changes nothing: what was in force stays. */
static void renew_prices(struct server *server) {
    const struct reload_files files = files_of(&server->config);
    struct price_table *table;
    char why[WHY_BYTES] = "";
    enum err err = reload_prices(&files, &table, why, sizeof why);
    if (err == ERR_OK) {
        u32 models = price_count(table);
        err = ledger_set_table(server->ledger, table, clock_wall_ms());
        if (err == ERR_OK) {
            log_info("prices_reloaded", "models=%u", models);
            return;
        }
        snprintf(why, sizeof why, "the changes could not be written down");
    }
    log_error("prices_refused", "reason=%s what=\"%s\" action=\"the old prices stay in force\"",
              err_text(err), why);
}

static enum err open_identity(struct server *server) {
    const struct config *config = &server->config;
    const struct tls_files files = {config->tls_certificate, config->tls_key};
    if (files.certificate[0] == 0) {
        return ERR_OK;
    }
    return tls_identity_open(&files, &server->identity, server->why, sizeof server->why);
}

static void renew_identity(struct server *server) {
    char why[WHY_BYTES] = "";
    enum err err = tls_identity_reload(server->identity, why, sizeof why);
    if (err == ERR_OK) {
        log_info("certificate_reloaded", "expires_in_days=%lld",
                 (long long)(tls_identity_expires_s(server->identity) - clock_wall_ms() / 1000) /
                     86400);
    } else {
        log_error("certificate_refused",
                  "reason=%s what=\"%s\" action=\"the old certificate stays in force\"",
                  err_text(err), why);
    }
}

static void reload(struct server *server) {
    const struct reload_files files = files_of(&server->config);
    if (reload_has_files(&files)) {
        renew_prices(server);
    }
    if (server->identity != NULL) {
        renew_identity(server);
    }
}

/* When each key was last used is noted in memory; here it is written, when nothing else is. */
static void write_last_uses(struct server *server) {
    static enum err said = ERR_OK;
    enum err err = keys_flush_used(server->accounts);
    if (err != ERR_OK && err != said) {
        log_warn("last_use_not_written", "reason=%s", err_text(err));
    }
    said = err;
}

static bool has_failed(const struct server *server) {
    return atomic_load(&write_failed) || control_failed(server->control);
}

static void wait_for_signal(struct server *server) {
    sigset_t open;
    sigemptyset(&open);
    u32 seconds = 0;
    while (!atomic_load(&stop_wanted) && !has_failed(server)) {
        if (atomic_exchange(&reload_wanted, false)) {
            reload(server);
        }
        /* A failed write raises no signal, so look once a second. */
        struct timespec second = {.tv_sec = 1};
        ppoll(NULL, 0, &second, &open);
        pulse_work(&server->pulse);
        guard_look();
        if (++seconds % LAST_USE_SECONDS == 0) {
            write_last_uses(server);
            server->uploads_finished =
                server->uploads_finished || upload_finish(&server->front[0].context);
        }
    }
}

/* --- opening ---------------------------------------------------------------------------------- */

static enum err say(struct server *server, enum err err, const char *text) {
    if (server->why[0] == '\0') {
        snprintf(server->why, sizeof server->why, "%s (%s)", text, err_text(err));
    }
    return err;
}

static const u32 *series_dims(void *context, u32 series) {
    struct server *server = context;
    return agg_series_dims(atomic_load(&server->agg), series);
}

static void key_file_path(const struct server *server, char *path, usize path_bytes) {
    snprintf(path, path_bytes, "%s/api-key", server->config.data_dir);
}

/* A file that is whole or absent, whatever happens meanwhile. */
static bool write_whole(const char *dir, const char *path, const char *text, usize bytes) {
    char fresh[CONFIG_PATH_BYTES_MAX + 32];
    snprintf(fresh, sizeof fresh, "%s.new", path);
    int file = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    errno = file >= 0 ? ENOSPC : errno; /* what a short write means */
    bool good = file >= 0 && write(file, text, bytes) == (ssize_t)bytes && fsync(file) == 0;
    if (file >= 0) {
        close(file);
    }
    fault_point("start.key-file-written");
    int directory = good && rename(fresh, path) == 0 ? open(dir, O_RDONLY | O_CLOEXEC) : -1;
    fault_point("start.key-file-renamed");
    good = directory >= 0 && fsync(directory) == 0;
    if (directory >= 0) {
        close(directory);
    }
    return good;
}

/* The first start leaves the first key where the owner of the directory finds it. */
static enum err write_first_key(struct server *server) {
    char key[KEY_TEXT_BYTES + 2];
    struct key_info info;
    /* `default`, or `default-2` beside a key that nobody ever saw: a first start was cut off. */
    const struct key_request request = {.scopes = SCOPE_ALL};
    enum err err =
        keys_create(server->accounts, ACCOUNT_DEFAULT, &request, clock_wall_ms(), key, &info);
    if (err != ERR_OK) {
        return say(server, err, "cannot make the first key");
    }
    char path[CONFIG_PATH_BYTES_MAX + 16];
    key_file_path(server, path, sizeof path);
    key[KEY_TEXT_BYTES] = '\n';
    if (!write_whole(server->config.data_dir, path, key, KEY_TEXT_BYTES + 1)) {
        snprintf(server->why, sizeof server->why, "cannot write %s: %s", path, strerror(errno));
        explicit_bzero(key, sizeof key);
        return ERR_IO;
    }
    explicit_bzero(key, sizeof key);
    log_info("first_start", "account=default key_file=\"%s\"", path);
    return ERR_OK;
}

/* Also where an earlier first start was cut off before it came to that. */
static bool wants_first_key(struct server *server) {
    char path[CONFIG_PATH_BYTES_MAX + 16];
    key_file_path(server, path, sizeof path);
    return accounts_created(server->accounts) ||
           (store_next_id(server->store) == 1 && access(path, F_OK) != 0);
}

static enum err open_storage(struct server *server) {
    const struct store_options options = {
        .dir = server->config.data_dir,
        .log_map_bytes = server->config.log_map_bytes,
        .series_dims = series_dims,
        .context = server,
    };
    enum err err = store_open(&options, &server->store, server->why, sizeof server->why);
    if (err == ERR_OK) {
        /* They hold the seeds that the log's keys are known by: never made anew beside events. */
        bool first_start = store_next_id(server->store) == 1;
        err = control_open(server->config.data_dir, first_start, &server->control, server->why,
                           sizeof server->why);
    }
    if (err == ERR_OK) {
        err = accounts_open(server->control, &server->accounts);
        if (err != ERR_OK) {
            return say(server, err, "cannot read the accounts");
        }
    }
    if (err == ERR_OK) {
        accounts_set_plans(server->accounts, &server->config.plans, server->config.account_plan);
    }
    if (err == ERR_OK && wants_first_key(server)) {
        err = write_first_key(server);
    }
    return err;
}

static void on_wake(void *context) {
    struct front_thread *front = context;
    pulse_work(&front->pulse);
    front_on_wake(front->context.front);
}

static void on_turn(void *context) {
    struct front_thread *front = context;
    front_on_turn(front->context.front);
}

static void wake_front(void *context, u32 index) {
    struct server *server = context;
    edge_wake(server->front[index].edge);
}

static void on_fatal(void *context) {
    (void)context;
    atomic_store(&write_failed, true);
}

/* Bodies get at most a quarter of what there is. */
static usize pool_bytes_of(const struct config *config) {
    usize most =
        config->memory_max == 0 ? POOL_BYTES : config->memory_max / 4 / config->front_threads;
    return MIN(MAX(most, POOL_BYTES_MIN), POOL_BYTES);
}

static struct agg_caps caps_of(const struct config *config) {
    return (struct agg_caps){{
        [AGG_CAP_SERIES] = (u32)config->account_series_max,
        [AGG_CAP_CUSTOMERS] = (u32)config->account_customers_max,
        [AGG_CAP_FEATURES] = (u32)config->account_features_max,
        [AGG_CAP_MODELS] = (u32)config->account_models_max,
        [AGG_CAP_TRACES] = (u32)config->account_traces_max,
    }};
}

static enum err open_pipeline(struct server *server) {
    enum err err = prices_create(server->table, &server->prices);
    server->table = NULL;
    if (err == ERR_OK) {
        err = ledger_open(server->control, server->prices, &server->ledger);
    }
    if (err != ERR_OK) {
        return say(server, err, "cannot read the accounts' prices");
    }
    err = directory_open(server->control, &server->directory);
    if (err == ERR_OK) {
        err = rosters_create(server->directory, &server->rosters);
    }
    if (err != ERR_OK) {
        return say(server, err, "cannot read the accounts' customers");
    }
    err = revenues_create(server->directory, &server->revenues);
    if (err == ERR_OK) {
        err = allocations_create(server->revenues, &server->allocations);
    }
    if (err == ERR_OK) {
        err = pasts_create(&server->pasts);
    }
    if (err != ERR_OK) {
        return say(server, err, "cannot keep the customers' revenue");
    }
    const struct pipeline_options options = {
        .store = server->store,
        .prices = server->prices,
        .directory = server->directory,
        .control = server->control,
        .dedup_seed = accounts_seed(server->accounts, "dedup"),
        .series_seed = accounts_seed(server->accounts, "series"),
        .digest_seed = accounts_seed(server->accounts, "digest"),
        .caps = caps_of(&server->config),
        .front_count = server->front_count,
        .snapshot_events = server->config.snapshot_events,
        .memory_max = server->config.memory_max,
        .retention_days = (u32)server->config.retention_days,
        .pool_bytes = pool_bytes_of(&server->config),
        .wake = wake_front,
        .fatal = on_fatal,
        .context = server,
    };
    err = pipeline_create(&options, &server->pipeline);
    return err == ERR_OK ? err : say(server, err, "cannot make the pipeline");
}

static void edge_metrics(void *wiring, struct buf *out) {
    struct server *server = wiring;
    struct metrics_edge sum = {0};
    for (u32 i = 0; i < server->front_count; i++) {
        struct edge_stats one;
        edge_get_stats(server->front[i].edge, &one);
        const struct http_answers *answers = &server->front[i].answers;
        sum.good += atomic_load_explicit(&answers->good, memory_order_relaxed);
        sum.refused_requests += atomic_load_explicit(&answers->refused, memory_order_relaxed);
        sum.throttled += atomic_load_explicit(&answers->throttled, memory_order_relaxed);
        sum.overloaded += atomic_load_explicit(&answers->overloaded, memory_order_relaxed);
        sum.failed += atomic_load_explicit(&answers->failed, memory_order_relaxed);
        sum.connections_most += server->config.connections_max;
        sum.connections += one.connections;
        sum.accepted += one.accepted;
        sum.refused += one.refused;
        sum.expired += one.expired;
        sum.starved += one.starved;
        sum.received_bytes += one.received_bytes;
        sum.sent_bytes += one.sent_bytes;
        sum.tls_established += one.tls_established;
        sum.tls_refused += one.tls_refused;
        sum.tls_handshakes += one.tls_handshakes;
        sum.tls_handshakes_most += TLS_HANDSHAKES_MAX;
        sum.tls_cut += one.tls_cut;
    }
    metrics_put_edge(out, &sum);
    if (server->identity != NULL) {
        metrics_put(out, METRICS_GAUGE, "margind_tls_certificate_expires_timestamp_seconds",
                    "When the certificate in force expires, in seconds since 1970.",
                    (u64)MAX(tls_identity_expires_s(server->identity), 0));
    }
    metrics_put(out, METRICS_COUNTER, "margind_sandbox_refused_total",
                "System calls that the sandbox refused since start.", guard_refused());
    metrics_put(out, METRICS_GAUGE, "margind_threads_hung",
                "Threads that do not get on with what they do.", watch_hung(&server->watch));
}

/* What stands before the handlers: documentation, rate limits, other origins. */
static enum err open_door(struct server *server) {
    const struct config *config = &server->config;
    u32 minute_ms = 60 * 1000;
    struct limit_rule rules[LIMIT_CLASSES] = {
        [LIMIT_MANAGE] = {(u32)config->limit_management, minute_ms},
        [LIMIT_AUTH] = {(u32)config->limit_auth, 15 * minute_ms},
        [LIMIT_SIGNUP] = {(u32)config->limit_signup, 60 * minute_ms},
        [LIMIT_EXPENSIVE] = {(u32)config->limit_expensive, minute_ms},
        [LIMIT_INGEST] = {(u32)config->limit_ingest_requests, 1000},
        [LIMIT_EVENTS] = {(u32)config->limit_ingest_events, 1000},
        [LIMIT_FAILED] = {(u32)config->limit_failed, minute_ms},
        [LIMIT_LOGIN] = {(u32)config->limit_login, 15 * minute_ms},
        [LIMIT_KNOWN] = {DOOR_KNOWN_MOST, DOOR_KNOWN_MS},
    };
    if (config->compat_published_limits != 0) {
        rules[LIMIT_MANAGE].most = LIMIT_PUBLISHED;
    }
    if (config->compat_ingest_limit != 0) {
        rules[LIMIT_INGEST] = (struct limit_rule){LIMIT_PUBLISHED, minute_ms};
    }
    server->door.origins = config->cors_origins;
    server->door.forwarded = config->forwarded_for != 0;
    server->door.seed = accounts_seed(server->accounts, "credentials");
    enum err err =
        limits_create(rules, accounts_seed(server->accounts, "limits"), &server->door.limits);
    if (err != ERR_OK) {
        return say(server, err, "cannot make the rate limits");
    }
    err = docs_make(&server->docs);
    return err == ERR_OK ? err : say(server, err, "cannot make the documentation");
}

static enum err open_front(struct server *server, u32 index, const u16 port[LISTENERS]) {
    struct front_thread *front = &server->front[index];
    const struct config *config = &server->config;
    front->server = server;
    front->context = (struct context){
        .pipeline = server->pipeline,
        .front = pipeline_front(server->pipeline, index),
        .store = server->store,
        .control = server->control,
        .accounts = server->accounts,
        .prices = server->prices,
        .ledger = server->ledger,
        .directory = server->directory,
        .rosters = server->rosters,
        .revenues = server->revenues,
        .allocations = server->allocations,
        .pasts = server->pasts,
        .docs = &server->docs,
        .door = &server->door,
        .signup = config->signup != 0,
        .ready = &server->ready,
        .edge_metrics = edge_metrics,
        .wiring = server,
    };
    front->http = (struct http_server){
        .router = routes_router(),
        .context = &front->context,
        .refusal = error_refusal,
        .enter = door_enter,
        .admit = auth_admit,
        .pool = front_pool(front->context.front),
        .answers = &front->answers,
        .head_ns = HEAD_NS,
        .body_ns = BODY_NS,
    };
    if (config->cors_origins[0] != 0) {
        front->http.begin = door_begin;
        front->http.preflight = door_preflight;
    }
    wire_server_init(&front->wire, &wire_service, &front->context, front->http.pool);
    protocols_bind_wire(&front->wire);
    const struct net_listener listeners[LISTENERS] = {
        [LISTEN_HTTP] = {&http_protocol, &front->http, config->http.host, port[LISTEN_HTTP],
                         config->tls_listen != CONFIG_TLS_WIRE ? server->identity : NULL},
        [LISTEN_WIRE] = {&wire_protocol, &front->wire, config->wire.host, port[LISTEN_WIRE],
                         config->tls_listen != CONFIG_TLS_HTTP ? server->identity : NULL},
    };
    const struct edge_options options = {
        .kind = config->net,
        .listeners = listeners,
        .listener_count = LISTENERS,
        .share_ports = index > 0,
        .connections_max = (u32)config->connections_max,
        .idle_ns = config->idle_seconds * 1000000000u,
        .handshake_ns = HANDSHAKE_NS,
        .on_wake = on_wake,
        .on_turn = on_turn,
        .context = front,
    };
    return edge_create(&options, &front->edge, server->why, sizeof server->why);
}

static enum err open_fronts(struct server *server) {
    u16 port[LISTENERS] = {server->config.http.port, server->config.wire.port};
    for (u32 i = 0; i < server->front_count; i++) {
        enum err err = open_front(server, i, port);
        if (err != ERR_OK) {
            return err;
        }
        for (u32 listener = 0; listener < LISTENERS; listener++) {
            port[listener] = edge_port(server->front[i].edge, listener);
        }
    }
    return ERR_OK;
}

/* --- running ---------------------------------------------------------------------------------- */

static void *run_front(void *context) {
    struct front_thread *front = context;
    pthread_setname_np(pthread_self(), "front");
    edge_begin(front->edge);
    guard_pass();
    edge_run(front->edge, STOP_GRACE_NS);
    return NULL;
}

static void start_fronts(struct server *server) {
    for (u32 i = 0; i < server->front_count; i++) {
        struct front_thread *front = &server->front[i];
        front->running = pthread_create(&front->thread, NULL, run_front, front) == 0;
        check(front->running);
    }
}

static void start_watch(struct server *server) {
    watch_add(&server->watch, WATCH_MAIN, 0, &server->pulse);
    watch_add_pipeline(&server->watch, pipeline_pulses(server->pipeline));
    for (u32 i = 0; i < server->front_count; i++) {
        watch_add(&server->watch, WATCH_FRONT, i, &server->front[i].pulse);
    }
    watch_start(&server->watch, wake_front, server);
}

static void stop_fronts(struct server *server) {
    for (u32 i = 0; i < server->front_count; i++) {
        if (server->front[i].running) {
            edge_stop(server->front[i].edge);
        }
    }
    for (u32 i = 0; i < server->front_count; i++) {
        if (server->front[i].running) {
            pthread_join(server->front[i].thread, NULL);
            server->front[i].running = false;
        }
    }
}

/* A small machine keeps its keys in memory as long as they are a small part of it. On a large one
 * more would not be faster: a key waits longer for a place in a larger set, and making a file of
 * more keys at once takes longer. */
static struct dedup_options keys_of(const struct config *config) {
    u64 memory = config->dedup_memory;
    if (memory == 0) {
        u64 pages = (u64)MAX(sysconf(_SC_PHYS_PAGES), 0);
        u64 machine = pages * (u64)MAX(sysconf(_SC_PAGESIZE), 0);
        memory = config->memory_max > 0 ? config->memory_max : machine;
        memory = MIN(memory / KEYS_SHARE, (u64)KEYS_MEMORY_MAX);
    }
    return (struct dedup_options){.dir = config->data_dir, .memory_bytes = memory};
}

/* Probes and metrics are answered while this runs; everything else gets 503 until `ready`. */
static enum err recover(struct server *server) {
    const struct recover_options options = {
        .store = server->store,
        .keys = keys_of(&server->config),
        .series_seed = accounts_seed(server->accounts, "series"),
        .dedup_seed = accounts_seed(server->accounts, "dedup"),
        .caps = caps_of(&server->config),
        .now_ms = clock_wall_ms(),
        .stop = &stop_wanted,
        .agg_place = &server->agg,
    };
    mask_signals(SIG_UNBLOCK);
    enum err err = recover_run(&options, &server->recovered);
    mask_signals(SIG_BLOCK);
    if (err == ERR_BUSY) {
        return err;
    }
    if (err != ERR_OK) {
        return say(server, err, "cannot rebuild the figures from the log");
    }
    for (u32 i = 0; i < server->front_count; i++) {
        server->front[i].context.agg = server->recovered.agg;
        server->front[i].context.usage = server->recovered.usage;
    }
    err = pipeline_start(server->pipeline, server->recovered.agg, server->recovered.dedup,
                         server->recovered.usage, server->recovered.snapshot_id);
    if (err == ERR_OK) {
        err = keeper_start(server->recovered.agg, server->allocations, &server->keeper);
    }
    return err == ERR_OK ? err : say(server, err, "cannot start the threads");
}

static void log_ready(const struct server *server) {
    static const char *const tls[] = {
        [CONFIG_TLS_BOTH] = "both", [CONFIG_TLS_HTTP] = "http", [CONFIG_TLS_WIRE] = "wire"};
    log_info("ready", "http=%s:%u wire=%s:%u tls=%s fronts=%u data=\"%s\"",
             server->config.http.host, edge_port(server->front[0].edge, LISTEN_HTTP),
             server->config.wire.host, edge_port(server->front[0].edge, LISTEN_WIRE),
             server->identity != NULL ? tls[server->config.tls_listen] : "off", server->front_count,
             server->config.data_dir);
}

static enum err serve(struct server *server) {
    enum err err = open_storage(server);
    if (err == ERR_OK) {
        err = open_pipeline(server);
    }
    if (err == ERR_OK) {
        err = open_door(server);
    }
    if (err == ERR_OK) {
        guard_bind_begin();
        err = open_fronts(server);
        enum err dropped = guard_bind_end(&server->config, server->why, sizeof server->why);
        err = err == ERR_OK ? dropped : err;
    }
    if (err != ERR_OK) {
        return err;
    }
    start_fronts(server);
    err = guard_close(&server->config, server->front_count, server->why, sizeof server->why);
    fault_point("start.open");
    if (err == ERR_OK) {
        err = recover(server);
    }
    fault_point("start.recovered");
    if (err == ERR_OK) {
        server->uploads_finished = upload_finish(&server->front[0].context);
        atomic_store(&server->ready, true);
        log_ready(server);
        guard_tell_ready();
        start_watch(server);
        wait_for_signal(server);
        watch_stop();
        guard_tell_stopping();
        log_info("stopping", "%s", "");
    }
    fault_point("stop.asked");
    stop_fronts(server);
    fault_point("stop.fronts-stopped");
    keeper_stop(server->keeper);
    pipeline_stop(server->pipeline);
    fault_point("stop.pipeline-stopped");
    write_last_uses(server);
    guard_look();
    if (err == ERR_OK && has_failed(server)) {
        return say(server, ERR_IO,
                   "the data directory cannot be written or read; restart to recover");
    }
    return err == ERR_BUSY ? ERR_OK : err;
}

static void close_all(struct server *server) {
    for (u32 i = 0; i < server->front_count; i++) {
        if (server->front[i].edge != NULL) {
            edge_destroy(server->front[i].edge);
            wire_server_free(&server->front[i].wire);
        }
    }
    pipeline_destroy(server->pipeline);
    atomic_store(&server->agg, NULL);
    store_close(server->store);
    recover_free(&server->recovered);
    accounts_close(server->accounts);
    control_close(server->control);
    rosters_destroy(server->rosters);
    allocations_destroy(server->allocations);
    pasts_destroy(server->pasts);
    revenues_destroy(server->revenues);
    directory_close(server->directory);
    ledger_close(server->ledger);
    prices_destroy(server->prices);
    price_table_free(server->table);
    docs_free(&server->docs);
    limits_destroy(server->door.limits);
    tls_identity_close(server->identity);
}

int main(int argc, char **argv) {
    static struct server server;
    struct buf message;
    buf_init(&message, CONFIG_MESSAGE_BYTES_MAX);
    int fault_code = 0;
    if (!fault_take_argument(&argc, argv, &fault_code)) {
        return fault_code;
    }
    enum err err = config_load(argc, argv, environ, &server.config, &message);
    if (err != ERR_OK || server.config.print_only) {
        int to = err != ERR_OK ? STDERR_FILENO : STDOUT_FILENO;
        dprintf(to, "%s%.*s%s", err != ERR_OK ? "margind: " : "", (int)message.bytes, message.data,
                err != ERR_OK ? "\n" : "");
        buf_free(&message);
        return err != ERR_OK ? EXIT_USAGE : 0;
    }
    buf_free(&message);
    log_set_level(server.config.log_level);
    config_warn_of_unknown(environ);
    err = guard_begin(&server.config, environ, server.why, sizeof server.why);
    if (err != ERR_OK) {
        log_error("failed", "reason=%s what=\"%s\"", err_text(err), server.why);
        return err == ERR_INVALID ? EXIT_USAGE : EXIT_RUN;
    }
    server.front_count = (u32)server.config.front_threads;
    const struct reload_files files = files_of(&server.config);
    err = reload_prices(&files, &server.table, server.why, sizeof server.why);
    if (err == ERR_OK) {
        err = open_identity(&server);
    }
    if (err != ERR_OK) {
        log_error("failed", "reason=%s what=\"%s\"", err_text(err), server.why);
        return EXIT_USAGE;
    }
    catch_signals(reload_has_files(&files) || server.identity != NULL);
    mask_signals(SIG_BLOCK);
    err = guard_own_files(&server.config, server.why, sizeof server.why);
    if (err == ERR_OK) {
        err = serve(&server);
    }
    if (err != ERR_OK) {
        log_error("failed", "reason=%s what=\"%s\"", err_text(err), server.why);
    } else {
        log_info("stopped", "%s", "");
    }
    close_all(&server);
    return err == ERR_OK ? 0 : EXIT_RUN;
}
