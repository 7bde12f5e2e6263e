/*
 * door.c: whom a request is counted for, and what the answer says about it. A good credential is
 * counted for itself, whatever it may do; without one, the address is.
 */
#include "api/door.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "api/auth.h"
#include "api/context.h"
#include "api/cors.h"
#include "api/error.h"
#include "api/routes.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"

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

enum who_kind { WHO_ADDRESS, WHO_KEY, WHO_ACCOUNT, WHO_EMAIL, WHO_EMAIL_HERE };

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

/* What a stranger may send, a password above all, is counted for his address, whatever else comes
 * with it; but who holds something good has nothing to do with those who guess beside him. */
static struct who who_calls(struct http_call *call, enum limit_class class) {
    struct identity identity;
    bool is_public = route_of(call)->scope == ROUTE_PUBLIC && call->method == HTTP_POST;
    if (is_public || auth_identify(call, &identity) != AUTH_OK) {
        return who_sent(call);
    }
    if (class == LIMIT_EXPENSIVE) {
        return (struct who){.kind = WHO_ACCOUNT, .id = {identity.account, 0}};
    }
    return who_holds(&identity);
}

static struct slice bytes_of(const struct who *who) {
    return (struct slice){(const char *)who, sizeof *who};
}

static struct limit_answer take(struct limits *limits, enum limit_class class,
                                const struct who *who, u32 count, i64 now_ms) {
    return limits_take(limits, class, bytes_of(who), count, now_ms);
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

/* --- guesses ------------------------------------------------------------------------------------
 */

/* As an operator writes it into a firewall. */
static void put_address(const struct who *who, char *out, usize out_bytes) {
    u8 address[sizeof(struct in6_addr)] = {0};
    char text[INET6_ADDRSTRLEN] = "";
    bool four = who->id[0] == 0 && who->id[1] != 0;
    memcpy(address, &who->id[four ? 1 : 0], four ? 4 : 8);
    inet_ntop(four ? AF_INET : AF_INET6, address, text, sizeof text);
    snprintf(out, out_bytes, "%s%s", text, four ? "" : "/64");
}

/* One line a window and address, when it has used up its guesses. */
static bool count_bad(const struct context *context, const struct who *who, i64 now_ms,
                      u32 *retry_s) {
    struct limits *limits = context->door->limits;
    if (!limits_has(limits, LIMIT_FAILED)) {
        return true;
    }
    struct limit_answer answer = take(limits, LIMIT_FAILED, who, 1, now_ms);
    *retry_s = MAX(answer.reset_s, 1u);
    if (answer.allowed && answer.remaining == 0) {
        char address[INET6_ADDRSTRLEN + 4];
        put_address(who, address, sizeof address);
        log_warn("credentials_refused", "address=%s count=%u retry_s=%u", address, answer.most,
                 *retry_s);
    }
    return answer.allowed;
}

bool door_count_bad_key(const struct context *context, const char *peer, i64 now_ms, u32 *retry_s) {
    struct who who = who_is_at(peer);
    return count_bad(context, &who, now_ms, retry_s);
}

bool door_count_bad_call(const struct http_call *call, u32 *retry_s) {
    struct who who = who_sent(call);
    return count_bad(call->context, &who, call->now_ms, retry_s);
}

_Static_assert(sizeof(struct who) == sizeof((struct door_login *)0)->who, "it is kept there");

struct door_login door_login(const struct http_call *call, const char *email) {
    const struct context *context = call->context;
    struct limits *limits = context->door->limits;
    struct who address = who_sent(call);
    struct who who = {.kind = WHO_EMAIL};
    struct door_login login = {.known = false};
    who.id[0] = hash64(email, strlen(email), context->door->seed);
    struct who here = {.kind = WHO_EMAIL_HERE, .id = {who.id[0]}};
    here.id[1] = hash64(&address, sizeof address, context->door->seed);
    if (limits_has(limits, LIMIT_LOGIN)) {
        struct limit_answer known = take(limits, LIMIT_KNOWN, &here, 0, call->now_ms);
        login.known = known.remaining < known.most;
    }
    memcpy(login.here, &here, sizeof here);
    memcpy(login.who, login.known ? &here : &who, sizeof who);
    return login;
}

bool door_login_may(const struct context *context, const struct door_login *login, u32 count,
                    i64 now_ms, u32 *retry_s) {
    struct limits *limits = context->door->limits;
    struct who who;
    if (!limits_has(limits, LIMIT_LOGIN)) {
        return true;
    }
    memcpy(&who, login->who, sizeof who);
    struct limit_answer answer = take(limits, LIMIT_LOGIN, &who, count, now_ms);
    *retry_s = MAX(answer.reset_s, 1u);
    return answer.allowed;
}

void door_login_good(const struct context *context, const struct door_login *login, bool is_proof,
                     i64 now_ms) {
    struct limits *limits = context->door->limits;
    struct who who;
    if (!limits_has(limits, LIMIT_LOGIN)) {
        return;
    }
    memcpy(&who, login->who, sizeof who);
    limits_give(limits, LIMIT_LOGIN, bytes_of(&who), 1, now_ms);
    if (is_proof && !login->known) {
        memcpy(&who, login->here, sizeof who);
        take(limits, LIMIT_KNOWN, &who, 1, now_ms);
    }
}
