/*
 * sample: prints usage events of made-up companies over the last days, one JSON object a line, for
 * a first look at the server (`make run`): customers that earn well and two that cost more than
 * they pay, features with cheap and dear models, agents with traces of several spans, tools with
 * costs of their own, and a model that no price table knows.
 *
 *     sample [--events N] [--days N] [--seed N] | marginctl ingest -
 *
 * The same seed gives the same events, moved to end now; keys included, so sending them twice
 * counts them once.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base.h"

#define EVENTS_DEFAULT 20000
#define EVENTS_MAX 10000000
#define DAYS_DEFAULT 30
#define HOUR_MS ((i64)3600000)
#define DAY_MS (24 * HOUR_MS)
#define NEWEST_AGE_MS ((i64)120000) /* so that the last trace ends before now */

/* Prices are in micro-dollars a request, at a plan of 100 percent. */
struct customer {
    const char *name;
    u32 weight;            /* share of all requests */
    u32 plan_percent;      /* of the list price this customer pays */
    u32 size_percent;      /* of the usual tokens a request */
    const char *own_model; /* instead of the feature's usual one, or NULL */
};

static const struct customer customers[] = {
    {"tidal-bank", 18, 120, 100, NULL},
    {"meridian-health", 15, 130, 110, NULL},
    {"harbor-retail", 14, 100, 90, NULL},
    {"oakline-legal", 11, 110, 140, NULL},
    {"sunrise-travel", 9, 95, 100, NULL},
    {"quarry-insurance", 8, 105, 100, NULL},
    {"pixelforge-games", 7, 90, 80, "pixelforge-tuned-7b"}, /* in no price table */
    {"lumen-education", 6, 35, 120, NULL},                  /* a discount that does not pay */
    {"verdant-foods", 5, 100, 70, NULL},
    {"aster-biotech", 4, 55, 260, NULL}, /* a flat price, and enormous documents */
    {"copper-canyon-media", 3, 85, 100, NULL},
    {"_internal-research", 2, 0, 150, NULL}, /* own use: cost without revenue */
};

struct model {
    const char *name;
    const char *provider;
    bool reasons;
};

enum {
    GPT_4O_MINI,
    GPT_4_1,
    GPT_5,
    SONNET,
    HAIKU,
    OPUS,
    GEMINI_FLASH,
    GEMINI_PRO,
    MISTRAL_SMALL,
    EMBEDDING,
    MODELS
};

static const struct model models[MODELS] = {
    [GPT_4O_MINI] = {"gpt-4o-mini", "openai", false},
    [GPT_4_1] = {"gpt-4.1", "openai", false},
    [GPT_5] = {"gpt-5", "openai", true},
    [SONNET] = {"claude-sonnet-4-5", "anthropic", false},
    [HAIKU] = {"claude-haiku-4-5", "anthropic", false},
    [OPUS] = {"claude-opus-4-5", "anthropic", false},
    [GEMINI_FLASH] = {"gemini-2.5-flash", "google", false},
    [GEMINI_PRO] = {"gemini-2.5-pro", "google", true},
    [MISTRAL_SMALL] = {"mistral-small", "mistral", false},
    [EMBEDDING] = {"text-embedding-3-small", "openai", false},
};

struct feature {
    const char *name;
    const char *event;
    const char *agent; /* NULL: a plain call, one event without a trace */
    u32 weight;
    u32 price; /* micro-dollars a request */
    u32 usual; /* model */
    u32 other; /* model of one call in eight */
    u32 input; /* tokens a call */
    u32 output;
    u32 cached_percent; /* of the input */
    u32 calls;          /* model calls a request, with an agent */
    u32 tool_micro;     /* what one tool call costs, 0: no tool */
};

static const struct feature features[] = {
    {"support-chat", "chat.completion", "concierge", 30, 9000, GPT_4O_MINI, HAIKU, 1800, 350, 40, 2,
     0},
    {"semantic-search", "search.answer", NULL, 22, 2500, GEMINI_FLASH, MISTRAL_SMALL, 2000, 200, 0,
     1, 0},
    {"translation", "text.translate", NULL, 14, 8000, GEMINI_FLASH, GPT_4O_MINI, 1500, 1400, 0, 1,
     0},
    {"product-copy", "text.generate", NULL, 11, 15000, GPT_4_1, SONNET, 900, 600, 0, 1, 0},
    {"code-assistant", "code.complete", NULL, 10, 45000, SONNET, GPT_5, 8000, 1200, 70, 1, 0},
    {"document-summary", "document.summarize", NULL, 7, 80000, SONNET, GEMINI_PRO, 12000, 800, 0, 1,
     0},
    {"contract-review", "contract.review", NULL, 3, 260000, OPUS, SONNET, 25000, 1500, 20, 1, 0},
    {"research-agent", "agent.run", "scout", 3, 190000, GPT_5, GEMINI_PRO, 9000, 1500, 30, 3, 5000},
};

