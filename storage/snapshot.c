/*
 * snapshot.c: snapshots of derived state (see store.h) as plain files DIR/snapshots/<next_id>.snap.
 * They are written past the system's cache, which a gigabyte would drive the log out of and make
 * the log's next sync wait for, under another name, synced, and renamed: a file with the right name
 * is whole, or damaged by something else than us, which its checksums show. Losing one costs time,
 * never data.
 *
 *   header   magic, version, log position and the hash of the event before it
 *   section  tag, bytes, checksum of the bytes; the bytes, padded to 8
 *   footer   a section with the end tag whose bytes are the section count and the checksum over all
 *            section headers
 */
#include "storage/snapshot.h"

#include "base/fault.h"
#include "base/hash.h"
#include "base/log.h"
#include "limits.h"
#include "storage/db.h"
#include "storage/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SNAPSHOT_MAGIC 0x70616e736772616du /* "margsnap" */
#define SNAPSHOT_VERSION 1
#define TAG_END UINT32_MAX
#define PATH_BYTES_MAX 4096
#define SUFFIX ".snap"
#define NAME_DIGITS 20
#define PROBE_BYTES MIB
#define BUFFER_BYTES MIB
#define FILES_MAX 64 /* snapshots looked at; more are never kept */

struct snapshot_header {
    u64 magic;
    u32 version;
    u32 amendments; /* 0 in files from before there were any */
    u64 next_id;
    u64 log_hash;    /* see struct snapshot_position */
    u64 header_hash; /* of the bytes before it */
};

struct section_header {
    u32 tag;
    u32 zero;
    u64 bytes;
    u64 hash;
};

struct footer {
    u64 section_count;
    u64 headers_hash;
};

struct snapshot_writer {
    int fd;
    enum err err; /* the first one */
    u64 next_id;
    struct footer footer;
    char dir[PATH_BYTES_MAX - 64];
    char fresh[PATH_BYTES_MAX];
    u32 used; /* of the buffer */
    _Alignas(FILE_PAGE_BYTES) u8 buffer[BUFFER_BYTES];
};

struct snapshot_reader {
    const u8 *data;
    usize bytes;
    usize at;
};

/* --- files ------------------------------------------------------------------------------------ */

static bool name_read(const char *name, u64 *next_id) {
    if (strlen(name) != NAME_DIGITS + sizeof SUFFIX - 1 ||
        strcmp(name + NAME_DIGITS, SUFFIX) != 0) {
        return false;
    }
    *next_id = 0;
    for (u32 i = 0; i < NAME_DIGITS; i++) {
        if (name[i] < '0' || name[i] > '9') {
            return false;
        }
        *next_id = *next_id * 10 + (u64)(name[i] - '0');
    }
    return true;
}

/* Positions of the snapshots there are, newest first; at most FILES_MAX. */
static u32 files_list(const char *dir, u64 *positions) {
    u32 count = 0;
    DIR *stream = opendir(dir);
    const struct dirent *entry;
    while (stream != NULL && (entry = readdir(stream)) != NULL) {
        u64 next_id;
        if (!name_read(entry->d_name, &next_id)) {
            continue;
        }
        u32 at = count;
        while (at > 0 && positions[at - 1] < next_id) {
            at--;
        }
        if (at == FILES_MAX) {
            continue;
        }
        count = MIN(count + 1, (u32)FILES_MAX);
        memmove(positions + at + 1, positions + at, (count - at - 1) * sizeof *positions);
        positions[at] = next_id;
    }
    if (stream != NULL) {
        closedir(stream);
    }
    return count;
}

static void file_path(char *path, const char *dir, u64 next_id) {
    snprintf(path, PATH_BYTES_MAX, "%s/%0*" PRIu64 SUFFIX, dir, NAME_DIGITS, next_id);
}

static bool dir_path(char *path, usize path_bytes, const char *data_dir) {
    int length = snprintf(path, path_bytes, "%s/snapshots", data_dir);
    return length > 0 && (usize)length < path_bytes;
}

