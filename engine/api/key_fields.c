/* key_fields.c: see key_fields.h. */
#include "api/key_fields.h"

#include <string.h>

#include "api/error.h"
#include "base/utf8.h"
#include "json/reader.h"

struct reading {
    struct json_reader json;
    struct key_fields *out;
    u32 allowed;
    u32 scopes;
    bool has_period;
    enum budget_period period;
    i64 expires_s;
    struct buf refused; /* scopes that may not be asked for */
};

static bool is_blank(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* What counts is what stays of it. */
static void read_name(struct reading *reading) {
    struct slice text;
    if (!json_read_string(&reading->json, &text)) {
        return;
    }
    while (text.bytes > 0 && is_blank(text.data[0])) {
        text = (struct slice){text.data + 1, text.bytes - 1};
    }
    while (text.bytes > 0 && is_blank(text.data[text.bytes - 1])) {
        text.bytes--;
    }
    if (text.bytes > KEY_NAME_MAX) {
        json_read_refuse(&reading->json, ERR_INVALID, "name is longer than 100 characters");
        return;
    }
    for (usize i = 0; i < text.bytes; i++) {
        if ((u8)text.data[i] < ' ' || text.data[i] == 0x7f) {
            json_read_refuse(&reading->json, ERR_INVALID, "name has control characters");
            return;
        }
    }
    memcpy(reading->out->name, text.data, text.bytes);
    reading->out->name[text.bytes] = '\0';
    reading->out->has_name = true;
}

static void read_scopes(struct reading *reading) {
    struct slice text;
    if (!json_read_array(&reading->json)) {
        return;
    }
    while (json_read_element(&reading->json)) {
        enum scope scope;
        if (!json_read_string(&reading->json, &text)) {
            return;
        }
        if (scope_parse(text, &scope) && (reading->allowed & SCOPE_BIT(scope)) != 0) {
            reading->scopes |= SCOPE_BIT(scope);
        } else {
            buf_put_text(&reading->refused, reading->refused.bytes == 0 ? "" : ", ");
            usize shown = utf8_prefix(text.data, MIN(text.bytes, (usize)64));
            buf_put(&reading->refused, text.data, shown);
        }
    }
}

static void read_period(struct reading *reading) {
    struct slice text;
    if (json_read_string(&reading->json, &text)) {
        reading->has_period = budget_period_parse(text, &reading->period);
        if (!reading->has_period) {
            json_read_refuse(&reading->json, ERR_INVALID,
                             "budget_period must be \"month\" or \"day\"");
        }
    }
}

static void read_whole(struct reading *reading, i64 least, i64 most, const char *why, i64 *out) {
    if (json_read_i64(&reading->json, out) && (*out < least || *out > most)) {
        json_read_refuse(&reading->json, ERR_INVALID, why);
    }
}

static void read_member(struct reading *reading, struct slice name) {
    struct key_request *key = &reading->out->key;
    if (json_read_kind(&reading->json) == JSON_NULL) {
        json_read_skip(&reading->json); /* as good as absent */
    } else if (slice_is(name, "name")) {
        read_name(reading);
    } else if (slice_is(name, "email")) {
        json_read_string(&reading->json, &reading->out->email);
    } else if (slice_is(name, "scopes")) {
        reading->scopes = 0;
        read_scopes(reading);
    } else if (slice_is(name, "budget_cents")) {
        key->has_budget = true;
        read_whole(reading, 0, BUDGET_CENTS_MAX, "budget_cents must be a whole number, at least 0",
                   &key->budget_cents);
    } else if (slice_is(name, "budget_period")) {
        read_period(reading);
    } else if (slice_is(name, "expires_in_seconds")) {
        read_whole(reading, 1, KEY_EXPIRES_SECONDS_MAX,
                   "expires_in_seconds must be a whole number, 1 to 100 years",
                   &reading->expires_s);
    } else {
        json_read_skip(&reading->json);
    }
}

static void refuse_scopes(struct http_call *call, struct buf *refused) {
    struct buf text;
    buf_init(&text, KIB);
    buf_put_text(&text, "scopes that may not be asked for: ");
    buf_put_slice(&text, buf_slice(refused));
    buf_put_char(&text, '\0');
    error_invalid(call, text.failed ? "scopes has scopes that may not be asked for" : text.data);
    buf_free(&text);
}

bool key_fields_read(struct http_call *call, u32 allowed, u32 fallback, struct key_fields *out) {
    struct reading reading = {.out = out, .allowed = allowed};
    *out = (struct key_fields){.email = {NULL, 0}};
    if (call->body.bytes > 0) {
        reading.json = json_reader((char *)call->body.data, call->body.bytes);
        buf_init(&reading.refused, KIB / 2);
        struct slice name;
        if (json_read_object(&reading.json)) {
            while (json_read_member(&reading.json, &name)) {
                read_member(&reading, name);
            }
        }
        bool good = json_read_finish(&reading.json);
        if (!good) {
            error_invalid_at(call, reading.json.error.text, reading.json.error.position);
        } else if (reading.refused.bytes > 0 || reading.refused.failed) {
            refuse_scopes(call, &reading.refused);
            good = false;
        }
        buf_free(&reading.refused);
        if (!good) {
            return false;
        }
    }
    out->key.scopes = reading.scopes == 0 ? fallback : reading.scopes;
    out->key.budget_period = reading.has_period ? reading.period : BUDGET_LIFETIME;
    out->key.expires_ms = reading.expires_s == 0 ? 0 : call->now_ms + reading.expires_s * 1000;
    return true;
}

/* --- answers ---------------------------------------------------------------------------------- */

void key_fields_put_scopes(struct json_writer *json, u32 scopes) {
    json_key(json, "scopes");
    if (scopes == SCOPE_ALL) {
        json_null(json);
        return;
    }
    json_array_begin(json);
    for (u32 i = 0; i < SCOPES; i++) {
        if ((scopes & SCOPE_BIT(i)) != 0) {
            json_text(json, scope_text((enum scope)i));
        }
    }
    json_array_end(json);
}

void key_fields_put_time(struct json_writer *json, const char *name, i64 time_ms) {
    json_key(json, name);
    if (time_ms == 0) {
        json_null(json);
    } else {
        json_time(json, time_ms);
    }
}

void key_fields_put_bounds(struct json_writer *json, const struct key_info *key) {
    const struct budget *budget = &key->budget;
    const char *period =
        budget->limited ? budget_period_text((enum budget_period)budget->period) : NULL;
    key_fields_put_time(json, "expires_at", key->expires_ms);
    json_key(json, "budget_cents");
    if (budget->limited) {
        json_i64(json, budget->limit_cents);
    } else {
        json_null(json);
    }
    json_key(json, "budget_period");
    if (period != NULL) {
        json_text(json, period);
    } else {
        json_null(json);
    }
}
