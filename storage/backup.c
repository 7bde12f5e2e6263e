/*
 * backup.c: backups and restoring them (store.h), which are nearly the same: a directory that grows
 * under another name (DIR.partial), is filled by copy.c, read again, synced and renamed. So there
 * is never half a backup that looks whole, whatever ends the copying.
 *
 * A backup ends with the file BACKUP: how far its log goes, the last value of the chain, which so
 * stands for all of the log, and a hash of the control tables, which have no checksums of their
 * own. Restoring compares what it has copied with that.
 */
#include "base/hash.h"
#include "storage/copy.h"
#include "storage/table.h"
#include "storage/verify.h"
#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PATH_BYTES_MAX 4096
#define DIR_BYTES_MAX (PATH_BYTES_MAX - 256) /* what is inside still has a path */
#define MANIFEST "BACKUP"
#define MANIFEST_BYTES 512
#define PARTIAL ".partial"

struct manifest {
    char made[32]; /* when, for people */
    u64 next_id;
    u64 chain; /* of the last block */
    u64 amendments;
    u64 control_hash;
};

struct backup {
    struct store_copy *what;
    char *why;
    usize why_bytes;
    char partial[DIR_BYTES_MAX]; /* where the copy grows */
    int lock_fd;
    struct copying copying;
    struct manifest made;
};

static enum err fail(struct backup *backup, enum err err, const char *what, const char *path) {
    snprintf(backup->why, backup->why_bytes, "%s %s: %s", what, path,
             errno != 0 ? strerror(errno) : err_text(err));
    return err;
}

static enum err fail_plain(struct backup *backup, enum err err, const char *what) {
    if (backup->why[0] == '\0') {
        snprintf(backup->why, backup->why_bytes, "%s (%s)", what, err_text(err));
    }
    return err;
}

static enum err errno_err(void) {
    return errno == ENOSPC || errno == EDQUOT ? ERR_NO_SPACE : ERR_SYSTEM;
}

static void path_in(char path[PATH_BYTES_MAX], const char *dir, const char *name) {
    int bytes = snprintf(path, PATH_BYTES_MAX, "%s/%s", dir, name);
    check(bytes > 0 && bytes < PATH_BYTES_MAX); /* begin() has looked */
}

/* --- the manifest ----------------------------------------------------------------------------- */

static u64 text_hash(const char *text, usize bytes) {
    return hash64(text, bytes, 0);
}

static int manifest_text(const struct manifest *manifest, char *out, usize out_bytes) {
    return snprintf(out, out_bytes,
                    "margind backup 1\nmade %s\nevents %llu\nchain %016llx\namendments %llu\n"
                    "control %016llx\n",
                    manifest->made, (unsigned long long)(manifest->next_id - 1),
                    (unsigned long long)manifest->chain, (unsigned long long)manifest->amendments,
                    (unsigned long long)manifest->control_hash);
}

/* The last line is the checksum of those before it. */
static enum err manifest_write(const char *dir, const struct manifest *manifest) {
    char path[PATH_BYTES_MAX];
    char text[MANIFEST_BYTES];
    path_in(path, dir, MANIFEST);
    int bytes = manifest_text(manifest, text, sizeof text);
    check(bytes > 0 && (usize)bytes < sizeof text - 32);
    bytes += snprintf(text + bytes, sizeof text - (usize)bytes, "check %016llx\n",
                      (unsigned long long)text_hash(text, (usize)bytes));
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool good = fd >= 0 && write(fd, text, (usize)bytes) == bytes && fsync(fd) == 0;
    enum err err = good ? ERR_OK : errno_err();
    if (fd >= 0) {
        close(fd);
    }
    return err;
}

static enum err manifest_read(const char *dir, struct manifest *out) {
    char path[PATH_BYTES_MAX];
    char text[MANIFEST_BYTES] = {0};
    char again[MANIFEST_BYTES];
    unsigned long long events;
    unsigned long long chain;
    unsigned long long amendments;
    unsigned long long control;
    unsigned long long found;
    path_in(path, dir, MANIFEST);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? ERR_NOT_FOUND : ERR_SYSTEM;
    }
    ssize_t bytes = read(fd, text, sizeof text - 1);
    close(fd);
    *out = (struct manifest){0};
    if (bytes <= 0 || sscanf(text,
                             "margind backup 1\nmade %31s\nevents %llu\nchain %llx\n"
                             "amendments %llu\ncontrol %llx\ncheck %llx\n",
                             out->made, &events, &chain, &amendments, &control, &found) != 6) {
        return ERR_CORRUPT;
    }
    out->next_id = events + 1;
    out->chain = chain;
    out->amendments = amendments;
    out->control_hash = control;
    int length = manifest_text(out, again, sizeof again);
    return text_hash(again, (usize)length) == found ? ERR_OK : ERR_CORRUPT;
}

