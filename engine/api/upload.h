/*
 * upload.h: putting an upload in the place of the one before (Observe 11), and taking uploads away.
 * All of it waits for the disk: reader threads only.
 */
#ifndef MARGIN_API_UPLOAD_H
#define MARGIN_API_UPLOAD_H

#include "api/context.h"
#include "upload/upload.h"

/* Takes away the account's events of source csv with these names and stores the upload's rows
 * instead (NULL: none), in one commit. Errors as pipeline_amend(); ERR_INVALID: a row's computed
 * cost does not fit, upload->problems says which; nothing has changed. */
enum err upload_replace(struct context *context, u32 account, struct upload *upload,
                        const struct slice *names, u32 name_count);
/* A request of that kind: its batches are to be freed. Errors likewise. */
enum err upload_request(struct context *context, u32 account, struct upload *upload,
                        const struct slice *names, u32 name_count, struct amend_request *request);
void upload_request_free(struct amend_request *request);

/* Puts what an account sells in the place of what was uploaded before (upload_sales.c). As above.
 */
struct sales;
enum err upload_sales(struct context *context, u32 account, struct sales *sales, i64 now_ms);
/* Takes uploaded customers, plans and subscriptions away, and the events of the latter, or all
 * events of the account; what events or people know of customers stays. As above. */
enum err upload_clear(struct context *context, u32 account, bool all, i64 now_ms);
/* Completes what a crash has cut off between its two halves. False: not all of it can be completed
 * now; try again later. */
bool upload_finish(struct context *context);

#endif
