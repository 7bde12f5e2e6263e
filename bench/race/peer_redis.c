/*
 * peer_redis.c: Redis on a Unix socket with an append-only file that is synced before each answer.
 * A batch is one call of a Lua function, which runs alone: it keeps each event whose key is new
 * (SET NX), sums the new ones up by customer and adds the sums (HINCRBY events and revenue, ZINCRBY
 * the margin; the cost is what lies between), so that keys and figures change in one step. Scores
 * are doubles, exact below 2^53: figures are in nanodollars, of which that is nine million dollars.
 */
#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "process.h"
#include "race.h"

/* Debian keeps one binary under several names; this one comes without the service. */
#define REDIS_BINARY "/usr/bin/redis-check-rdb"
#define ARGUMENTS 5 /* an event */
#define KEY_BYTES_COUNT 16
#define HASHES_A_TIME 1000

static const char library[] =
    "#!lua name=race\n"
    "local function ingest(keys, args)\n"
    "  local events, margin, revenue, call = {}, {}, {}, redis.call\n"
    "  for i = 1, #args, 5 do\n"
    "    if call('SET', args[i], args[i + 4], 'NX') then\n"
    "      local customer = args[i + 1]\n"
    "      events[customer] = (events[customer] or 0) + 1\n"
    "      margin[customer] = (margin[customer] or 0) + args[i + 3] - args[i + 2]\n"
    "      revenue[customer] = (revenue[customer] or 0) + args[i + 3]\n"
    "    end\n"
    "  end\n"
    "  for customer, n in pairs(events) do\n"
    "    call('HINCRBY', customer, 'events', n)\n"
    "    call('HINCRBY', customer, 'revenue', string.format('%d', revenue[customer]))\n"
    "    call('ZINCRBY', 'margin', string.format('%d', margin[customer]), customer)\n"
    "  end\n"
    "end\n"
    "redis.register_function('ingest', ingest)\n";

struct conn {
    redisContext *redis;
    u32 customers;
};

