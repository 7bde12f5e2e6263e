/*
 * definitions.c: what features are: their definitions, with their figures of all time and their
 * prices. Features that have only been seen in events are listed as well (price/definition.h).
 * Everything here runs on reader threads: it reads the tables, and groups all events.
 */
#include <stdlib.h>
#include <string.h>

#include "api/auth.h"
#include "api/context.h"
#include "api/error.h"
#include "api/params.h"
#include "api/routes.h"
#include "api/slow.h"
#include "price/definition.h"
#include "query/query.h"
#include "json/reader.h"
#include "json/write.h"

/* A definition and what is known of its feature. */
struct item {
    struct definition definition;
    const struct figures *figures; /* NULL: no events */
    u64 made_id;                   /* of the definition that events made; 0: no events */
};

/* All definitions of an account: those of features with events by cost, then the others. */
struct items {
    struct definition_list rows;
    struct query_result result;
    struct item *list;
    u32 count;
};

/* --- putting together ------------------------------------------------------------------------ */

static struct definition made_by_events(u32 value, struct slice feature,
                                        const struct figures *figures) {
    return (struct definition){.id = definition_id_of_value(value),
                               .feature = feature,
                               .name = feature,
                               .kind = DEFINITION_OUTCOME,
                               .created_ms = figures->first_seen,
                               .updated_ms = figures->first_seen};
}

static void add_seen(struct items *items, const struct agg *agg, const struct query_row *row,
                     bool *is_listed) {
    struct slice feature = agg_value_text(agg, DIM_FEATURE, row->value[0]);
    u32 known = definition_list_find(&items->rows, feature);
    struct item item = {.figures = &row->figures, .made_id = definition_id_of_value(row->value[0])};
    const struct definition *stored = known != UINT32_MAX ? &items->rows.rows[known] : NULL;
    if (stored != NULL) {
        is_listed[known] = true;
    }
    if (stored != NULL && stored->removed && row->figures.events <= (u64)stored->removed_events) {
        return;
    }
    item.definition = stored != NULL && !stored->removed
                          ? *stored
                          : made_by_events(row->value[0], feature, &row->figures);
    items->list[items->count++] = item;
}

static enum err put_together(struct items *items, const struct agg *agg) {
    bool *is_listed = calloc(items->rows.count + (usize)1, sizeof *is_listed);
    items->list =
        malloc((items->rows.count + (usize)items->result.row_count + 1) * sizeof *items->list);
    if (is_listed == NULL || items->list == NULL) {
        free(is_listed);
        return ERR_NO_MEMORY;
    }
    for (u32 i = 0; i < items->result.row_count; i++) {
        add_seen(items, agg, &items->result.rows[i], is_listed);
    }
    for (u32 i = 0; i < items->rows.count; i++) {
        if (!is_listed[i] && !items->rows.rows[i].removed) {
            items->list[items->count++] = (struct item){.definition = items->rows.rows[i]};
        }
    }
    free(is_listed);
    return ERR_OK;
}

static void items_free(struct items *items) {
    definition_list_free(&items->rows);
    query_result_free(&items->result);
    free(items->list);
}

static enum err items_read(struct context *context, u32 account, struct items *items) {
    struct query query = {.account = account,
                          .group = {DIM_FEATURE},
                          .group_count = 1,
                          .present_only = true,
                          .live = true,
                          .from = INT64_MIN,
                          .to = INT64_MAX,
                          .order = ORDER_COST,
                          .limit = QUERY_ROWS_MAX};
    const char *why;
    *items = (struct items){.list = NULL};
    enum err err = query_run(context->agg, context->store, &query, &items->result, &why);
    if (err != ERR_OK) {
        return err;
    }
    err = definition_list_read(context->control, account, &items->rows);
    if (err == ERR_OK) {
        err = put_together(items, context->agg);
    }
    if (err != ERR_OK) {
        items_free(items);
    }
    return err;
}

