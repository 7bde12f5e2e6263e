/*
 * text.c: see text.h. The shape of a frame (which positions vary) is found with word-wide
 * exclusive-ors against the first text.
 */
#include "storage/text.h"

#include "storage/column.h"
#include "storage/text_hex.h"

#include <stdlib.h>
#include <string.h>
#include <zstd.h>

enum coding {
    CODING_SAME,
    CODING_DICTIONARY,
    CODING_NUMBERED,
    CODING_HEX,
    CODING_RAW,
    CODING_ZSTD,
    CODING_UUID
};

#define SHAPE_BYTES_MAX 255 /* longer texts have no shape */
#define DICTIONARY_MAX 512
#define DICTIONARY_SLOTS 2048
#define DICTIONARY_TRIAL 64 /* texts after which a hopeless dictionary is given up */
#define DIGITS_MAX 18       /* decimal digits that fit 63 bits */
#define ZSTD_BYTES_MIN 64
#define ZSTD_LEVEL_FAST (-1)
#define ZSTD_LEVEL_SMALL 3
#define SINK_BYTES_FIRST (64 * KIB)

struct text_packer {
    enum text_effort effort;
    ZSTD_CCtx *zstd;
    char *joined; /* raw texts side by side, before compression */
    usize joined_bytes_max;
    i64 numbers[FRAME_ROWS_MAX];
    struct slice dictionary[DICTIONARY_MAX];
    u16 slots[DICTIONARY_SLOTS]; /* dictionary index + 1 */
};

struct text_reader {
    ZSTD_DCtx *zstd;
    i64 numbers[FRAME_ROWS_MAX];
    struct text_ref dictionary[DICTIONARY_MAX];
};

enum err text_packer_create(enum text_effort effort, struct text_packer **out) {
    struct text_packer *packer = calloc(1, sizeof *packer);
    ZSTD_CCtx *zstd = ZSTD_createCCtx();
    if (packer == NULL || zstd == NULL) {
        free(packer);
        ZSTD_freeCCtx(zstd);
        return ERR_NO_MEMORY;
    }
    packer->effort = effort;
    packer->zstd = zstd;
    *out = packer;
    return ERR_OK;
}

void text_packer_shrink(struct text_packer *packer, usize bytes_max) {
    if (packer->joined_bytes_max > bytes_max) {
        free(packer->joined);
        packer->joined = NULL;
        packer->joined_bytes_max = 0;
    }
}

void text_packer_destroy(struct text_packer *packer) {
    if (packer != NULL) {
        ZSTD_freeCCtx(packer->zstd);
        free(packer->joined);
        free(packer);
    }
}

enum err text_reader_create(struct text_reader **out) {
    struct text_reader *reader = calloc(1, sizeof *reader);
    ZSTD_DCtx *zstd = ZSTD_createDCtx();
    if (reader == NULL || zstd == NULL) {
        free(reader);
        ZSTD_freeDCtx(zstd);
        return ERR_NO_MEMORY;
    }
    reader->zstd = zstd;
    *out = reader;
    return ERR_OK;
}

void text_reader_destroy(struct text_reader *reader) {
    if (reader != NULL) {
        ZSTD_freeDCtx(reader->zstd);
        free(reader);
    }
}

void text_sink_free(struct text_sink *sink) {
    free(sink->data);
    *sink = (struct text_sink){0};
}

enum err text_sink_reserve(struct text_sink *sink, usize bytes) {
    if (bytes > UINT32_MAX - EVENT_TEXT_PADDING - sink->bytes) {
        return ERR_NO_MEMORY;
    }
    usize needed = sink->bytes + bytes + EVENT_TEXT_PADDING;
    if (needed <= sink->capacity) {
        return ERR_OK;
    }
    usize capacity = MAX(sink->capacity, SINK_BYTES_FIRST);
    while (capacity < needed) {
        capacity *= 2;
    }
    char *data = realloc(sink->data, capacity);
    if (data == NULL) {
        return ERR_NO_MEMORY;
    }
    memset(data + sink->capacity, 0, capacity - sink->capacity);
    sink->data = data;
    sink->capacity = capacity;
    return ERR_OK;
}

