/*
 * generate.c: see generate.h. Everything is drawn from a counter-based generator (a mixer over seed
 * and index), so that no state travels from one event to the next.
 */
#include "tools/client/generate.h"

#include "json/time.h"

#include <string.h>

#define CUSTOMER_FEATURES 4
#define SECOND_MODEL_ONE_IN 8

struct model_choice {
    const char *model;
    const char *provider;
};

static const struct model_choice model_choices[] = {
    {"gpt-4o-mini", "openai"},
    {"gpt-4o", "openai"},
    {"claude-3-5-sonnet", "anthropic"},
    {"gpt-4.1-mini", "openai"},
    {"gemini-2.0-flash", "google"},
    {"claude-3-haiku", "anthropic"},
    {"o4-mini", "openai"},
    {"gemini-2.5-pro", "google"},
    {"deepseek-chat", "deepseek"},
    {"mistral-large-latest", "mistral"},
};

static const char *const feature_words[] = {"summarize", "chat",     "search",     "translate",
                                            "classify",  "code-fix", "draft-mail", "tagging"};

static const char *const event_names[] = {"chat.completion", "chat.completion", "chat.completion",
                                          "text.completion"};

/* The finaliser of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators,
 * 2014). */
static u64 mix(u64 value) {
    value += 0x9e3779b97f4a7c15u;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
    return value ^ (value >> 31);
}

static u64 draw(const struct generator *generator, u64 index, u64 purpose) {
    return mix(mix(generator->seed ^ (purpose << 56)) + index);
}

/* 0..bound-1, evenly. */
static u64 below(u64 random, u64 bound) {
    return (u64)(((u128)random * bound) >> 64);
}

/* 0..bound-1, where small values are the frequent ones: the least of three draws. */
static u64 below_skewed(u64 random, u64 bound) {
    u64 least = below(random, bound);
    for (int i = 0; i < 2; i++) {
        random = mix(random);
        least = MIN(least, below(random, bound));
    }
    return least;
}

struct generator generator_default(u64 seed, i64 time_start_ms) {
    return (struct generator){
        .seed = seed,
        .customers = 10000,
        .features = 40,
        .models = (u32)ARRAY_COUNT(model_choices),
        .time_start_ms = time_start_ms,
        .time_span_ms = (i64)30 * 24 * 3600 * 1000,
        .time_events = 1000000,
    };
}

u32 generator_models_max(void) {
    return (u32)ARRAY_COUNT(model_choices);
}

/* --- text without printf: this runs millions of times a second ---------------------------------
 */

static char *put_bytes(char *to, const char *text, usize bytes) {
    memcpy(to, text, bytes);
    return to + bytes;
}

static char *put_text(char *to, const char *text) {
    return put_bytes(to, text, strlen(text));
}

#define PUT(to, literal) put_bytes((to), "" literal, sizeof(literal) - 1)

static char *put_digits(char *to, u64 value, u32 digits) {
    for (u32 i = digits; i > 0; i--) {
        to[i - 1] = (char)('0' + value % 10);
        value /= 10;
    }
    return to + digits;
}

static char *put_number(char *to, i64 value) {
    u32 digits = 1;
    for (i64 rest = value; rest >= 10; rest /= 10) {
        digits++;
    }
    return put_digits(to, (u64)value, digits);
}

/* Dollars with four decimals, trailing zeros dropped as JSON writers do. */
static char *put_dollars(char *to, i64 pico) {
    u64 parts = (u64)pico / 100000000;
    to = put_number(to, (i64)(parts / 10000));
    parts %= 10000;
    if (parts == 0) {
        return to;
    }
    *to++ = '.';
    u32 digits = 4;
    while (parts % 10 == 0) {
        parts /= 10;
        digits--;
    }
    return put_digits(to, parts, digits);
}

static char *put_time(char *to, i64 time_ms) {
    time_format(time_ms, to);
    return to + TIME_TEXT_BYTES;
}

