/* record.c: see record.h. */
#include "base/record.h"

#include <string.h>

#include "base/hash.h"

#define RECORD_VERSION 1
#define CHECKSUM_BYTES 4
#define VARINT_BYTES_MAX 10

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "records are little endian");

static u32 checksum(const void *data, usize bytes) {
    return (u32)hash64(data, bytes, 0);
}

/* --- writing ---------------------------------------------------------------------------------- */

static void put(struct record_writer *writer, const void *data, usize bytes) {
    if (writer->err != ERR_OK) {
        return;
    }
    if (bytes > writer->capacity - writer->bytes) {
        writer->err = ERR_LIMIT;
        return;
    }
    if (bytes > 0) {
        memcpy(writer->data + writer->bytes, data, bytes);
    }
    writer->bytes += bytes;
}

static void put_varint(struct record_writer *writer, u64 value) {
    u8 out[VARINT_BYTES_MAX];
    usize bytes = 0;
    while (value >= 0x80) {
        out[bytes++] = (u8)(value | 0x80);
        value >>= 7;
    }
    out[bytes++] = (u8)value;
    put(writer, out, bytes);
}

struct record_writer record_writer(void *memory, usize memory_bytes) {
    struct record_writer writer = {.data = memory, .capacity = memory_bytes};
    u8 version = RECORD_VERSION;
    put(&writer, &version, 1);
    return writer;
}

void record_put_number(struct record_writer *writer, u32 tag, i64 value) {
    check(tag >= 1 && tag <= RECORD_TAG_MAX);
    put_varint(writer, (u64)tag * 2);
    put_varint(writer, ((u64)value << 1) ^ (value < 0 ? UINT64_MAX : 0));
}

void record_put_text(struct record_writer *writer, u32 tag, struct slice text) {
    check(tag >= 1 && tag <= RECORD_TAG_MAX);
    put_varint(writer, (u64)tag * 2 + 1);
    put_varint(writer, text.bytes);
    put(writer, text.data, text.bytes);
}

enum err record_end(struct record_writer *writer, struct slice *record) {
    u32 sum = checksum(writer->data, writer->bytes);
    put(writer, &sum, sizeof sum);
    if (writer->err == ERR_OK) {
        *record = (struct slice){(const char *)writer->data, writer->bytes};
    }
    return writer->err;
}

static bool is_zero(const u8 *bytes, usize count) {
    for (usize i = 0; i < count; i++) {
        if (bytes[i] != 0) {
            return false;
        }
    }
    return true;
}

static void put_number_member(struct record_writer *writer, const struct record_member *member,
                              const void *place) {
    i64 number = 0;
    u32 word = 0;
    if (member->kind == RECORD_U32) {
        memcpy(&word, place, sizeof word);
        number = word;
    } else if (member->kind == RECORD_BOOL) {
        number = *(const bool *)place;
    } else {
        memcpy(&number, place, sizeof number);
    }
    if (number != 0) {
        record_put_number(writer, member->tag, number);
    }
}

static void put_text_member(struct record_writer *writer, const struct record_member *member,
                            const void *place) {
    struct slice text = {place, member->bytes};
    if (member->kind == RECORD_TEXT) {
        text.bytes = strnlen(place, member->bytes);
        if (text.bytes == member->bytes && writer->err == ERR_OK) {
            writer->err = ERR_INVALID;
        }
    } else if (member->kind == RECORD_SLICE) {
        memcpy(&text, place, sizeof text);
    } else if (is_zero(place, member->bytes)) {
        text.bytes = 0;
    }
    if (text.bytes > 0) {
        record_put_text(writer, member->tag, text);
    }
}

static bool is_number(enum record_kind kind) {
    return kind == RECORD_U32 || kind == RECORD_I64 || kind == RECORD_BOOL;
}

/* A member's declared kind has its size: found the first time a format is used. */
static void check_member(const struct record_member *member) {
    static const u32 bytes[] = {[RECORD_U32] = 4,
                                [RECORD_I64] = 8,
                                [RECORD_I128] = 16,
                                [RECORD_BOOL] = sizeof(bool),
                                [RECORD_SLICE] = sizeof(struct slice)};
    bool free_size = member->kind == RECORD_TEXT || member->kind == RECORD_BYTES;
    check(free_size || member->bytes == bytes[member->kind]);
}

