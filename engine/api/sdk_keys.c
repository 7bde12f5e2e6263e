/*
 * sdk_keys.c: API keys over HTTP (Observe 1.4). Making one needs a login; listing, resetting and
 * revoking go with a key, too, but such a key touches only keys that may do no more than itself,
 * so that a small key cannot become a large one by being reset. Everything runs on a reader thread:
 * it reads all keys of the account, or waits for the disk.
 */
#include <stdlib.h>
#include <string.h>

#include "account/keys.h"
#include "account/users.h"
#include "api/auth.h"
#include "api/context.h"
#include "api/error.h"
#include "api/key_fields.h"
#include "api/params.h"
#include "api/routes.h"
#include "api/slow.h"

struct request {
    struct identity identity;
    u32 id;
    struct key_fields fields;
};

static void put_new_key(struct json_writer *json, const struct key_info *key, const char *text) {
    json_key(json, "id");
    json_u64(json, key->id);
    json_key(json, "key");
    json_text(json, text);
    json_key(json, "prefix");
    json_text(json, key->prefix);
    json_key(json, "name");
    json_text(json, key->name);
}

/* --- making ----------------------------------------------------------------------------------- */

static void work_create(struct http_call *call, void *context) {
    struct request *request = context;
    struct context *api = call->context;
    char text[KEY_TEXT_BYTES + 1];
    struct key_info key;
    request->fields.key.name = request->fields.name;
    enum err err = keys_create(api->accounts, request->identity.account, &request->fields.key,
                               call->now_ms, text, &key);
    if (err == ERR_EXISTS) {
        error_reply(call, 409, "conflict", "an active key has this name");
    } else if (err == ERR_INVALID) {
        error_invalid(call, "name is longer than 100 characters");
    } else if (err == ERR_LIMIT) {
        error_invalid(call, "the account has too many keys; revoke some");
    } else if (err != ERR_OK) {
        error_of(call, err);
    } else {
        call->status = 201;
        struct json_writer json = json_writer(&call->reply);
        json_object_begin(&json);
        put_new_key(&json, &key, text);
        key_fields_put_scopes(&json, key.scopes);
        key_fields_put_bounds(&json, &key);
        json_object_end(&json);
    }
    explicit_bzero(text, sizeof text);
}

enum call_outcome sdk_keys_handle_create(struct http_call *call) {
    struct request request = {0};
    if (!auth_require(call, &request.identity) ||
        !key_fields_read(call, SCOPE_ALL, SCOPE_ALL, &request.fields)) {
        return CALL_DONE;
    }
    return slow_request(call, false, work_create, &request, sizeof request);
}

/* --- listing ---------------------------------------------------------------------------------- */

struct listing {
    i64 now_ms;
    u32 count;
    struct key_info *keys;
};

static bool visit_key(void *context, const struct key_info *key) {
    struct listing *listing = context;
    if (key_is_active(key, listing->now_ms)) {
        listing->keys[listing->count++] = *key;
    }
    return listing->count < KEYS_MAX;
}

/* A budget as it is now, whether or not somebody has spent since its period ended. */
static void put_budget_use(struct json_writer *json, const struct key_info *key, i64 now_ms,
                           bool remaining) {
    struct budget budget = key->budget;
    budget_advance(&budget, now_ms);
    json_key(json, "budget_used_cents");
    if (budget.limited) {
        json_i64(json, budget_used_cents(&budget));
    } else {
        json_null(json);
    }
    if (remaining) {
        json_key(json, "budget_remaining_cents");
        if (budget.limited) {
            json_i64(json, budget_remaining_cents(&budget));
        } else {
            json_null(json);
        }
    }
    key_fields_put_time(json, "budget_reset_at", budget.limited ? budget.reset_ms : 0);
}

static void put_listed(struct json_writer *json, const struct key_info *key, i64 now_ms) {
    json_object_begin(json);
    json_key(json, "id");
    json_u64(json, key->id);
    json_key(json, "key_prefix");
    json_text(json, key->prefix);
    json_key(json, "full_key");
    json_null(json);
    json_key(json, "name");
    json_text(json, key->name);
    key_fields_put_scopes(json, key->scopes);
    key_fields_put_bounds(json, key);
    put_budget_use(json, key, now_ms, false);
    key_fields_put_time(json, "created_at", key->created_ms);
    key_fields_put_time(json, "last_used_at", key->last_used_ms);
    json_object_end(json);
}

static void work_list(struct http_call *call, u32 account) {
    struct context *api = call->context;
    struct listing listing = {.now_ms = call->now_ms,
                              .keys = calloc(KEYS_MAX, sizeof *listing.keys)};
    enum err err = listing.keys == NULL ? ERR_NO_MEMORY
                                        : keys_each(api->accounts, account, visit_key, &listing);
    if (err != ERR_OK) {
        error_of(call, err);
    } else {
        struct json_writer json = json_writer(&call->reply);
        json_array_begin(&json);
        for (u32 i = listing.count; i-- > 0;) {
            put_listed(&json, &listing.keys[i], call->now_ms);
        }
        json_array_end(&json);
    }
    free(listing.keys);
}

