/*
 * run.c: runs (see store.h) as plain files DIR/keys/<id>.run. Written under another name, synced
 * and renamed, as snapshots are: a file with the right name is whole, or damaged by something else
 * than us, which its checksums show.
 *
 *   header   a page: sizes, the digests of all pages and of the extra bytes; its own digest is the
 * id pages    255 records each, how many they are, which page it is, and a checksum over both extra
 * the bytes that belong to the records
 *
 * A page is what a disk reads at once, so looking one record up costs one read, verified. The cache
 * of the system is left to the log: what is written or read in passing goes past it, which costs a
 * third less of a processor's time (10 ns a record written), or is given up again.
 */
#include "store.h"

#include "base/fault.h"
#include "base/hash.h"
#include "storage/db.h"
#include "storage/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RUN_MAGIC 0x6e7572736779656bu /* "keysgrun" */
#define RUN_VERSION 1
#define PATH_BYTES_MAX 4096
#define SUFFIX ".run"
#define NAME_DIGITS 20
#define BUFFER_PAGES 256
#define QUEUED_BYTES_MAX                                                                           \
    (4 * MIB) /* on its way to the disk: what a commit or a read waits behind */

struct run_header {
    u64 magic;
    u32 version;
    u32 record_bytes;
    u64 records;
    u64 pages_hash; /* over the checksums of all pages */
    u64 extra_bytes;
    u64 extra_hash;
    u64 header_hash; /* of the bytes before it: the id */
};

struct run_page {
    u8 records[RUN_PAGE_RECORDS * RUN_RECORD_BYTES];
    u32 count;
    u32 index;
    u64 hash; /* of the bytes before it */
};
_Static_assert(sizeof(struct run_page) == RUN_PAGE_BYTES, "no gaps");
_Static_assert(sizeof(struct run_header) <= RUN_PAGE_BYTES, "the header is a page");

struct run_writer {
    int fd;
    enum err err; /* the first one */
    struct run_header header;
    u64 written; /* bytes of the file */
    u64 synced;  /* of them, such that the disk was given */
    u32 pages;   /* of the buffer that are full */
    char dir[PATH_BYTES_MAX - 64];
    char fresh[PATH_BYTES_MAX];
    _Alignas(RUN_PAGE_BYTES) struct run_page buffer[BUFFER_PAGES];
};

struct run {
    int fd;
    int bulk_fd; /* past the cache, where many pages are read; -1: not possible */
    struct run_header header;
};

static u64 pages_of(u64 records) {
    return (records + RUN_PAGE_RECORDS - 1) / RUN_PAGE_RECORDS;
}

static u64 hash_page(const struct run_page *page) {
    return hash64(page, offsetof(struct run_page, hash), page->index);
}

static u64 hash_header(const struct run_header *header) {
    return hash64(header, offsetof(struct run_header, header_hash), 0);
}

static bool dir_path(char *path, usize path_bytes, const char *data_dir) {
    int length = snprintf(path, path_bytes, "%s/keys", data_dir);
    return length > 0 && (usize)length < path_bytes;
}

static void file_path(char *path, const char *keys_dir, u64 id) {
    snprintf(path, PATH_BYTES_MAX, "%s/%0*" PRIu64 SUFFIX, keys_dir, NAME_DIGITS, id);
}

/* --- writing ---------------------------------------------------------------------------------- */

enum err run_begin(const char *dir, const char *purpose, struct run_writer **out) {
    struct run_writer *writer = aligned_alloc(_Alignof(struct run_writer), sizeof *writer);
    if (writer == NULL) {
        return ERR_NO_MEMORY;
    }
    memset(writer, 0, offsetof(struct run_writer, buffer));
    if (!dir_path(writer->dir, sizeof writer->dir, dir) ||
        (mkdir(writer->dir, 0700) != 0 && errno != EEXIST)) {
        free(writer);
        return ERR_SYSTEM;
    }
    snprintf(writer->fresh, sizeof writer->fresh, "%s/unfinished-%.16s", writer->dir, purpose);
    writer->fd = file_create_bulk(writer->fresh);
    if (writer->fd < 0) {
        enum err err = file_errno(errno);
        free(writer);
        return err;
    }
    static const _Alignas(RUN_PAGE_BYTES) u8 blank[RUN_PAGE_BYTES]; /* the header comes last */
    writer->err = file_write(writer->fd, blank, sizeof blank);
    writer->written = sizeof blank;
    memset(&writer->buffer[0], 0, sizeof writer->buffer[0]);
    *out = writer;
    return ERR_OK;
}

