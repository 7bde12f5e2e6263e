/*
 * inflate.h: compressed request bodies (gzip, zstd), expanded into a pool block and never past a
 * limit, so that a small body cannot become a large one. The only user of zlib and, in the engine,
 * of zstd.
 */
#ifndef MARGIN_HTTP_INFLATE_H
#define MARGIN_HTTP_INFLATE_H

#include "base.h"
#include "base/pool.h"
#include "http/head.h"

/* Expands `body`. On success `*out` is a block of the pool, the caller's, with `*out_bytes` used
 * and at least `slack` bytes behind them. ERR_LIMIT: more than `bytes_max`; ERR_INVALID: the body
 * is damaged or cut off; ERR_NO_MEMORY. */
enum err http_inflate(enum http_coding coding, struct slice body, usize bytes_max, usize slack,
                      struct pool *pool, struct block *out, usize *out_bytes);

#endif
