/*
 * settings.c: what an account can set of itself. Its plan is not among them: that is the operator's
 * to say (marginctl account plan).
 */
#include <string.h>

#include "api/auth.h"
#include "api/context.h"
#include "api/error.h"
#include "api/routes.h"
#include "api/slow.h"
#include "json/reader.h"
#include "json/write.h"

static void work_get(struct http_call *call, u32 account) {
    const struct context *context = call->context;
    struct account_info info;
    enum err err = accounts_get(context->accounts, account, &info);
    if (err != ERR_OK) {
        error_of(call, err);
        return;
    }
    struct json_writer json = json_writer(&call->reply);
    json_object_begin(&json);
    json_key(&json, "account");
    json_object_begin(&json);
    json_key(&json, "id");
    json_u64(&json, info.id);
    json_key(&json, "name");
    json_text(&json, info.name);
    json_key(&json, "plan");
    json_text(&json, accounts_plan(context->accounts, &info)->name);
    json_object_end(&json);
    json_key(&json, "body_capture");
    json_bool(&json, info.captures);
    json_object_end(&json);
}

/* Sets what is given. False: the reply says why not. */
static bool read_change(struct http_call *call, bool *given, bool *captures) {
    struct json_reader reader = json_reader((char *)call->body.data, call->body.bytes);
    struct slice name;
    *given = false;
    if (json_read_object(&reader)) {
        while (json_read_member(&reader, &name)) {
            if (slice_is(name, "body_capture")) {
                *given = json_read_bool(&reader, captures);
            } else {
                json_read_skip(&reader);
            }
        }
    }
    if (!json_read_finish(&reader)) {
        error_invalid_at(call, reader.error.text, reader.error.position);
        return false;
    }
    return true;
}

static void work_change(struct http_call *call, u32 account) {
    const struct context *context = call->context;
    bool given;
    bool captures = false;
    if (!read_change(call, &given, &captures)) {
        return;
    }
    enum err err = given ? accounts_set_capture(context->accounts, account, captures) : ERR_OK;
    if (err != ERR_OK) {
        error_of(call, err);
    } else {
        work_get(call, account);
    }
}

enum call_outcome settings_handle_get(struct http_call *call) {
    struct identity identity;
    return auth_require(call, &identity) ? slow_reply(call, identity.account, work_get) : CALL_DONE;
}

enum call_outcome settings_handle_change(struct http_call *call) {
    struct identity identity;
    return auth_require(call, &identity) ? slow_reply(call, identity.account, work_change)
                                         : CALL_DONE;
}
