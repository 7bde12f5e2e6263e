/*
 * margin-load: the load generator. Sends made-up events (tools/client/generate.c) over HTTP or the
 * binary socket, in a closed loop or at a fixed rate, and reports rates and latencies. See
 * tools/margin-load/load.h for how it stays out of the way of what it measures.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "tools/client/generate.h"
#include "tools/margin-load/load.h"
#include "version.h"

#define CONNECTIONS_MAX_LOAD 16384
#define THREADS_MAX 64

static const char usage[] =
    "usage: margin-load [options]\n"
    "\n"
    "Sends made-up usage events to a margind server and reports rates and latencies.\n"
    "\n"
    "  --mode MODE        http       batches over HTTP (default)\n"
    "                     single     one event a request over HTTP\n"
    "                     wire       native batches over the binary socket\n"
    "                     json-wire  JSON bodies over the binary socket\n"
    "                     point      point queries over the binary socket, pipelined\n"
    "  --http HOST:PORT   HTTP address (default 127.0.0.1:8080)\n"
    "  --server HOST:PORT binary socket (default 127.0.0.1:8081)\n"
    "  --tls              TLS on both; on one of them: https://HOST:PORT, tls://HOST:PORT\n"
    "  --tls-ca FILE      the same, with a certificate that is in FILE or signed by one that is\n"
    "  --key KEY          API key (default: MARGIN_KEY, else DIR/api-key)\n"
    "  --data-dir DIR     where api-key lies (default ./data)\n"
    "  --connections N    connections over all threads (default 8)\n"
    "  --threads N        client threads (default 1)\n"
    "  --pipeline N       requests under way on each connection (default 1)\n"
    "  --batch N          events a request (default 1000; at most 1000, or 4096 for wire)\n"
    "  --events N         stop after so many events (10k, 5M)\n"
    "  --seconds N        stop after so long (default 10, if --events is not given)\n"
    "  --rate N           events a second on a fixed schedule; latency counts from the time a\n"
    "                     request was due, so a server that stalls is not spared (default: as\n"
    "                     fast as answers come)\n"
    "  --query-rate N     beside it, N queries a second for the top 100 customers by margin\n"
    "  --customers N, --features N, --models N   how many of each (default 10000, 40, 10)\n"
    "  --duplicates N     events of a thousand that repeat an earlier key (default 0)\n"
    "  --shuffled         members of each JSON event in an order of its own\n"
    "  --unexpected N     members more in each JSON event, of names nobody knows (default 0, at\n"
    "                     most 8)\n"
    "  --spread           times over the last 30 days instead of now\n"
    "  --seed N           the seed of keys and content (default: new keys, the same content)\n"
    "  --json             the report as one JSON object\n"
    "  --help, --version  this text; the version\n"
    "\n"
    "examples:\n"
    "  margin-load --seconds 10\n"
    "  margin-load --mode wire --events 10M --query-rate 1000\n"
    "  margin-load --mode single --connections 256 --rate 50000\n";

static const char *const mode_names[LOAD_MODES] = {"http", "single", "wire", "json-wire", "point"};

enum option_code {
    OPTION_MODE = 256,
    OPTION_HTTP,
    OPTION_SERVER,
    OPTION_TLS,
    OPTION_TLS_CA,
    OPTION_KEY,
    OPTION_DATA_DIR,
    OPTION_CONNECTIONS,
    OPTION_THREADS,
    OPTION_PIPELINE,
    OPTION_BATCH,
    OPTION_EVENTS,
    OPTION_SECONDS,
    OPTION_RATE,
    OPTION_QUERY_RATE,
    OPTION_CUSTOMERS,
    OPTION_FEATURES,
    OPTION_MODELS,
    OPTION_DUPLICATES,
    OPTION_SHUFFLED,
    OPTION_UNEXPECTED,
    OPTION_SPREAD,
    OPTION_SEED,
    OPTION_JSON,
    OPTION_HELP,
    OPTION_VERSION
};

static const struct option long_options[] = {
    {"mode", required_argument, NULL, OPTION_MODE},
    {"http", required_argument, NULL, OPTION_HTTP},
    {"server", required_argument, NULL, OPTION_SERVER},
    {"tls", no_argument, NULL, OPTION_TLS},
    {"tls-ca", required_argument, NULL, OPTION_TLS_CA},
    {"key", required_argument, NULL, OPTION_KEY},
    {"data-dir", required_argument, NULL, OPTION_DATA_DIR},
    {"connections", required_argument, NULL, OPTION_CONNECTIONS},
    {"threads", required_argument, NULL, OPTION_THREADS},
    {"pipeline", required_argument, NULL, OPTION_PIPELINE},
    {"batch", required_argument, NULL, OPTION_BATCH},
    {"events", required_argument, NULL, OPTION_EVENTS},
    {"seconds", required_argument, NULL, OPTION_SECONDS},
    {"rate", required_argument, NULL, OPTION_RATE},
    {"query-rate", required_argument, NULL, OPTION_QUERY_RATE},
    {"customers", required_argument, NULL, OPTION_CUSTOMERS},
    {"features", required_argument, NULL, OPTION_FEATURES},
    {"models", required_argument, NULL, OPTION_MODELS},
    {"duplicates", required_argument, NULL, OPTION_DUPLICATES},
    {"shuffled", no_argument, NULL, OPTION_SHUFFLED},
    {"unexpected", required_argument, NULL, OPTION_UNEXPECTED},
    {"spread", no_argument, NULL, OPTION_SPREAD},
    {"seed", required_argument, NULL, OPTION_SEED},
    {"json", no_argument, NULL, OPTION_JSON},
    {"help", no_argument, NULL, OPTION_HELP},
    {"version", no_argument, NULL, OPTION_VERSION},
    {NULL, 0, NULL, 0}};

/* --- options ---------------------------------------------------------------------------------- */

