/*
 * disk.c: the calls for files. The files are real ones in a directory in memory, so that LMDB can
 * map them; beside them is kept what a disk would hold: for every sector that was written and not
 * yet synced all its contents since the last sync, and for every directory what was made, renamed
 * and removed in it since. After a loss of power each such sector has any of its contents, the
 * file's end may be the old one, and of a directory's changes the last ones may not have happened.
 *
 * A process that is killed loses nothing that was written, but may have been in the middle of a
 * write.
 */
#include "tests/sim/sim.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#define SECTOR_BYTES 512
#define FDS_MAX 4096
#define FILES_MAX 512
#define MAPS_MAX 64
#define CHANGES_MAX 1024
#define PATH_BYTES 256
#define VERSIONS_MAX                                                                               \
    6 /* contents of a sector that are remembered: the synced and the last ones                    \
       */

int __real_open(const char *path, int flags, ...);
int __real_close(int fd);
ssize_t __real_read(int fd, void *into, size_t bytes);
ssize_t __real_write(int fd, const void *data, size_t bytes);
ssize_t __real_pwrite(int fd, const void *data, size_t bytes, off_t at);
int __real_rename(const char *from, const char *to);
int __real_unlink(const char *path);
int __real_mkdir(const char *path, mode_t mode);
int __real_ftruncate(int fd, off_t bytes);
int __real_fallocate(int fd, int mode, off_t at, off_t bytes);
int __real_statvfs(const char *path, struct statvfs *out);
void *__real_mmap(void *, size_t, int, int, int, off_t);
int __real_munmap(void *, size_t);

struct sector {
    u32 versions;
    u8 bytes[VERSIONS_MAX][SECTOR_BYTES]; /* the first is the synced one */
};

struct file {
    ino_t inode; /* 0: the entry is free */
    u64 synced_bytes;
    u64 sector_count;
    struct sector **sector; /* NULL: as synced */
};

enum change_kind { CHANGE_MADE, CHANGE_DIRECTORY, CHANGE_RENAMED, CHANGE_REMOVED };

struct change { /* of a directory, not synced */
    enum change_kind kind;
    char directory[PATH_BYTES];
    char path[PATH_BYTES];
    char from[PATH_BYTES]; /* of a renaming */
    u32 kept;              /* number of the file that was there before; 0: none */
};

struct open_fd {
    bool ours;
    bool server;
    bool synced; /* O_DSYNC: every write reaches the disk */
    bool directory;
    char path[PATH_BYTES];
    struct file *file;
};

struct map {
    void *at;
    usize bytes;
};

static SIM_STATE struct {
    char root[PATH_BYTES];
    struct file file[FILES_MAX];
    struct open_fd fd[FDS_MAX];
    struct map map[MAPS_MAX];
    struct change change[CHANGES_MAX];
    u32 change_count;
    u32 kept_last;
    struct disk_faults faults;
    u64 errors;
    u64 runs; /* files of keys made */
    u64 calls;
} disk;

void disk_init(const char *root) {
    snprintf(disk.root, sizeof disk.root, "%s", root);
    char path[PATH_BYTES + 16];
    snprintf(path, sizeof path, "%s/kept", root);
    promise(__real_mkdir(path, 0700) == 0, "cannot make %s", path);
}

void disk_set_faults(const struct disk_faults *faults) {
    disk.faults = *faults;
}

u64 disk_errors(void) {
    return disk.errors;
}

u64 disk_runs(void) {
    return disk.runs;
}

u64 disk_calls(void) {
    return disk.calls;
}

static bool is_ours(const char *path) {
    usize bytes = strlen(disk.root);
    return bytes > 0 && strncmp(path, disk.root, bytes) == 0;
}

static struct open_fd *fd_of(int fd) {
    return fd >= 0 && fd < FDS_MAX && disk.fd[fd].ours ? &disk.fd[fd] : NULL;
}

static bool one_in(u32 many) {
    return many > 0 && roll(many) == 0;
}

static int fails(int error) {
    disk.errors++;
    errno = error;
    return -1;
}

