/*
 * snapshot.c: the figures as a sequence of pieces, and back.
 *
 *   head       counts, edges, what a reader must agree on
 *   directory  which rows belong to which minute, hour and day; copied when the snapshot begins
 *   array      records as they are when the copier comes by
 *   undo       records as they were when the snapshot began, where the writer was faster
 *
 * Loading lays the pieces over each other in this order, checks every reference, and rebuilds what
 * is only an index: hash tables, lists, links. The format is that of this machine's memory; the
 * head says so, and a snapshot that does not fit is not an error but a reason to read the log.
 */
#include "agg/state.h"

#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

#define FORMAT 5

enum tag { TAG_HEAD = 1, TAG_DIRECTORY, TAG_ARRAY, TAG_UNDO };

struct head {
    u32 format; /* this and the next come first in every version */
    u32 arrays;
    u64 seed_check;
    i64 edge[EDGES];
    i64 width_edge[WIDTHS];
    struct fold fold[WIDTHS - 1];
    i64 now;
    i64 oldest;
    i64 newest;
    u64 directory_words;
    u32 moved[EDGES];
    u32 record_bytes[ARRAYS];
    u32 count[ARRAYS];
    u32 free_head[ARRAYS];
};

struct array_head {
    u32 array;
    u32 first;
    u32 count;
    u32 pad;
};

struct snapshot {
    struct head head;
    bool head_done;
    bool loading;
    u32 *directory; /* width, bucket, row count, chunk count, chunks; repeated */
    u64 directory_words;
    u64 directory_done;
    u32 array; /* the one being copied */
    const struct undo_slab *slab;
    usize slab_done;
};

/* --- beginning -------------------------------------------------------------------------------- */

static u64 directory_size(const struct agg *agg) {
    u64 words = 0;
    for (u32 kind = 0; kind < WIDTHS; kind++) {
        for (u32 i = 0; i < agg->width[kind].count; i++) {
            words += 4 + agg->width[kind].list[i]->chunks.count;
        }
    }
    return words;
}

static bool directory_make(const struct agg *agg, struct snapshot *snapshot) {
    snapshot->directory_words = directory_size(agg);
    snapshot->directory = malloc((snapshot->directory_words + 1) * sizeof(u32));
    if (snapshot->directory == NULL) {
        return false;
    }
    u32 *out = snapshot->directory;
    for (u32 kind = 0; kind < WIDTHS; kind++) {
        for (u32 i = 0; i < agg->width[kind].count; i++) {
            const struct partition *partition = agg->width[kind].list[i];
            *out++ = kind;
            *out++ = partition->bucket;
            *out++ = partition->row_count;
            *out++ = partition->chunks.count;
            for (u32 chunk = 0; chunk < partition->chunks.count; chunk++) {
                *out++ = list_at(&partition->chunks, chunk);
            }
        }
    }
    return true;
}

static void head_make(struct agg *agg, struct head *head) {
    *head = (struct head){.format = FORMAT,
                          .arrays = ARRAYS,
                          .seed_check = hash_mix(agg->seed),
                          .now = agg->now,
                          .oldest = agg->oldest,
                          .newest = agg->newest,
                          .directory_words = directory_size(agg)};
    memcpy(head->edge, agg->edge, sizeof head->edge);
    memcpy(head->moved, agg->moved, sizeof head->moved);
    for (u32 kind = 0; kind < WIDTHS - 1; kind++) { /* not what pads them */
        head->fold[kind].next = agg->fold[kind].next;
        head->fold[kind].rows = agg->fold[kind].rows;
    }
    for (u32 kind = 0; kind < WIDTHS; kind++) {
        head->width_edge[kind] = agg->width[kind].edge;
    }
    for (u32 id = 0; id < ARRAYS; id++) {
        const struct array *array = agg_array(agg, id);
        head->record_bytes[id] = array->record_bytes;
        head->count[id] = array->count;
        head->free_head[id] = array->free_head;
    }
}

enum err agg_snapshot_begin(struct agg *agg) {
    check(agg->snapshot == NULL && agg->pending_count == 0);
    struct snapshot *snapshot = calloc(1, sizeof *snapshot);
    if (snapshot == NULL) {
        return ERR_NO_MEMORY;
    }
    head_make(agg, &snapshot->head); /* all of this changes in this thread only */
    bool good = directory_make(agg, snapshot);
    pthread_rwlock_wrlock(&agg->lock);
    agg->snapshot = snapshot;
    for (u32 id = 0; id < ARRAYS && good; id++) {
        good = array_snap_begin(agg_array(agg, id));
    }
    pthread_rwlock_unlock(&agg->lock);
    if (!good) {
        agg_snapshot_end(agg);
        return ERR_NO_MEMORY;
    }
    return ERR_OK;
}

