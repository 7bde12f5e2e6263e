/*
 * auth.c: credentials, scopes, roles, and a small memory of credentials that were good a moment
 * ago. The memory is keyed by the presented bytes: a look-up is one hash and one comparison in
 * constant time instead of a digest. A slot dies with the first change of any account, and after a
 * second.
 */
#include "api/auth.h"

#include <stdatomic.h>
#include <string.h>
#include <strings.h>

#include "api/context.h"
#include "api/cors.h"
#include "api/door.h"
#include "api/error.h"
#include "api/routes.h"
#include "base/hash.h"
#include "base/log.h"

#define SLOT_LIFE_MS 1000

/* --- what is presented ------------------------------------------------------------------------ */

struct credential {
    struct slice text; /* NULL data: none */
    bool cookie;
    bool header; /* one of those for keys */
};

/* Takes the same time whatever the bytes: what has been found is hidden from the compiler, which
 * could leave the loop early. */
static bool same_bytes(const char *a, const char *b, usize bytes) {
    u64 difference = 0;
    usize at = 0;
    for (; at + sizeof(u64) <= bytes; at += sizeof(u64)) {
        u64 x;
        u64 y;
        memcpy(&x, a + at, sizeof x);
        memcpy(&y, b + at, sizeof y);
        difference |= x ^ y;
        __asm__("" : "+r"(difference));
    }
    for (; at < bytes; at++) {
        difference |= (u8)(a[at] ^ b[at]);
        __asm__("" : "+r"(difference));
    }
    return difference == 0;
}

/* A proxy may have looked at the last of two, so that neither counts. */
static bool is_twice(const struct http_call *call, const char *name, struct slice first) {
    struct slice last;
    http_call_last_header(call, name, &last);
    return last.data != first.data;
}

/* A header that holds a credential; a bad one if it is there twice. */
static bool header(const struct http_call *call, const char *name, struct slice *key) {
    bool found = http_call_header(call, name, key);
    if (found && is_twice(call, name, *key)) {
        *key = SLICE("");
    }
    return found;
}

/* Finds the bearer token of Authorization; another scheme is no credential of ours. */
static bool bearer(const struct http_call *call, struct slice *key) {
    static const char scheme[] = "Bearer ";
    struct slice value;
    if (!http_call_header(call, "authorization", &value)) {
        return false;
    }
    if (is_twice(call, "authorization", value)) {
        *key = SLICE("");
        return true;
    }
    if (value.bytes < sizeof scheme - 1 ||
        strncasecmp(value.data, scheme, sizeof scheme - 1) != 0) {
        return false;
    }
    usize at = sizeof scheme - 1;
    while (at < value.bytes && value.data[at] == ' ') {
        at++;
    }
    *key = (struct slice){value.data + at, value.bytes - at};
    return true;
}

static bool key_header(const struct http_call *call, struct slice *key) {
    return header(call, "observe-key", key) || header(call, "x-tanso-key", key) ||
           header(call, "x-observe-key", key);
}

/* The session's cookie among others: "a=1; margin_session=...; b=2". An empty one is none. */
static bool cookie(const struct http_call *call, struct slice *token) {
    static const char name[] = AUTH_COOKIE "=";
    struct slice left;
    http_call_header(call, "cookie", &left);
    while (left.bytes > 0) {
        const char *end = memchr(left.data, ';', left.bytes);
        usize bytes = end == NULL ? left.bytes : (usize)(end - left.data);
        if (bytes > sizeof name - 1 && memcmp(left.data, name, sizeof name - 1) == 0) {
            *token = (struct slice){left.data + sizeof name - 1, bytes - (sizeof name - 1)};
            return true;
        }
        usize next = bytes;
        while (next < left.bytes && (left.data[next] == ';' || left.data[next] == ' ')) {
            next++;
        }
        left = (struct slice){left.data + next, left.bytes - next};
    }
    return false;
}

