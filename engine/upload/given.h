/*
 * given.h: one member of an uploaded object, read whatever its type, so that a wrong one is a
 * problem of its record and not of the whole body. The checks return NULL or the complaint they
 * were given.
 */
#ifndef MARGIN_UPLOAD_GIVEN_H
#define MARGIN_UPLOAD_GIVEN_H

#include "json/reader.h"

struct given {
    bool is_there;       /* and not null */
    enum json_kind kind; /* of a given one */
    struct slice text;   /* a string's characters; of others the bytes as they came */
};

/* Reads the value that is due. False: the body is not JSON. */
bool given_read(struct json_reader *reader, struct given *given);

/* Amounts of 10^-scale units, of at most `most` either way. */
bool given_is_amount(struct slice text, u32 scale, i64 most, i64 *out);

const char *given_text(const struct given *given, usize bytes_max, const char *complaint,
                       struct slice *out); /* blanks around are cut; absent: *out stays */
const char *given_amount(const struct given *given, u32 scale, i64 least, i64 most,
                         const char *complaint, i64 *out); /* likewise */

/* Without blanks around. */
struct slice given_trim(struct slice text);

#endif
