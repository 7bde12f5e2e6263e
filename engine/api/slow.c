/* slow.c: a call that waits for a reader thread; its reply is the thread's until done(). */
#include "api/slow.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "agg/clear.h"
#include "api/context.h"
#include "api/error.h"
#include "api/latency.h"
#include "base/clock.h"

/* An account whose events are replaced all the time is told so: each replacement waits for the
 * disk, so that a list that takes milliseconds comes through after a few tries. */
#define READ_TRIES_MAX 16

struct asker {
    struct asker *next;
    struct http_call *call;
    u64 start_ns;
};

struct slow {
    struct job job;
    struct http_call *call;
    u32 account;
    slow_work work;
    slow_request_work request_work; /* or this, with what follows the struct */
    u64 start_ns;
    slow_same same;       /* NULL: nobody shares the reply. What follows is for those who do */
    struct slow *next;    /* in the context's list */
    struct asker *others; /* the front thread's */
    usize headers_bytes;  /* of the call, before the work: they are this call's alone */
    _Atomic bool begun;
    _Alignas(max_align_t) char request[];
};

/* As if the work had not begun. */
static void reset_reply(struct slow *slow) {
    struct http_call *call = slow->call;
    call->status = 200;
    call->content_type = "application/json";
    call->close = false;
    buf_clear(&call->reply);
    call->headers.bytes = slow->headers_bytes;
}

/* An answer is put together of several looks at figures and log: it is of one state of both, or
 * made anew. New events only add to what is there; but what took the place of something else would
 * be counted by one look and missed by the next. */
static void read_whole(struct slow *slow) {
    struct agg *agg = ((struct context *)slow->call->context)->agg;
    for (u32 try = 0; try < READ_TRIES_MAX; try++) {
        u64 changes = agg_changes(agg, slow->account);
        slow->work(slow->call, slow->account);
        if (agg_changes(agg, slow->account) == changes) {
            return;
        }
        reset_reply(slow);
    }
    error_of(slow->call, ERR_BUSY);
}

static void run(struct job *job) {
    struct slow *slow = job->context;
    atomic_store(&slow->begun, true); /* before anything is read */
    enum http_method method = slow->call->method;
    if (slow->work != NULL && (method == HTTP_GET || method == HTTP_HEAD)) {
        read_whole(slow);
    } else if (slow->work != NULL) {
        slow->work(slow->call, slow->account);
    } else {
        slow->request_work(slow->call, slow->request);
    }
}

static void end(struct http_call *call, u64 start_ns) {
    latency_record(LATENCY_SLOW, start_ns, clock_monotonic_ns());
    http_call_finish(call);
}

/* --- shared replies --------------------------------------------------------------------------- */

static struct slow *find_shared(const struct context *context, slow_request_work work,
                                slow_same same, const void *request) {
    struct slow *slow = context->shared;
    while (slow != NULL && (atomic_load(&slow->begun) || slow->request_work != work ||
                            slow->same != same || !same(slow->request, request))) {
        slow = slow->next;
    }
    return slow;
}

static void leave_list(struct slow *slow) {
    struct context *context = slow->call->context;
    struct slow **at = &context->shared;
    while (*at != slow) {
        at = &(*at)->next;
    }
    *at = slow->next;
}

static void copy_reply(const struct slow *slow, struct http_call *to) {
    const struct http_call *from = slow->call;
    to->status = from->status;
    to->content_type = from->content_type;
    to->close = from->close;
    buf_put_slice(&to->reply, buf_slice(&from->reply));
    to->reply.failed |= from->reply.failed;
    buf_put(&to->headers, from->headers.data + slow->headers_bytes,
            from->headers.bytes - slow->headers_bytes);
}

/* A reply that is short goes to all; of a long one there are only so many copies at once, or much
 * memory would be taken in one turn by those who ask and do not read. */
static void answer_others(struct slow *slow) {
    usize bytes = slow->call->reply.bytes;
    for (usize sum = bytes; slow->others != NULL && sum <= SHARED_BYTES_MAX; sum += bytes) {
        struct asker *asker = slow->others;
        slow->others = asker->next;
        copy_reply(slow, asker->call);
        end(asker->call, asker->start_ns);
        free(asker);
    }
}

/* --- beginning and ending --------------------------------------------------------------------- */

static void done(struct job *job);

static enum err submit(struct slow *slow, bool heavy) {
    struct context *context = slow->call->context;
    slow->job = (struct job){
        .run = run, .done = done, .context = slow, .front = context->front, .heavy = heavy};
    slow->headers_bytes = slow->call->headers.bytes;
    atomic_store(&slow->begun, false);
    enum err err = front_job(context->front, &slow->job);
    if (err == ERR_OK && slow->same != NULL) {
        slow->next = context->shared;
        context->shared = slow;
    }
    return err;
}

/* The first of those who have got no copy asks anew, for all of them. False: nobody is left. */
static bool ask_again(struct slow *slow) {
    struct asker *asker = slow->others;
    if (asker == NULL) {
        return false;
    }
    slow->call = asker->call;
    slow->start_ns = asker->start_ns;
    slow->others = asker->next;
    free(asker);
    enum err err = submit(slow, false);
    if (err != ERR_OK) {
        error_of(slow->call, err);
        answer_others(slow);
        end(slow->call, slow->start_ns);
    }
    return err == ERR_OK;
}

static void done(struct job *job) {
    struct slow *slow = job->context;
    if (job->dropped) {
        error_of(slow->call, ERR_BUSY);
    }
    if (slow->same != NULL) {
        leave_list(slow);
        answer_others(slow);
    }
    end(slow->call, slow->start_ns);
    if (!ask_again(slow)) {
        check(slow->others == NULL);
        free(slow);
    }
}

static enum call_outcome begin(struct http_call *call, struct slow *slow, bool heavy) {
    if (slow == NULL) {
        return error_of(call, ERR_NO_MEMORY);
    }
    slow->call = call;
    slow->start_ns = clock_monotonic_ns();
    enum err err = submit(slow, heavy);
    if (err != ERR_OK) {
        free(slow);
        return error_of(call, err);
    }
    return CALL_PENDING;
}

enum call_outcome slow_reply(struct http_call *call, u32 account, slow_work work) {
    struct slow *slow = calloc(1, sizeof *slow);
    if (slow != NULL) {
        slow->account = account;
        slow->work = work;
    }
    return begin(call, slow, false);
}

/* NULL: no memory. */
static struct slow *make(slow_request_work work, const void *request, usize bytes) {
    struct slow *slow = calloc(1, sizeof *slow + bytes);
    if (slow != NULL) {
        slow->request_work = work;
        memcpy(slow->request, request, bytes);
    }
    return slow;
}

enum call_outcome slow_request(struct http_call *call, bool heavy, slow_request_work work,
                               const void *request, usize bytes) {
    return begin(call, make(work, request, bytes), heavy);
}

enum call_outcome slow_shared(struct http_call *call, slow_request_work work, slow_same same,
                              const void *request, usize bytes) {
    struct slow *slow = find_shared(call->context, work, same, request);
    if (slow == NULL) {
        slow = make(work, request, bytes);
        if (slow != NULL) {
            slow->same = same;
        }
        return begin(call, slow, false);
    }
    struct asker *asker = malloc(sizeof *asker);
    if (asker == NULL) {
        return error_of(call, ERR_NO_MEMORY);
    }
    *asker = (struct asker){slow->others, call, clock_monotonic_ns()};
    slow->others = asker;
    return CALL_PENDING;
}
