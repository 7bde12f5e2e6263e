/* slow_test.c: who asks the same while it waits gets a copy of the reply; nobody else does. */
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/context.h"
#include "api/slow.h"
#include "tests/support/engine.h"
#include "tests/support/http_peer.h"

#define PEERS 40
#define LEAVES 7

static struct engine engine;
static struct context context;
static struct http_peer *peers[PEERS];
static _Atomic u32 runs;
static _Atomic bool held;
static u32 own_headers;

static void work(struct http_call *call, void *request) {
    u32 run = atomic_fetch_add(&runs, 1) + 1;
    buf_put_format(&call->headers, "X-Run: %u\r\n", run);
    if (call->capture[0].data[0] == 'l') {
        cr_assert(buf_reserve(&call->reply, SHARED_BYTES_MAX / 4) != NULL);
        memset(call->reply.data, 'x', SHARED_BYTES_MAX / 4);
        call->reply.bytes = SHARED_BYTES_MAX / 4;
    } else {
        buf_put_format(&call->reply, "[%u]", *(const u32 *)request);
    }
}

static bool is_same(const void *one, const void *other) {
    return *(const u32 *)one == *(const u32 *)other;
}

static enum call_outcome handle(struct http_call *call) {
    u32 question = (u8)call->capture[0].data[0];
    buf_put_format(&call->headers, "X-Own: %u\r\n", ++own_headers);
    return slow_shared(call, work, is_same, &question, sizeof question);
}

/* Clears something while it reads, so often; each look says which one it was. */
static void read_while_clearing(struct http_call *call, u32 account) {
    u32 run = atomic_fetch_add(&runs, 1) + 1;
    u32 clears = call->capture[0].data[0] == 'n' ? UINT32_MAX : 2;
    buf_put_format(&call->headers, "X-Run: %u\r\n", run);
    buf_put_format(&call->reply, "[%u]", run);
    call->status = run < 3 ? 404 : 200;
    struct amend_request request = {.account = account, .kind = STORE_CLEAR, .source = SOURCE_CSV};
    cr_assert(run > clears || pipeline_amend(engine.pipeline, &request) == ERR_OK);
}

static enum call_outcome handle_account(struct http_call *call) {
    buf_put_format(&call->headers, "X-Own: %u\r\n", ++own_headers);
    return slow_reply(call, 1, read_while_clearing);
}

static const struct http_route routes[] = {{HTTP_GET, "/{what}", handle, 0, 0},
                                           {HTTP_GET, "/of/{times}", handle_account, 0, 0},
                                           {HTTP_POST, "/of/{times}", handle_account, 0, 0}};

static void hold(struct job *job) {
    (void)job;
    while (atomic_load(&held)) {
        usleep(1000);
    }
}

static void count_done(struct job *job) {
    ++*(u32 *)job->context;
}

static struct job holding[2]; /* a reader thread each */
static u32 holding_done;

static void setup(void) {
    engine_init(&engine);
    engine_start(&engine);
    context.front = pipeline_front(engine.pipeline, 0);
    context.agg = engine.recovered.agg;
    for (u32 i = 0; i < PEERS; i++) {
        peers[i] = http_peer_create(routes, ARRAY_COUNT(routes), 4 * MIB);
        peers[i]->server.context = &context;
        http_peer_reopen(peers[i]);
    }
    atomic_store(&held, true);
    for (u32 i = 0; i < ARRAY_COUNT(holding); i++) {
        holding[i] = (struct job){.run = hold, .done = count_done, .context = &holding_done};
        cr_assert_eq(front_job(context.front, &holding[i]), ERR_OK);
    }
    usleep(20000);
}

static void teardown(void) {
    for (u32 i = 0; i < PEERS; i++) {
        if (!peers[i]->dead) {
            http_session_closed(&peers[i]->session);
        }
        http_peer_destroy(peers[i]);
    }
    engine_remove(&engine);
}

TestSuite(slow, .init = setup, .fini = teardown, .timeout = 60);

static void ask_by(u32 peer, const char *method, const char *path) {
    char text[64];
    int bytes = snprintf(text, sizeof text, "%s %s HTTP/1.1\r\nHost: x\r\n\r\n", method, path);
    http_peer_give(peers[peer], text, (usize)bytes);
}

