/*
 * digest.h: the only user of OpenSSL: keyed digests for what must not be forged or read back (API
 * keys), and comparison in constant time. Not for speed; hash.h is.
 */
#ifndef MARGIN_BASE_DIGEST_H
#define MARGIN_BASE_DIGEST_H

#include "base.h"

#define DIGEST_BYTES 32

/* HMAC-SHA-256 (RFC 2104). ERR_NO_MEMORY. Any thread. */
enum err digest_hmac(struct slice key, struct slice text, u8 out[DIGEST_BYTES]);

/* scrypt (RFC 7914) of a password: 2^log_n * 128 * r bytes of memory, p times over. ERR_NO_MEMORY.
 * Any thread, but slow on purpose. */
struct digest_cost {
    u32 log_n; /* 1..20 */
    u32 r;
    u32 p;
};
enum err digest_scrypt(struct slice password, struct slice salt, struct digest_cost cost,
                       u8 out[DIGEST_BYTES]);

/* Takes the same time whatever the bytes are. */
bool digest_equal(const u8 a[DIGEST_BYTES], const u8 b[DIGEST_BYTES]);

#endif
