/*
 * keys.c: see keys.h. A key is found by the digest of its text, through an object that leads to the
 * account and the id; as digests are keyed with the installation's secret, nothing can be learned
 * from how they are compared, but the last word is a comparison in constant time all the same.
 *
 * Times of last use wait in a small table and are written in one go, because a commit costs a sync
 * and makes every front thread look its keys up again.
 */
#include "account/keys.h"

#include "account/state.h"
#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_RANDOM_BYTES 24
#define KEY_START "obs_"
#define USED_EVERY_MS 60000
#define TOUCHED_FULL (KEYS_TOUCHED_MAX / 2)

_Static_assert(sizeof KEY_START - 1 + 2 * (usize)KEY_RANDOM_BYTES == KEY_TEXT_BYTES,
               "a key's form");
_Static_assert(SCOPES < 32, "scopes are bits; SCOPE_ALL has one that is no scope");
_Static_assert((KEYS_TOUCHED_MAX & (KEYS_TOUCHED_MAX - 1)) == 0, "places are a power of two");

struct key_row {
    struct key_info info;
    u8 digest[DIGEST_BYTES];
};

static const struct record_member members[] = {
    RECORD(1, RECORD_U32, struct key_row, info.id),
    RECORD(2, RECORD_U32, struct key_row, info.account),
    RECORD(3, RECORD_U32, struct key_row, info.scopes),
    RECORD(4, RECORD_TEXT, struct key_row, info.prefix),
    RECORD(5, RECORD_TEXT, struct key_row, info.name),
    RECORD(6, RECORD_I64, struct key_row, info.created_ms),
    RECORD(7, RECORD_I64, struct key_row, info.expires_ms),
    RECORD(8, RECORD_I64, struct key_row, info.revoked_ms),
    RECORD(9, RECORD_I64, struct key_row, info.last_used_ms),
    RECORD(10, RECORD_BOOL, struct key_row, info.budget.limited),
    RECORD(11, RECORD_U32, struct key_row, info.budget.period),
    RECORD(12, RECORD_I64, struct key_row, info.budget.limit_cents),
    RECORD(13, RECORD_I128, struct key_row, info.budget.used_pico),
    RECORD(14, RECORD_I64, struct key_row, info.budget.reset_ms),
    RECORD(15, RECORD_BYTES, struct key_row, digest),
};

struct place { /* where a digest leads to */
    u32 account;
    u32 id;
};

static const struct record_member place_members[] = {
    RECORD(1, RECORD_U32, struct place, account),
    RECORD(2, RECORD_U32, struct place, id),
};

static struct control_object key_object(u32 account, u32 id) {
    return (struct control_object){.account = account, .kind = CONTROL_KEY, .number = id};
}

static struct control_object digest_object(const u8 digest[DIGEST_BYTES]) {
    return (struct control_object){.kind = CONTROL_KEY_DIGEST,
                                   .name = {(const char *)digest, DIGEST_BYTES}};
}

static void put_row(struct control_txn *txn, const struct key_row *row) {
    const struct control_object object = key_object(row->info.account, row->info.id);
    state_txn_put(txn, &object, members, ARRAY_COUNT(members), row);
}

static enum err get_row(struct control_txn *txn, u32 account, u32 id, struct key_row *row) {
    const struct control_object object = key_object(account, id);
    return state_txn_get(txn, &object, members, ARRAY_COUNT(members), row);
}

/* --- last use --------------------------------------------------------------------------------- */

/* The place of a key, or the free one where it would be. The lock is held. */
static struct touched *find_touched(struct accounts *accounts, u32 key) {
    u32 at = (u32)hash_mix(key) & (KEYS_TOUCHED_MAX - 1);
    while (accounts->touched[at].key != 0 && accounts->touched[at].key != key) {
        at = (at + 1) & (KEYS_TOUCHED_MAX - 1);
    }
    return &accounts->touched[at];
}

/* Where too many wait, this one is noted next time. */
static void note_use(struct accounts *accounts, const struct key_info *info, i64 now_ms) {
    if (now_ms - info->last_used_ms < USED_EVERY_MS) {
        return;
    }
    pthread_mutex_lock(&accounts->touched_lock);
    struct touched *touched = find_touched(accounts, info->id);
    if (touched->key == 0 && accounts->touched_count < TOUCHED_FULL) {
        *touched = (struct touched){info->id, info->account, now_ms};
        accounts->touched_count++;
    }
    pthread_mutex_unlock(&accounts->touched_lock);
}