/* The client endpoints have an order of their own: see auth.h. */
static struct credential find_credential(const struct http_call *call) {
    struct credential found = {.text = {NULL, 0}};
    if (error_is_client(call)) {
        found.header = !bearer(call, &found.text) &&
                       (header(call, "x-api-key", &found.text) || key_header(call, &found.text));
        return found;
    }
    found.header = key_header(call, &found.text);
    if (!found.header && !bearer(call, &found.text)) {
        found.cookie = cookie(call, &found.text);
    }
    return found;
}

struct slice auth_token(const struct http_call *call) {
    return find_credential(call).text;
}

/* --- pages of others -------------------------------------------------------------------------- */

static bool is_text(struct slice value, const char *text) {
    return value.bytes == strlen(text) && strncasecmp(value.data, text, value.bytes) == 0;
}

bool auth_is_own_site(const struct http_call *call) {
    struct slice site;
    struct slice origin;
    struct slice host;
    const struct context *context = call->context;
    bool has_origin = http_call_header(call, "origin", &origin);
    if (has_origin && cors_names(context->door->origins, origin)) {
        return true;
    }
    if (http_call_header(call, "sec-fetch-site", &site)) {
        return is_text(site, "same-origin") || is_text(site, "none");
    }
    if (!has_origin) {
        return true;
    }
    const char *from = memmem(origin.data, origin.bytes, "://", 3);
    if (from == NULL || !http_call_header(call, "host", &host)) {
        return false; /* "null": a page that hides where it is from */
    }
    usize bytes = origin.bytes - (usize)(from + 3 - origin.data);
    return bytes == host.bytes && strncasecmp(from + 3, host.data, bytes) == 0;
}

static bool is_write(const struct http_call *call) {
    return call->method != HTTP_GET && call->method != HTTP_HEAD && call->method != HTTP_OPTIONS;
}

/* --- who that is ------------------------------------------------------------------------------ */

static enum auth_outcome look_up(struct context *context, struct slice text, i64 now_ms,
                                 struct identity *identity) {
    if (text.bytes == 0 || text.bytes > CREDENTIAL_BYTES_MAX) {
        return AUTH_UNKNOWN;
    }
    u64 version = accounts_version(context->accounts);
    u64 hash = hash64(text.data, text.bytes, context->door->seed);
    struct key_slot *slot = &context->key_cache[hash % KEY_CACHE_SLOTS];
    bool fresh = slot->bytes == text.bytes && slot->version == version &&
                 now_ms >= slot->checked_ms && now_ms - slot->checked_ms < SLOT_LIFE_MS;
    if (fresh && same_bytes(slot->text, text.data, text.bytes)) {
        *identity = slot->identity;
        return AUTH_OK;
    }
    version = accounts_seen_version(context->accounts);
    enum err err = accounts_authenticate(context->accounts, text, now_ms, identity);
    if (err == ERR_CORRUPT || err == ERR_VERSION) {
        log_error("account_unreadable", "reason=%s", err_text(err));
        return AUTH_DAMAGED;
    }
    if (err != ERR_OK) {
        return err == ERR_NOT_FOUND ? AUTH_UNKNOWN : AUTH_UNAVAILABLE;
    }
    *slot = (struct key_slot){
        .bytes = (u8)text.bytes, .identity = *identity, .version = version, .checked_ms = now_ms};
    memcpy(slot->text, text.data, text.bytes);
    return AUTH_OK;
}

/* X-Account-Id: another account of the session's user, else without effect. */
static enum auth_outcome select_account(const struct http_call *call, struct identity *identity) {
    struct context *context = call->context;
    struct slice text;
    u64 account = 0;
    if (identity->user == 0 || !http_call_header(call, "x-account-id", &text)) {
        return AUTH_OK;
    }
    for (usize i = 0; i < text.bytes && account < ACCOUNTS_MAX; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return AUTH_OK;
        }
        account = account * 10 + (u64)(text.data[i] - '0');
    }
    if (account == 0 || account >= ACCOUNTS_MAX || account == identity->account) {
        return AUTH_OK;
    }
    enum err err = accounts_select(context->accounts, (u32)account, identity);
    return err == ERR_OK || err == ERR_NOT_FOUND ? AUTH_OK : AUTH_UNAVAILABLE;
}

