/*
 * cold.h: the keys that are in memory no more: a list of runs (store.h), each a sorted file of set
 * entries with a filter in memory (filter.h). A key is in one run at most, and in none if the hot
 * set has it.
 *
 * Two threads, or one that is both. The *writer* looks keys up in the list that it has adopted. The
 * *tender* makes runs, merges them, and offers the list that results; what the writer's old list
 * had and the new one has not is freed when the writer has let it go. dedup.c passes lists from one
 * to the other, so that at every moment each belongs to one of them.
 *
 * Runs are merged so that their number stays small: as soon as a run is about as large as all newer
 * ones together, they become one, in one pass. So there are as many as the times the set has
 * doubled since its first run, and a key is written again about half as often. Runs of RUN_KEYS_MAX
 * keys stay what they are, for a merge has the filters of both sides in memory.
 *
 * Runs outlive events: keys whose events are gone stay in them until they are sifted (sift.h): one
 * after the other is written again with such keys as the log still has.
 */
#ifndef MARGIN_DEDUP_COLD_H
#define MARGIN_DEDUP_COLD_H

#include "dedup/filter.h"
#include "dedup/set.h"
#include "dedup/sift.h"
#include "event.h"
#include "limits.h"
#include "store.h"

#include <stdatomic.h>

struct cold_run {
    u64 id;
    struct run *file;
    struct filter filter;
};

/* Oldest first. Never changed once made. */
struct cold_list {
    u32 count;
    u64 keys;
    struct cold_run *run[RUNS_MAX];
};

/* A run that is being made. */
struct cold_build {
    struct run_writer *file;
    struct filter filter;
};

/* How a snapshot names a run. The name behind the last one has no id; its keys are those in all of
 * the runs whose events are gone, as far as that is known. */
struct cold_name {
    u64 id;
    u64 keys;
};

struct cold_names {
    u32 count;
    struct cold_name name[RUNS_MAX + 1];
};

/* Keys without events are taken out of the runs that there were when it began. */
struct cold_sift {
    struct sift stays;
    bool reading; /* keys that stay are being noted */
    u32 at;       /* the run that is next */
    u32 runs;     /* from there on; 0: nothing is sifted */
};

struct cold_hit { /* a filter says that the run may have the key */
    u32 event;
    u32 run;
    struct filter_range range;
    u64 block;
};

struct cold_counters { /* for other threads */
    _Atomic u64 keys;
    _Atomic u64 runs;
    _Atomic u64 filter_bytes; /* all that there are, also of runs under way */
    _Atomic u64 file_bytes;
    _Atomic u64 reads;
    _Atomic u64 read_ns;
    _Atomic u64 false_hits;
    _Atomic u64 spills;
    _Atomic u64 spill_ns;
    _Atomic u64 merges;
    _Atomic u64 merge_ns;
};

#define COLD_HITS_MAX 4608

struct cold {
    char *dir;                  /* the data directory; NULL: there are never any runs */
    struct cold_list *current;  /* the writer's; NULL: no runs */
    struct cold_list *latest;   /* the tender's: the same, or what it offers */
    struct cold_list *retired;  /* the writer let it go */
    struct cold_merge *merge;   /* the tender's; NULL: none is under way */
    bool merge_failed;          /* said; not tried again before there is another run */
    struct cold_sift sift;      /* the tender's */
    _Atomic u64 dropped;        /* keys that the list in use has and the one that is offered not */
    struct cold_names named[2]; /* by the last snapshots that are kept, newest first */
    struct cold_names naming;   /* by the one that is being written */
    struct cold_counters counters;

    struct cold_hit hit[COLD_HITS_MAX]; /* the writer's, as is the page */
    struct set_entry page[RUN_PAGE_BYTES / sizeof(struct set_entry)];
};

/* `dir` is copied. ERR_NO_MEMORY. */
enum err cold_init(struct cold *cold, const char *dir);
/* Both threads are gone. */
void cold_free(struct cold *cold);

/* --- the writer ------------------------------------------------------------------------------- */

/* For each of the batch's events: DEDUP_NEW if no run has its key, or if it has none; else how its
 * digest compares. Reads a page of a run for each key that a filter has. ERR_IO, ERR_CORRUPT: what
 * is known cannot be said; the run was removed, so that the next start makes the set anew. */
enum err cold_look_up(struct cold *cold, const struct event_batch *batch, u32 first, u32 count,
                      u8 *verdict);
/* Takes the list that is offered. */
void cold_adopt(struct cold *cold);

/* --- the tender ------------------------------------------------------------------------------- */

/* Makes a run of all entries of the set, which nobody changes, and a list with it as the last one:
 * to be offered. ERR_NO_MEMORY, ERR_NO_SPACE, ERR_IO, ERR_LIMIT (RUNS_MAX): nothing has changed. */
enum err cold_spill(struct cold *cold, const struct set *set);
/* Frees what the writer let go. */
void cold_drop_retired(struct cold *cold);
/* Merges for a while. ERR_OK with *ready: a list is to be offered; ERR_OK: call again;
 * ERR_NOT_FOUND: there is nothing to merge. May be called without `may_end` while another list is
 * offered. */
enum err cold_merge(struct cold *cold, bool may_end, bool *ready);

/* Sifts all runs there are, while none is merged: begin, note the keys of all events that the log
 * has, at most so many; after read() cold_merge() does the rest. end() also ends an unfinished one.
 * ERR_NO_MEMORY. */
enum err cold_sift_begin(struct cold *cold, u64 keys);
void cold_sift_note(struct cold *cold, const struct event_batch *batch);
void cold_sift_read(struct cold *cold);
void cold_sift_end(struct cold *cold);

/* Names of the runs there are, of whose keys so many are known to be without events; for a
 * snapshot. */
const struct cold_names *cold_name_runs(struct cold *cold, u64 gone);
/* The snapshot that has these names is durable: removes files that nobody needs. */
void cold_named(struct cold *cold);
/* At start, when there are no runs: opens these. ERR_NOT_FOUND, ERR_CORRUPT, ERR_IO, ERR_NO_MEMORY:
 * there are still none. */
enum err cold_restore(struct cold *cold, const struct cold_name *name, usize count, u64 *gone);
/* At start, after the last of that: removes all other files. */
void cold_clean(struct cold *cold);

/* --- making runs (build.c) -------------------------------------------------------------------- */

enum err cold_build_begin(struct cold *cold, const char *purpose, u64 keys,
                          struct cold_build *build);
/* Entries come in the order of their hashes. */
enum err cold_build_add(struct cold_build *build, const struct set_entry *entry, usize count);
/* Ends the build, also on error; without a run wanted (NULL) it is given up. */
enum err cold_build_end(struct cold *cold, struct cold_build *build, struct cold_run **out);
/* All entries of a set in order. */
enum err cold_build_set(struct cold_build *build, const struct set *set);
void cold_run_free(struct cold *cold, struct cold_run *run);

static inline bool set_entry_before(const struct set_entry *a, const struct set_entry *b) {
    return a->high != b->high ? a->high < b->high : a->low < b->low;
}

#endif