usize text_pack_bytes_max(u32 count, usize total) {
    return ZSTD_COMPRESSBOUND(total) + 2 * COLUMN_BYTES_MAX(count) + KIB;
}

/* --- shape: which positions of texts of equal length vary ------------------------------------- */

struct shape {
    const char *first;
    u32 bytes;
    u32 run_count; /* ranges of varying positions */
    u8 run_at[SHAPE_BYTES_MAX / 2 + 1];
    u8 run_bytes[SHAPE_BYTES_MAX / 2 + 1];
    u32 digits; /* sum of run_bytes */
};

/* Collects in `varies` the exclusive-or of every text with the first one. */
static void shape_compare(const struct slice *values, u32 count, u8 *varies) {
    const char *first = values[0].data;
    usize bytes = values[0].bytes;
    usize words = bytes / 8;
    u64 sums[SHAPE_BYTES_MAX / 8 + 1] = {0};
    for (u32 i = 1; i < count; i++) {
        const char *data = values[i].data;
        for (usize word = 0; word < words; word++) {
            sums[word] |= load64(first + word * 8) ^ load64(data + word * 8);
        }
        for (usize at = words * 8; at < bytes; at++) {
            varies[at] |= (u8)(first[at] ^ data[at]);
        }
    }
    memcpy(varies, sums, words * 8);
}

/* False if the texts differ in length, are too long, or are all the same. */
static bool shape_find(const struct slice *values, u32 count, struct shape *shape) {
    usize bytes = values[0].bytes;
    if (bytes == 0 || bytes > SHAPE_BYTES_MAX) {
        return false;
    }
    for (u32 i = 1; i < count; i++) {
        if (values[i].bytes != bytes) {
            return false;
        }
    }
    u8 varies[SHAPE_BYTES_MAX + 1] = {0};
    shape_compare(values, count, varies);
    *shape = (struct shape){.first = values[0].data, .bytes = (u32)bytes};
    for (u32 at = 0; at < bytes; at++) {
        if (varies[at] == 0) {
            continue;
        }
        u32 run = shape->run_count;
        if (run > 0 && shape->run_at[run - 1] + shape->run_bytes[run - 1] == at) {
            shape->run_bytes[run - 1]++;
        } else {
            shape->run_at[run] = (u8)at;
            shape->run_bytes[run] = 1;
            shape->run_count++;
        }
        shape->digits++;
    }
    return shape->run_count > 0;
}

/* --- hexadecimal ------------------------------------------------------------------------------ */

/* Bytes written, or 0 if some text is no lower-case UUID. By far the most frequent shape of keys
 * gets code of its own, without a template. */
static usize pack_uuids(u8 *out, const struct slice *values, u32 count) {
    out[0] = CODING_UUID;
    return uuid_best()->pack(out + 1, values, count) ? 1 + (usize)count * UUID_PACKED : 0;
}

_Static_assert(UUID_PACKED == sizeof(struct packed_key), "packed keys are UUIDs");

usize text_put_packed(u8 *out, const struct packed_key *packed, u32 count) {
    out[0] = CODING_UUID;
    memcpy(out + 1, packed, (usize)count * UUID_PACKED);
    return 1 + (usize)count * UUID_PACKED;
}

static u8 *shape_put(u8 *at, const struct shape *shape) {
    *at++ = (u8)shape->bytes;
    memcpy(at, shape->first, shape->bytes);
    at += shape->bytes;
    *at++ = (u8)shape->run_count;
    for (u32 i = 0; i < shape->run_count; i++) {
        *at++ = shape->run_at[i];
        *at++ = shape->run_bytes[i];
    }
    return at;
}