static enum auth_outcome look(const struct http_call *call, const struct credential *credential,
                              struct identity *identity) {
    struct context *context = call->context;
    if (!atomic_load_explicit(context->ready, memory_order_acquire)) {
        return AUTH_STARTING;
    }
    if (credential->text.data == NULL) {
        return AUTH_MISSING;
    }
    enum auth_outcome outcome = look_up(context, credential->text, call->now_ms, identity);
    bool is_key = identity->key != 0;
    if (outcome == AUTH_OK && (is_key ? credential->cookie : credential->header)) {
        return AUTH_UNKNOWN; /* keys do not come as cookies, nor logins where keys belong */
    }
    return outcome == AUTH_OK ? select_account(call, identity) : outcome;
}

/* What the door found about a call, for its handler. It holds for that instant only: a body may
 * take minutes to come. */
struct found {
    i64 now_ms; /* 0: nobody has looked */
    u8 outcome;
    bool cookie;
    struct identity identity;
};
_Static_assert(sizeof(struct found) <= sizeof((struct http_call *)0)->caller, "it is kept there");

static enum auth_outcome identify(struct http_call *call, struct identity *identity,
                                  bool *by_cookie) {
    struct found found;
    memcpy(&found, call->caller, sizeof found);
    if (found.now_ms == 0 || found.now_ms != call->now_ms) {
        const struct credential credential = find_credential(call);
        found = (struct found){.now_ms = call->now_ms, .cookie = credential.cookie};
        found.outcome = (u8)look(call, &credential, &found.identity);
        memcpy(call->caller, &found, sizeof found);
    }
    *identity = found.identity;
    *by_cookie = found.cookie;
    return (enum auth_outcome)found.outcome;
}

/* --- whether that may ------------------------------------------------------------------------- */

static enum auth_outcome judge_key(const struct route *route, const struct identity *identity) {
    if (route->caller != CALLER_ANY) {
        return AUTH_SESSION;
    }
    bool may = route->scope == ROUTE_PUBLIC || route->scope == ROUTE_ANY_CREDENTIAL ||
               identity_may(identity, (enum scope)route->scope);
    return may ? AUTH_OK : AUTH_FORBIDDEN;
}

static enum auth_outcome judge_session(const struct http_call *call, const struct route *route,
                                       const struct identity *identity, bool by_cookie) {
    if (is_write(call) && by_cookie && !auth_is_own_site(call)) {
        return AUTH_CROSS_SITE;
    }
    if (route->caller == CALLER_SESSION_OWNER && identity->role != ROLE_OWNER) {
        return AUTH_ROLE;
    }
    bool reads = !is_write(call) || route->caller == CALLER_SESSION_ALL;
    return identity->role == ROLE_VIEWER && !reads ? AUTH_ROLE : AUTH_OK;
}

static enum auth_outcome authorize(struct http_call *call, struct identity *identity) {
    const struct route *route = route_of(call);
    bool by_cookie;
    enum auth_outcome outcome = identify(call, identity, &by_cookie);
    if (outcome != AUTH_OK) {
        return outcome;
    }
    return identity->key != 0 ? judge_key(route, identity)
                              : judge_session(call, route, identity, by_cookie);
}

bool auth_require(struct http_call *call, struct identity *identity) {
    enum auth_outcome outcome = authorize(call, identity);
    if (outcome != AUTH_OK) {
        auth_refuse(call, outcome);
    }
    return outcome == AUTH_OK;
}

bool auth_may(struct http_call *call) {
    struct identity identity;
    return authorize(call, &identity) == AUTH_OK;
}

enum auth_outcome auth_identify(struct http_call *call, struct identity *identity) {
    bool by_cookie;
    return identify(call, identity, &by_cookie);
}

