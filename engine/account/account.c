/*
 * account.c: all keys of the installation in memory, read anew whenever the control tables have
 * changed, whoever changed them. A look-up computes the key's keyed digest and finds it in a hash
 * table; as digests are keyed with the installation's secret, nothing can be learned from how they
 * are compared, but they are compared in constant time all the same.
 *
 * Ids are given out without gaps: two processes that make keys at the same time want the same id,
 * one of them is refused, and looks at the table again. So a name cannot be given twice either.
 */
#include "account/account.h"

#include "account/key_row.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define SECRET_BYTES 32
#define KEY_RANDOM_BYTES 24
#define KEY_START "obs_"
#define SLOTS (2 * KEYS_MAX)
#define ATTEMPTS_MAX 16 /* at an id that other processes want too */

_Static_assert((SLOTS & (SLOTS - 1)) == 0, "slots are a power of two");
_Static_assert(sizeof KEY_START - 1 + 2 * (usize)KEY_RANDOM_BYTES == KEY_TEXT_BYTES,
               "a key's form");
_Static_assert(SCOPES < 32, "scopes are bits; SCOPE_ALL has one that is no scope");

struct accounts {
    struct control *control;
    pthread_rwlock_t lock; /* over what follows */
    u8 secret[SECRET_BYTES];
    u8 seed_secret[SECRET_BYTES];
    bool created;
    u64 version; /* of the control tables when they were read */
    enum err read_err;
    u32 count;
    struct key_row row[KEYS_MAX]; /* ascending ids */
    u16 slot[SLOTS];              /* by digest: index of the row + 1, or 0 */
};

/* --- reading the tables ---------------------------------------------------------------------- */

static u32 slot_of(const u8 digest[DIGEST_BYTES]) {
    u32 word;
    memcpy(&word, digest, sizeof word);
    return word & (SLOTS - 1);
}

static bool visit_key(void *context, const struct control_object *object, struct slice value) {
    struct accounts *accounts = context;
    u8 bytes[4];
    row_id_write((u32)object->number, bytes);
    struct slice id = {(const char *)bytes, sizeof bytes};
    if (accounts->count == KEYS_MAX) {
        accounts->read_err = ERR_LIMIT;
        return false;
    }
    struct key_row *row = &accounts->row[accounts->count];
    accounts->read_err = key_row_read(row, id, value);
    if (accounts->read_err != ERR_OK) {
        return false;
    }
    u32 slot = slot_of(row->digest);
    while (accounts->slot[slot] != 0) {
        slot = (slot + 1) & (SLOTS - 1);
    }
    accounts->slot[slot] = (u16)++accounts->count;
    return true;
}

/* Reads all keys if the tables have changed. The write lock is held. After a failure no key is
 * good, and the next call tries again. */
static enum err refresh(struct accounts *accounts) {
    u64 version = control_version(accounts->control);
    if (version == accounts->version && accounts->read_err == ERR_OK) {
        return ERR_OK;
    }
    accounts->count = 0;
    accounts->read_err = ERR_OK;
    memset(accounts->slot, 0, sizeof accounts->slot);
    enum err err = control_each(accounts->control, 0, CONTROL_KEY, visit_key, accounts);
    if (accounts->read_err == ERR_OK) {
        accounts->read_err = err;
    }
    accounts->version = version;
    return accounts->read_err;
}

/* Takes the read lock with the tables as they are now. */
static enum err lock_current(struct accounts *accounts) {
    pthread_rwlock_rdlock(&accounts->lock);
    if (control_version(accounts->control) == accounts->version && accounts->read_err == ERR_OK) {
        return ERR_OK;
    }
    pthread_rwlock_unlock(&accounts->lock);
    pthread_rwlock_wrlock(&accounts->lock);
    return refresh(accounts);
}

/* --- opening --------------------------------------------------------------------------------- */

static enum err random_bytes(void *out, usize bytes) {
    return getrandom(out, bytes, 0) == (ssize_t)bytes ? ERR_OK : ERR_SYSTEM;
}

/* Reads a secret of the installation, or makes it. Of two processes that make it, one wins. */
static enum err open_secret(struct control *control, struct slice name, u8 secret[SECRET_BYTES]) {
    u8 fresh[SECRET_BYTES];
    enum err err = random_bytes(fresh, sizeof fresh);
    usize bytes = SECRET_BYTES;
    if (err == ERR_OK) {
        err = control_meta_get(control, name, secret, &bytes);
    }
    if (err == ERR_NOT_FOUND) {
        err = control_meta_add(control, name, (struct slice){(const char *)fresh, sizeof fresh});
        if (err == ERR_OK || err == ERR_EXISTS) {
            bytes = SECRET_BYTES;
            err = control_meta_get(control, name, secret, &bytes);
        }
    }
    return err == ERR_OK && bytes != SECRET_BYTES ? ERR_CORRUPT : err;
}

