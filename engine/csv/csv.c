/* csv.c: rows and fields of a comma-separated text (csv.h). */
#include "csv/csv.h"

#include <string.h>

#define BYTE_ORDER_MARK "\xef\xbb\xbf"

struct csv_reader csv_reader(char *data, usize bytes) {
    usize mark = sizeof BYTE_ORDER_MARK - 1;
    bool has_mark = bytes >= mark && memcmp(data, BYTE_ORDER_MARK, mark) == 0;
    usize skip = has_mark ? mark : 0;
    return (struct csv_reader){
        .at = bytes > 0 ? data + skip : data, .end = data + bytes, .next_line = 1};
}

static enum csv_step refuse(struct csv_reader *reader, const char *error) {
    reader->error = error;
    reader->at = reader->end;
    return CSV_BAD;
}

/* Takes a line end, if one is next. */
static bool take_line_end(struct csv_reader *reader) {
    usize left = (usize)(reader->end - reader->at);
    usize bytes = left >= 1 && reader->at[0] == '\n'                            ? 1
                  : left >= 2 && reader->at[0] == '\r' && reader->at[1] == '\n' ? 2
                                                                                : 0;
    reader->at += bytes;
    reader->next_line += bytes > 0;
    return bytes > 0;
}

/* Whether a field ends here; a CR that ends no line is text like any other. */
static bool is_field_end(const struct csv_reader *reader, const char *at) {
    return at == reader->end || *at == ',' || *at == '\n' ||
           (*at == '\r' && at + 1 < reader->end && at[1] == '\n');
}

/* A field without quotes. */
static bool read_plain(struct csv_reader *reader, struct slice *field) {
    char *begin = reader->at;
    char *at = begin;
    while (!is_field_end(reader, at)) {
        if (*at == '"') {
            refuse(reader, "a quote inside a field that does not begin with one");
            return false;
        }
        at++;
    }
    reader->at = at;
    *field = (struct slice){begin, (usize)(at - begin)};
    return true;
}

/* A field in quotes; the reader stands behind the first. */
static bool read_quoted(struct csv_reader *reader, struct slice *field) {
    char *begin = reader->at;
    char *to = begin;
    char *at = begin;
    for (;; at++) {
        if (at == reader->end) {
            refuse(reader, "a quote is not closed");
            return false;
        }
        if (*at == '"') {
            at++;
            if (at == reader->end || *at != '"') {
                break;
            }
        }
        reader->next_line += *at == '\n';
        *to++ = *at;
    }
    if (!is_field_end(reader, at)) {
        refuse(reader, "text behind a closing quote");
        return false;
    }
    reader->at = at;
    *field = (struct slice){begin, (usize)(to - begin)};
    return true;
}

static bool read_field(struct csv_reader *reader, struct slice *field) {
    if (reader->at < reader->end && *reader->at == '"') {
        reader->at++;
        return read_quoted(reader, field);
    }
    return read_plain(reader, field);
}

enum csv_step csv_next(struct csv_reader *reader, struct csv_row *row) {
    row->count = 0;
    while (take_line_end(reader)) {
    }
    reader->line = reader->next_line;
    if (reader->at == reader->end) {
        return reader->error != NULL ? CSV_BAD : CSV_END;
    }
    for (;;) {
        if (row->count == CSV_FIELDS_MAX) {
            return refuse(reader, "too many columns");
        }
        if (!read_field(reader, &row->field[row->count])) {
            return CSV_BAD;
        }
        row->count++;
        if (reader->at < reader->end && *reader->at == ',') {
            reader->at++;
            continue;
        }
        take_line_end(reader);
        return CSV_ROW;
    }
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct slice csv_field(const struct csv_row *row, u32 index) {
    if (index >= row->count) {
        return (struct slice){"", 0};
    }
    struct slice text = row->field[index];
    while (text.bytes > 0 && is_blank(text.data[0])) {
        text.data++;
        text.bytes--;
    }
    while (text.bytes > 0 && is_blank(text.data[text.bytes - 1])) {
        text.bytes--;
    }
    return text;
}