/* What waits counts as written. */
static void show_use(struct accounts *accounts, struct key_info *info) {
    pthread_mutex_lock(&accounts->touched_lock);
    const struct touched *touched = find_touched(accounts, info->id);
    if (touched->key != 0) {
        info->last_used_ms = MAX(info->last_used_ms, touched->used_ms);
    }
    pthread_mutex_unlock(&accounts->touched_lock);
}

static u32 take_touched(struct accounts *accounts, struct touched out[TOUCHED_FULL]) {
    u32 count = 0;
    pthread_mutex_lock(&accounts->touched_lock);
    for (u32 i = 0; i < KEYS_TOUCHED_MAX && accounts->touched_count > 0; i++) {
        if (accounts->touched[i].key != 0) {
            out[count++] = accounts->touched[i];
        }
    }
    memset(accounts->touched, 0, sizeof accounts->touched);
    accounts->touched_count = 0;
    pthread_mutex_unlock(&accounts->touched_lock);
    return count;
}

enum err keys_flush_used(struct accounts *accounts) {
    struct touched touched[TOUCHED_FULL];
    u32 count = take_touched(accounts, touched);
    if (count == 0) {
        return ERR_OK;
    }
    struct control_txn txn;
    control_begin(accounts->control, &txn);
    for (u32 i = 0; i < count; i++) {
        struct key_row row;
        if (get_row(&txn, touched[i].account, touched[i].key, &row) == ERR_OK) {
            row.info.last_used_ms = MAX(row.info.last_used_ms, touched[i].used_ms);
            put_row(&txn, &row);
        }
    }
    return control_commit(&txn);
}

/* --- looking up ------------------------------------------------------------------------------- */

static bool has_key_form(struct slice key) {
    usize start = sizeof KEY_START - 1;
    if (key.bytes != KEY_TEXT_BYTES || memcmp(key.data, KEY_START, start) != 0) {
        return false;
    }
    for (usize i = start; i < key.bytes; i++) {
        char c = key.data[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) {
            return false;
        }
    }
    return true;
}

static enum err find_row(struct accounts *accounts, u32 account, u32 id, struct key_row *row) {
    const struct control_object object = key_object(account, id);
    return state_get(accounts, &object, members, ARRAY_COUNT(members), row);
}

enum err keys_authenticate(struct accounts *accounts, struct slice text, i64 now_ms,
                           struct key_info *info) {
    u8 digest[DIGEST_BYTES];
    struct place place;
    struct key_row row;
    if (!has_key_form(text)) {
        return ERR_NOT_FOUND;
    }
    enum err err = state_digest(accounts, text, digest);
    const struct control_object object = digest_object(digest);
    if (err == ERR_OK) {
        err = state_get(accounts, &object, place_members, ARRAY_COUNT(place_members), &place);
    }
    if (err == ERR_OK) {
        err = find_row(accounts, place.account, place.id, &row);
    }
    if (err != ERR_OK) {
        return err;
    }
    if (!digest_equal(row.digest, digest) || !key_is_active(&row.info, now_ms)) {
        return ERR_NOT_FOUND;
    }
    note_use(accounts, &row.info, now_ms);
    *info = row.info;
    return ERR_OK;
}

enum err keys_get(struct accounts *accounts, u32 account, u32 id, struct key_info *info) {
    struct key_row row;
    enum err err = find_row(accounts, account, id, &row);
    if (err == ERR_OK) {
        *info = row.info;
        show_use(accounts, info);
    }
    return err;
}

/* All keys of an account, copied out, because a visitor may not go on to other tables. */
struct listing {
    struct key_row *rows;
    u32 count;
    enum err err;
};

static bool visit_row(void *context, const struct control_object *object, struct slice value) {
    struct listing *listing = context;
    (void)object;
    struct key_row *row = &listing->rows[listing->count];
    listing->err = record_read(members, ARRAY_COUNT(members), value, row);
    listing->count += listing->err == ERR_OK;
    return listing->err == ERR_OK && listing->count < KEYS_MAX;
}

/* `txn` NULL: as it is now. The rows are the caller's to free(), also after an error. */
static enum err list_rows(struct accounts *accounts, struct control_txn *txn, u32 account,
                          struct listing *listing) {
    *listing = (struct listing){.rows = calloc(KEYS_MAX, sizeof *listing->rows)};
    if (listing->rows == NULL) {
        return ERR_NO_MEMORY;
    }
    enum err err = txn != NULL
                       ? control_txn_each(txn, account, CONTROL_KEY, visit_row, listing)
                       : control_each(accounts->control, account, CONTROL_KEY, visit_row, listing);
    return listing->err != ERR_OK ? listing->err : err;
}