/* --- looking at what was made ----------------------------------------------------------------- */

static void note_damage(void *context, const struct store_damage *damage) {
    struct backup *backup = context;
    if (backup->why[0] == '\0') {
        snprintf(backup->why, backup->why_bytes,
                 "events %llu to %llu are damaged: %s; run marginctl verify on %s",
                 (unsigned long long)damage->id_from, (unsigned long long)(damage->id_to - 1),
                 damage->what, backup->what->from);
    }
}

static void show_check(void *context, u64 done, u64 total) {
    const struct backup *backup = context;
    if (backup->what->progress != NULL) {
        backup->what->progress(backup->what->context, "checking", done, total);
    }
}

/* Reads every event of the copy. */
static enum err check_log(struct backup *backup) {
    const struct log_options options = {
        .dir = backup->partial, .map_bytes = LOG_MAP_BYTES_DEFAULT, .read_only = true};
    struct log *log;
    enum err err = log_open(&options, &log, backup->why, backup->why_bytes);
    if (err != ERR_OK) {
        return err;
    }
    err = verify_log(log, note_damage, show_check, backup);
    if (err == ERR_OK && backup->why[0] != '\0') {
        err = ERR_CORRUPT;
    }
    if (err == ERR_OK && log_next_id(log) != backup->copying.next_id) {
        err = fail_plain(backup, ERR_CORRUPT, "the copy does not hold what was copied");
    }
    backup->made.next_id = log_next_id(log);
    backup->made.chain = log_chain(log);
    backup->made.amendments = log_amendments(log);
    log_close(log);
    return err;
}

static enum err check_control(struct backup *backup) {
    const struct control_db_options how = {.read_only = true};
    struct db *db;
    enum err err = control_db_open(backup->partial, &how, &db, backup->why, backup->why_bytes);
    if (err != ERR_OK) {
        return err;
    }
    err = copy_control_hash(db, &backup->made.control_hash);
    db_close(db);
    if (err == ERR_OK && backup->made.control_hash != backup->copying.control_hash) {
        err = fail_plain(backup, ERR_CORRUPT, "the copy's accounts are not what was copied");
    }
    return err;
}

/* --- the directory ---------------------------------------------------------------------------- */

/* What we make, and nothing else. */
static const char *const content[] = {"log/data.mdb",     "log/data.new",     "log/lock.mdb",
                                      "control/data.mdb", "control/data.new", "control/lock.mdb",
                                      "FORMAT",           MANIFEST,           "lock"};
static const char *const locks[] = {"log/lock.mdb", "control/lock.mdb", "lock"};

static void remove_files(const struct backup *backup, const char *const *names, usize count) {
    char path[PATH_BYTES_MAX];
    for (usize i = 0; i < count; i++) {
        path_in(path, backup->partial, names[i]);
        unlink(path);
    }
}

/* FORMAT is written under a name of its own, too. */
static void remove_fresh_format(const struct backup *backup) {
    DIR *stream = opendir(backup->partial);
    const struct dirent *entry;
    while (stream != NULL && (entry = readdir(stream)) != NULL) {
        if (strncmp(entry->d_name, "FORMAT.", 7) == 0) {
            unlinkat(dirfd(stream), entry->d_name, 0);
        }
    }
    if (stream != NULL) {
        closedir(stream);
    }
}

/* False: it is still there. */
static bool drop_partial(const struct backup *backup) {
    char path[PATH_BYTES_MAX];
    remove_fresh_format(backup);
    remove_files(backup, content, ARRAY_COUNT(content));
    remove_files(backup, backup->what->files, backup->what->file_count);
    path_in(path, backup->partial, "log");
    rmdir(path);
    path_in(path, backup->partial, "control");
    rmdir(path);
    return rmdir(backup->partial) == 0;
}