void snapshot_files_drop_past(const char *data_dir, u64 next_id) {
    char dir[PATH_BYTES_MAX - 64];
    char path[PATH_BYTES_MAX];
    u64 positions[FILES_MAX];
    u32 count = dir_path(dir, sizeof dir, data_dir) ? files_list(dir, positions) : 0;
    for (u32 i = 0; i < count && positions[i] > next_id; i++) {
        file_path(path, dir, positions[i]);
        bool gone = unlink(path) == 0;
        log_warn("snapshot_removed",
                 "file=\"%s\" log_next_id=%" PRIu64 " done=%d "
                 "reason=\"it knows events that the log does not have\"",
                 path, next_id, gone);
    }
}

/* --- writing ---------------------------------------------------------------------------------- */

static void flush(struct snapshot_writer *writer) {
    if (writer->err == ERR_OK) {
        writer->err = file_write(writer->fd, writer->buffer, writer->used);
    }
    writer->used = 0;
}

static void put(struct snapshot_writer *writer, const void *data, usize bytes) {
    const u8 *from = data;
    while (bytes > 0) {
        usize some = MIN(bytes, (usize)BUFFER_BYTES - writer->used);
        memcpy(writer->buffer + writer->used, from, some);
        writer->used += (u32)some;
        from += some;
        bytes -= some;
        if (writer->used == BUFFER_BYTES) {
            flush(writer);
        }
    }
}

enum err snapshot_file_begin(const char *data_dir, struct snapshot_position position,
                             struct snapshot_writer **out) {
    struct snapshot_writer *writer =
        aligned_alloc(_Alignof(struct snapshot_writer), sizeof *writer);
    if (writer == NULL) {
        return ERR_NO_MEMORY;
    }
    memset(writer, 0, offsetof(struct snapshot_writer, buffer));
    writer->next_id = position.next_id;
    if (!dir_path(writer->dir, sizeof writer->dir, data_dir) ||
        (mkdir(writer->dir, 0700) != 0 && errno != EEXIST)) {
        free(writer);
        return ERR_SYSTEM;
    }
    /* The one name of unfinished snapshots: what a crash left is overwritten. */
    snprintf(writer->fresh, sizeof writer->fresh, "%s/unfinished", writer->dir);
    writer->fd = file_create_bulk(writer->fresh);
    if (writer->fd < 0) {
        enum err err = file_errno(errno);
        free(writer);
        return err;
    }
    struct snapshot_header header = {.magic = SNAPSHOT_MAGIC,
                                     .version = SNAPSHOT_VERSION,
                                     .amendments = (u32)position.amendments,
                                     .next_id = position.next_id,
                                     .log_hash = position.log_hash};
    header.header_hash = hash64(&header, offsetof(struct snapshot_header, header_hash), 0);
    put(writer, &header, sizeof header);
    fault_point("snapshot.begun");
    *out = writer;
    return ERR_OK;
}

static void section_write(struct snapshot_writer *writer, u32 tag, const void *data, usize bytes) {
    static const u8 padding[8];
    struct section_header header = {
        .tag = tag, .bytes = bytes, .hash = bytes > 0 ? hash64(data, bytes, tag) : 0};
    put(writer, &header, sizeof header);
    put(writer, data, bytes);
    put(writer, padding, (0 - bytes) & 7);
    fault_point("snapshot.section-written");
    writer->footer.section_count++;
    writer->footer.headers_hash = hash64(&header, sizeof header, writer->footer.headers_hash);
}

enum err snapshot_write(struct snapshot_writer *writer, u32 tag, const void *data, usize bytes) {
    check(tag != TAG_END);
    if (writer->err == ERR_OK) {
        section_write(writer, tag, data, bytes);
    }
    return writer->err;
}

static void drop_old(const char *dir) {
    u64 positions[FILES_MAX];
    char path[PATH_BYTES_MAX];
    u32 count = files_list(dir, positions);
    for (u32 i = SNAPSHOTS_KEPT; i < count; i++) {
        file_path(path, dir, positions[i]);
        unlink(path);
    }
}