_Noreturn static void bad_usage(const char *text, const char *value) {
    fprintf(stderr, "margin-load: %s%s%s; try --help\n", text, value != NULL ? ": " : "",
            value != NULL ? value : "");
    exit(2);
}

static u64 number(const char *name, const char *text, u64 least, u64 most) {
    u64 value;
    if (!settings_read_number(text, least, most, &value)) {
        char message[128];
        snprintf(message, sizeof message, "--%s must be a number from %llu to %llu", name,
                 (unsigned long long)least, (unsigned long long)most);
        bad_usage(message, text);
    }
    return value;
}

static enum load_mode read_mode(const char *text) {
    for (u32 mode = 0; mode < LOAD_MODES; mode++) {
        if (strcmp(text, mode_names[mode]) == 0) {
            return (enum load_mode)mode;
        }
    }
    bad_usage("no such mode", text);
}

static void read_address(const char *text, struct settings_address *out) {
    if (!settings_read_address(text, out)) {
        bad_usage("not an address like 127.0.0.1:8080", text);
    }
}

/* The options whose value is a number. */
static bool read_number_option(int option, const char *text, struct load_options *out) {
    switch (option) {
    case OPTION_CONNECTIONS:
        out->connections = (u32)number("connections", text, 1, CONNECTIONS_MAX_LOAD);
        return true;
    case OPTION_THREADS:
        out->threads = (u32)number("threads", text, 1, THREADS_MAX);
        return true;
    case OPTION_PIPELINE:
        out->pipeline = (u32)number("pipeline", text, 1, WIRE_IN_FLIGHT_MAX);
        return true;
    case OPTION_BATCH:
        out->batch = (u32)number("batch", text, 1, WIRE_EVENTS_MAX);
        return true;
    case OPTION_EVENTS:
        out->events = number("events", text, 1, UINT64_MAX / 2);
        return true;
    case OPTION_SECONDS:
        out->seconds = number("seconds", text, 1, 1000000);
        return true;
    case OPTION_RATE:
        out->rate = number("rate", text, 1, 1000000000);
        return true;
    case OPTION_QUERY_RATE:
        out->query_rate = number("query-rate", text, 1, 1000000);
        return true;
    case OPTION_CUSTOMERS:
        out->customers = number("customers", text, 1, 10000000);
        return true;
    case OPTION_FEATURES:
        out->features = number("features", text, 1, 100000);
        return true;
    case OPTION_MODELS:
        out->models = number("models", text, 1, generator_models_max());
        return true;
    case OPTION_DUPLICATES:
        out->duplicates = number("duplicates", text, 0, 1000);
        return true;
    case OPTION_UNEXPECTED:
        out->unexpected = number("unexpected", text, 0, GENERATED_UNEXPECTED_MAX);
        return true;
    case OPTION_SEED:
        out->seed = out->content_seed = number("seed", text, 0, UINT64_MAX);
        return true;
    default:
        return false;
    }
}

