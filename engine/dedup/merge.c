/*
 * merge.c: makes one run of several, or of what stays of one, a little at a time: a snapshot or the
 * log's own merges need not wait for gigabytes. Meanwhile the old ones answer.
 *
 * A run that is sifted is gone through twice: a filter is made for as many keys as there will be,
 * and nothing is written where all stay.
 */
#include "dedup/merge.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"

#include <stdlib.h>

#define READ_PAGES 64
#define SLICE_KEYS (2 * (usize)1024 * 1024) /* a tenth of a second */
#define OUT_KEYS 1024

struct cursor { /* where in one of the runs the merge is */
    u64 id;
    struct run *file;
    u64 page; /* the next to be read */
    u64 pages;
    u32 at;
    u32 count;
    /* whole pages, so that the system reads them into place */
    _Alignas(RUN_PAGE_BYTES) struct set_entry
        entry[READ_PAGES * RUN_PAGE_BYTES / sizeof(struct set_entry)];
};

struct cold_merge {
    u32 first; /* of the list's runs: these are merged */
    u32 count;
    u32 open; /* cursors that are not at their end; the first ones */
    u64 lost; /* id of a run that cannot be read; 0: none */
    bool sifts;
    bool counts; /* of a run that is sifted, how many keys stay: nothing is written yet */
    u64 keys;    /* in the old runs */
    u64 kept;    /* so far */
    u64 begin_ns;
    struct cold_build build;
    struct cursor *cursor[RUNS_MAX];
    struct set_entry out[OUT_KEYS];
};

/* --- what is worth it ------------------------------------------------------------------------- */

/* The most of the newest runs of which the oldest is hardly larger than the others together. */
static u32 runs_to_merge(const struct cold_list *list) {
    u64 keys = 0;
    u32 best = 0;
    for (u32 count = 1; list != NULL && count <= list->count; count++) {
        u64 own = list->run[list->count - count]->filter.count;
        if (keys + own > RUN_KEYS_MAX) {
            break;
        }
        if (count > 1 && own <= keys + keys / 4) {
            best = count;
        }
        keys += own;
    }
    return best;
}

/* --- one merge -------------------------------------------------------------------------------- */

static enum err refill(struct cold_merge *merge, struct cursor *cursor) {
    u32 pages = (u32)MIN((u64)READ_PAGES, cursor->pages - cursor->page);
    enum err err = run_read_pages(cursor->file, cursor->page, pages, cursor->entry, &cursor->count);
    run_drop_pages(cursor->file, cursor->page, pages);
    cursor->page += pages;
    cursor->at = 0;
    merge->lost = err == ERR_OK ? merge->lost : cursor->id;
    return err;
}

static void free_merge(struct cold_merge *merge) {
    for (u32 i = 0; i < merge->count; i++) {
        free(merge->cursor[i]);
    }
    free(merge);
}

void merge_give_up(struct cold *cold) {
    if (cold->merge != NULL) {
        cold_build_end(cold, &cold->merge->build, NULL);
        free_merge(cold->merge);
        cold->merge = NULL;
    }
}

static enum err begin(struct cold *cold, u32 first, u32 count) {
    const struct cold_list *list = cold->latest;
    struct cold_merge *merge = calloc(1, sizeof *merge);
    if (merge == NULL) {
        return ERR_NO_MEMORY;
    }
    *merge = (struct cold_merge){.first = first,
                                 .count = count,
                                 .sifts = cold->sift.runs > 0,
                                 .counts = cold->sift.runs > 0,
                                 .begin_ns = clock_monotonic_ns()};
    enum err err = ERR_OK;
    for (u32 i = 0; i < count && err == ERR_OK; i++) {
        const struct cold_run *run = list->run[merge->first + i];
        struct cursor *cursor = aligned_alloc(_Alignof(struct cursor), sizeof *cursor);
        if (cursor == NULL) {
            err = ERR_NO_MEMORY;
            break;
        }
        cursor->id = run->id;
        cursor->file = run->file;
        cursor->page = 0; /* of the file, as read so far */
        cursor->pages = (run->filter.count + RUN_PAGE_RECORDS - 1) / RUN_PAGE_RECORDS;
        merge->cursor[i] = cursor;
        merge->open++;
        merge->keys += run->filter.count;
        err = refill(merge, cursor);
    }
    if (err == ERR_OK && !merge->counts) {
        err = cold_build_begin(cold, "merge", merge->keys, &merge->build);
    }
    cold->merge = merge;
    return err;
}

/* The cursor whose entry comes first. */
static u32 first_of(const struct cold_merge *merge) {
    u32 first = 0;
    const struct set_entry *least = &merge->cursor[0]->entry[merge->cursor[0]->at];
    for (u32 i = 1; i < merge->open; i++) {
        const struct set_entry *entry = &merge->cursor[i]->entry[merge->cursor[i]->at];
        if (set_entry_before(entry, least)) {
            least = entry;
            first = i;
        }
    }
    return first;
}

/* Leaves of some entries those that stay. */
static usize sift_some(const struct sift *stays, struct set_entry *entry, usize count) {
    usize kept = 0;
    for (usize i = 0; i < count; i++) {
        entry[kept] = entry[i];
        kept += sift_may_stay(stays, entry[i].high, entry[i].low);
    }
    return kept;
}

/* Merges some keys. What two runs have both, which cannot be, fails where the entries are counted.
 */