enum err snapshot_finish(struct snapshot_writer *writer) {
    char path[PATH_BYTES_MAX];
    struct footer footer = writer->footer;
    if (writer->err == ERR_OK) {
        section_write(writer, TAG_END, &footer, sizeof footer);
        file_end_bulk(writer->fd);
        flush(writer);
    }
    fault_point("snapshot.written");
    if (writer->err == ERR_OK && fsync(writer->fd) != 0) {
        writer->err = file_errno(errno);
    }
    file_path(path, writer->dir, writer->next_id);
    fault_point("snapshot.synced");
    if (writer->err == ERR_OK && rename(writer->fresh, path) != 0) {
        writer->err = file_errno(errno);
    }
    enum err err = writer->err;
    if (err == ERR_OK) {
        fault_point("snapshot.renamed");
        err = db_dir_sync(writer->dir);
        fault_point("snapshot.durable");
        drop_old(writer->dir);
        fault_point("snapshot.old-dropped");
        close(writer->fd);
        free(writer);
        return err;
    }
    snapshot_abort(writer);
    return err;
}

void snapshot_abort(struct snapshot_writer *writer) {
    if (writer != NULL) {
        close(writer->fd);
        unlink(writer->fresh);
        free(writer);
    }
}

/* --- reading ---------------------------------------------------------------------------------- */

/* The section at *at, verified; false if there is no whole one. */
static bool section_read(const u8 *data, usize bytes, usize *at, struct section_header *header,
                         bool verify) {
    if (bytes - *at < sizeof *header) {
        return false;
    }
    memcpy(header, data + *at, sizeof *header);
    usize left = bytes - *at - sizeof *header;
    usize padding = (0 - header->bytes) & 7;
    if (header->bytes > left || padding > left - header->bytes) {
        return false;
    }
    const u8 *content = data + *at + sizeof *header;
    *at += sizeof *header + header->bytes + padding;
    if (!verify) {
        return true;
    }
    u8 filled = 0; /* every byte of the file says something, padding says zero */
    for (usize i = 0; i < padding; i++) {
        filled |= content[header->bytes + i];
    }
    u64 hash = header->bytes > 0 ? hash64(content, header->bytes, header->tag) : 0;
    return hash == header->hash && header->zero == 0 && filled == 0;
}

enum err snapshot_verify(const void *data, usize bytes, struct snapshot_position *position) {
    struct snapshot_header header;
    if (bytes < sizeof header) {
        return ERR_CORRUPT;
    }
    memcpy(&header, data, sizeof header);
    if (header.magic != SNAPSHOT_MAGIC ||
        header.header_hash != hash64(&header, offsetof(struct snapshot_header, header_hash), 0) ||
        header.version != SNAPSHOT_VERSION) {
        return ERR_CORRUPT;
    }
    usize at = sizeof header;
    struct footer seen = {0};
    struct section_header section;
    while (section_read(data, bytes, &at, &section, true)) {
        if (section.tag == TAG_END) {
            struct footer footer;
            usize content = at - sizeof footer;
            if (section.bytes != sizeof footer || at != bytes) {
                return ERR_CORRUPT;
            }
            memcpy(&footer, (const u8 *)data + content, sizeof footer);
            *position =
                (struct snapshot_position){header.next_id, header.log_hash, header.amendments};
            return footer.section_count == seen.section_count &&
                           footer.headers_hash == seen.headers_hash
                       ? ERR_OK
                       : ERR_CORRUPT;
        }
        seen.section_count++;
        seen.headers_hash = hash64(&section, sizeof section, seen.headers_hash);
    }
    return ERR_CORRUPT;
}

/* Reads the file once. A bad sector is an error here; met first through the map it would be a
 * signal that ends the process. The map then finds the pages in memory. */
static enum err file_probe(int fd) {
    enum err err = ERR_OK;
    char *room = malloc(PROBE_BYTES);
    for (off_t at = 0; err == ERR_OK;) {
        ssize_t bytes = room != NULL ? pread(fd, room, PROBE_BYTES, at) : 0;
        if (bytes == 0) {
            break;
        }
        if (bytes > 0) {
            at += bytes;
        } else if (errno != EINTR) {
            err = ERR_IO;
        }
    }
    free(room);
    return err;
}