enum err accounts_open(struct control *control, struct accounts **out) {
    struct accounts *accounts = calloc(1, sizeof *accounts);
    if (accounts == NULL) {
        return ERR_NO_MEMORY;
    }
    accounts->control = control;
    accounts->version = control_version(control) - 1;
    check(pthread_rwlock_init(&accounts->lock, NULL) == 0);
    enum err err = open_secret(control, SLICE("key_secret"), accounts->secret);
    if (err == ERR_OK) {
        err = open_secret(control, SLICE("seed_secret"), accounts->seed_secret);
    }
    if (err == ERR_OK) {
        err = refresh(accounts);
    }
    if (err != ERR_OK) {
        accounts_close(accounts);
        return err;
    }
    accounts->created = accounts->count == 0;
    *out = accounts;
    return ERR_OK;
}

void accounts_close(struct accounts *accounts) {
    if (accounts != NULL) {
        pthread_rwlock_destroy(&accounts->lock);
        free(accounts);
    }
}

bool accounts_created(const struct accounts *accounts) {
    return accounts->created;
}

u64 accounts_version(struct accounts *accounts) {
    return control_version(accounts->control);
}

u64 accounts_seed(struct accounts *accounts, const char *purpose) {
    u8 digest[DIGEST_BYTES];
    struct slice secret = {(const char *)accounts->seed_secret, SECRET_BYTES};
    check(digest_hmac(secret, (struct slice){purpose, strlen(purpose)}, digest) == ERR_OK);
    u64 seed;
    memcpy(&seed, digest, sizeof seed);
    return seed;
}

/* --- keys ------------------------------------------------------------------------------------ */

static bool is_active(const struct key_info *info) {
    return info->revoked_ms == 0;
}

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

static enum err digest_key(const struct accounts *accounts, struct slice key,
                           u8 digest[DIGEST_BYTES]) {
    return digest_hmac((struct slice){(const char *)accounts->secret, SECRET_BYTES}, key, digest);
}

static const struct key_row *find_digest(const struct accounts *accounts,
                                         const u8 digest[DIGEST_BYTES]) {
    for (u32 slot = slot_of(digest); accounts->slot[slot] != 0; slot = (slot + 1) & (SLOTS - 1)) {
        const struct key_row *row = &accounts->row[accounts->slot[slot] - 1];
        if (digest_equal(row->digest, digest)) {
            return row;
        }
    }
    return NULL;
}

enum err accounts_authenticate(struct accounts *accounts, struct slice key, i64 now_ms,
                               struct identity *out) {
    u8 digest[DIGEST_BYTES];
    if (!has_key_form(key)) {
        return ERR_NOT_FOUND;
    }
    enum err err = digest_key(accounts, key, digest);
    if (err != ERR_OK) {
        return err;
    }
    err = lock_current(accounts);
    if (err == ERR_OK) {
        const struct key_row *row = find_digest(accounts, digest);
        err = ERR_NOT_FOUND;
        if (row != NULL && is_active(&row->info) &&
            (row->info.expires_ms == 0 || now_ms < row->info.expires_ms)) {
            *out = (struct identity){row->info.account, row->info.id, row->info.scopes};
            err = ERR_OK;
        }
    }
    pthread_rwlock_unlock(&accounts->lock);
    return err;
}