static const struct item *find_id(const struct items *items, u64 id) {
    for (u32 i = 0; i < items->count; i++) {
        if (items->list[i].definition.id == id) {
            return &items->list[i];
        }
    }
    return NULL;
}

static const struct item *find_feature(const struct items *items, struct slice feature) {
    for (u32 i = 0; i < items->count; i++) {
        if (price_compare_text(items->list[i].definition.feature, feature) == 0) {
            return &items->list[i];
        }
    }
    return NULL;
}

/* --- answers --------------------------------------------------------------------------------- */

static void put_text(struct json_writer *json, const char *key, struct slice text) {
    json_key(json, key);
    if (text.bytes > 0) {
        json_string(json, text);
    } else {
        json_null(json);
    }
}

static void put_figures(struct json_writer *json, const struct figures *figures) {
    json_key(json, "event_count");
    json_u64(json, figures != NULL ? figures->events : 0);
    json_key(json, "total_cost");
    json_decimal(json, figures != NULL ? figures->cost : 0, 12);
    json_key(json, "last_seen");
    if (figures != NULL && figures->events > 0) {
        json_time(json, figures->last_seen);
    } else {
        json_null(json);
    }
}

static void put_price(struct json_writer *json, const struct price_book *book,
                      struct slice feature) {
    u32 known = book != NULL ? price_book_feature(book, feature) : PRICE_NONE;
    json_key(json, "revenue_per_unit");
    if (known == PRICE_NONE) {
        json_null(json);
        put_text(json, "unit_label", (struct slice){NULL, 0});
    } else {
        json_decimal(json, book->features[known].revenue, 12);
        put_text(json, "unit_label", book->features[known].unit_label);
    }
}

static void put_item(struct json_writer *json, const struct item *item,
                     const struct price_book *book) {
    const struct definition *definition = &item->definition;
    json_object_begin(json);
    json_key(json, "id");
    json_u64(json, definition->id);
    put_text(json, "name", definition->name);
    put_text(json, "feature_key", definition->feature);
    json_key(json, "kind");
    json_text(json, definition_kind_text(definition->kind));
    put_text(json, "description", definition->description);
    put_text(json, "code_location", definition->code_location);
    put_figures(json, item->figures);
    put_price(json, book, definition->feature);
    json_key(json, "created_at");
    json_time(json, definition->created_ms);
    json_key(json, "updated_at");
    json_time(json, definition->updated_ms);
    json_object_end(json);
}

static void work_list(struct http_call *call, u32 account) {
    struct context *context = call->context;
    struct items items;
    enum err err = items_read(context, account, &items);
    if (err != ERR_OK) {
        error_of(call, err);
        return;
    }
    const struct price_view *view = prices_acquire(context->prices);
    const struct price_book *book = price_view_book(view, account);
    struct json_writer json = json_writer(&call->reply);
    json_object_begin(&json);
    json_key(&json, "definitions");
    json_array_begin(&json);
    for (u32 i = 0; i < items.count; i++) {
        put_item(&json, &items.list[i], book);
    }
    json_array_end(&json);
    json_object_end(&json);
    prices_release(context->prices, view);
    items_free(&items);
}

/* The definition as it is now. */
static void reply_one(struct http_call *call, u32 account, u64 id) {
    struct context *context = call->context;
    struct items items;
    enum err err = items_read(context, account, &items);
    if (err != ERR_OK) {
        error_of(call, err);
        return;
    }
    const struct item *item = find_id(&items, id);
    if (item == NULL) { /* removed by somebody else since */
        error_not_found(call, "no such definition");
    } else {
        const struct price_view *view = prices_acquire(context->prices);
        struct json_writer json = json_writer(&call->reply);
        json_object_begin(&json);
        json_key(&json, "definition");
        put_item(&json, item, price_view_book(view, account));
        json_object_end(&json);
        prices_release(context->prices, view);
    }
    items_free(&items);
}

/* --- requests -------------------------------------------------------------------------------- */

