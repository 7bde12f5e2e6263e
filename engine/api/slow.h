/*
 * slow.h: replies that take too long for a front thread: whatever reads the log or writes very many
 * rows. The work runs on a reader thread, which owns the call's reply meanwhile.
 */
#ifndef MARGIN_API_SLOW_H
#define MARGIN_API_SLOW_H

#include "http/call.h"

/* Fills the call's reply from what any thread may read: store, agg, prices. */
typedef void (*slow_work)(struct http_call *call, u32 account);

/* CALL_PENDING; or CALL_DONE with a 503, if too many wait. */
enum call_outcome slow_reply(struct http_call *call, u32 account, slow_work work);

#endif
