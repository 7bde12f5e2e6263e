/*
 * rebuild.c: after the pieces of a snapshot are in place: every reference is checked, then hash
 * tables, lists and links are made from the records. Storage has verified checksums already; the
 * checks here keep a mistake of ours from becoming a wrong figure.
 */
#include "agg/state.h"

#include "base/hash.h"

static bool text_holds(const struct agg *agg, u32 text, u32 bytes) {
    u32 units = (bytes + TEXT_UNIT_BYTES - 1) / TEXT_UNIT_BYTES;
    u32 chunk_units = (u32)1 << agg->texts.shift;
    return (u64)text + units <= agg->texts.count && text % chunk_units + units <= chunk_units;
}

static bool value_holds(const struct agg *agg, u32 dim, u32 value) {
    return value == DIM_NONE || value < agg->values[dim].count;
}

static bool bands_hold(const struct agg *agg, const u32 *band) {
    bool good = true;
    for (u32 i = 0; i < BANDS - 1; i++) {
        good = good && band[i] < agg->bands.count;
    }
    return good;
}

/* --- values ----------------------------------------------------------------------------------- */

static enum err rebuild_values(struct agg *agg, u32 dim) {
    bool agents = dim == STORE_DIMS;
    struct array *values = agents ? &agg->agents : &agg->values[dim];
    struct table *table = agents ? &agg->agent_table : &agg->value_table[dim];
    for (u32 id = 0; id < values->count; id++) {
        struct value *value = array_at(values, id);
        if (value->account >= ACCOUNTS_MAX || !text_holds(agg, value->text, value->text_bytes) ||
            value->entity >= (agents ? agg->cells.count : agg->entities.count)) {
            return ERR_CORRUPT;
        }
        value->series_head = 0;
        value->series_count = 0;
        struct slice text = agg_text_at(agg, value->text, value->text_bytes);
        u64 hash = agg_value_hash(agg, value->account, text);
        if (!table_reserve(table, &agg->heap, hash)) {
            return ERR_NO_MEMORY;
        }
        table_put(table, hash, id);
        if (!agg_account_make(agg, value->account)) {
            return ERR_NO_MEMORY;
        }
        struct account *account = account_at(agg, value->account);
        if (!agents) {
            account->values_made[dim]++;
        } else if (!list_push(&account->agents, &agg->heap, id)) {
            return ERR_NO_MEMORY;
        }
    }
    return ERR_OK;
}

/* --- cells ------------------------------------------------------------------------------------ */

static bool entity_holds(const struct agg *agg, const struct entity *entity) {
    if (entity->kind >= KINDS) {
        return false;
    }
    bool good = value_holds(agg, kind_dim((enum kind)entity->kind), entity->key[0]) &&
                (entity->kind != KIND_MODEL || value_holds(agg, DIM_PROVIDER, entity->key[1]));
    for (u32 class = 0; class < CLASSES; class ++) {
        good = good && entity->cell[class] < agg->cells.count;
    }
    return good;
}

static enum err rebuild_entities(struct agg *agg) {
    for (u32 id = 1; id < agg->entities.count; id++) {
        const struct entity *entity = entity_at(agg, id);
        if (!entity_holds(agg, entity)) {
            return ERR_CORRUPT;
        }
        if (!agg_account_make(agg, entity->account)) {
            return ERR_NO_MEMORY;
        }
        struct account *account = account_at(agg, entity->account);
        if (!list_push(&account->entities[entity->kind], &agg->heap, id)) {
            return ERR_NO_MEMORY;
        }
        for (u32 class = 0; class < CLASSES; class ++) {
            if (entity->cell[class] != 0) {
                agg_cell_own(agg, entity->cell[class], entity, class);
            }
        }
        if (entity->kind == KIND_MODEL) {
            u64 hash = hash_mix((u64)entity->key[0] << 32 | entity->key[1]);
            if (!table_reserve(&agg->pair_table, &agg->heap, hash)) {
                return ERR_NO_MEMORY;
            }
            table_put(&agg->pair_table, hash, id);
        } else if (entity->key[0] == DIM_NONE) {
            account->none[entity->kind] = id;
        }
    }
    if (agg->rests.count != agg->cells.count) {
        return ERR_CORRUPT;
    }
    for (u32 id = 1; id < agg->cells.count; id++) {
        if (!bands_hold(agg, rest_at(agg, id)->band) ||
            cell_at(agg, id)->newest.wide >= agg->wides.count) {
            return ERR_CORRUPT;
        }
    }
    for (u32 id = 1; id < agg->bands.count; id++) {
        if (band_at(agg, id)->wide >= agg->wides.count) {
            return ERR_CORRUPT;
        }
    }
    return ERR_OK;
}

/* --- series ----------------------------------------------------------------------------------- */

