/*
 * door.c: whom a request is counted for, and what the answer says about it. A good credential is
 * counted for itself, whatever it may do; without one, the address is.
 */
#include "api/door.h"

#include <arpa/inet.h>
#include <string.h>

#include "api/auth.h"
#include "api/context.h"
#include "api/cors.h"
#include "api/error.h"
#include "api/routes.h"
#include "base/clock.h"

void door_begin(struct http_call *call) {
    const struct context *context = call->context;
    cors_put(call, context->door->origins);
}

bool door_preflight(struct http_call *call, u32 methods) {
    const struct context *context = call->context;
    return call->method == HTTP_OPTIONS && cors_preflight(call, context->door->origins, methods);
}

/* --- who ----------------------------------------------------------------------------------------
 */

enum who_kind { WHO_ADDRESS, WHO_KEY, WHO_ACCOUNT };

/* Hashed as bytes: no gaps, and what is not used is zero. */
struct who {
    u64 kind;
    u64 id[2];
};

/* Somebody with IPv6 has a whole /64 to send from. */
static struct who who_is_at(const char *peer) {
    struct who who = {.kind = WHO_ADDRESS};
    u8 address[sizeof(struct in6_addr)] = {0};
    static const u8 mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (inet_pton(AF_INET, peer, address) == 1) {
        memcpy(&who.id[1], address, 4);
    } else if (inet_pton(AF_INET6, peer, address) == 1) {
        bool is_mapped = memcmp(address, mapped, sizeof mapped) == 0;
        memcpy(&who.id[is_mapped ? 1 : 0], address + (is_mapped ? 12 : 0), is_mapped ? 4 : 8);
    }
    return who;
}

/* The last address is the one that the nearest proxy saw; those before it are hearsay. */
static struct who who_sent(const struct http_call *call) {
    const struct context *context = call->context;
    struct slice list;
    char text[INET6_ADDRSTRLEN];
    if (!context->door->forwarded || !http_call_last_header(call, "x-forwarded-for", &list)) {
        return who_is_at(http_call_peer(call));
    }
    const char *comma = memrchr(list.data, ',', list.bytes);
    const char *from = comma == NULL ? list.data : comma + 1;
    const char *end = list.data + list.bytes;
    while (from < end && *from == ' ') {
        from++;
    }
    usize bytes = MIN((usize)(end - from), sizeof text - 1);
    memcpy(text, from, bytes);
    text[bytes] = 0;
    return who_is_at(text);
}

static struct who who_holds(const struct identity *identity) {
    return (struct who){.kind = WHO_KEY, .id = {identity->user, identity->key}};
}

static struct who who_calls(struct http_call *call, enum limit_class class) {
    struct identity identity;
    if (class == LIMIT_AUTH || class == LIMIT_SIGNUP || auth_identify(call, &identity) != AUTH_OK) {
        return who_sent(call);
    }
    if (class == LIMIT_EXPENSIVE) {
        return (struct who){.kind = WHO_ACCOUNT, .id = {identity.account, 0}};
    }
    return who_holds(&identity);
}

static struct limit_answer take(struct limits *limits, enum limit_class class,
                                const struct who *who, u32 count, i64 now_ms) {
    return limits_take(limits, class, (struct slice){(const char *)who, sizeof *who}, count,
                       now_ms);
}

/* --- requests -----------------------------------------------------------------------------------
 */

/* Every limited answer has these lines, so they are put together without formatted printing. */
static void put_answer(struct http_call *call, const struct limit_answer *answer) {
    static const char *const names[] = {
        "RateLimit-Limit: ", "RateLimit-Remaining: ", "RateLimit-Reset: "};
    const u32 values[] = {answer->most, answer->remaining, answer->reset_s};
    struct buf *headers = &call->headers;
    for (u32 i = 0; i < ARRAY_COUNT(names); i++) {
        buf_put_text(headers, names[i]);
        buf_put_u64(headers, values[i]);
        buf_put_text(headers, "\r\nX-");
        buf_put_text(headers, names[i]);
        buf_put_u64(headers, values[i]);
        buf_put_text(headers, "\r\n");
    }
}

static bool pass(struct http_call *call, const struct limit_answer *answer) {
    put_answer(call, answer);
    if (!answer->allowed) {
        buf_put_format(&call->headers, "Retry-After: %u\r\n", MAX(answer->reset_s, 1u));
        call->status = 429;
        error_refusal(call, "too many requests; Retry-After says how many seconds to wait");
    }
    return answer->allowed;
}

/* An account has few expensive requests: those of its callers that will be refused anyhow use none
 * of them up and are told why, but are not without a limit either. */
static enum limit_class class_of(struct http_call *call) {
    enum limit_class class = route_of(call)->limit;
    if (class != LIMIT_EXPENSIVE) {
        return class;
    }
    call->now_ms = clock_wall_ms();
    return auth_may(call) ? class : LIMIT_MANAGE;
}

bool door_enter(struct http_call *call) {
    const struct context *context = call->context;
    struct limits *limits = context->door->limits;
    enum limit_class class = class_of(call);
    bool has_requests = limits_has(limits, class);
    bool has_events = class == LIMIT_INGEST && limits_has(limits, LIMIT_EVENTS);
    if (!has_requests && !has_events) {
        return true;
    }
    call->now_ms = clock_wall_ms();
    struct who who = who_calls(call, class);
    if (has_events) {
        struct limit_answer events = take(limits, LIMIT_EVENTS, &who, 0, call->now_ms);
        if (!events.allowed || !has_requests) {
            return pass(call, &events);
        }
    }
    struct limit_answer requests = take(limits, class, &who, 1, call->now_ms);
    return pass(call, &requests);
}

void door_count_events(const struct context *context, const struct identity *identity, u32 events,
                       i64 now_ms) {
    struct limits *limits = context->door->limits;
    if (limits_has(limits, LIMIT_EVENTS)) {
        struct who who = who_holds(identity);
        take(limits, LIMIT_EVENTS, &who, events, now_ms);
    }
}
