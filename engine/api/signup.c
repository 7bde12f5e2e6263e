/*
 * signup.c: POST /api/signup (Observe 1.3): a stranger becomes the owner of a new account and gets
 * a key with few scopes. The rate limit of its route keeps strangers from making many.
 */
#include <stdatomic.h>
#include <string.h>

#include "account/users.h"
#include "api/auth.h"
#include "api/context.h"
#include "api/error.h"
#include "api/key_fields.h"
#include "api/routes.h"
#include "api/slow.h"
#include "base/log.h"

#define SIGNUP_SCOPES                                                                              \
    (SCOPE_BIT(SCOPE_PROXY_CHAT) | SCOPE_BIT(SCOPE_USAGE_READ) | SCOPE_BIT(SCOPE_EVENTS_READ) |    \
     SCOPE_BIT(SCOPE_EVENTS_WRITE) | SCOPE_BIT(SCOPE_CUSTOMERS_READ) |                             \
     SCOPE_BIT(SCOPE_BILLING_READ) | SCOPE_BIT(SCOPE_RECOMMENDATIONS_READ) |                       \
     SCOPE_BIT(SCOPE_MODELS_READ))
#define DEFAULT_SCOPES (SCOPE_BIT(SCOPE_USAGE_READ) | SCOPE_BIT(SCOPE_BILLING_READ))

struct signup {
    struct key_request key;
    char email[EMAIL_MAX + 1];
};

static void work(struct http_call *call, void *context) {
    struct signup *signup = context;
    struct context *api = call->context;
    char text[KEY_TEXT_BYTES + 1];
    struct key_info key = {0};
    signup->key.name = "default";
    enum err err =
        users_sign_up(api->accounts, signup->email, &signup->key, call->now_ms, text, &key);
    if (err == ERR_EXISTS) {
        error_reply(call, 409, "conflict", "this e-mail address is known already");
        return;
    }
    if (err != ERR_OK) {
        error_of(call, err == ERR_LIMIT ? ERR_NO_SPACE : err);
        return;
    }
    log_info("signup", "account=%u", key.account);
    call->status = 201;
    struct json_writer json = json_writer(&call->reply);
    json_object_begin(&json);
    json_key(&json, "key");
    json_text(&json, text);
    explicit_bzero(text, sizeof text);
    key_fields_put_scopes(&json, key.scopes);
    key_fields_put_bounds(&json, &key);
    json_object_end(&json);
}

enum call_outcome signup_handle(struct http_call *call) {
    struct context *api = call->context;
    struct key_fields fields;
    struct signup signup;
    if (!atomic_load_explicit(api->ready, memory_order_acquire)) {
        return auth_refuse(call, AUTH_STARTING);
    }
    if (!api->signup) {
        return error_reply(call, 403, "forbidden", "signing up is turned off here");
    }
    if (!key_fields_read(call, SIGNUP_SCOPES, DEFAULT_SCOPES, &fields)) {
        return CALL_DONE;
    }
    if (!users_read_email(fields.email, signup.email)) {
        return error_invalid(call, "email must be an address of at most 255 bytes");
    }
    signup.key = fields.key;
    return slow_request(call, false, work, &signup, sizeof signup);
}
