/*
 * slow.h: replies that take too long for a front thread: whatever reads the log, writes very many
 * rows, or waits for the disk. The work runs on a reader thread, which owns the call's reply
 * meanwhile.
 */
#ifndef MARGIN_API_SLOW_H
#define MARGIN_API_SLOW_H

#include "http/call.h"

/* Fills the call's reply from what any thread may use: store, agg, prices, accounts. */
typedef void (*slow_work)(struct http_call *call, u32 account);

/* CALL_PENDING; or CALL_DONE with a 503, if too many wait. The work of a GET is done again if
 * events of the account were cleared or replaced meanwhile: it must leave nothing but the reply. */
enum call_outcome slow_reply(struct http_call *call, u32 account, slow_work work);

/* The same for work that wants more than the account: it gets a copy of the request, which lasts as
 * long as it runs. Heavy work computes for long: see struct job. */
typedef void (*slow_request_work)(struct http_call *call, void *request);
enum call_outcome slow_request(struct http_call *call, bool heavy, slow_request_work work,
                               const void *request, usize bytes);

/* The same for a reply that follows from the request and from what is stored. Whoever asks the same
 * on this front thread before the work has begun gets a copy of its reply: what was acknowledged
 * before the question is then in it. So what a thousand dashboards ask at once is computed once at
 * a time. `same` compares two requests given with the same `work`. */
typedef bool (*slow_same)(const void *one, const void *other);
enum call_outcome slow_shared(struct http_call *call, slow_request_work work, slow_same same,
                              const void *request, usize bytes);

#endif