static redisContext *connect_once(const struct server *server) {
    char path[RACE_PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/redis.sock", server->dir);
    return redisConnectUnix(path);
}

static bool is_good(redisContext *redis, const redisReply *reply) {
    if (reply != NULL && reply->type != REDIS_REPLY_ERROR) {
        return true;
    }
    return race_failed("redis", reply != NULL ? reply->str : redis->errstr);
}

static bool answers(struct server *server) {
    redisContext *redis = connect_once(server);
    bool good = redis != NULL && redis->err == 0;
    if (good) {
        redisReply *reply = redisCommand(redis, "INFO server");
        const char *at = reply == NULL ? NULL : strstr(reply->str, "redis_version:");
        good = at != NULL;
        if (good) {
            at += strlen("redis_version:");
            snprintf(server->version, sizeof server->version, "Redis %.*s",
                     (int)strcspn(at, "\r\n"), at);
        }
        freeReplyObject(reply);
    }
    redisFree(redis);
    return good;
}

static bool start(struct server *server) {
    char program[RACE_PATH_MAX + 32];
    snprintf(program, sizeof program, "%s/redis-server", server->dir);
    const char *const serve[] = {program,      "--port",
                                 "0",          "--dir",
                                 server->dir,  "--unixsocket",
                                 "redis.sock", "--appendonly",
                                 "yes",        "--appendfsync",
                                 "always",     "--save",
                                 "",           "--auto-aof-rewrite-percentage",
                                 "0",          NULL};
    if (symlink(REDIS_BINARY, program) != 0 || !process_start(server, serve, false) ||
        !process_await(server, answers)) {
        return false;
    }
    redisContext *redis = connect_once(server);
    redisReply *reply = redisCommand(redis, "FUNCTION LOAD %s", library);
    bool good = is_good(redis, reply);
    freeReplyObject(reply);
    redisFree(redis);
    return good;
}

static void disconnect(void *argument) {
    struct conn *conn = argument;
    redisFree(conn->redis);
    free(conn);
}

static void *connect_to(const struct server *server) {
    struct conn *conn = calloc(1, sizeof *conn);
    check(conn != NULL);
    conn->customers = server->stream->customers;
    conn->redis = connect_once(server);
    if (conn->redis == NULL || conn->redis->err != 0) {
        race_failed("redis", conn->redis != NULL ? conn->redis->errstr : "no memory");
        disconnect(conn);
        return NULL;
    }
    return conn;
}

/* --- ingest ----------------------------------------------------------------------------------- */

static char *put(char *to, const char *bytes, usize count) {
    to += sprintf(to, "$%zu\r\n", count);
    memcpy(to, bytes, count);
    memcpy(to + count, "\r\n", 2);
    return to + count + 2;
}

static char *put_number(char *to, i64 value) {
    char text[32];
    return put(to, text, (usize)snprintf(text, sizeof text, "%lld", (long long)value));
}

static char *put_event(char *to, const struct stream_event *event) {
    const struct generated_event *made = &event->made;
    char record[256];
    int bytes = snprintf(record, sizeof record, "%s|%s|%s|%lld|%s|%s|%lld|%lld|%lld|%lld|%lld",
                         made->event_name, made->customer, made->feature, (long long)made->time_ms,
                         made->model, made->provider, (long long)made->input_tokens,
                         (long long)made->output_tokens, (long long)event->cost_pico,
                         (long long)made->revenue_pico, (long long)made->duration_ms);
    to = put(to, made->customer, strlen(made->customer));
    to = put_number(to, event->cost_pico / STREAM_NANO);
    to = put_number(to, made->revenue_pico / STREAM_NANO);
    return put(to, record, (usize)bytes);
}

static void encode(const struct server *server, struct payload *payload) {
    static const char no_key[KEY_BYTES_COUNT];
    char *to = payload->bytes;
    to += sprintf(to, "*%u\r\n$5\r\nFCALL\r\n$6\r\ningest\r\n$1\r\n0\r\n",
                  3 + ARGUMENTS * payload->count);
    for (u32 i = 0; i < payload->count; i++) {
        to = put(to, no_key, sizeof no_key);
        payload->key_at[i] = (u32)(to - 2 - KEY_BYTES_COUNT - payload->bytes);
        to = put_event(to, &server->stream->event[payload->first + i]);
    }
    payload->length = (usize)(to - payload->bytes);
}

static bool ingest_batch(void *argument, struct payload *payload) {
    struct conn *conn = argument;
    redisReply *reply = NULL;
    redisAppendFormattedCommand(conn->redis, payload->bytes, payload->length);
    redisGetReply(conn->redis, (void **)&reply);
    bool good = is_good(conn->redis, reply);
    freeReplyObject(reply);
    return good;
}

/* --- queries ---------------------------------------------------------------------------------- */

static bool top(void *argument, struct ranking *out) {
    struct conn *conn = argument;
    redisReply *reply =
        redisCommand(conn->redis, "ZREVRANGE margin 0 %u WITHSCORES", STREAM_TOP - 1);
    bool good = is_good(conn->redis, reply);
    out->count = good ? (u32)MIN(reply->elements / 2, (usize)STREAM_TOP) : 0;
    for (u32 i = 0; i < out->count; i++) {
        const redisReply *name = reply->element[2 * i];
        out->row[i].customer = stream_customer(name->str, name->len);
        out->row[i].margin_pico = (i64)strtod(reply->element[2 * i + 1]->str, NULL) * STREAM_NANO;
    }
    freeReplyObject(reply);
    return good;
}

static i64 number(const redisReply *reply) {
    return reply->str != NULL ? strtoll(reply->str, NULL, 10) : 0;
}

/* Takes the answers for one customer: its hash and its score. */
static bool add_customer(redisContext *redis, struct totals *to) {
    redisReply *hash = NULL;
    redisReply *score = NULL;
    redisGetReply(redis, (void **)&hash);
    redisGetReply(redis, (void **)&score);
    bool good = is_good(redis, hash) && is_good(redis, score) && hash->elements == 2;
    if (good) {
        i64 revenue_nano = number(hash->element[1]);
        i64 margin_nano = score->str != NULL ? (i64)strtod(score->str, NULL) : 0;
        to->events += (u64)number(hash->element[0]);
        to->revenue_pico += (i128)revenue_nano * STREAM_NANO;
        to->cost_pico += (i128)(revenue_nano - margin_nano) * STREAM_NANO;
    }
    freeReplyObject(hash);
    freeReplyObject(score);
    return good;
}

static bool totals(void *argument, struct totals *out) {
    struct conn *conn = argument;
    *out = (struct totals){0};
    bool good = true;
    for (u32 first = 0; good && first < conn->customers; first += HASHES_A_TIME) {
        u32 end = MIN(first + HASHES_A_TIME, conn->customers);
        for (u32 i = first; i < end; i++) {
            redisAppendCommand(conn->redis, "HMGET cust_%07u events revenue", i);
            redisAppendCommand(conn->redis, "ZSCORE margin cust_%07u", i);
        }
        for (u32 i = first; good && i < end; i++) {
            good = add_customer(conn->redis, out);
        }
    }
    return good;
}

const struct peer peer_redis = {
    .name = "redis",
    .acknowledged = "append-only file synced, in the hashes and the ranking",
    .key_form = KEY_BYTES,
    .batch = 1000,
    .writers = 4,
    .event_bytes = 384,
    .stop_signal = SIGTERM,
    .start = start,
    .connect = connect_to,
    .disconnect = disconnect,
    .encode = encode,
    .ingest_batch = ingest_batch,
    .top = top,
    .totals = totals,
};