/* Bytes written, or 0 if some varying character is no lower-case hexadecimal digit. */
static usize pack_hex(u8 *out, const struct slice *values, u32 count, const struct shape *shape) {
    u8 *at = out;
    *at++ = CODING_HEX;
    at = shape_put(at, shape);
    u32 bytes_each = (shape->digits + 1) / 2;
    char text[SHAPE_BYTES_MAX + 33];
    char digits[SHAPE_BYTES_MAX + 33];
    for (u32 i = 0; i < count; i++) {
        memcpy(text, values[i].data, shape->bytes);
        char *to = digits;
        for (u32 run = 0; run < shape->run_count; run++) {
            for (u32 done = 0; done < shape->run_bytes[run]; done += 16) {
                memcpy(to + done, text + shape->run_at[run] + done, 16);
            }
            to += shape->run_bytes[run];
        }
        memset(to, '0', 8);
        for (u32 done = 0; done < shape->digits; done += 8) {
            u32 four;
            if (!hex_read8(load64(digits + done), &four)) {
                return 0;
            }
            memcpy(at + done / 2, &four, 4);
        }
        at += bytes_each;
    }
    return (usize)(at - out);
}

/* --- numbers ---------------------------------------------------------------------------------- */

static bool decimal_read(const char *digits, u32 count, i64 *out) {
    i64 value = 0;
    for (u32 i = 0; i < count; i++) {
        u32 digit = (u32)(u8)digits[i] - '0';
        if (digit > 9) {
            return false;
        }
        value = value * 10 + digit;
    }
    *out = value;
    return true;
}

/* Texts that vary only within one range of decimal digits. 0 if they do not. */
static usize pack_numbered(struct text_packer *packer, u8 *out, const struct slice *values,
                           u32 count, const struct shape *shape) {
    u32 last = shape->run_count - 1;
    u32 from = shape->run_at[0];
    u32 digits = (u32)shape->run_at[last] + shape->run_bytes[last] - from;
    if (digits > DIGITS_MAX) {
        return 0;
    }
    for (u32 i = 0; i < count; i++) {
        if (!decimal_read(values[i].data + from, digits, &packer->numbers[i])) {
            return 0;
        }
    }
    u8 *at = out;
    *at++ = CODING_NUMBERED;
    *at++ = (u8)shape->bytes;
    memcpy(at, shape->first, shape->bytes);
    at += shape->bytes;
    *at++ = (u8)from;
    *at++ = (u8)digits;
    return (usize)(at - out) + column_pack(at, packer->numbers, count);
}

/* --- dictionary ------------------------------------------------------------------------------- */

static inline u64 short_hash(struct slice text) {
    u64 head = text.bytes;
    u64 tail = 0;
    if (text.bytes >= 8) {
        head ^= load64(text.data);
        tail = load64(text.data + text.bytes - 8);
    } else if (text.bytes > 0) {
        memcpy(&tail, text.data, text.bytes);
    }
    u64 mixed = (head * 0x9e3779b97f4a7c15u) ^ (tail * 0xc2b2ae3d27d4eb4fu);
    return mixed ^ mixed >> 32;
}

/* Fills the dictionary and the indices; 0 if too many texts are different. */
static u32 dictionary_find(struct text_packer *packer, const struct slice *values, u32 count) {
    u32 found = 0;
    memset(packer->slots, 0, sizeof packer->slots);
    for (u32 i = 0; i < count; i++) {
        u64 slot = short_hash(values[i]) % DICTIONARY_SLOTS;
        u32 index;
        while ((index = packer->slots[slot]) != 0) {
            struct slice known = packer->dictionary[index - 1];
            if (known.bytes == values[i].bytes &&
                (known.bytes == 0 || memcmp(known.data, values[i].data, known.bytes) == 0)) {
                break;
            }
            slot = (slot + 1) % DICTIONARY_SLOTS;
        }
        if (index == 0) {
            if (found == DICTIONARY_MAX || (i >= DICTIONARY_TRIAL && found * 4 > i * 3)) {
                return 0;
            }
            packer->dictionary[found++] = values[i];
            packer->slots[slot] = (u16)found;
            index = found;
        }
        packer->numbers[i] = index - 1;
    }
    return found * 4 <= count * 3 || found == 1 ? found : 0;
}

