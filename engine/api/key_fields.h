/*
 * key_fields.h: the fields of a body that asks for an API key, which making one and signing up
 * share, and how a key's properties are written in answers.
 */
#ifndef MARGIN_API_KEY_FIELDS_H
#define MARGIN_API_KEY_FIELDS_H

#include "account/keys.h"
#include "http/call.h"
#include "json/write.h"

#define KEY_EXPIRES_SECONDS_MAX ((i64)100 * 366 * 86400)

struct key_fields {
    struct key_request key; /* but for its name */
    bool has_name;
    char name[KEY_NAME_MAX + 1];
    struct slice email; /* of the body; NULL data: absent */
};

/* Reads the body; an empty one has no fields. `allowed` are the scopes that may be asked for;
 * without any the key gets `fallback`. False: the reply is complete, 400. */
bool key_fields_read(struct http_call *call, u32 allowed, u32 fallback, struct key_fields *out);

/* "scopes": an array in the order of the API's table, or null for an unrestricted key. */
void key_fields_put_scopes(struct json_writer *json, u32 scopes);
/* "expires_at", "budget_cents", "budget_period": null where there is none. */
void key_fields_put_bounds(struct json_writer *json, const struct key_info *key);
/* A time, or null for 0. */
void key_fields_put_time(struct json_writer *json, const char *name, i64 time_ms);

#endif
