/* cold.c: looking keys up in runs, and the life of the list of runs. */
#include "dedup/cold.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "dedup/dedup.h"
#include "dedup/merge.h"

#include <stdlib.h>
#include <string.h>

#define PROBE_KEYS 512
/* Keys between asking for a cache line and using it, in each of two steps. More lines at a time
 * than the processor can wait for make it slower again. */
#define AHEAD 12
#define RING 32 /* keys under way; power of two */
_Static_assert(2 * AHEAD < RING, "a key is done before its place is needed");

enum err cold_init(struct cold *cold, const char *dir) {
    cold->dir = dir != NULL ? strdup(dir) : NULL;
    return dir == NULL || cold->dir != NULL ? ERR_OK : ERR_NO_MEMORY;
}

static bool list_has(const struct cold_list *list, const struct cold_run *run) {
    for (u32 i = 0; list != NULL && i < list->count; i++) {
        if (list->run[i] == run) {
            return true;
        }
    }
    return false;
}

/* Frees a list and those of its runs that are not in the other one. */
static void list_free(struct cold *cold, struct cold_list *list, const struct cold_list *other) {
    for (u32 i = 0; list != NULL && i < list->count; i++) {
        if (!list_has(other, list->run[i])) {
            cold_run_free(cold, list->run[i]);
        }
    }
    free(list);
}

void cold_free(struct cold *cold) {
    merge_give_up(cold);
    cold_sift_end(cold);
    list_free(cold, cold->retired, cold->latest);
    if (cold->current != cold->latest) {
        list_free(cold, cold->current, cold->latest);
    }
    list_free(cold, cold->latest, NULL);
    free(cold->dir);
    *cold = (struct cold){0};
}

/* --- looking up ------------------------------------------------------------------------------- */

struct probe { /* some keys of a batch */
    u32 count;
    u32 event[PROBE_KEYS];
    struct set_key key[PROBE_KEYS];
};

static bool key_before(struct set_key key, const struct set_entry *entry) {
    return key.high != entry->high ? key.high < entry->high : key.low < entry->low;
}

static bool key_is(struct set_key key, const struct set_entry *entry) {
    return key.high == entry->high && key.low == entry->low;
}

/* A page's checksum shows that it was written so, not that it was written here: the filter knows
 * what must lie at this place. */
static bool belongs_here(const struct cold_run *run, u64 block, u64 rank,
                         const struct set_entry *entry) {
    struct filter_place place = filter_place_of(&run->filter, entry->high);
    return place.block == block && place.print == run->filter.print[rank];
}

/* Looks for the key among the hit's records: one, nearly always, else halves of what is left. */
static enum err find(struct cold *cold, const struct cold_run *run, const struct cold_hit *hit,
                     struct set_key key, const struct set_entry **found) {
    u64 low = hit->range.first;
    u64 high = low + hit->range.count;
    *found = NULL;
    while (low < high) {
        u64 middle = low + (high - low) / 2;
        u64 base = middle / RUN_PAGE_RECORDS * RUN_PAGE_RECORDS;
        u32 records;
        enum err err =
            run_read_pages(run->file, middle / RUN_PAGE_RECORDS, 1, cold->page, &records);
        atomic_fetch_add_explicit(&cold->counters.reads, 1, memory_order_relaxed);
        if (err != ERR_OK) {
            return err;
        }
        if (!belongs_here(run, hit->block, middle, &cold->page[middle - base])) {
            return ERR_CORRUPT;
        }
        u64 from = MAX(low, base);
        u64 to = MIN(high, base + records);
        u64 at = from;
        while (at < to && !key_before(key, &cold->page[at - base])) {
            if (key_is(key, &cold->page[at - base])) {
                *found = &cold->page[at - base];
                return ERR_OK;
            }
            at++;
        }
        low = at == to ? to : low;
        high = at == to ? high : at == from ? from : low;
    }
    return ERR_OK;
}