enum call_outcome sdk_keys_handle_list(struct http_call *call) {
    struct identity identity;
    if (!auth_require(call, &identity)) {
        return CALL_DONE;
    }
    return slow_reply(call, identity.account, work_list);
}

/* --- resetting and revoking ------------------------------------------------------------------- */

/* The key in the path, if the caller may touch it; else the reply is complete. */
static bool find_key(struct http_call *call, const struct request *request, struct key_info *key) {
    struct context *api = call->context;
    const struct identity *caller = &request->identity;
    struct key_info own = {.scopes = SCOPE_ALL}; /* of a session */
    enum err err =
        caller->key == 0 ? ERR_OK : keys_get(api->accounts, caller->account, caller->key, &own);
    if (err == ERR_OK) {
        err = keys_get(api->accounts, caller->account, request->id, key);
    }
    if (err == ERR_OK && key->revoked_ms != 0) {
        err = ERR_NOT_FOUND;
    }
    if (err == ERR_NOT_FOUND) {
        error_not_found(call, "no active key has this id");
    } else if (err != ERR_OK) {
        error_of(call, err);
    } else if (!key_covers(&own, key)) {
        error_reply(call, 403, "forbidden", "that key may do more, or lives longer, than yours");
        return false;
    }
    return err == ERR_OK;
}

static void work_reset(struct http_call *call, void *context) {
    const struct request *request = context;
    struct context *api = call->context;
    char text[KEY_TEXT_BYTES + 1];
    struct key_info key;
    if (!find_key(call, request, &key)) {
        return;
    }
    enum err err =
        keys_reset(api->accounts, request->identity.account, key.id, call->now_ms, text, &key);
    if (err == ERR_NOT_FOUND) {
        error_not_found(call, "no active key has this id");
    } else if (err != ERR_OK) {
        error_of(call, err);
    } else {
        struct json_writer json = json_writer(&call->reply);
        json_object_begin(&json);
        put_new_key(&json, &key, text);
        json_object_end(&json);
    }
    explicit_bzero(text, sizeof text);
}

static void work_delete(struct http_call *call, void *context) {
    const struct request *request = context;
    struct context *api = call->context;
    struct key_info key;
    if (!find_key(call, request, &key)) {
        return;
    }
    enum err err =
        keys_revoke(api->accounts, request->identity.account, key.id, true, call->now_ms);
    if (err == ERR_NOT_FOUND) {
        error_not_found(call, "no active key has this id");
    } else if (err == ERR_INVALID) {
        error_invalid(call, "the account's last active key cannot be deleted");
    } else if (err != ERR_OK) {
        error_of(call, err);
    } else {
        buf_put_text(&call->reply, "{\"success\":true}");
    }
}

static enum call_outcome handle_one(struct http_call *call, slow_request_work work) {
    struct request request = {0};
    u64 id;
    if (!auth_require(call, &request.identity)) {
        return CALL_DONE;
    }
    if (!params_u64(call->capture[0], &id) || id > UINT32_MAX) {
        return error_not_found(call, "no active key has this id");
    }
    request.id = (u32)id;
    return slow_request(call, false, work, &request, sizeof request);
}

enum call_outcome sdk_keys_handle_reset(struct http_call *call) {
    return handle_one(call, work_reset);
}

enum call_outcome sdk_keys_handle_delete(struct http_call *call) {
    return handle_one(call, work_delete);
}

/* --- who am I --------------------------------------------------------------------------------- */

static enum call_outcome put_session(struct http_call *call, const struct identity *identity) {
    struct context *api = call->context;
    struct user user;
    enum err err = users_get(api->accounts, identity->user, &user);
    if (err != ERR_OK) {
        return error_of(call, err == ERR_NOT_FOUND ? ERR_CORRUPT : err);
    }
    struct json_writer json = json_writer(&call->reply);
    json_object_begin(&json);
    json_key(&json, "auth_type");
    json_text(&json, "session");
    json_key(&json, "email");
    json_text(&json, user.email);
    json_key(&json, "account_id");
    json_u64(&json, identity->account);
    json_key(&json, "role");
    json_text(&json, role_text(identity->role));
    key_fields_put_scopes(&json, SCOPE_ALL);
    json_object_end(&json);
    return CALL_DONE;
}

enum call_outcome sdk_keys_handle_me(struct http_call *call) {
    struct context *api = call->context;
    struct identity identity;
    struct key_info key;
    if (!auth_require(call, &identity)) {
        return CALL_DONE;
    }
    if (identity.key == 0) {
        return put_session(call, &identity);
    }
    enum err err = keys_get(api->accounts, identity.account, identity.key, &key);
    if (err != ERR_OK) {
        return error_of(call, err);
    }
    struct json_writer json = json_writer(&call->reply);
    json_object_begin(&json);
    json_key(&json, "auth_type");
    json_text(&json, "sdk_key");
    json_key(&json, "id");
    json_u64(&json, key.id);
    json_key(&json, "name");
    json_text(&json, key.name);
    json_key(&json, "key_prefix");
    json_text(&json, key.prefix);
    key_fields_put_scopes(&json, key.scopes);
    key_fields_put_bounds(&json, &key);
    put_budget_use(&json, &key, call->now_ms, true);
    json_object_end(&json);
    return CALL_DONE;
}