/* Lets the disk have what was written since the last time, and waits for it, without the journal: a
 * sync of everything, which gigabytes at once would make long, comes at the end. */
static void push_out(struct run_writer *writer) {
    off_t from = (off_t)writer->synced;
    off_t bytes = (off_t)(writer->written - writer->synced);
    sync_file_range(writer->fd, from, bytes,
                    SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                        SYNC_FILE_RANGE_WAIT_AFTER);
    posix_fadvise(writer->fd, from, bytes, POSIX_FADV_DONTNEED);
    writer->synced = writer->written;
}

/* Bytes that go to the end of the file. */
static void put(struct run_writer *writer, const void *data, usize bytes) {
    while (bytes > 0 && writer->err == ERR_OK) {
        usize piece = MIN(bytes, QUEUED_BYTES_MAX);
        writer->err = file_write(writer->fd, data, piece);
        writer->written += piece;
        data = (const char *)data + piece;
        bytes -= piece;
        if (writer->err == ERR_OK && writer->written - writer->synced >= QUEUED_BYTES_MAX) {
            push_out(writer);
        }
    }
}

static void put_pages(struct run_writer *writer) {
    put(writer, writer->buffer, writer->pages * sizeof writer->buffer[0]);
    writer->pages = 0;
}

static void seal_page(struct run_writer *writer) {
    struct run_page *page = &writer->buffer[writer->pages++];
    page->index = (u32)(pages_of(writer->header.records) - 1);
    page->hash = hash_page(page);
    writer->header.pages_hash = hash64(&page->hash, sizeof page->hash, writer->header.pages_hash);
    if (writer->pages == BUFFER_PAGES) {
        put_pages(writer);
    }
    memset(&writer->buffer[writer->pages], 0, sizeof *page);
}

enum err run_add(struct run_writer *writer, const void *records, usize count) {
    const u8 *from = records;
    while (count > 0 && writer->err == ERR_OK) {
        struct run_page *page = &writer->buffer[writer->pages];
        usize fits = MIN(count, (usize)RUN_PAGE_RECORDS - page->count);
        memcpy(page->records + (usize)page->count * RUN_RECORD_BYTES, from,
               fits * RUN_RECORD_BYTES);
        page->count += (u32)fits;
        writer->header.records += fits;
        from += fits * RUN_RECORD_BYTES;
        count -= fits;
        if (page->count == RUN_PAGE_RECORDS) {
            seal_page(writer);
        }
    }
    return writer->err;
}

static void put_header(struct run_writer *writer) {
    struct run_header *header = &writer->header;
    header->magic = RUN_MAGIC;
    header->version = RUN_VERSION;
    header->record_bytes = RUN_RECORD_BYTES;
    header->header_hash = hash_header(header);
    if (writer->err == ERR_OK &&
        pwrite(writer->fd, header, sizeof *header, 0) != (ssize_t)sizeof *header) {
        writer->err = file_errno(errno);
    }
}

enum err run_finish(struct run_writer *writer, const void *extra, usize extra_bytes, u64 *id) {
    char path[PATH_BYTES_MAX];
    if (writer->buffer[writer->pages].count > 0) {
        seal_page(writer);
    }
    put_pages(writer);
    writer->header.extra_bytes = extra_bytes;
    writer->header.extra_hash = extra_bytes > 0 ? hash64(extra, extra_bytes, 0) : 0;
    usize whole = extra_bytes / RUN_PAGE_BYTES * RUN_PAGE_BYTES; /* pages */
    put(writer, extra, whole);
    file_end_bulk(writer->fd);
    put(writer, (const u8 *)extra + whole, extra_bytes - whole);
    fault_point("keys.written");
    put_header(writer);
    if (writer->err == ERR_OK && fsync(writer->fd) != 0) {
        writer->err = file_errno(errno);
    }
    file_path(path, writer->dir, writer->header.header_hash);
    fault_point("keys.synced");
    if (writer->err == ERR_OK && rename(writer->fresh, path) != 0) {
        writer->err = file_errno(errno);
    }
    if (writer->err != ERR_OK) {
        enum err err = writer->err;
        run_abort(writer);
        return err;
    }
    posix_fadvise(writer->fd, 0, 0, POSIX_FADV_DONTNEED);
    *id = writer->header.header_hash;
    fault_point("keys.renamed");
    enum err err = db_dir_sync(writer->dir);
    close(writer->fd);
    free(writer);
    return err;
}

