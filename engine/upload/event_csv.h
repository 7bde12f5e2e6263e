/*
 * event_csv.h: events as rows of a comma-separated text whose columns are called as the members of
 * an event (Observe 2.1). Each row becomes the JSON of its event, so that what an event may say,
 * and what is said about one that may not, is the same whichever way it comes.
 *
 * An empty field is an absent member, and columns of other names are passed over. Pure.
 */
#ifndef MARGIN_UPLOAD_EVENT_CSV_H
#define MARGIN_UPLOAD_EVENT_CSV_H

#include "base/buf.h"
#include "limits.h"

#define EVENT_CSV_BODIES (UPLOAD_RECORDS_MAX / INGEST_EVENTS_MAX)
_Static_assert(UPLOAD_RECORDS_MAX % INGEST_EVENTS_MAX == 0, "whole bodies");

struct event_csv {
    struct buf body[EVENT_CSV_BODIES]; /* {"events": [...]}, INGEST_EVENTS_MAX rows each */
    u32 row_count;                     /* without the header */
    u8 skewed[UPLOAD_RECORDS_MAX / 8]; /* bit i: row i has other columns than the header */
    const char *error;                 /* static */
    usize error_at;                    /* byte of the request, or SIZE_MAX */
    u32 error_line;                    /* line of the text, or 0 */
};

void event_csv_init(struct event_csv *csv);
void event_csv_free(struct event_csv *csv);

/* Reads {"raw_csv"}. ERR_INVALID: csv->error says why. ERR_LIMIT: too large. ERR_NO_MEMORY. */
enum err event_csv_read(struct event_csv *csv, char *body, usize bytes);

static inline bool event_csv_is_skewed(const struct event_csv *csv, u32 row) {
    return (csv->skewed[row / 8] >> (row % 8) & 1) != 0;
}

#endif
