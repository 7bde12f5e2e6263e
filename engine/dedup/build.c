/*
 * build.c: making runs. A set's partitions come in the order of hashes, and so do buckets in a
 * partition; only entries of a bucket, and such that found theirs full, are out of order, by a few
 * places. So a set is sorted while it is read, in a small window.
 */
#include "dedup/cold.h"

#include <stdlib.h>
#include <string.h>

#define WINDOW_ENTRIES 8192

enum err cold_build_begin(struct cold *cold, const char *purpose, u64 keys,
                          struct cold_build *build) {
    *build = (struct cold_build){0};
    if (keys == 0 || keys > UINT32_MAX) {
        return ERR_LIMIT;
    }
    enum err err = filter_create(&build->filter, keys);
    if (err == ERR_OK) {
        atomic_fetch_add(&cold->counters.filter_bytes, build->filter.bytes);
        err = run_begin(cold->dir, purpose, &build->file);
    }
    return err;
}

enum err cold_build_add(struct cold_build *build, const struct set_entry *entry, usize count) {
    for (usize i = 0; i < count; i++) {
        filter_add(&build->filter, entry[i].high);
    }
    return run_add(build->file, entry, count);
}

static void give_up(struct cold *cold, struct cold_build *build) {
    atomic_fetch_sub(&cold->counters.filter_bytes, build->filter.bytes);
    filter_free(&build->filter);
    run_abort(build->file);
    build->file = NULL;
}

enum err cold_build_end(struct cold *cold, struct cold_build *build, struct cold_run **out) {
    struct cold_run *run = out != NULL ? calloc(1, sizeof *run) : NULL;
    if (run == NULL) {
        give_up(cold, build);
        return ERR_NO_MEMORY;
    }
    filter_seal(&build->filter);
    enum err err = run_finish(build->file, build->filter.block,
                              filter_image_bytes(build->filter.count), &run->id);
    build->file = NULL;
    if (err == ERR_OK) {
        err = run_open(cold->dir, run->id, &run->file);
    }
    if (err != ERR_OK) {
        give_up(cold, build);
        free(run);
        return err;
    }
    run->filter = build->filter;
    *out = run;
    return ERR_OK;
}

void cold_run_free(struct cold *cold, struct cold_run *run) {
    atomic_fetch_sub(&cold->counters.filter_bytes, run->filter.bytes);
    filter_free(&run->filter);
    run_close(run->file);
    free(run);
}

/* --- a set, in order -------------------------------------------------------------------------- */

struct window {
    struct set_entry *entry; /* sorted */
    usize count;
    usize capacity;
};

/* How far an entry lies behind its bucket at most. The partition's own `reach` is the writer's. */
static u32 reach_of(const struct set_part *part) {
    u32 reach = 0;
    for (u32 bucket = 0; bucket < part->last; bucket++) {
        const struct set_entry *entry = part->entries + (usize)bucket * BUCKET_ENTRIES;
        for (u32 i = 0; i < BUCKET_ENTRIES; i++) {
            u32 home = entry[i].high != 0 ? set_bucket_of(part, entry[i].high) : bucket;
            reach = MAX(reach, bucket - home);
        }
    }
    return reach;
}

static void insert(struct window *window, const struct set_entry *entry) {
    usize at = window->count++;
    for (; at > 0 && set_entry_before(entry, &window->entry[at - 1]); at--) {
        window->entry[at] = window->entry[at - 1];
    }
    window->entry[at] = *entry;
}

/* Passes on the first `count` entries. */
static enum err pass_on(struct window *window, struct cold_build *build, usize count) {
    enum err err = cold_build_add(build, window->entry, count);
    window->count -= count;
    memmove(window->entry, window->entry + count, window->count * sizeof *window->entry);
    return err;
}

static enum err widen(struct window *window) {
    struct set_entry *wider = realloc(window->entry, 2 * window->capacity * sizeof *window->entry);
    if (wider == NULL) {
        return ERR_NO_MEMORY;
    }
    window->entry = wider;
    window->capacity *= 2;
    return ERR_OK;
}

/* The window is full: entries whose bucket is before `first` are passed on, for none can come that
 * belongs before them. */
static enum err make_room(struct window *window, struct cold_build *build,
                          const struct set_part *part, u32 first) {
    usize ready = window->count;
    while (ready > 0 && set_bucket_of(part, window->entry[ready - 1].high) >= first) {
        ready--;
    }
    return ready > 0 ? pass_on(window, build, ready) : widen(window);
}

static enum err build_part(struct window *window, struct cold_build *build,
                           const struct set_part *part) {
    u32 reach = reach_of(part);
    enum err err = ERR_OK;
    for (u32 bucket = 0; bucket < part->last && err == ERR_OK; bucket++) {
        const struct set_entry *entry = part->entries + (usize)bucket * BUCKET_ENTRIES;
        while (window->capacity - window->count < BUCKET_ENTRIES && err == ERR_OK) {
            err = make_room(window, build, part, bucket - MIN(bucket, reach));
        }
        for (u32 i = 0; i < BUCKET_ENTRIES && err == ERR_OK; i++) {
            if (entry[i].high != 0) {
                insert(window, &entry[i]);
            }
        }
    }
    return err == ERR_OK ? pass_on(window, build, window->count) : err;
}

enum err cold_build_set(struct cold_build *build, const struct set *set) {
    struct window window = {.entry = malloc(WINDOW_ENTRIES * sizeof(struct set_entry)),
                            .capacity = WINDOW_ENTRIES};
    enum err err = window.entry != NULL ? ERR_OK : ERR_NO_MEMORY;
    for (u32 i = 0; i < SET_PARTS && err == ERR_OK; i++) {
        err = build_part(&window, build, &set->part[i]);
    }
    free(window.entry);
    return err;
}