static usize pack_plain(struct text_packer *packer, u8 *out, const struct slice *values, u32 count,
                        usize total, bool free_form);

static usize pack_dictionary(struct text_packer *packer, u8 *out, u32 found, u32 count,
                             bool free_form) {
    u8 *at = out;
    *at++ = CODING_DICTIONARY;
    at = varint_put(at, found);
    usize index_bytes = column_pack(at + VARINT_BYTES_MAX, packer->numbers, count);
    u8 *indices = at + VARINT_BYTES_MAX;
    at = varint_put(at, index_bytes);
    memmove(at, indices, index_bytes);
    at += index_bytes;
    usize total = 0;
    for (u32 i = 0; i < found; i++) {
        total += packer->dictionary[i].bytes;
    }
    return (usize)(at - out) + pack_plain(packer, at, packer->dictionary, found, total, free_form);
}

/* --- raw and compressed ----------------------------------------------------------------------- */

static void join(char *to, const struct slice *values, u32 count) {
    for (u32 i = 0; i < count; i++) {
        if (values[i].bytes > 0) {
            memcpy(to, values[i].data, values[i].bytes);
            to += values[i].bytes;
        }
    }
}

static bool joined_reserve(struct text_packer *packer, usize bytes) {
    if (bytes > packer->joined_bytes_max) {
        usize grown = bytes + bytes / 2;
        char *joined = realloc(packer->joined, grown);
        if (joined == NULL) {
            return false;
        }
        packer->joined = joined;
        packer->joined_bytes_max = grown;
    }
    return true;
}

/* Compressed bytes, or 0 where it does not pay (or memory is short: raw is always right). */
static usize compress(struct text_packer *packer, u8 *out, const struct slice *values, u32 count,
                      usize total) {
    if (total < ZSTD_BYTES_MIN || !joined_reserve(packer, total)) {
        return 0;
    }
    join(packer->joined, values, count);
    int level = packer->effort == TEXT_SMALL ? ZSTD_LEVEL_SMALL : ZSTD_LEVEL_FAST;
    usize bytes = ZSTD_compressCCtx(packer->zstd, out, ZSTD_compressBound(total), packer->joined,
                                    total, level);
    return ZSTD_isError(bytes) || bytes > total - total / 16 ? 0 : bytes;
}

static usize pack_raw(struct text_packer *packer, u8 *out, const struct slice *values, u32 count,
                      usize total, bool free_form) {
    u8 *at = out + 1;
    for (u32 i = 0; i < count; i++) {
        packer->numbers[i] = (i64)values[i].bytes;
    }
    u8 *lengths = at + VARINT_BYTES_MAX;
    usize length_bytes = column_pack(lengths, packer->numbers, count);
    at = varint_put(at, length_bytes);
    memmove(at, lengths, length_bytes);
    at += length_bytes;
    bool try_zstd = free_form || packer->effort == TEXT_SMALL;
    usize packed = try_zstd ? compress(packer, at, values, count, total) : 0;
    if (packed > 0) {
        out[0] = CODING_ZSTD;
        return (usize)(at - out) + packed;
    }
    out[0] = CODING_RAW;
    join((char *)at, values, count);
    return (usize)(at - out) + total;
}

/* Without a dictionary. */
static usize pack_plain(struct text_packer *packer, u8 *out, const struct slice *values, u32 count,
                        usize total, bool free_form) {
    struct shape shape;
    usize uuid_bytes = free_form ? 0 : pack_uuids(out, values, count);
    if (uuid_bytes > 0) {
        return uuid_bytes;
    }
    if (!free_form && count > 1 && shape_find(values, count, &shape)) {
        usize bytes = pack_numbered(packer, out, values, count, &shape);
        if (bytes == 0) {
            bytes = pack_hex(out, values, count, &shape);
        }
        if (bytes > 0) {
            return bytes;
        }
    }
    return pack_raw(packer, out, values, count, total, free_form);
}

