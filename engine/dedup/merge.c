/*
 * merge.c: makes one run of several, a little at a time: a snapshot or the log's own merges need
 * not wait for gigabytes. Meanwhile the old ones answer.
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
    struct set_entry entry[READ_PAGES * RUN_PAGE_BYTES / sizeof(struct set_entry)];
};

struct cold_merge {
    u32 first; /* of the list's runs: these are merged */
    u32 count;
    u32 open; /* cursors that are not at their end; the first ones */
    u64 lost; /* id of a run that cannot be read; 0: none */
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

static enum err begin(struct cold *cold, u32 count) {
    const struct cold_list *list = cold->latest;
    struct cold_merge *merge = calloc(1, sizeof *merge);
    u64 keys = 0;
    if (merge == NULL) {
        return ERR_NO_MEMORY;
    }
    *merge = (struct cold_merge){
        .first = list->count - count, .count = count, .begin_ns = clock_monotonic_ns()};
    enum err err = ERR_OK;
    for (u32 i = 0; i < count && err == ERR_OK; i++) {
        const struct cold_run *run = list->run[merge->first + i];
        struct cursor *cursor = malloc(sizeof *cursor);
        if (cursor == NULL) {
            err = ERR_NO_MEMORY;
            break;
        }
        cursor->id = run->id;
        cursor->file = run->file;
        cursor->page = 0;
        cursor->pages = (run->filter.count + RUN_PAGE_RECORDS - 1) / RUN_PAGE_RECORDS;
        merge->cursor[i] = cursor;
        merge->open++;
        keys += run->filter.count;
        err = refill(merge, cursor);
    }
    if (err == ERR_OK) {
        err = cold_build_begin(cold, "merge", keys, &merge->build);
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

/* Merges some keys. What two runs have both, which cannot be, fails where the entries are counted.
 */
static enum err go_on(struct cold_merge *merge, usize keys) {
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
        if (err == ERR_OK) {
            err = cold_build_add(&merge->build, merge->out, out);
        }
        keys -= MIN(keys, out);
    }
    return err;
}

static enum err end(struct cold *cold) {
    struct cold_merge *merge = cold->merge;
    struct cold_run *run;
    enum err err = cold_build_end(cold, &merge->build, &run);
    cold->merge = NULL;
    struct cold_list *list =
        err == ERR_OK ? cold_list_with(cold->latest, merge->first, merge->count, run) : NULL;
    if (err == ERR_OK && list == NULL) {
        cold_run_free(cold, run);
        err = ERR_NO_MEMORY;
    }
    if (err == ERR_OK) {
        u64 took_ns = clock_monotonic_ns() - merge->begin_ns;
        atomic_fetch_add(&cold->counters.merges, 1);
        atomic_fetch_add(&cold->counters.merge_ns, took_ns);
        log_info("keys_merged", "keys=%llu run=%llu merged=%u runs=%u took_ms=%llu",
                 (unsigned long long)run->filter.count, (unsigned long long)run->id, merge->count,
                 list->count, (unsigned long long)(took_ns / 1000000));
        cold->latest = list;
        cold_publish(cold);
        fault_point("keys.merged");
    }
    free_merge(merge);
    return err;
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
    cold->merge_failed = true;
    return ERR_NOT_FOUND;
}

enum err cold_merge(struct cold *cold, bool may_end, bool *ready) {
    *ready = false;
    enum err err = ERR_OK;
    if (cold->merge == NULL) {
        u32 count = cold->merge_failed || !may_end ? 0 : runs_to_merge(cold->latest);
        if (count == 0) {
            return ERR_NOT_FOUND;
        }
        err = begin(cold, count);
    }
    if (err == ERR_OK) {
        err = go_on(cold->merge, SLICE_KEYS);
    }
    if (err == ERR_OK && cold->merge->open == 0) {
        if (!may_end) {
            return ERR_NOT_FOUND;
        }
        err = end(cold);
        *ready = err == ERR_OK;
    }
    return err == ERR_OK ? ERR_OK : fail(cold, err);
}
