/*
 * series_cache.c: a table of buckets of four hashes and their series, a cache line each; a full
 * bucket gives up one of its entries, so the memory is bounded and a hit is one cache miss. The
 * 128-bit hash stands for the texts: its seed is secret and the commit thread relies on the same.
 * Of it 18 bits choose the bucket and 96 are compared.
 *
 * The hash is the sum of a hash of each text, so that a native batch hashes each entry of its
 * dictionaries once. Each half of a text's hash folds its words, masked with secret words of their
 * own for the dimension, by 64 x 64 bit multiplication (the mixing of wyhash, Wang Yi), and the
 * halves share no word.
 *
 * Resolving goes in two passes over a few events: hash and fetch the bucket, then look.
 */
#include "agg/series_cache.h"

#include "base/hash.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define BUCKETS ((u32)1 << 18) /* about one million entries, 16 MiB once all are used */
#define BUCKET_ENTRIES 4
#define HASHES_AHEAD 16
#define BATCHES (2 * FRONT_BATCHES)

#define TEXT_KEYS 6

/* The secret words of a dimension. */
struct text_key {
    u64 word[TEXT_KEYS];
};

struct bucket {
    u64 high[BUCKET_ENTRIES];
    u32 low[BUCKET_ENTRIES];    /* the half of it that does not choose the bucket */
    u32 series[BUCKET_ENTRIES]; /* series + 1; 0: empty */
} __attribute__((aligned(64)));

_Static_assert(SERIES_UNRESOLVED == (u32)0 - 1, "what bucket_find() makes of nothing");
_Static_assert(sizeof(struct bucket) == 64, "one cache line");

/* Which events of a batch are not known yet, from resolve() until learn(). */
struct misses {
    const struct event_batch *batch;
    u64 bits[EVENT_BATCH_MAX / 64];
};

struct series_cache {
    struct text_key key[SERIES_TEXTS + 1]; /* the last one is of account and source */
    struct bucket *buckets;
    u32 misses_count; /* mostly none: then a batch of one event costs no search */
    u32 turn;         /* the next of them to give up when all are taken */
    struct misses misses[BATCHES];
};

static void make_keys(struct series_cache *cache, u64 seed) {
    for (u32 i = 0; i < ARRAY_COUNT(cache->key); i++) {
        for (u32 j = 0; j < TEXT_KEYS; j++) {
            u64 number = (u64)i * TEXT_KEYS + j;
            cache->key[i].word[j] = hash64(&number, sizeof number, seed);
        }
    }
}

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
    make_keys(cache, seed);
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

/* --- hashing ---------------------------------------------------------------------------------- */

static inline u64 fold(u64 a, u64 b) {
    u128 product = (u128)a * b;
    return (u64)product ^ (u64)(product >> 64);
}

