/*
 * record.h: how an object of the control tables becomes bytes. A record is a version, then fields,
 * then a checksum over both. A field is a number that names it (its tag) and a value, and says by
 * itself how long it is: a reader passes over tags that it does not know and leaves what is missing
 * zero, so that fields may be added without a new version. A tag is never used for something else.
 *
 * A format is a table of members, each the place of a tag in a struct:
 *
 *     static const struct record_member members[] = {
 *         RECORD(1, RECORD_U32, struct user, id),
 *         RECORD(2, RECORD_TEXT, struct user, email),
 *     };
 *     struct slice record;
 *     err = record_write(members, ARRAY_COUNT(members), &user, memory, sizeof memory, &record);
 *     err = record_read(members, ARRAY_COUNT(members), record, &user);
 *
 * Zero and empty members are not written: where zero and absent differ, keep a flag beside them.
 * What is no struct (a list) is written and read field by field, by the functions at the end.
 *
 * Bytes: u8 version; for each field a varint of tag * 2 + kind and, kind 0, a zigzag varint, or,
 * kind 1, a varint of the length and so many bytes; u32 checksum, little endian, the low half of
 * XXH3 of all before it. Varints as in Protocol Buffers, zigzag too. Pure; any thread.
 */
#ifndef MARGIN_BASE_RECORD_H
#define MARGIN_BASE_RECORD_H

#include "base.h"

#define RECORD_TAG_MAX 1000

enum record_kind {
    RECORD_U32,
    RECORD_I64,
    RECORD_I128,
    RECORD_BOOL,
    RECORD_TEXT,  /* char[n], NUL-terminated; longer ones are ERR_INVALID to write and to read */
    RECORD_BYTES, /* u8[n], all of them; as good as absent if all are zero */
    RECORD_SLICE, /* struct slice; when read, it points into the record */
};

struct record_member {
    u32 tag; /* 1..RECORD_TAG_MAX */
    enum record_kind kind;
    u32 offset;
    u32 bytes;
};

#define RECORD(tag, kind, object, member)                                                          \
    { tag, kind, offsetof(object, member), sizeof(((object *)0)->member) }

/* The members of `object`, in `memory`. ERR_LIMIT: it is too small. */
enum err record_write(const struct record_member *members, u32 count, const void *object,
                      void *memory, usize memory_bytes, struct slice *record);
/* Members whose tags the record lacks become zero; what is no member stays as it is. ERR_CORRUPT:
 * not a record, or damaged, or a value does not fit its member. ERR_VERSION: one of a newer
 * program. */
enum err record_read(const struct record_member *members, u32 count, struct slice record,
                     void *object);

/* --- field by field --------------------------------------------------------------------------- */

struct record_writer {
    u8 *data;
    usize bytes;
    usize capacity;
    enum err err; /* the first one */
};

struct record_writer record_writer(void *memory, usize memory_bytes);
void record_put_number(struct record_writer *writer, u32 tag, i64 value);
void record_put_text(struct record_writer *writer, u32 tag, struct slice text);
enum err record_end(struct record_writer *writer, struct slice *record);

struct record_field {
    u32 tag; /* tags may repeat: a list */
    bool is_text;
    i64 number;
    struct slice text; /* points into the record */
};

struct record_reader {
    const u8 *at;
    const u8 *end;
    enum err err; /* ERR_CORRUPT, ERR_VERSION */
};

/* Checks version and checksum; reader.err says. */
struct record_reader record_reader(struct slice record);
/* The next field; false at the end or on an error. */
bool record_next(struct record_reader *reader, struct record_field *field);

#endif
