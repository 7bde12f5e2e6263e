/* inflate.c: both decoders write to one growing block that knows its limit: see inflate.h. */
#include "http/inflate.h"

#include <string.h>
#include <zlib.h>
#include <zstd.h>

#define WINDOW_LOG_MAX 25 /* zstd windows up to 32 MiB, above any body we take */

struct expansion {
    struct block block;
    usize bytes;
    usize bytes_max;
    usize slack;
    struct pool *pool;
};

/* Room for at least one more byte. One byte past the limit is allowed for, so that a body of
 * exactly the limit can be told from a longer one. */
static enum err make_room(struct expansion *to, usize wanted) {
    if (to->bytes > to->bytes_max) {
        return ERR_LIMIT;
    }
    usize most = to->bytes_max + 1 + to->slack;
    usize needed = MIN(to->bytes + wanted + to->slack, most);
    if (to->block.data != NULL && to->bytes + 1 + to->slack <= to->block.capacity) {
        return ERR_OK;
    }
    struct block larger = to->block.data == NULL
                              ? pool_take(to->pool, needed)
                              : pool_grow(to->pool, to->block, to->bytes, needed);
    if (larger.data == NULL) {
        return ERR_NO_MEMORY;
    }
    to->block = larger;
    return ERR_OK;
}

static usize room(const struct expansion *to) {
    return MIN(to->block.capacity - to->slack, to->bytes_max + 1) - to->bytes;
}

static enum err expand_gzip(struct slice body, struct expansion *to) {
    z_stream stream = {0};
    if (inflateInit2(&stream, 15 + 16) != Z_OK) {
        return ERR_NO_MEMORY;
    }
    stream.next_in = (z_const Bytef *)(uintptr_t)body.data;
    stream.avail_in = (uInt)body.bytes;
    enum err err = ERR_OK;
    bool complete = false;
    while (err == ERR_OK && !(complete && stream.avail_in == 0)) {
        if (complete) { /* another member follows; together they are one body */
            inflateReset(&stream);
            complete = false;
        }
        err = make_room(to, MAX(to->bytes, body.bytes * 4));
        if (err != ERR_OK) {
            break;
        }
        uInt space = (uInt)MIN(room(to), (usize)UINT32_MAX);
        stream.next_out = (Bytef *)(to->block.data + to->bytes);
        stream.avail_out = space;
        int answer = inflate(&stream, Z_NO_FLUSH);
        to->bytes += space - stream.avail_out;
        complete = answer == Z_STREAM_END;
        if (answer == Z_MEM_ERROR) {
            err = ERR_NO_MEMORY;
        } else if (answer != Z_OK && answer != Z_STREAM_END) {
            err = ERR_INVALID; /* Z_BUF_ERROR too: the input ended early */
        }
    }
    inflateEnd(&stream);
    return err;
}

/* What the frame at the input's place says of its length; ZSTD_CONTENTSIZE_UNKNOWN if nothing. */
static unsigned long long announced(const ZSTD_inBuffer *in) {
    unsigned long long bytes =
        ZSTD_getFrameContentSize((const char *)in->src + in->pos, in->size - in->pos);
    return bytes == ZSTD_CONTENTSIZE_ERROR ? ZSTD_CONTENTSIZE_UNKNOWN : bytes;
}

/* zstd checks a frame's length only where the room is large enough to expand it in one go. */
static enum err expand_zstd(struct slice body, struct expansion *to) {
    ZSTD_DCtx *context = ZSTD_createDCtx();
    if (context == NULL) {
        return ERR_NO_MEMORY;
    }
    ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, WINDOW_LOG_MAX);
    ZSTD_inBuffer in = {body.data, body.bytes, 0};
    unsigned long long known = announced(&in);
    usize begin = 0;
    usize first = body.bytes * 4;
    if (known != ZSTD_CONTENTSIZE_UNKNOWN) {
        first = (usize)MIN(known, (unsigned long long)to->bytes_max) + 1;
    }
    enum err err = ERR_OK;
    usize left = 1; /* 0: a frame is complete */
    while (err == ERR_OK && !(left == 0 && in.pos == in.size)) {
        err = make_room(to, MAX(to->bytes, first));
        if (err != ERR_OK) {
            break;
        }
        ZSTD_outBuffer out = {to->block.data + to->bytes, room(to), 0};
        usize in_before = in.pos;
        left = ZSTD_decompressStream(context, &out, &in);
        to->bytes += out.pos;
        if (ZSTD_isError(left) || (out.pos == 0 && in.pos == in_before)) {
            err = ERR_INVALID; /* no progress: the input ended early */
        } else if (left == 0) {
            bool holds = known == ZSTD_CONTENTSIZE_UNKNOWN || to->bytes - begin == known;
            err = holds ? ERR_OK : ERR_INVALID;
            begin = to->bytes;
            known = announced(&in);
        }
    }
    ZSTD_freeDCtx(context);
    return err;
}

enum err http_inflate(enum http_coding coding, struct slice body, usize bytes_max, usize slack,
                      struct pool *pool, struct block *out, usize *out_bytes) {
    check(coding == CODING_GZIP || coding == CODING_ZSTD);
    struct expansion to = {.bytes_max = bytes_max, .slack = slack, .pool = pool};
    if (body.bytes == 0) {
        return ERR_INVALID;
    }
    enum err err = coding == CODING_GZIP ? expand_gzip(body, &to) : expand_zstd(body, &to);
    if (err == ERR_OK && to.bytes > bytes_max) {
        err = ERR_LIMIT;
    }
    if (err != ERR_OK) {
        pool_give(pool, to.block);
        return err;
    }
    *out = to.block;
    *out_bytes = to.bytes;
    return ERR_OK;
}
