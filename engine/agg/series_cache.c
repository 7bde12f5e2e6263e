/*
 * series_cache.c: a table of buckets of four 128-bit hashes and their series; a full bucket gives
 * up one of its entries in turn, so the memory is bounded and a hit is one cache miss. The 128-bit
 * hash stands for the texts: its seed is secret and the commit thread relies on the same.
 *
 * Resolving goes in two passes over a few events: hash and fetch the bucket, then look.
 */
#include "agg/series_cache.h"

#include "base/hash.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define BUCKETS ((u32)1 << 18) /* about one million entries, 24 MiB once all are used */
#define BUCKET_ENTRIES 4
#define HASHES_AHEAD 16
#define BATCHES (2 * FRONT_BATCHES)

#define KEY_BYTES_MAX                                                                              \
    (8 + 2 * SERIES_TEXTS + EVENT_NAME_MAX + EVENT_CUSTOMER_MAX + EVENT_FEATURE_MAX +              \
     EVENT_MODEL_MAX + EVENT_PROVIDER_MAX + EVENT_COST_TYPE_MAX)

#define COPY_STEP 16 /* at most EVENT_TEXT_PADDING */

struct bucket {
    struct hash128 hash[BUCKET_ENTRIES];
    u32 series[BUCKET_ENTRIES]; /* series + 1; 0: empty */
    u32 turn;
    u32 pad[11];
} __attribute__((aligned(64)));

/* Which events of a batch are not known yet, from resolve() until learn(). */
struct misses {
    const struct event_batch *batch;
    u64 bits[EVENT_BATCH_MAX / 64];
};

struct series_cache {
    u64 seed;
    struct bucket *buckets;
    struct misses misses[BATCHES];
    u32 turn; /* the next of them to give up when all are taken */
};

enum err series_cache_create(u64 seed, struct series_cache **out) {
    struct series_cache *cache = calloc(1, sizeof *cache);
    if (cache == NULL) {
        return ERR_NO_MEMORY;
    }
    usize bytes = BUCKETS * sizeof(struct bucket);
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        free(cache);
        return ERR_NO_MEMORY;
    }
    madvise(memory, bytes, MADV_HUGEPAGE); /* found with fewer misses; without them it works too */
    cache->seed = seed;
    cache->buckets = memory;
    *out = cache;
    return ERR_OK;
}

void series_cache_destroy(struct series_cache *cache) {
    if (cache != NULL) {
        munmap(cache->buckets, BUCKETS * sizeof(struct bucket));
        free(cache);
    }
}

/* In steps of 16 bytes, past the end: texts are short, and behind both sides there is padding. */
static inline void copy_text(char *to, const char *from, u32 bytes) {
    for (u32 i = 0; i < bytes; i += COPY_STEP) {
        memcpy(to + i, from + i, COPY_STEP);
    }
}

/* False: a text is longer than events may have; such an event is left to the commit thread. */
static bool hash_event(const struct series_cache *cache, const struct event_batch *batch, u32 index,
                       struct hash128 *out) {
    char bytes[KEY_BYTES_MAX + COPY_STEP];
    usize at = 0;
    memcpy(bytes, &batch->account, sizeof batch->account);
    at += sizeof batch->account;
    bytes[at++] = (char)batch->source[index];
    u32 present = batch->present[index];
    for (u32 text = 0; text < SERIES_TEXTS; text++) {
        struct text_ref ref = batch->ref[text][index];
        u32 text_bytes = (present & TEXT_BIT(text)) != 0 ? ref.bytes : 0;
        if (at + 2 + text_bytes > KEY_BYTES_MAX) {
            return false;
        }
        u16 length = (u16)text_bytes;
        memcpy(bytes + at, &length, sizeof length);
        at += sizeof length;
        copy_text(bytes + at, batch->text + ref.offset, text_bytes);
        at += length;
    }
    *out = hash128(bytes, at, cache->seed);
    return true;
}

static struct bucket *bucket_of(const struct series_cache *cache, struct hash128 hash) {
    return &cache->buckets[hash.low & (BUCKETS - 1)];
}

static u32 bucket_find(const struct bucket *bucket, struct hash128 hash) {
    for (u32 i = 0; i < BUCKET_ENTRIES; i++) {
        if (bucket->hash[i].low == hash.low && bucket->hash[i].high == hash.high &&
            bucket->series[i] != 0) {
            return bucket->series[i] - 1;
        }
    }
    return SERIES_UNRESOLVED;
}

static struct misses *misses_of(struct series_cache *cache, const struct event_batch *batch,
                                bool make) {
    for (u32 i = 0; i < BATCHES; i++) {
        if (cache->misses[i].batch == batch) {
            return &cache->misses[i];
        }
    }
    if (!make) {
        return NULL;
    }
    struct misses *misses = &cache->misses[cache->turn++ % BATCHES];
    for (u32 i = 0; i < BATCHES; i++) {
        if (cache->misses[i].batch == NULL) {
            misses = &cache->misses[i];
        }
    }
    *misses = (struct misses){.batch = batch};
    return misses;
}

void series_cache_resolve(struct series_cache *cache, struct event_batch *batch, u32 first,
                          u32 count) {
    struct hash128 hashes[HASHES_AHEAD];
    bool hashed[HASHES_AHEAD];
    struct misses *misses = misses_of(cache, batch, false);
    if (first == 0 && misses != NULL) {
        memset(misses->bits, 0, sizeof misses->bits);
    }
    for (u32 done = 0; done < count; done += HASHES_AHEAD) {
        u32 some = MIN(count - done, (u32)HASHES_AHEAD);
        for (u32 i = 0; i < some; i++) {
            hashed[i] = hash_event(cache, batch, first + done + i, &hashes[i]);
            if (hashed[i]) {
                __builtin_prefetch(bucket_of(cache, hashes[i]));
                __builtin_prefetch(&bucket_of(cache, hashes[i])->series);
            }
        }
        for (u32 i = 0; i < some; i++) {
            u32 index = first + done + i;
            u32 known =
                hashed[i] ? bucket_find(bucket_of(cache, hashes[i]), hashes[i]) : SERIES_UNRESOLVED;
            batch->series[index] = known;
            if (known == SERIES_UNRESOLVED && hashed[i]) {
                misses = misses != NULL ? misses : misses_of(cache, batch, true);
                misses->bits[index / 64] |= (u64)1 << (index % 64);
            }
        }
    }
}

static void learn_event(struct series_cache *cache, const struct event_batch *batch, u32 index) {
    struct hash128 hash;
    u32 series = batch->series[index];
    if (series == SERIES_UNRESOLVED || !hash_event(cache, batch, index, &hash)) {
        return;
    }
    struct bucket *bucket = bucket_of(cache, hash);
    if (bucket_find(bucket, hash) != SERIES_UNRESOLVED) {
        return;
    }
    u32 place = bucket->turn++ % BUCKET_ENTRIES;
    bucket->hash[place] = hash;
    bucket->series[place] = series + 1;
}

void series_cache_learn(struct series_cache *cache, const struct event_batch *batch) {
    struct misses *misses = misses_of(cache, batch, false);
    if (misses == NULL) {
        return;
    }
    for (u32 word = 0; word < ARRAY_COUNT(misses->bits); word++) {
        for (u64 bits = misses->bits[word]; bits != 0; bits &= bits - 1) {
            u32 index = word * 64 + (u32)__builtin_ctzll(bits);
            if (index < batch->count) {
                learn_event(cache, batch, index);
            }
        }
    }
    misses->batch = NULL;
}