void agg_snapshot_end(struct agg *agg) {
    if (agg->snapshot == NULL) {
        return;
    }
    struct snapshot *snapshot = agg->snapshot;
    u64 *bits[ARRAYS];
    pthread_rwlock_wrlock(&agg->lock);
    for (u32 id = 0; id < ARRAYS; id++) {
        bits[id] = array_snap_end(agg_array(agg, id));
    }
    struct undo undo = agg->undo;
    agg->undo = (struct undo){0};
    agg->snapshot = NULL;
    pthread_rwlock_unlock(&agg->lock);
    undo_free(&undo); /* gigabytes, it may be: nobody waits for that */
    for (u32 id = 0; id < ARRAYS; id++) {
        free(bits[id]);
    }
    free(snapshot->directory);
    free(snapshot);
}

/* --- copying ---------------------------------------------------------------------------------- */

static usize copy_directory(struct snapshot *snapshot, void *out, usize out_bytes) {
    u64 words = MIN(snapshot->directory_words - snapshot->directory_done, out_bytes / sizeof(u32));
    memcpy(out, snapshot->directory + snapshot->directory_done, words * sizeof(u32));
    snapshot->directory_done += words;
    return words * sizeof(u32);
}

static usize copy_array(struct array *array, char *out, usize out_bytes) {
    struct array_head head = {.array = array->id, .first = array->snap_copied};
    usize room = (out_bytes - sizeof head) / array->record_bytes;
    head.count = (u32)MIN((usize)(array->snap_end - array->snap_copied), room);
    memcpy(out, &head, sizeof head);
    out += sizeof head;
    for (u32 done = 0; done < head.count;) { /* chunk by chunk */
        u32 index = head.first + done;
        u32 chunk_records = (u32)1 << array->shift;
        u32 some = MIN(head.count - done, chunk_records - index % chunk_records);
        memcpy(out, array_at(array, index), (usize)some * array->record_bytes);
        out += (usize)some * array->record_bytes;
        done += some;
    }
    array->snap_copied += head.count;
    return sizeof head + (usize)head.count * array->record_bytes;
}

static usize copy_undo(const struct agg *agg, struct snapshot *snapshot, char *out,
                       usize out_bytes) {
    usize written = 0;
    if (snapshot->slab == NULL && snapshot->slab_done == 0) {
        snapshot->slab = agg->undo.first;
    }
    while (snapshot->slab != NULL) {
        const struct undo_slab *slab = snapshot->slab;
        while (snapshot->slab_done < slab->bytes) {
            const char *at = slab->data + snapshot->slab_done;
            struct undo_entry entry;
            memcpy(&entry, at, sizeof entry);
            usize bytes = sizeof entry + snapshot->head.record_bytes[entry.array];
            if (written + bytes > out_bytes) {
                return written;
            }
            memcpy(out + written, at, bytes);
            written += bytes;
            snapshot->slab_done += bytes;
        }
        snapshot->slab = slab->next;
        snapshot->slab_done = slab->next == NULL ? 1 : 0; /* 1 with no slab: the end */
    }
    return written;
}

static usize copy_piece(struct agg *agg, struct snapshot *snapshot, char *out, usize out_bytes,
                        u32 *tag) {
    if (!snapshot->head_done) {
        *tag = TAG_HEAD;
        snapshot->head_done = true;
        memcpy(out, &snapshot->head, sizeof snapshot->head);
        return sizeof snapshot->head;
    }
    if (snapshot->directory_done < snapshot->directory_words) {
        *tag = TAG_DIRECTORY;
        return copy_directory(snapshot, out, out_bytes);
    }
    while (snapshot->array < ARRAYS) {
        struct array *array = agg_array(agg, snapshot->array);
        if (array->snap_copied < array->snap_end) {
            *tag = TAG_ARRAY;
            return copy_array(array, out, out_bytes);
        }
        snapshot->array++;
    }
    *tag = TAG_UNDO;
    return copy_undo(agg, snapshot, out, out_bytes);
}

enum err agg_snapshot_copy(struct agg *agg, void *out, usize out_bytes, u32 *tag, usize *bytes) {
    check(agg->snapshot != NULL && out_bytes >= 4 * KIB);
    agg_read_lock(agg);
    enum err err = agg->undo.failed ? ERR_NO_MEMORY : ERR_OK;
    *bytes = err == ERR_OK ? copy_piece(agg, agg->snapshot, out, out_bytes, tag) : 0;
    agg_read_unlock(agg);
    return err;
}

/* --- loading ---------------------------------------------------------------------------------- */