usize text_pack(struct text_packer *packer, u8 *out, const struct slice *values, u32 count,
                usize total, bool free_form) {
    check(count > 0 && count <= FRAME_ROWS_MAX);
    check(total < TEXT_FRAME_BYTES_MAX);
    u32 found = count > 1 ? dictionary_find(packer, values, count) : 1;
    if (found == 1 && values[0].bytes <= SHAPE_BYTES_MAX) {
        out[0] = CODING_SAME;
        out[1] = (u8)values[0].bytes;
        join((char *)out + 2, values, 1);
        return 2 + values[0].bytes;
    }
    if (found > 0 && count > 1) {
        return pack_dictionary(packer, out, found, count, free_form);
    }
    return pack_plain(packer, out, values, count, total, free_form);
}

/* --- unpacking -------------------------------------------------------------------------------- */

struct input {
    const u8 *at;
    const u8 *end;
};

static usize input_left(const struct input *in) {
    return (usize)(in->end - in->at);
}

static enum err unpack_same(struct input in, u32 count, struct text_sink *sink,
                            struct text_ref *refs) {
    if (input_left(&in) < 1 || input_left(&in) - 1 != in.at[0]) {
        return ERR_CORRUPT;
    }
    u32 bytes = in.at[0];
    if (text_sink_reserve(sink, bytes) != ERR_OK) {
        return ERR_NO_MEMORY;
    }
    memcpy(sink->data + sink->bytes, in.at + 1, bytes);
    struct text_ref ref = {(u32)sink->bytes, bytes};
    sink->bytes += bytes;
    for (u32 i = 0; i < count; i++) {
        refs[i] = ref;
    }
    return ERR_OK;
}

static enum err unpack_numbered(struct text_reader *reader, struct input in, u32 count,
                                struct text_sink *sink, struct text_ref *refs) {
    if (input_left(&in) < 1 || input_left(&in) < (usize)in.at[0] + 3) {
        return ERR_CORRUPT;
    }
    u32 bytes = in.at[0];
    const u8 *shape = in.at + 1;
    u32 from = shape[bytes];
    u32 digits = shape[bytes + 1];
    in.at = shape + bytes + 2;
    if (digits == 0 || digits > DIGITS_MAX || from + digits > bytes ||
        !column_unpack(in.at, input_left(&in), reader->numbers, count)) {
        return ERR_CORRUPT;
    }
    if (text_sink_reserve(sink, (usize)bytes * count) != ERR_OK) {
        return ERR_NO_MEMORY;
    }
    char *to = sink->data + sink->bytes;
    for (u32 i = 0; i < count; i++, to += bytes) {
        memcpy(to, shape, bytes);
        u64 number = (u64)reader->numbers[i];
        for (u32 digit = digits; digit > 0; digit--) {
            to[from + digit - 1] = (char)('0' + number % 10);
            number /= 10;
        }
        if (number != 0) {
            return ERR_CORRUPT;
        }
        refs[i] = (struct text_ref){(u32)(to - sink->data), bytes};
    }
    sink->bytes += (usize)bytes * count;
    return ERR_OK;
}