struct wish {
    struct slice feature; /* NULL data: not given; likewise in `change` */
    struct definition_change change;
};

/* null is the empty text. */
static bool read_text(struct json_reader *reader, struct slice *text, usize bytes_max,
                      const char *why) {
    *text = SLICE("");
    if (json_read_null(reader)) {
        return true;
    }
    if (!json_read_string(reader, text)) {
        return false;
    }
    return text->bytes <= bytes_max || json_read_refuse(reader, ERR_LIMIT, why);
}

static bool read_kind(struct json_reader *reader, enum definition_kind *kind) {
    struct slice text;
    if (json_read_null(reader)) {
        return true;
    }
    if (!json_read_string(reader, &text)) {
        return false;
    }
    return definition_kind_parse(text, kind) ||
           json_read_refuse(reader, ERR_INVALID, "kind is cost, value or outcome");
}

static bool read_member(struct json_reader *reader, struct slice name, struct wish *wish) {
    struct definition_change *change = &wish->change;
    if (slice_is(name, "feature_key")) {
        return read_text(reader, &wish->feature, EVENT_FEATURE_MAX,
                         "feature_key is longer than 128 bytes");
    }
    if (slice_is(name, "name")) {
        return read_text(reader, &change->name, DEFINITION_NAME_MAX,
                         "name is longer than 128 bytes");
    }
    if (slice_is(name, "description")) {
        return read_text(reader, &change->description, DEFINITION_DESCRIPTION_MAX,
                         "description is longer than 4096 bytes");
    }
    if (slice_is(name, "code_location")) {
        return read_text(reader, &change->code_location, DEFINITION_LOCATION_MAX,
                         "code_location is longer than 512 bytes");
    }
    return slice_is(name, "kind") ? read_kind(reader, &change->kind) : json_read_skip(reader);
}

/* False: the reply says why not. */
static bool read_wish(struct http_call *call, struct wish *wish) {
    struct json_reader reader = json_reader((char *)call->body.data, call->body.bytes);
    struct slice name;
    *wish = (struct wish){.change = {.kind = DEFINITION_KINDS, .now_ms = call->now_ms}};
    if (json_read_object(&reader)) {
        while (json_read_member(&reader, &name) && read_member(&reader, name, wish)) {
        }
    }
    if (!json_read_finish(&reader)) {
        error_invalid_at(call, reader.error.text, reader.error.position);
        return false;
    }
    return true;
}

static void refuse(struct http_call *call, enum err err) {
    if (err == ERR_EXISTS) {
        error_reply(call, 409, "conflict", "the feature has a definition already");
    } else if (err == ERR_NOT_FOUND) {
        error_not_found(call, "no such definition");
    } else if (err == ERR_LIMIT) {
        error_invalid(call, "an account may describe 10000 features");
    } else {
        error_of(call, err);
    }
}

static enum err create(struct context *context, u32 account, const struct wish *wish, i64 now_ms,
                       u64 *id) {
    struct items items;
    struct slice feature = wish->feature.bytes > 0 ? wish->feature : wish->change.name;
    enum definition_kind kind = wish->change.kind;
    struct definition definition = {.feature = feature,
                                    .name =
                                        wish->change.name.bytes > 0 ? wish->change.name : feature,
                                    .description = wish->change.description,
                                    .code_location = wish->change.code_location,
                                    .kind = kind != DEFINITION_KINDS ? kind : DEFINITION_OUTCOME,
                                    .created_ms = now_ms,
                                    .updated_ms = now_ms};
    enum err err = items_read(context, account, &items);
    if (err != ERR_OK) {
        return err;
    }
    bool is_there = find_feature(&items, feature) != NULL;
    items_free(&items);
    err = is_there ? ERR_EXISTS : definition_create(context->control, account, &definition);
    *id = definition.id;
    return err;
}