/* A version 4 UUID of two random words. */
static char *put_uuid(char *to, u64 high, u64 low) {
    static const char hex[] = "0123456789abcdef";
    high = (high & ~(u64)0xf000) | 0x4000;
    low = (low & ~((u64)3 << 62)) | ((u64)2 << 62);
    for (u32 i = 0; i < 32; i++) {
        if (i == 8 || i == 12 || i == 16 || i == 20) {
            *to++ = '-';
        }
        u64 word = i < 16 ? high : low;
        *to++ = hex[word >> (60 - 4 * (i % 16)) & 15];
    }
    return to;
}

/* --- the event ---------------------------------------------------------------------------------
 */

static u64 find_origin(const struct generator *generator, u64 index) {
    while (index > 0 && below(draw(generator, index, 1), 1000) < generator->duplicates_per_mille) {
        u64 window = MIN(index, (u64)10000);
        index -= 1 + below(draw(generator, index, 2), window);
    }
    return index;
}

static i64 time_of(const struct generator *generator, u64 index) {
    u64 events = MAX(generator->time_events, (u64)1);
    return generator->time_start_ms +
           (i64)((u128)(index % events) * (u64)generator->time_span_ms / events);
}

/* A customer uses a handful of features, some of them more than others. */
static u64 feature_of(const struct generator *generator, u64 origin, u64 customer) {
    u64 choice = below_skewed(draw(generator, origin, 5), CUSTOMER_FEATURES);
    u64 random = mix(generator->seed ^ (customer * CUSTOMER_FEATURES + choice));
    return below_skewed(random, generator->features);
}

/* A feature runs on one model, and now and then on its second one. */
static const struct model_choice *model_of(const struct generator *generator, u64 origin,
                                           u64 feature) {
    u32 models = MIN(MAX(generator->models, (u32)1), generator_models_max());
    u64 second = below(draw(generator, origin, 6), SECOND_MODEL_ONE_IN) == 0;
    return &model_choices[below_skewed(mix(feature * 2 + second), models)];
}

void generator_event(const struct generator *generator, u64 index, struct generated_event *out) {
    u64 origin = find_origin(generator, index);
    out->origin = origin;
    u64 customer = below_skewed(draw(generator, origin, 4), generator->customers);
    *put_digits(put_text(out->customer, "cust_"), customer, customer < 10000000 ? 7 : 10) = 0;

    u64 feature = feature_of(generator, origin, customer);
    out->event_name = event_names[below(mix(feature), ARRAY_COUNT(event_names))];
    char *end = put_text(out->feature, feature_words[feature % ARRAY_COUNT(feature_words)]);
    if (feature >= ARRAY_COUNT(feature_words)) {
        *end++ = '-';
        end = put_number(end, (i64)(feature / ARRAY_COUNT(feature_words)));
    }
    *end = 0;

    const struct model_choice *choice = model_of(generator, origin, feature);
    out->model = choice->model;
    out->provider = choice->provider;

    out->time_ms = time_of(generator, origin);
    out->input_tokens = 20 + (i64)below_skewed(draw(generator, origin, 7), 8000);
    out->output_tokens = 1 + (i64)below_skewed(draw(generator, origin, 9), 2000);
    out->revenue_pico = (i64)below_skewed(draw(generator, origin, 10), 900) * 100000000;
    out->duration_ms = 80 + (i64)below_skewed(draw(generator, origin, 11), 9000);
    *put_uuid(out->key, draw(generator, origin, 12), draw(generator, origin, 13)) = 0;
}

/* --- JSON --------------------------------------------------------------------------------------
 */

enum member {
    MEMBER_EVENT_NAME,
    MEMBER_CUSTOMER,
    MEMBER_FEATURE,
    MEMBER_TIME,
    MEMBER_MODEL,
    MEMBER_PROVIDER,
    MEMBER_INPUT,
    MEMBER_OUTPUT,
    MEMBER_REVENUE,
    MEMBER_DURATION,
    MEMBER_KEY,
    MEMBERS
};