bool auth_optional(struct http_call *call, enum scope scope, struct identity *identity,
                   bool *known) {
    enum auth_outcome outcome = auth_identify(call, identity);
    *known = outcome == AUTH_OK && identity_may(identity, scope);
    if (outcome != AUTH_OK && outcome != AUTH_MISSING) {
        auth_refuse(call, outcome);
        return false;
    }
    return true;
}

enum auth_outcome auth_client(struct http_call *call, struct identity *identity) {
    enum auth_outcome outcome = authorize(call, identity);
    return outcome == AUTH_OK && identity->key == 0 ? AUTH_KEY : outcome;
}

/* --- saying no -------------------------------------------------------------------------------- */

static const char *text_of(enum auth_outcome outcome) {
    switch (outcome) {
    case AUTH_STARTING:
        return "the server is starting: recovery is not done";
    case AUTH_MISSING:
        return "no credential; send an API key as Observe-Key or Authorization: Bearer, or log in";
    case AUTH_FORBIDDEN:
        return "the API key lacks the scope this needs";
    case AUTH_SESSION:
        return "this needs a login; an API key is not enough";
    case AUTH_KEY:
        return "this needs an API key; a login is not enough";
    case AUTH_ROLE:
        return "your role in this account does not allow this";
    case AUTH_CROSS_SITE:
        return "a page of another site sent this with your cookie";
    case AUTH_UNAVAILABLE:
        return "the accounts cannot be read now; try again";
    case AUTH_DAMAGED:
        return "what is stored of this API key or session is damaged; the server's log says more";
    default:
        return "the API key or session is unknown, revoked or expired";
    }
}

struct refusal {
    u16 status;
    const char *code;
};

static struct refusal refusal_of(enum auth_outcome outcome) {
    switch (outcome) {
    case AUTH_STARTING:
    case AUTH_UNAVAILABLE:
        return (struct refusal){503, "overloaded"};
    case AUTH_DAMAGED:
        return (struct refusal){500, "internal"};
    case AUTH_FORBIDDEN:
    case AUTH_SESSION:
    case AUTH_KEY:
    case AUTH_ROLE:
    case AUTH_CROSS_SITE:
        return (struct refusal){403, "forbidden"};
    default:
        return (struct refusal){401, "unauthorized"};
    }
}

/* Too many bad credentials from there: the answer is complete. */
static bool is_too_much(struct http_call *call, enum auth_outcome outcome) {
    u32 retry_s;
    if (outcome != AUTH_UNKNOWN || door_count_bad_call(call, &retry_s)) {
        return false;
    }
    buf_put_format(&call->headers, "Retry-After: %u\r\n", retry_s);
    call->close = true;
    call->status = 429;
    error_refusal(call, "the API key or session is unknown, revoked or expired, and so were too "
                        "many before it from this address; a good one is let in at any time");
    return true;
}

enum call_outcome auth_refuse(struct http_call *call, enum auth_outcome outcome) {
    struct refusal refusal = refusal_of(outcome);
    if (is_too_much(call, outcome)) {
        return CALL_DONE;
    }
    if (refusal.status == 503) {
        return error_overloaded(call, text_of(outcome));
    }
    return error_reply(call, refusal.status, refusal.code, text_of(outcome));
}

enum call_outcome auth_refuse_client(struct http_call *call, enum auth_outcome outcome) {
    struct refusal refusal = refusal_of(outcome);
    if (is_too_much(call, outcome)) {
        return CALL_DONE;
    }
    if (refusal.status == 503) {
        buf_put_text(&call->headers, "Retry-After: 1\r\n");
    }
    return error_client(call, refusal.status, refusal.code, text_of(outcome), NULL);
}

bool auth_admit(struct http_call *call) {
    struct identity identity;
    if (route_of(call)->scope == ROUTE_PUBLIC) {
        return true;
    }
    if (!error_is_client(call)) {
        return auth_require(call, &identity);
    }
    enum auth_outcome outcome = auth_client(call, &identity);
    if (outcome != AUTH_OK) {
        auth_refuse_client(call, outcome);
    }
    return outcome == AUTH_OK;
}