static enum err file_map(const char *path, struct snapshot_reader *reader) {
    struct stat stat;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? ERR_NOT_FOUND : ERR_SYSTEM;
    }
    enum err err = fstat(fd, &stat) == 0 ? ERR_OK : ERR_SYSTEM;
    if (err == ERR_OK && stat.st_size < (off_t)sizeof(struct snapshot_header)) {
        err = ERR_CORRUPT;
    }
    if (err == ERR_OK) {
        err = file_probe(fd);
    }
    if (err == ERR_OK) {
        usize bytes = (usize)stat.st_size;
        void *data = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
        err = data != MAP_FAILED ? ERR_OK : ERR_NO_MEMORY;
        if (err == ERR_OK) {
            madvise(data, bytes, MADV_SEQUENTIAL);
            reader->data = data;
            reader->bytes = bytes;
        }
    }
    close(fd);
    return err;
}

void snapshot_files_verify(const char *data_dir, void (*report)(void *context, const char *what),
                           void *context) {
    char dir[PATH_BYTES_MAX - 64];
    char path[PATH_BYTES_MAX];
    char line[160];
    u64 positions[FILES_MAX];
    u32 count = dir_path(dir, sizeof dir, data_dir) ? files_list(dir, positions) : 0;
    for (u32 i = 0; i < count; i++) {
        struct snapshot_reader reader = {.data = NULL};
        struct snapshot_position position = {.next_id = 0};
        file_path(path, dir, positions[i]);
        enum err err = file_map(path, &reader);
        if (err == ERR_OK) {
            err = snapshot_verify(reader.data, reader.bytes, &position);
            munmap((void *)(uintptr_t)reader.data, reader.bytes);
        }
        if (err == ERR_OK && position.next_id != positions[i]) {
            err = ERR_CORRUPT;
        }
        if (err != ERR_OK && err != ERR_NOT_FOUND) { /* a newer one has just taken its place */
            snprintf(line, sizeof line, "snapshot %0*" PRIu64 SUFFIX ": %s; a start passes it over",
                     NAME_DIGITS, positions[i], err_text(err));
            report(context, line);
        }
    }
}

enum err snapshot_file_open(const char *data_dir, u32 skip, struct snapshot_reader **out,
                            struct snapshot_position *position) {
    char dir[PATH_BYTES_MAX - 64];
    char path[PATH_BYTES_MAX];
    u64 positions[FILES_MAX];
    if (!dir_path(dir, sizeof dir, data_dir) || skip >= files_list(dir, positions)) {
        return ERR_NOT_FOUND;
    }
    struct snapshot_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL) {
        return ERR_NO_MEMORY;
    }
    file_path(path, dir, positions[skip]);
    enum err err = file_map(path, reader);
    if (err == ERR_OK) {
        err = snapshot_verify(reader->data, reader->bytes, position);
    }
    if (err == ERR_OK && position->next_id != positions[skip]) {
        err = ERR_CORRUPT;
    }
    if (err != ERR_OK) {
        snapshot_close(reader);
        return err == ERR_NOT_FOUND ? ERR_CORRUPT : err;
    }
    reader->at = sizeof(struct snapshot_header);
    *out = reader;
    return ERR_OK;
}

bool snapshot_next(struct snapshot_reader *reader, u32 *tag, const void **data, usize *bytes) {
    struct section_header header;
    usize content = reader->at + sizeof header;
    if (!section_read(reader->data, reader->bytes, &reader->at, &header, false) ||
        header.tag == TAG_END) {
        return false;
    }
    *tag = header.tag;
    *data = reader->data + content;
    *bytes = header.bytes;
    return true;
}

void snapshot_close(struct snapshot_reader *reader) {
    if (reader != NULL) {
        if (reader->data != NULL) {
            munmap((void *)(uintptr_t)reader->data, reader->bytes);
        }
        free(reader);
    }
}