enum err keys_each(struct accounts *accounts, u32 account,
                   bool (*visit)(void *context, const struct key_info *info), void *context) {
    struct listing listing;
    enum err err = list_rows(accounts, NULL, account, &listing);
    bool more = true;
    for (u32 i = 0; err == ERR_OK && more && i < listing.count; i++) {
        show_use(accounts, &listing.rows[i].info);
        more = visit(context, &listing.rows[i].info);
    }
    free(listing.rows);
    return err;
}

bool key_covers(const struct key_info *have, const struct key_info *wanted) {
    const struct budget *own = &have->budget;
    const struct budget *other = &wanted->budget;
    bool as_short = have->expires_ms == 0 ||
                    (wanted->expires_ms != 0 && wanted->expires_ms <= have->expires_ms);
    bool as_poor = !own->limited || (other->limited && other->period == own->period &&
                                     other->limit_cents <= own->limit_cents);
    return scope_covers(have->scopes, wanted->scopes) && as_short && as_poor;
}

/* --- making ----------------------------------------------------------------------------------- */

static bool name_is_taken(const struct listing *listing, const char *name, i64 now_ms) {
    for (u32 i = 0; i < listing->count; i++) {
        const struct key_info *info = &listing->rows[i].info;
        if (key_is_active(info, now_ms) && strcmp(info->name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Of UTF-8: bytes that do not continue one. */
static usize count_characters(struct slice text) {
    usize count = 0;
    for (usize i = 0; i < text.bytes; i++) {
        count += ((u8)text.data[i] & 0xc0) != 0x80;
    }
    return count;
}

/* The name as given, trimmed; or the first free of default, default-2, ... */
static enum err choose_name(const struct listing *listing, const char *given, i64 now_ms,
                            char out[KEY_NAME_MAX + 1]) {
    struct slice name = state_trim(given);
    if (name.bytes > KEY_NAME_MAX || count_characters(name) > KEY_NAME_CHARACTERS_MAX) {
        return ERR_INVALID;
    }
    if (name.bytes > 0) {
        memcpy(out, name.data, name.bytes);
        out[name.bytes] = '\0';
        return name_is_taken(listing, out, now_ms) ? ERR_EXISTS : ERR_OK;
    }
    snprintf(out, KEY_NAME_MAX + 1, "default");
    for (u32 i = 2; name_is_taken(listing, out, now_ms); i++) {
        snprintf(out, KEY_NAME_MAX + 1, "default-%u", i);
    }
    return ERR_OK;
}

/* When the account is full, forgets the oldest of its keys that are of no use any more. */
static enum err make_room(struct control_txn *txn, const struct listing *listing, i64 now_ms) {
    if (listing->count < KEYS_MAX) {
        return ERR_OK;
    }
    for (u32 i = 0; i < listing->count; i++) {
        const struct key_row *row = &listing->rows[i];
        if (!key_is_active(&row->info, now_ms)) {
            const struct control_object object = key_object(row->info.account, row->info.id);
            const struct control_object digest = digest_object(row->digest);
            control_txn_delete(txn, &digest);
            return control_txn_delete(txn, &object);
        }
    }
    return ERR_LIMIT;
}

static enum err make_text(const struct accounts *accounts, char text[KEY_TEXT_BYTES + 1],
                          struct key_row *row) {
    memcpy(text, KEY_START, sizeof KEY_START - 1);
    enum err err = state_random_hex(text + sizeof KEY_START - 1, KEY_RANDOM_BYTES);
    text[KEY_TEXT_BYTES] = '\0';
    memcpy(row->info.prefix, text, KEY_PREFIX_BYTES);
    return err != ERR_OK
               ? err
               : state_digest(accounts, (struct slice){text, KEY_TEXT_BYTES}, row->digest);
}

/* Gives the row an id and stores it with what leads to it. */
static void add_row(struct control_txn *txn, struct key_row *row) {
    row->info.id = (u32)control_next_number(txn, 0, CONTROL_KEY);
    const struct place place = {row->info.account, row->info.id};
    const struct control_object object = digest_object(row->digest);
    put_row(txn, row);
    state_txn_put(txn, &object, place_members, ARRAY_COUNT(place_members), &place);
}

enum err keys_add(struct accounts *accounts, struct control_txn *txn, u32 account,
                  const struct key_request *request, i64 now_ms, char text[KEY_TEXT_BYTES + 1],
                  struct key_info *info) {
    struct key_row row = {.info = {.account = account,
                                   .scopes = request->scopes,
                                   .created_ms = now_ms,
                                   .expires_ms = request->expires_ms}};
    if (request->has_budget) {
        row.info.budget = budget_start(request->budget_cents, request->budget_period, now_ms);
    }
    struct listing listing = {0};
    enum err err = txn->err == ERR_OK ? make_text(accounts, text, &row) : txn->err;
    if (err == ERR_OK) {
        err = list_rows(accounts, txn, account, &listing);
    }
    if (err == ERR_OK) {
        err = choose_name(&listing, request->name, now_ms, row.info.name);
    }
    if (err == ERR_OK) {
        err = make_room(txn, &listing, now_ms);
    }
    free(listing.rows);
    if (err != ERR_OK) {
        txn->err = err;
        return err;
    }
    add_row(txn, &row);
    *info = row.info;
    return txn->err;
}

enum err keys_create(struct accounts *accounts, u32 account, const struct key_request *request,
                     i64 now_ms, char text[KEY_TEXT_BYTES + 1], struct key_info *info) {
    struct control_txn txn;
    control_begin(accounts->control, &txn);
    keys_add(accounts, &txn, account, request, now_ms, text, info);
    return control_commit(&txn);
}

/* --- ending ----------------------------------------------------------------------------------- */

static bool is_last(const struct listing *listing, u32 id, i64 now_ms) {
    bool active = false;
    for (u32 i = 0; i < listing->count; i++) {
        const struct key_info *info = &listing->rows[i].info;
        if (key_is_active(info, now_ms) && info->id != id) {
            return false;
        }
        active |= info->id == id && key_is_active(info, now_ms);
    }
    return active;
}

static enum err revoke(struct accounts *accounts, struct control_txn *txn, u32 account, u32 id,
                       bool keep_one, i64 now_ms) {
    struct key_row row;
    enum err err = get_row(txn, account, id, &row);
    if (err == ERR_OK && row.info.revoked_ms != 0) {
        err = ERR_NOT_FOUND;
    }
    if (err == ERR_OK && keep_one) {
        struct listing listing;
        err = list_rows(accounts, txn, account, &listing);
        if (err == ERR_OK && is_last(&listing, id, now_ms)) {
            err = ERR_INVALID;
        }
        free(listing.rows);
    }
    if (err == ERR_OK) {
        row.info.revoked_ms = now_ms;
        put_row(txn, &row);
    }
    return err;
}

enum err keys_revoke(struct accounts *accounts, u32 account, u32 id, bool keep_one, i64 now_ms) {
    struct control_txn txn;
    control_begin(accounts->control, &txn);
    enum err err = revoke(accounts, &txn, account, id, keep_one, now_ms);
    if (err != ERR_OK) {
        control_abort(&txn);
        return err;
    }
    return control_commit(&txn);
}

/* The key that was just revoked is one that may be forgotten. */
static enum err make_room_again(struct accounts *accounts, struct control_txn *txn, u32 account,
                                i64 now_ms) {
    struct listing listing;
    enum err err = list_rows(accounts, txn, account, &listing);
    if (err == ERR_OK) {
        err = make_room(txn, &listing, now_ms);
    }
    free(listing.rows);
    return err;
}

enum err keys_reset(struct accounts *accounts, u32 account, u32 id, i64 now_ms,
                    char text[KEY_TEXT_BYTES + 1], struct key_info *info) {
    struct control_txn txn;
    struct key_row row;
    control_begin(accounts->control, &txn);
    enum err err = get_row(&txn, account, id, &row);
    if (err == ERR_OK && !key_is_active(&row.info, now_ms)) {
        err = ERR_NOT_FOUND;
    }
    if (err == ERR_OK) {
        err = revoke(accounts, &txn, account, id, false, now_ms);
    }
    if (err == ERR_OK) {
        err = make_room_again(accounts, &txn, account, now_ms);
    }
    if (err == ERR_OK) {
        err = make_text(accounts, text, &row);
    }
    if (err != ERR_OK) {
        control_abort(&txn);
        return err;
    }
    row.info.created_ms = now_ms;
    row.info.last_used_ms = 0;
    add_row(&txn, &row);
    *info = row.info;
    return control_commit(&txn);
}
