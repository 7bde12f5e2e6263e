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

bool digest_equal(const u8 a[DIGEST_BYTES], const u8 b[DIGEST_BYTES]) {
    return CRYPTO_memcmp(a, b, DIGEST_BYTES) == 0;
}