struct output {
    u64 random;  /* splitmix64 state */
    u64 seed;    /* part of every key */
    u64 printed; /* events so far */
    u64 wanted;
};

static u64 next_random(u64 *state) {
    u64 z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static u32 below(struct output *output, u32 bound) {
    return (u32)(next_random(&output->random) % bound);
}

/* Between half and one and a half of the usual. */
static u32 around(struct output *output, u32 usual, u32 percent) {
    u64 scaled = (u64)usual * percent / 100;
    return (u32)(scaled / 2 + next_random(&output->random) % (scaled + 1));
}

/* --- one event -------------------------------------------------------------------------------- */

/* An event's common members; the caller adds its own and ends with end_event(). */
static void begin_event(struct output *output, const struct customer *customer,
                        const struct feature *feature, const char *name, i64 time_ms) {
    time_t seconds = (time_t)(time_ms / 1000);
    struct tm utc;
    char text[32];
    gmtime_r(&seconds, &utc);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    printf("{\"eventName\":\"%s\",\"customerReferenceId\":\"%s\",\"featureKey\":\"%s\","
           "\"timestamp\":\"%s.%03dZ\",\"idempotencyKey\":\"sample-%llu-%llu\"",
           name, customer->name, feature->name, text, (int)(time_ms % 1000),
           (unsigned long long)output->seed, (unsigned long long)output->printed);
}

static void end_event(struct output *output) {
    printf("}\n");
    output->printed++;
}

static void put_dollars(const char *member, u64 micro) {
    printf(",\"%s\":%llu.%06llu", member, (unsigned long long)(micro / 1000000),
           (unsigned long long)(micro % 1000000));
}

/* Span 0 is a trace's root; its children name it as their parent. */
static void put_trace(u64 trace, u32 span, const char *agent) {
    printf(",\"traceId\":\"tr-%016llx\",\"spanId\":\"s%u\"", (unsigned long long)trace, span);
    if (span > 0) {
        printf(",\"parentSpanId\":\"s0\"");
    }
    printf(",\"agentId\":\"%s\"", agent);
}

/* Members of a model call; returns its duration. */
static u32 put_call(struct output *output, const struct customer *customer,
                    const struct feature *feature) {
    const struct model *model = &models[below(output, 8) == 0 ? feature->other : feature->usual];
    u32 input = around(output, feature->input, customer->size_percent);
    u32 answer = around(output, feature->output, customer->size_percent);
    u32 duration = 180 + answer * 9 / 2 + below(output, 400);
    if (customer->own_model != NULL && below(output, 3) == 0) {
        printf(",\"model\":\"%s\"", customer->own_model);
    } else {
        printf(",\"model\":\"%s\",\"modelProvider\":\"%s\"", model->name, model->provider);
    }
    printf(",\"inputTokens\":%u,\"outputTokens\":%u", input, answer);
    if (feature->cached_percent > 0) {
        printf(",\"cachedInputTokens\":%u", (u32)((u64)input * feature->cached_percent / 100));
    }
    if (model->reasons) {
        printf(",\"reasoningTokens\":%u", answer / 3);
    }
    printf(",\"durationMs\":%u", duration);
    return duration;
}

/* --- one request ------------------------------------------------------------------------------ */

static void put_plain_request(struct output *output, const struct customer *customer,
                              const struct feature *feature, i64 time_ms) {
    begin_event(output, customer, feature, feature->event, time_ms);
    put_call(output, customer, feature);
    put_dollars("revenueAmount", (u64)feature->price * customer->plan_percent / 100);
    end_event(output);
}

/* A trace: a root, and its children: a look-up by embedding, model calls that share the revenue,
 * and tools between them. */
static void put_agent_request(struct output *output, const struct customer *customer,
                              const struct feature *feature, i64 time_ms) {
    u64 trace = next_random(&output->random);
    u32 span = 0;
    i64 at = time_ms;
    begin_event(output, customer, feature, feature->event, at);
    put_trace(trace, span++, feature->agent);
    end_event(output);

    begin_event(output, customer, feature, "retrieval.embed", at += 15);
    put_trace(trace, span++, feature->agent);
    printf(",\"model\":\"%s\",\"modelProvider\":\"%s\",\"costType\":\"embedding\"",
           models[EMBEDDING].name, models[EMBEDDING].provider);
    printf(",\"inputTokens\":%u,\"durationMs\":%u", 40 + below(output, 300),
           20 + below(output, 60));
    end_event(output);
    at += 80;
    u32 calls = 1 + below(output, 2 * feature->calls - 1);
    for (u32 call = 0; call < calls; call++) {
        begin_event(output, customer, feature, "llm.call", at);
        put_trace(trace, span++, feature->agent);
        at += put_call(output, customer, feature);
        put_dollars("revenueAmount", (u64)feature->price * customer->plan_percent / 100 / calls);
        end_event(output);
        if (feature->tool_micro > 0) {
            begin_event(output, customer, feature, "tool.web_search", at);
            put_trace(trace, span++, feature->agent);
            put_dollars("costAmount", feature->tool_micro);
            printf(",\"costType\":\"tool\",\"durationMs\":%u", 300 + below(output, 900));
            end_event(output);
            at += 1200;
        }
    }
}

static void put_request(struct output *output, i64 time_ms) {
    u32 customer_weights = 0;
    u32 feature_weights = 0;
    for (usize i = 0; i < ARRAY_COUNT(customers); i++) {
        customer_weights += customers[i].weight;
    }
    for (usize i = 0; i < ARRAY_COUNT(features); i++) {
        feature_weights += features[i].weight;
    }
    const struct customer *customer = customers;
    const struct feature *feature = features;
    u32 pick = below(output, customer_weights);
    for (; pick >= customer->weight; customer++) {
        pick -= customer->weight;
    }
    pick = below(output, feature_weights);
    for (; pick >= feature->weight; feature++) {
        pick -= feature->weight;
    }
    if (feature->agent != NULL) {
        put_agent_request(output, customer, feature, time_ms);
    } else {
        put_plain_request(output, customer, feature, time_ms);
    }
}

/* --- when ------------------------------------------------------------------------------------- */

static int compare_times(const void *a, const void *b) {
    i64 x = *(const i64 *)a;
    i64 y = *(const i64 *)b;
    return (x > y) - (x < y);
}

/* A time in the span, more likely by day than by night. */
static i64 pick_time(struct output *output, i64 start_ms, i64 span_ms) {
    static const u8 activity[24] = {2, 1, 1,  1,  1, 2, 4, 6, 9, 10, 10, 9,
                                    8, 9, 10, 10, 9, 8, 6, 5, 5, 4,  3,  2};
    for (;;) {
        i64 time_ms = start_ms + (i64)(next_random(&output->random) % (u64)span_ms);
        if (below(output, 10) < activity[time_ms % DAY_MS / HOUR_MS]) {
            return time_ms;
        }
    }
}

/* Requests in the order of time, until there are about as many events as wanted. */
static bool put_all(struct output *output, i64 now_ms, i64 days) {
    i64 *times = malloc(output->wanted * sizeof *times);
    if (times == NULL) {
        return false;
    }
    i64 start_ms = now_ms - days * DAY_MS;
    /* A request has 2.1 events on average. */
    u64 requests = MAX(output->wanted * 10 / 21, (u64)1);
    for (u64 i = 0; i < requests; i++) {
        times[i] = pick_time(output, start_ms, days * DAY_MS - NEWEST_AGE_MS);
    }
    qsort(times, requests, sizeof *times, compare_times);
    for (u64 i = 0; i < requests; i++) {
        put_request(output, times[i]);
    }
    free(times);
    return true;
}

/* --- main --------------------------------------------------------------------------------------
 */

static u64 parse_number(const char *text, u64 least, u64 most) {
    char *end;
    u64 value = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != 0 || value < least || value > most) {
        fprintf(stderr, "sample: %s is not a number from %llu to %llu\n", text,
                (unsigned long long)least, (unsigned long long)most);
        exit(2);
    }
    return value;
}

int main(int argc, char **argv) {
    static const struct option options[] = {{"events", required_argument, NULL, 'e'},
                                            {"days", required_argument, NULL, 'd'},
                                            {"seed", required_argument, NULL, 's'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    u64 days = DAYS_DEFAULT;
    struct output output = {.seed = 1, .wanted = EVENTS_DEFAULT};
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (option == 'e') {
            output.wanted = parse_number(optarg, 1, EVENTS_MAX);
        } else if (option == 'd') {
            days = parse_number(optarg, 1, 3650);
        } else if (option == 's') {
            output.seed = parse_number(optarg, 0, UINT64_MAX);
        } else {
            fprintf(option == 'h' ? stdout : stderr,
                    "usage: sample [--events N] [--days N] [--seed N]\n"
                    "prints about N made-up usage events of the last days, one JSON object a "
                    "line\n");
            return option == 'h' ? 0 : 2;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "sample: an argument that is no option: %s; try --help\n", argv[optind]);
        return 2;
    }
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    output.random = output.seed;
    bool good = put_all(&output, (i64)now.tv_sec * 1000 + now.tv_nsec / 1000000, (i64)days);
    return good && fflush(stdout) == 0 && !ferror(stdout) ? 0 : 1;
}
