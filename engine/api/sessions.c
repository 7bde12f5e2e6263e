/*
 * sessions.c: logging in and out, and who is logged in (Observe 1.1). A password's digest costs a
 * tenth of a second of processor time, so logins are heavy jobs: one at a time, few waiting.
 */
#include <stdatomic.h>
#include <string.h>

#include "account/sessions.h"
#include "account/users.h"
#include "api/auth.h"
#include "api/context.h"
#include "api/error.h"
#include "api/routes.h"
#include "api/slow.h"
#include "json/reader.h"
#include "json/write.h"

/* Over TLS, ours or that of a proxy, the cookie is for TLS only. The header can be forged, but by
 * the client, and only makes its own cookie stricter. */
static void put_cookie(struct http_call *call, const char *token, i64 seconds) {
    struct slice scheme;
    bool secure =
        http_call_is_secure(call) ||
        (http_call_header(call, "x-forwarded-proto", &scheme) && slice_is(scheme, "https"));
    buf_put_format(&call->headers,
                   "Set-Cookie: " AUTH_COOKIE "=%s; Path=/; Max-Age=%lld; HttpOnly; SameSite=Lax%s"
                   "\r\n",
                   token, (long long)seconds, secure ? "; Secure" : "");
}

static void put_account(struct json_writer *json, const struct account_info *account,
                        const struct user *user) {
    json_key(json, "account");
    json_object_begin(json);
    json_key(json, "id");
    json_u64(json, account->id);
    json_key(json, "email");
    json_text(json, user->email);
    json_key(json, "name");
    json_text(json, account->name);
    json_object_end(json);
}

/* --- in --------------------------------------------------------------------------------------- */

struct login {
    struct slice email; /* of the body */
    struct slice password;
    char address[EMAIL_MAX + 1]; /* as it is in the tables */
    struct door_login door;
};

static enum call_outcome refuse_guess(struct http_call *call, u32 retry_s) {
    buf_put_format(&call->headers, "Retry-After: %u\r\n", retry_s);
    return error_reply(call, 429, "rate_limited",
                       "too many wrong passwords for this e-mail address; Retry-After says how "
                       "many seconds to wait");
}

static enum call_outcome refuse_password(struct http_call *call) {
    return error_reply(call, 401, "unauthorized", "the e-mail address or the password is wrong");
}

static void answer_login(struct http_call *call, const struct user *user,
                         const struct user_proof *proof) {
    struct context *api = call->context;
    char token[SESSION_TEXT_BYTES + 1];
    struct session_info session;
    struct account_info account;
    enum err err = sessions_begin(api->accounts, proof, call->now_ms, token, &session);
    if (err == ERR_INVALID) {
        refuse_password(call); /* it was right, but is not any more */
        return;
    }
    if (err == ERR_OK) {
        err = accounts_get(api->accounts, session.account, &account);
        err = err == ERR_NOT_FOUND ? ERR_CORRUPT : err;
    }
    if (err == ERR_NOT_FOUND) {
        error_reply(call, 403, "forbidden", "you belong to no account");
        return;
    }
    if (err != ERR_OK) {
        error_of(call, err);
        return;
    }
    put_cookie(call, token, SESSION_LIFE_MS / 1000);
    struct json_writer json = json_writer(&call->reply);
    json_object_begin(&json);
    json_key(&json, "token");
    json_text(&json, token);
    json_key(&json, "expires_at");
    json_time(&json, session.expires_ms);
    put_account(&json, &account, user);
    json_object_end(&json);
    explicit_bzero(token, sizeof token);
}

/* Counted as wrong before it is known, so that many at once are no more than one by one. */
static void work_login(struct http_call *call, void *context) {
    struct login *login = context;
    struct context *api = call->context;
    struct user user;
    struct user_proof proof;
    u32 retry_s;
    if (!door_login_may(api, &login->door, 1, call->now_ms, &retry_s)) {
        refuse_guess(call, retry_s);
        return;
    }
    enum err err =
        users_check_password(api->accounts, login->address, login->password, &user, &proof);
    explicit_bzero((char *)login->password.data, login->password.bytes);
    if (err != ERR_NOT_FOUND) {
        door_login_good(api, &login->door, err == ERR_OK, call->now_ms);
    }
    if (err == ERR_NOT_FOUND) {
        refuse_password(call);
    } else if (err != ERR_OK) {
        error_of(call, err);
    } else {
        answer_login(call, &user, &proof);
    }
}

