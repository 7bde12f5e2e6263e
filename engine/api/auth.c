/*
 * auth.c: credentials, scopes, and a small memory of keys that were good a moment ago. The memory
 * is keyed by the presented bytes: a look-up is one hash and one comparison in constant time
 * instead of a digest. A slot dies with the first change of any key, and after a second.
 */
#include "api/auth.h"

#include <stdatomic.h>
#include <string.h>
#include <strings.h>

#include "api/context.h"
#include "api/error.h"
#include "api/routes.h"
#include "base/hash.h"

#define SLOT_LIFE_MS 1000

/* Takes the same time whatever the bytes. */
static bool same_bytes(const char *a, const char *b, usize bytes) {
    volatile u8 difference = 0;
    for (usize i = 0; i < bytes; i++) {
        difference = (u8)(difference | (u8)(a[i] ^ b[i]));
    }
    return difference == 0;
}

/* Finds the bearer token of Authorization; another scheme is no credential of ours. */
static bool bearer(const struct http_call *call, struct slice *key) {
    static const char scheme[] = "Bearer ";
    struct slice value;
    if (!http_call_header(call, "authorization", &value) || value.bytes < sizeof scheme - 1 ||
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
    return http_call_header(call, "observe-key", key) ||
           http_call_header(call, "x-tanso-key", key) ||
           http_call_header(call, "x-observe-key", key);
}

static bool client_key(const struct http_call *call, struct slice *key) {
    return bearer(call, key) || http_call_header(call, "x-api-key", key) || key_header(call, key);
}

static enum auth_outcome identify(struct context *context, struct slice key, i64 now_ms,
                                  struct identity *identity) {
    if (key.bytes != KEY_TEXT_BYTES) {
        return AUTH_UNKNOWN;
    }
    u64 version = accounts_version(context->accounts);
    struct key_slot *slot =
        &context->key_cache[hash64(key.data, key.bytes, version) % KEY_CACHE_SLOTS];
    bool fresh = slot->used && slot->version == version && now_ms >= slot->checked_ms &&
                 now_ms - slot->checked_ms < SLOT_LIFE_MS;
    if (fresh && same_bytes(slot->key, key.data, KEY_TEXT_BYTES)) {
        *identity = slot->identity;
        return AUTH_OK;
    }
    if (accounts_authenticate(context->accounts, key, now_ms, identity) != ERR_OK) {
        return AUTH_UNKNOWN;
    }
    *slot = (struct key_slot){
        .used = true, .identity = *identity, .version = version, .checked_ms = now_ms};
    memcpy(slot->key, key.data, KEY_TEXT_BYTES);
    return AUTH_OK;
}

/* Who the credential is, whatever it may do. */
static enum auth_outcome recognise(struct http_call *call, bool found, struct slice key,
                                   struct identity *identity) {
    struct context *context = call->context;
    if (!atomic_load_explicit(context->ready, memory_order_acquire)) {
        return AUTH_STARTING;
    }
    return found ? identify(context, key, call->now_ms, identity) : AUTH_MISSING;
}

static enum auth_outcome authorize(struct http_call *call, bool found, struct slice key,
                                   struct identity *identity) {
    enum auth_outcome outcome = recognise(call, found, key, identity);
    if (outcome == AUTH_OK && !identity_may(identity, (enum scope)route_of(call)->scope)) {
        return AUTH_FORBIDDEN;
    }
    return outcome;
}

/* The words of a refusal. */
static const char *text_of(enum auth_outcome outcome) {
    switch (outcome) {
    case AUTH_STARTING:
        return "the server is starting: recovery is not done";
    case AUTH_MISSING:
        return "no API key; send it as Observe-Key or Authorization: Bearer";
    case AUTH_FORBIDDEN:
        return "the API key lacks the scope this needs";
    default:
        return "the API key is unknown, revoked or expired";
    }
}

/* Fills in the reply to any outcome but AUTH_OK. */
static bool admit_or_refuse(struct http_call *call, enum auth_outcome outcome) {
    switch (outcome) {
    case AUTH_OK:
        return true;
    case AUTH_STARTING:
        error_overloaded(call, text_of(outcome));
        return false;
    case AUTH_FORBIDDEN:
        error_reply(call, 403, "forbidden", text_of(outcome));
        return false;
    default:
        error_reply(call, 401, "unauthorized", text_of(outcome));
        return false;
    }
}

bool auth_require(struct http_call *call, struct identity *identity) {
    struct slice key = {NULL, 0};
    bool found = key_header(call, &key) || bearer(call, &key);
    return admit_or_refuse(call, authorize(call, found, key, identity));
}

bool auth_optional(struct http_call *call, enum scope scope, struct identity *identity,
                   bool *known) {
    struct slice key = {NULL, 0};
    *known = false;
    if (!key_header(call, &key) && !bearer(call, &key)) {
        return true;
    }
    bool good = admit_or_refuse(call, recognise(call, true, key, identity));
    *known = good && identity_may(identity, scope);
    return good;
}

enum auth_outcome auth_client(struct http_call *call, struct identity *identity) {
    struct slice key = {NULL, 0};
    bool found = client_key(call, &key);
    return authorize(call, found, key, identity);
}

enum call_outcome auth_refuse_client(struct http_call *call, enum auth_outcome outcome) {
    switch (outcome) {
    case AUTH_STARTING:
        buf_put_text(&call->headers, "Retry-After: 1\r\n");
        return error_client(call, 503, "overloaded", text_of(outcome), NULL);
    case AUTH_FORBIDDEN:
        return error_client(call, 403, "forbidden", text_of(outcome), NULL);
    default:
        return error_client(call, 401, "unauthorized", text_of(outcome), NULL);
    }
}

bool auth_look(const struct http_call *call, struct identity *identity) {
    struct context *context = call->context;
    struct slice key = {NULL, 0};
    bool found = error_is_client(call) ? client_key(call, &key)
                                       : key_header(call, &key) || bearer(call, &key);
    return found && atomic_load_explicit(context->ready, memory_order_acquire) &&
           identify(context, key, call->now_ms, identity) == AUTH_OK;
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
