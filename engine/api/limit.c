/*
 * limit.c: the table of open windows: shards of buckets of slots. A look-up is one hash, one lock
 * that is hardly ever taken, and one line or two of memory.
 */
#include "api/limit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/hash.h"
#include "limits.h"

#define WAYS 8 /* slots a bucket */
#define BUCKETS (LIMIT_SLOTS_MAX / WAYS / LIMIT_SHARDS)
_Static_assert((BUCKETS & (BUCKETS - 1)) == 0, "a bucket is found by a mask");
_Static_assert((LIMIT_SHARDS & (LIMIT_SHARDS - 1)) == 0, "a shard is found by a mask");

struct slot {
    u64 who; /* hash, the class in it; 0: free */
    i64 start_ms;
    u32 used;
    u32 class;
};

struct shard {
    pthread_mutex_t lock;
    u64 counted[LIMIT_CLASSES];
    struct slot slot[BUCKETS][WAYS];
};

struct limits {
    struct limit_rule rule[LIMIT_CLASSES];
    u64 seed;
    struct shard shard[LIMIT_SHARDS];
    _Atomic u64 refused; /* away from the rules, which every request reads */
};

enum err limits_create(const struct limit_rule rules[LIMIT_CLASSES], u64 seed,
                       struct limits **out) {
    struct limits *limits = calloc(1, sizeof *limits);
    if (limits == NULL) {
        return ERR_NO_MEMORY;
    }
    for (u32 i = 0; i < LIMIT_CLASSES; i++) {
        check(rules[i].most == 0 || rules[i].window_ms > 0);
        limits->rule[i] = rules[i];
    }
    limits->seed = seed;
    for (u32 i = 0; i < LIMIT_SHARDS; i++) {
        check(pthread_mutex_init(&limits->shard[i].lock, NULL) == 0);
    }
    *out = limits;
    return ERR_OK;
}

void limits_destroy(struct limits *limits) {
    if (limits == NULL) {
        return;
    }
    for (u32 i = 0; i < LIMIT_SHARDS; i++) {
        pthread_mutex_destroy(&limits->shard[i].lock);
    }
    free(limits);
}

bool limits_has(const struct limits *limits, enum limit_class class) {
    return limits->rule[class].most > 0;
}

/* A clock that was set back ends a window, too. */
static bool is_open(const struct limits *limits, const struct slot *slot, i64 now_ms) {
    return slot->who != 0 && now_ms >= slot->start_ms &&
           now_ms - slot->start_ms < (i64)limits->rule[slot->class].window_ms;
}

/* Whether `a` has used a smaller part of its window than `b`. */
static bool has_used_less(const struct limits *limits, const struct slot *a, const struct slot *b) {
    return (u64)a->used * limits->rule[b->class].most < (u64)b->used * limits->rule[a->class].most;
}

/* The open window of `who`, else the slot to open one in. */
static struct slot *find_slot(const struct limits *limits, struct slot bucket[WAYS], u64 who,
                              i64 now_ms) {
    struct slot *best = &bucket[0];
    for (u32 i = 0; i < WAYS; i++) {
        struct slot *slot = &bucket[i];
        if (slot->who == who) {
            return slot;
        }
        if (!is_open(limits, best, now_ms)) {
            continue;
        }
        if (!is_open(limits, slot, now_ms) || has_used_less(limits, slot, best)) {
            best = slot;
        }
    }
    return best;
}

/* Where `who` has his slot, or would have it. */
struct place {
    u64 hash;
    struct shard *shard;
    struct slot *bucket;
};

static struct place place_of(struct limits *limits, enum limit_class class, struct slice who) {
    u64 hash = hash_mix(hash64(who.data, who.bytes, limits->seed) + class);
    hash += hash == 0;
    struct shard *shard = &limits->shard[hash & (LIMIT_SHARDS - 1)];
    return (struct place){hash, shard, shard->slot[(hash / LIMIT_SHARDS) & (BUCKETS - 1)]};
}

struct limit_answer limits_take(struct limits *limits, enum limit_class class, struct slice who,
                                u32 count, i64 now_ms) {
    const struct limit_rule *rule = &limits->rule[class];
    check(rule->most > 0);
    struct place place = place_of(limits, class, who);
    struct shard *shard = place.shard;
    u64 hash = place.hash;
    pthread_mutex_lock(&shard->lock);
    struct slot *slot = find_slot(limits, place.bucket, hash, now_ms);
    struct slot now = {hash, now_ms, 0, class};
    if (slot->who == hash && is_open(limits, slot, now_ms)) {
        now = *slot;
    }
    bool allowed = now.used < rule->most;
    if (allowed && count > 0) {
        now.used += MIN(count, UINT32_MAX - now.used);
        shard->counted[class] += count;
        *slot = now;
    }
    pthread_mutex_unlock(&shard->lock);
    if (!allowed) {
        atomic_fetch_add_explicit(&limits->refused, 1, memory_order_relaxed);
    }
    i64 left_ms = now.start_ms + (i64)rule->window_ms - now_ms;
    return (struct limit_answer){.allowed = allowed,
                                 .most = rule->most,
                                 .remaining = rule->most - MIN(now.used, rule->most),
                                 .reset_s = (u32)((left_ms + 999) / 1000)};
}

void limits_give(struct limits *limits, enum limit_class class, struct slice who, u32 count,
                 i64 now_ms) {
    struct place place = place_of(limits, class, who);
    pthread_mutex_lock(&place.shard->lock);
    struct slot *slot = find_slot(limits, place.bucket, place.hash, now_ms);
    if (slot->who == place.hash && is_open(limits, slot, now_ms)) {
        slot->used -= MIN(count, slot->used);
    }
    place.shard->counted[class] -= MIN((u64)count, place.shard->counted[class]);
    pthread_mutex_unlock(&place.shard->lock);
}

u64 limits_counted(struct limits *limits, enum limit_class class) {
    u64 sum = 0;
    for (u32 i = 0; i < LIMIT_SHARDS; i++) {
        struct shard *shard = &limits->shard[i];
        pthread_mutex_lock(&shard->lock);
        sum += shard->counted[class];
        pthread_mutex_unlock(&shard->lock);
    }
    return sum;
}

u64 limits_refused(const struct limits *limits) {
    return atomic_load_explicit(&limits->refused, memory_order_relaxed);
}

u64 limits_open(struct limits *limits, i64 now_ms) {
    u64 open = 0;
    for (u32 i = 0; i < LIMIT_SHARDS; i++) {
        struct shard *shard = &limits->shard[i];
        pthread_mutex_lock(&shard->lock);
        for (u32 at = 0; at < BUCKETS * WAYS; at++) {
            open += is_open(limits, &shard->slot[at / WAYS][at % WAYS], now_ms);
        }
        pthread_mutex_unlock(&shard->lock);
    }
    return open;
}