static enum err load_head(struct agg *agg, const void *data, usize bytes) {
    const u32 wanted[] = {FORMAT, ARRAYS}; /* another version's head has another size, too */
    if (agg->snapshot != NULL || agg->dims.count > 0 || bytes < sizeof wanted) {
        return ERR_CORRUPT;
    }
    if (memcmp(data, wanted, sizeof wanted) != 0) {
        return ERR_VERSION;
    }
    if (bytes != sizeof(struct head)) {
        return ERR_CORRUPT;
    }
    struct snapshot *snapshot = calloc(1, sizeof *snapshot);
    if (snapshot == NULL) {
        return ERR_NO_MEMORY;
    }
    agg->snapshot = snapshot;
    snapshot->loading = true;
    struct head *head = &snapshot->head;
    memcpy(head, data, sizeof *head);
    if (head->seed_check != hash_mix(agg->seed) || head->directory_words > UINT32_MAX * (u64)2) {
        return ERR_VERSION;
    }
    for (u32 id = 0; id < ARRAYS; id++) {
        struct array *array = agg_array(agg, id);
        if (head->record_bytes[id] != array->record_bytes) {
            return ERR_VERSION;
        }
        if (head->count[id] < array->count || head->free_head[id] >= MAX(head->count[id], 1u)) {
            return ERR_CORRUPT;
        }
        if (!array_reserve(array, head->count[id] - array->count)) {
            return ERR_NO_MEMORY;
        }
        array->count = head->count[id];
        array->free_head = head->free_head[id];
    }
    snapshot->directory = malloc((head->directory_words + 1) * sizeof(u32));
    return snapshot->directory == NULL ? ERR_NO_MEMORY : ERR_OK;
}

static enum err load_directory(struct snapshot *snapshot, const void *data, usize bytes) {
    u64 words = bytes / sizeof(u32);
    if (bytes % sizeof(u32) != 0 ||
        words > snapshot->head.directory_words - snapshot->directory_words) {
        return ERR_CORRUPT;
    }
    memcpy(snapshot->directory + snapshot->directory_words, data, bytes);
    snapshot->directory_words += words;
    return ERR_OK;
}

static enum err load_array(struct agg *agg, const char *data, usize bytes) {
    struct array_head head;
    if (bytes < sizeof head) {
        return ERR_CORRUPT;
    }
    memcpy(&head, data, sizeof head);
    if (head.array >= ARRAYS) {
        return ERR_CORRUPT;
    }
    struct array *array = agg_array(agg, head.array);
    if (bytes - sizeof head != (usize)head.count * array->record_bytes ||
        (u64)head.first + head.count > array->count) {
        return ERR_CORRUPT;
    }
    data += sizeof head;
    for (u32 i = 0; i < head.count; i++, data += array->record_bytes) {
        memcpy(array_at(array, head.first + i), data, array->record_bytes);
    }
    return ERR_OK;
}

static enum err load_undo(struct agg *agg, const char *data, usize bytes) {
    const char *end = data + bytes;
    while (data < end) {
        struct undo_entry entry;
        if ((usize)(end - data) < sizeof entry) {
            return ERR_CORRUPT;
        }
        memcpy(&entry, data, sizeof entry);
        data += sizeof entry;
        if (entry.array >= ARRAYS) {
            return ERR_CORRUPT;
        }
        struct array *array = agg_array(agg, entry.array);
        if (entry.index >= array->count || (usize)(end - data) < array->record_bytes) {
            return ERR_CORRUPT;
        }
        memcpy(array_at(array, entry.index), data, array->record_bytes);
        data += array->record_bytes;
    }
    return ERR_OK;
}

enum err agg_snapshot_load(struct agg *agg, u32 tag, const void *data, usize bytes) {
    if (tag == TAG_HEAD) {
        return load_head(agg, data, bytes);
    }
    if (agg->snapshot == NULL || !agg->snapshot->loading) {
        return ERR_CORRUPT;
    }
    switch (tag) {
    case TAG_DIRECTORY:
        return load_directory(agg->snapshot, data, bytes);
    case TAG_ARRAY:
        return load_array(agg, data, bytes);
    case TAG_UNDO:
        return load_undo(agg, data, bytes);
    default:
        return ERR_CORRUPT;
    }
}

enum err agg_snapshot_loaded(struct agg *agg) {
    struct snapshot *snapshot = agg->snapshot;
    if (snapshot == NULL || !snapshot->loading ||
        snapshot->directory_words != snapshot->head.directory_words) {
        return ERR_CORRUPT;
    }
    const struct head *head = &snapshot->head;
    for (u32 edge = 0; edge < EDGES; edge++) {
        agg->edge[edge] = head->edge[edge];
        agg->moved[edge] = head->moved[edge];
    }
    for (u32 kind = 0; kind < WIDTHS; kind++) {
        agg->width[kind].edge = head->width_edge[kind];
    }
    memcpy(agg->fold, head->fold, sizeof agg->fold);
    agg->now = head->now;
    agg->oldest = head->oldest;
    agg->newest = head->newest;
    agg->layout++;
    if (!agg_directory_restore(agg, snapshot->directory, snapshot->directory_words)) {
        return ERR_CORRUPT;
    }
    enum err err = agg_folds_hold(agg) ? agg_rebuild(agg) : ERR_CORRUPT;
    agg_snapshot_end(agg);
    if (err == ERR_OK) {
        __atomic_store_n(&agg->series_count, agg->settled, __ATOMIC_RELEASE);
        __atomic_add_fetch(&agg->version, 1, __ATOMIC_RELEASE);
        agg_memory_publish(agg);
    }
    return err;
}