static enum err go_on(struct cold *cold, usize keys) {
    struct cold_merge *merge = cold->merge;
    enum err err = ERR_OK;
    while (merge->open > 0 && keys > 0 && err == ERR_OK) {
        usize out = 0;
        while (merge->open > 0 && out < OUT_KEYS && err == ERR_OK) {
            u32 first = first_of(merge);
            struct cursor *cursor = merge->cursor[first];
            merge->out[out++] = cursor->entry[cursor->at++];
            if (cursor->at < cursor->count) {
                continue;
            }
            if (cursor->page < cursor->pages) {
                err = refill(merge, cursor);
                continue;
            }
            merge->open--;
            merge->cursor[first] = merge->cursor[merge->open];
            merge->cursor[merge->open] = cursor;
        }
        keys -= MIN(keys, out);
        out = merge->sifts ? sift_some(&cold->sift.stays, merge->out, out) : out;
        merge->kept += out;
        if (err == ERR_OK && !merge->counts) {
            err = cold_build_add(&merge->build, merge->out, out);
        }
    }
    return err;
}

/* A list without runs is none. */
static void offer(struct cold *cold, const struct cold_merge *merge, struct cold_list *list) {
    u64 took_ns = clock_monotonic_ns() - merge->begin_ns;
    atomic_fetch_add(&cold->counters.merges, 1);
    atomic_fetch_add(&cold->counters.merge_ns, took_ns);
    log_info(merge->sifts ? "keys_sifted" : "keys_merged",
             "keys=%llu of=%llu merged=%u runs=%u took_ms=%llu", (unsigned long long)merge->kept,
             (unsigned long long)merge->keys, merge->count, list->count,
             (unsigned long long)(took_ns / 1000000));
    atomic_store(&cold->dropped, merge->keys - merge->kept);
    cold->latest = list->count > 0 ? list : NULL;
    if (list->count == 0) {
        free(list);
    }
    cold_publish(cold);
}

static enum err end(struct cold *cold) {
    struct cold_merge *merge = cold->merge;
    struct cold_run *run = NULL;
    enum err err = merge->kept > 0 ? cold_build_end(cold, &merge->build, &run) : ERR_OK;
    cold->merge = NULL;
    struct cold_list *list =
        err == ERR_OK ? cold_list_with(cold->latest, merge->first, merge->count, run) : NULL;
    if (err == ERR_OK && list == NULL) {
        err = ERR_NO_MEMORY;
        if (run != NULL) {
            cold_run_free(cold, run);
        }
    }
    if (err == ERR_OK) {
        offer(cold, merge, list);
        fault_point("keys.merged");
    }
    free_merge(merge);
    return err;
}

/* The run at hand is done. */
static void sift_next(struct cold *cold, bool stays) {
    struct cold_sift *sift = &cold->sift;
    sift->at += stays;
    if (--sift->runs == 0) {
        cold_sift_end(cold);
    }
}

/* A run that is sifted was counted. True: it stays as it is, or is to be gone through once more. */
static bool counted(struct cold *cold, enum err *err) {
    struct cold_merge *merge = cold->merge;
    if (!merge->counts || merge->kept == 0) {
        return false;
    }
    if (merge->kept == merge->keys) {
        cold->merge = NULL;
        free_merge(merge);
        sift_next(cold, true);
        return true;
    }
    *err = cold_build_begin(cold, "sift", merge->kept, &merge->build);
    merge->counts = false;
    merge->kept = 0;
    merge->open = 1;
    merge->cursor[0]->page = 0;
    *err = *err == ERR_OK ? refill(merge, merge->cursor[0]) : *err;
    return true;
}

/* More runs than there should be are slower to ask, and right. One that cannot be read whole is no
 * reason to stop before somebody needs it, but the next start should do without it. */
static enum err fail(struct cold *cold, enum err err) {
    u64 lost = cold->merge != NULL ? cold->merge->lost : 0;
    log_warn("keys_not_merged", "run=%llu reason=%s action=\"%s\"", (unsigned long long)lost,
             err_text(err),
             lost != 0 ? "the run stays in use; the next start reads the keys from the log again"
                       : "the runs stay as they are for now");
    if (lost != 0) {
        run_remove(cold->dir, lost);
    }
    merge_give_up(cold);
    cold_sift_end(cold);
    cold->merge_failed = true;
    return ERR_NOT_FOUND;
}

/* Begins what is to be done, if anything is. */
static enum err begin_next(struct cold *cold, bool may_end) {
    const struct cold_list *list = cold->latest;
    if (cold->merge_failed || !may_end || cold->sift.reading) {
        return ERR_NOT_FOUND;
    }
    if (cold->sift.runs > 0) {
        return begin(cold, cold->sift.at, 1);
    }
    u32 count = runs_to_merge(list);
    return count > 0 ? begin(cold, list->count - count, count) : ERR_NOT_FOUND;
}

enum err cold_merge(struct cold *cold, bool may_end, bool *ready) {
    *ready = false;
    enum err err = cold->merge == NULL ? begin_next(cold, may_end) : ERR_OK;
    if (err == ERR_NOT_FOUND && cold->merge == NULL) {
        return err;
    }
    if (err == ERR_OK) {
        err = go_on(cold, SLICE_KEYS);
    }
    if (err == ERR_OK && cold->merge->open == 0) {
        if (!may_end) {
            return ERR_NOT_FOUND;
        }
        if (!counted(cold, &err)) {
            bool sifts = cold->merge->sifts;
            bool stays = cold->merge->kept > 0;
            err = end(cold);
            *ready = err == ERR_OK;
            if (*ready && sifts) {
                sift_next(cold, stays);
            }
        }
    }
    return err == ERR_OK ? ERR_OK : fail(cold, err);
}
