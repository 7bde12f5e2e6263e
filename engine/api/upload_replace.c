/* upload_replace.c: see upload.h. Rows become batches as they come off the pricing step. */
#include <stdlib.h>
#include <string.h>

#include "api/upload.h"
#include "event/decode.h"

#define BATCHES_MAX ((UPLOAD_RECORDS_MAX + EVENT_BATCH_MAX - 1) / EVENT_BATCH_MAX)
#define ADDED_TEXT_MAX (64 * KIB) /* names of providers that pricing adds to a batch */

static enum err add_batch(struct amend_request *request, struct event_batch **batches,
                          const struct upload *upload, u32 first, u32 count) {
    usize bytes = upload_text_bytes(upload, first, count) + ADDED_TEXT_MAX;
    struct event_batch *batch = malloc(sizeof *batch);
    char *text = malloc(bytes);
    if (batch == NULL || text == NULL) {
        free(batch);
        free(text);
        return ERR_NO_MEMORY;
    }
    memset(text, 0, bytes); /* what follows a text may be looked at */
    batch->count = 0;
    batch->packed_count = 0;
    batch->account = request->account;
    batch->text = text;
    batch->text_bytes = 0;
    batch->text_bytes_max = (u32)(bytes - EVENT_TEXT_PADDING);
    upload_fill(upload, first, count, batch);
    batches[request->batch_count++] = batch;
    return ERR_OK;
}

/* Costs that are not given are computed, and providers inferred, as for any event. */
static enum err price(struct context *context, const struct amend_request *request,
                      struct upload *upload) {
    static const char why[] = "the computed cost is too large";
    u32 overflow[EVENT_BATCH_MAX];
    struct price_cache *cache;
    enum err err = price_cache_create(context->prices, &cache);
    if (err != ERR_OK) {
        return err;
    }
    for (u32 i = 0; i < request->batch_count; i++) {
        u32 count = 0;
        price_events(cache, request->batches[i], 0, request->batches[i]->count, overflow, &count);
        for (u32 k = 0; k < count; k++) {
            const struct upload_row *row = &upload->rows[i * EVENT_BATCH_MAX + overflow[k]];
            upload_add_problem(upload, row->record, why);
        }
    }
    price_cache_destroy(cache);
    return upload->problem_count > 0 ? ERR_INVALID : ERR_OK;
}

void upload_request_free(struct amend_request *request) {
    for (u32 i = 0; i < request->batch_count; i++) {
        free(request->batches[i]->text);
        free(request->batches[i]);
    }
    free((void *)(uintptr_t)request->batches);
    request->batches = NULL;
    request->batch_count = 0;
}

enum err upload_request(struct context *context, u32 account, struct upload *upload,
                        const struct slice *names, u32 name_count, struct amend_request *request) {
    struct event_batch **batches = calloc(BATCHES_MAX, sizeof(struct event_batch *));
    *request = (struct amend_request){
        .account = account,
        .kind = STORE_CLEAR,
        .source = SOURCE_CSV,
        .names = names,
        .name_count = name_count,
        .batches = batches,
    };
    u32 rows = upload != NULL ? upload->count : 0;
    enum err err = batches != NULL ? ERR_OK : ERR_NO_MEMORY;
    for (u32 first = 0; first < rows && err == ERR_OK; first += EVENT_BATCH_MAX) {
        err = add_batch(request, batches, upload, first, MIN(rows - first, (u32)EVENT_BATCH_MAX));
    }
    if (err == ERR_OK && rows > 0) {
        err = price(context, request, upload);
    }
    if (err != ERR_OK) {
        upload_request_free(request);
    }
    return err;
}

enum err upload_replace(struct context *context, u32 account, struct upload *upload,
                        const struct slice *names, u32 name_count) {
    struct amend_request request;
    enum err err = upload_request(context, account, upload, names, name_count, &request);
    if (err == ERR_OK) {
        err = pipeline_amend(context->pipeline, &request);
        upload_request_free(&request);
    }
    return err;
}
