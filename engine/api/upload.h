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

/* Takes uploaded customers, plans and subscriptions away, and the events of the latter, or all
 * events of the account; what events or people know of customers stays. As above. */
enum err upload_clear(struct context *context, u32 account, bool all, i64 now_ms);

#endif
