/*
 * fuzz_record.c: records of any bytes. What is read must be what was written: a record that is read
 * into a struct and written again reads the same. The input's own checksum is replaced by the right
 * one, or else nothing would ever get past it.
 */
#include "base/record.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

struct shape {
    u32 id;
    i64 time;
    i128 used;
    bool limited;
    char name[8];
    u8 digest[4];
    struct slice text;
};

static const struct record_member members[] = {
    RECORD(1, RECORD_U32, struct shape, id),       RECORD(2, RECORD_I64, struct shape, time),
    RECORD(3, RECORD_I128, struct shape, used),    RECORD(4, RECORD_BOOL, struct shape, limited),
    RECORD(5, RECORD_TEXT, struct shape, name),    RECORD(6, RECORD_BYTES, struct shape, digest),
    RECORD(300, RECORD_SLICE, struct shape, text),
};
#define MEMBERS ARRAY_COUNT(members)

static void check_same(const struct shape *a, const struct shape *b) {
    check(a->id == b->id && a->time == b->time && a->used == b->used && a->limited == b->limited);
    check(strcmp(a->name, b->name) == 0 && memcmp(a->digest, b->digest, sizeof a->digest) == 0);
    check(a->text.bytes == b->text.bytes);
    check(a->text.bytes == 0 || memcmp(a->text.data, b->text.data, a->text.bytes) == 0);
}

static void read_record(struct slice record) {
    struct shape first;
    struct shape second;
    struct slice again;
    if (record_read(members, MEMBERS, record, &first) != ERR_OK) {
        return;
    }
    char *memory = malloc(record.bytes + 128);
    check(memory != NULL);
    enum err err = record_write(members, MEMBERS, &first, memory, record.bytes + 128, &again);
    check(err == ERR_OK);
    check(record_read(members, MEMBERS, again, &second) == ERR_OK);
    check_same(&first, &second);
    free(memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    u32 sum = (u32)hash64(data, size, 0);
    char *exact = malloc(size + sizeof sum); /* so that a read past its end is seen */
    check(exact != NULL);
    if (size > 0) {
        memcpy(exact, data, size);
        read_record((struct slice){exact, size});
    }
    memcpy(exact + size, &sum, sizeof sum);
    read_record((struct slice){exact, size + sizeof sum});
    free(exact);
    return 0;
}