/* Absent counts as empty. */
static enum err require_empty(struct backup *backup, const char *dir) {
    DIR *stream = opendir(dir);
    const struct dirent *entry;
    bool empty = true;
    if (stream == NULL) {
        return errno == ENOENT ? ERR_OK : fail(backup, ERR_SYSTEM, "cannot use", dir);
    }
    while ((entry = readdir(stream)) != NULL) {
        empty = empty && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0);
    }
    closedir(stream);
    if (!empty) {
        snprintf(backup->why, backup->why_bytes, "%s is not empty: name another directory", dir);
    }
    return empty ? ERR_OK : ERR_EXISTS;
}

/* A copy among the files of what it is a copy of would be taken for one of them. */
static enum err require_apart(struct backup *backup, const char *dir) {
    char from[PATH_MAX];
    char parent[PATH_MAX];
    char text[PATH_BYTES_MAX];
    snprintf(text, sizeof text, "%s", dir);
    if (realpath(backup->what->from, from) == NULL || realpath(dirname(text), parent) == NULL) {
        return ERR_OK; /* what uses them next says why */
    }
    usize bytes = strlen(from);
    if (strncmp(parent, from, bytes) != 0 || (parent[bytes] != '/' && parent[bytes] != '\0')) {
        return ERR_OK;
    }
    snprintf(backup->why, backup->why_bytes, "%s lies in %s: name a directory outside of it", dir,
             backup->what->from);
    return ERR_INVALID;
}

static enum err lock_partial(struct backup *backup) {
    enum err err = db_dir_lock(backup->partial, &backup->lock_fd, backup->why, backup->why_bytes);
    if (err == ERR_LOCKED) {
        snprintf(backup->why, backup->why_bytes, "somebody else is making %s", backup->what->to);
    }
    return err;
}

/* What a copy that was cut off has left is removed. */
static enum err begin_partial(struct backup *backup) {
    const char *to = backup->what->to;
    usize bytes = strlen(to);
    while (bytes > 1 && to[bytes - 1] == '/') {
        bytes--;
    }
    if (bytes == 0 || bytes + sizeof PARTIAL > sizeof backup->partial) {
        errno = bytes == 0 ? EINVAL : ENAMETOOLONG;
        return fail(backup, ERR_INVALID, "cannot make", to);
    }
    snprintf(backup->partial, sizeof backup->partial, "%.*s" PARTIAL, (int)bytes, to);
    enum err err = require_apart(backup, to);
    err = err == ERR_OK ? require_empty(backup, to) : err;
    if (err != ERR_OK) {
        return err;
    }
    if (mkdir(backup->partial, 0700) != 0 && errno != EEXIST) {
        return fail(backup, errno_err(), "cannot make", backup->partial);
    }
    err = lock_partial(backup);
    if (err != ERR_OK) {
        return err;
    }
    bool gone = drop_partial(backup);
    close(backup->lock_fd);
    backup->lock_fd = -1;
    if (!gone) {
        return fail(backup, ERR_EXISTS, "cannot remove", backup->partial);
    }
    err = db_dir_prepare(backup->partial, true, backup->why, backup->why_bytes);
    return err == ERR_OK ? lock_partial(backup) : err;
}

/* A file of the directory that is not ours, if it is there: for its owner alone. */
static enum err copy_file(struct backup *backup, const char *name) {
    char from[PATH_BYTES_MAX];
    char to[PATH_BYTES_MAX];
    char data[16 * KIB];
    path_in(from, backup->what->from, name);
    path_in(to, backup->partial, name);
    int in = open(from, O_RDONLY | O_CLOEXEC);
    if (in < 0) {
        return errno == ENOENT ? ERR_OK : fail(backup, ERR_SYSTEM, "cannot read", from);
    }
    int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    ssize_t bytes = 0;
    bool good = out >= 0;
    while (good && (bytes = read(in, data, sizeof data)) > 0) {
        good = write(out, data, (usize)bytes) == bytes;
    }
    good = good && bytes == 0 && fsync(out) == 0;
    enum err err = good ? ERR_OK : fail(backup, errno_err(), "cannot copy", from);
    close(in);
    if (out >= 0) {
        close(out);
    }
    return err;
}