static bool name_is_taken(const struct accounts *accounts, u32 account, const char *name) {
    for (u32 i = 0; i < accounts->count; i++) {
        const struct key_info *info = &accounts->row[i].info;
        if (info->account == account && is_active(info) && strcmp(info->name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* The name as given, trimmed; or the first free of default, default-2, ... */
static enum err choose_name(const struct accounts *accounts, u32 account, const char *given,
                            char out[KEY_NAME_MAX + 1]) {
    static const char blanks[] = " \t\r\n\v\f";
    const char *from = given == NULL ? "" : given + strspn(given, blanks);
    usize bytes = strlen(from);
    while (bytes > 0 && strchr(blanks, from[bytes - 1]) != NULL) {
        bytes--;
    }
    if (bytes > KEY_NAME_MAX) {
        return ERR_INVALID;
    }
    memcpy(out, from, bytes);
    out[bytes] = '\0';
    if (bytes > 0) {
        return name_is_taken(accounts, account, out) ? ERR_EXISTS : ERR_OK;
    }
    snprintf(out, KEY_NAME_MAX + 1, "default");
    for (u32 i = 2; name_is_taken(accounts, account, out); i++) {
        snprintf(out, KEY_NAME_MAX + 1, "default-%u", i);
    }
    return ERR_OK;
}

static enum err make_key_text(char text[KEY_TEXT_BYTES + 1]) {
    static const char hex[] = "0123456789abcdef";
    u8 bytes[KEY_RANDOM_BYTES];
    enum err err = random_bytes(bytes, sizeof bytes);
    if (err != ERR_OK) {
        return err;
    }
    char *at = text + sizeof KEY_START - 1;
    memcpy(text, KEY_START, sizeof KEY_START - 1);
    for (usize i = 0; i < sizeof bytes; i++) {
        *at++ = hex[bytes[i] >> 4];
        *at++ = hex[bytes[i] & 15];
    }
    *at = '\0';
    return ERR_OK;
}

static enum err put_row(struct accounts *accounts, const struct key_row *row) {
    u8 value[KEY_ROW_BYTES_MAX];
    struct slice data = {(const char *)value, key_row_write(row, value)};
    const struct control_object object = {.kind = CONTROL_KEY, .number = row->info.id};
    return control_put(accounts->control, &object, data);
}

/* When the table is full, forgets the key that was revoked first by id. */
static enum err make_room(struct accounts *accounts) {
    if (accounts->count < KEYS_MAX) {
        return ERR_OK;
    }
    for (u32 i = 0; i + 1 < accounts->count; i++) {
        if (!is_active(&accounts->row[i].info)) {
            const struct control_object object = {.kind = CONTROL_KEY,
                                                  .number = accounts->row[i].info.id};
            return control_delete(accounts->control, &object);
        }
    }
    return ERR_LIMIT;
}

/* Finds the row a name and an id and adds it, under the write lock. */
static enum err add_key(struct accounts *accounts, const char *name, struct key_row *row) {
    enum err err = ERR_EXISTS;
    for (u32 attempt = 0; attempt < ATTEMPTS_MAX && err == ERR_EXISTS; attempt++) {
        err = refresh(accounts);
        if (err == ERR_OK) {
            err = choose_name(accounts, row->info.account, name, row->info.name);
        }
        if (err != ERR_OK) {
            return err;
        }
        u32 count = accounts->count;
        row->info.id = count == 0 ? 1 : accounts->row[count - 1].info.id + 1;
        err = make_room(accounts);
        if (err == ERR_OK) {
            err = put_row(accounts, row);
        }
    }
    return err == ERR_EXISTS ? ERR_BUSY : err;
}

enum err accounts_key_create(struct accounts *accounts, u32 account, const char *name, u32 scopes,
                             i64 expires_ms, i64 now_ms, char text[KEY_TEXT_BYTES + 1],
                             struct key_info *info) {
    struct key_row row = {
        .info = {
            .account = account, .scopes = scopes, .created_ms = now_ms, .expires_ms = expires_ms}};
    enum err err = make_key_text(text);
    if (err == ERR_OK) {
        memcpy(row.info.prefix, text, KEY_PREFIX_BYTES);
        err = digest_key(accounts, (struct slice){text, KEY_TEXT_BYTES}, row.digest);
    }
    if (err != ERR_OK) {
        return err;
    }
    pthread_rwlock_wrlock(&accounts->lock);
    err = add_key(accounts, name, &row);
    pthread_rwlock_unlock(&accounts->lock);
    if (err == ERR_OK) {
        *info = row.info;
    }
    return err;
}

enum err accounts_key_revoke(struct accounts *accounts, u32 account, u32 id, i64 now_ms) {
    pthread_rwlock_wrlock(&accounts->lock);
    enum err err = refresh(accounts);
    if (err == ERR_OK) {
        err = ERR_NOT_FOUND;
        for (u32 i = 0; i < accounts->count && err == ERR_NOT_FOUND; i++) {
            struct key_row row = accounts->row[i];
            if (row.info.id == id && row.info.account == account && is_active(&row.info)) {
                row.info.revoked_ms = now_ms;
                err = put_row(accounts, &row);
            }
        }
    }
    pthread_rwlock_unlock(&accounts->lock);
    return err;
}

enum err accounts_key_list(struct accounts *accounts, u32 account, struct key_info *out, u32 max,
                           u32 *count) {
    u32 found = 0;
    enum err err = lock_current(accounts);
    for (u32 i = accounts->count; err == ERR_OK && i-- > 0;) {
        if (accounts->row[i].info.account != account) {
            continue;
        }
        if (found < max) {
            out[found] = accounts->row[i].info;
        }
        found++;
    }
    pthread_rwlock_unlock(&accounts->lock);
    *count = found;
    return err;
}
