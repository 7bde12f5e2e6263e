/*
 * upload.h: what customers send as a whole instead of event by event (Observe 11): monthly costs
 * and usage, and a provider's bill. Reading checks every record and makes each one a row of event
 * columns; filling copies rows into an event batch. One bad record refuses all of them, so nothing
 * is filled from an upload that has problems.
 *
 * Pure: bytes, time and limits are arguments. Texts of rows point into the body, which reading
 * changes in place, and last as long as it does.
 */
#ifndef MARGIN_UPLOAD_UPLOAD_H
#define MARGIN_UPLOAD_UPLOAD_H

#include "csv/csv.h"
#include "event.h"

#define UPLOAD_NO_CUSTOMER "_aggregate"     /* the customer of a record without one */
#define UPLOAD_NO_PROVIDER "infrastructure" /* the feature of a cost without a provider */
#define UPLOAD_NO_MODEL "unknown"           /* the feature of a bill's row without a model */

#define UPLOAD_SAMPLES 5 /* rows of an unknown bill that are shown */

enum upload_kind { UPLOAD_COSTS, UPLOAD_USAGE, UPLOAD_PROVIDER, UPLOAD_REVENUE, UPLOAD_KINDS };

/* The name of the events that an upload of a kind becomes: what it replaces are the earlier events
 * of source csv with that name. */
const char *upload_event_name(enum upload_kind kind);

/* An event to be. Its source is csv, its granularity that of the upload. */
struct upload_row {
    u32 present; /* TEXT_BIT | NUM_BIT */
    i64 number[NUM_COUNT];
    struct slice text[TEXT_COUNT];
    u32 record;         /* its position in the upload */
    struct slice limit; /* of usage: a number, which goes into the properties; or empty */
};

struct upload_problem {
    u32 index;        /* position of the record: the first is 0 */
    const char *text; /* static */
};

struct upload {
    enum upload_kind kind;
    i64 now_ms;
    i64 oldest_ms;           /* records from before are refused; at first there is no bound */
    struct upload_row *rows; /* owned */
    u32 count;
    u32 capacity;
    u32 record_count; /* looked at; the bill's rows without money are no rows here */

    struct upload_problem problems[UPLOAD_PROBLEMS_MAX]; /* the first ones */
    u32 problem_count;                                   /* all */

    const char *error; /* static; the body as a whole is refused */
    usize error_at;    /* byte of the body, or UPLOAD_NOWHERE */

    struct upload_bill {
        const char *provider; /* "openai", "anthropic", or "custom": by a mapping */
        bool unknown;         /* no known form, and this is what there is */
        struct csv_row header;
        struct csv_row sample[UPLOAD_SAMPLES]; /* the first rows */
        u32 sample_count;
    } bill; /* of UPLOAD_PROVIDER */
};
#define UPLOAD_NOWHERE SIZE_MAX

void upload_init(struct upload *upload, enum upload_kind kind, i64 now_ms);
void upload_free(struct upload *upload);

/* Reads the body of an upload of any kind but revenue. ERR_OK: upload->rows can be filled in, if
 * problem_count is 0. ERR_INVALID: upload->error says why, or the bill's form is unknown.
 * ERR_NO_MEMORY. */
enum err upload_read(struct upload *upload, char *body, usize bytes);

/* Adds an empty row, or says why not. */
enum err upload_add_row(struct upload *upload, struct upload_row **out);
void upload_add_problem(struct upload *upload, u32 index, const char *text);

static inline void upload_set_number(struct upload_row *row, enum event_number number, i64 value) {
    row->number[number] = value;
    row->present |= NUM_BIT(number);
}

static inline void upload_set_text(struct upload_row *row, enum event_text text,
                                   struct slice value) {
    row->text[text] = value;
    row->present |= TEXT_BIT(text);
}

/* Bytes of text that rows [first, first + count) take in a batch. */
usize upload_text_bytes(const struct upload *upload, u32 first, u32 count);

/* Appends rows [first, first + count) to the batch, which has room for them and their text. Filled
 * as by decoding (event/decode.h); their digests are 0, for they have no keys to compare by. */
void upload_fill(const struct upload *upload, u32 first, u32 count, struct event_batch *batch);

#endif