static inline u64 load64(const char *at) {
    u64 word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* A text of more than 16 bytes: 16 a step, the last of them again, and how many there are. */
static __attribute__((noinline)) struct hash128 hash_long_text(const struct text_key *key,
                                                               const char *at, u32 bytes) {
    const u64 *word = key->word;
    struct hash128 hash = {word[4] + bytes, word[5] + bytes};
    for (u32 i = 0;; i += 16) {
        i = MIN(i, bytes - 16);
        u64 a = load64(at + i);
        u64 b = load64(at + i + 8);
        hash.low = fold(a ^ word[0] ^ hash.low, b ^ word[1]);
        hash.high = fold(a ^ word[2] ^ hash.high, b ^ word[3]);
        if (i == bytes - 16) {
            return hash;
        }
    }
}

/* Of a text of up to 16 bytes those behind it count as 0: padding lies there, and a text holds no
 * NUL, so lengths need no telling apart. */
static inline struct hash128 hash_text(const struct text_key *key, const char *at, u32 bytes) {
    static const u8 masks[32] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    if (unlikely(bytes > 16)) {
        return hash_long_text(key, at, bytes);
    }
    const char *mask = (const char *)masks + 16 - bytes;
    u64 a = load64(at) & load64(mask);
    u64 b = load64(at + 8) & load64(mask + 8);
    return (struct hash128){fold(a ^ key->word[0], b ^ key->word[1]),
                            fold(a ^ key->word[2], b ^ key->word[3])};
}

static inline struct hash128 hash_owner(const struct series_cache *cache,
                                        const struct event_batch *batch, u32 index) {
    const u64 *word = cache->key[SERIES_TEXTS].word;
    u64 owner = (u64)batch->source[index] << 32 | batch->account;
    return (struct hash128){fold(owner ^ word[0], word[1]), fold(owner ^ word[2], word[3])};
}

static inline void add_text(const struct series_cache *cache, const struct event_batch *batch,
                            u32 index, u32 text, struct hash128 *sum) {
    if ((batch->present[index] & TEXT_BIT(text)) != 0) {
        struct text_ref ref = batch->ref[text][index];
        struct hash128 hash = hash_text(&cache->key[text], batch->text + ref.offset, ref.bytes);
        sum->low += hash.low;
        sum->high += hash.high;
    }
}

static struct hash128 hash_event(const struct series_cache *cache, const struct event_batch *batch,
                                 u32 index) {
    struct hash128 sum = hash_owner(cache, batch, index);
    for (u32 text = 0; text < SERIES_TEXTS; text++) {
        add_text(cache, batch, index, text, &sum);
    }
    return sum;
}

/* Adds a column's hashes to those of all events. A text that is not the dictionary's (a provider
 * that pricing added) is hashed by itself. */
static void add_dict(const struct series_cache *cache, const struct event_batch *batch, u32 text,
                     const struct dict *dict, struct hash128 *sums) {
    struct hash128 known[WIRE_EVENTS_MAX];
    u32 bit = TEXT_BIT(text);
    u32 all = bit;
    for (u32 i = 0; i < dict->entries; i++) {
        known[i] =
            hash_text(&cache->key[text], batch->text + dict->ref[i].offset, dict->ref[i].bytes);
    }
    for (u32 row = 0; row < batch->count; row++) {
        all &= batch->present[row];
    }
    if (all != 0 && text != TEXT_PROVIDER) {
        for (u32 row = 0; row < batch->count; row++) {
            u32 entry = dict_entry(dict, row);
            sums[row].low += known[entry].low;
            sums[row].high += known[entry].high;
        }
        return;
    }
    for (u32 row = 0; row < batch->count; row++) {
        u32 entry = dict_entry(dict, row);
        if ((batch->present[row] & bit) != 0 && entry < dict->entries &&
            batch->ref[text][row].offset == dict->ref[entry].offset) {
            sums[row].low += known[entry].low;
            sums[row].high += known[entry].high;
        } else {
            add_text(cache, batch, row, text, &sums[row]);
        }
    }
}

/* --- looking up ------------------------------------------------------------------------------- */

static struct bucket *bucket_of(const struct series_cache *cache, struct hash128 hash) {
    return &cache->buckets[hash.low & (BUCKETS - 1)];
}

/* Which entry it is, nobody can guess, so all of them are compared. */
static u32 bucket_find(const struct bucket *bucket, struct hash128 hash) {
    u32 found = 0;
    for (u32 i = 0; i < BUCKET_ENTRIES; i++) {
        bool same = (bucket->high[i] == hash.high) & (bucket->low[i] == (u32)(hash.low >> 32));
        found |= same ? bucket->series[i] : 0;
    }
    return found - 1; /* SERIES_UNRESOLVED if there is none */
}

static struct misses *misses_of(struct series_cache *cache, const struct event_batch *batch) {
    for (u32 i = 0; i < cache->misses_count; i++) {
        if (cache->misses[i].batch == batch) {
            return &cache->misses[i];
        }
    }
    return NULL;
}

static struct misses *misses_make(struct series_cache *cache, const struct event_batch *batch) {
    u32 place =
        cache->misses_count < BATCHES ? cache->misses_count++ : cache->turn++ % (u32)BATCHES;
    struct misses *misses = &cache->misses[place];
    *misses = (struct misses){.batch = batch};
    return misses;
}

/* The last one takes its place. */
static void misses_drop(struct series_cache *cache, struct misses *misses) {
    *misses = cache->misses[--cache->misses_count];
}

static void prefetch_bucket(const struct series_cache *cache, struct hash128 hash) {
    __builtin_prefetch(bucket_of(cache, hash));
}

/* Looks up a few events whose buckets are on their way. */
static struct misses *find_some(struct series_cache *cache, struct event_batch *batch, u32 first,
                                const struct hash128 *hashes, u32 count, struct misses *misses) {
    for (u32 i = 0; i < count; i++) {
        u32 index = first + i;
        u32 known = bucket_find(bucket_of(cache, hashes[i]), hashes[i]);
        batch->series[index] = known;
        if (known == SERIES_UNRESOLVED) {
            misses = misses != NULL ? misses : misses_make(cache, batch);
            misses->bits[index / 64] |= (u64)1 << (index % 64);
        }
    }
    return misses;
}

static struct misses *misses_begin(struct series_cache *cache, const struct event_batch *batch,
                                   u32 first) {
    struct misses *misses = misses_of(cache, batch);
    if (first == 0 && misses != NULL) {
        memset(misses->bits, 0, sizeof misses->bits);
    }
    return misses;
}

void series_cache_resolve(struct series_cache *cache, struct event_batch *batch, u32 first,
                          u32 count) {
    struct hash128 hashes[HASHES_AHEAD];
    struct misses *misses = misses_begin(cache, batch, first);
    for (u32 done = 0; done < count; done += HASHES_AHEAD) {
        u32 some = MIN(count - done, (u32)HASHES_AHEAD);
        for (u32 i = 0; i < some; i++) {
            hashes[i] = hash_event(cache, batch, first + done + i);
            prefetch_bucket(cache, hashes[i]);
        }
        misses = find_some(cache, batch, first + done, hashes, some, misses);
    }
}

void series_cache_resolve_dicts(struct series_cache *cache, struct event_batch *batch,
                                const struct dicts *dicts) {
    if (!dicts->good) {
        series_cache_resolve(cache, batch, 0, batch->count);
        return;
    }
    struct hash128 sums[EVENT_BATCH_MAX];
    struct hash128 owner = hash_owner(cache, batch, 0); /* native batches have one source */
    for (u32 row = 0; row < batch->count; row++) {
        sums[row] = owner;
    }
    for (u32 text = 0; text < SERIES_TEXTS; text++) {
        const struct dict *dict = &dicts->text[text];
        if (dict->entries > 0) {
            add_dict(cache, batch, text, dict, sums);
            continue;
        }
        for (u32 row = 0; row < batch->count; row++) {
            add_text(cache, batch, row, text, &sums[row]);
        }
    }
    struct misses *misses = misses_begin(cache, batch, 0);
    for (u32 row = 0; row < MIN(batch->count, (u32)HASHES_AHEAD); row++) {
        prefetch_bucket(cache, sums[row]);
    }
    for (u32 row = 0; row < batch->count; row++) {
        if (row + HASHES_AHEAD < batch->count) {
            prefetch_bucket(cache, sums[row + HASHES_AHEAD]);
        }
        misses = find_some(cache, batch, row, &sums[row], 1, misses);
    }
}

static void learn_event(struct series_cache *cache, const struct event_batch *batch, u32 index) {
    u32 series = batch->series[index];
    if (series == SERIES_UNRESOLVED) {
        return;
    }
    struct hash128 hash = hash_event(cache, batch, index);
    struct bucket *bucket = bucket_of(cache, hash);
    if (bucket_find(bucket, hash) != SERIES_UNRESOLVED) {
        return;
    }
    u32 place = (u32)(hash.low >> 30) % BUCKET_ENTRIES; /* whose, is left to chance */
    for (u32 i = 0; i < BUCKET_ENTRIES; i++) {
        place = bucket->series[i] == 0 ? i : place;
    }
    bucket->high[place] = hash.high;
    bucket->low[place] = (u32)(hash.low >> 32);
    bucket->series[place] = series + 1;
}

void series_cache_learn(struct series_cache *cache, const struct event_batch *batch) {
    struct misses *misses = misses_of(cache, batch);
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
    misses_drop(cache, misses);
}