/* --- contents --------------------------------------------------------------------------------- */

static u64 size_of(int fd) {
    struct stat stat;
    promise(fstat(fd, &stat) == 0, "fstat");
    return (u64)stat.st_size;
}

static struct file *file_of(int fd) {
    struct stat stat;
    struct file *unused = NULL;
    promise(fstat(fd, &stat) == 0, "fstat");
    for (u32 i = 0; i < FILES_MAX; i++) {
        struct file *file = &disk.file[i];
        if (file->inode == stat.st_ino) {
            return file;
        }
        if (file->inode == 0 && unused == NULL) {
            unused = file;
        }
    }
    promise(unused != NULL, "too many files");
    /* What is not known to have changed is on the disk. */
    *unused = (struct file){.inode = stat.st_ino, .synced_bytes = (u64)stat.st_size};
    return unused;
}

static void reserve(struct file *file, u64 sectors) {
    if (sectors <= file->sector_count) {
        return;
    }
    u64 count = MAX(sectors, 2 * file->sector_count);
    file->sector = realloc(file->sector, count * sizeof *file->sector);
    promise(file->sector != NULL, "no memory");
    memset(file->sector + file->sector_count, 0, (count - file->sector_count) * sizeof(void *));
    file->sector_count = count;
}

static void forget(struct file *file) {
    for (u64 i = 0; i < file->sector_count; i++) {
        free(file->sector[i]);
        file->sector[i] = NULL;
    }
}

static void read_sector(int fd, u64 index, u8 *into) {
    memset(into, 0, SECTOR_BYTES);
    ssize_t ignored = pread(fd, into, SECTOR_BYTES, (off_t)(index * SECTOR_BYTES));
    (void)ignored;
}

/* The sectors of a range are about to change, or have changed. */
static void note_range(int fd, struct file *file, u64 at, u64 bytes, bool changed) {
    if (bytes == 0) {
        return;
    }
    u64 last = (at + bytes - 1) / SECTOR_BYTES;
    reserve(file, last + 1);
    for (u64 i = at / SECTOR_BYTES; i <= last; i++) {
        struct sector *sector = file->sector[i];
        if (sector == NULL) {
            sector = calloc(1, sizeof *sector);
            promise(sector != NULL, "no memory");
            file->sector[i] = sector;
            read_sector(fd, i, sector->bytes[0]);
            sector->versions = 1;
        }
        if (changed) {
            if (sector->versions == VERSIONS_MAX) {
                memmove(sector->bytes[1], sector->bytes[2], (VERSIONS_MAX - 2) * SECTOR_BYTES);
                sector->versions--;
            }
            read_sector(fd, i, sector->bytes[sector->versions++]);
        }
    }
}

/* Written through, as with O_DSYNC: what was written is on the disk, what else waits is not. */
static void settle_range(struct file *file, u64 at, u64 bytes) {
    for (u64 i = at / SECTOR_BYTES; bytes > 0 && i <= (at + bytes - 1) / SECTOR_BYTES; i++) {
        free(file->sector[i]);
        file->sector[i] = NULL;
    }
    file->synced_bytes = MAX(file->synced_bytes, at + bytes);
}

static void settle_file(int fd, struct file *file) {
    forget(file);
    file->synced_bytes = size_of(fd);
}

/* --- directories ------------------------------------------------------------------------------ */

static void directory_of(char *out, const char *path) {
    snprintf(out, PATH_BYTES, "%s", path);
    char *slash = strrchr(out, '/');
    if (slash != NULL && slash[1] == '.' && slash[2] == '.') { /* "x/.." */
        *slash = '\0';
        slash = strrchr(out, '/');
    }
    if (slash != NULL) {
        *slash = '\0';
    }
}

static struct change *change_add(enum change_kind kind, const char *path) {
    promise(disk.change_count < CHANGES_MAX, "too many changes of directories without a sync");
    struct change *change = &disk.change[disk.change_count++];
    *change = (struct change){.kind = kind};
    directory_of(change->directory, path);
    snprintf(change->path, sizeof change->path, "%s", path);
    return change;
}