/* The set cannot be trusted any more; the file is removed, so that no start does. */
static enum err lose_run(struct cold *cold, const struct cold_run *run, enum err err) {
    log_error("keys_damaged",
              "run=%llu keys=%llu reason=%s action=\"stopping; the next start reads the keys "
              "from the log again\"",
              (unsigned long long)run->id, (unsigned long long)run->filter.count, err_text(err));
    run_remove(cold->dir, run->id);
    return err;
}

/* Reads what the filters could not decide. All pages are asked for before the first is waited for.
 */
static enum err resolve(struct cold *cold, const struct event_batch *batch, u32 first, u32 hits,
                        u8 *verdict) {
    const struct cold_list *list = cold->current;
    u64 begin_ns = hits > 0 ? clock_monotonic_ns() : 0;
    enum err err = ERR_OK;
    for (u32 i = 0; i < hits && hits > 1; i++) {
        const struct cold_hit *hit = &cold->hit[i];
        run_want_page(list->run[hit->run]->file, hit->range.first / RUN_PAGE_RECORDS);
    }
    u64 missed = 0;
    for (u32 i = 0; i < hits && err == ERR_OK; i++) {
        const struct cold_hit *hit = &cold->hit[i];
        const struct cold_run *run = list->run[hit->run];
        const struct set_entry *entry;
        err = find(cold, run, hit, set_key_of(batch->key_hash[hit->event]), &entry);
        if (err != ERR_OK) {
            return lose_run(cold, run, err);
        }
        if (entry != NULL) {
            bool same = entry->digest == batch->digest[hit->event];
            verdict[hit->event - first] = same ? DEDUP_DUPLICATE : DEDUP_CONFLICT;
        }
        missed += entry == NULL;
    }
    atomic_fetch_add_explicit(&cold->counters.false_hits, missed, memory_order_relaxed);
    if (hits > 0) {
        atomic_fetch_add_explicit(&cold->counters.read_ns, clock_monotonic_ns() - begin_ns,
                                  memory_order_relaxed);
    }
    return err;
}

/* Asks one filter for all keys of the probe, and notes what it may have: of three keys at a time,
 * one behind the other, one has its block asked for, one its prints, and one is decided. */
static u32 ask(const struct filter *filter, const struct probe *probe, u32 run,
               struct cold_hit *hit) {
    struct filter_place place[RING];
    struct filter_range range[RING];
    u32 hits = 0;
    for (u32 i = 0; i < probe->count + 2 * AHEAD; i++) {
        u32 at = i % RING;
        if (i < probe->count) {
            place[at] = filter_place_of(filter, probe->key[i].high);
            filter_prefetch(filter, place[at]);
        }
        at = (i - AHEAD) % RING;
        if (i - AHEAD < probe->count) { /* wraps for the first ones */
            range[at] = filter_slot_range(filter, place[at]);
            filter_prefetch_prints(filter, range[at]);
        }
        at = (i - 2 * AHEAD) % RING;
        if (i - 2 * AHEAD < probe->count) {
            struct filter_range match = filter_match(filter, range[at], place[at].print);
            if (unlikely(match.count > 0)) {
                u32 event = probe->event[i - 2 * AHEAD];
                hit[hits++] = (struct cold_hit){event, run, match, place[at].block};
            }
        }
    }
    return hits;
}

enum err cold_look_up(struct cold *cold, const struct event_batch *batch, u32 first, u32 count,
                      u8 *verdict) {
    const struct cold_list *list = cold->current;
    struct probe probe;
    u32 hits = 0;
    enum err err = ERR_OK;
    memset(verdict, DEDUP_NEW, count);
    for (u32 at = first, end = first + count; at < end && err == ERR_OK;) {
        probe.count = 0;
        for (; at < end && probe.count < PROBE_KEYS; at++) {
            if (event_has_text(batch, at, TEXT_KEY)) {
                probe.event[probe.count] = at;
                probe.key[probe.count++] = set_key_of(batch->key_hash[at]);
            }
        }
        for (u32 i = 0; i < list->count && err == ERR_OK; i++) {
            if (hits + PROBE_KEYS > COLD_HITS_MAX) {
                err = resolve(cold, batch, first, hits, verdict);
                hits = 0;
            }
            hits += ask(&list->run[i]->filter, &probe, i, cold->hit + hits);
        }
    }
    return err == ERR_OK ? resolve(cold, batch, first, hits, verdict) : err;
}

