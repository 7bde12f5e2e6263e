/* slow.c: a call that waits for a reader thread; its reply is the thread's until done(). */
#include "api/slow.h"

#include <stdlib.h>

#include "api/context.h"
#include "api/error.h"
#include "api/latency.h"
#include "base/clock.h"

struct slow {
    struct job job;
    struct http_call *call;
    u32 account;
    slow_work work;
    u64 start_ns;
};

static void run(struct job *job) {
    struct slow *slow = job->context;
    slow->work(slow->call, slow->account);
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

enum call_outcome slow_reply(struct http_call *call, u32 account, slow_work work) {
    struct context *context = call->context;
    struct slow *slow = calloc(1, sizeof *slow);
    if (slow == NULL) {
        return error_of(call, ERR_NO_MEMORY);
    }
    *slow = (struct slow){
        .call = call, .account = account, .work = work, .start_ns = clock_monotonic_ns()};
    slow->job = (struct job){.run = run, .done = done, .context = slow, .front = context->front};
    enum err err = front_job(context->front, &slow->job);
    if (err != ERR_OK) {
        free(slow);
        return error_of(call, err);
    }
    return CALL_PENDING;
}