static char *put_member(char *to, const struct generated_event *event, enum member member) {
    switch (member) {
    case MEMBER_EVENT_NAME:
        return PUT(put_text(PUT(to, "\"eventName\":\""), event->event_name), "\"");
    case MEMBER_CUSTOMER:
        return PUT(put_text(PUT(to, "\"customerReferenceId\":\""), event->customer), "\"");
    case MEMBER_FEATURE:
        return PUT(put_text(PUT(to, "\"featureKey\":\""), event->feature), "\"");
    case MEMBER_TIME:
        return PUT(put_time(PUT(to, "\"timestamp\":\""), event->time_ms), "\"");
    case MEMBER_MODEL:
        return PUT(put_text(PUT(to, "\"model\":\""), event->model), "\"");
    case MEMBER_PROVIDER:
        return PUT(put_text(PUT(to, "\"modelProvider\":\""), event->provider), "\"");
    case MEMBER_INPUT:
        return put_number(PUT(to, "\"inputTokens\":"), event->input_tokens);
    case MEMBER_OUTPUT:
        return put_number(PUT(to, "\"outputTokens\":"), event->output_tokens);
    case MEMBER_REVENUE:
        return put_dollars(PUT(to, "\"revenueAmount\":"), event->revenue_pico);
    case MEMBER_DURATION:
        return put_number(PUT(to, "\"durationMs\":"), event->duration_ms);
    case MEMBER_KEY:
        return PUT(put_text(PUT(to, "\"idempotencyKey\":\""), event->key), "\"");
    case MEMBERS:
        break;
    }
    check(false);
}

/* A member of a name that hardly comes twice, and a value of one kind or another. */
static char *put_unexpected(char *to, u64 random) {
    to = PUT(put_digits(PUT(to, "\"x"), random % 1000000, 6), "\":");
    i64 number = (i64)(random >> 40);
    switch (random >> 32 & 3) {
    case 0:
        return PUT(put_number(PUT(to, "\"eu-"), number), "\"");
    case 1:
        return put_number(to, number);
    case 2:
        return PUT(put_number(PUT(to, "{\"try\":"), number), ",\"tags\":[\"a\",\"b\"]}");
    default:
        return PUT(to, "false");
    }
}

/* The members of an event that do not come, as bits. */
static u32 missing_members(const struct generator *generator, u64 index) {
    static const enum member optional[] = {MEMBER_DURATION, MEMBER_PROVIDER, MEMBER_REVENUE};
    u32 missing = 0;
    u64 random = generator->optional > 0 ? draw(generator, index, 40) : 0;
    for (u32 i = 0; i < MIN(generator->optional, (u32)ARRAY_COUNT(optional)); i++) {
        missing |= (u32)(random >> i & 1) << optional[i];
    }
    return missing;
}

/* The order of an event's members; those from MEMBERS on are the unexpected ones. */
static u32 order_members(const struct generator *generator, u64 index,
                         u8 order[MEMBERS + GENERATED_UNEXPECTED_MAX]) {
    u32 count = MEMBERS + MIN(generator->unexpected, GENERATED_UNEXPECTED_MAX);
    for (u32 i = 0; i < count; i++) {
        order[i] = (u8)i;
    }
    u64 random = draw(generator, index, 14);
    for (u32 i = count - 1; generator->shuffled && i > 0; i--) { /* Fisher and Yates */
        random = mix(random);
        u64 other = below(random, i + 1);
        u8 member = order[i];
        order[i] = order[other];
        order[other] = member;
    }
    return count;
}

usize generator_json(const struct generator *generator, u64 index, char *buf) {
    struct generated_event event;
    generator_event(generator, index, &event);
    u8 order[MEMBERS + GENERATED_UNEXPECTED_MAX];
    u32 count = order_members(generator, index, order);
    u32 missing = missing_members(generator, index);
    char *to = buf;
    for (u32 i = 0; i < count; i++) {
        if ((missing >> order[i] & 1) != 0) {
            continue;
        }
        *to = to == buf ? '{' : ',';
        to++;
        to = order[i] < MEMBERS ? put_member(to, &event, (enum member)order[i])
                                : put_unexpected(to, draw(generator, index, 15 + order[i]));
    }
    *to++ = '}';
    return (usize)(to - buf);
}

usize generator_body(const struct generator *generator, u64 index, u32 count, char *buf) {
    char *to = PUT(buf, "{\"events\":[");
    for (u32 i = 0; i < count; i++) {
        if (i > 0) {
            *to++ = ',';
        }
        to += generator_json(generator, index + i, to);
    }
    return (usize)(PUT(to, "]}") - buf);
}