static bool series_holds(const struct agg *agg, u32 id) {
    const u32 *dims = dims_of(agg, id);
    const struct series *series = series_at(agg, id);
    bool good = dims[DIM_SOURCE] < EVENT_SOURCES && dims[DIM_ACCOUNT] < ACCOUNTS_MAX &&
                bands_hold(agg, series->band) && series->newest.wide < agg->wides.count;
    for (u32 dim = 0; dim < VALUE_DIMS; dim++) {
        good = good && value_holds(agg, dim, dims[dim]);
    }
    good = good && series->tally_row < agg->tallies.rows.count;
    for (u32 kind = 0; kind < WIDTHS; kind++) {
        good = good && series->row[kind] < agg->width[kind].rows.count;
    }
    for (u32 kind = 0; kind < KINDS; kind++) {
        good = good && series->cell[kind] != 0 && series->cell[kind] < agg->cells.count;
    }
    return good;
}

static enum err rebuild_series(struct agg *agg) {
    u32 count = agg->dims.count;
    if (agg->hashes.count != count || agg->series.count != count || agg->begun.count != count) {
        return ERR_CORRUPT;
    }
    if (!array_reserve(&agg->links, count)) {
        return ERR_NO_MEMORY;
    }
    agg->links.count = count;
    for (u32 id = 0; id < count; id++) {
        if (!series_holds(agg, id)) {
            return ERR_CORRUPT;
        }
        const struct hash128 *hash = array_at(&agg->hashes, id);
        if (!table_reserve(&agg->series_table, &agg->heap, hash->low)) {
            return ERR_NO_MEMORY;
        }
        table_put(&agg->series_table, hash->low, id);
        if (!agg_account_make(agg, dims_of(agg, id)[DIM_ACCOUNT]) || !agg_series_link(agg, id)) {
            return ERR_NO_MEMORY;
        }
        account_at(agg, dims_of(agg, id)[DIM_ACCOUNT])->series_made++;
        if (series_at(agg, id)->first != INT64_MAX && !pairs_note(agg, id)) {
            return ERR_NO_MEMORY;
        }
    }
    agg->settled = count;
    return ERR_OK;
}

/* --- rows and traces -------------------------------------------------------------------------- */

bool agg_directory_restore(struct agg *agg, const u32 *words, u64 count) {
    for (u64 at = 0; at < count;) {
        if (count - at < 4) {
            return false;
        }
        u32 kind = words[at];
        u32 bucket = words[at + 1];
        u32 row_count = words[at + 2];
        u32 chunk_count = words[at + 3];
        at += 4;
        if (kind >= WIDTHS || chunk_count > count - at ||
            chunk_count != (u32)(((u64)row_count + PARTITION_CHUNK - 1) / PARTITION_CHUNK)) {
            return false;
        }
        const struct width_rows *width = &agg->width[kind];
        if ((width->count > 0 && width->list[width->count - 1]->bucket >= bucket) ||
            !width_restore(agg, (enum width)kind, bucket, row_count, words + at)) {
            return false;
        }
        at += chunk_count;
    }
    return true;
}

static enum err rebuild_traces(struct agg *agg) {
    for (u32 id = 0; id < agg->traces.count; id++) {
        const struct trace *trace = array_at(&agg->traces, id);
        if (trace->spans == 0) { /* all its events are gone */
            if (!agg_trace_give(agg, id)) {
                return ERR_NO_MEMORY;
            }
            continue;
        }
        bool good = trace->account < ACCOUNTS_MAX && trace->text_bytes <= EVENT_TRACE_MAX &&
                    text_holds(agg, trace->text, trace->text_bytes) &&
                    trace->root_series < agg->settled &&
                    trace->cost_type_count <= ARRAY_COUNT(trace->cost_type);
        for (u32 i = 0; good && i < trace->cost_type_count; i++) {
            good = trace->cost_type[i] < agg->values[DIM_COST_TYPE].count;
        }
        if (!good) {
            return ERR_CORRUPT;
        }
        if (!table_reserve(&agg->trace_table, &agg->heap, trace->hash.low)) {
            return ERR_NO_MEMORY;
        }
        table_put(&agg->trace_table, trace->hash.low, id);
        if (!agg_trace_list(agg, id)) {
            return ERR_NO_MEMORY;
        }
    }
    return ERR_OK;
}

enum err agg_rebuild(struct agg *agg) {
    enum err err = ERR_OK;
    for (u32 dim = 0; dim < VALUE_DIMS && err == ERR_OK; dim++) {
        err = rebuild_values(agg, dim);
    }
    if (err == ERR_OK) {
        err = rebuild_values(agg, STORE_DIMS);
    }
    if (err == ERR_OK) {
        err = rebuild_entities(agg);
    }
    if (err == ERR_OK) {
        err = rebuild_series(agg);
    }
    if (err == ERR_OK) {
        err = rebuild_traces(agg);
    }
    if (err == ERR_OK) {
        err = tally_rebuild(agg);
    }
    if (err == ERR_OK) {
        err = months_rebuild(agg);
    }
    for (u32 kind = 0; kind < WIDTHS && err == ERR_OK; kind++) {
        err = width_rebuild(agg, (enum width)kind) ? ERR_OK : ERR_CORRUPT;
    }
    return err;
}
