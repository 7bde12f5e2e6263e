/* digest.c: see digest.h. */
#include "base/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

enum err digest_hmac(struct slice key, struct slice text, u8 out[DIGEST_BYTES]) {
    unsigned int bytes = DIGEST_BYTES;
    check(key.bytes <= INT32_MAX);
    if (HMAC(EVP_sha256(), key.data, (int)key.bytes, (const unsigned char *)text.data, text.bytes,
             out, &bytes) == NULL) {
        return ERR_NO_MEMORY;
    }
    check(bytes == DIGEST_BYTES);
    return ERR_OK;
}

enum err digest_scrypt(struct slice password, struct slice salt, struct digest_cost cost,
                       u8 out[DIGEST_BYTES]) {
    u64 memory = (u64)2 * 128 * cost.r * (((u64)1 << cost.log_n) + cost.p);
    check(cost.log_n >= 1 && cost.log_n <= 20 && cost.r >= 1 && cost.p >= 1);
    int good =
        EVP_PBE_scrypt(password.data, password.bytes, (const unsigned char *)salt.data, salt.bytes,
                       (u64)1 << cost.log_n, cost.r, cost.p, memory, out, DIGEST_BYTES);
    return good == 1 ? ERR_OK : ERR_NO_MEMORY;
}

bool digest_equal(const u8 a[DIGEST_BYTES], const u8 b[DIGEST_BYTES]) {
    return CRYPTO_memcmp(a, b, DIGEST_BYTES) == 0;
}
