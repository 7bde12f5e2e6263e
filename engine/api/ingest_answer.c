/* ingest_answer.c: see ingest_answer.h. */
#include "api/ingest_answer.h"

#include "json/write.h"

static void put_error(struct json_writer *json, u32 index, struct slice text) {
    json_object_begin(json);
    json_key(json, "index");
    json_u64(json, index);
    json_key(json, "error");
    json_string(json, text);
    json_object_end(json);
}

/* A row with other columns than the header went on as no event at all; here it gets its reason. */
static void put_errors(struct json_writer *json, const struct ingest *ingest, u32 first,
                       const struct event_csv *csv) {
    for (u32 i = 0; i < ingest->reject_count; i++) {
        const struct event_reject *reject = &ingest->rejects[i];
        u32 index = first + reject->index;
        struct slice text = {ingest->reject_text.data + reject->message.offset,
                             reject->message.bytes};
        if (csv != NULL && event_csv_is_skewed(csv, index)) {
            text = SLICE("the row has another number of columns than the header");
        }
        put_error(json, index, text);
    }
}

void ingest_answer(struct http_call *call, const struct ingest *ingests, u32 count,
                   const struct event_csv *csv) {
    struct ingest sum = {.account = 0};
    for (u32 i = 0; i < count; i++) {
        sum.accepted += ingests[i].accepted;
        sum.rejected += ingests[i].rejected;
        sum.duplicates += ingests[i].duplicates;
        sum.conflicts += ingests[i].conflicts;
    }
    struct json_writer json = json_writer(&call->reply);
    json_object_begin(&json);
    json_key(&json, "accepted");
    json_u64(&json, sum.accepted);
    json_key(&json, "rejected");
    json_u64(&json, sum.rejected);
    json_key(&json, "errors");
    json_array_begin(&json);
    for (u32 i = 0; i < count; i++) {
        put_errors(&json, &ingests[i], i * INGEST_EVENTS_MAX, csv);
    }
    json_array_end(&json);
    json_key(&json, "duplicates");
    json_u64(&json, sum.duplicates);
    json_key(&json, "conflicts");
    json_u64(&json, sum.conflicts);
    json_object_end(&json);
}