enum call_outcome sessions_handle_login(struct http_call *call) {
    struct context *api = call->context;
    struct login login = {.email = {NULL, 0}};
    struct slice name;
    if (!atomic_load_explicit(api->ready, memory_order_acquire)) {
        return auth_refuse(call, AUTH_STARTING);
    }
    if (!auth_is_own_site(call)) {
        return auth_refuse(call, AUTH_CROSS_SITE);
    }
    struct json_reader json = json_reader((char *)call->body.data, call->body.bytes);
    if (json_read_object(&json)) {
        while (json_read_member(&json, &name)) {
            if (slice_is(name, "email")) {
                json_read_string(&json, &login.email);
            } else if (slice_is(name, "password")) {
                json_read_string(&json, &login.password);
            } else {
                json_read_skip(&json);
            }
        }
    }
    if (!json_read_finish(&json)) {
        return error_invalid_at(call, json.error.text, json.error.position);
    }
    if (login.email.bytes == 0 || login.password.bytes == 0) {
        return error_invalid(call, "email and password are required");
    }
    if (!users_read_email(login.email, login.address)) {
        login.address[0] = '\0'; /* nobody's: as slow as anybody's */
    }
    u32 retry_s;
    login.door = door_login(call, login.address);
    if (!door_login_may(api, &login.door, 0, call->now_ms, &retry_s)) {
        return refuse_guess(call, retry_s);
    }
    return slow_request(call, true, work_login, &login, sizeof login);
}

/* --- out -------------------------------------------------------------------------------------- */

static void work_logout(struct http_call *call, void *context) {
    struct context *api = call->context;
    const char *token = context;
    enum err err = sessions_end(api->accounts, (struct slice){token, SESSION_TEXT_BYTES});
    if (err != ERR_OK && err != ERR_NOT_FOUND) {
        error_of(call, err);
        return;
    }
    put_cookie(call, "", 0);
    buf_put_text(&call->reply, "{\"success\":true}");
}

enum call_outcome sessions_handle_logout(struct http_call *call) {
    struct identity identity;
    if (!auth_require(call, &identity)) {
        return CALL_DONE;
    }
    struct slice token = auth_token(call);
    check(token.bytes == SESSION_TEXT_BYTES);
    return slow_request(call, false, work_logout, token.data, token.bytes);
}

/* --- who -------------------------------------------------------------------------------------- */

/* A key is nobody: it speaks for an account, but no person is logged in with it. */
enum call_outcome sessions_handle_me(struct http_call *call) {
    struct context *api = call->context;
    struct identity identity;
    struct account_info account;
    struct user user;
    enum auth_outcome outcome = auth_identify(call, &identity);
    if (outcome != AUTH_OK && outcome != AUTH_MISSING) {
        return auth_refuse(call, outcome);
    }
    if (outcome == AUTH_MISSING || identity.user == 0) {
        buf_put_text(&call->reply, "{\"account\":null}");
        return CALL_DONE;
    }
    enum err err = accounts_get(api->accounts, identity.account, &account);
    if (err == ERR_OK) {
        err = users_get(api->accounts, identity.user, &user);
    }
    if (err != ERR_OK) {
        return error_of(call, err);
    }
    struct json_writer json = json_writer(&call->reply);
    json_object_begin(&json);
    put_account(&json, &account, &user);
    json_object_end(&json);
    return CALL_DONE;
}

static void work_accounts(struct http_call *call, void *context) {
    const struct identity *identity = context;
    struct context *api = call->context;
    struct membership all[MEMBERSHIPS_MAX];
    u32 count;
    enum err err = users_memberships(api->accounts, identity->user, all, MEMBERSHIPS_MAX, &count);
    struct json_writer json = json_writer(&call->reply);
    json_object_begin(&json);
    json_key(&json, "accounts");
    json_array_begin(&json);
    for (u32 i = 0; err == ERR_OK && i < count; i++) {
        struct account_info account;
        err = accounts_get(api->accounts, all[i].account, &account);
        json_object_begin(&json);
        json_key(&json, "id");
        json_u64(&json, all[i].account);
        json_key(&json, "name");
        json_text(&json, err == ERR_OK ? account.name : "");
        json_key(&json, "role");
        json_text(&json, role_text((enum role)all[i].role));
        json_key(&json, "status");
        json_text(&json, "active");
        json_key(&json, "joined_at");
        json_time(&json, all[i].joined_ms);
        json_key(&json, "is_current");
        json_bool(&json, all[i].account == identity->account);
        json_object_end(&json);
    }
    json_array_end(&json);
    json_key(&json, "current_account_id");
    json_u64(&json, identity->account);
    json_object_end(&json);
    if (err != ERR_OK) {
        error_of(call, err);
    }
}

enum call_outcome sessions_handle_accounts(struct http_call *call) {
    struct identity identity;
    if (!auth_require(call, &identity)) {
        return CALL_DONE;
    }
    return slow_request(call, false, work_accounts, &identity, sizeof identity);
}