void run_abort(struct run_writer *writer) {
    if (writer != NULL) {
        close(writer->fd);
        unlink(writer->fresh);
        free(writer);
    }
}

/* --- reading ---------------------------------------------------------------------------------- */

/* The sizes add up to the file's, so no later offset is outside it. */
static bool header_is_sound(const struct run_header *header, u64 id, u64 file_bytes) {
    u64 pages = pages_of(header->records);
    return header->magic == RUN_MAGIC && header->version == RUN_VERSION &&
           header->record_bytes == RUN_RECORD_BYTES && header->header_hash == id &&
           hash_header(header) == id && header->records <= UINT32_MAX &&
           header->extra_bytes <= file_bytes &&
           (1 + pages) * RUN_PAGE_BYTES + header->extra_bytes == file_bytes;
}

enum err run_open(const char *dir, u64 id, struct run **out) {
    char keys_dir[PATH_BYTES_MAX - 64];
    char path[PATH_BYTES_MAX];
    struct stat stat;
    if (!dir_path(keys_dir, sizeof keys_dir, dir)) {
        return ERR_NOT_FOUND;
    }
    struct run *run = malloc(sizeof *run);
    if (run == NULL) {
        return ERR_NO_MEMORY;
    }
    file_path(path, keys_dir, id);
    run->bulk_fd = -1;
    run->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (run->fd < 0) {
        enum err err = errno == ENOENT ? ERR_NOT_FOUND : ERR_SYSTEM;
        free(run);
        return err;
    }
    enum err err = fstat(run->fd, &stat) == 0 ? ERR_OK : ERR_IO;
    if (err == ERR_OK) {
        err = file_read(run->fd, &run->header, sizeof run->header, 0);
    }
    if (err == ERR_OK && !header_is_sound(&run->header, id, (u64)stat.st_size)) {
        err = ERR_CORRUPT;
    }
    if (err != ERR_OK) {
        run_close(run);
        return err;
    }
    posix_fadvise(run->fd, 0, 0,
                  POSIX_FADV_RANDOM); /* one page is asked for, not those beside it */
    run->bulk_fd = open(path, O_RDONLY | O_CLOEXEC | O_DIRECT);
    *out = run;
    return ERR_OK;
}

void run_close(struct run *run) {
    if (run != NULL) {
        if (run->bulk_fd >= 0) {
            close(run->bulk_fd);
        }
        close(run->fd);
        free(run);
    }
}

u64 run_records(const struct run *run) {
    return run->header.records;
}

usize run_extra_bytes(const struct run *run) {
    return run->header.extra_bytes;
}

static u64 extra_offset(const struct run *run) {
    return (1 + pages_of(run->header.records)) * RUN_PAGE_BYTES;
}

u64 run_file_bytes(const struct run *run) {
    return extra_offset(run) + run->header.extra_bytes;
}

enum err run_read_extra(struct run *run, void *out) {
    usize bytes = run->header.extra_bytes;
    enum err err = file_read(run->fd, out, bytes, extra_offset(run));
    posix_fadvise(run->fd, (off_t)extra_offset(run), (off_t)bytes, POSIX_FADV_DONTNEED);
    if (err == ERR_OK && (bytes > 0 ? hash64(out, bytes, 0) : 0) != run->header.extra_hash) {
        err = ERR_CORRUPT;
    }
    return err;
}

enum err run_read_pages(struct run *run, u64 first, u32 count, void *out, u32 *records) {
    struct run_page *page = out;
    u64 pages = pages_of(run->header.records);
    check(first <= pages && count <= pages - first);
    bool bulk = count > 1 && run->bulk_fd >= 0 && (uintptr_t)out % RUN_PAGE_BYTES == 0;
    enum err err = file_read(bulk ? run->bulk_fd : run->fd, out, (usize)count * RUN_PAGE_BYTES,
                             (1 + first) * RUN_PAGE_BYTES);
    u8 *to = out;
    *records = 0;
    for (u32 i = 0; i < count && err == ERR_OK; i++) {
        u64 before = (first + i) * RUN_PAGE_RECORDS;
        u64 expected = MIN(run->header.records - before, (u64)RUN_PAGE_RECORDS);
        if (page[i].hash != hash_page(&page[i]) || page[i].index != (u32)(first + i) ||
            page[i].count != expected) {
            return ERR_CORRUPT;
        }
        memmove(to, page[i].records, (usize)expected * RUN_RECORD_BYTES);
        to += expected * RUN_RECORD_BYTES;
        *records += (u32)expected;
    }
    return err;
}