/* Reads and checks the shape: runs ascend, do not touch the end, and add up. */
static bool shape_get(struct input *in, struct shape *shape) {
    if (input_left(in) < 1 || input_left(in) < (usize)in->at[0] + 2) {
        return false;
    }
    *shape = (struct shape){.first = (const char *)in->at + 1, .bytes = in->at[0]};
    in->at += 1 + shape->bytes;
    shape->run_count = *in->at++;
    if (shape->run_count == 0 || shape->run_count > ARRAY_COUNT(shape->run_at) ||
        input_left(in) < (usize)shape->run_count * 2) {
        return false;
    }
    u32 end = 0;
    for (u32 i = 0; i < shape->run_count; i++) {
        shape->run_at[i] = *in->at++;
        shape->run_bytes[i] = *in->at++;
        if (shape->run_bytes[i] == 0 || shape->run_at[i] < end) {
            return false;
        }
        end = (u32)shape->run_at[i] + shape->run_bytes[i];
        shape->digits += shape->run_bytes[i];
    }
    return end <= shape->bytes;
}

static enum err unpack_hex(struct input in, u32 count, struct text_sink *sink,
                           struct text_ref *refs) {
    struct shape shape;
    if (!shape_get(&in, &shape)) {
        return ERR_CORRUPT;
    }
    u32 bytes_each = (shape.digits + 1) / 2;
    if (input_left(&in) != (usize)bytes_each * count) {
        return ERR_CORRUPT;
    }
    if (text_sink_reserve(sink, (usize)shape.bytes * count) != ERR_OK) {
        return ERR_NO_MEMORY;
    }
    char text[SHAPE_BYTES_MAX + 33] = {0};
    char digits[SHAPE_BYTES_MAX + 33] = {0};
    u8 packed[SHAPE_BYTES_MAX + 1] = {0};
    memcpy(text, shape.first, shape.bytes);
    char *to = sink->data + sink->bytes;
    for (u32 i = 0; i < count; i++, to += shape.bytes, in.at += bytes_each) {
        memcpy(packed, in.at, bytes_each);
        for (u32 done = 0; done < shape.digits; done += 8) {
            u32 four;
            memcpy(&four, packed + done / 2, 4);
            u64 eight = hex_write8(four);
            memcpy(digits + done, &eight, 8);
        }
        const char *from = digits;
        for (u32 run = 0; run < shape.run_count; run++) {
            memcpy(text + shape.run_at[run], from, shape.run_bytes[run]);
            from += shape.run_bytes[run];
        }
        memcpy(to, text, shape.bytes);
        refs[i] = (struct text_ref){(u32)(to - sink->data), shape.bytes};
    }
    sink->bytes += (usize)shape.bytes * count;
    return ERR_OK;
}

static enum err unpack_uuids(struct input in, u32 count, struct text_sink *sink,
                             struct text_ref *refs) {
    if (input_left(&in) != (usize)count * UUID_PACKED) {
        return ERR_CORRUPT;
    }
    if (text_sink_reserve(sink, (usize)count * UUID_BYTES) != ERR_OK) {
        return ERR_NO_MEMORY;
    }
    char *to = sink->data + sink->bytes;
    u32 offset = (u32)sink->bytes;
    uuid_best()->unpack(in.at, count, to);
    for (u32 i = 0; i < count; i++) {
        refs[i] = (struct text_ref){offset + i * UUID_BYTES, UUID_BYTES};
    }
    sink->bytes += (usize)count * UUID_BYTES;
    return ERR_OK;
}

static enum err unpack_zstd(struct text_reader *reader, struct input in, struct text_sink *sink,
                            usize total) {
    /* The frame says its size: a lie is seen before memory is taken for it. */
    if (ZSTD_getFrameContentSize(in.at, input_left(&in)) != total) {
        return ERR_CORRUPT;
    }
    if (text_sink_reserve(sink, total) != ERR_OK) {
        return ERR_NO_MEMORY;
    }
    usize bytes =
        ZSTD_decompressDCtx(reader->zstd, sink->data + sink->bytes, total, in.at, input_left(&in));
    return ZSTD_isError(bytes) || bytes != total ? ERR_CORRUPT : ERR_OK;
}