static void kept_path(char *out, u32 number) {
    snprintf(out, PATH_BYTES + 32, "%s/kept/%u", disk.root, number);
}

/* What is at the path goes where it can be got back from; 0: nothing is there. */
static u32 keep(const char *path) {
    char kept[PATH_BYTES + 32];
    kept_path(kept, disk.kept_last + 1);
    return link(path, kept) == 0 ? ++disk.kept_last : 0;
}

/* What was kept for getting it back is not needed any more. */
static void drop_kept(u32 number) {
    char path[PATH_BYTES + 32];
    struct stat stat;
    kept_path(path, number);
    if (number == 0 || lstat(path, &stat) != 0) {
        return;
    }
    for (u32 i = 0; i < FILES_MAX && stat.st_nlink == 1; i++) {
        if (disk.file[i].inode == stat.st_ino) {
            forget(&disk.file[i]);
            free(disk.file[i].sector);
            disk.file[i] = (struct file){0};
        }
    }
    __real_unlink(path);
}

static void settle_directory(const char *directory) {
    u32 left = 0;
    for (u32 i = 0; i < disk.change_count; i++) {
        if (strcmp(disk.change[i].directory, directory) != 0) {
            disk.change[left++] = disk.change[i];
        } else {
            drop_kept(disk.change[i].kept);
        }
    }
    disk.change_count = left;
}

static int remove_one(const char *path, const struct stat *stat, int type, struct FTW *place) {
    (void)stat;
    (void)type;
    (void)place;
    return remove(path);
}

