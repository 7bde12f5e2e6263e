/*
 * race-peers: the same events through what people would use instead, and through margind; one
 * table. bench/race/README.md says what each peer's configuration is and why it is fair.
 *
 *     race-peers --build BUILD [PEER...]
 *
 * Bounds come from the environment: RACE_EVENTS, RACE_SECONDS (whichever is reached first),
 * RACE_QUERIES (a second), RACE_CUSTOMERS, RACE_BATCH, RACE_WRITERS, RACE_DIR.
 */
#include "race.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/client/settings.h"

#define SEED 20260101

static const struct peer *const peers[] = {&peer_postgres, &peer_redis,        &peer_clickhouse,
                                           &peer_sqlite,   &peer_margind_http, &peer_margind_wire};

static volatile sig_atomic_t stopped;

static void on_signal(int signal) {
    (void)signal;
    stopped = 1;
}

bool race_stopped(void) {
    return stopped != 0;
}

bool race_failed(const char *what, const char *detail) {
    fprintf(stderr, "race: %s: %s\n", what, detail);
    return false;
}

/* --- options ---------------------------------------------------------------------------------- */

static u64 setting(const char *name, u64 fallback, u64 least, u64 most) {
    const char *text = getenv(name);
    u64 value = fallback;
    if (text != NULL && !settings_read_number(text, least, most, &value)) {
        fprintf(stderr, "race: %s must be a number from %llu to %llu\n", name,
                (unsigned long long)least, (unsigned long long)most);
        exit(2);
    }
    return value;
}

_Noreturn static void bad_usage(const char *what, const char *detail) {
    fprintf(stderr, "race: %s %s\nusage: race-peers [--build BUILD] [PEER...]\npeers:", what,
            detail);
    for (usize i = 0; i < ARRAY_COUNT(peers); i++) {
        fprintf(stderr, " %s", peers[i]->name);
    }
    fprintf(stderr, "\n");
    exit(2);
}

static const struct peer *find_peer(const char *name) {
    for (usize i = 0; i < ARRAY_COUNT(peers); i++) {
        if (strcmp(peers[i]->name, name) == 0) {
            return peers[i];
        }
    }
    bad_usage("no peer", name);
}

static void read_options(struct race_options *options) {
    const char *dir = getenv("RACE_DIR");
    options->dir = dir != NULL ? dir : "/var/tmp";
    options->events = setting("RACE_EVENTS", 50000000, 1, 1000000000);
    options->seconds = setting("RACE_SECONDS", 20, 1, 3600);
    options->query_rate = setting("RACE_QUERIES", 10, 0, 10000);
    options->customers = (u32)setting("RACE_CUSTOMERS", 100000, 1, 9999999);
}

/* The peers named, or all; each with batch and connections of its own, unless told otherwise. */
static usize choose_peers(int argc, char **argv, struct race_options *options,
                          struct peer chosen[ARRAY_COUNT(peers)]) {
    usize count = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--build") == 0 && i + 1 < argc) {
            options->build = argv[++i];
        } else if (count < ARRAY_COUNT(peers)) {
            chosen[count++] = *find_peer(argv[i]);
        }
    }
    for (usize i = 0; count == 0 && i < ARRAY_COUNT(peers); i++) {
        chosen[i] = *peers[i];
    }
    count = count == 0 ? ARRAY_COUNT(peers) : count;
    for (usize i = 0; i < count; i++) {
        chosen[i].batch = (u32)setting("RACE_BATCH", chosen[i].batch, 1, STREAM_POOL);
        chosen[i].writers = (u32)setting("RACE_WRITERS", chosen[i].writers, 1, RACE_WRITERS_MAX);
        if (STREAM_POOL % chosen[i].batch != 0) {
            bad_usage("RACE_BATCH must divide", "1024000");
        }
    }
    return count;
}

/* --- the table -------------------------------------------------------------------------------- */

static void print_head(const struct race_options *options) {
    printf("%llu events at most, %llu s at most a peer, 2 %% duplicates, %u customers;"
           " top 100 customers by margin %llu times a second beside it\n\n",
           (unsigned long long)options->events, (unsigned long long)options->seconds,
           options->customers, (unsigned long long)options->query_rate);
    printf("%-13s %9s %10s %10s %10s %10s %9s %7s %7s %7s  %s\n", "peer", "events/s", "ack p50",
           "ack p99", "top p50", "top p99", "answered", "B/event", "memory", "figures",
           "an acknowledgement means");
}

static void format_ms(char *to, usize to_bytes, const struct histogram *histogram, u32 quantile) {
    if (histogram->count == 0) {
        snprintf(to, to_bytes, "-");
    } else {
        snprintf(to, to_bytes, "%.2f ms", (double)histogram_quantile(histogram, quantile) / 1e6);
    }
}

static void print_result(const struct peer *peer, const struct result *result) {
    if (!result->ran) {
        printf("%-13s did not run to its end: see above\n", peer->name);
        return;
    }
    char ack[2][16];
    char top[2][16];
    char rate[16] = "wrong";
    char answered[24];
    format_ms(ack[0], sizeof ack[0], &result->ack_ns, HISTOGRAM_MEDIAN);
    format_ms(ack[1], sizeof ack[1], &result->ack_ns, 990000);
    format_ms(top[0], sizeof top[0], &result->query_ns, HISTOGRAM_MEDIAN);
    format_ms(top[1], sizeof top[1], &result->query_ns, 990000);
    snprintf(answered, sizeof answered, "%llu/%llu", (unsigned long long)result->query_ns.count,
             (unsigned long long)result->queries_due);
    if (result->exact) {
        snprintf(rate, sizeof rate, "%.0f", (double)result->events / result->seconds);
    }
    printf("%-13s %9s %10s %10s %10s %10s %9s %7.0f %6.0fM %7s  %s\n", peer->name, rate, ack[0],
           ack[1], top[0], top[1], answered,
           (double)result->disk_bytes / (double)MAX(result->unique, (u64)1),
           (double)result->memory_bytes / (double)MIB, result->exact ? "exact" : "wrong",
           peer->acknowledged);
}

static void print_configuration(const struct peer *peer, const struct result *result) {
    if (result->ran) {
        printf("  %-13s %s, %u connections, batches of %u, %llu events in %.1f s\n", peer->name,
               result->version, peer->writers, peer->batch, (unsigned long long)result->events,
               result->seconds);
    }
}

int main(int argc, char **argv) {
    static struct result results[ARRAY_COUNT(peers)];
    static struct peer chosen[ARRAY_COUNT(peers)];
    struct race_options options = {.build = "build"};
    read_options(&options);
    usize count = choose_peers(argc, argv, &options, chosen);
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    struct stream stream;
    if (!stream_make(&stream, SEED, options.customers)) {
        return !race_failed("events", "no memory");
    }
    print_head(&options);
    bool good = true;
    for (usize i = 0; i < count && !race_stopped(); i++) {
        run_peer(&chosen[i], &options, &stream, &results[i]);
        print_result(&chosen[i], &results[i]);
        good = good && results[i].ran && results[i].exact;
    }
    printf("\n");
    for (usize i = 0; i < count; i++) {
        print_configuration(&chosen[i], &results[i]);
    }
    stream_free(&stream);
    return good && !race_stopped() ? 0 : 1;
}