static enum err unpack_raw(struct text_reader *reader, struct input in, u32 count, bool zstd,
                           struct text_sink *sink, struct text_ref *refs) {
    u64 length_bytes;
    if (!varint_get(&in.at, in.end, &length_bytes) || length_bytes > input_left(&in) ||
        !column_unpack(in.at, length_bytes, reader->numbers, count)) {
        return ERR_CORRUPT;
    }
    in.at += length_bytes;
    usize total = 0;
    for (u32 i = 0; i < count; i++) {
        if (reader->numbers[i] < 0 || (u64)reader->numbers[i] >= TEXT_FRAME_BYTES_MAX) {
            return ERR_CORRUPT;
        }
        refs[i] = (struct text_ref){(u32)(sink->bytes + total), (u32)reader->numbers[i]};
        total += (usize)reader->numbers[i];
    }
    if (total >= TEXT_FRAME_BYTES_MAX) {
        return ERR_CORRUPT;
    }
    enum err err = ERR_OK;
    if (zstd) {
        err = unpack_zstd(reader, in, sink, total);
    } else if (input_left(&in) != total) {
        err = ERR_CORRUPT;
    } else if (text_sink_reserve(sink, total) != ERR_OK) {
        err = ERR_NO_MEMORY;
    } else {
        memcpy(sink->data + sink->bytes, in.at, total);
    }
    sink->bytes += err == ERR_OK ? total : 0;
    return err;
}

static enum err unpack_plain(struct text_reader *reader, struct input in, u32 count,
                             struct text_sink *sink, struct text_ref *refs) {
    if (input_left(&in) < 2) {
        return ERR_CORRUPT;
    }
    u8 coding = *in.at++;
    switch (coding) {
    case CODING_SAME:
        return unpack_same(in, count, sink, refs);
    case CODING_NUMBERED:
        return unpack_numbered(reader, in, count, sink, refs);
    case CODING_HEX:
        return unpack_hex(in, count, sink, refs);
    case CODING_UUID:
        return unpack_uuids(in, count, sink, refs);
    case CODING_RAW:
    case CODING_ZSTD:
        return unpack_raw(reader, in, count, coding == CODING_ZSTD, sink, refs);
    default:
        return ERR_CORRUPT;
    }
}

enum err text_unpack(struct text_reader *reader, const u8 *data, usize bytes, u32 count,
                     struct text_sink *sink, struct text_ref *refs) {
    check(count > 0 && count <= FRAME_ROWS_MAX);
    if (bytes == 0) {
        return ERR_CORRUPT;
    }
    struct input in = {data, data + bytes};
    if (data[0] != CODING_DICTIONARY) {
        return unpack_plain(reader, in, count, sink, refs);
    }
    in.at++;
    u64 found;
    u64 index_bytes;
    if (!varint_get(&in.at, in.end, &found) || found == 0 || found > DICTIONARY_MAX ||
        !varint_get(&in.at, in.end, &index_bytes) || index_bytes > input_left(&in)) {
        return ERR_CORRUPT;
    }
    const u8 *indices = in.at;
    in.at += index_bytes;
    enum err err = unpack_plain(reader, in, (u32)found, sink, reader->dictionary);
    if (err != ERR_OK) {
        return err;
    }
    if (!column_unpack(indices, index_bytes, reader->numbers, count)) {
        return ERR_CORRUPT;
    }
    for (u32 i = 0; i < count; i++) {
        if ((u64)reader->numbers[i] >= found) {
            return ERR_CORRUPT;
        }
        refs[i] = reader->dictionary[reader->numbers[i]];
    }
    return ERR_OK;
}

bool text_may_shrink(const u8 *data, usize bytes) {
    return bytes >= ZSTD_BYTES_MIN && (data[0] == CODING_RAW || data[0] == CODING_ZSTD);
}

const char *text_coding(const u8 *data, usize bytes) {
    static const char *const names[] = {"same", "dictionary", "numbered", "hex",
                                        "raw",  "zstd",       "uuid"};
    return bytes == 0 || data[0] >= ARRAY_COUNT(names) ? "unknown" : names[data[0]];
}