/* --- lists ------------------------------------------------------------------------------------ */

void cold_adopt(struct cold *cold) {
    cold->retired = cold->current;
    cold->current = cold->latest;
}

void cold_drop_retired(struct cold *cold) {
    list_free(cold, cold->retired, cold->latest);
    cold->retired = NULL;
}

void cold_publish(struct cold *cold) {
    const struct cold_list *list = cold->latest;
    u64 bytes = 0;
    for (u32 i = 0; list != NULL && i < list->count; i++) {
        bytes += run_file_bytes(list->run[i]->file);
    }
    atomic_store(&cold->counters.keys, list != NULL ? list->keys : 0);
    atomic_store(&cold->counters.runs, list != NULL ? list->count : 0);
    atomic_store(&cold->counters.file_bytes, bytes);
}

struct cold_list *cold_list_with(const struct cold_list *list, u32 first, u32 count,
                                 struct cold_run *run) {
    struct cold_list *with = calloc(1, sizeof *with);
    if (with == NULL) {
        return NULL;
    }
    for (u32 i = 0; list != NULL && i < list->count; i++) {
        if (i < first || i >= first + count) {
            with->run[with->count++] = list->run[i];
        }
        if (i + 1 == first + count && count > 0 && run != NULL) {
            with->run[with->count++] = run;
        }
    }
    if (count == 0) {
        with->run[with->count++] = run;
    }
    for (u32 i = 0; i < with->count; i++) {
        with->keys += with->run[i]->filter.count;
    }
    return with;
}

enum err cold_spill(struct cold *cold, const struct set *set) {
    struct cold_build build;
    struct cold_run *run = NULL;
    u32 runs = cold->latest != NULL ? cold->latest->count : 0;
    u64 begin_ns = clock_monotonic_ns();
    enum err err = runs == RUNS_MAX ? ERR_LIMIT : ERR_OK;
    if (err != ERR_OK) {
        return err;
    }
    err = cold_build_begin(cold, "spill", set_count(set), &build);
    if (err == ERR_OK) {
        err = cold_build_set(&build, set);
    }
    enum err end = cold_build_end(cold, &build, err == ERR_OK ? &run : NULL);
    err = err == ERR_OK ? end : err;
    struct cold_list *list = err == ERR_OK ? cold_list_with(cold->latest, runs, 0, run) : NULL;
    if (err == ERR_OK && list == NULL) {
        cold_run_free(cold, run);
        err = ERR_NO_MEMORY;
    }
    if (err != ERR_OK) {
        return err;
    }
    cold->latest = list;
    cold->merge_failed = false;
    cold_publish(cold);
    fault_point("keys.spilled");
    u64 took_ns = clock_monotonic_ns() - begin_ns;
    atomic_fetch_add(&cold->counters.spills, 1);
    atomic_fetch_add(&cold->counters.spill_ns, took_ns);
    log_info("keys_spilled", "keys=%llu run=%llu runs=%u took_ms=%llu",
             (unsigned long long)run->filter.count, (unsigned long long)run->id, list->count,
             (unsigned long long)(took_ns / 1000000));
    return ERR_OK;
}

/* --- snapshots -------------------------------------------------------------------------------- */