static void read_options(int argc, char **argv, struct load_options *out) {
    const char *key = NULL;
    const char *data_dir = "./data";
    for (;;) {
        int option = getopt_long(argc, argv, "", long_options, NULL);
        if (option == -1) {
            break;
        }
        if (option == OPTION_MODE) {
            out->mode = read_mode(optarg);
        } else if (option == OPTION_HTTP) {
            read_address(optarg, &out->http);
        } else if (option == OPTION_SERVER) {
            read_address(optarg, &out->wire);
        } else if (option == OPTION_TLS || option == OPTION_TLS_CA) {
            out->http.tls = out->wire.tls = true;
            out->tls_ca = option == OPTION_TLS_CA ? optarg : out->tls_ca;
        } else if (option == OPTION_KEY) {
            key = optarg;
        } else if (option == OPTION_DATA_DIR) {
            data_dir = optarg;
        } else if (option == OPTION_SHUFFLED) {
            out->shuffled = true;
        } else if (option == OPTION_SPREAD) {
            out->spread = true;
        } else if (option == OPTION_JSON) {
            out->json = true;
        } else if (option == OPTION_HELP) {
            fputs(usage, stdout);
            exit(0);
        } else if (option == OPTION_VERSION) {
            printf("margin-load %s\n", MARGIN_VERSION);
            exit(0);
        } else if (!read_number_option(option, optarg, out)) {
            fputs("margin-load: try --help\n", stderr);
            exit(2);
        }
    }
    if (optind < argc) {
        bad_usage("an argument that is no option", argv[optind]);
    }
    char why[512];
    if (!settings_find_key(key, data_dir, out->key, why, sizeof why)) {
        bad_usage(why, NULL);
    }
}

static void settle_options(struct load_options *options) {
    if (options->events == 0 && options->seconds == 0) {
        options->seconds = 10;
    }
    options->batch = options->mode == LOAD_SINGLE ? 1 : options->batch;
    if (options->mode != LOAD_WIRE && options->batch > INGEST_EVENTS_MAX) {
        bad_usage("a JSON batch has at most 1000 events", NULL);
    }
    bool plain = options->mode == LOAD_HTTP || options->mode == LOAD_WIRE_JSON;
    if (!plain && (options->shuffled || options->unexpected > 0)) {
        bad_usage("--shuffled and --unexpected are for the modes http and json-wire", NULL);
    }
    options->threads = MIN(options->threads, options->connections);
    options->events -= options->events % options->batch;
}

/* --- report ----------------------------------------------------------------------------------- */

static const u32 quantiles[] = {500000, 900000, 990000, 999000, 1000000};
static const char *const quantile_names[] = {"p50", "p90", "p99", "p99_9", "max"};

static void print_latency(const struct histogram *histogram) {
    for (usize i = 0; i < ARRAY_COUNT(quantiles); i++) {
        printf("  %s %.3f ms", quantile_names[i],
               (double)histogram_quantile(histogram, quantiles[i]) / 1e6);
    }
    printf("\n");
}

static void print_text(const struct load_options *options, const struct load_counts *counts,
                       const struct load_counts *queries, double seconds) {
    bool point = options->mode == LOAD_POINT;
    printf("mode      %s, %u connections x %u, batches of %u\n", mode_names[options->mode],
           options->connections, options->pipeline, options->batch);
    if (!point) {
        printf("events    %llu sent, %llu accepted, %llu duplicates, %llu refused\n",
               (unsigned long long)counts->sent, (unsigned long long)counts->accepted,
               (unsigned long long)counts->duplicates, (unsigned long long)counts->refused);
        printf("rate      %.0f events/s, ", (double)counts->sent / seconds);
    } else {
        printf("rate      ");
    }
    printf("%.0f requests/s, %.1f MB/s for %.3f s\n", (double)counts->requests / seconds,
           (double)counts->bytes / seconds / 1e6, seconds);
    printf("latency ");
    print_latency(&counts->latency_ns);
    for (u32 i = 0; i < LOAD_STATUS_MAX; i++) {
        if (counts->status[i] > 0) {
            printf("errors    %u: %llu\n", i, (unsigned long long)counts->status[i]);
        }
    }
    if (counts->lost + counts->retries > 0) {
        printf("trouble   %llu connections lost, %llu requests sent again\n",
               (unsigned long long)counts->lost, (unsigned long long)counts->retries);
    }
    if (options->query_rate > 0) {
        printf("queries   %.0f/s of %llu/s wanted\n", (double)queries->requests / seconds,
               (unsigned long long)options->query_rate);
        printf("latency ");
        print_latency(&queries->latency_ns);
    }
}

static void print_json_part(const struct load_counts *counts) {
    printf("\"requests\":%llu,\"latency_ns\":{", (unsigned long long)counts->requests);
    for (usize i = 0; i < ARRAY_COUNT(quantiles); i++) {
        printf("%s\"%s\":%llu", i > 0 ? "," : "", quantile_names[i],
               (unsigned long long)histogram_quantile(&counts->latency_ns, quantiles[i]));
    }
    printf("},\"errors\":{");
    const char *comma = "";
    for (u32 i = 0; i < LOAD_STATUS_MAX; i++) {
        if (counts->status[i] > 0) {
            printf("%s\"%u\":%llu", comma, i, (unsigned long long)counts->status[i]);
            comma = ",";
        }
    }
    printf("}");
}