static void ask(u32 peer, const char *path) {
    ask_by(peer, "GET", path);
}

static bool says(u32 peer, const char *text) {
    const struct buf *out = &peers[peer]->out;
    return memmem(out->data, out->bytes, text, strlen(text)) != NULL;
}

static void wait_for_all(u32 count) {
    for (u32 answered = 0; answered < count;) {
        usleep(1000);
        front_on_wake(context.front);
        answered = 0;
        for (u32 i = 0; i < count; i++) {
            answered += peers[i]->out.bytes > 0;
        }
    }
    while (holding_done < ARRAY_COUNT(holding)) {
        front_on_wake(context.front);
    }
}

Test(slow, one_reply_for_all_who_ask_the_same) {
    for (u32 i = 0; i < PEERS; i++) {
        ask(i, i % 4 == 0 ? "/b" : "/a");
    }
    http_session_closed(&peers[LEAVES]->session); /* while it waits */
    peers[LEAVES]->dead = true;
    atomic_store(&held, false);
    wait_for_all(7);
    usleep(20000);
    wait_for_all(7);
    for (u32 i = 0; i < PEERS; i++) {
        char own[32];
        snprintf(own, sizeof own, "X-Own: %u\r\n", i + 1);
        cr_assert(i == LEAVES || says(i, own), "the headers of a call are its own: %u", i);
        cr_assert(i == LEAVES || says(i, i % 4 == 0 ? "\r\n\r\n[98]" : "\r\n\r\n[97]"), "%u", i);
        cr_assert(i == LEAVES || says(i, "X-Run: "), "what the work says is everybody's");
    }
    cr_assert_eq(atomic_load(&runs), 2, "%u runs", atomic_load(&runs));
    for (u32 i = 0; i < 3; i++) {
        buf_clear(&peers[i]->out);
        ask(i, "/a");
        usleep(50000); /* it has begun, or has ended, so the next is not answered with it */
    }
    wait_for_all(3);
    cr_assert_eq(atomic_load(&runs), 5);
}

Test(slow, of_a_long_reply_there_are_few_copies_at_once) {
    for (u32 i = 0; i < 10; i++) {
        ask(i, "/l");
    }
    atomic_store(&held, false);
    wait_for_all(10);
    for (u32 i = 0; i < 10; i++) {
        cr_assert_gt(peers[i]->out.bytes, SHARED_BYTES_MAX / 4);
    }
    cr_assert_eq(atomic_load(&runs), 2, "5 and 5 of them: %u", atomic_load(&runs));
}

Test(slow, an_answer_is_of_one_state) {
    struct ingest result;
    struct decode_error error;
    atomic_store(&held, false);
    cr_assert_eq(engine_ingest(&engine, 1,
                               "{\"events\":[{\"eventName\":\"e\",\"customerReferenceId\":\"c\","
                               "\"featureKey\":\"f\"}]}",
                               &result, &error),
                 ERR_OK);
    ingest_free(&result);
    ask(0, "/of/two");
    wait_for_all(1);
    cr_assert(says(0, "HTTP/1.1 200") && says(0, "\r\n\r\n[3]"),
              "the third look is the first whole");
    cr_assert(says(0, "X-Own: 1\r\n") && says(0, "X-Run: 3\r\n"));
    cr_assert(!says(0, "X-Run: 1") && !says(0, "X-Run: 2"));
    atomic_store(&runs, 0);
    ask_by(1, "POST", "/of/two");
    while (peers[1]->out.bytes == 0) {
        front_on_wake(context.front);
    }
    cr_assert(says(1, "HTTP/1.1 404") && says(1, "\r\n\r\n[1]"), "what writes is done once");
    ask(2, "/of/no_end");
    while (peers[2]->out.bytes == 0) {
        front_on_wake(context.front);
    }
    cr_assert(says(2, "HTTP/1.1 503") && says(2, "Retry-After: ") && !says(2, "X-Run"));
    cr_assert_eq(atomic_load(&runs), 1 + 16);
}