static void work_create(struct http_call *call, u32 account) {
    struct wish wish;
    u64 id;
    if (!read_wish(call, &wish)) {
        return;
    }
    if (wish.feature.bytes == 0 && wish.change.name.bytes == 0) {
        error_invalid(call, "feature_key or name is required; each stands for the other");
        return;
    }
    enum err err = create(call->context, account, &wish, call->now_ms, &id);
    if (err != ERR_OK) {
        refuse(call, err);
        return;
    }
    call->status = 201;
    reply_one(call, account, id);
}

/* What events alone would have made of an item; NULL if it has none. */
static const struct definition *made_of(const struct item *item, struct definition *memory) {
    if (item->made_id == 0) {
        return NULL;
    }
    *memory = (struct definition){.id = item->made_id,
                                  .feature = item->definition.feature,
                                  .name = item->definition.feature,
                                  .kind = DEFINITION_OUTCOME,
                                  .created_ms = item->figures->first_seen,
                                  .updated_ms = item->figures->first_seen,
                                  .removed_events = (i64)item->figures->events};
    return memory;
}

/* Runs with the item that an id stands for, before the items go. */
typedef enum err (*edit)(struct context *context, u32 account, const struct item *item,
                         const struct definition *made, const struct wish *wish);

static enum err edit_change(struct context *context, u32 account, const struct item *item,
                            const struct definition *made, const struct wish *wish) {
    bool same = wish->feature.data == NULL ||
                price_compare_text(wish->feature, item->definition.feature) == 0;
    bool unnamed = wish->change.name.data != NULL && wish->change.name.bytes == 0;
    if (!same || unnamed) {
        return ERR_INVALID;
    }
    return definition_change(context->control, account, item->definition.id, made, &wish->change);
}

static enum err edit_remove(struct context *context, u32 account, const struct item *item,
                            const struct definition *made, const struct wish *wish) {
    (void)wish;
    return definition_remove(context->control, account, item->definition.id, made);
}

static enum err edit_item(struct http_call *call, u32 account, u64 id, edit run,
                          const struct wish *wish) {
    struct context *context = call->context;
    struct items items;
    struct definition memory;
    enum err err = items_read(context, account, &items);
    if (err != ERR_OK) {
        return err;
    }
    const struct item *item = find_id(&items, id);
    err = item == NULL ? ERR_NOT_FOUND : run(context, account, item, made_of(item, &memory), wish);
    items_free(&items);
    return err;
}

static bool read_id(const struct http_call *call, u64 *id) {
    return params_u64(call->capture[0], id);
}

static void work_change(struct http_call *call, u32 account) {
    struct wish wish;
    u64 id;
    if (!read_id(call, &id)) {
        refuse(call, ERR_NOT_FOUND);
        return;
    }
    if (!read_wish(call, &wish)) {
        return;
    }
    enum err err = edit_item(call, account, id, edit_change, &wish);
    if (err == ERR_INVALID) {
        error_invalid(call, "a feature_key cannot change, and a name cannot be empty");
    } else if (err != ERR_OK) {
        refuse(call, err);
    } else {
        reply_one(call, account, id);
    }
}

static void work_remove(struct http_call *call, u32 account) {
    u64 id;
    enum err err =
        read_id(call, &id) ? edit_item(call, account, id, edit_remove, NULL) : ERR_NOT_FOUND;
    if (err != ERR_OK) {
        refuse(call, err);
    } else {
        buf_put_text(&call->reply, "{\"success\":true}");
    }
}

static enum call_outcome handle(struct http_call *call, slow_work work) {
    struct identity identity;
    return auth_require(call, &identity) ? slow_reply(call, identity.account, work) : CALL_DONE;
}

enum call_outcome definitions_handle_list(struct http_call *call) {
    return handle(call, work_list);
}
enum call_outcome definitions_handle_create(struct http_call *call) {
    return handle(call, work_create);
}
enum call_outcome definitions_handle_change(struct http_call *call) {
    return handle(call, work_change);
}
enum call_outcome definitions_handle_remove(struct http_call *call) {
    return handle(call, work_remove);
}
