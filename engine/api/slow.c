/* slow.c: a call that waits for a reader thread; its reply is the thread's until done(). */
#include "api/slow.h"

#include <stdlib.h>
#include <string.h>

#include "api/context.h"
#include "api/error.h"
#include "api/latency.h"
#include "base/clock.h"

struct slow {
    struct job job;
    struct http_call *call;
    u32 account;
    slow_work work;
    slow_request_work request_work; /* or this, with what follows the struct */
    u64 start_ns;
    _Alignas(max_align_t) char request[];
};

static void run(struct job *job) {
    struct slow *slow = job->context;
    if (slow->work != NULL) {
        slow->work(slow->call, slow->account);
    } else {
        slow->request_work(slow->call, slow->request);
    }
}

static void done(struct job *job) {
    struct slow *slow = job->context;
    struct http_call *call = slow->call;
    if (job->dropped) {
        error_of(call, ERR_BUSY);
    }
    latency_record(LATENCY_SLOW, slow->start_ns, clock_monotonic_ns());
    free(slow);
    http_call_finish(call);
}

static enum call_outcome begin(struct http_call *call, struct slow *slow, bool heavy) {
    struct context *context = call->context;
    slow->call = call;
    slow->start_ns = clock_monotonic_ns();
    slow->job = (struct job){
        .run = run, .done = done, .context = slow, .front = context->front, .heavy = heavy};
    enum err err = front_job(context->front, &slow->job);
    if (err != ERR_OK) {
        free(slow);
        return error_of(call, err);
    }
    return CALL_PENDING;
}

enum call_outcome slow_reply(struct http_call *call, u32 account, slow_work work) {
    struct slow *slow = calloc(1, sizeof *slow);
    if (slow == NULL) {
        return error_of(call, ERR_NO_MEMORY);
    }
    slow->account = account;
    slow->work = work;
    return begin(call, slow, false);
}

enum call_outcome slow_request(struct http_call *call, bool heavy, slow_request_work work,
                               const void *request, usize bytes) {
    struct slow *slow = calloc(1, sizeof *slow + bytes);
    if (slow == NULL) {
        return error_of(call, ERR_NO_MEMORY);
    }
    slow->request_work = work;
    memcpy(slow->request, request, bytes);
    return begin(call, slow, heavy);
}
