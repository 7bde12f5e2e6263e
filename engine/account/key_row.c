/* key_row.c: see key_row.h. */
#include "account/key_row.h"

#include <string.h>

#define ROW_VERSION 1

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "rows are little endian");

void row_id_write(u32 id, u8 out[4]) {
    u32 big_endian = __builtin_bswap32(id);
    memcpy(out, &big_endian, sizeof big_endian);
}

static u8 *put(u8 *at, const void *data, usize bytes) {
    memcpy(at, data, bytes);
    return at + bytes;
}

static const char *take(const char *at, void *data, usize bytes) {
    memcpy(data, at, bytes);
    return at + bytes;
}

usize key_row_write(const struct key_row *row, u8 out[KEY_ROW_BYTES_MAX]) {
    const struct key_info *info = &row->info;
    usize name_bytes = strlen(info->name);
    check(name_bytes <= KEY_NAME_MAX);
    u8 *at = out;
    *at++ = ROW_VERSION;
    *at++ = (u8)name_bytes;
    at = put(at, &info->account, sizeof info->account);
    at = put(at, &info->scopes, sizeof info->scopes);
    at = put(at, &info->created_ms, sizeof info->created_ms);
    at = put(at, &info->expires_ms, sizeof info->expires_ms);
    at = put(at, &info->revoked_ms, sizeof info->revoked_ms);
    at = put(at, info->prefix, KEY_PREFIX_BYTES);
    at = put(at, row->digest, DIGEST_BYTES);
    at = put(at, info->name, name_bytes);
    return (usize)(at - out);
}

enum err key_row_read(struct key_row *row, struct slice id, struct slice value) {
    if (id.bytes != 4 || value.bytes < 2) {
        return ERR_CORRUPT;
    }
    if (value.data[0] != ROW_VERSION) {
        return ERR_VERSION;
    }
    usize name_bytes = (u8)value.data[1];
    if (name_bytes > KEY_NAME_MAX || value.bytes != KEY_ROW_BYTES_MIN + name_bytes) {
        return ERR_CORRUPT;
    }
    memset(row, 0, sizeof *row);
    struct key_info *info = &row->info;
    memcpy(&info->id, id.data, sizeof info->id);
    info->id = __builtin_bswap32(info->id);
    const char *at = value.data + 2;
    at = take(at, &info->account, sizeof info->account);
    at = take(at, &info->scopes, sizeof info->scopes);
    at = take(at, &info->created_ms, sizeof info->created_ms);
    at = take(at, &info->expires_ms, sizeof info->expires_ms);
    at = take(at, &info->revoked_ms, sizeof info->revoked_ms);
    at = take(at, info->prefix, KEY_PREFIX_BYTES);
    at = take(at, row->digest, DIGEST_BYTES);
    take(at, info->name, name_bytes);
    return ERR_OK;
}