/* All of it is on the disk before it has its name. */
static enum err give_name(struct backup *backup) {
    static const char *const dirs[] = {"log", "control", "."};
    char path[PATH_BYTES_MAX];
    enum err err = ERR_OK;
    remove_files(backup, locks, ARRAY_COUNT(locks));
    for (u32 i = 0; i < ARRAY_COUNT(dirs) && err == ERR_OK; i++) {
        path_in(path, backup->partial, dirs[i]);
        err = db_dir_sync(path);
    }
    if (err == ERR_OK && rename(backup->partial, backup->what->to) != 0) {
        return fail(backup, errno_err(), "cannot name the copy", backup->what->to);
    }
    path_in(path, backup->what->to, "..");
    return err == ERR_OK ? db_dir_sync(path) : err;
}

/* --- both ways -------------------------------------------------------------------------------- */

static enum err begin(struct backup *backup, struct store_copy *what, char *why, usize why_bytes) {
    *backup = (struct backup){.what = what, .why = why, .why_bytes = why_bytes, .lock_fd = -1};
    why[0] = '\0';
    if (strlen(what->from) >= DIR_BYTES_MAX || strlen(what->to) >= DIR_BYTES_MAX) {
        snprintf(why, why_bytes, "the path is too long");
        return ERR_INVALID;
    }
    enum err err = db_dir_prepare(what->from, false, why, why_bytes);
    return err == ERR_OK ? begin_partial(backup) : err;
}

static enum err fill(struct backup *backup) {
    const struct store_copy *what = backup->what;
    backup->copying = (struct copying){.from = what->from,
                                       .to = backup->partial,
                                       .progress = what->progress,
                                       .context = what->context,
                                       .why = backup->why,
                                       .why_bytes = backup->why_bytes};
    enum err err = copy_data(&backup->copying);
    for (u32 i = 0; i < what->file_count && err == ERR_OK; i++) {
        err = copy_file(backup, what->files[i]);
    }
    if (err == ERR_OK) {
        err = check_log(backup);
    }
    return err == ERR_OK ? check_control(backup) : err;
}

static enum err finish(struct backup *backup, enum err err) {
    if (err == ERR_OK) {
        err = give_name(backup);
    }
    if (backup->lock_fd >= 0) {
        if (err != ERR_OK) {
            drop_partial(backup);
        }
        close(backup->lock_fd);
    }
    backup->what->events = backup->made.next_id - 1;
    backup->what->amendments = backup->made.amendments;
    return err == ERR_OK ? err : fail_plain(backup, err, "the copy failed");
}

enum err store_backup(struct store_copy *what, char *why, usize why_bytes) {
    struct backup backup;
    enum err err = begin(&backup, what, why, why_bytes);
    if (err == ERR_OK) {
        err = fill(&backup);
    }
    if (err == ERR_OK) {
        time_t seconds = (time_t)(backup.copying.made_ms / 1000);
        struct tm utc;
        check(gmtime_r(&seconds, &utc) != NULL);
        strftime(backup.made.made, sizeof backup.made.made, "%Y-%m-%dT%H:%M:%SZ", &utc);
        err = manifest_write(backup.partial, &backup.made);
        err = err == ERR_OK ? err : fail(&backup, err, "cannot write to", backup.partial);
    }
    return finish(&backup, err);
}

static bool is_same(const struct manifest *a, const struct manifest *b) {
    return a->next_id == b->next_id && a->chain == b->chain && a->amendments == b->amendments &&
           a->control_hash == b->control_hash;
}

enum err store_restore(struct store_copy *what, char *why, usize why_bytes) {
    struct backup backup;
    struct manifest manifest;
    enum err err = begin(&backup, what, why, why_bytes);
    if (err == ERR_OK) {
        err = manifest_read(what->from, &manifest);
        if (err != ERR_OK) {
            snprintf(why, why_bytes, "%s/" MANIFEST ": %s", what->from,
                     err == ERR_NOT_FOUND ? "there is none, so this is no backup that was finished"
                                          : "not what a backup ends with");
        }
    }
    if (err == ERR_OK) {
        err = fill(&backup);
    }
    if (err == ERR_OK && !is_same(&backup.made, &manifest)) {
        snprintf(why, why_bytes, "%s is not what its file " MANIFEST " says: it was changed since",
                 what->from);
        err = ERR_CORRUPT;
    }
    return finish(&backup, err);
}
