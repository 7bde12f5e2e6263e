/*
 * csv.h: comma-separated values by RFC 4180, a row at a time and without a copy: a field is a slice
 * of the text. Quoted fields may hold commas, line ends and doubled quotes; the latter are made
 * single in place, so the text must be writable and is read once.
 *
 * Strict where two readers could see different columns: a quote inside a field that does not begin
 * with one, text behind a closing quote, and a quote that is never closed are refused. Lenient
 * where they could not: rows end in LF or CRLF, the last one need not, a byte order mark is passed
 * over, and so are lines with nothing on them. Pure; reads nothing outside the text.
 */
#ifndef MARGIN_CSV_CSV_H
#define MARGIN_CSV_CSV_H

#include "base.h"
#include "limits.h"

enum csv_step {
    CSV_ROW,
    CSV_END,
    CSV_BAD, /* reader->error says why, reader->line where; reading cannot go on */
};

struct csv_reader {
    char *at;
    char *end;
    u32 line;      /* of the row read last, 1 is the first */
    u32 next_line; /* of what follows it */
    const char *error;
};

struct csv_row {
    u32 count;
    struct slice field[CSV_FIELDS_MAX];
};

struct csv_reader csv_reader(char *data, usize bytes);
enum csv_step csv_next(struct csv_reader *reader, struct csv_row *row);

/* A field of the row, without blanks around; empty if the row is shorter. */
struct slice csv_field(const struct csv_row *row, u32 index);

#endif