const struct cold_names *cold_name_runs(struct cold *cold, u64 gone) {
    const struct cold_list *list = cold->latest;
    cold->naming.count = 0;
    for (u32 i = 0; list != NULL && i < list->count; i++) {
        cold->naming.name[cold->naming.count++] =
            (struct cold_name){list->run[i]->id, list->run[i]->filter.count};
    }
    cold->naming.name[cold->naming.count] = (struct cold_name){0, gone};
    return &cold->naming;
}

/* Removes all files but those of the list and of the snapshots that are kept: a start may need the
 * older one. */
static void remove_others(struct cold *cold, bool unfinished) {
    u64 ids[3 * RUNS_MAX];
    u32 count = 0;
    for (u32 i = 0; cold->latest != NULL && i < cold->latest->count; i++) {
        ids[count++] = cold->latest->run[i]->id;
    }
    for (u32 k = 0; k < ARRAY_COUNT(cold->named); k++) {
        for (u32 i = 0; i < cold->named[k].count; i++) {
            ids[count++] = cold->named[k].name[i].id;
        }
    }
    if (cold->dir != NULL) {
        run_keep_only(cold->dir, ids, count, unfinished);
    }
}

void cold_named(struct cold *cold) {
    _Static_assert(ARRAY_COUNT(cold->named) == SNAPSHOTS_KEPT, "each snapshot finds its runs");
    cold->named[1] = cold->named[0];
    cold->named[0] = cold->naming;
    fault_point_if(cold->naming.count > 0, "keys.named");
    remove_others(cold, false);
}

void cold_clean(struct cold *cold) {
    remove_others(cold, true);
}

static enum err open_run(struct cold *cold, const struct cold_name *name, struct cold_run **out) {
    struct cold_run *run = calloc(1, sizeof *run);
    if (run == NULL) {
        return ERR_NO_MEMORY;
    }
    enum err err = run_open(cold->dir, name->id, &run->file);
    if (err == ERR_OK && (name->keys == 0 || run_records(run->file) != name->keys ||
                          run_extra_bytes(run->file) != filter_image_bytes(name->keys))) {
        err = ERR_CORRUPT;
    }
    if (err == ERR_OK) {
        err = filter_create(&run->filter, name->keys);
        atomic_fetch_add(&cold->counters.filter_bytes, run->filter.bytes);
    }
    if (err == ERR_OK) {
        err = run_read_extra(run->file, run->filter.block);
    }
    if (err == ERR_OK && !filter_is_sound(&run->filter)) {
        err = ERR_CORRUPT;
    }
    if (err != ERR_OK) {
        cold_run_free(cold, run);
        return err;
    }
    run->id = name->id;
    *out = run;
    return ERR_OK;
}

enum err cold_restore(struct cold *cold, const struct cold_name *name, usize count, u64 *gone) {
    if (count > 0 && name[count - 1].id == 0) { /* older snapshots do not say */
        *gone = name[--count].keys;
    }
    if (cold->dir == NULL || cold->latest != NULL || count > RUNS_MAX) {
        return ERR_CORRUPT;
    }
    struct cold_list *list = calloc(1, sizeof *list);
    enum err err = list != NULL ? ERR_OK : ERR_NO_MEMORY;
    for (usize i = 0; i < count && err == ERR_OK; i++) {
        err = open_run(cold, &name[i], &list->run[i]);
        list->count += err == ERR_OK;
        list->keys += err == ERR_OK ? name[i].keys : 0;
        if (err != ERR_OK) {
            log_warn("keys_unusable", "run=%llu keys=%llu reason=%s",
                     (unsigned long long)name[i].id, (unsigned long long)name[i].keys,
                     err_text(err));
        }
    }
    if (err != ERR_OK || count == 0) {
        list_free(cold, list, NULL);
        return err;
    }
    cold->latest = list;
    cold->current = list;
    cold_publish(cold);
    for (usize i = 0; i < count; i++) {
        cold->named[0].name[i] = name[i];
    }
    cold->named[0].count = (u32)count;
    return ERR_OK;
}
