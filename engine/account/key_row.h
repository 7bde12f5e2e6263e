/*
 * key_row.h: an API key as a row of the control tables. The row's key is the id (4 bytes, big
 * endian, so that rows come in the order of ids); its value is little endian:
 *
 *     u8 version (1), u8 bytes of the name, u32 account, u32 scopes, i64 created, i64 expires,
 *     i64 revoked, 11 bytes prefix, 32 bytes digest, the name
 */
#ifndef MARGIN_ACCOUNT_KEY_ROW_H
#define MARGIN_ACCOUNT_KEY_ROW_H

#include "account/account.h"
#include "base/digest.h"

#define KEY_ROW_BYTES_MIN (2 + 4 + 4 + 3 * 8 + KEY_PREFIX_BYTES + DIGEST_BYTES)
#define KEY_ROW_BYTES_MAX (KEY_ROW_BYTES_MIN + KEY_NAME_MAX)

struct key_row {
    struct key_info info;
    u8 digest[DIGEST_BYTES]; /* of the key's text, under the installation's secret */
};

void row_id_write(u32 id, u8 out[4]);

/* Returns the value's size. */
usize key_row_write(const struct key_row *row, u8 out[KEY_ROW_BYTES_MAX]);
/* ERR_CORRUPT: not a row. ERR_VERSION: one of a newer program. */
enum err key_row_read(struct key_row *row, struct slice id, struct slice value);

#endif