void run_want_page(struct run *run, u64 page) {
    posix_fadvise(run->fd, (off_t)((1 + page) * RUN_PAGE_BYTES), RUN_PAGE_BYTES,
                  POSIX_FADV_WILLNEED);
}

void run_drop_pages(struct run *run, u64 first, u32 count) {
    if (run->bulk_fd < 0) {
        posix_fadvise(run->fd, (off_t)((1 + first) * RUN_PAGE_BYTES), (off_t)count * RUN_PAGE_BYTES,
                      POSIX_FADV_DONTNEED);
    }
}

/* --- files ------------------------------------------------------------------------------------ */

void run_remove(const char *dir, u64 id) {
    char keys_dir[PATH_BYTES_MAX - 64];
    char path[PATH_BYTES_MAX];
    if (dir_path(keys_dir, sizeof keys_dir, dir)) {
        file_path(path, keys_dir, id);
        unlink(path);
    }
}

static bool name_read(const char *name, u64 *id) {
    *id = 0;
    for (u32 i = 0; i < NAME_DIGITS; i++) {
        if (name[i] < '0' || name[i] > '9') {
            return false;
        }
        *id = *id * 10 + (u64)(name[i] - '0');
    }
    return strcmp(name + NAME_DIGITS, SUFFIX) == 0;
}

u32 run_list(const char *dir, u64 *ids, u32 most) {
    char keys_dir[PATH_BYTES_MAX - 64];
    DIR *stream = dir_path(keys_dir, sizeof keys_dir, dir) ? opendir(keys_dir) : NULL;
    const struct dirent *entry;
    u32 count = 0;
    while (stream != NULL && (entry = readdir(stream)) != NULL) {
        u64 id;
        if (name_read(entry->d_name, &id)) {
            if (count < most) {
                ids[count] = id;
            }
            count++;
        }
    }
    if (stream != NULL) {
        closedir(stream);
    }
    return count;
}

void run_keep_only(const char *dir, const u64 *ids, u32 count, bool unfinished) {
    static const char fresh[] = "unfinished-";
    char keys_dir[PATH_BYTES_MAX - 64];
    char path[PATH_BYTES_MAX + 256];
    DIR *stream = dir_path(keys_dir, sizeof keys_dir, dir) ? opendir(keys_dir) : NULL;
    const struct dirent *entry;
    while (stream != NULL && (entry = readdir(stream)) != NULL) {
        u64 id;
        bool is_run = name_read(entry->d_name, &id);
        bool goes = is_run || (unfinished && strncmp(entry->d_name, fresh, strlen(fresh)) == 0);
        for (u32 i = 0; i < count && is_run; i++) {
            goes = goes && ids[i] != id;
        }
        if (goes) {
            snprintf(path, sizeof path, "%s/%s", keys_dir, entry->d_name);
            unlink(path);
            fault_point("keys.removed");
        }
    }
    if (stream != NULL) {
        closedir(stream);
    }
}

/* --- checking --------------------------------------------------------------------------------- */

enum err run_check(const char *dir, u64 id, u64 *records, u64 *bytes) {
    u8 page[RUN_PAGE_BYTES];
    struct run *run;
    *records = *bytes = 0;
    enum err err = run_open(dir, id, &run);
    if (err != ERR_OK) {
        return err;
    }
    *records = run_records(run);
    *bytes = run_file_bytes(run);
    u8 *extra = malloc(run_extra_bytes(run) + 1);
    err = extra != NULL ? run_read_extra(run, extra) : ERR_NO_MEMORY;
    for (u64 i = 0; err == ERR_OK && i < pages_of(*records); i++) {
        u32 count;
        err = run_read_pages(run, i, 1, page, &count);
    }
    free(extra);
    run_close(run);
    return err;
}

void run_files_verify(const char *dir, void (*report)(void *context, const char *what),
                      void *context) {
    u64 ids[4 * RUNS_MAX]; /* more are what a server that runs is about to remove */
    u64 records;
    u64 bytes;
    char line[160];
    u32 count = run_list(dir, ids, ARRAY_COUNT(ids));
    for (u32 i = 0; i < MIN(count, (u32)ARRAY_COUNT(ids)); i++) {
        enum err err = run_check(dir, ids[i], &records, &bytes);
        if (err != ERR_OK && err != ERR_NOT_FOUND) { /* merged meanwhile */
            snprintf(line, sizeof line,
                     "keys %0*" PRIu64 SUFFIX ": %s; its keys are made again from the log",
                     NAME_DIGITS, ids[i], err_text(err));
            report(context, line);
        }
    }
}