enum err record_write(const struct record_member *members, u32 count, const void *object,
                      void *memory, usize memory_bytes, struct slice *record) {
    struct record_writer writer = record_writer(memory, memory_bytes);
    for (u32 i = 0; i < count; i++) {
        const void *place = (const char *)object + members[i].offset;
        check_member(&members[i]);
        if (is_number(members[i].kind)) {
            put_number_member(&writer, &members[i], place);
        } else {
            put_text_member(&writer, &members[i], place);
        }
    }
    return record_end(&writer, record);
}

/* --- reading ---------------------------------------------------------------------------------- */

struct record_reader record_reader(struct slice record) {
    struct record_reader reader = {.err = ERR_CORRUPT};
    if (record.bytes < 1 + CHECKSUM_BYTES) {
        return reader;
    }
    u32 sum;
    usize bytes = record.bytes - CHECKSUM_BYTES;
    memcpy(&sum, record.data + bytes, sizeof sum);
    if (sum != checksum(record.data, bytes)) {
        return reader;
    }
    reader.err = record.data[0] == RECORD_VERSION ? ERR_OK : ERR_VERSION;
    reader.at = (const u8 *)record.data + 1;
    reader.end = (const u8 *)record.data + bytes;
    return reader;
}

static bool take_varint(struct record_reader *reader, u64 *out) {
    u64 value = 0;
    for (u32 shift = 0; shift < 70 && reader->at < reader->end; shift += 7) {
        u8 byte = *reader->at++;
        if (shift == 63 && byte > 1) {
            break;
        }
        value |= (u64)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *out = value;
            return true;
        }
    }
    reader->err = ERR_CORRUPT;
    return false;
}

bool record_next(struct record_reader *reader, struct record_field *field) {
    if (reader->err != ERR_OK || reader->at == reader->end) {
        return false;
    }
    u64 head;
    u64 value;
    if (!take_varint(reader, &head) || !take_varint(reader, &value)) {
        return false;
    }
    *field = (struct record_field){.is_text = (head & 1) != 0};
    if (head / 2 < 1 || head / 2 > RECORD_TAG_MAX ||
        (field->is_text && value > (u64)(reader->end - reader->at))) {
        reader->err = ERR_CORRUPT;
        return false;
    }
    field->tag = (u32)(head / 2);
    if (field->is_text) {
        field->text = (struct slice){(const char *)reader->at, value};
        reader->at += value;
    } else {
        field->number = (i64)((value >> 1) ^ (0 - (value & 1)));
    }
    return true;
}

static bool take_number_member(const struct record_member *member, const struct record_field *field,
                               void *place) {
    u32 word = (u32)field->number;
    switch (member->kind) {
    case RECORD_U32:
        memcpy(place, &word, sizeof word);
        return field->number >= 0 && field->number <= UINT32_MAX;
    case RECORD_BOOL:
        *(bool *)place = field->number == 1;
        return field->number == 0 || field->number == 1;
    default:
        memcpy(place, &field->number, sizeof field->number);
        return true;
    }
}

static bool take_text_member(const struct record_member *member, const struct record_field *field,
                             void *place) {
    if (member->kind == RECORD_SLICE) {
        memcpy(place, &field->text, sizeof field->text);
        return true;
    }
    bool fits = member->kind == RECORD_TEXT ? field->text.bytes < member->bytes
                                            : field->text.bytes == member->bytes;
    if (fits) {
        memset(place, 0, member->bytes);
        memcpy(place, field->text.data, field->text.bytes);
    }
    return fits;
}

/* Members are few, and written in the order in which they are read. */
static const struct record_member *find_member(const struct record_member *members, u32 count,
                                               u32 tag, u32 *next) {
    for (u32 i = 0; i < count; i++) {
        u32 at = (*next + i) % count;
        if (members[at].tag == tag) {
            *next = at + 1;
            return &members[at];
        }
    }
    return NULL;
}

enum err record_read(const struct record_member *members, u32 count, struct slice record,
                     void *object) {
    struct record_reader reader = record_reader(record);
    struct record_field field;
    u32 next = 0;
    for (u32 i = 0; i < count; i++) {
        check_member(&members[i]);
        memset((char *)object + members[i].offset, 0, members[i].bytes);
    }
    while (record_next(&reader, &field)) {
        const struct record_member *member = find_member(members, count, field.tag, &next);
        if (member == NULL) {
            continue;
        }
        void *place = (char *)object + member->offset;
        bool good = field.is_text != is_number(member->kind) &&
                    (field.is_text ? take_text_member(member, &field, place)
                                   : take_number_member(member, &field, place));
        if (!good) {
            reader.err = ERR_CORRUPT;
        }
    }
    return reader.err;
}