static void print_json(const struct load_options *options, const struct load_counts *counts,
                       const struct load_counts *queries, double seconds) {
    printf("{\"mode\":\"%s\",\"connections\":%u,\"pipeline\":%u,\"batch\":%u,\"seconds\":%.6f,"
           "\"sent\":%llu,\"accepted\":%llu,\"duplicates\":%llu,\"refused\":%llu,"
           "\"events_per_second\":%.0f,\"requests_per_second\":%.0f,\"bytes\":%llu,"
           "\"lost\":%llu,\"retries\":%llu,",
           mode_names[options->mode], options->connections, options->pipeline, options->batch,
           seconds, (unsigned long long)counts->sent, (unsigned long long)counts->accepted,
           (unsigned long long)counts->duplicates, (unsigned long long)counts->refused,
           (double)counts->sent / seconds, (double)counts->requests / seconds,
           (unsigned long long)counts->bytes, (unsigned long long)counts->lost,
           (unsigned long long)counts->retries);
    print_json_part(counts);
    if (options->query_rate > 0) {
        printf(",\"queries\":{");
        print_json_part(queries);
        printf("}");
    }
    printf("}\n");
}

/* --- running ---------------------------------------------------------------------------------- */

static void add_counts(struct load_counts *to, const struct load_counts *from) {
    to->requests += from->requests;
    to->sent += from->sent;
    to->accepted += from->accepted;
    to->duplicates += from->duplicates;
    to->refused += from->refused;
    to->bytes += from->bytes;
    to->retries += from->retries;
    to->lost += from->lost;
    for (u32 i = 0; i < LOAD_STATUS_MAX; i++) {
        to->status[i] += from->status[i];
    }
    histogram_merge(&to->latency_ns, &from->latency_ns);
}

static int run(const struct load_options *options) {
    static struct load_run shared;
    static struct load_counts total;
    shared.options = options;
    if (options->http.tls || options->wire.tls) {
        char why[512];
        shared.trust = secure_trust_open(options->tls_ca, why, sizeof why);
        if (shared.trust == NULL) {
            fprintf(stderr, "margin-load: %s\n", why);
            return 1;
        }
    }
    u32 threads = options->mode == LOAD_POINT ? options->connections : options->threads;
    threads = MIN(threads, THREADS_MAX);
    u32 all = threads + (options->query_rate > 0);
    struct load_worker *workers = calloc(all, sizeof *workers);
    pthread_t thread[THREADS_MAX + 1];
    check(workers != NULL && pthread_barrier_init(&shared.barrier, NULL, all + 1) == 0);
    for (u32 i = 0; i < all; i++) {
        workers[i].run = &shared;
        workers[i].index = i;
        void *(*body)(void *) = i == threads                  ? load_query_run
                                : options->mode == LOAD_POINT ? load_point_run
                                                              : load_worker_run;
        check(pthread_create(&thread[i], NULL, body, &workers[i]) == 0);
    }
    pthread_barrier_wait(&shared.barrier); /* all are connected */
    u64 start_ns = clock_monotonic_ns();
    shared.start_ns = start_ns;
    pthread_barrier_wait(&shared.barrier);
    for (u32 i = 0; i < all; i++) {
        if (i == threads) {
            atomic_store(&shared.stop, true);
        }
        pthread_join(thread[i], NULL);
    }
    double seconds = (double)(clock_monotonic_ns() - start_ns) / 1e9;
    int exit_code = 0;
    for (u32 i = 0; i < all; i++) {
        if (workers[i].failed) {
            fprintf(stderr, "margin-load: %s\n", workers[i].why);
            exit_code = 1;
        }
        if (i < threads) {
            add_counts(&total, &workers[i].counts);
        }
    }
    if (exit_code == 0 || total.requests > 0) {
        (options->json ? print_json : print_text)(options, &total, &workers[all - 1].counts,
                                                  seconds);
    }
    free(workers);
    secure_trust_close(shared.trust);
    if (exit_code == 0 && total.sent > 0 && total.accepted + total.duplicates == 0) {
        bool key = total.status[401] + total.status[403] > 0;
        fprintf(stderr, "margin-load: no event was accepted%s\n",
                key ? ": the key is unknown or lacks the scope events.write" : "");
        exit_code = 1;
    }
    return exit_code;
}

int main(int argc, char **argv) {
    static struct load_options options = {.mode = LOAD_HTTP,
                                          .http = {"127.0.0.1", 8080, false},
                                          .wire = {"127.0.0.1", 8081, false},
                                          .connections = 8,
                                          .threads = 1,
                                          .pipeline = 1,
                                          .batch = 1000,
                                          .content_seed = 1,
                                          .customers = 10000,
                                          .features = 40,
                                          .models = 10};
    options.seed = (u64)clock_wall_ms();
    read_options(argc, argv, &options);
    settle_options(&options);
    return run(&options);
}