void disk_remove_all(const char *path) {
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void undo(const struct change *change) {
    char kept[PATH_BYTES + 32];
    kept_path(kept, change->kept);
    switch (change->kind) {
    case CHANGE_MADE:
        __real_unlink(change->path);
        break;
    case CHANGE_DIRECTORY:
        disk_remove_all(change->path);
        break;
    case CHANGE_RENAMED:
        __real_rename(change->path, change->from);
        if (change->kept != 0) {
            __real_rename(kept, change->path);
        }
        break;
    case CHANGE_REMOVED:
        if (change->kept != 0) {
            __real_rename(kept, change->path);
        }
        break;
    }
}

/* Of each directory's changes the last ones may be lost. */
static void lose_changes(void) {
    bool lost[CHANGES_MAX];
    for (u32 i = disk.change_count; i-- > 0;) {
        bool later = false; /* one behind it is not lost */
        for (u32 k = i + 1; k < disk.change_count; k++) {
            later = later ||
                    (!lost[k] && strcmp(disk.change[k].directory, disk.change[i].directory) == 0);
        }
        lost[i] = !later && chance(50);
        if (lost[i]) {
            sim_say("disk: lost change %d of %s", (int)disk.change[i].kind, disk.change[i].path);
            undo(&disk.change[i]);
        }
    }
    disk.change_count = 0;
}

/* --- crashes ---------------------------------------------------------------------------------- */

enum loss { LOSS_NONE, LOSS_ALL, LOSS_RANDOM, LOSS_SOME };

static u32 version_after(const struct sector *sector, enum loss loss) {
    u32 last = sector->versions - 1;
    switch (loss) {
    case LOSS_NONE:
        return last;
    case LOSS_ALL:
        return 0;
    case LOSS_SOME:
        return chance(90) ? last : roll(last + 1);
    default:
        return roll(last + 1);
    }
}

static void lose_contents(int fd, struct file *file) {
    enum loss loss = (enum loss)roll(4);
    u64 size = size_of(fd);
    u32 changed = 0;
    for (u64 i = 0; i < file->sector_count; i++) {
        struct sector *sector = file->sector[i];
        if (sector == NULL || i * SECTOR_BYTES >= size) {
            continue;
        }
        u32 version = version_after(sector, loss);
        u64 bytes = MIN((u64)SECTOR_BYTES, size - i * SECTOR_BYTES);
        changed += version != sector->versions - 1;
        __real_pwrite(fd, sector->bytes[version], bytes, (off_t)(i * SECTOR_BYTES));
    }
    if (size > file->synced_bytes && (loss == LOSS_ALL || (loss != LOSS_NONE && chance(50)))) {
        u64 bytes = between(file->synced_bytes, size);
        promise(__real_ftruncate(fd, (off_t)bytes) == 0, "ftruncate");
        changed++;
    }
    if (changed > 0) {
        sim_say("disk: lost %u sectors (mode %d) of inode %llu, size %llu of %llu", changed,
                (int)loss, (unsigned long long)file->inode, (unsigned long long)size_of(fd),
                (unsigned long long)size);
    }
}

static int lose_one(const char *path, const struct stat *stat, int type, struct FTW *place) {
    (void)stat;
    (void)place;
    int fd = type == FTW_F ? __real_open(path, O_RDWR) : -1;
    if (fd >= 0) {
        struct file *file = file_of(fd);
        lose_contents(fd, file);
        settle_file(fd, file);
        __real_close(fd);
    }
    return 0;
}

void disk_crash(bool power) {
    for (int fd = 0; fd < FDS_MAX; fd++) {
        if (disk.fd[fd].ours && disk.fd[fd].server) {
            disk.fd[fd].ours = false;
            __real_close(fd);
        }
    }
    for (u32 i = 0; i < MAPS_MAX; i++) {
        if (disk.map[i].at != NULL) {
            __real_munmap(disk.map[i].at, disk.map[i].bytes);
            disk.map[i].at = NULL;
        }
    }
    if (power) {
        lose_changes();
        nftw(machine_dir(), lose_one, 16, FTW_PHYS);
        for (u32 i = 0; i < FILES_MAX; i++) { /* those that are gone */
            forget(&disk.file[i]);
            free(disk.file[i].sector);
            disk.file[i] = (struct file){0};
        }
    }
}

/* --- calls ------------------------------------------------------------------------------------ */

/* A call has begun: time passes, others go on, and the machine may stop here. */
static void begin(void) {
    disk.calls++;
    fiber_step();
    machine_disk_call();
}

static void end(void) {
    machine_disk_call();
}

static bool beside_log(const struct open_fd *open) {
    return strstr(open->path, "/snapshots") != NULL || strstr(open->path, "/keys") != NULL;
}

int __wrap_open(const char *path, int flags, ...) {
    mode_t mode = 0;
    if ((flags & O_CREAT) != 0) {
        va_list arguments;
        va_start(arguments, flags);
        mode = va_arg(arguments, mode_t);
        va_end(arguments);
    }
    if (!is_ours(path)) {
        return __real_open(path, flags, mode);
    }
    begin();
    bool derived = strstr(path, "/snapshots") != NULL || strstr(path, "/keys") != NULL;
    if ((flags & O_CREAT) != 0 && disk.faults.full && derived) {
        return fails(ENOSPC);
    }
    bool new = (flags & O_CREAT) != 0 && access(path, F_OK) != 0;
    flags = (flags & O_ACCMODE) == O_WRONLY ? flags ^ O_WRONLY ^ O_RDWR : flags; /* we read, too */
    /* Part of a write may be lost, which is not whole pages: so past no cache. */
    int fd = __real_open(path, flags & ~(O_TRUNC | O_DIRECT), mode);
    if (fd < 0) {
        return fd;
    }
    promise(fd < FDS_MAX, "too many files are open");
    disk.fd[fd] = (struct open_fd){
        .ours = true, .server = fiber_is_server(), .synced = (flags & O_DSYNC) != 0};
    snprintf(disk.fd[fd].path, PATH_BYTES, "%s", path);
    struct stat stat;
    promise(fstat(fd, &stat) == 0, "fstat");
    disk.fd[fd].directory = S_ISDIR(stat.st_mode);
    if (!disk.fd[fd].directory) {
        disk.fd[fd].file = file_of(fd);
        if (new) {
            change_add(CHANGE_MADE, path);
            *disk.fd[fd].file = (struct file){.inode = disk.fd[fd].file->inode};
        } else if ((flags & O_TRUNC) != 0) {
            note_range(fd, disk.fd[fd].file, 0, size_of(fd), false);
            promise(__real_ftruncate(fd, 0) == 0, "ftruncate");
        }
    }
    end();
    return fd;
}

int __wrap_close(int fd) {
    if (net_owns(fd)) {
        return net_close(fd);
    }
    if (fd_of(fd) != NULL) {
        fd_of(fd)->ours = false;
    }
    return __real_close(fd);
}

ssize_t __wrap_read(int fd, void *into, size_t bytes) {
    if (net_owns(fd)) {
        return net_read(fd, into, bytes);
    }
    fiber_step();
    return __real_read(fd, into, bytes);
}

/* Until it says that it has what was written. */
static void wait_for_disk(const struct open_fd *open) {
    if (disk.faults.snapshot_ns_max > 0 && strstr(open->path, "/snapshots") != NULL) {
        fiber_sleep(between(0, disk.faults.snapshot_ns_max));
    }
    u64 ns_max = MAX(disk.faults.sync_ns_max, 2 * SIM_US);
    fiber_sleep(between(SIM_US, chance(5) ? 20 * ns_max : ns_max));
}

/* Where the machine stops in the middle of a write, some of it has happened. */
static ssize_t write_at(struct open_fd *open, int fd, const char *data, usize bytes, off_t at) {
    begin();
    if (disk.faults.full && (u64)at + bytes > size_of(fd)) {
        return fails(ENOSPC);
    }
    if (one_in(disk.faults.write_fails) ||
        (beside_log(open) && one_in(disk.faults.snapshot_fails))) {
        return fails(chance(50) ? EIO : ENOSPC);
    }
    sim_note((u64)at ^ bytes << 32);
    note_range(fd, open->file, (u64)at, bytes, false);
    usize half = bytes > 1 ? roll((u32)MIN(bytes, (usize)UINT32_MAX)) : 0;
    ssize_t first = __real_pwrite(fd, data, half, at);
    promise(first == (ssize_t)half, "no room for the simulated disk");
    if (!open->synced) { /* which the disk takes whole or not at all: they are of one sector */
        machine_disk_call();
    }
    ssize_t rest = __real_pwrite(fd, data + half, bytes - half, at + (off_t)half);
    promise(rest == (ssize_t)(bytes - half), "no room for the simulated disk");
    note_range(fd, open->file, (u64)at, bytes, true);
    if (open->synced) { /* everybody sees it before the disk has it */
        wait_for_disk(open);
        settle_range(open->file, (u64)at, bytes);
    }
    end();
    return (ssize_t)bytes;
}

ssize_t __wrap_pwrite(int fd, const void *data, size_t bytes, off_t at) {
    struct open_fd *open = fd_of(fd);
    return open != NULL ? write_at(open, fd, data, bytes, at) : __real_pwrite(fd, data, bytes, at);
}

ssize_t __wrap_write(int fd, const void *data, size_t bytes) {
    struct open_fd *open = fd_of(fd);
    if (net_owns(fd)) {
        return net_write(fd, data, bytes);
    }
    if (fd == STDERR_FILENO && !sim_verbose()) {
        return (ssize_t)bytes;
    }
    if (open == NULL) {
        return __real_write(fd, data, bytes);
    }
    off_t at = lseek(fd, 0, SEEK_CUR);
    ssize_t done = write_at(open, fd, data, bytes, at);
    if (done > 0) {
        lseek(fd, at + done, SEEK_SET);
    }
    return done;
}

ssize_t __wrap_writev(int fd, const struct iovec *parts, int count) {
    ssize_t sum = 0;
    for (int i = 0; i < count; i++) {
        ssize_t done = __wrap_write(fd, parts[i].iov_base, parts[i].iov_len);
        if (done < 0) {
            return sum > 0 ? sum : done;
        }
        sum += done;
    }
    return sum;
}

/* --- syncing ---------------------------------------------------------------------------------- */

static int sync_fd(int fd) {
    struct open_fd *open = fd_of(fd);
    begin();
    wait_for_disk(open);
    machine_disk_call();
    if (disk.faults.full && beside_log(open)) {
        return fails(ENOSPC);
    }
    if (one_in(disk.faults.sync_fails) ||
        (beside_log(open) && one_in(disk.faults.snapshot_fails))) {
        return fails(EIO);
    }
    if (open->directory) {
        char directory[PATH_BYTES];
        usize bytes = strlen(open->path);
        bool up = bytes > 3 && strcmp(open->path + bytes - 3, "/..") == 0;
        snprintf(directory, sizeof directory, "%s", open->path);
        if (up) {
            directory_of(directory, open->path);
        }
        settle_directory(directory);
    } else {
        settle_file(fd, open->file);
    }
    end();
    return 0;
}

int __wrap_fsync(int fd) {
    promise(fd_of(fd) != NULL, "a sync of something else than our files");
    return sync_fd(fd);
}

int __wrap_fdatasync(int fd) {
    return __wrap_fsync(fd);
}

/* --- names and sizes -------------------------------------------------------------------------- */

int __wrap_rename(const char *from, const char *to) {
    begin();
    u32 kept = keep(to);
    int code = __real_rename(from, to);
    if (code == 0) {
        disk.runs += strstr(to, "/keys/") != NULL;
        struct change *change = change_add(CHANGE_RENAMED, to);
        snprintf(change->from, sizeof change->from, "%s", from);
        change->kept = kept;
    }
    end();
    return code;
}

int __wrap_unlink(const char *path) {
    begin();
    u32 kept = keep(path);
    int code = __real_unlink(path);
    if (code == 0) {
        change_add(CHANGE_REMOVED, path)->kept = kept;
    }
    end();
    return code;
}

int __wrap_mkdir(const char *path, mode_t mode) {
    begin();
    int code = __real_mkdir(path, mode);
    if (code == 0) {
        change_add(CHANGE_DIRECTORY, path);
    }
    end();
    return code;
}

int __wrap_ftruncate(int fd, off_t bytes) {
    struct open_fd *open = fd_of(fd);
    begin();
    if (open != NULL && (u64)bytes < size_of(fd)) {
        note_range(fd, open->file, (u64)bytes, size_of(fd) - (u64)bytes, false);
    }
    return __real_ftruncate(fd, bytes);
}

int __wrap_fallocate(int fd, int mode, off_t at, off_t bytes) {
    struct open_fd *open = fd_of(fd);
    begin();
    if (disk.faults.full) {
        return fails(ENOSPC);
    }
    u64 size = size_of(fd);
    bool hole = (mode & FALLOC_FL_PUNCH_HOLE) != 0 && open != NULL && (u64)at < size;
    u64 zeroed = hole ? MIN((u64)bytes, size - (u64)at) : 0;
    note_range(fd, hole ? open->file : NULL, (u64)at, zeroed, false);
    int code = __real_fallocate(fd, mode, at, bytes);
    note_range(fd, hole ? open->file : NULL, (u64)at, zeroed, true);
    end();
    return code;
}

int __wrap_statvfs(const char *path, struct statvfs *out) {
    int code = __real_statvfs(path, out);
    if (code == 0) {
        out->f_bavail = disk.faults.full ? 0 : GIB / out->f_frsize;
    }
    return code;
}

/* Maps of files go with the process that made them. */
void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset) {
    void *map = __real_mmap(at, bytes, protection, flags, fd, offset);
    for (u32 i = 0; i < MAPS_MAX && map != MAP_FAILED && fiber_is_server(); i++) {
        if (disk.map[i].at == NULL) {
            disk.map[i] = (struct map){map, bytes};
            break;
        }
    }
    return map;
}

int __wrap_munmap(void *at, size_t bytes) {
    for (u32 i = 0; i < MAPS_MAX; i++) {
        if (disk.map[i].at == at) {
            disk.map[i].at = NULL;
        }
    }
    return __real_munmap(at, bytes);
}
